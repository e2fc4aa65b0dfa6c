"""Finding the decoder blocks: one rule, on real architectures and on made-up ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

import tiny_architectures
import tiny_models
from isodepth.errors import ModelError
from isodepth.models.blocks import FoundBlocks, find_blocks, sees_only_earlier

WIDTH = 13


class Sum(torch.nn.Module):
    """A block: x + W x."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + self.linear(hidden)


class OfExperts(torch.nn.Module):
    """A block with a list of experts, all of which run once, in order."""

    def __init__(self, n_experts: int) -> None:
        super().__init__()
        self.experts = torch.nn.ModuleList([Sum() for _ in range(n_experts)])

    def forward(self, hidden: torch.Tensor) -> tuple[torch.Tensor, None]:
        for expert in self.experts:
            hidden = expert(hidden)
        return hidden, None


class Net(torch.nn.Module):
    """Embeds tokens, runs its blocks as `run` says, and returns the hidden state."""

    def __init__(
        self, run: Callable[[Any, torch.Tensor], Any] | None = None, **lists: list[torch.nn.Module]
    ) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(tiny_models.N_TOKENS, WIDTH)
        for name, members in lists.items():
            setattr(self, name, torch.nn.ModuleList(members))
        self._run = run

    def forward(self, input_ids: torch.Tensor, use_cache: bool = False) -> Any:
        assert use_cache is False
        hidden = self.embedding(input_ids)
        if self._run is not None:
            return (self._run(self, hidden),)
        for block in self.layers:
            output = block(hidden)
            hidden = output if isinstance(output, torch.Tensor) else output[0]
        return (hidden,)


def sums(n_modules: int) -> list[torch.nn.Module]:
    return [Sum() for _ in range(n_modules)]


def found_in(body: torch.nn.Module, n_layers: int | None) -> FoundBlocks:
    return find_blocks(body.eval(), n_layers=n_layers, name="tiny")


def same(blocks: tuple[Any, ...], expected: Any) -> bool:
    return len(blocks) == len(expected) and all(a is b for a, b in zip(blocks, expected, strict=True))


# real architectures


@pytest.mark.parametrize(
    ("make", "path", "n_layers", "width"),
    [
        (tiny_models.llama, "layers", 5, 26),
        (tiny_models.gemma, "layers", 7, 22),
        (tiny_models.gpt2, "h", 3, 34),
        (tiny_models.mamba, "layers", 3, 19),
        (tiny_models.bert, "encoder.layer", 3, 26),
    ],
)
def test_blocks_are_the_architectures_own_list_in_order(
    make: Any, path: str, n_layers: int, width: int
) -> None:
    body = make().base_model
    for stated in (n_layers, None):
        found = found_in(body, stated)
        assert (found.path, found.width, found.skipped) == (path, width, ())
        assert len(found.blocks) == n_layers
        assert same(found.blocks, body.get_submodule(path))


def test_with_its_head_a_model_has_the_same_blocks() -> None:
    whole = tiny_models.llama()
    found = found_in(whole, 5)
    assert found.path == "model.layers"
    assert same(found.blocks, whole.model.layers)


@pytest.mark.parametrize("name", ["mllama", "gemma3"])
def test_the_text_blocks_of_a_vision_model_are_found_though_its_images_have_blocks_too(
    name: str,
) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    body = tiny_architectures.made(name)
    found = found_in(body, architecture.n_layers)
    assert found.path == "language_model.layers"
    assert same(found.blocks, body.get_submodule("language_model.layers"))
    assert found.skipped == architecture.uncalled
    assert found.width == architecture.width


def test_image_blocks_as_many_as_text_blocks_are_not_taken_for_them() -> None:
    config = tiny_architectures.ARCHITECTURES["gemma3"].config()
    config.vision_config.num_hidden_layers = 5
    with tiny_models.quietly():
        body = transformers.AutoModel.from_config(config)
    lists = {
        path: len(module)
        for path, module in body.named_modules()
        if isinstance(module, torch.nn.ModuleList)
    }
    assert sorted(lists.values()) == [5, 5]
    found = found_in(body, 5)
    assert found.path == "language_model.layers"
    assert same(found.blocks, body.get_submodule("language_model.layers"))


