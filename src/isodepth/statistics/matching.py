"""Which layer of the other model is most similar to each layer?

If layers correspond by depth, the most similar layers rise with depth, in both directions: a rank
correlation near 1. Two corner blocks, which the on/off contrast cannot tell from a ridge, give a lower
one.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64, Int64

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError

FEWEST_LAYERS = 3
"""A rank correlation over fewer layers says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerMatches:
    """The most similar layers in both directions.

    Parameters
    ----------
    left_to_right : int64 array (layers_left,)
        For each left layer, the index (from 0) of the most similar right layer; ties to the lower.
    left_similarity : float64 array (layers_left,)
        The similarity of these pairs.
    right_to_left, right_similarity
        The same the other way, (layers_right,).
    left_rank_correlation, right_rank_correlation : float or None
        Spearman's correlation of a layer's number with its match's, in [-1, 1]. None where it is
        undefined: fewer than 3 layers, or the same match for all.
    """

    left_to_right: Int64[np.ndarray, " layers_left"]
    left_similarity: Float64[np.ndarray, " layers_left"]
    right_to_left: Int64[np.ndarray, " layers_right"]
    right_similarity: Float64[np.ndarray, " layers_right"]
    left_rank_correlation: float | None
    right_rank_correlation: float | None


def layer_matches(values: AffinityValues) -> LayerMatches:
    """Return the most similar layers of an affinity matrix, in both directions.

    Raises
    ------
    ParameterError
        If values are not finite.

    References
    ----------
    Wolfram & Schein 2025, figures 5a and 5b. The rank correlation is ours.
    """
    if not np.isfinite(values).all():
        raise ParameterError("values must be finite; the matrix holds NaN or infinity")
    left_to_right = values.argmax(axis=1)
    right_to_left = values.argmax(axis=0)
    return LayerMatches(
        left_to_right=left_to_right,
        left_similarity=values.max(axis=1),
        right_to_left=right_to_left,
        right_similarity=values.max(axis=0),
        left_rank_correlation=_rank_correlation(left_to_right),
        right_rank_correlation=_rank_correlation(right_to_left),
    )


def _rank_correlation(matches: np.ndarray) -> float | None:
    if len(matches) < FEWEST_LAYERS or np.ptp(matches) == 0:
        return None
    return float(scipy.stats.spearmanr(np.arange(len(matches)), matches).statistic)
