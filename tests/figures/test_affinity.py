import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import ParameterError, StoreError
from isodepth.figures import affinity_figure, save_figure

Segment = frozenset[tuple[float, float]]


def matrix(
    values: np.ndarray, *, left: str = "left-model", right: str = "right-model"
) -> AffinityMatrix:
    return AffinityMatrix(
        values=values, left=left, right=right, measure="mutual_knn", k=7, n_texts=1013
    )


@pytest.fixture
def some(rng: np.random.Generator) -> AffinityMatrix:
    return matrix(rng.uniform(0.05, 0.6, size=(13, 7)))


def main_axes(figure: Figure) -> Axes:
    return figure.axes[0]


def color_bar(figure: Figure) -> Axes:
    return figure.axes[1]


def test_the_image_shows_the_values_with_layer_1_at_the_bottom_left(some: AffinityMatrix):
    (image,) = main_axes(affinity_figure(some)).images
    np.testing.assert_array_equal(image.get_array(), some.values)
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (-0.5, 6.5, -0.5, 12.5)
    assert image.get_cmap().name == "inferno"
    assert image.get_interpolation() == "nearest"
    bottom, top = main_axes(affinity_figure(some)).get_ylim()
    assert bottom < top


def test_cells_are_square(some: AffinityMatrix):
    assert main_axes(affinity_figure(some)).get_aspect() == 1


def test_colors_run_from_zero_to_the_highest_similarity(some: AffinityMatrix):
    (image,) = main_axes(affinity_figure(some)).images
    assert image.get_clim() == (0.0, some.values.max())


def test_a_given_highest_similarity_makes_figures_comparable(some: AffinityMatrix):
    (image,) = main_axes(affinity_figure(some, highest=0.9)).images
    assert image.get_clim() == (0.0, 0.9)


def test_a_matrix_of_zeros_has_a_scale_too():
    (image,) = main_axes(affinity_figure(matrix(np.zeros((5, 3))))).images
    assert image.get_clim() == (0.0, 1.0)


def test_labels_name_both_models_the_measure_and_the_number_of_texts(some: AffinityMatrix):
    figure = affinity_figure(some)
    assert main_axes(figure).get_xlabel() == "layer of right-model"
    assert main_axes(figure).get_ylabel() == "layer of left-model"
    assert color_bar(figure).get_ylabel().startswith("mutual 7-NN similarity (1,013 texts)\n")
    named = affinity_figure(replace(some, texts="some texts"))
    label = color_bar(named).get_ylabel()
    assert label.startswith("mutual 7-NN similarity (1,013 texts of some texts)\n")


def test_the_color_scale_is_said_and_so_is_that_it_does_not_reach_1(some: AffinityMatrix):
    top = f"{some.values.max():.3g}"
    assert color_bar(affinity_figure(some)).get_ylabel().endswith(f"color scale 0 to {top}, not to 1")
    whole = affinity_figure(some, highest=1.0)
    assert color_bar(whole).get_ylabel().endswith("\ncolor scale 0 to 1")


def extend_of(figure: Figure) -> str:
    return main_axes(figure).images[0].colorbar.extend


def test_an_arrow_on_the_scale_says_that_values_lie_above_it(some: AffinityMatrix):
    assert extend_of(affinity_figure(some)) == "neither"
    assert extend_of(affinity_figure(some, highest=0.3)) == "max"


@pytest.mark.parametrize("shift", [0.3, 2.0])
def test_the_scale_begins_at_the_lowest_value_below_0(some: AffinityMatrix, shift: float):
    figure = affinity_figure(replace(some, values=some.values - shift))
    low, high = (float(end) - shift for end in (some.values.min(), some.values.max()))
    (image,) = main_axes(figure).images
    np.testing.assert_allclose(image.get_clim(), (low, high))
    assert extend_of(figure) == "neither"
    assert color_bar(figure).get_ylabel().endswith(f"color scale {low:.3g} to {high:.3g}")


@pytest.mark.parametrize("highest", [0.0, -0.5, float("nan"), float("inf")])
def test_a_scale_that_ends_where_it_begins_is_refused(some: AffinityMatrix, highest: float):
    with pytest.raises(ParameterError, match=f"lowest = 0, highest = {highest:g}"):
        affinity_figure(some, highest=highest)


