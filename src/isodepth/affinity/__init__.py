"""How similar are two layers? Measures, and the matrix of all layer pairs of two models."""

from isodepth.affinity.matrix import MEASURES, AffinityMatrix, affinity_matrix
from isodepth.affinity.mutual_knn import AFFINITY_VERSION, mutual_knn, mutual_knn_counts

__all__ = [
    "AFFINITY_VERSION",
    "MEASURES",
    "AffinityMatrix",
    "affinity_matrix",
    "mutual_knn",
    "mutual_knn_counts",
]
