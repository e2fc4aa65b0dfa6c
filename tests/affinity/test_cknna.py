"""CKNNA against its formula over whole kernel matrices."""

import numpy as np
import pytest

from affinity.measure_properties import check_properties
from isodepth.affinity import cknna
from isodepth.affinity.cknna import CKNNA_MEASURES, local_kernel
from isodepth.errors import ActivationsError

CKNNA = CKNNA_MEASURES["cknna"]
TEXTS = 31


def alike_layers(rng: np.random.Generator, *n_units: int, shift: float = 0.5) -> list[np.ndarray]:
    """Return layers with something in common."""
    common = rng.normal(size=(TEXTS, 3))
    return [
        common @ rng.normal(size=(3, n)) + rng.normal(size=(TEXTS, n)) + shift * rng.normal(size=n)
        for n in n_units
    ]


def cknna_by_formula(left: np.ndarray, right: np.ndarray, k: int) -> float:
    """Huh et al. 2024: over whole kernel matrices, in extended precision."""
    kernels, near = [], []
    for layer in (left, right):
        wide = layer.astype(np.longdouble)
        unit = wide / np.sqrt((wide**2).sum(axis=1, keepdims=True))
        kernel = unit @ unit.T
        kernels.append(kernel - kernel.mean(axis=1, keepdims=True))
        np.fill_diagonal(kernel, -np.inf)
        rank = np.argsort(np.argsort(-kernel, axis=1), axis=1)
        near.append(rank < k)

    def alignment(one: int, other: int) -> np.longdouble:
        both = near[one] & near[other]
        return (kernels[one] * kernels[other])[both].sum()

    return float(alignment(0, 1) / np.sqrt(alignment(0, 0) * alignment(1, 1)))


def test_it_holds_what_it_states(rng: np.random.Generator):
    check_properties(CKNNA, rng=rng)


@pytest.mark.parametrize("k", [1, 2, 7, TEXTS - 1])
def test_values_agree_with_the_formula(rng: np.random.Generator, k: int):
    models = [alike_layers(rng, 5, 5, 5), alike_layers(rng, 11, 11)]
    layers = [layer for model in models for layer in model]
    expected = np.array([[cknna_by_formula(one, other, k) for other in layers] for one in layers])
    np.testing.assert_allclose(CKNNA.all_values(models, None, k), expected, atol=1e-13)
    np.testing.assert_allclose(
        CKNNA.all_values(*([m] for m in models), k), expected[:3, 3:], atol=1e-13
    )


def test_where_all_cosines_are_nearly_one_nothing_is_lost(rng: np.random.Generator):
    left, right = alike_layers(rng, 5, 11, shift=1e4)
    expected = cknna_by_formula(left, right, 7)
    assert abs(expected) > 0.01
    assert CKNNA([left], [right], 7)[0, 0] == pytest.approx(expected, rel=1e-6)


def test_layers_that_share_no_neighbor_have_similarity_zero():
    angle = 2 * np.pi * np.arange(TEXTS) / TEXTS
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    left, right = ring[np.arange(TEXTS) * 5 % TEXTS], ring[np.arange(TEXTS) * 7 % TEXTS]
    # neighbors are 1/5 and 1/7 of a turn around the texts away: 25 = -6 and 9
    assert CKNNA([left], [right], 2)[0, 0] == 0.0
    assert CKNNA([left], [left], 2)[0, 0] == pytest.approx(1.0, abs=1e-15)


def test_exchanging_left_and_right_changes_no_bit(rng: np.random.Generator):
    left, right = alike_layers(rng, 5, 5, 5), alike_layers(rng, 11, 11)
    np.testing.assert_array_equal(CKNNA(left, right, 7), CKNNA(right, left, 7).T)


def test_blocks_of_texts_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    layers = alike_layers(rng, 5, 7)
    expected = CKNNA.all_values([layers], None, 3)
    monkeypatch.setattr(cknna, "GATHERED_BYTES", 1)
    np.testing.assert_allclose(CKNNA.all_values([layers], None, 3), expected, atol=1e-15)


def test_lists_of_neighbors_ascend_and_values_have_unit_norm(rng: np.random.Generator):
    state = local_kernel(alike_layers(rng, 5)[0].astype(np.float32), 7, "layer")
    assert (np.diff(state.ids, axis=1) > 0).all()
    assert (state.values**2).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_tiny_and_huge_activations_are_as_good_as_others(rng: np.random.Generator, size: float):
    left, right = alike_layers(rng, 5, 11)
    np.testing.assert_allclose(CKNNA([size * left], [right], 7), CKNNA([left], [right], 7), atol=1e-13)


def test_a_layer_with_one_direction_is_named(rng: np.random.Generator):
    left, right = alike_layers(rng, 5, 5)
    same = np.ones((TEXTS, 1)) * right[:1] * 2.0 ** np.arange(TEXTS)[:, np.newaxis]
    with pytest.raises(ActivationsError) as caught:
        CKNNA([left], [left, same], 7)
    assert caught.value.message == (
        "model 1, layer 2: the activations of all 31 texts have the same direction, so no cosine is "
        "above or below the others and CKNNA is not defined"
    )
    assert caught.value.hint == "leave this layer out, or center the activations first."


def test_a_layer_with_a_zero_vector_is_named(rng: np.random.Generator):
    left, right = alike_layers(rng, 5, 5)
    right[3] = 0
    with pytest.raises(ActivationsError, match=r"^model 1, layer 2: the activations of text 4 \(rows"):
        CKNNA([left, right], [left], 7)
