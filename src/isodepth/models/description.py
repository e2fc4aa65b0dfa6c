"""What is known of a model before it is loaded: from the catalogue and its configuration file.

Needs no torch. Names of entries differ between architectures; those that transformers treats as the
same are read as the same.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isodepth.errors import ModelError
from isodepth.models.chat_templates import has_chat_template
from isodepth.models.entries import GgufWeights
from isodepth.models.gguf import converted_folder, is_converted
from isodepth.models.resolution import ModelSource

SAME_ENTRIES: dict[str, tuple[str, ...]] = {
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "width": ("hidden_size", "n_embd", "d_model", "dim"),
    "context_length": ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"),
    "vocabulary_size": ("vocab_size",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """A model that is on this machine, by its files.

    Parameters
    ----------
    architecture : str
        The class that its configuration names, or its model type.
    n_layers, width, context_length, vocabulary_size : int or None
        As configured; None where the configuration does not say.
    weights_dtype : str or None
        The number format of the weights as stored.
    size_bytes : int
        The size of the weight files.
    has_chat_template : bool or None
        Whether it comes with one; None where the files do not tell.
    """

    architecture: str
    n_layers: int | None
    width: int | None
    context_length: int | None
    vocabulary_size: int | None
    weights_dtype: str | None
    size_bytes: int
    has_chat_template: bool | None


def describe_model(source: ModelSource) -> ModelDescription | None:
    """Return what a model's files say, or None where they are not on this machine yet.

    A GGUF file must have been converted, which its first use does.

    Raises
    ------
    ModelError
        If its configuration cannot be read.
    """
    folder = _folder(source)
    if folder is None:
        return None
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        text = {**config, **config.get("text_config", {})}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"{path} cannot be read as a model's configuration: {error}") from error
    architectures = config.get("architectures") or [config.get("model_type", "unknown")]
    dtype = text.get("dtype", text.get("torch_dtype"))
    return ModelDescription(
        architecture=str(architectures[0]),
        weights_dtype=None if dtype is None else str(dtype),
        size_bytes=sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        has_chat_template=has_chat_template(source),
        **{what: _whole(text, names) for what, names in SAME_ENTRIES.items()},
    )


def _whole(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    found = (config[name] for name in names if isinstance(config.get(name), int))
    return next(found, None)


def _folder(source: ModelSource) -> Path | None:
    if source.kind != "gguf":
        return source.location
    sha256 = source.weights_digest.removeprefix("gguf:")
    return converted_folder(sha256) if is_converted(sha256) else None


def standing_of(weights: Any) -> str:
    """Return whether a catalogue model's weights are on this machine, in words."""
    if isinstance(weights, GgufWeights):
        if is_converted(weights.sha256):
            return "here, ready"
        if weights.is_here:
            return "here, to be converted at first use"
    elif weights.is_here:
        return "here, in the hub's cache"
    return "not here, fetched at first use"
