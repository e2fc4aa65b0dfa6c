"""What is a measure of representational similarity? Work once a layer, then all pairs of layers.

A measure reads either neighbors, or activations. What depends on one layer alone is its state: a
centered Gram matrix, ranks of distances, a basis. States are made once a layer, never once a pair. How
similar two layers are is then a function of two states, or of all states at once.

A function of two layers' activations, float (texts, units) each, is a measure already:

>>> def mean_cosine(left, right):
...     ours, theirs = left.mean(axis=0), right.mean(axis=0)
...     return ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs))
>>> measure = Measure.of(mean_cosine, title="cosine of mean activations")

With a state the work that both share is done once a layer:

>>> def unit_mean(layer):
...     mean = layer.mean(axis=0)
...     return mean / np.sqrt(mean @ mean)
>>> faster = Measure.of(np.dot, state=unit_mean, title="cosine of mean activations")
>>> layers = np.random.default_rng(0).normal(size=(3, 5, 4))
>>> np.allclose(faster.all_values([layers], None, 1), measure.all_values([layers], None, 1))
True

`isodepth.affinity.measures` has those that come with isodepth, and says how to enter others.

Memory: what the measure takes; arrays are handed over as they lie, layer by layer.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from isodepth.axes import AffinityValues
from isodepth.errors import ActivationsError, IsodepthError, ParameterError, first_line, listed

READS = {
    "neighbors": "the nearest neighbors of every text, int32 (texts, k) a layer",
    "activations": "the activations, float (texts, units) a layer",
}
INVARIANCES = {
    "rotation": "orthogonal transformations of the units of either layer, permutations among them",
    "scale": "scaling all activations of a layer by one positive number",
    "shift": "adding one vector to all activations of a layer",
    "linear": "invertible linear transformations of the units of either layer",
    "text scale": "scaling each text's activations by a positive number of its own",
    "order": "everything that leaves the order of every text's neighbors as it is",
}
"""What a measure may ignore, by name."""


@runtime_checkable
class Layers(Protocol):
    """The layers of one model, from first to last: an array, or anything with a length and items."""

    def __len__(self) -> int: ...

    def __getitem__(self, layer: int, /) -> Any: ...


AllValues = Callable[[Sequence[Layers], Sequence[Layers] | None, int], AffinityValues]
Chance = Callable[[int, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of representational similarity. Make one with `Measure.of`, or from `all_values`.

    Parameters
    ----------
    title : str
        What it is called in figures and tables: "linear CKA".
    all_values : callable
        Takes the layers of some models, a sequence with one `Layers` a model; the same of others, or
        None where all are compared with each other; and k. Returns the similarities of all layers of
        the first, one model after the other, to all layers of the second, float64.
    reads : {"neighbors", "activations"}
        What a layer is; see `READS`. Ids are checked: in range, none twice, the text itself left out.
        Activations are finite.
    takes_k : bool
        Whether the number of neighbors changes its values. Always for those that read neighbors.
    is_symmetric : bool
        Whether exchanging the two layers changes nothing. If not, `all_values` of models with each
        other has both directions: row to column.
    lowest, highest : float
        Where its values lie; infinite where nothing bounds them.
    invariances : frozenset of str
        Keys of `INVARIANCES`.
    chance : callable, optional
        Takes the numbers of texts and neighbors; returns the mean similarity of layers that have
        nothing to do with each other. None where it depends on the layers, or is not known.
    source : str
        Where it comes from, and how this differs.
    cost : str
        What a layer and a pair of layers cost.
    version : int
        Part of the key of stored values: raise it when the same input would give others.
    code : str
        What stands for its functions' code in keys of stored values, unless it comes with isodepth or
        a package. Told from the code where it is left out; values that functions only refer to do not
        count.

    Raises
    ------
    ParameterError
        If what it reads or an invariance is none of those known.
    """

    title: str
    all_values: AllValues
    reads: str = "activations"
    takes_k: bool = False
    is_symmetric: bool = True
    lowest: float = 0.0
    highest: float = 1.0
    invariances: frozenset[str] = frozenset()
    chance: Chance | None = None
    source: str = ""
    cost: str = ""
    version: int = 1
    code: str = ""

    def __post_init__(self) -> None:
        if self.reads not in READS:
            raise ParameterError(f"a measure reads one of {listed(list(READS))}; got {self.reads!r}")
        unknown = [name for name in self.invariances if name not in INVARIANCES]
        if unknown:
            raise ParameterError(
                f"invariances must be among {listed(list(INVARIANCES), most=10)}; got "
                f"{listed(sorted(unknown))}"
            )
        if self.reads == "neighbors":
            object.__setattr__(self, "takes_k", True)
        if not self.code:
            object.__setattr__(self, "code", _code_digest(self.all_values))

    @classmethod
    def of(
        cls,
        similarity: Callable[[Any, Any], float],
        *,
        state: Callable[[Any], Any] | None = None,
        title: str,
        **facts: Any,
    ) -> "Measure":
        """Return the measure that a function of two layers, or of two layers' states, is.

        Parameters
        ----------
        similarity : callable
            Takes two layers, or their states, and returns a finite number.
        state : callable, optional
            Takes a layer and returns what `similarity` takes of it; called once a layer. It may raise
            `ActivationsError` of a layer for which the measure is not defined; the layer is named.
        title : str
            What it is called.
        **facts
            The other parameters of `Measure`. Without bounds its values may lie anywhere.

        Raises
        ------
        ParameterError
            As `Measure`; and when it measures, if it says that it is symmetric, as it does where
            nothing else is said, and the first and the last layer show that it is not.
        """
        is_symmetric = bool(facts.get("is_symmetric", True))
        unbounded = {"lowest": -math.inf, "highest": math.inf}

        def all_values(
            left: Sequence[Layers], right: Sequence[Layers] | None, k: int
        ) -> AffinityValues:
            del k  # ids hold k neighbors; activations know of none
            return values_of_states(
                left, right, state, similarity, title=title, is_symmetric=is_symmetric
            )

        code = _code_digest(similarity, state)
        return cls(title=title, all_values=all_values, **{**unbounded, "code": code, **facts})

    def __call__(self, left: Layers, right: Layers, k: int = 0) -> AffinityValues:
        """Return the similarities of all layers of two models, float64 (layers_left, layers_right).

        Parameters
        ----------
        left, right : Layers
            As `all_values` takes them.
        k : int
            Neighbors per text; of neighbors themselves it is told from them.

        Raises
        ------
        ParameterError
            If `k` is missing, or not what the neighbors are.
        """
        if self.reads == "neighbors":
            held = {layer.shape[1] for side in (left, right) for layer in (side[0],)}
            if len(held) > 1 or (k and {k} != held):
                raise ParameterError(
                    f"{self.title}: expected lists of k = {k or min(held)} neighbors on both sides; "
                    f"got {listed(sorted(held))}"
                )
            (k,) = held
        elif self.takes_k and k < 1:
            raise ParameterError(f"{self.title} takes k, the number of neighbors; got k = {k}")
        return self.all_values([left], [right], k)


