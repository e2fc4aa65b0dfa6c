"""How firm is what was measured? Margins, ties, hubs, geometry, and curves against n and k."""

from isodepth.stability.curves import similarity_curves
from isodepth.stability.geometry import LayerGeometry, layer_geometry
from isodepth.stability.layers import LayerStability, layer_stability
from isodepth.stability.points import CurvePoint, SimilarityCurves
from isodepth.stability.study import StudyStability, TextSetStability
from isodepth.stability.subsets import fewest_texts, subset_neighbors

__all__ = [
    "CurvePoint",
    "LayerGeometry",
    "LayerStability",
    "SimilarityCurves",
    "StudyStability",
    "TextSetStability",
    "fewest_texts",
    "layer_geometry",
    "layer_stability",
    "similarity_curves",
    "subset_neighbors",
]
