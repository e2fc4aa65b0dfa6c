"""Jaccard, rank-weighted and cycle k-NN against sets, at the ends of parts, blocks and threads."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from affinity.measure_properties import check_properties
from isodepth.affinity import neighbor_overlaps
from isodepth.affinity.mutual_knn import mutual_knn
from isodepth.affinity.neighbor_overlaps import (
    OVERLAP_MEASURES,
    chance_of_jaccard,
    chance_of_rank,
)

JACCARD, RANK, CYCLE = (OVERLAP_MEASURES[name] for name in ("jaccard_knn", "rank_knn", "cycle_knn"))
EVERY = pytest.mark.parametrize("name", list(OVERLAP_MEASURES))


def random_ids(
    rng: np.random.Generator, n_layers: int, n_texts: int, k: int, *, agreement: float = 1.0
) -> np.ndarray:
    """Return k different others for every text, (layers, texts, k); the next ones are likelier."""
    keys = rng.random((n_layers, n_texts, n_texts - 1)) + np.linspace(0, agreement, n_texts - 1)
    steps = np.argsort(keys, axis=2)[:, :, :k] + 1
    return ((np.arange(n_texts)[:, np.newaxis] + steps) % n_texts).astype(np.int32)


def following(n_texts: int, *steps: int) -> np.ndarray:
    """Return the texts so many steps after each text, around a ring: one layer."""
    return ((np.arange(n_texts)[:, np.newaxis] + np.array(steps)) % n_texts)[np.newaxis].astype(
        np.int32
    )


def jaccard_by_sets(left: list[list[int]], right: list[list[int]]) -> float:
    pairs = [(set(a), set(b)) for a, b in zip(left, right, strict=True)]
    return math.fsum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)


def rank_by_sets(left: list[list[int]], right: list[list[int]]) -> float:
    k = len(left[0])
    return math.fsum(
        len(set(a[:d]) & set(b[:d])) / d
        for a, b in zip(left, right, strict=True)
        for d in range(1, k + 1)
    ) / (k * len(left))


def cycle_by_sets(left: list[list[int]], right: list[list[int]]) -> float:
    there, back = (
        sum(any(text in other[y] for y in one[text]) for text in range(len(left)))
        for one, other in ((left, right), (right, left))
    )
    return (there + back) / (2 * len(left))


BY_SETS: dict[str, Callable[[list[list[int]], list[list[int]]], float]] = {
    "jaccard_knn": jaccard_by_sets,
    "rank_knn": rank_by_sets,
    "cycle_knn": cycle_by_sets,
}


def all_by_sets(name: str, left: np.ndarray, right: np.ndarray) -> list[list[float]]:
    return [[BY_SETS[name](one, other) for other in right.tolist()] for one in left.tolist()]


# properties


@pytest.mark.parametrize("name", ["jaccard_knn", "rank_knn"])
def test_measures_hold_what_they_state(rng: np.random.Generator, name: str):
    check_properties(OVERLAP_MEASURES[name], rng=rng, n_relabelings=70)


def test_cycle_knn_holds_what_it_states():
    # a share of 2 x 31: these layers are among those that have no two alike
    check_properties(CYCLE, rng=np.random.default_rng(2), k=2, identity=False)


@pytest.mark.parametrize("n_texts", [3, 31, 701])
def test_identical_lists_are_alike_to_the_last_bit(rng: np.random.Generator, n_texts: int):
    for k in {1, 2, min(29, n_texts - 1)}:
        same = np.repeat(random_ids(rng, 1, n_texts, k), 3, axis=0)
        for measure in (JACCARD, RANK):
            for right in (None, [same]):
                np.testing.assert_array_equal(measure.all_values([same], right, k), np.ones((3, 3)))


@EVERY
def test_layers_that_share_nothing_have_similarity_zero(name: str):
    values = OVERLAP_MEASURES[name](following(31, 1, 2, 3), following(31, 4, 5, 6), 3)
    assert values.tolist() == [[0.0]]


@EVERY
def test_exchanging_left_and_right_changes_no_bit(rng: np.random.Generator, name: str):
    left, right = np.split(random_ids(rng, 13, 211, 11), [6])
    there = OVERLAP_MEASURES[name](left, right, 11)
    np.testing.assert_array_equal(there, OVERLAP_MEASURES[name](right, left, 11).T)


def test_only_the_rank_weighted_one_minds_the_order_of_neighbors(rng: np.random.Generator):
    left, right = np.split(random_ids(rng, 5, 31, 7), [2])
    mixed = rng.permuted(left, axis=2)
    for measure in (JACCARD, CYCLE):
        np.testing.assert_array_equal(measure(mixed, right, 7), measure(left, right, 7))
    assert np.abs(RANK(mixed, right, 7) - RANK(left, right, 7)).min() > 1e-4


def test_rank_weighted_is_the_mean_of_mutual_knn_at_all_depths(rng: np.random.Generator):
    left, right = random_ids(rng, 2, 211, 13)
    each = [mutual_knn(left[:, :d], right[:, :d]) for d in range(1, 14)]
    assert RANK(left[np.newaxis], right[np.newaxis], 13)[0, 0] == pytest.approx(
        np.mean(each), rel=1e-14
    )


def test_jaccard_is_at_least_that_of_the_mean_overlap(rng: np.random.Generator):
    # s / (2 k - s) is convex in s
    left, right = random_ids(rng, 2, 211, 7)
    shared = mutual_knn(left, right)
    assert JACCARD(left[np.newaxis], right[np.newaxis], 7)[0, 0] > shared / (2 - shared)


def test_a_layers_cycle_with_itself_is_the_share_of_answered_texts(rng: np.random.Generator):
    ids = random_ids(rng, 3, 31, 5, agreement=0.0)
    answered = [
        [any(text in layer[y] for y in layer[text]) for text in range(31)] for layer in ids.tolist()
    ]
    itself = np.diag(CYCLE.all_values([ids], None, 5))
    np.testing.assert_array_equal(itself, np.mean(answered, axis=1))
    assert 0 < itself.min() < itself.max() < 1


# agreement with sets


@EVERY
@pytest.mark.parametrize("k", [1, 2, 5, 11])
def test_values_agree_with_sets(rng: np.random.Generator, name: str, k: int):
    models = np.split(random_ids(rng, 13, 29, k), [2, 9])
    expected = np.array(all_by_sets(name, np.concatenate(models), np.concatenate(models)))
    measure = OVERLAP_MEASURES[name]
    for values, wanted in (
        (measure.all_values(models, None, k), expected),
        (measure.all_values(models, models, k), expected),
        (measure.all_values(models[1:], models[:2], k), expected[2:, :9]),
        (measure.all_values(models[:1], models[1:], k), expected[:2, 2:]),
    ):
        np.testing.assert_allclose(values, wanted, rtol=1e-14)


@EVERY
def test_values_of_all_others_as_neighbors_agree_with_sets(rng: np.random.Generator, name: str):
    ids = random_ids(rng, 3, 7, 6)
    expected = all_by_sets(name, ids, ids)
    np.testing.assert_allclose(OVERLAP_MEASURES[name].all_values([ids], None, 6), expected, rtol=1e-14)


def test_a_worked_example():
    left, right = (
        np.array([ids], dtype=np.int32)
        for ids in ([[1, 2], [0, 2], [3, 0], [2, 1]], [[3, 2], [2, 0], [1, 0], [0, 1]])
    )
    # shared: 1, 2, 1, 1 of 2; none of the nearest agree
    assert JACCARD(left, right, 2)[0, 0] == pytest.approx((1 / 3 + 1 + 1 / 3 + 1 / 3) / 4, rel=1e-15)
    assert RANK(left, right, 2)[0, 0] == pytest.approx((0.5 + 1 + 0.5 + 0.5) / 2 / 4, rel=1e-15)
    # left, then right: 0 > 2 > 0, 1 > 2 > 1, 2 > 0 > 2, 3 nowhere; right, then left: 0 > 2 > 0,
    # 1 > 0 > 1, 2 > 1 > 2, 3 nowhere
    assert CYCLE(left, right, 2)[0, 0] == (3 / 4 + 3 / 4) / 2


def test_cycles_are_counted_in_both_orders():
    # left names the next text, right the one before, but for two texts: steps right, then left lead
    # back to others than steps left, then right
    left, right = following(7, 1), following(7, -1)
    right[0, 3], right[0, 4] = 0, 0
    # left, then right: 2 > 3 > 0 and 3 > 4 > 0 lead elsewhere; right, then left: 3 > 0, 4 > 0 do
    there = sum(right[0, left[0, text, 0], 0] == text for text in range(7))
    back = sum(left[0, right[0, text, 0], 0] == text for text in range(7))
    assert CYCLE(left, right, 1)[0, 0] == (there + back) / 14 == 10 / 14


# how it is computed


@EVERY
@pytest.mark.parametrize(
    ("n_threads", "block_bytes", "most_parts"), [(1, 1, 8), (3, 5_000, 8), (2, 1, 1)]
)
def test_threads_parts_and_blocks_change_no_bit(
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    n_threads: int,
    block_bytes: int,
    most_parts: int,
):
    models = np.split(random_ids(rng, 11, 257, 5), [4])
    sides = (models, None), (models[:1], models[1:])
    expected = [OVERLAP_MEASURES[name].all_values(*side, 5) for side in sides]
    monkeypatch.setattr(neighbor_overlaps, "usable_cores", lambda: n_threads)
    monkeypatch.setattr(neighbor_overlaps, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(neighbor_overlaps, "MOST_PARTS", most_parts)
    for side, values in zip(sides, expected, strict=True):
        np.testing.assert_array_equal(OVERLAP_MEASURES[name].all_values(*side, 5), values)


def test_a_failure_in_a_thread_is_raised(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(neighbor_overlaps.NeighborLists, "_add_part", fails)
    with pytest.raises(MemoryError):
        JACCARD.all_values([random_ids(rng, 2, 131, 5)], None, 5)


def test_many_texts_neither_overflow_nor_lose_anything():
    n_texts = 70_001
    one, other = following(n_texts, 1, 2, 3), following(n_texts, 2, 3, 4)
    assert JACCARD(one, one, 3)[0, 0] == RANK(one, one, 3)[0, 0] == 1.0
    assert JACCARD(one, other, 3)[0, 0] == pytest.approx(2 / 4, rel=1e-12)
    assert RANK(one, other, 3)[0, 0] == pytest.approx((0 + 1 / 2 + 2 / 3) / 3, rel=1e-12)
    assert CYCLE(one, other, 3)[0, 0] == 0.0
    assert CYCLE(one, following(n_texts, -1, 5, 9), 3)[0, 0] == 1.0


@EVERY
@pytest.mark.parametrize("order", ["F", "reversed", "read-only", "sliced", "list"])
def test_ids_are_read_as_they_lie(rng: np.random.Generator, name: str, order: str):
    ids = random_ids(rng, 5, 43, 7)
    laid = {
        "F": np.asfortranarray(ids),
        "reversed": np.ascontiguousarray(ids[:, :, ::-1])[:, :, ::-1],
        "read-only": np.frombuffer(ids.tobytes(), dtype=np.int32).reshape(ids.shape),
        "sliced": np.pad(ids, ((0, 0), (0, 0), (0, 13)))[:, :, :7],
        "list": list(ids),
    }[order]
    measure = OVERLAP_MEASURES[name]
    expected = measure.all_values([ids], None, 7)
    np.testing.assert_array_equal(measure.all_values([laid], None, 7), expected)
    np.testing.assert_array_equal(measure.all_values([laid], [ids], 7), expected)


# chance


@pytest.mark.parametrize(("n_texts", "k"), [(2, 1), (5, 2), (6, 3), (6, 5), (8, 4)])
def test_chance_is_the_mean_over_all_lists(n_texts: int, k: int):
    one = set(range(k))
    sets = [set(other) for other in itertools.combinations(range(n_texts - 1), k)]
    jaccard = np.mean([len(one & other) / len(one | other) for other in sets])
    assert chance_of_jaccard(n_texts, k) == pytest.approx(jaccard, rel=1e-14)
    lists = list(itertools.permutations(range(n_texts - 1), k))
    rank = np.mean([rank_by_sets([list(range(k))], [list(other)]) for other in lists])
    assert chance_of_rank(n_texts, k) == pytest.approx(rank, rel=1e-14)


def test_chance_of_large_numbers_is_between_zero_and_that_of_mutual_knn():
    chance = chance_of_jaccard(20_011, 211)
    mutual = 211 / 20_010
    assert mutual / (2 - mutual) < chance < mutual


def test_the_chance_of_cycles_depends_on_hubs_and_is_not_stated(rng: np.random.Generator):
    # every text names the same three: hardly a text is named, whatever the other layer has
    n_texts, k = 211, 3
    hubs = np.array([[h for h in range(4) if h != text][:k] for text in range(n_texts)], dtype=np.int32)
    spread, other = random_ids(rng, 2, n_texts, k, agreement=0.0)
    values = CYCLE.all_values([np.stack([hubs, spread])], [other[np.newaxis]], k)
    assert values[0, 0] < 0.03 < values[1, 0]
    assert CYCLE.chance is None
