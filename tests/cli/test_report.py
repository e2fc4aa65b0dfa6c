"""`isodepth report`: what it prints and writes of a tiny study's results, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tiny_studies import Ran, ran_study, written_texts
from written_pages import payload_in

pytestmark = pytest.mark.usefixtures("no_collections")

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--permutations", 19, "--resamples", 100)


@pytest.fixture(scope="module")
def done(llama_folder: Path, gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    base = written_texts(tmp_path_factory.mktemp("reported"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        return ran_study(
            base,
            llama_folder,
            gpt2_folder,
            texts=["./red.txt", str(base / "blue.txt")],
            ks=[3, 5],
            measures=["mutual_knn"],
        )


def test_it_prints_three_sentences_and_where_the_page_is(run: Run, done: Ran, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    status, said, progress = run("report", done.out, "-o", out, "--store", done.store, *QUICK)
    assert status == 0
    payload = payload_in(out)
    lines = said.splitlines()
    assert lines[:4] == [*payload["sentences"], ""]
    assert lines[-1] == f"Wrote {out} ({out.stat().st_size / 1e6:.1f} MB)"
    for note in {note for one in payload["sets"] for note in one["notes"]}:
        assert f"note: {note}" in lines
    assert "relabelling texts of red.txt" in progress
    assert (payload["n_permutations"], payload["n_resamples"]) == (19, 100)


def test_options_reach_the_statistics_and_the_page_goes_beside_the_results(run: Run, done: Ran) -> None:
    arguments = ("--texts", "blue.txt", "-k", 5, "--seed", 3, "--alpha", 0.1, "--explain", "none")
    status, said, _ = run("report", done.out, *arguments, "--store", done.store, *QUICK)
    assert status == 0
    path = done.out / "report.html"
    assert f"Wrote {path} (" in said
    payload = payload_in(path)
    path.unlink()
    (one,) = payload["sets"]
    assert (one["name"], one["ks"][one["main"]]["k"], one["explain"]) == ("blue.txt", 5, None)
    assert (payload["seed"], payload["alpha"]) == (3, 0.1)


def test_a_pair_is_explained_and_several_may_be_named(run: Run, done: Ran, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    pair = ("--explain", "tiny-gpt2, tiny-llama", "--explain", "tiny-llama,tiny-gpt2")
    status, *_ = run("report", done.out, "-o", out, *pair, "--store", done.store, *QUICK)
    assert status == 0
    assert set(payload_in(out)["sets"][0]["explain"]["left"]) == {"tiny-llama", "tiny-gpt2"}


def test_it_says_that_no_pair_can_be_explained(run: Run, done: Ran, tmp_path: Path) -> None:
    elsewhere = ("--store", tmp_path / "store", "-o", tmp_path / "page.html", *QUICK)
    note = "note: --explain put nothing in, as no neighbors behind mutual k-NN are at hand\n"
    pair = ("--explain", "tiny-gpt2,tiny-llama")
    assert note in run("report", done.out, *pair, *elsewhere)[1]
    assert note not in run("report", done.out, "--explain", "none", *elsewhere)[1]


def test_texts_beside_the_study_file_are_quoted_once_its_folder_is_given(
    run: Run, done: Ran, tmp_path: Path
) -> None:
    out = tmp_path / "page.html"
    arguments = ("report", done.out, "-o", out, "--texts", "red.txt", "--store", done.store, *QUICK)
    _, said, _ = run(*arguments)
    assert "note: the texts of red.txt are not at hand: there is no such text set" in said
    assert payload_in(out)["texts"] == []
    _, said, _ = run(*arguments, "--study-folder", done.out.parent)
    assert "not at hand" not in said
    (quoted,) = payload_in(out)["texts"]
    assert set(quoted["items"]) < set(
        (done.out.parent / "red.txt").read_text().splitlines()
    )  # a sample


def test_models_of_no_results_are_refused_with_the_nearest_names(run: Run, done: Ran) -> None:
    arguments = ("--explain", "tiny-lama,tiny-gpt2", "--store", done.store, *QUICK)
    status, _, said = run("report", done.out, *arguments)
    assert status == 1
    assert "error: no text set has the pair tiny-lama and tiny-gpt2; models are tiny-gpt2, " in said
    assert "hint: did you mean tiny-llama" in said
    assert not (done.out / "report.html").exists()


@pytest.mark.parametrize(
    "explain",
    [["tiny-llama"], ["all", "none"], ["a,b,c"], ["tiny-llama,"], ["tiny-llama,tiny-gpt2", "all"]],
    ids=" + ".join,
)
def test_what_is_no_pair_is_wrong_usage(run: Run, done: Ran, explain: list[str]) -> None:
    given = [word for one in explain for word in ("--explain", one)]
    status, _, said = run("report", done.out, *given, "--store", done.store, *QUICK)
    assert status == 2
    assert "expected two labels with a comma between them, or all, or none alone" in said


def test_labels_may_hold_commas_within_parentheses() -> None:
    from isodepth.cli.report import _explained

    given = ("gemma(dtype=bfloat16, adapter=./lora), llama",)
    assert _explained(given) == [("gemma(dtype=bfloat16, adapter=./lora)", "llama")]
    assert [_explained(()), _explained(("all",)), _explained(("none",))] == ["auto", "all", "none"]
