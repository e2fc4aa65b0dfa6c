"""What happened in a run, and when: a file that every run of a study adds to."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from isodepth import __version__
from isodepth.atomic import storage_errors
from isodepth.errors import StoreError, first_line

LOG = "run.log"
MOST_HELD = 10_000
logger = logging.getLogger("isodepth.run")


class _LogFile(logging.FileHandler):
    """A log file without which a run can go on: that it cannot be written is told once.

    Raises
    ------
    StoreError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_lost = False
        try:
            with storage_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                super().__init__(path, encoding="utf-8")
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(
                f"the log {path} cannot be written: {first_line(error)}",
                hint="choose another folder with --out, or remove what stands there.",
            ) from error
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if not self._is_lost:
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name in logging
        del record
        self._give_up(sys.exc_info()[1])

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: BaseException | None) -> None:
        if not self._is_lost:
            self._is_lost = True
            said = "" if error is None else f": {first_line(error)}"
            click.echo(
                f"warning: the log {self._path} cannot be written{said}. The run goes on without it.",
                err=True,
            )


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[Callable[[], None]]:
    """Keep what isodepth logs and warns of, and add it to a file once told to; give what tells it.

    A run that is refused before it begins leaves no file. Logging and warnings are left as they were.

    Raises
    ------
    StoreError
        When told to begin, if the file cannot be opened.
    """
    file: logging.FileHandler | None = None
    from logging.handlers import MemoryHandler  # with it comes all of logging over networks

    held = MemoryHandler(MOST_HELD, flushLevel=logging.CRITICAL, flushOnClose=False)

    def begin() -> None:
        nonlocal file
        file = _LogFile(path)
        held.setTarget(file)
        held.flush()
        package.removeHandler(held)
        package.addHandler(file)

    package = logging.getLogger("isodepth")
    level, propagates, shown_before = package.level, package.propagate, warnings.showwarning

    def show(message: Warning | str, *rest: Any, **named: Any) -> None:
        logger.warning("%s", message)
        shown_before(message, *rest, **named)

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
        package.setLevel(level)
        package.propagate, warnings.showwarning = propagates, shown_before
        for handler in (held, file):
            if handler is not None:
                package.removeHandler(handler)
                handler.close()
