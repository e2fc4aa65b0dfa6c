"""Lengths and copies: quantiles, exact copies, near copies against all pairs, and what is remembered."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.sources import cache_directory
from isodepth.texts import (
    TextDescription,
    TextSet,
    catalogue_description,
    describe_texts,
    description,
    fetch_texts,
    load_texts,
)
from isodepth.texts.description import shingles

NEAR = 0.8


def described(*texts: str) -> TextDescription:
    return describe_texts(TextSet.of(list(texts)))


def test_lengths_are_counted_in_characters_and_words():
    texts = ["é" * length + " b" * words for length, words in ((2, 0), (3, 1), (5, 3), (7, 2), (11, 5))]
    found = described(*texts)
    assert found.n_texts == 5
    assert found.characters == {
        "shortest": 2,
        "q05": pytest.approx(2 + 0.2 * 3),
        "q25": 5,
        "median": 11,
        "q75": 11,
        "q95": pytest.approx(11 + 0.8 * 10),
        "longest": 21,
    }
    assert found.words["shortest"] == 1
    assert found.words["median"] == 3
    assert found.words["longest"] == 6


def test_quantiles_are_those_of_numpy(rng: np.random.Generator):
    lengths = rng.integers(1, 997, size=101)
    found = described(*["x" * int(length) for length in lengths])
    expected = np.quantile(lengths, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
    assert list(found.characters.values()) == pytest.approx(list(expected))
    assert set(found.words.values()) == {1}


def test_every_copy_after_the_first_counts_once():
    found = described("a", "b", "a", "a", "c", "b")
    assert found.n_exact_copies == 3
    assert found.n_near_copies == 0


def test_shingles_are_the_triples_of_words_without_case_and_marks():
    assert shingles("One, two: THREE four!") == {"one two three", "two three four"}
    assert shingles("one two three") == {"one two three"}
    assert shingles("One two.") == {"one two"}
    assert shingles("one") == {"one"}
    assert shingles("?!") == {"?!"}
    assert shingles("Straße 1 2") == {"strasse 1 2"}


def n_near_slowly(texts: list[str]) -> int:
    """All pairs of the distinct texts."""
    distinct = list(dict.fromkeys(texts))
    sets = []
    for text in distinct:
        words = re.findall(r"\w+", text.casefold()) or [text]
        triples = {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
        sets.append(triples or {tuple(words)})
    return sum(
        any(len(mine & other) / len(mine | other) >= NEAR for other in sets[:row])
        for row, mine in enumerate(sets)
    )


def varied(rng: np.random.Generator, n_texts: int) -> list[str]:
    """Random texts, most of which repeat an earlier one with some words at the end or inside changed."""
    texts = [" ".join(f"w{word}" for word in rng.integers(0, 499, 61))]
    while len(texts) < n_texts:
        words = texts[rng.integers(len(texts))].split()
        for _ in range(rng.integers(0, 4)):
            words[rng.integers(len(words))] = f"w{rng.integers(0, 499)}"
        keep = max(43, len(words) - int(rng.integers(0, 7)))
        texts.append(" ".join(words[:keep]))
    return texts


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_those_that_all_pairs_give(seed: int):
    texts = varied(np.random.default_rng(seed), 127)
    expected = n_near_slowly(texts)
    assert 13 < expected < 113
    assert described(*texts).n_near_copies == expected


few_words = st.lists(
    st.sampled_from(["a", "b", "A", "c.", "d", "?", "ß", "ss"]), min_size=1, max_size=11
)


@settings(deadline=None, max_examples=60)
@given(st.lists(few_words.map(" ".join), min_size=2, max_size=13))
def test_near_copies_of_short_texts_are_those_that_all_pairs_give(texts: list[str]):
    found = describe_texts(TextSet.of(texts))
    assert found.n_near_copies == n_near_slowly(texts)
    assert found.n_exact_copies == len(texts) - len(set(texts))


def words(first: int, last: int) -> str:
    return " ".join(f"w{number}" for number in range(first, last))


@pytest.mark.parametrize(
    ("one", "other", "n_near"),
    [
        (words(0, 12), words(0, 10), 1),  # 8 of 10 triples: just at the threshold
        (words(0, 12), words(0, 9), 0),  # 7 of 10
        (words(0, 20), words(1, 21), 1),  # 17 of 19
        (words(0, 10), words(1, 11), 0),  # 7 of 9
        ("Hello there, you.", "hello THERE you", 1),
        ("Hello there", "there Hello", 0),
        ("a b", "a b c", 0),
        ("!!!", "???", 0),
    ],
)
def test_which_of_two_comes_first_does_not_matter(one: str, other: str, n_near: int):
    assert described(one, other).n_near_copies == n_near
    assert described(other, one).n_near_copies == n_near


def test_copies_of_copies_count_every_one_but_the_first():
    base = words(0, 97)
    near = [f"{base} {row}" for row in range(5)]
    found = described(base, *near, base, near[0], words(100, 131))
    assert found.n_exact_copies == 2
    assert found.n_near_copies == 5


def never(*arguments: object, **options: object) -> Any:
    raise AssertionError("computed again")


def test_a_description_is_remembered_by_the_digest(monkeypatch: pytest.MonkeyPatch):
    texts = ["one two three", "four five six", "one two three"]
    first = described(*texts)
    monkeypatch.setattr(description, "_n_near_copies", never)
    again = describe_texts(TextSet.of(texts, name="another name", provenance={"source": "elsewhere"}))
    assert again == first
    with pytest.raises(AssertionError, match="computed again"):
        described(*reversed(texts), "more")


def memos() -> list[Path]:
    return sorted((cache_directory() / "descriptions").glob("*.json"))


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"n_texts": 3}',
        b'{"n_texts": 3, "characters": {}, "words": {}, "n_exact_copies": 0, "n_near_copies": 0, "x": 1}',
    ],
)
def test_a_damaged_memo_is_ignored_and_mended(damage: bytes):
    texts = ["one two three", "four five six", "one two three"]
    first = described(*texts)
    (memo,) = memos()
    whole = memo.read_bytes()
    memo.write_bytes(damage)
    assert described(*texts) == first
    assert memo.read_bytes() == whole


def test_a_memo_that_cannot_be_written_stops_nothing():
    cache_directory().mkdir()
    (cache_directory() / "descriptions").write_text("a file in the place of the folder")
    assert described("one", "two").n_texts == 2


def test_the_memo_is_plain_json():
    first = described("one two three", "four")
    (memo,) = memos()
    assert TextDescription(**json.loads(memo.read_text())) == first


def test_progress_is_told_to_its_end():
    told: list[tuple[str, int, int, str]] = []
    texts = TextSet.of([f"text {row}" for row in range(257)], name="mine")
    describe_texts(texts, progress=lambda *said: told.append(said))
    assert told == [("comparing texts of mine", done, 257, "texts") for done in (0, 256, 257)]


# of the catalogue


def test_a_set_of_the_catalogue_is_described_as_its_texts_are(tiny_sets: dict[str, int]):
    for name in ("news", "handbook-de", "common-words"):
        found = catalogue_description(name)
        assert found == describe_texts(load_texts(name))
        assert found.n_texts == tiny_sets[name]
    assert catalogue_description("mmlu", n=7, seed=3) == describe_texts(load_texts("mmlu", 7, 3))


def test_a_sample_larger_than_the_set_is_the_whole_set(tiny_sets: dict[str, int]):
    assert catalogue_description("ifeval", n=2_048) == describe_texts(load_texts("ifeval"))


def test_a_second_look_reads_no_texts(tiny_sets: dict[str, int], monkeypatch: pytest.MonkeyPatch):
    whole, sample = catalogue_description("news"), catalogue_description("news", n=7)
    assert whole != sample
    monkeypatch.setattr(description, "load_texts", never)
    assert catalogue_description("news") == whole
    assert catalogue_description("news", seed=5) == whole  # without n nothing is drawn
    assert catalogue_description("news", n=7) == sample
    for other in ({"n": 7, "seed": 5}, {"n": 11}):
        with pytest.raises(AssertionError, match="computed again"):
            catalogue_description("news", **other)


@pytest.mark.parametrize("name", ["CLEANING_VERSION", "DESCRIPTION_VERSION"])
def test_a_new_way_to_clean_or_describe_forgets_what_was_remembered(
    tiny_sets: dict[str, int], monkeypatch: pytest.MonkeyPatch, name: str
):
    catalogue_description("news")
    monkeypatch.setattr(description, name, 97)
    monkeypatch.setattr(description, "load_texts", never)
    with pytest.raises(AssertionError, match="computed again"):
        catalogue_description("news")


def test_two_sets_of_one_package_are_not_confused(tiny_sets: dict[str, int]):
    english, german = catalogue_description("handbook-en"), catalogue_description("handbook-de")
    assert english != german


def test_a_description_remembered_does_not_hide_that_the_package_is_gone(
    tiny_catalogue: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    fetch_texts("news", file=tiny_catalogue["news"])
    first = catalogue_description("news")
    for file in (cache_directory() / "downloads").rglob("*.whl"):
        file.unlink()
    fetched: list[str] = []
    monkeypatch.setattr(
        description, "load_texts", lambda name, *_, **__: fetched.append(name) or TextSet.of(["a", "b"])
    )
    assert catalogue_description("news") != first
    assert fetched == ["news"]
