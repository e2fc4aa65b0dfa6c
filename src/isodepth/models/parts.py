"""What is inside a block? Its token mixer and its MLP, found by one rule and proved by running it.

The children of a block that hold matrices are its parts. Those named as a feed-forward part or a
mixture of experts make up the MLP, as do bare linear layers, which cannot mix tokens; the last of them
gives its output. The one other child mixes tokens: attention, or what stands in its place (a state
space, a recurrence).

What a part returns is taken for what it adds to the residual stream, before any norm or scale between
the two. That is proved: where all parts return zeros, a block must return what it was given. Blocks
that normalize what they pass on (post-norm, as in BERT) do not, and are refused.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from isodepth.errors import ModelError, listed
from isodepth.models.blocks import hidden_input, hidden_state, probe_ids
from isodepth.models.model import Model

MLP_NAMES = re.compile(r"mlp|feed_?forward|ffn|moe|experts|channel_mix|^ff$", re.IGNORECASE)
MLP_CLASSES = re.compile(r"(mlp|feed_?forward|ffn|moe|moe_?block|experts)$", re.IGNORECASE)
"""At the end of the name: a mixture-of-experts model's attention may be called
SomethingMoeAttention."""
HINT = 'capture "block" works for every model.'


def block_parts(model: Model, part: str) -> tuple[torch.nn.Module, ...]:
    """Return one part of every block.

    Parameters
    ----------
    model : Model
        The model.
    part : {"attention", "mlp"}
        Which part.

    Raises
    ------
    ModelError
        If a block has no such part or several, text does not pass through it, or what its parts return
        is not what it adds to the residual stream. The blocks (from 1) and their children are named.
    """
    if model.skipped_blocks:
        skipped = listed([block + 1 for block in model.skipped_blocks])
        raise ModelError(
            f"{model.name}: text does not pass through block {skipped}, so it has no {part} output "
            "there",
            hint=HINT,
        )
    parts = [_parts(block) for block in model.blocks]
    found = [one.get(part) for one in parts]
    without = [number for number, module in enumerate(found, 1) if module is None]
    if without:
        children = [
            f"{name} ({type(module).__name__})"
            for name, module in _with_matrices(model.blocks[without[0] - 1])
        ]
        raise ModelError(
            f"{model.name}: no single {part} part in block {listed(without)}: block {without[0]} "
            f"consists of {listed(children)}",
            hint=HINT,
        )
    shared = [
        number for number, module in enumerate(found, 1) if sum(module is one for one in found) > 1
    ]
    if shared:
        raise ModelError(
            f"{model.name}: block {listed(shared)} share one {part} part, so their outputs cannot be "
            "told apart",
            hint=HINT,
        )
    _refuse_other_residuals(model, [module for one in parts for module in one.values()])
    return tuple(module for module in found if module is not None)


def _with_matrices(block: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    return [
        (name, module)
        for name, module in block.named_children()
        if any(parameter.ndim > 1 for parameter in module.parameters())
    ]


def _parts(block: torch.nn.Module) -> dict[str, torch.nn.Module]:
    """Return the parts of a block that are found, by name."""
    mlps: list[torch.nn.Module] = []
    mixers: list[torch.nn.Module] = []
    for name, module in _with_matrices(block):
        named = MLP_NAMES.search(name) or MLP_CLASSES.search(type(module).__name__)
        (mlps if named or isinstance(module, torch.nn.Linear) else mixers).append(module)
    parts = {}
    if len(mixers) == 1:
        parts["attention"] = mixers[0]
    if len(mlps) == 1 or (mlps and all(isinstance(module, torch.nn.Linear) for module in mlps)):
        parts["mlp"] = mlps[-1]
    return parts


def _refuse_other_residuals(model: Model, parts: Sequence[torch.nn.Module]) -> None:
    """Raise unless every block returns what it was given when its parts return zeros."""
    given: dict[int, torch.Tensor] = {}
    wrong: list[int] = []

    def silence(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        del module, inputs
        state = torch.zeros_like(hidden_state(output))
        return state if isinstance(output, torch.Tensor) else (state, *output[1:])

    def before(number: int) -> Callable[..., None]:
        def note(module: torch.nn.Module, inputs: Any, named: Any) -> None:
            del module
            given[number] = hidden_input(inputs, named)

        return note

    def after(number: int) -> Callable[..., None]:
        def compare(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            del module, inputs
            found, expected = hidden_state(output).float(), given[number].float()
            if not torch.allclose(found, expected, rtol=1e-4, atol=1e-6):
                wrong.append(number)

        return compare

    handles = [module.register_forward_hook(silence) for module in parts]
    for number, block in enumerate(model.blocks, 1):
        handles.append(block.register_forward_pre_hook(before(number), with_kwargs=True))
        handles.append(block.register_forward_hook(after(number)))
    with _removed_afterwards(handles), torch.inference_mode():
        model.body(input_ids=probe_ids(model.body), use_cache=False)
    if wrong:
        raise ModelError(
            f"{model.name}: what the parts of a block return is not what they add to the residual "
            f"stream: with all parts silenced, block {wrong[0]} does not return what it was given",
            hint=HINT,
        )


@contextmanager
def _removed_afterwards(handles: Sequence[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
