from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.confounds import (
    ConfoundTable,
    ControlInputs,
    all_controlled,
    confound_table,
    nearest,
    tf_idf,
)
from isodepth.errors import DigestMismatchError, ParameterError, UnknownNameError
from isodepth.figures import controls_figure, text_baselines_figure
from isodepth.figures.controls import MARKS
from isodepth.figures.text_baselines import GRID
from isodepth.statistics import PROFILE
from isodepth.statistics.profile_names import PROFILE_NAMES

N_TEXTS, K = 83, 3
LAYERS = {"_first $x_1$": 7, "second<&>": 5, "third-模型": 6}
# two texts have endings of their own, so that controls of endings leave them out
TEXTS = [f"{'word ' * (number % 7)}{number % 11}" + ".!"[number % 2] for number in range(N_TEXTS - 2)]
TEXTS += ["an ending of its own?", "another;"]
CONTROLS = ("same_ending(1)", "same_label(topic)", "center", "correlation", "drop_largest(1)")


@pytest.fixture(scope="module")
def table() -> ConfoundTable:
    """Three models whose layers walk from one view of the texts to another, off center."""
    rng = np.random.default_rng(5)
    start, end = rng.normal(size=(2, N_TEXTS, 13))
    models = {}
    for name, n_layers in LAYERS.items():
        depth = np.linspace(0, 1, n_layers)[:, np.newaxis, np.newaxis]
        values = (1 - depth) * start + depth * end
        models[name] = values + 0.4 * rng.normal(size=values.shape) + rng.normal(size=13)
    inputs = ControlInputs(texts=TEXTS, k=K)
    return confound_table(all_controlled(models, inputs, CONTROLS), n_resamples=31)


def row_labels(figure: Figure) -> dict[str, float]:
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, map(float, axes.get_yticks()), strict=True))


def marks(axes: Axes) -> list[tuple[float, float, str]]:
    """Return height, value and marker of every difference, from the top."""
    shapes = {marker for _, marker, _ in MARKS.values()}
    return sorted(
        (float(line.get_ydata()[0]), float(line.get_xdata()[0]), str(line.get_marker()))
        for line in axes.lines
        if line.get_marker() in shapes
    )


def bars(axes: Axes) -> list[tuple[float, float]]:
    """Return the ends of every interval, from the top."""
    lines = [line for line in axes.lines if len(line.get_xdata()) == 2]
    level = [line for line in lines if line.get_ydata()[0] == line.get_ydata()[1]]
    return [tuple(line.get_xdata()) for line in sorted(level, key=lambda line: line.get_ydata()[0])]


