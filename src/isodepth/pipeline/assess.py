"""What do results support? Statistics of results, from the neighbors in the store where they are there.

Results name the neighbors that each of their matrices was made from by key. A key stands for one
content, so what the store has under it is what was compared, whichever run put it there.

>>> assessed = assess_study("results/small")                                     # doctest: +SKIP
>>> assessed.write("results/small/tests")                                        # doctest: +SKIP

Memory: the neighbors of one text set, as memory maps, and what `isodepth.assessment` takes.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.assessment import (
    AssessmentOptions,
    PairAssessment,
    StudyAssessment,
    TextSetAssessment,
    assess_pair,
    assess_text_set,
)
from isodepth.errors import ParameterError, UnknownNameError, counted, listed, nearest_names
from isodepth.interchange import imported_neighbors
from isodepth.neighbors import Neighbors
from isodepth.pipeline.chosen_kinds import NO_K, SHOWN_K, assessed_kinds, refuse_unknown_kinds
from isodepth.progress import Progress, no_progress
from isodepth.results import MatrixKind, StudyResults, TextSetResults, load_results
from isodepth.statistics.resampling import FEWEST_NEXT
from isodepth.store import Store, open_store

NO_VERDICTS = (
    "measures other than mutual k-NN have no verdicts and no tree, and intervals of means over pairs "
    "of models alone: how far they stray by chance is not known"
)
"""The note of what is assessed by such a measure."""


def assess_study(
    results: StudyResults | Path | str,
    *,
    texts: Sequence[str] = (),
    measures: Sequence[str] = (),
    ks: Sequence[int] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    store: Store | Path | str | None = None,
    options: AssessmentOptions | None = None,
    progress: Progress = no_progress,
) -> StudyAssessment:
    """Return all statistics of a study's results.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    texts : sequence of str
        Only these text sets.
    measures : sequence of str
        Only matrices by these measures.
    ks : sequence of int
        Only matrices with these numbers of neighbors. Where it is left out, k = 10 if there is one,
        else the first of each measure, capture and pooling.
    groups : mapping of str to sequence of str, optional
        Families of models, by name: their labels. A test over the zoo leaves out whole families.
    store : Store, Path or str, optional
        Where the neighbors are; `Store()` where it is left out. Text sets whose neighbors are not all
        there are assessed from the matrices alone, which their notes say.
    options : AssessmentOptions, optional
        How much is permuted and resampled.
    progress : Progress
        Told how far the work is.

    Raises
    ------
    UnknownNameError
        If there are no results, no such text set or measure, or no such model in a family.
    ParameterError
        If there is no matrix for one of the `ks`, or a model is in two families.
    StoreError
        If results are damaged.
    """
    chosen = options or AssessmentOptions()
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    kept = open_store(store)
    family_of = _families(loaded, groups)
    wanted = [loaded[name] for name in dict.fromkeys(texts)] or list(loaded.sets.values())
    kinds = [kind for found in wanted for kind in found.matrices]
    refuse_unknown_kinds(loaded.name, kinds, measures, ks)
    sets: list[TextSetAssessment] = []
    for found in wanted:
        for kind in assessed_kinds(found, ks, measures):
            sets.append(
                _assessed(found, kind, kept, groups=family_of, options=chosen, progress=progress)
            )
    return StudyAssessment(name=loaded.name, sets=tuple(sets), options=chosen)


def assess_models(
    results: StudyResults | Path | str,
    left: str,
    right: str,
    *,
    texts: str | None = None,
    measure: str | None = None,
    k: int | None = None,
    capture: str | None = None,
    pooling: str | None = None,
    store: Store | Path | str | None = None,
    options: AssessmentOptions | None = None,
) -> PairAssessment:
    """Return all statistics of two models of a study's results.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    left, right : str
        The models' labels in them.
    texts : str, optional
        The text set; needed where there are several.
    measure : str, optional
        By which layers were compared; where it is left out, mutual k-NN, if there is a matrix by it.
    k : int, optional
        Neighbors per text; 10 or the first that there is, where it is left out.
    capture, pooling : str, optional
        What was read; needed where there are several.
    store, options
        As for `assess_study`; without the neighbors, the matrix is assessed alone.

    Raises
    ------
    UnknownNameError
        If there are no such results, text set, measure or models.
    ParameterError
        If there are several text sets, measures, captures or poolings and none is named, or no such
        matrix.
    """
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    if texts is None and len(loaded) != 1:
        raise ParameterError(
            f"{loaded.name} has results on several text sets: {listed(list(loaded.sets), most=20)}",
            hint="choose one with --texts.",
        )
    found = loaded[texts] if texts is not None else next(iter(loaded.sets.values()))
    ks, measures = () if k is None else (k,), () if measure is None else (measure,)
    refuse_unknown_kinds(found.name, list(found.matrices), measures, ks)
    fitting = assessed_kinds(found, ks, measures)
    kinds = [
        kind for kind in fitting if capture in (None, kind.capture) and pooling in (None, kind.pooling)
    ]
    # verdicts and intervals are of mutual k-NN alone
    kinds = [kind for kind in kinds if kind.measure == CHANCE_KNOWN] or kinds
    if len(kinds) != 1:
        raise ParameterError(
            f"{len(kinds)} matrices of {found.name} fit the choice; there are: "
            f"{'; '.join(str(kind) for kind in found.matrices)}",
            hint="choose with --measure, -k, --capture and --pooling.",
        )
    kind = kinds[0]
    matrix = found.matrices[kind][left, right]
    sides: list[Neighbors | None] = [None, None]
    with contextlib.suppress(UnknownNameError):  # the decision says that it is from the matrix alone
        rows, columns = matrix_neighbors(found, kind, open_store(store), labels=(left, right))
        sides = [rows[0], (columns or rows)[-1]]
    return assess_pair(
        replace(matrix, texts=found.name), left=sides[0], right=sides[1], options=options
    )


def matrix_neighbors(
    found: TextSetResults,
    kind: MatrixKind,
    store: Store,
    *,
    labels: tuple[str, str] | None = None,
    all_stored: bool = False,
) -> tuple[list[Neighbors], list[Neighbors] | None]:
    """Return the neighbors that matrices were made from, in the order of their labels.

    Parameters
    ----------
    found, kind
        Which matrices.
    store : Store
        Where the neighbors are.
    labels : (str, str), optional
        Only those of a left and a right model, in this order.
    all_stored : bool
        As many neighbors of each text as are stored, instead of as many as statistics make use of.

    Returns
    -------
    left, right : lists of Neighbors
        `right` is None where the right models are the left ones.

    Raises
    ------
    UnknownNameError
        If some are not in the store, or damaged; all are named.
    """
    matrices = found.matrices[kind]
    missing: list[str] = []

    def side(labels: Sequence[str], digest: str | None) -> list[Neighbors]:
        read = []
        for label in labels:
            reading = _reading(found, kind, label, digest)
            one = _neighbors(reading, label, matrices, digest, store, all_stored=all_stored)
            if one is None:
                missing.append(label)
            else:
                read.append(one)
        return read

    rows, columns = matrices.left, matrices.right
    if labels is not None:
        rows, columns = labels if matrices.is_symmetric else labels[:1], labels[1:]
    left = side(rows, matrices.texts_digest)
    right = None
    if not matrices.is_symmetric:
        right = side(columns, matrices.right_texts_digest or matrices.texts_digest)
    if missing:
        names = list(dict.fromkeys(missing))
        whose = "any model" if len(names) == len({*rows, *columns}) else listed(names, most=30)
        raise UnknownNameError(
            f"the neighbors of {whose} on {found.name} are not in the store",
            hint=f"looked in {store.place}; name the store that the study was run with, --store; or "
            "run the study again.",
        )
    return left, right


def _assessed(
    found: TextSetResults,
    kind: MatrixKind,
    store: Store,
    *,
    groups: Mapping[str, str] | None,
    options: AssessmentOptions,
    progress: Progress,
) -> TextSetAssessment:
    notes = _notes(found)
    left: list[Neighbors] | None = None
    right: list[Neighbors] | None = None
    if kind.measure != CHANCE_KNOWN:
        notes.append(NO_VERDICTS)
    else:
        try:
            left, right = matrix_neighbors(found, kind, store)
        except UnknownNameError as error:
            notes.append(
                f"{error.message}: no intervals, and chance is that of the paper's null model, widened"
            )
    if left is not None and min(one.k for one in (*left, *(right or ()))) == kind.k:
        notes.append(
            f"no more than k = {kind.k} neighbors are stored, so that intervals of levels of "
            "similarity are wider than need be"
        )
    return assess_text_set(
        found.name,
        kind,
        found.matrices[kind],
        left=left,
        right=right,
        groups=groups,
        notes=notes,
        options=options,
        progress=progress,
    )


def shown_k(kinds: Iterable[MatrixKind]) -> int:
    """Return the k that matrices show: 10, or the fewest; 10 where no measure takes neighbors."""
    ks = {kind.k for kind in kinds} - {NO_K}
    return SHOWN_K if SHOWN_K in ks or not ks else min(ks)


def _notes(found: TextSetResults) -> list[str]:
    """Return what to mind of the texts."""
    notes = []
    for described in found.sides:
        n_copies = int(described.get("n_duplicates") or 0)
        if n_copies:
            notes.append(
                f"{counted(n_copies, 'text')} of {described.get('name', found.name)} "
                f"{'is an exact copy' if n_copies == 1 else 'are exact copies'} of others and so near "
                "in every model; chance and intervals take texts to be exchangeable"
            )
    return notes


def _families(
    results: StudyResults, groups: Mapping[str, Sequence[str]] | None
) -> dict[str, str] | None:
    """Return each label's family; refuse labels that no results have or that stand in two."""
    if groups is None:
        return None
    known = {
        label
        for found in results.sets.values()
        for matrices in found.matrices.values()
        for label in (*matrices.left, *matrices.right)
    }
    left_out = results.manifest.get("left_out", ())  # a file of families serves with and without them
    family_of: dict[str, str] = {}
    for family, labels in groups.items():
        for label in labels:
            if label in left_out:
                continue
            if label not in known:
                near = nearest_names(label, known)
                raise UnknownNameError(
                    f"{results.name} has no model {label!r}, named in the family {family!r}",
                    hint=f"did you mean {' or '.join(near)}?" if near else None,
                )
            if family_of.get(label, family) != family:
                raise ParameterError(
                    f"{label} is in two families, {family_of[label]!r} and {family!r}; expected one"
                )
            family_of[label] = family
    return family_of


