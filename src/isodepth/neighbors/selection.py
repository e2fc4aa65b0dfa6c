"""Which k others have the largest products with each vector? All of it from half of their matrix.

The matrix of products is symmetric. So only tiles on and above its diagonal are computed, and each tile
serves the texts that are its rows and the texts that are its columns. Tiles come from top to bottom and
from left to right, so that the others reach each text's list in ascending order, and of equal ones the
lower index stays.

>>> ids, products = most_similar(np.array([[1.0], [3.0], [2.0]]), 1)
>>> ids.ravel(), products.ravel()
(array([1, 2, 1], dtype=int32), array([3., 6., 6.]))

Where tiles are cut follows from the number of texts alone. Lists are kept on as many threads as there
are cores, each on one at a time. Products are BLAS's, on its threads. OpenBLAS rounds rows that it
computes singly, at the end of a thread's part, and odd numbers of units in other ways than the rest; so
the rows of a tile are a number that 2 to 16 threads divide into multiples of 8, and units are filled up
to one. Then threads change no bit, as far as was tried.

Memory: a tile of at most 32 MB, and 12 bytes an entry of the lists.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Integer

from isodepth.cores import usable_cores

TILE_ROWS, TILE_COLUMNS = 1152, 3456
UNITS_AT_ONCE = 8
MOST_THREADS = 8
LEAST_WORK = 1 << 16
"""How many similarities are worth a thread: what they cost is then some ten times its start."""

Vectors = Float64[np.ndarray, "vectors units"]
Products = Float64[np.ndarray, "rows k"]
Ids = Int32[np.ndarray, "rows k"]
Adjusts = Callable[[np.ndarray, slice, slice], None]
OnThreads = Callable[..., None]


def most_similar(vectors: Vectors, k: int, adjust: Adjusts | None = None) -> tuple[Ids, Products]:
    """Return the `k` others with the largest products with each vector, and these, descending.

    Parameters
    ----------
    vectors : float64 array (vectors, units)
        Finite, and with finite products.
    k : int
        0 <= k < n_vectors.
    adjust : callable, optional
        Takes a tile of products and its rows and columns, and changes it to what counts instead; of two
        vectors the same, whichever comes first.

    Returns
    -------
    ids : int32 array (vectors, k)
        Ties go to the lower index.
    products : float64 array (vectors, k)
        Theirs, or what counts instead. That of two vectors is the same in both lists.
    """
    n_vectors = len(vectors)
    lists = _Lists.empty(n_vectors, k)
    if k == 0:
        return lists.ids, lists.similarities
    missing = -vectors.shape[1] % UNITS_AT_ONCE
    if missing:
        vectors = np.pad(vectors, ((0, 0), (0, missing)))
    space = np.empty(min(TILE_ROWS, n_vectors) * min(TILE_COLUMNS, n_vectors))
    with threads(n_vectors**2) as on_threads:
        for rows in cuts(0, n_vectors, TILE_ROWS):
            # a product of rows with themselves is one that BLAS computes half of
            for columns in (rows, *cuts(rows.stop, n_vectors, TILE_COLUMNS)):
                shape = rows.stop - rows.start, columns.stop - columns.start
                tile = space[: shape[0] * shape[1]].reshape(shape)
                np.matmul(vectors[rows], vectors[columns].T, out=tile)
                if adjust is not None:
                    adjust(tile, rows, columns)
                lists.take(tile, rows, columns, on_threads)
        return lists.sorted(on_threads)


def largest_places(block: Float64[np.ndarray, "rows texts"], k: int) -> Ids:
    """Return the columns of the k largest values of each row, descending, ties to the lower column.

    Each row must have `k` values above minus infinity.
    """
    from isodepth.neighbors.kernels import take_columns

    n_rows = len(block)
    lists = _Lists.empty(n_rows, k)
    with threads(block.size) as on_threads:
        # as if all columns came after the rows, so that no row is left out of its own list
        on_threads(take_columns, 0, n_rows, np.ascontiguousarray(block), 0, n_rows, *lists.arrays)
        return lists.sorted(on_threads)[0] - np.int32(n_rows)


def owners_of(
    group: Integer[np.ndarray, " texts"],
    vector_ids: Int32[np.ndarray, "vectors places"],
    vector_products: Float64[np.ndarray, "vectors places"],
    own: Float64[np.ndarray, " vectors"],
    k: int,
) -> tuple[Ids, Products]:
    """Return the k nearest texts of each text, from the nearest vectors of each distinct vector.

    No more vectors are needed: of k vectors that come before another one, each is had by some text that
    is nearer, or as near and lower, as equally near vectors stand in the order of their first texts.

    Parameters
    ----------
    group : int array (texts,)
        Which vector each text has; vectors count in the order of the first text that has them.
    vector_ids, vector_products : arrays (vectors, places)
        What `most_similar` gives for the vectors, for k places or for all others.
    own : float64 array (vectors,)
        The product of each vector with itself.
    k : int
        0 < k < n_texts.
    """
    from isodepth.neighbors.kernels import take_owners

    owners = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group))
    lists = _Lists.empty(len(group), k)
    with threads(len(group) * k) as on_threads:
        on_threads(
            take_owners, 0, len(group), vector_products, vector_ids, own, group, ends, owners,
            *lists.arrays,
        )  # fmt: skip
        return lists.sorted(on_threads)


@contextmanager
def threads(work: int) -> Iterator[OnThreads]:
    """Give what runs a loop over texts from a start to a stop, in parts, on as many threads as pay."""
    n_threads = min(usable_cores(), MOST_THREADS, work // LEAST_WORK)
    if n_threads <= 1:
        yield lambda loop, start, stop, *arguments: loop(start, stop, *arguments)
        return
    n_parts = 4 * n_threads  # of a tile on the diagonal, parts are of unequal work
    with ThreadPoolExecutor(n_threads, thread_name_prefix="neighbors") as executor:

        def on_threads(loop: Callable[..., None], start: int, stop: int, *arguments: object) -> None:
            ends = [start + (stop - start) * part // n_parts for part in range(n_parts + 1)]
            for _ in executor.map(lambda one, end: loop(one, end, *arguments), ends[:-1], ends[1:]):
                pass

        yield on_threads


def cuts(start: int, stop: int, most: int) -> list[slice]:
    """Return slices from a start to a stop, of so many each and a rest."""
    return [slice(one, min(one + most, stop)) for one in range(start, stop, most)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lists:
    """The k best of each text so far; see `isodepth.neighbors.kernels`."""

    similarities: np.ndarray
    ids: np.ndarray
    n_found: np.ndarray
    worst: np.ndarray

    @classmethod
    def empty(cls, n_texts: int, k: int) -> "_Lists":
        return cls(
            similarities=np.empty((n_texts, k)),
            ids=np.empty((n_texts, k), dtype=np.int32),
            n_found=np.zeros(n_texts, dtype=np.int64),
            worst=np.full(n_texts, -np.inf),
        )

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        return self.similarities, self.ids, self.n_found, self.worst

    def take(self, tile: np.ndarray, rows: slice, columns: slice, on_threads: OnThreads) -> None:
        """Take in a tile: first its rows, which come before most columns, then its columns."""
        from isodepth.neighbors.kernels import take_columns, take_rows

        place = tile, rows.start, columns.start
        on_threads(take_rows, columns.start, columns.stop, *place, *self.arrays)
        on_threads(take_columns, rows.start, rows.stop, *place, *self.arrays)

    def sorted(self, on_threads: OnThreads) -> tuple[Ids, Products]:
        """Return ids and similarities, the best first, once every list is full."""
        from isodepth.neighbors.kernels import sort_lists

        on_threads(sort_lists, 0, len(self.ids), *self.arrays)
        return self.ids, self.similarities
