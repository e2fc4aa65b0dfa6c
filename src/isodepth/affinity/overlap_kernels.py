"""The compiled loops over neighbors that pairs of layers share, with their ranks or values.

Which layers have a neighbor in common, at which ranks? For each text, `list_namers` notes for every id
which right layers name it, and where in their lists. A left layer then meets, id by id of its own list,
only the right layers that share this neighbor. Work: texts x pairs of layers x shared neighbors, so
less the less layers have in common; `isodepth.affinity.kernels`, which only counts, need not look at
pairs.

All loops take the ids of some texts, int32 (layers, texts, k), the left ones and the right ones, which
are the same array where `is_symmetric`: then only pairs are added to in which the right layer is not
the earlier one. The space to work in is

    n_namers    int32 (n_texts,)            zeros; zeros again afterwards
    first       int32 (n_texts,)            space
    layers      int32 (layers_right * k,)   space
    ranks       int32 (layers_right * k,)   space

Memory: what is passed in, and at most 8 bytes a right layer.
"""

from typing import no_type_check

import numba
import numpy as np
from numba import types

_IDS = types.Array(types.int32, 3, "C", readonly=True)
_VALUES = types.Array(types.float64, 3, "C", readonly=True)
_SHARES = types.Array(types.int64, 1, "C", readonly=True)
_INVERSE = types.Array(types.int32, 2, "C", readonly=True)
_SPACE = (types.int32[::1],) * 4
_COUNTS = types.int64[:, ::1]
_SUMS = types.float64[:, ::1]


