"""How often are unrelated layers called similar?

    python -m studies.calibration.chance --pairs 4000

Draws pairs of layers that have nothing to do with each other, of four kinds, and counts how often each
test at 5 % finds them similar. Then the same of whole models of layers that resemble each other, where
any cell counts. About 25 minutes on two cores.

With k = 1, unrelated layers share one neighbor or two in all, so that no test that looks at their
number alone errs in 5 % of cases: it errs in those of "at least 4", about 2 %, or of "at least 3",
about 8 %. Counting permutations then errs on the safe side; with ties broken by a coin it is right.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from isodepth.statistics.familywise import familywise_test
from isodepth.statistics.null import null_model
from isodepth.statistics.permutation import permutation_null

LEVEL = 0.05
N_TEXTS = 256
N_PAIRS = 4_000
N_PERMUTATIONS = 199
N_MODEL_PERMUTATIONS = 99
BATCH = 500
"""Pairs drawn at once: 130 MB of similarities at 256 texts."""
LAYERS = (5, 7)

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def gaussian(rng: np.random.Generator, n_layers: int, n_texts: int) -> np.ndarray:
    """Return points without a structure, as rows."""
    return rng.normal(size=(n_layers, n_texts, 16)).astype(np.float32)


def anisotropic(rng: np.random.Generator, n_layers: int, n_texts: int) -> np.ndarray:
    """Return points with one direction that is far from the origin and ten times as wide as others."""
    points = gaussian(rng, n_layers, n_texts)
    points[..., 0] = 30 + 10 * points[..., 0]
    return points


def hubs(rng: np.random.Generator, n_layers: int, n_texts: int) -> np.ndarray:
    """Return points of very different lengths; by inner product the long ones are all's neighbors."""
    lengths = rng.lognormal(sigma=0.5, size=(n_layers, n_texts, 1)).astype(np.float32)
    return gaussian(rng, n_layers, n_texts) * lengths


