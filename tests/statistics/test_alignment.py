import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from isodepth.errors import ParameterError
from isodepth.statistics.alignment import best_path, best_spans, proportional_spans

SHAPES = [(1, 1), (1, 5), (7, 1), (2, 2), (3, 2), (5, 5), (7, 3), (5, 13), (13, 11), (31, 17)]


def weight_of(path: list[tuple[int, int]]) -> list[int]:
    """Give the weight of every cell: 2 at the start and after a step in both models, else 1."""
    weights = [2]
    for before, after in itertools.pairwise(path):
        weights.append(after[0] - before[0] + after[1] - before[1])
    return weights


def all_paths(n_left: int, n_right: int) -> Iterator[list[tuple[int, int]]]:
    """Give every monotone path, one after the other."""

    def onward(path: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        i, j = path[-1]
        if (i, j) == (n_left - 1, n_right - 1):
            yield path
        for step in ((1, 1), (1, 0), (0, 1)):
            cell = (i + step[0], j + step[1])
            if cell[0] < n_left and cell[1] < n_right:
                yield from onward([*path, cell])

    yield from onward([(0, 0)])


def least_cost(values: np.ndarray) -> float:
    """Follow the recursion of Sakoe & Chiba on the costs 1 - similarity, cell by cell."""
    costs = 1 - values
    total = np.full(values.shape, np.inf)
    total[0, 0] = 2 * costs[0, 0]
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if i > 0:
                total[i, j] = min(total[i, j], total[i - 1, j] + costs[i, j])
            if j > 0:
                total[i, j] = min(total[i, j], total[i, j - 1] + costs[i, j])
            if i > 0 and j > 0:
                total[i, j] = min(total[i, j], total[i - 1, j - 1] + 2 * costs[i, j])
    return float(total[-1, -1])


def cost_of(values: np.ndarray, path: list[tuple[int, int]]) -> float:
    return sum(w * (1 - values[cell]) for w, cell in zip(weight_of(path), path, strict=True))


def cells(path: np.ndarray) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in path]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_path_leads_from_the_first_layers_to_the_last_in_single_steps(
    rng: np.random.Generator, shape: tuple[int, int]
):
    path = best_path(rng.normal(size=shape))
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [shape[0] - 1, shape[1] - 1]
    assert {tuple(step) for step in np.diff(path, axis=0).tolist()} <= {(0, 1), (1, 0), (1, 1)}
    assert sum(weight_of(cells(path))) == sum(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_its_cost_is_that_of_the_published_recursion(rng: np.random.Generator, shape: tuple[int, int]):
    for _ in range(5):
        values = rng.uniform(size=shape)
        assert cost_of(values, cells(best_path(values))) == pytest.approx(least_cost(values), rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (3, 3), (4, 2), (3, 5), (5, 5)])
def test_no_other_path_is_better(rng: np.random.Generator, shape: tuple[int, int]):
    paths = list(all_paths(*shape))
    for _ in range(5):
        values = rng.uniform(size=shape)
        best = min(paths, key=lambda path: cost_of(values, path))
        assert cells(best_path(values)) == best


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (2, 5), (5, 5)])
def test_of_equally_similar_paths_the_one_nearest_to_proportional_depth_is_taken(
    rng: np.random.Generator, shape: tuple[int, int]
):
    n_left, n_right = shape

    def detour(path: list[tuple[int, int]]) -> int:
        distances = [abs((2 * i + 1) * n_right - (2 * j + 1) * n_left) for i, j in path]
        return int(np.dot(weight_of(path), distances))

    paths = list(all_paths(*shape))
    for _ in range(20):
        values = rng.integers(0, 3, size=shape) / 2  # ties abound, and sums of halves are exact
        costs = [cost_of(values, path) for path in paths]
        tied = [path for path, cost in zip(paths, costs, strict=True) if cost == min(costs)]
        found = cells(best_path(values))
        assert found in tied
        assert detour(found) == min(map(detour, tied))


def test_equal_similarities_tie_although_their_sums_are_rounded():
    # 0.1 + 0.1 + ... in another order is another number
    for level in (0.1, 0.3, 1 / 3, 0.7, 1e-9, -5.3, 1e6):
        np.testing.assert_array_equal(
            best_path(np.full((7, 5), level)), proportional_spans(7, 5).path()
        )


def test_similarities_that_differ_by_rounding_tie(rng: np.random.Generator):
    values = np.where(rng.uniform(size=(13, 7)) < 0.5, 0.3, np.nextafter(0.3, 1))
    np.testing.assert_array_equal(best_path(values), proportional_spans(13, 7).path())
    values[8, 1] += 1e-6  # and this is more than rounding
    assert [8, 1] in best_path(values).tolist()


def test_what_ties_wholly_ends_with_a_step_in_the_model_with_more_layers():
    # two ways around, as similar and as far from proportional depth
    values = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    assert cells(best_path(values)) == [(0, 0), (0, 1), (1, 1), (2, 1)]
    assert cells(best_path(values.T.copy())) == [(0, 0), (1, 0), (1, 1), (1, 2)]
    # of two as long, in the left one
    assert cells(best_path(np.array([[0.0, 1.0], [1.0, 0.0]]))) == [(0, 0), (0, 1), (1, 1)]


