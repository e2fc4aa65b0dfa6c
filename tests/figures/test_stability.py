from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures import curves_figure, stability_figure
from isodepth.figures.theme import RED
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.stability import (
    LayerStability,
    SimilarityCurves,
    layer_stability,
    similarity_curves,
)

NAMES = ("_first $x_1$", "second<&>", "third-模型")


def made(name: str, n_layers: int) -> tuple[Neighbors, np.ndarray]:
    values = np.random.default_rng(n_layers).normal(size=(n_layers, 61, 7)) + 1
    return replace(nearest_neighbors(values, 29), model=name), values


@pytest.fixture(scope="module")
def layers() -> list[LayerStability]:
    found = [made(name, n_layers) for name, n_layers in zip(NAMES, (5, 3, 7), strict=True)]
    return [layer_stability(one, k=4, activations=values) for one, values in found]


@pytest.fixture(scope="module")
def curves() -> SimilarityCurves:
    neighbors = [made(name, n_layers)[0] for name, n_layers in zip(NAMES, (5, 3, 7), strict=True)]
    return similarity_curves(neighbors, k=4, n_subsets=3)


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_visible()]


def legend(figure: Figure) -> list[str]:
    (found,) = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
    return [text.get_text().replace("\n", " ") for text in found.get_texts()]


def notes(figure: Figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for text in figure.texts)


def test_captions_say_by_what_neighbors_are(layers: list[LayerStability], curves: SimilarityCurves):
    assert "k = 4, neighbors by cosine. Margin" in notes(stability_figure(layers))
    assert "vectors that are off by" in notes(stability_figure(layers))
    assert "are of the activations as they are, before any preprocessing" in notes(
        stability_figure(layers)
    )
    assert "Mutual k-NN by cosine, " in notes(curves_figure(curves))
    other = {"metric": "inner_product", "preprocessing": "clip(0.9)"}
    said = notes(stability_figure([replace(one, **other) for one in layers]))
    assert "k = 4, neighbors by inner product, after clip(0.9). Margin" in said
    assert "Noise here is what rounding to float32 can change" in said
    assert "vectors that are off by" not in said
    said = notes(curves_figure(replace(curves, **other)))
    assert "Mutual k-NN by inner product, after clip(0.9), " in said
    with pytest.raises(ParameterError, match="the same k, metric and preprocessing"):
        stability_figure([layers[0], replace(layers[1], metric="euclidean")])


def test_margins_within_a_decade_are_numbered_without_markup(layers: list[LayerStability]):
    near = [replace(one, margin=np.linspace(0.12, 0.38, one.n_layers)) for one in layers]
    figure = stability_figure(near[:2])
    figure.draw_without_rendering()
    numbers = [label.get_text() for label in figure.axes[0].get_yticklabels(which="both")]
    assert "2e−01" in numbers
    assert not [number for number in numbers if "$" in number]


def test_each_quantity_has_a_panel_and_each_model_a_line(layers: list[LayerStability]):
    figure = stability_figure(layers, texts="news")
    assert titles(figure) == [
        "median margin of the k-th neighbor",
        "texts whose margin noise can turn over",
        "texts with a tie at the edge",
        "hubs: skewness of how often named",
        "effective dimension",
        "anisotropy: mean cosine of two texts",
    ]
    margin, *_, dimension, _ = figure.axes
    assert [len(line.get_xdata()) for line in margin.lines] == [5, 3, 7]
    assert list(margin.lines[1].get_xdata()) == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    assert list(dimension.lines[1].get_ydata()) == list(layers[1].dimension)
    assert margin.get_yscale() == "log"
    assert legend(figure)[:3] == list(NAMES)
    assert "61 texts of news, k = 4, neighbors by cosine." in notes(figure)
    assert "at most 60 with so many texts" in notes(figure)


