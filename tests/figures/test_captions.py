import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isodepth.figures.captions import (
    LINE_HEIGHT,
    NOTE_SIZE,
    TITLE_SIZE,
    caption,
    lines_of,
    shown_text,
    text_width,
)

ENGLISH = "The quick brown fox jumps over the lazy dog, and Walter WILL WONDER whether it may. " * 5


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\n\n two\tthree\r\n", "one two three"),
        ("\x00a\x1b[31m", "\\x00a\\x1b[31m"),
        ("left\u202eright", "left\\u202eright"),
        ("half \ud83d", "half \\ud83d"),
        ("שלום\u200e 1", "שלום\u200e 1"),
        ("\U000f0000", "\\U000f0000"),
        ("soft\u00adhyphen\u200d\ufe0f", "softhyphen"),
        ("$x_1$ <b>&amp;</b> 模型 שלום 🎉", "$x_1$ <b>&amp;</b> 模型 שלום 🎉"),
        ("   ", ""),
    ],
)
def test_a_shown_text_is_one_line_without_anything_that_cannot_be_seen(text: str, shown: str):
    assert shown_text(text) == shown


@pytest.mark.parametrize("text", [ENGLISH, "W" * 700, "i" * 700, "模型" * 200, "ab " * 100 + "c" * 300])
@pytest.mark.parametrize("width", [1.3, 3.7])
def test_no_line_is_wider_than_asked_for_as_matplotlib_draws_it(text: str, width: float):
    figure = Figure(dpi=100)
    renderer = FigureCanvasAgg(figure).get_renderer()
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        for line in lines_of(text.replace("模型", "mW"), width, size=8.0):
            drawn = figure.text(0, 0, line, fontsize=8)
            assert drawn.get_window_extent(renderer).width <= width * 100 + 1


@pytest.mark.parametrize("text", [ENGLISH, "W" * 700, "模型" * 200, "ab " * 100 + "c" * 300, ""])
def test_lines_hold_the_whole_text_in_order(text: str):
    lines = lines_of(text, 2.0, size=8.0)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_show_what_cannot_be_seen_too():
    assert lines_of("a\u202e b\x00", 2.0, size=8.0) == ["a\\u202e b\\x00"]


def test_text_width_is_that_of_the_narrowest_line_that_holds_it():
    width = text_width("Which models are alike?", size=8.0)
    assert len(lines_of("Which models are alike?", width * 1.001, size=8.0)) == 1
    assert len(lines_of("Which models are alike?", width * 0.999, size=8.0)) == 2


def test_words_are_broken_only_where_they_are_longer_than_a_line():
    lines = lines_of(ENGLISH, 2.0, size=8.0)
    assert " ".join(lines) == ENGLISH.strip()
    assert len(lines) > 5


def test_what_the_most_lines_do_not_hold_ends_in_an_ellipsis():
    for text in (ENGLISH, "W" * 700):
        whole, cut = lines_of(text, 2.0, size=8.0), lines_of(text, 2.0, size=8.0, most=3)
        assert len(cut) == 3
        assert cut[:2] == whole[:2]
        assert cut[2].endswith("…")
        assert whole[2].startswith(cut[2][:-1])


def test_what_the_most_lines_hold_is_not_cut():
    assert lines_of(ENGLISH, 50.0, size=8.0, most=1) == lines_of(ENGLISH, 50.0, size=8.0)


def test_a_larger_font_has_shorter_lines():
    assert len(lines_of(ENGLISH, 2.0, size=16.0)) > 1.7 * len(lines_of(ENGLISH, 2.0, size=8.0))


def test_drawing_in_another_size_does_not_change_the_widths():
    before = lines_of(ENGLISH, 2.0, size=8.0)
    figure = Figure()
    figure.text(0, 0, "WM{}[]QJ§", fontsize=40).get_window_extent(
        FigureCanvasAgg(figure).get_renderer()
    )
    assert lines_of(ENGLISH + "{}[]QJ§", 2.0, size=8.0)[: len(before) - 1] == before[:-1]


def test_a_caption_has_title_and_notes_and_makes_the_figure_as_much_higher():
    figure = Figure(figsize=(5, 3), layout="constrained")
    caption(figure, "A title", ["first note", ENGLISH])
    assert figure.get_suptitle() == "A title"
    notes = figure.get_supxlabel().split("\n")
    assert notes[0] == "first note"
    assert " ".join(notes[1:]) == ENGLISH.strip()
    points = LINE_HEIGHT * (TITLE_SIZE + NOTE_SIZE * len(notes))
    assert figure.get_figheight() == pytest.approx(3 + points / 72)
