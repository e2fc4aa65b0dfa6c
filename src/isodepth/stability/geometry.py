"""Into how many directions do a layer's activations spread, and do they all point the same way?

Effective dimension is the participation ratio of the variances along the principal components: d where
d of them are equal, near 1 where one exceeds all others. It takes two traces and no components. Of n
texts it is at most n - 1, and low where texts are few: d equal variances give about 1 / (1/d + 1/n).

Anisotropy is the mean cosine of two different texts: 0 where no direction is preferred, 1 where all
texts point the same way. The sum of all unit vectors has it, without a look at any pair.

>>> values = np.random.default_rng(0).normal(size=(211, 17))
>>> round(layer_geometry(values).dimension, 1)
15.5

Memory: the layer in float64 twice, and a square of texts or of units, whichever are fewer.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from isodepth.affinity.centering import centered_layer
from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ActivationsError, ParameterError, listed


class LayerGeometry(NamedTuple):
    """The shape of one layer's activations. Made by `layer_geometry`.

    Attributes
    ----------
    dimension : float
        Effective dimension, in [1, min(texts - 1, units)]; NaN where nothing varies.
    first_component : float
        The share of the variance along the first principal component, in (0, 1]; NaN likewise.
    anisotropy : float
        The mean cosine of two different texts, in [-1 / (texts - 1), 1].
    """

    dimension: float
    first_component: float
    anisotropy: float


def layer_geometry(vectors: LayerActivations) -> LayerGeometry:
    """Return the effective dimension, the share of the first component and the anisotropy of a layer.

    Parameters
    ----------
    vectors : float array (texts, units)
        One layer, at least two texts.

    Raises
    ------
    ParameterError
        If there are fewer than two texts, or no units.
    ActivationsError
        If values are not finite, or a vector is zero and so has no direction; rows are named, from 1.

    References
    ----------
    Participation ratio: Gao et al. 2017 (bioRxiv 214262), from traces of the covariance and of its
    square. Mean cosine: Ethayarajh 2019 (arXiv 1909.00512), section 3.2, there of 1,000 drawn pairs of
    words, here of all pairs of texts.
    """
    exact = np.array(vectors, dtype=np.float64)
    if exact.ndim != 2 or len(exact) < 2 or exact.shape[1] == 0:
        raise ParameterError(
            "a layer must hold at least 2 texts and 1 unit; got "
            f"{shape_text(('texts', 'units'), exact)}"
        )
    _refuse_without_direction(exact)
    exact /= np.abs(exact).max()  # so that fourth powers neither overflow nor vanish
    n_texts, n_units = exact.shape
    scaled = exact / np.abs(exact).max(axis=1, keepdims=True)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True)
    total = scaled.sum(axis=0)
    anisotropy = min(1.0, (float(total @ total) - n_texts) / (n_texts * (n_texts - 1)))
    del scaled
    try:
        exact = centered_layer(exact)
    except ActivationsError:  # nothing varies
        return LayerGeometry(dimension=np.nan, first_component=np.nan, anisotropy=anisotropy)
    products = exact @ exact.T if n_texts <= n_units else exact.T @ exact
    variance = float(np.trace(products))
    largest = variance if len(products) == 1 else _largest_eigenvalue(products)
    return LayerGeometry(
        dimension=variance**2 / float((products**2).sum()),
        first_component=min(1.0, largest / variance),
        anisotropy=anisotropy,
    )


def _largest_eigenvalue(products: Float64[np.ndarray, "side side"]) -> float:
    """Return the largest eigenvalue of a symmetric matrix, by Lanczos from a fixed start."""
    from scipy.sparse.linalg import eigsh

    start = np.random.default_rng(0).normal(size=len(products))
    return float(eigsh(products, k=1, v0=start, return_eigenvectors=False)[0])


def _refuse_without_direction(vectors: np.ndarray) -> None:
    for wrong, what in (
        (~np.isfinite(vectors).all(axis=1), "NaN or infinite"),
        (~vectors.any(axis=1), "all zero, so they have no direction:"),
    ):
        rows = [int(row) + 1 for row in np.flatnonzero(wrong)]
        if rows:
            raise ActivationsError(
                f"activations are {what} in text {listed(rows)} (rows count from 1) of "
                f"{shape_text(('texts', 'units'), vectors)}"
            )
