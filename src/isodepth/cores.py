"""How many cores may this process use?

>>> usable_cores() >= 1
True
"""

import os

LIMIT = "NUMBA_NUM_THREADS"
"""The environment variable that says how many threads compiled loops take; unset, one a core."""


def usable_cores() -> int:
    """Return how many cores this process may use: those that it may run on, at most as `LIMIT` says."""
    limit = os.environ.get(LIMIT, "")
    cores = _own_cores()
    return min(cores, max(1, int(limit))) if limit.isdecimal() else cores


def _own_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
