"""Compare activations that came from anywhere: NumPy arrays (layers, texts, units) are all it takes.

    python examples/own_activations.py                          # two made-up models
    python examples/own_activations.py left.npy right.npy       # yours: float (layers, texts, units)

Rows of both arrays must belong to the same texts in the same order; widths and numbers of layers may
differ. Without arguments, two made-up "models" of 13 and 9 layers read 211 "texts": both turn the same
hidden path of representations into vectors of their own width, so layers at the same relative depth
agree.
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import isodepth
from isodepth.figures import affinity_figure, save_figure

N_TEXTS, N_FACTORS, N_STATIONS = 211, 12, 6


def made_up_activations(
    stations: np.ndarray, n_layers: int, n_units: int, rng: np.random.Generator
) -> np.ndarray:
    """Return float64 (layers, texts, units): a walk past (stations, texts, factors), with noise."""
    places = np.linspace(0, N_STATIONS - 1, n_layers)
    nearness = np.clip(1 - np.abs(places[:, np.newaxis] - np.arange(N_STATIONS)), 0, 1)
    path = np.einsum("ls,stf->ltf", nearness, stations)
    rotated = path @ rng.normal(size=(n_layers, N_FACTORS, n_units))
    return rotated + 2 * rng.normal(size=rotated.shape)


if len(sys.argv) == 3:
    activations = [np.load(path) for path in sys.argv[1:]]
    names = [Path(path).stem for path in sys.argv[1:]]
else:
    rng = np.random.default_rng(0)
    stations = rng.normal(size=(N_STATIONS, N_TEXTS, N_FACTORS))
    activations = [
        made_up_activations(stations, 13, 64, rng),
        made_up_activations(stations, 9, 48, rng),
    ]
    names = ["thirteen", "nine"]

# 1. neighbors of every text at every layer, 2. what two layers have in common, 3. what that is worth
left, right = (
    replace(isodepth.nearest_neighbors(values, k=20), model=name)
    for values, name in zip(activations, names, strict=True)
)
matrix = isodepth.affinity_matrix(left, right, k=10)
found = isodepth.assess_pair(matrix, left=left, right=right)

print(np.round(matrix.values, 2)[::-1], "(layer 1 of both at the bottom left)\n")
print(found.decision.sentence)
for part in ("on_mean", "off_mean", "on_minus_off"):
    print(f"  {part:13} {found.profile[part]}   (chance {matrix.chance:.3f})")
band = found.depth_map.left_to_right.bands
for layer, nearest in enumerate(found.depth_map.left_to_right.nearest, 1):
    print(
        f"  layer {layer} of {names[0]} corresponds to layer {nearest} of {names[1]} "
        f"(95 % band {band.low[layer - 1]:g} to {band.high[layer - 1]:g})"
    )

picture = Path(tempfile.mkdtemp(prefix="isodepth-")) / "affinity.png"
save_figure(affinity_figure(matrix), picture)
print(f"The matrix as a figure: {picture}")
