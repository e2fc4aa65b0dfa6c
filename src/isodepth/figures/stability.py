"""How firm are neighbors, and similarities? Lines against depth, and curves against k and n.

What stands beside each other has one scale of depth, and one of similarity. What was not measured is
drawn in a color and a dash of its own, and is called extrapolated where it begins.

>>> stability_figure([layer_stability(neighbors, k=10)])                         # doctest: +SKIP
>>> curves_figure(similarity_curves(neighbors, k=10), texts="wikipedia")         # doctest: +SKIP

Memory: 808 bytes a line besides the layers'.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogFormatter, NullFormatter, NullLocator
from numpy import ndarray

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.figures.captions import caption, legend_beside
from isodepth.figures.theme import (
    INK,
    MARKERS,
    MUTED,
    RED,
    SERIES,
    new_figure,
    number,
    texts_named,
    themed,
)
from isodepth.neighbors.metrics import found_by
from isodepth.stability.layers import LayerStability
from isodepth.stability.points import PARTS, CurvePoint, SimilarityCurves
from isodepth.statistics.sections import mid_depths

PANELS = {
    "margin": "median margin of the k-th neighbor",
    "unresolved": "texts whose margin noise can turn over",
    "tied": "texts with a tie at the edge",
    "hub_skewness": "hubs: skewness of how often named",
    "dimension": "effective dimension",
    "anisotropy": "anisotropy: mean cosine of two texts",
}
"""What is drawn of each layer, and how panels say it."""
SHARES = ("unresolved", "tied")
SERIES_COLORS = tuple(color for color in SERIES if color != RED)
"""Of what is measured: `RED` stands for what is extrapolated."""
MOST_NAMED = len(SERIES_COLORS)
"""Models or pairs that can be told apart; of more, the median and the range are drawn."""
GRID = np.linspace(0, 1, 101)
PANEL = (3.1, 2.2)
LEGEND_WIDTH = 2.2
MOST_TICKS = 5


@themed
def stability_figure(
    layers: Sequence[LayerStability] | LayerStability, *, texts: str | None = None
) -> Figure:
    """Return the figure of margins, ties, hubs and geometry against depth, a line a model.

    Parameters
    ----------
    layers : LayerStability, or a sequence of them
        Models on the same texts with the same k.
    texts : str, optional
        What they read.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a quantity, against (layer - 1/2) / layers. Geometry is there where activations were. Of
        more than six models the median and the range.

    Raises
    ------
    ParameterError
        If there are no models, or they differ in texts, k, metric or preprocessing.

    References
    ----------
    Not in the paper.
    """
    models = [layers] if isinstance(layers, LayerStability) else list(layers)
    read = {(one.n_texts, one.k, one.metric, one.preprocessing) for one in models}
    if len(read) != 1:
        raise ParameterError(
            "stability figure: expected models on as many texts with the same k, metric and "
            "preprocessing; got (texts, k, metric, preprocessing) = "
            f"{listed(sorted(read)) or 'no models'}"
        )
    panels = [name for name in PANELS if any(name in one.known for one in models)]
    wide = 3 if len(panels) > 4 else 2
    tall = -(-len(panels) // wide)
    figure = new_figure(PANEL[0] * wide + LEGEND_WIDTH, PANEL[1] * tall)
    grid = figure.subplots(tall, wide, squeeze=False, sharex=True)
    for axes, name in zip(grid.flat, panels, strict=False):
        _quantity(axes, name, models)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("depth: (layer − ½) / layers")
    handles, labels = _named_lines([one.model for one in models])
    skewness = models[0].random_skewness
    handles.append(Line2D([], [], color=INK, linestyle=":"))
    labels.append(f"hubs, if neighbors were random: {number(skewness)}")
    legend_beside(grid[0][-1], handles, labels, LEGEND_WIDTH)
    n_texts, k, *_ = read.pop()
    by = found_by(models[0].metric, models[0].preprocessing)
    noises = sorted({one.noise for one in models})
    off = " to ".join(dict.fromkeys(f"{noise:.1g}" for noise in (noises[0], noises[-1])))
    noise = (
        "Noise can turn over a margin that is below what vectors that are off by "
        f"{off} of their length can change."
        if models[0].has_vector_noise
        else "Noise here is what rounding to float32 can change; how far off vectors are is not in it."
    )
    caption(
        figure,
        "How firm the neighbors are" + ("" if texts is None else f": {texts}"),
        [
            f"{texts_named(n_texts, texts)}, k = {k}, neighbors by {by}. Margin: the k-th similarity "
            f"minus the next one. {noise} Ties are as stored, in float32.",
            *_geometry_notes(models, n_texts),
        ],
    )
    return figure


@themed
def curves_figure(
    curves: SimilarityCurves, *, part: str = "on_mean", texts: str | None = None
) -> Figure:
    """Return the figure of similarity beyond chance against k and against the number of texts.

    Parameters
    ----------
    curves : SimilarityCurves
        What to draw.
    part : str
        A key of `PARTS`: what similarities are means over.
    texts : str, optional
        What was read.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels with one scale: more or fewer neighbors of all texts; fewer texts, and more, which
        is extrapolated; fewer texts with as many neighbors fewer, which is flat where the law of
        extrapolation holds. Of more than six pairs the median and the range.

    Raises
    ------
    UnknownNameError
        If there is no such part.

    References
    ----------
    Not in the paper.
    """
    if part not in PARTS:
        near = nearest_names(part, PARTS)
        raise UnknownNameError(
            f"curves have no part {part!r}; they have {listed(list(PARTS))}",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    column = list(PARTS).index(part)
    figure = new_figure(PANEL[0] * 3 + LEGEND_WIDTH, PANEL[1] * 1.35)
    grid = figure.subplots(1, 3, sharey=True)
    whole = curves.n_texts
    by_k, by_n, reduced = (curves.along(rule) for rule in ("k", "n", "k / n"))
    measured = [point for point in by_n if not point.extrapolated]
    beyond = [point for point in by_n if point.n_texts >= whole]
    _curves(grid[0], [point.k for point in by_k], by_k, column)
    _curves(grid[1], [point.n_texts for point in measured], measured, column)
    if len(beyond) > 1:
        _curves(grid[1], [point.n_texts for point in beyond], beyond, column, extrapolated=True)
        grid[1].axvline(whole, color=MUTED, linewidth=0.8)
        grid[1].annotate(
            " extrapolated",
            (whole, 0.985),
            xycoords=("data", "axes fraction"),
            color=RED,
            fontsize=7.5,
            va="top",
        )
    _curves(grid[2], [point.n_texts for point in reduced], reduced, column)
    for axes, places, title, label in zip(
        grid,
        ([one.k for one in by_k], *([one.n_texts for one in rule] for rule in (by_n, reduced))),
        (f"{whole:,} texts", f"k = {curves.k}", f"k / (n − 1) = {number(curves.k / (whole - 1))}"),
        ("k, neighbors per text", "n, texts", "n, texts"),
        strict=True,
    ):
        _log_axis(axes, places)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(label)
        axes.axhline(0, color=INK, linestyle=":", linewidth=1)
    grid[0].set_ylabel("similarity beyond chance")
    handles, labels = _named_lines([f"{left} × {right}" for left, right in curves.pairs])
    if len(beyond) > 1:
        handles.append(Line2D([], [], color=RED, linestyle="--"))
        labels.append("extrapolated: not measured")
    legend_beside(grid[2], handles, labels, LEGEND_WIDTH)
    caption(
        figure,
        "Similarity with more or fewer neighbors and texts" + ("" if texts is None else f": {texts}"),
        [
            f"Mutual k-NN by {found_by(curves.metric, curves.preprocessing)}, {PARTS[part]}, "
            "(similarity − chance) / (1 − chance): 0 at chance (dotted), 1 where all neighbors "
            "are shared.",
            *_curve_notes(curves, column),
        ],
    )
    return figure


def _quantity(axes: Axes, name: str, models: Sequence[LayerStability]) -> None:
    """Draw one quantity of all models against depth."""
    lines = [(mid_depths(one.n_layers), one.known.get(name)) for one in models]
    if name == "hub_skewness":
        axes.axhline(models[0].random_skewness, color=INK, linestyle=":", linewidth=1)
    if len(models) <= MOST_NAMED:
        for place, (depths, values) in enumerate(lines):
            if values is not None:
                axes.plot(
                    depths,
                    values,
                    color=SERIES_COLORS[place],
                    marker=MARKERS[place],
                    markersize=3,
                    markevery=max(1, len(depths) // 12),
                    linewidth=1.3,
                )
    else:
        known = [np.interp(GRID, depths, values) for depths, values in lines if values is not None]
        _range(axes, GRID, np.array(known), MUTED)
    if name == "margin":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())  # without the markup that others write
        axes.yaxis.set_minor_formatter(LogFormatter())
    elif name in SHARES:
        top = max(0.02, axes.get_ylim()[1])
        axes.set_ylim(-0.03 * top, top)
        axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    elif name == "dimension":
        axes.set_ylim(0, None)
    axes.set_xlim(0, 1)
    axes.set_title(PANELS[name], fontsize=8.5)


def _curves(
    axes: Axes,
    places: Sequence[int],
    points: Sequence[CurvePoint],
    column: int,
    *,
    extrapolated: bool = False,
) -> None:
    """Draw the curves of all pairs through some points, with bars of their spread."""
    values = np.array([point.calibrated[:, column] for point in points]).T
    spread = np.array([point.calibrated_spread[:, column] for point in points]).T
    style = "--" if extrapolated else "-"
    if len(values) > MOST_NAMED:
        _range(axes, places, values, RED if extrapolated else MUTED, style=style)
    else:
        for place, (line, bars) in enumerate(zip(values, spread, strict=True)):
            color = RED if extrapolated else SERIES_COLORS[place]
            axes.plot(places, line, color=color, linestyle=style, linewidth=1.3)
            first = 1 if extrapolated else 0  # the first one is all texts, which are measured
            axes.errorbar(
                places[first:],
                line[first:],
                yerr=np.nan_to_num(bars[first:]),
                color=color,
                marker=MARKERS[place],
                markersize=3.5,
                markerfacecolor="white" if extrapolated else color,
                linestyle="",
                elinewidth=1,
            )


def _log_axis(axes: Axes, places: Sequence[int]) -> None:
    """Put places on a logarithmic axis, with their own numbers at some of them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(_few(sorted(set(places)))))
    axes.xaxis.set_major_formatter(lambda place, _: f"{place:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _few(places: Sequence[int]) -> list[int]:
    """Return some of the places that ticks can stand at, the first and the last among them."""
    if len(places) <= MOST_TICKS:
        return list(places)
    logs = np.log(places)
    wanted = np.linspace(logs[0], logs[-1], MOST_TICKS)
    return sorted({places[int(np.abs(logs - want).argmin())] for want in wanted})


def _range(
    axes: Axes, places: Sequence[int] | ndarray, lines: ndarray, color: str, *, style: str = "-"
) -> None:
    """Draw the median of many lines, and where they lie."""
    if np.isnan(lines).all():
        return
    axes.fill_between(places, lines.min(axis=0), lines.max(axis=0), color=color, alpha=0.2, linewidth=0)
    axes.plot(places, np.median(lines, axis=0), color=color, linestyle=style, linewidth=1.6)


def _named_lines(names: Sequence[str]) -> tuple[list[Line2D], list[str]]:
    """Return what a legend shows of lines, and what they are called."""
    if len(names) > MOST_NAMED:
        return [Line2D([], [], color=MUTED, linewidth=1.6)], [f"median of {len(names)}; shaded: range"]
    handles = [
        Line2D([], [], color=color, marker=marker, markersize=4, linewidth=1.3)
        for color, marker, _ in zip(SERIES_COLORS, MARKERS, names, strict=False)
    ]
    return handles, list(names)


def _geometry_notes(models: Sequence[LayerStability], n_texts: int) -> list[str]:
    known = [one.model for one in models if one.dimension is not None]
    if not known:
        return ["Effective dimension and anisotropy need activations, which the store does not keep."]
    without = [one.model for one in models if one.dimension is None]
    lacking = f" No activations of {listed(without)}." if without else ""
    return [
        "Effective dimension and anisotropy are of the activations as they are, before any "
        f"preprocessing. Effective dimension is at most {n_texts - 1:,} with so many texts.{lacking}"
    ]


def _curve_notes(curves: SimilarityCurves, column: int) -> list[str]:
    """Return what bars are, who was left out, and how far the law is off where it can be checked."""
    n_subsets = max((point.n_subsets for point in curves.points), default=0)
    left_out = max((point.left_out for point in curves.points), default=0.0)
    notes = [
        f"Bars: one standard deviation, over {n_subsets} random subsets; of all texts and more, over "
        f"random halves. Texts left out for short lists: {100 * left_out:.2g} % at most."
    ]
    errors = curves.law_errors
    said = [
        f"{_signed(np.nanmin(error[:, column]))} to {_signed(np.nanmax(error[:, column]))} from "
        f"{number(curves.k / smaller)} times fewer texts"
        for smaller, error in sorted(errors.items(), reverse=True)
        if np.isfinite(error[:, column]).any()
    ]
    if said:
        notes.append(
            "Extrapolated by the law that similarity beyond chance depends on k / (n − 1) alone, by "
            "which the right panel would be flat. Where that can be checked it misses by "
            f"{'; '.join(said)}."
        )
    return notes


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
