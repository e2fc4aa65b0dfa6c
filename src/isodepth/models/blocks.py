"""Where does a model keep its blocks? Asked of the model as it runs.

A block list is a ``torch.nn.ModuleList`` whose members, in one forward pass over text, each run once,
in order, and each return a hidden state (texts, tokens, units), all of the same width; of several such
lists the outermost is meant. It has as many members as the configuration says the model has hidden
layers. That rule needs no names, so it finds the text blocks of a vision model (its image blocks do not
run on text) and is not misled by lists of experts.

Two allowances, each with its reason. A block may be left out of the pass, if another ran: the
cross-attention blocks of Mllama are passed over where there is no image, and the paper counts them as
layers; their activation is that of the block before. A configuration may state no number of layers:
then every member must run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from isodepth.errors import ModelError, counted, first_line, listed

N_PROBE_TOKENS = 5
HINT = "isodepth reads language models whose blocks pass one hidden state on."
LATER_TOKEN_LIMIT, ROUNDED_LATER_TOKEN_LIMIT = 1e-3, 5e-2
"""Median relative change by a later token, in float32 and in 16 bits; encoders reach 0.1 and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundBlocks:
    """The blocks of a model, from input to output.

    Parameters
    ----------
    path : str
        Where the list stands in the model: "layers".
    blocks : tuple of torch.nn.Module
        The blocks.
    skipped : tuple of int
        Those (from 0) that text does not pass through.
    width : int
        Units of what they return.
    """

    path: str
    blocks: tuple[torch.nn.Module, ...]
    skipped: tuple[int, ...]
    width: int


def hidden_state(output: Any) -> Any:
    """Return the hidden state in what a block or a body returns: itself, or the first of several."""
    if isinstance(output, torch.Tensor):
        return output
    try:
        return output[0]
    except (TypeError, KeyError, IndexError):
        return None


def hidden_input(inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Return the hidden state in what a block is given, by position or by name."""
    for value in (*inputs, *(named.get(name) for name in ("hidden_states", "hidden"))):
        if isinstance(value, torch.Tensor):
            return value
    return None


def probe_ids(body: torch.nn.Module) -> torch.Tensor:
    """Return a few token ids (1, tokens) where the model's inputs belong."""
    return torch.arange(1, 1 + N_PROBE_TOKENS, device=input_device(body))[None]


def input_device(body: torch.nn.Module) -> torch.device:
    """Return the device that token ids must be on: that of the first weights that are on one.

    Weights that are offloaded to memory or disk are on none ("meta") until they are used.
    """
    devices = (parameter.device for parameter in body.parameters() if not parameter.is_meta)
    return next(devices, torch.device("cpu"))


def find_blocks(body: torch.nn.Module, *, n_layers: int | None, name: str) -> FoundBlocks:
    """Return the decoder blocks of a model's body.

    Parameters
    ----------
    body : torch.nn.Module
        A model that takes ``input_ids``.
    n_layers : int or None
        How many blocks its configuration states.
    name : str
        The model's name, for the error.

    Raises
    ------
    ModelError
        If it cannot read text, or there is no such list; the lists that there are, with what their
        members did, are named.
    """
    lists = {
        path: list(module)
        for path, module in body.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module)
    }
    calls = _calls(body, [member for members in lists.values() for member in members], name)
    found = {}
    for path, members in lists.items():
        fitting = _as_blocks(path, members, calls)
        complete = fitting is not None and (n_layers is not None or not fitting.skipped)
        if fitting is not None and complete and len(members) == (n_layers or len(members)):
            found[path] = fitting
    if not found:
        shapes = [f"{path} ({_account(members, calls)})" for path, members in lists.items()]
        wanted = "modules" if n_layers is None else f"{n_layers} modules, its number of hidden layers,"
        raise ModelError(
            f"{name} ({type(body).__name__}): no decoder blocks found: expected a ModuleList of "
            f"{wanted} that run once each, in order, and return (texts, tokens, units); found "
            f"{listed(shapes) or 'no ModuleList at all'}",
            hint=HINT,
        )
    depth = min(path.count(".") for path in found)
    outermost = [path for path in found if path.count(".") == depth]
    if len(outermost) > 1:
        raise ModelError(
            f"{name} ({type(body).__name__}): several lists run as decoder blocks do: "
            f"{listed(outermost)}; which of them the blocks are cannot be told",
            hint=HINT,
        )
    return found[outermost[0]]


