"""`isodepth compare`: two models on the same texts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.options import (
    comparison_options,
    loading_of,
    loading_options,
    note_unused,
    reading_options,
    sampling_options,
    text_options,
)

if TYPE_CHECKING:
    from isodepth.comparison import Comparison

N_TEXTS = 512


@click.command(
    "compare",
    epilog="""\b
Examples:
  isodepth compare smollm2-135m-instruct gemma-3-270m --texts wikipedia -n 128 --out compare
  isodepth compare ./base ./tuned --texts reviews.csv --column review --dedupe --min-chars 20
  isodepth compare ./base ./tuned --texts handbook-en --right-texts handbook-de
  isodepth compare ./base './base(adapter=./lora)' --texts news
  isodepth compare gemma-3-270m 'gemma-3-270m(dtype=bfloat16)' --texts news
""",
)
@click.argument("left")
@click.argument("right")
@click.option("--texts", required=True, help="Text set, as described above.")
@click.option(
    "--right-texts",
    help="Text set that RIGHT reads instead, parallel to --texts row by row.",
)
@text_options
@click.option("--right-column", help="Column that RIGHT reads: of --right-texts, or of --texts.")
@click.option("--chat", is_flag=True, help="Wrap texts as a user's turn in each model's chat template.")
@click.option("--chat-left", is_flag=True, help="The same, for LEFT only.")
@click.option("--chat-right", is_flag=True, help="The same, for RIGHT only.")
@sampling_options(n=f"{N_TEXTS}, or all where there are fewer")
@reading_options
@loading_options
@comparison_options(out="compare")
def compare_command(
    left: str,
    right: str,
    texts: str,
    *,
    chat: bool,
    chat_left: bool,
    chat_right: bool,
    **options: Any,
) -> None:
    """Compare all layers of two models by the nearest neighbors of the texts.

    LEFT and RIGHT are models: a catalogue name (see 'isodepth models'), a hub id owner/name[@revision],
    a local transformers folder, a GGUF file, or a PEFT adapter's folder. Behind a model, options for it
    alone may stand: 'MODEL(adapter=./lora, dtype=bfloat16, quantization=4bit)'.

    Texts are a catalogue name (see 'isodepth texts'); random-strings; a control of another set, such as
    'caesar(news)'; a .txt (one text a line), .jsonl, .csv or .parquet file; a folder of .txt files; a
    hub data set hf:owner/name[@revision][/config][:split][:column]; or - for standard input.

    Writes the affinity matrix as picture and table, the most similar layers, a summary, and a report:
    one page that shows all of it down to single texts, and needs no network.
    """
    one_side = "left" if chat_left else "right"
    both = chat or (chat_left and chat_right)
    options["loading"] = loading_of(options)
    options["chat"] = one_side if (chat_left or chat_right) and not both else both
    run_comparison(left, right, texts, most_texts=N_TEXTS, **options)


def run_comparison(left: str, right: str, texts: str, *, out: Path, **settings: Any) -> None:
    """Run a comparison, write its files and print what was found; settings as for `compared`."""
    from isodepth.atomic import refuse_unwritable
    from isodepth.cli.results import print_comparison

    refuse_unwritable(out)  # before the work, not after it
    comparison = compared(left, right, texts, **settings)
    print_comparison(comparison, comparison.write(out))


def compared(
    left: str,
    right: str,
    texts: str,
    *,
    n: int | None,
    most_texts: int,
    seed: int,
    right_texts: str | None = None,
    right_column: str | None = None,
    column: str | None = None,
    source: str | None = None,
    min_chars: int | None = None,
    max_chars: int | None = None,
    dedupe: bool = False,
    **settings: Any,
) -> "Comparison":
    """Run a comparison with progress bars; return it.

    `most_texts` are sampled where `n` does not say how many, or all are read where there are fewer.
    """
    from isodepth.affinity.measures import check_measure, measure_named
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.models import MODELS
    from isodepth.pipeline import compare
    from isodepth.texts import ParallelTexts, TextSet, load_parallel_texts, load_texts

    check_measure(settings["measure"])
    measure = measure_named(settings["measure"])
    note_unused(
        click.get_current_context(),
        measure.title,
        takes_k=measure.takes_k,
        takes_metric=measure.reads == "neighbors",
    )
    for name in dict.fromkeys((left, right)):
        entry = MODELS.get(name.split("(")[0])
        if entry is not None and entry.notice and not entry.weights.is_here:
            click.echo(f"note: {entry.notice}", err=True)
    with ProgressDisplay() as progress:
        loading: dict[str, Any] = {
            "n": n or most_texts,
            "allow_fewer": n is None,
            "seed": seed,
            "column": column,
            "source": source,
            "min_chars": min_chars,
            "max_chars": max_chars,
            "dedupe": dedupe,
            "progress": progress,
        }
        read: TextSet | ParallelTexts
        if right_texts is None and right_column is None:
            read = load_texts(texts, **loading)
        else:
            other = texts if right_texts is None else right_texts
            read = load_parallel_texts(texts, other, right_column=right_column, **loading)
        return compare(left, right, read, progress=progress, **settings)
