import contextlib
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import ParameterError, TextsError, UnknownNameError
from isodepth.texts import load_parallel_texts, load_texts
from isodepth.texts.files import read_folder, read_texts_file

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_lines_are_texts_with_and_without_a_final_line_feed(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.txt", b"one\ntwo\n")) == ["one", "two"]
    assert read_texts_file(written(tmp_path, "b.txt", b"one\ntwo")) == ["one", "two"]


def test_carriage_return_and_line_feed_end_a_line(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.txt", b"one\r\ntwo\r\n")) == ["one", "two"]


def test_a_carriage_return_without_a_line_feed_is_text(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.txt", b"one\rtwo\nthree\r")) == ["one\rtwo", "three\r"]


def test_white_space_within_and_around_a_line_is_kept(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.txt", b" one \n\ttwo  x\n")) == [" one ", "\ttwo  x"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\rx"])
def test_other_line_separators_inside_a_line_are_text(tmp_path: Path, separator: str):
    path = written(tmp_path, "a.txt", f"one{separator}two\nthree\n".encode())
    assert read_texts_file(path) == [f"one{separator}two", "three"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", b"one\ntwo\n"),
        ("a.jsonl", b'{"text": "one"}\n{"text": "two"}\n'),
        ("a.csv", b"text,other\none,1\ntwo,2\n"),
    ],
)
def test_a_byte_order_mark_is_not_text(tmp_path: Path, name: str, data: bytes):
    assert read_texts_file(written(tmp_path, name, BYTE_ORDER_MARK + data)) == ["one", "two"]


def test_a_second_byte_order_mark_is_text(tmp_path: Path):
    path = written(tmp_path, "a.txt", BYTE_ORDER_MARK * 2 + b"one\ntwo\n")
    assert read_texts_file(path) == ["\ufeffone", "two"]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_bytes_that_are_not_utf_8_are_named_by_file_line_and_byte(tmp_path: Path, name: str):
    path = written(tmp_path, name, "text\nnaïve\n".encode("latin1"))
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == (
        f"{path}: not UTF-8 at line 2, byte 7 of the file (0xef): invalid continuation byte"
    )
    assert "iconv -f latin1 -t utf-8" in (caught.value.hint or "")


def test_a_bad_byte_is_named_at_its_place_after_a_byte_order_mark(tmp_path: Path):
    path = written(tmp_path, "a.txt", BYTE_ORDER_MARK + b"ab\ncd\xff\n")
    with pytest.raises(TextsError, match=r"not UTF-8 at line 2, byte 8 of the file \(0xff\)"):
        read_texts_file(path)


def test_utf_16_is_refused(tmp_path: Path):
    for encoding, why in (
        ("utf-16", "it begins with the mark of UTF-16"),
        ("utf-16-le", "every other byte is 0, as in UTF-16"),
        ("utf-16-be", "every other byte is 0, as in UTF-16"),
    ):
        path = written(tmp_path, "a.txt", "one\ntwo\n".encode(encoding))
        with pytest.raises(TextsError, match=f"not UTF-8 at line 1, byte 0 of the file: {why}"):
            read_texts_file(path)


def test_an_empty_txt_file_has_no_texts(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.txt", b"")) == []


def test_a_txt_file_has_no_columns(tmp_path: Path):
    path = written(tmp_path, "a.txt", b"one\ntwo\n")
    with pytest.raises(TextsError) as caught:
        read_texts_file(path, "body")
    assert caught.value.message == (
        f"{path}: a .txt file has no columns, so column 'body' does not apply"
    )


def test_jsonl_objects_give_the_field_text_or_the_named_one(tmp_path: Path):
    lines = '{"id": 1, "text": "one", "body": "eins"}\n{"body": "zwei", "text": "two", "id": 2}\n'
    path = written(tmp_path, "a.jsonl", lines.encode())
    assert read_texts_file(path) == ["one", "two"]
    assert read_texts_file(path, "body") == ["eins", "zwei"]


def test_jsonl_objects_with_one_field_need_no_name(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'{"body": "one"}\n{"body": "two"}\n')
    assert read_texts_file(path) == ["one", "two"]


def test_jsonl_strings_are_texts(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "a.jsonl", b'"one\\ntwo"\r\n"three"')) == [
        "one\ntwo",
        "three",
    ]


def test_jsonl_rows_without_the_field_or_without_text_in_it_are_listed(tmp_path: Path):
    lines = b'{"text": "one"}\n{"texts": "two"}\n{"text": 3}\n{"text": null}\n{"text": "five"}\n'
    path = written(tmp_path, "a.jsonl", lines)
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == f"{path}: column 'text' holds no text in row 2, 3, 4"


def test_jsonl_lines_that_are_not_json_are_named(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'{"text": "one"}\n{"text": "two"\n')
    with pytest.raises(TextsError, match=r"a\.jsonl: line 2 is not JSON: Expecting ',' delimiter"):
        read_texts_file(path)


def test_an_empty_jsonl_line_is_named(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'"one"\n\n"two"\n')
    with pytest.raises(TextsError, match=r"line 2 is not JSON"):
        read_texts_file(path)


def test_jsonl_nested_too_deeply_is_an_error_with_its_line(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'"one"\n' + b"[" * 100_003 + b"\n")
    with pytest.raises(TextsError, match=r"line 2 is not"):
        read_texts_file(path)


def test_jsonl_lines_that_are_neither_object_nor_all_strings_are_listed(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'{"text": "one"}\n"two"\n[3]\n')
    with pytest.raises(TextsError, match=r"not a JSON object in line 2, 3$"):
        read_texts_file(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_an_empty_file_is_an_error_that_says_so(tmp_path: Path, name: str):
    with pytest.raises(TextsError, match=r"empty|0 bytes"):
        read_texts_file(written(tmp_path, name, b""))


def test_csv_fields_in_quotes_may_hold_line_breaks_commas_and_quotes(tmp_path: Path):
    path = written(tmp_path, "a.csv", b'id,text\r\n1,"one\r\n2, ""two"""\r\n2,three\r\n')
    assert read_texts_file(path) == ['one\r\n2, "two"', "three"]


def test_csv_gives_the_named_column_the_column_text_or_the_only_one(tmp_path: Path):
    path = written(tmp_path, "a.csv", b"body,text\none,eins\ntwo,zwei\n")
    assert read_texts_file(path) == ["eins", "zwei"]
    assert read_texts_file(path, "body") == ["one", "two"]
    assert read_texts_file(written(tmp_path, "b.csv", b"body\none\ntwo\n")) == ["one", "two"]


def test_a_missing_column_is_an_error_with_all_names_and_the_nearest(tmp_path: Path):
    path = written(tmp_path, "a.csv", b"id,bodies\n1,one\n2,two\n")
    with pytest.raises(TextsError) as caught:
        read_texts_file(path, "body")
    assert caught.value.message == f"{path}: no column 'body'; it has id, bodies"
    assert caught.value.hint == "did you mean 'bodies'?"


def test_a_choice_of_columns_without_text_must_be_made_by_the_user(tmp_path: Path):
    path = written(tmp_path, "a.csv", b"id,body\n1,one\n2,two\n")
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == f"{path}: which column holds the texts? It has id, body"
    assert caught.value.hint == "say which with column (--column NAME on the command line)."


def test_csv_rows_that_end_before_the_column_are_listed(tmp_path: Path):
    path = written(tmp_path, "a.csv", b"id,text\n1,one\n2\n3,three\n4\n")
    with pytest.raises(TextsError, match=r"expected 2 fields \(id, text\); row 2, 4 has fewer or more"):
        read_texts_file(path)


def test_csv_rows_with_more_fields_than_the_header_are_refused_not_cut(tmp_path: Path):
    # an unquoted comma would otherwise drop the rest of the text without a word
    path = written(tmp_path, "a.csv", b"text\nHello, world\nfoo\n")
    with pytest.raises(TextsError, match=r"row 1"):
        read_texts_file(path)


@pytest.mark.parametrize("data", [b'text\n"one\ntwo\n', b'text\n"one"x\ntwo\n'])
def test_broken_quotes_in_csv_are_an_error(tmp_path: Path, data: bytes):
    with pytest.raises(TextsError, match=r"a\.csv: not readable as CSV: "):
        read_texts_file(written(tmp_path, "a.csv", data))


def test_csv_fields_longer_than_the_default_limit_of_the_csv_module_are_read(tmp_path: Path):
    long = "x" * 131_101
    path = written(tmp_path, "a.csv", f"text\n{long}\nshort\n".encode())
    assert read_texts_file(path) == [long, "short"]


def parquet(folder: Path, columns: dict[str, pa.Array]) -> Path:
    path = folder / "a.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_parquet_gives_a_string_column(tmp_path: Path, kind: pa.DataType):
    path = parquet(tmp_path, {"id": pa.array([1, 2]), "text": pa.array(["one", "two"], kind)})
    assert read_texts_file(path) == ["one", "two"]


def test_parquet_reads_dictionary_columns_and_names_with_dots(tmp_path: Path):
    values = pa.array(["one", "two", "one"]).dictionary_encode()
    path = parquet(tmp_path, {"a.b": values, "c": pa.array([1, 2, 3])})
    assert read_texts_file(path, "a.b") == ["one", "two", "one"]


def test_parquet_nulls_are_listed_by_row(tmp_path: Path):
    path = parquet(tmp_path, {"text": pa.array(["one", None, "three", None])})
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == f"{path}: column 'text' holds no text in row 2, 4"


@pytest.mark.parametrize("values", [pa.array([1, 2]), pa.array([b"one", b"two"])])
def test_a_parquet_column_of_another_type_is_refused(tmp_path: Path, values: pa.Array):
    with pytest.raises(TextsError, match=r"column 'text' holds no text in row 1, 2$"):
        read_texts_file(parquet(tmp_path, {"text": values}))


def test_a_parquet_string_that_is_not_utf_8_is_an_error_of_the_texts(tmp_path: Path):
    offsets = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0")
    values = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff"))
    with pytest.raises(TextsError, match=r"a\.parquet"):
        read_texts_file(parquet(tmp_path, {"text": values}))


def test_a_missing_parquet_column_is_an_error_with_the_nearest_name(tmp_path: Path):
    path = parquet(tmp_path, {"content": pa.array(["one", "two"]), "id": pa.array([1, 2])})
    with pytest.raises(TextsError) as caught:
        read_texts_file(path, "contents")
    assert caught.value.message == f"{path}: no column 'contents'; it has content, id"
    assert caught.value.hint == "did you mean 'content'?"


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path):
    with pytest.raises(TextsError, match=r"a\.parquet: not readable as Parquet: "):
        read_texts_file(written(tmp_path, "a.parquet", b"text\none\ntwo\n"))


def test_an_unknown_ending_is_an_error_with_the_known_ones(tmp_path: Path):
    path = written(tmp_path, "a.docx", b"one\ntwo\n")
    with pytest.raises(UnknownNameError) as caught:
        read_texts_file(path)
    assert caught.value.message == (
        f"{path}: unknown kind of text file '.docx'; isodepth reads .txt, .jsonl, .csv, .parquet"
    )


def test_endings_count_in_capitals_too(tmp_path: Path):
    assert read_texts_file(written(tmp_path, "A.TXT", b"one\ntwo\n")) == ["one", "two"]


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv", "parquet"])
def test_a_file_that_cannot_be_opened_is_an_error_of_the_texts(tmp_path: Path, ending: str):
    path = tmp_path / f"absent.{ending}"
    with pytest.raises(TextsError, match=rf"absent\.{ending} cannot be read: "):
        read_texts_file(path)


texts_of_any_kind = st.lists(st.text(max_size=17), min_size=2, max_size=7)


@settings(deadline=None)
@given(texts_of_any_kind)
def test_any_unicode_comes_back_unchanged_from_jsonl(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
):
    folder = tmp_path_factory.getbasetemp()
    for ascii_only in (True, False):
        lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) for text in texts]
        path = written(folder, "any.jsonl", "\n".join(lines).encode())
        assert read_texts_file(path) == texts


