import numpy as np
import pytest

from isodepth.errors import ParameterError
from isodepth.statistics import layer_matches


def ridge(n_left: int, n_right: int) -> np.ndarray:
    left, right = np.linspace(0, 1, n_left), np.linspace(0, 1, n_right)
    return np.exp(-(((left[:, np.newaxis] - right) / 0.2) ** 2))


def test_matches_are_the_largest_of_each_row_and_column(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    matches = layer_matches(values)
    for i in range(11):
        best = max(range(7), key=lambda j: values[i, j])
        assert matches.left_to_right[i] == best
        assert matches.left_similarity[i] == values[i, best]
    for j in range(7):
        best = max(range(11), key=lambda i: values[i, j])
        assert matches.right_to_left[j] == best
        assert matches.right_similarity[j] == values[best, j]


def test_exchanging_the_models_exchanges_the_directions(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    forth, back = layer_matches(values), layer_matches(values.T.copy())
    np.testing.assert_array_equal(forth.left_to_right, back.right_to_left)
    np.testing.assert_array_equal(forth.right_similarity, back.left_similarity)
    assert forth.left_rank_correlation == back.right_rank_correlation


def test_ties_go_to_the_lower_layer():
    values = np.array([[0.5, 0.5, 0.1], [0.1, 0.5, 0.5], [0.5, 0.1, 0.5], [0.2, 0.2, 0.2]])
    matches = layer_matches(values)
    assert matches.left_to_right.tolist() == [0, 1, 0, 0]
    assert matches.right_to_left.tolist() == [0, 0, 1]


def test_on_a_ridge_matches_rise_with_depth():
    matches = layer_matches(ridge(13, 13))
    assert matches.left_to_right.tolist() == list(range(13))
    assert matches.left_rank_correlation == pytest.approx(1)
    assert matches.right_rank_correlation == pytest.approx(1)


def test_on_a_reversed_ridge_matches_fall_with_depth():
    matches = layer_matches(ridge(13, 13)[:, ::-1].copy())
    assert matches.left_rank_correlation == pytest.approx(-1)
    assert matches.right_rank_correlation == pytest.approx(-1)


def test_the_correlation_is_pearsons_of_average_ranks():
    values = np.zeros((5, 7))
    for i, match in enumerate([1, 4, 4, 2, 6]):
        values[i, match] = 1
    ranks = np.array([1, 3.5, 3.5, 2, 5])
    expected = np.corrcoef(np.arange(5), ranks)[0, 1]
    assert layer_matches(values).left_rank_correlation == pytest.approx(expected)


def test_equal_matches_have_no_correlation_and_give_no_warning():
    matches = layer_matches(np.full((5, 3), 0.5))
    assert matches.left_rank_correlation is None
    assert matches.right_rank_correlation is None
    one_sided = np.zeros((5, 5))
    one_sided[:, 2] = np.linspace(0.1, 0.5, 5)
    assert layer_matches(one_sided).left_rank_correlation is None


@pytest.mark.parametrize(("n_left", "defined"), [(1, False), (2, False), (3, True)])
def test_fewer_than_three_layers_have_no_correlation(n_left: int, defined: bool):
    matches = layer_matches(ridge(n_left, 5))
    assert (matches.left_rank_correlation is not None) == defined


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float):
    values = np.full((3, 5), 0.5)
    values[1, 1] = value
    with pytest.raises(ParameterError, match=r"^values must be finite"):
        layer_matches(values)
