"""What do all pairs of models of a text set support, together?

Relabellings and resamples are the same for all pairs: one pass over the texts a relabelling serves all
of them, and the resampled distances of models belong together.

Memory: one pair's resampled matrices; of each pair its statistics, some 100 bytes a layer pair.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import CHANCE_KNOWN, measure_here
from isodepth.assessment.options import AssessmentOptions
from isodepth.assessment.pair import (
    PairAssessment,
    assessment,
    refuse_other_neighbors,
    resample,
)
from isodepth.errors import ParameterError
from isodepth.neighbors import Neighbors
from isodepth.progress import Progress, no_progress
from isodepth.results import MatrixKind
from isodepth.statistics import (
    CORRECTIONS,
    FEWEST_MODELS,
    PROFILE,
    TEST_METHODS,
    FamilywiseTest,
    ModelDistances,
    ModelTree,
    UnitSquareMean,
    ZooTest,
    adjust_p_values,
    cluster_models,
    familywise_tests,
    mean_on_unit_square,
    model_distances,
    resampled_distances,
    zoo_test,
)
from isodepth.texts import Pairing

ZOO_PARTS = tuple(
    part
    for part in PROFILE
    # of an unordered pair it is chance who is left; a distance above 0 is no finding
    if "left" not in part and "right" not in part and not part.endswith(("mean", "deviation"))
)
"""Parts of the profile whose mean over pairs of models is tested."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSetAssessment:
    """All statistics of one text set's matrices of one kind. Made by `assess_text_set`.

    Parameters
    ----------
    name : str
        The text set's name.
    kind : MatrixKind
        Measure, k, capture, pooling.
    matrices : AffinityMatrices
        The similarities.
    pairs : tuple of PairAssessment
        One a pair of models, in the order of ``matrices.pairs()``.
    adjusted : mapping of (str, str) to float64 array (pairs,)
        By method of `TEST_METHODS` and correction of `CORRECTIONS`: the p-values of the paper's
        contrast, corrected over the pairs of models. NaN for pairs with a model of one layer.
    zoo : mapping of str to ZooTest
        By `ZOO_PARTS`: the mean over pairs, with models as the units. Empty with too few.
    mean_square : UnitSquareMean or None
        The mean matrix on a unit square; None where there is no pair.
    distances : ModelDistances or None
        Between whole models. None unless all read the same texts.
    tree : ModelTree or None
        The models clustered by these.
    notes : tuple of str
        What to mind.
    """

    name: str
    kind: MatrixKind
    matrices: AffinityMatrices
    pairs: tuple[PairAssessment, ...]
    adjusted: Mapping[tuple[str, str], Float64[np.ndarray, " pairs"]]
    zoo: Mapping[str, ZooTest]
    mean_square: UnitSquareMean | None
    distances: ModelDistances | None
    tree: ModelTree | None
    notes: tuple[str, ...] = ()

    @property
    def is_from_texts(self) -> bool:
        """Whether texts were permuted and resampled; else all is told from the matrices alone."""
        return any(pair.familywise is not None for pair in self.pairs)

    def __repr__(self) -> str:
        return f"TextSetAssessment({self.name!r}, {self.kind}: {len(self.pairs)} pairs of models)"

    def _repr_html_(self) -> str:
        from isodepth.assessment.shown import text_set_html

        return text_set_html(self)


def assess_text_set(
    name: str,
    kind: MatrixKind,
    matrices: AffinityMatrices,
    *,
    left: Sequence[Neighbors] | None = None,
    right: Sequence[Neighbors] | None = None,
    groups: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    options: AssessmentOptions | None = None,
    progress: Progress = no_progress,
) -> TextSetAssessment:
    """Return all statistics of a text set's matrices of one kind.

    Parameters
    ----------
    name, kind
        What they are of.
    matrices : AffinityMatrices
        The similarities.
    left, right : sequences of Neighbors, optional
        Those that they were made from, in the order of the labels; `right` only where the right models
        read other texts. Without them the matrices are assessed alone.
    groups : mapping of str to str, optional
        Families of models by label: whole ones are left out in tests over the zoo. Labels that are not
        named are groups of their own.
    notes : sequence of str
        What to mind, from elsewhere.
    options : AssessmentOptions, optional
        How much is permuted and resampled.
    progress : Progress
        Told of relabellings and of pairs of models.

    Raises
    ------
    DigestMismatchError, ParameterError
        If the neighbors are not those of the matrices.
    """
    chosen = options or AssessmentOptions()
    with_neighbors = left is not None and matrices.measure == CHANCE_KNOWN and matrices.n_pairs > 0
    tests: list[tuple[FamilywiseTest, FamilywiseTest]] = []
    if left is not None and with_neighbors:
        _refuse_others(matrices, left, right)
        found = familywise_tests(
            left,
            right=right,
            k=matrices.k,
            pairing=_pairing(matrices),
            n_permutations=chosen.n_permutations,
            seed=chosen.seed,
            progress=lambda label, *amounts: progress(f"{label} of {name}", *amounts),
        )
        tests = list(zip(found.pairs, found.over_all(), strict=True))
    pairs: list[PairAssessment] = []

    def assessed() -> Iterator[np.ndarray]:
        """Assess one pair after the other; yield each one's resampled matrices while they are there."""
        label = f"assessing {name}"
        by_label = [dict(zip(matrices.left, left or (), strict=False))]
        by_label.append(dict(zip(matrices.right, right, strict=False)) if right else by_label[0])
        for place, matrix in enumerate(matrices.pairs()):
            progress(label, place, matrices.n_pairs, "pairs of models")
            familywise, over_all, resampled = None, None, None
            if tests:
                familywise, over_all = tests[place]
                resampled = resample(
                    matrix, by_label[0][matrix.left], by_label[1][matrix.right], chosen
                )
            pairs.append(
                assessment(
                    matrix,
                    familywise=familywise,
                    over_all=over_all,
                    resampled=resampled,
                    options=chosen,
                )
            )
            if resampled is not None:
                # noise may lift what is nearly identical above 1
                yield np.minimum(resampled.values, 1)
        progress(label, matrices.n_pairs, matrices.n_pairs, "pairs of models")

    spread = None
    has_distances = (
        matrices.is_symmetric
        and len(matrices.left) > 1
        and matrices.measure == CHANCE_KNOWN
        and matrices.chance is not None
        and matrices.chance < 1  # else every text is a neighbor of every other
    )
    if has_distances and with_neighbors:
        spread = resampled_distances(assessed(), matrices)
    else:
        for _ in assessed():
            pass
    distances = model_distances(matrices) if has_distances else None
    said = list(notes)
    zoo = _zoo(matrices, pairs, groups, chosen, said)
    return TextSetAssessment(
        name=name,
        kind=kind,
        matrices=matrices,
        pairs=tuple(pairs),
        adjusted=_adjusted(pairs),
        zoo=zoo,
        mean_square=_mean_square(matrices, pairs) if pairs else None,
        distances=distances,
        tree=None if distances is None else cluster_models(distances, resampled=spread),
        notes=tuple(said),
    )


