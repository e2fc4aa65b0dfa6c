"""From a name to a `Model`: the body of a decoder in float32, its blocks, its tokenizer.

The language-model head is not loaded: activations do not need it, and for small models with large
vocabularies it is most of the arithmetic.

Memory: 4 bytes a parameter of the body.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

from isodepth.errors import ModelError, first_line
from isodepth.models.blocks import decoder_blocks
from isodepth.models.gguf import gguf_folder
from isodepth.models.resolution import ModelSource, resolve_model
from isodepth.models.transformers_calls import quiet_transformers, refuse_missing_weights
from isodepth.progress import Progress, no_progress

OWN_CODE_ONLY = {"local_files_only": True, "trust_remote_code": False}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A decoder language model, ready to be read. Make one with `load_model`.

    Parameters
    ----------
    name : str
        What people call it; the label in results.
    digest : str
        Its identity: of the weights' bytes, or hub id and commit.
    body : torch.nn.Module
        The model without its head, in evaluation mode, float32, on the CPU.
    blocks : tuple of torch.nn.Module
        The decoder blocks, from input to output.
    tokenizer : transformers tokenizer
        Its tokenizer.
    width : int
        Units of the residual stream.
    context_length : int or None
        The most tokens that it can read; None where its configuration states no limit.
    provenance : mapping
        Versions, architecture, parameter count.
    """

    name: str
    digest: str
    body: torch.nn.Module
    blocks: tuple[torch.nn.Module, ...]
    tokenizer: Any
    width: int
    context_length: int | None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """The number of decoder blocks."""
        return len(self.blocks)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, n_layers={self.n_layers}, width={self.width})"


def load_model(
    name_or_path: str | Path | ModelSource,
    *,
    revision: str | None = None,
    progress: Progress = no_progress,
) -> Model:
    """Return a model of the catalogue, of a local folder or GGUF file, or of the hub.

    Parameters
    ----------
    name_or_path : str, Path or ModelSource
        A catalogue name (``isodepth models`` lists them), a transformers folder with safetensors
        weights, a GGUF file, or a hub id "owner/name".
    revision : str, optional
        Of a hub model: branch, tag or commit.
    progress : Progress
        Told of downloads and of the conversion of a GGUF file, which is done once and kept.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name.
    ModelError
        If it cannot be loaded or has no decoder blocks.
    DownloadError
        If bytes could not be fetched or are not the pinned ones.
    """
    source = (
        name_or_path
        if isinstance(name_or_path, ModelSource)
        else resolve_model(name_or_path, revision=revision)
    )
    folder = _folder(source, progress)
    label = f"loading {source.name}"
    progress(label, 0, 1, "steps")
    model = _load_folder(folder, source)
    progress(label, 1, 1, "steps")
    return model


def load_tokenizer(name_or_path: str | Path, *, progress: Progress = no_progress) -> Any:
    """Return the tokenizer of a model, without loading its weights.

    Parameters and errors are those of `load_model`, without a revision.
    """
    source = resolve_model(name_or_path)
    return _tokenizer(_folder(source, progress), source)


def _folder(source: ModelSource, progress: Progress) -> Path:
    if source.kind in ("catalogue", "gguf"):
        return gguf_folder(source, progress=progress)
    assert source.location is not None
    return source.location


def _tokenizer(folder: Path, source: ModelSource) -> Any:
    with quiet_transformers():
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, **OWN_CODE_ONLY)
        except Exception as error:
            # transformers raises many types here; whatever it is, there is no usable tokenizer
            raise ModelError(
                f"{source.name}: the tokenizer in {folder} cannot be loaded: {first_line(error)}",
                hint="save it beside the weights with tokenizer.save_pretrained(folder).",
            ) from error


def _load_folder(folder: Path, source: ModelSource) -> Model:
    with quiet_transformers():
        try:
            body, loaded = transformers.AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **OWN_CODE_ONLY,
            )
        except Exception as error:
            # transformers raises many types here; whatever it is, the folder holds no usable model
            raise ModelError(
                f"{source.name}: transformers {transformers.__version__} cannot load the model in "
                f"{folder}: {first_line(error)}",
                hint="isodepth needs a model that transformers can load without remote code.",
            ) from error
    tokenizer = _tokenizer(folder, source)
    refuse_missing_weights(loaded["missing_keys"], name=source.name, where=folder)
    if body.config.is_encoder_decoder:
        raise ModelError(
            f"{source.name} ({type(body).__name__}) is an encoder-decoder model",
            hint="isodepth reads decoder language models.",
        )
    body = body.eval()
    config = body.config.get_text_config()
    n_layers = getattr(config, "num_hidden_layers", None)
    width = getattr(config, "hidden_size", None)
    if not isinstance(n_layers, int) or not isinstance(width, int):
        raise ModelError(
            f"{source.name} ({type(body).__name__}): no decoder blocks found: its configuration "
            "states no number of hidden layers or no hidden size",
            hint="isodepth reads decoder language models.",
        )
    blocks = decoder_blocks(body, n_layers=n_layers, name=source.name)
    limit = getattr(config, "max_position_embeddings", None)
    return Model(
        name=source.name,
        digest=source.digest,
        body=body,
        blocks=tuple(blocks),
        tokenizer=tokenizer,
        width=width,
        context_length=limit if isinstance(limit, int) and limit > 0 else None,
        provenance={
            "source": source.kind,
            "architecture": type(body).__name__,
            "parameters": sum(p.numel() for p in body.parameters()),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    )
