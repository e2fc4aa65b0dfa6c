"""What in a store can go, and why?

Nothing is removed by listing: `garbage` says what can go, and `collect` removes it, after asking once
more whether a process has begun to use it meanwhile.

>>> found = garbage(store, versions={"neighbors": 2})                                # doctest: +SKIP
>>> sum(item.size_bytes for item in collect(found))                                  # doctest: +SKIP
"""

import functools
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock

from isodepth.atomic import storage_errors
from isodepth.errors import StoreError, counted
from isodepth.store.artifacts import LOCKS, Store
from isodepth.store.housekeeping import (
    STAGE_AND_KEY,
    Entry,
    UnfinishedEntry,
    bytes_on_disk,
    entries,
    leftovers,
    older_versions,
    things_set_aside,
    touched_at,
    unfinished_entries,
)
from isodepth.store.locks import is_held
from isodepth.store.remote import RemoteStore
from isodepth.store.sealing import damage, listed_sums, unsealed

HOUR = 3600.0
DAY = 24 * HOUR
UNTOUCHED_SECONDS = 30 * DAY
"""After how long an array under construction counts as given up."""
NAME_VERSIONS = frozenset({"activations", "neighbors"})
"""Stages of which an artifact that names no versions has an older key, so that no run takes it.

Their manifests name versions since before the present version of activations. Matrices of what was
imported have had one version all the time, and many name none.
"""
WITH_K = re.compile(r"(?P<key>.+)-k(?P<k>\d+)")
"""How the key of neighbors ends: with the number of neighbors per text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """One thing that can go.

    Parameters
    ----------
    what : str
        Its stage and key, its path, or its address.
    why : str
        Why it can go.
    size_bytes : int
        What that frees.
    remove : callable
        Removes it and returns whether it did: False where a process uses it by now.
    """

    what: str
    why: str
    size_bytes: int
    remove: Callable[[], bool]


def garbage(
    store: Store,
    *,
    versions: Mapping[str, int],
    needed: Collection[tuple[str, str]] | None = None,
    copies: bool = False,
) -> list[Garbage]:
    """Return what in a store can go; nothing is removed.

    That is: what killed processes left, damaged things that were set aside, arrays under construction
    whose result is stored, that older code began or that nobody touched for 30 days, lock files that
    nobody holds, artifacts of older code versions, and neighbors of which the store has more per text.
    What a running process holds is never listed.

    Parameters
    ----------
    store : Store
        Of a remote one, objects that no manifest names are listed too.
    versions : mapping of str to int
        The present code version of each stage.
    needed : collection of (stage, key), optional
        If given, all other artifacts are listed. While a run uses the store nobody knows what it needs.
    copies : bool
        List this machine's copies of what is in the remote store, which are fetched again when needed.

    Raises
    ------
    StoreError
        If `needed` is given while runs use the store. Where runs on other machines left their marks in
        a remote store, it takes up to a minute to tell whether they are at work.
    """
    if needed is not None and (n_running := store.n_running()):
        raise StoreError(
            f"what is needed in {store.place} is not known while {counted(n_running, 'run')} "
            f"{'uses' if n_running == 1 else 'use'} it. Nothing was removed.",
            hint="wait until nothing runs, or use gc without --keep-only.",
        )
    now = time.time()
    with storage_errors(store.root):
        artifacts = entries(store)
        found = [
            *_left(store, now),
            *_abandoned_arrays(store, artifacts, versions, now),
            *_free_locks(store, now),
            *_needless_artifacts(store, artifacts, versions, needed),
        ]
    if isinstance(store, RemoteStore):
        found += _left_remotely(store, now)
        if copies:
            listed = {item.what for item in found}
            found += [item for item in _copies(store, artifacts) if item.what not in listed]
    return found


def collect(found: Sequence[Garbage]) -> list[Garbage]:
    """Remove things that can go; return those that were removed."""
    return [item for item in found if item.remove()]


def _left(store: Store, now: float) -> Iterator[Garbage]:
    for path in leftovers(store):
        if now - touched_at(path) > HOUR:
            yield Garbage(
                what=str(path),
                why="left by a killed write",
                size_bytes=bytes_on_disk(path),
                remove=functools.partial(_remove_untouched, path, HOUR),
            )
    for path in things_set_aside(store):
        yield Garbage(
            what=str(path),
            why="damaged, set aside",
            size_bytes=bytes_on_disk(path),
            remove=functools.partial(_remove_untouched, path, 0.0),
        )


def _abandoned_arrays(
    store: Store, artifacts: list[Entry], versions: Mapping[str, int], now: float
) -> Iterator[Garbage]:
    # neighbors that were found in an array are not its result: it may be read for more of them, or kept
    stored = {(entry.stage, entry.key) for entry in artifacts if entry.manifest}
    for array in unfinished_entries(store):
        age = now - array.touched_at
        older = _older(array, versions)
        if age > HOUR and (array.stage, array.key) in stored:
            why, least = "its result is stored", HOUR
        elif older:  # its key has the version, so that no run of this code goes on with it
            why, least = f"unfinished, of {', '.join(older)}", 0.0
        elif age > UNTOUCHED_SECONDS:
            why, least = f"unfinished, not touched for {age / DAY:,.0f} days", UNTOUCHED_SECONDS
        else:
            continue
        if not store.is_locked(array.stage, array.key):
            yield Garbage(
                what=str(array.path),
                why=why,
                size_bytes=array.size_bytes,
                remove=functools.partial(_remove_array, store, array, least),
            )


def _free_locks(store: Store, now: float) -> Iterator[Garbage]:
    for path in sorted((store.root / LOCKS).glob("*.lock")):
        is_ours = STAGE_AND_KEY.fullmatch(path.stem) is not None
        if is_ours and now - touched_at(path) > DAY and not is_held(path):
            yield Garbage(
                what=str(path),
                why="a lock that nobody holds",
                size_bytes=bytes_on_disk(path),
                remove=functools.partial(_remove_free_lock, path),
            )


def _needless_artifacts(
    store: Store,
    artifacts: list[Entry],
    versions: Mapping[str, int],
    needed: Collection[tuple[str, str]] | None,
) -> Iterator[Garbage]:
    most = _most_neighbors(store, artifacts)
    no_run_began = _watch(store)
    for entry in artifacts:
        if entry.manifest is None:
            continue  # damaged: `isodepth.store.housekeeping.verify` tells how
        older = _older(entry, versions)
        name = WITH_K.fullmatch(entry.key)
        may_go = _always
        if older:
            why = f"of {', '.join(older)}"
        elif name and int(name["k"]) < most.get((entry.stage, name["key"]), 0):
            why = f"the store has {most[entry.stage, name['key']]} neighbors per text"
        elif needed is not None and (entry.stage, entry.key) not in needed:
            why, may_go = "not needed", no_run_began
        else:
            continue
        if not _is_locked(store, entry):
            yield Garbage(
                what=f"{entry.stage}/{entry.key}",
                why=why,
                size_bytes=entry.size_bytes,
                remove=functools.partial(_remove_artifact, store, entry, may_go),
            )


def _older(entry: Entry | UnfinishedEntry, versions: Mapping[str, int]) -> list[str]:
    if entry.manifest is None:
        return []
    stage = entry.stage if entry.stage in NAME_VERSIONS else None
    return older_versions(entry.manifest, versions, stage=stage)


def _always() -> bool:
    return True


def _watch(store: Store) -> Callable[[], bool]:
    """Return what tells whether still no run uses a store; once one does, it is not asked again."""
    has_begun = False

    def no_run_began() -> bool:
        nonlocal has_begun
        has_begun = has_begun or store.n_running() > 0
        return not has_begun

    return no_run_began


def _most_neighbors(store: Store, artifacts: list[Entry]) -> dict[tuple[str, str], int]:
    """Return the largest number of neighbors that is stored whole, where there are several."""
    stored: dict[tuple[str, str], list[int]] = {}
    for entry in artifacts:
        name = WITH_K.fullmatch(entry.key)
        if name is not None and entry.manifest is not None:
            stored.setdefault((entry.stage, name["key"]), []).append(int(name["k"]))
    most = {}
    for (stage, key), numbers in stored.items():
        if len(numbers) > 1:
            folders = {k: store.folder(stage, f"{key}-k{k}") for k in numbers}
            whole = [k for k, path in folders.items() if not path.is_dir() or damage(path) is None]
            most[stage, key] = max(whole, default=0)
    return most


def _left_remotely(store: RemoteStore, now: float) -> Iterator[Garbage]:
    sums: dict[str, frozenset[str]] = {}
    for name, found in store.files.listing("objects").items():
        artifact, _, object_name = name.rpartition("/")
        if found.written_at is None or now - found.written_at <= DAY:
            continue  # an upload may be under way
        if artifact not in sums:
            sums[artifact] = _named_objects(store, artifact)
        if object_name not in sums[artifact]:
            yield _remote_garbage(store, f"objects/{name}", "left by a killed upload", found.size_bytes)
    for name, found in store.files.listing("leases").items():
        if found.written_at is not None and now - found.written_at > DAY:
            yield _remote_garbage(
                store, f"leases/{name}", "a lease that nobody keeps alive", found.size_bytes
            )
    for name, found in store.files.listing("progress").items():
        if found.written_at is not None and now - found.written_at > UNTOUCHED_SECONDS:
            yield _remote_garbage(
                store, f"progress/{name}", "of an array that nobody goes on with", found.size_bytes
            )


def _named_objects(store: RemoteStore, artifact: str) -> frozenset[str]:
    text = store.files.read(f"manifests/{artifact}.json")
    if text is None:
        return frozenset()
    try:
        return frozenset(listed_sums(unsealed(text.decode())).values())
    except ValueError:
        return frozenset()  # without its manifest nothing can be read


def _remote_garbage(store: RemoteStore, name: str, why: str, size_bytes: int) -> Garbage:
    def remove() -> bool:
        store.files.remove(name)
        return True

    return Garbage(what=store.files.url(name), why=why, size_bytes=size_bytes, remove=remove)


def _copies(store: RemoteStore, artifacts: list[Entry]) -> Iterator[Garbage]:
    remote = {stage: store.remote_manifests(stage) for stage in {entry.stage for entry in artifacts}}
    for entry in artifacts:
        is_there = f"{entry.key}.json" in remote[entry.stage]
        if is_there and store.is_shared(entry.stage, entry.key):
            yield Garbage(
                what=f"{entry.stage}/{entry.key}",
                why="a copy of what the remote store has",
                size_bytes=entry.size_bytes,
                remove=functools.partial(_drop_copy, store, entry),
            )


def _is_locked(store: Store, entry: Entry) -> bool:
    """Return whether a process computes an artifact: what is read has the lock of its activations."""
    activations = (entry.manifest or {}).get("activations")
    if activations is not None:
        return store.is_locked("activations", activations)
    return store.is_locked(entry.stage, entry.key)


def _remove_artifact(store: Store, entry: Entry, may_go: Callable[[], bool]) -> bool:
    if _is_locked(store, entry) or not may_go():
        return False
    store.remove(entry.stage, entry.key)
    return True


def _remove_array(store: Store, array: UnfinishedEntry, least_seconds: float) -> bool:
    # one that was just taken up is locked before it is written to
    return not store.is_locked(array.stage, array.key) and _remove_untouched(array.path, least_seconds)


def _drop_copy(store: RemoteStore, entry: Entry) -> bool:
    if _is_locked(store, entry):
        return False
    store.drop_copy(entry.stage, entry.key)
    return True


def _remove_untouched(path: Path, least_seconds: float) -> bool:
    if time.time() - touched_at(path) < least_seconds:
        return False
    with storage_errors(path):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not path.exists()


def _remove_free_lock(path: Path) -> bool:
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return False
    try:
        path.unlink(missing_ok=True)  # while it is held: whoever waits for it sees that and makes anew
    finally:
        lock.release()
    return True
