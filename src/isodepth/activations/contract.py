"""Is what extraction returns what it says? Measured on some of the texts of every run.

Wrong activations look as plausible as right ones, so before a run these are measured on probe texts:

- that batching with padding changes nothing. Where it does, batches of texts of one length are tried,
  and at last one text at a time; the run says so;
- that a later token changes nothing earlier (else "last token" would not mean what it says);
- that every block receives what the block before returned, so that what the hooks see is the residual
  stream itself;
- that the hooks see what ``output_hidden_states`` reports, where that is the block output, and what its
  last entry is: before or after the final norm;
- how far single units and single tokens stand out ("massive activations"), which cosine similarity
  feels.

In float32 the first two may reach a relative difference of 1e-4. In 16 bits and quantized, rounding
alone reaches more, by how much depends on the model; so the limit is the larger of a fixed one and four
times what batching two copies of one text changes, which is rounding alone; never more than twice the
fixed one.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isodepth.activations.batching import BATCHINGS, length_sorted_batches
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.encoding import EncodedTexts
from isodepth.activations.failures import is_out_of_memory
from isodepth.activations.memory import HalvingReader, refuse_text_too_large
from isodepth.activations.outliers import NORMS, NormOutliers, measured_outliers, token_norms
from isodepth.activations.residual_stream import (
    Alone,
    against_hidden_states,
    chained_blocks,
    relative_difference,
    warn_of_hidden_states,
)
from isodepth.errors import ActivationsError, IsodepthWarning, first_line, listed
from isodepth.models.final_norm import final_norm
from isodepth.models.model import Model

Read = Callable[..., np.ndarray]

N_PROBES = 8
MOST_PROBE_TOKENS = 512
MOST_MIDDLE_TOKENS = 128
"""One probe is long; the others need not be, and cost as much as they are long."""
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}
"""Largest relative difference of vectors; what is seen in float32 is near 1e-6. Models quantized by
bitsandbytes compute in 16 bits or less inside their layers, whatever they return, and have bfloat16's.
"""
ROUNDING_FACTOR, MOST_TIMES_FIXED = 4, 2
LATER_FACTOR = 4
"""What a later token may change more than batching, in fewer than 32 bits: 8-bit models round by it.
That the model is causal was found when it was loaded.
"""


class BatchingWarning(IsodepthWarning):
    """The model's activations change with padding or batching, so it is read more slowly."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contract:
    """What was measured; differences are relative to the vector's norm, the largest over layers.

    Parameters
    ----------
    probe_tokens : tuple of int
        Lengths of the probe texts.
    skipped_blocks : tuple of int
        Blocks (from 1) that text does not pass through.
    is_causal : bool
        Whether tokens see only earlier ones.
    batching : str
        A key of `BATCHINGS`: how the run is batched.
    batched_against_single : float
        Batches as the run makes them against one text at a time.
    padded_against_single : float
        Padded batches against one text at a time; what decides on `batching`.
    rounding : float
        A batch of two copies of one text against that text alone.
    later_token_effect : float or None
        Change of a token's activation when another token follows; None for a model that is not causal.
    tolerance : float
        What the differences may reach.
    blocks_chained : float
        What a block receives against what the block before returned; 0 where it is the same.
    final_norm : str or None
        The module between the last block and the model's output, with its class; None where there is
        none.
    hooks_against_hidden_states : float or None
        Block outputs against ``hidden_states[1:-1]``, or ``[:-1]`` where the embedding is left out;
        None where the model gives no entry for every block.
    last_hidden_state : str
        What ``hidden_states[-1]`` is: the model's output after the final norm, the last block's output,
        something else, or not given.
    outliers : NormOutliers
        How far units and tokens stand out.
    batched, single : float32 arrays (layers, probes, units)
        Block outputs of the probes, batched as the run is and one at a time; of some of them, cut to
        one length, where padding is not used.
    """

    probe_tokens: tuple[int, ...]
    skipped_blocks: tuple[int, ...]
    is_causal: bool
    batching: str
    batched_against_single: float
    padded_against_single: float
    rounding: float
    later_token_effect: float | None
    tolerance: float
    blocks_chained: float
    final_norm: str | None
    hooks_against_hidden_states: float | None
    last_hidden_state: str
    outliers: NormOutliers
    batched: np.ndarray
    single: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Return the measurements as JSON values, without the probes' activations."""
        values = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("batched", "single", "outliers")
        }
        lists = {name: list(values[name]) for name in ("probe_tokens", "skipped_blocks")}
        return {**values, **lists, "outliers": asdict(self.outliers)}


