"""The payload holds what the Python API says, number by number, and what the neighbors give by hand."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices, affinity_matrix
from isodepth.assessment import StudyAssessment, TextSetAssessment, assess_text_set
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.report import explained, report_payload
from isodepth.report import payload as payload_module
from isodepth.report.packing import json_text, unpacked
from isodepth.report.pairs import MAP_COLUMNS
from isodepth.results import Evidence, MatrixKind, StudyResults, TextSetResults, evidence_key
from isodepth.statistics import mean_on_unit_square, null_model, permutation_null
from isodepth.texts import TextSet
from report.made_studies import HOSTILE, LAYERS, N_TEXTS, QUICK, STORED_K, Made

KIND = MatrixKind("mutual_knn", 10)
"""The kind whose verdicts are shown."""


@pytest.fixture(scope="session")
def payload(made: Made) -> dict[str, Any]:
    return report_payload(made.assessed, results=made.results, evidence=made.evidence)


def shown(payload: Mapping[str, Any], name: str, measure: str = "mutual_knn") -> dict[str, Any]:
    """Return a set of a payload."""
    (found,) = [one for one in payload["sets"] if (one["name"], one["measure"]) == (name, measure)]
    return found


def assessed(made: Made, name: str, kind: MatrixKind = KIND) -> TextSetAssessment:
    (found,) = [one for one in made.assessed.sets if (one.name, one.kind) == (name, kind)]
    return found


def block_values(
    one: Mapping[str, Any], k: int, what: str = "values"
) -> dict[tuple[int, int], np.ndarray]:
    """Return the stored matrices at a k, by places of the labels."""
    (entry,) = [entry for entry in one["ks"] if entry["k"] == k]
    numbers, start, found = unpacked(entry[what]), 0, {}
    for i, j in one["blocks"]:
        shape = one["left_layers"][i], one["right_layers"][j]
        cells = numbers[start : start + shape[0] * shape[1]].reshape(shape)
        found[i, j] = cells if what == "sd" else cells / (entry["scale"] or 1)
        start += cells.size
    assert start == len(numbers)
    return found


def overlap(left: Neighbors, right: Neighbors, k: int) -> np.ndarray:
    """Return the mean share of common neighbors of all layers, text by text."""
    found = np.zeros((left.n_layers, right.n_layers))
    for i, j in np.ndindex(found.shape):
        shares = [
            len(set(ours[:k]) & set(theirs[:k])) / k
            for ours, theirs in zip(left.ids[i].tolist(), right.ids[j].tolist(), strict=True)
        ]
        found[i, j] = np.mean(shares)
    return found


# matrices


def test_models_compared_with_each_other_are_stored_once_with_themselves(
    payload: dict[str, Any],
) -> None:
    one = shown(payload, "plain")
    assert (one["left"], one["left_layers"]) == (list(LAYERS), list(LAYERS.values()))
    assert one["blocks"] == [[0, 0], [0, 1], [0, 2], [1, 1], [1, 2], [2, 2]]
    for (i, j), values in block_values(one, 10).items():
        if i == j:
            np.testing.assert_array_equal(values.diagonal(), 1)


def test_matrices_are_swept_over_k_as_far_as_neighbors_are_stored(payload: dict[str, Any]) -> None:
    assert [entry["k"] for entry in shown(payload, "plain")["ks"]] == [1, 2, 3, 5, 10]
    assert [entry["k"] for entry in shown(payload, "parallel")["ks"]] == [1, 2, 5, 10]
    assert [entry["k"] for entry in shown(payload, "alone")["ks"]] == [10]
    assert [one["ks"][one["main"]]["k"] for one in payload["sets"]] == [10] * 4


@pytest.mark.parametrize("k", [1, 3, 5])
def test_values_are_the_shares_of_common_neighbors(made: Made, payload: dict[str, Any], k: int) -> None:
    models = list(made.evidence[evidence_key("plain", KIND)].left.values())
    found = block_values(shown(payload, "plain"), k)
    for i, j in [(0, 2), (1, 1)]:
        np.testing.assert_allclose(found[i, j], overlap(models[i], models[j], k), rtol=1e-12)


def test_sd_is_that_of_the_permutation_null(made: Made, payload: dict[str, Any]) -> None:
    for name, k in (("plain", 2), ("plain", 10), ("parallel", 5)):
        evidence = made.evidence[evidence_key(name, KIND)]
        left, right = list(evidence.left.values()), list((evidence.right or evidence.left).values())
        for (i, j), sd in block_values(shown(payload, name), k, "sd").items():
            expected = permutation_null(left[i].ids, right[j].ids, k=k, with_skewness=False).sd
            np.testing.assert_allclose(sd, expected, rtol=1e-6)


def test_chance_and_the_papers_sd_are_told_of_every_k(payload: dict[str, Any]) -> None:
    for entry in shown(payload, "plain")["ks"]:
        null = null_model(N_TEXTS, entry["k"])
        assert (entry["chance"], entry["null_sd"]) == (null.mean, null.sd)
        assert entry["scale"] == entry["k"] * N_TEXTS


def test_every_left_model_meets_every_right_one_on_parallel_texts(
    made: Made, payload: dict[str, Any]
) -> None:
    one = shown(payload, "parallel")
    assert not one["symmetric"]
    assert one["name"] == "parallel"
    assert (one["left_name"], one["right_name"]) == ("plain </script> & co", "german")
    assert one["blocks"] == [[i, j] for i in range(3) for j in range(2)]
    assert (one["right"], one["right_layers"], one["right_order"]) == (["bob", "cyd"], [11, 8], [0, 1])
    assert len(one["pairs"]) == 6
    matrices = assessed(made, "parallel").matrices
    for (i, j), values in block_values(one, 10).items():
        np.testing.assert_allclose(values, matrices[matrices.left[i], matrices.right[j]].values)


def test_another_measure_has_values_as_they_are_and_no_chance(
    made: Made, payload: dict[str, Any]
) -> None:
    one = shown(payload, "plain", "noise")
    (entry,) = one["ks"]
    assert (entry["chance"], entry["null_sd"], entry["scale"], entry["sd"]) == (None,) * 4
    matrices = assessed(made, "plain", MatrixKind("noise", 10)).matrices
    np.testing.assert_array_equal(block_values(one, 10)[0, 1], matrices["ann", "bob"].values)
    assert one["explain"] is None
    assert {pair["verdict"] for pair in one["pairs"]} == {None}
    assert one["measure_name"] == "noise"


def test_large_reports_have_no_further_ks(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    # 26 layers: 7 * 7 + 7 * 11 + ... of the two symmetric sets' and the parallel one's blocks
    monkeypatch.setattr(payload_module, "MOST_SWEPT", 1_000)
    found = report_payload(made.named("plain"), results=made.results, evidence=made.evidence)
    assert [entry["k"] for entry in shown(found, "plain")["ks"]] == [1, 2, 3, 5, 10]
    monkeypatch.setattr(payload_module, "MOST_SWEPT", 909)
    found = report_payload(made.named("plain"), results=made.results, evidence=made.evidence)
    assert [entry["k"] for entry in shown(found, "plain")["ks"]] == [3, 10]


# pairs


@pytest.mark.parametrize("name", ["plain", "parallel", "alone"])
def test_each_pair_has_the_numbers_of_its_assessment(
    made: Made, payload: dict[str, Any], name: str
) -> None:
    one, found = assessed(made, name), shown(payload, name)
    assert len(found["pairs"]) == len(one.pairs) > 0
    for place, (told, pair) in enumerate(zip(found["pairs"], one.pairs, strict=True)):
        assert (found["left"][told["left"]], found["right"][told["right"]]) == (
            pair.matrix.left,
            pair.matrix.right,
        )
        assert found["blocks"][told["block"]] == [told["left"], told["right"]]
        decision = pair.decision
        assert decision is not None
        names = ("verdict", "sentence", "basis", "p_shared", "p_depth")
        assert [told[key] for key in names] == [getattr(decision, key) for key in names]
        assert told["p_best"] == (None if pair.over_all is None else pair.over_all.p_value)
        student = pair.tests["student"]
        assert told["tests"]["student"] == [student.statistic, student.p_value]
        assert told["adjusted"]["welch"]["holm"] == one.adjusted["welch", "holm"][place]
        assert set(told["profile"]) == set(pair.profile)
        for part, (value, low, high) in told["profile"].items():
            estimate = pair.profile[part]
            assert (value, low, high) == (estimate.value, estimate.low, estimate.high)
        departure = pair.depth_map.departure
        assert told["departure"] == [
            departure.signed.value,
            departure.signed.low,
            departure.signed.high,
        ]
        assert told["departure_absolute"][0] == departure.absolute.value
        assert told["match_disagreement"] == pair.depth_map.match_disagreement


def test_the_most_similar_cell_is_told_with_its_interval(made: Made, payload: dict[str, Any]) -> None:
    for told, pair in zip(shown(payload, "plain")["pairs"], assessed(made, "plain").pairs, strict=True):
        i, j = np.unravel_index(pair.matrix.values.argmax(), pair.matrix.values.shape)
        low, high = pair.cell_intervals(QUICK.level)
        assert low is not None
        assert high is not None
        assert told["highest"] == [pair.matrix.values[i, j], low[i, j], high[i, j]]
    assert shown(payload, "alone")["pairs"][0]["highest"][1:] == [None, None]


@pytest.mark.parametrize("name", ["plain", "alone"])
def test_maps_are_the_rows_of_the_depth_maps(made: Made, payload: dict[str, Any], name: str) -> None:
    columns = ("to_first", "to_last", "to_layer", "low", "high", "simultaneous_low")
    columns += ("simultaneous_high", "similarity", "margin", "slope")
    assert [column.removeprefix("to_") for column in columns] == list(MAP_COLUMNS)
    rows = [
        [row[column] for column in columns]
        for pair in assessed(made, name).pairs
        for row in pair.depth_map.to_table().to_pylist()
    ]
    found = unpacked(shown(payload, name)["maps"])
    np.testing.assert_array_equal(found, np.array(rows, dtype=np.float32))
    assert np.isnan(found[:, 3]).all() == (name == "alone")


def test_errors_are_those_of_the_cells(made: Made, payload: dict[str, Any]) -> None:
    pairs = assessed(made, "plain").pairs
    expected = [pair.standard_errors.reshape(-1) for pair in pairs if pair.standard_errors is not None]
    found = unpacked(shown(payload, "plain")["errors"])
    np.testing.assert_array_equal(found, np.concatenate(expected).astype(np.float32))
    assert shown(payload, "alone")["errors"] is None


def test_the_mean_square_the_zoo_and_the_tree_are_those_of_the_set(
    made: Made, payload: dict[str, Any]
) -> None:
    one, found = assessed(made, "plain"), shown(payload, "plain")
    square = mean_on_unit_square([pair.matrix.values for pair in one.pairs], n_bins=40)
    np.testing.assert_allclose(unpacked(found["mean_square"]["values"]), square.values, rtol=1e-6)
    assert found["mean_square"]["n_matrices"] == 3
    mean = one.zoo["on_minus_off"].mean
    told = found["zoo"]["on_minus_off"]
    assert told["mean"] == [mean.value, mean.low, mean.high]
    assert (told["n_pairs"], told["n_units"], told["resampled"]) == (3, 3, "models")
    assert one.tree is not None
    assert [found["left"][place] for place in found["order"]] == list(one.tree.order)
    assert found["tree"]["support"] == [clade.support for clade in one.tree.clades]
    assert shown(payload, "parallel")["tree"] is None


# evidence


def test_neighbor_lists_are_as_they_were_nearest_first(made: Made, payload: dict[str, Any]) -> None:
    for name in ("plain", "parallel"):
        evidence = made.evidence[evidence_key(name, KIND)]
        told = shown(payload, name)["explain"]
        assert told["k"] == STORED_K
        for label, values in told["left"].items():
            np.testing.assert_array_equal(unpacked(values), evidence.left[label].ids)
        assert list(told["left"]) == list(LAYERS)
        if evidence.right is None:
            assert told["right"] is None
        else:
            assert list(told["right"]) == ["bob", "cyd"]
            np.testing.assert_array_equal(unpacked(told["right"]["cyd"]), evidence.right["cyd"].ids)


def test_texts_are_there_once_and_cut_at_a_thousand_characters(
    made: Made, payload: dict[str, Any]
) -> None:
    evidence = made.evidence[evidence_key("parallel", KIND)]
    assert evidence.texts is not None
    plain, parallel = shown(payload, "plain")["explain"], shown(payload, "parallel")["explain"]
    assert (plain["texts"], plain["right_texts"]) == (0, None)
    assert (parallel["texts"], parallel["right_texts"]) == (0, 1)
    assert [one["name"] for one in payload["texts"]] == ["plain </script> & co", "german"]
    told = payload["texts"][0]
    assert told["cut"] == 1_000
    assert told["items"][:-1] == list(evidence.texts.texts[:-1])
    assert told["items"][-1] == "x" * 1_000
    assert told["lengths"] == [len(text) for text in evidence.texts.texts]


def test_markup_scripts_and_odd_letters_survive_json_and_end_no_element(
    payload: dict[str, Any],
) -> None:
    written = json_text(payload)
    assert json.loads(written)["texts"][0]["items"][: len(HOSTILE)] == list(HOSTILE)
    assert "<" not in written
    assert json.loads(written) == payload
    written.encode()


def test_the_same_results_give_the_same_bytes(made: Made, payload: dict[str, Any]) -> None:
    again = report_payload(made.assessed, results=made.results, evidence=made.evidence)
    assert json_text(again) == json_text(payload)


def test_a_pair_alone_is_explained_where_it_is_asked_for(made: Made) -> None:
    found = report_payload(
        made.assessed, results=made.results, evidence=made.evidence, explain=[("cyd", "ann")]
    )
    assert list(shown(found, "plain")["explain"]["left"]) == ["ann", "cyd"]
    assert shown(found, "parallel")["explain"] is None  # ann read no German
    found = report_payload(
        made.assessed, results=made.results, evidence=made.evidence, explain=[("ann", "cyd")]
    )
    assert list(shown(found, "parallel")["explain"]["left"]) == ["ann"]
    assert list(shown(found, "parallel")["explain"]["right"]) == ["cyd"]


def test_lists_that_are_too_many_are_left_out_and_a_note_says_so(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {"results": made.results, "evidence": made.evidence}
    plain = made.named("plain")
    ids = sum(LAYERS.values()) * N_TEXTS  # as bytes; base64 takes 4 for 3
    monkeypatch.setattr(explained, "MOST_BYTES", ids * 12 * 4 / 3)
    assert shown(report_payload(plain, **arguments), "plain")["explain"]["k"] == 10
    monkeypatch.setattr(explained, "MOST_BYTES", ids * 9 * 4 / 3)
    found = report_payload(plain, **arguments)
    assert shown(found, "plain")["explain"] is None
    assert found["texts"] == []
    (note,) = [note for note in shown(found, "plain")["notes"] if "neighbor lists" in note]
    assert "--explain LEFT,RIGHT" in note
    assert "would take 0.0184 MB" in note
    found = report_payload(plain, **arguments, explain="all")
    assert shown(found, "plain")["explain"]["k"] == 10


def test_no_lists_go_in_where_none_are_wanted(made: Made) -> None:
    found = report_payload(made.assessed, results=made.results, evidence=made.evidence, explain="none")
    assert {one["explain"] is None for one in found["sets"]} == {True}
    assert not any("neighbor lists" in note for one in found["sets"] for note in one["notes"])


def test_unknown_choices_of_models_are_refused(made: Made) -> None:
    arguments: dict[str, Any] = {"results": made.results, "evidence": made.evidence}
    with pytest.raises(
        ParameterError, match="must be 'auto', 'all', 'none' or pairs of labels; got 'some'"
    ):
        report_payload(made.assessed, **arguments, explain="some")
    with pytest.raises(UnknownNameError) as refused:
        report_payload(made.assessed, **arguments, explain=[("bob", "ann"), ("bop", "cyd")])
    assert refused.value.message == ("no text set has the pair bop and cyd; models are ann, bob, cyd")
    assert refused.value.hint == "did you mean bob?"


def test_notes_of_the_evidence_stand_with_the_set(made: Made) -> None:
    key = evidence_key("plain", KIND)
    evidence = {key: replace(made.evidence[key], texts=None, notes=("the texts are gone",))}
    found = report_payload(made.named("plain"), results=made.results, evidence=evidence)
    one = shown(found, "plain")
    assert "the texts are gone" in one["notes"]
    assert one["explain"]["texts"] is None
    assert found["texts"] == []


# other shapes


def test_several_ks_are_one_set_and_ten_is_shown(made: Made) -> None:
    only = replace(made.assessed, sets=(assessed(made, "plain", MatrixKind("mutual_knn", 3)),))
    found = report_payload(only, results=made.results, evidence=made.evidence)
    (one,) = found["sets"]
    assert one["ks"][one["main"]]["k"] == 3
    assert [entry["k"] for entry in one["ks"]] == [1, 2, 3, 5, 10]
    assert one["pairs"][0]["verdict"] == only.sets[0].pairs[0].decision.verdict  # type: ignore[union-attr]


def test_matrices_of_other_models_at_another_k_are_left_out(made: Made) -> None:
    one = made.results["plain"]
    kind = MatrixKind("mutual_knn", 3)
    other = replace(one.matrices[kind], left=("dan", "bob", "cyd"), right=("dan", "bob", "cyd"))
    sets = {"plain": replace(one, matrices={**one.matrices, kind: other})}
    only = replace(made.assessed, sets=(assessed(made, "plain"),))
    found = report_payload(only, results=replace(made.results, sets=sets))
    assert [entry["k"] for entry in found["sets"][0]["ks"]] == [10]


def test_models_of_one_layer_and_a_model_alone_have_a_payload_too(rng: np.random.Generator) -> None:
    texts = TextSet.of([f"text {number}" for number in range(11)])
    ids = [np.argsort(rng.random((1, 11, 11)) + 9 * np.eye(11), axis=-1) for _ in range(2)]
    models = [
        Neighbors(
            ids=one[:, :, :3].astype(np.int32),
            similarities=np.zeros((1, 11, 3), np.float32),
            model=name,
            texts_digest=texts.digest,
        )
        for name, one in zip(("one", "other"), ids, strict=True)
    ]
    kind = MatrixKind("mutual_knn", 3)
    for readers in (models, models[:1]):
        values = np.ones((len(readers), len(readers)))
        if len(readers) == 2:
            values[0, 1] = values[1, 0] = affinity_matrix(*readers).values[0, 0]
        labels = tuple(one.model for one in readers)
        matrices = AffinityMatrices(
            values=values,
            left=labels,
            right=labels,
            left_layers=(1,) * len(readers),
            right_layers=(1,) * len(readers),
            is_symmetric=True,
            measure="mutual_knn",
            k=3,
            n_texts=11,
            texts_digest=texts.digest,
        )
        found = assess_text_set("tiny", kind, matrices, left=readers, options=QUICK)
        results = StudyResults(
            name="tiny", sets={"tiny": TextSetResults(name="tiny", matrices={kind: matrices})}
        )
        study = StudyAssessment(name="tiny", sets=(found,), options=QUICK)
        evidence = Evidence(left={one.model: one for one in readers}, texts=texts)
        payload = report_payload(
            study, results=results, evidence={evidence_key("tiny", kind): evidence}
        )
        json_text(payload)
        (one,) = payload["sets"]
        assert len(one["pairs"]) == len(readers) - 1
        assert [pair["tests"] for pair in one["pairs"]] == [{}] * (len(readers) - 1)
        assert unpacked(one["maps"]).shape == (2 * (len(readers) - 1), 10)
        assert one["mean_square"] is None if len(readers) == 1 else one["mean_square"]["n_bins"] == 40
        assert one["explain"]["k"] == 3
