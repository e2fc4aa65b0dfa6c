"""Reading archives without unpacking them: members by exact name, up to a stated size.

Nothing from an archive becomes a path. An archive that holds a name which would lead out of a folder
(absolute, or with "..") is refused as a whole, because nobody makes one by accident. A wanted member
that is a link is refused. What unpacks to more than the caller expects is refused before it fills the
memory.

>>> data = read_member(wheel, "package/data.json", most_bytes=1_000_000)         # doctest: +SKIP

Memory: a member is held whole, or copied in chunks; archives stay on disk.
"""

import contextlib
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from isodepth.errors import DownloadError

CHUNK_BYTES = 1 << 20
BOUNDED_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Wheels use no others; zipfile unpacks the others without a bound on memory."""
AR_MAGIC = b"!<arch>\n"
AR_HEADER_BYTES = 60


def read_member(archive: Path | bytes, name: str, *, most_bytes: int) -> bytes:
    """Return the bytes of one member of a zip archive.

    Parameters
    ----------
    archive : Path or bytes
        A zip file (a wheel is one), or its bytes.
    name : str
        The member's full name inside the archive.
    most_bytes : int
        The largest size that is read; a member that unpacks to more is refused.

    Raises
    ------
    DownloadError
        If the archive has no such member, is damaged or unsafe, or the member is a link or larger
        than `most_bytes`.
    """
    held = io.BytesIO()
    copy_member(archive, name, held, most_bytes=most_bytes)
    return held.getvalue()


def copy_member(
    archive: Path | bytes, name: str, target: io.BufferedIOBase | IO[bytes], *, most_bytes: int
) -> None:
    """Append one member of a zip archive to an open file; limits and errors are `read_member`'s."""
    with _open_member(archive, name, most_bytes=most_bytes) as member:
        # in chunks: a member that unpacks to more than it states fails its checksum at the stated size
        shutil.copyfileobj(member, target, CHUNK_BYTES)


@contextlib.contextmanager
def _open_member(archive: Path | bytes, name: str, *, most_bytes: int) -> Iterator[IO[bytes]]:
    where = _name(archive)
    try:
        with zipfile.ZipFile(io.BytesIO(archive) if isinstance(archive, bytes) else archive) as opened:
            for entry in opened.infolist():
                _refuse_unsafe(entry.filename, where)
            info = opened.getinfo(name)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise DownloadError(f"{where}: member {name} is a link, not a file")
            if info.compress_type not in BOUNDED_METHODS:
                raise DownloadError(
                    f"{where}: member {name} is compressed by method {info.compress_type}; only "
                    "deflate is read"
                )
            _refuse_large(info.file_size, name, where, most_bytes)
            with opened.open(info) as member:
                yield member
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError, ValueError) as error:
        # RuntimeError is how zipfile refuses an encrypted member, ValueError what damaged names and
        # places give
        raise _damaged(archive, f"cannot read member {name}: {error}") from error


def unpacked_gzip(data: bytes, *, name: str, most_bytes: int) -> bytes:
    """Return what gzip-compressed bytes hold, at most `most_bytes`.

    Raises
    ------
    DownloadError
        If the data is damaged or holds more.
    """
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            unpacked = file.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DownloadError(f"{name}: damaged gzip data: {error}") from error
    _refuse_large(len(unpacked), "gzip data", name, most_bytes)
    return unpacked


def read_deb_members(
    deb: Path, wanted: Callable[[str], bool], *, most_bytes: int, most_unpacked_bytes: int
) -> dict[str, bytes]:
    """Return the data files of a Debian package that are wanted, by name.

    Parameters
    ----------
    deb : Path
        The package: an ar archive with a ``data.tar.xz`` inside.
    wanted : callable
        Says of a file's name (without the leading "./") whether it is to be read.
    most_bytes : int
        The largest size of one file.
    most_unpacked_bytes : int
        The largest size of the whole unpacked ``data.tar``, which must be run through to find files.

    Raises
    ------
    DownloadError
        If the package is damaged or unsafe, or a limit is passed.
    """
    found: dict[str, bytes] = {}
    try:
        with deb.open("rb") as file:
            start, size = _ar_member(file, "data.tar.xz", deb)
            packed = _Slice(file, start, size)
            with (
                lzma.LZMAFile(io.BufferedReader(packed)) as stream,
                tarfile.open(
                    fileobj=_Limited(stream, most_unpacked_bytes, deb.name), mode="r|"
                ) as data,
            ):
                for entry in data:
                    _refuse_unsafe(entry.name, deb.name)
                    name = entry.name.removeprefix("./")
                    if not wanted(name) or entry.isdir():
                        continue
                    if not entry.isreg():
                        raise DownloadError(f"{deb.name}: member {name} is a link, not a file")
                    _refuse_large(entry.size, name, deb.name, most_bytes)
                    member = data.extractfile(entry)
                    assert member is not None  # it is a regular file
                    found[name] = member.read()
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        # ValueError is what tarfile gives for a damaged map of a sparse file
        raise _damaged(deb, f"cannot be read as a Debian package: {error}") from error
    return found


def _ar_member(file: IO[bytes], name: str, deb: Path) -> tuple[int, int]:
    """Return where a member of an ar archive starts and its size in bytes.

    A header is 60 bytes (deb(5), ar(5)): name 16, time 12, owner 6, group 6, mode 8, size 10, all in
    ASCII, and two closing bytes. Members start at even places.
    """
    if file.read(len(AR_MAGIC)) != AR_MAGIC:
        raise _damaged(deb, "is not a Debian package")
    total = deb.stat().st_size
    while header := file.read(AR_HEADER_BYTES):
        digits = header[48:58].strip()
        start = file.tell()
        if len(header) != AR_HEADER_BYTES or header[58:] != b"`\n" or not digits.isdigit():
            raise _damaged(deb, "has a damaged member header")
        size = int(digits)
        if start + size > total:
            raise _damaged(deb, "is cut short")
        if header[:16].decode("latin-1").strip().removesuffix("/") == name:
            return start, size
        file.seek(start + size + size % 2)
    raise _damaged(deb, f"has no member {name}")


class _Slice(io.RawIOBase):
    """A part of a file, read once from its start to its end."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._left = size
        file.seek(start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than so many bytes."""

    def __init__(self, stream: lzma.LZMAFile, most_bytes: int, name: str) -> None:
        self._stream = stream
        self._given = 0
        self._most = most_bytes
        self._name = name

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(CHUNK_BYTES if size < 0 else size)
        self._given += len(data)
        _refuse_large(self._given, "data.tar", self._name, self._most)
        return data


def _refuse_unsafe(name: str, archive: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if name.startswith(("/", "\\")) or ".." in parts or (parts and parts[0][1:2] == ":"):
        raise DownloadError(
            f"{archive}: holds a member called {name!r}, which would lead out of a folder; the archive "
            "is not read"
        )


def _refuse_large(size: int, name: str, archive: str, most_bytes: int) -> None:
    if size > most_bytes:
        raise DownloadError(
            f"{archive}: member {name} has {size:,} bytes, expected at most {most_bytes:,}"
        )


def _name(archive: Path | bytes) -> str:
    return archive.name if isinstance(archive, Path) else "inner archive"


def _damaged(archive: Path | bytes, what: str) -> DownloadError:
    again = (
        f"delete {archive} and run the same command again to fetch it anew."
        if isinstance(archive, Path)
        else None
    )
    return DownloadError(f"{_name(archive)}: {what}", hint=again)
