"""What does the average pair look like? The mean matrix on a unit square of relative depths.

Matrices of models with different numbers of layers are first stretched to one size: layer i of n covers
the depths from (i - 1) / n to i / n, and a bin of the square is the mean of what it covers, weighted by
area. Then the mean over the square is the mean over the matrix's cells, whatever the number of bins.

A bright diagonal shows that the average pair corresponds by proportional depth. It shows no more: pairs
share models, so the standard deviation beside it is the spread of these matrices and no error of the
mean; and a ridge that bends differently in every pair averages to a broad one.

>>> import numpy as np
>>> mean_on_unit_square([np.eye(2), np.array([[0.4], [0.2]])], n_bins=2).values
array([[0.7 , 0.15],
       [0.15, 0.6 ]])

Memory: three squares of n_bins, whatever the number of matrices (they may come from a generator).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError, whole_number


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnitSquareMean:
    """The mean of matrices on a unit square, depth of the left model down, of the right one across.

    Parameters
    ----------
    values : float64 array (bins, bins)
        The mean of the resized matrices; bin b of n covers the depths b / n to (b + 1) / n, from 0.
    sd : float64 array (bins, bins)
        Their standard deviation (divided by how many there are): their spread, not an error of the
        mean, because pairs share models.
    n_matrices : int
        How many matrices were given.
    both_orders : bool
        Whether each was also taken with its models exchanged.
    """

    values: Float64[np.ndarray, "bins bins"]
    sd: Float64[np.ndarray, "bins bins"]
    n_matrices: int
    both_orders: bool


def mean_on_unit_square(
    # unnamed axes: every matrix has its own numbers of layers
    matrices: Iterable[Float64[np.ndarray, "_ _"]],
    *,
    n_bins: int = 100,
    both_orders: bool = True,
) -> UnitSquareMean:
    """Return the mean of affinity matrices after each was resized to a square of relative depths.

    Parameters
    ----------
    matrices : iterable of float64 arrays (layers_left, layers_right)
        One per pair of different models; a pair of a model with itself would add its diagonal of ones.
    n_bins : int
        Bins on a side, at least 1.
    both_orders : bool
        Take each matrix with its models exchanged too, which makes the mean symmetric. Which model of a
        pair is on the left is arbitrary, so without this the mean depends on the order of models.

    Returns
    -------
    UnitSquareMean
        Values in the range of the matrices' own.

    Raises
    ------
    ParameterError
        If there are no matrices, some are empty or not finite (all are listed), or `n_bins` is below 1.

    References
    ----------
    Wolfram & Schein 2025, figure 5c: "the mean affinity matrix when all affinity matrices have been
    resized to fit into a square". How they were resized, and whether in both orders, is not said there.
    Here: by area, so that no layer counts more than another, where an image's interpolation would blur
    a matrix smaller than the square and skip rows of a larger one; and in both orders, as in figures 5a
    and 5b.
    """
    n_bins = whole_number(n_bins, "n_bins")
    if n_bins < 1:
        raise ParameterError(f"n_bins must be at least 1; got {n_bins}")
    # Welford's running mean and sum of squared deviations
    mean = np.zeros((n_bins, n_bins))
    squares = np.zeros((n_bins, n_bins))
    n_matrices = n_counted = 0
    refused = []
    for values in matrices:
        n_matrices += 1
        if values.size == 0 or not np.isfinite(values).all():
            shown = "not finite" if values.size else "empty"
            refused.append(f"number {n_matrices} of {values.shape[0]} x {values.shape[1]} is {shown}")
            continue
        square = on_unit_square(values, n_bins)
        for one in (square, square.T) if both_orders else (square,):
            n_counted += 1
            step = one - mean
            mean += step / n_counted
            squares += step * (one - mean)
    if refused:
        raise ParameterError(f"matrices must have layers and finite values; got {'; '.join(refused)}")
    if n_matrices == 0:
        raise ParameterError("expected at least one matrix; got none")
    return UnitSquareMean(
        values=mean, sd=np.sqrt(squares / n_counted), n_matrices=n_matrices, both_orders=both_orders
    )


def on_unit_square(values: AffinityValues, n_bins: int) -> Float64[np.ndarray, "bins bins"]:
    """Return a matrix resized to (n_bins, n_bins): each bin is the mean of what it covers, by area."""
    n_left, n_right = values.shape
    square: Float64[np.ndarray, "bins bins"] = (
        _shares(n_left, n_bins) @ values @ _shares(n_right, n_bins).T
    )
    return square


def _shares(n_layers: int, n_bins: int) -> Float64[np.ndarray, "bins layers"]:
    """Return which share of each bin of depth each layer covers; every row adds up to 1."""
    # in units of 1 / (n_layers n_bins) both kinds of edges are whole numbers
    bins = np.arange(n_bins)[:, np.newaxis] * n_layers
    layers = np.arange(n_layers) * n_bins
    overlap = np.minimum(bins + n_layers, layers + n_bins) - np.maximum(bins, layers)
    shares: Float64[np.ndarray, "bins layers"] = np.maximum(overlap, 0) / n_layers
    return shares
