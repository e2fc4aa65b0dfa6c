"""Standard errors of all pairs against the roles of texts, resamples, and tiles of every size."""

import itertools

import numpy as np
import pytest

from isodepth.affinity import all_affinities
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.statistics import role_tiles
from isodepth.statistics.resampling import RESAMPLING_METHODS, resampled_matrices, text_roles
from isodepth.statistics.standard_errors import standard_errors


def model(name: str, ids: np.ndarray) -> Neighbors:
    return Neighbors(ids=ids, similarities=np.zeros(ids.shape, dtype=np.float32), model=name)


def related(rng: np.random.Generator, *n_layers: int, n_texts: int, length: int) -> list[Neighbors]:
    """Return neighbors, nearest first, of models that share some of what is near."""
    shared = rng.uniform(size=(n_texts, n_texts))
    shared[:, :3] -= 0.4  # hubs, which nearly all texts name
    itself = np.arange(n_texts)
    models = []
    for place, number in enumerate(n_layers):
        distances = shared + rng.uniform(size=(number, n_texts, n_texts))
        distances[:, itself, itself] = np.inf
        models.append(model("abcd"[place], distances.argsort(axis=2)[..., :length].astype(np.int32)))
    return models


def slow_errors(left: np.ndarray, right: np.ndarray, k: int, method: str | None) -> np.ndarray:
    """Return the standard errors from what every text adds to every cell."""
    own, lent, _ = text_roles(left, right, k=k, method=method)
    variance = own.var(axis=0, dtype=np.float64)
    if lent is not None:
        variance += lent.var(axis=0, dtype=np.float64)
    return np.sqrt(variance / left.shape[1]) / k


@pytest.mark.parametrize("method", [None, *RESAMPLING_METHODS])
def test_errors_are_those_of_what_texts_add(rng: np.random.Generator, method: str | None):
    models = related(rng, 3, 2, 5, n_texts=43, length=12)
    errors = standard_errors(models, k=5, method=method)
    assert errors.method == method or (method is None and errors.method == "two-way")
    for one, other in itertools.product(models, models):
        expected = slow_errors(one.ids, other.ids, 5, method)
        # the slow way takes rounded thirds and fifths of neighbors
        np.testing.assert_allclose(errors[one.model, other.model], expected, rtol=1e-5, atol=1e-7)
    assert (errors.values[~np.eye(10, dtype=bool)] > 0.001).all()


def test_ever_more_resamples_have_these_standard_deviations(rng: np.random.Generator):
    left, right = related(rng, 3, 2, n_texts=43, length=12)
    errors = standard_errors([left], right=[right], k=5)
    resampled = resampled_matrices(left.ids, right.ids, k=5, n_resamples=20_000)
    # of 20,000 resamples, a standard deviation has an error of 0.5 %
    np.testing.assert_allclose(resampled.values.std(axis=0), errors.values, rtol=0.025)


def test_explicitly_drawn_texts_have_these_standard_deviations(rng: np.random.Generator):
    (one,) = related(rng, 3, n_texts=37, length=5)
    errors = standard_errors([one], method="overlaps")
    shared = np.array(
        [
            [[len({*a} & {*b}) for b in one.ids[:, text].tolist()] for a in one.ids[:, text].tolist()]
            for text in range(37)
        ]
    )
    drawn = rng.integers(37, size=(20_000, 37))
    spread = np.array([shared[texts].mean(axis=0) / 5 for texts in drawn]).std(axis=0)
    np.testing.assert_allclose(errors.values, spread, rtol=0.025, atol=1e-12)


