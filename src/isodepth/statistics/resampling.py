"""What would the matrix be on other texts of the same kind? Resampled, without recomputing neighbors.

Texts are the sampling unit, and each has two roles. It has neighbors of its own, of which two layers
share some: its overlap. And it is a neighbor of other texts, whose overlaps would be others were it not
there: each list that names it would name its next one instead. What it adds in either role is counted
exactly, from lists that are longer than k (`isodepth.statistics.role_kernels`). Resampling gives every
text two random weights, one for each role, and adds up:

    resampled = observed + mean over texts of (weight - 1) x own + (other weight - 1) x lent

No neighbor is searched for again, and no text ever stands twice among the candidates (a plain bootstrap
that recomputes neighbors makes every repeated text its own nearest neighbor).

What this ignores: that the two roles of one text go together, which adds to the variance, and that a
text and its neighbor are counted from both sides, which takes from it. The two nearly cancel: the
standard deviations are 0.9 to 1.5 times the true ones on planted data (up to 1.9 at k = 1), most often
slightly too wide. 95 % intervals of contrasts hold the truth in 92 to 99 %, those of what is found by
searching for most similar layers in 87 to 100 % (`python -m studies.calibration`).
Where no more than k neighbors are stored, lists are taken to name no other instead, which makes levels
of similarity 1.5 to 2.4 times too uncertain and leaves contrasts about as they are. Resampling overlaps
alone, as if texts did not serve as neighbors, gives standard deviations 0.6 to 0.9 times the true ones
and intervals that hold the truth in about 85 %: it is there for comparison.

>>> resampled = resampled_matrices(left_ids, right_ids, k=10)                   # doctest: +SKIP
>>> np.quantile(resampled.values, [0.025, 0.975], axis=0)                       # doctest: +SKIP

Memory: 8 bytes x texts x cells, 4 bytes x resamples x cells, and what `isodepth.statistics.role_tiles`
says; for a pair of 80 layers each, with 2,048 texts and 1,000 resamples, 105 MB, 26 MB and 66 MB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from isodepth.affinity.mutual_knn import checked_ids
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError
from isodepth.statistics.role_tiles import TileRoles, visit_tiles

# of two sides: shapes that must agree are refused in words, not by their types
LeftIds = Int32[np.ndarray, "layers_left texts k_left"]
RightIds = Int32[np.ndarray, "layers_right texts_right k_right"]

RESAMPLING_METHODS = {
    "two-way": "texts resampled in two roles, as texts and as neighbors of others",
    "two-way, bare": "the same from lists of k neighbors alone: intervals of levels are wider",
    "overlaps": "texts' overlaps resampled; that texts are each other's neighbors is ignored, which "
    "makes intervals too narrow",
}
FEWEST_NEXT = 5
"""Neighbors after the k-th over which the next one is averaged, if k is smaller."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResampledMatrices:
    """The matrix of two models under resampled texts. Made by `resampled_matrices`.

    Parameters
    ----------
    values : float32 array (resamples, layers_left, layers_right)
        Similarities; around the observed ones, hence now and then slightly outside [0, 1].
    observed : float64 array (layers_left, layers_right)
        The similarities themselves.
    n_texts, k : int
        Texts, and neighbors per text.
    method : str
        A key of `RESAMPLING_METHODS`.
    seed : int
        Of the weights. The same seed gives equal weights to all pairs of models on the same number of
        texts, so that their resamples belong together.
    """

    values: Float32[np.ndarray, "resamples layers_left layers_right"]
    observed: AffinityValues
    n_texts: int
    k: int
    method: str
    seed: int

    @property
    def n_resamples(self) -> int:
        """The number of resamples."""
        return len(self.values)

    def __repr__(self) -> str:
        return (
            f"ResampledMatrices((resamples, layers, layers) = {self.values.shape}, {self.method}, "
            f"n_texts = {self.n_texts}, k = {self.k})"
        )


