"""`isodepth texts`: which text sets there are, what they are like, and fetching them."""

import sys
import unicodedata
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from isodepth.cli.options import sampling_options, text_options
from isodepth.cli.results import megabytes

N_SAMPLES = 3
MOST_SAMPLE_CHARACTERS = 300
N_FROM_HUB = 2_048
TABLE_OPTIONS = ("n", "seed", "fetch")
WIDTH_OF_FILES = 132
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which a terminal shows others."""


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
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from isodepth.cli.progress import ProgressDisplay
    from isodepth.texts import CONTROLS, TEXT_SETS, catalogue_description
    from isodepth.texts.description import describe_texts
    from isodepth.texts.loading import load_texts
    from isodepth.texts.names import RANDOM_STRINGS

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("source", no_wrap=True)
    for heading in ("texts", "5 %", "median", "95 %", "copies", "near"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("here", no_wrap=True)
    table.add_column("standing", overflow="fold")
    with ProgressDisplay() as progress:
        for name, sources in TEXT_SETS.items():
            for kind, entry in sources.items():
                described = None
                if kind == "offline" and (fetch or entry.texts.is_here):
                    described = catalogue_description(name, n=n, seed=seed, progress=progress)
                here = "yes" if entry.texts.is_here else "no"
                numbers = _numbers(described) if described else [f"{entry.n_texts:,}", *["-"] * 5]
                table.add_row(name, kind, *numbers, here, entry.standing)
        strings = describe_texts(load_texts(RANDOM_STRINGS, n, seed), progress=progress)
        table.add_row(RANDOM_STRINGS, "made", *_numbers(strings), "yes", "the paper's own, made again")
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_FILES, highlight=False)
    with console.capture() as printed:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in printed.get().strip("\n").split("\n")).strip())
    if n is not None:
        click.echo(f"Samples of {n:,} texts (seed {seed}), or all where there are fewer.")
    click.echo("Made from any other set, for example caesar(news):")
    for control, what in CONTROLS.items():
        click.echo(f"  {control:<24}{what.summary}")


def _numbers(described: Any) -> list[str]:
    lengths = [f"{described.characters[name]:,.0f}" for name in ("q05", "median", "q95")]
    copies = [f"{described.n_exact_copies:,}", f"{described.n_near_copies:,}"]
    return [f"{described.n_texts:,}", *lengths, *copies]


@texts_command.command(
    "show",
    epilog="""\b
Examples:
  isodepth texts show wikipedia
  isodepth texts show 'caesar(news)' -n 256
  isodepth texts show reviews.csv --column review --min-chars 20 --dedupe
""",
)
@click.argument("name")
@text_options
@sampling_options(n="all")
@click.option("--fetch", is_flag=True, help="Download the set if it is not here.")
def show_command(name: str, *, fetch: bool, **options: Any) -> None:
    """Describe one text set: source, licence, number, lengths, copies, and three of its texts.

    NAME is whatever --texts takes elsewhere.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.texts import TEXT_SETS, describe_texts, load_texts
    from isodepth.texts.catalogue import catalogue_entry
    from isodepth.texts.origin import named_set

    base = named_set(name)
    sources = TEXT_SETS.get(base, {})
    for kind, entry in sources.items():
        if options["source"] in (None, kind):
            chosen = kind == (options["source"] or next(iter(sources)))
            _print_entry(base, kind, entry, alone=len(sources) == 1, chosen=chosen)
    if sources:
        kind, entry = catalogue_entry(base, options["source"])
        if not fetch and not entry.texts.is_here:
            click.echo("\nNot on this machine, so not measured; --fetch downloads it.")
            return
        if kind == "hub" and options["n"] is None:
            options["n"] = N_FROM_HUB
            options["allow_fewer"] = True
    with ProgressDisplay() as progress:
        texts = load_texts(name, progress=progress, **options)
        described = describe_texts(texts, progress=progress)
    click.echo()
    for label, value in _measured(texts, described):
        click.echo(f"{label:<12}{value}")
    click.echo()
    samples = texts.sample(min(N_SAMPLES, len(texts)), seed=options["seed"])
    for number, text in enumerate(samples.texts, 1):
        click.echo(f"[{number}] {_shortened(text)}")


def _print_entry(name: str, kind: str, entry: Any, *, alone: bool, chosen: bool) -> None:
    mark = "" if alone else " (taken by default)" if chosen else " (with --source " + kind + ")"
    click.echo(f"{name}, {kind} source{mark}: {entry.title}")
    lines = [
        ("standing", entry.standing),
        ("from", f"{entry.author}; {entry.texts.place}"),
        ("licence", entry.licence),
        ("cleaning", entry.cleaning),
        ("texts", f"{entry.n_texts:,}"),
        ("here", "yes" if entry.texts.is_here else f"no{_size(entry)}"),
    ]
    for label, value in lines:
        click.echo(f"  {label:<10}{value}")


def _size(entry: Any) -> str:
    pin = getattr(entry.texts, "pin", None)
    return f"; {megabytes(pin.size_bytes)} to download" if pin is not None else ""


def _measured(texts: Any, described: Any) -> list[tuple[str, str]]:
    def quantiles(values: dict[str, float]) -> str:
        return ", ".join(f"{name} {value:,.0f}" for name, value in values.items())

    lines = [("texts", f"{len(texts):,} of {texts.name}")]
    lines += [("", words) for words in texts.left_out]
    for made in texts.provenance.get("controls", []):
        options = ", ".join(f"{key}={value}" for key, value in made["options"].items())
        unchanged = f"; {made['n_unchanged']:,} unchanged" if "n_unchanged" in made else ""
        lines.append(("control", f"{made['control']} {options}{unchanged}".strip()))
    return [
        *lines,
        ("characters", quantiles(described.characters)),
        ("words", quantiles(described.words)),
        ("copies", f"{described.n_exact_copies:,} exact, {described.n_near_copies:,} near"),
        ("digest", texts.digest),
    ]


def _shortened(text: str) -> str:
    """Return the beginning of a text on one line, with line breaks shown and no control characters."""
    shown = text if len(text) <= MOST_SAMPLE_CHARACTERS else text[:MOST_SAMPLE_CHARACTERS] + " ..."
    line = shown.replace("\r\n", "\n").replace("\n", " ↵ ").replace("\t", " ")
    return "".join("�" if _is_control(character) else character for character in line)


def _is_control(character: str) -> bool:
    """Return whether a terminal may do something else with a character than show it."""
    return unicodedata.category(character) in ("Cc", "Cs", "Cn") or character in BIDIRECTIONAL


@texts_command.command(
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

    for name in names:
        catalogue_entry(name, source)  # a misspelled name is told before anything is fetched
    with ProgressDisplay() as progress:
        for name in names:
            fetch_texts(name, source=source, file=file, progress=progress)
    click.echo(f"Here now: {', '.join(names)}.")
