"""What were matrices made from? The neighbors of every model, and the texts themselves.

Results name both by key and digest and hold neither. Whoever shows why two layers are similar, text by
text, needs them: a Venn diagram of neighbors, a report.

Memory: neighbors may be memory maps; texts are held.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from isodepth.affinity import AffinityMatrices
from isodepth.errors import UnknownNameError, counted, listed
from isodepth.neighbors import Neighbors
from isodepth.results.study import MatrixKind
from isodepth.texts import TextSet


class EvidenceKey(NamedTuple):
    """Which neighbors: of which text set, captured and pooled how."""

    texts: str
    capture: str
    pooling: str


def evidence_key(name: str, kind: MatrixKind) -> EvidenceKey:
    """Return which neighbors the matrices of a text set and a kind were made from."""
    return EvidenceKey(name, kind.capture, kind.pooling)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What the matrices of one text set, capture and pooling were made from.

    Parameters
    ----------
    left : mapping of str to Neighbors
        By label: of what the left models read.
    right : mapping of str to Neighbors, or None
        The same of the right models; None where these are the left ones.
    texts : TextSet or None
        What the left models read; None where it is not at hand.
    right_texts : TextSet or None
        What the right models read, where that is something else and at hand.
    notes : tuple of str
        What is not at hand, and why.
    """

    left: Mapping[str, Neighbors]
    right: Mapping[str, Neighbors] | None = None
    texts: TextSet | None = None
    right_texts: TextSet | None = None
    notes: tuple[str, ...] = ()

    def sides(self, matrices: AffinityMatrices) -> tuple[list[Neighbors], list[Neighbors] | None]:
        """Return the neighbors in the order of the labels of matrices, right None where left is meant.

        Raises
        ------
        UnknownNameError
            If there are none of some models; all are named.
        """
        columns = self.left if self.right is None else self.right
        missing = [label for label in matrices.left if label not in self.left]
        missing += [label for label in matrices.right if label not in columns]
        if missing:
            raise UnknownNameError(
                f"there are no neighbors of {listed(list(dict.fromkeys(missing)), most=30)}"
            )
        left = [self.left[label] for label in matrices.left]
        if matrices.is_symmetric:
            return left, None
        return left, [columns[label] for label in matrices.right]

    def __repr__(self) -> str:
        models = counted(len(self.left), "model")
        if self.right is not None:
            models += f" and {len(self.right)} on the right"
        return f"Evidence({models}, texts {'not ' if self.texts is None else ''}at hand)"
