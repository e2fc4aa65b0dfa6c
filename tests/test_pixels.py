import io

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest

from isodepth.pixels import INFERNO, N_LEVELS, averaged, inferno, matrix_pixels, png, shrunken

GRAY, WHITE = (128, 128, 128), (255, 255, 255)


def decoded(pixels: np.ndarray) -> np.ndarray:
    """Return (rows, columns, 3) bytes that another reader of PNG files finds."""
    image = matplotlib.image.imread(io.BytesIO(png(pixels)), format="png")
    return np.rint(image[..., :3] * 255).astype(np.uint8)


def test_the_colors_are_those_of_the_figures():
    expected = mpl.colormaps["inferno"](np.linspace(0, 1, 9))[:, :3] * 255
    np.testing.assert_allclose(INFERNO, expected, atol=3)


def test_colors_between_the_nine_lie_on_straight_lines():
    levels = np.random.default_rng(3).uniform(size=(7, 5))
    place = np.linspace(0, 1, 9)
    expected = [np.interp(levels, place, INFERNO[:, channel]) for channel in range(3)]
    np.testing.assert_allclose(inferno(levels), np.stack(expected, axis=-1))
    np.testing.assert_array_equal(inferno(np.array([-3.0, 7.0])), INFERNO[[0, -1]])


def test_small_matrices_are_kept():
    values = np.arange(35.0).reshape(5, 7)
    np.testing.assert_array_equal(shrunken(values, most_rows=5, most_columns=7), values)


def test_large_matrices_are_averaged_over_neighboring_layers():
    values = np.arange(24.0).reshape(6, 4)
    small = shrunken(values, most_rows=3, most_columns=2)
    expected = values.reshape(3, 2, 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(small, expected)


@pytest.mark.parametrize(("rows", "columns"), [(5, 3), (7, 31), (43, 2), (1, 1)])
def test_shrinking_fits_keeps_order_and_stays_within_the_range(
    rng: np.random.Generator, rows: int, columns: int
):
    values = np.sort(rng.uniform(size=(43, 31)), axis=0)
    small = shrunken(values, most_rows=rows, most_columns=columns)
    assert small.shape == (rows, columns)
    assert small.min() >= values.min()
    assert small.max() <= values.max()
    assert (np.diff(small, axis=0) >= 0).all()


def test_a_constant_stays_constant_when_averaged():
    np.testing.assert_allclose(shrunken(np.full((43, 31), 0.3), most_rows=5, most_columns=7), 0.3)


def test_means_are_taken_between_bounds():
    found = averaged(np.arange(7.0)[:, np.newaxis], [0, 3, 7], 0)
    np.testing.assert_array_equal(found, [[1.0], [4.5]])


def test_another_reader_finds_each_layer_where_it_belongs_in_its_color(rng: np.random.Generator):
    values = rng.uniform(size=(7, 5))
    image = decoded(matrix_pixels(values, high=1.0, cell=3))
    assert image.shape == (21, 15, 3)
    levels = np.rint(values * (N_LEVELS - 1)) / (N_LEVELS - 1)
    for row in range(7):
        for column in range(5):
            block = image[3 * (6 - row) : 3 * (7 - row), 3 * column : 3 * (column + 1)]
            np.testing.assert_array_equal(
                block, np.broadcast_to(np.rint(inferno(levels[row, [column]])), (3, 3, 3))
            )


def test_layer_1_of_both_is_at_the_bottom_left():
    values = np.zeros((7, 5))
    values[0, 0] = 1
    image = decoded(matrix_pixels(values, high=1.0))
    assert tuple(image[-1, 0]) == (252, 255, 164)
    assert (image.reshape(-1, 3) == (0, 0, 4)).all(axis=1).sum() == 34


def test_what_is_beyond_the_scale_has_its_end_and_what_is_no_number_is_gray():
    image = decoded(matrix_pixels(np.array([[-2.0, 9.0, np.nan, np.inf]]), high=0.5))
    colors = [tuple(color) for color in image[0].tolist()]
    assert colors == [(0, 0, 4), (252, 255, 164), GRAY, GRAY]


def test_a_scale_without_a_range_is_drawn_evenly():
    assert len(np.unique(matrix_pixels(np.full((5, 3), 0.25), low=0.25, high=0.25))) == 1


def test_an_outline_runs_within_its_cells():
    mask = np.zeros((5, 3), dtype=np.bool_)
    mask[1, 1] = True
    image = decoded(matrix_pixels(np.zeros((5, 3)), high=1.0, cell=5, outline=mask))
    is_white = (image == WHITE).all(axis=2)
    expected = np.zeros((25, 15), dtype=np.bool_)
    expected[15:20, 5:10] = True  # layer 2 of 5, from the bottom
    expected[16:19, 6:9] = False
    np.testing.assert_array_equal(is_white, expected)


def test_lines_between_models_take_no_layer_away():
    values = np.arange(6.0).reshape(2, 3)
    plain = matrix_pixels(values, high=5.0, cell=2)
    cut = matrix_pixels(values, high=5.0, cell=2, row_cuts=[1], column_cuts=[1, 2])
    assert cut.shape == (5, 8)
    is_line = (decoded(cut) == GRAY).all(axis=2)
    assert np.flatnonzero(is_line.all(axis=1)).tolist() == [2]
    assert np.flatnonzero(is_line.all(axis=0)).tolist() == [2, 5]
    kept = np.delete(np.delete(cut, 2, axis=0), [2, 5], axis=1)
    np.testing.assert_array_equal(kept, plain)


def test_the_same_matrix_gives_the_same_bytes_twice(rng: np.random.Generator):
    values = rng.uniform(size=(13, 11))
    assert png(matrix_pixels(values, high=1.0)) == png(matrix_pixels(values.copy(), high=1.0))
