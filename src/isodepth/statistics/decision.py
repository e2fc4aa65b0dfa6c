"""Is similarity shared at all, and is it matched by depth? A decision between three answers, or none.

Two questions, each with its own error rate:

1. *Shared?* Is the most similar pair of layers beyond chance, all pairs of layers considered? By random
   relabelling of the texts (`isodepth.statistics.familywise`).
2. *Depth-matched?* Is there a ridge along the whole of depth? The claim has seven parts
   (`isodepth.statistics.ridge`), and each must hold by itself: order within the early, the middle and
   the late third, and the center of each model more similar to the center of the other than to its
   first and to its last fifth. As all are required, testing each at 5 % wrongly claims a ridge in at
   most 5 % (an intersection-union test), whatever the others are.

Without a ridge at least one part fails: two or three blocks leave one third without order, and so do
layers that are bright against all others; bright corners, which is what random strings look like, leave
the center less similar to the center than to an end. Four or more blocks in order count as a ridge, and
so do three whose bounds lie elsewhere in the other model: that is how fine the answer is.

A part that is not shown is not thereby absent. "Not depth-matched" is said where some part is shown to
be smaller than a ridge worth the name has (`isodepth.statistics.ridge.NEGLIGIBLE`); where neither can
be shown, with few texts or weak similarity, the answer is "undecided". A part that is shown to be both
there and smaller than that does not make a ridge.

>>> decision = decide(matrix.values, n_texts=256, k=10, profile=profile)        # doctest: +SKIP
>>> decision.verdict                                                            # doctest: +SKIP
'depth-matched'

Where it cannot decide: with fewer than six layers on a side; where most similar layers depart from
proportional depth so far that the center of one model matches an end of the other (a depth map can
tell); and from a matrix alone, without its neighbors, only by the estimates, which say nothing of their
error: then every part must exceed what is negligible, and one of them in between is "undecided".
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError
from isodepth.notebook import card, table
from isodepth.statistics.null import null_model
from isodepth.statistics.profile import DiagonalityProfile
from isodepth.statistics.ridge import RIDGE_PARTS, PartTest
from isodepth.statistics.sections import FEWEST_LAYERS

if TYPE_CHECKING:
    from isodepth.statistics.familywise import FamilywiseTest

VERDICTS = {
    "depth-matched": "layers share neighbors beyond chance, along a ridge through the whole of depth",
    "shared, not depth-matched": "layers share neighbors beyond chance, but somewhere in depth there "
    "is no ridge",
    "not shared": "no two layers share neighbors beyond chance",
    "undecided": "the numbers do not carry an answer",
}
NULL_WIDENING = 5.0
"""How much wider than the paper's null real ones are at most: 2.3 at k = 10, 4.9 at k = 50."""
LEAST_P = 0.001
"""What a p-value from a matrix alone is shown as at least: far out, the null is not that well known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a matrix shows, and by which numbers. Made by `decide`.

    Parameters
    ----------
    verdict : str
        A key of `VERDICTS`.
    sentence : str
        For people; has the numbers in it.
    p_shared : float or None
        That no two layers share neighbors beyond chance, all pairs of layers considered. Of a matrix
        alone, not below 0.001, because the null is not known that well. None where nothing can be told.
    p_depth : float or None
        That there is no ridge through the whole of depth: the largest of the parts. None without
        resampled texts, or with too few layers.
    parts : tuple of PartTest
        The parts of the claim; empty with too few layers.
    alpha : float
        The error rate of each of the two questions.
    basis : str
        "texts" where texts were permuted and resampled, "matrix alone" where only estimates were looked
        at.
    """

    verdict: str
    sentence: str
    p_shared: float | None
    p_depth: float | None
    parts: tuple[PartTest, ...]
    alpha: float
    basis: str

    @property
    def weakest(self) -> PartTest | None:
        """The part that stands most against a ridge; None where one is shown, or nothing is known."""
        if self.verdict == "depth-matched" or not self.parts:
            return None
        if self.p_depth is None:
            return min(self.parts, key=lambda part: part.estimate)
        if self.verdict == "undecided":
            return max(self.parts, key=lambda part: part.p_value or 0.0)
        return min(self.parts, key=lambda part: (part.upper or 0.0) - part.negligible)

    def _repr_html_(self) -> str:
        rows = [
            (
                RIDGE_PARTS[part.name],
                f"{part.estimate:+.3f}",
                _number(part.p_value),
                _number(part.upper),
                _number(part.negligible),
            )
            for part in self.parts
        ]
        header = ("part of a ridge", "estimate", "p", "at most", "negligible below")
        return card(
            "Decision",
            self.verdict,
            sentence=self.sentence,
            tables_html=[table(rows, header=header)] if rows else [],
            notes=[
                f"By {'the ' if self.basis != 'texts' else ''}{self.basis}; error rate {self.alpha:g}."
            ],
        )


