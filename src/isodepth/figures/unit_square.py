"""What does the average pair of models look like? The mean matrix on a unit square, and the spread.

Both axes are depths from 0 to 1; models that correspond by proportional depth are bright along the line
from corner to corner. Beside the mean stands how much matrices differ from it, which is no error of it.

>>> mean = mean_on_unit_square(matrix.values for matrix in matrices.pairs())     # doctest: +SKIP
>>> unit_square_figure(mean, matrices=matrices)                                       # doctest: +SKIP

Memory: that of the two squares.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from isodepth.affinity import AffinityMatrices
from isodepth.axes import AffinityValues
from isodepth.errors import counted
from isodepth.figures.affinity import highest_of, lowest_of
from isodepth.figures.captions import caption
from isodepth.figures.theme import (
    COLOR_MAP,
    OUTLINE,
    draw_scale,
    new_figure,
    number,
    refuse_empty_scale,
    similarity_name,
    stated,
    themed,
)
from isodepth.statistics import UnitSquareMean

SIZE = (8.8, 3.6)
SPREAD_MAP = "cividis"


@themed
def unit_square_figure(
    mean: UnitSquareMean,
    *,
    matrices: AffinityMatrices,
    highest: float | None = None,
) -> Figure:
    """Return the figure of the mean matrix on a unit square, with the spread beside it.

    Parameters
    ----------
    mean : UnitSquareMean
        The mean, by `mean_on_unit_square`.
    matrices : AffinityMatrices
        What it is the mean of, for measure, k, texts and chance to be stated.
    highest : float, optional
        The similarity of the brightest color; the highest mean where it is left out.

    Returns
    -------
    matplotlib.figure.Figure
        Left the mean, on a color scale from 0, or from its lowest value below it; right the standard
        deviation over matrices, on its own.

    Raises
    ------
    ParameterError
        If `highest` is not above where the scale begins.

    References
    ----------
    Wolfram & Schein 2025, figure 5c. The spread and the line are ours.
    """
    top = highest_of([mean.values]) if highest is None else highest
    low = lowest_of([mean.values])
    refuse_empty_scale(low, top)
    figure = new_figure(*SIZE)
    figure.set_layout_engine("compressed")  # square panels beside each other
    left, right = figure.subplots(1, 2)
    image = _square(left, mean.values, low, top, COLOR_MAP)
    left.set_title("mean", loc="left")
    draw_scale(
        figure,
        image,
        left,
        label=similarity_name(matrices),
        values=[mean.values],
        chance=matrices.chance,
    )
    spread = _square(right, mean.sd, 0.0, float(mean.sd.max()) or 1.0, SPREAD_MAP)
    right.set_title("spread over matrices", loc="left")
    draw_scale(figure, spread, right, label="standard deviation of similarity", values=[mean.sd])
    orders = "each in both orders" if mean.both_orders else "each in the order of its labels"
    n_matrices = f"{mean.n_matrices:,} {'matrix' if mean.n_matrices == 1 else 'matrices'}"
    models = counted(len({*matrices.left, *matrices.right}), "model")
    caption(
        figure,
        "The mean matrix, every model stretched to the same depth",
        [
            f"Mean of {n_matrices} of {models}, {orders}; {stated(matrices)}.",
            f"Colors of the mean from {number(low)} to {number(top)}. Dashed: the same depth. The "
            "standard deviation is the spread of these matrices, which share models; no error of the "
            "mean.",
        ],
    )
    return figure


def _square(axes: Axes, values: AffinityValues, low: float, top: float, color_map: str) -> AxesImage:
    """Draw a unit square with depth 0 of both models at the bottom left."""
    for spine in axes.spines.values():
        spine.set_visible(True)
    image = axes.imshow(values, origin="lower", extent=(0, 1, 0, 1), vmin=low, vmax=top, cmap=color_map)
    axes.plot([0, 1], [0, 1], color=OUTLINE, linestyle=(0, (5, 4)), linewidth=0.9)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set(xticks=ticks, yticks=ticks, xlim=(0, 1), ylim=(0, 1))
    axes.set(xlabel="depth in model 2", ylabel="depth in model 1")
    return image
