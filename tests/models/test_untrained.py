"""Untrained copies: the model's shape and tokenizer, and weights that a seed draws and nothing else."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_architectures
import tiny_models
from isodepth import extract, load_model
from isodepth.errors import ParameterError
from isodepth.models import LoadingOptions, resolve_model
from isodepth.models.bodies import model_around
from isodepth.models.resolution import unread_model
from isodepth.models.untrained import untrained_model

TEXTS = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
PLAIN = {"dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False}


def same_weights(one: Any, other: Any) -> bool:
    left, right = one.body.state_dict(), other.body.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_a_seed_draws_the_same_weights_whatever_was_drawn_before(llama_folder: Path) -> None:
    torch.manual_seed(3)
    first = load_model(llama_folder, untrained=0)
    torch.manual_seed(5)
    torch.rand(7)
    again = load_model(f"{llama_folder}(untrained=0)")
    assert same_weights(again, first)
    np.testing.assert_array_equal(extract(again, TEXTS).values, extract(first, TEXTS).values)


def test_what_torch_draws_next_does_not_change(llama_folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(11)
    torch.manual_seed(3)
    load_model(llama_folder, untrained=0)
    assert torch.equal(torch.rand(11), expected)


def test_seeds_differ_from_each_other_and_from_the_trained_weights(llama_folder: Path) -> None:
    models = [load_model(llama_folder, untrained=seed) for seed in (None, 0, 1)]
    assert len({model.digest for model in models}) == 3
    for number, one in enumerate(models):
        for other in models[number + 1 :]:
            weights = (
                model.body.get_parameter("layers.2.mlp.up_proj.weight") for model in (one, other)
            )
            left, right = (each.detach().flatten() for each in weights)
            assert abs(float(torch.corrcoef(torch.stack([left, right]))[0, 1])) < 0.2


def test_shape_and_tokenizer_are_the_models(gemma_folder: Path) -> None:
    trained, drawn = load_model(gemma_folder), load_model(gemma_folder, untrained=2)
    assert (drawn.n_layers, drawn.width, drawn.context_length) == (
        *(trained.n_layers, trained.width),
        trained.context_length,
    )
    shapes = [
        {key: value.shape for key, value in one.body.state_dict().items()} for one in (trained, drawn)
    ]
    assert shapes[0] == shapes[1]
    assert drawn.tokenizer(TEXTS[3])["input_ids"] == trained.tokenizer(TEXTS[3])["input_ids"]
    assert type(drawn.body) is type(trained.body)
    assert not drawn.body.training


def test_weights_are_drawn_as_the_configuration_says(llama_folder: Path) -> None:
    body = load_model(llama_folder, untrained=0).body
    assert body.config.initializer_range == 0.3
    matrices = torch.cat(
        [values.flatten() for name, values in body.state_dict().items() if "proj" in name]
    )
    assert float(matrices.std()) == pytest.approx(0.3, rel=0.05)
    for name, values in body.named_parameters():
        if "norm" in name:
            assert torch.equal(values, torch.ones_like(values)), name


def test_no_weights_are_read(llama_folder: Path, tmp_path: Path) -> None:
    expected = load_model(llama_folder, untrained=0)
    folder = tiny_models.saved(tmp_path / "tiny-llama", seed=11)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1009])
    assert same_weights(load_model(folder, untrained=0), expected)


def test_fewer_bits_are_the_same_weights_rounded(llama_folder: Path) -> None:
    exact = load_model(llama_folder, untrained=0).body.state_dict()
    model = load_model(llama_folder, untrained=0, dtype="bfloat16")
    for name, values in model.body.state_dict().items():
        assert torch.equal(values, exact[name].bfloat16()), name
    assert model.name == "tiny-llama (bfloat16, untrained, seed 0)"
    # frequencies are no weights: they stay exact
    assert model.body.rotary_emb.inv_freq.dtype == torch.float32


def test_quantized_they_are_near_the_same(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes comes with the extra 'quantization'")
    folder = tiny_models.saved(
        tmp_path / "wide-llama", hidden_size=64, intermediate_size=128, head_dim=32, num_hidden_layers=2
    )
    exact = extract(load_model(folder, untrained=0), TEXTS).values
    model = load_model(folder, untrained=0, quantization="4bit")
    assert type(model.blocks[0].mlp.up_proj).__name__ == "Linear4bit"
    found = extract(model, TEXTS).values
    difference = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert 1e-4 < difference < 0.5


def test_what_its_weights_were_stored_in_is_not_said_of_a_copy(
    llama_folder: Path, tmp_path: Path
) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-llama")
    stored = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    tiny_models.edited_json(folder / "config.json", quantization_config=stored)
    model = load_model(folder, untrained=0)
    assert model.provenance["quantization"] is None
    assert same_weights(model, load_model(llama_folder, untrained=0))


def test_a_gguf_file_gives_its_configuration_and_tokenizer(tmp_path: Path) -> None:
    path = tiny_models.written_gguf(tmp_path / "tiny.gguf")
    model = load_model(path, untrained=0)
    assert (model.name, model.n_layers) == ("tiny (untrained, seed 0)", tiny_models.GGUF_LAYERS)
    trained = load_model(path).body.get_parameter("norm.weight")
    assert not torch.equal(model.body.get_parameter("norm.weight"), trained)


def test_label_digest_and_provenance_say_it(llama_folder: Path) -> None:
    plain, source = resolve_model(llama_folder), resolve_model(f"{llama_folder}(untrained=7)")
    model = load_model(source)
    assert model.name == source.name == "tiny-llama (untrained, seed 7)"
    releases = [model.provenance[name].split("+")[0] for name in ("transformers", "torch")]
    drawn = "drawn by transformers {}, torch {}".format(*releases)
    assert model.digest == source.digest == f"{plain.digest} + untrained, seed 7 + {drawn}"
    assert model.provenance["untrained"] == 7
    assert load_model(llama_folder).provenance["untrained"] is None
    assert unread_model(f"{llama_folder}(untrained=7)").name == model.name


ARCHITECTURES = ("falcon-alibi", "gemma3", "gpt2", "mamba2", "mixtral", "mllama", "recurrent_gemma")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_copies_of_many_architectures_tell_tokens_apart(name: str, tmp_path: Path) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    architecture.config().save_pretrained(tmp_path)
    whole, account = untrained_model(tmp_path, seed=0, settings=PLAIN)
    assert not account["missing_keys"]
    model = model_around(whole, None, name=name, digest="any", provenance={})
    assert (model.n_layers, model.is_causal) == (architecture.n_layers, True)
    with torch.inference_mode():
        (hidden,) = model.body(input_ids=torch.arange(3, 20)[None], use_cache=False)[0]
    assert torch.isfinite(hidden).all()
    assert len(torch.unique(hidden, dim=0)) == 17


def test_a_token_of_padding_among_the_first_does_not_hide_that_it_is_a_decoder(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "padded", pad_token_id=3)
    model = load_model(folder, untrained=0)
    assert not model.body.get_input_embeddings().weight[3].any()
    assert model.is_causal


@pytest.mark.parametrize("resolved", [resolve_model, unread_model])
def test_an_adapter_on_an_untrained_copy_is_refused(
    resolved: Any, lora_folder: Path, llama_folder: Path
) -> None:
    untrained = LoadingOptions(untrained=0)
    for written, options in (
        (f"{llama_folder}(untrained=0, adapter={lora_folder})", None),
        (f"{llama_folder}(adapter={lora_folder})", untrained),
        (f"{lora_folder}(untrained=0)", None),
        (str(lora_folder), untrained),
    ):
        with pytest.raises(ParameterError, match="an untrained copy takes no adapter") as caught:
            resolved(written, options=options)
        assert caught.value.message.startswith(written.split("(")[0])
        assert caught.value.hint == "leave out the adapter, or untrained."


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (-1, "untrained must be a seed from 0 to 4294967295; got -1"),
        (2**32, "untrained must be a seed from 0 to 4294967295; got 4294967296"),
        (True, "untrained must be a whole number; got True"),
    ],
)
def test_only_a_seed_is_a_seed(wrong: Any, said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        LoadingOptions(untrained=wrong)
    assert said in caught.value.message
