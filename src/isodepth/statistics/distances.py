"""How unlike are two models, taken whole?

The distance of two models is 1 minus the mean of their calibrated similarity, (s - chance) /
(1 - chance), along the layers that correspond: 0 where every layer has the same neighbors as its
partner, 1 at chance. It is a dissimilarity, not a metric: the correspondence is chosen for each pair
anew, so two models that are both near a third may be far from each other.

A path that was searched for looks better than it is, and the more so the flatter the matrix: distances
by "path" of unrelated models lie a little below 1. Distances by "proportional" or "diagonal" lack that
advantage, but two models are the farther apart the more one is stretched against the other.

>>> model_distances(all_affinities(neighbors, k=10)).values                     # doctest: +SKIP

Memory: 8 bytes a pair of models and resample, and the matrices of one pair.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from isodepth.affinity.matrices import AffinityMatrices
from isodepth.errors import ParameterError, listed
from isodepth.statistics.alignment import best_spans, proportional_spans
from isodepth.statistics.diagonal import generalized_diagonal

PairwiseDistances = Float64[np.ndarray, "models models"]
Matrices = Float[np.ndarray, "resamples layers_left layers_right"]


def _on_generalized_diagonal(values: Matrices) -> Float64[np.ndarray, " resamples"]:
    means: np.ndarray = values[:, generalized_diagonal(*values.shape[1:])].mean(
        axis=1, dtype=np.float64
    )
    return means


PATHS: dict[str, Callable[[Matrices], Float64[np.ndarray, " resamples"]]] = {
    "path": lambda values: best_spans(values).means(values),
    "proportional": lambda values: proportional_spans(*values.shape[1:]).means(values),
    "diagonal": _on_generalized_diagonal,
}
"""The mean similarity of two models: along the most similar monotone path, along that of proportional
depth, or over the paper's generalized diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelDistances:
    """How unlike models are, each with each. Make one with `model_distances`.

    Parameters
    ----------
    values : float64 array (models, models)
        Symmetric, 0 on the diagonal, not negative.
    models : tuple of str
        Their names, in the order of rows and columns.
    by : str
        A key of `PATHS`.
    chance : float
        The similarity that counts as distance 1.

    Raises
    ------
    ParameterError
        If the values are no such distances.
    """

    values: PairwiseDistances
    models: tuple[str, ...]
    by: str
    chance: float

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.models), len(self.models)) or not self.models:
            raise ParameterError(
                f"distances of {len(self.models)} models must be (models, models) = "
                f"({len(self.models)}, {len(self.models)}), at least one; got {self.values.shape}"
            )
        refuse_no_distances(self.values[np.newaxis], "distances")


def model_distances(
    matrices: AffinityMatrices, *, by: str = "path", chance: float | None = None
) -> ModelDistances:
    """Return the distance of every model to every other, in [0, 1] up to noise around chance.

    Parameters
    ----------
    matrices : AffinityMatrices
        Of models that read the same texts, each with each. Where the measure tells left from right, the
        distance of two models is the mean of that in either order.
    by : {"path", "proportional", "diagonal"}
        What the similarity is the mean over; see `PATHS`.
    chance : float, optional
        The similarity of unrelated layers, below 1. Where it is left out, that of the measure;
        measures whose chance level is not known need it.

    Raises
    ------
    ParameterError
        If left and right are not the same models on the same texts, values are not finite or above 1,
        or a parameter is none of those named.

    References
    ----------
    The paper compares layers, not models; the distance is ours. Calibration: (s - chance) /
    (1 - chance), as Cohen's kappa has it.
    """
    chance = _checked_chance(matrices, by, chance)
    each = (matrix.values[np.newaxis] for matrix in matrices.pairs())
    values = resampled_distances(each, matrices, by=by, chance=chance)[0]
    return ModelDistances(values=values, models=matrices.left, by=by, chance=chance)


