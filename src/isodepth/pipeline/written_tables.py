"""A table, written for programs and for people: Parquet and CSV.

Memory: the table.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from isodepth.atomic import atomic_path

if TYPE_CHECKING:
    import pyarrow


def write_table(folder: Path, name: str, rows: "pyarrow.Table") -> Iterator[Path]:
    """Write a table as Parquet and as CSV, each whole or not at all; yield their paths.

    Raises
    ------
    StoreError
        If the folder cannot be written.
    """
    import pyarrow.csv
    import pyarrow.parquet

    for ending, write in (
        ("parquet", pyarrow.parquet.write_table),
        ("csv", pyarrow.csv.write_csv),
    ):
        path = folder / f"{name}.{ending}"
        with atomic_path(path) as temporary:
            write(rows, temporary)
        yield path
