"""Options that several commands share."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from isodepth.models.options import (
    ATTENTIONS,
    DEVICE_MAPS,
    DTYPES,
    LARGEST_SEED,
    QUANTIZATIONS,
    LoadingOptions,
)

Command = TypeVar("Command", bound=Callable[..., None])


store_option = click.option(
    "--store",
    metavar="PLACE",
    help="Folder or URL (s3://bucket/prefix) of the store. Default: $ISODEPTH_STORE or the user's data "
    "folder.",
)
"""The option that says where readings and matrices are kept; `isodepth.store.open_store` takes it."""


formats_option = click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "pdf", "svg"]),
    multiple=True,
    default=("png", "pdf"),
    show_default=True,
    help="Of the figures; may be given several times.",
)
"""The option that says as what figures are written."""


def sampling_options(*, n: str) -> Callable[[Command], Command]:
    """Return a decorator that adds -n and --seed; `n` says what is taken without -n."""
    return adding(
        click.option(
            "-n",
            "n",
            type=click.IntRange(min=2),
            help=f"How many texts to sample. Default: {n}.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=1234,
            show_default=True,
            help="Seed of the sampling, and of random strings.",
        ),
    )


def text_options(command: Command) -> Command:
    """Add the options that say which texts of a set are read."""
    return adding(
        click.option("--column", help="Column of a .jsonl, .csv, .parquet file or hub data set."),
        click.option(
            "--source",
            type=click.Choice(["offline", "hub"]),
            help="Source of a catalogue set. Default: the offline one, where there is one.",
        ),
        click.option(
            "--min-chars",
            type=click.IntRange(min=0),
            help="Leave out texts of fewer characters; 1 leaves out empty ones.",
        ),
        click.option(
            "--max-chars", type=click.IntRange(min=0), help="Leave out texts of more characters."
        ),
        click.option("--dedupe", is_flag=True, help="Leave out exact copies of other texts."),
    )(command)


def comparison_options(*, out: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a comparison, with this folder for the results."""
    return adding(
        click.option("-k", "k", default=10, show_default=True, help="Neighbors per text."),
        measure_options,
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default=out,
            show_default=True,
            help="Folder for the results.",
        ),
        store_option,
        click.option("--keep-activations", is_flag=True, help="Keep the activations in the store too."),
    )


def measure_options(command: Command) -> Command:
    """Add the options that say how similar two layers are, besides -k."""
    return adding(
        click.option(
            "--measure",
            default="mutual_knn",
            show_default=True,
            metavar="NAME",
            help="How similar two layers are; 'isodepth measures' lists names.",
        ),
        click.option(
            "--metric",
            type=click.Choice(["cosine", "euclidean", "correlation", "inner_product"]),
            default="cosine",
            show_default=True,
            help="What near means, for measures of neighbors.",
        ),
        click.option(
            "--preprocessing",
            default="none",
            show_default=True,
            metavar="STEPS",
            help="What is done to each layer's activations first: center, standardize, whiten, "
            "'remove_components(3)', 'clip(0.99)', 'drop_largest(3)', 'drop_units(17,138)', unit_norm; "
            "several joined by +.",
        ),
    )(command)


def given(context: click.Context, name: str) -> bool:
    """Return whether an option was given, be it as its default is."""
    return context.get_parameter_source(name) is not ParameterSource.DEFAULT


def note_unused(context: click.Context, title: str, *, takes_k: bool, takes_metric: bool) -> None:
    """Say which of -k and --metric were given to a measure of this title that takes none."""
    names = {"-k": ("k", takes_k), "--metric": ("metric", takes_metric)}
    unused = [
        option for option, (name, is_taken) in names.items() if given(context, name) and not is_taken
    ]
    if unused:
        verb = "does" if len(unused) == 1 else "do"
        click.echo(f"note: {' and '.join(unused)} {verb} not count for {title}", err=True)


def reading_options(command: Command) -> Command:
    """Add the options that say what of a model is read, and at which tokens."""
    return adding(
        click.option(
            "--capture",
            type=click.Choice(["block", "final_norm", "attention", "mlp"]),
            default="block",
            show_default=True,
            help="Block outputs; the same with the last layer after the final norm; or what attention "
            "or MLP of every block adds.",
        ),
        click.option(
            "--pooling",
            default="last",
            show_default=True,
            metavar="last|mean|first|INDEX",
            help="The activation at the last token, the mean over all, or at one token (from 0, or "
            "from the end: --pooling=-2).",
        ),
        click.option(
            "--max-tokens",
            type=int,
            help="Cut texts after so many tokens, special tokens in front included.",
        ),
    )(command)


def loading_options(command: Command) -> Command:
    """Add the options that say how models are loaded; `loading_of` takes them together."""
    return adding(
        click.option(
            "--dtype",
            type=click.Choice(DTYPES),
            default="float32",
            show_default=True,
            help="Number format of weights and arithmetic.",
        ),
        click.option(
            "--quantization",
            type=click.Choice(QUANTIZATIONS),
            help="Quantize the weights with bitsandbytes.",
        ),
        click.option(
            "--attention",
            type=click.Choice(ATTENTIONS),
            help="Attention implementation. Default: that of transformers.",
        ),
        click.option(
            "--device", help="cpu, cuda, cuda:1, mps. Default: the first CUDA device, else the CPU."
        ),
        click.option(
            "--device-map",
            type=click.Choice(DEVICE_MAPS),
            help="Spread weights over all devices, for models larger than one card.",
        ),
        click.option(
            "--trust-remote-code",
            is_flag=True,
            help="Run Python code that comes with a model. Only for makers that you trust.",
        ),
        click.option(
            "--untrained",
            type=click.IntRange(min=0, max=LARGEST_SEED),
            metavar="SEED",
            help="Read untrained copies: weights drawn at random, by this seed.",
        ),
        click.option(
            "--batch-tokens",
            type=click.IntRange(min=1),
            help="The most tokens of a batch, padding included. Default: what suits the device.",
        ),
    )(command)


def loading_of(options: dict[str, Any]) -> LoadingOptions:
    """Take the options of `loading_options` out of a command's, and return them together."""
    names = [field.name for field in fields(LoadingOptions)]
    return LoadingOptions(**{name: options.pop(name) for name in names})


def adding(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Return a decorator that adds options to a command, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
