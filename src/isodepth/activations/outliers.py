"""Do single units or single tokens dwarf the others? Cosine similarity feels both.

"Massive activations" (Sun et al. 2024, arXiv 2402.17762) are a few units with values hundreds of times
the median, at a few tokens, mostly the first. A unit that holds most of a vector's squared norm makes
all cosines near 1 and leaves the neighbors to what is left; a token of huge norm rules a mean over
tokens. isodepth changes nothing about them; it tells how large they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from isodepth.activations.pooling import Counted

NORMS = "token norms"


@dataclass(frozen=True, slots=True, kw_only=True)
class NormOutliers:
    """The largest outliers on probe texts; layers, units and tokens count from 1.

    Parameters
    ----------
    unit_share : float
        The share of a vector's squared norm that its largest unit holds, in (0, 1]: the median over
        texts, in the layer where that is largest.
    unit, unit_layer : int
        That unit (of the vector with the median share), and the layer.
    token_norm_ratio : float
        The largest norm of a token over the median norm of its text's tokens, in one layer.
    token : str
        That token.
    token_place, token_layer : int
        Its place in its text, and the layer.
    text_norm_ratio : float
        The largest norm of a text's vector over the median norm of all probe texts', in one layer.
    text_layer : int
        That layer.
    """

    unit_share: float
    unit: int
    unit_layer: int
    token_norm_ratio: float
    token: str
    token_place: int
    token_layer: int
    text_norm_ratio: float
    text_layer: int


def token_norms(hidden: torch.Tensor, counted: Counted) -> torch.Tensor:
    """Return (texts, tokens): the norm of each token's activation, float32; all tokens of a batch."""
    del counted
    norms: torch.Tensor = torch.linalg.vector_norm(hidden.float(), dim=-1)
    return norms


def measured_outliers(
    vectors: np.ndarray, norms: Sequence[np.ndarray], ids: Sequence[np.ndarray], tokenizer: Any
) -> NormOutliers:
    """Return the outliers of probe texts.

    Parameters
    ----------
    vectors : float32 array (layers, texts, units)
        The texts' vectors.
    norms : sequence of float32 arrays (layers, tokens)
        The norms of each text's tokens.
    ids : sequence of int64 arrays (tokens,)
        Each text's token ids.
    tokenizer : transformers tokenizer
        Names the token.
    """
    smallest = np.finfo(np.float64).tiny
    squares = vectors.astype(np.float64) ** 2
    shares = squares.max(axis=2) / np.maximum(squares.sum(axis=2), smallest)
    # the lower median, so that it is one text's share
    middle = np.argsort(shares, axis=1, kind="stable")[:, (shares.shape[1] - 1) // 2]
    medians = np.take_along_axis(shares, middle[:, None], axis=1)[:, 0]
    layer = int(medians.argmax())
    lengths = np.sqrt(squares.sum(axis=2))
    text_ratios = lengths.max(axis=1) / np.maximum(np.median(lengths, axis=1), smallest)
    ratios = [one / np.maximum(np.median(one, axis=1, keepdims=True), smallest) for one in norms]
    text = int(np.argmax([one.max() for one in ratios]))
    token_layer, place = np.unravel_index(int(ratios[text].argmax()), ratios[text].shape)
    return NormOutliers(
        unit_share=float(medians[layer]),
        unit=int(squares[layer, middle[layer]].argmax()) + 1,
        unit_layer=layer + 1,
        token_norm_ratio=float(ratios[text].max()),
        token=str(tokenizer.convert_ids_to_tokens(int(ids[text][place]))),
        token_place=int(place) + 1,
        token_layer=int(token_layer) + 1,
        text_norm_ratio=float(text_ratios.max()),
        text_layer=int(text_ratios.argmax()) + 1,
    )
