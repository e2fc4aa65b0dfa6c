"""Hub data sets and folders like them: which rows are read, from which commit, and what is refused."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets.naming import camelcase_to_snakecase

from isodepth.errors import DownloadError, TextsError
from isodepth.sources import HubDataset, hub_dataset, is_hub_dataset_here

ENGLISH = [f"layer {number}" for number in range(7)]
GERMAN = [f"Schicht {number}" for number in range(7)]
BY_FILE = "a .jsonl, .csv or .parquet file instead."

WriteFolder = Callable[..., str]


def jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


TEXTS = jsonl([{"text": text} for text in ENGLISH])
PAIRS = [{"en": left, "de": right} for left, right in zip(ENGLISH, GERMAN, strict=True)]


@pytest.fixture(autouse=True)
def library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library's cache, here; it read the environment when it was imported."""
    cache = tmp_path / "library"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))
    return cache


@pytest.fixture
def write_folder(tmp_path: Path) -> WriteFolder:
    """Writes the files of a data set into a folder and returns its path."""

    def write(files: Mapping[str, bytes], name: str = "tiny") -> str:
        folder = tmp_path / "data" / name
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        folder.mkdir(parents=True, exist_ok=True)
        return str(folder)

    return write


def taken(dataset: HubDataset, column: str = "text") -> list[Any]:
    return dataset.take(range(len(dataset)), column)


def refused(
    repository: str, error: type[TextsError | DownloadError] = TextsError, **which: str | None
) -> TextsError | DownloadError:
    """Return the error that says why a data set is refused, on one line."""
    with pytest.raises(error) as caught:
        hub_dataset(repository, **which)
    assert "\n" not in caught.value.message
    return caught.value


# folders


def parquet(table: dict[str, list[Any]]) -> bytes:
    held = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table(table), held)
    return held.getvalue().to_pybytes()


def arrow(table: dict[str, list[Any]]) -> bytes:
    held = pa.BufferOutputStream()
    made = pa.table(table)
    with pa.ipc.new_stream(held, made.schema) as writer:
        writer.write_table(made)
    return held.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("data.jsonl", TEXTS),
        ("data.json", json.dumps([{"text": text} for text in ENGLISH]).encode()),
        ("data.csv", "\n".join(["text", *ENGLISH]).encode()),
        ("data.tsv", "\n".join(["text\tn", *[f"{text}\t7" for text in ENGLISH]]).encode()),
        ("data.txt", "\n".join(ENGLISH).encode()),
        ("data.parquet", parquet({"text": ENGLISH})),
        ("data.arrow", arrow({"text": ENGLISH})),
    ],
)
def test_a_folder_of_one_file_has_one_split(write_folder: WriteFolder, name: str, data: bytes) -> None:
    folder = write_folder({name: data})
    dataset = hub_dataset(folder)
    assert (dataset.repository, dataset.config, dataset.split) == (folder, "default", "train")
    assert dataset.commit is None
    assert len(dataset) == 7
    assert "text" in dataset.columns
    assert taken(dataset) == ENGLISH


def test_rows_are_taken_in_the_order_asked_for_and_as_often(write_folder: WriteFolder) -> None:
    dataset = hub_dataset(write_folder({"data.jsonl": TEXTS}))
    assert dataset.take([5, 0, 3, 0], "text") == [ENGLISH[5], ENGLISH[0], ENGLISH[3], ENGLISH[0]]
    assert dataset.take([], "text") == []


def test_values_that_are_no_text_come_as_they_are(write_folder: WriteFolder) -> None:
    rows = [{"text": "a", "n": 7, "list": ["x", "y"]}, {"text": None, "n": None, "list": None}]
    dataset = hub_dataset(write_folder({"data.jsonl": jsonl(rows)}))
    assert [taken(dataset, column) for column in dataset.columns] == [
        ["a", None],
        [7, None],
        [["x", "y"], None],
    ]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_nested_column_is_reached_by_its_parts(write_folder: WriteFolder, kind: str) -> None:
    data = {
        "jsonl": jsonl([{"id": n, "translation": pair} for n, pair in enumerate(PAIRS)]),
        "parquet": parquet({"id": list(range(7)), "translation": PAIRS}),
    }[kind]
    dataset = hub_dataset(write_folder({f"data.{kind}": data}))
    assert dataset.columns == ["id", "translation", "translation.en", "translation.de"]
    assert dataset.take([2, 0], "translation.de") == [GERMAN[2], GERMAN[0]]
    assert taken(dataset, "translation.en") == ENGLISH
    assert dataset.take([1], "translation") == [PAIRS[1]]


def test_a_row_without_the_nested_column_is_none(write_folder: WriteFolder) -> None:
    rows = [{"pair": {"en": "a", "de": None}}, {"pair": None}, {"pair": {"en": None, "de": "b"}}]
    dataset = hub_dataset(write_folder({"data.jsonl": jsonl(rows)}))
    assert taken(dataset, "pair.en") == ["a", None, None]
    assert taken(dataset, "pair.de") == [None, None, "b"]


