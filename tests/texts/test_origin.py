"""From what was written to where the texts are: names, choices that apply, and choices that do not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from isodepth.errors import ParameterError, TextsError, UnknownNameError
from isodepth.progress import no_progress
from isodepth.texts import TEXT_SETS, load_parallel_texts, load_texts
from isodepth.texts.origin import Origin, Wanted, origin_of
from isodepth.texts.rows import ListRows

TEXTS = ["one text", "two texts", "three texts"]


def found(written: object, **said: object) -> Origin:
    wanted = {"column": None, "source": None, "n": None, "seed": 1234, "progress": no_progress}
    return origin_of(written, Wanted(**{**wanted, **said}))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a file of every kind."""
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("\n".join(TEXTS))
    Path("mine.csv").write_text("\n".join(["text", *TEXTS]))
    Path("mine.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in TEXTS))
    Path("folder").mkdir()
    for row, text in enumerate(TEXTS):
        Path(f"folder/{row}.txt").write_text(text)
    return tmp_path


@pytest.mark.parametrize("written", ["mine.txt", "./mine.csv", "mine.jsonl", "folder", "./folder/"])
def test_files_and_folders_are_found_as_written_and_as_paths(here: Path, written: str):
    for form in (written, Path(written), here / written, str(here / written)):
        origin = found(form)
        assert origin.rows.take(range(3)) == TEXTS
        assert origin.name == Path(written).name
        assert origin.row_origin is None


def test_the_home_folder_may_be_written_short(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(here))
    assert load_texts("~/mine.txt").texts == tuple(TEXTS)


def test_the_working_folder_has_its_own_name(here: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(here / "folder")
    assert load_texts(".").name == "folder"


def test_a_file_without_a_known_ending_is_an_error(here: Path):
    Path("notes").write_text("one\ntwo\n")
    with pytest.raises(UnknownNameError) as caught:
        load_texts("notes")
    assert caught.value.message == (
        "notes: unknown kind of text file ''; isodepth reads .txt, .jsonl, .csv, .parquet"
    )


def test_a_list_is_a_source_of_its_own():
    origin = found(TEXTS)
    assert isinstance(origin.rows, ListRows)
    assert (origin.name, origin.provenance) == ("texts", {"source": "a list in memory"})
    assert load_texts(tuple(TEXTS)).texts == tuple(TEXTS)


@pytest.mark.parametrize(
    ("written", "what"),
    [
        (TEXTS, "a list"),
        ("mine.txt", "a file"),
        (Path("mine.csv"), "a file"),
        ("folder", "a file"),
        ("-", "standard input"),
        ("random-strings", "random-strings"),
        ("random-strings(length=3)", "random-strings"),
        ("hf:owner/name", "hf:"),
        ("caesar(mine.txt)", "a file"),
        ("caesar(random-strings)", "random-strings"),
    ],
)
@pytest.mark.parametrize("source", ["hub", "offline"])
def test_a_source_is_refused_where_there_is_none_to_choose(
    here: Path, written: object, what: str, source: str
):
    with pytest.raises(ParameterError) as caught:
        load_texts(written, source=source)
    assert caught.value.message == (
        f"source {source!r} was named, but {what} has no sources to choose from"
    )
    assert caught.value.hint == "only sets of the catalogue have; 'isodepth texts' lists them."


def test_a_source_is_refused_for_the_right_side_of_a_pair_too(tiny_sets: dict[str, int]):
    with pytest.raises(ParameterError, match="but a list has no sources to choose from"):
        load_parallel_texts("ifeval", TEXTS, source="offline")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (TEXTS, "a list has no columns to choose from; got column 'body'"),
        ("random-strings", "random-strings has no columns to choose from; got column 'body'"),
        ("news", "text set 'news' has no columns to choose from"),
        ("caesar(news)", "text set 'news' has no columns to choose from"),
        ("folder", "folder: a folder of .txt files has no columns to choose from"),
        ("mine.txt", "mine.txt: a .txt file has no columns, so column 'body' does not apply"),
    ],
)
def test_a_column_is_refused_where_there_is_none_to_choose(here: Path, written: object, message: str):
    with pytest.raises((ParameterError, TextsError)) as caught:
        load_texts(written, column="body")
    assert caught.value.message == message


