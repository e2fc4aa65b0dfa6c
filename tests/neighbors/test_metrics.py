import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from isodepth.errors import ActivationsError, ParameterError
from isodepth.neighbors import METRICS, layer_neighbors, nearest_neighbors
from neighbors.tiles import cut_tiles

TEXTS, UNITS, K = 43, 17, 5
OTHERS = [metric for metric in METRICS if metric != "cosine"]


@pytest.fixture
def layer(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(TEXTS, UNITS)).astype(np.float32)


def slow_similarities(layer: np.ndarray, metric: str) -> np.ndarray:
    rows = layer.astype(np.float64)
    if metric == "inner_product":
        return np.array([[(one * other).sum() for other in rows] for one in rows])
    distances = cdist(rows, rows, metric)
    return -distances if metric == "euclidean" else 1 - distances


def sorted_neighbors(similarities: np.ndarray, k: int) -> list[list[int]]:
    n_texts = len(similarities)
    return [
        sorted(
            (other for other in range(n_texts) if other != text),
            key=lambda other: (-similarities[text, other], other),
        )[:k]
        for text in range(n_texts)
    ]


# what has not changed


def test_cosine_neighbors_are_those_of_version_one_byte_for_byte():
    # whole numbers, so that the input does not depend on a generator; three texts are the same
    texts, units = np.arange(29)[:, np.newaxis], np.arange(13)
    mixed = texts * texts * 7919 + units * units * 104729 + texts * units * 1299709
    values = ((mixed + texts * 31 + units * 17) % 1009 - 504).astype(np.float64)
    values[[11, 23]] = values[4]
    layers = np.stack([values, values[::-1] ** 3 / 1e5]).astype(np.float32)
    neighbors = nearest_neighbors(layers, 5)
    # recorded before there were other metrics
    assert hashlib.sha256(neighbors.ids.tobytes()).hexdigest().startswith("ff6c519e421110e2")
    similarities = hashlib.sha256(neighbors.similarities.tobytes()).hexdigest()
    assert similarities.startswith("fb5a3d6fa364c21c")


# properties of all metrics


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_and_similarities_agree_with_scipy(layer: np.ndarray, metric: str):
    expected = slow_similarities(layer, metric)
    ids, similarities = layer_neighbors(layer, K, metric)
    assert ids.tolist() == sorted_neighbors(expected, K)
    found = np.take_along_axis(expected, ids.astype(np.int64), axis=1)
    np.testing.assert_allclose(similarities, found, rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 2, TEXTS - 1])
def test_lists_are_descending_without_the_text_and_start_as_shorter_ones(
    layer: np.ndarray, metric: str, k: int
):
    ids, similarities = layer_neighbors(layer, k, metric)
    assert (ids.dtype, similarities.dtype) == (np.int32, np.float32)
    assert not (ids == np.arange(TEXTS)[:, np.newaxis]).any()
    assert all(len(set(row)) == k for row in ids.tolist())
    assert (np.diff(similarities, axis=1) <= 0).all()
    np.testing.assert_array_equal(layer_neighbors(layer, TEXTS - 1, metric)[0][:, :k], ids)


@pytest.mark.parametrize("metric", METRICS)
def test_permuting_the_texts_permutes_the_neighbors(
    layer: np.ndarray, metric: str, rng: np.random.Generator
):
    order = rng.permutation(TEXTS)
    straight, permuted = (layer_neighbors(rows, K, metric)[0] for rows in (layer, layer[order]))
    np.testing.assert_array_equal(permuted, np.argsort(order)[straight[order]])


@pytest.mark.parametrize("metric", METRICS)
def test_permuting_the_units_changes_no_neighbor(
    layer: np.ndarray, metric: str, rng: np.random.Generator
):
    permuted = layer[:, rng.permutation(UNITS)]
    np.testing.assert_array_equal(
        layer_neighbors(permuted, K, metric)[0], layer_neighbors(layer, K, metric)[0]
    )


@pytest.mark.parametrize("metric", METRICS)
def test_scaling_all_texts_alike_changes_no_neighbor(layer: np.ndarray, metric: str):
    np.testing.assert_array_equal(
        layer_neighbors(layer * np.float32(1.7), K, metric)[0], layer_neighbors(layer, K, metric)[0]
    )


