"""What does a result look like in a notebook? A small picture and the key numbers, as HTML.

Notebooks show what an object's ``_repr_html_`` returns; here is what those of the results are made
of. There is no script and no style sheet, and nothing is fetched. Text has the notebook's own
color, dark or light; only matrices bring theirs. Functions take plain text, which they escape; what
is named ``..._html`` is markup that one of them returned.

>>> "&lt;b&gt;" in card("Neighbors", "<b>", rows={"layers": "30"})
True

Memory: a picture has some 250 pixels a side, and takes 5 to 20 kB.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np
from jaxtyping import Float

from isodepth.axes import AffinityMask, AffinityValues
from isodepth.pixels import INFERNO, averaged, matrix_pixels, png, shrunken

SIDE = 240
"""Pixels of the longer side of a picture, and the most cells on it."""
LARGEST_CELL = 24
SMALLEST_OUTLINED_CELL = 5
"""Pixels; in smaller ones the line would hide what it is around."""
MOST_ROWS = 40
NOT_MATH = "mathjax_ignore tex2jax_ignore"
"""Classes by which notebooks leave dollar signs alone, which are math to them elsewhere."""
MUTED = "opacity:.7"
SMALL = "font-size:.85em;line-height:1.3"
CELL = "text-align:left;vertical-align:top;padding:1px 12px 1px 0;background:none;border:0"
HEAD = f"{CELL};overflow-wrap:break-word"


def escaped(text: str) -> str:
    """Return text as HTML that shows it, in an element or in a quoted attribute."""
    return html.escape(text.encode("utf-8", "replace").decode())  # half of a surrogate pair is "?"


def shortened(text: str, most: int) -> str:
    """Return text with at most so many characters, the last of them "…" where some were left out."""
    return text if len(text) <= most else text[: most - 1] + "…"


def card(
    kind: str,
    name: str = "",
    *,
    sentence: str = "",
    pictures_html: Iterable[str] = (),
    rows: Mapping[str, str] | None = None,
    tables_html: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> str:
    """Return the HTML of a result.

    Parameters
    ----------
    kind : str
        What it is: the name of its class.
    name : str
        What it is of.
    sentence : str
        What it says, for people.
    pictures_html : iterable of str
        `matrix_picture`, `array_picture` and `path_picture`.
    rows : mapping of str to str
        Key numbers by what they are.
    tables_html : iterable of str
        Of `table`.
    notes : iterable of str
        What to mind.
    """
    parts = [f"<div><b>{escaped(kind)}</b> {escaped(name)}</div>"]
    if sentence:
        parts.append(f'<div style="margin:4px 0">{escaped(sentence)}</div>')
    side_by_side = [*pictures_html]
    if rows:
        side_by_side.append(f'<div style="flex:1 1 20em;min-width:0">{table(rows.items())}</div>')
    if side_by_side:
        parts.append(
            '<div style="display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start;'
            f'margin:4px 0">{"".join(side_by_side)}</div>'
        )
    parts += tables_html
    parts += [f'<div style="{SMALL};{MUTED}">{escaped(note)}</div>' for note in notes]
    return (
        f'<div class="{NOT_MATH}" style="max-width:64em;overflow-wrap:anywhere">{"".join(parts)}</div>'
    )


def table(rows: Iterable[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Return the HTML of a table of at most `MOST_ROWS`; the first cell of a row says what it is of."""
    lines, found = [], list(rows)
    if header:
        cells = "".join(f'<th scope="col" style="{HEAD}">{escaped(cell)}</th>' for cell in header)
        lines.append(f'<tr style="background:none">{cells}</tr>')
    for first, *others in found[:MOST_ROWS]:
        cells = f'<th scope="row" style="{HEAD};font-weight:normal;{MUTED}">{escaped(first)}</th>'
        cells += "".join(f'<td style="{CELL}">{escaped(cell)}</td>' for cell in others)
        lines.append(f'<tr style="background:none">{cells}</tr>')
    if len(found) > MOST_ROWS:
        more = f"and {len(found) - MOST_ROWS:,} more"
        lines.append(f'<tr style="background:none"><th style="{HEAD};{MUTED}">{more}</th></tr>')
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse;border:0;margin:0;'
        f'{SMALL}"><tbody>{"".join(lines)}</tbody></table></div>'
    )


