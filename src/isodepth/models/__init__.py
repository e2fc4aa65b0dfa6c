"""Which model is read: catalogue, hub ids, local folders and GGUF files; finding decoder blocks."""

from typing import TYPE_CHECKING

from isodepth.models.catalogue import MODELS, CatalogueModel
from isodepth.models.chat_templates import has_chat_template
from isodepth.models.resolution import ModelSource, resolve_model

if TYPE_CHECKING:
    from isodepth.models.loading import Model, load_model, load_tokenizer

__all__ = [
    "MODELS",
    "CatalogueModel",
    "Model",
    "ModelSource",
    "has_chat_template",
    "load_model",
    "load_tokenizer",
    "resolve_model",
]


def __getattr__(name: str) -> object:
    # torch and transformers take seconds to import; a rerun from the store needs neither
    if name in ("Model", "load_model", "load_tokenizer"):
        from isodepth.models import loading

        return getattr(loading, name)
    raise AttributeError(f"module 'isodepth.models' has no attribute {name!r}")
