"""One batch: hooks see what leaves each block, keep only pooled vectors, and go away again."""

import dataclasses
import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, load_model
from isodepth.activations.capture import BlockReader, Reading, right_padded
from isodepth.errors import ActivationsError, ModelError
from tiny_models import largest_relative_difference

Tiny = Callable[..., Model]

LAST = (Reading("block", "last"),)
RAGGED = [np.array([1, 17, 23, 5, 71]), np.array([1, 61]), np.array([1, 3, 89, 7, 11, 13, 2])]


@pytest.fixture(params=["llama", "gemma", "gpt2", "mamba"])
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.getfixturevalue(f"{request.param}_folder"))


def hooks_of(model: Model) -> list[int]:
    return [len(module._forward_hooks) for module in model.body.modules()]


def test_padding_is_on_the_right_and_the_mask_covers_the_real_tokens() -> None:
    padded, mask = right_padded(RAGGED)
    assert padded.shape == mask.shape == (3, 7)
    assert padded.dtype == torch.int64
    assert mask.dtype == torch.bool
    for row, ids in enumerate(RAGGED):
        assert padded[row, : len(ids)].tolist() == ids.tolist()
        assert mask[row].tolist() == [True] * len(ids) + [False] * (7 - len(ids))


def test_block_capture_is_what_an_independent_hook_sees_at_every_block(model: Model) -> None:
    with BlockReader(model, LAST) as reader:
        (batched,) = reader.read(RAGGED)
    assert batched.shape == (model.n_layers, 3, model.width)
    assert batched.dtype == np.float32
    for layer, block in enumerate(model.blocks):
        for row, ids in enumerate(RAGGED):
            expected = tiny_models.slow_last_block_outputs(model.body, block, ids.tolist())[-1]
            assert tiny_models.largest_relative_difference(batched[layer, row], expected) < 1e-5


def test_final_norm_changes_the_last_layer_only_and_is_what_the_body_returns(model: Model) -> None:
    with BlockReader(model, (*LAST, Reading("final_norm", "last"))) as reader:
        block, normed = reader.read(RAGGED)
    np.testing.assert_array_equal(block[:-1], normed[:-1])
    with torch.inference_mode():
        for row, ids in enumerate(RAGGED):
            output = model.body(input_ids=torch.tensor(ids[None]))
            expected = output.last_hidden_state[0, -1].numpy()
            assert largest_relative_difference(normed[-1, row], expected) < 1e-5
    assert largest_relative_difference(block[-1], normed[-1]) > 0.01


PARTS = {
    "llama": ("layers", "self_attn", "mlp"),
    "gpt2": ("h", "attn", "mlp"),
    "gpt_neox": ("layers", "attention", "mlp"),  # both parts of a block read its input
    "gpt_neox-sequential": ("layers", "attention", "mlp"),
    "falcon-7b": ("h", "self_attention", "mlp"),
    "gptj": ("h", "attn", "mlp"),
    "opt": ("layers", "self_attn", "fc2"),  # its MLP is two bare layers
    "llama4-text": ("layers", "self_attn", "feed_forward"),  # its MoE is given all tokens in one row
    "mixtral": ("layers", "self_attn", "mlp"),
    "gemma2": ("layers", "self_attn", "mlp"),
    "granite": ("layers", "self_attn", "mlp"),
    "jamba": ("layers", None, "feed_forward"),  # state spaces and attention in turn
    "mamba": ("layers", "mixer", None),
}
PART_READINGS: list[tuple[str, str | int]] = [
    ("attention", "last"),
    ("mlp", "last"),
    ("attention", "mean"),
    ("mlp", 1),
]


def pooled(states: np.ndarray, pooling: str | int) -> np.ndarray:
    """Return the slow way's vector from (tokens, units)."""
    found = states.mean(axis=0) if pooling == "mean" else states[-1 if pooling == "last" else pooling]
    assert isinstance(found, np.ndarray)
    return found


