"""The compiled pass against sets, at the sizes where its bytes, words, parts and threads have their ends."""

import subprocess
import sys

import numpy as np
import pytest

from isodepth.affinity import counts
from isodepth.affinity.counts import shared_counts


def random_ids(rng: np.random.Generator, n_layers: int, n_texts: int, k: int) -> np.ndarray:
    """Return k different others for every text, (layers, texts, k); near ones are likelier."""
    keys = rng.random((n_layers, n_texts, n_texts - 1)) + np.linspace(0, 1, n_texts - 1)
    steps = np.argsort(keys, axis=2)[:, :, :k] + 1
    return ((np.arange(n_texts)[:, np.newaxis] + steps) % n_texts).astype(np.int32)


def counts_by_sets(left: list[np.ndarray], right: list[np.ndarray]) -> list[list[int]]:
    """Count shared neighbors with sets, one pair of layers and one text at a time."""
    rows, columns = (
        [[set(ids) for ids in layer] for model in side for layer in model.tolist()]
        for side in (left, right)
    )
    return [
        [sum(len(a & b) for a, b in zip(one, other, strict=True)) for other in columns] for one in rows
    ]


def split(ids: np.ndarray, *sizes: int) -> list[np.ndarray]:
    return np.split(ids, np.cumsum(sizes))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5, 6, 11])
def test_each_number_of_neighbors_is_counted_as_sets_do(rng: np.random.Generator, k: int):
    models = split(random_ids(rng, 13, 29, k), 2, 7)
    expected = counts_by_sets(models, models)
    assert shared_counts(models, None).tolist() == expected
    assert shared_counts(models, models).tolist() == expected
    assert shared_counts(models[1:], models[:2]).tolist() == [row[:9] for row in expected[2:]]


@pytest.mark.parametrize("n_layers", [1, 7, 8, 9, 16, 17])
def test_layers_that_do_not_fill_a_word_are_counted_as_sets_do(rng: np.random.Generator, n_layers: int):
    left, right = random_ids(rng, n_layers, 19, 3), random_ids(rng, 5, 19, 3)
    assert shared_counts([left], None).tolist() == counts_by_sets([left], [left])
    assert shared_counts([left], [right]).tolist() == counts_by_sets([left], [right])
    assert shared_counts([right], [left]).tolist() == counts_by_sets([right], [left])


@pytest.mark.parametrize("k", [127, 128, 254, 255, 256, 509, 511])
def test_lists_longer_than_a_byte_counts_to_are_counted_in_pieces(rng: np.random.Generator, k: int):
    models = split(random_ids(rng, 5, 521, k), 2)
    expected = counts_by_sets(models, models)
    assert shared_counts(models, None).tolist() == expected
    assert shared_counts(models, models).tolist() == expected
    assert shared_counts(models[:1], models[1:]).tolist() == [row[2:] for row in expected[:2]]


@pytest.mark.parametrize("k", [1, 3, 255, 300])
def test_a_byte_never_overflows_when_all_layers_agree_in_all(rng: np.random.Generator, k: int):
    one = random_ids(rng, 1, 701, k)
    same = np.repeat(one, 11, axis=0)
    whole = np.full((11, 11), 701 * k)
    np.testing.assert_array_equal(shared_counts([same], None), whole)
    np.testing.assert_array_equal(shared_counts([same], [same]), whole)


def test_layers_that_share_nothing_share_nothing():
    n_texts = 31
    ids = (np.arange(n_texts)[:, np.newaxis] + np.arange(1, 16)) % n_texts
    apart = np.stack(np.split(ids, 5, axis=1)).astype(np.int32)
    np.testing.assert_array_equal(shared_counts([apart], None), np.diag([31 * 3] * 5))
    np.testing.assert_array_equal(shared_counts([apart[:2]], [apart[2:]]), np.zeros((2, 3)))


@pytest.mark.parametrize("n_threads", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("part_bytes", [1, 10_000, 1 << 20])
def test_threads_and_parts_change_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_threads: int, part_bytes: int
):
    models = split(random_ids(rng, 17, 257, 5), 3, 11)
    expected = counts_by_sets(models, models)
    monkeypatch.setattr(counts, "usable_cores", lambda: n_threads)
    monkeypatch.setattr(counts, "PART_BYTES", part_bytes)
    assert shared_counts(models, None).tolist() == expected
    assert shared_counts(models, models).tolist() == expected


def test_a_failure_in_a_thread_is_raised_and_ends_the_work(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    def fails(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(counts, "_gathered", fails)
    monkeypatch.setattr(counts, "usable_cores", lambda: 2)
    monkeypatch.setattr(counts, "PART_BYTES", 1)
    with pytest.raises(MemoryError):
        shared_counts([random_ids(rng, 2, 521, 5)], None)


@pytest.mark.parametrize("n_texts", [32_768, 65_537, 70_001])
def test_ids_beyond_16_bits_are_counted(n_texts: int):
    ids = [
        ((np.arange(n_texts)[:, np.newaxis] + np.array(steps)) % n_texts)[np.newaxis].astype(np.int32)
        for steps in ((1, 2, 3), (2, 3, 4), (3, 4, 5))
    ]
    expected = n_texts * np.array([[3, 2, 1], [2, 3, 2], [1, 2, 3]])
    np.testing.assert_array_equal(shared_counts(ids, None), expected)
    np.testing.assert_array_equal(shared_counts(ids, ids), expected)


@pytest.mark.parametrize("order", ["C", "F", "reversed", "read-only", "sliced"])
def test_ids_are_read_as_they_lie(rng: np.random.Generator, order: str):
    ids = random_ids(rng, 5, 43, 7)
    laid = {
        "C": ids,
        "F": np.asfortranarray(ids),
        "reversed": np.ascontiguousarray(ids[:, :, ::-1])[:, :, ::-1],
        "read-only": np.frombuffer(ids.tobytes(), dtype=np.int32).reshape(ids.shape),
        "sliced": np.pad(ids, ((0, 0), (0, 0), (0, 13)))[:, :, :7],
    }[order]
    expected = counts_by_sets([ids], [ids])
    assert shared_counts([laid], None).tolist() == expected
    assert shared_counts([laid], [ids]).tolist() == expected


def test_matrices_from_the_store_need_no_compiled_kernels():
    code = (
        "import sys, numpy, isodepth; isodepth.all_affinities, isodepth.affinity_matrix; "
        "isodepth.AffinityMatrices(values=numpy.ones((1, 1)), left=('a',), right=('a',), "
        "left_layers=(1,), right_layers=(1,), is_symmetric=True, measure='mutual_knn', k=3, "
        "n_texts=7).to_table(); print('numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
