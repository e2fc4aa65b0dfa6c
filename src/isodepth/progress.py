"""How long work reports how far it is, without printing.

A `Progress` is any callable ``(label, done, total, unit)``. The library calls it often; the command
line draws bars from it; `no_progress` ignores it.
"""

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Receives how far a piece of work is."""

    def __call__(self, label: str, done: int, total: int, unit: str) -> None:
        """Take a report.

        Parameters
        ----------
        label : str
            What is being done, stable over the piece of work: "downloading gemma-3-270m".
        done, total : int
            How much is done, of how much.
        unit : str
            What `done` and `total` count: "bytes", "tokens", "layers", "pairs of models",
            "steps" (which are not shown).
        """
        ...


def no_progress(label: str, done: int, total: int, unit: str) -> None:
    """Ignore the report."""
    del label, done, total, unit
