import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import numpy as np
import pytest

from isodepth.axes import relative_depths
from isodepth.errors import ParameterError
from isodepth.statistics.alignment import best_path, proportional_spans
from isodepth.statistics.correspondence import rank_band
from isodepth.statistics.depth_map import DepthMap, depth_map
from isodepth.statistics.stretch import compressed_segments, local_slopes


def middles(n_layers: int) -> np.ndarray:
    return (np.arange(n_layers) + 0.5) / n_layers


def ridge(n_left: int, n_right: int, warp=lambda depth: depth, width: float = 0.12) -> np.ndarray:
    """Make a matrix whose left layer at a depth is most similar to the right one at the warped depth."""
    ahead = middles(n_right) - warp(middles(n_left))[:, np.newaxis]
    return 0.1 + 0.5 * np.exp(-((ahead / width) ** 2))


def resamples_of(rng: np.random.Generator, truth: np.ndarray, *, n_texts: int, n: int, noise: float):
    """Measure a matrix as the mean over noisy texts, and again over resampled ones."""
    texts = truth.reshape(-1) + rng.normal(0, noise, size=(n_texts, truth.size))
    weights = rng.multinomial(n_texts, np.full(n_texts, 1 / n_texts), size=n) / n_texts
    return texts.mean(axis=0).reshape(truth.shape), (weights @ texts).reshape(n, *truth.shape)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Let wrong shapes through to the function's own checks, as they come without the type checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


# the correspondence


def test_a_model_with_itself_is_the_identity(rng: np.random.Generator):
    values = rng.uniform(0, 0.9, size=(13, 13))
    np.fill_diagonal(values, 1.0)
    found = depth_map(values)
    numbers = np.arange(1, 14)
    for side in (found.left_to_right, found.right_to_left):
        for column in (side.layer, side.nearest, side.first, side.last):
            np.testing.assert_array_equal(column, numbers)
        np.testing.assert_array_equal(side.depth, relative_depths(13))
        np.testing.assert_allclose(side.slope, 1.0)
        np.testing.assert_array_equal(side.similarity, 1.0)
        assert (side.margin > 0.1).all()
    assert found.one_to_one.tolist() == [[i, i] for i in numbers]
    assert (found.departure.signed.value, found.departure.absolute.value) == (0.0, 0.0)
    assert found.segments == ()
    assert found.path_similarity == found.diagonal_similarity == found.proportional_similarity == 1.0
    assert (found.match_disagreement, found.coupling.crossing_share) == (0.0, 0.0)
    assert found.coupling_disagreement == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("n_left", "n_right"), [(31, 17), (17, 31), (23, 23)])
@pytest.mark.parametrize("power", [0.5, 1.0, 1.5, 2.0])
def test_a_planted_warp_is_recovered_within_a_layer(n_left: int, n_right: int, power: float):
    found = depth_map(ridge(n_left, n_right, lambda depth: depth**power))
    planted = n_right * middles(n_left) ** power + 0.5
    back = n_left * middles(n_right) ** (1 / power) + 0.5
    # on the steep side the mean of a run of layers is what counts, so one layer of the coarser model
    tolerance = max(1.0, n_right / n_left)
    assert np.abs(found.left_to_right.layer - planted).max() <= tolerance
    assert np.abs(found.right_to_left.layer - back).max() <= max(1.0, n_left / n_right) * 1.5
    planted_departure = 1 / (power + 1) - 1 / 2
    assert found.departure.signed.value == pytest.approx(planted_departure, abs=0.02)


def test_positions_runs_similarities_and_margins_are_those_of_the_path(rng: np.random.Generator):
    values = rng.uniform(size=(23, 11))
    found = depth_map(values)
    path = best_path(values)
    np.testing.assert_array_equal(found.path, path)
    for matrix, cells, side in (
        (values, path, found.left_to_right),
        (values.T, path[:, ::-1], found.right_to_left),
    ):
        for layer, row in enumerate(matrix):
            partners = cells[cells[:, 0] == layer, 1]
            others = np.delete(row, partners)
            assert (side.first[layer], side.last[layer]) == (partners.min() + 1, partners.max() + 1)
            assert side.layer[layer] == partners.mean() + 1
            assert side.depth[layer] == pytest.approx((partners.mean() + 1) / len(row))
            assert side.similarity[layer] == pytest.approx(row[partners].mean())
            assert side.margin[layer] == pytest.approx(row[partners].mean() - others.mean())
            candidates = sorted({math.floor(side.layer[layer]), math.ceil(side.layer[layer])})
            assert side.nearest[layer] == max(candidates, key=lambda number: row[number - 1])