def test_hubs_are_held_against_random_lists(layers: list[LayerStability]):
    hubs = stability_figure(layers).axes[3]
    assert list(hubs.lines[0].get_ydata()) == [layers[0].random_skewness] * 2


def test_without_activations_there_is_no_geometry(layers: list[LayerStability]):
    bare = replace(layers[0], dimension=None, anisotropy=None, first_component=None)
    figure = stability_figure(bare)
    assert len(titles(figure)) == 4
    assert "need activations" in notes(figure)
    mixed = stability_figure([bare, layers[1]])
    assert len(titles(mixed)) == 6
    assert "No activations of _first $x_1$." in notes(mixed)


def test_of_many_models_median_and_range_are_drawn(layers: list[LayerStability]):
    figure = stability_figure(layers * 3)
    assert legend(figure)[0] == "median of 9; shaded: range"
    assert all(axes.collections for axes in figure.axes)


def test_models_of_other_texts_are_refused(layers: list[LayerStability]):
    with pytest.raises(ParameterError, match=r"= \(53, 4, 'cosine', 'none'\), \(61, 4, "):
        stability_figure([layers[0], replace(layers[1], n_texts=53)])
    with pytest.raises(ParameterError, match="no models"):
        stability_figure([])


def dashed(figure: Figure) -> list:
    return [line for line in figure.axes[1].lines if line.get_linestyle() == "--"]


def test_what_is_extrapolated_is_dashed_in_its_own_color_and_called_so(curves: SimilarityCurves):
    figure = curves_figure(curves, texts="news")
    lines = dashed(figure)
    assert len(lines) == 3
    assert {line.get_color() for line in lines} == {RED}
    assert all(list(line.get_xdata()) == [61, 121, 241] for line in lines)
    measured = [
        line
        for line in figure.axes[1].lines
        if line.get_linestyle() == "-" and len(line.get_xdata()) > 2
    ]
    assert len(measured) == 3
    assert RED not in {line.get_color() for line in measured}
    assert max(max(line.get_xdata()) for line in measured) == 61
    assert legend(figure)[-1] == "extrapolated: not measured"
    assert [text.get_text().strip() for text in figure.axes[1].texts] == ["extrapolated"]
    assert "Extrapolated by the law" in notes(figure)
    assert "from 2 times fewer texts" in notes(figure)


def test_panels_are_drawn_by_k_by_texts_and_by_both(curves: SimilarityCurves):
    figure = curves_figure(curves, part="mean")
    assert titles(figure) == ["61 texts", "k = 4", "k / (n − 1) = 0.0667"]
    line = figure.axes[0].lines[0]
    by_k = curves.along("k")
    assert list(line.get_xdata()) == [point.k for point in by_k]
    assert list(line.get_ydata()) == [point.calibrated[0, 0] for point in by_k]
    assert "all layer pairs" in notes(figure)


def test_of_many_pairs_median_and_range_are_drawn(curves: SimilarityCurves):
    points = [
        replace(one, values=np.tile(one.values, (3, 1)), spread=np.tile(one.spread, (3, 1)))
        for one in curves.points
    ]
    figure = curves_figure(replace(curves, pairs=curves.pairs * 3, points=tuple(points)))
    assert legend(figure) == ["median of 9; shaded: range", "extrapolated: not measured"]
    assert len(dashed(figure)) == 1


def test_with_nothing_to_extrapolate_nothing_says_so():
    neighbors = [made(name, 3)[0] for name in ("a", "b")]
    figure = curves_figure(similarity_curves(neighbors, k=1, n_subsets=2))
    assert "xtrapolated" not in notes(figure) + "".join(legend(figure))
    assert dashed(figure) == []


def test_a_part_that_is_not_there_is_refused(curves: SimilarityCurves):
    with pytest.raises(UnknownNameError, match="no part 'on_men'; they have mean, on_mean") as caught:
        curves_figure(curves, part="on_men")
    assert "did you mean on_mean" in str(caught.value.hint)
