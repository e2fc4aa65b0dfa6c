"""`isodepth test`: what results support, with intervals and p-values."""

from pathlib import Path
from typing import Any

import click

from isodepth.cli.assessment_options import assessment_options, families_of, options_of


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
@assessment_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the tables. Default: RESULTS/tests.",
)
def test_command(
    results: Path,
    *,
    texts: tuple[str, ...],
    measures: tuple[str, ...],
    ks: tuple[int, ...],
    without: tuple[str, ...],
    groups: Path | None,
    store: str | None,
    out: Path | None,
    **settings: Any,
) -> None:
    """Test what RESULTS show: more than chance? by depth? over all models?

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files. Texts are relabelled and resampled with the neighbors that the store has;
    without them, only estimates from the matrices are given.

    Prints a table for each text set, and writes tests.json and four Parquet tables: pairs (of models),
    estimates, layer_pairs and depth_maps.
    """
    from isodepth.atomic import refuse_unwritable
    from isodepth.cli.assessment_tables import assessment_lines
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import assess_study
    from isodepth.results import load_results

    place = out or (results if results.is_dir() else results.parent) / "tests"
    refuse_unwritable(place)  # before the work, not after it
    families = families_of(groups)
    options = options_of(settings)
    with ProgressDisplay() as progress:
        assessed = assess_study(
            load_results(results).without(without),
            texts=texts,
            measures=measures,
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
