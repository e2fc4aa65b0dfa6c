from dataclasses import replace

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from isodepth.assessment import TextSetAssessment, assess_pair
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures.confounds import PARTS, confound_figure
from isodepth.statistics import DiagonalityProfile, Estimate
from isodepth.statistics.profile_names import PROFILE_NAMES


def profile(**values: float) -> DiagonalityProfile:
    """Return a profile with intervals that reach 0.02 to either side."""
    return DiagonalityProfile(
        estimates={
            part: Estimate(
                value=value,
                low=value - 0.02,
                high=value + 0.02,
                level=0.95,
                method="somehow",
                n=61,
                resampled="texts",
            )
            for part, value in values.items()
        },
        ridge=(),
    )


@pytest.fixture
def some() -> dict[str, DiagonalityProfile]:
    return {
        "near $x$": profile(mean=0.31, association=0.5),
        "base": profile(mean=0.3, association=0.4),
        "_far": profile(mean=0.2, association=0.41),
    }


def marks(axes: Axes) -> list[tuple[float, float, str]]:
    """Return row, value and marker of every estimate."""
    return sorted(
        (float(line.get_ydata()[0]), float(line.get_xdata()[0]), line.get_marker())
        for line in axes.lines
        if line.get_marker() in ("o", "^")
    )


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in sorted(axes.texts, key=lambda text: text.xy[1])]


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def test_rows_are_variants_with_the_baseline_first(some: dict[str, DiagonalityProfile]):
    figure = confound_figure(some, baseline="base", parts=["mean", "association"])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["base", "near $x$", "_far"]
    assert [axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes] == [
        PROFILE_NAMES["mean"],
        PROFILE_NAMES["association"],
    ]


def test_estimates_are_drawn_and_printed_with_their_distance_from_the_baseline(
    some: dict[str, DiagonalityProfile],
):
    mean, association = confound_figure(some, baseline="base", parts=["mean", "association"]).axes
    assert written(mean) == ["0.300", "0.310 (+0.010)", "0.200 (-0.100)"]
    assert written(association) == ["0.400", "0.500 (+0.100)", "0.410 (+0.010)"]
    assert [(row, value) for row, value, _ in marks(mean)] == [(0, 0.3), (1, 0.31), (2, 0.2)]


def test_intervals_are_bars_and_that_of_the_baseline_is_a_band(some: dict[str, DiagonalityProfile]):
    (axes,) = confound_figure(some, baseline="base", parts=["mean"]).axes
    bars = {
        float(line.get_ydata()[0]): tuple(line.get_xdata())
        for line in axes.lines
        if len(line.get_xdata()) == 2 and line.get_ydata()[0] == line.get_ydata()[1]
    }
    assert bars[1] == pytest.approx((0.29, 0.33))
    assert bars[2] == pytest.approx((0.18, 0.22))
    (band,) = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((0.28, 0.32))
    line = axes.lines[0]
    assert list(line.get_xdata()) == [0.3, 0.3]


def test_only_variants_whose_interval_does_not_meet_the_baselines_are_marked(
    some: dict[str, DiagonalityProfile],
):
    mean, association = confound_figure(some, baseline="base", parts=["mean", "association"]).axes
    assert [marker for *_, marker in marks(mean)] == ["o", "o", "^"]
    assert [marker for *_, marker in marks(association)] == ["o", "^", "o"]


def test_what_bars_and_numbers_are_is_said(some: dict[str, DiagonalityProfile]):
    said = notes(confound_figure(some, baseline="base", parts=["mean"]))
    assert said.startswith("Profiles of 61 texts each.")
    assert "Bars: 95 % interval, 61 texts resampled (somehow)." in said


def test_real_profiles_have_the_chosen_parts_and_say_what_they_are_of(
    from_texts: TextSetAssessment, from_matrices: TextSetAssessment
):
    baseline, other = from_texts.pairs[:2]
    profiles = {"first": baseline.profile, "second": other.profile}
    figure = confound_figure(profiles, baseline="first", matrices=baseline.matrix)
    assert len(figure.axes) == len(PARTS)
    for axes, part in zip(figure.axes, PARTS, strict=True):
        values = [value for _, value, _ in marks(axes)]
        assert values == [one.profile[part].value for one in (baseline, other)]
    said = notes(figure)
    models = "_first $x_1$\u200e × second<&>\u200e"
    assert said.startswith(f"first: {models}, by mutual 5-NN similarity, 61 texts, chance 0.0833.")
    chance = [line for line in figure.axes[0].lines if line.get_linestyle() == ":"]
    assert [list(line.get_xdata()) for line in chance] == [pytest.approx([5 / 60, 5 / 60])]
    assert not [line for line in figure.axes[1].lines if line.get_linestyle() == ":"]
    assert "Dotted: chance of the baseline" in said
    alone = {name: pair.profile for name, pair in zip("ab", from_matrices.pairs, strict=False)}
    figure = confound_figure(alone, baseline="b", matrices=from_matrices.matrices)
    assert notes(figure).startswith("b: by mutual 5-NN similarity, 61 texts")
    figure = confound_figure(alone, baseline="b")
    assert "Dotted" not in notes(figure)
    assert "Red triangles" in said
    assert "Red triangles" not in notes(figure)
    assert "Without intervals no variant is marked" in notes(figure)
    assert "No bars: nothing was resampled." in notes(figure)
    assert not figure.axes[0].patches


def test_a_part_that_a_variant_lacks_is_said_to_be_missing(from_matrices: TextSetAssessment):
    whole = from_matrices.pairs[0]
    few = assess_pair(replace(whole.matrix, values=whole.matrix.values[:3, :3].copy()))
    profiles = {"whole": whole.profile, "few": few.profile}
    (axes,) = confound_figure(profiles, baseline="whole", parts=["weakest_part"]).axes
    assert written(axes)[1] == "not defined"
    # without a baseline there is nothing to be far from
    (axes,) = confound_figure(profiles, baseline="few", parts=["weakest_part"]).axes
    assert written(axes) == ["not defined", f"{whole.profile['weakest_part'].value:.3f}"]


def test_texts_that_differ_in_number_are_given_as_a_range(some: dict[str, DiagonalityProfile]):
    other = profile(mean=0.1)
    more = DiagonalityProfile(estimates={"mean": replace(other["mean"], n=1013)}, ridge=())
    said = notes(confound_figure({**some, "more": more}, baseline="base", parts=["mean"]))
    assert said.startswith("Profiles of 61 to 1,013 texts each.")


def test_unknown_baselines_and_parts_are_refused(some: dict[str, DiagonalityProfile]):
    with pytest.raises(UnknownNameError) as error:
        confound_figure(some, baseline="bas")
    assert error.value.message == "the baseline 'bas' is none of the profiles"
    assert error.value.hint == "did you mean base?"
    with pytest.raises(UnknownNameError) as error:
        confound_figure({}, baseline="base")
    with pytest.raises(UnknownNameError, match="has no part 'men'"):
        confound_figure(some, baseline="base", parts=["men"])
    with pytest.raises(ParameterError, match="at least one part of the profile; got none"):
        confound_figure(some, baseline="base", parts=[])
