"""The engine of one machine: tasks run in this process, one after another, in the order given."""

import time
import traceback
from collections.abc import Generator, Sequence

from isodepth.engines.task import Outcome, Task
from isodepth.progress import Progress


class LocalEngine:
    """Runs tasks one after another in this process.

    A task that another run is at is put off until the others are done, and then waited for.
    """

    name = "local"
    shares_process = True

    def run(self, tasks: Sequence[Task], *, progress: Progress) -> Generator[Outcome, None, None]:
        """Yield what became of each task, as they end."""
        put_off: list[Task] = []
        for task in tasks:
            outcome = _outcome(task, progress, wait=False)
            if outcome is None:
                put_off.append(task)
            else:
                yield outcome
            del outcome  # nothing of one task is kept while the next one runs
        for task in put_off:
            outcome = _outcome(task, progress, wait=True)
            assert outcome is not None  # it was waited for
            yield outcome
            del outcome


def _outcome(task: Task, progress: Progress, *, wait: bool) -> Outcome | None:
    """Return what became of a task, or None where another run is at it."""

    def told(label: str, done: int, total: int, unit: str) -> None:
        progress(f"{task.label}: {label}", done, total, unit)

    started = time.monotonic()
    try:
        if not all(step.work(told, wait) for step in task.steps):
            return None
    except Exception as error:  # noqa: BLE001 - a task's failure is told, and the others go on
        seconds = time.monotonic() - started
        trace = traceback.format_exc()
        return Outcome(task=task, error=without_frames(error), seconds=seconds, trace=trace)
    return Outcome(task=task, error=None, seconds=time.monotonic() - started)


def without_frames(error: Exception) -> Exception:
    """Return an error after taking the tracebacks from it and from those that it came of.

    Their frames hold what the work held when it stopped: the model, the batch.
    """
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
    return error
