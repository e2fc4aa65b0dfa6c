"""Does the matrix show depth? The paper's tests, and what they can and cannot tell."""

from isodepth.statistics.diagonal import (
    TEST_METHODS,
    DiagonalTest,
    diagonal_test,
    generalized_diagonal,
)
from isodepth.statistics.finding import Finding, finding
from isodepth.statistics.matching import LayerMatches, layer_matches
from isodepth.statistics.null import NullModel, null_model

__all__ = [
    "TEST_METHODS",
    "DiagonalTest",
    "Finding",
    "LayerMatches",
    "NullModel",
    "diagonal_test",
    "finding",
    "generalized_diagonal",
    "layer_matches",
    "null_model",
]
