"""Studies on readings that others made, in exactly the form in which the paper's authors publish them."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.errors import StoreError, UnknownNameError
from isodepth.interchange import keep_reading, published_files, read_published_neighbors
from isodepth.pipeline.needed import needed_artifacts
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.run import run_study
from isodepth.results import load_results
from isodepth.store import DamagedArtifactWarning, Store
from isodepth.store.garbage import collect, garbage
from isodepth.study import Study
from published_form import neighbor_lists, written_as_published
from tiny_studies import Counts, bytes_of, data_files, flipped

N_TEXTS = 23
MODELS = {"google/gemma-2b": 4, "google/gemma-2-9b-it": 6, "owner/new": 8}
"""Layers in the files, the embedding first."""
TEXTS = {name: [f"{name} {i}" for i in range(N_TEXTS)] for name in ("web_text", "imdb", "mmlu")}


def imported(folder: Path, store: Store) -> None:
    for file in published_files([folder]):
        keep_reading(read_published_neighbors(file), store)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models on two text sets, and one that also read one of them as chat."""
    folder = tmp_path_factory.mktemp("published")
    for seed, (model, n_layers) in enumerate(MODELS.items()):
        for at, name in enumerate(("web_text", "imdb")):
            lists = neighbor_lists(N_TEXTS, n_layers, seed=10 * seed + at)
            written_as_published(folder, model, name, TEXTS[name], lists)
    chat = neighbor_lists(N_TEXTS, 6, seed=97)
    written_as_published(folder, "google/gemma-2-9b-it", "web_text", TEXTS["web_text"], chat, chat=True)
    return folder


@pytest.fixture(scope="session")
def imported_store(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("imported"))
    imported(published, store)
    return store


@pytest.fixture
def store(imported_store: Store, tmp_path: Path) -> Store:
    import shutil

    return Store(shutil.copytree(imported_store.root, tmp_path / "here"))


def study(**keys: Any) -> Study:
    settings = {
        "models": ["gemma-2b", "gemma-2-9b-it"],
        "texts": ["web-text", "imdb"],
        "captures": ["final_norm"],
        "n": N_TEXTS,
        "ks": [3, 7],
        **keys,
    }
    return Study.of(**settings)


def shares(left: np.ndarray, right: np.ndarray, k: int) -> np.ndarray:
    """Return the mean share of common neighbors of lists (texts, layers, n - 1), with sets."""
    return np.array(
        [
            [
                np.mean(
                    [len({*left[text, i, :k]} & {*right[text, j, :k]}) / k for text in range(len(left))]
                )
                for j in range(1, right.shape[1])
            ]
            for i in range(1, left.shape[1])
        ]
    )


def test_matrices_are_those_of_the_published_lists_without_their_embedding_layer(
    store: Store, tmp_path: Path, counts: Counts
) -> None:
    results = run_study(study(), tmp_path / "out", store=store, imported=True)
    assert (counts.loads, counts.batches) == ([], [])
    assert results.missing == ()
    assert results.set_names == ("web-text", "imdb")
    for at, name in enumerate(results):
        lists = [neighbor_lists(N_TEXTS, n, seed=10 * seed + at) for seed, n in ((0, 4), (1, 6))]
        for k in (3, 7):
            found = results.matrices(name, k=k)
            assert found.left == ("gemma-2b", "gemma-2-9b-it")
            assert found.left_layers == (3, 5)
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                expected = shares(lists[i], lists[j], k)
                np.testing.assert_allclose(
                    found[found.left[i], found.left[j]].values, expected, rtol=0, atol=1e-12
                )
    manifest = load_results(tmp_path / "out").manifest
    assert manifest["readings"] == "imported"
    described = manifest["sets"]["imdb"]["readings"][0]
    assert described["provenance"]["source"] == "published neighbors"


def test_readings_of_texts_cut_otherwise_are_not_taken(store: Store) -> None:
    plan = plan_study(study(max_tokens=64, texts=["imdb"]), store, imported=True)
    assert plan.sets == ()
    reason = (
        "it was imported with max_tokens = None, and 64 is wanted (capture final_norm, pooling last)"
    )
    assert [(one.what, one.reason) for one in plan.missing] == [
        ("gemma-2b on imdb", reason),
        ("gemma-2-9b-it on imdb", reason),
    ]


