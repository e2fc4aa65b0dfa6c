"""How does the overlap of two graphs vary when one is relabelled at random? Its exact moments.

Write A and B for two neighbor graphs as 0/1 matrices less their mean, k / (n - 1), off the diagonal.
Under a uniformly random relabelling p of the texts, the overlap less its mean is
X = sum_ij A_ij B_p(i)p(j), and

    E[X^m] = sum over patterns of (A's total) (B's total) / (number of index tuples),

where a pattern says which of the 2m indices of m arcs are equal (Mantel 1967 for m = 2). A total over
different indices is a signed sum of totals over indices that may coincide, by Moebius inversion. Of
these almost all vanish, because each text has k neighbors, so that every row of A sums to 0: 3 are left
for m = 2 and 8 for m = 3. So E[X^m] is the product of 3 or 8 numbers of A, as many of B, and a small
matrix that depends on n alone.

>>> totals = [neighbor_totals(ids, with_third=True) for ids in (left_ids, right_ids)]  # doctest: +SKIP
>>> totals[0].variance(totals[1])                                                      # doctest: +SKIP

Memory: 88 bytes a layer, and of the layers at work, one a core, what `isodepth.statistics.graph_counts`
says.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import permutations

import numpy as np
from jaxtyping import Float64, Int32

from isodepth.axes import AffinityValues
from isodepth.cores import usable_cores

Arcs = tuple[tuple[int, int], ...]

# the arcs of the totals that do not vanish, in the order of `NeighborTotals`
_SECOND: tuple[Arcs, ...] = (
    ((0, 1), (0, 1)),
    ((0, 1), (1, 0)),
    ((0, 2), (1, 2)),
)
_THIRD: tuple[Arcs, ...] = (
    ((0, 1), (0, 1), (0, 1)),
    ((0, 1), (0, 1), (1, 0)),
    ((0, 1), (1, 2), (2, 0)),
    ((0, 1), (1, 2), (0, 2)),
    ((0, 1), (0, 1), (2, 1)),
    ((0, 1), (1, 0), (2, 0)),
    ((0, 3), (1, 3), (2, 3)),
    ((0, 1), (2, 0), (3, 1)),
)
MOST_THREADS = 8
_LEAST_VARIANCE = 1e-12
"""Share of the leading term under which a variance is rounding. It can be 0 although k < n - 1: a
tournament against a symmetric graph shares as many arcs under every relabelling."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeighborTotals:
    """What of each layer's neighbor graph decides how its overlap with any other graph varies.

    Parameters
    ----------
    n_texts, k : int
        Texts, and neighbors per text.
    second : float64 array (layers, 3)
        Sums over pairs of arcs of the centered graph: the same arc, reversed ones, ones to the same
        text.
    third : float64 array (layers, 8), or None
        The same over triples of arcs; None where only mean and variance are wanted.
    """

    n_texts: int
    k: int
    second: Float64[np.ndarray, "layers 3"]
    third: Float64[np.ndarray, "layers 8"] | None

    def variance(self, other: "NeighborTotals") -> AffinityValues:
        """Return the variance of the number of shared neighbors, (layers, layers of the other)."""
        variance: AffinityValues = self.second @ _weights(_SECOND, self.n_texts) @ other.second.T
        leading = self.second[0, 0] * other.second[0, 0] / (self.n_texts * (self.n_texts - 1))
        variance[variance < _LEAST_VARIANCE * leading] = 0.0
        return variance

    def third_moment(self, other: "NeighborTotals") -> AffinityValues | None:
        """Return the third central moment of the same, or None where either has no triples."""
        if self.third is None or other.third is None:
            return None
        moment: AffinityValues = self.third @ _weights(_THIRD, self.n_texts) @ other.third.T
        return moment


