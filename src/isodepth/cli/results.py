"""What the terminal shows at the end of a comparison."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isodepth.comparison import Comparison


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it: "93 MB", "212 kB" below one, "42 GB" from ten thousand."""
    if size_bytes >= 1e10:
        return f"{size_bytes / 1e9:,.0f} GB"
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.0f} kB"


def print_comparison(comparison: "Comparison", paths: list[Path]) -> None:
    """Print the heat map, what was found, what to mind, and where the files are."""
    from isodepth.affinity.measures import measure_title
    from isodepth.cli.heatmap import heat_map
    from isodepth.comparison import NO_DECISION

    matrix = comparison.affinity
    size = shutil.get_terminal_size((100, 40))
    lines = heat_map(
        matrix.values,
        left=matrix.left,
        right=matrix.right,
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        most_rows=40,
        most_columns=max(10, (size.columns - 8) // 2),
    )
    click.echo("\n".join(lines))
    click.echo()
    if comparison.decision is not None:
        click.echo(comparison.decision.sentence)
    else:
        click.echo(NO_DECISION)
    test = comparison.test
    if test is not None:
        click.echo(
            f"The paper's test on against off: {test.method}, one-sided, p = {_p(test.p_value)} "
            f"({test.n_on} and {test.n_off} cells, which are not independent samples)."
        )
    summary = comparison.summary()
    best = summary["best_cell"]
    click.echo(
        f"Most similar: layer {best['left_layer']} of {matrix.left} and layer "
        f"{best['right_layer']} of {matrix.right}, {best['similarity']:.3f}."
    )
    texts = comparison.texts
    read = f"texts of {texts.left.name}"
    if comparison.is_parallel:
        read = f"parallel texts of {texts.left.name} and {texts.right.name}"
    options = comparison.left_options
    neighbors = f"k = {matrix.k}, " if matrix.k else ""
    done = [measure_title(matrix.measure), *([matrix.metric] if matrix.metric else [])]
    done += [f"after {matrix.preprocessing}"] if matrix.preprocessing != "none" else []
    click.echo(
        f"{matrix.n_texts:,} {read}, {neighbors}{', '.join(done)}, capture {options.capture}, "
        f"pooling {options.pooling}."
    )
    for note in comparison.cautions():
        click.echo(f"note: {note}")
    if comparison.from_store:
        click.echo(f"Found in the store: {', '.join(comparison.from_store)}.")
    click.echo("Wrote " + "\n      ".join(str(path) for path in paths))


def _p(value: float) -> str:
    return f"{value:.2g}" if value > 0 else "0 (below the smallest number that fits)"
