"""Which texts are nearest to which, per layer: exact k nearest neighbors."""

from isodepth.neighbors.exact import NEIGHBORS_VERSION, layer_neighbors, nearest_neighbors
from isodepth.neighbors.metrics import METRICS
from isodepth.neighbors.result import Neighbors

__all__ = ["METRICS", "NEIGHBORS_VERSION", "Neighbors", "layer_neighbors", "nearest_neighbors"]
