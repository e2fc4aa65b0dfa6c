"""The contract: right on ordinary models, and it finds what it is there to find."""

import json
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tiny_models
from isodepth import Model, TextSet, as_model, extract, load_model
from isodepth.activations import ExtractionOptions, extract_all, prepare_extraction
from isodepth.activations.batching import BATCHINGS
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.contract import BatchingWarning, Contract, check_contracts
from isodepth.activations.encoding import EncodedTexts, encode_texts
from isodepth.activations.probes import MOST_MIDDLE_TOKENS, MOST_PROBE_TOKENS, probe_texts
from isodepth.activations.residual_stream import HiddenStatesWarning, relative_difference
from isodepth.errors import ActivationsError, IsodepthError, ModelError
from tiny_models import largest_relative_difference

Tiny = Callable[..., Model]
Copied = Callable[[Path], Path]

TEXTS = tiny_models.texts_of([3, 17, 7, 11, 2, 23])
PROBE_TOKENS = (3, 4, 8, 12, 18, 24)  # with BOS
AFTER = "the model's output, after "


def encoded_for(model: Model, texts: list[str] = TEXTS) -> EncodedTexts:
    return encode_texts(
        texts, model.tokenizer, limit=None, name=model.name, keeps_suffix=not model.is_causal
    )


def contract_of(model: Model, pooling: str | int = "last") -> Contract:
    (contract,) = check_contracts(model, encoded_for(model), [Reading("block", pooling)])
    return contract


def one_at_a_time(model: Model, texts: list[str], pooling: str = "last") -> np.ndarray:
    """Return (layers, texts, units) of texts read alone, by hooks that know nothing of isodepth."""
    values = np.empty((model.n_layers, len(texts), model.width), dtype=np.float32)
    for row, text in enumerate(texts):
        ids = model.tokenizer(text)["input_ids"]
        for layer, block in enumerate(model.blocks):
            states = tiny_models.slow_last_block_outputs(model.body, block, ids)
            own = states[1:] if model.is_causal else states
            values[layer, row] = own.mean(axis=0) if pooling == "mean" else states[-1]
    return values


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize(
    ("name", "norm"),
    [("llama", "norm (LlamaRMSNorm)"), ("gemma", "norm (Gemma3RMSNorm)"), ("gpt2", "ln_f (LayerNorm)")],
)
def test_ordinary_decoders_keep_it_with_differences_near_rounding(
    name: str, norm: str, pooling: str, request: pytest.FixtureRequest
) -> None:
    model = load_model(request.getfixturevalue(f"{name}_folder"))
    contract = contract_of(model, pooling)
    assert contract.probe_tokens == PROBE_TOKENS
    assert (contract.skipped_blocks, contract.is_causal) == ((), True)
    assert (contract.batching, contract.tolerance) == ("padded", 1e-4)
    for found in (
        contract.batched_against_single,
        contract.padded_against_single,
        contract.rounding,
        contract.later_token_effect,
        contract.hooks_against_hidden_states,
    ):
        assert found is not None
        assert 0 <= found < 1e-5
    assert contract.padded_against_single > 0
    assert contract.blocks_chained == 0
    assert contract.final_norm == norm
    assert contract.last_hidden_state == f"{AFTER}{contract.final_norm}"
    ordered = sorted(TEXTS, key=lambda text: len(text.split()))
    slow = one_at_a_time(model, ordered, pooling)
    for values in (contract.single, contract.batched):
        assert largest_relative_difference(values, slow) < 1e-5


