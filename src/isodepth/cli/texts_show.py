"""`isodepth texts show`: one text set described."""

import unicodedata
from typing import Any

import click

from isodepth.cli.options import sampling_options, text_options
from isodepth.cli.results import megabytes

N_SAMPLES = 3
MOST_SAMPLE_CHARACTERS = 300
N_FROM_HUB = 2_048
PROVENANCE = (
    *("source", "file", "n_files", "sha256", "dataset", "config", "split", "column", "commit"),
    *("author", "licence", "standing", "cleaning"),
)
"""What is told of a set that is not in the catalogue, where it is known."""
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which a terminal shows others."""


@click.command(
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
@sampling_options(n=f"all; of a hub set of the catalogue {N_FROM_HUB:,}")
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
    default = next(iter(sources), None)
    for kind, entry in sources.items():
        if options["source"] in (None, kind):
            how = "taken by default" if kind == default else f"with --source {kind}"
            _print_entry(base, kind, entry, how if len(sources) > 1 else None)
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
    if not sources:
        click.echo(texts.name)
        for label in PROVENANCE:
            if texts.provenance.get(label) is not None:
                click.echo(f"  {label:<10}{texts.provenance[label]}")
    click.echo()
    for label, value in _measured(texts, described):
        click.echo(f"{label:<12}{value}")
    click.echo()
    samples = texts.sample(min(N_SAMPLES, len(texts)), seed=options["seed"])
    for number, text in enumerate(samples.texts, 1):
        click.echo(f"[{number}] {_shortened(text)}")


def _print_entry(name: str, kind: str, entry: Any, how: str | None) -> None:
    click.echo(f"{name}, {kind} source{f' ({how})' if how else ''}: {entry.title}")
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
