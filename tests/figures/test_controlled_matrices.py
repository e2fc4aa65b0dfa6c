from dataclasses import replace

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from isodepth.confounds import ControlledMatrices
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures import controlled_matrices_figure
from isodepth.figures.controlled_matrices import _name_lines
from isodepth.figures.theme import DIVERGING_MAP, draw_outline
from isodepth.statistics import generalized_diagonal

LEFT, RIGHT, THIRD = "_first $x_1$", "second<&>", "third-模型"
CONTROLS = ("center", "same_ending(1), at random", "same_ending(1)", "untrained")
N_TEXTS, K = 83, 5


@pytest.fixture(scope="module")
def matrices() -> tuple[ControlledMatrices, ...]:
    rng = np.random.default_rng(5)
    shapes = {(LEFT, RIGHT): (7, 5), (LEFT, THIRD): (7, 11), (RIGHT, THIRD): (5, 11)}
    return tuple(
        ControlledMatrices(
            name=name,
            pairs={
                pair: rng.uniform(0.0, 0.1 + 0.1 * place, size=shape).astype(np.float32)
                for pair, shape in shapes.items()
            },
            chance=0.06 + 0.01 * place,
            n_texts=N_TEXTS - 2 * name.startswith("same"),
            k=K,
            metric="cosine",
            preprocessing="none",
        )
        for place, name in enumerate(("baseline", *CONTROLS))
    )


def panels(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.get_visible() and axes.images]


def names(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in panels(figure)]


def notes(figure: Figure) -> str:
    return " ".join(str(figure.get_supxlabel()).split())


def test_each_control_has_a_panel_with_its_calibrated_matrix(matrices: tuple[ControlledMatrices, ...]):
    figure = controlled_matrices_figure(matrices, LEFT, THIRD, texts="news")
    assert [name.replace("\n", "") for name in names(figure)] == [
        "without a control",
        "center",
        "same_ending(1), at randomn = 81",
        "same_ending(1)n = 81",
        "untrained",
    ]
    for axes, one in zip(panels(figure), matrices, strict=True):
        (image,) = axes.images
        expected = (one.pairs[LEFT, THIRD] - one.chance) / (1 - one.chance)
        np.testing.assert_allclose(np.asarray(image.get_array()), expected, rtol=1e-5, atol=1e-6)
        assert image.origin == "lower"


def test_one_scale_is_symmetric_around_chance(matrices: tuple[ControlledMatrices, ...]):
    figure = controlled_matrices_figure(matrices, LEFT, RIGHT)
    reach = max(float(np.abs(one.calibrated(LEFT, RIGHT)).max()) for one in matrices)
    for axes in panels(figure):
        (image,) = axes.images
        assert image.get_clim() == pytest.approx((-reach, reach))
        assert image.get_cmap().name == DIVERGING_MAP
    (bar,) = [axes for axes in figure.axes if axes not in panels(figure) and axes.get_visible()]
    assert f"color scale {-reach:.3g} to {reach:.3g}, white at chance" in bar.get_ylabel()
    own = controlled_matrices_figure(matrices, LEFT, RIGHT, limit=0.9)
    assert {axes.images[0].get_clim() for axes in panels(own)} == {(-0.9, 0.9)}


def test_the_generalized_diagonal_is_outlined_in_every_panel(matrices: tuple[ControlledMatrices, ...]):
    expected = draw_outline(Figure().add_subplot(), generalized_diagonal(7, 5)).get_segments()
    for axes in panels(controlled_matrices_figure(matrices, LEFT, RIGHT)):
        (outline,) = [one for one in axes.collections if isinstance(one, LineCollection)]
        np.testing.assert_array_equal(outline.get_segments(), expected)


def test_words_say_what_is_drawn_of_whom(matrices: tuple[ControlledMatrices, ...]):
    figure = controlled_matrices_figure(matrices, LEFT, RIGHT, texts="news")
    title = figure.get_suptitle().replace("\n", " ").replace("\u200e", "")
    assert title == f"{LEFT} × {RIGHT} without and under each control"
    said = notes(figure)
    assert "Mutual 5-NN similarity; without a control by cosine; 83 texts of news. 0:" in said
    assert f"Rows: layers of {LEFT}; columns: layers of {RIGHT}." in said
    assert "At random: what the control of that name is held against" in said
    other = [replace(one, metric="euclidean", preprocessing="center") for one in matrices[:2]]
    said = notes(controlled_matrices_figure(other, LEFT, RIGHT))
    assert "similarity; without a control by euclidean, after center; 83 texts. 0:" in said
    assert "At random" not in said


def test_many_panels_are_told_apart_and_do_not_overlap(matrices: tuple[ControlledMatrices, ...]):
    many = [replace(matrices[1], name=f"without_character_n_grams({n})") for n in range(25)]
    figure = controlled_matrices_figure(many, LEFT, RIGHT)
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in panels(figure)]
    assert len(boxes) == 25
    assert not any(
        one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
    )
    assert figure.get_figwidth() < 12
    assert len({round(axes.get_window_extent().width, 6) for axes in panels(figure)}) == 1
    # layers are numbered at the left and below
    assert [bool(axes.yaxis.get_tick_params()["labelleft"]) for axes in panels(figure)].count(True) < 8


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("center", 0.9, ["center"]),
        ("different_ending(12)", 1.0, ["different_ending", "(12)"]),
        ("without_character_n_grams", 0.8, ["without_", "character_n_", "grams"]),
        ("same_length, at random", 0.75, ["same_length,", "at random"]),
        ("same_label($x_1$)\n\x07", 2.0, ["same_label($x_1$) \\x07"]),
    ],
)
def test_names_are_broken_where_words_end(name: str, width: float, lines: list[str]):
    assert _name_lines(name, width) == lines
    assert "".join(_name_lines("unbreakable" * 9, 0.8)) == "unbreakable" * 9


def test_what_cannot_be_drawn_is_refused(matrices: tuple[ControlledMatrices, ...]):
    with pytest.raises(ParameterError, match="one control at least; got none"):
        controlled_matrices_figure([], LEFT, RIGHT)
    with pytest.raises(
        UnknownNameError, match=r"there is no pair of models left = 'secon<&>'"
    ) as caught:
        controlled_matrices_figure(matrices, "secon<&>", THIRD)
    assert caught.value.hint == "did you mean second<&>?"
    with pytest.raises(UnknownNameError) as caught:
        controlled_matrices_figure(matrices, RIGHT, LEFT)
    assert f"left = {LEFT!r}, right = {RIGHT!r}" in str(caught.value.hint)
    with pytest.raises(ParameterError, match=r"as many neighbors .* \(5, 7, 5\), \(6, 7, 5\)"):
        controlled_matrices_figure([matrices[0], replace(matrices[1], k=6)], LEFT, RIGHT)
    with pytest.raises(ParameterError, match="limit must be above 0; got -1"):
        controlled_matrices_figure(matrices, LEFT, RIGHT, limit=-1.0)
