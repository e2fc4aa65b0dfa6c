"""What can go wrong, as types: every error says what, where, expected, got, and the next step.

The library raises these; the command line renders them once, as ``error:`` and ``hint:``. All derive
from `IsodepthError`, so ``except isodepth.IsodepthError`` catches what isodepth itself refuses and
nothing else.
"""

import difflib
import importlib.util
import operator
from collections.abc import Iterable, Sequence
from typing import Any


class IsodepthError(Exception):
    """An input or a state that isodepth refuses.

    Parameters
    ----------
    message : str
        What is wrong, where, what was expected and what was found.
    hint : str, optional
        What to do next.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\nhint: {self.hint}"


class ParameterError(IsodepthError, ValueError):
    """A parameter or an array has a value, a shape or a type that the function cannot take."""


class UnknownNameError(IsodepthError, LookupError):
    """A name that no catalogue, file or hub id answers to."""


class TextsError(IsodepthError, ValueError):
    """Texts that cannot be read or used: wrong encoding, empty rows, a missing column."""


class ModelError(IsodepthError, ValueError):
    """A model that cannot be loaded, or has no decoder blocks."""


class DownloadError(IsodepthError, OSError):
    """A download that failed, or whose bytes are not the pinned ones."""


class ActivationsError(IsodepthError, ArithmeticError):
    """Activations that are not finite, have no direction, or fail the extraction's self-check."""


class DigestMismatchError(IsodepthError, ValueError):
    """Two results were computed on different texts, so their rows do not belong together."""


class StudyError(IsodepthError, ValueError):
    """A study that cannot be run as it is written, in a file or in Python; all reasons are listed."""


class StoreError(IsodepthError, OSError):
    """The store cannot be written or read: no space, no permission, a damaged file."""

    _is_systemic = False

    @property
    def is_systemic(self) -> bool:
        """Whether the system refused it (no space, no permission), as it would other work too."""
        return self._is_systemic or isinstance(self.__cause__, OSError)

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what pickles it; a cause is not pickled, so what follows from it is."""
        return type(self), (self.message,), {**vars(self), "_is_systemic": self.is_systemic}


class MissingPackageError(IsodepthError, ImportError):
    """A package of one of isodepth's extras is not installed."""


class IsodepthWarning(UserWarning):
    """Something that a user should know but that stops nothing."""


def nearest_names(name: str, known: Iterable[str], *, n: int = 3) -> list[str]:
    """Return up to `n` known names that look most like `name`, best first.

    Examples
    --------
    >>> nearest_names("gema-3", ["gemma-3-270m", "smollm2-135m-instruct"])
    ['gemma-3-270m']
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=n, cutoff=0.5)
    parts = [low for low in lowered if name and name.lower() in low and low not in close]
    return [lowered[low] for low in [*close, *parts][:n]]


def listed(rows: Sequence[object], *, most: int = 10) -> str:
    """Return the items as "a, b, c", cut after `most` with the number of those left out."""
    shown = ", ".join(str(row) for row in rows[:most])
    return shown if len(rows) <= most else f"{shown} and {len(rows) - most:,} more"


def counted(number: int, noun: str) -> str:
    """Return a number of things: "1 weight", "2,048 weights"."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def first_line(error: BaseException) -> str:
    """Return the first line of what another library's error says, or its type where it says nothing."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__


def require(package: str, *, extra: str) -> None:
    """Raise `MissingPackageError`, naming the extra to install, unless a package can be imported."""
    if importlib.util.find_spec(package) is None:
        raise MissingPackageError(
            f"{package} is not installed", hint=f"pip install 'isodepth[{extra}]' brings it."
        )


def whole_number(value: object, name: str) -> int:
    """Return an integer of any kind, NumPy's for example, as Python's own.

    Raises
    ------
    ParameterError
        If it is none; True and False are none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError as error:
        raise ParameterError(f"{name} must be a whole number; got {value!r}") from error
