import itertools
import math

import numpy as np
import pytest
from scipy import stats

from isodepth.errors import ParameterError
from isodepth.statistics import TEST_METHODS, DiagonalTest, diagonal_test, generalized_diagonal
from isodepth.statistics.diagonal import diagonal_means

METHODS = sorted(TEST_METHODS)


def defined_diagonal(n_left: int, n_right: int) -> np.ndarray:
    """Follow the definition cell by cell: { (i, j) : j <= i <= j + n - m }, n >= m, from 1."""
    if n_left < n_right:
        return defined_diagonal(n_right, n_left).T
    mask = np.zeros((n_left, n_right), dtype=bool)
    for i in range(1, n_left + 1):
        for j in range(1, n_right + 1):
            mask[i - 1, j - 1] = j <= i <= j + n_left - n_right
    return mask


# the generalized diagonal


@pytest.mark.parametrize("n_left", [1, 2, 3, 5, 7, 13, 29])
@pytest.mark.parametrize("n_right", [1, 2, 3, 5, 11, 13, 31])
def test_the_generalized_diagonal_is_the_published_definition(n_left: int, n_right: int):
    mask = generalized_diagonal(n_left, n_right)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, defined_diagonal(n_left, n_right))


@pytest.mark.parametrize(("n_left", "n_right"), [(7, 3), (2, 13), (5, 5), (1, 11)])
def test_exchanging_the_models_transposes_the_diagonal(n_left: int, n_right: int):
    np.testing.assert_array_equal(
        generalized_diagonal(n_left, n_right), generalized_diagonal(n_right, n_left).T
    )


def test_reversing_both_models_keeps_the_diagonal():
    mask = generalized_diagonal(13, 5)
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])


def test_of_equally_many_layers_it_is_the_diagonal():
    np.testing.assert_array_equal(generalized_diagonal(11, 11), np.eye(11, dtype=bool))


def test_of_one_layer_it_is_everything():
    assert generalized_diagonal(7, 1).all()
    assert generalized_diagonal(1, 7).all()


def test_every_layer_has_a_counterpart_and_both_ends_meet():
    mask = generalized_diagonal(13, 5)
    assert mask.any(axis=0).all()
    assert mask.any(axis=1).all()
    assert mask[0, 0]
    assert mask[-1, -1]
    assert mask.sum() == 5 * (13 - 5 + 1)


@pytest.mark.parametrize(("n_left", "n_right"), [(0, 5), (5, 0), (-1, 3)])
def test_fewer_than_one_layer_is_an_error(n_left: int, n_right: int):
    with pytest.raises(ParameterError) as caught:
        generalized_diagonal(n_left, n_right)
    assert caught.value.message == (f"numbers of layers must be at least 1; got {n_left} and {n_right}")


# the test


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return 0.1 + 0.05 * generalized_diagonal(13, 7) + rng.uniform(0, 0.2, size=(13, 7))


def parts(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mask = defined_diagonal(*values.shape)
    return values[mask], values[~mask]


def test_means_and_counts_are_those_of_the_cells(values: np.ndarray):
    test = diagonal_test(values)
    on, off = parts(values)
    assert isinstance(test, DiagonalTest)
    assert (test.n_on, test.n_off) == (len(on), len(off)) == (49, 42)
    assert test.on_mean == pytest.approx(on.mean(), rel=1e-15)
    assert test.off_mean == pytest.approx(off.mean(), rel=1e-15)
    assert test.difference == test.on_mean - test.off_mean


@pytest.mark.parametrize("method", METHODS)
def test_exchanging_the_models_changes_nothing(values: np.ndarray, method: str):
    forth, back = diagonal_test(values, method=method), diagonal_test(values.T.copy(), method=method)
    assert forth.p_value == pytest.approx(back.p_value, rel=1e-9)
    assert forth.statistic == pytest.approx(back.statistic, rel=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_scale_and_offset_change_nothing(values: np.ndarray, method: str):
    moved = diagonal_test(3 * values + 1, method=method)
    assert moved.p_value == pytest.approx(diagonal_test(values, method=method).p_value, rel=1e-9)


@pytest.mark.parametrize("method", ["student", "welch"])
def test_the_negative_has_the_complementary_p_value(values: np.ndarray, method: str):
    negative = diagonal_test(-values, method=method)
    assert negative.p_value == pytest.approx(1 - diagonal_test(values, method=method).p_value)


def test_student_agrees_with_the_textbook(values: np.ndarray):
    on, off = parts(values)
    pooled = (((on - on.mean()) ** 2).sum() + ((off - off.mean()) ** 2).sum()) / (49 + 42 - 2)
    t = (on.mean() - off.mean()) / math.sqrt(pooled * (1 / 49 + 1 / 42))
    test = diagonal_test(values)
    assert test.method == "student"
    assert test.statistic == pytest.approx(t, rel=1e-12)
    assert test.p_value == pytest.approx(stats.t(89).sf(t), rel=1e-9)


def test_welch_agrees_with_the_textbook(values: np.ndarray):
    on, off = parts(values)
    a, b = on.var(ddof=1) / 49, off.var(ddof=1) / 42
    t = (on.mean() - off.mean()) / math.sqrt(a + b)
    freedom = (a + b) ** 2 / (a**2 / 48 + b**2 / 41)
    test = diagonal_test(values, method="welch")
    assert test.statistic == pytest.approx(t, rel=1e-12)
    assert test.p_value == pytest.approx(stats.t(freedom).sf(t), rel=1e-9)


def test_mann_whitney_agrees_with_counting_pairs(values: np.ndarray):
    on, off = parts(values)
    u = sum(float(x > y) + 0.5 * float(x == y) for x in on for y in off)
    # normal approximation with continuity correction; no ties here
    z = (u - 49 * 42 / 2 - 0.5) / math.sqrt(49 * 42 * (49 + 42 + 1) / 12)
    test = diagonal_test(values, method="mann-whitney")
    assert test.statistic == u
    assert test.p_value == pytest.approx(stats.norm.sf(z), rel=1e-9)


@pytest.mark.parametrize(("method", "p_value"), [("student", 0.5), ("welch", 0.5), ("mann-whitney", 1)])
@pytest.mark.parametrize("level", [0.0, 0.1, 1.0])
def test_a_constant_matrix_shows_nothing(method: str, p_value: float, level: float):
    test = diagonal_test(np.full((7, 5), level), method=method)
    assert not math.isnan(test.statistic)
    assert test.p_value == pytest.approx(p_value, abs=0.01)


@pytest.mark.parametrize("level", [0.1, 0.7])
@pytest.mark.parametrize("shape", [(7, 5), (13, 7), (32, 80)])
def test_a_constant_matrix_has_no_difference_even_by_rounding(level: float, shape: tuple[int, int]):
    # sums of 0.1 and of 0.7 round, differently for differently many cells
    test = diagonal_test(np.full(shape, level))
    assert (test.on_mean, test.off_mean, test.difference) == (level, level, 0.0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 5), (11, 2)])
