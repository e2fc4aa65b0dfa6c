"""Hooks for looking into a model while it runs, which act in the thread that set them only.

A model object may be read by several threads at once; what one of them tries out must not reach into
another's forward pass.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

After = Callable[[Any], Any]
Before = Callable[[tuple[Any, ...], dict[str, Any]], None]


@contextlib.contextmanager
def hooks(
    *,
    before: Sequence[tuple[torch.nn.Module, Before]] = (),
    after: Sequence[tuple[torch.nn.Module, After]] = (),
) -> Iterator[None]:
    """Call functions before and after modules run in this thread, as long as the block lasts.

    Parameters
    ----------
    before : sequence of (module, function)
        The function is given positional and named inputs.
    after : sequence of (module, function)
        The function is given the output; what it returns, unless None, replaces that.
    """
    thread = threading.get_ident()

    def entering(function: Before) -> Callable[..., None]:
        # torch lists a hook first and notes then that it takes named inputs: a pass of another thread
        # between the two calls it without them
        def call(module: torch.nn.Module, inputs: Any, named: Any = None) -> None:
            del module
            if threading.get_ident() == thread:
                function(inputs, named)

        return call

    def leaving(function: After) -> Callable[..., Any]:
        def call(module: torch.nn.Module, inputs: Any, output: Any) -> Any:
            del module, inputs
            return function(output) if threading.get_ident() == thread else None

        return call

    handles: list[Any] = []
    try:
        for module, first in before:
            handles.append(module.register_forward_pre_hook(entering(first), with_kwargs=True))
        for module, last in after:
            handles.append(module.register_forward_hook(leaving(last)))
        yield
    finally:
        for handle in handles:
            handle.remove()
