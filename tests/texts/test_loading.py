import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from isodepth.errors import ParameterError, TextsError, UnknownNameError
from isodepth.sources import WheelPin
from isodepth.texts import TEXT_SETS, CatalogueTexts, TextSet, load_texts, texts_digest
from isodepth.texts.catalogue import wikipedia_paragraphs

TEXTS = [f"text {row}" for row in range(23)]


@pytest.mark.parametrize("seed", [0, 7, 1234])
def test_a_sample_is_the_start_of_numpys_permutation(seed: int):
    sample = load_texts(TEXTS, 11, seed)
    order = np.random.default_rng(seed).permutation(23)
    assert sample.texts == tuple(TEXTS[row] for row in order[:11])


def test_the_default_seed_is_that_of_the_paper():
    assert load_texts(TEXTS, 11) == load_texts(TEXTS, 11, 1234)


def test_a_smaller_sample_is_the_start_of_a_larger_one():
    assert load_texts(TEXTS, 19).texts[:7] == load_texts(TEXTS, 7).texts


def test_all_texts_keep_their_order_without_n_and_are_shuffled_with_it():
    assert load_texts(TEXTS).texts == tuple(TEXTS)
    shuffled = load_texts(TEXTS, 23)
    assert sorted(shuffled.texts) == sorted(TEXTS)
    assert shuffled.texts != tuple(TEXTS)
    assert shuffled.digest != load_texts(TEXTS).digest


def test_the_digest_is_that_of_the_sample():
    sample = load_texts(TEXTS, 7)
    assert sample.digest == texts_digest(sample.texts)


def test_a_sample_says_what_it_was_drawn_from():
    whole, sample = load_texts(TEXTS), load_texts(TEXTS, 7, seed=3)
    assert whole.provenance == {"source": "a list in memory"}
    assert sample.provenance == {
        "source": "a list in memory",
        "sampling": {"n": 7, "seed": 3, "from_n_texts": 23, "from_digest": whole.digest},
    }


@pytest.mark.parametrize("n", [-1, 0, 1, 24, 2048])
def test_n_outside_the_number_of_texts_is_an_error_with_both_numbers(n: int):
    with pytest.raises(ParameterError) as caught:
        load_texts(TEXTS, n)
    assert caught.value.message == (
        f"texts: n = {n:,} texts were asked for; expected 2 <= n <= 23, the number of its texts"
    )
    assert caught.value.hint == ("use -n 23" if n > 23 else None)


def test_a_file_is_named_and_its_column_recorded(tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("body,id\none,1\ntwo,2\n")
    text_set = load_texts(path, column="body")
    assert text_set.name == "mine.csv"
    assert text_set.texts == ("one", "two")
    assert text_set.provenance == {"source": "a file", "column": "body"}
    assert load_texts(str(path), column="body") == text_set


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("mine.txt", "one\ntwo\n \nfour\n\nsix\n"),
        ("mine.jsonl", '"one"\n"two"\n" "\n"four"\n""\n"six"\n'),
        ("mine.csv", 'text,id\none,1\ntwo,2\n ,3\nfour,4\n"",5\nsix,6\n'),
    ],
)
@pytest.mark.parametrize("n", [None, 2])
def test_empty_rows_are_named_by_their_row_in_the_file_even_when_sampling(
    tmp_path: Path, name: str, data: str, n: int | None
):
    (tmp_path / name).write_text(data)
    with pytest.raises(TextsError) as caught:
        load_texts(tmp_path / name, n)
    assert caught.value.message == (
        f"{name}: 2 of 6 texts are empty or white space only: row 3, 5 (rows count from 1)"
    )


def test_an_empty_line_among_the_rows_of_a_csv_file_does_not_shift_their_numbers(tmp_path: Path):
    # in a file with one column, an empty line is an empty text
    path = tmp_path / "mine.csv"
    path.write_text("text\none\n\n \nfour\n")
    with pytest.raises(TextsError, match=r"row 2, 3 \(rows count from 1\)"):
        load_texts(path)