def test_two_layers_leave_two_cells_or_more_on_either_side(
    rng: np.random.Generator, method: str, shape: tuple[int, int]
):
    # no t-test ever has a group of one cell, whose variance is undefined
    test = diagonal_test(rng.uniform(size=shape), method=method)
    assert test.n_off == 2
    assert test.n_on == 2 * (max(shape) - 1)
    assert 0 < test.p_value < 1


def test_mann_whitney_of_few_cells_counts_all_ways_to_place_them(rng: np.random.Generator):
    matrix = rng.uniform(size=(3, 3))
    on, _ = parts(matrix)
    cells = matrix.ravel()

    def u(chosen: tuple[int, ...]) -> int:
        others = np.delete(cells, chosen)
        return sum(int(cells[i] > other) for i in chosen for other in others)

    every = [u(chosen) for chosen in itertools.combinations(range(9), len(on))]
    observed = u((0, 4, 8))
    test = diagonal_test(matrix, method="mann-whitney")
    assert test.statistic == observed
    assert test.p_value == pytest.approx(np.mean(np.array(every) >= observed), rel=1e-12)


def test_mann_whitney_of_ties_agrees_with_the_tie_corrected_variance(rng: np.random.Generator):
    # few texts and few neighbors give few different similarities
    matrix = np.round(rng.uniform(0.1, 0.5, size=(13, 7)) + 0.1 * generalized_diagonal(13, 7), 1)
    on, off = parts(matrix)
    _, counts = np.unique(matrix, return_counts=True)
    assert len(counts) < 10
    u = sum(float(x > y) + 0.5 * float(x == y) for x in on for y in off)
    variance = 49 * 42 / 12 * (92 - (counts**3 - counts).sum() / (91 * 90))
    test = diagonal_test(matrix, method="mann-whitney")
    assert test.statistic == u
    assert test.p_value == pytest.approx(stats.norm.sf((u - 49 * 21 - 0.5) / math.sqrt(variance)))


@pytest.mark.parametrize("method", ["student", "welch"])
def test_two_constant_groups_differ_infinitely(method: str):
    matrix = np.where(generalized_diagonal(7, 5), 0.3, 0.1)
    above, below = diagonal_test(matrix, method=method), diagonal_test(-matrix, method=method)
    assert (above.statistic, above.p_value) == (math.inf, 0.0)
    assert (below.statistic, below.p_value) == (-math.inf, 1.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_against_itself_has_ones_on_the_diagonal_and_passes_without_a_warning(
    rng: np.random.Generator, method: str
):
    # one group has no variance at all, as for every matrix of a model and itself
    matrix = rng.uniform(0.1, 0.5, size=(11, 11))
    np.fill_diagonal(matrix, 1.0)
    test = diagonal_test(matrix, method=method)
    assert test.on_mean == 1.0
    assert 0 <= test.p_value < 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_one_layer_leaves_nothing_to_compare(method: str, shape: tuple[int, int]):
    with pytest.raises(ParameterError) as caught:
        diagonal_test(np.full(shape, 0.5), method=method)
    assert caught.value.message == (
        f"a matrix of {shape[0]} x {shape[1]} layers has no cells off the generalized diagonal, so "
        "there is nothing to compare"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(values: np.ndarray, value: float):
    values[3, 2] = value
    with pytest.raises(ParameterError, match=r"^values must be finite; the matrix holds NaN or infin"):
        diagonal_test(values)


def test_an_unknown_method_is_an_error_with_the_known_ones(values: np.ndarray):
    with pytest.raises(ParameterError) as caught:
        diagonal_test(values, method="t")
    assert caught.value.message == "method must be one of student, welch, mann-whitney; got 't'"


def test_the_input_is_not_changed(values: np.ndarray):
    before = values.copy()
    diagonal_test(values, method="mann-whitney")
    np.testing.assert_array_equal(values, before)


def test_means_alone_are_those_of_the_test_and_refuse_what_it_refuses(rng: np.random.Generator):
    values = rng.random((13, 7))
    test = diagonal_test(values)
    assert diagonal_means(values) == (test.on_mean, test.off_mean)
    with pytest.raises(ParameterError, match="nothing to compare"):
        diagonal_means(values[:1])
    values[3, 5] = np.nan
    with pytest.raises(ParameterError, match="must be finite"):
        diagonal_means(values)
