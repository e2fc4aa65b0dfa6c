"""Centered kernel alignment: do two layers find the same pairs of texts alike?

A kernel says how alike two texts are in one layer: their inner product (linear), or a Gaussian of
their distance (RBF). CKA is the cosine of two layers' centered kernel matrices, 1 where they agree up
to rotation, shift and scale. With few texts and many units it is high whatever the layers hold: some
0.8 for 512 texts and two unrelated normal layers of 2,048 units. The debiased ones, which leave each
text's similarity to itself out, are then 0 on average.

>>> one, other = np.random.default_rng(0).normal(size=(2, 1, 60, 500))
>>> [round(CKA_MEASURES[name](one, other).item(), 1) for name in ("cka", "cka_debiased")]
[0.9, 0.0]

Memory: that of `isodepth.affinity.pair_products`.
"""

import numpy as np

from isodepth.affinity.measure import Measure
from isodepth.affinity.pair_products import (
    PAIR_COST,
    PairMatrix,
    PairVector,
    centered_gram,
    cosine_measure,
    double_centered,
    no_chance,
    squared_distances,
    u_centered,
    unit_vector,
    upper_triangle,
)
from isodepth.axes import LayerActivations
from isodepth.errors import ActivationsError

BANDWIDTH = 0.8
"""The width of the RBF kernel, as a share of the median distance between two texts of the layer."""


def linear_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are linear CKA, (texts (texts + 1) / 2).

    Parameters
    ----------
    layer : float array (texts, units)
        Activations.

    Raises
    ------
    ActivationsError
        If all texts have the same activations.

    References
    ----------
    Kornblith et al. 2019, Equation 4. Differs in nothing.
    """
    return unit_vector(upper_triangle(centered_gram(layer)))


def debiased_linear_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are debiased linear CKA, (texts (texts - 1) / 2).

    Parameters
    ----------
    layer : float array (texts, units)
        Activations of at least 4 texts.

    Raises
    ------
    ActivationsError
        If all texts have the same activations, or are equally far apart.
    ParameterError
        If there are fewer than 4 texts.

    References
    ----------
    Kornblith et al. 2019, Equation 4, with the unbiased HSIC_1 of Song et al. 2012 in place of HSIC, as
    in Nguyen, Raghu & Kornblith 2021; over all texts, not over batches of them.
    """
    return _debiased(centered_gram(layer))


def rbf_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are RBF CKA, (texts (texts + 1) / 2).

    Parameters
    ----------
    layer : float array (texts, units)
        Activations.

    Raises
    ------
    ActivationsError
        If all texts, or more than half of all pairs, have the same activations.

    References
    ----------
    Kornblith et al. 2019, Equation 4 and Section 3, with 0.8 of the median distance as in Table 2. The
    median is that of all pairs of different texts; theirs also has each text's distance to itself.
    """
    return unit_vector(upper_triangle(double_centered(_rbf(layer))))


def debiased_rbf_vector(layer: LayerActivations) -> PairVector:
    """Return the unit vector whose inner products are debiased RBF CKA, (texts (texts - 1) / 2).

    Parameters
    ----------
    layer : float array (texts, units)
        Activations of at least 4 texts.

    Raises
    ------
    ActivationsError
        If all texts, or more than half of all pairs, have the same activations, or all texts are
        equally far apart.
    ParameterError
        If there are fewer than 4 texts.

    References
    ----------
    As for `debiased_linear_vector` and `rbf_vector`.
    """
    return _debiased(_rbf(layer))


def _debiased(kernel: PairMatrix) -> PairVector:
    before = float(np.linalg.norm(kernel))
    return unit_vector(upper_triangle(u_centered(kernel), with_diagonal=False), before=before)


def _rbf(layer: LayerActivations) -> PairMatrix:
    """Return a layer's Gaussian kernel, in [0, 1], 1 on the diagonal."""
    kernel = squared_distances(layer)
    median = float(np.median(upper_triangle(kernel, with_diagonal=False)))
    if median == 0:
        raise ActivationsError(
            f"more than half of all pairs of the {len(kernel):,} texts have the same activations, so "
            "the median distance, by which the kernel's width is set, is 0",
            hint="take linear CKA, or leave repeated texts out.",
        )
    kernel /= -2 * BANDWIDTH**2 * median
    np.exp(kernel, out=kernel)
    return kernel


_INVARIANCES = frozenset({"rotation", "scale", "shift"})
_SOURCE = "Kornblith et al. 2019, Equation 4"
_DEBIASED = "with the unbiased HSIC_1 of Song et al. 2012, over all texts"
_WIDTH = f"; the kernel's width is {BANDWIDTH} of the layer's median distance between different texts"
_COST = f"a layer: n^2 units / 2 multiplications, 0.14 s; {PAIR_COST}"
_RBF_COST = f"a layer: n^2 units / 2 multiplications and n^2 exponentials, 0.2 s; {PAIR_COST}"

CKA_MEASURES: dict[str, Measure] = {
    "cka": cosine_measure(
        linear_vector,
        title="linear CKA",
        lowest=0.0,
        invariances=_INVARIANCES,
        source=_SOURCE,
        cost=_COST,
    ),
    "cka_debiased": cosine_measure(
        debiased_linear_vector,
        title="debiased linear CKA",
        invariances=_INVARIANCES,
        chance=no_chance,
        source=f"{_SOURCE}, {_DEBIASED}",
        cost=_COST,
    ),
    "cka_rbf": cosine_measure(
        rbf_vector,
        title="RBF CKA",
        lowest=0.0,
        invariances=_INVARIANCES,
        source=_SOURCE + _WIDTH,
        cost=_RBF_COST,
    ),
    "cka_rbf_debiased": cosine_measure(
        debiased_rbf_vector,
        title="debiased RBF CKA",
        invariances=_INVARIANCES,
        chance=no_chance,
        source=f"{_SOURCE}, {_DEBIASED}{_WIDTH}",
        cost=_RBF_COST,
    ),
}
"""The measures of this module, by name."""
