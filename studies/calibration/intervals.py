"""How often do the intervals of a profile hold the truth?

    python -m studies.calibration.intervals --simulations 400

Draws texts for pairs of models with a planted relation (`studies.calibration.planted`), again and again
from the same population, and makes the profile each time: its intervals of 95 % by each method of
resampling. The truth is the mean of the estimates over all simulations, so that what is checked is
whether intervals are as wide as estimates scatter; that an estimate has another mean with fewer texts
(a neighbor is farther away) is no concern of theirs. Where a third of depth shares nothing, with k = 1
above all, its association is noise over noise: a few estimates may be anything, the mean is no truth,
and coverage says nothing.

Printed are, for each part of the profile, how often its interval held the truth, and, in brackets, the
standard deviation that resampling gave over that of the estimates. About fifteen minutes on two cores.
"""

import argparse
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from isodepth.statistics.profile import diagonality_profile, profile_values
from isodepth.statistics.resampling import RESAMPLING_METHODS, resampled_matrices
from studies.calibration.planted import nearest, planted_models

LEVEL = 0.95
N_SIMULATIONS = 400
N_RESAMPLES = 200
MIDDLE = (0.1587, 0.8413)
"""A standard deviation to either side of the mean of a normal distribution."""
KINDS = ("ridge", "two blocks", "three blocks", "corners")
METHODS = tuple(RESAMPLING_METHODS)
KS = (10, 1)
N_CLUSTERS = 8
CLUSTERED_NOISE = 0.6
"""Clusters raise all similarities; with less noise they do not drown what is below them."""


GROUPS = {
    "level": ("mean",),
    "contrasts": ("on_", "centered", "ridge", "center_"),
    "order, weakest part": ("order", "weakest"),
    "association, sharpness": ("association", "sharpness"),
    "most similar layers": ("rank", "depth"),
}
"""Parts of the profile by the start of their names: what is linear in the matrix, and what is not."""


class Setting(NamedTuple):
    """Of one table."""

    n_texts: int
    n_clusters: int
    noise: float

    def __str__(self) -> str:
        clusters = f"in {self.n_clusters} clusters" if self.n_clusters else "without clusters"
        return f"{self.n_texts} texts {clusters}"


