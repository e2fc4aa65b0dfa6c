"""Which model is read: catalogue, hub ids, local folders, GGUF files, adapters; finding its blocks.

Names are loaded when first used: a rerun from the store needs neither torch nor transformers, which
take seconds to import, and the command line's help needs none of it.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isodepth.models.catalogue import MODEL_GROUPS, MODELS, expanded_models
    from isodepth.models.chat_templates import has_chat_template
    from isodepth.models.description import ModelDescription, describe_model
    from isodepth.models.entries import CatalogueModel, GgufWeights, HubWeights
    from isodepth.models.in_memory import as_model
    from isodepth.models.loading import load_model, load_tokenizer
    from isodepth.models.model import Model
    from isodepth.models.options import LoadingOptions
    from isodepth.models.resolution import ModelSource, resolve_model

_HOMES = {
    "MODELS": "catalogue",
    "MODEL_GROUPS": "catalogue",
    "expanded_models": "catalogue",
    "has_chat_template": "chat_templates",
    "ModelDescription": "description",
    "describe_model": "description",
    "CatalogueModel": "entries",
    "GgufWeights": "entries",
    "HubWeights": "entries",
    "as_model": "in_memory",
    "load_model": "loading",
    "load_tokenizer": "loading",
    "Model": "model",
    "LoadingOptions": "options",
    "ModelSource": "resolution",
    "resolve_model": "resolution",
}

__all__ = [
    "MODELS",
    "MODEL_GROUPS",
    "CatalogueModel",
    "GgufWeights",
    "HubWeights",
    "LoadingOptions",
    "Model",
    "ModelDescription",
    "ModelSource",
    "as_model",
    "describe_model",
    "expanded_models",
    "has_chat_template",
    "load_model",
    "load_tokenizer",
    "resolve_model",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"isodepth.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'isodepth.models' has no attribute {name!r}")
