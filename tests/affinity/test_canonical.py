"""SVCCA and PWCCA against subspace angles, a plain CCA, and scikit-learn's."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles

from affinity import measure_properties
from affinity.measure_properties import check_properties
from isodepth.affinity.canonical import CANONICAL_MEASURES, kept_directions
from isodepth.affinity.centering import centered_layer
from isodepth.errors import ActivationsError

SVCCA, PWCCA = CANONICAL_MEASURES["svcca"], CANONICAL_MEASURES["pwcca"]
TEXTS = 31


def layer_of(rng: np.random.Generator, n_units: int, variances: list[float]) -> np.ndarray:
    """Return a layer whose principal components have these variances, and a mean."""
    components = np.linalg.qr(rng.normal(size=(TEXTS, len(variances))))[0]
    components = np.linalg.qr(components - components.mean(axis=0))[0]
    directions = np.linalg.qr(rng.normal(size=(n_units, len(variances))))[0]
    return components * np.sqrt(variances) @ directions.T + rng.normal(size=n_units)


def principal_scores(layer: np.ndarray) -> np.ndarray:
    """Return the coordinates along the directions with 99 % of the variance, by a plain SVD."""
    u, s, _ = np.linalg.svd(layer - layer.mean(axis=0), full_matrices=False)
    n_kept = next(n for n in range(1, len(s) + 1) if (s[:n] ** 2).sum() >= 0.99 * (s**2).sum())
    return u[:, :n_kept] * s[:n_kept]


def canonical_variables(left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return canonical correlations and the left variables at unit norm, by whitening covariances."""

    def inverse_root(matrix: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return vectors / np.sqrt(values) @ vectors.T

    whiten_left, whiten_right = (inverse_root(side.T @ side) for side in (left, right))
    u, correlations, _ = np.linalg.svd(whiten_left @ left.T @ right @ whiten_right)
    n = min(left.shape[1], right.shape[1])
    return correlations[:n], (left @ whiten_left @ u)[:, :n]


def pwcca_of_side(side: np.ndarray, other: np.ndarray) -> float:
    """Weight correlations by loops over a side's units."""
    correlations, variables = canonical_variables(principal_scores(side), principal_scores(other))
    centered = side - side.mean(axis=0)
    weights = [sum(abs(float(variable @ unit)) for unit in centered.T) for variable in variables.T]
    return float(np.dot(weights, correlations) / np.sum(weights))


def test_svcca_holds_what_it_states(rng: np.random.Generator):
    check_properties(SVCCA, rng=rng)


def test_pwcca_holds_what_it_states(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    # equally many units: where one layer has fewer directions, only its units' weights count
    monkeypatch.setattr(measure_properties, "N_UNITS", (7, 7))
    check_properties(PWCCA, rng=rng)


def test_as_few_directions_as_hold_99_percent_are_kept(rng: np.random.Generator):
    for variances, n_kept in (
        ([0.9, 0.08, 0.015, 0.005], 3),
        ([0.991, 0.005, 0.004], 1),
        ([0.5, 0.48, 0.009, 0.006, 0.005], 4),
        ([1.0], 1),
    ):
        for n_units in (7, 53):
            kept = kept_directions(layer_of(rng, n_units, variances))
            assert kept.basis.shape == (TEXTS, n_kept)
            assert kept.loadings.shape == (n_kept, n_units)
            np.testing.assert_allclose(kept.basis.T @ kept.basis, np.eye(n_kept), atol=1e-10)
            explained = (kept.loadings**2).sum(axis=1)
            expected = np.array(variances[:n_kept])
            np.testing.assert_allclose(explained / explained[0], expected / expected[0], rtol=1e-10)


@pytest.mark.parametrize("n_units", [5, 29, 31, 53])
def test_svcca_is_the_mean_cosine_of_the_angles_between_subspaces(
    rng: np.random.Generator, n_units: int
):
    common = rng.normal(size=(TEXTS, 3))
    left, right = (common @ rng.normal(size=(3, n)) + rng.normal(size=(TEXTS, n)) for n in (n_units, 7))
    angles = subspace_angles(principal_scores(left), principal_scores(right))
    assert SVCCA([left], [right])[0, 0] == pytest.approx(np.cos(angles).mean(), abs=1e-10)


def test_svcca_agrees_with_scikit_learn(rng: np.random.Generator):
    cross_decomposition = pytest.importorskip(
        "sklearn.cross_decomposition", reason="scikit-learn is not installed"
    )
    left, right = layer_of(rng, 11, [5.0, 3.0, 2.0, 1.0]), layer_of(rng, 13, [4.0, 2.0, 1.0])
    scores = principal_scores(left), principal_scores(right)
    cca = cross_decomposition.CCA(n_components=3, tol=1e-12, max_iter=20_000).fit(*scores)
    pairs = zip(*(side.T for side in cca.transform(*scores)), strict=True)
    correlations = [np.corrcoef(one, other)[0, 1] for one, other in pairs]
    assert SVCCA([left], [right])[0, 0] == pytest.approx(np.mean(correlations), abs=1e-6)


@pytest.mark.parametrize("n_units", [(5, 11), (11, 5), (17, 7)])
def test_pwcca_weights_by_the_units_of_the_layer_with_fewer_directions(
    rng: np.random.Generator, n_units: tuple[int, int]
):
    common = rng.normal(size=(TEXTS, 3))
    left, right = (common @ rng.normal(size=(3, n)) + rng.normal(size=(TEXTS, n)) for n in n_units)
    fewer, more = sorted([left, right], key=lambda layer: principal_scores(layer).shape[1])
    expected = pwcca_of_side(fewer, more)
    assert abs(expected - SVCCA([left], [right])[0, 0]) > 1e-3
    assert PWCCA([left], [right])[0, 0] == pytest.approx(expected, abs=1e-10)


def test_pwcca_is_the_mean_of_both_sides_where_they_have_as_many_directions(rng: np.random.Generator):
    left, right = layer_of(rng, 11, [5.0, 3.0, 2.0]), layer_of(rng, 7, [4.0, 2.0, 1.0])
    sides = pwcca_of_side(left, right), pwcca_of_side(right, left)
    assert abs(sides[0] - sides[1]) > 1e-3
    assert PWCCA([left], [right])[0, 0] == pytest.approx(np.mean(sides), abs=1e-10)


def test_units_that_do_not_vary_change_nothing(rng: np.random.Generator):
    # with them there are more units than texts, and the Gram matrix of the texts is taken
    left, right = layer_of(rng, 5, [5.0, 3.0, 2.0]), layer_of(rng, 7, [4.0, 2.0, 1.0])
    padded = np.pad(left, ((0, 0), (0, 37)), constant_values=0.7)
    for measure in (SVCCA, PWCCA):
        values = measure([left, padded], [right])
        assert values[0, 0] == pytest.approx(values[1, 0], abs=1e-10)


def test_as_many_units_as_texts_do_not_make_all_layers_alike(rng: np.random.Generator):
    noise = rng.normal(size=(2, TEXTS, 37))
    falling = [layer_of(rng, 37, list(0.5 ** np.arange(17))) for _ in range(2)]
    for measure in (SVCCA, PWCCA):
        assert measure(noise[:1], noise[1:])[0, 0] < 0.95
        assert measure(falling[:1], falling[1:])[0, 0] < 0.6


def test_a_layer_of_which_nothing_varies_is_named(rng: np.random.Generator):
    # the mean of 0.1 over 31 texts is not 0.1 to the last bit
    flat = np.full((TEXTS, 3), 0.1) * [1, 1e6, 1e-6]
    with pytest.raises(ActivationsError) as caught:
        SVCCA([rng.normal(size=(TEXTS, 5)), flat], [rng.normal(size=(TEXTS, 5))])
    assert caught.value.message == (
        "model 1, layer 2: all texts of (texts, units) = (31, 3) have the same activations, so nothing "
        "varies that could be compared"
    )
    assert (
        caught.value.hint
        == "leave this layer out; the layer of a token that all texts share is often so."
    )


@pytest.mark.parametrize("n_units", [(53, 53), (53, 23), (31, 31)])
def test_directions_of_equal_correlation_do_not_turn_pwcca(
    rng: np.random.Generator, n_units: tuple[int, int]
):
    # both keep so many directions that they span common ones, whatever the activations
    left, right = (rng.normal(size=(TEXTS, n)) for n in n_units)
    both = sum(kept_directions(layer).basis.shape[1] for layer in (left, right))
    assert both > TEXTS
    value = PWCCA([left], [right])[0, 0]
    assert PWCCA([right], [left])[0, 0] == pytest.approx(value, abs=1e-12)
    assert PWCCA([3 * left + 1], [right / 7])[0, 0] == pytest.approx(value, abs=1e-10)
    values = PWCCA.all_values([[left, right]], None, 0)
    np.testing.assert_allclose(values, values.T, atol=0)
    np.testing.assert_allclose(np.diag(values), 1, atol=1e-12)


def test_scales_at_the_ends_of_the_range_change_nothing(rng: np.random.Generator):
    left, right = layer_of(rng, 11, [5.0, 3.0, 2.0]), layer_of(rng, 7, [4.0, 2.0, 1.0])
    for measure in (SVCCA, PWCCA):
        plain = measure([left], [right])[0, 0]
        for scale in (1e-160, 1e160):
            assert measure([left * scale], [right])[0, 0] == pytest.approx(plain, abs=1e-10)


def test_a_unit_that_varies_beside_huge_ones_that_do_not_is_enough(rng: np.random.Generator):
    small = np.column_stack([np.full(TEXTS, 1e15), rng.normal(size=TEXTS)])
    centered = small[:, 1] - small[:, 1].mean()
    np.testing.assert_allclose(centered_layer(small)[:, 1], centered / np.abs(centered).max())
