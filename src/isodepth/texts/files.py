"""Texts from a user's own file: .txt (one text a line), .jsonl, .csv, .parquet.

Nothing is changed on the way: no trimming, no normalization. A byte-order mark is not text. Lines of
.txt end at a line feed (or carriage return and line feed); other Unicode line separators are text.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isodepth.errors import TextsError, UnknownNameError, listed, nearest_names

DEFAULT_COLUMN = "text"


def decoded(data: bytes, path: Path) -> str:
    """Return UTF-8 bytes as text without a byte-order mark; the error names line and byte."""
    body = data.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(body)
        line = data.count(b"\n", 0, place) + 1
        raise TextsError(
            f"{path}: not UTF-8 at line {line:,}, byte {place:,} of the file (0x{data[place]:02x}): "
            f"{error.reason}",
            hint="convert it first: iconv -f latin1 -t utf-8 FILE > NEW.",
        ) from error


def _lines(path: Path) -> list[str]:
    lines = decoded(path.read_bytes(), path).split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def read_txt(path: Path, column: str | None) -> list[str]:
    """Return the lines of a text file."""
    if column is not None:
        raise TextsError(f"{path}: a .txt file has no columns, so --column {column} does not apply")
    return _lines(path)


def read_jsonl(path: Path, column: str | None) -> list[str]:
    """Return one field of every line's JSON object; lines that are JSON strings are texts."""
    rows: list[Any] = []
    for number, line in enumerate(_lines(path), 1):
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise TextsError(f"{path}: line {number:,} is not JSON: {error}") from error
    if not rows:
        raise TextsError(f"{path}: the file is empty, expected a JSON object in every line")
    if column is None and all(isinstance(row, str) for row in rows):
        return rows
    not_objects = [number for number, row in enumerate(rows, 1) if not isinstance(row, dict)]
    if not_objects:
        raise TextsError(f"{path}: not a JSON object in line {listed(not_objects)}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen = _column(path, names, column)
    return _strings(path, [row.get(chosen) for row in rows], chosen)


def read_csv(path: Path, column: str | None) -> list[str]:
    """Return one column of a CSV file with a header row; quoted fields may hold line breaks."""
    text = decoded(path.read_bytes(), path)
    csv.field_size_limit(2**31 - 1)
    try:
        table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise TextsError(f"{path}: not readable as CSV: {error}") from error
    if not table:
        raise TextsError(f"{path}: the file is empty, expected a header row")
    header, rows = table[0], table[1:]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise TextsError(
            f"{path}: fields must be separated by commas; the header is {header[0]!r}",
            hint="save the table with commas, or as .jsonl or .parquet.",
        )
    at = header.index(_column(path, header, column))
    if len(header) == 1:
        rows = [row or [""] for row in rows]  # a blank line is an empty text, to be told of as such
    wrong = [number for number, row in enumerate(rows, 1) if row and len(row) != len(header)]
    if wrong:
        raise TextsError(
            f"{path}: expected {len(header)} fields ({listed(header)}); row {listed(wrong)} has fewer "
            "or more (rows count from 1, after the header)",
            hint='a text that holds commas or line breaks must stand in "quotation marks".',
        )
    return [row[at] if row else "" for row in rows]


def read_parquet(path: Path, column: str | None) -> list[str]:
    """Return one string column of a Parquet file."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            chosen = _column(path, names, column)
            values = file.read(columns=[chosen]).column(chosen).to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise TextsError(f"{path}: not readable as Parquet: {error}") from error
    return _strings(path, values, chosen)


def _column(path: Path, names: list[str], column: str | None) -> str:
    """Return the column to read: the named one, else "text", else the only one."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TextsError(f"{path}: several columns have the same name: {listed(twice)}")
    if column is not None:
        if column in names:
            return column
        near = nearest_names(column, names) or names
        raise TextsError(
            f"{path}: no column {column!r}; it has {listed(names) or 'none'}",
            hint=f"use --column {near[0]}" if near else None,
        )
    if DEFAULT_COLUMN in names:
        return DEFAULT_COLUMN
    if len(names) == 1:
        return names[0]
    raise TextsError(
        f"{path}: which column holds the texts? It has {listed(names) or 'none'}",
        hint="name it with --column NAME.",
    )


def _strings(path: Path, values: list[Any], column: str) -> list[str]:
    wrong = [row for row, value in enumerate(values, 1) if not isinstance(value, str)]
    if wrong:
        raise TextsError(f"{path}: column {column!r} holds no text in row {listed(wrong)}")
    return values


READERS: dict[str, Callable[[Path, str | None], list[str]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def read_texts_file(path: Path, column: str | None = None) -> list[str]:
    """Return the texts of a file, in its order.

    Parameters
    ----------
    path : Path
        A .txt, .jsonl, .csv or .parquet file.
    column : str, optional
        The field or column with the texts. "text", or the only one, where it is left out.

    Raises
    ------
    TextsError
        If the file cannot be read as its ending says; the message names line, row or column.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnknownNameError(
            f"{path}: unknown kind of text file {path.suffix!r}; isodepth reads {listed(list(READERS))}"
        )
    try:
        return reader(path, column)
    except OSError as error:
        raise TextsError(f"{path} cannot be read: {error.strerror or error}") from error
