import numpy as np
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from isodepth.errors import ActivationsError, ParameterError
from isodepth.preprocessing import STEPS, Preprocessing

TEXTS, UNITS = 43, 17
WIDE = (17, 43)
SHAPES = [(TEXTS, UNITS), WIDE]
FOLLOW_SCALE = ["center", "remove_components(3)", "clip(0.9)", "drop_units(0,5)", "drop_largest(2)"]
IGNORE_SCALE = ["standardize", "whiten", "unit_norm"]
ALL = [*FOLLOW_SCALE, *IGNORE_SCALE]


@pytest.fixture(params=SHAPES, ids=["more texts", "more units"])
def layer(request: pytest.FixtureRequest, rng: np.random.Generator) -> np.ndarray:
    """Units of very different size, correlated, and far from the origin, as a model's are."""
    n_texts, n_units = request.param
    mixed = rng.normal(size=(n_texts, n_units)) @ rng.normal(size=(n_units, n_units))
    return mixed * 10.0 ** rng.uniform(-2, 2, n_units) + 100 * rng.normal(size=n_units)


def after(written: str, layer: np.ndarray) -> np.ndarray:
    return Preprocessing.of(written)(layer)


def cosines(layer: np.ndarray) -> np.ndarray:
    unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
    return unit @ unit.T


# all steps


def test_every_step_is_tested_here():
    assert {written.split("(")[0] for written in ALL} == set(STEPS)


@pytest.mark.parametrize("written", ALL)
def test_steps_do_not_depend_on_the_order_of_texts(
    layer: np.ndarray, written: str, rng: np.random.Generator
):
    order = rng.permutation(len(layer))
    np.testing.assert_allclose(after(written, layer[order]), after(written, layer)[order], atol=1e-8)


@pytest.mark.parametrize("written", ALL)
def test_steps_give_float64_and_leave_their_input_alone(layer: np.ndarray, written: str):
    given = layer.astype(np.float32)
    before = given.copy()
    given.flags.writeable = False
    found = after(written, given)
    assert found.dtype == np.float64
    assert len(found) == len(given)
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(found, after(written, before))


@pytest.mark.parametrize("written", ALL)
@pytest.mark.parametrize("exponent", [-960, -1, 1, 960])
def test_the_scale_of_a_layer_is_kept_or_ignored(layer: np.ndarray, written: str, exponent: int):
    expected = after(written, layer)
    if written in FOLLOW_SCALE:
        expected = np.ldexp(expected, exponent)
    np.testing.assert_array_equal(after(written, np.ldexp(layer, exponent)), expected)


@pytest.mark.parametrize("written", ["center", "standardize", "clip(0.9)", "unit_norm"])
def test_doing_it_twice_changes_nothing_more(layer: np.ndarray, written: str):
    once = after(written, layer)
    tolerance = 1e-12 * np.abs(once).max()
    # the largest activations are equal after clipping, so that the quantile is where it was
    np.testing.assert_allclose(after(f"{written} + {written}", layer), once, rtol=0, atol=tolerance)


# center and standardize


def test_after_center_every_mean_is_zero_and_differences_are_as_before(layer: np.ndarray):
    centered = after("center", layer)
    assert np.abs(centered.mean(axis=0)).max() < 1e-11
    np.testing.assert_allclose(centered - centered[3], layer - layer[3], rtol=0, atol=1e-10)


def test_after_standardize_every_mean_is_zero_and_every_variance_one(layer: np.ndarray):
    standard = after("standardize", layer)
    assert np.abs(standard.mean(axis=0)).max() < 1e-11
    np.testing.assert_allclose(standard.var(axis=0), 1, rtol=1e-12)


def test_standardize_ignores_shift_and_scale_of_single_units(
    layer: np.ndarray, rng: np.random.Generator
):
    n_units = layer.shape[1]
    moved = layer * rng.uniform(0.5, 2, n_units) + rng.normal(size=n_units)
    np.testing.assert_allclose(
        after("standardize", moved), after("standardize", layer), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("written", ["center", "standardize", "whiten"])
def test_units_that_do_not_vary_become_exactly_zero(layer: np.ndarray, written: str):
    # 0.1 has no finite binary fraction, so a mean of it is rounded
    layer[:, [2, 5]] = [0.1, 1e9 / 3]
    found = after(written, layer)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, [2, 5]], 0, rtol=0, atol=1e-12)
    if written != "whiten":
        assert not found[:, [2, 5]].any()


