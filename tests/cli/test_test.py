"""`isodepth test`: what it prints of a tiny study's results, what it writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import AssessmentOptions, StudyAssessment, assess_text_set
from isodepth.cli.assessment_tables import assessment_lines
from isodepth.pipeline.assess import NO_VERDICTS
from isodepth.results import MatrixKind
from tiny_studies import Ran, ran_study, written_texts

pytestmark = pytest.mark.usefixtures("no_collections")

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--permutations", 19, "--resamples", 100)
FILES = [
    "tests.json",
    "pairs.parquet",
    "estimates.parquet",
    "layer_pairs.parquet",
    "depth_maps.parquet",
]
NAMES = ("tiny-llama", "tiny-gemma", "tiny-gpt2")


@pytest.fixture(scope="module")
def done(
    llama_folder: Path,
    gemma_folder: Path,
    gpt2_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    base = written_texts(tmp_path_factory.mktemp("tested"))
    return ran_study(
        base,
        llama_folder,
        gemma_folder,
        gpt2_folder,
        texts=[str(base / "red.txt"), str(base / "blue.txt")],
        ks=[3, 5],
        measures=["mutual_knn"],
    )


def block(said: str, name: str) -> list[str]:
    """Return the lines on a text set."""
    lines = said.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"{name} ("))
    return lines[start : lines.index("", start)]


# what it prints and writes


def test_it_prints_a_table_a_text_set_and_writes_the_files(run: Run, done: Ran, tmp_path: Path) -> None:
    out = tmp_path / "new" / "tests"
    status, said, told = run("test", done.out, "--store", done.store, *QUICK, "--out", out)
    assert status == 0, told
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    for name in FILES:
        assert str(out / name) in said
    for name in ("red.txt", "blue.txt"):
        heading, columns, *rows = block(said, name)
        assert "k = 3, capture block, pooling last; 31 texts; chance 0.100" in heading
        assert columns.split() == (
            [
                "left",
                "right",
                "mean",
                "on",
                "-",
                "off",
                "association",
                "p",
                "shared",
                "p",
                "depth",
                "verdict",
            ]
        )
        pairs = [tuple(row.split()[:2]) for row in rows[:3]]
        assert pairs == [NAMES[:2], (NAMES[0], NAMES[2]), NAMES[1:]]
    assert "Intervals: 95 %, texts resampled 100 times" in said
    assert "19 relabellings" in said
    assert "relabelling texts of red.txt" not in said
    assert "relabelling texts of red.txt: done in" in told
    rows = pyarrow.parquet.read_table(out / "pairs.parquet").to_pylist()
    found = json.loads((out / "tests.json").read_text())
    assert [row["verdict"] for row in rows] == [
        pair["verdict"] for one in found["sets"] for pair in one["pairs"]
    ]
    for row in rows:
        line = next(
            line
            for line in block(said, row["texts"])
            if line.split()[:2] == [row["left"], row["right"]]
        )
        assert row["verdict"] in line
        assert f"{row['p_shared']:.2g}" in line


def test_the_default_folder_lies_with_the_results(run: Run, done: Ran, tmp_path: Path) -> None:
    results = shutil.copytree(done.out, tmp_path / "results")
    assert run("test", results, "--store", done.store, *QUICK, "--texts", "red.txt")[0] == 0
    assert sorted(path.name for path in (results / "tests").iterdir()) == sorted(FILES)
    # what lies beside them does no harm to the results
    assert run("test", results, "--store", done.store, *QUICK, "--texts", "blue.txt")[0] == 0
    (one,) = json.loads((results / "tests" / "tests.json").read_text())["sets"]
    assert one["texts"] == "blue.txt"


def test_an_equal_seed_prints_and_writes_the_same(run: Run, done: Ran, tmp_path: Path) -> None:
    said, written = [], []
    for name, seed in (("first", 5), ("second", 5), ("third", 6)):
        out = tmp_path / name
        arguments = ("test", done.out, "--store", done.store, *QUICK, "--texts", "red.txt")
        found = run(*arguments, "--seed", seed, "--out", out)
        said.append(found[1].replace(str(out), "OUT"))
        written.append([(out / file).read_bytes() for file in FILES])
    assert said[0] == said[1]
    assert written[0] == written[1]
    assert written[0][0] != written[2][0]


def test_options_reach_the_statistics(run: Run, done: Ran, tmp_path: Path) -> None:
    arguments = ("test", done.out, "--store", done.store, "--texts", "red.txt", "-k", 5)
    settings = ("--permutations", 23, "--resamples", 103, "--seed", 3, "--alpha", 0.1)
    status, said, _ = run(*arguments, *settings, "--out", tmp_path)
    assert status == 0
    assert "k = 5, capture" in said
    assert "23 relabellings" in said
    found = json.loads((tmp_path / "tests.json").read_text())
    assert found["options"] == {
        "n_permutations": 23,
        "n_resamples": 103,
        "seed": 3,
        "level": 0.95,
        "alpha": 0.1,
    }
    assert [one["kind"]["k"] for one in found["sets"]] == [5]


def test_models_can_be_left_out(run: Run, done: Ran, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--store", done.store, "--texts", "red.txt", *QUICK, "--out", out)
    status, said, _ = run("test", done.out, *arguments, "--without", "tiny-gemma")
    assert status == 0
    (one,) = json.loads((out / "tests.json").read_text())["sets"]
    assert [(pair["left"], pair["right"]) for pair in one["pairs"]] == [("tiny-llama", "tiny-gpt2")]
    assert one["from"] == "texts"  # the neighbors of the others are found
    assert "tiny-gemma" not in said
    status, _, said = run("test", done.out, *arguments, "--without", "tiny-gema", "--without", "x")
    assert status == 1
    assert "has no model 'tiny-gema' or 'x'" in said
    assert "hint: did you mean tiny-gemma" in said


def test_without_the_neighbors_it_tells_what_matrices_tell_and_why(
    run: Run, done: Ran, tmp_path: Path
) -> None:
    store = tmp_path / "empty"
    status, said, _ = run("test", done.out, "--store", store, *QUICK, "--out", tmp_path / "out")
    assert status == 0
    lines = block(said + "\n", "red.txt")
    assert "[" not in "\n".join(lines[2:5])
    assert (
        "  note: the neighbors of any model on red.txt are not in the store: no intervals, and chance is "
        "that of the paper's null model, widened"
    ) in lines
    assert "resampled" not in said
    assert "relabellings" not in said


def test_families_are_left_out_whole(run: Run, done: Ran, tmp_path: Path) -> None:
    groups = tmp_path / "families.json"
    groups.write_text(json.dumps({"first": [NAMES[0]], "others": []}))
    arguments = ("test", done.out, "--store", done.store, *QUICK, "--texts", "red.txt")
    status, said, _ = run(*arguments, "--groups", groups, "--out", tmp_path / "out")
    assert status == 0
    assert "over pairs, 3 groups of models left out one at a time" in said
    groups.write_text(json.dumps({"both": NAMES[:2]}))
    status, said, _ = run(*arguments, "--groups", groups, "--out", tmp_path / "out")
    assert "  note: 2 groups of models: a test over the zoo needs 3" in said


# what it refuses


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [', "cannot be read as JSON"),
        ("", "cannot be read as JSON"),
        ('["a"]', 'must hold {"family": ["model", ...], ...}'),
        ('{"a": "tiny-llama"}', 'must hold {"family": ["model", ...], ...}'),
        ('{"a": [3]}', 'must hold {"family": ["model", ...], ...}'),
    ],
)
def test_families_that_are_none_are_wrong_usage(
    text: str, message: str, run: Run, done: Ran, tmp_path: Path
) -> None:
    groups = tmp_path / "families.json"
    groups.write_text(text)
    status, said, problems = run("test", done.out, "--groups", groups, "--out", tmp_path / "out")
    assert (status, said) == (2, "")
    assert f"{groups}" in problems
    assert message in problems
    assert not (tmp_path / "out").exists()


def test_families_in_bytes_that_are_not_utf_8_are_wrong_usage(
    run: Run, done: Ran, tmp_path: Path
) -> None:
    (tmp_path / "families.json").write_bytes(b'{"a": ["\xe9"]}')
    status, _, problems = run("test", done.out, "--groups", tmp_path / "families.json")
    assert status == 2
    assert "cannot be read as JSON" in problems


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("--texts", "rad.txt"), "has no results on 'rad.txt'", "red.txt"),
        (("-k", 3, "-k", 7), "has k = 7; there are k = 3, 5", None),
        (("--alpha", 0.01), "alpha = 0.01 needs n_permutations of at least 99", None),
    ],
)
def test_what_is_not_there_is_an_error_with_status_1(
    arguments: tuple[object, ...],
    error: str,
    hint: str | None,
    run: Run,
    done: Ran,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    status, said, problems = run("test", done.out, *QUICK, *arguments, "--out", out)
    assert (status, said) == (1, "")
    assert error in problems
    assert hint is None or f"did you mean {hint}" in problems
    assert "Traceback" not in problems
    assert not out.exists()


def test_a_family_of_an_unknown_model_has_a_near_name(run: Run, done: Ran, tmp_path: Path) -> None:
    groups = tmp_path / "families.json"
    groups.write_text('{"some": ["tiny-lama"]}')
    status, _, problems = run("test", done.out, "--groups", groups, "--out", tmp_path / "out")
    assert status == 1
    assert "no model 'tiny-lama', named in the family 'some'" in problems
    assert "did you mean tiny-llama" in problems


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    run: Run, done: Ran, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    status, said, problems = run("test", done.out, *QUICK, "--out", tmp_path / "file" / "out")
    assert (status, said) == (1, "")
    assert str(tmp_path / "file") in problems
    assert "relabelling" not in problems


def test_a_folder_without_results_is_refused(run: Run, tmp_path: Path) -> None:
    status, said, problems = run("test", tmp_path)
    assert (status, said) == (1, "")
    assert "holds no results" in problems
    status, _, problems = run("test", tmp_path / "nowhere")
    assert status == 2
    assert "does not exist" in problems


# tables of other sizes


def made(*n_layers: int, measure: str = "mutual_knn") -> StudyAssessment:
    options = AssessmentOptions(n_permutations=19, n_resamples=100)
    names = tuple(f"m{number}" for number in range(len(n_layers)))
    values = np.random.default_rng(3).random((sum(n_layers),) * 2)
    matrices = AffinityMatrices(
        values=(values + values.T) / 2,
        left=names,
        right=names,
        left_layers=n_layers,
        right_layers=n_layers,
        is_symmetric=True,
        measure=measure,
        k=3,
        n_texts=41,
    )
    one = assess_text_set("news", MatrixKind(measure, 3), matrices, options=options)
    return StudyAssessment(name="some", sets=(one,), options=options)


def test_many_pairs_are_counted_by_verdict() -> None:
    assessed = made(*[7] * 6)
    lines = assessment_lines(assessed)
    pairs = assessed.sets[0].pairs
    decisions = [pair.decision for pair in pairs if pair.decision is not None]
    n_shared = sum(decision.verdict == "shared, not depth-matched" for decision in decisions)
    assert lines[2].startswith("  15 pairs of models: ")
    assert f"{n_shared} shared, not depth-matched" in lines[2]
    contrasts = [pair.profile["on_minus_off"].value for pair in pairs]
    assert lines[3].startswith(f"  lowest on - off: {min(contrasts):.3f}, m")
    assert lines[4].startswith(f"  highest on - off: {max(contrasts):.3f}, m")


def test_a_model_of_one_layer_does_not_make_the_highest_p_value_small() -> None:
    assessed = made(1, 7, 5, 6)
    (line,) = [line for line in assessment_lines(assessed) if "after Bonferroni" in line]
    adjusted = assessed.sets[0].adjusted["student", "bonferroni"]
    assert np.isnan(adjusted[0])
    assert f"of 3 pairs at 0.05; highest p {np.nanmax(adjusted):.2g} (cells" in line


def test_one_model_alone_is_said_to_be_alone() -> None:
    lines = assessment_lines(made(5))
    assert lines[2:] == ["  only m0 read it, so there is no pair of models"]


def test_other_measures_have_no_verdicts_and_no_tree() -> None:
    lines = assessment_lines(made(7, 5, 6, measure="mine"))
    assert "depth-matched" not in "\n".join(lines)
    assert "Models by similarity" not in "\n".join(lines)
    assert lines[2].split() == ["left", "right", "mean", "on", "-", "off", "association"]


def test_that_other_measures_have_no_verdicts_is_said_once() -> None:
    some = made(7, 5, 6, measure="mine")
    one = replace(some.sets[0], notes=(NO_VERDICTS, "one copy"))
    lines = assessment_lines(replace(some, sets=(one, replace(one, name="other"))))
    assert [line for line in lines if "note: " in line] == [
        "  note: one copy",
        "  note: one copy",
        f"note: {NO_VERDICTS}",
    ]


def test_a_measure_that_results_do_not_have_is_refused(run: Run, done: Ran, tmp_path: Path) -> None:
    status, said, told = run("test", done.out, *QUICK, "--measure", "mutual_kn", "--out", tmp_path)
    assert (status, said) == (1, "")
    assert "error: no matrix of study is by 'mutual_kn'; there are by mutual_knn\n" in told
    assert "hint: did you mean mutual_knn?" in told


def test_a_level_that_is_not_the_default_is_said(done: Ran) -> None:
    assessed = made(7, 5)
    other = replace(assessed, options=replace(assessed.options, level=0.9))
    assert "Intervals" not in "\n".join(assessment_lines(other))  # there are none