@settings(deadline=None)
@given(texts_of_any_kind)
def test_any_unicode_comes_back_unchanged_from_csv(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows([[row, text] for row, text in enumerate(texts)])
    assert read_texts_file(path) == texts


@settings(deadline=None)
@given(texts_of_any_kind)
def test_any_unicode_comes_back_unchanged_from_parquet(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
):
    folder = tmp_path_factory.getbasetemp()
    assert read_texts_file(parquet(folder, {"text": pa.array(texts, pa.string())})) == texts


PAIRS = (
    b'{"id": 1, "translation": {"en": "one", "de": "eins"}}\n'
    b'{"id": 2, "translation": {"de": "zwei", "en": "two"}}\n'
)


def test_a_dotted_column_reaches_into_nested_json(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", PAIRS)
    assert read_texts_file(path, "translation.en") == ["one", "two"]
    assert read_texts_file(path, "translation.de") == ["eins", "zwei"]


def test_nested_columns_are_among_those_listed(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", PAIRS)
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == (
        f"{path}: which column holds the texts? It has id, translation, translation.en, translation.de"
    )
    with pytest.raises(TextsError) as caught:
        read_texts_file(path, "translation.fr")
    assert caught.value.message == (
        f"{path}: no column 'translation.fr'; it has id, translation, translation.en, translation.de"
    )
    assert (caught.value.hint or "").startswith("did you mean 'translation")


def test_a_column_whose_own_name_has_a_dot_wins_over_a_nested_one(tmp_path: Path):
    lines = b'{"a.b": "one", "a": {"b": "nested"}}\n{"a": {"b": "nested"}, "a.b": "two"}\n'
    assert read_texts_file(written(tmp_path, "a.jsonl", lines), "a.b") == ["one", "two"]


def test_every_nested_column_that_is_listed_can_be_read(tmp_path: Path):
    path = written(tmp_path, "a.jsonl", b'{"a.b": {"c": "one"}, "d": 1}\n{"a.b": {"c": "two"}}\n')
    assert read_texts_file(path, "a.b.c") == ["one", "two"]


def test_rows_without_the_nested_field_are_listed(tmp_path: Path):
    lines = b'{"a": {"b": "one"}}\n{"a": null}\n{"a": {"b": 3}}\n{"a": {"b": "four"}}\n{"c": 1}\n'
    path = written(tmp_path, "a.jsonl", lines)
    with pytest.raises(TextsError) as caught:
        read_texts_file(path, "a.b")
    assert caught.value.message == f"{path}: column 'a.b' holds no text in row 2, 3, 5"


def test_two_columns_of_one_name_are_refused(tmp_path: Path):
    path = written(tmp_path, "a.csv", b"text,id,text\none,1,eins\ntwo,2,zwei\n")
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == f"{path}: several columns have the same name: text"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_table_with_other_separators_is_refused_with_a_hint(tmp_path: Path, separator: str):
    path = written(tmp_path, "a.csv", f"id{separator}text\n1{separator}one\n".encode())
    with pytest.raises(TextsError) as caught:
        read_texts_file(path)
    assert caught.value.message == (
        f"{path}: fields must be separated by commas; the header is {f'id{separator}text'!r}"
    )
    assert "save the table with commas" in (caught.value.hint or "")


AWKWARD = [
    "one\ntwo",
    " \tblank around\n",
    "one\r\ntwo\rthree",
    "\ufefftext",
    "a\u2028b\x85c",
    'say "no", ok',
]


def as_jsonl(folder: Path) -> Path:
    lines = "\n".join(json.dumps({"text": text}) for text in AWKWARD)
    return written(folder, "awkward.jsonl", lines.encode())


def as_csv(folder: Path) -> Path:
    path = folder / "awkward.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *[[text] for text in AWKWARD]])
    return path


def as_parquet(folder: Path) -> Path:
    return parquet(folder, {"text": pa.array(AWKWARD)})


def as_folder(folder: Path) -> Path:
    place = folder / "awkward"
    place.mkdir()
    for row, text in enumerate(AWKWARD):
        written(place, f"{row}.txt", f"{text}\n".encode())
    # the mark at the start of a file is not text; a text that begins with one has two
    written(place, "3.txt", "\ufeff\ufefftext\n".encode())
    return place


@pytest.mark.parametrize("make", [as_jsonl, as_csv, as_parquet, as_folder])
def test_line_breaks_inside_a_text_and_white_space_around_it_survive(
    tmp_path: Path, make: Callable[[Path], Path]
):
    assert load_texts(make(tmp_path)).texts == tuple(AWKWARD)


def folder_of(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / "texts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "texts"


def test_a_folder_has_a_text_in_every_txt_file_ordered_by_path(tmp_path: Path):
    files = {
        "b.txt": b"third",
        "a/z.txt": b"second",
        "a/b/c.txt": b"first",
        "c.txt": b"fifth",
        "b/a.txt": b"fourth? no: before b.txt",
        "a/notes.md": b"not read",
        "z.csv": b"text\nnot read\n",
    }
    folder = folder_of(tmp_path, files)
    (folder / "folder.txt").mkdir()
    expected = [files[name].decode() for name in ("a/b/c.txt", "a/z.txt", "b/a.txt", "b.txt", "c.txt")]
    assert read_folder(folder) == expected
    found = load_texts(str(folder))
    assert found.texts == tuple(expected)
    assert found.name == "texts"
    assert found.provenance == {"source": "a folder of .txt files", "n_files": 5}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"one", "one"),
        (b"one\n", "one"),
        (b"one\n\n", "one\n"),
        (b"one\r\n", "one"),
        (b"one\r\n\r\n", "one\r\n"),
        (b"one\n two \nthree\n", "one\n two \nthree"),
        (b"one\r\ntwo", "one\r\ntwo"),
        (b" one \n", " one "),
        (b"\none", "\none"),
        (BYTE_ORDER_MARK + b"one\n", "one"),
    ],
)
def test_the_line_end_that_closes_a_file_is_no_text_and_all_else_is(
    tmp_path: Path, data: bytes, text: str
):
    assert read_folder(folder_of(tmp_path, {"a.txt": data, "b.txt": b"other"})) == [text, "other"]


def test_a_carriage_return_that_closes_a_file_alone_is_text(tmp_path: Path):
    assert read_folder(folder_of(tmp_path, {"a.txt": b"one\r", "b.txt": b"two"})) == ["one\r", "two"]


def test_a_file_of_a_folder_that_is_not_utf_8_is_named_with_line_and_byte(tmp_path: Path):
    folder = folder_of(tmp_path, {"a.txt": b"fine", "sub/b.txt": "text\nnaïve".encode("latin1")})
    with pytest.raises(TextsError) as caught:
        load_texts(folder)
    assert caught.value.message == (
        f"{folder}/sub/b.txt: not UTF-8 at line 2, byte 7 of the file (0xef): invalid continuation byte"
    )


@pytest.mark.parametrize("files", [{}, {"a.md": b"one"}])
def test_a_folder_without_txt_files_is_an_error(tmp_path: Path, files: dict[str, bytes]):
    (tmp_path / "texts").mkdir()
    folder = folder_of(tmp_path, files)
    with pytest.raises(TextsError) as caught:
        load_texts(folder)
    assert caught.value.message == f"{folder}: there are no .txt files in this folder"
    assert "one text in each .txt file" in (caught.value.hint or "")


def test_a_folder_has_no_columns(tmp_path: Path):
    folder = folder_of(tmp_path, {"a.txt": b"one", "b.txt": b"two"})
    with pytest.raises(ParameterError) as caught:
        load_texts(folder, column="body")
    assert caught.value.message == f"{folder}: a folder of .txt files has no columns to choose from"


def test_an_empty_file_of_a_folder_is_an_empty_text(tmp_path: Path):
    folder = folder_of(tmp_path, {"a.txt": b"one", "b.txt": b"\n", "c.txt": b"three"})
    with pytest.raises(TextsError, match=r"1 of 3 texts are empty or white space only: row 2 "):
        load_texts(folder)
    assert load_texts(folder, min_chars=1).texts == ("one", "three")


@pytest.fixture
def standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bytes], None]]:
    """Return a function that puts bytes on standard input, which has another encoding."""
    with contextlib.ExitStack() as opened:

        def give(data: bytes) -> None:
            stream = opened.enter_context(written(tmp_path, "input", data).open(encoding="latin1"))
            monkeypatch.setattr(sys, "stdin", stream)

        yield give


