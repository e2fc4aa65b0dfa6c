"""Reading one batch: forward hooks on the blocks or their parts, pooled inside the hook.

Several captures and poolings are read in one forward pass. Only the pooled vectors outlive a block, so
a batch costs what its forward pass costs. Several threads may read with the same model at once; what a
thread captures is its own.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
import torch

from isodepth.activations.failures import is_out_of_memory
from isodepth.activations.pooling import Counted, pooling_function
from isodepth.activations.products import float32_products
from isodepth.errors import ActivationsError, ModelError, first_line
from isodepth.models.blocks import hidden_input, hidden_state, input_device
from isodepth.models.model import Model
from isodepth.models.parts import block_parts

Pool = Callable[[torch.Tensor, Counted], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing to read: a key of `CAPTURES`, and a pooling."""

    capture: str
    pooling: str | int


@dataclass(slots=True)
class _Pass:
    """A forward pass over a batch of `shape` (texts, tokens), with what it gives.

    What it gives are pooled vectors by source, layer (from 0) and pooling.
    """

    counted: Counted
    shape: tuple[int, int]
    pooled: dict[tuple[str, int, str | int], torch.Tensor] = field(default_factory=dict)


class _Current(threading.local):
    """The forward pass that the current thread is in."""

    run: _Pass | None = None


