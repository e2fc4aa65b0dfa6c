"""Matrices of many readers in the store: cells that are there stay, others are computed once."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isodepth import affinity_matrix
from isodepth.activations import ExtractionOptions
from isodepth.affinity import MEASURES
from isodepth.errors import StoreError
from isodepth.models import ModelSource
from isodepth.neighbors import Neighbors
from isodepth.pipeline.matrices import STAGE, Reader, Selection, relate, relate_one, stored_matrices
from isodepth.pipeline.readings import Reading
from isodepth.progress import no_progress
from isodepth.store import DamagedArtifactWarning, Store
from isodepth.texts import ParallelTexts, TextSet
from tiny_studies import Counts, flipped

N_TEXTS = 23
OPTIONS = ExtractionOptions()
LEFT = TextSet.of([f"left {i}" for i in range(N_TEXTS)], name="left")
RIGHT = TextSet.of([f"right {i}" for i in range(N_TEXTS)], name="right")
PAIRING = ParallelTexts.of(LEFT, RIGHT).pairing
LAYERS = {"a": 2, "b": 3, "c": 5, "d": 7, "e": 1}


def reader(name: str, store: Store, *, texts: TextSet = LEFT, label: str | None = None) -> Reader:
    """Return a reader whose neighbors are in the store; random, and the same for the same name."""
    source = ModelSource(kind="folder", name=name, weights_digest=f"digest of {name}")
    reading = Reading(source=source, texts=texts, options=(OPTIONS,), least_k=5, kept_k=7)
    rng = np.random.default_rng([ord(name), texts is LEFT])
    order = rng.random((LAYERS[name], N_TEXTS, N_TEXTS)).argsort(axis=2)
    ids = order[order != np.arange(N_TEXTS)[:, None]].reshape(LAYERS[name], N_TEXTS, N_TEXTS - 1)
    key = f"{reading.neighbors_key(OPTIONS)}-k7"
    if store.manifest("neighbors", key) is None:
        store.write(
            "neighbors",
            key,
            arrays={
                "ids": ids[:, :, :7].astype(np.int32),
                "similarities": np.zeros((LAYERS[name], N_TEXTS, 7), dtype=np.float32),
            },
            manifest={"provenance": {}},
        )
    return Reader(label=label or name, reading=reading, options=OPTIONS)


def selected(
    store: Store,
    left: str,
    right: str | None = None,
    *,
    k: int = 3,
    labels: Sequence[str] | None = None,
) -> Selection:
    rows = tuple(
        reader(name, store, label=label) for name, label in zip(left, labels or left, strict=True)
    )
    columns = None if right is None else tuple(reader(name, store, texts=RIGHT) for name in right)
    return Selection(
        left=rows,
        right=columns,
        measure="overlap",
        k=k,
        texts_digest=LEFT.digest,
        pairing=None if right is None else PAIRING,
    )


def assert_is_right(selection: Selection, store: Store) -> None:
    found = stored_matrices(selection, store)
    assert found is not None
    assert found.left == tuple(one.label for one in selection.left)
    assert found.right == tuple(one.label for one in selection.columns)
    for one, other in itertools.product(selection.left, selection.columns):
        left, right = one.neighbors(store), other.neighbors(store)
        expected = affinity_matrix(left, right, k=selection.k, pairing=selection.pairing).values
        np.testing.assert_array_equal(found[one.label, other.label].values, expected)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


@pytest.mark.parametrize(("left", "right"), [("abc", None), ("abc", "ab"), ("b", "cad"), ("d", None)])
@pytest.mark.parametrize("k", [1, 5])
def test_every_cell_is_that_of_the_plain_function(
    left: str, right: str | None, k: int, store: Store
) -> None:
    selection = selected(store, left, right, k=k)
    assert stored_matrices(selection, store) is None
    assert relate([selection], store, no_progress, False)
    assert_is_right(selection, store)
    found = stored_matrices(selection, store)
    assert found.is_symmetric == (right is None)
    assert (found.measure, found.k, found.n_texts) == ("overlap", k, N_TEXTS)
    assert found.texts_digest == LEFT.digest
    assert found.right_texts_digest == (None if right is None else RIGHT.digest)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("right", [None, "abcd"])
def test_matrices_that_come_one_after_the_other_are_all_right_and_measure_only_what_is_new(
    seed: int, right: str | None, store: Store, counts: Counts
) -> None:
    rng = np.random.default_rng(seed)
    seen: set[tuple[str, str]] = set()
    for _ in range(6):
        rows = "".join(rng.permutation([*"abcd"])[: rng.integers(1, 5)])
        columns = None if right is None else "".join(rng.permutation([*right])[: rng.integers(1, 5)])
        selection = selected(store, rows, columns)
        cells = set(itertools.product(rows, columns or rows))
        if right is None:
            cells = {(min(cell), max(cell)) for cell in cells}
        counts.clear()
        relate_one(selection, store, no_progress, True)
        new = cells - seen
        expected = Counter(tuple(sorted((LAYERS[one], LAYERS[other]))) for one, other in new)
        measured = Counter(tuple(sorted(pair)) for pair in counts.pairs)
        assert set(measured) == set(expected)
        seen |= cells
        assert_is_right(selection, store)


def test_a_model_that_joins_is_measured_once_with_each_of_the_others(
    store: Store, counts: Counts
) -> None:
    relate_one(selected(store, "abc"), store, no_progress, True)
    counts.clear()
    relate_one(selected(store, "abcd"), store, no_progress, True)
    assert sorted(tuple(sorted(pair)) for pair in counts.pairs) == [(2, 7), (3, 7), (5, 7), (7, 7)]


def test_labels_and_order_do_not_matter_for_what_is_there(store: Store, counts: Counts) -> None:
    relate_one(selected(store, "abc"), store, no_progress, True)
    counts.clear()
    renamed = selected(store, "abc", labels=["x", "a", "b"])
    assert renamed.key == selected(store, "abc").key
    assert_is_right(renamed, store)
    turned = selected(store, "ca")
    relate_one(turned, store, no_progress, True)
    assert counts.pairs == []
    assert_is_right(turned, store)


def test_keys_tell_apart_readers_k_measure_and_sides(store: Store) -> None:
    plain = selected(store, "ab")
    others = [
        selected(store, "ba"),
        selected(store, "abc"),
        selected(store, "ab", k=5),
        replace(plain, measure="mutual_knn"),
        selected(store, "ab", "ab"),
        selected(store, "ab", "ba"),
    ]
    assert len({one.key for one in (plain, *others)}) == 7
    assert [one.group == plain.group for one in others] == [True, True, False, False, False, False]


def test_one_reader_under_two_labels_is_measured_once_and_stands_twice(
    store: Store, counts: Counts
) -> None:
    twice = selected(store, "aba", labels=["a", "b", "again"])
    relate_one(twice, store, no_progress, True)
    assert_is_right(twice, store)
    assert Counter(map(frozenset, counts.pairs)).keys() == {
        frozenset({2}),
        frozenset({3}),
        frozenset({2, 3}),
    }


def test_a_reader_that_stands_left_and_right_under_two_labels_is_compared_with_itself(
    store: Store,
) -> None:
    one, other = reader("a", store), reader("a", store, label="again")
    selection = Selection(left=(one,), right=(other,), measure="overlap", k=3, texts_digest=LEFT.digest)
    relate_one(selection, store, no_progress, True)
    assert_is_right(selection, store)


def test_a_pair_takes_no_cells_of_plain_texts(store: Store, counts: Counts) -> None:
    relate_one(selected(store, "ab"), store, no_progress, True)
    counts.clear()
    pair = selected(store, "ab", "ab")
    relate_one(pair, store, no_progress, True)
    assert len(counts.pairs) == 4
    assert_is_right(pair, store)


def test_several_matrices_read_each_readers_neighbors_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    selections = [selected(store, "abc", k=k) for k in (1, 3, 5)]
    asked: list[str] = []
    neighbors = Reader.neighbors

    def counted(self: Reader, store: Store) -> Neighbors:
        asked.append(self.label)
        return neighbors(self, store)

    monkeypatch.setattr(Reader, "neighbors", counted)
    assert relate(selections, store, no_progress, True)
    assert sorted(asked) == ["a", "b", "c"]


def test_where_another_run_is_at_it_nothing_is_computed_without_waiting(
    store: Store, counts: Counts
) -> None:
    one, other = selected(store, "ab"), selected(store, "bc")
    with store.lock(STAGE, one.key):
        assert not relate([one, other], store, no_progress, False)
        assert not relate([other, one], store, no_progress, False)
    assert stored_matrices(one, store) is None
    assert relate([one, other], store, no_progress, False)
    assert_is_right(one, store)
    assert_is_right(other, store)


def test_a_damaged_matrix_is_named_and_gives_no_cells(store: Store, counts: Counts) -> None:
    small = selected(store, "abc")
    relate_one(small, store, no_progress, True)
    path = store.folder(STAGE, small.key) / "arrays.safetensors"
    flipped(path)
    counts.clear()
    large = selected(store, "abcd")
    with pytest.warns(DamagedArtifactWarning) as caught:
        relate_one(large, store, no_progress, True)
    assert str(path) in str(caught[0].message)
    assert len({frozenset(pair) for pair in counts.pairs}) == 10
    assert_is_right(large, store)


def test_values_are_the_readers_own_and_may_be_changed(store: Store) -> None:
    selection = selected(store, "ab")
    relate_one(selection, store, no_progress, True)
    found = stored_matrices(selection, store)
    found.values[:] = 2
    assert_is_right(selection, store)


def test_neighbors_that_are_gone_are_told_of_with_the_models_label(store: Store) -> None:
    selection = selected(store, "ab", labels=["the first", "the second"])
    for key in store.keys("neighbors"):
        store.remove("neighbors", key)
    with pytest.raises(StoreError, match="the neighbors of the first are not in the store") as caught:
        relate_one(selection, store, no_progress, True)
    assert "run the same command again" in caught.value.hint
    assert not store.is_locked(STAGE, selection.key)


def test_a_measure_of_one_pass_gives_what_a_measure_of_pairs_gives(store: Store) -> None:
    plain = selected(store, "abc")
    relate_one(plain, store, no_progress, True)
    one_pass = replace(plain, measure="mutual_knn")
    assert MEASURES["mutual_knn"] is not MEASURES["overlap"]
    relate_one(one_pass, store, no_progress, True)
    np.testing.assert_array_equal(
        stored_matrices(plain, store).values, stored_matrices(one_pass, store).values
    )
