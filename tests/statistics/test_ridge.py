import re
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from isodepth.statistics.resampling import ResampledMatrices
from isodepth.statistics.ridge import NEGLIGIBLE, RIDGE_PARTS, PartTest, ridge_sizes, ridge_tests

SHAPES = [(13, 7), (7, 11), (19, 17), (6, 6)]
ORDERS = tuple(name for name in RIDGE_PARTS if name.startswith("order"))
CENTERS = tuple(name for name in RIDGE_PARTS if name.startswith("center"))
CHANCE = 0.04
SIDES = {"left": "right", "right": "left"}
ROUNDING = 1e-12
"""Weights of windows are multiples of 1 / layers, which are not exact."""


def parts_of(values: np.ndarray, **options) -> dict[str, PartTest]:
    return {part.name: part for part in ridge_tests(values, **{"chance": CHANCE} | options)}


def estimates_of(values: np.ndarray) -> dict[str, float]:
    return {name: part.estimate for name, part in parts_of(values).items()}


def middles(n_layers: int) -> np.ndarray:
    return (np.arange(n_layers) + 0.5) / n_layers


def ridge(
    n_left: int,
    n_right: int,
    match: Callable[[np.ndarray], np.ndarray] = lambda depths: depths,
    width: float = 0.12,
) -> np.ndarray:
    """Return a ridge where left layers are most similar to those at depth `match` on the right."""
    distance = match(middles(n_left))[:, np.newaxis] - middles(n_right)
    return CHANCE + 0.4 * np.exp(-0.5 * (distance / width) ** 2)


def blocks(
    n_left: int, n_right: int, bounds: list[float], brightness: np.ndarray | None = None
) -> np.ndarray:
    left, right = (np.searchsorted(bounds, middles(number)) for number in (n_left, n_right))
    bright = np.full(len(bounds) + 1, 0.5) if brightness is None else brightness
    return np.where(left[:, np.newaxis] == right, bright[right], CHANCE)


def resampled(
    rng: np.random.Generator, observed: np.ndarray, sd: float = 0.02, n_resamples: int = 29
) -> ResampledMatrices:
    noise = rng.normal(0, sd, size=(n_resamples, *observed.shape))
    return ResampledMatrices(
        values=(observed + noise).astype(np.float32),
        observed=observed,
        n_texts=97,
        k=5,
        method="two-way",
        seed=0,
    )


# each part against a slow, obvious version


def in_window(n_layers: int, start: Fraction, stop: Fraction) -> list[float]:
    """Return which share of a window of depth each layer takes up."""
    shares = []
    for layer in range(n_layers):
        top, bottom = Fraction(layer, n_layers), Fraction(layer + 1, n_layers)
        shares.append(float(max(Fraction(0), min(bottom, stop) - max(top, start)) / (stop - start)))
    return shares


def mean_over(values: np.ndarray, rows: list[float], columns: list[float]) -> float:
    return sum(
        row * column * values[i, j]
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if row and column
    )


def slow_order(values: np.ndarray, third: int) -> list[tuple[float, float]]:
    """Return both preferences within a third, at each place that is looked at."""
    found = []
    for turned in (values, values.T):
        n_rows, n_columns = turned.shape
        start, ninth = Fraction(third, 3), Fraction(1, 9)
        shallower = in_window(n_rows, start, start + ninth)
        deeper = in_window(n_rows, start + 2 * ninth, start + 3 * ninth)
        for twelfths in range(-2, 3):
            # two windows of a sixth, a sixth between them, around the middle of the third
            middle = start + Fraction(1, 6) + Fraction(twelfths, 12)
            # at the first and the last layers they come closer, to a twelfth between them
            first, last = max(0, middle - Fraction(1, 4)), min(1, middle + Fraction(1, 4))
            if last - first < Fraction(5, 12):
                continue
            ahead = in_window(n_columns, first, first + Fraction(1, 6))
            behind = in_window(n_columns, last - Fraction(1, 6), last)
            found.append(
                (
                    mean_over(turned, shallower, ahead) - mean_over(turned, shallower, behind),
                    mean_over(turned, deeper, behind) - mean_over(turned, deeper, ahead),
                )
            )
    return found