def matrix_picture(
    values: AffinityValues,
    *,
    left: str,
    right: str,
    chance: float | None = None,
    outline: AffinityMask | None = None,
    outlined: str = "",
) -> str:
    """Return the HTML of a matrix as a small heat map, layer 1 of both models at the bottom left.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        The matrix. Colors run from 0, or the lowest value below it, to the highest.
    left, right : str
        The models' names.
    chance : float, optional
        The similarity of unrelated layers, marked on the scale.
    outline : bool array (layers_left, layers_right), optional
        Cells to draw a line around, where there is room for it.
    outlined : str
        What these cells are.
    """
    n_left, n_right = values.shape
    cells = shrunken(values, most_rows=SIDE, most_columns=SIDE)
    cell = _cell_pixels(cells.shape)
    has_outline = outline is not None and cell >= SMALLEST_OUTLINED_CELL
    low, high = _range(values)
    said = [f"up: layers of {left}; right: layers of {right}"]
    if has_outline:
        said.append(f"within the white line: {outlined}")
    return _picture(
        matrix_pixels(cells, low=low, high=high, cell=cell, outline=outline if has_outline else None),
        ends=(n_left, n_right),
        alternative=f"Similarity of {n_left} layers of {left} to {n_right} of {right}",
        scale_html=_scale(low, high, chance),
        said=[*said, *_averaging(values.shape, cells.shape)],
    )


def array_picture(
    values: AffinityValues,
    *,
    left_layers: Sequence[int],
    right_layers: Sequence[int],
    is_symmetric: bool,
    chance: float | None = None,
) -> str:
    """Return the HTML of all pairs of models as a small heat map, with lines between models.

    Parameters
    ----------
    values : float64 array (layers of all left models, layers of all right models)
        One model after the other.
    left_layers, right_layers : sequences of int
        How many layers each has.
    is_symmetric : bool
        Whether left and right are the same: then a model with itself does not set the scale.
    chance : float, optional
        The similarity of unrelated layers, marked on the scale.
    """
    bounds = [_model_bounds(layers) for layers in (left_layers, right_layers)]
    cells = averaged(averaged(values, bounds[0][0], 0), bounds[1][0], 1)
    among = values
    said = ["up: left models; right: right models; the first at the bottom left"]
    if is_symmetric and len(left_layers) > 1:
        models = np.repeat(np.arange(len(left_layers)), left_layers)
        among = np.where(models[:, np.newaxis] == models, np.nan, values)
        said = [
            "each model against each, the first at the bottom left; the scale is that of different "
            "models, and a model with itself may be beyond it"
        ]
    low, high = _range(among)
    pixels = matrix_pixels(
        cells,
        low=low,
        high=high,
        cell=_cell_pixels(cells.shape),
        row_cuts=bounds[0][1],
        column_cuts=bounds[1][1],
    )
    return _picture(
        pixels,
        ends=None,
        alternative=f"Similarity of {len(left_layers)} left to {len(right_layers)} right models",
        scale_html=_scale(low, high, chance),
        said=[*said, *_averaging(values.shape, cells.shape)],
    )


def path_picture(
    path: np.ndarray,
    sizes: tuple[int, int],
    *,
    left: str,
    right: str,
    band: tuple[Float[np.ndarray, " layers_left"], Float[np.ndarray, " layers_left"]] | None = None,
    band_name: str = "",
) -> str:
    """Return the HTML of a correspondence of layers as a small drawing, layer 1 at the bottom left.

    Parameters
    ----------
    path : integer array (steps, 2)
        Layers (left, right) that correspond, from 1, in order.
    sizes : (int, int)
        How many layers the models have.
    left, right : str
        The models' names.
    band : two float arrays (layers_left,), optional
        For every left layer, between which right layers it may lie.
    band_name : str
        What the band is.
    """
    n_left, n_right = sizes
    unit = SIDE / max(sizes)
    height, width = max(n_left * unit, 1.0), max(n_right * unit, 1.0)

    def points(left_layers: np.ndarray, right_layers: np.ndarray) -> str:
        x, y = (right_layers - 0.5) * unit, height - (left_layers - 0.5) * unit
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))

    shapes = [
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="none" stroke-opacity=".4"/>',
        f'<path d="M0,{height:.1f}L{width:.1f},0" stroke-dasharray="4 4" stroke-opacity=".6"/>',
    ]
    said = [f"up: layers of {left}; right: layers of {right}", "dashed: proportional depth"]
    if band is not None:
        layers = np.arange(1, n_left + 1)
        around = f"{points(layers, band[0])} {points(layers[::-1], band[1][::-1])}"
        shapes.append(
            f'<polygon points="{around}" fill="currentColor" fill-opacity=".2" stroke="none"/>'
        )
        said.append(f"shaded: {band_name}")
    shapes.append(
        f'<polyline points="{points(path[:, 0], path[:, 1])}" fill="none" stroke-width="2" '
        'stroke-linejoin="round"/>'
    )
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" role="img" stroke="currentColor" '
        f'style="display:block;overflow:visible" aria-label="Which layers of {escaped(left)} and of '
        f'{escaped(right)} correspond">{"".join(shapes)}</svg>'
    )
    return _framed(drawing, width=round(width), ends=sizes, below_html="", said=said)