def test_chat_and_pairs_are_taken_from_imports_too(store: Store, tmp_path: Path) -> None:
    one = study(
        texts=[{"left": "web-text", "right": "caesar(web-text)", "name": "pair"}],
        also_as_chat=["gemma-2-9b-it"],
    )
    for seed, (model, n_layers) in enumerate([("google/gemma-2b", 4), ("google/gemma-2-9b-it", 6)]):
        lists = neighbor_lists(N_TEXTS, n_layers, seed=50 + seed)
        folder = tmp_path / "ciphered"
        texts = [f"ciphered {i}" for i in range(N_TEXTS)]
        written_as_published(folder, model, "web_text_caesar", texts, lists)
    written_as_published(
        folder,
        "google/gemma-2-9b-it",
        "web_text_caesar",
        texts,
        neighbor_lists(N_TEXTS, 6, seed=71),
        chat=True,
    )
    imported(folder, store)
    results = run_study(one, tmp_path / "out", store=store, imported=True)
    assert results.missing == ()
    found = results.matrices("pair", k=3)
    assert found.left == found.right == ("gemma-2b", "gemma-2-9b-it", "gemma-2-9b-it as chat")
    assert not found.is_symmetric
    chat, plain = neighbor_lists(N_TEXTS, 6, seed=97), neighbor_lists(N_TEXTS, 4, seed=50)
    np.testing.assert_allclose(
        found["gemma-2-9b-it as chat", "gemma-2b"].values, shares(chat, plain, 3), rtol=0, atol=1e-12
    )


def test_a_model_is_found_by_its_hub_id_too(store: Store) -> None:
    plan = plan_study(study(models=["google/gemma-2b", "owner/new"]), store, imported=True)
    assert plan.missing == ()
    (selection, *_) = plan.sets[0].selections.values()
    assert [one.reading.n_layers for one in selection.left] == [3, 7]


def test_a_second_run_computes_nothing_and_another_import_gives_the_same_bytes(
    store: Store, published: Path, tmp_path: Path, counts: Counts
) -> None:
    one = study(measures=["overlap"])
    run_study(one, tmp_path / "out", store=store, imported=True)
    assert len(counts.pairs) == 4 * 3
    counts.clear()
    run_study(one, tmp_path / "again", store=store, imported=True)
    assert counts.pairs == []
    imported(published, Store(tmp_path / "new"))
    run_study(one, tmp_path / "elsewhere", store=tmp_path / "new", imported=True)
    assert (
        bytes_of(tmp_path / "out") == bytes_of(tmp_path / "again") == bytes_of(tmp_path / "elsewhere")
    )


def test_what_was_not_imported_is_missing_and_the_rest_goes_on(store: Store, tmp_path: Path) -> None:
    one = study(
        models=["gemma-2b", "gemma-2-9b"],
        texts=["web-text", "mmlu"],
        also_as_chat=["gemma-2b"],
        captures=["final_norm", "block"],
    )
    results = run_study(one, tmp_path / "out", store=store, imported=True)
    said = {(item["what"], item["reason"]) for item in results.missing}
    not_there = "it was not imported (capture final_norm, pooling last)"
    assert said == {
        ("gemma-2-9b on web-text", not_there),
        ("gemma-2b as chat on web-text", not_there),
        ("mmlu", "no reading of mmlu was imported; there are readings of imdb, web-text"),
    }
    assert len(said) == len(results.missing)
    assert results.set_names == ("web-text",)
    assert results.matrices("web-text", k=3).left == ("gemma-2b",)


def kept_as_capture(capture: str, folder: Path, store: Store, *texts: str) -> None:
    """Import the published readings of some text sets as those of another capture."""
    for file in published_files([folder]):
        found = read_published_neighbors(file)
        if found.texts in texts:
            options = replace(found.options, capture=capture)
            keep_reading(replace(found, options=options), store)


