"""Does a control move a number? By the interval of the difference, and what is too little to matter.

>>> moves(Estimate(value=0.02, low=-0.01, high=0.05, n=256), baseline=0.9)
'hardly moves it'

Memory: none.
"""

from isodepth.errors import ParameterError
from isodepth.statistics.estimates import Estimate

NEGLIGIBLE = 0.1
"""Which share of what a number is without the control is too little to matter."""

MOVES = {
    "moves it": "the interval of the difference lies beyond a tenth of the baseline",
    "moves it, perhaps little": "the interval leaves out 0, and reaches on either side of a tenth of "
    "the baseline",
    "hardly moves it": "the interval lies within a tenth of the baseline, with 0 in it or not",
    "cannot tell": "the interval holds 0, and reaches further than a tenth of the baseline",
}
"""What can be said of a difference."""


def moves(difference: Estimate, *, baseline: float) -> str:
    """Return whether a difference is one, a key of `MOVES`.

    Parameters
    ----------
    difference : Estimate
        With its interval.
    baseline : float
        What the number is without the control. Near 0 a tenth of it is nothing, and the answer is
        seldom that it hardly moves.

    Raises
    ------
    ParameterError
        If the difference has no interval.

    References
    ----------
    That a difference is shown to be small, not merely failed to be shown: equivalence testing
    (Schuirmann 1987), here by the interval of the stated level, which is stricter than his. That a
    tenth is small is ours.
    """
    if difference.low is None or difference.high is None:
        raise ParameterError("a difference without an interval has no verdict")
    small = NEGLIGIBLE * abs(baseline)
    if -small <= difference.low and difference.high <= small:
        return "hardly moves it"
    if difference.low <= 0 <= difference.high:
        return "cannot tell"
    least = min(abs(difference.low), abs(difference.high))
    return "moves it" if least > small else "moves it, perhaps little"
