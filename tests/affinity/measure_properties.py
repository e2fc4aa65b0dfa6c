"""What every measure of similarity promises, as checks of one `Measure`.

>>> check_properties(CKA_MEASURES["cka"], rng=rng)

The layers are those of two models on the same 31 texts: what both share, mixed into 7 and 11 units, and
noise. A measure of neighbors reads the nearest neighbors of the same activations by cosine.
"""

from collections.abc import Callable

import numpy as np
import pytest

from isodepth.affinity.measure import INVARIANCES, Measure
from isodepth.errors import ActivationsError
from isodepth.neighbors import nearest_neighbors

N_TEXTS = 31
N_LAYERS, N_UNITS = (3, 2), (7, 11)
EQUAL = 2e-6  # vectors may be rounded to float32
DIFFERENT = 1e-4

Layers = list[np.ndarray]


class TakenLayers:
    """A model's layers, computed when asked for, that notes which were taken."""

    def __init__(self, layers: Layers) -> None:
        self.layers = layers
        self.taken: list[int] = []

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, layer: int) -> np.ndarray:
        self.taken.append(layer)
        values = self.layers[layer].view()
        values.flags.writeable = False
        return values


def check_properties(
    measure: Measure,
    *,
    rng: np.random.Generator,
    k: int = 5,
    identity: bool = True,
    n_times: int = 1,
    n_relabelings: int = 100,
) -> None:
    """Check everything that a measure states of itself.

    Parameters
    ----------
    measure : Measure
        The measure.
    rng : Generator
        Of the activations.
    k : int
        Neighbors.
    identity : bool
        Whether a layer is as similar to itself as `measure.highest` says. Not so where a part of the
        texts is predicted from another.
    n_times : int
        How often a layer may be taken where all are compared with each other.
    n_relabelings : int
        Of the texts, for the chance level.
    """
    left, right = generic_models(rng)
    check_values(measure, left, right, k=k, identity=identity)
    check_invariances(measure, left, right, rng=rng, k=k)
    check_chance(measure, left, right, rng=rng, k=k, n_relabelings=n_relabelings)
    if measure.reads == "activations":
        check_layers_are_taken_in_order(measure, left, right, k=k, n_times=n_times)
        check_constant_layers_are_refused(measure, left, right, k=k)


def generic_models(rng: np.random.Generator) -> tuple[Layers, Layers]:
    """Return the layers of two models that have something in common; no mean is zero, no norms agree."""
    common = rng.normal(size=(N_TEXTS, 4))
    left, right = (
        [
            common @ rng.normal(size=(4, n_units))
            + rng.normal(size=(N_TEXTS, n_units))
            + 0.7 * rng.normal(size=n_units)
            for _ in range(n_layers)
        ]
        for n_layers, n_units in zip(N_LAYERS, N_UNITS, strict=True)
    )
    return left, right


def clustered_model(rng: np.random.Generator, n_layers: int, n_units: int) -> Layers:
    """Return layers in which cosines within the two halves of the texts are above those between them."""
    is_first = np.arange(N_TEXTS) < N_TEXTS // 2
    centers = np.zeros((2, n_units))
    centers[0, 0] = centers[1, 1] = 4.0
    spread = rng.normal(size=(n_layers, N_TEXTS, n_units)) / np.sqrt(n_units)
    return list(np.where(is_first[:, np.newaxis], *centers) + spread)


def read(measure: Measure, layers: Layers, k: int) -> object:
    """Return what the measure reads of some layers."""
    if measure.reads == "activations":
        return layers
    return np.concatenate([nearest_neighbors(layer, k).ids for layer in layers])


def values_of(measure: Measure, left: Layers, right: Layers, k: int) -> np.ndarray:
    """Return the similarities of two models' layers."""
    return measure.all_values([read(measure, left, k)], [read(measure, right, k)], k)


def check_values(measure: Measure, left: Layers, right: Layers, *, k: int, identity: bool) -> None:
    """Check type, shape, range, symmetry and identity, and that a pair's value depends on the pair alone."""
    values = values_of(measure, left, right, k)
    turned = values_of(measure, right, left, k)
    both = [read(measure, side, k) for side in (left, right)]
    everything = measure.all_values(both, None, k)
    n_left = len(left)
    assert values.dtype == everything.dtype == np.float64
    assert values.shape == (n_left, len(right))
    assert everything.shape == (n_left + len(right),) * 2
    for array in (values, everything):
        assert np.isfinite(array).all()
        assert array.min() >= measure.lowest
        assert array.max() <= measure.highest
    assert np.ptp(values) > DIFFERENT  # generic layers are not all alike
    np.testing.assert_allclose(everything[:n_left, n_left:], values, atol=EQUAL)
    np.testing.assert_allclose(everything[n_left:, :n_left], turned, atol=EQUAL)
    np.testing.assert_allclose(everything, measure.all_values(both, both, k), atol=EQUAL)
    if measure.is_symmetric:
        np.testing.assert_array_equal(everything, everything.T)
        np.testing.assert_allclose(values, turned.T, atol=EQUAL)
    else:
        assert np.abs(values - turned.T).max() > DIFFERENT
    if identity:
        np.testing.assert_allclose(np.diag(everything), measure.highest, atol=EQUAL)
        off_diagonal = everything[~np.eye(len(everything), dtype=bool)]
        assert off_diagonal.max() < measure.highest - DIFFERENT
    for row, column in ((0, 0), (n_left - 1, len(right) - 1)):
        alone = values_of(measure, left[row : row + 1], right[column : column + 1], k)
        np.testing.assert_allclose(alone, values[row : row + 1, column : column + 1], atol=EQUAL)


