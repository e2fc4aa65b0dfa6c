"""Batches that do not fit in memory are halved, with the same values; other failures are told."""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, TextSet, extract, load_model
from isodepth.activations import ExtractionOptions, prepare_extraction
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.failures import is_out_of_memory
from isodepth.activations.memory import HalvedBatchWarning, HalvingReader
from isodepth.errors import ActivationsError
from tiny_models import largest_relative_difference

LENGTHS = [13, 11, 11, 7, 5, 3, 2]
IDS = [np.random.default_rng(length).integers(3, 97, length) for length in LENGTHS]
WANTED = (Reading("block", "last"), Reading("mlp", "mean"), Reading("embedding", 0))
TEXTS = tiny_models.texts_of([3, 29, 7, 61, 2, 13, 41, 5, 1, 19, 11])
SAID = "CUDA out of memory. Tried to allocate 7.00 GiB.\nMore advice."


class Scarce:
    """Memory for so many tokens at once; counts the passes that were tried and those that failed."""

    def __init__(self, model: Model, most_tokens: int, error: Callable[[], BaseException]) -> None:
        self.tried: list[int] = []
        self.failed: list[int] = []
        self.most_tokens = most_tokens
        self.error = error
        self.handle = model.blocks[1].register_forward_pre_hook(self._take, with_kwargs=True)

    def _take(self, module: torch.nn.Module, inputs: Any, named: Any) -> None:
        hidden = inputs[0] if inputs else named["hidden_states"]
        tokens = hidden.shape[0] * hidden.shape[1]
        self.tried.append(tokens)
        if tokens > self.most_tokens:
            self.failed.append(tokens)
            raise self.error()


@pytest.fixture
def model(llama_folder: Path) -> Model:
    return load_model(llama_folder)


def scarce(
    model: Model,
    most_tokens: int,
    error: Callable[[], BaseException] = lambda: torch.OutOfMemoryError(SAID),
) -> Scarce:
    return Scarce(model, most_tokens, error)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7.00 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 7 GB)"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (5)"), False),
        (ValueError("out of memory"), False),
        (IndexError("index out of range in self"), False),
    ],
)
def test_what_says_that_memory_ran_out_is_told_from_other_errors(
    error: BaseException, expected: bool
) -> None:
    assert is_out_of_memory(error) is expected


def test_what_torch_raises_on_this_machine_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)  # a petabyte
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("most_tokens", [13, 40])
def test_halves_have_the_values_of_the_whole_and_each_fits(most_tokens: int, model: Model) -> None:
    with BlockReader(model, WANTED) as reader:
        expected = reader.read(IDS, front=1)
        memory = scarce(model, most_tokens)
        halving = HalvingReader(reader, front=1)
        with pytest.warns(HalvedBatchWarning) as caught:
            found = halving.read(IDS)
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "tiny-llama: a batch of 7 texts (91 tokens) does not fit in memory; it, and others as large, "
        "are read in halves."
    )
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert one.dtype == np.float32
        assert largest_relative_difference(one, other) < 1e-5
    assert halving.failed_tokens == min(memory.failed)
    assert memory.failed[0] == 7 * 13


def test_a_batch_that_fits_is_read_once_and_nothing_is_said(model: Model) -> None:
    with BlockReader(model, WANTED) as reader:
        memory = scarce(model, 7 * 13)
        halving = HalvingReader(reader, front=1)
        found = halving.read(IDS)
        assert memory.tried == [7 * 13]
        for one, other in zip(found, reader.read(IDS, front=1), strict=True):
            np.testing.assert_array_equal(one, other)
    assert halving.failed_tokens is None


def test_the_size_that_failed_is_remembered_and_not_tried_again(model: Model) -> None:
    with BlockReader(model, WANTED) as reader:
        memory = scarce(model, 40)
        halving = HalvingReader(reader, front=0)
        with pytest.warns(HalvedBatchWarning):
            halving.read(IDS)
        n_failed, known = len(memory.failed), halving.failed_tokens
        assert n_failed > 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it has been said
            halving.read(IDS)
            halving.read(IDS[:4])
        assert len(memory.failed) == n_failed
        assert halving.failed_tokens == known