def neighbor_totals(ids: Int32[np.ndarray, "layers texts k"], *, with_third: bool) -> NeighborTotals:
    """Return the totals of each layer's neighbor graph.

    Parameters
    ----------
    ids : int32 array (layers, texts, k)
        Checked neighbor ids (`isodepth.affinity.mutual_knn.checked_ids`).
    with_third : bool
        Whether also what the third moment needs. Takes time in proportion to layers x texts x k^2
        instead of layers x texts x k.
    """
    from isodepth.statistics.graph_counts import graph_counts  # compiles

    n_layers, n, k = ids.shape

    def counted(layer: int) -> np.ndarray:
        found: np.ndarray = graph_counts(np.require(ids[layer], np.int32, ["C", "A"]), with_third)
        return found

    with ThreadPoolExecutor(min(usable_cores(), MOST_THREADS, n_layers)) as executor:
        counts = np.array([*executor.map(counted, range(n_layers))], dtype=np.float64)
    answered, squares, cubes, with_answered, along, closed, shortcuts = counts.T
    arcs, mean = n * k, k / (n - 1)
    rest = 1 - mean
    same = np.full(len(ids), arcs * rest)
    second = np.stack([same, answered - mean * arcs, squares], axis=1)
    third = np.stack(
        [
            same * (rest**2 - mean**2),
            answered * rest**3
            + (arcs - answered) * (mean**2 * rest - mean * rest**2)
            - (n * (n - 1) - 2 * arcs + answered) * mean**3,
            closed + 3 * mean * answered + n * mean**3 - (n * mean) ** 3,
            shortcuts
            + mean * (answered + 2 * arcs)
            + n * mean**3
            - mean * (squares + n * (n * mean) ** 2),
            (1 - 2 * mean) * squares,
            with_answered - mean * squares,
            cubes,
            along + mean * squares,
        ],
        axis=1,
    )
    return NeighborTotals(n_texts=n, k=k, second=second, third=third if with_third else None)


def joined_totals(totals: Sequence[NeighborTotals]) -> NeighborTotals:
    """Return the totals of several models' layers, one after the other.

    Parameters
    ----------
    totals : sequence of NeighborTotals
        Of graphs with the same texts and k; all with triples, or none.
    """
    thirds = [one.third for one in totals if one.third is not None]
    return replace(
        totals[0],
        second=np.concatenate([one.second for one in totals]),
        third=np.concatenate(thirds) if thirds else None,
    )


def _weights(shapes: tuple[Arcs, ...], n_texts: int) -> np.ndarray:
    """Return what the totals of two graphs of n texts are multiplied with."""
    products = _products(shapes)
    # fewer texts than a pattern has indices: it has no tuples
    most = min(n_texts, len(products) - 1)
    weights: np.ndarray = np.sum(
        [products[m] / math.perm(n_texts, m) for m in range(2, most + 1)], axis=0
    )
    return weights


@cache
def _products(shapes: tuple[Arcs, ...]) -> np.ndarray:
    """Return, by the number of indices, the sums over patterns of products of their coefficients.

    A pattern's coefficients turn the totals over indices that may coincide, `shapes`, into its total
    over different ones.
    """
    column = {_canonical(arcs): at for at, arcs in enumerate(shapes)}
    n_ends = 2 * len(shapes[0])
    products = np.zeros((n_ends + 1, len(shapes), len(shapes)))
    for pattern in _partitions(n_ends):
        n_indices = max(pattern) + 1
        coefficients = np.zeros(len(shapes))
        for merging in _partitions(n_indices):
            merged = [merging[index] for index in pattern]
            at = column.get(_canonical(tuple(zip(merged[::2], merged[1::2], strict=True))))
            if at is not None:
                sizes = np.bincount(merging)
                coefficients[at] += math.prod(
                    (-1) ** (int(size) - 1) * math.factorial(int(size) - 1) for size in sizes
                )
        if all(one != other for one, other in zip(pattern[::2], pattern[1::2], strict=True)):
            products[n_indices] += np.outer(coefficients, coefficients)
    return products


def _partitions(n: int) -> Iterator[tuple[int, ...]]:
    """Yield all ways to put n things into groups, as the group of each, numbered as they appear."""
    if n == 0:
        yield ()
        return
    for before in _partitions(n - 1):
        for group in range(max(before, default=-1) + 2):
            yield (*before, group)


@cache
def _canonical(arcs: Arcs) -> Arcs:
    """Return the same arcs between indices numbered in the one way that comes first."""
    indices = sorted({end for arc in arcs for end in arc})
    if len(indices) > len(arcs) + 1:  # not connected; each such total vanishes
        return arcs
    renumbered = (dict(zip(indices, order, strict=True)) for order in permutations(range(len(indices))))
    return min(tuple(sorted((new[i], new[j]) for i, j in arcs)) for new in renumbered)