def slow_contrasts(values: np.ndarray) -> dict[str, list[tuple[float, ...]]]:
    """Return all contrasts of each part: one tuple a place, all of whose numbers must be above 0."""
    left, right = (middles(number) for number in values.shape)

    def between(rows: tuple[float, float], columns: tuple[float, float]) -> float:
        cells = [
            values[i, j]
            for i, depth in enumerate(left)
            for j, other in enumerate(right)
            if rows[0] < depth < rows[1] and columns[0] < other < columns[1]
        ]
        return sum(cells) / len(cells)

    first, center, last = (0, 0.2), (0.3, 0.7), (0.8, 1)
    centers = between(center, center)
    return {
        "order_early": slow_order(values, 0),
        "order_middle": slow_order(values, 1),
        "order_late": slow_order(values, 2),
        "center_over_right_first": [(centers - between(center, first),)],
        "center_over_right_last": [(centers - between(center, last),)],
        "center_over_left_first": [(centers - between(first, center),)],
        "center_over_left_last": [(centers - between(last, center),)],
    }


def largest_smallest(places: list[tuple[float, ...]]) -> float:
    return max(min(preferences) for preferences in places)


@pytest.mark.parametrize("shape", SHAPES)
def test_all_parts_agree_with_a_slow_version(rng: np.random.Generator, shape: tuple[int, int]):
    for values in (rng.uniform(size=shape), ridge(*shape)):
        expected = {name: largest_smallest(places) for name, places in slow_contrasts(values).items()}
        assert list(expected) == list(RIDGE_PARTS)
        assert estimates_of(values) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("shape", [(13, 7), (7, 11)])
def test_p_values_and_limits_agree_with_a_slow_version(
    rng: np.random.Generator, shape: tuple[int, int]
):
    values = rng.uniform(size=shape)
    resamples = resampled(rng, values, sd=0.2)
    many = [slow_contrasts(sample) for sample in resamples.values.astype(np.float64)]
    found = parts_of(values, resampled=resamples, level=0.9)
    reach = stats.norm.isf(0.1 / 7)
    assert len({part.p_value for part in found.values()}) > 4
    for name, places in slow_contrasts(values).items():
        sizes = np.array(places)
        errors = np.array([sample[name] for sample in many]).std(axis=0)
        # at every place both preferences are needed, hence the larger p-value; the best place counts
        smallest = min(max(row) for row in stats.norm.sf(sizes / errors))
        assert found[name].p_value == pytest.approx(min(1.0, len(places) * smallest), rel=1e-5)
        limits = [tuple(row) for row in sizes + reach * errors]
        assert found[name].upper == pytest.approx(largest_smallest(limits), rel=1e-5)


def test_the_places_looked_at_are_those_within_the_other_model():
    numbers = [len(places) for places in slow_contrasts(np.zeros((13, 7))).values()]
    assert numbers == [6, 10, 6, 1, 1, 1, 1]


def test_many_matrices_at_once_have_the_sizes_of_each(rng: np.random.Generator):
    many = rng.uniform(size=(3, 13, 7))
    for precision, tolerance in ((np.float64, ROUNDING), (np.float32, 1e-6)):
        together = ridge_sizes(many.astype(precision))
        assert list(together) == list(RIDGE_PARTS)
        for place, one in enumerate(many):
            sizes = {name: float(values[place]) for name, values in together.items()}
            assert sizes == pytest.approx(estimates_of(one), abs=tolerance)


# invariances


