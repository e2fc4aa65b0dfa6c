"""Are layers on the generalized diagonal more similar than those off it, in every pair of models?

One point a pair: above the identity line the diagonal wins. Color and shape tell the verdict, which the
contrast alone does not give: random strings, whose matrices have bright corners and no ridge, lie above
the line as well.

>>> contrast_figure([assessed["web-text"], assessed["random-strings"]])         # doctest: +SKIP

Memory: a few hundred bytes a pair.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.assessment import PairAssessment, TextSetAssessment
from isodepth.errors import ParameterError, counted, listed
from isodepth.figures.captions import LEFT_TO_RIGHT, caption, lines_of
from isodepth.figures.intervals import bar_of, bars_named
from isodepth.figures.theme import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    RED,
    new_figure,
    stated,
    themed,
)
from isodepth.statistics import VERDICTS

NO_DECISION = "no decision"
STYLES = {
    **dict(zip(VERDICTS, ((BLUE, "o"), (ORANGE, "^"), (RED, "X"), (GREEN, "D")), strict=True)),
    NO_DECISION: (MUTED, "s"),
}
"""Color and marker of each verdict."""
BASES = {"texts": "texts", "matrix alone": "matrices alone"}
PANEL = 4.2  # inches
TITLE_SIZE = 9.0  # points
LEGEND_WIDTH = 2.1
MOST_PANELS_A_ROW = 3


@themed
def contrast_figure(
    text_sets: TextSetAssessment | Sequence[TextSetAssessment], *, n_labeled: int = 3
) -> Figure:
    """Return the scatter of the mean on the generalized diagonal against the mean off it.

    Parameters
    ----------
    text_sets : TextSetAssessment, or a sequence of them
        One panel each, with the same axes.
    n_labeled : int
        How many pairs with the smallest, and how many with the largest difference are numbered in each
        panel and named below.

    Returns
    -------
    matplotlib.figure.Figure
        Equal axes from 0 and one point a pair, with the intervals of both means where texts were
        resampled. Pairs with a model of one layer have nothing off the diagonal; they are left out and
        counted.

    Raises
    ------
    ParameterError
        If there is no text set, or one has no pair with layers off the diagonal; all such are named.

    References
    ----------
    Wolfram & Schein 2025, figure 6b. Intervals, verdicts and chance are ours.
    """
    sets = [text_sets] if isinstance(text_sets, TextSetAssessment) else list(text_sets)
    drawn = [[pair for pair in one.pairs if "on_mean" in pair.profile] for one in sets]
    empty = [one.name for one, pairs in zip(sets, drawn, strict=True) if not pairs]
    if empty or not sets:
        raise ParameterError(
            f"no pair of models has layers on and off the generalized diagonal: {listed(empty)}"
            if empty
            else "expected at least one text set; got none"
        )
    columns = min(len(sets), MOST_PANELS_A_ROW)
    rows = -(-len(sets) // columns)
    titles = max(len(_title(one, pairs)) for one, pairs in zip(sets, drawn, strict=True))
    # twice the height of further lines: the layout of square panels takes some for slack
    height = PANEL + (titles - 1) * 2.8 * TITLE_SIZE / 72
    figure = new_figure(PANEL * columns + LEGEND_WIDTH, height * rows + 0.1)
    figure.set_layout_engine("compressed")  # square panels beside each other
    grid = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    reach = _reach([pair for pairs in drawn for pair in pairs])
    notes = []
    for place, (one, pairs) in enumerate(zip(sets, drawn, strict=True)):
        _panel(grid[place], one, pairs, reach)
        notes += _numbered(grid[place], one, pairs, n_labeled)
        if len(pairs) < len(one.pairs):
            n_left_out = len(one.pairs) - len(pairs)
            notes.append(
                f"{one.name}: {n_left_out:,} of {len(one.pairs):,} pairs left out, with a model of one "
                "layer."
            )
    for axes in grid[len(sets) :]:
        axes.set_axis_off()
    has_chance = any(one.matrices.chance is not None for one in sets)
    _legend(grid[columns - 1], drawn, has_chance=has_chance)
    each = [pair for pairs in drawn for pair in pairs]
    estimates = [pair.profile[part] for pair in each for part in ("on_mean", "off_mean")]
    bases = sorted({BASES[pair.decision.basis] for pair in each if pair.decision})
    caption(
        figure,
        "On the generalized diagonal and off it",
        [
            f"By {'; '.join(stated(one.matrices) for one in sets)}.",
            f"{bars_named(estimates)} " + (f"Verdicts from {' and '.join(bases)}." if bases else ""),
            *notes,
        ],
    )
    return figure


def _reach(pairs: Sequence[PairAssessment]) -> tuple[float, float]:
    """Return where both axes begin and end."""
    means = [pair.profile[part] for pair in pairs for part in ("on_mean", "off_mean")]
    found = [end for one in means for end in (one.value, *(bar_of(one) or ()))]
    top = max(found)
    low = min(0.0, *found)
    room = 0.08 * ((top - low) or 1.0)
    return low - room * (low < 0), top + room


def _panel(
    axes: Axes, one: TextSetAssessment, pairs: Sequence[PairAssessment], reach: tuple[float, float]
) -> None:
    faintness = float(np.clip(60 / len(pairs), 0.25, 0.9))
    axes.axline((0, 0), slope=1, color=INK, linestyle=(0, (5, 3)), linewidth=1)
    chance = one.matrices.chance
    if chance is not None:
        for line in (axes.axhline, axes.axvline):
            line(chance, color=MUTED, linestyle=":", linewidth=1)
    for verdict, (color, marker) in STYLES.items():
        chosen = [pair.profile for pair in pairs if _verdict(pair) == verdict]
        if not chosen:
            continue
        on, off = (
            np.array([profile[part].value for profile in chosen]) for part in ("on_mean", "off_mean")
        )
        bar: dict[str, Any] = {"color": color, "alpha": faintness, "linewidth": 0.8}
        for x, y, profile in zip(off, on, chosen, strict=True):
            across, up = bar_of(profile["off_mean"]), bar_of(profile["on_mean"])
            if across is not None and up is not None:
                axes.plot(across, (y, y), **bar)
                axes.plot((x, x), up, **bar)
        axes.scatter(
            off,
            on,
            marker=marker,
            s=26,
            color=color,
            alpha=max(faintness, 0.45),
            linewidths=0.4,
            edgecolors="white",
            label=verdict,
            zorder=3,
        )
    axes.set(xlim=reach, ylim=reach, aspect="equal", anchor="W")
    axes.set(
        xlabel="mean similarity off the generalized diagonal",
        ylabel="mean similarity on the generalized diagonal",
    )
    axes.set_title("\n".join(_title(one, pairs)), loc="left", fontsize=TITLE_SIZE)


def _title(one: TextSetAssessment, pairs: Sequence[PairAssessment]) -> list[str]:
    above = sum(_difference(pair) > 0 for pair in pairs)
    title = f"{one.name}: {above:,} of {counted(len(pairs), 'pair')} above the line"
    return lines_of(title, PANEL - 0.6, size=TITLE_SIZE)


def _numbered(
    axes: Axes, one: TextSetAssessment, pairs: Sequence[PairAssessment], n_labeled: int
) -> list[str]:
    """Return a line that names pairs of small and large differences, after numbering their points."""
    ranked = sorted(pairs, key=_difference)
    half = len(ranked) // 2
    # small differences are named towards the line, large ones away from it
    sides = (ranked[: min(n_labeled, half)], ranked[max(half, len(ranked) - n_labeled) :])
    keys: list[str] = []
    for chosen, across in zip(sides, (1, -1), strict=True):
        first = len(keys) + 1
        by_height = sorted(chosen, key=lambda pair: pair.profile["on_mean"].value)
        for number, pair in enumerate(chosen, start=first):
            up = by_height.index(pair) - (len(chosen) - 1) / 2
            axes.annotate(
                str(number),
                (pair.profile["off_mean"].value, pair.profile["on_mean"].value),
                xytext=(26 * across, 10 * up - 10 * (across > 0)),
                textcoords="offset points",
                ha="left" if across > 0 else "right",
                va="center",
                fontsize=7,
                color=INK,
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkB": 2},
            )
            names = f"{pair.matrix.left}{LEFT_TO_RIGHT} × {pair.matrix.right}{LEFT_TO_RIGHT}"
            keys.append(f"{number} {names} ({_difference(pair):+.3f})")
    if not keys:
        return []
    which = (
        "all pairs by difference" if len(keys) == len(pairs) else "the smallest and largest differences"
    )
    return [f"{one.name}, {which}: {'; '.join(keys)}."]


def _legend(axes: Axes, drawn: Sequence[Sequence[PairAssessment]], *, has_chance: bool) -> None:
    """Name lines and verdicts beside a panel, with how many pairs have each verdict."""
    verdicts = [_verdict(pair) for pairs in drawn for pair in pairs]
    handles = [Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1, label="equal means")]
    if has_chance:
        handles.append(Line2D([], [], color=MUTED, linestyle=":", linewidth=1, label="chance"))
    for verdict, (color, marker) in STYLES.items():
        if verdict in verdicts:
            label = "\n".join(
                lines_of(f"{verdict} ({verdicts.count(verdict):,})", LEGEND_WIDTH - 0.5, size=8.0)
            )
            handles.append(
                Line2D([], [], color=color, marker=marker, linestyle="", markersize=6, label=label)
            )
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0)


def _verdict(pair: PairAssessment) -> str:
    return NO_DECISION if pair.decision is None else pair.decision.verdict


def _difference(pair: PairAssessment) -> float:
    return pair.profile["on_minus_off"].value
