"""How long does it take to compare all layers of 24 models with each other, and how much memory?

The neighbor lists are made here: 1,010 layers with the layer counts of the paper's 24 models. Each text
has 512 candidates, each of which is near at one depth, the same for all models; a layer takes the best
by that, by how near the candidate is at any depth, and by chance. That gives a ridge, and a mean
similarity of about 0.28. The choice among candidates repeats every 512 texts; the candidates do not.
"unrelated" are random lists, at chance.

In each round: `all_affinities`; `affinity_matrix` for each of the 300 pairs of models (276, and 24 with
themselves), the values being equal bit for bit; n x n masks, made, and-ed and summed for a few pairs of
layers, times all 510,555; and, as the limit, as many sums of bytes as the pass makes at most, of rows
that lie in the first cache. Neighbors that are found anew for each pair of layers, instead of once a
layer, are set against that and one pass; both are computed from what one layer takes.
"""

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np

from benchmarks.harness import Case, in_own_process, in_turns
from benchmarks.neighbors import PAPER, made_layer
from isodepth import Neighbors, affinity_matrix, all_affinities
from isodepth.cores import usable_cores
from isodepth.neighbors import layer_neighbors

LAYERS = (
    *(18, 28, 26, 42, 42, 46),  # Gemma
    *(32, 32, 16, 28, 28, 40, 80, 80, 80),  # Llama
    *(32, 40, 32, 32, 40, 32, 60, 60, 64),  # Mistral, Phi, Falcon
)
FEWER_LAYERS = (26, 32, 42)
CANDIDATES, CHOICES = 512, 512
K = 10
MASK_PAIRS = 5
WORD_BYTES = 8

CHILD = """
import json, sys, time
from pathlib import Path
from benchmarks.all_pairs import loaded
from benchmarks.harness import peak_and_held
from isodepth import all_affinities
neighbors = loaded(Path(sys.argv[1]))
held = peak_and_held()[1]
start = time.perf_counter()
all_affinities(neighbors)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "held": held, "peak": peak_and_held()[0]}))
"""


def cases(rounds: int) -> Iterator[Case]:
    """Yield the cases of this group."""
    rng = np.random.default_rng(2048)
    related = related_ids(2048, K, rng)
    yield from whole_study("related", related, rounds)
    yield found_anew(related, rounds)
    yield from whole_study("unrelated", unrelated_ids(2048, K, rng), rounds)
    yield from many_texts(related_ids(100_000, K, rng, FEWER_LAYERS), rounds)


def whole_study(name: str, models: Sequence[np.ndarray], rounds: int) -> Iterator[Case]:
    """Yield what 1,010 layers take, against pair by pair and against masks."""
    neighbors = named(models)
    found = all_affinities(neighbors)
    pairs = [(one, other) for i, one in enumerate(neighbors) for other in neighbors[i:]]
    for one, other in pairs:
        matrix = affinity_matrix(one, other)
        assert matrix.values.tobytes() == found[matrix.left, matrix.right].values.tobytes()
    n_layers, n_texts = len(found.values), models[0].shape[1]
    for place in range(MASK_PAIRS):
        similarity = mask_similarity(models[0][place], models[-1][-1 - place])
        assert similarity == found.values[place, n_layers - 1 - place]
    at_limit = summing(n_texts, n_layers)
    times, pairwise, masks, limit = in_turns(
        rounds,
        lambda: all_affinities(neighbors),
        lambda: [affinity_matrix(one, other) for one, other in pairs],
        lambda: [mask_similarity(models[0][i], models[-1][-1 - i]) for i in range(MASK_PAIRS)],
        at_limit,
    )
    n_layer_pairs = n_layers * (n_layers + 1) // 2
    mean = found.values[np.triu_indices(n_layers, 1)].mean()
    memory = peak_of(models)
    what = f"{n_layers:,} layers x {n_texts:,} texts x k = {K}, {name} (mean {mean:.3f})"
    yield Case(
        group="all pairs",
        what=what,
        seconds=times,
        baseline=f"affinity_matrix for each of {len(pairs)} pairs of models",
        baseline_seconds=pairwise,
        peak_bytes=int(memory["peak"]),
        limit="as many sums of bytes, of rows in the first cache" if name == "related" else "",
        limit_seconds=limit if name == "related" else (),
        target="1 s on two cores",
        note=f"A process of its own held {memory['held'] / 1e6:,.0f} MB before, ids included, and took "
        f"{memory['seconds']:.2f} s for its first call.",
    )
    yield Case(
        group="all pairs",
        what=what,
        seconds=times,
        baseline=f"n x n masks for each of {n_layer_pairs:,} pairs of layers",
        baseline_seconds=[seconds / MASK_PAIRS * n_layer_pairs for seconds in masks],
        is_computed=True,
    )


def found_anew(models: Sequence[np.ndarray], rounds: int) -> Case:
    """Return what neighbors of all layers and one pass take, against neighbors found for each pair."""
    neighbors = named(models)
    layer = made_layer(*PAPER)
    one_layer, whole = in_turns(
        rounds, lambda: layer_neighbors(layer, K), lambda: all_affinities(neighbors)
    )
    n_layers = sum(map(len, models))
    n_pairs = n_layers * (n_layers - 1) // 2
    return Case(
        group="all pairs",
        what=f"neighbors and all pairs, {n_layers:,} layers of {PAPER[0]:,} texts x {PAPER[1]:,} units "
        "(computed)",
        seconds=[n_layers * found + passed for found, passed in zip(one_layer, whole, strict=True)],
        baseline=f"neighbors of both layers found anew for each of {n_pairs:,} pairs",
        baseline_seconds=[2 * n_pairs * found for found in one_layer],
        is_computed=True,
    )


