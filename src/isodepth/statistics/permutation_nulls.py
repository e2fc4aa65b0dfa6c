"""How similar would all layers of many models be if their texts had nothing to do with each other?

The null of `isodepth.statistics.permutation`, for all pairs of models in one go. What a layer's graph
adds to it is counted once, however many others it is compared with; mean, variance and skewness of all
pairs are then products of small matrices, and no text is relabelled.

>>> nulls = permutation_nulls([gemma, llama, mistral], k=10)                     # doctest: +SKIP
>>> nulls.null.z().max(), nulls["gemma", "llama"].z()[11, 7]                     # doctest: +SKIP

Memory: 32 bytes a pair of layers, and what `all_affinities` and, for each thread,
`isodepth.statistics.graph_counts` take.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from isodepth.affinity import AffinityMatrices, all_affinities
from isodepth.neighbors import Neighbors
from isodepth.statistics.permutation import PermutationNull, null_of_totals
from isodepth.statistics.permuted_overlap import NeighborTotals, joined_totals, neighbor_totals
from isodepth.texts import Pairing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PermutationNulls:
    """Similarities of all layers of some models, and their nulls. Made by `permutation_nulls`.

    Parameters
    ----------
    matrices : AffinityMatrices
        The similarities.
    null : PermutationNull
        The null of all of them, (layers of all left models, layers of all right models). Between the
        layers of one model it says how alike they would be were one of them relabelled alone.
    """

    matrices: AffinityMatrices
    null: PermutationNull

    def __getitem__(self, labels: tuple[str, str]) -> PermutationNull:
        """Return the null of a left and a right model, as `permutation_null` has it; arrays are views.

        Raises
        ------
        UnknownNameError
            If a label is not that of a model of its side.
        """
        cells = self.matrices.cells(labels)
        skewness = self.null.skewness
        return replace(
            self.null,
            values=self.null.values[cells],
            sd=self.null.sd[cells],
            skewness=None if skewness is None else skewness[cells],
        )

    def __repr__(self) -> str:
        return f"PermutationNulls({self.matrices!r})"


def permutation_nulls(
    neighbors: Sequence[Neighbors],
    *,
    right: Sequence[Neighbors] | None = None,
    k: int | None = None,
    pairing: Pairing | None = None,
    with_skewness: bool = True,
) -> PermutationNulls:
    """Return how similar all layers of many models are, and would be if texts were relabelled.

    Parameters
    ----------
    neighbors, right, k, pairing
        As for `all_affinities`.
    with_skewness : bool
        As for `permutation_null`.

    Raises
    ------
    DigestMismatchError
        If models were run on different texts without a declared pairing.
    ParameterError
        If there are no models, or shapes, `k`, ids or labels do not fit.

    References
    ----------
    As for `permutation_null`.
    """
    matrices = all_affinities(neighbors, right=right, k=k, pairing=pairing)
    rows = _totals(neighbors, matrices.k, with_skewness)
    columns = rows if right is None else _totals(right, matrices.k, with_skewness)
    return PermutationNulls(matrices=matrices, null=null_of_totals(rows, columns, matrices.values))


def _totals(models: Sequence[Neighbors], k: int, with_third: bool) -> NeighborTotals:
    """Return the totals of all layers of all models, one after the other."""
    ids = [np.asarray(one.ids)[:, :, :k] for one in models]
    return joined_totals([neighbor_totals(some, with_third=with_third) for some in ids])