def check_layers_are_taken_in_order(
    measure: Measure, left: Layers, right: Layers, *, k: int, n_times: int
) -> None:
    """Check that layers are taken once and in order, and may be read-only and of single precision.

    Where all are compared with each other, they may be taken more often.
    """
    expected = values_of(measure, left, right, k)
    everywhere = [list(range(len(layers))) for layers in (left, right)]
    taken = [TakenLayers(layers) for layers in (left, right)]
    everything = measure.all_values(taken, None, k)
    assert [model.taken for model in taken] == [n_times * layers for layers in everywhere]
    np.testing.assert_allclose(everything[: len(left), len(left) :], expected, atol=EQUAL)
    taken = [TakenLayers(layers) for layers in (left, right)]
    values = measure.all_values(taken[:1], taken[1:], k)
    assert [model.taken for model in taken] == everywhere
    np.testing.assert_allclose(values, expected, atol=EQUAL)
    single = [[layer.astype(np.float32) for layer in side] for side in (left, right)]
    np.testing.assert_allclose(values_of(measure, *single, k), expected, atol=1e-4)


def check_invariances(
    measure: Measure, left: Layers, right: Layers, *, rng: np.random.Generator, k: int
) -> None:
    """Check that each stated invariance holds for either side, and that each one left out does not.

    Of a measure of neighbors, what leaves cosines as they are is left open: it depends on the metric.
    """
    open_ = {"rotation", "scale", "text scale", "order"} if measure.reads == "neighbors" else set()
    clustered = [clustered_model(rng, n, units) for n, units in zip(N_LAYERS, N_UNITS, strict=True)]
    for name in INVARIANCES:
        one, other = clustered if name == "order" else (left, right)
        before = values_of(measure, one, other, k)
        transformed = TRANSFORMATIONS[name](rng)
        moved = [
            np.abs(values_of(measure, *sides, k) - before).max()
            for sides in (
                ([transformed(layer) for layer in one], other),
                (one, [transformed(layer) for layer in other]),
            )
        ]
        if name in measure.invariances:
            assert max(moved) <= EQUAL, f"{measure.title}: {name} changes values by {max(moved):.1e}"
        elif name not in open_:
            # a measure that is not symmetric may ignore it in one of the two layers
            least = min(moved) if measure.is_symmetric else max(moved)
            assert least > DIFFERENT, f"{measure.title}: {name} changes values by {least:.1e} only"


def check_chance(
    measure: Measure,
    left: Layers,
    right: Layers,
    *,
    rng: np.random.Generator,
    k: int,
    n_times: int = 1,
    n_relabelings: int,
) -> None:
    """Check that the mean over relabeled texts of one side is the stated chance level."""
    if measure.chance is None:
        return
    orders = [rng.permutation(N_TEXTS) for _ in range(n_relabelings)]
    relabeled = measure.all_values(
        [read(measure, [layer[order] for layer in left], k) for order in orders],
        [read(measure, right, k)],
        k,
    )
    relabeled = relabeled.reshape(n_relabelings, -1).mean(axis=1)
    standard_error = relabeled.std(ddof=1) / np.sqrt(n_relabelings)
    chance = measure.chance(N_TEXTS, k)
    assert abs(relabeled.mean() - chance) < 4 * standard_error
    assert 4 * standard_error < 0.05  # so that it says something


def check_constant_layers_are_refused(measure: Measure, left: Layers, right: Layers, *, k: int) -> None:
    """Check that a layer of which nothing varies is named."""
    constant = [*left[:1], np.full_like(left[1], 0.3), *left[2:]]
    with pytest.raises(ActivationsError, match="model 1, layer 2"):
        measure.all_values([constant, right], None, k)
    with pytest.raises(ActivationsError, match="model 1, layer 2"):
        measure.all_values([right], [constant], k)


def _rotation(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    return lambda layer: layer @ np.linalg.qr(rng.normal(size=(layer.shape[1],) * 2))[0]


def _scale(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    factor = np.exp(rng.normal())
    return lambda layer: 3 * factor * layer


def _shift(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    return lambda layer: layer + 2 * rng.normal(size=layer.shape[1])


def _linear(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    def transformed(layer: np.ndarray) -> np.ndarray:
        n_units = layer.shape[1]
        u, v = (np.linalg.qr(rng.normal(size=(n_units, n_units)))[0] for _ in range(2))
        return layer @ (u * np.geomspace(0.3, 3, n_units)) @ v

    return transformed


def _text_scale(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    return lambda layer: layer * np.exp(rng.normal(size=(len(layer), 1)))


def _order(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """Draw the first half of the texts together.

    Their cosines with each other grow, in the same order; those with the others shrink by one factor; as
    the others were further away than their own half, the order of neighbors stays.
    """
    extra = 1 + rng.random()

    def transformed(layer: np.ndarray) -> np.ndarray:
        unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
        added = np.where(np.arange(len(layer)) < len(layer) // 2, extra, 0.0)
        moved = np.column_stack([unit, added])
        before, after = (nearest_neighbors(array, len(layer) - 1).ids for array in (layer, moved))
        np.testing.assert_array_equal(before, after)
        return moved

    return transformed


TRANSFORMATIONS: dict[str, Callable[[np.random.Generator], Callable[[np.ndarray], np.ndarray]]] = {
    "rotation": _rotation,
    "scale": _scale,
    "shift": _shift,
    "linear": _linear,
    "text scale": _text_scale,
    "order": _order,
}
