"""How often does the test over a zoo find an effect where there is none?

    python -m studies.calibration.zoo

Simulates zoos in which the statistic of models a and b is y_ab = u_a + u_b + e_ab, all with mean 0,
and counts how often a nominal one-sided 5 % test rejects: isodepth's, which leaves out one model at a
time; the bootstrap of models (Snijders & Borgatti 1999), by its standard error and by its percentiles;
and the t-test that takes pairs as independent. In brackets, how often the interval of 95 % holds the
truth. Some three minutes on one core.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from isodepth.statistics.zoo import zoo_test

LEVEL = 0.95
N_SIMULATIONS = 5_000
N_RESAMPLES = 400
FAMILIES = ("Gemma",) * 6 + ("Llama",) * 9 + ("Mistral",) * 3 + ("Phi",) * 3 + ("Falcon",) * 3
"""The published zoo's."""

Draw = Callable[[np.random.Generator, int], np.ndarray]


def additive(
    model_effects: Draw, *, pair_sd: float = 1.0
) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Return what draws y_ab = u_a + u_b + e_ab, given what draws u."""

    def drawn(rng: np.random.Generator, n_models: int) -> np.ndarray:
        u = model_effects(rng, n_models)
        e = np.triu(rng.normal(scale=pair_sd, size=(n_models, n_models)), 1)
        return u[:, np.newaxis] + u + e + e.T

    return drawn


def normal(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """Return standard normal effects of models."""
    return rng.normal(size=n_models)


def skewed_up(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """Return exponential effects less their mean: a few models far above the others."""
    return rng.exponential(size=n_models) - 1


def skewed_down(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """Return the mirror image: a few models far below the others."""
    return 1 - rng.exponential(size=n_models)


def of_families(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """Return effects of which half the variance is shared within a family of `FAMILIES`."""
    of_family = dict(zip(dict.fromkeys(FAMILIES), rng.normal(size=len(set(FAMILIES))), strict=True))
    shared = np.array([of_family[family] for family in FAMILIES[:n_models]])
    return np.sqrt(0.5) * (shared + rng.normal(size=n_models))


def product(rng: np.random.Generator, n_models: int) -> np.ndarray:
    """Return y_ab = u_a u_b, to which no single model contributes on average."""
    u = rng.normal(size=n_models)
    return np.outer(u, u)


SITUATIONS: Mapping[str, Draw] = {
    "model and pair effects alike": additive(normal),
    "model effects only": additive(normal, pair_sd=0.0),
    "pair effects only": additive(lambda _, n: np.zeros(n)),
    "a few models far above": additive(skewed_up),
    "a few models far below": additive(skewed_down),
    "products of model effects": product,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZooSize:
    """How often each test rejected at 5 %, and each interval of 95 % held the truth, in [0, 1].

    Parameters
    ----------
    jackknife, jackknife_coverage : float
        isodepth's.
    bootstrap_t, bootstrap_t_coverage, percentile, percentile_coverage : float or None
        Of the bootstrap of models; None if not asked for.
    as_if_independent : float
        The t-test over pairs.
    """

    jackknife: float
    jackknife_coverage: float
    bootstrap_t: float | None
    bootstrap_t_coverage: float | None
    percentile: float | None
    percentile_coverage: float | None
    as_if_independent: float


def zoo_size(
    n_models: int,
    n_simulations: int,
    seed: int,
    *,
    draw: Draw = SITUATIONS["model and pair effects alike"],
    groups: tuple[str, ...] | None = None,
    bootstrap: bool = False,
) -> ZooSize:
    """Return how often the tests reject at a nominal 5 % in zoos without an effect."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n_simulations):
        statistic = draw(rng, n_models)
        test = zoo_test(statistic, groups=groups, level=LEVEL)
        low, high = test.mean.low, test.mean.high
        row = [
            test.p_value < 1 - LEVEL,
            low <= 0 <= high,
            test.p_value_as_if_pairs_were_independent < 1 - LEVEL,
        ]
        if bootstrap:
            means = resampled_means(statistic, N_RESAMPLES, rng)
            ratio = test.mean.value / means.std(ddof=1)
            tail = stats.t.sf(ratio, n_models - 1)
            bounds = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
            row += [
                tail < 1 - LEVEL,
                min(tail, 1 - tail) > (1 - LEVEL) / 2,
                np.quantile(means, 1 - LEVEL) > 0,
                bounds[0] <= 0 <= bounds[1],
            ]
        rows.append(row)
    rates = np.mean(rows, axis=0).tolist()
    of_bootstrap = rates[3:] or [None] * 4
    return ZooSize(
        jackknife=rates[0],
        jackknife_coverage=rates[1],
        as_if_independent=rates[2],
        bootstrap_t=of_bootstrap[0],
        bootstrap_t_coverage=of_bootstrap[1],
        percentile=of_bootstrap[2],
        percentile_coverage=of_bootstrap[3],
    )


def resampled_means(statistic: np.ndarray, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return means over pairs of zoos whose models were drawn with replacement.

    A model drawn twice makes a pair of itself, which takes the value of a pair drawn at random
    (Snijders & Borgatti 1999).
    """
    n_models = len(statistic)
    above = np.triu_indices(n_models, 1)
    pairs = statistic[above]
    chosen = rng.integers(n_models, size=(n_resamples, n_models))
    left, right = chosen[:, above[0]], chosen[:, above[1]]
    own = left == right
    resampled = statistic[left, right]
    resampled[own] = rng.choice(pairs, size=int(own.sum()))
    means: np.ndarray = resampled.mean(axis=1)
    return means


def cell(rate: float | None, coverage: float | None = None) -> str:
    """Return a rate in percent, and the coverage in brackets, as a cell of the table."""
    shown = [] if rate is None else [f"{100 * rate:.1f}"]
    return " ".join(shown if coverage is None else [*shown, f"({100 * coverage:.1f})"])


def main() -> None:
    """Print the tables in Markdown."""
    print("Rejections (%) at a nominal 5 % without an effect (coverage of the 95 % interval)\n")
    print("| no effect, but | models | leave one out | bootstrap, t | bootstrap, percentile | pairs |")
    print("|---|---|---|---|---|---|")
    for name, draw in SITUATIONS.items():
        for n_models in (5, 8, 24):
            size = zoo_size(n_models, N_SIMULATIONS, seed=6, draw=draw, bootstrap=True)
            cells = [
                cell(size.jackknife, size.jackknife_coverage),
                cell(size.bootstrap_t, size.bootstrap_t_coverage),
                cell(size.percentile, size.percentile_coverage),
                cell(size.as_if_independent),
            ]
            print(f"| {name} | {n_models} | {' | '.join(cells)} |", flush=True)
    print("\n| 24 models of five families | leave one out | pairs |")
    print("|---|---|---|")
    for left_out, groups in (("models", None), ("families", FAMILIES)):
        size = zoo_size(24, N_SIMULATIONS, seed=6, draw=additive(of_families), groups=groups)
        cells = [cell(size.jackknife, size.jackknife_coverage), cell(size.as_if_independent)]
        print(f"| leaving out {left_out} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
