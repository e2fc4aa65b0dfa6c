"""How do many machines share one store, when they share no disk?

A remote store is a prefix of an object store, or of anything else that fsspec reaches. Each machine has
a mirror of it, an ordinary `Store` in its cache, where everything is written first and read from. What
is shared::

    <address>/manifests/<stage>/<key>.json      visible only when this is there, so it is written last
    <address>/objects/<stage>/<key>/<sha256>    data files, named by what is in them
    <address>/leases/<stage>-<key>.json         who computes what (`isodepth.store.leases`)
    <address>/progress/<stage>-<key>.json       how far an array under construction is

A manifest names its objects by their sums, so two machines that write one artifact at once cannot mix
their files, and every download is verified. Arrays under construction stay on the machine that reads.

>>> store = open_store("s3://bucket/isodepth")                                       # doctest: +SKIP

Memory: files go through in blocks, arrays are memory maps of the mirror.
"""

import contextlib
import dataclasses
import json
import platform
import re
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.atomic import atomic_folder, storage_errors, write_atomically
from isodepth.errors import ParameterError, StoreError
from isodepth.store.artifacts import NO_FILES, RUNS, SHARED, Artifact, Store
from isodepth.store.leases import Leases
from isodepth.store.places import default_place, is_address, mirror_folder
from isodepth.store.remote_files import RemoteFiles, RemoteObject
from isodepth.store.resumable import ArrayProgress, ResumableArray
from isodepth.store.sealing import MANIFEST, DamagedArtifactWarning, listed_sums, unsealed
from isodepth.store.sums import sha256_of

NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
"""What names of stages and artifacts look like; nothing else is taken from a listing."""
POLL_SECONDS = 2.0
"""How often a process that waits for another machine asks again."""


def open_store(place: "str | Path | Store | None" = None) -> Store:
    """Return the store at a place.

    Parameters
    ----------
    place : str, Path or Store, optional
        A folder, or an fsspec URL: "s3://bucket/prefix", "gs://bucket/prefix", "file:///folder". A
        store is returned as it is. ``$ISODEPTH_STORE``, or a folder in the platform's data folder,
        where it is left out.

    Raises
    ------
    UnknownNameError
        If no file system has the URL's protocol.
    MissingPackageError
        If a package is missing that the protocol needs.
    """
    if isinstance(place, Store):
        return place
    chosen = default_place() if place is None else place
    return RemoteStore(str(chosen)) if is_address(chosen) else Store(chosen)


