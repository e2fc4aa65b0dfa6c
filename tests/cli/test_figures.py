"""`isodepth figures`: which options reach the figures, what it prints, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.cli.assessment_options import pair_of
from isodepth.figures import AtlasFigure, study_atlas
from isodepth.results import MatrixKind, StudyResults, TextSetResults

Run = Callable[..., tuple[int, str, str]]
NAMES = ("one", "two(dtype=bfloat16, attention=eager)", "three")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Results of three models in a folder."""
    values = np.random.default_rng(7).random((10, 10))
    matrices = AffinityMatrices(
        values=(values + values.T) / 2,
        left=NAMES,
        right=NAMES,
        left_layers=(3, 5, 2),
        right_layers=(3, 5, 2),
        is_symmetric=True,
        measure="mutual_knn",
        k=5,
        n_texts=61,
    )
    kind = MatrixKind("mutual_knn", 5)
    sets = {"news": TextSetResults(name="news", matrices={kind: matrices})}
    StudyResults(name="study", sets=sets, manifest={"name": "study"}).write(tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the pipeline, which draws nothing."""
    calls: list[dict[str, Any]] = []

    def written_figures(results: Path, out: Path, **options: Any) -> list[Path]:
        calls.append({"results": results, "out": out, **options})
        return [out / "news" / "array.png"] * 1_234 + [out / "index.md"]

    monkeypatch.setattr("isodepth.pipeline.figures.write_figures", written_figures)
    return calls


def test_it_draws_what_is_asked_for_and_says_where(
    run: Run, written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few(*arguments: Any, **options: Any) -> list[AtlasFigure]:
        found = study_atlas(*arguments, **options)
        return [one for one in found if one.name.endswith(("/match-depth", "/matrix"))]

    monkeypatch.setattr("isodepth.pipeline.figures.study_atlas", few)
    out = tmp_path / "new" / "figures"
    pair = ("--pair", f"{NAMES[1]}, one")
    arguments = ("--without", "three", "--format", "svg", "--store", tmp_path / "store", "--out", out)
    status, said, told = run("figures", written, *pair, *arguments)
    assert status == 0, told
    files = [path for path in out.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == ["index.md", "match-depth.svg", "matrix.svg"]
    assert said == f"Wrote 2 figures; {out / 'index.md'} says what they show.\n"
    (matrix,) = [path for path in files if path.stem == "matrix"]
    assert matrix.parent.name.startswith("one-x-two-dtype-bfloat16")
    assert "drawing figures" in told


def test_options_reach_the_figures(
    run: Run, written: Path, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "families.json").write_text(json.dumps({"all": ["one", "three"]}))
    arguments = ("--texts", "news", "-k", 5, "--permutations", 39, "--resamples", 101, "--seed", 3)
    arguments += ("--measure", "cka", "--measure", "x")
    arguments += ("--alpha", 0.1, "--groups", tmp_path / "families.json", "--store", tmp_path / "s")
    arguments += ("--pair", "one,three", "--pair", f"three,{NAMES[1]}", "--without", "x")
    arguments += ("--study-folder", tmp_path)
    status, said, _ = run("figures", written, *arguments)
    assert status == 0
    (call,) = asked
    chosen = call.pop("options")
    del call["progress"]
    assert (chosen.n_permutations, chosen.n_resamples, chosen.seed, chosen.alpha) == (39, 101, 3, 0.1)
    assert call == {
        "results": written,
        "out": written / "figures",
        "texts": ("news",),
        "measures": ("cka", "x"),
        "ks": (5,),
        "without": ("x",),
        "pairs": [("one", "three"), ("three", NAMES[1])],
        "groups": {"all": ["one", "three"]},
        "formats": ("png", "pdf"),
        "store": str(tmp_path / "s"),
        "folder": tmp_path,
    }
    assert said == f"Wrote 1,234 figures; {written / 'figures' / 'index.md'} says what they show.\n"


def test_figures_of_one_file_go_beside_it(run: Run, written: Path, asked: list[dict[str, Any]]) -> None:
    (file,) = written.glob("*.safetensors")
    assert run("figures", file)[0] == 0
    assert asked[0]["out"] == written / "figures"


@pytest.mark.parametrize("pair", ["one", "one,", "one,two,three", ""])
def test_what_is_no_pair_is_wrong_usage(
    run: Run, written: Path, asked: list[dict[str, Any]], pair: str
) -> None:
    status, _, said = run("figures", written, "--pair", pair)
    assert status == 2
    assert f"{pair!r}: expected two labels with a comma between them" in said
    assert "--pair" in said
    assert asked == []


def test_models_that_are_not_there_are_an_error_with_near_names(run: Run, written: Path) -> None:
    status, _, said = run("figures", written, "--pair", "one,thre")
    assert status == 1
    assert "error: no matrices are of 'thre'" in said
    assert "hint: did you mean three" in said
    assert not (written / "figures").exists()


def test_a_place_that_cannot_be_written_is_refused(run: Run, written: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    status, _, said = run("figures", written, "--out", tmp_path / "file" / "figures")
    assert status == 1
    assert "a file stands where a folder is needed" in said


def test_labels_of_a_pair_may_hold_commas_in_quotes_and_parentheses() -> None:
    assert pair_of(f"{NAMES[1]} ,one", "--pair") == (NAMES[1], "one")
    assert pair_of("'a, b',c", "--pair") == ("a, b", "c")
    with pytest.raises(click.BadParameter, match="'a': expected two .* between them, or all$"):
        pair_of("a", "--explain", otherwise=", or all")
