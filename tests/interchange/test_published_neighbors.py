"""The authors' neighbor sets: what is read is what a model saw; what is wrong is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import tiny_models
from isodepth import TextSet, affinity_matrix, extract_all, load_model, nearest_neighbors
from isodepth.errors import IsodepthError, ParameterError, TextsError, UnknownNameError
from isodepth.interchange import (
    imported_readings,
    imported_texts,
    keep_reading,
    published_files,
    published_name,
    read_published_neighbors,
)
from isodepth.interchange.published_table import BATCH_BYTES
from isodepth.store import Store
from published_form import neighbor_lists, written_as_published

N_TEXTS, N_LAYERS = 13, 5
TEXTS = [f"text {number}" for number in range(N_TEXTS)]
SETS = {
    "web_text": TextSet.of(tiny_models.texts_of([3 + n % 7 for n in range(29)], seed=3), name="web"),
    "book_translations_de": TextSet.of(
        tiny_models.texts_of([2 + n % 5 for n in range(23)], seed=4), name="books"
    ),
}


def read(path: Path, **options: Any) -> Any:
    (file,) = published_files([path])
    return read_published_neighbors(file, **options)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a table in the published form, with changes."""

    def written(
        lists: Any = None,
        *,
        value_type: pa.DataType | None = None,
        drop: str | None = None,
        name: str = "owner__model---web_text",
        **columns: Any,
    ) -> Path:
        data: dict[str, Any] = {
            "text": TEXTS,
            "knn": neighbor_lists(N_TEXTS, N_LAYERS).tolist() if lists is None else lists,
            "at_max_length": [False] * N_TEXTS,
            **columns,
        }
        types = {
            "text": pa.string(),
            "knn": value_type or pa.list_(pa.list_(pa.int16())),
            "at_max_length": pa.bool_(),
        }
        arrays = {
            key: value if isinstance(value, pa.Array) else pa.array(value, types[key])
            for key, value in data.items()
            if key != drop
        }
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(pa.table(arrays), path)
        return path

    return written


# what is read


def test_the_neighbors_are_the_first_of_each_layer_but_the_embedding(
    write: Callable[..., Path],
) -> None:
    lists = neighbor_lists(N_TEXTS, N_LAYERS)
    reading = read(write(lists.tolist()), keep=7)
    assert reading.neighbors.ids.dtype == np.int32
    assert reading.neighbors.ids.shape == (N_LAYERS - 1, N_TEXTS, 7)
    for layer in range(N_LAYERS - 1):
        for text in range(N_TEXTS):
            expected = lists[text, layer + 1, :7].tolist()
            assert reading.neighbors.ids[layer, text].tolist() == expected
    assert np.isnan(reading.neighbors.similarities).all()
    assert reading.options.capture == "final_norm"
    assert reading.neighbors.texts_digest == TextSet.of(TEXTS).digest


def test_hundred_are_kept_or_as_many_as_there_are(write: Callable[..., Path]) -> None:
    assert read(write()).neighbors.k == N_TEXTS - 1
    with pytest.raises(ParameterError, match="keep must be at least 1 neighbor; got 0"):
        read(write(), keep=0)


@pytest.mark.parametrize(
    "value_type",
    [
        pa.list_(pa.list_(pa.int32())),
        pa.list_(pa.list_(pa.int64())),
        pa.large_list(pa.large_list(pa.int16())),
        pa.list_(pa.list_(pa.int16(), N_TEXTS - 1), N_LAYERS),
        pa.list_(pa.list_(pa.int32(), N_TEXTS - 1)),
    ],
    ids=str,
)
def test_other_widths_and_kinds_of_lists_say_the_same(
    write: Callable[..., Path], value_type: pa.DataType
) -> None:
    expected = read(write(name="owner__model---a")).neighbors
    found = read(write(name="owner__model---b", value_type=value_type)).neighbors
    np.testing.assert_array_equal(found.ids, expected.ids)


