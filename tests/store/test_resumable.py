"""Long work goes on where it stopped, and rows that are not whole are computed again."""

import errno
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from isodepth.errors import StoreError
from isodepth.store import (
    ARRAYS,
    MANIFEST,
    ArrayProgress,
    DamagedArtifactWarning,
    ResumableArray,
    Store,
)
from isodepth.store.sealing import sealed
from tiny_stores import (
    KEY,
    MANIFEST_OF_TEST,
    SHAPE,
    STAGE,
    Start,
    begun,
    files_below,
    flip_byte,
    raises_os_error,
    reopened,
    write_rows,
    written,
)

pytestmark = pytest.mark.usefixtures("unsynced")


def test_a_new_array_lacks_every_row(store: Store) -> None:
    assert store.unfinished("activations", KEY) is None
    array = begun(store)
    for same in (array, reopened(store)):
        assert same.missing.tolist() == list(range(SHAPE[1]))
        assert same.missing.dtype == np.int64
        assert same.values().shape == SHAPE
        assert (same.shape, same.manifest) == (SHAPE, MANIFEST_OF_TEST)
    assert store.read("activations", KEY) is None


def test_begin_replaces_what_was_there(store: Store, values: np.ndarray) -> None:
    write_rows(begun(store), values, [0, 1])
    array = begun(store)
    assert array.missing.tolist() == list(range(SHAPE[1]))
    assert not array.values().any()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_rows_survive_reopening_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    values = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) + 1
    order = data.draw(st.permutations(range(SHAPE[1])))
    cut = data.draw(st.integers(0, SHAPE[1]))
    array = begun(store)
    for rows in (order[: cut // 2], order[cut // 2 : cut]):
        write_rows(array, values, list(rows))
    found = reopened(store)
    assert found.missing.tolist() == sorted(order[cut:])
    np.testing.assert_array_equal(found.values()[:, order[:cut]], values[:, order[:cut]])
    assert not found.values()[:, order[cut:]].any()
    write_rows(found, values, found.missing.tolist())
    assert reopened(store).missing.size == 0
    np.testing.assert_array_equal(found.values(), values)


def test_rows_given_in_other_types_and_orders_are_stored_as_float32(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    array.write(np.arange(SHAPE[1]), np.asfortranarray(values.astype(np.float64)))
    assert reopened(store).missing.size == 0
    np.testing.assert_array_equal(array.values(), values)


def test_writes_that_the_system_cuts_short_are_continued(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, start: pwrite(file, data[:3], start))
    array = begun(store)
    write_rows(array, values, list(range(SHAPE[1])))
    np.testing.assert_array_equal(array.values(), values)


def test_a_journal_line_cut_short_costs_only_its_rows(store: Store, values: np.ndarray) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    write_rows(array, values, [0, 6])
    journal = array.folder / ResumableArray.JOURNAL
    first, second = journal.read_text().splitlines(keepends=True)
    for length in range(1, len(second)):
        journal.write_text(first + second[:length])
        with pytest.warns(
            DamagedArtifactWarning, match=f"{re.escape(str(journal))} ends within a line"
        ):
            assert reopened(store).missing.tolist() == [0, 1, 3, 5, 6]
        assert journal.read_text() == first
        assert reopened(store).missing.tolist() == [0, 1, 3, 5, 6], "what was told is told once"


def test_rows_written_after_a_journal_line_cut_short_are_kept(store: Store, values: np.ndarray) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    write_rows(array, values, [0, 6])
    journal = array.folder / ResumableArray.JOURNAL
    os.truncate(journal, journal.stat().st_size - 5)
    with pytest.warns(DamagedArtifactWarning, match="ends within a line"):
        found = reopened(store)
    assert found.missing.tolist() == [0, 1, 3, 5, 6]
    write_rows(found, values, [0, 1])
    assert reopened(store).missing.tolist() == [3, 5, 6]


def test_any_flipped_byte_of_the_journal_is_named_and_misleads_nobody(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    write_rows(array, values, [0, 6])
    journal = array.folder / ResumableArray.JOURNAL
    good = journal.read_bytes()
    end_of_first = good.index(b"\n")
    for position in range(len(good)):
        for flip in (0x01, 0x80):
            data = bytearray(good)
            data[position] ^= flip
            journal.write_bytes(data)
            with pytest.warns(DamagedArtifactWarning, match=re.escape(str(journal))):
                missing = set(reopened(store).missing.tolist())
            lost = {4, 2} if position < end_of_first else {0, 6}
            if position == end_of_first:
                lost = {4, 2, 0, 6}  # two lines have become one
            assert missing == {1, 3, 5} | lost


def test_a_deleted_journal_is_named_and_all_rows_are_computed_again(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    journal = array.folder / ResumableArray.JOURNAL
    journal.unlink()
    with pytest.warns(DamagedArtifactWarning, match=f"{re.escape(str(journal))} is missing"):
        assert reopened(store).missing.size == SHAPE[1]
    write_rows(reopened(store), values, [4, 2])
    assert reopened(store).missing.tolist() == [0, 1, 3, 5, 6]


@pytest.mark.parametrize("rows", [[7], [-1], [1.0], [None], ["a"], [10**30]])
def test_rows_that_cannot_be_are_passed_over(store: Store, values: np.ndarray, rows: list[Any]) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    with (array.folder / ResumableArray.JOURNAL).open("a") as journal:
        entry = {"rows": rows, "sums": ["00"], "at": 0.0, "n_tokens": 0}
        journal.write(sealed(entry, indent=None) + "\n")
    assert reopened(store).missing.tolist() == [0, 1, 3, 5, 6]


# progress


def clock(monkeypatch: pytest.MonkeyPatch, *times: float) -> None:
    remaining = list(times)
    monkeypatch.setattr("time.time", lambda: remaining.pop(0))


def test_an_array_without_rows_has_no_speed(store: Store) -> None:
    assert store.unfinished_progress("activations", KEY) is None
    begun(store)
    assert store.unfinished_progress("activations", KEY) == ArrayProgress(
        n_done=0, n_texts=SHAPE[1], n_tokens=0, tokens_per_second=None, last_at=None
    )


def test_progress_counts_rows_and_tokens_over_time(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = begun(store)
    clock(monkeypatch, 1000.0, 1010.0, 1030.0)
    for rows, n_tokens in (([4, 2], 17), ([0], 190), ([6], 410)):
        array.write(np.array(rows), values[:, rows], n_tokens=n_tokens)
    assert store.unfinished_progress("activations", KEY) == ArrayProgress(
        n_done=4,
        n_texts=SHAPE[1],
        n_tokens=617,
        tokens_per_second=(190 + 410) / 30,
        last_at=1030.0,
    )


def test_a_night_between_two_runs_does_not_count(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = begun(store)
    night = 8 * 3600.0
    clock(monkeypatch, 1000.0, 1010.0, 1000 + night, 1020 + night)
    for row, n_tokens in ((0, 10), (1, 20), (2, 40), (3, 80)):
        array.write(np.array([row]), values[:, [row]], n_tokens=n_tokens)
    progress = store.unfinished_progress("activations", KEY)
    assert progress is not None
    assert progress.tokens_per_second == 80 / 20
    assert progress.n_tokens == 150


def test_a_clock_that_is_set_back_gives_no_negative_speed(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = begun(store)
    clock(monkeypatch, 2000.0, 1500.0)
    for row in (0, 1):
        array.write(np.array([row]), values[:, [row]], n_tokens=10)
    progress = store.unfinished_progress("activations", KEY)
    assert progress is not None
    assert progress.tokens_per_second is None


def test_asking_for_progress_changes_nothing_and_reads_no_row(store: Store, values: np.ndarray) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    journal = array.folder / ResumableArray.JOURNAL
    with journal.open("a") as file:
        file.write('{"rows": [0')  # as another process may be writing at this moment
    before = journal.read_bytes()
    (array.folder / ARRAYS).unlink()
    progress = store.unfinished_progress("activations", KEY)
    assert progress is not None
    assert progress.n_done == 2
    assert journal.read_bytes() == before
    assert ResumableArray.damages(array.folder) == [f"{array.folder / ARRAYS} is missing"]
    assert journal.read_bytes() == before


@pytest.mark.parametrize("layer", range(SHAPE[0]))
def test_a_flipped_byte_makes_its_row_missing_again(
    store: Store, values: np.ndarray, layer: int
) -> None:
    array = begun(store)
    write_rows(array, values, list(range(SHAPE[1])))
    row, unit = 5, 3
    flip_byte(array.folder / ARRAYS, -4 * (np.prod(SHAPE) - (layer * 7 + row) * 5 - unit))
    damage = f"{array.folder / ARRAYS} has other bytes than its journal says for text 5"
    assert ResumableArray.damages(array.folder) == [damage]
    with pytest.warns(DamagedArtifactWarning, match=re.escape(damage)):
        found = reopened(store)
    assert found.missing.tolist() == [row]
    write_rows(found, values, [row])
    assert reopened(store).missing.size == 0
    np.testing.assert_array_equal(found.values(), values)


UNUSABLE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "truncated data": (ARRAYS, lambda path: os.truncate(path, path.stat().st_size - 1)),
    "longer data": (ARRAYS, lambda path: os.truncate(path, path.stat().st_size + 1)),
    "no data": (ARRAYS, lambda path: path.unlink()),
    "damaged header": (ARRAYS, lambda path: flip_byte(path, 11)),
    "damaged header length": (ARRAYS, lambda path: flip_byte(path, 0)),
    "truncated manifest": (MANIFEST, lambda path: os.truncate(path, 9)),
    "no manifest": (MANIFEST, lambda path: path.unlink()),
    "manifest of another form": (MANIFEST, lambda path: path.write_text("[]")),
    "manifest of another shape": (
        MANIFEST,
        lambda path: path.write_text(sealed({"shape": [7], "manifest": {}})),
    ),
}


@pytest.mark.parametrize("damage", UNUSABLE)
def test_an_unusable_array_is_begun_anew(store: Store, values: np.ndarray, damage: str) -> None:
    name, harm = UNUSABLE[damage]
    array = begun(store)
    write_rows(array, values, [0, 1])
    harm(array.folder / name)
    (problem,) = ResumableArray.damages(array.folder)
    assert problem.startswith(str(array.folder / name))
    with pytest.warns(DamagedArtifactWarning, match=re.escape(problem)):
        assert store.unfinished("activations", KEY) is None
    assert begun(store).missing.tolist() == list(range(SHAPE[1]))


def test_any_flipped_byte_of_an_unfinished_manifest_is_noticed(store: Store) -> None:
    manifest = begun(store).folder / MANIFEST
    good = manifest.read_bytes()
    for position in range(len(good)):
        manifest.write_bytes(good)
        flip_byte(manifest, position)
        with pytest.warns(DamagedArtifactWarning, match=re.escape(str(manifest))):
            found = store.unfinished("activations", KEY)
        assert found is None, good[max(0, position - 5) : position + 5]


KILLED_IN_ROWS = """
import os, signal, sys
import numpy as np
from isodepth.store import Store, artifacts, resumable

array = Store(sys.argv[1]).begin("activations", sys.argv[2], shape=(3, 7, 5), manifest={})
array.write(np.array([4, 2]), np.full((3, 2, 5), 13.0))

def killed(values):
    os.kill(os.getpid(), signal.SIGKILL)

resumable.row_sum = killed
array.write(np.array([0, 6]), np.full((3, 2, 5), 17.0))
"""


def test_rows_of_a_killed_process_are_kept_up_to_its_last_journal_line(
    store: Store, process: Start
) -> None:
    assert process(KILLED_IN_ROWS, store.root, KEY).wait(30) == -signal.SIGKILL
    found = reopened(store)
    assert found.missing.tolist() == [0, 1, 3, 5, 6]
    assert (found.values()[:, [4, 2]] == 13).all()


def test_an_adopted_array_is_an_artifact_that_others_can_load(store: Store, values: np.ndarray) -> None:
    array = begun(store)
    write_rows(array, values, list(range(SHAPE[1])))
    folder = store.adopt("activations", KEY, array)
    artifact = store.read("activations", KEY)
    assert artifact is not None
    assert artifact.path == folder
    assert list(artifact.arrays) == [ResumableArray.NAME]
    np.testing.assert_array_equal(artifact.arrays[ResumableArray.NAME], values)
    assert artifact.manifest.items() >= MANIFEST_OF_TEST.items()
    loaded = load_file(folder / ARRAYS)
    np.testing.assert_array_equal(loaded[ResumableArray.NAME], values)
    assert store.unfinished("activations", KEY) is None
    assert not array.folder.exists()


def test_an_array_adopted_twice_keeps_the_first(store: Store, values: np.ndarray) -> None:
    for part in (values, values + 1):
        array = begun(store)
        write_rows(array, part, list(range(SHAPE[1])))
        store.adopt("activations", KEY, array)
    artifact = store.read("activations", KEY)
    assert artifact is not None
    np.testing.assert_array_equal(artifact.arrays[ResumableArray.NAME], values)


@pytest.mark.parametrize("failing", ["store.artifacts.write_manifest", "atomic._sync_file"])
def test_an_adoption_that_fails_loses_no_row(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    array = begun(store)
    write_rows(array, values, list(range(SHAPE[1])))
    with monkeypatch.context() as patch:
        patch.setattr(f"isodepth.{failing}", raises_os_error(errno.ENOSPC))
        with pytest.raises(StoreError, match=r"What was finished before is kept\."):
            store.adopt("activations", KEY, array)
    assert store.read("activations", KEY) is None
    assert reopened(store).missing.size == 0
    np.testing.assert_array_equal(reopened(store).values(), values)


def test_discard_removes_the_array_and_nothing_else(store: Store, values: np.ndarray) -> None:
    written(store)
    array = begun(store)
    write_rows(array, values, [0])
    array.discard()
    assert store.unfinished("activations", KEY) is None
    assert files_below(store.root) == [f"{STAGE}/{KEY}/{ARRAYS}", f"{STAGE}/{KEY}/{MANIFEST}"]
    array.discard()
