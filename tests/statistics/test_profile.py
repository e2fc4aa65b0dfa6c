import itertools
import math

import numpy as np
import pytest
from scipy import stats

from isodepth.errors import ParameterError
from isodepth.statistics import diagonal_test, generalized_diagonal, layer_matches
from isodepth.statistics.profile import (
    PROFILE,
    RANGES,
    DiagonalityProfile,
    diagonality_profile,
    profile_values,
)
from isodepth.statistics.resampling import RESAMPLING_METHODS, ResampledMatrices
from isodepth.statistics.ridge import RIDGE_PARTS, ridge_tests
from isodepth.statistics.sections import SECTIONS

SHAPES = [(13, 7), (7, 11), (19, 17), (6, 6)]
CHANCE = 0.04
LINEAR_CONTRASTS = tuple(
    name for name in PROFILE if name.startswith(("on_", "centered", "order", "ridge", "center_over"))
)
MIRRORED = {
    "rank_agreement_left": "rank_agreement_right",
    "center_over_right_first": "center_over_left_first",
    "center_over_right_last": "center_over_left_last",
}
"""Parts that exchange places with the models."""
LEVELS = ("mean", "on_mean", "off_mean")
"""Means of similarities, not differences of them."""
REVERSED = {
    "order_early": "order_late",
    "ridge_early": "ridge_late",
    "center_over_right_first": "center_over_right_last",
    "center_over_left_first": "center_over_left_last",
}
"""Parts that exchange places where both models are read from their end."""


def exchanged(names: dict[str, str], name: str) -> str:
    return (names | {other: one for one, other in names.items()}).get(name, name)


def matrix(rng: np.random.Generator, n_left: int, n_right: int) -> np.ndarray:
    return rng.uniform(CHANCE, 1, size=(n_left, n_right))


def profiled(values: np.ndarray, chance: float = CHANCE) -> dict[str, float]:
    """Return the parts of a matrix's profile as numbers."""
    profile = diagonality_profile(values, chance=chance, n_texts=97)
    return {name: profile[name].value for name in profile}


def ridge(n_left: int, n_right: int, width: float = 0.12) -> np.ndarray:
    left, right = middles(n_left)[:, np.newaxis], middles(n_right)
    return CHANCE + 0.5 * np.exp(-(((left - right) / width) ** 2))


def blocks(n_left: int, n_right: int, *bounds: float) -> np.ndarray:
    left, right = (np.searchsorted(bounds, middles(n)) for n in (n_left, n_right))
    return np.where(left[:, np.newaxis] == right, 0.5, CHANCE)


def middles(n_layers: int) -> np.ndarray:
    return (np.arange(n_layers) + 0.5) / n_layers


# each part against a slow, obvious version