def test_a_column_with_a_dot_in_its_name_is_itself(write_folder: WriteFolder) -> None:
    dataset = hub_dataset(write_folder({"data.csv": b"a.b,a\nlayer,depth\n"}))
    assert dataset.columns == ["a.b", "a"]
    assert taken(dataset, "a.b") == ["layer"]


CARD_OF_PAIRS = b"""---
dataset_info:
  features:
  - name: translation
    dtype:
      translation:
        languages: [de, en]
---
"""


def test_translations_are_columns_by_language(write_folder: WriteFolder) -> None:
    files = {"README.md": CARD_OF_PAIRS, "data.parquet": parquet({"translation": PAIRS})}
    dataset = hub_dataset(write_folder(files))
    assert isinstance(dataset.table.features["translation"], datasets.Translation)
    assert dataset.columns == ["translation", "translation.de", "translation.en"]
    assert taken(dataset, "translation.de") == GERMAN


CARD_OF_VARIABLE_PAIRS = b"""---
dataset_info:
  features:
  - name: translation
    dtype:
      translation_variable_languages:
        languages: [de, en]
---
"""


def test_the_columns_of_translations_of_many_languages_hold_their_texts(
    write_folder: WriteFolder,
) -> None:
    rows = [{"language": ["de", "en"], "translation": ["Schicht", "layer"]}]
    files = {
        "README.md": CARD_OF_VARIABLE_PAIRS,
        "data.parquet": parquet({"translation": rows}),
    }
    dataset = hub_dataset(write_folder(files))
    features = dataset.table.features["translation"]
    assert isinstance(features, datasets.TranslationVariableLanguages)
    for column in dataset.columns:  # what is listed can be read
        assert taken(dataset, column) != [None]


def test_splits_come_from_the_names_of_the_files(write_folder: WriteFolder) -> None:
    folder = write_folder({"train.jsonl": TEXTS, "data/test-0.jsonl": jsonl([{"text": "other"}])})
    write_folder({"data/test-1.jsonl": jsonl([{"text": "and more"}])})
    assert taken(hub_dataset(folder, split="test")) == ["other", "and more"]


def test_one_split_need_not_be_named_and_of_several_one_must_be(write_folder: WriteFolder) -> None:
    folder = write_folder({"train.jsonl": TEXTS, "test.jsonl": TEXTS})
    error = refused(folder)
    assert error.message == f"hf:{folder}: which split? It has train, test"
    assert error.hint == f"name it: hf:{folder}:train"
    assert hub_dataset(folder, split="test").split == "test"


@pytest.mark.parametrize(("wrong", "near"), [("tset", "test"), ("valid", "train"), ("", "train")])
def test_a_wrong_split_is_told_with_those_there_are(
    write_folder: WriteFolder, wrong: str, near: str
) -> None:
    folder = write_folder({"train.jsonl": TEXTS, "test.jsonl": TEXTS})
    error = refused(folder, split=wrong)
    assert error.message == f"hf:{folder}: no split {wrong!r}; it has train, test"
    assert error.hint == f"use {near}"


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        *[
            ("test[:3]", [0, 1, 2]),
            ("test[-2:]", [5, 6]),
            ("test[2:4]", [2, 3]),
            ("test[5:100]", [5, 6]),
        ],
        *[("test[6:]+test[:1]", [6, 0]), ("test", range(7))],
    ],
)
def test_a_slice_of_a_split_is_those_rows(
    write_folder: WriteFolder, split: str, rows: list[int]
) -> None:
    folder = write_folder({"train.jsonl": jsonl([{"text": "other"}]), "test.jsonl": TEXTS})
    dataset = hub_dataset(folder, split=split)
    assert dataset.split == split
    assert taken(dataset) == [ENGLISH[row] for row in rows]


@pytest.mark.parametrize("split", ["test[:3", "test[a:b]", "test[3]", "test[:0]", "test[:3]+train[:1]"])
def test_a_slice_that_cannot_be_is_refused(write_folder: WriteFolder, split: str) -> None:
    error = refused(write_folder({"test.jsonl": TEXTS}), split=split)
    assert error.message.startswith("hf:")
    assert error.message.partition(": ")[2]


CARD = b"""---
configs:
- config_name: en
  data_files: en.jsonl
- config_name: de
  data_files:
  - split: train
    path: de-*.jsonl
  - split: test
    path: other.jsonl
---
Read me.
"""


@pytest.fixture
def configured(write_folder: WriteFolder) -> str:
    """A folder whose README.md declares two configurations."""
    return write_folder(
        {
            "README.md": CARD,
            "en.jsonl": TEXTS,
            "de-1.jsonl": jsonl([{"text": text} for text in GERMAN[:4]]),
            "de-2.jsonl": jsonl([{"text": text} for text in GERMAN[4:]]),
            "other.jsonl": jsonl([{"text": "x"}]),
        }
    )


