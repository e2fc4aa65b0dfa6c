"""Controls keep one thing and destroy another; random strings are the paper's own."""

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isodepth.errors import ParameterError, TextsError
from isodepth.texts import CONTROLS, TextSet, load_texts
from isodepth.texts.controls import (
    JOINERS,
    RANDOM_ALPHABET,
    SAME_ENDING,
    caesar,
    random_strings,
    same_ending,
    shuffled_sentences,
    shuffled_words,
    truncated_to_n_tokens,
)
from isodepth.texts.origin import N_RANDOM_STRINGS

PROSE = [
    "It began in Köln. Nobody knew (then) what it was! Was it the wind? It was not.",
    "  Dr. Who met Mr. X, e.g. at 3.14 p.m.   They left.\n\nA new paragraph follows. It ends.",
    'He said: "Stop." She did not (why?). "Go on!" he cried.\tAnd on.',
    "One sentence alone with seven words here",
    "Zeile eins\nZeile zwei\nZeile drei",
    "Ünïcödé: naïve façade… 東京 is large. Ωmega too. Done.",
    "The end. Or not the end. Or is it? Yes. No. Maybe. Fine.",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "Numbers 1, 2, 3 and 4. Letters A, B and C. Marks ! ? ;",
    "A tab\tand a no-break\u00a0space and a\u2003wide one. Right. Left.",
    "Repeated words words words. Repeated words words words. Other words.",
]
ALL_CONTROLS = {
    "caesar": caesar(),
    "caesar, letters": caesar(seed=5, characters="letters"),
    "shuffled-words": shuffled_words(),
    "shuffled-sentences": shuffled_sentences(seed=7),
    "truncated-to-n-tokens": truncated_to_n_tokens(n=7),
    "same-ending": same_ending(),
}
WRITTEN = {
    "caesar": "caesar(./prose.jsonl)",
    "caesar, letters": "caesar(./prose.jsonl, seed=5, characters=letters)",
    "shuffled-words": "shuffled-words(./prose.jsonl)",
    "shuffled-sentences": "shuffled-sentences(./prose.jsonl, seed=7)",
    "truncated-to-n-tokens": "truncated-to-7-tokens(./prose.jsonl)",
    "same-ending": "same-ending(./prose.jsonl)",
}
seeds = st.integers(0, 2**64)
any_text = st.text(max_size=61)
prose_text = st.text("aB. !?\"')]\n\t\u2003é,", max_size=61)


@pytest.fixture
def prose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextSet:
    """The texts above as a file in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("prose.jsonl").write_text("\n".join(json.dumps(text) for text in PROSE))
    return load_texts("./prose.jsonl")


def test_every_control_of_the_catalogue_is_tested_here():
    assert {name.partition(",")[0] for name in WRITTEN} == set(CONTROLS)
    for control in CONTROLS.values():
        assert control.summary.strip() == control.summary != ""


# random strings


def torchs_strings(n: int, seed: int, length: int, alphabet: str) -> list[str]:
    """The paper's pipeline: torch.randint after torch.manual_seed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draws = torch.randint(0, len(alphabet), (n, length))
    return ["".join(alphabet[index] for index in row) for row in draws.tolist()]


def test_random_strings_are_those_of_the_papers_pipeline():
    alphabet = string.ascii_lowercase + string.ascii_uppercase + string.digits + " .,!?"
    assert len(alphabet) == 67
    found = random_strings(2_048)
    assert found == torchs_strings(2_048, 1234, 100, alphabet)
    assert load_texts("random-strings").texts == tuple(found)


@pytest.mark.parametrize(
    ("n", "seed", "length", "alphabet"),
    [(11, 0, 7, RANDOM_ALPHABET), (3, 2**32 - 1, 101, "ab"), (97, 5, 13, "äöü東 ")],
)
def test_random_strings_with_options_are_torchs_too(n: int, seed: int, length: int, alphabet: str):
    found = random_strings(n, seed=seed, length=length, alphabet=alphabet)
    assert found == torchs_strings(n, seed, length, alphabet)
    assert {len(text) for text in found} == {length}


def test_fewer_random_strings_are_the_start_of_more():
    many = random_strings(97, seed=7, length=13)
    assert random_strings(31, seed=7, length=13) == many[:31]
    assert load_texts("random-strings", 31).texts == load_texts("random-strings").texts[:31]
    assert len(load_texts("random-strings")) == N_RANDOM_STRINGS == 2_048
    assert len(load_texts("random-strings", 2_053)) == 2_053


