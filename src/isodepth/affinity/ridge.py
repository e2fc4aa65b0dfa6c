"""Linear predictivity: how much of one layer's activations does a linear map of the other's predict?

The texts are cut into five parts. Each part's activations are predicted by ridge regression, with an
intercept, from the other four, and R2 is the share of their variance that is: 1 where all is predicted,
0 where the mean of the other texts does as well, below 0 where it does better. R2 is pooled over units,
so that units count by their variance.

No regression is fitted for a pair. With H the matrix that smooths by a predictor's Gram matrix, the
residuals of part f are (I - H_ff)^-1 (Y - H Y)_f, so their sum of squares is the inner product of a
matrix of the predictor alone and of the Gram matrix of the predicted Y: a product of vectors over pairs
of texts.

Parts are consecutive rows, not every fifth: texts that stand together in a file (of one document, of
one source) are often alike, and a text should not be predicted from its like. Where rows are sorted by
something, it is a test of extrapolation.

>>> layers = np.random.default_rng(0).normal(size=(1, 50, 8))
>>> RIDGE_MEASURES["ridge_to_right"](layers, layers).round(2)
array([[1.]])

Memory: that of `isodepth.affinity.pair_products`, for the predicted layers alone, and for one
predictor at a time some 115 bytes x texts x texts. Layers that are predicted from each other are taken
twice.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from isodepth.affinity.measure import Layers, Measure, layers_of
from isodepth.affinity.pair_products import (
    COST_AT,
    PairMatrix,
    PairVector,
    Vectors,
    centered_gram,
    kept_vectors,
    named_vector,
    products,
    symmetric_matrix,
    upper_triangle,
)
from isodepth.axes import AffinityValues, LayerActivations
from isodepth.errors import ParameterError

N_FOLDS = 5
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties, as shares of the mean variance of the predictor's directions."""


def ridge_r2(left: Sequence[Layers], right: Sequence[Layers] | None) -> AffinityValues:
    """Return cross-validated R2 of all right layers predicted from all left ones, in (-inf, 1].

    Penalties are `PENALTIES` times the mean eigenvalue, over n - 1, of the predictor's centered Gram
    matrix of all texts. For each part of the texts the penalty is the one with the least squared error
    over the other parts. This is not strictly nested: the other parts were predicted by regressions
    that saw the part.

    Parameters
    ----------
    left : sequence of Layers
        The predictors, in rows.
    right : sequence of Layers, optional
        The predicted, in columns. Where it is left out each of `left` is predicted from each.

    Raises
    ------
    ActivationsError
        If all texts of a layer have the same activations; the layer is named.
    ParameterError
        If there are fewer than 10 texts, or there is no room for the Gram matrices.

    References
    ----------
    Hoerl & Kennard 1970; R2 as in Kornblith et al. 2019, Table 1 (linear regression), but penalized and
    of held-out texts. Left-out residuals of linear smoothers: Golub, Heath & Wahba 1979, by
    blocks.
    """
    predicted = kept_vectors(left if right is None else right, gram_vector)
    values = np.empty((sum(len(model) for model in left), len(predicted)))
    for row, (name, layer) in enumerate(layers_of(left)):
        # in float64: what the least penalty leaves of rounding to float32 would be seen
        gram = symmetric_matrix(named_vector(name, layer, gram_vector))
        residuals = [_residual_maker(gram, penalty) for penalty in PENALTIES]
        values[row] = _least_errors(_error_vectors(residuals), predicted)
    n_texts = len(gram)
    of_means = np.eye(n_texts) - 1 / n_texts
    values /= products(_error_vectors([of_means]), predicted).sum(axis=0)
    return np.subtract(1.0, values, out=values)


