"""Pairs of models with a known relation between their layers, to try the tests on.

Texts have coordinates in a few spaces of their own, the components. A layer at depth d is a weighted
sum of a text's coordinates in them, plus noise of the model: half of it drifts from layer to layer, as
residual streams do, half is the layer's own. Which components a layer holds, how strongly, and whether
the right model holds the same at the same depth, is the structure. Layers share neighbors as far as
they hold the same components.

>>> left, right = planted_models(rng, "ridge", n_texts=256, n_layers=(12, 9))   # doctest: +SKIP
>>> ids = nearest(left, 20)                                                     # doctest: +SKIP
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from isodepth.statistics.sections import mid_depths

N_UNITS = 12
"""Dimensions of a component, and of a layer."""
N_PLACES = 6
"""Components that a ridge is made of."""
WIDTH = 0.12
"""How far in depth each of them reaches: a standard deviation."""
CENTERS_SEED = 77
"""Clusters keep their centers in all simulations: other texts are drawn, from the same population."""
CENTERS_SPREAD = 1.5

Weights = Callable[[np.ndarray], np.ndarray]
"""From depths (layers,) to the weights of components (layers, components)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """What two models have in common, by depth.

    Parameters
    ----------
    left, right : callable
        From depths to weights of the components that both share.
    truth : tuple of str
        The verdicts that are right; two where it is a matter of words.
    says : str
        What it is.
    """

    left: Weights
    right: Weights
    truth: tuple[str, ...]
    says: str


def ridge(depths: np.ndarray) -> np.ndarray:
    """Return weights that pass from component to component; each row has length 1."""
    places = (np.arange(N_PLACES) + 0.5) / N_PLACES
    return _unit_rows(np.exp(-0.5 * ((depths[:, np.newaxis] - places) / WIDTH) ** 2))


def blocks(*bounds: float) -> Weights:
    """Return what gives each stretch between bounds a component of its own."""

    def weights(depths: np.ndarray) -> np.ndarray:
        return np.eye(len(bounds) + 1)[np.searchsorted(bounds, depths, side="right")]

    return weights


def dimmed(weights: Weights, brightness: Callable[[np.ndarray], np.ndarray]) -> Weights:
    """Return the same weights, multiplied by a brightness of the depth."""
    return lambda depths: weights(depths) * brightness(depths)[:, np.newaxis]


def warped(weights: Weights, depth: Callable[[np.ndarray], np.ndarray]) -> Weights:
    """Return the weights that another depth would have."""
    return lambda depths: weights(depth(depths))


def one(depths: np.ndarray) -> np.ndarray:
    """Return the same single component for all layers."""
    return np.ones((len(depths), 1))


def crossed(depths: np.ndarray) -> np.ndarray:
    """Return the weights of a ridge and of its mirror image."""
    return _unit_rows(ridge(depths) + ridge(1 - depths))


