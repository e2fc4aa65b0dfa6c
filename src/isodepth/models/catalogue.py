"""The models that isodepth knows by name: the offline ones, and the paper's 24.

A group stands for several: ``offline`` for those that need no hub, ``paper`` for all of Table 1,
``paper-tuned`` for the instruction-tuned ones among these, which the paper also reads as chat.
"""

from collections.abc import Sequence

from isodepth.models.entries import CatalogueModel
from isodepth.models.offline import OFFLINE_MODELS
from isodepth.models.paper import PAPER_MODELS

MODELS: dict[str, CatalogueModel] = {**OFFLINE_MODELS, **PAPER_MODELS}
MODEL_GROUPS: dict[str, tuple[str, ...]] = {
    "offline": tuple(OFFLINE_MODELS),
    "paper": tuple(PAPER_MODELS),
    "paper-tuned": tuple(name for name, model in PAPER_MODELS.items() if model.is_instruction_tuned),
}


def expanded_models(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return model names with each group replaced by its members, each name once, in order.

    Parameters
    ----------
    names : str or sequence of str
        Names of models, as `load_model` takes them, and of groups (keys of `MODEL_GROUPS`). Only the
        latter are looked up.

    Examples
    --------
    >>> len(expanded_models("paper"))
    24
    >>> expanded_models(["./my-model", "gemma-2b", "gemma-2b"])
    ('./my-model', 'gemma-2b')
    """
    written = [names] if isinstance(names, str) else list(names)
    members: dict[str, None] = {}
    for name in written:
        members |= dict.fromkeys(MODEL_GROUPS.get(name, (name,)))
    return tuple(members)
