"""A study from beginning to end: only what is missing is computed, and results are those of the parts."""

import errno
import gc
import itertools
import json
import logging
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isodepth
from isodepth import affinity_matrix, compare, extract, load_model, nearest_neighbors
from isodepth.affinity import MEASURES
from isodepth.atomic import storage_errors
from isodepth.engines import LocalEngine, Outcome, Task
from isodepth.errors import ModelError, StoreError, StudyError
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.run import run_study
from isodepth.progress import Progress
from isodepth.results import StudyResults, load_results
from isodepth.stages import STAGE_VERSIONS
from isodepth.store import DamagedArtifactWarning, Store
from isodepth.store.garbage import garbage
from isodepth.texts import load_parallel_texts, load_texts
from model_measures import of_models
from tiny_studies import HARMS, N_RED, Counts, bytes_of, data_files, flipped, tiny_study, together

LAYERS = {"tiny-llama": 5, "tiny-gemma": 7, "tiny-gpt2": 3, "tiny-two": 2}
NAMES = tuple(LAYERS)[:3]


def wrong_values(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.full((len(left), len(right)), 0.5)


# ---------------------------------------------------------------------------------- what is computed


def test_a_model_is_loaded_once_for_all_its_text_sets_and_a_shared_set_is_read_once(finished) -> None:
    assert finished.loads == NAMES
    plan = plan_study(finished.study, Store(finished.store))
    assert len(plan.readings) == 9  # red stands alone and in the pair
    # contracts aside, every model read three sets in batches of one kind
    assert len(Store(finished.store).keys("neighbors")) == 9
    assert Counter(finished.batches) == dict.fromkeys(NAMES, len(finished.batches) // 3)


def test_a_finished_study_computes_nothing_and_gives_the_same_bytes(
    finished, tmp_path: Path, counts: Counts
) -> None:
    again = run_study(finished.study, tmp_path / "out", store=finished.store)
    assert (counts.loads, counts.batches, counts.pairs) == ([], [], [])
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)
    assert again.missing == ()


def test_another_k_up_to_what_is_kept_costs_no_model(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    study = isodepth.Study.of(**{**finished.study.as_dict(), "ks": [5, 7]})
    results = run_study(study, tmp_path / "out", store=copied_store)
    assert (counts.loads, counts.batches) == ([], [])
    # 6 pairs of models on each set, one tried in the other direction, and 9 of the pair; k = 5 is there
    assert len(counts.pairs) == 2 * 6 + 9
    assert [kind.k for kind in results["pair"].matrices] == [5, 7]


def test_another_measure_costs_no_model_and_no_matrix_of_the_first(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    study = isodepth.Study.of(**{**finished.study.as_dict(), "measures": ["overlap", "mutual_knn"]})
    results = run_study(study, tmp_path / "out", store=copied_store)
    assert (counts.loads, counts.batches, counts.pairs) == ([], [], [])
    for name in results:
        one, other = (
            results.matrices(name, k=3, measure=measure) for measure in ("overlap", "mutual_knn")
        )
        np.testing.assert_array_equal(one.values, other.values)


def test_a_k_above_what_is_kept_costs_every_model_once_and_then_serves_smaller_ones(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    keys = finished.study.as_dict()
    keys |= {"texts": keys["texts"][:1], "models": keys["models"][1:]}
    larger = {**keys, "ks": [13], "keep": {"neighbors": 13}}
    run_study(isodepth.Study.of(**larger), tmp_path / "out", store=copied_store)
    assert counts.loads == list(NAMES[1:])
    counts.clear()
    run_study(isodepth.Study.of(**larger | {"ks": [11, 2]}), tmp_path / "out", store=copied_store)
    assert (counts.loads, counts.batches) == ([], [])


@pytest.mark.parametrize("keeps", [False, True])
def test_more_neighbors_to_keep_cost_every_model_unless_activations_are_kept(
    keeps: bool, llama_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    def study(neighbors: int) -> isodepth.Study:
        keep = {"activations": keeps, "neighbors": neighbors}
        return tiny_study(llama_folder, texts=[red], ks=[3], keep=keep)

    store = Store(tmp_path / "store")
    run_study(study(7), tmp_path / "out", store=store)
    counts.clear()
    more = plan_study(study(11), store)
    assert [one.state for one in more.readings] == ["to do"]
    run_study(more, tmp_path / "out", store=store)
    assert counts.loads == ([] if keeps else ["tiny-llama"])
    assert [name.rpartition("-k")[2] for name in store.keys("neighbors")] == ["11", "7"]
    counts.clear()
    for fewer in (study(5), study(11)):
        plan = plan_study(fewer, store)
        assert [one.state for one in plan.readings] == ["done"]
    run_study(study(N_RED + 100), tmp_path / "out", store=store)
    whole = plan_study(study(N_RED + 200), store)
    assert [one.state for one in whole.readings] == ["done"]  # there are no more than all


def test_a_third_model_costs_its_own_rows_and_leaves_the_bytes_of_a_study_of_three(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    shutil.rmtree(copied_store.root / "affinities")
    keys = finished.study.as_dict()
    two = isodepth.Study.of(**{**keys, "models": keys["models"][1:]})
    run_study(two, tmp_path / "out", store=copied_store)
    counts.clear()
    run_study(finished.study, tmp_path / "out", store=copied_store)
    assert (counts.loads, counts.batches) == ([], [])
    assert all(5 in pair for pair in counts.pairs)
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


def test_a_fourth_model_costs_its_readings(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path, counts: Counts
) -> None:
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": [*keys["models"], str(two_folder)]})
    results = run_study(study, tmp_path / "out", store=copied_store)
    assert counts.loads == ["tiny-two"]
    assert set(counts.batches) == {"tiny-two"}
    assert all(2 in pair for pair in counts.pairs)
    for name in results:
        assert results.matrices(name, k=5).left == (*NAMES, "tiny-two")


def test_each_new_pair_of_models_is_measured_once(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path, counts: Counts
) -> None:
    keys = finished.study.as_dict()
    keys |= {"models": [*keys["models"], str(two_folder)], "ks": [3], "texts": keys["texts"][:1]}
    run_study(isodepth.Study.of(**keys), tmp_path / "out", store=copied_store)
    assert Counter(frozenset(pair) for pair in counts.pairs) == Counter(
        frozenset({2, n_layers}) for n_layers in LAYERS.values()
    )


def test_cells_that_are_there_are_taken_from_the_earlier_artifact(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": [str(two_folder), *keys["models"]], "ks": [3]})
    monkeypatch.setitem(MEASURES, "overlap", of_models(wrong_values))
    results = run_study(study, tmp_path / "out", store=copied_store)
    for name in results:
        found = results.matrices(name)
        earlier = finished.results.matrices(name, k=3)
        np.testing.assert_array_equal(found.values[2:, 2:], earlier.values)
        assert np.all(found.values[:2] == 0.5)
        assert np.all(found.values[:, :2] == 0.5)


def test_fewer_models_in_another_order_cost_nothing(
    finished, copied_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: Counts
) -> None:
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": keys["models"][:0:-1]})
    results = run_study(study, tmp_path / "out", store=copied_store)
    assert (counts.loads, counts.batches, counts.pairs) == ([], [], [])
    for name in results:
        found, whole = results.matrices(name, k=5), finished.results.matrices(name, k=5)
        assert found.left == ("tiny-gpt2", "tiny-gemma")
        for one, other in itertools.product(found.left, repeat=2):
            np.testing.assert_array_equal(found[one, other].values, whole[one, other].values)


def test_a_model_in_another_folder_is_found_in_the_store_under_its_new_label(
    finished, copied_store: Store, llama_folder: Path, tmp_path: Path, counts: Counts
) -> None:
    shutil.copytree(llama_folder, tmp_path / "renamed")
    keys = finished.study.as_dict()
    models = [str(tmp_path / "renamed"), *keys["models"][1:]]
    results = run_study(
        isodepth.Study.of(**{**keys, "models": models}), tmp_path / "out", store=copied_store
    )
    assert (counts.loads, counts.batches, counts.pairs) == ([], [], [])
    for name in results:
        found, earlier = results.matrices(name, k=3), finished.results.matrices(name, k=3)
        assert found.left == ("renamed", "tiny-gemma", "tiny-gpt2")
        np.testing.assert_array_equal(found.values, earlier.values)


def test_captures_and_poolings_are_read_in_one_pass(
    gpt2_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    one = tiny_study(gpt2_folder, texts=[red])
    run_study(one, tmp_path / "one", store=tmp_path / "store one")
    n_batches = len(counts.batches)
    counts.clear()
    many = tiny_study(gpt2_folder, texts=[red], captures=["block", "mlp"], poolings=["last", "mean"])
    results = run_study(many, tmp_path / "many", store=tmp_path / "store many")
    assert counts.loads == ["tiny-gpt2"]
    assert len(counts.batches) == n_batches
    model, texts = load_model(str(gpt2_folder)), load_texts(red, n=31)
    for capture, pooling in itertools.product(("block", "mlp"), ("last", "mean")):
        neighbors = nearest_neighbors(extract(model, texts, capture=capture, pooling=pooling), 3)
        expected = affinity_matrix(neighbors, neighbors, k=3).values
        found = results.matrices(Path(red).name, capture=capture, pooling=pooling)
        np.testing.assert_array_equal(found.values, expected)


def test_a_capture_that_is_added_costs_one_pass_for_it_alone(
    gpt2_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    run_study(tiny_study(gpt2_folder, texts=[red]), tmp_path / "out", store=tmp_path / "store")
    before = {path: path.stat().st_mtime_ns for path in data_files(tmp_path / "store", "neighbors")}
    counts.clear()
    more = tiny_study(gpt2_folder, texts=[red], captures=["mlp", "block"])
    run_study(more, tmp_path / "out", store=tmp_path / "store")
    assert counts.loads == ["tiny-gpt2"]
    assert counts.pairs == [(3, 3)]  # of the new capture
    after = {path: path.stat().st_mtime_ns for path in data_files(tmp_path / "store", "neighbors")}
    assert before.items() < after.items()
    assert len(after) == 2 * len(before)


# ------------------------------------------------------------------------------- what is kept


def test_activations_are_kept_only_where_the_study_says_so_and_serve_a_larger_k(
    llama_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    store = Store(tmp_path / "store")
    run_study(tiny_study(llama_folder, texts=[red]), tmp_path / "out", store=store)
    assert store.keys("activations") == []
    assert not list(store.root.glob("unfinished/*"))
    first = bytes_of(tmp_path / "out")
    neighbors = {path: path.read_bytes() for path in data_files(store.root, "neighbors")}
    counts.clear()
    keeps = tiny_study(llama_folder, texts=[red], keep={"activations": True, "neighbors": 7})
    plan = plan_study(keeps, store)
    assert [one.state for one in plan.readings] == ["to do"]
    run_study(plan, tmp_path / "out", store=store)
    assert counts.loads == ["tiny-llama"]  # turned on later, it costs one more pass
    assert {path: path.read_bytes() for path in data_files(store.root, "neighbors")} == neighbors
    assert (
        first.keys() == bytes_of(tmp_path / "out").keys()
    )  # the manifest says what is kept; no matrix does
    assert {k: v for k, v in first.items() if k != "manifest.json"} == {
        k: v for k, v in bytes_of(tmp_path / "out").items() if k != "manifest.json"
    }
    (key,) = store.keys("activations")
    artifact = store.read("activations", key)
    expected = extract(str(llama_folder), load_texts(red, n=31))
    np.testing.assert_array_equal(artifact.arrays["values"], expected.values)
    counts.clear()
    larger = tiny_study(llama_folder, texts=[red], ks=[17], keep={"activations": True, "neighbors": 17})
    run_study(larger, tmp_path / "out", store=store)
    assert (counts.loads, counts.batches) == ([], [])
    run_study(tiny_study(llama_folder, texts=[red]), tmp_path / "out", store=store)
    assert counts.loads == []
    assert store.keys("activations") == [key]  # a study that does not ask for them removes none


# ---------------------------------------------------------------------------------- what comes out


def test_results_are_those_of_the_plain_functions_cell_by_cell(
    finished, red: str, green: str, llama_folder: Path, gemma_folder: Path, gpt2_folder: Path
) -> None:
    folders = (llama_folder, gemma_folder, gpt2_folder)
    loaded = [load_model(str(folder)) for folder in folders]
    pair = load_parallel_texts(red, green, n=31)
    read = {
        name: [nearest_neighbors(extract(model, texts), 7) for model in loaded]
        for name, texts in (("left", pair.left), ("right", pair.right))
    }
    for k in (3, 5):
        found = finished.results.matrices("red.txt", k=k)
        assert found.texts_digest == pair.left.digest
        assert found.left == found.right == NAMES
        for one, other in itertools.product(range(3), repeat=2):
            expected = affinity_matrix(read["left"][one], read["left"][other], k=k).values
            np.testing.assert_array_equal(found[NAMES[one], NAMES[other]].values, expected)
        found = finished.results.matrices("pair", k=k)
        assert not found.is_symmetric
        assert found.n_pairs == 9
        for one, other in itertools.product(range(3), repeat=2):
            expected = affinity_matrix(
                read["left"][one], read["right"][other], k=k, pairing=pair.pairing
            ).values
            np.testing.assert_array_equal(found[NAMES[one], NAMES[other]].values, expected)


def test_results_are_those_of_compare_which_finds_the_readings_in_the_store(
    finished, copied_store: Store, red: str, green: str, llama_folder: Path, gemma_folder: Path
) -> None:
    for right_texts, name in ((None, "red.txt"), (green, "pair")):
        one = compare(
            str(llama_folder),
            str(gemma_folder),
            red,
            right_texts=right_texts,
            n=31,
            k=5,
            store=copied_store,
        )
        assert [what[:9] for what in one.from_store[:2]] == ["neighbors", "neighbors"]
        found = finished.results.matrices(name, k=5)["tiny-llama", "tiny-gemma"]
        np.testing.assert_array_equal(one.affinity.values, found.values)
        assert one.affinity.texts_digest == found.texts_digest
        assert one.affinity.right_texts_digest == found.right_texts_digest


def test_chat_variants_are_readers_of_their_own(
    chat_folder: Path, llama_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    study = tiny_study(llama_folder, chat_folder, texts=[red], also_as_chat=[str(chat_folder)])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    matrices = results.matrices("red.txt")
    assert matrices.left == ("tiny-llama", "tiny-chat", "tiny-chat as chat")
    assert counts.loads == ["tiny-llama", "tiny-chat"]
    texts = load_texts(red, n=31)
    plain, chat = (
        nearest_neighbors(extract(str(chat_folder), texts, chat=chat), 3) for chat in (False, True)
    )
    expected = affinity_matrix(plain, chat, k=3).values
    np.testing.assert_array_equal(matrices["tiny-chat", "tiny-chat as chat"].values, expected)
    assert not np.array_equal(expected, matrices["tiny-chat", "tiny-chat"].values)
    read = {one["label"]: one for one in results["red.txt"].description["readings"]}
    assert read["tiny-chat as chat"]["options"]["chat"] is True
    assert read["tiny-chat"]["options"]["chat"] is False


def test_the_manifest_says_who_read_what_with_keys_that_are_in_the_store(finished) -> None:
    manifest = json.loads((finished.out / "manifest.json").read_text())
    store = Store(finished.store)
    assert manifest["study"] == finished.study.as_dict()
    assert isodepth.Study.of(**manifest["study"]).as_dict() == manifest["study"]
    assert manifest["missing"] == []
    assert manifest["versions"]["isodepth"] == isodepth.__version__
    assert set(manifest["stage_versions"]) == {"activations", "neighbors", "affinities"}
    for name, described in manifest["sets"].items():
        assert [one["label"] for one in described["readings"]] == [*NAMES] * (1 + (name == "pair"))
        for one in described["readings"]:
            (key,) = store.keys("neighbors", prefix=one["neighbors"])
            kept = store.manifest("neighbors", key)
            assert kept["model_digest"] == one["model_digest"]
            assert kept["texts_digest"] == one["texts_digest"]
            assert kept["activations"] == one["activations"]
            assert one["n_layers"] == LAYERS[one["label"]]
        for one in described["matrices"]:
            assert store.read("affinities", one["key"]) is not None
    assert manifest["sets"]["red.txt"]["right_texts"] is None
    assert (
        manifest["sets"]["pair"]["right_texts"]["digest"] != manifest["sets"]["pair"]["texts"]["digest"]
    )


def test_results_say_nothing_of_when_and_where(finished) -> None:
    text = (finished.out / "manifest.json").read_text()
    study = json.dumps(finished.study.as_dict())
    assert "seconds" not in text
    assert str(finished.store) not in text
    assert str(finished.out) not in text
    assert text.count("/tmp") <= study.count("/tmp")


def test_written_results_are_those_that_are_returned(finished) -> None:
    read = load_results(finished.out)
    assert read.set_names == finished.results.set_names == ("red.txt", "pair", "blue.txt")
    assert read.manifest == finished.results.manifest
    for name in read:
        for kind, matrices in read[name].matrices.items():
            np.testing.assert_array_equal(matrices.values, finished.results[name].matrices[kind].values)


def test_progress_counts_every_reading_and_comparison(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path
) -> None:
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": [*keys["models"], str(two_folder)], "ks": [3]})
    told: list[tuple[str, int, int, str]] = []
    ended: list[Outcome] = []
    run_study(
        study,
        tmp_path / "out",
        store=copied_store,
        progress=lambda *report: told.append(report),
        report=ended.append,
    )
    assert [one[1:3] for one in told if one[0] == "readings"] == [(9, 12), (10, 12), (11, 12), (12, 12)]
    assert [one[1:3] for one in told if one[0] == "comparisons"] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    labels = [outcome.task.label for outcome in ended]
    assert labels == [
        *(f"tiny-two on {name}.txt" for name in ("red", "green", "blue")),
        *(f"comparing layers on {name}" for name in ("red.txt", "pair", "blue.txt")),
    ]
    assert all(outcome.error is None and outcome.seconds >= 0 for outcome in ended)
    assert all(done <= total for _, done, total, _ in told)
    by_task = {one[0].split(": ")[0] for one in told if ": " in one[0]}
    assert by_task == {label for label in labels if not label.startswith("comparing")}


# ----------------------------------------------------------------------------------- what fails


def test_a_model_that_cannot_be_loaded_is_missing_and_the_others_go_on(
    broken_model: Path, llama_folder: Path, gpt2_folder: Path, red: str, blue: str, tmp_path: Path
) -> None:
    study = tiny_study(broken_model, llama_folder, texts=[red, blue])
    ended: list[Outcome] = []
    results = run_study(study, tmp_path / "out", store=tmp_path / "store", report=ended.append)
    assert [outcome.error is None for outcome in ended] == [False, False, True, True, True, True]
    assert [one["what"] for one in results.missing] == ["broken on red.txt", "broken on blue.txt"]
    for one in results.missing:
        assert "cannot load the model in" in one["reason"]
    for name in results:
        assert results.matrices(name).left == ("tiny-llama",)
    assert load_results(tmp_path / "out").missing == results.missing
    # the next run tries it again: now it can be loaded
    shutil.copyfile(gpt2_folder / "model.safetensors", broken_model / "model.safetensors")
    again = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert again.missing == ()
    assert again.matrices("red.txt").left == ("broken", "tiny-llama")


@pytest.fixture
def failing_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """tiny-llama cannot be loaded, today."""
    import isodepth.models.loading

    load = isodepth.models.loading.load_model

    def fails(source: Any, **settings: Any) -> Any:
        if source.name == "tiny-llama":
            raise ModelError("tiny-llama: no memory for it today", hint="close something.")
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", fails)


@pytest.mark.usefixtures("failing_load")
def test_a_model_that_cannot_get_more_neighbors_is_compared_by_those_it_has(
    finished, copied_store: Store, tmp_path: Path
) -> None:
    study = isodepth.Study.of(**{**finished.study.as_dict(), "keep": {"neighbors": 13}})
    for _ in range(2):  # it is tried again each time
        results = run_study(study, tmp_path / "out", store=copied_store)
        assert {one["what"] for one in results.missing} == {
            f"tiny-llama on {name}.txt" for name in ("red", "green", "blue")
        }
        assert {one["reason"] for one in results.missing} == {"tiny-llama: no memory for it today"}
        for name in results:
            assert results.matrices(name, k=3).left == NAMES
            for k in (3, 5):
                np.testing.assert_array_equal(
                    results.matrices(name, k=k).values, finished.results.matrices(name, k=k).values
                )


@pytest.mark.usefixtures("failing_load")
def test_a_model_whose_fewer_neighbors_are_damaged_is_left_out_and_the_others_go_on(
    finished, copied_store: Store, tmp_path: Path
) -> None:
    keys = finished.study.as_dict()
    keys |= {"texts": keys["texts"][:1], "ks": [2], "keep": {"neighbors": 13}}
    study = isodepth.Study.of(**keys)
    planned = plan_study(study, copied_store).readings[0]
    key = planned.reading.neighbors_key(planned.reading.options[0])
    (chosen,) = copied_store.root.glob(f"neighbors/{key}-k7/arrays.safetensors")
    flipped(chosen)
    with pytest.warns(DamagedArtifactWarning) as caught:
        results = run_study(study, tmp_path / "out", store=copied_store)
    assert [str(chosen) in str(one.message) for one in caught] == [True]
    assert [one["what"] for one in results.missing] == ["tiny-llama on red.txt"]
    assert results.matrices("red.txt").left == NAMES[1:]


def test_a_model_that_failed_is_let_go_before_the_next_is_loaded(
    llama_folder: Path,
    gpt2_folder: Path,
    two_folder: Path,
    copied: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import isodepth.models.loading
    import tiny_models

    odd = copied(gpt2_folder)
    with tiny_models.quietly():
        tiny_models.tiny_tokenizer(bos=False, unknown=False).save_pretrained(odd)
    (tmp_path / "odd.txt").write_text("outside\n" + "".join(f"w{i} w{i + 1}\n" for i in range(11)))
    load = isodepth.models.loading.load_model
    loaded: list[tuple[str, weakref.ref[Any]]] = []
    still_there: list[list[str]] = []

    def noted(source: Any, **settings: Any) -> Any:
        still_there.append([name for name, body in loaded if body() is not None])
        model = load(source, **settings)
        loaded.append((source.name, weakref.ref(model.body)))
        return model

    monkeypatch.setattr(isodepth.models.loading, "load_model", noted)
    study = tiny_study(odd, llama_folder, two_folder, texts=[str(tmp_path / "odd.txt")], n="all")
    gc.collect()
    gc.disable()  # nobody promises that it runs in time
    try:
        results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    finally:
        gc.enable()
    assert [one["what"] for one in results.missing] == ["tiny-gpt2 on odd.txt"]
    assert [name for name, _ in loaded] == ["tiny-gpt2", "tiny-llama", "tiny-two"]
    assert still_there == [[], [], []]


def test_an_error_that_is_not_ours_is_logged_with_its_trace(
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import isodepth.models.loading

    load = isodepth.models.loading.load_model

    def overflows(source: Any, **settings: Any) -> Any:
        if source.name == "tiny-llama":
            raise OverflowError("of odd weights")
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", overflows)
    study = tiny_study(llama_folder, gpt2_folder, texts=[red])
    with caplog.at_level(logging.ERROR, logger="isodepth"):
        results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert results.missing[0]["reason"] == "OverflowError: of odd weights"
    (logged,) = [record.getMessage() for record in caplog.records]
    assert logged.startswith("tiny-llama on red.txt: failed\nTraceback (most recent call last)")
    assert "in overflows" in logged
    assert logged.rstrip().endswith("OverflowError: of odd weights")


def test_from_python_nothing_is_printed_besides() -> None:
    code = (
        "import logging, isodepth; logging.getLogger('isodepth.run').error('told'); "
        "logging.getLogger('isodepth.engines.ray').warning('told')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_model_that_gives_nan_is_missing_with_that_reason(
    gpt2_folder: Path, llama_folder: Path, copied: Callable[[Path], Path], red: str, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = copied(gpt2_folder)
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("h.1.mlp.c_fc.bias"))
    weights[name] = np.full_like(weights[name], np.nan)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    results = run_study(
        tiny_study(llama_folder, folder, texts=[red]), tmp_path / "out", store=tmp_path / "store"
    )
    (one,) = results.missing
    assert one["what"] == "tiny-gpt2 on red.txt"
    assert "NaN or infinite activations" in one["reason"]
    assert results.matrices("red.txt").left == ("tiny-llama",)


def test_a_chat_that_a_model_has_no_template_for_does_not_cost_its_plain_readings(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    study = tiny_study(llama_folder, gpt2_folder, texts=[red], also_as_chat=[str(llama_folder)])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    (one,) = results.missing
    assert "no chat template" in one["reason"]
    assert results.matrices("red.txt").left == ("tiny-llama", "tiny-gpt2")


def test_a_pooling_that_means_nothing_does_not_cost_the_other_poolings(
    llama_folder: Path, red: str, tmp_path: Path
) -> None:
    # all texts begin with the same token, so their first activations are equal
    study = tiny_study(llama_folder, texts=[red], poolings=["last", "first"])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert [kind.pooling for kind in results["red.txt"].matrices] == ["last"]
    assert "first" in results.missing[0]["reason"]


def test_a_text_set_that_cannot_be_had_is_missing_and_the_others_go_on(
    llama_folder: Path, red: str, blue: str, tmp_path: Path
) -> None:
    study = tiny_study(llama_folder, texts=[{"texts": blue, "n": 97, "name": "too many"}, red])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    (one,) = results.missing
    assert one["what"] == "too many"
    assert "n = 97 texts were asked for" in one["reason"]
    assert results.set_names == ("red.txt",)


def test_a_text_that_a_tokenizer_makes_nothing_of_costs_that_model_that_set(
    llama_folder: Path, gpt2_folder: Path, copied: Callable[[Path], Path], red: str, tmp_path: Path
) -> None:
    import tiny_models

    folder = copied(gpt2_folder)
    with tiny_models.quietly():
        tiny_models.tiny_tokenizer(bos=False, unknown=False).save_pretrained(folder)
    path = tmp_path / "odd.txt"
    path.write_text("\n".join([*("w1 w2 w3 w4"[: 2 + 3 * (i % 4)] for i in range(4)), "outside"]))
    study = tiny_study(llama_folder, folder, texts=[str(path), red], ks=[2], n="all")
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert [one["what"] for one in results.missing] == ["tiny-gpt2 on odd.txt"]
    assert results.matrices("odd.txt").left == ("tiny-llama",)
    assert results.matrices("red.txt").left == ("tiny-llama", "tiny-gpt2")


def test_where_all_fails_the_error_names_the_first_reason(
    broken_model: Path, red: str, tmp_path: Path
) -> None:
    with pytest.raises(StoreError) as caught:
        run_study(tiny_study(broken_model, texts=[red]), tmp_path / "out", store=tmp_path / "store")
    assert "there is nothing to write, because all of it failed; first: broken on red.txt:" in str(
        caught.value
    )
    assert caught.value.hint is not None
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_results_of_an_earlier_run_stay_whole_where_all_fails(
    finished, broken_model: Path, red: str, tmp_path: Path
) -> None:
    shutil.copytree(finished.out, tmp_path / "out")
    with pytest.raises(StoreError):
        run_study(tiny_study(broken_model, texts=[red]), tmp_path / "out", store=tmp_path / "store")
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


class ElsewhereEngine(LocalEngine):
    """Its errors travel as those of another process do."""

    def run(self, tasks: Sequence[Task], *, progress: Progress) -> Generator[Outcome, None, None]:
        for outcome in super().run(tasks, progress=progress):
            yield replace(outcome, error=pickle.loads(pickle.dumps(outcome.error)))


@pytest.mark.parametrize("engine", [LocalEngine(), ElsewhereEngine()])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "no space left on the disk"),
        (errno.EROFS, "no permission to read or write"),
        (errno.ENOTDIR, "a file stands where a folder is needed"),
    ],
)
def test_a_store_that_cannot_be_written_stops_the_run(
    number: int,
    said: str,
    engine: LocalEngine,
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(self: Store, stage: str, key: str, **_: object) -> Path:
        with storage_errors(self.root):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Store, "write", full)
    ended: list[Outcome] = []
    with pytest.raises(StoreError, match=said) as caught:
        run_study(
            tiny_study(llama_folder, gpt2_folder, texts=[red]),
            tmp_path / "out",
            store=tmp_path / "store",
            engine=engine,
            report=ended.append,
        )
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("free some space") == (number == errno.ENOSPC)
    assert [outcome.task.label for outcome in ended] == ["tiny-llama on red.txt"]
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("cause", [None, ValueError("odd bytes")])
def test_an_error_of_the_store_that_is_not_the_systems_does_not_stop_the_others(
    cause: Exception | None,
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Store.write

    def refusing(self: Store, stage: str, key: str, **settings: Any) -> Path:
        if settings["manifest"].get("model") == "tiny-llama":
            raise StoreError("that artifact cannot be written", hint="mend it.") from cause
        return write(self, stage, key, **settings)

    monkeypatch.setattr(Store, "write", refusing)
    ended: list[Outcome] = []
    results = run_study(
        tiny_study(llama_folder, gpt2_folder, texts=[red]),
        tmp_path / "out",
        store=tmp_path / "store",
        report=ended.append,
    )
    assert [(outcome.task.label, outcome.error is None) for outcome in ended] == [
        ("tiny-llama on red.txt", False),
        ("tiny-gpt2 on red.txt", True),
        ("comparing layers on red.txt", True),
    ]
    assert results.missing == (
        {"what": "tiny-llama on red.txt", "reason": "that artifact cannot be written"},
    )
    assert results.matrices("red.txt").left == ("tiny-gpt2",)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    llama_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        run_study(tiny_study(llama_folder, texts=[red]), tmp_path / "file" / "out")
    assert counts.loads == []


@pytest.mark.parametrize("is_planned", [False, True])
def test_a_folder_with_the_results_of_another_study_is_refused_before_any_work(
    is_planned: bool, finished, llama_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    shutil.copytree(finished.out, tmp_path / "out")
    other = tiny_study(llama_folder, texts=[red], name="other")
    store = Store(tmp_path / "store")
    study = plan_study(other, store) if is_planned else other
    with pytest.raises(StoreError) as caught:
        run_study(study, tmp_path / "out", store=store)
    assert caught.value.message == (
        f"{tmp_path / 'out'} holds the results of {finished.study.name!r}, which those of 'other' would "
        "replace"
    )
    assert caught.value.hint == "choose another folder with --out, or remove that one."
    assert counts.loads == []
    assert not store.root.exists()
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


def test_a_study_file_that_cannot_be_used_is_told_of_as_such(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("models = []")
    with pytest.raises(StudyError, match="texts"):
        run_study(tmp_path / "bad.toml", tmp_path / "out")


# ------------------------------------------------------------------------------ names and identities


def test_two_models_of_one_name_are_told_apart(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    shutil.copytree(gpt2_folder, tmp_path / "other" / "tiny-llama")
    study = tiny_study(llama_folder, tmp_path / "other" / "tiny-llama", texts=[red])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    matrices = results.matrices("red.txt")
    assert matrices.left == (f"{llama_folder.parent.name}/tiny-llama", "other/tiny-llama")
    assert matrices.left_layers == (5, 3)


def test_the_number_of_a_model_of_the_same_name_is_its_place_in_the_study(
    llama_folder: Path, gpt2_folder: Path, two_folder: Path, red: str, tmp_path: Path
) -> None:
    folders = [tmp_path / str(number) / "same" / "name" for number in range(3)]
    for source, folder in zip((llama_folder, gpt2_folder, two_folder), folders, strict=True):
        shutil.copytree(source, folder)
    study = tiny_study(*folders, texts=[red])
    assert [one.model for one in plan_study(study, Store(tmp_path / "store")).readings] == [
        "name (1)",
        "name (2)",
        "name (3)",
    ]
    shutil.rmtree(folders[0])  # the others are still called what they were
    plan = plan_study(study, Store(tmp_path / "store"))
    assert [one.model for one in plan.readings] == ["name (2)", "name (3)"]


def test_one_model_in_two_folders_of_one_name_stands_once_in_the_results(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    shutil.copytree(llama_folder, tmp_path / "copy" / "tiny-llama")
    study = tiny_study(llama_folder, gpt2_folder, tmp_path / "copy" / "tiny-llama", texts=[red])
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert sorted(counts.loads) == ["tiny-gpt2", "tiny-llama"]
    assert results.missing == ()
    assert results.matrices("red.txt").left == ("tiny-llama", "tiny-gpt2")


def test_one_model_under_two_names_is_read_once_and_stands_twice_in_the_results(
    llama_folder: Path, gpt2_folder: Path, red: str, green: str, tmp_path: Path, counts: Counts
) -> None:
    shutil.copytree(llama_folder, tmp_path / "copied")
    texts = [red, {"left": red, "right": green, "name": "pair"}]
    study = tiny_study(llama_folder, gpt2_folder, tmp_path / "copied", texts=texts)
    results = run_study(study, tmp_path / "out", store=tmp_path / "store")
    assert sorted(counts.loads) == ["tiny-gpt2", "tiny-llama"]
    assert results.missing == ()
    for name in results:
        matrices = results.matrices(name)
        assert matrices.left == matrices.right == ("tiny-llama", "tiny-gpt2", "copied")
        one, same = matrices["tiny-llama", "tiny-gpt2"], matrices["copied", "tiny-gpt2"]
        np.testing.assert_array_equal(one.values, same.values)
        one, same = matrices["tiny-llama", "tiny-llama"], matrices["tiny-llama", "copied"]
        np.testing.assert_array_equal(one.values, same.values)


def test_a_model_under_two_names_can_be_compared_with_itself(
    llama_folder: Path, red: str, tmp_path: Path
) -> None:
    shutil.copytree(llama_folder, tmp_path / "copied")
    found = compare(str(llama_folder), str(tmp_path / "copied"), red, n=31, k=3)
    assert (found.affinity.left, found.affinity.right) == ("tiny-llama", "copied")
    assert np.all(np.diag(found.affinity.values) == 1)


def test_readings_of_texts_that_share_a_name_are_told_apart(
    llama_folder: Path, red: str, green: str, tmp_path: Path
) -> None:
    # two pairs whose sides are called the same, but are samples of different size
    pairs = [
        {"left": red, "right": green, "n": n_texts, "name": f"pair of {n_texts}"}
        for n_texts in (23, 31)
    ]
    study = tiny_study(llama_folder, texts=pairs)
    labels = [one.label for one in plan_study(study, Store(tmp_path / "store")).readings]
    assert len(labels) == 4
    assert len(set(labels)) == 4  # an engine tells tasks apart by their labels


# -------------------------------------------------------------------------------- interrupted


def stops_at(n_reports: int, error: type[BaseException]) -> Callable[[str, int, int, str], None]:
    left = [n_reports]

    def progress(label: str, done: int, total: int, unit: str) -> None:
        if unit == "tokens" and ": reading with " in label:
            left[0] -= 1
            if left[0] < 0:
                raise error

    return progress


@pytest.mark.parametrize("n_reports", [4, 9])
def test_an_interrupted_study_goes_on_and_gives_the_same_bytes(
    n_reports: int,
    gpt2_folder: Path,
    two_folder: Path,
    red: str,
    tmp_path: Path,
    counts: Counts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
    monkeypatch.setattr("isodepth.activations.extraction.most_workers", lambda model: 2)
    study = tiny_study(gpt2_folder, two_folder, texts=[red])
    run_study(study, tmp_path / "whole", store=tmp_path / "store of whole")
    n_whole = len(counts.batches)
    counts.clear()
    with pytest.raises(KeyboardInterrupt):
        run_study(
            study,
            tmp_path / "out",
            store=tmp_path / "store",
            progress=stops_at(n_reports, KeyboardInterrupt),
        )
    plan = plan_study(study, Store(tmp_path / "store"))
    states = [one.state for one in plan.readings]
    assert states == (["done", "begun"] if n_reports > 7 else ["begun", "to do"])
    assert not (tmp_path / "out" / "manifest.json").exists()
    n_before = len(counts.batches)
    counts.clear()
    run_study(plan, tmp_path / "out", store=tmp_path / "store")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole")
    n_again = len(counts.batches)
    assert n_again <= n_whole
    # what was in flight is lost, at most a batch for each of 2 threads and one; a contract, which is
    # 5 batches, is measured again
    assert n_before + n_again <= n_whole + 8


# ---------------------------------------------------------------------------------------- damage


def artifacts(store: Store, stage: str) -> dict[Path, int]:
    """Return the files of a stage with the times of their writing."""
    return {path: path.stat().st_mtime_ns for path in data_files(store.root, stage)}


def harmed(store: Store, stage: str) -> list[Path]:
    """Harm six artifacts of a stage, each in another way; return the files."""
    names = ("arrays.safetensors", "manifest.json")
    ways = itertools.product(HARMS.values(), names)
    chosen = []
    for key, (harm, name) in zip(store.keys(stage), ways, strict=False):
        chosen.append(store.folder(stage, key) / name)
        harm(chosen[-1])
    assert len(chosen) == 6
    return chosen


@pytest.mark.parametrize("stage", ["neighbors", "affinities", "activations"])
def test_damaged_files_are_named_and_they_alone_are_computed_again(
    stage: str, finished, kept, tmp_path: Path, counts: Counts
) -> None:
    made = kept if stage == "activations" else finished
    shutil.copytree(made.store, tmp_path / "store")
    store = Store(tmp_path / "store")
    stages = ("neighbors", "affinities", "activations")
    before = {one: artifacts(store, one) for one in stages}
    manifests = {key: store.manifest(stage, key) for key in store.keys(stage)}
    chosen = harmed(store, stage)
    with pytest.warns(DamagedArtifactWarning) as caught:
        run_study(made.study, tmp_path / "out", store=store)
    said = [str(one.message) for one in caught]
    assert [sum(str(path) in one for one in said) for path in chosen] == [1] * 6
    assert len(said) == 6
    assert bytes_of(tmp_path / "out") == bytes_of(made.out)
    after = {one: artifacts(store, one) for one in stages}
    changed = {
        path.parent
        for one in stages
        for path in after[one]
        if after[one][path] != before[one].get(path)
    }
    assert changed == {path.parent for path in chosen}
    assert {one: set(after[one]) for one in stages} == {one: set(before[one]) for one in stages}
    if stage == "affinities":
        assert counts.loads == []
        assert len(counts.pairs) == 2 * (6 + 9 + 6)  # of three models, one pair both ways
    else:
        lost = [manifests[path.parent.name]["model"] for path in chosen]
        assert sorted(counts.loads) == sorted(set(lost))
        n_batches = Counter(made.batches)
        n_sets = 3
        assert Counter(counts.batches) == {
            model: times * n_batches[model] // n_sets for model, times in Counter(lost).items()
        }
        assert counts.pairs == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_study(made.study, tmp_path / "out", store=store)


def test_one_flipped_bit_costs_one_reading(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    chosen = data_files(copied_store.root, "neighbors")[4]
    flipped(chosen)
    with pytest.warns(DamagedArtifactWarning, match="counts as absent") as caught:
        run_study(finished.study, tmp_path / "out", store=copied_store)
    assert [str(chosen) in str(one.message) for one in caught] == [True]
    assert len(counts.loads) == 1
    assert len(counts.batches) == len(finished.batches) // 9
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


def test_neighbors_that_will_be_compared_are_read_in_full_first(
    finished, copied_store: Store, tmp_path: Path, counts: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as where the disk alone altered a file since it was read
    monkeypatch.setattr(Store, "is_whole", lambda store, stage, key: True)
    chosen = data_files(copied_store.root, "neighbors")[4]
    flipped(chosen)
    shutil.rmtree(copied_store.root / "affinities")
    with pytest.warns(DamagedArtifactWarning, match="counts as absent") as caught:
        run_study(finished.study, tmp_path / "out", store=copied_store)
    assert [str(chosen) in str(one.message) for one in caught] == [True]
    assert len(counts.loads) == 1
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


def test_what_the_store_has_is_verified_with_progress(finished, tmp_path: Path) -> None:
    told: list[tuple[str, int, int, str]] = []
    run_study(
        finished.study,
        tmp_path / "out",
        store=finished.store,
        progress=lambda *report: told.append(report),
    )
    assert [report for report in told if report[0] == "verifying what the store has"] == [
        ("verifying what the store has", done, 9, "readings") for done in range(10)
    ]


def test_what_older_code_read_can_go_with_all_that_came_of_it(
    finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(finished.store)
    assert garbage(store, versions=STAGE_VERSIONS) == []
    for stage, come_of_it in (
        ("affinities", {"affinities"}),
        ("neighbors", {"neighbors", "affinities"}),
        ("activations", {"neighbors", "affinities"}),
    ):
        newer = {**STAGE_VERSIONS, stage: STAGE_VERSIONS[stage] + 1}
        expected = {f"{one}/{key}" for one in come_of_it for key in store.keys(one)}
        assert {item.what for item in garbage(store, versions=newer)} == expected


def test_a_damaged_record_of_speed_is_named(
    finished, copied_store: Store, tmp_path: Path, counts: Counts
) -> None:
    chosen, *_ = data_files(copied_store.root, "speeds")
    flipped(chosen)
    with pytest.warns(DamagedArtifactWarning) as caught:
        run_study(finished.study, tmp_path / "out", store=copied_store)
    assert [str(chosen) in str(one.message) for one in caught] == [True]
    assert counts.loads == []
    assert bytes_of(tmp_path / "out") == bytes_of(finished.out)


def test_an_unsound_older_matrix_is_not_taken_into_a_new_one(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path
) -> None:
    for path in data_files(copied_store.root, "affinities"):
        if path.name == "arrays.safetensors":
            flipped(path)
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": [*keys["models"], str(two_folder)], "ks": [3]})
    with pytest.warns(DamagedArtifactWarning):
        results = run_study(study, tmp_path / "out", store=copied_store)
    for name in results:
        found = results.matrices(name)
        for one, other in itertools.product(NAMES, repeat=2):
            expected = finished.results.matrices(name, k=3)[one, other].values
            np.testing.assert_array_equal(found[one, other].values, expected)


# --------------------------------------------------------------------------------------- company


@pytest.mark.parametrize("is_planned", [False, True])
def test_a_run_marks_the_store_as_in_use_while_it_works(
    is_planned: bool, gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    study = tiny_study(gpt2_folder, texts=[red])
    told: dict[str, int] = {}
    run_study(
        plan_study(study, store) if is_planned else study,
        tmp_path / "out",
        store=store,
        progress=lambda label, *_: told.setdefault(label, store.n_running()),
    )
    assert {"readings", "comparisons", "writing results"} < told.keys()
    assert {told[label] for label in ("readings", "comparisons", "writing results")} == {1}
    assert store.n_running() == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_the_mark_of_a_run_that_was_stopped_is_gone(
    error: type[BaseException], gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    during: list[int] = []

    def stop(label: str, *_: object) -> None:
        if label == "readings":
            during.append(store.n_running())
            raise error

    study = tiny_study(gpt2_folder, texts=[red])
    with pytest.raises(error):
        run_study(study, tmp_path / "out", store=store, progress=stop)
    assert during == [1]
    assert store.n_running() == 0


def test_two_runs_at_once_read_everything_once_and_give_the_same_bytes(
    gpt2_folder: Path, two_folder: Path, red: str, blue: str, tmp_path: Path, counts: Counts
) -> None:
    study = tiny_study(gpt2_folder, two_folder, texts=[red, blue])
    run_study(study, tmp_path / "alone", store=tmp_path / "store of one")
    expected = Counter(counts.batches)
    counts.clear()
    store = tmp_path / "store"
    found = together(
        lambda: run_study(study, tmp_path / "one", store=store),
        lambda: run_study(study, tmp_path / "other", store=store),
    )
    assert all(isinstance(one, StudyResults) for one in found), found
    assert Counter(counts.batches) == expected
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "other") == bytes_of(tmp_path / "alone")
    assert not list(store.glob("unfinished/*"))
    counts.clear()
    run_study(study, tmp_path / "again", store=store)
    assert counts.loads == []


def test_runs_at_once_with_overlapping_captures_read_each_capture_once_and_do_not_wait_for_ever(
    gpt2_folder: Path, red: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    begun: list[str] = []
    begin = Store.begin

    def counted(self: Store, stage: str, key: str, **settings: object) -> object:
        begun.append(key)
        return begin(self, stage, key, **settings)

    monkeypatch.setattr(Store, "begin", counted)
    captures = (["block", "mlp"], ["mlp", "attention"], ["attention", "block"])
    studies = [tiny_study(gpt2_folder, texts=[red], captures=some) for some in captures]
    found = together(
        *(
            lambda study=study, place=place: run_study(study, tmp_path / str(place), store=store)
            for place, study in enumerate(studies)
        )
    )
    assert all(isinstance(one, StudyResults) for one in found), found
    assert len(begun) == len(set(begun)) == len(store.keys("neighbors")) == 3
    assert not list(store.root.glob("unfinished/*"))
    model, texts = load_model(str(gpt2_folder)), load_texts(red, n=31)
    alone = {
        capture: nearest_neighbors(extract(model, texts, capture=capture), 3)
        for capture in ("block", "mlp", "attention")
    }
    for results, some in zip(found, captures, strict=True):
        for capture in some:
            expected = affinity_matrix(alone[capture], alone[capture], k=3).values
            np.testing.assert_array_equal(results.matrices("red.txt", capture=capture).values, expected)


def test_what_another_run_is_at_is_left_for_later(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path, counts: Counts
) -> None:
    store = Store(tmp_path / "store")
    study = tiny_study(llama_folder, gpt2_folder, texts=[red])
    plan = plan_study(study, store)
    first = plan.readings[0].reading
    release, held = threading.Event(), threading.Event()
    waits: list[str] = []

    def hold() -> None:
        with store.lock("activations", first.activations_key(first.options[0])):
            held.set()
            release.wait(30)

    def told(label: str, *_: object) -> None:
        if "waiting for another run" in label:
            waits.append(label)
            release.set()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    states = [one.state for one in plan_study(study, store).readings]
    results = run_study(plan, tmp_path / "out", store=store, progress=told)
    holder.join(10)
    assert states == ["running", "to do"]
    assert counts.loads == ["tiny-gpt2", "tiny-llama"]
    assert waits == ["tiny-llama on red.txt: waiting for another run to read with tiny-llama"]
    assert results.missing == ()


# --------------------------------------------------------------------------------------- engines


def test_the_engine_is_given_readings_before_comparisons_and_only_what_is_missing(
    finished, copied_store: Store, two_folder: Path, tmp_path: Path
) -> None:
    given: list[list[str]] = []

    class Watched(LocalEngine):
        def run(self, tasks, *, progress):
            given.append([task.label for task in tasks])
            return super().run(tasks, progress=progress)

    keys = finished.study.as_dict()
    keys |= {"models": [*keys["models"], str(two_folder)]}
    keys |= {"resources": {"cpus": 3, "models": {str(two_folder): {"memory_gb": 5}}}}
    run_study(isodepth.Study.of(**keys), tmp_path / "out", store=copied_store, engine=Watched())
    assert given == [
        ["tiny-two on red.txt", "tiny-two on green.txt", "tiny-two on blue.txt"],
        [
            "comparing layers on red.txt",
            "comparing layers on pair",
            "comparing layers on blue.txt",
        ],
    ]


def test_an_engine_of_other_processes_gets_tasks_that_can_travel(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    import pickle

    class Elsewhere(LocalEngine):
        name = "elsewhere"
        shares_process = False

        def run(self, tasks, *, progress):
            return super().run(pickle.loads(pickle.dumps(list(tasks))), progress=progress)

    study = tiny_study(llama_folder, gpt2_folder, texts=[red])
    run_study(study, tmp_path / "here", store=tmp_path / "store here")
    run_study(study, tmp_path / "there", store=tmp_path / "store there", engine=Elsewhere())
    assert bytes_of(tmp_path / "here") == bytes_of(tmp_path / "there")


def test_a_model_that_was_compared_with_one_of_a_study_can_join_it(
    llama_folder: Path, gemma_folder: Path, gpt2_folder: Path, red: str, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    run_study(tiny_study(llama_folder, gemma_folder, texts=[red]), tmp_path / "two", store=store)
    texts = tiny_study(llama_folder, texts=[red]).texts[0].load()
    for pair in ((llama_folder, gpt2_folder), (gpt2_folder, gemma_folder)):
        compare(*pair, texts.left, k=3, measure="overlap", store=store)
    wanted = tiny_study(llama_folder, gemma_folder, gpt2_folder, texts=[red])
    joined = run_study(wanted, tmp_path / "three", store=store)
    fresh = run_study(wanted, tmp_path / "fresh", store=tmp_path / "fresh-store")
    assert not joined.missing
    name = joined.set_names[0]
    np.testing.assert_array_equal(joined.matrices(name).values, fresh.matrices(name).values)