@pytest.mark.parametrize("metric", METRICS)
def test_copies_of_a_text_are_equally_similar_to_all_and_stand_in_order(layer: np.ndarray, metric: str):
    copies = [2, 7, 19, 31]
    layer[copies] = layer[2]
    ids, similarities = layer_neighbors(layer, TEXTS - 1, metric)
    for text in range(TEXTS):
        others = [copy for copy in copies if copy != text]
        places = [ids[text].tolist().index(copy) for copy in others]
        assert places == list(range(places[0], places[0] + len(others)))
        assert len(set(similarities[text, places].tolist())) == 1


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", [1, 5, 42, 43])
def test_borders_of_tiles_change_nothing(
    layer: np.ndarray, monkeypatch: pytest.MonkeyPatch, metric: str, rows: int
):
    layer[29] = layer[3]
    whole = layer_neighbors(layer, K, metric)
    cut_tiles(monkeypatch, rows)
    blocked = layer_neighbors(layer, K, metric)
    np.testing.assert_array_equal(blocked[0], whole[0])
    np.testing.assert_allclose(blocked[1], whole[1], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e300, 1e-300])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(layer: np.ndarray, metric: str, scale: float):
    ids, similarities = layer_neighbors(layer.astype(np.float64) * scale, K, metric)
    np.testing.assert_array_equal(ids, layer_neighbors(layer, K, metric)[0])
    assert np.isfinite(similarities).all()


@pytest.mark.parametrize("exponent", [-1070, -1030, -1001, 1000, 1020])
def test_distances_at_the_ends_of_float64_are_ordered_too(exponent: int):
    whole = np.random.default_rng(3).integers(-3, 4, (47, 5)).astype(np.float64)
    ids = layer_neighbors(np.ldexp(whole, exponent), K, "euclidean")[0]
    np.testing.assert_array_equal(ids, layer_neighbors(whole, K, "euclidean")[0])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [-1, 0, 43, 50])
def test_one_layer_refuses_a_k_that_cannot_be(layer: np.ndarray, metric: str, k: int):
    with pytest.raises(ParameterError, match="expected 1 <= k <= n - 1 = 42"):
        layer_neighbors(layer, k, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_a_layer_without_units_is_refused(metric: str):
    with pytest.raises(
        ParameterError, match=r"a layer must be a non-empty array .* got shape \(7, 0\)"
    ):
        layer_neighbors(np.empty((7, 0)), K, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_the_input_is_not_changed(layer: np.ndarray, metric: str):
    values = layer.astype(np.float64)
    before = values.copy()
    values.flags.writeable = False
    layer_neighbors(values, K, metric)
    np.testing.assert_array_equal(values, before)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 11, 30]), st.sampled_from([1, 2, 7]))
def test_ties_go_to_the_lower_index_where_arithmetic_is_exact(seed: int, k: int, units: int):
    values = np.random.default_rng(seed).integers(-2, 3, size=(31, units)).astype(np.float64)
    differences = values[:, np.newaxis] - values
    squares = (differences**2).sum(axis=2)
    assert layer_neighbors(values, k, "euclidean")[0].tolist() == sorted_neighbors(-squares, k)
    products = values @ values.T
    assert layer_neighbors(values, k, "inner_product")[0].tolist() == sorted_neighbors(products, k)


# Euclidean


def test_rotating_and_shifting_all_texts_changes_no_distance(
    layer: np.ndarray, rng: np.random.Generator
):
    rotation, _ = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))
    moved = layer.astype(np.float64) @ rotation + 10 * rng.normal(size=UNITS)
    ids, similarities = layer_neighbors(moved, K, "euclidean")
    expected = layer_neighbors(layer, K, "euclidean")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=1e-6)


def test_scaling_single_texts_changes_distances(layer: np.ndarray, rng: np.random.Generator):
    scaled = layer * rng.uniform(0.3, 3, size=(TEXTS, 1)).astype(np.float32)
    assert (
        layer_neighbors(scaled, K, "euclidean")[0] != layer_neighbors(layer, K, "euclidean")[0]
    ).any()


def squares_from_products(rows: np.ndarray) -> np.ndarray:
    norms = (rows**2).sum(axis=1)
    return norms[:, np.newaxis] + norms - 2 * rows @ rows.T


