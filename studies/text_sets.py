"""What do two small models share on every offline text set, and on controls made from one of them?

    python -m studies.text_sets --out text-sets

Compares SmolLM2-135M-Instruct with Gemma-3-270M on 256 texts of each, draws all matrices on one color
scale, and prints a table in Markdown. About half an hour on two cores the first time; results are kept
in the store. docs/small-models.md says what came out.
"""

import argparse
import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

import isodepth
from isodepth.cli.progress import ProgressDisplay
from isodepth.figures import save_figure

LEFT, RIGHT = "smollm2-135m-instruct", "gemma-3-270m"
N_TEXTS = 256
HANDBOOK = ("handbook-en", "handbook-de")
TEXT_SETS = [
    ("news", None),
    ("imdb", None),
    ("wikipedia", None),
    ("mmlu", None),
    ("ifeval", None),
    ("handbook-en", None),
    HANDBOOK,
    ("random-strings", None),
]
CONTROLS = [
    ("wikipedia", None),
    ("shuffled-sentences(wikipedia)", None),
    ("shuffled-words(wikipedia)", None),
    ("caesar(wikipedia)", None),
    ("same-ending(wikipedia)", None),
    ("wikipedia", "shuffled-words(wikipedia)"),
    ("same-ending(handbook-en)", None),
    ("same-ending(handbook-en)", "same-ending(handbook-de)"),
]


def compared(texts: tuple[str, str | None]) -> isodepth.Comparison:
    """Return the comparison of the two models on one set, or on two parallel ones."""
    with ProgressDisplay() as progress:
        return isodepth.compare(
            LEFT, RIGHT, texts[0], right_texts=texts[1], n=N_TEXTS, progress=progress
        )


def title(comparison: isodepth.Comparison) -> str:
    """Return what was read, by both or by left and right."""
    left, right = comparison.texts.left.name, comparison.texts.right.name
    return f"{left} × {right}" if comparison.is_parallel else left


def row(comparison: isodepth.Comparison) -> str:
    """Return one line of the table."""
    values, test, matches = comparison.affinity.values, comparison.test, comparison.matches
    decision = comparison.decision
    assert test is not None  # both models have several layers
    assert decision is not None  # the measure is mutual k-NN
    described = isodepth.describe_texts(comparison.texts.left)
    left_layer, right_layer = (int(at) + 1 for at in np.unravel_index(values.argmax(), values.shape))
    cells = [
        title(comparison),
        f"{described.characters['median']:,.0f}",
        f"{values.mean():.3f}",
        f"{values.max():.3f} at {left_layer} × {right_layer}",
        f"{test.on_mean:.3f}",
        f"{test.off_mean:.3f}",
        str(comparison.assessment.profile["on_minus_off"]),
        ", ".join(
            "undefined" if correlation is None else f"{correlation:.2f}"
            for correlation in (matches.left_rank_correlation, matches.right_rank_correlation)
        ),
        decision.verdict,
    ]
    return "| " + " | ".join(cells) + " |"


HEADER = """| texts | median characters | mean | highest, at layers | on | off | on - off | rank \
correlation | verdict |
|---|---|---|---|---|---|---|---|---|"""


@mpl.rc_context({"text.parse_math": False})
def grid(comparisons: list[isodepth.Comparison]) -> Figure:
    """Return all matrices side by side on one color scale, which starts at 0."""
    n_columns = 4
    n_rows = math.ceil(len(comparisons) / n_columns)
    highest = max(float(comparison.affinity.values.max()) for comparison in comparisons)
    figure = Figure(figsize=(9.6, 3.5 * n_rows), layout="constrained")
    panels = np.atleast_2d(figure.subplots(n_rows, n_columns))
    for axes in panels.flat[len(comparisons) :]:
        axes.remove()
    for axes, comparison in zip(panels.flat, comparisons, strict=False):
        values = comparison.affinity.values
        image = axes.imshow(values, origin="lower", cmap="inferno", vmin=0.0, vmax=highest)
        axes.set_title(title(comparison).replace(" × ", "\n× ").replace("(", "\n(", 1), fontsize=9)
        axes.set_xticks([0, values.shape[1] - 1], ["1", str(values.shape[1])])
        axes.set_yticks([0, values.shape[0] - 1], ["1", str(values.shape[0])])
    figure.supxlabel(f"layer of {RIGHT}", fontsize=10)
    figure.supylabel(f"layer of {LEFT}", fontsize=10)
    bar = figure.colorbar(image, ax=panels.ravel().tolist(), shrink=0.6, aspect=30)
    chance = comparisons[0].affinity.chance
    bar.set_label(f"mutual 10-NN similarity, {N_TEXTS} texts (chance {chance:.3f})")
    return figure


def main() -> None:
    """Run both series, write two pictures and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("text-sets"))
    out = parser.parse_args().out
    for name, series in (("text-sets", TEXT_SETS), ("controls", CONTROLS)):
        comparisons = [compared(texts) for texts in series]
        save_figure(grid(comparisons), out / f"{name}.png")
        print(HEADER, *map(row, comparisons), sep="\n", end="\n\n")


if __name__ == "__main__":
    main()