def test_the_seed_of_random_strings_is_the_option_or_the_samples():
    seventh = tuple(random_strings(11, seed=7))
    assert load_texts("random-strings", 11, 7).texts == seventh
    assert load_texts("random-strings(seed=7)", 11).texts == seventh
    assert load_texts("random-strings(seed=7)", 11, 3).texts == seventh
    assert load_texts("random-strings", 11).texts != seventh


def test_random_strings_say_how_they_were_made():
    plain = load_texts("random-strings", 11, 7).provenance
    assert load_texts("random-strings", 11).provenance["standing"] == "the paper's own"
    assert plain["options"] == {"seed": 7, "length": 100, "alphabet": RANDOM_ALPHABET}
    assert plain["standing"] == "like the paper's, with another seed or other options"
    odd = load_texts('random-strings(length=13, alphabet="ab, ")', 11)
    assert odd.provenance["options"] == {"seed": 1234, "length": 13, "alphabet": "ab, "}
    assert odd.provenance["standing"] == plain["standing"]
    assert odd.name == 'random-strings(length=13, alphabet="ab, ")'
    assert odd.texts == tuple(random_strings(11, length=13, alphabet="ab, "))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "random-strings: length must be at least 1; got 0"),
        (
            {"alphabet": "a"},
            "random-strings: alphabet must hold at least 2 different characters, each once; got 'a'",
        ),
        (
            {"alphabet": "aba"},
            "random-strings: alphabet must hold at least 2 different characters, each once; got 'aba'",
        ),
        ({"alphabet": " \t"}, "random-strings: alphabet holds white space only"),
        ({"seed": -1}, "random-strings: seed must be in [0, 2**32); got -1"),
        ({"seed": 2**32}, "random-strings: seed must be in [0, 2**32); got 4294967296"),
    ],
)
def test_random_strings_refuse_options_out_of_range(options: dict[str, int | str], message: str):
    with pytest.raises(ParameterError) as caught:
        random_strings(3, **options)
    assert caught.value.message == message


@pytest.mark.parametrize("n", [-1, 0, 1])
def test_fewer_than_two_random_strings_are_refused(n: int):
    with pytest.raises(ParameterError, match=rf"n = {n} texts were asked for; expected 2 <= n"):
        load_texts("random-strings", n)


# caesar

PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
LATIN = [chr(code) for code in range(0xA1, 0x100) if code != 0xAD]
LETTERS = [c for c in PRINTABLE + LATIN if c.isalpha()]


@settings(deadline=None)
@given(seeds)
def test_caesar_is_a_bijection_on_each_class(seed: int):
    change = caesar(seed=seed)
    assert sorted(change("".join(PRINTABLE))) == PRINTABLE
    assert sorted(change("".join(LATIN))) == LATIN


@settings(deadline=None)
@given(seeds)
def test_caesar_of_letters_is_a_bijection_that_keeps_case_and_all_else(seed: int):
    change = caesar(seed=seed, characters="letters")
    small, large = string.ascii_lowercase, string.ascii_uppercase
    assert sorted(change(small)) == list(small)
    assert change(large) == change(small).upper()
    everything = "".join(PRINTABLE + LATIN)
    changed = change(everything)
    assert sorted(changed) == sorted(everything)
    for one, other in zip(everything, changed, strict=True):
        assert (one.isupper(), one.islower()) == (other.isupper(), other.islower())
        if one not in LETTERS:
            assert one == other


@settings(deadline=None)
@given(seeds, any_text, st.sampled_from(["all", "letters"]))
def test_caesar_keeps_lengths_and_repetitions_and_can_be_undone(seed: int, text: str, which: str):
    change = caesar(seed=seed, characters=which)
    changed = change(text)
    assert len(changed) == len(text)
    assert sorted(Counter(text).values()) == sorted(Counter(changed).values())
    back = {change(character): character for character in set(text)}
    assert "".join(back[character] for character in changed) == text


@pytest.mark.parametrize("which", ["all", "letters"])
def test_caesar_leaves_line_breaks_marks_and_pictures_alone(which: str):
    others = "\n\t\r\u00a0\u00ad\u2028\U0001f9ed\u0301—"
    for seed in range(13):
        assert caesar(seed=seed, characters=which)(others) == others


