"""How far beyond chance are similarities? Maps of z and of calibrated similarity, and chance itself.

z says how sure it is that a similarity is not chance, calibrated similarity how large it is on a scale
where chance is 0 and identical neighbors are 1. Both can lie below 0, so their colors are symmetric
around it: white is chance.

>>> z_figure(assess_pair(matrix, left=left_neighbors, right=right_neighbors))    # doctest: +SKIP
>>> null_density_figure(2048, 10, marks={"mean": 0.21})                       # doctest: +SKIP

Memory: 16 bytes a cell.
"""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter

from isodepth.affinity import AffinityMatrix
from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.assessment import PairAssessment
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError, listed
from isodepth.figures.affinity import name_models
from isodepth.figures.captions import caption, lines_of
from isodepth.figures.theme import (
    BLUE,
    DIVERGING_MAP,
    INK,
    MARKERS,
    ORANGE,
    SERIES,
    draw_matrix,
    draw_scale,
    matrix_size,
    new_figure,
    number,
    number_layers,
    stated,
    texts_named,
    themed,
)
from isodepth.statistics import ExactNull, null_model

LEGEND_WIDTH = 4.1  # inches: the curve is to its right


@themed
def z_figure(pair: PairAssessment, *, level: float = 0.05, limit: float | None = None) -> Figure:
    """Return the figure of how many standard deviations each layer pair lies above chance.

    Parameters
    ----------
    pair : PairAssessment
        With neighbors: z under relabelled texts, and layer pairs that are not beyond the familywise
        critical z are crossed. From a matrix alone: z by the paper's null model, nothing crossed.
    level : float
        Of the familywise test: how often any layer pair would be left uncrossed by chance.
    limit : float, optional
        The |z| of the strongest colors; the largest where it is left out.

    Raises
    ------
    ParameterError
        If chance is not known for the measure, nothing can be told of it (k = n_texts - 1), or `level`
        or `limit` is out of range.

    References
    ----------
    Appendix B of Wolfram & Schein 2025 for the null model; the paper has no such map.
    """
    matrix = pair.matrix
    _refuse_unknown_null(matrix)
    if pair.familywise is None:
        null = null_model(matrix.n_texts, matrix.k)
        z = (matrix.values - null.mean) / null.sd
        crossed = None
        said = (
            "From the matrix alone: z by the paper's null model, which is too narrow for real "
            "neighbors. No layer pair is marked."
        )
    else:
        test = pair.familywise
        z, critical = test.null.z(), test.critical_z(level)
        # an outline of the others would look the same around what is in it and what is not
        crossed = None if math.isinf(critical) else z <= critical
        by = f"{test.n_permutations:,} relabellings of the texts"
        said = (
            f"Too few relabellings ({test.n_permutations:,}) to call any layer pair at p ≤ {level:g}."
            if crossed is None
            else f"Crossed: {int(crossed.sum()):,} of {z.size:,} layer pairs, with z ≤ "
            f"{number(critical)}: not beyond chance. All others are (familywise p ≤ {level:g}, {by})."
        )
    return _diverging(
        matrix, z, limit=limit, name="z: standard deviations above chance", said=said, crossed=crossed
    )


@themed
def calibrated_figure(pair: PairAssessment, *, limit: float | None = None) -> Figure:
    """Return the figure of (similarity - chance) / (1 - chance): 0 at chance, 1 for the same neighbors.

    Parameters
    ----------
    pair : PairAssessment
        With neighbors or without.
    limit : float, optional
        The calibrated similarity of the strongest colors; the largest where it is left out.

    Raises
    ------
    ParameterError
        If chance is not known for the measure, nothing can be told of it (k = n_texts - 1), or `limit`
        is not above 0.

    References
    ----------
    The form of Cohen's kappa; see `isodepth.statistics.PermutationNull.calibrated`. The paper has no
    such map.
    """
    matrix = pair.matrix
    _refuse_unknown_null(matrix)
    chance = matrix.k / (matrix.n_texts - 1)
    return _diverging(
        matrix,
        (matrix.values - chance) / (1 - chance),
        limit=limit,
        name="(similarity - chance) / (1 - chance)",
        said="0: as similar as by chance; 1: the same neighbors.",
        crossed=None,
    )


