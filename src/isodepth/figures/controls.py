"""What moves the profile? The paired difference under every control, with its interval.

A row a control, a column a part of the profile.

>>> controls_figure(confound_table(all_controlled(activations, inputs)))         # doctest: +SKIP

Memory: some hundred bytes a cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.confounds import KINDS, MOVES, NEGLIGIBLE, ConfoundRow, ConfoundTable
from isodepth.confounds.table import RESTRICTED
from isodepth.errors import (
    ParameterError,
    UnknownNameError,
    counted,
    listed,
    nearest_names,
)
from isodepth.figures import theme
from isodepth.figures.captions import LEFT_TO_RIGHT, MARGIN, caption, lines_of
from isodepth.figures.confounds import PARTS
from isodepth.figures.profile import refuse_unknown_parts
from isodepth.figures.theme import BLUE, INK, MUTED, RED, number, themed
from isodepth.neighbors.metrics import found_by
from isodepth.statistics import Estimate
from isodepth.statistics.profile_names import PROFILE_NAMES

MARKS = {
    "moves it": (RED, "^", RED),
    "moves it, perhaps little": (RED, "^", "white"),
    "hardly moves it": (BLUE, "o", BLUE),
    "cannot tell": (MUTED, "D", "white"),
}
"""Color, shape and filling by verdict, told apart without color as well."""
LABELS, ROW, HEAD = 1.9, 0.34, 1.35  # inches
NARROWEST, SHARED, WIDEST = 1.75, 7.0, 3.5  # inches of a column; few columns share some
LOW_ROW = 0.75  # of headings and of controls that were not possible, as a share of a row
LONGEST = 4.0
"""Reaches are drawn up to so many times what three quarters of them stay within."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A heading, where there is no control, or a row; how many rows from the top, and what it says."""

    place: float
    control: str | None
    said: str


@themed
def controls_figure(
    table: ConfoundTable,
    *,
    parts: Sequence[str] = PARTS,
    left: str | None = None,
    right: str | None = None,
    matrices: AffinityMatrix | AffinityMatrices | None = None,
) -> Figure:
    """Return the figure of how far each control moves the profile.

    Parameters
    ----------
    table : ConfoundTable
        What to draw.
    parts : sequence of str
        The columns, keys of `isodepth.statistics.PROFILE`.
    left, right : str, optional
        A pair of models, in the table's order; the mean over all pairs where they are left out.
    matrices : AffinityMatrix or AffinityMatrices, optional
        Those without a control, for the texts to be named.

    Returns
    -------
    matplotlib.figure.Figure
        A row a control, by kind; those that were not possible come last, with the reason. Each column
        has its own scale, which a few that reach much further than the rest may leave.

    Raises
    ------
    UnknownNameError
        If there is no such part or pair of models.
    ParameterError
        If no part is asked for, or the matrices are not those of the table.

    References
    ----------
    Not in the paper.
    """
    if not parts:
        raise ParameterError("controls figure: expected at least one part of the profile; got none")
    refuse_unknown_parts(parts)
    rows = [row for row in table.rows if (row.left, row.right) == (left, right)]
    if not rows and (left, right) != (None, None):
        raise _unknown_pair(table, left, right)
    if matrices is not None:
        wanted = ("mutual_knn", table.k, table.n_texts, table.metric, table.preprocessing)
        found = (
            *(matrices.measure, matrices.k, matrices.n_texts),
            *(matrices.metric, matrices.preprocessing),
        )
        if found != wanted:
            raise ParameterError(
                "controls figure: the table is of (measure, k, n_texts, metric, preprocessing) = "
                f"{wanted}; got matrices of {found}"
            )
    lines, n_rows = _lines(table, rows)
    width = min(WIDEST, max(NARROWEST, SHARED / len(parts)))
    figure = theme.new_figure(LABELS + width * len(parts), ROW * n_rows + HEAD)
    grid = list(figure.subplots(1, len(parts), sharey=True, squeeze=False)[0])
    for axes, part in zip(grid, parts, strict=True):
        of_part = {row.control: row for row in rows if row.part == part}
        scale = _scale(list(of_part.values()))
        for line in lines:
            if line.control is not None and not line.said:
                _cell(axes, of_part.get(line.control), line.place, scale)
        _dress(axes, part, _plain(table, rows, part), width)
        pad = 0.12 * (scale[1] - scale[0])
        axes.set_xlim(scale[0] - pad, scale[1] + pad)
    _label_rows(grid[0], [line for line in lines if line.control is not None], table, rows)
    for line in lines:
        _write_across(grid, line, figure.get_figwidth())
    grid[0].set_ylim(n_rows, 0)
    _explain_marks(grid[0])
    pair = "" if left is None else f" of {left}{LEFT_TO_RIGHT} × {right}{LEFT_TO_RIGHT}"
    texts = theme.texts_named(table.n_texts, None if matrices is None else matrices.texts)
    caption(figure, f"How far does each control move the profile{pair}?", _notes(table, rows, texts))
    return figure