def resampled_matrices(
    left_ids: LeftIds,
    right_ids: RightIds,
    *,
    k: int,
    n_resamples: int = 1000,
    seed: int = 0,
    method: str | None = None,
) -> ResampledMatrices:
    """Return the mutual k-NN matrix of two models, and what it would be under resampled texts.

    Parameters
    ----------
    left_ids, right_ids : int32 arrays (layers_left, texts, k'), (layers_right, texts, k'')
        Neighbors of the same texts, nearest first, at least `k` of each text; more are made use of.
    k : int
        How many of them count.
    n_resamples : int
        Resamples.
    seed : int
        Of the weights.
    method : str, optional
        A key of `RESAMPLING_METHODS`; "two-way" where more than `k` neighbors are there, else
        "two-way, bare".

    Raises
    ------
    ParameterError
        If shapes, ids or numbers do not fit.

    References
    ----------
    Two weights, one for each role: the pigeonhole bootstrap of crossed factors (Owen 2007); what a text
    adds as a neighbor: the delete-one jackknife (Efron & Stein 1981), averaged over the neighbors that
    could take its place. That the two belong to mutual k-NN is ours; `studies.calibration` has the
    evidence.
    """
    own, lent, chosen = text_roles(left_ids, right_ids, k=k, method=method)
    n_texts, n_left, n_right = own.shape
    if n_resamples < 2:
        raise ParameterError(f"at least 2 resamples are needed; got n_resamples = {n_resamples}")
    rng = np.random.default_rng(seed)
    even = np.full(n_texts, 1 / n_texts)
    observed = own.mean(axis=0, dtype=np.float64) / k
    values = np.zeros((n_resamples, n_left * n_right), dtype=np.float32)
    for role in (own, lent):
        weights = rng.multinomial(n_texts, even, size=n_resamples)
        if role is not None:
            added = role.reshape(n_texts, -1)
            added -= added.mean(axis=0, dtype=np.float64).astype(np.float32)
            values += (weights - 1).astype(np.float32) @ added
    values /= n_texts * k
    values += observed.reshape(-1).astype(np.float32)
    return ResampledMatrices(
        values=values.reshape(n_resamples, n_left, n_right),
        observed=observed,
        n_texts=n_texts,
        k=k,
        method=chosen,
        seed=seed,
    )


def text_roles(
    left_ids: LeftIds, right_ids: RightIds, *, k: int, method: str | None = None
) -> tuple[
    Float32[np.ndarray, "texts layers_left layers_right"],
    Float32[np.ndarray, "texts layers_left layers_right"] | None,
    str,
]:
    """Return what every text adds to the shared neighbors of all layer pairs, and how that was told.

    Parameters
    ----------
    left_ids, right_ids, k, method
        As for `resampled_matrices`.

    Returns
    -------
    own : float32 array (texts, layers_left, layers_right)
        How many of its own neighbors two layers share.
    lent : float32 array (texts, layers_left, layers_right), or None
        How many more the other texts share because it is there; None by the method "overlaps".
    method : str
        A key of `RESAMPLING_METHODS`.
    """
    if left_ids.shape[1] != right_ids.shape[1]:
        raise ParameterError(
            "left and right neighbors must be of as many texts; got "
            f"{left_ids.shape[1]:,} (left) and {right_ids.shape[1]:,} (right)"
        )
    n_kept = min(left_ids.shape[2], right_ids.shape[2])
    if not 1 <= k <= n_kept:
        raise ParameterError(
            f"k = {k} neighbors were asked for; expected 1 <= k <= {n_kept}, the number that is held"
        )
    chosen = chosen_method(n_kept, k, method)
    n_used = lists_length(n_kept, k, chosen)
    sides = [
        texts_first([checked_ids(ids[:, :, :n_used], name)])
        for ids, name in ((left_ids, "left_ids"), (right_ids, "right_ids"))
    ]
    own = np.empty((sides[0].shape[0], len(left_ids), len(right_ids)), dtype=np.float32)
    lent = None if chosen == "overlaps" else np.empty_like(own)

    def write(rows: slice, columns: slice, roles: TileRoles) -> None:
        own[:, rows, columns] = roles.own
        if lent is not None:
            both_ways = np.add(roles.lent, roles.lent_back.transpose(0, 2, 1), dtype=np.int32)
            np.divide(both_ways, roles.unit, out=lent[:, rows, columns], dtype=np.float32)

    visit_tiles(*sides, k=k, visit=write)
    return own, lent, chosen


def chosen_method(n_kept: int, k: int, method: str | None) -> str:
    """Return the method, the best possible where it is left out, or raise `ParameterError`."""
    if method not in (None, *RESAMPLING_METHODS):
        known = ", ".join(RESAMPLING_METHODS)
        raise ParameterError(f"method must be one of {known}; got {method!r}")
    if method == "two-way" and n_kept == k:
        raise ParameterError(
            f"two-way resampling needs more neighbors of each text than the k = {k} that count, to "
            "tell which would come next",
            hint="pass all neighbors that are stored, or method='two-way, bare'.",
        )
    return method or ("two-way" if n_kept > k else "two-way, bare")


def lists_length(n_kept: int, k: int, method: str) -> int:
    """Return how many of a text's `n_kept` neighbors a method makes use of."""
    return min(n_kept, k + max(k, FEWEST_NEXT)) if method == "two-way" else k


def texts_first(
    models: Sequence[Int32[np.ndarray, "_ texts length"]],
) -> Int32[np.ndarray, "texts layers length"]:
    """Return a copy of the ids of all models' layers, one after the other, by text."""
    _, n_texts, length = models[0].shape
    by_text = np.empty((n_texts, sum(map(len, models)), length), dtype=np.int32)
    return np.concatenate([ids.transpose(1, 0, 2) for ids in models], axis=1, out=by_text)