def test_between_two_layers_the_more_similar_one_is_nearest():
    for columns, nearest in (([0.3, 0.8], 2), ([0.8, 0.3], 1), ([0.5, 0.5], 1)):
        # a single left layer lies between both right ones
        assert depth_map(np.array([columns])).left_to_right.layer.tolist() == [1.5]
        assert depth_map(np.array([columns])).left_to_right.nearest.tolist() == [nearest]


def test_nearest_layers_never_turn_back(rng: np.random.Generator):
    for _ in range(20):
        found = depth_map(rng.uniform(size=(13, 7)))
        assert (np.diff(found.left_to_right.nearest) >= 0).all()
        assert (np.diff(found.right_to_left.nearest) >= 0).all()


def test_exchanging_the_models_exchanges_the_directions(rng: np.random.Generator):
    values = rng.uniform(size=(19, 7))
    resampled = values + rng.normal(0, 0.1, size=(40, 19, 7))
    forth = depth_map(values, resampled=resampled, n_texts=97)
    back = depth_map(
        values.T.copy(), resampled=resampled.transpose(0, 2, 1).copy(), n_texts=97, left="a", right="b"
    )
    for one, other in (
        (forth.left_to_right, back.right_to_left),
        (forth.right_to_left, back.left_to_right),
    ):
        np.testing.assert_array_equal(one.layer, other.layer)
        np.testing.assert_array_equal(one.nearest, other.nearest)
        np.testing.assert_allclose(one.margin, other.margin)
        np.testing.assert_allclose(one.slope, other.slope)
        np.testing.assert_array_equal(one.bands.low, other.bands.low)
        np.testing.assert_array_equal(one.bands.simultaneous_high, other.bands.simultaneous_high)
    np.testing.assert_array_equal(forth.one_to_one, back.one_to_one[:, ::-1])
    assert forth.departure.signed.value == pytest.approx(-back.departure.signed.value)
    assert forth.departure.signed.low == pytest.approx(-back.departure.signed.high)
    assert forth.departure.absolute.value == pytest.approx(back.departure.absolute.value)
    assert forth.departure.largest_layer == back.departure.largest_layer
    assert (forth.departure.largest_model, back.departure.largest_model) == ("right", "left")
    assert {(s.compressed, s.first, s.last, s.other_first) for s in forth.segments} == {
        ({"left": "right", "right": "left"}[s.compressed], s.first, s.last, s.other_first)
        for s in back.segments
    }
    assert forth.match_disagreement == pytest.approx(back.match_disagreement)
    assert forth.coupling_disagreement == pytest.approx(back.coupling_disagreement)


@pytest.mark.parametrize("shape", [(7, 7), (11, 5), (5, 13), (10, 5)])
def test_a_constant_matrix_gives_the_proportional_path_and_nothing_to_trust(shape: tuple[int, int]):
    found = depth_map(np.full(shape, 0.3))
    np.testing.assert_array_equal(found.path, proportional_spans(*shape).path())
    assert found.segments == ()
    np.testing.assert_allclose(found.left_to_right.margin, 0, atol=1e-12)
    assert found.path_similarity == pytest.approx(found.mean_similarity)
    # at most half a layer of the longer model, of rounding
    assert found.departure.absolute.value <= 0.5 / max(shape)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_models_of_one_layer_correspond_wholly(rng: np.random.Generator, shape: tuple[int, int]):
    found = depth_map(rng.uniform(size=shape))
    assert len(found.path) == max(shape)
    assert found.left_to_right.slope is None
    assert found.segments == ()
    assert len(found.one_to_one) == 1
    assert found.departure.signed.value == pytest.approx(0.0)
    if shape[1] == 1:
        assert np.isnan(found.left_to_right.margin).all()  # there is no other layer to compare with
        assert [row["margin"] for row in found.as_dict()["left_to_right"]] == [None] * shape[0]
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 6), (6, 2)])
def test_one_to_one_pairs_are_the_most_and_the_most_similar_on_the_path(
    rng: np.random.Generator, shape: tuple[int, int]
):
    for _ in range(10):
        values = rng.uniform(size=shape)
        found = depth_map(values)
        best = max(
            (
                (len(chosen), sum(values[i, j] for i, j in chosen), chosen)
                for size in range(1, min(shape) + 1)
                for chosen in itertools.combinations(
                    [tuple(cell) for cell in found.path.tolist()], size
                )
                if len({i for i, _ in chosen}) == len({j for _, j in chosen}) == size
            ),
            key=lambda option: option[:2],
        )
        assert found.one_to_one.tolist() == [[i + 1, j + 1] for i, j in best[2]]


