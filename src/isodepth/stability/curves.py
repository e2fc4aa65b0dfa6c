"""What would similarity be with more neighbors, with fewer texts, or with more? From one stored top-K.

More neighbors: the lists are longer than k. Fewer texts: `isodepth.stability.subsets` reads the
neighbors within random subsets off the lists, exactly. More texts were not read, so that is
extrapolated, by a law that the measured subsets can be asked about:

    Similarity beyond chance, (s - chance) / (1 - chance), depends on n and k by k / (n - 1) alone.

A list of k = 10 among 512 texts reaches as far as one of k = 5 among 256 of them, which is measured. So
the curve against k is the curve against n, seen from the other side, and nothing is fitted. The law is
checked where it can be: the smaller k of a subset against the full k of all texts (rule "k / n").

Spread. Of a subset: the standard deviation over the random subsets of that size, each of which shares
texts with the others; it vanishes as the subset becomes all texts. Of all texts, and of more: that over
random halves, which is the standard error for texts drawn anew (the jackknife that leaves out half).

>>> curves = similarity_curves(neighbors, k=10)                                  # doctest: +SKIP
>>> curves.to_table().to_pandas().query("rule == 'n' and part == 'on_mean'")      # doctest: +SKIP

Memory: lists of a subset, 12 bytes a pair of layers, and what `isodepth.affinity.counts` takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from jaxtyping import Int32

from isodepth.affinity.all_pairs import all_affinities
from isodepth.errors import ParameterError
from isodepth.neighbors import Neighbors
from isodepth.progress import Progress, no_progress
from isodepth.stability.points import PARTS, RULES, CurvePoint, SimilarityCurves, Values, calibrated
from isodepth.stability.subsets import fewest_texts, subset_neighbors
from isodepth.statistics.diagonal import generalized_diagonal
from isodepth.texts import Pairing

SIZES_PER_OCTAVE = 2
ALL_KS_TO = 10
K_STEP = 1.25
"""Above `ALL_KS_TO`, each k of a curve is about so many times the last."""


def similarity_curves(
    neighbors: Sequence[Neighbors],
    *,
    right: Sequence[Neighbors] | None = None,
    k: int = 10,
    n_subsets: int = 20,
    seed: int = 0,
    pairing: Pairing | None = None,
    progress: Progress = no_progress,
) -> SimilarityCurves:
    """Return mutual k-NN similarities of all pairs of models against k and the number of texts.

    Parameters
    ----------
    neighbors : sequence of Neighbors
        Neighbors of the same texts, one a model, of different names; as many of each text as there are.
    right : sequence of Neighbors, optional
        Compare each of `neighbors` with each of these; all with each other where it is left out.
    k : int
        Neighbors per text along the curves against n.
    n_subsets : int
        Random subsets of each size, at least 2.
    seed : int
        Of the subsets.
    pairing : Pairing, optional
        As for `all_affinities`.
    progress : Progress
        Told how far the work is.

    Returns
    -------
    SimilarityCurves
        Subsets are as small as nearly all lists allow (`fewest_texts`). Texts whose list lacks members
        in any layer are left out and counted: those that must reach furthest, so that what is left is
        slightly nearer, and similarity slightly higher where it falls with k. Extrapolated to those
        numbers of texts at which a whole number of neighbors reaches as far: (n - 1) k / j + 1 for
        j < k.

    Raises
    ------
    ParameterError, DigestMismatchError
        As `all_affinities`; and if there is no pair, or fewer than two subsets.

    References
    ----------
    Spread over halves: the delete-d jackknife (Shao & Wu 1989). Similarity beyond chance: Cohen's kappa
    with the chance of unrelated lists. The law and the subsets are ours.
    """
    if n_subsets < 2:
        raise ParameterError(f"a spread needs at least 2 subsets; got n_subsets = {n_subsets}")
    columns = neighbors if right is None else right
    held = min(one.k for one in (*neighbors, *columns))
    if not 1 <= k <= held:
        raise ParameterError(
            f"k = {k} nearest neighbors were asked for; expected 1 <= k <= {held}, the least number "
            "that is held"
        )
    whole = all_affinities(neighbors, right=right, k=k, pairing=pairing)
    if whole.n_pairs == 0:
        raise ParameterError("curves are of pairs of models; got one model alone")
    curves = _Curves(
        left=[one.ids[:, :, :held] for one in neighbors],
        right=None if right is None else [one.ids[:, :, :held] for one in right],
        n_texts=whole.n_texts,
        n_listed=held,
        k=k,
        n_subsets=n_subsets,
        rng=np.random.default_rng(seed),
    )
    names = (
        list(combinations(whole.left, 2)) if right is None else list(product(whole.left, whole.right))
    )
    points = []
    n_points = curves.n_points
    for number, point in enumerate(curves.points()):
        progress("drawing subsets of the texts", number, n_points, "points")
        points.append(point)
    progress("drawing subsets of the texts", n_points, n_points, "points")
    order = {rule: place for place, rule in enumerate(RULES)}
    points.sort(key=lambda point: (order[point.rule], point.n_texts, point.k))
    return SimilarityCurves(
        pairs=tuple(names),
        n_texts=whole.n_texts,
        k=k,
        points=tuple(points),
        metric=whole.metric,
        preprocessing=whole.preprocessing,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Curves:
    """The lists of all models, and how the points of the curves are found from them."""

    left: Sequence[Int32[np.ndarray, "_ texts _"]]
    right: Sequence[Int32[np.ndarray, "_ texts _"]] | None
    n_texts: int
    n_listed: int
    k: int
    n_subsets: int
    rng: np.random.Generator

    @property
    def n_points(self) -> int:
        """How many points there are."""
        n_reduced = sum(self.holds(self.size_for(j), j) for j in self.smaller_ks)
        return len(self.ks) + len(self.sizes) + 2 + n_reduced + len(self.smaller_ks)

    @property
    def ks(self) -> list[int]:
        """The numbers of neighbors of the curve against k."""
        found = [1]
        while found[-1] < self.n_listed:
            step = 1 if found[-1] < ALL_KS_TO else round(found[-1] * (K_STEP - 1))
            found.append(min(found[-1] + step, self.n_listed))
        return sorted({*found, self.k, *self.smaller_ks})

    @property
    def sizes(self) -> list[int]:
        """The numbers of texts of random subsets in which lists hold k members."""
        found: list[int] = []
        while self.holds(size := self.size_after(len(found) + 1), self.k):
            found.append(size)
        return found

    def size_after(self, steps: int) -> int:
        """Return the number of texts so many steps below all."""
        return round(self.n_texts * 2 ** (-steps / SIZES_PER_OCTAVE))

    def holds(self, size: int, k: int) -> bool:
        """Return whether nearly all lists hold k members of a subset, and others besides."""
        return k + 1 < size < self.n_texts and size >= fewest_texts(self.n_texts, self.n_listed, k)

    @property
    def smaller_ks(self) -> list[int]:
        """The numbers of neighbors j < k that stand for k of more texts, each half of the last."""
        found = [self.k]
        while found[-1] > 1:
            found.append(found[-1] // 2)
        return found[1:]

    def size_for(self, j: int) -> int:
        """Return of how many of the texts j neighbors reach as far as k of all."""
        return 1 + round((self.n_texts - 1) * j / self.k)

    def points(self) -> Iterator[CurvePoint]:
        """Yield all points, in no order."""
        everyone = np.arange(self.n_texts)
        measured = {}
        lists, _ = self.lists(everyone, max(self.ks))
        for k in self.ks:
            measured[k] = self.similarities(lists, self.n_texts, k, 0)
            unknown = np.full_like(measured[k], np.nan)
            yield CurvePoint(rule="k", n_texts=self.n_texts, k=k, values=measured[k], spread=unknown)
        for size in self.sizes:
            yield self.of_subsets("n", size, self.k)
        halves = self.of_halves((self.k, *self.smaller_ks))
        for rule in ("n", "k / n"):
            yield CurvePoint(
                rule=rule,
                n_texts=self.n_texts,
                k=self.k,
                values=measured[self.k],
                spread=halves[self.k],
                n_subsets=self.n_subsets,
            )
        for j in self.smaller_ks:
            if self.holds(self.size_for(j), j):
                yield self.of_subsets("k / n", self.size_for(j), j)
            yield self.extrapolated(j, measured[j], halves[j])

    def extrapolated(self, j: int, values: Values, spread: Values) -> CurvePoint:
        """Return what k neighbors of more texts give, if they share as j of these texts do."""
        n_texts = 1 + round((self.n_texts - 1) * self.k / j)
        here, there = j / (self.n_texts - 1), self.k / (n_texts - 1)
        return CurvePoint(
            rule="n",
            n_texts=n_texts,
            k=self.k,
            values=there + calibrated(values, here) * (1 - there),
            spread=spread * (1 - there) / (1 - here),
            n_subsets=self.n_subsets,
            extrapolated=True,
        )

    def of_subsets(self, rule: str, size: int, k: int) -> CurvePoint:
        """Return the mean and the spread over random subsets of some size."""
        values, n_left_out = np.empty((self.n_subsets, len(_places(self.left, self.right)), 3)), 0
        for number in range(self.n_subsets):
            members = np.sort(self.rng.choice(self.n_texts, size, replace=False))
            lists, has_enough = self.lists(members, k)
            n_lacking = int((~has_enough).sum())
            n_left_out += n_lacking
            values[number] = self.similarities(lists, size, k, n_lacking)
        return CurvePoint(
            rule=rule,
            n_texts=size,
            k=k,
            values=values.mean(axis=0),
            spread=values.std(axis=0, ddof=1),
            n_subsets=self.n_subsets,
            left_out=n_left_out / (size * self.n_subsets),
        )

    def of_halves(self, ks: Sequence[int]) -> dict[int, Values]:
        """Return by k the spread over random halves; NaN where halves are too small for it."""
        size = self.n_texts // 2
        unknown = np.full((len(_places(self.left, self.right)), len(PARTS)), np.nan)
        spreads = dict.fromkeys(ks, unknown)
        for k in ks:
            if self.holds(size, k):
                # of similarity beyond chance, which is lower among all texts
                scale = (1 - k / (self.n_texts - 1)) / (1 - k / (size - 1))
                spreads[k] = self.of_subsets("n", size, k).spread * scale
        return spreads

    def lists(self, members: np.ndarray, k: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the lists within a subset of all models, left then right, and who has enough."""
        return subset_neighbors([*self.left, *(self.right or ())], members, k)

    def similarities(
        self, lists: Sequence[np.ndarray], n_texts: int, k: int, n_left_out: int
    ) -> Values:
        """Return the parts of all pairs' matrices by the k nearest, without the texts left out."""
        from isodepth.affinity.counts import shared_counts  # compiles

        cut = [one[:, :, :k] for one in lists]
        left, right = cut[: len(self.left)], cut[len(self.left) :] or None
        # texts left out have one list in all layers, so all k of it are counted as shared
        shared = shared_counts(left, right) - n_left_out * k
        matrix = shared / float((n_texts - n_left_out) * k)
        rows = np.cumsum([0, *map(len, left)])
        columns = rows if right is None else np.cumsum([0, *map(len, right)])
        return np.array(
            [
                _parts(matrix[rows[one] : rows[one + 1], columns[other] : columns[other + 1]])
                for one, other in _places(left, right)
            ]
        )


def _places(left: Sequence[object], right: Sequence[object] | None) -> list[tuple[int, int]]:
    """Return the pairs of models, by their places."""
    if right is None:
        return list(combinations(range(len(left)), 2))
    return list(product(range(len(left)), range(len(right))))


def _parts(values: np.ndarray) -> tuple[float, float, float]:
    """Return the means over all of a matrix, on and off its generalized diagonal."""
    on = generalized_diagonal(*values.shape)
    off = float(values[~on].mean()) if not on.all() else np.nan
    return float(values.mean()), float(values[on].mean()), off