def slow_profile(values: np.ndarray, chance: float) -> dict[str, float]:
    """Return all parts from loops over cells."""
    n_left, n_right = values.shape
    cells = [(i, j) for i in range(n_left) for j in range(n_right)]
    left, right = (
        [(i + 0.5) / n_left for i in range(n_left)],
        [(j + 0.5) / n_right for j in range(n_right)],
    )

    def mean(chosen: list[tuple[int, int]], of: np.ndarray = values) -> float:
        return math.fsum(of[cell] for cell in chosen) / len(chosen)

    def on(i: int, j: int) -> bool:
        return bool(generalized_diagonal(n_left, n_right)[i, j])

    on_cells = [cell for cell in cells if on(*cell)]
    off_cells = [cell for cell in cells if not on(*cell)]
    anti_cells = [(i, j) for i, j in cells if on(i, n_right - 1 - j)]
    found = {
        "mean": mean(cells),
        "on_mean": mean(on_cells),
        "off_mean": mean(off_cells),
        "on_minus_off": mean(on_cells) - mean(off_cells),
        "on_minus_anti": mean(on_cells) - mean(anti_cells),
    }
    centered = np.array(
        [
            [
                values[i, j]
                - mean([(i, other) for other in range(n_right)])
                - mean([(other, j) for other in range(n_left)])
                + mean(cells)
                for j in range(n_right)
            ]
            for i in range(n_left)
        ]
    )
    found["centered_ridge"] = mean(on_cells, centered) - mean(off_cells, centered)
    to_right = [max(range(n_right), key=lambda j: values[i, j]) for i in range(n_left)]
    to_left = [max(range(n_left), key=lambda i: values[i, j]) for j in range(n_right)]
    found["rank_agreement_left"] = stats.spearmanr(range(n_left), to_right).statistic
    found["rank_agreement_right"] = stats.spearmanr(range(n_right), to_left).statistic
    forth = [abs(left[i] - right[j]) for i, j in enumerate(to_right)]
    back = [abs(left[i] - right[j]) for j, i in enumerate(to_left)]
    found["depth_deviation"] = (np.mean(forth) + np.mean(back)) / 2
    distance = {(i, j): abs(left[i] - right[j]) for i, j in cells}
    nearest = [cell for cell in cells if distance[cell] <= 0.5 / min(n_left, n_right) + 1e-9]
    flank = [cell for cell in cells if 0.15 <= distance[cell] <= 0.35 and cell not in nearest]
    found["sharpness"] = (mean(nearest) - mean(flank)) / (mean(nearest) - chance)

    def gamma() -> float:
        concordant = discordant = 0.0
        for a, b in itertools.combinations(range(n_left), 2):
            for c in range(n_right):
                for d in range(n_right):
                    if c != d:
                        product = (values[a, c] - chance) * (values[b, d] - chance)
                        if c < d:
                            concordant += product
                        else:
                            discordant += product
        return (concordant - discordant) / (concordant + discordant)

    found["association"] = gamma()
    for third, name in enumerate(SECTIONS):
        rows = [i for i in range(n_left) if third / 3 < left[i] < (third + 1) / 3]
        columns = [j for j in range(n_right) if third / 3 < right[j] < (third + 1) / 3]
        inside = generalized_diagonal(len(rows), len(columns))
        part = {(i, j): inside[p, q] for p, i in enumerate(rows) for q, j in enumerate(columns)}
        found[f"ridge_{name}"] = mean([cell for cell in part if part[cell]]) - mean(
            [cell for cell in part if not part[cell]]
        )
    # tests/statistics/test_ridge.py has slow versions of the parts of a ridge
    of_ridge = {part.name: part.estimate for part in ridge_tests(values, chance=chance)}
    found |= of_ridge
    found["weakest_part"] = min(of_ridge.values()) / (found["mean"] - chance)
    return found


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("chance", [0.0, CHANCE])
def test_all_parts_agree_with_a_slow_version(
    rng: np.random.Generator, shape: tuple[int, int], chance: float
):
    values = matrix(rng, *shape)
    expected = slow_profile(values, chance)
    assert set(expected) == set(PROFILE)
    assert profiled(values, chance) == pytest.approx(expected, abs=1e-12)


def test_many_matrices_at_once_have_the_profiles_of_each(rng: np.random.Generator):
    many = rng.uniform(size=(2, 3, 13, 7))
    together = profile_values(many, chance=CHANCE)
    assert list(together) == list(PROFILE)
    for place in np.ndindex(2, 3):
        one = {name: float(together[name][place]) for name in together}
        assert one == pytest.approx(profiled(many[place]), abs=1e-12)


def test_single_precision_is_enough_for_resamples(rng: np.random.Generator):
    many = rng.uniform(size=(3, 31, 29))
    exact, rounded = (
        profile_values(values, chance=CHANCE) for values in (many, many.astype(np.float32))
    )
    for name, values in exact.items():
        np.testing.assert_allclose(rounded[name], values, atol=2e-5, err_msg=name)


def test_the_contrast_and_the_matches_are_those_of_the_other_tests(rng: np.random.Generator):
    values = matrix(rng, 13, 7)
    found, matches = profiled(values), layer_matches(values)
    assert found["on_minus_off"] == pytest.approx(diagonal_test(values).difference)
    assert found["rank_agreement_left"] == pytest.approx(matches.left_rank_correlation)
    assert found["rank_agreement_right"] == pytest.approx(matches.right_rank_correlation)


# exact values


def test_an_identity_matrix_is_as_diagonal_as_can_be():
    found = profiled(np.eye(7), chance=0.0)
    assert found == pytest.approx(
        dict.fromkeys(PROFILE, 1.0)
        | {
            "mean": 1 / 7,
            "off_mean": 0.0,
            "depth_deviation": 0.0,
            "on_minus_anti": 6 / 7,  # they cross in one cell
            # three of nine cells of the center, none of the cells to the ends
            **{name: 1 / 3 for name in PROFILE if name.startswith("center_over")},
            # windows are wider than a layer, and share some
            **{name: found[name] for name in PROFILE if name.startswith("order")},
            "weakest_part": 7 / 3,
        }
    )
    assert 1 / 3 < found["order_early"] == pytest.approx(found["order_late"])
    assert found["order_early"] < found["order_middle"] < 1


