from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures.matches import (
    FEWEST_FOR_BANDS,
    GRID,
    match_depth_figure,
    match_similarity_figure,
)

FIGURES = [match_depth_figure, match_similarity_figure]
LAYERS = (2, 3, 5)


@pytest.fixture
def some(rng: np.random.Generator) -> AffinityMatrices:
    values = rng.uniform(0.05, 0.6, size=(10, 10))
    values = (values + values.T) / 2
    return of_models(values, ("_a", "b$", "c<&>"), LAYERS)


def of_models(
    values: np.ndarray, names: tuple[str, ...], layers: tuple[int, ...], *, symmetric: bool = True
) -> AffinityMatrices:
    return AffinityMatrices(
        values=values,
        left=names,
        right=names,
        left_layers=layers,
        right_layers=layers,
        is_symmetric=symmetric,
        measure="mutual_knn",
        k=7,
        n_texts=1013,
        texts="some texts",
    )


def many(rng: np.random.Generator, n_models: int = 7) -> AffinityMatrices:
    values = rng.uniform(size=(3 * n_models, 3 * n_models))
    return of_models(
        (values + values.T) / 2, tuple(f"model-{i}" for i in range(n_models)), (3,) * n_models
    )


def lines(figure: Figure) -> list[np.ndarray]:
    (drawn,) = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    return drawn.get_segments()


def line_called(figure: Figure, start: str) -> Line2D:
    (found,) = [line for line in figure.axes[0].lines if str(line.get_label()).startswith(start)]
    return found


def slow_lines(matrices: AffinityMatrices) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """Return depth, matched depth and similarity of each layer of each ordered pair, cell by cell."""
    found = {}
    for one in matrices.left:
        for other in matrices.left:
            if one == other:
                continue
            values = matrices[one, other].values
            n_own, n_other = values.shape
            rows = []
            for i in range(n_own):
                best = max(range(n_other), key=lambda j, row=values[i]: row[j])
                rows.append(((i + 0.5) / n_own, (best + 0.5) / n_other, values[i, best]))
            found[one, other] = rows
    return found


@pytest.mark.parametrize(("draw", "column"), [(match_depth_figure, 1), (match_similarity_figure, 2)])
def test_there_is_a_line_for_every_ordered_pair(some: AffinityMatrices, draw, column: int):
    drawn = {tuple(map(tuple, segment.round(12))) for segment in lines(draw(some))}
    expected = {
        tuple((round(row[0], 12), round(row[column], 12)) for row in rows)
        for rows in slow_lines(some).values()
    }
    assert len(expected) == 6
    assert drawn == expected


def test_models_with_the_same_activations_lie_on_the_identity_line_whatever_their_layers():
    values = np.kron(np.eye(3), np.ones((2, 2)))[:, ::2]
    matrices = replace(
        of_models(np.zeros((9, 9)), ("six", "three"), (6, 3)),
        values=np.block([[np.eye(6), values], [values.T, np.eye(3)]]),
    )
    for line in lines(match_depth_figure(matrices)):
        assert np.abs(line[:, 0] - line[:, 1]).max() <= 0.5 / 6 + 1e-12


def test_the_identity_line_goes_through_the_origin(some: AffinityMatrices):
    identity = line_called(match_depth_figure(some), "the same depth")
    assert identity.get_xy1() == (0, 0)
    assert identity.get_slope() == 1


def test_depths_have_equal_axes_from_0_to_1(some: AffinityMatrices):
    axes = match_depth_figure(some).axes[0]
    assert axes.get_xlim() == axes.get_ylim() == (0, 1)
    assert axes.get_aspect() == 1


def test_similarities_start_at_0_and_all_are_seen(some: AffinityMatrices):
    figure = match_similarity_figure(some)
    low, high = figure.axes[0].get_ylim()
    assert low == 0
    assert high >= max(line[:, 1].max() for line in lines(figure))


def test_chance_is_a_line_where_it_is_known(some: AffinityMatrices):
    chance = line_called(match_similarity_figure(some), "chance")
    np.testing.assert_allclose(chance.get_ydata(), 7 / 1012)
    other = match_similarity_figure(replace(some, measure="another"))
    assert not [line for line in other.axes[0].lines if str(line.get_label()).startswith("chance")]


@pytest.mark.parametrize(("draw", "column"), [(match_depth_figure, 1), (match_similarity_figure, 2)])
def test_median_and_bands_are_quantiles_of_the_lines(rng: np.random.Generator, draw, column: int):
    matrices = many(rng)
    figure = draw(matrices)
    rows = [np.array(line) for line in slow_lines(matrices).values()]
    heights = np.array([np.interp(GRID, line[:, 0], line[:, column]) for line in rows])
    np.testing.assert_allclose(line_called(figure, "median").get_ydata(), np.median(heights, axis=0))
    bands = [one for one in figure.axes[0].collections if isinstance(one, FillBetweenPolyCollection)]
    assert [band.get_label() for band in bands] == [
        "middle 80 % of the lines",
        "middle 50 % of the lines",
    ]
    for band, (low, high) in zip(bands, ((0.1, 0.9), (0.25, 0.75)), strict=True):
        corners = band.get_paths()[0].vertices
        # in the middle of depth
        at_half = corners[np.isclose(corners[:, 0], 0.5), 1]
        expected = np.quantile(heights[:, 50], (low, high))
        np.testing.assert_allclose((at_half.min(), at_half.max()), expected)


