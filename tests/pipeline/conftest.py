"""A finished study of three tiny models, run once; tests that go on with it copy its store."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isodepth.store import Store
from tiny_studies import Counts, Ran, counting, ran_study, written_texts


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counts]:
    """What is loaded, read and measured; the measure that counts is there in every test."""
    with counting(monkeypatch) as counted:  # tests that patch the same are undone in order
        yield counted


@pytest.fixture(scope="session")
def texts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="session")
def red(texts_folder: Path) -> str:
    return str(texts_folder / "red.txt")


@pytest.fixture(scope="session")
def blue(texts_folder: Path) -> str:
    return str(texts_folder / "blue.txt")


@pytest.fixture(scope="session")
def green(texts_folder: Path) -> str:
    return str(texts_folder / "green.txt")


@pytest.fixture(scope="session")
def two_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two blocks, so that four models have different numbers of layers."""
    import tiny_models

    folder = tmp_path_factory.mktemp("models") / "tiny-two"
    return tiny_models.saved(folder, tiny_models.gpt2, seed=23, n_layer=2)


@pytest.fixture(scope="session")
def finished(
    llama_folder: Path,
    gemma_folder: Path,
    gpt2_folder: Path,
    red: str,
    blue: str,
    green: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Three models (5, 7 and 3 layers) on two text sets and a pair that shares one of them."""
    return ran_study(
        tmp_path_factory.mktemp("finished"),
        llama_folder,
        gemma_folder,
        gpt2_folder,
        texts=[red, {"left": red, "right": green, "name": "pair"}, blue],
        ks=[3, 5],
    )


@pytest.fixture
def copied_store(finished: Ran, tmp_path: Path) -> Store:
    """The store of the finished study, to be changed."""
    shutil.copytree(finished.store, tmp_path / "copied")
    return Store(tmp_path / "copied")


@pytest.fixture
def broken_model(gpt2_folder: Path, copied: Callable[[Path], Path]) -> Path:
    """A model whose weights are no file of weights."""
    folder = copied(gpt2_folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder.rename(folder.with_name("broken"))


@pytest.fixture(scope="session")
def kept(
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    blue: str,
    green: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Two models on three text sets, run once, whose activations are kept."""
    return ran_study(
        tmp_path_factory.mktemp("kept"),
        gpt2_folder,
        llama_folder,
        texts=[red, blue, green],
        keep={"activations": True, "neighbors": 7},
    )