@pytest.mark.parametrize("which", ["all", "letters"])
@pytest.mark.parametrize(
    "text", ["Привет мир", "שלום עולם", "Γειά σου", "東京都は大きい", "नमस्ते", "ŐŰőű"]
)
def test_caesar_permutes_the_letters_of_other_scripts_among_their_kind(which: str, text: str):
    change = caesar(seed=3, characters=which)
    changed = change(text)
    letters = [place for place, character in enumerate(text) if character.isalpha()]
    assert all(changed[place] != text[place] for place in letters)
    kinds = [unicodedata.category(changed[place]) for place in letters]
    assert kinds == [unicodedata.category(text[place]) for place in letters]
    everything = "".join(chr(code) for code in range(0x100, 0x3000) if chr(code).isalpha())
    assert len(set(change(everything))) == len(everything)  # a bijection
    assert change(text) == changed  # whatever was met before


def test_caesar_of_letters_keeps_words_and_marks_where_they_are():
    change = caesar(characters="letters")
    text = "Ab, cd: EF (gh)! ¿Qué 42 ß µ ª?"
    assert re.sub(r"\w", "x", change(text)) == re.sub(r"\w", "x", text)
    assert change(text) != text
    assert change("42 µ ª ß ÿ") == "42 µ ª ß ÿ"  # without a capital in Latin-1


def test_accents_and_plain_letters_do_not_mix():
    for seed in range(13):
        changed = caesar(seed=seed, characters="letters")("abcxyzäöüé")
        assert changed[:6].isascii()
        assert not any(character.isascii() for character in changed[6:])


def test_caesar_depends_on_its_seed_and_on_nothing_else():
    text = "".join(PRINTABLE)
    assert caesar(seed=3)(text) == caesar(seed=3)(text)
    assert len({caesar(seed=seed)(text) for seed in range(31)}) == 31


def test_caesar_refuses_other_classes_of_characters():
    with pytest.raises(ParameterError) as caught:
        caesar(characters="digits")
    assert caught.value.message == "caesar: characters must be all or letters; got 'digits'"
    with pytest.raises(ParameterError, match=r"^caesar\(random-strings, characters=digits\): caesar: "):
        load_texts("caesar(random-strings, characters=digits)")


# shuffled words


def white_space(text: str) -> list[str]:
    return re.findall(r"\s+", text)


@settings(deadline=None, max_examples=200)
@given(any_text | prose_text, seeds)
def test_shuffled_words_are_the_same_words_between_the_same_white_space(text: str, seed: int):
    changed = shuffled_words(seed=seed)(text)
    assert sorted(changed.split()) == sorted(text.split())
    assert white_space(changed) == white_space(text)
    assert len(changed) == len(text)
    assert changed[:1].isspace() == text[:1].isspace()


@pytest.mark.parametrize("make", [shuffled_words, shuffled_sentences])
def test_a_shuffled_text_depends_on_the_text_and_the_seed_alone(make: Callable[..., object]):
    change = make(seed=3)
    forwards = [change(text) for text in PROSE]
    backwards = [make(seed=3)(text) for text in reversed(PROSE)]
    assert forwards == backwards[::-1]
    assert forwards != [make(seed=5)(text) for text in PROSE]


def test_words_are_really_shuffled():
    text = " ".join(str(number) for number in range(97))
    orders = [shuffled_words(seed=seed)(text).split() for seed in range(11)]
    assert len({tuple(order) for order in orders}) == 11
    fixed = [sum(word == str(place) for place, word in enumerate(order)) for order in orders]
    assert max(fixed) < 11


def test_texts_of_equal_length_are_not_all_shuffled_alike():
    one, other = (" ".join(f"{letter}{row}" for row in range(23)) for letter in "ab")
    change = shuffled_words()
    assert change(one).replace("a", "b") != change(other)


# shuffled sentences


@settings(deadline=None, max_examples=300)
@given(prose_text | any_text, seeds)
def test_shuffling_sentences_loses_and_adds_no_character(text: str, seed: int):
    changed = shuffled_sentences(seed=seed)(text)
    assert len(changed) == len(text)
    assert Counter(changed) == Counter(text)


def test_sentences_stay_whole_and_gaps_stay_where_they_are():
    # closing quotes and brackets belong to their sentence; "3.14" and "…" end none
    sentences = ["It began.", "Who knew?", 'He said: "No."', "(Yes!)", "So it was… over.", "3.14 came!"]
    gaps = [" ", "  ", "\n", "\t", "\n\n"]
    text = "".join(piece for pair in zip(sentences, [*gaps, ""], strict=True) for piece in pair)
    orders = set()
    for seed in range(23):
        parts = re.split(r"(?<=[.!?\")])(\s+)(?=[A-Z(3])", shuffled_sentences(seed=seed)(text))
        assert parts[1::2] == gaps
        assert sorted(parts[::2]) == sorted(sentences)
        orders.add(tuple(parts[::2]))
    assert len(orders) > 17


