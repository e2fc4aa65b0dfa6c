"""The three sentences say what the numbers support, and no more."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isodepth.assessment import AssessmentOptions, PairAssessment, TextSetAssessment
from isodepth.report.sentences import is_control, three_sentences
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from isodepth.statistics.ridge import RIDGE_PARTS
from report.made_studies import QUICK, Made

KIND = MatrixKind("mutual_knn", 10)


@pytest.fixture(scope="module")
def plain(made: Made) -> TextSetAssessment:
    return next(one for one in made.assessed.sets if (one.name, one.kind) == ("plain", KIND))


@pytest.fixture(scope="module")
def alone(made: Made) -> TextSetAssessment:
    return next(one for one in made.assessed.sets if one.name == "alone")


def of_one(one: TextSetAssessment, place: int = 0) -> TextSetAssessment:
    """Return a set with one of its pairs."""
    return replace(one, pairs=one.pairs[place : place + 1], zoo={})


def decided(pair: PairAssessment, verdict: str, **numbers: Any) -> PairAssessment:
    """Return a pair with another verdict."""
    assert pair.decision is not None
    return replace(pair, decision=replace(pair.decision, verdict=verdict, **numbers))


def with_verdicts(one: TextSetAssessment, *verdicts: str) -> TextSetAssessment:
    pairs = tuple(decided(pair, verdict) for pair, verdict in zip(one.pairs, verdicts, strict=True))
    return replace(one, pairs=pairs)


def said(
    made: Made, *sets: TextSetAssessment, options: AssessmentOptions = QUICK
) -> tuple[str, str, str]:
    found = three_sentences(sets, made.results, options)
    for sentence in found:
        assert sentence.endswith(".")
        assert not re.search(r"nan|None|inf\b", sentence)
    return found


def test_one_pair_has_its_own_numbers(made: Made, plain: TextSetAssessment) -> None:
    one = of_one(plain)
    pair = one.pairs[0]
    shared, by_depth, how = said(made, one)
    low, high = pair.cell_intervals(QUICK.level)
    assert low is not None
    assert high is not None
    i, j = np.unravel_index(pair.matrix.values.argmax(), pair.matrix.values.shape)
    highest = f"{pair.matrix.values.max():.3f} [{low[i, j]:.3f}, {high[i, j]:.3f}]"
    assert shared == (
        "Layers of ann and bob share neighbors beyond chance on plain (p = 0.05 over all pairs of "
        f"layers): the most similar, layer {i + 1} of ann and layer {j + 1} of bob, have {highest} of a "
        f"text's 10 nearest neighbors in common, where chance gives {10 / 52:.3f}."
    )
    assert by_depth.endswith(
        "mean similarity on the generalized diagonal minus that off it is "
        f"{pair.profile['on_minus_off']}."
    )
    assert f"off proportional by {pair.depth_map.departure.absolute} of a model's depth" in how


@pytest.mark.parametrize(
    ("verdict", "start"),
    [
        ("depth-matched", "Similarity goes by depth, along a ridge"),
        ("shared, not depth-matched", "Similarity does not go by depth throughout ("),
        ("not shared", "So there is nothing that could go by depth:"),
        ("undecided", "Whether similarity goes by depth throughout, these numbers do not tell ("),
    ],
)
def test_each_verdict_of_a_pair_has_its_words(
    made: Made, plain: TextSetAssessment, verdict: str, start: str
) -> None:
    pair = plain.pairs[0]
    numbers: dict[str, Any] = {"p_shared": 0.7, "parts": ()} if verdict == "not shared" else {}
    one = replace(of_one(plain), pairs=(decided(pair, verdict, **numbers),))
    shared, by_depth, how = said(made, one)
    assert by_depth.startswith(start)
    assert shared.startswith("No layers" if verdict == "not shared" else "Layers")
    assert ("little where no ridge is shown" in how) == (verdict != "depth-matched")
    decision = one.pairs[0].decision
    assert decision is not None
    if decision.weakest is not None:
        assert f"({RIDGE_PARTS[decision.weakest.name]} is {decision.weakest.estimate:+.3f}" in by_depth


def test_a_map_that_layers_own_matches_disagree_with_is_not_trusted(
    made: Made, plain: TextSetAssessment
) -> None:
    pair = decided(plain.pairs[0], "depth-matched")
    for disagreement, is_trusted in ((0.09, True), (0.11, False)):
        depth_map = replace(pair.depth_map, match_disagreement=disagreement)
        one = replace(of_one(plain), pairs=(replace(pair, depth_map=depth_map),))
        how = said(made, one)[2]
        assert ("0.11 of the depth from that map: it is not to be trusted" in how) == (not is_trusted)


def test_many_pairs_are_counted_by_verdict(made: Made, plain: TextSetAssessment) -> None:
    one = with_verdicts(plain, "depth-matched", "undecided", "depth-matched")
    shared, by_depth, how = said(made, one)
    assert shared.startswith(
        "In all 3 pairs of models on plain, layers share neighbors beyond chance (p "
    )
    assert "3 also over all pairs of models of the text set" in shared
    assert by_depth.startswith("Of these pairs 2 go by depth throughout and 1 stays undecided: ")
    mean = one.zoo["on_minus_off"].mean
    assert by_depth.endswith(f" is {mean}, on average over pairs with models left out in turn.")
    departures = [one.pairs[place].depth_map.departure.absolute.value for place in (0, 2)]
    assert f"{np.mean(departures):.3f} of a model's depth at the median" in how
    assert f"({min(departures):.3f} to {max(departures):.3f} over 2 pairs)" in how


def test_pairs_that_share_nothing_are_not_counted_as_sharing(
    made: Made, plain: TextSetAssessment
) -> None:
    pairs = [decided(plain.pairs[0], "not shared", p_shared=0.3, parts=()), *plain.pairs[1:]]
    shared = said(made, replace(plain, pairs=tuple(pairs)))[0]
    assert shared.startswith(
        "In 2 of 3 pairs of models on plain, layers share neighbors beyond chance ("
    )
    none = tuple(decided(pair, "not shared", p_shared=0.3, parts=()) for pair in plain.pairs)
    shared, by_depth, how = said(made, replace(plain, pairs=none))
    assert shared.startswith(
        "In 0 of 3 pairs of models on plain, layers share neighbors beyond chance: "
    )
    assert by_depth.startswith("Of these pairs 3 share none beyond chance: ")
    assert how == "No ridge is shown, so which layers correspond says little."


def test_matrices_alone_are_said_to_be_alone(made: Made, alone: TextSetAssessment) -> None:
    for sets in (alone, of_one(alone)):
        shared, by_depth, _ = said(made, sets)
        assert "by the matrices alone, so how far that may be off is not known" in shared
        assert "[" not in shared
        assert "by estimates alone, whose error is not known" in by_depth


def test_pairs_that_were_told_from_matrices_alone_are_counted_among_others(
    made: Made, plain: TextSetAssessment, alone: TextSetAssessment
) -> None:
    shared, by_depth, _ = said(made, plain, of_one(alone))
    assert "(1 of these pairs by the matrices alone, so how far that may be off is not" in shared
    assert ", 1 of them by estimates alone, whose error is not known: " in by_depth


def test_control_texts_are_counted_by_themselves(made: Made, plain: TextSetAssessment) -> None:
    control = with_verdicts(
        replace(plain, name="noise"), "depth-matched", "undecided", "shared, not depth-matched"
    )
    described = {"texts": {"name": "noise", "provenance": {"source": "generated"}}}
    sets = {**made.results.sets}
    sets["noise"] = replace(sets["plain"], name="noise", description=described)
    results = replace(made.results, sets=sets)
    shared, by_depth, how = three_sentences([plain, control], results, QUICK)
    assert " on plain, " in shared
    assert "noise" not in shared + by_depth
    assert how.endswith("on control texts (noise) 1 of 3 pairs goes by depth throughout.")
    # where there are no others, they are what is told of
    assert "on noise" in three_sentences([control], results, QUICK)[0]


def test_several_sets_have_a_range_with_names(made: Made, plain: TextSetAssessment) -> None:
    parallel = next(one for one in made.assessed.sets if one.name == "parallel")
    shared, by_depth, _ = said(made, plain, of_one(parallel))
    assert "4 pairs of models on plain and parallel, each counted by itself, layers" in shared
    assert re.search(r"layer \d+ of \w+ and layer \d+ of \w+ on (plain|parallel), have", shared)
    for name in ("(plain)", "(parallel)"):
        assert name in by_depth


def test_pairs_without_a_mean_over_models_have_a_range(made: Made) -> None:
    parallel = next(one for one in made.assessed.sets if one.name == "parallel")
    assert not parallel.zoo
    values = sorted(pair.profile["on_minus_off"].value for pair in parallel.pairs)
    by_depth = said(made, parallel)[1]
    assert re.search(
        rf" is {values[0]:.3f} \[.*\] to {values[-1]:.3f} \[.*\], pair by pair\.$", by_depth
    )


def test_a_model_with_itself_is_told_apart_by_side(made: Made) -> None:
    parallel = next(one for one in made.assessed.sets if one.name == "parallel")
    place = [(pair.matrix.left, pair.matrix.right) for pair in parallel.pairs].index(("bob", "bob"))
    shared = said(made, of_one(parallel, place))[0]
    assert "ayers of bob (left) and bob (right) share" in shared


def test_measures_without_chance_have_no_verdict(made: Made) -> None:
    noise = next(one for one in made.assessed.sets if one.kind.measure == "noise")
    shared, by_depth, _ = said(made, noise)
    assert shared.startswith("The most similar by noise, layer ")
    assert shared.endswith("; what it is by chance is not known.")
    assert by_depth.startswith("Whether similarity goes by depth has no verdict for this measure: ")


def test_a_known_chance_is_told_where_there_is_no_verdict(made: Made) -> None:
    noise = next(one for one in made.assessed.sets if one.kind.measure == "noise")
    pair = replace(noise.pairs[0], matrix=replace(noise.pairs[0].matrix, measure="cka_debiased"))
    shared = said(made, replace(noise, pairs=(pair,)))[0]
    assert shared.startswith("The most similar by cka_debiased, layer ")
    assert shared.endswith("; chance gives 0.000, how far it strays is not known.")


def test_of_several_measures_without_verdicts_the_first_is_told(made: Made) -> None:
    noise = next(one for one in made.assessed.sets if one.kind.measure == "noise")
    pairs = [
        replace(pair, matrix=replace(pair.matrix, values=pair.matrix.values + 1))
        for pair in noise.pairs
    ]
    other = replace(noise, kind=noise.kind._replace(measure="louder"), pairs=tuple(pairs))
    assert said(made, noise, other) == said(made, noise)
    assert said(made, noise)[2] == "Which layers correspond has no verdict either, and so says little."


def test_text_sets_are_told_apart_by_what_differs(made: Made, plain: TextSetAssessment) -> None:
    other = replace(plain, kind=plain.kind._replace(capture="mlp"))
    shared, _, _ = said(made, plain, other)
    assert f"on {plain.name} (block) and {plain.name} (mlp), each counted by itself" in shared


def test_beside_verdicts_measures_without_any_are_not_counted(
    made: Made, plain: TextSetAssessment
) -> None:
    noise = next(one for one in made.assessed.sets if one.kind.measure == "noise")
    assert said(made, plain, noise) == said(made, plain)


def test_where_every_text_is_a_neighbor_nothing_can_be_told(
    made: Made, plain: TextSetAssessment
) -> None:
    pair = decided(plain.pairs[0], "undecided", p_shared=None, parts=())
    shared = said(made, replace(of_one(plain), pairs=(pair,)))[0]
    assert shared.endswith("; every text is a neighbor of every other, so nothing can be told.")


def test_a_model_alone_has_nothing_to_be_compared_with(made: Made, plain: TextSetAssessment) -> None:
    lonely = replace(plain, pairs=(), zoo={}, matrices=plain.matrices)
    assert said(made, lonely)[0] == "There is no pair of models to compare: 3 models in all."


@pytest.mark.parametrize(
    ("name", "description", "expected"),
    [
        ("plain", {"texts": {"provenance": {"source": "offline"}}}, False),
        ("letters", {"texts": {"provenance": {"source": "generated"}}}, True),
        ("two", {"texts": {"provenance": {}}, "right_texts": {"provenance": {"controls": [{}]}}}, True),
        ("random-strings", {}, True),
        ("caesar(news)", {}, True),
        ("caesar(news)", {"texts": {"provenance": {"source": "a file"}}}, False),
        ("my texts (new)", {}, False),
        ("caesar", {}, False),
        ("hf:owner/name", {}, False),
    ],
)
def test_controls_are_told_by_where_texts_come_from_or_by_name(
    name: str, description: dict[str, Any], expected: bool
) -> None:
    one = TextSetResults(name=name, matrices={}, description=description)
    assert is_control(name, StudyResults(name="study", sets={name: one})) == expected
