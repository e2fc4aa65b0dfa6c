"""The command line: one short file per command. Commands call the library and print.

Data goes to standard output, progress and messages to standard error. Nothing heavy is imported
before a command needs it.
"""

import sys
import warnings
from typing import Any

import click

from isodepth import __version__
from isodepth.cli.compare import compare_command
from isodepth.cli.confounds import confounds_command
from isodepth.cli.demo import demo_command
from isodepth.cli.export import export_command
from isodepth.cli.figures import figures_command
from isodepth.cli.import_ import import_command
from isodepth.cli.inspect import inspect_command
from isodepth.cli.map import map_command
from isodepth.cli.measures import measures_command
from isodepth.cli.models import models_command
from isodepth.cli.report import report_command
from isodepth.cli.run import run_command, status_command
from isodepth.cli.stability import stability_command
from isodepth.cli.store import store_command
from isodepth.cli.test import test_command
from isodepth.cli.texts import texts_command
from isodepth.errors import IsodepthError, IsodepthWarning

INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Example:
  isodepth compare smollm2-135m-instruct gemma-3-270m --texts wikipedia -n 128 --out compare
""",
)
@click.version_option(__version__)
def cli() -> None:
    """Tell which layers of different language models lie at the same depth."""


COMMANDS = (
    demo_command,
    compare_command,
    run_command,
    status_command,
    test_command,
    figures_command,
    confounds_command,
    stability_command,
    map_command,
    report_command,
    inspect_command,
    models_command,
    measures_command,
    texts_command,
    store_command,
    import_command,
    export_command,
)
for command in COMMANDS:
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; isodepth's own errors become one message and a hint."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("always", IsodepthWarning)
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        status = cli.main(args=arguments, prog_name="isodepth", standalone_mode=False)
        if isinstance(status, int):  # what a command gave to its context's exit
            sys.exit(status)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except IsodepthError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "interrupted. What was finished is kept; run the same command again to go on.", err=True
        )
        sys.exit(INTERRUPTED)


def _show_warning(message: Warning | str, *_: Any) -> None:
    click.echo(f"warning: {message}", err=True)