def test_outline_and_lines_can_be_left_out_and_then_are_not_explained(some: AffinityMatrix):
    bare = affinity_figure(some, outline=False, paths=False)
    assert not main_axes(bare).collections
    assert not main_axes(bare).lines
    assert not bare.legends
    (legend,) = affinity_figure(some, paths=False).legends
    assert [text.get_text() for text in legend.get_texts()] == ["generalized diagonal (white)"]


def test_long_names_are_broken_into_lines_and_meet_nothing():
    name = "organization/" + "long-name-" * 12
    figure = affinity_figure(matrix(np.ones((5, 3)), left=name, right=name))
    figure.draw_without_rendering()
    axes = main_axes(figure)
    for label in (axes.get_xlabel(), axes.get_ylabel()):
        assert label.count("\n") >= 2
        assert label.replace("\n", "").replace(" ", "") == f"layerof{name}"
    across, up = axes.xaxis.label.get_window_extent(), axes.yaxis.label.get_window_extent()
    assert not across.overlaps(up)
    assert not across.overlaps(color_bar(figure).get_tightbbox())
    assert across.x0 >= 0
    assert up.y1 <= figure.bbox.height


def test_the_legend_explains_the_outline_and_both_lines(some: AffinityMatrix):
    (legend,) = affinity_figure(some).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "generalized diagonal (white)",
        "for each row, the most similar column",
        "for each column, the most similar row",
    ]


def test_ticks_count_layers_from_one_to_the_last(some: AffinityMatrix):
    axes = main_axes(affinity_figure(some))
    for ticks, labels, n_layers in (
        (axes.get_xticks(), axes.get_xticklabels(), 7),
        (axes.get_yticks(), axes.get_yticklabels(), 13),
    ):
        assert [int(tick) + 1 for tick in ticks] == [int(label.get_text()) for label in labels]
        assert (ticks[0], ticks[-1]) == (0, n_layers - 1)


@pytest.mark.parametrize("n_layers", [1, 47])
def test_ticks_are_few_and_different(n_layers: int):
    axes = main_axes(affinity_figure(matrix(np.full((n_layers, 2), 0.5))))
    ticks = [int(tick) for tick in axes.get_yticks()]
    assert ticks == sorted(set(ticks))
    assert (ticks[0], ticks[-1]) == (0, n_layers - 1)
    assert len(ticks) <= 12


def test_chance_is_marked_on_the_color_bar(some: AffinityMatrix):
    bar = color_bar(affinity_figure(some))
    assert [text.get_text() for text in bar.texts] == [f"chance\n{7 / 1012:.3g}"]
    assert any(np.allclose(line.get_ydata(), 7 / 1012) for line in bar.lines)


def test_chance_beyond_the_scale_is_not_marked():
    bar = color_bar(affinity_figure(matrix(np.full((3, 2), 0.001))))
    assert not bar.texts


def test_chance_is_not_marked_where_the_measure_has_none_known(some: AffinityMatrix):
    figure = affinity_figure(replace(some, measure="other"))
    assert not color_bar(figure).texts
    assert color_bar(figure).get_ylabel().startswith("other (k = 7) (1,013 texts)")


def defined_border(n_left: int, n_right: int) -> set[Segment]:
    """Return the sides of cells on the generalized diagonal that belong to one such cell only."""
    border: set[Segment] = set()
    low, high = min(0, n_left - n_right), max(0, n_left - n_right)
    for i in range(n_left):
        for j in range(n_right):
            if low <= i - j <= high:
                corners = [
                    (j - 0.5, i - 0.5),
                    (j + 0.5, i - 0.5),
                    (j + 0.5, i + 0.5),
                    (j - 0.5, i + 0.5),
                ]
                # a side met twice lies between two cells and cancels
                for place in range(4):
                    border ^= {frozenset((corners[place], corners[(place + 1) % 4]))}
    return border


@pytest.mark.parametrize(("n_left", "n_right"), [(13, 7), (5, 11), (7, 7), (1, 1), (5, 1)])
def test_the_outline_is_the_border_of_the_generalized_diagonal(n_left: int, n_right: int):
    figure = affinity_figure(matrix(np.full((n_left, n_right), 0.5)))
    (outline,) = (drawn for drawn in main_axes(figure).collections if isinstance(drawn, LineCollection))
    segments = [
        frozenset((float(x), float(y)) for x, y in segment) for segment in outline.get_segments()
    ]
    assert len(segments) == len(set(segments))
    assert set(segments) == defined_border(n_left, n_right)


