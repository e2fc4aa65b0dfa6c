"""How similar is every text to every other, in one layer? All of it at once, where a control needs it.

`isodepth.neighbors` finds neighbors in blocks and keeps no similarities but theirs. Controls that
change similarities, or who may be a neighbor, need all of them: one array (texts, texts), by any of the
metrics of `isodepth.neighbors.METRICS`. Of Euclidean distance it holds the negative: larger is nearer.

The promises about neighbors hold here, too: a text is left out of its own list by its index, equal
similarities go to the lower index, and texts that are equal bit for bit are equally similar to any
third.

Squared Euclidean distances are products of centered vectors where these leave nine digits or more, and
sums of squared differences where they may not: between texts that are far nearer to each other than to
the mean.

>>> from isodepth.neighbors import layer_neighbors
>>> layer = np.random.default_rng(0).normal(size=(50, 8))
>>> ids, _ = nearest(layer_similarities(layer), 5)
>>> np.array_equal(ids, layer_neighbors(layer, 5)[0])
True

Memory: 8 bytes a pair of texts, 34 MB for 2,048 texts, three times that while distances are made;
controls take up to five times as much, and more than 16,384 texts (2.1 GB) are refused.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from isodepth.axes import LayerActivations
from isodepth.errors import ActivationsError, ParameterError, listed
from isodepth.neighbors.exact import check_metric
from isodepth.neighbors.metrics import ByDifference, in_float32, prepared
from isodepth.neighbors.selection import largest_places
from isodepth.preprocessing.rows import distinct_rows, finite_rows

# (texts, texts): shapes that must agree are refused in words, not by their types
TextSimilarities = Float64[np.ndarray, "_ _"]

MOST_TEXTS = 16_384
BLOCK_BYTES = 16 << 20
LARGEST_ERROR = 1e-9
"""A squared distance of which products may err by a larger share is summed up from differences."""


def layer_similarities(vectors: LayerActivations, metric: str = "cosine") -> TextSimilarities:
    """Return how similar all texts are to each other in one layer.

    Parameters
    ----------
    vectors : float array (texts, units)
        One layer.
    metric : {"cosine", "euclidean", "correlation", "inner_product"}
        What "near" means.

    Returns
    -------
    float64 array (texts, texts)
        Exactly symmetric. Cosines and correlations are in [-1, 1] up to rounding; Euclidean distances
        have a minus sign, and are exactly 0 of texts that are equal bit for bit.

    Raises
    ------
    ParameterError
        If there is no such metric, or there are more than 16,384 texts.
    ActivationsError
        If a vector is not finite, or the metric is not defined for it, or inner products are larger
        than float64 holds; the rows are named, from 1.

    References
    ----------
    As `isodepth.neighbors.layer_neighbors`, of which these are the similarities.
    """
    check_metric(metric)
    n_texts = len(vectors)
    if n_texts > MOST_TEXTS:
        raise ParameterError(
            f"similarities of all {n_texts:,} texts to each other would take "
            f"{8 * n_texts**2 / 1e9:.1f} GB for one layer, and controls up to five times that; "
            f"expected at most {MOST_TEXTS:,} texts",
            hint="take a sample of the texts.",
        )
    layer = prepared(vectors, metric)
    if isinstance(layer, ByDifference):
        first, group = distinct_rows(finite_rows(vectors))
        if group is not None:
            layer = prepared(vectors[first], metric)
            assert isinstance(layer, ByDifference)  # by the same metric
        similarities = -_distances(layer)
    else:
        group = layer.group
        product = layer.vectors @ layer.vectors.T
        product = np.maximum(product, product.T)  # whether it is exactly symmetric is BLAS's choice
        with np.errstate(over="ignore"):
            similarities = np.ldexp(product, layer.exponent)
        if not np.isfinite(similarities).all():
            raise ActivationsError("inner products of the activations are larger than float64 holds")
    return similarities if group is None else similarities[np.ix_(group, group)]


def _distances(layer: ByDifference) -> TextSimilarities:
    """Return the Euclidean distances of all texts, exactly symmetric and 0 on the diagonal."""
    centered = layer.centered
    sums = np.add.outer(layer.squares, layer.squares)
    squared: np.ndarray = sums - 2 * (centered @ centered.T)
    squared = np.minimum(squared, squared.T)
    np.fill_diagonal(squared, 0.0)
    sums *= layer.error / LARGEST_ERROR
    exact = np.ldexp(np.asarray(layer.vectors, dtype=np.float64), -layer.exponent)
    for text, doubtful in enumerate(squared <= sums):
        others = np.flatnonzero(doubtful[:text])
        gaps = exact[others] - exact[text]
        squared[text, others] = squared[others, text] = np.einsum("ij,ij->i", gaps, gaps)
    distances: np.ndarray = np.ldexp(np.sqrt(squared), layer.exponent)
    return distances


def nearest(
    similarities: TextSimilarities, k: int, allowed: Bool[np.ndarray, "_ _"] | None = None
) -> tuple[Int32[np.ndarray, "texts k"], Float32[np.ndarray, "texts k"]]:
    """Return ids and similarities of the `k` most similar other texts of each text, nearest first.

    Parameters
    ----------
    similarities : float64 array (texts, texts)
        Row by row; need not be symmetric. The diagonal is not read: no text is its own neighbor.
    k : int
        How many.
    allowed : bool array (texts, texts), optional
        Which texts may be neighbors of which. All others where it is left out.

    Returns
    -------
    ids : int32 array (texts, k)
        Ties go to the lower index.
    similarities : float32 array (texts, k)
        Theirs, descending.

    Raises
    ------
    ParameterError
        If similarities are not finite, or a text has fewer than `k` candidates; rows are named, from 1.
    """
    refuse_unusable(similarities)
    n_texts = len(similarities)
    if allowed is not None and allowed.shape != similarities.shape:
        raise ParameterError(f"allowed must be {similarities.shape}; got {allowed.shape}")
    if k < 1:
        raise ParameterError(f"expected k >= 1 neighbors; got {k}")
    itself = np.arange(n_texts)
    n_candidates = np.full(n_texts, n_texts - 1)
    if allowed is not None:
        n_candidates = allowed.sum(axis=1) - allowed[itself, itself]
    few = np.flatnonzero(n_candidates < k)
    if len(few):
        raise ParameterError(
            f"text {listed((few + 1).tolist())} (rows count from 1) has fewer than k = {k} candidates; "
            f"the fewest are {n_candidates.min()}",
            hint="use a smaller k, or only texts that have enough (Candidates.rows_with_enough).",
        )
    ids = np.empty((n_texts, k), dtype=np.int32)
    found = np.empty((n_texts, k), dtype=np.float32)
    rows_at_once = max(1, BLOCK_BYTES // (8 * n_texts))
    for start in range(0, n_texts, rows_at_once):
        rows = np.arange(start, min(start + rows_at_once, n_texts))
        block = similarities[rows]
        if allowed is not None:
            block[~allowed[rows]] = -np.inf
        block[np.arange(len(rows)), rows] = -np.inf
        ids[rows] = largest_places(block, k)
        found[rows] = in_float32(np.take_along_axis(block, ids[rows], axis=1), 0)
    return ids, found


def refuse_unusable(similarities: TextSimilarities) -> None:
    """Raise `ParameterError` unless similarities are square and finite; rows are named, from 1."""
    if similarities.shape[0] != similarities.shape[1]:
        raise ParameterError(f"similarities must be (texts, texts); got {similarities.shape}")
    not_finite = np.flatnonzero(~np.isfinite(similarities).all(axis=1))
    if len(not_finite):
        raise ParameterError(
            f"NaN or infinite similarities of text {listed((not_finite + 1).tolist())} (rows count "
            f"from 1) of {len(similarities):,}"
        )
