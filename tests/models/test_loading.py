"""Loading: the body in float32 with its blocks in order, and folders that hold no usable model."""

import builtins
import contextlib
import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny_architectures
import tiny_models
from isodepth import extract, load_model
from isodepth.errors import ModelError, ParameterError
from isodepth.models import LoadingOptions, as_model, load_tokenizer, resolve_model

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
    assert "encoder.albert_layer_groups (1 module, run 3 times" in caught.value.message


def test_an_image_model_is_refused_for_it_reads_no_text(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-resnet", tiny_models.resnet)
    with pytest.raises(ModelError, match="cannot read 5 tokens of text") as caught:
        load_model(folder)
    assert "tiny-resnet (ResNetModel)" in caught.value.message
    assert (
        caught.value.hint
        == "isodepth reads language models that take token ids alone; where this one is such, another --dtype, --quantization or --attention may help."
    )


def test_an_encoder_decoder_is_refused_as_one(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-t5", tiny_models.t5)
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert caught.value.message == "tiny-t5 (T5Model) is an encoder-decoder model"
    assert "decoder language models, and encoders with --pooling mean" in str(caught.value.hint)


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
        assert "--trust-remote-code runs it" in str(caught.value.hint)
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


# number formats, attention, devices


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_weights_are_rounded_once_to_the_number_format_that_is_asked_for(
    dtype: str, llama_folder: Path
) -> None:
    written = load_file(llama_folder / "model.safetensors")
    for model in (load_model(llama_folder, dtype=dtype), load_model(f"{llama_folder}(dtype={dtype})")):
        assert model.name == f"tiny-llama ({dtype})"
        assert model.digest == f"{resolve_model(llama_folder).digest} + {dtype}"
        assert model.provenance["dtype"] == dtype
        for name, values in model.body.state_dict().items():
            expected = written[f"model.{name}"].to(getattr(torch, dtype))
            assert torch.equal(values, expected), name


def test_activations_in_16_bits_are_near_those_in_float32(llama_folder: Path) -> None:
    texts = tiny_models.texts_of([3, 7, 13])
    exact = extract(load_model(llama_folder), texts).values
    for dtype, most in (("bfloat16", 0.1), ("float16", 0.02)):
        rounded = extract(load_model(llama_folder, dtype=dtype), texts)
        assert rounded.values.dtype == np.float32
        difference = tiny_models.largest_relative_difference(rounded.values, exact)
        assert 1e-5 < difference < most, dtype


def test_the_attention_that_is_asked_for_is_used(llama_folder: Path) -> None:
    texts = tiny_models.texts_of([3, 7, 13])
    values = {}
    for attention in ("eager", "sdpa"):
        model = load_model(llama_folder, attention=attention)
        assert model.provenance["attention"] == attention
        assert model.name == f"tiny-llama ({attention} attention)"
        values[attention] = extract(model, texts).values
    difference = tiny_models.largest_relative_difference(values["eager"], values["sdpa"])
    assert difference < 1e-5


def test_an_attention_that_is_not_installed_is_told(llama_folder: Path) -> None:
    with pytest.raises(ModelError, match="tiny-llama .*cannot load the model") as caught:
        load_model(llama_folder, attention="flash_attention_2")
    assert "flash" in caught.value.message.lower()


@pytest.mark.parametrize("device", ["cuda:97", "mps"])
def test_a_device_that_is_not_there_is_told_before_anything_is_read(
    device: str, llama_folder: Path, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    folder = copied(llama_folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ParameterError, match=f"device {device} is not there: torch") as caught:
        load_model(folder, device=device)
    assert torch.__version__ in caught.value.message
    if device != "mps":
        assert f"finds {torch.cuda.device_count()} CUDA devices" in caught.value.message
        assert "--device cpu" in str(caught.value.hint)


def test_a_device_map_on_a_machine_without_accelerator_changes_nothing(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    texts = tiny_models.texts_of([3, 7, 13])
    plain, mapped = load_model(llama_folder), load_model(llama_folder, device_map="auto")
    assert (mapped.name, mapped.digest) == (plain.name, plain.digest)
    assert mapped.provenance["device"] == plain.provenance["device"] == "cpu"
    assert mapped.provenance["offloaded"] is False
    np.testing.assert_array_equal(extract(mapped, texts).values, extract(plain, texts).values)


def test_a_source_brings_its_own_options(llama_folder: Path) -> None:
    source = resolve_model(llama_folder, options=LoadingOptions(dtype="bfloat16"))
    assert load_model(source).provenance["dtype"] == "bfloat16"


def offloaded_llama(folder: Path, to: Path) -> Any:
    """Return the Llama of a folder with all but the embedding and two blocks on disk."""
    with tiny_models.quietly():
        model = transformers.LlamaModel.from_pretrained(
            folder,
            dtype=torch.float32,
            device_map={
                "embed_tokens": "cpu",
                "layers.0": "cpu",
                "layers.1": "disk",
                "layers.2": "cpu",
                "layers.3": "disk",
                "layers.4": "disk",
                "norm": "disk",
                "rotary_emb": "cpu",
            },
            offload_folder=to,
        )
    assert any(parameter.is_meta for parameter in model.parameters())
    return model.eval()


def test_weights_on_disk_are_read_right_and_by_one_worker(
    llama_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isodepth.activations import extraction

    n_workers: list[int] = []
    threads = extraction.worker_threads
    monkeypatch.setattr(extraction, "worker_threads", lambda n: (n_workers.append(n), threads(n))[1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)  # else 3 is what it is set back to
    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    plain = load_model(llama_folder)
    model = as_model(
        offloaded_llama(llama_folder, tmp_path / "disk"),
        load_tokenizer(llama_folder),
        name="on disk",
        digest="mine",
    )
    assert model.provenance["offloaded"] is True
    assert model.provenance["device"] == "cpu"
    assert model.provenance["parameters"] == plain.provenance["parameters"]
    found = extract(model, texts, token_budget=23)
    expected = extract(plain, texts, token_budget=23)
    assert tiny_models.largest_relative_difference(found.values, expected.values) < 1e-5
    assert n_workers == [1, 3]


def test_weights_on_disk_cannot_be_identified_without_a_digest(
    llama_folder: Path, tmp_path: Path
) -> None:
    model = offloaded_llama(llama_folder, tmp_path / "disk")
    with pytest.raises(ModelError, match=r"the weights .* are not in memory") as caught:
        as_model(model, load_tokenizer(llama_folder), name="on disk")
    assert caught.value.hint == "pass as_model(..., digest=...) with a text that identifies it."


# encoders


def test_an_encoder_reads_as_far_as_its_tokenizer_says(bert_folder: Path, copied: Copied) -> None:
    folder = copied(bert_folder)
    assert load_model(folder).context_length == 101
    assert not load_model(folder).is_causal
    tiny_models.edited_json(folder / "tokenizer_config.json", model_max_length=89)
    assert load_model(folder).context_length == 89


def test_a_decoder_reads_as_far_as_its_configuration_says(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    tiny_models.edited_json(folder / "tokenizer_config.json", model_max_length=89)
    model = load_model(folder)
    assert model.tokenizer.model_max_length == 89
    assert (model.context_length, model.is_causal) == (211, True)


def test_an_encoder_without_pooler_weights_loads_and_one_without_others_does_not(
    bert_folder: Path, copied: Copied
) -> None:
    folder = copied(bert_folder)
    weights = load_file(folder / "model.safetensors")
    without = {name: values for name, values in weights.items() if "pooler" not in name}
    assert len(without) == len(weights) - 2
    save_file(without, folder / "model.safetensors", metadata={"format": "pt"})
    texts = tiny_models.texts_of([3, 7, 13])
    expected = extract(load_model(bert_folder), texts, pooling="mean").values
    np.testing.assert_array_equal(extract(load_model(folder), texts, pooling="mean").values, expected)
    del without["encoder.layer.1.output.dense.weight"]
    save_file(without, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weight missing in .*layer\.1\.output\.dense\.weight"):
        load_model(folder)


# models that see and hear


@pytest.mark.parametrize("name", ["gemma3", "mllama"])
def test_of_a_vision_model_only_the_part_that_reads_text_is_kept(name: str, tmp_path: Path) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    whole = tiny_architectures.made(name)
    with tiny_models.quietly():
        whole.save_pretrained(tmp_path / name)  # type: ignore[operator]
        tiny_models.tiny_tokenizer().save_pretrained(tmp_path / name)
    model = load_model(tmp_path / name)
    assert (model.n_layers, model.width) == (architecture.n_layers, architecture.width)
    assert model.skipped_blocks == architecture.uncalled
    text: Any = whole.get_submodule("language_model")
    assert type(model.body) is type(text)
    n_text = sum(parameter.numel() for parameter in text.parameters())
    assert model.provenance["parameters"] == n_text
    assert n_text < sum(parameter.numel() for parameter in whole.parameters())
    assert not any("vision" in path for path, _ in model.body.named_modules())
    assert model.body.state_dict().keys() == text.state_dict().keys()
    for key, values in text.state_dict().items():
        assert torch.equal(model.body.state_dict()[key], values), key


# position embeddings that change with the longest text


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}}, None),
        (
            {
                "rope_parameters": {
                    "rope_type": "yarn",
                    "factor": 3.0,
                    "original_max_position_embeddings": 53,
                    "rope_theta": 1e4,
                }
            },
            None,
        ),
        (
            {
                "rope_parameters": {
                    "rope_type": "longrope",
                    "long_factor": [3.0, 5.0, 7.0],
                    "short_factor": [1.0, 1.5, 2.0],
                    "original_max_position_embeddings": 53,
                    "rope_theta": 1e4,
                }
            },
            53,
        ),
        ({"rope_parameters": {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 1e4}}, 211),
    ],
)
def test_above_how_many_tokens_positions_depend_on_the_longest_text_is_known(
    settings: dict[str, Any], expected: int | None, tmp_path: Path
) -> None:
    folder = tiny_models.saved(tmp_path / "rope", **settings)
    assert load_model(folder).rescales_above == expected


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_positions_that_change_with_the_longest_text_change_no_activations(
    kind: str, tmp_path: Path
) -> None:
    rope: dict[str, Any] = {"rope_type": kind, "factor": 3.0, "rope_theta": 1e4}
    rope |= {"original_max_position_embeddings": 53}
    if kind == "longrope":
        rope |= {"long_factor": [3.0, 5.0, 7.0], "short_factor": [1.0, 1.5, 2.0]}
    folder = tiny_models.saved(tmp_path / "rope", rope_parameters=rope)
    model = load_model(folder)
    assert model.rescales_above == 53
    texts = tiny_models.texts_of([3, 71, 5, 61, 52, 53, 71, 67])
    found = extract(model, texts).values
    for row, text in enumerate(texts):
        (states,) = tiny_models.slow_hidden_states(folder, [text])  # a new model each time
        difference = tiny_models.largest_relative_difference(found[:-1, row], states[:-1, -1])
        assert difference < 1e-5, row


@pytest.mark.parametrize("was_on", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_loading_leaves_threads_and_the_collection_of_garbage_as_they_were(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch, was_on: bool, fails: bool
) -> None:
    from isodepth.models import bodies

    during: list[tuple[bool, int]] = []
    found = bodies.sees_only_earlier

    def noted(*arguments: Any, **settings: Any) -> bool:
        during.append((gc.isenabled(), torch.get_num_threads()))
        if fails:
            raise ModelError("failed")
        return found(*arguments, **settings)

    monkeypatch.setattr(bodies, "sees_only_earlier", noted)
    n_threads = torch.get_num_threads()
    (gc.enable if was_on else gc.disable)()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ModelError, match="failed") if fails else contextlib.nullcontext():
            load_model(llama_folder)
        assert (gc.isenabled(), torch.get_num_threads()) == (was_on, 2)
    finally:
        gc.enable()
        torch.set_num_threads(n_threads)
    assert during == [(False, 1)]
