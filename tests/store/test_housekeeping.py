"""What a store holds is listed and checked; what goes is what nobody needs, and nothing else."""

import contextlib
import os
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest

from isodepth.errors import StoreError
from isodepth.store import (
    ARRAYS,
    MANIFEST,
    DamagedArtifactWarning,
    RemoteStore,
    ResumableArray,
    Store,
    content_key,
)
from isodepth.store.garbage import DAY, HOUR, Garbage, collect, garbage
from isodepth.store.housekeeping import (
    entries,
    leftovers,
    older_versions,
    things_set_aside,
    unfinished_entries,
    verify,
)
from tiny_stores import (
    KEY,
    OTHER_KEY,
    SHAPE,
    STAGE,
    Start,
    begun,
    files_below,
    flip_byte,
    write_rows,
    written,
)

pytestmark = pytest.mark.usefixtures("unsynced")

NONE: dict[str, int] = {}


def age(path: Path, seconds: float) -> None:
    """Set back when a file, or everything in a folder, was written."""
    for member in (path, *path.rglob("*")):
        os.utime(member, (time.time() - seconds, time.time() - seconds))


def why(found: list[Garbage]) -> dict[str, str]:
    return {item.what: item.why for item in found}


def neighbors(store: Store, key: str, k: int, **manifest: object) -> str:
    name = f"{key}-k{k}"
    store.write(STAGE, name, arrays={"ids": np.arange(k)}, manifest={"k": k, **manifest})
    return name


def a_store_with_everything(store: Store, values: np.ndarray) -> None:
    written(store)
    store.write(STAGE, OTHER_KEY, arrays={"ids": np.arange(3)}, manifest={}, files={"a.txt": b"text"})
    write_rows(begun(store), values, [4, 2])


# listing


def test_entries_tell_stage_key_size_and_age_without_reading_data(store: Store) -> None:
    folder = written(store)
    size_bytes = (folder / ARRAYS).stat().st_size
    (folder / ARRAYS).unlink()
    store.write("affinity", OTHER_KEY, arrays={}, manifest={"left": "a"}, files={"b": b"seventeen"})
    affinity, found = entries(store)
    assert (affinity.stage, affinity.key, affinity.size_bytes) == ("affinity", OTHER_KEY, 9)
    assert (found.stage, found.key, found.size_bytes) == (STAGE, KEY, size_bytes)
    assert found.manifest is not None
    assert found.manifest["model"] == "tiny"
    assert found.written_at is not None
    assert abs(found.written_at - time.time()) < 60


def test_a_damaged_manifest_is_listed_as_none(store: Store) -> None:
    flip_byte(written(store) / MANIFEST, 3)
    (found,) = entries(store)
    assert found.manifest is None


def test_unfinished_arrays_are_listed_with_their_progress(store: Store, values: np.ndarray) -> None:
    assert unfinished_entries(store) == []
    write_rows(begun(store), values, [4, 2])
    (found,) = unfinished_entries(store)
    assert (found.stage, found.key) == ("activations", KEY)
    assert found.progress == store.unfinished_progress("activations", KEY)
    assert found.progress is not None
    assert found.progress.n_done == 2


def test_an_array_with_holes_counts_what_it_takes_on_disk(store: Store) -> None:
    store.begin("activations", KEY, shape=(12, 2048, 769), manifest={})
    (found,) = unfinished_entries(store)
    assert found.size_bytes < 1e5


@pytest.mark.parametrize("stage", ["imported-texts", "neighbors"])
@pytest.mark.parametrize("key", [KEY, f"{KEY}-k13", "0" * 64])
def test_stage_and_key_are_read_from_the_name_of_an_array(store: Store, stage: str, key: str) -> None:
    store.begin(stage, key, shape=SHAPE, manifest={})
    (found,) = unfinished_entries(store)
    assert (found.stage, found.key) == (stage, key)


# verifying


def test_a_whole_store_is_found_whole_and_stays_as_it_is(store: Store, values: np.ndarray) -> None:
    a_store_with_everything(store, values)
    before = {name: (store.root / name).read_bytes() for name in files_below(store.root)}
    reports: list[tuple[int, int]] = []
    found = verify(store, progress=lambda label, done, total, unit: reports.append((done, total)))
    assert (found.n_artifacts, found.n_unfinished, found.damages) == (2, 1, ())
    assert {name: (store.root / name).read_bytes() for name in files_below(store.root)} == before
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1] == (found.size_bytes, found.size_bytes)


