"""From a study file, or the same keys in Python, to a `Study`; or to all that is wrong with it.

First the kinds of values are checked (`isodepth.study.shape`); then, on what is left, its names and
what must fit together (`isodepth.study.whole`). Both need pydantic, and are imported when a study is
read.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from isodepth.errors import StudyError, first_line, listed, nearest_names
from isodepth.sources import existing_path
from isodepth.study.problems import Problems
from isodepth.study.study import Study

_LINE = re.compile(r" \(at (line \d+, column \d+)\)$")
_END = " (at end of document)"


def load_study(path: str | Path) -> Study:
    """Return the study of a TOML file.

    Parameters
    ----------
    path : str or Path
        The file. Names in it that begin with ./ or ../ are paths from its folder; all others mean what
        they mean on the command line.

    Raises
    ------
    StudyError
        If there is no such file, if it is not TOML, or if anything in it cannot be used: all of that is
        listed, each with file, key, value and what is allowed.
    """
    file = Path(path)
    keys = _toml(_content(file), file)
    return _checked(keys, path=file, folder=file.parent.absolute(), name=_name_of(file))


def study_of(keys: Mapping[str, Any]) -> Study:
    """Return the study that has these keys; see `Study.of`."""
    return _checked(_plain(keys), path=None, folder=Path.cwd(), name="study")


def _content(file: Path) -> str:
    if existing_path(file) is not None and file.is_dir():
        inside = sorted(path.name for path in file.glob("*.toml"))
        raise StudyError(
            f"{file} is a folder; expected a study file",
            hint=f"it holds {listed(inside)}." if inside else "it holds no .toml file.",
        )
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        if not file.parent.is_dir():
            raise StudyError(
                f"there is no file {file}, and no folder {file.parent}", hint="check the path."
            ) from error
        stem = file.name.removesuffix(".toml")
        near = nearest_names(stem, sorted(path.stem for path in file.parent.glob("*.toml")))
        found = [str(file.parent / f"{one}.toml") for one in near]
        raise StudyError(
            f"there is no file {file}",
            hint=f"did you mean {' or '.join(found)}?" if near else "a study is a .toml file.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise StudyError(
            f"{file}: line {line} is not UTF-8, which TOML files are", hint="save the file as UTF-8."
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or first_line(error)
        raise StudyError(f"{file} cannot be read: {why}") from error


def _toml(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = _LINE.search(said)
        where = at.group(1) if at else f"line {len(text.splitlines())}, where the file ends"
        what = _LINE.sub("", said).removesuffix(_END)
        raise StudyError(
            f"{file}: {where}: not TOML: {what[:1].lower()}{what[1:]}",
            hint='names stand in quotes, lists in brackets: models = ["gemma-2b", "./folder"].',
        ) from error
    except (ValueError, RecursionError) as error:
        # a number of thousands of digits; brackets within brackets without end
        raise StudyError(f"{file}: cannot be read as TOML: {first_line(error)}") from error


def _name_of(file: Path) -> str:
    """Return a study's name after its file, as text that can be shown, whatever bytes that has."""
    shown = file.stem.encode("utf-8", "replace").decode("utf-8")
    return "".join(one for one in shown if one.isprintable()).strip()[:80].strip() or "study"


def _plain(value: Any) -> Any:
    """Return what Python says as a file would: tables, lists, plain values, and nothing for None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy's numbers and arrays
        return value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(item) for item in value]
    return value


def _checked(keys: dict[str, Any], *, path: Path | None, folder: Path, name: str) -> Study:
    from isodepth.study.shape import valid_part
    from isodepth.study.whole import study_from

    problems = Problems(keys=keys, path=path)
    table = valid_part(keys, problems)
    study = study_from(table, problems, path=path, folder=folder, name=name)
    problems.refuse()
    return study