@pytest.mark.parametrize("draw", FIGURES)
def test_few_lines_have_no_bands(some: AffinityMatrices, draw):
    figure = draw(some)
    assert FEWEST_FOR_BANDS > 6
    assert not [one for one in figure.axes[0].collections if isinstance(one, FillBetweenPolyCollection)]
    assert "Bands" not in figure.get_supxlabel()


def test_more_lines_are_fainter(rng: np.random.Generator):
    alphas = []
    for n_models in (2, 7, 13):
        (drawn,) = [
            one
            for one in match_depth_figure(many(rng, n_models)).axes[0].collections
            if isinstance(one, LineCollection)
        ]
        alphas.append(drawn.get_alpha())
    assert alphas == sorted(alphas, reverse=True)
    assert len(set(alphas)) == 3


@pytest.mark.parametrize(("draw", "column"), [(match_depth_figure, 1), (match_similarity_figure, 2)])
@pytest.mark.parametrize("pair", [("_a", "c<&>"), ("c<&>", "_a")])
def test_a_chosen_pair_is_drawn_in_color_in_both_directions(
    some: AffinityMatrices, draw, column: int, pair: tuple[str, str]
):
    figure = draw(some, highlight=[pair])
    expected = slow_lines(some)
    colors = set()
    for ends, dashes in ((pair, "-"), (pair[::-1], "--")):
        line = line_called(figure, f"from {ends[0]} to {ends[1]}")
        np.testing.assert_allclose(line.get_xydata(), np.array(expected[ends])[:, [0, column]])
        assert line.get_linestyle() == dashes
        colors.add(line.get_color())
    assert len(colors) == 1
    (legend,) = [figure.axes[0].get_legend()]
    shown = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
    assert f"from {pair[0]} to {pair[1]}" in shown


def test_of_parallel_texts_a_model_is_paired_with_itself_and_sides_are_named(rng: np.random.Generator):
    parallel = of_models(rng.uniform(size=(10, 10)), ("a", "b", "c"), LAYERS, symmetric=False)
    figure = match_depth_figure(parallel, highlight=[("b", "b")])
    assert len(lines(figure)) == 18
    forth = line_called(figure, "from left b to right b")
    back = line_called(figure, "from right b to left b")
    values = parallel["b", "b"].values
    np.testing.assert_allclose(forth.get_ydata(), (values.argmax(axis=1) + 0.5) / 3)
    np.testing.assert_allclose(back.get_ydata(), (values.argmax(axis=0) + 0.5) / 3)


def test_a_directed_measure_has_both_ways_of_both_matrices_of_two_models(rng: np.random.Generator):
    values = rng.uniform(size=(10, 10))
    facts = {"measure": "ridge_to_right", "k": 0, "metric": None}
    directed = replace(of_models(values, ("a", "b", "c"), LAYERS), **facts)
    figure = match_depth_figure(directed, highlight=[("b", "a")])
    assert len(lines(figure)) == 12
    forth = line_called(figure, "from left b to right a")
    back = line_called(figure, "from right a to left b")
    found = directed["b", "a"].values
    np.testing.assert_allclose(forth.get_ydata(), (found.argmax(axis=1) + 0.5) / LAYERS[0])
    np.testing.assert_allclose(back.get_ydata(), (found.argmax(axis=0) + 0.5) / LAYERS[1])
    said = figure.get_supxlabel().replace("\n", " ")
    assert said.startswith("From left to right and back, 6 ordered pairs of 3 models; ")
    with pytest.raises(ParameterError, match="highlight: a with itself is no pair"):
        match_depth_figure(directed, highlight=[("a", "a")])


@pytest.mark.parametrize("draw", FIGURES)
def test_what_was_measured_is_said(some: AffinityMatrices, draw):
    assert draw(some).get_supxlabel().replace("\n", " ") == (
        "6 ordered pairs of 3 models; mutual 7-NN similarity, 1,013 texts of some texts, chance 0.00692."
    )


@pytest.mark.parametrize("draw", FIGURES)
def test_unknown_labels_are_all_named_with_the_nearest(some: AffinityMatrices, draw):
    with pytest.raises(UnknownNameError) as error:
        draw(some, highlight=[("_a", "b€"), ("zzzzzz", "b$")])
    assert error.value.message == ("highlight: no model of these matrices is called 'b€', 'zzzzzz'")
    assert error.value.hint == "did you mean b$?"


def test_what_is_no_pair_cannot_be_chosen(some: AffinityMatrices, rng: np.random.Generator):
    with pytest.raises(ParameterError, match="highlight: _a with itself is no pair"):
        match_depth_figure(some, highlight=[("_a", "_a")])
    each = [("model-0", f"model-{i}") for i in range(1, 8)]
    with pytest.raises(ParameterError, match="at most 6 pairs can be told apart by color; got 7"):
        match_depth_figure(many(rng, 11), highlight=each)


def test_one_model_alone_is_refused():
    with pytest.raises(ParameterError, match="at least one pair of models; got lonely alone"):
        match_depth_figure(of_models(np.eye(3), ("lonely",), (3,)))
