"""What happened in a run, and when: a file that every run of a study adds to."""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from isodepth import __version__

LOG = "run.log"
MOST_HELD = 10_000
logger = logging.getLogger("isodepth.run")


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[Callable[[], None]]:
    """Keep what isodepth logs and warns of, and add it to a file once told to; give what tells it.

    A run that is refused before it begins leaves no file. Logging and warnings are left as they were.
    """
    file: logging.FileHandler | None = None
    held = MemoryHandler(MOST_HELD, flushLevel=logging.CRITICAL, flushOnClose=False)

    def begin() -> None:
        nonlocal file
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        held.setTarget(file)
        held.flush()
        package.removeHandler(held)
        package.addHandler(file)

    package = logging.getLogger("isodepth")
    before = (package.level, package.propagate, warnings.showwarning)

    def show(message: Warning | str, *rest: Any, **named: Any) -> None:
        logger.warning("%s", message)
        before[2](message, *rest, **named)

    package.addHandler(held)
    package.setLevel(logging.INFO)
    package.propagate = False
    warnings.showwarning = show
    try:
        logger.info("isodepth %s starts", __version__)
        yield begin
    except BaseException as error:
        logger.error("stopped: %s: %s", type(error).__name__, error)
        raise
    finally:
        package.level, package.propagate, warnings.showwarning = before
        for handler in (held, file):
            if handler is not None:
                package.removeHandler(handler)
                handler.close()