def written(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def notes(figure: Figure) -> str:
    return str(figure.get_supxlabel()).replace("\n", " ")


def shown(table: ConfoundTable, *controls: str) -> ConfoundTable:
    return replace(table, rows=tuple(row for row in table.rows if row.control in controls))


def test_controls_stand_by_kind_and_what_was_not_possible_comes_last(table: ConfoundTable):
    figure = controls_figure(table, parts=["mean", "association"])
    labels = list(row_labels(figure))
    assert labels == [
        "center",
        "drop_largest(1)",
        "correlation",
        "same_ending(1)\nn = 81",
        "same_label(topic)",
    ]
    said = written(figure.axes[-1])
    headings = [text for text in said if text.startswith(("preproc", "metric", "stratum", "not poss"))]
    assert [heading.split(":")[0] for heading in headings] == [
        "preprocessing",
        "metric",
        "stratum",
        "not possible",
    ]
    assert "no labels 'topic' were given" in said
    colors = [to_hex(label.get_color()) for label in figure.axes[0].get_yticklabels()]
    assert colors[:4] == [colors[0]] * 4
    assert colors[4] != colors[0]
    places = list(row_labels(figure).values())
    assert places == sorted(places)
    assert figure.axes[0].get_ylim()[0] > places[-1]


def test_marks_are_paired_differences_with_their_intervals(table: ConfoundTable):
    parts = ["mean", "on_minus_off"]
    figure = controls_figure(table, parts=parts)
    for axes, part in zip(figure.axes, parts, strict=True):
        rows = [table.row(name.split("\n")[0], part) for name in list(row_labels(figure))[:-1]]
        found = marks(axes)
        assert [value for _, value, _ in found] == [row.difference.value for row in rows]
        assert [marker for *_, marker in found] == [MARKS[row.verdict][1] for row in rows]
        assert bars(axes) == [pytest.approx((row.difference.low, row.difference.high)) for row in rows]
        numbers = [text.replace("−", "-") for text in written(axes) if "(" in text and text[-1] == ")"]
        assert numbers[: len(rows)] == [
            f"{row.value.value:.3f} ({row.difference.value:+.3f})" for row in rows
        ]


def test_the_band_is_a_tenth_of_each_rows_own_baseline(table: ConfoundTable):
    (axes,) = controls_figure(table, parts=["mean"]).axes
    reach = [float(band.get_datalim(axes.transData).x1) for band in axes.collections]
    names = ("center", "drop_largest(1)", "correlation", "same_ending(1)")
    assert reach == pytest.approx([abs(table.row(name, "mean").baseline.value) / 10 for name in names])
    assert reach[0] == reach[1] != reach[3]


def test_verdicts_differ_in_shape_and_filling_not_in_color_alone():
    marks = [(shape, filling == "white") for _, shape, filling in MARKS.values()]
    assert len(set(marks)) == len(MARKS)


def test_each_verdict_has_its_mark(table: ConfoundTable):
    row = table.row("center", "mean")
    rows = [replace(row, control=verdict, verdict=verdict) for verdict in MARKS]
    figure = controls_figure(replace(table, rows=tuple(rows), problems={}), parts=["mean"])
    assert [marker for *_, marker in marks(figure.axes[0])] == ["^", "^", "o", "D"]
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == [*MARKS, "10 % of the baseline"]
    assert [line.get_marker() for line in legend.get_lines()] == ["^", "^", "o", "D"]


def test_columns_have_the_number_without_a_control(table: ConfoundTable):
    figure = controls_figure(table, parts=["mean", "association"])
    for axes, part in zip(figure.axes, ("mean", "association"), strict=True):
        assert axes.get_title(loc="left").replace("\n", " ") == PROFILE_NAMES[part]
        above = written(axes)
        assert f"without a control {table.plain[part]}" in [text.replace("\n", " ") for text in above]


def test_a_pair_has_its_own_numbers(table: ConfoundTable):
    left, right = "_first $x_1$", "second<&>"
    figure = controls_figure(table, parts=["mean"], left=left, right=right)
    (axes,) = figure.axes
    names = [label.split("\n")[0] for label in row_labels(figure)][:-1]
    rows = [table.row(name, "mean", left=left, right=right) for name in names]
    assert [value for _, value, _ in marks(axes)] == [row.difference.value for row in rows]
    assert f"without a control {rows[0].baseline}" in written(axes)
    title = figure.get_suptitle().replace("\n", " ").replace("\u200e", "")
    assert title == "How far does each control move the profile of _first $x_1$ × second<&>?"
    assert "mean over" not in notes(figure)


def test_a_pair_with_baselines_of_its_own_alone_has_no_number_above(table: ConfoundTable):
    only = shown(table, "same_ending(1)")
    (axes,) = controls_figure(only, parts=["mean"], left="_first $x_1$", right="second<&>").axes
    assert not [text for text in written(axes) if text.startswith("without")]


def test_what_reaches_far_beyond_the_rest_leaves_the_scale_and_says_so(table: ConfoundTable):
    row = table.row("center", "mean")

    def moved(name: str, value: float, reach: float) -> object:
        ends = replace(row.difference, value=value, low=value - reach, high=value + reach)
        return replace(row, control=name, difference=ends)

    near = [moved(f"near {number}", 0.01 * number, 0.01) for number in range(7)]
    far = [moved("far", -5.0, 0.5), moved("wide", 0.02, 9.0)]
    figure = controls_figure(replace(table, rows=(*near, *far), problems={}), parts=["mean"])
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert -0.5 < low < -0.1
    assert 0.1 < high < 0.5
    *rest, (_, far_at, _), (_, wide_at, _) = marks(axes)
    assert [value for _, value, _ in rest] == [one.difference.value for one in near]
    assert low < far_at < -0.1
    assert wide_at == 0.02
    arrows = [str(line.get_marker()) for line in axes.lines if line.get_marker() in ("<", ">")]
    assert arrows == ["<", "<", ">"]
    assert f"{row.value.value:.3f} (−5.000)" in written(axes)
    # of few, none is far from the rest
    assert controls_figure(replace(table, rows=(near[0], *far))).axes[0].get_xlim()[1] > 9


def test_controls_that_change_nothing_at_all_can_be_drawn(table: ConfoundTable):
    row = table.row("center", "mean")
    zero = replace(row.difference, value=0.0, low=0.0, high=0.0)
    same = replace(row, difference=zero, baseline=replace(row.baseline, value=0.0))
    (axes,) = controls_figure(replace(table, rows=(same,)), parts=["mean"]).axes
    low, high = axes.get_xlim()
    assert low < 0 < high


def test_what_was_compared_is_said(table: ConfoundTable):
    said = notes(controls_figure(table, parts=["mean"]))
    assert "Mutual 3-NN similarity by cosine, 83 texts, calibrated: 0 is chance (0.0366 without" in said
    assert "mean over 3 pairs of models" in said
    assert "Bars: 95 % interval, 81 to 83 texts resampled (normal interval" in said
    assert "resamples" in said
    assert "Not corrected for how many there are" in said
    assert "Of exclusions and strata the baseline" in said
    assert "Of exclusions" not in notes(controls_figure(shown(table, "center"), parts=["mean"]))


def test_the_texts_are_named_where_matrices_are_given(table: ConfoundTable):
    matrix = AffinityMatrix(
        values=np.zeros((7, 5)), left="a", right="b", measure="mutual_knn", k=K, n_texts=N_TEXTS,
        texts="news",
    )  # fmt: skip
    assert "83 texts of news" in notes(controls_figure(table, parts=["mean"], matrices=matrix))
    with pytest.raises(ParameterError) as caught:
        controls_figure(table, matrices=replace(matrix, k=7))
    assert caught.value.message == (
        "controls figure: the table is of (measure, k, n_texts, metric, "
        "preprocessing) = ('mutual_knn', 3, 83, 'cosine', 'none'); got matrices "
        "of ('mutual_knn', 7, 83, 'cosine', 'none')"
    )


def test_a_part_that_not_all_pairs_have_is_said_to_be_missing(table: ConfoundTable):
    (axes,) = controls_figure(table, parts=["order_early"]).axes  # of a model of five layers
    assert written(axes).count("not defined") == 4
    assert not marks(axes)


def test_where_nothing_was_possible_the_reasons_are_drawn(table: ConfoundTable):
    figure = controls_figure(replace(table, rows=()), parts=["mean"])
    assert list(row_labels(figure)) == ["same_label(topic)"]
    assert not marks(figure.axes[0])


@pytest.mark.parametrize(("n_controls", "parts"), [(30, 6), (3, 1)])
def test_many_and_few_stay_legible(table: ConfoundTable, n_controls: int, parts: int):
    rows = [
        replace(row, control=f"{row.control}, number {number} of many more", n_texts=83 - number % 2)
        for number in range(n_controls)
        for row in table.of("center")
    ]
    problems = {f"impossible {number}": "for a reason " * 50 for number in range(3)}
    figure = controls_figure(
        replace(table, rows=tuple(rows), problems=problems), parts=list(PROFILE)[:parts]
    )
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))
    for one in figure.axes:
        for text in one.texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.x1
    for left, right in pairwise(figure.axes):
        numbers = [text for text in left.texts if text.get_text().endswith(")")]
        assert all(text.get_window_extent().x1 < right.get_window_extent().x0 for text in numbers)