def test_fewer_neighbors_than_there_are_texts_are_taken(write: Callable[..., Path]) -> None:
    reading = read(write(neighbor_lists(N_TEXTS, N_LAYERS, k=3).tolist()))
    assert reading.neighbors.k == 3
    assert reading.neighbors.provenance["k_in_file"] == 3


def test_many_small_batches_and_row_groups_say_the_same(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = write()
    expected = read(path).neighbors.ids
    table = pyarrow.parquet.read_table(path)
    groups = tmp_path / "groups---web_text.parquet"
    pyarrow.parquet.write_table(table, groups, row_group_size=5)
    bytes_of_a_row = 2 * N_LAYERS * (N_TEXTS - 1) + 4 * (2 + N_LAYERS + 1)  # ids and where lists begin
    assert 2 * bytes_of_a_row < BATCH_BYTES
    monkeypatch.setattr("isodepth.interchange.published_table.BATCH_BYTES", 2 * bytes_of_a_row)
    told: list[int] = []
    reading = read(groups, progress=lambda label, done, total, unit: told.append(done))
    np.testing.assert_array_equal(reading.neighbors.ids, expected)
    assert told == [0, 2, 4, 6, 8, 10, 12, 13]


def test_how_many_texts_were_cut_is_kept(write: Callable[..., Path]) -> None:
    cut = [number in (2, 3, 11) for number in range(N_TEXTS)]
    provenance = read(write(at_max_length=cut)).neighbors.provenance
    assert provenance["n_truncated"] == 3
    assert provenance["embedding_layer"] == "dropped"
    assert provenance["file"] == "owner__model---web_text.parquet"
    without = read(write(drop="at_max_length"))
    assert without.neighbors.provenance["n_truncated"] is None
    assert without.notes == ("owner__model---web_text does not say which texts were cut.",)


def test_the_sum_of_the_file_is_kept(write: Callable[..., Path]) -> None:
    path = write()
    (file,) = read(path).neighbors.provenance["files"]
    assert file == {
        "name": path.name,
        "sha256": tiny_models.sha256(path),
        "size_bytes": path.stat().st_size,
    }


# names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("google__gemma-2-9b---web_text", ("gemma-2-9b", "web-text", False)),
        (
            "meta-llama__Meta-Llama-3.1-8B-Instruct---chat---ifeval",
            ("llama-3.1-8b-instruct", "ifeval", True),
        ),
        (
            "openai-community__gpt2---web_text_caesar",
            ("openai-community/gpt2", "caesar(web-text)", False),
        ),
        ("o__m---book_translations_en", ("o/m", "books-en", False)),
        ("o__m---book_translations_de", ("o/m", "books-de", False)),
        ("o__m__with__more---random_strings", ("o/m__with__more", "random-strings", False)),
        ("o__m---common_words", ("o/m", "common-words", False)),
        ("o__m---my_own_set", ("o/m", "my-own-set", False)),
        ("gemma-2-9b-it-with-chat-template---mmlu", ("gemma-2-9b-it", "mmlu", True)),
        ("falcon-11B---imdb", ("falcon-11b", "imdb", False)),
        ("new-model---wikipedia", ("new-model", "wikipedia", False)),
    ],
)
def test_names_say_model_text_set_and_chat(name: str, expected: tuple[str, str, bool]) -> None:
    assert published_name(name) == expected


