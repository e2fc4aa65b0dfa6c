from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.confounds import (
    Candidates,
    all_others,
    different_endings,
    different_tokens,
    length_strata,
    nearest,
    same_endings,
    same_stratum,
    same_tokens,
)
from isodepth.confounds.candidates import fewest_texts, n_needed
from isodepth.errors import ParameterError
from isodepth.statistics.resampling import FEWEST_NEXT


def of_random(rng: np.random.Generator, n_texts: int, share: float) -> Candidates:
    allowed = rng.uniform(size=(n_texts, n_texts)) < share
    allowed = np.triu(allowed, 1)
    return Candidates(allowed=allowed | allowed.T, name="some", sentence="Some.")


# who may be whose neighbor


@given(st.lists(st.text(max_size=4), min_size=2, max_size=11), st.integers(1, 5))
@settings(max_examples=30)
def test_endings_part_texts_into_those_that_may_and_may_not(texts: list[str], m: int):
    different, same = different_endings(texts, m), same_endings(texts, m)
    for one, other in combinations(range(len(texts)), 2):
        assert different.allowed[one, other] == (texts[one][-m:] != texts[other][-m:])
        assert different.allowed[one, other] != same.allowed[one, other]
    assert (different.n_candidates + same.n_candidates == len(texts) - 1).all()


def test_the_commonest_ending_is_told():
    assert "The most common ending, '.', is that of 3 of 4 texts." in (
        different_endings(["a.", "b.", "c!", "d."], 1).sentence
    )


def test_texts_that_share_a_token_in_any_model_are_no_candidates_in_all():
    tokens = {"one": np.array([1, 1, 2, 3]), "other": np.array([5, 6, 6, 7], dtype=np.int32)}
    different, same = different_tokens(tokens), same_tokens(tokens)
    expected = ~np.eye(4, dtype=bool)
    expected[0, 1] = expected[1, 0] = expected[1, 2] = expected[2, 1] = False
    np.testing.assert_array_equal(different.allowed, expected)
    assert not same.allowed.any()  # no two texts share both
    assert "'token of other'" not in different.sentence
    assert "token of other, 6, is that of 2 of 4" in different.sentence


def test_texts_without_a_label_are_in_no_stratum():
    candidates = same_stratum(["de", None, "de", None, "en", *[float("nan")] * 2], what="language")
    expected = np.zeros((7, 7), dtype=bool)
    expected[0, 2] = expected[2, 0] = True
    np.testing.assert_array_equal(candidates.allowed, expected)
    assert "same language" in candidates.sentence
    assert "No text has a known label." in same_stratum([None, None]).sentence


def test_rules_are_joined_by_and():
    both = different_endings(["a.", "b.", "c!", "d!"], 1) & same_stratum([1, 1, 1, 2])
    assert np.argwhere(both.allowed).tolist() == [[0, 2], [1, 2], [2, 0], [2, 1]]
    assert both.name == "different_ending(1) and same_label"
    with pytest.raises(ParameterError, match=r"as many texts; got 4 \(left\) and 3 \(right\)"):
        both & all_others(3)


def test_all_others_are_all_but_the_text_itself():
    assert all_others(7).n_candidates.tolist() == [6] * 7
    assert all_others(7).chance(3) == 3 / 6


# chance


def test_chance_is_what_unrelated_layers_share(rng: np.random.Generator):
    candidates = of_random(rng, 61, 0.4)
    found = []
    for _ in range(60):
        lists = [nearest(rng.normal(size=(61, 61)), 5, candidates.allowed)[0] for _ in range(2)]
        found.append(np.mean([len({*one} & {*other}) / 5 for one, other in zip(*lists, strict=True)]))
    error = np.std(found) / np.sqrt(60)
    assert abs(np.mean(found) - candidates.chance(5)) < 4 * error
    assert abs(np.mean(found) - 5 / 60) > 10 * error  # that of all texts would be wrong


def test_chance_needs_enough_candidates():
    with pytest.raises(ParameterError, match=r"text 3 .* has fewer than k = 2 candidates") as caught:
        same_stratum([1, 1, 2, 1]).chance(2)
    assert "rows_with_enough" in str(caught.value.hint)
    with pytest.raises(ParameterError, match="expected k >= 1"):
        all_others(5).chance(0)


# which texts can be used


