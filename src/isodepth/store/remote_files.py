"""How is an object store written and read so that nothing stale, half or lost goes unnoticed?

`RemoteFiles` is the handful of operations that a remote store needs, over any fsspec file system. No
listing comes from a cache; what fails is tried again after a while, and then is a `StoreError` that
says what, where, and the library's own words.
"""

import datetime
import errno
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from isodepth.atomic import atomic_path, write_atomically
from isodepth.errors import MissingPackageError, StoreError, UnknownNameError, first_line, nearest_names

Value = TypeVar("Value")

RETRY_SECONDS: tuple[float, ...] = (0.5, 1.0, 2.0)
"""Pauses between tries; the libraries below try again on their own, too."""
CONDITIONAL_WRITES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"})
"""Protocols of file systems whose own servers refuse to create an object that is there."""
EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""isodepth's extra that brings the package of a protocol."""
ANSWERS: dict[str, tuple[type[OSError], ...]] = {
    "read": (FileNotFoundError,),
    "list": (FileNotFoundError,),
    "remove": (FileNotFoundError,),
    "create": (FileExistsError,),
    "write": (),
}
"""What each operation may find, without anything being wrong."""
BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteObject:
    """One object as a listing has it; when it was written is None where the listing does not say."""

    size_bytes: int
    written_at: float | None


