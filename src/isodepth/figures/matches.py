"""At which depth is the most similar layer of the other model, and how similar is it?

One line an ordered pair of models. Where the lines lie on the identity line, layers correspond by
proportional depth. Hundreds of lines hide each other, so single ones are drawn the fainter the more
there are, and over them the median and the bands that hold the middle half and four fifths of them.

>>> save_figure(match_depth_figure(matrices), Path("figure-5a.pdf"))            # doctest: +SKIP

Memory: 808 bytes a line besides the layers'.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, counted, listed, nearest_names
from isodepth.figures.captions import caption, legend_beside
from isodepth.figures.theme import (
    BLUE,
    INK,
    MUTED,
    SERIES,
    new_figure,
    number,
    stated,
    themed,
)
from isodepth.statistics import layer_matches
from isodepth.statistics.sections import mid_depths

GRID = np.linspace(0, 1, 101)
"""The depths at which the median and the bands are taken."""
BANDS = ((0.1, 0.9), (0.25, 0.75))
"""Between which quantiles of the lines."""
FEWEST_FOR_BANDS = 20
"""Lines; of fewer, every one is seen, and quantiles would be single lines."""
HIGHLIGHTS = SERIES[1:]
"""Colors of chosen pairs; the median has the first of `SERIES`."""
INK_OF_LINES = 24
"""So many lines are drawn in full; of more, each is fainter, down to `FAINTEST`."""
FAINTEST = 0.06
SIZE = (7.6, 4.4)
LEGEND_WIDTH = 2.0  # inches


class _Line(NamedTuple):
    source: str
    target: str
    from_left: bool
    depth: Float64[np.ndarray, " layers"]
    matched_depth: Float64[np.ndarray, " layers"]
    similarity: Float64[np.ndarray, " layers"]


@themed
def match_depth_figure(
    matrices: AffinityMatrices,
    *,
    highlight: Sequence[tuple[str, str]] = (),
) -> Figure:
    """Return the figure of the depth of the most similar layer, one line an ordered pair of models.

    Parameters
    ----------
    matrices : AffinityMatrices
        At least one pair of models.
    highlight : sequence of (str, str), optional
        Pairs by their labels, at most six, left before right where order matters: drawn in color, from
        the first to the second in full, back dashed.

    Returns
    -------
    matplotlib.figure.Figure
        Both axes are depths in (0, 1), (layer - 1/2) / layers, so that corresponding layers of models
        with any numbers of layers lie on the identity line. Lines are straight between the middles of
        layers and flat before the first and after the last. Bands are quantiles of the lines at each
        depth: their spread over pairs, which share models, no error.

    Raises
    ------
    UnknownNameError
        If a label of `highlight` is not that of a model of its side; all are named.
    ParameterError
        If there is no pair of models, or one of `highlight` is none.

    References
    ----------
    Wolfram & Schein 2025, figure 5a. The median, the bands and the middle of layers as their depth are
    ours.
    """
    lines = _lines(matrices)
    chosen = _chosen(matrices, highlight)
    figure, axes = _axes()
    axes.axline(
        (0, 0), slope=1, color=INK, linestyle=(0, (5, 3)), linewidth=1, label="the same depth", zorder=3
    )
    _draw(axes, lines, [line.matched_depth for line in lines], chosen)
    axes.set(ylim=(0, 1), ylabel="depth of the most similar layer in model 2")
    axes.set_aspect("equal", anchor="W")
    figure.set_layout_engine("compressed")
    _finish(figure, axes, "Depth of the most similar layer", matrices, lines)
    return figure


@themed
def match_similarity_figure(
    matrices: AffinityMatrices,
    *,
    highlight: Sequence[tuple[str, str]] = (),
) -> Figure:
    """Return the figure of the similarity of the most similar layer, one line an ordered pair.

    Parameters
    ----------
    matrices, highlight
        As for `match_depth_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        Similarity from 0 against depth in (0, 1). What is chosen for being the highest lies a little
        above chance without any relation too; the chance line is that of one layer.

    Raises
    ------
    UnknownNameError, ParameterError
        As `match_depth_figure`.

    References
    ----------
    Wolfram & Schein 2025, figure 5b. The median, the bands and the chance line are ours.
    """
    lines = _lines(matrices)
    chosen = _chosen(matrices, highlight)
    figure, axes = _axes()
    chance = matrices.chance
    if chance is not None:
        axes.axhline(chance, color=INK, linestyle=":", linewidth=1.2, label=f"chance, {number(chance)}")
    _draw(axes, lines, [line.similarity for line in lines], chosen)
    lowest = min(float(line.similarity.min()) for line in lines)
    axes.set(ylim=(min(0.0, lowest), None), ylabel="similarity of the most similar layer in model 2")
    _finish(figure, axes, "Similarity of the most similar layer", matrices, lines)
    return figure


def _lines(matrices: AffinityMatrices) -> list[_Line]:
    """Return both directions of every pair.

    Raises
    ------
    ParameterError
        If there is none.
    """
    if matrices.n_pairs == 0:
        raise ParameterError(
            f"expected matrices of at least one pair of models; got {listed(matrices.left)} alone"
        )
    lines = []
    for matrix in matrices.pairs():
        found = layer_matches(matrix.values)
        left, right = (mid_depths(n_layers) for n_layers in matrix.values.shape)
        to_right, to_left = right[found.left_to_right], left[found.right_to_left]
        one, other = matrix.left, matrix.right
        lines.append(_Line(one, other, True, left, to_right, found.left_similarity))
        lines.append(_Line(other, one, False, right, to_left, found.right_similarity))
    return lines


def _chosen(
    matrices: AffinityMatrices, highlight: Sequence[tuple[str, str]]
) -> dict[tuple[str, str, bool], tuple[str, str, str]]:
    """Return the color, the dashes and the name of every line that is to be seen by itself."""
    unknown: list[str] = []
    near: list[str] = []
    for pair in highlight:
        for label, known in zip(pair, (matrices.left, matrices.right), strict=True):
            if label not in known:
                unknown.append(repr(label))
                near += nearest_names(label, known)
    if unknown:
        labels = list(dict.fromkeys(matrices.left + matrices.right))
        raise UnknownNameError(
            f"highlight: no model of these matrices is called {listed(list(dict.fromkeys(unknown)))}",
            hint=f"did you mean {' or '.join(dict.fromkeys(near))}?"
            if near
            else f"there are {listed(labels, most=30)}.",
        )
    selves = [one for one, other in highlight if matrices.is_symmetric and one == other]
    if selves:
        raise ParameterError(f"highlight: {listed(selves)} with itself is no pair of these matrices")
    if len(highlight) > len(HIGHLIGHTS):
        raise ParameterError(
            f"highlight: at most {len(HIGHLIGHTS)} pairs can be told apart by color; got "
            f"{len(highlight)}"
        )
    styles = {}
    for (one, other), color in zip(highlight, HIGHLIGHTS, strict=False):
        for from_left, dashes in ((True, "-"), (False, "--")):
            ends = (one, other) if from_left else (other, one)
            if matrices.is_mirrored:  # which of two models is left is the order of the labels
                name = f"from {ends[0]} to {ends[1]}"
                styles[*ends, not from_left] = (color, dashes, name)
            else:
                sides = ("left", "right") if from_left else ("right", "left")
                name = f"from {sides[0]} {ends[0]} to {sides[1]} {ends[1]}"
            styles[*ends, from_left] = (color, dashes, name)
    return styles


def _axes() -> tuple[Figure, Axes]:
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1), xlabel="depth in model 1: (layer − ½) / layers")
    return figure, axes


def _draw(
    axes: Axes,
    lines: Sequence[_Line],
    heights: Sequence[np.ndarray],
    chosen: dict[tuple[str, str, bool], tuple[str, str, str]],
) -> None:
    """Draw all lines faintly, their median and bands, then what was chosen."""
    faintness = max(FAINTEST, min(1.0, INK_OF_LINES / len(lines)) * 0.6)
    axes.add_collection(
        LineCollection(
            [
                np.column_stack([line.depth, height])
                for line, height in zip(lines, heights, strict=True)
            ],
            colors=MUTED,
            linewidths=0.7,
            alpha=faintness,
            label="one ordered pair",
        )
    )
    axes.autoscale_view(scalex=False)
    if len(lines) >= FEWEST_FOR_BANDS:
        # a layer's cell of depth reaches past its middle, and there the line is flat
        on_grid = np.array(
            [np.interp(GRID, line.depth, height) for line, height in zip(lines, heights, strict=True)]
        )
        for (low, high), alpha in zip(BANDS, (0.18, 0.3), strict=True):
            axes.fill_between(
                GRID,
                *np.quantile(on_grid, (low, high), axis=0),
                color=BLUE,
                alpha=alpha,
                linewidth=0,
                label=f"middle {round(100 * (high - low))} % of the lines",
            )
        axes.plot(
            GRID, np.median(on_grid, axis=0), color=BLUE, linewidth=2.2, label="median of the lines"
        )
    drawn = {
        (line.source, line.target, line.from_left): (line.depth, height)
        for line, height in zip(lines, heights, strict=True)
    }
    for (source, target, from_left), (color, dashes, name) in chosen.items():
        if (source, target, from_left) in drawn:
            axes.plot(
                *drawn[source, target, from_left],
                color=color,
                linestyle=dashes,
                linewidth=1.8,
                label=name,
            )


def _finish(
    figure: Figure,
    axes: Axes,
    title: str,
    matrices: AffinityMatrices,
    lines: Sequence[_Line],
) -> None:
    """Add the legend, the title, and what was measured."""
    handles, labels = axes.get_legend_handles_labels()
    handles = [
        Line2D([], [], color=MUTED, linewidth=0.9) if isinstance(handle, LineCollection) else handle
        for handle in handles  # as faint as in the figure it would not be seen
    ]
    legend_beside(axes, handles, labels, LEGEND_WIDTH, spacing=0.7)
    models = len({*matrices.left, *matrices.right})
    if matrices.is_symmetric and not matrices.is_mirrored:  # of two models there are two matrices
        drawn = f"From left to right and back, {counted(matrices.n_pairs, 'ordered pair')}"
    else:
        drawn = counted(len(lines), "ordered pair")
    notes = [f"{drawn} of {counted(models, 'model')}; {stated(matrices)}."]
    if len(lines) >= FEWEST_FOR_BANDS:
        notes.append(
            "Bands: the spread of the lines over pairs, which share models; no error of the median."
        )
    caption(figure, title, notes)
