"""The plan of a study whose readings were all made elsewhere and imported.

Text sets and models are matched by name: a text set of the study with the imported one of that name, a
model with its catalogue name or hub id. No text is loaded, so what the texts are is the import's word.
"""

import functools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from isodepth.activations import ExtractionOptions
from isodepth.errors import ParameterError, TextsError, UnknownNameError, listed
from isodepth.interchange import ImportedReading, imported_readings
from isodepth.neighbors.exact import check_k
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
            f"nothing was imported into {store!r}",
            hint="'isodepth import --help' says how to import readings.",
        )
    missing: list[Missing] = []
    sets: list[PlannedSet] = []
    for entry in study.texts:
        n_before = len(missing)
        found = attempted(entry.name, functools.partial(_set, study, entry, every, missing), missing)
        if found is not None and found.selections:
            sets.append(found)
        elif len(missing) == n_before:
            wanted = [_in_words(plain) for plain in study.extraction_options(False)]
            reason = f"of what the study reads ({'; '.join(wanted)}) nothing was imported"
            missing.append(Missing(what=entry.name, reason=reason))
    return StudyPlan(
        study=study,
        imported=True,
        readings=(),
        sets=tuple(sets),
        missing=tuple(dict.fromkeys(missing)),
        n_stored_matrices=n_stored_matrices(sets, store),
        notes=tuple(_kinds_left_out(study, sets)),
    )


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


def _set(
    study: Study, entry: StudyTexts, every: Sequence[ImportedReading], missing: list[Missing]
) -> PlannedSet:
    left_name = entry.left if entry.is_pair else entry.name
    left = _readings_of(left_name, every, also=entry.left)
    right = _readings_of(entry.right, every) if entry.right is not None else None
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
            left=_side(study, left, missing),
            right=None if right is None else _side(study, right, missing),
            texts_digest=left[0].texts_digest,
            pairing=pairing,
        ),
    )


def _readings_of(
    name: str, every: Sequence[ImportedReading], *, also: str | None = None
) -> list[ImportedReading]:
    """Return the imported readings of one text set, which must all be of the same texts."""
    found = [one for one in every if one.texts in (name, also)]
    if not found:
        raise UnknownNameError(
            f"no reading of {name} was imported; there are readings of "
            f"{listed(sorted({one.texts for one in every}), most=20)}"
        )
    digests = sorted({one.texts_digest for one in found})
    if len(digests) > 1:
        raise TextsError(
            f"readings of different texts were imported under the name {name}: digests "
            f"{listed(digests)}",
            hint="import one of them under another name.",
        )
    return found


def _side(study: Study, readings: Sequence[ImportedReading], missing: list[Missing]) -> Side:
    """Return the readings by the readers' labels; what the study wants and is not there is noted."""
    by_model: dict[tuple[str, bool], dict[ExtractionOptions, ImportedReading]] = defaultdict(dict)
    for one in readings:
        for name in {one.model, one.model_repository}:
            if name is not None and one.metric == study.metric:
                by_model[name, one.options.chat][one.options] = one
    there = {(one.options.capture, one.options.pooling) for one in readings}
    wanted = [
        options
        for options in study.extraction_options(False)
        if (options.capture, options.pooling) in there
    ]
    side: Side = {}
    for model in study.models:
        for chat in (False, True) if model in study.also_as_chat else (False,):
            label = study.shown(model) + " as chat" * chat
            for plain in wanted:
                fitting = [
                    (options, one)
                    for options, one in by_model.get((model, chat), {}).items()
                    if (options.capture, options.pooling) == (plain.capture, plain.pooling)
                ]
                as_cut = [found for found in fitting if found[0].max_tokens == study.max_tokens]
                enough = [found for found in as_cut if found[1].k >= max(study.ks)]
                if enough:
                    options, one = enough[0]
                    side.setdefault(label, {})[options] = one
                    continue
                reason = f"it was not imported ({_in_words(plain)})"
                if fitting and not as_cut:
                    cuts = sorted({str(options.max_tokens) for options, _ in fitting})
                    reason = (
                        f"it was imported with max_tokens = {listed(cuts)}, and "
                        f"{study.max_tokens} is wanted ({_in_words(plain)})"
                    )
                elif as_cut:
                    most = max(one.k for _, one in as_cut)
                    reason = (
                        f"{most:,} neighbors were imported and k = {max(study.ks):,} is wanted "
                        f"({_in_words(plain)}); import it again with a larger --keep"
                    )
                missing.append(Missing(what=f"{label} on {readings[0].texts}", reason=reason))
    return side


def _in_words(options: ExtractionOptions) -> str:
    return f"capture {options.capture}, pooling {options.pooling}"


def _described(reading: ImportedReading) -> dict[str, Any]:
    return {
        "name": reading.texts,
        "n_texts": reading.n_texts,
        "digest": reading.texts_digest,
        "provenance": {"imported": True},
    }