@pytest.mark.parametrize("name", ["web_text", "a---b---c", "---web_text", "a---chat---b---c"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(ParameterError) as caught:
        published_name(name)
    assert caught.value.message == (
        f"the name {name!r} does not say model and text set: expected owner__model---set or "
        "owner__model---chat---set"
    )
    assert caught.value.hint == "say it with --model, --texts and, where it was used, --chat."


def test_what_the_caller_says_goes_before_the_name(write: Callable[..., Path]) -> None:
    reading = read(write(name="anything"), model="google/gemma-2b", texts="mine", chat=True)
    assert (reading.neighbors.model, reading.texts, reading.options.chat) == ("gemma-2b", "mine", True)
    assert reading.model_repository == "google/gemma-2b"
    other = read(write(name="o__m---chat---web_text"), texts="mine", chat=False)
    assert (other.neighbors.model, other.texts, other.options.chat) == ("o/m", "mine", False)


def test_a_name_with_a_path_in_it_is_a_label_and_nothing_else(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    path = write(name="..__..__etc---passwd")
    store = Store(tmp_path / "store")
    arrival = keep_reading(read(path), store)
    assert arrival.reading.model == "../..__etc"
    (folder,) = (tmp_path / "store" / "imported").iterdir()
    assert folder.name == arrival.reading.key


# files, folders, shards


def test_a_folder_gives_all_files_in_it_and_shards_one_reading(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    whole = pyarrow.parquet.read_table(write(name="o__m---imdb"))
    shards = tmp_path / "gemma-2-9b-it-with-chat-template---imdb"
    shards.mkdir()
    for number, (start, stop) in enumerate(((0, 6), (6, 7), (7, 13))):
        part = shards / f"train-0000{number}-of-00003.parquet"
        pyarrow.parquet.write_table(whole.slice(start, stop - start), part)
    one, other = published_files([tmp_path])
    assert (one.name, len(one.paths)) == (shards.name, 3)
    assert (other.name, len(other.paths)) == ("o__m---imdb", 1)
    in_parts, in_one = read_published_neighbors(one), read_published_neighbors(other)
    np.testing.assert_array_equal(in_parts.neighbors.ids, in_one.neighbors.ids)
    assert in_parts.neighbors.model == "gemma-2-9b-it"
    assert in_parts.options.chat
    assert [file["name"][6:11] for file in in_parts.neighbors.provenance["files"]] == [
        "00000",
        "00001",
        "00002",
    ]


def test_a_missing_shard_is_named(write: Callable[..., Path], tmp_path: Path) -> None:
    path = write(name="train-00001-of-00003")
    with pytest.raises(ParameterError) as caught:
        published_files([path])
    assert caught.value.message == (
        f"{tmp_path}: expected 3 shards of train; missing train-00000-of-00003.parquet, "
        "train-00002-of-00003.parquet"
    )
    assert caught.value.hint == "name the folder, or all of its shards."


def test_a_place_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="there is no .parquet file in this folder"):
        published_files([tmp_path])
    with pytest.raises(UnknownNameError, match="there is no file or folder .*/none"):
        published_files([tmp_path / "none"])


# what is wrong


def changed(change: Callable[[list[Any]], None]) -> list[Any]:
    lists = neighbor_lists(N_TEXTS, N_LAYERS).tolist()
    change(lists)
    return lists


def put(row: int, layer: int, place: int, value: Any) -> Callable[[list[Any]], None]:
    def change(lists: list[Any]) -> None:
        lists[row][layer][place] = value

    return change


def cut_layer(lists: list[Any]) -> None:
    del lists[3][2]
    del lists[8][1:]


def cut_neighbor(lists: list[Any]) -> None:
    del lists[4][0][-1]


def no_list(lists: list[Any]) -> None:
    lists[1][4] = None


def no_row(lists: list[Any]) -> None:
    lists[6] = None


def one_layer(lists: list[Any]) -> None:
    for row in lists:
        del row[1:]


def repeated(lists: list[Any]) -> None:
    lists[5][3][7] = lists[5][3][2]


ENDING = " (rows and places count from 1; layer 0 is the embedding)"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            put(2, 3, 4, 13),
            "column 'knn' holds a neighbor outside 0 to 12, the rows of 13 texts in row 3, layer 3, "
            f"place 5{ENDING}",
        ),
        (
            put(2, 3, 4, -7),
            f"column 'knn' holds a negative neighbor in row 3, layer 3, place 5{ENDING}",
        ),
        (
            put(2, 3, 4, 2),
            f"column 'knn' holds the text itself as its neighbor in row 3, layer 3, place 5{ENDING}",
        ),
        (
            put(12, 0, 11, None),
            f"column 'knn' holds no neighbor (null) in row 13, layer 0, place 12{ENDING}",
        ),
        (repeated, f"column 'knn' holds a neighbor more than once in row 6, layer 3{ENDING}"),
        (
            cut_layer,
            "column 'knn' must hold as many layers in every row as in row 1, 5; other numbers in row 4 "
            "(4), 9 (1) (rows count from 1)",
        ),
        (
            cut_neighbor,
            "column 'knn' holds another number of neighbors than the 12 of row 1 in row 5, layer "
            f"0{ENDING}",
        ),
        (no_list, f"column 'knn' holds no list in row 2, layer 4{ENDING}"),
        (no_row, "column 'knn' holds nothing (null) in row 7 (rows count from 1)"),
        (
            one_layer,
            "column 'knn' must hold layer 0, the embedding, and at least one more; row 1 holds 1 layer",
        ),
    ],
)
def test_wrong_neighbors_are_named_by_file_row_layer_and_place(
    write: Callable[..., Path], change: Callable[[list[Any]], None], message: str
) -> None:
    path = write(changed(change))
    with pytest.raises(ParameterError) as caught:
        read(path)
    assert caught.value.message == f"{path}: {message}"
    assert caught.value.hint is None


