"""What do large studies take: arithmetic, bytes, hours and money? Computed, for docs/cost.md.

    python -m studies.cost [--measured docs/cost.json] [--dollars 3] [--share 0.5]

Three plans: the paper's whole study (24 models, eight text sets, tuned models also as chat) on one H100
and on eight, and 1,000 models on 100,000 texts on a cluster. Reading is arithmetic (two operations a
weight and token) at a share of a GPU's rate that is assumed; finding neighbors and comparing are scaled
from the largest sizes that `benchmarks.growth` measured on two CPU cores, in step with the work.
Without Ray the GPU waits while neighbors are found. With Ray tasks without a GPU find them beside the
reading, and each text set's task loads its model anew. Prints Markdown tables.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BILLIONS = {
    "gemma-2b": 2.5,
    "gemma-7b": 8.5,
    "gemma-2-2b": 2.6,
    "gemma-2-9b": 9.2,
    "gemma-2-9b-it": 9.2,
    "gemma-2-27b": 27.2,
    "llama-3.1-8b": 8.0,
    "llama-3.1-8b-instruct": 8.0,
    "llama-3.2-1b": 1.2,
    "llama-3.2-3b": 3.2,
    "llama-3.2-3b-instruct": 3.2,
    "llama-3.2-11b-vision": 9.8,  # the part that reads text
    "llama-3.1-70b": 70.6,
    "llama-3.1-70b-instruct": 70.6,
    "llama-3.3-70b-instruct": 70.6,
    "mistral-7b-v0.3": 7.2,
    "mistral-nemo-base-2407": 12.2,
    "mixtral-8x7b-v0.1": 46.7,
    "phi-3-mini-4k-instruct": 3.8,
    "phi-3-medium-4k-instruct": 14.0,
    "phi-3.5-mini-instruct": 3.8,
    "falcon-40b": 41.8,
    "falcon-11b": 11.1,
    "falcon-mamba-7b": 7.3,
}
"""Weights as published, in billions."""
ACTIVE_BILLIONS = {"mixtral-8x7b-v0.1": 12.9}
"""Where a token passes only some of them."""
TOKENS = {
    "web-text": 698,
    "random-strings": 81,
    "imdb": 297,
    "wikipedia": 111,
    "ifeval": 48,
    "mmlu": 56,
    "books-en": 63,
    "books-de": 126,
}
"""Tokens a text: means of SmolLM2's tokenizer on 2,048 texts of the offline set that stands in."""
CHAT_TOKENS = 40
"""What a chat template adds, about."""
N_TEXTS, N_PROMPTS = 2048, 541
N_CAPTURES, KS = 2, (1, 10, 50, 100)
H100_BF16 = 800e12
"""Operations per second of large bfloat16 matrix products, as measured by others on such cards."""
DISK_RATE, BUS_RATE = 2e9, 25e9
"""Bytes per second that weights are read with, and moved from memory to the card; assumed."""
CARD_BYTES = 80e9
BATCH_TOKENS = 16_384
CORES = 16
"""Beside each GPU, assumed; and that neighbors are shared evenly among cores, here and on nodes."""
GPUS, NODES, NODE_CORES, TASK_CORES, CORE_DOLLARS = 8, 50, 32, 8, 0.05
"""Of the cluster for the large study, assumed: GPUs, nodes without one, cores of a node and of a task
that finds neighbors, the price of a core hour."""
NEIGHBOR_BYTES = 800
"""Bytes a text and layer: 100 neighbors, an id and a similarity each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What is measured and what is assumed.

    Parameters
    ----------
    share : float
        Of the GPU's rate, that reading reaches.
    dollars : float
        Per GPU and hour.
    curves : mapping
        By stage and what grows, from `benchmarks.growth`.
    """

    share: float
    dollars: float
    curves: dict[tuple[str, str], dict[str, Any]]

    def neighbor_seconds(self, n_texts: float, units: float) -> float:
        """Return the seconds of one layer on two cores: at the largest sizes in step with units.

        That overestimates small layers, whose similarities cost as much to sort out as to compute.
        """
        if n_texts > 2048:
            largest, seconds = self._largest("neighbors of a layer", "texts")
            return seconds * (n_texts / largest) ** 2 * units / 1024
        largest, seconds = self._largest("neighbors of a layer", "units")
        return seconds * (n_texts / 2048) * units / largest

    def pair_seconds(self, n_layers: float, n_texts: float, k: int = 10) -> float:
        """Return the seconds of all pairs of layers on two cores."""
        largest, seconds = self._largest("all pairs", "layers")
        at_ten = seconds * (n_layers / largest) ** 2 * n_texts / 2048
        curve = self.curves["all pairs", "k"]
        known, times = (list(map(math.log, curve[name])) for name in ("sizes", "seconds"))
        here, ten = (math.exp(float(np.interp(math.log(one), known, times))) for one in (k, 10))
        return at_ten * here / ten

    def _largest(self, stage: str, grows: str) -> tuple[float, float]:
        """Return the largest size that was measured, and its seconds; fixed costs weigh least there."""
        curve = self.curves[stage, grows]
        return float(curve["sizes"][-1]), float(curve["seconds"][-1])


