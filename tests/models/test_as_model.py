"""Model objects that are in memory already: read as loaded ones are, and identified by what they hold."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers

import tiny_models
from isodepth import compare, extract, load_model
from isodepth.errors import ModelError
from isodepth.models import as_model, load_tokenizer, resolve_model

TEXTS = tiny_models.texts_of([3, 7, 13, 23])


def whole(folder: Path, kind: Any = transformers.AutoModelForCausalLM, **settings: Any) -> Any:
    with tiny_models.quietly():
        return kind.from_pretrained(folder, dtype=torch.float32, **settings).eval()


def with_adapter(base: Path, adapter: Path) -> Any:
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's use of what transformers deprecates
        return peft.PeftModel.from_pretrained(whole(base), adapter).eval()


def digest_of(model: Any, tokenizer: Any = None) -> str:
    return as_model(model, tokenizer or tiny_models.tiny_tokenizer(), name="mine").digest


@pytest.mark.parametrize("fixture", ["llama_folder", "gpt2_folder", "mamba_folder", "gemma_folder"])
@pytest.mark.parametrize("kind", [transformers.AutoModelForCausalLM, transformers.AutoModel])
def test_activations_are_those_of_the_same_weights_loaded(
    fixture: str, kind: Any, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(fixture)
    loaded = load_model(folder)
    model = as_model(whole(folder, kind), load_tokenizer(folder), name="mine")
    assert (model.n_layers, model.width, model.context_length, model.is_causal) == (
        loaded.n_layers,
        loaded.width,
        loaded.context_length,
        loaded.is_causal,
    )
    assert type(model.body) is type(loaded.body)
    assert model.provenance["parameters"] == loaded.provenance["parameters"]
    assert model.provenance["source"] == "memory"
    found, expected = extract(model, TEXTS), extract(loaded, TEXTS)
    assert found.model == "mine"
    assert found.model_digest == model.digest
    np.testing.assert_array_equal(found.values, expected.values)


def test_the_model_is_not_copied(llama_folder: Path) -> None:
    given = whole(llama_folder)
    model = as_model(given, load_tokenizer(llama_folder), name="mine")
    assert model.body is given.model
    assert all(block is layer for block, layer in zip(model.blocks, given.model.layers, strict=True))


def test_an_adapted_model_reads_as_the_adapter_loaded(lora_folder: Path, llama_folder: Path) -> None:
    adapted = with_adapter(llama_folder, lora_folder)
    model = as_model(adapted, load_tokenizer(llama_folder), name="mine")
    found = extract(model, TEXTS).values
    np.testing.assert_array_equal(found, extract(load_model(lora_folder), TEXTS).values)
    plain = as_model(whole(llama_folder), load_tokenizer(llama_folder), name="mine")
    assert model.digest != plain.digest
    assert tiny_models.largest_relative_difference(found, extract(plain, TEXTS).values) > 1e-2


def test_an_adapter_that_is_switched_off_is_another_model(
    lora_folder: Path, llama_folder: Path
) -> None:
    adapted = with_adapter(llama_folder, lora_folder)
    tokenizer = load_tokenizer(llama_folder)
    on = as_model(adapted, tokenizer, name="mine").digest
    adapted.base_model.disable_adapter_layers()
    off = as_model(adapted, tokenizer, name="mine")
    expected = extract(load_model(llama_folder), TEXTS).values
    np.testing.assert_array_equal(extract(off, TEXTS).values, expected)
    assert off.digest != on  # the store must not give the one's activations for the other's


@pytest.mark.parametrize("what", ["scale", "active adapter"])
def test_how_an_adapter_acts_belongs_to_the_identity_beside_its_weights(
    what: str, lora_folder: Path, llama_folder: Path
) -> None:
    adapted = with_adapter(llama_folder, lora_folder)
    with tiny_models.quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted.load_adapter(lora_folder, "other")
        other = dict(adapted.named_parameters())
        with torch.no_grad():
            for name, parameter in other.items():
                if ".other." in name:
                    parameter.mul_(2)
    adapted.eval()
    tokenizer = load_tokenizer(llama_folder)
    before = as_model(adapted, tokenizer, name="mine")
    values = extract(before, TEXTS).values
    if what == "scale":
        for module in adapted.modules():
            if isinstance(getattr(module, "scaling", None), dict):
                module.scaling["default"] *= 3.0
    else:
        adapted.set_adapter("other")
    after = as_model(adapted.eval(), tokenizer, name="mine")
    difference = tiny_models.largest_relative_difference(extract(after, TEXTS).values, values)
    assert difference > 1e-2  # else there would be nothing to tell apart
    assert after.digest != before.digest


def alora() -> Any:
    return tiny_models.lora(alora_invocation_tokens=[5, 7])


def prompt() -> Any:
    return peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")


@pytest.mark.parametrize("make", [prompt, alora])
def test_an_adapter_that_acts_outside_the_layers_is_refused(
    make: Callable[[], Any], llama_folder: Path
) -> None:
    adapted = tiny_models.adapted(llama_folder, make())
    with pytest.raises(
        ModelError, match="mine: the adapter is of kind .*, which acts outside the model's layers"
    ):
        as_model(adapted, load_tokenizer(llama_folder), name="mine")


# identity


def test_the_digest_is_that_of_what_the_model_holds(llama_folder: Path) -> None:
    first = digest_of(whole(llama_folder))
    assert first.startswith("memory:")
    assert len(first) == len("memory:") + 64
    assert digest_of(whole(llama_folder)) == first


def test_where_the_weights_were_loaded_from_does_not_change_the_digest(
    llama_folder: Path, copied: Callable[[Path], Path]
) -> None:
    assert digest_of(whole(copied(llama_folder))) == digest_of(whole(llama_folder))


def nudge(model: Any, name: str) -> None:
    with torch.no_grad():
        parameter = model.get_parameter(name)
        parameter.view(-1)[-1] = torch.nextafter(parameter.view(-1)[-1], torch.tensor(torch.inf))


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.4.mlp.up_proj.weight"])
def test_the_last_bit_of_a_weight_changes_the_digest(name: str, llama_folder: Path) -> None:
    model = whole(llama_folder)
    before = digest_of(model)
    nudge(model, name)
    assert digest_of(model) != before


def test_the_number_format_changes_the_digest(llama_folder: Path) -> None:
    assert digest_of(whole(llama_folder).bfloat16()) != digest_of(whole(llama_folder))


def test_the_configuration_changes_the_digest(llama_folder: Path) -> None:
    changed = whole(llama_folder, rms_norm_eps=1e-3)
    assert digest_of(changed) != digest_of(whole(llama_folder))


def test_the_attention_changes_the_digest(llama_folder: Path) -> None:
    eager = whole(llama_folder, attn_implementation="eager")
    sdpa = whole(llama_folder, attn_implementation="sdpa")
    assert digest_of(eager) != digest_of(sdpa)


def test_the_tokenizer_changes_the_digest(llama_folder: Path) -> None:
    model = whole(llama_folder)
    tokenizers = [
        tiny_models.tiny_tokenizer(),
        tiny_models.tiny_tokenizer(bos=False),
        tiny_models.chat_tokenizer(),
        tiny_models.chat_tokenizer(tiny_models.CHAT_TEMPLATE + " "),
    ]
    digests = [digest_of(model, tokenizer) for tokenizer in tokenizers]
    assert len(set(digests)) == len(digests)
    assert digest_of(model, tiny_models.tiny_tokenizer()) == digests[0]


def test_a_digest_that_is_given_is_taken(llama_folder: Path) -> None:
    model = as_model(
        whole(llama_folder), load_tokenizer(llama_folder), name="mine", digest="epoch 3 of run 7"
    )
    assert model.digest == "epoch 3 of run 7"


# what is refused


def test_a_model_in_training_mode_is_refused_also_in_part(llama_folder: Path) -> None:
    model = whole(llama_folder)
    for part in (model, model.model.layers[3].mlp):
        model.eval()
        part.train()
        with pytest.raises(ModelError, match="mine is in training mode") as caught:
            as_model(model, load_tokenizer(llama_folder), name="mine")
        assert caught.value.hint == "call its .eval() first."


def test_a_module_that_is_no_transformers_model_is_refused() -> None:
    module = torch.nn.Sequential(torch.nn.Embedding(97, 13), torch.nn.Linear(13, 13)).eval()
    with pytest.raises(ModelError, match=r"mine \(Sequential\) is no transformers model") as caught:
        as_model(module, tiny_models.tiny_tokenizer(), name="mine")
    assert "encoders with --pooling mean" in str(caught.value.hint)


def test_an_encoder_decoder_is_refused() -> None:
    model = tiny_models.t5().eval()
    with pytest.raises(ModelError, match=r"mine \(T5Model\) is an encoder-decoder model"):
        as_model(model, tiny_models.tiny_tokenizer(), name="mine")


def test_wrapping_prints_nothing_and_leaves_no_hooks(
    llama_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = whole(llama_folder)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_model(model, load_tokenizer(llama_folder), name="mine")
    assert capfd.readouterr() == ("", "")
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize(
    "module", [torch.nn.Linear(13, 13), torch.nn.ModuleList([torch.nn.Linear(13, 13)])]
)
def test_a_bare_module_is_refused(module: torch.nn.Module) -> None:
    kind = type(module).__name__
    with pytest.raises(ModelError) as caught:
        as_model(module.eval(), tiny_models.tiny_tokenizer(), name="mine")
    assert caught.value.message == f"mine ({kind}) is no transformers model"
    assert "isodepth reads decoder language models" in str(caught.value.hint)


@pytest.mark.parametrize(("tokenizer", "kind"), [(None, "NoneType"), ("gpt2", "str")])
def test_what_is_no_tokenizer_is_refused(tokenizer: Any, kind: str, llama_folder: Path) -> None:
    for digest in (None, "given"):
        with pytest.raises(ModelError) as caught:
            as_model(whole(llama_folder), tokenizer, name="mine", digest=digest)
        assert caught.value.message == f"mine: expected a transformers tokenizer; got {kind}"
        assert caught.value.hint == "pass the tokenizer that the model was trained with."


# what the weights do not tell


def forward_hook(model: Any) -> None:
    model.model.layers[2].register_forward_hook(lambda module, inputs, output: 2 * output)


def forward_pre_hook(model: Any) -> None:
    model.model.layers[2].register_forward_pre_hook(lambda module, inputs: None)


def replaced_forward(model: Any) -> None:
    layer = model.model.layers[2]
    original = layer.forward
    layer.forward = lambda *given, **named: 2 * original(*given, **named)


@pytest.mark.parametrize("change", [forward_hook, forward_pre_hook, replaced_forward])
def test_what_is_put_onto_a_model_must_be_identified_by_who_did_it(
    change: Callable[[Any], None], llama_folder: Path
) -> None:
    model, tokenizer = whole(llama_folder), load_tokenizer(llama_folder)
    change(model)
    with pytest.raises(ModelError) as caught:
        as_model(model, tokenizer, name="mine")
    assert caught.value.message == (
        "mine: hooks or a replaced forward function stand on model.layers.2, so the weights do not "
        "identify what it computes"
    )
    assert caught.value.hint == (
        "pass as_model(..., digest=...) with a text that identifies model and changes."
    )
    assert as_model(model, tokenizer, name="mine", digest="doubled").digest == "doubled"


def test_a_hook_on_the_model_itself_is_told_as_such(llama_folder: Path) -> None:
    model = whole(llama_folder)
    model.register_forward_hook(lambda module, inputs, output: output)
    with pytest.raises(ModelError, match="function stand on the model itself, so the weights"):
        digest_of(model)


def test_hooks_of_transformers_and_peft_are_theirs(lora_folder: Path, llama_folder: Path) -> None:
    model, adapted = whole(llama_folder), with_adapter(llama_folder, lora_folder)
    before = digest_of(model), digest_of(adapted)
    for one in (model, adapted):
        one.enable_input_require_grads()
        assert any(part._forward_hooks for part in one.modules())
    assert (digest_of(model), digest_of(adapted)) == before


def test_a_buffer_that_is_not_saved_changes_the_digest(llama_folder: Path) -> None:
    model = whole(llama_folder)
    before = digest_of(model)
    assert "model.rotary_emb.inv_freq" not in model.state_dict()
    with torch.no_grad():
        model.get_buffer("model.rotary_emb.inv_freq").mul_(0.5)
    assert digest_of(model) != before


def test_how_much_a_tokenizer_takes_changes_the_digest(llama_folder: Path) -> None:
    model, tokenizer = whole(llama_folder), tiny_models.tiny_tokenizer()
    before = digest_of(model, tokenizer)
    tokenizer.model_max_length = 53
    assert digest_of(model, tokenizer) != before


def test_what_a_call_of_the_tokenizer_leaves_behind_does_not_change_the_digest(
    llama_folder: Path,
) -> None:
    model, tokenizer = whole(llama_folder), tiny_models.tiny_tokenizer()
    before = digest_of(model, tokenizer)
    tokenizer(TEXTS, padding="max_length", truncation=True, max_length=5)
    assert tokenizer.backend_tokenizer.truncation is not None
    assert tokenizer.backend_tokenizer.padding is not None
    assert digest_of(model, tokenizer) == before


@pytest.mark.parametrize("how", ["no_grad", "optimizer", "load_state_dict", "buffer"])
def test_weights_changed_afterwards_are_refused_until_identified_anew(
    how: str, llama_folder: Path
) -> None:
    given, tokenizer = whole(llama_folder), load_tokenizer(llama_folder)
    model = as_model(given, tokenizer, name="mine")
    assert resolve_model(model).digest == model.digest
    weight = given.get_parameter("model.layers.3.mlp.up_proj.weight")
    if how == "no_grad":
        nudge(given, "model.layers.3.mlp.up_proj.weight")
    elif how == "optimizer":
        weight.grad = torch.ones_like(weight)
        torch.optim.SGD([weight], lr=0.1).step()
    elif how == "load_state_dict":
        given.load_state_dict({name: 2 * values for name, values in given.state_dict().items()})
    else:
        given.get_buffer("model.rotary_emb.inv_freq").mul_(0.5)
    for read in (lambda: resolve_model(model), lambda: compare(model, llama_folder, TEXTS, k=1)):
        with pytest.raises(ModelError) as caught:
            read()
        assert caught.value.message == ("mine: it was changed since as_model() identified it")
        assert "call as_model() again" in str(caught.value.hint)
    again = as_model(given, tokenizer, name="mine")
    assert again.digest != model.digest
    assert resolve_model(again).digest == again.digest


def test_extracting_from_changed_weights_is_refused_too(llama_folder: Path) -> None:
    given = whole(llama_folder)
    model = as_model(given, load_tokenizer(llama_folder), name="mine")
    nudge(given, "model.layers.3.mlp.up_proj.weight")
    with pytest.raises(ModelError, match="mine: it was changed since as_model"):
        extract(model, TEXTS)


def test_reading_a_model_does_not_count_as_changing_it(llama_folder: Path) -> None:
    model = as_model(whole(llama_folder), load_tokenizer(llama_folder), name="mine")
    extract(model, TEXTS)
    compare(model, llama_folder, TEXTS, k=1)
    assert resolve_model(model).digest == model.digest


def test_a_model_in_float64_reads_as_in_float32_but_for_rounding(llama_folder: Path) -> None:
    tokenizer = load_tokenizer(llama_folder)
    double = as_model(whole(llama_folder).double(), tokenizer, name="mine")
    assert double.provenance["dtype"] == "float64"
    assert double.is_causal
    found, expected = extract(double, TEXTS).values, extract(load_model(llama_folder), TEXTS).values
    assert 0 < tiny_models.largest_relative_difference(found, expected) < 1e-4
