import numpy as np

from isodepth.axes import layer_numbers, relative_depths, shape_text


def test_relative_depths_rise_evenly_to_one_and_leave_out_the_embedding():
    depths = relative_depths(7)
    np.testing.assert_allclose(depths, [1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1])
    assert depths.dtype == np.float64
    assert depths[-1] == 1.0


def test_relative_depth_of_a_single_layer_is_one():
    np.testing.assert_array_equal(relative_depths(1), [1.0])


def test_layer_numbers_count_from_one():
    assert layer_numbers(5) == (1, 2, 3, 4, 5)


def test_shape_text_names_every_axis_with_its_length():
    assert shape_text(("texts", "k"), np.zeros((2048, 10))) == "(texts, k) = (2048, 10)"
