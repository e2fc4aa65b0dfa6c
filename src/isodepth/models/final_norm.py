"""What does a model do to the last block's output before it returns it?"""

from typing import Any

import torch

from isodepth.models.blocks import hidden_state, probe_ids
from isodepth.models.hooks import After, hooks
from isodepth.models.model import Model


def final_norm(model: Model) -> str | None:
    """Return the modules between the last block and the body's output, or None where there are none.

    Found by running the model: the modules outside the blocks that are called after the last of them.
    They are named with their classes: "norm (LlamaRMSNorm)"; several are joined by "then".
    """
    running = [block for number, block in enumerate(model.blocks) if number not in model.skipped_blocks]
    inside = {id(module) for block in model.blocks for module in block.modules()}
    leaving: list[torch.Tensor] = []
    called: list[tuple[str, Any]] = []

    def after(name: str) -> After:
        def note(output: Any) -> None:
            if leaving:
                called.append((name, hidden_state(output)))

        return note

    outside = [
        (module, after(f"{name} ({type(module).__name__})"))
        for name, module in model.body.named_modules()
        if not any(id(part) in inside for part in module.modules())
    ]
    last: After = lambda output: leaving.append(hidden_state(output))  # noqa: E731
    with hooks(after=[(running[-1], last), *outside]), torch.inference_mode():
        final = hidden_state(model.body(input_ids=probe_ids(model.body), use_cache=False))
    if _same(leaving[0], final):
        return None
    # what runs behind that, as a pooler, does not change what the model returns for its tokens
    ends = [number for number, (_, output) in enumerate(called, 1) if _same(output, final)]
    names = [name for name, _ in called[: ends[-1] if ends else len(called)]]
    if not ends:
        names.append("a change that no module makes")
    return " then ".join(names)


def _same(one: Any, other: torch.Tensor) -> bool:
    return isinstance(one, torch.Tensor) and one.shape == other.shape and torch.equal(one, other)
