import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats
from studies.calibration.zoo import FAMILIES, SITUATIONS, additive, of_families, zoo_size

from isodepth.errors import ParameterError
from isodepth.statistics.zoo import FEWEST_MODELS, zoo_test

FAMILIES_OF_SEVEN = ["A", "A", "B", "C", "C", "C", "D"]


@pytest.fixture
def statistic(rng: np.random.Generator) -> np.ndarray:
    table = SITUATIONS["model and pair effects alike"](rng, 7) + 1.0
    np.fill_diagonal(table, np.nan)
    return table


def pair_mean(statistic: np.ndarray, models: list[int]) -> float:
    values = [statistic[a, b] for a, b in itertools.combinations(models, 2)]
    return float(np.nanmean(values))


# agreement with the slow way


def test_it_is_the_jackknife_over_models(statistic: np.ndarray):
    test = zoo_test(statistic, labels=list("abcdefg"), level=0.9)
    everyone = list(range(7))
    without = [pair_mean(statistic, [m for m in everyone if m != out]) for out in everyone]
    error = math.sqrt(6 / 7 * sum((mean - np.mean(without)) ** 2 for mean in without))
    mean = pair_mean(statistic, everyone)
    np.testing.assert_allclose(test.means_without, without, rtol=1e-12)
    assert test.mean.value == pytest.approx(mean, rel=1e-12)
    assert test.standard_error == pytest.approx(error, rel=1e-12)
    assert test.statistic == pytest.approx(mean / error, rel=1e-12)
    assert test.p_value == pytest.approx(stats.t(6).sf(mean / error), rel=1e-9)
    assert test.degrees_of_freedom == 6
    assert test.mean.low == pytest.approx(mean - stats.t(6).ppf(0.95) * error, rel=1e-12)
    assert test.mean.high == pytest.approx(mean + stats.t(6).ppf(0.95) * error, rel=1e-12)
    assert (test.mean.n, test.mean.resampled, test.mean.level) == (7, "models", 0.9)
    assert test.mean.method == (
        "jackknife leaving out one model at a time, Student's t with 6 degrees of freedom"
    )
    assert test.labels == test.units == tuple("abcdefg")
    assert test.n_pairs == 21


def test_with_groups_whole_families_are_left_out(statistic: np.ndarray):
    test = zoo_test(statistic, groups=FAMILIES_OF_SEVEN)
    without = [
        pair_mean(statistic, [m for m in range(7) if FAMILIES_OF_SEVEN[m] != family])
        for family in "ABCD"
    ]
    error = math.sqrt(3 / 4 * sum((mean - np.mean(without)) ** 2 for mean in without))
    assert test.units == tuple("ABCD")
    np.testing.assert_allclose(test.means_without, without, rtol=1e-12)
    assert test.standard_error == pytest.approx(error, rel=1e-12)
    assert test.degrees_of_freedom == 3
    # pairs within a family count still
    assert test.n_pairs == 21
    assert (test.mean.n, test.mean.resampled) == (4, "groups of models")
    assert "leaving out one group of models at a time" in test.mean.method


def test_missing_pairs_are_left_out_everywhere(statistic: np.ndarray):
    for a, b in [(0, 3), (5, 2)]:
        statistic[a, b] = statistic[b, a] = np.nan
    test = zoo_test(statistic)
    everyone = list(range(7))
    without = [pair_mean(statistic, [m for m in everyone if m != out]) for out in everyone]
    np.testing.assert_allclose(test.means_without, without, rtol=1e-12)
    assert test.mean.value == pytest.approx(pair_mean(statistic, everyone), rel=1e-12)
    np.testing.assert_allclose(test.model_means, np.nanmean(statistic, axis=1), rtol=1e-12)
    assert test.n_pairs == 19


def test_without_pair_effects_the_error_is_that_of_a_mean_of_models(rng: np.random.Generator):
    # the mean of u_a + u_b over pairs is twice the mean of u, whose error everyone knows
    u = rng.normal(size=11)
    test = zoo_test(u[:, np.newaxis] + u)
    textbook = stats.ttest_1samp(u, 0, alternative="greater")
    assert test.mean.value == pytest.approx(2 * u.mean(), rel=1e-9)
    assert test.standard_error == pytest.approx(2 * u.std(ddof=1) / math.sqrt(11), rel=1e-9)
    assert test.p_value == pytest.approx(textbook.pvalue, rel=1e-9)


