"""Where does a decoder keep its blocks? One rule for all models.

A block list is a ``torch.nn.ModuleList`` with as many members as the configuration says the model has
hidden layers; of several, the outermost is meant.
"""

import torch

from isodepth.errors import ModelError


def decoder_blocks(body: torch.nn.Module, *, n_layers: int, name: str) -> list[torch.nn.Module]:
    """Return the decoder blocks of a model's body, from input to output.

    Parameters
    ----------
    body : torch.nn.Module
        The model without its language-model head.
    n_layers : int
        How many blocks its configuration states.
    name : str
        The model's name, for the error.

    Raises
    ------
    ModelError
        If there is no such list; the lists that there are, with their lengths, are named.
    """
    lists = {
        path: module for path, module in body.named_modules() if isinstance(module, torch.nn.ModuleList)
    }
    fitting = [path for path, module in lists.items() if len(module) == n_layers]
    if not fitting:
        found = ", ".join(f"{path} ({len(module)})" for path, module in lists.items())
        raise ModelError(
            f"{name} ({type(body).__name__}): no decoder blocks found: expected a ModuleList of "
            f"{n_layers} modules, the configuration's number of hidden layers; found "
            f"{found or 'no ModuleList at all'}",
            hint="isodepth reads decoder language models.",
        )
    outermost = min(fitting, key=lambda path: (path.count("."), path))
    return list(lists[outermost])