@pytest.mark.parametrize("shape", SHAPES)
def test_models_can_be_exchanged(rng: np.random.Generator, shape: tuple[int, int]):
    values = rng.uniform(size=shape)
    resamples = resampled(rng, values)
    turned = ResampledMatrices(
        values=resamples.values.transpose(0, 2, 1).copy(),
        observed=values.T.copy(),
        n_texts=97,
        k=5,
        method="two-way",
        seed=0,
    )
    forth = parts_of(values, resampled=resamples)
    back = parts_of(values.T.copy(), resampled=turned)
    for name, part in forth.items():
        other = back[re.sub("left|right", lambda side: SIDES[side[0]], name)]
        for number in ("estimate", "p_value", "upper", "negligible"):
            assert getattr(other, number) == pytest.approx(getattr(part, number), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_models_can_be_read_from_their_ends(rng: np.random.Generator, shape: tuple[int, int]):
    values = rng.uniform(size=shape)
    ends = {"early": "late", "late": "early", "first": "last", "last": "first", "middle": "middle"}
    back = estimates_of(values[::-1, ::-1].copy())
    for name, estimate in estimates_of(values).items():
        start, _, end = name.rpartition("_")
        assert back[f"{start}_{ends[end]}"] == pytest.approx(estimate, abs=ROUNDING)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_are_differences_of_similarities(rng: np.random.Generator, shape: tuple[int, int]):
    values = rng.uniform(size=shape)
    before = estimates_of(values)
    scaled = {name: estimate / 3 for name, estimate in before.items()}
    assert estimates_of(0.2 + values) == pytest.approx(before, abs=ROUNDING)
    assert estimates_of(values / 3) == pytest.approx(scaled, abs=ROUNDING)


def test_a_brighter_layer_does_not_change_its_own_preferences(rng: np.random.Generator):
    # added to a whole row, a constant cancels where the rows are compared over columns, and counts
    # where the columns are: the best of both places can only be as good or better
    values = ridge(13, 11)
    by_rows = [slow_order(values, third)[: len(slow_order(values, third)) // 2] for third in range(3)]
    brighter = values.copy()
    brighter[3] += 0.7
    found = estimates_of(brighter)
    for name, places in zip(ORDERS, by_rows, strict=True):
        assert found[name] >= largest_smallest(places) - ROUNDING


# what has a ridge


@pytest.mark.parametrize("shape", [(23, 17), (7, 11), (13, 13), (79, 19)])
@pytest.mark.parametrize(
    "match",
    [
        lambda depths: depths,
        lambda depths: depths**1.5,
        lambda depths: depths + 1 / 12,
        lambda depths: depths - 1 / 8,
        lambda depths: 0.8 * depths + 0.1,
        lambda depths: depths - 0.08 * np.sin(2 * np.pi * depths),
    ],
    ids=["proportional", "stretched", "shifted down", "shifted up", "squeezed", "slow ends"],
)
def test_a_ridge_near_proportional_depth_has_all_parts(
    shape: tuple[int, int], match: Callable[[np.ndarray], np.ndarray]
):
    for values in (ridge(*shape, match), ridge(*shape, match).T.copy()):
        found = parts_of(values)
        assert all(part.estimate > part.negligible for part in found.values())


@pytest.mark.parametrize("n_layers", [6, 7, 9, 12, 13, 24, 31])
def test_layers_that_match_one_to_one_have_all_parts(n_layers: int):
    # thirds of 6, 9, 12 layers end where windows do: no preference may be a tie
    found = parts_of(np.eye(n_layers), chance=0.0)
    assert all(part.estimate > part.negligible for part in found.values())


@pytest.mark.parametrize(
    "match",
    [np.square, lambda depths: depths + 1 / 6, lambda depths: depths - 1 / 6],
    ids=["stretched", "shifted down", "shifted up"],
)
def test_a_ridge_farther_off_has_order_in_each_third(match: Callable[[np.ndarray], np.ndarray]):
    for width in (0.06, 0.12, 0.25):
        for values in (ridge(23, 17, match, width), ridge(23, 17, match, width).T.copy()):
            found = parts_of(values)
            assert all(found[name].estimate > found[name].negligible for name in ORDERS)


def test_a_ridge_too_far_off_has_none():
    # the documented limit: looked for up to a sixth of the depth off
    found = parts_of(ridge(23, 17, lambda depths: depths + 0.35))
    assert all(found[name].estimate < 0 for name in ORDERS)


def test_four_blocks_in_order_count_as_a_ridge():
    found = parts_of(blocks(23, 17, [0.25, 0.5, 0.75]))
    assert all(part.estimate > part.negligible for part in found.values())


# what has none


def test_blocks_have_no_order_in_a_third_without_a_boundary(rng: np.random.Generator):
    tried = 0
    for _ in range(97):
        shape = tuple(int(number) for number in rng.choice([7, 11, 13, 17, 23, 31, 79], 2))
        bounds = sorted(rng.uniform(size=rng.integers(1, 4)))
        found = estimates_of(blocks(*shape, bounds, rng.uniform(0.1, 1, size=len(bounds) + 1)))
        for third, name in enumerate(ORDERS):
            # no layer that reaches into this third lies on the other side of a bound
            reach = [
                [
                    np.searchsorted(bounds, depth)
                    for depth in middles(number)
                    if touches(depth, number, third)
                ]
                for number in shape
            ]
            if all(len(set(of_side)) == 1 for of_side in reach):
                tried += 1
                assert found[name] <= ROUNDING
    assert tried > 50


def touches(depth: float, n_layers: int, third: int) -> bool:
    half = 0.5 / n_layers
    return depth + half > third / 3 and depth - half < (third + 1) / 3


@pytest.mark.parametrize("power", [0.3, 1.0, 2.5])
def test_layers_of_any_brightness_have_no_order(rng: np.random.Generator, power: float):
    # rank one: however rough, every layer prefers what every other prefers
    for shape in SHAPES:
        for _ in range(11):
            left, right = (rng.uniform(0, 2, size=number) for number in shape)
            found = estimates_of(CHANCE + np.outer(left, right) ** power)
            assert all(found[name] <= ROUNDING for name in ORDERS)


SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "convex": lambda product: np.exp(2 * product) - 1,
    "concave": lambda product: 1 - np.exp(-product),
    "step": lambda product: 1 / (1 + np.exp(-8 * (product - 1))),
}
"""Monotone functions of the product of two brightnesses."""


@pytest.mark.parametrize("scale", SCALES)
def test_layers_that_brighten_or_dim_with_depth_have_no_order_on_any_scale(
    rng: np.random.Generator, scale: str
):
    for shape in SHAPES:
        for _ in range(23):
            left, right = (
                np.sort(rng.uniform(0.05, 2, size=number))[:: rng.choice([-1, 1])] for number in shape
            )
            found = estimates_of(CHANCE + SCALES[scale](np.outer(left, right)))
            assert all(found[name] <= ROUNDING for name in ORDERS)


@pytest.mark.parametrize("scale", SCALES)
def test_rough_brightness_on_a_bent_scale_never_has_all_parts(rng: np.random.Generator, scale: str):
    # a window of several layers of mixed brightness is a mean of bent numbers: now and then a
    # preference turns over, as between layers that pass a step and layers that do not
    turned = 0
    for _ in range(101):
        left, right = (rng.uniform(0.05, 2, size=number) for number in (23, 17))
        found = parts_of(CHANCE + SCALES[scale](np.outer(left, right)))
        turned += sum(found[name].estimate > found[name].negligible for name in ORDERS)
        assert any(part.estimate < part.negligible for part in found.values())
    if scale != "step":
        assert turned <= 0.02 * 3 * 101


def test_equal_layers_have_no_parts():
    for shape in SHAPES:
        assert estimates_of(np.full(shape, 0.6)) == pytest.approx(dict.fromkeys(RIDGE_PARTS, 0.0))


def test_a_mirrored_ridge_has_no_order_and_bright_ends_no_center():
    mirrored = estimates_of(ridge(23, 17)[:, ::-1].copy())
    assert all(mirrored[name] < 0 for name in ORDERS)
    ends = [np.abs(middles(number) - 0.5) for number in (23, 17)]
    assert all(estimates_of(CHANCE + np.outer(*ends))[name] < 0 for name in CENTERS)


# tests


def test_without_resamples_there_are_estimates_only():
    for part in ridge_tests(ridge(13, 7), chance=CHANCE):
        assert (part.p_value, part.upper) == (None, None)


def test_negligible_is_a_share_of_the_mean_similarity_beyond_chance():
    values = ridge(13, 7)
    for chance in (0.0, CHANCE):
        for part in ridge_tests(values, chance=chance):
            assert part.negligible == pytest.approx(NEGLIGIBLE * (values.mean() - chance))
    # where all is less similar than chance, nothing is too small
    assert {part.negligible for part in ridge_tests(values, chance=0.9)} == {0.0}


def test_p_values_fall_with_the_size_of_a_part(rng: np.random.Generator):
    shown = [
        parts_of(values, resampled=resampled(np.random.default_rng(7), values, sd=0.01))
        for values in (ridge(13, 7)[:, ::-1].copy(), np.full((13, 7), 0.3), ridge(13, 7))
    ]
    for name in ORDERS:
        mirrored, flat, along = (parts[name].p_value for parts in shown)
        assert mirrored == 1.0
        assert flat > 0.05
        assert along < 1e-3
    for parts in shown:
        for part in parts.values():
            assert 0 <= part.p_value <= 1
            assert part.upper > part.estimate


def test_limits_widen_with_the_level(rng: np.random.Generator):
    values = ridge(13, 7)
    resamples = resampled(rng, values)
    uppers = [
        [part.upper for part in ridge_tests(values, chance=CHANCE, resampled=resamples, level=level)]
        for level in (0.5, 0.95, 0.999)
    ]
    assert (np.diff(uppers, axis=0) > 0).all()


def test_without_any_scatter_the_estimate_decides():
    for values, p_value in ((ridge(13, 7), 0.0), (ridge(13, 7)[:, ::-1].copy(), 1.0)):
        same = ResampledMatrices(
            values=np.zeros((5, 13, 7), dtype=np.float32),
            observed=values,
            n_texts=97,
            k=5,
            method="two-way",
            seed=0,
        )
        found = parts_of(values, resampled=same)
        for name in ORDERS:
            assert found[name].p_value == p_value
            assert found[name].upper == found[name].estimate


def test_under_noise_alone_no_part_is_shown_too_often(rng: np.random.Generator):
    shown = np.zeros(len(RIDGE_PARTS))
    for _ in range(400):
        noisy = 0.3 + rng.normal(0, 0.02, size=(13, 7))
        found = ridge_tests(noisy, chance=CHANCE, resampled=resampled(rng, noisy))
        shown += [part.p_value <= 0.05 for part in found]
    # at 5 %, more than 34 of 400 have a probability of 0.001; of order, two tests must both be passed
    assert shown.max() <= 34
    assert shown[:3].max() <= 16
    assert shown[3:].min() >= 6


def test_limits_hold_the_truth_together(rng: np.random.Generator):
    truth = ridge(13, 7, width=0.4)
    exact = estimates_of(truth)
    held = 0
    for _ in range(400):
        noisy = truth + rng.normal(0, 0.02, size=truth.shape)
        found = parts_of(noisy, resampled=resampled(rng, noisy))
        held += all(part.upper >= exact[name] for name, part in found.items())
    # 95 % by design; errors are those of 29 resamples
    assert held >= 0.91 * 400
