"""What does a tidy table of similarities say? One row a layer pair, made matrices again.

Columns: left, right (labels), left_layer, right_layer (from 1), similarity; and, each where it is not
the same in the whole table and said otherwise, texts, k, measure, capture, pooling and n_texts; metric
and preprocessing where they are known. A cell of k is empty where the measure takes none; older tables
have 0 there. Rows come in any order. Every layer of every left reader must meet every layer of every
right one. Where the readers on both sides are the same, one of (a, b) and (b, a) is enough, unless the
measure tells left from right.

>>> read_similarity_table(Path("results.csv"))                                    # doctest: +SKIP

Memory: the table's columns, and 8 bytes a layer pair.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import measure_here
from isodepth.errors import ParameterError, UnknownNameError, first_line, listed
from isodepth.interchange.matrices import FoundMatrices, file_source
from isodepth.results import MatrixKind

if TYPE_CHECKING:
    import pyarrow

LABELS, LAYERS, SIMILARITY = ("left", "right"), ("left_layer", "right_layer"), "similarity"
KIND_COLUMNS = ("texts", "k", "measure", "metric", "preprocessing", "capture", "pooling", "n_texts")
MAY_BE_EMPTY = {"k": 0, "metric": ""}
"""Columns with empty cells, and what these count as."""
DEFAULTS: dict[str, Any] = {"measure": "mutual_knn", "capture": "block", "pooling": "last"}
DEFAULTS |= {"metric": "", "preprocessing": "none"}
TYPES = {
    **dict.fromkeys((*LABELS, "texts", "measure", "capture", "pooling"), "string"),
    **dict.fromkeys(("metric", "preprocessing"), "string"),
    **dict.fromkeys((*LAYERS, "k", "n_texts"), "int64"),
    SIMILARITY: "float64",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Rows:
    """Rows of one kind of matrix; labels as numbers into `names`."""

    names: tuple[str, ...]
    left: np.ndarray
    right: np.ndarray
    left_layer: np.ndarray
    right_layer: np.ndarray
    similarity: np.ndarray


def read_similarity_table(path: Path, **said: str | int | None) -> tuple[FoundMatrices, ...]:
    """Return the matrices that a .csv or .parquet table holds, one for each kind.

    Parameters
    ----------
    path : Path
        The table.
    said : str, int or None
        texts, k, measure, capture, pooling or n_texts, of a table that has no such column.

    Raises
    ------
    UnknownNameError
        If there is no such file.
    ParameterError
        If columns are missing or of another type, values are out of range, or layer pairs are missing
        or there more than once.
    """
    table = _table(path)
    for name, value in said.items():
        if value is not None and name in table.column_names:
            raise ParameterError(f"{path}: the table has a column {name!r}; it cannot be {value!r} too")
    found = []
    for kind, rows in _kinds(path, table):
        told = {**DEFAULTS, **{key: value for key, value in said.items() if value is not None}, **kind}
        measure = measure_here(str(told["measure"]))
        takes_k = measure is not None and measure.takes_k
        if measure is not None and not takes_k:
            told.setdefault("k", 0)
        if "k" not in told or "n_texts" not in told:
            missing = [name for name in ("k", "n_texts") if name not in told]
            raise ParameterError(
                f"{path}: the table has no column {listed(missing)}",
                hint="say it with -k and --n-texts.",
            )
        texts = str(told.get("texts", path.stem))
        k, n_texts = int(told["k"]), int(told["n_texts"])
        least = 1 if takes_k else 0
        if not least <= k < n_texts:
            raise ParameterError(
                f"{path}: expected {least} <= k < n_texts; got k = {k:,}, n_texts = {n_texts:,}"
            )
        matrices = replace(
            _matrices(path, rows, texts=texts, k=k, n_texts=n_texts, measure=str(told["measure"])),
            metric=str(told["metric"]) or None,
            preprocessing=str(told["preprocessing"]),
        )
        found.append(
            FoundMatrices(
                texts=texts,
                kind=MatrixKind(str(told["measure"]), k, str(told["capture"]), str(told["pooling"])),
                matrices=matrices,
                source=file_source(path, f"table, {path.suffix.removeprefix('.')}"),
            )
        )
    return tuple(_on_the_same_texts(one, found) for one in found)


def _on_the_same_texts(one: FoundMatrices, found: Sequence[FoundMatrices]) -> FoundMatrices:
    """Return matrices that say whether left and right read the same texts, as far as others tell it.

    Values of a measure that tells left from right do not tell it.
    """
    if not _is_directed(one.matrices.measure):
        return one
    told = [
        other.matrices.is_symmetric
        for other in found
        if other.texts == one.texts
        and (other.matrices.left, other.matrices.right) == (one.matrices.left, one.matrices.right)
        and not _is_directed(other.matrices.measure)
    ]
    return replace(one, matrices=replace(one.matrices, is_symmetric=told[0])) if told else one


def _is_directed(measure: str) -> bool:
    found = measure_here(measure)
    return found is not None and not found.is_symmetric


def _table(path: Path) -> "pyarrow.Table":
    """Return the columns that are known, of the types that they must have."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}")
    types = {name: pyarrow.type_for_alias(alias) for name, alias in TYPES.items()}
    try:
        if path.suffix == ".csv":
            convert = pyarrow.csv.ConvertOptions(
                column_types=types, strings_can_be_null=False, null_values=[""]
            )
            table = pyarrow.csv.read_csv(path, convert_options=convert)
        else:
            table = pyarrow.parquet.read_table(path)
        missing = [name for name in (*LABELS, *LAYERS, SIMILARITY) if name not in table.column_names]
        if missing:
            raise ParameterError(
                f"{path}: column {listed(missing)} is missing; it has {listed(table.column_names)}",
                hint="expected are left, right, left_layer, right_layer, similarity; see "
                "docs/interchange.md.",
            )
        known = [name for name in TYPES if name in table.column_names]
        table = table.select(known)
        table = table.cast(pyarrow.schema([(name, types[name]) for name in known]))
        for name in known:
            if name in MAY_BE_EMPTY:
                filled = table.column(name).fill_null(MAY_BE_EMPTY[name])
                table = table.set_column(table.column_names.index(name), name, filled)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path}: not readable as a table: {first_line(error)}") from error
    if not len(table):
        raise ParameterError(f"{path}: the table has no rows")
    empty = [name for name in known if table.column(name).null_count]
    if empty:
        raise ParameterError(f"{path}: empty cells in column {listed(empty)}")
    return table.combine_chunks()


