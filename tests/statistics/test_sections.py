from fractions import Fraction

import numpy as np
import pytest

from isodepth.statistics.sections import (
    CENTER,
    ENDS,
    FEWEST_LAYERS,
    SECTIONS,
    center_and_ends,
    depth_window,
    mid_depths,
    sections,
)

NUMBERS = [*range(1, 60), 80, 127]


def exact_depths(n_layers: int) -> list[Fraction]:
    return [Fraction(2 * layer + 1, 2 * n_layers) for layer in range(n_layers)]


@pytest.mark.parametrize("n_layers", [1, 2, 7, 80])
def test_a_layers_depth_is_the_middle_of_its_share(n_layers: int):
    np.testing.assert_allclose(mid_depths(n_layers), [float(d) for d in exact_depths(n_layers)])
    # the same from either end
    np.testing.assert_allclose(mid_depths(n_layers), 1 - mid_depths(n_layers)[::-1])


def test_sections_are_the_thirds_of_depth():
    for n_layers in NUMBERS:
        found = sections(n_layers)
        assert len(found) == len(SECTIONS)
        for third, part in enumerate(found):
            layers = [
                layer
                for layer, depth in enumerate(exact_depths(n_layers))
                if Fraction(third, 3) <= depth < Fraction(third + 1, 3)
            ]
            assert list(range(n_layers))[part] == layers


def test_sections_leave_no_layer_out_and_look_the_same_from_the_end():
    for n_layers in NUMBERS:
        layers = np.arange(n_layers)
        parts = [layers[part] for part in sections(n_layers)]
        np.testing.assert_array_equal(np.concatenate(parts), layers)
        assert len(parts[0]) == len(parts[2])


def test_with_six_layers_there_are_two_in_each_third():
    assert FEWEST_LAYERS == 6
    for n_layers in NUMBERS:
        fewest = min(part.stop - part.start for part in sections(n_layers))
        assert (fewest >= 2) == (n_layers >= FEWEST_LAYERS)


def test_center_and_ends_are_fifths_of_depth_with_a_tenth_between():
    ends, low, high = Fraction(1, 5), Fraction(3, 10), Fraction(7, 10)
    assert float(ends) == ENDS
    assert (float(low), float(high)) == CENTER
    for n_layers in NUMBERS:
        found = center_and_ends(n_layers)
        depths = exact_depths(n_layers)
        assert found.first.tolist() == [depth < ends for depth in depths]
        assert found.center.tolist() == [low < depth < high for depth in depths]
        assert found.last.tolist() == [depth > 1 - ends for depth in depths]


def test_center_and_ends_look_the_same_from_the_end():
    # 0.3 and 0.7 are depths of layers of models of 5, 15, 25, ... layers, where rounding might decide
    for n_layers in NUMBERS:
        found = center_and_ends(n_layers)
        np.testing.assert_array_equal(found.first, found.last[::-1])
        np.testing.assert_array_equal(found.center, found.center[::-1])


def test_with_enough_layers_none_is_empty():
    for n_layers in NUMBERS:
        if n_layers >= FEWEST_LAYERS:
            assert all(part.any() for part in center_and_ends(n_layers))


@pytest.mark.parametrize("n_layers", [1, 2, 6, 7, 13, 80])
def test_a_window_takes_its_share_of_every_layer(n_layers: int):
    for start, stop in ((0, 1), (0, Fraction(1, 9)), (Fraction(2, 9), Fraction(1, 3)), (0.31, 0.32)):
        shares = []
        for layer in range(n_layers):
            top, bottom = Fraction(layer, n_layers), Fraction(layer + 1, n_layers)
            shares.append(max(Fraction(0), min(bottom, Fraction(stop)) - max(top, Fraction(start))))
        found = depth_window(n_layers, float(start), float(stop))
        np.testing.assert_allclose(found, [float(share / sum(shares)) for share in shares], atol=1e-12)
        assert found.sum() == pytest.approx(1)
        assert found.min() >= 0


def test_windows_look_the_same_from_the_end():
    for n_layers in NUMBERS:
        found, mirrored = depth_window(n_layers, 0.1, 0.37), depth_window(n_layers, 0.63, 0.9)
        np.testing.assert_allclose(found, mirrored[::-1], atol=1e-12)


def test_the_mean_depth_within_a_window_is_its_middle():
    for n_layers in NUMBERS:
        # exact where bounds are those of layers; else by half a layer at most
        error = abs(depth_window(n_layers, 0.25, 0.75) @ mid_depths(n_layers) - 0.5)
        assert error < 1e-12
        one = abs(depth_window(n_layers, 0.1, 0.37) @ mid_depths(n_layers) - 0.235)
        assert one <= 0.5 / n_layers
