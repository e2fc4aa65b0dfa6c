from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from isodepth.assessment import PairAssessment, TextSetAssessment, assess_pair
from isodepth.errors import ParameterError
from isodepth.figures.captions import LEFT_TO_RIGHT
from isodepth.figures.contrast import NO_DECISION, STYLES, contrast_figure
from isodepth.statistics import VERDICTS, diagonal_test


def drawn(axes: Axes) -> dict[str, np.ndarray]:
    """Return the points by verdict."""
    return {
        one.get_label(): np.asarray(one.get_offsets())
        for one in axes.collections
        if isinstance(one, PathCollection)
    }


def bars(axes: Axes) -> list[np.ndarray]:
    return [
        line.get_xydata() for line in axes.lines if len(line.get_xydata()) == 2 and line.get_alpha()
    ]


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ").replace(LEFT_TO_RIGHT, "")


def reordered(pair: PairAssessment, values: np.ndarray) -> PairAssessment:
    return assess_pair(replace(pair.matrix, values=values))


def test_every_pair_is_a_point_at_the_means_of_the_papers_test(from_matrices: TextSetAssessment):
    points = np.concatenate(list(drawn(contrast_figure(from_matrices).axes[0]).values()))
    tests = [diagonal_test(pair.matrix.values) for pair in from_matrices.pairs]
    expected = [(test.off_mean, test.on_mean) for test in tests]
    np.testing.assert_allclose(sorted(points.tolist()), sorted(expected))


def test_axes_are_equal_start_at_0_and_hold_all(from_texts: TextSetAssessment):
    axes = contrast_figure(from_texts).axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] == 0
    assert axes.get_aspect() == 1
    ends = np.concatenate(bars(axes))
    assert ends.max() < axes.get_xlim()[1]
    identity = axes.lines[0]
    assert (identity.get_xy1(), identity.get_slope()) == ((0, 0), 1)


def test_axes_begin_below_the_lowest_mean_that_is_below_0(from_matrices: TextSetAssessment):
    below = [
        assess_pair(replace(pair.matrix, values=pair.matrix.values - 0.5, measure="cka_debiased", k=0))
        for pair in from_matrices.pairs
    ]
    axes = contrast_figure(replace(from_matrices, pairs=tuple(below))).axes[0]
    points = np.concatenate(list(drawn(axes).values()))
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[0] < points.min() < 0
    assert points.max() < axes.get_xlim()[1]


def test_bars_are_the_intervals_of_both_means(from_texts: TextSetAssessment):
    found = {tuple(map(tuple, bar.round(12))) for bar in bars(contrast_figure(from_texts).axes[0])}
    expected = set()
    for pair in from_texts.pairs:
        on, off = pair.profile["on_mean"], pair.profile["off_mean"]
        across = ((off.low, on.value), (off.high, on.value))
        up = ((off.value, on.low), (off.value, on.high))
        expected |= {tuple(map(tuple, np.round(bar, 12))) for bar in (across, up)}
    assert found == expected
    assert "Bars: 95 % interval, 61 texts resampled" in notes(contrast_figure(from_texts))
    assert "Verdicts from texts." in notes(contrast_figure(from_texts))


def test_from_matrices_alone_there_are_no_bars_and_that_is_said(from_matrices: TextSetAssessment):
    figure = contrast_figure(from_matrices)
    assert bars(figure.axes[0]) == []
    assert "No bars: nothing was resampled. Verdicts from matrices alone." in notes(figure)


def test_points_above_the_line_are_counted(from_matrices: TextSetAssessment):
    first, *rest = from_matrices.pairs
    off_diagonal = reordered(first, first.matrix.values[::-1].copy())
    turned = replace(from_matrices, pairs=(off_diagonal, *rest))
    assert off_diagonal.profile["on_minus_off"].value < 0
    axes = contrast_figure([from_matrices, turned]).axes
    titles = [one.get_title(loc="left").replace("\n", " ") for one in axes]
    assert titles == [
        "the same, alone: 3 of 3 pairs above the line",
        "the same, alone: 2 of 3 pairs above the line",
    ]