def test_unknown_pairs_and_parts_are_refused(table: ConfoundTable):
    with pytest.raises(UnknownNameError) as caught:
        controls_figure(table, left="_first $x_1$", right="secnd<&>")
    assert caught.value.message == (
        "controls figure: the table has no pair of models left = '_first $x_1$', right = 'secnd<&>'"
    )
    assert caught.value.hint == "did you mean second<&>?"
    with pytest.raises(UnknownNameError) as caught:
        controls_figure(table, left="second<&>", right="_first $x_1$")
    assert str(caught.value.hint).startswith("it has left = '_first $x_1$', right = 'second<&>', left")
    with pytest.raises(UnknownNameError, match="left = None, right = 'second<&>'"):
        controls_figure(table, right="second<&>")
    with pytest.raises(UnknownNameError) as caught:
        controls_figure(replace(table, rows=()), left="zzz", right="qqq")
    assert caught.value.hint == "it has none."
    with pytest.raises(UnknownNameError, match="has no part 'men'"):
        controls_figure(table, parts=["men"])
    with pytest.raises(ParameterError, match="at least one part of the profile; got none"):
        controls_figure(table, parts=[])


# models against texts


def against(name: str, baseline: str, n_layers: int, seed: int = 0) -> AffinityMatrix:
    values = np.random.default_rng([seed, n_layers]).uniform(0.1, 0.4, size=(n_layers, 1))
    return AffinityMatrix(
        values=values, left=name, right=baseline, measure="mutual_knn", k=K, n_texts=N_TEXTS
    )


