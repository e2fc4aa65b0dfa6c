import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from affinity.measure_properties import check_properties, generic_models
from isodepth.affinity.cka import CKA_MEASURES
from isodepth.errors import ActivationsError


def kernel_of(name: str, layer: np.ndarray) -> np.ndarray:
    if "rbf" not in name:
        return layer @ layer.T
    distances = pdist(layer)
    return np.exp(-(squareform(distances) ** 2) / (2 * (0.8 * np.median(distances)) ** 2))


def hsic(one: np.ndarray, other: np.ndarray) -> float:
    centering = np.eye(len(one)) - 1 / len(one)
    return float(np.trace(one @ centering @ other @ centering))


def unbiased_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """Return what Song et al. 2012 sum over quadruples of different texts."""
    n = len(one)
    total = 0.0
    for i in range(n):
        for j in set(range(n)) - {i}:
            total += one[i, j] * other[i, j] / (n * (n - 1))
            for q in set(range(n)) - {i, j}:
                total -= 2 * one[i, j] * other[i, q] / (n * (n - 1) * (n - 2))
                for r in set(range(n)) - {i, j, q}:
                    total += one[i, j] * other[q, r] / (n * (n - 1) * (n - 2) * (n - 3))
    return total


@pytest.mark.parametrize("name", CKA_MEASURES)
def test_it_has_the_properties_that_it_states(name: str, rng: np.random.Generator):
    check_properties(CKA_MEASURES[name], rng=rng)


@pytest.mark.parametrize("name", CKA_MEASURES)
def test_values_are_those_of_the_definition(name: str, rng: np.random.Generator):
    product = unbiased_hsic if name.endswith("debiased") else hsic
    left, right = ([layer[:11] for layer in side] for side in generic_models(rng))
    for one in left[:2]:
        for other in right:
            k, m = kernel_of(name, one), kernel_of(name, other)
            expected = product(k, m) / np.sqrt(product(k, k) * product(m, m))
            found = CKA_MEASURES[name]([one], [other]).item()
            assert found == pytest.approx(expected, abs=2e-7)


def test_linear_cka_is_that_of_cross_covariances(rng: np.random.Generator):
    one, other = (side[0] - side[0].mean(axis=0) for side in generic_models(rng))
    norms = np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)
    expected = np.linalg.norm(other.T @ one) ** 2 / norms
    assert CKA_MEASURES["cka"]([one], [other]).item() == pytest.approx(expected, abs=2e-7)


def test_with_many_units_the_biased_one_is_high_and_the_debiased_one_zero(rng: np.random.Generator):
    n_texts, n_units = 128, 512
    layers = rng.normal(size=(8, n_texts, n_units))
    off_diagonal = ~np.eye(8, dtype=bool)
    biased, debiased = (
        CKA_MEASURES[name].all_values([layers], None, 0)[off_diagonal]
        for name in ("cka", "cka_debiased")
    )
    assert biased.mean() == pytest.approx(n_units / (n_units + n_texts), abs=0.01)
    assert debiased.mean() == pytest.approx(0, abs=0.01)


def test_rbf_cka_of_mostly_repeated_texts_is_refused(rng: np.random.Generator):
    layer = np.repeat(rng.normal(size=(2, 7)), [10, 1], axis=0)
    with pytest.raises(ActivationsError) as caught:
        CKA_MEASURES["cka_rbf"]([layer], [layer])
    assert caught.value.message == (
        "model 1, layer 1: more than half of all pairs of the 11 texts have the same activations, so the "
        "median distance, by which the kernel's width is set, is 0"
    )
    assert caught.value.hint == "take linear CKA, or leave repeated texts out."


@pytest.mark.parametrize("name", ["cka_debiased", "cka_rbf_debiased"])
def test_texts_that_are_all_equally_far_apart_are_refused(name: str):
    corners = np.eye(11)
    with pytest.raises(ActivationsError, match="layer 1: all pairs of texts are equally far apart"):
        CKA_MEASURES[name]([corners], [corners])
    assert CKA_MEASURES["cka"]([corners], [corners]).item() == 1
