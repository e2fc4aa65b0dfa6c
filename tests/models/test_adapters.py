"""PEFT adapters: the body reads what the whole PEFT model reads, and what does not fit is refused."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import isodepth
import tiny_models
from isodepth import extract, load_model
from isodepth.errors import ModelError
from isodepth.models import as_model, load_tokenizer
from isodepth.models.gguf import converted_folder

Copied = Callable[[Path], Path]
TEXTS = tiny_models.texts_of([3, 7, 13, 23])


@pytest.fixture(scope="module")
def tied_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama whose head is its embedding."""
    folder = tmp_path_factory.mktemp("models") / "tied-llama"
    return tiny_models.saved(folder, tie_word_embeddings=True)


def slow_block_outputs(base: Path, adapter: Path, texts: Sequence[str]) -> np.ndarray:
    """Return (layers, texts, units) at the last token: the whole PEFT model, by hooks of our own."""
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model = peft.PeftModel.from_pretrained(whole, adapter).eval()
    tokenizer = load_tokenizer(base)
    (blocks,) = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and name.endswith((".layers", ".h"))
    ]
    seen: list[torch.Tensor] = []
    handles = [
        block.register_forward_hook(
            lambda module, inputs, output: seen.append(
                (output if isinstance(output, torch.Tensor) else output[0])[0, -1].clone()
            )
        )
        for block in blocks
    ]
    rows = []
    for text in texts:
        seen.clear()
        with torch.inference_mode():
            model(input_ids=torch.tensor([tokenizer(text)["input_ids"]]), use_cache=False)
        rows.append(torch.stack(seen).numpy())
    for handle in handles:
        handle.remove()
    return np.stack(rows, axis=1)


