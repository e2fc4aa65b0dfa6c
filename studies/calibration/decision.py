"""How often is the decision between shared, depth-matched and neither wrong?

    python -m studies.calibration.decision --simulations 1000

Draws pairs of models with a planted relation (`studies.calibration.planted`), decides by the whole
chain (permutation of texts, resampling of texts, profile, decision), and counts the verdicts. At an
error rate of 5 % in each of the two questions,

- unrelated models are called anything but "not shared" in at most 5 %;
- models that share, but without a ridge through the whole of depth, are called "depth-matched" in at
  most 5 %, and a part of a ridge that is not there is shown in at most 5 %;
- "undecided" is no error; how often it is said with weak similarity is what the tables are for.

Similarity is set by the noise of the models. About ten minutes on two cores.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from isodepth.statistics.decision import VERDICTS, decide
from isodepth.statistics.familywise import familywise_test
from isodepth.statistics.profile import diagonality_profile
from isodepth.statistics.resampling import resampled_matrices
from isodepth.statistics.ridge import RIDGE_PARTS
from studies.calibration.planted import STRUCTURES, nearest, planted_models

ALPHA = 0.05
N_SIMULATIONS = 1_000
N_FEWER = 100
"""Simulations of the structures that are not in `MAIN`, and of other sizes."""
N_RESAMPLES = 200
N_PERMUTATIONS = 99
MAIN = ("no relation", "two blocks", "three blocks", "corner blocks", "ridge")


class Setting(NamedTuple):
    """Of one table."""

    noise: float
    n_texts: int = 256
    k: int = 10
    n_layers: tuple[int, int] = (12, 9)
    n_clusters: int = 0


STRONG = Setting(noise=0.4)
WEAK = Setting(noise=1.0)
SETTINGS = {
    "strong similarity": STRONG,
    "weak similarity": WEAK,
}
OTHER_SIZES = {
    "clusters of texts": Setting(noise=0.5, n_clusters=8),
    "few layers": STRONG._replace(n_layers=(7, 6)),
    "many layers": STRONG._replace(n_layers=(80, 18)),
    "one neighbor": STRONG._replace(k=1),
    "many texts": STRONG._replace(n_texts=512),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What was decided about models of one kind.

    Parameters
    ----------
    kind : str
        A key of `STRUCTURES`.
    shares : dict of str to float
        How often each verdict was given, in [0, 1].
    part_shares : dict of str to float
        How often each part of the claim of a ridge was shown at `ALPHA`, where shared.
    highest : float
        The highest similarity of two layers, on average.
    n_simulations : int
        Simulations.
    """

    kind: str
    shares: dict[str, float]
    part_shares: dict[str, float]
    highest: float
    n_simulations: int

    @property
    def right(self) -> float:
        """How often the verdict was right."""
        return sum(self.shares[verdict] for verdict in STRUCTURES[self.kind].truth)

    @property
    def wrong(self) -> float:
        """How often more was claimed than is true.

        "Undecided" claims nothing of models that share something; but that they do.
        """
        truth = set(STRUCTURES[self.kind].truth)
        excused = set() if truth == {"not shared"} else {"undecided"}
        return 1 - sum(self.shares[verdict] for verdict in truth | excused)


