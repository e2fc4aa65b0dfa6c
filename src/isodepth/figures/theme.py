"""How do figures look? One palette, one font, one way to draw matrices, axes and scales.

Similarities have the perceptually ordered map "inferno" of the paper, from 0; what can lie on both
sides of a middle (z, calibrated similarity) has a diverging one that color-blind readers can tell
apart. Lines and points have the colors of Okabe & Ito (2008). Names come from data: nothing in them is
markup, and letters that the font lacks are drawn with the first installed font that has them, or else
as empty boxes.
"""

import functools
import math
import textwrap
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.text import Text

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.affinity.measures import measure_title, unusual_reading
from isodepth.axes import AffinityMask, AffinityValues
from isodepth.errors import ParameterError

Drawn = TypeVar("Drawn")
Given = ParamSpec("Given")

COLOR_MAP = "inferno"
DIVERGING_MAP = "RdBu_r"
INK = "#1a1a1a"
MUTED = "#767676"
OUTLINE = "#ffffff"
BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY, YELLOW = "#cc79a7", "#56b4e9", "#f0e442"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED, YELLOW)
"""Of series without an order, in this order."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""The same, so that they differ without color."""
LEFT_PATH, RIGHT_PATH = "#4cc9f0", "#80ed99"
"""Over "inferno": the most similar right layer of each left one, and the other way."""
LABEL_LETTERS = 72
"""Of a line beside a color scale."""
EXTENDS = {
    (False, False): "neither",
    (True, False): "min",
    (False, True): "max",
    (True, True): "both",
}
"""Matplotlib's words for a scale's arrows: values below its low end, above its high end."""
FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Hiragino Sans",
    "MS Gothic",
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Emoji",
)
"""For letters that DejaVu Sans lacks: those of these that are installed."""


def themed(draw: Callable[Given, Drawn]) -> Callable[Given, Drawn]:
    """Return a function that draws with the theme, whatever the caller's own settings are."""

    @functools.wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Drawn:
        with mpl.rc_context(dict(settings())), missing_letters_allowed():
            return draw(*args, **kwargs)

    return drawn


@contextmanager
def missing_letters_allowed() -> Iterator[None]:
    """Draw letters that no installed font has as empty boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


@functools.cache
def settings() -> Mapping[str, Any]:
    """Return matplotlib's settings for all figures."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return {
        **{
            name: value
            for name, value in mpl.rcParamsDefault.items()
            if name.startswith(("axes.", "xtick.", "ytick.", "legend.", "lines.", "grid.", "image."))
        },
        "font.family": ["DejaVu Sans", *(font for font in FALLBACK_FONTS if font in installed)],
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "axes.edgecolor": MUTED,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "text.parse_math": False,  # a $ in a model's name is a $
        "image.interpolation": "nearest",
        "figure.facecolor": "white",
    }


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of some inches, not tied to pyplot, which lays itself out."""
    return Figure(figsize=(width, height), layout="constrained")


def draw_matrix(
    axes: Axes,
    values: AffinityValues,
    *,
    low: float = 0.0,
    high: float,
    color_map: str = COLOR_MAP,
) -> AxesImage:
    """Draw a matrix with layer 1 of both models at the bottom left, and return its image."""
    for spine in axes.spines.values():
        spine.set_visible(True)
    return axes.imshow(
        values, origin="lower", cmap=color_map, vmin=low, vmax=high, interpolation="nearest"
    )


def number_layers(axes: Axes, n_left: int, n_right: int, *, most: int = 10) -> None:
    """Label both axes of a matrix with layer numbers, from 1."""
    for n_layers, label in ((n_right, axes.set_xticks), (n_left, axes.set_yticks)):
        ticks = layer_ticks(n_layers, most=most)
        label(ticks, labels=[str(tick + 1) for tick in ticks])


def layer_ticks(n_layers: int, *, most: int = 10) -> list[int]:
    """Return positions (from 0) for at most some `most` labels: layer 1, round numbers, the last."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000, n_layers) if n_layers <= most * s)
    rounds = [layer - 1 for layer in range(step, n_layers + 1, step)]
    kept = [tick for tick in rounds if n_layers - 1 - tick >= step / 2 or tick == n_layers - 1]
    return sorted({0, *kept, n_layers - 1})


def draw_outline(axes: Axes, mask: AffinityMask, *, width: float = 1.2) -> LineCollection:
    """Draw the border between cells on a mask and cells off it."""
    padded = np.pad(mask, 1)
    segments = []
    for row, column in np.argwhere(mask):
        y, x = row - 0.5, column - 0.5
        for neighbor, segment in (
            (padded[row, column + 1], ((x, y), (x + 1, y))),
            (padded[row + 2, column + 1], ((x, y + 1), (x + 1, y + 1))),
            (padded[row + 1, column], ((x, y), (x, y + 1))),
            (padded[row + 1, column + 2], ((x + 1, y), (x + 1, y + 1))),
        ):
            if not neighbor:
                segments.append(segment)
    lines = LineCollection(segments, colors=OUTLINE, linewidths=width)
    lines.set_path_effects([edge_of_line(width)])
    axes.add_collection(lines, autolim=False)
    return lines


def edge_of_line(width: float) -> withStroke:
    """Return a dark edge of a light line, which is seen on the brightest and on the darkest cells."""
    return withStroke(linewidth=width + 0.9, foreground=INK, alpha=0.45)


