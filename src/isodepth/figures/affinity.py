"""One affinity matrix as a figure, as figures 4a and 6a of the paper show it.

Layer 1 of both models is at the bottom left. The generalized diagonal is outlined; two lines follow
the most similar layer in each direction. Colors run from 0 to the highest similarity, which the color
bar states, with chance marked.
"""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator

from isodepth.affinity import AffinityMatrix
from isodepth.axes import AffinityMask
from isodepth.statistics import generalized_diagonal, layer_matches

COLOR_MAP = "inferno"
OUTLINE = "#ffffff"
LEFT_PATH = "#4cc9f0"
RIGHT_PATH = "#80ed99"


@mpl.rc_context({"text.parse_math": False})  # a $ in a model's name is a $
def affinity_figure(matrix: AffinityMatrix, *, highest: float | None = None) -> Figure:
    """Return the figure of one affinity matrix.

    Parameters
    ----------
    matrix : AffinityMatrix
        What to draw.
    highest : float, optional
        The similarity of the brightest color; the matrix's maximum where it is left out. Give the
        same to figures that are to be compared.

    Returns
    -------
    matplotlib.figure.Figure
        Not tied to pyplot; save it with `save_figure` or its own ``savefig``.

    References
    ----------
    Wolfram & Schein 2025, figures 4a and 6a. There the color scale runs to 1.
    """
    values = matrix.values
    n_left, n_right = values.shape
    top = float(values.max()) if highest is None else highest
    figure = Figure(figsize=_size(n_left, n_right), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(
        values, origin="lower", cmap=COLOR_MAP, vmin=0.0, vmax=top or 1.0, interpolation="nearest"
    )
    _outline(axes, generalized_diagonal(n_left, n_right))
    matches = layer_matches(values)
    axes.plot(
        matches.left_to_right,
        np.arange(n_left),
        color=LEFT_PATH,
        linewidth=1.4,
        marker="o",
        markersize=2.6,
        label="for each row, the most similar column",
    )
    axes.plot(
        np.arange(n_right),
        matches.right_to_left,
        color=RIGHT_PATH,
        linewidth=1.4,
        marker="s",
        markersize=2.6,
        label="for each column, the most similar row",
    )
    axes.set_xlabel(f"layer of {matrix.right}")
    axes.set_ylabel(f"layer of {matrix.left}")
    axes.xaxis.set_major_locator(FixedLocator(_ticks(n_right)))
    axes.yaxis.set_major_locator(FixedLocator(_ticks(n_left)))
    axes.set_xticklabels([str(tick + 1) for tick in _ticks(n_right)])
    axes.set_yticklabels([str(tick + 1) for tick in _ticks(n_left)])
    bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.06)
    read = "" if matrix.texts is None else f" of {matrix.texts}"
    bar.set_label(f"mutual {matrix.k}-NN similarity ({matrix.n_texts:,} texts{read})")
    if matrix.chance < (top or 1.0):
        bar.ax.axhline(matrix.chance, color=OUTLINE, linewidth=1.2)
        bar.ax.annotate(
            "chance",
            (0, matrix.chance),
            xytext=(-2, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=6,
            ha="right",
            va="center",
        )
    outline = Patch(facecolor="none", edgecolor="#888888", label="generalized diagonal (white)")
    handles, _ = axes.get_legend_handles_labels()
    figure.legend(
        handles=[outline, *handles],
        loc="outside upper center",
        fontsize=7,
        frameon=False,
        handlelength=1.6,
    )
    return figure


def _size(n_left: int, n_right: int) -> tuple[float, float]:
    """Return inches so that cells are square and the longer side has about 5 inches."""
    scale = 5.0 / max(n_left, n_right)
    return max(n_right * scale, 2.5) + 1.9, max(n_left * scale, 2.0) + 1.2


def _ticks(n_layers: int) -> list[int]:
    """Return positions (from 0) for at most some ten labels: layer 1, round numbers, the last."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if n_layers <= 10 * s)
    rounds = [layer - 1 for layer in range(step, n_layers + 1, step)]
    kept = [tick for tick in rounds if n_layers - 1 - tick >= step / 2 or tick == n_layers - 1]
    return sorted({0, *kept, n_layers - 1})


def _outline(axes: Axes, mask: AffinityMask) -> None:
    """Draw the border between cells on the mask and cells off it."""
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
    axes.add_collection(LineCollection(segments, colors=OUTLINE, linewidths=1.2), autolim=False)
