from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures import save_figure
from isodepth.figures.arrays import array_figure
from isodepth.models.paper import PAPER_MODELS
from isodepth.statistics import generalized_diagonal

LABELS, LAYERS = ("first-model", "second", "third/$_<&"), (3, 7, 5)


@pytest.fixture
def zoo(rng: np.random.Generator) -> AffinityMatrices:
    values = rng.uniform(0.05, 0.6, size=(15, 15))
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1.0)
    return matrices(values)


def matrices(values: np.ndarray, *, is_symmetric: bool = True, **changes: object) -> AffinityMatrices:
    fields = {
        "left": LABELS,
        "right": LABELS,
        "left_layers": LAYERS,
        "right_layers": LAYERS,
        "measure": "mutual_knn",
        "k": 7,
        "n_texts": 1013,
        "texts": "some texts",
    }
    return AffinityMatrices(values=values, is_symmetric=is_symmetric, **(fields | changes))


@pytest.fixture
def parallel(rng: np.random.Generator) -> AffinityMatrices:
    return matrices(
        rng.uniform(size=(15, 8)), is_symmetric=False, right=("third/$_<&", "x"), right_layers=(5, 3)
    )


def array(figure: Figure) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == "array")


def scale(figure: Figure) -> Axes:
    return next(axes for axes in figure.axes if axes.get_label() == "scale")


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def starts(order: tuple[str, ...]) -> dict[str, int]:
    """Return where each model begins when models stand in some order."""
    place, found = 0, {}
    for label in order:
        found[label] = place
        place += LAYERS[LABELS.index(label)]
    return found


def test_in_true_proportions_one_image_holds_every_matrix_in_its_place(zoo: AffinityMatrices):
    order = ("third/$_<&", "first-model", "second")
    axes = array(array_figure(zoo, order=order))
    (image,) = axes.images
    assert tuple(image.get_extent()) == (0, 15, 0, 15)
    assert image.origin == "lower"
    place = starts(order)
    for left in LABELS:
        for right in LABELS:
            expected = zoo[left, right].values
            rows, columns = (slice(place[name], place[name] + n) for name, n in
                             zip((left, right), expected.shape, strict=True))  # fmt: skip
            np.testing.assert_array_equal(image.get_array()[rows, columns], expected)


def test_as_equal_squares_each_matrix_is_an_image_of_its_own_cells(zoo: AffinityMatrices):
    axes = array(array_figure(zoo, equal=True))
    places = {tuple(image.get_extent()): image.get_array() for image in axes.images}
    assert len(places) == 9
    for i, left in enumerate(LABELS):
        for j, right in enumerate(LABELS):
            np.testing.assert_array_equal(places[j, j + 1, i, i + 1], zoo[left, right].values)


def test_equal_squares_have_nothing_interpolated(zoo: AffinityMatrices):
    assert {i.get_interpolation() for i in array(array_figure(zoo, equal=True)).images} == {"none"}


@pytest.mark.parametrize("equal", [False, True])
def test_cells_or_pairs_are_square(parallel: AffinityMatrices, equal: bool):
    figure = array_figure(parallel, equal=equal)
    axes = array(figure)
    box = axes.get_position()
    width, height = box.width * figure.get_figwidth(), box.height * figure.get_figheight()
    assert width / height == pytest.approx(2 / 3 if equal else 8 / 15)


def test_colors_run_to_the_highest_of_different_models(zoo: AffinityMatrices):
    figure = array_figure(zoo)
    highest = max(pair.values.max() for pair in zoo.pairs())
    assert array(figure).images[0].get_clim() == (0.0, highest)
    assert scale(figure).get_ylabel().endswith(f"color scale 0 to {highest:.3g}, not to 1")
    assert "a model with itself may be above it" in figure.texts[0].get_text()


def test_every_image_of_an_array_has_the_same_scale(zoo: AffinityMatrices):
    assert {image.get_clim() for image in array(array_figure(zoo, equal=True, highest=0.9)).images} == {
        (0.0, 0.9)
    }


def test_a_given_scale_is_not_said_to_be_the_highest_of_different_models(zoo: AffinityMatrices):
    assert "may be above" not in array_figure(zoo, highest=0.9).texts[0].get_text()


