"""A sample is: shuffle all, go through, leave out what is outside the limits, take the first n."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import ParameterError, TextsError
from isodepth.texts import TextSet, load_texts, sampling
from isodepth.texts.rows import ListRows
from isodepth.texts.sampling import Sampling, draw, dropped_in_words, n_characters

TEXTS = [f"text {row}" for row in range(23)]
MIXED = ["a", "bb", "bb", "cccc", "ddddd", "eeeeeee", "ffffffffffff", "bb", "gggg", "hhhhh", "cccc"]


def drawn(texts: Sequence[str], **asked: Any) -> Any:
    return draw([ListRows(list(texts))], Sampling(**asked), name="mine")


class Slowly:
    """The obvious way, for one column or several."""

    def __init__(self, columns: Sequence[Sequence[str]], asked: Sampling) -> None:
        total = len(columns[0])
        order = (
            range(total) if asked.n is None else np.random.default_rng(asked.seed).permutation(total)
        )
        passed: list[int] = []
        self.dropped: Counter[str] = Counter()
        self.n_looked_at = 0
        for row in order:
            if len(passed) == asked.n:
                break
            self.n_looked_at += 1
            texts = [column[row] for column in columns]
            lengths = [len(text) if text.strip() else 0 for text in texts]
            earlier = [{column[other] for other in passed} for column in columns]
            if asked.min_chars is not None and any(length < asked.min_chars for length in lengths):
                self.dropped["too_short"] += 1
            elif asked.max_chars is not None and any(length > asked.max_chars for length in lengths):
                self.dropped["too_long"] += 1
            elif asked.dedupe and any(text in seen for text, seen in zip(texts, earlier, strict=True)):
                self.dropped["copies"] += 1
            else:
                passed.append(int(row))
        self.rows = passed


limits = st.one_of(st.none(), st.integers(1, 7))


@st.composite
def samplings(draws: Any) -> Sampling:
    shortest, longest = draws(limits), draws(limits)
    if None not in (shortest, longest):
        shortest, longest = sorted([shortest, longest])
    return Sampling(
        n=draws(st.one_of(st.none(), st.integers(2, 11))),
        seed=draws(st.integers(0, 2**32)),
        min_chars=shortest,
        max_chars=longest,
        dedupe=draws(st.booleans()),
    )


@st.composite
def columns_of_texts(draws: Any) -> list[list[str]]:
    """One to three columns of equal length; texts are short, so that copies and all lengths occur."""
    n_columns, n_rows = draws(st.integers(1, 3)), draws(st.integers(2, 29))
    text = st.text("ab \u2003", max_size=9)
    column = st.lists(text, min_size=n_rows, max_size=n_rows)
    return [draws(column) for _ in range(n_columns)]


@settings(deadline=None, max_examples=300)
@given(columns_of_texts(), samplings(), st.sampled_from([1, 3, 7, 2_048]))
def test_a_sample_is_what_the_obvious_way_gives(columns: list[list[str]], asked: Sampling, chunk: int):
    if not asked.drops_empty:
        columns = [[f"x{text}" for text in column] for column in columns]
    expected = Slowly(columns, asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "CHUNK_ROWS", chunk)
        try:
            found = draw([ListRows(column) for column in columns], asked, name="mine")
        except ParameterError:
            assert asked.n is not None
            assert len(expected.rows) < asked.n
            return
    assert asked.n is None or len(expected.rows) == asked.n
    assert found.rows == expected.rows
    assert found.texts == tuple([column[row] for row in expected.rows] for column in columns)
    assert found.record["dropped"] == dict(expected.dropped)
    assert found.record["n_looked_at"] == expected.n_looked_at
    assert found.record["from_n_texts"] == len(columns[0])
    assert found.record["n"] == len(expected.rows)


@settings(deadline=None)
@given(columns_of_texts(), samplings(), st.integers(2, 11))
def test_a_smaller_sample_is_the_start_of_a_larger_one_with_any_filters(
    columns: list[list[str]], asked: Sampling, smaller: int
):
    columns = [[f"x{text}" for text in column] for column in columns]
    passing = Slowly(columns, Sampling(seed=asked.seed, **_limits(asked), n=len(columns[0]))).rows
    n_larger = min(len(passing), 11)
    if not 2 <= smaller <= n_larger:
        return
    rows = [ListRows(column) for column in columns]
    few, many = (
        draw(rows, Sampling(n=n, seed=asked.seed, **_limits(asked)), name="mine").rows
        for n in (smaller, n_larger)
    )
    assert few == many[:smaller]


def _limits(asked: Sampling) -> dict[str, Any]:
    return {"min_chars": asked.min_chars, "max_chars": asked.max_chars, "dedupe": asked.dedupe}


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 11))
def test_the_rows_that_pass_are_those_of_the_unfiltered_order(seed: int, n: int):
    texts = [f"{'x' * (row % 5)}{row}" for row in range(47)]
    whole_order = drawn(texts, n=47, seed=seed).texts[0]
    passing = [text for text in whole_order if 3 <= len(text) <= 5]
    assert drawn(texts, n=n, seed=seed, min_chars=3, max_chars=5).texts[0] == passing[:n]


def test_a_filter_that_drops_nothing_changes_nothing():
    plain = load_texts(TEXTS, 11, 7)
    assert load_texts(TEXTS, 11, 7, min_chars=6, max_chars=7, dedupe=True).digest == plain.digest
    assert load_texts(TEXTS, min_chars=6, max_chars=7, dedupe=True).texts == tuple(TEXTS)


@pytest.mark.parametrize("seed", [0, 7, 1234, 2**40 + 15])
def test_the_order_is_numpys_permutation(seed: int):
    order = np.random.default_rng(seed).permutation(23)
    assert drawn(TEXTS, n=23, seed=seed).rows == list(order)
    assert load_texts(TEXTS, 11, seed).texts == tuple(TEXTS[row] for row in order[:11])


def test_without_n_all_that_pass_keep_their_order():
    assert load_texts(MIXED, min_chars=2, max_chars=5, dedupe=True).texts == (
        "bb",
        "cccc",
        "ddddd",
        "gggg",
        "hhhhh",
    )


def test_limits_count_as_inside_and_in_code_points():
    texts = ["é" * 2, "é" * 3, "\U0001f9ed" * 5, "é" * 6]
    assert load_texts(texts, min_chars=3, max_chars=5).texts == (texts[1], texts[2])


@pytest.mark.parametrize("blank", ["", " ", "\n\t  ", "\u2003" * 7])
def test_white_space_only_counts_as_no_characters(blank: str):
    assert n_characters(blank) == 0
    found = load_texts([blank, "one", "two"], min_chars=1)
    assert found.texts == ("one", "two")
    assert found.left_out == ["of 3 texts looked at, 1 shorter than 1 characters left out"]
    with pytest.raises(TextsError, match="1 of 3 texts are empty or white space only: row 1 "):
        load_texts([blank, "one", "two"], max_chars=9)


def test_white_space_around_letters_counts_as_characters():
    assert n_characters(" a\n") == 3


def test_the_record_tells_what_was_asked_for_looked_at_and_dropped():
    sample = load_texts(MIXED, 3, 5, min_chars=2, max_chars=5, dedupe=True)
    expected = Slowly([MIXED], Sampling(n=3, seed=5, min_chars=2, max_chars=5, dedupe=True))
    assert sum(expected.dropped.values()) == expected.n_looked_at - 3 > 0
    assert sample.provenance["sampling"] == [
        {
            "n": 3,
            "seed": 5,
            "min_chars": 2,
            "max_chars": 5,
            "dedupe": True,
            "from_n_texts": 11,
            "n_looked_at": expected.n_looked_at,
            "dropped": dict(expected.dropped),
            "from_digest": load_texts(MIXED).digest,
        }
    ]


def test_a_whole_set_that_was_filtered_has_a_record_without_a_seed():
    (record,) = load_texts(MIXED, min_chars=2, max_chars=5, dedupe=True).provenance["sampling"]
    assert record == {
        "n": 5,
        "order": "as they come",
        "min_chars": 2,
        "max_chars": 5,
        "dedupe": True,
        "from_n_texts": 11,
        "n_looked_at": 11,
        "dropped": {"too_short": 1, "too_long": 2, "copies": 3},
        "from_digest": load_texts(MIXED).digest,
    }


def test_a_whole_set_of_which_nothing_was_dropped_has_no_record():
    assert "sampling" not in load_texts(TEXTS, min_chars=1, dedupe=True).provenance


def test_what_was_left_out_is_said_in_words():
    found = load_texts(MIXED, min_chars=2, max_chars=5, dedupe=True)
    assert found.left_out == [
        "of 11 texts looked at, 1 shorter than 2 characters, 2 longer than 5 characters, 3 exact copies "
        "of others left out"
    ]
    assert load_texts(TEXTS, 7).left_out == []


def test_large_numbers_are_said_with_separators():
    record = {"max_chars": 9_999, "dropped": {"too_long": 1_234}}
    assert dropped_in_words(record) == "1,234 longer than 9,999 characters"
    assert dropped_in_words({}) == ""


def test_a_sample_of_a_sample_is_reproducible_and_has_two_steps():
    whole = load_texts(MIXED * 3)
    once = whole.sample(13, 3, max_chars=9)
    twice = once.sample(5, 11, min_chars=2, dedupe=True)
    first, second = twice.provenance["sampling"]
    assert (first["from_digest"], second["from_digest"]) == (whole.digest, once.digest)
    assert (first["n"], first["seed"], second["n"], second["seed"]) == (13, 3, 5, 11)
    assert once.provenance["sampling"] == [first]
    again = whole
    for step in twice.provenance["sampling"]:
        filters = {name: step[name] for name in ("min_chars", "max_chars", "dedupe") if name in step}
        assert again.digest == step["from_digest"]
        again = again.sample(step["n"], step["seed"], **filters)
    assert again == twice


def test_a_sample_by_loading_and_one_of_the_whole_set_are_the_same():
    for filters in ({}, {"min_chars": 2}, {"max_chars": 5, "dedupe": True}):
        loaded = load_texts(MIXED, 5, 3, **filters)
        sampled = load_texts(MIXED).sample(5, 3, **filters)
        assert loaded == sampled


def test_left_out_has_a_sentence_for_every_sampling_that_left_something_out():
    twice = load_texts(MIXED, max_chars=5).sample(9).sample(min_chars=2)
    assert twice.left_out == [
        "of 11 texts looked at, 2 longer than 5 characters left out",
        "of 9 texts looked at, 1 shorter than 2 characters left out",
    ]


def test_sampling_draws_without_repeats_and_leaves_the_whole_unchanged():
    whole = TextSet.of(TEXTS, name="whole", provenance={"source": "here"})
    sample = whole.sample(11, seed=5)
    assert len(set(sample.texts)) == 11
    assert set(sample.texts) < set(whole.texts)
    assert sample.name == "whole"
    assert whole.provenance == {"source": "here"}
    assert sample.provenance["source"] == "here"


@pytest.mark.parametrize("n", [24, 2_048])
def test_where_fewer_are_allowed_all_are_taken_in_their_own_order(n: int):
    found = load_texts(TEXTS, n, allow_fewer=True)
    assert found.texts == tuple(TEXTS)
    assert found.provenance["sampling"] == [
        {
            "n": 23,
            "order": "as they come",
            "from_n_texts": 23,
            "n_looked_at": 23,
            "dropped": {},
            "from_digest": load_texts(TEXTS).digest,
        }
    ]


def test_where_fewer_are_allowed_and_enough_remain_the_sample_is_the_usual_one():
    assert load_texts(TEXTS, 11, allow_fewer=True) == load_texts(TEXTS, 11)
    assert load_texts(TEXTS, 23, allow_fewer=True) == load_texts(TEXTS, 23)


def test_where_fewer_are_allowed_filters_still_drop():
    found = load_texts(MIXED, 11, allow_fewer=True, max_chars=5)
    assert found.texts == tuple(text for text in MIXED if len(text) <= 5)
    assert found.left_out == ["of 11 texts looked at, 2 longer than 5 characters left out"]


def test_where_fewer_are_allowed_the_texts_do_not_depend_on_the_seed():
    # the record names no seed, so nothing else could reproduce them
    expected = load_texts(MIXED, dedupe=True).texts
    for seed in (0, 1, 2, 3, 5, 7, 11):
        assert load_texts(MIXED, 11, seed, allow_fewer=True, dedupe=True).texts == expected


def test_fewer_than_two_are_never_allowed():
    with pytest.raises(ParameterError, match=r"n = 1 texts were asked for; expected 2 <= n <= 23"):
        load_texts(TEXTS, 1, allow_fewer=True)
    with pytest.raises(
        TextsError,
        match=r"^texts: expected at least 2 texts, got 1; 10 shorter than 12 characters left out$",
    ):
        load_texts(MIXED, 7, allow_fewer=True, min_chars=12)


@pytest.mark.parametrize("n", [-1, 0, 1, 24, 2048])
def test_n_outside_the_number_of_texts_is_an_error_with_both_numbers(n: int):
    with pytest.raises(ParameterError) as caught:
        load_texts(TEXTS, n)
    assert caught.value.message == (
        f"texts: n = {n:,} texts were asked for; expected 2 <= n <= 23, the number of its texts"
    )
    assert caught.value.hint == ("use n = 23." if n > 23 else None)


def test_too_few_that_pass_is_an_error_with_what_was_dropped_and_how_many_are_left():
    with pytest.raises(ParameterError) as caught:
        load_texts(MIXED, 7, min_chars=2, max_chars=5, dedupe=True)
    assert caught.value.message == (
        "texts: n = 7 texts were asked for; 5 of 11 are left (1 shorter than 2 characters, 2 longer than "
        "5 characters, 3 exact copies of others)"
    )
    assert caught.value.hint == "use n = 5."


def test_where_one_text_passes_no_number_is_proposed():
    with pytest.raises(ParameterError, match="1 of 11 are left") as caught:
        load_texts(MIXED, 2, min_chars=12)
    assert caught.value.hint is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"seed": -1}, "seed must be at least 0; got -1"),
        ({"min_chars": -3}, "min_chars must be at least 0; got -3"),
        ({"max_chars": -7}, "max_chars must be at least 0; got -7"),
        (
            {"min_chars": 10_007, "max_chars": 23},
            "min_chars = 10,007 is above max_chars = 23: no text fits",
        ),
    ],
)
def test_a_limit_out_of_range_is_an_error_with_its_value(asked: dict[str, int], message: str):
    for call in (load_texts, lambda texts, **asked: TextSet.of(texts).sample(**asked)):
        with pytest.raises(ParameterError) as caught:
            call(TEXTS, **asked)
        assert caught.value.message == message


@pytest.mark.parametrize("n", [None, 2])
@pytest.mark.parametrize("seed", [0, 3, 1234])
def test_rows_without_text_are_numbered_as_in_the_source(n: int | None, seed: int):
    texts = ["a", "b", " ", "d", "", "f", "\t"]
    with pytest.raises(TextsError) as caught:
        load_texts(texts, n, seed)
    assert caught.value.message == (
        "texts: 3 of 7 texts are empty or white space only: row 3, 5, 7 (rows count from 1)"
    )
    assert "min_chars = 1" in (caught.value.hint or "")


def test_rows_met_in_a_shuffled_order_are_still_numbered_as_in_the_source(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(sampling, "CHUNK_ROWS", 3)
    with pytest.raises(TextsError, match=r"mine: 2 of 7 texts are empty .*: row 2, 6 \(rows"):
        drawn(["a", "", "c", "d", "e", "\n", "g"], n=5, seed=3)


@pytest.mark.parametrize("value", [None, 3, b"bytes"])
def test_values_that_are_no_text_are_refused_by_row(value: Any):
    with pytest.raises(TextsError, match=r"^mine: not a string in row 2 \(rows count from 1\)$"):
        draw([ListRows(["one", value, "three"])], Sampling(), name="mine")


class Counted:
    """Ten million texts, made when they are taken; counts which."""

    def __init__(self, n_texts: int = 10_000_019) -> None:
        self.n_texts = n_texts
        self.taken: list[int] = []

    def __len__(self) -> int:
        return self.n_texts

    def take(self, rows: Sequence[int]) -> list[str]:
        self.taken.extend(rows)
        return [f"{'long ' * (row % 3)}{row}" for row in rows]


def test_of_ten_million_texts_only_the_sample_is_taken():
    rows = Counted()
    sample = draw([rows], Sampling(n=2_048, seed=1234), name="huge")
    assert rows.taken == sample.rows
    assert sample.record["n_looked_at"] == 2_048
    assert sample.record["from_n_texts"] == 10_000_019
    order = np.random.default_rng(1234).permutation(10_000_019)
    assert sample.rows == list(order[:2_048])


@pytest.mark.parametrize(("n", "longest"), [(5, None), (2_048, 8), (3_001, None)])
def test_no_row_is_taken_that_is_not_looked_at(n: int, longest: int | None):
    rows = Counted(100_003)
    sample = draw([rows], Sampling(n=n, max_chars=longest), name="huge")
    assert len(rows.taken) == sample.record["n_looked_at"]


def test_a_huge_set_is_not_read_whole_and_the_error_says_what_to_do():
    rows = Counted()
    with pytest.raises(ParameterError) as caught:
        draw([rows], Sampling(max_chars=9_999), name="huge")
    assert rows.taken == []
    assert caught.value.message == "huge has 10,000,019 texts; say how many to sample"
    assert caught.value.hint == "the paper takes 2,048: n = 2048 (-n 2048 on the command line)."


def test_a_set_just_not_huge_is_read_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sampling, "MOST_TEXTS_WHOLE", 23)
    assert len(draw([Counted(23)], Sampling(), name="large").rows) == 23
    with pytest.raises(ParameterError, match="large has 24 texts; say how many to sample"):
        draw([Counted(24)], Sampling(), name="large")
    assert load_texts([*TEXTS, "one more"]).texts == (*TEXTS, "one more")  # it is in memory already


def test_a_number_of_texts_can_be_sampled_from_a_huge_list_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = load_texts(TEXTS, 7)
    monkeypatch.setattr(sampling, "MOST_TEXTS_WHOLE", 22)
    assert load_texts(TEXTS, 7).texts == expected.texts
    (tmp_path / "mine.txt").write_text("\n".join(TEXTS))
    assert load_texts(tmp_path / "mine.txt", 7).texts == expected.texts


def test_generated_texts_are_taken_from_the_front():
    sample = draw([ListRows(TEXTS)], Sampling(n=7, seed=5), name="mine", in_order=True)
    assert sample.rows == list(range(7))
    assert sample.record["order"] == "as they come"
    assert "seed" not in sample.record


def test_a_pair_is_dropped_for_either_of_its_texts():
    left = ["aaa", "b", "ccc", "ddd", "aaa", "eee", "fff"]
    right = ["AAA", "BBB", "C", "DDD", "GGG", "DDD", "FFFFF"]
    sample = draw(
        [ListRows(left), ListRows(right)],
        Sampling(min_chars=2, max_chars=4, dedupe=True),
        name="both",
    )
    assert sample.rows == [0, 3]
    assert sample.record["dropped"] == {"too_short": 2, "too_long": 1, "copies": 2}
