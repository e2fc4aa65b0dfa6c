"""Machines that share only an object store see whole artifacts or none, and damage is named.

Two machines are two `RemoteStore` objects with different mirrors.
"""

import errno
import os
import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile

from isodepth.errors import MissingPackageError, ParameterError, StoreError, UnknownNameError
from isodepth.store import (
    ARRAYS,
    MANIFEST,
    DamagedArtifactWarning,
    RemoteStore,
    Store,
    open_store,
    remote_files,
)
from isodepth.store.sealing import sealed
from tiny_stores import (
    KEY,
    MANIFEST_OF_TEST,
    OTHER_KEY,
    SHAPE,
    STAGE,
    files_below,
    flip_byte,
    write_rows,
)

pytestmark = pytest.mark.usefixtures("unsynced")

NOTE = b"a note beside the arrays"
Machine = Callable[[str], RemoteStore]


@pytest.fixture(params=["memory", "file"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield (tmp_path / "bucket" / "prefix").as_uri()
        return
    yield f"memory://{tmp_path.name}/prefix"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def machine(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Return a function that gives a machine's view of the shared store."""
    monkeypatch.setattr(remote_files, "RETRY_SECONDS", (0.0, 0.0))
    return lambda name: RemoteStore(address, mirror=tmp_path / name)


def write(store: Store, key: str = KEY, *, first: int = 0) -> Path:
    ids = np.arange(first, first + 6, dtype=np.int64).reshape(2, 3)
    return store.write(
        STAGE, key, arrays={"ids": ids}, manifest=MANIFEST_OF_TEST, files={"note.txt": NOTE}
    )


def objects(store: RemoteStore) -> dict[str, str]:
    """Return the remote names of the files of the artifact of these tests."""
    manifest = store.manifest(STAGE, KEY)
    assert manifest is not None
    names = {name: f"objects/{STAGE}/{KEY}/{it['sha256']}" for name, it in manifest["files"].items()}
    return {**names, MANIFEST: f"manifests/{STAGE}/{KEY}.json"}


def assert_whole(store: Store, key: str = KEY, *, first: int = 0) -> None:
    artifact = store.read(STAGE, key)
    assert artifact is not None
    np.testing.assert_array_equal(artifact.arrays["ids"].ravel(), np.arange(first, first + 6))
    assert (artifact.path / "note.txt").read_bytes() == NOTE
    assert artifact.manifest.items() >= MANIFEST_OF_TEST.items()


# sharing


def test_what_one_machine_writes_another_reads(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    assert there.read(STAGE, KEY) is None
    assert (there.keys(STAGE), there.stages()) == ([], [])
    write(here)
    assert (there.keys(STAGE), there.stages()) == ([KEY], [STAGE])
    assert there.manifest(STAGE, KEY) == here.manifest(STAGE, KEY)
    assert not there.folder(STAGE, KEY).exists(), "a manifest needs no copy of the data"
    assert_whole(there)
    for name in (ARRAYS, MANIFEST, "note.txt"):
        copies = [store.folder(STAGE, KEY) / name for store in (here, there)]
        assert copies[0].read_bytes() == copies[1].read_bytes()


def test_a_copy_that_is_here_is_read_with_one_small_request(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    assert_whole(there)
    for store in (here, there):
        asked: list[str] = []

        def small(path: str, asked: list[str] = asked) -> bytes:
            asked.append(path)
            return b"{}"

        monkeypatch.setattr(store.files, "_system", SimpleNamespace(cat_file=small))
        assert_whole(store)
        assert [path.rpartition("/prefix/")[2] for path in asked] == [f"manifests/{STAGE}/{KEY}.json"]


def test_a_copy_of_what_another_machine_removed_is_shared_again_when_it_is_read(
    machine: Machine,
) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    write(here, OTHER_KEY)
    there.remove(STAGE, KEY)
    assert there.keys(STAGE) == [OTHER_KEY]
    assert here.keys(STAGE) == sorted([KEY, OTHER_KEY])
    assert_whole(here)
    assert there.keys(STAGE) == sorted([KEY, OTHER_KEY])
    for store in (here, there, machine("third")):
        assert_whole(store)
        assert store.remote_damages(STAGE, KEY) == []


def test_keys_are_chosen_by_prefix_among_those_here_and_there(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    for store, key in ((here, "a-k5"), (there, "a-k11"), (there, "b-k7")):
        write(store, key)
    Store(here.root).write(STAGE, "a-k2", arrays={}, manifest={})
    assert here.keys(STAGE) == ["a-k11", "a-k2", "a-k5", "b-k7"]
    assert here.keys(STAGE, prefix="a-") == ["a-k11", "a-k2", "a-k5"]
    assert there.keys(STAGE, prefix="a-") == ["a-k11", "a-k5"]


def test_a_removed_artifact_is_gone_there_and_here(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    write(here, OTHER_KEY)
    here.remove(STAGE, KEY)
    here.remove(STAGE, KEY)
    for store in (here, there):
        assert store.read(STAGE, KEY) is None
        assert store.keys(STAGE) == [OTHER_KEY]
        assert_whole(store, OTHER_KEY)
    assert list(here.files.listing(f"objects/{STAGE}/{KEY}")) == []


def test_a_dropped_copy_is_fetched_again(machine: Machine) -> None:
    here = machine("here")
    folder = write(here)
    assert here.is_shared(STAGE, KEY)
    here.drop_copy(STAGE, KEY)
    assert not folder.exists()
    assert not here.is_shared(STAGE, KEY)
    assert_whole(here)
    assert here.is_shared(STAGE, KEY)


def test_an_adopted_array_is_shared_and_one_under_construction_is_not(
    machine: Machine, values: np.ndarray
) -> None:
    here, there = machine("here"), machine("there")
    array = here.begin("activations", KEY, shape=SHAPE, manifest=MANIFEST_OF_TEST)
    write_rows(array, values, list(range(SHAPE[1])))
    assert there.unfinished("activations", KEY) is None
    here.adopt("activations", KEY, array)
    artifact = there.read("activations", KEY)
    assert artifact is not None
    np.testing.assert_array_equal(artifact.arrays["values"], values)


def test_a_store_travels_to_another_process_by_its_address(machine: Machine) -> None:
    here = machine("here")
    write(here)
    travelled = pickle.loads(pickle.dumps(here))
    assert (type(travelled), travelled.address) == (RemoteStore, here.address)
    assert_whole(travelled)


# damage

HARMS: dict[str, Callable[[bytes], bytes]] = {
    "first byte flipped": lambda data: bytes([data[0] ^ 1]) + data[1:],
    "last byte flipped": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "truncated": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("harm", [*HARMS, "deleted"])
@pytest.mark.parametrize("name", [ARRAYS, "note.txt", MANIFEST])
def test_a_damaged_remote_object_is_named_and_written_again(
    machine: Machine, name: str, harm: str
) -> None:
    here, there, third = machine("here"), machine("there"), machine("third")
    write(here)
    write(here, OTHER_KEY)
    harmed = objects(here)[name]
    data = here.files.read(harmed)
    assert data is not None
    if harm == "deleted":
        here.files.remove(harmed)
    else:
        here.files.write(harmed, HARMS[harm](data))
    if (name, harm) == (MANIFEST, "deleted"):
        assert there.read(STAGE, KEY) is None  # what no manifest names is not there
    else:
        with pytest.warns(DamagedArtifactWarning, match=re.escape(here.files.url(harmed))) as caught:
            assert there.read(STAGE, KEY) is None
        assert len(caught) == 1
        assert "counts as absent" in str(caught[0].message)
        assert len(there.remote_damages(STAGE, KEY)) == 1
    assert not there.folder(STAGE, KEY).exists()
    assert_whole(there, OTHER_KEY)
    assert there.remote_damages(STAGE, OTHER_KEY) == []
    write(there)
    assert here.files.read(harmed) == data
    assert_whole(third)


@pytest.mark.parametrize("harm", [*HARMS, "deleted"])
@pytest.mark.parametrize("name", [ARRAYS, "note.txt", MANIFEST])
def test_a_damaged_copy_is_named_and_fetched_again(machine: Machine, name: str, harm: str) -> None:
    here = machine("here")
    path = write(here) / name
    write(here, OTHER_KEY)
    if harm == "deleted":
        path.unlink()
    else:
        path.write_bytes(HARMS[harm](path.read_bytes()))
    with pytest.warns(DamagedArtifactWarning, match=re.escape(str(path))) as caught:
        assert_whole(here)
    assert len(caught) == 1
    assert "is fetched again" in str(caught[0].message)
    assert len(list((here.root / "damaged").iterdir())) == 1
    assert_whole(here)


def test_what_is_not_here_is_fetched_to_be_whole_and_what_is_not_there_is_shared(
    machine: Machine,
) -> None:
    here, there = machine("here"), machine("there")
    assert not there.is_whole(STAGE, KEY)
    write(here)
    assert there.is_whole(STAGE, KEY)
    assert there.folder(STAGE, KEY).is_dir()
    flip_byte(there.folder(STAGE, KEY) / ARRAYS, -1)
    with pytest.warns(DamagedArtifactWarning, match="is fetched again"):
        assert there.is_whole(STAGE, KEY)
    assert_whole(there)
    here.withdraw(STAGE, KEY)
    assert here.is_whole(STAGE, KEY)
    assert_whole(machine("third"))


def test_a_damaged_copy_gives_way_to_what_is_written(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    flip_byte(write(here) / ARRAYS, -1)
    with pytest.warns(DamagedArtifactWarning, match="is written anew"):
        write(here, first=7)
    assert_whole(here, first=7)
    assert_whole(there, first=7)


@pytest.mark.parametrize("name", ["../../../escaped", "/escaped", ".hidden", "a/b", ""])
def test_a_manifest_cannot_name_files_elsewhere(machine: Machine, tmp_path: Path, name: str) -> None:
    here = machine("here")
    text = sealed({"files": {name: {"sha256": "0" * 64, "size_bytes": 1}}})
    here.files.write(f"manifests/{STAGE}/{KEY}.json", text.encode())
    here.files.write(f"objects/{STAGE}/{KEY}/{'0' * 64}", b"x")
    before = files_below(tmp_path)
    with pytest.warns(DamagedArtifactWarning, match="it names a file"):
        assert here.read(STAGE, KEY) is None
    assert files_below(tmp_path) == before


# two at once, and half done


def test_two_machines_that_write_at_once_do_not_mix(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    original = here.files.write

    def after_the_other(name: str, data: bytes) -> None:
        write(there, first=100)  # the other one begins and ends before this one's manifest
        original(name, data)

    monkeypatch.setattr(here.files, "write", after_the_other)
    write(here)
    assert_whole(machine("third"))
    assert_whole(there, first=100)


@pytest.mark.parametrize("n_done", range(3))
def test_an_upload_that_is_broken_off_is_not_there_and_is_done_by_the_next_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, n_done: int
) -> None:
    here, there = machine("here"), machine("there")
    steps = 0

    def broken_off(original: Callable[..., None]) -> Callable[..., None]:
        def step(*arguments: Any) -> None:
            nonlocal steps
            if steps == n_done:
                raise KeyboardInterrupt
            steps += 1
            original(*arguments)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(here.files, "upload", broken_off(here.files.upload))
        patch.setattr(here.files, "write", broken_off(here.files.write))
        with pytest.raises(KeyboardInterrupt):
            write(here)
    assert len(here.files.listing("objects")) == n_done
    assert there.read(STAGE, KEY) is None
    assert there.keys(STAGE) == []
    assert here.keys(STAGE) == [KEY]
    assert not here.is_shared(STAGE, KEY)
    assert_whole(here)
    assert_whole(there)


# a network that fails


class Failing:
    """Stands before a method and fails the first calls of it."""

    def __init__(self, method: Callable[..., Any], errors: list[Exception]) -> None:
        self.method, self.errors = method, errors

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self.errors:
            raise self.errors.pop(0)
        return self.method(*arguments, **options)


def failing(store: RemoteStore, method: str, *errors: Exception) -> Failing:
    system = store.files._system
    made = Failing(getattr(system, method), list(errors))
    setattr(system, method, made)
    return made


class LibraryError(Exception):
    """As botocore's and aiohttp's: none of the system's errors."""


@pytest.mark.parametrize(
    "error", [TimeoutError("slow"), OSError(errno.EIO, "500"), LibraryError("503")]
)
@pytest.mark.parametrize("method", ["cat_file", "get_file"])
def test_a_network_that_fails_for_a_moment_is_asked_again(
    machine: Machine, method: str, error: Exception
) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    made = failing(there, method, error, error)
    assert_whole(there)
    assert made.errors == []


def test_a_network_that_stays_away_is_a_store_error_that_names_the_object(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    failing(there, "cat_file", *[LibraryError("Could not connect.\nTraceback of 40 lines")] * 3)
    with pytest.raises(StoreError) as caught:
        there.read(STAGE, KEY)
    url = f"{there.address}/manifests/{STAGE}/{KEY}.json"
    assert caught.value.message == f"cannot read {url}: Could not connect."
    assert caught.value.hint is not None
    assert "check the network, the address and the credentials" in caught.value.hint
    assert isinstance(caught.value.__cause__, LibraryError)
    assert_whole(there)


def test_missing_rights_are_told_at_once(machine: Machine) -> None:
    here = machine("here")
    made = failing(here, "cat_file", PermissionError("Forbidden"), AssertionError("asked again"))
    with pytest.raises(StoreError) as caught:
        here.read(STAGE, KEY)
    assert caught.value.message.startswith(f"no permission to read {here.address}/manifests/")
    assert caught.value.hint is not None
    assert "credentials" in caught.value.hint
    assert len(made.errors) == 1


def test_a_bucket_that_is_not_there_is_told_before_anything_is_computed() -> None:
    store = RemoteStore("memory://nowhere")
    failing(store, "pipe_file", FileNotFoundError("The specified bucket does not exist"))
    with pytest.raises(StoreError) as caught, store.lock(STAGE, KEY):
        pytest.fail("got the lock")
    url = f"memory://nowhere/leases/{STAGE}-{KEY}.json"
    assert caught.value.message == f"cannot create {url}: The specified bucket does not exist"
    assert caught.value.hint == "the bucket, or what stands before the prefix, must be there."


def test_a_full_disk_here_is_not_blamed_on_the_network(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    write(here)
    failing(there, "get_file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(StoreError, match="no space left on the disk") as caught:
        there.read(STAGE, KEY)
    assert str(there.folder(STAGE, KEY)) in caught.value.message
    assert list((there.root / STAGE).iterdir()) == []


# places


def test_a_store_is_opened_by_folder_or_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = open_store(tmp_path / "here")
    assert (type(opened), opened.root) == (Store, tmp_path / "here")
    assert open_store(str(tmp_path / "here")).root == tmp_path / "here"
    assert open_store(opened) is opened
    assert open_store().root == Path(os.environ["ISODEPTH_STORE"])
    monkeypatch.setenv("ISODEPTH_STORE", "memory://bucket/prefix/")
    remote = open_store()
    assert isinstance(remote, RemoteStore)
    assert remote.address == "memory://bucket/prefix"
    assert remote.root.is_relative_to(os.environ["ISODEPTH_CACHE"])
    assert remote.root == open_store("memory://bucket/prefix").root
    assert remote.root != open_store("memory://bucket/other").root
    with pytest.raises(ParameterError, match=r"memory://bucket/prefix/ is no folder") as caught:
        Store()
    assert caught.value.hint == "isodepth.store.open_store takes both."
    with pytest.raises(ParameterError, match="s3://bucket is no folder"):
        Store("s3://bucket")


def test_an_unknown_protocol_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match=r"s33://bucket: unknown protocol 's33'") as caught:
        open_store("s33://bucket")
    assert caught.value.hint is not None
    assert "s3" in caught.value.hint


@pytest.mark.parametrize("address", ["simplecache::memory://bucket", "bucket"])
def test_only_one_address_is_taken(address: str) -> None:
    with pytest.raises(ParameterError, match="expected one fsspec URL, as s3://bucket/prefix"):
        RemoteStore(address)


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gcs")])
def test_a_missing_package_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str
) -> None:
    def missing(*arguments: Any, **options: Any) -> None:
        raise ImportError("Install it")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(MissingPackageError, match="Install it") as caught:
        open_store(f"{protocol}://bucket")
    assert caught.value.hint == f"pip install 'isodepth[{extra}]' brings it."


@pytest.mark.parametrize("key", ["../../../pwned", "a/../../b", "..", "UPPER", "a b"])
def test_names_in_a_bucket_never_choose_a_path_here(key: str, tmp_path: Path) -> None:
    mirror = tmp_path / "deep" / "mirror"
    store = RemoteStore(f"memory://{tmp_path.name}/prefix", mirror=mirror)
    files = fsspec.filesystem("memory")
    place = f"/{tmp_path.name}/prefix/manifests/imported/{key}.json"
    files.store[place] = MemoryFile(files, place, b"{}")
    try:
        assert store.keys("imported") == []
    finally:
        files.store.clear()
