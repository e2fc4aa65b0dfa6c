"""Extraction equals the slow obvious way, whatever the batches, threads, order and duplicates."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny_models
from isodepth import Model, TextSet, extract, load_model
from isodepth.activations import CAPTURES, ExtractionOptions, extract_all, prepare_extraction
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.contract import BatchingWarning
from isodepth.activations.extraction import TOKEN_BUDGET
from isodepth.errors import ActivationsError, ParameterError, TextsError
from tiny_models import largest_relative_difference

LENGTHS = [3, 29, 7, 61, 2, 13, 41, 5, 1, 19, 11]
TEXTS = tiny_models.texts_of(LENGTHS)

Copied = Callable[[Path], Path]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    """Set torch's number of threads for one test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def shared_models(
    llama_folder: Path, gemma_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Model]:
    """Load two models once for the tests that draw many examples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {"llama": load_model(llama_folder), "gemma": load_model(gemma_folder)}


def hooks_of(model: Model) -> list[int]:
    """Return how many hooks each block has; transformers leaves some of its own from the first run."""
    return [len(block._forward_hooks) for block in model.blocks]


def folder_of(name: str, request: pytest.FixtureRequest) -> Path:
    folder = request.getfixturevalue(f"{name}_folder")
    assert isinstance(folder, Path)
    return folder


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_last_tokens_equal_one_text_at_a_time_with_output_hidden_states(
    name: str, request: pytest.FixtureRequest
) -> None:
    folder = folder_of(name, request)
    model = load_model(folder)
    slow = np.stack([states[:, -1] for states in tiny_models.slow_hidden_states(folder, TEXTS)], axis=1)
    normed = extract(model, TEXTS, capture="final_norm")
    assert normed.values.shape == (model.n_layers, len(TEXTS), model.width)
    assert normed.values.dtype == np.float32
    assert largest_relative_difference(normed.values, slow) < 1e-5
    raw = extract(model, TEXTS)
    assert largest_relative_difference(raw.values[:-1], slow[:-1]) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2", "mamba"])
def test_the_raw_last_layer_is_what_leaves_the_last_block(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = load_model(folder_of(name, request))
    values = extract(model, TEXTS).values
    for row, text in enumerate(TEXTS):
        ids = model.tokenizer(text)["input_ids"]
        slow = tiny_models.slow_last_block_outputs(model.body, model.blocks[-1], ids)
        assert largest_relative_difference(values[-1, row], slow[-1]) < 1e-5


@settings(deadline=None, max_examples=17, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(1, 37), min_size=2, max_size=7),
    token_budget=st.integers(1, 199),
    name=st.sampled_from(["llama", "gemma"]),
    pooling=st.sampled_from(["last", "mean"]),
)
def test_batched_equals_single_for_any_lengths_and_budget(
    lengths: list[int],
    token_budget: int,
    name: str,
    pooling: str,
    shared_models: dict[str, Model],
) -> None:
    model = shared_models[name]  # the sliding window of "gemma" is shorter than most texts
    texts = TextSet.of(tiny_models.texts_of(lengths, seed=sum(lengths)))
    (extraction,) = prepare_extraction(
        model, texts, ExtractionOptions(pooling=pooling), token_budget=token_budget
    )
    with BlockReader(model, [Reading("block", pooling)]) as reader:
        single = [reader.read([ids], front=1)[0] for ids in extraction.encoded.ids]
    position = {int(row): at for at, rows in enumerate(extraction.encoded.rows) for row in rows}
    for rows, (values,) in extraction.batches():
        for at, row in enumerate(rows):
            expected = single[position[int(row)]][:, 0]
            assert largest_relative_difference(values[:, at], expected) < 1e-5


@pytest.mark.parametrize("name", ["llama", "gemma", "gpt2"])
def test_the_number_of_threads_changes_no_bit(
    name: str, request: pytest.FixtureRequest, threads: Callable[[int], None]
) -> None:
    model = load_model(folder_of(name, request))
    values = []
    for n_threads in (1, 2, 3):
        threads(n_threads)
        values.append(extract(model, TEXTS, token_budget=67).values)
        assert torch.get_num_threads() == n_threads
    np.testing.assert_array_equal(values[1], values[0])
    np.testing.assert_array_equal(values[2], values[0])


def test_a_width_at_which_products_are_split_among_threads_changes_no_bit_either(
    tmp_path: Path, threads: Callable[[int], None]
) -> None:
    folder = tiny_models.saved(
        tmp_path / "wide", hidden_size=346, head_dim=64, intermediate_size=709, num_hidden_layers=2
    )
    model = load_model(folder)
    texts = tiny_models.texts_of([71, 67, 61, 53, 47, 43, 41, 37])
    values = []
    for n_threads, token_budget in ((1, 199), (2, 199), (1, 1009), (2, 1009)):
        threads(n_threads)  # the larger budget makes one batch, which one reader runs alone
        values.append(extract(model, texts, token_budget=token_budget).values)
    np.testing.assert_array_equal(values[1], values[0])
    np.testing.assert_array_equal(values[3], values[2])


def test_batches_hold_as_many_tokens_as_the_model_was_loaded_for(llama_folder: Path) -> None:
    lengths = [3, 29, 5, 23, 7, 19, 11, 17, 13]
    texts = tiny_models.texts_of(lengths)
    read: dict[int | None, list[tuple[int, int]]] = {}
    values = {}
    for batch_tokens in (None, 61, 1):
        model = load_model(llama_folder, batch_tokens=batch_tokens)
        (extraction,) = prepare_extraction(model, TextSet.of(texts), ExtractionOptions())
        shapes: list[tuple[int, int]] = []
        hook = model.blocks[0].register_forward_pre_hook(
            lambda module, inputs, seen=shapes: seen.append(tuple(inputs[0].shape[:2]))
        )
        for _ in extraction.batches():
            pass
        hook.remove()
        read[batch_tokens] = sorted(shapes)
        activations = extract(model, texts)
        assert activations.provenance["token_budget"] == (batch_tokens or 1024)
        values[batch_tokens] = activations.values
    in_front = 1  # the tokenizer's
    longest = max(lengths) + in_front
    assert read[None] == [(len(lengths), longest)]
    assert read[61] == [(2, 30), (3, 20), (4, 12)]
    assert read[1] == sorted((1, length + in_front) for length in lengths)
    for batch_tokens in (61, 1):
        assert largest_relative_difference(values[batch_tokens], values[None]) < 1e-5
    given = extract(load_model(llama_folder, batch_tokens=61), texts, token_budget=199)
    assert given.provenance["token_budget"] == 199


def test_rows_come_back_in_the_order_of_the_texts(llama_folder: Path, rng: np.random.Generator) -> None:
    model = load_model(llama_folder)
    order = rng.permutation(len(TEXTS))
    values = extract(model, TEXTS, token_budget=89).values
    shuffled = extract(model, [TEXTS[row] for row in order], token_budget=89).values
    assert largest_relative_difference(shuffled, values[:, order]) < 1e-5
    for layer in range(model.n_layers):  # and no two texts are so near that this could not tell
        nearest = np.linalg.norm(values[layer][:, None] - values[layer][None], axis=-1)
        np.fill_diagonal(nearest, np.inf)
        assert (nearest.min(axis=1) > 1e-3 * np.linalg.norm(values[layer], axis=1)).all()


def test_duplicates_get_identical_vectors_and_are_read_once(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    texts = [TEXTS[0], TEXTS[3], TEXTS[0], TEXTS[1], TEXTS[3], TEXTS[0]]
    done: list[tuple[int, int]] = []
    activations = extract(
        model, texts, token_budget=1, progress=lambda label, *report: done.append(report[:2])
    )
    values = activations.values
    np.testing.assert_array_equal(values[:, 2], values[:, 0])
    np.testing.assert_array_equal(values[:, 5], values[:, 0])
    np.testing.assert_array_equal(values[:, 4], values[:, 1])
    assert not np.array_equal(values[:, 3], values[:, 0])
    distinct = sum(LENGTHS[row] + 1 for row in (0, 3, 1))
    assert activations.provenance["encoding"]["n_tokens"] == distinct
    assert (done[0], done[-1]) == ((0, distinct), (distinct, distinct))


def test_progress_counts_real_tokens_up_to_their_number(llama_folder: Path) -> None:
    reports: list[tuple[str, int, int, str]] = []
    extract(load_model(llama_folder), TEXTS, token_budget=67, progress=lambda *r: reports.append(r))
    total = sum(LENGTHS) + len(LENGTHS)
    assert {(label, whole, unit) for label, _, whole, unit in reports} == {
        ("reading with tiny-llama", total, "tokens")
    }
    counts = [done for _, done, _, _ in reports]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, total)


def test_only_batches_with_missing_rows_are_read_and_whole(llama_folder: Path) -> None:
    (extraction,) = prepare_extraction(
        load_model(llama_folder), TextSet.of(TEXTS), ExtractionOptions(), token_budget=67
    )
    every = {tuple(rows.tolist()): values for rows, (values,) in extraction.batches()}
    assert sorted(row for rows in every for row in rows) == list(range(len(TEXTS)))
    missing = np.array([0, 3])
    batches = extraction.batches(missing=missing)
    again = {tuple(rows.tolist()): values for rows, (values,) in batches}
    assert again.keys() == {rows for rows in every if {0, 3} & set(rows)}
    for rows, values in again.items():
        np.testing.assert_array_equal(values, every[rows])
    assert list(extraction.batches(missing=np.array([], dtype=np.int64))) == []


def test_cut_texts_equal_the_slow_way_on_their_first_tokens(llama_folder: Path) -> None:
    activations = extract(llama_folder, TEXTS, max_tokens=17, capture="final_norm")
    states = tiny_models.slow_hidden_states(llama_folder, TEXTS)
    slow = np.stack([one[:, :17][:, -1] for one in states], axis=1)
    assert largest_relative_difference(activations.values, slow) < 1e-5
    encoding = activations.provenance["encoding"]
    rows = [row for row, length in enumerate(LENGTHS, 1) if length + 1 > 17]
    assert (encoding["max_tokens"], encoding["truncated_rows"]) == (17, rows)


def test_the_context_length_limits_where_nothing_else_does(llama_folder: Path) -> None:
    texts = tiny_models.texts_of([307, 5, 3])
    for max_tokens in (None, 9001):
        activations = extract(llama_folder, texts, max_tokens=max_tokens)
        encoding = activations.provenance["encoding"]
        assert (encoding["max_tokens"], encoding["truncated_rows"]) == (211, [1])
        assert activations.options.max_tokens == max_tokens


def test_an_appended_eos_changes_nothing_but_the_report(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    tiny_models.tiny_tokenizer(eos=True).save_pretrained(folder)
    one, two = extract(llama_folder, TEXTS), extract(folder, TEXTS)
    np.testing.assert_array_equal(one.values, two.values)
    assert two.provenance["encoding"]["special_tokens_at_end"] == ["</s>"]
    assert two.provenance["encoding"]["special_tokens_at_end_are"] == "removed"
    assert one.model_digest != two.model_digest


def test_provenance_states_versions_encoding_and_contract(llama_folder: Path) -> None:
    texts = TextSet.of(TEXTS, name="tiny-texts")
    activations = extract(load_model(llama_folder), texts, pooling="mean")
    provenance = activations.provenance
    assert provenance["dtype"] == "float32"
    assert provenance["token_budget"] == TOKEN_BUDGET
    assert provenance["torch"] == torch.__version__
    assert provenance["encoding"]["special_tokens_in_front"] == ["<s>"]
    contract = provenance["contract"]
    assert contract["batching"] == "padded"
    assert contract["batched_against_single"] <= contract["tolerance"]
    assert contract["later_token_effect"] <= contract["tolerance"]
    assert contract["hooks_against_hidden_states"] <= contract["tolerance"]
    assert contract["final_norm"] == "norm (LlamaRMSNorm)"
    assert (activations.model, activations.texts) == ("tiny-llama", "tiny-texts")
    assert activations.texts_digest == texts.digest
    assert activations.options == ExtractionOptions(pooling="mean")
    assert repr(activations) == "Activations('tiny-llama' on 'tiny-texts', shape=(5, 11, 26))"


def with_nan_for(model: Model, word: str) -> Model:
    """Let one word's embedding overflow, so that only the texts that hold it are affected."""
    (token,) = model.tokenizer(word, add_special_tokens=False)["input_ids"]
    weight = model.body.get_input_embeddings().weight.detach().clone()
    weight[token] = torch.nan
    model.body.get_input_embeddings().weight = torch.nn.Parameter(weight)
    return model


