import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import TextsError
from isodepth.texts import TextSet, texts_digest

anything = st.lists(st.text(max_size=7), max_size=5)
usable = st.lists(st.text(max_size=7).filter(lambda text: text.strip()), min_size=2, max_size=7)


@settings(deadline=None)
@given(anything, anything)
def test_digests_agree_exactly_when_the_lists_do(one: list[str], other: list[str]):
    assert (texts_digest(one) == texts_digest(other)) == (one == other)


def test_digest_depends_on_the_order():
    assert texts_digest(["a", "b"]) != texts_digest(["b", "a"])


@pytest.mark.parametrize("other", [["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["ab", "c", ""]])
def test_digest_depends_on_where_the_same_characters_are_cut(other: list[str]):
    assert texts_digest(["ab", "c"]) != texts_digest(other)


def test_digest_does_not_normalize_unicode():
    composed, decomposed = "\u00e9", "e\u0301"
    assert texts_digest([composed, "x"]) != texts_digest([decomposed, "x"])


def test_digest_is_the_sha256_of_length_and_bytes_of_every_text():
    data = b"\x03\0\0\0\0\0\0\0\xc3\xa9b" + b"\x01\0\0\0\0\0\0\0c"
    assert texts_digest(["éb", "c"]) == hashlib.sha256(data).hexdigest()


@settings(deadline=None)
@given(usable)
def test_a_text_set_keeps_its_texts_unchanged_and_in_order(texts: list[str]):
    text_set = TextSet.of(texts, name="some")
    assert text_set.texts == tuple(texts)
    assert text_set.digest == texts_digest(texts)
    assert len(text_set) == len(texts)
    assert text_set.n_duplicates == sum(text in texts[:row] for row, text in enumerate(texts))


def test_white_space_around_a_text_is_kept():
    assert TextSet.of([" a\n", "\tb "]).texts == (" a\n", "\tb ")


def test_every_copy_after_the_first_counts_as_a_duplicate():
    assert TextSet.of(["a", "b", "a", "a", "c", "b"]).n_duplicates == 3


def test_empty_and_white_space_rows_are_all_named_from_one():
    with pytest.raises(TextsError) as caught:
        TextSet.of(["a", "", "b", " \t\n", "\u2003\u00a0"], name="mine")
    assert caught.value.message == (
        "mine: 3 of 5 texts are empty or white space only: row 2, 4, 5 (rows count from 1)"
    )
    assert "no last token" in (caught.value.hint or "")


def test_a_long_list_of_empty_rows_is_cut_with_the_number_left_out():
    with pytest.raises(TextsError, match=r"row 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 7 more"):
        TextSet.of(["a", *[""] * 17])


def test_a_lone_surrogate_is_refused_with_its_row():
    with pytest.raises(TextsError, match=r"^some: row 2, 3: a lone surrogate is not valid Unicode$"):
        TextSet.of(["a", "b\ud800", "\udfffc"], name="some")


def test_characters_beyond_the_basic_plane_are_text():
    assert TextSet.of(["\U0001f9ed", "\U00010348"]).texts == ("\U0001f9ed", "\U00010348")


@pytest.mark.parametrize("texts", [[], ["a"]])
def test_fewer_than_two_texts_are_refused(texts: list[str]):
    with pytest.raises(TextsError, match=rf"^few: expected at least 2 texts, got {len(texts)}$"):
        TextSet.of(texts, name="few")


def test_one_string_is_not_taken_for_a_list_of_characters():
    with pytest.raises(TextsError, match=r"^texts: expected a list of texts, got one string$"):
        TextSet.of("abc")


def test_provenance_is_copied():
    provenance = {"source": "here"}
    text_set = TextSet.of(["a", "b"], provenance=provenance)
    provenance["source"] = "elsewhere"
    assert text_set.provenance == {"source": "here"}


def test_a_list_is_not_changed_and_later_changes_to_it_do_not_arrive():
    texts = ["a", "b"]
    text_set = TextSet.of(texts)
    texts.append("c")
    assert text_set.texts == ("a", "b")


def test_repr_shows_name_number_and_the_start_of_the_digest():
    text_set = TextSet.of(["a", "b"], name="two")
    assert repr(text_set) == f"TextSet('two', n_texts=2, digest={text_set.digest[:12]!r})"


def test_sampling_steps_join_those_of_the_provenance():
    whole = TextSet.of(["a", "bb", "cc", "dd"], provenance={"source": "here", "sampling": [{"n": 4}]})
    sample = whole.sample(min_chars=2)
    earlier, step = sample.provenance["sampling"]
    assert earlier == {"n": 4}
    assert step["from_digest"] == whole.digest
    assert sample.provenance["source"] == "here"
    assert whole.provenance["sampling"] == [{"n": 4}]


def test_a_set_with_a_record_of_another_kind_has_left_nothing_out():
    assert TextSet.of(["a", "b"]).left_out == []
    assert TextSet.of(["a", "b"], provenance={"sampling": [{"n": 2}]}).left_out == []
