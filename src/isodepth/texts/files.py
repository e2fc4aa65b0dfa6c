"""Texts of a user's own: a .txt, .jsonl, .csv or .parquet file, a folder, standard input.

Nothing is changed on the way: no trimming, no normalization. A byte-order mark is not text. Lines of
.txt end at a line feed (or carriage return and line feed); other Unicode line separators are text. In a
folder, each .txt file is one text; the line end that closes a file is not part of it, because it would
make the last tokens of all texts the same; line breaks inside stay.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from isodepth.errors import TextsError, UnknownNameError, listed, nearest_names

DEFAULT_COLUMN = "text"
LOOKED_AT_BYTES = 4_096
WIDE_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # begins like that of UTF-16, so it is looked for first
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def decoded(data: bytes, path: Path | str) -> str:
    """Return UTF-8 bytes as text without a byte-order mark; the error names line and byte."""
    for mark, wide in WIDE_MARKS.items():
        if data.startswith(mark):
            raise TextsError(
                f"{path}: not UTF-8 at line 1, byte 0 of the file: it begins with the mark of {wide}",
                hint=f"convert it first: iconv -f {wide} -t utf-8 OLD > NEW.",
            )
    body = data.removeprefix(codecs.BOM_UTF8)
    unmarked = _utf_16_without_mark(body)
    if unmarked is not None:
        raise TextsError(
            f"{path}: not UTF-8 at line 1, byte 0 of the file: every other byte is 0, as in UTF-16",
            hint=f"convert it first: iconv -f {unmarked} -t utf-8 OLD > NEW.",
        )
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        place = error.start + len(data) - len(body)
        line = data.count(b"\n", 0, place) + 1
        raise TextsError(
            f"{path}: not UTF-8 at line {line:,}, byte {place:,} of the file (0x{data[place]:02x}): "
            f"{error.reason}",
            hint="convert it first, if it is Latin-1: iconv -f latin1 -t utf-8 OLD > NEW.",
        ) from error


def _utf_16_without_mark(data: bytes) -> str | None:
    """Return which UTF-16 bytes look like: every other one 0 and those between not; else None."""
    start = data[:LOOKED_AT_BYTES]
    even, odd = start[::2], start[1::2]
    n_even, n_odd = even.count(0), odd.count(0)
    if len(odd) < 2 or max(n_even, n_odd) <= 0.9 * len(odd) or min(n_even, n_odd) >= 0.1 * len(odd):
        return None
    return "UTF-16LE" if n_odd > n_even else "UTF-16BE"


def _lines(data: bytes, path: Path | str) -> list[str]:
    *lines, rest = decoded(data, path).split("\n")
    return [*(line.removesuffix("\r") for line in lines), *([rest] if rest else [])]


def read_txt(path: Path, column: str | None) -> list[str]:
    """Return the lines of a text file."""
    if column is not None:
        raise TextsError(f"{path}: a .txt file has no columns, so column {column!r} does not apply")
    return _lines(path.read_bytes(), path)


def read_jsonl(path: Path, column: str | None) -> list[str]:
    """Return one field of every line's JSON object; lines that are JSON strings are texts."""
    return _json_texts(path.read_bytes(), path, column)


def _json_texts(data: bytes, path: Path | str, column: str | None) -> list[str]:
    rows: list[Any] = []
    for number, line in enumerate(_lines(data, path), 1):
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
    chosen = column_of(path, _field_names(rows), column)
    return _strings(path, [_field(row, chosen) for row in rows], chosen)


def _field_names(rows: list[dict[str, Any]]) -> list[str]:
    """Return the fields of JSON objects, then those of objects inside them as "outer.inner"."""
    names = dict.fromkeys(name for row in rows for name in row)
    nested = dict.fromkeys(
        f"{name}.{inner}"
        for row in rows
        for name, value in row.items()
        if isinstance(value, dict)
        for inner in value
    )
    return list(names | nested)


def _field(row: dict[str, Any], name: str) -> Any:
    if name in row:
        return row[name]
    inner = (
        value.get(name.removeprefix(f"{outer}."))
        for outer, value in row.items()
        if isinstance(value, dict) and name.startswith(f"{outer}.")
    )
    return next((value for value in inner if value is not None), None)


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
    at = header.index(column_of(path, header, column))
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
            chosen = column_of(path, names, column)
            values = file.read(columns=[chosen]).column(chosen).to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise TextsError(f"{path}: not readable as Parquet: {error}") from error
    return _strings(path, values, chosen)


def column_of(where: Path | str, names: list[str], column: str | None) -> str:
    """Return the column to read: the named one, else "text", else the only one.

    Raises
    ------
    TextsError
        If there is no such column, or nothing says which; the columns are listed.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TextsError(f"{where}: several columns have the same name: {listed(twice)}")
    if column is not None:
        if column in names:
            return column
        near = nearest_names(column, names) or names
        raise TextsError(
            f"{where}: no column {column!r}; it has {listed(names) or 'none'}",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
    if DEFAULT_COLUMN in names:
        return DEFAULT_COLUMN
    if len(names) == 1:
        return names[0]
    raise TextsError(
        f"{where}: which column holds the texts? It has {listed(names) or 'none'}",
        hint="say which with column (--column NAME on the command line).",
    )


def _strings(path: Path | str, values: list[Any], column: str) -> list[str]:
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


def read_folder(folder: Path) -> list[str]:
    """Return the texts of the .txt files of a folder and its sub-folders, one a file, by path.

    Hidden files and folders, whose names begin with a dot, are left out.

    Raises
    ------
    TextsError
        If there are none, or one cannot be read or is not UTF-8.
    """
    try:
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() == ".txt"
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file()
        )
        texts = [decoded(path.read_bytes(), path) for path in files]
    except OSError as error:
        raise TextsError(
            f"{error.filename or folder} cannot be read: {error.strerror or error}"
        ) from error
    if not texts:
        raise TextsError(
            f"{folder}: there are no .txt files in this folder",
            hint="a folder holds one text in each .txt file; name any other file itself.",
        )
    return [text[:-1].removesuffix("\r") if text.endswith("\n") else text for text in texts]


def read_standard_input(stream: IO[bytes], column: str | None) -> list[str]:
    """Return the texts on standard input: one a line, or, where a column is named, JSON lines."""
    data = stream.read()
    where = "standard input"
    return _lines(data, where) if column is None else _json_texts(data, where, column)