class RemoteStore(Store):
    """A store that many machines share, with a mirror on this one.

    Locks are leases: where the object store can refuse to create an object that is there (S3, Google
    Cloud Storage, Azure), one machine gets it; elsewhere each writes, waits a moment and reads back
    whose lease it is. Arrays under construction (`begin`, `unfinished`) stay in the mirror: another
    machine does not go on with them, and sees only how far they are.

    Parameters
    ----------
    address : str
        An fsspec URL.
    mirror : Path, optional
        The folder of this machine's copies; in the cache folder, by the address, where left out.

    Raises
    ------
    UnknownNameError
        If no file system has the URL's protocol.
    MissingPackageError
        If a package is missing that the protocol needs.
    """

    remedy = "is fetched again, or counts as absent where the remote store lacks it"

    def __init__(self, address: str, *, mirror: Path | None = None) -> None:
        if "::" in address or not is_address(address):
            raise ParameterError(
                f"{address!r} cannot be a remote store: expected one fsspec URL, as s3://bucket/prefix"
            )
        super().__init__(mirror_folder(address.rstrip("/")) if mirror is None else mirror)
        self.address = address.rstrip("/")
        self.files = RemoteFiles(self.address)
        self._leases: Leases | None = None
        self._arrays: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"RemoteStore({self.address!r}, mirror={str(self.root)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process, or machine, as the address alone: each has its own mirror."""
        return RemoteStore, (self.address,)

    @property
    def place(self) -> str:
        """What `open_store` opens this store by: its address."""
        return self.address

    def keys(self, stage: str, *, prefix: str = "") -> list[str]:
        """Return the keys of a stage that begin with `prefix`, sorted: those there and those here."""
        named = (name.removesuffix(".json") for name in self.remote_manifests(stage))
        remote = filter(NAME.fullmatch, named)  # whoever can write there must not choose paths here
        here = super().keys(stage, prefix=prefix)
        return sorted({*here, *(key for key in remote if key.startswith(prefix))})

    def stages(self) -> list[str]:
        """Return the names of the stages that have artifacts, sorted."""
        remote = filter(NAME.fullmatch, self.files.folders("manifests"))
        return sorted({*super().stages(), *remote})

    def remote_manifests(self, stage: str) -> dict[str, RemoteObject]:
        """Return the manifests of a stage that are in the remote store, by name."""
        return self.files.listing(f"manifests/{stage}")

    def write(
        self,
        stage: str,
        key: str,
        *,
        arrays: Mapping[str, np.ndarray],
        manifest: Mapping[str, Any],
        files: Mapping[str, bytes] = NO_FILES,
    ) -> Path:
        """Store arrays, other files and their manifest here and remotely; see `Store.write`."""
        folder = super().write(stage, key, arrays=arrays, manifest=manifest, files=files)
        self._upload(stage, key)
        return folder

    def adopt(self, stage: str, key: str, array: ResumableArray) -> Path:
        """Make a completed `ResumableArray` an artifact, here and remotely; see `Store.adopt`."""
        folder = super().adopt(stage, key, array)
        self._upload(stage, key)
        return folder

    def read(self, stage: str, key: str) -> Artifact | None:
        """Return an artifact, fetched and verified where it is not here yet, or None without one.

        One that is here and not there, because its upload was broken off or another machine removed it,
        is uploaded: what is read is there for all machines. A damaged file, here or there, is named in
        a `DamagedArtifactWarning`.
        """
        found = super().read(stage, key)
        if found is not None:
            self._share(stage, key)
            return found
        return super().read(stage, key) if self._fetch(stage, key) else None

    def is_whole(self, stage: str, key: str) -> bool:
        """Return whether an artifact is here and whole, as in `read`; what is not here is fetched."""
        if not super().is_whole(stage, key):
            return self._fetch(stage, key)
        self._share(stage, key)
        return True

    def _share(self, stage: str, key: str) -> None:
        """Upload an artifact that is here, unless it is there."""
        if not self._is_there(stage, key):
            self._upload(stage, key)

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return an artifact's manifest without checking its data files, or None."""
        here = super().manifest(stage, key)
        if here is not None:
            return here
        found = self.files.read(_manifest_name(stage, key))
        try:
            return None if found is None else unsealed(found.decode())
        except ValueError:
            return None

    def remove(self, stage: str, key: str) -> None:
        """Remove an artifact, here and remotely."""
        self.files.remove(_manifest_name(stage, key))
        for name in self.files.listing(_objects(stage, key)):
            self.files.remove(f"{_objects(stage, key)}/{name}")
        self.drop_copy(stage, key)

    def drop_copy(self, stage: str, key: str) -> None:
        """Remove this machine's copy of an artifact; the remote one stays."""
        super().remove(stage, key)
        self._mark(stage, key).unlink(missing_ok=True)

    def is_shared(self, stage: str, key: str) -> bool:
        """Return whether the copy that is here was uploaded, or came from the remote store."""
        return self.folder(stage, key).is_dir() and self._mark(stage, key).exists()

    def _is_there(self, stage: str, key: str) -> bool:
        """Return whether the remote store has what is here; costs one request if it had."""
        if not self._mark(stage, key).exists():
            return False
        return self.files.read(_manifest_name(stage, key)) is not None

    def _mark(self, stage: str, key: str) -> Path:
        return self.root / SHARED / f"{stage}-{key}"

    def _upload(self, stage: str, key: str) -> None:
        folder = self.folder(stage, key)
        text = (folder / MANIFEST).read_bytes()
        for name, expected in listed_sums(unsealed(text.decode())).items():
            # also where such an object is there: it may be damaged
            self.files.upload(folder / name, f"{_objects(stage, key)}/{expected}")
        self.files.write(_manifest_name(stage, key), text)
        write_atomically(self._mark(stage, key), b"")

    def _fetch(self, stage: str, key: str) -> bool:
        """Make a verified copy of a remote artifact; return whether there is one now."""
        text = self.files.read(_manifest_name(stage, key))
        if text is None:
            return False
        try:
            with atomic_folder(self.folder(stage, key)) as temporary:
                for name, expected in self._remote_sums(stage, key, text).items():
                    source = f"{_objects(stage, key)}/{expected}"
                    if not self.files.download(source, temporary / name):
                        raise ValueError(f"{self.files.url(source)} is missing")
                    if (found := sha256_of(temporary / name)) != expected:
                        raise ValueError(_other_sum(self.files.url(source), found, expected))
                (temporary / MANIFEST).write_bytes(text)
        except ValueError as problem:
            warnings.warn(
                f"damaged file in the store: {problem}. It counts as absent.",
                DamagedArtifactWarning,
                stacklevel=3,
            )
            return False
        write_atomically(self._mark(stage, key), b"")
        return True

    def _remote_sums(self, stage: str, key: str, text: bytes) -> dict[str, str]:
        try:
            return listed_sums(unsealed(text.decode()))
        except ValueError as error:
            url = self.files.url(_manifest_name(stage, key))
            raise ValueError(f"{url} cannot be read ({error})") from error

    def remote_damages(self, stage: str, key: str) -> list[str]:
        """Return what is wrong with each damaged remote object of an artifact, reading all of them."""
        text = self.files.read(_manifest_name(stage, key))
        if text is None:
            return []
        try:
            sums = self._remote_sums(stage, key, text)
        except ValueError as error:
            return [str(error)]
        problems = []
        for expected in sums.values():
            name = f"{_objects(stage, key)}/{expected}"
            found = self.files.sum(name)
            if found is None:
                problems.append(f"{self.files.url(name)} is missing")
            elif found != expected:
                problems.append(_other_sum(self.files.url(name), found, expected))
        return problems

    def withdraw(self, stage: str, key: str) -> None:
        """Remove a damaged remote artifact; a whole copy here takes its place when it is next read."""
        self.files.remove(_manifest_name(stage, key))
        self._mark(stage, key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(
        self, stage: str, key: str, *, waiting: Callable[[], None] | None = None
    ) -> Iterator[bool]:
        """Hold the only right to compute one artifact, on all machines; see `Store.lock`."""
        told = False

        def tell() -> None:
            nonlocal told
            if waiting is not None and not told:
                told = True
                waiting()

        # the lock file first: it makes sure that no other process of this mirror is at work, so that a
        # lease of this mirror which is found is one that a killed process left
        with super().lock(stage, key, waiting=None if waiting is None else tell) as is_held_here:
            lease = self._own_leases.take(_lease_name(stage, key)) if is_held_here else None
            while lease is None and waiting is not None:
                tell()
                time.sleep(POLL_SECONDS)
                lease = self._own_leases.take(_lease_name(stage, key))
            try:
                yield lease is not None
            finally:
                if lease is not None:
                    lease.release()
                    with contextlib.suppress(StoreError):  # nothing depends on what is shown
                        self._publish_progress()

    def is_locked(self, stage: str, key: str) -> bool:
        """Return whether a process computes an artifact at this moment, on any machine.

        A lease that its holder left when it was killed counts until it was seen unchanged for a while.
        """
        return super().is_locked(stage, key) or self._own_leases.is_held(_lease_name(stage, key))

    def n_running(self) -> int:
        """Return how many runs use the store at this moment, on any machine; see `running`.

        Marks of other machines are watched until they beat, or have been silent for so long that their
        runs were killed: up to a minute.
        """
        marks = [name for name in self.files.listing("leases") if name.startswith(f"{RUNS}-")]
        # those of this mirror do not count there: its lock files tell
        elsewhere = self._own_leases.kept_alive([f"leases/{name}" for name in marks]) if marks else []
        names = {name.removeprefix("leases/").removesuffix(".json") for name in elsewhere}
        return len(self._runs_here() | names)

    @property
    def _own_leases(self) -> Leases:
        if self._leases is None:
            path = self.root / "name"
            with storage_errors(path):
                if not path.exists():
                    write_atomically(path, uuid.uuid4().hex.encode())
                # a mirror on a disk that several machines share is not one machine
                holder = f"{path.read_text(encoding='utf-8')}@{platform.node()}"
            self._leases = Leases(self.files, holder=holder, on_beat=self._publish_progress)
        return self._leases

    def begin(
        self, stage: str, key: str, *, shape: Sequence[int], manifest: Mapping[str, Any]
    ) -> ResumableArray:
        """Return a new, empty array under construction in the mirror; see `Store.begin`."""
        array = super().begin(stage, key, shape=shape, manifest=manifest)
        self._arrays.add((stage, key))  # now that it is there: a beat forgets what is not
        return array

    def unfinished(self, stage: str, key: str) -> ResumableArray | None:
        """Return the array under construction in the mirror, or None where there is none."""
        array = super().unfinished(stage, key)
        if array is not None:
            self._arrays.add((stage, key))
        return array

    def unfinished_progress(self, stage: str, key: str) -> ArrayProgress | None:
        """Return how far an array under construction is, here or on another machine, or None."""
        here = super().unfinished_progress(stage, key)
        if here is not None:
            return here
        found = self.files.read(_progress_name(stage, key))
        try:
            return None if found is None else ArrayProgress(**json.loads(found))
        except (ValueError, TypeError):
            return None

    def _publish_progress(self) -> None:
        """Let other machines see how far the arrays of this process are."""
        for stage, key in list(self._arrays):
            progress = super().unfinished_progress(stage, key)
            if progress is None:
                self._arrays.discard((stage, key))
                self.files.remove(_progress_name(stage, key))
            else:
                text = json.dumps(dataclasses.asdict(progress))
                self.files.write(_progress_name(stage, key), text.encode())


def _manifest_name(stage: str, key: str) -> str:
    return f"manifests/{stage}/{key}.json"


def _objects(stage: str, key: str) -> str:
    return f"objects/{stage}/{key}"


def _lease_name(stage: str, key: str) -> str:
    return f"leases/{stage}-{key}.json"


def _progress_name(stage: str, key: str) -> str:
    return f"progress/{stage}-{key}.json"


def _other_sum(place: str, found: str, expected: str) -> str:
    return f"{place} has sha256 {found}, its manifest says {expected}"
