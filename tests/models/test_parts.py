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
        f"tiny-{name}: what the {part} part of a block returns is not what it adds to the residual "
        "stream: block 1 does not change its input just where that part alone is not silent"
    )
    assert error.hint == HINT


@pytest.mark.parametrize("part", ["attention", "mlp"])
def test_a_block_that_changes_its_input_besides_is_named(part: str) -> None:
    model = tiny("llama")

    def change(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        return 1.01 * output

    model.blocks[2].register_forward_hook(change)
    assert refusal(model, part).message == (
        f"tiny-llama: what the {part} part of a block returns is not what it adds to the residual "
        "stream: block 3 does not change its input just where that part alone is not silent"
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


# made-up blocks in a Llama


class Flattening(torch.nn.Module):
    """A block that hands its MLP all tokens in one axis, texts or places outermost, and undoes that."""

    def __init__(self, block: Any, width: int, *, token_major: bool) -> None:
        super().__init__()
        self.self_attn = block.self_attn
        self.mlp = torch.nn.Linear(width, width, bias=False)
        self.token_major = token_major

    def forward(self, hidden_states: torch.Tensor, **settings: Any) -> Any:
        attended, _ = self.self_attn(hidden_states=hidden_states, **settings)
        hidden = hidden_states + attended
        ordered = hidden.transpose(0, 1) if self.token_major else hidden
        flat = self.mlp(ordered.reshape(-1, ordered.shape[-1])).view(ordered.shape)
        return hidden + (flat.transpose(0, 1) if self.token_major else flat)


def rebuilt(make: Callable[[Any, int], torch.nn.Module]) -> Model:
    """Return the tiny Llama with its third block made anew from the old one."""
    body = tiny_architectures.made("llama")
    width = body.config.hidden_size
    body.layers[2] = make(body.layers[2], width).eval()
    return as_model(body, tiny_models.tiny_tokenizer(), name="tiny-llama", digest="rebuilt")


@pytest.mark.parametrize("token_major", [True, False])
def test_an_mlp_whose_tokens_are_in_another_order_is_refused(token_major: bool) -> None:
    model = rebuilt(lambda block, width: Flattening(block, width, token_major=token_major))
    if token_major:
        assert "block 3 does not change its input just where that part" in (
            refusal(model, "mlp").message
        )
    else:  # it has a row of what it returns for each token of each text, in the order of the texts
        assert block_parts(model, "mlp")[2] is model.blocks[2].mlp
    assert block_parts(model, "attention")[2] is model.blocks[2].self_attn


class Gated(torch.nn.Module):
    """A block with three bare linear layers; `last` names the one that is made, not run, last."""

    w1: torch.nn.Linear
    w2: torch.nn.Linear
    w3: torch.nn.Linear

    def __init__(self, block: Any, width: int, *, inner: int, last: str) -> None:
        super().__init__()
        self.self_attn = block.self_attn
        sizes = {"w1": (width, inner), "w2": (inner, width), "w3": (width, inner)}
        for name in (*(name for name in sizes if name != last), last):
            setattr(self, name, torch.nn.Linear(*sizes[name], bias=False))

    def forward(self, hidden_states: torch.Tensor, **settings: Any) -> Any:
        attended, _ = self.self_attn(hidden_states=hidden_states, **settings)
        hidden = hidden_states + attended
        return hidden + self.w2(torch.nn.functional.silu(self.w1(hidden)) * self.w3(hidden))


@pytest.mark.parametrize("wider", [5, 0])
def test_bare_linear_layers_count_as_an_mlp_where_the_last_of_them_gives_its_output(
    wider: int,
) -> None:
    model = rebuilt(lambda block, width: Gated(block, width, inner=width + wider, last="w2"))
    assert block_parts(model, "mlp")[2] is model.blocks[2].w2


@pytest.mark.parametrize("wider", [5, 0])
def test_bare_linear_layers_of_which_another_gives_the_output_are_refused(wider: int) -> None:
    model = rebuilt(lambda block, width: Gated(block, width, inner=width + wider, last="w3"))
    assert "block 3 does not change its input just where that part" in refusal(model, "mlp").message


@pytest.mark.parametrize("part", ["attention", "mlp"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_proof_holds_in_every_number_format(name: str, dtype: torch.dtype, part: str) -> None:
    body = tiny_architectures.made(name).to(dtype)
    model = as_model(body, tiny_models.tiny_tokenizer(), name=f"tiny-{name}", digest=name)
    assert len(block_parts(model, part)) == model.n_layers


@pytest.mark.parametrize(("part", "child"), [("attention", "self_attn"), ("mlp", "mlp")])
def test_a_part_that_two_blocks_share_is_refused(part: str, child: str) -> None:
    model = tiny("llama")
    setattr(model.blocks[3], child, model.blocks[1].get_submodule(child))
    assert refusal(model, part).message == (
        f"tiny-llama: block 2, 4 share one {part} part, so their outputs cannot be told apart"
    )
