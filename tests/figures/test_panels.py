from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import ParameterError
from isodepth.figures.panels import (
    k_sweep_figure,
    panels_figure,
    parallel_figure,
    text_sets_figure,
)


def matrix(values: np.ndarray, **changes: object) -> AffinityMatrix:
    fields = {"left": "one", "right": "other", "measure": "mutual_knn", "k": 7, "n_texts": 1013}
    return AffinityMatrix(values=values, **(fields | {"texts": "some"} | changes))


@pytest.fixture
def three(rng: np.random.Generator) -> list[AffinityMatrix]:
    shapes = ((5, 3), (7, 11), (2, 2))
    return [
        matrix(rng.uniform(0.1, 0.3 + 0.2 * i, size=shape), right=f"other {i}")
        for i, shape in enumerate(shapes)
    ]


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images]


def bars(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]


def titles(figure: Figure) -> list[list[str]]:
    return [axes.get_title().split("\n") for axes in panels(figure)]


def said(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_panels_hold_the_matrices_in_order_on_one_scale(three: list[AffinityMatrix]):
    figure = panels_figure(three)
    assert len(panels(figure)) == 3
    highest = max(one.values.max() for one in three)
    for axes, one in zip(panels(figure), three, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), one.values)
        assert axes.images[0].get_clim() == (0.0, highest)
        assert axes.get_ylabel() == "layer of one"
        assert axes.get_xlabel() == f"layer of {one.right}"
    (bar,) = bars(figure)
    assert bar.get_ylabel() == f"mutual 7-NN similarity\ncolor scale 0 to {highest:.3g}, not to 1"
    assert "one color scale for all" in said(figure)


@pytest.mark.parametrize("highest", [None, "each"])
def test_all_scales_begin_at_the_lowest_value_of_all_panels_below_0(
    three: list[AffinityMatrix], highest: Literal["each"] | None
):
    below = [replace(one, values=one.values - 0.1 * place) for place, one in enumerate(three)]
    figure = panels_figure(below, highest=highest)
    lowest = min(one.values.min() for one in below)
    assert lowest < 0
    assert {axes.images[0].get_clim()[0] for axes in panels(figure)} == {lowest}
    assert {axes.images[0].colorbar.extend for axes in panels(figure) if axes.images[0].colorbar} == {
        "neither"
    }


def test_a_zoomed_scale_is_said_and_what_is_beyond_it_has_arrows(three: list[AffinityMatrix]):
    (bar,) = bars(figure := panels_figure(three, highest=0.3, lowest=0.15))
    assert bar.get_ylabel().endswith("color scale 0.15 to 0.3, not to 1")
    assert panels(figure)[0].images[0].colorbar.extend == "both"


def test_each_panel_can_have_its_own_scale_and_says_it(three: list[AffinityMatrix]):
    figure = panels_figure(three, highest="each")
    assert len(bars(figure)) == 3
    for axes, one, title in zip(panels(figure), three, titles(figure), strict=True):
        assert axes.images[0].get_clim() == (0.0, one.values.max())
        assert f"color scale 0 to {one.values.max():.3g}, not to 1" in " ".join(title)
    assert "each panel has its own color scale" in said(figure)


def test_titles_are_what_differs_and_the_note_is_what_does_not(three: list[AffinityMatrix]):
    figure = panels_figure(three)
    assert titles(figure) == [["one × other 0"], ["one × other 1"], ["one × other 2"]]
    assert said(figure).startswith("mutual 7-NN similarity, 1,013 texts of some, chance 0.00692")
    by_texts = [replace(three[0], texts=name) for name in ("web", "books")]
    figure = panels_figure(by_texts)
    assert titles(figure) == [["1,013 texts of web"], ["1,013 texts of books"]]
    assert said(figure).startswith("one × other 0, mutual 7-NN similarity, chance 0.00692")


def test_given_titles_are_drawn_as_they_are(three: list[AffinityMatrix]):
    figure = panels_figure(three, titles=["a$b$", "<&>", "x_1"])
    assert titles(figure) == [["a$b$"], ["<&>"], ["x_1"]]
    assert not panels(figure)[0].title.get_parse_math()


