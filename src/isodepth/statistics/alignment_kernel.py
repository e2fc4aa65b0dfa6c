"""The compiled loop of `isodepth.statistics.alignment`: the best path through each of many matrices."""

from typing import no_type_check

import numba
import numpy as np
from numba import types

UNITS = 2.0**40
"""Of the range of a matrix. With them sums of fewer than 4 million layers fit 64 bits."""
ROUNDING = 1e-12
"""Values that differ by less than this share of the largest one are equal: their sums were rounded."""

_BOTH, _LEFT, _RIGHT = 0, 1, 2

_VALUES = types.Array(types.float64, 3, "C", readonly=True)
_SPANS = types.int32[:, ::1]


@numba.njit(types.void(_VALUES, _SPANS, _SPANS, _SPANS, _SPANS), cache=True, nogil=True)
@no_type_check  # a run-time checker's wrapper cannot be compiled
def fill_spans(
    values: np.ndarray,
    left_first: np.ndarray,
    left_last: np.ndarray,
    right_first: np.ndarray,
    right_last: np.ndarray,
) -> None:
    """Write the best path of each matrix as the first and last partner of every layer.

    Parameters
    ----------
    values : float64 array (matrices, layers_left, layers_right)
        Finite similarities.
    left_first, left_last : int32 arrays (matrices, layers_left)
        Are written: right layers, from 0.
    right_first, right_last : int32 arrays (matrices, layers_right)
        Are written: left layers, from 0.
    """
    n_matrices, n_left, n_right = values.shape
    units = np.zeros((n_left, n_right), dtype=np.int64)
    gains = np.zeros((n_left, n_right), dtype=np.int64)
    detours = np.zeros((n_left, n_right), dtype=np.int64)
    steps = np.zeros((n_left, n_right), dtype=np.int8)
    if n_left >= n_right:
        longer, shorter = _LEFT, _RIGHT
    else:
        longer, shorter = _RIGHT, _LEFT
    for matrix in range(n_matrices):
        lowest, highest = values[matrix].min(), values[matrix].max()
        scale = 0.0
        if highest - lowest > ROUNDING * max(abs(highest), abs(lowest)):
            scale = UNITS / (highest - lowest)
        for i in range(n_left):
            for j in range(n_right):
                units[i, j] = np.int64(np.rint((values[matrix, i, j] - lowest) * scale))
        for i in range(n_left):
            for j in range(n_right):
                detour = abs((2 * i + 1) * n_right - (2 * j + 1) * n_left)
                if i == 0 and j == 0:
                    gains[i, j] = 2 * units[i, j]
                    detours[i, j] = 2 * detour
                    continue
                best_step, best_gain, best_detour = -1, np.int64(0), np.int64(0)
                for step in (_BOTH, longer, shorter):
                    before_i = i if step == _RIGHT else i - 1
                    before_j = j if step == _LEFT else j - 1
                    if before_i < 0 or before_j < 0:
                        continue
                    weight = 2 if step == _BOTH else 1
                    gain = gains[before_i, before_j] + weight * units[i, j]
                    total = detours[before_i, before_j] + weight * detour
                    if best_step < 0 or gain > best_gain or (gain == best_gain and total < best_detour):
                        best_step, best_gain, best_detour = step, gain, total
                steps[i, j] = best_step
                gains[i, j] = best_gain
                detours[i, j] = best_detour
        i, j = n_left - 1, n_right - 1
        left_last[matrix, i] = j
        right_last[matrix, j] = i
        while i > 0 or j > 0:
            step = steps[i, j]
            if step != _RIGHT:
                left_first[matrix, i] = j
            if step != _LEFT:
                right_first[matrix, j] = i
            if step != _RIGHT:
                i -= 1
            if step != _LEFT:
                j -= 1
            if step != _RIGHT:
                left_last[matrix, i] = j
            if step != _LEFT:
                right_last[matrix, j] = i
        left_first[matrix, 0] = 0
        right_first[matrix, 0] = 0
