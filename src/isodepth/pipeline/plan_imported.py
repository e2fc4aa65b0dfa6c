"""The plan of a study whose readings were all made elsewhere and imported.

Text sets and models are matched by name (`isodepth.pipeline.imported_names`); where several readings
may be meant, none is taken. No text is loaded, so what the texts are is the import's word.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isodepth.activations import ExtractionOptions
from isodepth.affinity import measure_named
from isodepth.errors import ParameterError, TextsError, UnknownNameError, listed
from isodepth.interchange import ImportedReading, imported_readings
from isodepth.neighbors.exact import check_k
from isodepth.pipeline.imported_names import WantedModel, texts_names, wanted_models
from isodepth.pipeline.plan import attempted, n_stored_matrices, selections_of
from isodepth.pipeline.planned import Missing, PlannedSet, StudyPlan
from isodepth.store import Store
from isodepth.study import Study, StudyTexts
from isodepth.texts import Pairing

Side = dict[str, dict[ExtractionOptions, ImportedReading]]


def plan_of_imported(study: Study, store: Store) -> StudyPlan:
    """Return the plan of a study on imported readings.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Where the readings were imported to.

    Raises
    ------
    UnknownNameError
        If nothing was imported.
    """
    every = imported_readings(store)
    if not every:
        raise UnknownNameError(
            f"nothing was imported into {store.place}",
            hint="'isodepth import --help' says how to import readings.",
        )
    missing: list[Missing] = []
    wanted = wanted_models(study, missing)
    sets: list[PlannedSet] = []
    for entry in study.texts:
        n_before = len(missing)
        planned = functools.partial(_set, study, wanted, entry, every, missing)
        found = attempted(entry.name, planned, missing)
        if found is not None and found.selections:
            sets.append(found)
        elif len(missing) == n_before:
            missing.append(Missing(what=entry.name, reason=_why_empty(study)))
    return StudyPlan(
        study=study,
        imported=True,
        readings=(),
        sets=tuple(sets),
        missing=tuple(dict.fromkeys(missing)),
        n_stored_matrices=n_stored_matrices(sets, store),
        notes=(
            *_kinds_left_out(study, sets),
            *_measures_left_out(study),
            *_otherwise_loaded(wanted, sets),
        ),
    )


def _why_empty(study: Study) -> str:
    """Return why a text set of which readings were imported has no matrix."""
    if all(measure_named(name).reads == "activations" for name in study.measures):
        verb = "reads" if len(study.measures) == 1 else "read"
        return (
            f"{listed(list(study.measures))} {verb} activations, and imported readings have neighbors "
            "alone"
        )
    kinds = [_in_words(plain) for plain in study.extraction_options(False)]
    return f"of what the study reads ({'; '.join(kinds)}) nothing was imported"


def _kinds_left_out(study: Study, sets: Sequence[PlannedSet]) -> Iterator[str]:
    """Yield what was imported nowhere, or not on some text sets, and so is left out."""
    for plain in study.extraction_options(False):
        without = [
            planned.name
            for planned in sets
            if not any(
                (kind.capture, kind.pooling) == (plain.capture, str(plain.pooling))
                for kind in planned.selections
            )
        ]
        if without:
            everywhere = len(without) == len(sets)
            yield (
                f"capture {plain.capture}, pooling {plain.pooling} is left out"
                f"{'' if everywhere else f' on {listed(without)}'}: no such reading was imported"
            )


def _measures_left_out(study: Study) -> Iterator[str]:
    """Yield which measures imported readings do not serve."""
    names = [name for name in study.measures if measure_named(name).reads == "activations"]
    if names:
        verb = "is" if len(names) == 1 else "are"
        yield f"{listed(names)} {verb} left out: imported readings have neighbors, no activations"
    if study.preprocessing != "none":
        yield (
            f"preprocessing = {study.preprocessing!r} is not done: imported neighbors are as they were "
            "found"
        )


def _otherwise_loaded(wanted: Mapping[str, WantedModel], sets: Sequence[PlannedSet]) -> Iterator[str]:
    """Yield of which models the readings do not say that they were loaded as the study says."""
    taken = {
        reader.reading.model
        for planned in sets
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
        if isinstance(reader.reading, ImportedReading)
    }
    silent: dict[tuple[str, ...], dict[str, None]] = {}
    for model in wanted.values():
        for name in (name for name in model.names if name in taken):
            if any(one not in name for one in model.differences):
                silent.setdefault(model.differences, {})[name] = None
    for differences, names in silent.items():
        said, known = ", ".join(differences), listed([*names])
        yield f"[loading] says {said}; the names of the imported readings do not: {known}"


def _set(
    study: Study,
    wanted: Mapping[str, WantedModel],
    entry: StudyTexts,
    every: Sequence[ImportedReading],
    missing: list[Missing],
) -> PlannedSet:
    left = _readings_of(texts_names(entry, "left"), every)
    right = _readings_of(texts_names(entry, "right"), every) if entry.is_pair else None
    n_left, n_right = left[0].n_texts, (right or left)[0].n_texts
    if n_left != n_right:
        raise ParameterError(
            f"{entry.name} cannot be parallel: {n_left:,} texts against {n_right:,} were imported"
        )
    check_k(max(study.ks), n_left)
    if entry.n not in (None, n_left):
        raise TextsError(
            f"{n_left:,} texts were imported, the study wants {entry.n:,}",
            hint=f"neighbor lists cannot be cut to fewer texts: set n = {n_left} for this text set.",
        )
    pairing = None if right is None else Pairing(left=left[0].texts_digest, right=right[0].texts_digest)
    return PlannedSet(
        name=entry.name,
        texts=_described(left[0]),
        right_texts=None if right is None else _described(right[0]),
        selections=selections_of(
            study,
            left=_side(study, wanted, left, missing),
            right=None if right is None else _side(study, wanted, right, missing),
            texts_digest=left[0].texts_digest,
            pairing=pairing,
        ),
    )


def _readings_of(names: Sequence[str], every: Sequence[ImportedReading]) -> list[ImportedReading]:
    """Return the imported readings of one text set, by its names; all are of the same texts."""
    by_name = {name: [one for one in every if one.texts == name] for name in names}
    name = next((name for name, found in by_name.items() if found), None)
    if name is None:
        known = sorted({one.texts for one in every})
        raise UnknownNameError(
            f"no reading of {names[0]} was imported; there are readings of {listed(known, most=20)}",
            hint='a study takes texts by the name that they were imported under as "imported(NAME)".',
        )
    digests = sorted({one.texts_digest for one in by_name[name]})
    if len(digests) > 1:
        raise TextsError(
            f"readings of different texts were imported under the name {name}: digests "
            f"{listed(digests)}",
            hint="import one of them under another name.",
        )
    return [one for found in by_name.values() for one in found if one.texts_digest == digests[0]]


def _side(
    study: Study,
    wanted: Mapping[str, WantedModel],
    readings: Sequence[ImportedReading],
    missing: list[Missing],
) -> Side:
    """Return the readings by the readers' labels; what the study wants and is not there is noted."""
    there = {(one.options.capture, one.options.pooling) for one in readings}
    side: Side = {}
    for written, model in wanted.items():
        for chat in (False, True) if written in study.also_as_chat else (False,):
            label = model.label + " as chat" * chat
            for plain in study.extraction_options(chat):
                kind = (plain.capture, plain.pooling, chat)
                if kind[:2] not in there:
                    continue
                fitting = [
                    one
                    for one in readings
                    if one.metric == study.metric
                    and (one.options.capture, one.options.pooling, one.options.chat) == kind
                ]
                chosen = _chosen(
                    study, model, fitting, f"{label} on {readings[0].texts}", _in_words(plain)
                )
                if isinstance(chosen, Missing):
                    missing.append(chosen)
                else:
                    side.setdefault(label, {})[chosen.options] = chosen
    return side


