"""What is told of each pair of models, as JSON values.

Memory: 40 bytes a layer of each pair, for the depth maps.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isodepth.assessment import PairAssessment, TextSetAssessment
from isodepth.report.packing import estimate, number, packed
from isodepth.statistics import CORRECTIONS, TEST_METHODS
from isodepth.statistics.correspondence import Correspondence

MAP_COLUMNS = (
    "first",
    "last",
    "layer",
    "low",
    "high",
    "simultaneous_low",
    "simultaneous_high",
    "similarity",
    "margin",
    "slope",
)
"""What is told of each layer's correspondence, in this order."""


def described_pairs(
    assessed: TextSetAssessment, blocks: Mapping[tuple[int, int], int], *, level: float
) -> list[dict[str, Any]]:
    """Return what is known of each pair of models but matrices and rows of depth maps.

    Parameters
    ----------
    assessed : TextSetAssessment
        The pairs.
    blocks : mapping
        From the places of a left and a right label to the place of their stored matrix.
    level : float
        Of intervals.
    """
    matrices = assessed.matrices
    found = []
    for place, pair in enumerate(assessed.pairs):
        i, j = matrices.left.index(pair.matrix.left), matrices.right.index(pair.matrix.right)
        found.append(
            {
                "left": i,
                "right": j,
                "block": blocks[i, j],
                **_verdict(pair),
                **_highest(pair, level),
                "tests": {
                    method: [number(test.statistic), number(test.p_value)]
                    for method, test in pair.tests.items()
                },
                "adjusted": _adjusted(assessed, place) if pair.tests else {},
                **_depth_map(pair),
            }
        )
    return found


def packed_maps(pairs: Sequence[PairAssessment]) -> dict[str, Any]:
    """Return `MAP_COLUMNS` of each pair's left layers, then of its right ones, packed."""
    rows = [
        _map_rows(side)
        for pair in pairs
        for side in (pair.depth_map.left_to_right, pair.depth_map.right_to_left)
    ]
    table = np.concatenate(rows) if rows else np.empty((0, len(MAP_COLUMNS)))
    return packed(table, as_type="f32")


def packed_errors(pairs: Sequence[PairAssessment]) -> dict[str, Any] | None:
    """Return the standard errors of all pairs' similarities, packed; None where some are not known."""
    errors = [pair.standard_errors for pair in pairs]
    known = [one.reshape(-1) for one in errors if one is not None]
    if not known or len(known) < len(errors):
        return None
    return packed(np.concatenate(known), as_type="f32")


def _verdict(pair: PairAssessment) -> dict[str, Any]:
    decision = pair.decision
    test = pair.over_all or pair.familywise
    said: dict[str, Any] = dict.fromkeys(("verdict", "sentence", "basis", "p_shared", "p_depth"))
    if decision is not None:
        said |= {name: getattr(decision, name) for name in said}
    return {**said, "p_best": None if test is None else number(test.p_value)}


def _highest(pair: PairAssessment, level: float) -> dict[str, Any]:
    values = pair.matrix.values
    cell = np.unravel_index(int(values.argmax()), values.shape)
    low, high = pair.cell_intervals(level)
    ends = [None if one is None else number(one[cell]) for one in (low, high)]
    return {"highest": [number(values[cell]), *ends]}


def _adjusted(assessed: TextSetAssessment, place: int) -> dict[str, dict[str, float | None]]:
    return {
        method: {
            correction: number(float(assessed.adjusted[method, correction][place]))
            for correction in CORRECTIONS
        }
        for method in TEST_METHODS
    }


def _depth_map(pair: PairAssessment) -> dict[str, Any]:
    found = pair.depth_map
    return {
        "profile": {name: estimate(one) for name, one in pair.profile.estimates.items()},
        "departure": estimate(found.departure.signed),
        "departure_absolute": estimate(found.departure.absolute),
        "match_disagreement": number(found.match_disagreement),
        "segments": [
            [one.compressed, one.first, one.last, number(one.slope), number(one.support)]
            for one in found.segments
        ],
    }


def _map_rows(side: Correspondence) -> np.ndarray:
    bands = side.bands
    nothing = np.full(len(side.layer), np.nan)
    columns = {
        "first": side.first,
        "last": side.last,
        "layer": side.layer,
        "similarity": side.similarity,
        "margin": side.margin,
        "slope": nothing if side.slope is None else side.slope,
        "low": nothing if bands is None else bands.low,
        "high": nothing if bands is None else bands.high,
        "simultaneous_low": nothing if bands is None else bands.simultaneous_low,
        "simultaneous_high": nothing if bands is None else bands.simultaneous_high,
    }
    rows: np.ndarray = np.stack([columns[name] for name in MAP_COLUMNS], axis=1)
    return rows
