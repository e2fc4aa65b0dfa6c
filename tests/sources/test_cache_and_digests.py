"""A digest is the content's own, is computed once, and is computed again after a change."""

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import platformdirs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.sources import cache_directory, folder_digest
from isodepth.store import sums
from isodepth.store.sums import file_digest

DAMAGED_MEMOS: dict[str, Callable[[dict[str, Any]], str]] = {
    "empty": lambda memo: "",
    "cut short": lambda memo: json.dumps(memo)[:-5],
    "of another form": lambda memo: "[1, 2]",
    "a number": lambda memo: "7",
    "without a digest": lambda memo: json.dumps({"stamp": memo["stamp"]}),
    "without a stamp": lambda memo: json.dumps({"sha256": memo["sha256"]}),
    "with no digest": lambda memo: json.dumps({**memo, "sha256": None}),
    "with half a digest": lambda memo: json.dumps({**memo, "sha256": memo["sha256"][:31]}),
}


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are remembered as soon as they are written."""
    monkeypatch.setattr(sums, "SETTLED_NS", 0)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read and hashed, in order."""
    names: list[str] = []
    sha256_of = sums.sha256_of

    def counted(path: Path) -> str:
        names.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(sums, "sha256_of", counted)
    return names


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"n_layers": 3}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "vocab.txt").write_text("a b c")
    return folder