def test_a_smaller_batch_that_fails_later_lowers_what_is_remembered(model: Model) -> None:
    with BlockReader(model, WANTED) as reader:
        memory = scarce(model, 60)
        halving = HalvingReader(reader, front=0)
        with pytest.warns(HalvedBatchWarning):
            halving.read(IDS)
        assert halving.failed_tokens == 91
        memory.most_tokens = 30  # another process takes the rest
        halving.read(IDS)
        assert halving.failed_tokens is not None
        assert 30 < halving.failed_tokens < 91


@pytest.mark.parametrize(
    "error", [lambda: torch.OutOfMemoryError(SAID), lambda: RuntimeError(SAID), MemoryError]
)
def test_one_text_alone_that_does_not_fit_is_an_error_with_what_to_do(
    error: Callable[[], BaseException], model: Model
) -> None:
    hooks = [len(block._forward_hooks) for block in model.blocks]
    with BlockReader(model, WANTED) as reader:
        scarce(model, 12, error)
        with pytest.raises(ActivationsError) as caught, pytest.warns(HalvedBatchWarning):
            HalvingReader(reader, front=0).read(IDS)
    said = "MemoryError" if error is MemoryError else SAID.split("\n")[0]
    assert caught.value.message == (
        f"tiny-llama: a text of 13 tokens does not fit in memory, alone as it is: {said}"
    )
    assert caught.value.hint == (
        "cut texts with --max-tokens, use --dtype bfloat16, or spread the model with --device-map auto."
    )
    assert [len(block._forward_hooks) for block in model.blocks] == hooks


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes do not fit\nsecond line"), KeyError("a key"), ValueError("no")]
)
def test_what_else_fails_is_told_with_the_models_name_and_not_tried_again(
    error: Exception, model: Model
) -> None:
    with BlockReader(model, WANTED) as reader:
        memory = scarce(model, 30, lambda: error)
        halving = HalvingReader(reader, front=0)
        with pytest.raises(ActivationsError) as caught:
            halving.read(IDS)
    said = str(error).split("\n")[0]
    assert caught.value.message == (
        "tiny-llama (LlamaModel) fails on a batch of 7 texts of 13 tokens: "
        f"{type(error).__name__}: {said}"
    )
    assert memory.tried == [91]
    assert halving.failed_tokens is None


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_whole_run_says_once_that_batches_are_halved_and_gives_the_same_values(
    threads: int, model: Model
) -> None:
    options = [ExtractionOptions(), ExtractionOptions(capture="attention", pooling="mean")]
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), options, token_budget=211)
    expected = {tuple(rows.tolist()): values for rows, values in extraction.batches()}
    memory = scarce(model, 62)
    with pytest.warns(HalvedBatchWarning) as caught:
        found = {tuple(rows.tolist()): values for rows, values in extraction.batches()}
    assert len(caught) == 1
    assert memory.failed
    assert found.keys() == expected.keys()
    for rows, both in expected.items():
        for one, other in zip(found[rows], both, strict=True):
            assert largest_relative_difference(one, other) < 1e-5
    assert torch.get_num_threads() == threads


def test_a_text_that_does_not_fit_ends_the_run_and_leaves_no_hooks(model: Model) -> None:
    (extraction,) = prepare_extraction(model, TextSet.of(TEXTS), ExtractionOptions(), token_budget=1)
    hooks = [len(block._forward_hooks) for block in model.blocks]
    scarce(model, 61)
    with pytest.raises(ActivationsError, match="a text of 62 tokens does not fit in memory"):
        list(extraction.batches())
    assert [len(block._forward_hooks) for block in model.blocks] == hooks


def test_probes_of_the_contract_that_do_not_fit_together_do_not_end_the_run(model: Model) -> None:
    expected = extract(model, TEXTS, token_budget=1).values
    scarce(model, 62)  # any text alone
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HalvedBatchWarning)
        found = extract(model, TEXTS, token_budget=211).values
    assert largest_relative_difference(found, expected) < 1e-5


def test_a_probe_that_does_not_fit_alone_is_an_error_of_ours(model: Model) -> None:
    scarce(model, 30)
    with pytest.raises(
        ActivationsError, match="tiny-llama: a text of 42 tokens does not fit in memory"
    ):
        extract(model, TEXTS)
