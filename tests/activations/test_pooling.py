"""From tokens to one vector a text: what is taken, what is left out, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, extract, load_model
from isodepth.activations import extract_all
from isodepth.activations.pooling import Counted, mean_of_tokens, pooling_function, token_at
from isodepth.activations.result import ExtractionOptions, pooling_named
from isodepth.errors import ParameterError, TextsError
from tiny_models import largest_relative_difference

Copied = Callable[[Path], Path]

LENGTHS = [5, 2, 7, 1]  # tokens, of a batch of 7
WORDS = [3, 29, 7, 11, 5, 13]
TEXTS = tiny_models.texts_of(WORDS, seed=41)


@pytest.fixture
def hidden(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(4, 7, 11)).astype(np.float32))


def counted(front: int = 0) -> Counted:
    return Counted(torch.tensor(LENGTHS), front)


def without_bos(folder: Path, copied: Copied) -> Path:
    copy = copied(folder)
    tiny_models.tiny_tokenizer(bos=False).save_pretrained(copy)
    return copy


def test_one_token_is_taken_from_the_front_or_from_the_last_real_token(hidden: torch.Tensor) -> None:
    for row, length in enumerate(LENGTHS):
        for index in range(-length, length):
            real = [hidden[row, place] for place in range(length)]
            np.testing.assert_array_equal(token_at(hidden, counted(), index)[row], real[index])


@pytest.mark.parametrize("front", [0, 1, 3])
def test_the_mean_leaves_out_what_is_in_front_but_never_the_last_token(
    front: int, hidden: torch.Tensor
) -> None:
    found = mean_of_tokens(hidden, counted(front))
    for row, length in enumerate(LENGTHS):
        own = [place for place in range(length) if place >= front] or [length - 1]
        expected = torch.stack([hidden[row, place] for place in own]).mean(dim=0)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pooling", ["last", "mean", "first", 1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pooled_vectors_are_float32_of_their_own_and_padding_does_not_enter(
    pooling: str | int, dtype: torch.dtype, hidden: torch.Tensor
) -> None:
    lengths = torch.tensor([5, 2, 6, 3])
    pool, rounded = pooling_function(pooling), hidden.to(dtype)
    found = pool(rounded, Counted(lengths, 1))
    assert (found.dtype, found.shape) == (torch.float32, (4, 11))
    assert found.untyped_storage().data_ptr() != rounded.untyped_storage().data_ptr()
    for row, length in enumerate(lengths):
        rounded[row, int(length) :] = 1e9
    np.testing.assert_array_equal(pool(rounded, Counted(lengths, 1)), found)


def test_the_mean_in_bfloat16_is_summed_in_float32() -> None:
    hidden = torch.full((1, 1009, 2), 1.0, dtype=torch.bfloat16)
    hidden[0, :, 1] = torch.linspace(0, 1, 1009).to(torch.bfloat16)
    found = mean_of_tokens(hidden, Counted(torch.tensor([1009])))
    np.testing.assert_allclose(found[0], hidden[0].double().mean(dim=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ("last", "last"),
        ("-1", "last"),
        (-1, "last"),
        ("first", "first"),
        (0, "first"),
        ("0", "first"),
        ("-0", "first"),
        ("mean", "mean"),
        (7, 7),
        ("7", 7),
        ("-11", -11),
    ],
)
def test_a_pooling_has_one_name_however_it_is_written(given: Any, named: str | int) -> None:
    assert pooling_named(given) == named
    assert type(pooling_named(given)) is type(named)
    assert ExtractionOptions(pooling=given) == ExtractionOptions(pooling=named)


@pytest.mark.parametrize("given", ["max", "", "-", "--1", "1.0", "+1", "Last"])
def test_other_words_are_refused_with_what_there_is(given: str) -> None:
    with pytest.raises(ParameterError) as caught:
        pooling_named(given)
    assert caught.value.message == (
        f"pooling must be one of last, mean, first or a whole number; got {given!r}"
    )


PLACES = {"last": -1, "first": 0}


def slow(states: np.ndarray, pooling: str | int, *, front: int) -> np.ndarray:
    """Return (layers, units) of one text's (layers, tokens, units)."""
    if pooling == "mean":
        return np.asarray(states[:, front:].mean(axis=1))
    return np.asarray(states[:, PLACES[pooling] if isinstance(pooling, str) else pooling])


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_every_pooling_equals_one_text_at_a_time_and_the_mean_leaves_out_the_bos(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(f"{name}_folder")
    states = tiny_models.slow_hidden_states(folder, TEXTS)
    found = extract_all(
        folder,
        TEXTS,
        captures=["final_norm"],
        poolings=["last", "mean", 1, 2, -2, "-3", "3"],
        token_budget=67,
    )
    assert [pooling for _, pooling in found] == ["last", "mean", 1, 2, -2, -3, 3]
    for (_, pooling), activations in found.items():
        expected = np.stack([slow(one, pooling, front=1) for one in states], axis=1)
        assert largest_relative_difference(activations.values, expected) < 1e-5
        assert activations.provenance["encoding"]["n_tokens_in_front"] == 1


def test_without_a_bos_the_first_token_is_the_texts_own_and_the_mean_counts_it(
    llama_folder: Path, copied: Copied
) -> None:
    folder = without_bos(llama_folder, copied)
    states = tiny_models.slow_hidden_states(folder, TEXTS)
    several: list[list[str | int]] = [["first", "mean"], [0, "mean"], ["0", -3]]
    for poolings in several:
        found = extract_all(folder, TEXTS, captures=["final_norm"], poolings=poolings)
        for (_, pooling), activations in found.items():
            expected = np.stack([slow(one, pooling, front=0) for one in states], axis=1)
            assert largest_relative_difference(activations.values, expected) < 1e-5


@pytest.mark.parametrize("pooling", ["mean", "first", 1, -2])
def test_an_encoder_counts_all_tokens_that_its_tokenizer_gives(
    pooling: str | int, bert_folder: Path, copied: Copied
) -> None:
    folder = copied(bert_folder)
    tiny_models.tiny_tokenizer(eos=True).save_pretrained(folder)
    model = load_model(folder)
    assert not model.is_causal
    found = extract(model, TEXTS, pooling=pooling, token_budget=67)
    for row, text in enumerate(TEXTS):
        ids = [1, *(tiny_models.VOCABULARY.index(word) for word in text.split()), 2]
        for layer, block in enumerate(model.blocks):
            states = tiny_models.slow_last_block_outputs(model.body, block, ids)
            expected = slow(states[None], pooling, front=0)[0]
            assert largest_relative_difference(found.values[layer, row], expected) < 1e-5
    encoding = found.provenance["encoding"]
    assert encoding["special_tokens_at_end"] == ["</s>"]
    assert encoding["special_tokens_at_end_are"] == "kept"


def test_a_mean_of_a_text_cut_right_behind_the_bos_is_its_last_token(llama_folder: Path) -> None:
    texts = ["w3", "w4 w5", "w6 w7 w8"]
    found = extract(llama_folder, texts, pooling="mean", max_tokens=2).values
    np.testing.assert_allclose(found, extract(llama_folder, texts, max_tokens=2).values, atol=1e-6)


@pytest.mark.parametrize("pooling", [6, "6", -7, "-7"])
def test_texts_too_short_for_a_place_are_named_by_their_rows(
    pooling: str | int, llama_folder: Path
) -> None:
    texts = tiny_models.texts_of([11, 5, 6, 3, 7], seed=43)  # a BOS comes before these words
    texts.append(texts[3])
    with pytest.raises(TextsError) as caught:
        extract(llama_folder, texts, pooling=pooling)
    assert caught.value.message == (
        f"tiny-llama: pooling {pooling} needs texts of 7 tokens; fewer has text 2, 4, 6 "
        "(rows count from 1)"
    )
    assert caught.value.hint == "leave them out with --min-chars, or use another pooling."
    extract(llama_folder, [texts[0], texts[2], texts[4]], pooling=pooling)


@pytest.mark.parametrize("pooling", ["first", 0, "0"])
def test_a_place_where_nothing_of_the_text_has_been_read_is_refused(
    pooling: str | int, llama_folder: Path
) -> None:
    with pytest.raises(TextsError) as caught:
        extract(llama_folder, TEXTS, pooling=pooling)
    assert caught.value.message == (
        f"tiny-llama: at pooling 'first' the model has read the same of all {len(TEXTS)} texts, so "
        "their activations (capture 'block') are equal"
    )
    assert caught.value.hint == "use --pooling last or mean."


@pytest.mark.parametrize(
    ("texts", "pooling", "capture", "is_refused"),
    [
        (["w3 w4", "w3 w5", "w3 w6 w7"], 1, "block", True),  # all begin with the same word
        (["w3 w4", "w3 w5", "w8 w6 w7"], 1, "block", False),
        (["w3 w4", "w3 w5", "w3 w6 w7"], 2, "block", False),
        (["w3 w4", "w5 w4", "w6 w7 w4"], "last", "embedding", True),  # an embedding sees one token
        (["w3 w4", "w5 w4", "w6 w7 w4"], "last", "block", False),
        (["w3 w4", "w5 w4", "w6 w7 w4"], -2, "embedding", False),
        (["w3 w4", "w3 w5", "w3 w6 w7"], "mean", "embedding", False),
    ],
)
def test_equal_places_are_refused_where_the_model_has_read_the_same_there(
    texts: list[str], pooling: str | int, capture: str, is_refused: bool, llama_folder: Path
) -> None:
    model = load_model(llama_folder)
    if is_refused:
        with pytest.raises(TextsError, match=f"the same of all 3 texts.*capture '{capture}'"):
            extract(model, texts, pooling=pooling, capture=capture)
        return
    values = extract(model, texts, pooling=pooling, capture=capture).values
    for layer in values:
        assert np.abs(layer - layer[0]).max() > 1e-3


def test_the_first_token_of_an_encoder_has_read_all_of_them(bert_folder: Path) -> None:
    model: Model = load_model(bert_folder)
    values = extract(model, TEXTS, pooling="first").values
    assert np.abs(values - values[:, :1]).max(axis=(0, 2))[1:].min() > 1e-2
    with pytest.raises(TextsError, match="capture 'embedding'"):  # before any block it has not
        extract(model, TEXTS, pooling="first", capture="embedding")
