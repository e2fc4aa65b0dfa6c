import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from isodepth.affinity import affinity_matrix
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.statistics import null_model
from isodepth.statistics.permutation import PermutationNull, permutation_null

# studies/ is not installed
sys.path.insert(0, str(Path(__file__).parents[2]))

from studies.calibration.chance import KINDS, chance_p_values, unrelated_layers


def random_ids(rng: np.random.Generator, n_layers: int, n_texts: int, k: int) -> np.ndarray:
    keys = rng.uniform(size=(n_layers, n_texts, n_texts))
    keys[:, np.arange(n_texts), np.arange(n_texts)] = np.inf
    return keys.argsort(axis=2)[:, :, :k].astype(np.int32)


def relabelled(ids: np.ndarray, new: np.ndarray) -> np.ndarray:
    renamed = np.empty_like(ids)
    renamed[..., new, :] = new[ids]
    return renamed


def enumerated(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Similarities of two single layers under all n! relabellings of the right one, with sets."""
    n_texts, k = left.shape
    arcs = {(text, int(named)) for text in range(n_texts) for named in left[text]}
    similarities = []
    for new in itertools.permutations(range(n_texts)):
        renamed = {(new[text], new[named]) for text in range(n_texts) for named in right[text]}
        similarities.append(len(arcs & renamed) / (n_texts * k))
    return np.array(similarities)


def skewness_of(values: np.ndarray) -> float:
    spread = values.std()
    return 0.0 if spread < 1e-12 else ((values - values.mean()) ** 3).mean() / spread**3


@pytest.mark.parametrize(
    ("n_texts", "k"), [(2, 1), (3, 1), (3, 2), (4, 1), (4, 2), (5, 1), (5, 2), (5, 3), (5, 4)]
)
def test_moments_are_those_of_all_relabellings(n_texts: int, k: int, rng: np.random.Generator):
    left, right = random_ids(rng, 3, n_texts, k), random_ids(rng, 2, n_texts, k)
    null = permutation_null(left, right)
    for i, j in itertools.product(range(3), range(2)):
        every = enumerated(left[i], right[j])
        assert null.mean == pytest.approx(every.mean(), abs=1e-12)
        assert null.sd[i, j] ** 2 == pytest.approx(every.var(), abs=1e-12)
        assert null.skewness[i, j] == pytest.approx(skewness_of(every), abs=1e-10)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_moments_are_those_of_all_relabellings_of_six_texts(k: int, rng: np.random.Generator):
    # three arcs have up to six ends, so that all patterns have index tuples only from here on
    left, right = random_ids(rng, 2, 6, k), random_ids(rng, 1, 6, k)
    left[1] = (np.arange(6)[:, np.newaxis] + np.arange(1, k + 1)) % 6  # without hubs
    null = permutation_null(left, right)
    for i in range(2):
        every = enumerated(left[i], right[0])
        assert null.mean == pytest.approx(every.mean(), abs=1e-12)
        assert null.sd[i, 0] ** 2 == pytest.approx(every.var(), abs=1e-12)
        assert null.skewness[i, 0] == pytest.approx(skewness_of(every), abs=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_moments_agree_with_drawing_relabellings(kind: str, rng: np.random.Generator):
    n_draws = 4001
    left, right = unrelated_layers(rng, kind, 3, 211, 7), unrelated_layers(rng, kind, 2, 211, 7)
    null = permutation_null(left, right)
    is_neighbor = np.zeros((2, 211, 211), dtype=bool)
    is_neighbor[np.arange(2)[:, np.newaxis, np.newaxis], np.arange(211)[:, np.newaxis], right] = True
    new = rng.permuted(np.tile(np.arange(211), (n_draws, 1)), axis=1)
    drawn = [
        [ours[new[:, :, np.newaxis], new[:, theirs]].mean(axis=(1, 2)) for ours in is_neighbor]
        for theirs in left
    ]
    standard = (np.moveaxis(drawn, 2, 0) - null.mean) / null.sd
    errors = standard.mean(axis=0) * math.sqrt(n_draws)
    assert np.abs(errors).max() < 4
    kurtosis = (standard**4).mean(axis=0)
    assert np.abs((standard**2).mean(axis=0) - 1).max() < 4 * math.sqrt((kurtosis.max() - 1) / n_draws)
    of_third = (standard**3).std(axis=0).max() / math.sqrt(n_draws)
    assert np.abs((standard**3).mean(axis=0) - null.skewness).max() < 4 * of_third


def test_relabellings_of_hubs_vary_more_than_neighbors_drawn_at_random(rng: np.random.Generator):
    left, right = (unrelated_layers(rng, "hubs", 3, 211, 7) for _ in range(2))
    in_degrees = np.stack([np.bincount(layer.ravel(), minlength=211) for layer in left])
    assert stats.skew(in_degrees, axis=1).min() > 1.5
    null = permutation_null(left, right)
    assert null.sd.min() > 1.3 * null_model(211, 7).sd
    assert null.skewness.min() > 0.1


def test_relabellings_of_neighbors_drawn_at_random_vary_as_the_paper_has_it(rng: np.random.Generator):
    null = permutation_null(random_ids(rng, 5, 211, 7), random_ids(rng, 3, 211, 7))
    assert null.mean == null_model(211, 7).mean
    np.testing.assert_allclose(null.sd, null_model(211, 7).sd, rtol=0.02)


@pytest.fixture
def ids(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return unrelated_layers(rng, "hubs", 5, 61, 7), unrelated_layers(rng, "clustered", 3, 61, 7)


def test_left_and_right_are_alike(ids: tuple[np.ndarray, np.ndarray]):
    forth, back = permutation_null(*ids), permutation_null(*ids[::-1])
    for field in ("values", "sd", "skewness"):
        np.testing.assert_allclose(getattr(forth, field), getattr(back, field).T, rtol=1e-9)
    np.testing.assert_allclose(forth.z(), back.z().T, rtol=1e-9)


def test_names_of_texts_do_not_matter(ids: tuple[np.ndarray, np.ndarray], rng: np.random.Generator):
    new, other = (rng.permutation(61).astype(np.int32) for _ in range(2))
    null = permutation_null(*ids)
    together = permutation_null(relabelled(ids[0], new), relabelled(ids[1], new))
    apart = permutation_null(relabelled(ids[0], new), relabelled(ids[1], other))
    np.testing.assert_array_equal(together.values, null.values)
    assert (apart.values != null.values).any()
    for same in (together, apart):
        np.testing.assert_allclose(same.sd, null.sd, rtol=1e-12)
        np.testing.assert_allclose(same.skewness, null.skewness, rtol=1e-9)


def test_values_are_the_affinity_matrix_and_z_counts_standard_deviations(
    ids: tuple[np.ndarray, np.ndarray],
):
    null = permutation_null(*ids)
    np.testing.assert_array_equal(null.values, affinity_matrix(*ids).values)
    np.testing.assert_allclose(null.z(), (null.values - 7 / 60) / null.sd)
    np.testing.assert_allclose(null.z(null.mean + 3 * null.sd), 3)
    many = np.stack([null.values, null.mean + null.sd])
    np.testing.assert_allclose(null.z(many), np.stack([null.z(), np.ones((5, 3))]))


def test_one_layer_arrays_and_neighbors_give_the_same(ids: tuple[np.ndarray, np.ndarray]):
    left, right = (Neighbors(ids=some, similarities=np.zeros(some.shape, np.float32)) for some in ids)
    whole = permutation_null(*ids)
    single = permutation_null(ids[0][2].astype(np.int64), ids[1][1])
    assert single.sd.shape == (1, 1)
    for field in ("values", "sd", "skewness"):
        np.testing.assert_allclose(
            getattr(single, field)[0, 0], getattr(whole, field)[2, 1], rtol=1e-12
        )
        np.testing.assert_array_equal(
            getattr(permutation_null(left, right), field), getattr(whole, field)
        )
    fewer = permutation_null(left, right, k=5)
    assert fewer.k == 5
    np.testing.assert_array_equal(fewer.sd, permutation_null(ids[0][:, :, :5], ids[1][:, :, :5]).sd)


def test_calibrated_is_one_for_the_same_neighbors_and_nothing_at_chance(
    ids: tuple[np.ndarray, np.ndarray],
):
    itself = permutation_null(ids[0], ids[0])
    np.testing.assert_allclose(itself.calibrated().diagonal(), 1)
    np.testing.assert_allclose(itself.calibrated(np.full((5, 5), itself.mean)), 0)
    assert itself.calibrated(np.zeros((5, 5))).max() < 0


def test_calibrated_is_the_kappa_of_the_arcs(ids: tuple[np.ndarray, np.ndarray]):
    null = permutation_null(*ids)
    is_neighbor = np.zeros((2, 61, 61))
    for side in (0, 1):
        is_neighbor[side, np.arange(61)[:, np.newaxis], ids[side][0]] = 1
    left, right = is_neighbor[:, ~np.eye(61, dtype=bool)]
    observed = (left == right).mean()
    expected = left.mean() * right.mean() + (1 - left.mean()) * (1 - right.mean())
    assert null.calibrated()[0, 0] == pytest.approx((observed - expected) / (1 - expected))


def test_with_all_others_as_neighbors_there_is_no_chance_left(rng: np.random.Generator):
    null = permutation_null(random_ids(rng, 2, 7, 6), random_ids(rng, 3, 7, 6))
    assert null.mean == 1
    assert (null.sd == 0).all()
    assert (null.skewness == 0).all()
    assert (null.z() == 0).all()
    assert np.isnan(null.calibrated()).all()
    assert (null.log10_sf() == 0).all()
    assert (null.log10_sf(np.full((2, 3), 1.5)) == -np.inf).all()


def test_a_tournament_and_a_symmetric_graph_share_the_same_whatever_the_labels():
    tournament = (np.arange(5)[:, np.newaxis] + [1, 2]) % 5
    ring = (np.arange(5)[:, np.newaxis] + [1, 4]) % 5
    assert np.ptp(enumerated(tournament, ring)) == 0
    null = permutation_null(tournament, ring)
    assert null.mean == 0.5
    assert null.sd[0, 0] == 0
    assert null.z()[0, 0] == 0
    assert null.log10_sf()[0, 0] == 0


def null_of(skewness: float | None) -> PermutationNull:
    one = np.ones((1, 1))
    return PermutationNull(
        values=0.3 * one,
        n_texts=11,
        k=1,
        mean=0.1,
        sd=0.05 * one,
        skewness=None if skewness is None else skewness * one,
    )


@pytest.mark.parametrize("z", [-3.0, 0.0, 1.6, 5.0, 25.0])
@pytest.mark.parametrize("skewness", [0.001, 0.2, 1.0, 3.0])
def test_tails_are_those_of_the_distributions_they_are_named_after(z: float, skewness: float):
    null = null_of(skewness)
    value = null.mean + z * null.sd
    pearson = stats.pearson3(skewness).logsf(z) / math.log(10)
    assert null.log10_sf(value)[0, 0] == pytest.approx(pearson, rel=1e-7, abs=1e-15)
    assert null.log10_sf(value, tail="pearson")[0, 0] == null.log10_sf(value)[0, 0]
    normal = stats.norm.logsf(z) / math.log(10)
    assert null.log10_sf(value, tail="normal")[0, 0] == pytest.approx(normal, rel=1e-9)
    assert null_of(None).log10_sf(value)[0, 0] == pytest.approx(normal, rel=1e-9)


@pytest.mark.parametrize("z", [10.0, 700.0, 5_000.0])
def test_tails_do_not_underflow(z: float):
    # with a skewness of 2 type III is the exponential distribution
    null = null_of(2.0)
    log10_sf = null.log10_sf(null.mean + z * null.sd)[0, 0]
    assert log10_sf == pytest.approx(-(1 + z) / math.log(10), rel=1e-12)


def test_far_and_near_tails_meet():
    for skewness in (0.01, 0.3, 1.0):
        null = null_of(skewness)
        z = np.linspace(1, 1_000, 4_001)
        tails = null.log10_sf(null.mean + z[:, np.newaxis, np.newaxis] * null.sd)[:, 0, 0]
        slopes = np.diff(tails)
        assert (slopes < 0).all()
        assert (np.diff(slopes) < 1e-7).all()  # the logarithm of such a tail is concave


@pytest.mark.parametrize("skewness", [0.0, -0.4])
def test_without_positive_skewness_the_tail_is_normal(skewness: float):
    null = null_of(skewness)
    np.testing.assert_array_equal(null.log10_sf(tail="pearson"), null.log10_sf(tail="normal"))


def test_an_unknown_tail_is_an_error():
    with pytest.raises(ParameterError) as caught:
        null_of(0.2).log10_sf(tail="heavy")
    assert caught.value.message == "tail must be one of pearson, normal; got 'heavy'"


def test_the_pearson_tail_without_skewness_is_an_error_with_the_next_step(
    ids: tuple[np.ndarray, np.ndarray],
):
    null = permutation_null(*ids, with_skewness=False)
    assert null.skewness is None
    with pytest.raises(ParameterError) as caught:
        null.log10_sf(tail="pearson")
    assert caught.value.message == (
        "tail 'pearson' needs the skewness, which this null was made without"
    )
    assert caught.value.hint == "permutation_null(..., with_skewness=True) computes it."


def test_neighbors_of_different_texts_are_refused(ids: tuple[np.ndarray, np.ndarray]):
    left, right = (
        Neighbors(ids=some, similarities=np.zeros(some.shape, np.float32), texts_digest=digest)
        for some, digest in zip(ids, ("aaa", "bbb"), strict=True)
    )
    with pytest.raises(DigestMismatchError, match="run on different texts"):
        permutation_null(left, right)


def test_other_numbers_of_texts_are_refused(rng: np.random.Generator):
    with pytest.raises(ParameterError, match=r"\(texts, k\) = \(11, 3\) \(left\)"):
        permutation_null(random_ids(rng, 2, 11, 3), random_ids(rng, 2, 13, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_unrelated_layers_are_called_similar_in_five_percent_of_cases(kind: str):
    rng = np.random.default_rng(3)
    batches = [
        chance_p_values(rng, *(unrelated_layers(rng, kind, 500, 97, 10) for _ in range(2)))
        for _ in range(4)
    ]
    rates = {
        test: np.mean([getattr(batch, test) <= 0.05 for batch in batches])
        for test in ("pearson", "hypergeometric")
    }
    assert 0.04 <= rates["pearson"] <= 0.06
    assert rates["hypergeometric"] > 0.07
