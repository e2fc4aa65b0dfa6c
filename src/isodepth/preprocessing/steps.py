"""What can be done to a layer's activations before layers are compared?

Each step is a function of one layer, (texts, units) in float64, and of its arguments. Statistics
(means, variances, components) are those of the texts of that layer. `STEPS` has them by name.

>>> STEPS["center"].function(np.array([[1.0, 5.0], [3.0, 5.0]]))
array([[-1.,  0.],
       [ 1.,  0.]])

Memory: a few copies of the layer. Whitening and the removal of components add a square matrix over
texts or over units, whichever are fewer, and its eigenvectors.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.axes import shape_text
from isodepth.errors import ParameterError, listed
from isodepth.preprocessing.rows import require_rows

Layer = Float64[np.ndarray, "texts units"]
FewerUnits = Float64[np.ndarray, "texts kept"]
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """What stands in the parentheses of a step.

    Parameters
    ----------
    name : str
        What it is.
    example : str
        One that can be.
    kind : type
        int or float.
    above, below : float
        It lies strictly between them.
    is_list : bool
        Whether there may be several, all different.
    """

    name: str
    example: str = "3"
    kind: type[int] | type[float] = int
    above: float = 0.0
    below: float = float("inf")
    is_list: bool = False

    @property
    def expected(self) -> str:
        """What it must be, in words."""
        if self.kind is float:
            return f"a number above {self.above:g} and below {self.below:g}"
        least = f"of at least {self.above + 1:g}"
        return f"different whole numbers {least}" if self.is_list else f"a whole number {least}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One kind of step.

    Parameters
    ----------
    function : callable
        Takes a layer, float64 (texts, units), and the arguments; returns float64 (texts, units), or
        fewer units.
    meaning : str
        What it does, in a line.
    argument : Argument, optional
        What it takes; None: nothing.
    follows_scale : bool
        Whether activations twice as large come out twice as large. If not, they come out the same.
    """

    function: Callable[..., FewerUnits]
    meaning: str
    argument: Argument | None = None
    follows_scale: bool = True


def centered(vectors: Layer) -> Layer:
    """Return activations with mean 0 over texts in every unit.

    A unit that is the same for all texts becomes exactly 0: the rounding of its mean is no activation.
    """
    moved: np.ndarray = vectors - vectors.mean(axis=0)
    moved[:, np.ptp(vectors, axis=0) == 0] = 0
    return moved


def standardized(vectors: Layer) -> Layer:
    """Return activations with mean 0 and variance 1 (divided by n) over texts in every unit.

    A unit that is the same for all texts becomes 0.

    References
    ----------
    Timkey & van Schijndel 2021 (arXiv 2109.04404), "standardization". Differs in nothing.
    """
    moved = centered(vectors)
    spread = np.abs(moved).max(axis=0)
    spread[spread == 0] = 1
    moved /= spread  # so that squares of small units do not vanish
    deviations = np.sqrt(np.mean(moved**2, axis=0))
    deviations[deviations == 0] = 1
    moved /= deviations
    return moved


def whitened(vectors: Layer) -> Layer:
    """Return centered activations times the inverse root of their covariance, which is shrunk.

    With as many units as texts or more, full whitening makes all texts equally far from each other,
    whatever they are: nothing of the layer is left. So the covariance S (divided by n) is replaced by
    (1 - r) S + r m I, where m is the mean of its eigenvalues and r in [0, 1] is Ledoit & Wolf's
    estimate of what brings it nearest to the true covariance. A component of variance v comes out with
    variance v / ((1 - r) v + r m), which is 1 for all of them if r is 0, as with very many texts, and
    v / m if r is 1. Directions in which nothing varies stay at 0. Axes are not turned (ZCA), so units
    stay units.

    References
    ----------
    Ledoit & Wolf 2004 (doi 10.1016/S0047-259X(03)00096-4), section 3.3, for r; Kessy, Lewin & Strimmer
    2018 (arXiv 1512.00809) for ZCA. Differs in nothing.
    """
    moved = centered(vectors)
    n_texts, n_units = moved.shape
    variances, components = _components(moved)
    mean = float(variances.sum()) / n_units
    total = float((variances**2).sum())
    unevenness = total - n_units * mean**2
    noise = (float(((moved**2).sum(axis=1) ** 2).sum()) / n_texts - total) / n_texts
    shrinkage = 1.0 if unevenness <= EPSILON * total else min(max(noise / unevenness, 0.0), 1.0)
    shrunk = (1 - shrinkage) * variances + shrinkage * mean
    varies = shrunk > EPSILON * max(moved.shape) * shrunk.max(initial=0)
    weights = np.zeros_like(shrunk)
    weights[varies] = 1 / np.sqrt(shrunk[varies])
    root = (components * weights) @ components.T
    white: np.ndarray = root @ moved if len(root) == n_texts else moved @ root
    return white


