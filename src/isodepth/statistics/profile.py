"""How diagonal is a matrix, in which respects? A number for each, with its interval.

The paper's contrast, on the generalized diagonal minus off it, is one number for several things: a
ridge along the diagonal, bright blocks in two corners, layers that are similar to everything. The
profile tells them apart. Most of its parts are contrasts of means; three are of their own kind:

- The ridge that is left after row and column means are removed. A layer that is more similar to all
  others, whatever their depth, adds nothing to it. Corner blocks do.
- Association, by Goodman and Kruskal's gamma: of two pairs of layers drawn in proportion to their
  similarity beyond chance, how much more often do the deeper layers go together than not? 0 where every
  row has the same profile up to its brightness, whichever that is.
- Order in each third of depth, and the center over the ends (`isodepth.statistics.ridge`), which a
  ridge has throughout, and which blocks, corners and bright layers lack somewhere.

>>> profile = diagonality_profile(matrix.values, chance=0.04, n_texts=256)       # doctest: +SKIP
>>> print(profile["on_minus_off"])                                              # doctest: +SKIP
0.134

Memory: a few times that of the resampled matrices.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError
from isodepth.notebook import card, table
from isodepth.statistics.diagonal import generalized_diagonal
from isodepth.statistics.estimates import Estimate, resampled_estimate
from isodepth.statistics.resampling import RESAMPLING_METHODS, ResampledMatrices
from isodepth.statistics.ridge import PartTest, ridge_sizes, ridge_tests
from isodepth.statistics.sections import FEWEST_LAYERS, SECTIONS, mid_depths, sections

Matrices = Float[np.ndarray, "*batch layers_left layers_right"]
Numbers = Float[np.ndarray, "*batch"]

PROFILE = {
    "mean": "mean similarity of all layer pairs",
    "on_mean": "mean on the generalized diagonal",
    "off_mean": "mean off it",
    "on_minus_off": "mean on the generalized diagonal minus the mean off it (the paper's contrast)",
    "on_minus_anti": "mean on the generalized diagonal minus the mean on its mirror image, the "
    "anti-diagonal",
    "centered_ridge": "on minus off after row and column means are removed",
    "rank_agreement_left": "Spearman's correlation of left layers with their most similar right ones",
    "rank_agreement_right": "Spearman's correlation of right layers with their most similar left ones",
    "depth_deviation": "mean distance in depth between a layer and its most similar one, both ways",
    "sharpness": "share of the similarity beyond chance that is lost a quarter of the depth off the "
    "proportional diagonal",
    "association": "Goodman and Kruskal's gamma of the similarity beyond chance",
    "order_early": "by how much preferences turn over within the first third of depth, at the best "
    "place near proportional depth",
    "order_middle": "the same within the middle third",
    "order_late": "the same within the last third",
    "ridge_early": "on minus off within the first third of depth",
    "ridge_middle": "on minus off within the middle third",
    "ridge_late": "on minus off within the last third",
    "center_over_right_first": "similarity of the centers minus that of the left center to the right "
    "model's first fifth",
    "center_over_right_last": "the same against the right model's last fifth",
    "center_over_left_first": "similarity of the centers minus that of the right center to the left "
    "model's first fifth",
    "center_over_left_last": "the same against the left model's last fifth",
    "weakest_part": "the smallest of the seven parts of a ridge, order and center, as a share of the "
    "mean similarity beyond chance",
}
"""The parts of a profile, and what each is."""

RANGES = {
    "mean": (0.0, 1.0),
    "on_mean": (0.0, 1.0),
    "off_mean": (0.0, 1.0),
    "rank_agreement_left": (-1.0, 1.0),
    "rank_agreement_right": (-1.0, 1.0),
    "depth_deviation": (0.0, 1.0),
    "association": (-1.0, 1.0),
}
"""Where intervals end because the number cannot lie beyond."""
RIDGE = (0.5, 1e-9)  # in layers of the shorter model: every layer of the longer one has a cell
FLANK = (0.15, 0.35)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiagonalityProfile:
    """In which respects a matrix is diagonal. Made by `diagonality_profile`.

    Parameters
    ----------
    estimates : mapping of str to Estimate
        By the keys of `PROFILE`. A part that is not defined (sections of fewer than two layers) is
        missing.
    ridge : tuple of PartTest
        The parts of a ridge, each with its test; empty with fewer than six layers on a side.
    """

    estimates: Mapping[str, Estimate]
    ridge: tuple[PartTest, ...]

    def __getitem__(self, name: str) -> Estimate:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __contains__(self, name: object) -> bool:
        return name in self.estimates

    def __repr__(self) -> str:
        return (
            f"DiagonalityProfile({', '.join(f'{name} {one}' for name, one in self.estimates.items())})"
        )

    def _repr_html_(self) -> str:
        rows = [(name, str(one), PROFILE[name]) for name, one in self.estimates.items()]
        return card(
            "DiagonalityProfile",
            tables_html=[table(rows, header=("part", "estimate", "what it is"))],
            notes=sorted({one.method for one in self.estimates.values()}),
        )


def diagonality_profile(
    values: AffinityValues,
    *,
    chance: float = 0.0,
    n_texts: int,
    resampled: ResampledMatrices | None = None,
    level: float = 0.95,
) -> DiagonalityProfile:
    """Return in which respects a matrix is diagonal.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix.
    chance : float
        The similarity of unrelated layers, which similarity "beyond chance" starts from.
    n_texts : int
        Texts that it was measured on.
    resampled : ResampledMatrices, optional
        The same matrix under resampled texts; without it there are no intervals.
    level : float
        How often the intervals shall hold the truth. They are normal, around the estimate, by the
        standard deviation of the resamples: those of most similar layers are noisier than the estimate,
        and their percentiles would miss it.

    Raises
    ------
    ParameterError
        If values are not finite, shapes differ, or the level is not between 0 and 1.

    References
    ----------
    On minus off: Wolfram & Schein 2025, section 4.1. Gamma: Goodman & Kruskal 1954. The rest is ours.
    """
    if not np.isfinite(values).all():
        raise ParameterError("values must be finite; the matrix holds NaN or infinity")
    if not 0 < level < 1:
        raise ParameterError(f"the level must lie between 0 and 1; got {level}")
    if resampled is not None and (resampled.observed.shape, resampled.n_texts) != (
        values.shape,
        n_texts,
    ):
        raise ParameterError(
            f"the resampled matrices have {resampled.observed.shape} layers and {resampled.n_texts:,} "
            f"texts; expected {values.shape} and {n_texts:,}"
        )
    observed = profile_values(values, chance=chance)
    ridge: tuple[PartTest, ...] = ()
    if min(values.shape) >= FEWEST_LAYERS:
        ridge = ridge_tests(values, chance=chance, resampled=resampled, level=level)
    if resampled is None:
        alone = {name: Estimate(value=float(value), n=n_texts) for name, value in observed.items()}
        return DiagonalityProfile(estimates=alone, ridge=ridge)
    spread = profile_values(resampled.values, chance=chance)
    estimates = {
        name: resampled_estimate(
            float(value),
            spread[name],
            level=level,
            n_texts=n_texts,
            within=RANGES.get(name, (-math.inf, math.inf)),
            how=RESAMPLING_METHODS[resampled.method],
        )
        for name, value in observed.items()
    }
    return DiagonalityProfile(estimates=estimates, ridge=ridge)


def profile_values(values: Matrices, *, chance: float) -> dict[str, Numbers]:
    """Return the parts of the profile of one matrix, or of many of one shape, as far as defined.

    Parameters
    ----------
    values : float array (..., layers_left, layers_right)
        Matrices.
    chance : float
        See `diagonality_profile`.
    """
    batch, (n_left, n_right) = values.shape[:-2], values.shape[-2:]
    values = values.reshape(-1, n_left, n_right)  # means of one matrix alone would be no arrays
    on = generalized_diagonal(n_left, n_right)
    found: dict[str, np.ndarray] = {"mean": values.mean(axis=(-2, -1))}
    if not on.all():
        found["on_mean"], found["off_mean"] = values[..., on].mean(-1), values[..., ~on].mean(-1)
        found["on_minus_off"] = found["on_mean"] - found["off_mean"]
        anti = on[:, ::-1]
        found["on_minus_anti"] = _contrast(values, on, anti)
        found["centered_ridge"] = _contrast(_centered(values), on, ~on)
    if min(n_left, n_right) > 1:
        to_right, to_left = values.argmax(axis=-1), values.argmax(axis=-2)
        found["rank_agreement_left"] = _rank_agreement(to_right)
        found["rank_agreement_right"] = _rank_agreement(to_left)
        left, right = mid_depths(n_left), mid_depths(n_right)
        found["depth_deviation"] = (
            np.abs(right[to_right] - left).mean(axis=-1) + np.abs(left[to_left] - right).mean(axis=-1)
        ) / 2
        distances = np.abs(left[:, np.newaxis] - right)
        ridge = distances <= RIDGE[0] / min(n_left, n_right) + RIDGE[1]
        flank = (distances >= FLANK[0]) & (distances <= FLANK[1]) & ~ridge
        if flank.any():
            beyond = values[..., ridge].mean(axis=-1) - chance
            with np.errstate(divide="ignore", invalid="ignore"):
                lost = _contrast(values, ridge, flank) / beyond
            found["sharpness"] = np.nan_to_num(lost, nan=0.0, posinf=0.0, neginf=0.0)
        found["association"] = _association(values - chance)
    if min(n_left, n_right) >= FEWEST_LAYERS:
        for name, rows, columns in zip(SECTIONS, sections(n_left), sections(n_right), strict=True):
            part = values[..., rows, columns]
            inside = generalized_diagonal(*part.shape[-2:])
            if not inside.all():
                found[f"ridge_{name}"] = _contrast(part, inside, ~inside)
        parts = ridge_sizes(values)
        found |= parts
        beyond = found["mean"] - chance
        found["weakest_part"] = np.min(list(parts.values()), axis=0) / np.where(beyond > 0, beyond, 1)
    return {name: found[name].reshape(batch) for name in PROFILE if name in found}


def _contrast(values: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the mean over some cells minus the mean over others."""
    difference: np.ndarray = values[..., one].mean(axis=-1) - values[..., other].mean(axis=-1)
    return difference


