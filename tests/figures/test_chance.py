import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.assessment import AssessmentOptions, PairAssessment, assess_pair
from isodepth.errors import ParameterError
from isodepth.figures.chance import calibrated_figure, null_density_figure, z_figure
from isodepth.neighbors import Neighbors
from isodepth.statistics import exact_null

N_TEXTS, K = 61, 5
N_LEFT, N_RIGHT = 7, 3


@pytest.fixture(scope="module")
def pair() -> PairAssessment:
    """Two models, of which the first two layers of either have much in common, and the others nothing."""
    rng = np.random.default_rng(5)
    shared = rng.normal(size=(N_TEXTS, 4))
    models = []
    for name, n_layers in (("left_$", N_LEFT), ("right<&>", N_RIGHT)):
        values = rng.normal(size=(n_layers, N_TEXTS, 4))
        values[:2] = shared + 0.3 * values[:2]
        distances = np.linalg.norm(values[:, :, None] - values[:, None], axis=3)
        distances[:, np.arange(N_TEXTS), np.arange(N_TEXTS)] = np.inf
        ids = distances.argsort(axis=2)[:, :, :K].astype(np.int32)
        models.append(Neighbors(ids=ids, similarities=np.zeros(ids.shape, np.float32), model=name))
    left, right = models
    return assess_pair(
        affinity_matrix(left, right),
        left=left,
        right=right,
        options=AssessmentOptions(n_permutations=39, n_resamples=101, seed=7),
    )


@pytest.fixture(scope="module")
def alone(pair: PairAssessment) -> PairAssessment:
    return assess_pair(replace(pair.matrix, texts="some set"))


def values(figure: Figure) -> np.ndarray:
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array())


def crossed(figure: Figure) -> set[tuple[int, int]]:
    """Return the cells with a cross, rows from the left model."""
    marks = [drawn for drawn in figure.axes[0].collections if isinstance(drawn, PathCollection)]
    return {(int(row), int(column)) for drawn in marks for column, row in drawn.get_offsets()}


