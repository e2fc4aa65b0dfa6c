"""The affinity matrix of two models: how similar is every layer of one to every layer of the other?

>>> matrix = affinity_matrix(left_neighbors, right_neighbors, k=10)              # doctest: +SKIP
>>> matrix.values[11, 7]          # layer 12 of left, layer 8 of right           # doctest: +SKIP
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.affinity.measures import CHANCE_KNOWN, MEASURES, check_measure
from isodepth.affinity.mutual_knn import checked_ids, refuse_other_shapes
from isodepth.axes import AffinityValues, layer_numbers, relative_depths
from isodepth.errors import DigestMismatchError, ParameterError, require
from isodepth.neighbors import Neighbors
from isodepth.texts import Pairing

if TYPE_CHECKING:
    import pandas
    import pyarrow
    import xarray
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AffinityMatrix:
    """Similarities of all layer pairs of two models on the same texts.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        In [0, 1]; row 0 is layer 1 of the left model, column 0 layer 1 of the right one.
    left, right : str
        The models' names.
    measure : str
        A key of `MEASURES`.
    k : int
        Neighbors per text.
    n_texts : int
        Texts.
    texts : str or None
        What both models read, by name, where known.
    texts_digest : str or None
        Identity of the texts, where known; of those that the left model read, where the two differ.
    right_texts_digest : str or None
        Identity of the right model's texts, where they are other ones, declared parallel.
    provenance : mapping
        Where it comes from.
    """

    values: AffinityValues
    left: str
    right: str
    measure: str
    k: int
    n_texts: int
    texts: str | None = None
    texts_digest: str | None = None
    right_texts_digest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chance(self) -> float:
        """The mean similarity of unrelated neighborhoods, k / (n_texts - 1)."""
        return self.k / (self.n_texts - 1)

    @property
    def known_chance(self) -> float | None:
        """`chance`, or None for measures whose chance level is another, or not known."""
        return self.chance if self.measure == CHANCE_KNOWN else None

    def __repr__(self) -> str:
        return (
            f"AffinityMatrix({self.left!r} x {self.right!r}, (layers, layers) = "
            f"{self.values.shape}, {self.measure}, k = {self.k}, n_texts = {self.n_texts})"
        )

    def _repr_html_(self) -> str:
        from isodepth.affinity.shown import matrix_html

        return matrix_html(self)

    def to_table(self) -> "pyarrow.Table":
        """Return one row per layer pair: layers, relative depths, similarity."""
        import pyarrow

        n_left, n_right = self.values.shape
        left = np.repeat(np.arange(1, n_left + 1, dtype=np.int32), n_right)
        right = np.tile(np.arange(1, n_right + 1, dtype=np.int32), n_left)
        return pyarrow.table(
            {
                "left_layer": left,
                "right_layer": right,
                "left_depth": relative_depths(n_left)[left - 1],
                "right_depth": relative_depths(n_right)[right - 1],
                "similarity": self.values.reshape(-1),
            }
        )

    def to_frame(self) -> "pandas.DataFrame":
        """Return `to_table` as a pandas DataFrame (pip install 'isodepth[xarray]').

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        return frame_of(self.to_table())

    def to_xarray(self) -> "xarray.DataArray":
        """Return the values with layer coordinates (pip install 'isodepth[xarray]').

        Raises
        ------
        MissingPackageError
            If xarray is not installed.
        """
        require("xarray", extra="xarray")
        import xarray

        n_left, n_right = self.values.shape
        return xarray.DataArray(
            self.values.copy(),
            dims=("left_layer", "right_layer"),
            coords={
                "left_layer": list(layer_numbers(n_left)),
                "right_layer": list(layer_numbers(n_right)),
            },
            name="similarity",
            attrs={
                "left": self.left,
                "right": self.right,
                "measure": self.measure,
                "k": self.k,
                "n_texts": self.n_texts,
            },
        )

    def plot(self) -> "Figure":
        """Return the matrix as a figure; see `isodepth.figures.affinity_figure`."""
        import importlib

        # figures come after affinity in the order of stages, so the link is made when asked for
        figure: Figure = importlib.import_module("isodepth.figures").affinity_figure(self)
        return figure


def affinity_matrix(
    left: Neighbors | np.ndarray,
    right: Neighbors | np.ndarray,
    *,
    measure: str = "mutual_knn",
    k: int | None = None,
    pairing: Pairing | None = None,
) -> AffinityMatrix:
    """Return the similarities of all layers of one model to all layers of another.

    Parameters
    ----------
    left, right : Neighbors, or integer arrays (layers, texts, k)
        Neighbors of the same texts in the same order. Arrays carry no digest, so for them that is
        the caller's word.
    measure : str
        A key of `MEASURES`.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out.
    pairing : Pairing, optional
        The declaration that the left and the right model's texts, which differ, belong together row by
        row: `ParallelTexts.pairing`. Of neighbors without a digest, that they are of these texts is the
        caller's word.

    Returns
    -------
    AffinityMatrix
        With ``values`` float64 (layers_left, layers_right) in [0, 1].

    Raises
    ------
    DigestMismatchError
        If both carry a digest of their texts and the two differ without a declared pairing, or are not
        those of the pairing.
    ParameterError
        If shapes, `k` or ids do not fit.

    References
    ----------
    Wolfram & Schein 2025, Definition 5. Differs in nothing.
    """
    check_measure(measure)
    one, other = _as_neighbors(left, "left"), _as_neighbors(right, "right")
    if pairing is not None:
        pairing.refuse_others(one.texts_digest, other.texts_digest)
    elif None not in (one.texts_digest, other.texts_digest) and one.texts_digest != other.texts_digest:
        raise DigestMismatchError(
            f"{one.model} and {other.model} were run on different texts, so their rows do not "
            f"belong together: digest {one.texts_digest} (left) against {other.texts_digest} (right)",
            hint="run both on the same text set, with the same -n and --seed; or declare that the two "
            "are parallel, with pairing=ParallelTexts.of(left, right).pairing.",
        )
    if k is not None:
        one, other = one.first(k), other.first(k)
    refuse_other_shapes(one.ids, other.ids)
    return AffinityMatrix(
        values=MEASURES[measure](checked_ids(one.ids, "left"), checked_ids(other.ids, "right")),
        left=one.model,
        right=other.model,
        measure=measure,
        k=one.k,
        n_texts=one.n_texts,
        texts_digest=one.texts_digest or other.texts_digest if pairing is None else pairing.left,
        right_texts_digest=None if pairing is None else pairing.right,
    )


def _as_neighbors(neighbors: Neighbors | np.ndarray, side: str) -> Neighbors:
    if isinstance(neighbors, Neighbors):
        return neighbors
    if neighbors.ndim != 3 or not np.issubdtype(neighbors.dtype, np.integer):
        raise ParameterError(
            f"{side} must be Neighbors or an integer array (layers, texts, k); got {neighbors.dtype} "
            f"of shape {neighbors.shape}"
        )
    ids = checked_ids(neighbors, side)
    return Neighbors(ids=ids, similarities=np.full(ids.shape, np.nan, np.float32), model=side)


def frame_of(table: "pyarrow.Table") -> "pandas.DataFrame":
    """Return a table as a pandas DataFrame; raise `MissingPackageError` where pandas is missing."""
    require("pandas", extra="xarray")
    frame: pandas.DataFrame = table.to_pandas()
    return frame
