"""Which texts is a contract measured on, and how are they read: alone, twice, padded, of one length?

Everything here reads all that a run wants at once, and gives it by what is read.
"""

from collections.abc import Callable, Sequence

import numpy as np

from isodepth.activations.batching import length_sorted_batches
from isodepth.activations.capture import Reading
from isodepth.activations.encoding import EncodedTexts
from isodepth.models.model import Model

Parts = dict[Reading, np.ndarray]
"""What a batch gives, by what is read: float32 (layers, texts, units)."""
Read = Callable[..., Parts]

N_PROBES = 8
MOST_PROBE_TOKENS = 512
MOST_MIDDLE_TOKENS = 128
"""One probe is long; the others need not be, and cost as much as they are long."""


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


def with_and_without_last_token(
    model: Model, read: Read, probe: np.ndarray
) -> tuple[Parts, Parts] | None:
    """Return a text but for its last token, alone and followed by it; None in models that see it."""
    if not model.is_causal:
        return None
    if model.rescales_above is not None:  # above it, every token changes the position embeddings
        probe = probe[: model.rescales_above]
    if len(probe) == 1:
        probe = np.repeat(probe, 2)
    return read([probe[:-1]]), read([probe], lengths=[len(probe) - 1])


def in_batches(read: Read, probes: list[np.ndarray], rescales_above: int | None) -> Parts:
    """Return the probes' activations, padded: the shortest with the longest, the others together."""
    values: dict[int, Parts] = {}
    for group in ([0, len(probes) - 1], list(range(1, len(probes) - 1))):
        lengths = np.array([len(probes[index]) for index in group], dtype=np.int64)
        together = length_sorted_batches(
            lengths, token_budget=int(lengths.sum()) ** 2, rescales_above=rescales_above
        )
        for batch in together if group else []:
            indices = [group[place] for place in batch]
            found = read([probes[index] for index in indices])
            for row, index in enumerate(indices):
                values[index] = {one: part[:, [row]] for one, part in found.items()}
    return side_by_side([values[index] for index in range(len(probes))])


def of_one_length(read: Read, probes: list[np.ndarray]) -> tuple[Parts, Parts]:
    """Return the longer half of the probes, cut to one length, read together and one at a time."""
    longer = probes[min(len(probes) // 2, len(probes) - 2) :]
    same = [ids[: len(longer[0])] for ids in longer]
    return read(same), side_by_side([read([ids]) for ids in same])


def side_by_side(parts: Sequence[Parts]) -> Parts:
    """Return the parts of several batches as those of one."""
    return {one: np.concatenate([found[one] for found in parts], axis=1) for one in parts[0]}


def of_reading(parts: Parts, reading: Reading) -> np.ndarray:
    """Return block outputs, and below them what else a reading reads."""
    blocks = Reading("block", reading.pooling)
    return np.concatenate([parts[one] for one in dict.fromkeys([blocks, reading])])