HARMS: dict[str, Callable[[Path], object]] = {
    "flipped": lambda path: flip_byte(path, path.stat().st_size // 2),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "deleted": lambda path: path.unlink(),
}
FILES_OF_ARTIFACT = [ARRAYS, MANIFEST, "a.txt"]
FILES_OF_ARRAY = [ARRAYS, MANIFEST, ResumableArray.JOURNAL]


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES_OF_ARTIFACT)
def test_damage_to_any_file_of_an_artifact_is_found_and_read_as_absent(
    store: Store, values: np.ndarray, name: str, harm: str
) -> None:
    a_store_with_everything(store, values)
    path = store.folder(STAGE, OTHER_KEY) / name
    HARMS[harm](path)
    (damage,) = verify(store).damages
    assert (damage.stage, damage.key, damage.aside) == (STAGE, OTHER_KEY, None)
    assert str(path) in damage.what
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(path))):
        assert store.read(STAGE, OTHER_KEY) is None
    assert store.read(STAGE, KEY) is not None
    assert store.unfinished("activations", KEY) is not None


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES_OF_ARRAY)
def test_damage_to_any_file_of_an_array_is_named_and_costs_no_artifact(
    store: Store, values: np.ndarray, name: str, harm: str
) -> None:
    a_store_with_everything(store, values)
    write_rows(begun(store), values, list(range(SHAPE[1])))
    path = store.root / "unfinished" / f"activations-{KEY}" / name
    HARMS[harm](path)
    is_cut_journal = (name, harm) == (ResumableArray.JOURNAL, "truncated")
    damages = verify(store).damages
    if is_cut_journal:
        assert damages == ()  # as while another process writes
    else:
        assert any(str(path) in damage.what for damage in damages)
        assert {(damage.stage, damage.key) for damage in damages} == {("activations", KEY)}
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(path))):
        array = store.unfinished("activations", KEY)
    if array is None:
        array = begun(store)
    assert array.missing.size > 0
    write_rows(array, values, array.missing.tolist())
    np.testing.assert_array_equal(array.values(), values)
    assert store.read(STAGE, KEY) is not None
    assert store.read(STAGE, OTHER_KEY) is not None
    assert verify(store).damages == ()


def test_all_damaged_files_are_told_and_set_aside_only_when_asked(
    store: Store, values: np.ndarray
) -> None:
    a_store_with_everything(store, values)
    folder = store.folder(STAGE, OTHER_KEY)
    for name in (ARRAYS, "a.txt"):
        flip_byte(folder / name, -1)
    assert len(verify(store).damages) == 2
    assert folder.is_dir()
    found = verify(store, set_aside=True).damages
    assert len(found) == 2
    (aside,) = things_set_aside(store)
    assert {damage.aside for damage in found} == {aside}
    assert not folder.exists()
    assert verify(store).damages == ()
    assert store.read(STAGE, OTHER_KEY) is None


def test_somebody_s_own_files_in_the_folder_are_nobody_s_business(store: Store) -> None:
    written(store)
    for name in (
        ".bashrc",
        ".ssh/id_rsa-abcdefgh",
        "Documents/letter/draft.txt",
        "Documents/.hidden-a1b2c3d4",
    ):
        path = store.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
        age(path, 400 * DAY)
    for folder in ("locks", "damaged", "unfinished"):
        (store.root / folder).mkdir()
        (store.root / folder / "notes.lock").write_text("mine")
        age(store.root / folder, 400 * DAY)
    assert [entry.key for entry in entries(store)] == [KEY]
    assert verify(store, set_aside=True).damages == ()
    assert garbage(store, versions=NONE, needed={(STAGE, KEY)}) == []