def _lines(table: ConfoundTable, rows: Sequence[ConfoundRow]) -> tuple[list[_Line], float]:
    """Return what stands where, by kind, what was not possible last; and how many rows that takes."""
    kinds = {row.control: row.kind for row in rows}
    groups: dict[str, dict[str, str]] = {}
    for kind in dict.fromkeys([*KINDS, *kinds.values()]):
        title = f"{kind}: {KINDS[kind]}" if kind in KINDS else kind
        groups[title] = {control: "" for control, its_kind in kinds.items() if its_kind == kind}
    groups["not possible"] = dict(table.problems)
    lines, top = [], 0.0
    for title, controls in groups.items():
        heading = [(None, title)] if controls else []
        for control, said in [*heading, *controls.items()]:
            height = LOW_ROW if said else 1.0
            lines.append(_Line(top + height / 2, control, said))
            top += height
    return lines, top


def _scale(rows: Sequence[ConfoundRow]) -> tuple[float, float]:
    """Return from where to where differences are drawn: all, unless few reach far beyond most."""
    if not rows:
        return -1.0, 1.0
    small = [NEGLIGIBLE * abs(row.baseline.value) for row in rows]
    ends = np.array([(row.difference.low, row.difference.high) for row in rows], dtype=float)
    ends = np.column_stack([np.minimum(ends[:, 0], np.negative(small)), np.maximum(ends[:, 1], small)])
    longest = LONGEST * float(np.quantile(np.abs(ends).max(axis=1), 0.75)) or 1.0
    low, high = max(float(ends.min()), -longest), min(float(ends.max()), longest)
    return (low, high) if low < high else (-longest, longest)


def _cell(axes: Axes, row: ConfoundRow | None, place: float, scale: tuple[float, float]) -> None:
    """Draw what a control does to one part, or that the part is not there."""
    ends, height = (place - 0.5, place + 0.5), place + 0.2
    axes.plot((0, 0), ends, color=MUTED, linewidth=0.8, solid_capstyle="butt")
    said = "not defined"
    if row is not None:
        small = NEGLIGIBLE * abs(row.baseline.value)
        axes.fill_betweenx(ends, -small, small, color=BLUE, alpha=0.12, linewidth=0)
        color, marker, face = MARKS[row.verdict]
        low, high = scale
        past = 0.06 * (high - low)
        bar = np.clip([row.difference.low, row.difference.high], low - past, high + past)
        axes.plot(bar, (height, height), color=color, linewidth=1.4, solid_capstyle="butt")
        for end, edge, arrow in ((bar[0], low - past, "<"), (bar[1], high + past, ">")):
            if end == edge:
                axes.plot([end], [height], color=color, marker=arrow, markersize=3.5, linestyle="")
        dot = axes.plot([np.clip(row.difference.value, low, high)], [height], color=color, linestyle="")
        dot[0].set(marker=marker, markersize=4.5, markerfacecolor=face)
        said = f"{row.value.value:.3f} ({row.difference.value:+.3f})".replace("-", "−")
    _write(axes, said, (0.02, place - 0.22), axes.transAxes, size=6.5, color=INK)


def _write(
    axes: Axes, text: str, place: tuple[float, float], across: object, *, size: float, color: str
) -> None:
    """Write at a height in rows, from somewhere across the figure on, readable over lines."""
    axes.annotate(
        text,
        place,
        xycoords=(across, "data"),
        fontsize=size,
        color=color,
        va="center",
        annotation_clip=False,
        path_effects=[withStroke(linewidth=2.2, foreground="white")],
    ).set_in_layout(False)


def _dress(axes: Axes, part: str, plain: Estimate | None, width: float) -> None:
    """Write what a column shows, and the number without a control, above it."""
    above = [] if plain is None else lines_of(f"without a control {plain}", width - 0.25, size=7.0)
    said = axes.annotate("\n".join(above), (0, 1), (0, 3), "axes fraction", "offset points")
    said.set(fontsize=7, color=MUTED, va="bottom")
    name = lines_of(PROFILE_NAMES[part], width - 0.25, size=8.0, most=5)
    axes.set_title("\n".join(name), fontsize=8, loc="left", va="bottom", pad=5 + 8.5 * len(above))
    axes.set_xlabel("difference", fontsize=7)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.locator_params(axis="x", nbins=4)


def _label_rows(
    axes: Axes, lines: Sequence[_Line], table: ConfoundTable, rows: Sequence[ConfoundRow]
) -> None:
    """Write controls at the left of their rows, and how many texts were used if not all were."""
    n_texts = {row.control: row.n_texts for row in rows}
    labels = []
    for line in lines:
        used = n_texts.get(str(line.control), table.n_texts)
        below = [f"n = {used:,}"] if used < table.n_texts else []
        name = lines_of(str(line.control), LABELS - 0.2, size=8.0, most=2 - len(below))
        labels.append("\n".join([*name, *below]))
    axes.set_yticks([line.place for line in lines], labels=labels)
    for line, label in zip(lines, axes.get_yticklabels(), strict=True):
        label.set_color(MUTED if line.said else INK)