def gram_vector(layer: LayerActivations) -> PairVector:
    """Return a layer's centered Gram matrix, its eigenvalues 1 on average over n - 1, as a vector.

    Raises
    ------
    ActivationsError
        If all texts have the same activations.
    ParameterError
        If there are fewer than 10 texts.
    """
    n_texts = len(layer)
    if n_texts < 2 * N_FOLDS:
        raise ParameterError(
            f"ridge regression is validated on {N_FOLDS} parts of at least 2 texts each, so it needs "
            f"{2 * N_FOLDS} texts; got {n_texts}",
            hint="use more texts.",
        )
    gram = centered_gram(layer)
    gram *= (n_texts - 1) / np.trace(gram)
    return upper_triangle(gram)


def _residual_maker(gram: PairMatrix, penalty: float) -> PairMatrix:
    """Return what takes activations to their residuals by ridge regression on all texts: I - H.

    With an intercept, and G the centered Gram matrix, that is penalty (G + penalty I)^-1 - 11' / n.
    """
    from scipy.linalg.lapack import dpotrf, dpotri

    residual = gram.copy()
    np.fill_diagonal(residual, residual.diagonal() + penalty)
    factor, failed = dpotrf(residual, lower=1, overwrite_a=1)
    assert not failed  # the penalty is far above rounding
    lower, failed = dpotri(factor, lower=1, overwrite_c=1)
    assert not failed
    inverse: PairMatrix = np.tril(lower)
    inverse += np.tril(inverse, -1).T
    inverse *= penalty
    inverse -= 1 / len(gram)
    return inverse


def _error_vectors(residual_makers: Sequence[PairMatrix]) -> Vectors:
    """Return the vectors whose products with Gram matrices are sums of squares of left-out residuals.

    Of each residual maker all parts of the texts, one after the other.
    """
    n_texts = len(residual_makers[0])
    n_pairs = n_texts * (n_texts + 1) // 2
    vectors = np.empty((len(residual_makers) * N_FOLDS, n_pairs), dtype=np.float32)
    parts = np.array_split(np.arange(n_texts), N_FOLDS)
    for place, maker in enumerate(residual_makers):
        for fold, part in enumerate(parts):
            rows = maker[part[0] : part[-1] + 1]
            left_out = np.linalg.solve(rows[:, part[0] : part[-1] + 1], rows)
            vectors[place * N_FOLDS + fold] = upper_triangle(left_out.T @ left_out)
    return vectors


def _least_errors(
    vectors: Vectors, predicted: Float32[np.ndarray, "others pairs"]
) -> Float64[np.ndarray, " others"]:
    """Return the sums of squared errors, each part's by the penalty that is best for the others."""
    errors = products(vectors, predicted).reshape(len(PENALTIES), N_FOLDS, -1)
    of_others = errors.sum(axis=1, keepdims=True) - errors
    best = of_others.argmin(axis=0)[np.newaxis]
    least: np.ndarray = np.take_along_axis(errors, best, axis=0).sum(axis=(0, 1))
    return least


def _to_right(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    del k
    return ridge_r2(left, right)


def _to_left(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    del k
    values = ridge_r2(left, None) if right is None else ridge_r2(right, left)
    return np.ascontiguousarray(values.T)


_FACTS: dict[str, Any] = {
    "is_symmetric": False,
    "lowest": -np.inf,
    "invariances": frozenset({"rotation", "scale", "shift"}),
    "source": f"ridge regression, {N_FOLDS} parts of consecutive texts; R2 pooled over units, as in "
    "Kornblith et al. 2019, Table 1, but penalized and of held-out texts",
    "cost": "a predictor: some 6 n^3 multiplications, 4.5 s; a predicted layer: n^2 units / 2, 0.14 s; "
    f"a pair of layers: {len(PENALTIES) * N_FOLDS} n^2 / 2, 18 ms {COST_AT}",
}

RIDGE_MEASURES: dict[str, Measure] = {
    "ridge_to_right": Measure(title="ridge R2, right from left", all_values=_to_right, **_FACTS),
    "ridge_to_left": Measure(title="ridge R2, left from right", all_values=_to_left, **_FACTS),
}
"""The measures of this module, by name."""
