"""Which layers lie early, in the middle, late? The parts of a matrix that depth structure is told from.

Layers have the depth of the middle of their share of the model, (layer - 1/2) / number of layers: so
the early, middle and late third of models of any lengths are the same parts of the unit square.
"""

import itertools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

SECTIONS = ("early", "middle", "late")
"""The thirds of depth."""
ENDS = 0.2
"""The first and the last fifth of depth are the ends."""
CENTER = (0.3, 0.7)
"""Where the middle lies that is compared with the ends; a tenth is left between."""
FEWEST_LAYERS = 6
"""Two layers a third; with fewer there is no order within a third."""


class Center(NamedTuple):
    """Which layers lie at the first end, in the center, at the last end; each bool (layers,)."""

    first: Bool[np.ndarray, " layers"]
    center: Bool[np.ndarray, " layers"]
    last: Bool[np.ndarray, " layers"]


def mid_depths(n_layers: int) -> Float64[np.ndarray, " layers"]:
    """Return the depth of the middle of each layer's share of the model, (layer - 1/2) / n_layers."""
    return (np.arange(n_layers) + 0.5) / n_layers


def sections(n_layers: int) -> tuple[slice, ...]:
    """Return the early, the middle and the late third of the layers."""
    bounds = np.searchsorted(mid_depths(n_layers), np.arange(4) / 3 - 1e-12)
    return tuple(slice(int(start), int(stop)) for start, stop in itertools.pairwise(bounds))


def depth_window(n_layers: int, start: float, stop: float) -> Float64[np.ndarray, " layers"]:
    """Return weights of a mean over a window of depth: each layer's share of it, summing to 1.

    Parameters
    ----------
    n_layers : int
        Layers; layer i takes up (i - 1) / n_layers to i / n_layers.
    start, stop : float
        The window, within 0 to 1.
    """
    bounds = np.arange(n_layers + 1) / n_layers
    shares = np.clip(np.minimum(bounds[1:], stop) - np.maximum(bounds[:-1], start), 0, None)
    weights: np.ndarray = shares / shares.sum()
    return weights


def center_and_ends(n_layers: int) -> Center:
    """Return the layers of the first end, of the center and of the last end."""
    depths = mid_depths(n_layers)
    return Center(
        first=depths < ENDS,
        center=(depths > CENTER[0]) & (depths < CENTER[1]),
        last=depths > 1 - ENDS,
    )
