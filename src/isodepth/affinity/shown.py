"""What do matrices look like in a notebook? A small heat map, and what it is of."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from isodepth.axes import AffinityMask
from isodepth.errors import counted
from isodepth.notebook import array_picture, card, matrix_picture, shortened

if TYPE_CHECKING:
    from isodepth.affinity.matrices import AffinityMatrices
    from isodepth.affinity.matrix import AffinityMatrix

MOST_MODELS = 30


def matrix_html(
    matrix: "AffinityMatrix",
    *,
    kind: str = "AffinityMatrix",
    sentence: str = "",
    rows: Mapping[str, str] | None = None,
    outline: AffinityMask | None = None,
    outlined: str = "",
    notes: Iterable[str] = (),
) -> str:
    """Return the HTML of a matrix, with what others found in it.

    Parameters
    ----------
    matrix : AffinityMatrix
        The similarities.
    kind, sentence, rows, notes
        As for `isodepth.notebook.card`; the rows stand before those of the matrix itself.
    outline, outlined
        As for `isodepth.notebook.matrix_picture`.
    """
    values, chance = matrix.values, matrix.chance
    pictures, numbers = [], dict(rows or {})
    if values.size:
        pictures.append(
            matrix_picture(
                values,
                left=matrix.left,
                right=matrix.right,
                chance=chance,
                outline=outline,
                outlined=outlined,
            )
        )
    if values.size and np.isfinite(values).all():
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        numbers["highest similarity"] = (
            f"{values[row, column]:.3f}, of layer {row + 1} of {matrix.left} and layer {column + 1} of "
            f"{matrix.right}"
        )
        numbers["mean similarity"] = f"{values.mean():.3f}"
    numbers |= _read(matrix, chance)
    numbers["layers"] = f"{values.shape[0]} × {values.shape[1]}"
    return card(
        kind,
        f"{matrix.left} × {matrix.right}",
        sentence=sentence,
        pictures_html=pictures,
        rows=numbers,
        notes=notes,
    )


def matrices_html(
    matrices: "AffinityMatrices",
    *,
    kind: str = "AffinityMatrices",
    name: str = "",
    sentence: str = "",
    rows: Mapping[str, str] | None = None,
    tables_html: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> str:
    """Return the HTML of all pairs of models, with what others found in them; as `matrix_html`."""
    numbers = {**(rows or {}), **_read(matrices, matrices.chance)}
    if matrices.is_symmetric:
        numbers["models (layers)"] = _models(matrices.left, matrices.left_layers)
    else:
        numbers["left models (layers)"] = _models(matrices.left, matrices.left_layers)
        numbers["right models (layers)"] = _models(matrices.right, matrices.right_layers)
    pictures = []
    if matrices.values.size:
        pictures.append(
            array_picture(
                matrices.values,
                left_layers=matrices.left_layers,
                right_layers=matrices.right_layers,
                is_symmetric=matrices.is_symmetric,
                chance=matrices.chance,
            )
        )
    return card(
        kind,
        name or counted(matrices.n_pairs, "pair") + " of models",
        sentence=sentence,
        pictures_html=pictures,
        rows=numbers,
        tables_html=tables_html,
        notes=notes,
    )


def _read(matrices: "AffinityMatrix | AffinityMatrices", chance: float | None) -> dict[str, str]:
    """Return what similarities were measured by, on what."""
    said = (
        "not known for this measure, or another for each layer" if chance is None else f"{chance:.4f}"
    )
    texts = f"{matrices.n_texts:,}" + ("" if matrices.texts is None else f" of {matrices.texts}")
    return {"chance": said, "measure": matrices.measured_by, "texts": texts}


def _models(labels: tuple[str, ...], n_layers: tuple[int, ...]) -> str:
    """Return names with numbers of layers, as many as can be read."""
    named = [f"{shortened(label, 80)} ({n})" for label, n in zip(labels, n_layers, strict=True)]
    more = len(named) - MOST_MODELS
    return ", ".join(named[:MOST_MODELS]) + (f" and {more} more" if more > 0 else "")