def _kinds(path: Path, table: "pyarrow.Table") -> Iterator[tuple[dict[str, Any], _Rows]]:
    """Yield what is the same in some rows, and these rows; in the order of their first rows."""
    columns = [name for name in KIND_COLUMNS if name in table.column_names]
    encoded = {name: table.column(name).combine_chunks().dictionary_encode() for name in columns}
    group = np.zeros(len(table), dtype=np.int64)
    for values in encoded.values():
        group = group * len(values.dictionary) + np.asarray(values.indices)
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    labels = [table.column(name).combine_chunks().dictionary_encode() for name in LABELS]
    names = tuple(dict.fromkeys([*labels[0].dictionary.to_pylist(), *labels[1].dictionary.to_pylist()]))
    number = {name: place for place, name in enumerate(names)}
    left, right = (
        np.array([number[name] for name in side.dictionary.to_pylist()])[np.asarray(side.indices)]
        for side in labels
    )
    layers = {name: np.asarray(table.column(name)) for name in LAYERS}
    similarity = np.asarray(table.column(SIMILARITY))
    _refuse_out_of_range(path, layers, similarity)
    for place in np.argsort(first):
        rows = np.flatnonzero(group == place)
        kind = {name: values[int(first[place])].as_py() for name, values in encoded.items()}
        yield (
            kind,
            _Rows(
                names=names,
                left=left[rows],
                right=right[rows],
                similarity=similarity[rows],
                **{name: values[rows] for name, values in layers.items()},
            ),
        )


