"""`isodepth stability`: how firm is what results show? Margins, hubs, curves, noise ceilings."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from isodepth.cli.assessment_options import study_folder_option
from isodepth.cli.options import formats_option, store_option

if TYPE_CHECKING:
    import numpy as np

    from isodepth.affinity import AffinityMatrix
    from isodepth.stability import CurvePoint, LayerStability, SimilarityCurves, TextSetStability

HEADERS = (
    "model",
    "margin",
    "noise can turn",
    "ties",
    "hub skewness",
    "named most",
    "dimension",
    "anisotropy",
)
ON = 1
"""The part of a curve that is shown: on the generalized diagonal."""


@click.command(
    "stability",
    epilog="""\b
Examples:
  isodepth stability results/small
  isodepth stability results/small --texts wikipedia -k 5
  isodepth stability results/small --texts wikipedia --copy dtype=bfloat16 --copy batch_tokens=512
""",
)
@click.argument("results", type=click.Path(exists=True, path_type=Path))
@click.option("--texts", multiple=True, help="Only this text set; may be given several times.")
@click.option(
    "-k",
    "k",
    type=click.IntRange(min=1),
    help="Neighbors per text, fewer than are stored. Default: 10, or the fewest of the matrices.",
)
@click.option(
    "--copy",
    "copies",
    multiple=True,
    metavar="OPTION=VALUE",
    help="Read every model again with this loading option, and compare each layer with itself: "
    "dtype=bfloat16, quantization=8bit, batch_tokens=512. May be given several times. Without it no "
    "model is loaded.",
)
@formats_option
@store_option
@study_folder_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for tables and figures. Default: RESULTS/stability.",
)
def stability_command(
    results: Path,
    *,
    texts: tuple[str, ...],
    k: int | None,
    copies: tuple[str, ...],
    formats: tuple[str, ...],
    store: str | None,
    folder: Path,
    out: Path | None,
) -> None:
    """Tell how firm the neighbors and similarities behind RESULTS are.

    RESULTS is a folder that 'isodepth run' wrote. Needs the neighbors in the store that the study was
    run with, more of each text than -k; activations that are kept there add effective dimension and
    anisotropy.

    Neighbors, and so all but dimension and anisotropy, are by the study's own metric, after its own
    preprocessing. Prints ranges over the layers of each model; writes all layers and curves as Parquet
    and CSV, and figures. Similarity with more texts than were read is extrapolated, and is called so
    everywhere.
    """
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.pipeline import write_stability

    place = out or (results if results.is_dir() else results.parent) / "stability"
    with ProgressDisplay() as progress:
        written = write_stability(
            results,
            place,
            texts=texts,
            k=k,
            copies=copies,
            formats=formats,
            store=store,
            folder=folder,
            progress=progress,
        )
    for one in written.found.sets:
        click.echo("\n".join([*_set_lines(one), ""]))
    for note in dict.fromkeys(note for one in written.found.sets for note in one.notes):
        click.echo(f"note: {note}")
    click.echo(f"Wrote {len(written.tables):,} tables and {len(written.figures):,} figures to {place}")


def _set_lines(one: "TextSetStability") -> list[str]:
    from isodepth.cli.study_tables import columns
    from isodepth.neighbors.metrics import found_by

    if not one.layers:
        return [f"{one.title}: nothing known"]
    first = one.layers[0]
    by = found_by(first.metric, first.preprocessing)
    raw = "; dimension and anisotropy: of activations as they are, by cosine" * (
        first.dimension is not None and not first.has_vector_noise
    )
    lines = [
        f"{one.title} ({first.n_texts:,} texts, k = {one.k}; neighbors by {by}{raw}; lowest to highest "
        "layer)"
    ]
    rows = [HEADERS, *map(_layer_row, one.layers)]
    if all(model.dimension is None for model in one.layers):
        rows = [row[: HEADERS.index("dimension")] for row in rows]
    lines += [f"  {line}" for line in columns(rows)]
    if one.curves is not None:
        lines += _curve_lines(one.curves)
    return [*lines, *map(_ceiling_line, one.ceilings)]


def _layer_row(model: "LayerStability") -> tuple[str, ...]:
    known = model.known
    return (
        model.model,
        _span(known["margin"], ".1e"),
        _span(100 * known["unresolved"], ".2g") + " %",
        _span(100 * known["tied"], ".2g") + " %",
        _span(known["hub_skewness"], ".2f"),
        _span(known["most_named"], ".0f"),
        _span(known["dimension"], ".1f") if "dimension" in known else "not kept",
        _span(known["anisotropy"], ".2f") if "anisotropy" in known else "not kept",
    )


def _span(values: "np.ndarray", form: str) -> str:
    low, high = (format(float(value), form) for value in (values.min(), values.max()))
    return low if low == high else f"{low} to {high}"


def _curve_lines(curves: "SimilarityCurves") -> list[str]:
    """Return similarity beyond chance on the diagonal against the number of texts, a row a pair."""
    from isodepth.cli.study_tables import MOST_PAIRS, columns

    points = curves.along("n")
    if len(curves.pairs) > MOST_PAIRS:
        rows = [("pairs of models", *map(_heading, points))]
        rows.append((f"mean of {len(curves.pairs):,}", *(_mean_cell(point) for point in points)))
    else:
        rows = [("left", "right", *map(_heading, points))]
        for place, (left, right) in enumerate(curves.pairs):
            rows.append((left, right, *(_cell(point, place) for point in points)))
    said = "  Similarity beyond chance on the diagonal, by the number of texts"
    extrapolated = any(point.extrapolated for point in points)
    return [
        said + (" (*: extrapolated, not measured):" if extrapolated else ":"),
        *(f"    {line}" for line in columns(rows)),
    ]


def _heading(point: "CurvePoint") -> str:
    return f"{point.n_texts:,}" + "*" * point.extrapolated


def _cell(point: "CurvePoint", pair: int) -> str:
    return f"{point.calibrated[pair, ON]:.3f}" + "*" * point.extrapolated


def _mean_cell(point: "CurvePoint") -> str:
    return f"{point.calibrated[:, ON].mean():.3f}" + "*" * point.extrapolated


def _ceiling_line(copy: "AffinityMatrix") -> str:
    similarity = copy.values.diagonal()
    lowest, highest = similarity.min(), similarity.max()
    said = f"{lowest:.3f}"
    if lowest < highest:
        said += f" (layer {similarity.argmin() + 1}) to {highest:.3f}, mean {similarity.mean():.3f}"
    return f"  {copy.left} against {copy.right}: each layer with itself {said}"
