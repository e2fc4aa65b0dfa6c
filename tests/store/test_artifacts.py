"""An artifact is whole or absent, damage is named, and long work goes on where it stopped."""

import errno
import json
import os
import re
import shutil
import signal
import stat
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.atomic import atomic_folder, write_atomically
from isodepth.cache import cache_directory
from isodepth.errors import IsodepthError, ParameterError, StoreError
from isodepth.store import (
    ARRAYS,
    MANIFEST,
    DamagedArtifactWarning,
    Store,
    content_key,
    default_store,
    sums,
)
from isodepth.store import artifacts as artifacts_module
from tiny_stores import (
    KEY,
    MANIFEST_OF_TEST,
    OTHER_KEY,
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

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=7,
)


def half_then_no_space(path: Path, data: Any, *args: object, **kwargs: object) -> None:
    with path.open("wb") as file:
        file.write((data if isinstance(data, bytes) else data.encode())[: len(data) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# keys


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=5), JSON, max_size=5), st.randoms())
def test_a_key_does_not_depend_on_the_order_of_its_parts(parts: dict[str, Any], random: Any) -> None:
    names = list(parts)
    random.shuffle(names)
    assert content_key({name: parts[name] for name in names}) == content_key(parts)


@settings(max_examples=50, deadline=None)
@given(JSON, JSON)
def test_keys_are_equal_only_for_equal_parts(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_key({"part": one}) == content_key({"part": other})) is same


def test_a_key_is_the_same_on_every_machine_and_day() -> None:
    canonical = '{"k":7,"stage":"neighbors","\\u00fc":null}'
    expected = sha256(canonical.encode()).hexdigest()[:32]
    assert content_key({"stage": "neighbors", "ü": None, "k": 7}) == expected


def test_a_number_that_is_not_finite_has_no_key() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key({"scale": float("nan")})


# round trip


def test_default_store_is_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ISODEPTH_STORE", str(tmp_path / "here"))
    assert default_store() == tmp_path / "here"
    assert Store().root == tmp_path / "here"
    monkeypatch.delenv("ISODEPTH_STORE")
    assert default_store().name == "store"
    assert "isodepth" in default_store().parts


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(3, 5, 7), (11,), (), (0, 3)])
def test_arrays_come_back_equal(
    store: Store, rng: np.random.Generator, dtype: str, shape: tuple[int, ...]
) -> None:
    array = np.asarray(rng.integers(0, 2, size=shape)).astype(dtype)
    store.write(STAGE, KEY, arrays={"ids": array}, manifest={})
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    found = artifact.arrays["ids"]
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("dtype", ["float16", "uint8", "complex64", ">f4"])
def test_arrays_of_other_types_come_back_equal_or_are_refused_at_once(store: Store, dtype: str) -> None:
    array = np.array([1, 0, 3]).astype(dtype)
    refusal = ""
    try:
        store.write(STAGE, KEY, arrays={"ids": array}, manifest={})
    except IsodepthError as error:
        refusal = str(error)
    artifact = store.read(STAGE, KEY)
    if artifact is None:
        assert "'ids'" in refusal
        assert dtype in refusal
    else:
        np.testing.assert_array_equal(artifact.arrays["ids"], array)


def test_arrays_in_any_memory_order_come_back_equal(store: Store, values: np.ndarray) -> None:
    views = {"turned": values.transpose(2, 0, 1), "strided": values[::2, ::3], "whole": values}
    store.write(STAGE, KEY, arrays=views, manifest={})
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    for name, view in views.items():
        np.testing.assert_array_equal(artifact.arrays[name], view)


def test_arrays_are_read_only(store: Store) -> None:
    written(store)
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    with pytest.raises(ValueError, match="read-only"):
        artifact.arrays["ids"][0, 0] = 1


def test_manifest_holds_what_was_given_and_the_sums_of_the_files(store: Store) -> None:
    folder = written(store)
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    assert artifact.path == folder == store.root / STAGE / KEY
    assert {name: artifact.manifest[name] for name in MANIFEST_OF_TEST} == MANIFEST_OF_TEST
    data = (folder / ARRAYS).read_bytes()
    assert artifact.manifest["files"] == {
        ARRAYS: {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}
    }
    assert files_below(store.root) == [f"{STAGE}/{KEY}/{ARRAYS}", f"{STAGE}/{KEY}/{MANIFEST}"]


def test_what_was_never_written_reads_as_none(store: Store) -> None:
    assert store.read(STAGE, KEY) is None
    assert store.keys(STAGE) == []
    assert not store.root.exists()


