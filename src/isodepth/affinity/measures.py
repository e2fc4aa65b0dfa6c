"""Which measures of similarity are there, and how are all layers of all models measured?

A measure is a function of two arrays of neighbor ids, int32 (layers_left, texts, k) and (layers_right,
texts, k), that returns a similarity for every layer of one and every layer of the other, float64
(layers_left, layers_right). Each row of ids is the k nearest texts to a text, nearest first, checked:
in range, none twice, the text itself left out. Entered in `MEASURES` under a name, it serves
`affinity_matrix` and `all_affinities`:

>>> def jaccard(left, right):
...     shared = MEASURES["mutual_knn"](left, right)
...     return shared / (2 - shared)
>>> MEASURES["jaccard"] = jaccard                                               # doctest: +SKIP

Such a function is called once for each pair of models. One that can do better with all models at hand
is entered as a `OnePassMeasure`.

Memory: what the measure takes; ids are handed over as they lie, never copied into one array.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from isodepth.affinity.mutual_knn import mutual_knn_values
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError, listed

ModelIds = Int32[np.ndarray, "_ texts k"]  # each model has its own number of layers
Measure = Callable[[ModelIds, ModelIds], AffinityValues]

CHANCE_KNOWN = "mutual_knn"
"""The measure whose chance level and resampling are known."""


@dataclass(frozen=True, slots=True)
class OnePassMeasure:
    """A measure that compares the layers of many models in one pass.

    Parameters
    ----------
    all_values : callable
        Takes two sequences of neighbor ids, (layers, texts, k) for each model, and returns the
        similarities of all layers of the first, one model after the other, to all layers of the
        second. The second is None where all are compared with each other; then the values must be
        symmetric.
    """

    all_values: Callable[[Sequence[ModelIds], Sequence[ModelIds] | None], AffinityValues]

    def __call__(self, left: ModelIds, right: ModelIds) -> AffinityValues:
        """Return the similarities of all layers of two models."""
        return self.all_values([left], [right])


MEASURES: dict[str, Measure] = {
    "mutual_knn": OnePassMeasure(mutual_knn_values),
}
"""Measures by name: checked neighbor ids (layers, texts, k) of two models in, values out."""


def check_measure(measure: str) -> None:
    """Raise `ParameterError` unless the measure is one of `MEASURES`."""
    if measure not in MEASURES:
        raise ParameterError(f"measure must be one of {listed(list(MEASURES))}; got {measure!r}")


def measured_values(
    measure: str, left: Sequence[ModelIds], right: Sequence[ModelIds] | None
) -> AffinityValues:
    """Return the similarities of all layers of all left models to all layers of all right ones.

    Parameters
    ----------
    measure : str
        A key of `MEASURES`.
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids of each model. `right` is None where all models are compared with each
        other: then each unordered pair is measured once and mirrored.

    Raises
    ------
    ParameterError
        If `right` is None and exchanging two models changes the values.
    """
    function = MEASURES[measure]
    if isinstance(function, OnePassMeasure):
        return function.all_values(left, right)
    if right is not None:
        return np.block([[function(ours, theirs) for theirs in right] for ours in left])
    blocks = [[function(ours, theirs) for theirs in left[i:]] for i, ours in enumerate(left)]
    _refuse_asymmetric(measure, left, blocks[0])
    starts = np.cumsum([0, *(len(ids) for ids in left)])
    values = np.empty((starts[-1], starts[-1]))
    for i, row in enumerate(blocks):
        for j, block in enumerate(row, start=i):
            ours, theirs = slice(*starts[i : i + 2]), slice(*starts[j : j + 2])
            values[theirs, ours] = block.T
            values[ours, theirs] = block
    return values


def _refuse_asymmetric(
    measure: str, models: Sequence[np.ndarray], first_row: Sequence[np.ndarray]
) -> None:
    """Raise `ParameterError` if a measure tells left from right, tried on the first and last model."""
    with_itself, forth = first_row[0], first_row[-1]
    back = forth if len(models) == 1 else MEASURES[measure](models[-1], models[0])
    if not (_are_close(forth, back.T) and _are_close(with_itself, with_itself.T)):
        raise ParameterError(
            f"{measure} is not symmetric: exchanging left and right changes its values, so both "
            "directions of a pair are wanted",
            hint="pass right=neighbors as well, which measures every ordered pair.",
        )


def _are_close(one: np.ndarray, other: np.ndarray) -> bool:
    # sums in another order differ by rounding, which is no direction
    return np.allclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True)
