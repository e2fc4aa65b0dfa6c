"""Which layers of many models are similar? The matrices of all pairs, side by side, as one array.

In true proportions every cell is equally large, so that a model has room for its layers; as equal
squares every pair has the same room, so that progressions of different length can be compared by eye.
Nothing is interpolated. Layer 1 of the first model is at the bottom left, lines separate models.

>>> array_figure(matrices, order=tree.order)                                     # doctest: +SKIP
>>> array_figure(matrices, equal=True, groups={"Gemma": ("gemma-2b", "gemma-7b")})    # doctest: +SKIP

Colors run from 0, or the lowest similarity below it, to the highest of different models. A model with
itself has ones on its diagonal; where they lie beyond the scale, the scale has an arrow and the note
says so.

Memory: a copy of the values drawn; 8 bytes a pair of layers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, counted, listed, nearest_names
from isodepth.figures.affinity import highest_of, lowest_of
from isodepth.figures.array_sides import ArraySide, array_side, name_side
from isodepth.figures.captions import lines_of
from isodepth.figures.saving import RESOLUTION
from isodepth.figures.theme import (
    COLOR_MAP,
    OUTLINE,
    draw_outline,
    draw_scale,
    one_line,
    refuse_empty_scale,
    scale_text,
    similarity_name,
    stated,
    themed,
)
from isodepth.statistics import generalized_diagonal

SEPARATOR = "#b8b8b8"
LONGEST_SIDE = 16.0
"""Inches that an array grows to for the sake of its names; only very many layers make it larger."""


@themed
def array_figure(
    matrices: AffinityMatrices,
    *,
    equal: bool = False,
    order: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    highest: float | None = None,
    diagonals: bool = False,
    left_texts: str | None = None,
    right_texts: str | None = None,
) -> Figure:
    """Return the figure of the matrices of all pairs of models.

    Parameters
    ----------
    matrices : AffinityMatrices
        What to draw: any number of models, left and right the same or not.
    equal : bool
        Whether each matrix is stretched to the same square; else all cells are equally large.
    order : sequence of str, optional
        The models to draw, in this order, for example `ModelTree.order`; those not named are left out.
        Where it is left out: the models of each group together, or the order of the labels.
    groups : mapping of str to sequence of str, optional
        Families of models: names to labels. Bracketed where they stand together.
    highest : float, optional
        The similarity of the brightest color. Where it is left out: the highest of different models, so
        that what a model shares with itself does not darken the rest. The paper's is 1.
    diagonals : bool
        Whether the generalized diagonal of each pair is outlined.
    left_texts, right_texts : str, optional
        What the left and the right models read, where that differs: "English" and "German".

    Returns
    -------
    matplotlib.figure.Figure
        As large as its names need: 24 models with 1,010 layers have 10 inches beside them.

    Raises
    ------
    UnknownNameError
        If `order` or `groups` name models that there are not; all are listed.
    ParameterError
        If a model is named twice, no model is left on a side, or the scale is empty.

    References
    ----------
    Wolfram & Schein 2025, figures 4c and 12 to 19 (true proportions) and 20 to 27 (equal squares).
    There the color scale runs to 1.
    """
    chosen = matrices.of(_labels(matrices, order, groups or {}))
    for side, labels in (("left", chosen.left), ("right", chosen.right)):
        if not labels:
            raise ParameterError(f"an array needs a {side} model; order names none of the {side} ones")
    rows = array_side(chosen.left, chosen.left_layers, groups or {}, equal=equal)
    columns = array_side(chosen.right, chosen.right_layers, groups or {}, equal=equal)
    values = chosen.values
    between = [
        values[row, column]
        for i, row in enumerate(_spans(rows))
        for j, column in enumerate(_spans(columns))
        if not (matrices.is_symmetric and i == j)
    ]
    top = highest_of(between or [values]) if highest is None else highest
    low = lowest_of([values])
    refuse_empty_scale(low, top)
    unit = _unit_inches(rows, columns, equal=equal)
    figure = Figure()
    FigureCanvasAgg(figure)  # names are measured before their room is known
    axes = figure.add_axes((0, 0, 1, 1), label="array")
    colors = ScalarMappable(norm=Normalize(low, top), cmap=COLOR_MAP)
    _draw_cells(axes, values, rows, columns, low=low, high=top, equal=equal)
    if diagonals:
        _draw_diagonals(axes, rows, columns, equal=equal)
    _draw_separators(axes, rows, columns)
    facts = [
        f"Layers of {_models(chosen, left_texts, right_texts)}, "
        + ("each pair stretched to the same square" if equal else "in true proportions"),
        f"{one_line(stated(chosen))}; in parentheses: number of layers",
    ]
    if highest is None and between and values.max() > top:
        facts.append("scale: to the highest of different models; a model with itself may be above it")
    inside = _lay_out(figure, axes, rows, columns, unit, facts, equal=equal)
    draw_scale(
        figure,
        colors,
        inside=inside,
        label=f"{similarity_name(chosen)}\n{scale_text(low, top)}",
        values=[values],
        chance=chosen.chance,
    )
    return figure


def _labels(
    matrices: AffinityMatrices, order: Sequence[str] | None, groups: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Return the labels to draw, in order; refuse groups with unknown and repeated ones."""
    known = tuple(dict.fromkeys((*matrices.left, *matrices.right)))
    grouped = [label for labels in groups.values() for label in labels]
    unknown = [label for label in grouped if label not in known]
    if unknown:
        near = dict.fromkeys(name for label in unknown for name in nearest_names(label, known))
        raise UnknownNameError(
            f"groups: no model of these matrices is called {listed([*map(repr, unknown)])}",
            hint=f"did you mean {' or '.join(near)}?" if near else f"there are {listed(known)}.",
        )
    repeated = [repr(label) for label, n in Counter(grouped).items() if n > 1]
    if repeated:
        raise ParameterError(f"groups: each model once; named several times: {listed(repeated)}")
    return tuple(dict.fromkeys((*grouped, *known))) if order is None else tuple(order)


