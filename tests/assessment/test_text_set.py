"""All pairs of a text set: each as by itself, and what only holds for all of them together."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from isodepth.affinity import MEASURES, AffinityMatrices, all_affinities
from isodepth.assessment import AssessmentOptions, TextSetAssessment, assess_pair, assess_text_set
from isodepth.assessment.text_set import ZOO_PARTS
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.results import MatrixKind
from isodepth.statistics import (
    CORRECTIONS,
    TEST_METHODS,
    adjust_p_values,
    mean_on_unit_square,
    model_distances,
)
from isodepth.texts import Pairing
from model_measures import of_models

Planted = Callable[..., Neighbors]
K = 5
KIND = MatrixKind("mutual_knn", K)
LAYERS = {"one": 11, "two": 7, "three": 8, "four": 6}


@pytest.fixture(scope="module")
def zoo(planted: Planted) -> list[Neighbors]:
    return [planted(name, n, seed=seed) for seed, (name, n) in enumerate(LAYERS.items())]


@pytest.fixture(scope="module")
def matrices(zoo: list[Neighbors]) -> AffinityMatrices:
    return all_affinities(zoo, k=K)


@pytest.fixture(scope="module")
def assessed(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> TextSetAssessment:
    return assess_text_set("news", KIND, matrices, left=zoo, options=quick)


# pairs


def test_each_pair_is_what_it_is_by_itself(
    assessed: TextSetAssessment, zoo: list[Neighbors], quick: AssessmentOptions
) -> None:
    by_name = {one.model: one for one in zoo}
    assert len(assessed.pairs) == 6
    assert assessed.is_from_texts
    for pair, matrix in zip(assessed.pairs, assessed.matrices.pairs(), strict=True):
        assert (pair.matrix.left, pair.matrix.right) == (matrix.left, matrix.right)
        alone = assess_pair(
            matrix, left=by_name[matrix.left], right=by_name[matrix.right], options=quick
        )
        assert dict(pair.profile.estimates) == dict(alone.profile.estimates)
        assert pair.depth_map.as_dict() == alone.depth_map.as_dict()
        assert pair.tests == alone.tests
        assert pair.decision is not None
        assert alone.decision is not None
        assert pair.decision.verdict == alone.decision.verdict
        assert pair.decision.parts == alone.decision.parts
        assert pair.familywise is not None
        assert alone.familywise is not None
        # relabellings are drawn for all models at once, the null of a layer pair is exact
        np.testing.assert_allclose(pair.familywise.null.z(), alone.familywise.null.z(), rtol=1e-9)


def test_corrected_for_all_pairs_no_p_value_is_lower(assessed: TextSetAssessment) -> None:
    maxima = []
    for pair in assessed.pairs:
        assert pair.familywise is not None
        assert pair.over_all is not None
        assert (pair.over_all.p_values >= pair.familywise.p_values).all()
        maxima.append(pair.over_all.maxima)
    assert (np.ptp(maxima, axis=0) == 0).all()
    assert assessed.pairs[0].over_all is not None
    expected = np.max([pair.familywise.maxima for pair in assessed.pairs if pair.familywise], axis=0)
    np.testing.assert_array_equal(assessed.pairs[0].over_all.maxima, expected)


def test_the_papers_p_values_are_corrected_over_pairs(assessed: TextSetAssessment) -> None:
    assert set(assessed.adjusted) == {(one, other) for one in TEST_METHODS for other in CORRECTIONS}
    for (method, correction), adjusted in assessed.adjusted.items():
        p_values = np.array([pair.tests[method].p_value for pair in assessed.pairs])
        np.testing.assert_array_equal(adjusted, adjust_p_values(p_values, correction))
    bonferroni = assessed.adjusted["student", "bonferroni"]
    p_values = np.array([pair.tests["student"].p_value for pair in assessed.pairs])
    np.testing.assert_allclose(bonferroni, np.minimum(6 * p_values, 1))


def test_from_matrices_alone_there_are_estimates_and_no_intervals_of_texts(
    assessed: TextSetAssessment, matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    alone = assess_text_set("news", KIND, matrices, options=quick, notes=["mind this"])
    assert not alone.is_from_texts
    assert alone.notes == ("mind this",)
    assert alone.tree is not None
    assert all(clade.support is None for clade in alone.tree.clades)
    for pair, whole in zip(alone.pairs, assessed.pairs, strict=True):
        assert (pair.familywise, pair.over_all) == (None, None)
        assert pair.decision is not None
        assert pair.decision.basis == "matrix alone"
        assert {name: one.value for name, one in pair.profile.estimates.items()} == {
            name: one.value for name, one in whole.profile.estimates.items()
        }
    # models are left out whether or not texts can be resampled
    assert alone.zoo["on_minus_off"].mean == assessed.zoo["on_minus_off"].mean


def test_progress_tells_of_relabellings_and_of_pairs_by_the_name_of_the_set(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    told: list[tuple[str, int, int, str]] = []
    assess_text_set(
        "news",
        KIND,
        matrices,
        left=zoo,
        options=quick,
        progress=lambda label, done, total, unit: told.append((label, done, total, unit)),
    )
    assert told[0] == ("relabelling texts of news", 0, 39, "steps")
    assert [one for one in told if one[3] != "steps"] == [
        ("assessing news", done, 6, "pairs of models") for done in range(7)
    ]


# over the zoo


def test_tests_over_the_zoo_take_models_as_units(assessed: TextSetAssessment) -> None:
    assert set(assessed.zoo) <= set(ZOO_PARTS)
    test = assessed.zoo["on_minus_off"]
    values = [pair.profile["on_minus_off"].value for pair in assessed.pairs]
    assert test.mean.value == pytest.approx(np.mean(values))
    assert (test.n_pairs, test.mean.n, test.mean.resampled) == (6, 4, "models")
    assert test.labels == tuple(LAYERS)
    without = [
        np.mean(
            [
                pair.profile["on_minus_off"].value
                for pair in assessed.pairs
                if label not in (pair.matrix.left, pair.matrix.right)
            ]
        )
        for label in LAYERS
    ]
    np.testing.assert_allclose(test.means_without, without)
    assert test.p_value < 0.05  # all share the ridge


def test_families_are_left_out_whole(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    groups = {"one": "first", "three": "first"}
    found = assess_text_set("news", KIND, matrices, groups=groups, options=quick)
    test = found.zoo["on_minus_off"]
    assert test.units == ("first", "two", "four")
    assert (test.mean.n, test.mean.resampled) == (3, "groups of models")
    (left,) = [pair for pair in found.pairs if (pair.matrix.left, pair.matrix.right) == ("two", "four")]
    assert test.means_without[0] == pytest.approx(left.profile["on_minus_off"].value)


@pytest.mark.parametrize(
    ("n_models", "groups", "note"),
    [
        (2, None, "2 models: a test over the zoo needs 3"),
        (4, dict.fromkeys(LAYERS, "all"), "1 group of models: a test over the zoo needs 3"),
        (4, {"one": "a", "two": "a", "three": "a"}, "2 groups of models: a test over the zoo needs 3"),
    ],
)
def test_too_few_models_have_no_test_over_the_zoo_and_it_is_said_why(
    n_models: int,
    groups: dict[str, str] | None,
    note: str,
    zoo: list[Neighbors],
    quick: AssessmentOptions,
) -> None:
    some = all_affinities(zoo[:n_models], k=K)
    found = assess_text_set("news", KIND, some, groups=groups, options=quick)
    assert (found.zoo, found.notes) == ({}, (note,))


def test_distances_and_the_tree_are_of_all_models_with_support_from_texts(
    assessed: TextSetAssessment, matrices: AffinityMatrices
) -> None:
    assert assessed.distances is not None
    assert assessed.tree is not None
    np.testing.assert_array_equal(assessed.distances.values, model_distances(matrices).values)
    assert sorted(assessed.tree.order) == sorted(LAYERS)
    # that of all models is there in any tree
    assert all(clade.support is not None for clade in assessed.tree.clades[:-1])
    assert all(0 <= (clade.support or 0) <= 1 for clade in assessed.tree.clades)


def test_the_mean_square_is_that_of_the_pairs(assessed: TextSetAssessment) -> None:
    assert assessed.mean_square is not None
    expected = mean_on_unit_square([pair.matrix.values for pair in assessed.pairs])
    np.testing.assert_array_equal(assessed.mean_square.values, expected.values)


# measures that tell left from right


@pytest.fixture(scope="module")
def directed(matrices: AffinityMatrices) -> AffinityMatrices:
    noise = np.random.default_rng(3).uniform(0, 0.1, size=matrices.values.shape)
    facts = {"measure": "ridge_to_right", "k": 0, "metric": None}
    return replace(matrices, values=matrices.values + noise, **facts)


def test_a_directed_measure_is_assessed_in_both_orders(
    directed: AffinityMatrices, quick: AssessmentOptions
) -> None:
    kind = MatrixKind("ridge_to_right", 0)
    found = assess_text_set("news", kind, directed, options=quick)
    assert len(found.pairs) == directed.n_pairs == 12
    by_labels = {(pair.matrix.left, pair.matrix.right): pair for pair in found.pairs}
    assert set(by_labels) == set(permutations(LAYERS, 2))
    for labels, pair in by_labels.items():
        np.testing.assert_array_equal(pair.matrix.values, directed[labels].values)
    one, other = (by_labels[labels].profile["on_minus_off"].value for labels in list(by_labels)[:2])
    assert one != other
    # of two models the mean of both orders; pairs are told over as models
    zoo = found.zoo["on_minus_off"]
    mean = np.mean([pair.profile["on_minus_off"].value for pair in found.pairs])
    assert zoo.mean.value == pytest.approx(mean)
    assert zoo.n_pairs == 6
    p_values = np.array([pair.tests["student"].p_value for pair in found.pairs])
    np.testing.assert_allclose(found.adjusted["student", "bonferroni"], np.minimum(12 * p_values, 1))


@pytest.mark.parametrize("is_parallel", [False, True])
def test_the_mean_square_of_a_directed_measure_keeps_left_and_right_apart(
    is_parallel: bool, directed: AffinityMatrices, quick: AssessmentOptions
) -> None:
    given = replace(directed, is_symmetric=not is_parallel)
    square = assess_text_set("x", MatrixKind("ridge_to_right", 0), given, options=quick).mean_square
    assert square is not None
    expected = mean_on_unit_square([one.values for one in given.pairs()], both_orders=False)
    np.testing.assert_array_equal(square.values, expected.values)
    assert (square.both_orders, square.n_matrices) == (False, 16 if is_parallel else 12)


# left and right models on parallel texts


def parallel(
    planted: Planted, left: dict[str, int], right: dict[str, int]
) -> tuple[list[Neighbors], list[Neighbors], AffinityMatrices]:
    one = [planted(name, n, seed=n, texts_digest="en") for name, n in left.items()]
    other = [planted(name, n, seed=n + 50, texts_digest="de") for name, n in right.items()]
    pairing = Pairing(left="en", right="de")
    return one, other, all_affinities(one, right=other, k=K, pairing=pairing)


def test_a_label_on_both_sides_is_a_model_on_either_texts(
    planted: Planted, quick: AssessmentOptions
) -> None:
    names = {"one": 11, "two": 7, "three": 8}
    left, right, matrices = parallel(planted, names, names)
    found = assess_text_set("pair", KIND, matrices, left=left, right=right, options=quick)
    assert len(found.pairs) == 9
    assert (found.distances, found.tree) == (None, None)
    for place, pair in enumerate(found.pairs):
        one, other = left[place // 3], right[place % 3]
        assert (pair.matrix.left, pair.matrix.right) == (one.model, other.model)
        alone = assess_pair(pair.matrix, left=one, right=other, options=quick)
        assert dict(pair.profile.estimates) == dict(alone.profile.estimates)
    # of a pair in both orders, the mean; a model with itself is no pair of models
    off = [pair for pair in found.pairs if pair.matrix.left != pair.matrix.right]
    mean = np.mean([pair.profile["on_minus_off"].value for pair in off])
    assert found.zoo["on_minus_off"].mean.value == pytest.approx(mean)
    assert found.zoo["on_minus_off"].n_pairs == 3


def test_different_models_on_the_two_sides_have_no_zoo(
    planted: Planted, quick: AssessmentOptions
) -> None:
    left, right, matrices = parallel(planted, {"one": 11, "two": 7}, {"two": 7, "three": 8, "four": 6})
    found = assess_text_set("pair", KIND, matrices, left=left, right=right, options=quick)
    assert [(pair.matrix.left, pair.matrix.right) for pair in found.pairs] == [
        (one, other) for one in ("one", "two") for other in ("two", "three", "four")
    ]
    assert found.notes == ("left and right models are not the same, so there is no test over the zoo",)
    assert found.is_from_texts


# neighbors that do not fit


def test_neighbors_in_another_order_are_refused(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    with pytest.raises(ParameterError) as raised:
        assess_text_set("news", KIND, matrices, left=zoo[::-1], options=quick)
    assert "the neighbors are of ['four', 'three', 'two', 'one']" in str(raised.value)
    assert "the matrices are of ['one', 'two', 'three', 'four']" in str(raised.value)


def test_right_neighbors_of_a_symmetric_matrix_are_refused(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    with pytest.raises(ParameterError, match="the neighbors are of"):
        assess_text_set("news", KIND, matrices, left=zoo, right=zoo, options=quick)


def test_neighbors_of_other_texts_are_refused(
    zoo: list[Neighbors], matrices: AffinityMatrices, quick: AssessmentOptions
) -> None:
    others = [*zoo[:2], replace(zoo[2], texts_digest="others"), zoo[3]]
    with pytest.raises(DigestMismatchError, match=r"neighbors, of three, are of other texts"):
        assess_text_set("news", KIND, matrices, left=others, options=quick)


# at the edge


def test_one_model_alone_has_no_pairs(planted: Planted, quick: AssessmentOptions) -> None:
    one = [planted("one", 7, seed=1)]
    found = assess_text_set("news", KIND, all_affinities(one, k=K), left=one, options=quick)
    assert (found.pairs, found.zoo, found.mean_square, found.tree) == ((), {}, None, None)
    assert found.notes == ("1 model: a test over the zoo needs 3",)
    assert not found.is_from_texts


@pytest.mark.parametrize("alone", [False, True])
def test_with_all_texts_as_neighbors_nothing_can_be_told_and_there_is_no_tree(
    alone: bool, planted: Planted, quick: AssessmentOptions
) -> None:
    zoo = [planted(name, n, seed=n, k=10, n_texts=11) for name, n in LAYERS.items()]
    matrices = all_affinities(zoo, k=10)
    left = None if alone else zoo
    found = assess_text_set("x", MatrixKind("mutual_knn", 10), matrices, left=left, options=quick)
    assert {pair.decision.verdict for pair in found.pairs if pair.decision} == {"undecided"}
    assert (found.distances, found.tree) == (None, None)


def test_a_model_of_one_layer_takes_nothing_from_the_others(
    planted: Planted, zoo: list[Neighbors], quick: AssessmentOptions
) -> None:
    models = [planted("flat", 1, seed=9), *zoo[:2]]
    found = assess_text_set("news", KIND, all_affinities(models, k=K), left=models, options=quick)
    adjusted = found.adjusted["student", "bonferroni"]
    assert np.isnan(adjusted).tolist() == [True, True, False]
    assert adjusted[2] == pytest.approx(found.pairs[2].tests["student"].p_value)
    assert "on_minus_off" not in found.zoo
    assert found.tree is not None


def test_equal_models_are_at_no_distance(planted: Planted, quick: AssessmentOptions) -> None:
    model = planted("one", 7, seed=1)
    models = [replace(model, model=name) for name in ("one", "two", "three")]
    found = assess_text_set("x", KIND, all_affinities(models, k=K), left=models, options=quick)
    assert found.distances is not None
    np.testing.assert_array_equal(found.distances.values, 0)
    assert {pair.decision.verdict for pair in found.pairs if pair.decision} == {"depth-matched"}


def test_a_registered_measure_has_no_decisions_and_no_tree(
    zoo: list[Neighbors], quick: AssessmentOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutual = MEASURES["mutual_knn"]
    halved = of_models(lambda left, right: mutual(left, right, left.shape[2]) / 2)
    monkeypatch.setitem(MEASURES, "halved", halved)
    matrices = all_affinities(zoo, k=K, measure="halved")
    found = assess_text_set("x", MatrixKind("halved", K), matrices, left=zoo, options=quick)
    assert {pair.decision for pair in found.pairs} == {None}
    assert (found.tree, found.is_from_texts) == (None, False)
    assert found.zoo["on_minus_off"].mean.value > 0
