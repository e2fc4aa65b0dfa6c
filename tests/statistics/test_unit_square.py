from fractions import Fraction

import numpy as np
import pytest

from isodepth.errors import ParameterError
from isodepth.statistics.unit_square import mean_on_unit_square, on_unit_square


def slow(values: np.ndarray, n_bins: int) -> np.ndarray:
    """Repeat every cell until both sizes divide, then take block means."""
    n_left, n_right = values.shape
    fine = np.repeat(np.repeat(values, n_bins, axis=0), n_bins, axis=1)
    return fine.reshape(n_bins, n_left, n_bins, n_right).mean(axis=(1, 3))


@pytest.mark.parametrize(("n_left", "n_right"), [(1, 1), (3, 11), (13, 5), (31, 7)])
@pytest.mark.parametrize("n_bins", [1, 2, 7, 17])
def test_a_bin_is_the_mean_of_what_it_covers(
    rng: np.random.Generator, n_left: int, n_right: int, n_bins: int
):
    values = rng.uniform(size=(n_left, n_right))
    np.testing.assert_allclose(on_unit_square(values, n_bins), slow(values, n_bins), atol=1e-14)


@pytest.mark.parametrize("n_bins", [1, 3, 10, 100])
def test_the_mean_over_the_square_is_the_mean_over_the_cells(rng: np.random.Generator, n_bins: int):
    values = rng.uniform(size=(29, 13))
    assert on_unit_square(values, n_bins).mean() == pytest.approx(values.mean(), rel=1e-13)


def test_every_layer_counts_the_same():
    for layer in range(7):
        values = np.zeros((7, 5))
        values[layer] = 1
        assert on_unit_square(values, 11).mean() == pytest.approx(1 / 7, rel=1e-13)


def test_a_matrix_of_the_squares_size_is_kept(rng: np.random.Generator):
    values = rng.uniform(size=(13, 13))
    np.testing.assert_array_equal(on_unit_square(values, 13), values)


def test_a_resized_matrix_keeps_within_its_own_range(rng: np.random.Generator):
    values = rng.uniform(size=(31, 11))
    square = on_unit_square(values, 19)
    assert values.min() <= square.min() < square.max() <= values.max()


def test_a_constant_matrix_stays_constant():
    np.testing.assert_allclose(on_unit_square(np.full((7, 31), 0.3), 100), 0.3, rtol=1e-14)


def test_a_proportional_ridge_falls_on_the_diagonal():
    # each layer of the shallow model against the two at its depth
    values = np.kron(np.eye(5), np.ones((2, 1)))
    np.testing.assert_array_equal(on_unit_square(values, 5), np.eye(5))


def test_reversing_the_layers_reverses_the_square(rng: np.random.Generator):
    values = rng.uniform(size=(7, 11))
    np.testing.assert_allclose(
        on_unit_square(values[::-1].copy(), 17), on_unit_square(values, 17)[::-1], atol=1e-14
    )


def test_mean_and_sd_are_those_of_the_squares(rng: np.random.Generator):
    matrices = [rng.uniform(size=shape) for shape in [(3, 7), (11, 5), (13, 2), (5, 5), (2, 17)]]
    squares = [on_unit_square(values, 19) for values in matrices]
    one_way = mean_on_unit_square(iter(matrices), n_bins=19, both_orders=False)
    np.testing.assert_allclose(one_way.values, np.mean(squares, axis=0), atol=1e-14)
    np.testing.assert_allclose(one_way.sd, np.std(squares, axis=0), atol=1e-14)
    assert (one_way.n_matrices, one_way.both_orders) == (5, False)

    both = mean_on_unit_square(matrices, n_bins=19)
    squares += [square.T for square in squares]
    np.testing.assert_allclose(both.values, np.mean(squares, axis=0), atol=1e-14)
    np.testing.assert_allclose(both.sd, np.std(squares, axis=0), atol=1e-14)
    assert (both.n_matrices, both.both_orders) == (5, True)


def test_in_both_orders_the_order_of_models_changes_nothing(rng: np.random.Generator):
    matrices = [rng.uniform(size=(3, 7)), rng.uniform(size=(5, 2))]
    exchanged = [matrices[0].T.copy(), matrices[1]]
    forth = mean_on_unit_square(matrices, n_bins=13)
    back = mean_on_unit_square(exchanged, n_bins=13)
    np.testing.assert_allclose(forth.values, back.values, atol=1e-15)
    np.testing.assert_allclose(forth.sd, back.sd, atol=1e-15)
    np.testing.assert_allclose(forth.values, forth.values.T, atol=1e-15)
    one_way = mean_on_unit_square(matrices, n_bins=13, both_orders=False)
    assert not np.allclose(one_way.values, one_way.values.T)


def test_one_matrix_has_no_spread(rng: np.random.Generator):
    mean = mean_on_unit_square([rng.uniform(size=(3, 7))], both_orders=False)
    assert mean.values.shape == mean.sd.shape == (100, 100)
    assert (mean.sd == 0).all()


def test_shares_are_exact_where_a_bin_cuts_a_layer():
    # three layers in two bins: the middle one is cut in half
    values = np.array([[0.0], [1.0], [0.0]])
    assert on_unit_square(values, 2)[0, 0] == float(Fraction(1, 3))


def test_unusable_matrices_are_all_listed():
    hole = np.full((3, 5), 0.5)
    hole[1, 2] = np.nan
    with pytest.raises(ParameterError) as caught:
        mean_on_unit_square([np.ones((2, 3)), hole, np.ones((0, 7))])
    assert caught.value.message == (
        "matrices must have layers and finite values; got number 2 of 3 x 5 is not finite; "
        "number 3 of 0 x 7 is empty"
    )


def test_no_matrices_are_an_error():
    with pytest.raises(ParameterError, match=r"^expected at least one matrix; got none$"):
        mean_on_unit_square([])


@pytest.mark.parametrize("n_bins", [0, -3])
def test_fewer_than_one_bin_is_an_error(n_bins: int):
    with pytest.raises(ParameterError, match=rf"^n_bins must be at least 1; got {n_bins}$"):
        mean_on_unit_square([np.ones((2, 3))], n_bins=n_bins)
