"""How do matrices from elsewhere become results? Each text set's kinds of matrices, as one folder.

What is read is a `FoundMatrices`: all layers of all readers against each other for one text set,
measure and k, with what is known of where they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, listed
from isodepth.interchange.imported import checked_name
from isodepth.results import MatrixKind, StudyResults, TextSetResults


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoundMatrices:
    """The matrices of one text set by one measure and k, from a file.

    Parameters
    ----------
    texts : str
        The text set's name.
    kind : MatrixKind
        Measure, k, capture and pooling.
    matrices : AffinityMatrices
        The values with their labels.
    source : mapping
        File, sum, format, what was dropped.
    """

    texts: str
    kind: MatrixKind
    matrices: AffinityMatrices
    source: Mapping[str, Any] = field(default_factory=dict)


def imported_results(found: Sequence[FoundMatrices], *, name: str) -> StudyResults:
    """Return matrices as results, which `StudyResults.write` and all that reads results take.

    Parameters
    ----------
    found : sequence of FoundMatrices
        In the order that the text sets and kinds are to have.
    name : str
        What the results are called.

    Raises
    ------
    ParameterError
        If a text set has a kind twice, or other readers, layers or texts in one kind than in another.
    """
    checked_name(name, "the results")
    by_set: dict[str, list[FoundMatrices]] = {}
    for one in found:
        by_set.setdefault(checked_name(one.texts, "a text set"), []).append(one)
    sets = {}
    for texts, members in by_set.items():
        kinds = [one.kind for one in members]
        twice = sorted({str(kind) for kind in kinds if kinds.count(kind) > 1})
        if twice:
            raise ParameterError(
                f"{texts}: matrices of {listed(twice)} are given more than once",
                hint="leave one out, or give the text sets different names with --texts.",
            )
        first = members[0].matrices
        for one in members[1:]:
            _refuse_others(texts, first, one)
        sets[texts] = TextSetResults(
            name=texts,
            matrices={one.kind: one.matrices for one in members},
            description={"imported": [dict(one.source) for one in members]},
        )
    return StudyResults(name=name, sets=sets, manifest={"name": name, "imported": True})


def _refuse_others(texts: str, first: AffinityMatrices, one: FoundMatrices) -> None:
    for what in ("left", "right", "left_layers", "right_layers", "n_texts"):
        expected, got = getattr(first, what), getattr(one.matrices, what)
        if expected != got:
            raise ParameterError(
                f"{texts}: all kinds of matrices must have the same {what}; got {expected} and, for "
                f"{one.kind}, {got}",
                hint="import them as results of their own.",
            )


def file_source(path: Path, format_name: str, **more: Any) -> dict[str, Any]:
    """Return what is recorded of a file that was read."""
    from isodepth.store.sums import sha256_of

    return {
        "file": path.name,
        "sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        "format": format_name,
        **more,
    }
