import json

import pytest

from isodepth.texts import TEXT_SETS
from isodepth.texts.catalogue import LEAST_WIKIPEDIA_CHARACTERS, wikipedia_paragraphs


def as_json(*extracts: str) -> bytes:
    entries = {str(place): {"extract": text, "more": 1} for place, text in enumerate(extracts)}
    return json.dumps(entries, ensure_ascii=False).encode()


def test_short_paragraphs_are_left_out_by_characters_not_bytes():
    short, long = "é" * (LEAST_WIKIPEDIA_CHARACTERS - 1), "é" * LEAST_WIKIPEDIA_CHARACTERS
    assert LEAST_WIKIPEDIA_CHARACTERS == 200
    assert wikipedia_paragraphs(as_json(short, long)) == [long]


def test_disambiguations_are_left_out_however_long():
    kept = "x" * 211
    assert wikipedia_paragraphs(as_json(f"Mercury may refer to {kept}", kept)) == [kept]


def test_paragraphs_keep_their_order_their_white_space_and_their_copies():
    one, other = "one\n" * 53 + " ", "other\u2028" * 37
    assert wikipedia_paragraphs(as_json(other, one, other)) == [other, one, other]


@pytest.mark.parametrize("name", sorted(TEXT_SETS))
def test_every_catalogue_entry_is_complete_and_named_by_its_key(name: str):
    entry = TEXT_SETS[name]
    assert entry.name == name
    assert len(entry.wheel.sha256) == 64
    assert set(entry.wheel.sha256) <= set("0123456789abcdef")
    assert entry.wheel.size_bytes > 0
    assert entry.member_bytes > 0
    assert entry.n_texts >= 2
    for line in (entry.title, entry.licence, entry.source, entry.cleaning):
        assert line.strip() == line != ""


def test_nothing_is_in_an_empty_cache():
    assert not any(entry.is_here for entry in TEXT_SETS.values())
