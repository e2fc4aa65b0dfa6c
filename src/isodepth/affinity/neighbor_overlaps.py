"""How alike are two layers' neighbors, beyond how many they share? Jaccard, rank-weighted, cycle k-NN.

Mutual k-NN counts shared neighbors. Jaccard k-NN divides them, text by text, by all that either layer
names, so agreement on a few texts weighs more than the same agreement spread over all. Rank-weighted
k-NN is the mean of mutual k-NN at 1, 2, ... k neighbors, so that the nearest weigh most. Cycle k-NN
asks how often a step to a neighbor at one layer and a step at the other can lead back.

>>> left = np.array([[[1, 2], [0, 2], [0, 1]]], dtype=np.int32)
>>> right = left[:, :, ::-1]
>>> OVERLAP_MEASURES["rank_knn"](left, right, 2)
array([[0.5]])

Shares are summed as integers, fractions of 2^62 / n_texts, so that neither the number of threads nor
exchanging left and right changes a bit, and identical lists have similarity 1 exactly.

Memory: up to 80 bytes a pair of layers, and for each thread two blocks of 1 MB, 8 bytes a text, and 8
bytes for each right layer's neighbor of one text; for cycle k-NN also a copy of the ids.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int32, Int64

from isodepth.affinity.measure import Layers, Measure, layers_of
from isodepth.axes import AffinityValues
from isodepth.cores import usable_cores

MOST_PARTS = 8
LEAST_TEXTS = 64
BLOCK_BYTES = 1 << 20

LayerIds = Int32[np.ndarray, "texts k"]
Space = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Adds = Callable[[slice, np.ndarray, np.ndarray, Space, np.ndarray], None]


def jaccard_knn_values(
    left: Sequence[Layers], right: Sequence[Layers] | None, k: int
) -> AffinityValues:
    """Return the mean over texts of shared neighbors per neighbor that either layer names, in [0, 1].

    Parameters
    ----------
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids of the same texts; `right` is None where all are compared with each other.
    k : int
        Neighbors per text.

    References
    ----------
    Jaccard 1901, of each text's two sets of neighbors. Differs in nothing.
    """
    from isodepth.affinity.overlap_kernels import add_shares_by_number

    shared = np.arange(k + 1)
    return _values_of_shares(
        left, right, shared / (2 * k - shared), add_shares_by_number, identical=[k]
    )


def rank_knn_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    """Return the mean over d = 1 to k of the share of the d nearest that both layers name, in [0, 1].

    Parameters
    ----------
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids of the same texts, nearest first; `right` is None where all are compared
        with each other.
    k : int
        Neighbors per text.

    References
    ----------
    Fagin, Kumar & Sivakumar 2003: 1 less their intersection metric; the average overlap of Webber,
    Moffat & Zobel 2010. Differs in nothing.
    """
    from isodepth.affinity.overlap_kernels import add_shares_by_rank

    # shared from depth d on: 1 / d of d, 1 / (d + 1) of d + 1, ...
    later = np.cumsum(1 / np.arange(k, 0, -1))[::-1] / k
    return _values_of_shares(left, right, later, add_shares_by_rank, identical=range(k))


def cycle_knn_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
    """Return how often a neighbor at one layer names the text at the other, in [0, 1].

    Of random lists it is 1 - (1 - k / (n_texts - 1))^k. Real lists with nothing in common stay below
    that: texts that many others name (hubs) are answered more often than need be, and the rest less.
    With the texts of one of two models relabeled at random, n = 256 and k = 30, it is 0.83 instead of
    0.98; so the measure states no chance level.

    Parameters
    ----------
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids of the same texts; `right` is None where all are compared with each other.
    k : int
        Neighbors per text.

    References
    ----------
    Huh et al. 2024, `cycle_knn` of the authors' code, which takes one order: from a text to its
    neighbors at the right layer, and from these back at the left. Ours is the mean of both orders.
    """
    rows = [ids for _, ids in layers_of(left)]
    columns = rows if right is None else [ids for _, ids in layers_of(right)]
    there = _returns(rows, columns, k)
    back = there if right is None else _returns(columns, rows, k)
    values: AffinityValues = (there + back.T) / (2 * len(rows[0]))
    return values


def chance_of_jaccard(n_texts: int, k: int) -> float:
    """Return the mean of Jaccard k-NN where both layers name k of the others at random.

    The number of shared neighbors of a text is hypergeometric, that of Wolfram & Schein 2025, App. B.
    """
    others = n_texts - 1
    mean = sum(
        Fraction(math.comb(k, shared) * math.comb(others - k, k - shared) * shared, 2 * k - shared)
        for shared in range(max(0, 2 * k - others), k + 1)
    )
    return float(mean / math.comb(others, k))


def chance_of_rank(n_texts: int, k: int) -> float:
    """Return the mean of rank-weighted k-NN of random lists: that of d / (n_texts - 1), d = 1 to k."""
    return (k + 1) / (2 * (n_texts - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighborLists:
    """The neighbor lists of the layers on both sides, summed over block by block of texts.

    Parameters
    ----------
    rows, columns : sequences of int32 arrays (texts, k)
        Checked neighbor ids, one array a layer.
    """

    rows: Sequence[LayerIds]
    columns: Sequence[LayerIds]

    def total(self, add: Adds, dtype: type) -> np.ndarray:
        """Return what `add` adds up for all pairs of layers, (rows, columns).

        The texts are cut into parts that do not depend on the number of threads, and the parts' totals
        are summed in order: sums of floats are the same everywhere.

        Parameters
        ----------
        add : callable
            Takes a slice of the texts, the ids of all rows and all columns for these, (layers, texts,
            k), the space that `isodepth.affinity.overlap_kernels` works in, and the total to add to.
            Called on several threads.
        dtype : type
            Of the total.
        """
        n_texts = len(self.rows[0])
        parts = min(MOST_PARTS, -(-n_texts // LEAST_TEXTS))
        ends = [n_texts * part // parts for part in range(parts + 1)]
        total: np.ndarray = np.zeros((len(self.rows), len(self.columns)), dtype=dtype)

        def total_of(part: int) -> np.ndarray:
            own = np.zeros_like(total)
            self._add_part(add, ends[part], ends[part + 1], own)
            return own

        with ThreadPoolExecutor(min(usable_cores(), parts), thread_name_prefix="overlap") as executor:
            for own in executor.map(total_of, range(parts)):
                total += own
        return total

    def _add_part(self, add: Adds, start: int, stop: int, total: np.ndarray) -> None:
        n_texts, k = self.rows[0].shape
        n_listed = len(self.columns) * k
        space: Space = (
            np.zeros(n_texts, dtype=np.int32),
            np.empty(n_texts, dtype=np.int32),
            np.empty(n_listed, dtype=np.int32),
            np.empty(n_listed, dtype=np.int32),
        )
        n_at_once = max(1, BLOCK_BYTES // (4 * max(n_listed, len(self.rows) * k)))
        for first in range(start, stop, n_at_once):
            texts = slice(first, min(first + n_at_once, stop))
            columns = _block(self.columns, texts)
            rows = columns if self.rows is self.columns else _block(self.rows, texts)
            add(texts, rows, columns, space, total)


def _block(layers: Sequence[LayerIds], texts: slice) -> np.ndarray:
    """Return some texts' ids at all layers, (layers, texts, k)."""
    # stack keeps the order of axes in memory that the layers have
    return np.ascontiguousarray(np.stack([ids[texts] for ids in layers]))


