"""How names with options are written: ``name(first, option=value, other="a, b")``.

Text sets and models share the notation. Values may stand in quotes; commas inside quotes or inner
parentheses separate nothing.
"""

import re

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names

IMPORTED = "imported("
_NUMBER = re.compile(r"[0-9]{1,15}")
_OPTION = re.compile(r"\s*([a-z_]+)\s*=(.*)", re.DOTALL)


def split_arguments(inside: str) -> list[str]:
    """Return what commas separate outside quotes and parentheses."""
    parts = [""]
    depth, quote = 0, ""
    for character in inside:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character == "," and depth == 0:
            parts.append("")
            continue
        else:
            depth += (character == "(") - (character == ")")
        parts[-1] += character
    return parts if inside.strip() else []


def imported_name(written: str) -> str | None:
    """Return what stands in ``imported(...)``, by which a study names imported readings; else None.

    Examples
    --------
    >>> imported_name("imported(gemma-2b (bfloat16))")
    'gemma-2b (bfloat16)'
    """
    text = written.strip()
    if not (text.startswith(IMPORTED) and text.endswith(")")):
        return None
    return text.removeprefix(IMPORTED)[:-1].strip() or None


def refuse_imported(written: object, what: str) -> None:
    """Raise `UnknownNameError` where imported readings are named and a model or texts are wanted."""
    if isinstance(written, str) and imported_name(written) is not None:
        raise UnknownNameError(
            f"{written} stands for imported readings, and there is no {what} to read",
            hint="imported readings are taken by 'isodepth run STUDY --imported' alone.",
        )


def unquoted(value: str) -> str:
    """Return a value without the quotes around it."""
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def is_option(part: str) -> bool:
    """Return whether a part is written as ``option=value``."""
    return _OPTION.fullmatch(part) is not None


def written_options(name: str, parts: list[str], types: dict[str, type]) -> dict[str, str | int]:
    """Return the options that parts state, of their types.

    Parameters
    ----------
    name : str
        What they are options of, for errors.
    parts : list of str
        What stood between the commas.
    types : dict
        The options that there are, each with int or str.

    Raises
    ------
    ParameterError
        If a part is no option, is given twice, or has a value of another type.
    """
    options: dict[str, str | int] = {}
    for part in parts:
        match = _OPTION.fullmatch(part)
        key = match.group(1) if match else part.strip()
        if match is None or key not in types:
            near = nearest_names(key, types)
            raise ParameterError(
                f"{name}: {part.strip()!r} is no option of it; it has {listed(list(types))}",
                hint=f"write {near[0]}=..."
                if near
                else 'options are written name=value; a file name with a comma or "=" in quotes.',
            )
        if key in options:
            raise ParameterError(f"{name}: {key} is given twice")
        value = unquoted(match.group(2).strip())
        if types[key] is int:
            if not _NUMBER.fullmatch(value):
                raise ParameterError(f"{name}: {key} must be a whole number; got {value[:40]!r}")
            options[key] = int(value)
        else:
            options[key] = value
    return options
