"""Which figures do results give? Every figure of the paper, for whatever models and texts they hold.

An atlas lists figures without drawing them: each is drawn when it is asked for, so that hundreds of
them never are in memory together.

>>> for one in study_atlas(assessed, results):                                   # doctest: +SKIP
...     save_figure(one.draw(), folder / f"{one.name}.png")

What needs the neighbors or the texts (k sweeps, Venn diagrams) is there where evidence is given. Some
figures show two models; which, `isodepth.figures.featured` chooses, unless it is told.

Memory: one figure.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.assessment import PairAssessment, StudyAssessment, TextSetAssessment
from isodepth.figures.affinity import affinity_figure
from isodepth.figures.arrays import array_figure
from isodepth.figures.ceiling import noise_ceiling_figure
from isodepth.figures.chance import calibrated_figure, null_density_figure, z_figure
from isodepth.figures.confounds import confound_figure
from isodepth.figures.contrast import contrast_figure
from isodepth.figures.correspondence import depth_map_figure
from isodepth.figures.featured import copies_of_models, featured_pairs
from isodepth.figures.matches import match_depth_figure, match_similarity_figure
from isodepth.figures.panels import k_sweep_figure, panels_figure, parallel_figure, text_sets_figure
from isodepth.figures.profile import profile_figure
from isodepth.figures.schematic import schematic_figure
from isodepth.figures.tree import tree_figure
from isodepth.figures.unit_square import unit_square_figure
from isodepth.figures.venn import venn_figure
from isodepth.results import Evidence, EvidenceKey, StudyResults, evidence_key
from isodepth.statistics import DiagonalityProfile

SWEPT_KS = (1, 10, 50, 100)
"""The paper's numbers of neighbors (figure 11), as far as so many are stored."""
MOST_LETTERS = 40
RANDOM = "random-strings"


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasFigure:
    """A figure that results give.

    Parameters
    ----------
    name : str
        A file's path without its ending: letters, digits and ``. - /``.
    caption : str
        What it shows, of what.
    section : str
        Of what: figures of a section share a folder.
    paper : str or None
        The figures of the paper that it is the counterpart of, such as "4c, 12-19".
    draw : callable
        Returns the figure.
    """

    name: str
    section: str
    caption: str
    paper: str | None
    draw: Callable[[], Figure]


def study_atlas(
    assessed: StudyAssessment,
    results: StudyResults,
    *,
    evidence: Mapping[EvidenceKey, Evidence] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[AtlasFigure]:
    """Return the figures that results give, not drawn yet.

    Parameters
    ----------
    assessed : StudyAssessment
        The statistics of the results.
    results : StudyResults
        All matrices: other k than those assessed are in sweeps.
    evidence : mapping of evidence keys to Evidence, optional
        What matrices were made from.
    pairs : sequence of (str, str)
        Pairs of models, by label, that get figures of their own. Where there are none, some are chosen;
        see `featured_pairs`.
    groups : mapping of str to sequence of str, optional
        Families of models, by name: bracketed in arrays.

    Raises
    ------
    UnknownNameError
        If a pair of models is in no results; all such labels are named.

    References
    ----------
    Wolfram & Schein 2025, figures 1 to 27.
    """
    several = len({one.name for one in assessed.sets}) < len(assessed.sets)
    chosen = featured_pairs(assessed, pairs)
    atlas: list[AtlasFigure] = []
    for one in assessed.sets:
        folder = file_stem(one.name)
        if several:
            folder += "-" + file_stem(
                f"{one.kind.measure}-k{one.kind.k}-{one.kind.capture}-{one.kind.pooling}"
            )
        atlas.extend(_of_all_pairs(one, folder, groups))
        found = (evidence or {}).get(evidence_key(one.name, one.kind))
        for pair in _those(one, chosen):
            stems = [file_stem(label) for label in (pair.matrix.left, pair.matrix.right)]
            atlas.extend(_of_pair(one, pair, f"{folder}/{'-x-'.join(stems)}", results, found))
    atlas.extend(_across_sets(assessed, chosen))
    return atlas


def file_stem(name: str) -> str:
    """Return a name that is safe in a path; names that lose letters end in a digest of the whole."""
    letters = re.sub(r"[^a-z0-9.]+", "-", name.lower())[:MOST_LETTERS].strip("-.")
    if letters == name:
        return letters
    return f"{letters or 'name'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _of_all_pairs(
    one: TextSetAssessment, folder: str, groups: Mapping[str, Sequence[str]] | None
) -> Iterator[AtlasFigure]:
    """Yield the figures of all pairs of one text set."""
    matrices = replace(one.matrices, texts=one.name)
    known = {*matrices.left, *matrices.right}
    families = {
        family: [label for label in labels if label in known]
        for family, labels in (groups or {}).items()
    }
    families = {family: labels for family, labels in families.items() if labels}
    arrange: dict[str, Any] = {"groups": families} if families else {}
    if one.tree is not None and not families:
        arrange["order"] = one.tree.order
    if not one.pairs:
        return
    of = partial(AtlasFigure, section=f"All pairs of models on {one.name}: {one.kind}")
    yield of(
        name=f"{folder}/array",
        caption="The matrices, in true proportions",
        paper="4c, 12-19",
        draw=partial(array_figure, matrices, **arrange),
    )
    yield of(
        name=f"{folder}/array-equal",
        caption="The matrices, as equal squares",
        paper="20-27",
        draw=partial(array_figure, matrices, equal=True, **arrange),
    )
    yield of(
        name=f"{folder}/match-depth",
        caption="Depth of the most similar layer, one line a pair and direction",
        paper="5a",
        draw=partial(match_depth_figure, matrices),
    )
    yield of(
        name=f"{folder}/match-similarity",
        caption="Similarity of the most similar layer, one line a pair and direction",
        paper="5b",
        draw=partial(match_similarity_figure, matrices),
    )
    if one.mean_square is not None:
        yield of(
            name=f"{folder}/unit-square",
            caption="The mean matrix on a square of relative depths, and its spread",
            paper="5c",
            draw=partial(unit_square_figure, one.mean_square, matrices=matrices),
        )
    yield of(
        name=f"{folder}/on-off",
        caption="Mean similarity on the generalized diagonal against off it",
        paper="6b",
        draw=partial(contrast_figure, one),
    )
    if one.tree is not None:
        yield of(
            name=f"{folder}/tree",
            caption="Models clustered by what their layers share",
            paper=None,
            draw=partial(tree_figure, one.tree, matrices=matrices, groups=families or None),
        )
    if matrices.chance < 1 and any(pair.decision is not None for pair in one.pairs):
        means = [_mean(pair) for pair in one.pairs]
        yield of(
            name=f"{folder}/null-density",
            caption="Log-density of the null model, with the mean similarity of pairs",
            paper="10",
            draw=partial(
                null_density_figure,
                matrices.n_texts,
                matrices.k,
                marks={"lowest mean of a pair": min(means), "highest mean of a pair": max(means)},
            ),
        )


def _mean(pair: PairAssessment) -> float:
    return float(pair.matrix.values.mean())


def _of_pair(
    one: TextSetAssessment,
    pair: PairAssessment,
    folder: str,
    results: StudyResults,
    evidence: Evidence | None,
) -> Iterator[AtlasFigure]:
    """Yield the figures of two models on one text set."""
    matrix = replace(pair.matrix, texts=one.name)
    of = partial(AtlasFigure, section=f"{matrix.left} x {matrix.right} on {one.name}: {one.kind}")
    is_parallel = not one.matrices.is_symmetric
    yield of(
        name=f"{folder}/matrix",
        caption="The matrix, with the generalized diagonal and the most similar layers",
        paper="7" if is_parallel else "4a, 4b, 6a",
        draw=partial(parallel_figure if is_parallel else affinity_figure, matrix),
    )
    yield of(
        name=f"{folder}/layers",
        caption="Which layers are similar",
        paper="1",
        draw=partial(schematic_figure, matrix),
    )
    yield of(
        name=f"{folder}/depth-map",
        caption="Which layers correspond",
        paper=None,
        draw=partial(depth_map_figure, pair),
    )
    yield of(
        name=f"{folder}/profile",
        caption="In which respects the matrix is diagonal",
        paper=None,
        draw=partial(profile_figure, [pair]),
    )
    if pair.decision is not None and matrix.chance < 1:  # else every text is every other's neighbor
        yield of(
            name=f"{folder}/z",
            caption="Standard deviations above chance",
            paper=None,
            draw=partial(z_figure, pair),
        )
        yield of(
            name=f"{folder}/calibrated",
            caption="Similarity with chance at 0",
            paper=None,
            draw=partial(calibrated_figure, pair),
        )
    sweep = _sweep(one, matrix, results, evidence)
    if len(sweep) > 1:
        yield of(
            name=f"{folder}/k-sweep",
            caption=f"The matrix at k = {', '.join(str(swept.k) for swept in sweep)}",
            paper="11",
            draw=partial(k_sweep_figure, sweep),
        )
    if evidence is not None and evidence.texts is not None and matrix.left in evidence.left:
        yield from _venns(one, pair, folder, evidence, of)


def _sweep(
    one: TextSetAssessment, matrix: AffinityMatrix, results: StudyResults, evidence: Evidence | None
) -> list[AffinityMatrix]:
    """Return a pair's matrices at several k: from the results, and from stored neighbors."""
    swept = {
        kind.k: replace(matrices[matrix.left, matrix.right], texts=one.name)
        for kind, matrices in results[one.name].matrices.items()
        if kind._replace(k=one.kind.k) == one.kind
    }
    if evidence is not None and matrix.left in evidence.left:
        left, right = evidence.left[matrix.left], (evidence.right or evidence.left)[matrix.right]
        for k in SWEPT_KS:
            if k not in swept and k <= min(left.k, right.k):
                found = affinity_matrix(left.ids, right.ids, measure=one.kind.measure, k=k)
                swept[k] = replace(matrix, values=found.values, k=k)
    return [swept[k] for k in sorted(swept) if k in SWEPT_KS] or [matrix]


