"""Folders of tiny random models, written once a session; tests that change one copy it first."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

# Set before torch is loaded, here and in processes that tests start: on a machine whose cores are
# busy, two threads that wait for each other made these tests six times as slow. Tests of threads set
# their number themselves. Numba's says how many threads code compiled for several starts, and where a
# module of tests imports such code (dcor), torch gets as many.
for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# Tests that set several threads wait for them asleep: on busy cores, most of their time went into waiting
# awake for a thread that had no core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def saved(folder: Path, make: str, *, seed: int) -> Path:
    import tiny_models  # loads torch and transformers, which tests of other stages do without

    return tiny_models.saved(folder, getattr(tiny_models, make), seed=seed)


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny-llama", "llama", seed=7)


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose tokenizer has a chat template."""
    import tiny_models

    folder = tmp_path_factory.mktemp("models") / "tiny-chat"
    return tiny_models.saved(folder, seed=5, tokenizer=tiny_models.chat_tokenizer())


@pytest.fixture(scope="session")
def gemma_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny-gemma", "gemma", seed=11)


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny-gpt2", "gpt2", seed=13)


@pytest.fixture(scope="session")
def mamba_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny-mamba", "mamba", seed=17)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny-bert", "bert", seed=19)


@pytest.fixture(scope="session")
def lora_folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter on the tiny Llama, which it names as its base."""
    import tiny_models

    folder = tmp_path_factory.mktemp("adapters") / "tiny-lora"
    return tiny_models.saved_adapter(folder, llama_folder, tiny_models.lora())


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copy a model folder to this test's own folder, under the same name."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / "copies" / folder.name))

    return copy
