"""Which processes Ray has started from this one."""

import os
import time
from pathlib import Path


def _state_and_parent(pid: int) -> tuple[str, int]:
    state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    return state, int(parent)


def is_alive(pid: int) -> bool:
    try:
        return _state_and_parent(pid)[0] != "Z"
    except OSError:
        return False


def ray_processes() -> dict[int, bytes]:
    """The commands of the processes of Ray that descend from this one."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            commands[pid] = (folder / "cmdline").read_bytes()
            parents[pid] = _state_and_parent(pid)[1]
        except OSError:  # it has ended
            continue
    family, above = set(), {os.getpid()}
    while above:
        above = {pid for pid, parent in parents.items() if parent in above}
        family |= above
    return {
        pid: command
        for pid, command in commands.items()
        if pid in family and (command.startswith(b"ray::") or b"/site-packages/ray/" in command)
    }


def wait_until(condition, *, seconds=15.0) -> bool:
    start = time.monotonic()
    while not condition() and time.monotonic() - start < seconds:
        time.sleep(0.05)
    return condition()
