"""Which layers of different language models lie at the same depth?

isodepth runs models over a set of texts, keeps the activations at the end of every decoder block,
finds each text's nearest neighbors per layer, and compares all layers of two models by the share of
neighbors they have in common (mutual k-NN, Wolfram & Schein, arXiv 2504.08775).

>>> import isodepth
>>> left, right = "smollm2-135m-instruct", "gemma-3-270m"
>>> result = isodepth.compare(left, right, "wikipedia", n=256)  # doctest: +SKIP
>>> result.affinity.values.shape  # doctest: +SKIP
(30, 18)

Names are loaded when first used: importing isodepth imports neither torch nor matplotlib.
"""

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isodepth.activations import Activations, extract, extract_all
    from isodepth.affinity import (
        MEASURES,
        AffinityMatrices,
        AffinityMatrix,
        Measure,
        affinity_matrix,
        all_affinities,
        mutual_knn,
    )
    from isodepth.assessment import (
        AssessmentOptions,
        PairAssessment,
        StudyAssessment,
        TextSetAssessment,
        assess_pair,
        assess_text_set,
    )
    from isodepth.comparison import Comparison
    from isodepth.errors import IsodepthError
    from isodepth.inspection import Inspection, inspect_model
    from isodepth.models import LoadingOptions, Model, as_model, load_model
    from isodepth.neighbors import Neighbors, nearest_neighbors
    from isodepth.pipeline import (
        StudyPlan,
        assess_models,
        assess_study,
        compare,
        plan_study,
        run_study,
        set_evidence,
        study_confounds,
        study_evidence,
        study_stability,
        write_confounds,
        write_report,
        write_stability,
    )
    from isodepth.preprocessing import Preprocessing
    from isodepth.results import Evidence, StudyResults, load_results
    from isodepth.statistics import (
        Decision,
        DepthMap,
        DiagonalityProfile,
        DiagonalTest,
        Estimate,
        FamilywiseTest,
        LayerMatches,
        ModelDistances,
        ModelTree,
        NullModel,
        PermutationNull,
        ResampledMatrices,
        UnitSquareMean,
        ZooTest,
        adjust_p_values,
        cluster_models,
        decide,
        depth_map,
        diagonal_test,
        diagonality_profile,
        exact_null,
        familywise_test,
        familywise_tests,
        generalized_diagonal,
        layer_matches,
        mean_on_unit_square,
        model_distances,
        null_model,
        permutation_null,
        resampled_distances,
        resampled_matrices,
        zoo_test,
    )
    from isodepth.store import Store
    from isodepth.study import Study, load_study
    from isodepth.texts import (
        Pairing,
        ParallelTexts,
        TextDescription,
        TextSet,
        controlled_texts,
        describe_texts,
        load_parallel_texts,
        load_texts,
    )

__version__ = "0.1.0"

# else Python shows warnings and errors on the terminal by itself, besides what is told there
logging.getLogger("isodepth").addHandler(logging.NullHandler())

