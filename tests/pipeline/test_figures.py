"""From results to figures: what is written where, and what is refused before the work."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import AssessmentOptions, StudyAssessment
from isodepth.errors import ParameterError, StoreError, UnknownNameError
from isodepth.figures import AtlasFigure, study_atlas
from isodepth.pipeline import assess_study, write_figures
from isodepth.pipeline.run import run_study
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from isodepth.store import Store
from tiny_studies import counting, tiny_study

pytestmark = pytest.mark.usefixtures("no_collections")

QUICK = AssessmentOptions(n_permutations=19, n_resamples=100, seed=7)
LAYERS = (3, 5, 2)
HARMFUL = "<img src=x onerror=alert(1)> | `a` [b](http://c.d) *e* $f$\n# g"


def matrices(*labels: str) -> AffinityMatrices:
    layers = LAYERS[: len(labels)]
    values = np.random.default_rng(7).random((sum(layers),) * 2)
    return AffinityMatrices(
        values=(values + values.T) / 2,
        left=labels,
        right=labels,
        left_layers=layers,
        right_layers=layers,
        is_symmetric=True,
        measure="mutual_knn",
        k=5,
        n_texts=61,
    )


def results(*names: str, labels: tuple[str, ...] = ("one", "two", "three")) -> StudyResults:
    kind = MatrixKind("mutual_knn", 5)
    sets = {name: TextSetResults(name=name, matrices={kind: matrices(*labels)}) for name in names}
    return StudyResults(name="study", sets=sets, manifest={})


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are empty: what is written where does not depend on what is in them."""

    def listed(*arguments: Any, **options: Any) -> list[AtlasFigure]:
        found = study_atlas(*arguments, **options)
        return [replace(one, draw=lambda: Figure(figsize=(1, 1))) for one in found[:3]]

    monkeypatch.setattr("isodepth.pipeline.figures.study_atlas", listed)


