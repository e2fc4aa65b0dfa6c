"""From the hidden states of a text's tokens to one vector a text.

All functions take hidden states (texts, tokens, units) of a right-padded batch and which tokens count,
and return float32 (texts, units).

The mean leaves out the tokens that a tokenizer or chat template puts in front of every text, in models
whose tokens see only earlier ones: there those tokens' activations are the same for all texts, and
their norms often are the largest of all (attention sinks), so with them the mean would tell little more
than the text's length. Where tokens see later ones too (encoders), all tokens count, as sentence models
have it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Counted:
    """Which tokens of a batch count.

    Parameters
    ----------
    lengths : int64 tensor (texts,)
        Real tokens of each text, at least 1.
    front : int
        Tokens in front of every text that means leave out.
    """

    lengths: torch.Tensor
    front: int = 0


def token_at(hidden: torch.Tensor, counted: Counted, index: int) -> torch.Tensor:
    """Return the activation at one token of each text; negative indices count from its last token."""
    lengths = counted.lengths.to(hidden.device)
    places = torch.full_like(lengths, index) if index >= 0 else lengths + index
    return hidden[torch.arange(len(hidden), device=hidden.device), places].float()


def mean_of_tokens(hidden: torch.Tensor, counted: Counted) -> torch.Tensor:
    """Return the mean over each text's tokens, without those in front."""
    lengths = counted.lengths.to(hidden.device)[:, None]
    # a text that was cut right behind what is in front keeps its last token
    start = torch.clamp(lengths - 1, max=counted.front)
    place = torch.arange(hidden.shape[1], device=hidden.device)[None]
    weights = ((place >= start) & (place < lengths)).float()[..., None]
    return (hidden.float() * weights).sum(dim=1) / (lengths - start)


def pooling_function(pooling: str | int) -> Callable[[torch.Tensor, Counted], torch.Tensor]:
    """Return the function of a pooling, as `ExtractionOptions` names it."""
    if pooling == "mean":
        return mean_of_tokens
    index = {"last": -1, "first": 0}.get(str(pooling), pooling)
    assert isinstance(index, int)
    return lambda hidden, counted: token_at(hidden, counted, index)
