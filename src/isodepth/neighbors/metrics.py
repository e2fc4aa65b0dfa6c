"""What does "near" mean? Cosine, Euclidean distance, correlation or inner product, computed exactly.

Cosine, correlation and inner product are products of vectors that were prepared: scaled to unit norm,
centered over their units first, or left as they are. Vectors that are equal bit for bit are one column
of the product.

Squared distances cannot be had from products alone: |a|^2 + |b|^2 - 2ab loses its digits where texts
are far closer to each other than to the origin, as they are in the middle of a model. Vectors are
centered first, which changes no distance, and products only choose candidates: all texts that could be
among the nearest, given the largest error that rounding can make. Their distances are those of the
differences, unit by unit.

>>> ids, similarities = prepared(np.array([[0.0], [1.0], [3.0]]), "euclidean").nearest(np.arange(3), 1)
>>> ids.ravel(), similarities.ravel()
(array([1, 0, 1]), array([-1., -1., -2.]))

Memory: one layer in float64, and per block of rows a few arrays (rows, texts). Inner products and
Euclidean distances take values as zero that are 1e150 times smaller than the layer's largest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer

from isodepth.axes import LayerActivations
from isodepth.preprocessing.rows import distinct_rows, finite_rows, require_rows

METRICS = {
    "cosine": "the cosine of the angle between two texts' activations",
    "euclidean": "minus the Euclidean distance between them",
    "correlation": "the Pearson correlation between them, over units",
    "inner_product": "their inner product",
}
"""What is larger, the nearer two texts are, by the name of the metric."""
EPSILON = float(np.finfo(np.float64).eps)

Ids = Integer[np.ndarray, "rows k"]
Similarities = Float64[np.ndarray, "rows k"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByProduct:
    """Distinct vectors whose products, times 2 ** exponent, are the similarities.

    ``group`` says which of them each text has; None: its own. Products beyond ``bound`` are rounding.
    """

    vectors: Float64[np.ndarray, "distinct units"]
    group: Integer[np.ndarray, " texts"] | None
    exponent: int
    bound: float

    def nearest(self, rows: Integer[np.ndarray, " rows"], k: int) -> tuple[Ids, Similarities]:
        """Return the `k` texts nearest to each of these, and how near they are, descending."""
        vectors, group = self.vectors, self.group
        if group is None:
            block = vectors[rows] @ vectors.T
        else:
            block = (vectors[group[rows]] @ vectors.T)[:, group]
        block[np.arange(len(rows)), rows] = -np.inf
        chosen = largest_places(block, k)
        found = np.clip(np.take_along_axis(block, chosen, axis=1), -self.bound, self.bound)
        return chosen, in_float32(found, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByDifference:
    """Vectors as they were given, the same centered and divided by 2 ** exponent, and their squares."""

    vectors: LayerActivations
    centered: Float64[np.ndarray, "texts units"]
    squares: Float64[np.ndarray, " texts"]
    exponent: int

    def nearest(self, rows: Integer[np.ndarray, " rows"], k: int) -> tuple[Ids, Similarities]:
        """Return the `k` texts nearest to each of these, and how near they are, descending."""
        possible = self._possible(rows, k)
        ids = np.empty((len(rows), k), dtype=np.intp)
        squares = np.empty((len(rows), k))
        for place, text in enumerate(rows):
            others = np.flatnonzero(possible[place])
            gaps = self._scaled(others) - self._scaled(text)
            exact = np.einsum("ij,ij->i", gaps, gaps)
            order = np.argsort(exact, kind="stable")[:k]
            ids[place], squares[place] = others[order], exact[order]
        return ids, in_float32(-np.sqrt(squares), self.exponent)

    def _possible(self, rows: Integer[np.ndarray, " rows"], k: int) -> np.ndarray:
        """Return bool (rows, texts): whether each can be among the k nearest, however products round.

        The error of a product of two vectors of p units is below p eps |a||b|, in whatever order it is
        summed up (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1); squares
        and centering add a few eps (|a|^2 + |b|^2).
        """
        sums = self.squares[rows, np.newaxis] + self.squares
        squared = sums - 2 * (self.centered[rows] @ self.centered.T)
        squared[np.arange(len(rows)), rows] = np.inf
        sums *= 2 * (self.centered.shape[1] + 8) * EPSILON
        enough = np.partition(squared + sums, k - 1, axis=1)[:, k - 1 : k]
        squared -= sums
        possible: np.ndarray = squared <= enough
        return possible

    def _scaled(self, texts: Integer[np.ndarray, "..."] | np.integer) -> Float64[np.ndarray, "..."]:
        exact = np.asarray(self.vectors[texts], dtype=np.float64)
        scaled: np.ndarray = np.ldexp(exact, -self.exponent)
        return scaled


Prepared = ByProduct | ByDifference


def prepared(vectors: LayerActivations, metric: str) -> Prepared:
    """Return one layer, ready to be asked for neighbors by one of `METRICS`.

    Raises
    ------
    ActivationsError
        If a vector is not finite, or the metric is not defined for it: cosine for zeros, correlation
        for the same value in every unit. The rows are named, from 1.
    """
    exact = finite_rows(vectors)
    if metric == "euclidean":
        return _by_difference(vectors, exact)
    spread = np.ptp(exact, axis=1) if metric == "correlation" else np.abs(exact).max(axis=1)
    undefined = np.flatnonzero(spread == 0)
    if metric == "cosine":
        require_rows(undefined, "are all zero, so they have no direction and no cosine distance")
    elif metric == "correlation":
        require_rows(undefined, "are the same in every unit, so they correlate with nothing")
    first, group = distinct_rows(exact)
    if group is not None:
        exact = exact[first]
    if metric == "inner_product":
        exponent = _exponent(exact)
        return ByProduct(
            vectors=np.ldexp(exact, -exponent), group=group, exponent=2 * exponent, bound=np.inf
        )
    if metric == "correlation":
        exact = _centered_texts(exact)
    return ByProduct(vectors=_unit_vectors(exact), group=group, exponent=0, bound=1.0)


def found_by(metric: str | None, preprocessing: str) -> str:
    """Return in words how neighbors were found: "cosine", "inner product, after center"."""
    after = "" if preprocessing == "none" else f", after {preprocessing}"
    return (metric or "a metric that is not known").replace("_", " ") + after


def largest_places(block: Float64[np.ndarray, "rows texts"], k: int) -> Ids:
    """Return the columns of the k largest values of each row, descending, ties to the lower column."""
    candidates = np.argpartition(-block, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(block, candidates, axis=1)
    order = np.lexsort((candidates, -values), axis=1)
    chosen = np.take_along_axis(candidates, order, axis=1)
    least = values.min(axis=1, keepdims=True)
    tied_at_the_edge = np.flatnonzero((block >= least).sum(axis=1) > k)
    for row in tied_at_the_edge:
        chosen[row] = np.argsort(-block[row], kind="stable")[:k]
    return chosen


def _by_difference(
    vectors: LayerActivations, exact: Float64[np.ndarray, "texts units"]
) -> ByDifference:
    exponent = _exponent(exact) + 1  # differences are below twice the largest value
    centered = np.ldexp(exact, -exponent)
    centered -= centered.mean(axis=0)
    return ByDifference(
        vectors=vectors,
        centered=centered,
        squares=np.einsum("ij,ij->i", centered, centered),
        exponent=exponent,
    )


def _exponent(exact: Float64[np.ndarray, "texts units"]) -> int:
    """Return which power of 2 is above the largest value; dividing by it rounds nothing."""
    return int(np.frexp(np.abs(exact).max())[1])


def _centered_texts(exact: Float64[np.ndarray, "texts units"]) -> Float64[np.ndarray, "texts units"]:
    """Return each text's activations minus their mean over units, times a power of 2 of its own."""
    exponents = np.frexp(np.abs(exact).max(axis=1, keepdims=True))[1]
    moved: np.ndarray = np.ldexp(exact, -exponents)
    for _ in range(2):  # the second mean is what the first one rounded away
        moved -= moved.mean(axis=1, keepdims=True)
    return moved


def _unit_vectors(exact: Float64[np.ndarray, "texts units"]) -> Float64[np.ndarray, "texts units"]:
    largest = np.abs(exact).max(axis=1, keepdims=True)
    unit: np.ndarray = exact / largest  # so that squares neither overflow nor vanish
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit


def in_float32(values: Similarities, exponent: int) -> Similarities:
    """Return values times 2 ** exponent, none beyond what float32 holds."""
    limit = float(np.finfo(np.float32).max)
    with np.errstate(over="ignore", under="ignore"):
        scaled: np.ndarray = np.ldexp(values, exponent)
    np.clip(scaled, -limit, limit, out=scaled)
    return scaled
