"""Calling transformers: without its progress bars and advice, and without weights that it makes up."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from isodepth.errors import ModelError, listed


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and log lines below errors; restore both afterwards."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    had_bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bars:
            logging.enable_progress_bar()


def refuse_missing_weights(missing: Collection[str], *, name: str, where: Path) -> None:
    """Raise `ModelError` if transformers filled weights that the files lack with random numbers."""
    if missing:
        raise ModelError(
            f"{name}: {len(missing):,} weights are missing in {where}: {listed(sorted(missing))}",
            hint="fetch or save the model again; transformers would fill them with random numbers.",
        )
