"""PEFT adapters: a base model with the small set of weights that fine-tuning added to it.

The adapter is put into the model as PEFT does it, unmerged: what runs is what was trained, and numbers
are not rounded once more. Only the body is run, so adapters that act outside the model's layers
(prompts, prefixes, LoRA that waits for a phrase) would be lost; they are refused. What an adapter does
to a head is left out with the head.

PEFT itself is silent, or only warns, where an adapter's layers are not all in the base, or the base
lacks some of the adapter's; so the names and values of what was loaded are compared with the file's.
"""

import warnings
from pathlib import Path
from typing import Any

import torch

from isodepth.errors import ModelError, counted, first_line, listed, require
from isodepth.models.blocks import hidden_state, probe_ids
from isodepth.models.model import ADAPTER_STATES
from isodepth.models.resolution import ADAPTER_WEIGHTS

KEY_BEGINNING = "base_model.model."
READS = "isodepth reads adapters that change the layers themselves: LoRA, DoRA, IA3 and the like."
MOST_CHARACTERS = 400
TRAINED_ON = "pass the base that the adapter was trained on."


def with_adapter(body: Any, folder: Path, *, name: str) -> Any:
    """Return a model's body after putting an adapter into it.

    Parameters
    ----------
    body : transformers model
        The base, without its head; it is changed.
    folder : Path
        The adapter: adapter_config.json and adapter_model.safetensors. It may have been trained on the
        same model with a head.
    name : str
        The name of base and adapter, for errors.

    Raises
    ------
    MissingPackageError
        If PEFT is not installed.
    ModelError
        If the adapter does not fit the base, or acts outside its layers.
    """
    require("peft", extra="adapters")
    import peft
    from safetensors.torch import load_file

    try:
        config = peft.PeftConfig.from_pretrained(folder)
        saved = load_file(folder / ADAPTER_WEIGHTS)
    except Exception as error:
        # PEFT raises KeyError on kinds that it does not know; safetensors has an error of its own
        raise ModelError(
            f"{name}: the adapter in {folder} cannot be read: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    refuse_outside_kinds(config, name)
    config.task_type = None  # else PEFT asks the body for what only a model with a head has
    begins = _beginning_of_names(body, saved)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of its advice is checked below
            adapted = peft.PeftModel.from_pretrained(
                _Headless(body, begins) if begins else body,
                folder,
                config=config,
                autocast_adapter_dtype=False,
            ).eval()
        in_the_body = {
            key: values
            for key, values in saved.items()
            if _belongs(key.removeprefix(KEY_BEGINNING).removeprefix(begins), body)
        }
        _refuse_unfitting(adapted, in_the_body, name)
        _refuse_outside(adapted, body, name)
    except ModelError:
        raise
    except Exception as error:
        # PEFT and torch raise many types here; whatever it is, the adapter does not fit
        told = " ".join(str(error).split())[:MOST_CHARACTERS]
        raise ModelError(
            f"{name}: the adapter does not fit the base: {told}", hint=TRAINED_ON
        ) from error
    return body


class _Headless(torch.nn.Module):
    """A body under the name that it has in a model with a head, so that adapters of that one fit.

    Adapters name the modules that they act on, also by patterns; so the names must be the same.
    """

    def __init__(self, body: Any, begins: str) -> None:
        super().__init__()
        self.add_module(begins.removesuffix("."), body)
        self.config = body.config
        self._body = [body]  # in a list, so that it is not registered twice

    def get_input_embeddings(self) -> Any:
        return self._body[0].get_input_embeddings()

    def get_output_embeddings(self) -> None:
        return None

    def forward(self, **inputs: Any) -> Any:
        return self._body[0](**inputs)


def refuse_outside_kinds(config: Any, name: str) -> None:
    """Raise if an adapter, by its configuration, acts outside the model's layers."""
    waits = getattr(config, "alora_invocation_tokens", None)
    if config.is_prompt_learning or getattr(config, "is_adaption_prompt", False) or waits:
        kind = "activated LoRA" if waits else str(getattr(config.peft_type, "value", config.peft_type))
        raise ModelError(
            f"{name}: the adapter is of kind {kind}, which acts outside the model's layers", hint=READS
        )


def adapter_states(module: torch.nn.Module) -> list[Any]:
    """Return how adapters act, beside their weights: which are on or merged, and how strong."""
    return [
        [name, *(getattr(part, what, None) for what in ADAPTER_STATES)]
        for name, part in module.named_modules()
        if hasattr(part, "active_adapters") and hasattr(part, "disable_adapters")
    ]


def _beginning_of_names(body: Any, saved: dict[str, torch.Tensor]) -> str:
    """Return what stands before the names of the body's modules in the model that was adapted."""
    prefix = f"{body.base_model_prefix}." if body.base_model_prefix else ""
    paths = [key.removeprefix(KEY_BEGINNING) for key in saved]
    if any(_belongs(path, body) for path in paths):
        return ""
    return prefix if any(_belongs(path.removeprefix(prefix), body) for path in paths) else ""


def _belongs(path: str, body: Any) -> bool:
    """Return whether a weight's name begins with a child of the body."""
    return path.split(".", 1)[0] in dict(body.named_children())


def _refuse_unfitting(adapted: Any, saved: dict[str, torch.Tensor], name: str) -> None:
    """Raise unless the adapter's weights in the model are those of its file, all of them."""
    import peft

    needed = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    # the embedding as a whole, which some adapters bring
    loaded = peft.get_peft_model_state_dict(adapted, save_embedding_layers=True)
    other = {
        key
        for key in saved.keys() & loaded.keys()
        if not loaded[key].is_meta
        and not torch.equal(saved[key].to(loaded[key].dtype), loaded[key].cpu())
    }
    for what, keys in (
        ("in the adapter but not in the base", saved.keys() - loaded.keys()),
        ("expected by the base but not in the adapter", needed.keys() - saved.keys()),
        ("other in the model than in the adapter's file", other),
    ):
        if keys:
            raise ModelError(
                f"{name}: the adapter does not fit the base: {counted(len(keys), 'weight')} {what}: "
                f"{listed(sorted(keys), most=5)}",
                hint=TRAINED_ON,
            )


def _refuse_outside(adapted: Any, body: Any, name: str) -> None:
    """Raise unless the body alone computes what the whole adapted model computes in it."""
    with torch.inference_mode():
        ids = probe_ids(body)
        whole, alone = (
            hidden_state(model(input_ids=ids, use_cache=False)) for model in (adapted, body)
        )
    if whole.shape != alone.shape or not torch.equal(whole, alone):
        raise ModelError(
            f"{name}: the adapter acts outside the model's layers, so its effect would be lost",
            hint=READS,
        )