def _write_across(grid: Sequence[Axes], line: _Line, width: float) -> None:
    """Write a heading, or why a control was not possible, across all columns."""
    last = grid[-1]  # drawn over the others
    if line.control is None:
        (said,) = lines_of(line.said, width - 2 * MARGIN, size=8.0, most=1)
        _write(last, said, (MARGIN / width, line.place), "figure fraction", size=8.0, color=INK)
    else:
        said = "\n".join(lines_of(line.said, width - LABELS - 0.2, size=6.5, most=2))
        _write(last, said, (0.02, line.place), grid[0].transAxes, size=6.5, color=MUTED)


def _explain_marks(axes: Axes) -> None:
    """Write what marks stand for, above the names of the controls."""
    handles = [
        Line2D([], [], color=color, marker=marker, markerfacecolor=face, markersize=4.5, linewidth=1.4)
        for color, marker, face in MARKS.values()
    ]
    axes.legend(
        [*handles, Patch(color=BLUE, alpha=0.12, linewidth=0)],
        [*MARKS, f"{100 * NEGLIGIBLE:g} % of the baseline"],
        loc="lower right",
        bbox_to_anchor=(-0.02, 1),
        fontsize=7,
        borderaxespad=0,
        handlelength=1.6,
    )


def _notes(table: ConfoundTable, rows: Sequence[ConfoundRow], texts: str) -> list[str]:
    """Return what was compared, what is drawn, and by what."""
    pairs = {(row.left, row.right) for row in table.rows if row.left is not None}
    is_mean = bool(rows) and rows[0].left is None
    mean = f"; mean over {counted(len(pairs), 'pair')} of models" if is_mean else ""
    verdicts = (f"{verdict.capitalize()}: {meaning}." for verdict, meaning in MOVES.items())
    notes = [
        f"Mutual {table.k}-NN similarity by {found_by(table.metric, table.preprocessing)}, {texts}, "
        f"calibrated: 0 is chance "
        f"({number(table.k / (table.n_texts - 1))} without a control), 1 the same neighbors{mean}.",
        "Marks and bars: the difference to the baseline, all else equal, with its interval; arrows: "
        "beyond the scale. Numbers: the value under the control, in parentheses the difference. Each "
        "column has its own scale.",
        f"{' '.join(verdicts)} Not corrected for how many there are.",
    ]
    if any(row.kind in RESTRICTED for row in rows):
        notes.append(
            "Of exclusions and strata the baseline is not what stands above the columns, but as few "
            "candidates for as many texts, chosen at random."
        )
    fewer = [
        row.control
        for row in rows
        if is_mean
        and row.kind not in RESTRICTED
        and row.part in table.plain
        and row.baseline.value != table.plain[row.part].value
    ]
    if fewer:
        notes.append(
            f"Of {listed(list(dict.fromkeys(fewer)))} value and baseline are of fewer pairs of models."
        )
    sizes = sorted({row.n_texts for row in rows})
    n_texts = " to ".join(f"{n:,}" for n in dict.fromkeys([*sizes[:1], *sizes[-1:]]))
    kinds = dict.fromkeys((row.difference.level or 0.0, row.difference.method) for row in rows)
    bars = (f"{100 * level:g} % interval, {n_texts} texts resampled ({how})" for level, how in kinds)
    return [*notes, *(f"Bars: {bar}." for bar in bars)]


def _plain(table: ConfoundTable, rows: Sequence[ConfoundRow], part: str) -> Estimate | None:
    """Return a part without a control on all texts; of a pair, None where no row has it."""
    if not rows or rows[0].left is None:
        return table.plain.get(part)
    found = (row.baseline for row in rows if row.part == part and row.kind not in RESTRICTED)
    return next(found, None)


def _unknown_pair(table: ConfoundTable, left: str | None, right: str | None) -> UnknownNameError:
    """Return the error that a table has no such pair of models, with those that it may be."""
    pairs = dict.fromkeys((row.left, row.right) for row in table.rows if row.left is not None)
    models = list(dict.fromkeys(str(name) for pair in pairs for name in pair))
    unknown = [name for name in (left, right) if name is not None and name not in models]
    near = list(dict.fromkeys(one for name in unknown for one in nearest_names(name, models)))
    shown = listed([f"left = {one!r}, right = {other!r}" for one, other in pairs], most=30)
    return UnknownNameError(
        f"controls figure: the table has no pair of models left = {left!r}, right = {right!r}",
        hint=f"did you mean {' or '.join(near)}?" if near else f"it has {shown or 'none'}.",
    )
