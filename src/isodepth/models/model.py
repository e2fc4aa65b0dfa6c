"""A model that is ready to be read. Needs no torch to be imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isodepth.errors import ModelError

OWN_PACKAGES = ("transformers", "accelerate", "peft", "bitsandbytes", "isodepth")
ADAPTER_STATES = ("active_adapters", "disable_adapters", "merged_adapters", "scaling")
"""Attributes of the layers of PEFT that say how they act, beside their weights."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A language model, ready to be read. Made by `load_model` and `as_model`.

    Parameters
    ----------
    name : str
        What people call it; the label in results.
    digest : str
        Its identity: of the weights' bytes, or hub id and commit, with adapter and number format.
    body : torch.nn.Module
        The model without its head, in evaluation mode.
    blocks : tuple of torch.nn.Module
        The decoder blocks, from input to output.
    skipped_blocks : tuple of int
        Blocks (from 0) that text does not pass through, as the cross-attention blocks of a vision model
        without an image; the residual stream passes them unchanged.
    tokenizer : transformers tokenizer
        Its tokenizer.
    width : int
        Units of the residual stream.
    context_length : int or None
        The most tokens that it can read; None where its configuration states no limit.
    is_causal : bool
        Whether tokens see only earlier ones: a decoder, not an encoder.
    rescales_above : int or None
        The number of tokens above which its position embeddings depend on the longest text of a batch;
        None where they never do.
    batch_tokens : int or None
        The most tokens of a batch, padding included; None for what suits the device.
    object_state : int or None
        What a model object looked like when it was identified; None where it was loaded here, or its
        user identifies it.
    provenance : mapping
        Versions, architecture, parameter count, number format, device, attention implementation.
        "dtype" is always there.
    """

    name: str
    digest: str
    body: Any
    blocks: tuple[Any, ...]
    skipped_blocks: tuple[int, ...] = ()
    tokenizer: Any
    width: int
    context_length: int | None
    is_causal: bool = True
    rescales_above: int | None = None
    batch_tokens: int | None = None
    object_state: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """The number of decoder blocks."""
        return len(self.blocks)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, n_layers={self.n_layers}, width={self.width})"


def object_state(module: Any, *, every_buffer: bool) -> int:
    """Return a number that changes when a model object is changed, as far as that shows at a glance.

    Counted are changes of weights in place, other weights in their stead, hooks, training mode, and
    which adapters are on or merged and how strong. Buffers that are not saved count where
    `every_buffer` says so; in some models, reading changes them.
    """
    tensors = list(module.parameters())
    for part in module.modules():
        passing = set() if every_buffer else part._non_persistent_buffers_set
        tensors += [one for name, one in part._buffers.items() if name not in passing]
    stated: list[Any] = [
        (id(tensor), tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version)
        for tensor in tensors
        if tensor is not None and not tensor.is_meta
    ]
    for part in module.modules():
        stated.append((part.training, *(str(getattr(part, name, None)) for name in ADAPTER_STATES)))
    return hash((*stated, *foreign_functions(module)))


def foreign_functions(module: Any) -> list[str]:
    """Return the paths in a model on which hooks or replaced forward functions stand, once for each.

    Those of transformers, PEFT and the like are left out.
    """
    found = []
    for path, part in module.named_modules():
        functions = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
        functions += [part.__dict__["forward"]] if "forward" in part.__dict__ else []
        found += [path or "the model itself" for one in functions if _package(one) not in OWN_PACKAGES]
    return found


def _package(function: Any) -> str:
    inner = getattr(function, "func", function)  # of a functools.partial
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return str(module).split(".", 1)[0]


def refuse_changed(model: Model) -> None:
    """Raise `ModelError` if a model object was changed since `as_model` identified it."""
    if model.object_state is None:
        return
    every_buffer = model.rescales_above is None
    if object_state(model.body, every_buffer=every_buffer) != model.object_state:
        raise ModelError(
            f"{model.name}: it was changed since as_model() identified it",
            hint="call as_model() again: results are kept under the identity of the model.",
        )