class RemoteFiles:
    """The objects below an fsspec address.

    Parameters
    ----------
    address : str
        As "s3://bucket/prefix", "gs://bucket/prefix", "memory://name", "file:///folder".
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._system, self._root = _file_system(self.address)
        protocol = self._system.protocol
        protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._is_local = "file" in protocols
        self.refuses_atomically = self._is_local or not protocols.isdisjoint(CONDITIONAL_WRITES)

    def url(self, name: str) -> str:
        """Return an object's address, for messages."""
        return f"{self.address}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None where it is not there."""
        try:
            return bytes(self._tried("read", name, lambda: self._system.cat_file(self._path(name))))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write an object, replacing what is there."""
        path = self._path(name)
        if self._is_local:
            self._tried("write", name, lambda: write_atomically(Path(path), data))
        else:
            self._tried("write", name, lambda: self._system.pipe_file(path, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless it is there; return whether these bytes are there now.

        Only where `refuses_atomically` is the answer final. Elsewhere two writers at once can both be
        told True: the one that reads its own bytes a moment later has won.
        """
        path = self._path(name)
        try:
            self._tried("create", name, lambda: self._create(path, data))
        except (FileExistsError, StoreError) as error:
            # another server's way to refuse, or a success whose answer was lost: the object tells
            found = self.read(name)
            if found is None and isinstance(error, StoreError):
                raise
            return found == data
        return True

    def _create(self, path: str, data: bytes) -> None:
        if self._is_local:
            with self._system.open(path, "xb") as file:
                file.write(data)
            return
        try:
            self._system.pipe_file(path, data, mode="create")
        except (TypeError, NotImplementedError):  # a file system that knows no such mode
            if self._system.exists(path):
                raise FileExistsError(path) from None
            self._system.pipe_file(path, data)

    def upload(self, source: Path, name: str) -> None:
        """Write a local file's bytes to an object, replacing what is there."""
        path = self._path(name)
        if self._is_local:

            def copied() -> None:
                with atomic_path(Path(path)) as temporary:
                    shutil.copyfile(source, temporary)

            self._tried("write", name, copied)
        else:
            self._tried("write", name, lambda: self._system.put_file(str(source), path))

    def download(self, name: str, target: Path) -> bool:
        """Write an object's bytes to a local file; return whether it was there."""
        try:
            self._tried("read", name, lambda: self._system.get_file(self._path(name), str(target)))
        except FileNotFoundError:
            return False
        return True

    def sum(self, name: str) -> str | None:
        """Return the sha256 of an object's bytes, or None where it is not there."""

        def summed() -> str:
            digest = hashlib.sha256()
            with self._system.open(self._path(name), "rb") as file:
                while block := file.read(BLOCK_BYTES):
                    digest.update(block)
            return digest.hexdigest()

        try:
            return self._tried("read", name, summed)
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens where it is not there."""
        try:
            self._tried("remove", name, lambda: self._system.rm_file(self._path(name)))
        except FileNotFoundError:
            return

    def listing(self, folder: str) -> dict[str, RemoteObject]:
        """Return all objects below a folder, by name relative to it."""
        path = self._path(folder)

        def found() -> dict[str, Any]:
            self._system.invalidate_cache()
            details: dict[str, Any] = self._system.find(path, detail=True)
            return details

        try:
            details = self._tried("list", folder, found)
        except FileNotFoundError:
            return {}
        objects = {}
        for place, info in details.items():
            name = self._system._strip_protocol(place).removeprefix(f"{path}/")
            # names with a dot in front are files that a killed process left on a plain file system
            if info["type"] == "file" and not name.rpartition("/")[2].startswith("."):
                objects[name] = RemoteObject(
                    size_bytes=int(info["size"] or 0), written_at=_written_at(info)
                )
        return objects

    def folders(self, folder: str) -> list[str]:
        """Return the names of the folders right below a folder, sorted."""

        def found() -> list[dict[str, Any]]:
            self._system.invalidate_cache()
            entries: list[dict[str, Any]] = self._system.ls(self._path(folder), detail=True)
            return entries

        try:
            entries = self._tried("list", folder, found)
        except FileNotFoundError:
            return []
        return sorted(
            entry["name"].rstrip("/").rpartition("/")[2]
            for entry in entries
            if entry["type"] == "directory"
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _tried(self, verb: str, name: str, action: Callable[[], Value]) -> Value:
        """Return what the action does, trying again where that may help.

        Raises
        ------
        FileNotFoundError, FileExistsError
            Where that is an answer to what was asked.
        StoreError
            For everything else.
        """
        for pause in (*RETRY_SECONDS, None):
            try:
                return action()
            except StoreError:
                raise
            except (FileNotFoundError, FileExistsError) as error:
                if isinstance(error, ANSWERS[verb]):
                    raise
                raise StoreError(
                    f"cannot {verb} {self.url(name)}: {first_line(error)}",
                    hint="the bucket, or what stands before the prefix, must be there.",
                ) from error
            except PermissionError as error:
                raise StoreError(
                    f"no permission to {verb} {self.url(name)}: {first_line(error)}",
                    hint="check the credentials that this machine has for it, and their rights.",
                ) from error
            except Exception as error:
                # the libraries have no common type for what the network does
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise
                if pause is None:
                    raise StoreError(
                        f"cannot {verb} {self.url(name)}: {first_line(error)}",
                        hint="check the network, the address and the credentials; then run the same "
                        "command again: it goes on where it stopped.",
                    ) from error
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")


def _file_system(address: str) -> tuple[Any, str]:
    """Return an fsspec file system and the path in it; nothing of it is shared or cached."""
    import fsspec

    protocol = address.partition("://")[0]
    known = fsspec.available_protocols()
    if protocol not in known:
        close = nearest_names(protocol, known) or ["s3", "gs", "file"]
        raise UnknownNameError(
            f"{address}: unknown protocol {protocol!r}",
            hint=f"did you mean {' or '.join(close)}?",
        )
    options: dict[str, Any] = {"auto_mkdir": True} if protocol in ("file", "local") else {}
    try:
        system, path = fsspec.url_to_fs(
            address, skip_instance_cache=True, use_listings_cache=False, **options
        )
    except ImportError as error:
        extra = EXTRAS.get(protocol)
        raise MissingPackageError(
            f"{address} cannot be reached: {first_line(error)}",
            hint=f"pip install 'isodepth[{extra}]' brings it." if extra else None,
        ) from error
    return system, str(path).rstrip("/")


def _written_at(info: dict[str, Any]) -> float | None:
    """Return when an object was written, in seconds since 1970; each file system has its own name."""
    for name in ("LastModified", "mtime", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, str):
            return datetime.datetime.fromisoformat(value).timestamp()
    return None
