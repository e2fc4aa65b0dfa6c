"""Procrustes and angular shape similarity against SciPy's best rotation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from affinity.measure_properties import check_properties
from isodepth.affinity.procrustes import PROCRUSTES_MEASURES, unit_shape
from isodepth.errors import ActivationsError

PROCRUSTES, ANGULAR = PROCRUSTES_MEASURES["procrustes"], PROCRUSTES_MEASURES["angular_shape"]
TEXTS = 31


def alike_layers(rng: np.random.Generator, *n_units: int) -> list[np.ndarray]:
    """Return layers with something in common."""
    common = rng.normal(size=(TEXTS, 3))
    return [
        2 * common @ rng.normal(size=(3, n)) + rng.normal(size=(TEXTS, n)) + rng.normal(size=n)
        for n in n_units
    ]


@pytest.mark.parametrize("name", list(PROCRUSTES_MEASURES))
def test_measures_hold_what_they_state(rng: np.random.Generator, name: str):
    check_properties(PROCRUSTES_MEASURES[name], rng=rng)


@pytest.mark.parametrize("n_units", [(5, 11), (11, 5), (37, 7), (37, 53)])
def test_values_agree_with_the_best_rotation(rng: np.random.Generator, n_units: tuple[int, int]):
    layers = alike_layers(rng, *n_units)
    padded = [np.pad(x - x.mean(axis=0), ((0, 0), (0, max(n_units) - x.shape[1]))) for x in layers]
    left, right = (x / np.linalg.norm(x) for x in padded)
    rotation, nuclear_norm = orthogonal_procrustes(left, right)
    squared_distance = ((left @ rotation - right) ** 2).sum()
    value = PROCRUSTES(layers[:1], layers[1:])[0, 0]
    assert value == pytest.approx(nuclear_norm, abs=1e-13)
    assert value == pytest.approx(1 - squared_distance / 2, abs=1e-13)
    angle = np.arccos(((left @ rotation) * right).sum())
    assert ANGULAR(layers[:1], layers[1:])[0, 0] == pytest.approx(1 - angle / (np.pi / 2), abs=1e-13)


def test_a_worked_example():
    cross = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    stretched = cross * [2, 1]
    # X'Y has singular values 4 and 2; the squared norms are 4 and 10
    assert PROCRUSTES([cross], [stretched])[0, 0] == pytest.approx(6 / np.sqrt(40), rel=1e-15)
    assert ANGULAR([cross], [stretched])[0, 0] == pytest.approx(0.7951672353008665, rel=1e-14)


def test_layers_that_vary_in_nothing_common_have_similarity_zero():
    columns = np.linalg.qr(np.vander(np.arange(7.0), 5, increasing=True))[0][:, 1:]
    assert PROCRUSTES([columns[:, :2]], [columns[:, 2:]])[0, 0] == pytest.approx(0, abs=1e-14)
    assert ANGULAR([columns[:, :2]], [columns[:, 2:]])[0, 0] == pytest.approx(0, abs=1e-14)


def test_equal_shapes_are_alike_as_far_as_rounding_lets_them(rng: np.random.Generator):
    for n_units in (5, 53):
        (layer,) = alike_layers(rng, n_units)
        turned = 3 * layer @ np.linalg.qr(rng.normal(size=(n_units, n_units)))[0] + 7
        assert PROCRUSTES([layer], [turned])[0, 0] == pytest.approx(1, abs=1e-14)
        assert ANGULAR([layer], [turned])[0, 0] == pytest.approx(1, abs=2e-7)
        for measure in (PROCRUSTES, ANGULAR):
            assert measure.all_values([[layer]], None, 0).tolist() == [[1.0]]


def test_a_shape_has_unit_norm_and_at_most_as_many_columns_as_texts(rng: np.random.Generator):
    for n_units, n_columns in ((5, 5), (31, 31), (53, 31)):
        (layer,) = alike_layers(rng, n_units)
        shape = unit_shape(layer)
        assert shape.shape == (TEXTS, n_columns)
        assert np.linalg.norm(shape) == pytest.approx(1)
        centered = layer - layer.mean(axis=0)
        gram = centered @ centered.T
        np.testing.assert_allclose(shape @ shape.T, gram / np.trace(gram), atol=1e-15)


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_units=st.tuples(*[st.integers(1, 11)] * 3),
    common=st.floats(0, 5),
)
def test_the_angle_obeys_the_triangle_inequality(
    seed: int, n_units: tuple[int, int, int], common: float
):
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(7, 2))
    layers = [rng.normal(size=(7, n)) + common * shared @ rng.normal(size=(2, n)) for n in n_units]
    distance = 1 - ANGULAR.all_values([[layer] for layer in layers], None, 0)
    for one, between, other in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        assert distance[one, other] <= distance[one, between] + distance[between, other] + 1e-7


def test_a_layer_of_which_nothing_varies_is_named(rng: np.random.Generator):
    left, right = alike_layers(rng, 5, 5)
    right[:] = right[0]
    with pytest.raises(
        ActivationsError,
        match=r"^model 2, layer 1: all texts of \(texts, units\) = \(31, 5\) have the same act",
    ):
        ANGULAR.all_values([[left], [right]], None, 0)
