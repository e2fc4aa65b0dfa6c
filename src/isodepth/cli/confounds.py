"""`isodepth confounds`: what could explain the picture away, and does it?"""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isodepth.cli.assessment_options import study_folder_option
from isodepth.cli.options import formats_option, store_option

if TYPE_CHECKING:
    from isodepth.confounds import ConfoundTable, TextSetConfounds

WIDTH = 100
PARTS = {"mean": "mean", "on_minus_off": "on − off", "association": "gamma"}
"""The parts of the profile that the terminal shows, and what it calls them."""
JUDGED = "on_minus_off"
"""The part whose change is judged there: the paper's contrast."""


@click.command(
    "confounds",
    epilog="""\b
Examples:
  isodepth confounds results/small --texts wikipedia
  isodepth confounds results/small --texts wikipedia --control center --control mutual_proximity
  isodepth confounds results/mixed --labels source --labels language
""",
)
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option("--texts", multiple=True, help="Only this text set; may be given several times.")
@click.option(
    "-k",
    "k",
    type=click.IntRange(min=1),
    help="Neighbors per text. Default: 10, or the fewest of the matrices.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    metavar="NAME",
    help="Only this control; may be given several times: center, 'remove_components(3)' and every "
    "other preprocessing, euclidean, local_scaling, mutual_proximity, different_token, "
    "'different_ending(5)', same_length, without_tf_idf, untrained, ... Default: all.",
)
@click.option(
    "--labels",
    multiple=True,
    metavar="COLUMN",
    help="A column of the texts' own file: neighbors are also sought only among texts with the same "
    "label. May be given several times.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    default=1000,
    show_default=True,
    help="Resamples of the texts, for intervals.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resamples."
)
@formats_option
@store_option
@study_folder_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for tables and figures. Default: RESULTS/confounds.",
)
def confounds_command(
    results: Path,
    *,
    texts: tuple[str, ...],
    k: int | None,
    controls: tuple[str, ...],
    labels: tuple[str, ...],
    resamples: int,
    seed: int,
    formats: tuple[str, ...],
    store: str | None,
    folder: Path,
    out: Path | None,
) -> None:
    """Take out in turn what could explain RESULTS away, and tell how far that moves them.

    RESULTS is a folder that 'isodepth run' wrote, of at least two models. Huge units, hubs, the last
    token, lengths, words in common, architecture: each control finds the neighbors of all models anew
    without it. The diagonality profile with and without the control is compared on the same resampled
    texts, so that its change has an interval of its own. Neighbors are by the study's own metric, after
    its own preprocessing, where a control does not change these.

    Models whose activations are not in the store read the texts again, and keep them; so do untrained
    copies of all models, unless --control leaves them out.

    Similarities are calibrated, so that 0 is chance and 1 the same neighbors, for all controls alike.
    """
    from isodepth.atomic import refuse_unwritable
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import study_confounds, write_confounds

    place = out or (results if results.is_dir() else results.parent) / "confounds"
    refuse_unwritable(place)  # before the work, not after it
    with ProgressDisplay() as progress:
        found = study_confounds(
            results,
            texts=texts,
            k=k,
            controls=controls,
            labels=labels,
            n_resamples=resamples,
            seed=seed,
            store=store,
            folder=folder,
            progress=progress,
        )
        written = write_confounds(found, place, formats=formats, progress=progress)
    for one in found.sets:
        click.echo("\n".join([*_set_lines(one), ""]))
    for note in dict.fromkeys((*found.notes, *(note for one in found.sets for note in one.notes))):
        click.echo(f"note: {note}")
    click.echo(
        f"Wrote {len(written):,} files to {place}; controls.csv has every pair of models and part, "
        "matrices.parquet every pair of layers."
    )


def _set_lines(one: "TextSetConfounds") -> list[str]:
    """Return how far controls move the picture of one text set, a line a control."""
    from isodepth.cli.study_tables import columns
    from isodepth.errors import counted
    from isodepth.neighbors.metrics import found_by

    table = one.table
    by = found_by(table.metric, table.preprocessing)
    n_pairs = len(one.matrices)
    header = ("control", "texts", *PARTS.values(), f"{PARTS[JUDGED]} without it", "change", "")
    baseline = [f"{table.plain[part].value:.3f}" if part in table.plain else "" for part in PARTS]
    rows = [header, ("without any", f"{table.n_texts:,}", *baseline, "", "", "")]
    rows += [_row(table, control) for control in table.controls]
    lines = [
        f"{one.title} ({table.n_texts:,} texts, k = {table.k}; mutual k-NN by {by}; mean over "
        f"{counted(n_pairs, 'pair')} of models; 0 is chance, 1 the same neighbors)",
        *(f"  {line}" for line in columns(rows)),
    ]
    by_reason: dict[str, list[str]] = {}
    for control, why in table.problems.items():
        by_reason.setdefault(why, []).append(control)
    for why, controls in by_reason.items():
        lines += textwrap.wrap(
            f"not possible: {', '.join(controls)}: {why}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="    ",
        )
    return lines


def _row(table: "ConfoundTable", control: str) -> tuple[str, ...]:
    rows = {row.part: row for row in table.of(control)}
    values = [f"{rows[part].value.value:.3f}" if part in rows else "" for part in PARTS]
    judged = rows.get(JUDGED)
    without = change = verdict = ""
    if judged is not None:
        without = f"{judged.baseline.value:.3f}"
        low, high = judged.difference.low, judged.difference.high
        change = f"{judged.difference.value:+.3f} [{low:+.3f}, {high:+.3f}]"
        verdict = judged.verdict
    n_texts = next(iter(rows.values())).n_texts
    return (control, f"{n_texts:,}", *values, without, change, verdict)
