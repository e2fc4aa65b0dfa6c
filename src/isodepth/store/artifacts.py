"""Where are results kept, and when is one there?

An artifact is a folder ``<root>/<stage>/<key>/`` with data files (safetensors for arrays) and a
``manifest.json`` that holds the key's parts, the provenance, and the sha256 of every data file. The
key is a hash of everything that fixes the values, so a name is never wrong for its content. Folders
are written under a temporary name, synced and renamed: an artifact is whole or absent. Every read
checks the sums; a damaged artifact is named, set aside, and counts as absent. Whether one is there and
whole can be asked without reading again what has not changed since it was read.

>>> store = Store(Path("/tmp/store"))                                                # doctest: +SKIP
>>> store.write("neighbors", key, arrays={"ids": ids}, manifest={...})               # doctest: +SKIP

Memory: arrays are read as memory maps.
"""

import contextlib
import errno
import os
import re
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import filelock
import numpy as np

from isodepth.atomic import atomic_folder, remove_folder, storage_errors
from isodepth.errors import ParameterError, StoreError, listed
from isodepth.store.locks import is_held
from isodepth.store.places import as_folder, default_store
from isodepth.store.resumable import ArrayProgress, ResumableArray
from isodepth.store.safetensors_files import ARRAYS, SAFETENSORS_TYPES, mapped_arrays
from isodepth.store.sealing import MANIFEST, DamagedArtifactWarning, damage, unsealed, write_manifest
from isodepth.store.sums import file_digest, sha256_of