@pytest.mark.parametrize("name", PARTS)
def test_parts_are_what_an_independent_hook_sees_at_the_named_modules(name: str, tiny: Tiny) -> None:
    model = tiny(name)
    layers, *parts = PARTS[name]
    names = {"attention": parts[0], "mlp": parts[1]}
    wanted = [Reading(*one) for one in PART_READINGS if names[one[0]] is not None]
    with BlockReader(model, wanted) as reader:
        found = reader.read(RAGGED)
    blocks = model.body.get_submodule(layers)
    for values, one in zip(found, wanted, strict=True):
        assert values.shape == (model.n_layers, len(RAGGED), model.width)
        for layer, block in enumerate(blocks):
            module = block.get_submodule(names[one.capture])
            for row, ids in enumerate(RAGGED):
                states = tiny_models.slow_last_block_outputs(model.body, module, ids.tolist())
                # a module that is given all tokens in one row returns them so
                states = states.reshape(len(ids), -1)
                expected = pooled(states, one.pooling)
                assert largest_relative_difference(values[layer, row], expected) < 2e-5


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox", "gpt_neox-sequential", "opt", "gptj"])
def test_a_block_returns_its_input_with_what_attention_and_mlp_add(name: str, tiny: Tiny) -> None:
    model = tiny(name)
    captures = ("embedding", "block", "attention", "mlp")
    for pooling in ("last", "mean", 1):
        with BlockReader(model, [Reading(capture, pooling) for capture in captures]) as reader:
            embedding, block, attention, mlp = reader.read(RAGGED, front=1)
        entering = np.concatenate([embedding, block[:-1]])
        assert largest_relative_difference(entering + attention + mlp, block) < 1e-5
        for added in (attention, mlp):
            assert (np.linalg.norm(added, axis=-1) > 1e-3 * np.linalg.norm(block, axis=-1)).all()


def test_parts_are_read_before_the_scale_that_a_block_puts_on_them(tiny: Tiny) -> None:
    model = tiny("granite")
    captures = ("embedding", "block", "attention", "mlp")
    with BlockReader(model, [Reading(capture, "last") for capture in captures]) as reader:
        embedding, block, attention, mlp = reader.read(RAGGED)
    entering = np.concatenate([embedding, block[:-1]])
    scale = model.body.config.residual_multiplier
    assert scale != 1
    assert largest_relative_difference(entering + scale * (attention + mlp), block) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "mamba", "granite", "gemma2", "bert"])
def test_the_embedding_is_what_enters_the_first_block(name: str, tiny: Tiny) -> None:
    model = tiny(name)
    entered: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: Any, named: Any) -> None:
        entered.append(inputs[0] if inputs else named["hidden_states"])

    with BlockReader(model, [Reading("embedding", "last"), Reading("embedding", "mean")]) as reader:
        last, mean = reader.read(RAGGED)
    assert last.shape == mean.shape == (1, len(RAGGED), model.width)
    handle = model.blocks[0].register_forward_pre_hook(keep, with_kwargs=True)
    with torch.inference_mode():
        for row, ids in enumerate(RAGGED):
            model.body(input_ids=torch.tensor(ids[None]))
            states = entered[-1][0].numpy()
            np.testing.assert_allclose(last[0, row], states[-1], rtol=0, atol=1e-5)
            np.testing.assert_allclose(mean[0, row], states.mean(axis=0), rtol=0, atol=1e-5)
    handle.remove()


