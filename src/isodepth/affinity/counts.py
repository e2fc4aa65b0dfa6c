"""How many neighbors do all pairs of layers share? One pass over the texts, on all cores.

The texts are cut into parts. A part's neighbor lists are gathered from wherever each model's array lies
(memory-mapped, with more neighbors than are wanted) and counted by `isodepth.affinity.kernels`. Counts
are integers, so the number of threads and their order change nothing.

>>> shared_counts([left_ids], [right_ids])                                      # doctest: +SKIP

Memory, per thread: 9 bytes a pair of layers, a part of 1 MB, 4 bytes a text, and for each id that the
lists of one text name 1 byte a right layer. For 1,010 layers against each other at k = 10 that is 10 MB
and, depending on how many ids one text's lists name, 0.5 to 5 MB.
"""

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from jaxtyping import Int32, Int64

from isodepth.affinity.kernels import MOST, WORD_BYTES, add_shared
from isodepth.cores import usable_cores
from isodepth.neighbors.selection import cuts

MOST_THREADS = 8
PART_BYTES = 1 << 20


def shared_counts(
    left: Sequence[Int32[np.ndarray, "_ texts k"]],
    right: Sequence[Int32[np.ndarray, "_ texts k"]] | None,
) -> Int64[np.ndarray, "layers_left layers_right"]:
    """Return how many neighbors all pairs of layers share, summed over the texts.

    Parameters
    ----------
    left, right : sequences of int32 arrays (layers, texts, k)
        Checked neighbor ids (`isodepth.affinity.mutual_knn.checked_ids`) of the same texts, as many of
        each; their layers one after the other are the rows and the columns. `right` is None where all
        are compared with each other, which takes half the time.
    """
    sides = _Sides(left=left, right=right)
    parts = sides.parts()
    n_threads = min(usable_cores(), MOST_THREADS, len(parts))
    spaces = [_Space.of(sides) for _ in range(n_threads)]
    idle: SimpleQueue[_Space] = SimpleQueue()
    for space in spaces:
        idle.put(space)

    def count(part: _Part) -> None:
        space = idle.get()
        try:
            space.count(sides, part)
        finally:
            idle.put(space)

    if n_threads == 1:  # two single layers take less time than a thread to start
        for part in parts:
            count(part)
    else:
        with ThreadPoolExecutor(n_threads, thread_name_prefix="counter") as executor:
            for _ in executor.map(count, parts):  # leaving early, by an interrupt, cancels the rest
                pass
    total = spaces[0].total
    for space in spaces[1:]:
        total += space.total
    if right is not None:
        return total
    upper = np.triu(total, 1)
    upper += upper.T.copy()
    np.fill_diagonal(upper, left[0].shape[1] * left[0].shape[2])  # a list shares all with itself
    return upper


@dataclass(frozen=True, slots=True)
class _Part:
    """Some texts, and the positions in the left lists that are counted at once."""

    texts: slice
    positions: slice


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sides:
    """The arrays of both sides, taken part by part."""

    left: Sequence[np.ndarray]
    right: Sequence[np.ndarray] | None

    @property
    def is_symmetric(self) -> bool:
        return self.right is None

    @property
    def columns(self) -> Sequence[np.ndarray]:
        return self.left if self.right is None else self.right

    def parts(self) -> list[_Part]:
        """Return parts of about `PART_BYTES`, of as many texts as fill the bytes of counts."""
        _, n_texts, k = self.left[0].shape
        n_lists = sum(_n_layers(arrays) for arrays in (self.left, self.right or ()))
        fill = max(1, MOST // k)
        n_at_once = fill * max(1, PART_BYTES // (n_lists * k * 4 * fill))
        texts, positions = cuts(0, n_texts, n_at_once), cuts(0, k, MOST)
        return [_Part(*cut) for cut in itertools.product(texts, positions)]

    def gathered(self, part: _Part) -> tuple[np.ndarray, np.ndarray]:
        """Return the part's ids of all left and all right layers, contiguous."""
        everything = slice(None)
        right = _gathered(self.columns, part.texts, everything)
        if not self.is_symmetric:
            return _gathered(self.left, part.texts, part.positions), right
        return np.ascontiguousarray(right[:, :, part.positions]), right


@dataclass(frozen=True, slots=True, kw_only=True)
class _Space:
    """What one thread works in; see `isodepth.affinity.kernels.add_shared`."""

    row_of: np.ndarray
    rows: np.ndarray
    counts: np.ndarray
    total: np.ndarray

    @classmethod
    def of(cls, sides: _Sides) -> "_Space":
        _, n_texts, k = sides.left[0].shape
        n_left, n_right = _n_layers(sides.left), _n_layers(sides.columns)
        n_words = -(-n_right // WORD_BYTES)
        most_ids = min(n_texts, n_right * k // (2 if sides.is_symmetric else 1))
        rows = np.empty((1 + most_ids, n_words), dtype=np.uint64)
        rows[0] = 0
        return cls(
            row_of=np.zeros(n_texts, dtype=np.int32),
            rows=rows,
            counts=np.zeros((n_left, n_words), dtype=np.uint64),
            total=np.zeros((n_left, n_right), dtype=np.int64),
        )

    def count(self, sides: _Sides, part: _Part) -> None:
        """Add a part's shared neighbors to this thread's total."""
        left, right = sides.gathered(part)
        add_shared(left, right, sides.is_symmetric, self.row_of, self.rows, self.counts, self.total)


def _n_layers(arrays: Iterable[np.ndarray]) -> int:
    return sum(len(ids) for ids in arrays)


def _gathered(arrays: Sequence[np.ndarray], texts: slice, positions: slice) -> np.ndarray:
    """Return some texts' ids of all layers of all arrays, one layer after the other."""
    # concatenate keeps the order of axes in memory that its parts have
    return np.ascontiguousarray(np.concatenate([ids[:, texts, positions] for ids in arrays]))
