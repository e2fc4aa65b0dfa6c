"""How does a long extraction go on where it was stopped, after a kill at any moment?

Its array has its final size on disk from the start and is filled text by text. A journal beside it
names the rows that are safely there, each with a checksum of its bytes: what the journal does not name,
or names with another sum, is computed again. At most the batch in flight is lost.

>>> array = store.begin("activations", key, shape=(12, 2048, 768), manifest={...})   # doctest: +SKIP
>>> array.write(rows, values, n_tokens=4096)                                         # doctest: +SKIP
>>> store.unfinished("activations", key).missing                                     # doctest: +SKIP

Memory: a flag per text; the array itself is on disk.
"""

import hashlib
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.atomic import atomic_folder, remove_folder, storage_errors, write_atomically
from isodepth.errors import listed
from isodepth.store.safetensors_files import ARRAYS, float32_header
from isodepth.store.sealing import MANIFEST, DamagedArtifactWarning, sealed, unsealed

RATE_SECONDS = 300.0
"""Over how much of a journal's end tokens per second are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayProgress:
    """How far an array under construction is, as its journal says.

    Parameters
    ----------
    n_done, n_texts : int
        Texts that the journal names, of how many. Their sums are not checked here.
    n_tokens : int
        Tokens that were read for them, as far as the writer told.
    tokens_per_second : float or None
        Over the journal's last five minutes; None where it does not tell.
    last_at : float or None
        When the last rows were written, in seconds since 1970 on the writer's clock; None without rows.
    """

    n_done: int
    n_texts: int
    n_tokens: int
    tokens_per_second: float | None
    last_at: float | None


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
        self._offset = len(float32_header(self.NAME, shape))
        self._done = np.zeros(shape[1], dtype=bool)

    @classmethod
    def create(
        cls, folder: Path, shape: tuple[int, ...], manifest: Mapping[str, Any]
    ) -> "ResumableArray":
        """Make the array in `folder`, which is emptied first."""
        header = float32_header(cls.NAME, shape)
        with storage_errors(folder):
            remove_folder(folder)
            with atomic_folder(folder) as temporary:
                with (temporary / ARRAYS).open("wb") as file:
                    file.write(header)
                    file.truncate(len(header) + 4 * int(np.prod(shape)))
                text = sealed({"shape": list(shape), "manifest": dict(manifest)})
                (temporary / MANIFEST).write_text(text, encoding="utf-8")
                (temporary / cls.JOURNAL).touch()
        return cls(folder, shape, dict(manifest))

    @classmethod
    def found(cls, folder: Path) -> "ResumableArray | None":
        """Return the array in `folder` with its finished rows, or None where none is usable.

        What is damaged is named in a `DamagedArtifactWarning`: the whole array, or some rows.
        """
        if not folder.is_dir():
            return None
        with storage_errors(folder):
            try:
                array = cls._opened(folder)
            except ValueError as error:
                _warn_of_damage(f"{error}. The array is computed again.")
                return None
            array._recover()
        return array

    @classmethod
    def _opened(cls, folder: Path) -> "ResumableArray":
        """Return the array in `folder` with no row marked; ValueError names a damaged file."""
        array = cls._described(folder)
        header = float32_header(cls.NAME, array.shape)
        path = folder / ARRAYS
        try:
            with path.open("rb") as file:
                whole = file.read(len(header)) == header
                size = file.seek(0, os.SEEK_END)
        except FileNotFoundError as error:
            raise ValueError(f"{path} is missing") from error
        expected = len(header) + 4 * int(np.prod(array.shape))
        if not whole or size != expected:
            what = f"has {size:,} bytes instead of {expected:,}" if whole else "has another header"
            raise ValueError(f"{path} {what}")
        return array

    @classmethod
    def _described(cls, folder: Path) -> "ResumableArray":
        path = folder / MANIFEST
        try:
            described = unsealed(path.read_text(encoding="utf-8"))
            return cls(folder, tuple(described["shape"]), described["manifest"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path} cannot be read ({error})") from error

    @classmethod
    def damages(cls, folder: Path) -> list[str]:
        """Return what is wrong with the array in `folder`, naming files and rows; nothing is changed.

        Another process may be writing it. A journal that ends within a line is none of it: it is so
        for a moment in every write.
        """
        try:
            array = cls._opened(folder)
        except ValueError as error:
            return [str(error)] if folder.is_dir() else []
        journal = _Journal.read(folder / cls.JOURNAL)
        return [*journal.problems, *array._problems_of_rows(journal, array._whole_rows(journal))]

    @classmethod
    def progress_of(cls, folder: Path) -> ArrayProgress | None:
        """Return how far the array in `folder` is, or None where none is; no row is checked."""
        try:
            n_texts = cls._described(folder).shape[1]
        except (OSError, ValueError):
            return None
        entries = _Journal.read(folder / cls.JOURNAL).entries
        rows = {row for entry in entries for row in entry["rows"] if _is_row(row, n_texts)}
        return ArrayProgress(
            n_done=len(rows),
            n_texts=n_texts,
            n_tokens=sum(entry["n_tokens"] for entry in entries),
            tokens_per_second=_rate([(entry["at"], entry["n_tokens"]) for entry in entries]),
            last_at=entries[-1]["at"] if entries else None,
        )

    @classmethod
    def manifest_of(cls, folder: Path) -> dict[str, Any] | None:
        """Return the manifest of the array in `folder`, or None where none can be read."""
        try:
            return cls._described(folder).manifest
        except (OSError, ValueError):
            return None

    @property
    def missing(self) -> np.ndarray:
        """The texts without values yet, ascending, int64."""
        return np.flatnonzero(~self._done)

    def values(self) -> np.ndarray:
        """Return the array as a read-only memory map of shape (layers, texts, units)."""
        return np.memmap(
            self.folder / ARRAYS, dtype="<f4", mode="r", offset=self._offset, shape=self.shape
        )

    def write(self, rows: np.ndarray, values: np.ndarray, *, n_tokens: int = 0) -> None:
        """Store the values of some texts, (layers, rows, units), and journal them.

        Parameters
        ----------
        rows : array
            Which texts they are.
        values : array
            Their values, in the order of `rows`.
        n_tokens : int
            How many tokens were read for them; the journal keeps it, so that others see the speed.
        """
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
            entry = {
                "rows": [int(row) for row in rows],
                "sums": [row_sum(values[:, position]) for position in range(len(rows))],
                "at": round(time.time(), 3),
                "n_tokens": int(n_tokens),
            }
            with (self.folder / self.JOURNAL).open("a", encoding="utf-8") as journal:
                journal.write(sealed(entry, indent=None) + "\n")
                journal.flush()
                os.fsync(journal.fileno())
        self._done[rows] = True

    def _recover(self) -> None:
        """Mark the rows whose journaled checksum their bytes still have; tell of the others."""
        path = self.folder / self.JOURNAL
        journal = _Journal.read(path)
        problems = list(journal.problems)
        if journal.is_cut:
            problems.append(f"{path} ends within a line, as after a crash")
        if problems:  # so that the next line is whole, and what is told here is told once
            write_atomically(path, journal.text.encode())
        whole = self._whole_rows(journal)
        problems += self._problems_of_rows(journal, whole)
        self._done[list(whole)] = True
        if problems:
            _warn_of_damage(f"{'; '.join(problems)}. What is not whole is computed again.")

    def _whole_rows(self, journal: "_Journal") -> set[int]:
        values = self.values()
        return {
            row
            for entry in journal.entries
            for row, expected in zip(entry["rows"], entry["sums"], strict=True)
            if _is_row(row, self.shape[1]) and row_sum(values[:, row]) == expected
        }

    def _problems_of_rows(self, journal: "_Journal", whole: set[int]) -> list[str]:
        named = {row for entry in journal.entries for row in entry["rows"]}
        damaged = sorted(row for row in named - whole if _is_row(row, self.shape[1]))
        if not damaged:
            return []
        texts = f"text{'s' * (len(damaged) > 1)} {listed(damaged)}"
        return [f"{self.folder / ARRAYS} has other bytes than its journal says for {texts}"]

    def discard(self) -> None:
        """Remove the array and its journal."""
        remove_folder(self.folder)


def row_sum(values: np.ndarray) -> str:
    """Return the checksum of one text's values, 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()[:16]


