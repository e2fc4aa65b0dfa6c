"""Do models agree about more than the texts' own likeness? Similarities less what a baseline explains.

For each text, its similarities to the others in a layer are regressed on its similarities to them by
baselines (words in common, length), and the residuals take their place: a text is near if it is nearer
than its words say.

Each text has its own regression, because neighbors are an order within a text's own row: what the text
adds to all its similarities changes no neighbor, and how much words matter may differ from text to
text. Residuals of two texts are therefore not the same both ways, which neighbors do not need.

What it cannot remove: what depends on the baseline in another way than on a straight line (two texts
that share half their words, nearer than those that share none or all), and likeness that the baseline
does not see (synonyms). Models that agree about these are still found to agree.

>>> words = tf_idf(texts)                                                       # doctest: +SKIP
>>> residual = residual_similarities(layer_similarities(vectors), [words])      # doctest: +SKIP
>>> ids, _ = nearest(residual, 10)                                              # doctest: +SKIP

Memory: one more array (texts, texts) in float64 than are handed over, and blocks of 30 MB in all, 12 MB
more for each further baseline.
"""

from collections.abc import Sequence

import numpy as np

from isodepth.confounds.candidates import AllowedPairs
from isodepth.confounds.similarities import TextSimilarities, refuse_unusable
from isodepth.errors import ParameterError

BLOCK_BYTES = 4 << 20
LEAST_SHARE = 1e-10
"""A baseline that follows from others up to this share of its variance is not counted twice."""


def residual_similarities(
    similarities: TextSimilarities,
    baselines: Sequence[TextSimilarities],
    *,
    allowed: AllowedPairs | None = None,
) -> TextSimilarities:
    """Return what baselines leave of every text's similarities to the others; not symmetric.

    Parameters
    ----------
    similarities : float64 array (texts, texts)
        Of a layer. The diagonal is not read.
    baselines : sequence of float64 arrays (texts, texts)
        At least one. One that does not vary in a row, or follows from the others, changes nothing.
    allowed : bool array (texts, texts), optional
        Which pairs a text's regression is over: its candidates. All others where it is left out.

    Returns
    -------
    float64 array (texts, texts)
        Residuals of ordinary least squares with an intercept; 0 on the diagonal.

    Raises
    ------
    ParameterError
        If there is no baseline, shapes differ or numbers are not finite.

    References
    ----------
    Partial regression (Frisch & Waugh 1933), of each row by itself; that neighbors are then sought
    among the residuals is ours.
    """
    if not baselines:
        raise ParameterError("expected at least one baseline to take out of similarities; got none")
    for one in (similarities, *baselines):
        refuse_unusable(one)
        if one.shape != similarities.shape:
            raise ParameterError(
                f"baselines must be of the same texts as the layer: expected {similarities.shape}, got "
                f"{one.shape}"
            )
    if allowed is not None and allowed.shape != similarities.shape:
        raise ParameterError(f"allowed must be {similarities.shape}; got {allowed.shape}")
    n_texts = len(similarities)
    residual = np.empty_like(similarities)
    rows_at_once = max(1, BLOCK_BYTES // (8 * n_texts))
    for start in range(0, n_texts, rows_at_once):
        rows = np.arange(start, min(start + rows_at_once, n_texts))
        counts = np.ones((len(rows), n_texts), dtype=bool) if allowed is None else allowed[rows].copy()
        counts[np.arange(len(rows)), rows] = False
        residual[rows] = _residuals(similarities[rows], [one[rows] for one in baselines], counts)
    np.fill_diagonal(residual, 0.0)
    return residual


def _residuals(values: np.ndarray, predictors: Sequence[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """Return residuals of each row; the regression is over the columns that count."""
    n_counted = np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def centered(rows: np.ndarray) -> np.ndarray:
        mean = np.where(counts, rows, 0.0).sum(axis=1, keepdims=True) / n_counted
        difference: np.ndarray = rows - mean
        return difference

    left = centered(values)
    scaled = []
    for predictor in predictors:
        one = centered(predictor)
        size = np.sqrt(np.where(counts, one**2, 0.0).sum(axis=1, keepdims=True))
        largest = np.abs(predictor).max(axis=1, keepdims=True)
        varies = size > 1e-12 * largest * np.sqrt(n_counted)  # else it is rounding
        scaled.append(np.where(varies, one / np.where(varies, size, 1.0), 0.0))
    masked = [np.where(counts, one, 0.0) for one in scaled]
    gram = np.array([[(one * other).sum(axis=1) for other in masked] for one in masked])
    moments = np.array([(one * left).sum(axis=1) for one in masked])
    inverse = np.linalg.pinv(gram.transpose(2, 0, 1), rcond=LEAST_SHARE, hermitian=True)
    slopes = np.einsum("rpq,qr->pr", inverse, moments)
    # term by term, so that equal columns keep equal residuals to the last bit
    for slope, one in zip(slopes, scaled, strict=True):
        left -= slope[:, np.newaxis] * one
    return left