@pytest.fixture
def _unassessed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statistics are not made: a test that they were not needed."""
    monkeypatch.setattr("isodepth.pipeline.figures.assess_study", None)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# what is written


def test_figures_of_a_study_show_its_neighbors_and_texts(
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    green: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def few(*arguments: Any, **options: Any) -> list[AtlasFigure]:
        found = study_atlas(*arguments, **options)
        return [one for one in found if one.name.endswith(("/matrix", "/k-sweep", "/venn-late"))]

    monkeypatch.setattr("isodepth.pipeline.figures.study_atlas", few)
    with counting():
        study = tiny_study(
            llama_folder,
            gpt2_folder,
            texts=[red, {"left": red, "right": green, "name": "pair"}],
            ks=[3],
            measures=["mutual_knn"],
        )
        run_study(study, tmp_path / "results", store=Store(tmp_path / "store"))
    told = []
    written = write_figures(
        tmp_path / "results",
        tmp_path / "figures",
        texts=["pair"],
        pairs=[("tiny-gpt2", "tiny-llama")],
        formats=["svg"],
        store=tmp_path / "store",
        options=QUICK,
        progress=lambda *amounts: told.append(amounts),
    )
    assert written[-1] == tmp_path / "figures" / "index.md"
    assert sorted(map(str, written)) == [
        str(tmp_path / "figures" / name) for name in files_in(tmp_path / "figures")
    ]
    assert sorted(f"{path.parent.name}/{path.stem}" for path in written[:-1]) == [
        f"{pair}/{name}"
        for pair in ("tiny-gpt2-x-tiny-llama", "tiny-llama-x-tiny-gpt2")
        for name in ("k-sweep", "matrix", "venn-late")
    ]
    assert ("drawing figures", len(written) - 1, len(written) - 1, "figures") in told
    matrix = next(path for path in written if path.stem == "matrix").read_text()
    assert "reading red.txt" in matrix
    assert "reading green.txt" in matrix


@pytest.mark.usefixtures("_undrawn")
def test_the_index_leads_to_every_file_and_says_what_it_shows(tmp_path: Path) -> None:
    written = write_figures(results("news"), tmp_path, formats=["png", "pdf", "png"], options=QUICK)
    index = written[-1].read_text()
    links = re.findall(r"\[(png|pdf)\]\(([^)]*)\)", index)
    assert [tmp_path / path for _, path in links] == written[:-1]
    assert all(path.endswith(f".{ending}") for ending, path in links)
    assert "# Figures of study" in index
    assert "| 4c, 12-19 | The matrices, in true proportions |" in index
    heads = {path.suffix: path.read_bytes()[:4] for path in written[:2]}
    assert heads == {".png": b"\x89PNG", ".pdf": b"%PDF"}


@pytest.mark.usefixtures("_undrawn")
def test_names_are_no_markup_in_the_index_and_no_paths(tmp_path: Path) -> None:
    odd = results(HARMFUL, "../../outside", labels=("../a", HARMFUL, "A" * 300))
    out = tmp_path / "deep" / "figures"
    written = write_figures(replace(odd, name=HARMFUL), out, formats=["png"], options=QUICK)
    assert all(path.resolve().is_relative_to(out.resolve()) for path in written)
    assert files_in(tmp_path) == sorted(str(path.relative_to(tmp_path)) for path in written)
    index = written[-1].read_text()
    shown = r"&lt;img src=x onerror=alert(1)&gt; \| \`a\` \[b\](http\://c.d) \*e\* \$f\$ \# g"
    assert index.splitlines()[0] == f"# Figures of {shown}"
    assert "<img" not in index


@pytest.mark.usefixtures("_undrawn")
def test_a_second_run_replaces_and_an_interrupted_one_leaves_whole_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write_figures(results("news"), tmp_path, formats=["png"], options=QUICK)
    for path in first:
        path.write_bytes(b"of before")
    save, calls = Figure.savefig, []

    def stopped(figure: Figure, path: Path, **options: object) -> None:
        calls.append(path)
        save(figure, path, **options)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_figures(results("news"), tmp_path, formats=["png"], options=QUICK)
    contents = [path.read_bytes() for path in first]
    assert contents[0].startswith(b"\x89PNG")
    assert contents[1:] == [b"of before"] * 3
    assert files_in(tmp_path) == sorted(str(path.relative_to(tmp_path)) for path in first)
    assert write_figures(results("news"), tmp_path, formats=["png"], options=QUICK) == first
    assert not any(path.read_bytes() == b"of before" for path in first)


@pytest.mark.usefixtures("_undrawn")
def test_statistics_that_were_made_before_are_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assessed = assess_study(results("news", "books"), texts=["books"], options=QUICK)
    monkeypatch.setattr("isodepth.pipeline.figures.assess_study", None)
    written = write_figures(results("news", "books"), tmp_path, assessed=assessed, formats=["svg"])
    assert {path.parent.name for path in written[:-1]} == {"books"}


def test_models_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[StudyAssessment] = []

    def kept(found: StudyAssessment, *_: Any, **__: Any) -> list[AtlasFigure]:
        seen.append(found)
        return []

    monkeypatch.setattr("isodepth.pipeline.figures.study_atlas", kept)
    write_figures(results("news"), tmp_path, without=["two"], options=QUICK)
    assert seen[0].sets[0].matrices.left == ("one", "three")


# what is refused


@pytest.mark.usefixtures("_unassessed")
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_figures(results("news"), tmp_path / "file" / "figures")


@pytest.mark.usefixtures("_unassessed")
def test_models_that_are_not_there_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        write_figures(results("news"), tmp_path, pairs=[("one", "tow"), ("thre", "two")])
    assert caught.value.message == "no matrices are of 'tow', 'thre'"
    assert caught.value.hint is not None
    assert "two" in caught.value.hint
    assert "three" in caught.value.hint
    with pytest.raises(UnknownNameError, match="study has no model 'for'"):
        write_figures(results("news"), tmp_path, without=["for"])
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("_unassessed")
@pytest.mark.parametrize("without", [(), ("one",)])
def test_one_model_or_none_has_no_figures_which_is_said(
    tmp_path: Path, without: tuple[str, ...]
) -> None:
    with pytest.raises(ParameterError) as caught:
        write_figures(results("news", labels=("one",)), tmp_path, without=without)
    assert caught.value.message == "study has no pair of models, so there is nothing to draw"
    assert caught.value.hint == "read two models or more, or one model with parallel texts."


@pytest.mark.usefixtures("_unassessed")
@pytest.mark.parametrize(("formats", "got"), [(["png", "bmp"], "bmp"), ([], "none")])
def test_unknown_formats_are_refused(tmp_path: Path, formats: list[str], got: str) -> None:
    with pytest.raises(ParameterError) as caught:
        write_figures(results("news"), tmp_path, formats=formats)
    assert caught.value.message == f"formats must be of png, pdf, svg; got {got}"
