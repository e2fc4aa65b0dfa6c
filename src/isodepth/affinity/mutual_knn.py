"""Mutual k-NN: the share of nearest neighbors that two layers have in common.

For each text, both layers name k neighbors; the similarity is the mean number of shared ones over k.
It is 1 for identical neighborhoods and k / (n_texts - 1) on average for unrelated ones.

For all pairs of layers at once, each text's neighbor lists of the left model are turned around (which
left layers name text t?), and every entry of a right list adds one to all left layers that name the
same text. No n x n mask is built; the work is the number of agreements.

>>> mutual_knn(np.array([[1, 2], [0, 2], [0, 1]]), np.array([[1, 2], [2, 0], [1, 0]]))
1.0

Memory: two int32 arrays of n_texts and the counts.
"""

import numpy as np
from jaxtyping import Int32, Int64, Integer

from isodepth.axes import LayerNeighborIds, shape_text
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
    if left_ids.shape[1:] != right_ids.shape[1:]:
        axes = ("texts", "k")
        raise ParameterError(
            f"left and right neighbors must agree in {shape_text(axes, left_ids[0])} (left); right "
            f"has {shape_text(axes, right_ids[0])}"
        )
    from isodepth.affinity.kernels import count_shared  # compiles; a rerun from the store need not

    left, right = np.ascontiguousarray(left_ids), np.ascontiguousarray(right_ids)
    counts: np.ndarray = count_shared(left, right)
    return counts


def checked_ids(
    ids: Integer[np.ndarray, "layers texts k"], name: str
) -> Int32[np.ndarray, "layers texts k"]:
    """Return neighbor ids as int32, or raise `ParameterError` naming what is wrong with them."""
    n_layers, n_texts, k = ids.shape
    if n_layers == 0 or k == 0 or n_texts < 2:
        raise ParameterError(
            f"{name} must hold at least 1 layer, 2 texts and 1 neighbor; got "
            f"{shape_text(('layers', 'texts', 'k'), ids)}"
        )
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
    if len(repeats):
        raise ParameterError(
            f"{name}: an id may stand only once in a row; row {listed(repeats.tolist())} repeats one "
            "(rows count from 0)"
        )
    return ids.astype(np.int32, copy=False)