def ia3(**changes: Any) -> peft.IA3Config:
    settings = {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"]}
    return peft.IA3Config(**{**settings, "task_type": "CAUSAL_LM", **changes})


ADAPTERS: dict[str, Callable[[], Any]] = {
    "LoRA": tiny_models.lora,
    "LoRA of all linear layers": lambda: tiny_models.lora(target_modules="all-linear"),
    "LoRA of two blocks": lambda: tiny_models.lora(layers_to_transform=[1, 3]),
    "LoRA with biases": lambda: tiny_models.lora(bias="all"),
    "rank-stabilized LoRA": lambda: tiny_models.lora(use_rslora=True),
    "DoRA": lambda: tiny_models.lora(use_dora=True),
    "LoRA of the embedding": lambda: tiny_models.lora(target_modules=["embed_tokens", "q_proj"]),
    "IA3": ia3,
    "LoHa": lambda: peft.LoHaConfig(r=3, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    "a whole embedding": lambda: tiny_models.lora(modules_to_save=["embed_tokens"]),
    "a whole norm": lambda: tiny_models.lora(modules_to_save=["input_layernorm"]),
    "some tokens": lambda: tiny_models.lora(trainable_token_indices=[5, 7, 11]),
    "only some tokens": lambda: peft.TrainableTokensConfig(
        token_indices=[5, 7, 11], task_type="CAUSAL_LM"
    ),
}


@pytest.mark.parametrize("kind", ADAPTERS)
@pytest.mark.parametrize("tied", [False, True])
def test_the_body_reads_what_the_whole_adapted_model_reads(
    kind: str, tied: bool, llama_folder: Path, tied_folder: Path, tmp_path: Path
) -> None:
    base = tied_folder if tied else llama_folder
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", base, ADAPTERS[kind]())
    texts = [*TEXTS, " ".join(tiny_models.VOCABULARY[token] for token in (5, 7, 11))]
    model = load_model(base, adapter=adapter)
    assert (model.n_layers, model.width) == (5, 26)
    assert model.provenance["architecture"] == "LlamaModel"
    found = extract(model, texts).values
    expected = slow_block_outputs(base, adapter, texts)
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5
    plain = extract(load_model(base), texts).values
    assert tiny_models.largest_relative_difference(found[-1], plain[-1]) > 1e-2


@pytest.mark.parametrize("tied", [False, True])
def test_an_adapter_of_the_head_besides_changes_nothing_in_the_body(
    tied: bool, llama_folder: Path, tied_folder: Path, tmp_path: Path
) -> None:
    base = tied_folder if tied else llama_folder
    config = tiny_models.lora(target_modules=["q_proj", "lm_head"])
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", base, config)
    weights = load_file(adapter / "adapter_model.safetensors")
    assert any("lm_head" in name for name in weights)
    found = extract(load_model(base, adapter=adapter), TEXTS).values
    expected = slow_block_outputs(base, adapter, TEXTS)
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5


def test_gpt2_with_its_transposed_layers_can_be_adapted(gpt2_folder: Path, tmp_path: Path) -> None:
    config = tiny_models.lora(target_modules=["c_attn"], fan_in_fan_out=True)
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", gpt2_folder, config)
    model = load_model(adapter)
    assert model.n_layers == 3
    found = extract(model, TEXTS).values
    expected = slow_block_outputs(gpt2_folder, adapter, TEXTS)
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5


def test_an_adapter_that_was_saved_with_the_embedding_beside_it_can_be_read(
    llama_folder: Path, tmp_path: Path
) -> None:
    model = tiny_models.adapted(llama_folder, tiny_models.lora())
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(1.7)
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    assert any(
        "embed" in name for name in load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    )
    found = extract(load_model(tmp_path / "adapter"), TEXTS).values
    expected = slow_block_outputs(llama_folder, tmp_path / "adapter", TEXTS)
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5


def test_an_adapter_with_more_tokens_than_its_base_is_refused(
    llama_folder: Path, tmp_path: Path
) -> None:
    longer = tiny_models.saved(tmp_path / "longer", vocab_size=101)
    config = tiny_models.lora(modules_to_save=["embed_tokens"])
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", longer, config)
    refused(llama_folder, adapter, "the adapter does not fit the base")


def test_a_gguf_model_can_be_adapted(tmp_path: Path) -> None:
    gguf = tiny_models.written_gguf(tmp_path / "tiny.gguf")
    base = load_model(gguf)
    folder = converted_folder(tiny_models.sha256(gguf))
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", folder, tiny_models.lora())
    model = load_model(f"{gguf}(adapter={adapter})")
    assert model.name == "tiny + adapter"
    assert model.digest.startswith(f"{base.digest} + adapter folder:")
    texts = ["hello", "other words", "a third"]
    found = extract(model, texts).values
    expected = slow_block_outputs(folder, adapter, texts)
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5
    assert tiny_models.largest_relative_difference(found, extract(base, texts).values) > 1e-2


def body_adapter(folder: Path, base: Path, target: str) -> Path:
    """Return the folder after saving a random LoRA on the model without its head there."""
    config = peft.LoraConfig(
        r=3, target_modules=[target], task_type="FEATURE_EXTRACTION", init_lora_weights=False
    )
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = transformers.AutoModel.from_pretrained(base, dtype=torch.float32)
        torch.manual_seed(37)
        peft.get_peft_model(body, config).save_pretrained(folder)
    return folder


def test_an_adapter_that_was_trained_without_a_head_can_be_read(
    llama_folder: Path, tmp_path: Path
) -> None:
    adapter = body_adapter(tmp_path / "adapter", llama_folder, "q_proj")
    found = extract(load_model(adapter), TEXTS).values
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        body = transformers.AutoModel.from_pretrained(llama_folder, dtype=torch.float32)
        whole = peft.PeftModel.from_pretrained(body, adapter).eval()
    expected = extract(as_model(whole, load_tokenizer(llama_folder), name="whole"), TEXTS).values
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5


def test_a_sentence_models_adapter_can_be_read(bert_folder: Path, tmp_path: Path) -> None:
    adapter = body_adapter(tmp_path / "adapter", bert_folder, "query")
    model = load_model(adapter)
    assert not model.is_causal
    plain = extract(load_model(bert_folder), TEXTS, pooling="mean").values
    found = extract(model, TEXTS, pooling="mean").values
    assert tiny_models.largest_relative_difference(found, plain) > 1e-2


def test_a_base_that_was_saved_without_its_head_can_be_adapted(
    llama_folder: Path, lora_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    weights = load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_model(folder).n_layers == 5
    found = extract(load_model(folder, adapter=lora_folder), TEXTS).values
    np.testing.assert_array_equal(found, extract(load_model(lora_folder), TEXTS).values)


def test_label_digest_and_source_of_an_adapted_model(lora_folder: Path, llama_folder: Path) -> None:
    model, base = load_model(lora_folder), load_model(llama_folder)
    assert model.name == "tiny-llama + tiny-lora"
    assert model.digest.startswith(f"{base.digest} + adapter folder:")
    again = load_model(f"{llama_folder}(adapter={lora_folder})")
    assert (again.name, again.digest) == (model.name, model.digest)


def test_an_adapter_can_be_put_on_in_16_bits(lora_folder: Path, llama_folder: Path) -> None:
    exact = extract(load_model(lora_folder), TEXTS).values
    model = load_model(lora_folder, dtype="bfloat16")
    assert model.provenance["dtype"] == "bfloat16"
    found = extract(model, TEXTS).values
    difference = tiny_models.largest_relative_difference(found, exact)
    assert 1e-4 < difference < 0.3
    plain = extract(load_model(llama_folder), TEXTS).values
    assert tiny_models.largest_relative_difference(found[-1], plain[-1]) > difference


def test_an_adapter_can_be_put_on_a_quantized_base(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes comes with the extra 'quantization'")
    base = tiny_models.saved(
        tmp_path / "wide",
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=16,
        initializer_range=0.1,
    )
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", base, tiny_models.lora())
    model = load_model(adapter, quantization="4bit")
    assert model.name == "wide + adapter (4bit)"
    found = extract(model, TEXTS).values
    plain = extract(load_model(base, quantization="4bit"), TEXTS).values
    exact = extract(load_model(adapter), TEXTS).values
    to_exact = tiny_models.largest_relative_difference(found, exact)
    assert to_exact > 1e-3
    assert np.linalg.norm(found - exact) < np.linalg.norm(plain - exact)


@pytest.mark.usefixtures("few_relabellings")
def test_base_against_adapter_can_be_compared_and_differs(
    lora_folder: Path, llama_folder: Path
) -> None:
    texts = tiny_models.texts_of(range(5, 34))
    compared = isodepth.compare(str(llama_folder), str(lora_folder), texts, k=5)
    assert (compared.left.model, compared.right.model) == ("tiny-llama", "tiny-llama + tiny-lora")
    values = compared.affinity.values
    assert values.shape == (5, 5)
    same = isodepth.compare(str(llama_folder), str(llama_folder), texts, k=5).affinity.values
    np.testing.assert_array_equal(np.diag(same), 1)
    assert (np.diag(values) < 1).any()
    assert (np.diag(values) > 0).all()
    again = isodepth.compare(str(llama_folder), str(lora_folder), texts, k=5)
    np.testing.assert_array_equal(again.affinity.values, values)  # the base's are not the adapter's


# its tokenizer


def test_the_adapters_own_tokenizer_and_chat_template_are_used(
    lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    tiny_models.chat_tokenizer(bos=False).save_pretrained(folder)
    base, model = load_model(llama_folder), load_model(folder)
    assert base.tokenizer.chat_template is None
    assert model.tokenizer.chat_template == tiny_models.CHAT_TEMPLATE
    assert base.tokenizer("w3 w4")["input_ids"] == [tiny_models.BOS, 6, 7]
    assert model.tokenizer("w3 w4")["input_ids"] == [6, 7]
    assert model.digest != load_model(lora_folder).digest
    read = extract(model, ["w3 w4", "w5", "w6 w7 w8"], chat=True)
    assert read.provenance["encoding"]["chat_template"] is not None


def test_without_one_the_bases_tokenizer_is_used(lora_folder: Path) -> None:
    assert not (lora_folder / "tokenizer_config.json").exists()
    assert load_model(lora_folder).tokenizer("w3 w4")["input_ids"] == [tiny_models.BOS, 6, 7]


# what does not fit


def refused(base: Path, adapter: Path, match: str) -> ModelError:
    with pytest.raises(ModelError, match=match) as caught:
        load_model(base, adapter=adapter)
    assert caught.value.message.startswith(f"{base.name} + {adapter.name}: ")
    return caught.value


def test_an_adapter_of_a_base_of_another_width_is_refused(lora_folder: Path, tmp_path: Path) -> None:
    other = tiny_models.saved(tmp_path / "other", hidden_size=34)
    error = refused(other, lora_folder, "the adapter does not fit the base")
    assert error.hint == "pass the base that the adapter was trained on."


def test_an_adapter_of_another_architecture_is_refused(lora_folder: Path, gpt2_folder: Path) -> None:
    refused(gpt2_folder, lora_folder, "the adapter does not fit the base")


def test_an_adapter_of_a_base_with_more_layers_is_refused(lora_folder: Path, tmp_path: Path) -> None:
    other = tiny_models.saved(tmp_path / "other", num_hidden_layers=3)
    error = refused(other, lora_folder, "weights in the adapter but not in the base: ")
    # queries and the way out of the MLP, two matrices each, in two blocks
    assert "8 weights" in error.message
    assert "layers.3.mlp.down_proj.lora_A.weight" in error.message
    assert "and 3 more" in error.message


def test_an_adapter_of_a_base_with_fewer_layers_is_refused(lora_folder: Path, tmp_path: Path) -> None:
    other = tiny_models.saved(tmp_path / "other", num_hidden_layers=7)
    error = refused(other, lora_folder, "weights expected by the base but not in the adapter: ")
    assert "8 weights" in error.message
    assert "layers.5.mlp.down_proj.lora_A.weight" in error.message


@pytest.mark.parametrize("kind", ["lora_A", "lora_B"])
def test_a_weight_that_the_adapters_file_lacks_is_refused_not_made_up(
    kind: str, lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    weights = load_file(folder / "adapter_model.safetensors")
    (gone,) = [name for name in weights if f"layers.2.self_attn.q_proj.{kind}" in name]
    del weights[gone]
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    error = refused(llama_folder, folder, "1 weight expected by the base but not in the adapter")
    assert gone in error.message


def test_a_weight_too_many_is_refused(lora_folder: Path, llama_folder: Path, copied: Copied) -> None:
    folder = copied(lora_folder)
    weights = load_file(folder / "adapter_model.safetensors")
    name = "base_model.model.model.layers.2.self_attn.k_proj.lora_A.weight"
    weights[name] = torch.ones(3, 26)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    error = refused(llama_folder, folder, "1 weight in the adapter but not in the base")
    assert name in error.message


def test_damaged_weights_of_an_adapter_are_refused(
    lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-101])
    with pytest.raises(ModelError):
        load_model(llama_folder, adapter=folder)


@pytest.mark.parametrize(
    "settings", [{"peft_type": "HOMEMADE"}, {"peft_type": None}, {"target_modules": ["no_such_layer"]}]
)
def test_an_adapters_configuration_that_peft_cannot_use_is_refused(
    settings: dict[str, Any], lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    tiny_models.edited_json(folder / "adapter_config.json", **settings)
    with pytest.raises(ModelError) as caught:
        load_model(llama_folder, adapter=folder)
    assert "tiny-lora" in caught.value.message


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (
            lambda: peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
            "PROMPT_TUNING",
        ),
        (lambda: peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"), "PREFIX_TUNING"),
        (
            lambda: peft.PromptEncoderConfig(
                num_virtual_tokens=3, encoder_hidden_size=7, task_type="CAUSAL_LM"
            ),
            "P_TUNING",
        ),
        (lambda: tiny_models.lora(alora_invocation_tokens=[5, 7]), "activated LoRA"),
    ],
)
def test_adapters_that_act_outside_the_layers_are_refused(
    config: Callable[[], Any], kind: str, llama_folder: Path, tmp_path: Path
) -> None:
    adapter = tiny_models.saved_adapter(tmp_path / "adapter", llama_folder, config())
    error = refused(llama_folder, adapter, "which acts outside the model's layers")
    assert f"the adapter is of kind {kind}," in error.message
    assert "LoRA, DoRA, IA3" in str(error.hint)


def test_an_adaption_prompt_is_refused(llama_folder: Path, tmp_path: Path) -> None:
    config = peft.AdaptionPromptConfig(adapter_len=3, adapter_layers=2, task_type="CAUSAL_LM")
    with tiny_models.quietly():
        config.save_pretrained(tmp_path / "adapter")
    tiny_models.edited_json(
        tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=str(llama_folder)
    )
    save_file({"x": torch.ones(2)}, tmp_path / "adapter" / "adapter_model.safetensors")
    error = refused(llama_folder, tmp_path / "adapter", "which acts outside the model's layers")
    assert "ADAPTION_PROMPT" in error.message


def test_loading_an_adapter_prints_nothing_and_warns_of_nothing(
    lora_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load_model(lora_folder)  # warnings are errors in these tests
    assert capfd.readouterr() == ("", "")
