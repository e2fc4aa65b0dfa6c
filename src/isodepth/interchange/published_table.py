"""Are the rows of a published neighbor set what they should be? Batch by batch, every id checked.

A row is a text: ``text``, ``knn`` (layers, each a list of neighbor rows) and, where it is there,
``at_max_length``. Whatever is wrong is named by file, column, row, layer and place.

Memory: some 16 MB of ids at a time, whatever the file's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Integer

from isodepth.errors import ParameterError, TextsError, counted, first_line, listed

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.parquet

TEXT, KNN, AT_MAX_LENGTH = "text", "knn", "at_max_length"
BATCH_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """Some rows of a published file, checked.

    Parameters
    ----------
    texts : list of str
        The texts.
    knn : integer array (rows, layers, k)
        As the file has them: layer 0 is the embedding.
    at_max_length : list of bool
        Which texts were cut; empty where the file does not say it.
    """

    texts: list[str]
    knn: Integer[np.ndarray, "rows layers k"]
    at_max_length: list[bool]


class PublishedTable:
    """The rows of one published file, batch by batch, each checked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self.n_texts = 0
        self.n_file_layers = 0
        self.file_k = 0
        for path in self.paths:
            with _opened(path) as file:
                _refuse_other_columns(path, file.schema_arrow)
                self.n_texts += file.metadata.num_rows
        if self.n_texts < 2:
            raise ParameterError(f"{listed(self.paths)}: expected at least 2 texts; got {self.n_texts}")

    def batches(self) -> Iterator[tuple[int, Batch]]:
        """Yield the row that a batch begins at, and the batch."""
        start = 0
        for path in self.paths:
            place = 0  # in this file
            with _opened(path) as file:
                n_rows = int(file.metadata.num_rows)
                names = [name for name in (TEXT, KNN, AT_MAX_LENGTH) if name in file.schema_arrow.names]
                rows = _rows_at_once(file, path)
                stream = file.iter_batches(batch_size=rows, columns=names, use_threads=False)
                while (batch := _next_batch(stream, path)) is not None:
                    if place + batch.num_rows > n_rows:
                        break
                    yield start, self._checked(batch, _Place(path, place), start)
                    place += batch.num_rows
                    start += batch.num_rows
            if place != n_rows or batch is not None:
                raise ParameterError(
                    f"{path}: the file has other rows than the {n_rows:,} that it says",
                    hint="the file is damaged: fetch it again.",
                )

    def _checked(self, batch: "pyarrow.RecordBatch", place: "_Place", start: int) -> Batch:
        knn = self._ids(batch.column(KNN), place, start)
        cut = batch.column(AT_MAX_LENGTH) if AT_MAX_LENGTH in batch.schema.names else None
        if cut is not None and cut.null_count:
            place.refuse_nulls(cut, AT_MAX_LENGTH, ParameterError)
        texts = batch.column(TEXT)
        if texts.null_count:
            place.refuse_nulls(texts, TEXT, TextsError)
        return Batch(
            texts=place.decoded(texts), knn=knn, at_max_length=[] if cut is None else cut.to_pylist()
        )

    def _ids(self, column: "pyarrow.Array", place: "_Place", start: int) -> np.ndarray:
        import pyarrow.compute

        if column.null_count:
            place.refuse_nulls(column, KNN, ParameterError)
        n_layers = _lengths(column)
        if not self.n_file_layers:
            self.n_file_layers = int(n_layers[0])
            if self.n_file_layers < 2:
                raise ParameterError(
                    f"{place.path}: column {KNN!r} must hold layer 0, the embedding, and at least one "
                    f"more; row 1 holds {counted(self.n_file_layers, 'layer')}"
                )
        place.refuse_lengths(n_layers != self.n_file_layers, n_layers, self.n_file_layers)
        layers = column.flatten()
        n_rows = len(column)
        if layers.null_count:
            missing = np.asarray(pyarrow.compute.is_null(layers)).reshape(n_rows, -1)
            place.refuse(missing, "no list")
        held = _lengths(layers).reshape(n_rows, self.n_file_layers)
        if not self.file_k:
            self.file_k = int(held[0, 0])
            if not 1 <= self.file_k < self.n_texts:
                raise ParameterError(
                    f"{place.path}: each layer of column {KNN!r} must hold 1 to n - 1 = "
                    f"{self.n_texts - 1:,} neighbors for {self.n_texts:,} texts; row 1, layer 0 holds "
                    f"{self.file_k:,}"
                )
        if (held != self.file_k).any():
            place.refuse(
                held != self.file_k, f"another number of neighbors than the {self.file_k:,} of row 1"
            )
        values = layers.flatten()
        shape = (n_rows, self.n_file_layers, self.file_k)
        if values.null_count:
            missing = np.asarray(pyarrow.compute.is_null(values)).reshape(shape)
            place.refuse(missing, "no neighbor (null)")
        ids: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(shape)
        self._refuse_wrong_ids(ids, place, start)
        return ids

    def _refuse_wrong_ids(self, ids: np.ndarray, place: "_Place", start: int) -> None:
        if ids.min() < 0:
            overflow = ids.dtype == np.int16 and self.n_texts > 2**15
            place.refuse(
                ids < 0,
                "a negative neighbor",
                hint=f"int16 holds ids up to 32,767, and these are {self.n_texts:,} texts: the ids "
                "overflowed when the file was written; write it with int32."
                if overflow
                else None,
            )
        if ids.max() >= self.n_texts:
            place.refuse(
                ids >= self.n_texts,
                f"a neighbor outside 0 to {self.n_texts - 1:,}, the rows of {self.n_texts:,} texts",
            )
        rows = np.arange(start, start + len(ids))
        if rows[-1] <= np.iinfo(ids.dtype).max:  # else no id of this type is one of these rows
            rows = rows.astype(ids.dtype)  # int64 beside int16 takes five times as long
        own = ids == rows[:, np.newaxis, np.newaxis]
        if own.any():
            place.refuse(own, "the text itself as its neighbor")
        ordered = np.sort(ids, axis=2)
        repeats = ordered[:, :, 1:] == ordered[:, :, :-1]
        if repeats.any():
            place.refuse(repeats.any(axis=2), "a neighbor more than once")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a batch stands, for errors."""

    path: Path
    first_row: int

    def refuse(self, wrong: np.ndarray, what: str, *, hint: str | None = None) -> None:
        """Raise `ParameterError` naming where (rows, layers[, places]) is wrong."""
        where = [
            f"row {self.first_row + row + 1:,}, layer {layer}"
            + (f", place {rest[0] + 1:,}" if rest else "")
            for row, layer, *rest in np.argwhere(wrong)[:11].tolist()
        ]
        n_wrong = int(np.count_nonzero(wrong))
        more = f" and {n_wrong - 10:,} more" if n_wrong > 10 else ""
        raise ParameterError(
            f"{self.path}: column {KNN!r} holds {what} in {'; '.join(where[:10])}{more} (rows and "
            "places count from 1; layer 0 is the embedding)",
            hint=hint,
        )

    def refuse_lengths(self, wrong: np.ndarray, found: np.ndarray, expected: int) -> None:
        """Raise `ParameterError` naming rows with other numbers of layers."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            named = [f"{self.first_row + row + 1:,} ({found[row]:,})" for row in rows.tolist()]
            raise ParameterError(
                f"{self.path}: column {KNN!r} must hold as many layers in every row as in row 1, "
                f"{expected:,}; other numbers in row {listed(named)} (rows count from 1)"
            )

    def decoded(self, column: Any) -> list[str]:
        """Return texts; raise `TextsError` naming rows that are not UTF-8, which Parquet allows."""
        try:
            texts: list[str] = column.to_pylist()
            return texts
        except UnicodeDecodeError as error:
            import pyarrow

            wrong = []
            for row, data in enumerate(column.cast(pyarrow.large_binary()).to_pylist(), 1):
                try:
                    data.decode()
                except UnicodeDecodeError:
                    wrong.append(self.first_row + row)
            raise TextsError(
                f"{self.path}: column {TEXT!r} is not UTF-8 in row {listed(wrong)} (rows count from 1)"
            ) from error

    def refuse_nulls(self, column: Any, name: str, kind: type[ParameterError | TextsError]) -> None:
        """Raise an error naming the rows without a value."""
        rows = np.flatnonzero(np.asarray(column.is_null())) + self.first_row + 1
        raise kind(
            f"{self.path}: column {name!r} holds nothing (null) in row {listed(rows.tolist())} (rows "
            "count from 1)"
        )


