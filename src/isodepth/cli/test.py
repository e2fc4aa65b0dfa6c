"""`isodepth test`: what results support, with intervals and p-values."""

import json
from pathlib import Path

import click

from isodepth.cli.options import store_option


@click.command(
    "test",
    epilog="""\b
Examples:
  isodepth test results/small
  isodepth test results/small --texts wikipedia -k 1 -k 10 --permutations 9999
  isodepth test results/paper --groups families.json --out paper-tests
""",
)
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option("--texts", multiple=True, help="Only this text set; may be given several times.")
@click.option(
    "-k",
    "ks",
    type=click.IntRange(min=1),
    multiple=True,
    help="Only matrices with this number of neighbors; may be given several times. Default: 10, if "
    "there are such.",
)
@click.option(
    "--permutations",
    type=click.IntRange(min=19),
    default=999,
    show_default=True,
    help="Random relabellings of the texts; the lowest p-value is 1 / (1 + this).",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=1000,
    show_default=True,
    help="Resamples of the texts, for intervals.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of both.")
@click.option(
    "--alpha",
    type=click.FloatRange(min=0, max=0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="How often a verdict may wrongly say that something is there.",
)
@click.option(
    "--groups",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON file of families of models, {"family": ["model", ...]}: the test over all models leaves '
    "out whole families.",
)
@store_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the tables. Default: RESULTS/tests.",
)
def test_command(
    results: Path,
    *,
    texts: tuple[str, ...],
    ks: tuple[int, ...],
    permutations: int,
    resamples: int,
    seed: int,
    alpha: float,
    groups: Path | None,
    store: str | None,
    out: Path | None,
) -> None:
    """Test what RESULTS show: more than chance? by depth? over all models?

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files. Texts are relabelled and resampled with the neighbors that the store has;
    without them, only estimates from the matrices are given.

    Prints a table for each text set, and writes tests.json and four Parquet tables: pairs (of models),
    estimates, layer_pairs and depth_maps.
    """
    from isodepth.assessment import AssessmentOptions
    from isodepth.atomic import refuse_unwritable
    from isodepth.cli.assessment_tables import assessment_lines
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import assess_study

    place = out or (results if results.is_dir() else results.parent) / "tests"
    refuse_unwritable(place)  # before the work, not after it
    options = AssessmentOptions(
        n_permutations=permutations, n_resamples=resamples, seed=seed, alpha=alpha
    )
    families = None if groups is None else _families(groups)
    with ProgressDisplay() as progress:
        assessed = assess_study(
            results,
            texts=texts,
            ks=ks,
            groups=families,
            store=store,
            options=options,
            progress=progress,
        )
    for line in assessment_lines(assessed):
        click.echo(line)
    click.echo()
    click.echo("Wrote " + "\n      ".join(str(path) for path in assessed.write(place)))


def _families(path: Path) -> dict[str, list[str]]:
    """Return families of models from a JSON file."""
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
