"""`isodepth map`: which layers correspond, for people and for scripts, from results and from models."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.assessment import AssessmentOptions, assess_pair
from isodepth.cli.assessment_tables import map_lines
from isodepth.cli.map import _csv, _json
from isodepth.comparison import NO_DECISION
from isodepth.results import MatrixKind, TextSetResults
from isodepth.results.files import write_manifest, write_text_set

Run = Callable[..., tuple[int, str, str]]
ROW = {
    "from_layer",
    "from_depth",
    "nearest_layer",
    "to_layer",
    "to_depth",
    "to_first",
    "to_last",
    "low",
    "high",
    "simultaneous_low",
    "simultaneous_high",
    "similarity",
    "margin",
    "slope",
}
ODD = ('one, "quoted"', "two; it's\ttabbed é")


def ridge(n_left: int, n_right: int) -> np.ndarray:
    left, right = ((np.arange(n) + 0.5) / n for n in (n_left, n_right))
    return 0.1 + 0.8 * np.exp(-(((left[:, None] - right) / 0.15) ** 2))


def matrices(names: tuple[str, str], k: int) -> AffinityMatrices:
    one, both, other = ridge(7, 7), ridge(7, 11), ridge(11, 11)
    return AffinityMatrices(
        values=np.block([[one, both], [both.T, other]]) * (1 - k / 100),
        left=names,
        right=names,
        left_layers=(7, 11),
        right_layers=(7, 11),
        is_symmetric=True,
        measure="mutual_knn",
        k=k,
        n_texts=61,
    )


def written(place: Path, *sets: str, names: tuple[str, str] = ("one", "two")) -> Path:
    """Write results of two models, with k = 10 and 3, without anyone's neighbors."""
    made = {}
    for name in sets:
        kinds = {MatrixKind("mutual_knn", k): matrices(names, k) for k in (3, 10)}
        made[name] = TextSetResults(name=name, matrices=kinds)
        write_text_set(place, made[name])
    write_manifest(place, {"name": "mine"}, made)
    return place


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return written(tmp_path / "results", "news")


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(tiny_models.texts_of([3 + number % 11 for number in range(43)])))
    return path


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# from results


def test_json_has_what_scripts_need(run: Run, results: Path) -> None:
    status, said, problems = run("map", "one", "two", "--results", results, "--format", "json")
    assert (status, problems) == (0, "")
    found = strict(said)
    assert (found["left"], found["right"]) == ("one", "two")
    assert (found["left_layers"], found["right_layers"]) == (7, 11)
    assert (found["texts"], found["n_texts"], found["k"], found["measure"]) == (
        "news",
        61,
        10,
        "mutual_knn",
    )
    assert found["verdict"] == "depth-matched"
    assert found["sentence"].startswith("Layers share neighbors beyond chance")
    for direction, n_from, n_to in (("left_to_right", 7, 11), ("right_to_left", 11, 7)):
        rows = found[direction]
        assert [row["from_layer"] for row in rows] == list(range(1, n_from + 1))
        for row in rows:
            assert set(row) == ROW
            assert 1 <= row["to_first"] <= row["nearest_layer"] <= row["to_last"] <= n_to
            assert row["low"] is None  # nobody has the neighbors
    used = np.array(found["one_to_one"])
    assert len(used) == 7
    assert (np.diff(used, axis=0) > 0).all()  # no layer twice, in order


