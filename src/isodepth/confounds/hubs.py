"""Are two layers alike because both name the same few texts? Similarities that count less toward hubs.

In many dimensions some texts, the hubs, stand among the nearest neighbors of very many others, and some
in nobody's (Radovanović et al. 2010). Layers that share their hubs share neighbors, whatever else they
hold. Both corrections ask not how similar two texts are, but how similar for these two: a hub is
similar to all.

>>> from isodepth.confounds import layer_similarities, nearest
>>> rng = np.random.default_rng(0)
>>> vectors = rng.normal(size=(200, 50)) + 0.3 * rng.normal(size=50)
>>> plain = layer_similarities(vectors)
>>> def most_named(similarities): return int(np.bincount(nearest(similarities, 10)[0].ravel()).max())
>>> [most_named(one) for one in (plain, local_scaling(plain), mutual_proximity(plain))]
[32, 17, 18]

Mutual proximity takes similarities of any kind. Local scaling divides distances: minus a Euclidean
distance is one as it stands, cosines and correlations tell the chords between unit vectors. Inner
products are none: by them a text need not even be nearest to itself.

Memory: four arrays (texts, texts) in float64 beside the one handed over; 2,048 texts take 134 MB.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from isodepth.confounds.similarities import TextSimilarities, refuse_unusable
from isodepth.errors import ParameterError, listed

SCALING_K = 10
"""Neighbors that tell a text's own scale, where there are as many."""
LEAST_DISTANCE = 2.0**-26
"""Shorter chords between unit vectors are rounding of their cosine, which is 1 up to 2 ** -53.

Of other distances the least scale is this share of the largest.
"""
ROUNDING = 1e-6


def _chords(cosines: np.ndarray) -> np.ndarray:
    """Return the distances between unit vectors of these cosines."""
    chords: np.ndarray = np.sqrt(np.maximum(2.0 - 2.0 * cosines, 0.0))
    return chords


SCALED_METRICS: dict[str, tuple[float, float, Callable[[np.ndarray], np.ndarray]]] = {
    "cosine": (-1.0, 1.0, _chords),
    "correlation": (-1.0, 1.0, _chords),
    "euclidean": (-np.inf, 0.0, np.negative),
}
"""The metrics that local scaling takes: similarities from where to where, and their distances."""


def refuse_unscaled(metric: str) -> None:
    """Raise `ParameterError` unless local scaling is defined for a metric."""
    if metric not in SCALED_METRICS:
        raise ParameterError(
            f"local scaling divides distances, and {metric.replace('_', ' ')}s are none: expected "
            f"similarities by {listed(list(SCALED_METRICS))}",
            hint="mutual_proximity takes similarities of any kind.",
        )


def local_scaling(
    similarities: TextSimilarities, *, metric: str = "cosine", k: int = SCALING_K
) -> TextSimilarities:
    """Return similarities relative to how near either text's nearest neighbors are, all below or at 0.

    Parameters
    ----------
    similarities : float64 array (texts, texts)
        By the metric, symmetric. The diagonal is not read.
    metric : str
        One of `SCALED_METRICS`: what similarities are.
    k : int
        How many nearest neighbors tell a text's scale; all others where there are fewer.

    Returns
    -------
    float64 array (texts, texts)
        Minus the distance divided by the root of the two texts' scales; symmetric, 0 on the diagonal.
        A text's scale is the mean distance to its neighbors.

    Raises
    ------
    ParameterError
        If the array is no square of finite numbers that the metric can give, the metric has no
        distances, or `k` is less than 1.

    References
    ----------
    Schnitzer, Flexer, Schedl & Widmer 2012, eq. 2 (NICDM, after Jégou et al. 2007). Zelnik-Manor &
    Perona 2004 take the distance to one neighbor, the seventh, where this takes the mean over ten: that
    of one is the noisier. The order of neighbors is that of their eq. 1 with this scale, because
    exp(-x²) falls with x. Bit-equal texts stay equally similar to any third.
    """
    refuse_unscaled(metric)
    refuse_unusable(similarities)
    if k < 1:
        raise ParameterError(f"local scaling: expected k >= 1 neighbors; got {k}")
    others = _others_sorted(similarities)
    low, high = float(others[:, 0].min()), float(others[:, -1].max())
    least, most, distances_of = SCALED_METRICS[metric]
    if low < least - ROUNDING or high > most + ROUNDING:
        raise ParameterError(
            f"local scaling by {metric} takes similarities from {least:g} to {most:g}; got some from "
            f"{low:.3g} to {high:.3g}",
            hint="mutual_proximity takes similarities of any kind.",
        )
    scaled = distances_of(similarities)
    # with as many bit-equal texts as neighbors a scale would be 0
    unit = 1.0 if np.isfinite(least) else -low or 1.0
    scales = np.maximum(distances_of(others[:, -k:]).mean(axis=1), LEAST_DISTANCE * unit)
    scaled /= np.sqrt(np.multiply.outer(scales, scales))
    np.negative(scaled, out=scaled)
    np.fill_diagonal(scaled, 0.0)
    return scaled


def mutual_proximity(similarities: TextSimilarities) -> TextSimilarities:
    """Return how probably either text is more similar to the other than to some text, as a logarithm.

    Parameters
    ----------
    similarities : float64 array (texts, texts)
        Of any kind, symmetric, higher for what is nearer. The diagonal is not read.

    Returns
    -------
    float64 array (texts, texts)
        Log probabilities, at most 0, symmetric; 0 on the diagonal.

    Raises
    ------
    ParameterError
        If the array is no square of finite numbers.

    References
    ----------
    Schnitzer, Flexer, Schedl & Widmer 2012, section 3.2: each text's similarities to the others are
    taken as normal, those of two texts as independent, and the two probabilities are multiplied. As a
    logarithm, because near neighbors' would all round to 1. The empirical form counts texts instead,
    which takes texts³ steps and leaves many ties. Bit-equal texts stay equally similar to any third.
    """
    from scipy import special

    refuse_unusable(similarities)
    others = _others_sorted(similarities)
    means = others.mean(axis=1)
    spreads = others.std(axis=1)
    # a text that is as similar to all others has no order of its own to go by
    spreads[others[:, 0] == others[:, -1]] = np.inf
    proximity: np.ndarray = (similarities - means[:, np.newaxis]) / spreads[:, np.newaxis]
    special.log_ndtr(proximity, out=proximity)
    proximity += proximity.T.copy()
    np.fill_diagonal(proximity, 0.0)
    return proximity


def _others_sorted(similarities: TextSimilarities) -> Float64[np.ndarray, "texts others"]:
    """Return every text's similarities to the others, ascending.

    Sorted, so that sums over them are the same for texts that are equal bit for bit: these have the
    same similarities, in another order.
    """
    n_texts = len(similarities)
    others = similarities.copy()
    np.fill_diagonal(others, -np.inf)
    others.sort(axis=1)
    rest: np.ndarray = others[:, 1:n_texts]
    return rest