def test_the_parts_of_a_table_of_two_by_two():
    found = profiled(np.array([[0.5, 0.1], [0.2, 0.4]]), chance=0.0)
    assert found == pytest.approx(
        {
            "mean": 0.3,
            "on_mean": 0.45,
            "off_mean": 0.15,
            "on_minus_off": 0.3,
            "on_minus_anti": 0.3,
            "centered_ridge": 0.3,
            "rank_agreement_left": 1.0,
            "rank_agreement_right": 1.0,
            "depth_deviation": 0.0,
            # (0.5 x 0.4 - 0.1 x 0.2) over their sum: Yule's Q
            "association": 0.18 / 0.22,
        }
    )


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1)])
def test_of_one_layer_there_is_only_the_mean(shape: tuple[int, int]):
    assert profiled(np.full(shape, 0.3)) == {"mean": pytest.approx(0.3)}


@pytest.mark.parametrize("shape", [(5, 7), (7, 5), (4, 4), (2, 31)])
def test_with_fewer_than_two_layers_in_a_third_there_are_no_sections(
    rng: np.random.Generator, shape: tuple[int, int]
):
    found = profiled(matrix(rng, *shape))
    assert {"on_minus_off", "association"} < set(found)
    assert not any(name.endswith(("early", "middle", "late")) for name in found)
    assert not any(name.startswith("center_over") for name in found)


def test_of_equal_layers_nothing_is_diagonal():
    found = profiled(np.full((13, 7), 0.3))
    rest = {name: 0.0 for name in PROFILE if name not in (*LEVELS, "depth_deviation")}
    levels = dict.fromkeys(LEVELS, 0.3)
    assert found == pytest.approx(levels | {"depth_deviation": found["depth_deviation"]} | rest)


def test_without_similarity_beyond_chance_nothing_is_divided_by_zero():
    found = profiled(np.zeros((13, 7)), chance=0.0)
    assert found["sharpness"] == found["association"] == found["weakest_part"] == 0.0


def test_association_is_never_beyond_one_whatever_lies_below_chance(rng: np.random.Generator):
    many = CHANCE + rng.normal(0, 0.01, size=(211, 7, 5))
    found = profile_values(many, chance=CHANCE)["association"]
    assert np.abs(found).max() == 1.0
    assert ((found > -1) & (found < 1) & (found != 0)).any()
    # all that is left is less similar than chance would have it
    reversed_sign = profiled(CHANCE - 0.02 * np.diag([1.0, 0.0, 1.0]) + 0.02 * np.eye(3)[1])
    assert reversed_sign["association"] == 0.0


# invariances


@pytest.mark.parametrize("shape", SHAPES)
def test_a_brighter_layer_leaves_the_centered_ridge_as_it_is(
    rng: np.random.Generator, shape: tuple[int, int]
):
    values = matrix(rng, *shape)
    brighter = values.copy()
    brighter[2] += 0.7
    brighter[:, 5] += 0.3
    before, after = profiled(values), profiled(brighter)
    assert after["centered_ridge"] == pytest.approx(before["centered_ridge"], abs=1e-12)
    if shape[0] != shape[1]:  # of equally many layers, each has one cell on the diagonal
        assert abs(after["on_minus_off"] - before["on_minus_off"]) > 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_layers_of_any_brightness_without_an_order_have_no_association(
    rng: np.random.Generator, shape: tuple[int, int]
):
    left, right = (rng.uniform(0.1, 1, size=number) for number in shape)
    found = profiled(CHANCE + np.outer(left, right))
    assert found["association"] == pytest.approx(0, abs=1e-12)
    assert all(found[f"order_{section}"] <= 1e-12 for section in SECTIONS)
    assert found["weakest_part"] <= 1e-12
    # which centering does not see through
    assert abs(found["centered_ridge"]) > 1e-4


