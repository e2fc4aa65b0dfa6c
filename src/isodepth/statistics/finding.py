"""What was found, in one sentence that claims no more than the numbers carry.

Three things are asked in turn: Is anything shared (is the highest similarity beyond chance, with room
for the null model's known narrowness)? Is it higher at corresponding depths (the paper's contrast)? Do
most similar layers rise with depth (which corner blocks do not)?
"""

import math
from dataclasses import dataclass

from isodepth.axes import AffinityValues
from isodepth.statistics.diagonal import DiagonalTest
from isodepth.statistics.matching import FEWEST_LAYERS, LayerMatches
from isodepth.statistics.null import null_model

NULL_WIDENING = 2.3
"""How much wider than the hypergeometric null the permutation null was, on graphs with hubs."""
SIGNIFICANCE = 0.001
"""For chance (over all cells) and for the contrast; far from the doubtful region of either."""
RISING = 0.9
"""Rank correlation, in both directions, from which matches are said to rise with depth.

Two equal corner blocks without a ridge reach sqrt(3) / 2 = 0.866. On the published matrices all 276
pairs pass on web text and 170 on random strings: this tells blocks from a ridge only in clear cases.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A verdict and the sentence that states it.

    Parameters
    ----------
    verdict : str
        "not shared", "shared, not depth-matched", "on the diagonal, not in order",
        "depth-matched", or "undecided" (too few layers or too large a k).
    sentence : str
        For people; has the numbers in it.
    """

    verdict: str
    sentence: str


def finding(
    values: AffinityValues,
    *,
    n_texts: int,
    k: int,
    test: DiagonalTest | None,
    matches: LayerMatches,
) -> Finding:
    """Return what an affinity matrix of mutual k-NN shows.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        The matrix.
    n_texts, k : int
        Texts, and neighbors per text.
    test : DiagonalTest or None
        Its contrast; None where a model has one layer.
    matches : LayerMatches
        Its most similar layers.
    """
    if k == n_texts - 1:
        return Finding(
            verdict="undecided",
            sentence=f"With k = {k} neighbors of {n_texts} texts every text is a neighbor of every "
            "other, so nothing can be told.",
        )
    null = null_model(n_texts, k)
    best = float(values.max())
    # a null that is NULL_WIDENING times as wide is exceeded as often as this nearer value
    nearer = null.mean + (best - null.mean) / NULL_WIDENING
    chance_log10 = null.log10_sf(nearer) + math.log10(values.size)
    shared = chance_log10 < math.log10(SIGNIFICANCE)
    chance = f"chance is {null.mean:.3f}"
    if not shared:
        return Finding(
            verdict="not shared",
            sentence=f"No layers share neighbors beyond chance: the highest similarity is {best:.3f}, "
            f"{chance}.",
        )
    if test is None:
        return Finding(
            verdict="undecided",
            sentence=f"Layers share neighbors beyond chance (up to {best:.3f}; {chance}), but with "
            "one layer on a side there is no depth to compare.",
        )
    contrast = (
        f"mean similarity {test.on_mean:.3f} on the generalized diagonal, {test.off_mean:.3f} off it "
        f"({chance})"
    )
    if not (test.difference > 0 and test.p_value < SIGNIFICANCE):
        return Finding(
            verdict="shared, not depth-matched",
            sentence="Layers share neighbors beyond chance, but not more at corresponding depths: "
            f"{contrast}.",
        )
    if min(values.shape) < FEWEST_LAYERS:
        return Finding(
            verdict="undecided",
            sentence=f"Similarity is higher on the generalized diagonal than off it, but fewer than "
            f"{FEWEST_LAYERS} layers are too few to tell whether it follows depth: {contrast}.",
        )
    correlations = (matches.left_rank_correlation, matches.right_rank_correlation)
    shown = " and ".join("undefined" if r is None else f"{r:.2f}" for r in correlations)
    rise = f"rank correlation of most similar layers with depth {shown}, left to right and back"
    if all(r is not None and r >= RISING for r in correlations):
        return Finding(
            verdict="depth-matched",
            sentence="On average, layers at corresponding depths are more similar than others, and "
            f"most similar layers rise with depth: {contrast}; {rise}.",
        )
    return Finding(
        verdict="on the diagonal, not in order",
        sentence="Similarity is higher on the generalized diagonal than off it, but most similar "
        "layers do not rise with depth throughout, so blocks rather than a ridge may be the cause: "
        f"{contrast}; {rise}.",
    )
