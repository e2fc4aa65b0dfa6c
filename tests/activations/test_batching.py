"""Which texts share a batch: all of them once, within the budget, and only those that may."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.activations.batching import BATCHINGS, length_sorted_batches

lengths_lists = st.lists(st.integers(1, 97), min_size=1, max_size=61)


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_batches_are_a_partition_within_the_budget_and_sorted(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(array, token_budget=token_budget)
    flat = np.concatenate(batches)
    assert sorted(flat.tolist()) == list(range(len(lengths)))
    assert (np.diff(array[flat]) <= 0).all()
    for batch in batches:
        assert len(batch) >= 1
        assert len(batch) == 1 or len(batch) * array[batch].max() <= token_budget


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_a_batch_ends_only_where_one_more_text_would_not_fit(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(array, token_budget=token_budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * array[batch].max() > token_budget


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_batches_are_the_same_on_every_call_and_equal_lengths_keep_their_order(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    one, two = (length_sorted_batches(array, token_budget=token_budget) for _ in range(2))
    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in two]
    flat = np.concatenate(one).tolist()
    assert flat == sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


@given(
    lengths=lengths_lists,
    token_budget=st.integers(1, 331),
    batching=st.sampled_from(list(BATCHINGS)),
    rescales_above=st.none() | st.integers(1, 97),
)
def test_however_it_is_batched_all_texts_are_read_once_longest_first(
    lengths: list[int], token_budget: int, batching: str, rescales_above: int | None
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(
        array, token_budget=token_budget, batching=batching, rescales_above=rescales_above
    )
    flat = np.concatenate(batches).tolist()
    assert flat == sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * array[batch].max() <= token_budget
        assert batching != "single" or len(batch) == 1
        alike = len(set(array[batch].tolist())) == 1
        assert batching != "equal-length" or alike
        assert rescales_above is None or array[batch].max() <= rescales_above or alike


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_equal_lengths_are_cut_only_by_the_budget(lengths: list[int], token_budget: int) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(array, token_budget=token_budget, batching="equal-length")
    for batch, following in itertools.pairwise(batches):
        length = array[batch[0]]
        assert array[following[0]] != length or (len(batch) + 1) * length > token_budget


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [[7, 7, 5, 5], [5, 3, 3, 2, 2]]),
        ({"batching": "equal-length"}, [[7, 7], [5, 5, 5], [3, 3], [2, 2]]),
        ({"batching": "single"}, [[7], [7], [5], [5], [5], [3], [3], [2], [2]]),
        ({"rescales_above": 4}, [[7, 7], [5, 5, 5], [3, 3, 2, 2]]),
        ({"rescales_above": 5}, [[7, 7], [5, 5, 5, 3, 3], [2, 2]]),
        ({"rescales_above": 7}, [[7, 7, 5, 5], [5, 3, 3, 2, 2]]),
    ],
)
def test_batches_of_a_small_example(settings: dict[str, object], expected: list[list[int]]) -> None:
    lengths = np.array([2, 5, 7, 3, 5, 2, 7, 3, 5], dtype=np.int64)
    batches = length_sorted_batches(lengths, token_budget=29, **settings)  # type: ignore[arg-type]
    assert [lengths[batch].tolist() for batch in batches] == expected