def probe_texts(
    encoded: EncodedTexts, *, context_length: int | None = None, n_probes: int = N_PROBES
) -> list[np.ndarray]:
    """Return the token ids of probe texts, of all lengths, from short to long.

    The last of them is the longest text, at most its first 512 tokens; of the others at most the first
    128 are taken. One token less than the model can read at most, so that another can follow.
    """
    limit = MOST_PROBE_TOKENS if context_length is None else min(MOST_PROBE_TOKENS, context_length)
    *others, longest = np.argsort(encoded.lengths, kind="stable")
    places = np.unique(np.linspace(0, len(others) - 1, min(n_probes - 1, len(others))).astype(int))
    probes = [encoded.ids[others[place]][: min(limit, MOST_MIDDLE_TOKENS)] for place in places]
    probes.append(encoded.ids[longest][:limit])
    # one text alone would need no padding
    return probes if len(probes) > 1 else [probes[0][: max(1, len(probes[0]) // 2)], *probes]


def check_contract(
    model: Model,
    encoded: EncodedTexts,
    *,
    pooling: str | int,
    captures: Sequence[str] = ("block",),
    n_probes: int = N_PROBES,
) -> Contract:
    """Return the measurements on probe texts of this run.

    Parameters
    ----------
    model : Model
        The model.
    encoded : EncodedTexts
        The texts of the run.
    pooling : str or int
        As in `ExtractionOptions`.
    captures : sequence of str
        What the run reads; batching is measured on these and on block outputs.
    n_probes : int
        How many texts to measure on, at least 2.

    Raises
    ------
    ActivationsError
        If a later token changes an earlier one's activations although the model is causal, if
        activations are not finite, or if a probe does not fit in memory.

    Warns
    -----
    BatchingWarning
        If padding changes the vectors, so that the run is batched otherwise.
    HiddenStatesWarning
        If the hooks and ``output_hidden_states`` disagree below the last layer, or blocks do not pass
        on what they return.
    """
    front = encoded.n_left_out_of_mean(is_causal=model.is_causal)
    probes = probe_texts(encoded, context_length=model.context_length, n_probes=n_probes)
    checked = "mean" if pooling == "mean" or not model.is_causal else "last"
    wanted = tuple(Reading(capture, checked) for capture in dict.fromkeys(("block", *captures)))
    with BlockReader(model, (*wanted, Reading("block", NORMS)), pools={NORMS: token_norms}) as reader:
        alone = [_read_alone(reader, ids, front) for ids in probes]
    probed = np.stack([values[0] for values, _, _ in alone], axis=1)
    _refuse_not_finite(model, probed)
    single = np.stack([np.concatenate(values[:-1]) for values, _, _ in alone], axis=1)
    with BlockReader(model, wanted) as reader, chained_blocks(model) as chained:
        halving = HalvingReader(reader, front=front)

        def read(ids: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> np.ndarray:
            """Return block outputs, and below them what else the run reads."""
            return np.concatenate(halving.read(ids, lengths=lengths))

        middle = len(probes) // 2
        copies = read([probes[middle]] * 2)
        rounding = float(relative_difference(copies, single[:, [middle]]).max())
        tolerance = _tolerance(model, rounding)
        later = _later_token_effect(model, read, probes[middle], tolerance)
        batching, batched = "padded", _in_batches(read, probes, model.rescales_above)
        padding = float(relative_difference(batched, single).max())
        if not padding <= tolerance:
            batching, batched, single = _without_padding(read, probes, tolerance)
            _warn_of_batching(model, batching, padding, tolerance)
    norm = final_norm(model)
    hooks, last = against_hidden_states(alone, model, final_norm=norm)
    warn_of_hidden_states(model, hooks, chained)
    norms = [values[-1] for values, _, _ in alone]
    return Contract(
        probe_tokens=tuple(len(ids) for ids in probes),
        skipped_blocks=tuple(block + 1 for block in model.skipped_blocks),
        is_causal=model.is_causal,
        batching=batching,
        batched_against_single=float(relative_difference(batched, single).max()),
        padded_against_single=padding,
        rounding=rounding,
        later_token_effect=later,
        tolerance=tolerance,
        blocks_chained=max(chained.values(), default=0.0),
        final_norm=norm,
        hooks_against_hidden_states=hooks,
        last_hidden_state=last,
        outliers=measured_outliers(probed, norms, probes, model.tokenizer),
        batched=batched[: model.n_layers],
        single=single[: model.n_layers],
    )


def _read_alone(reader: BlockReader, ids: np.ndarray, front: int) -> Alone:
    try:
        return reader.read_with_states(ids, front=front)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        refuse_text_too_large(reader.model.name, len(ids), first_line(error))


def _refuse_not_finite(model: Model, single: np.ndarray) -> None:
    wrong = [layer for layer, values in enumerate(single, 1) if not np.isfinite(values).all()]
    if wrong:
        raise ActivationsError(
            f"{model.name} ({type(model.body).__name__}): NaN or infinite activations in layer "
            f"{listed(wrong)} on the probe texts",
            hint="the weights may be damaged, or overflow in this number format (try --dtype float32 "
            "or bfloat16).",
        )


def _tolerance(model: Model, rounding: float) -> float:
    """Return what differences may reach: fixed in float32, else by what rounding is measured to do."""
    if model.provenance["is_exact"]:
        return TOLERANCES["float32"]
    quantized = model.provenance["quantization"] is not None
    fixed = TOLERANCES.get(
        "bfloat16" if quantized else str(model.provenance["dtype"]), TOLERANCES["bfloat16"]
    )
    return min(max(fixed, ROUNDING_FACTOR * rounding), MOST_TIMES_FIXED * fixed)


def _later_token_effect(model: Model, read: Read, probe: np.ndarray, tolerance: float) -> float | None:
    """Return how much a text's last token changes those before; refuse it if the model is causal."""
    if not model.is_causal:
        return None
    if model.rescales_above is not None:  # above it, every token changes the position embeddings
        probe = probe[: model.rescales_above]
    if len(probe) == 1:
        probe = np.repeat(probe, 2)
    alone = read([probe[:-1]])
    followed = read([probe], lengths=[len(probe) - 1])
    effect = relative_difference(followed, alone).max(axis=1)
    tolerance *= 1 if model.provenance["is_exact"] else LATER_FACTOR
    wrong = [layer for layer, value in enumerate(effect[: model.n_layers], 1) if not value <= tolerance]
    if wrong:
        raise ActivationsError(
            f"{model.name} ({type(model.body).__name__}): a later token changes earlier activations in "
            f"layer {listed(wrong)}: relative difference {np.max(effect):.1e}, expected at most "
            f"{tolerance:.0e}; the model is not a causal decoder",
            hint="isodepth reads causal decoders at any token, other language models with --pooling "
            "mean.",
        )
    return float(effect.max())


def _in_batches(read: Read, probes: list[np.ndarray], rescales_above: int | None) -> np.ndarray:
    """Return the probes' activations, padded: the shortest with the longest, the others together."""
    values: dict[int, np.ndarray] = {}
    for group in ([0, len(probes) - 1], list(range(1, len(probes) - 1))):
        lengths = np.array([len(probes[index]) for index in group], dtype=np.int64)
        together = length_sorted_batches(
            lengths, token_budget=int(lengths.sum()) ** 2, rescales_above=rescales_above
        )
        for batch in together if group else []:
            indices = [group[place] for place in batch]
            found = read([probes[index] for index in indices])
            values |= {index: found[:, row] for row, index in enumerate(indices)}
    return np.stack([values[index] for index in range(len(probes))], axis=1)


def _without_padding(
    read: Read, probes: list[np.ndarray], tolerance: float
) -> tuple[str, np.ndarray, np.ndarray]:
    """Return how the model can be batched exactly, with activations batched so and one at a time."""
    longer = probes[min(len(probes) // 2, len(probes) - 2) :]
    same = [ids[: len(longer[0])] for ids in longer]
    single = np.concatenate([read([ids]) for ids in same], axis=1)
    batched = read(same)
    if len(same) > 1 and relative_difference(batched, single).max() <= tolerance:
        return "equal-length", batched, single
    return "single", single, single


def _warn_of_batching(model: Model, batching: str, padding: float, tolerance: float) -> None:
    what = "batching" if batching == "single" else "padding"
    warnings.warn(
        f"{model.name} ({type(model.body).__name__}): {what} changes the activations (relative "
        f"difference {padding:.1e}, expected at most {tolerance:.0e}), so it is read otherwise: "
        f"{BATCHINGS[batching]}. That takes longer.",
        BatchingWarning,
        stacklevel=3,
    )
