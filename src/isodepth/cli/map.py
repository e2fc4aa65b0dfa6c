"""`isodepth map`: which layer of one model corresponds to which of another."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isodepth.cli.compare import N_TEXTS, compared
from isodepth.cli.options import (
    given,
    loading_of,
    loading_options,
    measure_options,
    note_unused,
    reading_options,
    sampling_options,
    store_option,
    text_options,
)

if TYPE_CHECKING:
    from isodepth.assessment import PairAssessment

OF_RESULTS = ("store", "measure", "capture", "pooling")
"""Options that say which matrix of results is meant, besides -k."""


@click.command(
    "map",
    epilog="""\b
Examples:
  isodepth map smollm2-135m-instruct gemma-3-270m --results results/small --texts wikipedia
  isodepth map smollm2-135m-instruct gemma-3-270m --results results/small --measure cka_debiased
  isodepth map ./teacher ./student --texts news -n 512 --format json --out map.json
  isodepth map ./base ./tuned --texts news --format csv
""",
)
@click.pass_context
@click.argument("left")
@click.argument("right")
@click.option(
    "--results",
    type=click.Path(exists=True, path_type=Path),
    help="Take the matrix from these results, where LEFT and RIGHT are labels, and run no model.",
)
@click.option("--texts", help="Text set; of --results, where these have several.")
@click.option("-k", "k", type=click.IntRange(min=1), help="Neighbors per text. Default: 10.")
@measure_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="For people, or for scripts.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write. Default: standard output.",
)
@text_options
@sampling_options(n=f"{N_TEXTS}, or all where there are fewer")
@reading_options
@loading_options
@store_option
def map_command(
    context: click.Context,
    /,
    left: str,
    right: str,
    *,
    results: Path | None,
    texts: str | None,
    k: int | None,
    form: str,
    out: Path | None,
    **options: Any,
) -> None:
    """Tell which layers of LEFT and RIGHT correspond, in order of depth, and how surely.

    LEFT and RIGHT are models, as 'isodepth compare' takes them, or labels of --results.

    JSON holds, for every layer of either model, the nearest layer of the other, the range it
    corresponds to and its band, and a list of pairs in which no layer stands twice; CSV holds a row a
    layer. Both hold the verdict: without a ridge, there is a map all the same, and it means nothing.
    """
    if out is not None:
        from isodepth.atomic import refuse_unwritable

        refuse_unwritable(out.parent)  # before the work, not after it
    if results is not None:
        from isodepth.affinity.measures import measure_title
        from isodepth.pipeline import assess_models

        _refuse_reading_options(context, [name for name in options if name not in OF_RESULTS])
        chosen = {name: options[name] if given(context, name) else None for name in OF_RESULTS}
        assessed = assess_models(results, left, right, texts=texts, k=k, **chosen)
        measured = assessed.matrix
        note_unused(
            context, measure_title(measured.measure), takes_k=bool(measured.k), takes_metric=True
        )
    elif texts is None:
        raise click.UsageError("give --texts, what the models shall read, or --results.")
    else:
        options["loading"] = loading_of(options)
        settings = options | {"k": k or 10}
        assessed = compared(left, right, texts, most_texts=N_TEXTS, **settings).assessment
    text = {"json": _json, "csv": _csv, "table": _table}[form](assessed)
    if out is None:
        click.echo(text, nl=False)
    else:
        from isodepth.atomic import write_atomically

        write_atomically(out, text.encode())
        click.echo(f"Wrote {out}", err=True)


def _refuse_reading_options(context: click.Context, names: list[str]) -> None:
    """Raise a usage error if an option was given that says how models read, which results know."""
    unfitting = [
        option.opts[-1]
        for option in context.command.params
        if option.name in names and given(context, option.name)
    ]
    if unfitting:
        raise click.UsageError(
            f"{', '.join(unfitting)}: not with --results, which hold matrices as they are."
        )


def _json(assessed: "PairAssessment") -> str:
    from isodepth.results.json_values import json_values

    matrix, decision = assessed.matrix, assessed.decision
    said = {
        "texts": matrix.texts,
        "n_texts": matrix.n_texts,
        "k": matrix.k or None,
        "measure": matrix.measure,
        "metric": matrix.metric,
        "preprocessing": matrix.preprocessing,
        "verdict": None if decision is None else decision.verdict,
        "sentence": None if decision is None else decision.sentence,
        **assessed.depth_map.as_dict(),
    }
    return json.dumps(json_values(said), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _csv(assessed: "PairAssessment") -> str:
    import csv

    table = assessed.depth_map.to_table()
    verdict = None if assessed.decision is None else assessed.decision.verdict
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*table.column_names, "verdict"])
    for row in table.to_pylist():
        writer.writerow([*row.values(), verdict])
    return text.getvalue()


def _table(assessed: "PairAssessment") -> str:
    from isodepth.cli.assessment_tables import map_lines

    return "\n".join(map_lines(assessed)) + "\n"
