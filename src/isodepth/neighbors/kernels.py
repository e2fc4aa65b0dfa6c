"""The compiled loops of the search for neighbors.

Which k others are most similar to each text? A list is kept per text while similarities come in: a heap
of k, the worst on top, which is the least similar and, of equal ones, the one with the highest index.
What is better takes its place. Most are not, and cost one comparison.

A tile holds the similarities of some texts (its rows) to some (its columns). A pair of texts is read in
one place only, above the diagonal of all tiles, and both texts' lists take it from there: so what
rounding does to it is the same for both.

All loops work on lists, which are

    similarities   float64 (texts, k)
    ids            int32 (texts, k)
    n_found        int64 (texts,)        how many entries there are so far
    worst          float64 (texts,)      of a full list the worst similarity, else minus infinity

and change those of the texts from `start` to `stop` only.
"""

from typing import no_type_check

import numba
import numpy as np
from numba import types

_INT = types.int64
_TILE = types.Array(types.float64, 2, "C", readonly=True)
_NAMES = types.Array(types.int32, 2, "C", readonly=True)
_INDICES = types.Array(types.int64, 1, "C", readonly=True)
_NUMBERS = types.Array(types.float64, 1, "C", readonly=True)
_UNITS = [types.Array(kind, 2, "C", readonly=True) for kind in (types.float32, types.float64)]
_SQUARES = types.float64[:, ::1]
_FACTOR = types.float64
_LISTS = (types.float64[:, ::1], types.int32[:, ::1], types.int64[::1], types.float64[::1])


