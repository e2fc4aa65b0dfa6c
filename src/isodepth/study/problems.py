"""What is wrong with a study, said in the words of its file: key, value, what is allowed.

Problems are collected, not raised, so that one reading lists all of them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from isodepth.errors import IsodepthError, StudyError, nearest_names

Place = tuple[str | int, ...]
"""Keys, and places in lists counted from 1: ("texts", 3, "column")."""

Result = TypeVar("Result")

MOST_CHARACTERS = 80
MOST_ENTRIES = 4
MOST_LEVELS = 3
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problems:
    """The problems of one study.

    Parameters
    ----------
    keys : mapping
        The study as its author wrote it.
    path : Path, optional
        The file that it stands in.
    found : list
        Where something is wrong, and what.
    """

    keys: Mapping[str, Any]
    path: Path | None = None
    found: list[tuple[Place, str]] = field(default_factory=list)

    def add(self, place: Place, text: str) -> None:
        """Note that something is wrong at a place."""
        self.found.append((place, text))

    def noted(self, place: Place, value: object, check: Callable[[], Result]) -> Result | None:
        """Return what a check of a value returns; None where it raises something, which is noted."""
        try:
            return check()
        except IsodepthError as error:
            said = error.message.removeprefix(f"{value}: ")
            hint = error.hint or ""
            hint = hint if hint.endswith("...") else hint.removesuffix(".")
            self.add(place, f"{said}; {hint}" if hint else said)
            return None

    def among(self, *beginning: str | int) -> bool:
        """Return whether anything is wrong at a place or within it."""
        return any(place[: len(beginning)] == beginning for place, _ in self.found)

    def add_missing(self, key: str, text: str) -> None:
        """Note that the study has not a key, unless one like it, or the same elsewhere, was told of."""
        told = [str(place[-1]) for place, _ in self.found]
        if not any(key in nearest_names(other, [key]) for other in told):
            self.add((key,), f"it is missing; {text}")

    def value(self, place: Place) -> Any:
        """Return what the author wrote at a place; `ABSENT` where nothing stands there."""
        return self._written(place)[1]

    def refuse(self) -> None:
        """Raise `StudyError` if there is any problem: a line for each, in the order of the file."""
        if not self.found:
            return
        ranked = sorted(self.found, key=lambda one: self._rank(one[0]))
        where = "" if self.path is None else f"{self.path}: "
        lines: dict[str, None] = {}
        counts = False
        for place, text in ranked:
            key, value = self._written(place)
            counts |= "[" in key
            said = key if value is ABSENT else f"{key} = {shown(value)}"
            lines[_printable(f"{where}{said}: {text}")] = None
        hint = "places in lists count from 1: ks[1] is the first." if counts else None
        raise StudyError("\n".join(lines), hint=hint)

    def _rank(self, place: Place) -> tuple[int, ...]:
        """Return numbers that sort places as they stand in the file; what is missing comes last."""
        ranks: list[int] = []
        value: Any = self.keys
        for step in place:
            if isinstance(step, int):
                ranks.append(step)
                value = value[step - 1] if isinstance(value, list) else value
            elif isinstance(value, Mapping):
                keys = [*value]
                ranks.append(keys.index(step) if step in value else len(keys))
                value = value.get(step)
        return tuple(ranks)

    def _written(self, place: Place) -> tuple[str, Any]:
        """Return the key of a place as TOML has it, and the value there."""
        key = ""
        value: Any = self.keys
        for step in place:
            if isinstance(step, int):
                if isinstance(value, list):  # one thing alone is a list of one
                    key, value = f"{key}[{step}]", value[step - 1]
            elif isinstance(value, Mapping):  # a name alone is an entry of texts
                key += ("." if key else "") + quoted_key(step)
                value = value.get(step, ABSENT)
        return key, value


def quoted_key(key: str) -> str:
    """Return a key as TOML wants it: in quotes unless it is letters, digits, _ and - only."""
    is_bare = key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()
    return key if is_bare else shown(key)


def shown(value: Any, *, level: int = 1) -> str:
    """Return a value as TOML writes it, cut where it is long."""
    inside: list[str] = []
    if isinstance(value, (list, Mapping)) and level > MOST_LEVELS:
        return "..."
    if isinstance(value, Mapping):
        items = list(value.items())[:MOST_ENTRIES]
        inside = [f"{quoted_key(str(key))} = {shown(item, level=level + 1)}" for key, item in items]
    elif isinstance(value, list):
        inside = [shown(item, level=level + 1) for item in value[:MOST_ENTRIES]]
    if isinstance(value, (list, Mapping)):
        inside += ["..."] * (len(value) > MOST_ENTRIES)
        text = ", ".join(inside)
        return f"[{text}]" if isinstance(value, list) else f"{{ {text} }}" if inside else "{}"
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, int) and abs(value) >= 10**MOST_CHARACTERS:
        text = f"a number of more than {MOST_CHARACTERS} digits"
    else:
        text = str(value)
    text = _printable(text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}..."


def _printable(text: str) -> str:
    """Return a text with escapes, as TOML has them, for what moves a terminal or stays unseen."""
    escapes = {one: ord(one) for one in text if not one.isprintable()}
    for one, code in escapes.items():
        text = text.replace(one, f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return text
