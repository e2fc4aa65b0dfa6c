"""Is a process at work on something? It holds a lock file while it is, and dies with it."""

from pathlib import Path

import filelock


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file at this moment."""
    if not path.exists():
        return False
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        return True
    except PermissionError:
        return False  # another user's store, in which this process cannot compute anything either
    lock.release()
    return False
