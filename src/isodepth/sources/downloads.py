"""Pinned files: fetched once by the user's own package manager, verified, kept in the cache.

A pin names a file exactly, by its sha256. How it is fetched is the pin's own: a wheel by pip
(`isodepth.sources.wheels`), a Debian package by apt (`isodepth.sources.debs`). Where neither can reach
an index, a file that was carried over by hand takes its place (`import_file`).
"""

import abc
import contextlib
import errno
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from isodepth.atomic import atomic_path, storage_errors
from isodepth.cache import cache_directory
from isodepth.errors import DownloadError
from isodepth.progress import Progress, no_progress
from isodepth.store.sums import file_digest, sha256_of

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Pin(abc.ABC):
    """A package file that is known exactly, and how to fetch it.

    Parameters
    ----------
    package, version : str
        The name and version in the package manager's index.
    sha256 : str
        Of the file, in hexadecimal.
    size_bytes : int
        Of the file; used to show progress and to say what a download costs.
    """

    SUFFIX: ClassVar[str]
    """What the file's name ends in."""

    package: str
    version: str
    sha256: str
    size_bytes: int

    @property
    @abc.abstractmethod
    def requirement(self) -> str:
        """The pin as the package manager takes it."""

    @abc.abstractmethod
    def download(self, incoming: Path, progress: Progress) -> Path:
        """Fetch the file into an empty folder and return its path there; it is not yet verified.

        Raises
        ------
        DownloadError
            If the package manager fails; the message has its own words.
        """


def _folder(pin: Pin) -> Path:
    return cache_directory() / "downloads" / pin.sha256[:32]


def stored_file(pin: Pin) -> Path | None:
    """Return the path of a pinned file in the cache, or None where it has not been downloaded.

    The bytes are not checked here; `fetch_file` does that.
    """
    # names that begin with a dot are files that are still being written, or whose writer was killed
    return next(iter(sorted(_folder(pin).glob(f"[!.]*{pin.SUFFIX}"))), None)


def fetch_file(pin: Pin, *, progress: Progress = no_progress) -> Path:
    """Return the path of the verified file, downloading it if the cache lacks it.

    Raises
    ------
    DownloadError
        If the download fails, or the file's sha256 is not the pinned one; the bad file is removed, so
        that the next call fetches again.
    """
    path = stored_file(pin)
    if path is not None:
        _verify(path, pin, found=file_digest(path))
        return path
    folder = _folder(pin)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="incoming-") as incoming:
            arrived = pin.download(Path(incoming), progress)
            _verify(arrived, pin, found=sha256_of(arrived))
            path = folder / arrived.name
            arrived.replace(path)
    return path


def import_file(pin: Pin, path: Path) -> Path:
    """Put a copy of a file that the user has into the cache, in place of a download.

    Raises
    ------
    DownloadError
        If it cannot be read or is not the pinned file; it is left as it is.
    """
    try:
        found = sha256_of(path)
    except OSError as error:
        raise DownloadError(f"{path} cannot be read: {error.strerror or error}") from error
    if found != pin.sha256:
        raise DownloadError(
            f"{path} is not {pin.requirement}: expected sha256 {pin.sha256}, found {found}"
        )
    stored = stored_file(pin)
    if stored is not None and sha256_of(stored) == pin.sha256:
        return stored
    target = _folder(pin) / f"{pin.sha256[:32]}{pin.SUFFIX}"
    with atomic_path(target) as temporary:
        shutil.copyfile(path, temporary)
    for other in _folder(pin).glob(f"[!.]*{pin.SUFFIX}"):
        if not other.samefile(target) and not other.samefile(path):
            other.unlink(missing_ok=True)
    return target


def _verify(path: Path, pin: Pin, *, found: str) -> None:
    if found == pin.sha256:
        return
    path.unlink(missing_ok=True)
    raise DownloadError(
        f"{pin.requirement}: {path.name} is not the pinned file: expected sha256 {pin.sha256}, "
        f"found {found}. The file was removed.",
        hint="run the same command again to fetch it anew; if the sum differs again, the package "
        "index serves an altered file, which isodepth will not read.",
    )


def run_download(
    command: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    label: str,
    size_bytes: int,
    watched: Path,
    progress: Progress,
) -> tuple[int, str]:
    """Run a package manager in a folder and report the growth of another; return status and output.

    It is killed when the caller is interrupted.
    """
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed command over a pinned requirement
            list(command),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            cwd=folder,
        )
        try:
            while process.poll() is None:
                progress(label, min(bytes_below(watched), size_bytes), size_bytes, "bytes")
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return process.returncode, said


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files below a folder in which others create and remove files."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed between listing and looking
                total += (Path(parent) / name).stat().st_size
    return total


def last_errors(said: str, *, program: str) -> str:
    """Return the last lines that a program printed as errors, or its last lines, on one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E:"))]
    return " | ".join((errors or lines)[-3:]) or f"{program} said nothing"
