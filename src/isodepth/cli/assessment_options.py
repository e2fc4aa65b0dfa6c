"""Options of commands that assess results: which of them, how much is permuted and resampled."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.options import Command, adding, store_option
from isodepth.notation import split_arguments, unquoted

if TYPE_CHECKING:
    from isodepth.assessment import AssessmentOptions


def assessment_options(command: Command) -> Command:
    """Add the options that say which results are assessed, and how."""
    return adding(
        click.option("--texts", multiple=True, help="Only this text set; may be given several times."),
        click.option(
            "--measure",
            "measures",
            multiple=True,
            metavar="NAME",
            help="Only matrices by this measure, such as cka; may be given several times.",
        ),
        click.option(
            "-k",
            "ks",
            type=click.IntRange(min=1),
            multiple=True,
            help="Only matrices with this many neighbors, and those by measures that take none; may be "
            "given several times. Default: 10, if there are such.",
        ),
        click.option(
            "--without",
            multiple=True,
            metavar="MODEL",
            help="Leave out this model; may be given several times.",
        ),
        click.option(
            "--permutations",
            type=click.IntRange(min=19),
            default=999,
            show_default=True,
            help="Random relabellings of the texts; the lowest p-value is 1 / (1 + this).",
        ),
        click.option(
            "--resamples",
            type=click.IntRange(min=100),
            default=1000,
            show_default=True,
            help="Resamples of the texts, for intervals.",
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of both."
        ),
        click.option(
            "--alpha",
            type=click.FloatRange(min=0, max=0.5, min_open=True, max_open=True),
            default=0.05,
            show_default=True,
            help="How often a verdict may wrongly say that something is there.",
        ),
        click.option(
            "--groups",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help='JSON file of families of models, {"family": ["model", ...]}: the test over all '
            "models leaves out whole families.",
        ),
        store_option,
    )(command)


study_folder_option = click.option(
    "--study-folder",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Folder of the study file, where its texts that begin with ./ are looked up to be quoted. "
    "Default: the current folder.",
)


def options_of(settings: Mapping[str, Any]) -> "AssessmentOptions":
    """Return how much is permuted and resampled, from a command's settings."""
    from isodepth.assessment import AssessmentOptions

    return AssessmentOptions(
        n_permutations=settings["permutations"],
        n_resamples=settings["resamples"],
        seed=settings["seed"],
        alpha=settings["alpha"],
    )


def families_of(path: Path | None) -> dict[str, list[str]] | None:
    """Return families of models from a JSON file, if there is one."""
    if path is None:
        return None
    try:
        families = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} cannot be read as JSON: {error}") from error
    fits = isinstance(families, dict) and all(
        isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        for labels in families.values()
    )
    if not fits:
        raise click.BadParameter(f'{path} must hold {{"family": ["model", ...], ...}}')
    return {str(family): labels for family, labels in families.items()}


def pair_of(written: str, option: str, *, otherwise: str = "") -> tuple[str, str]:
    """Return two models' labels from ``LEFT,RIGHT``; commas in quotes and parentheses separate nothing.

    Parameters
    ----------
    written : str
        What was given.
    option : str
        For which option, for the error.
    otherwise : str
        What the option takes besides, for the error.
    """
    labels = [unquoted(label.strip()) for label in split_arguments(written)]
    if len(labels) != 2 or not all(labels):
        raise click.BadParameter(
            f"{written!r}: expected two labels with a comma between them{otherwise}", param_hint=option
        )
    return labels[0], labels[1]
