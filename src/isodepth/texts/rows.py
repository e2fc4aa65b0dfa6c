"""Texts by number, read when they are asked for: a sample of millions does not load the millions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from isodepth.sources import HubDataset


@runtime_checkable
class Rows(Protocol):
    """Texts in a fixed order, some of which can be taken."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def take(self, rows: Sequence[int]) -> list[Any]:
        """Return the values in these rows (from 0), in the order asked for; None for none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ListRows:
    """Texts in memory."""

    texts: Sequence[Any]

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> list[Any]:
        """Return the texts in these rows."""
        return [self.texts[row] for row in rows]


@dataclass(frozen=True, slots=True, eq=False)
class HubRows:
    """One column of a hub data set, on disk."""

    dataset: HubDataset
    column: str
    clean: Callable[[str], str] | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    def take(self, rows: Sequence[int]) -> list[Any]:
        """Read these rows."""
        values = self.dataset.take(rows, self.column)
        clean = self.clean
        if clean is None:
            return values
        return [clean(value) if isinstance(value, str) else value for value in values]
