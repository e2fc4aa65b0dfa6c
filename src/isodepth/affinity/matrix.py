"""The affinity matrix of two models: how similar is every layer of one to every layer of the other?

>>> matrix = affinity_matrix(left_neighbors, right_neighbors, k=10)              # doctest: +SKIP
>>> matrix.values[11, 7]          # layer 12 of left, layer 8 of right           # doctest: +SKIP
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.activations.result import Activations
from isodepth.affinity.measures import chance_level, check_measure, measure_named, measured_by
from isodepth.affinity.mutual_knn import refuse_other_shapes
from isodepth.affinity.operands import measured, operand_of
from isodepth.axes import AffinityValues, layer_numbers, relative_depths
from isodepth.errors import DigestMismatchError, ParameterError, require
from isodepth.neighbors import Neighbors
from isodepth.preprocessing import Preprocessing
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
        Row 0 is layer 1 of the left model, column 0 layer 1 of the right one. In [0, 1] for mutual
        k-NN; `MEASURES` has the ranges of others.
    left, right : str
        The models' names.
    measure : str
        A key of `MEASURES`, or the name of a package's measure.
    k : int
        Neighbors per text; 0 where the measure takes none.
    n_texts : int
        Texts.
    metric : str or None
        What "near" means, of measures that read neighbors, where known.
    preprocessing : str
        What was done to activations before, by its canonical name; see `isodepth.preprocessing`.
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
    metric: str | None = "cosine"
    preprocessing: str = "none"
    texts: str | None = None
    texts_digest: str | None = None
    right_texts_digest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chance(self) -> float | None:
        """The mean similarity of unrelated layers, k / (n_texts - 1) for mutual k-NN.

        None for measures with which it depends on the layers, or is not known.
        """
        return chance_level(self.measure, self.n_texts, self.k)

    @property
    def measured_by(self) -> str:
        """By what layers were compared, with what is unusual: "mutual_knn, k = 10, euclidean"."""
        return measured_by(self.measure, self.k, self.metric, self.preprocessing)

    def __repr__(self) -> str:
        return (
            f"AffinityMatrix({self.left!r} x {self.right!r}, (layers, layers) = "
            f"{self.values.shape}, {self.measured_by}, n_texts = {self.n_texts})"
        )

    def _repr_html_(self) -> str:
        from isodepth.affinity.shown import matrix_html

        return matrix_html(self)

    def to_table(self) -> "pyarrow.Table":
        """Return one row per layer pair: layers, relative depths, how they were read, similarity.

        The columns of `reading_columns` are the same in all rows.
        """
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
                **reading_columns(
                    self.values.size,
                    measure=self.measure,
                    k=self.k,
                    metric=self.metric,
                    preprocessing=self.preprocessing,
                ),
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

        Attributes are the models' names and those of `reading_attributes`.

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
                **reading_attributes(
                    measure=self.measure,
                    k=self.k,
                    metric=self.metric,
                    preprocessing=self.preprocessing,
                    n_texts=self.n_texts,
                ),
            },
        )

    def plot(self) -> "Figure":
        """Return the matrix as a figure; see `isodepth.figures.affinity_figure`."""
        import importlib

        # figures come after affinity in the order of stages, so the link is made when asked for
        figure: Figure = importlib.import_module("isodepth.figures").affinity_figure(self)
        return figure


def affinity_matrix(
    left: Neighbors | Activations | np.ndarray,
    right: Neighbors | Activations | np.ndarray,
    *,
    measure: str = "mutual_knn",
    k: int | None = None,
    preprocessing: str | Preprocessing = "none",
    pairing: Pairing | None = None,
) -> AffinityMatrix:
    """Return the similarities of all layers of one model to all layers of another.

    Parameters
    ----------
    left, right : Neighbors, or integer arrays (layers, texts, k); or Activations, or float arrays
        (layers, texts, units)
        Whichever the measure reads, of the same texts in the same order. Arrays carry no digest, so for
        them that is the caller's word.
    measure : str
        A key of `MEASURES`, or the name of a package's measure.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out. Measures that take
        no neighbors ignore it.
    preprocessing : str or Preprocessing
        What is done to activations before; see `isodepth.preprocessing`. Neighbors were found after
        theirs.
    pairing : Pairing, optional
        The declaration that the left and the right model's texts, which differ, belong together row by
        row: `ParallelTexts.pairing`. Of neighbors without a digest, that they are of these texts is the
        caller's word.

    Returns
    -------
    AffinityMatrix
        With ``values`` float64 (layers_left, layers_right).

    Raises
    ------
    DigestMismatchError
        If both carry a digest of their texts and the two differ without a declared pairing, or are not
        those of the pairing.
    ParameterError
        If shapes, `k`, ids, metrics or preprocessings do not fit, or they are not what the measure
        reads.
    UnknownNameError
        If there is no such measure.
    ActivationsError
        If activations are not finite, or the measure is not defined for a layer.

    References
    ----------
    Wolfram & Schein 2025, Definition 5. Differs in nothing.
    """
    check_measure(measure)
    used, prepared = measure_named(measure), Preprocessing.of(preprocessing)
    one, other = (
        operand_of(given, used, k=k, name=name, preprocessing=prepared)
        for given, name in ((left, "left"), (right, "right"))
    )
    if pairing is not None:
        pairing.refuse_others(one.texts_digest, other.texts_digest)
    elif None not in (one.texts_digest, other.texts_digest) and one.texts_digest != other.texts_digest:
        raise DigestMismatchError(
            f"{one.model} and {other.model} were run on different texts, so their rows do not "
            f"belong together: digest {one.texts_digest} (left) against {other.texts_digest} (right)",
            hint="run both on the same text set, with the same -n and --seed; or declare that the two "
            "are parallel, with pairing=ParallelTexts.of(left, right).pairing.",
        )
    if used.reads == "neighbors":
        refuse_other_shapes(one.layers, other.layers)  # type: ignore[arg-type]
    elif one.n_texts != other.n_texts:
        raise ParameterError(
            f"left and right activations must be of as many texts; got {one.n_texts:,} (left) and "
            f"{other.n_texts:,} (right)"
        )
    for what, ours, theirs in (
        ("metric", one.metric, other.metric),
        ("preprocessing", one.preprocessing, other.preprocessing),
    ):
        if None not in (ours, theirs) and ours != theirs:
            raise ParameterError(
                f"left and right neighbors must have the same {what}; got {ours} (left) and {theirs} "
                "(right)"
            )
    return AffinityMatrix(
        values=measured(used, measure, [one], [other]),
        left=one.model,
        right=other.model,
        measure=measure,
        k=one.k,
        n_texts=one.n_texts,
        metric=one.metric,
        preprocessing=one.preprocessing,
        texts_digest=one.texts_digest or other.texts_digest if pairing is None else pairing.left,
        right_texts_digest=None if pairing is None else pairing.right,
    )


def reading_columns(
    n_rows: int, *, measure: str, k: int, metric: str | None, preprocessing: str
) -> "dict[str, pyarrow.Array]":
    """Return the columns that say how layers were read and compared, the same in all rows.

    They are k (int32; null where the measure takes none), measure, metric (null where it is not known,
    or the measure reads no neighbors) and preprocessing, dictionary-encoded but for k.
    """
    import pyarrow

    words = {"measure": measure, "metric": metric, "preprocessing": preprocessing}
    columns = {"k": pyarrow.array([k or None], pyarrow.int32())}
    for name, word in words.items():
        columns[name] = pyarrow.array([word], pyarrow.string()).dictionary_encode()
    return {name: column.take(np.zeros(n_rows, dtype=np.int32)) for name, column in columns.items()}


def reading_attributes(
    *, measure: str, k: int, metric: str | None, preprocessing: str, n_texts: int
) -> dict[str, str | int]:
    """Return the attributes that say how layers were read and compared.

    They are measure, k, metric, preprocessing and n_texts; k and metric only where a table has them.
    """
    known: dict[str, str | int] = {
        "measure": measure,
        "preprocessing": preprocessing,
        "n_texts": n_texts,
    }
    if k:
        known["k"] = k
    if metric is not None:
        known["metric"] = metric
    return known


def frame_of(table: "pyarrow.Table") -> "pandas.DataFrame":
    """Return a table as a pandas DataFrame; raise `MissingPackageError` where pandas is missing."""
    require("pandas", extra="xarray")
    frame: pandas.DataFrame = table.to_pandas()
    return frame