def test_abbreviations_are_taken_for_ends_and_lose_nothing():
    text = "Dr. Who met e.g. Mr. X at 3 p.m. sharp."
    for seed in range(7):
        parts = shuffled_sentences(seed=seed)(text)
        assert sorted(parts.split()) == sorted(text.split())
        assert "at 3 p.m." in parts
        assert "Who met e.g." in parts


def test_plain_sentences_are_permuted_and_each_occurs_once():
    sentences = [f"Sentence {number} is here." for number in range(23)]
    text = " ".join(sentences)
    found = [re.findall(r"Sentence \d+ is here\.", shuffled_sentences(seed=s)(text)) for s in range(7)]
    assert all(sorted(order) == sorted(sentences) for order in found)
    assert len({tuple(order) for order in found}) == 7
    assert all(order != sentences for order in found)


@pytest.mark.parametrize(
    "text",
    [
        "One sentence alone",
        "One with a mark.",
        "Version 3.14 is out",
        " Blank around it. ",
        "a.b?c!d",
        "",
    ],
)
def test_a_text_of_one_sentence_stays(text: str):
    for seed in range(7):
        assert shuffled_sentences(seed=seed)(text) == text


def test_lines_without_marks_are_sentences():
    found = {shuffled_sentences(seed=seed)("one\ntwo\nthree") for seed in range(97)}
    assert found == {
        "one\ntwo\nthree",
        "one\nthree\ntwo",
        "two\none\nthree",
        "two\nthree\none",
        "three\none\ntwo",
        "three\ntwo\none",
    }


# truncated


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (1, "  Well"),
        (2, "  Well,"),
        (3, "  Well, it"),
        (5, "  Well, it's"),
        (6, "  Well, it's\n 3"),
        (8, "  Well, it's\n 3.14"),
        (9, "  Well, it's\n 3.14! "),
        (11, "  Well, it's\n 3.14! "),
    ],
)
def test_a_token_is_a_word_or_a_mark_and_a_text_of_n_stays(n: int, expected: str):
    assert truncated_to_n_tokens(n=n)("  Well, it's\n 3.14! ") == expected


@settings(deadline=None, max_examples=200)
@example("0\u093a", 1)  # a vowel sign belongs to what it stands on
@example("a\u200db, c", 1)
@given(any_text | prose_text, st.integers(1, 23))
def test_a_truncated_text_is_the_start_of_the_text_with_at_most_n_tokens(text: str, n: int):
    def joins(character: str) -> bool:
        return character in JOINERS or unicodedata.category(character)[0] == "M"

    def tokens(of: str) -> list[str]:
        found: list[str] = []
        before = " "
        for character in of:
            both_word = all(re.match(r"\w", one) for one in (before, character))
            goes_on = both_word or joins(before) or joins(character)
            if not re.match(r"\s", character):
                if goes_on and not re.match(r"\s", before):
                    found[-1] += character
                else:
                    found.append(character)
            before = character
        return found

    changed = truncated_to_n_tokens(n=n)(text)
    assert text.startswith(changed)
    assert tokens(changed) == tokens(text)[:n]


def test_truncating_twice_changes_nothing_more():
    change = truncated_to_n_tokens(n=5)
    for text in PROSE:
        assert change(change(text)) == change(text)


def test_truncating_to_no_tokens_is_refused():
    with pytest.raises(ParameterError) as caught:
        truncated_to_n_tokens(n=0)
    assert caught.value.message == "truncated-to-0-tokens: expected at least 1 token"


def tokenizer_of(folder: Path) -> Callable[[str], list[int]]:
    from isodepth.models import load_tokenizer

    tokenizer = load_tokenizer(folder)
    return lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]


def test_a_models_own_tokens_are_counted_where_one_is_named(llama_folder: Path, tmp_path: Path):
    import tiny_models

    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    path = tmp_path / "mine.txt"
    path.write_text("\n".join(texts))
    cut = load_texts(f'truncated-to-7-tokens("{path}", tokenizer="{llama_folder}")')
    ids = tokenizer_of(llama_folder)
    for text, short in zip(texts, cut.texts, strict=True):
        assert text.startswith(short)
        assert ids(short) == ids(text)[:7]
    assert [len(text.split()) for text in cut.texts] == [3, 5, 7, 7, 7, 7]
    (made,) = cut.provenance["controls"]
    assert made == {
        "control": "truncated-to-n-tokens",
        "options": {"n": 7, "tokenizer": str(llama_folder)},
        "n_unchanged": 3,
    }


