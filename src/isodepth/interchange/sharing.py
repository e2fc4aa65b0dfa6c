"""What of a reading can be shown to others? Not its texts, nor anything of the machine it was made on.

A provenance is reduced to entries that say how a model was read. A name that a user gave by a path
keeps the path's last part only.
"""

import re
from collections.abc import Mapping
from typing import Any

from isodepth.sources import is_hub_id

SHARED: dict[str, tuple[str, ...] | None] = {
    **dict.fromkeys(("source", "format", "architecture", "model_type", "parameters", "dtype")),
    **dict.fromkeys(("quantization", "untrained", "attention", "torch", "transformers", "n_truncated")),
    "embedding_layer": None,
    "encoding": (
        *("max_tokens", "n_truncated", "n_distinct_inputs", "n_tokens_in_front"),
        *("special_tokens_in_front", "special_tokens_at_end", "special_tokens_at_end_are"),
    ),
    "contract": ("is_causal", "batching", "skipped_blocks", "final_norm", "last_hidden_state"),
}
"""What of a provenance is shared, with the entries of what is a mapping itself.

Tokens of texts, which stand in some other entries, and names of files are not.
"""
_NAME_PARTS = re.compile(r"( \+ |[(),=:'\"]+| \()")


def shared_provenance(provenance: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what of a provenance may be shared, and the names of the rest."""
    shared: dict[str, Any] = {}
    left_out: list[str] = []
    for name, value in provenance.items():
        if name not in SHARED:
            left_out.append(name)
            continue
        inner = SHARED[name]
        if inner is None or not isinstance(value, Mapping):
            shared[name] = value
        else:
            shared[name] = {entry: value[entry] for entry in inner if entry in value}
            left_out += [f"{name}.{entry}" for entry in value if entry not in inner]
    return shared, tuple(left_out)


def shared_model_name(name: str) -> str:
    """Return a model's name with paths in it cut to their last part; hub ids stay.

    Examples
    --------
    >>> shared_model_name("google/gemma-2b + /data/adapters/lora")
    'google/gemma-2b + lora'
    """
    return "".join(
        piece if is_hub_id(piece.strip()) else _last_part(piece) for piece in _NAME_PARTS.split(name)
    )


def shared_texts_name(name: str) -> str:
    """Return a text set's name with paths in it cut to their last part; hub data sets stay.

    Examples
    --------
    >>> shared_texts_name("caesar(../mine/reviews.csv)")
    'caesar(reviews.csv)'
    >>> shared_texts_name("hf:owner/set:test")
    'hf:owner/set:test'
    """
    pieces = _NAME_PARTS.split(name)
    kept = []
    for place, piece in enumerate(pieces):
        is_on_hub = pieces[max(place - 2, 0) : place] == ["hf", ":"] and piece[:1] not in "./~"
        kept.append(piece if is_on_hub else _last_part(piece))
    return "".join(kept)


def _last_part(piece: str) -> str:
    return piece.rsplit("/", 1)[-1]
