"""How does time grow with texts, tokens, layers, models, units and k? Curves, for docs/cost.md.

    python -m benchmarks.growth [--rounds 3] [--out docs]

Every curve changes one thing and keeps the rest. Models and neighbor lists are made here, with random
weights and ids, as their cost does not depend on values. Draws `images/cost.png`, writes `cost.json`,
and prints a table with the exponent of each curve between its last two sizes: 1 where twice as much
takes twice as long.
"""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.all_pairs import as_neighbors, spread_ids
from benchmarks.harness import this_machine, timed
from benchmarks.random_model import N_WORDS, random_model
from isodepth import all_affinities, load_texts, nearest_neighbors
from isodepth.activations.extraction import prepare_extraction
from isodepth.activations.result import ExtractionOptions

TOKENS = 6_000
SMALL = {"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Seconds of one stage as one thing grows.

    Parameters
    ----------
    stage : str
        Reading, neighbors or all pairs.
    grows : str
        What changes, with its unit.
    kept : str
        What does not.
    sizes : sequence of float
        Of what changes.
    seconds : sequence of float
        Medians over rounds.
    """

    stage: str
    grows: str
    kept: str
    sizes: Sequence[float]
    seconds: Sequence[float]

    @property
    def exponent(self) -> float:
        """The slope of the logarithms between the last two sizes, where fixed costs weigh least."""
        (size, larger), (before, after) = self.sizes[-2:], self.seconds[-2:]
        return math.log(after / before) / math.log(larger / size)


def curves(rounds: int) -> Iterator[Curve]:
    def curve(
        stage: str, grows: str, kept: str, sizes: Sequence[int], work: Callable[[int], object]
    ) -> Curve:
        work(sizes[0])  # what is set up once is not timed
        found: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(rounds):
            for size in sizes:
                found[size].append(timed(partial(work, size)))
        medians = [statistics.median(found[size]) for size in sizes]
        return Curve(stage=stage, grows=grows, kept=kept, sizes=sizes, seconds=medians)

    yield from reading_curves(curve)
    yield from neighbor_curves(curve)
    yield from pair_curves(curve)


def reading_curves(curve: Callable[..., Curve]) -> Iterator[Curve]:
    def ready(n_texts: int, length: int, width: int, n_layers: int) -> Callable[[], object]:
        sizes = {**SMALL, "num_hidden_layers": n_layers, "hidden_size": width}
        sizes["intermediate_size"] = 4 * width
        model = random_model(sizes, device="cpu", dtype=torch.float32)[2]
        rng = np.random.default_rng(0)
        texts = [
            " ".join(f"w{word}" for word in rng.integers(1, N_WORDS, length)) for _ in range(n_texts)
        ]
        (extraction,) = prepare_extraction(model, load_texts(texts), ExtractionOptions())
        return lambda: [None for _ in extraction.batches()]

    def run(made: dict[int, Callable[[], object]], size: int) -> object:
        return made[size]()

    numbers = [32, 64, 128, 256]
    made = {number: ready(number, 100, 512, 8) for number in numbers}
    yield curve(
        "reading", "texts", "100 tokens a text, 8 layers, 512 units", numbers, partial(run, made)
    )
    lengths = [32, 128, 512, 1500]
    made = {length: ready(TOKENS // length, length, 512, 8) for length in lengths}
    yield curve(
        "reading",
        "tokens a text",
        f"{TOKENS:,} tokens in all, 8 layers, 512 units",
        lengths,
        partial(run, made),
    )
    layers = [4, 8, 16, 32]
    made = {number: ready(64, 100, 512, number) for number in layers}
    yield curve("reading", "layers", "64 texts of 100 tokens, 512 units", layers, partial(run, made))
    widths = [256, 512, 1024, 2048]
    made = {width: ready(64, 100, width, 4) for width in widths}
    yield curve("reading", "units", "64 texts of 100 tokens, 4 layers", widths, partial(run, made))


def neighbor_curves(curve: Callable[..., Curve]) -> Iterator[Curve]:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((24_000, 1024), dtype=np.float32)
    wide = rng.standard_normal((2048, 8192), dtype=np.float32)
    yield curve(
        "neighbors of a layer",
        "texts",
        "1,024 units, k = 100",
        [1500, 3000, 6000, 12_000, 24_000],
        lambda number: nearest_neighbors(values[:number], 100),
    )
    yield curve(
        "neighbors of a layer",
        "units",
        "2,048 texts, k = 100",
        [512, 1024, 2048, 4096, 8192],
        lambda number: nearest_neighbors(wide[:, :number], 100),
    )
    yield curve(
        "neighbors of a layer",
        "k",
        "6,000 texts, 1,024 units",
        [1, 10, 100, 400],
        lambda k: nearest_neighbors(values[:6000], k),
    )


def pair_curves(curve: Callable[..., Curve]) -> Iterator[Curve]:
    rng = np.random.default_rng(0)

    def made(n_models: int, n_texts: int, k: int) -> list:
        ids = [np.stack([spread_ids(n_texts, k, rng) for _ in range(32)]) for _ in range(n_models)]
        return [as_neighbors(one, str(number)) for number, one in enumerate(ids)]

    models = made(64, 2048, 10)
    yield curve(
        "all pairs",
        "layers",
        "models of 32 layers each, 2,048 texts, k = 10",
        [256, 512, 1024, 2048],
        lambda number: all_affinities(models[: number // 32]),
    )
    for_texts = {number: made(8, number, 10) for number in (2048, 8192, 32_768)}
    yield curve(
        "all pairs",
        "texts",
        "8 models of 32 layers, k = 10",
        list(for_texts),
        lambda number: all_affinities(for_texts[number]),
    )
    for_k = {k: made(8, 2048, k) for k in (1, 10, 100)}
    yield curve(
        "all pairs",
        "k",
        "8 models of 32 layers, 2,048 texts",
        list(for_k),
        lambda k: all_affinities(for_k[k]),
    )


def draw(found: Sequence[Curve], path: Path) -> None:
    """Draw the curves, a panel for each stage."""
    import matplotlib.pyplot as plt

    stages = list(dict.fromkeys(curve.stage for curve in found))
    figure, panels = plt.subplots(1, len(stages), figsize=(12, 4), layout="constrained")
    for panel, stage in zip(panels, stages, strict=True):
        for curve in (one for one in found if one.stage == stage):
            label = f"{curve.grows} (exponent {curve.exponent:.2f})"
            panel.loglog(curve.sizes, curve.seconds, marker="o", label=label)
        panel.set(title=stage, xlabel="texts, tokens, layers, units, k", ylabel="seconds")
        panel.grid(visible=True, which="both", alpha=0.2)
        panel.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    machine = this_machine()
    found = []
    print("| stage | grows | kept | measured (size: seconds) | exponent |\n|---|---|---|---|---|")
    for curve in curves(arguments.rounds):
        found.append(curve)
        pairs = zip(curve.sizes, curve.seconds, strict=True)
        points = ", ".join(f"{size:,}: {seconds:.3g}" for size, seconds in pairs)
        print(
            f"| {curve.stage} | {curve.grows} | {curve.kept} | {points} | {curve.exponent:.2f} |",
            flush=True,
        )
    draw(found, arguments.out / "images" / "cost.png")
    measured = [{**asdict(curve), "exponent": curve.exponent} for curve in found]
    text = json.dumps({"machine": machine, "curves": measured}, indent=1)
    (arguments.out / "cost.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
