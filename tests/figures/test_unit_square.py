from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError
from isodepth.figures.unit_square import unit_square_figure
from isodepth.statistics import UnitSquareMean, mean_on_unit_square


@pytest.fixture
def mean(planted_matrices: AffinityMatrices) -> UnitSquareMean:
    return mean_on_unit_square([pair.values for pair in planted_matrices.pairs()], n_bins=17)


def notes(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


def test_mean_and_spread_are_drawn_from_depth_0_at_the_bottom_left(
    mean: UnitSquareMean, planted_matrices: AffinityMatrices
):
    figure = unit_square_figure(mean, matrices=planted_matrices)
    for axes, values in zip(figure.axes[:2], (mean.values, mean.sd), strict=True):
        (image,) = axes.images
        np.testing.assert_array_equal(image.get_array(), values)
        assert image.origin == "lower"
        assert (axes.get_ylabel(), axes.get_xlabel()) == ("depth in model 1", "depth in model 2")
        assert tuple(image.get_extent()) == (0, 1, 0, 1)
        (diagonal,) = axes.lines
        np.testing.assert_array_equal(diagonal.get_xdata(), diagonal.get_ydata())


def test_both_scales_start_at_0_and_end_at_their_own_highest(
    mean: UnitSquareMean, planted_matrices: AffinityMatrices
):
    figure = unit_square_figure(mean, matrices=planted_matrices)
    limits = [axes.images[0].get_clim() for axes in figure.axes[:2]]
    assert limits == [(0, mean.values.max()), (0, mean.sd.max())]
    given = unit_square_figure(mean, matrices=planted_matrices, highest=0.9)
    assert given.axes[0].images[0].get_clim() == (0, 0.9)
    assert "Colors of the mean from 0 to 0.9." in notes(given)
    with pytest.raises(ParameterError, match="highest = 0"):
        unit_square_figure(mean, matrices=planted_matrices, highest=0.0)


def test_the_scale_of_the_mean_begins_at_its_lowest_value_below_0(
    mean: UnitSquareMean, planted_matrices: AffinityMatrices
):
    below = replace(mean, values=mean.values - 0.3)
    figure = unit_square_figure(below, matrices=planted_matrices)
    assert figure.axes[0].images[0].get_clim() == (below.values.min(), below.values.max())
    assert figure.axes[1].images[0].get_clim() == (0, mean.sd.max())
    ends = f"{below.values.min():.3g} to {below.values.max():.3g}"
    assert f"Colors of the mean from {ends}." in notes(figure)


def test_the_spread_is_said_to_be_no_error_of_the_mean(
    mean: UnitSquareMean, planted_matrices: AffinityMatrices
):
    said = notes(unit_square_figure(mean, matrices=planted_matrices))
    assert said.startswith(
        "Mean of 3 matrices of 3 models, each in both orders; mutual 5-NN similarity, 61 texts, chance "
        "0.0833."
    )
    assert "no error of the mean" in said


def test_one_matrix_in_one_order_and_without_any_spread(planted_matrices: AffinityMatrices):
    single = mean_on_unit_square([np.full((3, 2), 0.25)], n_bins=5, both_orders=False)
    figure = unit_square_figure(single, matrices=replace(planted_matrices, measure="another"))
    assert notes(figure).startswith(
        "Mean of 1 matrix of 3 models, each in the order of its labels; another (k = 5), 61 texts."
    )
    assert figure.axes[1].images[0].get_clim() == (0, 1)
