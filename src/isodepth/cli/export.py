"""`isodepth export`: neighbors to share, and results for other tools."""

from collections.abc import Callable
from pathlib import Path

import click

from isodepth.cli.options import store_option
from isodepth.defaults import BUNDLED_NEIGHBORS


@click.group(
    "export",
    epilog="""\b
Examples:
  isodepth export neighbors --help
  isodepth export csv --help
""",
)
def export_command() -> None:
    """Write neighbors to share, or results for other tools."""


@export_command.command(
    "neighbors",
    epilog="""\b
Examples:
  isodepth export neighbors --out bundles
  isodepth export neighbors --model gemma-3-270m --texts news -k 50 --out bundles
""",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the bundles.",
)
@store_option
@click.option("--model", help="Only readings of this model, by name or hub id.")
@click.option("--texts", help="Only readings of this text set, by name or digest.")
@click.option(
    "-k",
    "k",
    type=click.IntRange(min=1),
    default=BUNDLED_NEIGHBORS,
    show_default=True,
    help="Neighbors per text, if there are as many.",
)
def neighbors_command(
    *, out: Path, store: str | None, model: str | None, texts: str | None, k: int
) -> None:
    """Write a neighbor bundle of every reading in the store: ids only, a few MB a model.

    Bundles hold no texts, no paths and nothing of this machine. 'isodepth import bundle' reads them,
    also to bring your own readings beside imported ones.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.cli.results import megabytes
    from isodepth.interchange import write_bundles
    from isodepth.store import open_store

    with ProgressDisplay() as progress:
        written = write_bundles(
            open_store(store), out, model=model, texts=texts, k=k, progress=progress
        )
    for path in written.paths:
        click.echo(f"{path} ({megabytes(path.stat().st_size)})")
    for note in written.notes:
        click.echo(f"note: {note}")
    if written.left_out:
        click.echo(f"Not in them, of what the store knows: {', '.join(written.left_out)}.")


def _results_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what all writers of results take."""
    for option in (
        click.option("--texts", multiple=True, help="Only this text set; may be given several times."),
        click.option(
            "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The file."
        ),
        click.argument("results", type=click.Path(exists=True, path_type=Path)),
    ):
        command = option(command)
    return command


@export_command.command(
    "netcdf",
    epilog="""\b
Example:
  isodepth export netcdf results/small --out small.nc
""",
)
@_results_options
def netcdf_command(results: Path, *, out: Path, texts: tuple[str, ...]) -> None:
    """Write RESULTS as labelled arrays, one variable a text set, for xarray.

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files. Needs pip install 'isodepth[xarray]'.
    """
    from isodepth.interchange import write_netcdf
    from isodepth.results import load_results

    click.echo(f"Wrote {write_netcdf(load_results(results), out, texts=texts)}")


@export_command.command(
    "csv",
    epilog="""\b
Example:
  isodepth export csv results/small --texts wikipedia --out small.csv
""",
)
@_results_options
def csv_command(results: Path, *, out: Path, texts: tuple[str, ...]) -> None:
    """Write RESULTS as a CSV table, one row a layer pair.

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files.
    """
    from isodepth.interchange import write_csv
    from isodepth.results import load_results

    click.echo(f"Wrote {write_csv(load_results(results), out, texts=texts)}")


@export_command.command(
    "parquet",
    epilog="""\b
Example:
  isodepth export parquet results/small --out small.parquet
""",
)
@_results_options
def parquet_command(results: Path, *, out: Path, texts: tuple[str, ...]) -> None:
    """Write RESULTS as one Parquet table of all text sets, one row a layer pair.

    RESULTS is a folder that 'isodepth run' or 'isodepth import matrices' wrote, or one of its
    .safetensors files.
    """
    from isodepth.interchange import write_parquet
    from isodepth.results import load_results

    click.echo(f"Wrote {write_parquet(load_results(results), out, texts=texts)}")
