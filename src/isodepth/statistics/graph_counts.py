"""The compiled loop of the permutation null: what of a neighbor graph decides how its overlaps vary.

Memory: 4 bytes a neighbor and 28 bytes a text of one layer.
"""

from typing import no_type_check

import numba
import numpy as np
from numba import types

_READ_ONLY_IDS = types.Array(types.int32, 2, "C", readonly=True)


@numba.njit(types.int64[::1](_READ_ONLY_IDS, types.boolean), cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def graph_counts(ids: np.ndarray, with_triangles: bool) -> np.ndarray:
    """Return counts of small patterns in the graph of an arc from each text to each neighbor.

    With c the number of arcs into a text less k, the mean, and m the number of a text's arcs that are
    answered by one back: the sums over texts of m, c^2, c^3 and c m; the sum over arcs of the product
    of c at both ends; the numbers of closed walks i -> j -> l -> i and of shortcuts i -> l beside
    i -> j -> l, both 0 unless `with_triangles`, which takes k times as long.
    """
    n_texts, k = ids.shape
    excess = np.full(n_texts, -k, dtype=np.int64)
    for text in range(n_texts):
        for position in range(k):
            excess[ids[text, position]] += 1
    ends = np.empty(n_texts, dtype=np.int64)
    end = 0
    for text in range(n_texts):
        ends[text] = end
        end += excess[text] + k
    namers = np.empty(n_texts * k, dtype=np.int32)  # who names a text, one text after the other
    for text in range(n_texts):
        for position in range(k):
            named = ids[text, position]
            namers[ends[named]] = text
            ends[named] += 1
    named_by = np.full(n_texts, -1, dtype=np.int32)
    reached = np.zeros(n_texts, dtype=np.int32)
    counts = np.zeros(7, dtype=np.int64)
    for text in range(n_texts):
        first = ends[text - 1] if text > 0 else 0
        n_answered = 0
        at_neighbors = 0
        for position in range(k):
            named_by[ids[text, position]] = text
            at_neighbors += excess[ids[text, position]]
        for place in range(first, ends[text]):
            n_answered += named_by[namers[place]] == text
        c = excess[text]
        counts[0] += n_answered
        counts[1] += c * c
        counts[2] += c * c * c
        counts[3] += c * n_answered
        counts[4] += c * at_neighbors
        if with_triangles:
            for position in range(k):
                through = ids[text, position]
                for onward in range(k):
                    reached[ids[through, onward]] += 1
            for place in range(first, ends[text]):
                counts[5] += reached[namers[place]]
            for position in range(k):
                counts[6] += reached[ids[text, position]]
            for position in range(k):
                through = ids[text, position]
                for onward in range(k):
                    reached[ids[through, onward]] = 0
    return counts
