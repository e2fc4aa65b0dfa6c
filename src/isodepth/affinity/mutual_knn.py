"""Mutual k-NN: the share of nearest neighbors that two layers have in common.

For each text, both layers name k neighbors; the similarity is the mean number of shared ones over k.
It is 1 for identical neighborhoods and k / (n_texts - 1) on average for unrelated ones.

For all pairs of layers at once no n x n mask is built, and no pair is looked at by itself: one pass
over the texts counts for all (`isodepth.affinity.counts`).

>>> mutual_knn(np.array([[1, 2], [0, 2], [0, 1]]), np.array([[1, 2], [2, 0], [1, 0]]))
1.0

Memory: 9 bytes a pair of layers and thread; `isodepth.affinity.counts` has the rest.
"""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from jaxtyping import Int32, Int64, Integer

from isodepth.affinity.measure import Layers, Measure
from isodepth.axes import AffinityValues, LayerNeighborIds, shape_text
from isodepth.errors import ParameterError, listed

AFFINITY_VERSION = 1
"""Raise it when the same neighbors would give other matrices."""


def mutual_knn(left_ids: LayerNeighborIds, right_ids: LayerNeighborIds) -> float:
    """Return the mutual k-NN similarity of two layers, in [0, 1].

    Parameters
    ----------
    left_ids, right_ids : integer arrays (texts, k)
        Each row holds the ids of a text's k nearest neighbors in any order, without repeats.

    Raises
    ------
    ParameterError
        If shapes differ, ids are out of range or repeat within a row.

    References
    ----------
    Wolfram & Schein 2025, Definition 4; Huh et al. 2024. Differs in nothing.
    """
    counts = mutual_knn_counts(
        checked_ids(left_ids[np.newaxis], "left_ids"),
        checked_ids(right_ids[np.newaxis], "right_ids"),
    )
    return float(counts[0, 0]) / left_ids.size


def mutual_knn_counts(
    left_ids: Int32[np.ndarray, "layers_left texts k"],
    right_ids: Int32[np.ndarray, "layers_right texts k"],
) -> Int64[np.ndarray, "layers_left layers_right"]:
    """Return how many neighbors all layer pairs share, summed over the texts.

    Parameters
    ----------
    left_ids, right_ids : int32 arrays (layers, texts, k)
        Checked neighbor ids (`checked_ids`) of the same texts.

    Raises
    ------
    ParameterError
        If the numbers of texts or neighbors differ.
    """
    refuse_other_shapes(left_ids, right_ids)
    from isodepth.affinity.counts import shared_counts  # compiles; a rerun from the store need not

    return shared_counts([left_ids], [right_ids])


def mutual_knn_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    """Return the mutual k-NN similarities of all layers of several models, float64 in [0, 1].

    Parameters
    ----------
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids (`checked_ids`) of the same texts, as many of each; their layers one after
        the other are the rows and the columns. `right` is None where all are compared with each other.
    k : int
        Neighbors per text.
    """
    from isodepth.affinity.counts import shared_counts

    rows = [np.asarray(ids) for ids in left]
    columns = None if right is None else [np.asarray(ids) for ids in right]
    values: np.ndarray = shared_counts(rows, columns) / float(rows[0].shape[1] * k)
    return values


MUTUAL_KNN = Measure(
    title="mutual k-NN",
    all_values=mutual_knn_values,
    reads="neighbors",
    invariances=frozenset({"rotation", "scale", "text scale", "order"}),
    chance=lambda n_texts, k: k / (n_texts - 1),
    source="Wolfram & Schein 2025, Definition 4; Huh et al. 2024. Differs in nothing.",
    cost="all pairs of layers in one pass over the texts: texts x layers x k sums of a byte per layer.",
)


def refuse_other_shapes(left_ids: np.ndarray, right_ids: np.ndarray) -> None:
    """Raise `ParameterError` unless ids (layers, texts, k) have as many texts and neighbors."""
    if left_ids.shape[1:] != right_ids.shape[1:]:
        axes = ("texts", "k")
        raise ParameterError(
            f"left and right neighbors must agree in {shape_text(axes, left_ids[0])} (left); right "
            f"has {shape_text(axes, right_ids[0])}"
        )


def checked_ids(
    ids: Integer[np.ndarray, "layers texts k"], name: str
) -> Int32[np.ndarray, "layers texts k"]:
    """Return neighbor ids as int32, or raise `ParameterError` naming what is wrong with them.

    Memory: one layer, unless something is wrong.
    """
    n_layers, n_texts, k = ids.shape
    if n_layers == 0 or k == 0 or n_texts < 2:
        raise ParameterError(
            f"{name} must hold at least 1 layer, 2 texts and 1 neighbor; got "
            f"{shape_text(('layers', 'texts', 'k'), ids)}"
        )
    from isodepth.affinity.kernels import are_sets_of_others

    space = np.empty(n_texts, dtype=np.int32)
    for layer in ids:
        in_range = layer.min() >= 0 and layer.max() < n_texts
        if not (in_range and are_sets_of_others(np.require(layer, np.int32, ["C", "A"]), space)):
            _refuse(ids, name)
    return ids.astype(np.int32, copy=False)


def _refuse(ids: Integer[np.ndarray, "layers texts k"], name: str) -> NoReturn:
    """Raise `ParameterError` naming what is wrong with neighbor ids."""
    n_texts = ids.shape[1]
    if ids.min() < 0 or ids.max() >= n_texts:
        raise ParameterError(
            f"{name}: ids must lie in 0 to {n_texts - 1} for {n_texts:,} texts; found "
            f"{ids.min()} to {ids.max()}"
        )
    with_self = np.flatnonzero((ids == np.arange(n_texts)[:, np.newaxis]).any(axis=(0, 2)))
    if len(with_self):
        raise ParameterError(
            f"{name}: a text may not be its own neighbor; row {listed(with_self.tolist())} holds "
            "itself (rows count from 0)"
        )
    ordered = np.sort(ids, axis=2)
    repeats = np.flatnonzero((ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=(0, 2)))
    raise ParameterError(
        f"{name}: an id may stand only once in a row; row {listed(repeats.tolist())} repeats one "
        "(rows count from 0)"
    )
