"""What do measures of activations cost, all layers against all, and against pair by pair?

    OMP_NUM_THREADS=1 python -m benchmarks.measures [cka ...] [-n 2048] [--layers 80] [--units 1024]

Two made-up models of that many layers: random activations that drift from layer to layer. In one run,
for each measure: all pairs of layers at once (`MEASURES[name].all_values`), in a process of its own,
whose peak of memory above what it held before is told; and single pairs of layers, a few in turn, whose
median is multiplied by the number of pairs. The values of these pairs are the same but for rounding.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import numpy as np

PAIRS = 5
DEFAULT = ("cka", "cka_debiased", "rsa_pearson_cosine", "distance_correlation")

CHILD = """
import json, sys, time
from benchmarks.harness import peak_and_held
from benchmarks.measures import made
from isodepth import MEASURES
name, n_texts, n_layers, n_units = sys.argv[1], *map(int, sys.argv[2:])
measure, models = MEASURES[name], made(n_texts, n_layers, n_units)
measure.all_values([models[0][:2, :64]], [models[1][:2, :64]], 10)  # what is compiled is not timed
held = peak_and_held()[1]
start, processor = time.perf_counter(), time.process_time()
values = measure.all_values([models[0]], [models[1]], 10)
seconds, processor = time.perf_counter() - start, time.process_time() - processor
peak = peak_and_held()[0] - held
diagonal = values.diagonal().tolist()
print(json.dumps({"seconds": seconds, "processor": processor, "peak": peak, "diagonal": diagonal}))
"""


def made(n_texts: int, n_layers: int, n_units: int) -> list[np.ndarray]:
    """Return the activations of two models, float32 (layers, texts, units) each."""
    rng = np.random.default_rng(0)
    models = []
    for _ in range(2):
        layers = np.empty((n_layers, n_texts, n_units), dtype=np.float32)
        layers[0] = rng.standard_normal((n_texts, n_units), dtype=np.float32)
        for layer in range(1, n_layers):
            drift = rng.standard_normal((n_texts, n_units), dtype=np.float32)
            layers[layer] = 0.9 * layers[layer - 1] + 0.4 * drift
        models.append(layers)
    return models


def row_of(name: str, n_texts: int, n_layers: int, n_units: int, models: list[np.ndarray]) -> str:
    """Return the table's row for a measure."""
    from isodepth import MEASURES

    done = subprocess.run(
        [sys.executable, "-c", CHILD, name, str(n_texts), str(n_layers), str(n_units)],
        check=True,
        capture_output=True,
    )
    whole = json.loads(done.stdout)
    places = range(0, n_layers, max(1, n_layers // PAIRS))[:PAIRS]
    times, values = [], []
    for place in places:
        start = time.process_time()
        one = MEASURES[name].all_values([models[0][[place]]], [models[1][[place]]], 10)
        times.append(time.process_time() - start)
        values.append(float(one[0, 0]))
    expected = [whole["diagonal"][place] for place in places]
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
    pair = statistics.median(times)
    return (
        f"| `{name}` | {whole['seconds']:.1f} s ({whole['processor']:.1f} s) "
        f"| {whole['peak'] / 1e9:.2f} GB | {pair * n_layers**2:,.0f} s ({pair:.3f} s a pair) "
        f"| {pair * n_layers**2 / whole['processor']:,.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("measures", nargs="*", default=DEFAULT)
    parser.add_argument("-n", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=80)
    parser.add_argument("--units", type=int, default=1024)
    chosen = parser.parse_args()
    print(
        f"{chosen.layers} layers against as many, {chosen.n:,} texts, {chosen.units:,} units\n\n"
        "| measure | all at once (processor) | memory | pair by pair (computed) | ratio |\n"
        "|---|---|---|---|---|"
    )
    models = made(chosen.n, chosen.layers, chosen.units)
    for name in chosen.measures:
        print(row_of(name, chosen.n, chosen.layers, chosen.units, models), flush=True)


if __name__ == "__main__":
    main()
