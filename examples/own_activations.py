"""Compare activations that came from anywhere: NumPy arrays (layers, texts, units) are all it takes.

    python examples/own_activations.py

Two made-up "models" of 7 and 5 layers read 211 "texts": both turn the same hidden path of
representations into vectors of their own width, so layers at the same relative depth agree.
"""

import numpy as np

import isodepth

rng = np.random.default_rng(0)
N_TEXTS, N_FACTORS = 211, 12
START, END = rng.normal(size=(2, N_TEXTS, N_FACTORS))


def made_up_activations(n_layers: int, n_units: int) -> np.ndarray:
    """Return float64 (layers, texts, units): a walk from START to END, rotated at random."""
    depths = np.linspace(0, 1, n_layers)
    return np.stack(
        [
            ((1 - depth) * START + depth * END) @ rng.normal(size=(N_FACTORS, n_units))
            for depth in depths
        ]
    )


left = isodepth.nearest_neighbors(made_up_activations(7, 64), k=10)
right = isodepth.nearest_neighbors(made_up_activations(5, 48), k=10)
matrix = isodepth.affinity_matrix(left, right)
test = isodepth.diagonal_test(matrix.values)
print(np.round(matrix.values, 2))
print(f"chance {matrix.chance:.3f}, on the diagonal {test.on_mean:.3f}, off it {test.off_mean:.3f}")
