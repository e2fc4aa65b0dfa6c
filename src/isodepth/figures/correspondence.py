"""Which layer of the other model does each layer correspond to, and how sure is that?

The depth map of two models in both directions: for each layer of one, its matched position in the other
along the most similar monotone path, with the bands of resampled texts. Behind it, dimmed, the matrix
itself, and as dots the most similar layer of each layer by itself, which nobody told to keep the order.

>>> depth_map_figure(assess_pair(matrix, left=left, right=right))               # doctest: +SKIP

Memory: two images of the matrix.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from isodepth.assessment import PairAssessment
from isodepth.axes import AffinityValues
from isodepth.figures.affinity import highest_of, lowest_of
from isodepth.figures.captions import caption, lines_of
from isodepth.figures.theme import (
    BLUE,
    INK,
    ORANGE,
    RED,
    layer_ticks,
    new_figure,
    number,
    one_line,
    stated,
    themed,
)
from isodepth.statistics.correspondence import Correspondence
from isodepth.statistics.stretch import CompressedSegment

SIZE = (9.4, 4.2)  # inches
LABEL_SIZE = 9.0  # points
DISAGREEMENT = 0.1
"""Above it a map is not to be trusted; see `isodepth.statistics.depth_map`."""
DIMMED = 2.0
"""Times the highest similarity, where the gray of the matrix would be black."""
STRIP = 0.03
"""Of the height: the marks of compressed layers, at the bottom."""
BANDS = ((BLUE, 0.16, "simultaneous_low", "simultaneous_high"), (BLUE, 0.32, "low", "high"))


@themed
def depth_map_figure(pair: PairAssessment) -> Figure:
    """Return the figure of which layers of two models correspond, in both directions.

    Parameters
    ----------
    pair : PairAssessment
        The matrix, its depth map and what was decided.

    Returns
    -------
    matplotlib.figure.Figure
        Left, for each layer of the left model its position in the right one; right the other way. Both
        axes are layers from 1, as long as each other, so that proportional depth is the line from
        corner to corner.

    References
    ----------
    Wolfram & Schein 2025, section 4 ("stretched and squeezed"), has no such figure.
    """
    matrix, found = pair.matrix, pair.depth_map
    labels = {
        name: lines_of(f"layer of {name}", 3.0, size=LABEL_SIZE, most=3)
        for name in (matrix.left, matrix.right)
    }
    below = max(map(len, labels.values())) - 1
    figure = new_figure(SIZE[0], SIZE[1] + below * 1.5 * LABEL_SIZE / 72)
    figure.set_layout_engine("compressed")  # square panels beside each other
    axes = figure.subplots(1, 2)
    compressed = {
        side: [segment for segment in found.segments if segment.compressed == side]
        for side in ("left", "right")
    }
    _direction(
        axes[0], matrix.values, found.left_to_right, pair.matches.left_to_right, compressed["left"]
    )
    _direction(
        axes[1], matrix.values.T, found.right_to_left, pair.matches.right_to_left, compressed["right"]
    )
    for panel, across, up in zip(
        axes, (matrix.left, matrix.right), (matrix.right, matrix.left), strict=True
    ):
        panel.set_xlabel("\n".join(labels[across]), fontsize=LABEL_SIZE)
        panel.set_ylabel("\n".join(labels[up]), fontsize=LABEL_SIZE)
    _legend(axes[1], pair)
    caption(
        figure,
        f"Which layers of {matrix.left} and {matrix.right} correspond?",
        [
            one_line(
                f"By {stated(matrix)}. Gray: similarity, darker is more similar; white is "
                f"{number(lowest_of([matrix.values]))}, and the darkest, "
                f"{number(float(matrix.values.max()))}, the highest."
            ),
            *_said(pair),
        ],
    )
    return figure


def _direction(
    axes: Axes,
    values: AffinityValues,
    found: Correspondence,
    matches: Int64[np.ndarray, " layers"],
    segments: Sequence[CompressedSegment],
) -> None:
    """Draw for each row of a matrix its position among the columns; rows run across, columns up."""
    n_own, n_other = values.shape
    layers = np.arange(1, n_own + 1)
    low, high = lowest_of([values]), highest_of([values])
    axes.imshow(
        values.T,
        origin="lower",
        extent=(0.5, n_own + 0.5, 0.5, n_other + 0.5),
        aspect="auto",
        cmap="Greys",
        vmin=low,
        vmax=low + DIMMED * (high - low),
    )
    for segment in segments:
        axes.axvspan(segment.first - 0.5, segment.last + 0.5, ymax=STRIP, color=ORANGE, linewidth=0)
    axes.plot([0.5, n_own + 0.5], [0.5, n_other + 0.5], color=INK, linestyle=(0, (5, 3)), linewidth=0.9)
    if found.bands is not None:
        for color, alpha, first, last in BANDS:
            axes.fill_between(
                layers,
                getattr(found.bands, first),
                getattr(found.bands, last),
                color=color,
                alpha=alpha,
                linewidth=0.6,
            )
    axes.vlines(layers, found.first, found.last, color=BLUE, linewidth=1.2)
    axes.plot(layers, found.layer, color=BLUE, linewidth=1.8)
    axes.plot(
        layers, matches + 1, linestyle="", marker="o", markersize=3, color=RED, markerfacecolor="none"
    )
    axes.set(xlim=(0.5, n_own + 0.5), ylim=(0.5, n_other + 0.5))
    axes.set_xticks([tick + 1 for tick in layer_ticks(n_own, most=8)])
    axes.set_yticks([tick + 1 for tick in layer_ticks(n_other, most=8)])
    axes.set_box_aspect(1)


def _legend(axes: Axes, pair: PairAssessment) -> None:
    found = pair.depth_map
    handles: list[Artist] = [
        Line2D([], [], color=BLUE, linewidth=1.8, label="matched position"),
        Line2D([], [], linestyle="", marker="|", markersize=9, color=BLUE, label="matched layers"),
        Line2D(
            [], [], linestyle="", marker="o", color=RED, markersize=4, markerfacecolor="none",
            label="most similar layer",
        ),
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=0.9, label="proportional depth"),
    ]  # fmt: skip
    bands = found.left_to_right.bands
    if bands is not None:
        level = f"{100 * bands.level:g} %"
        for (color, alpha, *_), name in zip(
            BANDS, (f"{level}, all layers\nat once", f"{level}, each layer\nby itself"), strict=True
        ):
            handles.append(Patch(facecolor=color, alpha=alpha, label=name))
    if found.segments:
        handles.append(Patch(facecolor=ORANGE, label="compressed layers"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.03, 1), borderaxespad=0)


def _said(pair: PairAssessment) -> list[str]:
    """Return sentences: the verdict, whether to trust the map, how far from proportional, segments."""
    found, matrix = pair.depth_map, pair.matrix
    # a low one does not prove a map, so that it is not called good
    limit = f"above {DISAGREEMENT:g} it is not to be trusted"
    if found.match_disagreement > DISAGREEMENT:
        limit = f"not to be trusted, as that is above {DISAGREEMENT:g}"
    said = []
    if pair.decision is not None:
        said.append(f"Verdict, from the {pair.decision.basis}: {pair.decision.verdict}.")
    said.append(
        f"The map is {found.match_disagreement:.3f} of the depth off the most similar layers "
        f"({limit}). "
        f"Similarity along it {found.path_similarity:.3f}, along proportional depth "
        f"{found.proportional_similarity:.3f}, of all layer pairs {found.mean_similarity:.3f}."
    )
    departure = found.departure
    said.append(
        f"Right minus left depth: {departure.signed} on the mean, {departure.absolute} in absolute "
        "value."
    )
    names = {"left": matrix.left, "right": matrix.right}
    segments = []
    for segment in found.segments:
        other = names["right" if segment.compressed == "left" else "left"]
        support = "" if segment.support is None else f", in {100 * segment.support:.0f} % of resamples"
        segments.append(
            f"{_layers(segment.first, segment.last)} of {names[segment.compressed]} on "
            f"{_layers(segment.other_first, segment.other_last)} of {other}{support}"
        )
    if segments:
        said.append(f"Compressed to less than half: {'; '.join(segments)}.")
    if found.n_resamples:
        said.append(
            f"Bands and intervals: the spread of {found.n_resamples:,} paths through resampled "
            f"matrices, {matrix.n_texts:,} texts resampled."
        )
    else:
        why = "the neighbors were not at hand, so no texts were resampled"
        if pair.decision is None:
            why = "texts are resampled for mutual k-NN alone"
        said.append(f"No bands: {why}.")
    return said


def _layers(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first} to {last}"