def _chosen(
    study: Study, model: WantedModel, fitting: Sequence[ImportedReading], what: str, kind: str
) -> ImportedReading | Missing:
    """Return the one reading that is meant of one kind, or why there is none."""
    named = model.tiers(fitting)
    as_cut = [[one for one in tier if one.options.max_tokens == study.max_tokens] for tier in named]
    best = next((tier for tier in as_cut if tier), [])
    enough = [one for one in best if one.k >= max(study.ks)]
    if len(enough) == 1:
        return enough[0]
    hint = None
    if enough:
        files = [f"{one.model} from {one.provenance.get('file', 'an import')}" for one in enough]
        reason = f"{len(enough)} imported readings may be meant ({kind}): {listed(files)}"
        hint = "import the right one again with --replace, or under a name of its own with --model."
    elif best:
        most = max(one.k for one in best)
        reason = (
            f"{most:,} neighbors were imported and k = {max(study.ks):,} is wanted ({kind}); import it "
            "again with a larger --keep"
        )
    elif any(named):
        cuts = sorted({str(one.options.max_tokens) for tier in named for one in tier})
        reason = (
            f"it was imported with max_tokens = {listed(cuts)}, and {study.max_tokens} is wanted "
            f"({kind})"
        )
    else:
        reason = f"it was not imported ({kind})"
        akin = model.akin(fitting)
        if akin:
            hint = f'there is {listed(akin)}; a study takes one by its name: "imported({akin[0]})".'
    return Missing(what=what, reason=reason, hint=hint)


def _in_words(options: ExtractionOptions) -> str:
    return f"capture {options.capture}, pooling {options.pooling}"


def _described(reading: ImportedReading) -> dict[str, Any]:
    return {
        "name": reading.texts,
        "n_texts": reading.n_texts,
        "digest": reading.texts_digest,
        "provenance": {"imported": True},
    }
