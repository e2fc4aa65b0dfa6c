"""Which layers of two models are similar or different? Two columns of layers, linked.

Both models stand side by side from their first layer, below, to their last; layers at the same relative
depth have the same height. A link joins a layer to the most similar layer of the other model: level
links are a correspondence by depth, slanted ones a stretched one, crossing ones none. How dark a link
is says how similar the two are; the palest is 0, or the lowest similarity below it. A layer has the
color of its link, so that layers unlike any of the other model stay pale.

>>> schematic_figure(matrix)                                                     # doctest: +SKIP

Memory: some 100 bytes a layer.
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.affinity import AffinityMatrix
from isodepth.axes import AffinityValues
from isodepth.figures.affinity import highest_of, lowest_of
from isodepth.figures.captions import caption, lines_of
from isodepth.figures.theme import (
    INK,
    MUTED,
    draw_scale,
    layer_ticks,
    new_figure,
    refuse_empty_scale,
    scale_text,
    similarity_name,
    stated,
    themed,
)
from isodepth.statistics import layer_matches

# the palest fifth would not be seen as a line on white
STRENGTHS = ListedColormap(colormaps["Blues"](np.linspace(0.2, 1.0, 256)), name="strengths")
WIDTH = 0.16
"""Of a column of layers; the links between the two have the width 1."""


@themed
def schematic_figure(matrix: AffinityMatrix, *, highest: float | None = None) -> Figure:
    """Return the figure of two models' layers, each linked to the most similar one of the other.

    Parameters
    ----------
    matrix : AffinityMatrix
        What to draw.
    highest : float, optional
        The similarity of the darkest color; the matrix's maximum where it is left out.

    Returns
    -------
    matplotlib.figure.Figure
        Thick links join layers each of which is the most similar one to the other; at thin ones it is
        so in one direction, away from the dot.

    Raises
    ------
    ParameterError
        If `highest` is not above where the scale begins, or values are not finite.

    References
    ----------
    Wolfram & Schein 2025, figure 1, a drawing; here it is of a real matrix.
    """
    values = matrix.values
    n_left, n_right = values.shape
    matches = layer_matches(values)
    strengths = {"left": matches.left_similarity, "right": matches.right_similarity}
    low = lowest_of([*strengths.values()])
    top = highest_of([*strengths.values()]) if highest is None else highest
    refuse_empty_scale(low, top)
    figure = new_figure(5.8, 6.4)
    axes = figure.add_subplot()
    norm = Normalize(low, top)
    for side, start, n_layers in (("left", -WIDTH, n_left), ("right", 1.0, n_right)):
        boxes = PolyCollection(
            _boxes(start, n_layers), cmap=STRENGTHS, norm=norm, edgecolors="white", linewidths=0.5,
            label=f"layers of {side}",
        )  # fmt: skip
        boxes.set_array(strengths[side])
        axes.add_collection(boxes, autolim=False)
    left_links = [(i, int(j)) for i, j in enumerate(matches.left_to_right)]
    right_links = [(int(i), j) for j, i in enumerate(matches.right_to_left)]
    mutual = sorted({*left_links} & {*right_links})
    kinds = (
        ("of left", [link for link in left_links if link not in mutual], 0.9, "left"),
        ("of right", [link for link in right_links if link not in mutual], 0.9, "right"),
        ("mutual", mutual, 2.4, None),
    )
    for label, links, width, origin in kinds:
        drawn = _draw_links(axes, links, values, label=label, width=width, origin=origin, norm=norm)
    axes.set_xlim(-WIDTH - 0.02, 1 + WIDTH + 0.02)
    axes.set_ylim(-0.01, 1.01)
    axes.set_xticks(
        [-WIDTH / 2, 1 + WIDTH / 2],
        labels=["\n".join(lines_of(name, 2.0, size=9.0)) for name in (matrix.left, matrix.right)],
        fontsize=9,
    )
    axes.tick_params(axis="x", length=0)
    _number_column(axes, n_left)
    other = axes.twinx()
    other.set_ylim(axes.get_ylim())
    _number_column(other, n_right)
    for column in (axes, other):
        for spine in column.spines.values():
            spine.set_visible(False)
    axes.set_ylabel("layer (up: deeper)")
    draw_scale(
        figure,
        drawn,
        [axes, other],
        label=f"{similarity_name(matrix)} of linked layers\n{scale_text(low, top)}",
        values=[*strengths.values()],
        chance=matrix.chance,
        shrink=0.7,
        mark=INK,
    )
    figure.legend(
        handles=[
            Line2D([], [], color=STRENGTHS(0.7), linewidth=2.4, label="each the other's most similar"),
            Line2D(
                [], [], color=STRENGTHS(0.7), linewidth=0.9, marker="o", markersize=2.5,
                label="the most similar one to the layer with the dot",
            ),
        ],
        loc="outside upper center",
        fontsize=7,
    )  # fmt: skip
    caption(figure, "", [f"{stated(matrix)}. Same height: same relative depth."])
    return figure


def _middles(n_layers: int) -> Float64[np.ndarray, " layers"]:
    """Return the heights of layers: the middle of what each covers of the relative depth."""
    return (np.arange(n_layers) + 0.5) / n_layers


def _boxes(start: float, n_layers: int) -> list[Float64[np.ndarray, "corners 2"]]:
    """Return the corners of a column of layers, from the first."""
    edges = np.linspace(0.0, 1.0, n_layers + 1).tolist()
    end = start + WIDTH
    return [
        np.array([(start, low), (end, low), (end, high), (start, high)])
        for low, high in pairwise(edges)
    ]


def _draw_links(
    axes: Axes,
    links: list[tuple[int, int]],
    values: AffinityValues,
    *,
    label: str,
    width: float,
    origin: str | None,
    norm: Normalize,
) -> LineCollection:
    """Draw lines from left to right layers, the strongest on top, with a dot where they come from."""
    ordered = sorted(links, key=lambda link: float(values[link]))
    similarities = np.array([values[link] for link in ordered])
    left, right = (_middles(n_layers) for n_layers in values.shape)
    ends = [((0.0, left[i]), (1.0, right[j])) for i, j in ordered]
    lines = LineCollection(
        ends, cmap=STRENGTHS, norm=norm, linewidths=width, label=label, capstyle="butt"
    )
    lines.set_array(similarities)
    axes.add_collection(lines, autolim=False)
    if origin is not None and ordered:
        dots = np.array([end[0 if origin == "left" else 1] for end in ends])
        x, y = dots.T
        axes.scatter(x, y, s=5, c=similarities, cmap=STRENGTHS, norm=norm, zorder=3, clip_on=False)
    return lines


def _number_column(axes: Axes, n_layers: int) -> None:
    ticks = layer_ticks(n_layers, most=16)
    axes.set_yticks(
        _middles(n_layers)[ticks].tolist(), labels=[str(tick + 1) for tick in ticks], color=INK
    )
    axes.tick_params(axis="y", length=2, color=MUTED)
