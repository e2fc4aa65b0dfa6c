from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import skew

from isodepth.activations import Activations
from isodepth.activations.result import ExtractionOptions
from isodepth.errors import ActivationsError, DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.stability import layer_stability
from isodepth.stability.layers import FLOAT32_ROUNDING, QUANTITIES

N_TEXTS, K = 61, 5


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(3, N_TEXTS, 7)) + np.array([0, 1, 9])[:, None, None]).astype(np.float32)


@pytest.fixture
def neighbors(values: np.ndarray) -> Neighbors:
    return replace(nearest_neighbors(values, 13), model="tiny")


def test_margins_are_what_lies_between_the_kth_and_the_next(neighbors: Neighbors):
    found = layer_stability(neighbors, k=K)
    for layer in range(3):
        similarities = neighbors.similarities[layer].astype(np.float64)
        margins = [row[K - 1] - row[K] for row in similarities]
        assert found.margin[layer] == pytest.approx(np.median(margins))
        assert found.low_margin[layer] == pytest.approx(np.quantile(margins, 0.05))
    assert (found.margin > 0).all()
    assert not found.tied.any()
    assert found.margin[2] < found.margin[0]  # all texts point nearly the same way


def test_what_is_named_is_counted_as_a_loop_counts_it(neighbors: Neighbors):
    found = layer_stability(neighbors, k=K)
    for layer, lists in enumerate(neighbors.ids):
        named = [sum(text in row[:K] for row in lists) for text in range(N_TEXTS)]
        assert sum(named) == K * N_TEXTS
        assert found.hub_skewness[layer] == pytest.approx(skew(named))
        assert found.most_named[layer] == max(named)
        assert found.unnamed[layer] == named.count(0) / N_TEXTS


def test_texts_on_a_ring_are_named_equally_often():
    angles = 2 * np.pi * np.arange(23) / 23
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = layer_stability(nearest_neighbors(ring, 3), k=2)
    assert found.hub_skewness[0] == 0
    assert found.most_named[0] == 2
    assert found.unnamed[0] == 0


def test_random_lists_have_the_skewness_that_is_drawn(rng: np.random.Generator):
    n_texts, k = 211, 7
    order = rng.uniform(size=(29, n_texts, n_texts))
    order[:, np.arange(n_texts), np.arange(n_texts)] = np.inf
    ids = order.argsort(axis=2)[:, :, : k + 1].astype(np.int32)
    random = Neighbors(ids=ids, similarities=np.zeros(ids.shape, np.float32))
    found = layer_stability(random, k=k)
    assert found.hub_skewness.mean() == pytest.approx(found.random_skewness, abs=0.1)


def test_equal_similarities_are_ties_and_unresolved(neighbors: Neighbors):
    similarities = neighbors.similarities.copy()
    similarities[1, :11, K] = similarities[1, :11, K - 1]
    found = layer_stability(replace(neighbors, similarities=similarities), k=K, noise=0.0)
    assert list(found.tied) == [0, 11 / N_TEXTS, 0]
    assert found.unresolved[1] >= 11 / N_TEXTS


@pytest.mark.parametrize("noise", [1e-6, 1e-4, 1e-2])
def test_what_noise_cannot_turn_stays_as_it_is(
    values: np.ndarray, rng: np.random.Generator, noise: float
):
    exact = nearest_neighbors(values, 13)
    found = layer_stability(exact, k=K, noise=noise)
    off = rng.normal(size=values.shape)
    off *= (
        noise
        * np.linalg.norm(values, axis=2, keepdims=True)
        / np.linalg.norm(off, axis=2, keepdims=True)
    )
    again = nearest_neighbors(values + off, K)
    for layer in range(3):
        changed = [
            set(one) != set(other)
            for one, other in zip(exact.ids[layer, :, :K], again.ids[layer], strict=True)
        ]
        assert np.mean(changed) <= found.unresolved[layer]


def test_noise_is_what_was_recorded_and_never_below_rounding(neighbors: Neighbors):
    assert layer_stability(neighbors, k=K).noise == FLOAT32_ROUNDING
    contract = {"contract": {"batched_against_single": 3e-3}}
    recorded = layer_stability(replace(neighbors, provenance=contract), k=K)
    assert recorded.noise == 3e-3
    assert (recorded.unresolved > layer_stability(neighbors, k=K).unresolved).any()


