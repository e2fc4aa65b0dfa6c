"""Is what extraction returns what it says? Checked on a few texts of every run.

Wrong activations look as plausible as right ones, so before a run three things are measured on probe
texts: that batching with padding changes nothing; that a later token changes nothing earlier (else
"last token" would not mean what it says and padding would leak); and that the hooks see what
``output_hidden_states`` reports, where that is the block output (entries 1 to n-1; the last entry is
after the final norm in most models).
"""

import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from isodepth.activations.capture import BlockReader
from isodepth.activations.encoding import EncodedTexts
from isodepth.errors import ActivationsError, IsodepthWarning, listed
from isodepth.models.loading import Model

MOST_PROBE_TOKENS = 512
TOLERANCE = 1e-4
"""Largest relative difference of float32 vectors; what is seen is near 1e-6."""


class HiddenStatesWarning(IsodepthWarning):
    """The model's ``output_hidden_states`` entries are not its block outputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """What was measured; differences are relative to the vector's norm, the largest over layers.

    Parameters
    ----------
    probe_tokens : tuple of int
        Lengths of the probe texts.
    batched_against_single : float
        Padded batch against one text at a time.
    later_token_effect : float
        Change of a token's activation when another token follows.
    hooks_against_hidden_states : float or None
        Block outputs against ``hidden_states[1:-1]``; None where the model gives no such entries or
        has one layer.
    final_norm_against_last_hidden_state : float or None
        The body's output against ``hidden_states[-1]``.
    tolerance : float
        What the first two may reach.
    """

    probe_tokens: tuple[int, ...]
    batched_against_single: float
    later_token_effect: float
    hooks_against_hidden_states: float | None
    final_norm_against_last_hidden_state: float | None
    tolerance: float = TOLERANCE

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as JSON values."""
        return {**asdict(self), "probe_tokens": list(self.probe_tokens)}


def relative_difference(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return ||found - expected|| / ||expected|| over the last axis, float64."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    scale = np.maximum(np.linalg.norm(expected, axis=-1), np.finfo(np.float32).tiny)
    difference: np.ndarray = np.linalg.norm(found - expected, axis=-1) / scale
    return difference


def probe_texts(encoded: EncodedTexts, *, context_length: int | None = None) -> list[np.ndarray]:
    """Return the token ids of a short, a middle and a long text, at most 512 tokens each.

    One token less than the model can read at most, so that another can follow.
    """
    most = MOST_PROBE_TOKENS if context_length is None else min(MOST_PROBE_TOKENS, context_length - 1)
    by_length = np.argsort(encoded.lengths, kind="stable")
    short_enough = [i for i in by_length if encoded.lengths[i] <= most]
    candidates = short_enough or [int(by_length[0])]
    chosen = sorted({0, len(candidates) // 2, len(candidates) - 1})
    probes = [encoded.ids[candidates[place]][:most] for place in chosen]
    # one text alone would need no padding
    return probes if len(probes) > 1 else [probes[0][: max(1, len(probes[0]) // 2)], *probes]


def check_extraction(model: Model, encoded: EncodedTexts, *, pooling: str) -> SelfCheck:
    """Return the measurements on probe texts of this run.

    Raises
    ------
    ActivationsError
        If batching changes the vectors, or a later token changes an earlier one's.

    Warns
    -----
    HiddenStatesWarning
        If the hooks and ``output_hidden_states`` disagree below the last layer.
    """
    probes = probe_texts(encoded, context_length=model.context_length)
    with BlockReader(model, capture="block", pooling=pooling) as reader:
        batched = reader.read(probes)
        alone = [reader.read_with_states(ids) for ids in probes]
        single = np.stack([blocks for blocks, _, _ in alone], axis=1)
        longest = probes[-1]
        followed = np.append(longest, longest[-1])
        earlier = torch.ones(1, len(followed), dtype=torch.bool)
        earlier[:, -1] = False
        with_later = reader.read([followed], mask=earlier)
    padding = relative_difference(batched, single).max(axis=1)
    later = relative_difference(with_later, single[:, -1:]).max(axis=1)
    _refuse_leaks(model, padding, later)
    hooks, final = _against_hidden_states(alone, model.n_layers)
    if hooks is not None and hooks > TOLERANCE:
        warnings.warn(
            f"{model.name}: block outputs differ from output_hidden_states below the last layer "
            f"(relative difference {hooks:.1e}); isodepth uses the block outputs",
            HiddenStatesWarning,
            stacklevel=2,
        )
    return SelfCheck(
        probe_tokens=tuple(len(ids) for ids in probes),
        batched_against_single=float(padding.max()),
        later_token_effect=float(later.max()),
        hooks_against_hidden_states=hooks,
        final_norm_against_last_hidden_state=final,
    )


def _refuse_leaks(model: Model, padding: np.ndarray, later: np.ndarray) -> None:
    for values, what, why in (
        (later, "a later token changes earlier activations", "the model is not a causal decoder"),
        (padding, "padding changes the activations", "the model cannot be batched exactly"),
    ):
        # written so that NaN fails too
        wrong = [layer for layer, value in enumerate(values, 1) if not value <= TOLERANCE]
        if wrong:
            raise ActivationsError(
                f"{model.name} ({type(model.body).__name__}): {what} in layer {listed(wrong)}: "
                f"relative difference {np.max(values):.1e}, expected at most {TOLERANCE:.0e}; {why} "
                "or its activations are not finite",
                hint="isodepth reads causal decoder language models.",
            )


def _against_hidden_states(
    alone: list[tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...] | None]], n_layers: int
) -> tuple[float | None, float | None]:
    """Return the largest difference of hooks from hidden states, and of the body's output."""
    hooks, finals = [], []
    for blocks, final, states in alone:
        if states is None or len(states) != n_layers + 1 or states[-1].shape != final.shape:
            return None, None
        found = np.stack([*blocks[:-1], final])
        *below, last = relative_difference(found, np.stack(states[1:])).tolist()
        hooks.extend(below)
        finals.append(last)
    return max(hooks, default=None), max(finals)
