"""Position embeddings that rescale themselves: a text is read as if it were the only one ever read."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tiny_models
from isodepth import Model, TextSet, as_model, extract
from isodepth.activations import ExtractionOptions, prepare_extraction
from tiny_models import largest_relative_difference

ORIGINAL = 29  # tokens, above which they rescale
LENGTHS = [40, 7, 28, 3, 27, 30, 40, 2, 52, 28, 29, 13, 30, 60, 40, 11]  # words; a BOS comes in front
TEXTS = tiny_models.texts_of(LENGTHS, seed=53)


def dynamic_llama(**changes: Any) -> Any:
    settings = {
        "max_position_embeddings": ORIGINAL,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
        "num_hidden_layers": 3,
    }
    return tiny_models.llama(**{**settings, **changes})


LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 7,
    "long_factor": [1.3, 2.1, 3.0, 4.2, 5.1, 6.3, 7.7],
    "original_max_position_embeddings": ORIGINAL,
}


def longrope_phi3() -> Any:
    config = transformers.Phi3Config(
        vocab_size=tiny_models.N_TOKENS,
        hidden_size=28,
        intermediate_size=31,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=211,
        original_max_position_embeddings=ORIGINAL,
        rope_parameters=dict(LONGROPE),
        initializer_range=0.3,
        bos_token_id=tiny_models.BOS,
        eos_token_id=tiny_models.EOS,
        pad_token_id=None,
    )
    return transformers.Phi3ForCausalLM(config)


def longrope_llama() -> Any:
    return tiny_models.llama(
        rope_parameters={**LONGROPE, "short_factor": [1.0] * 3, "long_factor": [2.0, 5.0, 7.0]},
        num_hidden_layers=3,
    )


MAKERS = {"dynamic": dynamic_llama, "longrope-phi3": longrope_phi3, "longrope": longrope_llama}


def fresh_body(make: Callable[[], Any]) -> Any:
    """Return a body that has read nothing yet; the same weights every time."""
    with tiny_models.quietly(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(59)
        return make().eval().base_model


def fresh_model(make: Callable[[], Any]) -> Model:
    model = as_model(fresh_body(make), tiny_models.tiny_tokenizer(), name="tiny", digest="tiny")
    # a limit that these models do not need: "dynamic" is there to read more than it was trained on
    return dataclasses.replace(model, context_length=211)


def alone(make: Callable[[], Any], texts: list[str]) -> np.ndarray:
    """Return (layers, texts, units), each text and layer read by a model that has read nothing else."""
    columns = []
    for text in texts:
        ids = [1, *(tiny_models.VOCABULARY.index(word) for word in text.split())]
        layers = []
        for layer in range(3):
            body = fresh_body(make)
            layers.append(tiny_models.slow_last_block_outputs(body, body.layers[layer], ids)[-1])
        columns.append(np.stack(layers))
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module", params=MAKERS)
def made(request: pytest.FixtureRequest) -> tuple[Callable[[], Any], np.ndarray]:
    make = MAKERS[request.param]
    return make, alone(make, TEXTS)


@pytest.fixture
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


Made = tuple[Callable[[], Any], np.ndarray]


def test_they_are_known_and_ordinary_ones_are_not(made: Made) -> None:
    assert fresh_model(made[0]).rescales_above == ORIGINAL
    assert fresh_model(tiny_models.llama).rescales_above is None


def test_a_longer_text_in_the_batch_would_change_them(made: Made) -> None:
    make, _ = made
    body = fresh_body(make)
    short, long = ([1, *range(3, 3 + n)] for n in (7, 60))
    with torch.inference_mode():
        padded = torch.tensor([short + [0] * (len(long) - len(short)), long])
        mask = (torch.arange(len(long)) < torch.tensor([[len(short)], [len(long)]])).long()
        together = body(input_ids=padded, attention_mask=mask)[0][0, : len(short)]
        by_itself = fresh_body(make)(input_ids=torch.tensor([short]))[0][0]
    assert largest_relative_difference(together.numpy(), by_itself.numpy()) > 1e-2


@pytest.mark.parametrize("token_budget", [1, 67, 9001])
def test_every_text_is_read_as_by_a_model_that_has_read_nothing_else(
    token_budget: int, made: Made
) -> None:
    make, expected = made
    found = extract(fresh_model(make), TEXTS, token_budget=token_budget)
    assert largest_relative_difference(found.values, expected) < 1e-5
    assert found.provenance["contract"]["batching"] == "padded"


@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
@pytest.mark.usefixtures("many_threads")
def test_the_order_of_texts_and_what_was_read_before_change_nothing(
    order: str, made: Made, rng: np.random.Generator
) -> None:
    make, expected = made
    rows = np.argsort(LENGTHS, kind="stable")
    rows = {"ascending": rows, "descending": rows[::-1], "shuffled": rng.permutation(rows)}[order]
    model = fresh_model(make)
    with torch.inference_mode():
        model.body(input_ids=torch.arange(3, 94)[None])  # somebody used it before
    for _ in range(2):
        found = extract(model, [TEXTS[row] for row in rows], token_budget=97).values
        assert largest_relative_difference(found, expected[:, rows]) < 1e-5


def test_short_texts_still_share_batches_and_long_ones_only_those_of_one_length(made: Made) -> None:
    model = fresh_model(made[0])
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=9001)
    batches = [sorted(LENGTHS[row] + 1 for row in rows) for rows, _ in extraction.batches()]
    short = sorted(length + 1 for length in LENGTHS if length + 1 <= ORIGINAL)
    assert sorted(batches) == sorted([short, [30], [31, 31], [41, 41, 41], [53], [61]])


def test_a_resumed_run_reads_what_an_unbroken_one_does(made: Made) -> None:
    make, expected = made
    (extraction,) = prepare_extraction(
        fresh_model(make), TextSet.of(TEXTS), ExtractionOptions(), token_budget=97
    )
    for row in (1, 0, 3, 13, 10):
        for rows, (values,) in extraction.batches(missing=np.array([row])):
            assert row in rows
            assert largest_relative_difference(values, expected[:, rows]) < 1e-5


def test_a_dynamic_model_is_not_read_beyond_the_positions_that_it_states() -> None:
    body = fresh_body(dynamic_llama)
    model = as_model(body, tiny_models.tiny_tokenizer(), name="tiny", digest="tiny")
    assert model.context_length == ORIGINAL
    found = extract(model, TEXTS).provenance["encoding"]
    assert found["truncated_rows"] == [
        row for row, length in enumerate(LENGTHS, 1) if length + 1 > ORIGINAL
    ]
