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

from isodepth.atomic import refuse_unwritable
from isodepth.engines import Engine, LocalEngine, Outcome, Task
from isodepth.errors import IsodepthError, StoreError
from isodepth.interchange import ImportedReading
from isodepth.pipeline.matrices import STAGE as MATRICES
from isodepth.pipeline.matrices import Reader, Selection, relate, stored_matrices
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import Missing, PlannedReading, PlannedSet, StudyPlan
from isodepth.pipeline.reading_work import STEPS, ModelShelf, read
from isodepth.pipeline.readings import Reading, StoredNames
from isodepth.pipeline.written_results import write_results
from isodepth.progress import Progress, no_progress
from isodepth.results import StudyResults, load_results, refuse_other_results
from isodepth.store import RemoteStore, Store, open_store
from isodepth.study import Resources, Study, load_study

logger = logging.getLogger("isodepth.run")
COMPARING = Resources(cpus=1)
"""What comparing layers asks of a cluster, which takes seconds."""


VERIFYING = "verifying what the store has"


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
        If the store or the folder cannot be written, the folder holds other results, or there is
        nothing to write.
    """
    place = Path(out)
    refuse_unwritable(place)
    on = LocalEngine() if engine is None else engine
    kept = open_store(store)
    if not on.shares_process and not isinstance(kept, RemoteStore):
        kept = Store(kept.root.absolute())  # other processes work in other folders
    wanted = load_study(study) if isinstance(study, (Path, str)) else study
    refuse_other_results(place, wanted.name if isinstance(wanted, Study) else wanted.study.name)
    if isinstance(wanted, Study):
        plan = plan_study(wanted, kept, imported=imported, progress=progress)
    else:
        plan = wanted
    with kept.running():
        _run_plan(plan, place, kept, on, progress, report)
    return load_results(place)


def _run_plan(
    plan: StudyPlan,
    place: Path,
    kept: Store,
    on: Engine,
    progress: Progress,
    report: Callable[[Outcome], None],
) -> None:
    """Compute what is missing of a plan and write its results to a folder; see `run_study`."""
    failed: dict[str, Missing] = {}

    def ended(outcome: Outcome) -> None:
        _tell(outcome)
        report(outcome)
        if isinstance(outcome.error, StoreError) and outcome.error.is_systemic:
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
                del outcome  # nothing of one task is kept while the next one runs

    shelf = ModelShelf() if on.shares_process else None
    incomplete = _incomplete(plan, kept, progress)
    readings = [_reading_task(planned, plan.study, kept, shelf) for planned in incomplete]
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
    done = [found for one in sets if (found := _compared(one, kept, failed)).selections]
    if not done:
        raise StoreError(
            f"{plan.study.name}: there is nothing to write, because all of it failed; first: "
            f"{reasons[0].what}: {reasons[0].reason}"
            if reasons
            else f"{plan.study.name}: there is nothing to write",
            hint=reasons[0].hint if reasons else None,
        )
    write_results(place, plan, done, kept, reasons, progress)


def _tell(outcome: Outcome) -> None:
    """Log how a task ended, and show the warnings that it brought from another process."""
    label, error = outcome.task.label, outcome.error
    if error is None:
        logger.info("%s: done in %.1f s", label, outcome.seconds)
    elif isinstance(error, IsodepthError):
        logger.error("%s: %s", label, error)
    else:
        logger.error("%s: failed\n%s", label, outcome.trace or f"{type(error).__name__}: {error}")
    for warning in outcome.warnings:
        warnings.warn(warning, stacklevel=3)


def _incomplete(plan: StudyPlan, store: Store, progress: Progress) -> list[PlannedReading]:
    """Return the readings of which something is missing or damaged.

    Neighbors that matrices are to be computed from are read in full for that. Of others it is enough
    that they are as they were when they were last read; see `Store.is_whole`.
    """
    there = plan.with_state("done")
    names = StoredNames.of(store)
    matrices = set(store.keys(MATRICES))
    used = {
        reader.reading.neighbors_key(reader.options)
        for one in plan.sets
        for selection in one.selections.values()
        if selection.key not in matrices
        for reader in (*selection.left, *selection.columns)
        if isinstance(reader.reading, Reading)
    }
    damaged: set[str] = set()
    for number, planned in enumerate(there):
        progress(VERIFYING, number, len(there), "readings")
        if planned.reading.missing(store, names=names, in_full=used):
            damaged.add(planned.label)
    if there:
        progress(VERIFYING, len(there), len(there), "readings")
    return [one for one in plan.readings if one.state != "done" or one.label in damaged]


def _reading_task(
    planned: PlannedReading, study: Study, store: Store, shelf: ModelShelf | None
) -> Task:
    """Return the task of a reading: on a cluster two steps, where neighbors need other resources.

    A store at a URL keeps on the node what is not finished, so that there the same task does both.
    """
    reading, label = planned.reading, planned.label
    work = functools.partial(read, reading, store)
    if shelf is not None:
        return Task(label=label, work=functools.partial(work, shelf=shelf), resources=planned.resources)
    finding = study.resources_for_neighbors(reading.written or "")
    if finding == planned.resources or isinstance(store, RemoteStore):
        return Task(label=label, work=work, resources=planned.resources)
    first, second = (functools.partial(work, steps=(step,)) for step in STEPS)
    then = Task(label=label, work=second, resources=finding)
    return Task(label=label, work=first, resources=planned.resources, then=then)


def _damaged_imports(plan: StudyPlan, store: Store) -> dict[str, Missing]:
    """Return the imported readings that can no longer be read, by their keys; all are verified."""
    imported = {
        reader.key: (reader.label, reader.reading)
        for planned in plan.sets
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
        if isinstance(reader.reading, ImportedReading)
    }
    damaged: dict[str, Missing] = {}
    for key, (label, reading) in imported.items():
        try:
            reading.refuse_damaged(store)
        except StoreError as error:
            damaged[key] = Missing.of(f"{label} on {reading.texts}", error)
    return damaged


def _without_failed(
    planned: PlannedSet, plan: StudyPlan, failed: Collection[str], store: Store
) -> PlannedSet:
    """Return a text set without the readers whose readings failed, by labels of tasks or keys."""
    if not failed:
        return planned
    failed_readings = {
        (one.reading.source.digest, one.reading.texts.digest, one.reading.options[0].chat)
        for one in plan.readings
        if one.label in failed
    }

    has_enough: dict[str, bool] = {}

    def is_lost(reader: Reader) -> bool:
        reading = reader.reading
        if not isinstance(reading, Reading):
            return reading.key in failed
        identity = (reading.source.digest, reading.texts.digest, reader.options.chat)
        if identity not in failed_readings:
            return False
        # it may have enough to be compared: of several captures some, or fewer neighbors than wanted
        if reader.key not in has_enough:
            has_enough[reader.key] = reading.stored_neighbors(store, reader.options) is not None
        return not has_enough[reader.key]

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


def _compared(planned: PlannedSet, store: Store, failed: Collection[str]) -> PlannedSet:
    """Return a text set without the matrices that could not be computed; of a task, some may be."""
    return replace(
        planned,
        selections={
            kind: selection
            for kind, selection in planned.selections.items()
            if _matrix_label(planned, kind.capture, kind.pooling) not in failed
            or stored_matrices(selection, store) is not None
        },
    )
