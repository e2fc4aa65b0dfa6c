"""The compiled loops of the neighbor measures.

For each text, the left lists are chained by the id that they name; walking the right lists then meets
every agreement once. Work: texts x (layers x k + agreements). Memory: the chains of one text.
"""

from typing import no_type_check

import numba
import numpy as np


@numba.njit(cache=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def count_shared(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the shared ids of all layer pairs, summed over texts, int64 (layers_left, layers_right).

    Parameters
    ----------
    left, right : int32 arrays (layers, texts, k), contiguous
        Neighbor ids in 0 to n_texts - 1, none twice in a row.
    """
    n_left, n_texts, k = left.shape
    n_right = right.shape[0]
    counts = np.zeros((n_left, n_right), dtype=np.int64)
    head = np.full(n_texts, -1, dtype=np.int32)
    layer_of = np.empty(n_left * k, dtype=np.int32)
    following = np.empty(n_left * k, dtype=np.int32)
    for text in range(n_texts):
        entry = 0
        for i in range(n_left):
            for position in range(k):
                named = left[i, text, position]
                layer_of[entry] = i
                following[entry] = head[named]
                head[named] = entry
                entry += 1
        for j in range(n_right):
            for position in range(k):
                entry = head[right[j, text, position]]
                while entry >= 0:
                    counts[layer_of[entry], j] += 1
                    entry = following[entry]
        for i in range(n_left):
            for position in range(k):
                head[left[i, text, position]] = -1
    return counts
