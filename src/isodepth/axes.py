"""The names of the axes, once: layers, texts, units, k.

Arrays are always ordered layers, texts, then units or neighbors, so that one layer is contiguous.
Layer numbers shown to people start at 1 (the end of the first decoder block); array rows at 0.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int32, Integer

ActivationValues = Float32[np.ndarray, "layers texts units"]
LayerActivations = Float[np.ndarray, "texts units"]
NeighborIds = Int32[np.ndarray, "layers texts k"]
NeighborSimilarities = Float32[np.ndarray, "layers texts k"]
LayerNeighborIds = Integer[np.ndarray, "texts k"]
AffinityValues = Float64[np.ndarray, "layers_left layers_right"]
AffinityMask = Bool[np.ndarray, "layers_left layers_right"]


def relative_depths(n_layers: int) -> Float64[np.ndarray, " layers"]:
    """Return each layer's relative depth, layer / n_layers, in (0, 1].

    1 is the end of the last decoder block. The embedding, at 0, is not a layer.
    """
    return np.arange(1, n_layers + 1) / n_layers


def layer_numbers(n_layers: int) -> tuple[int, ...]:
    """Return 1 to `n_layers`, the numbers of a model's layers from input to output."""
    return tuple(range(1, n_layers + 1))


def shape_text(axes: Sequence[str], array: np.ndarray) -> str:
    """Return an array's axes with their lengths, as errors show them: "(texts, k) = (512, 10)"."""
    return f"({', '.join(axes)}) = ({', '.join(str(length) for length in array.shape)})"
