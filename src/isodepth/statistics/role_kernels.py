"""The compiled loop behind resampled matrices: what each text adds to every cell, in its two roles.

For one text s and a pair of layers, let A and B be its two lists, longer than k. Its shared neighbors
are those that both name among their first k. Were a neighbor t of s not there, each list that named it
would name its next one instead, and s would share fewer, or more: that is what t adds. Which the next
one is, is a matter of chance; it is averaged over those that follow at places k + 1 to k + r.
"""

from typing import no_type_check

import numba
import numpy as np
from numba import types

_IDS = types.Array(types.int32, 3, "C", readonly=True)
_ROLES = types.float32[:, :, ::1]


@numba.njit(types.void(_IDS, _IDS, types.int64, _ROLES, _ROLES, _ROLES), cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def add_roles(
    left: np.ndarray,
    right: np.ndarray,
    k: int,
    own: np.ndarray,
    lent: np.ndarray,
    lent_back: np.ndarray,
) -> None:
    """Write each text's shared neighbors, and add what it lends to others' as their neighbor.

    Parameters
    ----------
    left, right : int32 arrays (texts, layers_left, k + r), (texts, layers_right, k + r)
        Neighbor ids, nearest first. Where r is 0, lists that lose a neighbor name no other instead.
    k : int
        How many of them count.
    own : float32 array (texts, layers_left, layers_right)
        Is overwritten: how many neighbors the two layers share.
    lent : float32 array (texts, layers_left, layers_right)
        Zeros; is added to: how many more the other texts share because this one is there, as far as it
        stands in a left list.
    lent_back : float32 array (texts, layers_right, layers_left)
        Zeros; is added to: the same, as far as it stands in a right list.
    """
    n_texts, n_left, length = left.shape
    n_right = right.shape[1]
    n_next = length - k
    share = np.float32(1.0 / n_next) if n_next else np.float32(0.0)
    # place + 1 of a text in each right list of the text at hand, 0 where it does not stand in it
    places = np.zeros((n_texts, n_right), dtype=np.int32)
    place_left = np.zeros(n_texts, dtype=np.int32)
    by_left = np.empty((n_left, n_right), dtype=np.float32)
    by_right = np.empty((n_right, n_left), dtype=np.float32)
    by_both = np.empty((n_left, n_right), dtype=np.float32)
    for text in range(n_texts):
        for j in range(n_right):
            for place in range(length):
                places[right[text, j, place], j] = place + 1
        for i in range(n_left):
            for place in range(length):
                place_left[left[text, i, place]] = place + 1
            for j in range(n_right):
                own[text, i, j] = 0
                by_left[i, j] = 0
                by_both[i, j] = 0
            for place in range(k):
                found = places[left[text, i, place]]
                for j in range(n_right):
                    if 0 < found[j] <= k:
                        own[text, i, j] += 1
            for place in range(k, length):
                found = places[left[text, i, place]]
                for j in range(n_right):
                    if 0 < found[j] <= place:
                        by_left[i, j] += share
                    elif found[j] == place + 1:
                        by_both[i, j] += share
            for j in range(n_right):
                gained = np.float32(0.0)
                for place in range(k, length):
                    if 0 < place_left[right[text, j, place]] <= place:
                        gained += share
                by_right[j, i] = gained
            for place in range(k):
                neighbor = left[text, i, place]
                found = places[neighbor]
                for j in range(n_right):
                    lent[neighbor, i, j] -= by_left[i, j]
                    if 0 < found[j] <= k:
                        lent[neighbor, i, j] += 1 - by_both[i, j]
            for place in range(length):
                place_left[left[text, i, place]] = 0
        for j in range(n_right):
            for place in range(k):
                neighbor = right[text, j, place]
                for i in range(n_left):
                    lent_back[neighbor, j, i] -= by_right[j, i]
        for j in range(n_right):
            for place in range(length):
                places[right[text, j, place], j] = 0