@pytest.mark.parametrize("written", ["center", "standardize", "whiten", "remove_components(2)"])
def test_texts_that_are_all_the_same_become_zero(written: str):
    assert not after(written, np.full((11, 7), 0.1)).any()


# whiten


def test_whitening_shrinks_as_ledoit_and_wolf_do(layer: np.ndarray):
    layer = layer / layer.std(axis=0)
    expected = LedoitWolf(store_precision=True).fit(layer)
    assert 0 < expected.shrinkage_ < 1
    values, vectors = np.linalg.eigh(expected.covariance_)
    root = vectors / np.sqrt(values) @ vectors.T
    np.testing.assert_allclose(
        after("whiten", layer), (layer - layer.mean(axis=0)) @ root, rtol=0, atol=1e-8
    )


def test_whitened_variances_are_those_of_the_formula(layer: np.ndarray):
    layer = layer / layer.std(axis=0)
    shrinkage = LedoitWolf().fit(layer).shrinkage_
    variances = np.linalg.eigvalsh(np.cov(layer.T, bias=True))
    shrunk = (1 - shrinkage) * variances + shrinkage * variances.mean()
    white = after("whiten", layer)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(np.cov(white.T, bias=True)), variances / shrunk, rtol=0, atol=1e-9
    )


def test_with_many_texts_whitening_gives_every_direction_variance_one(rng: np.random.Generator):
    layer = rng.normal(size=(20011, 3)) @ rng.normal(size=(3, 3)) + 5
    white = after("whiten", layer)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(3), rtol=0, atol=0.02)


def test_with_fewer_texts_than_units_whitening_keeps_who_is_near(rng: np.random.Generator):
    groups = np.repeat(np.arange(5), 11)
    layer = 3 * rng.normal(size=(5, 101))[groups] + rng.normal(size=(55, 101))
    white = after("whiten", layer)
    distances = np.linalg.norm(white[:, np.newaxis] - white, axis=2)
    np.fill_diagonal(distances, np.inf)
    # 0.19 by chance
    assert (groups[distances.argmin(axis=1)] == groups).mean() > 0.5
    # without shrinkage all texts are equally far from each other
    left, _, right = np.linalg.svd(layer - layer.mean(axis=0), full_matrices=False)
    full = left[:, :-1] @ right[:-1]
    gaps = np.linalg.norm(full[:, np.newaxis] - full, axis=2)[~np.eye(55, dtype=bool)]
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)


def test_whitening_turns_with_the_units(layer: np.ndarray, rng: np.random.Generator):
    n_units = layer.shape[1]
    rotation, _ = np.linalg.qr(rng.normal(size=(n_units, n_units)))
    np.testing.assert_allclose(
        after("whiten", layer @ rotation), after("whiten", layer) @ rotation, rtol=0, atol=1e-6
    )


def test_one_unit_is_whitened_to_variance_one(rng: np.random.Generator):
    white = after("whiten", 7 * rng.normal(size=(13, 1)) + 2)
    np.testing.assert_allclose([white.mean(), white.var()], [0, 1], rtol=0, atol=1e-12)


def test_two_texts_are_whitened_to_opposites():
    white = after("whiten", np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 0.0]]))
    np.testing.assert_allclose(white[0], -white[1], rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(white, axis=1), 1, rtol=1e-12)


# remove_components


@pytest.mark.parametrize("count", [1, 3, 11])
def test_removed_components_are_those_of_pca(layer: np.ndarray, count: int):
    pca = PCA(n_components=count, svd_solver="full").fit(layer)
    expected = layer - pca.inverse_transform(pca.transform(layer))
    left = after(f"remove_components({count})", layer)
    scale = np.abs(layer - layer.mean(axis=0)).max()
    np.testing.assert_allclose(left, expected, rtol=0, atol=1e-9 * scale)
    assert np.abs(left @ pca.components_.T).max() < 1e-9 * scale
    assert np.linalg.matrix_rank(left, tol=1e-9 * scale) == 16 - count + (layer.shape[1] < 20)


