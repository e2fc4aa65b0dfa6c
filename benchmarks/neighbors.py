"""How long do exact neighbors take, against the bare matrix product and against what others use?

    python -m benchmarks.neighbors [--rounds 3] [--full]

Layers are made here, as the middle of a model is: all texts share an offset 20 times as large as what
tells them apart, most of it in few units, and differ along 64 directions and by noise. Times are those
from activations to lists of neighbors, scaling to unit norm and leaving out the text itself included,
in one process and in turns.

isodepth computes in float64, and its neighbors are the exact ones of that. Peers are given float32,
as activations are, and compute in it: how many of their lists differ is in the notes. The limit is the
bare product of all unit vectors with all, computed whole; in float32 by the faster of NumPy and torch.

What others are needs libraries that a process whose memory is measured should not load: these are
imported where they are used.

--full: 100,000 texts x 1024 units alone, in a process of its own, where it takes some minutes.
"""

import argparse
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.harness import Case, in_own_process, in_turns, markdown_table
from isodepth import nearest_neighbors
from isodepth.neighbors import layer_neighbors

PAPER, LARGE, FULL = (2048, 4096), (20_000, 1024), (100_000, 1024)
KS = (100, 10)

CHILD = """
import json, sys, time
from benchmarks.harness import peak_and_held
from benchmarks.neighbors import made_layer
from isodepth.neighbors import layer_neighbors
n_texts, n_units, k = map(int, sys.argv[1:])
layer = made_layer(n_texts, n_units)
start, before = time.perf_counter(), time.process_time()
layer_neighbors(layer, k)
seconds, processor = time.perf_counter() - start, time.process_time() - before
print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak_and_held()[0]}))
"""


def cases(rounds: int) -> Iterator[Case]:
    """Yield the paper's size against peers and products, another metric, and a larger set of texts."""
    layer = made_layer(*PAPER)
    for k in KS:
        yield from paper_size(layer, k, rounds)
    yield euclidean(layer, rounds)
    yield large_size(min(rounds, 1))


def paper_size(layer: np.ndarray, k: int, rounds: int) -> Iterator[Case]:
    """Yield one case for each peer, and one without, all of the same rounds."""
    unit = unit_vectors(layer.astype(np.float64))
    single = unit.astype(np.float32)
    functions: list[Callable[[], object]] = [
        functools.partial(layer_neighbors, layer, k),
        *(functools.partial(peer, layer, k) for peer in PEERS.values()),
        product_by_numpy(unit),
        product_by_numpy(single),
        product_by_torch(single),
    ]
    exact = functions[0]()[0]
    differing = {
        name: share_of_other_lists(exact, peer(layer, k)) for name, peer in PEERS.items()
    }  # the first calls, which are slower
    own, *peers, double, by_numpy, by_torch = in_turns(rounds, *functions)
    fastest = [min(both) for both in zip(by_numpy, by_torch, strict=True)]
    what = f"{PAPER[0]:,} texts x {PAPER[1]:,} units, one made layer, k = {k}"
    peak = own_process(*PAPER, k)["peak"]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in differing.items())
    note = (
        "isodepth: exact in float64. The peers compute in float32; of their lists at k = "
        f"{k}, as sets, differ from the exact ones: {shares}. The layer is made so that texts lie "
        "close together, as in the middle of some models; on real layers fewer differ (docs/cost.md)."
    )
    yield Case(
        group="neighbors",
        what=what,
        seconds=own,
        peak_bytes=peak,
        limit="bare product, float64",
        limit_seconds=double,
        target="within 1.15 of the product: 87% of its speed",
        note="The product is of all with all; isodepth computes each pair's once, about half of it.",
    )
    for name, seconds in zip(PEERS, peers, strict=True):
        yield Case(
            group="neighbors",
            what=what,
            seconds=own,
            baseline=name,
            baseline_seconds=seconds,
            peak_bytes=peak,
            limit="bare product, float32",
            limit_seconds=fastest,
            note=note,
        )


def euclidean(layer: np.ndarray, rounds: int) -> Case:
    """Return Euclidean distance at the paper's size against scikit-learn."""
    k = KS[0]
    search = functools.partial(layer_neighbors, layer, k, "euclidean")
    peer = functools.partial(by_scikit_learn, layer, k, "euclidean")
    differing = share_of_other_lists(search()[0], peer())
    own, peer_seconds = in_turns(rounds, search, peer)
    return Case(
        group="neighbors",
        what=f"the same by Euclidean distance, k = {k}",
        seconds=own,
        baseline="scikit-learn, brute",
        baseline_seconds=peer_seconds,
        note="isodepth: distances are exact, summed up from differences. scikit-learn has them from "
        f"products; {differing:.0%} of its lists differ.",
    )


