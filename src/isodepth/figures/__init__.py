"""Results as pictures: results in, matplotlib Figure out. The only folder that imports matplotlib."""

from isodepth.figures.affinity import affinity_figure
from isodepth.figures.saving import save_figure

__all__ = ["affinity_figure", "save_figure"]
