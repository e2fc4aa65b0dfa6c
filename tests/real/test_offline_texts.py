"""The offline catalogue's own packages; downloads some 145 MB once (make test-real)."""

import shutil

import pytest

from isodepth.sources import DebPin
from isodepth.texts import TEXT_SETS, catalogue_description, load_parallel_texts, load_texts
from isodepth.texts.catalogue import OFFLINE

pytestmark = pytest.mark.real

OFFLINE_SETS = sorted(name for name, kinds in TEXT_SETS.items() if OFFLINE in kinds)


def needs(name: str) -> None:
    """Skip where the package must be fetched by a program that is not here."""
    texts = TEXT_SETS[name][OFFLINE].texts
    if isinstance(texts.pin, DebPin) and not texts.is_here and shutil.which("apt-get") is None:
        pytest.skip(f"{name} is read from a Debian package, and there is no apt-get here to fetch it")


@pytest.mark.parametrize("name", OFFLINE_SETS)
def test_the_catalogue_states_how_many_texts_there_are(name: str) -> None:
    needs(name)
    texts = load_texts(name)
    assert len(texts) == TEXT_SETS[name][OFFLINE].n_texts
    assert texts.provenance["source"] == "offline"


@pytest.mark.parametrize("name", OFFLINE_SETS)
def test_as_many_as_the_paper_takes_are_sampled_or_all_there_are(name: str) -> None:
    needs(name)
    n = min(2048, TEXT_SETS[name][OFFLINE].n_texts)
    sample = load_texts(name, n)
    assert sample.texts[:97] == load_texts(name, 97).texts
    assert sample.left_out == []
    assert catalogue_description(name, n=2048).n_texts == n


@pytest.mark.parametrize("name", ["news", "wikipedia", "imdb", "handbook-en"])
def test_what_cleaning_promises_holds(name: str) -> None:
    needs(name)
    texts = load_texts(name).texts
    shortest = {"news": 300, "wikipedia": 200}.get(name, 1)
    assert min(map(len, texts)) >= shortest
    if name == "imdb":
        assert not any("<br" in text for text in texts)
    if name == "news":
        assert len(set(texts)) == len(texts)
        assert all(text == text.strip() for text in texts)
        assert not any("\ufffd" in text for text in texts)
    if name == "wikipedia":
        assert not any("may refer to" in text for text in texts)
    if name == "handbook-en":
        assert all(text == " ".join(text.split()) for text in texts)


def test_common_words_begin_with_the_commonest() -> None:
    words = load_texts("common-words").texts
    assert words[0] == "the"
    assert set(words[:7]) >= {"to", "and", "of", "a"}
    assert len(set(words)) == len(words)


def test_the_handbooks_are_translations_of_one_another() -> None:
    needs("handbook-en")
    pair = load_parallel_texts("handbook-en", "handbook-de")
    assert len(pair) == TEXT_SETS["handbook-en"][OFFLINE].n_texts
    german = sum(
        bool({"der", "die", "das", "und", "ist"} & set(t.lower().split())) for t in pair.right.texts
    )
    english = sum(
        bool({"the", "and", "is", "of", "to"} & set(t.lower().split())) for t in pair.left.texts
    )
    assert min(german, english) > 0.9 * len(pair)
    # the longest paragraphs have the longest translations
    lengths = [[len(text) for text in side.texts] for side in (pair.left, pair.right)]
    ranks = [sorted(range(len(pair)), key=side.__getitem__) for side in lengths]
    longest = [set(order[-len(pair) // 5 :]) for order in ranks]
    assert len(longest[0] & longest[1]) > 0.8 * len(longest[0])


@pytest.mark.parametrize(
    ("name", "control"),
    [
        *[(name, "caesar") for name in ("mmlu", "ifeval", "wikipedia", "common-words")],
        *[(name, "shuffled-words") for name in ("mmlu", "ifeval", "wikipedia")],
        ("common-words", "same-ending"),
        ("wikipedia", "shuffled-sentences"),
    ],
)
def test_a_control_has_the_rows_of_its_set(name: str, control: str) -> None:
    pair = load_parallel_texts(name, f"{control}({name})", 2048 if name != "ifeval" else 541)
    assert pair.left.texts == load_texts(name, len(pair)).texts
    assert pair.right.texts == load_texts(f"{control}({name})", len(pair)).texts
    (made,) = pair.right.provenance["controls"]
    assert made["n_unchanged"] < 0.2 * len(pair)