def test_a_column_reaches_the_file_inside_a_control(here: Path):
    Path("pairs.csv").write_text("en,de\none two,eins zwei\nthree four,drei vier\n")
    changed = load_texts("same-ending(pairs.csv, ending=x)", column="de")
    assert changed.texts == ("eins zwei x", "drei vier x")
    assert changed.provenance["column"] == "de"


def test_the_source_reaches_the_set_inside_a_control(
    tiny_sets: dict[str, int], hub_folder: Callable[..., Path]
):
    hub_folder("ifeval", [{"prompt": text} for text in TEXTS])
    changed = load_texts("same-ending(ifeval, ending=x)", source="hub")
    assert changed.texts == tuple(f"{text} x" for text in TEXTS)
    assert changed.provenance["source"] == "hub"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("wikipdia", "did you mean wikipedia?"),
        ("News", "did you mean news?"),
        ("random-string", "did you mean random-strings or handbook-en?"),
        ("./absent.txt", "'isodepth texts' lists the sets."),
        ("zzzzzzzzzz", "'isodepth texts' lists the sets."),
        ("\0", "'isodepth texts' lists the sets."),
    ],
)
def test_what_is_nowhere_is_an_error_with_all_names_and_the_nearest(
    here: Path, written: str, hint: str
):
    with pytest.raises(UnknownNameError) as caught:
        load_texts(written)
    assert caught.value.message == (
        f"no text set and no file is called {written!r}; text sets: "
        f"{', '.join([*TEXT_SETS, 'random-strings'])}; files end in .txt, .jsonl, .csv, .parquet; hub data "
        "sets begin with hf:"
    )
    assert caught.value.hint == hint


def test_a_long_text_in_place_of_a_name_is_shown_shortened():
    with pytest.raises(UnknownNameError) as caught:
        load_texts("One long text. " * 331)
    assert caught.value.message.startswith(
        f"no text set and no file is called {('One long text. ' * 331)[:80]!r}...; text sets: web-text"
    )


# data sets laid out like those of the hub


@pytest.fixture
def pairs(hub_folder: Callable[..., Path]) -> Path:
    rows = [{"id": row, "en": text, "t": {"de": f"de {text}"}} for row, text in enumerate(TEXTS)]
    return hub_folder("imdb", rows, split="validation")


def test_a_hub_name_says_which_column(pairs: Path):
    texts = load_texts(f"hf:{pairs}:validation:en")
    assert texts.texts == tuple(TEXTS)
    assert texts.name == f"hf:{pairs}:validation:en"
    assert texts.provenance == {
        "source": "hub",
        "dataset": str(pairs),
        "config": "default",
        "split": "validation",
        "column": "en",
        "commit": None,
    }
    assert load_texts(f"hf:{pairs}", column="en").texts == tuple(TEXTS)
    assert load_texts(f"hf:{pairs}:validation:en", column="en").texts == tuple(TEXTS)


def test_a_nested_column_and_a_slice_can_be_named(pairs: Path):
    assert load_texts(f"hf:{pairs}:validation[1:]:t.de").texts == ("de two texts", "de three texts")


def test_two_columns_are_a_contradiction(pairs: Path):
    with pytest.raises(ParameterError) as caught:
        load_texts(f"hf:{pairs}:validation:en", column="t.de")
    assert caught.value.message == (
        f"hf:{pairs}:validation:en names the column 'en', and column is 't.de'"
    )


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (None, "which column holds the texts? It has id, en, t, t.de"),
        ("fr", "no column 'fr'; it has id, en, t, t.de"),
    ],
)
def test_a_column_that_is_not_there_is_an_error_with_those_that_are(
    pairs: Path, column: str | None, message: str
):
    with pytest.raises(TextsError) as caught:
        load_texts(f"hf:{pairs}", column=column)
    assert caught.value.message == f"hf:{pairs}: {message}"


def test_controls_of_hub_data_sets_read_them(pairs: Path):
    changed = load_texts(f'same-ending("hf:{pairs}:validation:en", ending=x)', 2)
    plain = load_texts(f"hf:{pairs}:validation:en", 2)
    assert changed.texts == tuple(f"{text} x" for text in plain.texts)