def test_activations_that_are_not_finite_are_named_by_model_layer_and_row(llama_folder: Path) -> None:
    # of the lengths 1, 2, 3 ... 20, the contract's eight probes leave out 2 and 5
    texts = [" ".join(["w1"] * length) for length in range(20, 0, -1)]
    texts[15], texts[18] = "w5 w77 w6 w7 w8", "w10 w77"
    model = with_nan_for(load_model(llama_folder), "w77")
    extract(model, [text for text in texts if "w77" not in text])
    before, hooks = torch.get_num_threads(), hooks_of(model)
    with pytest.raises(ActivationsError) as caught:
        extract(model, texts)
    message = caught.value.message
    assert message.startswith(
        "tiny-llama: NaN or infinite activations in layer 1, 2, 3, 4, 5, text 16, 19 "
    )
    assert "count from 1" in message
    assert "remove these texts" in str(caught.value.hint)
    assert torch.get_num_threads() == before
    assert hooks_of(model) == hooks


def test_one_layer_of_nan_weights_is_named_with_the_model(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    weight = torch.full_like(model.blocks[3].mlp.down_proj.weight, torch.nan)
    model.blocks[3].mlp.down_proj.weight = torch.nn.Parameter(weight)
    with pytest.raises(
        ActivationsError, match="tiny-llama .*: NaN or infinite activations in layer 4, 5 on"
    ):
        extract(model, TEXTS)


@pytest.mark.parametrize("stop_at", [0, 1, 3])
def test_an_exception_from_outside_restores_threads_and_removes_hooks(
    stop_at: int, llama_folder: Path, threads: Callable[[int], None]
) -> None:
    model = load_model(llama_folder)
    extract(model, TEXTS[:2])
    hooks = hooks_of(model)
    threads(2)
    n_reports = 0

    def stop(label: str, done: int, total: int, unit: str) -> None:
        nonlocal n_reports
        n_reports += 1
        if n_reports > stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(model, TEXTS, token_budget=23, progress=stop)
    assert torch.get_num_threads() == 2
    assert hooks_of(model) == hooks


def test_leaving_the_batches_early_restores_threads_and_removes_hooks(
    llama_folder: Path, threads: Callable[[int], None]
) -> None:
    model = load_model(llama_folder)
    threads(2)
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=23)
    hooks = hooks_of(model)
    batches = extraction.batches()
    next(batches)
    assert hooks_of(model) != hooks
    batches.close()
    assert torch.get_num_threads() == 2
    assert hooks_of(model) == hooks


