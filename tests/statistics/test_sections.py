from fractions import Fraction

import numpy as np
import pytest

from isodepth.statistics.sections import (
    CENTER,
    ENDS,
    FEWEST_LAYERS,
    SECTIONS,
    center_and_ends,
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