def test_removing_components_twice_removes_the_next(layer: np.ndarray):
    np.testing.assert_allclose(
        after("remove_components(1) + remove_components(2)", layer),
        after("remove_components(3)", layer),
        rtol=0,
        atol=1e-7,
    )


def test_texts_of_which_only_rounding_is_left_become_zero(rng: np.random.Generator):
    layer = np.zeros((23, 7))
    layer[:, :2] = rng.normal(size=(23, 2)) @ rng.normal(size=(2, 2)) * 1e6
    assert not after("remove_components(2)", layer @ np.linalg.qr(rng.normal(size=(7, 7)))[0]).any()


@pytest.mark.parametrize(("shape", "most"), [((5, 13), 4), ((13, 5), 5)])
def test_components_that_leave_nothing_are_refused(shape: tuple[int, int], most: int):
    layer = np.random.default_rng(1).normal(size=shape)
    assert after(f"remove_components({most - 1})", layer).any()
    with pytest.raises(ParameterError) as caught:
        after(f"remove_components({most})", layer)
    assert caught.value.message == (
        f"remove_components({most}) leaves nothing of (texts, units) = {shape}, which have {most} "
        "principal components; expected fewer"
    )


# clip


@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9, 0.999])
def test_clip_cuts_what_is_beyond_the_quantile_and_nothing_else(layer: np.ndarray, quantile: float):
    limit = np.sort(np.abs(layer).ravel())[int(quantile * layer.size)]
    found = after(f"clip({quantile})", layer)
    assert np.abs(found).max() == limit
    inside = np.abs(layer) <= limit
    np.testing.assert_array_equal(found[inside], layer[inside])
    np.testing.assert_array_equal(found[~inside], limit * np.sign(layer[~inside]))


def test_clip_cuts_a_huge_unit_to_the_size_of_others(rng: np.random.Generator):
    layer = rng.normal(size=(101, 53))
    layer[:, 7] = 1000 + rng.normal(size=101)
    assert np.abs(after("clip(0.9)", layer)).max() < 3


# drop_units and drop_largest


def test_units_count_from_zero_like_columns(layer: np.ndarray):
    np.testing.assert_array_equal(after("drop_units(0)", layer), layer[:, 1:])
    last = layer.shape[1] - 1
    np.testing.assert_array_equal(
        after(f"drop_units({last},2)", layer), np.delete(layer, [2, last], axis=1)
    )


def test_units_that_there_are_not_are_all_listed(rng: np.random.Generator):
    layer = rng.normal(size=(11, 7))
    with pytest.raises(ParameterError) as caught:
        after("drop_units(6,7,2,100)", layer)
    assert caught.value.message == (
        "drop_units: there is no unit 7, 100 in (texts, units) = (11, 7); units count from 0 to 6"
    )


def test_dropping_all_units_is_refused(rng: np.random.Generator):
    layer = rng.normal(size=(11, 3))
    with pytest.raises(ParameterError, match=r"^drop_units leaves none of 3 units$"):
        after("drop_units(0,1,2)", layer)
    with pytest.raises(ParameterError) as caught:
        after("drop_largest(3)", layer)
    assert caught.value.message == "drop_largest(3) leaves none of 3 units; expected fewer"


def test_the_largest_units_go_whether_they_vary_or_not(rng: np.random.Generator):
    layer = rng.normal(size=(31, 13))
    layer[:, 4] = -50
    layer[:, 9] *= 20
    np.testing.assert_array_equal(after("drop_largest(2)", layer), np.delete(layer, [4, 9], axis=1))


def test_of_units_equally_large_the_first_goes():
    layer = np.array([[1.0, 3.0, -3.0, 2.0], [2.0, -3.0, 3.0, 0.0]])
    np.testing.assert_array_equal(after("drop_largest(1)", layer), layer[:, [0, 2, 3]])


# unit_norm


def test_after_unit_norm_norms_are_one_and_cosines_as_before(layer: np.ndarray):
    unit = after("unit_norm", layer)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(cosines(unit), cosines(layer), rtol=0, atol=1e-13)


def test_texts_without_a_direction_are_named(layer: np.ndarray):
    layer[[0, 12]] = 0
    with pytest.raises(ActivationsError) as caught:
        after("unit_norm", layer)
    assert caught.value.message == (
        "the activations of text 1, 13 (rows count from 1) are all zero, so they have no direction to "
        "keep"
    )