def _refuse_out_of_range(path: Path, layers: Mapping[str, np.ndarray], similarity: np.ndarray) -> None:
    for name, values in layers.items():
        wrong = np.flatnonzero((values < 1) | (values > 100_000))
        if len(wrong):
            raise ParameterError(
                f"{path}: column {name!r} must count layers from 1; got {values[wrong[0]]:,} in row "
                f"{listed((wrong + 1).tolist())} (rows count from 1)"
            )
    wrong = np.flatnonzero(~np.isfinite(similarity))
    if len(wrong):
        raise ParameterError(
            f"{path}: column {SIMILARITY!r} must hold numbers; got {similarity[wrong[0]]} in row "
            f"{listed((wrong + 1).tolist())} (rows count from 1)"
        )


def _matrices(
    path: Path, rows: _Rows, *, texts: str, k: int, n_texts: int, measure: str
) -> AffinityMatrices:
    """Return the matrix of all readers, every cell filled once."""
    lefts = list(dict.fromkeys(rows.left.tolist()))
    rights = list(dict.fromkeys(rows.right.tolist()))
    same_readers = set(lefts) == set(rights)
    if same_readers:
        rights = lefts
    n_layers = np.zeros((2, len(rows.names)), dtype=np.int64)
    np.maximum.at(n_layers[0], rows.left, rows.left_layer)
    np.maximum.at(n_layers[1], rows.right, rows.right_layer)
    if same_readers:
        n_layers[:] = n_layers.max(axis=0)
    starts = np.zeros_like(n_layers)
    for side, readers in enumerate((lefts, rights)):
        starts[side, readers] = np.cumsum([0, *n_layers[side, readers[:-1]]])
    shape = (int(n_layers[0, lefts].sum()), int(n_layers[1, rights].sum()))
    if shape[0] * shape[1] > 2 * len(rows.similarity) + 10_000_000:
        raise ParameterError(  # before a layer number with a digit too many takes all memory
            f"{path}: {len(rows.similarity):,} rows for (layers, layers) = {shape} of "
            f"{listed([rows.names[one] for one in lefts])}: layer pairs are missing"
        )
    row = starts[0, rows.left] + rows.left_layer - 1
    column = starts[1, rows.right] + rows.right_layer - 1
    counts = np.zeros(shape, dtype=np.int32)
    np.add.at(counts, (row, column), 1)
    values = np.full(shape, np.nan)
    values[row, column] = rows.similarity
    if (counts > 1).any():
        where = _cells(counts > 1, rows, n_layers, lefts, rights)
        raise ParameterError(f"{path}: layer pairs that are there more than once: {where}")
    is_symmetric = same_readers and _is_directed(measure)
    if same_readers and not is_symmetric:
        both = (counts > 0) & (counts.T > 0)
        is_symmetric = bool((values == values.T)[both].all())
        if is_symmetric:
            values = np.where(counts > 0, values, values.T)
    if np.isnan(values).any():
        where = _cells(np.isnan(values), rows, n_layers, lefts, rights)
        raise ParameterError(
            f"{path}: layer pairs of {texts} (k = {k}) are missing: {where}",
            hint="every layer of every left reader must meet every layer of every right one, and a "
            "reader that is on both sides itself.",
        )
    return AffinityMatrices(
        values=values,
        left=tuple(rows.names[one] for one in lefts),
        right=tuple(rows.names[one] for one in rights),
        left_layers=tuple(n_layers[0, lefts].tolist()),
        right_layers=tuple(n_layers[1, rights].tolist()),
        is_symmetric=is_symmetric,
        measure=measure,
        k=k,
        n_texts=n_texts,
        texts=texts,
    )


def _cells(
    wrong: np.ndarray, rows: _Rows, n_layers: np.ndarray, lefts: list[int], rights: list[int]
) -> str:
    """Return the first cells of a matrix by labels and layers, and how many more there are."""

    def place(index: int, side: int, readers: list[int]) -> str:
        for reader in readers:
            if index < n_layers[side, reader]:
                return f"{rows.names[reader]} layer {index + 1}"
            index -= int(n_layers[side, reader])
        raise AssertionError(index)

    found = [
        f"{place(int(row), 0, lefts)} x {place(int(column), 1, rights)}"
        for row, column in np.argwhere(wrong)[:11]
    ]
    n_more = int(np.count_nonzero(wrong)) - 10
    return "; ".join(found[:10]) + (f"; and {n_more:,} more" if n_more > 0 else "")
