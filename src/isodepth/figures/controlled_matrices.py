"""What is left of a matrix under each control? Small multiples of one pair of models, on one scale.

The profile says how far a control moves it; the matrices show where. All are calibrated, so that what
has fewer candidates is not brighter for that, and white is chance in every panel.

>>> table = confound_table(all_controlled(activations, inputs))                 # doctest: +SKIP
>>> controlled_matrices_figure(table.matrices, "gemma-3-270m", "qwen-2.5-coder-0.5b")   # doctest: +SKIP

Memory: 8 bytes a cell and panel.
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from isodepth.confounds import ControlledMatrices
from isodepth.confounds.matrices import AT_RANDOM, BASELINE
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.figures.captions import LEFT_TO_RIGHT, caption, lines_of, shown_text, text_width
from isodepth.figures.theme import (
    DIVERGING_MAP,
    draw_matrix,
    draw_outline,
    draw_scale,
    matrix_size,
    new_figure,
    number,
    number_layers,
    texts_named,
    themed,
)
from isodepth.neighbors.metrics import found_by
from isodepth.statistics import generalized_diagonal

PANEL = 1.35
"""Inches of the longer side of a panel's matrix."""
WIDEST = 9.5
"""Inches that panels in a row take at most."""
BETWEEN, ABOVE = 0.18, 0.42  # inches around panels, and for what they are called
NAME_SIZE = 7.0
WITHOUT = "without a control"
AT_RANDOM_END = AT_RANDOM.format("")


@themed
def controlled_matrices_figure(
    matrices: Sequence[ControlledMatrices],
    left: str,
    right: str,
    *,
    texts: str | None = None,
    limit: float | None = None,
) -> Figure:
    """Return the figure of the calibrated matrix of a pair of models without and under every control.

    Parameters
    ----------
    matrices : sequence of ControlledMatrices
        What to draw, from left to right, then down: `ConfoundTable.matrices`.
    left, right : str
        The pair of models, in the matrices' order.
    texts : str, optional
        What was read.
    limit : float, optional
        The calibrated similarity of the strongest colors; the largest where it is left out.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a control, all on one color scale that is symmetric around chance, at 0; of controls
        that leave fewer texts the number of these. Axes of the panels first, then of the scale.

    Raises
    ------
    UnknownNameError
        If matrices have no such pair of models.
    ParameterError
        If there are none, they differ in k or layers, or `limit` is not above 0.

    References
    ----------
    The form of Cohen's kappa; the paper has no such figure.
    """
    _refuse_unfit(matrices, left, right)
    drawn = [one.calibrated(left, right).astype(np.float64) for one in matrices]
    reach = (max(float(np.abs(values).max()) for values in drawn) or 1.0) if limit is None else limit
    if not 0 < reach < math.inf:
        raise ParameterError(f"limit must be above 0; got {reach:g}")
    n_left, n_right = drawn[0].shape
    width, height = matrix_size(n_left, n_right, longer=PANEL, least=0.6)
    wide = min(len(drawn), max(1, int(WIDEST / (width + BETWEEN))))
    tall = -(-len(drawn) // wide)
    figure = new_figure(wide * (width + BETWEEN) + 1.3, tall * (height + ABOVE) + 0.3)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.05, wspace=0.01, hspace=0.02)
    grid = figure.subplots(tall, wide, squeeze=False)
    panels = list(grid.flat)[: len(drawn)]
    most_texts = max(one.n_texts for one in matrices)
    for place, (axes, one, values) in enumerate(zip(panels, matrices, drawn, strict=True)):
        image = draw_matrix(axes, values, low=-reach, high=reach, color_map=DIVERGING_MAP)
        draw_outline(axes, generalized_diagonal(n_left, n_right), width=0.7)
        number_layers(axes, n_left, n_right, most=3)
        is_first, is_lowest = place % wide == 0, place + wide >= len(drawn)
        axes.tick_params(labelsize=6, length=2, labelleft=is_first, labelbottom=is_lowest)
        used = [f"n = {one.n_texts:,}"] if one.n_texts < most_texts else []
        name = WITHOUT if one.name == BASELINE else one.name
        said = _name_lines(name, width + 0.5 * BETWEEN)
        axes.set_title("\n".join([*said, *used]), fontsize=NAME_SIZE, pad=3)
    for axes in list(grid.flat)[len(drawn) :]:
        axes.set_visible(False)
    draw_scale(
        figure,
        image,
        panels,
        label="(similarity - chance) / (1 - chance)\n"
        f"color scale {number(-reach)} to {number(reach)}, white at chance",
        values=drawn,
        shrink=min(1.0, 2.6 / figure.get_figheight()),
    )
    pair = f"{left}{LEFT_TO_RIGHT} × {right}{LEFT_TO_RIGHT}"
    caption(figure, f"{pair} without and under each control", _notes(matrices, left, right, texts))
    return figure


def _name_lines(name: str, width: float) -> list[str]:
    """Return a control's name in lines of a width, broken where its words end if that will do."""
    lines = [""]
    for part in re.split(r"(?<=[_ ])|(?=\()", shown_text(name)):
        if lines[-1] and text_width(lines[-1] + part.rstrip(), size=NAME_SIZE) > width:
            lines.append("")
        lines[-1] += part
    return [short for line in lines for short in lines_of(line, width, size=NAME_SIZE)]


def _notes(
    matrices: Sequence[ControlledMatrices], left: str, right: str, texts: str | None
) -> list[str]:
    """Return what is drawn, on which texts, and what panels at random are."""
    first = matrices[0]
    most_texts = max(one.n_texts for one in matrices)
    readings = {(one.metric, one.preprocessing) for one in matrices if one.name == BASELINE}
    by = "".join(f"; without a control by {found_by(*reading)}" for reading in readings)
    notes = [
        f"Mutual {first.k}-NN similarity{by}; {texts_named(most_texts, texts)}. 0: as similar as by "
        "chance; 1: the same neighbors. One color scale for all panels. Rows: layers of "
        f"{left}; columns: layers of {right}. Outlined: the generalized diagonal."
    ]
    if any(one.name.endswith(AT_RANDOM_END) for one in matrices):
        notes.append(
            "At random: what the control of that name is held against, as few candidates for as many "
            "texts, chosen without regard to what they are; mean over several such choices."
        )
    return notes


def _refuse_unfit(matrices: Sequence[ControlledMatrices], left: str, right: str) -> None:
    """Raise an error unless all matrices have the pair of models and can stand side by side."""
    if not matrices:
        raise ParameterError("controlled matrices: expected those of one control at least; got none")
    without = [one for one in matrices if (left, right) not in one.pairs]
    if without:
        pairs = list(without[0].pairs)
        models = list(dict.fromkeys(name for pair in pairs for name in pair))
        unknown = [name for name in (left, right) if name not in models]
        near = list(dict.fromkeys(one for name in unknown for one in nearest_names(name, models)))
        shown = listed([f"left = {one!r}, right = {other!r}" for one, other in pairs], most=30)
        raise UnknownNameError(
            f"controlled matrices: {listed([one.name for one in without])}: there is no pair of models "
            f"left = {left!r}, right = {right!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else f"it has {shown}.",
        )
    kinds = {(one.k, *one.pairs[left, right].shape) for one in matrices}
    if len(kinds) > 1:
        raise ParameterError(
            "controlled matrices: expected as many neighbors and layers under all controls; got (k, "
            f"layers, layers) = {listed(sorted(kinds))}"
        )
