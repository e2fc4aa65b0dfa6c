"""How do numbers that JSON lacks get into JSON? As strings."""

import math
from collections.abc import Mapping
from typing import Any


def json_values(value: Any) -> Any:
    """Return JSON values with numbers that JSON lacks (infinity, NaN) as strings, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: json_values(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_values(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
