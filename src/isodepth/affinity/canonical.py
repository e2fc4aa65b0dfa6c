"""Do two layers vary in the same directions? Canonical correlations: SVCCA and PWCCA.

Of each layer only the directions that hold 99 % of its variance are kept. Canonical correlations are
then the cosines of the angles between what these span: the singular values of the product of two
orthonormal bases. SVCCA is their mean; PWCCA weights them by how much of the one layer's activations
they account for.

>>> layers = np.random.default_rng(0).normal(size=(2, 13, 5))
>>> CANONICAL_MEASURES["svcca"](layers, 7 * layers).diagonal().round(6)
array([1., 1.])

Without the cut, layers with as many units as texts span all directions, and everything would be 1.
Even with it, both want many more texts than kept directions: of 2,048 texts' normal noise in 1,024
units, 949 directions are kept, and two such layers have 0.61; in 128 units, 126 are kept and they have
0.21.

The cut also settles the rank: each direction that is kept has at least 1 % of the variance over the
number of directions, so none is rounding, and the eigenvectors of a Gram matrix are exact to 1e-10.

Memory: 8 bytes a layer, text and kept direction; for PWCCA also a layer, unit and kept direction. Of
the layer at work, its activations in float64 and two matrices of texts x texts or units x units,
whichever is less.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.affinity.centering import centered_layer
from isodepth.affinity.measure import Layers, Measure, values_of_states
from isodepth.axes import AffinityValues, LayerActivations

KEPT_VARIANCE = 0.99
SAME_CORRELATION = 1e-6
"""Correlations that differ by less are one: the directions of their variables are arbitrary."""

Basis = Float64[np.ndarray, "texts _"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptDirections:
    """The directions that hold most of a layer's variance.

    Parameters
    ----------
    basis : float64 array (texts, kept)
        Orthonormal columns: the texts' coordinates along each direction, scaled.
    loadings : float64 array (kept, units)
        Inner products of these with the centered activations of each unit.
    """

    basis: Float64[np.ndarray, "texts kept"]
    loadings: Float64[np.ndarray, "kept units"]


def svcca_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int = 0) -> AffinityValues:
    """Return the mean canonical correlations of all layers' main directions, in [0, 1].

    Parameters
    ----------
    left, right : sequences of float arrays (layers, texts, units)
        Finite activations for the same texts; `right` is None where all are compared with each other.
    k : int
        Not used.

    Raises
    ------
    ActivationsError
        If all texts have the same activations at a layer; the layer is named.

    References
    ----------
    Raghu et al. 2017, Section 2: directions with 99 % of the variance, then the mean of the canonical
    correlations, as many as the layer with fewer directions has. Differs in nothing.
    """
    del k
    return values_of_states(
        left, right, lambda layer: kept_directions(layer).basis, _mean_correlation, title="SVCCA"
    )


def pwcca_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int = 0) -> AffinityValues:
    """Return the weighted mean canonical correlations of all layers' main directions, in [0, 1].

    Parameters
    ----------
    left, right, k
        As for `svcca_values`.

    Raises
    ------
    ActivationsError
        If all texts have the same activations at a layer; the layer is named.

    References
    ----------
    Morcos, Raghu & Bengio 2018, projection weighting: a canonical correlation weighs the sum over units
    of the absolute inner product of its variable with a unit's activations. Differs in three ways. The
    directions are first cut as for SVCCA. Variables of equal correlation, whose directions are
    arbitrary, are turned to the principal axes of what they account for. The weights are those of the
    layer with fewer directions, as in the authors' code; where both have as many, ours is the mean of
    both.
    """
    del k
    return values_of_states(left, right, kept_directions, _weighted_correlation, title="PWCCA")


def kept_directions(layer: LayerActivations) -> KeptDirections:
    """Return the fewest principal directions that hold `KEPT_VARIANCE` of a layer's variance.

    Raises
    ------
    ActivationsError
        If all texts have the same activations.
    """
    centered = centered_layer(layer)
    n_texts, n_units = centered.shape
    gram = centered @ centered.T if n_texts <= n_units else centered.T @ centered
    variances, vectors = np.linalg.eigh(gram)
    descending = np.cumsum(variances[::-1])
    n_kept = 1 + int(np.searchsorted(descending, KEPT_VARIANCE * descending[-1]))
    basis = vectors[:, : -n_kept - 1 : -1]
    if n_texts > n_units:
        basis = centered @ (basis / np.sqrt(variances[: -n_kept - 1 : -1]))
    return KeptDirections(basis=np.ascontiguousarray(basis), loadings=basis.T @ centered)


def _mean_correlation(left: Basis, right: Basis) -> float:
    correlations = np.linalg.svd(left.T @ right, compute_uv=False)
    return min(1.0, float(correlations.mean()))


def _weighted_correlation(left: KeptDirections, right: KeptDirections) -> float:
    ours, correlations, theirs = np.linalg.svd(left.basis.T @ right.basis, full_matrices=False)
    sides = [(ours.T, left.loadings), (theirs, right.loadings)]
    fewest = len(correlations)
    means = [
        np.average(correlations, weights=_weights(variables @ loadings, correlations))
        for variables, loadings in sides
        if len(loadings) == fewest
    ]
    return min(1.0, float(np.mean(means)))


def _weights(
    shares: Float64[np.ndarray, "kept units"], correlations: Float64[np.ndarray, " kept"]
) -> Float64[np.ndarray, " kept"]:
    """Return how much of the activations each canonical variable accounts for.

    Variables of equal correlation may be turned among each other, and sums of absolute values change
    with that: two layers that keep more directions than there are texts have many correlations of 1.
    So they are turned to the principal axes of what they account for.
    """
    ends = np.flatnonzero(-np.diff(correlations) >= SAME_CORRELATION) + 1
    for run in np.split(np.arange(len(correlations)), ends):
        if len(run) > 1:
            _, sizes, axes = np.linalg.svd(shares[run], full_matrices=False)
            shares[run] = 0.0  # fewer units than variables leave some without
            shares[run[: len(sizes)]] = sizes[:, np.newaxis] * axes
    weights: np.ndarray = np.abs(shares).sum(axis=1)
    return weights


CANONICAL_MEASURES: dict[str, Measure] = {
    "svcca": Measure(
        title="SVCCA",
        all_values=svcca_values,
        invariances=frozenset({"rotation", "scale", "shift"}),
        source="Raghu et al. 2017, Section 2: 99 % of the variance, mean over the smaller rank. "
        "Differs in nothing.",
        cost="a layer: a Gram matrix and its eigenvectors, the smaller of texts x texts and units x "
        "units; a pair: texts x kept x kept and singular values of kept x kept. On one core, n = 2,048 "
        "and 1,024 units, of which 807 directions are kept: 0.3 s a layer, 0.12 s a pair.",
    ),
    "pwcca": Measure(
        title="PWCCA",
        all_values=pwcca_values,
        invariances=frozenset({"scale", "shift"}),
        source="Morcos, Raghu & Bengio 2018, projection weighting. Directions are first cut to 99 % of "
        "the variance, variables of equal correlation turned to principal axes; weights from the layer "
        "with fewer, the mean of both where they have as many.",
        cost="as SVCCA; a pair: singular vectors too, and kept x kept x units. On one core, n = 2,048 "
        "and 1,024 units, of which 807 directions are kept: 0.3 s a layer, 0.25 s a pair.",
    ),
}
"""Measures by canonical correlations, by name."""
