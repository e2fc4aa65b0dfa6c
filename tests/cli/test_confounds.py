"""`isodepth confounds`: what it asks for, what it prints, what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import affinity_matrix
from isodepth.confounds import (
    ControlInputs,
    StudyConfounds,
    TextSetConfounds,
    all_controlled,
    confound_table,
)
from isodepth.neighbors import nearest_neighbors

Run = Callable[..., tuple[int, str, str]]
N_TEXTS, K = 61, 3
TEXTS = [f"{'word ' * (number % 7)}{number % 11}" for number in range(N_TEXTS)]


def found_of(n_models: int) -> StudyConfounds:
    rng = np.random.default_rng(7)
    shared = rng.normal(size=(N_TEXTS, 11))
    models = {
        f"model-{number}": shared + 0.5 * rng.normal(size=(3 + number, N_TEXTS, 11))
        for number in range(n_models)
    }
    controls = ["center", "untrained", "euclidean"]
    controlled = all_controlled(models, ControlInputs(texts=TEXTS, k=K), controls)
    near = [replace(nearest_neighbors(one, K), model=name) for name, one in models.items()]
    one = TextSetConfounds(
        name="news",
        capture="block",
        pooling="last",
        table=confound_table(controlled, n_resamples=100),
        inputs={},
        matrices=tuple(
            affinity_matrix(left, right)
            for place, left in enumerate(near)
            for right in near[place + 1 :]
        ),
        notes=("twice", "of the set"),
    )
    return StudyConfounds(
        name="study", sets=(one, replace(one, name="imdb", pooling="mean")), notes=("twice",)
    )


@pytest.fixture(scope="module")
def known() -> StudyConfounds:
    return found_of(3)


@pytest.fixture
def asked(known: StudyConfounds, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the pipeline, which finds the same each time."""
    calls: list[dict[str, Any]] = []

    def study_confounds(results: Path, **options: Any) -> StudyConfounds:
        calls.append({"results": results, **options})
        return known

    def write_confounds(found: StudyConfounds, out: Path, **options: Any) -> list[Path]:
        calls.append({"found": found, "out": out, **options})
        return [out / "controls.csv"] * 1_234

    monkeypatch.setattr("isodepth.pipeline.study_confounds", study_confounds)
    monkeypatch.setattr("isodepth.pipeline.write_confounds", write_confounds)
    return calls


def test_it_prints_a_line_for_each_control_and_what_moves(
    run: Run, asked: list[dict[str, Any]], known: StudyConfounds, tmp_path: Path
) -> None:
    status, said, _ = run("confounds", tmp_path)
    assert status == 0
    lines = said.splitlines()
    assert lines[0] == (
        "news (61 texts, k = 3; mutual k-NN by cosine; mean over 3 pairs of models; 0 is chance, 1 the "
        "same neighbors)"
    )
    assert lines[1].split()[:3] == ["control", "texts", "mean"]
    table = known.sets[0].table
    assert lines[2].split() == [
        "without",
        "any",
        "61",
        *(f"{table.plain[part].value:.3f}" for part in ("mean", "on_minus_off", "association")),
    ]
    for line, control in zip(lines[3:5], ("center", "euclidean"), strict=True):
        row = table.row(control, "on_minus_off")
        difference = row.difference
        assert line.split()[:3] == [control, "61", f"{table.row(control, 'mean').value.value:.3f}"]
        shown = f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}]"
        assert line.rstrip().endswith(row.verdict)
        assert shown in line
    assert lines[5] == (
        "  not possible: untrained: there is no untrained copy of model-0, model-1, model-2"
    )
    assert lines[6] == ""
    assert lines[7].startswith("imdb (mean) (61 texts")
    assert [line for line in lines if line.startswith("note: ")] == ["note: twice", "note: of the set"]
    place = tmp_path / "confounds"
    assert lines[-1] == (
        f"Wrote 1,234 files to {place}; controls.csv has every pair of models and part, matrices.parquet "
        "every pair of layers."
    )


def test_it_says_by_what_the_studys_neighbors_are(
    run: Run, known: StudyConfounds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (one, _) = known.sets
    table = replace(one.table, metric="inner_product", preprocessing="center + clip(0.9)")
    other = replace(known, sets=(replace(one, table=table),))
    monkeypatch.setattr("isodepth.pipeline.study_confounds", lambda *_, **__: other)
    monkeypatch.setattr("isodepth.pipeline.write_confounds", lambda *_, **__: [])
    _, said, _ = run("confounds", tmp_path)
    assert "mutual k-NN by inner product, after center + clip(0.9); mean over" in said


def test_options_reach_the_pipeline(
    run: Run, asked: list[dict[str, Any]], known: StudyConfounds, tmp_path: Path
) -> None:
    arguments: list[object] = ["--texts", "news", "--texts", "imdb", "-k", 5, "--store", tmp_path / "s"]
    arguments += ["--control", "center", "--control", "different_ending(5)", "--labels", "source"]
    arguments += ["--resamples", 200, "--seed", 3, "--format", "svg"]
    arguments += ["--study-folder", tmp_path, "--out", tmp_path / "new"]
    assert run("confounds", tmp_path, *arguments)[0] == 0
    found, wrote = asked
    assert found.pop("progress") is wrote.pop("progress")
    assert found == {
        "results": tmp_path,
        "texts": ("news", "imdb"),
        "k": 5,
        "controls": ("center", "different_ending(5)"),
        "labels": ("source",),
        "n_resamples": 200,
        "seed": 3,
        "store": str(tmp_path / "s"),
        "folder": tmp_path,
    }
    assert wrote == {"found": known, "out": tmp_path / "new", "formats": ("svg",)}


def test_of_one_file_it_is_written_beside_it(
    run: Run, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "news.safetensors"
    file.write_bytes(b"")
    assert run("confounds", file)[0] == 0
    assert asked[1]["out"] == tmp_path / "confounds"
    assert asked[1]["formats"] == ("png", "pdf")
    assert asked[0]["controls"] == asked[0]["labels"] == ()


def test_results_that_are_none_are_an_error_with_a_hint(run: Run, tmp_path: Path) -> None:
    status, _, said = run("confounds", tmp_path)
    assert status == 1
    assert "holds no results" in said
    assert "hint: pass the folder that 'isodepth run' wrote" in said


@pytest.mark.parametrize(
    ("option", "value"), [("-k", 0), ("--resamples", 99), ("--seed", -1), ("--format", "gif")]
)
def test_values_out_of_range_are_refused(run: Run, option: str, value: object, tmp_path: Path) -> None:
    status, _, said = run("confounds", tmp_path, option, value)
    assert status == 2
    assert f"'{option}'" in said


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    run: Run, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    status, _, said = run("confounds", tmp_path, "--out", tmp_path / "file" / "new")
    assert status == 1
    assert "a file stands where a folder is needed" in said
    assert asked == []