def test_blocks_that_return_several_streams_are_refused_with_their_shapes() -> None:
    architecture = tiny_architectures.ARCHITECTURES["gemma3n-text"]
    assert architecture.streams > 1
    body = tiny_architectures.made("gemma3n-text")
    with pytest.raises(ModelError, match="no decoder blocks found") as caught:
        found_in(body, architecture.n_layers)
    shape = [architecture.streams, 1, 5, architecture.width]
    said = f"layers ({architecture.n_layers} modules, run 1 time, returning {shape})"
    assert said in caught.value.message
    assert caught.value.hint == "isodepth reads language models whose blocks pass one hidden state on."


def test_one_block_used_several_times_is_no_list_of_blocks() -> None:
    with tiny_models.quietly():
        body = tiny_models.albert()
    with pytest.raises(ModelError, match="expected a ModuleList of 3 modules, its number of") as caught:
        found_in(body, 3)
    assert "tiny (AlbertModel): no decoder blocks found" in caught.value.message
    assert "encoder.albert_layer_groups (1 module, run 3 times" in caught.value.message


@pytest.mark.parametrize(
    ("make", "said"), [(tiny_models.t5, "T5Model"), (tiny_models.resnet, "ResNetModel")]
)
def test_models_that_do_not_read_token_ids_alone_are_told_so(make: Any, said: str) -> None:
    with pytest.raises(ModelError, match="cannot read 5 tokens of text: ") as caught:
        found_in(make(), None)
    assert f"tiny ({said})" in caught.value.message
    assert (
        caught.value.hint
        == "isodepth reads language models that take token ids alone; where this one is such, another --dtype, --quantization or --attention may help."
    )
    assert caught.value.__cause__ is not None


# made-up ones


def test_of_several_fitting_lists_the_outermost_is_meant() -> None:
    body = Net(layers=[OfExperts(3) for _ in range(3)])
    found = found_in(body, 3)
    assert (found.path, found.width) == ("layers", WIDTH)
    assert same(found.blocks, body.get_submodule("layers"))


def test_a_list_that_fits_the_stated_number_wins_over_one_further_out() -> None:
    body = Net(layers=[OfExperts(5)])
    found = found_in(body, 5)
    assert found.path == "layers.0.experts"
    assert found_in(body, 1).path == "layers"


def test_a_list_of_heads_that_run_on_the_same_state_after_the_blocks_is_not_taken() -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for block in net.layers:
            hidden = block(hidden)
        for head in net.a_head:
            head(hidden)[..., :2].sum()
        return hidden

    heads = [torch.nn.Linear(WIDTH, 7) for _ in range(2)]
    body = Net(run, layers=sums(3), a_head=[*heads, torch.nn.Linear(WIDTH, 11)])
    assert found_in(body, 3).path == "layers"  # the heads' widths differ


def test_lists_that_take_turns_are_not_taken_for_blocks() -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for attention, norm in zip(net.attentions, net.norms, strict=True):
            hidden = norm(hidden + attention(hidden))
        return hidden

    body = Net(run, attentions=sums(3), norms=sums(3))
    with pytest.raises(ModelError, match="several lists run as decoder blocks do: attentions, "):
        found_in(body, 3)


def test_an_xlms_attentions_are_not_taken_for_its_blocks() -> None:
    config = transformers.XLMConfig(vocab_size=97, emb_dim=26, n_layers=3, n_heads=2)
    body = transformers.XLMModel(config)
    lists = ("attentions", "layer_norm1", "ffns", "layer_norm2")  # its blocks, taken apart
    assert {len(body.get_submodule(path)) for path in lists} == {3}  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="several lists run as decoder blocks do: attentions, "):
        found_in(body, 3)


def test_blocks_left_out_of_the_pass_are_named_where_their_number_is_stated() -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for number in (0, 2, 4):
            hidden = net.layers[number](hidden)
        return hidden

    body = Net(run, layers=sums(5))
    found = found_in(body, 5)
    assert found.skipped == (1, 3)
    assert len(found.blocks) == 5
    with pytest.raises(ModelError, match=r"found layers \(5 modules, run 0 to 1 time, returning"):
        found_in(body, None)


