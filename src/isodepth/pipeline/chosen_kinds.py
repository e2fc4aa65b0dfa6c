"""Which matrices of results are meant, by measure and number of neighbors?

>>> assessed_kinds(results["news"], ks=(1, 10), measures=("mutual_knn",))        # doctest: +SKIP

Memory: none to speak of.
"""

from collections.abc import Sequence

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.results import MatrixKind, TextSetResults

SHOWN_K = 10
"""Of several numbers of neighbors, the one that is assessed where none is chosen."""
NO_K = 0
"""The k of measures that take none, which any choice of k leaves in."""


def refuse_unknown_kinds(
    name: str, kinds: Sequence[MatrixKind], measures: Sequence[str], ks: Sequence[int]
) -> None:
    """Raise an error if there is no matrix by a measure, or, of measures that take it, with a k.

    Parameters
    ----------
    name : str
        What the matrices are of, for the error.
    kinds : sequence of MatrixKind
        Those that there are.
    measures, ks
        Those that are wanted; none means all.

    Raises
    ------
    UnknownNameError
        If there is none by one of the measures.
    ParameterError
        If there is none with one of the `ks`.
    """
    measured = list(dict.fromkeys(kind.measure for kind in kinds))
    missing = [measure for measure in measures if measure not in measured]
    if missing:
        near = dict.fromkeys(one for measure in missing for one in nearest_names(measure, measured))
        raise UnknownNameError(
            f"no matrix of {name} is by {listed([*map(repr, missing)])}; there are by "
            f"{listed(measured, most=40)}",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    known = sorted({kind.k for kind in kinds if kind.measure in (measures or measured)} - {NO_K})
    unknown = [k for k in ks if k not in known]
    if unknown and known:
        raise ParameterError(
            f"no matrix of {name} has k = {listed(unknown)}; there are k = {listed(known)}"
        )


def assessed_kinds(
    found: TextSetResults, ks: Sequence[int], measures: Sequence[str] = ()
) -> list[MatrixKind]:
    """Return which matrices of a text set are assessed: those by `measures`, with these `ks`.

    Where no `ks` are wanted: k = 10 if there is one, else the first of each measure, capture and
    pooling.
    """
    chosen = [kind for kind in found.matrices if not measures or kind.measure in measures]
    if ks:
        return [kind for kind in chosen if kind.k in (*ks, NO_K)]
    by_reading: dict[tuple[str, str, str], list[MatrixKind]] = {}
    for kind in chosen:
        by_reading.setdefault((kind.measure, kind.capture, kind.pooling), []).append(kind)
    return [
        next((kind for kind in kinds if kind.k == SHOWN_K), kinds[0]) for kinds in by_reading.values()
    ]
