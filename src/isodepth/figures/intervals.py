"""How far may a drawn number be off? The intervals of estimates, as ends of a bar and in words.

>>> bar_of(Estimate(value=0.5, low=0.4, high=0.6, level=0.95, n=256, resampled="texts"))
(0.4, 0.6)

Memory: none.
"""

from collections.abc import Iterable

from isodepth.statistics import Estimate


def bar_of(estimate: Estimate) -> tuple[float, float] | None:
    """Return where an estimate's interval begins and ends, or None where it has none."""
    if estimate.low is None or estimate.high is None:
        return None
    return estimate.low, estimate.high


def bars_named(estimates: Iterable[Estimate]) -> str:
    """Return what the bars of estimates are, all different kinds, or that there are none."""
    kinds = {
        f"{100 * one.level:g} % interval, {one.n:,} {one.resampled} resampled ({one.method})"
        for one in estimates
        if bar_of(one) is not None and one.level is not None
    }
    return f"Bars: {'; '.join(sorted(kinds))}." if kinds else "No bars: nothing was resampled."
