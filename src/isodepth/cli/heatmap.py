"""An affinity matrix as a small heat map of block characters, layer 1 at the bottom left.

With color, each character shows two rows in the colors of the figure (half blocks); without, five
levels from blank to full. Matrices too large for the terminal are averaged over neighboring layers.
"""

import numpy as np

from isodepth.pixels import inferno, shrunken

SHADES = " ░▒▓█"


def heat_map(
    values: np.ndarray, *, left: str, right: str, color: bool, most_rows: int, most_columns: int
) -> list[str]:
    """Return the lines of a heat map with axes and scale.

    Parameters
    ----------
    values : float array (layers_left, layers_right)
        The matrix, at least 0.
    left, right : str
        The models' names: rows and columns.
    color : bool
        Use 24-bit terminal colors.
    most_rows, most_columns : int
        The largest number of cells to draw; two characters make a cell's width.
    """
    n_left, n_right = values.shape
    cells = shrunken(values, most_rows=most_rows, most_columns=most_columns)[::-1]
    low, high = float(cells.min()), float(cells.max())
    levels = (cells - low) / (high - low) if high > low else np.zeros_like(cells)
    rows = _colored(levels) if color else _shaded(levels)
    margin = max(len(str(n_left)), 2)
    lines = [f"layers of {left} (up) against layers of {right} (right)"]
    for number, row in enumerate(rows):
        mark = n_left if number == 0 else 1 if number == len(rows) - 1 else ""
        lines.append(f"{mark:>{margin}} │{row}│")
    width = 2 * cells.shape[1]
    end = str(n_right)
    gap = width - 1 - len(end)
    lines.append(f"{'':>{margin}}  " + (f"1{'':<{gap}}{end}" if gap > 0 else end))
    lines.append(f"{'':>{margin}}  {_scale(low, high, color)}")
    if cells.shape != values.shape:
        lines.append(f"{'':>{margin}}  (averaged to {cells.shape[0]} x {cells.shape[1]} cells)")
    return lines


def _shaded(levels: np.ndarray) -> list[str]:
    steps = np.minimum((levels * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(SHADES[step] * 2 for step in row) for row in steps]


def _colored(levels: np.ndarray) -> list[str]:
    if len(levels) % 2:  # an odd row out goes on top, over nothing
        levels = np.vstack([np.full((1, levels.shape[1]), np.nan), levels])
    lines = []
    for upper, lower in zip(levels[::2], levels[1::2], strict=True):
        cells = []
        for top, bottom in zip(upper, lower, strict=True):
            ground = f"\x1b[48;2;{_rgb(bottom)}m"
            if np.isnan(top):
                cells.append(f"\x1b[38;2;{_rgb(bottom)}m▄▄\x1b[0m")
            else:
                cells.append(f"{ground}\x1b[38;2;{_rgb(top)}m▀▀\x1b[0m")
        lines.append("".join(cells))
    return lines


def _rgb(level: float) -> str:
    red, green, blue = inferno(np.array(level))
    return f"{red:.0f};{green:.0f};{blue:.0f}"


def _scale(low: float, high: float, color: bool) -> str:
    if color:
        steps = np.linspace(0, 1, 16)
        bar = "".join(f"\x1b[48;2;{_rgb(step)}m \x1b[0m" for step in steps)
    else:
        bar = "".join(f"[{shade}]" for shade in SHADES)
    return f"similarity {low:.3f} {bar} {high:.3f}"