def _reading(
    found: TextSetResults, kind: MatrixKind, label: str, digest: str | None
) -> Mapping[str, Any] | None:
    """Return what results say of the reading behind a label, if they do."""
    for reading in found.description.get("readings", ()):
        options = reading.get("options", {})
        said = (reading.get("label"), str(options.get("capture")), str(options.get("pooling")))
        if said == (label, kind.capture, kind.pooling) and reading.get("texts_digest") == digest:
            found_reading: Mapping[str, Any] = reading
            return found_reading
    return None


def _neighbors(
    reading: Mapping[str, Any] | None,
    label: str,
    matrices: AffinityMatrices,
    digest: str | None,
    store: Store,
    *,
    all_stored: bool,
) -> Neighbors | None:
    """Return a reading's neighbors from the store: all, or the fewest that resampling makes use of."""
    if reading is None:
        return None
    key = str(reading["neighbors"])
    imported = imported_neighbors(store, key)
    if imported is not None:
        return replace(imported, model=label)
    start = f"{key}-k"
    stored = [name.removeprefix(start) for name in store.keys("neighbors", prefix=key)]
    numbers = sorted(int(number) for number in stored if number.isdecimal())
    least = matrices.k + max(matrices.k, FEWEST_NEXT)
    enough = [] if all_stored else [k for k in numbers if k >= least]
    others = [k for k in reversed(numbers) if matrices.k <= k and k not in enough]
    for k in (*enough, *others):
        artifact = store.read("neighbors", f"{start}{k}")
        if artifact is not None:
            return Neighbors(
                ids=artifact.arrays["ids"],
                similarities=artifact.arrays["similarities"],
                metric=str(reading.get("metric", "cosine")),
                preprocessing=str(reading.get("preprocessing", "none")),
                model=label,
                texts_digest=digest,
                provenance=artifact.manifest["provenance"],
            )
    return None
