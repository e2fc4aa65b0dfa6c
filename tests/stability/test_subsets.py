import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from isodepth.errors import ParameterError
from isodepth.neighbors import nearest_neighbors
from isodepth.stability import fewest_texts, subset_neighbors


def drawn(rng: np.random.Generator, n_texts: int, size: int) -> np.ndarray:
    return np.sort(rng.choice(n_texts, size, replace=False))


@settings(max_examples=25)
@given(seed=st.integers(0, 999), size=st.integers(5, 47), k=st.integers(1, 4))
def test_with_all_neighbors_stored_a_subset_has_what_is_found_in_it(seed: int, size: int, k: int):
    rng = np.random.default_rng(seed)
    values = [rng.normal(size=(n_layers, 47, 5)) for n_layers in (2, 3)]
    values[0][:, 11] = values[0][:, 30]  # duplicates tie, by index
    ids = [nearest_neighbors(one, 46).ids for one in values]
    members = drawn(rng, 47, size)
    lists, has_enough = subset_neighbors(ids, members, k)
    assert has_enough.all()
    for found, one in zip(lists, values, strict=True):
        assert (found == nearest_neighbors(one[:, members], k).ids).all()


def test_of_short_lists_what_is_there_is_exact_and_the_rest_is_told(rng: np.random.Generator):
    values = [rng.normal(size=(n_layers, 101, 7)) for n_layers in (2, 3)]
    ids = [nearest_neighbors(values[0], 13).ids, nearest_neighbors(values[1], 17).ids]
    members = drawn(rng, 101, 53)
    lists, has_enough = subset_neighbors(ids, members, 5)
    held = [np.isin(one[:, members], members).sum(axis=2) for one in ids]
    assert (has_enough == np.all([(n >= 5).all(axis=0) for n in held], axis=0)).all()
    assert 0 < has_enough.sum() < 53
    for found, one in zip(lists, values, strict=True):
        assert (found[:, has_enough] == nearest_neighbors(one[:, members], 5).ids[:, has_enough]).all()
        assert (found[:, ~has_enough] == np.arange(5)).all()


def test_all_texts_are_a_subset_that_changes_nothing(rng: np.random.Generator):
    ids = nearest_neighbors(rng.normal(size=(2, 23, 5)), 7).ids
    (found,), has_enough = subset_neighbors([ids], np.arange(23), 7)
    assert (found == ids).all()
    assert has_enough.all()


@pytest.mark.parametrize("members", [[3, 2, 5], [1, 1, 4], [-1, 2, 3], [4, 5, 23], []])
def test_members_must_be_ascending_rows(members: list[int]):
    with pytest.raises(ParameterError, match="ascending rows in 0 to 22, none twice"):
        subset_neighbors([np.zeros((1, 23, 5), np.int32)], np.array(members, dtype=np.int64), 1)


@pytest.mark.parametrize("k", [0, 3])
def test_k_must_be_below_the_number_of_members(k: int):
    with pytest.raises(ParameterError, match=f"k = {k} neighbors among 3 members: expected 1 <= k < 3"):
        subset_neighbors([np.zeros((1, 23, 5), np.int32)], np.array([2, 3, 5]), k)


@pytest.mark.parametrize(("n_texts", "n_listed", "k"), [(256, 100, 10), (2048, 100, 10), (61, 29, 3)])
def test_the_smallest_subset_has_hardly_a_list_that_is_too_short(n_texts: int, n_listed: int, k: int):
    size = fewest_texts(n_texts, n_listed, k)
    chances = [hypergeom(n_texts - 1, n_listed, m - 1).cdf(k - 1) for m in (size - 1, size)]
    assert chances[0] > 1e-3 >= chances[1]
    # on average K (m - 1) / (n - 1) members
    assert n_listed * (size - 1) / (n_texts - 1) > k


def test_lists_of_all_others_suffice_for_any_subset_and_lists_of_k_for_none():
    assert fewest_texts(61, 60, 5) == 6
    assert fewest_texts(61, 5, 5) == 61


def test_short_lists_are_as_rare_as_said(rng: np.random.Generator):
    ids = nearest_neighbors(rng.normal(size=(1, 127, 5)), 41).ids
    size = fewest_texts(127, 41, 5)
    n_short = sum((~subset_neighbors([ids], drawn(rng, 127, size), 5)[1]).sum() for _ in range(200))
    expected = 200 * size * hypergeom(126, 41, size - 1).cdf(4)
    assert abs(n_short - expected) < 5 * np.sqrt(expected)