def layers_of(models: Sequence[Layers]) -> Iterator[tuple[str, Any]]:
    """Yield each layer of some models, one model after the other, and what errors call it.

    A model that has a ``name`` is called by it.
    """
    layers = (model[layer] for model in models for layer in range(len(model)))
    yield from zip(_names(models), layers, strict=True)


def _names(models: Sequence[Layers]) -> list[str]:
    return [
        f"{getattr(model, 'name', f'model {number}')}, layer {layer}"
        for number, model in enumerate(models, 1)
        for layer in range(1, len(model) + 1)
    ]


def values_of_states(
    left: Sequence[Layers],
    right: Sequence[Layers] | None,
    state: Callable[[Any], Any] | None,
    similarity: Callable[[Any, Any], float],
    *,
    title: str,
    is_symmetric: bool = True,
) -> AffinityValues:
    """Return the similarities of all layers of some models, as a function of two layers' states.

    Parameters
    ----------
    left, right : sequences of Layers
        Layers of some models; `right` is None where all are compared with each other.
    state, similarity, title
        As for `Measure.of`. The state is made once a layer.
    is_symmetric : bool
        Whether each unordered pair is measured once, where all are compared with each other.

    Raises
    ------
    ActivationsError
        If `state` refuses a layer; the layer is named.
    ParameterError
        If it is said to be symmetric, and the first and the last layer show that it is not; or if
        `state` or `similarity` fails, or returns no number. The layers are named.
    """

    def number(one: tuple[str, Any], other: tuple[str, Any]) -> float:
        try:
            return float(similarity(one[1], other[1]))
        except IsodepthError:
            raise
        except Exception as error:  # whatever goes wrong in another's code
            raise _failure(title, f"{one[0]} and {other[0]}", error) from error

    rows = list(zip(_names(left), _states(left, state, title), strict=True))
    columns = rows
    if right is not None:
        columns = list(zip(_names(right), _states(right, state, title), strict=True))
    if right is not None or not is_symmetric:
        found = [[number(one, other) for other in columns] for one in rows]
        return np.array(found, dtype=np.float64).reshape(len(rows), len(columns))
    upper = [[number(one, other) for other in rows[place:]] for place, one in enumerate(rows)]
    forth, back = upper[0][-1], number(rows[-1], rows[0])
    if not _are_close(forth, back):
        raise ParameterError(
            f"{title} is not symmetric: exchanging two layers changes its value from {forth:.6g} to "
            f"{back:.6g}",
            hint="say so: Measure.of(..., is_symmetric=False).",
        )
    values = np.empty((len(rows), len(rows)))
    for place, row in enumerate(upper):
        values[place, place:] = values[place:, place] = row
    return values


def _states(models: Sequence[Layers], state: Callable[[Any], Any] | None, title: str) -> Iterator[Any]:
    for name, layer in layers_of(models):
        given = np.asarray(layer).view()
        given.flags.writeable = False  # a function of a user's own may try
        try:
            yield given if state is None else state(given)
        except ActivationsError as error:
            raise ActivationsError(f"{name}: {error.message}", hint=error.hint) from error
        except IsodepthError:
            raise
        except Exception as error:  # whatever goes wrong in another's code
            raise _failure(title, name, error) from error


def _failure(title: str, layers: str, error: Exception) -> ParameterError:
    return ParameterError(
        f"the measure {title} failed on {layers}: {type(error).__name__}: {first_line(error)}"
    )


def _code_digest(*functions: Callable[..., Any] | None) -> str:
    """Return what changes with the code of functions, by their names where they have none to see."""
    whole = hashlib.sha256()
    for function in functions:
        inner = getattr(function, "__func__", function)
        for part in (
            getattr(inner, "__module__", ""),
            getattr(inner, "__qualname__", repr(type(inner))),
        ):
            whole.update(f"{part}\n".encode())
        _add_code(getattr(inner, "__code__", None), whole)
    return whole.hexdigest()[:16]


def _add_code(code: Any, whole: Any) -> None:
    if code is None:
        return
    whole.update(code.co_code + repr(code.co_names).encode())
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):  # of a function inside
            _add_code(constant, whole)
        else:
            whole.update(repr(constant).encode())


def _are_close(one: float, other: float) -> bool:
    # sums in another order differ by rounding, which is no direction
    return bool(np.isclose(one, other, rtol=1e-9, atol=1e-9, equal_nan=True))
