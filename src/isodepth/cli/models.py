"""`isodepth models`: which models there are by name."""

import click

from isodepth.cli.results import megabytes


@click.command(
    "models",
    epilog="""\b
Example:
  isodepth models
""",
)
def models_command() -> None:
    """List the models of the catalogue: size, licence, source, and whether they are here.

    Hub ids, local transformers folders and GGUF files work everywhere a name does.
    """
    from isodepth.models import MODELS
    from isodepth.models.gguf import is_converted

    for model in MODELS.values():
        if is_converted(model.gguf_sha256):
            here = "here, ready"
        elif model.is_downloaded:
            here = "here, to be converted at first use"
        else:
            here = "not here, fetched at first use"
        click.echo(f"{model.name}  [{here}]")
        click.echo(
            f"    {model.title}: {model.architecture}, {model.n_layers} layers x {model.width} units, "
            f"{megabytes(model.download_bytes)} to download"
        )
        click.echo(f"    {model.source}. Licence: {model.licence}")
