"""A table, written for programs and for people: Parquet and CSV.

Memory: the table; of one that comes in parts, a part, and all of it where a CSV is written.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isodepth.atomic import atomic_path

if TYPE_CHECKING:
    import pyarrow

MOST_CSV_ROWS = 100_000
"""Longer tables that come in parts are for programs alone."""


def write_table(folder: Path, name: str, rows: "pyarrow.Table") -> Iterator[Path]:
    """Write a table as Parquet and as CSV, each whole or not at all; yield their paths.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    yield from write_parts(folder, name, [rows], most_csv_rows=len(rows))


def write_parts(
    folder: Path,
    name: str,
    parts: "Iterable[pyarrow.Table]",
    *,
    most_csv_rows: int = MOST_CSV_ROWS,
) -> Iterator[Path]:
    """Write a table that comes in parts, at least one, as Parquet, and as CSV if it is no longer.

    Yield the paths of what was written. A CSV of a longer table is removed if one is there: it would be
    another table's.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    short: list[pyarrow.Table] = []
    n_rows = 0
    path = folder / f"{name}.parquet"
    with atomic_path(path) as temporary:
        writer = None
        try:
            for part in parts:
                if writer is None:
                    writer = pyarrow.parquet.ParquetWriter(temporary, part.schema)
                writer.write_table(part)
                n_rows += len(part)
                short = [*short, part] if n_rows <= most_csv_rows else []
        finally:
            if writer is not None:
                writer.close()
    yield path
    path = folder / f"{name}.csv"
    if n_rows > most_csv_rows:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        pyarrow.csv.write_csv(pyarrow.concat_tables(short), temporary)
    yield path
