"""The tables and files of a study's assessments: what they hold, and that scripts can read them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute
import pyarrow.parquet
import pytest

import isodepth.assessment.study
from isodepth.affinity import MEASURES, all_affinities
from isodepth.assessment import AssessmentOptions, StudyAssessment, assess_text_set
from isodepth.assessment.study import TABLES
from isodepth.errors import UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.results import MatrixKind
from isodepth.statistics import CORRECTIONS, TEST_METHODS
from model_measures import of_models

Planted = Callable[..., Neighbors]
K = 5
LAYERS = {"one": 11, "two, too": 7, 'th"ree': 8}
FILES = ["tests.json", *(f"{name}.parquet" for name in TABLES)]


def strict(text: str) -> Any:
    """Read JSON that holds no NaN and no infinity, which other readers refuse."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def zoo(planted: Planted) -> list[Neighbors]:
    return [planted(name, n, seed=seed) for seed, (name, n) in enumerate(LAYERS.items())]


def study(zoo: list[Neighbors], quick: AssessmentOptions, **settings: Any) -> StudyAssessment:
    sets = tuple(
        assess_text_set(
            name, MatrixKind("mutual_knn", k), all_affinities(zoo, k=k), options=quick, **settings
        )
        for name, k in (("news", K), ("news", 3))
    )
    return StudyAssessment(name="small", sets=sets, options=quick)


@pytest.fixture(scope="module")
def assessed(zoo: list[Neighbors], quick: AssessmentOptions) -> StudyAssessment:
    return study(zoo, quick, left=zoo)


@pytest.fixture(scope="module")
def alone(zoo: list[Neighbors], quick: AssessmentOptions) -> StudyAssessment:
    return study(zoo, quick)


# tables


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_the_same_columns_and_types_with_neighbors_and_without(
    name: str, assessed: StudyAssessment, alone: StudyAssessment
) -> None:
    table, bare = assessed.table(name), alone.table(name)
    assert table.schema == bare.schema
    assert len(table) == len(bare) > 0
    assert table.column_names[:5] == ["texts", "measure", "k", "capture", "pooling"]
    assert set(table["k"].to_pylist()) == {3, K}
    assert pyarrow.concat_tables([table, bare]).num_rows == 2 * len(table)


def test_tables_say_how_layers_were_read(zoo: list[Neighbors], quick: AssessmentOptions) -> None:
    facts = {"metric": None, "preprocessing": "center"}
    plain = all_affinities(zoo, k=K)
    ridge = replace(plain, measure="ridge_to_right", k=0, **facts)
    kinds = {MatrixKind(one.measure, one.k): one for one in (plain, ridge)}
    sets = tuple(assess_text_set("news", kind, one, options=quick) for kind, one in kinds.items())
    assessed = StudyAssessment(name="small", sets=sets, options=quick)
    for name in TABLES:
        table = assessed.table(name)
        columns = ("measure", "k", "metric", "preprocessing")
        assert {tuple(row[column] for column in columns) for row in table.to_pylist()} == {
            ("mutual_knn", K, "cosine", "none"),
            ("ridge_to_right", None, None, "center"),
        }
        assert len(set(table.column_names)) == len(table.column_names)
    pairs = assessed.table("pairs").filter(pyarrow.compute.field("measure") == "ridge_to_right")
    assert len(pairs) == 6


def test_pairs_have_a_row_each_with_verdict_and_the_papers_contrast(assessed: StudyAssessment) -> None:
    rows = assessed.table("pairs").to_pylist()
    pairs = [(one, place, pair) for one in assessed.sets for place, pair in enumerate(one.pairs)]
    assert len(rows) == len(pairs) == 6
    for row, (one, place, pair) in zip(rows, pairs, strict=True):
        assert (row["left"], row["right"], row["k"]) == (
            pair.matrix.left,
            pair.matrix.right,
            one.kind.k,
        )
        decision, test = pair.decision, pair.tests["student"]
        assert decision is not None
        assert pair.familywise is not None
        assert pair.over_all is not None
        assert (row["verdict"], row["basis"]) == (decision.verdict, "texts")
        assert (row["p_shared"], row["p_depth"]) == (decision.p_shared, decision.p_depth)
        assert row["p_shared_over_all_pairs"] == pair.over_all.p_value
        assert row["n_layer_pairs"] == pair.matrix.values.size
        assert row["n_layer_pairs_beyond_chance"] == (pair.familywise.p_values <= 0.05).sum()
        assert (row["on_mean"], row["off_mean"]) == (test.on_mean, test.off_mean)
        for method in TEST_METHODS:
            name = method.replace("-", "_")
            assert row[f"{name}_p"] == pair.tests[method].p_value
            for correction in CORRECTIONS:
                corrected = row[f"{name}_p_{correction.replace('-', '_')}"]
                assert corrected == one.adjusted[method, correction][place]