def _cell_pixels(shape: tuple[int, ...]) -> int:
    return min(LARGEST_CELL, max(1, SIDE // max(shape)))


def _range(values: AffinityValues) -> tuple[float, float]:
    """Return where the color scale begins and ends."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low = min(0.0, float(finite.min()))
    return low, float(finite.max()) if finite.max() > low else low + 1.0


def _averaging(shape: tuple[int, ...], drawn: tuple[int, ...]) -> list[str]:
    """Return a remark where not every layer has a cell."""
    return [] if shape == drawn else [f"averaged to {drawn[0]} × {drawn[1]} cells"]


def _model_bounds(n_layers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return where layers that share a cell begin and end, none over two models, and models' cells."""
    share = min(1.0, SIDE / sum(n_layers))
    n_cells = [max(1, int(n * share)) for n in n_layers]
    starts = accumulate(n_layers, initial=0)
    bounds = [0]
    for start, n, cells in zip(starts, n_layers, n_cells, strict=False):
        bounds += (start + np.linspace(0, n, cells + 1)[1:].astype(int)).tolist()
    return bounds, [*accumulate(n_cells)][:-1]


def _scale(low: float, high: float, chance: float | None) -> str:
    """Return the color scale with its ends, chance marked on it."""
    colors = ",".join("#" + bytes(color).hex() for color in INFERNO.astype(np.uint8).tolist())
    mark, words = "", ""
    if chance is not None:
        words = f"; chance {chance:.2g}"
        if low <= chance <= high:
            place = 100 * (chance - low) / (high - low)
            mark = (
                f'<span style="position:absolute;left:{place:.1f}%;top:-2px;bottom:-2px;'
                'border-left:2px solid currentColor"></span>'
            )
    bar = (
        '<span style="position:relative;display:inline-block;width:90px;height:10px;margin:0 6px;'
        f'background:linear-gradient(to right,{colors})">{mark}</span>'
    )
    return f"similarity {low:.3g}{bar}{high:.3g}{words}"


def _picture(
    pixels: np.ndarray,
    *,
    ends: tuple[int, int] | None,
    alternative: str,
    scale_html: str,
    said: Sequence[str],
) -> str:
    height, width = pixels.shape
    data = base64.b64encode(png(pixels)).decode()
    image = (
        f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" '
        f'alt="{escaped(alternative)}" '
        'style="display:block;margin:0;max-width:none;image-rendering:pixelated">'
    )
    return _framed(image, width=width, ends=ends, below_html=scale_html, said=said)


def _framed(
    picture_html: str,
    *,
    width: int,
    ends: tuple[int, int] | None,
    below_html: str,
    said: Sequence[str],
) -> str:
    """Return a picture with the numbers of the first and the last layers, its scale and remarks."""
    rows = columns = ""
    if ends is not None:
        rows, columns = (
            f"<span>{first}</span>" + (f"<span>{last}</span>" if first != last else "")
            for first, last in ((ends[0], 1), (1, ends[1]))
        )
    between = "display:flex;justify-content:space-between;gap:6px"
    lines = [f'<div style="white-space:nowrap">{below_html}</div>'] if below_html else []
    lines += [f'<div style="{MUTED}">{escaped(line)}</div>' for line in said]
    return (
        f'<div style="{SMALL};width:{max(width, SIDE) + 30}px">'
        '<div style="display:grid;grid-template-columns:max-content max-content;column-gap:6px">'
        f'<div style="{between};flex-direction:column;text-align:right">{rows}</div>{picture_html}'
        f'<div></div><div style="{between}">{columns}</div></div>'
        f'<div style="margin-top:4px">{"".join(lines)}</div></div>'
    )
