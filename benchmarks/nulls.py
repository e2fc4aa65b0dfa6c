"""What do chance and errors cost for all pairs of layers, against one plain pass over the same lists?

The related lists of `benchmarks.all_pairs`, with 20 neighbors of each text, of which 10 count and the
others tell who would come next. In each round: `all_affinities`, the plain pass; `permutation_nulls`,
with skewness; `standard_errors`; and parts of what is done without them: a relabelling of the texts of
all models, times 999, and the resampled matrices of one pair of models, times all cells.
"""

import statistics
from collections.abc import Iterator

import numpy as np

from benchmarks.all_pairs import K, named, peak_of, related_ids
from benchmarks.harness import Case, in_turns
from isodepth import (
    all_affinities,
    familywise_tests,
    permutation_nulls,
    resampled_matrices,
    standard_errors,
)

KEPT = 2 * K
RELABELLINGS, MORE = 999, 4
RESAMPLES = 1000
PAIR = (4, 5)
AIM = "20 plain passes"

CHILD = """
import json, sys
from pathlib import Path
from benchmarks.all_pairs import K, loaded
from benchmarks.harness import peak_and_held
import isodepth
neighbors = loaded(Path(sys.argv[1]))
held = peak_and_held()[1]
isodepth.{function}(neighbors, k=K)
print(json.dumps({{"held": held, "peak": peak_and_held()[0]}}))
"""


def cases(rounds: int) -> Iterator[Case]:
    """Yield the cases of this group."""
    models = related_ids(2048, KEPT, np.random.default_rng(2048))
    neighbors = named(models)
    left, right = (models[place] for place in PAIR)
    standard_errors(neighbors[:2], k=K)
    permutation_nulls(neighbors[:2], k=K)
    plain, nulls, errors, resampled, once, more = in_turns(
        rounds,
        lambda: all_affinities(neighbors, k=K),
        lambda: permutation_nulls(neighbors, k=K),
        lambda: standard_errors(neighbors, k=K),
        lambda: resampled_matrices(left, right, k=K, n_resamples=RESAMPLES),
        lambda: familywise_tests(neighbors, k=K, n_permutations=1),
        lambda: familywise_tests(neighbors, k=K, n_permutations=1 + MORE),
    )
    relabelling = [(long - short) / MORE for long, short in zip(more, once, strict=True)]
    n_layers = sum(map(len, models))
    n_cells = sum(len(one) * len(other) for i, one in enumerate(models) for other in models[:i])
    size = f"all pairs of {n_layers:,} layers x {models[0].shape[1]:,} texts x k = {K}"
    for what, function, seconds in (
        (f"mean, sd and skewness under all relabellings, {size}", "permutation_nulls", nulls),
        (f"standard errors under resampled texts, {size}", "standard_errors", errors),
    ):
        memory = peak_of(models, CHILD.format(function=function))
        passes = statistics.median(one / other for one, other in zip(seconds, plain, strict=True))
        yield Case(
            group="nulls",
            what=what,
            seconds=seconds,
            baseline="the plain pass, all_affinities",
            baseline_seconds=plain,
            peak_bytes=int(memory["peak"]),
            target=AIM,
            note=f"{passes:.1f} plain passes (median of the rounds). A process of its own held "
            f"{memory['held'] / 1e6:,.0f} MB before, ids included.",
        )
    yield Case(
        group="nulls",
        what=f"mean, sd and skewness under all relabellings, {size}",
        seconds=nulls,
        baseline=f"{RELABELLINGS} relabellings, one after the other",
        baseline_seconds=[RELABELLINGS * seconds for seconds in relabelling],
        is_computed=True,
    )
    yield Case(
        group="nulls",
        what=f"standard errors under resampled texts, {size}",
        seconds=errors,
        baseline=f"{RESAMPLES:,} resampled matrices for each pair of models",
        baseline_seconds=[seconds / (len(left) * len(right)) * n_cells for seconds in resampled],
        is_computed=True,
    )
