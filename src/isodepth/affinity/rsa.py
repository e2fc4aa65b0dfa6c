"""Representational similarity analysis: do two layers tell the same texts apart?

A layer's dissimilarities of all pairs of texts are correlated with another layer's: Pearson's
correlation asks whether they are a linear function of each other, Spearman's whether they have the
same order. How dissimilar two texts are is 1 - the cosine of their activations, or 1 - their
correlation over the units, for which a text's own mean over the units counts for nothing.

>>> layers = np.random.default_rng(0).normal(size=(1, 50, 8))
>>> RSA_MEASURES["rsa_spearman_cosine"](layers, layers)
array([[1.]])

Memory: that of `isodepth.affinity.pair_products`.
"""

from functools import partial

import numpy as np
from jaxtyping import Float64

from isodepth.affinity.measure import Measure
from isodepth.affinity.pair_products import (
    PAIR_COST,
    PairVector,
    cosine_measure,
    no_chance,
    unit_vector,
    upper_triangle,
)
from isodepth.axes import LayerActivations
from isodepth.errors import ActivationsError, listed

DISSIMILARITIES = {
    "cosine": "1 - the cosine of two texts' activations",
    "correlation": "1 - the correlation of two texts' activations over the units",
}
CORRELATIONS = {
    "pearson": "Pearson's correlation of the dissimilarities",
    "spearman": "Spearman's: that of their ranks, equal ones sharing their mean rank",
}
DECIMALS = 12
"""Similarities that differ by less are equal, so that rounding does not rank repeated texts."""


def dissimilarity_vector(
    layer: LayerActivations, *, dissimilarity: str, correlation: str
) -> PairVector:
    """Return the unit vector whose inner products are correlations of dissimilarities.

    All dissimilarities here are 1 - a similarity, so similarities are taken: they correlate alike.

    Parameters
    ----------
    layer : float array (texts, units)
        Activations.
    dissimilarity : str
        A key of `DISSIMILARITIES`.
    correlation : str
        A key of `CORRELATIONS`.

    Returns
    -------
    float64 array (texts (texts - 1) / 2,)
        Standardized similarities, or their ranks, of the pairs of texts.

    Raises
    ------
    ActivationsError
        If a text's activations have no direction, or all texts are equally dissimilar.

    References
    ----------
    Kriegeskorte, Mur & Bandettini 2008. Differs in nothing; ranks are of similarities rounded to 12
    decimals.
    """
    unit = _unit_texts(layer, dissimilarity)
    similarities = upper_triangle(unit @ unit.T, with_diagonal=False)
    before = float(np.sqrt(len(similarities)))  # a similarity is 1 at most
    if correlation == "spearman":
        from scipy.stats import rankdata

        similarities = rankdata(similarities.round(DECIMALS))
    similarities -= similarities.mean()
    return unit_vector(similarities, before=before)


def _unit_texts(layer: LayerActivations, dissimilarity: str) -> Float64[np.ndarray, "texts units"]:
    """Return each text's activations at unit length, for correlations less their mean."""
    values = np.asarray(layer, dtype=np.float64)
    if (values == values[0]).all():
        raise ActivationsError(
            f"all {len(values):,} texts have the same activations, so all are equally dissimilar",
            hint="leave this layer out, or look at how its activations were made.",
        )
    if dissimilarity == "correlation":
        same = (values == values[:, :1]).all(axis=1)
        values = values - values.mean(axis=1, keepdims=True)
        values[same] = 0.0  # their mean may be rounded
    largest = np.abs(values).max(axis=1, keepdims=True)
    zero = np.flatnonzero(largest == 0)
    if len(zero):
        found = "all zero" if dissimilarity == "cosine" else "the same in all units"
        raise ActivationsError(
            f"the activations of text {listed([int(row) + 1 for row in zero])} (rows count from 1) are "
            f"{found}, so they have no {dissimilarity} with others"
        )
    values = values / largest  # so that squares neither overflow nor vanish
    unit: np.ndarray = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit


def _measure(correlation: str, dissimilarity: str) -> Measure:
    # a rotation does not keep the mean over the units, which correlations leave out
    kept = {"scale", "text scale"} | ({"rotation"} if dissimilarity == "cosine" else set())
    layer_cost = "0.13 s" if correlation == "pearson" else "and n^2 / 2 numbers to rank, 0.5 s"
    return cosine_measure(
        partial(dissimilarity_vector, dissimilarity=dissimilarity, correlation=correlation),
        title=f"RSA ({correlation.capitalize()}, {dissimilarity})",
        invariances=frozenset(kept),
        chance=no_chance,
        source="Kriegeskorte et al. 2008",
        cost=f"a layer: n^2 units / 2 multiplications, {layer_cost}; {PAIR_COST}",
    )


RSA_MEASURES: dict[str, Measure] = {
    f"rsa_{correlation}_{dissimilarity}": _measure(correlation, dissimilarity)
    for correlation in CORRELATIONS
    for dissimilarity in DISSIMILARITIES
}
"""The measures of this module, by name."""