def test_standard_input_gives_a_text_a_line(standard_input: Callable[[bytes], None]):
    standard_input(BYTE_ORDER_MARK + "naïve \r\n two\n".encode())
    found = load_texts("-")
    assert found.texts == ("naïve ", " two")
    assert found.name == "standard input"
    assert found.provenance == {"source": "standard input", "column": None}


def test_standard_input_gives_json_lines_where_a_column_is_named(
    standard_input: Callable[[bytes], None],
):
    standard_input(PAIRS)
    found = load_texts("-", column="translation.de")
    assert found.texts == ("eins", "zwei")
    assert found.provenance == {"source": "standard input", "column": "translation.de"}


@pytest.mark.parametrize(
    ("data", "column", "message"),
    [
        (b"one\nt\xefo\n", None, "not UTF-8 at line 2, byte 5 of the file (0xef): "),
        (b'{"body": "one"}\n', "text", "no column 'text'; it has body"),
        (b'"one"\n"two"\n', "text", "not a JSON object in line 1, 2"),
        (b'{"text": "one"\n', "text", "line 1 is not JSON: "),
        (b"", "text", "the file is empty, expected a JSON object in every line"),
    ],
)
def test_errors_of_standard_input_say_so(
    standard_input: Callable[[bytes], None], data: bytes, column: str | None, message: str
):
    standard_input(data)
    with pytest.raises(TextsError) as caught:
        load_texts("-", column=column)
    assert caught.value.message.startswith(f"standard input: {message}")