def test_a_model_with_its_own_translation_counts_as_a_pair(parallel: AffinityMatrices):
    (image,) = array(array_figure(parallel)).images
    assert image.get_clim() == (0.0, parallel.values.max())


def test_one_model_by_itself_has_the_scale_of_its_own(zoo: AffinityMatrices):
    figure = array_figure(zoo, order=["second"])
    assert array(figure).images[0].get_clim() == (0.0, 1.0)
    assert figure.texts[0].get_text().startswith("Layers of 1 model, ")


def test_what_was_measured_is_said(zoo: AffinityMatrices, parallel: AffinityMatrices):
    said = " ".join(array_figure(zoo, equal=True).texts[0].get_text().split())
    assert "Layers of 3 models, each pair stretched to the same square" in said
    assert "mutual 7-NN similarity, 1,013 texts of some texts, chance 0.00692" in said
    said = " ".join(array_figure(parallel).texts[0].get_text().split())
    assert "Layers of 3 models (left, rows) and 2 models (right, columns), in true proportions" in said
    figure = array_figure(parallel, left_texts="English", right_texts="German")
    said = " ".join(figure.texts[0].get_text().split())
    assert "Layers of 3 models reading English (left, rows) and 2 models reading German (right," in said


def test_chance_is_marked_on_the_scale(zoo: AffinityMatrices):
    assert words(scale(array_figure(zoo))) == ["chance\n0.00692"]


def test_names_stand_on_both_axes_at_the_middle_of_their_models(zoo: AffinityMatrices):
    axes = array(array_figure(zoo))
    for label, n_layers, middle in zip(LABELS, LAYERS, (1.5, 6.5, 12.5), strict=True):
        places = [text.xy for text in axes.texts if text.get_text() == f"{label} ({n_layers})"]
        assert sorted(places) == sorted([(0, middle), (middle, 0)])


def test_names_do_not_overlap_the_layer_numbers_or_each_other(zoo: AffinityMatrices):
    figure = array_figure(zoo, groups={"family": LABELS[:2]})
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in array(figure).texts]
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
        assert box.x0 >= 0
        assert box.y0 >= 0


def test_layer_numbers_stand_at_their_layers(zoo: AffinityMatrices):
    axes = array(array_figure(zoo))
    numbered = [
        (int(text.get_text()), text.xy[1]) for text in axes.texts
        if text.get_text().isdigit() and text.get_ha() == "right"
    ]  # fmt: skip
    place = starts(LABELS)
    expected = [
        (layer, place[label] + layer - 0.5)
        for label, n_layers in zip(LABELS, LAYERS, strict=True)
        for layer in range(1, n_layers + 1)
    ]
    assert sorted(numbered) == sorted(expected)


def test_as_equal_squares_the_first_and_last_layers_are_numbered(zoo: AffinityMatrices):
    numbers = [word for word in words(array(array_figure(zoo, equal=True))) if word.isdigit()]
    assert sorted(numbers) == sorted(["1", "1", "1", "3", "7", "5"] * 2)


def test_a_line_stands_between_models_and_a_wider_one_between_families(zoo: AffinityMatrices):
    axes = array(array_figure(zoo, groups={"two": LABELS[1:], "one": LABELS[:1]}))
    # second (7 layers), third (5), then first
    found = {
        (line.get_label(), line.get_ydata()[0])
        for line in axes.lines
        if line.get_label().startswith("between") and line.get_ydata()[0] == line.get_ydata()[1]
    }
    assert found == {("between models", 7), ("between families", 12)}
    widths = {line.get_label(): line.get_linewidth() for line in axes.lines}
    assert widths["between families"] > widths["between models"]


def test_models_of_a_group_stand_together_and_are_bracketed(zoo: AffinityMatrices):
    axes = array(array_figure(zoo, groups={"fam_$": ("third/$_<&", "first-model")}))
    np.testing.assert_array_equal(
        axes.images[0].get_array()[:5, 5:8], zoo["third/$_<&", "first-model"].values
    )
    brackets = [line for line in axes.get_children() if line.get_label() == "family"]
    left = next(line for line in brackets if line.get_xdata()[0] == line.get_xdata()[1])
    low, high = left.get_ydata()
    assert 0 < low < 1
    assert 7 < high < 8
    assert words(axes).count("fam_$") == 2


