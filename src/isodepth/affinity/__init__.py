"""How similar are two layers? Measures, and the matrices of all layer pairs of models."""

from isodepth.affinity.all_pairs import all_affinities
from isodepth.affinity.matrices import AffinityMatrices
from isodepth.affinity.matrix import AffinityMatrix, affinity_matrix
from isodepth.affinity.measure import Measure
from isodepth.affinity.measures import MEASURES, check_measure, measure_named
from isodepth.affinity.mutual_knn import AFFINITY_VERSION, mutual_knn, mutual_knn_counts

__all__ = [
    "AFFINITY_VERSION",
    "MEASURES",
    "AffinityMatrices",
    "AffinityMatrix",
    "Measure",
    "affinity_matrix",
    "all_affinities",
    "check_measure",
    "measure_named",
    "mutual_knn",
    "mutual_knn_counts",
]
