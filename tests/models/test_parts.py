"""Attention and MLP of every block: found by one rule, and refused where they are not what they seem."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import tiny_architectures
import tiny_models
from isodepth import Model, as_model
from isodepth.errors import ModelError
from isodepth.models.parts import block_parts

HINT = 'capture "block" works for every model.'


def tiny(name: str) -> Model:
    body = tiny_architectures.made(name)
    return as_model(body, tiny_models.tiny_tokenizer(), name=f"tiny-{name}", digest=name)


def refusal(model: Model, part: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        block_parts(model, part)
    return caught.value


@pytest.mark.parametrize(
    ("name", "attention", "mlp"),
    [
        ("llama", "self_attn", "mlp"),
        ("gpt2", "attn", "mlp"),
        ("gpt_neox", "attention", "mlp"),
        ("gptj", "attn", "mlp"),
        ("falcon-7b", "self_attention", "mlp"),
        ("opt", "self_attn", "fc2"),
        ("mixtral", "self_attn", "mlp"),
        ("olmoe", "self_attn", "mlp"),
        ("llama4-text", "self_attn", "feed_forward"),
        ("deepseek_v3", "self_attn", "mlp"),
        ("gemma2", "self_attn", "mlp"),
        ("olmo2", "self_attn", "mlp"),
    ],
)
def test_the_parts_of_usual_blocks_are_theirs_in_order(name: str, attention: str, mlp: str) -> None:
    model = tiny(name)
    for part, child in (("attention", attention), ("mlp", mlp)):
        found = block_parts(model, part)
        expected = [block.get_submodule(child) for block in model.blocks]
        assert len(found) == model.n_layers
        assert all(one is other for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("name", "children"),
    [
        ("mamba", ["mixer"] * 3),
        ("mamba2", ["mixer"] * 3),
        ("jamba", ["mamba", "self_attn", "mamba", "mamba", "self_attn"]),
        ("recurrent_gemma", ["temporal_block"] * 5),
    ],
)
def test_what_mixes_tokens_in_the_place_of_attention_is_the_attention(
    name: str, children: list[str]
) -> None:
    model = tiny(name)
    found = block_parts(model, "attention")
    for module, block, child in zip(found, model.blocks, children, strict=True):
        assert module is block.get_submodule(child)


def test_blocks_without_an_mlp_are_named_with_what_they_consist_of() -> None:
    error = refusal(tiny("mamba"), "mlp")
    assert error.message == (
        "tiny-mamba: no single mlp part in block 1, 2, 3: block 1 consists of mixer (MambaMixer)"
    )
    assert error.hint == HINT


def test_only_the_blocks_without_the_part_are_named() -> None:
    model = tiny("llama")
    model.blocks[3].mlp = torch.nn.Identity()
    error = refusal(model, "mlp")
    assert error.message == (
        "tiny-llama: no single mlp part in block 4: block 4 consists of self_attn (LlamaAttention)"
    )


def test_two_mixers_in_one_block_are_no_single_attention() -> None:
    error = refusal(tiny("falcon_h1"), "attention")
    assert error.message.startswith("tiny-falcon_h1: no single attention part in block 1, 2, 3: ")
    for child in ("mamba (FalconH1Mixer)", "self_attn (FalconH1Attention)"):
        assert child in error.message


@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_blocks_that_text_passes_by_have_no_parts(part: str) -> None:
    error = refusal(tiny("mllama"), part)
    assert error.message == (
        f"tiny-mllama: text does not pass through block 2, 4, so it has no {part} output there"
    )
    assert error.hint == HINT


@pytest.mark.parametrize("part", ["attention", "mlp"])
@pytest.mark.parametrize(
    "name",
    [
        "bloom",  # its parts add the residual stream to what they return
        "opt-350m",  # its blocks normalize what they pass on
        "rwkv",
    ],
)
def test_parts_that_return_something_else_than_they_add_are_refused(name: str, part: str) -> None:
    error = refusal(tiny(name), part)
    assert error.message == (
        f"tiny-{name}: what the parts of a block return is not what they add to the residual stream: "
        "with all parts silenced, block 1 does not return what it was given"
    )
    assert error.hint == HINT


@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_a_block_that_changes_its_input_besides_is_named(part: str) -> None:
    model = tiny("llama")

    def change(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        return 1.01 * output

    model.blocks[2].register_forward_hook(change)
    assert (
        "with all parts silenced, block 3 does not return what it was given"
        in refusal(model, part).message
    )


def hooks_of(body: torch.nn.Module) -> list[tuple[int, int]]:
    return [(len(one._forward_hooks), len(one._forward_pre_hooks)) for one in body.modules()]


@pytest.mark.parametrize("name", ["llama", "bloom"])
def test_the_proof_leaves_no_hooks_behind(name: str) -> None:
    model = tiny(name)
    before = hooks_of(model.body)
    check: Callable[[], object] = lambda: block_parts(model, "mlp")  # noqa: E731
    if name == "bloom":
        with pytest.raises(ModelError):
            check()
    else:
        check()
    assert hooks_of(model.body) == before