SETTINGS = (
    Setting(256, 0, 1.0),
    Setting(256, N_CLUSTERS, CLUSTERED_NOISE),
    Setting(512, 0, 1.0),
    Setting(512, N_CLUSTERS, CLUSTERED_NOISE),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coverage:
    """How well intervals did, by the parts of the profile.

    Parameters
    ----------
    parts : tuple of str
        Keys of `PROFILE`.
    truth : float64 array (parts,)
        The mean estimates.
    covered : float64 array (parts,)
        How often the intervals held the truth, in [0, 1].
    sd_ratio : float64 array (parts,)
        The median standard error over half the width of the middle 68 % of the estimates, which for a
        normal distribution is the standard deviation; NaN where these are all equal.
    n_simulations : int
        Simulations.
    """

    parts: tuple[str, ...]
    truth: np.ndarray
    covered: np.ndarray
    sd_ratio: np.ndarray
    n_simulations: int

    def __getitem__(self, name: str) -> tuple[float, float]:
        place = self.parts.index(name)
        return float(self.covered[place]), float(self.sd_ratio[place])


Coverages = dict[tuple[int, str], Coverage]
"""By k and method."""


def coverages(
    kind: str,
    setting: Setting,
    *,
    ks: Sequence[int] = (10,),
    methods: Sequence[str] = METHODS,
    n_layers: tuple[int, int] = (12, 9),
    n_simulations: int = N_SIMULATIONS,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Coverages:
    """Return how well the intervals do, by k and method, all on the same simulated texts."""
    rng = np.random.default_rng(seed)
    parts: tuple[str, ...] = ()
    rows: dict[tuple[int, str], list[np.ndarray]] = {(k, method): [] for k in ks for method in methods}
    for simulation in range(n_simulations):
        models = planted_models(
            rng,
            kind,
            n_texts=setting.n_texts,
            n_layers=n_layers,
            noise=setting.noise,
            n_clusters=setting.n_clusters,
        )
        # as many as the resampling makes use of
        left, right = (nearest(points, max(max(2 * k, k + 5) for k in ks)) for points in models)
        for (k, method), collected in rows.items():
            resampled = resampled_matrices(
                left, right, k=k, n_resamples=n_resamples, seed=simulation, method=method
            )
            profile = diagonality_profile(
                resampled.observed,
                chance=k / (setting.n_texts - 1),
                n_texts=setting.n_texts,
                resampled=resampled,
                level=LEVEL,
            )
            parts = tuple(profile)
            spread = profile_values(resampled.values, chance=k / (setting.n_texts - 1))
            numbers = [
                (profile[name].value, profile[name].low, profile[name].high, spread[name].std())
                for name in parts
            ]
            collected.append(np.array(numbers, dtype=np.float64))
    return {key: _coverage(parts, np.array(collected)) for key, collected in rows.items()}


def _coverage(parts: tuple[str, ...], rows: np.ndarray) -> Coverage:
    values, low, high, errors = np.moveaxis(rows, -1, 0)
    truth = values.mean(axis=0)
    # some parts are ratios, and a few of many may be anywhere: so the middle 68 % of the estimates
    spread = np.diff(np.quantile(values, MIDDLE, axis=0), axis=0)[0] / 2
    typical = np.median(errors, axis=0)
    return Coverage(
        parts=parts,
        truth=truth,
        covered=((low <= truth) & (truth <= high)).mean(axis=0),
        sd_ratio=np.divide(typical, spread, out=np.full_like(spread, np.nan), where=spread > 1e-9),
        n_simulations=len(rows),
    )


def table(setting: Setting, k: int, method: str, columns: Mapping[str, Coverages]) -> str:
    """Return the parts of the profile as rows, the kinds of structure as columns, in Markdown."""
    found = {kind: of_kind[k, method] for kind, of_kind in columns.items()}
    lines = [
        f"{setting}, k = {k}, {method}",
        "",
        f"| part | {' | '.join(found)} |",
        "|---" * (1 + len(found)) + "|",
    ]
    for name in next(iter(found.values())).parts:
        cells = [f"{100 * one[name][0]:.1f} ({one[name][1]:.2f})" for one in found.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def summary(setting: Setting, k: int, columns: Mapping[str, Coverages]) -> list[str]:
    """Return lines of the table of ranges, one a method."""
    lines = []
    for method in METHODS:
        cells = [str(setting), str(k), method]
        for group in GROUPS.values():
            found = [
                of_kind[k, method][name]
                for of_kind in columns.values()
                for name in of_kind[k, method].parts
                if name.startswith(group)
            ]
            covered, ratios = np.array(found).T
            low, mean, high = 100 * covered.min(), 100 * covered.mean(), 100 * covered.max()
            ratio = f"{np.nanmin(ratios):.2f} to {np.nanmax(ratios):.2f}"
            cells.append(f"{low:.0f} to {high:.0f}, mean {mean:.1f} ({ratio})")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--simulations", type=int, default=N_SIMULATIONS, help="of each setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    options = parser.parse_args()
    one = partial(coverages, ks=KS, n_simulations=options.simulations, seed=options.seed)
    error = 100 * np.sqrt(LEVEL * (1 - LEVEL) / options.simulations)
    print(
        f"Coverage in % (standard error {error:.1f} at {100 * LEVEL:.0f} %) and, in brackets, the "
        "standard deviation by resampling over the true one\n"
    )
    ranges = []
    with ProcessPoolExecutor(options.jobs) as pool:
        running = [[pool.submit(one, kind, setting) for kind in KINDS] for setting in SETTINGS]
        for setting, of_kinds in zip(SETTINGS, running, strict=True):
            columns = {kind: of_kind.result() for kind, of_kind in zip(KINDS, of_kinds, strict=True)}
            for k in KS:
                ranges += summary(setting, k, columns)
                for method in METHODS:
                    print(table(setting, k, method, columns), flush=True)
    print("The same, from least to most over all parts and structures\n")
    print(f"| texts | k | method | {' | '.join(GROUPS)} |")
    print("|---" * (3 + len(GROUPS)) + "|")
    print("\n".join(ranges))


if __name__ == "__main__":
    main()
