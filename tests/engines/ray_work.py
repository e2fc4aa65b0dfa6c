"""Work for the tests of the Ray engine, importable where the workers run.

Each function takes its arguments, then `progress` and `wait`, as a task's work does. Workers tell what
they did in files, since nothing but the outcome comes back.
"""

import json
import os
import signal
import sys
import time
import warnings
from pathlib import Path

from isodepth.errors import ParameterError
from isodepth.store import DamagedArtifactWarning

PATIENCE_SECONDS = 60.0


def wait_for(path: Path) -> None:
    start = time.monotonic()
    while not path.exists():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError(f"{path.name} did not appear")
        time.sleep(0.02)


def started(folder: Path, name: str) -> int:
    """Write down that this process is at the work; return how many were before it."""
    n_before = len(list(folder.glob(f"{name}.*.pid")))
    (folder / f"{name}.{n_before}.pid").write_text(str(os.getpid()))
    return n_before


def succeeds(progress, wait):
    return True


def warns_and_refuses(progress, wait):
    warnings.warn("layer 5 is read again", DamagedArtifactWarning, stacklevel=1)
    raise ParameterError("k must be less than 7; got 11", hint="choose k = 5.")


def warns(progress, wait):
    time.sleep(0.3)
    warnings.warn("layer 3 is read again", DamagedArtifactWarning, stacklevel=1)
    return True


def fails(progress, wait):
    return [][13]


def takes_a_while(path: Path, progress, wait):
    begin = time.time()
    time.sleep(0.3)
    path.write_text(json.dumps({"interval": [begin, time.time()]}))
    return True


def tells_its_environment(path: Path, progress, wait):
    begin = time.time()
    told = {"environment": dict(os.environ), "loaded": sorted(sys.modules)}
    path.write_text(json.dumps(told | {"interval": [begin, time.time()]}))
    return True


def meets(mine: Path, other: Path, progress, wait):
    mine.touch()
    wait_for(other)
    return True


def reports_often(n_steps: int, seconds: float, progress, wait):
    for step in range(n_steps + 1):
        progress("counting", step, n_steps, "steps")
        time.sleep(seconds / n_steps)
    return True


def is_busy_unless_waiting(folder: Path, progress, wait):
    (folder / f"{len(list(folder.glob('*.tried')))}.{wait}.tried").touch()
    return wait


def leaves_a_mark(folder: Path, progress, wait):
    (folder / f"{len(list(folder.glob('*.mark')))}.mark").touch()
    return True


def dies_once(folder: Path, name: str, progress, wait):
    if started(folder, name) == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return True


def dies_always(folder: Path, progress, wait):
    started(folder, "always")
    os.kill(os.getpid(), signal.SIGKILL)


def waits_for_word(folder: Path, name: str, progress, wait):
    started(folder, name)
    start = time.monotonic()
    while not (folder / "go").exists():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError("nobody said go")
        progress("waiting", 1, 2, "steps")
        time.sleep(0.1)
    progress("waiting", 2, 2, "steps")
    return True
