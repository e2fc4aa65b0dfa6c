"""Which rows of a layer are numbers, have a direction, and are the same as another?

Duplicates of a text have activations that are equal bit for bit. What is computed of them must be equal
too, or rounding would decide their order among a third text's neighbors; a product of matrices does not
promise it. So it is computed of one of them.

>>> distinct_rows(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
(array([0, 1]), array([0, 1, 0]))

Memory: the layer once more, as bytes.
"""

import numpy as np
from jaxtyping import Float64, Integer

from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ActivationsError, listed


def finite_rows(vectors: LayerActivations) -> Float64[np.ndarray, "texts units"]:
    """Return one layer in float64.

    Raises
    ------
    ActivationsError
        If a value is NaN or infinite; the rows are named, from 1.
    """
    exact = np.asarray(vectors, dtype=np.float64)
    not_finite = np.flatnonzero(~np.isfinite(exact).all(axis=1))
    if len(not_finite):
        raise ActivationsError(
            f"NaN or infinite activations in text {row_numbers(not_finite)} of "
            f"{shape_text(('texts', 'units'), exact)}"
        )
    return exact


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
    first: dict[bytes, int] = {}
    group = np.array([first.setdefault(row.tobytes(), len(first)) for row in vectors])
    if len(first) == len(vectors):
        return np.arange(len(vectors)), None
    return np.unique(group, return_index=True)[1], group
