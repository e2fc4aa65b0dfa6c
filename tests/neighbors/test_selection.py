"""Lists kept tile by tile against sorting whole rows of the matrix, in the order of (-product, index)."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import ActivationsError
from isodepth.neighbors import METRICS, layer_neighbors, metrics, selection
from isodepth.neighbors.selection import cuts, largest_places, most_similar
from isodepth.preprocessing import rows as preprocessing_rows
from isodepth.preprocessing.rows import distinct_rows, finite_rows
from neighbors.tiles import cut_tiles

TEXTS, UNITS = 61, 7


def slow_lists(similarities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Sort all columns of each row but the row itself."""
    without = similarities.copy()
    np.fill_diagonal(without, -np.inf)
    ids = np.argsort(-without, axis=1, kind="stable")[:, :k]
    return ids, np.take_along_axis(without, ids, axis=1)


def slow_similarities(layer: np.ndarray, metric: str) -> np.ndarray:
    """Exact for small whole numbers: sums of products of these, or of squared differences."""
    if metric == "euclidean":
        return -np.sqrt(((layer[:, np.newaxis] - layer) ** 2).sum(axis=2))
    if metric == "correlation":
        layer = layer - layer.mean(axis=1, keepdims=True)
    if metric in ("cosine", "correlation"):
        layer = layer / np.sqrt((layer**2).sum(axis=1, keepdims=True))
    return (layer[:, np.newaxis] * layer).sum(axis=2)


# tiles, threads and ties


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("rows", [1, 2, 7, 30, 31, 60, 61, 62])
@pytest.mark.parametrize("k", [1, 5, TEXTS - 1])
def test_lists_are_those_of_whole_rows_with_ties_to_the_lower_index(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_threads: int, rows: int, k: int
):
    cut_tiles(monkeypatch, rows, n_threads)
    # few whole numbers: products are exact, and a third of all others are as near as the k-th
    vectors = rng.integers(-1, 2, size=(TEXTS, UNITS)).astype(np.float64)
    ids, products = most_similar(vectors, k)
    expected_ids, expected_products = slow_lists(vectors @ vectors.T, k)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(products, expected_products)
    assert (ids.dtype, products.dtype) == (np.int32, np.float64)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 23), st.integers(1, 9), st.data())
def test_lists_are_those_of_whole_rows_at_any_size(seed: int, n: int, rows: int, data: st.DataObject):
    k = data.draw(st.integers(0, n - 1))
    vectors = np.random.default_rng(seed).integers(-2, 3, size=(n, 3)).astype(np.float64)
    with pytest.MonkeyPatch.context() as patch:
        cut_tiles(patch, rows, 2)
        ids, products = most_similar(vectors, k)
    expected_ids, expected_products = slow_lists(vectors @ vectors.T, k)
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_array_equal(products, expected_products)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("rows", [4, 17, 41])
@pytest.mark.parametrize("k", [1, 6, 40])
def test_all_metrics_with_copies_across_tiles(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    metric: str,
    n_threads: int,
    rows: int,
    k: int,
):
    # 12 plus and 4 minus ones: norms, means and so all similarities are exact, and many are equal
    distinct = rng.permuted(np.tile(np.repeat([1.0, -1.0], [12, 4]), (11, 1)), axis=1)
    layer = distinct[rng.integers(0, 11, size=41)]
    expected_ids, expected = slow_lists(slow_similarities(layer, metric), k)
    cut_tiles(monkeypatch, rows, n_threads)
    ids, similarities = layer_neighbors(layer.astype(np.float32), k, metric)
    np.testing.assert_allclose(similarities, expected, rtol=1e-6, atol=1e-7)
    if metric != "correlation":  # whose norm is the root of 12
        np.testing.assert_array_equal(ids, expected_ids)


@pytest.mark.parametrize("metric", METRICS)
def test_two_texts_are_as_near_in_both_lists_bit_for_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, metric: str
):
    cut_tiles(monkeypatch, 19, 2)
    layer = 100 * rng.normal(size=37) + rng.normal(size=(TEXTS, 37))
    layer[[8, 50]] = layer[3]
    ids, similarities = layer_neighbors(layer, TEXTS - 1, metric)
    full = np.zeros((TEXTS, TEXTS))
    np.put_along_axis(full, ids.astype(np.int64), similarities.astype(np.float64), axis=1)
    np.testing.assert_array_equal(full, full.T)
    exact_ids, exact = metrics.prepared(layer, metric).nearest(TEXTS - 1)
    np.put_along_axis(full, exact_ids.astype(np.int64), exact, axis=1)
    np.testing.assert_array_equal(full, full.T)


def test_threads_are_made_use_of_and_change_no_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    layer = 30 * rng.normal(size=29) + rng.normal(size=(211, 29))
    layer[100:140] = layer[3]
    found = []
    for n_threads in (1, 2, 5):
        cut_tiles(monkeypatch, 50, n_threads)
        found.append([layer_neighbors(layer, 20, metric) for metric in METRICS])
    for other in found[1:]:
        for (ids, similarities), (first_ids, first) in zip(other, found[0], strict=True):
            assert ids.tobytes() == first_ids.tobytes()
            assert similarities.tobytes() == first.tobytes()
    cut_tiles(monkeypatch, 50, 3)
    names = set()
    with selection.threads(1000) as on_threads:
        on_threads(lambda start, stop: names.add(threading.current_thread().name), 0, 100)
    assert names
    assert all(name.startswith("neighbors") for name in names)


