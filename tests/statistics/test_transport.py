import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from isodepth.errors import ParameterError
from isodepth.statistics.transport import TransportCoupling, transport_coupling

SHAPES = [(1, 1), (1, 5), (7, 1), (5, 5), (7, 3), (5, 13), (31, 17)]


def crossing_by_counting(coupling: np.ndarray) -> float:
    """Compare every cell with every other one."""
    with_mass = np.argwhere(coupling > 0)
    crossed = total = 0.0
    for one, other in itertools.product(with_mass, with_mass):
        order = (one[0] - other[0]) * (one[1] - other[1])
        mass = coupling[tuple(one)] * coupling[tuple(other)]
        total += mass * (order != 0)
        crossed += mass * (order < 0)
    return crossed / total


@pytest.mark.parametrize("shape", SHAPES)
def test_margins_are_exact(rng: np.random.Generator, shape: tuple[int, int]):
    found = transport_coupling(rng.uniform(size=shape))
    assert isinstance(found, TransportCoupling)
    assert found.coupling.shape == shape
    assert (found.coupling >= 0).all()
    # whole numbers in units of one over the number of cells
    units = found.coupling * (shape[0] * shape[1])
    np.testing.assert_allclose(units, np.rint(units), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.coupling.sum(axis=1), 1 / shape[0], rtol=1e-14)
    np.testing.assert_allclose(found.coupling.sum(axis=0), 1 / shape[1], rtol=1e-14)


@pytest.mark.parametrize("shape", [(5, 5), (6, 4), (7, 3), (4, 10)])
def test_no_assignment_of_split_layers_is_better(rng: np.random.Generator, shape: tuple[int, int]):
    for _ in range(3):
        values = rng.uniform(size=shape)
        lot = np.lcm(*shape)
        split = np.repeat(np.repeat(values, lot // shape[0], axis=0), lot // shape[1], axis=1)
        rows, columns = linear_sum_assignment(split, maximize=True)
        found = transport_coupling(values)
        assert found.similarity == pytest.approx(split[rows, columns].mean(), rel=1e-9)
        assert found.similarity == pytest.approx((found.coupling * values).sum(), rel=1e-12)


def test_a_model_with_itself_is_coupled_layer_by_layer(rng: np.random.Generator):
    values = rng.uniform(0, 0.9, size=(13, 13))
    np.fill_diagonal(values, 1.0)
    found = transport_coupling(values)
    np.testing.assert_allclose(found.coupling, np.eye(13) / 13, rtol=1e-14)
    assert found.similarity == pytest.approx(1.0)
    assert found.crossing_share == 0.0
    np.testing.assert_allclose(found.left_to_right, np.arange(1, 14), rtol=1e-12)


def test_reversed_layers_cross_wholly():
    found = transport_coupling(np.eye(7)[::-1].copy())
    assert found.crossing_share == 1.0
    np.testing.assert_allclose(found.left_to_right, np.arange(7, 0, -1), rtol=1e-12)


def test_shuffled_layers_are_found_again_whatever_their_order(rng: np.random.Generator):
    order = rng.permutation(11)
    values = rng.uniform(0, 0.3, size=(11, 11))
    values[np.arange(11), order] = 0.8
    found = transport_coupling(values)
    np.testing.assert_allclose(found.left_to_right, order + 1, rtol=1e-12)
    np.testing.assert_allclose(found.right_to_left, np.argsort(order) + 1, rtol=1e-12)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (5, 11)])
def test_the_crossing_share_is_that_of_counting_pairs(rng: np.random.Generator, shape: tuple[int, int]):
    found = transport_coupling(rng.uniform(size=shape))
    assert found.crossing_share == pytest.approx(crossing_by_counting(found.coupling), rel=1e-9)


def test_unrelated_layers_cross_about_as_often_as_not(rng: np.random.Generator):
    shares = [transport_coupling(rng.uniform(size=(23, 19))).crossing_share for _ in range(20)]
    # the standard deviation of Kendall's share is near 0.07 at 21 layers, a quarter of that for the mean
    assert np.mean(shares) == pytest.approx(0.5, abs=0.07)


@pytest.mark.parametrize("shape", [(7, 7), (7, 3), (5, 13), (1, 5)])
def test_without_any_structure_it_is_the_monotone_coupling(shape: tuple[int, int]):
    # of equally good couplings the one nearest to proportional depth, which spreads mass in order
    found = transport_coupling(np.full(shape, 0.3))
    edges = [np.linspace(0, 1, length + 1) for length in shape]
    lows = np.maximum(edges[0][:-1, np.newaxis], edges[1][:-1])
    highs = np.minimum(edges[0][1:, np.newaxis], edges[1][1:])
    np.testing.assert_allclose(found.coupling, np.maximum(0, highs - lows), atol=1e-14)
    assert found.crossing_share == 0.0


def test_equally_good_couplings_are_decided_towards_proportional_depth():
    # two blocks: within each, all couplings are equally similar
    values = np.kron(np.eye(2), np.full((5, 5), 0.4)) + 0.1
    np.testing.assert_allclose(transport_coupling(values).coupling, np.eye(10) / 10, atol=1e-14)


def test_exchanging_the_models_transposes_it(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    forth, back = transport_coupling(values), transport_coupling(values.T.copy())
    np.testing.assert_allclose(forth.coupling, back.coupling.T, atol=1e-14)
    np.testing.assert_allclose(forth.left_to_right, back.right_to_left, rtol=1e-12)
    assert forth.crossing_share == pytest.approx(back.crossing_share, rel=1e-12)


def test_scale_and_offset_change_nothing(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    moved = transport_coupling(1e-3 * values + 5)
    np.testing.assert_allclose(moved.coupling, transport_coupling(values).coupling, atol=1e-14)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float):
    values = np.full((5, 3), 0.1)
    values[2, 1] = value
    with pytest.raises(ParameterError, match=r"^values must be finite; the matrix holds NaN or infin"):
        transport_coupling(values)


def test_no_layers_are_an_error():
    with pytest.raises(ParameterError) as caught:
        transport_coupling(np.zeros((0, 7)))
    assert caught.value.message == (
        "values must hold at least one layer of either model; got (layers_left, layers_right) = (0, 7)"
    )
