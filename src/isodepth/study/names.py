"""Does a name in a study mean anything on this machine? Nothing is loaded, nothing is fetched.

A name that begins with ./ or ../ is a path from the study file's folder; every other name means what it
means on the command line. Paths are made absolute, so that a task can travel.
"""

from collections.abc import Iterable
from pathlib import Path

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.sources import existing_path

_SEPARATORS = frozenset("(),=\"'")


def is_relative(name: str) -> bool:
    """Return whether a name is a path from the study file's folder."""
    return name in (".", "..") or name.startswith(("./", "../"))


def path_named(name: str, folder: Path) -> Path | None:
    """Return the absolute path of the file or folder that a name means, if there is one."""
    path = existing_path(folder / name if is_relative(name) else name)
    return None if path is None else path.absolute()


def as_argument(value: str) -> str:
    """Return a value so that it can stand between parentheses and commas.

    Raises
    ------
    ParameterError
        If no kind of quotation marks could stand around it.
    """
    if _SEPARATORS.isdisjoint(value) and value == value.strip():
        return value
    mark = next((mark for mark in "\"'" if mark not in value), None)
    if mark is None:
        raise ParameterError(f"a path with both kinds of quotation marks cannot stand here: {value}")
    return f"{mark}{value}{mark}"


def known_name(name: str, known: Iterable[str], *, what: str) -> str:
    """Return a name that is one of those that there are.

    Raises
    ------
    UnknownNameError
        If it is none; the nearest names are given.
    """
    names = list(known)
    if name in names:
        return name
    near = nearest_names(name, names)
    raise UnknownNameError(
        f"there is no such {what}: expected one of {listed(names, most=40)}",
        hint=f"did you mean {' or '.join(near)}?" if near else None,
    )


def no_such(name: str, folder: Path, text: str, known: list[str]) -> UnknownNameError:
    """Return an error on a name, with the nearest known ones, or the nearest files where it points."""
    near = nearest_names(name, known)
    if is_relative(name):
        path = Path(name)
        beside = nearest_names(path.name, _entries((folder / name).parent))
        near = [f"{name.removesuffix(path.name)}{one}" for one in beside]
        text += "; ./ is the study file's folder"
    elif existing_path(folder / name) is not None:
        near = [f"./{name}"]
        text += "; in the study file's folder are names that begin with ./"
    return UnknownNameError(text, hint=f"did you mean {' or '.join(near)}?" if near else None)


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if path.name.isprintable())
    except (OSError, ValueError):
        return []
