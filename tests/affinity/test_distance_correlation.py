import os
from collections.abc import Callable

import numpy as np
import pytest
import torch

from affinity.measure_properties import check_properties, generic_models
from isodepth.affinity.cka import CKA_MEASURES
from isodepth.affinity.distance_correlation import DISTANCE_MEASURES
from isodepth.errors import ActivationsError


@pytest.fixture(scope="module")
def dcor_measures() -> dict[str, Callable[..., float]]:
    import dcor  # compiles for seconds: here, so that one process of tests does so and not all

    return {
        "distance_correlation": dcor.distance_correlation,
        "distance_correlation_debiased": dcor.u_distance_correlation_sqr,
    }


@pytest.mark.parametrize("name", DISTANCE_MEASURES)
def test_it_has_the_properties_that_it_states(name: str, rng: np.random.Generator):
    check_properties(DISTANCE_MEASURES[name], rng=rng)


@pytest.mark.parametrize("name", DISTANCE_MEASURES)
def test_values_are_those_of_dcor(
    name: str, dcor_measures: dict[str, Callable[..., float]], rng: np.random.Generator
):
    left, right = generic_models(rng)
    expected = [[dcor_measures[name](one, other) for other in right] for one in left]
    np.testing.assert_allclose(DISTANCE_MEASURES[name](left, right), expected, atol=2e-7)


def test_what_no_linear_measure_sees_is_seen(rng: np.random.Generator):
    angle = rng.uniform(0, 2 * np.pi, size=(199, 1))
    circle, twice = (np.hstack([np.cos(m * angle), np.sin(m * angle)]) for m in (1, 2))
    linear = CKA_MEASURES["cka_debiased"]([circle], [twice]).item()
    seen = DISTANCE_MEASURES["distance_correlation_debiased"]([circle], [twice]).item()
    assert abs(linear) < 0.01 < 0.1 < seen


def test_texts_that_are_all_equally_far_apart_are_refused():
    corners = np.eye(11)
    with pytest.raises(ActivationsError, match="layer 1: all pairs of texts are equally far apart"):
        DISTANCE_MEASURES["distance_correlation_debiased"]([corners], [corners])
    assert DISTANCE_MEASURES["distance_correlation"]([corners], [corners]).item() == 1


@pytest.mark.skipif(os.environ["OMP_NUM_THREADS"] != "1", reason="OMP_NUM_THREADS asks for several")
def test_nothing_that_tests_import_gives_torch_more_threads(dcor_measures: object):
    """Two processes of two threads each, on two cores, wait for each other most of the time.

    dcor has code that Numba compiles for several threads.
    """
    assert torch.get_num_threads() == 1
