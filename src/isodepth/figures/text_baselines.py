"""How alike are layers to what texts alone say? Neighbors in a layer, and neighbors by words or length.

A baseline reads no model. What layers have in common with it, they need not have learned.

>>> text_baselines_figure({"tf_idf": matrices}, others)                         # doctest: +SKIP

Memory: 808 bytes a line besides the layers'.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.affinity import AffinityMatrix
from isodepth.errors import DigestMismatchError, ParameterError, listed
from isodepth.figures import theme
from isodepth.figures.captions import caption, legend_beside, lines_of
from isodepth.figures.theme import BLUE, INK, MUTED, number, themed
from isodepth.statistics.sections import mid_depths

GRID = np.linspace(0, 1, 101)
PANEL, LEGEND_WIDTH, MOST_BESIDE = (2.9, 2.6), 2.3, 3
STYLES = tuple(zip(theme.SERIES, theme.MARKERS, strict=True))
"""Of models; of more than these, the median and the range are drawn."""


@themed
def text_baselines_figure(
    matrices: Mapping[str, Sequence[AffinityMatrix]], others: Sequence[AffinityMatrix] = ()
) -> Figure:
    """Return the figure of how alike models' layers are to what texts alone say of their neighbors.

    Parameters
    ----------
    matrices : mapping of str to sequence of AffinityMatrix
        By baseline, the same models, left, each against the neighbors by that baseline, right:
        (layers, 1).
    others : sequence of AffinityMatrix, optional
        These models, on either side, against others.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a baseline, a line a model: similarity against depth, (layer - 1/2) / layers. Thin and
        dashed, of each layer the similarity to the most similar layer of another model, chosen for
        being the highest, mean over the other models. Of more than seven models the median and range.

    Raises
    ------
    ParameterError
        If there is nothing to draw, a matrix has more than a baseline's one column, baselines differ in
        models, or measure, k or numbers of texts or layers differ; all offenders are named.
    DigestMismatchError
        If some are of other texts.

    References
    ----------
    Not in the paper.
    """
    models = _checked_models(matrices, others)
    best = {model: line for model in models if (line := _best(model, others)) is not None}
    first = next(iter(matrices.values()))[0]
    wide = min(MOST_BESIDE, len(matrices))
    tall = -(-len(matrices) // wide)
    figure = theme.new_figure(PANEL[0] * wide + LEGEND_WIDTH, PANEL[1] * tall)
    grid = figure.subplots(tall, wide, squeeze=False, sharey=True, sharex=True)
    for axes, (baseline, several) in zip(grid.flat, matrices.items(), strict=False):
        found = {one.left: one.values[:, 0] for one in several}
        drawn = _draw_models(axes, {model: found[model] for model in models}, best)
        if first.chance is not None:
            line = axes.axhline(first.chance, color=INK, linestyle=":", linewidth=1)
            drawn[f"chance, {number(first.chance)}"] = line
        axes.set_title("\n".join(lines_of(baseline, PANEL[0] - 0.5, size=9.0)), fontsize=9)
        axes.set(xlim=(0, 1), xlabel="depth: (layer − ½) / layers", ylabel="similarity")
        axes.label_outer()
    for axes in grid.flat[len(matrices) :]:
        axes.set_visible(False)
    grid[0, 0].set_ylim(min(0.0, grid[0, 0].get_ylim()[0]), None)
    legend_beside(grid[0, -1], [*drawn.values()], [*drawn], LEGEND_WIDTH - 0.6, spacing=0.7)
    dashed = " Dashed: chosen for being the highest of a model, mean over the other models."
    caption(
        figure,
        "How alike are layers to what texts alone say?",
        [
            f"By {theme.stated(first)}. Lines: neighbors in a layer against those that a baseline "
            f"finds, which reads no model, only the texts.{dashed * bool(best)}",
            "No intervals: each line is one matrix.",
        ],
    )
    return figure


def _draw_models(
    axes: Axes,
    lines: Mapping[str, Float64[np.ndarray, " _"]],
    best: Mapping[str, Float64[np.ndarray, " _"]],
) -> dict[str, Line2D]:
    """Draw models against a baseline, and dashed against each other; return lines by their names."""
    drawn: dict[str, Line2D] = {}
    reference = "with the most similar layer of another model"
    if len(lines) > len(STYLES):
        for several, color, style, label in (
            (lines, BLUE, "-", f"median of {len(lines)} models; shaded: range"),
            (best, MUTED, "--", reference),
        ):
            if several:
                all_values = [np.interp(GRID, mid_depths(len(one)), one) for one in several.values()]
                ends = np.min(all_values, axis=0), np.max(all_values, axis=0)
                axes.fill_between(GRID, *ends, color=color, alpha=0.2, linewidth=0)
                middle = np.median(all_values, axis=0)
                (drawn[label],) = axes.plot(GRID, middle, color=color, linestyle=style, linewidth=1.6)
        return drawn
    for (model, values), (color, marker) in zip(lines.items(), STYLES, strict=False):
        depths = mid_depths(len(values))
        (drawn[model],) = axes.plot(depths, values, color=color, linewidth=1.5, marker=marker)
        drawn[model].set(markersize=3.5, markevery=max(1, len(values) // 12))
        if model in best:
            axes.plot(depths, best[model], color=color, linewidth=0.9, linestyle="--")
    if best:
        drawn[reference] = Line2D([], [], color=MUTED, linewidth=0.9, linestyle="--")
    return drawn


def _best(model: str, others: Sequence[AffinityMatrix]) -> Float64[np.ndarray, " _"] | None:
    """Return each layer's similarity to another model's most similar layer, mean over the others."""
    found = [one.values.max(axis=1) for one in others if one.left == model]
    found += [one.values.max(axis=0) for one in others if one.right == model]
    return np.mean(found, axis=0) if found else None


def _checked_models(
    matrices: Mapping[str, Sequence[AffinityMatrix]], others: Sequence[AffinityMatrix]
) -> list[str]:
    """Return the models; raise an error, naming all reasons, unless all can be drawn together."""
    every = [(name, one) for name, several in matrices.items() for one in several]
    if not every:
        raise ParameterError("text baselines: expected a baseline and a model at least; got none")
    first = every[0][1]
    wanted = (first.measure, first.k, first.n_texts)
    n_layers = {one.left: len(one.values) for _, one in reversed(every)}
    models = list(dict.fromkeys(one.left for _, one in every))
    problems = [
        f"{name} has {listed(found, most=30) or 'no models'}; expected each once of "
        f"{listed(models, most=30)}"
        for name, several in matrices.items()
        if sorted(found := [one.left for one in several]) != sorted(models)
    ]
    problems += [
        f"{one.left} against {name} has {one.values.shape[1]} columns; expected 1"
        for name, one in every
        if one.values.shape[1] != 1
    ]
    problems += [
        f"{one.left} x {one.right} is not of a model that is drawn and another one"
        for one in others
        if one.left == one.right or not {one.left, one.right} & set(models)
    ]
    for name, one in [*every, *((one.right, one) for one in others)]:
        if (found_kind := (one.measure, one.k, one.n_texts)) != wanted:
            what = f"{one.left} against {name} has (measure, k, n_texts) = {found_kind}"
            problems.append(f"{what}; expected {wanted}")
        problems += [
            f"{model} has {n} layers against {name}; elsewhere {n_layers[model]}"
            for model, n in zip((one.left, one.right), one.values.shape, strict=True)
            if n != n_layers.get(model, n)
        ]
    if problems:
        raise ParameterError(f"text baselines: {'; '.join(problems)}")
    digests = {one.texts_digest for one in (*(one for _, one in every), *others) if one.texts_digest}
    if len(digests) > 1:
        raise DigestMismatchError(
            f"text baselines: the matrices are of different texts: digests {listed(sorted(digests))}"
        )
    return models