@numba.njit(types.void(_IDS, types.int64, *_SPACE), cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def list_namers(
    ids: np.ndarray,
    text: int,
    n_namers: np.ndarray,
    first: np.ndarray,
    layers: np.ndarray,
    ranks: np.ndarray,
) -> None:
    """List which layers name each id for a text: ``layers[first[id] : first[id] + n_namers[id]]``.

    Layers ascend; `ranks`, from 0, are where in their lists it stands.
    """
    n_layers, _, k = ids.shape
    for layer in range(n_layers):
        for rank in range(k):
            n_namers[ids[layer, text, rank]] += 1
    end = 0
    for layer in range(n_layers):
        for rank in range(k):
            named = ids[layer, text, rank]
            if n_namers[named] > 0:
                # not yet given its place; a minus sign says that it has one
                first[named] = end
                end += n_namers[named]
                n_namers[named] = 0
            place = first[named] - n_namers[named]
            layers[place] = layer
            ranks[place] = rank
            n_namers[named] -= 1
    for layer in range(n_layers):
        for rank in range(k):
            named = ids[layer, text, rank]
            n_namers[named] = abs(n_namers[named])


@numba.njit(types.void(_IDS, types.int64, types.int32[::1]), cache=True, nogil=True)
@no_type_check
def forget_namers(ids: np.ndarray, text: int, n_namers: np.ndarray) -> None:
    """Set to zero what `list_namers` counted."""
    for layer in range(ids.shape[0]):
        for rank in range(ids.shape[2]):
            n_namers[ids[layer, text, rank]] = 0


@numba.njit(types.void(_IDS, _IDS, types.boolean, _SHARES, *_SPACE, _COUNTS), cache=True, nogil=True)
@no_type_check
def add_shares_by_number(
    left: np.ndarray,
    right: np.ndarray,
    is_symmetric: bool,
    shares: np.ndarray,
    n_namers: np.ndarray,
    first: np.ndarray,
    layers: np.ndarray,
    ranks: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add to a total, for each text and pair of layers, the share of the number of shared neighbors.

    Parameters
    ----------
    left, right, is_symmetric, n_namers, first, layers, ranks
        See the module.
    shares : int64 array (k + 1,)
        Of no shared neighbor to `k`.
    total : int64 array (layers_left, layers_right)
        Is added to.
    """
    n_left, n_texts, k = left.shape
    n_right = right.shape[0]
    n_shared = np.empty(n_right, dtype=np.int32)
    for text in range(n_texts):
        list_namers(right, text, n_namers, first, layers, ranks)
        for layer in range(n_left):
            earliest = layer if is_symmetric else 0
            n_shared[earliest:] = 0
            for rank in range(k):
                named = left[layer, text, rank]
                start = first[named]
                for place in range(start + n_namers[named] - 1, start - 1, -1):
                    if layers[place] < earliest:
                        break
                    n_shared[layers[place]] += 1
            for other in range(earliest, n_right):
                total[layer, other] += shares[n_shared[other]]
        forget_namers(right, text, n_namers)


@numba.njit(types.void(_IDS, _IDS, types.boolean, _SHARES, *_SPACE, _COUNTS), cache=True, nogil=True)
@no_type_check
def add_shares_by_rank(
    left: np.ndarray,
    right: np.ndarray,
    is_symmetric: bool,
    shares: np.ndarray,
    n_namers: np.ndarray,
    first: np.ndarray,
    layers: np.ndarray,
    ranks: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add to a total, for each shared neighbor of a text, the share of the worse of its two ranks.

    Parameters
    ----------
    left, right, is_symmetric, n_namers, first, layers, ranks
        See the module.
    shares : int64 array (k,)
        Of the nearest to the `k`-th.
    total : int64 array (layers_left, layers_right)
        Is added to.
    """
    n_left, n_texts, k = left.shape
    for text in range(n_texts):
        list_namers(right, text, n_namers, first, layers, ranks)
        for layer in range(n_left):
            earliest = layer if is_symmetric else 0
            for rank in range(k):
                named = left[layer, text, rank]
                start = first[named]
                for place in range(start + n_namers[named] - 1, start - 1, -1):
                    if layers[place] < earliest:
                        break
                    total[layer, layers[place]] += shares[max(rank, ranks[place])]
        forget_namers(right, text, n_namers)


@numba.njit(types.void(_INVERSE, _INVERSE, types.int64, _IDS, *_SPACE, _COUNTS), cache=True, nogil=True)
@no_type_check
def add_returns(
    starts: np.ndarray,
    namers: np.ndarray,
    first_text: int,
    right: np.ndarray,
    n_namers: np.ndarray,
    first: np.ndarray,
    layers: np.ndarray,
    ranks: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add to a total how many texts have, at the right layer, a neighbor that names them at the left.

    Parameters
    ----------
    starts, namers : int32 arrays (layers_left, n_texts + 1), (layers_left, n_texts * k)
        Which texts name a text at a left layer: ``namers[layer, starts[layer, text] : starts[layer,
        text + 1]]``.
    first_text : int
        The first of those that `right` holds.
    right, n_namers, first, layers, ranks
        See the module.
    total : int64 array (layers_left, layers_right)
        Is added to.
    """
    n_right, n_texts, _ = right.shape
    returns = np.empty(n_right, dtype=np.uint8)
    for text in range(n_texts):
        list_namers(right, text, n_namers, first, layers, ranks)
        for layer in range(starts.shape[0]):
            returns[:] = 0
            begin, end = starts[layer, first_text + text], starts[layer, first_text + text + 1]
            for position in range(begin, end):
                named = namers[layer, position]
                for place in range(first[named], first[named] + n_namers[named]):
                    returns[layers[place]] = 1
            for other in range(n_right):
                total[layer, other] += returns[other]
        forget_namers(right, text, n_namers)


@numba.njit(
    types.void(_IDS, _VALUES, _IDS, _VALUES, types.boolean, *_SPACE, _SUMS), cache=True, nogil=True
)
@no_type_check
def add_products(
    left: np.ndarray,
    left_values: np.ndarray,
    right: np.ndarray,
    right_values: np.ndarray,
    is_symmetric: bool,
    n_namers: np.ndarray,
    first: np.ndarray,
    layers: np.ndarray,
    ranks: np.ndarray,
    total: np.ndarray,
) -> None:
    """Add to a total the products of two layers' values of the neighbors that they share.

    Parameters
    ----------
    left, right, is_symmetric, n_namers, first, layers, ranks
        See the module.
    left_values, right_values : float64 arrays (layers, texts, k)
        One for each id.
    total : float64 array (layers_left, layers_right)
        Is added to.
    """
    n_left, n_texts, k = left.shape
    for text in range(n_texts):
        list_namers(right, text, n_namers, first, layers, ranks)
        for layer in range(n_left):
            earliest = layer if is_symmetric else 0
            for rank in range(k):
                named = left[layer, text, rank]
                value = left_values[layer, text, rank]
                start = first[named]
                for place in range(start + n_namers[named] - 1, start - 1, -1):
                    other = layers[place]
                    if other < earliest:
                        break
                    total[layer, other] += value * right_values[other, text, ranks[place]]
        forget_namers(right, text, n_namers)