def test_the_naive_p_value_is_that_of_the_t_test_over_pairs(statistic: np.ndarray):
    pairs = statistic[np.triu_indices(7, 1)]
    expected = stats.ttest_1samp(pairs, 0, alternative="greater").pvalue
    naive = zoo_test(statistic).p_value_as_if_pairs_were_independent
    assert naive == pytest.approx(expected, rel=1e-9)


# properties


def test_the_order_of_models_changes_nothing(statistic: np.ndarray, rng: np.random.Generator):
    order = rng.permutation(7)
    groups = [FAMILIES_OF_SEVEN[i] for i in order]
    for forth, back in (
        (zoo_test(statistic), zoo_test(statistic[np.ix_(order, order)])),
        (
            zoo_test(statistic, groups=FAMILIES_OF_SEVEN),
            zoo_test(statistic[np.ix_(order, order)], groups=groups),
        ),
    ):
        assert forth.p_value == pytest.approx(back.p_value, rel=1e-9)
        assert forth.mean.low == pytest.approx(back.mean.low, rel=1e-9)
        np.testing.assert_allclose(forth.model_means[order], back.model_means, rtol=1e-12)


def test_scale_changes_no_p_value_and_a_shift_moves_the_interval(statistic: np.ndarray):
    test, moved = zoo_test(statistic), zoo_test(3 * statistic + 2)
    assert zoo_test(3 * statistic).p_value == pytest.approx(test.p_value, rel=1e-9)
    assert moved.standard_error == pytest.approx(3 * test.standard_error, rel=1e-9)
    assert moved.mean.low == pytest.approx(3 * test.mean.low + 2, rel=1e-9)


def test_the_negative_has_the_complementary_p_value(statistic: np.ndarray):
    assert zoo_test(-statistic).p_value == pytest.approx(1 - zoo_test(statistic).p_value)


def test_families_of_one_model_are_models(statistic: np.ndarray):
    by_model, by_group = zoo_test(statistic), zoo_test(statistic, groups=list("ABCDEFG"))
    assert by_model.p_value == by_group.p_value
    assert by_model.standard_error == by_group.standard_error


def test_one_odd_model_is_the_one_whose_absence_changes_most(statistic: np.ndarray):
    statistic[4] -= 10
    statistic[:, 4] -= 10
    test = zoo_test(statistic, labels=list("abcdefg"))
    assert test.labels[test.model_means.argmin()] == "e"
    assert test.units[test.means_without.argmax()] == "e"


def test_the_diagonal_does_not_count(statistic: np.ndarray):
    before = zoo_test(statistic)
    np.fill_diagonal(statistic, [9, np.nan, -3, np.inf, 0, 1, -np.inf])
    after = zoo_test(statistic)
    assert after.p_value == before.p_value
    np.testing.assert_array_equal(after.model_means, before.model_means)


@pytest.mark.parametrize(
    ("value", "ratio", "p_value"), [(0.1, math.inf, 0.0), (0.0, 0.0, 0.5), (-0.7, -math.inf, 1.0)]
)
def test_pairs_that_are_all_equal_have_no_error(value: float, ratio: float, p_value: float):
    test = zoo_test(np.full((7, 7), value))
    assert (test.mean.value, test.mean.low, test.mean.high) == (value, value, value)
    assert (test.standard_error, test.statistic, test.p_value) == (0.0, ratio, p_value)
    assert test.p_value_as_if_pairs_were_independent == p_value


def test_three_models_are_enough(statistic: np.ndarray):
    test = zoo_test(statistic[:3, :3].copy())
    assert FEWEST_MODELS == 3
    assert test.degrees_of_freedom == 2
    # what is left without one of three is the pair of the others
    assert test.means_without.tolist() == pytest.approx(
        [statistic[1, 2], statistic[0, 2], statistic[0, 1]]
    )


def test_the_input_is_not_changed_and_rounding_is_no_asymmetry(statistic: np.ndarray):
    statistic[0, 1] *= 1 + 1e-15
    before = statistic.copy()
    zoo_test(statistic)
    np.testing.assert_array_equal(statistic, before)


