"""Which texts does one text have for neighbors under a layer of either model, and which under both?

Two circles with the counts, and below them the neighbors themselves, quoted: those under the left layer
alone, under both, under the right layer alone, each with its rank. Texts are data: they are drawn as
they are, on one line, and cut where they are long.

>>> venn_figure(left.ids[8, 5], right.ids[14, 5], texts=texts.texts, text=5,    # doctest: +SKIP
...             left_name="gemma-3-270m, layer 9", right_name="smollm2, layer 15")

Memory: that of the quotes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_venn import venn2

from isodepth.errors import ParameterError, listed
from isodepth.figures.captions import MARGIN, NOTE_SIZE, TITLE_SIZE, lines_of, shown_text
from isodepth.figures.theme import BLUE, INK, MUTED, RED, texts_named, themed

WIDTH = 11.0  # inches, as all lengths here
INNER = WIDTH - 2 * MARGIN
GAP = 0.3
RANKS = 0.5
"""The room for ranks before a quote."""
CIRCLES = 1.5
SPACE = 0.08
BOLD = 1.15  # times as wide
LINE_HEIGHT = 1.4  # times the size of the font; letters of some scripts are tall
TEXT_SIZE, HEAD_SIZE, QUOTE_SIZE, NUMBER_SIZE = 8.5, 9.0, 7.5, 6.0  # points
MOST_LINES_OF_TEXT = 5
MOST_LINES_OF_QUOTE = 4
LONGEST = 2_000
"""Characters of a text that are looked at; no quote has room for more."""
BOTH = "#5d4a66"
"""For letters: what the colors of the circles give together, darker."""


class _Words(NamedTuple):
    """One line of words, x from the left and y from the top of the figure."""

    x: float
    y: float
    words: str
    size: float
    color: str
    weight: str


class _Page(list[_Words]):
    """Words with their places, before it is known how high the figure must be."""

    def write(
        self, x: float, y: float, lines: Sequence[str], size: float, color: str, weight: str = "normal"
    ) -> float:
        """Place lines below each other and return where they end."""
        for words in lines:
            self.append(_Words(x, y, words, size, color, weight))
            y += size * LINE_HEIGHT / 72
        return y


@themed
def venn_figure(
    left_ids: Integer[np.ndarray, " k"],
    right_ids: Integer[np.ndarray, " k_right"],
    *,
    texts: Sequence[str],
    text: int,
    left_name: str,
    right_name: str,
    right_texts: Sequence[str] | None = None,
    texts_name: str | None = None,
) -> Figure:
    """Return the figure of one text's neighbors under two layers, as circles and as quotes.

    Parameters
    ----------
    left_ids, right_ids : integer arrays (k,)
        Rows of the k nearest texts under either layer, from 0, nearest first.
    texts : sequence of str
        What the rows are.
    text : int
        The row whose neighbors they are, from 0.
    left_name, right_name : str
        The layers, with their models: "gemma-3-270m, layer 9".
    right_texts : sequence of str, optional
        What the rows are for the right model, where it read other, parallel texts.
    texts_name : str, optional
        The text set's name.

    Returns
    -------
    matplotlib.figure.Figure
        Before each quote stand its rank under the left and the right layer and, below, its row, from 1.
        In quotes, white space is one space and control characters are escapes. Neighbors under both are
        quoted as either model read them, where that differs.

    Raises
    ------
    ParameterError
        If both sides do not have the same number of neighbors, some are no rows, stand twice or are the
        text itself, or texts do not fit; all problems are listed.

    References
    ----------
    Wolfram & Schein 2025, figures 2 and 3. Ranks and the number shared by chance are ours.
    """
    left, right = left_ids.tolist(), right_ids.tolist()
    _refuse_misfits(left, right, texts, text, right_texts)
    shared = [row for row in left if row in right]
    k, n_texts = len(left), len(texts)
    columns = (
        (f"only under {left_name}", BLUE, [row for row in left if row not in shared], (texts,)),
        ("under both", BOTH, shared, (texts,) if right_texts is None else (texts, right_texts)),
        (
            f"only under {right_name}",
            RED,
            [row for row in right if row not in shared],
            (texts if right_texts is None else right_texts,),
        ),
    )
    page = _Page()
    title = f"The {k} nearest texts under {left_name} and under {right_name}"
    y = page.write(MARGIN, MARGIN, lines_of(title, INNER, size=TITLE_SIZE), TITLE_SIZE, INK)
    y = page.write(MARGIN, y + SPACE, _asked(texts, text, right_texts), TEXT_SIZE, INK)
    circles_at = y + SPACE
    width = (INNER - 2 * GAP) / 3
    heads = [lines_of(head, width, size=HEAD_SIZE * BOLD) for head, *_ in columns]
    below_heads = circles_at + CIRCLES + SPACE + max(map(len, heads)) * HEAD_SIZE * LINE_HEIGHT / 72
    ends = []
    for place, ((_, color, rows, versions), head) in enumerate(zip(columns, heads, strict=True)):
        x = MARGIN + place * (width + GAP)
        page.write(x, circles_at + CIRCLES + SPACE, head, HEAD_SIZE, color, "bold")
        y = below_heads + SPACE
        if not rows:
            y = page.write(x, y, ["none"], QUOTE_SIZE, MUTED)
        for row in rows:
            ranks = " · ".join(str(side.index(row) + 1) for side in (left, right) if row in side)
            under_ranks = page.write(x, y, [ranks], QUOTE_SIZE, color, "bold")
            under_ranks = page.write(x, under_ranks, [f"#{row + 1}"], NUMBER_SIZE, MUTED)
            quote = _quote([version[row] for version in versions], width - RANKS)
            y = SPACE + max(under_ranks, page.write(x + RANKS, y, quote, QUOTE_SIZE, INK))
        ends.append(y)
    notes = (
        f"{len(shared)} of k = {k} are shared; unrelated layers share {k * k / (n_texts - 1):.2g} by "
        f"chance. One of {texts_named(n_texts, texts_name)}, so there is no interval. Bold: the rank "
        "under the left and the right layer, 1 the nearest. #: the text's row, from 1."
    )
    y = page.write(MARGIN, max(ends) + SPACE, lines_of(notes, INNER, size=NOTE_SIZE), NOTE_SIZE, MUTED)
    figure = Figure(figsize=(WIDTH, y + MARGIN))
    height = y + MARGIN
    for line in page:
        figure.text(
            line.x / WIDTH,
            1 - line.y / height,
            line.words,
            va="top",
            fontsize=line.size,
            color=line.color,
            fontweight=line.weight,
        )
    axes = figure.add_axes((0.25, 1 - (circles_at + CIRCLES) / height, 0.5, CIRCLES / height))
    _draw_circles(axes, k, len(shared))
    return figure


def _refuse_misfits(
    left: list[int],
    right: list[int],
    texts: Sequence[str],
    text: int,
    right_texts: Sequence[str] | None,
) -> None:
    """Raise `ParameterError`, naming all reasons, unless rows and texts fit each other."""
    problems = []
    if len(left) != len(right) or not left:
        problems.append(
            "both layers must have the same number of neighbors, at least 1; got "
            f"{len(left)} (left) and {len(right)} (right)"
        )
    last = len(texts) - 1
    if not 0 <= text <= last:
        problems.append(f"text must be a row from 0 to {last}; got {text}")
    for side, rows in (("left_ids", left), ("right_ids", right)):
        outside = [row for row in rows if not 0 <= row <= last]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if outside:
            problems.append(f"{side} must be rows from 0 to {last}; got {listed(outside)}")
        if twice:
            problems.append(f"{side} must name each text once; more often: {listed(twice)}")
        if text in rows:
            problems.append(f"{side} must not name the text itself, row {text}")
    if right_texts is not None and len(right_texts) != len(texts):
        problems.append(
            f"right_texts must be as many as texts, {len(texts):,}; got {len(right_texts):,}"
        )
    if problems:
        raise ParameterError(f"venn figure: {'; '.join(problems)}")


def _asked(texts: Sequence[str], text: int, right_texts: Sequence[str] | None) -> list[str]:
    """Return the lines that quote the text whose neighbors are shown, as either model read it."""
    versions = [(f"Text #{text + 1}", texts[text])]
    if right_texts is not None and right_texts[text] != texts[text]:
        versions = [
            (f"Text #{text + 1}, left", texts[text]),
            (f"Text #{text + 1}, right", right_texts[text]),
        ]
    return [
        line
        for name, version in versions
        for line in lines_of(
            f"{name}: “{shown_text(version[:LONGEST])}”", INNER, size=TEXT_SIZE, most=MOST_LINES_OF_TEXT
        )
    ]


def _quote(versions: Sequence[str], width: float) -> list[str]:
    """Return the lines that quote a text in its different versions."""
    different = list(dict.fromkeys(versions))
    most = MOST_LINES_OF_QUOTE // len(different)
    return [
        line
        for version in different
        for line in lines_of(f"“{shown_text(version[:LONGEST])}”", width, size=QUOTE_SIZE, most=most)
    ]


def _draw_circles(axes: Axes, k: int, n_shared: int) -> None:
    """Draw two circles of equal area, which overlap in the share of texts that both layers have."""
    sizes = {"10": k - n_shared, "01": k - n_shared, "11": n_shared}
    drawn = venn2(subsets=sizes, set_labels=None, set_colors=(BLUE, RED), alpha=0.35, ax=axes)
    for part, size in sizes.items():
        label = drawn.get_label_by_id(part)
        if label is not None:  # there is none where circles do not meet
            label.set(text=str(size), fontsize=10, color=INK, visible=size > 0)