def test_little_work_takes_no_threads():
    names = []
    with selection.threads(selection.LEAST_WORK) as on_threads:
        on_threads(lambda start, stop: names.append((start, stop, threading.current_thread())), 3, 8)
    assert names == [(3, 8, threading.current_thread())]


@pytest.mark.parametrize(("start", "stop", "most"), [(0, 10, 10), (0, 11, 5), (3, 4, 9), (5, 5, 2)])
def test_cuts_are_whole_but_the_last_and_leave_nothing_out(start: int, stop: int, most: int):
    found = cuts(start, stop, most)
    assert [place for cut in found for place in range(cut.start, cut.stop)] == list(range(start, stop))
    lengths = [cut.stop - cut.start for cut in found]
    assert all(length == most for length in lengths[:-1])
    assert all(length <= most for length in lengths)


@pytest.mark.parametrize("k", [1, 4, 9])
def test_largest_places_of_rows_leave_out_what_is_minus_infinity(rng: np.random.Generator, k: int):
    block = rng.integers(0, 5, size=(13, 29)).astype(np.float64)
    block[:, 9:][rng.uniform(size=(13, 20)) < 0.8] = -np.inf
    expected = np.argsort(-block, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(largest_places(block, k), expected)
    np.testing.assert_array_equal(largest_places(np.asfortranarray(block), k), expected)


# Euclidean distances in doubt


@pytest.mark.parametrize("more", [0, 1, 16])
def test_texts_that_products_cannot_tell_apart_are_looked_at_one_by_one(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, more: int
):
    # clusters far from their mean: products of float64 lose all that tells their members apart
    layer = rng.choice([-1e8, 1e8], size=(TEXTS, 1)) + rng.normal(size=(TEXTS, 37))
    squares = ((layer[:, np.newaxis] - layer) ** 2).sum(axis=2)
    monkeypatch.setattr(metrics, "MORE_CHOSEN", more)
    monkeypatch.setattr(metrics, "BLOCK_VALUES", 5 * TEXTS)
    prepared = metrics.prepared(layer, "euclidean")
    looked_at = []
    possible = metrics.ByDifference._possible
    monkeypatch.setattr(
        metrics.ByDifference,
        "_possible",
        lambda self, rows, k: looked_at.extend(rows.tolist()) or possible(self, rows, k),
    )
    ids, _ = prepared.nearest(3)
    np.testing.assert_array_equal(ids, slow_lists(-squares, 3)[0])
    assert len(set(looked_at)) == len(looked_at) > TEXTS / 2


def test_texts_that_products_tell_apart_are_not_looked_at_again(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    layer = rng.normal(size=(TEXTS, 37)) + 10
    monkeypatch.setattr(metrics.ByDifference, "_possible", None)
    ids, _ = layer_neighbors(layer, 3, "euclidean")
    squares = ((layer[:, np.newaxis] - layer) ** 2).sum(axis=2)
    np.testing.assert_array_equal(ids, slow_lists(-squares, 3)[0])


def test_more_copies_than_candidates_stand_in_order(rng: np.random.Generator):
    layer = rng.normal(size=(101, 5))
    layer[10:90] = layer[10]
    ids, similarities = layer_neighbors(layer, 3, "euclidean")
    assert ids[50].tolist() == [10, 11, 12]
    assert ids[11].tolist() == [10, 12, 13]
    assert not similarities[10:90].any()


# rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("every_sum_is_the_same", [False, True])
def test_distinct_rows_are_those_of_sets_of_bytes(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    dtype: type,
    every_sum_is_the_same: bool,
):
    if every_sum_is_the_same:
        monkeypatch.setattr(preprocessing_rows.zlib, "crc32", lambda row: 7)
    layer = rng.normal(size=(31, 5)).astype(dtype)
    first, group = distinct_rows(layer)
    assert group is None
    np.testing.assert_array_equal(first, np.arange(31))
    layer[[9, 30, 12]] = layer[[2, 9, 11]]
    layer[30] = layer[2]
    first, group = distinct_rows(layer)
    assert group is not None
    np.testing.assert_array_equal(layer[first][group], layer)
    assert first.tolist() == [row for row in range(31) if row not in (9, 30, 12)]
    assert group[[2, 9, 30, 11, 12]].tolist() == [2, 2, 2, group[11], group[11]]


def test_rows_that_are_not_finite_are_found_in_every_block(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(preprocessing_rows, "BLOCK_VALUES", 10)
    layer = np.ones((11, 5), dtype=np.float32)
    assert finite_rows(layer).dtype == np.float64
    layer[[0, 3, 10], [1, 0, 4]] = np.nan, np.inf, -np.inf
    with pytest.raises(ActivationsError, match=r"in text 1, 4, 11 \(rows count from 1\) of \(texts"):
        finite_rows(layer)
