from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from isodepth.assessment import PairAssessment, TextSetAssessment, assess_pair
from isodepth.figures.correspondence import STRIP, depth_map_figure


@pytest.fixture
def pair(from_texts: TextSetAssessment) -> PairAssessment:
    return from_texts.pairs[0]


@pytest.fixture
def alone(from_matrices: TextSetAssessment) -> PairAssessment:
    return from_matrices.pairs[0]


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def bands(axes: Axes) -> list[FillBetweenPolyCollection]:
    return [one for one in axes.collections if isinstance(one, FillBetweenPolyCollection)]


def strips(axes: Axes) -> list[tuple[float, float]]:
    return [
        (patch.get_x(), patch.get_x() + patch.get_width())
        for patch in axes.patches
        if isinstance(patch, Rectangle)
    ]


def test_each_direction_has_its_own_panel_with_layers_from_1(pair: PairAssessment):
    left, right = depth_map_figure(pair).axes
    n_left, n_right = pair.matrix.values.shape
    assert (left.get_xlim(), left.get_ylim()) == ((0.5, n_left + 0.5), (0.5, n_right + 0.5))
    assert (right.get_xlim(), right.get_ylim()) == (left.get_ylim(), left.get_xlim())
    assert left.get_xlabel() == right.get_ylabel() == f"layer of {pair.matrix.left}"
    assert left.get_ylabel() == right.get_xlabel() == f"layer of {pair.matrix.right}"
    for axes in (left, right):
        assert axes.get_box_aspect() == 1
        assert axes.get_xticks()[0] == 1


def test_matched_positions_runs_and_most_similar_layers_are_drawn(pair: PairAssessment):
    figure = depth_map_figure(pair)
    values = pair.matrix.values
    sides = (
        (pair.depth_map.left_to_right, values.argmax(axis=1)),
        (pair.depth_map.right_to_left, values.argmax(axis=0)),
    )
    for axes, (found, best) in zip(figure.axes, sides, strict=True):
        proportional, matched, similar = axes.lines
        layers = np.arange(1, len(best) + 1)
        np.testing.assert_array_equal(matched.get_xydata(), np.column_stack([layers, found.layer]))
        np.testing.assert_array_equal(similar.get_xydata(), np.column_stack([layers, best + 1]))
        ends = (axes.get_xlim()[1], axes.get_ylim()[1])
        np.testing.assert_array_equal(proportional.get_xydata(), [(0.5, 0.5), ends])
        (runs,) = [one for one in axes.collections if isinstance(one, LineCollection)]
        np.testing.assert_array_equal(
            [segment[:, 1] for segment in runs.get_segments()],
            np.column_stack([found.first, found.last]),
        )


def test_runs_of_the_figure_are_the_path(alone: PairAssessment):
    # every cell of the path is in a run of its panel, and nothing else is
    (left, _) = depth_map_figure(alone).axes
    (runs,) = [one for one in left.collections if isinstance(one, LineCollection)]
    cells = {
        (int(x), y)
        for (x, first), (_, last) in runs.get_segments()
        for y in range(int(first), int(last) + 1)
    }
    assert cells == {(int(i) + 1, int(j) + 1) for i, j in alone.depth_map.path}


def test_the_matrix_lies_behind_with_the_bottom_left_at_layer_1(pair: PairAssessment):
    left, right = depth_map_figure(pair).axes
    for axes, values in ((left, pair.matrix.values.T), (right, pair.matrix.values)):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.origin == "lower"
        low, high = image.get_clim()
        assert low == 0
        assert high > 1.5 * values.max()


def test_white_is_the_lowest_value_below_0(alone: PairAssessment):
    values = alone.matrix.values - 0.3
    matrix = replace(alone.matrix, values=values, measure="cka", k=0)
    figure = depth_map_figure(replace(alone, matrix=matrix, decision=None))
    for axes in figure.axes:
        (image,) = axes.images
        assert image.get_clim()[0] == values.min()
    assert "No bands: texts are resampled for mutual k-NN alone." in notes(figure)
    assert f"white is {values.min():.3g}, and the darkest, {values.max():.3g}," in notes(figure)


