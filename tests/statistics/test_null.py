import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from isodepth.errors import ParameterError
from isodepth.statistics import null_model
from isodepth.statistics.null import exact_null


@pytest.mark.parametrize(("n_texts", "k"), [(3, 1), (5, 2), (13, 5), (101, 7), (2048, 10), (11, 10)])
def test_mean_and_sd_are_those_of_the_hypergeometric_distribution(n_texts: int, k: int):
    shared = np.arange(k + 1)
    weight = stats.hypergeom(n_texts - 1, k, k).pmf(shared)
    mean = (weight * shared).sum()
    variance = (weight * (shared - mean) ** 2).sum()
    null = null_model(n_texts, k)
    assert null.mean == pytest.approx(mean / k, rel=1e-9)
    assert null.sd == pytest.approx(math.sqrt(variance / n_texts) / k, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(("n_texts", "k"), [(4, 1), (4, 2), (6, 2), (7, 3)])
def test_mean_and_sd_are_those_of_all_pairs_of_neighborhoods(n_texts: int, k: int):
    # of one text: every set of k others against every set of k others
    sets = [set(some) for some in itertools.combinations(range(n_texts - 1), k)]
    shares = np.array([len(one & other) / k for one in sets for other in sets])
    null = null_model(n_texts, k)
    assert null.mean == pytest.approx(shares.mean(), rel=1e-12)
    assert null.sd == pytest.approx(shares.std() / math.sqrt(n_texts), rel=1e-12)


def test_mean_and_sd_agree_with_drawing_neighborhoods(rng: np.random.Generator):
    n_texts, k, n_draws = 23, 5, 4001
    shared = rng.hypergeometric(k, n_texts - 1 - k, k, size=(n_draws, n_texts))
    similarities = shared.mean(axis=1) / k
    null = null_model(n_texts, k)
    assert abs(similarities.mean() - null.mean) < 4 * null.sd / math.sqrt(n_draws)
    assert similarities.std() == pytest.approx(null.sd, rel=0.05)


def test_the_published_probability_of_four_tenths():
    # Wolfram & Schein 2025, appendix B: "of the order of 10^-143,449"; to two decimals in METHOD.md
    assert round(null_model(2048, 10).log10_sf(0.4), 2) == -143449.86


@pytest.mark.parametrize(("n_texts", "k"), [(13, 5), (2048, 10)])
def test_the_density_integrates_to_one(n_texts: int, k: int):
    null = null_model(n_texts, k)
    area, _ = integrate.quad(
        lambda x: math.exp(null.log_pdf(x)), null.mean - 12 * null.sd, null.mean + 12 * null.sd
    )
    assert area == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("z", [-9, -1, 0, 0.5, 3, 20, 37])
def test_density_and_tail_agree_with_the_normal_distribution(z: float):
    null = null_model(211, 7)
    normal = stats.norm(null.mean, null.sd)
    similarity = null.mean + z * null.sd
    assert null.log_pdf(similarity) == pytest.approx(normal.logpdf(similarity), rel=1e-9)
    log10_tail = normal.logsf(similarity) / math.log(10)
    assert null.log10_sf(similarity) == pytest.approx(log10_tail, rel=1e-9)


def test_half_of_unrelated_layers_lie_above_the_mean():
    null = null_model(211, 7)
    assert null.log10_sf(null.mean) == pytest.approx(math.log10(0.5))


def test_the_tail_falls_with_the_similarity():
    null = null_model(2048, 10)
    tails = [null.log10_sf(similarity) for similarity in np.linspace(0, 1, 101)]
    assert all(later < earlier for earlier, later in itertools.pairwise(tails[1:]))
    assert all(tail <= 0 for tail in tails)


def test_with_all_others_as_neighbors_there_is_no_chance_left():
    null = null_model(7, 6)
    assert (null.mean, null.sd) == (1.0, 0.0)
    assert null.log10_sf(1.0) == 0.0
    assert null.log10_sf(1.5) == -math.inf
    assert null.log_pdf(0.5) == -math.inf


@pytest.mark.parametrize(("n_texts", "k"), [(2, 1), (0, 0), (7, 0), (7, 7), (7, 8)])
def test_numbers_that_cannot_be_are_an_error_with_both(n_texts: int, k: int):
    with pytest.raises(ParameterError) as caught:
        null_model(n_texts, k)
    assert caught.value.message == (
        f"null model: expected n_texts >= 3 and 1 <= k < n_texts; got n_texts = {n_texts}, k = {k}"
    )


SIZES = [(3, 1), (3, 2), (5, 2), (7, 5), (11, 10), (13, 5), (101, 7), (251, 10)]


@pytest.mark.parametrize(("n_texts", "k"), SIZES)
def test_the_exact_null_has_mean_and_sd_of_the_closed_form(n_texts: int, k: int):
    exact, null = exact_null(n_texts, k), null_model(n_texts, k)
    weights = np.exp(exact.log_pmf)
    similarities = np.arange(n_texts * k + 1) / (n_texts * k)
    assert weights.sum() == pytest.approx(1, abs=1e-10)
    mean = (weights * similarities).sum()
    assert mean == pytest.approx(null.mean, rel=1e-10)
    sd = math.sqrt((weights * (similarities - mean) ** 2).sum())
    assert sd == pytest.approx(null.sd, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("n_texts", "k"), [(4, 1), (5, 2), (5, 3), (6, 4)])
def test_the_exact_null_counts_what_all_neighborhoods_share(n_texts: int, k: int):
    # of one text: every set of k others against one; then all texts, one convolution a text
    sets = [set(some) for some in itertools.combinations(range(n_texts - 1), k)]
    of_one = np.bincount([len(sets[0] & other) for other in sets], minlength=k + 1) / len(sets)
    of_all = np.ones(1)
    for _ in range(n_texts):
        of_all = np.convolve(of_all, of_one)
    exact = exact_null(n_texts, k)
    np.testing.assert_allclose(np.exp(exact.log_pmf), of_all, rtol=1e-12)
    np.testing.assert_allclose(np.exp(exact.log_sf), of_all[::-1].cumsum()[::-1], rtol=1e-12)


def test_all_texts_sharing_all_neighbors_by_chance_does_not_underflow():
    n_texts, k = 251, 10
    log_one = -math.log(math.comb(n_texts - 1, k))
    exact = exact_null(n_texts, k)
    assert exact.log_pmf[-1] == pytest.approx(n_texts * log_one, rel=1e-13)
    assert exact.log10_sf(1.0) == pytest.approx(n_texts * log_one / math.log(10), rel=1e-13)
    assert exact.log10_sf(1.0) < -4000
    assert exact.log10_sf(1.1) == -math.inf
    assert exact.log10_sf(0.0) == exact.log10_sf(-1.0) == 0.0


def test_the_exact_tail_falls_at_every_count_and_rounding_moves_none():
    exact = exact_null(101, 7)
    tails = [exact.log10_sf(count / (101 * 7)) for count in range(101 * 7 + 1)]
    assert all(later < earlier for earlier, later in itertools.pairwise(tails[10:]))
    np.testing.assert_allclose(tails, exact.log_sf / math.log(10))


@pytest.mark.parametrize("z", [-2, -1, 0, 1, 2])
def test_the_normal_approximation_is_good_in_the_bulk(z: int):
    n_texts, k = 541, 10
    exact, null = exact_null(n_texts, k), null_model(n_texts, k)
    count = round((null.mean + z * null.sd) * n_texts * k)
    similarity = count / (n_texts * k)
    density = math.exp(null.log_pdf(similarity)) / (n_texts * k)
    assert math.exp(exact.log_pmf[count]) == pytest.approx(density, rel=0.1)
    half_a_count_below = (count - 0.5) / (n_texts * k)
    assert 10 ** exact.log10_sf(similarity) == pytest.approx(
        10 ** null.log10_sf(half_a_count_below), abs=0.01
    )


def test_the_normal_approximation_is_wrong_by_thousands_of_digits_far_out():
    exact, null = exact_null(541, 10), null_model(541, 10)
    assert null.log10_sf(0.4) < -9_000
    assert -2_400 < exact.log10_sf(0.4) < -2_300


def test_an_exact_null_that_would_take_long_is_an_error_with_the_next_step():
    with pytest.raises(ParameterError) as caught:
        exact_null(2048, 100)
    assert caught.value.message == (
        "exact null: n_texts = 2,048 and k = 100 would take about 4e+11 multiplications of words in "
        "numbers of 1,170,673 bits; expected at most 2e+09"
    )
    assert caught.value.hint == (
        "null_model gives the normal approximation at once; exact_null is for checks at a smaller "
        "n_texts or k."
    )


def test_numbers_that_cannot_be_have_no_exact_null():
    with pytest.raises(ParameterError, match="got n_texts = 7, k = 7"):
        exact_null(7, 7)
