"""What does a study need, and what of it is there? Answered before anything is computed.

A study names models and text sets; a plan holds them found and loaded: the readings (each model on each
text set, once however many matrices need it), the matrices, and what cannot be had, with the reason.

>>> plan = plan_study(load_study("studies/small.toml"), Store())                 # doctest: +SKIP
>>> [reading.label for reading in plan.readings if reading.state != "done"]      # doctest: +SKIP

Memory: the texts.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from isodepth.activations import ExtractionOptions
from isodepth.activations.chat import refuse_no_template
from isodepth.affinity import measure_named
from isodepth.errors import IsodepthError
from isodepth.interchange import ImportedReading
from isodepth.models import ModelSource, has_chat_template, resolve_model
from isodepth.neighbors.exact import check_k
from isodepth.pipeline import estimates
from isodepth.pipeline.labels import told_apart
from isodepth.pipeline.matrices import STAGE as AFFINITIES
from isodepth.pipeline.matrices import Reader, Selection
from isodepth.pipeline.planned import Missing, PlannedReading, PlannedSet, StudyPlan
from isodepth.pipeline.readings import Reading, StoredNames
from isodepth.progress import Progress, no_progress
from isodepth.results import MatrixKind
from isodepth.store import ArrayProgress, Store
from isodepth.study import Study, StudyTexts
from isodepth.texts import Pairing, ParallelTexts, TextSet

Named = TypeVar("Named")


def plan_study(
    study: Study,
    store: Store,
    *,
    imported: bool = False,
    measures_speed: bool = True,
    progress: Progress = no_progress,
) -> StudyPlan:
    """Return what a study needs and what of it is there; loads texts, but no model.

    Parameters
    ----------
    study : Study
        The study.
    store : Store
        Where results are.
    imported : bool
        Take the readings that were imported (`isodepth.interchange`), and run no model.
    measures_speed : bool
        Whether this machine's processor will do the readings, so that its speed tells how long.
    progress : Progress
        Told of downloads of texts.
    """
    if imported:
        from isodepth.pipeline.plan_imported import plan_of_imported

        return plan_of_imported(study, store)
    missing: list[Missing] = []
    sources = _found_models(study, missing)
    with_chat = _with_chat_template(study, sources, missing)
    records = estimates.Records.of(store)
    names = StoredNames.of(store)
    texts_labels: dict[str, str] = {}
    readings: dict[tuple[str, str, bool], PlannedReading] = {}
    sets: list[PlannedSet] = []
    for entry in study.texts:
        pair = attempted(entry.name, functools.partial(_loaded, entry, study, progress), missing)
        if pair is None:
            continue

        def readers(texts: TextSet) -> dict[str, Reading]:
            """Return the readings of one side by their labels, and plan those that are new."""
            found: dict[str, Reading] = {}
            for written, source in sources.items():
                for chat in (False, True) if written in with_chat else (False,):
                    label = source.name + " as chat" * chat
                    planned = readings.get((source.digest, texts.digest, chat))
                    if planned is None:
                        reading = _reading(study, written, source, texts, chat)
                        planned = _planned(
                            label, reading, study, store, names, records, measures_speed=measures_speed
                        )
                        texts_label = _texts_label(texts, texts_labels)
                        planned = replace(planned, label=f"{label} on {texts_label}", texts=texts_label)
                        readings[source.digest, texts.digest, chat] = planned
                    found[label] = planned.reading
            return found

        sets.append(
            PlannedSet(
                name=entry.name,
                texts=pair.left.described(),
                right_texts=pair.right.described() if entry.is_pair else None,
                selections=selections_of(
                    study,
                    left=readers(pair.left),
                    right=readers(pair.right) if entry.is_pair else None,
                    texts_digest=pair.left.digest,
                    pairing=pair.pairing if entry.is_pair else None,
                ),
            )
        )
    order = {source.digest: place for place, source in enumerate(sources.values())}
    by_model = sorted(readings.values(), key=lambda planned: order[planned.reading.source.digest])
    whole = tuple(one for one in sets if one.selections)
    return StudyPlan(
        study=study,
        imported=False,
        readings=tuple(by_model),
        sets=whole,
        missing=tuple(missing),
        n_stored_matrices=n_stored_matrices(whole, store),
    )


def n_stored_matrices(sets: Sequence[PlannedSet], store: Store) -> int:
    """Return how many of the matrices of text sets are in the store, by their names."""
    return sum(
        store.manifest(AFFINITIES, selection.key) is not None
        for planned in sets
        for selection in planned.selections.values()
    )


def attempted(what: str, attempt: Callable[[], Named], missing: list[Missing]) -> Named | None:
    """Return what an attempt gives, or None after noting why it cannot be had."""
    try:
        return attempt()
    except IsodepthError as error:
        missing.append(Missing.of(what, error))
        return None


def _found_models(study: Study, missing: list[Missing]) -> dict[str, ModelSource]:
    """Return the models that can be had by their names in the study, under labels of their own."""
    found: dict[str, ModelSource] = {}
    for written in study.models:
        source = attempted(
            study.shown(written),
            functools.partial(_found_model, study, written),
            missing,
        )
        if source is not None:
            found[written] = source
    numbers = [str(number) for number, written in enumerate(study.models, 1) if written in found]
    return dict(zip(found, told_apart(list(found.values()), numbers=numbers), strict=True))


def _found_model(study: Study, written: str) -> ModelSource:
    return resolve_model(written, options=study.loading, fetch=False)


def _with_chat_template(
    study: Study, sources: Mapping[str, ModelSource], missing: list[Missing]
) -> set[str]:
    """Return the models that also read texts as chat; note those that have no template for it."""
    found: set[str] = set()
    for written, source in sources.items():
        if written not in study.also_as_chat:
            continue
        if has_chat_template(source) is False:
            refused = functools.partial(refuse_no_template, False, source.name)
            attempted(f"{source.name} as chat", refused, missing)
        else:
            found.add(written)
    return found


def _texts_label(texts: TextSet, labels: dict[str, str]) -> str:
    """Return what a text set is called in labels: its name, unless other texts are called so."""
    if texts.digest not in labels:
        name, taken = texts.name, set(labels.values())
        if name in taken:
            name = f"{texts.name} ({len(texts):,} texts)"
        while name in taken:
            name += "'"
        labels[texts.digest] = name
    return labels[texts.digest]


def _loaded(entry: StudyTexts, study: Study, progress: Progress) -> ParallelTexts:
    pair = entry.load(progress)
    check_k(max(study.ks), len(pair))
    return pair


def _reading(study: Study, written: str, source: ModelSource, texts: TextSet, chat: bool) -> Reading:
    return Reading(
        source=source,
        texts=texts,
        options=study.extraction_options(chat),
        metric=study.metric,
        preprocessing=study.preprocessing,
        least_k=max(study.ks),
        wanted_k=min(study.keep_neighbors, len(texts) - 1),
        kept_k=study.keep_neighbors,
        keep_activations=study.keep_activations or study.compares_activations,
        written=written,
        loading=study.loading,
    )


def _planned(
    label: str,
    reading: Reading,
    study: Study,
    store: Store,
    names: StoredNames,
    records: estimates.Records,
    *,
    measures_speed: bool,
) -> PlannedReading:
    state, so_far = _state(reading, store, names)
    size = estimates.model_size(reading.source, records)
    n_tokens = estimates.estimated_tokens(reading, records)
    resources = study.resources_of(reading.written or "")
    on_cpu = estimates.reads_on_cpu(study.loading) if measures_speed else not resources.gpus
    speed = estimates.estimated_speed(
        reading.source, size, records, on_cpu=on_cpu, measures=measures_speed
    )
    left = 1 - (so_far.n_done / so_far.n_texts if so_far is not None else 0)
    seconds = None if speed is None else left * n_tokens / speed
    done = state == "done"
    return PlannedReading(
        label=label,
        model=label,
        texts=reading.texts.name,
        reading=reading,
        resources=resources,
        state=state,
        so_far=so_far,
        n_tokens=n_tokens,
        seconds=0.0 if done else seconds,
        kept_bytes=0 if done else estimates.kept_bytes(reading, size),
        passing_bytes=0 if done else estimates.passing_bytes(reading, size),
    )


def _state(reading: Reading, store: Store, names: StoredNames) -> tuple[str, ArrayProgress | None]:
    """Return how a reading stands by the names in the store, and how far it is."""
    if reading.seems_done(names):
        return "done", None
    so_far = None
    for options in reading.options:
        found = store.unfinished_progress("activations", reading.activations_key(options))
        if found is not None and (so_far is None or found.n_done < so_far.n_done):
            so_far = found
    keys = [reading.activations_key(options) for options in reading.options]
    if any(store.is_locked("activations", key) for key in keys):
        return "running", so_far
    return ("to do" if so_far is None else "begun"), so_far


def selections_of(
    study: Study,
    *,
    left: Mapping[str, Reading | Mapping[ExtractionOptions, ImportedReading]],
    right: Mapping[str, Reading | Mapping[ExtractionOptions, ImportedReading]] | None,
    texts_digest: str,
    pairing: Pairing | None,
) -> dict[MatrixKind, Selection]:
    """Return all matrices of a text set.

    Parameters
    ----------
    study : Study
        Captures, poolings, measures and ks.
    left, right : mapping
        The readings of each side by the readers' labels; an imported reader has one for each of the
        options. None on the right where all readers are compared with each other.
    texts_digest, pairing
        As in `Selection`.
    """
    found: dict[MatrixKind, Selection] = {}
    for plain in study.extraction_options(False):
        rows = _readers(left, plain)
        columns = None if right is None else _readers(right, plain)
        if not rows or columns == ():
            continue
        # of imported readings there are neighbors alone, as they were found
        is_read_here = all(isinstance(one.reading, Reading) for one in (*rows, *(columns or ())))
        for measure in study.measures:
            if measure_named(measure).reads == "activations" and not is_read_here:
                continue
            for k in study.ks if measure_named(measure).takes_k else (0,):
                kind = MatrixKind(measure, k, plain.capture, str(plain.pooling))
                found[kind] = Selection(
                    left=rows,
                    right=columns,
                    measure=measure,
                    k=k,
                    metric=study.metric,
                    preprocessing=study.preprocessing if is_read_here else "none",
                    texts_digest=texts_digest,
                    pairing=pairing,
                )
    return found


def _readers(
    side: Mapping[str, Reading | Mapping[ExtractionOptions, ImportedReading]],
    plain: ExtractionOptions,
) -> tuple[Reader, ...]:
    """Return the readers of one capture and pooling, of those that have it."""
    found: list[Reader] = []
    for label, reading in side.items():
        if isinstance(reading, Reading):
            options = replace(plain, chat=reading.options[0].chat)
            found.append(Reader(label=label, reading=reading, options=options))
            continue
        found += [
            Reader(label=label, reading=one, options=options)
            for options, one in reading.items()
            if (options.capture, options.pooling) == (plain.capture, plain.pooling)
        ]
    return tuple(found)
