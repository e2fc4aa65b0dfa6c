"""Two sets whose rows belong together: the same rows of both, and only where that is declared."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from isodepth.errors import DigestMismatchError, ParameterError, TextsError
from isodepth.texts import Pairing, ParallelTexts, TextSet, load_parallel_texts, load_texts
from isodepth.texts.controls import caesar

ENGLISH = [f"line {row}" + " long" * (row % 5) for row in range(23)]
GERMAN = [f"Zeile {row}" + " lang" * (row % 3) for row in range(23)]
ROW = {text: row for texts in (ENGLISH, GERMAN) for row, text in enumerate(texts)}


def rows_of(pair: ParallelTexts) -> list[int]:
    """Which rows were taken; both sides must agree."""
    left, right = ([ROW[text] for text in side.texts] for side in (pair.left, pair.right))
    assert left == right
    return left


@pytest.fixture
def pairs_file(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"en": one, "de": other} for one, other in zip(ENGLISH, GERMAN, strict=True)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_two_columns_of_one_file_are_parallel(pairs_file: Path):
    pair = load_parallel_texts(pairs_file, pairs_file, column="en", right_column="de")
    assert pair.left.texts == tuple(ENGLISH)
    assert pair.right.texts == tuple(GERMAN)
    assert len(pair) == 23
    assert pair.left.provenance["column"] == "en"
    assert pair.right.provenance["column"] == "de"
    assert pair.left.provenance["sha256"] == pair.right.provenance["sha256"]


def test_two_files_lists_or_folders_of_equal_length_are_parallel_because_the_caller_says_so(
    tmp_path: Path,
):
    (tmp_path / "en.txt").write_text("\n".join(ENGLISH))
    folder = tmp_path / "de"
    folder.mkdir()
    for row, text in enumerate(GERMAN):
        (folder / f"{row:02}.txt").write_text(text)
    expected = load_parallel_texts(ENGLISH, GERMAN, 11, 3)
    found = load_parallel_texts(tmp_path / "en.txt", str(folder), 11, 3)
    assert rows_of(found) == rows_of(expected)
    assert found.pairing == expected.pairing


@pytest.mark.parametrize(("n", "seed"), [(7, 1234), (11, 3), (23, 0)])
def test_a_sample_has_the_same_rows_of_both_sides(n: int, seed: int):
    pair = load_parallel_texts(ENGLISH, GERMAN, n, seed)
    assert rows_of(pair) == list(np.random.default_rng(seed).permutation(23)[:n])
    assert pair.left.texts == load_texts(ENGLISH, n, seed).texts
    assert rows_of(ParallelTexts.of(load_texts(ENGLISH), load_texts(GERMAN)).sample(n, seed)) == (
        rows_of(pair)
    )


def passing(left: Sequence[str], right: Sequence[str], shortest: int, longest: int) -> list[int]:
    return [
        row
        for row, pair in enumerate(zip(left, right, strict=True))
        if all(shortest <= len(text) <= longest for text in pair)
    ]


def test_filters_drop_pairs_where_either_side_is_outside():
    expected = passing(ENGLISH, GERMAN, 8, 17)
    assert 2 < len(expected) < 23
    found = load_parallel_texts(ENGLISH, GERMAN, min_chars=8, max_chars=17)
    assert rows_of(found) == expected
    order = np.random.default_rng(5).permutation(23)
    wanted = [row for row in order if row in expected][:3]
    assert rows_of(load_parallel_texts(ENGLISH, GERMAN, 3, 5, min_chars=8, max_chars=17)) == wanted
    whole = ParallelTexts.of(TextSet.of(ENGLISH), TextSet.of(GERMAN))
    assert rows_of(whole.sample(3, 5, min_chars=8, max_chars=17)) == wanted


def test_what_was_dropped_is_told_alike_on_both_sides():
    pair = load_parallel_texts(ENGLISH, GERMAN, min_chars=8, max_chars=17)
    n_left_out = 23 - len(pair)
    assert pair.left.left_out == pair.right.left_out
    (sentence,) = pair.left.left_out
    assert sentence.startswith("of 23 texts looked at, ")
    (left,), (right,) = (side.provenance["sampling"] for side in (pair.left, pair.right))
    assert sum(left["dropped"].values()) == n_left_out
    assert {**left, "from_digest": None} == {**right, "from_digest": None}
    assert left["from_digest"] == TextSet.of(ENGLISH).digest
    assert right["from_digest"] == TextSet.of(GERMAN).digest


def test_a_pair_is_a_copy_where_either_text_is_one():
    left = ["a", "b", "a", "c", "d"]
    right = ["A", "B", "C", "B", "D"]
    pair = load_parallel_texts(left, right, dedupe=True)
    assert (pair.left.texts, pair.right.texts) == (("a", "b", "d"), ("A", "B", "D"))
    assert pair.left.left_out == ["of 5 texts looked at, 2 exact copies of others left out"]


def test_a_sample_of_a_sample_of_pairs_has_two_steps_with_their_own_digests():
    once = load_parallel_texts(ENGLISH, GERMAN, 13, 3)
    twice = once.sample(5, 7)
    assert rows_of(twice) == [
        rows_of(once)[row] for row in np.random.default_rng(7).permutation(13)[:5]
    ]
    for whole, side, last in (
        (ENGLISH, once.left, twice.left),
        (GERMAN, once.right, twice.right),
    ):
        first, second = last.provenance["sampling"]
        assert first["from_digest"] == TextSet.of(whole).digest
        assert second["from_digest"] == side.digest
    assert once.sample(5, 7) == twice


def test_fewer_are_taken_in_their_own_order_where_that_is_allowed():
    pair = load_parallel_texts(ENGLISH, GERMAN, 2_048, allow_fewer=True)
    assert rows_of(pair) == list(range(23))
    with pytest.raises(ParameterError, match=r"^texts and texts: n = 2,048 texts were asked for"):
        load_parallel_texts(ENGLISH, GERMAN, 2_048)


def test_an_empty_text_on_either_side_is_an_error_that_names_the_row():
    for left, right in ((["a", " ", "c"], ["A", "B", "C"]), (["a", "b", "c"], ["A", "", "C"])):
        with pytest.raises(TextsError, match=r"1 of 3 texts are empty .*: row 2 \(rows count from 1\)"):
            load_parallel_texts(left, right, 2)
        assert len(load_parallel_texts(left, right, min_chars=1)) == 2


def test_files_of_unequal_length_are_refused(tmp_path: Path):
    (tmp_path / "en.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "de.txt").write_text("eins\nzwei\n")
    with pytest.raises(ParameterError) as caught:
        load_parallel_texts(tmp_path / "en.txt", tmp_path / "de.txt")
    assert caught.value.message == "en.txt and de.txt cannot be parallel: 3 texts against 2"
    with pytest.raises(ParameterError) as caught:
        ParallelTexts.of(TextSet.of(["a", "b", "c"], name="x"), TextSet.of(["a", "b"], name="y"))
    assert caught.value.message == "x and y cannot be parallel: 3 texts against 2"


# of the catalogue


def test_the_handbooks_are_parallel(tiny_sets: dict[str, int]):
    pair = load_parallel_texts("handbook-en", "handbook-de", 11, 3)
    assert pair.left.texts == load_texts("handbook-en", 11, 3).texts
    assert pair.right.texts == load_texts("handbook-de", 11, 3).texts
    for english, german in zip(pair.left.texts, pair.right.texts, strict=True):
        _, number, *_ = english.split()
        assert german.split()[2] == number


def test_the_books_are_parallel(hub_folder: Callable[..., Path]):
    rows = [
        {"translation": {"en": one, "de": other}} for one, other in zip(ENGLISH, GERMAN, strict=True)
    ]
    for name in ("books-en", "books-de"):
        hub_folder(name, rows)
    pair = load_parallel_texts("books-en", "books-de", 7, source="hub")
    assert rows_of(pair) == list(np.random.default_rng(1234).permutation(23)[:7])


def test_two_columns_of_one_hub_data_set_are_parallel(hub_folder: Callable[..., Path]):
    rows = [{"en": one, "de": other} for one, other in zip(ENGLISH, GERMAN, strict=True)]
    folder = hub_folder("imdb", rows)
    pair = load_parallel_texts(f"hf:{folder}:train:en", f"hf:{folder}:train:de", 7)
    assert rows_of(pair) == list(np.random.default_rng(1234).permutation(23)[:7])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("handbook-en", "news"),
        ("news", "imdb"),
        ("handbook-en", "caesar(news)"),
        ("random-strings", "news"),
        ("random-strings(seed=3)", "random-strings(seed=5)"),
    ],
)
def test_sets_that_do_not_belong_together_are_refused(tiny_sets: dict[str, int], left: str, right: str):
    with pytest.raises(ParameterError) as caught:
        load_parallel_texts(left, right, 7)
    assert caught.value.message == (
        f"{left} and {right} are not parallel: their rows do not belong together"
    )
    assert "handbook-en and handbook-de" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["news", "handbook-de", "random-strings"])
def test_a_set_and_its_control_are_parallel(tiny_sets: dict[str, int], name: str):
    for written, n in ((f"caesar({name})", 11), (f"caesar(same-ending({name}))", 11)):
        pair = load_parallel_texts(name, written, n, 3)
        assert pair.left.texts == load_texts(name, n, 3).texts
        assert pair.right.texts == load_texts(written, n, 3).texts
    assert load_parallel_texts(name, f"caesar({name})", 7).right.texts == tuple(
        map(caesar(), load_texts(name, 7).texts)
    )


def test_a_control_of_one_language_is_parallel_to_the_other(tiny_sets: dict[str, int]):
    pair = load_parallel_texts("handbook-en", "shuffled-words(handbook-de)", 7)
    assert pair.left.texts == load_texts("handbook-en", 7).texts
    (made,) = pair.right.provenance["controls"]
    assert made["n_unchanged"] == 0


def test_a_control_that_changes_nothing_is_refused_in_a_pair_too():
    with pytest.raises(ParameterError, match="changes none of the 7 texts"):
        load_parallel_texts(
            "random-strings(length=3)", "truncated-to-99-tokens(random-strings(length=3))", 7
        )


def test_two_sources_of_one_set_are_never_mixed(
    tiny_sets: dict[str, int], hub_folder: Callable[..., Path]
):
    hub_folder("ifeval", [{"prompt": text} for text in load_texts("ifeval").texts])
    offline = load_parallel_texts("ifeval", "caesar(ifeval)", 7)
    hub = load_parallel_texts("ifeval", "caesar(ifeval)", 7, source="hub")
    assert offline.left.provenance["source"] == offline.right.provenance["source"] == "offline"
    assert hub.left.provenance["source"] == hub.right.provenance["source"] == "hub"


def test_the_limit_of_one_side_is_kept_for_pairs(hub_folder: Callable[..., Path]):
    texts = ["x y " * length for length in (7, 2_503, 11, 2_499, 13)]
    hub_folder("web-text", [{"text": text} for text in texts])
    for left, right in (("web-text", "caesar(web-text)"), ("caesar(web-text)", "web-text")):
        pair = load_parallel_texts(left, right)
        assert [len(text) for text in pair.left.texts] == [28, 44, 9_996, 52]
        assert pair.left.left_out == ["of 5 texts looked at, 1 longer than 9,999 characters left out"]


# the declaration


def test_the_pairing_has_the_digests_of_the_two_samples():
    pair = load_parallel_texts(ENGLISH, GERMAN, 7)
    assert pair.pairing == Pairing(left=pair.left.digest, right=pair.right.digest)
    pair.pairing.refuse_others(pair.left.digest, pair.right.digest)
    assert pair.pairing != load_parallel_texts(ENGLISH, GERMAN, 11).pairing


ONE, TWO, OTHER = "1" * 64, "2" * 64, "3" * 64


@pytest.mark.parametrize(
    ("left", "right", "hint"),
    [
        (ONE, OTHER, "use the pairing of these text sets."),
        (OTHER, TWO, "use the pairing of these text sets."),
        (ONE, ONE, "use the pairing of these text sets."),
        (None, OTHER, "use the pairing of these text sets."),
        (TWO, ONE, "left and right are exchanged."),
    ],
)
def test_other_texts_than_those_declared_are_refused_with_all_digests(
    left: str | None, right: str | None, hint: str
):
    with pytest.raises(DigestMismatchError) as caught:
        Pairing(left=ONE, right=TWO).refuse_others(left, right)
    assert caught.value.message == (
        "the declared pairing is not of these texts: it pairs "
        f"{ONE} (left) with {TWO} (right); got {left} and {right}"
    )
    assert caught.value.hint == hint


def test_a_pairing_of_a_set_with_itself_takes_it_twice():
    Pairing(left=ONE, right=ONE).refuse_others(ONE, ONE)


def test_texts_without_a_digest_are_the_callers_word():
    for left, right in ((None, None), (ONE, None), (None, TWO)):
        Pairing(left=ONE, right=TWO).refuse_others(left, right)


@pytest.mark.parametrize(
    "written",
    [
        ({"n": 11, "seed": 1}, {"n": 11, "seed": 2}),
        ({"n": 11}, {}),
        ({"n": 11, "min_chars": 1}, {"n": 11, "seed": 7}),
    ],
)
def test_other_rows_of_parallel_lists_are_refused(written: tuple[dict[str, int], dict[str, int]]):
    left, right = load_texts(ENGLISH, **written[0]), load_texts(GERMAN, **written[1])
    if len(left) == len(right):
        with pytest.raises(ParameterError, match="other rows were drawn on the left than on the right"):
            ParallelTexts.of(left, right)
    else:
        with pytest.raises(ParameterError, match="cannot be parallel"):
            ParallelTexts.of(left, right)


def test_the_same_rows_drawn_one_side_at_a_time_are_parallel():
    left, right = load_texts(ENGLISH, 11, 3), load_texts(GERMAN, 11, 3)
    assert ParallelTexts.of(left, right).pairing == load_parallel_texts(ENGLISH, GERMAN, 11, 3).pairing
    again = ParallelTexts.of(left.sample(7), right.sample(7))
    assert [ENGLISH.index(text) for text in again.left.texts] == [
        GERMAN.index(text) for text in again.right.texts
    ]
    with pytest.raises(ParameterError, match="other rows were drawn"):
        ParallelTexts.of(left.sample(7), right.sample(7, seed=5))


def test_sets_that_are_known_not_to_belong_together_are_refused_however_they_are_put_together(
    tiny_sets: dict[str, int],
):
    n = min(tiny_sets["news"], tiny_sets["wikipedia"])
    left, right = load_texts("news", n), load_texts("wikipedia", n)
    with pytest.raises(ParameterError, match="their rows do not belong together"):
        ParallelTexts.of(left, right)


def test_two_sides_of_one_name_are_told_apart(pairs_file: Path):
    columns = load_parallel_texts(pairs_file, pairs_file, column="en", right_column="de")
    assert (columns.left.name, columns.right.name) == ("pairs.jsonl:en", "pairs.jsonl:de")
    lists = load_parallel_texts(ENGLISH, GERMAN)
    assert (lists.left.name, lists.right.name) == ("texts (left)", "texts (right)")
    same = ParallelTexts.of(TextSet.of(ENGLISH), TextSet.of(ENGLISH))
    assert same.left.name == same.right.name == "texts"
    files = ParallelTexts.of(TextSet.of(ENGLISH, name="en"), TextSet.of(GERMAN, name="de"))
    assert (files.left.name, files.right.name) == ("en", "de")


def test_a_list_of_ones_own_may_be_declared_parallel_to_a_sample(tiny_sets: dict[str, int]):
    sample = load_texts("news", tiny_sets["news"] - 1)
    upper = [text.upper() for text in sample.texts]
    for pair in (
        ParallelTexts.of(sample, TextSet.of(upper)),
        ParallelTexts.of(TextSet.of(upper), sample),
        load_parallel_texts(sample, upper),
        load_parallel_texts(upper, sample),
    ):
        again = pair.sample(2)
        assert {again.left.texts[0].upper(), again.right.texts[0].upper()} == {
            again.left.texts[0].upper()
        }
        assert load_parallel_texts(pair.left, pair.right, 2).pairing == again.pairing


def test_a_pair_cannot_be_made_around_the_checks(tiny_sets: dict[str, int]):
    left, right = load_texts(ENGLISH, 11), load_texts(GERMAN, 7)
    with pytest.raises(ParameterError, match="cannot be parallel: 11 texts against 7"):
        ParallelTexts(left=left, right=right)
    with pytest.raises(ParameterError, match="their rows do not belong together"):
        ParallelTexts(left=load_texts("news"), right=load_texts("wikipedia"))
