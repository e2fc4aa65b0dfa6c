"""Is there a ridge along the whole of depth? Seven parts of one, each told from contrasts of means.

*Order*, in each third of depth. Take the first and the last layers of a third of one model, and two
windows of the other model's depth, one deeper than the other. In a ridge the shallower layers are more
similar to the shallower window and the deeper layers to the deeper one: what they prefer turns over. In
a block nothing turns over, because its layers prefer the same. Nor does it where a layer is merely more
similar to all others, by whatever power of that: this changes by how much a window is preferred, not
which. (Of brightness that goes up and down from layer to layer in no order, a mean over a window may be
turned over; all seven parts never were, in 400 such matrices.) Windows are looked for up to a sixth of
the depth off proportional, closer to each other where they meet the first or the last layers, and for
thirds of either model. The best counts, and its p-value is multiplied by the number that was looked at.

*Center over ends*: the center of each model is more similar to the center of the other than to its
first and to its last fifth. Bright first and last layers, which is what random strings look like, do
the reverse.

>>> [part.name for part in ridge_tests(np.eye(12), chance=0.0) if part.estimate <= 0]
[]

Memory: 60 times the matrix; with resamples 8 bytes a cell and resample.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float, Float64

from isodepth.axes import AffinityValues
from isodepth.statistics.resampling import ResampledMatrices
from isodepth.statistics.sections import SECTIONS, center_and_ends, depth_window

RIDGE_PARTS = {
    "order_early": "order within the first third",
    "order_middle": "order within the middle third",
    "order_late": "order within the last third",
    "center_over_right_first": "the center above the right model's first layers",
    "center_over_right_last": "the center above the right model's last layers",
    "center_over_left_first": "the center above the left model's first layers",
    "center_over_left_last": "the center above the left model's last layers",
}
"""What a ridge through the whole of depth has."""
LAYERS_WINDOW = (1 / 9, 2 / 9)
"""How much of depth the first and the last layers of a third take up, and how far they are apart."""
OTHERS_WINDOW = (1 / 6, 1 / 3)
"""The same of the windows of the other model, as far as these have room."""
LEAST_APART = 1 / 4
"""Of windows that meet the first or the last layers, and so come closer to each other."""
SHIFTS = tuple(step / 12 for step in range(-2, 3))
"""How far off proportional depth windows are looked for."""
NEGLIGIBLE = 0.05
"""Less than this share of the mean similarity beyond chance is no ridge worth the name."""
ROUNDING = 1e-12
"""Of the highest similarity."""

Weights = Float64[np.ndarray, "layers_left layers_right"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTest:
    """One part of the claim of a ridge.

    Parameters
    ----------
    name : str
        A key of `RIDGE_PARTS`.
    estimate : float
        Its size, a difference of mean similarities; of order, the smaller of both preferences.
    p_value : float or None
        Of the one-sided test that it is above 0; None without resampled texts.
    upper : float or None
        What it is below, with the error rate shared among all parts; None without resampled texts.
    negligible : float
        Below this it is no ridge worth the name.
    """

    name: str
    estimate: float
    p_value: float | None
    upper: float | None
    negligible: float


def ridge_tests(
    values: AffinityValues,
    *,
    chance: float,
    resampled: ResampledMatrices | None = None,
    level: float = 0.95,
) -> tuple[PartTest, ...]:
    """Return the parts of a ridge, each with its test.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix; at least `FEWEST_LAYERS` layers on either side.
    chance : float
        The similarity of unrelated layers.
    resampled : ResampledMatrices, optional
        The same matrix under resampled texts.
    level : float
        How often all upper limits together shall hold the truth, in (0, 1).

    References
    ----------
    Crossover interactions are what no monotone scale removes (Loftus 1978). The tests are ours.
    """
    contrasts = _contrasts(*values.shape)
    beyond = max(0.0, float(values.mean()) - chance)
    reach = float(scipy.special.ndtri(1 - (1 - level) / len(RIDGE_PARTS)))
    parts = []
    for name, candidates in contrasts.items():
        sizes = _sizes(values[np.newaxis], candidates)[0]
        p_value = upper = None
        if resampled is not None:
            errors = _sizes(resampled.values, candidates).std(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                z = np.where(errors > 0, sizes / errors, np.where(sizes > 0, np.inf, -np.inf))
            # both preferences are needed, at the best of the places that were looked at
            p_value = min(1.0, len(candidates) * float(scipy.special.ndtr(-z).max(axis=-1).min()))
            upper = float((sizes + reach * errors).min(axis=-1).max())
        size = float(sizes.min(axis=-1).max())
        parts.append(
            PartTest(
                name=name,
                # sums of equal similarities differ by rounding, which is no order
                estimate=size if abs(size) > ROUNDING * float(values.max()) else 0.0,
                p_value=p_value,
                upper=upper,
                negligible=NEGLIGIBLE * beyond,
            )
        )
    return tuple(parts)


def ridge_sizes(
    values: Float[np.ndarray, "matrices layers_left layers_right"],
) -> dict[str, Float64[np.ndarray, " matrices"]]:
    """Return the sizes of the parts of a ridge, of many matrices of one shape.

    Parameters
    ----------
    values : float array (matrices, layers_left, layers_right)
        Matrices of at least `FEWEST_LAYERS` layers on either side.
    """
    contrasts = _contrasts(*values.shape[1:])
    return {
        name: _sizes(values, candidates).min(axis=-1).max(axis=-1)
        for name, candidates in contrasts.items()
    }


def _sizes(
    values: Float[np.ndarray, "matrices layers_left layers_right"],
    candidates: Float64[np.ndarray, "candidates contrasts layers_left layers_right"],
) -> Float64[np.ndarray, "matrices candidates contrasts"]:
    """Return the weighted sums of matrices."""
    weights = candidates.reshape(-1, values[0].size)
    sums = values.reshape(len(values), -1).astype(np.float64) @ weights.T
    sizes: np.ndarray = sums.reshape(len(values), *candidates.shape[:2])
    return sizes


def _contrasts(n_left: int, n_right: int) -> dict[str, np.ndarray]:
    """Return the weights of each part: (candidates, contrasts, left, right)."""
    found = {
        f"order_{section}": np.stack(
            _turnovers(third, n_left, n_right)
            + [np.swapaxes(one, -1, -2) for one in _turnovers(third, n_right, n_left)]
        )
        for third, section in enumerate(SECTIONS)
    }
    left, right = center_and_ends(n_left), center_and_ends(n_right)
    center = _mean_of(left.center, right.center)
    for name, end in (
        ("center_over_right_first", _mean_of(left.center, right.first)),
        ("center_over_right_last", _mean_of(left.center, right.last)),
        ("center_over_left_first", _mean_of(left.first, right.center)),
        ("center_over_left_last", _mean_of(left.last, right.center)),
    ):
        found[name] = (center - end)[np.newaxis, np.newaxis]
    return found


def _turnovers(third: int, n_rows: int, n_columns: int) -> list[np.ndarray]:
    """Return the pairs of contrasts (2, rows, columns) of a third of the rows, one a place."""
    start, center = third / len(SECTIONS), (third + 0.5) / len(SECTIONS)
    width, apart = LAYERS_WINDOW
    shallower = depth_window(n_rows, start, start + width)
    deeper = depth_window(n_rows, start + apart, start + apart + width)
    width, apart = OTHERS_WINDOW
    found = []
    for shift in SHIFTS:
        first = max(0.0, center + shift - (apart + width) / 2)
        last = min(1 - width, center + shift + (apart - width) / 2)
        if last - first < LEAST_APART - 1e-9:
            continue
        preference = depth_window(n_columns, first, first + width)
        preference = preference - depth_window(n_columns, last, last + width)
        found.append(np.stack([np.outer(shallower, preference), np.outer(deeper, -preference)]))
    return found


def _mean_of(rows: np.ndarray, columns: np.ndarray) -> Weights:
    """Return the weights whose sum is a mean over some rows and columns."""
    cells = np.outer(rows, columns)
    weights: np.ndarray = cells / cells.sum()
    return weights
