"""`isodepth compare`: two models on the same texts."""

from pathlib import Path
from typing import Any

import click

from isodepth.cli.options import comparison_options


@click.command(
    "compare",
    epilog="""\b
Example:
  isodepth compare smollm2-135m-instruct gemma-3-270m --texts wikipedia -n 128 --out compare
  isodepth compare ./base ./tuned --texts reviews.csv --column review -n 512
""",
)
@click.argument("left")
@click.argument("right")
@click.option("--texts", required=True, help="Text set: catalogue name or file.")
@click.option("--column", help="Column of a .jsonl, .csv or .parquet file that holds the texts.")
@comparison_options(n=512, out="compare")
def compare_command(left: str, right: str, texts: str, column: str | None, **options: Any) -> None:
    """Compare all layers of two models by the nearest neighbors of the texts.

    LEFT and RIGHT are models: a catalogue name (see 'isodepth models'), a hub id "owner/name", a local
    transformers folder, or a GGUF file. Texts are a catalogue name (see 'isodepth texts') or a .txt
    (one text a line), .jsonl, .csv or .parquet file.

    Writes the affinity matrix as picture and table, the most similar layers, and a summary.
    """
    run_comparison(left, right, texts, column=column, **options)


def run_comparison(
    left: str,
    right: str,
    texts: str,
    *,
    n: int,
    out: Path,
    column: str | None = None,
    **settings: Any,
) -> None:
    """Run a comparison with progress bars, write its files and print what was found."""
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.cli.results import print_comparison
    from isodepth.models import MODELS
    from isodepth.pipeline import compare

    for name in dict.fromkeys((left, right)):
        entry = MODELS.get(name)
        if entry is not None and entry.notice and not entry.is_downloaded:
            click.echo(f"note: {entry.notice}", err=True)
    with ProgressDisplay() as progress:
        comparison = compare(
            left, right, texts, n=n or None, column=column, progress=progress, **settings
        )
    paths = comparison.write(out)
    print_comparison(comparison, paths)
