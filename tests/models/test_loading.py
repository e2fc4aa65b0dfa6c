"""Loading: the body in float32 with its blocks in order, and folders that hold no usable model."""

import builtins
import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_models
from isodepth import load_model
from isodepth.errors import ModelError
from isodepth.models import load_tokenizer, resolve_model

Copied = Callable[[Path], Path]

SIZES = {
    "llama_folder": (5, 26, 211, "LlamaModel"),
    "gemma_folder": (7, 22, 307, "Gemma3TextModel"),
    "gpt2_folder": (3, 34, 101, "GPT2Model"),
    "mamba_folder": (3, 19, None, "MambaModel"),
}


@pytest.mark.parametrize("fixture", SIZES)
def test_layers_width_context_and_architecture_are_the_configurations(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    n_layers, width, context_length, architecture = SIZES[fixture]
    model = load_model(folder)
    assert (model.n_layers, model.width, model.context_length) == (n_layers, width, context_length)
    assert model.name == folder.name
    assert model.digest == resolve_model(folder).digest
    assert model.provenance["architecture"] == architecture
    assert model.provenance["parameters"] == sum(p.numel() for p in model.body.parameters())
    assert model.provenance["torch"] == torch.__version__
    assert model.provenance["transformers"] == transformers.__version__
    assert repr(model) == f"Model({folder.name!r}, n_layers={n_layers}, width={width})"


def test_weights_are_those_of_the_file_in_evaluation_mode_and_without_head(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    written = load_file(llama_folder / "model.safetensors")
    assert "lm_head.weight" in written
    loaded = dict(model.body.state_dict())
    assert set(loaded) == {name.removeprefix("model.") for name in written if name != "lm_head.weight"}
    for name, values in loaded.items():
        assert torch.equal(values, written[f"model.{name}"]), name
    assert not model.body.training
    for number, block in enumerate(model.blocks):
        assert block is model.body.get_submodule(f"layers.{number}")


def test_half_precision_weights_are_widened_to_float32_exactly(tmp_path: Path) -> None:
    folder = tiny_models.saved(
        tmp_path / "half", lambda **changes: tiny_models.llama(**changes).bfloat16()
    )
    written = load_file(folder / "model.safetensors")
    assert {values.dtype for values in written.values()} == {torch.bfloat16}
    body = load_model(folder).body
    assert {parameter.dtype for parameter in body.parameters()} == {torch.float32}
    for name, values in body.state_dict().items():
        assert torch.equal(values, written[f"model.{name}"].float()), name


def test_loading_takes_a_source_a_path_and_a_string(llama_folder: Path) -> None:
    digests = {
        load_model(given).digest
        for given in (llama_folder, str(llama_folder), resolve_model(llama_folder))
    }
    assert len(digests) == 1


def test_loading_reports_start_and_end(llama_folder: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    load_model(llama_folder, progress=lambda *report: said.append(report))
    assert said == [("loading tiny-llama", 0, 1, "steps"), ("loading tiny-llama", 1, 1, "steps")]


def test_a_model_without_a_list_of_its_blocks_is_refused_with_what_was_found(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-albert", tiny_models.albert)
    with pytest.raises(ModelError, match="expected a ModuleList of 3 modules") as caught:
        load_model(folder)
    assert "tiny-albert (AlbertModel): no decoder blocks found" in caught.value.message
    assert "encoder.albert_layer_groups (1)" in caught.value.message


def test_an_image_model_is_refused_for_it_states_no_layers(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-resnet", tiny_models.resnet)
    with pytest.raises(ModelError, match="states no number of hidden layers") as caught:
        load_model(folder)
    assert "tiny-resnet (ResNetModel)" in caught.value.message
    assert caught.value.hint == "isodepth reads decoder language models."


def test_a_missing_tokenizer_is_named_with_its_folder(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match="tiny-llama: the tokenizer in .* cannot be loaded") as caught:
        load_model(folder)
    assert str(folder) in caught.value.message
    assert "tokenizer.save_pretrained" in str(caught.value.hint)


def test_truncated_weights_are_refused(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1009])
    with pytest.raises(ModelError, match="tiny-llama: transformers .* cannot load the model") as caught:
        load_model(folder)
    assert str(folder) in caught.value.message
    assert caught.value.__cause__ is not None


def test_weights_of_another_shape_are_refused(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    tiny_models.edited_json(folder / "config.json", intermediate_size=37)
    with pytest.raises(ModelError, match="tiny-llama"):
        load_model(folder)


@pytest.mark.parametrize("missing", ["model.layers.2.mlp.down_proj.weight", "model.norm.weight"])
def test_a_weight_that_the_file_lacks_is_refused_not_made_up(
    missing: str, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    weights = load_file(folder / "model.safetensors")
    del weights[missing]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=missing.removeprefix("model.")):
        load_model(folder)


def test_a_configuration_with_more_layers_than_the_weights_is_refused(
    llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    tiny_models.edited_json(folder / "config.json", num_hidden_layers=7)
    with pytest.raises(ModelError, match=r"layers\.5"):
        load_model(folder)


@pytest.mark.parametrize("answer", ["y", "n"])
@pytest.mark.parametrize("model_type", ["llama", "homemade"])
def test_code_in_a_folder_is_never_run_and_nobody_is_asked(
    model_type: str,
    answer: str,
    llama_folder: Path,
    copied: Copied,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = copied(llama_folder)
    ran = folder.parent / "the-code-ran"
    code = f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
    code += "from transformers import LlamaConfig, LlamaModel\n"
    code += "class Config(LlamaConfig):\n    model_type = 'homemade'\n"
    code += "class Model(LlamaModel):\n    config_class = Config\n"
    (folder / "homemade.py").write_text(code)
    tiny_models.edited_json(
        folder / "config.json",
        model_type=model_type,
        auto_map={"AutoConfig": "homemade.Config", "AutoModel": "homemade.Model"},
    )
    modules = str(folder.parent / "modules")  # where transformers would copy the code
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", modules)
    asked: list[object] = []
    monkeypatch.setattr(builtins, "input", lambda *prompt: (asked.append(prompt), answer)[1])
    if model_type == "llama":  # transformers has code of its own for this one
        assert load_model(folder).n_layers == 5
    else:
        with pytest.raises(ModelError) as caught:
            load_model(folder)
        assert "without remote code" in str(caught.value.hint)
    assert not ran.exists()
    assert asked == []


def test_the_tokenizers_code_is_not_run_either(
    llama_folder: Path, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(llama_folder)
    ran = folder.parent / "the-code-ran"
    (folder / "homemade.py").write_text(
        f"from pathlib import Path\nPath({str(ran)!r}).touch()\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class Homemade(PreTrainedTokenizerFast):\n    pass\n"
    )
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {
        "auto_map": {"AutoTokenizer": [None, "homemade.Homemade"]},
        "tokenizer_class": "Homemade",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    monkeypatch.setattr(builtins, "input", lambda *prompt: pytest.fail("the user was asked"))
    with contextlib.suppress(ModelError):  # reading it as the fast tokenizer that it is, is fine too
        load_model(folder)
    assert not ran.exists()


def test_transformers_keeps_its_verbosity_and_bars(llama_folder: Path) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_model(llama_folder)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_loading_prints_nothing(llama_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(llama_folder)
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_is_loaded_without_weights(
    llama_folder: Path, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(llama_folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError):
        load_model(folder)
    for automatic in (transformers.AutoModel, transformers.AutoModelForCausalLM):
        monkeypatch.setattr(automatic, "from_pretrained", pytest.fail)
    tokenizer = load_tokenizer(folder)
    assert tokenizer("w3 w4")["input_ids"] == [tiny_models.BOS, 6, 7]


def test_a_tokenizer_that_cannot_be_loaded_is_the_error_that_load_model_gives(
    llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    with pytest.raises(ModelError, match="tiny-llama: the tokenizer in .* cannot be loaded") as caught:
        load_tokenizer(folder)
    with pytest.raises(ModelError) as expected:
        load_model(folder)
    assert str(caught.value) == str(expected.value)
