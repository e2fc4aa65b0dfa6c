"""Small stores for tests: what is written, how it is harmed, and other processes that hold or write."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.store import ResumableArray, Store, content_key

STAGE = "neighbors"
KEY = content_key({"stage": STAGE, "k": 7})
OTHER_KEY = content_key({"stage": STAGE, "k": 11})
MANIFEST_OF_TEST = {"model": "tiny", "provenance": {"seed": 13}}
SHAPE = (3, 7, 5)  # layers, texts, units

Start = Callable[..., subprocess.Popen[str]]


def written(store: Store, key: str = KEY) -> Path:
    ids = np.arange(6, dtype=np.int64).reshape(2, 3)
    return store.write(STAGE, key, arrays={"ids": ids}, manifest=MANIFEST_OF_TEST)


def begun(store: Store) -> ResumableArray:
    return store.begin("activations", KEY, shape=SHAPE, manifest=MANIFEST_OF_TEST)


def reopened(store: Store) -> ResumableArray:
    array = store.unfinished("activations", KEY)
    assert array is not None
    return array


def write_rows(array: ResumableArray, values: np.ndarray, rows: list[int]) -> None:
    array.write(np.array(rows, dtype=np.int64), values[:, rows])


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def flip_byte(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(data)


def raises_os_error(number: int) -> Callable[..., Any]:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
