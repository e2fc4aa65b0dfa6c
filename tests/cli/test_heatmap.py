import re

import numpy as np
import pytest

from isodepth.cli.heatmap import SHADES, heat_map
from isodepth.pixels import INFERNO

CELL = re.compile(
    r"(?:\x1b\[48;2;(\d+;\d+;\d+)m)?\x1b\[38;2;(\d+;\d+;\d+)m(▀▀|▄▄)\x1b\[0m"  # ground, front, half
)
DARKEST, BRIGHTEST = "0;0;4", "252;255;164"


def drawn(values: np.ndarray, *, color: bool = False, rows: int = 101, columns: int = 101) -> list[str]:
    return heat_map(
        values, left="one", right="other", color=color, most_rows=rows, most_columns=columns
    )


def bars(lines: list[str]) -> list[str]:
    """Return what stands between the bars, top line first."""
    return [line.split("│")[1] for line in lines if "│" in line]


def cell_colors(lines: list[str]) -> list[list[tuple[str | None, str]]]:
    """Return (upper, lower) colors of every cell, top line first; None where nothing is drawn."""
    colors = []
    for bar in bars(lines):
        row: list[tuple[str | None, str]] = []
        for ground, front, half in CELL.findall(bar):
            row.append((front, ground) if half == "▀▀" else (None, front))
        assert CELL.sub("", bar) == ""
        colors.append(row)
    return colors


# without color


def test_one_line_per_layer_and_two_characters_per_layer(rng: np.random.Generator):
    lines = drawn(rng.uniform(size=(7, 5)))
    assert lines[0] == "layers of one (up) against layers of other (right)"
    assert len(lines) == 1 + 7 + 2
    assert [len(bar) for bar in bars(lines)] == [10] * 7
    assert len({line.index("│") for line in lines[1:8]}) == 1


def test_layer_1_of_both_is_at_the_bottom_left():
    values = np.zeros((7, 5))
    values[0, 0] = 1
    assert bars(drawn(values)) == [" " * 10] * 6 + ["██" + " " * 8]


def test_rows_are_left_layers_and_columns_right_layers():
    values = np.zeros((7, 5))
    values[5, 1] = 1
    assert bars(drawn(values))[1] == "  ██      "


def test_shades_rise_with_similarity_in_five_levels():
    values = np.linspace(0, 1, 11)[np.newaxis]
    (bar,) = bars(drawn(values))
    assert bar[::2] == bar[1::2] == "  ░░▒▒▓▓███"
    assert SHADES == " ░▒▓█"


def test_the_layers_at_the_ends_are_numbered():
    lines = drawn(np.eye(13, 11))
    assert lines[1].startswith("13 │")
    assert lines[13].startswith(" 1 │")
    below = lines[14]
    start, end = lines[1].index("│") + 1, lines[1].rindex("│")
    assert below.split() == ["1", "11"]
    assert below.index("1") == start
    assert len(below) == end


@pytest.mark.parametrize(("n_right", "columns", "numbers"), [(1, 5, ["1"]), (7, 1, ["1", "7"])])
def test_numbers_below_a_single_column_do_not_run_together(
    n_right: int, columns: int, numbers: list[str]
):
    lines = drawn(np.full((3, n_right), 0.5), columns=columns)
    # "11" below one layer would read as eleven layers
    digits = re.findall(r"\d+", lines[4])
    assert digits in (numbers, numbers[-1:])


def test_the_scale_states_lowest_and_highest():
    lines = drawn(np.array([[0.125, 0.25], [0.5, 0.875]]))
    assert lines[-1].strip() == "similarity 0.125 [ ][░][▒][▓][█] 0.875"


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("color", [False, True])
def test_a_constant_matrix_is_drawn_evenly(level: float, color: bool):
    lines = drawn(np.full((6, 5), level), color=color)
    assert len(set(bars(lines))) == 1
    assert f"similarity {level:.3f}" in lines[-1]
    assert lines[-1].endswith(f" {level:.3f}")


def test_averaging_is_said(rng: np.random.Generator):
    lines = drawn(rng.uniform(size=(43, 31)), rows=11, columns=7)
    assert lines[-1].strip() == "(averaged to 11 x 7 cells)"
    assert [len(bar) for bar in bars(lines)] == [14] * 11
    assert lines[1].startswith("43 │")
    assert lines[12].split() == ["1", "31"]


def test_averaging_keeps_layer_1_at_the_bottom_left():
    values = np.zeros((44, 32))
    values[:4, :4] = 1
    assert bars(drawn(values, rows=11, columns=8)) == [" " * 16] * 10 + ["██" + " " * 14]


def test_without_color_there_are_no_escapes(rng: np.random.Generator):
    assert "\x1b" not in "".join(drawn(rng.uniform(size=(7, 5))))


# with color


def test_two_layers_share_a_line_and_the_odd_one_is_on_top(rng: np.random.Generator):
    for n_left, n_lines in ((6, 3), (7, 4)):
        colors = cell_colors(drawn(rng.uniform(size=(n_left, 5)), color=True))
        assert [len(row) for row in colors] == [5] * n_lines
        nothing = [upper is None for upper, _ in colors[0]]
        assert all(nothing) if n_left % 2 else not any(nothing)


def test_lowest_and_highest_have_the_darkest_and_the_brightest_color():
    values = np.full((4, 3), 0.5)
    values[0, 0], values[3, 2] = 1.0, 0.0
    top, bottom = cell_colors(drawn(values, color=True))
    assert bottom[0][1] == BRIGHTEST
    assert top[2][0] == DARKEST
    between = {color for row in (top, bottom) for cell in row for color in cell} - {
        BRIGHTEST,
        DARKEST,
    }
    assert between == {";".join(f"{part:.0f}" for part in INFERNO[4])}


def test_with_color_each_cell_has_the_color_of_its_similarity(rng: np.random.Generator):
    values = rng.uniform(size=(6, 5))
    levels = (values - values.min()) / (values.max() - values.min())
    place = np.linspace(0, 1, 9)
    for line, row in enumerate(cell_colors(drawn(values, color=True))):
        for j, pair in enumerate(row):
            for half, color in enumerate(pair):
                level = levels[5 - (2 * line + half), j]
                expected = [np.interp(level, place, INFERNO[:, channel]) for channel in range(3)]
                assert color is not None
                np.testing.assert_allclose([int(p) for p in color.split(";")], expected, atol=0.51)


def test_every_line_with_color_ends_without_it(rng: np.random.Generator):
    for line in drawn(rng.uniform(size=(7, 5)), color=True):
        assert line.count("\x1b[0m") > 0 or "\x1b" not in line
        assert "\x1b[" not in line.rpartition("\x1b[0m")[2]


def test_the_scale_with_color_runs_from_darkest_to_brightest(rng: np.random.Generator):
    steps = re.findall(
        r"\x1b\[48;2;(\d+;\d+;\d+)m \x1b\[0m", drawn(rng.uniform(size=(4, 5)), color=True)[-1]
    )
    assert (steps[0], steps[-1]) == (DARKEST, BRIGHTEST)
    assert len(steps) == 16
