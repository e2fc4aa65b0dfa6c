"""Statistics of results: with the neighbors of the store, without them, and of imports."""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import (
    AssessmentOptions,
    StudyAssessment,
    TextSetAssessment,
    assess_pair,
    assess_text_set,
)
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.interchange import (
    imported_results,
    keep_reading,
    published_files,
    read_published_neighbors,
    read_similarity_table,
)
from isodepth.pipeline.assess import NO_VERDICTS, assess_models, assess_study, matrix_neighbors
from isodepth.pipeline.run import run_study
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from isodepth.store import DamagedArtifactWarning, Store
from isodepth.study import Study
from published_form import neighbor_lists, written_as_published
from tiny_studies import HARMS, Ran, data_files, flipped, ran_study

pytestmark = pytest.mark.usefixtures("no_collections")

QUICK = AssessmentOptions(n_permutations=19, n_resamples=100, seed=7)
NAMES = ("tiny-llama", "tiny-gemma", "tiny-gpt2")
KIND = MatrixKind("mutual_knn", 3)


@pytest.fixture(scope="module")
def done(
    llama_folder: Path,
    gemma_folder: Path,
    gpt2_folder: Path,
    red: str,
    blue: str,
    green: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Models of 5, 7 and 3 layers on two text sets and a pair; 7 neighbors of each text are kept."""
    return ran_study(
        tmp_path_factory.mktemp("assessed"),
        llama_folder,
        gemma_folder,
        gpt2_folder,
        texts=[red, {"left": red, "right": green, "name": "pair"}, blue],
        ks=[3, 5],
        measures=["mutual_knn", "overlap"],
    )


@pytest.fixture(scope="module")
def assessed(done: Ran) -> StudyAssessment:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_STORE", str(done.store))
        return assess_study(done.out, ks=[3], options=QUICK)


@pytest.fixture
def store(done: Ran, tmp_path: Path) -> Store:
    """The store of the study, to be changed."""
    return Store(shutil.copytree(done.store, tmp_path / "copied"))


def by_kind(assessed: StudyAssessment) -> dict[tuple[str, str], TextSetAssessment]:
    return {(one.name, one.kind.measure): one for one in assessed.sets}


def same(one: TextSetAssessment, other: TextSetAssessment) -> None:
    for mine, theirs in zip(one.pairs, other.pairs, strict=True):
        assert dict(mine.profile.estimates) == dict(theirs.profile.estimates)
        assert mine.decision == theirs.decision


# with the neighbors of the store


def test_every_text_set_is_assessed_from_the_neighbors_in_the_store(
    assessed: StudyAssessment, done: Ran
) -> None:
    found = by_kind(assessed)
    assert list(found) == [
        (name, measure)
        for name in ("red.txt", "pair", "blue.txt")
        for measure in ("mutual_knn", "overlap")
    ]
    for name in ("red.txt", "pair", "blue.txt"):
        one = found[name, "mutual_knn"]
        assert one.is_from_texts
        assert not [note for note in one.notes if "neighbors" in note]
        matrices = done.results[name].matrices[KIND]
        left, right = matrix_neighbors(done.results[name], KIND, Store(done.store))
        assert [neighbors.model for neighbors in left] == list(matrices.left)
        assert (right is None) == matrices.is_symmetric
        expected = assess_text_set(name, KIND, matrices, left=left, right=right, options=QUICK)
        same(one, expected)
    assert "two roles" in found["red.txt", "mutual_knn"].pairs[0].profile["mean"].method
    assert len(found["pair", "mutual_knn"].pairs) == 9


def test_measures_are_chosen_by_name(done: Ran) -> None:
    found = assess_study(
        done.out, measures=["overlap"], texts=["red.txt"], store=done.store, options=QUICK
    )
    assert [one.kind.measure for one in found.sets] == ["overlap"]
    names = found.sets[0].matrices.left[:2]
    pair = assess_models(done.out, *names, texts="red.txt", measure="overlap", store=done.store)
    assert (pair.matrix.measure, pair.decision) == ("overlap", None)
    with pytest.raises(UnknownNameError, match="is by 'overlop', 'cka'; there are by") as caught:
        assess_study(done.out, measures=["overlop", "overlap", "cka"], options=QUICK)
    assert caught.value.hint == "did you mean overlap?"


def test_another_measure_has_no_verdict_and_that_is_said(assessed: StudyAssessment) -> None:
    one = by_kind(assessed)["red.txt", "overlap"]
    assert {pair.decision for pair in one.pairs} == {None}
    assert one.notes[0] == NO_VERDICTS
    assert not [note for note in one.notes if "are not in" in note or "stored" in note]


def test_models_by_name_are_what_assess_pair_gives_of_them(done: Ran) -> None:
    found = assess_models(
        done.results, "tiny-gemma", "tiny-llama", texts="pair", k=3, store=done.store, options=QUICK
    )
    results = done.results["pair"]
    left, right = matrix_neighbors(results, KIND, Store(done.store))
    assert right is not None
    matrix = results.matrices[KIND]["tiny-gemma", "tiny-llama"]
    expected = assess_pair(matrix, left=left[1], right=right[0], options=QUICK)
    assert dict(found.profile.estimates) == dict(expected.profile.estimates)
    assert found.decision == expected.decision
    assert (found.matrix.texts, found.matrix.k) == ("pair", 3)
    assert found.familywise is not None


def test_models_of_one_text_set_are_given_in_either_order(done: Ran) -> None:
    one, other = (
        assess_models(done.out, *names, texts="red.txt", store=done.store, options=QUICK)
        for names in (("tiny-llama", "tiny-gemma"), ("tiny-gemma", "tiny-llama"))
    )
    np.testing.assert_array_equal(one.matrix.values, other.matrix.values.T)
    assert one.familywise is not None
    assert other.familywise is not None
    np.testing.assert_allclose(one.familywise.null.z(), other.familywise.null.z().T)
    assert one.depth_map.left_to_right.nearest.shape == other.depth_map.right_to_left.nearest.shape


def test_only_the_chosen_sets_and_ks_are_assessed_each_once(done: Ran) -> None:
    found = assess_study(
        done.results, texts=["blue.txt", "blue.txt"], ks=[5, 3], store=done.store, options=QUICK
    )
    kinds = [(one.name, one.kind.measure, one.kind.k) for one in found.sets]
    assert len(kinds) == len(set(kinds)) == 4
    assert {name for name, _, _ in kinds} == {"blue.txt"}
    assert {k for _, _, k in kinds} == {3, 5}


def test_of_several_ks_ten_is_assessed_else_the_first() -> None:
    def results(*ks: int) -> StudyResults:
        return StudyResults(name="some", sets={"news": made(*ks)})

    assert [one.kind.k for one in assess_study(results(3, 10, 7), options=QUICK).sets] == [10]
    assert [one.kind.k for one in assess_study(results(7, 3), options=QUICK).sets] == [7]
    assert assess_models(results(7, 3), "one", "two", options=QUICK).matrix.k == 7
    assert assess_models(results(7, 3), "one", "two", k=3, options=QUICK).matrix.k == 3


def made(*ks: int, n_texts: int = 41) -> TextSetResults:
    """Return matrices that nobody knows the neighbors of."""
    rng = np.random.default_rng(3)
    values = rng.random((9, 9))
    matrices = AffinityMatrices(
        values=(values + values.T) / 2,
        left=("one", "two"),
        right=("one", "two"),
        left_layers=(5, 4),
        right_layers=(5, 4),
        is_symmetric=True,
        measure="mutual_knn",
        k=3,
        n_texts=n_texts,
    )
    kinds = {MatrixKind("mutual_knn", k): replace(matrices, k=k) for k in ks}
    return TextSetResults(name="news", matrices=kinds)


# neighbors that are not there, or damaged


def test_without_the_store_matrices_are_assessed_alone_and_it_is_said(
    assessed: StudyAssessment, done: Ran, tmp_path: Path
) -> None:
    found = by_kind(assess_study(done.out, ks=[3], store=tmp_path / "empty", options=QUICK))
    for name in ("red.txt", "pair"):
        one = found[name, "mutual_knn"]
        assert not one.is_from_texts
        (note,) = [note for note in one.notes if "are not in" in note]
        assert note == (
            f"the neighbors of any model on {name} are not in the store: no intervals, and "
            "chance is that of the paper's null model, widened"
        )
        for pair, whole in zip(one.pairs, by_kind(assessed)[name, "mutual_knn"].pairs, strict=True):
            assert pair.profile["mean"].value == whole.profile["mean"].value
            assert pair.profile["mean"].low is None


def test_one_model_whose_neighbors_are_gone_is_named(done: Ran, store: Store) -> None:
    (reading,) = [
        one for one in done.results["red.txt"].description["readings"] if one["label"] == "tiny-gemma"
    ]
    (key,) = store.keys("neighbors", prefix=reading["neighbors"])
    store.remove("neighbors", key)
    found = by_kind(assess_study(done.results, ks=[3], store=store, options=QUICK))
    red = found["red.txt", "mutual_knn"]
    assert not red.is_from_texts
    assert red.notes[0].startswith("the neighbors of tiny-gemma on red.txt are not in the store:")
    assert found["blue.txt", "mutual_knn"].is_from_texts
    with pytest.raises(UnknownNameError) as raised:
        matrix_neighbors(done.results["red.txt"], KIND, store)
    assert raised.value.hint is not None
    assert "--store" in raised.value.hint
    pair = assess_models(
        done.results, "tiny-llama", "tiny-gpt2", texts="red.txt", k=3, store=store, options=QUICK
    )
    assert pair.familywise is not None  # theirs are there
    pair = assess_models(
        done.results, "tiny-llama", "tiny-gemma", texts="red.txt", k=3, store=store, options=QUICK
    )
    assert pair.familywise is None


@pytest.mark.parametrize("harm", HARMS)
def test_damaged_neighbors_are_warned_of_and_as_if_they_were_not_there(
    harm: str, done: Ran, store: Store
) -> None:
    (reading,) = [
        one for one in done.results["blue.txt"].description["readings"] if one["label"] == "tiny-gpt2"
    ]
    (key,) = store.keys("neighbors", prefix=reading["neighbors"])
    (path,) = [
        path
        for path in data_files(store.root, "neighbors")
        if key in str(path) and path.suffix == ".safetensors"
    ]
    HARMS[harm](path)
    with pytest.warns(DamagedArtifactWarning, match="damaged"):
        found = assess_study(done.results, texts=["blue.txt"], ks=[3], store=store, options=QUICK)
    one = by_kind(found)["blue.txt", "mutual_knn"]
    assert not one.is_from_texts
    assert "the neighbors of tiny-gpt2 on blue.txt are not in" in one.notes[0]
    assert one.pairs[0].decision is not None


def test_lists_of_no_more_than_k_are_noted(done: Ran, store: Store) -> None:
    """As when a study was run with as few neighbors as it compares."""
    found = assess_study(done.results, texts=["red.txt"], ks=[5], store=store, options=QUICK)
    assert not [note for note in found.sets[0].notes if "wider than need be" in note]
    for key in store.keys("neighbors"):
        artifact = store.read("neighbors", key)
        assert artifact is not None
        arrays = {name: np.array(array[:, :, :5]) for name, array in artifact.arrays.items()}
        manifest = dict(artifact.manifest)
        store.remove("neighbors", key)
        store.write("neighbors", f"{key.rsplit('-k', 1)[0]}-k5", arrays=arrays, manifest=manifest)
    found = assess_study(done.results, texts=["red.txt"], ks=[5], store=store, options=QUICK)
    one = found.sets[0]
    assert one.is_from_texts
    (note,) = [note for note in one.notes if "wider than need be" in note]
    assert note.startswith("no more than k = 5 neighbors are stored")


def test_of_several_lists_the_shortest_that_is_long_enough_is_read(done: Ran, store: Store) -> None:
    def lengths(k: int) -> set[int]:
        kind = MatrixKind("mutual_knn", k)
        left, _ = matrix_neighbors(done.results["red.txt"], kind, store)
        return {neighbors.k for neighbors in left}

    for key in store.keys("neighbors"):
        artifact = store.read("neighbors", key)
        assert artifact is not None
        for k in (4, 6):
            arrays = {name: np.array(array[:, :, :k]) for name, array in artifact.arrays.items()}
            name = f"{key.rsplit('-k', 1)[0]}-k{k}"
            store.write("neighbors", name, arrays=arrays, manifest=dict(artifact.manifest))
    assert lengths(3) == {7}  # of those that are there, none has the 3 + 5 that are made use of
    assert lengths(5) == {7}


def test_copies_of_texts_are_noted(done: Ran, tmp_path: Path) -> None:
    results = done.results["red.txt"]
    described = dict(results.description) | {"texts": {"name": "red.txt", "n_duplicates": 1234}}
    copies = replace(results, description=described)
    study = StudyResults(name="some", sets={"red.txt": copies})
    found = assess_study(study, ks=[3], store=done.store, options=QUICK)
    assert found.sets[0].notes[0].startswith("1,234 texts of red.txt are exact copies of others")


# imports


def test_imported_readings_are_assessed_from_their_neighbors(tmp_path: Path) -> None:
    store, texts = Store(tmp_path / "store"), [f"text {number}" for number in range(23)]
    for seed, (model, n_layers) in enumerate((("owner/one", 4), ("owner/two", 6), ("owner/new", 8))):
        lists = neighbor_lists(23, n_layers, seed=seed)
        written_as_published(tmp_path / "published", model, "web_text", texts, lists)
    for file in published_files([tmp_path / "published"]):
        keep_reading(read_published_neighbors(file), store)
    study = Study.of(
        models=["imported(owner/one)", "imported(owner/two)", "imported(owner/new)"],
        texts=["imported(web-text)"],
        captures=["final_norm"],
        n=23,
        ks=[3],
    )
    results = run_study(study, tmp_path / "out", store=store, imported=True)
    (one,) = assess_study(results, store=store, options=QUICK).sets
    assert one.is_from_texts
    assert len(one.pairs) == 3
    assert one.pairs[0].profile["mean"].resampled == "texts"
    pair = assess_models(results, "owner/one", "owner/new", store=store, options=QUICK)
    assert pair.familywise is not None

    path = max(data_files(store.root, "imported"), key=lambda path: path.stat().st_size)
    flipped(path)
    with pytest.warns(DamagedArtifactWarning, match="damaged"):
        (one,) = assess_study(results, store=store, options=QUICK).sets
    assert not one.is_from_texts
    assert "are not in" in one.notes[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DamagedArtifactWarning)
        assert assess_models(results, "owner/one", "owner/two", store=store, options=QUICK).decision


def test_imported_matrices_are_assessed_alone(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rng = np.random.default_rng(5)
    rows = [
        f"{left},{right},{i},{j},{rng.random():.4f}"
        for left, right in (("one", "two"),)
        for i in range(1, 8)
        for j in range(1, 7)
    ]
    table.write_text("\n".join(["left,right,left_layer,right_layer,similarity", *rows]))
    found = read_similarity_table(table, n_texts=41, k=3, texts="theirs")
    results = imported_results(found, name="theirs")
    (one,) = assess_study(results, store=tmp_path / "store", options=QUICK).sets
    assert not one.is_from_texts
    assert one.pairs[0].decision is not None
    assert one.pairs[0].decision.basis == "matrix alone"


# names and numbers that are not there


def refused(kind: type[Exception], work: Callable[[], Any]) -> Any:
    with pytest.raises(kind) as raised:
        work()
    return raised.value


def test_unknown_text_sets_have_near_names(done: Ran) -> None:
    error = refused(UnknownNameError, lambda: assess_study(done.out, texts=["rad.txt"]))
    assert "has no results on 'rad.txt'; it has red.txt, pair, blue.txt" in str(error)
    assert error.hint is not None
    assert "red.txt" in error.hint
    error = refused(UnknownNameError, lambda: assess_models(done.out, *NAMES[:2], texts="rad.txt"))
    assert error.hint is not None
    assert "red.txt" in error.hint


def test_unknown_models_have_near_names(done: Ran) -> None:
    error = refused(
        UnknownNameError, lambda: assess_models(done.out, "tiny-lama", "tiny-gemma", texts="pair")
    )
    assert "'tiny-lama'" in str(error)
    assert error.hint is not None
    assert "tiny-llama" in error.hint


def test_a_number_of_neighbors_that_no_matrix_has_is_named(done: Ran) -> None:
    name = done.results.name
    error = refused(ParameterError, lambda: assess_study(done.results, ks=[3, 7, 11]))
    assert str(error) == f"no matrix of {name} has k = 7, 11; there are k = 3, 5"
    error = refused(ParameterError, lambda: assess_models(done.out, *NAMES[:2], texts="pair", k=7))
    assert str(error) == "no matrix of pair has k = 7; there are k = 3, 5"


def test_of_several_text_sets_one_must_be_named(done: Ran) -> None:
    error = refused(ParameterError, lambda: assess_models(done.out, *NAMES[:2]))
    assert "has results on several text sets: red.txt, pair, blue.txt" in str(error)
    assert error.hint == "choose one with --texts."


def test_a_family_may_name_models_that_were_left_out(done: Ran, tmp_path: Path) -> None:
    groups = {"a": [NAMES[0], NAMES[1]], "b": [NAMES[2]]}
    kept = done.results.without([NAMES[0]])
    found = by_kind(
        assess_study(kept, texts=["red.txt"], ks=[3], groups=groups, store=tmp_path, options=QUICK)
    )["red.txt", "mutual_knn"]
    assert set(found.matrices.left) == set(NAMES[1:])


def test_families_are_checked_and_reach_the_zoo(done: Ran, tmp_path: Path) -> None:
    def assess(groups: dict[str, list[str]]) -> StudyAssessment:
        return assess_study(
            done.results, texts=["red.txt"], ks=[3], groups=groups, store=tmp_path, options=QUICK
        )

    error = refused(UnknownNameError, lambda: assess({"some": ["tiny-lama"]}))
    assert str(error).startswith(
        f"{done.results.name} has no model 'tiny-lama', named in the family 'some'"
    )
    assert error.hint is not None
    assert "tiny-llama" in error.hint
    error = refused(ParameterError, lambda: assess({"a": ["tiny-llama"], "b": ["tiny-llama"]}))
    assert str(error) == "tiny-llama is in two families, 'a' and 'b'; expected one"
    found = by_kind(assess({"a": list(NAMES[:2])}))["red.txt", "mutual_knn"]
    assert "2 groups of models: a test over the zoo needs 3" in found.notes
    found = by_kind(assess({"a": ["tiny-llama", "tiny-llama"], "b": []}))["red.txt", "mutual_knn"]
    assert found.zoo["on_minus_off"].units == ("a", *NAMES[1:])


def test_what_is_written_says_the_same(assessed: StudyAssessment, tmp_path: Path) -> None:
    assessed.write(tmp_path)
    found = json.loads((tmp_path / "tests.json").read_text())
    assert [one["texts"] for one in found["sets"]] == [one.name for one in assessed.sets]
    assert [one["from"] for one in found["sets"]] == ["texts", "matrices alone"] * 3
