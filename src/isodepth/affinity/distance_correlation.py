"""Distance correlation: do texts that are far apart in one layer lie far apart in the other?

Each layer's matrix of Euclidean distances is centered in rows and columns; the cosine of two such
matrices is the squared distance correlation. In the limit of many texts it is 0 for independent layers
only. With few texts and many units it is high whatever the layers hold; the debiased one is then 0 on
average.

>>> one, other = np.random.default_rng(0).normal(size=(2, 1, 60, 40))
>>> [round(measure(one, other).item(), 1) for measure in DISTANCE_MEASURES.values()]
[0.9, 0.0]

Memory: that of `isodepth.affinity.pair_products`.
"""

from collections.abc import Sequence

import numpy as np

from isodepth.affinity.measure import Layers, Measure
from isodepth.affinity.pair_products import (
    PAIR_COST,
    PairMatrix,
    PairVector,
    cosine_measure,
    cosines,
    double_centered,
    no_chance,
    squared_distances,
    u_centered,
    unit_vector,
    upper_triangle,
)
from isodepth.axes import AffinityValues, LayerActivations


def distance_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are squared distance correlations.

    Parameters
    ----------
    layer : float array (texts, units)
        Activations.

    Returns
    -------
    float64 array (texts (texts + 1) / 2,)
        The double-centered distances of the pairs of texts, each text with itself among them.

    Raises
    ------
    ActivationsError
        If all texts have the same activations.

    References
    ----------
    Szekely, Rizzo & Bakirov 2007, Definitions 4 and 5. Differs in nothing.
    """
    return unit_vector(upper_triangle(double_centered(_distances(layer))))


def debiased_distance_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are bias-corrected squared distance correlations.

    Parameters
    ----------
    layer : float array (texts, units)
        Activations of at least 4 texts.

    Returns
    -------
    float64 array (texts (texts - 1) / 2,)
        The U-centered distances of the pairs of texts.

    Raises
    ------
    ActivationsError
        If all texts have the same activations, or are equally far apart.
    ParameterError
        If there are fewer than 4 texts.

    References
    ----------
    Szekely & Rizzo 2014, Section 2. Differs in nothing.
    """
    distances = _distances(layer)
    before = float(np.linalg.norm(distances))
    return unit_vector(upper_triangle(u_centered(distances), with_diagonal=False), before=before)


def _distances(layer: LayerActivations) -> PairMatrix:
    distances = squared_distances(layer)
    np.sqrt(distances, out=distances)
    return distances


def _all_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    """Return distance correlations, the roots of cosines."""
    del k
    values = cosines(left, right, distance_vector, lowest=0.0)
    np.sqrt(values, out=values)
    return values


_INVARIANCES = frozenset({"rotation", "scale", "shift"})
_COST = f"a layer: n^2 units / 2 multiplications and n^2 roots, 0.14 s; {PAIR_COST}"

DISTANCE_MEASURES: dict[str, Measure] = {
    "distance_correlation": Measure(
        title="distance correlation",
        all_values=_all_values,
        invariances=_INVARIANCES,
        source="Szekely, Rizzo & Bakirov 2007, Definition 5: not its square",
        cost=_COST,
    ),
    "distance_correlation_debiased": cosine_measure(
        debiased_distance_vector,
        title="bias-corrected squared distance correlation",
        invariances=_INVARIANCES,
        chance=no_chance,
        source="Szekely & Rizzo 2014, Section 2: it estimates the square, and can be below 0",
        cost=_COST,
    ),
}
"""The measures of this module, by name."""
