"""What does the matrix of two models support?

Memory: that of the resampled matrices, 4 bytes x resamples x cells, and of what makes them
(`isodepth.statistics.resampling`); it is given back before the function returns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy

from isodepth.affinity import AffinityMatrix
from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.assessment.options import AssessmentOptions
from isodepth.axes import AffinityValues
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.statistics import (
    TEST_METHODS,
    Decision,
    DepthMap,
    DiagonalityProfile,
    DiagonalTest,
    FamilywiseTest,
    LayerMatches,
    ResampledMatrices,
    decide,
    depth_map,
    diagonal_test,
    diagonality_profile,
    familywise_test,
    layer_matches,
    resampled_matrices,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairAssessment:
    """All statistics of two models on one text set. Made by `assess_pair`.

    Parameters
    ----------
    matrix : AffinityMatrix
        The similarities.
    tests : mapping of str to DiagonalTest
        The paper's contrast, by the methods of `TEST_METHODS`; empty where a model has one layer.
    matches : LayerMatches
        The most similar layers.
    profile : DiagonalityProfile
        In which respects the matrix is diagonal.
    familywise : FamilywiseTest or None
        Which layer pairs are beyond chance, with the mean and sd of each under relabelled texts. None
        from a matrix alone.
    over_all : FamilywiseTest or None
        The same, corrected for all pairs of models of the text set. None from a matrix alone, or where
        the pair was assessed by itself.
    standard_errors : float64 array (layers_left, layers_right) or None
        Of the similarities, under resampled texts. None from a matrix alone.
    decision : Decision or None
        Shared? Depth-matched? None for measures without a known chance level.
    depth_map : DepthMap
        Which layers correspond.
    """

    matrix: AffinityMatrix
    tests: Mapping[str, DiagonalTest]
    matches: LayerMatches
    profile: DiagonalityProfile
    familywise: FamilywiseTest | None
    over_all: FamilywiseTest | None
    standard_errors: AffinityValues | None
    decision: Decision | None
    depth_map: DepthMap

    def cell_intervals(self, level: float) -> tuple[AffinityValues | None, AffinityValues | None]:
        """Return where each similarity's normal interval begins and ends, in [0, 1], if it is known."""
        if self.standard_errors is None:
            return None, None
        reach = float(scipy.special.ndtri((1 + level) / 2)) * self.standard_errors
        values = self.matrix.values
        return np.maximum(values - reach, 0), np.minimum(values + reach, 1)

    def __repr__(self) -> str:
        verdict = "no decision" if self.decision is None else self.decision.verdict
        return f"PairAssessment({self.matrix.left!r} x {self.matrix.right!r}: {verdict})"

    def _repr_html_(self) -> str:
        from isodepth.assessment.shown import pair_html

        return pair_html(self)


def assess_pair(
    matrix: AffinityMatrix,
    *,
    left: Neighbors | None = None,
    right: Neighbors | None = None,
    options: AssessmentOptions | None = None,
) -> PairAssessment:
    """Return all statistics of two models on one text set.

    Parameters
    ----------
    matrix : AffinityMatrix
        The similarities.
    left, right : Neighbors, optional
        The neighbors that they were made from, of either model; more than k of each text, if they are
        there. Without both, the matrix is assessed alone.
    options : AssessmentOptions, optional
        How much is permuted and resampled.

    Raises
    ------
    DigestMismatchError
        If the neighbors are of other texts.
    ParameterError
        If the neighbors are not those of the matrix.
    """
    chosen = options or AssessmentOptions()
    familywise, resampled = None, None
    if left is not None and right is not None and matrix.measure == CHANCE_KNOWN:
        refuse_other_neighbors(matrix, left, right)
        familywise = familywise_test(
            left.ids,
            right.ids,
            k=matrix.k,
            n_permutations=chosen.n_permutations,
            seed=chosen.seed,
        )
        resampled = resample(matrix, left, right, chosen)
    return assessment(matrix, familywise=familywise, resampled=resampled, options=chosen)


def refuse_other_neighbors(matrix: AffinityMatrix, left: Neighbors, right: Neighbors) -> None:
    """Raise an error if neighbors are not those that a matrix was made from, as far as one can tell.

    Raises
    ------
    DigestMismatchError
        If they are of other texts.
    ParameterError
        If numbers of layers, texts or neighbors do not fit.
    """
    sides = (
        ("left", left, matrix.values.shape[0], matrix.texts_digest),
        ("right", right, matrix.values.shape[1], matrix.right_texts_digest or matrix.texts_digest),
    )
    for side, neighbors, n_layers, digest in sides:
        if None not in (digest, neighbors.texts_digest) and digest != neighbors.texts_digest:
            raise DigestMismatchError(
                f"the {side} neighbors, of {neighbors.model}, are of other texts than the matrix: "
                f"digest {neighbors.texts_digest}; expected {digest}"
            )
        found = (neighbors.n_layers, neighbors.n_texts)
        if found != (n_layers, matrix.n_texts) or neighbors.k < matrix.k:
            raise ParameterError(
                f"the {side} neighbors, of {neighbors.model}, are not those of the matrix: (layers, "
                f"texts, k) = {(*found, neighbors.k)}; expected {(n_layers, matrix.n_texts, matrix.k)} "
                "or more neighbors"
            )


def resample(
    matrix: AffinityMatrix, left: Neighbors, right: Neighbors, options: AssessmentOptions
) -> ResampledMatrices:
    """Return a matrix under resampled texts.

    Raises
    ------
    ParameterError
        If the neighbors give another matrix.
    """
    resampled = resampled_matrices(
        left.ids, right.ids, k=matrix.k, n_resamples=options.n_resamples, seed=options.seed
    )
    off = float(np.abs(resampled.observed - matrix.values).max())
    if off > 1e-9:
        raise ParameterError(
            f"the neighbors of {left.model} and {right.model} are not those that the matrix was made "
            f"from: similarities differ by up to {off:.2g}"
        )
    return resampled


def assessment(
    matrix: AffinityMatrix,
    *,
    familywise: FamilywiseTest | None,
    over_all: FamilywiseTest | None = None,
    resampled: ResampledMatrices | None,
    options: AssessmentOptions,
) -> PairAssessment:
    """Return all statistics of two models, from what was permuted and resampled before.

    Parameters
    ----------
    matrix, options
        As for `assess_pair`.
    familywise, over_all, resampled
        As for `PairAssessment`; None where there are no neighbors.
    """
    values, is_known = matrix.values, matrix.measure == CHANCE_KNOWN
    profile = diagonality_profile(
        values,
        chance=0.0 if matrix.chance is None else matrix.chance,
        n_texts=matrix.n_texts,
        resampled=resampled,
        level=options.level,
    )
    decision = None
    if is_known:
        decision = decide(
            values,
            n_texts=matrix.n_texts,
            k=matrix.k,
            profile=profile,
            familywise=familywise,
            alpha=options.alpha,
        )
    has_contrast = min(values.shape) > 1
    return PairAssessment(
        matrix=matrix,
        tests={method: diagonal_test(values, method=method) for method in TEST_METHODS}
        if has_contrast
        else {},
        matches=layer_matches(values),
        profile=profile,
        familywise=familywise,
        over_all=over_all,
        standard_errors=None if resampled is None else resampled.values.std(axis=0, dtype=np.float64),
        decision=decision,
        depth_map=depth_map(
            values,
            left=matrix.left,
            right=matrix.right,
            resampled=None if resampled is None else resampled.values,
            level=options.level,
            n_texts=matrix.n_texts,
        ),
    )
