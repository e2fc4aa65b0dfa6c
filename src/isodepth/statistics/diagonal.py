"""Are layers at corresponding depths more similar than others? The paper's test.

The cells of an affinity matrix fall into those on the generalized diagonal, the band of layer pairs
that a monotone stretch of the shorter model onto the longer one can reach, and those off it. The test
asks whether the mean on it is larger.

What it cannot tell: cells are not independent samples, so the p-value describes the contrast within
one matrix and no more; and a matrix with two bright corner blocks and no ridge between them passes as
well. Read it together with `layer_matches`.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import scipy

from isodepth.axes import AffinityMask, AffinityValues
from isodepth.errors import ParameterError, listed

TEST_METHODS = {
    "student": "two-sample t-test with pooled variance",
    "welch": "two-sample t-test with separate variances",
    "mann-whitney": "Mann-Whitney U test",
}


def generalized_diagonal(n_left: int, n_right: int) -> AffinityMask:
    """Return which layer pairs lie on the generalized diagonal, bool (n_left, n_right).

    With n layers on the longer side and m on the shorter, and i, j counted from 1, these are the
    pairs with j <= i <= j + n - m. For n = m it is the diagonal.

    Raises
    ------
    ParameterError
        If a number of layers is below 1.

    References
    ----------
    Wolfram & Schein 2025, section 4.1. Differs in nothing.

    Examples
    --------
    >>> generalized_diagonal(3, 2).astype(int)
    array([[1, 0],
           [1, 1],
           [0, 1]])
    """
    if n_left < 1 or n_right < 1:
        raise ParameterError(f"numbers of layers must be at least 1; got {n_left} and {n_right}")
    ahead = np.arange(n_left)[:, np.newaxis] - np.arange(n_right)
    slack = n_left - n_right
    mask: AffinityMask = (ahead >= min(0, slack)) & (ahead <= max(0, slack))
    return mask


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagonalTest:
    """The contrast between the cells on the generalized diagonal and those off it.

    Parameters
    ----------
    on_mean, off_mean : float
        Mean similarity on and off the generalized diagonal.
    n_on, n_off : int
        How many cells each mean is over.
    statistic, p_value : float
        Of the one-sided test that the mean on is larger.
    method : str
        A key of `TEST_METHODS`.
    """

    on_mean: float
    off_mean: float
    n_on: int
    n_off: int
    statistic: float
    p_value: float
    method: str

    @property
    def difference(self) -> float:
        """The mean on minus the mean off."""
        return self.on_mean - self.off_mean


def diagonal_means(values: AffinityValues) -> tuple[float, float]:
    """Return the mean similarity on the generalized diagonal and off it.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix of models of at least two layers.

    Raises
    ------
    ParameterError
        As `diagonal_test`.
    """
    on, off = _on_and_off(values)
    return _mean(on), _mean(off)


def diagonal_test(values: AffinityValues, *, method: str = "student") -> DiagonalTest:
    """Return whether similarity is higher on the generalized diagonal than off it.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix.
    method : {"student", "welch", "mann-whitney"}
        The one-sided two-sample test. Without any variance within both groups, the t-tests give an
        infinite statistic, or 0 where the means agree, instead of NaN. Mann-Whitney is exact where one
        group has at most 8 cells and no two cells are equal, else by the normal approximation,
        corrected for ties and continuity. A p-value that no float can hold is 0: deep models reach it.

    Raises
    ------
    ParameterError
        If the method is unknown, values are not finite, or no cell lies off the diagonal (a model
        with one layer).

    References
    ----------
    Wolfram & Schein 2025, section 4.1: "student", then Bonferroni over all pairs of models. Differs
    in nothing.
    """
    if method not in TEST_METHODS:
        raise ParameterError(f"method must be one of {listed(list(TEST_METHODS))}; got {method!r}")
    on, off = _on_and_off(values)
    statistic, p_value = _one_sided(on, off, method)
    return DiagonalTest(
        on_mean=_mean(on),
        off_mean=_mean(off),
        n_on=len(on),
        n_off=len(off),
        statistic=statistic,
        p_value=p_value,
        method=method,
    )


def _on_and_off(values: AffinityValues) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells on the generalized diagonal and those off it."""
    if not np.isfinite(values).all():
        raise ParameterError("values must be finite; the matrix holds NaN or infinity")
    mask = generalized_diagonal(*values.shape)
    on, off = values[mask], values[~mask]
    if len(off) == 0:
        raise ParameterError(
            f"a matrix of {values.shape[0]} x {values.shape[1]} layers has no cells off the "
            "generalized diagonal, so there is nothing to compare"
        )
    return on, off


def _mean(cells: np.ndarray) -> float:
    # rounding can carry the mean of equal cells past them, and a difference of 0 to one above 0
    return float(np.clip(cells.mean(), cells.min(), cells.max()))


def _one_sided(on: np.ndarray, off: np.ndarray, method: str) -> tuple[float, float]:
    if method == "mann-whitney":
        ranked = scipy.stats.mannwhitneyu(on, off, alternative="greater")
        return float(ranked.statistic), float(ranked.pvalue)
    if np.ptp(on) == 0 and np.ptp(off) == 0:
        difference = float(on[0] - off[0])
        if difference == 0:
            return 0.0, 0.5
        return float(np.copysign(np.inf, difference)), 0.0 if difference > 0 else 1.0
    with warnings.catch_warnings():
        # one constant group (a model against itself has ones on its diagonal) is no loss of precision
        warnings.filterwarnings("ignore", message="Precision loss", category=RuntimeWarning)
        result = scipy.stats.ttest_ind(on, off, equal_var=method == "student", alternative="greater")
    return float(result.statistic), float(result.pvalue)