def said(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def test_z_is_under_relabelled_texts(pair: PairAssessment):
    null = pair.familywise.null
    chance = K / (N_TEXTS - 1)
    np.testing.assert_allclose(values(z_figure(pair)), (pair.matrix.values - chance) / null.sd)


def test_layer_pairs_not_beyond_chance_are_crossed_and_counted(pair: PairAssessment):
    unsure = pair.familywise.p_values > 0.05
    assert 0 < unsure.sum() < unsure.size
    figure = z_figure(pair)
    assert crossed(figure) == {(int(row), int(column)) for row, column in np.argwhere(unsure)}
    assert f"Crossed: {unsure.sum()} of 21 layer pairs" in said(figure)
    assert "not beyond chance. All others are" in said(figure)
    assert "familywise p ≤ 0.05, 39 relabellings" in said(figure)


def test_with_too_few_relabellings_nothing_is_crossed_and_it_is_said(pair: PairAssessment):
    figure = z_figure(pair, level=0.01)
    assert not crossed(figure)
    assert "Too few relabellings (39) to call any layer pair at p ≤ 0.01." in said(figure)


def test_from_a_matrix_alone_z_is_by_the_papers_null_and_nothing_is_crossed(alone: PairAssessment):
    figure = z_figure(alone)
    sd = (N_TEXTS - 1 - K) / ((N_TEXTS - 1) * math.sqrt(N_TEXTS * (N_TEXTS - 2)))
    expected = (alone.matrix.values - K / (N_TEXTS - 1)) / sd
    np.testing.assert_allclose(values(figure), expected)
    assert not crossed(figure)
    assert "the paper's null model, which is too narrow" in said(figure)
    assert "mutual 5-NN similarity, 61 texts of some set, chance 0.0833" in said(figure)


def test_calibrated_similarity_is_0_at_chance_and_1_for_the_same(pair: PairAssessment):
    figure = calibrated_figure(pair)
    np.testing.assert_allclose(values(figure), pair.familywise.null.calibrated())
    chance = K / (N_TEXTS - 1)
    ends = np.array([[chance, 1.0]])
    np.testing.assert_allclose(
        values(calibrated_figure(replace(pair, matrix=replace(pair.matrix, values=ends)))),
        [[0, 1]],
        atol=1e-12,
    )


@pytest.mark.parametrize("draw", [z_figure, calibrated_figure])
def test_colors_are_symmetric_around_chance_and_it_is_said(draw, pair: PairAssessment):
    figure = draw(pair)
    reach = np.abs(values(figure)).max()
    assert figure.axes[0].images[0].get_clim() == (-reach, reach)
    label = figure.axes[1].get_ylabel()
    assert label.endswith(f"\ncolor scale {-reach:.3g} to {reach:.3g}, white at chance")
    given = draw(pair, limit=0.2)
    assert given.axes[0].images[0].get_clim() == (-0.2, 0.2)
    assert given.axes[0].images[0].colorbar.extend in ("max", "both")


@pytest.mark.parametrize("draw", [z_figure, calibrated_figure])
def test_both_models_are_named(draw, pair: PairAssessment):
    axes = draw(pair).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer of right<&>", "layer of left_$")


@pytest.mark.parametrize("draw", [z_figure, calibrated_figure])
def test_what_has_no_chance_or_no_scale_is_refused(draw, alone: PairAssessment):
    def other(**changes: object) -> PairAssessment:
        return replace(alone, matrix=replace(alone.matrix, **changes))

    with pytest.raises(ParameterError, match="how chance varies is not known for cka") as caught:
        draw(other(measure="cka"))
    assert caught.value.hint == "affinity_figure shows the similarities themselves."
    with pytest.raises(ParameterError, match="expected k < n_texts - 1"):
        draw(other(k=60))
    with pytest.raises(ParameterError, match="limit must be above 0; got -1"):
        draw(alone, limit=-1.0)


def test_a_map_of_chance_itself_has_a_scale():
    flat = AffinityMatrix(
        values=np.full((3, 2), 0.25), left="a", right="b", measure="mutual_knn", k=5, n_texts=21
    )
    figure = calibrated_figure(assess_pair(flat))
    assert figure.axes[0].images[0].get_clim() == (-1.0, 1.0)


def curve(figure: Figure, label: str) -> tuple[np.ndarray, np.ndarray]:
    (line,) = (line for line in figure.axes[0].lines if line.get_label().startswith(label))
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_the_density_is_normal_over_all_of_0_to_1():
    x, y = curve(null_density_figure(2048, 10), "normal approximation")
    mean, sd = 10 / 2047, 2037 / (2047 * math.sqrt(2048 * 2046))
    expected = (-0.5 * ((x - mean) / sd) ** 2 - math.log(sd * math.sqrt(2 * math.pi))) / math.log(10)
    np.testing.assert_allclose(y, expected)
    assert (x[0], x[-1]) == (0, 1)
    assert x[y.argmax()] == mean


def test_a_density_integrates_to_1():
    x, y = curve(null_density_figure(61, 5), "normal approximation")
    assert np.sum(10.0 ** y[1:] * np.diff(x)) == pytest.approx(1, abs=1e-3)


def test_marked_similarities_lie_on_the_curve_with_their_probability():
    figure = null_density_figure(2048, 10, marks={"a_$": 0.4, "b": 0.0})
    mark = next(line for line in figure.axes[0].lines if line.get_label().startswith("a_$"))
    assert mark.get_label() == "a_$: 0.4, log10 P(at least as high) = -143,450"
    assert list(mark.get_xdata()) == [0.4]
    x, y = curve(figure, "normal approximation")
    assert mark.get_ydata()[0] == pytest.approx(y[np.searchsorted(x, 0.4)], rel=0.02)
    assert len({line.get_marker() for line in figure.axes[0].lines}) == 3
    assert "2,048 texts, k = 10, chance 0.00489" in said(figure)


def test_a_long_mark_is_broken_into_lines_beside_the_curve():
    figure = null_density_figure(2048, 10, marks={"word " * 30: 0.4}, texts="web-text")
    mark = next(line for line in figure.axes[0].lines if line.get_label().startswith("word"))
    assert mark.get_label().count("\n") >= 2
    assert mark.get_label().replace("\n", " ").startswith("word " * 29 + "word : 0.4")
    assert "2,048 texts of web-text, k = 10" in said(figure)


def test_the_exact_distribution_has_a_density_over_its_steps():
    exact = exact_null(11, 2)
    x, y = curve(null_density_figure(11, 2, exact=exact), "exact")
    assert np.sum(10.0**y) / (11 * 2) == pytest.approx(1)
    assert np.sum(x * 10.0**y) / (11 * 2) == pytest.approx(2 / 10)


def test_what_is_no_null_is_refused():
    with pytest.raises(ParameterError, match="expected k < n_texts - 1"):
        null_density_figure(11, 10)
    with pytest.raises(ParameterError, match=r"must lie in \[0, 1\]; got a = -0.1, c = 1.5"):
        null_density_figure(61, 5, marks={"a": -0.1, "b": 0.5, "c": 1.5})
    with pytest.raises(ParameterError, match=r"= \(11, 2\); expected \(61, 5\)"):
        null_density_figure(61, 5, exact=exact_null(11, 2))
