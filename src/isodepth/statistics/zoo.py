"""Does a zoo of models show an effect, when pairs that share a model are no independent samples?

Of 24 models there are 276 pairs, but an odd model lowers 23 of them at once: models were sampled, not
pairs. So the mean over pairs is taken as what it is, a U-statistic of degree two, and its error comes
from leaving out one model at a time with all its pairs (the jackknife), never from the spread of
pairs.

What it asks is about models like these: would others of the kind show the effect too? It takes models
as drawn independently. Models of one family are not; `groups` leaves out whole families instead.

How often a one-sided 5 % test rejects where there is no effect, in simulated zoos (5,000 each; standard
error 0.3 points; `python -m studies.calibration.zoo`):

    y_ab = u_a + u_b + e_ab                     5 models   8   24   24, pairs as if independent
    u and e normal, alike                            3.9  4.3  4.6                         33.9
    u only                                           5.1  4.9  4.9                         37.4
    e only: no model matters                         1.3  1.1  0.9                          4.9
    u skewed up (exponential), a few far above       1.3  1.5  2.1                         31.3
    u skewed down, a few models far below            8.2 10.9  9.7                         38.2
    five families, half of u's variance shared: leaving out models 19.3, families 5.4      42.4

So it is right where models differ, careful where they do not, and wrong where a statistic is strongly
skewed: if a few models lie far below the others, as with one that is bounded above, read a p-value of
0.05 as one of 0.1, and look at `model_means`. A bootstrap of models rejected 9.9, 8.7 and 6.1 % in the
first row by its standard error, and 16.1, 11.9 and 7.1 % by its percentiles.

>>> import numpy as np
>>> effects = np.array([0.3, 0.1, 0.2, 0.1, 0.4])
>>> test = zoo_test(effects[:, np.newaxis] + effects)
>>> print(test.mean)
0.440 [0.116, 0.764]

Memory: a few arrays of (models, models).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64

from isodepth.errors import ParameterError, listed
from isodepth.statistics.estimates import Estimate

FEWEST_MODELS = 3
"""Two models are one pair: left without one of them there is none, so no error can be told."""
ROUNDING = 1e-12
"""Of the largest value: what the two places of a pair may differ by."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ZooTest:
    """The mean of a statistic over the pairs of a zoo, and whether it is above 0.

    Parameters
    ----------
    mean : Estimate
        Over pairs, with its interval; `n` counts what was left out in turn, models or groups.
    standard_error : float
        Of the mean, from leaving out one model (or group) at a time.
    statistic, p_value : float
        The mean over its standard error, and the one-sided p-value of a mean above 0, from Student's t
        with `degrees_of_freedom`. This is the answer.
    degrees_of_freedom : int
        Models (or groups) less 1.
    p_value_as_if_pairs_were_independent : float
        The one-sided t-test over pairs, to show what ignoring shared models would claim. Far too small:
        not the answer.
    n_pairs : int
        Pairs with a value.
    labels : tuple of str
        The models.
    model_means : float64 array (models,)
        The mean over each model's own pairs: the lowest shows which model lowers the mean.
    units : tuple of str
        What was left out in turn: the models, or the groups.
    means_without : float64 array (units,)
        The mean over the pairs that are left without each.
    """

    mean: Estimate
    standard_error: float
    statistic: float
    p_value: float
    degrees_of_freedom: int
    p_value_as_if_pairs_were_independent: float
    n_pairs: int
    labels: tuple[str, ...]
    model_means: Float64[np.ndarray, " models"]
    units: tuple[str, ...]
    means_without: Float64[np.ndarray, " units"]