def test_no_hidden_states_stay_alive_while_many_batches_are_read(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=23)
    hidden: list[weakref.ref[torch.Tensor]] = []

    def remember(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        hidden.append(weakref.ref(output[0] if isinstance(output, tuple) else output))

    handles = [block.register_forward_hook(remember) for block in model.blocks]
    n_batches = 0
    try:
        for _ in extraction.batches():
            n_batches += 1
        gc.collect()
    finally:
        for handle in handles:
            handle.remove()
    assert n_batches > 5
    assert len(hidden) == n_batches * model.n_layers
    assert [reference() for reference in hidden] == [None] * len(hidden)


def test_only_a_few_batches_are_read_ahead_of_a_slow_consumer(
    llama_folder: Path, threads: Callable[[int], None]
) -> None:
    threads(2)
    model = load_model(llama_folder)
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=1)
    n_read = 0

    def count(*_: Any) -> None:
        nonlocal n_read
        n_read += 1

    handle = model.blocks[-1].register_forward_hook(count)
    batches = extraction.batches()
    for taken in range(1, 5):
        next(batches)
        assert n_read <= taken + 3  # two readers, one waiting
    batches.close()
    handle.remove()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"capture": "blocks"},
            "capture must be one of block, final_norm, embedding, attention, mlp; got 'blocks'",
        ),
        ({"pooling": "max"}, "pooling must be one of last, mean, first or a whole number; got 'max'"),
        ({"max_tokens": 0}, "max_tokens must be at least 1; got 0"),
        ({"token_budget": 0}, "token_budget must be at least 1; got 0"),
    ],
)
def test_options_that_do_not_exist_are_refused(
    options: dict[str, Any], message: str, llama_folder: Path
) -> None:
    with pytest.raises(ParameterError) as caught:
        extract(llama_folder, TEXTS, **options)
    assert caught.value.message == message


