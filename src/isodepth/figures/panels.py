"""How does similarity differ between cases? Several matrices side by side, on one color scale.

One pair of models at several k or on several text sets, or several pairs on one: what differs between
the panels is said above each, what is the same once below. All have one color scale, or each its own,
and either is said; so is a scale that does not reach 1.

>>> panels_figure([matrices["gemma-2b", name] for name in names])                # doctest: +SKIP
>>> k_sweep_figure([results.matrices("web-text", k=k)[pair] for k in (1, 10)])   # doctest: +SKIP

Memory: 8 bytes a cell.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.errors import ParameterError, counted, listed
from isodepth.figures.affinity import draw_affinity, explain_marks, highest_of, lowest_of
from isodepth.figures.captions import caption, lines_of
from isodepth.figures.theme import (
    draw_scale,
    matrix_size,
    new_figure,
    number,
    scale_text,
    similarity_name,
    texts_named,
    themed,
)

PANEL = 3.1
"""Inches of the longer side of a panel's matrix."""


@themed
def panels_figure(
    matrices: Sequence[AffinityMatrix],
    *,
    titles: Sequence[str] | None = None,
    highest: float | Literal["each"] | None = None,
    lowest: float | None = None,
    columns: int | None = None,
    outline: bool = True,
    paths: bool = False,
) -> Figure:
    """Return the figure of several affinity matrices on one color scale.

    Parameters
    ----------
    matrices : sequence of AffinityMatrix
        What to draw, from left to right, then down.
    titles : sequence of str, optional
        One a matrix. Where they are left out, what differs: the models, the texts, k.
    highest : float or "each", optional
        The similarity of the brightest color: one for all panels, their maximum where it is left out;
        or ``"each"`` for the maximum of each panel, which then are not to be compared by color.
    lowest : float, optional
        The similarity of the darkest color, of all panels; 0, or their minimum where that is below 0,
        where it is left out.
    columns : int, optional
        Panels in a row; at most 4 where it is left out.
    outline, paths : bool
        As for `affinity_figure`.

    Returns
    -------
    matplotlib.figure.Figure
        Axes of the panels first, then of the color scales.

    Raises
    ------
    ParameterError
        If there is no matrix, titles are not one a matrix, or a color scale is empty.

    References
    ----------
    Wolfram & Schein 2025, figures 7, 8, 9 and 11. There all scales but figure 7's run to 1
    (``highest=1.0``).
    """
    named = _titles(matrices, titles)
    wide = min(columns or _columns(len(matrices)), len(matrices))
    tall = -(-len(matrices) // wide)
    sizes = [matrix_size(*matrix.values.shape, longer=PANEL, least=1.4) for matrix in matrices]
    widths = [max(width for width, _ in sizes[column::wide]) for column in range(wide)]
    heights = [max(height for _, height in sizes[row * wide : (row + 1) * wide]) for row in range(tall)]
    figure = new_figure(sum(widths) + 0.8 * wide + 1.2, sum(heights) + 0.9 * tall + 0.9)
    grid = figure.add_gridspec(tall, wide, width_ratios=widths, height_ratios=heights)
    panels: list[Axes] = []
    tops = _tops(matrices, highest)
    low = lowest_of([matrix.values for matrix in matrices]) if lowest is None else lowest
    chances = {matrix.chance for matrix in matrices}
    images = []
    for place, (matrix, title, top) in enumerate(zip(matrices, named, tops, strict=True)):
        axes = figure.add_subplot(grid[place // wide, place % wide])
        images.append(
            draw_affinity(
                axes,
                matrix,
                low=low,
                high=top,
                outline=outline,
                paths=paths,
                size=(widths[place % wide], heights[place // wide]),
                most_ticks=6,
            )
        )
        said = title.split("\n")
        chance = matrix.chance
        if chance is not None and len(chances) > 1:
            said.append(f"chance {number(chance)}")
        if highest == "each":
            said.append(scale_text(low, top))
        room = widths[place % wide] + 0.5
        lines = [line for part in said for line in lines_of(part, room, size=8.0)]
        axes.set_title("\n".join(lines), fontsize=8)
        panels.append(axes)
    if highest == "each":
        for axes, image, matrix in zip(panels, images, matrices, strict=True):
            draw_scale(figure, image, axes, label="", values=[matrix.values], chance=matrix.chance)
    else:
        draw_scale(
            figure,
            images[0],
            panels,
            label=f"{_measure_name(matrices)}\n{scale_text(low, tops[0])}",
            values=[matrix.values for matrix in matrices],
            chance=chances.pop() if len(chances) == 1 else None,
            shrink=0.9 if tall == 1 else 0.5,
        )
    explain_marks(figure, panels[0], outline=outline)
    caption(figure, "", [_same(matrices, own_scales=highest == "each")])
    return figure


def k_sweep_figure(
    matrices: Sequence[AffinityMatrix], *, highest: float | Literal["each"] | None = None
) -> Figure:
    """Return the figure of one pair of models at several k, the smallest first.

    Chance is k / (n_texts - 1), so that it differs between the panels; each states its own.

    Parameters
    ----------
    matrices : sequence of AffinityMatrix
        Of the same models and texts, each with another k.
    highest : float or "each", optional
        As for `panels_figure`.

    Raises
    ------
    ParameterError
        If there is no matrix, or they differ in more than k, or two have the same k.

    References
    ----------
    Wolfram & Schein 2025, figure 11 (k = 1, 10, 50, 100). There the scale runs to 1.
    """
    _refuse_others(matrices, ("left", "right", "measure", "n_texts", "texts"), "several k")
    ks = [matrix.k for matrix in matrices]
    if len(set(ks)) < len(ks):
        raise ParameterError(f"several k: each matrix must have another k; got {listed(ks)}")
    ordered = sorted(matrices, key=lambda matrix: matrix.k)
    return panels_figure(ordered, titles=[f"k = {matrix.k}" for matrix in ordered], highest=highest)


def text_sets_figure(
    matrices: Sequence[AffinityMatrix],
    *,
    titles: Sequence[str] | None = None,
    highest: float | Literal["each"] | None = None,
) -> Figure:
    """Return the figure of one pair of models on several text sets: base against tuned, for example.

    Parameters
    ----------
    matrices : sequence of AffinityMatrix
        Of the same models by the same measure with the same k.
    titles, highest
        As for `panels_figure`.

    Raises
    ------
    ParameterError
        If there is no matrix, or they differ in models, measure or k.

    References
    ----------
    Wolfram & Schein 2025, figure 8 (base x instruction-tuned, web text and IFEval). There the scale
    runs to 1.
    """
    _refuse_others(matrices, ("left", "right", "measure", "k"), "several text sets")
    return panels_figure(matrices, titles=titles, highest=highest, paths=True)


def parallel_figure(
    matrix: AffinityMatrix,
    *,
    left_texts: str | None = None,
    right_texts: str | None = None,
    highest: float | None = None,
) -> Figure:
    """Return the figure of two models that read parallel texts, such as translations, scale zoomed.

    Parameters
    ----------
    matrix : AffinityMatrix
        Of a model that read some texts with one that read others, row by row the same ones.
    left_texts, right_texts : str, optional
        What either read, for example "English" and "German"; said on its axis.
    highest : float, optional
        The similarity of the brightest color; the matrix's maximum where it is left out, which is said.

    Raises
    ------
    ParameterError
        If `highest` is not above where the scale begins.

    References
    ----------
    Wolfram & Schein 2025, figure 7, which too zooms its scale. Differs in nothing.
    """
    named = with_readings(matrix, left_texts, right_texts)
    return panels_figure([named], highest=highest, paths=True)


def with_readings(
    matrix: AffinityMatrix, left_texts: str | None, right_texts: str | None
) -> AffinityMatrix:
    """Return a matrix whose models' names say what either read: one model can stand on both sides."""
    left, right = (
        name if texts is None else f"{name} reading {texts}"
        for name, texts in ((matrix.left, left_texts), (matrix.right, right_texts))
    )
    return replace(matrix, left=left, right=right)


def _columns(n_panels: int) -> int:
    """Return panels in a row so that rows are few and about equally full."""
    rows = -(-n_panels // 4)
    return max(1, -(-n_panels // rows)) if rows else 1


def _measure_name(matrices: Sequence[AffinityMatrix]) -> str:
    """Return what the similarities of all panels are called, k as a letter where it differs."""
    names = {similarity_name(matrix) for matrix in matrices}
    if len(names) == 1:
        return names.pop()
    measures = {matrix.measure for matrix in matrices}
    return "mutual k-NN similarity" if measures == {CHANCE_KNOWN} else "similarity"


def _tops(matrices: Sequence[AffinityMatrix], highest: float | Literal["each"] | None) -> list[float]:
    """Return the similarity of the brightest color of each panel."""
    if highest == "each":
        return [highest_of([matrix.values]) for matrix in matrices]
    top = highest_of([matrix.values for matrix in matrices]) if highest is None else highest
    return [top] * len(matrices)


def _titles(matrices: Sequence[AffinityMatrix], titles: Sequence[str] | None) -> list[str]:
    """Return the titles, or what differs between the matrices; refuse what does not fit."""
    if not matrices:
        raise ParameterError("panels: at least one matrix is needed; got none")
    if titles is not None:
        if len(titles) != len(matrices):
            raise ParameterError(
                f"panels: expected one title a panel; got {counted(len(titles), 'title')} for "
                f"{counted(len(matrices), 'panel')}"
            )
        return list(titles)
    ways = {
        "models": [f"{matrix.left} × {matrix.right}" for matrix in matrices],
        "texts": [texts_named(matrix.n_texts, matrix.texts) for matrix in matrices],
        "k": [similarity_name(matrix) for matrix in matrices],
    }
    differing = [way for way in ways.values() if len(set(way)) > 1] or [ways["models"]]
    return ["\n".join(parts) for parts in zip(*differing, strict=True)]


def _same(matrices: Sequence[AffinityMatrix], *, own_scales: bool) -> str:
    """Return what is the same in all panels, in words."""
    first = matrices[0]
    said = []
    if len({(matrix.left, matrix.right) for matrix in matrices}) == 1:
        said.append(f"{first.left} × {first.right}")
    if len({similarity_name(matrix) for matrix in matrices}) == 1:
        said.append(similarity_name(first))
    if len({(matrix.n_texts, matrix.texts) for matrix in matrices}) == 1:
        said.append(texts_named(first.n_texts, first.texts))
    chances = {matrix.chance for matrix in matrices}
    chance = chances.pop() if len(chances) == 1 else None
    if chance is not None:
        said.append(f"chance {number(chance)}")
    if len(matrices) > 1:
        said.append("each panel has its own color scale" if own_scales else "one color scale for all")
    return ", ".join(said)


def _refuse_others(matrices: Sequence[AffinityMatrix], names: Sequence[str], what: str) -> None:
    """Raise `ParameterError` if matrices differ in what must be the same; all of it is listed."""
    differing = [
        f"{name} ({listed(sorted({str(getattr(matrix, name)) for matrix in matrices}))})"
        for name in names
        if len({getattr(matrix, name) for matrix in matrices}) > 1
    ]
    if differing:
        raise ParameterError(
            f"{what}: the matrices must have the same {listed(names)}; they differ in "
            f"{listed(differing)}",
            hint="panels_figure draws any matrices side by side.",
        )
