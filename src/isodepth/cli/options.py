"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., None])


def comparison_options(*, n: int, out: str) -> Callable[[Command], Command]:
    """Return a decorator that adds the options of a comparison, with these defaults."""
    options = [
        click.option(
            "-n",
            "n",
            type=click.IntRange(min=2),
            help=f"How many texts to sample. Default: {n}, or all where there are fewer.",
        ),
        click.option("-k", "k", default=10, show_default=True, help="Neighbors per text."),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=1234,
            show_default=True,
            help="Seed of the sampling.",
        ),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            default=out,
            show_default=True,
            help="Folder for the results.",
        ),
        click.option(
            "--store",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of stored results. Default: $ISODEPTH_STORE or the user's data folder.",
        ),
        click.option(
            "--capture",
            type=click.Choice(["block", "final_norm"]),
            default="block",
            show_default=True,
            help="Raw block outputs, or the last layer after the final norm.",
        ),
        click.option(
            "--pooling",
            type=click.Choice(["last", "mean"]),
            default="last",
            show_default=True,
            help="The activation at the last token, or the mean over all.",
        ),
        click.option(
            "--max-tokens",
            type=int,
            help="Cut texts after so many tokens, special tokens in front included.",
        ),
        click.option("--keep-activations", is_flag=True, help="Keep the activations in the store too."),
    ]

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate
