"""Which figures do results give? Every figure of the paper, for whatever models and texts they hold.

An atlas lists figures without drawing them: each is drawn when it is asked for, so that hundreds of
them never are in memory together.

>>> for one in study_atlas(assessed, results):                                   # doctest: +SKIP
...     save_figure(one.draw(), folder / f"{one.name}.png")

What needs the neighbors or the texts (k sweeps, Venn diagrams) is there where evidence is given. Some
figures show two models; which, `isodepth.figures.featured` chooses, unless it is told.

Memory: one figure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.assessment import PairAssessment, StudyAssessment, TextSetAssessment
from isodepth.figures.arrays import array_figure
from isodepth.figures.ceiling import MOST_COPIES, noise_ceiling_figure
from isodepth.figures.chance import null_density_figure
from isodepth.figures.confounds import confound_figure
from isodepth.figures.contrast import contrast_figure
from isodepth.figures.entries import AtlasFigure, file_stem, pair_stem
from isodepth.figures.featured import copies_of_models, featured_pairs, is_random, is_tuned_from
from isodepth.figures.matches import match_depth_figure, match_similarity_figure
from isodepth.figures.pair_atlas import pair_atlas
from isodepth.figures.panels import panels_figure, text_sets_figure
from isodepth.figures.tree import tree_figure
from isodepth.figures.unit_square import unit_square_figure
from isodepth.results import Evidence, EvidenceKey, MatrixKind, StudyResults, evidence_key
from isodepth.statistics import DiagonalityProfile


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
    chosen = featured_pairs(assessed, pairs)
    kinds = _told_apart(assessed)
    atlas: list[AtlasFigure] = []
    for one in assessed.sets:
        folder = file_stem(one.name) + _kind_folder(kinds[one.kind])
        atlas.extend(_of_all_pairs(one, folder, groups, results[one.name].texts_read))
        atlas.extend(_of_some_pairs(one, folder, chosen, has_random_texts=is_random(results[one.name])))
        found = (evidence or {}).get(evidence_key(one.name, one.kind))
        for pair in _those(one, chosen):
            atlas.extend(pair_atlas(one, pair, folder, results[one.name], found))
    unordered: dict[frozenset[str], tuple[str, str]] = {}
    for labels in chosen:  # where both orders of two models are there, one is enough here
        unordered.setdefault(frozenset(labels), labels)
    for left, right in unordered.values():
        atlas.extend(_across_sets(assessed, left, right, kinds))
    return atlas


def _told_apart(assessed: StudyAssessment) -> dict[MatrixKind, tuple[str, ...]]:
    """Return what tells the kinds of matrices apart, in words: nothing where there is one."""
    kinds = list(dict.fromkeys(one.kind for one in assessed.sets))
    words = {
        "measure": "{}".format,
        "k": "k = {}".format,
        "capture": "capture {}".format,
        "pooling": "pooling {}".format,
    }
    differing = [name for name in words if len({getattr(kind, name) for kind in kinds}) > 1]
    return {kind: tuple(words[name](getattr(kind, name)) for name in differing) for kind in kinds}


def _kind_folder(words: Sequence[str]) -> str:
    """Return the path of a folder in that of a text set, from what tells a kind apart."""
    stems = [file_stem(word.replace(" = ", "").replace(" ", "-")) for word in words]
    return f"/{'-'.join(stems)}" if stems else ""


def _of_all_pairs(
    one: TextSetAssessment,
    folder: str,
    groups: Mapping[str, Sequence[str]] | None,
    read: tuple[str | None, str | None],
) -> Iterator[AtlasFigure]:
    """Yield the figures of all pairs of one text set."""
    if not one.pairs:
        return
    matrices = replace(one.matrices, texts=one.name)
    known = {*matrices.left, *matrices.right}
    families = {
        family: here
        for family, labels in (groups or {}).items()
        if (here := [label for label in labels if label in known])
    }
    arrange: dict[str, Any] = {"left_texts": read[0], "right_texts": read[1]}
    if families:
        arrange["groups"] = families
    elif one.tree is not None:
        arrange["order"] = one.tree.order
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
    if any("on_mean" in pair.profile for pair in one.pairs):  # else all have a model of one layer
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
    # at k = n_texts - 1 every text is every other's neighbor
    if matrices.measure == CHANCE_KNOWN and matrices.k < matrices.n_texts - 1:
        means = sorted(float(pair.matrix.values.mean()) for pair in one.pairs)
        marks = {"lowest mean of a pair": means[0]}
        if len(means) > 1:
            marks["highest mean of a pair"] = means[-1]
        yield of(
            name=f"{folder}/null-density",
            caption="Log-density of the null model, with the mean similarity of pairs",
            paper="10",
            draw=partial(
                null_density_figure, matrices.n_texts, matrices.k, marks=marks, texts=one.name
            ),
        )


def _of_some_pairs(
    one: TextSetAssessment, folder: str, chosen: Sequence[tuple[str, str]], *, has_random_texts: bool
) -> Iterator[AtlasFigure]:
    """Yield figures that set pairs of models on one text set beside each other."""
    of = partial(AtlasFigure, section=f"Pairs of models on {one.name}: {one.kind}")
    matrices = replace(one.matrices, texts=one.name)
    panels = [replace(pair.matrix, texts=one.name) for pair in _those(one, chosen)]
    if has_random_texts and panels:
        yield of(
            name=f"{folder}/panels",
            caption="Matrices of random strings on one color scale",
            paper="9a-c",
            draw=partial(panels_figure, panels),
        )
    for label, (copies, others) in copies_of_models(matrices).items():
        yield of(
            name=f"{folder}/noise-ceiling-{file_stem(label)}",
            caption=f"How similar layers of {label} are to themselves, read another way",
            paper=None,
            draw=partial(noise_ceiling_figure, copies[:MOST_COPIES], others),
        )


def _across_sets(
    assessed: StudyAssessment, left: str, right: str, kinds: Mapping[MatrixKind, Sequence[str]]
) -> Iterator[AtlasFigure]:
    """Yield figures that set text sets and readings of two models beside each other."""
    of = partial(AtlasFigure, section=f"{left} x {right} on several text sets")
    folder = f"across/{pair_stem(left, right)}"
    is_tuned = is_tuned_from(left, right)
    for kind, words in kinds.items():
        found = [
            replace(one.matrices[left, right], texts=one.name)
            for one in assessed.sets
            if one.kind == kind and one.matrices.is_symmetric and _those(one, [(left, right)])
        ]
        if len(found) > 1:
            models = "a base model and one tuned from it" if is_tuned else "two models"
            yield of(
                name=f"{folder}{_kind_folder(words)}/text-sets",
                caption=f"The matrices of {models} on {len(found)} text sets",
                paper="8" if is_tuned else None,
                draw=partial(text_sets_figure, found, titles=[str(one.texts) for one in found]),
            )
    measures = list(dict.fromkeys(kind.measure for kind in kinds))
    for measure in measures:
        sets = [one for one in assessed.sets if one.kind.measure == measure]
        profiles = _profiles(sets, left, right, kinds)
        if len(profiles) > 1:
            first = next(one for one in sets if _those(one, [(left, right)]))
            yield of(
                name=f"{folder}/confounds{f'-{file_stem(measure)}' * (len(measures) > 1)}",
                caption="How far other texts and readings move the profile of the first",
                paper=None,
                draw=partial(
                    confound_figure,
                    profiles,
                    baseline=next(iter(profiles)),
                    matrices=replace(first.matrices[left, right], texts=first.name),
                ),
            )


def _those(one: TextSetAssessment, wanted: Sequence[tuple[str, str]]) -> list[PairAssessment]:
    """Return the wanted pairs of a text set, in either order where order does not matter there."""
    either = [pair[::-1] for pair in wanted] if one.matrices.is_mirrored else []
    return [pair for pair in one.pairs if (pair.matrix.left, pair.matrix.right) in (*wanted, *either)]


def _profiles(
    sets: Sequence[TextSetAssessment], left: str, right: str, kinds: Mapping[MatrixKind, Sequence[str]]
) -> dict[str, DiagonalityProfile]:
    """Return the profiles of two models by what was read and how."""
    return {
        ", ".join((one.name, *kinds[one.kind])): pair.profile
        for one in sets
        for pair in _those(one, [(left, right)])
    }