DAMAGED = "damaged"
LOCKS = "locks"
UNFINISHED = "unfinished"
SHARED = "shared"
OTHER_FOLDERS = frozenset({DAMAGED, LOCKS, UNFINISHED, SHARED})
"""Folders of a store that are no stages; the last one marks what a mirror has uploaded."""
KEY = re.compile(r"[0-9a-f]{32,}(-[a-z0-9]+)?")
"""What a key looks like: a digest, and behind it what else tells artifacts apart, as k of neighbors."""
RUNS = "runs"
"""What the locks that mark running studies are called, where others have a stage."""
PROBE_SECONDS = 0.1
"""How long a lock is tried before it counts as held: longer than another process asks for it only."""
NO_FILES: Mapping[str, bytes] = MappingProxyType({})
WRITTEN_ANEW = "is written anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One stored result, read and verified.

    Parameters
    ----------
    arrays : dict of str to array
        The data.
    manifest : dict
        Key parts, provenance, and the sums of the files.
    path : Path
        The artifact's folder.
    """

    arrays: dict[str, np.ndarray]
    manifest: dict[str, Any]
    path: Path


class Store:
    """A folder of artifacts, by stage and key.

    Parameters
    ----------
    root : Path, optional
        The folder; made when first written. `default_store()` where it is left out.

    Raises
    ------
    ParameterError
        If it is the address of a remote store, which `open_store` takes.
    """

    remedy = "counts as absent"
    """What becomes of a damaged artifact that is read, as the warning says it."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = default_store() if root is None else as_folder(root)

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    @property
    def place(self) -> str:
        """What `open_store` opens this store by: a folder, or an address."""
        return str(self.root)

    def folder(self, stage: str, key: str) -> Path:
        """Return where an artifact is, or would be."""
        return self.root / stage / key

    def stages(self) -> list[str]:
        """Return the names of the stages that have artifacts, sorted.

        The root may hold other things, as the cache where both are one folder: a stage is a folder in
        which something named by a key has a manifest or arrays. All that is named so beside it is an
        artifact, too, however damaged.
        """
        if not self.root.is_dir():
            return []
        folders = [path for path in self.root.iterdir() if path.is_dir()]
        named = [path for path in folders if path.name not in OTHER_FOLDERS and path.name[0] != "."]
        return sorted(path.name for path in named if _is_stage(path))

    def keys(self, stage: str, *, prefix: str = "") -> list[str]:
        """Return the keys of a stage that begin with `prefix`, sorted."""
        folder = self.root / stage
        if not folder.is_dir():
            return []
        names = (path.name for path in folder.iterdir() if not path.name.startswith("."))
        return sorted(name for name in names if name.startswith(prefix))

    def write(
        self,
        stage: str,
        key: str,
        *,
        arrays: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        files: Mapping[str, bytes] = NO_FILES,
    ) -> Path:
        """Store arrays, other files and their manifest; return the artifact's folder.

        A whole artifact of this name is kept: its key fixes what is in it. A damaged one is named in a
        `DamagedArtifactWarning`, set aside, and gives way to this one.

        Parameters
        ----------
        stage, key : str
            Its name.
        arrays : mapping of str to array
            Stored in one safetensors file; none is made where there are no arrays.
        manifest : mapping
            JSON values; the sums of the files are added.
        files : mapping of str to bytes
            Further data files, by name.

        Raises
        ------
        ParameterError
            If an array's type is none of float32, float64, int32, int64 and bool, or a file's name
            cannot be one beside the others.
        """
        from safetensors.numpy import save

        storable = SAFETENSORS_TYPES.values()
        for name, array in arrays.items():
            if array.dtype.newbyteorder("=") not in storable:
                raise ParameterError(
                    f"array {name!r} of {stage} cannot be stored: expected "
                    f"{listed([dtype.name for dtype in storable])}; got {array.dtype}"
                )
        for name in files:
            is_plain = name != "" and name == Path(name).name and not name.startswith(".")
            if not is_plain or name in (ARRAYS, MANIFEST):
                raise ParameterError(
                    f"file {name!r} of {stage} cannot be stored: expected a plain name, without a dot "
                    f"in front, other than {ARRAYS} and {MANIFEST}"
                )
        folder = self.folder(stage, key)
        if self._verified_manifest(stage, key, remedy=WRITTEN_ANEW) is not None:
            return folder
        with atomic_folder(folder) as temporary:
            if arrays:
                in_order = {name: np.require(array, requirements="C") for name, array in arrays.items()}
                (temporary / ARRAYS).write_bytes(save(in_order))
            for name, data in files.items():
                (temporary / name).write_bytes(data)
            write_manifest(temporary, manifest)
        return folder

    def read(self, stage: str, key: str) -> Artifact | None:
        """Return a stored artifact with its arrays as read-only memory maps, or None without one.

        A damaged one is named in a `DamagedArtifactWarning`, set aside under
        ``<root>/damaged/``, and counts as absent.
        """
        folder = self.folder(stage, key)
        with storage_errors(folder):
            try:
                manifest = self._verified_manifest(stage, key, remedy=self.remedy)
                if manifest is None:
                    return None
                arrays = mapped_arrays(folder / ARRAYS) if ARRAYS in manifest["files"] else {}
            except FileNotFoundError:
                if folder.is_dir():
                    raise
                return None  # another process removed it while it was read
        return Artifact(arrays=arrays, manifest=manifest, path=folder)

    def is_whole(self, stage: str, key: str) -> bool:
        """Return whether an artifact is there and whole; a damaged one is set aside, as in `read`.

        A file that was read in full before is read again only if its size, times or inode have changed:
        what the disk alone has altered is found by `read`, and so before it is used.
        """
        with storage_errors(self.folder(stage, key)):
            found = self._verified_manifest(stage, key, remedy=self.remedy, sum_of=file_digest)
        return found is not None

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return an artifact's manifest without checking its data files, or None.

        None, too, where the manifest cannot be read; `read` tells what is wrong with it.
        """
        path = self.folder(stage, key) / MANIFEST
        try:
            with storage_errors(path):
                return unsealed(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None

    def remove(self, stage: str, key: str) -> None:
        """Remove an artifact; nothing happens where there is none."""
        remove_folder(self.folder(stage, key))

    def _verified_manifest(
        self, stage: str, key: str, *, remedy: str, sum_of: Callable[[Path], str] = sha256_of
    ) -> dict[str, Any] | None:
        """Return a whole artifact's manifest, or None; a damaged one is named and set aside."""
        folder = self.folder(stage, key)
        with storage_errors(folder):
            if not folder.is_dir():
                return None
            try:
                problem = damage(folder, sum_of=sum_of)
                if problem is None:
                    return unsealed((folder / MANIFEST).read_text(encoding="utf-8"))
            except FileNotFoundError:
                if folder.is_dir():
                    raise
                return None  # another process removed it meanwhile
            target = self.set_aside(stage, key)
        if target is not None:
            warnings.warn(
                f"damaged file in the store: {problem}. It was moved to {target} and {remedy}.",
                DamagedArtifactWarning,
                stacklevel=3,
            )
        return None

    def set_aside(self, stage: str, key: str) -> Path | None:
        """Move a damaged artifact out of the way, under ``<root>/damaged/``; return where it is now.

        None where another process was first to do so.
        """
        aside = self.root / DAMAGED
        aside.mkdir(parents=True, exist_ok=True)
        target = Path(tempfile.mkdtemp(dir=aside, prefix=f"{stage}-{key}-"))
        try:
            self.folder(stage, key).rename(target / "artifact")
        except FileNotFoundError:
            target.rmdir()
            return None
        return target

    @contextlib.contextmanager
    def lock(
        self, stage: str, key: str, *, waiting: Callable[[], None] | None = None
    ) -> Iterator[bool]:
        """Hold the only right to compute one artifact; give whether it is held.

        Parameters
        ----------
        waiting : callable, optional
            Called once if another process holds the lock; then this one waits until it is free. Where
            it is left out nothing waits, and False is given if another process holds the lock.
        """
        path = self._lock_file(stage, key)
        with storage_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            try:
                lock.acquire(timeout=PROBE_SECONDS, poll_interval=PROBE_SECONDS / 5)
            except filelock.Timeout:
                if waiting is not None:
                    waiting()
                    lock.acquire()
        try:
            yield lock.is_locked
        finally:
            lock.release()

    def is_locked(self, stage: str, key: str) -> bool:
        """Return whether a process computes an artifact at this moment."""
        return is_held(self._lock_file(stage, key))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Mark the store as in use by a run: meanwhile nothing goes because no study needs it.

        Where nothing can be written there is no mark: a run that finds everything done needs no right
        to write.
        """
        key = uuid.uuid4().hex
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(self.lock(RUNS, key, waiting=_go_on))
            except StoreError as error:
                if not _is_refusal(error.__cause__):
                    raise
            else:
                # while it is held, so that no other process takes it for one that was left
                held.callback(self._lock_file(RUNS, key).unlink, missing_ok=True)
            yield

    def n_running(self) -> int:
        """Return how many runs use the store at this moment; see `running`."""
        return len(self._runs_here())

    def _runs_here(self) -> set[str]:
        """Return the names of the marks that processes hold in this folder."""
        marks = (self.root / LOCKS).glob(f"{RUNS}-*.lock")
        return {path.stem for path in marks if is_held(path)}

    def _lock_file(self, stage: str, key: str) -> Path:
        return self.root / LOCKS / f"{stage}-{key}.lock"

    def begin(
        self, stage: str, key: str, *, shape: Sequence[int], manifest: Mapping[str, Any]
    ) -> ResumableArray:
        """Return a new, empty array under construction for an artifact, replacing an older one."""
        return ResumableArray.create(self._unfinished(stage, key), tuple(shape), manifest)

    def unfinished(self, stage: str, key: str) -> ResumableArray | None:
        """Return the array under construction for an artifact, or None where there is none."""
        return ResumableArray.found(self._unfinished(stage, key))

    def unfinished_progress(self, stage: str, key: str) -> ArrayProgress | None:
        """Return how far an array under construction is, or None where there is none.

        Its journal is read, not its rows: cheap enough to ask every second while another process
        writes.
        """
        return ResumableArray.progress_of(self._unfinished(stage, key))

    def _unfinished(self, stage: str, key: str) -> Path:
        return self.root / UNFINISHED / f"{stage}-{key}"

    def adopt(self, stage: str, key: str, array: ResumableArray) -> Path:
        """Make a completed `ResumableArray` an artifact of the store; return its folder.

        What is there already is kept or gives way, as in `write`.

        Raises
        ------
        ParameterError
            If rows are missing.
        """
        if array.missing.size:
            raise ParameterError(
                f"the array in {array.folder} is not complete: {array.missing.size:,} of "
                f"{array.shape[1]:,} texts are missing"
            )
        folder = self.folder(stage, key)
        if self._verified_manifest(stage, key, remedy=WRITTEN_ANEW) is None:
            with atomic_folder(folder) as temporary:
                _link_or_copy(array.folder / ARRAYS, temporary / ARRAYS)
                write_manifest(temporary, array.manifest)
        array.discard()
        return folder


def _is_stage(folder: Path) -> bool:
    """Return whether something in a folder is an artifact by its name and one of its files."""
    keys = (path for path in folder.iterdir() if KEY.fullmatch(path.name))
    return any((path / name).is_file() for path in keys for name in (MANIFEST, ARRAYS))


def _is_refusal(error: BaseException | None) -> bool:
    is_read_only = isinstance(error, OSError) and error.errno == errno.EROFS
    return is_read_only or isinstance(error, PermissionError)


def _go_on() -> None:
    """Wait for a lock without telling anybody."""


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
