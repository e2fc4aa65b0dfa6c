"""Which layers of the other model does each layer correspond to, and how sure is that?

A path through an affinity matrix matches each layer with a run of layers of the other model; their mean
is its matched position, a real layer number. Resampled texts give resampled paths, and these the bands.

>>> rank_band(np.arange(40.0)[:, np.newaxis], level=0.9, simultaneous=False)
(array([2.]), array([37.]))

Memory: 40 bytes a layer and resample.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from isodepth.axes import AffinityValues


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bands:
    """Where resampled texts put the matched positions, in layer numbers of the other model.

    Parameters
    ----------
    low, high : float64 array (layers,)
        Pointwise: for each layer by itself, what holds at least `level` of the resampled positions,
        with as many left out below as above.
    simultaneous_low, simultaneous_high : float64 array (layers,)
        What holds at least `level` of the resampled correspondences at all layers at once. A statement
        about the whole map ("these layers never meet") needs this one.
    level : float
        As asked for: 0.95.
    """

    low: Float64[np.ndarray, " layers"]
    high: Float64[np.ndarray, " layers"]
    simultaneous_low: Float64[np.ndarray, " layers"]
    simultaneous_high: Float64[np.ndarray, " layers"]
    level: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correspondence:
    """What every layer of one model is matched with in the other. Layer numbers start at 1.

    Parameters
    ----------
    layer : float64 array (layers,)
        The matched position in the other model, a layer number: the mean of `first` and `last`.
    depth : float64 array (layers,)
        The matched relative depth, layer / number of layers, in (0, 1].
    first, last : int64 arrays (layers,)
        The run of layers of the other model that the path matches each layer with.
    nearest : int64 array (layers,)
        One layer of the other model: the one at the matched position; where that lies between two, the
        more similar one, then the first.
    similarity : float64 array (layers,)
        The mean similarity to the layers of the run.
    margin : float64 array (layers,)
        That minus the mean similarity to all other layers of the other model. Near 0, the layer is as
        similar to the rest, and its match says nothing. NaN where the run is the whole model.
    slope : float64 array (layers,) or None
        Layers passed by in the other model for each one in this, as shares of either model: 1 is
        proportional, below 1 this model's layers are the more compressed; see
        `isodepth.statistics.stretch`. None for models of fewer than 5 layers.
    bands : Bands or None
        None without resamples.
    """

    layer: Float64[np.ndarray, " layers"]
    depth: Float64[np.ndarray, " layers"]
    first: Int64[np.ndarray, " layers"]
    last: Int64[np.ndarray, " layers"]
    nearest: Int64[np.ndarray, " layers"]
    similarity: Float64[np.ndarray, " layers"]
    margin: Float64[np.ndarray, " layers"]
    slope: Float64[np.ndarray, " layers"] | None
    bands: Bands | None


def correspondence(
    values: AffinityValues,
    first: np.ndarray,
    last: np.ndarray,
    *,
    slope: Float64[np.ndarray, " layers_left"] | None,
    resampled: Float64[np.ndarray, "resamples layers_left"] | None,
    level: float,
) -> Correspondence:
    """Return what each row's layer is matched with among the columns' layers.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix, rows the layers that are matched.
    first, last : integer arrays (layers_left,)
        The run of columns, from 0, of each row.
    slope : float64 array (layers_left,) or None
        The local slope.
    resampled : float64 array (resamples, layers_left) or None
        The matched positions, layer numbers, of resampled texts.
    level : float
        Of the bands.
    """
    n_right = values.shape[1]
    columns = np.arange(n_right)
    is_matched = (columns >= first[:, np.newaxis]) & (columns <= last[:, np.newaxis])
    n_matched = is_matched.sum(axis=1)
    similarity = (values * is_matched).sum(axis=1) / n_matched
    n_other = n_right - n_matched
    others = (values * ~is_matched).sum(axis=1) / np.where(n_other > 0, n_other, np.nan)
    layer = (first + last) / 2 + 1
    below, above = np.floor(layer).astype(np.int64), np.ceil(layer).astype(np.int64)
    rows = np.arange(len(values))
    return Correspondence(
        layer=layer,
        depth=layer / n_right,
        first=first.astype(np.int64) + 1,
        last=last.astype(np.int64) + 1,
        nearest=np.where(values[rows, above - 1] > values[rows, below - 1], above, below),
        similarity=similarity,
        margin=similarity - others,
        slope=slope,
        bands=None if resampled is None else bands(resampled, level),
    )


def bands(resampled: Float64[np.ndarray, "resamples layers"], level: float) -> Bands:
    """Return the pointwise and the simultaneous band of resampled positions.

    References
    ----------
    The simultaneous one is the global rank envelope of Myllymäki et al. 2017 ("Global envelope tests
    for spatial processes", JRSS B 79), of resamples instead of simulations under a null model.
    """
    low, high = rank_band(resampled, level=level, simultaneous=False)
    all_low, all_high = rank_band(resampled, level=level, simultaneous=True)
    return Bands(low=low, high=high, simultaneous_low=all_low, simultaneous_high=all_high, level=level)


def rank_band(
    samples: Float64[np.ndarray, "resamples layers"], *, level: float, simultaneous: bool
) -> tuple[Float64[np.ndarray, " layers"], Float64[np.ndarray, " layers"]]:
    """Return the narrowest band from the c-th smallest to the c-th largest sample that holds enough.

    Parameters
    ----------
    samples : float64 array (resamples, layers)
        Resampled values.
    level : float
        The share of the samples to hold.
    simultaneous : bool
        Whether samples count as held only where they are so at all layers, with one c for all layers;
        else each layer has its own c.
    """
    from scipy import stats

    n_samples = len(samples)
    from_below = stats.rankdata(samples, method="max", axis=0)
    from_above = n_samples + 1 - stats.rankdata(samples, method="min", axis=0)
    ranks = np.minimum(from_below, from_above)
    if simultaneous:
        ranks = np.broadcast_to(ranks.min(axis=1, keepdims=True), samples.shape)
    n_outside = n_samples - math.ceil(level * n_samples - 1e-9)  # 0.95 * 20 may be a little above 19
    place = np.sort(ranks, axis=0)[n_outside].astype(np.int64) - 1
    ordered = np.sort(samples, axis=0)
    layers = np.arange(samples.shape[1])
    return ordered[place, layers], ordered[n_samples - 1 - place, layers]