def test_distances_are_exact_under_a_huge_common_offset(rng: np.random.Generator):
    values = 1e8 * rng.normal(size=37) + rng.normal(size=(101, 37))
    expected = -cdist(values, values)
    ids, similarities = layer_neighbors(values, 7, "euclidean")
    assert ids.tolist() == sorted_neighbors(expected, 7)
    found = np.take_along_axis(expected, ids.astype(np.int64), axis=1)
    np.testing.assert_allclose(similarities, found, rtol=1e-7)
    # products alone would not do
    assert (np.array(sorted_neighbors(-squares_from_products(values), 7)) != ids).mean() > 0.5


def test_distances_are_exact_within_clusters_far_from_the_mean(rng: np.random.Generator):
    # centering does not help here
    values = rng.choice([-1e7, 1e7], size=(101, 1)) + rng.normal(size=(101, 37))
    ids, _ = layer_neighbors(values, 7, "euclidean")
    assert ids.tolist() == sorted_neighbors(-cdist(values, values), 7)
    centered = values - values.mean(axis=0)
    assert (np.array(sorted_neighbors(-squares_from_products(centered), 7)) != ids).mean() > 0.1


def test_texts_that_are_all_zero_are_equally_near():
    ids, similarities = layer_neighbors(np.zeros((5, 3)), 2, "euclidean")
    assert ids.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]
    assert not similarities.any()


# correlation


def test_shifting_and_scaling_single_texts_changes_no_correlation(
    layer: np.ndarray, rng: np.random.Generator
):
    scales, shifts = 10.0 ** rng.uniform(-3, 3, (TEXTS, 1)), 10 * rng.normal(size=(TEXTS, 1))
    ids, similarities = layer_neighbors(scales * (layer + shifts), K, "correlation")
    expected = layer_neighbors(layer, K, "correlation")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=0, atol=1e-6)


def test_correlation_is_the_cosine_of_texts_centered_over_units(layer: np.ndarray):
    centered = layer.astype(np.float64)
    centered -= centered.mean(axis=1, keepdims=True)
    ids, similarities = layer_neighbors(layer, K, "correlation")
    expected = layer_neighbors(centered, K, "cosine")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=0, atol=1e-7)


def test_correlations_are_exact_where_units_vary_little(rng: np.random.Generator):
    values = 1e14 * rng.uniform(1, 2, size=(41, 1)) + rng.normal(size=(41, 13))
    moved = values.astype(np.longdouble)
    moved -= moved.mean(axis=1, keepdims=True)
    moved /= np.sqrt((moved**2).sum(axis=1, keepdims=True))
    expected = (moved[:, np.newaxis] * moved).sum(axis=2)
    ids, similarities = layer_neighbors(values, 7, "correlation")
    assert ids.tolist() == sorted_neighbors(expected, 7)
    found = np.take_along_axis(expected, ids.astype(np.int64), axis=1).astype(np.float64)
    np.testing.assert_allclose(similarities, found, rtol=0, atol=1e-7)


def test_rotating_the_units_changes_correlations(layer: np.ndarray, rng: np.random.Generator):
    rotation, _ = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))
    rotated = layer.astype(np.float64) @ rotation
    assert (
        layer_neighbors(rotated, K, "correlation")[0] != layer_neighbors(layer, K, "correlation")[0]
    ).any()


def test_texts_with_the_same_value_in_every_unit_correlate_with_nothing(layer: np.ndarray):
    layer[[3, 8]] = np.float32(0.1)
    layer[8] = 0
    with pytest.raises(ActivationsError) as caught:
        nearest_neighbors(np.stack([np.sin(np.arange(layer.size)).reshape(layer.shape), layer]), K,
                          "correlation")  # fmt: skip
    assert caught.value.message == (
        "array, layer 2: the activations of text 4, 9 (rows count from 1) are the same in every unit, "
        "so they correlate with nothing"
    )


# inner product


def test_rotating_the_units_changes_no_inner_product(layer: np.ndarray, rng: np.random.Generator):
    rotation, _ = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))
    ids, similarities = layer_neighbors(layer.astype(np.float64) @ rotation, K, "inner_product")
    expected = layer_neighbors(layer, K, "inner_product")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=1e-6, atol=1e-6)


def test_inner_products_of_unit_vectors_are_cosines(layer: np.ndarray):
    unit = layer.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    ids, similarities = layer_neighbors(unit, K, "inner_product")
    expected = layer_neighbors(layer, K, "cosine")
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], rtol=0, atol=1e-7)


