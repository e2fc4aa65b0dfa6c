"""How do tasks get to the machines of a Ray cluster, and what comes back?

Each task is one remote call, in a process of its own, which Ray starts where the task's CPUs, GPUs
and memory are free. The work goes there as a function with its arguments; what it computes goes
through the store; what comes back is how it ended and, about once a second, how far it is. A task
whose worker or node dies is started again, and goes on from the store. docs/clusters.md shows how a
cluster is started.

>>> from isodepth.engines.ray import RayEngine
>>> engine = RayEngine("auto")  # doctest: +SKIP
>>> for outcome in engine.run(tasks, progress=no_progress):  # doctest: +SKIP
...     print(outcome.task.label, outcome.error or "done")

A task's process has as many threads as the task has CPUs, whatever its node is set to, since sums in
floating point can depend on how threads share them; and it sees the GPUs that it was given, no others.
"""

import contextlib
import itertools
import logging
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isodepth import __version__
from isodepth.engines.ray_cluster import Cluster, connection
from isodepth.engines.ray_worker import (
    PASSED_ON,
    Board,
    ClusterError,
    Ended,
    Order,
    Report,
    ended,
)
from isodepth.engines.task import Outcome, Task
from isodepth.errors import first_line, require
from isodepth.progress import Progress
from isodepth.study import Resources

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""What is set to the number of a task's CPUs before its process starts."""

DEVICE_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""What is set to nothing for a task that asks for no GPU: Ray itself leaves all of them visible."""

MOST_DEATHS = 5
"""How many times a task's worker or node may die before the task is given up."""

RELAY_SECONDS = 1.0
"""How often reports are fetched, and the head is asked whether it lives."""

BOARD_SECONDS = 0.2
"""How long the driver waits for the reports, which hold up outcomes meanwhile."""

LOOK_SECONDS = 5.0
"""How often the driver looks which nodes there are."""

MISSING_NODE_SECONDS = 300.0
"""How long a task waits for a node that can take it, once the last one has gone."""

STOP_SECONDS = 10.0
"""How long the driver waits for workers that it stops."""

_log = logging.getLogger(__name__)


class RayEngine:
    """Runs tasks on a Ray cluster, as many at once as its nodes have room for.

    A task that another run is at is tried again after the others, and at last waited for, in a worker
    that keeps its CPUs and GPUs meanwhile. That cannot stop a run for good: whoever holds a piece of
    the store is at work on it and needs no further worker.

    Parameters
    ----------
    address : str, optional
        "auto" (the cluster that this machine is a node of), "host:port" (the head of one that it is a
        node of), or "ray://host:port" (from outside). By default the environment's RAY_ADDRESS, or
        else a cluster of this machine alone, which is started and ended with the run. A program that
        is connected already (`ray.init`) keeps its cluster.

    Raises
    ------
    MissingPackageError
        If Ray is not installed.
    """

    name = "ray"
    shares_process = False

    def __init__(self, address: str | None = None) -> None:
        require("ray", extra="ray")
        self.address = address

    def run(self, tasks: Sequence[Task], *, progress: Progress) -> Generator[Outcome, None, None]:
        """Yield what became of each task, as they end.

        Leaving the iterator early (an exception, an interrupt, ``close``) stops what still runs.

        Parameters
        ----------
        tasks : sequence of Task
            What is to be done; the arguments of the work are picklable and its paths absolute.
        progress : Progress
            Told about once a second how far each task is.

        Raises
        ------
        ClusterError
            If the cluster cannot be reached, or its head is lost during the run.
        """
        with connection(self.address):
            run = _Run(progress)
            try:
                yield from run.outcomes(tasks)
            finally:
                run.stop()


@dataclass(slots=True, kw_only=True)
class _Call:
    """A step of a task on its way: waiting for a worker, or in one."""

    task: Task
    step: Task
    wait: bool
    number: int
    seconds: float = 0.0  # that the steps before it took
    warnings: tuple[Warning, ...] = ()  # of the steps before it
    n_deaths: int = 0
    started: float = field(default_factory=time.monotonic)
    without_node_since: float | None = None

    def given_up(self, error: ClusterError) -> Outcome:
        """Return the outcome of a call that no worker could end."""
        seconds = self.seconds + time.monotonic() - self.started
        return Outcome(task=self.task, error=error, seconds=seconds, warnings=self.warnings)

    def outcome(self, end: Ended) -> Outcome:
        """Return the outcome of a task that ended with this call."""
        seconds, warnings = self.seconds + end.seconds, self.warnings + end.warnings
        return Outcome(task=self.task, error=end.error, seconds=seconds, warnings=warnings)