def age(path: Path, seconds: int) -> None:
    """Move a file's modification time by whole seconds, more than any clock's coarseness."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + seconds * 10**9))


def test_cache_is_the_environment_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ISODEPTH_CACHE", str(tmp_path / "here"))
    assert cache_directory() == tmp_path / "here"
    assert not (tmp_path / "here").exists()


def test_cache_expands_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ISODEPTH_CACHE", "~/models")
    assert cache_directory() == tmp_path / "models"


@pytest.mark.parametrize("unset", [None, ""])
def test_cache_is_the_platform_s_where_nothing_is_set(
    monkeypatch: pytest.MonkeyPatch, unset: str | None
) -> None:
    monkeypatch.delenv("ISODEPTH_CACHE")
    if unset is not None:
        monkeypatch.setenv("ISODEPTH_CACHE", unset)
    assert cache_directory() == Path(platformdirs.user_cache_dir("isodepth"))


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=101))
def test_a_file_digest_is_the_sha256_of_its_bytes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("files") / "weights"
    path.write_bytes(data)
    assert sums.sha256_of(path) == file_digest(path) == sha256(data).hexdigest()


def test_an_unchanged_file_is_hashed_once(model: Path, hashed: list[str]) -> None:
    path = model / "model.safetensors"
    assert len({file_digest(path) for _ in range(3)}) == 1
    assert hashed == ["model.safetensors"]


def test_a_link_shares_the_memo_of_its_file(model: Path, tmp_path: Path, hashed: list[str]) -> None:
    link = tmp_path / "link"
    link.symlink_to(model / "model.safetensors")
    assert file_digest(link) == file_digest(model / "model.safetensors")
    assert hashed == ["model.safetensors"]


def test_the_memo_is_in_the_cache_and_not_beside_the_file(model: Path) -> None:
    before = sorted(model.iterdir())
    file_digest(model / "model.safetensors")
    assert sorted(model.iterdir()) == before
    assert len(list((cache_directory() / "digests").iterdir())) == 1


def test_a_file_of_another_size_is_hashed_again(model: Path, hashed: list[str]) -> None:
    path = model / "model.safetensors"
    file_digest(path)
    status = path.stat()
    path.write_bytes(b"longer weights")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_digest(path) == sha256(b"longer weights").hexdigest()
    assert len(hashed) == 2


def test_a_file_rewritten_at_another_time_is_hashed_again(model: Path, hashed: list[str]) -> None:
    path = model / "model.safetensors"
    file_digest(path)
    path.write_bytes(b"WEIGHTS")
    age(path, 1)
    assert file_digest(path) == sha256(b"WEIGHTS").hexdigest()
    assert file_digest(path) == sha256(b"WEIGHTS").hexdigest()
    assert len(hashed) == 2


def test_another_file_of_the_same_size_and_time_is_hashed_again(model: Path, hashed: list[str]) -> None:
    path = model / "model.safetensors"
    file_digest(path)
    status = path.stat()
    other = model / "other"
    other.write_bytes(b"WEIGHTS")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert file_digest(path) == sha256(b"WEIGHTS").hexdigest()
    assert len(hashed) == 2


@pytest.mark.parametrize("damage", DAMAGED_MEMOS)
def test_a_damaged_memo_is_computed_again(model: Path, hashed: list[str], damage: str) -> None:
    path = model / "model.safetensors"
    expected = file_digest(path)
    (memo,) = (cache_directory() / "digests").iterdir()
    memo.write_text(DAMAGED_MEMOS[damage](json.loads(memo.read_text())))
    assert file_digest(path) == expected
    assert file_digest(path) == expected
    assert len(hashed) == 2


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no-such-file"):
        file_digest(tmp_path / "no-such-file")


def test_a_folder_digest_does_not_depend_on_where_the_folder_is(model: Path) -> None:
    before = folder_digest(model)
    elsewhere = model.rename(model.parent / "another-name")
    for path in elsewhere.iterdir():
        age(path, 7)
    assert folder_digest(elsewhere) == before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_folder_digest_depends_on_every_content(model: Path, name: str) -> None:
    before = folder_digest(model)
    (model / name).write_bytes((model / name).read_bytes() + b" ")
    assert folder_digest(model) != before


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_folder_digest_depends_on_every_name(model: Path, name: str) -> None:
    before = folder_digest(model)
    (model / name).rename(model / f"x{name}")
    assert folder_digest(model) != before


@pytest.mark.parametrize("name", ["chat_template.jinja", "tokenizer.model", "model-2.safetensors"])
def test_a_folder_digest_depends_on_which_model_files_there_are(model: Path, name: str) -> None:
    before = folder_digest(model)
    (model / name).write_bytes(b"")
    assert folder_digest(model) != before


def test_contents_that_changed_places_are_another_folder(model: Path) -> None:
    (model / "merges.txt").write_text("d e f")
    before = folder_digest(model)
    (model / "merges.txt").rename(model / "x")
    (model / "vocab.txt").rename(model / "merges.txt")
    (model / "x").rename(model / "vocab.txt")
    assert folder_digest(model) != before


def test_unrelated_files_do_not_count(model: Path, hashed: list[str]) -> None:
    before = folder_digest(model)
    for name in ("README.md", "pytorch_model.bin", "modeling.py", ".gitattributes"):
        (model / name).write_text("unrelated")
    (model / "runs").mkdir()
    (model / "runs" / "log.json").write_text("{}")
    assert folder_digest(model) == before
    assert sorted(hashed) == ["config.json", "model.safetensors", "vocab.txt"]


def test_python_files_count_where_they_are_run_and_only_there(model: Path) -> None:
    without = folder_digest(model)
    assert folder_digest(model, with_code=True) == without
    (model / "modeling.py").write_text("first = 1")
    first = folder_digest(model, with_code=True)
    assert folder_digest(model) == without != first
    (model / "modeling.py").write_text("first = 2")
    assert folder_digest(model) == without
    assert folder_digest(model, with_code=True) not in (without, first)
    (model / "modeling.py").rename(model / "other.py")
    assert folder_digest(model, with_code=True) not in (without, first)


def test_an_unchanged_folder_is_hashed_once_and_only_changed_files_again(
    model: Path, hashed: list[str]
) -> None:
    folder_digest(model)
    folder_digest(model)
    assert len(hashed) == 3
    age(model / "config.json", 1)
    folder_digest(model)
    assert hashed[3:] == ["config.json"]


def test_a_folder_of_links_has_the_digest_of_its_files(model: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for number, path in enumerate(sorted(model.iterdir())):
        blob = tmp_path / f"blob-{number}"
        blob.write_bytes(path.read_bytes())
        (links / path.name).symlink_to(blob)
    assert folder_digest(links) == folder_digest(model)


def test_a_file_that_was_written_just_now_is_not_remembered(
    tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # within one tick of the clock, a change of as many bytes would leave the stamp as it was
    monkeypatch.setattr(sums, "SETTLED_NS", 10**12)
    path = tmp_path / "weights"
    path.write_bytes(b"weights")
    assert file_digest(path) == file_digest(path)
    assert hashed == ["weights", "weights"]
    monkeypatch.setattr(sums, "SETTLED_NS", 0)
    assert file_digest(path) == file_digest(path)
    assert hashed == ["weights"] * 3
