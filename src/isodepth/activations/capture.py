"""Reading one batch: forward hooks on the decoder blocks, pooled inside the hook.

Only the pooled vectors outlive a block, so a batch costs what its forward pass costs. Several threads
may read with the same model at once; what a thread captures is its own.
"""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import torch

from isodepth.models.loading import Model


def last_token(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (rows, units): the activation at each row's last real token."""
    last = mask.sum(dim=1) - 1
    return hidden[torch.arange(len(hidden)), last]


def mean_of_tokens(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return (rows, units): the mean over each row's real tokens."""
    weights = mask.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


POOLING_FUNCTIONS = {"last": last_token, "mean": mean_of_tokens}


class _Reading(threading.local):
    """What the current thread is reading: which tokens count, and what each layer gave so far."""

    mask: torch.Tensor | None = None
    layers: list[Any] | None = None


class BlockReader:
    """Reads pooled block outputs of a model; a context manager that removes its hooks.

    Parameters
    ----------
    model : Model
        The model.
    capture, pooling : str
        As in `ExtractionOptions`.
    """

    def __init__(self, model: Model, *, capture: str, pooling: str) -> None:
        self.model = model
        self.capture = capture
        self._pooling = POOLING_FUNCTIONS[pooling]
        self._own = _Reading()
        self._handles: list[Any] = []

    def __enter__(self) -> "BlockReader":
        for layer, block in enumerate(self.model.blocks):
            self._handles.append(block.register_forward_hook(self._hook(layer)))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, layer: int) -> Any:
        def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            if self._own.mask is None:  # a forward pass that is not ours
                return
            hidden = output[0] if isinstance(output, tuple) else output
            assert self._own.layers is not None
            self._own.layers[layer] = self.pooled(hidden, self._own.mask)

        return keep

    def pooled(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return hidden states (rows, tokens, units) pooled to (rows, units)."""
        return self._pooling(hidden, mask)

    def read(self, ids: Sequence[np.ndarray], *, mask: torch.Tensor | None = None) -> np.ndarray:
        """Return the activations of a batch of texts, float32 (layers, texts, units).

        Parameters
        ----------
        ids : sequence of int64 arrays
            Token ids of each text; shorter ones are padded on the right.
        mask : bool tensor (texts, tokens), optional
            Which tokens pooling regards; the real ones where it is left out.
        """
        layers, output, counted = self._forward(ids, mask)
        if self.capture == "final_norm":
            layers[-1] = self.pooled(final_output(output), counted)
        return torch.stack(layers).float().numpy()

    def read_with_states(
        self, ids: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...] | None]:
        """Return what one forward pass over one text gives, by hooks and by the model's own account.

        Returns
        -------
        blocks : float32 array (layers, units)
            The block outputs, from the hooks.
        final : float32 array (units,)
            The body's output.
        states : tuple of float32 arrays (units,), or None
            The entries of ``hidden_states``; None where the model gives none.
        """
        layers, output, counted = self._forward([ids], None, output_hidden_states=True)
        states = getattr(output, "hidden_states", None)
        own = [final_output(output)] if states is None else [final_output(output), *states]
        final, *entries = (self.pooled(hidden, counted)[0].float().numpy() for hidden in own)
        blocks = torch.stack(layers)[:, 0].float().numpy()
        return blocks, final, None if states is None else tuple(entries)

    def _forward(
        self, ids: Sequence[np.ndarray], mask: torch.Tensor | None, **settings: bool
    ) -> tuple[list[Any], Any, torch.Tensor]:
        """Return the pooled block outputs, the body's output, and the tokens that pooling regards."""
        padded, attention = right_padded(ids)
        counted = attention if mask is None else mask
        layers: list[Any] = [None] * self.model.n_layers
        self._own.mask, self._own.layers = counted, layers
        try:
            with torch.inference_mode():
                output = self.model.body(
                    input_ids=padded, attention_mask=attention.long(), use_cache=False, **settings
                )
        finally:
            self._own.mask = self._own.layers = None
        return layers, output, counted


def final_output(output: Any) -> torch.Tensor:
    """Return what the body returns: the last block's output after the final norm."""
    hidden = output.last_hidden_state if hasattr(output, "last_hidden_state") else output[0]
    assert isinstance(hidden, torch.Tensor)
    return hidden


def right_padded(ids: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids as one int64 tensor (texts, tokens), padded with 0, and the bool mask.

    Which id fills the padding cannot matter: in a causal model no real token sees a later one.
    """
    longest = max(len(one) for one in ids)
    padded = torch.zeros(len(ids), longest, dtype=torch.int64)
    mask = torch.zeros(len(ids), longest, dtype=torch.bool)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = torch.from_numpy(one.copy())  # read-only buffers cannot be shared
        mask[row, : len(one)] = True
    return padded, mask
