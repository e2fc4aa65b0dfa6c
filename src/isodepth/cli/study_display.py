"""How far a study is: bars on a terminal, lines elsewhere, everything in the log.

One bar for the whole and one for each task at work: texts, tokens per second, time left. What ends is
said in a line above the bars, so that the display never grows.
"""

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from isodepth.cli.progress import amount
from isodepth.cli.study_tables import duration

if TYPE_CHECKING:
    from isodepth.engines import Outcome

logger = logging.getLogger("isodepth.run")
OVERALL = ("readings", "comparisons")
LOG_SECONDS = 30.0
"""How often the log says how far a piece of work is."""


class _WorkColumn(ProgressColumn):
    """Texts of how many, tokens per second, time left; or what else the work counts."""

    def render(self, task: Task) -> Text:
        parts = [str(task.fields["texts"])] if task.fields["texts"] else []
        unit = str(task.fields["unit"])
        if unit not in ("steps", "texts"):
            total = amount(task.total or 0, unit)
            parts.append(f"{amount(task.completed, unit)} of {total}")
        if task.speed and not task.finished and unit in ("tokens", "bytes"):
            parts.append(f"{amount(task.speed, unit)}/s")
        if task.time_remaining and unit != "steps":
            parts.append(f"{duration(task.time_remaining)} left")
        return Text(", ".join(parts))


class StudyDisplay:
    """A `Progress` for the tasks of a study, on standard error and in the log; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            _WorkColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._logged: dict[tuple[str, str], float] = {}
        self._counts = ""

    def __enter__(self) -> "StudyDisplay":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def __call__(self, label: str, done: int, total: int, unit: str) -> None:
        """Take a report; see `isodepth.progress.Progress`."""
        if label in OVERALL:
            self._counts = f"{done} of {total} {label}"
        self._write_log(label, done, total, unit)
        if not self._console.is_terminal:
            return
        if done >= total and unit != "texts" and label not in OVERALL:
            task = self._tasks.pop(label, None)
            if task is not None:
                self._bars.remove_task(task)
            return
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total, unit=unit, texts="")
        task = self._tasks[label]
        if label in OVERALL:
            self._bars.update(
                task, completed=done, total=total, unit="texts", texts=f"{done} of {total}"
            )
        elif unit == "texts":
            self._bars.update(task, texts=f"{done:,} of {total:,} texts")
        else:
            self._bars.update(task, completed=done, total=total, unit=unit)

    def ended(self, outcome: "Outcome") -> None:
        """Say how a task ended, and take its bars away."""
        label = outcome.task.label
        for name in [name for name in self._tasks if name.startswith(f"{label}: ")]:
            self._bars.remove_task(self._tasks.pop(name))
        if outcome.error is None:
            self.say(f"{label}: done in {duration(outcome.seconds)} ({self._counts})")
        else:
            first = str(outcome.error).split("\n", 1)[0] or type(outcome.error).__name__
            self.say(f"{label}: failed: {first}")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False)
        else:
            click.echo(line, err=True)
            sys.stderr.flush()

    def _write_log(self, label: str, done: int, total: int, unit: str) -> None:
        """Log the start and the end of each piece of work, and every half minute between them."""
        now = time.monotonic()
        last = self._logged.get((label, unit))
        ends = done >= total
        if last is None or ends or now - last > LOG_SECONDS:
            if last != float("inf"):
                logger.info("%s: %s of %s %s", label, f"{done:,}", f"{total:,}", unit)
            self._logged[label, unit] = float("inf") if ends else now
