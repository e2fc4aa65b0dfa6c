"""Progress bars on a terminal; a line at the start and the end of each piece of work elsewhere."""

import sys
import time
from types import TracebackType

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


def amount(count: int | float, unit: str) -> str:
    """Return a count with its unit: "12.3 MB", "4,096 tokens"."""
    return f"{count / 1e6:,.1f} MB" if unit == "bytes" else f"{count:,.0f} {unit}"


class _AmountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        unit = str(task.fields["unit"])
        if unit == "steps":
            return Text("")
        total = amount(task.total or 0, unit)
        rate = f", {amount(task.speed, unit)}/s" if task.speed and not task.finished else ""
        return Text(f"{amount(task.completed, unit)} of {total}{rate}")


class ProgressDisplay:
    """A `Progress` that shows itself on standard error; a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _AmountColumn(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )

    def __enter__(self) -> "ProgressDisplay":
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
        if not self._console.is_terminal:
            self._print_line(label, done, total, unit)
            return
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total, unit=unit)
        self._bars.update(self._tasks[label], completed=done, total=total)

    def _print_line(self, label: str, done: int, total: int, unit: str) -> None:
        if label not in self._started:
            self._started[label] = time.monotonic()
            size = "" if unit == "steps" else f" ({amount(total, unit)})"
            click.echo(f"{label}{size} ...", err=True)
        elif done >= total and self._started[label] > 0:
            seconds = time.monotonic() - self._started[label]
            self._started[label] = 0.0  # the end is told once
            click.echo(f"{label}: done in {seconds:.1f} s", err=True)
        sys.stderr.flush()
