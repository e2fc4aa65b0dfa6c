"""Tiny models, each made once a session, and what they compute, read without isodepth's own hooks."""

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import tiny_models
from conformance.expectations import BLOCKS_AT
from isodepth.activations import Extraction, ExtractionOptions, prepare_extraction
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.contract import Contract
from isodepth.models import Model, as_model
from isodepth.texts import TextSet
from tiny_architectures import made
from tiny_models import N_TOKENS, quietly

N_SPECIAL = len(tiny_models.SPECIAL)
FLOAT32, BFLOAT16 = "float32", "bfloat16"
LENGTHS = (5, 61, 1, 23, 2)  # words; the tokenizer puts one token in front
TEXTS = TextSet.of(tiny_models.texts_of(LENGTHS, seed=37), name="of-all-lengths")
MOST_TOKENS = 1009


@dataclass(frozen=True, eq=False)
class Tiny:
    """A tiny model of an architecture, and the same as isodepth takes it."""

    name: str
    whole: torch.nn.Module
    model: Model

    @property
    def blocks(self) -> list[torch.nn.Module]:
        """Its blocks, found by their place alone."""
        return list(self.whole.get_submodule(BLOCKS_AT[self.name]))  # type: ignore[call-overload]


@functools.cache
def tiny(name: str, dtype: str = FLOAT32) -> Tiny:
    """Return the model of an architecture, made once."""
    whole = made(name, dtype=getattr(torch, dtype))
    tokenizer = tiny_models.tiny_tokenizer()
    with quietly():
        return Tiny(name, whole, as_model(whole, tokenizer, name=name, digest=f"tiny:{name}:{dtype}"))


def random_ids(lengths: Sequence[int], *, seed: int = 31) -> list[np.ndarray]:
    """Return token ids of texts of these lengths, without special tokens."""
    rng = np.random.default_rng(seed)
    return [rng.integers(N_SPECIAL, N_TOKENS, length) for length in lengths]


@dataclass(frozen=True, eq=False)
class Pass:
    """What a forward pass gave: float32 (texts, tokens, units) arrays.

    `entered` and `left` are what entered and left each block, None for those that did not run; `states`
    the entries of ``hidden_states``; `final` what the model returned.
    """

    entered: list[np.ndarray | None]
    left: list[np.ndarray | None]
    states: list[np.ndarray]
    final: np.ndarray

    @property
    def layers(self) -> np.ndarray:
        """What left the blocks, (layers, texts, tokens, units); a block passed over changes nothing."""
        layers: list[np.ndarray] = []
        for found in self.left:
            layers.append(layers[-1] if found is None else found)
        return np.stack(layers)

    @property
    def running(self) -> list[np.ndarray]:
        """What left the blocks that ran."""
        return [found for found in self.left if found is not None]


def read(tiny: Tiny, ids: np.ndarray, mask: np.ndarray | None = None, *, states: bool = False) -> Pass:
    """Run the whole model on ids (texts, tokens), with hooks that know nothing of isodepth."""
    blocks = tiny.blocks
    entered: list[np.ndarray | None] = [None] * len(blocks)
    left: list[np.ndarray | None] = [None] * len(blocks)

    def note(number: int) -> Any:
        def hook(module: torch.nn.Module, inputs: Any, named: Any, output: Any) -> None:
            hidden = inputs[0] if inputs else named.get("hidden_states", named.get("hidden"))
            entered[number] = _array(hidden)
            left[number] = _array(output if isinstance(output, torch.Tensor) else output[0])

        return hook

    settings: dict[str, Any] = {"use_cache": False, "output_hidden_states": states}
    if mask is not None:
        settings["attention_mask"] = torch.from_numpy(mask)
    handles = [
        block.register_forward_hook(note(number), with_kwargs=True)
        for number, block in enumerate(blocks)
    ]
    with _removed(handles), quietly(), torch.inference_mode():
        output = tiny.whole(input_ids=torch.from_numpy(ids), **settings)
    given = [_array(state) for state in output.hidden_states] if states else []
    return Pass(entered, left, given, _array(output[0]))


@functools.cache
def tokens() -> tuple[np.ndarray, ...]:
    """Return the ids of the suite's texts, the token in front included."""
    found = [np.array(tiny_models.tiny_tokenizer()(text)["input_ids"]) for text in TEXTS.texts]
    assert [len(one) for one in found] == [1 + length for length in LENGTHS]
    return tuple(found)


@functools.cache
def single(name: str, dtype: str = FLOAT32) -> tuple[np.ndarray, ...]:
    """Return what leaves the blocks for each of the suite's texts alone, (layers, tokens, units)."""
    return tuple(read_alone(tiny(name, dtype), ids).layers[:, 0] for ids in tokens())


def read_alone(tiny: Tiny, ids: np.ndarray, *, states: bool = False) -> Pass:
    """Run the whole model on one text (tokens,), all of whose tokens are real."""
    return read(tiny, ids[None], np.ones_like(ids)[None], states=states)


def layers_by_isodepth(model: Model, ids: np.ndarray, capture: str = "block") -> np.ndarray:
    """Return what isodepth reads at each token of one text, (layers, tokens, units)."""
    with BlockReader(model, [Reading(capture, place) for place in range(len(ids))]) as reader:
        return np.concatenate(reader.read([ids]), axis=1)


def prepared(
    tiny: Tiny, captures: Sequence[str] = ("block",), poolings: Sequence[str | int] | None = None
) -> tuple[Extraction, ...]:
    """Return the passes of an extraction of a model from the suite's texts, each in one batch."""
    chosen = poolings or ["last" if tiny.model.is_causal else "mean"]
    options = [ExtractionOptions(capture=one, pooling=other) for one in captures for other in chosen]
    return prepare_extraction(tiny.model, TEXTS, options, token_budget=MOST_TOKENS)


@functools.cache
def measured(name: str) -> tuple[Contract, tuple[str, ...]]:
    """Return what isodepth measures of an architecture, and the warnings that it gives."""
    with warnings.catch_warnings(record=True) as given, quietly():
        warnings.simplefilter("always")
        (extraction,) = prepared(tiny(name))
    (contract,) = extraction.contracts
    return contract, tuple(f"{one.category.__name__}: {one.message}" for one in given)


def padded(ids: Sequence[np.ndarray], filler: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return texts as one right-padded array (texts, tokens) and which tokens are real, int64."""
    shape = len(ids), max(map(len, ids))
    filled = np.broadcast_to(filler, shape).astype(np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for row, one in enumerate(ids):
        filled[row, : len(one)], mask[row, : len(one)] = one, 1
    return filled, mask


def differences(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return ||found - expected|| / ||expected|| over the last axis."""
    assert found.shape == expected.shape
    norms = np.linalg.norm(expected, axis=-1)
    return np.asarray(np.linalg.norm(found - expected, axis=-1) / norms)


@contextlib.contextmanager
def _removed(handles: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _array(hidden: torch.Tensor) -> np.ndarray:
    # float32 tensors share their memory with the array, and some blocks change theirs in place
    return hidden.float().numpy().copy()
