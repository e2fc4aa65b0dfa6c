"""What was done to activations before they were compared, as a name that does it again.

A preprocessing is a chain of steps, each applied to what the one before left. Its name is canonical,
one spelling for each chain, so that it can stand in results and in keys of stored values.

>>> Preprocessing.of("center+drop_units( 17, 3 )").name
'center + drop_units(3,17)'
>>> Preprocessing.of("center")(np.array([[1.0, 5.0], [3.0, 7.0]]))
array([[-1., -1.],
       [ 1.,  1.]])

Memory: a few copies of one layer in float64; see `steps`.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from isodepth.axes import LayerActivations, shape_text
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.notation import split_arguments
from isodepth.preprocessing.rows import distinct_rows, finite_rows
from isodepth.preprocessing.steps import STEPS, Argument

NONE = "none"
_STEP = re.compile(r"\s*([^\s()]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_NUMBERS: dict[type, re.Pattern[str]] = {
    int: re.compile(r"[0-9]{1,15}"),
    float: re.compile(r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]{1,3})?"),
}

AppliedStep = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Steps that activations go through, layer by layer, before layers are compared.

    Parameters
    ----------
    steps : tuple of (name, arguments)
        Names of `STEPS`, each with a tuple of the numbers that it takes, in order. Without any,
        activations stay as they are.

    Raises
    ------
    UnknownNameError
        If there is no such step; all that are not are listed, with the nearest names.
    ParameterError
        If a step cannot take the arguments.

    Examples
    --------
    >>> Preprocessing.of("center + unit_norm").steps
    (('center', ()), ('unit_norm', ()))
    """

    steps: tuple[AppliedStep, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name, _ in self.steps if name not in STEPS]
        if unknown:
            near = [candidate for name in unknown for candidate in nearest_names(name, STEPS)]
            raise UnknownNameError(
                f"there is no preprocessing step {listed([repr(name[:40]) for name in unknown])}; "
                f"there are {listed(list(STEPS), most=20)}",
                hint=f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else None,
            )
        checked = tuple((name, _arguments(name, list(given))) for name, given in self.steps)
        object.__setattr__(self, "steps", checked)

    @classmethod
    def of(cls, written: "str | Preprocessing | None") -> "Preprocessing":
        """Return the preprocessing of a name.

        Parameters
        ----------
        written : str, Preprocessing or None
            Steps joined by "+", as ``"center + remove_components(3)"``; "none" or None for none.

        Raises
        ------
        UnknownNameError
            If there is no such step; all that are not are listed, with the nearest names.
        ParameterError
            If a step cannot take the arguments, or the name cannot be read.
        """
        if isinstance(written, Preprocessing):
            return written
        if written is None or written.strip() == NONE:
            return cls()
        return cls(steps=tuple(_read_step(part, written) for part in _links(written)))

    @property
    def name(self) -> str:
        """The canonical name, which `of` reads."""
        return " + ".join(_written(name, arguments) for name, arguments in self.steps) or NONE

    def __str__(self) -> str:
        return self.name

    def __bool__(self) -> bool:
        """Return whether it does anything."""
        return bool(self.steps)

    def __call__(self, vectors: LayerActivations) -> Float64[np.ndarray, "texts kept"]:
        """Return one layer's activations after all steps.

        Texts with the same activations, bit for bit, have the same afterwards.

        Parameters
        ----------
        vectors : float array (texts, units)
            One layer.

        Returns
        -------
        float64 array (texts, units)
            With fewer units where units are dropped. Without steps, what was given.

        Raises
        ------
        ParameterError
            If there are no texts or units, or a step cannot be applied to as many.
        ActivationsError
            If a value is NaN or infinite, or a direction is needed and there is none; the rows are
            named, from 1.
        """
        if vectors.size == 0:
            raise ParameterError(
                f"activations must not be empty; got {shape_text(('texts', 'units'), vectors)}"
            )
        exact = finite_rows(vectors)
        if not self.steps:
            return exact
        first, group = distinct_rows(exact)
        exponent = int(np.frexp(np.abs(exact).max())[1])
        exact = np.ldexp(exact, -exponent)  # so that squares neither overflow nor vanish
        for name, arguments in self.steps:
            exact = STEPS[name].function(exact, *arguments)
        if all(STEPS[name].follows_scale for name, _ in self.steps):
            exact = np.ldexp(exact, exponent)
        return exact if group is None else exact[first[group]]


def _links(written: str) -> list[str]:
    """Return what "+" separates outside parentheses."""
    links, depth = [""], 0
    for character in written:
        depth += (character == "(") - (character == ")")
        if character == "+" and depth <= 0:
            links.append("")
        else:
            links[-1] += character
    return links


def _read_step(part: str, written: str) -> AppliedStep:
    match = _STEP.fullmatch(part)
    if match is None or not match.group(1):
        raise ParameterError(
            f"preprocessing {written[:80]!r} cannot be read at {part.strip()[:40]!r}",
            hint='steps are joined by "+", as "center + remove_components(3)".',
        )
    name, inside = match.groups()
    if name == NONE:
        raise ParameterError(f"preprocessing {written[:80]!r}: {NONE} stands alone")
    argument = STEPS[name].argument if name in STEPS else None
    parts = [one.strip() for one in split_arguments(inside or "")]
    return name, tuple(_number(one, argument) for one in parts)


def _number(written: str, argument: Argument | None) -> Any:
    """Return the number that is written, or what is written where it is none."""
    kind = argument.kind if argument is not None else int
    return kind(written) if _NUMBERS[kind].fullmatch(written) else written


def _arguments(name: str, given: list[Any]) -> tuple[int | float, ...]:
    """Return a step's arguments, checked; of a list in ascending order."""
    argument = STEPS[name].argument
    if argument is None:
        if given:
            raise ParameterError(f"{name} takes no argument; got {listed(given)}")
        return ()
    numbers = [_checked(value, argument) for value in given]
    fits = len(given) >= 1 if argument.is_list else len(given) == 1
    if not fits or None in numbers or len(set(numbers)) < len(numbers):
        raise ParameterError(
            f"{name}({argument.name}) expects {argument.expected}; got {listed(given) or 'nothing'}",
            hint=f"write {name}({argument.example}), for example.",
        )
    return tuple(sorted(number for number in numbers if number is not None))


def _checked(value: Any, argument: Argument) -> int | float | None:
    """Return a value as its argument's kind, or None where it cannot be one."""
    kinds = (int, np.integer) if argument.kind is int else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return None
    number = argument.kind(value)
    return number if argument.above < number < argument.below else None


def _written(name: str, arguments: tuple[int | float, ...]) -> str:
    return f"{name}({','.join(repr(argument) for argument in arguments)})" if arguments else name
