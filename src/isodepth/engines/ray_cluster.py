"""How is a Ray cluster reached, does its head still answer, and can a node of it take a task?

Ray itself tries for minutes to reach a cluster that is not there, waits without end for nodes that
nobody adds, and ends the driver's process once its head has been lost for a minute. Each is noticed
here before, and told.
"""

import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from isodepth.engines.ray_worker import ClusterError
from isodepth.engines.task import Task
from isodepth.errors import counted, first_line
from isodepth.study import Resources

CONNECT_SECONDS = 10.0
"""How long a cluster's head may take to accept a connection."""

HEAD_SECONDS = 1.0
"""How long the head may take to accept a connection once the run is under way."""

# after 60 seconds without its head (RAY_gcs_rpc_server_reconnect_timeout_s) Ray ends the driver's
# process from inside, so that no error could be told any more
MISSING_HEAD_SECONDS = 30.0

RAY_ENVIRONMENT = {
    # a node's death is told to the driver on standard output, whatever log_to_driver says, with the
    # node's last log lines; Ray reads what to leave out of that when it is imported
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # a cluster that is started here sends no statistics of its use to Ray's makers
    "RAY_USAGE_STATS_ENABLED": "0",
    # a connection that is lost stays lost: Ray would look for another cluster by itself
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
"""What is set in the environment, unless it is, before Ray is imported."""

# tasks hand each other nothing through Ray; its own choice, 30 % of the memory, would be lost to them
OBJECT_STORE_BYTES = 100 * 2**20


@contextlib.contextmanager
def connection(address: str | None) -> Iterator[None]:
    """Connect to a cluster or start one; leave a connection that was there before."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield
        return
    place = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if place == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        if ":" in place:
            # Ray would try for minutes
            socket.create_connection(_host_and_port(place), timeout=CONNECT_SECONDS).close()
        ray.init(place, **options)
    except Exception as error:
        ray.shutdown()
        raise ClusterError(
            f"no connection to the Ray cluster {place!r}: {first_line(error)}",
            hint="`ray start --head` starts one, --ray-address names another; this machine and all "
            "nodes need the same Ray and the same Python.",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


class Cluster:
    """Whether the head answers, and which nodes there are."""

    def __init__(self) -> None:
        import ray
        from ray.util.client import ray as client

        # from outside ("ray://") the head is not seen, and Ray's own connection tells that it is lost
        self._client = client if client.is_connected() else None
        self._head = "" if self._client else ray.get_runtime_context().gcs_address
        self._answered = time.monotonic()
        self.is_lost = False
        self.nodes: list[dict[str, float]] = [
            node["Resources"] for node in ray.nodes() if node["Alive"]
        ]

    def check_head(self) -> None:
        """Raise `ClusterError` once the head has not answered for `MISSING_HEAD_SECONDS`."""
        if self._client is not None:
            return
        if self._head_answers():
            self._answered = time.monotonic()
            return
        silent = time.monotonic() - self._answered
        if silent > MISSING_HEAD_SECONDS:
            raise self._loss(f"its head, {self._head}, has not answered for {silent:.0f} s")

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """Raise `ClusterError` where a call fails since the connection from outside has ended."""
        try:
            yield
        except Exception as error:
            if self._client is None or self._client.is_connected():
                raise
            raise self._loss(f"the connection to it has ended: {first_line(error)}") from error

    def _loss(self, reason: str) -> ClusterError:
        self.is_lost = True
        return ClusterError(
            f"the Ray cluster is lost: {reason}",
            hint="what was finished is in the store: start the cluster and run again to go on.",
        )

    def _head_answers(self) -> bool:
        try:
            socket.create_connection(_host_and_port(self._head), timeout=HEAD_SECONDS).close()
        except OSError:
            return False
        return True

    def has_node_for(self, task: Task) -> bool:
        """Return whether a node is large enough for a task, free or not."""
        return self.room_for(task) >= 1

    def room_for(self, task: Task) -> float:
        """Return how many such tasks the nodes could run at once; infinity if it asks for nothing."""
        asked = {name: amount for name, amount in _amounts(task.resources).items() if amount > 0}
        room = (
            min((node.get(name, 0.0) // amount for name, amount in asked.items()), default=math.inf)
            for node in self.nodes
        )
        return sum(room, start=0.0)

    def refusal(self, task: Task) -> ClusterError:
        """Return the error that says what a task asks, and what there is."""
        names = ("GPU", "CPU", "memory")
        largest = max(self.nodes, key=lambda node: [node.get(name, 0.0) for name in names], default={})
        return ClusterError(
            f"{task.label}: no node of the cluster can take it. It asks for "
            f"{_told(_amounts(task.resources))}; the largest of {counted(len(self.nodes), 'node')} "
            f"has {_told(largest)}",
            hint="ask for less in [resources] of the study, or add a node; memory and GPUs are what "
            "`ray start` found or was given with --memory and --num-gpus; `ray status` shows them.",
        )


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    return host.strip("[]"), int(port)


def _amounts(resources: Resources) -> dict[str, float]:
    """Return what a task asks for under Ray's names."""
    return {
        "CPU": float(resources.cpus),
        "GPU": float(resources.gpus),
        "memory": (resources.memory_gb or 0.0) * 1e9,
    }


def _told(amounts: Mapping[str, float]) -> str:
    cpus, gpus, memory = (amounts.get(name, 0.0) for name in ("CPU", "GPU", "memory"))
    return (
        f"{cpus:g} CPU{'s' * (cpus != 1)}, {gpus:g} GPU{'s' * (gpus != 1)} and "
        f"{memory / 1e9:.3g} GB of memory"
    )