def test_ten_places_are_named_and_the_rest_counted(write: Callable[..., Path]) -> None:
    lists = neighbor_lists(N_TEXTS, N_LAYERS)
    lists[:, 2, 0] = 99
    path = write(lists.tolist())
    with pytest.raises(ParameterError) as caught:
        read(path)
    assert "row 1, layer 2, place 1; row 2, layer 2, place 1;" in caught.value.message
    assert f"row 10, layer 2, place 1 and 3 more{ENDING}" in caught.value.message


def test_rows_count_on_over_batches_and_shards(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.interchange.published_table.BATCH_BYTES", 1)
    path = write(changed(put(11, 1, 0, 11)))
    with pytest.raises(
        ParameterError, match="the text itself as its neighbor in row 12, layer 1, place 1 "
    ):
        read(path)


def test_ids_that_overflowed_are_told_as_such(tmp_path: Path) -> None:
    n_texts = 2**15 + 3
    ids = np.arange(1, n_texts + 1, dtype=np.int32) % n_texts
    knn = np.stack([ids, ids], axis=1).reshape(n_texts, 2, 1)
    for name, dtype in (("right", np.int32), ("wrong", np.int16)):
        values = pa.array(knn.astype(dtype).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(values, 1), 2)
        table = pa.table(
            {
                "text": [str(row) for row in range(n_texts)],
                "knn": lists,
                "at_max_length": [False] * n_texts,
            }
        )
        pyarrow.parquet.write_table(table, tmp_path / f"{name}---web_text.parquet")
    assert read(tmp_path / "right---web_text.parquet").neighbors.ids.max() == n_texts - 1
    with pytest.raises(ParameterError) as caught:
        read(tmp_path / "wrong---web_text.parquet")
    assert caught.value.message.endswith(
        "column 'knn' holds a negative neighbor in row 32768, layer 0, place 1; row 32768, layer 1, place "
        "1; row 32769, layer 0, place 1; row 32769, layer 1, place 1; row 32770, layer 0, place 1; row "
        f"32770, layer 1, place 1{ENDING}".replace("32768", "32,768")
        .replace("32769", "32,769")
        .replace("32770", "32,770")
    )
    assert caught.value.hint == (
        "int16 holds ids up to 32,767, and these are 32,771 texts: the ids overflowed when the file was "
        "written; write it with int32."
    )


def test_more_neighbors_than_other_texts_are_refused(write: Callable[..., Path]) -> None:
    lists = np.zeros((N_TEXTS, N_LAYERS, N_TEXTS), np.int16)
    path = write(lists.tolist())
    with pytest.raises(ParameterError) as caught:
        read(path)
    assert caught.value.message == (
        f"{path}: each layer of column 'knn' must hold 1 to n - 1 = 12 neighbors for 13 texts; row 1, "
        "layer 0 holds 13"
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"drop": "knn"}, "column 'knn' is missing; it has text, at_max_length"),
        ({"drop": "text"}, "column 'text' is missing; it has knn, at_max_length"),
        (
            {"knn": pa.array([[[0.5]]] * N_TEXTS)},
            "column 'knn' must hold lists (layers) of lists of int16, int32 or int64; got "
            "list<element: list<element: double>>",
        ),
        (
            {"knn": pa.array([[1]] * N_TEXTS)},
            "column 'knn' must hold lists (layers) of lists of int16, int32 or int64; got "
            "list<element: int64>",
        ),
        ({"text": pa.array(range(N_TEXTS))}, "column 'text' must hold strings; got int64"),
        (
            {"at_max_length": pa.array(range(N_TEXTS))},
            "column 'at_max_length' must hold booleans; got int64",
        ),
        (
            {"at_max_length": [None, *[False] * (N_TEXTS - 1)]},
            "column 'at_max_length' holds nothing (null) in row 1 (rows count from 1)",
        ),
    ],
)
def test_columns_of_another_kind_are_named(
    write: Callable[..., Path], columns: dict[str, Any], message: str
) -> None:
    path = write(**columns)
    with pytest.raises(ParameterError) as caught:
        read(path)
    assert caught.value.message == f"{path}: {message}"