def test_configurations_of_the_card_are_read(configured: str) -> None:
    english = hub_dataset(configured, config="en")
    assert (english.config, english.split, taken(english)) == ("en", "train", ENGLISH)
    german = hub_dataset(configured, config="de", split="train")
    assert (german.config, taken(german)) == ("de", GERMAN)


def test_of_several_configurations_one_must_be_named(configured: str) -> None:
    message = refused(configured).message
    assert message.startswith(f"hf:{configured}: Config name is missing.")
    assert message.endswith("['en', 'de']")


def test_a_wrong_configuration_is_told_with_those_there_are(configured: str) -> None:
    error = refused(configured, config="fr")
    assert error.message == f"hf:{configured}: BuilderConfig 'fr' not found. Available: ['en', 'de']"


def test_a_default_configuration_need_not_be_named(write_folder: WriteFolder) -> None:
    card = CARD.replace(b"config_name: de\n", b"config_name: de\n  default: true\n")
    files = {
        "README.md": card,
        "en.jsonl": TEXTS,
        "de-1.jsonl": TEXTS,
        "other.jsonl": jsonl([{"text": "x"}]),
    }
    assert hub_dataset(write_folder(files), split="train").config == "de"


def test_a_folder_that_changed_is_read_anew(write_folder: WriteFolder) -> None:
    folder = write_folder({"data.jsonl": TEXTS})
    assert taken(hub_dataset(folder)) == ENGLISH
    write_folder({"data.jsonl": jsonl([{"text": text} for text in GERMAN])})
    changed = Path(folder) / "data.jsonl"
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 10**9))
    assert taken(hub_dataset(folder)) == GERMAN


def test_two_folders_of_one_name_are_two_data_sets(tmp_path: Path, write_folder: WriteFolder) -> None:
    first = write_folder({"data.jsonl": TEXTS}, "a/tiny")
    second = write_folder({"data.jsonl": jsonl([{"text": "other"}])}, "b/tiny")
    assert taken(hub_dataset(first)) == ENGLISH
    assert taken(hub_dataset(second)) == ["other"]
    assert taken(hub_dataset(first)) == ENGLISH


@pytest.mark.parametrize("written", ["./tiny", "./tiny/", "../data/tiny", "~/data/tiny"])
def test_folders_may_be_relative_or_below_the_home_folder(
    write_folder: WriteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    write_folder({"data.jsonl": TEXTS})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "data")
    dataset = hub_dataset(written)
    assert dataset.repository == written
    assert taken(dataset) == ENGLISH


@pytest.mark.parametrize("written", [".", "./", "..", "../"])
def test_the_working_folder_and_those_above_may_be_meant(
    write_folder: WriteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    folder = Path(write_folder({"data.jsonl": TEXTS}))
    monkeypatch.chdir(folder if written in (".", "./") else write_folder({}, "tiny/below"))
    assert taken(hub_dataset(written)) == ENGLISH


def test_a_folder_has_no_revisions(write_folder: WriteFolder) -> None:
    folder = write_folder({"data.jsonl": TEXTS})
    assert refused(folder, revision="v1.3").message == f"hf:{folder}@v1.3: a folder has no revisions"


@pytest.mark.parametrize("name", ["none", "file.jsonl"])
def test_a_folder_that_is_none_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file.jsonl").write_bytes(TEXTS)
    path = str(tmp_path / name)
    assert refused(path).message == f"hf:{path}: there is no such folder"


def test_a_folder_that_a_hub_name_also_names_is_ambiguous(
    write_folder: WriteFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder({"data.jsonl": TEXTS}, "owner/tiny")
    monkeypatch.chdir(tmp_path / "data")
    error = refused("owner/tiny")
    assert error.message == (
        "hf:owner/tiny may mean the hub or the folder owner/tiny in the working folder"
    )
    assert error.hint == "write hf:./owner/tiny for the folder, or work from another folder."
    assert taken(hub_dataset("./owner/tiny")) == ENGLISH


TAR_OF_PICKLES = b"0.pkl".ljust(100, b"\0") + bytes(412 + 1_024)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "imagefolder"), ("a.wav", "audiofolder"), ("a.tar", "webdataset"), ("a.xml", "xml")],
)
def test_a_folder_of_files_of_a_kind_that_is_not_read_is_refused(
    write_folder: WriteFolder, library_cache: Path, name: str, kind: str
) -> None:
    folder = write_folder({name: TAR_OF_PICKLES})
    error = refused(folder)
    assert error.message == (
        f"hf:{folder}: its files are read as {kind!r}; isodepth reads parquet, json, csv, text, arrow"
    )
    assert error.hint == "convert the texts to Parquet or JSON lines."
    assert not list(library_cache.rglob("*.arrow"))


