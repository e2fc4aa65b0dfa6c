"""Which k texts are nearest to each text, at each layer? Exactly, and the same on every run.

Everything is computed in float64: in layers where all texts point almost the same way (cosines above
0.999 are common in the middle of a model), float32 products would decide many neighbors by rounding. A
text is left out of its own list by its index, not by its distance, so a duplicate of a text is its
neighbor. Equal computed similarities go to the lower index. Two texts are as similar in the list of the
one as in that of the other, bit for bit, and vectors that are equal bit for bit (duplicates of a text)
are equally similar to any third one. Similarities that are equal only in exact arithmetic may differ in
the last bit of float64; which way may depend on how many texts there are and on the processor, not on
the number of threads. All of it holds for every metric; `metrics` has them.

>>> ids = nearest_neighbors(np.random.default_rng(0).normal(size=(3, 50, 8)), k=5).ids
>>> ids.shape
(3, 50, 5)

Memory: one layer in float64 (a few with preprocessing, one more where units are no multiple of 8), a
tile of similarities of at most 32 MB (two for Euclidean distances), and some 30 bytes a neighbor of one
layer.
"""

import numpy as np
from jaxtyping import Float, Float32, Int32

from isodepth.activations.result import Activations
from isodepth.axes import LayerActivations
from isodepth.errors import ActivationsError, ParameterError, listed, nearest_names
from isodepth.neighbors.metrics import METRICS, prepared
from isodepth.neighbors.result import Neighbors
from isodepth.preprocessing import Preprocessing
from isodepth.progress import Progress, no_progress

NEIGHBORS_VERSION = 2
"""Raise it when the same activations would give other neighbors."""


def nearest_neighbors(
    activations: Activations | Float[np.ndarray, "layers texts units"] | LayerActivations,
    k: int = 10,
    metric: str = "cosine",
    *,
    preprocessing: str | Preprocessing | None = None,
    before: tuple[Float[np.ndarray, "_ texts _"], Neighbors] | None = None,
    progress: Progress = no_progress,
) -> Neighbors:
    """Return the `k` nearest neighbors of every text at every layer.

    Parameters
    ----------
    activations : Activations, or float array (layers, texts, units) or (texts, units)
        From `extract` or from anywhere; a two-dimensional array is one layer.
    k : int
        How many neighbors, 1 <= k < n_texts.
    metric : {"cosine", "euclidean", "correlation", "inner_product"}
        What "near" means; see `METRICS`.
    preprocessing : str or Preprocessing, optional
        What is done to each layer's activations before, as ``"center + remove_components(3)"``; see
        `isodepth.preprocessing`.
    before : (float array (layers, texts, units), Neighbors), optional
        Activations whose neighbors were found before, in the same way and at least `k` of them. Where a
        layer holds the same values as that layer of these, its neighbors are taken over: the captures
        "block" and "final_norm" differ in the last layer only.
    progress : Progress
        Told of layers done.

    Returns
    -------
    Neighbors
        ``ids`` int32 (layers, texts, k), nearest first, self left out, ties to the lower index;
        ``similarities`` float32, descending. What was done is in ``metric``, ``preprocessing`` and
        ``provenance``.

    Raises
    ------
    UnknownNameError
        If there is no such step of preprocessing.
    ParameterError
        If `k`, the metric, a step's argument or the array's shape cannot be used, or what was found
        before was found otherwise.
    ActivationsError
        If values are NaN or infinite, or the metric is not defined for a vector: cosine if it is zero,
        correlation if it is the same in every unit; layers and rows are named, from 1.

    References
    ----------
    Wolfram & Schein 2025, Definition 3, for cosine. Differs in nothing; the rule for ties is ours.
    """
    check_metric(metric)
    steps = Preprocessing.of(preprocessing)
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
    if before is not None:
        _check_before(before[1], k, metric, steps.name)
    ids = np.empty((n_layers, n_texts, k), dtype=np.int32)
    similarities = np.empty((n_layers, n_texts, k), dtype=np.float32)
    label = f"finding neighbors in {model}"
    progress(label, 0, n_layers, "layers")
    for layer in range(n_layers):
        vectors = np.asarray(values[layer])
        if before is not None and _is_layer_of(before[0], layer, vectors):
            ids[layer] = before[1].ids[layer, :, :k]
            similarities[layer] = before[1].similarities[layer, :, :k]
        else:
            try:
                ids[layer], similarities[layer] = layer_neighbors(
                    steps(vectors) if steps else vectors, k, metric
                )
            except (ActivationsError, ParameterError) as error:
                raise type(error)(
                    f"{model}, layer {layer + 1}: {error.message}", hint=error.hint
                ) from error
        progress(label, layer + 1, n_layers, "layers")
    return Neighbors(
        ids=ids,
        similarities=similarities,
        metric=metric,
        preprocessing=steps.name,
        model=model,
        texts_digest=texts_digest,
        provenance={**provenance, "metric": metric, "preprocessing": steps.name},
    )


def _is_layer_of(values: np.ndarray, layer: int, vectors: np.ndarray) -> bool:
    """Return whether activations hold these vectors at a layer."""
    if layer >= len(values) or values.dtype != vectors.dtype:
        return False
    return np.array_equal(values[layer], vectors)


def _check_before(found: Neighbors, k: int, metric: str, preprocessing: str) -> None:
    """Raise `ParameterError` unless neighbors were found in this way, and at least `k` of them."""
    was, wanted = (found.metric, found.preprocessing), (metric, preprocessing)
    if was != wanted or found.k < k:
        raise ParameterError(
            f"neighbors found before can be taken over if they were found alike; got {found.k} by "
            f"{', '.join(was)}, and {k} by {', '.join(wanted)} are to be found"
        )


def check_metric(metric: str) -> None:
    """Raise `ParameterError` unless the metric is one of `METRICS`."""
    if metric not in METRICS:
        near = nearest_names(metric, METRICS)
        raise ParameterError(
            f"metric must be one of {listed(list(METRICS))}; got {metric!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )


def check_k(k: int, n_texts: int) -> None:
    """Raise `ParameterError` unless 1 <= k < n_texts."""
    if not 1 <= k < n_texts:
        raise ParameterError(
            f"k = {k:,} neighbors of {n_texts:,} texts: expected 1 <= k <= n - 1 = {n_texts - 1:,}, "
            "because a text is not its own neighbor",
            hint="use a smaller k or more texts.",
        )


def layer_neighbors(
    vectors: LayerActivations, k: int, metric: str = "cosine"
) -> tuple[Int32[np.ndarray, "texts k"], Float32[np.ndarray, "texts k"]]:
    """Return ids and similarities of the `k` nearest neighbors at one layer.

    Parameters
    ----------
    vectors : float array (texts, units)
        One layer.
    k : int
        1 <= k < n_texts.
    metric : {"cosine", "euclidean", "correlation", "inner_product"}
        What "near" means.

    Returns
    -------
    ids : int32 array (texts, k)
        Nearest first, the text itself left out, ties to the lower index.
    similarities : float32 array (texts, k)
        Descending; of Euclidean distance its negative. See `Neighbors`.

    Raises
    ------
    ParameterError
        If there is no such metric, or `k` or the array's shape cannot be used.
    ActivationsError
        If a vector is not finite, or the metric is not defined for it; the rows are named, from 1.
    """
    check_metric(metric)
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ParameterError(
            f"a layer must be a non-empty array (texts, units); got shape {vectors.shape}"
        )
    check_k(k, len(vectors))
    ids, similarities = prepared(vectors, metric).nearest(k)
    return ids, similarities.astype(np.float32)