def test_missing_texts_are_named(write: Callable[..., Path]) -> None:
    path = write(text=[None if row in (4, 9) else str(row) for row in range(N_TEXTS)])
    with pytest.raises(TextsError) as caught:
        read(path)
    assert caught.value.message == (
        f"{path}: column 'text' holds nothing (null) in row 5, 10 (rows count from 1)"
    )


def test_texts_that_are_no_utf_8_are_named(write: Callable[..., Path]) -> None:
    data = pa.array([b"a", b"\xff\xfe", *[b"b"] * 10, b"\xf3("], pa.binary())
    text = pa.Array.from_buffers(pa.string(), N_TEXTS, data.buffers())
    path = write(text=text)
    with pytest.raises(TextsError) as caught:
        read(path)
    assert caught.value.message == (
        f"{path}: column 'text' is not UTF-8 in row 2, 13 (rows count from 1)"
    )


@pytest.mark.parametrize("data", [b"", b"PAR1", b"text,knn\n1,2\n", bytes(range(256)) * 9])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "o__m---web_text.parquet"
    path.write_bytes(data)
    with pytest.raises(ParameterError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path}: not readable as Parquet: ")


def test_a_damaged_file_is_refused_or_read_but_never_something_else(
    write: Callable[..., Path], rng: np.random.Generator
) -> None:
    path = write()
    data = bytearray(path.read_bytes())
    refused = 0
    for place in rng.integers(len(data), size=60):
        broken = bytearray(data)
        broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(broken)
        try:
            read(path)
        except IsodepthError:
            refused += 1
    assert refused > 10


def test_one_text_is_too_few(tmp_path: Path) -> None:
    path = tmp_path / "o__m---web_text.parquet"
    table = pa.table({"text": ["a"], "knn": [[[0], [0]]], "at_max_length": [False]})
    pyarrow.parquet.write_table(table, path)
    with pytest.raises(ParameterError, match="expected at least 2 texts; got 1"):
        read(path)


# a whole paper


