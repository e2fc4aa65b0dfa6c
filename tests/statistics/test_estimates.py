import numpy as np
import pytest
from scipy import stats

from isodepth.statistics.estimates import Estimate, resampled_estimate


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_interval_is_normal_around_the_estimate(rng: np.random.Generator, level: float):
    # not around the mean of the resamples, which lies elsewhere
    samples = rng.normal(7, 0.3, size=1009)
    found = resampled_estimate(2.0, samples, level=level, n_texts=97)
    assert (found.low, found.high) == pytest.approx(
        stats.norm.interval(level, loc=2.0, scale=samples.std())
    )
    assert (found.value, found.level, found.n, found.resampled) == (2.0, level, 97, "texts")


def test_the_interval_ends_where_the_number_can_not_lie_beyond(rng: np.random.Generator):
    samples = rng.normal(0.9, 0.3, size=101)
    free = resampled_estimate(0.9, samples, level=0.95, n_texts=97)
    held = resampled_estimate(0.9, samples, level=0.95, n_texts=97, within=(-1.0, 1.0))
    assert free.high > 1
    assert (held.low, held.high) == (free.low, 1.0)
    low = resampled_estimate(-0.9, samples, level=0.95, n_texts=97, within=(-1.0, 1.0))
    assert (low.low, low.high) == (-1.0, pytest.approx(-0.9 + (free.high - 0.9)))


def test_without_scatter_the_interval_is_the_estimate():
    found = resampled_estimate(0.3, np.full(5, 0.1), level=0.95, n_texts=97)
    assert found.low == found.high == pytest.approx(0.3)


def test_it_says_how_the_interval_was_made(rng: np.random.Generator):
    samples = rng.normal(size=1009)
    plain = resampled_estimate(0.3, samples, level=0.95, n_texts=97)
    assert plain.method == "normal interval by the standard deviation of 1,009 resamples"
    said = resampled_estimate(0.3, samples, level=0.95, n_texts=97, how="texts resampled")
    assert said.method == f"{plain.method}; texts resampled"


def test_it_shows_the_interval_if_there_is_one():
    estimate = Estimate(value=0.12345, n=97)
    assert str(estimate) == "0.123"
    assert str(Estimate(value=0.12345, low=0.1, high=0.2, n=97)) == "0.123 [0.100, 0.200]"
    assert estimate.as_dict() == {
        "value": 0.12345,
        "low": None,
        "high": None,
        "level": None,
        "method": "no interval",
        "n": 97,
        "resampled": None,
    }