def test_estimates_say_how_they_came_about(assessed: StudyAssessment, alone: StudyAssessment) -> None:
    rows = assessed.table("estimates").to_pylist()
    of_pairs = [row for row in rows if row["left"] is not None]
    for row in of_pairs:
        assert row["low"] <= row["high"]
        assert (row["level"], row["n"], row["resampled"]) == (0.95, 61, "texts")
    over_zoo = [row for row in rows if row["left"] is None]
    assert {row["statistic"] for row in over_zoo} == {
        f"mean over pairs of {part}" for part in assessed.sets[0].zoo
    }
    assert {(row["resampled"], row["n"]) for row in over_zoo} == {("models", 3)}
    pair = assessed.sets[0].pairs[0]
    named = [
        row
        for row in of_pairs
        if (row["k"], row["left"], row["right"]) == (K, pair.matrix.left, pair.matrix.right)
    ]
    found = {row["statistic"]: row["value"] for row in named}
    assert found["departure_signed"] == pair.depth_map.departure.signed.value
    assert found["on_minus_off"] == pair.profile["on_minus_off"].value
    assert pair.decision is not None
    p_values = {row["statistic"]: row["p_value"] for row in named if row["p_value"] is not None}
    assert p_values == {part.name: part.p_value for part in pair.decision.parts}
    bare = [row for row in alone.table("estimates").to_pylist() if row["left"] is not None]
    assert {(row["low"], row["method"], row["resampled"], row["p_value"]) for row in bare} == {
        (None, "no interval", None, None)
    }


def test_layer_pairs_hold_every_cell_and_its_chance(
    assessed: StudyAssessment, alone: StudyAssessment
) -> None:
    rows = assessed.table("layer_pairs").to_pylist()
    assert len(rows) == 2 * (11 * 7 + 11 * 8 + 7 * 8)
    pairs = {
        (one.kind.k, pair.matrix.left, pair.matrix.right): pair
        for one in assessed.sets
        for pair in one.pairs
    }
    for row in rows:
        pair = pairs[row["k"], row["left"], row["right"]]
        cell = row["left_layer"] - 1, row["right_layer"] - 1
        assert pair.familywise is not None
        assert pair.over_all is not None
        assert row["similarity"] == pair.matrix.values[cell]
        assert row["chance"] == row["k"] / 60
        assert row["chance_sd"] == pair.familywise.null.sd[cell]
        assert row["z"] == pytest.approx((row["similarity"] - row["chance"]) / row["chance_sd"])
        assert row["calibrated"] == pytest.approx(
            (row["similarity"] - row["chance"]) / (1 - row["chance"])
        )
        assert row["p_value"] == pair.familywise.p_values[cell] <= row["p_value_over_all_pairs"]
    bare = alone.table("layer_pairs")
    for name in ("chance_sd", "z", "calibrated", "p_value", "p_value_over_all_pairs"):
        assert bare[name].null_count == len(rows)


def test_depth_maps_have_a_row_a_layer_of_either_model(assessed: StudyAssessment) -> None:
    rows = assessed.table("depth_maps").to_pylist()
    assert len(rows) == 2 * 2 * (11 + 7 + 8)
    first = assessed.sets[0].pairs[0]
    assert [row["nearest_layer"] for row in rows[:11]] == first.depth_map.left_to_right.nearest.tolist()
    assert {(row["direction"], row["from"], row["to"]) for row in rows[:18]} == {
        ("left_to_right", "one", "two, too"),
        ("right_to_left", "two, too", "one"),
    }


def test_there_is_no_other_table(assessed: StudyAssessment) -> None:
    with pytest.raises(UnknownNameError) as raised:
        assessed.table("cells")
    assert str(raised.value) == (
        "there is no table 'cells'; there are pairs, estimates, layer_pairs, depth_maps"
    )


# files


def test_json_is_read_by_strict_readers_and_holds_everything_but_layer_pairs(
    assessed: StudyAssessment, tmp_path: Path
) -> None:
    paths = assessed.write(tmp_path / "new" / "tests")
    assert [path.name for path in paths] == FILES
    found = strict(paths[0].read_text())
    assert (found["format"], found["version"], found["name"]) == ("isodepth assessment", 1, "small")
    assert found["options"] == assessed.options.as_dict()
    first, pair = found["sets"][0], assessed.sets[0].pairs[0]
    assert first["from"] == "texts"
    assert first["kind"] == {"measure": "mutual_knn", "k": K, "capture": "block", "pooling": "last"}
    described = first["pairs"][0]
    assert (described["left"], described["right"]) == ("one", "two, too")
    assert pair.decision is not None
    assert described["decision"]["sentence"] == pair.decision.sentence
    assert described["profile"]["mean"]["low"] == pair.profile["mean"].low
    assert set(described["tests"]) == set(TEST_METHODS)
    assert described["depth_map"]["left_layers"] == 11
    assert described["depth_map"]["path_similarity"] == pair.depth_map.path_similarity
    assert "left_to_right" not in described["depth_map"]  # in a table of its own
    zoo = first["zoo"]["on_minus_off"]
    assert list(zoo["model_means"]) == list(zoo["means_without"]) == list(LAYERS)
    assert sorted(first["tree"]["order"]) == sorted(LAYERS)
    assert np.array(first["distances"]["values"]).shape == (3, 3)
    for name in TABLES:
        assert pyarrow.parquet.read_table(tmp_path / "new" / "tests" / f"{name}.parquet").equals(
            assessed.table(name)
        )


