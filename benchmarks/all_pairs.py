"""How long does it take to compare all layers of 24 models with each other, and how much memory?

    python -m benchmarks.all_pairs [-n 2048 20000] [-k 10] [--rounds 5]

The neighbor lists are made here: 1,010 layers with the layer counts of the paper's 24 models. Each text
has 512 candidates, each of which is near at one depth, the same for all models; a layer takes the best
by that, by how near the candidate is at any depth, and by chance. That gives a ridge, and a mean
similarity of about 0.28. The choice among candidates repeats every 512 texts; the candidates do not.
"unrelated" are random lists, at chance.

In one run, per number of texts: `all_affinities` (median and range of the rounds, and the median of the
processor time, which other processes on the machine do not add to); `affinity_matrix` for each of the
300 pairs of models (276, and 24 with themselves), once, the values being equal bit for bit; and n x n
masks, made, and-ed and summed for each pair of layers, timed for a few pairs and multiplied by all
510,555. Memory is the peak of a process of its own that loads the ids and calls `all_affinities` once;
this first call is timed with the kernels in numba's cache, and compiling them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from isodepth import Neighbors, affinity_matrix, all_affinities

LAYERS = (
    *(18, 28, 26, 42, 42, 46),  # Gemma
    *(32, 32, 16, 28, 28, 40, 80, 80, 80),  # Llama
    *(32, 40, 32, 32, 40, 32, 60, 60, 64),  # Mistral, Phi, Falcon
)
CANDIDATES, CHOICES = 512, 512
MASK_PAIRS = 5
SMALL = ((30, 18), (80, 80))

CHILD = """
import json, re, sys, time
from pathlib import Path
from benchmarks.all_pairs import loaded
from isodepth import all_affinities
def kilobytes(name):
    # not ru_maxrss, which a child process takes over from its parent
    return int(re.search(name + r":\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))
neighbors = loaded(Path(sys.argv[1]))
before = kilobytes("VmRSS")
start = time.perf_counter()
all_affinities(neighbors)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "before": 1024 * before, "peak": 1024 * kilobytes("VmHWM")}))
"""


def related_ids(n_texts: int, k: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return neighbor ids of models that agree at like depths, (layers, texts, k) each."""
    candidates = spread_ids(n_texts, CANDIDATES, rng)
    depths = rng.random((CHOICES, CANDIDATES), dtype=np.float32)
    always = np.float32(0.7) * rng.standard_exponential((CHOICES, CANDIDATES), dtype=np.float32)
    rows = np.arange(n_texts)[:, np.newaxis]
    models = []
    for n_layers in LAYERS:
        ids = np.empty((n_layers, n_texts, k), dtype=np.int32)
        for layer in range(n_layers):
            near = 2 * np.exp(-(((depths - (layer + 1) / n_layers) / 0.15) ** 2))
            chance = 0.7 * rng.standard_normal((CHOICES, CANDIDATES), dtype=np.float32)
            choice = np.argpartition(-(near + always + chance), k - 1, axis=1)[:, :k]
            ids[layer] = candidates[rows, choice[np.arange(n_texts) % CHOICES]]
        models.append(ids)
    return models


def unrelated_ids(n_texts: int, k: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return neighbor ids at random, (layers, texts, k) each."""
    return [np.stack([spread_ids(n_texts, k, rng) for _ in range(n)]) for n in LAYERS]


def spread_ids(n_texts: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return different others of every text, (texts, number), one from each stretch of the rest."""
    stretch = (n_texts - 1) // number
    steps = 1 + np.arange(number) * stretch + rng.integers(0, stretch, (n_texts, number))
    return ((np.arange(n_texts)[:, np.newaxis] + steps) % n_texts).astype(np.int32)


def as_neighbors(ids: np.ndarray, model: str) -> Neighbors:
    """Return ids as neighbors; their similarities, which nothing here reads, take no memory."""
    return Neighbors(ids=ids, similarities=np.broadcast_to(np.float32(0), ids.shape), model=model)


def loaded(folder: Path) -> list[Neighbors]:
    return [as_neighbors(np.load(path), path.stem) for path in sorted(folder.glob("*.npy"))]


def mask_similarity(left: np.ndarray, right: np.ndarray) -> float:
    """Return the mutual k-NN of two layers by n x n masks."""
    masks = np.zeros((2, len(left), len(left)), dtype=bool)
    for mask, ids in zip(masks, (left, right), strict=True):
        mask[np.arange(len(ids))[:, np.newaxis], ids] = True
    return float((masks[0] & masks[1]).sum() / left.size)


def timed(function: Callable[[], object], rounds: int) -> tuple[list[float], float]:
    """Return the seconds of each round, and the median of the processor's seconds."""
    times, processor_times = [], []
    for _ in range(rounds):
        start, processor_start = time.perf_counter(), time.process_time()
        function()
        times.append(time.perf_counter() - start)
        processor_times.append(time.process_time() - processor_start)
    return times, statistics.median(processor_times)


def in_own_process(folder: Path, cache: Path | None = None) -> dict[str, float]:
    environment = os.environ if cache is None else {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], check=True, capture_output=True, env=environment
    )
    return json.loads(done.stdout)