@numba.njit(cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def is_worse(similarity: float, name: int, other_similarity: float, other_name: int) -> bool:
    """Return whether one entry comes after another one."""
    return similarity < other_similarity or (similarity == other_similarity and name > other_name)


@numba.njit(cache=True, nogil=True)
@no_type_check
def sink(
    similarities: np.ndarray, ids: np.ndarray, text: int, place: int, end: int, value: float, name: int
) -> None:
    """Put an entry into a heap of `end` entries, at a place or where it belongs below it."""
    while 2 * place + 1 < end:
        below = 2 * place + 1
        beside = below + 1
        if beside < end and is_worse(
            similarities[text, beside], ids[text, beside], similarities[text, below], ids[text, below]
        ):
            below = beside
        if not is_worse(similarities[text, below], ids[text, below], value, name):
            break
        similarities[text, place] = similarities[text, below]
        ids[text, place] = ids[text, below]
        place = below
    similarities[text, place] = value
    ids[text, place] = name


@numba.njit(cache=True, nogil=True)
@no_type_check
def add(
    similarities: np.ndarray,
    ids: np.ndarray,
    n_found: np.ndarray,
    worst: np.ndarray,
    text: int,
    value: float,
    name: int,
) -> None:
    """Put an entry into a text's list, if that is not full or its worst entry is worse."""
    k = similarities.shape[1]
    n_listed = n_found[text]
    if n_listed == k:
        if is_worse(similarities[text, 0], ids[text, 0], value, name):
            sink(similarities, ids, text, 0, k, value, name)
            worst[text] = similarities[text, 0]
        return
    similarities[text, n_listed] = value
    ids[text, n_listed] = name
    n_found[text] = n_listed + 1
    if n_listed + 1 == k:
        for place in range(k // 2 - 1, -1, -1):
            sink(similarities, ids, text, place, k, similarities[text, place], ids[text, place])
        worst[text] = similarities[text, 0]


@numba.njit(types.void(_INT, _INT, _TILE, _INT, _INT, *_LISTS), cache=True, nogil=True)
@no_type_check
def take_rows(
    start: int,
    stop: int,
    tile: np.ndarray,
    first_row: int,
    first_column: int,
    similarities: np.ndarray,
    ids: np.ndarray,
    n_found: np.ndarray,
    worst: np.ndarray,
) -> None:
    """Take a tile's rows, from text `first_row` on, into the lists of its columns.

    Entries must come in ascending order: of equal similarities only the first ones are taken.
    """
    for row in range(tile.shape[0]):
        name = first_row + row
        for text in range(max(start, name + 1), stop):
            value = tile[row, text - first_column]
            if value > worst[text]:
                add(similarities, ids, n_found, worst, text, value, name)


@numba.njit(types.void(_INT, _INT, _TILE, _INT, _INT, *_LISTS), cache=True, nogil=True)
@no_type_check
def take_columns(
    start: int,
    stop: int,
    tile: np.ndarray,
    first_row: int,
    first_column: int,
    similarities: np.ndarray,
    ids: np.ndarray,
    n_found: np.ndarray,
    worst: np.ndarray,
) -> None:
    """Take a tile's columns, from text `first_column` on, into its rows' lists, as `take_rows` does."""
    for text in range(start, stop):
        row = text - first_row
        for column in range(max(0, text + 1 - first_column), tile.shape[1]):
            if tile[row, column] > worst[text]:
                add(similarities, ids, n_found, worst, text, tile[row, column], first_column + column)


@numba.njit(
    types.void(
        *(_INT, _INT, _TILE, _NAMES, _NUMBERS),
        *(_INDICES, _INDICES, _INDICES),
        *_LISTS,
    ),
    cache=True,
    nogil=True,
)
@no_type_check
def take_owners(
    start: int,
    stop: int,
    vector_similarities: np.ndarray,
    vector_ids: np.ndarray,
    own: np.ndarray,
    group: np.ndarray,
    ends: np.ndarray,
    owners: np.ndarray,
    similarities: np.ndarray,
    ids: np.ndarray,
    n_found: np.ndarray,
    worst: np.ndarray,
) -> None:
    """Take the texts that have a text's own vector, or one of those nearest to it.

    Parameters
    ----------
    vector_similarities, vector_ids : float64 and int32 arrays (distinct, places)
        For each distinct vector the others nearest to it, the best first.
    own : float64 array (distinct,)
        How similar each is to itself.
    group : int64 array (texts,)
        Which of them each text has.
    ends, owners : int64 arrays (distinct,), (texts,)
        The texts that have each: `owners` from the end of the one before to its own.
    """
    k = similarities.shape[1]
    for text in range(start, stop):
        vector = group[text]
        for place in range(-1, vector_ids.shape[1]):
            other = vector if place < 0 else vector_ids[vector, place]
            value = own[vector] if place < 0 else vector_similarities[vector, place]
            if place >= 0 and n_found[text] == k and value < worst[text]:
                break
            for position in range(ends[other - 1] if other > 0 else 0, ends[other]):
                if owners[position] != text:
                    add(similarities, ids, n_found, worst, text, value, owners[position])


@numba.njit(types.void(_INT, _INT, *_LISTS), cache=True, nogil=True)
@no_type_check
def sort_lists(
    start: int,
    stop: int,
    similarities: np.ndarray,
    ids: np.ndarray,
    n_found: np.ndarray,
    worst: np.ndarray,  # noqa: ARG001  # all loops take the same
) -> None:
    """Sort the entries of full lists, the best first."""
    for text in range(start, stop):
        for end in range(n_found[text] - 1, 0, -1):
            value, name = similarities[text, end], ids[text, end]
            similarities[text, end], ids[text, end] = similarities[text, 0], ids[text, 0]
            sink(similarities, ids, text, 0, end, value, name)


@numba.njit(
    [types.void(units, _INDICES, _NAMES, _FACTOR, _SQUARES) for units in _UNITS],
    cache=True,
    nogil=True,
    fastmath={"reassoc"},  # sums of several lanes; which ones depends on the number of units alone
)
@no_type_check
def square_differences(
    vectors: np.ndarray,
    texts: np.ndarray,
    others: np.ndarray,
    factor: float,
    squares: np.ndarray,
) -> None:
    """Write the squared distances of some texts to others, of vectors times a factor.

    Parameters
    ----------
    vectors : float32 or float64 array (texts, units)
        One layer.
    texts, others : int64 array (rows,), int32 array (rows, places)
        Which texts, and to which others each.
    factor : float
        A power of 2.
    squares : float64 array (rows, places)
        Is written to.
    """
    for row in range(len(texts)):
        own = vectors[texts[row]]
        for place in range(others.shape[1]):
            other = vectors[others[row, place]]
            total = 0.0
            for unit in range(vectors.shape[1]):
                one, two = np.float64(own[unit]), np.float64(other[unit])
                gap = one * factor - two * factor
                total += gap * gap
            squares[row, place] = total
