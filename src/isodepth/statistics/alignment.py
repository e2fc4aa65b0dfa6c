"""Which monotone path through an affinity matrix is the most similar? Dynamic time warping, compiled.

A path runs from the first layers of both models to the last ones and steps ahead in one model, or in
both at once. A step in both has weight 2, one in a single model weight 1, the start weight 2, so every
path has the total weight layers_left + layers_right: neither short paths, which cut corners, nor long
ones are favored, and minimizing the weighted sum of 1 - similarity is maximizing that of similarity.

Similarities are taken in units of 2**-40 of their range and summed as integers. So equal is equal,
whatever the order of the sums, and the result is the same on every machine. Of equally similar paths
the one nearest to proportional depth is taken (the smallest weighted sum of the cells' distance from
it). If these tie as well, the last step in which they differ decides: a step in both models goes before
one in the model with more layers, and that before one in the other; of two as long, the left model's
goes first. A constant matrix so gives the proportional path. Exchanging the models transposes the path,
save where two models have equally many layers and everything before the last rule ties.

>>> best_path(np.eye(3)).tolist()
[[0, 0], [1, 1], [2, 2]]

Memory: 25 bytes a cell, whatever the number of matrices; 8 bytes a layer and matrix for the result.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PathSpans:
    """Monotone paths, as the first and last partner, an index from 0, of every layer.

    Parameters
    ----------
    left_first, left_last : int32 arrays (matrices, layers_left)
        The right layers that each left layer meets.
    right_first, right_last : int32 arrays (matrices, layers_right)
        The left layers that each right layer meets.
    """

    left_first: Int32[np.ndarray, "matrices layers_left"]
    left_last: Int32[np.ndarray, "matrices layers_left"]
    right_first: Int32[np.ndarray, "matrices layers_right"]
    right_last: Int32[np.ndarray, "matrices layers_right"]

    def followed_by(self, others: "PathSpans") -> "PathSpans":
        """Return these paths and then other ones, of the same two models."""
        return PathSpans(
            left_first=np.concatenate([self.left_first, others.left_first]),
            left_last=np.concatenate([self.left_last, others.left_last]),
            right_first=np.concatenate([self.right_first, others.right_first]),
            right_last=np.concatenate([self.right_last, others.right_last]),
        )

    def left_partners(self) -> Float64[np.ndarray, "matrices layers_left"]:
        """Return the mean number, from 1, of the right layers that each left layer meets."""
        partners: np.ndarray = (self.left_first + self.left_last) / 2 + 1
        return partners

    def right_partners(self) -> Float64[np.ndarray, "matrices layers_right"]:
        """Return the mean number, from 1, of the left layers that each right layer meets."""
        partners: np.ndarray = (self.right_first + self.right_last) / 2 + 1
        return partners

    def path(self, matrix: int = 0) -> Int64[np.ndarray, "steps 2"]:
        """Return the cells of one path, from the first layers to the last ones."""
        first = self.left_first[matrix].astype(np.int64)
        counts = self.left_last[matrix] - first + 1
        rows = np.repeat(np.arange(len(first)), counts)
        starts = np.repeat(first - (np.cumsum(counts) - counts), counts)
        return np.column_stack([rows, starts + np.arange(len(rows))])

    def means(
        self, values: Float[np.ndarray, "resamples layers_left layers_right"]
    ) -> Float64[np.ndarray, " resamples"]:
        """Return the mean similarity of each matrix along its path, weighted as paths are chosen.

        Parameters
        ----------
        values : float array (resamples, layers_left, layers_right)
            As many matrices as there are paths, or any number for a single path.
        """
        n_matrices, n_left, n_right = values.shape
        left_first = np.broadcast_to(self.left_first, (n_matrices, n_left))
        right_first = np.broadcast_to(self.right_first, (n_matrices, n_right))
        # the weight of a cell counts the layers that the path meets there for the first time
        on_left = np.take_along_axis(values, left_first[:, :, np.newaxis], axis=2)
        on_right = np.take_along_axis(values, right_first[:, np.newaxis, :], axis=1)
        sums = on_left.sum(axis=(1, 2), dtype=np.float64) + on_right.sum(axis=(1, 2), dtype=np.float64)
        means: np.ndarray = sums / (n_left + n_right)
        return means


def best_spans(
    values: Float[np.ndarray, "matrices layers_left layers_right"], name: str = "values"
) -> PathSpans:
    """Return the most similar monotone path through each of many matrices of the same two models.

    Parameters
    ----------
    values : float array (matrices, layers_left, layers_right)
        Affinity matrices, for example of resampled texts.
    name : str
        What errors call the values.

    Raises
    ------
    ParameterError
        If values are not finite, or there is no matrix or no layer on a side.

    References
    ----------
    Sakoe & Chiba 1978, "Dynamic programming algorithm optimization for spoken word recognition", IEEE
    Transactions on Acoustics, Speech, and Signal Processing 26: the symmetric form, P = 0, without a
    window (``symmetric2`` in the packages dtw and dtw-python). Differs in that ties are decided, and
    summed as integers.
    """
    if values.size == 0:
        raise ParameterError(
            f"{name} must hold at least one layer of either model; got (matrices, layers_left, "
            f"layers_right) = {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ParameterError(
            f"{name} must be finite; {np.count_nonzero(~np.isfinite(values)):,} of {values.size:,} are "
            "NaN or infinite"
        )
    from isodepth.statistics.alignment_kernel import fill_spans

    n_matrices, n_left, n_right = values.shape
    left = [np.zeros((n_matrices, n_left), dtype=np.int32) for _ in range(2)]
    right = [np.zeros((n_matrices, n_right), dtype=np.int32) for _ in range(2)]
    fill_spans(np.ascontiguousarray(values, dtype=np.float64), *left, *right)
    return PathSpans(left_first=left[0], left_last=left[1], right_first=right[0], right_last=right[1])


def best_path(values: AffinityValues) -> Int64[np.ndarray, "steps 2"]:
    """Return the cells, (left, right) from 0, of the most similar monotone path through a matrix.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix.

    Raises
    ------
    ParameterError
        As `best_spans`.
    """
    return best_spans(values[np.newaxis]).path()


def proportional_spans(n_left: int, n_right: int) -> PathSpans:
    """Return the path nearest to proportional depth, that of a matrix without any structure."""
    return best_spans(np.zeros((1, n_left, n_right)))
