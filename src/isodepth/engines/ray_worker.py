"""What happens in a worker of a Ray cluster, from a task's arrival to the report of how it ended?

The worker does the work and sends back an `Ended`: never an exception, so that a call that Ray calls
failed is one whose process is gone. It reports how far it is to a `Board`, which the driver,
`isodepth.engines.ray`, reads.
"""

import contextlib
import importlib
import os
import pickle
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isodepth.errors import IsodepthError, IsodepthWarning, first_line
from isodepth.progress import Progress

PASSED_ON = ("HF_HUB_OFFLINE", "ISODEPTH_CACHE", "ISODEPTH_STORE")
"""What a worker takes from the driver's environment unless its node sets it."""

REPORT_SECONDS = 1.0
"""How often a piece of work reports how far it is."""

Report = tuple[int, int, str]  # done, total, unit


class ClusterError(IsodepthError, RuntimeError):
    """A cluster that cannot be reached or is lost, or that cannot do what a task asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task as it travels to a worker.

    Parameters
    ----------
    work : bytes
        The pickled work. Opening it loads the libraries that it needs, which must come after the
        environment is set.
    wait : bool
        Whether the work waits for another run that is at the same piece.
    passed_on : mapping
        The driver's values of `PASSED_ON`.
    version : str
        The driver's version of isodepth.
    number : int
        Tells the reports of this call from those of others.
    """

    work: bytes
    wait: bool
    passed_on: Mapping[str, str]
    version: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a call ended, as it travels back.

    Parameters
    ----------
    is_done : bool
        False where another run is at the same piece, or the work failed.
    seconds : float
        How long the work took.
    host : str
        The node's name.
    reports : mapping
        The last report under each label.
    warnings : tuple of IsodepthWarning
        What the work warned of.
    error : Exception or None
        What stopped the work.
    trace : str
        Where it stopped.
    """

    is_done: bool
    seconds: float
    host: str
    reports: Mapping[str, Report]
    warnings: tuple[IsodepthWarning, ...]
    error: Exception | None
    trace: str


class Board:
    """Holds the newest reports until the driver takes them: an actor beside the driver."""

    def __init__(self) -> None:
        self._reports: dict[tuple[int, str], Report] = {}

    def put(self, number: int, label: str, report: Report) -> None:
        """Keep a report in place of the one before it."""
        self._reports[number, label] = report

    def take(self) -> dict[tuple[int, str], Report]:
        """Return what came since the last time."""
        reports, self._reports = self._reports, {}
        return reports

    def nodes(self) -> list[dict[str, float]]:
        """Return what each node has, under Ray's names."""
        import ray

        return [node["Resources"] for node in ray.nodes() if node["Alive"]]


class Reporter:
    """The `Progress` of a worker: sends each label's newest report, at most one a second.

    Parameters
    ----------
    send : Callable
        ``send(label, report)``; what it raises is ignored, since reports are worth less than work.
    """

    def __init__(self, send: Callable[[str, Report], object]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._sent_at: dict[str, float] = {}
        self.newest: dict[str, Report] = {}

    def __call__(self, label: str, done: int, total: int, unit: str) -> None:
        """Take a report; see `isodepth.progress.Progress`."""
        now = time.monotonic()
        with self._lock:
            self.newest[label] = (done, total, unit)
            if now - self._sent_at.get(label, -REPORT_SECONDS) < REPORT_SECONDS:
                return
            self._sent_at[label] = now
        with contextlib.suppress(Exception):
            self._send(label, (done, total, unit))


def ended(order: Order, board: Any) -> Ended:
    """Do a task's work in this process and return how it ended; `board` is Ray's handle of one."""
    for name, value in order.passed_on.items():
        os.environ.setdefault(name, value)
    report = Reporter(lambda label, report: board.put.remote(order.number, label, report))
    is_done, error, trace = False, None, ""
    started = time.monotonic()
    with _caught_warnings() as caught:
        try:
            is_done = _opened(order)(report, order.wait)
        except Exception as problem:  # noqa: BLE001 - the driver is told
            error, trace = _as_it_travels(problem), traceback.format_exc()
    return Ended(
        is_done=is_done,
        seconds=time.monotonic() - started,
        host=socket.gethostname(),
        reports=report.newest,
        warnings=tuple(caught),
        error=error,
        trace=trace,
    )


def _opened(order: Order) -> Callable[[Progress, bool], bool]:
    """Return the work that the driver sent, unless another isodepth would do it here."""
    hint = "install the same isodepth, with the same extras, on all nodes of the cluster."
    version = importlib.import_module("isodepth").__version__
    if version != order.version:
        raise ClusterError(
            f"node {socket.gethostname()} has isodepth {version}; the run was started by "
            f"isodepth {order.version}",
            hint=hint,
        )
    try:
        work: Callable[[Progress, bool], bool] = pickle.loads(order.work)  # noqa: S301 - the driver's
    except ImportError as error:
        raise ClusterError(
            f"node {socket.gethostname()} cannot import what the task needs: {first_line(error)}",
            hint=hint,
        ) from error
    return work


@contextlib.contextmanager
def _caught_warnings() -> Iterator[list[IsodepthWarning]]:
    """Collect isodepth's warnings; others go to the worker's log as they would."""
    caught: list[IsodepthWarning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", IsodepthWarning)
        show = warnings.showwarning

        def collect(message: Warning | str, *rest: Any, **options: Any) -> None:
            if isinstance(message, IsodepthWarning):
                caught.append(message)
            else:
                show(message, *rest, **options)

        warnings.showwarning = collect
        yield caught


def _as_it_travels(error: Exception) -> Exception:
    """Return the error, or where pickling would not keep it, one that says the same."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - this line's own bytes
        keeps = type(copy) is type(error) and str(copy) == str(error)
    except Exception:  # noqa: BLE001 - whatever a foreign type does when it is pickled
        keeps = False
    return error if keeps else RuntimeError(f"{type(error).__name__}: {error}")