def _values_of_shares(
    left: Sequence[Layers],
    right: Sequence[Layers] | None,
    shares: np.ndarray,
    add_shares: Callable[..., None],
    *,
    identical: Sequence[int],
) -> AffinityValues:
    """Return mean shares of texts; the shares at `identical` are those of a list and itself."""
    rows = [ids for _, ids in layers_of(left)]
    columns = rows if right is None else [ids for _, ids in layers_of(right)]
    n_texts = len(rows[0])
    whole = 2.0 ** (62 - n_texts.bit_length())  # so that the sum over texts fits
    parts: Int64[np.ndarray, " shares"] = np.rint(shares * whole).astype(np.int64)

    def add(
        _texts: slice, ours: np.ndarray, theirs: np.ndarray, space: Space, total: np.ndarray
    ) -> None:
        add_shares(ours, theirs, right is None, parts, *space, total)

    total = NeighborLists(rows=rows, columns=columns).total(add, np.int64)
    if right is None:
        total = mirrored(total)
    most = n_texts * int(parts[list(identical)].sum())
    values: AffinityValues = total / most
    return values


def mirrored(upper: np.ndarray) -> np.ndarray:
    """Return the symmetric matrix of which only the upper triangle was filled."""
    whole: np.ndarray = upper + np.triu(upper, 1).T
    return whole