def test_a_kind_that_nobody_imported_is_a_note_and_nothing_missing(
    store: Store, tmp_path: Path
) -> None:
    one = study(captures=["final_norm", "block"], poolings=["last", "mean"])
    plan = plan_study(one, store, imported=True)
    assert plan.missing == ()
    assert plan.notes == tuple(
        f"capture {kind} is left out: no such reading was imported"
        for kind in ("final_norm, pooling mean", "block, pooling last", "block, pooling mean")
    )
    assert plan.n_matrices == 2 * 2
    results = run_study(plan, tmp_path / "out", store=store)
    assert results.missing == ()
    assert set(plan.notes) < set(results.manifest["notes"])
    assert load_results(tmp_path / "out").manifest["notes"] == results.manifest["notes"]
    assert plan_study(study(), store, imported=True).notes == ()


def test_a_kind_that_was_imported_on_some_text_sets_is_a_note_that_names_the_others(
    store: Store, published: Path, tmp_path: Path
) -> None:
    kept_as_capture("block", published, store, "imdb")
    one = study(captures=["final_norm", "block"])
    results = run_study(one, tmp_path / "out", store=store, imported=True)
    assert results.missing == ()
    assert (
        "capture block, pooling last is left out on web-text: no such reading was imported"
        in results.manifest["notes"]
    )
    assert {kind.capture for kind in results["web-text"].matrices} == {"final_norm"}
    assert {kind.capture for kind in results["imdb"].matrices} == {"final_norm", "block"}


def test_where_only_other_kinds_were_imported_the_error_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        run_study(study(captures=["block"]), tmp_path / "out", store=store, imported=True)
    assert "there is nothing to write" in caught.value.message
    assert "capture block, pooling last" in str(caught.value)


def test_a_text_set_of_which_only_other_kinds_were_imported_is_told_of(
    store: Store, published: Path, tmp_path: Path
) -> None:
    kept_as_capture("block", published, store, "imdb")
    one = study(captures=["block"])
    results = run_study(one, tmp_path / "out", store=store, imported=True)
    assert results.set_names == ("imdb",)
    told = [
        *results.manifest["notes"],
        *(f"{item['what']}: {item['reason']}" for item in results.missing),
    ]
    assert any("web-text" in line and "block" in line for line in told), told


def test_matrices_that_are_in_the_store_are_counted(store: Store, tmp_path: Path) -> None:
    before = plan_study(study(), store, imported=True)
    assert (before.n_matrices, before.n_stored_matrices) == (4, 0)
    run_study(study(texts=["imdb"]), tmp_path / "out", store=store, imported=True)
    between = plan_study(study(), store, imported=True)
    assert (between.n_matrices, between.n_stored_matrices) == (4, 2)
    run_study(between, tmp_path / "out", store=store)
    assert plan_study(study(), store, imported=True).n_stored_matrices == 4


def test_a_k_above_what_was_kept_is_missing(published: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "short")
    for file in published_files([published]):
        keep_reading(read_published_neighbors(file, keep=5), store)
    plan = plan_study(study(), store, imported=True)
    assert plan.sets == ()
    assert {one.what for one in plan.missing} == {
        f"{model} on {name}" for model in ("gemma-2b", "gemma-2-9b-it") for name in ("web-text", "imdb")
    }
    assert {one.reason for one in plan.missing} == {
        "5 neighbors were imported and k = 7 is wanted (capture final_norm, pooling last); "
        "import it again with a larger --keep"
    }


def test_another_number_of_texts_is_missing_with_what_to_do(store: Store) -> None:
    plan = plan_study(study(n=19), store, imported=True)
    assert plan.sets == ()
    assert plan.missing[0].reason == "23 texts were imported, the study wants 19"
    assert [one.what for one in plan.missing] == ["web-text", "imdb"]
    assert "set n = 23" in plan.missing[0].hint


def test_a_k_that_the_texts_cannot_give_is_missing(store: Store) -> None:
    plan = plan_study(study(n="all", ks=[23]), store, imported=True)
    assert plan.sets == ()
    assert "23" in plan.missing[0].reason


def test_readings_of_other_texts_under_one_name_are_not_mixed(store: Store, tmp_path: Path) -> None:
    lists = neighbor_lists(N_TEXTS, 3, seed=5)
    written_as_published(tmp_path / "more", "owner/other", "imdb", TEXTS["mmlu"], lists)
    imported(tmp_path / "more", store)
    plan = plan_study(study(), store, imported=True)
    assert [one.name for one in plan.sets] == ["web-text"]
    (one,) = plan.missing
    assert one.what == "imdb"
    assert "readings of different texts were imported under the name imdb" in one.reason
    assert one.hint == "import one of them under another name."


