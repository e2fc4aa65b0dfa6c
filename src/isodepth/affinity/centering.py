"""What varies in a layer? Its activations less their mean over texts, with rounding told from variance.

>>> centered_layer(np.array([[1.0, 5.0], [3.0, 5.0]]))
array([[-1.,  0.],
       [ 1.,  0.]])

Memory: the layer in float64.
"""

import numpy as np
from jaxtyping import Float64

from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ActivationsError

LEAST_SPREAD = 1e-12
"""How far a unit's activations must be from their mean, over the largest, for more than rounding."""


def centered_layer(layer: LayerActivations) -> Float64[np.ndarray, "texts units"]:
    """Return activations less their mean over texts, up to a scale: the largest becomes 1.

    Parameters
    ----------
    layer : float array (texts, units)
        Finite activations.

    Raises
    ------
    ActivationsError
        If all texts have the same activations, up to rounding.
    """
    exact = np.array(layer, dtype=np.float64)
    largest = np.abs(exact).max(axis=0)
    highest = largest.max()
    if highest > 0:  # so that neither sums nor squares overflow or vanish
        exact /= highest
        largest /= highest
    exact -= exact.mean(axis=0)
    spread = np.abs(exact).max(axis=0)
    if (spread <= LEAST_SPREAD * largest).all():
        raise ActivationsError(
            f"all texts of {shape_text(('texts', 'units'), exact)} have the same activations, so "
            "nothing varies that could be compared",
            hint="leave this layer out; the layer of a token that all texts share is often so.",
        )
    exact /= spread.max()
    return exact
