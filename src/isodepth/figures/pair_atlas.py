"""Which figures are there of two models on one text set?

The matrix in several ways, what it supports, and, where the neighbors and the texts are at hand, the
matrix at other k and what one text has for neighbors.

Memory: one figure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.affinity.measures import CHANCE_KNOWN, reads_neighbors
from isodepth.assessment import PairAssessment, TextSetAssessment
from isodepth.figures.affinity import affinity_figure
from isodepth.figures.chance import calibrated_figure, z_figure
from isodepth.figures.correspondence import depth_map_figure
from isodepth.figures.entries import AtlasFigure, pair_stem
from isodepth.figures.featured import is_random, is_tuned_from
from isodepth.figures.panels import k_sweep_figure, parallel_figure, with_readings
from isodepth.figures.profile import profile_figure
from isodepth.figures.schematic import schematic_figure
from isodepth.figures.venn import venn_figure
from isodepth.neighbors import Neighbors
from isodepth.results import Evidence, TextSetResults

SWEPT_KS = (1, 10, 50, 100)
"""The paper's numbers of neighbors (figure 11); drawn as far as so many are stored."""


def pair_atlas(
    one: TextSetAssessment,
    pair: PairAssessment,
    folder: str,
    found: TextSetResults,
    evidence: Evidence | None,
) -> Iterator[AtlasFigure]:
    """Yield the figures of two models on one text set, not drawn yet.

    Parameters
    ----------
    one, pair
        The statistics.
    folder : str
        Where the text set's figures are.
    found : TextSetResults
        All matrices of the text set: those at other k are in the sweep.
    evidence : Evidence or None
        What the matrices were made from.
    """
    matrix = replace(pair.matrix, texts=one.name)
    place = f"{folder}/{pair_stem(matrix.left, matrix.right)}"
    of = partial(AtlasFigure, section=f"{matrix.left} x {matrix.right} on {one.name}: {one.kind}")
    is_parallel = not one.matrices.is_symmetric
    read = found.texts_read
    named = with_readings(matrix, *read) if is_parallel else matrix
    yield of(
        name=f"{place}/matrix",
        caption="The matrix, with the generalized diagonal and the most similar layers",
        paper=_paper(found, matrix, is_parallel=is_parallel),
        draw=partial(parallel_figure, matrix, left_texts=read[0], right_texts=read[1])
        if is_parallel
        else partial(affinity_figure, matrix),
    )
    yield of(
        name=f"{place}/layers",
        caption="Which layers are similar",
        paper="1",
        draw=partial(schematic_figure, named),
    )
    shown = replace(pair, matrix=named)
    yield of(
        name=f"{place}/depth-map",
        caption="Which layers correspond",
        paper=None,
        draw=partial(depth_map_figure, shown),
    )
    yield of(
        name=f"{place}/profile",
        caption="In which respects the matrix is diagonal",
        paper=None,
        draw=partial(profile_figure, shown),
    )
    # at k = n_texts - 1 every text is every other's neighbor
    if matrix.measure == CHANCE_KNOWN and matrix.k < matrix.n_texts - 1:
        yield of(
            name=f"{place}/z",
            caption="Standard deviations above chance",
            paper=None,
            draw=partial(z_figure, shown),
        )
        yield of(
            name=f"{place}/calibrated",
            caption="Similarity with chance at 0",
            paper=None,
            draw=partial(calibrated_figure, shown),
        )
    neighbors = None if evidence is None else _neighbors(matrix, evidence)
    stored = {
        kind.k: replace(
            matrices[matrix.left, matrix.right], left=named.left, right=named.right, texts=one.name
        )
        for kind, matrices in found.matrices.items()
        if kind._replace(k=one.kind.k) == one.kind
    }
    most = min(side.k for side in neighbors) if neighbors and reads_neighbors(matrix.measure) else 0
    ks = sorted({*stored, *(k for k in SWEPT_KS if k <= most)})
    if len(ks) > 1:
        yield of(
            name=f"{place}/k-sweep",
            caption=f"The matrix at k = {', '.join(map(str, ks))}",
            paper="11",
            draw=partial(_sweep_figure, named, ks, stored, neighbors),
        )
    if neighbors is not None and evidence is not None and evidence.texts is not None and matrix.k:
        yield from _venns(named, place, neighbors, evidence, of)


