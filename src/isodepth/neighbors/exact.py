"""Which k texts are nearest to each text, at each layer? Exactly, and the same on every run.

The vectors are scaled to unit norm and multiplied in blocks, both in float64: in layers where all
texts point almost the same way (cosines above 0.999 are common in the middle of a model), float32
products would decide many neighbors by rounding. A text is left out of its own list by its index,
not by its distance, so a duplicate of a text is its neighbor. Equal computed similarities go to the
lower index. Vectors that are equal bit for bit (duplicates of a text) are equally similar to any third
one, because each distinct vector is one column of the product. Similarities that are equal only in
exact arithmetic may differ in the last bit of float64.

>>> ids = nearest_neighbors(np.random.default_rng(0).normal(size=(3, 50, 8)), k=5).ids
>>> ids.shape
(3, 50, 5)

Memory: one layer in float64 and a block of 64 MB of similarities.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int32, Integer

from isodepth.activations.result import Activations
from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ActivationsError, ParameterError, listed
from isodepth.neighbors.result import METRICS, Neighbors
from isodepth.progress import Progress, no_progress

NEIGHBORS_VERSION = 1
"""Raise it when the same activations would give other neighbors."""
BLOCK_BYTES = 64 << 20


def nearest_neighbors(
    activations: Activations | Float[np.ndarray, "layers texts units"] | LayerActivations,
    k: int = 10,
    metric: str = "cosine",
    *,
    progress: Progress = no_progress,
) -> Neighbors:
    """Return the `k` nearest neighbors of every text at every layer.

    Parameters
    ----------
    activations : Activations, or float array (layers, texts, units) or (texts, units)
        From `extract` or from anywhere; a two-dimensional array is one layer.
    k : int
        How many neighbors, 1 <= k < n_texts.
    metric : {"cosine"}
        What "near" means.
    progress : Progress
        Told of layers done.

    Returns
    -------
    Neighbors
        ``ids`` int32 (layers, texts, k), nearest first, self left out, ties to the lower index;
        ``similarities`` float32.

    Raises
    ------
    ParameterError
        If `k` or the array's shape cannot be used.
    ActivationsError
        If values are NaN or infinite, or a vector is zero and so has no direction; layers and rows
        are named, from 1.

    References
    ----------
    Wolfram & Schein 2025, Definition 3. Differs in nothing; the rule for ties is ours.
    """
    check_metric(metric)
    if isinstance(activations, Activations):
        values, model = activations.values, activations.model
        texts_digest: str | None = activations.texts_digest
        provenance = dict(activations.provenance)
    else:
        values = activations[np.newaxis] if activations.ndim == 2 else activations
        model, texts_digest, provenance = "array", None, {}
    if values.ndim != 3 or 0 in values.shape:
        raise ParameterError(
            "activations must be a non-empty array (layers, texts, units) or (texts, units); got "
            f"shape {values.shape}"
        )
    n_layers, n_texts, _ = values.shape
    check_k(k, n_texts)
    ids = np.empty((n_layers, n_texts, k), dtype=np.int32)
    similarities = np.empty((n_layers, n_texts, k), dtype=np.float32)
    label = f"finding neighbors in {model}"
    progress(label, 0, n_layers, "layers")
    for layer in range(n_layers):
        try:
            ids[layer], similarities[layer] = layer_neighbors(np.asarray(values[layer]), k)
        except ActivationsError as error:
            raise ActivationsError(
                f"{model}, layer {layer + 1}: {error.message}", hint=error.hint
            ) from error
        progress(label, layer + 1, n_layers, "layers")
    return Neighbors(
        ids=ids,
        similarities=similarities,
        metric=metric,
        model=model,
        texts_digest=texts_digest,
        provenance=provenance,
    )


def check_metric(metric: str) -> None:
    """Raise `ParameterError` unless the metric is one of `METRICS`."""
    if metric not in METRICS:
        raise ParameterError(f"metric must be one of {listed(METRICS)}; got {metric!r}")


def check_k(k: int, n_texts: int) -> None:
    """Raise `ParameterError` unless 1 <= k < n_texts."""
    if not 1 <= k < n_texts:
        raise ParameterError(
            f"k = {k:,} neighbors of {n_texts:,} texts: expected 1 <= k <= n - 1 = {n_texts - 1:,}, "
            "because a text is not its own neighbor",
            hint="use a smaller k or more texts.",
        )


def layer_neighbors(
    vectors: LayerActivations, k: int
) -> tuple[Int32[np.ndarray, "texts k"], Float32[np.ndarray, "texts k"]]:
    """Return ids and cosine similarities of the `k` nearest neighbors at one layer.

    Parameters
    ----------
    vectors : float array (texts, units)
        One layer.
    k : int
        1 <= k < n_texts.

    Raises
    ------
    ActivationsError
        If a vector is not finite or is zero; the rows are named, from 1.
    """
    unit, group = _distinct_unit_vectors(vectors)
    n_texts = len(vectors)
    ids = np.empty((n_texts, k), dtype=np.int32)
    similarities = np.empty((n_texts, k), dtype=np.float32)
    rows_at_once = max(1, BLOCK_BYTES // (8 * n_texts))
    for start in range(0, n_texts, rows_at_once):
        rows = np.arange(start, min(start + rows_at_once, n_texts))
        block = unit[rows] @ unit.T if group is None else (unit[group[rows]] @ unit.T)[:, group]
        block[np.arange(len(rows)), rows] = -np.inf
        chosen = _top_k(block, k)
        ids[rows] = chosen
        similarities[rows] = np.clip(np.take_along_axis(block, chosen, axis=1), -1.0, 1.0)
    return ids, similarities


def _distinct_unit_vectors(
    vectors: LayerActivations,
) -> tuple[Float64[np.ndarray, "distinct units"], Integer[np.ndarray, " texts"] | None]:
    """Return each distinct vector at unit norm, and which one each text has (None: its own)."""
    exact = np.asarray(vectors, dtype=np.float64)
    not_finite = np.flatnonzero(~np.isfinite(exact).all(axis=1))
    if len(not_finite):
        raise ActivationsError(
            f"NaN or infinite activations in text {listed([int(r) + 1 for r in not_finite])} "
            f"(rows count from 1) of {shape_text(('texts', 'units'), exact)}"
        )
    largest = np.abs(exact).max(axis=1)
    zero = np.flatnonzero(largest == 0)
    if len(zero):
        raise ActivationsError(
            f"the activations of text {listed([int(r) + 1 for r in zero])} (rows count from 1) are "
            "all zero, so they have no direction and no cosine distance"
        )
    first: dict[bytes, int] = {}
    group = np.array([first.setdefault(row.tobytes(), len(first)) for row in exact])
    own_group = None
    if len(first) < len(exact):
        own_group, (_, kept) = group, np.unique(group, return_index=True)
        exact, largest = exact[kept], largest[kept]
    scaled = exact / largest[:, np.newaxis]  # so that squares neither overflow nor vanish
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True), own_group


def _top_k(block: Float64[np.ndarray, "rows texts"], k: int) -> Integer[np.ndarray, "rows k"]:
    """Return the columns of the k largest values of each row, descending, ties to the lower column."""
    n_texts = block.shape[1]
    candidates = np.argpartition(-block, k - 1, axis=1)[:, :k]
    values = np.take_along_axis(block, candidates, axis=1)
    order = np.lexsort((candidates, -values), axis=1)
    chosen = np.take_along_axis(candidates, order, axis=1)
    least = values.min(axis=1, keepdims=True)
    tied_at_the_edge = np.flatnonzero((block >= least).sum(axis=1) > k)
    for row in tied_at_the_edge:
        chosen[row] = np.argsort(-block[row], kind="stable")[:k]
    assert chosen.shape == (len(block), min(k, n_texts))
    return chosen
