"""The engine of one machine: tasks run in this process, one after another, in the order given."""

import time
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
        for task in put_off:
            outcome = _outcome(task, progress, wait=True)
            assert outcome is not None  # it was waited for
            yield outcome


def _outcome(task: Task, progress: Progress, *, wait: bool) -> Outcome | None:
    """Return what became of a task, or None where another run is at it."""

    def told(label: str, done: int, total: int, unit: str) -> None:
        progress(f"{task.label}: {label}", done, total, unit)

    started = time.monotonic()
    try:
        if not task.work(told, wait):
            return None
        error = None
    except Exception as problem:  # noqa: BLE001 - a task's failure is told, and the others go on
        error = problem
    return Outcome(task=task, error=error, seconds=time.monotonic() - started)
