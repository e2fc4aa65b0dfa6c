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

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from isodepth.activations.batching import BATCHINGS
from isodepth.activations.capture import BlockReader, Reading
from isodepth.activations.encoding import EncodedTexts
from isodepth.activations.failures import is_out_of_memory
from isodepth.activations.memory import HalvingReader, refuse_text_too_large
from isodepth.activations.outliers import NORMS, NormOutliers, measured_outliers, token_norms
from isodepth.activations.probes import (
    N_PROBES,
    Parts,
    in_batches,
    of_one_length,
    of_reading,
    probe_texts,
    with_and_without_last_token,
)
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


def check_contracts(
    model: Model,
    encoded: EncodedTexts,
    readings: Sequence[Reading],
    *,
    n_probes: int = N_PROBES,
) -> tuple[Contract, ...]:
    """Return the measurements on probe texts of this run, for each thing that is read.

    Each is what it would be if nothing else were read: so the way of batching, and with it the values,
    do not depend on what else a run wants.

    Parameters
    ----------
    model : Model
        The model.
    encoded : EncodedTexts
        The texts of the run.
    readings : sequence of Reading
        What the run reads; batching is measured on each of these and on block outputs.
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
    measured = [_measured_at(model, one) for one in readings]
    blocks = [Reading("block", one.pooling) for one in measured]
    wanted = tuple(dict.fromkeys([*blocks, *measured]))
    with BlockReader(model, (*wanted, Reading("block", NORMS)), pools={NORMS: token_norms}) as reader:
        alone = [_read_alone(reader, ids, front) for ids in probes]
    probed = np.stack([values[0] for values, _, _ in alone], axis=1)
    _refuse_not_finite(model, probed)
    single = {
        one: np.stack([values[place] for values, _, _ in alone], axis=1)
        for place, one in enumerate(wanted)
    }
    with BlockReader(model, wanted) as reader, chained_blocks(model) as chained:
        halving = HalvingReader(reader, front=front)

        def read(ids: Sequence[np.ndarray], lengths: Sequence[int] | None = None) -> Parts:
            return dict(zip(wanted, halving.read(ids, lengths=lengths), strict=True))

        middle = len(probes) // 2
        copies = read([probes[middle]] * 2)
        followed = with_and_without_last_token(model, read, probes[middle])
        padded = in_batches(read, probes, model.rescales_above)
        same_length = functools.cache(lambda: of_one_length(read, probes))
        found = {
            one: _Batched.measured(model, one, middle, single, copies, followed, padded, same_length)
            for one in dict.fromkeys(measured)
        }
    _warn_of_batching(model, found)
    norm = final_norm(model)
    hooks, last = against_hidden_states(alone, model, final_norm=norm)
    warn_of_hidden_states(model, hooks, chained)
    norms = [values[-1] for values, _, _ in alone]
    outliers = measured_outliers(probed, norms, probes, model.tokenizer)
    return tuple(
        Contract(
            probe_tokens=tuple(len(ids) for ids in probes),
            skipped_blocks=tuple(block + 1 for block in model.skipped_blocks),
            is_causal=model.is_causal,
            batching=found[one].batching,
            batched_against_single=found[one].difference,
            padded_against_single=found[one].padding,
            rounding=found[one].rounding,
            later_token_effect=found[one].later,
            tolerance=found[one].tolerance,
            blocks_chained=max(chained.values(), default=0.0),
            final_norm=norm,
            hooks_against_hidden_states=hooks,
            last_hidden_state=last,
            outliers=outliers,
            batched=found[one].batched[: model.n_layers],
            single=found[one].single[: model.n_layers],
        )
        for one in measured
    )


def _measured_at(model: Model, reading: Reading) -> Reading:
    """Return what is measured for a reading: its capture at the last token, or the mean."""
    by_mean = reading.pooling == "mean" or not model.is_causal
    return Reading(reading.capture, "mean" if by_mean else "last")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Batched:
    """How one reading is batched, and what was measured for it; see `Contract`."""

    batching: str
    padding: float
    rounding: float
    later: float | None
    tolerance: float
    batched: np.ndarray
    single: np.ndarray

    @property
    def difference(self) -> float:
        return float(relative_difference(self.batched, self.single).max())

    @classmethod
    def measured(
        cls,
        model: Model,
        reading: Reading,
        middle: int,
        singles: Parts,
        copies: Parts,
        followed: tuple[Parts, Parts] | None,
        padded: Parts,
        same_length: Callable[[], tuple[Parts, Parts]],
    ) -> "_Batched":
        single, batched = of_reading(singles, reading), of_reading(padded, reading)
        rounding = float(relative_difference(of_reading(copies, reading), single[:, [middle]]).max())
        tolerance = _tolerance(model, rounding)
        later = None
        if followed is not None:
            alone, with_more = (of_reading(parts, reading) for parts in followed)
            later = _later_token_effect(model, with_more, alone, tolerance)
        padding = float(relative_difference(batched, single).max())
        batching = "padded"
        if not padding <= tolerance:
            batched, single = (of_reading(parts, reading) for parts in same_length())
            is_exact = relative_difference(batched, single).max() <= tolerance
            batching = "equal-length" if single.shape[1] > 1 and is_exact else "single"
            batched = batched if batching == "equal-length" else single
        return cls(
            batching=batching,
            padding=padding,
            rounding=rounding,
            later=later,
            tolerance=tolerance,
            batched=batched,
            single=single,
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


def _later_token_effect(
    model: Model, followed: np.ndarray, alone: np.ndarray, tolerance: float
) -> float:
    """Return how much a text's last token changes those before; refuse it where that is too much."""
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


def _warn_of_batching(model: Model, found: Mapping[Reading, _Batched]) -> None:
    for batching in dict.fromkeys(one.batching for one in found.values()):
        if batching == "padded":
            continue
        captures = {reading.capture: one for reading, one in found.items() if one.batching == batching}
        worst = max(captures.values(), key=lambda one: one.padding)
        what = "batching" if batching == "single" else "padding"
        of = "" if len({one.batching for one in found.values()}) == 1 else f" of {listed([*captures])}"
        warnings.warn(
            f"{model.name} ({type(model.body).__name__}): {what} changes the activations{of} (relative "
            f"difference {worst.padding:.1e}, expected at most {worst.tolerance:.0e}), so it is read "
            f"otherwise: {BATCHINGS[batching]}. That takes longer.",
            BatchingWarning,
            stacklevel=3,
        )
