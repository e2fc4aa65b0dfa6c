from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import ParameterError
from isodepth.figures.schematic import schematic_figure

Link = tuple[int, int]


@pytest.fixture
def some(rng: np.random.Generator) -> AffinityMatrix:
    return AffinityMatrix(
        values=rng.uniform(0.05, 0.6, size=(13, 7)),
        left="left_$",
        right="right<&>",
        measure="mutual_knn",
        k=7,
        n_texts=1013,
    )


def links(figure: Figure, label: str) -> dict[Link, float]:
    """Return the layers (from 0) that links of a kind join, with the similarities they are colored by."""
    (lines,) = (
        drawn for drawn in figure.axes[0].collections
        if isinstance(drawn, LineCollection) and drawn.get_label() == label
    )  # fmt: skip
    found = {}
    for (start, end), similarity in zip(lines.get_segments(), lines.get_array(), strict=True):
        assert (start[0], end[0]) == (0, 1)
        found[round(start[1] * 13 - 0.5), round(end[1] * 7 - 0.5)] = float(similarity)
    return found


def test_every_layer_is_linked_to_the_most_similar_one_of_the_other_model(some: AffinityMatrix):
    figure = schematic_figure(some)
    best_right = {(i, max(range(7), key=lambda j: some.values[i, j])) for i in range(13)}
    best_left = {(max(range(13), key=lambda i: some.values[i, j]), j) for j in range(7)}
    assert set(links(figure, "mutual")) == best_right & best_left
    assert set(links(figure, "of left")) == best_right - best_left
    assert set(links(figure, "of right")) == best_left - best_right
    for kind in ("mutual", "of left", "of right"):
        for link, similarity in links(figure, kind).items():
            assert similarity == some.values[link]


def test_links_in_one_direction_have_a_dot_at_the_layer_that_they_come_from(some: AffinityMatrix):
    axes = schematic_figure(some).axes[0]
    kinds = {"of left": (0.0, 0, 13), "of right": (1.0, 1, 7)}
    dots = [drawn.get_offsets() for drawn in axes.collections if isinstance(drawn, PathCollection)]
    for (kind, (x, side, n_layers)), offsets in zip(kinds.items(), dots, strict=True):
        origins = {link[side] for link in links(axes.figure, kind)}
        assert set(offsets[:, 0]) == {x}
        assert {round(y * n_layers - 0.5) for y in offsets[:, 1]} == origins


def test_layers_stack_up_from_the_first_and_have_the_color_of_their_link(some: AffinityMatrix):
    columns = {
        drawn.get_label(): drawn for drawn in schematic_figure(some).axes[0].collections
        if isinstance(drawn, PolyCollection)
    }  # fmt: skip
    for side, n_layers, axis in (("left", 13, 1), ("right", 7, 0)):
        boxes = columns[f"layers of {side}"]
        np.testing.assert_array_equal(boxes.get_array(), some.values.max(axis=axis))
        heights = [(path.vertices[:, 1].min(), path.vertices[:, 1].max()) for path in boxes.get_paths()]
        expected = [(layer / n_layers, (layer + 1) / n_layers) for layer in range(n_layers)]
        np.testing.assert_allclose(heights, expected)


def test_links_in_both_directions_are_wider(some: AffinityMatrix):
    widths = {
        drawn.get_label(): drawn.get_linewidth()[0] for drawn in schematic_figure(some).axes[0].collections
        if isinstance(drawn, LineCollection)
    }  # fmt: skip
    assert widths["mutual"] > 2 * widths["of left"] == 2 * widths["of right"]


def test_every_color_is_from_one_scale_which_is_said(some: AffinityMatrix):
    figure = schematic_figure(some, highest=0.5)
    assert {drawn.get_clim() for drawn in figure.axes[0].collections} == {(0.0, 0.5)}
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert bar.get_ylabel() == (
        "mutual 7-NN similarity of linked layers\ncolor scale 0 to 0.5, not to 1"
    )
    assert [text.get_text() for text in bar.texts] == ["chance\n0.00692"]
    assert "1,013 texts, chance 0.00692" in figure.get_supxlabel()


def test_the_scale_begins_at_the_lowest_linked_value_below_0(some: AffinityMatrix):
    below = replace(some, values=some.values - 0.4)
    strengths = [*below.values.max(axis=0), *below.values.max(axis=1)]
    low, high = min(strengths), max(strengths)
    assert low < 0 < high
    figure = schematic_figure(below)
    assert {drawn.get_clim() for drawn in figure.axes[0].collections} == {(low, high)}
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert bar.get_ylabel().endswith(f"\ncolor scale {low:.3g} to {high:.3g}")


def test_darker_is_more_similar_in_gray_too(some: AffinityMatrix):
    colors = schematic_figure(some).axes[0].collections[0].get_cmap()(np.linspace(0, 1, 11))
    gray = colors[:, :3] @ (0.299, 0.587, 0.114)
    assert (np.diff(gray) < 0).all()
    assert gray[0] < 0.9  # still seen on white


def test_both_models_are_named_and_their_layers_numbered(some: AffinityMatrix):
    left, right, *_ = schematic_figure(some).axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["left_$", "right<&>"]
    for axes, n_layers in ((left, 13), (right, 7)):
        numbers = [int(label.get_text()) for label in axes.get_yticklabels()]
        np.testing.assert_allclose(axes.get_yticks(), (np.array(numbers) - 0.5) / n_layers)


def test_models_that_correspond_by_depth_have_level_links_only():
    same = AffinityMatrix(
        values=np.eye(5), left="a", right="b", measure="mutual_knn", k=7, n_texts=1013
    )
    (lines,) = (c for c in schematic_figure(same).axes[0].collections if c.get_label() == "mutual")
    assert len(lines.get_segments()) == 5
    assert all(start[1] == end[1] for start, end in lines.get_segments())


@pytest.mark.parametrize("shape", [(1, 1), (80, 32), (1, 7)])
def test_any_number_of_layers_is_drawn(
    rng: np.random.Generator, some: AffinityMatrix, shape: tuple[int, int]
):
    schematic_figure(replace(some, values=rng.uniform(size=shape))).draw_without_rendering()


def test_what_cannot_be_drawn_is_refused(some: AffinityMatrix):
    with pytest.raises(ParameterError, match="highest = 0"):
        schematic_figure(some, highest=0.0)
    with pytest.raises(ParameterError, match="finite"):
        schematic_figure(replace(some, values=np.full((3, 2), np.nan)), highest=1.0)