@pytest.fixture
def baselines() -> dict[str, list[AffinityMatrix]]:
    return {
        name: [against(model, name, n_layers, seed) for model, n_layers in LAYERS.items()]
        for seed, name in enumerate(("tf_idf", "length"))
    }


@pytest.fixture
def others() -> list[AffinityMatrix]:
    first, second, third = LAYERS
    shapes = {(first, second): (7, 5), (first, third): (7, 6), (second, third): (5, 6)}
    return [
        replace(
            against(left, right, shape[0]),
            values=np.random.default_rng(shape).uniform(0.3, 0.9, size=shape),
        )
        for (left, right), shape in shapes.items()
    ]


def legend_texts(figure: Figure) -> list[str]:
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
    return [text.get_text().replace("\n", " ") for text in legend.get_texts()]


def test_each_baseline_has_a_panel_and_each_model_a_line(
    baselines: dict[str, list[AffinityMatrix]],
):
    figure = text_baselines_figure(baselines)
    assert [axes.get_title() for axes in figure.axes] == ["tf_idf", "length"]
    for axes, several in zip(figure.axes, baselines.values(), strict=True):
        for line, one in zip(axes.lines, several, strict=False):
            n_layers = len(one.values)
            assert list(line.get_xdata()) == pytest.approx((np.arange(n_layers) + 0.5) / n_layers)
            assert list(line.get_ydata()) == list(one.values[:, 0])
        chance = axes.lines[-1]
        assert chance.get_linestyle() == ":"
        assert list(chance.get_ydata()) == pytest.approx([3 / 82] * 2)
        assert axes.get_ylim()[0] == 0
    assert legend_texts(figure) == [*LAYERS, "chance, 0.0366"]
    assert "Dashed" not in notes(figure)
    assert "By mutual 3-NN similarity, 83 texts, chance 0.0366." in notes(figure)


