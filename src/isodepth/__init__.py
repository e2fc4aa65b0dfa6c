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
        affinity_matrix,
        all_affinities,
        mutual_knn,
    )
    from isodepth.comparison import Comparison
    from isodepth.errors import IsodepthError
    from isodepth.inspection import Inspection, inspect_model
    from isodepth.models import LoadingOptions, Model, as_model, load_model
    from isodepth.neighbors import Neighbors, nearest_neighbors
    from isodepth.pipeline import StudyPlan, compare, plan_study, run_study
    from isodepth.results import StudyResults, load_results
    from isodepth.statistics import (
        DiagonalTest,
        LayerMatches,
        NullModel,
        diagonal_test,
        generalized_diagonal,
        layer_matches,
        null_model,
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
    "Comparison": "comparison",
    "StudyPlan": "pipeline",
    "compare": "pipeline",
    "plan_study": "pipeline",
    "run_study": "pipeline",
    "StudyResults": "results",
    "load_results": "results",
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
    "Comparison",
    "DiagonalTest",
    "Inspection",
    "IsodepthError",
    "LayerMatches",
    "LoadingOptions",
    "Model",
    "Neighbors",
    "NullModel",
    "Pairing",
    "ParallelTexts",
    "Store",
    "Study",
    "StudyPlan",
    "StudyResults",
    "TextDescription",
    "TextSet",
    "__version__",
    "affinity_matrix",
    "all_affinities",
    "as_model",
    "compare",
    "controlled_texts",
    "describe_texts",
    "diagonal_test",
    "extract",
    "extract_all",
    "generalized_diagonal",
    "inspect_model",
    "layer_matches",
    "load_model",
    "load_parallel_texts",
    "load_results",
    "load_study",
    "load_texts",
    "mutual_knn",
    "nearest_neighbors",
    "null_model",
    "plan_study",
    "run_study",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"isodepth.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isodepth' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