def seconds_text(seconds: float) -> str:
    units = ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size), units[-1])
    return f"{seconds / size:,.3g} {unit}"


def spread_text(times: list[float], processor_seconds: float) -> str:
    low, middle, high = (seconds_text(t) for t in (min(times), statistics.median(times), max(times)))
    return f"{middle} ({low} to {high}); {seconds_text(processor_seconds)}"


def row_of(name: str, models: list[np.ndarray], rounds: int) -> str:
    """Return the table's row for some neighbor lists."""
    _, n_texts, k = models[0].shape
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for place, ids in enumerate(models):
            np.save(folder / f"{place:02d}.npy", ids)
        compiling = in_own_process(folder, folder / "cache")
        fresh = in_own_process(folder)
    neighbors = [as_neighbors(ids, f"{place:02d}") for place, ids in enumerate(models)]
    found = all_affinities(neighbors)
    times, processor_seconds = timed(lambda: all_affinities(neighbors), rounds)
    pairs = [(a, b) for i, a in enumerate(neighbors) for b in neighbors[i:]]
    start = time.perf_counter()
    pairwise = [affinity_matrix(a, b) for a, b in pairs]
    pairwise_seconds = time.perf_counter() - start
    for matrix in pairwise:
        assert matrix.values.tobytes() == found[matrix.left, matrix.right].values.tobytes()
    n_layers = len(found.values)
    n_layer_pairs = n_layers * (n_layers + 1) // 2
    mask_seconds = []
    for place in range(MASK_PAIRS):
        one, other = models[0][place], models[-1][-1 - place]
        start = time.perf_counter()
        similarity = mask_similarity(one, other)
        mask_seconds.append(time.perf_counter() - start)
        assert similarity == found.values[place, n_layers - 1 - place]
    masks = statistics.median(mask_seconds) * n_layer_pairs
    median = statistics.median(times)
    mean = found.values[np.triu_indices(n_layers, 1)].mean()
    cells = (
        f"{n_layers:,} layers, n = {n_texts:,}, k = {k}, {name} ({mean:.3f})",
        spread_text(times, processor_seconds),
        f"{seconds_text(pairwise_seconds)}, {pairwise_seconds / median:.1f}",
        f"{seconds_text(masks)}, {masks / median:,.0f}",
        f"{fresh['peak'] / 1e6:,.0f} MB; {fresh['before'] / 1e6:,.0f} MB before",
        f"{seconds_text(fresh['seconds'])}; {seconds_text(compiling['seconds'])}",
    )
    return f"| {' | '.join(cells)} |"


def small_row(shape: tuple[int, int], models: list[np.ndarray], rounds: int) -> str:
    """Return the row of one pair of models with so many layers."""
    layers = np.concatenate(models)
    left, right = as_neighbors(layers[: shape[0]], "left"), as_neighbors(layers[-shape[1] :], "right")
    affinity_matrix(left, right)
    times, processor_seconds = timed(lambda: affinity_matrix(left, right), rounds)
    start = time.perf_counter()
    for place in range(MASK_PAIRS):
        mask_similarity(left.ids[place], right.ids[place])
    masks = (time.perf_counter() - start) / MASK_PAIRS * shape[0] * shape[1]
    ratio = masks / statistics.median(times)
    size = f"{shape[0]} x {shape[1]} layers, n = {left.n_texts:,}, k = {left.k}"
    took = spread_text(times, processor_seconds)
    return f"| {size} | {took} | | {seconds_text(masks)}, {ratio:,.0f} | | |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, nargs="+", default=[2048, 20_000])
    parser.add_argument("-k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    from isodepth.affinity.counts import usable_cores  # compiles, which the children time

    print(f"{usable_cores()} cores\n")
    print(
        "| what (mean similarity) | isodepth, median (range); processor | pair by pair, ratio | "
        "n x n masks, extrapolated, ratio | peak memory of a process | first call; compiling |\n"
        "|---|---|---|---|---|---|"
    )
    for n_texts in arguments.n:
        rng = np.random.default_rng(n_texts)
        for name, make in (("related", related_ids), ("unrelated", unrelated_ids)):
            models = make(n_texts, arguments.k, rng)
            print(row_of(name, models, arguments.rounds), flush=True)
            if name == "related":
                for shape in SMALL:
                    print(small_row(shape, models, 3 * arguments.rounds), flush=True)


if __name__ == "__main__":
    main()
