"""Which models are alike? The tree of a zoo of models, and the order in which to show them.

Models are merged step by step, the two nearest groups first. Model distances are no metric
(`isodepth.statistics.distances`), so only linkages that need none are offered. Any distances give a
tree: whether it says something is told by the support of its groups under resampled texts and by its
cophenetic correlation.

>>> tree = cluster_models(model_distances(matrices))                            # doctest: +SKIP
>>> for line in tree.lines(): print(line)                                       # doctest: +SKIP

Memory: 8 bytes for each three models at most (0.1 MB for 24, 8 MB for 100), and for each resample its
groups.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from isodepth.errors import ParameterError, listed
from isodepth.statistics.distances import ModelDistances, PairwiseDistances, refuse_no_distances

LINKAGES: dict[str, str] = {
    "average": "the mean distance between the members (UPGMA)",
    "weighted": "the mean of the two merged groups' distances (WPGMA)",
    "complete": "the largest distance between members",
    "single": "the smallest distance between members",
}
"""How far apart two groups are. Those that suppose Euclidean distances (Ward's, centroid, median) are
left out: these are none."""

_PLAIN = re.compile(r"[A-Za-z0-9.+/\-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clade:
    """The models below one merge of a tree.

    Parameters
    ----------
    models : tuple of str
        In the order of the tree's leaves.
    height : float
        The distance at which the two parts merge.
    support : float or None
        The share of resampled trees that have exactly these models as a group; None without resamples.
    """

    models: tuple[str, ...]
    height: float
    support: float | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelTree:
    """A tree of models by agglomerative clustering. Make one with `cluster_models`.

    Parameters
    ----------
    models : tuple of str
        In the order of the distances.
    order : tuple of str
        In the order of the leaves, so that like models stand side by side: for an array of figures.
    linkage : float64 array (models - 1, 4)
        As SciPy writes it: the two groups merged, the height, the number of members.
    method : str
        A key of `LINKAGES`.
    clades : tuple of Clade
        One a merge, from the lowest to the highest; the last holds all models.
    cophenetic_correlation : float or None
        Pearson's correlation of the heights at which two models meet with their distances: how well a
        tree can show these distances at all. None for fewer than 3 models or equal distances.
    """

    models: tuple[str, ...]
    order: tuple[str, ...]
    linkage: Float64[np.ndarray, "merges 4"]
    method: str
    clades: tuple[Clade, ...]
    cophenetic_correlation: float | None

    def groups(
        self, n: int | None = None, *, height: float | None = None
    ) -> tuple[tuple[str, ...], ...]:
        """Return the models in groups, in the order of the leaves.

        Parameters
        ----------
        n : int, optional
            How many groups, from 1 to the number of models.
        height : float, optional
            Instead: groups are what has merged at this distance or below.

        Raises
        ------
        ParameterError
            If not exactly one of the two is given, or n is out of range.
        """
        if (n is None) == (height is None):
            raise ParameterError(f"groups: give either n or height; got n = {n}, height = {height}")
        if n is not None and not 1 <= n <= len(self.models):
            raise ParameterError(f"groups: n must be from 1 to {len(self.models)}, the models; got {n}")
        group_of: dict[str, tuple[str, ...]] = {model: (model,) for model in self.order}
        n_merges = sum(clade.height <= height for clade in self.clades) if height is not None else 0
        if n is not None:
            n_merges = len(self.models) - n
        for clade in self.clades[:n_merges]:
            group_of |= dict.fromkeys(clade.models, clade.models)
        return tuple(dict.fromkeys(group_of[model] for model in self.order))

    def newick(self) -> str:
        """Return the tree in Newick's format, for any tree viewer.

        The way between two leaves is as long as the height at which they meet, so that a branch is half
        the difference of two heights. Where there is support, it labels the inner nodes. Names with
        anything but letters, digits and ``. + / -`` are quoted, quotes in them doubled.

        References
        ----------
        Olsen 1990, "Newick's 8:45 tree format standard".
        """
        texts = [_quoted(model) for model in self.models]
        heights = [0.0] * len(self.models)
        for (first, second, height, _), clade in zip(self.linkage, self.clades, strict=True):
            parts = [
                f"{texts[part]}:{(height - heights[part]) / 2:.10g}"
                for part in (int(first), int(second))
            ]
            support = "" if clade.support is None else f"{clade.support:.4g}"
            texts.append(f"({','.join(parts)}){support}")
            heights.append(float(height))
        return f"{texts[-1]};"

    def lines(self, width: int = 100) -> list[str]:
        """Return a drawing in plain characters: a line for each model, then the scale.

        Parameters
        ----------
        width : int
            Characters a line, at least 20 more than the longest name. Merges that lie closer than a
            character look like one.

        Raises
        ------
        ParameterError
            If that is too narrow.
        """
        names = max(map(len, self.order))
        if width < names + 20:
            raise ParameterError(
                f"a drawing of these models needs at least {names + 20} characters a line; got {width}"
            )
        room = width - names - 1
        top = self.clades[-1].height if self.clades else 0.0
        canvas = np.full((len(self.order), room), " ")
        rows = [float(self.order.index(model)) for model in self.models]
        columns = [0] * len(self.models)
        for first, second, height, _ in self.linkage:
            column = round(height / top * (room - 1)) if top > 0 else room - 1
            parts = (int(first), int(second))
            ends = sorted(int(rows[part]) for part in parts)
            for part in parts:
                canvas[int(rows[part]), columns[part] : column][
                    canvas[int(rows[part]), columns[part] : column] == " "
                ] = "-"
            canvas[ends[0] : ends[1] + 1, column] = "|"
            canvas[ends, column] = "+"
            rows.append(sum(rows[part] for part in parts) / 2)
            columns.append(column)
        drawn = [
            f"{model:<{names}} {''.join(line)}" for model, line in zip(self.order, canvas, strict=True)
        ]
        return [line.rstrip() for line in drawn] + [f"{'':<{names}} 0{top:>{room - 1}.3g}"]


def cluster_models(
    distances: ModelDistances,
    *,
    method: str = "average",
    resampled: Float[np.ndarray, "resamples models models"] | None = None,
) -> ModelTree:
    """Return the tree of models that merges the nearest ones first.

    Parameters
    ----------
    distances : ModelDistances
        At least one model.
    method : {"average", "weighted", "complete", "single"}
        How far apart two groups are; see `LINKAGES`.
    resampled : float array (resamples, models, models), optional
        The distances under resampled texts. Each gives a tree, and the share of these that have a group
        is its support.

    Raises
    ------
    ParameterError
        If the method is unknown, or the resampled distances are none of these models.

    References
    ----------
    SciPy's linkage. Leaves in the order of Bar-Joseph et al. 2001 ("Fast optimal leaf ordering for
    hierarchical clustering", Bioinformatics 17): of all orders that keep the groups together, the one
    with the least total distance between neighbors. SciPy's own ``optimal_ordering`` is not used: it
    misses the optimum in every second tree of 7 models (scipy/scipy issue 11227; so it does in 1.17).
    Support as Felsenstein 1985 has it, of resampled texts: how often a group comes back, no probability
    that it is true. Not in the paper.
    """
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    if method not in LINKAGES:
        raise ParameterError(
            f"method must be one of {listed(list(LINKAGES))}; got {method!r}",
            hint="Ward's, centroid and median linkage suppose Euclidean distances; these are none.",
        )
    n_models = len(distances.models)
    if resampled is not None:
        if resampled.shape[1:] != (n_models, n_models) or len(resampled) == 0:
            raise ParameterError(
                f"resampled must be (resamples, models, models) of the {n_models} models, at least one "
                f"resample; got {resampled.shape}"
            )
        refuse_no_distances(resampled, "resampled distances")
    if n_models == 1:
        return ModelTree(
            models=distances.models,
            order=distances.models,
            linkage=np.empty((0, 4)),
            method=method,
            clades=(),
            cophenetic_correlation=None,
        )
    condensed = squareform(distances.values)
    merges = hierarchy.linkage(condensed, method=method)
    members = _members(merges)
    leaves = _leaf_order(merges, distances.values)
    place_of = np.argsort(leaves)
    # the part that comes first stands first, so that any drawing of the linkage has this order
    places = [*place_of, *(min(place_of[leaf] for leaf in group) for group in members)]
    parts = merges[:, :2].astype(int)
    merges[:, :2] = [sorted(pair, key=places.__getitem__) for pair in parts.tolist()]
    counts = None
    if resampled is not None:
        trees = [
            set(_members(hierarchy.linkage(squareform(values), method=method))) for values in resampled
        ]
        counts = [sum(group in tree for tree in trees) for group in members]
    correlation = None
    if n_models > 2 and np.ptp(condensed) > 0 and np.ptp(merges[:, 2]) > 0:
        correlation = float(np.corrcoef(hierarchy.cophenet(merges), condensed)[0, 1])
    return ModelTree(
        models=distances.models,
        order=tuple(distances.models[leaf] for leaf in leaves),
        linkage=merges,
        method=method,
        clades=tuple(
            Clade(
                models=tuple(
                    distances.models[leaf] for leaf in sorted(group, key=place_of.__getitem__)
                ),
                height=float(merges[merge, 2]),
                support=None if counts is None or resampled is None else counts[merge] / len(resampled),
            )
            for merge, group in enumerate(members)
        ),
        cophenetic_correlation=correlation,
    )


def _members(merges: np.ndarray) -> list[frozenset[int]]:
    """Return the leaves below each merge."""
    groups = [frozenset([leaf]) for leaf in range(len(merges) + 1)]
    for first, second, *_ in merges:
        groups.append(groups[int(first)] | groups[int(second)])
    return groups[len(merges) + 1 :]


def _leaf_order(merges: np.ndarray, distances: PairwiseDistances) -> list[int]:
    """Return the leaves in the order in which neighbors are nearest, the groups kept together."""
    leaves = [[leaf] for leaf in range(len(distances))]
    # of each group, from each leaf at its left end to each at its right end: the shortest way
    ways = [np.zeros((1, 1)) for _ in leaves]
    for first, second, *_ in merges:
        a, b = int(first), int(second)
        to_second = (ways[a][:, :, np.newaxis] + distances[np.ix_(leaves[a], leaves[b])]).min(axis=1)
        across = (to_second[:, :, np.newaxis] + ways[b]).min(axis=1)
        leaves.append(leaves[a] + leaves[b])
        apart = [np.full((len(part), len(part)), np.inf) for part in (leaves[a], leaves[b])]
        ways.append(np.block([[apart[0], across], [across.T, apart[1]]]))

    def ordered(group: int, left: int, right: int) -> list[int]:
        """Return a group's leaves in the shortest order between two ends, places in the group."""
        if group < len(distances):
            return [group]
        a, b = (int(part) for part in merges[group - len(distances), :2])
        if left >= len(leaves[a]):
            return ordered(group, right, left)[::-1]
        right -= len(leaves[a])
        totals = ways[a][left][:, np.newaxis] + distances[np.ix_(leaves[a], leaves[b])] + ways[b][right]
        inner = np.unravel_index(totals.argmin(), totals.shape)
        return ordered(a, left, int(inner[0])) + ordered(b, int(inner[1]), right)

    ends = np.unravel_index(ways[-1].argmin(), ways[-1].shape)
    return ordered(len(leaves) - 1, int(ends[0]), int(ends[1]))


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else "'" + name.replace("'", "''") + "'"
