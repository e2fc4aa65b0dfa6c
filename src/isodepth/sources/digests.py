"""What a file or a folder of weights *is*, independent of its name: sha256 digests.

Hashing a model of many gigabytes takes longer than everything else in a rerun, so a file's digest is
remembered with its size, times and inode, and computed again when any of them changes.
Artifacts of the store are small and are hashed in full at every read; this memo is for weights.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path

from isodepth.atomic import write_atomically
from isodepth.cache import cache_directory

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""The files of a model folder that decide what it computes; read in the order of their names."""


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
    digest = sha256_of(path)
    with contextlib.suppress(OSError):  # a memo that cannot be kept costs time, nothing else
        write_atomically(memo, json.dumps({"stamp": stamp, "sha256": digest}).encode())
    return digest


def folder_digest(folder: Path, *, with_code: bool = False) -> str:
    """Return one digest over the model files of a folder, by name and content.

    Covers weights (safetensors only), configuration and tokenizer, and Python files where `with_code`
    says so; other files, and the folder's own name, do not count.
    """
    patterns = (*MODEL_FILES, "*.py") if with_code else MODEL_FILES
    found = {file for pattern in patterns for file in folder.glob(pattern)}
    files = sorted(file for file in found if file.is_file())
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.name}\0{file_digest(file)}\n".encode())
    return whole.hexdigest()