def in_reverse(net: Any, hidden: torch.Tensor) -> torch.Tensor:
    for block in reversed(net.layers):
        hidden = block(hidden)
    return hidden


def twice(net: Any, hidden: torch.Tensor) -> torch.Tensor:
    for block in (*net.layers, *net.layers):
        hidden = block(hidden)
    return hidden


def tokens_first(net: Any, hidden: torch.Tensor) -> torch.Tensor:
    hidden = hidden.transpose(0, 1)
    for block in net.layers:
        hidden = block(hidden)
    return hidden.transpose(0, 1)


def flat(net: Any, hidden: torch.Tensor) -> torch.Tensor:
    hidden = hidden[0]
    for block in net.layers:
        hidden = block(hidden)
    return hidden[None]


def never(net: Any, hidden: torch.Tensor) -> torch.Tensor:
    return hidden


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (in_reverse, "run 1 time, returning [1, 5, 13]"),
        (twice, "run 2 times, returning [1, 5, 13]"),
        (tokens_first, "run 1 time, returning [5, 1, 13]"),
        (flat, "run 1 time, returning [5, 13]"),
        (never, "run 0 times"),
    ],
)
def test_lists_that_do_not_run_as_blocks_are_refused_with_what_they_did(run: Any, said: str) -> None:
    for stated in (3, None):
        with pytest.raises(ModelError, match="no decoder blocks found") as caught:
            found_in(Net(run, layers=sums(3)), stated)
        assert f"found layers (3 modules, {said})" in caught.value.message


def test_without_a_fitting_list_all_lists_are_named_with_their_lengths() -> None:
    body = Net(layers=sums(2), heads=sums(11))
    with pytest.raises(ModelError, match="expected a ModuleList of 7 modules, its number") as caught:
        found_in(body, 7)
    assert "tiny (Net): no decoder blocks found" in caught.value.message
    assert "layers (2 modules, run 1 time, returning [1, 5, 13]), heads (11 modules, run 0 times)" in (
        caught.value.message
    )


def test_a_model_without_any_list_is_told_so() -> None:
    body = Net(never)
    with pytest.raises(ModelError, match="found no ModuleList at all"):
        found_in(body, 5)


def test_a_model_whose_forward_raises_says_what_it_raised() -> None:
    def fail(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError("no images\nwere given")

    with pytest.raises(ModelError) as caught:
        found_in(Net(fail, layers=sums(3)), 3)
    assert caught.value.message == (
        "tiny (Net) cannot read 5 tokens of text: ZeroDivisionError: no images"
    )


def test_finding_leaves_no_hooks_behind_even_where_it_fails() -> None:
    def fail(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    whole, failing = Net(layers=sums(3)), Net(fail, layers=sums(3))
    sees_only_earlier(whole, found_in(whole, 3))
    with pytest.raises(ModelError):
        found_in(failing, 3)
    for body in (whole, failing):
        for module in body.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


# causal or not


@pytest.mark.parametrize(
    ("name", "is_causal"),
    [
        *((entry.name, False) for entry in tiny_architectures.ENCODERS),
        *(
            (name, True)
            for name in ("llama", "gemma3", "mllama", "falcon-alibi", "gpt2", "bloom", "rwkv")
        ),
        *((name, True) for name in ("mixtral", "deepseek_v3", "mamba2", "recurrent_gemma", "zamba2")),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_decoders_see_only_earlier_tokens_and_encoders_see_later_ones(
    name: str, is_causal: bool, dtype: torch.dtype
) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    assert is_causal == ("encoder" not in architecture.kinds)
    body = tiny_architectures.made(name, dtype=dtype)
    found = found_in(body, architecture.n_layers)
    assert sees_only_earlier(body, found) is is_causal


def test_a_block_that_averages_over_all_tokens_sees_later_ones() -> None:
    class Mean(torch.nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return hidden + hidden.mean(dim=1, keepdim=True)

    causal = Net(layers=sums(3))
    assert sees_only_earlier(causal, found_in(causal, 3))
    mixing = Net(layers=[*sums(2), Mean()])
    assert not sees_only_earlier(mixing, found_in(mixing, 3))