@pytest.mark.parametrize("shape", SHAPES)
def test_all_cells_brighter_by_the_same_change_no_contrast(
    rng: np.random.Generator, shape: tuple[int, int]
):
    values = matrix(rng, *shape)
    before, after = profiled(values), profiled(values + 0.2, chance=CHANCE + 0.2)
    for name in LEVELS:
        assert after[name] == pytest.approx(before[name] + 0.2)
    for name in set(PROFILE) - set(LEVELS):
        assert after[name] == pytest.approx(before[name], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_brightness_beyond_chance_scales_contrasts_and_nothing_else(
    rng: np.random.Generator, shape: tuple[int, int]
):
    values = matrix(rng, *shape)
    before, after = profiled(values), profiled(CHANCE + (values - CHANCE) / 3)
    for name in set(PROFILE) - set(LEVELS):
        factor = 3 if name in LINEAR_CONTRASTS else 1
        assert after[name] == pytest.approx(before[name] / factor, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_models_can_be_exchanged(rng: np.random.Generator, shape: tuple[int, int]):
    values = matrix(rng, *shape)
    forth, back = profiled(values), profiled(values.T.copy())
    for name in PROFILE:
        assert back[exchanged(MIRRORED, name)] == pytest.approx(forth[name], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_models_can_be_read_from_their_ends(rng: np.random.Generator, shape: tuple[int, int]):
    values = matrix(rng, *shape)
    forth, back = profiled(values), profiled(values[::-1, ::-1].copy())
    for name in PROFILE:
        assert back[exchanged(REVERSED, name)] == pytest.approx(forth[name], abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_model_read_from_its_end_turns_signs(rng: np.random.Generator, shape: tuple[int, int]):
    values = matrix(rng, *shape)
    forth, back = profiled(values), profiled(values[:, ::-1].copy())
    turned = ("on_minus_anti", "rank_agreement_left", "rank_agreement_right", "association")
    for name in turned:
        assert back[name] == pytest.approx(-forth[name], abs=1e-12)


# what the parts tell apart


@pytest.mark.parametrize("shape", [(23, 17), (7, 11), (12, 12)])
def test_a_ridge_has_all_parts(shape: tuple[int, int]):
    found = profiled(ridge(*shape))
    assert all(found[name] > 0 for name in PROFILE if name != "depth_deviation")
    assert min(found["rank_agreement_left"], found["rank_agreement_right"]) > 0.95
    assert found["depth_deviation"] < 0.06
    assert found["sharpness"] > 0.5


@pytest.mark.parametrize("bounds", [(0.5,), (0.4, 0.7), (1 / 3, 2 / 3)])
def test_blocks_leave_a_third_without_order(bounds: tuple[float, ...]):
    found = profiled(blocks(23, 17, *bounds))
    assert found["on_minus_off"] > 0.1
    assert found["centered_ridge"] > 0.1
    assert found["association"] > 0.5
    assert min(found[f"order_{section}"] for section in SECTIONS) <= 1e-12
    assert found["weakest_part"] <= 1e-12


def test_bright_corners_leave_no_center():
    corners = blocks(23, 17, 0.3, 0.7)
    corners[7:16, 5:12] = CHANCE
    found = profiled(corners)
    assert found["on_minus_off"] > 0.1
    assert all(found[name] <= 1e-12 for name in PROFILE if name.startswith("center_over"))


def test_a_layer_that_is_similar_to_all_adds_no_order():
    values = np.full((23, 17), CHANCE)
    values[:, 8] = 0.5
    found = profiled(values)
    assert found["association"] == 0
    assert all(found[f"order_{section}"] <= 1e-12 for section in SECTIONS)
    assert found["rank_agreement_left"] == 0.0


def test_narrow_ridges_are_sharper():
    sharpness = [profiled(ridge(23, 17, width))["sharpness"] for width in (0.6, 0.3, 0.15, 0.05)]
    assert sharpness == sorted(sharpness)
    assert sharpness[-1] > 0.99


# intervals


def resampled(
    rng: np.random.Generator, observed: np.ndarray, sd: float = 0.01, method: str = "two-way"
) -> ResampledMatrices:
    noise = rng.normal(0, sd, size=(211, *observed.shape))
    return ResampledMatrices(
        values=(observed + noise).astype(np.float32),
        observed=observed,
        n_texts=97,
        k=5,
        method=method,
        seed=0,
    )


def with_intervals(
    rng: np.random.Generator, values: np.ndarray, *, sd: float = 0.01, **options
) -> DiagonalityProfile:
    resamples = resampled(rng, values, sd)
    return diagonality_profile(values, chance=CHANCE, n_texts=97, resampled=resamples, **options)


def test_without_resamples_there_are_no_intervals():
    profile = diagonality_profile(ridge(13, 7), chance=CHANCE, n_texts=97)
    assert [part.p_value for part in profile.ridge] == [None] * len(RIDGE_PARTS)
    for name in profile:
        estimate = profile[name]
        assert (estimate.low, estimate.high, estimate.level) == (None, None, None)
        assert (estimate.n, estimate.resampled) == (97, None)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_intervals_are_normal_by_the_scatter_of_resamples(rng: np.random.Generator, level: float):
    values = ridge(13, 7)
    resamples = resampled(rng, values)
    profile = diagonality_profile(values, chance=CHANCE, n_texts=97, resampled=resamples, level=level)
    scattered = profile_values(resamples.values, chance=CHANCE)
    plain = profiled(values)
    assert list(profile) == list(PROFILE)
    for name in profile:
        estimate = profile[name]
        assert estimate.value == plain[name]
        reach = stats.norm.isf((1 - level) / 2) * scattered[name].std()
        lowest, highest = RANGES.get(name, (-np.inf, np.inf))
        assert estimate.low == pytest.approx(max(plain[name] - reach, lowest), abs=1e-6)
        assert estimate.high == pytest.approx(min(plain[name] + reach, highest), abs=1e-6)
        assert estimate.low <= estimate.value <= estimate.high
        assert (estimate.n, estimate.resampled, estimate.level) == (97, "texts", level)


def test_contrasts_of_means_scatter_as_cells_do(rng: np.random.Generator):
    values = ridge(13, 7)
    profile = with_intervals(rng, values, sd=0.01)
    on = generalized_diagonal(13, 7)
    expected = 0.01 * math.sqrt(1 / on.sum() + 1 / (~on).sum())
    # of 211 resamples, a standard deviation has an error of 5 %
    for name, sd in (("on_minus_off", expected), ("mean", 0.01 / math.sqrt(91))):
        reach = profile[name].high - profile[name].value
        assert reach / stats.norm.isf(0.025) == pytest.approx(sd, rel=0.2)


def test_intervals_end_where_numbers_can_not_lie_beyond(rng: np.random.Generator):
    profile = with_intervals(rng, ridge(13, 7), sd=0.2)
    assert profile["rank_agreement_left"].high == 1.0
    assert profile["depth_deviation"].low == 0.0
    for name, (lowest, highest) in RANGES.items():
        assert lowest <= profile[name].low <= profile[name].value <= profile[name].high <= highest
    low = with_intervals(rng, np.full((13, 7), 0.001) + 0.001 * ridge(13, 7), sd=0.2)
    assert low["mean"].low == 0.0


def test_wider_intervals_hold_the_truth_more_often(rng: np.random.Generator):
    values = ridge(13, 7)
    wide, narrow = (
        with_intervals(np.random.default_rng(7), values, level=level)["association"]
        for level in (0.99, 0.5)
    )
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


@pytest.mark.parametrize("method", RESAMPLING_METHODS)
def test_the_method_is_told_with_what_it_leaves_out(rng: np.random.Generator, method: str):
    values = ridge(13, 7)
    profile = diagonality_profile(values, n_texts=97, resampled=resampled(rng, values, method=method))
    assert profile["mean"].method == (
        "normal interval by the standard deviation of 211 resamples; " + RESAMPLING_METHODS[method]
    )


def test_the_parts_of_a_ridge_come_with_their_tests(rng: np.random.Generator):
    values = ridge(13, 7)
    resamples = resampled(rng, values)
    profile = diagonality_profile(values, chance=CHANCE, n_texts=97, resampled=resamples, level=0.9)
    assert profile.ridge == ridge_tests(values, chance=CHANCE, resampled=resamples, level=0.9)
    for part in profile.ridge:
        assert part.estimate == pytest.approx(profile[part.name].value, abs=1e-12)
    # too few layers have none
    assert diagonality_profile(values[:5], chance=CHANCE, n_texts=97).ridge == ()


def test_it_shows_estimates_and_intervals(rng: np.random.Generator):
    profile = with_intervals(rng, ridge(13, 7))
    one = profile["on_minus_off"]
    assert str(one) == f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]"
    assert f"on_minus_off {one}" in repr(profile)
    assert "sharpness" in profile
    assert "blurriness" not in profile


# errors


def test_a_matrix_with_holes_is_refused():
    values = ridge(13, 7)
    for hole in (np.nan, np.inf):
        values[3, 2] = hole
        with pytest.raises(
            ParameterError, match="values must be finite; the matrix holds NaN or infinity"
        ):
            diagonality_profile(values, n_texts=97)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_an_impossible_level_is_refused(level: float):
    with pytest.raises(ParameterError, match=f"the level must lie between 0 and 1; got {level}"):
        diagonality_profile(ridge(13, 7), n_texts=97, level=level)


@pytest.mark.parametrize(("shape", "n_texts"), [((7, 13), 97), ((13, 7), 101), ((7, 13), 1009)])
def test_resamples_of_another_pair_are_refused(
    rng: np.random.Generator, shape: tuple[int, int], n_texts: int
):
    resamples = resampled(rng, ridge(*shape))
    with pytest.raises(ParameterError) as raised:
        diagonality_profile(ridge(13, 7), n_texts=n_texts, resampled=resamples)
    assert raised.value.message == (
        f"the resampled matrices have {shape} layers and 97 texts; expected (13, 7) and {n_texts:,}"
    )
