"""In which respects is a matrix diagonal? The profile of one pair of models or of several, as bars.

A row a part of the profile, in sections with a scale each: similarities, differences of similarities,
correlations, shares of the similarity beyond chance, distance in depth. What stands on the right of the
line at zero speaks for a diagonal, but for the distance in depth, which a diagonal has low.

>>> profile_figure([pair], names=["web text"])                                  # doctest: +SKIP

Memory: some hundred bytes a part and pair.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.assessment import PairAssessment
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.figures.captions import caption, lines_of
from isodepth.figures.intervals import bar_of, bars_named
from isodepth.figures.theme import INK, MARKERS, MUTED, SERIES, new_figure, stated, themed
from isodepth.statistics import PROFILE, Estimate
from isodepth.statistics.profile_names import PROFILE_NAMES, PROFILE_SCALES

RANGES: dict[str, tuple[float, float | None]] = {
    "similarity": (0.0, None),
    "correlation, −1 to 1": (-1.05, 1.05),
}
"""Where a section's scale begins and ends, if not with the numbers."""
WIDTH = 9.6
LABELS = 3.0
NUMBERS_SIZE = 7
ROW, HEAD = 0.26, 0.55  # inches
LEGEND_WIDTH = 6.0


@themed
def profile_figure(
    pairs: Sequence[PairAssessment] | PairAssessment,
    *,
    parts: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Figure:
    """Return the figure of the diagonality profiles of one pair of models or of several.

    Parameters
    ----------
    pairs : PairAssessment, or a sequence of one to seven
        What is compared, on the same texts or on others.
    parts : sequence of str, optional
        Only these parts, keys of `isodepth.statistics.PROFILE`.
    names : sequence of str, optional
        What the pairs are called, one each; by models and texts where it is left out.

    Returns
    -------
    matplotlib.figure.Figure
        Numbers stand beside the bars where there is one pair. A part that a pair lacks, having too few
        layers for it, is left empty.

    Raises
    ------
    UnknownNameError
        If there is no such part; all such are named.
    ParameterError
        If there are no pairs, more than can be told apart, or not a name each.

    References
    ----------
    On minus off: Wolfram & Schein 2025, section 4.1. The rest is ours, and so is the figure.
    """
    chosen = [pairs] if isinstance(pairs, PairAssessment) else list(pairs)
    if not 1 <= len(chosen) <= len(MARKERS):
        raise ParameterError(
            f"profile figure: expected 1 to {len(MARKERS)} pairs of models, which can be told apart; "
            f"got {len(chosen)}"
        )
    if names is not None and len(names) != len(chosen):
        raise ParameterError(
            f"profile figure: expected a name for each of {len(chosen)} pairs; got {len(names)}"
        )
    refuse_unknown_parts(parts)
    wanted = [part for part in PROFILE if not parts or part in parts]
    sections = {
        title: [
            part for part in section if part in wanted and any(part in pair.profile for pair in chosen)
        ]
        for title, section in PROFILE_SCALES.items()
    }
    sections = {title: section for title, section in sections.items() if section}
    if not sections:
        raise ParameterError(f"profile figure: no pair has any of {listed(wanted, most=30)}")
    labels = list(names or map(_named, chosen))
    n_rows = [len(section) for section in sections.values()]
    step = ROW * max(1.0, 0.4 * len(chosen))
    figure = new_figure(
        WIDTH, step * sum(n_rows) + HEAD * len(sections) + 0.2 * len(chosen) * (len(chosen) > 1)
    )
    grid = figure.subplots(len(sections), 1, height_ratios=n_rows, squeeze=False)[:, 0]
    for axes, (title, section) in zip(grid, sections.items(), strict=True):
        _section(axes, title, section, chosen)
    handles = [
        Line2D([], [], color=color, marker=marker, linewidth=1.2, markersize=5)
        for color, marker, _ in zip(SERIES, MARKERS, chosen, strict=False)
    ]
    if len(chosen) > 1:
        grid[0].legend(
            handles,
            ["\n".join(lines_of(label, LEGEND_WIDTH, size=8.0)) for label in labels],
            loc="lower left",
            bbox_to_anchor=(0, 1.35),
            borderaxespad=0,
        )
    estimates = [pair.profile[part] for pair in chosen for part in pair.profile]
    read = dict.fromkeys(stated(pair.matrix) for pair in chosen)
    has_chance = "similarity" in sections and any(pair.matrix.chance for pair in chosen)
    caption(
        figure,
        "In which respects is it diagonal?" + (f" {labels[0]}" if len(chosen) == 1 else ""),
        [f"By {'; '.join(read)}.{' Dotted: chance.' * has_chance}", bars_named(estimates)],
    )
    return figure


def refuse_unknown_parts(parts: Sequence[str]) -> None:
    """Raise `UnknownNameError` if a profile has no such parts; all are named."""
    unknown = [part for part in parts if part not in PROFILE]
    if unknown:
        near = [name for part in unknown for name in nearest_names(part, PROFILE)]
        raise UnknownNameError(
            f"a diagonality profile has no part {listed([repr(part) for part in unknown])}",
            hint=f"did you mean {' or '.join(dict.fromkeys(near))}?"
            if near
            else f"it has {listed(list(PROFILE), most=30)}.",
        )


def _named(pair: PairAssessment) -> str:
    matrix = pair.matrix
    return f"{matrix.left} × {matrix.right}" + ("" if matrix.texts is None else f", {matrix.texts}")


def _section(axes: Axes, title: str, section: Sequence[str], pairs: Sequence[PairAssessment]) -> None:
    """Draw the parts of one section, the first at the top."""
    if title == "similarity":
        chances = {pair.matrix.chance for pair in pairs}
        for chance in chances:
            if chance is not None:
                axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    spread = np.linspace(-0.3, 0.3, len(pairs)) if len(pairs) > 1 else [0.0]
    for place, (pair, shift) in enumerate(zip(pairs, spread, strict=True)):
        for row, part in enumerate(section):
            if part in pair.profile:
                mark_estimate(
                    axes, pair.profile[part], row + shift, color=SERIES[place], marker=MARKERS[place]
                )
                if len(pairs) == 1:
                    axes.annotate(
                        str(pair.profile[part]),
                        (1.01, row),
                        xycoords=("axes fraction", "data"),
                        fontsize=NUMBERS_SIZE,
                        va="center",
                    )
    axes.set_ylim(len(section) - 0.4, -0.6)
    axes.set_yticks(
        range(len(section)),
        labels=["\n".join(lines_of(PROFILE_NAMES[part], LABELS, size=8.0)) for part in section],
        fontsize=8,
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    if title in RANGES:
        axes.set_xlim(*RANGES[title])
    axes.set_title(title, loc="left", fontsize=8.5, color=INK)


def mark_estimate(axes: Axes, estimate: Estimate, y: float, *, color: str, marker: str) -> None:
    """Draw an estimate with its interval, if it has one, across axes at a height."""
    bar = bar_of(estimate)
    if bar is not None:
        axes.plot(bar, (y, y), color=color, linewidth=1.4, solid_capstyle="butt")
    axes.plot([estimate.value], [y], color=color, marker=marker, markersize=4.5, linestyle="")
