"""How do results leave as a table? One row a layer pair, every text set and kind below the other.

Columns: texts, left, right, left_layer, right_layer, k, measure, metric, preprocessing, capture,
pooling, n_texts, similarity. Layers count from 1. k is null (in CSV empty) where the measure takes
none, metric where it reads no neighbors or the metric is not known. Numbers are written so that they
read back as the same float64. `similarity_tables` reads such tables again.

>>> write_csv(load_results("results/small"), Path("small.csv"))                   # doctest: +SKIP

Memory: the table of one text set and kind.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isodepth.atomic import atomic_path
from isodepth.results import StudyResults

if TYPE_CHECKING:
    import pyarrow

COLUMNS: dict[str, str] = {
    **dict.fromkeys(("texts", "left", "right"), "string"),
    **dict.fromkeys(("left_layer", "right_layer", "k"), "int32"),
    **dict.fromkeys(("measure", "metric", "preprocessing", "capture", "pooling"), "string"),
    "n_texts": "int32",
    "similarity": "float64",
}


def write_csv(results: StudyResults, path: Path, *, texts: Sequence[str] = ()) -> Path:
    """Write results as a CSV table (RFC 4180, UTF-8, header row); return its path.

    Parameters
    ----------
    results : StudyResults
        From `run_study` or `load_results`.
    path : Path
        The file; written whole or not at all.
    texts : sequence of str
        Only these text sets.

    Raises
    ------
    UnknownNameError
        If there is no such text set.
    """
    import pyarrow.csv

    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(",".join(COLUMNS).encode() + b"\n")  # pyarrow would quote every name
        with pyarrow.csv.CSVWriter(file, _schema(), write_options=options) as writer:
            for table in _tables(results, texts):
                writer.write_table(table)
    return path


def write_parquet(results: StudyResults, path: Path, *, texts: Sequence[str] = ()) -> Path:
    """Write results as a Parquet table; parameters and errors are those of `write_csv`."""
    import pyarrow.parquet

    with (
        atomic_path(path) as temporary,
        pyarrow.parquet.ParquetWriter(temporary, _schema()) as writer,
    ):
        for table in _tables(results, texts):
            writer.write_table(table)
    return path


def chosen_sets(results: StudyResults, texts: Sequence[str]) -> tuple[str, ...]:
    """Return these text sets' names, all where none is named; raise `UnknownNameError` at others."""
    return tuple(results[name].name for name in dict.fromkeys(texts)) or results.set_names


def _schema() -> "pyarrow.Schema":
    import pyarrow

    return pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])


def _tables(results: StudyResults, texts: Sequence[str]) -> Iterator["pyarrow.Table"]:
    import pyarrow

    schema = _schema()
    for name in chosen_sets(results, texts):
        for kind, matrices in results[name].matrices.items():
            table = matrices.to_table()
            same: dict[str, Any] = {
                "texts": name,
                "capture": kind.capture,
                "pooling": kind.pooling,
                "n_texts": matrices.n_texts,
            }
            columns = {
                field.name: pyarrow.repeat(pyarrow.scalar(same[field.name], field.type), len(table))
                if field.name in same
                else table.column(field.name).cast(field.type)
                for field in schema
            }
            yield pyarrow.table(columns, schema=schema)