@themed
def null_density_figure(
    n_texts: int,
    k: int,
    *,
    marks: Mapping[str, float] | None = None,
    exact: ExactNull | None = None,
    texts: str | None = None,
) -> Figure:
    """Return the figure of the density of similarity by chance over [0, 1], as its log10.

    Parameters
    ----------
    n_texts, k : int
        Texts, and neighbors per text.
    marks : mapping of str to float, optional
        Similarities to mark, by what they are; the probability of as much by chance is written beside.
    exact : ExactNull, optional
        The exact distribution for the same numbers, drawn too.
    texts : str, optional
        The text set's name.

    Raises
    ------
    ParameterError
        If the numbers cannot be used, leave nothing to chance (k = n_texts - 1), are not those of
        `exact`, or observed similarities lie outside [0, 1] (all are listed).

    References
    ----------
    Wolfram & Schein 2025, figure 10. Differs in the logarithm's base, which is 10; the exact
    distribution is ours.
    """
    null = null_model(n_texts, k)
    marked = dict(marks or {})
    _refuse_marks(n_texts, k, marked, exact)
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    grid = np.unique(np.concatenate([np.linspace(0, 1, 1001), [null.mean]]))
    axes.plot(
        grid,
        [null.log_pdf(float(x)) / math.log(10) for x in grid],
        color=BLUE,
        linewidth=1.6,
        label=f"normal approximation: mean {number(null.mean)}, sd {number(null.sd)}",
    )
    if exact is not None:
        # a probability at each count over n k: a density over steps of 1 / (n k)
        density = (exact.log_pmf + math.log(n_texts * k)) / math.log(10)
        finite = np.isfinite(density)
        axes.plot(
            (np.arange(n_texts * k + 1) / (n_texts * k))[finite],
            density[finite],
            color=ORANGE,
            linewidth=1.6,
            linestyle="--",
            label="exact, if neighbors are drawn at random",
        )
    for place, (name, similarity) in enumerate(marked.items()):
        axes.plot(
            [similarity],
            [null.log_pdf(similarity) / math.log(10)],
            color=SERIES[1 + place % (len(SERIES) - 1)],
            marker=MARKERS[place % len(MARKERS)],
            markersize=7,
            markeredgecolor=INK,
            linestyle="none",
            label="\n".join(
                lines_of(
                    f"{name}: {number(similarity)}, log10 P(at least as high) = "
                    f"{number(null.log10_sf(similarity))}",
                    LEGEND_WIDTH,
                    size=8.0,
                )
            ),
        )
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"mutual {k}-NN similarity of unrelated layers")
    axes.set_ylabel("log10 of the density")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(loc="lower left")  # below the curve, which falls to the right
    caption(
        figure,
        "How probable is similarity by chance?",
        [
            f"{texts_named(n_texts, texts)}, k = {k}, chance {number(null.mean)}. Probabilities are "
            "those of a single layer pair. Real neighbors have hubs, which make chance wider than this."
        ],
    )
    return figure


def _refuse_unknown_null(matrix: AffinityMatrix) -> None:
    if matrix.measure != CHANCE_KNOWN:
        raise ParameterError(
            f"how chance varies is not known for {matrix.measure}, so nothing can be shown against it: "
            "expected mutual_knn",
            hint="affinity_figure shows the similarities themselves.",
        )
    _refuse_certain(matrix.n_texts, matrix.k)


def _refuse_certain(n_texts: int, k: int) -> None:
    if k >= n_texts - 1:
        raise ParameterError(
            f"with k = {k} of {n_texts} texts every text is a neighbor of every other, so all layers "
            "are the same and nothing is left to chance; expected k < n_texts - 1"
        )


def _refuse_marks(n_texts: int, k: int, marks: Mapping[str, float], exact: ExactNull | None) -> None:
    _refuse_certain(n_texts, k)
    outside = [f"{name} = {value:g}" for name, value in marks.items() if not 0 <= value <= 1]
    if outside:
        raise ParameterError(f"similarities must lie in [0, 1]; got {listed(outside)}")
    if exact is not None and (exact.n_texts, exact.k) != (n_texts, k):
        raise ParameterError(
            f"the exact null is of (n_texts, k) = {(exact.n_texts, exact.k)}; expected {(n_texts, k)}"
        )


def _diverging(
    matrix: AffinityMatrix,
    values: AffinityValues,
    *,
    limit: float | None,
    name: str,
    said: str,
    crossed: np.ndarray | None,
) -> Figure:
    """Return a map whose colors are symmetric around 0, some of its cells crossed."""
    reach = (float(np.abs(values).max()) or 1.0) if limit is None else limit
    if not 0 < reach < math.inf:
        raise ParameterError(f"limit must be above 0; got {reach:g}")
    width, height = matrix_size(*values.shape)
    figure = new_figure(width + 1.9, height + 1.4)
    axes = figure.add_subplot()
    image = draw_matrix(axes, values, low=-reach, high=reach, color_map=DIVERGING_MAP)
    if crossed is not None and crossed.any():
        rows, columns = np.nonzero(crossed)
        cell = 72 * min(width / values.shape[1], height / values.shape[0])  # points
        axes.scatter(
            columns, rows, marker="x", s=(0.45 * cell) ** 2, color=INK, linewidths=min(1.0, cell / 8)
        )
    name_models(axes, matrix, size=(width, height))
    number_layers(axes, *values.shape)
    draw_scale(
        figure,
        image,
        axes,
        label=f"{name}\ncolor scale {number(-reach)} to {number(reach)}, white at chance",
        values=[values],
    )
    caption(figure, f"{matrix.left} × {matrix.right}", [f"{stated(matrix)}.", said])
    return figure