def test_the_cache_may_be_in_the_same_folder(store: Store, tmp_path: Path, values: np.ndarray) -> None:
    a_store_with_everything(store, values)
    mirror = store.root / "stores" / KEY
    remote = RemoteStore((tmp_path / "bucket").as_uri(), mirror=mirror)
    written(remote)
    write_rows(begun(remote), values, [4, 2])
    download = store.root / "downloads" / OTHER_KEY
    download.mkdir(parents=True)
    (download / "texts.whl").write_bytes(b"wheel")
    before = files_below(store.root)
    assert {(entry.stage, entry.key) for entry in entries(store)} == {(STAGE, KEY), (STAGE, OTHER_KEY)}
    assert verify(store, set_aside=True).damages == ()
    assert garbage(store, versions=NONE, needed={(STAGE, KEY), (STAGE, OTHER_KEY)}) == []
    assert files_below(store.root) == before
    array = remote.unfinished("activations", KEY)
    assert array is not None
    assert array.missing.size == SHAPE[1] - 2


# what can go


def test_nothing_of_a_fresh_store_can_go(store: Store, values: np.ndarray) -> None:
    assert garbage(store, versions=NONE) == []
    a_store_with_everything(store, values)
    with store.lock(STAGE, KEY):
        pass
    assert garbage(store, versions={"affinities": 1}) == []


def test_what_a_killed_write_left_can_go_after_an_hour(store: Store, values: np.ndarray) -> None:
    a_store_with_everything(store, values)
    array = store.root / "unfinished" / f"activations-{KEY}"
    left = [
        store.root / STAGE / f".{KEY}-a1b2c3d4",
        store.root / STAGE / f".{KEY}-k13-a1b2c3_4",
        store.root / "unfinished" / f".activations-{KEY}-a1b2c3d4",
    ]
    for folder in left:
        folder.mkdir()
        (folder / ARRAYS).write_bytes(bytes(5000))
    left.append(array / ".journal-a1b2c3d4.jsonl")
    left[-1].write_bytes(bytes(5000))
    before = set(files_below(store.root))
    assert leftovers(store) == sorted(left)
    assert garbage(store, versions=NONE) == []
    for path in left:
        age(path, HOUR + 60)
    age(left[0], HOUR + 60)
    os.utime(left[0] / ARRAYS)  # still being written
    found = garbage(store, versions=NONE)
    assert why(found) == {str(path): "left by a killed write" for path in sorted(left[1:])}
    assert all(item.size_bytes >= 5000 for item in found)
    os.utime(left[1] / ARRAYS)  # written to since it was listed
    assert [item.what for item in collect(found)] == [str(path) for path in sorted(left[2:])]
    gone = {str(path.relative_to(store.root)) for path in left[2:]}
    assert set(files_below(store.root)) == {
        name for name in before if not any(name.startswith(path) for path in gone)
    }


def test_what_was_set_aside_can_go(store: Store) -> None:
    flip_byte(written(store) / ARRAYS, -1)
    with pytest.warns(DamagedArtifactWarning):
        store.read(STAGE, KEY)
    (aside,) = things_set_aside(store)
    found = garbage(store, versions=NONE)
    assert why(found) == {str(aside): "damaged, set aside"}
    assert collect(found) == found
    assert things_set_aside(store) == []