def _centered(values: np.ndarray) -> np.ndarray:
    """Return values without row and column means."""
    rows = values.mean(axis=-1, keepdims=True)
    columns = values.mean(axis=-2, keepdims=True)
    centered: np.ndarray = values - rows - columns + values.mean(axis=(-2, -1), keepdims=True)
    return centered


def _rank_agreement(matches: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of layers with their matches; 0 where all have the same match."""
    n_layers = matches.shape[-1]
    ranks = scipy.stats.rankdata(matches, axis=-1) - (n_layers + 1) / 2
    places = np.arange(n_layers) - (n_layers - 1) / 2
    scale = np.sqrt((ranks**2).sum(axis=-1) * (places**2).sum())
    agreement: np.ndarray = (ranks * places).sum(axis=-1) / np.where(scale > 0, scale, 1)
    return agreement


def _association(beyond: np.ndarray) -> np.ndarray:
    """Return Goodman and Kruskal's gamma of tables (..., rows, columns), in [-1, 1].

    Cells below zero (less similar than chance) count as they are, so that noise cancels. 0 where
    nothing is left: then there is nothing to be associated.
    """
    concordant = (beyond[..., :-1, :-1] * _below_and_right(beyond)).sum(axis=(-2, -1))
    mirrored = beyond[..., ::-1]
    discordant = (mirrored[..., :-1, :-1] * _below_and_right(mirrored)).sum(axis=(-2, -1))
    total = concordant + discordant
    gamma = (concordant - discordant) / np.where(total > 0, total, np.inf)
    clipped: np.ndarray = np.clip(gamma, -1, 1)
    return clipped


def _below_and_right(tables: np.ndarray) -> np.ndarray:
    """Return for each cell but the last ones the sum of all cells with larger row and column."""
    flipped = tables[..., :0:-1, :0:-1]
    sums: np.ndarray = flipped.cumsum(axis=-1).cumsum(axis=-2)[..., ::-1, ::-1]
    return sums
