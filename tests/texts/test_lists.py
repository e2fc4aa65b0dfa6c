"""Texts in memory: whatever holds them, they are read by position."""

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest

from isodepth.errors import ParameterError, TextsError, UnknownNameError, whole_number
from isodepth.texts import TextSet, controlled_texts, load_parallel_texts, load_texts
from isodepth.texts.sampling import as_list

TEXTS = ["one text", "two texts", "three texts", "four texts", "five texts"]


@pytest.mark.parametrize(
    "held",
    [
        TEXTS,
        tuple(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pandas.Series(TEXTS, index=[4, 3, 2, 1, 0]),
        pandas.Series(TEXTS, index=[7, 8, 9, 10, 11]),
        pandas.Series(TEXTS, index=list("edcba")),
        pyarrow.array(TEXTS),
    ],
    ids=lambda held: type(held).__name__,
)
def test_texts_are_read_by_position_whatever_holds_them(held: Any) -> None:
    for text_set in (load_texts(held), TextSet.of(held)):
        assert text_set.texts == tuple(TEXTS)
        assert all(type(text) is str for text in text_set.texts)
    assert load_texts(held, 3).texts == load_texts(TEXTS, 3).texts
    pair = load_parallel_texts(held, [text.upper() for text in TEXTS], 3)
    assert [text.upper() for text in pair.left.texts] == list(pair.right.texts)


def test_a_generator_is_read_once() -> None:
    assert load_texts(text for text in TEXTS).texts == tuple(TEXTS)


@pytest.mark.parametrize(
    ("held", "got"),
    [
        ({"one": 1, "two": 2}, "a dict"),
        ({"one", "two"}, "a set"),
        (b"one two", "a bytes"),
        (None, "a NoneType"),
        (7, "a int"),
        (bytearray(b"one"), "a bytearray"),
        (np.array("one"), "a ndarray"),
        (np.array([TEXTS]), "a ndarray"),
        (pandas.DataFrame({"text": TEXTS}), "a table; pass one of its columns"),
    ],
)
def test_what_has_no_order_is_refused(held: Any, got: str) -> None:
    with pytest.raises(TextsError, match=f"^texts: expected a list of texts, got {got}$"):
        as_list(held)


def test_a_text_set_can_be_loaded_again_with_what_is_known_of_it() -> None:
    first = load_texts(TEXTS, 4, 1)
    again = load_texts(first, 3, 2)
    assert again == first.sample(3, 2)
    assert [step["n"] for step in again.provenance["sampling"]] == [4, 3]


def test_numbers_may_be_of_numpy_and_must_be_whole() -> None:
    for kind in (int, np.int64, np.uint8):
        assert type(whole_number(kind(3), "n")) is int
    for wrong in (2.5, "3", [3], None, float("nan"), True, np.bool_(True)):
        with pytest.raises(ParameterError, match="^n must be a whole number; got "):
            whole_number(wrong, "n")


def test_a_sample_by_numbers_of_numpy_is_recorded_as_json() -> None:
    # in a process of its own, where no run-time checker refuses them first
    code = (
        "import json, numpy as np; from isodepth.texts import load_texts; i = np.int64; "
        "texts = load_texts(['one', 'three', 'five', 'five'], n=i(2), seed=i(3), min_chars=i(1), "
        "max_chars=i(9), dedupe=np.bool_(True)); print(json.dumps(dict(texts.provenance))); "
        "made = load_texts('random-strings', n=i(5), seed=i(1234)); "
        "print(json.dumps(dict(made.provenance)), made.row_origin)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    sampled, made = done.stdout.splitlines()
    assert json.loads(sampled)["sampling"][0]["min_chars"] == 1
    assert "int64" not in made


def test_what_filters_left_out_is_told_where_too_few_remain() -> None:
    with pytest.raises(TextsError) as caught:
        load_texts(TEXTS, max_chars=8)
    assert caught.value.message == (
        "texts: expected at least 2 texts, got 1; 4 longer than 8 characters left out"
    )


def test_a_control_of_texts_in_memory_is_parallel_to_them() -> None:
    text_set = load_texts(TEXTS, 4, 1)
    changed = controlled_texts(text_set, "caesar", seed=3)
    assert changed.name == "caesar(texts)"
    assert changed.row_draw == text_set.row_draw
    assert changed.provenance["controls"] == [
        {"control": "caesar", "options": {"seed": 3, "characters": "all"}, "n_unchanged": 0}
    ]
    assert [len(text) for text in changed.texts] == [len(text) for text in text_set.texts]
    assert controlled_texts(TEXTS, "same-ending").texts[0] == f"{TEXTS[0]} That is all there is to say."
    with pytest.raises(UnknownNameError, match="there is no control 'cesar'; controls: caesar"):
        controlled_texts(TEXTS, "cesar")
    with pytest.raises(ParameterError, match="caesar: ending is no option of it; it has seed"):
        controlled_texts(TEXTS, "caesar", ending="x")


def test_a_control_of_a_control_counts_its_own_unchanged_texts() -> None:
    once = controlled_texts(TEXTS, "caesar")
    twice = controlled_texts(once, "truncated-to-n-tokens", n=1)
    assert [made["control"] for made in twice.provenance["controls"]] == [
        "caesar",
        "truncated-to-n-tokens",
    ]
    assert all("n_unchanged" in made for made in twice.provenance["controls"])
    with pytest.raises(ParameterError, match="truncated-to-n-tokens changes none of the 5 texts"):
        controlled_texts(once, "truncated-to-n-tokens", n=50)
    # of a sample it is not known how many of its texts are unchanged
    assert "n_unchanged" not in twice.sample(3).provenance["controls"][1]


@pytest.mark.parametrize(
    ("control", "options", "message"),
    [
        ("caesar", {"seed": 3.0}, "seed must be a whole number; got 3.0"),
        ("caesar", {"seed": -1}, "caesar: seed must be at least 0; got -1"),
        ("same-ending", {"ending": 5}, "same-ending: ending must be a string; got 5"),
        ("truncated-to-n-tokens", {}, "truncated-to-n-tokens: after how many tokens? n is missing"),
    ],
)
def test_options_of_a_control_are_checked(control: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        controlled_texts(TEXTS, control, **options)
    assert caught.value.message == message
