"""Which keys of a study are there, and which values are of the right kind? The rest is told of.

pydantic compares a study with `isodepth.study.schema` and says where it differs; what is said about it
are our words.
"""

from typing import Any

import pydantic

from isodepth.errors import listed, nearest_names
from isodepth.study.problems import Place, Problems
from isodepth.study.schema import EXPECTED, LISTS, TABLES, TITLES, StudyTable


def valid_part(keys: dict[str, Any], problems: Problems) -> StudyTable:
    """Return what has the right keys and kinds of values, and note what has not.

    Parameters
    ----------
    keys : dict
        A study as written: tables, lists and plain values.
    problems : Problems
        Takes what is wrong.
    """
    part = {key: _numbered(value) if key in LISTS else value for key, value in keys.items()}
    if "texts" in part:
        part["texts"] = {
            at: {"texts": entry} if isinstance(entry, str) else entry
            for at, entry in part["texts"].items()
        }
    is_first = True
    while True:
        try:
            return StudyTable.model_validate(part)
        except pydantic.ValidationError as error:
            for one in error.errors(include_url=False, include_context=False, include_input=False):
                if is_first:  # a list that is empty without what was wrong in it is no second problem
                    _note(one["loc"], one["type"] == "extra_forbidden", problems)
                part = _without(part, one["loc"])
            is_first = False


def _numbered(value: Any) -> dict[int, Any]:
    """Return a list's entries by their places, from 1; one thing alone is a list of one."""
    return dict(enumerate(value if isinstance(value, list) else [value], 1))


def _without(part: dict[Any, Any], place: tuple[Any, ...]) -> dict[Any, Any]:
    """Return tables without what stands at a place, or without the last table on the way to it."""
    first, *rest = place
    if rest and isinstance(part.get(first), dict) and rest[0] in part[first]:
        return part | {first: _without(part[first], tuple(rest))}
    return {key: value for key, value in part.items() if key != first}


def _note(place: Place, is_unknown: bool, problems: Problems) -> None:
    pattern = _pattern(place)
    known = EXPECTED.get(pattern) or EXPECTED.get(pattern.rsplit(".", 1)[-1])
    problems.add(place, _unknown_key(place, problems) if is_unknown else known or EXPECTED[""])


def _pattern(place: Place) -> str:
    """Return the key of a place, with [] for what a list, or the table of models, holds."""
    pattern = ""
    for at, step in enumerate(place):
        is_member = isinstance(step, int) or place[:at] == ("resources", "models")
        pattern += "[]" if is_member else f".{step}"
    return pattern.removeprefix(".")


def _unknown_key(place: Place, problems: Problems) -> str:
    """Return that there is no such key, and where it belongs or what it may stand for."""
    table, key = _pattern(place[:-1]), str(place[-1])
    value = problems.value(place)
    known = {name: [*fields.model_fields] for name, fields in TABLES.items()}
    said = f"there is no such key in {TITLES[table]}"
    if table == "resources.models[]" and isinstance(value, dict):
        return f'{said}; a name with a dot stands in quotes: [resources.models."{place[-2]}.{key}"]'
    if table == "resources" and isinstance(value, dict):
        return f'{said}; what one model needs stands under [resources.models."{key}"]'
    if table == "" and isinstance(value, dict) and set(value) & set(known[""]):
        return f"{said}; keys of the study itself stand above the first [table], in no table"
    if table != "" and key in known[""]:
        return f"{said}; keys of the study itself stand above the first [table]"
    near = nearest_names(key, known[table], n=1)
    elsewhere = [TITLES[name] for name in known if key in known[name]]
    if elsewhere:
        return f"{said}; it belongs in {elsewhere[0]}"
    if near:
        return f"{said}; did you mean {near[0]}?"
    return f"{said}; there are {listed(known[table], most=20)}"