@pytest.fixture(scope="module")
def paper(
    llama_folder: Path,
    gemma_folder: Path,
    gpt2_folder: Path,
    chat_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[tuple[str, str, bool], np.ndarray]]:
    """Return a folder of files as published, and our own neighbors of the same readings."""
    folder = tmp_path_factory.mktemp("published")
    own: dict[tuple[str, str, bool], np.ndarray] = {}
    models = {
        "meta-llama/Llama-3.2-1B": (llama_folder, (False,)),
        "google/gemma-2b": (gemma_folder, (False,)),
        "openai-community/gpt2": (gpt2_folder, (False,)),
        "owner/tiny-chat": (chat_folder, (False, True)),
    }
    for name, (place, ways) in models.items():
        model = load_model(place)
        for set_name, texts in SETS.items():
            for chat in ways:
                n = len(texts)
                captures = ["final_norm"] if chat else ["final_norm", "embedding"]
                found = extract_all(model, texts, captures=captures, chat=chat)
                layers = [nearest_neighbors(one, n - 1).ids for one in found.values()]
                if chat:  # the template ends all texts alike, so their embeddings are equal
                    rows = np.arange(n)
                    equal = np.array([np.delete(rows, row) for row in rows], dtype=np.int32)
                    layers.append(equal[np.newaxis])
                own[name, set_name, chat] = layers[0]
                lists = np.concatenate([layers[1], layers[0]]).transpose(1, 0, 2)
                written_as_published(folder, name, set_name, texts.texts, lists, chat=chat)
    return folder, own


def test_a_whole_paper_is_imported_and_equals_what_we_compute(
    paper: tuple[Path, dict[tuple[str, str, bool], np.ndarray]], tmp_path: Path
) -> None:
    folder, own = paper
    store = Store(tmp_path / "store")
    files = published_files([folder])
    assert len(files) == len(own) == 10
    arrivals = [keep_reading(read_published_neighbors(file), store) for file in files]
    assert {arrival.standing for arrival in arrivals} == {"new"}
    readings = imported_readings(store)
    assert [(one.texts, one.model, one.options.chat) for one in readings] == [
        (texts, model, chat)
        for texts in ("books-de", "web-text")
        for model, chat in (
            ("gemma-2b", False),
            ("llama-3.2-1b", False),
            ("openai-community/gpt2", False),
            ("owner/tiny-chat", False),
            ("owner/tiny-chat", True),
        )
    ]
    for reading in readings:
        name = "web_text" if reading.texts == "web-text" else "book_translations_de"
        expected = own[reading.model_repository or reading.model, name, reading.options.chat]
        np.testing.assert_array_equal(reading.neighbors(store).ids, expected)
        assert reading.texts_digest == SETS[name].digest
        assert imported_texts(store, reading.texts_digest).texts == SETS[name].texts
    left, right = (
        imported_readings(store, model=model, texts="web-text")[0].neighbors(store)
        for model in ("google/gemma-2b", "llama-3.2-1b")
    )
    imported = affinity_matrix(left, right, k=7)
    computed = affinity_matrix(
        own["google/gemma-2b", "web_text", False][:, :, :7],
        own["meta-llama/Llama-3.2-1B", "web_text", False][:, :, :7],
    )
    np.testing.assert_array_equal(imported.values, computed.values)
    assert imported.texts_digest == SETS["web_text"].digest


def test_a_layer_count_other_than_the_catalogues_is_noted(
    paper: tuple[Path, Any], tmp_path: Path
) -> None:
    path = paper[0] / "google__gemma-2b---web_text.parquet"
    arrival = keep_reading(read(path), Store(tmp_path / "store"))
    assert arrival.notes == ("gemma-2b has 18 layers in the catalogue, and 7 here.",)


def test_the_same_name_for_other_texts_is_noted(paper: tuple[Path, Any], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keep_reading(read(paper[0] / "openai-community__gpt2---web_text.parquet"), store)
    other = paper[0] / "owner__tiny-chat---book_translations_de.parquet"
    arrival = keep_reading(read(other, texts="web-text"), store)
    assert arrival.notes == (
        "these are other texts of the name web-text than openai-community/gpt2 has read in this store, "
        "so the two cannot be compared.",
    )
