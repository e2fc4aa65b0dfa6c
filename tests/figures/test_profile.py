from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isodepth.assessment import PairAssessment, TextSetAssessment, assess_pair
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures.profile import RANGES, profile_figure
from isodepth.statistics import PROFILE
from isodepth.statistics.profile_names import PROFILE_NAMES, PROFILE_SCALES


@pytest.fixture
def pair(from_texts: TextSetAssessment) -> PairAssessment:
    return from_texts.pairs[0]


@pytest.fixture
def alone(from_matrices: TextSetAssessment) -> PairAssessment:
    return from_matrices.pairs[0]


def rows(axes: Axes) -> dict[str, int]:
    """Return the height of each row by its name."""
    return {
        label.get_text().replace("\n", " "): int(place)
        for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    }


def marks(axes: Axes) -> dict[tuple[str, float], float]:
    """Return the estimates that are drawn by color and height."""
    return {
        (line.get_color(), float(line.get_ydata()[0])): float(line.get_xdata()[0])
        for line in axes.lines
        if line.get_marker() not in ("", "None", None)
    }


def bars(axes: Axes) -> dict[float, tuple[float, float]]:
    return {
        float(line.get_ydata()[0]): tuple(line.get_xdata())
        for line in axes.lines
        if line.get_solid_capstyle() == "butt"
        and len(line.get_xdata()) == 2
        and line.get_ydata()[0] == line.get_ydata()[1]
    }


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def test_every_part_of_a_profile_has_a_section_and_a_name():
    assert sorted(PROFILE_NAMES) == sorted(PROFILE)
    assert sum(map(len, PROFILE_SCALES.values())) == len(PROFILE)
    assert len(set(PROFILE_NAMES.values())) == len(PROFILE)
    assert set(RANGES) < set(PROFILE_SCALES)


def test_every_part_is_drawn_with_its_interval_and_its_number(pair: PairAssessment):
    figure = profile_figure(pair)
    drawn = set()
    for axes, (title, section) in zip(figure.axes, PROFILE_SCALES.items(), strict=True):
        assert axes.get_title(loc="left") == title
        places = rows(axes)
        assert list(places) == list(section.values())
        found = {height: value for (_, height), value in marks(axes).items()}
        numbers = {text.xy[1]: text.get_text() for text in axes.texts}
        for part, name in section.items():
            one = pair.profile[part]
            assert found[places[name]] == one.value
            assert bars(axes)[places[name]] == (one.low, one.high)
            assert numbers[places[name]] == str(one)
            drawn.add(part)
    assert drawn == set(pair.profile)
    assert "Bars: 95 % interval, 61 texts resampled" in notes(figure)


def test_the_first_row_is_on_top(pair: PairAssessment):
    for axes in profile_figure(pair).axes:
        bottom, top = axes.get_ylim()
        assert bottom > top


def test_correlations_have_their_whole_range_and_similarities_start_at_0(pair: PairAssessment):
    limits = dict(
        zip(PROFILE_SCALES, (axes.get_xlim() for axes in profile_figure(pair).axes), strict=True)
    )
    assert limits["similarity"][0] == 0
    low, high = limits["correlation, −1 to 1"]
    assert low < -1 < 1 < high


def test_chance_is_marked_among_the_similarities_only(pair: PairAssessment):
    dotted = [
        [float(line.get_xdata()[0]) for line in axes.lines if line.get_linestyle() == ":"]
        for axes in profile_figure(pair).axes
    ]
    assert dotted[0] == [pytest.approx(5 / 60)]
    assert not any(dotted[1:])
    said = notes(profile_figure(pair))
    assert "mutual 5-NN similarity, 61 texts, chance 0.0833. Dotted: chance." in said
    for unmarked in (
        profile_figure(pair, parts=["association"]),
        profile_figure(replace(pair, matrix=replace(pair.matrix, measure="cka"))),
    ):
        assert "Dotted" not in notes(unmarked)


def test_several_pairs_have_their_colors_and_are_named(from_texts: TextSetAssessment):
    pairs = from_texts.pairs
    figure = profile_figure(pairs, names=["one", "_two", "three"])
    axes = figure.axes[0]
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["one", "_two", "three"]
    colors = [handle.get_color() for handle in legend.legend_handles]
    assert len(set(colors)) == 3
    found = marks(axes)
    heights = []
    for pair, color in zip(pairs, colors, strict=True):
        of_first_row = {
            value: height for (shade, height), value in found.items() if shade == color and height < 0.5
        }
        assert list(of_first_row) == [pair.profile["mean"].value]
        heights += of_first_row.values()
    assert heights == sorted(heights)
    assert len(set(heights)) == 3
    assert not axes.texts


def test_pairs_without_names_are_called_by_models_and_texts(pair: PairAssessment):
    named = replace(pair, matrix=replace(pair.matrix, texts="some texts"))
    title = profile_figure(named).get_suptitle().replace("\n", " ")
    assert title == "In which respects is it diagonal? _first $x_1$ × second<&>, some texts"


def test_only_the_parts_asked_for_are_drawn(pair: PairAssessment):
    figure = profile_figure(pair, parts=["association", "mean"])
    assert [list(rows(axes)) for axes in figure.axes] == [
        [PROFILE_NAMES["mean"]],
        [PROFILE_NAMES["association"]],
    ]


def test_from_a_matrix_alone_there_are_estimates_without_bars(alone: PairAssessment):
    figure = profile_figure(alone)
    assert all(not bars(axes) for axes in figure.axes)
    assert "No bars: nothing was resampled." in notes(figure)
    assert f"{alone.profile['mean'].value:.3f}" in [text.get_text() for text in figure.axes[0].texts]


def test_a_part_that_a_pair_lacks_is_left_empty(alone: PairAssessment):
    few = assess_pair(replace(alone.matrix, values=alone.matrix.values[:3, :3].copy()))
    assert "order_early" not in few.profile
    figure = profile_figure([alone, few])
    differences = figure.axes[1]
    row = rows(differences)[PROFILE_NAMES["order_early"]]
    heights = [height for _, height in marks(differences)]
    assert sum(abs(height - row) < 0.5 for height in heights) == 1
    by_itself = profile_figure(few)
    assert PROFILE_NAMES["order_early"] not in rows(by_itself.axes[1])


def test_what_cannot_be_drawn_is_refused(alone: PairAssessment):
    with pytest.raises(ParameterError, match="expected 1 to 7 pairs of models.*; got 0"):
        profile_figure([])
    with pytest.raises(ParameterError, match="got 8"):
        profile_figure([alone] * 8)
    with pytest.raises(ParameterError, match="expected a name for each of 2 pairs; got 1"):
        profile_figure([alone, alone], names=["one"])
    with pytest.raises(UnknownNameError) as error:
        profile_figure(alone, parts=["asociation", "mean", "€"])
    assert error.value.message == "a diagonality profile has no part 'asociation', '€'"
    assert error.value.hint == "did you mean association?"
    flat = assess_pair(replace(alone.matrix, values=np.full((1, 1), 0.5)))
    with pytest.raises(ParameterError, match="no pair has any of on_minus_off"):
        profile_figure(flat, parts=["on_minus_off"])
