"""`isodepth texts`: which text sets there are and what they are like, as a table."""

import shutil
from typing import Any

import click
from click.core import ParameterSource

from isodepth.cli.texts_fetch import fetch_command
from isodepth.cli.texts_show import show_command

TABLE_OPTIONS = ("n", "seed", "fetch")
WIDTH_OF_FILES = 132
LEAST_WIDTH = 110
"""Of a terminal that has room for what sets stand for beside the numbers."""
LEAST_WIDTH_OF_NUMBERS = 80


@click.group(
    "texts",
    invoke_without_command=True,
    epilog="""\b
Examples:
  isodepth texts
  isodepth texts -n 2048 --fetch
  isodepth texts show news
""",
)
@click.option(
    "-n", "n", type=click.IntRange(min=2), help="Describe samples of so many texts, or all where fewer."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1234,
    show_default=True,
    help="Seed of the sampling.",
)
@click.option("--fetch", is_flag=True, help="Download the offline sets that are not here.")
@click.pass_context
def texts_command(context: click.Context, *, n: int | None, seed: int, fetch: bool) -> None:
    """List the text sets by name: number, lengths, copies, what they stand for, whether they are here.

    Lengths are in characters. Near copies share at least 80 % of their word triples with an earlier
    text. Files, folders, hub data sets and standard input work everywhere a name does.
    """
    if context.invoked_subcommand is None:
        _print_table(n, seed, fetch)
    elif any(
        context.get_parameter_source(name) is not ParameterSource.DEFAULT for name in TABLE_OPTIONS
    ):
        raise click.UsageError(
            f"-n, --seed and --fetch belong behind the command: isodepth texts "
            f"{context.invoked_subcommand} ..."
        )


def _print_table(n: int | None, seed: int, fetch: bool) -> None:
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.texts import CONTROLS, TEXT_SETS
    from isodepth.texts.names import RANDOM_STRINGS

    with ProgressDisplay() as progress:
        rows = [
            _row(name, kind, entry, n=n, seed=seed, fetch=fetch, progress=progress)
            for name, sources in TEXT_SETS.items()
            for kind, entry in sources.items()
        ]
        rows.append(_row_of_strings(RANDOM_STRINGS, n, seed, progress))
    click.echo(_drawn(rows))
    if n is not None:
        click.echo(f"Samples of {n:,} texts (seed {seed}), or all where there are fewer.")
    click.echo("Made from any other set, for example caesar(news):")
    for control, what in CONTROLS.items():
        click.echo(f"  {control:<24}{what.summary}")


def _row(
    name: str, kind: str, entry: Any, *, n: int | None, seed: int, fetch: bool, progress: Any
) -> list[str]:
    """Return the cells of one source of a set; what is not here, or too large, is not measured."""
    from isodepth.texts import catalogue_description, describe_texts, load_texts

    described = None
    if kind == "offline" and (fetch or entry.texts.is_here):
        described = catalogue_description(name, n=n, seed=seed, progress=progress)
    elif kind == "hub" and n is not None and entry.texts.is_here:
        texts = load_texts(name, n, seed, source=kind, allow_fewer=True, progress=progress)
        described = describe_texts(texts, progress=progress)
    numbers = _numbers(described) if described else [f"{entry.n_texts:,}", *["-"] * 5]
    return [name, kind, *numbers, "yes" if entry.texts.is_here else "no", entry.standing]


def _row_of_strings(name: str, n: int | None, seed: int, progress: Any) -> list[str]:
    from isodepth.texts import describe_texts, load_texts

    texts = load_texts(name, n, seed)
    numbers = _numbers(describe_texts(texts, progress=progress))
    return [name, "made", *numbers, "yes", str(texts.provenance["standing"])]


def _numbers(described: Any) -> list[str]:
    lengths = [f"{described.characters[name]:,.0f}" for name in ("q05", "median", "q95")]
    copies = [f"{described.n_exact_copies:,}", f"{described.n_near_copies:,}"]
    return [f"{described.n_texts:,}", *lengths, *copies]


def _drawn(rows: list[list[str]]) -> str:
    """Return the table; on a narrow terminal what sets stand for follows below it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    width = shutil.get_terminal_size((WIDTH_OF_FILES, 40)).columns
    is_wide = width >= LEAST_WIDTH
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2 if is_wide else 1, 0, 0))
    for heading in ("name", "source"):
        table.add_column(heading, no_wrap=True)
    for heading in ("texts", "5 %", "median", "95 %", "copies", "near"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    if is_wide:
        table.add_column("standing", overflow="fold")
    for row in rows:
        table.add_row(*(row if is_wide else row[:-1]))
    # a number is never cut: a terminal that is narrower still wraps the lines
    console = Console(width=max(width, LEAST_WIDTH_OF_NUMBERS), highlight=False)
    with console.capture() as printed:
        console.print(table)
    # the frame's first line is blank
    lines = [line.rstrip() for line in printed.get().rstrip().split("\n")][1:]
    if not is_wide:
        lines += ["What they stand for:", *(f"  {row[0]}, {row[1]}: {row[-1]}" for row in rows)]
    return "\n".join(lines)


for command in (show_command, fetch_command):
    texts_command.add_command(command)
