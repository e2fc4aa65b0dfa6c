"""How similar could two models be at most? A model against itself read another way, and against others.

Read at another precision, quantized or in batches of another size, a model is the same model; what its
layers then lack in similarity to themselves is noise of reading. No other model can be expected above
this ceiling, and none need be above chance.

>>> noise_ceiling_figure([bfloat16, eight_bits], [against_another])             # doctest: +SKIP

Memory: 808 bytes a line besides the layers'.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import DigestMismatchError, ParameterError, listed
from isodepth.figures.captions import caption, legend_beside
from isodepth.figures.theme import (
    INK,
    MARKERS,
    MUTED,
    SERIES,
    new_figure,
    number,
    stated,
    themed,
)
from isodepth.statistics.sections import mid_depths

SIZE = (8.0, 4.2)
LEGEND_WIDTH = 2.3
MOST_COPIES = len(MARKERS)
"""Copies of a model that can be told apart."""
MOST_NAMED = 6
"""Others that are named; of more, the median and the range are drawn."""
DASHES = ("-", "--", ":", "-.")


@themed
def noise_ceiling_figure(
    copies: Sequence[AffinityMatrix], others: Sequence[AffinityMatrix] = ()
) -> Figure:
    """Return the figure of the similarity of a model's layers to themselves, and to other models'.

    Parameters
    ----------
    copies : sequence of AffinityMatrix
        One model, left, against itself read another way, right; at most seven.
    others : sequence of AffinityMatrix, optional
        The same model, on either side, against other models.

    Returns
    -------
    matplotlib.figure.Figure
        Similarity against depth, (layer - 1/2) / layers. Of copies that of each layer with itself; of
        others that of each layer with the most similar layer of the other model, which is chosen for
        being the highest.

    Raises
    ------
    ParameterError
        If there are no copies or more than can be told apart, one is not square, not all are of one
        model, or measure, k or numbers of texts differ; all offenders are named.
    DigestMismatchError
        If some are of other texts.

    References
    ----------
    Not in the paper.
    """
    if not 1 <= len(copies) <= MOST_COPIES:
        raise ParameterError(
            f"noise ceiling: expected 1 to {MOST_COPIES} copies of a model; got {len(copies)}"
        )
    _refuse_unequal(copies, others)
    model = copies[0].left
    n_layers = len(copies[0].values)
    depths = mid_depths(n_layers)
    figure = new_figure(*SIZE)
    axes = figure.add_subplot()
    chance = copies[0].chance
    if chance is not None:
        axes.axhline(chance, color=INK, linestyle=":", label=f"chance, {number(chance)}")
    for copy, color, marker in zip(copies, SERIES, MARKERS, strict=False):
        axes.plot(
            depths,
            np.diag(copy.values),
            color=color,
            marker=marker,
            markersize=4,
            markevery=max(1, n_layers // 20),
            linewidth=1.6,
            label=f"layer with itself, {copy.right}",
        )
    highest = {_other(one, model): _highest(one, model) for one in others}
    if len(highest) <= MOST_NAMED:
        for place, (name, best) in enumerate(highest.items()):
            axes.plot(
                depths,
                best,
                color=MUTED,
                linestyle=DASHES[place % len(DASHES)],
                linewidth=1.2 + 0.9 * (place // len(DASHES)),
                label=f"most similar layer of {name}",
            )
    else:
        lines = np.array(list(highest.values()))
        axes.fill_between(
            depths,
            lines.min(axis=0),
            lines.max(axis=0),
            color=MUTED,
            alpha=0.2,
            linewidth=0,
            label=f"most similar layer of {len(lines)} other models: range",
        )
        axes.plot(depths, np.median(lines, axis=0), color=MUTED, linewidth=1.8, label="their median")
    axes.set(
        xlim=(0, 1), xlabel=f"depth in {model}: (layer − ½) / {n_layers} layers", ylabel="similarity"
    )
    drawn = [np.diag(copy.values) for copy in copies] + list(highest.values())
    # 1 is what a layer has with itself, whatever is drawn
    axes.set_ylim(min(0.0, *(float(line.min()) for line in drawn)), max(1.02, axes.get_ylim()[1]))
    handles, labels = axes.get_legend_handles_labels()
    legend_beside(axes, handles, labels, LEGEND_WIDTH, spacing=0.7)
    caption(
        figure,
        f"{model} against itself and against others",
        [
            f"By {stated(copies[0])}.",
            "No intervals: each line is one matrix. What is left to 1 above the ceiling is noise of "
            "reading the same model another way.",
        ],
    )
    return figure


def _other(matrix: AffinityMatrix, model: str) -> str:
    return matrix.right if matrix.left == model else matrix.left


def _highest(matrix: AffinityMatrix, model: str) -> Float64[np.ndarray, " layers"]:
    """Return the similarity of the most similar layer to each of a model's."""
    best: np.ndarray = matrix.values.max(axis=1 if matrix.left == model else 0)
    return best


def _refuse_unequal(copies: Sequence[AffinityMatrix], others: Sequence[AffinityMatrix]) -> None:
    """Raise an error, naming all reasons, unless all matrices are of one model read the same way."""
    first = copies[0]
    model, n_layers = first.left, len(first.values)
    problems = []
    for copy in copies:
        name = f"{copy.left} x {copy.right}"
        if copy.values.shape != (n_layers, n_layers):
            problems.append(
                f"{name} has {copy.values.shape[0]} x {copy.values.shape[1]} layers; a copy of {model} "
                f"must have {n_layers} x {n_layers}"
            )
        if copy.left != model:
            problems.append(f"{name} is no copy of {model}, which must be left")
    for one in others:
        name = f"{one.left} x {one.right}"
        sides = [side for side in (0, 1) if (one.left, one.right)[side] == model]
        if len(sides) != 1:
            problems.append(f"{name} is not of {model} and another model")
        elif one.values.shape[sides[0]] != n_layers:
            problems.append(
                f"{name} has {one.values.shape[sides[0]]} layers of {model}; the copies have {n_layers}"
            )
    wanted = (first.measure, first.k, first.n_texts)
    for one in (*copies, *others):
        if (one.measure, one.k, one.n_texts) != wanted:
            problems.append(
                f"{one.left} x {one.right} has (measure, k, n_texts) = "
                f"{(one.measure, one.k, one.n_texts)}; expected {wanted}"
            )
    if problems:
        raise ParameterError(f"noise ceiling: {'; '.join(problems)}")
    digests = {one.texts_digest for one in (*copies, *others) if one.texts_digest is not None}
    if len(digests) > 1:
        raise DigestMismatchError(
            f"noise ceiling: the matrices are of different texts: digests {listed(sorted(digests))}"
        )