def hours(seconds: float) -> str:
    """Return seconds in words."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table, the first one its head."""
    head, *rest = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rest]) + "\n"


def paper_study(rates: Rates) -> str:
    """Return the plan of the paper's study, on one H100 and on eight."""
    from isodepth.models.paper import PAPER_MODELS

    assert set(BILLIONS) == set(PAPER_MODELS), set(BILLIONS) ^ set(PAPER_MODELS)
    texts = {name: N_PROMPTS if name == "ifeval" else N_TEXTS for name in TOKENS}
    plain = sum(texts[name] * tokens for name, tokens in TOKENS.items())
    chat = plain + CHAT_TOKENS * sum(texts.values())
    operations = passes = passes_anew = moving = 0.0
    stored = neighbors = 0.0
    n_layers = n_larger = 0
    for name, model in PAPER_MODELS.items():
        tokens = plain + (chat if model.is_instruction_tuned else 0)
        ways = 2 if model.is_instruction_tuned else 1
        operations += 2e9 * ACTIVE_BILLIONS.get(name, BILLIONS[name]) * tokens
        passes += 2e9 * BILLIONS[name]
        passes_anew += 2e9 * BILLIONS[name] * ways * len(texts)
        if 2e9 * BILLIONS[name] > CARD_BYTES:
            n_larger += 1
            moving += 2e9 * BILLIONS[name] / BUS_RATE * tokens / BATCH_TOKENS
        n_layers += ways * model.n_layers
        stored += N_CAPTURES * ways * model.n_layers * sum(texts.values()) * NEIGHBOR_BYTES
        searched = ways * (model.n_layers + 1)  # the captures differ in the last layer only
        neighbors += searched * sum(
            rates.neighbor_seconds(number, model.width) for number in texts.values()
        )
    reading = operations / (rates.share * H100_BF16)
    largest = max(BILLIONS.values()) * 2e9
    pairs = N_CAPTURES * len(texts) * sum(rates.pair_seconds(n_layers, N_TEXTS, k) for k in KS)
    loading, loading_anew = passes / DISK_RATE, passes_anew / DISK_RATE
    waiting = neighbors * 2 / CORES
    one = reading + loading + moving + waiting
    shared = reading + loading_anew
    lines = [
        ("what", "how much", "how known"),
        (
            "tokens a model (tuned: also as chat)",
            f"{plain:,} ({plain + chat:,})",
            f"measured (offline sets); a chat template's {CHAT_TOKENS} assumed",
        ),
        ("arithmetic", f"{operations:.2g} operations", "computed"),
        (
            "weights, bfloat16",
            f"{passes / 1e9:,.0f} GB; the largest {largest / 1e9:,.0f} GB",
            "published",
        ),
        (
            "reading, one H100",
            hours(reading),
            f"computed, at {rates.share:.0%} of 800 TFLOP/s (assumed)",
        ),
        ("loading weights at 2 GB/s", hours(loading), "computed"),
        ("the same for each text set anew (Ray)", hours(loading_anew), "computed"),
        (
            f"moving the {n_larger} models above {CARD_BYTES / 1e9:.0f} GB to a card, for every batch",
            hours(moving),
            f"computed, at {BUS_RATE / 1e9:.0f} GB/s (assumed)",
        ),
        ("neighbors, two CPU cores", hours(neighbors), "scaled from measured curves"),
        (
            f"the GPU waits for neighbors (not with Ray), {CORES} cores",
            hours(waiting),
            "computed (assumed: shared evenly)",
        ),
        ("all pairs at four k, two captures, two cores", hours(pairs), "scaled from measured curves"),
        ("neighbors stored", f"{stored / 1e9:,.0f} GB", "computed"),
        (
            "one H100, without Ray",
            f"{hours(one)}; {rates.dollars * one / 3600:,.0f} $",
            f"computed, at {rates.dollars:g} $ a GPU hour (assumed)",
        ),
        (
            "eight H100, Ray, nothing moved",
            f"{hours(shared / 8)} if evenly shared; {rates.dollars * shared / 3600:,.0f} $",
            f"computed, at {rates.dollars:g} $ a GPU hour (assumed)",
        ),
    ]
    return table(lines)