class BlockReader:
    """Reads pooled activations of a model; a context manager that removes its hooks.

    Parameters
    ----------
    model : Model
        The model.
    readings : sequence of Reading
        What to read in each pass.
    pools : mapping, optional
        Further pooling functions by name, for readings that name them.

    Raises
    ------
    ModelError
        If the model's blocks have no such part; see `block_parts`.
    """

    def __init__(
        self,
        model: Model,
        readings: Sequence[Reading],
        *,
        pools: Mapping[str, Pool] | None = None,
    ) -> None:
        self.model = model
        self.readings = tuple(readings)
        self._pools: dict[str | int, Pool] = {
            one.pooling: (pools or {}).get(str(one.pooling)) or pooling_function(one.pooling)
            for one in readings
        }
        self._wanted = {
            source: {one.pooling for one in readings if _SOURCES[one.capture] == source}
            for source in {_SOURCES[one.capture] for one in readings}
        }
        self._parts = {
            part: block_parts(model, part) for part in ("attention", "mlp") if part in self._wanted
        }
        self._current = _Current()
        self._longest: float = math.inf  # of the pass before, which may have been another reader's
        self._handles: list[Any] = []

    def __enter__(self) -> "BlockReader":
        running = [
            number for number in range(self.model.n_layers) if number not in self.model.skipped_blocks
        ]
        # a block that text passes by has what entered it; before the first that runs, the embedding
        first = self.model.blocks[running[0]]
        if "embedding" in self._wanted or running[0] > 0:
            self._wanted.setdefault("embedding", set()).update(self._wanted.get("block", ()))
            hook = self._input_hook()
            self._handles.append(first.register_forward_pre_hook(hook, with_kwargs=True))
        for layer in running if "block" in self._wanted else ():
            hook = self._output_hook("block", layer)
            self._handles.append(self.model.blocks[layer].register_forward_hook(hook))
        for part, modules in self._parts.items():
            for layer, module in enumerate(modules):
                hook = self._output_hook(part, layer)
                self._handles.append(module.register_forward_hook(hook))
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

    def _output_hook(self, source: str, layer: int) -> Callable[..., None]:
        def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            self._keep(source, layer, hidden_state(output))

        return keep

    def _input_hook(self) -> Callable[..., None]:
        # without `named`, it is a pass of another thread; see isodepth.models.hooks
        def keep(module: torch.nn.Module, inputs: Any, named: Any = None) -> None:
            del module
            if named is not None:
                self._keep("embedding", -1, hidden_input(inputs, named))

        return keep

    def _keep(self, source: str, layer: int, hidden: torch.Tensor) -> None:
        run = self._current.run
        if run is not None:  # else it is a forward pass that is not ours
            if hidden.ndim == 2:  # some MLPs are given all tokens of all texts in one row
                hidden = hidden.reshape(*run.shape, -1)
            expected = (*run.shape, self.model.width)
            if tuple(hidden.shape) != expected:
                raise ActivationsError(
                    f"{self.model.name}: expected (texts, tokens, units) = {expected} from "
                    f"block {layer + 1} ({source}); got {tuple(hidden.shape)}"
                )
            for pooling in self._wanted[source]:
                if (source, layer, pooling) in run.pooled:
                    raise ActivationsError(
                        f"{self.model.name}: block {layer + 1} ({source}) ran twice in a pass"
                    )
                run.pooled[source, layer, pooling] = self._pools[pooling](hidden, run.counted)

    def read(
        self, ids: Sequence[np.ndarray], *, front: int = 0, lengths: Sequence[int] | None = None
    ) -> list[np.ndarray]:
        """Return the activations of a batch of texts.

        Parameters
        ----------
        ids : sequence of int64 arrays
            Token ids of each text; shorter ones are padded on the right.
        front : int
            Tokens in front of every text that means leave out.
        lengths : sequence of int, optional
            How many tokens of each text pooling regards; all where it is left out.

        Returns
        -------
        list of float32 arrays (layers, texts, units)
            One for each reading.
        """
        run, output = self._forward(ids, front, lengths)
        return [self._values(one, run, output) for one in self.readings]

    def read_with_states(
        self, ids: np.ndarray, *, front: int = 0
    ) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray] | None]:
        """Return what one forward pass over one text gives, by hooks and by the model's own account.

        Returns
        -------
        values : list of float32 arrays (layers, units)
            One for each reading, from the hooks.
        final : float32 array (units,)
            The body's output, pooled as the first reading is.
        states : list of float32 arrays (units,), or None
            The entries of ``hidden_states``, pooled likewise; None where the model gives none.
        """
        run, output = self._forward([ids], front, None, output_hidden_states=True)
        pool = self._pools[self.readings[0].pooling]

        def pooled(hidden: torch.Tensor) -> np.ndarray:
            return _to_numpy(pool(hidden, run.counted)[0])

        states = getattr(output, "hidden_states", None)
        values = [self._values(one, run, output)[:, 0] for one in self.readings]
        final = pooled(hidden_state(output))
        return values, final, None if states is None else [pooled(state) for state in states]

    def _values(self, reading: Reading, run: _Pass, output: Any) -> np.ndarray:
        """Return what was read, (layers, texts, units)."""
        source, pooling = _SOURCES[reading.capture], reading.pooling
        if source == "embedding":
            return _to_numpy(run.pooled[source, -1, pooling])[None]
        layers: list[torch.Tensor] = []
        for layer in range(self.model.n_layers):
            found = run.pooled.get((source, layer, pooling))
            if found is None:
                if layer not in self.model.skipped_blocks:
                    raise ActivationsError(
                        f"{self.model.name}: block {layer + 1} ({source}) did not run in a pass"
                    )
                found = layers[-1] if layers else run.pooled["embedding", -1, pooling]
            layers.append(found)
        if reading.capture == "final_norm":
            layers[-1] = self._pools[pooling](hidden_state(output), run.counted)
            if layers[-1].shape[-1] != self.model.width:
                raise ModelError(
                    f"{self.model.name}: its output has {layers[-1].shape[-1]:,} units and its blocks "
                    f"{self.model.width:,}, so the output cannot stand for the last layer",
                    hint='use capture "block".',
                )
        one_device = len({layer.device for layer in layers}) == 1
        return _to_numpy(torch.stack(layers)) if one_device else np.stack(list(map(_to_numpy, layers)))

    def _forward(
        self,
        ids: Sequence[np.ndarray],
        front: int,
        lengths: Sequence[int] | None,
        **settings: bool,
    ) -> tuple[_Pass, Any]:
        """Return what the hooks kept of a pass, and the body's output."""
        body = self.model.body
        device = input_device(body)
        padded, attention = right_padded(ids)
        counted = Counted(
            attention.sum(dim=1) if lengths is None else torch.tensor(list(lengths)), front
        )
        with torch.inference_mode(), float32_products():
            if self.model.rescales_above is not None and self._longest > self.model.rescales_above:
                # "dynamic" position embeddings remember the longest text that they saw; one token
                # resets them, so that a text's activations do not depend on those read before it
                body(input_ids=padded[:1, :1].to(device), use_cache=False)
            self._longest = padded.shape[1]
            rows, tokens = padded.shape
            self._current.run = run = _Pass(counted, (rows, tokens))
            try:
                output = body(
                    input_ids=padded.to(device),
                    attention_mask=attention.long().to(device),
                    use_cache=False,
                    **settings,
                )
            except Exception as error:
                # it is a stranger's forward function; it may raise anything
                if is_out_of_memory(error) or isinstance(error, ActivationsError):
                    raise
                raise ActivationsError(
                    f"{self.model.name} ({type(body).__name__}) fails on a batch of {rows:,} texts of "
                    f"{tokens:,} tokens: {type(error).__name__}: {first_line(error)}",
                    hint="another --dtype, --attention or --max-tokens may help.",
                ) from error
            finally:
                self._current.run = None
        return run, output


_SOURCES = {
    "block": "block",
    "final_norm": "block",
    "embedding": "embedding",
    "attention": "attention",
    "mlp": "mlp",
}
"""From where in the model each capture is read."""


def _to_numpy(values: torch.Tensor) -> np.ndarray:
    # models that are being trained may ask for gradients even here
    array: np.ndarray = values.detach().float().cpu().numpy()
    return array


def right_padded(ids: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids as one int64 tensor (texts, tokens), padded with 0, and the bool mask.

    Which id fills the padding cannot matter: in a causal model no real token sees a later one, and
    elsewhere the mask hides it.
    """
    longest = max(len(one) for one in ids)
    padded = torch.zeros(len(ids), longest, dtype=torch.int64)
    mask = torch.zeros(len(ids), longest, dtype=torch.bool)
    for row, one in enumerate(ids):
        padded[row, : len(one)] = torch.from_numpy(one.copy())  # read-only buffers cannot be shared
        mask[row, : len(one)] = True
    return padded, mask
