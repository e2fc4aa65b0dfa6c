"""Packed arrays come back as they were; JSON can end no element of a page."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import ParameterError
from isodepth.report.packing import estimate, json_text, number, packed, unpacked
from isodepth.statistics import Estimate


@pytest.mark.parametrize(
    ("most", "name"), [(255, "u8"), (256, "u16"), (65_535, "u16"), (65_536, "u32"), (2**32 - 1, "u32")]
)
def test_whole_numbers_take_the_smallest_type_that_holds_them(most: int, name: str) -> None:
    array = np.array([[0, most, 3], [1, 2, most]], dtype=np.int64)
    values = packed(array)
    assert (values["type"], values["shape"]) == (name, [2, 3])
    np.testing.assert_array_equal(unpacked(values), array)


def test_floats_keep_their_digits_unless_told_otherwise(rng: np.random.Generator) -> None:
    array = rng.normal(size=(3, 5, 2))
    array[1, 2, 0] = np.nan
    np.testing.assert_array_equal(unpacked(packed(array)), array)
    short = unpacked(packed(array, as_type="f32"))
    assert short.dtype == np.float32
    np.testing.assert_array_equal(short, array.astype(np.float32))


def test_a_view_of_every_other_column_is_packed_row_by_row() -> None:
    array = np.arange(30, dtype=np.int32).reshape(3, 10)[:, ::2]
    np.testing.assert_array_equal(unpacked(packed(array)), array)


def test_nothing_packs_as_nothing() -> None:
    assert unpacked(packed(np.empty((0, 7)))).shape == (0, 7)
    assert unpacked(packed(np.empty((0, 7), dtype=np.int32))).shape == (0, 7)


def test_the_same_array_gives_the_same_bytes(rng: np.random.Generator) -> None:
    array = rng.integers(0, 300, size=(11, 13))
    assert packed(array) == packed(array.copy())


@pytest.mark.parametrize(("values", "kind"), [([0, -1], "u8"), ([3, 256], "u8"), ([70_000], "u16")])
def test_numbers_that_do_not_fit_are_refused(values: list[int], kind: str) -> None:
    with pytest.raises(
        ParameterError, match=rf"packed as {kind} must lie in 0 to \d+; got {min(values)} to"
    ):
        packed(np.array(values), as_type=kind)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_any_text_comes_back_and_ends_no_element(text: str) -> None:
    written = json_text({text: [text, 1.5, None, True]})
    assert json.loads(written) == {text: [text, 1.5, None, True]}
    assert not set(written) & set("<>&\u2028\u2029\r\n")
    written.encode()  # lone halves of letters are escaped


def test_numbers_that_json_lacks_are_none_or_refused() -> None:
    assert [number(value) for value in (1.5, None, np.nan, np.inf)] == [1.5, None, None, None]
    found = Estimate(value=0.25, low=-np.inf, high=0.5, n=3)
    assert estimate(found) == [0.25, None, 0.5]
    assert estimate(None) is None
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([np.nan])
