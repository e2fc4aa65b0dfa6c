"""Which layers of many models are similar? The matrices of all pairs, side by side, as one array.

In true proportions every cell is equally large, so that a model has room for its layers; as equal
squares every pair has the same room, so that progressions of different length can be compared by eye.
Nothing is interpolated. Layer 1 of the first model is at the bottom left, lines separate models.

>>> array_figure(matrices, order=tree.order)                                     # doctest: +SKIP
>>> array_figure(matrices, equal=True, groups={"Gemma": ("gemma-2b", "gemma-7b")})    # doctest: +SKIP

Colors run from 0 to the highest similarity of different models. A model with itself has ones on its
diagonal; where they lie beyond the scale, the scale has an arrow and the note says so.

Memory: a copy of the values drawn; 8 bytes a pair of layers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, counted, listed, nearest_names
from isodepth.figures.affinity import highest_of
from isodepth.figures.captions import lines_of
from isodepth.figures.saving import RESOLUTION
from isodepth.figures.theme import (
    COLOR_MAP,
    INK,
    MUTED,
    OUTLINE,
    beside_axis,
    draw_outline,
    draw_scale,
    one_line,
    reach,
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
LONGEST_NAME = 60
"""Characters of a name beside an array."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Side:
    """The models along one side of an array, in the order drawn.

    `edges` are where models begin and end on the axis, in layers, or in models where all are equal;
    `families` names with the first model and the one after the last, a group whose models do not stand
    together several times.
    """

    labels: tuple[str, ...]
    n_layers: tuple[int, ...]
    edges: Float64[np.ndarray, " _"]
    families: tuple[tuple[str, int, int], ...]

    @property
    def length(self) -> float:
        """How long the axis is, in layers or in models."""
        return float(self.edges[-1])