def test_standard_input_without_a_line_has_too_few_texts(standard_input: Callable[[bytes], None]):
    standard_input(b"")
    with pytest.raises(TextsError, match=r"^standard input: expected at least 2 texts, got 0$"):
        load_texts("-")


def test_a_control_can_be_made_of_standard_input(standard_input: Callable[[bytes], None]):
    standard_input(b"one\ntwo\n")
    assert load_texts("same-ending(-, ending=x)").texts == ("one x", "two x")


@pytest.mark.parametrize(
    "right",
    ["-", "caesar(-)", "shuffled-words(caesar(-))"],
)
def test_standard_input_is_read_once_only(standard_input: Callable[[bytes], None], right: str):
    standard_input(b"one two\nthree four\n")
    with pytest.raises(TextsError, match="standard input can be read once only") as caught:
        load_parallel_texts("-", right)
    assert caught.value.hint == "put one side into a file."


@pytest.mark.parametrize(
    ("encoding", "told", "name"),
    [
        ("utf-32", "UTF-32", "UTF-32"),
        ("utf-16-le", "UTF-16", "UTF-16LE"),
        ("utf-16-be", "UTF-16", "UTF-16BE"),
    ],
)
def test_the_hint_converts_what_the_file_is(tmp_path: Path, encoding: str, told: str, name: str):
    path = written(tmp_path, "a.txt", "some words\nand more\n".encode(encoding))
    with pytest.raises(TextsError, match=told) as caught:
        read_texts_file(path)
    assert caught.value.hint == f"convert it first: iconv -f {name} -t utf-8 OLD > NEW."


def test_hidden_files_and_folders_are_left_out(tmp_path: Path):
    for name in ("a.txt", ".b.txt", ".hidden/c.txt", "sub/D.TXT", "sub/.ipynb_checkpoints/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(name)
    assert read_folder(tmp_path) == ["a.txt", "sub/D.TXT"]