@pytest.fixture(scope="session")
def byte_level_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose tokens are single bytes: characters beyond ASCII have several."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    import tiny_models

    symbols = [*tiny_models.SPECIAL, *tiny_models.byte_symbols()]
    backend = Tokenizer(models.BPE({symbol: row for row, symbol in enumerate(symbols)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>"
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-bytes"
    return tiny_models.saved(folder, tokenizer=tokenizer, vocab_size=len(symbols))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 11])
def test_a_cut_text_has_at_most_n_of_the_models_tokens_in_plain_english(
    byte_level_folder: Path, n: int
):
    change = truncated_to_n_tokens(n=n, tokenizer=str(byte_level_folder))
    text = "Hello there, you."
    assert change(text) == text[:n]
    assert len(tokenizer_of(byte_level_folder)(change(text))) == n


@pytest.mark.parametrize("n", [2, 3, 5, 7])
def test_a_cut_text_has_at_most_n_of_the_models_tokens_in_any_script(byte_level_folder: Path, n: int):
    # a character of several tokens must not be kept where only some of them count
    change = truncated_to_n_tokens(n=n, tokenizer=str(byte_level_folder))
    ids = tokenizer_of(byte_level_folder)
    text = "aé\U0001f9ed東b"
    assert len(ids(text)) == 1 + 2 + 4 + 3 + 1
    assert len(ids(change(text))) <= n


def test_a_tokenizer_that_does_not_tell_places_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("isodepth.models.load_tokenizer", lambda name: SimpleNamespace(is_fast=False))
    with pytest.raises(ParameterError) as caught:
        truncated_to_n_tokens(n=3, tokenizer="slow")
    assert caught.value.message == ("tokenizer=slow: it does not tell where its tokens stand in a text")


# same ending


@given(any_text)
def test_every_text_ends_in_the_same_sentence_after_one_white_space(text: str):
    changed = same_ending()(text)
    gap = "" if text[-1:].isspace() else " "
    assert changed == text + gap + SAME_ENDING


def test_the_ending_can_be_chosen_and_must_not_be_empty():
    assert same_ending(ending="Bye.")("One\n") == "One\nBye."
    with pytest.raises(ParameterError) as caught:
        same_ending(ending=" ")
    assert caught.value.message == "same-ending: ending must not be empty"


# of a set


@pytest.mark.parametrize("name", ALL_CONTROLS)
def test_changing_a_sample_and_sampling_the_changed_set_give_the_same(prose: TextSet, name: str):
    change = ALL_CONTROLS[name]
    assert load_texts(WRITTEN[name]).texts == tuple(change(text) for text in prose.texts)
    for n, seed in ((7, 3), (11, 5)):
        sample = prose.sample(n, seed)
        expected = tuple(change(text) for text in sample.texts)
        assert load_texts(WRITTEN[name], n, seed).texts == expected
        assert load_texts(WRITTEN[name]).sample(n, seed).texts == expected


@pytest.mark.parametrize("name", ALL_CONTROLS)
def test_a_control_has_a_digest_of_its_own_and_says_what_was_done(prose: TextSet, name: str):
    changed = load_texts(WRITTEN[name])
    same = sum(one == other for one, other in zip(prose.texts, changed.texts, strict=True))
    assert changed.digest != prose.digest
    assert changed.name == WRITTEN[name]
    assert changed.provenance["source"] == "a file"
    (made,) = changed.provenance["controls"]
    assert made["control"] == name.partition(",")[0]
    assert made["n_unchanged"] == same
    assert len({load_texts(written).digest for written in WRITTEN.values()}) == len(WRITTEN)


def test_options_are_recorded_also_where_they_were_left_out(prose: TextSet):
    expected = {
        "caesar": {"seed": 1234, "characters": "all"},
        "caesar, letters": {"seed": 5, "characters": "letters"},
        "shuffled-words": {"seed": 1234},
        "shuffled-sentences": {"seed": 7},
        "truncated-to-n-tokens": {"n": 7},
        "same-ending": {"ending": SAME_ENDING},
    }
    for name, written in WRITTEN.items():
        assert load_texts(written, 7, 3).provenance["controls"][0]["options"] == expected[name]


def test_controls_of_controls_are_done_from_the_inside(prose: TextSet):
    nested = load_texts("caesar(truncated-to-5-tokens(shuffled-words(./prose.jsonl, seed=3)), seed=7)")
    expected = [
        caesar(seed=7)(truncated_to_n_tokens(n=5)(shuffled_words(seed=3)(text))) for text in prose.texts
    ]
    assert nested.texts == tuple(expected)
    assert [made["control"] for made in nested.provenance["controls"]] == [
        "shuffled-words",
        "truncated-to-n-tokens",
        "caesar",
    ]


def test_unchanged_texts_are_counted_in_the_sample_that_was_drawn(tmp_path: Path):
    path = tmp_path / "mine.txt"
    texts = [f"single{row}" for row in range(13)] + [f"{row} words and more" for row in range(4)]
    path.write_text("\n".join(texts))
    whole = load_texts(f"truncated-to-2-tokens({path})")
    assert whole.provenance["controls"][0]["n_unchanged"] == 13
    rows = np.random.default_rng(1234).permutation(17)[:11]
    sample = load_texts(f"truncated-to-2-tokens({path})", 11)
    assert sample.provenance["controls"][0]["n_unchanged"] == sum(row < 13 for row in rows)


def test_a_control_that_changes_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("one\ntwo\nthree\n")
    for written, control in (
        ("shuffled-words(./words.txt)", "shuffled-words"),
        ("shuffled-sentences(./words.txt)", "shuffled-sentences"),
        ("truncated-to-1-tokens(./words.txt)", "truncated-to-n-tokens"),
    ):
        with pytest.raises(ParameterError) as caught:
            load_texts(written)
        assert caught.value.message == (
            f"{written}: {control} changes none of the 3 texts, so it controls for nothing"
        )
    assert load_texts("caesar(./words.txt)").provenance["controls"][0]["n_unchanged"] == 0


def test_a_control_inside_another_that_changes_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("words.txt").write_text("one\ntwo\nthree\n")
    with pytest.raises(ParameterError, match="shuffled-words changes none of the 3 texts"):
        load_texts("caesar(shuffled-words(./words.txt))")


@pytest.mark.parametrize("control", ["caesar", "same-ending", "shuffled-words"])
def test_a_control_refuses_the_empty_rows_that_the_set_itself_is_refused_for(
    tmp_path: Path, control: str
):
    # otherwise the control has texts where the set has none, and their rows do not belong together
    path = tmp_path / "mine.txt"
    path.write_text("one word\n \nthree words here\nfour words are here\nfive\n")
    for n in (None, 2, 3):
        for written in (str(path), f"{control}({path})"):
            with pytest.raises(TextsError, match=r"row 2 \(rows count from 1\)"):
                load_texts(written, n)


def test_single_letters_can_be_enciphered(tmp_path: Path):
    # a bijection of all characters sends some letter to the space: a text of it alone looks empty
    path = tmp_path / "letters.txt"
    path.write_text("\n".join(string.ascii_lowercase))
    assert len(load_texts(f"caesar({path})")) == 26


@pytest.mark.parametrize("seed", range(97))
def test_what_becomes_a_space_is_rare(seed: int):
    change = caesar(seed=seed)
    (before,) = [character for character in PRINTABLE if change(character) == " "]
    assert before in "\\^`{|}~"


@pytest.mark.parametrize(
    ("text", "n", "cut"),
    [
        ("हिन्दी में लिखा", 1, "हिन्दी"),
        ("ภาษาไทย ดี", 2, "ภาษาไทย ดี"),
        ("cafe\u0301s, yes", 1, "cafe\u0301s"),
        ("\U0001f469\u200d\U0001f467 ok", 1, "\U0001f469\u200d\U0001f467"),
    ],
)
def test_combining_marks_and_joiners_belong_to_their_word(text: str, n: int, cut: str):
    assert truncated_to_n_tokens(n=n)(text) == cut


def test_a_control_that_leaves_nothing_of_a_text_says_so():
    with pytest.raises(TextsError) as caught:
        load_texts("caesar(random-strings(length=1, alphabet='abcdefghijklmnop^`{|}~'))", 256)
    assert "the control leaves white space only of" in caught.value.message
    assert caught.value.hint.startswith("use another seed")


def test_a_control_stands_for_nothing_by_itself():
    standing = load_texts("caesar(shuffled-words(random-strings))", 7).provenance["standing"]
    assert standing == "made from random-strings (the paper's own)"
