from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch

from isodepth.errors import ParameterError
from isodepth.figures import save_figure
from isodepth.figures.venn import MOST_LINES_OF_QUOTE, venn_figure

ODD = [
    "$x_1$ <script>alert(1)</script> & \\frac{a}{b}",
    "שלום עולם",
    "日本語のテキスト" * 90,
    "👩‍👩‍👧 🎉",
    "line one\n\n\tline\x07 two",
    "W" * 10_000,
    "_under ^caret {brace",
    "\u202ereversed",
    "   ",
    "e\u0301" * 50,
    "plain",
]


def ids(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.int32)


def figure(left: np.ndarray, right: np.ndarray, **options) -> Figure:
    given = {"texts": ODD, "text": 10, "left_name": "one, layer 3", "right_name": "other, layer 2"}
    return venn_figure(left, right, **(given | options))


def words(drawn: Figure) -> list[str]:
    return [text.get_text() for text in drawn.texts]


def columns(drawn: Figure) -> dict[str, str]:
    """Return the words of each column, left to right, by its head."""
    placed = sorted(
        (round(text.get_position()[0], 6), -text.get_position()[1], text.get_text())
        for text in drawn.texts
    )
    heads = {
        (round(text.get_position()[0], 6), -text.get_position()[1]): text.get_text()
        for text in drawn.texts
        if text.get_text().startswith(("only under", "under both"))
    }
    found = {}
    for (start, top), head in heads.items():
        later = [x for x, _ in heads if x > start]
        stop = min(later, default=1.0)
        found[head] = " ".join(
            said for x, down, said in placed if start <= x < stop and down > top and "k =" not in said
        )
    return found


def counts(drawn: Figure) -> list[str]:
    (axes,) = drawn.axes
    return [text.get_text() for text in axes.texts if text.get_text() and text.get_visible()]


def test_texts_stand_under_the_layers_that_have_them_as_neighbors():
    texts = [f"text-{i}" for i in range(11)]
    found = columns(figure(ids(3, 1, 7, 4), ids(7, 2, 3, 9), texts=texts))
    quoted = {
        head: {row for row in range(11) if f"“text-{row}”" in said} for head, said in found.items()
    }
    assert quoted == {
        "only under one, layer 3": {1, 4},
        "under both": {3, 7},
        "only under other, layer 2": {2, 9},
    }


def test_ranks_and_rows_stand_before_the_quotes():
    found = columns(figure(ids(3, 1, 7, 4), ids(7, 2, 3, 9)))
    # of row 3, first on the left and third on the right; rows are shown from 1
    assert "1 · 3" in found["under both"]
    assert "3 · 1" in found["under both"]
    assert "#4" in found["under both"]
    assert "#8" in found["under both"]
    assert "#2" in found["only under one, layer 3"]


def test_circles_have_the_counts_and_are_of_equal_area():
    drawn = figure(ids(3, 1, 7, 4, 5), ids(7, 2, 3, 9, 0))
    assert sorted(counts(drawn)) == ["2", "3", "3"]
    boxes = [
        patch.get_path().get_extents()
        for patch in drawn.axes[0].patches
        if isinstance(patch, PathPatch)
    ]
    heights = sorted(box.height for box in boxes)
    assert heights[-1] == pytest.approx(heights[-2])


def test_circles_coincide_where_all_is_shared_and_are_apart_where_nothing_is():
    assert counts(figure(ids(3, 1), ids(1, 3))) == ["2"]
    assert counts(figure(ids(3, 1), ids(2, 4))) == ["2", "2"]
    said = columns(figure(ids(3, 1), ids(1, 3)))
    assert said["only under one, layer 3"] == said["only under other, layer 2"] == "none"


def test_what_is_shared_and_what_chance_would_share_are_said():
    last = " ".join(words(figure(ids(3, 1, 7), ids(7, 2, 3), texts_name="odd")))
    assert "2 of k = 3 are shared; unrelated layers share 0.9 by chance. One of 11 texts of odd" in last


def test_texts_are_quoted_as_they_are_on_one_line_and_cut():
    said = columns(figure(ids(0, 1, 4, 5), ids(7, 8, 6, 2)))
    left, right = said["only under one, layer 3"], said["only under other, layer 2"]
    assert "“$x_1$ <script>alert(1)</script> & \\frac{a}{b}”" in left
    assert "“line one line\\x07 two”" in left
    assert "“\\u202ereversed”" in right
    assert "“”" in right
    assert left.count("W") < 10_000
    assert "W…" in left


def test_no_quote_has_more_lines_than_allowed():
    drawn = figure(ids(5), ids(2))
    for letter in "W語":
        lines = [text for text in words(drawn) if letter in text]
        assert 1 <= len(lines) <= MOST_LINES_OF_QUOTE


def test_nothing_in_texts_and_names_is_markup_and_any_script_is_written(tmp_path: Path):
    drawn = figure(ids(0, 1, 2, 3), ids(5, 7, 9, 4), left_name="a$b_{c} <x>", right_name="模型 & \x00")
    assert not any(text.get_parse_math() for text in drawn.texts)
    save_figure(drawn, tmp_path / "venn.svg")
    written = (tmp_path / "venn.svg").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in written
    assert "<script" not in written


def test_columns_of_long_texts_do_not_meet():
    long = ["W" * 500, "only words " * 60, "m" * 500, "plain", "x " * 500, "W W " * 100, "q"]
    drawn = figure(ids(0, 1, 4), ids(2, 5, 1), texts=long, text=6)
    renderer = FigureCanvasAgg(drawn).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in drawn.texts if text.get_text()]
    for place, one in enumerate(boxes):
        assert one.x1 <= drawn.bbox.x1
        for other in boxes[place + 1 :]:
            # descenders may touch the line below
            assert min(one.x1, other.x1) <= max(one.x0, other.x0) or (
                min(one.y1, other.y1) - max(one.y0, other.y0) < 0.35 * min(one.height, other.height)
            )


def test_of_parallel_texts_each_side_is_quoted_as_its_model_read_it():
    english, german = [f"english-{i}" for i in range(11)], [f"deutsch-{i}" for i in range(11)]
    drawn = figure(ids(3, 1), ids(1, 2), texts=english, right_texts=german)
    said = columns(drawn)
    assert "english-3" in said["only under one, layer 3"]
    assert "deutsch-2" in said["only under other, layer 2"]
    assert "english-1" in said["under both"]
    assert "deutsch-1" in said["under both"]
    assert "Text #11, left: “english-10”" in words(drawn)
    assert "Text #11, right: “deutsch-10”" in words(drawn)


def test_everything_that_does_not_fit_is_listed():
    with pytest.raises(ParameterError) as error:
        figure(ids(3, 3, 11), ids(10, -1), right_texts=ODD[:4])
    assert error.value.message == (
        "venn figure: both layers must have the same number of neighbors, at least 1; got 3 (left) and 2 "
        "(right); left_ids must be rows from 0 to 10; got 11; left_ids must name each text once; more "
        "often: 3; right_ids must be rows from 0 to 10; got -1; right_ids must not name the text itself, "
        "row 10; right_texts must be as many as texts, 11; got 4"
    )
    with pytest.raises(ParameterError, match="text must be a row from 0 to 10; got 11"):
        figure(ids(3), ids(4), text=11)
    with pytest.raises(ParameterError, match="at least 1; got 0"):
        figure(ids(), ids())