def large_study(rates: Rates) -> str:
    """Return the plan of 1,000 models on 100,000 texts."""
    n_models, n_texts, billions, n_layers, units, tokens = 1000, 100_000, 8.0, 32, 4096, 111
    operations = 2e9 * billions * tokens * n_texts * n_models
    reading = operations / (rates.share * H100_BF16)
    layers = n_models * n_layers
    activations = 4.0 * n_layers * n_texts * units
    stored = float(layers) * n_texts * NEIGHBOR_BYTES
    neighbors = layers * rates.neighbor_seconds(n_texts, units)
    finding = neighbors * 2 / (NODES * NODE_CORES)
    most_at_once = 2 * GPUS + NODES * NODE_CORES // TASK_CORES  # see isodepth.engines.ray
    in_a_second = n_models / max(reading / GPUS, finding)
    at_once = GPUS + in_a_second * neighbors * 2 / n_models / TASK_CORES
    pairs = rates.pair_seconds(layers, n_texts)
    lines = [
        ("what", "how much", "how known"),
        ("a model", f"{billions:.0f} billion weights, {n_layers} layers, {units:,} units", "assumed"),
        ("arithmetic", f"{operations:.2g} operations", "computed"),
        (
            "reading",
            f"{reading / 3600:,.0f} H100 hours; {rates.dollars * reading / 3600:,.0f} $",
            f"computed, at {rates.share:.0%} of 800 TFLOP/s and {rates.dollars:g} $ an hour (assumed)",
        ),
        (f"reading, {GPUS} H100", hours(reading / GPUS), "computed (assumed: shared evenly)"),
        ("activations of one model, float32", f"{activations / 1e9:,.0f} GB", "computed"),
        (
            f"activations on disk at once, {GPUS} H100 and {NODES} nodes",
            f"{at_once * activations / 1e12:,.1f} TB; at most {most_at_once * activations / 1e12:,.1f}",
            f"computed: of {at_once:.0f} models, at most {most_at_once}; tasks of {TASK_CORES} cores",
        ),
        (
            "activations written; read twice, to check and to use them",
            f"{n_models * activations / 1e12:,.0f} TB; {2 * n_models * activations / 1e12:,.0f} TB",
            "computed",
        ),
        ("weights moved", f"{2 * billions * n_models / 1e3:,.0f} TB", "computed"),
        ("neighbors of a layer, two cores", hours(neighbors / layers), "scaled from measured curves"),
        (
            "neighbors of all layers",
            f"{neighbors / 1800:,.0f} core hours; {CORE_DOLLARS * neighbors / 1800:,.0f} $",
            f"scaled from measured curves, at {CORE_DOLLARS:g} $ a core hour (assumed)",
        ),
        (
            f"the same, {NODES} nodes of {NODE_CORES} cores",
            hours(finding),
            "computed (assumed: shared evenly)",
        ),
        ("neighbors stored", f"{stored / 1e12:,.1f} TB", "computed"),
        ("all pairs of layers at k = 10, two cores", hours(pairs), "scaled from measured curves"),
        ("the matrix of all layers, float64", f"{8 * layers**2 / 1e9:,.1f} GB", "computed"),
    ]
    return table(lines)


def main() -> None:
    """Print both plans."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measured", type=Path, default=Path("docs/cost.json"))
    parser.add_argument("--dollars", type=float, default=3.0)
    parser.add_argument("--share", type=float, default=0.5)
    arguments = parser.parse_args()
    measured = json.loads(arguments.measured.read_text())["curves"]
    rates = Rates(
        share=arguments.share,
        dollars=arguments.dollars,
        curves={(curve["stage"], curve["grows"]): curve for curve in measured},
    )
    print(f"## The paper's study\n\n{paper_study(rates)}\n")
    print(f"## 1,000 models on 100,000 texts\n\n{large_study(rates)}")


if __name__ == "__main__":
    main()