_HOMES = {
    "Activations": "activations",
    "extract": "activations",
    "extract_all": "activations",
    "MEASURES": "affinity",
    "AffinityMatrices": "affinity",
    "AffinityMatrix": "affinity",
    "Measure": "affinity",
    "affinity_matrix": "affinity",
    "all_affinities": "affinity",
    "mutual_knn": "affinity",
    "IsodepthError": "errors",
    "Inspection": "inspection",
    "inspect_model": "inspection",
    "LoadingOptions": "models",
    "Model": "models",
    "as_model": "models",
    "load_model": "models",
    "Neighbors": "neighbors",
    "nearest_neighbors": "neighbors",
    "AssessmentOptions": "assessment",
    "PairAssessment": "assessment",
    "StudyAssessment": "assessment",
    "TextSetAssessment": "assessment",
    "assess_pair": "assessment",
    "assess_text_set": "assessment",
    "Comparison": "comparison",
    "assess_models": "pipeline",
    "assess_study": "pipeline",
    "StudyPlan": "pipeline",
    "compare": "pipeline",
    "plan_study": "pipeline",
    "run_study": "pipeline",
    "set_evidence": "pipeline",
    "study_confounds": "pipeline",
    "study_stability": "pipeline",
    "write_confounds": "pipeline",
    "write_stability": "pipeline",
    "study_evidence": "pipeline",
    "write_report": "pipeline",
    "Preprocessing": "preprocessing",
    "Evidence": "results",
    "StudyResults": "results",
    "load_results": "results",
    "Decision": "statistics",
    "DepthMap": "statistics",
    "DiagonalityProfile": "statistics",
    "Estimate": "statistics",
    "FamilywiseTest": "statistics",
    "ModelDistances": "statistics",
    "ModelTree": "statistics",
    "PermutationNull": "statistics",
    "ResampledMatrices": "statistics",
    "UnitSquareMean": "statistics",
    "ZooTest": "statistics",
    "adjust_p_values": "statistics",
    "cluster_models": "statistics",
    "decide": "statistics",
    "depth_map": "statistics",
    "diagonality_profile": "statistics",
    "exact_null": "statistics",
    "familywise_test": "statistics",
    "familywise_tests": "statistics",
    "mean_on_unit_square": "statistics",
    "model_distances": "statistics",
    "permutation_null": "statistics",
    "resampled_distances": "statistics",
    "resampled_matrices": "statistics",
    "zoo_test": "statistics",
    "DiagonalTest": "statistics",
    "LayerMatches": "statistics",
    "NullModel": "statistics",
    "diagonal_test": "statistics",
    "generalized_diagonal": "statistics",
    "layer_matches": "statistics",
    "null_model": "statistics",
    "Store": "store",
    "Study": "study",
    "load_study": "study",
    "Pairing": "texts",
    "ParallelTexts": "texts",
    "TextDescription": "texts",
    "TextSet": "texts",
    "controlled_texts": "texts",
    "describe_texts": "texts",
    "load_parallel_texts": "texts",
    "load_texts": "texts",
}

__all__ = [
    "MEASURES",
    "Activations",
    "AffinityMatrices",
    "AffinityMatrix",
    "AssessmentOptions",
    "Comparison",
    "Decision",
    "DepthMap",
    "DiagonalTest",
    "DiagonalityProfile",
    "Estimate",
    "Evidence",
    "FamilywiseTest",
    "Inspection",
    "IsodepthError",
    "LayerMatches",
    "LoadingOptions",
    "Measure",
    "Model",
    "ModelDistances",
    "ModelTree",
    "Neighbors",
    "NullModel",
    "PairAssessment",
    "Pairing",
    "ParallelTexts",
    "PermutationNull",
    "Preprocessing",
    "ResampledMatrices",
    "Store",
    "Study",
    "StudyAssessment",
    "StudyPlan",
    "StudyResults",
    "TextDescription",
    "TextSet",
    "TextSetAssessment",
    "UnitSquareMean",
    "ZooTest",
    "__version__",
    "adjust_p_values",
    "affinity_matrix",
    "all_affinities",
    "as_model",
    "assess_models",
    "assess_pair",
    "assess_study",
    "assess_text_set",
    "cluster_models",
    "compare",
    "controlled_texts",
    "decide",
    "depth_map",
    "describe_texts",
    "diagonal_test",
    "diagonality_profile",
    "exact_null",
    "extract",
    "extract_all",
    "familywise_test",
    "familywise_tests",
    "generalized_diagonal",
    "inspect_model",
    "layer_matches",
    "load_model",
    "load_parallel_texts",
    "load_results",
    "load_study",
    "load_texts",
    "mean_on_unit_square",
    "model_distances",
    "mutual_knn",
    "nearest_neighbors",
    "null_model",
    "permutation_null",
    "plan_study",
    "resampled_distances",
    "resampled_matrices",
    "run_study",
    "set_evidence",
    "study_confounds",
    "study_evidence",
    "study_stability",
    "write_confounds",
    "write_report",
    "write_stability",
    "zoo_test",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"isodepth.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isodepth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