def zoo_test(
    statistic: Float64[np.ndarray, "models models"],
    *,
    labels: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    level: float = 0.95,
) -> ZooTest:
    """Return whether a statistic of pairs is above 0 over a zoo, with models as the sampling unit.

    Parameters
    ----------
    statistic : float64 array (models, models)
        One number per pair, for example on-minus-off; symmetric. NaN where a pair has none; the
        diagonal, a model with itself, does not count.
    labels : sequence of str, optional
        The models' names; their numbers from 1 by default.
    groups : sequence of str, optional
        Each model's family: whole families are left out instead of single models. Pairs within a family
        still count; set them to NaN to ask about pairs of different families.
    level : float
        How often the interval holds the truth, between 0 and 1.

    Returns
    -------
    ZooTest
        In the unit of the statistic.

    Raises
    ------
    ParameterError
        If the statistic is not symmetric or infinite, labels or groups do not fit, there are fewer than
        3 models (or groups), or some model has no pair, or alone holds all of them; all are listed.

    References
    ----------
    Arvesen 1969 (jackknifing U-statistics); Efron & Stein 1981 (the jackknife's variance is too large
    on average, not too small). Snijders & Borgatti 1999 also bootstrap the vertices of a network; with
    few models that rejected too often in our simulation.
    Wolfram & Schein 2025 test single pairs only (section 4.1): the test over the zoo is ours.
    """
    n_models = len(statistic)
    labels = _names(labels, n_models, "labels") or tuple(str(i + 1) for i in range(n_models))
    families = _names(groups, n_models, "groups")
    if not 0 < level < 1:
        raise ParameterError(f"level must lie between 0 and 1; got {level}")
    units = tuple(dict.fromkeys(families)) if families else labels
    one, many = ("group of models", "groups of models") if families else ("model", "models")
    if len(units) < FEWEST_MODELS:
        raise ParameterError(
            f"expected at least {FEWEST_MODELS} {many}; got {len(units)}",
            hint="With fewer, too little is left to leave out; test single pairs with diagonal_test.",
        )
    paired = _paired(statistic, labels)
    values = np.where(paired, (statistic + statistic.T) / 2, 0.0)
    member = np.array([units.index(family) for family in families]) if families else np.arange(n_models)
    counts = _without(paired.astype(np.float64), member, len(units))
    _refuse_lonely(paired, labels, units, counts)
    means_without = _without(values, member, len(units)) / counts

    pairs = statistic[np.triu(paired)]
    mean = float(pairs.mean())
    freedom = len(units) - 1
    deviations = means_without - means_without.mean()
    error = math.sqrt(freedom / len(units) * float(deviations @ deviations))
    if np.ptp(pairs) == 0:
        # rounding in the sums is no error
        mean, error = float(pairs[0]), 0.0
    ratio = _ratio(mean, error)
    reach = float(scipy.stats.t.ppf((1 + level) / 2, freedom)) * error
    return ZooTest(
        mean=Estimate(
            value=mean,
            low=mean - reach,
            high=mean + reach,
            level=level,
            method=f"jackknife leaving out one {one} at a time, Student's t with {freedom} degrees of "
            "freedom",
            n=len(units),
            resampled=many,
        ),
        standard_error=error,
        statistic=ratio,
        p_value=float(scipy.stats.t.sf(ratio, freedom)),
        degrees_of_freedom=freedom,
        p_value_as_if_pairs_were_independent=_naive_p_value(pairs),
        n_pairs=len(pairs),
        labels=labels,
        model_means=values.sum(axis=1) / paired.sum(axis=1),
        units=units,
        means_without=means_without,
    )


def _names(names: Sequence[str] | None, n_models: int, what: str) -> tuple[str, ...] | None:
    if names is not None and len(names) != n_models:
        raise ParameterError(
            f"expected one of {what} per model; got {len(names)} for (models, models) = "
            f"({n_models}, {n_models})"
        )
    return None if names is None else tuple(names)


def _paired(statistic: np.ndarray, labels: tuple[str, ...]) -> np.ndarray:
    """Return which entries hold a pair's value, bool (models, models), or refuse the statistic."""
    paired: np.ndarray = ~np.isnan(statistic)
    np.fill_diagonal(paired, False)
    infinite = paired & np.isinf(statistic)
    known = np.where(paired & ~infinite, statistic, 0.0)
    # a pair that was computed in both orders may differ by rounding
    torn = (paired != paired.T) | (np.abs(known - known.T) > ROUNDING * np.abs(known).max())
    for offenders, expected in ((infinite, "finite or NaN"), (torn, "symmetric")):
        where = np.argwhere(np.triu(offenders | offenders.T))
        if len(where):
            shown = [
                f"{statistic[a, b]:g} and {statistic[b, a]:g} for {labels[a]} x {labels[b]}"
                for a, b in where
            ]
            raise ParameterError(
                f"the statistic must be {expected}; got {listed(shown)}",
                hint="Give each unordered pair one number, at both of its places.",
            )
    return paired


def _without(values: np.ndarray, member: np.ndarray, n_units: int) -> np.ndarray:
    """Return, for each unit, the sum of values over the pairs that have no model of it."""
    belongs = (member[:, np.newaxis] == np.arange(n_units)).astype(np.float64)
    # every pair is here twice: once on each side of the diagonal, or both times on it
    between = belongs.T @ values @ belongs
    touching = between.sum(axis=1) - between.diagonal() / 2
    return np.asarray(between.sum() / 2 - touching)


def _refuse_lonely(
    paired: np.ndarray,
    labels: tuple[str, ...],
    units: tuple[str, ...],
    counts: np.ndarray,
) -> None:
    """Refuse a zoo in which a model has no pair, or in which no pair is left without some unit."""
    lonely = [labels[a] for a in np.flatnonzero(~paired.any(axis=1))]
    if lonely:
        raise ParameterError(
            f"every model must have a pair with a value; none has {listed(lonely)}",
            hint="Leave these models out.",
        )
    essential = [units[a] for a in np.flatnonzero(counts == 0)]
    if essential:
        raise ParameterError(
            f"no pair is left to average without {listed(essential)}",
            hint="Compute the missing pairs of the other models.",
        )


def _ratio(mean: float, error: float) -> float:
    if error == 0:
        return float(np.copysign(np.inf, mean)) if mean else 0.0
    return mean / error


def _naive_p_value(pairs: np.ndarray) -> float:
    error = 0.0 if np.ptp(pairs) == 0 else float(pairs.std(ddof=1)) / math.sqrt(len(pairs))
    return float(scipy.stats.t.sf(_ratio(float(pairs.mean()), error), len(pairs) - 1))