def test_an_array_whose_result_is_stored_can_go_unless_it_is_in_use(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    write_rows(array, values, list(range(SHAPE[1])))
    store.write("activations", KEY, arrays={"values": values}, manifest={})
    assert garbage(store, versions=NONE) == []
    age(array.folder, HOUR + 60)
    with store.lock("activations", KEY):
        assert garbage(store, versions=NONE) == []
    found = garbage(store, versions=NONE)
    assert why(found) == {str(array.folder): "its result is stored"}
    with store.lock("activations", KEY):
        assert collect(found) == []
    assert collect(found) == found
    assert unfinished_entries(store) == []
    assert len(entries(store)) == 1


def test_an_array_that_is_read_again_for_more_stays_though_neighbors_of_it_are_stored(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    neighbors(store, OTHER_KEY, 13, activations=KEY)
    age(array.folder, 29 * DAY)
    assert garbage(store, versions=NONE) == []


@pytest.mark.parametrize("age_seconds", [0.0, 29 * DAY])
def test_an_array_that_older_code_began_can_go_unless_it_is_in_use(
    store: Store, age_seconds: float
) -> None:
    keys = [content_key({"number": number}) for number in range(5)]
    manifests: list[dict[str, object]] = [
        {"versions": {"activations": 1}},
        {"versions": {"activations": 2}},
        {"versions": {"activations": 3}},  # by newer code than this
        {},
    ]
    for key, manifest in zip(keys, manifests, strict=False):
        age(store.begin("activations", key, shape=SHAPE, manifest=manifest).folder, age_seconds)
    damaged = store.begin("activations", keys[4], shape=SHAPE, manifest=manifests[0]).folder
    (damaged / MANIFEST).unlink()
    arrays = [str(store.root / "unfinished" / f"activations-{key}") for key in keys]
    found = garbage(store, versions={"activations": 2})
    assert why(found) == {
        arrays[0]: "unfinished, of version 1 of activations, now 2",
        arrays[3]: "unfinished, of an unknown older version of activations",
    }
    with store.lock("activations", keys[0]):
        assert why(garbage(store, versions={"activations": 2})).keys() == {arrays[3]}
        assert [item.what for item in collect(found)] == [arrays[3]]
    assert len(unfinished_entries(store)) == 4
    assert garbage(store, versions=NONE) == []


def test_an_array_that_nobody_touched_for_a_month_can_go_unless_it_is_taken_up(
    store: Store, values: np.ndarray
) -> None:
    array = begun(store)
    write_rows(array, values, [4, 2])
    age(array.folder, 29 * DAY)
    assert garbage(store, versions=NONE) == []
    age(array.folder, 31 * DAY)
    found = garbage(store, versions=NONE)
    assert why(found) == {str(array.folder): "unfinished, not touched for 31 days"}
    write_rows(array, values, [1])
    assert collect(found) == []
    age(array.folder, 31 * DAY)
    with store.lock("activations", KEY):  # taken up, and nothing was written yet
        assert garbage(store, versions=NONE) == []
        assert collect(found) == []
    assert collect(found) == found
    assert not array.folder.exists()


def test_lock_files_go_unless_they_are_held(store: Store) -> None:
    for key in (KEY, OTHER_KEY):
        with store.lock(STAGE, key):
            pass
        age(store.root / "locks", 2 * DAY)
    with store.lock(STAGE, KEY):
        found = garbage(store, versions=NONE)
        assert why(found) == {
            str(store.root / "locks" / f"{STAGE}-{OTHER_KEY}.lock"): "a lock that nobody holds"
        }
        with store.lock(STAGE, OTHER_KEY):
            assert collect(found) == []
        assert collect(found) == found
    with store.lock(STAGE, OTHER_KEY, waiting=lambda: pytest.fail("waited")):
        pass


def test_artifacts_of_older_code_and_what_came_of_them_can_go(store: Store) -> None:
    keys = [content_key({"number": number}) for number in range(6)]
    versions: list[dict[str, int]] = [
        {"neighbors": 1},
        {"neighbors": 2},
        {"neighbors": 3},  # by newer code than this
        {"other": 1},
        {"activations": 1, "neighbors": 2},
        {"activations": 1, "neighbors": 1},
    ]
    for key, said in zip(keys, versions, strict=True):
        store.write("neighbors", key, arrays={"ids": np.arange(3)}, manifest={"versions": said})
    # what tells no version
    neighbors(store, OTHER_KEY, 5)
    store.write("affinities", KEY, arrays={}, manifest={})
    store.write("imported", KEY, arrays={}, manifest={})
    found = garbage(store, versions={"activations": 2, "neighbors": 2, "affinities": 2})
    assert why(found) == {
        f"neighbors/{keys[0]}": "of version 1 of neighbors, now 2",
        f"neighbors/{keys[4]}": "of version 1 of activations, now 2",
        f"neighbors/{keys[5]}": "of version 1 of activations, now 2, version 1 of neighbors, now 2",
        f"neighbors/{OTHER_KEY}-k5": "of an unknown older version of neighbors",
    }
    with store.lock("neighbors", keys[0]):
        listed = {f"neighbors/{keys[5]}", f"neighbors/{OTHER_KEY}-k5"}
        assert why(garbage(store, versions={"neighbors": 2})).keys() == listed
        assert len(collect(found)) == 3
    assert collect(found[:0]) == []
    assert [item.what for item in collect(garbage(store, versions={"neighbors": 2}))] == [
        f"neighbors/{keys[0]}"
    ]
    assert len(entries(store)) == 5


def test_older_versions_are_told_in_words() -> None:
    versions = {"activations": 3, "neighbors": 2}
    said: list[tuple[dict[str, object], str | None, list[str]]] = [
        ({"versions": {"activations": 2, "neighbors": 2}}, None, ["version 2 of activations, now 3"]),
        ({"versions": {}}, "neighbors", []),
        ({"versions": versions}, "neighbors", []),
        ({"version": 1}, None, []),
        ({"version": 1}, "imported", []),
        ({"version": 1}, "neighbors", ["an unknown older version of neighbors"]),
    ]
    for manifest, stage, words in said:
        assert older_versions(manifest, versions, stage=stage) == words


def test_neighbors_go_where_there_are_more_of_them_and_those_are_whole(store: Store) -> None:
    names = {k: neighbors(store, KEY, k, activations=OTHER_KEY) for k in (5, 13, 101)}
    neighbors(store, OTHER_KEY, 7)
    found = garbage(store, versions=NONE)
    assert why(found) == {
        f"{STAGE}/{names[k]}": "the store has 101 neighbors per text" for k in (13, 5)
    }
    with store.lock("activations", OTHER_KEY):  # whoever reads has the lock of what is read
        assert collect(found) == []
    flip_byte(store.folder(STAGE, names[101]) / ARRAYS, -1)
    assert why(garbage(store, versions=NONE)) == {
        f"{STAGE}/{names[5]}": "the store has 13 neighbors per text"
    }


def test_what_no_study_needs_can_go_when_the_needed_is_told(store: Store) -> None:
    written(store)
    written(store, OTHER_KEY)
    flip_byte(store.write("affinity", KEY, arrays={"x": np.arange(3)}, manifest={}) / MANIFEST, 3)
    found = garbage(store, versions=NONE, needed={(STAGE, KEY)})
    assert why(found) == {f"{STAGE}/{OTHER_KEY}": "not needed"}
    assert collect(found) == found
    assert store.read(STAGE, KEY) is not None
    assert store.read(STAGE, OTHER_KEY) is None


def test_what_is_needed_is_not_known_while_a_run_uses_the_store(store: Store) -> None:
    written(store)
    with store.running():
        (mark,) = (store.root / "locks").iterdir()
        age(mark, 2 * DAY)
        assert garbage(store, versions=NONE) == []
        for n_running, told in ((1, "1 run uses it"), (2, "2 runs use it")):
            with contextlib.ExitStack() as others:
                for _ in range(n_running - 1):
                    others.enter_context(store.running())
                with pytest.raises(StoreError) as caught:
                    garbage(store, versions=NONE, needed=set())
            assert caught.value.message == (
                f"what is needed in {store.root} is not known while {told}. Nothing was removed."
            )
            assert caught.value.hint == "wait until nothing runs, or use gc without --keep-only."
    assert len(garbage(store, versions=NONE, needed=set())) == 1


def test_what_is_not_needed_stays_once_a_run_begins(store: Store, values: np.ndarray) -> None:
    a_store_with_everything(store, values)
    flip_byte(written(store, content_key({})) / ARRAYS, -1)
    with pytest.warns(DamagedArtifactWarning):
        store.read(STAGE, content_key({}))
    found = garbage(store, versions=NONE, needed=set())
    assert len(found) == 3
    with store.running():
        assert [item.why for item in collect(found)] == ["damaged, set aside"]
    assert len(entries(store)) == 2
    assert len(collect(garbage(store, versions=NONE, needed=set()))) == 2


# remote stores


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RemoteStore]:
    address = (tmp_path / "bucket").as_uri()
    return lambda name: RemoteStore(address, mirror=tmp_path / name)


def bucket(store: RemoteStore, name: str) -> Path:
    return Path(fsspec.core.strip_protocol(store.files.url(name)))


def test_entries_of_a_remote_store_are_those_of_all_machines(
    remote: Callable[[str], RemoteStore],
) -> None:
    here, there = remote("here"), remote("there")
    written(here)
    written(there, OTHER_KEY)
    found = entries(here)
    assert {entry.key for entry in found} == {KEY, OTHER_KEY}
    assert all(entry.manifest and entry.written_at for entry in found)
    assert len({entry.size_bytes for entry in found}) == 1


def test_damage_there_is_told_withdrawn_when_asked_and_repaired_from_a_whole_copy(
    remote: Callable[[str], RemoteStore],
) -> None:
    here, there = remote("here"), remote("there")
    written(here)
    written(here, OTHER_KEY)
    assert verify(there).damages == ()
    (name,) = here.files.listing(f"objects/{STAGE}/{KEY}")
    flip_byte(bucket(here, f"objects/{STAGE}/{KEY}/{name}"), -1)
    for store in (here, there):
        (damage,) = verify(store).damages
        assert here.files.url(f"objects/{STAGE}/{KEY}/{name}") in damage.what
    assert len(verify(here, set_aside=True).damages) == 1
    assert there.keys(STAGE) == [OTHER_KEY]
    assert here.read(STAGE, KEY) is not None
    assert verify(there).damages == ()
    assert there.read(STAGE, KEY) is not None


def test_what_killed_uploads_and_leases_left_can_go_after_a_day(
    remote: Callable[[str], RemoteStore],
) -> None:
    here = remote("here")
    written(here)
    left = [f"objects/{STAGE}/{KEY}/{'0' * 64}", f"objects/{STAGE}/{OTHER_KEY}/{'1' * 64}"]
    left += [f"leases/{STAGE}-{KEY}.json"]
    for name in left:
        here.files.write(name, bytes(5000))
    assert garbage(here, versions=NONE) == []
    for path in (here.root.parent / "bucket").rglob("*"):
        age(path, 2 * DAY)
    found = garbage(here, versions=NONE)
    assert why(found) == {
        here.files.url(left[0]): "left by a killed upload",
        here.files.url(left[1]): "left by a killed upload",
        here.files.url(left[2]): "a lease that nobody keeps alive",
    }
    assert sum(item.size_bytes for item in found) == 15000
    assert collect(found) == found
    assert remote("there").read(STAGE, KEY) is not None


def test_copies_of_what_is_safe_there_can_go_when_asked(remote: Callable[[str], RemoteStore]) -> None:
    here = remote("here")
    written(here)
    Store(here.root).write(STAGE, OTHER_KEY, arrays={"ids": np.arange(3)}, manifest={})
    assert garbage(here, versions=NONE) == []
    found = garbage(here, versions=NONE, copies=True)
    assert why(found) == {f"{STAGE}/{KEY}": "a copy of what the remote store has"}
    assert collect(found) == found
    assert [path.name for path in (here.root / STAGE).iterdir()] == [OTHER_KEY]
    assert here.read(STAGE, KEY) is not None
    assert here.read(STAGE, OTHER_KEY) is not None


# killed at random

WRITES = """
import sys
import numpy as np
from isodepth.store import Store, content_key

store, own = Store(sys.argv[1]), content_key({"process": sys.argv[2]})
values = np.arange(105, dtype=np.float32).reshape(3, 7, 5)
print("ready", flush=True)
sys.stdin.readline()
number = 0
while True:
    number += 1
    key = content_key({"number": number % 3})
    store.write("neighbors", key, arrays={"ids": np.arange(2000)}, manifest={}, files={"a": b"b"})
    array = store.begin("activations", own, shape=(3, 7, 5), manifest={})
    for rows in ([4, 2], [0, 6], [1, 3, 5]):
        array.write(np.array(rows), values[:, rows])
    store.adopt("activations", own, array)
    store.remove("neighbors", key)
    store.remove("activations", own)
"""


def test_processes_killed_at_random_leave_a_store_that_is_whole(
    store: Store, process: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(20250410)
    children = [process(WRITES, store.root, number) for number in range(7)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    time.sleep(0.2)
    for child in children:
        time.sleep(rng.uniform(0, 0.05))
        assert child.poll() is None, "it failed before it was killed"
        child.kill()
        child.wait()
    assert verify(store).damages == ()
    values = np.arange(105, dtype=np.float32).reshape(SHAPE)
    for found in unfinished_entries(store):
        array = store.unfinished(found.stage, found.key)
        assert array is not None
        write_rows(array, values, array.missing.tolist())
        np.testing.assert_array_equal(array.values(), values)
        store.adopt(found.stage, found.key, array)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 2 * HOUR)
    found_garbage = garbage(store, versions=NONE)
    assert collect(found_garbage) == found_garbage
    assert leftovers(store) == []
    assert verify(store).damages == ()
    for entry in entries(store):
        assert store.read(entry.stage, entry.key) is not None
