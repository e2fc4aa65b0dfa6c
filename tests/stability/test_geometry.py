import numpy as np
import pytest
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from isodepth.errors import ActivationsError, ParameterError
from isodepth.stability import layer_geometry


@pytest.mark.parametrize(("n_texts", "n_units"), [(43, 17), (17, 43), (29, 29), (2, 3), (5, 2)])
def test_it_agrees_with_principal_components_and_with_all_pairs(
    rng: np.random.Generator, n_texts: int, n_units: int
):
    values = rng.normal(size=(n_texts, n_units)) * np.geomspace(1, 7, n_units) + 3
    found = layer_geometry(values)
    variances = PCA().fit(values).explained_variance_
    assert found.dimension == pytest.approx(variances.sum() ** 2 / (variances**2).sum())
    assert found.first_component == pytest.approx(variances.max() / variances.sum())
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(n_texts, dtype=bool)]
    assert found.anisotropy == pytest.approx(cosines.mean())


def test_rotation_and_scale_change_nothing_and_a_shift_the_cosines_alone(rng: np.random.Generator):
    values = rng.normal(size=(23, 11))
    found = layer_geometry(values)
    turned = layer_geometry(values @ ortho_group.rvs(11, random_state=3) * 1e-200)
    assert turned == pytest.approx(found)
    shifted = layer_geometry(values + 50)
    assert shifted[:2] == pytest.approx(found[:2])
    assert shifted.anisotropy > 0.99 > abs(found.anisotropy) + 0.9


def test_equal_variances_have_as_many_dimensions_as_directions():
    axes = np.vstack([np.eye(7), -np.eye(7)])
    found = layer_geometry(axes)
    assert found.dimension == pytest.approx(7)
    assert found.first_component == pytest.approx(1 / 7)
    assert found.anisotropy == pytest.approx(-1 / 13)


def test_one_direction_is_one_dimension():
    line = np.arange(1.0, 12.0)[:, np.newaxis] * np.array([[3.0, 4.0]])
    assert layer_geometry(line) == pytest.approx((1, 1, 1))
    assert layer_geometry(line[:, :1])[:2] == pytest.approx((1, 1))


def test_few_texts_of_a_round_cloud_have_the_dimension_that_the_docstring_says(
    rng: np.random.Generator,
):
    found = layer_geometry(rng.normal(size=(211, 37)))
    assert found.dimension == pytest.approx(1 / (1 / 37 + 1 / 211), rel=0.02)


def test_where_nothing_varies_there_is_no_dimension():
    found = layer_geometry(np.full((5, 3), 0.1, dtype=np.float32))
    assert np.isnan(found[:2]).all()
    assert found.anisotropy == pytest.approx(1)


@pytest.mark.parametrize("value", [1e-30, 1.0, 1e30])
def test_float32_of_any_size_is_the_same(rng: np.random.Generator, value: float):
    values = rng.normal(size=(13, 7)).astype(np.float32)
    scaled = values * np.float32(value)
    assert layer_geometry(scaled) == pytest.approx(layer_geometry(values), rel=1e-5)


def test_what_has_no_direction_is_named():
    values = np.ones((5, 3))
    values[[1, 3]] = 0
    with pytest.raises(ActivationsError, match=r"all zero.*in text 2, 4 .*\(texts, units\) = \(5, 3\)"):
        layer_geometry(values)
    values[2, 1] = np.inf
    with pytest.raises(ActivationsError, match="NaN or infinite in text 3"):
        layer_geometry(values)


@pytest.mark.parametrize("shape", [(1, 3), (5, 0)])
def test_a_layer_that_is_too_small_is_refused(shape: tuple[int, int]):
    with pytest.raises(ParameterError, match=r"at least 2 texts and 1 unit; got \(texts, units\)"):
        layer_geometry(np.ones(shape))