def _is_row(row: object, n_texts: int) -> bool:
    return isinstance(row, int) and 0 <= row < n_texts


def _warn_of_damage(what: str) -> None:
    warnings.warn(f"damaged file in the store: {what}", DamagedArtifactWarning, stacklevel=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Journal:
    """The lines of a journal that can be read, and what is wrong with the others."""

    entries: list[dict[str, Any]]
    problems: list[str]
    is_cut: bool

    @classmethod
    def read(cls, path: Path) -> "_Journal":
        try:
            *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return cls(entries=[], problems=[f"{path} is missing"], is_cut=False)
        entries, problems = [], []
        for number, line in enumerate(lines, start=1):
            try:
                entries.append(unsealed(line))
            except ValueError as error:
                problems.append(f"line {number:,} of {path} cannot be read ({error})")
        return cls(entries=entries, problems=problems, is_cut=bool(rest))

    @property
    def text(self) -> str:
        return "".join(sealed(entry, indent=None) + "\n" for entry in self.entries)


def _rate(written: list[tuple[float, int]]) -> float | None:
    """Return tokens per second over the end of a journal, or None where it does not tell."""
    if not written:
        return None
    last = written[-1][0]
    recent = [(at, tokens) for at, tokens in written if last - RATE_SECONDS <= at <= last]
    seconds = last - recent[0][0]
    # the first entry says when its rows were done, not when they were begun
    tokens = sum(tokens for _, tokens in recent[1:])
    return tokens / seconds if seconds > 0 and tokens > 0 else None


def _write_fully(descriptor: int, data: bytes, start: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, start)
        data, start = data[written:], start + written
