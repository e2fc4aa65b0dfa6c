from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy import stats

from isodepth.confounds import layer_similarities, local_scaling, mutual_proximity, nearest
from isodepth.confounds.hubs import SCALED_METRICS
from isodepth.errors import ParameterError

CORRECTIONS = [local_scaling, mutual_proximity]
Correction = Callable[[np.ndarray], np.ndarray]


def with_hubs(rng: np.random.Generator, n_texts: int = 211) -> np.ndarray:
    """Return cosines of texts of which some lie near the mean direction of all."""
    vectors = rng.normal(size=(n_texts, 40)) + 0.5
    vectors[:5] = 0.5 + 0.3 * rng.normal(size=(5, 40))
    return layer_similarities(vectors)


def in_degrees(similarities: np.ndarray, k: int = 10) -> np.ndarray:
    ids, _ = nearest(similarities, k)
    return np.bincount(ids.ravel(), minlength=len(ids))


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_planted_hubs_are_named_less_often(rng: np.random.Generator, corrected: Correction):
    plain = with_hubs(rng)
    before, after = in_degrees(plain), in_degrees(corrected(plain))
    assert stats.skew(before) > 3
    assert stats.skew(after) < 0.5 * stats.skew(before)
    assert after[:5].max() < 0.5 * before[:5].min()


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_what_is_corrected_is_symmetric_and_finite(rng: np.random.Generator, corrected: Correction):
    plain = with_hubs(rng)
    before = plain.copy()
    found = corrected(plain)
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_array_equal(plain, before)
    assert np.isfinite(found).all()
    assert found.max() <= 0
    assert (found.diagonal() == 0).all()


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_bit_equal_texts_stay_equally_similar_to_any_third(
    rng: np.random.Generator, corrected: Correction
):
    vectors = rng.normal(size=(67, 31)) + 3
    vectors[[3, 40, 66]] = vectors[12]
    found = corrected(layer_similarities(vectors))
    others = np.setdiff1d(np.arange(67), [3, 12, 40, 66])
    for twin in (3, 40, 66):
        np.testing.assert_array_equal(found[others, twin], found[others, 12])


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_more_duplicates_than_neighbors_are_each_others_nearest(
    rng: np.random.Generator, corrected: Correction
):
    vectors = rng.normal(size=(43, 7))
    vectors[5:20] = vectors[4]
    ids, _ = nearest(corrected(layer_similarities(vectors)), 10)
    assert ((ids[4:20] >= 4) & (ids[4:20] < 20)).all()


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_texts_that_are_all_alike_are_no_error(corrected: Correction):
    found = corrected(np.ones((13, 13)))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("metric", SCALED_METRICS)
def test_local_scaling_is_the_distance_over_the_root_of_both_scales(
    rng: np.random.Generator, metric: str
):
    vectors = rng.normal(size=(17, 5))
    found = local_scaling(layer_similarities(vectors, metric), metric=metric, k=3)
    if metric != "euclidean":
        vectors -= vectors.mean(axis=1, keepdims=True) * (metric == "correlation")
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = np.linalg.norm(vectors[:, np.newaxis] - vectors, axis=2)
    for one in range(17):
        for other in range(17):
            if one != other:
                scales = [
                    np.mean(sorted(np.delete(distances[text], text))[:3]) for text in (one, other)
                ]
                expected = -distances[one, other] / np.sqrt(scales[0] * scales[1])
                assert found[one, other] == pytest.approx(expected, rel=1e-9)


def test_mutual_proximity_is_the_product_of_two_normal_probabilities(rng: np.random.Generator):
    similarities = layer_similarities(rng.normal(size=(17, 5)))
    found = mutual_proximity(similarities)
    for one in range(17):
        for other in range(17):
            if one != other:
                rows = [np.delete(similarities[text], text) for text in (one, other)]
                value = similarities[one, other]
                expected = sum(stats.norm.logcdf(value, row.mean(), row.std()) for row in rows)
                assert found[one, other] == pytest.approx(expected, rel=1e-9)


def test_mutual_proximity_tells_near_neighbors_apart_whose_probability_rounds_to_one():
    similarities = np.random.default_rng(0).uniform(0, 1e-3, size=(400, 400))
    similarities = (similarities + similarities.T) / 2
    similarities[0, 1] = similarities[1, 0] = 0.98
    similarities[0, 2] = similarities[2, 0] = 0.97
    ids, _ = nearest(mutual_proximity(similarities), 2)
    assert ids[0].tolist() == [1, 2]


@pytest.mark.parametrize("corrected", [mutual_proximity, partial(local_scaling, metric="euclidean")])
def test_units_of_distances_make_no_difference(rng: np.random.Generator, corrected: Correction):
    vectors = rng.normal(size=(43, 7))
    vectors[5:20] = vectors[4]  # more of them than neighbors: their scale is the least
    plain = layer_similarities(vectors, "euclidean")
    for scale in (2.0**-99, 2.0**99):
        np.testing.assert_allclose(corrected(scale * plain), corrected(plain), rtol=1e-12)


def test_planted_hubs_of_distances_are_named_less_often(rng: np.random.Generator):
    vectors = rng.normal(size=(211, 40))
    vectors[:5] *= 0.1  # near the middle of all
    plain = layer_similarities(vectors, "euclidean")
    before, after = in_degrees(plain), in_degrees(local_scaling(plain, metric="euclidean"))
    assert after[:5].max() < 0.5 * before[:5].min()
    after = in_degrees(mutual_proximity(plain))
    assert after[:5].max() < 0.5 * before[:5].min()


def test_all_texts_at_one_place_are_no_error():
    found = local_scaling(np.zeros((13, 13)), metric="euclidean")
    np.testing.assert_array_equal(found, 0)


def test_local_scaling_takes_what_has_distances():
    with pytest.raises(ParameterError, match=r"by cosine takes similarities from -1 to 1") as caught:
        local_scaling(np.full((5, 5), -3.0))
    assert "mutual_proximity" in str(caught.value.hint)
    with pytest.raises(ParameterError, match=r"by euclidean takes similarities from -inf to 0"):
        local_scaling(np.ones((5, 5)), metric="euclidean")
    with pytest.raises(ParameterError, match="inner products are none") as caught:
        local_scaling(np.ones((5, 5)), metric="inner_product")
    assert "mutual_proximity" in str(caught.value.hint)
    with pytest.raises(ParameterError, match="expected k >= 1"):
        local_scaling(np.ones((5, 5)), k=0)


@pytest.mark.parametrize("corrected", CORRECTIONS)
def test_numbers_that_are_none_are_refused(corrected: Correction):
    with pytest.raises(ParameterError, match="NaN or infinite similarities of text 1"):
        corrected(np.array([[0.0, np.inf], [0.0, 0.0]]))