def test_in_a_llama_the_embedding_is_the_row_of_the_embedding_matrix(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with BlockReader(model, [Reading("embedding", "last")]) as reader:
        (found,) = reader.read(RAGGED)
    matrix = model.body.embed_tokens.weight.detach().numpy()
    np.testing.assert_array_equal(found[0], matrix[[ids[-1] for ids in RAGGED]])


def test_blocks_that_text_passes_by_have_the_activation_of_the_block_before(tiny: Tiny) -> None:
    model = tiny("mllama")
    assert model.skipped_blocks == (1, 3)
    with BlockReader(model, [*LAST, Reading("final_norm", "mean"), Reading("block", "mean")]) as reader:
        last, normed, mean = reader.read(RAGGED)
    for values in (last, mean):
        np.testing.assert_array_equal(values[1], values[0])
        np.testing.assert_array_equal(values[3], values[2])
        assert largest_relative_difference(values[2], values[1]) > 0.01
    np.testing.assert_array_equal(normed[:-1], mean[:-1])
    for row, ids in enumerate(RAGGED):
        for layer in (0, 2, 4):
            states = tiny_models.slow_last_block_outputs(model.body, model.blocks[layer], ids.tolist())
            assert largest_relative_difference(last[layer, row], states[-1]) < 1e-5


def test_a_first_block_that_text_passes_by_has_what_entered_the_first_that_runs(
    llama_folder: Path,
) -> None:
    model = load_model(llama_folder)
    later = dataclasses.replace(model, skipped_blocks=(0, 6), blocks=(None, *model.blocks, None))
    with BlockReader(later, [*LAST, Reading("embedding", "last")]) as reader:
        found, embedding = reader.read(RAGGED)
    with BlockReader(model, LAST) as reader:
        (expected,) = reader.read(RAGGED)
    np.testing.assert_array_equal(found[1:6], expected)
    np.testing.assert_array_equal(found[:1], embedding)
    np.testing.assert_array_equal(found[6], expected[4])


def test_a_body_whose_output_is_narrower_than_its_blocks_has_no_final_norm_to_read(tiny: Tiny) -> None:
    model = tiny("opt-350m")
    with BlockReader(model, [Reading("final_norm", "last")]) as reader:
        with pytest.raises(ModelError) as caught:
            reader.read(RAGGED)
        assert caught.value.message == (
            "tiny-opt-350m: its output has 17 units and its blocks 26, so the output cannot stand for "
            "the last layer"
        )
        assert caught.value.hint == 'use capture "block".'


def test_several_readings_come_from_one_pass_and_equal_those_of_one_each(model: Model) -> None:
    wanted = [
        Reading(capture, pooling)
        for capture in ("block", "final_norm", "embedding")
        for pooling in ("last", "mean", "first", 1, -2)
    ]
    passes: list[int] = []
    handle = model.body.register_forward_pre_hook(lambda *_: passes.append(1))
    with BlockReader(model, wanted) as reader:
        together = reader.read(RAGGED, front=1)
    assert len(passes) == 1
    handle.remove()
    for values, one in zip(together, wanted, strict=True):
        with BlockReader(model, [one]) as reader:
            (alone,) = reader.read(RAGGED, front=1)
        np.testing.assert_array_equal(values, alone)


@pytest.mark.parametrize("pooling", ["mean", "last", -2])
def test_lengths_of_ones_own_pool_earlier_tokens(pooling: str | int, model: Model) -> None:
    with BlockReader(model, [Reading("block", pooling)]) as reader:
        (found,) = reader.read(RAGGED, lengths=[3, 2, 5], front=1)
        for row, length in enumerate((3, 2, 5)):
            (expected,) = reader.read([RAGGED[row][:length]], front=1)
            assert largest_relative_difference(found[:, row], expected[:, 0]) < 1e-5


def test_a_pooling_function_of_ones_own_is_used_by_its_name(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    pools = {"largest": lambda hidden, counted: hidden.amax(dim=1)}
    with BlockReader(model, [Reading("block", "largest"), *LAST], pools=pools) as reader:
        largest, last = reader.read([RAGGED[0]])
    for layer, block in enumerate(model.blocks):
        states = tiny_models.slow_last_block_outputs(model.body, block, RAGGED[0].tolist())
        np.testing.assert_allclose(largest[layer, 0], states.max(axis=0), rtol=0, atol=1e-5)
        np.testing.assert_allclose(last[layer, 0], states[-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("front", [0, 1])
def test_one_pass_gives_hooks_output_and_the_models_own_states(front: int, llama_folder: Path) -> None:
    model = load_model(llama_folder)
    readings = [Reading("block", "mean"), Reading("mlp", "last")]
    with BlockReader(model, readings) as reader:
        (block, mlp), final, states = reader.read_with_states(RAGGED[0], front=front)
        expected = [values[:, 0] for values in reader.read([RAGGED[0]], front=front)]
    np.testing.assert_array_equal(block, expected[0])
    np.testing.assert_array_equal(mlp, expected[1])
    with torch.inference_mode():
        output = model.body(input_ids=torch.tensor(RAGGED[0][None]), output_hidden_states=True)
    assert states is not None
    assert len(states) == model.n_layers + 1
    for found, slow in zip(states, output.hidden_states, strict=True):
        np.testing.assert_allclose(found, slow[0, front:].mean(dim=0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(final, output[0][0, front:].mean(dim=0), rtol=0, atol=1e-5)


def test_hooks_are_gone_afterwards(model: Model) -> None:
    before = hooks_of(model)
    with BlockReader(model, LAST) as reader:
        reader.read(RAGGED)
        assert sum(hooks_of(model)) == sum(before) + model.n_layers
    assert hooks_of(model) == before


def test_hooks_are_gone_after_an_error_and_the_next_reading_works(model: Model) -> None:
    before = hooks_of(model)
    with (
        pytest.raises(ActivationsError) as caught,
        BlockReader(model, LAST) as reader,
    ):
        reader.read([np.array([1, 5, tiny_models.N_TOKENS + 1]), RAGGED[0]])  # no such token
    assert caught.value.message == (
        f"{model.name} ({type(model.body).__name__}) fails on a batch of 2 texts of 5 tokens: "
        "IndexError: index out of range in self"
    )
    assert caught.value.hint == "another --dtype, --attention or --max-tokens may help."
    assert hooks_of(model) == before
    with BlockReader(model, LAST) as reader:
        (values,) = reader.read(RAGGED)
        assert np.isfinite(values).all()


def test_a_forward_pass_that_is_not_the_readers_is_ignored(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with BlockReader(model, LAST) as reader:
        (expected,) = reader.read(RAGGED)
        with torch.inference_mode():
            model.body(input_ids=torch.tensor([[1, 5, 7]]))
        np.testing.assert_array_equal(reader.read(RAGGED)[0], expected)


def test_threads_that_read_at_the_same_time_keep_to_themselves(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    batches = [[np.array([1, token, token + 1, *range(3, 3 + token % 5)])] for token in range(3, 40)]
    with BlockReader(model, LAST) as reader:
        expected = [reader.read(batch)[0] for batch in batches]
        found: dict[int, np.ndarray] = {}

        def read(start: int) -> None:
            for number in range(start, len(batches), 2):
                found[number] = reader.read(batches[number])[0]

        threads = [threading.Thread(target=read, args=(start,)) for start in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == len(batches)
    for number, values in enumerate(expected):
        np.testing.assert_allclose(found[number], values, rtol=0, atol=1e-5)


def test_only_pooled_vectors_outlive_their_block(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    hidden: list[weakref.ref[torch.Tensor]] = []
    alive_at_the_end: list[int] = []

    def remember(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        tensor = output[0] if isinstance(output, tuple) else output
        hidden.append(weakref.ref(tensor))
        alive_at_the_end.append(sum(reference() is not None for reference in hidden))

    handles = [block.register_forward_hook(remember) for block in model.blocks]
    try:
        with BlockReader(model, LAST) as reader:
            (values,) = reader.read(RAGGED)
            gc.collect()
            assert [reference() for reference in hidden] == [None] * model.n_layers
    finally:
        for handle in handles:
            handle.remove()
    # while reading: this block's output, and its input, which is the output before
    assert max(alive_at_the_end) <= 2
    assert values.base is None or values.base.nbytes == values.nbytes


@pytest.mark.parametrize("capture", ["mlp", "attention"])
def test_a_part_that_several_blocks_share_is_read_at_each_of_them_or_refused(
    capture: str, llama_folder: Path
) -> None:
    model = load_model(llama_folder)
    name = {"mlp": "mlp", "attention": "self_attn"}[capture]
    setattr(model.blocks[3], name, getattr(model.blocks[1], name))
    ids = RAGGED[0]
    seen: list[np.ndarray] = []
    handle = getattr(model.blocks[1], name).register_forward_hook(
        lambda module, inputs, output: seen.append(
            (output if isinstance(output, torch.Tensor) else output[0])[0, -1].numpy()
        )
    )
    with torch.inference_mode():
        model.body(input_ids=torch.tensor(ids[None]))
    handle.remove()
    assert largest_relative_difference(seen[0], seen[1]) > 0.01
    try:
        with BlockReader(model, [Reading(capture, "last")]) as reader:
            (found,) = reader.read([ids])
    except ModelError as error:
        assert "block 2, 4" in error.message  # noqa: PT017 - one of two right outcomes
        return
    for layer, expected in zip((1, 3), seen, strict=True):
        assert largest_relative_difference(found[layer, 0], expected) < 1e-5


def test_two_readers_of_one_model_keep_to_themselves(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with BlockReader(model, LAST) as one, BlockReader(model, [Reading("mlp", "mean")]) as two:
        for _ in range(2):
            together = one.read(RAGGED), two.read(RAGGED[:2])
    with BlockReader(model, LAST) as one:
        np.testing.assert_array_equal(together[0][0], one.read(RAGGED)[0])
    with BlockReader(model, [Reading("mlp", "mean")]) as two:
        np.testing.assert_array_equal(together[1][0], two.read(RAGGED[:2])[0])


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_without_a_norm_behind_the_last_block_both_captures_are_the_same(name: str, tiny: Tiny) -> None:
    with BlockReader(tiny(name), [Reading("block", "mean"), Reading("final_norm", "mean")]) as reader:
        block, normed = reader.read(RAGGED)
    np.testing.assert_array_equal(block, normed)