def without_components(vectors: Layer, count: int) -> Layer:
    """Return centered activations without their `count` principal components of largest variance.

    A text of which nothing but rounding is left becomes 0.

    Raises
    ------
    ParameterError
        If as many components would leave nothing of any text.

    References
    ----------
    Mu & Viswanath 2018 (arXiv 1702.01417), algorithm 1. Differs in nothing.
    """
    most = min(len(vectors) - 1, vectors.shape[1])
    if count >= most:
        raise ParameterError(
            f"remove_components({count}) leaves nothing of {shape_text(('texts', 'units'), vectors)}, "
            f"which have {most} principal components; expected fewer"
        )
    moved = centered(vectors)
    _, components = _components(moved)
    largest = components[:, :count]
    over_texts = len(largest) == len(moved)
    left: np.ndarray = moved - (
        largest @ (largest.T @ moved) if over_texts else (moved @ largest) @ largest.T
    )
    rounding = EPSILON * max(vectors.shape) * np.linalg.norm(vectors, axis=1).max()
    left[np.linalg.norm(left, axis=1) <= rounding] = 0
    return left


def clipped(vectors: Layer, quantile: float) -> Layer:
    """Return activations cut to +-c, where c is a quantile of the layer's absolute activations.

    One c for the layer, not one a unit: it is meant for the few units whose activations dwarf all
    others, and a quantile of such a unit's own activations would leave it as huge as it is.

    References
    ----------
    Huh et al. 2024 (arXiv 2405.07987), published code, ``remove_outliers(exact=True)``: the value at
    place floor(quantile * texts * units), from 0, in ascending order. Differs in nothing.
    """
    place = int(quantile * vectors.size)
    limit = np.partition(np.abs(vectors), place, axis=None)[place]
    cut: np.ndarray = np.clip(vectors, -limit, limit)
    return cut


def without_units(vectors: Layer, *units: int) -> FewerUnits:
    """Return the other units.

    Raises
    ------
    ParameterError
        If there are no such units, all of which are listed, or none other.
    """
    n_units = vectors.shape[1]
    beyond = [unit for unit in units if unit >= n_units]
    if beyond:
        raise ParameterError(
            f"drop_units: there is no unit {listed(beyond)} in "
            f"{shape_text(('texts', 'units'), vectors)}; units count from 0 to {n_units - 1}"
        )
    if len(units) == n_units:
        raise ParameterError(f"drop_units leaves none of {n_units} units")
    return np.delete(vectors, units, axis=1)


def without_largest(vectors: Layer, count: int) -> FewerUnits:
    """Return the units without the `count` whose mean square over texts is largest.

    Of units with the same mean square the first go first. The mean counts: a unit that is huge and the
    same for all texts rules cosines as much as one that varies.

    Raises
    ------
    ParameterError
        If there are no more units than that.

    References
    ----------
    Timkey & van Schijndel 2021 (arXiv 2109.04404) rank units by what they contribute to the mean
    cosine; Sun et al. 2024 (arXiv 2402.17762) single activations by their size. Mean squares
    are ours: they depend neither on pairs of texts nor on one text.
    """
    n_units = vectors.shape[1]
    if count >= n_units:
        raise ParameterError(f"drop_largest({count}) leaves none of {n_units} units; expected fewer")
    mean_squares = np.mean(vectors**2, axis=0)
    return np.delete(vectors, np.argsort(-mean_squares, kind="stable")[:count], axis=1)


def unit_norm(vectors: Layer) -> Layer:
    """Return every text's activations divided by their Euclidean norm.

    Raises
    ------
    ActivationsError
        If all activations of a text are 0; the rows are named, from 1.
    """
    largest = np.abs(vectors).max(axis=1)
    require_rows(np.flatnonzero(largest == 0), "are all zero, so they have no direction to keep")
    unit: np.ndarray = vectors / largest[:, np.newaxis]  # so that squares neither overflow nor vanish
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit


def _components(
    moved: Layer,
) -> tuple[Float64[np.ndarray, " fewer"], Float64[np.ndarray, "fewer fewer"]]:
    """Return variances, descending, and eigenvectors of the smaller of the two Gram matrices.

    Either has the layer's variances; its eigenvectors, in columns, are over units or over texts. Where
    there are as many texts as units they are over texts.
    """
    n_texts, n_units = moved.shape
    gram = moved @ moved.T if n_texts <= n_units else moved.T @ moved
    variances, components = np.linalg.eigh(gram / n_texts)
    return np.maximum(variances[::-1], 0), components[:, ::-1]


STEPS = {
    "center": Step(function=centered, meaning="subtract the mean over texts from every unit"),
    "standardize": Step(
        function=standardized,
        meaning="center, and divide every unit by its standard deviation over texts",
        follows_scale=False,
    ),
    "whiten": Step(
        function=whitened,
        meaning="center, and give all directions the same variance, as far as the texts can tell",
        follows_scale=False,
    ),
    "remove_components": Step(
        function=without_components,
        meaning="center, and remove the D principal components of largest variance",
        argument=Argument(name="D"),
    ),
    "clip": Step(
        function=clipped,
        meaning="cut activations at the quantile Q of the layer's absolute activations",
        argument=Argument(name="Q", example="0.99", kind=float, below=1.0),
    ),
    "drop_units": Step(
        function=without_units,
        meaning="leave out these units, counted from 0 like columns of an array",
        argument=Argument(name="UNITS", example="17,138", above=-1.0, is_list=True),
    ),
    "drop_largest": Step(
        function=without_largest,
        meaning="leave out the N units of largest mean square over texts",
        argument=Argument(name="N"),
    ),
    "unit_norm": Step(
        function=unit_norm,
        meaning="divide every text's activations by their norm",
        follows_scale=False,
    ),
}
"""The steps, by the names that `Preprocessing.of` reads."""
