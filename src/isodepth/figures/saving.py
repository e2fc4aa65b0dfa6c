"""Writing figures: fonts embedded, the same bytes for the same figure, whatever letters names have."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from isodepth.atomic import atomic_path
from isodepth.errors import ParameterError, listed
from isodepth.figures.theme import missing_letters_allowed

FORMATS = ("png", "pdf", "svg")
RESOLUTION = 200
"""Dots per inch of PNG files."""


def refuse_unknown_formats(formats: Sequence[str]) -> None:
    """Raise `ParameterError` unless there are formats, all of `FORMATS`."""
    unknown = [one for one in formats if one not in FORMATS]
    if unknown or not formats:
        raise ParameterError(
            f"formats must be of {listed(list(FORMATS))}; got {listed(unknown) or 'none'}"
        )


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all, as the path's ending says (.png, .pdf, .svg)."""
    undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    with (
        mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "isodepth"}),
        missing_letters_allowed(),
        atomic_path(path) as temporary,
    ):
        figure.savefig(
            temporary,
            dpi=RESOLUTION,
            metadata=undated.get(path.suffix.lower()),
            bbox_inches="tight",  # a long name widens the picture instead of being cut
        )