def test_a_text_without_tokens_is_named_before_anything_is_read(
    llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    tiny_models.tiny_tokenizer(unknown=False).save_pretrained(folder)
    with pytest.raises(TextsError, match="tiny-llama: its tokenizer makes no tokens of text 2"):
        extract(folder, ["w1", "strange", "w3"])


def test_names_and_folders_are_taken_as_well(llama_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS))
    expected = extract(load_model(llama_folder), TextSet.of(TEXTS))
    found = extract(str(llama_folder), path)
    np.testing.assert_array_equal(found.values, expected.values)
    assert (found.model_digest, found.texts_digest) == (expected.model_digest, expected.texts_digest)


ALL_POOLINGS: list[str | int] = ["last", "mean", 1, "-2"]


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_all_captures_and_poolings_together_equal_one_at_a_time(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = load_model(folder_of(name, request))
    together = extract_all(
        model, TEXTS, captures=list(CAPTURES), poolings=ALL_POOLINGS, token_budget=67
    )
    assert together.keys() == {
        (capture, pooling) for capture in CAPTURES for pooling in ("last", "mean", 1, -2)
    }
    for (capture, pooling), found in together.items():
        alone = extract(model, TEXTS, capture=capture, pooling=pooling, token_budget=67)
        assert found.options == alone.options == ExtractionOptions(capture=capture, pooling=pooling)
        n_layers = 1 if capture == "embedding" else model.n_layers
        assert found.values.shape == (n_layers, len(TEXTS), model.width)
        np.testing.assert_array_equal(found.values, alone.values)
        assert found.provenance["encoding"] == alone.provenance["encoding"]
        identity = (alone.model, alone.texts, alone.model_digest, alone.texts_digest)
        assert (found.model, found.texts, found.model_digest, found.texts_digest) == identity


def test_all_captures_and_poolings_cost_one_forward_pass_a_batch(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    n_passes = {}
    one: list[str | int] = ["last"]
    for how_many, captures, poolings in ((1, ["block"], one), (20, list(CAPTURES), ALL_POOLINGS)):
        options = [
            ExtractionOptions(capture=capture, pooling=pooling)
            for capture in captures
            for pooling in poolings
        ]
        (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), options, token_budget=67)
        shapes: list[tuple[int, ...]] = []
        handle = model.body.register_forward_pre_hook(
            lambda module, inputs, named, seen=shapes: seen.append(tuple(named["input_ids"].shape)),
            with_kwargs=True,
        )
        batches = list(extraction.batches())
        handle.remove()
        assert len(options) == how_many
        assert all(len(values) == how_many for _, values in batches)
        proofs = [shape for shape in shapes if shape == (2, 5)]  # no texts have as many tokens
        assert len(proofs) == (0 if how_many == 1 else 2)  # once a part, before the first batch
        shapes = [shape for shape in shapes if shape != (2, 5)]
        assert len(shapes) == len(batches) > 3
        assert sorted(n_texts for n_texts, _ in shapes) == sorted(len(rows) for rows, _ in batches)
        n_passes[how_many] = sorted(shapes)
    assert n_passes[1] == n_passes[20]


def test_what_is_asked_for_twice_is_there_once(llama_folder: Path) -> None:
    found = extract_all(llama_folder, TEXTS, captures=["mlp", "mlp"], poolings=["last", -1, "-1"])
    assert found.keys() == {("mlp", "last")}


def test_options_that_need_other_tokens_are_not_read_in_one_pass(llama_folder: Path) -> None:
    options = [ExtractionOptions(), ExtractionOptions(max_tokens=7)]
    with pytest.raises(ParameterError, match="must have the same max_tokens and chat"):
        prepare_extraction(load_model(llama_folder), TextSet.of(TEXTS), options)


@pytest.mark.parametrize("captures", [["block", "blocks"], ["block", ""]])
def test_one_capture_that_does_not_exist_is_refused_among_others(
    captures: list[str], llama_folder: Path
) -> None:
    with pytest.raises(ParameterError, match="capture must be one of block"):
        extract_all(llama_folder, TEXTS, captures=captures)


def test_a_resumed_run_reads_the_same_batches_with_all_that_is_wanted(llama_folder: Path) -> None:
    model = load_model(llama_folder)
    options = [ExtractionOptions(), ExtractionOptions(capture="mlp", pooling="mean")]
    texts = TextSet.of([*TEXTS, TEXTS[0], TEXTS[4]])
    (extraction,) = prepare_extraction(model, texts, options, token_budget=67)
    every = {tuple(rows.tolist()): values for rows, values in extraction.batches()}
    assert len(every) > 4
    stopped = list(every)[:2]
    missing = np.array([row for rows in every if rows not in stopped for row in rows])
    (resumed,) = prepare_extraction(load_model(llama_folder), texts, options, token_budget=67)
    rest = {tuple(rows.tolist()): values for rows, values in resumed.batches(missing=missing)}
    assert rest.keys() == every.keys() - set(stopped)
    for rows, values in rest.items():
        for one, other in zip(values, every[rows], strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_resumed_run_of_a_model_that_cannot_be_padded_reads_the_same_batches_too(
    llama_folder: Path,
) -> None:
    model = load_model(llama_folder)
    model.blocks[2].register_forward_hook(
        lambda module, inputs, output: output + 0.1 * (output.shape[0] - 1)
    )
    with pytest.warns(BatchingWarning):
        (extraction,) = prepare_extraction(
            model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=67
        )
    every = {tuple(rows.tolist()): values for rows, (values,) in extraction.batches()}
    assert len(every) == len(TEXTS)
    missing = np.array([7, 2], dtype=np.int64)
    rest = {tuple(rows.tolist()): values for rows, (values,) in extraction.batches(missing=missing)}
    assert rest.keys() == {(7,), (2,)}
    for rows, values in rest.items():
        np.testing.assert_array_equal(values, every[rows])
