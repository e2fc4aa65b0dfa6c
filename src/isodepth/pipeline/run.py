"""A study, run until it is done: what is missing is computed, what is there is verified and kept.

First the readings (a model on a text set), then the matrices of each text set, then the results. All
pieces are tasks of an engine; they share nothing but the store, so any of them may be interrupted, and
the next run goes on. A piece that fails is told, and the others go on without it.

>>> results = run_study(load_study("studies/demo.toml"), "results/demo")         # doctest: +SKIP

Memory: the texts; in the engine's processes one model at a time; the matrices of one text set.
"""

import contextlib
import functools
import logging
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from isodepth.activations.result import EXTRACTION_VERSION
from isodepth.affinity import AFFINITY_VERSION
from isodepth.atomic import refuse_unwritable
from isodepth.comparison import versions
from isodepth.engines import Engine, LocalEngine, Outcome, Task
from isodepth.errors import IsodepthError, StoreError
from isodepth.neighbors import NEIGHBORS_VERSION
from isodepth.pipeline.matrices import Reader, Selection, relate, stored_matrices
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import Missing, PlannedReading, PlannedSet, StudyPlan
from isodepth.pipeline.reading_work import ModelShelf, read
from isodepth.pipeline.readings import Reading
from isodepth.progress import Progress, no_progress
from isodepth.results import (
    MatrixKind,
    StudyResults,
    TextSetResults,
    load_results,
    write_manifest,
    write_text_set,
)
from isodepth.store import RemoteStore, Store, open_store
from isodepth.study import Resources, Study, load_study

logger = logging.getLogger("isodepth.run")
STAGE_VERSIONS = {
    "activations": EXTRACTION_VERSION,
    "neighbors": NEIGHBORS_VERSION,
    "affinities": AFFINITY_VERSION,
}
"""The present version of the code of each stage."""
COMPARING = Resources(cpus=1)
"""What comparing layers asks of a cluster, which takes seconds."""


def no_report(outcome: Outcome) -> None:
    """Ignore how a task ended."""
    del outcome


def run_study(
    study: Study | StudyPlan | Path | str,
    out: Path | str,
    *,
    store: Store | Path | str | None = None,
    engine: Engine | None = None,
    imported: bool = False,
    progress: Progress = no_progress,
    report: Callable[[Outcome], None] = no_report,
) -> StudyResults:
    """Return the results of a study, after computing what is missing and writing them to a folder.

    Parameters
    ----------
    study : Study, StudyPlan, Path or str
        A study, its plan, or a study file.
    out : Path or str
        Folder for the results; see `StudyResults`.
    store : Store, Path or str, optional
        Where readings and matrices are kept: a store, a folder, or a URL that fsspec knows. `Store()`
        where it is left out.
    engine : Engine, optional
        Where tasks run; this process where it is left out.
    imported : bool
        Take the readings that were imported, and run no model.
    progress : Progress
        Told how far the work is.
    report : callable
        Told how each task ended.

    Returns
    -------
    StudyResults
        With what could not be had in `missing`.

    Raises
    ------
    StudyError, UnknownNameError
        If the study cannot be read.
    StoreError
        If the store or the folder cannot be written, or there is nothing to write.
    """
    place = Path(out)
    refuse_unwritable(place)
    on = LocalEngine() if engine is None else engine
    kept = open_store(store)
    if not on.shares_process and not isinstance(kept, RemoteStore):
        kept = Store(kept.root.absolute())  # other processes work in other folders
    if not isinstance(study, StudyPlan):
        loaded = study if isinstance(study, Study) else load_study(study)
        plan = plan_study(loaded, kept, imported=imported, progress=progress)
    else:
        plan = study
    failed: dict[str, Missing] = {}

    def ended(outcome: Outcome) -> None:
        _tell(outcome)
        report(outcome)
        if isinstance(outcome.error, StoreError) and isinstance(outcome.error.__cause__, OSError):
            raise outcome.error  # no space, no permission: no other task would fare better
        if outcome.error is not None:
            failed[outcome.task.label] = Missing.of(outcome.task.label, outcome.error)

    def run(what: str, tasks: list[Task], n_in_all: int) -> None:
        if not n_in_all:
            return
        n_ended = n_in_all - len(tasks)
        progress(what, n_ended, n_in_all, what)
        with contextlib.closing(on.run(tasks, progress=progress)) as outcomes:
            for outcome in outcomes:
                n_ended += 1
                progress(what, n_ended, n_in_all, what)
                ended(outcome)

    shelf = ModelShelf() if on.shares_process else None
    readings = [
        _reading_task(planned, kept, shelf)
        for planned in plan.readings
        if planned.state != "done" or planned.reading.missing(kept)
    ]
    run("readings", readings, len(plan.readings))
    del readings, shelf  # both hold the last model
    damaged = _damaged_imports(plan, kept)
    failed |= {one.what: one for one in damaged.values()}
    sets = [
        found
        for one in plan.sets
        if (found := _without_failed(one, plan, {*failed, *damaged}, kept)).selections
    ]
    related = [task for one in sets for task in _matrix_tasks(one, kept)]
    run("comparisons", related, sum(len(_groups(one)) for one in sets))
    reasons = [*plan.missing, *failed.values()]
    done = [found for one in sets if (found := _compared(one, failed)).selections]
    if not done:
        raise StoreError(
            f"{plan.study.name}: there is nothing to write, because all of it failed; first: "
            f"{reasons[0].what}: {reasons[0].reason}"
            if reasons
            else f"{plan.study.name}: there is nothing to write",
            hint=reasons[0].hint if reasons else None,
        )
    _write(place, plan, done, kept, reasons, progress)
    return load_results(place)


