"""What is a number worth? An estimate with its interval, and how that came about."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import scipy
from jaxtyping import Float
from numpy import ndarray

from isodepth.notebook import card


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number, how far it may be off, and what that was told from.

    Parameters
    ----------
    value : float
        The estimate.
    low, high : float or None
        The interval; None where there was nothing to resample.
    level : float or None
        How often such intervals hold the truth, by design: 0.95. None without an interval.
    method : str
        How the interval was made, in words.
    n : int
        How many units were resampled; how many there are, without an interval.
    resampled : str or None
        What the units are: "texts", "models" or "groups of models"; None without an interval.
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float | None = None
    method: str = "no interval"
    n: int
    resampled: str | None = None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def _repr_html_(self) -> str:
        of = f"of {self.n:,} {self.resampled or 'units'}"
        level = "" if self.level is None else f"{100 * self.level:g} % "
        return card("Estimate", f"{self} {of}", notes=[f"{level}{self.method}"])

    def as_dict(self) -> Mapping[str, Any]:
        """Return all fields, as JSON values."""
        return asdict(self)


def resampled_estimate(
    value: float,
    samples: Float[ndarray, " resamples"],
    *,
    level: float,
    n_texts: int,
    within: tuple[float, float] = (-math.inf, math.inf),
    how: str = "",
) -> Estimate:
    """Return an estimate with a normal interval by the standard deviation under resampled texts.

    The interval is around the estimate, not between percentiles of the resamples: what is found by
    searching (most similar layers, paths) is noisier in a resample than in the estimate, and its
    percentiles would lie beside it.

    Parameters
    ----------
    value : float
        The estimate.
    samples : float array (resamples,)
        The same of resampled texts.
    level : float
        How often such intervals shall hold the truth, in (0, 1).
    n_texts : int
        Texts.
    within : (float, float)
        Where the interval ends because the number cannot lie beyond.
    how : str
        How texts were resampled, in words.
    """
    # equal samples have no spread; their mean may be a rounding off
    spread = float(samples.std()) if samples.min() < samples.max() else 0.0
    reach = float(scipy.special.ndtri((1 + level) / 2)) * spread
    method = f"normal interval by the standard deviation of {len(samples):,} resamples"
    return Estimate(
        value=value,
        low=max(within[0], value - reach),
        high=min(within[1], value + reach),
        level=level,
        method=f"{method}; {how}" if how else method,
        n=n_texts,
        resampled="texts",
    )
