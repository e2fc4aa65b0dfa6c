import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance

from isodepth.confounds import layer_similarities, nearest
from isodepth.confounds.similarities import MOST_TEXTS
from isodepth.errors import ActivationsError, ParameterError
from isodepth.neighbors import METRICS, layer_neighbors


def slow_nearest(
    similarities: np.ndarray, k: int, allowed: np.ndarray | None = None
) -> list[list[int]]:
    lists = []
    for text, row in enumerate(similarities.tolist()):
        others = [
            other
            for other in range(len(row))
            if other != text and (allowed is None or allowed[text, other])
        ]
        lists.append(sorted(others, key=lambda other: (-row[other], other))[:k])
    return lists


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_they_give_the_neighbors_that_are_found_in_blocks(
    rng: np.random.Generator, offset: float, metric: str
):
    vectors = rng.normal(size=(101, 13)) + offset * rng.normal(size=13)
    vectors[[7, 50]] = vectors[31]
    vectors[[8, 51]] = vectors[100]
    ids, similarities = nearest(layer_similarities(vectors, metric), 17)
    expected_ids, expected = layer_neighbors(vectors, 17, metric)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(similarities, expected, rtol=1e-6)


def test_cosines_are_symmetric_and_do_not_mind_rotation_or_lengths(rng: np.random.Generator):
    vectors = rng.normal(size=(41, 7))
    similarities = layer_similarities(vectors)
    np.testing.assert_array_equal(similarities, similarities.T)
    turned = vectors @ np.linalg.qr(rng.normal(size=(7, 7)))[0] * rng.uniform(1, 1e200, size=(41, 1))
    np.testing.assert_allclose(layer_similarities(turned), similarities, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1.0, 1e-120, 1e120])
def test_they_are_exactly_symmetric_and_what_they_are_called(
    rng: np.random.Generator, metric: str, scale: float
):
    vectors = rng.normal(size=(41, 7))
    similarities = layer_similarities(scale * vectors, metric)
    np.testing.assert_array_equal(similarities, similarities.T)
    kernels = {
        "cosine": lambda a, b: 1 - distance.cosine(a, b),
        "correlation": lambda a, b: np.corrcoef(a, b)[0, 1],
        "euclidean": lambda a, b: -scale * distance.euclidean(a, b),
        "inner_product": lambda a, b: scale**2 * (a @ b),
    }
    expected = [[kernels[metric](one, other) for other in vectors] for one in vectors]
    np.testing.assert_allclose(similarities, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("metric", METRICS)
def test_bit_equal_texts_are_equally_similar_to_any_third(rng: np.random.Generator, metric: str):
    vectors = rng.normal(size=(67, 31)) + 100
    vectors[[3, 40, 66]] = vectors[12]
    similarities = layer_similarities(vectors, metric)
    for twin in (3, 40, 66):
        np.testing.assert_array_equal(similarities[:, twin], similarities[:, 12])


def test_distances_far_smaller_than_vectors_keep_their_digits(rng: np.random.Generator):
    """Two bundles far from each other: within one, products of centered vectors leave no digit."""
    vectors = 1e-9 * rng.normal(size=(61, 11))
    vectors[::2] += 1.0
    similarities = layer_similarities(vectors, "euclidean")
    expected = -distance.squareform(distance.pdist(vectors))
    np.testing.assert_allclose(similarities, expected, rtol=1e-9)
    ids, _ = nearest(similarities, 7)
    np.testing.assert_array_equal(ids, layer_neighbors(vectors, 7, "euclidean")[0])


def test_few_distances_are_summed_up_from_differences(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    """Where products will do, none is: it takes many times as long."""
    summed: list[int] = []
    einsum = np.einsum

    def counted(subscripts: str, *arrays: np.ndarray) -> np.ndarray:
        summed.append(len(arrays[0]))
        return einsum(subscripts, *arrays)

    monkeypatch.setattr("isodepth.confounds.similarities.np.einsum", counted)
    vectors = rng.normal(size=(53, 17)) + 1000 * rng.normal(size=17)
    vectors[5] = vectors[4] + 1e-9
    layer_similarities(vectors, "euclidean")
    assert sum(summed) - 53 == 1  # the squares, and the two that lie close


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 5]), st.booleans())
@settings(max_examples=30)
def test_nearest_is_a_stable_sort_of_those_that_are_allowed(seed: int, k: int, is_restricted: bool):
    rng = np.random.default_rng(seed)
    similarities = rng.integers(0, 4, size=(23, 23)).astype(float)  # many ties
    allowed = rng.uniform(size=(23, 23)) < 0.7 if is_restricted else None
    if allowed is not None:
        allowed[:, :6] = True
    ids, found = nearest(similarities, k, allowed)
    assert ids.tolist() == slow_nearest(similarities, k, allowed)
    np.testing.assert_array_equal(found, np.take_along_axis(similarities, ids, axis=1))