def _spans(side: ArraySide) -> list[slice]:
    """Return where each model's layers stand among those drawn."""
    ends = np.cumsum([0, *side.n_layers]).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _draw_cells(
    axes: Axes,
    values: Float64[np.ndarray, "rows columns"],
    rows: ArraySide,
    columns: ArraySide,
    *,
    low: float,
    high: float,
    equal: bool,
) -> None:
    """Draw all cells: one image, or one a pair where each is stretched by itself."""
    blocks = [(values, (0.0, columns.length, 0.0, rows.length))]
    if equal:
        blocks = [
            (values[row, column], (j, j + 1, i, i + 1))
            for i, row in enumerate(_spans(rows))
            for j, column in enumerate(_spans(columns))
        ]
    for block, extent in blocks:
        axes.imshow(
            block,
            extent=extent,
            origin="lower",
            interpolation="none",  # writes cells into vector files as they are, unsmoothed elsewhere
            vmin=low,
            vmax=high,
            cmap=COLOR_MAP,
        )
    axes.set_aspect("auto")  # the axes have the shape of what is in them
    axes.set_xlim(0, columns.length)
    axes.set_ylim(0, rows.length)


def _draw_separators(axes: Axes, rows: ArraySide, columns: ArraySide) -> None:
    """Draw a line between models, a wider one around families."""
    for spine in axes.spines.values():
        spine.set_visible(True)
    for side, line in ((rows, axes.axhline), (columns, axes.axvline)):
        bounds = {place for _, first, after in side.families for place in (first, after)}
        for place, edge in enumerate(side.edges[1:-1].tolist(), start=1):
            is_bound = place in bounds
            line(
                edge,
                color=OUTLINE if is_bound else SEPARATOR,
                linewidth=1.2 if is_bound else 0.4,
                label="between families" if is_bound else "between models",
            )


def _draw_diagonals(axes: Axes, rows: ArraySide, columns: ArraySide, *, equal: bool) -> None:
    """Outline the generalized diagonal of each pair."""
    for i, n_left in enumerate(rows.n_layers):
        for j, n_right in enumerate(columns.n_layers):
            lines = draw_outline(axes, generalized_diagonal(n_left, n_right), width=0.5)
            scale = (1 / n_right, 1 / n_left) if equal else (1, 1)
            start = (columns.edges[j], rows.edges[i])
            lines.set_segments([(segment + 0.5) * scale + start for segment in lines.get_segments()])


def _lay_out(
    figure: Figure,
    axes: Axes,
    rows: ArraySide,
    columns: ArraySide,
    unit: float,
    facts: Sequence[str],
    *,
    equal: bool,
) -> Axes:
    """Give the array a whole number of dots a cell, and names and facts their room; return the scale's.

    `unit` are the inches of a layer, or of a model where all are equal.
    """
    width, height = columns.length * unit, rows.length * unit
    figure.set_size_inches(width, height)
    below = name_side(axes, columns, unit, height, along="x", equal=equal)
    left = name_side(axes, rows, unit, width, along="y", equal=equal)
    right, size = 1.0, 8.0
    room = left + width + right - 0.1
    text = "\n".join(line for fact in facts for line in lines_of(fact, room, size=size))
    above = 0.12 + (text.count("\n") + 1) * size * 1.3 / 72
    total = (left + width + right, below + height + above)
    figure.set_size_inches(*total)
    axes.set_position((left / total[0], below / total[1], width / total[0], height / total[1]))
    figure.text(0.02, 1 - 0.06 / total[1], text, size=size, va="top")
    longest = min(height, 4.0)
    place = (
        (left + width + 0.45) / total[0],
        (below + (height - longest) / 2) / total[1],
        0.14 / total[0],
        longest / total[1],
    )
    return figure.add_axes(place, label="scale")


def _models(matrices: AffinityMatrices, left_texts: str | None, right_texts: str | None) -> str:
    """Return how many models are on either side, and what they read if they read different texts."""
    if matrices.is_symmetric:
        return counted(len(matrices.left), "model")
    sides = (("left, rows", matrices.left, left_texts), ("right, columns", matrices.right, right_texts))
    told = []
    for side, labels, texts in sides:
        reading = "" if texts is None else f" reading {one_line(texts)}"
        told.append(f"{counted(len(labels), 'model')}{reading} ({side})")
    return " and ".join(told)


def _unit_inches(rows: ArraySide, columns: ArraySide, *, equal: bool) -> float:
    """Return inches of one layer, or of one model where all are equal: a whole number of dots."""
    longest = max(rows.length, columns.length)
    shortest = min(float(np.diff(side.edges).min()) for side in (rows, columns))
    wanted = max(
        (8.0 if equal else 5.0) / longest,
        # the shortest model has room for its name
        (0.42 if equal else 0.125) / shortest,
    )
    dots = min(wanted, LONGEST_SIDE / longest) * RESOLUTION
    return max(1, round(dots)) / RESOLUTION
