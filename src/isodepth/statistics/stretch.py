"""How far is a correspondence from proportional, and where is one model compressed?

Departure: the matched relative depth in the right model minus the own one in the left. Here, and only
here, a layer's depth is that of its middle, (layer - 1/2) / n_layers. With layer / n_layers the first
layers of models of 40 and 20 layers would lie at 1/40 and 1/20, and a perfectly proportional map would
seem to depart by half a layer; with middles, left layers 1 and 2 and right layer 1 meet at 1/20.
The departure is told at the layers of the model with fewer layers (at all layers where both have as
many), since a layer of the longer model cannot be matched more finely than to a whole one of the
shorter. What is left of rounding is at most half a layer of the longer model.

Compression: the slope of the matched positions, as shares of the models, in a window that slides along
the layers. A run of layers whose slope stays below 1/2 is compressed into fewer layers of the other
model than proportional depth would give it.

Memory: 8 bytes a layer and resample; 8 bytes a pair of layers of one model.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.statistics.alignment import PathSpans
from isodepth.statistics.estimates import Estimate, resampled_estimate

WINDOW = 5
"""Layers of the model with fewer layers in a window.

With fewer, rounding to whole layers alone looks like compression: 80 layers on 32 come in steps of 2
and 3.
"""
COMPRESSED = 0.5
"""The slope below which layers are called compressed: twice as many as proportional depth gives."""
FEWEST_LAYERS = 3
"""Of a compressed segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How far matched layers are from proportional depth, as a share of the depth of a model.

    Parameters
    ----------
    signed : Estimate
        The mean of right minus left depth, in (-1, 1). Positive: the right model reaches the same
        content later.
    absolute : Estimate
        The mean of the absolute value, in [0, 1). Noise in the path adds to it.
    largest : Estimate
        The largest in absolute value, with its sign. The interval is that of the same layer under
        resampled texts; as the layer was chosen for being the largest, it may lie too far from 0.
    largest_model : str
        Whose layer that is: "left" or "right".
    largest_layer : int
        Its number, from 1.
    """

    signed: Estimate
    absolute: Estimate
    largest: Estimate
    largest_model: str
    largest_layer: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedSegment:
    """Neighboring layers of one model that correspond to far fewer of the other. Numbers start at 1.

    Parameters
    ----------
    compressed : str
        Whose many layers correspond to few: "left" or "right".
    first, last : int
        These layers.
    other_first, other_last : int
        The layers of the other model that the path matches them with.
    slope : float
        The mean local slope over these layers, in [0, 1/2).
    support : float or None
        The share of resamples in which the mean slope of these same layers is below 1/2; None without
        resamples. The segment was found on the full sample, so this is support, not a test.
    """

    compressed: str
    first: int
    last: int
    other_first: int
    other_last: int
    slope: float
    support: float | None

    @property
    def factor(self) -> float | None:
        """How many times as many layers as proportional; None where the other model stands still."""
        return 1 / self.slope if self.slope > 0 else None


def local_slopes(
    positions: Float64[np.ndarray, "resamples layers"], n_other: int
) -> Float64[np.ndarray, "resamples layers"] | None:
    """Return the local slope of matched positions at each layer, 1 where proportional.

    Parameters
    ----------
    positions : float64 array (resamples, layers)
        Matched positions, in layer numbers of the other model.
    n_other : int
        How many layers the other model has.

    Returns
    -------
    float64 array (resamples, layers) or None
        The least-squares slope over the window around each layer, times layers / n_other; at the ends
        over the outermost whole window. The window holds as many layers as it takes to span 5 of the
        model with fewer. None if that one has fewer than 5.
    """
    n_layers = positions.shape[1]
    if min(n_layers, n_other) < WINDOW:
        return None
    width = min(n_layers, math.ceil(WINDOW * max(1.0, n_layers / n_other)) | 1)
    starts = np.clip(np.arange(n_layers) - width // 2, 0, n_layers - width)
    centered = np.arange(width) - (width - 1) / 2
    windows = np.lib.stride_tricks.sliding_window_view(positions, width, axis=1)
    slopes: np.ndarray = windows @ centered / (centered**2).sum() * n_layers / n_other
    return slopes[:, starts]


def compressed_segments(
    compressed: str,
    slopes: Float64[np.ndarray, "resamples layers"],
    first: np.ndarray,
    last: np.ndarray,
) -> tuple[CompressedSegment, ...]:
    """Return the maximal runs of at least 3 layers whose slope is below 1/2.

    Parameters
    ----------
    compressed : str
        Whose layers they are, "left" or "right".
    slopes : float64 array (resamples, layers)
        Local slopes; the first row those of the full sample.
    first, last : integer arrays (layers,)
        The partners of each layer on the full sample, from 0.
    """
    is_flat = np.concatenate([[False], slopes[0] < COMPRESSED, [False]])
    edges = np.flatnonzero(is_flat[1:] != is_flat[:-1])
    segments = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < FEWEST_LAYERS:
            continue
        means = slopes[:, start:stop].mean(axis=1)
        segments.append(
            CompressedSegment(
                compressed=compressed,
                first=int(start) + 1,
                last=int(stop),
                other_first=int(first[start]) + 1,
                other_last=int(last[stop - 1]) + 1,
                slope=float(means[0]),
                support=float((means[1:] < COMPRESSED).mean()) if len(means) > 1 else None,
            )
        )
    return tuple(segments)


def departure(spans: PathSpans, *, level: float, n_texts: int) -> Departure:
    """Return how far paths are from proportional depth.

    Parameters
    ----------
    spans : PathSpans
        The path of the full sample, then those of the resamples, if there are any.
    level : float
        Of the intervals.
    n_texts : int
        Texts, for the estimates to show; 0 where not known.
    """
    n_left, n_right = spans.left_first.shape[1], spans.right_first.shape[1]
    parts, places = [], []
    if n_left <= n_right:
        own = (np.arange(n_left) + 0.5) / n_left
        parts.append((spans.left_partners() - 0.5) / n_right - own)
        places += [("left", layer) for layer in range(1, n_left + 1)]
    if n_right <= n_left:
        own = (np.arange(n_right) + 0.5) / n_right
        parts.append(own - (spans.right_partners() - 0.5) / n_left)
        places += [("right", layer) for layer in range(1, n_right + 1)]
    ahead = np.concatenate(parts, axis=1)
    largest = int(np.abs(ahead[0]).argmax())
    model, layer = places[largest]

    def estimate(samples: np.ndarray, within: tuple[float, float] = (-1.0, 1.0)) -> Estimate:
        if len(samples) == 1:
            return Estimate(value=float(samples[0]), n=n_texts)
        return resampled_estimate(
            float(samples[0]), samples[1:], level=level, n_texts=n_texts, within=within
        )

    return Departure(
        signed=estimate(ahead.mean(axis=1)),
        absolute=estimate(np.abs(ahead).mean(axis=1), within=(0.0, 1.0)),
        largest=estimate(ahead[:, largest]),
        largest_model=model,
        largest_layer=layer,
    )
