"""The small kernels, one by one, with a history: pytest-benchmark keeps each run and compares it.

make bench        (or: python -m pytest benchmarks/kernels.py --benchmark-autosave)
pytest-benchmark --storage=benchmarks/results/kernels compare
"""

import numpy as np
import pytest

from benchmarks.all_pairs import as_neighbors, spread_ids
from isodepth import affinity_matrix, depth_map, diagonal_test, nearest_neighbors, permutation_null

N_TEXTS, K = 2048, 10


def random_lists(n_layers: int, seed: int, k: int = K) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([spread_ids(N_TEXTS, k, rng) for _ in range(n_layers)])


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "correlation", "inner_product"])
def test_neighbors_of_one_layer(benchmark, metric: str) -> None:
    values = np.random.default_rng(0).standard_normal((N_TEXTS, 576), dtype=np.float32)
    found = benchmark(nearest_neighbors, values, 100, metric)
    assert found.ids.shape == (1, N_TEXTS, 100)


@pytest.mark.parametrize("k", [10, 100])
@pytest.mark.parametrize("measure", ["mutual_knn", "jaccard_knn", "rank_knn", "cycle_knn"])
def test_neighbor_measures_of_two_models(benchmark, measure: str, k: int) -> None:
    left, right = (as_neighbors(random_lists(30, seed, k), str(seed)) for seed in (1, 2))
    found = benchmark(affinity_matrix, left, right, measure=measure)
    assert found.values.shape == (30, 30)


def test_permutation_null_of_two_layers(benchmark) -> None:
    left, right = random_lists(2, 3)
    null = benchmark(permutation_null, left, right)
    assert null.mean == pytest.approx(K / (N_TEXTS - 1))


def test_depth_map_of_two_models(benchmark) -> None:
    rows, columns = np.mgrid[0:1:80j, 0:1:60j]
    found = benchmark(depth_map, np.exp(-((rows - columns) ** 2) / 0.02))
    assert found.left_to_right is not None


def test_diagonal_test_of_two_models(benchmark) -> None:
    rows, columns = np.mgrid[0:1:80j, 0:1:60j]
    found = benchmark(diagonal_test, np.exp(-((rows - columns) ** 2) / 0.02))
    assert found.on_mean > found.off_mean