@pytest.mark.parametrize(("n_left", "n_right"), SHAPES)
def test_the_proportional_path_stays_within_a_layer_of_proportional_depth(n_left: int, n_right: int):
    path = proportional_spans(n_left, n_right).path()
    ahead = (path[:, 1] + 0.5) / n_right - (path[:, 0] + 0.5) / n_left
    assert np.abs(ahead).max() <= 0.5 / min(n_left, n_right) + 0.5 / max(n_left, n_right)
    assert len(path) == max(n_left, n_right)


def test_of_a_model_with_itself_it_is_the_identity(rng: np.random.Generator):
    values = rng.uniform(0, 0.9, size=(13, 13))
    np.fill_diagonal(values, 1.0)
    assert cells(best_path(values)) == [(i, i) for i in range(13)]


@pytest.mark.parametrize("shape", [(7, 3), (5, 13), (13, 11), (11, 11)])
def test_exchanging_the_models_transposes_the_path(rng: np.random.Generator, shape: tuple[int, int]):
    for _ in range(20):
        values = rng.uniform(size=shape)
        if shape[0] != shape[1]:  # of two as long, a tie must go to one side
            values = np.rint(2 * values)
        np.testing.assert_array_equal(best_path(values.T.copy()), best_path(values)[:, ::-1])


def test_scale_and_offset_change_nothing(rng: np.random.Generator):
    values = rng.uniform(size=(13, 7))
    for scale, offset in ((3.0, 1.0), (0.25, -2.0), (1e-6, 0.0), (1e6, 5.0)):
        np.testing.assert_array_equal(best_path(scale * values + offset), best_path(values))


def test_a_diagonal_step_is_worth_two_single_ones():
    # around the corner: 2 * 0.5 against 0.9 + 0.0 + ..., so that an unweighted count would go astray
    values = np.array([[0.5, 0.45], [0.0, 0.5]])
    assert cells(best_path(values)) == [(0, 0), (1, 1)]
    values[0, 1] = 0.55
    assert cells(best_path(values)) == [(0, 0), (0, 1), (1, 1)]


def test_many_matrices_are_each_treated_as_alone(rng: np.random.Generator):
    values = rng.normal(size=(17, 7, 5)) * rng.uniform(1, 9, size=(17, 1, 1))
    spans = best_spans(values)
    for place, matrix in enumerate(values):
        np.testing.assert_array_equal(spans.path(place), best_path(matrix))


def test_spans_are_those_of_the_path(rng: np.random.Generator):
    values = rng.uniform(size=(3, 11, 7))
    spans = best_spans(values)
    for place in range(3):
        path = spans.path(place)
        for i in range(11):
            partners = path[path[:, 0] == i, 1]
            assert (spans.left_first[place, i], spans.left_last[place, i]) == (
                partners.min(),
                partners.max(),
            )
            assert spans.left_partners()[place, i] == partners.mean() + 1
        for j in range(7):
            partners = path[path[:, 1] == j, 0]
            assert (spans.right_first[place, j], spans.right_last[place, j]) == (
                partners.min(),
                partners.max(),
            )
            assert spans.right_partners()[place, j] == partners.mean() + 1


def test_single_precision_and_any_order_in_memory_will_do(rng: np.random.Generator):
    values = rng.integers(0, 64, size=(5, 11, 7)) / 64
    expected = best_spans(values).left_last
    single = np.asfortranarray(values.astype(np.float32))
    np.testing.assert_array_equal(best_spans(single).left_last, expected)


def test_the_mean_along_a_path_is_weighted_like_its_choice(rng: np.random.Generator):
    values = rng.uniform(size=(17, 7, 5))
    means = best_spans(values).means(values)
    assert means.tolist() == pytest.approx([1 - least_cost(matrix) / (7 + 5) for matrix in values])
    assert proportional_spans(7, 5).means(np.ones((3, 7, 5))).tolist() == [1.0] * 3


def test_one_path_serves_many_matrices(rng: np.random.Generator):
    values = rng.uniform(size=(17, 7, 5))
    spans = proportional_spans(7, 5)
    path = cells(spans.path())
    expected = [1 - cost_of(matrix, path) / (7 + 5) for matrix in values]
    assert spans.means(values).tolist() == pytest.approx(expected)


def test_inputs_are_not_changed(rng: np.random.Generator):
    values = rng.uniform(size=(3, 5, 7))
    values.setflags(write=False)
    before = values.copy()
    best_spans(values)
    np.testing.assert_array_equal(values, before)


def test_values_that_are_not_finite_are_refused_with_their_number(rng: np.random.Generator):
    values = rng.uniform(size=(3, 5, 7))
    values[0, 1, 2], values[2, 3, 3] = np.nan, -np.inf
    with pytest.raises(ParameterError) as caught:
        best_spans(values, "resampled")
    assert caught.value.message == "resampled must be finite; 2 of 105 are NaN or infinite"


@pytest.mark.parametrize("shape", [(0, 5, 7), (3, 0, 7), (3, 5, 0)])
def test_nothing_to_align_is_an_error(shape: tuple[int, int, int]):
    with pytest.raises(ParameterError) as caught:
        best_spans(np.zeros(shape))
    assert caught.value.message == (
        "values must hold at least one layer of either model; got (matrices, layers_left, layers_right)"
        f" = {shape}"
    )
