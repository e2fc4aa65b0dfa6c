"""Which layer pairs are more similar than chance, when all of them were looked at?

The highest of many similarities is high by chance alone. So it is compared with the highest under a
random relabelling of the texts, the same one for all layers of a model: layers of one model resemble
each other, and with that kept, a correction for as many looks as there really are comes by itself.
Before the highest is taken, each cell's similarity is standardized by its own null
(`isodepth.statistics.permutation`), so that a layer with hubs does not drown the others.

>>> test = familywise_test(left_neighbors, right_neighbors)                      # doctest: +SKIP
>>> (test.p_values < 0.05).sum(), test.least_similarity(0.05).min()              # doctest: +SKIP

What it assumes: that texts are exchangeable. Equal texts, which have equal neighbors in every model,
are not: leave all but one out.

Memory: a copy of all ids, 64 bytes a pair of layers, 8 bytes a pair of models and permutation, and what
`isodepth.affinity.counts` takes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from isodepth.affinity.mutual_knn import mutual_knn_values
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError, whole_number
from isodepth.neighbors import Neighbors
from isodepth.progress import Progress, no_progress
from isodepth.statistics.permutation import PermutationNull
from isodepth.statistics.permutation_nulls import permutation_nulls
from isodepth.texts import Pairing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilywiseTest:
    """Each layer pair of two models against the most similar one under random relabellings.

    Parameters
    ----------
    left, right : str
        The models' names.
    null : PermutationNull
        The similarities, and mean and sd of each under relabelling; without skewness.
    maxima : float64 array (n_permutations,)
        The highest z of each relabelling: of all layer pairs of these two models, or of all models of a
        study (`FamilywiseTests.over_all`).
    """

    left: str
    right: str
    null: PermutationNull
    maxima: Float64[np.ndarray, " n_permutations"]

    @property
    def n_permutations(self) -> int:
        """The number of relabellings."""
        return len(self.maxima)

    @property
    def p_values(self) -> AffinityValues:
        """Each layer pair's p-value, corrected for all that the maxima are over, in (0, 1].

        (1 + relabellings whose maximum is at least as high) / (1 + relabellings): valid however few
        these are (Phipson & Smyth 2010).
        """
        n_below = np.searchsorted(np.sort(self.maxima), self.null.z(), side="left")
        result: AffinityValues = (1 + self.n_permutations - n_below) / (1 + self.n_permutations)
        return result

    @property
    def p_value(self) -> float:
        """The lowest of them: that of the hypothesis that no layers are related."""
        return float(self.p_values.min())

    def critical_z(self, level: float = 0.05) -> float:
        """Return the z that a layer pair must exceed for a p-value of at most `level`.

        Infinite where there are too few relabellings for any p-value as low.

        Raises
        ------
        ParameterError
            If the level does not lie between 0 and 1.
        """
        if not 0 < level < 1:
            raise ParameterError(f"level must lie between 0 and 1; got {level}")
        # of 999 relabellings, 49 may be as high at a level of 0.05, which is 50 / 1,000
        n_allowed = int(np.floor(level * (1 + self.n_permutations) + 1e-9)) - 1
        if n_allowed < 0:
            return float("inf")
        return float(np.sort(self.maxima)[::-1][n_allowed])

    def least_similarity(self, level: float = 0.05) -> AffinityValues:
        """Return the least similarity of each layer pair that would have a p-value of at most `level`.

        What could have been found: infinite where no similarity could.

        Raises
        ------
        ParameterError
            If the level does not lie between 0 and 1.
        """
        critical_z = self.critical_z(level)
        if critical_z == float("inf"):
            return np.full_like(self.null.sd, np.inf)
        n_neighbors = self.null.n_texts * self.null.k
        # the next whole number of shared neighbors; rounding must not make it the one after
        counts = np.floor((self.null.mean + critical_z * self.null.sd) * n_neighbors + 1e-6) + 1
        result: AffinityValues = np.where(
            (self.null.sd > 0) & (counts <= n_neighbors), counts / n_neighbors, np.inf
        )
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FamilywiseTests:
    """The tests of all pairs of models of a study, from the same relabellings.

    Parameters
    ----------
    pairs : tuple of FamilywiseTest
        One a pair of models, in the order of `AffinityMatrices.pairs`, each corrected for its own layer
        pairs.
    """

    pairs: tuple[FamilywiseTest, ...]

    @property
    def maxima(self) -> Float64[np.ndarray, " n_permutations"]:
        """The highest z of each relabelling over all layer pairs of all pairs of models."""
        maxima: np.ndarray = np.max([test.maxima for test in self.pairs], axis=0)
        return maxima

    def over_all(self) -> tuple[FamilywiseTest, ...]:
        """Return the same tests, each corrected for all layer pairs of all pairs of models."""
        maxima = self.maxima
        return tuple(replace(test, maxima=maxima) for test in self.pairs)


def familywise_test(
    left: Neighbors | np.ndarray,
    right: Neighbors | np.ndarray,
    *,
    k: int | None = None,
    pairing: Pairing | None = None,
    n_permutations: int = 999,
    seed: int = 0,
    progress: Progress = no_progress,
) -> FamilywiseTest:
    """Return which layer pairs of two models are more similar than chance, corrected for all of them.

    Parameters
    ----------
    left, right : Neighbors, or integer arrays (layers, texts, k) or (texts, k)
        Neighbors of the same texts in the same order, or of parallel ones.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out.
    pairing : Pairing, optional
        The declaration that the texts, which differ, belong together: `ParallelTexts.pairing`.
    n_permutations : int
        Relabellings; the lowest p-value is 1 / (1 + n_permutations).
    seed : int
        Of the relabellings. The same seed gives the same test.
    progress : Progress
        Is told the relabellings done, in "steps".

    Raises
    ------
    DigestMismatchError
        If both were run on different texts without a declared pairing.
    ParameterError
        If shapes, `k`, ids or numbers do not fit.

    References
    ----------
    Westfall & Young 1993 (single-step maxT); Nichols & Holmes 2002. The paper has no such test.
    """
    return familywise_tests(
        [_as_neighbors(left, "left")],
        right=[_as_neighbors(right, "right")],
        k=k,
        pairing=pairing,
        n_permutations=n_permutations,
        seed=seed,
        progress=progress,
    ).pairs[0]


def familywise_tests(
    neighbors: Sequence[Neighbors],
    *,
    right: Sequence[Neighbors] | None = None,
    k: int | None = None,
    pairing: Pairing | None = None,
    n_permutations: int = 999,
    seed: int = 0,
    progress: Progress = no_progress,
) -> FamilywiseTests:
    """Return which layer pairs are more similar than chance, for every pair of models of a study.

    Among `neighbors`, every model but the first is relabelled by itself, and each pair of different
    models is tested; a model's own layers are no test. Against `right`, the right models are relabelled
    together, so that what they have in common stays as it is, as it does among the left ones.

    The correction over all pairs (`FamilywiseTests.over_all`) takes its maximum as if no two models
    were related. Where some are, their chances against a third go together, so that the true maximum
    over what is unrelated should be lower: the correction is then on the safe side.

    Parameters
    ----------
    neighbors, right, k, pairing
        As for `all_affinities`.
    n_permutations, seed, progress
        As for `familywise_test`.

    Raises
    ------
    DigestMismatchError
        If models were run on different texts without a declared pairing.
    ParameterError
        If there is no pair of models, or shapes, `k`, ids, labels or numbers do not fit.
    """
    for name, value, least in (("n_permutations", n_permutations, 1), ("seed", seed, 0)):
        if whole_number(value, name) < least:
            raise ParameterError(f"{name} must be at least {least}; got {value}")
    nulls = permutation_nulls(neighbors, right=right, k=k, pairing=pairing, with_skewness=False)
    matrices, whole = nulls.matrices, nulls.null
    if matrices.n_pairs == 0:
        raise ParameterError(
            f"two models are needed for a pair; got one, {matrices.left[0]}",
            hint="pass another one, or right=.",
        )
    rows = [_ids(one, matrices.k) for one in neighbors]
    columns = None if right is None else [_ids(one, matrices.k) for one in right]
    row_starts = np.cumsum([0, *matrices.left_layers])
    column_starts = np.cumsum([0, *matrices.right_layers])
    maxima = np.empty((n_permutations, len(matrices.left), len(matrices.right)))
    rng = np.random.default_rng(seed)
    for done in range(n_permutations):
        progress("relabelling texts", done, n_permutations, "steps")
        if columns is None:
            others = (_relabelled([ids], rng)[0] for ids in rows[1:])
            values = mutual_knn_values([rows[0], *others], None, matrices.k)
        else:
            values = mutual_knn_values(rows, _relabelled(columns, rng), matrices.k)
        by_left = np.maximum.reduceat(whole.z(values), row_starts[:-1], axis=0)
        maxima[done] = np.maximum.reduceat(by_left, column_starts[:-1], axis=1)
    progress("relabelling texts", n_permutations, n_permutations, "steps")
    pairs = []
    for i, left_name in enumerate(matrices.left):
        for j, right_name in enumerate(matrices.right):
            if right is None and j <= i:
                continue
            pairs.append(
                FamilywiseTest(
                    left=left_name,
                    right=right_name,
                    null=nulls[left_name, right_name],
                    maxima=maxima[:, i, j],
                )
            )
    return FamilywiseTests(pairs=tuple(pairs))


def _relabelled(models: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
    """Return the ids of all models after the same random relabelling of their texts."""
    new = rng.permutation(models[0].shape[1]).astype(np.int32)
    old = np.argsort(new)
    return [new.take(ids.take(old, axis=1)) for ids in models]


def _as_neighbors(neighbors: Neighbors | np.ndarray, side: str) -> Neighbors:
    if isinstance(neighbors, Neighbors):
        return neighbors
    ids = neighbors[np.newaxis] if neighbors.ndim == 2 else neighbors
    if ids.ndim != 3 or not np.issubdtype(ids.dtype, np.integer):
        raise ParameterError(
            f"{side} must be Neighbors or an integer array (layers, texts, k) or (texts, k); got "
            f"{neighbors.dtype} of shape {neighbors.shape}"
        )
    unknown = np.broadcast_to(np.float32(np.nan), ids.shape)
    return Neighbors(ids=ids.astype(np.int32), similarities=unknown, model=side)


def _ids(neighbors: Neighbors, k: int) -> np.ndarray:
    return neighbors.ids[:, :, :k]