def resampled_distances(
    resampled: Iterable[Matrices],
    matrices: AffinityMatrices,
    *,
    by: str = "path",
    chance: float | None = None,
) -> Float64[np.ndarray, "resamples models models"]:
    """Return the distances of models under resampled texts, for the support of a tree.

    Parameters
    ----------
    resampled : iterable of float arrays (resamples, layers_left, layers_right)
        The matrices of each pair under the same resampled texts, in the order of `matrices.pairs()`.
        One pair is held at a time, so a generator saves memory.
    matrices : AffinityMatrices
        Those of the full sample.
    by, chance
        As for `model_distances`.

    Raises
    ------
    ParameterError
        As `model_distances`, or if the resampled matrices are none of these pairs.
    """
    chance = _checked_chance(matrices, by, chance)
    n_models = len(matrices.left)
    pairs = list(matrices.pairs())
    means: list[np.ndarray] = []
    for place, values in enumerate(resampled):
        shape = pairs[place].values.shape if place < len(pairs) else None
        if values.shape[1:] != shape or (means and len(values) != len(means[0])):
            expected = "no further pair" if shape is None else f"layers {shape}"
            raise ParameterError(
                f"resampled matrices of pair {place + 1} do not fit: expected {expected} and as many "
                f"resamples for each pair; got (resamples, layers_left, layers_right) = {values.shape}"
            )
        highest = values.max()
        if not np.isfinite(values).all() or highest > 1 + 1e-9:
            names = f"{pairs[place].left} x {pairs[place].right}"
            raise ParameterError(f"similarities must be finite and at most 1; {names} has {highest}")
        means.append(PATHS[by](values))
    if len(means) != len(pairs):
        raise ParameterError(
            f"resampled matrices are of {len(means)} pairs; the models have {len(pairs)}"
        )
    distances = np.zeros((len(means[0]) if means else 1, n_models, n_models))
    for mean, (i, j) in zip(means, matrices.places(), strict=True):
        # the mean of ones may be a rounding above 1
        distances[:, i, j] = np.maximum(0.0, 1 - (mean - chance) / (1 - chance))
    distances += distances.transpose(0, 2, 1).copy()
    return distances if matrices.is_mirrored else distances / 2


def _checked_chance(matrices: AffinityMatrices, by: str, chance: float | None) -> float:
    """Return the chance level; raise `ParameterError` unless matrices and parameters can be used."""
    if by not in PATHS:
        raise ParameterError(f"by must be one of {listed(list(PATHS))}; got {by!r}")
    if not matrices.is_symmetric:
        raise ParameterError(
            "distances between models need matrices of the same models left and right, on the same "
            f"texts; got {listed(matrices.left, most=3)} (left) against "
            f"{listed(matrices.right, most=3)} (right)",
            hint="models that read parallel texts (English and German) differ by their texts as well; "
            "all_affinities of a single text set gives such matrices.",
        )
    if chance is None:
        chance = matrices.chance
        if chance is None:
            raise ParameterError(
                f"the chance level of {matrices.measure!r} is not known",
                hint="pass chance=, the mean similarity of unrelated layers.",
            )
    if not chance < 1:
        raise ParameterError(
            f"chance must be below 1; got {chance}",
            hint="with k = n_texts - 1 every text is a neighbor of every other: nothing can be told.",
        )
    return chance


def refuse_no_distances(values: np.ndarray, what: str) -> None:
    """Raise `ParameterError` unless matrices (matrices, models, models) hold distances."""
    problems = []
    if not np.isfinite(values).all():
        problems.append("are not finite")
    else:
        if (values < 0).any():
            problems.append(f"are negative, down to {values.min():.6g}")
        if not np.array_equal(values, values.transpose(0, 2, 1)):
            problems.append("are not symmetric")
        if np.diagonal(values, axis1=1, axis2=2).any():
            problems.append("are not 0 between a model and itself")
    if problems:
        raise ParameterError(f"{what} {', '.join(problems)}")
