"""Studies and comparisons by other measures, other distances and after preprocessing, on tiny models."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

from isodepth.affinity import MEASURES, affinity_matrix
from isodepth.assessment import AssessmentOptions
from isodepth.errors import ParameterError, StudyError, UnknownNameError
from isodepth.figures import study_atlas
from isodepth.figures.entries import pair_stem
from isodepth.interchange import keep_reading, published_files, read_published_neighbors
from isodepth.neighbors import nearest_neighbors
from isodepth.pipeline import assess_study, compare
from isodepth.pipeline.assess import NO_VERDICTS, matrix_neighbors
from isodepth.pipeline.matrices import Reader
from isodepth.pipeline.needed import needed_artifacts
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.run import run_study
from isodepth.report import report_payload
from isodepth.report.packing import unpacked
from isodepth.results import MatrixKind, load_results
from isodepth.store import Store
from isodepth.study import Study
from published_form import neighbor_lists, written_as_published
from tiny_studies import Counts, Ran, bytes_of, ran_study, tiny_study

NEIGHBORS = ("mutual_knn", "jaccard_knn")
ACTIVATIONS = ("cka", "ridge_to_right")
KINDS = [MatrixKind(measure, k) for measure in NEIGHBORS for k in (3, 5)]
KINDS += [MatrixKind(measure, 0) for measure in ACTIVATIONS]
KEYS: dict[str, Any] = {"measures": [*NEIGHBORS, *ACTIVATIONS], "ks": [3, 5]}
PRECISION = {"ridge_to_right": 2e-4}
"""Ridge regression holds layers in float32 where they predict each other all at once."""
OPTIONS = AssessmentOptions(n_permutations=99, n_resamples=100)


def readers_of(ran: Ran, store: Store, set_name: str = "red.txt") -> dict[str, Reader]:
    """Return who read a text set, by label, from a plan of the study."""
    plan = plan_study(ran.study, store, measures_speed=False)
    (planned,) = [one for one in plan.sets if one.name == set_name]
    selection = next(iter(planned.selections.values()))
    return {reader.label: reader for reader in (*selection.left, *selection.columns)}


def as_before(folder: Path) -> None:
    """Take out of the results in a folder what files of earlier versions do not say."""
    sums = json.loads((folder / "manifest.json").read_text())
    for path in folder.glob("*.safetensors"):
        with safetensors.safe_open(path, framework="numpy") as file:
            labels = json.loads(file.metadata()["isodepth"])
        for entry in labels["matrices"]:
            del entry["metric"], entry["preprocessing"]
        for reading in labels["description"]["readings"]:
            del reading["metric"], reading["preprocessing"]
        save_file(dict(load_file(path)), path, metadata={"isodepth": json.dumps(labels)})
        sums["files"][path.name]["sha256"] = bytes_of(folder)[path.name]
    (folder / "manifest.json").write_text(json.dumps(sums))


@pytest.fixture(scope="module")
def measured(
    gpt2_folder: Path, llama_folder: Path, red: str, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    """Two models (3 and 5 layers) on one text set, by measures of neighbors and of activations."""
    return ran_study(
        tmp_path_factory.mktemp("measured"), gpt2_folder, llama_folder, texts=[red], **KEYS
    )


@pytest.fixture(scope="module")
def centered(
    measured: Ran, gpt2_folder: Path, llama_folder: Path, red: str, tmp_path_factory: Any
) -> Ran:
    """The same readings by Euclidean distance after two steps, in a copy of the store."""
    base = tmp_path_factory.mktemp("centered")
    shutil.copytree(measured.store, base / "store")
    return ran_study(
        base,
        gpt2_folder,
        llama_folder,
        texts=[red],
        measures=["mutual_knn", "cka"],
        metric="euclidean",
        preprocessing="center+unit_norm",
    )


@pytest.fixture
def copied_measured(measured: Ran, tmp_path: Path) -> Store:
    return Store(shutil.copytree(measured.store, tmp_path / "copied"))


def test_kinds_have_k_where_their_measure_takes_it(measured: Ran) -> None:
    found = measured.results["red.txt"].matrices
    assert list(found) == KINDS
    for kind, matrices in found.items():
        assert (matrices.measure, matrices.k) == (kind.measure, kind.k)
        assert matrices.metric == ("cosine" if kind.measure in NEIGHBORS else None)
        assert (matrices.preprocessing, matrices.is_symmetric) == ("none", True)
    assert str(KINDS[-1]) == "ridge_to_right, capture block, pooling last"


def test_activations_stay_in_the_store_for_measures_that_read_them(measured: Ran) -> None:
    assert measured.study.keep_activations is False
    assert len(measured.loads) == len(set(measured.loads)) == 2
    assert len(Store(measured.store).keys("activations")) == 2


def test_values_are_those_of_what_is_stored(measured: Ran) -> None:
    store = Store(measured.store)
    readers = readers_of(measured, store)
    found = measured.results["red.txt"].matrices
    for kind in KINDS:
        reads = MEASURES[kind.measure].reads
        sides = {
            label: reader.neighbors(store) if reads == "neighbors" else reader.activations(store)
            for label, reader in readers.items()
        }
        for left in sides:
            for right in sides:
                expected = affinity_matrix(
                    sides[left], sides[right], measure=kind.measure, k=kind.k or None
                )
                np.testing.assert_allclose(
                    found[kind][left, right].values,
                    expected.values,
                    rtol=0,
                    atol=PRECISION.get(kind.measure, 1e-7),
                )


def test_a_directed_measure_has_both_directions(measured: Ran) -> None:
    by_kind = measured.results["red.txt"].matrices
    ridge, cka = by_kind[KINDS[-1]], by_kind[KINDS[-2]]
    first, second = ridge.left
    assert (
        np.abs(ridge[first, second].values - ridge[second, first].values.T).max()
        > 10 * PRECISION["ridge_to_right"]
    )
    np.testing.assert_array_equal(cka[first, second].values, cka[second, first].values.T)


def test_a_directed_measure_keeps_both_directions_up_to_figures_and_the_report(
    measured: Ran, tmp_path: Path
) -> None:
    results = load_results(measured.out)
    (name,) = results
    ridge, cka = (results[name].matrices[kind] for kind in (KINDS[-1], KINDS[-2]))
    both = [ridge.left, ridge.left[::-1]]
    computed = measured.results[name].matrices[KINDS[-1]]
    np.testing.assert_array_equal(ridge.values, computed.values)
    (table,) = measured.out.glob("*.parquet")
    rows = pyarrow.parquet.read_table(table).to_pylist()
    told = [row for row in rows if row["measure"] == "ridge_to_right"]
    assert len(told) == ridge.values.size
    for row in told:
        values = computed[row["left"], row["right"]].values
        assert row["similarity"] == values[row["left_layer"] - 1, row["right_layer"] - 1]
    assert {(row["k"], row["metric"], row["preprocessing"]) for row in told} == {(None, None, "none")}

    assessed = assess_study(results, store=Store(measured.store), options=OPTIONS)
    by_kind = {one.kind: one for one in assessed.sets}
    pairs = [(pair.matrix.left, pair.matrix.right) for pair in by_kind[KINDS[-1]].pairs]
    assert (pairs, len(by_kind[KINDS[-2]].pairs)) == (both, 1)

    names = [one.name for one in study_atlas(assessed, results, pairs=both)]
    stems = [pair_stem(*labels) for labels in both]
    for folder, of_them in (("ridge_to_right", stems), ("cka", stems[:1])):
        there = [one for one in names if folder in one and one.endswith("/matrix")]
        assert sorted(one.split("/")[-2] for one in there) == sorted(of_them)

    shown = {one["measure"]: one for one in report_payload(assessed, results=results)["sets"]}
    blocks = [[0, 0], [0, 1], [1, 0], [1, 1]]
    for measure, one, expected in (
        ("ridge_to_right", ridge, blocks),
        ("cka", cka, blocks[:2] + blocks[3:]),
    ):
        page = shown[measure]
        assert (page["blocks"], page["mirrored"]) == (expected, measure == "cka")
        values = [one[one.left[i], one.right[j]].values.reshape(-1) for i, j in expected]
        np.testing.assert_array_equal(unpacked(page["ks"][0]["values"]), np.concatenate(values))


def test_a_second_run_computes_nothing_and_writes_the_same_bytes(
    measured: Ran, copied_measured: Store, tmp_path: Path, counts: Counts, monkeypatch: Any
) -> None:
    monkeypatch.setattr("isodepth.pipeline.matrices.all_affinities", None)  # not to be called
    run_study(measured.study, tmp_path / "again", store=copied_measured)
    assert (counts.loads, counts.batches) == ([], [])
    assert bytes_of(tmp_path / "again") == bytes_of(measured.out)


def test_a_model_that_joins_costs_its_own_rows(
    measured: Ran,
    copied_measured: Store,
    two_folder: Path,
    tmp_path: Path,
    counts: Counts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import isodepth.pipeline.matrices as matrices_module

    compute = matrices_module.all_affinities
    asked: dict[tuple[str, int | None], set[tuple[str, str]]] = {}

    def counted(rows: Any, *, right: Any = None, **options: Any) -> Any:
        cells = {(one.model, other.model) for one in rows for other in (right or rows)}
        asked.setdefault((options["measure"], options["k"]), set()).update(cells)
        return compute(rows, right=right, **options)

    monkeypatch.setattr(matrices_module, "all_affinities", counted)
    study = replace(measured.study, models=(*measured.study.models, str(two_folder)))
    results = run_study(study, tmp_path / "three", store=copied_measured)
    assert counts.loads == ["tiny-two"]
    known = measured.results["red.txt"].matrices
    labels = known[KINDS[0]].left
    new = "tiny-two"
    for kind in KINDS:
        found = results["red.txt"].matrices[kind]
        assert found.left == (*labels, new)
        cells = {(new, new), *((label, new) for label in labels)}
        if kind.measure == "ridge_to_right":
            cells |= {(new, label) for label in labels}
        assert asked[kind.measure, kind.k or None] == cells
        for left in labels:
            for right in labels:
                np.testing.assert_array_equal(
                    found[left, right].values, known[kind][left, right].values
                )
    # what was put together is what is computed at once
    anew = run_study(
        replace(study, measures=("cka", "ridge_to_right")),
        tmp_path / "anew",
        store=_without_matrices(copied_measured),
    )
    for kind in KINDS[-2:]:
        np.testing.assert_allclose(
            results["red.txt"].matrices[kind].values,
            anew["red.txt"].matrices[kind].values,
            rtol=0,
            atol=PRECISION.get(kind.measure, 1e-7),
        )


def _without_matrices(store: Store) -> Store:
    shutil.rmtree(store.root / "affinities")
    return store


def test_what_measures_read_is_not_garbage(measured: Ran, copied_measured: Store) -> None:
    def kept(**changes: Any) -> set[str]:
        plan = plan_study(replace(measured.study, **changes), copied_measured, measures_speed=False)
        return {
            key for stage, key in needed_artifacts([plan], copied_measured) if stage == "activations"
        }

    assert kept() == set(copied_measured.keys("activations"))
    assert kept(measures=("jaccard_knn",)) == set()
    assert kept(measures=("jaccard_knn",), keep_activations=True) == kept()


def test_results_say_metric_and_preprocessing_and_have_them_when_read_back(centered: Ran) -> None:
    assert centered.loads == ()  # the activations were there
    results = load_results(centered.out)
    assert results.manifest["study"]["preprocessing"] == "center + unit_norm"
    by_kind = results["red.txt"].matrices
    assert by_kind[MatrixKind("mutual_knn", 3)].metric == "euclidean"
    assert by_kind[MatrixKind("cka", 0)].metric is None
    assert {one.preprocessing for one in by_kind.values()} == {"center + unit_norm"}
    for said in results["red.txt"].description["readings"]:
        assert (said["metric"], said["preprocessing"]) == ("euclidean", "center + unit_norm")
    (label, other) = by_kind[MatrixKind("mutual_knn", 3)].left
    assert "mutual_knn, k = 3, euclidean, after center + unit_norm" in repr(
        by_kind[MatrixKind("mutual_knn", 3)][label, other]
    )


def test_neighbors_of_other_readings_stand_beside_the_plain_ones(measured: Ran, centered: Ran) -> None:
    store = Store(centered.store)
    plain = Store(measured.store).keys("neighbors")
    both = store.keys("neighbors")
    assert set(plain) < set(both)
    assert (len(plain), len(both)) == (2, 4)
    for key in set(both) - set(plain):
        manifest = store.manifest("neighbors", key)
        assert (manifest["metric"], manifest["preprocessing"]) == ("euclidean", "center + unit_norm")
    for key in plain:
        for ours, theirs in zip(
            (store.root / "neighbors" / key).iterdir(),
            (measured.store / "neighbors" / key).iterdir(),
            strict=True,
        ):
            assert ours.read_bytes() == theirs.read_bytes()


def test_values_are_those_after_the_preprocessing(centered: Ran) -> None:
    store = Store(centered.store)
    found = centered.results["red.txt"].matrices
    left, right = (reader.activations(store).values for reader in readers_of(centered, store).values())
    names = found[MatrixKind("cka", 0)].left
    cka = affinity_matrix(left, right, measure="cka", preprocessing="center + unit_norm")
    np.testing.assert_allclose(
        found[MatrixKind("cka", 0)][names].values, cka.values, rtol=1e-6, atol=1e-9
    )
    near = [
        nearest_neighbors(one, 3, "euclidean", preprocessing="center + unit_norm")
        for one in (left, right)
    ]
    np.testing.assert_array_equal(
        found[MatrixKind("mutual_knn", 3)][names].values, affinity_matrix(*near).values
    )
    plain = affinity_matrix(*(nearest_neighbors(one, 3) for one in (left, right)))
    assert (found[MatrixKind("mutual_knn", 3)][names].values != plain.values).any()


def test_statistics_take_the_neighbors_that_were_compared(centered: Ran) -> None:
    store = Store(centered.store)
    results = load_results(centered.out)
    left, _ = matrix_neighbors(results["red.txt"], MatrixKind("mutual_knn", 3), store)
    assert {(one.metric, one.preprocessing) for one in left} == {("euclidean", "center + unit_norm")}
    assessed = assess_study(results, store=store, options=OPTIONS)  # refuses neighbors that give others
    knn, cka = assessed.sets
    assert knn.pairs[0].standard_errors is not None
    assert (cka.pairs[0].decision, cka.pairs[0].familywise) == (None, None)
    assert NO_VERDICTS in cka.notes


def test_results_of_earlier_versions_still_load(measured: Ran, tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    shutil.copytree(measured.out, folder)
    as_before(folder)
    results = load_results(folder)
    found = results["red.txt"].matrices
    assert list(found) == KINDS
    for kind, one in found.items():
        assert (one.metric, one.preprocessing) == ("cosine" if kind.k else None, "none")
    left, _ = matrix_neighbors(results["red.txt"], KINDS[0], Store(measured.store))
    assert {(one.metric, one.preprocessing) for one in left} == {("cosine", "none")}
    np.testing.assert_array_equal(
        found[KINDS[-1]].values, measured.results["red.txt"].matrices[KINDS[-1]].values
    )


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("metric", "cosin", "did you mean cosine"),
        ("preprocessing", "centre", "did you mean center"),
        ("measures", ["ckaa"], "did you mean cka"),
    ],
)
def test_wrong_names_are_told_with_key_and_value(
    key: str, value: Any, said: str, gpt2_folder: Path, red: str
) -> None:
    with pytest.raises(StudyError) as caught:
        tiny_study(gpt2_folder, texts=[red], **{key: value})
    told = str(caught.value)
    assert key in told
    assert json.dumps(value) in told or (isinstance(value, list) and json.dumps(value[0]) in told)
    assert said in told


# imported readings


@pytest.fixture(scope="module")
def imported_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("published")
    for seed, model in enumerate(("google/gemma-2b", "google/gemma-2-9b-it")):
        lists = neighbor_lists(23, 4 + 2 * seed, seed=seed)
        written_as_published(folder, model, "imdb", [f"text {i}" for i in range(23)], lists)
    store = Store(tmp_path_factory.mktemp("imported"))
    for file in published_files([folder]):
        keep_reading(read_published_neighbors(file), store)
    return store


def imported_study(**keys: Any) -> Study:
    settings = {
        "models": ["gemma-2b", "gemma-2-9b-it"],
        "texts": ["imdb"],
        "captures": ["final_norm"],
        "n": 23,
        "ks": [3],
        **keys,
    }
    return Study.of(**settings)


def test_imported_readings_serve_measures_of_neighbors_as_they_are(
    imported_store: Store, tmp_path: Path
) -> None:
    study = imported_study(measures=["mutual_knn", "cka", "ridge_to_right"], preprocessing="center")
    results = run_study(study, tmp_path / "out", store=imported_store, imported=True)
    (kind,) = results["imdb"].matrices
    assert kind.measure == "mutual_knn"
    assert results["imdb"].matrices[kind].preprocessing == "none"
    notes = results.manifest["notes"]
    assert "cka, ridge_to_right are left out: imported readings have neighbors, no activations" in notes
    assert "preprocessing = 'center' is not done: imported neighbors are as they were found" in notes


def test_imported_readings_alone_do_not_serve_measures_of_activations(
    imported_store: Store,
) -> None:
    plan = plan_study(imported_study(measures=["cka"]), imported_store, imported=True)
    assert plan.sets == ()
    (missing,) = plan.missing
    assert missing.reason == "cka reads activations, and imported readings have neighbors alone"


# two models


def test_two_models_by_another_measure(
    measured: Ran, copied_measured: Store, red: str, tmp_path: Path, counts: Counts
) -> None:
    left, right = measured.study.models
    result = compare(left, right, red, n=31, k=3, measure="cka", store=copied_measured)
    assert counts.loads == []
    known = measured.results["red.txt"].matrices[MatrixKind("cka", 0)]
    np.testing.assert_allclose(result.affinity.values, known[known.left].values, rtol=1e-6, atol=1e-9)
    assert result.affinity.k == 0
    assert result.decision is None
    assert result.assessment.familywise is None
    assert result.assessment.standard_errors is None
    written = result.write(tmp_path / "out")
    assert all(path.stat().st_size for path in written)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    said = {name: summary[name] for name in ("measure", "k", "metric", "preprocessing", "decision")}
    assert said == {
        "measure": "cka",
        "k": None,
        "metric": None,
        "preprocessing": "none",
        "decision": None,
    }
    assert summary["chance_level"] is None


def test_two_models_by_another_distance_after_a_step(
    measured: Ran, copied_measured: Store, red: str, tmp_path: Path, counts: Counts
) -> None:
    left, right = measured.study.models
    asked: dict[str, Any] = {"n": 31, "k": 3, "metric": "correlation", "preprocessing": "standardize"}
    result = compare(left, right, red, store=copied_measured, **asked)
    readers = readers_of(measured, copied_measured).values()
    values = [reader.activations(copied_measured).values for reader in readers]
    near = [nearest_neighbors(one, 3, "correlation", preprocessing="standardize") for one in values]
    np.testing.assert_array_equal(result.affinity.values, affinity_matrix(*near).values)
    assert counts.loads == []
    assert result.decision is not None
    summary = result.summary()
    assert (summary["metric"], summary["preprocessing"]) == ("correlation", "standardize")
    plain = affinity_matrix(*(nearest_neighbors(one, 3) for one in values))
    assert (plain.values != result.affinity.values).any()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"measure": "ckaa"}, "measure must be one of .*; got 'ckaa'"),
        ({"metric": "cosin"}, "'cosin'"),
        ({"preprocessing": "centre"}, "'centre'"),
    ],
)
def test_unknown_names_are_told_before_models_are_looked_for(asked: dict[str, str], said: str) -> None:
    with pytest.raises((UnknownNameError, ParameterError), match=said) as caught:
        compare("no such model", "nor this", "no such texts", **asked)
    assert "did you mean" in str(caught.value.hint)


# a package's measure

PACKAGE = """
import numpy as np

