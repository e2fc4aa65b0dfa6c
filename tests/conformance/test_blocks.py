"""What isodepth reads of each architecture is what leaves its blocks, and means what the docs say."""

import functools

import numpy as np
import pytest

from conformance.expectations import (
    BLOCKS_AT,
    DECODERS,
    ENCODERS,
    NARROWER,
    NO_FINAL_NORM,
    READ,
    REFUSED,
    RESCALED_EVERY,
    SHIFTED,
)
from conformance.readings import (
    Pass,
    differences,
    layers_by_isodepth,
    random_ids,
    read_alone,
    tiny,
)
from isodepth.errors import ModelError
from isodepth.models import as_model
from tiny_architectures import ARCHITECTURES, made
from tiny_models import tiny_tokenizer

N_TOKENS = 17  # more than windows and chunks hold
IDS = random_ids([N_TOKENS])[0]
FLOAT32_LIMIT = 1e-4
"""The largest relative difference seen between two ways to the same number is 3e-5 (Jamba)."""


@functools.cache
def passed(name: str) -> Pass:
    return read_alone(tiny(name), IDS, states=True)


def test_every_architecture_is_read_or_refused() -> None:
    assert len(ARCHITECTURES) >= 29  # the paper's nine and twenty more
    assert {*READ, *REFUSED} == set(ARCHITECTURES)
    assert sorted(REFUSED) == ["gemma3n-text"]
    assert set(DECODERS) | set(ENCODERS) == set(READ)
    assert SHIFTED | NO_FINAL_NORM | set(NARROWER) <= set(READ)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_several_streams_are_refused_with_their_shape(name: str) -> None:
    one = ARCHITECTURES[name]
    with pytest.raises(ModelError) as refused:
        as_model(made(name), tiny_tokenizer(), name=name)
    returned = [one.streams, 1, 5, one.width]
    assert f"expected a ModuleList of {one.n_layers} modules" in refused.value.message
    assert f"layers ({one.n_layers} modules, run 1 time, returning {returned})" in refused.value.message
    assert refused.value.hint == "isodepth reads language models whose blocks pass one hidden state on."


@pytest.mark.parametrize("name", READ)
def test_the_blocks_are_found(name: str) -> None:
    one, model = ARCHITECTURES[name], tiny(name).model
    assert [id(block) for block in model.blocks] == [id(block) for block in tiny(name).blocks]
    assert (model.n_layers, model.width) == (one.n_layers, one.width)
    assert BLOCKS_AT[name].endswith(model.provenance["blocks_at"])
    assert model.skipped_blocks == one.uncalled
    assert model.is_causal == (name in DECODERS)


@pytest.mark.parametrize("name", READ)
def test_every_layer_at_every_token_is_what_leaves_the_block(name: str) -> None:
    expected = passed(name).layers[:, 0]
    assert expected.shape == (ARCHITECTURES[name].n_layers, N_TOKENS, ARCHITECTURES[name].width)
    np.testing.assert_array_equal(layers_by_isodepth(tiny(name).model, IDS), expected)
    # no two blocks leave the same, except where text passes one by
    changed = differences(expected[1:], expected[:-1]).max(axis=1) > 1e-2
    assert set(np.flatnonzero(~changed) + 1) == set(ARCHITECTURES[name].uncalled)


@pytest.mark.parametrize("name", READ)
def test_hidden_states_below_the_last_are_the_layers(name: str) -> None:
    one = passed(name)
    assert len(one.states) == len(one.running) + 1
    given = one.states[:-1] if name in SHIFTED else one.states[1:-1]
    for number, (state, left) in enumerate(zip(given, one.running, strict=False), 1):
        every = RESCALED_EVERY.get(name)
        factor = 0.5 if every is not None and number % every == 0 else 1
        np.testing.assert_array_equal(state, factor * left, err_msg=f"block {number}")


@pytest.mark.parametrize("name", READ)
def test_the_last_hidden_state_is_after_the_final_norm_where_there_is_one(name: str) -> None:
    one = passed(name)
    last, left = one.states[-1], one.running[-1]
    np.testing.assert_array_equal(last, one.final)
    if name in NARROWER:
        assert last.shape[-1] == NARROWER[name]
    elif name in NO_FINAL_NORM:
        np.testing.assert_array_equal(last, left)
    else:
        assert differences(last, left).min() > 1e-2


@pytest.mark.parametrize("name", [name for name in READ if name not in NARROWER])
def test_capture_final_norm_ends_in_the_last_hidden_state(name: str) -> None:
    found = layers_by_isodepth(tiny(name).model, IDS, "final_norm")
    blocks = layers_by_isodepth(tiny(name).model, IDS)
    np.testing.assert_array_equal(found[:-1], blocks[:-1])
    np.testing.assert_array_equal(found[-1], passed(name).states[-1][0])
    assert np.array_equal(found[-1], blocks[-1]) == (name in NO_FINAL_NORM)


@pytest.mark.parametrize("name", NARROWER)
def test_an_output_of_fewer_units_cannot_stand_for_the_last_layer(name: str) -> None:
    with pytest.raises(ModelError) as refused:
        layers_by_isodepth(tiny(name).model, IDS, "final_norm")
    width = ARCHITECTURES[name].width
    assert f"its output has {NARROWER[name]} units and its blocks {width}" in refused.value.message
    assert refused.value.hint == 'use capture "block".'


@pytest.mark.parametrize("name", READ)
def test_capture_embedding_is_what_enters_the_first_block(name: str) -> None:
    one = passed(name)
    (found,) = layers_by_isodepth(tiny(name).model, IDS, "embedding")
    assert one.entered[0] is not None
    np.testing.assert_array_equal(found, one.entered[0][0])
    assert np.array_equal(found, one.states[0][0]) == (name not in SHIFTED)


@pytest.mark.parametrize("name", DECODERS)
def test_a_later_token_changes_nothing_before_it(name: str) -> None:
    longer = passed(name).layers
    for kept in (1, N_TOKENS - 1):
        alone = read_alone(tiny(name), IDS[:kept]).layers
        assert differences(longer[:, :, :kept], alone).max() < FLOAT32_LIMIT


@pytest.mark.parametrize("name", ENCODERS)
def test_a_later_token_changes_what_stands_before_it_in_an_encoder(name: str) -> None:
    longer = passed(name).layers
    alone = read_alone(tiny(name), IDS[:-1]).layers
    assert differences(longer[:, :, :-1], alone)[-1].min() > 100 * FLOAT32_LIMIT
