"""`isodepth report`: what results hold and support, as one page for a browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.assessment_options import (
    assessment_options,
    families_of,
    options_of,
    pair_of,
    study_folder_option,
)

if TYPE_CHECKING:
    from isodepth.report import Explain


@click.command(
    "report",
    epilog="""\b
Examples:
  isodepth report results/small -o report.html
  isodepth report results/small --texts wikipedia --texts random-strings --explain all
  isodepth report results/paper --groups families.json --explain gemma-2-9b,llama-3.1-8b
""",
)
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: RESULTS/report.html.",
)
@click.option(
    "--explain",
    multiple=True,
    metavar="LEFT,RIGHT|all|none",
    help="Put in the neighbor lists of a pair of models, by their labels, which show text by text why "
    "two layers are similar; may be given several times. Default: those of all models, if they take at "
    "most 3 MB.",
)
@assessment_options
@study_folder_option
def report_command(
    results: Path,
    *,
    out: Path | None,
    explain: tuple[str, ...],
    groups: Path | None,
    permutations: int,
    resamples: int,
    seed: int,
    alpha: float,
    **settings: Any,
) -> None:
    """Write one HTML file that shows what RESULTS hold and support.

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files. The page needs no network and no other file. Matrices are taken from RESULTS;
    intervals, tests of single layers, and the texts and neighbors behind a cell need the store that the
    study was run with.

    Prints the three sentences that the numbers support.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import write_report

    place = out or (results if results.is_dir() else results.parent) / "report.html"
    how = {"permutations": permutations, "resamples": resamples, "seed": seed, "alpha": alpha}
    with ProgressDisplay() as progress:
        report = write_report(
            results,
            place,
            explain=_explained(explain),
            groups=families_of(groups),
            options=options_of(how),
            progress=progress,
            **settings,
        )
    for sentence in report.sentences:
        click.echo(sentence)
    click.echo()
    for note in report.notes:
        click.echo(f"note: {note}")
    if explain not in ((), ("none",)) and not report.explained:
        click.echo("note: --explain put nothing in, as no neighbors behind mutual k-NN are at hand")
    click.echo(f"Wrote {report.path} ({report.size_bytes / 1e6:.1f} MB)")


def _explained(written: tuple[str, ...]) -> "Explain":
    """Return which models are explained, from what was given for --explain."""
    if len(written) <= 1 and written in ((), ("all",), ("none",)):
        return written[0] if written else "auto"
    return [pair_of(one, "--explain", otherwise=", or all, or none alone") for one in written]