# what tells whether to trust it


def test_similarities_to_compare_with_are_those_of_other_paths(rng: np.random.Generator):
    values = ridge(13, 7, lambda depth: depth**2) + rng.uniform(0, 0.05, size=(13, 7))
    found = depth_map(values)
    assert found.path_similarity > found.proportional_similarity > found.mean_similarity
    assert found.mean_similarity == pytest.approx(values.mean())


def test_disagreements_are_mean_differences_in_depth(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    found = depth_map(values)
    for disagreement, left_to_right, right_to_left in (
        (found.match_disagreement, values.argmax(axis=1) + 1, values.argmax(axis=0) + 1),
        (
            found.coupling_disagreement,
            found.coupling.left_to_right,
            found.coupling.right_to_left,
        ),
    ):
        total = np.abs(found.left_to_right.layer - left_to_right).sum() / 7
        total += np.abs(found.right_to_left.layer - right_to_left).sum() / 11
        assert disagreement == pytest.approx(total / (11 + 7), rel=1e-12)


def test_noise_gives_a_path_that_looks_better_than_it_is_but_other_matches_disagree(
    rng: np.random.Generator,
):
    maps = [depth_map(rng.uniform(size=(31, 29))) for _ in range(20)]
    assert min(found.path_similarity - found.mean_similarity for found in maps) > 0.2
    # two unrelated positions differ by a third
    assert np.mean([found.match_disagreement for found in maps]) == pytest.approx(1 / 3, abs=0.05)
    assert np.mean([found.coupling_disagreement for found in maps]) == pytest.approx(0.31, abs=0.05)


@pytest.mark.parametrize(("power", "departure"), [(1.0, 0.0), (1.5, 0.1), (2.0, 1 / 6)])
def test_single_matches_agree_with_a_stretched_map_but_even_masses_cannot(
    rng: np.random.Generator, power: float, departure: float
):
    values = ridge(31, 29, lambda depth: depth**power) + rng.normal(0, 0.03, size=(31, 29))
    found = depth_map(values)
    assert found.match_disagreement < 0.03
    # the only monotone coupling of even masses is the proportional one
    assert found.coupling_disagreement == pytest.approx(departure, abs=0.03)


def test_bright_corners_without_a_ridge_are_told_by_single_matches(rng: np.random.Generator):
    values = rng.uniform(0, 0.05, size=(31, 29))
    values[:15, :14] += 0.4
    values[15:, 14:] += 0.4
    assert depth_map(values).match_disagreement > 0.1


# departure from proportional depth


@pytest.mark.parametrize(("n_left", "n_right"), [(26, 13), (13, 26), (39, 13), (17, 17), (80, 32)])
def test_a_proportional_ridge_does_not_depart(n_left: int, n_right: int):
    departure = depth_map(ridge(n_left, n_right, width=0.05)).departure
    # half a layer of the longer model where the shorter one does not divide it
    rounding = 0.0 if max(n_left, n_right) % min(n_left, n_right) == 0 else 0.5 / max(n_left, n_right)
    assert abs(departure.signed.value) <= rounding + 1e-12
    assert departure.absolute.value <= rounding + 1e-12


@pytest.mark.parametrize("shift", [-0.2, 0.15])
def test_departure_is_the_planted_shift(shift: float):
    def warp(depth: np.ndarray) -> np.ndarray:
        return depth + shift * np.sin(np.pi * depth)

    departure = depth_map(ridge(41, 23, warp)).departure
    assert departure.signed.value == pytest.approx(shift * 2 / np.pi, abs=0.02)
    assert departure.absolute.value == pytest.approx(abs(shift) * 2 / np.pi, abs=0.02)
    assert departure.largest.value == pytest.approx(shift, abs=0.03)
    assert departure.largest_model == "right"
    assert middles(23)[departure.largest_layer - 1] == pytest.approx(0.5 + shift, abs=0.12)
    assert departure.signed.n == 0
    assert departure.signed.low is None


def test_of_models_as_long_the_departure_is_told_at_the_layers_of_both(rng: np.random.Generator):
    numbers = np.arange(1, 14)
    gaps = []
    for _ in range(10):
        values = rng.uniform(size=(13, 13))
        found = depth_map(values)
        left = (found.left_to_right.layer - numbers) / 13
        right = (numbers - found.right_to_left.layer) / 13
        gaps.append(abs(np.abs(left).mean() - np.abs(right).mean()))
        ahead = np.concatenate([left, right])
        assert found.departure.signed.value == pytest.approx(ahead.mean(), abs=1e-12)
        assert found.departure.absolute.value == pytest.approx(np.abs(ahead).mean())
        assert abs(found.departure.largest.value) == pytest.approx(np.abs(ahead).max())
        back = depth_map(values.T.copy()).departure
        assert back.signed.value == pytest.approx(-found.departure.signed.value, abs=1e-12)
    assert max(gaps) > 0.001  # so that one side would not do


def test_departures_have_normal_intervals_by_the_spread_of_the_resamples(rng: np.random.Generator):
    values, resampled = resamples_of(
        rng, ridge(13, 7, lambda depth: depth**1.5), n_texts=97, n=80, noise=2
    )
    found = depth_map(values, resampled=resampled, n_texts=97, level=0.9).departure
    each = [depth_map(matrix).departure for matrix in resampled]
    for name, lowest in (("signed", -1), ("absolute", 0)):
        estimate = getattr(found, name)
        samples = [getattr(one, name).value for one in each]
        reach = 1.6448536 * np.std(samples)
        assert estimate.high - estimate.value == pytest.approx(reach)
        assert estimate.value - estimate.low == pytest.approx(min(reach, estimate.value - lowest))
        assert (estimate.level, estimate.n, estimate.resampled) == (0.9, 97, "texts")
        assert estimate.method == "normal interval by the standard deviation of 80 resamples"


# stretch and compression


def piecewise(*corners: tuple[float, float]):
    return lambda depth: np.interp(depth, [c[0] for c in corners], [c[1] for c in corners])


def test_a_proportional_map_has_slope_one_and_no_segments():
    for n_left, n_right in ((80, 32), (32, 80), (28, 26), (61, 13)):
        found = depth_map(ridge(n_left, n_right, width=0.05))
        assert found.segments == ()
        np.testing.assert_allclose(found.left_to_right.slope, 1, atol=0.25)
        np.testing.assert_allclose(found.right_to_left.slope, 1, atol=0.25)


def test_slopes_are_least_squares_over_the_window_around(rng: np.random.Generator):
    positions = np.sort(rng.uniform(1, 17, size=(1, 31)))
    slopes = local_slopes(positions, 17)
    assert slopes is not None
    width = 11  # 5 * 31 / 17 = 9.1, up to the next odd number
    for layer in range(31):
        start = min(max(layer - width // 2, 0), 31 - width)
        fitted = np.polyfit(np.arange(width), positions[0, start : start + width], 1)[0]
        assert slopes[0, layer] == pytest.approx(fitted * 31 / 17, rel=1e-9)
    assert local_slopes(positions, 4) is None


@pytest.mark.parametrize("is_exchanged", [False, True])
def test_a_planted_compression_is_found_with_its_layers(rng: np.random.Generator, is_exchanged: bool):
    # the middle half of the left model within a tenth of the right one
    truth = ridge(59, 41, piecewise((0, 0), (0.25, 0.45), (0.75, 0.55), (1, 1)), width=0.06)
    values, resampled = resamples_of(rng, truth, n_texts=53, n=40, noise=0.2)
    compressed, other = "left", "right"
    if is_exchanged:
        values, resampled = values.T.copy(), resampled.transpose(0, 2, 1).copy()
        compressed, other = other, compressed
    found = depth_map(values, resampled=resampled, n_texts=53)
    (segment,) = [segment for segment in found.segments if segment.compressed == compressed]
    assert segment.first == pytest.approx(0.25 * 59 + 1, abs=4)
    assert segment.last == pytest.approx(0.75 * 59, abs=4)
    assert segment.other_first == pytest.approx(0.45 * 41, abs=3)
    assert segment.other_last == pytest.approx(0.55 * 41, abs=3)
    assert segment.slope == pytest.approx(0.2, abs=0.07)
    assert segment.factor == pytest.approx(1 / segment.slope)
    assert segment.support == 1.0
    # a slope of 1.8 on either side of it is near to a compression of the other model, and not sure
    assert all(segment.support < 0.9 for segment in found.segments if segment.compressed == other)


def test_a_model_that_stands_still_has_no_factor():
    values = np.zeros((23, 23))
    values[:, 11] = 1.0
    found = depth_map(values)
    (segment,) = [part for part in found.segments if part.compressed == "left"]
    # the first and the last layer lead there and away, so windows with them are steep
    assert (segment.first, segment.last) == (4, 20)
    assert (segment.other_first, segment.other_last) == (12, 12)
    assert (segment.slope, segment.factor, segment.support) == (0.0, None, None)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["segments"][0]["factor"] is None


def test_a_segment_is_a_whole_run_of_at_least_three_layers():
    slopes = np.array([[0.4, 0.4, 0.6, 0.4, 0.1, 0.1, 1.0, 1.0, 0.49, 0.5, 0.3, 0.3, 0.3, 0.3]])
    layers = np.arange(14)
    found = compressed_segments("right", slopes, layers // 2, layers // 2 + 1)
    assert [(part.first, part.last) for part in found] == [(4, 6), (11, 14)]
    assert [(part.other_first, part.other_last) for part in found] == [(2, 4), (6, 8)]
    assert [part.slope for part in found] == [pytest.approx(0.2), pytest.approx(0.3)]
    assert {(part.compressed, part.support) for part in found} == {("right", None)}


def test_support_is_the_share_of_resamples_that_are_as_flat(rng: np.random.Generator):
    flat = ridge(29, 29, piecewise((0, 0), (0.25, 0.45), (0.75, 0.55), (1, 1)), width=0.06)
    straight = ridge(29, 29, width=0.06)
    found = depth_map(flat, resampled=np.stack([flat] * 30 + [straight] * 10), n_texts=53)
    assert [segment.support for segment in found.segments] == [0.75] * len(found.segments)
    assert found.segments


# bands


# 0.56 * 100 is a little above 56 in floating point
@pytest.mark.parametrize(("n", "level", "outside"), [(1000, 0.9, 50), (100, 0.56, 22), (20, 0.9, 1)])
def test_pointwise_bands_hold_as_many_below_as_above(
    rng: np.random.Generator, n: int, level: float, outside: int
):
    samples = rng.normal(size=(n, 3)) * [1, 5, 0.1] + [0, 7, -2]
    low, high = rank_band(samples, level=level, simultaneous=False)
    np.testing.assert_array_equal((samples < low).sum(axis=0), outside)
    np.testing.assert_array_equal((samples > high).sum(axis=0), outside)


@pytest.mark.parametrize("n_values", [3, 20, 10_000])
@pytest.mark.parametrize(("n", "level"), [(20, 0.95), (199, 0.95), (1000, 0.9), (101, 0.5)])
def test_simultaneous_bands_are_the_narrowest_that_hold_whole_resamples(
    rng: np.random.Generator, n: int, level: float, n_values: int
):
    samples = rng.integers(0, n_values, size=(n, 7)).astype(np.float64)
    low, high = rank_band(samples, level=level, simultaneous=True)
    held = ((low <= samples) & (samples <= high)).all(axis=1).mean()
    assert held >= level
    # slow and obvious: peel the envelopes until too few are held
    ordered = np.sort(samples, axis=0)
    narrowest = 0
    for peeled in range(n // 2):
        inner = (ordered[peeled], ordered[n - 1 - peeled])
        if ((inner[0] <= samples) & (samples <= inner[1])).all(axis=1).mean() >= level:
            narrowest = peeled
    np.testing.assert_array_equal(low, ordered[narrowest])
    np.testing.assert_array_equal(high, ordered[n - 1 - narrowest])


def test_simultaneous_bands_hold_the_pointwise_ones(rng: np.random.Generator):
    values, resampled = resamples_of(rng, ridge(13, 11), n_texts=97, n=200, noise=2)
    found = depth_map(values, resampled=resampled, n_texts=97)
    for bands in (found.left_to_right.bands, found.right_to_left.bands):
        assert (bands.simultaneous_low <= bands.low).all()
        assert (bands.low <= bands.high).all()
        assert (bands.high <= bands.simultaneous_high).all()
        assert (bands.high > bands.low).any()
        assert bands.level == 0.95


def test_resamples_without_spread_give_bands_without_width(rng: np.random.Generator):
    values = rng.uniform(size=(7, 5))
    found = depth_map(values, resampled=np.stack([values] * 20), n_texts=53)
    for side in (found.left_to_right, found.right_to_left):
        for edge in ("low", "high", "simultaneous_low", "simultaneous_high"):
            np.testing.assert_array_equal(getattr(side.bands, edge), side.layer)
    assert found.departure.largest.low == found.departure.largest.high == found.departure.largest.value
    assert found.n_resamples == 20
    assert depth_map(values).n_resamples == 0
    assert depth_map(values).left_to_right.bands is None


def test_bands_of_resampled_texts_hold_the_planted_correspondence_at_about_the_nominal_rate(
    rng: np.random.Generator,
):
    truth = 2 * ridge(13, 7)
    planted = depth_map(truth).left_to_right.layer
    is_held, pointwise, widths = [], [], []
    for _ in range(80):
        values, resampled = resamples_of(rng, truth, n_texts=97, n=120, noise=3)
        bands = depth_map(values, resampled=resampled, n_texts=97).left_to_right.bands
        is_held.append(
            ((bands.simultaneous_low <= planted) & (planted <= bands.simultaneous_high)).all()
        )
        pointwise.append(((bands.low <= planted) & (planted <= bands.high)).mean())
        widths.append((bands.high - bands.low).mean())
    # positions are halves of layers, so bands hold rather more; 0.88 is 3 standard errors below 0.95
    assert np.mean(is_held) >= 0.88
    assert np.mean(pointwise) >= 0.95
    # and not by being as wide as the model
    assert 0.1 < np.mean(widths) < 2


# tables


def test_the_table_has_a_row_per_layer_and_direction(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    resampled = values + rng.normal(0, 0.1, size=(40, 11, 7))
    found = depth_map(values, left="one", right="other", resampled=resampled, n_texts=97)
    table = found.to_table()
    assert table.column_names == [
        *("direction", "from", "to", "from_layer", "from_depth", "nearest_layer", "to_layer"),
        *("to_depth", "to_first", "to_last", "low", "high", "simultaneous_low", "simultaneous_high"),
        *("similarity", "margin", "slope"),
    ]
    rows = table.to_pylist()
    assert len(rows) == 11 + 7
    assert {(row["direction"], row["from"], row["to"]) for row in rows[:11]} == {
        ("left_to_right", "one", "other")
    }
    assert {(row["direction"], row["from"], row["to"]) for row in rows[11:]} == {
        ("right_to_left", "other", "one")
    }
    for part, side in ((rows[:11], found.left_to_right), (rows[11:], found.right_to_left)):
        assert [row["from_layer"] for row in part] == list(range(1, len(part) + 1))
        assert [row["from_depth"] for row in part] == relative_depths(len(part)).tolist()
        for name, column in (
            ("to_layer", side.layer),
            ("to_first", side.first),
            ("nearest_layer", side.nearest),
            ("low", side.bands.low),
            ("simultaneous_high", side.bands.simultaneous_high),
            ("margin", side.margin),
            ("slope", side.slope),
        ):
            assert [row[name] for row in part] == column.tolist()


def test_what_there_is_none_of_is_null_in_the_table_whatever_the_columns_type(rng: np.random.Generator):
    with_bands = depth_map(np.eye(7), resampled=np.stack([np.eye(7)] * 20), n_texts=53).to_table()
    without = depth_map(rng.uniform(size=(3, 1))).to_table()
    assert without.schema == with_bands.schema
    for name in ("low", "high", "simultaneous_low", "simultaneous_high", "slope"):
        assert without[name].null_count == 4
    assert without["margin"].null_count == 4


def test_the_dictionary_is_json_and_counts_layers_from_one(rng: np.random.Generator):
    values = rng.uniform(size=(11, 7))
    resampled = values + rng.normal(0, 0.1, size=(40, 11, 7))
    found = depth_map(values, left="one", right="other", resampled=resampled, n_texts=97)
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert (written["left"], written["left_layers"]) == ("one", 11)
    assert (written["right"], written["right_layers"]) == ("other", 7)
    assert written["path"] == (found.path + 1).tolist()
    assert written["one_to_one"] == found.one_to_one.tolist()
    nearest = [row["nearest_layer"] for row in written["left_to_right"]]
    assert nearest == found.left_to_right.nearest.tolist()
    assert all(isinstance(number, int) for number in nearest)
    assert written["departure"]["signed"] == found.departure.signed.as_dict()
    assert written["coupling"]["crossing_share"] == found.coupling.crossing_share
    assert [segment["factor"] for segment in written["segments"]] == [
        segment.factor for segment in found.segments
    ]
    assert written["n_resamples"] == 40


def test_it_shows_itself_in_a_line():
    assert repr(depth_map(np.eye(5), left="a", right="b")) == (
        "DepthMap('a' x 'b', (layers, layers) = (5, 5), path similarity 1.000, departure 0.000)"
    )


# errors


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value: float):
    values = np.full((5, 3), 0.1)
    values[2, 1] = value
    with pytest.raises(ParameterError, match="^values must be finite; 1 of 15 are NaN or infinite$"):
        depth_map(values)
    resampled = np.zeros((20, 5, 3))
    resampled[3, 1, 1] = value
    with pytest.raises(
        ParameterError, match="^resampled must be finite; 1 of 300 are NaN or infinite$"
    ):
        depth_map(np.zeros((5, 3)), resampled=resampled, n_texts=53)


def test_resamples_need_the_number_of_texts():
    with pytest.raises(ParameterError) as caught:
        depth_map(np.eye(5), resampled=np.zeros((20, 5, 5)))
    assert caught.value.message == "depth map: n_texts must be given with resampled"
    assert caught.value.hint == "n_texts is how many texts the matrix was computed on."


@pytest.mark.parametrize(("level", "n", "fewest"), [(0.95, 19, 20), (0.99, 99, 100), (0.9, 9, 10)])
def test_too_few_resamples_for_the_level_are_an_error(level: float, n: int, fewest: int):
    with pytest.raises(ParameterError) as caught:
        depth_map(np.eye(5), resampled=np.zeros((n, 5, 5)), n_texts=53, level=level)
    assert caught.value.message == (
        f"depth map: a band of level {level} needs at least {fewest} resamples; got {n}"
    )
    assert depth_map(np.eye(5), resampled=np.zeros((fewest, 5, 5)), n_texts=53, level=level).n_resamples


def test_all_that_is_wrong_is_named_at_once(unchecked: None):
    with pytest.raises(ParameterError) as caught:
        depth_map(np.eye(5), resampled=np.zeros((20, 5, 3)), level=1.0, n_texts=0)
    assert caught.value.message == (
        "depth map: level must lie between 0 and 1; got 1.0; n_texts must be at least 1; got 0; resampled "
        "must be (resamples, layers_left, layers_right) with the layers of values, (5, 5); got (20, 5, 3)"
    )


def test_inputs_are_not_changed(rng: np.random.Generator):
    values = rng.uniform(size=(7, 5))
    resampled = values + rng.normal(0, 0.1, size=(20, 7, 5))
    for array in (values, resampled):
        array.setflags(write=False)
    assert isinstance(depth_map(values, resampled=resampled, n_texts=53), DepthMap)


# published matrices (Wolfram & Schein's own, see shared/reference/README.md)


def test_the_papers_layer_compression_comes_out(shared: Path):
    # section 4: "The early layers appear to correspond almost one-to-one, but the middle layers of
    # Llama-3.1-70B appear highly compressed in Mistral-7B."
    with np.load(shared / "reference" / "affinity" / "web_text_k10.npz") as arrays:
        counts = arrays["meta-llama/Llama-3.1-70B|mistralai/Mistral-7B-v0.3"]
    found = depth_map(counts[1:, 1:] / (10 * 2048), left="Llama-3.1-70B", right="Mistral-7B")
    forth = found.left_to_right
    # one to one would be layer 16 at layer 16, proportional layer 6.4
    assert 11 <= forth.layer[15] <= 16
    # from there on 58 layers of the one are 20 of the other, in relative terms at half the early pace
    early, middle = forth.slope[:16].mean(), forth.slope[22:68].mean()
    assert early > 1.6
    assert middle < 0.8
    middle_segments = [part for part in found.segments if part.compressed == "left"]
    assert [(part.first, part.last) for part in middle_segments] == [(25, 30), (60, 66)]
    # Mistral has done more of its way at the same relative depth
    assert found.departure.signed.value == pytest.approx(0.088, abs=0.001)
    assert found.path_similarity > found.proportional_similarity + 0.04
    assert found.match_disagreement < 0.06
