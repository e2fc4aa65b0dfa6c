from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.figures.ceiling import MOST_NAMED, noise_ceiling_figure

N_LAYERS = 7


def matrix(values: np.ndarray, left: str = "model", right: str = "model (bfloat16)") -> AffinityMatrix:
    return AffinityMatrix(
        values=values, left=left, right=right, measure="mutual_knn", k=7, n_texts=1013, texts="some"
    )


@pytest.fixture
def copy(rng: np.random.Generator) -> AffinityMatrix:
    return matrix(rng.uniform(0.1, 0.9, size=(N_LAYERS, N_LAYERS)))


def others(rng: np.random.Generator, n: int) -> list[AffinityMatrix]:
    """Return matrices against models of 3 layers, the model left and right in turn."""
    found = []
    for place in range(n):
        values = rng.uniform(0.1, 0.9, size=(N_LAYERS, 3))
        other = f"other-{place}"
        found.append(
            matrix(values, right=other)
            if place % 2 == 0
            else matrix(values.T.copy(), left=other, right="model")
        )
    return found


def line_called(figure: Figure, start: str) -> np.ndarray:
    (found,) = [line for line in figure.axes[0].lines if str(line.get_label()).startswith(start)]
    return found.get_xydata()


def test_the_ceiling_is_the_similarity_of_each_layer_with_itself(copy: AffinityMatrix):
    second = replace(copy, right="model (8 bits) $", values=copy.values[::-1].copy())
    figure = noise_ceiling_figure([copy, second])
    for one in (copy, second):
        drawn = line_called(figure, f"layer with itself, {one.right}")
        np.testing.assert_allclose(drawn[:, 0], (np.arange(N_LAYERS) + 0.5) / N_LAYERS)
        np.testing.assert_array_equal(drawn[:, 1], [one.values[i, i] for i in range(N_LAYERS)])
    colors = {line.get_color() for line in figure.axes[0].lines if "itself" in str(line.get_label())}
    assert len(colors) == 2


def test_others_are_the_similarity_of_the_most_similar_layer_on_either_side(
    copy: AffinityMatrix, rng: np.random.Generator
):
    first, second = others(rng, 2)
    figure = noise_ceiling_figure([copy], [first, second])
    for name, rows in (("other-0", first.values), ("other-1", second.values.T)):
        drawn = line_called(figure, f"most similar layer of {name}")
        np.testing.assert_array_equal(drawn[:, 1], [max(row) for row in rows])


def test_of_many_others_the_range_and_the_median_are_drawn(
    copy: AffinityMatrix, rng: np.random.Generator
):
    many = others(rng, MOST_NAMED + 3)
    figure = noise_ceiling_figure([copy], many)
    best = np.array([(one.values if one.left == "model" else one.values.T).max(axis=1) for one in many])
    np.testing.assert_allclose(line_called(figure, "their median")[:, 1], np.median(best, axis=0))
    (band,) = [one for one in figure.axes[0].collections if isinstance(one, FillBetweenPolyCollection)]
    corners = band.get_paths()[0].vertices
    for depth, ends in zip((np.arange(N_LAYERS) + 0.5) / N_LAYERS, best.T, strict=True):
        here = corners[np.isclose(corners[:, 0], depth), 1]
        assert (here.min(), here.max()) == pytest.approx((ends.min(), ends.max()))
    legend = [text.get_text().replace("\n", " ") for text in figure.axes[0].get_legend().get_texts()]
    assert "most similar layer of 9 other models: range" in legend


def test_as_many_as_can_be_told_apart_are_named(copy: AffinityMatrix, rng: np.random.Generator):
    figure = noise_ceiling_figure([copy], others(rng, MOST_NAMED))
    styles = [
        (line.get_linestyle(), line.get_linewidth())
        for line in figure.axes[0].lines
        if str(line.get_label()).startswith("most similar")
    ]
    assert len(set(styles)) == len(styles) == MOST_NAMED


def test_chance_is_a_line_where_it_is_known_and_the_scale_runs_from_0_to_1(copy: AffinityMatrix):
    figure = noise_ceiling_figure([copy])
    np.testing.assert_allclose(line_called(figure, "chance")[:, 1], 7 / 1012)
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert 1 < high < 1.1
    other = noise_ceiling_figure([replace(copy, measure="another")])
    assert not [line for line in other.axes[0].lines if str(line.get_label()).startswith("chance")]


def test_what_was_measured_is_said(copy: AffinityMatrix):
    said = noise_ceiling_figure([copy]).get_supxlabel().replace("\n", " ")
    assert said.startswith(
        "By mutual 7-NN similarity, 1,013 texts of some, chance 0.00692. No intervals"
    )


def test_all_matrices_that_do_not_fit_are_named(copy: AffinityMatrix, rng: np.random.Generator):
    wide = matrix(np.ones((N_LAYERS, 5)), right="wide")
    stranger = replace(copy, left="stranger")
    short = matrix(np.ones((3, 5)), left="other", right="model")
    unrelated = matrix(np.ones((3, 5)), left="x", right="y")
    fewer = replace(others(rng, 1)[0], k=5)
    with pytest.raises(ParameterError) as error:
        noise_ceiling_figure([copy, wide, stranger], [short, unrelated, copy, fewer])
    assert error.value.message == (
        "noise ceiling: model x wide has 7 x 5 layers; a copy of model must have 7 x 7; "
        "stranger x model (bfloat16) is no copy of model, which must be left; "
        "other x model has 5 layers of model; the copies have 7; "
        "x x y is not of model and another model; "
        "model x other-0 has (measure, k, n_texts) = ('mutual_knn', 5, 1013); expected "
        "('mutual_knn', 7, 1013)"
    )


def test_a_first_copy_that_is_not_square_is_named(copy: AffinityMatrix):
    with pytest.raises(ParameterError, match="model x wide has 7 x 5 layers"):
        noise_ceiling_figure([matrix(np.ones((N_LAYERS, 5)), right="wide")])


def test_a_model_against_itself_is_no_other(copy: AffinityMatrix):
    with pytest.raises(ParameterError, match="model x model is not of model and another model"):
        noise_ceiling_figure([copy], [replace(copy, right="model")])


def test_other_texts_are_refused(copy: AffinityMatrix, rng: np.random.Generator):
    (other,) = others(rng, 1)
    with pytest.raises(DigestMismatchError, match="of different texts: digests aa, bb"):
        noise_ceiling_figure([replace(copy, texts_digest="aa")], [replace(other, texts_digest="bb")])


@pytest.mark.parametrize("n", [0, 8])
def test_no_copies_or_too_many_are_refused(copy: AffinityMatrix, n: int):
    with pytest.raises(ParameterError, match=f"expected 1 to 7 copies of a model; got {n}"):
        noise_ceiling_figure([copy] * n)
