"""A program that starts a cluster of its own and loses its head while a task runs."""

import os
import re
import signal
import sys
from functools import partial
from pathlib import Path

from engines import ray_work
from engines.processes import is_alive, ray_processes
from isodepth.engines import ray_cluster
from isodepth.engines.ray import ClusterError, RayEngine
from isodepth.engines.task import Task
from isodepth.study import Resources


def main(folder: Path) -> None:
    ray_cluster.MISSING_HEAD_SECONDS = 1.0
    started = {}

    def kill_the_head(*told):
        started.update(ray_processes())
        for pid, command in started.items():
            if b"gcs_server" in command and is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    works = {"a": ray_work.succeeds, "b": partial(ray_work.waits_for_word, folder, "b")}
    tasks = [
        Task(label=label, work=work, resources=Resources(cpus=0.5)) for label, work in works.items()
    ]
    try:
        for outcome in RayEngine().run(tasks, progress=kill_the_head):
            sys.stdout.write(f"{outcome.task.label} {outcome.error}\n")
    except ClusterError as error:
        told = re.sub(r"[^ ]+:\d+", "host:port", re.sub(r"\d+ s$", "n s", error.message))
        sys.stdout.write(f"b failed: {told}\n{error.hint}\n")
    for pid in filter(is_alive, started):  # Ray's own agents look for their head for another minute
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
