"""A model object that is in memory already, as a `Model`: fine-tuned a moment ago, pruned, edited.

Results are kept under the identity of what made them, so all that changes activations must be in the
digest: weights and buffers, configuration, adapters, the tokenizer and what it does. What cannot be
hashed (somebody's hooks, a replaced forward function) is refused unless the user gives the digest.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from isodepth.errors import ModelError, listed
from isodepth.models.adapters import adapter_states, refuse_outside_kinds
from isodepth.models.bodies import READS, model_around
from isodepth.models.model import Model, foreign_functions, object_state
from isodepth.models.transformers_calls import quiet_transformers

SAMPLE = "A sample, twice:  Ünïcode 12345"


def as_model(module: torch.nn.Module, tokenizer: Any, *, name: str, digest: str | None = None) -> Model:
    """Return a model object that is in memory already as a `Model`.

    Parameters
    ----------
    module : torch.nn.Module
        A transformers model, with or without its head, or a PEFT model around one; in evaluation mode.
        It is not copied; where it is changed afterwards, and that shows, it is refused.
    tokenizer : transformers tokenizer
        Its tokenizer.
    name : str
        What to call it.
    digest : str, optional
        What identifies it in the store; a sha256 over configuration, weights and tokenizer where it is
        left out (another one after a first pass of 4-bit weights on a CPU, where bitsandbytes packs
        them). Must be given where hooks or a replaced ``forward`` change what the model computes.

    Raises
    ------
    ModelError
        If it is no transformers model, is in training mode, has no decoder blocks, or cannot be
        identified.

    Examples
    --------
    >>> model = as_model(my_model, my_tokenizer, name="epoch 3")         # doctest: +SKIP
    >>> activations = isodepth.extract(model, "wikipedia")               # doctest: +SKIP
    """
    if not hasattr(module, "config") or not hasattr(module, "base_model"):
        raise ModelError(f"{name} ({type(module).__name__}) is no transformers model", hint=READS)
    if not hasattr(tokenizer, "get_vocab"):
        raise ModelError(
            f"{name}: expected a transformers tokenizer; got {type(tokenizer).__name__}",
            hint="pass the tokenizer that the model was trained with.",
        )
    if any(part.training for part in module.modules()):
        raise ModelError(
            f"{name} is in training mode, where dropout makes every pass another",
            hint="call its .eval() first.",
        )
    if hasattr(module, "get_base_model"):
        module = _unwrapped(module, name)
    identity = digest or f"memory:{_object_digest(module, tokenizer, name)}"
    with quiet_transformers():
        model = model_around(
            module, tokenizer, name=name, digest=identity, provenance={"source": "memory"}
        )
    if digest is not None:
        return model
    state = object_state(model.body, every_buffer=model.rescales_above is None)
    return replace(model, object_state=state)


def _unwrapped(module: Any, name: str) -> Any:
    """Return the model inside a PEFT model, with the adapter in its layers."""
    for config in getattr(module, "peft_config", {}).values():
        refuse_outside_kinds(config, name)
    return module.get_base_model()


def _refuse_hidden_changes(module: torch.nn.Module, name: str) -> None:
    """Raise if hooks or replaced forward functions change the model in ways that cannot be hashed."""
    changed = list(dict.fromkeys(foreign_functions(module)))
    if changed:
        raise ModelError(
            f"{name}: hooks or a replaced forward function stand on {listed(changed, most=5)}, so the "
            "weights do not identify what it computes",
            hint="pass as_model(..., digest=...) with a text that identifies model and changes.",
        )


def _object_digest(module: Any, tokenizer: Any, name: str) -> str:
    """Return the sha256 over configuration, weights and tokenizer of a model object."""
    _refuse_hidden_changes(module, name)
    whole = hashlib.sha256()
    settings = module.config.to_dict()
    for origin in ("_name_or_path", "transformers_version"):  # where it is from, not what it is
        settings.pop(origin, None)
    stated = [type(module).__name__, settings, getattr(module.config, "_attn_implementation", None)]
    stated += [adapter_states(module), _tokenizer_account(tokenizer)]
    whole.update(json.dumps(stated, sort_keys=True, default=str).encode("utf-8", "replace"))
    with _packed_weights_kept(module):
        tensors = {**module.state_dict(), **dict(module.named_buffers())}  # also what is not saved
    for path, values in sorted(tensors.items()):
        if not isinstance(values, torch.Tensor) or values.is_meta:
            raise ModelError(
                f"{name}: the weights {path} are not in memory, so the model cannot be identified",
                hint="pass as_model(..., digest=...) with a text that identifies it.",
            )
        whole.update(f"{path} {values.dtype} {tuple(values.shape)}\n".encode())
        whole.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


@contextlib.contextmanager
def _packed_weights_kept(module: torch.nn.Module) -> Iterator[None]:
    """Put 4-bit weights back as they were.

    On some CPUs bitsandbytes packs them at the first pass. Its `state_dict` (0.50) unpacks them in
    place and leaves their scales transposed, with which the next pass would compute.
    """
    weights: list[Any] = [getattr(part, "weight", None) for part in module.modules()]
    packed = [
        (weight, weight.data, weight.quant_state, dict(vars(weight.quant_state)))
        for weight in weights
        if getattr(getattr(weight, "quant_state", None), "packing_format_for_cpu", False)
    ]
    try:
        yield
    finally:
        for weight, values, state, said in packed:
            weight.data, weight.quant_state = values, state
            vars(state).clear()
            vars(state).update(said)


def _tokenizer_account(tokenizer: Any) -> list[Any]:
    """Return what a tokenizer is and does, but for what a call of it leaves behind."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    pieces = tokenizer.get_vocab()
    if backend is not None:
        pieces = json.loads(backend.to_str())
        for left_behind in ("truncation", "padding"):
            pieces.pop(left_behind, None)
    return [
        type(tokenizer).__name__,
        pieces,
        getattr(tokenizer, "model_max_length", None),
        getattr(tokenizer, "chat_template", None),
        tokenizer(SAMPLE)["input_ids"],
        tokenizer(SAMPLE, add_special_tokens=False)["input_ids"],
    ]
