"""Results as pictures: results in, matplotlib Figure out. The only folder that imports matplotlib.

Each figure of the paper has a function; `isodepth.figures.atlas` lists those that results give. All
have one theme, state their color scale, texts, k and chance, and are tied to no window.

>>> save_figure(affinity_figure(matrix), Path("affinity.pdf"))                   # doctest: +SKIP
"""

from isodepth.figures.affinity import affinity_figure
from isodepth.figures.arrays import array_figure
from isodepth.figures.atlas import study_atlas
from isodepth.figures.ceiling import noise_ceiling_figure
from isodepth.figures.chance import calibrated_figure, null_density_figure, z_figure
from isodepth.figures.confounds import confound_figure
from isodepth.figures.contrast import contrast_figure
from isodepth.figures.controlled_matrices import controlled_matrices_figure
from isodepth.figures.controls import controls_figure
from isodepth.figures.correspondence import depth_map_figure
from isodepth.figures.entries import AtlasFigure
from isodepth.figures.matches import match_depth_figure, match_similarity_figure
from isodepth.figures.panels import k_sweep_figure, panels_figure, parallel_figure, text_sets_figure
from isodepth.figures.profile import profile_figure
from isodepth.figures.saving import save_figure
from isodepth.figures.schematic import schematic_figure
from isodepth.figures.stability import curves_figure, stability_figure
from isodepth.figures.text_baselines import text_baselines_figure
from isodepth.figures.tree import tree_figure
from isodepth.figures.unit_square import unit_square_figure
from isodepth.figures.venn import venn_figure

__all__ = [
    "AtlasFigure",
    "affinity_figure",
    "array_figure",
    "calibrated_figure",
    "confound_figure",
    "contrast_figure",
    "controlled_matrices_figure",
    "controls_figure",
    "curves_figure",
    "depth_map_figure",
    "k_sweep_figure",
    "match_depth_figure",
    "match_similarity_figure",
    "noise_ceiling_figure",
    "null_density_figure",
    "panels_figure",
    "parallel_figure",
    "profile_figure",
    "save_figure",
    "schematic_figure",
    "stability_figure",
    "study_atlas",
    "text_baselines_figure",
    "text_sets_figure",
    "tree_figure",
    "unit_square_figure",
    "venn_figure",
    "z_figure",
]
