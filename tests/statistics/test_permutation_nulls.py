"""The nulls of all pairs of models against those of one pair, and against all relabellings."""

import itertools

import numpy as np
import pytest

from isodepth.affinity import all_affinities
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.statistics import permuted_overlap
from isodepth.statistics.permutation import permutation_null
from isodepth.statistics.permutation_nulls import permutation_nulls


def models(rng: np.random.Generator, n_texts: int, k: int) -> list[Neighbors]:
    found = []
    for name, n_layers in (("one", 3), ("two", 2), ("three", 1)):
        keys = rng.uniform(size=(n_layers, n_texts, n_texts))
        keys[:, np.arange(n_texts), np.arange(n_texts)] = np.inf
        ids = keys.argsort(axis=2)[:, :, :k].astype(np.int32)
        similarities = np.zeros(ids.shape, dtype=np.float32)
        found.append(Neighbors(ids=ids, similarities=similarities, model=name))
    return found


@pytest.mark.parametrize("with_skewness", [True, False])
def test_every_pair_has_the_null_of_the_two(rng: np.random.Generator, with_skewness: bool):
    some = models(rng, 31, 7)
    nulls = permutation_nulls(some, k=5, with_skewness=with_skewness)
    np.testing.assert_array_equal(nulls.matrices.values, all_affinities(some, k=5).values)
    for one, other in itertools.product(some, some):
        null = nulls[one.model, other.model]
        alone = permutation_null(one, other, k=5, with_skewness=with_skewness)
        assert (null.n_texts, null.k, null.mean) == (31, 5, alone.mean)
        np.testing.assert_array_equal(null.values, alone.values)
        # products of small matrices may be summed in another order
        np.testing.assert_allclose(null.sd, alone.sd, rtol=1e-13)
        np.testing.assert_allclose(null.z(), alone.z(), rtol=1e-11)
        if with_skewness:
            np.testing.assert_allclose(null.skewness, alone.skewness, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(null.log10_sf(), alone.log10_sf(), rtol=1e-8)
        else:
            assert null.skewness is None


def test_moments_are_those_of_all_relabellings(rng: np.random.Generator):
    some = models(rng, 5, 2)
    layers = np.concatenate([one.ids for one in some])
    null = permutation_nulls(some).null
    for i, j in itertools.product(range(6), range(6)):
        arcs = {(text, int(named)) for text in range(5) for named in layers[i, text]}
        every = []
        for new in itertools.permutations(range(5)):
            renamed = {(new[text], new[named]) for text in range(5) for named in layers[j, text]}
            every.append(len(arcs & renamed) / 10)
        assert null.mean == pytest.approx(np.mean(every), abs=1e-12)
        assert null.sd[i, j] ** 2 == pytest.approx(np.var(every), abs=1e-12)
        if null.sd[i, j] > 1e-9:
            third = np.mean((np.array(every) - np.mean(every)) ** 3) / np.std(every) ** 3
            assert null.skewness[i, j] == pytest.approx(third, abs=1e-9)


def test_left_against_right(rng: np.random.Generator):
    some = models(rng, 31, 5)
    nulls = permutation_nulls(some[:1], right=some[1:])
    assert nulls.null.sd.shape == (3, 3)
    np.testing.assert_allclose(
        nulls["one", "three"].sd, permutation_null(some[0], some[2]).sd, rtol=1e-13
    )


@pytest.mark.parametrize("n_threads", [1, 5])
def test_threads_change_nothing(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_threads: int
):
    some = models(rng, 31, 5)
    expected = permutation_nulls(some).null
    monkeypatch.setattr(permuted_overlap, "usable_cores", lambda: n_threads)
    found = permutation_nulls(some).null
    np.testing.assert_array_equal(found.sd, expected.sd)
    np.testing.assert_array_equal(found.skewness, expected.skewness)


def test_it_shows_what_it_holds_and_names_what_it_does_not(rng: np.random.Generator):
    nulls = permutation_nulls(models(rng, 31, 5))
    assert repr(nulls).startswith("PermutationNulls(AffinityMatrices(3 models, 3 pairs")
    with pytest.raises(UnknownNameError, match=r"'four' \(right\)"):
        nulls["one", "four"]
    with pytest.raises(ParameterError, match=r"^at least one model is needed on the left; got none$"):
        permutation_nulls([])
