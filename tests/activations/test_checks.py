"""The self-check: passes on causal decoders, and refuses what it is there to refuse."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, TextSet, extract, load_model
from isodepth.activations import ExtractionOptions, prepare_extraction
from isodepth.activations.checks import (
    MOST_PROBE_TOKENS,
    TOLERANCE,
    HiddenStatesWarning,
    SelfCheck,
    check_extraction,
    probe_texts,
    relative_difference,
)
from isodepth.activations.encoding import EncodedTexts, encode_texts
from isodepth.errors import ActivationsError

TEXTS = tiny_models.texts_of([3, 17, 7, 11, 2, 23])


def encoded_for(model: Model, texts: list[str] = TEXTS) -> EncodedTexts:
    return encode_texts(texts, model.tokenizer, limit=None, name=model.name)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_causal_decoders_pass_with_differences_near_rounding(
    name: str, pooling: str, request: pytest.FixtureRequest
) -> None:
    model = load_model(request.getfixturevalue(f"{name}_folder"))
    check = check_extraction(model, encoded_for(model), pooling=pooling)
    assert check.probe_tokens == (3, 12, 24)  # the shortest, a middle one, the longest; with BOS
    assert check.tolerance == TOLERANCE
    assert 0 <= check.batched_against_single < 1e-5
    assert 0 <= check.later_token_effect < 1e-5
    assert check.hooks_against_hidden_states is not None
    assert check.hooks_against_hidden_states < 1e-5
    assert check.final_norm_against_last_hidden_state is not None
    assert check.final_norm_against_last_hidden_state < 1e-5
    assert check.as_dict()["probe_tokens"] == [3, 12, 24]


def test_mamba_whose_hidden_states_lack_the_embedding_is_warned_of_and_passes(
    mamba_folder: Path,
) -> None:
    # transformers gives it n + 1 entries too, but the first is already the first block's output
    model = load_model(mamba_folder)
    with pytest.warns(HiddenStatesWarning, match="tiny-mamba"):
        check = check_extraction(model, encoded_for(model), pooling="last")
    assert check.batched_against_single < 1e-5
    assert check.later_token_effect < 1e-5
    assert check.final_norm_against_last_hidden_state is not None
    assert check.final_norm_against_last_hidden_state < 1e-5


def test_a_model_whose_tokens_see_later_ones_is_refused_with_the_reason(bert_folder: Path) -> None:
    with pytest.raises(ActivationsError) as caught:
        extract(load_model(bert_folder), TEXTS)
    message = caught.value.message
    assert message.startswith("tiny-bert (BertModel): a later token changes earlier activations")
    assert "in layer 1, 2, 3" in message
    assert "the model is not a causal decoder" in message
    assert f"expected at most {TOLERANCE:.0e}" in message
    assert caught.value.hint == "isodepth reads causal decoder language models."


def test_an_encoder_decoder_is_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    from isodepth import IsodepthError

    folder = tiny_models.saved(tmp_path / "tiny-t5", tiny_models.t5)
    with pytest.raises(IsodepthError, match="tiny-t5") as caught:
        extract(load_model(folder), TEXTS)
    assert "isodepth reads" in str(caught.value.hint)


def patched_block(model: Model, layer: int, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Let a block's output be changed on its way out, before isodepth's hook sees it."""

    def hook(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    return model.blocks[layer].register_forward_hook(hook)


def test_padding_that_leaks_is_refused_with_the_layers_that_it_reaches(llama_folder: Path) -> None:
    model = load_model(llama_folder)

    def shifted_by_length(hidden: torch.Tensor) -> torch.Tensor:
        return hidden + 0.01 * hidden.shape[1] * (hidden.shape[0] > 1)

    patched_block(model, 2, shifted_by_length)
    with pytest.raises(ActivationsError) as caught:
        prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions())
    message = caught.value.message
    assert message.startswith(
        "tiny-llama (LlamaModel): padding changes the activations in layer 3, 4, 5"
    )
    assert "the model cannot be batched exactly" in message


