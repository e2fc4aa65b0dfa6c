"""Quantized models, through bitsandbytes on the CPU: other activations, said everywhere, contract kept."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from isodepth import as_model, extract, load_model
from isodepth.activations import ExtractionOptions, prepare_extraction
from isodepth.activations.batching import BATCHINGS
from isodepth.errors import MissingPackageError
from isodepth.models import resolve_model
from isodepth.texts import load_texts

QUANTIZATIONS = ("8bit", "4bit")


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose linear layers are of multiples of 64 units, as bitsandbytes wants."""
    return tiny_models.saved(
        tmp_path_factory.mktemp("models") / "wide-llama",
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        num_hidden_layers=3,
        initializer_range=0.1,
    )


@pytest.fixture(scope="module")
def quantized(wide_folder: Path) -> dict[str, Any]:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes comes with the extra 'quantization'")
    return {kind: load_model(wide_folder, quantization=kind) for kind in QUANTIZATIONS}


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (values / np.linalg.norm(values, axis=-1, keepdims=True) for values in (one, other))
    result: np.ndarray = (one * other).sum(axis=-1)
    return result


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_activations_are_others_and_near_those_of_the_whole_weights(
    kind: str, quantized: dict[str, Any], wide_folder: Path
) -> None:
    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    exact = extract(load_model(wide_folder), texts).values
    found = extract(quantized[kind], texts).values
    assert found.shape == exact.shape
    assert found.dtype == np.float32
    difference = tiny_models.largest_relative_difference(found, exact)
    assert difference > 1e-4
    lowest = cosines(found, exact).min()
    assert lowest > {"8bit": 0.99, "4bit": 0.8}[kind]


def test_fewer_bits_are_further_away(quantized: dict[str, Any], wide_folder: Path) -> None:
    import torch

    exact = load_model(wide_folder).body
    ids = torch.arange(3, 20)[None]
    with torch.inference_mode():
        expected = exact(input_ids=ids).last_hidden_state.numpy()
        found = {
            kind: model.body(input_ids=ids).last_hidden_state.float().numpy()
            for kind, model in quantized.items()
        }
    assert cosines(found["4bit"], expected).mean() < cosines(found["8bit"], expected).mean()


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_the_contract_holds_and_says_how_it_is_batched(kind: str, quantized: dict[str, Any]) -> None:
    texts = load_texts(tiny_models.texts_of([3, 5, 7, 11, 13, 17]))
    (extraction,) = prepare_extraction(quantized[kind], texts, ExtractionOptions())
    contract = extraction.contracts[0]
    assert contract.batching in BATCHINGS
    assert contract.batched_against_single <= contract.tolerance
    assert contract.blocks_chained == 0
    assert extraction.provenance(contract)["contract"]["batching"] == contract.batching


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_label_digest_and_provenance_say_it(
    kind: str, quantized: dict[str, Any], wide_folder: Path
) -> None:
    model = quantized[kind]
    assert model.name == f"wide-llama ({kind})"
    assert model.digest == f"{resolve_model(wide_folder).digest} + {kind}"
    assert model.provenance["quantization"] == kind
    assert model.provenance["dtype"] == "float32"
    assert model.provenance["device"] == "cpu"
    linear = {type(module).__name__ for block in model.blocks for module in block.modules()}
    assert {"8bit": "Linear8bitLt", "4bit": "Linear4bit"}[kind] in linear
    assert "Linear" not in linear


def test_both_in_a_name_give_both(wide_folder: Path, quantized: dict[str, Any]) -> None:
    model = load_model(f"{wide_folder}(quantization=4bit, dtype=bfloat16)")
    assert model.name == "wide-llama (bfloat16, 4bit)"
    assert model.provenance["dtype"] == "bfloat16"


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a package seem not to be installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == package else find(name, *rest),
    )


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_without_bitsandbytes_the_extra_is_named(
    kind: str, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("bitsandbytes", monkeypatch)
    with pytest.raises(MissingPackageError, match="bitsandbytes is not installed") as caught:
        load_model(llama_folder, quantization=kind)
    assert caught.value.hint == "pip install 'isodepth[quantization]' brings it."
    assert load_model(llama_folder).n_layers == 5


def test_without_peft_the_extra_is_named(lora_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without("peft", monkeypatch)
    with pytest.raises(MissingPackageError, match="peft is not installed") as caught:
        load_model(lora_folder)
    assert caught.value.hint == "pip install 'isodepth[adapters]' brings it."


@pytest.fixture(scope="module")
def saved_quantized(
    quantized: dict[str, Any], wide_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Folders that hold the quantized weights themselves, saved before a first pass: that packs 4 bits."""
    import transformers

    folders = {}
    for kind, model in quantized.items():
        folders[kind] = tmp_path_factory.mktemp("quantized") / f"saved-{kind}"
        config = model.body.config.quantization_config
        with tiny_models.quietly():
            fresh = transformers.AutoModel.from_pretrained(wide_folder, quantization_config=config)
            fresh.save_pretrained(folders[kind])
            model.tokenizer.save_pretrained(folders[kind])
    return folders


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_a_folder_of_quantized_weights_says_so_and_is_read_as_a_decoder(
    kind: str, saved_quantized: dict[str, Path], quantized: dict[str, Any]
) -> None:
    model = load_model(saved_quantized[kind])
    assert model.provenance["quantization"] == f"bitsandbytes {kind}"
    assert model.provenance["is_exact"] is False
    assert model.is_causal
    assert model.digest != quantized[kind].digest
    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    found, expected = extract(model, texts).values, extract(quantized[kind], texts).values
    assert cosines(found, expected).min() > 0.999


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_a_quantized_object_says_so_and_is_read_as_a_decoder(
    kind: str, quantized: dict[str, Any]
) -> None:
    loaded = quantized[kind]
    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    expected = extract(loaded, texts).values
    model = as_model(loaded.body, loaded.tokenizer, name="mine")  # which leaves the weights as they are
    np.testing.assert_array_equal(extract(loaded, texts).values, expected)
    assert model.provenance["quantization"] == f"bitsandbytes {kind}"
    assert model.provenance["is_exact"] is False
    assert model.is_causal
    np.testing.assert_array_equal(extract(model, texts).values, expected)
    other = quantized[{"8bit": "4bit", "4bit": "8bit"}[kind]]
    assert model.digest != as_model(other.body, other.tokenizer, name="mine").digest


def test_whole_weights_are_exact_and_not_quantized(wide_folder: Path) -> None:
    for dtype, is_exact in (("float32", True), ("bfloat16", False)):
        provenance = load_model(wide_folder, dtype=dtype).provenance
        assert (provenance["quantization"], provenance["is_exact"]) == (None, is_exact)
