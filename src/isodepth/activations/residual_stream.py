"""Is what the hooks see the residual stream itself? The blocks, and the model's own account, tell.

Each block must receive what the block before returned; and ``output_hidden_states`` must report the
same where its entries are block outputs. (Transformers 5 records them by hooks of its own, so that
agreement checks places and layers, not arithmetic.)
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from isodepth.errors import IsodepthWarning, listed
from isodepth.models.blocks import hidden_input, hidden_state
from isodepth.models.hooks import Before, hooks
from isodepth.models.model import Model

TOLERANCE = 1e-4
"""The same tensors are compared, so that also 16 bits leave no difference."""

# what one forward pass over one text gives: blocks, ...; the body's output; its hidden states
Alone = tuple[list[np.ndarray], np.ndarray, list[np.ndarray] | None]


class HiddenStatesWarning(IsodepthWarning):
    """The model's ``output_hidden_states`` entries are not its block outputs."""


def relative_difference(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return ||found - expected|| / ||expected|| over the last axis, float64."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = np.maximum(np.linalg.norm(expected, axis=-1), np.finfo(np.float32).tiny)
    return np.asarray(np.linalg.norm(found - expected, axis=-1) / scale)


@contextlib.contextmanager
def chained_blocks(model: Model) -> Iterator[dict[int, float]]:
    """Give, for each block (from 1), how far what it receives is from what the one before returns.

    Filled by the forward passes inside. A block that text passes by does not take part.
    """
    differences: dict[int, float] = {}
    before: list[torch.Tensor] = []

    def entering(number: int) -> Before:
        def compare(inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            received = hidden_input(inputs, named)
            if before and received is not before[0]:
                difference = torch.linalg.vector_norm((received - before[0].to(received)).float())
                scale = torch.linalg.vector_norm(before[0].float())
                found = float(difference / scale.to(difference.device))
                differences[number] = max(found, differences.get(number, 0.0))

        return compare

    def leaving(output: Any) -> None:
        before[:] = [hidden_state(output)]

    def starting(inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        del inputs, named
        before.clear()

    running = [
        (number, block)
        for number, block in enumerate(model.blocks, 1)
        if number - 1 not in model.skipped_blocks
    ]
    with hooks(
        before=[(model.body, starting), *((block, entering(number)) for number, block in running)],
        after=[(block, leaving) for _, block in running],
    ):
        yield differences


def against_hidden_states(
    alone: Sequence[Alone], model: Model, *, final_norm: str | None
) -> tuple[float | None, str]:
    """Return the largest difference of hooks from hidden states below the last, and what that one is.

    Blocks that text passes by have no entry. Some models (Mamba) give the first block's output as the
    first entry, not the embedding; then the entries up to the last are compared with all blocks.
    """
    running = [layer for layer in range(model.n_layers) if layer not in model.skipped_blocks]
    below: list[list[float]] = []
    lasts: list[list[float]] = []
    for (every, *_), final, states in alone:
        blocks = every[running]
        if not states or len(states) != len(blocks) + 1:
            return None, "not given"
        if {state.shape for state in states[:-1]} != {blocks.shape[1:]}:
            return None, "not given"
        given = np.stack(states[:-1])
        usual = relative_difference(blocks[:-1], given[1:]).max(initial=0.0)
        shifted = relative_difference(blocks, given).max()
        below.append([float(usual), float(shifted)])
        lasts.append(
            [
                float(relative_difference(found, states[-1]))
                if found.shape == states[-1].shape
                else 1.0
                for found in (final, blocks[-1])
            ]
        )
    difference = float(np.min(np.max(below, axis=0)))
    after_norm, last_block = np.max(lasts, axis=0) <= TOLERANCE
    if after_norm and last_block:
        return difference, "the last block's output, which no norm follows"
    if after_norm:
        return difference, f"the model's output, after {final_norm}"
    return difference, "the last block's output" if last_block else "something else"


def warn_of_hidden_states(model: Model, hooks: float | None, chained: Mapping[int, float]) -> None:
    """Warn where hooks and hidden states disagree, or blocks do not pass on what they return."""
    if hooks is not None and hooks > TOLERANCE:
        warnings.warn(
            f"{model.name}: block outputs differ from output_hidden_states below the last layer "
            f"(relative difference {hooks:.1e}); isodepth uses the block outputs",
            HiddenStatesWarning,
            stacklevel=3,
        )
    changed = [block for block, found in chained.items() if found > TOLERANCE]
    if changed:
        warnings.warn(
            f"{model.name}: block {listed(changed)} receives something else than the block before "
            f"returns (relative difference {max(chained.values()):.1e}); isodepth uses what blocks "
            "return",
            HiddenStatesWarning,
            stacklevel=3,
        )
