"""`isodepth measures`: which measures of similarity there are."""

import contextlib
import math
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from isodepth.affinity import Measure

WIDTH = 100


@click.command(
    "measures",
    epilog="""\b
Examples:
  isodepth measures
  isodepth measures cka_debiased svcca
""",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--markdown", is_flag=True, help="Print all that is known of all of them, as a table.")
def measures_command(names: tuple[str, ...], *, markdown: bool) -> None:
    """List the measures of similarity that --measure and the key 'measures' of a study take.

    With names: where each comes from, what it ignores, what it costs. Packages add measures by entry
    points of the group isodepth.measures; they are listed too.
    """
    from isodepth.affinity.measures import known_measures, measure_named
    from isodepth.errors import IsodepthError

    if markdown:
        click.echo("\n".join(_markdown(names or tuple(_loadable(known_measures())))))
        return
    if names:
        for place, name in enumerate(names):
            click.echo("\n" * bool(place) + "\n".join(_explained(name, measure_named(name))))
        return
    known = known_measures()
    width = max(map(len, known))
    for name in known:
        try:
            measure = measure_named(name)
        except IsodepthError as error:  # a package's; the others are listed all the same
            click.echo(f"{name:<{width}}  {error.message}")
            continue
        click.echo(f"{name:<{width}}  {measure.reads:<11}  {range_of(measure):<8}  {measure.title}")
    click.echo("\n'isodepth measures NAME' tells source, invariances and cost.")


def _loadable(names: Iterable[str]) -> Iterator[str]:
    """Yield the measures that can be loaded; of a package's that cannot, the plain list tells why."""
    from isodepth.affinity.measures import measure_named
    from isodepth.errors import IsodepthError

    for name in names:
        with contextlib.suppress(IsodepthError):
            measure_named(name)
            yield name


def range_of(measure: "Measure") -> str:
    """Return where a measure's values lie: "0 to 1", "at most 1"."""
    low, high = measure.lowest, measure.highest
    if math.isfinite(low) and math.isfinite(high):
        return f"{low:g} to {high:g}"
    if math.isfinite(high):
        return f"up to {high:g}"
    return f"from {low:g}" if math.isfinite(low) else "any"


def _explained(name: str, measure: "Measure") -> list[str]:
    """Return what is to be known of a measure."""
    from isodepth.affinity.measure import INVARIANCES, READS

    said = [INVARIANCES[one] for one in INVARIANCES if one in measure.invariances]
    facts = {
        "reads": READS[measure.reads],
        "k": "takes it" if measure.takes_k else "takes none",
        "range": range_of(measure),
        "left and right": "may be exchanged" if measure.is_symmetric else "are told apart",
        "ignores": _of_cosine(measure) * bool(said) + ("; ".join(said) or "nothing that is known"),
        "chance": _chance(measure),
        "source": measure.source or "not said",
        "cost": measure.cost or "not said",
    }
    lines = [f"{name}: {measure.title}"]
    for what, text in facts.items():
        lines += textwrap.wrap(
            text, WIDTH, initial_indent=f"  {what + ':':<16}", subsequent_indent=" " * 18
        )
    return lines


def _of_cosine(measure: "Measure") -> str:
    """Return by which neighbors a measure ignores what it does; by others it would ignore others."""
    return "with cosine: " * (measure.reads == "neighbors")


def _chance(measure: "Measure") -> str:
    """Return what unrelated layers reach, for numbers of texts and neighbors as the paper's."""
    if measure.chance is None:
        return "depends on the layers, or is not known"
    k = ", k = 10" if measure.takes_k else ""
    return f"{measure.chance(2048, 10):.4g} for 2,048 texts{k}"


def _markdown(names: tuple[str, ...]) -> list[str]:
    """Return a table of measures, a line each."""
    from isodepth.affinity.measure import INVARIANCES
    from isodepth.affinity.measures import measure_named

    lines = [
        "| name | what it is | reads | range | ignores | chance | source | cost |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in names:
        measure = measure_named(name)
        ignored = [one for one in INVARIANCES if one in measure.invariances]
        cells = (
            f"`{name}`",
            measure.title + " (directed)" * (not measure.is_symmetric),
            measure.reads + " (k)" * (measure.takes_k and measure.reads == "activations"),
            range_of(measure),
            _of_cosine(measure) + ", ".join(ignored) if ignored else "–",
            "0" if measure.chance is not None and measure.chance(2048, 10) == 0 else _short(measure),
            measure.source,
            measure.cost,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def _short(measure: "Measure") -> str:
    return "–" if measure.chance is None else f"{measure.chance(2048, 10):.3g}"
