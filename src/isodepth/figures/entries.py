"""What is a figure that results give? A name for its file, what it shows, and how to draw it.

>>> file_stem("gemma-2-9b")
'gemma-2-9b'
>>> file_stem("../Gemma 2")
'gemma-2-63df3a6a'

Memory: what `draw` holds on to; the figure is there only while it is drawn.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

MOST_LETTERS = 40
BETWEEN = "-x-"
"""What stands between two models in a name."""
_RESERVED = frozenset({"index.md", "across"})
_LIKE_A_DIGEST = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class AtlasFigure:
    """A figure that results give.

    Parameters
    ----------
    name : str
        A file's path without its ending: lower-case letters, digits and ``. _ - /``. No two figures of
        an atlas have one name.
    section : str
        Of what: figures of a section share a folder.
    caption : str
        What it shows.
    paper : str or None
        The figures of the paper that it is the counterpart of, such as "4c, 12-19".
    draw : callable
        Returns the figure.
    """

    name: str
    section: str
    caption: str
    paper: str | None
    draw: Callable[[], Figure]


def file_stem(name: str) -> str:
    """Return a name that is safe in a path; names that lose anything end in a digest of the whole.

    So do those that could be taken for another name's, so that no two names have one stem.
    """
    letters = re.sub(r"[^a-z0-9._]+", "-", name.lower())[:MOST_LETTERS].strip("-.")
    is_whole = letters == name != "" and BETWEEN not in name and name not in _RESERVED
    if is_whole and not _LIKE_A_DIGEST.search(name):
        return letters
    return f"{letters or 'name'}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def pair_stem(left: str, right: str) -> str:
    """Return a name that is safe in a path, of two models."""
    return f"{file_stem(left)}{BETWEEN}{file_stem(right)}"
