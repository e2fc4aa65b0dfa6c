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
    with pytest.raises(ModelError, match="no decoder blocks found") as caught:
        found_in(body, 3)
    for path in ("attentions", "norms"):
        assert f"{path} (3 modules, run 1 time, returning [1, 5, 13])" in caught.value.message


def test_of_several_fitting_lists_side_by_side_the_blocks_cannot_be_told() -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for block in (*net.lower, *net.upper):
            hidden = block(hidden)
        return hidden

    body = Net(run, lower=sums(3), upper=sums(3))
    with pytest.raises(ModelError, match="several lists run as decoder blocks do: lower, upper; "):
        found_in(body, 3)


class Stack(torch.nn.Module):
    """Blocks one level further in."""

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(sums(n_layers))


def test_norms_of_what_each_block_returns_are_not_taken_for_the_blocks_further_in() -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for block, norm in zip(net.stack[0].layers, net.norms, strict=True):
            hidden = block(hidden)
            norm(hidden)  # as for an exit at this depth; nothing passes it on
        return hidden

    body = Net(run, stack=[Stack(3)], norms=[torch.nn.LayerNorm(WIDTH) for _ in range(3)])
    found = found_in(body, 3)
    assert (found.path, found.width, found.skipped) == ("stack.0.layers", WIDTH, ())
    assert same(found.blocks, body.get_submodule("stack.0.layers"))


