"""What do arrays look like on disk? A safetensors file: a JSON header, then the bytes of each array.

Reading gives memory maps, so that an array costs memory only where it is touched.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ARRAYS = "arrays.safetensors"
SAFETENSORS_TYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
}


def mapped_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file as read-only memory maps.

    Raises
    ------
    ValueError
        If it is no such file.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if 8 + length > path.stat().st_size:
            raise ValueError("it is no safetensors file")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        dtype, shape = SAFETENSORS_TYPES[entry["dtype"]], tuple(entry["shape"])
        offset = 8 + length + entry["data_offsets"][0]
        if 0 in shape:  # nothing to map
            arrays[name] = np.empty(shape, dtype)
        else:
            arrays[name] = np.memmap(path, dtype, mode="r", offset=offset, shape=shape or (1,))
            arrays[name] = arrays[name].reshape(shape)
    return arrays


def float32_header(name: str, shape: Sequence[int]) -> bytes:
    """Return the header of a safetensors file with one float32 array, padded to 8 bytes."""
    size = 4 * int(np.prod(shape))
    entry = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, size]}}
    text = json.dumps(entry, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