def test_bands_hold_what_they_say_layer_by_layer(pair: PairAssessment):
    # of well planted layers both bands are the same, and so could be taken for each other
    sides = [
        replace(
            side,
            bands=replace(
                side.bands,
                simultaneous_low=side.bands.low - 0.25,
                simultaneous_high=side.bands.high + 0.5,
            ),
        )
        for side in (pair.depth_map.left_to_right, pair.depth_map.right_to_left)
    ]
    mapped = replace(pair.depth_map, left_to_right=sides[0], right_to_left=sides[1])
    figure = depth_map_figure(replace(pair, depth_map=mapped))
    for axes, found in zip(figure.axes, sides, strict=True):
        wide, narrow = bands(axes)
        for band, low, high in (
            (wide, found.bands.simultaneous_low, found.bands.simultaneous_high),
            (narrow, found.bands.low, found.bands.high),
        ):
            corners = band.get_paths()[0].vertices
            for layer, ends in enumerate(zip(low, high, strict=True), start=1):
                here = corners[corners[:, 0] == layer, 1]
                assert (here.min(), here.max()) == ends
    assert "101 paths through resampled matrices, 61 texts resampled" in notes(figure)
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert "95 %, all layers\nat once" in legend


def test_without_resamples_there_are_no_bands_and_that_is_said(alone: PairAssessment):
    figure = depth_map_figure(alone)
    assert not any(bands(axes) for axes in figure.axes)
    assert "No bands: the neighbors were not at hand, so no texts were resampled." in notes(figure)
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert not any("%" in label for label in legend)


def stretched(alone: PairAssessment) -> PairAssessment:
    """Return a pair of which seven left layers are like one right layer, the others one by one."""
    places = np.array([0, 1, 2, 3] + [4] * 7 + [5, 6])
    values = np.exp(-np.abs(places[:, None] - np.arange(7.0)))
    return assess_pair(replace(alone.matrix, values=values))


def test_compressed_layers_are_marked_on_the_side_that_is_compressed(alone: PairAssessment):
    pair = stretched(alone)
    (segment,) = pair.depth_map.segments
    figure = depth_map_figure(pair)
    left, right = figure.axes
    assert strips(left) == [(segment.first - 0.5, segment.last + 0.5)]
    assert strips(right) == []
    (strip,) = left.patches
    assert strip.get_height() == STRIP
    assert (
        f"Compressed to less than half: layers {segment.first} to {segment.last} of {pair.matrix.left} "
        f"on layers {segment.other_first} to {segment.other_last} of {pair.matrix.right}."
    ) in notes(figure)


def test_verdict_and_trust_are_said(pair: PairAssessment, alone: PairAssessment):
    said = notes(depth_map_figure(pair))
    assert f"Verdict, from the texts: {pair.decision.verdict}." in said
    off = pair.depth_map.match_disagreement
    assert off < 0.1
    assert (
        f"The map is {off:.3f} of the depth off the most similar layers (above 0.1 it is not to be trusted)"
        in said
    )
    assert f"Right minus left depth: {pair.depth_map.departure.signed} on the mean" in said
    blocks = replace(alone, depth_map=replace(alone.depth_map, match_disagreement=0.1234))
    said = notes(depth_map_figure(blocks))
    assert (
        "The map is 0.123 of the depth off the most similar layers (not to be trusted, as that is above 0.1)"
        in said
    )
    assert "Verdict, from the matrix alone" in said
    assert "Verdict" not in notes(depth_map_figure(replace(alone, decision=None)))


def test_one_layer_on_a_side_can_be_drawn(alone: PairAssessment):
    one = assess_pair(replace(alone.matrix, values=alone.matrix.values[:, :1].copy()))
    left, right = depth_map_figure(one).axes
    np.testing.assert_array_equal(left.lines[1].get_ydata(), 1)
    np.testing.assert_array_equal(right.lines[1].get_ydata(), [7])
