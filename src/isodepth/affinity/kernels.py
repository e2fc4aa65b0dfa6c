"""The compiled loops of the neighbor measures.

How many neighbors do all pairs of layers share? For each text, every id that a right layer names gets a
row of bytes, one a right layer: 1 where that layer names it. A left layer's shared neighbors with all
right layers are then the sum of the rows of the ids that it names. Work: texts x layers x k sums of
rows, each of as many bytes as there are right layers, whatever the layers have in common.

Bytes are summed eight at a time, as words: as no byte may pass 255, none carries into the next.
"""

from typing import no_type_check

import numba
import numpy as np
from numba import types

WORD_BYTES = 8
MOST = 255  # what a byte counts to

_READ_ONLY_IDS = types.Array(types.int32, 2, "C", readonly=True)
_IDS = types.int32[:, :, ::1]
_WORDS = types.uint64[:, ::1]
_COUNTS = types.int64[:, ::1]


@numba.njit(types.boolean(_READ_ONLY_IDS, types.int32[::1]), cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def are_sets_of_others(ids: np.ndarray, last_named_by: np.ndarray) -> bool:
    """Return whether no text names itself or a text twice.

    Parameters
    ----------
    ids : int32 array (texts, k)
        Neighbor ids in 0 to n_texts - 1.
    last_named_by : int32 array (texts,)
        Space to work in.
    """
    last_named_by[:] = -1
    for text in range(ids.shape[0]):
        last_named_by[text] = text
        for position in range(ids.shape[1]):
            named = ids[text, position]
            if last_named_by[named] == text:
                return False
            last_named_by[named] = text
    return True


@numba.njit(types.void(_WORDS, types.boolean, _COUNTS), cache=True, nogil=True)
@no_type_check
def move_counts(counts: np.ndarray, is_symmetric: bool, total: np.ndarray) -> None:
    """Add counts of one byte, (layers_left, words), to a total, and set them to zero."""
    single = counts.view(np.uint8)
    for layer in range(total.shape[0]):
        first = layer // WORD_BYTES * WORD_BYTES if is_symmetric else 0
        for other in range(first, total.shape[1]):
            total[layer, other] += single[layer, other]
        counts[layer] = 0


@numba.njit(
    types.void(_IDS, _IDS, types.boolean, types.int32[::1], _WORDS, _WORDS, _COUNTS),
    cache=True,
    nogil=True,
)
@no_type_check
def add_shared(
    left: np.ndarray,
    right: np.ndarray,
    is_symmetric: bool,
    row_of: np.ndarray,
    rows: np.ndarray,
    counts: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add to a total how many ids all layer pairs share, summed over the texts.

    Parameters
    ----------
    left, right : int32 arrays (layers, texts, positions), (layers, texts, k)
        Neighbor ids of some texts, none twice in a row; at most `MOST` positions.
    is_symmetric : bool
        Whether both are the same layers. Then only pairs of different layers are counted, and only
        those in which the right layer is not the earlier one.
    row_of : int32 array (n_texts,)
        Zeros; zeros again afterwards.
    rows : uint64 array (1 + most ids of a text, words)
        Space to work in; the first row zeros.
    counts : uint64 array (layers_left, words)
        Zeros; zeros again afterwards. Bytes, one a right layer.
    total : int64 array (layers_left, layers_right)
        Is added to.
    """
    named_rows = rows.view(np.uint8)
    n_words = rows.shape[1]
    n_positions = left.shape[2]
    # what only one layer names is shared by no two
    fewest = 2 if is_symmetric else 1
    found = np.zeros(n_positions + 4, dtype=np.int32)
    most_counted = 0
    for text in range(right.shape[1]):
        for layer in range(right.shape[0]):
            for position in range(right.shape[2]):
                row_of[right[layer, text, position]] -= 1
        n_rows = 1
        for layer in range(right.shape[0]):
            for position in range(right.shape[2]):
                named = right[layer, text, position]
                if row_of[named] <= -fewest:
                    row_of[named] = n_rows
                    rows[n_rows] = 0
                    n_rows += 1
                if row_of[named] > 0:
                    named_rows[row_of[named], layer] = 1
        if most_counted + n_positions > MOST:
            move_counts(counts, is_symmetric, total)
            most_counted = 0
        most_counted += n_positions
        for layer in range(left.shape[0]):
            n_found = 0
            for position in range(n_positions):
                row = row_of[left[layer, text, position]]
                if row > 0:
                    found[n_found] = row
                    n_found += 1
            # five rows at a time take a third of the time of one by one; zero rows fill up
            found[n_found : n_found + 4] = 0
            first_word = layer // WORD_BYTES if is_symmetric else 0
            sums = counts[layer]
            for start in range(0, n_found, 5):
                a, b, c = rows[found[start]], rows[found[start + 1]], rows[found[start + 2]]
                d, e = rows[found[start + 3]], rows[found[start + 4]]
                for word in range(first_word, n_words):
                    sums[word] += a[word] + b[word] + c[word] + d[word] + e[word]
        for layer in range(right.shape[0]):
            for position in range(right.shape[2]):
                row_of[right[layer, text, position]] = 0
    move_counts(counts, is_symmetric, total)
