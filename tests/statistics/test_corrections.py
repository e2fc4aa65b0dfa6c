import itertools

import numpy as np
import pytest

from isodepth.errors import ParameterError
from isodepth.statistics.corrections import CORRECTIONS, adjust_p_values

METHODS = sorted(CORRECTIONS)


@pytest.fixture
def p_values(rng: np.random.Generator) -> np.ndarray:
    # from far below any threshold to 1, with ties
    drawn = np.concatenate([10.0 ** rng.uniform(-300, 0, size=19), rng.uniform(size=17), [0.5, 0.5, 1]])
    return rng.permutation(drawn)


def slow(p_values: np.ndarray, method: str) -> list[float]:
    """Follow each definition one p-value at a time."""
    n = len(p_values)
    if method == "bonferroni":
        return [min(1.0, n * p) for p in p_values]
    ranked = sorted(p_values)
    if method == "holm":
        # the largest of the smaller ones' (n - i + 1) p_(i)
        return [min(1.0, max((n - i) * q for i, q in enumerate(ranked) if q <= p)) for p in p_values]
    factor = sum(1 / i for i in range(1, n + 1)) if method == "benjamini-yekutieli" else 1.0
    # the smallest of the larger ones' n p_(i) / i
    return [
        min(1.0, min(factor * n * q / i for i, q in enumerate(ranked, 1) if q >= p)) for p in p_values
    ]


@pytest.mark.parametrize("method", METHODS)
def test_adjusted_p_values_follow_the_definitions(p_values: np.ndarray, method: str):
    np.testing.assert_allclose(adjust_p_values(p_values, method), slow(p_values, method), rtol=1e-13)


def test_bonferroni_is_the_default(p_values: np.ndarray):
    np.testing.assert_array_equal(adjust_p_values(p_values), adjust_p_values(p_values, "bonferroni"))


@pytest.mark.parametrize("method", METHODS)
def test_a_larger_p_value_is_not_adjusted_to_a_smaller_one(p_values: np.ndarray, method: str):
    adjusted = adjust_p_values(p_values, method)
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_pairs_changes_nothing(
    p_values: np.ndarray, method: str, rng: np.random.Generator
):
    order = rng.permutation(len(p_values))
    np.testing.assert_array_equal(
        adjust_p_values(p_values[order], method), adjust_p_values(p_values, method)[order]
    )


def test_each_method_is_at_most_as_strict_as_the_one_before(p_values: np.ndarray):
    by_method = [adjust_p_values(p_values, m) for m in ("bonferroni", "holm", "benjamini-hochberg")]
    for stricter, milder in itertools.pairwise([*by_method, p_values]):
        assert (milder <= stricter * (1 + 1e-14)).all()
    yekutieli = adjust_p_values(p_values, "benjamini-yekutieli")
    assert (yekutieli >= by_method[2]).all()
    assert (yekutieli <= 1).all()


@pytest.mark.parametrize("method", METHODS)
def test_one_p_value_is_left_as_it_is(method: str):
    assert adjust_p_values([0.03], method).tolist() == [0.03]


@pytest.mark.parametrize("method", METHODS)
def test_the_smallest_and_largest_p_values_stay_exact(method: str):
    # the smallest positive float, and the largest below 1
    smallest, largest = 5e-324, np.nextafter(1.0, 0.0)
    adjusted = adjust_p_values(np.array([smallest, 0.0, 1.0, largest]), method)
    assert adjusted[0] >= smallest
    assert adjusted[0] <= 10 * smallest
    assert adjusted[1] == 0
    assert adjusted[2] == 1
    assert largest <= adjusted[3] <= 1


@pytest.mark.parametrize("method", METHODS)
def test_the_shape_is_kept_and_the_input_not_changed(p_values: np.ndarray, method: str):
    before = p_values.copy()
    table = adjust_p_values(p_values.reshape(3, 13), method)
    np.testing.assert_array_equal(table, adjust_p_values(p_values, method).reshape(3, 13))
    assert table.dtype == np.float64
    np.testing.assert_array_equal(p_values, before)


def test_unusable_p_values_are_all_listed():
    with pytest.raises(ParameterError) as caught:
        adjust_p_values(np.array([0.5, np.nan, 1.5, 0.1, -0.25]))
    assert caught.value.message == (
        "p-values must lie in 0 to 1; got nan at 1, 1.5 at 2, -0.25 at 4 (counted from 0)"
    )
    assert caught.value.hint is not None
    assert "leave it out" in caught.value.hint
    with pytest.raises(ParameterError, match=r"got inf at \(1, 2\) \(counted from 0\)"):
        adjust_p_values(np.array([[0.1, 0.2, 0.3], [0.4, 0.5, np.inf]]))


def test_no_p_values_are_an_error():
    with pytest.raises(
        ParameterError, match=r"^expected at least one p-value; got none, in shape \(0,\)"
    ):
        adjust_p_values([])


def test_an_unknown_method_is_an_error_with_the_nearest():
    with pytest.raises(ParameterError) as caught:
        adjust_p_values([0.1], "bonferoni")
    assert caught.value.message == (
        "method must be one of bonferroni, holm, benjamini-hochberg, benjamini-yekutieli; "
        "got 'bonferoni'"
    )
    assert caught.value.hint == "Did you mean 'bonferroni'?"
    with pytest.raises(ParameterError) as caught:
        adjust_p_values([0.1], "xyz")
    assert caught.value.hint is None
