r"""How do numbers and texts get into a page, exactly, small, and harmless?

Arrays are packed: little-endian, row by row, compressed, as base64, with their type and shape beside
them. Everything else is JSON that a page can hold as it is: no character in it could end the element
that it stands in, whatever the texts are.

>>> unpacked(packed(np.array([[1, 2], [3, 300]])))
array([[  1,   2],
       [  3, 300]], dtype=uint16)
>>> json_text({"text": "</script>"})
'{"text":"\\u003c/script\\u003e"}'

Memory: a few copies of what is packed.
"""

import base64
import gzip
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from isodepth.errors import ParameterError
from isodepth.statistics import Estimate

TYPES = {"u8": "<u1", "u16": "<u2", "u32": "<u4", "f32": "<f4", "f64": "<f8"}
"""By name in the page: the types of packed arrays, as NumPy writes them."""
_HARMFUL = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
"""What could end an element or a line of a script, and halves of letters, which no file can hold."""


def packed(array: np.ndarray, *, as_type: str | None = None) -> dict[str, Any]:
    """Return an array as JSON values: type, shape, and bytes.

    Parameters
    ----------
    array : array
        Whole numbers from 0 below 2**32, or floats.
    as_type : str, optional
        A key of `TYPES`; floats lose digits as "f32". Where it is left out, whole numbers take the
        smallest type that holds them, and floats "f64".

    Raises
    ------
    ParameterError
        If whole numbers do not fit the type.
    """
    chosen = as_type or ("f64" if array.dtype.kind == "f" else _smallest(array))
    if chosen.startswith("u") and array.size:
        most = int(np.iinfo(TYPES[chosen]).max)
        if array.min() < 0 or array.max() > most:
            raise ParameterError(
                f"whole numbers to be packed as {chosen} must lie in 0 to {most}; got {array.min()} to "
                f"{array.max()}"
            )
    data = np.ascontiguousarray(array, dtype=TYPES[chosen]).tobytes()
    # no time of day in it: the same array gives the same bytes
    compressed = gzip.compress(data, compresslevel=9, mtime=0)
    return {
        "type": chosen,
        "shape": list(array.shape),
        "gzip": base64.b64encode(compressed).decode("ascii"),
    }


def unpacked(values: Mapping[str, Any]) -> np.ndarray:
    """Return the array that `packed` made JSON values of."""
    data = gzip.decompress(base64.b64decode(values["gzip"]))
    return np.frombuffer(data, dtype=TYPES[values["type"]]).reshape(values["shape"])


def _smallest(array: np.ndarray) -> str:
    most = int(array.max()) if array.size else 0
    return next((name for name in ("u8", "u16") if most <= np.iinfo(TYPES[name]).max), "u32")


def number(value: float | None) -> float | None:
    """Return a number as JSON has it: None where it is not finite or there is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def estimate(found: Estimate | None) -> list[float | None] | None:
    """Return an estimate as [value, low, high]; None where there is none."""
    if found is None:
        return None
    return [number(found.value), number(found.low), number(found.high)]


def json_text(values: object) -> str:
    """Return JSON that can stand in any element of a page, also a script; equal values, equal text.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _HARMFUL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)
