"""Where results are kept: content-keyed, write-once artifacts, each with a JSON manifest.

An artifact is a folder ``<root>/<stage>/<key>/`` with data files (safetensors for arrays) and a
``manifest.json`` that holds the key's parts, the provenance, and the sha256 of every data file. The
key is a hash of everything that fixes the values, so a name is never wrong for its content. Folders
are written under a temporary name, synced and renamed: an artifact is whole or absent. Every read
checks the sums; a damaged artifact is named, set aside and computed again.

`ResumableArray` is the exception that makes long extractions restartable: a safetensors file of the
final shape that is filled row by row, with a journal of the rows that are safely on disk.

>>> store = Store(Path("/tmp/store"))                                                # doctest: +SKIP
>>> store.write("neighbors", key, arrays={"ids": ids}, manifest={...})               # doctest: +SKIP

Memory: arrays are read as memory maps; a `ResumableArray` holds nothing but a flag per text.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import platformdirs

from isodepth.atomic import atomic_folder, storage_errors
from isodepth.errors import IsodepthWarning, ParameterError, listed

MANIFEST = "manifest.json"
ARRAYS = "arrays.safetensors"
SAFETENSORS_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}


class DamagedArtifactWarning(IsodepthWarning):
    """A stored file was not what its manifest says; it was set aside and is computed again."""


def content_key(parts: Mapping[str, Any]) -> str:
    """Return the key of a mapping of JSON values: 32 hexadecimal digits of its sha256."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def default_store() -> Path:
    """Return ``$ISODEPTH_STORE`` where that is set, else the platform's data folder."""
    chosen = os.environ.get("ISODEPTH_STORE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("isodepth")) / "store"


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
    """

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = default_store() if root is None else Path(root).expanduser()

    def __repr__(self) -> str:
        return f"Store({str(self.root)!r})"

    def folder(self, stage: str, key: str) -> Path:
        """Return where an artifact is, or would be."""
        return self.root / stage / key

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
    ) -> Path:
        """Store arrays and their manifest; return the artifact's folder.

        Raises
        ------
        ParameterError
            If an array's type is none of float32, float64, int32, int64 and bool.
        """
        from safetensors.numpy import save

        storable = SAFETENSORS_TYPES.values()
        for name, array in arrays.items():
            if array.dtype.newbyteorder("=") not in storable:
                raise ParameterError(
                    f"array {name!r} of {stage} cannot be stored: expected "
                    f"{listed([dtype.name for dtype in storable])}; got {array.dtype}"
                )
        folder = self.folder(stage, key)
        with atomic_folder(folder) as temporary:
            data = save({name: np.require(array, requirements="C") for name, array in arrays.items()})
            (temporary / ARRAYS).write_bytes(data)
            _write_manifest(temporary, manifest)
        return folder

    def read(self, stage: str, key: str) -> Artifact | None:
        """Return a stored artifact with its arrays as read-only memory maps, or None without one.

        A damaged one is named in a `DamagedArtifactWarning`, set aside under
        ``<root>/damaged/``, and counts as absent.
        """
        folder = self.folder(stage, key)
        with storage_errors(folder):
            manifest = self._verified_manifest(stage, key)
            if manifest is None:
                return None
            arrays = _mapped_arrays(folder / ARRAYS)
        return Artifact(arrays=arrays, manifest=manifest, path=folder)

    def _verified_manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        folder = self.folder(stage, key)
        if not folder.is_dir():
            return None
        problem = _damage(folder)
        if problem is None:
            return _unsealed((folder / MANIFEST).read_text(encoding="utf-8"))
        aside = self.root / "damaged"
        aside.mkdir(parents=True, exist_ok=True)
        target = Path(tempfile.mkdtemp(dir=aside, prefix=f"{stage}-{key}-"))
        try:
            folder.rename(target / "artifact")
        except FileNotFoundError:  # another process was first to set it aside
            target.rmdir()
            return None
        warnings.warn(
            f"damaged file in the store: {problem}. It was moved to {target} and is computed again.",
            DamagedArtifactWarning,
            stacklevel=3,
        )
        return None

    @contextlib.contextmanager
    def lock(self, stage: str, key: str, *, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the only right to compute one artifact; another process waits here.

        Parameters
        ----------
        waiting : callable
            Called once if another process holds the lock.
        """
        folder = self.root / "locks"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / f"{stage}-{key}.lock")
        with storage_errors(folder):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:
                waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def begin(
        self, stage: str, key: str, *, shape: Sequence[int], manifest: Mapping[str, Any]
    ) -> "ResumableArray":
        """Return a new, empty array under construction for an artifact, replacing an older one."""
        return ResumableArray.create(self._unfinished(stage, key), tuple(shape), manifest)

    def unfinished(self, stage: str, key: str) -> "ResumableArray | None":
        """Return the array under construction for an artifact, or None where there is none."""
        return ResumableArray.found(self._unfinished(stage, key))

    def _unfinished(self, stage: str, key: str) -> Path:
        return self.root / "unfinished" / f"{stage}-{key}"

    def adopt(self, stage: str, key: str, array: "ResumableArray") -> Path:
        """Make a completed `ResumableArray` an artifact of the store; return its folder.

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
        with atomic_folder(folder) as temporary:
            _link_or_copy(array.folder / ARRAYS, temporary / ARRAYS)
            _write_manifest(temporary, array.manifest)
        array.discard()
        return folder


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sealed(content: Mapping[str, Any]) -> str:
    """Return JSON text with a checksum of its own content."""
    content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read
    return json.dumps({**content, "seal": content_key(content)}, indent=1, allow_nan=False)


def _unsealed(text: str) -> dict[str, Any]:
    """Return the content of sealed JSON text; raise ValueError where it was changed."""
    content: dict[str, Any] = json.loads(text)
    if not isinstance(content, dict) or "seal" not in content:
        raise ValueError("it has no seal")
    seal = content.pop("seal")
    if seal != content_key(content):
        raise ValueError("its content does not fit its seal")
    return content


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    files = {
        path.name: {"sha256": _digest(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(_sealed({**manifest, "files": files}), encoding="utf-8")


def _damage(folder: Path) -> str | None:
    """Return what is wrong with an artifact, naming the file, or None."""
    manifest_path = folder / MANIFEST
    try:
        files = _unsealed(manifest_path.read_text(encoding="utf-8"))["files"]
        expected = {name: entry["sha256"] for name, entry in files.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{manifest_path} cannot be read ({error})"
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        found = _digest(path)
        if found != digest:
            return f"{path} has sha256 {found}, its manifest says {digest}"
    return None


def _mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file as read-only memory maps."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        dtype, shape = SAFETENSORS_TYPES[entry["dtype"]], tuple(entry["shape"])
        offset = 8 + length + entry["data_offsets"][0]
        if 0 in shape:  # nothing to map
            arrays[name] = np.empty(shape, dtype)
        else:
            arrays[name] = np.memmap(path, dtype, mode="r", offset=offset, shape=shape or (1,))
            arrays[name] = arrays[name].reshape(shape)
    return arrays


class ResumableArray:
    """A float32 array (layers, texts, units) on disk that is filled text by text and can go on.

    The data file is a complete safetensors file from the start, so finishing costs a rename. A row
    counts as done when the journal names it with the checksum of its bytes; data is synced before
    the journal is.
    Use `Store.begin` and `Store.unfinished` to make and to find one.
    """

    JOURNAL = "journal.jsonl"
    NAME = "values"

    def __init__(self, folder: Path, shape: tuple[int, ...], manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.shape = shape
        self.manifest = manifest
        self._offset = len(_safetensors_header(self.NAME, shape))
        self._done = np.zeros(shape[1], dtype=bool)

    @classmethod
    def create(
        cls, folder: Path, shape: tuple[int, ...], manifest: Mapping[str, Any]
    ) -> "ResumableArray":
        """Make the array in `folder`, which is emptied first."""
        header = _safetensors_header(cls.NAME, shape)
        with storage_errors(folder):
            shutil.rmtree(folder, ignore_errors=True)
            with atomic_folder(folder) as temporary:
                with (temporary / ARRAYS).open("wb") as file:
                    file.write(header)
                    file.truncate(len(header) + 4 * int(np.prod(shape)))
                text = _sealed({"shape": list(shape), "manifest": dict(manifest)})
                (temporary / MANIFEST).write_text(text, encoding="utf-8")
        return cls(folder, shape, dict(manifest))

    @classmethod
    def found(cls, folder: Path) -> "ResumableArray | None":
        """Return the array in `folder` with its finished rows, or None where none is usable."""
        try:
            described = _unsealed((folder / MANIFEST).read_text(encoding="utf-8"))
            array = cls(folder, tuple(described["shape"]), described["manifest"])
            header = _safetensors_header(cls.NAME, array.shape)
            with (folder / ARRAYS).open("rb") as file:
                whole = file.read(len(header)) == header
                size = file.seek(0, os.SEEK_END)
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            return None  # absent, or damaged: it is begun anew
        if not whole or size != len(header) + 4 * int(np.prod(array.shape)):
            return None
        array._recover()
        return array

    @property
    def missing(self) -> np.ndarray:
        """The texts without values yet, ascending, int64."""
        return np.flatnonzero(~self._done)

    def values(self) -> np.ndarray:
        """Return the array as a read-only memory map of shape (layers, texts, units)."""
        return np.memmap(
            self.folder / ARRAYS, dtype="<f4", mode="r", offset=self._offset, shape=self.shape
        )

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Store the values of some texts, (layers, rows, units), and journal them."""
        _, n_texts, n_units = self.shape
        row_bytes = 4 * n_units
        values = np.ascontiguousarray(values, dtype="<f4")
        with storage_errors(self.folder):
            descriptor = os.open(self.folder / ARRAYS, os.O_RDWR)
            try:
                for layer in range(self.shape[0]):
                    for position, row in enumerate(rows):
                        start = self._offset + row_bytes * (layer * n_texts + int(row))
                        _write_fully(descriptor, values[layer, position].tobytes(), start)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sums = [_row_sum(values[:, position]) for position in range(len(rows))]
            line = json.dumps({"rows": [int(row) for row in rows], "sums": sums}) + "\n"
            with (self.folder / self.JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(line)
                journal.flush()
                os.fsync(journal.fileno())
        self._done[rows] = True

    def _recover(self) -> None:
        """Mark the rows whose journaled checksum their bytes still have."""
        journal = self.folder / self.JOURNAL
        if not journal.is_file():
            return
        text = journal.read_text(encoding="utf-8", errors="replace")
        if not text.endswith("\n"):
            with journal.open("a", encoding="utf-8") as file:  # so that the next line is whole
                file.write("\n")
        values = self.values()
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                pairs = list(zip(entry["rows"], entry["sums"], strict=True))
            except (ValueError, KeyError, TypeError):
                continue  # a line cut short by a crash: its rows are computed again
            for row, expected in pairs:
                known = isinstance(row, int) and 0 <= row < self.shape[1]
                if known and _row_sum(values[:, row]) == expected:
                    self._done[row] = True

    def discard(self) -> None:
        """Remove the array and its journal."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _row_sum(values: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def _write_fully(descriptor: int, data: bytes, start: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, start)
        data, start = data[written:], start + written


def _safetensors_header(name: str, shape: tuple[int, ...]) -> bytes:
    """Return the header of a safetensors file with one float32 array, padded to 8 bytes."""
    size = 4 * int(np.prod(shape))
    entry = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    text = json.dumps(entry, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