def _tell(outcome: Outcome) -> None:
    """Log how a task ended, and show the warnings that it brought from another process."""
    label, error = outcome.task.label, outcome.error
    if error is None:
        logger.info("%s: done in %.1f s", label, outcome.seconds)
    elif isinstance(error, IsodepthError):
        logger.error("%s: %s", label, error)
    else:
        logger.error("%s: failed", label, exc_info=error)
    for warning in outcome.warnings:
        warnings.warn(warning, stacklevel=3)


def _reading_task(planned: PlannedReading, store: Store, shelf: ModelShelf | None) -> Task:
    work = functools.partial(read, planned.reading, store)
    if shelf is not None:
        work = functools.partial(work, shelf=shelf)
    return Task(label=planned.label, work=work, resources=planned.resources)


def _damaged_imports(plan: StudyPlan, store: Store) -> dict[str, Missing]:
    """Return the imported readings that can no longer be read, by their keys; all are verified."""
    readers = {
        reader.key: reader
        for planned in plan.sets
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
        if not isinstance(reader.reading, Reading)
    }
    damaged: dict[str, Missing] = {}
    for key, reader in readers.items():
        try:
            reader.neighbors(store)
        except StoreError as error:
            damaged[key] = Missing.of(f"{reader.label} on {reader.reading.texts}", error)
    return damaged


def _without_failed(
    planned: PlannedSet, plan: StudyPlan, failed: Collection[str], store: Store
) -> PlannedSet:
    """Return a text set without the readers whose readings failed, by labels of tasks or keys."""
    failed_readings = {
        (one.reading.source.digest, one.reading.texts.digest, one.reading.options[0].chat)
        for one in plan.readings
        if one.label in failed
    }
    if not failed:
        return planned

    def is_lost(reader: Reader) -> bool:
        reading = reader.reading
        if not isinstance(reading, Reading):
            return reading.key in failed
        identity = (reading.source.digest, reading.texts.digest, reader.options.chat)
        # of several captures some may have been read
        return identity in failed_readings and not reading.neighbors_names(store, reader.options)

    def there(readers: tuple[Reader, ...]) -> tuple[Reader, ...]:
        return tuple(reader for reader in readers if not is_lost(reader))

    selections = {
        kind: replace(
            selection,
            left=there(selection.left),
            right=None if selection.right is None else there(selection.right),
        )
        for kind, selection in planned.selections.items()
    }
    whole = {kind: one for kind, one in selections.items() if one.left and one.columns}
    return replace(planned, selections=whole)


def _groups(planned: PlannedSet) -> dict[tuple[str, str], list[Selection]]:
    """Return the matrices of a text set by capture and pooling; each group has the same readers."""
    groups: dict[tuple[str, str], list[Selection]] = defaultdict(list)
    for kind, selection in planned.selections.items():
        groups[kind.capture, kind.pooling].append(selection)
    return groups


def _matrix_tasks(planned: PlannedSet, store: Store) -> Iterator[Task]:
    """Yield a task for each capture and pooling of a text set of which a matrix is missing."""
    for (capture, pooling), selections in _groups(planned).items():
        # all are read, so that every damaged one is named now
        missing = [one for one in selections if stored_matrices(one, store) is None]
        if missing:
            yield Task(
                label=_matrix_label(planned, capture, pooling),
                work=functools.partial(relate, tuple(missing), store),
                resources=COMPARING,
            )


