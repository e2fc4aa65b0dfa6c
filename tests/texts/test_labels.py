"""Labels of texts from another column of their file, looked up by the text itself."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from isodepth.errors import ParameterError, TextsError, UnknownNameError
from isodepth.texts import TextSet, load_texts, text_labels

ROWS = [
    ("one", "web"),
    ("two", "book"),
    ("twice", "web"),
    ("both", "web"),
    ("twice", "web"),
    ("both", "book"),
    ("both", "web"),
    ("empty", ""),
]
KNOWN = {"one": "web", "two": "book", "twice": "web", "both": None, "empty": None}


def written(folder: Path, ending: str) -> Path:
    path = folder / f"texts{ending}"
    if ending == ".csv":
        path.write_text("\n".join(["review,source", *(",".join(row) for row in ROWS), ""]))
    elif ending == ".jsonl":
        rows = [{"review": text, "meta": {"source": said}} for text, said in ROWS]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        texts, said = zip(*ROWS, strict=True)
        pyarrow.parquet.write_table(pyarrow.table({"review": texts, "source": said}), path)
    return path


@pytest.mark.parametrize(
    ("ending", "label"), [(".csv", "source"), (".jsonl", "meta.source"), (".parquet", "source")]
)
def test_a_label_is_looked_up_by_its_text(ending: str, label: str, tmp_path: Path) -> None:
    path = written(tmp_path, ending)
    shuffled = TextSet.of(["both", "two", "empty", "one", "elsewhere", "twice"], name="some")
    assert text_labels(shuffled, path, label, column="review") == (
        None,
        "book",
        None,
        "web",
        None,
        "web",
    )
    drawn = load_texts(path, n=5, seed=3, column="review")
    assert text_labels(drawn, str(path), label, column="review") == tuple(
        KNOWN[text] for text in drawn.texts
    )


def test_the_texts_stand_in_their_usual_column_where_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("source,text\nweb,one\nbook,two\n")
    assert text_labels(load_texts(path), path, "source") == ("web", "book")


def test_texts_that_were_changed_have_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("source,text\nweb,one\nbook,two\n")
    with pytest.raises(ParameterError) as caught:
        text_labels(load_texts(f"caesar({path})"), path, "source")
    assert caught.value.message == (f"caesar({path}): no text has a label in column 'source' of {path}")
    assert caught.value.hint == "labels are looked up by the text itself; a control changes the texts."


@pytest.mark.parametrize(
    ("name", "label", "error", "said"),
    [
        ("texts.csv", "sourc", TextsError, "no column 'sourc'; it has review, source"),
        ("texts.txt", "source", TextsError, "a .txt file has no columns"),
        ("wikipedia", "source", ParameterError, "text set 'wikipedia' has no columns"),
        ("texts.jsonk", "source", UnknownNameError, "no text set and no file is called"),
    ],
)
def test_what_has_no_such_column_is_told(
    name: str, label: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    written(tmp_path, ".csv")
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    source = name if name == "wikipedia" else tmp_path / name
    column = "review" if name.endswith(".csv") else None
    with pytest.raises(error, match=said):
        text_labels(TextSet.of(["one", "two"], name="some"), source, label, column=column)
