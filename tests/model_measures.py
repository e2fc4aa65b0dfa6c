"""A measure of neighbors from a function of two models, as tests register it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from isodepth.affinity import Measure


def of_models(values: Callable[[np.ndarray, np.ndarray], np.ndarray], **facts: Any) -> Measure:
    """Return the measure whose values for two models, from ids (layers, texts, k), a function gives.

    It is called once for each unordered pair of models.
    """

    def all_values(
        left: Sequence[np.ndarray], right: Sequence[np.ndarray] | None, k: int
    ) -> np.ndarray:
        assert {ids.shape[2] for ids in (*left, *(right or ()))} == {k}
        if right is not None:
            return np.block([[values(ours, theirs) for theirs in right] for ours in left])
        upper = {
            (i, j): values(left[i], left[j]) for i in range(len(left)) for j in range(i, len(left))
        }
        places = range(len(left))
        return np.block([[upper[i, j] if i <= j else upper[j, i].T for j in places] for i in places])

    kept = {"title": "a measure of tests", "code": "of tests", **facts}
    return Measure(**kept, all_values=all_values, reads="neighbors")