def test_a_block_that_mixes_in_the_mean_of_all_tokens_is_refused(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    patched_block(model, 3, lambda hidden: hidden + 0.1 * hidden.mean(dim=1, keepdim=True))
    with pytest.raises(
        ActivationsError, match="a later token changes earlier activations in layer 4, 5"
    ):
        extract(model, TEXTS)


def test_weights_that_are_not_finite_are_refused_by_layer(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with torch.no_grad():
        model.blocks[2].mlp.down_proj.weight = torch.nn.Parameter(
            torch.full_like(model.blocks[2].mlp.down_proj.weight, torch.nan)
        )
    with pytest.raises(ActivationsError, match="tiny-llama .* in layer 3, 4, 5") as caught:
        extract(model, TEXTS)
    assert "its activations are not finite" in caught.value.message


def test_hidden_states_that_differ_below_the_last_layer_are_warned_of(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(llama_folder)
    forward = type(model.body).forward

    def forward_with_other_states(self: Any, **inputs: Any) -> Any:
        output = forward(self, **inputs)
        if output.hidden_states is not None:
            output.hidden_states = tuple(1.01 * state for state in output.hidden_states)
        return output

    monkeypatch.setattr(type(model.body), "forward", forward_with_other_states)
    with pytest.warns(HiddenStatesWarning, match="tiny-llama: block outputs differ") as caught:
        check = check_extraction(model, encoded_for(model), pooling="last")
    assert len(caught) == 1
    assert "isodepth uses the block outputs" in str(caught[0].message)
    assert check.hooks_against_hidden_states == pytest.approx(0.01 / 1.01, rel=1e-3)


@pytest.mark.parametrize("n_states", [None, 0, 4])
def test_a_model_with_no_or_other_hidden_states_is_not_compared_with_them(
    n_states: int | None, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(llama_folder)
    forward = type(model.body).forward

    def forward_with_few_states(self: Any, **inputs: Any) -> Any:
        output = forward(self, **inputs)
        states = output.hidden_states
        output.hidden_states = None if n_states is None or states is None else states[:n_states]
        return output

    monkeypatch.setattr(type(model.body), "forward", forward_with_few_states)
    check = check_extraction(model, encoded_for(model), pooling="last")
    assert check.hooks_against_hidden_states is None
    assert check.final_norm_against_last_hidden_state is None
    assert check.batched_against_single < 1e-5


@pytest.mark.parametrize("n_words", [100, 101, 150])
def test_texts_that_fill_the_context_of_a_model_with_learned_positions_are_read(
    n_words: int, gpt2_folder: Path
) -> None:
    model = load_model(gpt2_folder)  # 101 positions: one more token has no position
    texts = tiny_models.texts_of([n_words, 3, 7])
    activations = extract(model, texts)
    assert activations.provenance["encoding"]["n_truncated"] == int(n_words + 1 > 101)
    assert np.isfinite(activations.values).all()


def lengths_encoded(lengths: list[int]) -> EncodedTexts:
    ids = tuple(np.arange(1, length + 1) for length in lengths)
    rows = tuple(np.array([row]) for row in range(len(lengths)))
    return EncodedTexts(ids=ids, rows=rows, limit=None, truncated=(), prefix=(), suffix=())


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([5], [2, 5]),  # one alone would need no padding, so its half goes with it
        ([7, 3], [3, 7]),
        ([7, 3, 5, 2, 11], [2, 5, 11]),
        ([MOST_PROBE_TOKENS + 1, 3, 9001], [1, 3]),  # long ones cost too much
        (
            [701, 601],
            [MOST_PROBE_TOKENS // 2, MOST_PROBE_TOKENS],
        ),  # unless there are no others: then a part
    ],
)
def test_probes_are_a_short_a_middle_and_a_long_text(lengths: list[int], expected: list[int]) -> None:
    assert [len(ids) for ids in probe_texts(lengths_encoded(lengths))] == expected


def test_relative_difference_is_the_distance_over_the_norm(rng: np.random.Generator) -> None:
    expected = rng.normal(size=(3, 5, 7)).astype(np.float32)
    assert (relative_difference(expected, expected) == 0).all()
    np.testing.assert_allclose(relative_difference(np.float32(1.5) * expected, expected), 0.5)
    zero = np.zeros((2, 3), dtype=np.float32)
    assert (relative_difference(zero, zero) == 0).all()


def test_a_check_is_written_as_json_values() -> None:
    check = SelfCheck(
        probe_tokens=(2, 3),
        batched_against_single=1e-7,
        later_token_effect=0.0,
        hooks_against_hidden_states=None,
        final_norm_against_last_hidden_state=None,
    )
    assert check.as_dict() == {
        "probe_tokens": [2, 3],
        "batched_against_single": 1e-7,
        "later_token_effect": 0.0,
        "hooks_against_hidden_states": None,
        "final_norm_against_last_hidden_state": None,
        "tolerance": TOLERANCE,
    }
