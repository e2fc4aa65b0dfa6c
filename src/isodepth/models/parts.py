"""What is inside a block? Its token mixer and its MLP, found by one rule and proved by running it.

The children of a block that hold matrices are its parts. Those named as a feed-forward part or a
mixture of experts make up the MLP, as do bare linear layers, which cannot mix tokens; the last of them
gives its output. The one other child mixes tokens: attention, or what stands in its place (a state
space, a recurrence).

What a part returns is taken for what it adds to the residual stream, before any norm or scale between
the two. That is proved: where all parts return zeros but for one token, a block must return what it was
given but for that token. Blocks that normalize what they pass on (post-norm, as in BERT) do not, and
are refused.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch

from isodepth.errors import ModelError, listed
from isodepth.models.blocks import hidden_input, hidden_state, probe_ids
from isodepth.models.hooks import After, Before, hooks
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
    _refuse_other_residuals(model, part, parts)
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


def _refuse_other_residuals(
    model: Model, part: str, parts: Sequence[dict[str, torch.nn.Module]]
) -> None:
    """Raise unless a block adds what the part returns, and nothing else while the others are silent.

    In a pass over two texts all parts return zeros, but for the wanted one, which returns a vector at
    one token of one text. There, and nowhere else, must every block change what it was given. That also
    tells where in what it returns a part has each token.
    """
    ids = probe_ids(model.body).repeat(2, 1)
    place = (1, 2)
    given: dict[int, torch.Tensor] = {}
    largest = [1.0]  # of what the current block was given: less would be lost in rounding
    wrong: list[int] = []

    def returning(is_wanted: bool) -> After:
        def replace(output: Any) -> Any:
            state = torch.zeros_like(hidden_state(output))
            if (
                is_wanted
                and state.shape[-1] == model.width
                and state.numel() == ids.numel() * model.width
            ):
                state.view(*ids.shape, model.width)[place] = largest[0] * torch.linspace(
                    -1, 1, model.width, dtype=state.dtype, device=state.device
                )
            return state if isinstance(output, torch.Tensor) else (state, *output[1:])

        return replace

    def entering(number: int) -> Before:
        def note(inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given[number] = hidden_input(inputs, named).float()
            largest[0] = max(1.0, float(given[number].abs().max()))

        return note

    def leaving(number: int) -> After:
        def compare(output: Any) -> None:
            change = (hidden_state(output).float() - given[number]).abs().amax(dim=-1)
            scale = given[number].abs().amax(dim=-1).clamp(min=1e-6)
            changed = change > 1e-6 * scale
            expected = torch.zeros_like(changed)
            expected[place] = True
            if not torch.equal(changed, expected):
                wrong.append(number)

        return compare

    wanted = {id(one[part]) for one in parts}
    every = {id(module): module for one in parts for module in one.values()}
    # all linear layers of an MLP that is made of them: what comes behind the wanted one would pass it
    # on
    every |= {
        id(module): module
        for block in model.blocks
        for _, module in _with_matrices(block)
        if isinstance(module, torch.nn.Linear)
    }
    replaced = [(module, returning(key in wanted)) for key, module in every.items()]
    numbered = list(enumerate(model.blocks, 1))
    with (
        hooks(
            before=[(block, entering(number)) for number, block in numbered],
            after=[*replaced, *((block, leaving(number)) for number, block in numbered)],
        ),
        torch.inference_mode(),
    ):
        model.body(input_ids=ids, use_cache=False)
    if wrong:
        raise ModelError(
            f"{model.name}: what the {part} part of a block returns is not what it adds to the "
            f"residual stream: block {wrong[0]} does not change its input just where that part alone "
            "is not silent",
            hint=HINT,
        )