def test_two_lines_follow_the_most_similar_layers(some: AffinityMatrix):
    for_left, for_right = main_axes(affinity_figure(some)).lines
    best_right = [max(range(7), key=lambda j: some.values[i, j]) for i in range(13)]
    best_left = [max(range(13), key=lambda i: some.values[i, j]) for j in range(7)]
    assert list(for_left.get_xdata()) == best_right
    assert list(for_left.get_ydata()) == list(range(13))
    assert list(for_right.get_xdata()) == list(range(7))
    assert list(for_right.get_ydata()) == best_left
    assert for_left.get_color() != for_right.get_color()


def test_the_matrix_is_not_changed(some: AffinityMatrix):
    before = some.values.copy()
    affinity_figure(some)
    np.testing.assert_array_equal(some.values, before)


STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".pdf": b"%PDF-"}


@pytest.mark.parametrize("ending", [".png", ".pdf"])
@pytest.mark.parametrize("shape", [(1, 1), (80, 32), (1, 80)])
def test_the_smallest_and_the_largest_are_drawn_without_warnings(
    rng: np.random.Generator, tmp_path: Path, ending: str, shape: tuple[int, int]
):
    path = tmp_path / f"figure{ending}"
    save_figure(affinity_figure(matrix(rng.uniform(size=shape))), path)
    assert path.read_bytes().startswith(STARTS[ending])


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg"])
def test_the_same_figure_gives_the_same_bytes(some: AffinityMatrix, tmp_path: Path, ending: str):
    paths = [tmp_path / f"{name}{ending}" for name in ("first", "second")]
    for path in paths:
        save_figure(affinity_figure(some), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_fonts_are_embedded_in_pdf_as_true_type(some: AffinityMatrix, tmp_path: Path):
    save_figure(affinity_figure(some), tmp_path / "figure.pdf")
    data = (tmp_path / "figure.pdf").read_bytes()
    assert b"/FontFile2" in data
    assert b"/Type3" not in data


def test_a_figure_replaces_the_file_whole_and_leaves_nothing_beside_it(
    some: AffinityMatrix, tmp_path: Path
):
    path = tmp_path / "new" / "figure.png"
    save_figure(affinity_figure(some), path)
    first = path.read_bytes()
    save_figure(affinity_figure(some, highest=1.0), path)
    assert path.read_bytes() != first
    assert [file.name for file in path.parent.iterdir()] == ["figure.png"]


def test_a_figure_that_cannot_be_written_leaves_the_old_file(some: AffinityMatrix, tmp_path: Path):
    path = tmp_path / "figure.unknown"
    path.write_bytes(b"old")
    with pytest.raises((ValueError, StoreError), match="unknown"):
        save_figure(affinity_figure(some), path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["figure.unknown"]


@pytest.mark.parametrize("name", ["organization/" + "long-name-" * 7, "a$b_{$c", "x$y$z", "a_b^c\\d"])
def test_any_name_of_a_model_is_drawn_as_it_is(rng: np.random.Generator, tmp_path: Path, name: str):
    # a dollar sign in the name of a folder is no mathematics
    drawn = affinity_figure(matrix(rng.uniform(size=(5, 3)), left=name, right=name))
    save_figure(drawn, tmp_path / "figure.svg")
    # SVG files hold labels as text, one a line
    written = re.findall(r">([^<>]*)</t(?:ext|span)>", (tmp_path / "figure.svg").read_text("utf-8"))
    joined = "".join(written).replace("layer of", "").replace(" ", "")
    assert joined.count(name) == 2


@pytest.mark.parametrize("ending", [".png", ".pdf", ".svg"])
def test_letters_that_no_font_has_are_neither_an_error_nor_a_warning(tmp_path: Path, ending: str):
    # of a private area, which no font may have; and a control character, which SVG files may not
    odd = matrix(np.ones((5, 3)), left="one \ue000 two\x07three")
    save_figure(affinity_figure(odd), tmp_path / f"figure{ending}")
    written = (tmp_path / f"figure{ending}").read_bytes()
    assert len(written) > 1000
    assert b"two\x07" not in written
