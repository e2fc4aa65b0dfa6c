"""The models that isodepth knows by name: the offline ones, and the paper's 24.

A group stands for several: ``paper`` for all of Table 1, ``offline`` for those that need no hub.
"""

from collections.abc import Sequence

from isodepth.models.entries import CatalogueModel
from isodepth.models.offline import OFFLINE_MODELS
from isodepth.models.paper import PAPER_MODELS

MODELS: dict[str, CatalogueModel] = {**OFFLINE_MODELS, **PAPER_MODELS}
MODEL_GROUPS: dict[str, tuple[str, ...]] = {
    "offline": tuple(OFFLINE_MODELS),
    "paper": tuple(PAPER_MODELS),
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