def test_parallel_texts_of_unequal_number_are_missing(store: Store, tmp_path: Path) -> None:
    lists = neighbor_lists(19, 4, seed=5)
    texts = [f"few {i}" for i in range(19)]
    written_as_published(tmp_path / "more", "google/gemma-2b", "web_text_caesar", texts, lists)
    imported(tmp_path / "more", store)
    pair = [{"left": "web-text", "right": "caesar(web-text)", "name": "pair"}]
    plan = plan_study(study(texts=pair), store, imported=True)
    assert plan.missing[0].reason == "pair cannot be parallel: 23 texts against 19 were imported"


def test_an_empty_store_says_how_to_import(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="nothing was imported into") as caught:
        plan_study(study(), Store(tmp_path / "empty"), imported=True)
    assert "isodepth import --help" in caught.value.hint


def test_where_nothing_fits_the_error_names_the_first_reason(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is nothing to write, because all of it failed; first"):
        run_study(study(models=["gemma-2-9b"]), tmp_path / "out", store=store, imported=True)


def test_a_damaged_import_costs_that_reading_alone(store: Store, tmp_path: Path) -> None:
    """It cannot be computed again, so it is missing, and the others go on."""
    chosen = next(
        path
        for path in data_files(store.root, "imported")
        if path.suffix == ".safetensors"
        and (store.manifest("imported", path.parent.name) or {})["model"] == "gemma-2-9b-it"
        and (store.manifest("imported", path.parent.name) or {})["texts"] == "imdb"
    )
    flipped(chosen)
    with pytest.warns(DamagedArtifactWarning) as caught:
        results = run_study(study(), tmp_path / "out", store=store, imported=True)
    assert str(chosen) in str(caught[0].message)
    assert results.matrices("web-text", k=3).left == ("gemma-2b", "gemma-2-9b-it")
    assert results.matrices("imdb", k=3).left == ("gemma-2b",)
    assert [one["what"] for one in results.missing] == ["gemma-2-9b-it on imdb"]


def test_a_damaged_manifest_of_an_import_is_named_by_the_run(store: Store, tmp_path: Path) -> None:
    key = next(
        key
        for key in store.keys("imported")
        if (store.manifest("imported", key) or {})["model"] == "gemma-2b"
    )
    path = store.folder("imported", key) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"gemma-2b", b"gemma-3b"))
    with pytest.warns(DamagedArtifactWarning, match=key):
        results = run_study(study(), tmp_path / "out", store=store, imported=True)
    assert [one["what"].split(" on ")[0] for one in results.missing] == ["gemma-2b"]


def test_a_model_in_a_folder_is_told_of_as_it_was_written(
    store: Store, gpt2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(gpt2_folder.parent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = plan_study(study(models=["./tiny-gpt2", "gemma-2b"]), store, imported=True)
    assert [one.what for one in plan.missing] == ["./tiny-gpt2 on web-text", "./tiny-gpt2 on imdb"]


def test_what_an_imported_study_needs_is_known_though_some_of_it_was_not_imported(
    store: Store, tmp_path: Path
) -> None:
    lacking = study(models=["gemma-2b", "gemma-2-9b-it", "llama-3.1-8b"])
    for one in (lacking, study(texts=["imdb"], ks=[5])):
        run_study(one, tmp_path / "out", store=store, imported=True)
    before = {stage: set(store.keys(stage)) for stage in store.stages()}
    plan = plan_study(lacking, store, imported=True)
    assert plan.missing
    found = garbage(store, versions={}, needed=needed_artifacts([plan], store))
    assert {item.what.split("/")[0] for item in found} == {"affinities"}
    collect(found)
    # two text sets of the first study, two ks each; the second study's one is gone
    assert len(before.pop("affinities")) == 5
    assert len(store.keys("affinities")) == 4
    assert {stage: set(store.keys(stage)) for stage in before} == before
    assert plan_study(lacking, store, imported=True).n_stored_matrices == 4