def test_csv_has_a_row_a_layer_with_the_verdict(run: Run, results: Path) -> None:
    _, said, _ = run("map", "one", "two", "--results", results, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert len(rows) == 7 + 11
    assert set(rows[0]) == ROW | {"direction", "from", "to", "verdict"}
    _, told, _ = run("map", "one", "two", "--results", results, "--format", "json")
    described = json.loads(told)
    for row, expected in zip(
        rows, [*described["left_to_right"], *described["right_to_left"]], strict=True
    ):
        assert row["verdict"] == "depth-matched"
        for name in ROW:
            assert row[name] == ("" if expected[name] is None else str(expected[name]))


def test_the_table_is_for_people(run: Run, results: Path) -> None:
    status, said, _ = run("map", "one", "two", "--results", results)
    assert status == 0
    lines = said.splitlines()
    assert lines[0].split() == [
        *("one", "two", "range", "band", "of", "its", "middle", "similarity", "above", "the", "others")
    ]
    assert "Of mutual_knn, k = 10, on 61 texts of news." in lines
    assert [line.split()[0] for line in lines[1:8]] == [str(layer) for layer in range(1, 8)]
    assert "Depth of two minus that of one, of matched layers: mean " in said
    assert "Layers share neighbors beyond chance" in said
    assert (
        "note: no bands, as the neighbors that the matrix was made from are not in the store"
    ) in said


def test_a_file_is_written_and_nothing_printed_on_standard_output(
    run: Run, results: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "map.json"
    arguments = ("map", "one", "two", "--results", results, "--format", "json")
    status, said, problems = run(*arguments, "--out", out)
    assert (status, said) == (0, "")
    assert problems == f"Wrote {out}\n"
    assert out.read_text() == run(*arguments)[1]


def test_labels_in_the_other_order_give_the_other_map(run: Run, results: Path) -> None:
    maps = [
        json.loads(run("map", *names, "--results", results, "--format", "json")[1])
        for names in (("one", "two"), ("two", "one"))
    ]
    assert maps[1]["left"] == "two"
    assert maps[0]["left_to_right"] == maps[1]["right_to_left"]


def test_k_is_ten_unless_another_is_chosen(run: Run, results: Path) -> None:
    found = run("map", "one", "two", "--results", results, "-k", 3, "--format", "json")[1]
    assert json.loads(found)["k"] == 3
    status, said, problems = run("map", "one", "two", "--results", results, "-k", 7)
    assert (status, said) == (1, "")
    assert problems == "error: no matrix of news has k = 7; there are k = 3, 10\n"


def test_one_file_of_results_is_taken(run: Run, results: Path) -> None:
    (path,) = results.glob("*.safetensors")
    status, said, problems = run("map", "one", "two", "--results", path, "--format", "json")
    assert status == 0, problems
    assert json.loads(said)["texts"] == "news"


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_odd_labels_come_out_as_they_are(form: str, run: Run, tmp_path: Path) -> None:
    place = written(tmp_path / "odd", "news", names=ODD)
    status, said, problems = run("map", *ODD, "--results", place, "--format", form)
    assert status == 0, problems
    if form == "json":
        assert (strict(said)["left"], strict(said)["right"]) == ODD
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(said)))
        assert {(row["from"], row["to"]) for row in rows} == {ODD, ODD[::-1]}
    else:
        assert said.startswith("  ".join(ODD))


# what it refuses


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("on", "two"), "no model of these matrices is called 'on' (left)", "one"),
        (("one", "tow"), "'tow'", "two"),
        (("one", "two", "--texts", "newz"), "no results on 'newz'", "news"),
    ],
)
def test_names_that_are_not_there_have_near_ones(
    arguments: tuple[str, ...], error: str, hint: str, run: Run, results: Path
) -> None:
    status, said, problems = run("map", *arguments, "--results", results)
    assert (status, said) == (1, "")
    assert error in problems
    assert f"hint: did you mean {hint}" in problems


def test_of_several_text_sets_one_must_be_named(run: Run, tmp_path: Path) -> None:
    place = written(tmp_path / "both", "news", "blog")
    status, _, problems = run("map", "one", "two", "--results", place)
    assert status == 1
    assert "has results on several text sets: news, blog" in problems
    assert "hint: choose one with --texts." in problems
    assert run("map", "one", "two", "--results", place, "--texts", "blog")[0] == 0


def test_models_need_texts_to_read(run: Run) -> None:
    status, said, problems = run("map", "one", "two")
    assert (status, said) == (2, "")
    assert "give --texts, what the models shall read, or --results." in problems


def test_how_models_read_cannot_be_chosen_of_results(run: Run, results: Path) -> None:
    status, said, problems = run(
        *("map", "one", "two", "--results", results, "-n", 20, "--capture", "mlp", "--dedupe")
    )
    assert (status, said) == (2, "")
    assert "--dedupe, -n: not with --results, which hold matrices as they are." in problems


def test_a_measure_of_results_is_chosen_and_has_no_verdict(run: Run, tmp_path: Path) -> None:
    knn, cka = MatrixKind("mutual_knn", 10), MatrixKind("cka", 0)
    found = matrices(("one", "two"), 10)
    other = replace(found, measure="cka", k=0, values=found.values**2, metric=None)
    sets = {"news": TextSetResults(name="news", matrices={knn: found, cka: other})}
    write_text_set(tmp_path, sets["news"])
    write_manifest(tmp_path, {"name": "mine"}, sets)
    arguments = ("map", "one", "two", "--results", tmp_path)
    assert "Of mutual_knn, k = 10, on 61 texts of news." in run(*arguments)[1]
    status, said, told = run(*arguments, "--measure", "cka", "-k", 10)
    assert (status, told) == (0, "note: -k does not count for linear CKA\n")
    assert "Of cka, on 61 texts of news." in said
    assert NO_DECISION in said
    assert "note: there is a map between any two models" in said
    as_json = json.loads(run(*arguments, "--measure", "cka", "--format", "json")[1])
    assert [as_json[name] for name in ("measure", "k", "metric", "verdict")] == [
        "cka",
        None,
        None,
        None,
    ]
    status, said, told = run(*arguments, "--measure", "ckaa")
    assert (status, said) == (1, "")
    assert "error: no matrix of news is by 'ckaa'; there are by mutual_knn, cka" in told
    assert "hint: did you mean cka?" in told


def test_a_layer_that_corresponds_to_all_stands_above_no_other() -> None:
    flat = AffinityMatrix(
        values=np.full((1, 3), 0.5), left="one", right="two", measure="cka", k=0, n_texts=61
    )
    (_, row, *_) = map_lines(assess_pair(flat))
    assert row.split() == ["1", "2", "1", "to", "3", "0.500", "–"]


