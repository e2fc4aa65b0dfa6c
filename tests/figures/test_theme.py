import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import ParameterError
from isodepth.figures.theme import (
    beside_axis,
    draw_outline,
    layer_ticks,
    matrix_size,
    missing_letters_allowed,
    new_figure,
    number,
    number_layers,
    one_line,
    reach,
    refuse_empty_scale,
    scale_text,
    settings,
    stated,
    themed,
)


def some_matrix(**changes: object) -> AffinityMatrix:
    fields = {"left": "one", "right": "other", "measure": "mutual_knn", "k": 7, "n_texts": 1013}
    return AffinityMatrix(values=np.ones((3, 2)), **(fields | changes))


def test_a_themed_function_draws_the_same_whatever_the_callers_settings():
    @themed
    def drawn() -> tuple[float, bool]:
        text = Figure().text(0, 0, "a$b$")
        return text.get_fontsize(), text.get_parse_math()

    with mpl.rc_context({"font.size": 31, "text.parse_math": True}):
        assert drawn() == (9.0, False)
        assert mpl.rcParams["font.size"] == 31


def test_every_fallback_font_is_installed():
    # matplotlib warns at each text where a family is not found
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    assert set(settings()["font.family"]) <= installed


def test_only_warnings_of_missing_letters_are_left_out():
    with missing_letters_allowed(), warnings.catch_warnings():
        warnings.warn("Glyph 57344 (\\ue000) missing from font(s) DejaVu Sans.", stacklevel=1)
        with pytest.warns(UserWarning, match="another"):
            warnings.warn("another", stacklevel=1)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10 / 2047, "0.00489"), (1.0, "1"), (0.0, "0"), (-12.345, "-12.3"), (4123.4, "4,123")],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, shown: str):
    assert number(value) == shown


def test_a_scale_says_that_it_is_zoomed_only_where_it_is():
    assert scale_text(0.0, 0.12) == "color scale 0 to 0.12, not to 1"
    assert scale_text(0.0, 1.0) == "color scale 0 to 1"
    assert scale_text(0.0, 0.9999) == "color scale 0 to 1"
    assert scale_text(-0.5, 0.5) == "color scale -0.5 to 0.5"


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (1.0, 0.5), (0.0, np.nan), (-np.inf, 0.0)])
def test_empty_scales_are_refused(low: float, high: float):
    with pytest.raises(ParameterError, match="must end above where it begins"):
        refuse_empty_scale(low, high)


def test_what_is_stated_has_measure_texts_and_chance_where_it_is_known():
    assert stated(some_matrix()) == "mutual 7-NN similarity, 1,013 texts, chance 0.00692"
    other = some_matrix(measure="cka", texts="some set")
    assert other.chance is None
    assert stated(other) == "linear CKA (k = 7), 1,013 texts of some set"


def test_control_characters_become_spaces_and_nothing_else_changes():
    assert one_line("a\nb\tc\x07\ud800d") == "a b c  d"
    kept = "$x_{<&> 漢字 😀 e\u0301"
    assert one_line(kept) == kept


@pytest.mark.parametrize("n_layers", [1, 2, 7, 31, 80, 127])
@pytest.mark.parametrize("most", [6, 10, 16])
def test_layer_ticks_are_few_and_have_both_ends(n_layers: int, most: int):
    ticks = layer_ticks(n_layers, most=most)
    assert ticks == sorted(set(ticks))
    assert (ticks[0], ticks[-1]) == (0, n_layers - 1)
    assert len(ticks) <= most + 2


def test_both_axes_are_numbered_from_one():
    axes = new_figure(2.0, 2.0).add_subplot()
    number_layers(axes, 13, 5)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3", "4", "5"]
    assert [text.get_text() for text in axes.get_yticklabels()][-1] == "13"


def test_cells_are_square_unless_a_side_would_be_too_short():
    width, height = matrix_size(80, 40)
    assert (width, height) == (2.5, 5.0)
    assert matrix_size(80, 2, longer=3.1, least=1.4) == (1.4 * 1.25, 3.1)


def test_an_outline_goes_around_each_part_of_a_mask():
    mask = np.zeros((3, 5), dtype=bool)
    mask[0, 0] = mask[2, 3] = mask[2, 4] = True
    lines = draw_outline(new_figure(2.0, 2.0).add_subplot(), mask)
    # 4 sides of one cell, 6 of two beside each other
    assert len(lines.get_segments()) == 10


def test_words_beside_an_axis_reach_as_far_as_their_longest():
    figure = new_figure(2.0, 2.0)
    axes = figure.add_subplot()
    short, long = (beside_axis(axes, "i" * n, 0.5, 4.0, along="y", size=8.0) for n in (3, 31))
    assert reach([short, long], along="y") == reach([long], along="y") > reach([short], along="y")
    down = beside_axis(axes, "i" * 31, 0.5, 4.0, along="x", size=8.0)
    assert reach([down], along="x") == pytest.approx(reach([long], along="y"), rel=0.05)
    assert reach([], along="y") == 0