def clustered(rng: np.random.Generator, n_layers: int, n_texts: int) -> np.ndarray:
    """Return points in clusters of 16 or so."""
    n_clusters = max(2, n_texts // 16)
    centers = gaussian(rng, n_layers, n_clusters)
    members = rng.integers(n_clusters, size=(n_layers, n_texts))
    around = gaussian(rng, n_layers, n_texts)
    return centers[np.arange(n_layers)[:, np.newaxis], members] * 2 + around


KINDS: Mapping[str, Draw] = {
    "Gaussian": gaussian,
    "anisotropic": anisotropic,
    "hubs": hubs,
    "clustered": clustered,
}


def neighbor_ids(points: np.ndarray, kind: str, k: int) -> np.ndarray:
    """Return the k nearest of each text in each layer, int32 (layers, texts, k), in no order.

    By cosine similarity; of "hubs" by inner product, which lets lengths count.
    """
    if kind != "hubs":
        points = points / np.linalg.norm(points, axis=-1, keepdims=True)
    similarities = points @ points.swapaxes(1, 2)
    texts = np.arange(points.shape[1])
    similarities[:, texts, texts] = -np.inf
    return np.argpartition(-similarities, k, axis=-1)[..., :k].astype(np.int32)


def unrelated_layers(
    rng: np.random.Generator, kind: str, n_layers: int, n_texts: int, k: int
) -> np.ndarray:
    """Return the neighbors of layers that have nothing to do with each other."""
    return neighbor_ids(KINDS[kind](rng, n_layers, n_texts), kind, k)


def drifting_model(
    rng: np.random.Generator, kind: str, n_layers: int, n_texts: int, k: int
) -> np.ndarray:
    """Return the neighbors of layers each of which is the one before, moved a little."""
    steps = KINDS[kind](rng, n_layers, n_texts)
    for layer in range(1, n_layers):
        steps[layer] = 0.9 * steps[layer - 1] + 0.44 * steps[layer]
    return neighbor_ids(steps, kind, k)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChancePValues:
    """The p-values of unrelated pairs of layers by each test, each (pairs,).

    Parameters
    ----------
    hypergeometric : float64 array (pairs,)
        The paper's null model.
    normal, pearson : float64 array (pairs,)
        `permutation_null` by the tails of that name.
    counted, coin : float64 array (pairs,) or None
        (1 + relabellings that share as many) / (1 + relabellings), and the same with ties broken by a
        coin. None without relabellings.
    sd_ratio : float64 array (pairs,)
        The permutation null's standard deviation over the hypergeometric one's.
    """

    hypergeometric: np.ndarray
    normal: np.ndarray
    pearson: np.ndarray
    counted: np.ndarray | None
    coin: np.ndarray | None
    sd_ratio: np.ndarray


def chance_p_values(
    rng: np.random.Generator,
    left: np.ndarray,
    right: np.ndarray,
    *,
    n_permutations: int = 0,
) -> ChancePValues:
    """Return what each test says of pairs of layers, left and right int32 (pairs, texts, k)."""
    n_pairs, n_texts, k = left.shape
    null = permutation_null(left, right)
    same = np.arange(n_pairs), np.arange(n_pairs)  # each left layer with its own right one
    drawn = null_model(n_texts, k)
    values = null.values[same]
    counted = coin = None
    if n_permutations:
        observed = np.rint(values * n_texts * k).astype(np.int64)
        permuted = np.stack(list(_permuted_counts(rng, left, right, n_permutations)))
        above, tied = (permuted > observed).sum(axis=0), (permuted == observed).sum(axis=0)
        counted = (1 + above + tied) / (1 + n_permutations)
        coin = (above + rng.uniform(size=n_pairs) * (1 + tied)) / (1 + n_permutations)
    return ChancePValues(
        hypergeometric=10 ** np.array([drawn.log10_sf(value) for value in values]),
        normal=10 ** null.log10_sf(tail="normal")[same],
        pearson=10 ** null.log10_sf(tail="pearson")[same],
        counted=counted,
        coin=coin,
        sd_ratio=null.sd[same] / drawn.sd,
    )


def _permuted_counts(
    rng: np.random.Generator, left: np.ndarray, right: np.ndarray, n_permutations: int
) -> Iterator[np.ndarray]:
    """Yield how many neighbors each pair shares after a relabelling of its own."""
    n_pairs, n_texts, _ = left.shape
    pairs = np.arange(n_pairs)[:, np.newaxis, np.newaxis]
    is_neighbor = np.zeros((n_pairs, n_texts, n_texts), dtype=bool)
    is_neighbor[pairs, np.arange(n_texts)[:, np.newaxis], right] = True
    for _ in range(n_permutations):
        new = rng.permuted(np.tile(np.arange(n_texts), (n_pairs, 1)), axis=1)
        yield is_neighbor[pairs, new[..., np.newaxis], new[pairs, left]].sum(axis=(1, 2))


def single_layer_row(kind: str, k: int, n_pairs: int, seed: int) -> str:
    """Return a line of the table of single layers."""
    rng = np.random.default_rng(seed)
    batches = []
    for start in range(0, n_pairs, BATCH):
        n = min(BATCH, n_pairs - start)
        left, right = (unrelated_layers(rng, kind, n, N_TEXTS, k) for _ in range(2))
        batches.append(chance_p_values(rng, left, right, n_permutations=N_PERMUTATIONS))
    cells = [kind, str(k), f"{np.mean([batch.sd_ratio.mean() for batch in batches]):.2f}"]
    for test in ("hypergeometric", "normal", "pearson", "counted", "coin"):
        cells.append(rate(np.concatenate([getattr(batch, test) for batch in batches])))
    return "| " + " | ".join(cells) + " |"


def model_row(kind: str, k: int, n_pairs: int, seed: int) -> str:
    """Return a line of the table of whole models."""
    rng = np.random.default_rng(seed)
    drawn = null_model(N_TEXTS, k)
    corrected, hypergeometric = [], []
    for _ in range(n_pairs):
        left, right = (drifting_model(rng, kind, n_layers, N_TEXTS, k) for n_layers in LAYERS)
        relabelling = int(rng.integers(2**32))
        test = familywise_test(left, right, n_permutations=N_MODEL_PERMUTATIONS, seed=relabelling)
        corrected.append(test.p_value)
        highest = drawn.log10_sf(float(test.null.values.max()))
        hypergeometric.append(min(1, test.null.values.size * 10**highest))
    cells = [kind, str(k), rate(np.array(hypergeometric)), rate(np.array(corrected))]
    return "| " + " | ".join(cells) + " |"


def rate(p_values: np.ndarray) -> str:
    """Return the share of p-values at or under the level and its standard error, in percent."""
    share = float((p_values <= LEVEL).mean())
    error = np.sqrt(share * (1 - share) / len(p_values))
    return f"{100 * share:.1f} ± {100 * error:.1f}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--pairs", type=int, default=N_PAIRS, help="pairs of layers of each kind")
    parser.add_argument("--model-pairs", type=int, default=N_PAIRS, help="pairs of models of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"Unrelated layers called similar at 5 %, in % of {options.pairs:,} pairs, {N_TEXTS} texts")
    print()
    print("| data | k | sd, permuted / drawn | drawn neighbors (the paper's) ", end="")
    print("| normal tail | type III tail | counted | counted, ties by coin |")
    print("|---|---|---|---|---|---|---|---|")
    for k in (10, 1):
        for kind in KINDS:
            print(single_layer_row(kind, k, options.pairs, options.seed), flush=True)
    print()
    print(f"Unrelated models of {LAYERS[0]} and {LAYERS[1]} layers, any of which are called similar at")
    print(f"5 % after correction, in % of {options.model_pairs:,} pairs of models")
    print()
    print("| data | k | drawn neighbors, Bonferroni | highest of all cells, permuted |")
    print("|---|---|---|---|")
    for k in (10, 1):
        for kind in KINDS:
            print(model_row(kind, k, options.model_pairs, options.seed), flush=True)


if __name__ == "__main__":
    main()