def test_a_long_name_keeps_its_ends_and_leaves_the_array_its_room(zoo: AffinityMatrices):
    long = "organization/" + "m" * 280 + "-instruct"
    figure = array_figure(replace(zoo, left=(long, *LABELS[1:]), right=(long, *LABELS[1:])))
    (shown,) = {word for word in words(array(figure)) if word.startswith("organization/")}
    assert shown.endswith("m-instruct (3)")
    assert len(shown) == len(" (3)") + 60
    assert max(figure.get_size_inches()) < 12


def test_a_group_that_an_order_tears_apart_has_several_brackets(zoo: AffinityMatrices):
    figure = array_figure(zoo, groups={"fam": (LABELS[0], LABELS[2])}, order=LABELS)
    assert words(array(figure)).count("fam") == 4


def test_models_that_an_order_does_not_name_are_left_out(zoo: AffinityMatrices):
    (image,) = array(array_figure(zoo, order=LABELS[:2])).images
    np.testing.assert_array_equal(image.get_array(), zoo.values[:10, :10])


@pytest.mark.parametrize("equal", [False, True])
def test_generalized_diagonals_are_outlined_where_asked_for(zoo: AffinityMatrices, equal: bool):
    assert not array(array_figure(zoo, equal=equal)).collections
    drawn = array(array_figure(zoo, equal=equal, diagonals=True)).collections
    assert len(drawn) == 9
    # first x second: the second drawn, 3 rows of 7 columns
    points = np.concatenate(drawn[1].get_segments())
    (low_x, low_y), (high_x, high_y) = points.min(axis=0), points.max(axis=0)
    expected = (1, 2, 0, 1) if equal else (3, 10, 0, 3)
    assert (low_x, high_x, low_y, high_y) == pytest.approx(expected)
    mask = generalized_diagonal(3, 7)
    sides = 2 * (np.sum(mask.any(axis=0)) + np.sum(mask.any(axis=1)))
    assert len(drawn[1].get_segments()) == sides


def test_unknown_models_are_named_with_the_nearest(zoo: AffinityMatrices):
    with pytest.raises(UnknownNameError, match="'secnd', 'nothing-like-it'") as caught:
        array_figure(zoo, order=["secnd", "nothing-like-it"])
    assert caught.value.hint == "did you mean second?"
    with pytest.raises(UnknownNameError, match="groups: .* 'secnd'") as caught:
        array_figure(zoo, groups={"one": ["secnd"]})
    assert caught.value.hint == "did you mean second?"


def test_a_model_named_twice_is_refused(zoo: AffinityMatrices):
    with pytest.raises(ParameterError, match="second"):
        array_figure(zoo, order=["second", "second"])
    with pytest.raises(ParameterError, match="named several times: 'second'"):
        array_figure(zoo, groups={"one": ["second"], "two": ["second"]})


def test_a_side_without_models_and_an_empty_scale_are_refused(
    zoo: AffinityMatrices, parallel: AffinityMatrices
):
    with pytest.raises(ParameterError, match="an array needs a left model"):
        array_figure(parallel, order=["x"])
    with pytest.raises(ParameterError, match="highest = -1"):
        array_figure(zoo, highest=-1.0)


def test_an_array_of_the_published_size_keeps_its_names_apart_and_its_file_small(
    rng: np.random.Generator, tmp_path: Path
):
    layers = tuple(model.n_layers for model in PAPER_MODELS.values())
    values = rng.uniform(size=(1010, 1010)).round(1)
    labels = tuple(f"model-number-{i}-instruct" for i in range(24))
    figure = array_figure(
        matrices(values, is_symmetric=False, left=labels, right=labels, left_layers=layers,
                 right_layers=layers)
    )  # fmt: skip
    boxes = [text.get_window_extent() for text in array(figure).texts if "instruct" in text.get_text()]
    assert len(boxes) == 48
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[i + 1 :])
    save_figure(figure, tmp_path / "array.pdf")
    assert (tmp_path / "array.pdf").stat().st_size < 3e6
