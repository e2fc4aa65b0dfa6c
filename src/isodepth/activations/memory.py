"""Batches that do not fit in memory are halved and tried again."""

import gc
import threading
import warnings
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import torch

from isodepth.activations.capture import BlockReader
from isodepth.activations.failures import is_out_of_memory
from isodepth.errors import ActivationsError, IsodepthWarning, first_line


class HalvedBatchWarning(IsodepthWarning):
    """A batch did not fit in memory and was read in halves."""


class HalvingReader:
    """Reads batches, halving those that do not fit.

    The smallest batch that failed is remembered, so that later ones of its size are halved at once.

    Parameters
    ----------
    reader : BlockReader
        Reads a batch.
    front : int
        Tokens in front of every text that means leave out.
    """

    def __init__(self, reader: BlockReader, *, front: int) -> None:
        self._reader = reader
        self._front = front
        self._lock = threading.Lock()
        self.failed_tokens: int | None = None

    def read(
        self, ids: Sequence[np.ndarray], *, lengths: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        """Return the activations of a batch; see `BlockReader.read`.

        Raises
        ------
        ActivationsError
            If even one text alone does not fit.
        """
        n_tokens = len(ids) * max(len(one) for one in ids)
        failed: str | None = None
        if self.failed_tokens is None or n_tokens < self.failed_tokens or len(ids) == 1:
            try:
                return self._reader.read(ids, front=self._front, lengths=lengths)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failed = first_line(error)
        # outside of the except clause: the error's traceback would keep the batch's tensors alive
        if failed is not None:
            self._remember(ids, n_tokens, failed)
        middle = (len(ids) + 1) // 2
        halves = [
            self.read(ids[half], lengths=None if lengths is None else lengths[half])
            for half in (slice(None, middle), slice(middle, None))
        ]
        return [np.concatenate(parts, axis=1) for parts in zip(*halves, strict=True)]

    def _remember(self, ids: Sequence[np.ndarray], n_tokens: int, failed: str) -> None:
        name = self._reader.model.name
        _free_memory()
        if len(ids) == 1:
            refuse_text_too_large(name, n_tokens, failed)
        with self._lock:
            is_first = self.failed_tokens is None
            self.failed_tokens = min(n_tokens, self.failed_tokens or n_tokens)
        if is_first:
            warnings.warn(
                f"{name}: a batch of {len(ids):,} texts ({n_tokens:,} tokens) does not fit in memory; "
                "it, and others as large, are read in halves.",
                HalvedBatchWarning,
                stacklevel=2,
            )


def refuse_text_too_large(name: str, n_tokens: int, failed: str) -> NoReturn:
    """Raise `ActivationsError`, for a text that does not fit in memory although it is alone."""
    raise ActivationsError(
        f"{name}: a text of {n_tokens:,} tokens does not fit in memory, alone as it is: {failed}",
        hint="cut texts with --max-tokens, use --dtype bfloat16, or spread the model with --device-map "
        "auto.",
    )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