@pytest.mark.parametrize("name", ["a.pkl", "a.pickle", "a.npy", "a.pt", "a.py"])
def test_a_folder_without_a_file_that_can_be_read_is_refused(
    write_folder: WriteFolder, name: str
) -> None:
    folder = write_folder({name: b"\x80\x04."})
    message = refused(folder).message
    assert message.startswith(f"hf:{folder}")
    assert "data files" in message
    assert folder in message


def test_an_empty_folder_is_refused(write_folder: WriteFolder) -> None:
    folder = write_folder({})
    assert refused(folder).message == (
        f"hf:{folder} cannot be read: The directory at {folder} doesn't contain any data files"
    )


NOISY = b"from pathlib import Path; (Path(__file__).parent / 'was-run').touch()"


def test_a_folder_with_a_loading_script_is_refused_and_the_script_not_run(
    write_folder: WriteFolder,
) -> None:
    folder = write_folder({"tiny.py": NOISY, "data.jsonl": TEXTS})
    assert refused(folder).message == (
        f"hf:{folder}: Dataset scripts are no longer supported, but found tiny.py"
    )
    assert not (Path(folder) / "was-run").exists()


def test_other_scripts_in_a_folder_are_not_run(
    write_folder: WriteFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("script.py", "json.py", "__init__.py", "conftest.py", "data.py")
    folder = write_folder({"data.jsonl": TEXTS, **dict.fromkeys(names, NOISY)})
    monkeypatch.chdir(folder)
    assert taken(hub_dataset("../tiny")) == ENGLISH
    assert not (Path(folder) / "was-run").exists()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("data.jsonl", b'{"text": "a"\n{not json\n', "JSON parse error"),
        ("data.parquet", b"PAR1xx", "Parquet file size is 6 bytes"),
        ("data.arrow", b"xx", "File is too small"),
        ("data.txt", b"\xff\xfe\xfd", "codec can't decode"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason_and_nothing_else_is_printed(
    write_folder: WriteFolder, capfd: pytest.CaptureFixture[str], name: str, data: bytes, why: str
) -> None:
    folder = write_folder({name: data})
    error = refused(folder)
    assert error.message.startswith(f"hf:{folder}")
    assert why in error.message
    assert error.hint == f"pass {BY_FILE}"
    assert capfd.readouterr() == ("", "")


def test_progress_tells_the_beginning_and_the_end(write_folder: WriteFolder) -> None:
    folder = write_folder({"data.jsonl": TEXTS})
    reports: list[tuple[str, int, int, str]] = []
    hub_dataset(folder, progress=lambda *report: reports.append(report))
    label = f"fetching hub data set {folder}"
    assert reports == [(label, 0, 1, "steps"), (label, 1, 1, "steps")]


def settings_of_the_library() -> tuple[bool, int]:
    return datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()


@pytest.mark.parametrize("bars", [True, False])
@pytest.mark.parametrize("found", [True, False])
def test_the_library_s_bars_and_messages_are_as_they_were(
    write_folder: WriteFolder, capfd: pytest.CaptureFixture[str], bars: bool, found: bool
) -> None:
    before = settings_of_the_library()
    folder = write_folder({"data.jsonl": TEXTS} if found else {"data.png": b""})
    try:
        datasets.logging.set_verbosity_info()
        (datasets.enable_progress_bars if bars else datasets.disable_progress_bars)()
        set_by_user = settings_of_the_library()
        if found:
            hub_dataset(folder)
        else:
            refused(folder)
        assert settings_of_the_library() == set_by_user
    finally:
        datasets.logging.set_verbosity(before[1])
        (datasets.disable_progress_bars if before[0] else datasets.enable_progress_bars)()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", [0, 7, 1234])
def test_the_library_shuffles_as_numpy_s_default_generator(seed: int) -> None:
    n = 2_003
    shuffled = datasets.Dataset.from_dict({"row": list(range(n))}).shuffle(seed=seed)
    np.testing.assert_array_equal(shuffled["row"], np.random.default_rng(seed).permutation(n))


# what is in the cache


def prepared(cache: Path, owner: str, name: str, config: str = "default", folder: str = "0123") -> Path:
    """Lay a prepared copy into the cache as the library does, and return its folder."""
    place = cache / f"{owner}___{camelcase_to_snakecase(name)}" / config / "0.0.0" / folder
    place.mkdir(parents=True)
    (place / f"{name}-train.arrow").write_bytes(b"rows")
    return place


def test_nothing_is_here_where_there_is_no_cache(library_cache: Path) -> None:
    assert not library_cache.exists()
    assert not is_hub_dataset_here("owner/tiny")


def test_a_prepared_copy_is_here_by_name_and_configuration(library_cache: Path) -> None:
    prepared(library_cache, "owner", "tiny", config="en")
    assert is_hub_dataset_here("owner/tiny")
    assert is_hub_dataset_here("owner/tiny", "en")
    for other in ("owner/tin", "owner/tiny2", "other/tiny", "tiny"):
        assert not is_hub_dataset_here(other)
    assert not is_hub_dataset_here("owner/tiny", "de")
    assert not is_hub_dataset_here("owner/tiny", "e")


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        "Tiny",
        "TinyTexts",
        "tiny-Texts",
        "MMLUPro",
        "XStoryCloze",
        "HTMLPages2024",
        "XNLI",
        "C4",
    ],
)
def test_a_prepared_copy_is_here_however_its_name_is_written(library_cache: Path, name: str) -> None:
    assert not is_hub_dataset_here(f"owner/{name}")
    prepared(library_cache, "owner", name)
    assert is_hub_dataset_here(f"owner/{name}")