def large_size(rounds: int) -> Case:
    """Return the case of many texts, with the memory of a process of its own."""
    n_texts, n_units = LARGE
    k = KS[0]
    layer = made_layer(n_texts, n_units)
    unit = unit_vectors(layer.astype(np.float64))
    own, peer, product = in_turns(
        rounds,
        functools.partial(nearest_neighbors, layer, k),
        functools.partial(by_faiss, layer, k),
        functools.partial(product_in_blocks, unit),
    )
    return Case(
        group="neighbors",
        what=f"{n_texts:,} texts x {n_units:,} units, one made layer, k = {k}",
        seconds=own,
        baseline="faiss IndexFlatIP, float32",
        baseline_seconds=peer,
        peak_bytes=own_process(n_texts, n_units, k)["peak"],
        limit="bare product, float64",
        limit_seconds=product,
        target="100,000 x 1024 under 4 GB (--full)",
        note="Peak memory is that of a process that makes the layer (float32) and finds its neighbors.",
    )


def full_size() -> Case:
    """Return the case that takes minutes."""
    n_texts, n_units = FULL
    found = own_process(n_texts, n_units, KS[0])
    return Case(
        group="neighbors",
        what=f"{n_texts:,} texts x {n_units:,} units, one made layer, k = {KS[0]}",
        seconds=[found["seconds"]],
        peak_bytes=int(found["peak"]),
        target="exact, under 4 GB",
        note=f"{found['processor']:,.0f} s of processor time.",
    )


def made_layer(n_texts: int, n_units: int) -> np.ndarray:
    """Return activations like those in the middle of a model, float32 (texts, units)."""
    rng = np.random.default_rng(0)
    offset = rng.normal(size=n_units, scale=5).astype(np.float32)
    offset[:4] += np.float32(20 * n_units**0.5)  # the massive ones
    directions = rng.standard_normal((64, n_units), dtype=np.float32) / np.float32(8)
    layer = np.empty((n_texts, n_units), dtype=np.float32)
    for start in range(0, n_texts, 1000):
        block = layer[start : start + 1000]
        rng.standard_normal(out=block, dtype=np.float32)
        block *= np.float32(0.3)
        block += rng.standard_normal((len(block), 64), dtype=np.float32) @ directions + offset
    return layer


def unit_vectors(layer: np.ndarray) -> np.ndarray:
    unit: np.ndarray = layer / np.linalg.norm(layer, axis=1, keepdims=True)
    return unit


def by_sorting(layer: np.ndarray, k: int) -> np.ndarray:
    """Return neighbors as one writes them: all similarities, sorted."""
    unit = unit_vectors(layer)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    return np.argsort(-similarities, axis=1)[:, :k]


def by_scikit_learn(layer: np.ndarray, k: int, metric: str = "cosine") -> np.ndarray:
    from sklearn.neighbors import NearestNeighbors

    finder = NearestNeighbors(n_neighbors=k, algorithm="brute", metric=metric)
    ids: np.ndarray = finder.fit(layer).kneighbors(return_distance=False)
    return ids


def by_faiss(layer: np.ndarray, k: int) -> np.ndarray:
    import faiss

    unit = unit_vectors(layer)
    index = faiss.IndexFlatIP(unit.shape[1])
    index.add(unit)
    return without_self(index.search(unit, k + 1)[1])


def without_self(ids: np.ndarray) -> np.ndarray:
    """Return ids (texts, k) of k + 1 each: without the text itself, or the last where it is missing."""
    others = ids != np.arange(len(ids))[:, np.newaxis]
    others[others.all(axis=1), -1] = False  # rounding, or an index, left the text itself out
    return ids[others].reshape(len(ids), -1)


PEERS = {
    "NumPy, all sorted, float32": by_sorting,
    "scikit-learn, brute, float32": by_scikit_learn,
    "faiss IndexFlatIP, float32": by_faiss,
}


def share_of_other_lists(exact: np.ndarray, others: np.ndarray) -> float:
    """Return the share of texts whose neighbors are not the same set."""
    return float((np.sort(exact, axis=1) != np.sort(others, axis=1)).any(axis=1).mean())


def product_by_numpy(unit: np.ndarray) -> Callable[[], object]:
    """Return the product with a copy: of an array with itself NumPy computes half."""
    other, product = unit.copy().T, np.empty((len(unit), len(unit)), dtype=unit.dtype)
    return lambda: np.matmul(unit, other, out=product)


def product_by_torch(unit: np.ndarray) -> Callable[[], object]:
    import torch

    left, right = torch.from_numpy(unit), torch.from_numpy(unit.copy()).T
    product = torch.empty(len(unit), len(unit), dtype=left.dtype)
    return lambda: torch.matmul(left, right, out=product)


def product_in_blocks(unit: np.ndarray) -> None:
    """Compute all products, 2,000 rows at a time, and keep none."""
    space = np.empty((2000, len(unit)))
    for start in range(0, len(unit), 2000):
        rows = unit[start : start + 2000]
        np.matmul(rows, unit.T, out=space[: len(rows)])


def own_process(*sizes: int) -> dict[str, float]:
    """Return what a process of its own takes, which makes a layer and finds its neighbors."""
    path = os.pathsep.join((str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
    return in_own_process(CHILD, *map(str, sizes), PYTHONPATH=path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="only 100,000 texts")
    arguments = parser.parse_args()
    print(markdown_table([full_size()] if arguments.full else cases(arguments.rounds)))


if __name__ == "__main__":
    main()
