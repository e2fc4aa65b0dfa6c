"""What is in a file? Its sha256, computed once and remembered for as long as the file stays as it is.

Hashing a model of many gigabytes, or all neighbors of a large study, takes longer than everything else
in a rerun. So a file's sum is remembered with its size, times and inode, and computed again when any of
them changes. What is about to be used in a computation is hashed in full; the memory is for what only
has to be there, and for weights. Two changes would be missed: by a program that goes on writing through
a memory map, which may leave the times as they are (nothing here writes so); and by one that writes so
soon after another that the file system tells the same time for both, as some that count in seconds do.
"""

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path

from isodepth.cache import cache_directory

SETTLED_NS = 50_000_000
"""How long a file has stayed as it is when its sum may be remembered: clocks of file systems stand
still for up to 10 ms, and a change within that time would leave the stamp as it was."""


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file, from the memo if the file has not changed since.

    Parameters
    ----------
    path : Path
        A file; read in full only the first time or after it changed.
    """
    path = path.resolve()
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    memo = cache_directory() / "digests" / f"{name}.json"
    try:
        remembered = json.loads(memo.read_text(encoding="utf-8"))
        if remembered["stamp"] == stamp and len(bytes.fromhex(remembered["sha256"])) == 32:
            return str(remembered["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no memo, or a damaged one: the file itself decides
    began = time.time_ns()
    digest = sha256_of(path)
    if began - status.st_ctime_ns >= SETTLED_NS:
        with contextlib.suppress(OSError):  # a memo that cannot be kept costs time, nothing else
            memo.parent.mkdir(parents=True, exist_ok=True)
            # neither synced nor renamed, which may take longer than hashing: half a memo is none
            memo.write_text(json.dumps({"stamp": stamp, "sha256": digest}), encoding="utf-8")
    return digest
