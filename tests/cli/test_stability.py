"""`isodepth stability`: what it asks for, what it prints, what it refuses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrix
from isodepth.neighbors import nearest_neighbors
from isodepth.pipeline.stability import WrittenStability
from isodepth.stability import (
    StudyStability,
    TextSetStability,
    layer_stability,
    similarity_curves,
)

Run = Callable[..., tuple[int, str, str]]


def found_of(n_models: int, *, with_activations: bool) -> StudyStability:
    rng = np.random.default_rng(7)
    values = {f"model-{number}": rng.normal(size=(2 + number, 31, 5)) for number in range(n_models)}
    neighbors = [replace(nearest_neighbors(one, 11), model=name) for name, one in values.items()]
    layers = [
        layer_stability(one, k=4, activations=values[one.model] if with_activations else None)
        for one in neighbors
    ]
    copy = AffinityMatrix(
        values=np.diag([0.75, 0.5]),
        left="model-0",
        right="model-0 (bfloat16)",
        measure="mutual_knn",
        k=4,
        n_texts=31,
    )
    one = TextSetStability(
        name="news",
        capture="block",
        pooling="last",
        k=4,
        layers=tuple(layers),
        curves=similarity_curves(neighbors, k=4, n_subsets=2),
        ceilings=(copy, replace(copy, values=np.eye(2), right="model-0 (batches of 64 tokens)")),
        notes=("twice",),
    )
    nothing = TextSetStability(
        name="imdb", capture="block", pooling="last", k=4, layers=(), curves=None, notes=("twice",)
    )
    return StudyStability(name="study", sets=(one, nothing))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of the pipeline, which finds the same each time."""
    calls: list[dict[str, Any]] = []
    known = found_of(2, with_activations=True)

    def written_stability(results: Path, out: Path, **options: Any) -> WrittenStability:
        calls.append({"results": results, "out": out, **options})
        return WrittenStability(
            found=known, tables=(out / "layers.csv",) * 4, figures=(out / "a.png",) * 1_234
        )

    monkeypatch.setattr("isodepth.pipeline.stability.write_stability", written_stability)
    return calls


def test_it_prints_ranges_over_layers_curves_and_ceilings(
    run: Run, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    status, said, _ = run("stability", tmp_path)
    assert status == 0
    lines = said.splitlines()
    assert lines[0] == "news (31 texts, k = 4; neighbors by cosine; lowest to highest layer)"
    assert lines[1].split()[:2] == ["model", "margin"]
    assert lines[1].endswith("anisotropy")
    assert lines[2].split()[0] == "model-0"
    assert "(*: extrapolated, not measured):" in said
    (heading,) = [line for line in lines if line.split()[:2] == ["left", "right"]]
    assert [name for name in heading.split() if name.endswith("*")] == ["61*", "121*"]
    (cells,) = [line for line in lines if line.split()[:2] == ["model-0", "model-1"]]
    starred = [cell.endswith("*") for cell in cells.split()[2:]]
    assert starred == [name.endswith("*") for name in heading.split()[2:]]
    assert (
        "model-0 against model-0 (bfloat16): each layer with itself 0.500 (layer 2) to 0.750, mean 0.625"
        in said
    )
    assert "model-0 against model-0 (batches of 64 tokens): each layer with itself 1.000\n" in said
    assert "imdb: nothing known" in said
    assert said.count("note: twice") == 1
    assert lines[-1] == f"Wrote 4 tables and 1,234 figures to {tmp_path / 'stability'}"


def test_without_activations_there_are_no_columns_of_geometry(
    run: Run, asked: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = WrittenStability(found=found_of(7, with_activations=False), tables=(), figures=())
    monkeypatch.setattr("isodepth.pipeline.stability.write_stability", lambda *_, **__: bare)
    status, said, _ = run("stability", tmp_path)
    assert status == 0
    assert "anisotropy" not in said
    assert "mean of 21" in said  # more pairs than are shown one by one
    assert "model-0  model-1" not in said


def test_it_says_by_what_neighbors_are_and_what_is_of_activations_as_they_are(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = found_of(2, with_activations=True)
    (one, _) = known.sets
    layers = tuple(replace(layer, metric="euclidean", preprocessing="center") for layer in one.layers)
    written = WrittenStability(
        found=replace(known, sets=(replace(one, layers=layers),)), tables=(), figures=()
    )
    monkeypatch.setattr("isodepth.pipeline.stability.write_stability", lambda *_, **__: written)
    _, said, _ = run("stability", tmp_path)
    assert said.startswith(
        "news (31 texts, k = 4; neighbors by euclidean, after center; dimension and anisotropy: of "
        "activations as they are, by cosine; lowest to highest layer)\n"
    )


def test_options_reach_the_pipeline(run: Run, asked: list[dict[str, Any]], tmp_path: Path) -> None:
    arguments = ("--texts", "news", "--texts", "imdb", "-k", 5, "--store", tmp_path / "s")
    arguments += ("--copy", "dtype=bfloat16", "--copy", "batch_tokens=512", "--format", "svg")
    arguments += ("--study-folder", tmp_path, "--out", tmp_path / "new")
    assert run("stability", tmp_path, *arguments)[0] == 0
    (call,) = asked
    del call["progress"]
    assert call == {
        "results": tmp_path,
        "out": tmp_path / "new",
        "texts": ("news", "imdb"),
        "k": 5,
        "copies": ("dtype=bfloat16", "batch_tokens=512"),
        "formats": ("svg",),
        "store": str(tmp_path / "s"),
        "folder": tmp_path,
    }


def test_of_one_file_it_is_written_beside_it(
    run: Run, asked: list[dict[str, Any]], tmp_path: Path
) -> None:
    file = tmp_path / "news.safetensors"
    file.write_bytes(b"")
    assert run("stability", file)[0] == 0
    assert asked[0]["out"] == tmp_path / "stability"
    assert asked[0]["formats"] == ("png", "pdf")


def test_results_that_are_none_are_an_error_with_a_hint(run: Run, tmp_path: Path) -> None:
    status, _, said = run("stability", tmp_path)
    assert status == 1
    assert "holds no results" in said
    assert "hint: pass the folder that 'isodepth run' wrote" in said


def test_k_must_be_positive(run: Run, tmp_path: Path) -> None:
    status, _, said = run("stability", tmp_path, "-k", 0)
    assert status == 2
    assert "'-k'" in said