# size, by simulation without an effect (studies/calibration/zoo.py has more of it)


def test_no_effect_is_found_as_often_as_stated_and_far_too_often_by_pairs():
    size = zoo_size(24, 2000, seed=7)
    assert 0.035 <= size.jackknife <= 0.065
    assert 0.935 <= size.jackknife_coverage <= 0.965
    assert size.as_if_independent > 0.25
    assert size.percentile is None


@pytest.mark.parametrize("situation", ["pair effects only", "products of model effects"])
def test_where_no_model_matters_the_test_is_careful(situation: str):
    size = zoo_size(11, 500, seed=7, draw=SITUATIONS[situation])
    assert size.jackknife < 0.035


def test_models_of_families_need_whole_families_left_out():
    draw = additive(of_families)
    by_model = zoo_size(24, 500, seed=7, draw=draw)
    by_family = zoo_size(24, 500, seed=7, draw=draw, groups=FAMILIES)
    assert by_model.jackknife > 0.12
    assert by_family.jackknife < 0.08


def test_with_few_models_a_bootstrap_of_models_rejects_more_often_than_leaving_out():
    size = zoo_size(5, 500, seed=7, bootstrap=True)
    assert size.jackknife < 0.065 < size.bootstrap_t < size.percentile
    assert all(0 <= rate <= 1 for rate in dataclasses.astuple(size))


# what is refused


def test_a_statistic_that_is_not_symmetric_is_refused_with_all_pairs(statistic: np.ndarray):
    statistic[:] = 0.5
    statistic[2, 1], statistic[6, 0] = 0.25, np.nan
    with pytest.raises(ParameterError) as caught:
        zoo_test(statistic, labels=list("abcdefg"))
    assert caught.value.message == (
        "the statistic must be symmetric; got 0.5 and nan for a x g, 0.5 and 0.25 for b x c"
    )
    assert caught.value.hint == "Give each unordered pair one number, at both of its places."


def test_an_infinite_statistic_is_refused(statistic: np.ndarray):
    statistic[3, 5] = statistic[5, 3] = -np.inf
    with pytest.raises(ParameterError, match=r"must be finite or NaN; got -inf and -inf for 4 x 6\n"):
        zoo_test(statistic)


@pytest.mark.parametrize("n_models", [0, 1, 2])
def test_fewer_than_three_models_are_refused(n_models: int):
    with pytest.raises(ParameterError) as caught:
        zoo_test(np.full((n_models, n_models), 0.5))
    assert caught.value.message == f"expected at least 3 models; got {n_models}"
    assert caught.value.hint is not None
    assert "diagonal_test" in caught.value.hint


def test_fewer_than_three_groups_are_refused(statistic: np.ndarray):
    with pytest.raises(ParameterError, match=r"^expected at least 3 groups of models; got 2\n"):
        zoo_test(statistic, groups=list("AABBBBB"))


def test_models_without_a_pair_are_all_listed(statistic: np.ndarray):
    for lonely in (1, 4):
        statistic[lonely] = statistic[:, lonely] = np.nan
    with pytest.raises(ParameterError, match=r"must have a pair with a value; none has b, e\n"):
        zoo_test(statistic, labels=list("abcdefg"))


def test_a_model_that_holds_all_pairs_is_refused(statistic: np.ndarray):
    star = np.full((7, 7), np.nan)
    star[3], star[:, 3] = statistic[3], statistic[3]
    with pytest.raises(ParameterError, match=r"^no pair is left to average without d\n"):
        zoo_test(star, labels=list("abcdefg"))


@pytest.mark.parametrize("what", ["labels", "groups"])
def test_names_for_another_number_of_models_are_refused(statistic: np.ndarray, what: str):
    with pytest.raises(ParameterError) as caught:
        zoo_test(statistic, **{what: list("abcde")})
    assert caught.value.message == (
        f"expected one of {what} per model; got 5 for (models, models) = (7, 7)"
    )


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_a_level_outside_0_to_1_is_refused(statistic: np.ndarray, level: float):
    with pytest.raises(ParameterError, match=r"^level must lie between 0 and 1; got"):
        zoo_test(statistic, level=level)