def bump(peak: float, width: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return a brightness that is highest, 1, at one depth."""
    return lambda depths: np.exp(-0.5 * ((depths - peak) / width) ** 2)


def _unit_rows(weights: np.ndarray) -> np.ndarray:
    unit: np.ndarray = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return unit


def _mixture(depths: np.ndarray) -> np.ndarray:
    return _unit_rows(np.stack([1 - depths, depths], axis=1))


def _same(weights: Weights, truth: str | tuple[str, ...], says: str) -> Structure:
    truths = (truth,) if isinstance(truth, str) else truth
    return Structure(left=weights, right=weights, truth=truths, says=says)


def _other(left: Weights, right: Weights, truth: str | tuple[str, ...], says: str) -> Structure:
    truths = (truth,) if isinstance(truth, str) else truth
    return Structure(left=left, right=right, truth=truths, says=says)


MATCHED, UNMATCHED, NOTHING = "depth-matched", "shared, not depth-matched", "not shared"
EITHER = (MATCHED, UNMATCHED, "undecided")

STRUCTURES: Mapping[str, Structure] = {
    "no relation": _same(dimmed(one, np.zeros_like), NOTHING, "nothing in common"),
    "ridge": _same(ridge, MATCHED, "each depth has its own mixture of components"),
    "mixture": _same(_mixture, MATCHED, "an early component passes smoothly into a late one"),
    "bright ridge": _same(
        dimmed(ridge, lambda d: 0.5 + d), MATCHED, "a ridge three times as bright at its end"
    ),
    "flat": _same(one, UNMATCHED, "all layers are alike"),
    "two blocks": _same(blocks(0.5), UNMATCHED, "an early and a late half"),
    "three blocks": _same(blocks(0.4, 0.7), UNMATCHED, "an early, a middle and a late part"),
    "thirds": _same(blocks(0.34, 0.67), UNMATCHED, "the same, of equal length"),
    "four blocks": _same(blocks(0.25, 0.5, 0.75), EITHER, "four parts: the finest that is told apart"),
    "corners": _same(
        dimmed(one, lambda d: 2 * np.abs(d - 0.5)),
        UNMATCHED,
        "first and last layers alike, also each other",
    ),
    "corner blocks": _same(
        dimmed(blocks(0.3, 0.7), lambda d: (np.abs(d - 0.5) > 0.2) * 1.0),
        UNMATCHED,
        "first layers alike, last layers alike, nothing between",
    ),
    "bright middle": _same(
        dimmed(one, lambda d: 1 - 2 * np.abs(d - 0.5)),
        UNMATCHED,
        "one component, brightest in the middle",
    ),
    "bump": _same(dimmed(one, bump(0.4, 0.25)), UNMATCHED, "the same, brightest before the middle"),
    "bright bump": _same(
        dimmed(one, lambda d: 4 * bump(0.4, 0.25)(d)), UNMATCHED, "the same, four times as bright"
    ),
    "blocks with a bump": _same(
        dimmed(blocks(0.5), lambda d: 3 * bump(0.45, 0.3)(d)),
        UNMATCHED,
        "two blocks, brightest before the middle",
    ),
    "mirrored ridge": _other(
        ridge, warped(ridge, lambda d: 1 - d), UNMATCHED, "early layers match late"
    ),
    "cross": _same(crossed, UNMATCHED, "a ridge and its mirror image"),
    "half a ridge": _same(
        warped(ridge, lambda d: np.minimum(d, 0.5)),
        UNMATCHED,
        "a ridge, and a block from half of depth",
    ),
    "late ridge": _same(
        warped(ridge, lambda d: np.maximum(d, 0.5)),
        UNMATCHED,
        "a block up to half of depth, then a ridge",
    ),
    "constant third": _same(
        warped(ridge, lambda d: np.where(np.abs(d - 0.5) < 1 / 6, 0.5, d)),
        UNMATCHED,
        "a ridge, but all layers of the middle third are alike",
    ),
    "constant fifth": _same(
        warped(ridge, lambda d: np.where(np.abs(d - 0.5) < 0.1, 0.5, d)),
        EITHER,
        "a ridge, but all layers of the middle fifth are alike",
    ),
    "displaced ridge": _other(
        warped(ridge, lambda d: d + 0.1), ridge, MATCHED, "layers match those 0.1 of depth later"
    ),
    "shifted ridge": _other(
        warped(ridge, lambda d: d + 0.3), ridge, EITHER, "layers match those 0.3 of depth later"
    ),
    "bent ridge": _other(
        ridge, warped(ridge, lambda d: d**1.5), MATCHED, "depth d matches d to the power of 2/3"
    ),
    "stretched ridge": _other(
        ridge,
        warped(ridge, np.square),
        EITHER,
        "depth d matches the root of d: the center of one matches the end of the other",
    ),
    "displaced blocks": _other(
        blocks(0.22, 0.6),
        blocks(0.4, 0.78),
        EITHER,
        "three blocks, whose bounds lie elsewhere in the other model: four places where layers change",
    ),
    "steps of brightness": _same(
        dimmed(one, lambda d: 1.5 * np.cos(5 * np.pi * d) ** 2),
        UNMATCHED,
        "one component that comes and goes with depth",
    ),
}
"""By name; `truth` says which verdicts are right."""


def planted_models(
    rng: np.random.Generator,
    kind: str,
    *,
    n_texts: int,
    n_layers: tuple[int, int] = (12, 9),
    noise: float = 1.0,
    n_clusters: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points of two models, each float32 (layers, texts, units).

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the texts and of the noise.
    kind : str
        A key of `STRUCTURES`.
    n_texts : int
        Texts, drawn independently.
    n_layers : (int, int)
        Layers of the left and of the right model.
    noise : float
        The standard deviation of a layer's noise; that of a component is 1, around a cluster's center.
    n_clusters : int
        Groups of texts, the same ones in all components; 0 for none.
    """
    structure = STRUCTURES[kind]
    weights = [
        of_depth(mid_depths(number))
        for of_depth, number in zip((structure.left, structure.right), n_layers, strict=True)
    ]
    n_components = weights[0].shape[1]
    texts = rng.standard_normal((n_components, n_texts, N_UNITS), dtype=np.float32)
    if n_clusters:
        fixed = np.random.default_rng(CENTERS_SEED)
        centers = CENTERS_SPREAD * fixed.normal(size=(n_components, n_clusters, N_UNITS))
        texts += centers.astype(np.float32)[:, rng.integers(n_clusters, size=n_texts)]
    left, right = (
        np.tensordot(of_layer.astype(np.float32), texts, axes=1)
        + np.float32(noise) * _model_noise(rng, len(of_layer), n_texts)
        for of_layer in weights
    )
    return left, right


def _model_noise(rng: np.random.Generator, n_layers: int, n_texts: int) -> np.ndarray:
    steps, own = rng.standard_normal((2, n_layers, n_texts, N_UNITS), dtype=np.float32)
    drift = steps.cumsum(axis=0) / np.sqrt(np.arange(1, n_layers + 1, dtype=np.float32))[:, None, None]
    noise: np.ndarray = np.sqrt(np.float32(0.5)) * (drift + own)
    return noise


def nearest(points: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Return the nearest neighbors by cosine, nearest first, int32 (layers, texts, n_neighbors)."""
    directions = points / np.linalg.norm(points, axis=-1, keepdims=True)
    distances = -(directions @ directions.swapaxes(1, 2))
    texts = np.arange(points.shape[1])
    distances[:, texts, texts] = np.inf
    found = np.argpartition(distances, n_neighbors - 1, axis=-1)[..., :n_neighbors]
    order = np.take_along_axis(distances, found, axis=-1).argsort(axis=-1)
    return np.take_along_axis(found, order, axis=-1).astype(np.int32)