def many_texts(models: Sequence[np.ndarray], rounds: int) -> Iterator[Case]:
    """Yield what 100 layers take on 100,000 texts."""
    neighbors = named(models)
    pairs = [(one, other) for i, one in enumerate(neighbors) for other in neighbors[i:]]
    all_affinities(neighbors)
    times, pairwise = in_turns(
        rounds,
        lambda: all_affinities(neighbors),
        lambda: [affinity_matrix(one, other) for one, other in pairs],
    )
    memory = peak_of(models)
    n_layers = sum(map(len, models))
    yield Case(
        group="all pairs",
        what=f"{n_layers} layers x {models[0].shape[1]:,} texts x k = {K}, related",
        seconds=times,
        baseline=f"affinity_matrix for each of {len(pairs)} pairs of models",
        baseline_seconds=pairwise,
        peak_bytes=int(memory["peak"]),
        note=f"A process of its own held {memory['held'] / 1e6:,.0f} MB before, ids included.",
    )


def related_ids(
    n_texts: int, k: int, rng: np.random.Generator, layers: Sequence[int] = LAYERS
) -> list[np.ndarray]:
    """Return neighbor ids of models that agree at like depths, (layers, texts, k) each."""
    candidates = spread_ids(n_texts, CANDIDATES, rng)
    depths = rng.random((CHOICES, CANDIDATES), dtype=np.float32)
    always = np.float32(0.7) * rng.standard_exponential((CHOICES, CANDIDATES), dtype=np.float32)
    rows = np.arange(n_texts)[:, np.newaxis]
    models = []
    for n_layers in layers:
        ids = np.empty((n_layers, n_texts, k), dtype=np.int32)
        for layer in range(n_layers):
            near = 2 * np.exp(-(((depths - (layer + 1) / n_layers) / 0.15) ** 2))
            chance = 0.7 * rng.standard_normal((CHOICES, CANDIDATES), dtype=np.float32)
            choice = np.argpartition(-(near + always + chance), k - 1, axis=1)[:, :k]
            ids[layer] = candidates[rows, choice[np.arange(n_texts) % CHOICES]]
        models.append(ids)
    return models


def unrelated_ids(
    n_texts: int, k: int, rng: np.random.Generator, layers: Sequence[int] = LAYERS
) -> list[np.ndarray]:
    """Return neighbor ids at random, (layers, texts, k) each."""
    return [np.stack([spread_ids(n_texts, k, rng) for _ in range(n)]) for n in layers]


def spread_ids(n_texts: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return different others of every text, (texts, number), one from each stretch of the rest."""
    stretch = (n_texts - 1) // number
    steps = 1 + np.arange(number) * stretch + rng.integers(0, stretch, (n_texts, number))
    return ((np.arange(n_texts)[:, np.newaxis] + steps) % n_texts).astype(np.int32)


def named(models: Sequence[np.ndarray]) -> list[Neighbors]:
    """Return ids as neighbors of models with numbers for names."""
    return [as_neighbors(ids, f"{place:02d}") for place, ids in enumerate(models)]


def as_neighbors(ids: np.ndarray, model: str) -> Neighbors:
    """Return ids as neighbors; their similarities, which nothing here reads, take no memory."""
    return Neighbors(ids=ids, similarities=np.broadcast_to(np.float32(0), ids.shape), model=model)


def loaded(folder: Path) -> list[Neighbors]:
    """Return the neighbors whose ids lie in a folder."""
    return [as_neighbors(np.load(path), path.stem) for path in sorted(folder.glob("*.npy"))]


def peak_of(models: Sequence[np.ndarray], child: str = CHILD) -> dict[str, float]:
    """Return what a process of its own tells, which loads the ids."""
    with tempfile.TemporaryDirectory() as folder:
        for place, ids in enumerate(models):
            np.save(Path(folder) / f"{place:02d}.npy", ids)
        return in_own_process(child, folder)


def mask_similarity(left: np.ndarray, right: np.ndarray) -> float:
    """Return the mutual k-NN of two layers by n x n masks."""
    masks = np.zeros((2, len(left), len(left)), dtype=bool)
    for mask, ids in zip(masks, (left, right), strict=True):
        mask[np.arange(len(ids))[:, np.newaxis], ids] = True
    return float((masks[0] & masks[1]).sum() / left.size)


def summing(n_texts: int, n_layers: int):
    """Return a function that sums as many bytes as the pass over all texts, on all cores."""
    n_words = -(-n_layers // WORD_BYTES)
    n_threads = usable_cores()
    spaces = [np.zeros((K + 1, n_words), dtype=np.uint64) for _ in range(n_threads)]
    for space in spaces:
        sum_rows(1, n_layers, space)

    def run() -> None:
        with ThreadPoolExecutor(n_threads) as executor:
            for _ in executor.map(
                lambda space: sum_rows(n_texts // n_threads, n_layers, space), spaces
            ):
                pass

    return run


@numba.njit(nogil=True)
def sum_rows(n_texts: int, n_layers: int, rows: np.ndarray) -> None:
    """Add the upper part of ten rows, five at a time, to one, for every text and layer."""
    n_words = rows.shape[1]
    sums = rows[10]
    for _ in range(n_texts):
        for layer in range(n_layers):
            for start in range(0, 10, 5):
                a, b, c, d, e = (
                    rows[start],
                    rows[start + 1],
                    rows[start + 2],
                    rows[start + 3],
                    rows[start + 4],
                )
                for word in range(layer // 8, n_words):
                    sums[word] += a[word] + b[word] + c[word] + d[word] + e[word]