def test_a_text_is_not_its_own_neighbor_even_where_it_is_allowed():
    ids, _ = nearest(np.eye(5), 4, np.ones((5, 5), dtype=bool))
    assert all(text not in row for text, row in enumerate(ids.tolist()))


def test_arguments_are_not_changed(rng: np.random.Generator):
    similarities, allowed = rng.normal(size=(11, 11)), np.ones((11, 11), dtype=bool)
    before = similarities.copy()
    nearest(similarities, 3, allowed)
    np.testing.assert_array_equal(similarities, before)


def test_blocks_of_rows_make_no_difference(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    similarities = rng.integers(0, 9, size=(41, 41)).astype(float)
    allowed = rng.uniform(size=(41, 41)) < 0.8
    whole = nearest(similarities, 7, allowed)
    monkeypatch.setattr("isodepth.confounds.similarities.BLOCK_BYTES", 8 * 41 * 3)
    for one, other in zip(whole, nearest(similarities, 7, allowed), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nan_is_refused_by_row():
    similarities = np.zeros((5, 5))
    similarities[2, 3] = similarities[4, 0] = np.nan
    with pytest.raises(ParameterError, match=r"similarities of text 3, 5 \(rows count from 1\) of 5"):
        nearest(similarities, 1)


def test_texts_with_too_few_candidates_are_named():
    allowed = ~np.eye(7, dtype=bool)
    allowed[[1, 4], 2:] = False
    with pytest.raises(ParameterError, match=r"text 2, 5 .* has fewer than k = 3 candidates") as caught:
        nearest(np.zeros((7, 7)), 3, allowed)
    assert "rows_with_enough" in str(caught.value.hint)


def test_shapes_and_k_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match=r"must be \(texts, texts\); got \(5, 7\)"):
        nearest(np.zeros((5, 7)), 1)
    with pytest.raises(ParameterError, match=r"allowed must be \(5, 5\); got \(7, 7\)"):
        nearest(np.zeros((5, 5)), 1, np.ones((7, 7), dtype=bool))
    with pytest.raises(ParameterError, match="expected k >= 1"):
        nearest(np.zeros((5, 5)), 0)


def test_a_text_without_direction_is_named():
    vectors = np.ones((5, 3))
    vectors[3] = 0
    with pytest.raises(ActivationsError, match=r"text 4 .* all zero"):
        layer_similarities(vectors)
    vectors[3] = 5
    vectors[:3, 0] = vectors[4, 0] = 2
    with pytest.raises(ActivationsError, match=r"text 4 .* the same in every unit"):
        layer_similarities(vectors, "correlation")
    vectors[2, 1] = np.nan
    with pytest.raises(ActivationsError, match=r"NaN or infinite activations in text 3"):
        layer_similarities(vectors, "euclidean")
    with pytest.raises(ActivationsError, match="inner products .* larger than float64 holds"):
        layer_similarities(np.full((5, 3), 1e200), "inner_product")
    with pytest.raises(ParameterError, match="metric must be one of"):
        layer_similarities(np.ones((5, 3)), "manhattan")


def test_too_many_texts_are_refused_with_what_they_would_take():
    vectors = np.broadcast_to(np.float32(1), (MOST_TEXTS + 1, 1))
    with pytest.raises(ParameterError, match=r"16,385 texts .* would take 2\.1 GB") as caught:
        layer_similarities(vectors)
    assert caught.value.hint == "take a sample of the texts."


def test_products_that_float32_does_not_hold_end_at_its_largest_as_those_of_neighbors_do(
    rng: np.random.Generator,
):
    layer = (rng.normal(size=(61, 5)) * 1e30).astype(np.float32)
    ids, similarities = nearest(layer_similarities(layer, "inner_product"), 3)
    expected, largest = layer_neighbors(layer, 3, "inner_product")
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_array_equal(similarities, largest)
    assert similarities.max() == np.finfo(np.float32).max