def _mean_square(matrices: AffinityMatrices, pairs: Sequence[PairAssessment]) -> UnitSquareMean:
    """Return the mean matrix; models are exchanged unless the measure tells left from right."""
    measure = measure_here(matrices.measure)
    is_directed = measure is not None and not measure.is_symmetric
    if matrices.is_symmetric:
        is_directed = not matrices.is_mirrored
    return mean_on_unit_square([pair.matrix.values for pair in pairs], both_orders=not is_directed)


def _pairing(matrices: AffinityMatrices) -> Pairing | None:
    if matrices.right_texts_digest is None or matrices.texts_digest is None:
        return None
    return Pairing(left=matrices.texts_digest, right=matrices.right_texts_digest)


def _refuse_others(
    matrices: AffinityMatrices, left: Sequence[Neighbors], right: Sequence[Neighbors] | None
) -> None:
    """Raise an error unless neighbors are those of the matrices, as far as one can tell."""
    columns = left if right is None else right
    labels = [one.model for one in left], [one.model for one in columns]
    expected = list(matrices.left), list(matrices.right)
    if labels != expected or (right is None) != matrices.is_symmetric:
        raise ParameterError(
            f"the neighbors are of {labels[0]} and {labels[1]}; the matrices are of {expected[0]} and "
            f"{expected[1]}"
        )
    places = {label: place for place, label in enumerate(matrices.left)}
    for matrix in matrices.pairs():
        other = columns[matrices.right.index(matrix.right)]
        refuse_other_neighbors(matrix, left[places[matrix.left]], other)


def _adjusted(pairs: Sequence[PairAssessment]) -> dict[tuple[str, str], np.ndarray]:
    """Return corrected p-values by method and correction."""
    tested = [place for place, pair in enumerate(pairs) if pair.tests]
    found = {}
    for method in TEST_METHODS:
        p_values = np.array([pairs[place].tests[method].p_value for place in tested])
        for correction in CORRECTIONS:
            adjusted = np.full(len(pairs), np.nan)
            if tested:
                adjusted[tested] = adjust_p_values(p_values, correction)
            found[method, correction] = adjusted
    return found


def _zoo(
    matrices: AffinityMatrices,
    pairs: Sequence[PairAssessment],
    groups: Mapping[str, str] | None,
    options: AssessmentOptions,
    notes: list[str],
) -> dict[str, ZooTest]:
    """Return the tests over the zoo by part of the profile; say in `notes` why there are none."""
    labels = list(matrices.left)
    if set(labels) != set(matrices.right):
        notes.append("left and right models are not the same, so there is no test over the zoo")
        return {}
    families = None
    if groups is not None:
        families = [groups.get(label, label) for label in labels]
    n_units = len(set(families or labels))
    if n_units < FEWEST_MODELS:
        one, many = ("model", "models") if families is None else ("group of models", "groups of models")
        notes.append(
            f"{n_units} {one if n_units == 1 else many}: a test over the zoo needs {FEWEST_MODELS}"
        )
        return {}
    places = {label: place for place, label in enumerate(labels)}
    found = {}
    for part in ZOO_PARTS:
        sums, counts = np.zeros((len(labels),) * 2), np.zeros((len(labels),) * 2)
        for pair in pairs:
            if part in pair.profile:
                i, j = places[pair.matrix.left], places[pair.matrix.right]
                # of parallel texts and of directed measures, a pair is there in both orders
                for cell in ((i, j), (j, i)):
                    sums[cell] += pair.profile[part].value
                    counts[cell] += 1
        np.fill_diagonal(counts, 0)
        values = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        if not np.isnan(values[~np.eye(len(labels), dtype=bool)]).any():
            found[part] = zoo_test(values, labels=labels, groups=families, level=options.level)
    return found
