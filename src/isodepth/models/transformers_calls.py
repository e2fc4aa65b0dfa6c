"""Calling transformers: without its progress bars and advice, and without weights that it makes up."""

import contextlib
import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from isodepth.errors import ModelError, counted, listed

Made = TypeVar("Made")


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and log lines below errors; restore both afterwards.

    So are those of bitsandbytes, which tells of every layer in every pass.
    """
    from transformers.utils import logging as transformers_logging

    level = transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    quantizer = logging.getLogger("bitsandbytes")
    quantizer_level = quantizer.level
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    quantizer.setLevel(logging.ERROR)
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        quantizer.setLevel(quantizer_level)
        if had_bars:
            transformers_logging.enable_progress_bar()


def made_headless(make: Callable[[Any], Made]) -> Made:
    """Return what `make` gives for transformers' class of models without head, or else with one.

    Code of a model's makers often knows the model with its head only.
    """
    import transformers

    try:
        return make(transformers.AutoModel)
    except ValueError as error:
        if "Unrecognized configuration class" not in str(error):
            raise
        return make(transformers.AutoModelForCausalLM)


def refuse_missing_weights(missing: Collection[str], *, name: str, where: Path) -> None:
    """Raise `ModelError` if transformers filled weights that the files lack with random numbers."""
    if missing:
        raise ModelError(
            f"{name}: {counted(len(missing), 'weight')} missing in {where}: {listed(sorted(missing))}",
            hint="fetch or save the model again; transformers would fill them with random numbers.",
        )
