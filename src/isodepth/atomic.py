"""How files are written and removed: whole or not at all.

Everything is written under a temporary name beside its place, synced, and renamed. The operating
system's "no space" and "no permission" become errors that say what to do.
"""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from isodepth.errors import StoreError


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's "no space" and "no permission" into a `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(
                f"no space left on the disk that holds {path}. What was finished before is kept.",
                hint="free some space, or choose another disk with --store or ISODEPTH_STORE "
                "(results) and ISODEPTH_CACHE (downloads and models); then run the same command "
                "again: it goes on where it stopped.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"no permission to read or write {path}: {error.strerror}",
                hint="choose a folder that you can read and write, with --out, --store, ISODEPTH_STORE "
                "or ISODEPTH_CACHE.",
            ) from error
        if isinstance(error, (NotADirectoryError, FileExistsError, IsADirectoryError)):
            raise StoreError(
                f"a file stands where a folder is needed, or the reverse: {error.filename or path}",
                hint="choose another folder with --out, --store, ISODEPTH_STORE or ISODEPTH_CACHE.",
            ) from error
        raise


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it is synced and renamed to `path`.

    On any error the temporary file is removed and `path` is left as it was.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
        )
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            _sync_file(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync_file(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder; on success its files are synced and it is renamed to `folder`.

    Where `folder` has come into being meanwhile, that one stays: what is written here is named by
    its content, so both are the same.
    """
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            for file in temporary.iterdir():
                file.chmod(0o666 & ~_umask())
                _sync_file(file)
            _sync_file(temporary)
            try:
                temporary.rename(folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
            _sync_file(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder so that no part of it is ever seen; nothing happens where there is none."""
    if not folder.is_dir():
        return
    with storage_errors(folder):
        hidden = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        with contextlib.suppress(FileNotFoundError):  # another process was first
            folder.rename(hidden / "removed")
        shutil.rmtree(hidden, ignore_errors=True)


def refuse_unwritable(folder: Path) -> None:
    """Raise `StoreError` unless a folder can be made or written; makes nothing itself."""
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    with storage_errors(folder):
        if not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))