def sees_only_earlier(body: torch.nn.Module, found: FoundBlocks) -> bool:
    """Return whether a token's activation is the same whatever follows it, as in a causal decoder.

    A few tokens are read with and without another behind them; the last block's outputs are compared.
    """
    running = [block for number, block in enumerate(found.blocks) if number not in found.skipped]
    outputs: list[torch.Tensor] = []
    handle = running[-1].register_forward_hook(
        lambda *called: outputs.append(hidden_state(called[-1]).float())
    )
    ids = probe_ids(body)
    try:
        with torch.inference_mode():
            for read in (ids, torch.cat([ids, ids[:, :1]], dim=1)):
                body(input_ids=read, use_cache=False)
    finally:
        handle.remove()
    alone, followed = outputs[0][0], outputs[1][0, : ids.shape[1]]
    change = torch.linalg.vector_norm(followed - alone, dim=-1) / torch.linalg.vector_norm(
        alone, dim=-1
    )
    is_exact = next(body.parameters()).dtype == torch.float32
    return float(change.median()) < (LATER_TOKEN_LIMIT if is_exact else ROUNDED_LATER_TOKEN_LIMIT)


def _calls(
    body: torch.nn.Module, members: Sequence[torch.nn.Module], name: str
) -> dict[int, list[tuple[int, tuple[int, ...]]]]:
    """Return, for each module by identity, when it was called in a pass and the shapes it returned."""
    calls: dict[int, list[tuple[int, tuple[int, ...]]]] = {id(member): [] for member in members}
    clock = iter(range(1_000_000))

    def note(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        del inputs
        state = hidden_state(output)
        shape = tuple(state.shape) if isinstance(state, torch.Tensor) else ()
        calls[id(module)].append((next(clock), shape))

    handles = [
        module.register_forward_hook(note) for module in {id(one): one for one in members}.values()
    ]
    try:
        with torch.inference_mode():
            body(input_ids=probe_ids(body), use_cache=False)
    except Exception as error:
        # it is a stranger's forward function; whatever it raises, the model cannot be read
        raise ModelError(
            f"{name} ({type(body).__name__}) cannot read {N_PROBE_TOKENS} tokens of text: "
            f"{type(error).__name__}: {first_line(error)}",
            hint="isodepth reads language models that take token ids alone; where this one is such, "
            "another --dtype, --quantization or --attention may help.",
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _as_blocks(
    path: str, members: list[torch.nn.Module], calls: dict[int, list[tuple[int, tuple[int, ...]]]]
) -> FoundBlocks | None:
    """Return a list as blocks, if its members ran as blocks do."""
    ran = [calls[id(member)] for member in members]
    seen = [called[0] for called in ran if called]
    once = all(len(called) <= 1 for called in ran) and len(set(map(id, members))) == len(members)
    times = [time for time, _ in seen]
    shapes = {shape for _, shape in seen}
    if not (seen and once and times == sorted(times) and len(shapes) == 1):
        return None
    (shape,) = shapes
    if len(shape) != 3 or shape[:2] != (1, N_PROBE_TOKENS):
        return None
    return FoundBlocks(
        path=path,
        blocks=tuple(members),
        skipped=tuple(number for number, called in enumerate(ran) if not called),
        width=shape[2],
    )


def _account(
    members: list[torch.nn.Module], calls: dict[int, list[tuple[int, tuple[int, ...]]]]
) -> str:
    """Return what the members of a list did, in words."""
    ran = [calls[id(member)] for member in members]
    n_calls = sorted({len(called) for called in ran})
    shapes = sorted({shape for called in ran for _, shape in called})
    most = counted(n_calls[-1], "time")
    times = f"run {most}" if len(n_calls) == 1 else f"run {n_calls[0]} to {most}"
    returned = f", returning {listed([list(shape) for shape in shapes], most=3)}" if shapes else ""
    return f"{counted(len(members), 'module')}, {times}{returned}"
