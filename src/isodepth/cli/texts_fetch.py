"""`isodepth texts fetch`: text sets brought here, for later runs without a network."""

from pathlib import Path

import click


@click.command(
    "fetch",
    epilog="""\b
Examples:
  isodepth texts fetch news imdb
  isodepth texts fetch handbook-en --from debian-handbook_11.20220922_all.deb
""",
)
@click.argument("names", nargs=-1, required=True)
@click.option("--source", type=click.Choice(["offline", "hub"]), help="Source, where a set has two.")
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the package from this file instead of downloading it; its sum is verified.",
)
def fetch_command(names: tuple[str, ...], source: str | None, file: Path | None) -> None:
    """Download text sets now, so that later runs need no network."""
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.texts import fetch_texts
    from isodepth.texts.catalogue import catalogue_entry

    # what cannot be is told before anything is fetched
    entries = [catalogue_entry(name, source)[1] for name in names]
    pins = {getattr(entry.texts, "pin", None) for entry in entries}
    if file is not None and len(pins) > 1:
        raise click.UsageError("--from takes one package, and these sets come from several")
    with ProgressDisplay() as progress:
        for name in names:
            fetch_texts(name, source=source, file=file, progress=progress)
    click.echo(f"Here now: {', '.join(names)}.")