def test_long_texts_are_near_to_many_by_inner_product(layer: np.ndarray):
    layer = np.abs(layer)
    layer[5] *= 100
    ids, _ = layer_neighbors(layer, 1, "inner_product")
    assert (np.delete(ids[:, 0], 5) == 5).all()


def test_a_zero_text_has_inner_products_and_distances(layer: np.ndarray):
    layer[0] = 0
    for metric in ("inner_product", "euclidean"):
        expected = sorted_neighbors(slow_similarities(layer, metric), K)
        assert layer_neighbors(layer, K, metric)[0].tolist() == expected
    assert layer_neighbors(layer, 2, "inner_product")[0][0].tolist() == [1, 2]


# errors and labels


@pytest.mark.parametrize("metric", METRICS)
def test_values_that_are_not_finite_are_named_for_every_metric(layer: np.ndarray, metric: str):
    layer[4, 3] = np.nan
    layer[30, 0] = np.inf
    with pytest.raises(ActivationsError) as caught:
        layer_neighbors(layer, K, metric)
    assert caught.value.message == (
        "NaN or infinite activations in text 5, 31 (rows count from 1) of (texts, units) = (43, 17)"
    )


def test_a_layer_by_an_unknown_metric_is_an_error_without_a_hint_where_none_is_near(
    layer: np.ndarray,
):
    with pytest.raises(ParameterError) as caught:
        layer_neighbors(layer, K, "xyz")
    assert caught.value.message == (
        "metric must be one of cosine, euclidean, correlation, inner_product; got 'xyz'"
    )
    assert caught.value.hint is None


@pytest.mark.parametrize("metric", METRICS)
def test_neighbors_say_by_what_metric(layer: np.ndarray, metric: str):
    neighbors = nearest_neighbors(layer, K, metric)
    assert neighbors.metric == neighbors.provenance["metric"] == metric
    np.testing.assert_array_equal(neighbors.ids[0], layer_neighbors(layer, K, metric)[0])


# with preprocessing


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_are_of_what_preprocessing_leaves(layer: np.ndarray, metric: str):
    layers = np.stack([layer, layer[::-1] ** 3])
    found = nearest_neighbors(layers, K, metric, preprocessing="center+drop_units( 5,3 )")
    centered = layers.astype(np.float64) - layers.astype(np.float64).mean(axis=1, keepdims=True)
    expected = nearest_neighbors(np.delete(centered, [3, 5], axis=2), K, metric)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.similarities, expected.similarities, rtol=1e-6, atol=1e-6)
    assert found.preprocessing == found.provenance["preprocessing"] == "center + drop_units(3,5)"


@pytest.mark.parametrize("preprocessing", [None, "none"])
def test_no_preprocessing_changes_no_byte(layer: np.ndarray, preprocessing: str | None):
    found = nearest_neighbors(layer, K, preprocessing=preprocessing)
    expected = nearest_neighbors(layer, K)
    assert found.similarities.tobytes() == expected.similarities.tobytes()
    assert found.preprocessing == found.provenance["preprocessing"] == "none"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("preprocessing", ["whiten", "remove_components(2)"])
def test_copies_of_a_text_stay_copies_after_preprocessing(
    rng: np.random.Generator, metric: str, preprocessing: str
):
    copies = [2, 30, 61, 100, 202]
    layer = rng.normal(size=(211, 37)).astype(np.float32)
    layer[copies] = layer[2]
    ids = nearest_neighbors(layer, 210, metric, preprocessing=preprocessing).ids[0]
    for text in range(0, 211, 7):
        places = [ids[text].tolist().index(copy) for copy in copies if copy != text]
        assert places == list(range(places[0], places[0] + len(places)))


def test_what_preprocessing_refuses_is_named_with_the_layer(layer: np.ndarray):
    with pytest.raises(ParameterError) as refused:
        nearest_neighbors(layer, K, preprocessing="drop_units(3,17,20)")
    assert refused.value.message == (
        "array, layer 1: drop_units: there is no unit 17, 20 in (texts, units) = (43, 17); units count "
        "from 0 to 16"
    )
    layers = np.stack([layer, np.ones_like(layer)])
    with pytest.raises(ActivationsError, match=r"^array, layer 2: the activations of text 1, 2, 3"):
        nearest_neighbors(layers, K, preprocessing="center")