class _Run:
    """The driver's side of one run."""

    def __init__(self, progress: Progress) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray = ray
        self._progress = progress
        self._numbers = itertools.count()
        self._calls: dict[Any, _Call] = {}  # by Ray's reference to what the call will return
        self._busy: list[Task] = []
        # a worker that ends with its task gives memory and GPU back, and the next one reads its own
        # number of threads; lost calls are started again here, where they are counted and logged
        self._ended = ray.remote(max_calls=1, max_retries=0)(ended)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        self._board = (
            ray.remote(num_cpus=0, max_restarts=-1)(Board).options(scheduling_strategy=here).remote()
        )
        self._reports = _Question(self._board.take)
        # the driver asks Ray itself only at the start: without a head, that would never return
        self._nodes = _Question(self._board.nodes)
        self._cluster = Cluster()
        self._relayed = self._looked = time.monotonic()

    def outcomes(self, tasks: Sequence[Task]) -> Iterator[Outcome]:
        """Yield what became of each task: in two rounds without waiting for other runs, then with."""
        calls: list[_Call] = []
        for task in tasks:
            call = self._call(task, wait=False)
            lacking = [step for step in task.steps if not self._cluster.has_node_for(step)]
            if lacking:
                yield call.given_up(self._cluster.refusal(lacking[0]))
            else:
                calls.append(call)
        for wait in itertools.chain((False,), itertools.repeat(True)):
            while calls or self._calls:
                calls = self._begin(calls)
                yield from self._ended_calls()
                self._relay()
                yield from self._calls_without_node()
            if not self._busy:
                return
            calls = [self._call(task, wait=wait) for task in self._busy]
            self._busy = []

    def stop(self) -> None:
        """Stop what still runs, and what this run keeps in the cluster."""
        if self._cluster.is_lost:
            return
        with contextlib.suppress(self._ray.exceptions.RayError, ConnectionError):
            for reference in self._calls:
                self._ray.cancel(reference, force=True)
            if self._calls:
                self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=STOP_SECONDS)
            self._ray.kill(self._board)

    def _call(self, task: Task, *, wait: bool) -> _Call:
        return _Call(task=task, step=task, wait=wait, number=next(self._numbers))

    def _begin(self, calls: Sequence[_Call]) -> list[_Call]:
        """Begin calls in their order, and return those that it is too early for.

        What one step leaves in the store for the next is large. So of the tasks that have two, no more
        are under way than the cluster has room for, and as many at the first step again, so that no
        GPU waits for a task.
        """
        too_early: list[_Call] = []
        n_under_way = sum(call.task.then is not None for call in self._calls.values())
        for call in calls:
            then = call.task.then
            if then is not None:
                # in their order: else a model that needs many GPUs would begin after all others
                if too_early or n_under_way >= self._most_under_way(call.task, then):
                    too_early.append(call)
                    continue
                n_under_way += 1
            call.started = time.monotonic()
            self._send(call)
        return too_early

    def _most_under_way(self, first: Task, second: Task) -> float:
        return max(1.0, 2 * self._cluster.room_for(first) + self._cluster.room_for(second))

    def _send(self, call: _Call) -> None:
        resources = call.step.resources
        order = Order(
            work=self._ray.cloudpickle.dumps(call.step.work),
            wait=call.wait,
            passed_on={name: os.environ[name] for name in PASSED_ON if name in os.environ},
            version=__version__,
            number=call.number,
        )
        asking = self._ended.options(
            name=call.task.label,
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            memory=None if resources.memory_gb is None else int(resources.memory_gb * 1e9),
            runtime_env={"env_vars": _environment(resources)},
        )
        self._calls[asking.remote(order, self._board)] = call

    def _ended_calls(self) -> Iterator[Outcome]:
        """Yield the outcomes of the calls that end within a second."""
        with self._cluster.connected():
            ready, _ = self._ray.wait(list(self._calls), timeout=RELAY_SECONDS)
        for reference in ready:
            call = self._calls.pop(reference)
            try:
                end: Ended = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                yield call.given_up(_not_started(call.task, error))
            except self._ray.exceptions.RayError as error:
                if call.n_deaths + 1 < MOST_DEATHS:
                    self._start_again(call, error)
                else:
                    yield call.given_up(_died_each_time(call.task, error))
            else:
                yield from self._ended_call(call, end)

    def _ended_call(self, call: _Call, end: Ended) -> Iterator[Outcome]:
        for label, report in end.reports.items():
            self._progress(f"{call.task.label}: {label}", *report)
        outcome = call.outcome(end)
        then = call.step.then
        if end.error is not None:
            _log.error("%s failed on %s\n%s", call.task.label, end.host, end.trace)
        elif not end.is_done:
            self._busy.append(call.task)
            return
        elif then is not None:
            self._send(
                _Call(
                    task=call.task,
                    step=then,
                    wait=call.wait,
                    number=next(self._numbers),
                    seconds=outcome.seconds,
                    warnings=outcome.warnings,
                )
            )
            return
        yield outcome

    def _start_again(self, call: _Call, error: Exception) -> None:
        call.n_deaths += 1
        call.number = next(self._numbers)  # so that the dead one's last reports are not taken for new
        _log.warning("%s: worker lost, starting it again: %s", call.task.label, error)
        self._send(call)

    def _relay(self) -> None:
        """Pass on what workers have reported, about once a second; see that the head lives."""
        if time.monotonic() - self._relayed < RELAY_SECONDS:
            return
        self._relayed = time.monotonic()
        self._cluster.check_head()
        running = {call.number: call.task.label for call in self._calls.values()}
        with self._cluster.connected():
            reports: Mapping[tuple[int, str], Report] = self._reports.newest() or {}
        for (number, label), report in reports.items():
            if number in running:
                self._progress(f"{running[number]}: {label}", *report)

    def _calls_without_node(self) -> Iterator[Outcome]:
        """Give up calls that have waited for too long, all nodes that could take them being lost."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        with self._cluster.connected():
            nodes = self._nodes.newest()
        if nodes is None:
            return
        self._looked, self._cluster.nodes = now, nodes
        for reference, call in list(self._calls.items()):
            if self._cluster.has_node_for(call.step):
                call.without_node_since = None
            elif call.without_node_since is None:
                call.without_node_since = now
            elif now - call.without_node_since > MISSING_NODE_SECONDS:
                self._ray.cancel(reference, force=True)
                del self._calls[reference]
                yield call.given_up(self._cluster.refusal(call.step))


class _Question:
    """Asks the board, and never waits long for it: it may be starting, or gone with its node."""

    def __init__(self, method: Any) -> None:
        import ray

        self._ray = ray
        self._method = method
        self._asked: Any = None

    def newest(self) -> Any:
        """Return the answer, or None where there is none yet."""
        self._asked = self._asked or self._method.remote()
        if not self._ray.wait([self._asked], timeout=BOARD_SECONDS)[0]:
            return None
        asked, self._asked = self._asked, None
        try:
            return self._ray.get(asked)
        except self._ray.exceptions.RayError:  # the board died; Ray starts an empty one
            return None


def _environment(resources: Resources) -> dict[str, str]:
    """Return what a task's process starts with: its threads, and no GPU unless it was given one."""
    environment = dict.fromkeys(THREAD_VARIABLES, str(max(1, int(resources.cpus))))
    return environment if resources.gpus else environment | dict.fromkeys(DEVICE_VARIABLES, "")


def _not_started(task: Task, error: Exception) -> ClusterError:
    _log.error("%s: no worker could start it\n%s", task.label, error)
    return ClusterError(
        f"{task.label}: a worker was started and could not take the task: {first_line(error)}",
        hint="install the same isodepth, with the same extras, on all nodes of the cluster.",
    )


def _died_each_time(task: Task, error: Exception) -> ClusterError:
    return ClusterError(
        f"{task.label}: its worker died {MOST_DEATHS} times, the last time so: {first_line(error)}",
        hint="mostly this is memory: ask for more with memory_gb in [resources] of the study, so that "
        "fewer tasks share a node. What was done is kept: run again to go on.",
    )
