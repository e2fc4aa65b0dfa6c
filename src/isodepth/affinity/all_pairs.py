"""How similar are all layers of many models to each other?

>>> matrices = all_affinities([gemma, llama, mistral], k=10)                     # doctest: +SKIP
>>> for matrix in matrices.pairs():                                              # doctest: +SKIP
...     print(matrix.left, matrix.right, matrix.values.max())

Memory: the ids as they lie (memory-mapped ones stay so), 8 bytes a pair of layers, and what the measure
takes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from isodepth.affinity.matrices import AffinityMatrices, refuse_repeats
from isodepth.affinity.measures import check_measure, measured_values
from isodepth.affinity.mutual_knn import checked_ids
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.texts import Pairing

Value = TypeVar("Value", str, int)


def all_affinities(
    neighbors: Sequence[Neighbors],
    *,
    right: Sequence[Neighbors] | None = None,
    k: int | None = None,
    measure: str = "mutual_knn",
    pairing: Pairing | None = None,
) -> AffinityMatrices:
    """Return the similarities of all layers of many models, computed in one pass.

    Parameters
    ----------
    neighbors : sequence of Neighbors
        Neighbors of the same texts in the same order, one a model, with labels (`Neighbors.model`) of
        which none stands twice.
    right : sequence of Neighbors, optional
        Compare each of `neighbors`, left, with each of these. Where it is left out, all `neighbors` are
        compared with each other and themselves.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out.
    measure : str
        A key of `MEASURES`.
    pairing : Pairing, optional
        The declaration that the left and the right models' texts, which differ, belong together row by
        row: `ParallelTexts.pairing`. Needs `right`. Of neighbors without a digest, that they are of
        these texts is the caller's word.

    Returns
    -------
    AffinityMatrices
        Its matrix of two models holds what `affinity_matrix` gives for them.

    Raises
    ------
    DigestMismatchError
        If models were run on different texts without a declared pairing, or on others than those of the
        pairing; all such models are named.
    ParameterError
        If there are no neighbors, labels repeat, or numbers of texts, `k` or ids do not fit; all such
        models are named.

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
    rows = _named(neighbors, "left", tells_side=right is not None)
    columns = rows if right is None else _named(right, "right", tells_side=True)
    everyone = rows | columns
    texts_digest = _texts_digest(rows, columns, pairing)
    n_texts = _same_for_all({name: one.n_texts for name, one in everyone.items()}, "n_texts")
    if k is None:
        held = {name: one.k for name, one in everyone.items()}
        k = _same_for_all(held, "k", hint="k= takes the nearest of each.")
    else:
        _refuse_fewer(everyone, k)
    ids = _all_checked({name: one.ids[:, :, :k] for name, one in everyone.items()})
    left_ids, right_ids = [ids[name] for name in rows], [ids[name] for name in columns]
    return AffinityMatrices(
        values=measured_values(measure, left_ids, None if right is None else right_ids),
        left=tuple(one.model for one in rows.values()),
        right=tuple(one.model for one in columns.values()),
        left_layers=tuple(one.n_layers for one in rows.values()),
        right_layers=tuple(one.n_layers for one in columns.values()),
        is_symmetric=right is None,
        measure=measure,
        k=k,
        n_texts=n_texts,
        texts_digest=texts_digest,
        right_texts_digest=None if pairing is None else pairing.right,
    )


def _named(neighbors: Sequence[Neighbors], side: str, *, tells_side: bool) -> dict[str, Neighbors]:
    """Return the neighbors of a side by what errors call them."""
    if len(neighbors) == 0:
        raise ParameterError(f"neighbors of at least one model are needed on the {side}; got none")
    refuse_repeats([one.model for one in neighbors], side)
    return {f"{one.model} ({side})" if tells_side else one.model: one for one in neighbors}


def _texts_digest(
    rows: dict[str, Neighbors], columns: dict[str, Neighbors], pairing: Pairing | None
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


def _same_for_all(values: Mapping[str, int], what: str, *, hint: str | None = None) -> int:
    usual, others = _usual_and_others(values)
    if others:
        raise ParameterError(
            f"{what} must be the same for all models: it is {usual:,} for {len(values) - len(others)}; "
            f"{_listing(others)}",
            hint=hint,
        )
    return usual


def _refuse_fewer(everyone: Mapping[str, Neighbors], k: int) -> None:
    fewer = {name: one.k for name, one in everyone.items() if not 1 <= k <= one.k}
    if fewer:
        raise ParameterError(
            f"k = {k} nearest neighbors were asked for; expected 1 <= k <= {min(fewer.values())}, the "
            f"least number that is held: {_listing(fewer)}"
        )


def _all_checked(ids: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return checked ids, or raise `ParameterError` with what is wrong with each model's."""
    checked, problems = {}, []
    for name, of_model in ids.items():
        try:
            checked[name] = checked_ids(of_model, name)
        except ParameterError as error:
            problems.append(error.message)
    if problems:
        raise ParameterError("; ".join(problems))
    return checked


def _usual_and_others(values: Mapping[str, Value]) -> tuple[Value, dict[str, Value]]:
    """Return the most common value, and those that have another."""
    usual = Counter(values.values()).most_common(1)[0][0]
    return usual, {name: value for name, value in values.items() if value != usual}


def _listing(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} has {value}" for name, value in values.items())