def test_numbers_that_json_lacks_are_strings(
    planted: Planted, quick: AssessmentOptions, tmp_path: Path
) -> None:
    model = planted("one", 7, seed=1)
    models = [replace(model, model=name) for name in ("one", "two", "three")]
    found = assess_text_set(
        "x", MatrixKind("mutual_knn", K), all_affinities(models, k=K), left=models, options=quick
    )
    StudyAssessment(name="same", sets=(found,), options=quick).write(tmp_path)
    # equal models are equally similar everywhere: there is nothing that trees could show
    described = strict((tmp_path / "tests.json").read_text())["sets"][0]
    assert described["distances"]["values"] == [[0, 0, 0]] * 3
    assert described["tree"]["cophenetic_correlation"] is None


@pytest.mark.parametrize("n_layers", [(1, 1, 1), (1, 7, 3)])
def test_models_of_one_layer_leave_tables_their_columns(
    n_layers: tuple[int, ...],
    planted: Planted,
    assessed: StudyAssessment,
    quick: AssessmentOptions,
    tmp_path: Path,
) -> None:
    zoo = [planted(f"m{seed}", n, seed=seed) for seed, n in enumerate(n_layers)]
    flat = study(zoo, quick, left=zoo)
    flat.write(tmp_path)
    assert strict((tmp_path / "tests.json").read_text())["sets"][0]["pairs"][0]["tests"] == {}
    for name in TABLES:
        assert flat.table(name).schema == assessed.table(name).schema
    row = flat.table("pairs").to_pylist()[0]
    assert (row["student_p"], row["student_p_holm"], row["on_mean"]) == (None, None, None)


def test_a_study_of_one_model_is_written_with_empty_tables(
    planted: Planted, quick: AssessmentOptions, tmp_path: Path
) -> None:
    zoo = [planted("one", 7, seed=1)]
    one = study(zoo, quick, left=zoo)
    one.write(tmp_path)
    assert {len(pyarrow.parquet.read_table(tmp_path / f"{name}.parquet")) for name in TABLES} == {0}
    assert strict((tmp_path / "tests.json").read_text())["sets"][0]["pairs"] == []


def test_other_measures_have_rows_without_verdict(
    zoo: list[Neighbors],
    assessed: StudyAssessment,
    quick: AssessmentOptions,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    mutual = MEASURES["mutual_knn"]
    halved = of_models(lambda left, right: mutual(left, right, left.shape[2]) / 2)
    monkeypatch.setitem(MEASURES, "halved", halved)
    kind = MatrixKind("halved", K)
    found = assess_text_set("x", kind, all_affinities(zoo, k=K, measure="halved"), options=quick)
    other = StudyAssessment(name="other", sets=(found,), options=quick)
    other.write(tmp_path)
    for name in TABLES:
        assert other.table(name).schema == assessed.table(name).schema
    assert {row["verdict"] for row in other.table("pairs").to_pylist()} == {None}
    assert strict((tmp_path / "tests.json").read_text())["sets"][0]["pairs"][0]["decision"] is None


def test_an_equal_seed_writes_equal_bytes_and_another_others(
    zoo: list[Neighbors], assessed: StudyAssessment, quick: AssessmentOptions, tmp_path: Path
) -> None:
    assessed.write(tmp_path / "first")
    study(zoo, quick, left=zoo).write(tmp_path / "second")
    study(zoo, replace(quick, seed=11), left=zoo).write(tmp_path / "other")
    for name in FILES:
        first = (tmp_path / "first" / name).read_bytes()
        assert (tmp_path / "second" / name).read_bytes() == first
        assert (tmp_path / "other" / name).read_bytes() != first


@pytest.mark.parametrize("name", FILES)
def test_an_error_while_writing_leaves_the_old_file_whole(
    name: str, alone: StudyAssessment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone.write(tmp_path)
    before = (tmp_path / name).read_bytes()

    def fails(*given: Any, **settings: Any) -> None:
        if str(given[-1]).find(name.split(".")[0]) >= 0 or name == "tests.json":
            raise OSError(28, "No space left on device")
        real(*given, **settings)

    real = pyarrow.parquet.write_table
    if name == "tests.json":
        monkeypatch.setattr(isodepth.assessment.study, "write_atomically", fails)
    else:
        monkeypatch.setattr(pyarrow.parquet, "write_table", fails)
    with pytest.raises(Exception, match="(?i)no space left"):
        replace(alone, name="renamed").write(tmp_path)
    assert (tmp_path / name).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
