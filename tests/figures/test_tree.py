import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import TextSetAssessment
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures.tree import tree_figure
from isodepth.statistics import ModelDistances, ModelTree, cluster_models

NAMES = ("_a $x$", "b<&>", "c-模型", "d", "organization/" + "long-" * 9)


def distances(rng: np.random.Generator, n: int) -> ModelDistances:
    values = rng.uniform(0.2, 1.0, size=(n, n))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 0)
    return ModelDistances(values=values, models=NAMES[:n], by="path", chance=0.01)


@pytest.fixture
def tree(rng: np.random.Generator) -> ModelTree:
    found = distances(rng, 5)
    noise = rng.uniform(-0.05, 0.05, size=(31, 5, 5))
    resampled = np.clip(found.values + (noise + noise.transpose(0, 2, 1)) / 2, 0, 1)
    resampled[:, np.arange(5), np.arange(5)] = 0
    return cluster_models(found, resampled=resampled)


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def uprights(figure: Figure) -> list[tuple[float, float, float]]:
    """Return distance, upper and lower end of every upright line."""
    return [
        (float(x[0]), float(min(y)), float(max(y)))
        for x, y in (line.get_data() for line in figure.axes[0].lines)
        if len(x) == 2 and x[0] == x[1] and y[0] != y[1]
    ]


def test_models_stand_in_the_order_of_the_leaves_from_the_top(tree: ModelTree):
    axes = tree_figure(tree).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(tree.order)
    bottom, top = axes.get_ylim()
    assert bottom > top


def test_every_merge_is_an_upright_at_its_height_over_its_models(tree: ModelTree):
    found = sorted(uprights(tree_figure(tree)))
    assert [height for height, *_ in found] == pytest.approx(
        sorted(clade.height for clade in tree.clades)
    )
    for (height, upper, lower), clade in zip(
        found, sorted(tree.clades, key=lambda one: one.height), strict=True
    ):
        rows = [tree.order.index(model) for model in clade.models]
        assert min(rows) <= upper < lower <= max(rows), height


def test_two_models_meet_where_their_cophenetic_distance_is(tree: ModelTree):
    # climbing from two leaves along the drawn lines, the first common upright
    figure = tree_figure(tree)
    across = [
        (float(y[0]), float(min(x)), float(max(x)))
        for x, y in (line.get_data() for line in figure.axes[0].lines)
        if len(x) == 2 and y[0] == y[1]
    ]

    def way(row: float) -> list[tuple[float, float]]:
        place, height, found = row, 0.0, []
        while True:
            steps = [
                end for y, start, end in across if np.isclose(y, place) and np.isclose(start, height)
            ]
            if not steps:
                return found
            (height,) = steps
            ((_, upper, lower),) = [
                one
                for one in uprights(figure)
                if np.isclose(one[0], height) and one[1] - 1e-9 <= place <= one[2] + 1e-9
            ]
            place = (upper + lower) / 2
            found.append((round(height, 9), round(place, 9)))

    for clade in tree.clades:
        first, last = tree.order.index(clade.models[0]), tree.order.index(clade.models[-1])
        common = [step for step in way(first) if step in way(last)]
        assert common[0][0] == pytest.approx(clade.height)


def test_support_stands_beside_the_merges_but_the_last(tree: ModelTree):
    figure = tree_figure(tree)
    shown = {round(text.xy[0], 9): text.get_text() for text in figure.axes[0].texts}
    expected = {
        round(clade.height, 9): f"{100 * clade.support:.0f}"
        for clade in tree.clades
        if len(clade.models) < 5
    }
    assert shown == expected
    assert "the percentage of trees of resampled texts that have exactly this group" in notes(figure)


def test_without_resamples_there_is_no_support_and_that_is_said(rng: np.random.Generator):
    figure = tree_figure(cluster_models(distances(rng, 5), method="complete"))
    assert not figure.axes[0].texts
    assert "No support of groups: no texts were resampled." in notes(figure)
    assert "Distance of two groups: the largest distance between members." in notes(figure)


def test_groups_are_marked_at_their_leaves_and_named(tree: ModelTree):
    figure = tree_figure(tree, groups={"_one": ["d", NAMES[0]], "other": [NAMES[2]]})
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["_one", "other"]
    handles = legend.legend_handles
    assert len({handle.get_color() for handle in handles}) == 2
    assert len({handle.get_marker() for handle in handles}) == 2
    drawn = {
        line.get_color(): sorted(line.get_ydata())
        for line in figure.axes[0].lines
        if line.get_linestyle() == "None"
    }
    rows = [
        sorted(tree.order.index(label) for label in labels) for labels in (("d", NAMES[0]), (NAMES[2],))
    ]
    assert [drawn[handle.get_color()] for handle in handles] == rows


def test_many_groups_look_different(tree: ModelTree):
    groups = {str(place): [] for place in range(20)}
    handles = tree_figure(tree, groups=groups).axes[0].get_legend().legend_handles
    assert len({(handle.get_color(), handle.get_marker()) for handle in handles}) == 20


def test_what_was_measured_is_said(from_texts: TextSetAssessment, planted_matrices: AffinityMatrices):
    said = notes(tree_figure(from_texts.tree, matrices=planted_matrices))
    assert said.startswith("By mutual 5-NN similarity, 61 texts, chance 0.0833.")
    assert f"Cophenetic correlation {from_texts.tree.cophenetic_correlation:.2f}" in said


@pytest.mark.parametrize("n", [1, 2])
def test_few_models_have_a_tree_too(rng: np.random.Generator, n: int):
    figure = tree_figure(cluster_models(distances(rng, n)))
    assert len(uprights(figure)) == n - 1
    assert "Cophenetic" not in notes(figure)


def test_a_long_name_leaves_the_tree_its_room(rng: np.random.Generator):
    values = distances(rng, 3)
    named = ModelDistances(
        values=values.values, models=("a", "b", "c" * 200), by=values.by, chance=values.chance
    )
    figure = tree_figure(cluster_models(named))
    figure.draw_without_rendering()
    left, right = figure.axes[0].get_position().x0, figure.axes[0].get_position().x1
    assert (right - left) * figure.get_figwidth() > 4


def test_models_that_are_not_in_the_tree_or_in_two_groups_are_refused(tree: ModelTree):
    with pytest.raises(UnknownNameError) as error:
        tree_figure(tree, groups={"one": ["b<&", "d"], "other": ["€€€€€"]})
    assert error.value.message == "groups: no model of the tree is called 'b<&', '€€€€€'"
    assert error.value.hint == "did you mean b<&>?"
    with pytest.raises(ParameterError, match=r"one group at most; more have d \(one and other\)"):
        tree_figure(tree, groups={"one": ["d"], "other": ["d"]})