def _neighbors(matrix: AffinityMatrix, evidence: Evidence) -> tuple[Neighbors, Neighbors] | None:
    """Return the neighbors that a matrix was made from, if both are there."""
    columns = evidence.left if evidence.right is None else evidence.right
    if matrix.left not in evidence.left or matrix.right not in columns:
        return None
    return evidence.left[matrix.left], columns[matrix.right]


def _paper(found: TextSetResults, matrix: AffinityMatrix, *, is_parallel: bool) -> str:
    """Return which figures of the paper show such a matrix."""
    if is_parallel:
        return "7"
    if is_random(found):
        return "9a-c"
    return "4a, 4b, 6a" + ", 8" * is_tuned_from(matrix.left, matrix.right)


def _sweep_figure(
    matrix: AffinityMatrix,
    ks: Sequence[int],
    stored: Mapping[int, AffinityMatrix],
    neighbors: tuple[Neighbors, Neighbors] | None,
) -> Figure:
    """Return the figure of a pair at several k: from results, else from its neighbors."""
    swept = [stored[k] for k in ks if k in stored]
    if neighbors is not None:
        left, right = (side.ids for side in neighbors)
        for k in ks:
            if k not in stored:
                found = affinity_matrix(left, right, measure=matrix.measure, k=k)
                swept.append(replace(matrix, values=found.values, k=k))
    return k_sweep_figure(swept)


def _venns(
    matrix: AffinityMatrix,
    place: str,
    neighbors: tuple[Neighbors, Neighbors],
    evidence: Evidence,
    of: "partial[AtlasFigure]",
) -> Iterator[AtlasFigure]:
    """Yield one text's neighbors at corresponding layers, and at layers of different depths.

    Corresponding are the two most similar layers, of those with the left one in the first half of its
    model, and in the second; the first of the former and the second of the latter are at different
    depths. The text is the one whose agreement at the former is the median, the first of them.
    """
    half = matrix.values.shape[0] // 2
    late = _most_similar(matrix, half)
    cells: dict[str, tuple[tuple[int, int], str, str | None]] = {}
    if half > 0:
        early = _most_similar(matrix, 0, half)
        cells["venn-early"] = (early, "two layers that correspond, early", "2, 3")
        cells["venn-apart"] = ((early[0], late[1]), "an early and a late layer", None)
    cells["venn-late"] = (late, "two layers that correspond, late", "2, 3")
    left, right = (side.ids[:, :, : matrix.k] for side in neighbors)
    (row, column), *_ = next(iter(cells.values()))
    shared = [
        len({*ids.tolist()} & {*other.tolist()})
        for ids, other in zip(left[row], right[column], strict=True)
    ]
    text = shared.index(sorted(shared)[len(shared) // 2])
    assert evidence.texts is not None
    for name, ((row, column), which, paper) in cells.items():
        yield of(
            name=f"{place}/{name}",
            caption=f"The neighbors of text {text + 1} under {which}",
            paper=paper,
            draw=partial(
                venn_figure,
                left[row, text],
                right[column, text],
                texts=evidence.texts.texts,
                text=text,
                left_name=f"{matrix.left}, layer {row + 1}",
                right_name=f"{matrix.right}, layer {column + 1}",
                right_texts=None if evidence.right_texts is None else evidence.right_texts.texts,
                texts_name=matrix.texts,
            ),
        )


def _most_similar(matrix: AffinityMatrix, start: int, stop: int | None = None) -> tuple[int, int]:
    """Return the two most similar layers, from 0, of those with the left one in a range."""
    values = matrix.values[start:stop]
    row, column = divmod(int(values.argmax()), values.shape[1])
    return start + row, column
