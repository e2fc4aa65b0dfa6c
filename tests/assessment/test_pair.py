"""All statistics of a pair: those of the statistics one by one, with neighbors and without."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jaxtyping
import numpy as np
import pytest

from isodepth.affinity import MEASURES, AffinityMatrix, affinity_matrix
from isodepth.assessment import AssessmentOptions, PairAssessment, assess_pair
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.statistics import (
    TEST_METHODS,
    decide,
    depth_map,
    diagonal_test,
    diagonality_profile,
    familywise_test,
    layer_matches,
    resampled_matrices,
)
from model_measures import of_models

Planted = Callable[..., Neighbors]
K, N_TEXTS, LEFT, RIGHT = 5, 61, 11, 7

# what an assessment holds


@pytest.fixture(scope="module")
def sides(planted: Planted) -> tuple[Neighbors, Neighbors]:
    return planted("one", LEFT, seed=1), planted("other", RIGHT, seed=2)


@pytest.fixture(scope="module")
def matrix(sides: tuple[Neighbors, Neighbors]) -> AffinityMatrix:
    return affinity_matrix(*sides, k=K)


def same_profile(one: PairAssessment, other: PairAssessment) -> None:
    assert dict(one.profile.estimates) == dict(other.profile.estimates)


def test_with_neighbors_it_is_the_statistics_one_by_one(
    sides: tuple[Neighbors, Neighbors], matrix: AffinityMatrix, quick: AssessmentOptions
) -> None:
    found = assess_pair(matrix, left=sides[0], right=sides[1], options=quick)
    ids = sides[0].ids, sides[1].ids
    familywise = familywise_test(*ids, k=K, n_permutations=39, seed=7)
    resampled = resampled_matrices(*ids, k=K, n_resamples=101, seed=7)
    profile = diagonality_profile(
        matrix.values, chance=K / (N_TEXTS - 1), n_texts=N_TEXTS, resampled=resampled
    )
    assert dict(found.profile.estimates) == dict(profile.estimates)
    assert found.familywise is not None
    np.testing.assert_array_equal(found.familywise.maxima, familywise.maxima)
    np.testing.assert_array_equal(found.familywise.p_values, familywise.p_values)
    assert found.over_all is None
    assert found.decision == decide(
        matrix.values, n_texts=N_TEXTS, k=K, profile=profile, familywise=familywise
    )
    expected = depth_map(
        matrix.values, left="one", right="other", resampled=resampled.values, n_texts=N_TEXTS
    )
    assert found.depth_map.as_dict() == expected.as_dict()
    assert found.tests == {
        method: diagonal_test(matrix.values, method=method) for method in TEST_METHODS
    }
    matches = layer_matches(matrix.values)
    np.testing.assert_array_equal(found.matches.left_to_right, matches.left_to_right)


def test_a_planted_ridge_is_found_from_texts_and_the_sentence_has_its_numbers(
    sides: tuple[Neighbors, Neighbors], matrix: AffinityMatrix, quick: AssessmentOptions
) -> None:
    found = assess_pair(matrix, left=sides[0], right=sides[1], options=quick)
    decision = found.decision
    assert decision is not None
    assert (decision.verdict, decision.basis) == ("depth-matched", "texts")
    assert decision.p_shared == 1 / 40
    assert f"{matrix.values.max():.3f}" in decision.sentence
    assert repr(found) == "PairAssessment('one' x 'other': depth-matched)"
    assert found.depth_map.left_to_right.bands is not None


def test_models_of_other_content_share_nothing(planted: Planted, quick: AssessmentOptions) -> None:
    one, other = planted("one", LEFT, seed=1), planted("other", RIGHT, seed=2, content=5)
    found = assess_pair(affinity_matrix(one, other, k=K), left=one, right=other, options=quick)
    assert found.decision is not None
    assert found.decision.verdict == "not shared"


@pytest.mark.parametrize("given", [(), ("left",), ("right",)])
def test_without_the_neighbors_of_both_there_are_estimates_alone(
    given: tuple[str, ...],
    sides: tuple[Neighbors, Neighbors],
    matrix: AffinityMatrix,
    quick: AssessmentOptions,
) -> None:
    neighbors: dict[str, Any] = dict(zip(("left", "right"), sides, strict=True))
    found = assess_pair(matrix, **{side: neighbors[side] for side in given}, options=quick)
    assert found.familywise is None
    assert found.depth_map.left_to_right.bands is None
    assert all(estimate.low is None for estimate in found.profile.estimates.values())
    decision = found.decision
    assert decision is not None
    assert (decision.basis, decision.p_depth) == ("matrix alone", None)
    assert "whose error is not known" in decision.sentence
    whole = assess_pair(matrix, left=sides[0], right=sides[1], options=quick)
    for name, estimate in whole.profile.estimates.items():
        assert found.profile[name].value == estimate.value
    assert found.tests == whole.tests


def test_more_neighbors_than_k_change_intervals_and_nothing_else(
    planted: Planted, matrix: AffinityMatrix, quick: AssessmentOptions
) -> None:
    few = [planted(name, n, seed=seed, k=K) for name, n, seed in (("one", 11, 1), ("other", 7, 2))]
    many = [planted(name, n, seed=seed) for name, n, seed in (("one", 11, 1), ("other", 7, 2))]
    bare = assess_pair(matrix, left=few[0], right=few[1], options=quick)
    whole = assess_pair(matrix, left=many[0], right=many[1], options=quick)
    assert bare.profile["mean"].value == whole.profile["mean"].value
    assert bare.familywise is not None
    assert whole.familywise is not None
    np.testing.assert_array_equal(bare.familywise.p_values, whole.familywise.p_values)
    assert "lists of k neighbors alone" in bare.profile["mean"].method
    assert bare.profile["mean"].low < whole.profile["mean"].low  # type: ignore[operator]


def test_an_equal_seed_gives_an_equal_assessment_and_another_another(
    sides: tuple[Neighbors, Neighbors], matrix: AffinityMatrix, quick: AssessmentOptions
) -> None:
    first, again, other = (
        assess_pair(matrix, left=sides[0], right=sides[1], options=options)
        for options in (quick, quick, replace(quick, seed=8))
    )
    same_profile(first, again)
    assert first.decision == again.decision
    assert first.profile["mean"].low != other.profile["mean"].low


# sides that do not fit


def test_neighbors_of_other_texts_are_refused(
    planted: Planted, sides: tuple[Neighbors, Neighbors], matrix: AffinityMatrix
) -> None:
    other = planted("other", RIGHT, seed=2, texts_digest="others")
    with pytest.raises(DigestMismatchError) as raised:
        assess_pair(matrix, left=sides[0], right=other)
    assert str(raised.value).startswith(
        "the right neighbors, of other, are of other texts than the matrix: digest others; expected "
        "texts"
    )


def test_neighbors_whose_texts_are_not_known_are_taken(
    planted: Planted,
    sides: tuple[Neighbors, Neighbors],
    matrix: AffinityMatrix,
    quick: AssessmentOptions,
) -> None:
    unknown = planted("other", RIGHT, seed=2, texts_digest=None)
    expected = assess_pair(matrix, left=sides[0], right=sides[1], options=quick)
    same_profile(assess_pair(matrix, left=sides[0], right=unknown, options=quick), expected)


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"n_layers": 8}, (8, 61, 10)),
        ({"n_texts": 59}, (7, 59, 10)),
        ({"k": 4}, (7, 61, 4)),
    ],
)
def test_neighbors_of_other_sizes_are_refused(
    changes: dict[str, int],
    found: tuple[int, int, int],
    planted: Planted,
    sides: tuple[Neighbors, Neighbors],
    matrix: AffinityMatrix,
) -> None:
    other = planted("other", **{"n_layers": RIGHT, "seed": 2, **changes})
    with pytest.raises(ParameterError) as raised:
        assess_pair(matrix, left=sides[0], right=other)
    assert str(raised.value) == (
        "the right neighbors, of other, are not those of the matrix: (layers, texts, k) = "
        f"{found}; expected (7, 61, 5) or more neighbors"
    )


def test_neighbors_of_another_matrix_are_refused_with_how_far_they_are_off(
    planted: Planted,
    sides: tuple[Neighbors, Neighbors],
    matrix: AffinityMatrix,
    quick: AssessmentOptions,
) -> None:
    other = planted("other", RIGHT, seed=13)
    off = np.abs(affinity_matrix(sides[0], other, k=K).values - matrix.values).max()
    with pytest.raises(ParameterError) as raised:
        assess_pair(matrix, left=sides[0], right=other, options=quick)
    assert str(raised.value) == (
        "the neighbors of one and other are not those that the matrix was made from: similarities "
        f"differ by up to {off:.2g}"
    )


def test_parallel_texts_are_checked_side_by_side(
    planted: Planted, matrix: AffinityMatrix, quick: AssessmentOptions
) -> None:
    parallel = replace(matrix, texts_digest="left texts", right_texts_digest="right texts")
    left = planted("one", LEFT, seed=1, texts_digest="left texts")
    right = planted("other", RIGHT, seed=2, texts_digest="right texts")
    found = assess_pair(parallel, left=left, right=right, options=quick)
    assert found.familywise is not None
    with pytest.raises(DigestMismatchError, match="right neighbors, of other.*expected right texts"):
        assess_pair(parallel, left=left, right=replace(right, texts_digest="left texts"))


# layers, models, measures and k at the edge


@pytest.mark.parametrize("n_left", [1, 2, 5])
@pytest.mark.parametrize("n_right", [1, 3, 13])
@pytest.mark.parametrize("alone", [False, True])
def test_few_layers_are_assessed_as_far_as_goes(
    n_left: int, n_right: int, alone: bool, planted: Planted, quick: AssessmentOptions
) -> None:
    left, right = planted("one", n_left, seed=1), planted("other", n_right, seed=2)
    neighbors = {} if alone else {"left": left, "right": right}
    found = assess_pair(affinity_matrix(left, right, k=K), **neighbors, options=quick)
    assert bool(found.tests) == (min(n_left, n_right) > 1)
    assert found.profile["mean"].value == found.matrix.values.mean()
    assert len(found.depth_map.left_to_right.layer) == n_left
    assert found.decision is not None
    assert found.decision.verdict in ("undecided", "not shared")
    if found.decision.verdict == "undecided":
        assert f"{min(n_left, n_right)} layers are too few to tell" in found.decision.sentence


@pytest.mark.parametrize("alone", [False, True])
def test_a_model_with_itself_is_depth_matched(
    alone: bool, planted: Planted, quick: AssessmentOptions
) -> None:
    model = planted("one", LEFT, seed=1)
    neighbors = {} if alone else {"left": model, "right": model}
    found = assess_pair(affinity_matrix(model, model, k=K), **neighbors, options=quick)
    assert found.decision is not None
    assert found.decision.verdict == "depth-matched"
    assert found.depth_map.departure.absolute.value == 0
    np.testing.assert_array_equal(found.depth_map.left_to_right.nearest, np.arange(1, LEFT + 1))


@pytest.mark.parametrize("alone", [False, True])
def test_with_all_texts_as_neighbors_nothing_can_be_told(
    alone: bool, planted: Planted, quick: AssessmentOptions
) -> None:
    left, right = (planted(name, n, seed=n, k=12, n_texts=13) for name, n in (("a", 7), ("b", 11)))
    neighbors = {} if alone else {"left": left, "right": right}
    found = assess_pair(affinity_matrix(left, right, k=12), **neighbors, options=quick)
    assert found.decision is not None
    assert (found.decision.verdict, found.decision.p_shared) == ("undecided", None)
    assert "every text is a neighbor of every other" in found.decision.sentence
    if found.familywise is not None:
        assert found.familywise.p_value == 1


def test_a_registered_measure_has_estimates_and_no_decision(
    sides: tuple[Neighbors, Neighbors], quick: AssessmentOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutual = MEASURES["mutual_knn"]
    halved = of_models(lambda left, right: mutual(left, right, left.shape[2]) / 2)
    monkeypatch.setitem(MEASURES, "halved", halved)
    matrix = affinity_matrix(*sides, k=K, measure="halved")
    found = assess_pair(matrix, left=sides[0], right=sides[1], options=quick)
    assert (found.decision, found.familywise, found.over_all) == (None, None, None)
    assert found.profile["mean"].low is None
    assert found.profile["on_minus_off"].value > 0
    assert found.tests["student"].p_value < 0.01
    assert repr(found) == "PairAssessment('one' x 'other': no decision)"


# options


def test_options_name_all_that_is_out_of_range() -> None:
    with pytest.raises(ParameterError) as raised:
        AssessmentOptions(n_permutations=18, n_resamples=99, seed=-1, level=1.0, alpha=0.5)
    assert str(raised.value) == (
        "n_permutations must be at least 19; got 18; n_resamples must be at least 100; got 99; seed "
        "must be at least 0; got -1; level must lie between 0 and 1; got 1.0; alpha must lie between 0 "
        "and 0.5; got 0.5"
    )


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Types as they are outside of tests: not checked."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("unchecked")
def test_options_take_whole_numbers_of_any_kind_and_no_others() -> None:
    options = AssessmentOptions(n_permutations=np.int64(23), seed=np.int32(5))  # type: ignore[arg-type]
    assert json.loads(json.dumps(options.as_dict()))["n_permutations"] == 23
    for value in (20.5, "20", True):
        with pytest.raises(ParameterError, match="n_permutations must be a whole number; got"):
            AssessmentOptions(n_permutations=value)  # type: ignore[arg-type]


def test_options_refuse_rates_that_so_few_permutations_or_resamples_cannot_have() -> None:
    AssessmentOptions(n_permutations=19, alpha=0.05)
    AssessmentOptions(n_permutations=99, n_resamples=100, alpha=0.01, level=0.99)
    with pytest.raises(ParameterError) as raised:
        AssessmentOptions(n_permutations=98, n_resamples=199, alpha=0.01, level=0.995)
    assert str(raised.value) == (
        "alpha = 0.01 needs n_permutations of at least 99, else no p-value is as low; got 98; level = "
        "0.995 needs n_resamples of at least 200; got 199"
    )


def test_options_reach_the_statistics(
    sides: tuple[Neighbors, Neighbors], matrix: AffinityMatrix
) -> None:
    options = AssessmentOptions(n_permutations=23, n_resamples=103, level=0.8, alpha=0.1)
    found = assess_pair(matrix, left=sides[0], right=sides[1], options=options)
    assert found.familywise is not None
    assert found.decision is not None
    assert found.familywise.n_permutations == 23
    assert found.decision.alpha == 0.1
    assert found.profile["mean"].level == 0.8
    assert "103 resamples" in found.profile["mean"].method
    assert found.depth_map.n_resamples == 103
    bands = found.depth_map.left_to_right.bands
    assert bands is not None
    assert bands.level == 0.8
    assert options.as_dict() == {
        "n_permutations": 23,
        "n_resamples": 103,
        "seed": 0,
        "level": 0.8,
        "alpha": 0.1,
    }
