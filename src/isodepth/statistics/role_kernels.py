"""The compiled loops behind resampled texts: what each text adds to every cell, in its two roles.

For one text s and a pair of layers, let A and B be its two lists, longer than k. Its shared neighbors
are those that both name among their first k. Were a neighbor t of s not there, each list that named it
would name its next one instead, and s would share fewer, or more: that is what t adds. Which the next
one is, is a matter of chance; it is averaged over the r that follow at places k + 1 to k + r. All is
counted in r-ths, as whole numbers, so that no order of sums changes a bit.

Lists are compared by a table of bytes, one a right layer: at which place that layer names an id. So a
comparison serves 32 or 64 right layers in one instruction. What takes the time is then to add rows to
those of the neighbors, which lie apart: asked for some rows ahead, they take 0.6 of the time.
"""

from typing import Any, no_type_check

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

CACHE_LINE_BYTES = 64
ROWS_AHEAD = 2

_IDS = types.Array(types.int32, 3, "A", readonly=True)


@intrinsic
@no_type_check  # a run-time checker's wrapper cannot be compiled
def prefetch(_: Any, array: Any, offset: Any) -> Any:
    """Ask for the cache line of an array's element, counted through all axes; it will be written."""

    def generated(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [pointer],
            ir.FunctionType(ir.VoidType(), [pointer, number, number, number]),
        )
        place = builder.bitcast(builder.gep(data, [arguments[1]]), pointer)
        builder.call(function, [place, number(1), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, offset), generated


def _signature(counts: Any, sums: Any) -> Any:
    roles = counts[:, :, ::1], sums[:, :, ::1], sums[:, :, ::1]
    return types.void(_IDS, _IDS, types.int64, counts[:, ::1], *roles)


@numba.njit(
    [
        _signature(types.uint8, types.int16),
        _signature(types.uint8, types.int32),
        _signature(types.uint16, types.int32),
    ],
    cache=True,
    nogil=True,
)
@no_type_check
def add_roles(
    left: np.ndarray,
    right: np.ndarray,
    k: int,
    places: np.ndarray,
    own: np.ndarray,
    lent: np.ndarray,
    lent_back: np.ndarray,
) -> None:
    """Write each text's shared neighbors, and add what it lends to others' as their neighbor.

    Parameters
    ----------
    left, right : int32 arrays (texts, layers_left, k + r), (texts, layers_right, k + r)
        Neighbor ids, nearest first. Where r is 0, lists that lose a neighbor name no other instead, and
        all is counted in ones.
    k : int
        How many of them count.
    places : uint8 or uint16 array (texts, layers_right)
        Zeros; zeros again afterwards. Must be able to hold k + r.
    own : array of the same type (texts, layers_left, layers_right)
        Is overwritten: how many neighbors the two layers share.
    lent : int16 or int32 array (texts, layers_left, layers_right)
        Is added to: how many more the other texts share because this one is there, in r-ths, for all
        that concerns left lists that name it.
    lent_back : array of the same type (texts, layers_right, layers_left)
        Is subtracted from: how many more they would share were it not there, in r-ths, by the ones
        that right lists would name instead.
    """
    n_texts, n_left, length = left.shape
    n_right = right.shape[1]
    step = CACHE_LINE_BYTES // lent.itemsize
    none = places.dtype.type(0)
    last = places.dtype.type(k)
    # of one left layer: gained where it names its next one, and lost where both do without a text
    by_left = np.empty(n_right, dtype=places.dtype)
    by_both = np.empty(n_right, dtype=places.dtype)
    by_right = np.empty((n_left, n_right), dtype=places.dtype)
    by_right_turned = np.empty((n_right, n_left), dtype=places.dtype)
    for text in range(n_texts):
        for j in range(n_right):
            for place in range(length):
                places[right[text, j, place], j] = place + 1
        for i in range(n_left):
            if i + 1 < n_left:
                for place in range(k):
                    row = (left[text, i + 1, place] * n_left + i + 1) * n_right
                    for column in range(0, n_right, step):
                        prefetch(lent, row + column)
            shared, gained = own[text, i], by_right[i]
            shared[:] = 0
            gained[:] = 0
            by_left[:] = 0
            by_both[:] = max(length - k, 1)
            for place in range(k):
                found = places[left[text, i, place]]
                for j in range(n_right):
                    shared[j] += (found[j] > none) & (found[j] <= last)
                    gained[j] += found[j] > last
            for place in range(k, length):
                here = places.dtype.type(place)
                following = places.dtype.type(place + 1)
                found = places[left[text, i, place]]
                for j in range(n_right):
                    by_left[j] += (found[j] > none) & (found[j] <= here)
                    by_both[j] -= found[j] == following
                    gained[j] += found[j] > following
            for place in range(k):
                neighbor = left[text, i, place]
                found = places[neighbor]
                sums = lent[neighbor, i]
                for j in range(n_right):
                    both = by_both[j] if (found[j] > none) & (found[j] <= last) else none
                    sums[j] += both - by_left[j]
        for i in range(n_left):
            for j in range(n_right):
                by_right_turned[j, i] = by_right[i, j]
        for j in range(n_right):
            if j + ROWS_AHEAD < n_right:
                for place in range(k):
                    row = (right[text, j + ROWS_AHEAD, place] * n_right + j + ROWS_AHEAD) * n_left
                    for column in range(0, n_left, step):
                        prefetch(lent_back, row + column)
            gained = by_right_turned[j]
            for place in range(k):
                sums = lent_back[right[text, j, place], j]
                for i in range(n_left):
                    sums[i] -= gained[i]
        for j in range(n_right):
            for place in range(length):
                places[right[text, j, place], j] = 0


def _of_roles(counts: Any, sums: Any) -> Any:
    roles = counts[:, :, ::1], sums[:, :, ::1], sums[:, :, ::1]
    return types.void(*roles, types.float64[:, :, ::1])


@numba.njit(
    [
        _of_roles(types.uint8, types.int16),
        _of_roles(types.uint8, types.int32),
        _of_roles(types.uint16, types.int32),
    ],
    cache=True,
    nogil=True,
)
@no_type_check
def add_power_sums(own: np.ndarray, lent: np.ndarray, lent_back: np.ndarray, total: np.ndarray) -> None:
    """Add to a total the sums over texts of own and its square, and of all that is lent and its square.

    Parameters
    ----------
    own, lent, lent_back
        As `add_roles` leaves them.
    total : float64 array (4, layers_left, layers_right)
        Is added to; whole numbers, exact below 2^53.
    """
    n_texts, n_left, n_right = own.shape
    turned = np.empty(n_right, dtype=np.int32)
    for text in range(n_texts):
        for i in range(n_left):
            shared, sums = own[text, i], lent[text, i]
            owns, own_squares = total[0, i], total[1, i]
            all_lent, lent_squares = total[2, i], total[3, i]
            for j in range(n_right):
                turned[j] = lent_back[text, j, i]
            for j in range(n_right):
                one, other = float(shared[j]), float(np.int32(sums[j]) + turned[j])
                owns[j] += one
                own_squares[j] += one * one
                all_lent[j] += other
                lent_squares[j] += other * other