def verdicts(
    kind: str,
    setting: Setting,
    *,
    n_simulations: int = N_SIMULATIONS,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> Verdicts:
    """Return what is decided about models of one kind."""
    rng = np.random.default_rng(seed)
    given: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    highest = 0.0
    for simulation in range(n_simulations):
        models = planted_models(
            rng,
            kind,
            n_texts=setting.n_texts,
            n_layers=setting.n_layers,
            noise=setting.noise,
            n_clusters=setting.n_clusters,
        )
        k = setting.k
        left, right = (nearest(points, max(2 * k, k + 5)) for points in models)
        resampled = resampled_matrices(left, right, k=k, n_resamples=N_RESAMPLES, seed=simulation)
        profile = diagonality_profile(
            resampled.observed,
            chance=k / (setting.n_texts - 1),
            n_texts=setting.n_texts,
            resampled=resampled,
        )
        decision = decide(
            resampled.observed,
            n_texts=setting.n_texts,
            k=k,
            profile=profile,
            familywise=familywise_test(
                left, right, k=k, n_permutations=n_permutations, seed=simulation
            ),
            alpha=ALPHA,
        )
        given[decision.verdict] += 1
        shown.update(
            part.name for part in decision.parts if part.p_value is not None and part.p_value <= ALPHA
        )
        highest += float(resampled.observed.max()) / n_simulations
    n_shared = max(1, n_simulations - given["not shared"])
    return Verdicts(
        kind=kind,
        shares={verdict: given[verdict] / n_simulations for verdict in VERDICTS},
        part_shares={name: shown[name] / n_shared for name in RIDGE_PARTS},
        highest=highest,
        n_simulations=n_simulations,
    )


def share(rate: float, n_simulations: int) -> str:
    """Return a rate and its binomial standard error, in percent."""
    return f"{100 * rate:.1f} ± {100 * np.sqrt(rate * (1 - rate) / n_simulations):.1f}"


def table(title: str, setting: Setting, found: Sequence[Verdicts]) -> str:
    """Return structures as rows and verdicts as columns, in Markdown."""
    clusters = f", {setting.n_clusters} clusters" if setting.n_clusters else ""
    heads = [*VERDICTS, "wrong"]
    lines = [
        f"{title.capitalize()}: {setting.n_texts} texts{clusters}, k = {setting.k}, "
        f"{setting.n_layers[0]} and {setting.n_layers[1]} layers, noise {setting.noise}; verdicts in %",
        "",
        f"| structure | highest similarity | simulations | {' | '.join(heads)} |",
        "|---" * (3 + len(heads)) + "|",
    ]
    for one in found:
        cells = [one.kind, f"{one.highest:.2f}", str(one.n_simulations)]
        cells += [share(one.shares[verdict], one.n_simulations) for verdict in VERDICTS]
        lines.append(f"| {' | '.join([*cells, share(one.wrong, one.n_simulations)])} |")
    return "\n".join([*lines, ""])


def parts_table(found: Sequence[Verdicts]) -> str:
    """Return structures as rows and the parts of a ridge as columns, in Markdown."""
    lines = [
        f"How often each part was shown at {100 * ALPHA:.0f} %, where shared, in %",
        "",
        f"| structure | {' | '.join(RIDGE_PARTS)} |",
        "|---" * (1 + len(RIDGE_PARTS)) + "|",
    ]
    for one in found:
        if STRUCTURES[one.kind].truth != ("not shared",):
            cells = [f"{100 * one.part_shares[name]:.1f}" for name in RIDGE_PARTS]
            lines.append(f"| {' | '.join([one.kind, *cells])} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--simulations",
        type=int,
        default=N_SIMULATIONS,
        help="of the main structures; of others a tenth",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    options = parser.parse_args()
    fewer = max(1, options.simulations * N_FEWER // N_SIMULATIONS)
    planned = [
        (title, setting, {kind: options.simulations if kind in MAIN else fewer for kind in STRUCTURES})
        for title, setting in SETTINGS.items()
    ] + [(title, setting, dict.fromkeys(MAIN, fewer)) for title, setting in OTHER_SIZES.items()]
    one = partial(verdicts, seed=options.seed)
    with ProcessPoolExecutor(options.jobs) as pool:
        running = [
            [pool.submit(one, kind, setting, n_simulations=n) for kind, n in numbers.items()]
            for _, setting, numbers in planned
        ]
        for (title, setting, _), rows in zip(planned, running, strict=True):
            found = [row.result() for row in rows]
            print(table(title, setting, found), flush=True)
            print(parts_table(found), flush=True)


if __name__ == "__main__":
    main()