def _venns(
    one: TextSetAssessment,
    pair: PairAssessment,
    folder: str,
    evidence: Evidence,
    of: Callable[..., AtlasFigure],
) -> Iterator[AtlasFigure]:
    """Yield one text's neighbors at corresponding layers, and at layers of opposite depth.

    The text is the one whose agreement at the corresponding layers is the median, the first of them.
    """
    matrix = pair.matrix
    left, right = evidence.left[matrix.left], (evidence.right or evidence.left)[matrix.right]
    row, column = divmod(int(matrix.values.argmax()), matrix.values.shape[1])
    shared = [
        len({*one_side.tolist()} & {*other.tolist()})
        for one_side, other in zip(
            left.ids[row, :, : matrix.k], right.ids[column, :, : matrix.k], strict=True
        )
    ]
    text = shared.index(sorted(shared)[len(shared) // 2])
    opposite = right.n_layers - 1 - column
    places = {"venn-similar": (column, "the two most similar layers")}
    if opposite != column:
        places["venn-opposite"] = (opposite, "the first of these and one of the opposite depth")
    assert evidence.texts is not None
    for name, (layer, which) in places.items():
        yield of(
            name=f"{folder}/{name}",
            caption=f"The neighbors of text {text + 1} under {which}",
            paper="2, 3",
            draw=partial(
                venn_figure,
                left.ids[row, text, : matrix.k],
                right.ids[layer, text, : matrix.k],
                texts=evidence.texts.texts,
                text=text,
                left_name=f"{matrix.left}, layer {row + 1}",
                right_name=f"{matrix.right}, layer {layer + 1}",
                right_texts=None if evidence.right_texts is None else evidence.right_texts.texts,
                texts_name=one.name,
            ),
        )


def _across_sets(assessed: StudyAssessment, chosen: Sequence[tuple[str, str]]) -> Iterator[AtlasFigure]:
    """Yield figures that set text sets, readings and models beside each other."""
    main = assessed.sets[0].kind if assessed.sets else None
    comparable = [one for one in assessed.sets if one.kind == main and one.matrices.is_symmetric]
    for left, right in chosen:
        of = partial(AtlasFigure, section=f"{left} x {right} on several text sets")
        folder = f"across/{file_stem(left)}-x-{file_stem(right)}"
        found = {one.name: pair for one in comparable for pair in _those(one, [(left, right)])}
        if len(found) > 1:
            yield of(
                name=f"{folder}/text-sets",
                caption=f"The matrices on {len(found)} text sets",
                paper="8",
                draw=partial(
                    text_sets_figure,
                    [replace(pair.matrix, texts=name) for name, pair in found.items()],
                    titles=list(found),
                ),
            )
        variants = _variants(assessed, left, right)
        if len(variants) > 1:
            yield of(
                name=f"{folder}/confounds",
                caption="How far other texts and readings move the profile of the first",
                paper=None,
                draw=partial(
                    confound_figure,
                    variants,
                    baseline=next(iter(variants)),
                    matrices=_baseline(assessed, left, right),
                ),
            )
    for one in comparable:
        of = partial(AtlasFigure, section=f"Pairs of models on {one.name}: {one.kind}")
        panels = [replace(pair.matrix, texts=one.name) for pair in _those(one, chosen)]
        if one.name == RANDOM and panels:
            yield of(
                name=f"{file_stem(one.name)}/panels",
                caption="Some matrices on one color scale",
                paper="9a-c",
                draw=partial(panels_figure, panels),
            )
        for label, (copies, others) in copies_of_models(one.matrices).items():
            yield of(
                name=f"{file_stem(one.name)}/noise-ceiling-{file_stem(label)}",
                caption=f"How similar layers of {label} are to themselves, read another way",
                paper=None,
                draw=partial(noise_ceiling_figure, copies, others),
            )


def _baseline(assessed: StudyAssessment, left: str, right: str) -> AffinityMatrix:
    """Return the matrix that the first of `_variants` is the profile of."""
    first = next(one for one in assessed.sets if _those(one, [(left, right)]))
    return replace(first.matrices[left, right], texts=first.name)


def _those(one: TextSetAssessment, wanted: Sequence[tuple[str, str]]) -> list[PairAssessment]:
    return [pair for pair in one.pairs if (pair.matrix.left, pair.matrix.right) in wanted]


def _variants(assessed: StudyAssessment, left: str, right: str) -> dict[str, DiagonalityProfile]:
    """Return the profiles of two models by what was read and how; the first is the baseline."""
    one_kind = len({one.kind for one in assessed.sets}) == 1
    return {
        one.name if one_kind else f"{one.name}: {one.kind}": pair.profile
        for one in assessed.sets
        for pair in _those(one, [(left, right)])
    }