def test_models_are_held_against_the_most_similar_layers_of_other_models(
    baselines: dict[str, list[AffinityMatrix]], others: list[AffinityMatrix]
):
    figure = text_baselines_figure(baselines, others)
    dashed = [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]
    expected = [
        [np.mean([others[0].values[layer].max(), others[1].values[layer].max()]) for layer in range(7)],
        [
            np.mean([others[0].values[:, layer].max(), others[2].values[layer].max()])
            for layer in range(5)
        ],
    ]
    for line, values in zip(dashed, expected, strict=False):
        assert list(line.get_ydata()) == pytest.approx(values)
    assert "with the most similar layer of another model" in legend_texts(figure)
    assert "Dashed: chosen for being the highest" in notes(figure)


def test_of_many_models_median_and_range_are_drawn(others: list[AffinityMatrix]):
    many = [against(f"model {number}", "tf_idf", 11, number) for number in range(9)]
    figure = text_baselines_figure({"tf_idf": many})
    (axes,) = figure.axes
    middle = np.median([one.values[:, 0] for one in many], axis=0)
    depths = (np.arange(11) + 0.5) / 11
    np.testing.assert_allclose(axes.lines[0].get_ydata()[50], middle[5])
    assert depths[5] == GRID[50]
    assert legend_texts(figure)[0] == "median of 9 models; shaded: range"
    pair = replace(against("model 0", "model 1", 11), values=np.full((11, 11), 0.5))
    figure = text_baselines_figure({"tf_idf": many}, [pair])
    assert len(figure.axes[0].collections) == 2
    assert legend_texts(figure)[1] == "with the most similar layer of another model"


def test_models_that_see_words_alone_are_those_that_tf_idf_agrees_with():
    rng = np.random.default_rng(2)
    texts = [" ".join(f"word{number}" for number in rng.integers(97, size=11)) for _ in range(61)]
    ids, _ = nearest(tf_idf(texts), K)
    noise = rng.normal(size=(61, 61))
    random, _ = nearest(noise, K)
    layers = np.stack([random, random, ids])
    matrix = replace(affinity_matrix(layers, ids[np.newaxis]), left="reads words", right="tf_idf")
    (axes,) = text_baselines_figure({"tf_idf": [matrix]}).axes
    drawn = axes.lines[0].get_ydata()
    assert drawn[2] == 1
    assert drawn[0] == drawn[1] < 0.2


def test_what_cannot_be_drawn_together_is_refused_with_all_reasons(
    baselines: dict[str, list[AffinityMatrix]], others: list[AffinityMatrix]
):
    with pytest.raises(ParameterError, match="a baseline and a model at least; got none"):
        text_baselines_figure({})
    first, second, third = baselines["tf_idf"]
    wide = replace(second, values=np.zeros((5, 2)))
    short = replace(baselines["length"][0], values=np.zeros((3, 1)))
    with pytest.raises(ParameterError) as caught:
        text_baselines_figure(
            {"tf_idf": [first, wide, replace(third, k=2)], "length": [short, short]},
            [replace(others[0], left="x", right="x", values=np.zeros((2, 2)))],
        )
    for said in (
        "length has _first $x_1$, _first $x_1$; expected each once of _first $x_1$, second<&>, third-模型",
        "second<&> against tf_idf has 2 columns; expected 1",
        "third-模型 against tf_idf has (measure, k, n_texts) = ('mutual_knn', 2, 83); expected "
        "('mutual_knn', 3, 83)",
        "_first $x_1$ has 3 layers against length; elsewhere 7",
        "x x x is not of a model that is drawn and another one",
    ):
        assert said in caught.value.message
    with pytest.raises(ParameterError, match="length has no models"):
        text_baselines_figure({"tf_idf": [first], "length": []})
    with pytest.raises(DigestMismatchError, match="of different texts: digests one, two"):
        text_baselines_figure(
            {"tf_idf": [replace(first, texts_digest="one")]}, [replace(others[0], texts_digest="two")]
        )