@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize("tile_bytes", [1, 5_000, 20_000])
def test_tiles_and_threads_change_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_threads: int, tile_bytes: int
):
    models = related(rng, 3, 2, 5, n_texts=43, length=12)
    expected = standard_errors(models, k=5).values
    roles = text_roles(models[0].ids, models[2].ids, k=5)
    monkeypatch.setattr(role_tiles, "usable_cores", lambda: n_threads)
    monkeypatch.setattr(role_tiles, "TILE_BYTES", tile_bytes)
    np.testing.assert_array_equal(standard_errors(models, k=5).values, expected)
    np.testing.assert_array_equal(standard_errors(models, right=models, k=5).values, expected)
    for one, other in zip(text_roles(models[0].ids, models[2].ids, k=5), roles, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("n_layers", [1, 95, 96, 97, 193])
def test_layers_that_do_not_fill_a_tile(rng: np.random.Generator, n_layers: int):
    (model_,) = related(rng, n_layers, n_texts=11, length=4)
    errors = standard_errors([model_], k=2).values
    np.testing.assert_array_equal(errors, errors.T)
    np.testing.assert_array_equal(errors.diagonal(), 0)
    for i in {0, n_layers // 2, n_layers - 1}:
        expected = slow_errors(model_.ids[[i]], model_.ids, 2, None)[0]
        np.testing.assert_allclose(errors[i], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("k", "length"), [(3, 255), (3, 256), (127, 254), (128, 256), (200, 399)])
def test_lists_that_a_byte_does_not_count(rng: np.random.Generator, k: int, length: int):
    left, right = related(rng, 2, 3, n_texts=401, length=length)
    own, lent, _ = text_roles(left.ids, right.ids, k=k)
    matrix = all_affinities([left], right=[right], k=k).values
    np.testing.assert_allclose(own.mean(axis=0, dtype=np.float64) / k, matrix, rtol=1e-12)
    used = min(length, k + max(k, 5))
    for text in (0, 200):
        n_texts = 401
        expected = np.zeros((2, 3))
        for i, j in itertools.product(range(2), range(3)):
            for s in range(n_texts):
                a, b = left.ids[i, s], right.ids[j, s]
                if text not in a[:k] and text not in b[:k]:
                    continue
                by_left, by_right = text in a[:k], text in b[:k]
                gained = 0.0
                for place in range(k, used):
                    gained += by_left and a[place] in b[:place]
                    gained += by_right and b[place] in a[:place]
                    gained += by_left and by_right and a[place] == b[place]
                expected[i, j] += (by_left and by_right) - gained / (used - k)
        np.testing.assert_allclose(lent[text], expected, atol=1e-4)


@pytest.mark.parametrize("n_texts", [6_529, 6_563])
def test_a_hub_may_lend_as_much_as_16_bits_hold_and_more(n_texts: int):
    # all name text 0 in both layers, which have nothing else in common; counted in fifths
    others = np.arange(n_texts)[:, np.newaxis]
    left, right = (1 + (others + np.arange(start, start + 7)) % (n_texts - 1) for start in (0, 10))
    for lists in (left, right):
        lists[1:, 0] = 0
    _, lent, _ = text_roles(*(ids[np.newaxis].astype(np.int32) for ids in (left, right)), k=2)
    assert lent is not None
    assert ((n_texts - 1) * 5 > np.iinfo(np.int16).max) == (n_texts > 6_553)
    assert lent[0, 0, 0] == n_texts - 1


def test_intervals_reach_as_far_as_the_level_says(rng: np.random.Generator):
    models = related(rng, 3, 2, n_texts=43, length=12)
    errors = standard_errors(models, k=5)
    low, high = errors.intervals(0.9)
    values = errors.matrices.values
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose((high - values)[off], 1.6448536 * errors.values[off], rtol=1e-6)
    np.testing.assert_allclose((values - low)[off], 1.6448536 * errors.values[off], rtol=1e-6)
    wide = errors.intervals(1 - 1e-15)
    assert wide[0].min() == 0
    assert wide[1].max() == 1
    with pytest.raises(ParameterError, match=r"^the level must lie between 0 and 1; got 1.0$"):
        errors.intervals(1.0)


def test_it_shows_and_finds_what_it_holds(rng: np.random.Generator):
    models = related(rng, 3, 2, n_texts=43, length=12)
    errors = standard_errors(models, k=5)
    assert repr(errors).startswith("StandardErrors(two-way; AffinityMatrices(2 models, 1 pair")
    assert errors["a", "b"].shape == (3, 2)
    np.testing.assert_array_equal(errors["a", "b"], errors.values[:3, 3:])
    with pytest.raises(UnknownNameError, match=r"'z' \(right\)"):
        errors["a", "z"]


def test_what_is_impossible_is_refused_by_name(rng: np.random.Generator):
    models = related(rng, 3, 2, n_texts=43, length=12)
    models[1].ids[1, 5, 9] = 43  # beyond k, but made use of
    with pytest.raises(ParameterError, match=r"^b: ids must lie in 0 to 42"):
        standard_errors(models, k=5)
    with pytest.raises(ParameterError, match=r"two-way resampling needs more neighbors"):
        standard_errors(models[:1], k=12, method="two-way")
    with pytest.raises(ParameterError, match=r"method must be one of .*; got 'jackknife'"):
        standard_errors(models[:1], method="jackknife")
