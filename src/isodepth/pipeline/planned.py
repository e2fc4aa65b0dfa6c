"""What is a planned study made of? Values only; `isodepth.pipeline.plan` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isodepth.errors import IsodepthError
from isodepth.models import HubWeights
from isodepth.pipeline.matrices import Selection
from isodepth.pipeline.readings import Reading
from isodepth.results import MatrixKind
from isodepth.store import ArrayProgress
from isodepth.study import Resources, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a study wants and cannot have.

    Parameters
    ----------
    what : str
        A model, a text set, or a model on a text set.
    reason : str
        Why.
    hint : str or None
        What to do.
    """

    what: str
    reason: str
    hint: str | None = None

    @classmethod
    def of(cls, what: str, error: Exception) -> "Missing":
        """Return what is missing because of an error."""
        if isinstance(error, IsodepthError):
            return cls(what=what, reason=error.message, hint=error.hint)
        return cls(what=what, reason=f"{type(error).__name__}: {error}")

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON values."""
        return {"what": self.what, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedReading:
    """A reading of a study, and how it stands.

    Parameters
    ----------
    label : str
        "MODEL on TEXTS", with "as chat" where it is.
    model, texts : str
        The model's label, with "as chat" where it is, and the name of the text set.
    reading : Reading
        What is read.
    resources : Resources
        What it asks of a cluster.
    state : str
        "done", "running" (another process is at it), "begun" or "to do", by the names in the store.
    so_far : ArrayProgress or None
        How far a reading is that has begun.
    n_tokens : int
        About how many tokens it has in all.
    seconds : float or None
        About how long what is left takes; None where nothing tells.
    kept_bytes, passing_bytes : int or None
        About how much it keeps in the store, and takes there while it runs.
    """

    label: str
    model: str
    texts: str
    reading: Reading
    resources: Resources
    state: str
    so_far: ArrayProgress | None
    n_tokens: int
    seconds: float | None
    kept_bytes: int | None
    passing_bytes: int | None

    @property
    def share_done(self) -> float:
        """How much of the texts has been read, in [0, 1]."""
        if self.state == "done":
            return 1.0
        return self.so_far.n_done / self.so_far.n_texts if self.so_far is not None else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSet:
    """A text set of a study with its matrices.

    Parameters
    ----------
    name : str
        As in the study.
    texts, right_texts : mapping
        What left and right models read, as JSON values; None for the right ones where it is the same.
    selections : mapping of MatrixKind to Selection
        Its matrices.
    """

    name: str
    texts: Mapping[str, Any]
    right_texts: Mapping[str, Any] | None
    selections: Mapping[MatrixKind, Selection]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlan:
    """A study with everything that it names found, and what stands in the store of it.

    Parameters
    ----------
    study : Study
        The study.
    imported : bool
        Whether readings are those that were imported.
    readings : tuple of PlannedReading
        In the order in which one machine would do them: a model's together.
    sets : tuple of PlannedSet
        The text sets that can be had.
    missing : tuple of Missing
        What cannot.
    n_stored_matrices : int
        How many of the matrices are in the store, by their names.
    notes : tuple of str
        What is to be said of it.
    """

    study: Study
    imported: bool
    readings: tuple[PlannedReading, ...]
    sets: tuple[PlannedSet, ...]
    missing: tuple[Missing, ...]
    n_stored_matrices: int
    notes: tuple[str, ...] = ()

    @property
    def n_matrices(self) -> int:
        """How many matrices the text sets have."""
        return sum(len(planned.selections) for planned in self.sets)

    def with_state(self, *states: str) -> tuple[PlannedReading, ...]:
        """Return the readings in one of these states."""
        return tuple(reading for reading in self.readings if reading.state in states)

    @property
    def download_bytes(self) -> int:
        """How much is downloaded for models of the catalogue that are not on this machine."""
        sources = {
            reading.reading.source.name: reading.reading.source
            for reading in self.with_state("begun", "to do")
        }
        weights = [one.entry.weights for one in sources.values() if one.entry is not None]
        return sum(
            one.download_bytes for one in weights if not isinstance(one, HubWeights) and not one.is_here
        )