def test_of_several_readings_in_results_one_is_chosen(run: Run, results: Path) -> None:
    arguments = ("map", "one", "two", "--results", results, "--format", "csv")
    assert run(*arguments, "--capture", "block")[1] == run(*arguments)[1]
    status, said, problems = run(*arguments, "--capture", "mlp")
    assert (status, said) == (1, "")
    assert "error: 0 matrices of news fit the choice; there are: mutual_knn, k = 3, " in problems
    assert "hint: choose with --measure, -k, --capture and --pooling." in problems


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    run: Run, results: Path, texts: Path, tmp_path: Path, llama_folder: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    out = ("--out", tmp_path / "file" / "map.json")
    for arguments in (("one", "two", "--results", results), (llama_folder,) * 2):
        status, said, problems = run("map", *arguments, "--texts", texts, *out)
        assert (status, said) == (1, "")
        assert "reading with" not in problems
        assert str(tmp_path / "file") in problems


# from models


def test_models_are_read_and_mapped_with_bands(
    run: Run, llama_folder: Path, gemma_folder: Path, texts: Path
) -> None:
    arguments = ("map", llama_folder, gemma_folder, "--texts", texts, "-n", 37, "-k", 3)
    status, said, told = run(*arguments, "--format", "json")
    assert status == 0, told
    found = strict(said)
    assert (found["left"], found["right"]) == ("tiny-llama", "tiny-gemma")
    assert (found["left_layers"], found["right_layers"]) == (5, 7)
    assert (found["texts"], found["n_texts"], found["k"]) == ("reviews.txt", 37, 3)
    assert found["n_resamples"] == 1000
    assert "reading with tiny-llama" in told
    for row in found["left_to_right"]:
        assert row["simultaneous_low"] <= row["low"] <= row["high"] <= row["simultaneous_high"]

    status, table, told = run(*arguments)
    assert "reading with" not in told  # all is in the store
    assert "95 % band" in table.splitlines()[0]
    assert len(table.splitlines()[1].split("  ")) > 4
    status, said, _ = run(*arguments, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(said)))
    assert len(rows) == 12
    assert rows[0]["low"] == str(found["left_to_right"][0]["low"])


def test_options_of_reading_reach_the_models(
    run: Run, llama_folder: Path, gemma_folder: Path, texts: Path
) -> None:
    status, said, problems = run(
        *("map", llama_folder, gemma_folder, "--texts", texts, "-n", 31, "-k", 3),
        *("--capture", "mlp", "--pooling", "mean", "--format", "json"),
    )
    assert status == 0, problems
    assert json.loads(said)["left"] == "tiny-llama [MLP outputs, mean over tokens]"


# tables


def assessed(values: np.ndarray, measure: str = "mutual_knn") -> Any:
    matrix = AffinityMatrix(values=values, left="one", right="two", measure=measure, k=3, n_texts=401)
    return assess_pair(matrix, options=AssessmentOptions(n_permutations=19, n_resamples=100))


@pytest.fixture
def corners() -> Iterator[np.ndarray]:
    """Two bright blocks without a ridge."""
    values = np.full((12, 12), 0.1)
    values[:4, :4] = values[8:, 8:] = 0.5
    values += np.random.default_rng(5).normal(scale=0.01, size=(12, 12))
    return values


def test_a_map_without_a_ridge_says_so(corners: np.ndarray) -> None:
    lines = map_lines(assessed(corners))
    assert any(line.startswith("note: there is a map between any two models") for line in lines)
    assert not any("there is a map between" in line for line in map_lines(assessed(ridge(12, 12))))


def test_a_map_far_from_layers_own_matches_is_not_to_be_trusted() -> None:
    noise = np.random.default_rng(7).random((12, 13))
    found = assessed(noise)
    assert found.depth_map.match_disagreement > 0.1
    (line,) = [line for line in map_lines(found) if "not to be trusted" in line]
    assert f"lie {found.depth_map.match_disagreement:.2f} of the depth" in line


def test_a_compressed_model_is_named_with_its_layers() -> None:
    depths = (np.arange(20) + 0.5) / 20
    values = np.exp(-(((depths[:, None] ** 4 - depths) / 0.1) ** 2))
    said = "\n".join(map_lines(assessed(values)))
    assert "Compressed: layers " in said
    assert " of one correspond to " in said


def test_other_measures_have_a_map_and_no_verdict() -> None:
    found = assessed(ridge(6, 7), "mine")
    assert strict(_json(found))["verdict"] is None
    rows = list(csv.DictReader(io.StringIO(_csv(found))))
    assert {row["verdict"] for row in rows} == {""}
    assert "note: no bands" not in "\n".join(map_lines(found))


def test_models_of_one_layer_are_mapped() -> None:
    found = assessed(np.array([[0.2, 0.5, 0.3]]))
    assert strict(_json(found))["left_to_right"][0]["to_first"] == 1
    assert map_lines(found)[1].split()[0] == "1"
