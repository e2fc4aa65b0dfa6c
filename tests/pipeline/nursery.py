"""Where do runs come from that a test may kill within their first second?

isodepth takes seconds to import torch and transformers, which would be most of a short life. So one
process imports them once and computes nothing, so that it stays without threads and may fork; every run
is a child of it that calls the command line: a process of its own, which takes a real SIGKILL.

>>> with Nursery(environment) as nursery:                                        # doctest: +SKIP
...     run = nursery.run("run", "study.toml", said=Path("said.txt"))
...     run.kill()
"""

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

PATIENCE_SECONDS = 120.0
"""How long anything here is waited for; far longer than it takes on a busy machine."""
POLL_SECONDS = 0.002
WHAT_RUNS_IMPORT = (
    "isodepth.affinity",
    "isodepth.affinity.kernels",
    "isodepth.cli",
    "isodepth.cli.progress",
    "isodepth.cli.study_display",
    "isodepth.cli.study_tables",
    "isodepth.engines.local",
    "isodepth.models.loading",
    "isodepth.activations.extraction",
    "isodepth.pipeline.plan",
    "isodepth.pipeline.run",
    "isodepth.study.whole",
    "isodepth.study.shape",
    "isodepth.statistics",
    "isodepth.store",
    "transformers.models.auto",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.gemma3.modeling_gemma3",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
)


class Nursery:
    """A process that forks runs of the command line; a context manager.

    Parameters
    ----------
    environment : mapping of str to str
        Added to this process's environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **environment},
        )

    def __enter__(self) -> "Nursery":
        threads = self.asked({})
        if threads != 1:  # a child of fork would have locks that nobody gives back
            self.__exit__(None, None, None)
            raise RuntimeError(f"the nursery has {threads} threads after its imports; expected 1")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()  # upon which it kills its children and ends
        try:
            self._process.wait(PATIENCE_SECONDS)
        finally:
            self._process.kill()
            self._process.stdout.close()

    def run(self, *arguments: str, said: Path) -> "Run":
        """Return a run of `isodepth` that was just started; what it says goes to a file."""
        pid = self.asked({"run": arguments, "said": str(said)})
        return Run(nursery=self, pid=pid)

    def asked(self, question: dict[str, Any]) -> Any:
        """Return the answer to a question.

        Raises
        ------
        TimeoutError
            If none comes.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE_SECONDS)
        answer = self._process.stdout.readline() if ready else b""
        if not answer:
            raise TimeoutError(f"no answer from the nursery to {question}")
        return json.loads(answer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """A run of the command line, a child of the nursery."""

    nursery: Nursery
    pid: int

    def kill(self) -> int:
        """Kill it; return its exit status, which is that of its own end if it came first."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.status()

    def has_ended(self) -> bool:
        """Return whether it is no more; its number is not given away before `status` was asked."""
        state = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state == "Z"

    def status(self, *, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; return its exit status, negative for a signal.

        Raises
        ------
        TimeoutError
            If it does not end; it is killed.
        """
        start = time.monotonic()
        while not self.has_ended():
            if time.monotonic() - start > seconds:
                os.kill(self.pid, signal.SIGKILL)
                raise TimeoutError(f"a run did not end in {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
        status: int = self.nursery.asked({"status": self.pid})
        return status


def serve() -> None:
    """Answer questions, each a line of JSON, until there are no more."""
    for name in WHAT_RUNS_IMPORT:
        importlib.import_module(name)
    alive: set[int] = set()
    # without a buffer, which reads ahead: a child would have its own copy of what is in it
    questions = Path("/dev/stdin").open("rb", buffering=0)  # noqa: SIM115 - open as long as this is
    while line := questions.readline():
        question = json.loads(line)
        if "run" in question:
            pid = os.fork()
            if pid == 0:
                live(question["run"], Path(question["said"]))
            alive.add(pid)
            answer = pid
        elif "status" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["status"], 0)[1])
            alive.remove(question["status"])
        else:
            answer = len(list(Path("/proc/self/task").iterdir()))
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")
    for pid in alive:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def live(arguments: list[str], said: Path) -> None:
    """Be a run of the command line, and end with its exit status."""
    from isodepth.cli import main

    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
    status = 0
    try:
        main(arguments)
    except SystemExit as request:
        status = request.code if isinstance(request.code, int) else 1
    except BaseException:  # noqa: BLE001 - it must not go on as a second nursery
        traceback.print_exc()
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    serve()