@given(st.integers(0, 2**32), st.floats(0.3, 0.9))
@settings(max_examples=20)
def test_rows_with_enough_are_the_largest_such_set(seed: int, share: float):
    rng = np.random.default_rng(seed)
    candidates = of_random(rng, 10, share)
    k, needed = 1, 1 + FEWEST_NEXT
    rows = candidates.rows_with_enough(k)
    if len(rows):
        assert candidates.of_rows(rows).n_candidates.min() >= needed
        assert len(candidates.of_rows(rows).too_few(k)) == 0
    # none of the sets that are larger, or as large and others, does
    for size in range(max(len(rows), 1), 11):
        for other in combinations(range(10), size):
            if list(other) != rows.tolist():
                assert candidates.allowed[np.ix_(other, other)].sum(axis=1).min() < needed


def test_dropping_texts_goes_on_until_all_have_enough():
    # a chain of groups, in which each needs the one before it
    labels = np.repeat(np.arange(9), 3)
    allowed = np.abs(np.subtract.outer(labels, labels)) == 1
    candidates = Candidates(allowed=allowed, name="chain", sentence="A chain.")
    assert candidates.too_few(1).tolist() == [0, 1, 2, 24, 25, 26]  # 3 candidates, of 6
    assert candidates.rows_with_enough(1).tolist() == []


def test_texts_that_nearly_all_end_alike_leave_none():
    texts = [f"{number}." for number in range(90)] + [f"{number}!" for number in range(12)]
    candidates = different_endings(texts, 1)
    assert len(candidates.too_few(10)) == 90
    assert len(candidates.rows_with_enough(10)) == 0
    assert len(candidates.rows_with_enough(6)) == 102
    assert same_endings(texts, 1).rows_with_enough(10).tolist() == list(range(90))


def test_renaming_texts_renames_the_rows(rng: np.random.Generator):
    candidates = of_random(rng, 53, 0.25)
    order = rng.permutation(53)
    rows = candidates.rows_with_enough(4)
    assert 0 < len(rows) < 53
    assert sorted(order[candidates.of_rows(order).rows_with_enough(4)].tolist()) == rows.tolist()


def test_what_a_control_needs_grows_with_k():
    assert [n_needed(k) for k in (1, 5, 10)] == [6, 10, 20]
    assert [fewest_texts(k) for k in (1, 10, 20)] == [50, 50, 100]


@pytest.mark.parametrize(
    ("allowed", "message"),
    [
        (np.zeros((2, 3), dtype=bool), r"expected \(texts, texts\); got \(2, 3\)"),
        (np.eye(3, dtype=bool), "may not be its own neighbor"),
        (np.triu(np.ones((3, 3), dtype=bool), 1), "must be symmetric"),
    ],
)
def test_what_is_no_rule_is_refused(allowed: np.ndarray, message: str):
    with pytest.raises(ParameterError, match=message):
        Candidates(allowed=allowed, name="odd", sentence="")


def test_tokens_and_endings_that_do_not_fit_are_refused():
    with pytest.raises(ParameterError, match="got 2 of one, 3 of other"):
        different_tokens({"one": np.arange(2), "other": np.arange(3)})
    with pytest.raises(ParameterError, match="at least one model; got none"):
        same_tokens({})
    with pytest.raises(ParameterError, match="m >= 1 characters; got 0"):
        different_endings(["a", "b"], 0)


# groups of equal length


@given(st.lists(st.integers(1, 400), min_size=2, max_size=300))
@settings(max_examples=30)
def test_length_groups_follow_length_and_part_no_equals(lengths: list[int]):
    texts = ["x" * length for length in lengths]
    labels = length_strata(texts, k=5)
    order = np.argsort(lengths, kind="stable")
    ordered = [labels[place] for place in order]
    assert len(set(ordered)) == 1 + sum(a != b for a, b in pairwise(ordered))
    by_length = {(length, label) for length, label in zip(lengths, labels, strict=True)}
    assert len(by_length) == len(set(lengths))
    for label in set(labels):
        inside = [length for length, one in zip(lengths, labels, strict=True) if one == label]
        assert label == f"{min(inside)} to {max(inside)} characters"


def test_how_many_groups_of_length_there_are_follows_from_texts_and_k():
    texts = ["x" * length for length in range(1, 257)]
    assert len(set(length_strata(texts, k=10))) == 6
    assert len(set(length_strata(texts, k=1))) == 10
    assert len(set(length_strata(texts, k=100))) == 1
    assert len(set(length_strata(["x", "xx"] * 100, k=2))) == 2
    assert len(same_stratum(length_strata(texts, k=10)).rows_with_enough(10)) == 256
