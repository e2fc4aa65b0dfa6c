"""How sure are the similarities of all layers of many models? Others might be found on other texts.

The standard error of a similarity is the standard deviation that it has when texts are resampled in
their two roles (`isodepth.statistics.resampling`). As resampled similarities are weighted sums over
texts, their variance needs no resamples: it is that of what each text adds as a text, plus that of what
each adds as a neighbor of others. One pass over the texts tells it for all pairs of layers; ever more
resamples tend to the same.

>>> errors = standard_errors([gemma, llama, mistral], k=10)                      # doctest: +SKIP
>>> errors["gemma", "llama"].shape                                               # doctest: +SKIP
(18, 32)

For statistics of whole matrices, whose errors need the similarities to be resampled together, use
`resampled_matrices`.

Memory: 48 bytes a pair of layers, a copy of all ids, and for each thread what
`isodepth.statistics.role_tiles` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64

from isodepth.affinity import AffinityMatrices, all_affinities
from isodepth.affinity.mutual_knn import checked_ids
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError
from isodepth.neighbors import Neighbors
from isodepth.statistics.resampling import chosen_method, lists_length, texts_first
from isodepth.statistics.role_tiles import TileRoles, visit_tiles
from isodepth.texts import Pairing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StandardErrors:
    """Similarities of all layers of some models, and how sure they are. Made by `standard_errors`.

    Parameters
    ----------
    matrices : AffinityMatrices
        The similarities.
    values : float64 array (layers of all left models, layers of all right models)
        Their standard errors, under resampled texts. That between a layer and itself is 0, but with
        "two-way, bare", which does not know the neighbors that would come next.
    method : str
        A key of `RESAMPLING_METHODS`.
    """

    matrices: AffinityMatrices
    values: AffinityValues
    method: str

    def __getitem__(self, labels: tuple[str, str]) -> AffinityValues:
        """Return the standard errors of a left and a right model, a view.

        Raises
        ------
        UnknownNameError
            If a label is not that of a model of its side.
        """
        return self.values[self.matrices.cells(labels)]

    def intervals(self, level: float = 0.95) -> tuple[AffinityValues, AffinityValues]:
        """Return where each similarity's normal interval begins and ends, in [0, 1].

        Parameters
        ----------
        level : float
            How often the intervals shall hold the truth, each by itself.

        Raises
        ------
        ParameterError
            If the level does not lie between 0 and 1.
        """
        if not 0 < level < 1:
            raise ParameterError(f"the level must lie between 0 and 1; got {level}")
        reach = float(scipy.special.ndtri((1 + level) / 2)) * self.values
        values = self.matrices.values
        return np.maximum(values - reach, 0), np.minimum(values + reach, 1)

    def __repr__(self) -> str:
        return f"StandardErrors({self.method}; {self.matrices!r})"


def standard_errors(
    neighbors: Sequence[Neighbors],
    *,
    right: Sequence[Neighbors] | None = None,
    k: int | None = None,
    pairing: Pairing | None = None,
    method: str | None = None,
) -> StandardErrors:
    """Return the mutual k-NN similarities of all layers of many models with their standard errors.

    Parameters
    ----------
    neighbors, right, k, pairing
        As for `all_affinities`. Where models hold more than `k` neighbors of each text, these tell
        which one would come next.
    method : str, optional
        A key of `RESAMPLING_METHODS`; "two-way" where all hold more than `k` neighbors, else
        "two-way, bare".

    Raises
    ------
    DigestMismatchError
        If models were run on different texts without a declared pairing.
    ParameterError
        If shapes, `k`, ids, labels or the method do not fit.

    References
    ----------
    Of independent multinomial weights for both roles (Owen 2007; `resampled_matrices`), the variance of
    the sums that they weigh: n_texts times the variance over texts of what is weighed (Efron &
    Tibshirani 1993, chapter 5, for the mean).
    """
    matrices = all_affinities(neighbors, right=right, k=k, pairing=pairing)
    used_k, n_texts = matrices.k, matrices.n_texts
    sides = [list(neighbors)] if right is None else [list(neighbors), list(right)]
    n_kept = min(one.k for side in sides for one in side)
    chosen = chosen_method(n_kept, used_k, method)
    n_used = lists_length(n_kept, used_k, chosen)
    by_text = [
        texts_first([checked_ids(one.ids[:, :, :n_used], one.model) for one in side]) for side in sides
    ]
    variances = np.zeros(matrices.values.shape)

    def write(rows: slice, columns: slice, roles: TileRoles) -> None:
        tile = _variances(roles, is_lent=chosen != "overlaps")
        variances[rows, columns] = tile
        if right is None and rows != columns:
            variances[columns, rows] = tile.T

    visit_tiles(by_text[0], None if right is None else by_text[1], k=used_k, visit=write)
    values = np.sqrt(variances / n_texts) / used_k
    return StandardErrors(matrices=matrices, values=values, method=chosen)


def _variances(roles: TileRoles, *, is_lent: bool) -> Float64[np.ndarray, "layers_left layers_right"]:
    """Return the variance over texts of what they add, the sum of that in both roles."""
    from isodepth.statistics.role_kernels import add_power_sums  # compiles

    n_texts, *shape = roles.own.shape
    sums = np.zeros((4, *shape))
    add_power_sums(roles.own, roles.lent, roles.lent_back, sums)
    # whole numbers, of which the difference of two is exact below 2**53, and may round below 0 above
    own, lent = (np.maximum(n_texts * sums[at + 1] - sums[at] ** 2, 0) / n_texts**2 for at in (0, 2))
    variances: np.ndarray = own + lent / roles.unit**2 if is_lent else own
    return variances