@themed
def array_figure(
    matrices: AffinityMatrices,
    *,
    equal: bool = False,
    order: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    highest: float | None = None,
    diagonals: bool = False,
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
    rows = _side(chosen.left, chosen.left_layers, groups or {}, equal=equal)
    columns = _side(chosen.right, chosen.right_layers, groups or {}, equal=equal)
    values = chosen.values
    between = [
        values[row, column]
        for i, row in enumerate(_spans(rows))
        for j, column in enumerate(_spans(columns))
        if not (matrices.is_symmetric and i == j)
    ]
    top = highest_of(between or [values]) if highest is None else highest
    refuse_empty_scale(0.0, top)
    unit = _unit_inches(rows, columns, equal=equal)
    figure = Figure()
    FigureCanvasAgg(figure)  # names are measured before their room is known
    axes = figure.add_axes((0, 0, 1, 1), label="array")
    colors = ScalarMappable(norm=Normalize(0.0, top), cmap=COLOR_MAP)
    _draw_cells(axes, values, rows, columns, high=top, equal=equal)
    if diagonals:
        _draw_diagonals(axes, rows, columns, equal=equal)
    _draw_separators(axes, rows, columns)
    facts = [
        f"Layers of {_models(chosen)}, "
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
        label=f"{similarity_name(chosen.measure, chosen.k)}\n{scale_text(0.0, top)}",
        values=[values],
        chance=chosen.known_chance,
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


def _side(
    labels: tuple[str, ...],
    n_layers: tuple[int, ...],
    groups: Mapping[str, Sequence[str]],
    *,
    equal: bool,
) -> _Side:
    """Return the models of a side, with the families that stand together."""
    family_of = {label: family for family, members in groups.items() for label in members}
    families, first = [], 0
    for family, members in groupby(map(family_of.get, labels)):
        after = first + len(list(members))
        if family is not None:
            families.append((family, first, after))
        first = after
    return _Side(
        labels=labels,
        n_layers=n_layers,
        edges=np.cumsum([0, *([1] * len(labels) if equal else n_layers)], dtype=np.float64),
        families=tuple(families),
    )


def _spans(side: _Side) -> list[slice]:
    """Return where each model's layers stand among those drawn."""
    ends = np.cumsum([0, *side.n_layers]).tolist()
    return [slice(start, stop) for start, stop in pairwise(ends)]


def _draw_cells(
    axes: Axes,
    values: Float64[np.ndarray, "rows columns"],
    rows: _Side,
    columns: _Side,
    *,
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
            vmin=0.0,
            vmax=high,
            cmap=COLOR_MAP,
        )
    axes.set_aspect("auto")  # the axes have the shape of what is in them
    axes.set_xlim(0, columns.length)
    axes.set_ylim(0, rows.length)


def _draw_separators(axes: Axes, rows: _Side, columns: _Side) -> None:
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


def _draw_diagonals(axes: Axes, rows: _Side, columns: _Side, *, equal: bool) -> None:
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
    rows: _Side,
    columns: _Side,
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
    below = _name_side(axes, columns, unit, height, along="x", equal=equal)
    left = _name_side(axes, rows, unit, width, along="y", equal=equal)
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


def _models(matrices: AffinityMatrices) -> str:
    if matrices.is_symmetric:
        return counted(len(matrices.left), "model")
    left, right = (counted(len(labels), "model") for labels in (matrices.left, matrices.right))
    return f"{left} (left, rows) and {right} (right, columns)"


def _unit_inches(rows: _Side, columns: _Side, *, equal: bool) -> float:
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


def _name_side(
    axes: Axes, side: _Side, unit: float, across: float, *, along: str, equal: bool
) -> float:
    """Write layer numbers, names and families beside the array; return the inches that they take.

    `across` are the array's inches on the other side.
    """
    points = unit * 72
    write = partial(beside_axis, axes, along=along)
    numbers = _number_layers(axes, side, points, along=along, equal=equal)
    outward = 9.0 + reach(numbers, along=along)
    size = float(np.clip(0.75 * np.diff(side.edges).min() * points, 4.0, 8.0))
    names = [
        write(f"{_short(label)} ({n_layers})", center, outward, size=size)
        for label, n_layers, center in zip(
            side.labels, side.n_layers, (side.edges[:-1] + side.edges[1:]) / 2, strict=True
        )
    ]
    outward += reach(names, along=along) + 5
    place = -outward / 72 / across
    transform = axes.get_yaxis_transform() if along == "y" else axes.get_xaxis_transform()
    families = []
    for family, first, after in side.families:
        gap = 1.5 / points  # brackets of neighbors do not touch
        ends = (side.edges[first] + gap, side.edges[after] - gap)
        x, y = ((place, place), ends) if along == "y" else (ends, (place, place))
        bracket = Line2D(x, y, color=INK, linewidth=1.2, label="family", transform=transform)
        bracket.set_clip_on(False)
        axes.add_artist(bracket)
        families.append(write(_short(family), sum(ends) / 2, outward + 4, size=min(size + 1, 8.0)))
    outward += reach(families, along=along) + 8 * bool(families)
    return (outward + 4) / 72


def _short(name: str) -> str:
    """Return a name on one line, without the middle of a long one, which would dwarf the array."""
    line = one_line(name)
    if len(line) <= LONGEST_NAME:
        return line
    end = LONGEST_NAME // 3
    return f"{line[: LONGEST_NAME - end - 1]}…{line[-end:]}"


def _number_layers(axes: Axes, side: _Side, points: float, *, along: str, equal: bool) -> list[Text]:
    """Write layer numbers where there is room: round ones in true proportions, else first and last."""
    axis = axes.yaxis if along == "y" else axes.xaxis
    axis.set_tick_params(length=2, width=0.5, color=MUTED)
    starts = list(zip(side.n_layers, side.edges[:-1].tolist(), strict=True))
    if equal:
        axis.set_ticks(side.edges.tolist(), labels=[])
        size, margin = float(np.clip(points / 8, 4, 7)), 1 / points
        ends = [(1, start + margin, "first") for _, start in starts]
        ends += [(last, start + 1 - margin, "last") for last, start in starts if last > 1]
    else:
        size = float(np.clip(points * 6, 4.5, 7))
        step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if s * points >= 1.5 * size), 1000)
        ends = [
            (layer, start + layer - 0.5, "center")
            for n_layers, start in starts
            for layer in range(step, n_layers + 1, step)
        ]
        axis.set_ticks([place for _, place, _ in ends], labels=[])
    return [
        beside_axis(axes, str(layer), place, 4.0, along=along, size=size, end=end)
        for layer, place, end in ends
    ]
