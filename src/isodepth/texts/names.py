"""What a user may write for a text set, taken apart.

======================================================  ==============================================
``news``                                                a set of the catalogue
``random-strings(length=50)``                           generated, with options
``caesar(news, seed=7)``                                a control of any other set, also nested
``reviews.csv``, ``./folder``, ``-``                    a file, a folder of .txt files, standard input
``hf:owner/name[@revision][/config][:split][:column]``  a hub data set
``hf:./folder[:split][:column]``                        a folder laid out like one
======================================================  ==============================================
"""

import re
from dataclasses import dataclass, field

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.notation import is_option, split_arguments, unquoted, written_options
from isodepth.texts.controls import CONTROLS

RANDOM_STRINGS = "random-strings"
RANDOM_OPTIONS: dict[str, type] = {"length": int, "alphabet": str, "seed": int}
MOST_NESTED = 16
_TRUNCATED = re.compile(r"truncated-to-([0-9]{1,15})-tokens")
_CALL = re.compile(r"([a-z][a-z0-9-]*)\((.*)\)", re.DOTALL)
_HUB = re.compile(
    r"hf:(?P<repository>[^/:@\s]+/[^/:@\s]+)(?:@(?P<revision>[^/:\s]+))?(?:/(?P<config>[^/:]+))?"
    r"(?::(?P<split>[^:\[\]]+(?:\[[^\]]*\])?))?(?::(?P<column>[^:\[\]]+))?"
)
_HUB_FOLDER = re.compile(
    r"hf:(?P<repository>[./~][^:]*)(?::(?P<split>[^:\[\]]+(?:\[[^\]]*\])?))?(?::(?P<column>[^:\[\]]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A hub data set as written."""

    repository: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    column: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomStringsName:
    """Random strings as written."""

    options: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlName:
    """A control of another set as written.

    Parameters
    ----------
    control : str
        A key of `isodepth.texts.controls.CONTROLS`.
    whole : str
        What it is made from, as written.
    options : dict
        Its options, of their types.
    """

    control: str
    whole: str
    options: dict[str, str | int]


def taken_apart(written: str) -> HubName | RandomStringsName | ControlName | None:
    """Return what a name says; None for a plain name or a path, which must be looked up.

    Raises
    ------
    ParameterError
        If a control, its options or a hub name is not written as it should be.
    """
    if written.startswith("hf:"):
        return _hub_name(written)
    if written == RANDOM_STRINGS:
        return RandomStringsName()
    call = _CALL.fullmatch(written.strip())
    known = [*CONTROLS, RANDOM_STRINGS]
    if call is None:
        if written in CONTROLS or _TRUNCATED.fullmatch(written):
            raise ParameterError(
                f"{written} is made from another text set", hint=f"write {written}(news), say."
            )
        begun = written.split("(", 1)[0].strip().lower()
        if "(" in written and (begun in known or _TRUNCATED.fullmatch(begun)):
            raise ParameterError(
                f"{written}: expected a control in small letters with its parentheses closed",
                hint=f"write {begun}(news), say; for a file of that name ./NAME.",
            )
        return None
    if written.count("(") > MOST_NESTED:
        raise ParameterError(f"{written[:80]}...: more than {MOST_NESTED} parentheses in one name")
    name, inside = call.groups()
    parts = split_arguments(inside)
    if name == RANDOM_STRINGS:
        return RandomStringsName(options=written_options(name, parts, RANDOM_OPTIONS))
    truncated = _TRUNCATED.fullmatch(name)
    control = "truncated-to-n-tokens" if truncated else name
    if control not in CONTROLS:
        near = nearest_names(name, known)
        raise UnknownNameError(
            f"there is no control {name!r}; controls: {listed(known)}",
            hint=f"did you mean {' or '.join(near)}?" if near else "for a file of that name: ./NAME.",
        )
    if not parts or not parts[0].strip() or (is_option(parts[0]) and "/" not in parts[0]):
        raise ParameterError(
            f"{written}: expected a text set as the first thing in the parentheses",
            hint=f"write {name}(news), say.",
        )
    types = dict(CONTROLS[control].options)
    fixed: dict[str, str | int] = {}
    if truncated:
        types.pop("n")
        fixed["n"] = int(truncated.group(1))
    options = fixed | written_options(name, parts[1:], types)
    if control == "truncated-to-n-tokens" and "n" not in options:
        raise ParameterError(
            f"{written}: after how many tokens?", hint="write truncated-to-32-tokens(news), say."
        )
    return ControlName(control=control, whole=unquoted(parts[0].strip()), options=options)


def _hub_name(written: str) -> HubName:
    match = _HUB_FOLDER.fullmatch(written) or _HUB.fullmatch(written)
    if match is None:
        raise ParameterError(
            f"{written}: expected hf:owner/name[@revision][/config][:split][:column]",
            hint="for example hf:stanfordnlp/imdb:test:text.",
        )
    return HubName(**match.groupdict())