def _opened(path: Path) -> "pyarrow.parquet.ParquetFile":
    import pyarrow
    import pyarrow.parquet

    try:
        # read as it is needed: a column of one row group is 120 MB and more
        return pyarrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ParameterError(f"{path}: not readable as Parquet: {first_line(error)}") from error


def _next_batch(stream: Iterator[Any], path: Path) -> "pyarrow.RecordBatch | None":
    import pyarrow

    try:
        return next(stream, None)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ParameterError(f"{path}: not readable as Parquet: {first_line(error)}") from error


def _refuse_other_columns(path: Path, schema: "pyarrow.Schema") -> None:
    import pyarrow
    from pyarrow import types

    missing = [name for name in (TEXT, KNN) if name not in schema.names]
    if missing:
        raise ParameterError(
            f"{path}: column {listed([repr(name) for name in missing])} is missing; it has "
            f"{listed(schema.names)}",
            hint="expected are text, knn and at_max_length; see docs/interchange.md.",
        )

    def is_list(found: Any) -> bool:
        return bool(
            types.is_list(found) or types.is_large_list(found) or types.is_fixed_size_list(found)
        )

    def refuse(name: str, expected: str) -> None:
        raise ParameterError(
            f"{path}: column {name!r} must hold {expected}; got {schema.field(name).type}"
        )

    text, knn = schema.field(TEXT).type, schema.field(KNN).type
    if not (types.is_string(text) or types.is_large_string(text)):
        refuse(TEXT, "strings")
    id_types = (pyarrow.int16(), pyarrow.int32(), pyarrow.int64())
    if not (is_list(knn) and is_list(knn.value_type)) or knn.value_type.value_type not in id_types:
        refuse(KNN, "lists (layers) of lists of int16, int32 or int64")
    if AT_MAX_LENGTH in schema.names and not types.is_boolean(schema.field(AT_MAX_LENGTH).type):
        refuse(AT_MAX_LENGTH, "booleans")


def _rows_at_once(file: "pyarrow.parquet.ParquetFile", path: Path) -> int:
    """Return how many rows have some 16 MB of ids, by the first one.

    The file's metadata say it too, but what pyarrow throws at damaged ones there ends the process.
    """
    first = _next_batch(file.iter_batches(batch_size=1, columns=[KNN], use_threads=False), path)
    return 1 if first is None else max(1, BATCH_BYTES // max(1, int(first.column(KNN).nbytes)))


def _lengths(lists: "pyarrow.Array") -> np.ndarray:
    import pyarrow.compute

    lengths: np.ndarray = np.asarray(pyarrow.compute.list_value_length(lists))
    return lengths