def test_verdicts_have_their_own_color_and_marker_and_are_counted(from_matrices: TextSetAssessment):
    assert list(STYLES) == [*VERDICTS, NO_DECISION]
    assert len({color for color, _ in STYLES.values()}) == len(STYLES)
    assert len({marker for _, marker in STYLES.values()}) == len(STYLES)
    first, second, third = from_matrices.pairs
    undecided = replace(second, decision=replace(second.decision, verdict="undecided"))
    unknown = replace(third, decision=None)
    mixed = replace(from_matrices, pairs=(first, undecided, unknown))
    axes = contrast_figure(mixed).axes[0]
    points = drawn(axes)
    assert set(points) == {first.decision.verdict, "undecided", NO_DECISION}
    for pair, verdict in ((undecided, "undecided"), (unknown, NO_DECISION)):
        expected = [(pair.profile["off_mean"].value, pair.profile["on_mean"].value)]
        np.testing.assert_allclose(points[verdict], expected)
    legend = [text.get_text().replace("\n", " ") for text in axes.get_legend().get_texts()]
    assert legend == [
        "equal means",
        "chance",
        f"{first.decision.verdict} (1)",
        "undecided (1)",
        "no decision (1)",
    ]
    other = replace(mixed, matrices=replace(mixed.matrices, measure="another"))
    legend = contrast_figure(other).axes[0].get_legend().get_texts()
    assert "chance" not in [text.get_text() for text in legend]


def test_several_text_sets_share_their_axes(
    from_texts: TextSetAssessment, from_matrices: TextSetAssessment
):
    first, *rest = from_matrices.pairs
    brighter = replace(from_matrices, pairs=(reordered(first, np.sqrt(first.matrix.values)), *rest))
    figure = contrast_figure([from_texts, brighter, from_texts, from_matrices])
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 4
    assert len({axes.get_xlim() for axes in shown}) == 1
    assert shown[0].get_xlim() != contrast_figure(from_texts).axes[0].get_xlim()


def test_numbered_pairs_are_named_with_their_differences(from_matrices: TextSetAssessment):
    figure = contrast_figure(from_matrices, n_labeled=1)
    differences = {
        f"{pair.matrix.left} × {pair.matrix.right}": pair.profile["on_minus_off"].value
        for pair in from_matrices.pairs
    }
    ranked = sorted(differences, key=differences.__getitem__)
    assert notes(figure).endswith(
        f"the same, alone, the smallest and largest differences: 1 {ranked[0]} "
        f"({differences[ranked[0]]:+.3f}); 2 {ranked[2]} ({differences[ranked[2]]:+.3f})."
    )
    numbers = {text.get_text(): text.xy for text in figure.axes[0].texts}
    for number, name in (("1", ranked[0]), ("2", ranked[2])):
        (pair,) = [
            pair for pair in from_matrices.pairs if f"{pair.matrix.left} × {pair.matrix.right}" == name
        ]
        place = pair.profile["off_mean"].value, pair.profile["on_mean"].value
        assert numbers[number] == pytest.approx(place)


@pytest.mark.parametrize("n_labeled", [0, 2, 30])
def test_no_pair_is_numbered_twice(from_matrices: TextSetAssessment, n_labeled: int):
    axes = contrast_figure(from_matrices, n_labeled=n_labeled).axes[0]
    numbers = [text.get_text() for text in axes.texts]
    assert numbers == [str(i + 1) for i in range(min(3, 2 * n_labeled))]


@pytest.fixture
def one_layer(from_matrices: TextSetAssessment) -> PairAssessment:
    first = from_matrices.pairs[0].matrix
    return assess_pair(replace(first, values=first.values[:, :1].copy(), right="flat"))


def test_models_of_one_layer_are_left_out_and_counted(
    from_matrices: TextSetAssessment, one_layer: PairAssessment
):
    some = replace(from_matrices, pairs=(one_layer, *from_matrices.pairs))
    figure = contrast_figure(some)
    assert sum(map(len, drawn(figure.axes[0]).values())) == 3
    assert "the same, alone: 1 of 4 pairs left out, with a model of one layer." in notes(figure)


def test_sets_without_any_pair_to_draw_are_all_named(
    from_matrices: TextSetAssessment, one_layer: PairAssessment
):
    flat = [
        replace(from_matrices, pairs=pairs, name=name)
        for pairs, name in (((one_layer,), "flat"), ((), "none"))
    ]
    with pytest.raises(ParameterError) as error:
        contrast_figure([from_matrices, *flat])
    assert error.value.message == (
        "no pair of models has layers on and off the generalized diagonal: flat, none"
    )
    with pytest.raises(ParameterError, match="expected at least one text set; got none"):
        contrast_figure([])
