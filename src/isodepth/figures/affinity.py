"""Which layers of two models are similar? One affinity matrix as a figure.

Layer 1 of both models is at the bottom left. The generalized diagonal is outlined; two lines follow
the most similar layer in each direction. Colors run from 0, or the lowest similarity below it, to the
highest, which the color bar says, with chance marked.

>>> affinity_figure(matrix).savefig("affinity.pdf")                              # doctest: +SKIP
>>> affinity_figure(matrix, highest=1.0, paths=False)                            # doctest: +SKIP

Memory: 8 bytes a cell.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from isodepth.affinity import AffinityMatrix
from isodepth.figures.captions import lines_of
from isodepth.figures.theme import (
    LEFT_PATH,
    MUTED,
    RIGHT_PATH,
    draw_matrix,
    draw_outline,
    draw_scale,
    edge_of_line,
    matrix_size,
    new_figure,
    number_layers,
    one_line,
    refuse_empty_scale,
    scale_text,
    similarity_name,
    texts_named,
    themed,
)
from isodepth.statistics import generalized_diagonal, layer_matches


@themed
def affinity_figure(
    matrix: AffinityMatrix, *, highest: float | None = None, outline: bool = True, paths: bool = True
) -> Figure:
    """Return the figure of one affinity matrix.

    Parameters
    ----------
    matrix : AffinityMatrix
        What to draw.
    highest : float, optional
        The similarity of the brightest color; the matrix's maximum where it is left out. Give the
        same to figures that are to be compared.
    outline : bool
        Whether the generalized diagonal is outlined.
    paths : bool
        Whether lines follow the most similar layers, of each left layer and of each right one.

    Returns
    -------
    matplotlib.figure.Figure
        Not tied to pyplot; save it with `save_figure` or its own ``savefig``.

    Raises
    ------
    ParameterError
        If `highest` is not above where the scale begins.

    References
    ----------
    Wolfram & Schein 2025, figures 4a, 4b, 6a and 9. There the color scale runs to 1 (``highest=1.0``).
    """
    values = matrix.values
    low = lowest_of([values])
    top = highest_of([values]) if highest is None else highest
    width, height = matrix_size(*values.shape)
    figure = new_figure(width + 1.9, height + 1.2)
    axes = figure.add_subplot()
    image = draw_affinity(
        axes, matrix, low=low, high=top, outline=outline, paths=paths, size=(width, height)
    )
    draw_scale(
        figure,
        image,
        axes,
        label=f"{similarity_name(matrix)} "
        f"({one_line(texts_named(matrix.n_texts, matrix.texts))})\n{scale_text(low, top)}",
        values=[values],
        chance=matrix.chance,
    )
    explain_marks(figure, axes, outline=outline)
    return figure


def lowest_of(values: Sequence[np.ndarray]) -> float:
    """Return where a scale begins: 0, or the lowest of similarities where that is below 0."""
    return min(0.0, *(float(part.min()) for part in values))


def highest_of(values: Sequence[np.ndarray]) -> float:
    """Return where a scale ends: their highest; 1 if all are 0, 0 if all are one number below it."""
    highest, low = max(float(part.max()) for part in values), lowest_of(values)
    if highest > low:
        return highest
    return 0.0 if low < 0 else 1.0


def draw_affinity(
    axes: Axes,
    matrix: AffinityMatrix,
    *,
    low: float = 0.0,
    high: float,
    outline: bool,
    paths: bool,
    size: tuple[float, float],
    most_ticks: int = 10,
) -> AxesImage:
    """Draw a matrix with the names of both models, and return its image.

    `size` are its inches, width and height, which the names are broken to.

    Raises
    ------
    ParameterError
        If the color scale is empty.
    """
    refuse_empty_scale(low, high)
    values = matrix.values
    n_left, n_right = values.shape
    image = draw_matrix(axes, values, low=low, high=high)
    if outline:
        draw_outline(axes, generalized_diagonal(n_left, n_right))
    if paths:
        matches = layer_matches(values)
        for x, y, color, marker, label in (
            (
                matches.left_to_right,
                np.arange(n_left),
                LEFT_PATH,
                "o",
                "each row, the most similar column",
            ),
            (
                np.arange(n_right),
                matches.right_to_left,
                RIGHT_PATH,
                "s",
                "each column, the most similar row",
            ),
        ):
            axes.plot(
                x,
                y,
                color=color,
                linewidth=1.4,
                marker=marker,
                markersize=2.6,
                label=f"for {label}",
                path_effects=[edge_of_line(1.4)],
            )
    name_models(axes, matrix, size=size)
    number_layers(axes, n_left, n_right, most=most_ticks)
    return image


def name_models(axes: Axes, matrix: AffinityMatrix, *, size: tuple[float, float]) -> None:
    """Write which model's layers are on either axis, in lines as long as the axis."""
    width, height = size
    axes.set_xlabel("\n".join(lines_of(f"layer of {matrix.right}", width, size=9.0)))
    axes.set_ylabel("\n".join(lines_of(f"layer of {matrix.left}", height, size=9.0)))


def explain_marks(figure: Figure, axes: Axes, *, outline: bool) -> None:
    """Write what the outline and the lines of a matrix are above the figure, if there are any."""
    handles: list[Artist] = []
    if outline:
        handles.append(Patch(facecolor="none", edgecolor=MUTED, label="generalized diagonal (white)"))
    handles += axes.get_legend_handles_labels()[0]
    if handles:
        figure.legend(handles=handles, loc="outside upper center", fontsize=7, handlelength=1.6)
