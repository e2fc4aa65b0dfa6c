"""How far does each way of reading a model move the profile? A table of bars against a baseline.

A row a variant (another capture, pooling, k, control texts), a column a part of the profile. Line and
band are the baseline and its interval; numbers are the estimate and how far it is from the baseline.

>>> confound_figure({"last token": one, "mean": other}, baseline="last token")  # doctest: +SKIP

Memory: some hundred bytes a cell.
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.figures.captions import LEFT_TO_RIGHT, caption, lines_of
from isodepth.figures.intervals import bar_of, bars_named
from isodepth.figures.profile import mark_estimate, refuse_unknown_parts
from isodepth.figures.theme import BLUE, INK, MUTED, RED, new_figure, stated, themed
from isodepth.statistics import DiagonalityProfile
from isodepth.statistics.profile_names import PROFILE_NAMES

PARTS = ("mean", "on_minus_off", "centered_ridge", "association", "depth_deviation", "weakest_part")
"""The parts shown where none are chosen: one of each kind, and the contrast of the paper."""
COLUMN, ROW, LABELS = 1.75, 0.44, 1.8  # inches
OF_SIMILARITY = ("mean", "on_mean", "off_mean")


@themed
def confound_figure(
    profiles: Mapping[str, DiagonalityProfile],
    *,
    baseline: str,
    parts: Sequence[str] = PARTS,
    matrices: AffinityMatrix | AffinityMatrices | None = None,
) -> Figure:
    """Return the figure of how far variants of a reading move the profile of a baseline.

    Parameters
    ----------
    profiles : mapping of str to DiagonalityProfile
        By what the variants are called, in the order of the rows; the baseline is one of them, and
        comes first.
    baseline : str
        What the others are held against.
    parts : sequence of str
        The columns, keys of `isodepth.statistics.PROFILE`.
    matrices : AffinityMatrix or AffinityMatrices, optional
        What the baseline is of, for measure, k, texts and chance to be stated.

    Returns
    -------
    matplotlib.figure.Figure
        Each column has its own scale. Red marks are variants whose interval does not reach that of the
        baseline. Where both read the same texts this is a cautious mark: their errors go together, and
        the difference is better known than either.

    Raises
    ------
    UnknownNameError
        If the baseline is none of the profiles, or there is no such part.
    ParameterError
        If no part is asked for.

    References
    ----------
    Not in the paper.
    """
    if baseline not in profiles:
        near = nearest_names(baseline, profiles)
        raise UnknownNameError(
            f"the baseline {baseline!r} is none of the profiles",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"there are {listed(list(profiles), most=30)}.",
        )
    if not parts:
        raise ParameterError("confound figure: expected at least one part of the profile; got none")
    refuse_unknown_parts(parts)
    rows = {baseline: profiles[baseline], **profiles}
    figure = new_figure(LABELS + COLUMN * len(parts), ROW * len(rows) + 0.9)
    grid = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    chance = None if matrices is None else matrices.chance
    has_chance = chance is not None and any(part in OF_SIMILARITY for part in parts)
    for axes, part in zip(grid, parts, strict=True):
        _column(axes, part, list(rows.values()))
        if chance is not None and part in OF_SIMILARITY:
            axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1)
    # the first is bold, and so wider
    names = ["\n".join(lines_of(name, LABELS * 0.87, size=8.0, most=3)) for name in rows]
    grid[0].set_yticks(range(len(rows)), labels=names)
    grid[0].get_yticklabels()[0].set_fontweight("bold")
    grid[0].set_ylim(len(rows) - 0.4, -0.75)
    estimates = [profile[part] for profile in rows.values() for part in parts if part in profile]
    sizes = sorted({one.n for one in estimates})
    texts = " to ".join(f"{n:,}" for n in dict.fromkeys((sizes[0], sizes[-1]))) if sizes else "no"
    marked = (
        "Red triangles: intervals that do not meet that of the baseline."
        if any(bar_of(one) is not None for one in estimates)
        else "Without intervals no variant is marked, however far it lies."
    )
    dotted = " Dotted: chance of the baseline; for other k or n_texts it differs." if has_chance else ""
    caption(
        figure,
        f"How far does each variant lie from {baseline}?",
        [
            f"{baseline}: {_models(matrices)}by {stated(matrices)}."
            if matrices is not None
            else f"Profiles of {texts} texts each.",
            "Line and band: the baseline and its interval. Numbers: the estimate, and in parentheses "
            f"its difference from the baseline. {marked} Each column has its own scale.{dotted}",
            bars_named(estimates),
        ],
    )
    return figure


def _models(matrices: AffinityMatrix | AffinityMatrices) -> str:
    """Return which two models a matrix is of; nothing of several."""
    if isinstance(matrices, AffinityMatrices):
        return ""
    return f"{matrices.left}{LEFT_TO_RIGHT} × {matrices.right}{LEFT_TO_RIGHT}, "


def _column(axes: Axes, part: str, profiles: Sequence[DiagonalityProfile]) -> None:
    """Draw one part of all profiles, that of the baseline first."""
    base = profiles[0].estimates.get(part)
    within = None if base is None else bar_of(base)
    if base is not None:
        axes.axvline(base.value, color=BLUE, linewidth=1)
    if within is not None:
        axes.axvspan(*within, color=BLUE, alpha=0.13, linewidth=0)
    for row, profile in enumerate(profiles):
        if part not in profile:
            _write(axes, row, "not defined")
            continue
        one = profile[part]
        bar = bar_of(one)
        is_apart = within is not None and bar is not None and (bar[0] > within[1] or bar[1] < within[0])
        color, marker = (RED, "^") if is_apart else (BLUE if row == 0 else INK, "o")
        mark_estimate(axes, one, float(row), color=color, marker=marker)
        moved = "" if row == 0 or base is None else f" ({one.value - base.value:+.3f})"
        _write(axes, row, f"{one.value:.3f}{moved}")
    axes.set_title(
        "\n".join(lines_of(PROFILE_NAMES[part], COLUMN - 0.25, size=7.5, most=5)),
        fontsize=7.5,
        loc="left",
        va="bottom",
    )
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=7)
    axes.locator_params(axis="x", nbins=3)
    axes.margins(x=0.12)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)


def _write(axes: Axes, row: int, text: str) -> None:
    """Write above a row's bar, at the left of its column, readable over lines."""
    axes.annotate(
        text,
        (0.02, row - 0.16),
        xycoords=("axes fraction", "data"),
        fontsize=6.5,
        va="bottom",
        color=INK,
        path_effects=[withStroke(linewidth=2.2, foreground="white")],
    )