def test_chance_is_marked_once_where_it_is_the_same(three: list[AffinityMatrix]):
    (bar,) = bars(panels_figure(three))
    assert [text.get_text() for text in bar.texts] == ["chance\n0.00692"]


@pytest.mark.parametrize(
    ("n_panels", "columns", "shape"),
    [
        (1, None, (1, 1)),
        (4, None, (1, 4)),
        (5, None, (2, 3)),
        (9, None, (3, 3)),
        (3, 2, (2, 2)),
        (2, 5, (1, 2)),
    ],
)
def test_rows_are_few_and_about_equally_full(
    n_panels: int, columns: int | None, shape: tuple[int, int]
):
    figure = panels_figure([matrix(np.ones((2, 3)))] * n_panels, columns=columns)
    assert panels(figure)[0].get_subplotspec().get_gridspec().get_geometry() == shape


def test_titles_that_are_not_one_a_panel_are_refused(three: list[AffinityMatrix]):
    with pytest.raises(ParameterError, match="one title a panel; got 2 titles for 3 panels"):
        panels_figure(three, titles=["a", "b"])
    with pytest.raises(ParameterError, match="one title a panel; got 2 titles for 1 panel$"):
        panels_figure(three[:1], titles=["a", "b"])


def test_no_matrix_and_an_empty_scale_are_refused(three: list[AffinityMatrix]):
    with pytest.raises(ParameterError, match="at least one matrix"):
        panels_figure([])
    with pytest.raises(ParameterError, match=r"lowest = 0.5, highest = 0.2"):
        panels_figure(three, lowest=0.5, highest=0.2)


def swept(*ks: int) -> list[AffinityMatrix]:
    return [matrix(np.full((3, 2), k / 100), k=k) for k in ks]


def test_a_sweep_goes_up_in_k_and_each_panel_states_its_own_chance():
    figure = k_sweep_figure(swept(50, 1, 10))
    assert titles(figure) == [[f"k = {k}", f"chance {k / 1012:.3g}"] for k in (1, 10, 50)]
    (bar,) = bars(figure)
    assert not bar.texts
    assert bar.get_ylabel() == "mutual k-NN similarity\ncolor scale 0 to 0.5, not to 1"
    assert "chance" not in said(figure)
    assert said(figure).startswith("one × other, 1,013 texts of some")


def test_a_sweep_of_other_models_or_with_a_k_twice_is_refused():
    with pytest.raises(ParameterError, match="another k; got 1, 10, 1"):
        k_sweep_figure(swept(1, 10, 1))
    odd = [swept(1)[0], replace(swept(10)[0], left="a", n_texts=61)]
    with pytest.raises(
        ParameterError, match=r"differ in left \(a, one\), n_texts \(1013, 61\)"
    ) as caught:
        k_sweep_figure(odd)
    assert caught.value.hint == "panels_figure draws any matrices side by side."


def test_text_sets_show_one_pair_and_its_most_similar_layers(three: list[AffinityMatrix]):
    sets = [replace(three[1], texts=name) for name in ("web", "chat")]
    figure = text_sets_figure(sets, titles=["web text", "chat"], highest=1.0)
    assert titles(figure) == [["web text"], ["chat"]]
    assert all(len(axes.lines) == 2 for axes in panels(figure))
    with pytest.raises(ParameterError, match=r"several text sets: .* differ in right"):
        text_sets_figure(three)


def test_parallel_texts_have_a_stated_zoom_and_who_read_what(three: list[AffinityMatrix]):
    figure = parallel_figure(three[0], left_texts="English", right_texts="German", highest=0.12)
    assert " ".join(titles(figure)[0]) == "one reading English × other 0 reading German"
    (panel,) = panels(figure)
    assert " ".join(panel.get_xlabel().split()) == "layer of other 0 reading German"
    assert " ".join(panel.get_ylabel().split()) == "layer of one reading English"
    (bar,) = bars(figure)
    assert bar.get_ylabel().endswith("color scale 0 to 0.12, not to 1")
    assert titles(parallel_figure(three[0])) == [["one × other 0"]]