def test_keys_are_sorted_and_chosen_by_prefix(store: Store) -> None:
    for key in ("b-k7", "a-k11", "a-k5"):
        written(store, key)
    (store.root / STAGE / ".a-unfinished").mkdir()
    assert store.keys(STAGE) == ["a-k11", "a-k5", "b-k7"]
    assert store.keys(STAGE, prefix="a-") == ["a-k11", "a-k5"]


def test_a_second_write_keeps_the_first(store: Store) -> None:
    before = {path.name: path.read_bytes() for path in written(store).iterdir()}
    store.write(STAGE, KEY, arrays={"ids": np.zeros(3)}, manifest={})
    assert {path.name: path.read_bytes() for path in (store.root / STAGE / KEY).iterdir()} == before
    assert [path.name for path in (store.root / STAGE).iterdir()] == [KEY]


# interrupted writes


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_folder_is_not_there(store: Store, interruption: type[BaseException]) -> None:
    folder = store.folder(STAGE, KEY)

    def interrupted() -> None:
        with atomic_folder(folder) as temporary:
            (temporary / ARRAYS).write_bytes(b"half")
            assert not folder.exists()
            raise interruption

    with pytest.raises(interruption):
        interrupted()
    assert list(folder.parent.iterdir()) == []


def test_an_interrupted_file_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, b"old")

    def interrupted(temporary: Path, data: bytes) -> None:
        with temporary.open("wb") as file:
            file.write(data[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_synced_before_they_get_their_name(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[object] = []
    fsync, rename = os.fsync, Path.rename

    def recorded_fsync(descriptor: int) -> None:
        events.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def recorded_rename(path: Path, target: Path) -> Path:
        events.append("renamed")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(Path, "rename", recorded_rename)
    folder = written(store)
    before = events[: events.index("renamed")]
    assert {path.stat().st_ino for path in folder.iterdir()} | {folder.stat().st_ino} <= set(before)
    assert folder.parent.stat().st_ino in events[events.index("renamed") :]


KILLED_IN_WRITE = """
import os, signal, sys
import numpy as np
from isodepth.store import Store, artifacts, resumable

def killed(folder, manifest):
    os.kill(os.getpid(), signal.SIGKILL)

artifacts.write_manifest = killed
Store(sys.argv[1]).write("neighbors", sys.argv[2], arrays={"ids": np.arange(6)}, manifest={})
"""


def test_a_killed_write_is_not_there_and_can_be_done_again(store: Store, process: Start) -> None:
    child = process(KILLED_IN_WRITE, store.root, KEY)
    assert child.wait(30) == -signal.SIGKILL
    assert any((store.root / STAGE).iterdir()), "the process was killed before it wrote anything"
    assert store.read(STAGE, KEY) is None
    assert store.keys(STAGE) == []
    written(store)
    assert store.read(STAGE, KEY) is not None


WRITTEN_AT_ONCE = """
import sys
import numpy as np
from isodepth.store import Store, artifacts, resumable

original = artifacts.write_manifest

def after_the_other_has_begun(folder, manifest):
    print("begun", flush=True)
    sys.stdin.readline()
    original(folder, manifest)

artifacts.write_manifest = after_the_other_has_begun
Store(sys.argv[1]).write("neighbors", sys.argv[2], arrays={"ids": np.arange(6)}, manifest={})
"""


def test_two_processes_may_write_the_same_key_at_once(store: Store, process: Start) -> None:
    children = [process(WRITTEN_AT_ONCE, store.root, KEY) for _ in range(2)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
    for child in children:
        child.communicate("go\n", timeout=30)
    assert [child.returncode for child in children] == [0, 0]
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    np.testing.assert_array_equal(artifact.arrays["ids"], np.arange(6))
    assert [path.name for path in (store.root / STAGE).iterdir()] == [KEY]


# damage

DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "first byte of the arrays": (ARRAYS, lambda path: flip_byte(path, 0)),
    "last byte of the arrays": (ARRAYS, lambda path: flip_byte(path, -1)),
    "truncated arrays": (ARRAYS, lambda path: os.truncate(path, path.stat().st_size - 1)),
    "empty arrays": (ARRAYS, lambda path: os.truncate(path, 0)),
    "no arrays": (ARRAYS, lambda path: path.unlink()),
    "truncated manifest": (MANIFEST, lambda path: os.truncate(path, path.stat().st_size // 2)),
    "empty manifest": (MANIFEST, lambda path: os.truncate(path, 0)),
    "no manifest": (MANIFEST, lambda path: path.unlink()),
    "manifest not UTF-8": (MANIFEST, lambda path: path.write_bytes(b"\xff\xfe\x00")),
    "manifest of another form": (MANIFEST, lambda path: path.write_text("[1, 2]")),
    "manifest without sums": (MANIFEST, lambda path: path.write_text('{"files": {"a": {}}}')),
    "manifest without files": (MANIFEST, lambda path: path.write_text("{}")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_set_aside_and_reads_as_none(store: Store, damage: str) -> None:
    name, harm = DAMAGES[damage]
    folder = written(store)
    written(store, OTHER_KEY)
    harm(folder / name)
    remains = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(folder / name))) as caught:
        assert store.read(STAGE, KEY) is None
    assert len(caught) == 1
    (aside,) = (store.root / "damaged").iterdir()
    assert str(aside) in str(caught[0].message)
    assert {path.name: path.read_bytes() for path in (aside / "artifact").iterdir()} == remains
    assert store.keys(STAGE) == [OTHER_KEY]
    assert store.read(STAGE, OTHER_KEY) is not None
    written(store)
    assert store.read(STAGE, KEY) is not None


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The data files that were read in full, remembered as soon as they are written."""
    read: list[Path] = []
    whole = sums.sha256_of
    monkeypatch.setattr(sums, "SETTLED_NS", 0)
    monkeypatch.setattr(sums, "sha256_of", lambda path: (read.append(path), whole(path))[1])
    return read


def test_an_artifact_is_whole_and_read_once_to_know_it(store: Store, hashed: list[Path]) -> None:
    assert not store.is_whole(STAGE, KEY)
    folder = written(store)
    assert [store.is_whole(STAGE, KEY) for _ in range(3)] == [True] * 3
    assert hashed == [folder / ARRAYS]
    # the same bytes at another time may be others
    (folder / ARRAYS).write_bytes((folder / ARRAYS).read_bytes())
    assert store.is_whole(STAGE, KEY)
    assert hashed == [folder / ARRAYS] * 2


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_artifact_that_was_whole_is_found_damaged_as_reading_finds_it(
    store: Store, hashed: list[Path], damage: str
) -> None:
    name, harm = DAMAGES[damage]
    folder = written(store)
    assert store.is_whole(STAGE, KEY)
    times = (folder / ARRAYS).stat()
    harm(folder / name)
    if (folder / ARRAYS).exists():
        os.utime(folder / ARRAYS, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(folder / name))) as caught:
        assert not store.is_whole(STAGE, KEY)
    assert len(caught) == 1
    assert store.keys(STAGE) == []
    assert len(list((store.root / "damaged").iterdir())) == 1


def test_what_is_read_is_hashed_whatever_was_remembered(store: Store, hashed: list[Path]) -> None:
    folder = written(store)
    path = folder / ARRAYS
    expected = sums.file_digest(path)
    flip_byte(path, -1)
    # as where the disk alone alters a file: nothing of what is remembered has changed
    (memo,) = (cache_directory() / "digests").iterdir()
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    memo.write_text(json.dumps({"stamp": stamp, "sha256": expected}))
    assert store.is_whole(STAGE, KEY)
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(path))):
        assert store.read(STAGE, KEY) is None


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("how", ["written", "adopted"])
def test_a_damaged_artifact_gives_way_to_what_is_written(
    store: Store, values: np.ndarray, how: str, damage: str
) -> None:
    def again() -> Path:
        if how == "written":
            return written(store)
        array = begun(store)
        write_rows(array, values, list(range(SHAPE[1])))
        return store.adopt("activations", KEY, array)

    name, harm = DAMAGES[damage]
    folder = again()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    harm(folder / name)
    remains = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(folder / name))) as caught:
        again()
    (aside,) = (store.root / "damaged").iterdir()
    assert str(caught[0].message).endswith(f"It was moved to {aside} and is written anew.")
    assert len(caught) == 1
    assert {path.name: path.read_bytes() for path in (aside / "artifact").iterdir()} == remains
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert store.unfinished("activations", KEY) is None


def test_what_is_removed_while_it_is_verified_is_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(store)

    def removed_first(folder: Path, **_: object) -> str | None:
        shutil.rmtree(folder)
        return None

    with monkeypatch.context() as patch:
        patch.setattr(artifacts_module, "damage", removed_first)
        assert written(store) == folder
    assert store.read(STAGE, KEY) is not None


def test_damage_of_the_arrays_tells_both_sums(store: Store) -> None:
    folder = written(store)
    expected = sha256((folder / ARRAYS).read_bytes()).hexdigest()
    flip_byte(folder / ARRAYS, -1)
    found = sha256((folder / ARRAYS).read_bytes()).hexdigest()
    with pytest.warns(DamagedArtifactWarning, match=f"{found}.*{expected}"):
        store.read(STAGE, KEY)


def test_any_flipped_byte_of_a_manifest_is_noticed(store: Store, tmp_path: Path) -> None:
    folder = written(store)
    good = tmp_path / "good"
    folder.rename(good)
    manifest = (good / MANIFEST).read_bytes()
    unnoticed = []
    for position in range(len(manifest)):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        flip_byte(folder / MANIFEST, position)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DamagedArtifactWarning)
            if store.read(STAGE, KEY) is not None:
                unnoticed.append(manifest[max(0, position - 5) : position + 5])
    assert unnoticed == []


def test_damage_that_another_process_set_aside_first_reads_as_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(store)
    flip_byte(folder / ARRAYS, -1)
    noticed = artifacts_module.damage

    def noticed_by_two(folder: Path, **how: Any) -> str | None:
        problem = noticed(folder, **how)
        shutil.rmtree(folder)
        return problem

    monkeypatch.setattr(artifacts_module, "damage", noticed_by_two)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedArtifactWarning)
        assert store.read(STAGE, KEY) is None


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
def test_a_file_that_may_not_be_read_is_not_called_damaged(
    store: Store, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = written(store)
    opened = Path.open

    def refused(path: Path, *args: Any, **kwargs: Any) -> Any:
        if path.name == name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        with pytest.raises(StoreError, match=re.escape(str(folder))):
            store.read(STAGE, KEY)
    assert store.read(STAGE, KEY) is not None


# no space, no permission


def assert_no_space(error: StoreError, path: Path) -> None:
    assert f"no space left on the disk that holds {path}" in error.message
    assert error.hint is not None
    assert "free some space" in error.hint
    assert "--store or ISODEPTH_STORE" in error.hint
    assert isinstance(error.__cause__, OSError)


@pytest.mark.parametrize("method", ["write_bytes", "write_text"])
def test_no_space_for_an_artifact_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    written(store, OTHER_KEY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, half_then_no_space)
        with pytest.raises(StoreError) as caught:
            written(store)
    assert_no_space(caught.value, store.folder(STAGE, KEY))
    assert [path.name for path in (store.root / STAGE).iterdir()] == [OTHER_KEY]
    assert store.read(STAGE, OTHER_KEY) is not None


def test_no_space_for_a_file_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(Path, "write_bytes", half_then_no_space)
    with pytest.raises(StoreError) as caught:
        write_atomically(path, b"newer")
    assert_no_space(caught.value, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_for_rows_keeps_the_earlier_rows(
    store: Store, values: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = begun(store)
    write_rows(array, values, [0, 1])
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", raises_os_error(errno.ENOSPC))
        with pytest.raises(StoreError) as caught:
            write_rows(array, values, [2, 3])
    assert_no_space(caught.value, array.folder)
    for same in (array, reopened(store)):
        assert same.missing.tolist() == [2, 3, 4, 5, 6]
    np.testing.assert_array_equal(reopened(store).values()[:, :2], values[:, :2])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_no_permission_names_the_place_and_the_other_choices(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(Path, "mkdir", raises_os_error(number))
    with pytest.raises(StoreError) as caught:
        written(store)
    assert caught.value.message == (
        f"no permission to read or write {store.folder(STAGE, KEY)}: {os.strerror(number)}"
    )
    assert caught.value.hint is not None
    assert "--out, --store, ISODEPTH_STORE or ISODEPTH_CACHE" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_without_write_permission_is_a_store_error(store: Store) -> None:
    store.root.mkdir()
    store.root.chmod(0o555)
    with pytest.raises(StoreError, match="no permission to read or write"):
        written(store)


def test_a_store_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a store")
    with pytest.raises(StoreError, match=r"notes\.txt"):
        written(Store(tmp_path / "notes.txt"))


def test_other_errors_of_the_system_pass_as_they_are(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", raises_os_error(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)) as caught:
        written(store)
    assert caught.value.errno == errno.EIO


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_modes_respect_the_umask(store: Store, tmp_path: Path, values: np.ndarray, umask: int) -> None:
    before = os.umask(umask)
    try:
        folder = written(store)
        array = begun(store)
        write_rows(array, values, list(range(SHAPE[1])))
        adopted = store.adopt("activations", KEY, array)
        write_atomically(tmp_path / "report.json", b"{}")
        assert os.umask(umask) == umask, "the process's umask was changed"
    finally:
        os.umask(before)
    files = [*folder.iterdir(), *adopted.iterdir(), tmp_path / "report.json"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o666 & ~umask}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, adopted)} == {0o777 & ~umask}


# locks

HOLDS_A_LOCK = """
import select
import sys
from pathlib import Path
from isodepth.store import Store

def waiting():
    print("waiting", flush=True)

with Store(sys.argv[1]).lock("neighbors", sys.argv[2], waiting=waiting):
    print("held", flush=True)
    select.select([sys.stdin], [], [], 10)
    Path(sys.argv[3]).write_text("done")
"""


def never() -> None:
    raise AssertionError("waited for a lock that nobody holds")


def test_a_free_lock_is_taken_at_once_and_given_back(store: Store) -> None:
    for _ in range(2):
        with store.lock(STAGE, KEY, waiting=never), store.lock(STAGE, OTHER_KEY, waiting=never):
            pass


def test_a_lock_is_given_back_after_an_error(store: Store) -> None:
    with pytest.raises(KeyError), store.lock(STAGE, KEY, waiting=never):
        raise KeyError
    with store.lock(STAGE, KEY, waiting=never):
        pass


def test_a_second_process_says_that_it_waits_and_then_goes_on(
    store: Store, tmp_path: Path, process: Start
) -> None:
    holder = process(HOLDS_A_LOCK, store.root, KEY, tmp_path / "done")
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waited: list[bool] = []

    def waiting() -> None:
        assert holder.stdin is not None
        waited.append((tmp_path / "done").exists())
        holder.stdin.write("let go\n")
        holder.stdin.flush()

    with store.lock(STAGE, KEY, waiting=waiting):
        assert (tmp_path / "done").read_text() == "done"
    assert waited == [False]


def test_a_killed_process_holds_no_lock(store: Store, tmp_path: Path, process: Start) -> None:
    holder = process(HOLDS_A_LOCK, store.root, KEY, tmp_path / "done")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    with store.lock(STAGE, KEY, waiting=never):
        assert not (tmp_path / "done").exists()


# other files, manifests, removal


def test_other_files_are_kept_and_listed_beside_the_arrays(store: Store) -> None:
    files = {"texts.json": b'["a"]', "empty": b""}
    folder = store.write(STAGE, KEY, arrays={"ids": np.arange(3)}, manifest={}, files=files)
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    assert list(artifact.arrays) == ["ids"]
    assert {name: (folder / name).read_bytes() for name in files} == files
    listed = artifact.manifest["files"]
    assert set(listed) == {ARRAYS, *files}
    for name, data in files.items():
        assert listed[name] == {"sha256": sha256(data).hexdigest(), "size_bytes": len(data)}


def test_an_artifact_may_have_no_arrays(store: Store) -> None:
    store.write(STAGE, KEY, arrays={}, manifest=MANIFEST_OF_TEST, files={"texts.json": b"[]"})
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    assert artifact.arrays == {}
    assert list(artifact.manifest["files"]) == ["texts.json"]


@pytest.mark.parametrize(
    "name", ["", ".hidden", "..", "a/b", "/etc/passwd", "../up", "a/", ARRAYS, MANIFEST]
)
def test_a_file_that_is_no_plain_name_is_refused_before_anything_is_written(
    store: Store, name: str
) -> None:
    with pytest.raises(ParameterError, match=re.escape(f"file {name!r} of {STAGE} cannot be stored")):
        store.write(STAGE, KEY, arrays={}, manifest={}, files={name: b"data"})
    assert not store.root.exists()


def test_the_manifest_is_read_without_the_data(store: Store) -> None:
    assert store.manifest(STAGE, KEY) is None
    folder = written(store)
    artifact = store.read(STAGE, KEY)
    assert artifact is not None
    (folder / ARRAYS).unlink()
    assert store.manifest(STAGE, KEY) == artifact.manifest
    for data in (b"", b"[]", b"{}", b"\xff", (folder / MANIFEST).read_bytes()[:-9]):
        (folder / MANIFEST).write_bytes(data)
        assert store.manifest(STAGE, KEY) is None


def test_a_removed_artifact_is_gone_and_can_be_written_again(store: Store) -> None:
    written(store)
    written(store, OTHER_KEY)
    for _ in range(2):
        store.remove(STAGE, KEY)
        assert store.read(STAGE, KEY) is None
    assert [path.name for path in (store.root / STAGE).iterdir()] == [OTHER_KEY]
    written(store)
    assert store.read(STAGE, KEY) is not None


def test_a_killed_removal_leaves_no_part_in_sight(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(store)

    def killed(path: Path, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        store.remove(STAGE, KEY)
    assert store.keys(STAGE) == []
    assert store.read(STAGE, KEY) is None


def test_an_artifact_that_is_removed_while_it_is_read_reads_as_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(store)
    mapped = artifacts_module.mapped_arrays

    def removed_first(path: Path) -> dict[str, np.ndarray]:
        Store(store.root).remove(STAGE, KEY)
        return mapped(path)

    monkeypatch.setattr(artifacts_module, "mapped_arrays", removed_first)
    assert store.read(STAGE, KEY) is None


def test_stages_are_the_folders_that_hold_artifacts(store: Store) -> None:
    assert store.stages() == []
    written(store)
    store.write("affinity", KEY, arrays={}, manifest={})
    (store.write("other", KEY, arrays={"x": np.arange(3)}, manifest={}) / MANIFEST).unlink()
    begun(store)
    with store.lock(STAGE, KEY):
        assert store.stages() == ["affinity", "neighbors", "other"]


@pytest.mark.parametrize("file", ["data.whl", "name", f"{STAGE}/{KEY}/{MANIFEST}"])
def test_folders_of_others_that_are_named_like_artifacts_make_no_stage(store: Store, file: str) -> None:
    path = store.root / "downloads" / KEY / file
    path.parent.mkdir(parents=True)
    path.touch()
    (store.root / "downloads" / "other").mkdir()
    (store.root / "downloads" / "other" / MANIFEST).touch()
    assert store.stages() == []


# runs


def test_runs_are_counted_while_they_use_the_store_and_leave_nothing(store: Store) -> None:
    assert store.n_running() == 0
    assert not store.root.exists()
    with store.running():
        assert store.n_running() == 1
        with Store(store.root).running():
            assert store.n_running() == 2
        assert store.n_running() == 1
        with store.lock(STAGE, KEY):
            assert store.n_running() == 1
    assert store.n_running() == 0
    assert [path.name for path in (store.root / "locks").iterdir()] == [f"{STAGE}-{KEY}.lock"]


def test_a_run_that_fails_uses_the_store_no_longer(store: Store) -> None:
    with pytest.raises(KeyError), store.running():
        raise KeyError
    assert files_below(store.root) == []


RUNS = """
import sys
from isodepth.store import Store

with Store(sys.argv[1]).running():
    print("running", flush=True)
    sys.stdin.readline()
"""


def test_a_killed_run_is_not_counted(store: Store, process: Start) -> None:
    child = process(RUNS, store.root)
    assert child.stdout is not None
    assert child.stdout.readline() == "running\n"
    assert store.n_running() == 1
    child.kill()
    child.wait()
    assert store.n_running() == 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_store_that_cannot_be_written_is_used_without_a_mark(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    written(store)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", raises_os_error(number))
        with store.running():
            assert store.n_running() == 0
            assert store.read(STAGE, KEY) is not None
        patch.setattr(Path, "mkdir", raises_os_error(errno.ENOSPC))
        with pytest.raises(StoreError, match="no space left"), store.running():
            pytest.fail("went on")


def test_a_lock_that_another_process_has_is_not_waited_for_unless_asked(
    store: Store, tmp_path: Path, process: Start
) -> None:
    assert not store.is_locked(STAGE, KEY)
    holder = process(HOLDS_A_LOCK, store.root, KEY, tmp_path / "done")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert store.is_locked(STAGE, KEY)
    assert not store.is_locked(STAGE, OTHER_KEY)
    with store.lock(STAGE, KEY) as held:
        assert not held
    with store.lock(STAGE, OTHER_KEY) as held:
        assert held
    assert not (tmp_path / "done").exists()
    holder.communicate("let go\n", timeout=30)
    assert not store.is_locked(STAGE, KEY)
    with store.lock(STAGE, KEY) as held:
        assert held
        assert store.is_locked(STAGE, KEY)


def test_asking_for_a_lock_does_not_make_one(store: Store) -> None:
    assert not store.is_locked(STAGE, KEY)
    assert not store.root.exists()
