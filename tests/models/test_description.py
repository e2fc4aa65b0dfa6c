"""What a model's files say of it, before it is loaded."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_architectures
import tiny_models
from isodepth import load_model
from isodepth.errors import ModelError
from isodepth.models import MODELS, as_model, describe_model, load_tokenizer, resolve_model
from isodepth.models.description import ModelDescription, standing_of
from isodepth.models.entries import HubWeights

Copied = Callable[[Path], Path]


def described(folder: Path) -> ModelDescription:
    description = describe_model(resolve_model(folder))
    assert description is not None
    return description


@pytest.mark.parametrize(
    "fixture", ["llama_folder", "gpt2_folder", "gemma_folder", "mamba_folder", "bert_folder"]
)
def test_what_the_files_say_is_what_loading_finds(fixture: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(fixture)
    found, model = described(folder), load_model(folder)
    assert found.n_layers == model.n_layers
    assert found.width == model.width
    assert found.context_length == model.context_length
    assert found.vocabulary_size == tiny_models.N_TOKENS
    assert found.weights_dtype == "float32"
    assert found.has_chat_template is False
    assert found.size_bytes == (folder / "model.safetensors").stat().st_size
    stated = json.loads((folder / "config.json").read_text())
    assert [found.architecture] == stated["architectures"]


def test_weights_in_parts_count_together_and_as_they_are_stored(tmp_path: Path) -> None:
    folder = tiny_models.saved(
        tmp_path / "half",
        lambda: tiny_models.llama().bfloat16(),
        tokenizer=tiny_models.chat_tokenizer(),
    )
    before = described(folder)
    assert before.weights_dtype == "bfloat16"
    assert before.has_chat_template is True
    (folder / "model-2.safetensors").write_bytes(b"0123456")
    assert described(folder).size_bytes == before.size_bytes + 7


@pytest.mark.parametrize("name", ["gemma3", "mllama"])
def test_of_a_vision_model_the_text_part_is_described(name: str, tmp_path: Path) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    with tiny_models.quietly():
        tiny_architectures.made(name).save_pretrained(tmp_path / name)  # type: ignore[operator]
    found = described(tmp_path / name)
    assert (found.n_layers, found.width) == (architecture.n_layers, architecture.width)
    assert found.vocabulary_size == tiny_models.N_TOKENS
    assert found.context_length == tiny_architectures.LIMIT


def test_what_the_configuration_does_not_say_is_unknown(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    (folder / "config.json").write_text('{"model_type": "homemade", "num_hidden_layers": "many"}')
    (folder / "tokenizer_config.json").unlink()
    found = described(folder)
    assert found.architecture == "homemade"
    assert (found.n_layers, found.width, found.context_length, found.vocabulary_size) == (None,) * 4
    assert found.weights_dtype is None
    assert found.has_chat_template is None


def test_names_of_older_configurations_are_read_too(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    old = {"n_layer": 3, "d_model": 34, "n_ctx": 101, "vocab_size": 97, "torch_dtype": "float16"}
    (folder / "config.json").write_text(json.dumps(old))
    found = described(folder)
    assert (found.n_layers, found.width, found.context_length) == (3, 34, 101)
    assert (found.vocabulary_size, found.weights_dtype) == (97, "float16")


@pytest.mark.parametrize("content", ["{", '{"text_config": 7}', '{"text_config": [1]}'])
def test_a_configuration_that_cannot_be_read_is_refused_by_its_path(
    content: str, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    source = resolve_model(folder)
    (folder / "config.json").write_text(content)
    with pytest.raises(ModelError, match="cannot be read as a model's configuration") as caught:
        describe_model(source)
    assert str(folder / "config.json") in caught.value.message


def test_a_gguf_file_is_described_once_it_is_converted(tmp_path: Path) -> None:
    path = tiny_models.written_gguf(tmp_path / "tiny.gguf", chat_template="{{ messages }}")
    assert describe_model(resolve_model(path)) is None
    load_model(path)
    found = described(path)
    assert (found.n_layers, found.width) == (tiny_models.GGUF_LAYERS, tiny_models.GGUF_WIDTH)
    assert found.context_length == tiny_models.GGUF_CONTEXT
    assert found.vocabulary_size == len(tiny_models.GGUF_TOKENS)
    assert found.has_chat_template is True
    assert found.size_bytes > 0


def test_an_adapted_model_is_described_by_its_base_and_its_own_chat_template(
    lora_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    tiny_models.chat_tokenizer().save_pretrained(folder)
    found = described(folder)
    assert (found.n_layers, found.width, found.architecture) == (5, 26, "LlamaForCausalLM")
    assert found.has_chat_template is True


def test_offline_models_that_are_not_here_are_not_described() -> None:
    for name in ("gemma-3-270m", "smollm2-135m-instruct"):
        assert describe_model(resolve_model(name)) is None
        assert standing_of(MODELS[name].weights) == "not here, fetched at first use"


def test_a_model_in_memory_has_no_files_to_describe(llama_folder: Path) -> None:
    tokenizer = load_tokenizer(llama_folder)
    model = as_model(tiny_models.llama().eval(), tokenizer, name="mine")
    assert describe_model(resolve_model(model)) is None


def test_where_a_hub_model_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    weights = HubWeights(repository="owner/tiny")
    assert standing_of(weights) == "not here, fetched at first use"
    cache = tmp_path / "hub" / "models--owner--tiny"
    files = cache / "snapshots" / "abc"
    files.mkdir(parents=True)
    (files / "config.json").write_text("{}")
    (files / "model.safetensors").write_bytes(b"")
    assert standing_of(weights) == "not here, fetched at first use"
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("abc")
    assert standing_of(weights) == "here, in the hub's cache"
    (files / "model.safetensors").unlink()
    assert standing_of(weights) == "not here, fetched at first use"


@pytest.mark.parametrize("name", tiny_architectures.ARCHITECTURES)
def test_whatever_the_architecture_layers_width_and_vocabulary_are_found(
    name: str, tmp_path: Path
) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    architecture.config().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    found = described(tmp_path)
    # Nemotron-H lists the kinds of its blocks and does not say how many there are
    n_layers = None if name == "nemotron_h" else architecture.n_layers
    assert (found.n_layers, found.width) == (n_layers, architecture.width)
    assert found.vocabulary_size == tiny_models.N_TOKENS
