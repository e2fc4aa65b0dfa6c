"""Where does a model keep its blocks? Asked of the model as it runs.

A block list is a ``torch.nn.ModuleList`` whose members, in one forward pass over text, each run once,
in order, and each return a hidden state (texts, tokens, units), which the next member receives; of
several such lists the outermost is meant. It has as many members as the configuration says the model
has hidden layers. That rule needs no names, so it finds the text blocks of a vision model (its image
blocks do not run on text) and is not misled by lists of experts, of norms, or of attentions.

Three allowances, each with its reason. What the next block receives may be a multiple of what was
returned: RWKV halves it now and then, so that 16 bits suffice. A block may be left out of the pass, if
another ran: the cross-attention blocks of Mllama are passed over where there is no image, and the paper
counts them as layers; their activation is that of the block before. A configuration may state no number
of layers: then every member must run.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from isodepth.errors import ModelError, counted, first_line, listed
from isodepth.models.hooks import After, Before, hooks

N_PROBE_TOKENS = 5
HINT = "isodepth reads language models whose blocks pass one hidden state on."
EXACT_LIMIT, ROUNDED_LIMIT, ENCODER_LIMIT = 1e-3, 5e-2, 0.1
"""Median relative change of tokens by a later one: at most, in decoders, in float32 and in fewer bits;
and at least, in encoders. What is seen: 1e-6, 3e-2 (8 bits), and 0.1 to 1.
"""


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
    first = (named.get("hidden_states"), *inputs, *named.values())
    return next(
        (one for one in first if isinstance(one, torch.Tensor) and one.is_floating_point()), None
    )


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
            f"{wanted} that run once each, in order, and pass (texts, tokens, units) on; found "
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


def sees_only_earlier(body: torch.nn.Module, found: FoundBlocks, *, name: str, is_exact: bool) -> bool:
    """Return whether a token's activation is the same whatever follows it, as in a causal decoder.

    A few tokens are read twice, with another last token; what the last block returns for those before
    is compared. Tokens for which it returns zeros both times tell nothing: that of padding does, in
    models whose embedding of it is zero.

    Parameters
    ----------
    body : torch.nn.Module
        The model.
    found : FoundBlocks
        Its blocks.
    name : str
        Its name, for the error.
    is_exact : bool
        Whether it computes in float32 or better. In fewer bits rounding may differ, most in models that
        are quantized to 8 bits, where a token decides on how others are rounded.

    Raises
    ------
    ModelError
        If activations are not finite or all zero, or it cannot be told.
    """
    running = [block for number, block in enumerate(found.blocks) if number not in found.skipped]
    outputs: list[torch.Tensor] = []
    ids = probe_ids(body)
    other = ids.clone()
    other[0, -1] = ids[0, 0]
    with (
        hooks(after=[(running[-1], lambda output: outputs.append(hidden_state(output).float()))]),
        torch.inference_mode(),
    ):
        for read in (ids, other):
            body(input_ids=read, use_cache=False)
    one, two = outputs[0][0, :-1], outputs[1][0, :-1]
    size = torch.maximum(*(torch.linalg.vector_norm(output, dim=-1) for output in (one, two)))
    if not bool(torch.isfinite(size).all()):
        raise ModelError(
            f"{name} ({type(body).__name__}): NaN or infinite activations on {N_PROBE_TOKENS} tokens",
            hint="the weights may be damaged, or overflow in this number format (try --dtype float32 "
            "or bfloat16).",
        )
    telling = size > 0
    if not bool(telling.any()):
        raise ModelError(
            f"{name} ({type(body).__name__}): all activations are zero on {N_PROBE_TOKENS} tokens",
            hint="the weights may be damaged, or were never set.",
        )
    change = torch.linalg.vector_norm(two - one, dim=-1)[telling] / size[telling]
    largest = float(change.median())
    limits = (EXACT_LIMIT, EXACT_LIMIT) if is_exact else (ROUNDED_LIMIT, ENCODER_LIMIT)
    if limits[0] < largest < limits[1]:
        raise ModelError(
            f"{name} ({type(body).__name__}): whether tokens see later ones cannot be told in this "
            f"number format: another last token changes those before by {largest:.1e}",
            hint="use --dtype float32 without --quantization.",
        )
    return largest <= limits[0]


@dataclass(frozen=True, slots=True)
class _Call:
    """A call of a module: when, what it received and returned."""

    time: int
    given: Any
    returned: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.returned.shape) if isinstance(self.returned, torch.Tensor) else ()


def _calls(
    body: torch.nn.Module, members: Sequence[torch.nn.Module], name: str
) -> dict[int, list[_Call]]:
    """Return the calls of each module, by its identity, in a pass over a few tokens."""
    calls: dict[int, list[_Call]] = {id(member): [] for member in members}
    given: dict[int, Any] = {}
    clock = itertools.count()

    def entering(key: int) -> Before:
        def note(inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            given[key] = hidden_input(inputs, named)

        return note

    def leaving(key: int) -> After:
        def note(output: Any) -> None:
            calls[key].append(_Call(next(clock), given.pop(key, None), hidden_state(output)))

        return note

    each = {id(one): one for one in members}
    try:
        with (
            hooks(
                before=[(module, entering(key)) for key, module in each.items()],
                after=[(module, leaving(key)) for key, module in each.items()],
            ),
            torch.inference_mode(),
        ):
            body(input_ids=probe_ids(body), use_cache=False)
    except Exception as error:
        # it is a stranger's forward function; whatever it raises, the model cannot be read
        raise ModelError(
            f"{name} ({type(body).__name__}) cannot read {N_PROBE_TOKENS} tokens of text: "
            f"{type(error).__name__}: {first_line(error)}",
            hint="isodepth reads language models that take token ids alone; where this one is such, "
            "another --dtype, --quantization or --attention may help.",
        ) from error
    return calls


def _as_blocks(
    path: str, members: list[torch.nn.Module], calls: dict[int, list[_Call]]
) -> FoundBlocks | None:
    """Return a list as blocks, if its members ran as blocks do."""
    ran = [calls[id(member)] for member in members]
    seen = [called[0] for called in ran if called]
    once = all(len(called) <= 1 for called in ran) and len(set(map(id, members))) == len(members)
    times = [call.time for call in seen]
    shapes = {call.shape for call in seen}
    if not (seen and once and times == sorted(times) and len(shapes) == 1):
        return None
    (shape,) = shapes
    if len(shape) != 3 or shape[:2] != (1, N_PROBE_TOKENS):
        return None
    if not all(_is_multiple(later.given, call.returned) for call, later in itertools.pairwise(seen)):
        return None
    return FoundBlocks(
        path=path,
        blocks=tuple(members),
        skipped=tuple(number for number, called in enumerate(ran) if not called),
        width=shape[2],
    )


def _is_multiple(given: Any, returned: torch.Tensor) -> bool:
    """Return whether a block received what the one before returned, or a multiple of it."""
    if given is returned or given is None:
        return True
    if not isinstance(given, torch.Tensor) or given.shape != returned.shape:
        return False
    one, other = given.double().cpu(), returned.double().cpu()
    factor = (one * other).sum() / (other * other).sum()
    return bool(torch.linalg.vector_norm(one - factor * other) <= 1e-2 * torch.linalg.vector_norm(one))


def _account(members: list[torch.nn.Module], calls: dict[int, list[_Call]]) -> str:
    """Return what the members of a list did, in words."""
    ran = [calls[id(member)] for member in members]
    n_calls = sorted({len(called) for called in ran})
    shapes = sorted({call.shape for called in ran for call in called})
    most = counted(n_calls[-1], "time")
    times = f"run {most}" if len(n_calls) == 1 else f"run {n_calls[0]} to {most}"
    returned = f", returning {listed([list(shape) for shape in shapes], most=3)}" if shapes else ""
    return f"{counted(len(members), 'module')}, {times}{returned}"
