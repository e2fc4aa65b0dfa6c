"""JSON values that every reader takes: numbers that JSON lacks become strings, all else stays."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.results.json_values import json_values

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
LEAVES = st.none() | st.booleans() | st.integers() | NUMBERS | st.text()
NESTED = st.recursive(
    LEAVES,
    lambda values: st.lists(values) | st.dictionaries(st.text(), values) | st.tuples(values, values),
    max_leaves=13,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), "inf"),
        (float("-inf"), "-inf"),
        (float("nan"), "nan"),
        (np.float64("nan"), "nan"),
        (np.float64(0.1), 0.1),
        (-0.0, 0.0),
        (1e308, 1e308),
        (0, 0),
        (True, True),
        (None, None),
        ("inf", "inf"),
        ((1, (2.5, float("inf"))), [1, [2.5, "inf"]]),
        ({"a": {"b": [float("nan"), 3]}}, {"a": {"b": ["nan", 3]}}),
        ({}, {}),
        ((), []),
    ],
)
def test_numbers_that_json_lacks_become_strings_and_all_else_stays(value: Any, expected: Any) -> None:
    found = json_values(value)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, type(expected))


@given(NESTED)
def test_what_comes_out_is_strict_json_that_reads_back_as_it_is(value: Any) -> None:
    found = json_values(value)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_what_went_in_is_not_changed() -> None:
    given = {"a": [float("inf")], "b": (1,)}
    json_values(given)
    assert given == {"a": [float("inf")], "b": (1,)}