def test_an_empty_file_has_too_few_texts(tmp_path: Path):
    (tmp_path / "none.txt").write_bytes(b"")
    with pytest.raises(TextsError, match=r"^none\.txt: expected at least 2 texts, got 0$"):
        load_texts(tmp_path / "none.txt")


def test_an_unknown_name_is_an_error_with_the_nearest_names():
    with pytest.raises(UnknownNameError) as caught:
        load_texts("wikipdia")
    assert caught.value.message.startswith("no text set and no file is called 'wikipdia'; text sets: ")
    assert "wikipedia" in caught.value.message
    assert "files end in .txt, .jsonl, .csv, .parquet" in caught.value.message
    assert caught.value.hint == "did you mean wikipedia?"


def test_a_name_like_no_other_is_an_error_that_says_where_the_names_are():
    with pytest.raises(UnknownNameError) as caught:
        load_texts("zzzzzzzz.txt")
    assert caught.value.hint == "'isodepth texts' lists the sets."


def test_a_folder_is_not_a_text_file(tmp_path: Path):
    with pytest.raises(UnknownNameError, match="no text set and no file is called"):
        load_texts(tmp_path)


def test_a_text_given_in_place_of_a_name_is_an_unknown_name():
    # longer than any file name may be, so that even looking for the file fails
    with pytest.raises(UnknownNameError, match="no text set and no file is called"):
        load_texts("One long text. " * 331)


@pytest.fixture
def tiny_wikipedia(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueTexts:
    """Put a wheel of four articles into the cache, and its pin into the catalogue."""
    articles = {
        name: {"title": name, "extract": extract}
        for name, extract in {
            "Long": "long " * 41,
            "Short": "short",
            "Many": "Many may refer to " + "this or that " * 41,
            "Other": "ö" * 211,
        }.items()
    }
    data = json.dumps(articles).encode()
    wheel = tmp_path / "tiny.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/summaries.json", data)
    pin = WheelPin("tiny", "1.0", hashlib.sha256(wheel.read_bytes()).hexdigest(), wheel.stat().st_size)
    folder = tmp_path / "cache" / "downloads" / pin.sha256[:32]
    folder.mkdir(parents=True)
    wheel.rename(folder / "tiny-1.0-py3-none-any.whl")
    texts = CatalogueTexts(
        name="tiny",
        title="Two articles",
        n_texts=2,
        licence="CC0",
        source="this test",
        wheel=pin,
        member="tiny/summaries.json",
        member_bytes=len(data),
        reader=wikipedia_paragraphs,
        cleaning="short ones and disambiguations",
    )
    monkeypatch.setitem(TEXT_SETS, "tiny", texts)
    return texts


def test_a_catalogue_name_reads_the_pinned_wheel_and_says_so(tiny_wikipedia: CatalogueTexts):
    assert tiny_wikipedia.is_here
    text_set = load_texts("tiny")
    assert text_set == TextSet.of(
        ["long " * 41, "ö" * 211],
        name="tiny",
        provenance={
            "source": "this test",
            "licence": "CC0",
            "wheel": "tiny==1.0",
            "wheel_sha256": tiny_wikipedia.wheel.sha256,
            "cleaning": "short ones and disambiguations",
        },
    )


def test_a_catalogue_name_wins_over_a_file_of_that_name(
    tiny_wikipedia: CatalogueTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").write_text("one\ntwo\n")
    assert load_texts("tiny").name == tiny_wikipedia.name
    with pytest.raises(UnknownNameError, match="unknown kind of text file ''"):
        load_texts("./tiny")


def test_a_catalogue_name_has_no_columns(tiny_wikipedia: CatalogueTexts):
    with pytest.raises(ParameterError, match=r"^text set 'tiny' has no columns to choose from$"):
        load_texts(tiny_wikipedia.name, column="body")
