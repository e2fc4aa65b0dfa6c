"""How similar are all layers of a text set's models, at every k that is known?

Matrices are stored block by block, a block for each pair of models; of models that are compared with
each other, only one of both orders, unless the measure tells left from right. At further k than the
results have, they are computed from the neighbors, so that a reader can watch what k does.

Memory: 12 bytes a layer pair and k.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isodepth.affinity import AffinityMatrices, all_affinities
from isodepth.affinity.measures import CHANCE_KNOWN, measure_title
from isodepth.neighbors import Neighbors
from isodepth.report.packing import packed
from isodepth.results import Evidence
from isodepth.statistics import null_model
from isodepth.statistics.permutation import null_of_totals
from isodepth.statistics.permuted_overlap import NeighborTotals, neighbor_totals
from isodepth.texts import Pairing

SWEPT = (1, 2, 5, 10, 20, 50, 100)
"""Numbers of neighbors at which matrices are computed where there are neighbors at hand."""
MOST_SWEPT = 100_000
"""Layer pairs of a whole report above which they are not: each k takes some 6 bytes a layer pair."""
ROUNDING = 1e-6
"""Of a number of shared neighbors."""

Blocks = Sequence[tuple[int, int]]


def blocks_of(matrices: AffinityMatrices) -> list[tuple[int, int]]:
    """Return the pairs of models that are stored, as places of the left and the right label."""
    return list(matrices.places(with_self=True))


def n_layer_pairs(matrices: AffinityMatrices) -> int:
    """Return how many layer pairs are stored."""
    return sum(matrices.left_layers[i] * matrices.right_layers[j] for i, j in blocks_of(matrices))


def similarities(
    known: Mapping[int, AffinityMatrices], evidence: Evidence | None, *, is_swept: bool
) -> list[dict[str, Any]]:
    """Return the matrices at every k, in its order: chance, values, and their sd under relabelling.

    Parameters
    ----------
    known : mapping of int to AffinityMatrices
        By k: the matrices of one text set, measure, capture and pooling. At least one.
    evidence : Evidence or None
        What they were made from.
    is_swept : bool
        Whether to compute matrices at other k, too, where there is evidence.
    """
    first = next(iter(known.values()))
    by_k = dict(known)
    has_chance = first.measure == CHANCE_KNOWN
    if evidence is not None and has_chance and is_swept:
        left, right = evidence.sides(first)
        stored = min(one.k for one in (*left, *(right or ())))
        # at k = n_texts - 1 every text is a neighbor of every other
        for k in SWEPT:
            if k not in known and k <= stored and k < first.n_texts - 1:
                by_k[k] = all_affinities(left, right=right, k=k, pairing=_pairing(first))
    return [
        _described(by_k[k], evidence if has_chance else None, has_chance=has_chance)
        for k in sorted(by_k)
    ]


def _described(
    matrices: AffinityMatrices, evidence: Evidence | None, *, has_chance: bool
) -> dict[str, Any]:
    blocks = blocks_of(matrices)
    values = np.concatenate([_block(matrices, i, j).reshape(-1) for i, j in blocks])
    said = f"k = {matrices.k}" if matrices.k else measure_title(matrices.measure)
    found: dict[str, Any] = {"k": matrices.k, "said": said}
    found |= {"chance": None, "null_sd": None, "scale": None}
    stored = values
    if has_chance:
        is_modelled = matrices.n_texts >= 3
        null_sd = null_model(matrices.n_texts, matrices.k).sd if is_modelled else None
        found |= {"chance": matrices.chance, "null_sd": null_sd}
        counts = values * (matrices.k * matrices.n_texts)
        if np.abs(counts - np.round(counts)).max() < ROUNDING:
            found["scale"] = matrices.k * matrices.n_texts
            stored = np.round(counts).astype(np.int64)
    found["values"] = packed(stored)
    found["sd"] = None
    if evidence is not None:
        found["sd"] = packed(_spread(matrices, evidence, blocks), as_type="f32")
    return found


def _spread(matrices: AffinityMatrices, evidence: Evidence, blocks: Blocks) -> np.ndarray:
    """Return the sd of all stored layer pairs under relabelled texts."""
    left, right = evidence.sides(matrices)
    rows = [_totals(one, matrices.k) for one in left]
    columns = rows if right is None else [_totals(one, matrices.k) for one in right]
    return np.concatenate(
        [null_of_totals(rows[i], columns[j], _block(matrices, i, j)).sd.reshape(-1) for i, j in blocks]
    )


def _totals(neighbors: Neighbors, k: int) -> NeighborTotals:
    return neighbor_totals(np.ascontiguousarray(neighbors.ids[:, :, :k]), with_third=False)


def _block(matrices: AffinityMatrices, i: int, j: int) -> np.ndarray:
    return matrices[matrices.left[i], matrices.right[j]].values


def _pairing(matrices: AffinityMatrices) -> Pairing | None:
    if matrices.right_texts_digest is None or matrices.texts_digest is None:
        return None
    return Pairing(left=matrices.texts_digest, right=matrices.right_texts_digest)
