"""What is a piece of a run, and what does an engine make of it?

A run is cut into tasks that need nothing of each other while they work: what they share goes through
the store. An `Engine` works them off, on this machine or on many, and gives one `Outcome` for each.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from isodepth.progress import Progress
from isodepth.study import Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A piece of a run.

    Parameters
    ----------
    label : str
        What people see; unique in a run.
    work : Callable
        ``work(progress, wait)`` does the piece and returns True; where another run is at the same
        piece, it waits for that one if `wait` is True, and returns False at once otherwise. A
        module-level function in a `functools.partial` over frozen dataclasses, so that it can travel
        to another machine.
    resources : Resources
        What the piece takes of a machine: CPUs, GPUs, memory.
    then : Task or None
        What follows once the work is done, to end the piece: it takes other resources, and may run on
        another machine. Its label is the same, and nothing follows it. Where its work returns False,
        the whole task is tried again.
    """

    label: str
    work: Callable[[Progress, bool], bool]
    resources: Resources
    then: "Task | None" = None

    @property
    def steps(self) -> tuple["Task", ...]:
        """The task, and what follows it."""
        return (self,) if self.then is None else (self, self.then)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a task ended, with what follows it.

    Parameters
    ----------
    task : Task
        The task.
    error : Exception or None
        What stopped it; None where it is done. It has no traceback: the frames would keep what the work
        held, a model for example, as long as the outcome is kept.
    seconds : float
        How long the work of its steps took.
    trace : str
        Where it stopped, as text, of errors that were raised in this process.
    warnings : tuple of Warning
        isodepth's warnings that were raised in another process, to be shown in this one.
    """

    task: Task
    error: Exception | None
    seconds: float
    trace: str = ""
    warnings: tuple[Warning, ...] = ()


@runtime_checkable
class Engine(Protocol):
    """Works off tasks, all `steps` of each.

    A task that raises an `Exception` has an `Outcome` with that error; what would follow it is left
    out, and the others go on. A task whose work returns False is tried again after the others, at last
    with ``wait=True``.
    `KeyboardInterrupt` passes through.

    Attributes
    ----------
    name : str
        The name that people choose the engine by.
    shares_process : bool
        Whether tasks run in this process, so that a loaded model may be kept from one to the next.
    """

    name: str
    shares_process: bool

    def run(self, tasks: Sequence[Task], *, progress: Progress) -> Generator[Outcome, None, None]:
        """Give each task's outcome, as they end; closing the generator stops what still runs."""
        ...
