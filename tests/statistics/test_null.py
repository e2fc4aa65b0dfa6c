import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from isodepth.errors import ParameterError
from isodepth.statistics import null_model


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
