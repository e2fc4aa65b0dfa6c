"""Errors say what is wrong and what to do next, and are caught by one name."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isodepth
from isodepth import errors
from isodepth.errors import IsodepthError, first_line, listed, nearest_names, require, whole_number

KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, IsodepthError)
]
BUILT_IN = [
    (errors.ParameterError, ValueError),
    (errors.UnknownNameError, LookupError),
    (errors.TextsError, ValueError),
    (errors.ModelError, ValueError),
    (errors.DownloadError, OSError),
    (errors.ActivationsError, ArithmeticError),
    (errors.DigestMismatchError, ValueError),
    (errors.StoreError, OSError),
    (errors.StudyError, ValueError),
    (errors.MissingPackageError, ImportError),
]
MODELS = ["gemma-3-270m", "smollm2-135m-instruct", "tinyllama"]


def test_the_package_exports_the_base_error() -> None:
    assert isodepth.IsodepthError is IsodepthError


@pytest.mark.parametrize("kind", KINDS)
def test_text_is_the_message_then_the_hint(kind: type[IsodepthError]) -> None:
    error = kind("k = 7 is too large", hint="use k below 5")
    assert (error.message, error.hint) == ("k = 7 is too large", "use k below 5")
    assert str(error) == "k = 7 is too large\nhint: use k below 5"


@pytest.mark.parametrize("kind", KINDS)
def test_text_without_a_hint_is_the_message(kind: type[IsodepthError]) -> None:
    error = kind("k = 7 is too large")
    assert error.hint is None
    assert str(error) == "k = 7 is too large"


@pytest.mark.parametrize("kind", KINDS)
def test_message_and_hint_survive_pickling(kind: type[IsodepthError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", hint="next")))
    assert type(error) is kind
    assert str(error) == "what\nhint: next"


@pytest.mark.parametrize(("kind", "built_in"), BUILT_IN)
def test_errors_are_also_the_built_in_kind_that_they_refine(
    kind: type[IsodepthError], built_in: type[Exception]
) -> None:
    assert issubclass(kind, built_in)


def test_every_kind_of_error_refines_a_built_in_one() -> None:
    assert {kind for kind, _ in BUILT_IN} == set(KINDS) - {IsodepthError}


def test_warnings_are_user_warnings() -> None:
    assert issubclass(errors.IsodepthWarning, UserWarning)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gema-3", ["gemma-3-270m"]),
        ("GEMMA-3-270M", ["gemma-3-270m"]),
        ("llama", ["tinyllama"]),
        ("smollm2", ["smollm2-135m-instruct"]),
        ("zzzzzzzz", []),
        ("", []),
    ],
)
def test_nearest_names_of_a_mistyped_name(name: str, expected: list[str]) -> None:
    assert nearest_names(name, MODELS) == expected


def test_part_of_a_name_finds_it_however_long_it_is() -> None:
    name = "an-instruction-tuned-model-with-a-very-long-name-135m"
    assert nearest_names("135m", [name]) == [name]


@given(
    st.text("abcXY-1", max_size=11),
    st.lists(st.text("abcXY-1", min_size=1), max_size=7),
    st.integers(1, 5),
)
def test_nearest_names_are_a_few_distinct_known_names(name: str, known: list[str], n: int) -> None:
    found = nearest_names(name, known, n=n)
    assert len(found) <= n
    assert set(found) <= set(known)
    assert len(set(found)) == len(found)


@given(st.lists(st.text("abc-1", min_size=1, max_size=11), min_size=1, max_size=7), st.data())
def test_a_known_name_is_nearest_to_itself_whatever_its_case(
    known: list[str], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(known))
    assert nearest_names(name.upper(), known)[0] == name


def test_listed_joins_a_short_list_whole() -> None:
    assert listed([]) == ""
    assert listed([3]) == "3"
    assert listed([3, 5, 7], most=3) == "3, 5, 7"


def test_listed_counts_what_it_leaves_out() -> None:
    assert listed([3, 5, 7, 11], most=3) == "3, 5, 7 and 1 more"
    assert listed(range(1_236), most=2) == "0, 1 and 1,234 more"


@given(st.integers(0, 41), st.integers(1, 13))
def test_listed_accounts_for_every_item(n_items: int, most: int) -> None:
    text = listed(["x"] * n_items, most=most)
    left_out = int(text.split()[-2]) if text.endswith("more") else 0
    assert text.count("x") + left_out == n_items
    assert text.count("x") <= most


def test_a_package_that_is_not_there_is_refused_with_the_extra_that_brings_it() -> None:
    require("pytest", extra="test")
    with pytest.raises(errors.MissingPackageError) as refused:
        require("no_such_package_anywhere", extra="adapters")
    assert refused.value.message == "no_such_package_anywhere is not installed"
    assert refused.value.hint == "pip install 'isodepth[adapters]' brings it."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n  one\ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_the_first_line_of_an_error_is_never_empty(error: Exception, expected: str) -> None:
    assert first_line(error) == expected


@pytest.mark.parametrize("value", [7, np.int64(7), np.uint8(7)])
def test_whole_numbers_of_any_kind_become_pythons_own(value: object) -> None:
    found = whole_number(value, "k")
    assert (found, type(found)) == (7, int)


@pytest.mark.parametrize("value", [7.0, "7", None, True, np.float32(7)])
def test_what_is_no_whole_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(errors.ParameterError) as refused:
        whole_number(value, "k")
    assert refused.value.message == f"k must be a whole number; got {value!r}"
