"""How does a matrix become pixels? Averaged where it is too large, colored, written as a PNG file.

For the terminal and for notebooks, which shall not wait for matplotlib. The colors are those of its map
"inferno", which the figures use.

>>> inferno(np.array([0.0, 1.0])).astype(int).tolist()
[[0, 0, 4], [252, 255, 164]]

Memory: a byte a pixel; of a matrix that is averaged, its sums.
"""

import itertools
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, UInt8

from isodepth.axes import AffinityMask, AffinityValues

INFERNO = np.array(
    [
        (0, 0, 4),
        (31, 12, 72),
        (85, 15, 109),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    dtype=np.float64,
)
"""Nine equally spaced colors of the "inferno" map (matplotlib, CC0)."""
N_LEVELS = 64
"""Of the palette: more could not be told apart, and would make larger files."""
GRAY, WHITE = N_LEVELS, N_LEVELS + 1
"""Palette entries that "inferno" has not: of what is no number, and of lines."""

Pixels = UInt8[np.ndarray, "rows columns"]


def inferno(levels: Float[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape 3"]:
    """Return red, green and blue, 0 to 255, of levels between 0 (dark) and 1 (bright)."""
    place = np.clip(levels, 0, 1) * (len(INFERNO) - 1)
    below = np.minimum(place.astype(np.intp), len(INFERNO) - 2)
    share = (place - below)[..., np.newaxis]
    colors: np.ndarray = INFERNO[below] + share * (INFERNO[below + 1] - INFERNO[below])
    return colors


def shrunken(values: np.ndarray, *, most_rows: int, most_columns: int) -> np.ndarray:
    """Return the matrix averaged over blocks of layers so that it has at most these sizes."""
    for axis, most in ((0, most_rows), (1, most_columns)):
        n = values.shape[axis]
        if n > most:
            values = averaged(values, np.linspace(0, n, most + 1).astype(int).tolist(), axis)
    return values


def averaged(values: np.ndarray, bounds: Sequence[int], axis: int) -> np.ndarray:
    """Return the means along an axis between each two of rising bounds."""
    parts = itertools.pairwise(bounds)
    return np.stack([values.take(range(a, b), axis).mean(axis) for a, b in parts], axis=axis)


def matrix_pixels(
    values: AffinityValues,
    *,
    high: float,
    low: float = 0.0,
    cell: int = 1,
    outline: AffinityMask | None = None,
    row_cuts: Sequence[int] = (),
    column_cuts: Sequence[int] = (),
) -> Pixels:
    """Return palette entries of a matrix, layer 1 of both models at the bottom left.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        The matrix. What is not finite is gray.
    low, high : float
        The similarities of the darkest and of the brightest color; what is beyond has the same.
    cell : int
        Pixels along a layer.
    outline : bool array (layers_left, layers_right), optional
        Cells to draw a white line around, within their own pixels.
    row_cuts, column_cuts : sequences of int
        Before which rows and columns to put a gray line of one pixel, in rising order.
    """
    span = high - low if high > low else 1.0
    levels = np.clip((np.where(np.isfinite(values), values, low) - low) / span, 0, 1)
    entries = np.rint(levels * (N_LEVELS - 1)).astype(np.uint8)
    pixels = _enlarged(np.where(np.isfinite(values), entries, np.uint8(GRAY)), cell)
    if outline is not None:
        pixels[_border(_enlarged(outline, cell))] = WHITE
    for axis, cuts in enumerate((row_cuts, column_cuts)):
        pixels = np.insert(pixels, [cut * cell for cut in cuts], np.uint8(GRAY), axis=axis)
    return pixels[::-1]


def _enlarged(cells: np.ndarray, cell: int) -> np.ndarray:
    return cells.repeat(cell, axis=0).repeat(cell, axis=1)


def _border(mask: np.ndarray) -> np.ndarray:
    """Return the pixels on a mask that have a pixel off it at one of their sides."""
    padded = np.pad(mask, 1)
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border: np.ndarray = mask & ~inside
    return border


def png(pixels: Pixels) -> bytes:
    """Return the PNG file of palette entries, its first row on top."""
    colors = np.rint(inferno(np.linspace(0, 1, N_LEVELS))).astype(np.uint8).tobytes()
    height, width = pixels.shape
    rows = [b"\0" + row.tobytes() for row in pixels]
    for place in range(1, height):
        if np.array_equal(pixels[place], pixels[place - 1]):
            rows[place] = b"\2" + bytes(width)  # filter 2: the difference to the row above
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colors + bytes(3 * [128] + 3 * [255])),
            _chunk(b"IDAT", zlib.compress(b"".join(rows), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))
