from collections.abc import Callable

import numpy as np
import pytest

from isodepth.affinity import MEASURES, OnePassMeasure, affinity_matrix, all_affinities
from isodepth.errors import ParameterError
from isodepth.neighbors import Neighbors


@pytest.fixture
def models(make_neighbors: Callable[..., Neighbors]) -> list[Neighbors]:
    return [make_neighbors(name, n) for name, n in (("first", 5), ("second", 3), ("third", 7))]


def jaccard(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the mean share of common neighbors in all that either layer names."""
    return np.array(
        [
            [
                np.mean([len({*a} & {*b}) / len({*a} | {*b}) for a, b in zip(i, j, strict=True)])
                for j in right.tolist()
            ]
            for i in left.tolist()
        ]
    )


def nearest_is_named(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how often the right layer names the left layer's nearest: not symmetric."""
    return np.array([[(a[:, :1] == b).any(axis=1).mean() for b in right] for a in left])


def test_a_function_of_two_arrays_serves_one_pair_and_all(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    monkeypatch.setitem(MEASURES, "jaccard", jaccard)
    one_side, two_sides = (
        all_affinities(models, measure="jaccard", k=5),
        all_affinities(models[:2], right=models[1:], measure="jaccard", k=5),
    )
    assert (one_side.measure, one_side.is_symmetric) == ("jaccard", True)
    for matrices in (one_side, two_sides):
        for matrix in matrices.pairs():
            left, right = (next(m for m in models if m.model == n) for n in (matrix.left, matrix.right))
            expected = jaccard(left.ids[:, :, :5], right.ids[:, :, :5])
            np.testing.assert_array_equal(matrix.values, expected)
            pair = affinity_matrix(left, right, measure="jaccard", k=5)
            np.testing.assert_array_equal(pair.values, expected)
    np.testing.assert_array_equal(one_side.values, one_side.values.T)
    np.testing.assert_array_equal(
        one_side["second", "second"].values, jaccard(*[models[1].ids[:, :, :5]] * 2)
    )


def test_a_function_measures_each_unordered_pair_once(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    sizes = []

    def counting(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        sizes.append((len(left), len(right)))
        return jaccard(left, right)

    monkeypatch.setitem(MEASURES, "counting", counting)
    all_affinities(models, measure="counting", k=2)
    turned = sizes.pop()  # the last call asks whether the measure tells left from right
    assert turned == (7, 5)
    assert sorted(sizes) == [(3, 3), (3, 7), (5, 3), (5, 5), (5, 7), (7, 7)]


@pytest.mark.parametrize("n_models", [1, 3])
def test_a_measure_that_tells_left_from_right_is_not_mirrored(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors], n_models: int
):
    monkeypatch.setitem(MEASURES, "nearest_is_named", nearest_is_named)
    with pytest.raises(ParameterError) as caught:
        all_affinities(models[:n_models], measure="nearest_is_named")
    assert caught.value.message == (
        "nearest_is_named is not symmetric: exchanging left and right changes its values, so both "
        "directions of a pair are wanted"
    )
    assert caught.value.hint == "pass right=neighbors as well, which measures every ordered pair."
    matrices = all_affinities(models, right=models, measure="nearest_is_named")
    for left in models:
        for right in models:
            np.testing.assert_array_equal(
                matrices[left.model, right.model].values, nearest_is_named(left.ids, right.ids)
            )


def test_rounding_is_no_direction_and_nan_no_difference(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    def rounded(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        values = jaccard(left, right) + 1e-14 * len(left)
        values[0, 0] = np.nan
        return values

    monkeypatch.setitem(MEASURES, "rounded", rounded)
    values = all_affinities(models, measure="rounded").values
    assert np.isnan(values[0, 0])
    np.testing.assert_array_equal(values[5:, :5], values[:5, 5:].T)


def test_a_measure_of_many_models_gets_them_as_they_are_and_serves_a_pair(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    seen = []

    def zeros(left: list[np.ndarray], right: list[np.ndarray] | None) -> np.ndarray:
        seen.append(right is None)
        columns = left if right is None else right
        return np.zeros((sum(map(len, left)), sum(map(len, columns))))

    monkeypatch.setitem(MEASURES, "zeros", OnePassMeasure(zeros))
    assert all_affinities(models, measure="zeros").values.shape == (15, 15)
    assert all_affinities(models, right=models[:1], measure="zeros").values.shape == (15, 5)
    assert affinity_matrix(*models[:2], measure="zeros").values.shape == (5, 3)
    assert seen == [True, False, False]
