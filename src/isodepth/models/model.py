"""A model that is ready to be read. Needs no torch to be imported."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """The number of decoder blocks."""
        return len(self.blocks)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, n_layers={self.n_layers}, width={self.width})"
