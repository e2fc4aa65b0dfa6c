"""Which rows of a layer are numbers, have a direction, and are the same as another?

Duplicates of a text have activations that are equal bit for bit. What is computed of them must be equal
too, or rounding would decide their order among a third text's neighbors; a product of matrices does not
promise it. So it is computed of one of them.

>>> distinct_rows(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
(array([0, 1]), array([0, 1, 0]))

Memory: what rows take that are the same as another, as bytes.
"""

import zlib
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Integer

from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ActivationsError, listed

BLOCK_VALUES = 1 << 17


def finite_rows(vectors: LayerActivations) -> Float64[np.ndarray, "texts units"]:
    """Return one layer in float64.

    Raises
    ------
    ActivationsError
        If a value is NaN or infinite; the rows are named, from 1.
    """
    require_finite(vectors)
    return np.asarray(vectors, dtype=np.float64)


def require_finite(vectors: LayerActivations) -> None:
    """Raise `ActivationsError` if a value is NaN or infinite; the rows are named, from 1."""
    is_finite = np.empty(len(vectors), dtype=np.bool_)
    for rows in row_blocks(vectors):
        is_finite[rows] = np.isfinite(np.asarray(vectors[rows], dtype=np.float64)).all(axis=1)
    not_finite = np.flatnonzero(~is_finite)
    if len(not_finite):
        raise ActivationsError(
            f"NaN or infinite activations in text {row_numbers(not_finite)} of "
            f"{shape_text(('texts', 'units'), vectors)}"
        )


def row_blocks(vectors: LayerActivations) -> Iterator[slice]:
    """Yield slices of rows, so few that what is computed of them stays in a core's cache."""
    n_rows, n_units = vectors.shape
    n_at_once = max(1, BLOCK_VALUES // max(1, n_units))
    for start in range(0, n_rows, n_at_once):
        yield slice(start, min(start + n_at_once, n_rows))


def require_rows(rows: Integer[np.ndarray, " rows"], what: str) -> None:
    """Raise `ActivationsError` if there are rows that something is wrong with."""
    if len(rows):
        raise ActivationsError(f"the activations of text {row_numbers(rows)} {what}")


def row_numbers(rows: Integer[np.ndarray, " rows"]) -> str:
    """Return rows as errors name them, from 1."""
    return f"{listed([int(row) + 1 for row in rows])} (rows count from 1)"


def distinct_rows(
    vectors: LayerActivations,
) -> tuple[Integer[np.ndarray, " distinct"], Integer[np.ndarray, " texts"] | None]:
    """Return the first row of each distinct vector, and which of them each text has (None: its own)."""
    # rows of one checksum may be the same; all others are alone, and need not be held
    sums = np.array([zlib.crc32(row.tobytes()) for row in vectors])
    _, places, counts = np.unique(sums, return_inverse=True, return_counts=True)
    is_alone = counts[places] == 1
    everyone = np.arange(len(vectors))
    if is_alone.all():
        return everyone, None
    first: dict[bytes | int, int] = {}
    names = (row if alone else vectors[row].tobytes() for row, alone in enumerate(is_alone))
    group = np.array([first.setdefault(name, len(first)) for name in names])
    if len(first) == len(vectors):
        return everyone, None
    return np.unique(group, return_index=True)[1], group
