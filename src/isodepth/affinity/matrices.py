"""All affinity matrices of many models: one array, cut by labels.

The layers of all left models, one model after the other, are the rows; those of all right models are
the columns. Where the models are compared with each other, left and right are the same.

>>> matrices = all_affinities(neighbors, k=10)                                   # doctest: +SKIP
>>> matrices["gemma-3-270m", "smollm2-135m-instruct"].values.shape               # doctest: +SKIP
(18, 30)

Memory: 8 bytes a pair of layers; a matrix of two models is a view.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.affinity.matrix import (
    AffinityMatrix,
    frame_of,
    reading_attributes,
    reading_columns,
)
from isodepth.affinity.measures import chance_level, measure_here, measured_by
from isodepth.axes import AffinityValues, layer_numbers, shape_text
from isodepth.errors import ParameterError, UnknownNameError, counted, nearest_names, require

if TYPE_CHECKING:
    import pandas
    import pyarrow
    import xarray

ROUNDING = 1e-6
"""By how much a matrix may differ from its transpose and still be called the same."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AffinityMatrices:
    """Similarities of all layers of some models to all layers of some, on the same texts.

    Parameters
    ----------
    values : float64 array (layers of all left models, layers of all right models)
        One model after the other, in the order of the labels; in [0, 1] for mutual k-NN.
    left, right : tuple of str
        The models' names, each once on a side.
    left_layers, right_layers : tuple of int
        How many layers each has.
    is_symmetric : bool
        Whether left and right are the same models on the same texts, so that two models stand twice.
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
        What all models read, by name, where known.
    texts_digest : str or None
        Identity of the texts, where known; of those that the left models read, where the two differ.
    right_texts_digest : str or None
        Identity of the right models' texts, where they are other ones, declared parallel.
    provenance : mapping
        Where they come from.

    Raises
    ------
    ParameterError
        If labels, layers and values do not fit each other.
    """

    values: AffinityValues
    left: tuple[str, ...]
    right: tuple[str, ...]
    left_layers: tuple[int, ...]
    right_layers: tuple[int, ...]
    is_symmetric: bool
    measure: str
    k: int
    n_texts: int
    metric: str | None = "cosine"
    preprocessing: str = "none"
    texts: str | None = None
    texts_digest: str | None = None
    right_texts_digest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_repeats(self.left, "left")
        refuse_repeats(self.right, "right")
        layers = (self.left_layers, self.right_layers)
        expected = tuple(sum(side) for side in layers)
        if self.values.shape != expected or [*map(len, layers)] != [len(self.left), len(self.right)]:
            raise ParameterError(
                f"{counted(len(self.left), 'left label')} with layers {self.left_layers} and "
                f"{counted(len(self.right), 'right label')} with layers {self.right_layers} do not fit "
                f"values of {shape_text(('layers_left', 'layers_right'), self.values)}"
            )
        if self.is_symmetric and (self.left, self.left_layers) != (self.right, self.right_layers):
            raise ParameterError(
                "symmetric matrices must have the same models left and right; got "
                f"{', '.join(self.left)} and {', '.join(self.right)}"
            )

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

    @property
    def is_mirrored(self) -> bool:
        """Whether the matrix of (b, a) says nothing that that of (a, b) does not: it is its transpose.

        So it is where left and right are the same models on the same texts, unless the measure tells
        left from right. Of a measure that is not here, the values tell.
        """
        if not self.is_symmetric:
            return False
        measure = measure_here(self.measure)
        if measure is not None:
            return measure.is_symmetric
        return np.allclose(self.values, self.values.T, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)

    @property
    def n_pairs(self) -> int:
        """The number of `pairs`."""
        if not self.is_symmetric:
            return len(self.left) * len(self.right)
        n_ordered = len(self.left) * (len(self.left) - 1)
        return n_ordered // 2 if self.is_mirrored else n_ordered

    def pairs(self, *, with_self: bool = False) -> Iterator[AffinityMatrix]:
        """Yield the matrix of each pair, in the order of the labels.

        Where left and right are the same models, these are the pairs of different ones: each once, the
        model that comes first on the left; or in both orders if the measure tells left from right. Else
        every left model is paired with every right one.

        Parameters
        ----------
        with_self : bool
            Where left and right are the same: also each model with itself.
        """
        for i, j in self.places(with_self=with_self):
            yield self._matrix(i, j)

    def places(self, *, with_self: bool = False) -> Iterator[tuple[int, int]]:
        """Yield the `pairs` as places of the left and the right label."""
        is_mirrored = self.is_mirrored
        for i in range(len(self.left)):
            for j in range(i if is_mirrored else 0, len(self.right)):
                if i != j or with_self or not self.is_symmetric:
                    yield i, j

    def __getitem__(self, labels: tuple[str, str]) -> AffinityMatrix:
        """Return the matrix of a left and a right model; its values are a view.

        Raises
        ------
        UnknownNameError
            If a label is not that of a model of its side; all such labels are named.
        """
        return self._matrix(*self._place(labels))

    def cells(self, labels: tuple[str, str]) -> tuple[slice, slice]:
        """Return where in `values` the layers of a left and a right model stand: rows and columns.

        Raises
        ------
        UnknownNameError
            If a label is not that of a model of its side; all such labels are named.
        """
        i, j = self._place(labels)
        return _places(self.left_layers, i), _places(self.right_layers, j)

    def of(self, labels: Sequence[str]) -> "AffinityMatrices":
        """Return the matrices of some models, in the order given; values are a copy.

        Parameters
        ----------
        labels : sequence of str
            Models of either side. Where left and right are not the same, each side keeps those of its
            own that are named.

        Raises
        ------
        UnknownNameError
            If a label is that of no model; all such labels are named.
        ParameterError
            If a label stands twice.
        """
        known = list(dict.fromkeys((*self.left, *self.right)))
        wrong = [label for label in labels if label not in known]
        if wrong:
            near = dict.fromkeys(name for label in wrong for name in nearest_names(label, known))
            raise UnknownNameError(
                f"no model of these matrices is called {', '.join(map(repr, wrong))}",
                hint=f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}.",
            )
        rows = [self.left.index(label) for label in labels if label in self.left]
        columns = [self.right.index(label) for label in labels if label in self.right]
        places = [
            np.concatenate([np.arange(0)] + [np.r_[_places(n_layers, i)] for i in chosen])
            for n_layers, chosen in ((self.left_layers, rows), (self.right_layers, columns))
        ]
        return replace(
            self,
            values=self.values[np.ix_(*places)],
            left=tuple(self.left[i] for i in rows),
            right=tuple(self.right[j] for j in columns),
            left_layers=tuple(self.left_layers[i] for i in rows),
            right_layers=tuple(self.right_layers[j] for j in columns),
        )

    def __repr__(self) -> str:
        models = str(len(self.left)) if self.is_symmetric else f"{len(self.left)} x {len(self.right)}"
        return (
            f"AffinityMatrices({models} models, {counted(self.n_pairs, 'pair')}, (layers, layers) = "
            f"{self.values.shape}, {self.measured_by}, n_texts = {self.n_texts})"
        )

    def _repr_html_(self) -> str:
        from isodepth.affinity.shown import matrices_html

        return matrices_html(self)

    def to_table(self) -> "pyarrow.Table":
        """Return one row per layer pair: labels, layers, k, measure, metric, preprocessing, similarity.

        They are those of `pairs`, with each model with itself. Labels are dictionary-encoded, layers
        int32; of the others see `reading_columns`.
        """
        import pyarrow

        cells = list(self.places(with_self=True))
        matrices = [self._matrix(i, j).values for i, j in cells]
        sizes = [values.size for values in matrices]
        codes = {
            "left": np.repeat(np.array([i for i, _ in cells], dtype=np.int32), sizes),
            "right": np.repeat(np.array([j for _, j in cells], dtype=np.int32), sizes),
        }
        labels = {"left": self.left, "right": self.right}
        encoded = {
            name: pyarrow.DictionaryArray.from_arrays(codes[name], pyarrow.array(labels[name]))
            for name in codes
        }
        layers = [np.indices(values.shape, dtype=np.int32) + 1 for values in matrices]
        return pyarrow.table(
            {
                "left": encoded["left"],
                "right": encoded["right"],
                "left_layer": np.concatenate([numbers[0].reshape(-1) for numbers in layers]),
                "right_layer": np.concatenate([numbers[1].reshape(-1) for numbers in layers]),
                **reading_columns(
                    sum(sizes),
                    measure=self.measure,
                    k=self.k,
                    metric=self.metric,
                    preprocessing=self.preprocessing,
                ),
                "similarity": np.concatenate([values.reshape(-1) for values in matrices]),
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
        """Return the values with coordinates (pip install 'isodepth[xarray]').

        Dimensions are left and right; along each stand the model's name and the layer's number, as
        ``left_model`` and ``left_layer``, ``right_model`` and ``right_layer``. Attributes are those of
        `reading_attributes`.

        Raises
        ------
        MissingPackageError
            If xarray is not installed.
        """
        require("xarray", extra="xarray")
        import xarray

        coordinates: dict[str, tuple[str, Sequence[object]]] = {}
        for side, models, layers in (
            ("left", self.left, self.left_layers),
            ("right", self.right, self.right_layers),
        ):
            coordinates[f"{side}_model"] = (side, np.repeat(models, layers).tolist())
            numbers = [number for n_layers in layers for number in layer_numbers(n_layers)]
            coordinates[f"{side}_layer"] = (side, numbers)
        return xarray.DataArray(
            self.values.copy(),
            dims=("left", "right"),
            coords=coordinates,
            name="similarity",
            attrs=reading_attributes(
                measure=self.measure,
                k=self.k,
                metric=self.metric,
                preprocessing=self.preprocessing,
                n_texts=self.n_texts,
            ),
        )

    def _place(self, labels: tuple[str, str]) -> tuple[int, int]:
        wrong, near = [], []
        for label, known, side in zip(labels, (self.left, self.right), ("left", "right"), strict=True):
            if label not in known:
                wrong.append(f"{label!r} ({side})")
                near += nearest_names(label, known)
        if wrong:
            raise UnknownNameError(
                f"no model of these matrices is called {', '.join(wrong)}",
                hint=f"did you mean {' or '.join(dict.fromkeys(near))}?"
                if near
                else f"left are {', '.join(self.left)}; right are {', '.join(self.right)}.",
            )
        return self.left.index(labels[0]), self.right.index(labels[1])

    def _matrix(self, i: int, j: int) -> AffinityMatrix:
        rows, columns = _places(self.left_layers, i), _places(self.right_layers, j)
        return AffinityMatrix(
            values=self.values[rows, columns],
            left=self.left[i],
            right=self.right[j],
            measure=self.measure,
            k=self.k,
            n_texts=self.n_texts,
            metric=self.metric,
            preprocessing=self.preprocessing,
            texts=self.texts,
            texts_digest=self.texts_digest,
            right_texts_digest=self.right_texts_digest,
            provenance=self.provenance,
        )


def refuse_repeats(labels: Sequence[str], side: str) -> None:
    """Raise `ParameterError` if a label stands twice on a side; all such labels are named."""
    repeated = [f"{label} ({n} times)" for label, n in Counter(labels).items() if n > 1]
    if repeated:
        raise ParameterError(
            f"labels must be unique on a side; repeated on the {side}: {', '.join(repeated)}",
            hint="dataclasses.replace(neighbors, model=...) gives neighbors another label.",
        )


def _places(n_layers: Sequence[int], i: int) -> slice:
    start, stop = [*accumulate(n_layers[: i + 1], initial=0)][-2:]
    return slice(start, stop)