@pytest.mark.parametrize("factor", [0.5, 4.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_hidden_state_may_be_scaled_between_blocks(factor: float, dtype: torch.dtype) -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for number, block in enumerate(net.layers):
            hidden = block(hidden)
            if number % 2 == 0:
                hidden = hidden * factor
        return hidden

    body = Net(run, layers=sums(5)).to(dtype)
    assert same(found_in(body, 5).blocks, body.get_submodule("layers"))


@pytest.mark.parametrize(
    "between",
    [lambda hidden: hidden + 0.1, torch.relu, lambda hidden: hidden.roll(1, dims=-1)],
    ids=["shifted", "rectified", "permuted"],
)
def test_anything_else_between_blocks_is_refused(between: Any) -> None:
    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for block in net.layers:
            hidden = between(block(hidden))
        return hidden

    with pytest.raises(ModelError, match=r"found layers \(3 modules, run 1 time, returning"):
        found_in(Net(run, layers=sums(3)), 3)


def test_blocks_that_take_the_hidden_state_by_name_behind_other_inputs_are_found() -> None:
    class Named(Sum):
        def forward(self, mask: torch.Tensor, *, hidden_states: torch.Tensor) -> torch.Tensor:
            return super().forward(hidden_states)

    def run(net: Any, hidden: torch.Tensor) -> torch.Tensor:
        for block in net.layers:
            hidden = block(torch.ones(1, 5), hidden_states=hidden)
        return hidden

    body = Net(run, layers=[Named() for _ in range(3)])
    assert same(found_in(body, 3).blocks, body.get_submodule("layers"))


def test_an_xlms_attentions_are_not_taken_for_its_blocks() -> None:
    config = transformers.XLMConfig(vocab_size=97, emb_dim=26, n_layers=3, n_heads=2)
    body = transformers.XLMModel(config)
    lists = ("attentions", "layer_norm1", "ffns", "layer_norm2")  # its blocks, taken apart
    assert {len(body.get_submodule(path)) for path in lists} == {3}  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no decoder blocks found") as caught:
        found_in(body, 3)
    for path in lists:
        assert f"{path} (3 modules, run 1 time, returning [1, 5, 26])" in caught.value.message


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
    is_causal(whole, 3)
    with pytest.raises(ModelError):
        found_in(failing, 3)
    for body in (whole, failing):
        for module in body.modules():
            assert not module._forward_hooks
            assert not module._forward_pre_hooks


# causal or not


def is_causal(body: torch.nn.Module, n_layers: int, *, is_exact: bool = True) -> bool:
    return sees_only_earlier(body, found_in(body, n_layers), name="tiny", is_exact=is_exact)


@pytest.mark.parametrize(
    ("name", "expected"),
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
    name: str, expected: bool, dtype: torch.dtype
) -> None:
    architecture = tiny_architectures.ARCHITECTURES[name]
    assert expected == ("encoder" not in architecture.kinds)
    body = tiny_architectures.made(name, dtype=dtype)
    exact = dtype == torch.float32
    assert is_causal(body, architecture.n_layers, is_exact=exact) is expected


class Mean(torch.nn.Module):
    """A block that adds the mean over all tokens."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden + hidden.mean(dim=1, keepdim=True)


class Noisy(torch.nn.Module):
    """A block that gives another result in every second pass, relatively by so much."""

    def __init__(self, noise: float) -> None:
        super().__init__()
        self.noise, self.n_passes = noise, 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        self.n_passes += 1
        return hidden * (1 + self.noise * (self.n_passes % 2))


def test_a_block_that_averages_over_all_tokens_sees_later_ones() -> None:
    for is_exact in (True, False):
        assert is_causal(Net(layers=sums(3)), 3, is_exact=is_exact)
    assert not is_causal(Net(layers=[*sums(2), Mean()]), 3, is_exact=True)


def test_noise_as_of_8_bits_is_no_look_ahead_but_in_exact_numbers_it_is() -> None:
    body = Net(layers=[*sums(2), Noisy(3e-2)])
    assert is_causal(body, 3, is_exact=False)
    assert not is_causal(body, 3, is_exact=True)


def test_a_change_between_that_of_decoders_and_of_encoders_cannot_be_told() -> None:
    body = Net(layers=[*sums(2), Noisy(7e-2)])
    with pytest.raises(ModelError, match="cannot be told in this number format") as caught:
        is_causal(body, 3, is_exact=False)
    assert caught.value.message.startswith("tiny (Net): whether tokens see later ones cannot be told")
    assert caught.value.message.endswith("changes those before by 7.0e-02") or (
        caught.value.message.endswith("changes those before by 6.5e-02")
    )
    assert caught.value.hint == "use --dtype float32 without --quantization."
    assert not is_causal(body, 3, is_exact=True)


class Scaled(torch.nn.Module):
    """A block that keeps zeros: it multiplies every token by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden * self.factor


@pytest.mark.parametrize("token", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("is_exact", [True, False])
def test_a_token_whose_embedding_is_zero_hides_nothing(token: int, is_exact: bool) -> None:
    for last, expected in ((Scaled(2.0), True), (Mean(), False)):
        body = Net(layers=[Scaled(0.5), last])
        with torch.no_grad():
            body.embedding.weight[token] = 0
        assert is_causal(body, 2, is_exact=is_exact) is expected


@pytest.mark.parametrize("is_exact", [True, False])
def test_activations_that_are_all_zero_tell_nothing(is_exact: bool) -> None:
    body = Net(layers=[Scaled(0.5), Scaled(0.0)])
    with pytest.raises(ModelError) as caught:
        is_causal(body, 2, is_exact=is_exact)
    assert caught.value.message == "tiny (Net): all activations are zero on 5 tokens"
    assert caught.value.hint == "the weights may be damaged, or were never set."


@pytest.mark.parametrize("is_exact", [True, False])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_activations_that_are_not_finite_are_no_matter_of_causality(
    value: float, is_exact: bool
) -> None:
    body = Net(layers=sums(3))
    with torch.no_grad():
        body.get_parameter("layers.1.linear.weight").fill_(value)
    with pytest.raises(ModelError) as caught:
        is_causal(body, 3, is_exact=is_exact)
    assert caught.value.message == "tiny (Net): NaN or infinite activations on 5 tokens"
    assert "try --dtype float32 or bfloat16" in str(caught.value.hint)