def _matrix_label(planned: PlannedSet, capture: str, pooling: str) -> str:
    several = len({(kind.capture, kind.pooling) for kind in planned.selections}) > 1
    return f"comparing layers on {planned.name}" + f" ({capture}, {pooling})" * several


def _compared(planned: PlannedSet, failed: Collection[str]) -> PlannedSet:
    """Return a text set without the matrices whose computation failed."""
    return replace(
        planned,
        selections={
            kind: selection
            for kind, selection in planned.selections.items()
            if _matrix_label(planned, kind.capture, kind.pooling) not in failed
        },
    )


def _write(
    place: Path,
    plan: StudyPlan,
    sets: list[PlannedSet],
    store: Store,
    missing: list[Missing],
    progress: Progress,
) -> None:
    """Write the results, one text set after the other."""
    label = "writing results"
    progress(label, 0, len(sets), "steps")
    written: dict[str, TextSetResults] = {}
    for number, planned in enumerate(sets, 1):
        results = _results(planned, store)
        write_text_set(place, results)
        written[planned.name] = replace(results, matrices={})
        progress(label, number, len(sets), "steps")
    manifest = {
        "name": plan.study.name,
        "study": plan.study.as_dict(),
        "readings": "imported" if plan.imported else "by the models",
        "sets": {name: dict(results.description) for name, results in written.items()},
        "missing": [one.as_dict() for one in missing],
        "versions": versions(),
        "stage_versions": STAGE_VERSIONS,
        "notes": [
            "similarity is the mean share of neighbors in common, in [0, 1]; layers count from 1",
            "cells of one matrix are not independent samples: texts are",
            *plan.notes,
        ],
    }
    wanted = [texts.name for texts in plan.study.texts]
    write_manifest(place, manifest, written, spared=wanted)


def _results(planned: PlannedSet, store: Store) -> TextSetResults:
    """Return the matrices of a text set, and what is known of them.

    Raises
    ------
    StoreError
        If a matrix has been removed from the store meanwhile.
    """
    matrices = {}
    for kind, selection in planned.selections.items():
        found = stored_matrices(selection, store)
        if found is None:
            raise StoreError(
                f"the matrices of {planned.name} ({kind}) are no longer in the store",
                hint="run the study again.",
            )
        matrices[kind] = replace(found, texts=planned.name)
    readers = {
        (reader.label, reader.key): reader
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
    }
    description = {
        "texts": dict(planned.texts),
        "right_texts": None if planned.right_texts is None else dict(planned.right_texts),
        "readings": [_described(reader, store) for reader in readers.values()],
        "matrices": [_described_matrix(kind, one) for kind, one in planned.selections.items()],
    }
    return TextSetResults(name=planned.name, matrices=matrices, description=description)


def _described_matrix(kind: MatrixKind, selection: Selection) -> dict[str, Any]:
    return {"kind": kind._asdict(), "key": selection.key, "array": kind.array}


def _described(reader: Reader, store: Store) -> dict[str, Any]:
    """Return who read what and how, without anything that differs from one run to the next."""
    reading = reader.reading
    if not isinstance(reading, Reading):
        return {
            "label": reader.label,
            "model": reading.model,
            "model_digest": reading.model_digest,
            "texts_digest": reading.texts_digest,
            "options": reader.options.as_dict(),
            "neighbors": reading.key,
            "provenance": dict(reading.provenance),
        }
    key = reading.neighbors_key(reader.options)
    names = reading.neighbors_names(store, reader.options)
    manifest = (store.manifest("neighbors", names[0]) if names else None) or {}
    provenance = manifest.get("provenance", {})
    encoding, contract = provenance.get("encoding", {}), provenance.get("contract", {})
    return {
        "label": reader.label,
        "model": reading.source.name,
        "model_digest": reading.source.digest,
        "texts_digest": reading.texts.digest,
        "options": reader.options.as_dict(),
        "metric": reading.metric,
        "neighbors": key,
        "activations": reading.activations_key(reader.options),
        "n_layers": manifest.get("n_layers"),
        **{name: provenance.get(name) for name in ("architecture", "dtype", "quantization", "device")},
        "batching": contract.get("batching"),
        "skipped_blocks": contract.get("skipped_blocks"),
        **{
            name: encoding.get(name)
            for name in ("n_tokens", "n_distinct_inputs", "n_truncated", "max_tokens", "chat_template")
        },
    }