def test_a_copy_whose_making_was_broken_off_is_not_here(library_cache: Path) -> None:
    place = prepared(library_cache, "owner", "tiny", folder="0123.incomplete")
    assert not is_hub_dataset_here("owner/tiny")
    place.rename(place.with_name("0123"))
    assert is_hub_dataset_here("owner/tiny")


IS_HERE = """
import sys
from isodepth.sources import is_hub_dataset_here

here = is_hub_dataset_here("owner/tiny")
assert "datasets" not in sys.modules, "the library was loaded"
import datasets
print(here, datasets.config.HF_DATASETS_CACHE)
"""


@pytest.mark.parametrize("said_by", ["HF_DATASETS_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_the_cache_is_where_the_library_has_it_and_is_read_without_the_library(
    tmp_path: Path, said_by: str
) -> None:
    below = {
        "HF_DATASETS_CACHE": "",
        "HF_HOME": "datasets",
        "XDG_CACHE_HOME": "huggingface/datasets",
        "HOME": ".cache/huggingface/datasets",
    }
    cache = tmp_path / "place" / below[said_by]
    prepared(cache, "owner", "tiny")
    environment = {name: value for name, value in os.environ.items() if name not in below}
    environment |= {"HOME": str(tmp_path), said_by: str(tmp_path / "place")}
    done = subprocess.run(
        [sys.executable, "-c", IS_HERE], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", str(cache)]


# a hub of our own on this machine

FIRST, SECOND, THIRD = (sha1(name).hexdigest() for name in (b"first", b"second", b"third"))
FILES: dict[str, dict[str, dict[str, bytes]]] = {
    "owner/tiny": {
        FIRST: {"README.md": b"first\n", "train.jsonl": jsonl([{"text": "before"}])},
        SECOND: {"README.md": b"second\n", "train.jsonl": TEXTS, "helper.py": NOISY},
    },
    "owner/TinyPairs": {
        SECOND: {
            "README.md": CARD,
            "en.jsonl": TEXTS,
            "de-1.jsonl": TEXTS,
            "other.jsonl": jsonl([{"text": "x"}]),
        }
    },
    "owner/bare": {SECOND: {"data/rows.parquet": parquet({"pair": PAIRS})}},
    "owner/script": {SECOND: {"README.md": b"", "script.py": NOISY, "data.jsonl": TEXTS}},
    "owner/images": {SECOND: {"README.md": b"", "a.png": b"\x89PNG"}},
}
BRANCHES = {"main": SECOND, "before": FIRST}


@dataclass
class Stub:
    """A hub that answers as much as fetching a data set needs, and notes what it was asked."""

    endpoint: str = ""
    asked: list[str] = field(default_factory=list)


Answer = tuple[int, dict[str, str], bytes]


def json_answer(content: Any) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


def not_there(code: str) -> Answer:
    return 404, {"X-Error-Code": code}, b""


def answer(path: str, query: str, body: str) -> Answer:
    """Return the status, headers and content that a hub gives for one request."""
    parts = path.strip("/").split("/")
    in_api = parts[0] == "api"
    if len(parts) < 3 + in_api or parts[in_api] != "datasets":
        return 404, {}, b""
    _, owner, name, *rest = parts[in_api:]
    repository = f"{owner}/{name}"
    if repository == "owner/gated":
        return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted."}, b""
    if repository not in FILES:
        return not_there("RepoNotFound")
    what, revision, *below = rest or ["revision", "main"]
    commit = BRANCHES.get(revision, revision)
    files = FILES[repository].get(commit)
    if files is None:
        return not_there("RevisionNotFound")
    if not in_api:
        return file_answer(commit, files, "/".join(below))
    if what == "revision":
        siblings = [{"rfilename": file} for file in files]
        return json_answer({"id": repository, "sha": commit, "siblings": siblings})
    if what == "tree":
        tree = tree_of(files, "/".join(below), "recursive=true" in query.lower())
        return json_answer(tree) if tree else not_there("EntryNotFound")
    if what == "paths-info":
        wanted = parse_qs(body).get("paths", []) if "=" in body else json.loads(body)["paths"]
        return json_answer([entry for entry in tree_of(files, "", True) if entry["path"] in wanted])
    raise AssertionError(path)


def file_answer(commit: str, files: Mapping[str, bytes], name: str) -> Answer:
    if name not in files:
        return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit}, b""
    tag = f'"{sha1(files[name]).hexdigest()}"'
    return 200, {"ETag": tag, "X-Linked-Etag": tag, "X-Repo-Commit": commit}, files[name]


def tree_of(files: Mapping[str, bytes], below: str, recursive: bool) -> list[dict[str, Any]]:
    """Return the hub's listing of files and of the folders that they lie in."""
    entries: dict[str, dict[str, Any]] = {}
    for name, data in files.items():
        for parent in [str(parent) for parent in Path(name).parents][:-1]:
            entries[parent] = {"type": "directory", "path": parent, "size": 0, "oid": "0" * 40}
        entries[name] = {
            "type": "file",
            "path": name,
            "size": len(data),
            "oid": sha1(data).hexdigest(),
        }
    prefix = f"{below}/" if below else ""
    inside = [path for path in entries if path.startswith(prefix)]
    return [entries[path] for path in inside if recursive or "/" not in path[len(prefix) :]]


def handler_of(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            path = unquote(url.path)
            stub.asked.append(path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, headers, data = answer(path, url.query, body)
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_HEAD = do_POST = do_GET

        def log_message(self, *args: object) -> None:
            pass

    return Handler


@pytest.fixture(scope="module")
def stub(serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> Stub:
    stub = Stub()
    stub.endpoint = serve(handler_of(stub))
    return stub


# the library reads its settings once, when it is imported; no name but this machine's is looked up
CALLS = """
import json, socket, sys, time
from isodepth.errors import IsodepthError
from isodepth.sources import hub_dataset, is_hub_dataset_here

look_up = socket.getaddrinfo

def look_up_here(host, *args, **kwargs):
    if host != "127.0.0.1":
        raise socket.gaierror(f"{host} is not this machine")
    return look_up(host, *args, **kwargs)

socket.getaddrinfo = look_up_here
time.sleep = lambda seconds: None  # the library waits before it tries again

outcomes = []
for repository, which in json.loads(sys.argv[1]):
    outcome = {"before": is_hub_dataset_here(repository, which.get("config"))}
    try:
        made = hub_dataset(repository, **which)
        outcome |= {"config": made.config, "split": made.split, "commit": made.commit}
        column = made.columns[-1]
        outcome |= {"columns": made.columns, "rows": made.take(range(len(made)), column)}
    except Exception as error:
        outcome["type"] = type(error).__name__
        own = isinstance(error, IsodepthError)
        outcome |= {"message": error.message if own else str(error), "hint": own and error.hint}
    outcome["after"] = is_hub_dataset_here(repository, which.get("config"))
    outcomes.append(outcome)
print(json.dumps(outcomes))
"""

Outcome = dict[str, Any]
Call = tuple[str, dict[str, str]]


def outcomes_of(
    calls: list[Call], *, endpoint: str, home: Path, offline: bool = False
) -> list[Outcome]:
    """Return what `hub_dataset` does in a process with these settings of the libraries."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "HUGGING")) and not name.lower().endswith("_proxy")
    }
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "1" if offline else "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", CALLS, json.dumps(calls)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=home,
    )
    assert done.returncode == 0, done.stderr
    *said, outcomes = done.stdout.splitlines()
    (home / "said").write_text("\n".join([*said, done.stderr]))
    return json.loads(outcomes)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hub")


ONLINE: dict[str, Call] = {
    "a tag": ("owner/tiny", {"revision": "before"}),
    "tiny": ("owner/tiny", {}),
    "a slice": ("owner/tiny", {"split": "train[2:4]"}),
    "a commit": ("owner/tiny", {"revision": SECOND}),
    "no such revision": ("owner/tiny", {"revision": "v7"}),
    "no such commit": ("owner/tiny", {"revision": THIRD}),
    "no such split": ("owner/tiny", {"split": "tran"}),
    "German": ("owner/TinyPairs", {"config": "de", "split": "train"}),
    "no such configuration": ("owner/TinyPairs", {"config": "fr"}),
    "without a card": ("owner/bare", {}),
    "absent": ("owner/absent", {}),
    "gated": ("owner/gated", {}),
    "script": ("owner/script", {}),
    "images": ("owner/images", {}),
}

Online = Callable[[str], Outcome]


@pytest.fixture(scope="module")
def online(stub: Stub, home: Path) -> Online:
    """What each call gave with the stub as the hub; all were made in one process, in this order."""
    outcomes = outcomes_of(list(ONLINE.values()), endpoint=stub.endpoint, home=home)
    return dict(zip(ONLINE, outcomes, strict=True)).__getitem__


def test_a_data_set_is_fetched_and_its_commit_told(online: Online, stub: Stub) -> None:
    outcome = online("tiny")
    assert outcome.get("commit") == SECOND, outcome
    assert (outcome["config"], outcome["split"]) == ("default", "train")
    assert outcome["columns"] == ["text"]
    assert outcome["rows"] == ENGLISH
    assert any("/resolve/" in path for path in stub.asked)
    assert online("a slice")["rows"] == ENGLISH[2:4]


def test_a_revision_is_read_as_it_was(online: Online) -> None:
    outcome = online("a tag")
    assert (outcome.get("commit"), outcome.get("rows")) == (FIRST, ["before"]), outcome
    outcome = online("a commit")
    assert (outcome.get("commit"), outcome.get("rows")) == (SECOND, ENGLISH), outcome


def test_configurations_and_nested_columns_of_the_hub_are_read(online: Online) -> None:
    outcome = online("German")
    assert (outcome.get("config"), outcome.get("rows")) == ("de", ENGLISH), outcome
    outcome = online("without a card")
    assert outcome.get("commit") == SECOND, outcome
    assert outcome["columns"] == ["pair", "pair.en", "pair.de"]
    assert outcome["rows"] == GERMAN


def test_a_data_set_is_here_once_it_was_fetched_and_not_before(online: Online) -> None:
    for call in ("a tag", "German", "without a card"):
        assert (online(call)["before"], online(call)["after"]) == (False, True), call
    for call in ("absent", "gated", "script", "images", "no such configuration"):
        assert (online(call)["before"], online(call)["after"]) == (False, False), call


def test_an_absent_data_set_is_told_with_its_name(online: Online) -> None:
    outcome = online("absent")
    assert outcome["type"] == "DownloadError", outcome
    assert outcome["message"].startswith(
        "hub data set owner/absent was not found (or is private or gated): "
    )
    assert "check the spelling and the revision" in outcome["hint"]
    assert BY_FILE in outcome["hint"]


@pytest.mark.parametrize("call", ["no such revision", "no such commit"])
def test_an_absent_revision_is_told_with_its_name(online: Online, call: str) -> None:
    revision = ONLINE[call][1]["revision"]
    outcome = online(call)
    assert outcome["type"] == "DownloadError", outcome
    assert outcome["message"].startswith(f"hub data set owner/tiny@{revision} was not found")
    assert "revision" in outcome["hint"]


def test_an_absent_split_or_configuration_is_told_with_those_there_are(online: Online) -> None:
    outcome = online("no such split")
    assert (outcome["type"], outcome["hint"]) == ("TextsError", "use train")
    assert outcome["message"] == "hf:owner/tiny: no split 'tran'; it has train"
    outcome = online("no such configuration")
    assert outcome["type"] == "TextsError"
    assert outcome["message"] == (
        "hf:owner/TinyPairs: BuilderConfig 'fr' not found. Available: ['en', 'de']"
    )


def test_a_gated_data_set_is_told_with_the_way_in(online: Online) -> None:
    outcome = online("gated")
    assert outcome["type"] == "DownloadError", outcome
    assert outcome["message"].startswith(
        "hub data set owner/gated was not found (or is private or gated)"
    )
    assert "gated dataset" in outcome["message"]
    assert "ask for access" in outcome["hint"]
    assert "hf auth login" in outcome["hint"]


def test_a_data_set_with_a_loading_script_is_refused_and_the_script_not_run(
    online: Online, home: Path
) -> None:
    outcome = online("script")
    assert outcome["type"] in ("DownloadError", "TextsError"), outcome
    assert "owner/script" in outcome["message"]
    assert "scripts are no longer supported, but found script.py" in outcome["message"]
    assert not list(home.rglob("was-run"))


def test_a_loading_script_is_not_blamed_on_the_network(online: Online) -> None:
    outcome = online("script")
    assert "could not be fetched" not in outcome["message"]
    assert "network" not in str(outcome["hint"])


def test_a_script_beside_the_data_is_neither_fetched_nor_run(
    online: Online, stub: Stub, home: Path
) -> None:
    assert online("tiny")["commit"] == SECOND
    assert not [path for path in stub.asked if path.endswith("helper.py")]
    assert not list(home.rglob("helper.py"))
    assert not list(home.rglob("was-run"))


def test_files_of_a_kind_that_is_not_read_are_refused_before_they_are_fetched(
    online: Online, stub: Stub
) -> None:
    outcome = online("images")
    assert outcome["type"] == "TextsError", outcome
    assert outcome["message"].startswith("hf:owner/images: its files are read as 'imagefolder'")
    assert not [path for path in stub.asked if path.endswith("a.png")]


def test_the_libraries_print_nothing(online: Online, home: Path) -> None:
    assert online("tiny")["commit"] == SECOND
    assert (home / "said").read_text().strip() == ""


OFFLINE: dict[str, Call] = {
    "tiny": ("owner/tiny", {}),
    "a slice": ("owner/tiny", {"split": "train[2:4]"}),
    "the latest commit": ("owner/tiny", {"revision": SECOND}),
    "the earlier commit": ("owner/tiny", {"revision": FIRST}),
    "a commit that is not here": ("owner/tiny", {"revision": THIRD}),
    "a tag that was never asked for": ("owner/tiny", {"revision": "v7"}),
    "the tag of the earlier commit": ("owner/tiny", {"revision": "before"}),
    "German": ("owner/TinyPairs", {"config": "de", "split": "train"}),
    "without a card": ("owner/bare", {}),
    "English, which was not fetched": ("owner/TinyPairs", {"config": "en"}),
    "absent": ("owner/absent", {}),
}


@pytest.fixture(scope="module")
def offline(online: Online, stub: Stub, home: Path) -> Online:
    """What each call gives without the hub, after the calls with it."""
    del online
    asked = len(stub.asked)
    outcomes = outcomes_of(list(OFFLINE.values()), endpoint=dead_endpoint(), home=home, offline=True)
    assert len(stub.asked) == asked
    return dict(zip(OFFLINE, outcomes, strict=True)).__getitem__


def dead_endpoint() -> str:
    """Return an address on this machine at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("call", ["tiny", "a slice", "German", "without a card"])
def test_the_cached_copy_is_used_offline_with_the_same_commit_and_rows(
    online: Online, offline: Online, call: str
) -> None:
    with_hub, without = online(call), offline(call)
    assert without.get("commit") == with_hub["commit"], without
    for what in ("config", "split", "columns", "rows"):
        assert without[what] == with_hub[what]


def test_a_commit_that_is_in_the_cache_is_used_offline(offline: Online) -> None:
    outcome = offline("the latest commit")
    assert (outcome.get("commit"), outcome.get("rows")) == (SECOND, ENGLISH), outcome


def test_an_earlier_commit_that_is_in_the_cache_is_used_offline(offline: Online) -> None:
    outcome = offline("the earlier commit")
    assert (outcome.get("commit"), outcome.get("rows")) == (FIRST, ["before"]), outcome


def test_a_commit_that_is_not_in_the_cache_is_refused_offline(offline: Online) -> None:
    outcome = offline("a commit that is not here")
    assert outcome["type"] == "DownloadError", outcome
    message = outcome["message"]
    assert message.startswith(
        f"hub data set owner/tiny@{THIRD} could not be fetched, and the cache on this machine holds "
    )
    assert SECOND in message
    assert "or ask for what is here: hf:owner/tiny@" in outcome["hint"]


@pytest.mark.parametrize("call", ["a tag that was never asked for", "the tag of the earlier commit"])
def test_offline_a_tag_never_gives_the_rows_of_another_commit(offline: Online, call: str) -> None:
    outcome = offline(call)
    if "commit" in outcome:
        assert (call, outcome["commit"]) == ("the tag of the earlier commit", FIRST)
    else:
        assert outcome["type"] == "DownloadError", outcome
        assert f"owner/tiny@{OFFLINE[call][1]['revision']}" in outcome["message"]


def test_offline_another_configuration_is_told_with_those_in_the_cache(offline: Online) -> None:
    outcome = offline("English, which was not fetched")
    assert outcome["type"] in ("TextsError", "DownloadError"), outcome
    assert "'en'" in outcome["message"]
    assert "['de']" in outcome["message"]


def test_offline_without_a_copy_tells_what_was_tried(offline: Online) -> None:
    outcome = offline("absent")
    assert outcome["type"] == "DownloadError", outcome
    message = outcome["message"]
    assert message.startswith(
        "hub data set owner/absent could not be fetched: tried the cache on this machine and http://127"
    )
    assert "(switched off by HF_HUB_OFFLINE)" in message
    assert "unset HF_HUB_OFFLINE" in outcome["hint"]
    assert BY_FILE in outcome["hint"]


def test_a_hub_that_does_not_answer_is_told_with_its_address_and_the_cache_is_used(
    online: Online, home: Path, tmp_path: Path
) -> None:
    endpoint = dead_endpoint()
    (outcome,) = outcomes_of([("owner/tiny", {})], endpoint=endpoint, home=tmp_path / "empty")
    assert outcome["type"] == "DownloadError", outcome
    assert "hub data set owner/tiny could not be fetched" in outcome["message"]
    assert endpoint in outcome["message"]
    assert "HF_HUB_OFFLINE)" not in outcome["message"]
    assert "connect to the network" in outcome["hint"]
    (outcome,) = outcomes_of([("owner/tiny", {})], endpoint=endpoint, home=home)
    assert (outcome.get("commit"), outcome.get("rows")) == (SECOND, online("tiny")["rows"]), outcome
