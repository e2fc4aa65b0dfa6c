"""What do texts add to all cells of large matrices, in their two roles? Tile by tile, on all cores.

A tile is some left layers against some right ones. What its texts add
(`isodepth.statistics.role_kernels`) is handed to a visitor and overwritten by the next tile.

Memory, per thread: `TILE_BYTES`, or what a single pair of layers takes; and a copy of all ids.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

import numpy as np
from jaxtyping import Int32

from isodepth.cores import usable_cores
from isodepth.neighbors.selection import cuts

MOST_THREADS = 8
TILE_BYTES = 96 << 20
MOST_LAYERS = 96
"""On a side of a tile. With 64, 1,010 layers took 1.2 times as long, with 128 no less."""

Visitor = Callable[[slice, slice, "TileRoles"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TileRoles:
    """What every text adds to the shared neighbors of a tile's layer pairs.

    Parameters
    ----------
    own, lent, lent_back
        See `isodepth.statistics.role_kernels.add_roles`.
    unit : int
        What lent ones are to be divided by.
    """

    own: np.ndarray
    lent: np.ndarray
    lent_back: np.ndarray
    unit: int


def visit_tiles(
    left: Int32[np.ndarray, "texts layers_left length"],
    right: Int32[np.ndarray, "texts layers_right length"] | None,
    *,
    k: int,
    visit: Visitor,
) -> None:
    """Call `visit` with the rows, the columns and the roles of every tile.

    Parameters
    ----------
    left, right : int32 arrays (texts, layers_left, length), (texts, layers_right, length)
        Checked neighbor ids, nearest first. `right` is None where all are compared with each other;
        then tiles below the diagonal are left out.
    k : int
        How many of them count.
    visit : callable
        Is called from several threads, once a tile; must not keep the arrays.
    """
    from isodepth.statistics.role_kernels import add_roles  # compiles

    columns = left if right is None else right
    n_texts, _, length = left.shape
    unit = max(length - k, 1)
    counts = np.uint8 if length <= np.iinfo(np.uint8).max else np.uint16
    # a text is named by at most all others, each of which it lends at most one
    is_short = counts == np.uint8 and n_texts * unit <= np.iinfo(np.int16).max
    sums = np.int16 if is_short else np.int32
    cell_bytes = n_texts * (np.dtype(counts).itemsize + 2 * np.dtype(sums).itemsize)
    side = min(max(math.isqrt(TILE_BYTES // cell_bytes), 1), MOST_LAYERS)
    tiles = [
        (rows, others)
        for rows in cuts(0, left.shape[1], side)
        for others in cuts(0, columns.shape[1], side)
        if right is not None or rows.start <= others.start
    ]
    n_threads = min(usable_cores(), MOST_THREADS, len(tiles))
    idle: SimpleQueue[tuple[np.ndarray, ...]] = SimpleQueue()
    for _ in range(n_threads):
        n_cells = min(side, left.shape[1]) * min(side, columns.shape[1])
        space = [np.empty(n_texts * n_cells, dtype=kind) for kind in (counts, sums, sums)]
        idle.put((np.empty(n_texts * side, dtype=counts), *space))

    def count(tile: tuple[slice, slice]) -> None:
        rows, others = tile
        shape = n_texts, rows.stop - rows.start, others.stop - others.start
        back = shape[0], shape[2], shape[1]
        space = idle.get()
        try:
            shaped = [
                _laid(one, size)
                for one, size in zip(space, ((n_texts, shape[2]), shape, shape, back), strict=True)
            ]
            for zeros in (shaped[0], *shaped[2:]):
                zeros.fill(0)
            add_roles(left[:, rows], columns[:, others], k, *shaped)
            _, own, lent, lent_back = shaped
            visit(rows, others, TileRoles(own=own, lent=lent, lent_back=lent_back, unit=unit))
        finally:
            idle.put(space)

    with ThreadPoolExecutor(n_threads, thread_name_prefix="roles") as executor:
        for _ in executor.map(count, tiles):  # leaving early, by an interrupt, cancels the rest
            pass


def _laid(space: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    return space[: math.prod(shape)].reshape(shape)
