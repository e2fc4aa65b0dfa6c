"""How similar are all layers of many models to each other?

>>> matrices = all_affinities([gemma, llama, mistral], k=10)                     # doctest: +SKIP
>>> for matrix in matrices.pairs():                                              # doctest: +SKIP
...     print(matrix.left, matrix.right, matrix.values.max())

Measures that read activations take `Activations` in their place:

>>> matrices = all_affinities([gemma, llama, mistral], measure="cka")            # doctest: +SKIP

Memory: ids or activations as they lie (memory-mapped ones stay so), 8 bytes a pair of layers, and what
the measure takes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

from isodepth.activations.result import Activations
from isodepth.affinity.matrices import AffinityMatrices, refuse_repeats
from isodepth.affinity.measure import Measure
from isodepth.affinity.measures import check_measure, measure_named
from isodepth.affinity.operands import Operand, measured, operand_of
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.preprocessing import Preprocessing
from isodepth.texts import Pairing

Value = TypeVar("Value", str, int)
Compared = Neighbors | Activations


def all_affinities(
    models: Sequence[Compared],
    *,
    right: Sequence[Compared] | None = None,
    k: int | None = None,
    measure: str = "mutual_knn",
    preprocessing: str | Preprocessing = "none",
    pairing: Pairing | None = None,
) -> AffinityMatrices:
    """Return the similarities of all layers of many models, computed in one pass.

    Parameters
    ----------
    models : sequence of Neighbors or Activations
        Whichever the measure reads, of the same texts in the same order, one a model, with labels
        (`Neighbors.model`) of which none stands twice.
    right : sequence of Neighbors or Activations, optional
        Compare each of `models`, left, with each of these. Where it is left out, all `models` are
        compared with each other and themselves.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out. Measures that take
        no neighbors ignore it.
    measure : str
        A key of `MEASURES`, or the name of a package's measure.
    preprocessing : str or Preprocessing
        What is done to activations before; see `isodepth.preprocessing`. Neighbors were found after
        theirs.
    pairing : Pairing, optional
        The declaration that the left and the right models' texts, which differ, belong together row by
        row: `ParallelTexts.pairing`. Needs `right`. Of neighbors without a digest, that they are of
        these texts is the caller's word.

    Returns
    -------
    AffinityMatrices
        Its matrix of two models holds what `affinity_matrix` gives for them. Of a measure that tells
        left from right, that of (a, b) is not the transpose of (b, a).

    Raises
    ------
    DigestMismatchError
        If models were run on different texts without a declared pairing, or on others than those of the
        pairing; all such models are named.
    ParameterError
        If there are no models, labels repeat, numbers of texts, `k`, ids, metrics or preprocessings do
        not fit, or they are not what the measure reads; all such models are named.
    UnknownNameError
        If there is no such measure.
    ActivationsError
        If activations are not finite, or the measure is not defined for a layer.

    References
    ----------
    Wolfram & Schein 2025, Definition 5, for every pair. Differs in nothing.
    """
    check_measure(measure)
    if pairing is not None and right is None:
        raise ParameterError(
            "a pairing says which texts the right models read; got one without right",
            hint="pass the neighbors of the left texts first and those of the right ones as right=.",
        )
    rows = _named(models, "left", tells_side=right is not None)
    columns = rows if right is None else _named(right, "right", tells_side=True)
    everyone = rows | columns
    texts_digest = _texts_digest(rows, columns, pairing)
    n_texts = _same_for_all({name: one.n_texts for name, one in everyone.items()}, "n_texts")
    held = {name: one.k for name, one in everyone.items() if isinstance(one, Neighbors)}
    if k is None and held:
        k = _same_for_all(held, "k", hint="k= takes the nearest of each.")
    elif k is not None:
        _refuse_fewer(held, k)
    used = measure_named(measure)
    operands = _operands(everyone, used, k, Preprocessing.of(preprocessing))
    first = operands[next(iter(rows))]
    for what in ("metric", "preprocessing"):
        _same_for_all({name: str(getattr(one, what)) for name, one in operands.items()}, what)
    return AffinityMatrices(
        values=measured(
            used,
            measure,
            [operands[name] for name in rows],
            None if right is None else [operands[name] for name in columns],
        ),
        left=tuple(one.model for one in rows.values()),
        right=tuple(one.model for one in columns.values()),
        left_layers=tuple(one.n_layers for one in rows.values()),
        right_layers=tuple(one.n_layers for one in columns.values()),
        is_symmetric=right is None,
        measure=measure,
        k=first.k,
        n_texts=n_texts,
        metric=first.metric,
        preprocessing=first.preprocessing,
        texts_digest=texts_digest,
        right_texts_digest=None if pairing is None else pairing.right,
    )


def _named(models: Sequence[Compared], side: str, *, tells_side: bool) -> dict[str, Compared]:
    """Return the models of a side by what errors call them."""
    if len(models) == 0:
        raise ParameterError(f"at least one model is needed on the {side}; got none")
    refuse_repeats([one.model for one in models], side)
    return {f"{one.model} ({side})" if tells_side else one.model: one for one in models}


def _texts_digest(
    rows: dict[str, Compared], columns: dict[str, Compared], pairing: Pairing | None
) -> str | None:
    """Return the digest of what the left models read, or raise `DigestMismatchError`."""
    if pairing is not None:
        declared = ((rows, pairing.left), (columns, pairing.right))
        others = {
            name: one.texts_digest
            for side, digest in declared
            for name, one in side.items()
            if one.texts_digest not in (None, digest)
        }
        if others:
            raise DigestMismatchError(
                f"the declared pairing is not of these texts: it pairs {pairing.left} (left) with "
                f"{pairing.right} (right); {_listing(others)}",
                hint="use the pairing of these text sets, and mind which of them is left.",
            )
        return pairing.left
    digests = {name: one.texts_digest for name, one in (rows | columns).items()}
    known = {name: digest for name, digest in digests.items() if digest is not None}
    if not known:
        return None
    usual, others = _usual_and_others(known)
    if others:
        raise DigestMismatchError(
            f"{len(others)} of {len(known)} models were run on other texts than the rest, so their "
            f"rows do not belong together: {_listing(others)}; the rest has {usual}",
            hint="run all on the same text set, with the same -n and --seed; or declare that two sets "
            "are parallel, with right= and pairing=ParallelTexts.of(left, right).pairing.",
        )
    return usual


def _same_for_all(values: Mapping[str, Value], what: str, *, hint: str | None = None) -> Value:
    usual, others = _usual_and_others(values)
    if others:
        raise ParameterError(
            f"{what} must be the same for all models: it is "
            f"{f'{usual:,}' if isinstance(usual, int) else usual} for {len(values) - len(others)}; "
            f"{_listing(others)}",
            hint=hint,
        )
    return usual


def _refuse_fewer(held: Mapping[str, int], k: int) -> None:
    fewer = {name: number for name, number in held.items() if not 1 <= k <= number}
    if fewer:
        raise ParameterError(
            f"k = {k} nearest neighbors were asked for; expected 1 <= k <= {min(fewer.values())}, the "
            f"least number that is held: {_listing(fewer)}"
        )


def _operands(
    everyone: Mapping[str, Compared], measure: Measure, k: int | None, preprocessing: Preprocessing
) -> dict[str, Operand]:
    """Return all models as the measure reads them, or raise `ParameterError` with what is wrong."""
    found: dict[str, Operand] = {}
    problems: list[ParameterError] = []
    for name, given in everyone.items():
        try:
            found[name] = operand_of(given, measure, k=k, name=name, preprocessing=preprocessing)
        except ParameterError as error:
            problems.append(error)
    if problems:
        raise ParameterError("; ".join(error.message for error in problems), hint=problems[0].hint)
    return found


def _usual_and_others(values: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
    """Return the most common value, and those that have another."""
    usual = Counter(values.values()).most_common(1)[0][0]
    return usual, {name: value for name, value in values.items() if value != usual}


def _listing(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} has {value}" for name, value in values.items())
