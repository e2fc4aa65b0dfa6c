"""Models that come with Python code: refused by default, run where the user says so, and identified."""

import builtins
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny_models
from isodepth import extract, load_model
from isodepth.errors import ModelError
from isodepth.models import LoadingOptions, resolve_model

Copied = Callable[[Path], Path]
TRUSTED = LoadingOptions(trust_remote_code=True)
CODE = """
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel

Path({ran!r}).touch()


class HomemadeConfig(LlamaConfig):
    model_type = "homemade"


class HomemadeModel(LlamaModel):
    config_class = HomemadeConfig


class HomemadeForCausalLM(LlamaForCausalLM):
    config_class = HomemadeConfig
"""


@pytest.fixture
def homemade(
    llama_folder: Path, copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder of the tiny Llama's weights whose model type only its own code knows."""
    folder = copied(llama_folder).rename(tmp_path / "homemade")
    (folder / "homemade.py").write_text(CODE.format(ran=str(tmp_path / "the-code-ran")))
    tiny_models.edited_json(
        folder / "config.json",
        model_type="homemade",
        architectures=["HomemadeForCausalLM"],
        auto_map={
            "AutoConfig": "homemade.HomemadeConfig",
            "AutoModel": "homemade.HomemadeModel",
            "AutoModelForCausalLM": "homemade.HomemadeForCausalLM",
        },
    )
    # where transformers copies the code to and imports it from
    modules = str(tmp_path / "modules")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "transformers_modules"]:
        del sys.modules[name]


def test_code_is_refused_by_default_with_the_flag_named_and_is_not_run(
    homemade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "input", lambda *prompt: pytest.fail("the user was asked"))
    with pytest.raises(ModelError, match="homemade: .* cannot load") as caught:
        load_model(homemade)
    assert caught.value.hint == (
        "the model comes with Python code of its makers; --trust-remote-code runs it. Do that only if "
        "you trust them."
    )
    assert not (tmp_path / "the-code-ran").exists()


def test_code_runs_where_the_user_says_so(
    homemade: Path, tmp_path: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "input", lambda *prompt: pytest.fail("the user was asked"))
    model = load_model(homemade, trust_remote_code=True)
    assert (tmp_path / "the-code-ran").exists()
    assert model.provenance["architecture"] == "HomemadeModel"
    assert model.provenance["model_type"] == "homemade"
    assert model.provenance["trust_remote_code"] is True
    assert model.digest == resolve_model(homemade, options=TRUSTED).digest
    assert model.name == "homemade"
    texts = tiny_models.texts_of([3, 7, 13])
    plain = load_model(llama_folder)
    assert plain.provenance["trust_remote_code"] is False
    np.testing.assert_array_equal(extract(model, texts).values, extract(plain, texts).values)


def test_code_that_runs_belongs_to_the_identity_and_code_that_does_not_run_does_not(
    homemade: Path,
) -> None:
    before = {options: resolve_model(homemade, options=options).digest for options in (None, TRUSTED)}
    assert before[None] != before[TRUSTED]
    code = homemade / "homemade.py"
    code.write_text(code.read_text() + "\nprint('changed')\n")
    assert resolve_model(homemade).digest == before[None]
    assert resolve_model(homemade, options=TRUSTED).digest != before[TRUSTED]


def test_resolving_runs_no_code(homemade: Path, tmp_path: Path) -> None:
    resolve_model(homemade, options=TRUSTED)
    assert not (tmp_path / "the-code-ran").exists()


def test_without_code_the_flag_changes_nothing(llama_folder: Path) -> None:
    trusted = resolve_model(llama_folder, options=TRUSTED)
    assert trusted.digest == resolve_model(llama_folder).digest
    assert load_model(trusted).n_layers == 5


def test_an_adapter_on_a_base_with_code_needs_the_flag_too(
    homemade: Path, lora_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"homemade \+ tiny-lora: .* cannot load") as caught:
        load_model(homemade, adapter=lora_folder)
    assert "--trust-remote-code" in str(caught.value.hint)
    assert not (tmp_path / "the-code-ran").exists()
    model = load_model(homemade, adapter=lora_folder, trust_remote_code=True)
    texts = tiny_models.texts_of([3, 7, 13])
    expected = extract(load_model(lora_folder), texts).values
    np.testing.assert_array_equal(extract(model, texts).values, expected)


def test_code_that_knows_the_model_with_its_head_only_loads_too(
    homemade: Path, llama_folder: Path
) -> None:
    tiny_models.edited_json(
        homemade / "config.json",
        auto_map={
            "AutoConfig": "homemade.HomemadeConfig",
            "AutoModelForCausalLM": "homemade.HomemadeForCausalLM",
        },
    )
    with pytest.raises(ModelError, match="homemade: .* cannot load") as caught:
        load_model(homemade)
    assert "--trust-remote-code" in str(caught.value.hint)
    model = load_model(homemade, trust_remote_code=True)
    assert model.provenance["architecture"] == "LlamaModel"  # what is inside, without the head
    texts = tiny_models.texts_of([3, 7, 13])
    expected = extract(load_model(llama_folder), texts).values
    np.testing.assert_array_equal(extract(model, texts).values, expected)
