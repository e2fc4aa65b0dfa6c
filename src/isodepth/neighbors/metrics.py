"""What does "near" mean? Cosine, Euclidean distance, correlation or inner product, computed exactly.

Cosine, correlation and inner product are products of vectors that were prepared: scaled to unit norm,
centered over their units first, or left as they are. Vectors that are equal bit for bit are one column
of the product.

Squared distances cannot be had from products alone: |a|^2 + |b|^2 - 2ab loses its digits where texts
are far closer to each other than to the origin, as they are in the middle of a model. Vectors are
centered first, which changes no distance, and products only choose candidates: all texts that could be
among the nearest, given the largest error that rounding can make. Their distances are those of the
differences, unit by unit.

>>> ids, similarities = prepared(np.array([[0.0], [1.0], [3.0]]), "euclidean").nearest(1)
>>> ids.ravel(), similarities.ravel()
(array([1, 0, 1], dtype=int32), array([-1., -1., -2.]))

Memory: one layer in float64, and what `isodepth.neighbors.selection` says. Inner products and
Euclidean distances take values as zero that are 1e150 times smaller than the layer's largest.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Integer

from isodepth.axes import LayerActivations
from isodepth.neighbors.selection import most_similar, owners_of, threads
from isodepth.preprocessing.rows import distinct_rows, require_finite, require_rows, row_blocks

METRICS = {
    "cosine": "the cosine of the angle between two texts' activations",
    "euclidean": "minus the Euclidean distance between them",
    "correlation": "the Pearson correlation between them, over units",
    "inner_product": "their inner product",
}
"""What is larger, the nearer two texts are, by the name of the metric."""
EPSILON = float(np.finfo(np.float64).eps)
MOST_EXPONENT = 1000
"""Powers of 2 up to here, and one over them, are numbers in float64."""
MORE_CHOSEN = 16
"""How many texts beyond k are candidates; rounding rarely leaves one in doubt."""
BLOCK_VALUES = 1 << 21

Ids = Int32[np.ndarray, "texts k"]
Similarities = Float64[np.ndarray, "texts k"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByProduct:
    """Distinct vectors whose products, times 2 ** exponent, are the similarities.

    ``group`` says which of them each text has; None: its own. Products beyond ``bound`` are rounding.
    """

    vectors: Float64[np.ndarray, "distinct units"]
    group: Integer[np.ndarray, " texts"] | None
    exponent: int
    bound: float

    def nearest(self, k: int) -> tuple[Ids, Similarities]:
        """Return the `k` texts nearest to each text, and how near they are, descending."""
        vectors, group = self.vectors, self.group
        ids, products = most_similar(vectors, min(k, len(vectors) - 1))
        if group is not None:
            own = np.einsum("ij,ij->i", vectors, vectors)
            ids, products = owners_of(group, ids, products, own, k)
        np.clip(products, -self.bound, self.bound, out=products)
        return ids, in_float32(products, self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByDifference:
    """Vectors, which `factor` divides by 2 ** exponent; the same centered, and their squares."""

    vectors: LayerActivations
    centered: Float64[np.ndarray, "texts units"]
    squares: Float64[np.ndarray, " texts"]
    exponent: int
    factor: float

    def nearest(self, k: int) -> tuple[Ids, Similarities]:
        """Return the `k` texts nearest to each text, and how near they are, descending.

        Some more than k are chosen by what their squared distances are at least. Where that is, for the
        last of them, more than the k-th distance, no other text can be among the k nearest.
        """
        n_texts, n_units = self.vectors.shape
        n_chosen = min(k + MORE_CHOSEN, n_texts - 1)
        chosen, at_least = most_similar(self.centered, n_chosen, self._to_least)
        ids, squares = np.empty((n_texts, k), dtype=np.int32), np.empty((n_texts, k))

        def look_at_chosen(start: int, stop: int) -> None:
            texts = np.arange(start, stop)
            ids[texts], squares[texts] = self._ordered(texts, chosen[start:stop], k)

        def look_at_possible(start: int, stop: int, texts: np.ndarray, possible: np.ndarray) -> None:
            for place in range(start, stop):
                others = np.flatnonzero(possible[place]).astype(np.int32)[np.newaxis]
                one = texts[place : place + 1]
                ids[one], squares[one] = self._ordered(one, others, k)

        with threads(chosen.size * n_units) as on_threads:
            on_threads(look_at_chosen, 0, n_texts)
            are_left_out = n_chosen < n_texts - 1
            doubtful = np.flatnonzero(are_left_out & (-at_least[:, -1] <= squares[:, -1]))
            rows_at_once = max(1, BLOCK_VALUES // n_texts)
            for start in range(0, len(doubtful), rows_at_once):
                rows = doubtful[start : start + rows_at_once]
                on_threads(look_at_possible, 0, len(rows), rows, self._possible(rows, k))
        return ids, in_float32(-np.sqrt(squares), self.exponent)

    def _to_least(self, products: np.ndarray, rows: slice, columns: slice) -> None:
        """Make of products minus what the squared distances are at least."""
        sums = np.add.outer(self.squares[rows], self.squares[columns])
        sums *= 1 - self.error
        products *= 2
        products -= sums

    def _ordered(self, texts: np.ndarray, others: np.ndarray, k: int) -> tuple[Ids, Similarities]:
        """Return the k nearest of some others of each text, nearest first, and squared distances."""
        from isodepth.neighbors.kernels import square_differences

        squares = np.empty(others.shape)
        square_differences(self.vectors, texts, others, self.factor, squares)
        order = np.lexsort((others, squares), axis=1)[:, :k]
        return np.take_along_axis(others, order, axis=1), np.take_along_axis(squares, order, axis=1)

    @property
    def error(self) -> float:
        """The most by which rounding makes a squared distance wrong, over the sum of both squares.

        The error of a product of two vectors of p units is below p eps |a||b|, in whatever order it is
        summed up (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 3.1); squares
        and centering add a few eps (|a|^2 + |b|^2). This is twice that, which covers the error of
        distances computed from differences, too.
        """
        n_units: int = self.centered.shape[1]
        return 2 * (n_units + 8) * EPSILON

    def _possible(self, rows: Integer[np.ndarray, " rows"], k: int) -> np.ndarray:
        """Return bool (rows, texts): whether each may be among the k nearest, going by products."""
        sums = self.squares[rows, np.newaxis] + self.squares
        squared = sums - 2 * (self.centered[rows] @ self.centered.T)
        squared[np.arange(len(rows)), rows] = np.inf
        sums *= self.error
        enough = np.partition(squared + sums, k - 1, axis=1)[:, k - 1 : k]
        squared -= sums
        possible: np.ndarray = squared <= enough
        return possible


Prepared = ByProduct | ByDifference


def prepared(vectors: LayerActivations, metric: str) -> Prepared:
    """Return one layer, ready to be asked for neighbors by one of `METRICS`.

    Raises
    ------
    ActivationsError
        If a vector is not finite, or the metric is not defined for it: cosine for zeros, correlation
        for the same value in every unit. The rows are named, from 1.
    """
    if vectors.dtype != np.float32:
        vectors = np.asarray(vectors, dtype=np.float64)
    require_finite(vectors)
    if metric == "euclidean":
        return _by_difference(np.ascontiguousarray(vectors))
    if metric == "cosine":
        undefined = np.flatnonzero(~vectors.any(axis=1))
        require_rows(undefined, "are all zero, so they have no direction and no cosine distance")
    elif metric == "correlation":
        undefined = np.flatnonzero(vectors.max(axis=1) == vectors.min(axis=1))
        require_rows(undefined, "are the same in every unit, so they correlate with nothing")
    first, group = distinct_rows(vectors)
    if group is not None:
        vectors = vectors[first]
    if metric == "inner_product":
        exponent = _exponent(vectors)
        return ByProduct(
            vectors=_by_blocks(vectors, lambda rows: np.ldexp(rows, -exponent)),
            group=group,
            exponent=2 * exponent,
            bound=np.inf,
        )
    unit = _unit_vectors if metric == "cosine" else _centered_unit_vectors
    return ByProduct(vectors=_by_blocks(vectors, unit), group=group, exponent=0, bound=1.0)


def found_by(metric: str | None, preprocessing: str) -> str:
    """Return in words how neighbors were found: "cosine", "inner product, after center"."""
    after = "" if preprocessing == "none" else f", after {preprocessing}"
    return (metric or "a metric that is not known").replace("_", " ") + after


def _by_difference(vectors: LayerActivations) -> ByDifference:
    exponent = _exponent(vectors) + 1  # differences are below twice the largest value
    centered = _by_blocks(vectors, lambda rows: np.ldexp(rows, -exponent))
    is_factor = abs(exponent) <= MOST_EXPONENT
    scaled = vectors if is_factor else centered.copy()
    centered -= centered.mean(axis=0)
    return ByDifference(
        vectors=scaled,
        factor=float(np.ldexp(1.0, -exponent)) if is_factor else 1.0,
        centered=centered,
        squares=np.einsum("ij,ij->i", centered, centered),
        exponent=exponent,
    )


def _exponent(vectors: LayerActivations) -> int:
    """Return which power of 2 is above the largest value; dividing by it rounds nothing."""
    return int(np.frexp(max(float(vectors.max()), -float(vectors.min())))[1])


def _by_blocks(
    vectors: LayerActivations, function: Callable[[np.ndarray], np.ndarray]
) -> Float64[np.ndarray, "texts units"]:
    """Return what a function makes of each row in float64; a third of the time of all rows at once."""
    made = np.empty(vectors.shape)
    for rows in row_blocks(vectors):
        made[rows] = function(np.asarray(vectors[rows], dtype=np.float64))
    return made


def _centered_unit_vectors(exact: Float64[np.ndarray, "texts units"]) -> np.ndarray:
    return _unit_vectors(_centered_texts(exact))


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
