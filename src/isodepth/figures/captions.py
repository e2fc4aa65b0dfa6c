r"""What does a figure say in words? Its title, notes, and texts in lines that fit.

Lines are broken by the widths of the font's own letters, so that names and texts of any script stay
within the figure. Nothing in them is markup, and what cannot be seen (control characters, runs of
white space) is shown or left out.

>>> shown_text("one\n  two\x07")
'one two\\x07'

Memory: a number for each letter seen.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from isodepth.figures.theme import INK, MUTED

TITLE_SIZE = 10.5
NOTE_SIZE = 7.5
LINE_HEIGHT = 1.3
MARGIN = 0.12  # inches left of titles and notes
LEFT_TO_RIGHT = "\u200e"
"""A mark without a shape: what follows a name in Hebrew or Arabic is not drawn before it."""
_FONT = "DejaVu Sans"
_UNITS = 100  # points that letters are measured at
_HINTING = 1.06  # letters on a grid of pixels are up to so much wider
_JOINERS = re.compile("[\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]")


def caption(figure: Figure, title: str, notes: Sequence[str]) -> None:
    """Write a title above a figure and notes below it, broken into lines as wide as the figure.

    The figure grows by their height, so that what is drawn keeps its size.
    """
    width = figure.get_figwidth() - 2 * MARGIN
    left = MARGIN / figure.get_figwidth()
    above = lines_of(title, width, size=TITLE_SIZE)
    below = [line for note in notes for line in lines_of(note, width, size=NOTE_SIZE)]
    points = LINE_HEIGHT * (len(above) * TITLE_SIZE + len(below) * NOTE_SIZE)
    figure.set_figheight(figure.get_figheight() + points / 72)
    figure.suptitle("\n".join(above), x=left, ha="left", fontsize=TITLE_SIZE, color=INK)
    figure.supxlabel("\n".join(below), x=left, ha="left", fontsize=NOTE_SIZE, color=MUTED)


def legend_beside(
    axes: Axes, handles: Sequence[Artist], labels: Sequence[str], width: float, *, spacing: float = 0.5
) -> None:
    """Write a legend to the right of axes, its labels broken into lines of at most `width` inches."""
    axes.legend(
        handles,
        ["\n".join(lines_of(label, width, size=8.0)) for label in labels],
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
        labelspacing=spacing,
    )


def shown_text(text: str) -> str:
    """Return a text on one line: white space as one space each, control characters as escapes.

    Characters without a shape of their own that only join or soften others are left out.
    """
    visible = (
        _escape(character) if _is_hidden(character) else character
        for character in _JOINERS.sub("", text)
    )
    return " ".join("".join(visible).split())


def lines_of(text: str, width: float, *, size: float, most: int | None = None) -> list[str]:
    """Return a text as lines that fit into a width; what `most` lines do not hold ends in an ellipsis.

    Parameters
    ----------
    text : str
        Any text, shown as by `shown_text`. White space is where lines are broken; longer words are
        broken anywhere.
    width : float
        In inches.
    size : float
        Of the font, in points.
    most : int, optional
        At most so many lines.
    """
    room = width * 72 / size * _UNITS / _HINTING
    lines: list[str] = []
    for line in _broken(shown_text(text), room):
        if most is not None and len(lines) == most:
            last = lines[-1]
            while last and _width(last + "…") > room:
                last = last[:-1]
            lines[-1] = last.rstrip() + "…"
            break
        lines.append(line)
    return lines


def text_width(text: str, *, size: float) -> float:
    """Return how wide a text is at most, in inches."""
    return _width(text) * _HINTING * size / 72 / _UNITS


def _broken(text: str, room: float) -> Iterator[str]:
    line, used = "", 0.0
    for word in text.split():
        wide = _width(word)
        space = _width(" ") if line else 0.0
        if line and used + space + wide > room:
            yield line
            line, used, space = "", 0.0, 0.0
        if wide <= room:
            line, used = line + " " * bool(space) + word, used + space + wide
            continue
        for character in word:
            wide = _width(character)
            if line and used + wide > room:
                yield line
                line, used = "", 0.0
            line, used = line + character, used + wide
    if line:
        yield line


def _width(text: str) -> float:
    return sum(map(_advance, text))


@functools.lru_cache(maxsize=20_000)
def _advance(character: str) -> float:
    """Return how far a letter moves the pen, in hundredths of the font's size."""
    if unicodedata.combining(character) or character == LEFT_TO_RIGHT:
        return 0.0
    font = _font()
    if font.get_char_index(ord(character)) == 0:  # drawn in another font
        return 1.15 * _UNITS  # a box where no font has it
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536


@functools.cache
def _font() -> FT2Font:
    # one of its own: drawing changes the size of those that matplotlib shares
    font = FT2Font(font_manager.findfont(_FONT))
    font.set_size(_UNITS, 72)
    return font


def _is_hidden(character: str) -> bool:
    """Return whether a character is none that can be seen: a control, half a character, unassigned."""
    if character == LEFT_TO_RIGHT or character.isspace():
        return False
    return unicodedata.category(character).startswith("C")


def _escape(character: str) -> str:
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
