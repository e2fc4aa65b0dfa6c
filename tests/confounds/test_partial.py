import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from isodepth.affinity import mutual_knn
from isodepth.confounds import nearest, residual_similarities
from isodepth.errors import ParameterError


def symmetric(rng: np.random.Generator, n_texts: int) -> np.ndarray:
    values = rng.normal(size=(n_texts, n_texts))
    return values + values.T


def agreement(one: np.ndarray, other: np.ndarray, baselines: list[np.ndarray]) -> tuple[float, float]:
    """Return the similarity of two layers before and after, at k = 10."""
    before = [nearest(layer, 10)[0] for layer in (one, other)]
    after = [nearest(residual_similarities(layer, baselines), 10)[0] for layer in (one, other)]
    return mutual_knn(*before), mutual_knn(*after)


def test_layers_that_share_the_baselines_alone_agree_by_chance_after_it(rng: np.random.Generator):
    words, length = symmetric(rng, 211), symmetric(rng, 211)
    layers = [
        slope * words + other * length + 0.3 * symmetric(rng, 211) for slope, other in ((2, 1), (1, 3))
    ]
    before, after = agreement(*layers, [words, length])
    chance = 10 / 210
    assert before > 6 * chance
    assert after == pytest.approx(chance, abs=0.015)


def test_layers_that_share_something_else_still_agree_after_it(rng: np.random.Generator):
    words, meaning = symmetric(rng, 211), symmetric(rng, 211)
    layers = [words + meaning + 0.2 * symmetric(rng, 211) for _ in range(2)]
    before, after = agreement(*layers, [words])
    assert before > 0.5
    assert after > 0.8 * before


def test_residuals_are_those_of_a_regression_of_each_row(rng: np.random.Generator):
    layer, one, other = symmetric(rng, 31), symmetric(rng, 31), symmetric(rng, 31)
    allowed = rng.uniform(size=(31, 31)) < 0.6
    allowed |= allowed.T
    for pairs in (None, allowed):
        found = residual_similarities(layer, [one, other], allowed=pairs)
        for text in range(31):
            counted = np.ones(31, dtype=bool) if pairs is None else pairs[text].copy()
            counted[text] = False
            predictors = np.stack([one[text], other[text]], axis=1)
            fit = LinearRegression().fit(predictors[counted], layer[text, counted])
            expected = layer[text] - fit.predict(predictors)
            expected[text] = 0
            np.testing.assert_allclose(found[text], expected, atol=1e-10)


def test_what_a_text_adds_to_all_its_similarities_changes_nothing(rng: np.random.Generator):
    layer, words = symmetric(rng, 41), symmetric(rng, 41)
    moved = layer + rng.normal(size=(41, 1))
    np.testing.assert_allclose(
        residual_similarities(moved, [words]), residual_similarities(layer, [words]), atol=1e-10
    )


def test_a_baseline_that_does_not_vary_or_is_given_twice_changes_no_neighbor(rng: np.random.Generator):
    layer, words = 0.999 + 1e-5 * symmetric(rng, 41), symmetric(rng, 41)
    plain, _ = nearest(layer, 7)
    for constant in (np.zeros((41, 41)), np.full((41, 41), 0.1)):
        np.testing.assert_array_equal(nearest(residual_similarities(layer, [constant]), 7)[0], plain)
    once = residual_similarities(layer, [words])
    twice = residual_similarities(layer, [words, 3 * words - 1])
    np.testing.assert_allclose(twice, once, atol=1e-12)
    np.testing.assert_array_equal(nearest(twice, 7)[0], nearest(once, 7)[0])


def test_equal_columns_keep_equal_residuals(rng: np.random.Generator):
    layer, words = symmetric(rng, 43), symmetric(rng, 43)
    layer[:, 40], words[:, 40] = layer[:, 3], words[:, 3]
    found = residual_similarities(layer, [words])
    others = np.setdiff1d(np.arange(43), [3, 40])
    np.testing.assert_array_equal(found[others, 40], found[others, 3])


def test_blocks_of_rows_make_no_difference(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    layer, words, allowed = symmetric(rng, 41), symmetric(rng, 41), rng.uniform(size=(41, 41)) < 0.8
    whole = residual_similarities(layer, [words], allowed=allowed)
    monkeypatch.setattr("isodepth.confounds.partial.BLOCK_BYTES", 8 * 41 * 3)
    found = residual_similarities(layer, [words], allowed=allowed)
    np.testing.assert_allclose(found, whole, atol=1e-12)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ParameterError, match="at least one baseline"):
        residual_similarities(np.zeros((5, 5)), [])
    with pytest.raises(ParameterError, match=r"expected \(5, 5\), got \(7, 7\)"):
        residual_similarities(np.zeros((5, 5)), [np.zeros((7, 7))])
    with pytest.raises(ParameterError, match=r"allowed must be \(5, 5\); got \(7, 7\)"):
        residual_similarities(
            np.zeros((5, 5)), [np.zeros((5, 5))], allowed=np.zeros((7, 7), dtype=bool)
        )
    with pytest.raises(ParameterError, match="NaN or infinite similarities of text 2"):
        residual_similarities(np.zeros((2, 2)), [np.array([[0, 0], [np.nan, 0]])])
