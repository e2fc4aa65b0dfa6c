"""`isodepth compare`: two models on the same texts."""

from pathlib import Path
from typing import Any

import click

from isodepth.cli.options import comparison_options

N_TEXTS = 512


@click.command(
    "compare",
    epilog="""\b
Example:
  isodepth compare smollm2-135m-instruct gemma-3-270m --texts wikipedia -n 128 --out compare
""",
)
@click.argument("left")
@click.argument("right")
@click.option("--texts", required=True, help="Text set: catalogue name or file.")
@click.option("--column", help="Column of a .jsonl, .csv or .parquet file that holds the texts.")
@comparison_options(n=N_TEXTS, out="compare")
def compare_command(left: str, right: str, texts: str, **options: Any) -> None:
    """Compare all layers of two models by the nearest neighbors of the texts.

    LEFT and RIGHT are models: a catalogue name (see 'isodepth models'), a hub id "owner/name", a local
    transformers folder, or a GGUF file. Texts are a catalogue name (see 'isodepth texts') or a .txt
    (one text a line), .jsonl, .csv or .parquet file.

    Writes the affinity matrix as picture and table, the most similar layers, and a summary.
    """
    run_comparison(left, right, texts, most_texts=N_TEXTS, **options)


def run_comparison(
    left: str,
    right: str,
    texts: str,
    *,
    n: int | None,
    most_texts: int,
    seed: int,
    out: Path,
    column: str | None = None,
    **settings: Any,
) -> None:
    """Run a comparison with progress bars, write its files and print what was found.

    `most_texts` are sampled where `n` does not say how many, or all are read where there are fewer.
    """
    from isodepth.atomic import refuse_unwritable
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.cli.results import print_comparison
    from isodepth.models import MODELS
    from isodepth.pipeline import compare
    from isodepth.texts import load_texts

    for name in dict.fromkeys((left, right)):
        entry = MODELS.get(name)
        if entry is not None and entry.notice and not entry.is_downloaded:
            click.echo(f"note: {entry.notice}", err=True)
    refuse_unwritable(out)  # before the work, not after it
    with ProgressDisplay() as progress:
        text_set = load_texts(texts, column=column, progress=progress)
        if n is not None or len(text_set) > most_texts:
            text_set = text_set.sample(n or most_texts, seed)
        comparison = compare(left, right, text_set, progress=progress, **settings)
    paths = comparison.write(out)
    print_comparison(comparison, paths)