def decide(
    values: AffinityValues,
    *,
    n_texts: int,
    k: int,
    profile: DiagonalityProfile,
    familywise: "FamilywiseTest | None" = None,
    alpha: float = 0.05,
) -> Decision:
    """Return whether a matrix of mutual k-NN is shared, and depth-matched.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        The matrix.
    n_texts, k : int
        Texts, and neighbors per text.
    profile : DiagonalityProfile
        Its profile, with the same chance level. From resampled texts, where the neighbors are at hand;
        else a ridge is told by estimates alone.
    familywise : FamilywiseTest, optional
        The permutation test of its cells. Without it the paper's null model is used, widened by what
        hubs were seen to widen it.
    alpha : float
        The error rate of each of the two questions.

    Raises
    ------
    ParameterError
        If `alpha` is not between 0 and 0.5, or the profile is of another matrix.

    References
    ----------
    Intersection-union tests: Berger 1982. The parts are ours.
    """
    if not 0 < alpha < 0.5:
        raise ParameterError(f"alpha must lie between 0 and 0.5; got {alpha}")
    parts = profile.ridge
    has_errors = any(part.p_value is not None for part in parts)
    from_texts = any(estimate.resampled == "texts" for estimate in profile.estimates.values())
    answer = _Answer(alpha, "texts" if from_texts and familywise else "matrix alone")
    if k >= n_texts - 1:
        return answer(
            "undecided",
            f"With k = {k} neighbors of {n_texts} texts every text is a neighbor of every other, so "
            "nothing can be told.",
        )
    chance = k / (n_texts - 1)
    p_shared = _p_shared(values, n_texts, k) if familywise is None else familywise.p_value
    answer = replace(answer, p_shared=p_shared)
    shown = f"p {'<' if familywise is None and p_shared == LEAST_P else '='} {p_shared:.2g}"
    highest = (
        f"(the highest similarity is {float(values.max()):.3f}, chance {chance:.3f}; {shown} over all "
        "pairs of layers)"
    )
    if p_shared > alpha:
        return answer("not shared", f"No layers share neighbors beyond chance {highest}.")
    shared = f"Layers share neighbors beyond chance {highest}"
    if min(values.shape) < FEWEST_LAYERS:
        return answer(
            "undecided",
            f"{shared}, but {min(values.shape)} layers are too few to tell whether by depth: at least "
            f"{FEWEST_LAYERS} are needed on either side.",
        )
    if len(parts) != len(RIDGE_PARTS):
        raise ParameterError(
            f"the profile is not of this matrix of {values.shape[0]} x {values.shape[1]} layers: it "
            f"has {len(parts)} of {len(RIDGE_PARTS)} parts of a ridge",
            hint="make it with diagonality_profile() of the same values.",
        )
    contrast = f"on minus off the generalized diagonal: {profile['on_minus_off']}"
    if not has_errors:
        answer = replace(answer, parts=parts)
        by_estimates = f"by the matrix alone, whose error is not known ({contrast})"
        absent = [part for part in parts if part.estimate <= 0]
        if absent:
            return answer(
                "shared, not depth-matched",
                f"{shared}, but not by depth throughout, {by_estimates}: {_named(absent)}.",
            )
        slight = [part for part in parts if part.estimate < part.negligible]
        if slight:
            return answer(
                "undecided",
                f"{shared}; whether by depth throughout is in doubt, {by_estimates}: {_named(slight)}.",
            )
        return answer(
            "depth-matched",
            f"{shared}, and more at corresponding depths, along the whole of depth, {by_estimates}.",
        )
    p_depth = max(part.p_value for part in parts if part.p_value is not None)
    answer = replace(answer, parts=parts, p_depth=p_depth)
    absent = [part for part in parts if part.upper is not None and part.upper < part.negligible]
    if absent:
        return answer(
            "shared, not depth-matched",
            f"{shared}, but not by depth throughout: {_named(absent)} ({contrast}).",
        )
    if p_depth <= alpha:
        return answer(
            "depth-matched",
            f"{shared}, and more at corresponding depths, along the whole of depth (its weakest "
            f"part: p = {p_depth:.2g}; {contrast}).",
        )
    unseen = [part for part in parts if part.p_value is not None and part.p_value > alpha]
    return answer(
        "undecided",
        f"{shared}; whether by depth throughout, {n_texts:,} texts do not tell: {_named(unseen)} "
        f"({contrast}).",
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    """A decision in the making."""

    alpha: float
    basis: str
    p_shared: float | None = None
    p_depth: float | None = None
    parts: tuple[PartTest, ...] = ()

    def __call__(self, verdict: str, sentence: str) -> Decision:
        return Decision(
            verdict=verdict,
            sentence=sentence,
            p_shared=self.p_shared,
            p_depth=self.p_depth,
            parts=self.parts,
            alpha=self.alpha,
            basis=self.basis,
        )


def _p_shared(values: AffinityValues, n_texts: int, k: int) -> float:
    """Return a p-value over all cells: the paper's null model, widened, and Bonferroni's correction."""
    null = null_model(n_texts, k)
    # a null that is NULL_WIDENING times as wide is exceeded as often as this nearer value
    nearer = null.mean + (float(values.max()) - null.mean) / NULL_WIDENING
    log10_p = null.log10_sf(nearer) + math.log10(values.size)
    return min(1.0, max(LEAST_P, 10 ** max(log10_p, -300.0)))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _named(parts: list[PartTest]) -> str:
    """Return parts with their estimates and, where it is known, what they are below."""
    return ", ".join(
        f"{RIDGE_PARTS[part.name]} is {part.estimate:+.3f}"
        + ("" if part.upper is None else f" (at most {part.upper:+.3f})")
        for part in parts
    )
