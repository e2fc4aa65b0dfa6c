"""A model object that is in memory already, as a `Model`: fine-tuned a moment ago, pruned, edited."""

import hashlib
import json
from typing import Any

import torch

from isodepth.errors import ModelError
from isodepth.models.adapters import adapter_states, refuse_outside_kinds
from isodepth.models.bodies import model_around
from isodepth.models.model import Model
from isodepth.models.transformers_calls import quiet_transformers


def as_model(module: torch.nn.Module, tokenizer: Any, *, name: str, digest: str | None = None) -> Model:
    """Return a model object that is in memory already as a `Model`.

    Parameters
    ----------
    module : torch.nn.Module
        A transformers model, with or without its head, or a PEFT model around one; in evaluation mode.
        It is not copied, and must not be changed while it is used.
    tokenizer : transformers tokenizer
        Its tokenizer.
    name : str
        What to call it.
    digest : str, optional
        What identifies it in the store; a sha256 over configuration, weights and tokenizer where it is
        left out.

    Raises
    ------
    ModelError
        If it is in training mode, or has no decoder blocks.

    Examples
    --------
    >>> model = as_model(my_model, my_tokenizer, name="epoch 3")         # doctest: +SKIP
    >>> activations = isodepth.extract(model, "wikipedia")               # doctest: +SKIP
    """
    if any(part.training for part in module.modules()):
        raise ModelError(
            f"{name} is in training mode, where dropout makes every pass another",
            hint="call its .eval() first.",
        )
    if hasattr(module, "get_base_model"):
        module = _unwrapped(module, name)
    identity = digest or f"memory:{_object_digest(module, tokenizer)}"
    with quiet_transformers():
        return model_around(
            module, tokenizer, name=name, digest=identity, provenance={"source": "memory"}
        )


def _unwrapped(module: Any, name: str) -> Any:
    """Return the model inside a PEFT model, with the adapter in its layers."""
    for config in getattr(module, "peft_config", {}).values():
        refuse_outside_kinds(config, name)
    return module.get_base_model()


def _object_digest(module: Any, tokenizer: Any) -> str:
    """Return the sha256 over configuration, weights and tokenizer of a model object."""
    whole = hashlib.sha256()
    config = getattr(module, "config", None)
    settings = config.to_dict() if config is not None else {}
    for origin in ("_name_or_path", "transformers_version"):  # where it is from, not what it is
        settings.pop(origin, None)
    stated = [type(module).__name__, settings, getattr(config, "_attn_implementation", None)]
    stated.append(adapter_states(module))
    whole.update(json.dumps(stated, sort_keys=True, default=str).encode())
    for name, values in sorted(module.state_dict().items()):
        if not isinstance(values, torch.Tensor) or values.is_meta:
            raise ModelError(
                f"the weights {name} are not in memory, so the model cannot be identified",
                hint="pass a digest that identifies it.",
            )
        whole.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        whole.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab())
    whole.update(words.encode("utf-8", "replace"))
    whole.update(str(getattr(tokenizer, "chat_template", None)).encode("utf-8", "replace"))
    return whole.hexdigest()
