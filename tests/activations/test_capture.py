"""One batch: hooks see what leaves each block, keep only pooled vectors, and go away again."""

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, load_model
from isodepth.activations.capture import (
    POOLING_FUNCTIONS,
    BlockReader,
    last_token,
    mean_of_tokens,
    right_padded,
)
from isodepth.activations.result import POOLINGS

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


def test_pooling_takes_the_last_real_token_or_the_mean_of_the_real_ones(
    rng: np.random.Generator,
) -> None:
    hidden = torch.from_numpy(rng.normal(size=(3, 7, 11)).astype(np.float32))
    _, mask = right_padded(RAGGED)
    for row, ids in enumerate(RAGGED):
        n = len(ids)
        np.testing.assert_array_equal(last_token(hidden, mask)[row], hidden[row, n - 1])
        np.testing.assert_allclose(
            mean_of_tokens(hidden, mask)[row], hidden[row, :n].mean(dim=0), rtol=0, atol=1e-6
        )
    assert POOLING_FUNCTIONS.keys() == POOLINGS.keys()


def test_block_capture_is_what_an_independent_hook_sees_at_every_block(model: Model) -> None:
    with BlockReader(model, capture="block", pooling="last") as reader:
        batched = reader.read(RAGGED)
    assert batched.shape == (model.n_layers, 3, model.width)
    assert batched.dtype == np.float32
    for layer, block in enumerate(model.blocks):
        for row, ids in enumerate(RAGGED):
            expected = tiny_models.slow_last_block_outputs(model.body, block, ids.tolist())[-1]
            assert tiny_models.largest_relative_difference(batched[layer, row], expected) < 1e-5


def test_final_norm_changes_the_last_layer_only_and_is_what_the_body_returns(model: Model) -> None:
    values = {}
    for capture in ("block", "final_norm"):
        with BlockReader(model, capture=capture, pooling="last") as reader:
            values[capture] = reader.read(RAGGED)
    np.testing.assert_array_equal(values["block"][:-1], values["final_norm"][:-1])
    with torch.inference_mode():
        for row, ids in enumerate(RAGGED):
            output = model.body(input_ids=torch.tensor(ids[None]))
            expected = output.last_hidden_state[0, -1].numpy()
            found = values["final_norm"][-1, row]
            assert tiny_models.largest_relative_difference(found, expected) < 1e-5
    change = tiny_models.largest_relative_difference(values["block"][-1], values["final_norm"][-1])
    assert change > 0.01


def test_a_mask_of_ones_own_pools_earlier_tokens(model: Model) -> None:
    ids = RAGGED[0]
    mask = torch.ones(1, len(ids), dtype=torch.bool)
    mask[:, 3:] = False
    with BlockReader(model, capture="block", pooling="mean") as reader:
        found = reader.read([ids], mask=mask)
        expected = reader.read([ids[:3]])
    assert tiny_models.largest_relative_difference(found, expected) < 1e-5


def test_hooks_are_gone_afterwards(model: Model) -> None:
    before = hooks_of(model)
    with BlockReader(model, capture="block", pooling="last") as reader:
        reader.read(RAGGED)
        assert sum(hooks_of(model)) == sum(before) + model.n_layers
    assert hooks_of(model) == before


def test_hooks_are_gone_after_an_error_and_the_next_reading_works(model: Model) -> None:
    before = hooks_of(model)
    with (
        pytest.raises(IndexError),
        BlockReader(model, capture="block", pooling="last") as reader,
    ):
        reader.read([np.array([1, 5, tiny_models.N_TOKENS + 1])])  # no such token
    assert hooks_of(model) == before
    with BlockReader(model, capture="block", pooling="last") as reader:
        assert np.isfinite(reader.read(RAGGED)).all()


def test_a_forward_pass_that_is_not_the_readers_is_ignored(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with BlockReader(model, capture="block", pooling="last") as reader:
        expected = reader.read(RAGGED)
        with torch.inference_mode():
            model.body(input_ids=torch.tensor([[1, 5, 7]]))
        np.testing.assert_array_equal(reader.read(RAGGED), expected)


def test_threads_that_read_at_the_same_time_keep_to_themselves(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    batches = [[np.array([1, token, token + 1, *range(3, 3 + token % 5)])] for token in range(3, 40)]
    with BlockReader(model, capture="block", pooling="last") as reader:
        expected = [reader.read(batch) for batch in batches]
        found: dict[int, np.ndarray] = {}

        def read(start: int) -> None:
            for number in range(start, len(batches), 2):
                found[number] = reader.read(batches[number])

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
        with BlockReader(model, capture="block", pooling="last") as reader:
            values = reader.read(RAGGED)
            gc.collect()
            assert [reference() for reference in hidden] == [None] * model.n_layers
    finally:
        for handle in handles:
            handle.remove()
    # while reading: this block's output, and its input, which is the output before
    assert max(alive_at_the_end) <= 2
    assert values.base is None or values.base.nbytes == values.nbytes


def test_pooled_last_tokens_do_not_hold_on_to_the_hidden_states(rng: np.random.Generator) -> None:
    hidden = torch.from_numpy(rng.normal(size=(3, 7, 11)).astype(np.float32))
    _, mask = right_padded(RAGGED)
    for pool in POOLING_FUNCTIONS.values():
        assert pool(hidden, mask).untyped_storage().data_ptr() != hidden.untyped_storage().data_ptr()