def test_the_contract_is_stored_as_json_values_without_the_probes(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    stored = extract(model, TEXTS).provenance["contract"]
    assert json.loads(json.dumps(stored)) == stored
    assert stored == contract_of(model).as_dict()
    assert stored.keys() == {
        "probe_tokens",
        "skipped_blocks",
        "is_causal",
        "batching",
        "batched_against_single",
        "padded_against_single",
        "rounding",
        "later_token_effect",
        "tolerance",
        "blocks_chained",
        "final_norm",
        "hooks_against_hidden_states",
        "last_hidden_state",
        "outliers",
    }
    assert stored["outliers"].keys() >= {"unit_share", "token_norm_ratio", "text_norm_ratio"}


@pytest.mark.parametrize("pooling", ["mean", "first", 1])
def test_an_encoder_keeps_it_with_means(pooling: str | int, bert_folder: Path) -> None:
    model = load_model(bert_folder)
    contract = contract_of(model, pooling)
    assert (contract.is_causal, contract.later_token_effect) == (False, None)
    assert (contract.batching, contract.final_norm) == ("padded", None)
    assert contract.last_hidden_state == "the last block's output, which no norm follows"
    assert contract.hooks_against_hidden_states is not None
    assert contract.hooks_against_hidden_states < 1e-5
    ordered = sorted(TEXTS, key=lambda text: len(text.split()))
    assert largest_relative_difference(contract.single, one_at_a_time(model, ordered, "mean")) < 1e-5


@pytest.mark.parametrize("eos", [False, True])
def test_last_tokens_of_an_encoder_are_refused_with_what_to_do(eos: bool, tiny: Tiny) -> None:
    model = tiny("bert", eos=eos)  # as sentence models do, its tokenizer ends every text in [SEP]
    with pytest.raises(ActivationsError) as caught:
        extract(model, TEXTS)
    assert caught.value.message == (
        "tiny-bert (BertModel): its tokens see later ones (it is no causal decoder), so the last token "
        "does not stand for what has been read"
    )
    assert caught.value.hint == "use --pooling mean, as sentence models do."
    found = extract(model, TEXTS, pooling="mean").values
    assert largest_relative_difference(found, one_at_a_time(model, TEXTS, "mean")) < 1e-5


def test_an_encoder_decoder_is_refused_with_an_error_of_ours(tmp_path: Path) -> None:
    folder = tiny_models.saved(tmp_path / "tiny-t5", tiny_models.t5)
    with pytest.raises(ModelError, match="tiny-t5") as caught:
        extract(load_model(folder), TEXTS)
    assert "isodepth reads" in str(caught.value.hint)
    assert isinstance(caught.value, IsodepthError)


# what changes a block's output on its way out, before isodepth's hook sees it


def patched_block(model: Model, layer: int, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def hook(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    return model.blocks[layer].register_forward_hook(hook)


def leaking_padding(model: Model, layer: int = 2) -> None:
    """Let all texts of a batch change with how much of it is padding."""
    padding = [0.0]

    def note(module: torch.nn.Module, inputs: Any, named: Any) -> None:
        mask = named.get("attention_mask")
        padding[0] = 0.0 if mask is None else float((mask == 0).sum())

    model.body.register_forward_pre_hook(note, with_kwargs=True)
    patched_block(model, layer, lambda hidden: hidden + 0.1 * padding[0])


def leaking_batches(model: Model, layer: int = 2) -> None:
    """Let all texts change with how many share the batch."""
    patched_block(model, layer, lambda hidden: hidden + 0.1 * (hidden.shape[0] - 1))


FEW = tiny_models.texts_of([3, 17, 7, 17, 3, 23, 7, 3, 11], seed=17)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize(
    ("leak", "batching"), [(leaking_padding, "equal-length"), (leaking_batches, "single")]
)
def test_a_model_that_cannot_be_batched_is_read_so_that_it_need_not_be(
    leak: Callable[[Model], None], batching: str, pooling: str, llama_folder: Path
) -> None:
    model = load_model(llama_folder)
    leak(model)
    shapes: list[tuple[int, ...]] = []
    with pytest.warns(BatchingWarning) as caught:
        (extraction,) = prepare_extraction(
            model, TextSet.of(FEW), ExtractionOptions(pooling=pooling), token_budget=67
        )
    (warning,) = caught

    def note(hidden: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(hidden.shape))
        return hidden

    handle = patched_block(model, 0, note)
    found = np.empty(extraction.shapes[0], dtype=np.float32)
    for rows, (values,) in extraction.batches():
        found[:, rows] = values
    handle.remove()

    lengths = sorted(len(text.split()) + 1 for text in FEW)
    read = sorted(length for n_texts, length, _ in shapes for _ in range(n_texts))
    assert read == lengths  # no batch has padding
    n_batches = {"equal-length": len(set(lengths)), "single": len(FEW)}[batching]
    assert len(shapes) == n_batches
    assert largest_relative_difference(found, one_at_a_time(model, FEW, pooling)) < 1e-5
    with BlockReader(model, [Reading("block", pooling)]) as reader:
        alone = [reader.read([ids], front=1)[0] for ids in extraction.encoded.ids]
    if batching == "single":
        np.testing.assert_array_equal(found, np.concatenate(alone, axis=1))

    said = str(warning.message)
    contract = extraction.provenance(*extraction.contracts)["contract"]
    what = {"equal-length": "padding", "single": "batching"}[batching]
    assert said == (
        f"tiny-llama (LlamaModel): {what} changes the activations (relative difference "
        f"{contract['padded_against_single']:.1e}, expected at most 1e-04), so it is read otherwise: "
        f"{BATCHINGS[batching]}. That takes longer."
    )
    assert contract["batching"] == batching
    assert contract["padded_against_single"] > 1e-2
    assert contract["batched_against_single"] < 1e-5


def test_what_a_model_that_cannot_be_batched_gives_is_what_extract_returns(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    leaking_batches(model)
    with pytest.warns(BatchingWarning):
        activations = extract(model, FEW)
    assert largest_relative_difference(activations.values, one_at_a_time(model, FEW)) < 1e-5
    assert activations.provenance["contract"]["batching"] == "single"


def test_batching_that_changes_bfloat16_by_far_more_than_rounding_is_noticed(tiny: Tiny) -> None:
    model = tiny("llama", dtype=torch.bfloat16)
    patched_block(model, 2, lambda hidden: hidden * (1.5 if hidden.shape[0] > 1 else 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchingWarning)
        contract = contract_of(model)
    assert contract.batching == "single"


def test_padding_that_changes_bfloat16_is_found_too(tiny: Tiny) -> None:
    model = tiny("llama", dtype=torch.bfloat16)
    leaking_padding(model)
    with pytest.warns(BatchingWarning):
        contract = contract_of(model)
    assert contract.batching == "equal-length"
    assert contract.padded_against_single > contract.tolerance >= contract.batched_against_single


@pytest.mark.parametrize("name", ["llama", "gemma2", "mixtral", "mamba"])
def test_in_bfloat16_the_limit_follows_rounding_and_ordinary_models_keep_it(
    name: str, tiny: Tiny
) -> None:
    model = tiny(name, dtype=torch.bfloat16)
    assert model.provenance["dtype"] == "bfloat16"
    contract = contract_of(model)
    assert contract.tolerance == max(5e-2, 4 * contract.rounding)
    assert contract.tolerance < 0.3
    assert contract.batching == "padded"
    assert contract.batched_against_single <= contract.tolerance
    exact = contract_of(tiny(name))
    assert exact.tolerance == 1e-4
    assert 1e-4 < largest_relative_difference(contract.single, exact.single) < 0.5


def test_float16_has_a_limit_of_its_own(llama_folder: Path) -> None:
    model = load_model(llama_folder, dtype="float16")
    contract = contract_of(model)
    assert contract.tolerance == max(1e-2, 4 * contract.rounding)
    assert contract.batched_against_single <= contract.tolerance


@pytest.mark.parametrize("pooling", ["last", "mean", 2])
def test_a_block_that_mixes_in_the_mean_of_all_tokens_is_refused(
    pooling: str | int, llama_folder: Path
) -> None:
    model = load_model(llama_folder)
    patched_block(model, 3, lambda hidden: hidden + 0.1 * hidden.mean(dim=1, keepdim=True))
    with pytest.raises(ActivationsError) as caught:
        extract(model, TEXTS, pooling=pooling)
    message = caught.value.message
    assert message.startswith(
        "tiny-llama (LlamaModel): a later token changes earlier activations in layer 4, 5: relative "
        "difference "
    )
    assert message.endswith(", expected at most 1e-04; the model is not a causal decoder")
    assert caught.value.hint == (
        "isodepth reads causal decoders at any token, other language models with --pooling mean."
    )


def test_a_model_that_mixes_from_the_start_is_taken_for_what_it_is(llama_folder: Path) -> None:
    body = load_model(llama_folder).body
    body.layers[3].register_forward_hook(
        lambda module, inputs, output: output + 0.5 * output.mean(dim=1, keepdim=True)
    )
    model = as_model(body, tiny_models.tiny_tokenizer(), name="mixing", digest="mixing")
    assert not model.is_causal


def test_weights_that_are_not_finite_are_refused_by_layer(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    with torch.no_grad():
        model.blocks[2].mlp.down_proj.weight = torch.nn.Parameter(
            torch.full_like(model.blocks[2].mlp.down_proj.weight, torch.nan)
        )
    with pytest.raises(ActivationsError) as caught:
        extract(model, TEXTS)
    assert caught.value.message == (
        "tiny-llama (LlamaModel): NaN or infinite activations in layer 3, 4, 5 on the probe texts"
    )
    assert "--dtype float32" in str(caught.value.hint)


def test_mamba_whose_hidden_states_lack_the_embedding_keeps_it(mamba_folder: Path) -> None:
    # transformers gives it n + 1 entries too, but the first is already the first block's output
    contract = contract_of(load_model(mamba_folder))
    assert contract.hooks_against_hidden_states is not None
    assert contract.hooks_against_hidden_states < 1e-5
    assert contract.last_hidden_state == f"{AFTER}{contract.final_norm}"
    assert contract.final_norm == "norm_f (MambaRMSNorm)"


def test_blocks_that_text_passes_by_are_told_and_keep_it(tiny: Tiny) -> None:
    contract = contract_of(tiny("mllama"))
    assert contract.skipped_blocks == (2, 4)
    assert contract.blocks_chained == 0
    assert contract.hooks_against_hidden_states is not None  # an entry for every block that runs
    assert contract.hooks_against_hidden_states < 1e-5
    assert contract.last_hidden_state == f"{AFTER}{contract.final_norm}"
    np.testing.assert_array_equal(contract.single[1], contract.single[0])
    np.testing.assert_array_equal(contract.batched[3], contract.batched[2])


def test_rwkv_which_halves_what_blocks_return_is_warned_of(tiny: Tiny) -> None:
    model = tiny("rwkv")
    with pytest.warns(HiddenStatesWarning, match="tiny-rwkv: block") as caught:
        contract = contract_of(model)
    said = [str(warning.message) for warning in caught]
    assert (
        "tiny-rwkv: block 3, 5 receives something else than the block before returns (relative "
        "difference 5.0e-01); isodepth uses what blocks return"
    ) in said
    assert contract.blocks_chained == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("factor", [1.01, 3.0])
def test_a_model_that_passes_on_something_else_than_the_block_returned_is_warned_of(
    factor: float, llama_folder: Path
) -> None:
    model = load_model(llama_folder)

    def change(module: torch.nn.Module, inputs: Any, named: Any) -> Any:
        if inputs:
            return (factor * inputs[0], *inputs[1:]), named
        return inputs, {**named, "hidden_states": factor * named["hidden_states"]}

    for layer in (1, 3):
        model.blocks[layer].register_forward_pre_hook(change, with_kwargs=True)
    with pytest.warns(HiddenStatesWarning, match="receives something else") as caught:
        contract = contract_of(model)
    assert contract.blocks_chained == pytest.approx(factor - 1, rel=1e-3)
    assert any(str(warning.message).startswith("tiny-llama: block 2, 4 receives") for warning in caught)


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
    with pytest.warns(HiddenStatesWarning) as caught:
        contract = contract_of(model)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "tiny-llama: block outputs differ from output_hidden_states below the last layer (relative "
        "difference 9.9e-03); isodepth uses the block outputs"
    )
    assert contract.hooks_against_hidden_states == pytest.approx(0.01 / 1.01, rel=1e-3)
    assert contract.last_hidden_state == "something else"


def test_a_last_state_before_the_norm_is_told_from_one_behind_it(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(llama_folder)
    forward, leaving = type(model.body).forward, []
    model.blocks[-1].register_forward_hook(lambda module, inputs, output: leaving.append(output))

    def forward_with_raw_states(self: Any, **inputs: Any) -> Any:
        output = forward(self, **inputs)
        if output.hidden_states is not None:
            output.hidden_states = (*output.hidden_states[:-1], leaving[-1])
        return output

    monkeypatch.setattr(type(model.body), "forward", forward_with_raw_states)
    contract = contract_of(model)
    assert contract.last_hidden_state == "the last block's output"
    assert contract.final_norm == "norm (LlamaRMSNorm)"


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
    contract = contract_of(model)
    assert contract.hooks_against_hidden_states is None
    assert contract.last_hidden_state == "not given"
    assert contract.batched_against_single < 1e-5


def test_the_check_leaves_no_hooks_behind(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    modules = [model.body, *model.body.modules()]
    contract_of(model)  # transformers leaves hooks of its own from the first run
    before = [(len(one._forward_hooks), len(one._forward_pre_hooks)) for one in modules]
    contract_of(model)
    patched = patched_block(model, 3, lambda hidden: hidden + hidden.mean(dim=1, keepdim=True))
    with pytest.raises(ActivationsError):
        contract_of(model)
    patched.remove()
    assert [(len(one._forward_hooks), len(one._forward_pre_hooks)) for one in modules] == before


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
        ([7, 3, 5, 2, 11], [2, 7, 11]),
        ([140, 5, 150], [5, MOST_MIDDLE_TOKENS, 150]),  # of the others the front is enough
        ([MOST_PROBE_TOKENS, 701, 5, 9001], [5, MOST_MIDDLE_TOKENS, MOST_PROBE_TOKENS]),
        ([701, 601], [MOST_MIDDLE_TOKENS, MOST_PROBE_TOKENS]),
    ],
)
def test_probes_are_short_and_middle_texts_and_a_long_one(
    lengths: list[int], expected: list[int]
) -> None:
    assert [len(ids) for ids in probe_texts(lengths_encoded(lengths), n_probes=3)] == expected


@given(
    lengths=st.lists(st.integers(1, 500), min_size=2, max_size=31),
    context_length=st.none() | st.integers(2, 500),
    n_probes=st.integers(2, 11),
)
def test_probes_fit_and_are_texts_of_the_run(
    lengths: list[int], context_length: int | None, n_probes: int
) -> None:
    encoded = lengths_encoded([min(length, context_length or length) for length in lengths])
    probes = probe_texts(encoded, context_length=context_length, n_probes=n_probes)
    assert 2 <= len(probes) <= n_probes
    for ids in probes:
        assert len(ids) >= 1
        np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
        assert len(ids) <= (context_length or MOST_PROBE_TOKENS)
    assert max(len(ids) for ids in probes[:-1]) <= MOST_MIDDLE_TOKENS
    assert len(probes[-1]) <= MOST_PROBE_TOKENS
    assert len(probes[-1]) == min(max(lengths), context_length or MOST_PROBE_TOKENS)


def test_relative_difference_is_the_distance_over_the_norm(rng: np.random.Generator) -> None:
    expected = rng.normal(size=(3, 5, 7)).astype(np.float32)
    assert (relative_difference(expected, expected) == 0).all()
    np.testing.assert_allclose(relative_difference(np.float32(1.5) * expected, expected), 0.5)
    zero = np.zeros((2, 3), dtype=np.float32)
    assert (relative_difference(zero, zero) == 0).all()
    assert float(relative_difference(zero[0], zero[0])) == 0  # a single vector


@pytest.fixture
def leaking(llama_folder: Path) -> Model:
    """A model one of whose parts changes with the batch, which its block takes back."""
    model = load_model(llama_folder)
    leaked = threading.local()

    def leak(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        is_proof = output.shape[:2] == (2, 5)  # not yet of a batch
        leaked.now = 0.0 if is_proof else 0.1 * (output.shape[0] - 1) * output
        return output + leaked.now

    # the block takes it back, so that its own output tells nothing
    model.blocks[2].mlp.register_forward_hook(leak)
    model.blocks[2].register_forward_hook(lambda module, inputs, output: output - leaked.now)
    return model


def test_what_else_the_run_reads_is_measured_in_batches_too(leaking: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (plain,) = prepare_extraction(leaking, TextSet.of(TEXTS), ExtractionOptions())
    assert plain.batching == "padded"
    with pytest.warns(BatchingWarning, match="batching changes the activations \\(relative"):
        (found,) = prepare_extraction(leaking, TextSet.of(TEXTS), ExtractionOptions(capture="mlp"))
    assert found.batching == "single"
    assert found.contracts[0].single.shape[0] == leaking.n_layers


def test_how_one_thing_is_read_does_not_depend_on_what_else_is(leaking: Model) -> None:
    texts = TextSet.of(TEXTS)
    captures = ["block", "mlp", "attention"]
    poolings: list[str | int] = ["last", "mean", -2]
    wanted = [
        ExtractionOptions(capture=capture, pooling=pooling)
        for capture in captures
        for pooling in poolings
    ]
    with pytest.warns(BatchingWarning, match="batching changes the activations of mlp") as caught:
        passes = prepare_extraction(leaking, texts, wanted)
    assert len(caught) == 1
    assert [one.batching for one in passes] == ["padded", "single"]
    assert {options.capture for options in passes[1].options} == {"mlp"}
    together = {
        options: contract
        for one in passes
        for options, contract in zip(one.options, one.contracts, strict=True)
    }
    assert together.keys() == set(wanted)
    measured = ("batching", "batched_against_single", "padded_against_single", "rounding", "tolerance")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BatchingWarning)
        every = extract_all(leaking, texts, captures=captures, poolings=poolings)
        for options in wanted:
            (alone,) = prepare_extraction(leaking, texts, options)
            for name in measured:
                assert getattr(alone.contracts[0], name) == getattr(together[options], name), name
            expected = extract(leaking, texts, capture=options.capture, pooling=options.pooling)
            np.testing.assert_array_equal(
                every[options.capture, options.pooling].values, expected.values
            )


def test_two_threads_may_read_with_one_model_object(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    expected = {capture: extract(model, TEXTS, capture=capture).values for capture in ("block", "mlp")}

    def read(capture: str) -> list[float]:
        return [
            largest_relative_difference(
                extract(model, TEXTS, capture=capture).values, expected[capture]
            )
            for _ in range(5)
        ]

    with ThreadPoolExecutor(2) as executor:
        differences = [*executor.map(read, ("block", "mlp"))]
    assert np.max(differences) < 1e-5


def test_a_block_that_runs_twice_or_not_at_all_while_reading_is_refused(llama_folder: Path) -> None:
    texts = tiny_models.texts_of([3, 17, 7])
    model = load_model(llama_folder)
    forward = model.blocks[1].forward
    model.blocks[1].forward = lambda hidden, **named: forward(
        model.blocks[3](hidden, **named) if hidden.shape[1] > 5 else hidden, **named
    )
    with pytest.raises(ActivationsError, match=r"block 4 \(block\) ran twice in a pass"):
        extract(model, texts)
    model = load_model(llama_folder)

    class Passing(torch.nn.Module):
        def forward(self, hidden: torch.Tensor, **named: Any) -> torch.Tensor:
            return hidden

    model.body.layers[2] = Passing()
    with pytest.raises(ActivationsError, match=r"block 3 \(block\) did not run in a pass"):
        extract(model, texts)