def _returns(rows: Sequence[LayerIds], columns: Sequence[LayerIds], k: int) -> np.ndarray:
    """Return how many texts have, at a column's layer, a neighbor that names them at a row's."""
    from isodepth.affinity.overlap_kernels import add_returns

    n_texts = len(rows[0])
    starts = np.zeros((len(rows), n_texts + 1), dtype=np.int32)
    namers = np.empty((len(rows), n_texts * k), dtype=np.int32)
    for layer, ids in enumerate(rows):
        named = np.ravel(ids)
        namers[layer] = np.argsort(named, kind="stable") // k
        np.cumsum(np.bincount(named, minlength=n_texts), out=starts[layer, 1:])

    def add(
        texts: slice, _ours: np.ndarray, theirs: np.ndarray, space: Space, total: np.ndarray
    ) -> None:
        add_returns(starts, namers, texts.start, theirs, *space, total)

    return NeighborLists(rows=rows, columns=columns).total(add, np.int64)


_COST = (
    "all pairs of layers in one pass over the texts: texts x pairs x shared neighbors. On one core, "
    "80 x 80 layers, n = 2,048, k = 10 and 100: "
)
_OF_NEIGHBORS = frozenset({"rotation", "scale", "text scale", "order"})

OVERLAP_MEASURES: dict[str, Measure] = {
    "jaccard_knn": Measure(
        title="Jaccard k-NN",
        all_values=jaccard_knn_values,
        reads="neighbors",
        invariances=_OF_NEIGHBORS,
        chance=chance_of_jaccard,
        source="Jaccard 1901, of the sets of neighbors, averaged over texts. Differs in nothing.",
        cost=f"{_COST}0.09 and 0.5 s (mutual k-NN: 0.03 and 0.12 s).",
    ),
    "rank_knn": Measure(
        title="rank-weighted k-NN",
        all_values=rank_knn_values,
        reads="neighbors",
        invariances=_OF_NEIGHBORS,
        chance=chance_of_rank,
        source="Fagin, Kumar & Sivakumar 2003: 1 less their intersection metric; the average overlap "
        "of Webber, Moffat & Zobel 2010. Averaged over texts; differs in nothing.",
        cost=f"{_COST}0.05 and 0.5 s (mutual k-NN: 0.03 and 0.12 s).",
    ),
    "cycle_knn": Measure(
        title="cycle k-NN",
        all_values=cycle_knn_values,
        reads="neighbors",
        invariances=_OF_NEIGHBORS,
        source="Huh et al. 2024, the authors' code: the share of texts that one of their neighbors at "
        "one layer names at the other. That depends on which layer is first; ours is the mean of both "
        "orders. A layer and itself have the share of texts with a neighbor that names them, often "
        "below 1.",
        cost=f"{_COST}0.17 and 1.5 s (mutual k-NN: 0.03 and 0.12 s).",
    ),
}
"""Measures of neighbors, by name."""