def lengths(left, right):
    return float(np.linalg.norm(left) / (np.linalg.norm(left) + np.linalg.norm(right)))

from isodepth.affinity import Measure
share = Measure.of(lengths, title="share of the length", is_symmetric=False)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that installs one version of a package with a measure."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "lengths_of_others.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(folder))

    def install(version: str) -> None:
        for earlier in folder.glob("*.dist-info"):
            shutil.rmtree(earlier)
        info = folder / f"lengths_of_others-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: lengths-of-others\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(
            "[isodepth.measures]\nlength_share = lengths_of_others:share\n"
        )

    return install


def test_a_packages_measure_runs_in_a_study_and_each_version_has_its_own_values(
    measured: Ran, copied_measured: Store, tmp_path: Path, package: Callable[[str], None]
) -> None:
    package("1.5")
    keys = {**measured.study.as_dict(), "measures": ["length_share"]}
    study = Study.of(**keys)
    first = run_study(study, tmp_path / "first", store=copied_measured)
    (kind,) = first["red.txt"].matrices
    assert kind == MatrixKind("length_share", 0)
    found = first["red.txt"].matrices[kind]
    left, right = (
        reader.activations(copied_measured) for reader in readers_of(measured, copied_measured).values()
    )
    expected = affinity_matrix(left, right, measure="length_share").values
    np.testing.assert_array_equal(found[found.left].values, expected)

    def keys_of(version: str, name: str) -> set[str]:
        package(version)
        before = set(copied_measured.keys("affinities"))
        run_study(study, tmp_path / name, store=copied_measured)
        return set(copied_measured.keys("affinities")) - before

    assert keys_of("1.5", "again") == set()
    assert len(keys_of("1.6", "other")) == 1


def test_a_measure_that_fails_leaves_the_others_and_is_named(
    measured: Ran, copied_measured: Store, tmp_path: Path, package: Callable[[str], None]
) -> None:
    package("1.5")
    module = tmp_path / "site" / "lengths_of_others.py"
    broken = PACKAGE.replace("return float", "raise ZeroDivisionError('no length')\n    return float")
    module.write_text(broken)
    sys.modules.pop("lengths_of_others", None)
    keys = {**measured.study.as_dict(), "measures": ["length_share", "mutual_knn"]}
    results = run_study(Study.of(**keys), tmp_path / "out", store=copied_measured)
    assert {kind.measure for kind in results["red.txt"].matrices} == {"mutual_knn"}
    (said,) = [one for one in results.manifest["missing"] if "red.txt" in one["what"]]
    assert "the measure share of the length failed on" in said["reason"]
    assert "no length" in said["reason"]