def matrix_size(
    n_left: int, n_right: int, *, longer: float = 5.0, least: float = 2.0
) -> tuple[float, float]:
    """Return inches (width, height) of a matrix with square cells, the longer side as given.

    The shorter one has `least` inches for its label, a quarter more in width, for what is above it.
    """
    scale = longer / max(n_left, n_right)
    return max(n_right * scale, least * 1.25), max(n_left * scale, least)


def similarity_name(matrices: AffinityMatrix | AffinityMatrices) -> str:
    """Return what similarities are called: "mutual 10-NN similarity", "linear CKA, after center"."""
    measure, k = matrices.measure, matrices.k
    name = measure_title(measure) + f" (k = {k})" * bool(k)
    if measure == "mutual_knn":
        name = f"mutual {k}-NN similarity"
    return ", ".join([name, *unusual_reading(matrices.metric, matrices.preprocessing)])


def texts_named(n_texts: int, texts: str | None) -> str:
    """Return how many texts of which set: "2,048 texts of web-text"."""
    return f"{n_texts:,} texts" + ("" if texts is None else f" of {texts}")


def stated(matrices: AffinityMatrix | AffinityMatrices) -> str:
    """Return what similarities are, of how many texts, and their chance level, as figures say it."""
    name = similarity_name(matrices)
    texts = texts_named(matrices.n_texts, matrices.texts)
    chance = matrices.chance
    return f"{name}, {texts}" + ("" if chance is None else f", chance {number(chance)}")


def number(value: float) -> str:
    """Return a number with three digits that count, or all before the point: "0.0391", "4,123"."""
    return f"{value:,.0f}" if 1000 <= abs(value) < math.inf else f"{value:.3g}"


def scale_text(low: float, high: float) -> str:
    """Return the range of a color scale, said so that a zoomed one is not taken for 0 to 1."""
    zoomed = ", not to 1" if low >= 0 and float(f"{high:.3g}") < 1 else ""
    return f"color scale {number(low)} to {number(high)}{zoomed}"


def refuse_empty_scale(low: float, high: float) -> None:
    """Raise `ParameterError` unless a color scale ends above where it begins."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(
            f"a color scale must end above where it begins; got lowest = {low:g}, highest = {high:g}"
        )


def draw_scale(
    figure: Figure,
    colors: ScalarMappable,
    beside: Axes | Sequence[Axes] | None = None,
    *,
    label: str,
    values: Sequence[np.ndarray],
    chance: float | None = None,
    inside: Axes | None = None,
    shrink: float = 0.9,
    mark: str = OUTLINE,
) -> Colorbar:
    """Draw the scale of colors, with chance marked, and arrows where values lie beyond its ends.

    Parameters
    ----------
    figure : Figure
        Where to draw.
    colors : ScalarMappable
        The image whose scale it is.
    beside : Axes or sequence of Axes, optional
        What it stands to the right of.
    label : str
        What the colors say.
    values : sequence of arrays
        All that has these colors.
    chance : float, optional
        Marked if the scale has it.
    inside : Axes, optional
        Instead of `beside`: axes that the scale fills.
    shrink : float
        Its length, as a share of what it stands beside.
    mark : str
        The color of the line at chance.
    """
    low, high = colors.get_clim()
    below = min(float(part.min()) for part in values) < low
    above = max(float(part.max()) for part in values) > high
    place = {"cax": inside} if inside is not None else {"ax": beside, "shrink": shrink, "pad": 0.06}
    bar: Colorbar = figure.colorbar(
        colors, extend=EXTENDS[below, above], extendfrac=0.03, aspect=24, **place
    )
    bar.set_label("\n".join(textwrap.fill(line, LABEL_LETTERS) for line in label.split("\n")))
    bar.outline.set_visible(False)
    if chance is not None and low <= chance < high:
        bar.ax.axhline(chance, color=mark, linewidth=1.2)
        bar.ax.annotate(
            f"chance\n{number(chance)}",
            (0, chance),
            xytext=(-3, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=6,
            ha="right",
            va="center",
        )
    return bar


def one_line(name: str) -> str:
    """Return a name without control characters, which no font has and SVG does not allow."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in name)


def beside_axis(
    axes: Axes,
    text: str,
    place: float,
    outward: float,
    *,
    along: str,
    size: float,
    end: str = "center",
) -> Text:
    """Write text beside an axis, some points away: at a place, or with its first or last edge there."""
    if along == "y":
        aligned = {"center": "center_baseline", "first": "bottom", "last": "top"}[end]
        return axes.annotate(
            text, (0, place), (-outward, 0), ("axes fraction", "data"), "offset points",
            ha="right", va=aligned, fontsize=size, annotation_clip=False,
        )  # fmt: skip
    aligned = {"center": "center", "first": "left", "last": "right"}[end]
    return axes.annotate(
        text, (place, 0), (0, -outward), ("data", "axes fraction"), "offset points",
        ha=aligned, va="top", rotation=90, fontsize=size, annotation_clip=False,
    )  # fmt: skip


def reach(texts: Sequence[Text], *, along: str) -> float:
    """Return how far the longest of some texts reaches outward, in points."""
    pixels = [
        extent.width if along == "y" else extent.height
        for extent in (text.get_window_extent() for text in texts)
    ]
    figure = texts[0].figure if texts else None
    return 0.0 if figure is None else float(max(pixels)) * 72 / figure.dpi
