"""isodepth.extract gives what reading one text at a time gives, for every architecture."""

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import pytest

from conformance.expectations import (
    DECODERS,
    ENCODERS,
    FIRST_POSITIONS_KEPT_FREE,
    HALF_PRECISION,
    READ,
    RESCALED_EVERY,
)
from conformance.readings import (
    BFLOAT16,
    MOST_TOKENS,
    TEXTS,
    differences,
    padded,
    random_ids,
    read,
    single,
    tiny,
    tokens,
)
from isodepth import extract, extract_all
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.contract import BatchingWarning
from isodepth.activations.residual_stream import HiddenStatesWarning
from isodepth.errors import ActivationsError

FLOAT32_LIMIT = 1e-4
"""As in test_batching.py; 1e-5 is seen (Jamba)."""
BFLOAT16_MOST, BFLOAT16_LARGEST = 5e-2, 0.5
"""As in test_batching.py: nine tenths of a layer's texts, and the largest."""


@contextlib.contextmanager
def as_expected(name: str) -> Iterator[None]:
    """Expect the warning of architectures that rescale what they pass on, and no other."""
    if name not in RESCALED_EVERY:
        yield
        return
    with pytest.warns(HiddenStatesWarning):
        yield


@pytest.mark.parametrize("name", DECODERS)
def test_last_and_mean_of_a_batch_are_those_of_each_text_alone(name: str) -> None:
    one = tiny(name)
    with as_expected(name):
        found = extract_all(one.model, TEXTS, poolings=["last", "mean"], token_budget=MOST_TOKENS)
    alone = single(name)
    last = np.stack([layers[:, -1] for layers in alone], axis=1)
    mean = np.stack([layers[:, 1:].mean(axis=1) for layers in alone], axis=1)
    assert found["block", "last"].provenance["contract"]["batching"] == "padded"
    assert differences(found["block", "last"].values, last).max() < FLOAT32_LIMIT
    assert differences(found["block", "mean"].values, mean).max() < FLOAT32_LIMIT
    # texts differ, so the right text's last token is meant
    assert differences(np.roll(last, 1, axis=1), last).max(axis=0).min() > 0.1


@pytest.mark.parametrize("name", ENCODERS)
def test_the_mean_of_an_encoder_is_the_plain_mean_over_the_mask(name: str) -> None:
    one = tiny(name)
    found = extract(one.model, TEXTS, pooling="mean", token_budget=MOST_TOKENS)
    ids, mask = padded(tokens(), 0)
    layers, weights = read(one, ids, mask).layers, mask[..., None]
    expected = (layers * weights).sum(axis=2) / weights.sum(axis=1)
    assert found.provenance["contract"]["batching"] == "padded"
    assert differences(found.values, expected).max() < FLOAT32_LIMIT


@pytest.mark.parametrize("name", ENCODERS)
def test_the_last_token_of_an_encoder_is_refused(name: str) -> None:
    with pytest.raises(ActivationsError) as refused:
        extract(tiny(name).model, TEXTS)
    assert "its tokens see later ones (it is no causal decoder)" in refused.value.message
    assert refused.value.hint == "use --pooling mean, as sentence models do."


@pytest.mark.parametrize("name", HALF_PRECISION)
def test_extraction_in_bfloat16_is_each_text_alone(name: str) -> None:
    one = tiny(name, BFLOAT16)
    pooling = "last" if name in DECODERS else "mean"
    with as_expected(name), warnings.catch_warnings():
        # rounding may move some experts' tokens further than it may, and then texts are not padded
        warnings.simplefilter("ignore", BatchingWarning)
        found = extract(one.model, TEXTS, pooling=pooling, token_budget=MOST_TOKENS)
    assert found.provenance["dtype"] == BFLOAT16
    assert found.values.dtype == np.float32
    alone = single(name, BFLOAT16)
    pooled = [layers[:, -1] if name in DECODERS else layers.mean(axis=1) for layers in alone]
    apart = differences(found.values, np.stack(pooled, axis=1))
    assert np.quantile(apart, 0.8, axis=1).max() < BFLOAT16_MOST
    assert apart.max() < BFLOAT16_LARGEST


@pytest.mark.parametrize("name", READ)
def test_texts_as_long_as_the_model_states_can_be_read(name: str) -> None:
    model = tiny(name).model
    stated = getattr(model.body.config, "max_position_embeddings", None)
    if name in FIRST_POSITIONS_KEPT_FREE:
        assert model.context_length == stated - FIRST_POSITIONS_KEPT_FREE[name]
    limit = model.context_length
    (ids,) = random_ids([307 if limit is None else limit])
    with BlockReader(model, [Reading("block", "mean")]) as reader:
        (values,) = reader.read([ids])
    assert np.isfinite(values).all()


def test_every_architecture_is_among_these() -> None:
    assert sorted([*DECODERS, *ENCODERS]) == sorted(READ)
    assert set(READ) - set(HALF_PRECISION) == {"xlstm"}