def test_noise_of_vectors_tells_nothing_of_other_metrics_and_after_preprocessing(neighbors: Neighbors):
    plain = layer_stability(neighbors, k=K, noise=0.0)
    for other in ({"metric": "euclidean"}, {"preprocessing": "center"}):
        found = layer_stability(replace(neighbors, **other), k=K, noise=0.5)
        assert (found.unresolved == plain.unresolved).all()
    assert (layer_stability(neighbors, k=K, noise=0.5).unresolved == 1).all()


def test_without_similarities_there_are_hubs_alone(neighbors: Neighbors):
    unknown = np.full_like(neighbors.similarities, np.nan)
    found = layer_stability(replace(neighbors, similarities=unknown), k=K)
    assert np.isnan([found.margin, found.low_margin, found.unresolved, found.tied]).all()
    assert (found.hub_skewness == layer_stability(neighbors, k=K).hub_skewness).all()
    assert found.to_table()["margin"].null_count == 3


def test_geometry_is_there_with_activations(neighbors: Neighbors, values: np.ndarray):
    assert layer_stability(neighbors, k=K).anisotropy is None
    found = layer_stability(neighbors, k=K, activations=values)
    as_list = layer_stability(neighbors, k=K, activations=list(values))
    assert found.anisotropy is not None
    assert found.dimension is not None
    assert (found.dimension == as_list.dimension).all()
    assert (np.diff(found.anisotropy) > 0).all()
    assert set(found.known) == set(QUANTITIES)


def test_activations_of_other_texts_are_refused(neighbors: Neighbors, values: np.ndarray):
    named = replace(neighbors, texts_digest="a")
    others = Activations(
        values=values,
        model="tiny",
        texts="others",
        model_digest="m",
        texts_digest="b",
        options=ExtractionOptions(),
    )
    with pytest.raises(DigestMismatchError, match="of different texts: digest a against b"):
        layer_stability(named, k=K, activations=others)
    layer_stability(neighbors, k=K, activations=others)  # without a digest it is the caller's word


def test_activations_of_other_shapes_are_refused(neighbors: Neighbors, values: np.ndarray):
    with pytest.raises(ParameterError, match="tiny: neighbors of 3 layers, activations of 2"):
        layer_stability(neighbors, k=K, activations=values[:2])
    with pytest.raises(ParameterError, match="tiny, layer 1: neighbors of 61 texts, activations of 59"):
        layer_stability(neighbors, k=K, activations=values[:, :59])


def test_activations_without_direction_are_named(neighbors: Neighbors, values: np.ndarray):
    values[1, 6] = 0
    with pytest.raises(ActivationsError, match="tiny, layer 2: activations are all zero.* text 7 "):
        layer_stability(neighbors, k=K, activations=values)


@pytest.mark.parametrize("k", [0, 13, 17])
def test_the_margin_needs_one_neighbor_more(neighbors: Neighbors, k: int):
    with pytest.raises(
        ParameterError, match=f"margin at k = {k} needs .* 13 are held.* k <= 12"
    ) as caught:
        layer_stability(neighbors, k=k)
    assert "keep.neighbors" in str(caught.value.hint)


@pytest.mark.parametrize("noise", [-1.0, np.nan])
def test_noise_below_zero_is_refused(neighbors: Neighbors, noise: float):
    with pytest.raises(ParameterError, match="noise must be a share"):
        layer_stability(neighbors, k=K, noise=noise)


def test_the_table_has_a_row_a_layer(neighbors: Neighbors, values: np.ndarray):
    table = layer_stability(neighbors, k=K).to_table()
    assert table.column_names == ["layer", "depth", *QUANTITIES]
    assert table["layer"].to_pylist() == [1, 2, 3]
    assert table["depth"].to_pylist()[-1] == 1
    assert table["dimension"].null_count == 3
    whole = layer_stability(neighbors, k=K, activations=values)
    assert whole.to_table()["dimension"].null_count == 0
    assert "effective dimension" in whole._repr_html_()
    assert "effective dimension" not in layer_stability(neighbors, k=K)._repr_html_()
    assert repr(whole) == "LayerStability('tiny', layers = 3, n_texts = 61, k = 5)"
