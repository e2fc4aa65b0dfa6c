"""`isodepth figures`: every figure that results give."""

from pathlib import Path
from typing import Any

import click

from isodepth.cli.assessment_options import (
    assessment_options,
    families_of,
    options_of,
    pair_of,
    study_folder_option,
)
from isodepth.cli.options import formats_option


@click.command(
    "figures",
    epilog="""\b
Examples:
  isodepth figures results/small
  isodepth figures results/small --texts wikipedia --pair gemma-3-270m,smollm2-135m-instruct
  isodepth figures results/small --measure mutual_knn --measure cka_debiased
  isodepth figures results/paper --format pdf --groups families.json --out paper-figures
""",
)
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="LEFT,RIGHT",
    help="A pair of models, by their labels, that gets figures of its own; may be given several times. "
    "Default: those of the paper, base models with what was tuned from them, and those with the "
    "strongest, the median and the weakest diagonal.",
)
@formats_option
@assessment_options
@study_folder_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the figures. Default: RESULTS/figures.",
)
def figures_command(
    results: Path,
    *,
    pairs: tuple[str, ...],
    formats: tuple[str, ...],
    texts: tuple[str, ...],
    measures: tuple[str, ...],
    ks: tuple[int, ...],
    without: tuple[str, ...],
    groups: Path | None,
    store: str | None,
    folder: Path,
    out: Path | None,
    **settings: Any,
) -> None:
    """Draw everything that RESULTS show: each figure of the paper, and more.

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files. Neighbors in the store add intervals, k sweeps and Venn diagrams; without them,
    figures are of the matrices alone.

    Writes one folder a text set, and index.md, which says what each figure shows. Arrays have the
    models of a family of --groups together; without families, models that are alike.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import write_figures

    place = out or (results if results.is_dir() else results.parent) / "figures"
    with ProgressDisplay() as progress:
        written = write_figures(
            results,
            place,
            texts=texts,
            measures=measures,
            ks=ks,
            without=without,
            pairs=[pair_of(one, "--pair") for one in pairs],
            groups=families_of(groups),
            formats=formats,
            store=store,
            folder=folder,
            options=options_of(settings),
            progress=progress,
        )
    click.echo(f"Wrote {len(written) - 1:,} figures; {written[-1]} says what they show.")
