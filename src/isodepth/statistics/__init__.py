"""Is this similarity more than chance? Is it depth? Which layer corresponds to which?

The paper's tests are here to the digit (`null_model`, `diagonal_test`, `adjust_p_values`,
`layer_matches`, `mean_on_unit_square`), and beside each what holds where they do not: chance by
relabelling the texts (`permutation_null`, of many models `permutation_nulls`; `familywise_test`),
intervals by resampling them (`resampled_matrices`, of many models `standard_errors`;
`diagonality_profile`), a decision (`decide`), a test over the zoo of models that minds that pairs share
models (`zoo_test`), a correspondence of layers (`depth_map`), and models as wholes (`model_distances`,
`cluster_models`).
"""

from isodepth.statistics.clustering import LINKAGES, ModelTree, cluster_models
from isodepth.statistics.corrections import CORRECTIONS, adjust_p_values
from isodepth.statistics.decision import VERDICTS, Decision, decide
from isodepth.statistics.depth_map import DepthMap, depth_map
from isodepth.statistics.diagonal import (
    TEST_METHODS,
    DiagonalTest,
    diagonal_test,
    generalized_diagonal,
)
from isodepth.statistics.distances import ModelDistances, model_distances, resampled_distances
from isodepth.statistics.estimates import Estimate
from isodepth.statistics.familywise import (
    FamilywiseTest,
    FamilywiseTests,
    familywise_test,
    familywise_tests,
)
from isodepth.statistics.matching import LayerMatches, layer_matches
from isodepth.statistics.null import ExactNull, NullModel, exact_null, null_model
from isodepth.statistics.permutation import PermutationNull, permutation_null
from isodepth.statistics.permutation_nulls import PermutationNulls, permutation_nulls
from isodepth.statistics.profile import PROFILE, DiagonalityProfile, diagonality_profile
from isodepth.statistics.resampling import (
    RESAMPLING_METHODS,
    ResampledMatrices,
    resampled_matrices,
)
from isodepth.statistics.standard_errors import StandardErrors, standard_errors
from isodepth.statistics.unit_square import UnitSquareMean, mean_on_unit_square
from isodepth.statistics.zoo import FEWEST_MODELS, ZooTest, zoo_test

__all__ = [
    "CORRECTIONS",
    "FEWEST_MODELS",
    "LINKAGES",
    "PROFILE",
    "RESAMPLING_METHODS",
    "TEST_METHODS",
    "VERDICTS",
    "Decision",
    "DepthMap",
    "DiagonalTest",
    "DiagonalityProfile",
    "Estimate",
    "ExactNull",
    "FamilywiseTest",
    "FamilywiseTests",
    "LayerMatches",
    "ModelDistances",
    "ModelTree",
    "NullModel",
    "PermutationNull",
    "PermutationNulls",
    "ResampledMatrices",
    "StandardErrors",
    "UnitSquareMean",
    "ZooTest",
    "adjust_p_values",
    "cluster_models",
    "decide",
    "depth_map",
    "diagonal_test",
    "diagonality_profile",
    "exact_null",
    "familywise_test",
    "familywise_tests",
    "generalized_diagonal",
    "layer_matches",
    "mean_on_unit_square",
    "model_distances",
    "null_model",
    "permutation_null",
    "permutation_nulls",
    "resampled_distances",
    "resampled_matrices",
    "standard_errors",
    "zoo_test",
]
