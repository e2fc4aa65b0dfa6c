"""From results to the page: with the store, without it, and with statistics that were made before."""

from pathlib import Path

import pytest

from isodepth.assessment import AssessmentOptions
from isodepth.comparison import Comparison
from isodepth.errors import ParameterError, StoreError, UnknownNameError
from isodepth.pipeline import assess_study, compare, write_report
from isodepth.report.packing import unpacked
from isodepth.texts import load_texts
from tiny_studies import Ran, ran_study
from written_pages import payload_in

pytestmark = pytest.mark.usefixtures("no_collections")

QUICK = AssessmentOptions(n_permutations=19, n_resamples=100, seed=7)


@pytest.fixture(scope="module")
def done(
    llama_folder: Path,
    gpt2_folder: Path,
    red: str,
    green: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Models of 5 and 3 layers on a text set and a pair."""
    return ran_study(
        tmp_path_factory.mktemp("reported"),
        llama_folder,
        gpt2_folder,
        texts=[red, {"left": red, "right": green, "name": "pair"}],
        ks=[3, 5],
        measures=["mutual_knn"],
    )


def test_a_report_of_results_has_all_of_their_evidence(done: Ran, tmp_path: Path) -> None:
    report = write_report(done.out, tmp_path / "report.html", store=done.store, options=QUICK)
    assert report.path == tmp_path / "report.html"
    assert report.size_bytes == report.path.stat().st_size
    assert report.explained == ("red.txt", "pair")
    payload = payload_in(report.path)
    assert tuple(payload["sentences"]) == report.sentences
    assert [[entry["k"] for entry in one["ks"]] for one in payload["sets"]] == [[1, 2, 3, 5]] * 2
    assert payload["n_permutations"] == 19
    assert [one["name"] for one in payload["texts"]] == ["red.txt", "green.txt"]
    assert payload["sets"][1]["right_name"] == "green.txt"
    assert any(row[0] == "model: tiny-gpt2" for row in payload["provenance"])


def test_without_the_store_it_is_of_the_matrices_alone(done: Ran, tmp_path: Path) -> None:
    report = write_report(
        done.results,
        tmp_path / "report.html",
        store=tmp_path / "empty",
        texts=["red.txt"],
        options=QUICK,
    )
    assert report.explained == ()
    (note,) = [note for note in report.notes if "are not in" in note]
    assert note.startswith("the neighbors of any model on red.txt are not in")
    (one,) = payload_in(report.path)["sets"]
    assert [entry["k"] for entry in one["ks"]] == [3, 5]
    assert not one["from_texts"]


def test_statistics_that_were_made_before_are_not_made_again(
    done: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assessed = assess_study(done.results, store=done.store, texts=["pair"], options=QUICK)
    monkeypatch.setattr("isodepth.pipeline.report.assess_study", None)
    report = write_report(
        done.results, tmp_path / "report.html", assessed=assessed, store=done.store, explain="none"
    )
    (one,) = payload_in(report.path)["sets"]
    assert (one["name"], one["explain"]) == ("pair", None)


def test_models_can_be_left_out(done: Ran, tmp_path: Path) -> None:
    report = write_report(
        done.results, tmp_path / "report.html", without=["tiny-gpt2"], store=done.store, options=QUICK
    )
    payload = payload_in(report.path)
    assert [one["left"] for one in payload["sets"]] == [["tiny-llama"]] * 2
    told = [name for name, _ in payload["provenance"] if name.startswith("model: ")]
    assert told == ["model: tiny-llama"]


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    done: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.pipeline.report.assess_study", None)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_report(done.results, tmp_path / "file" / "report.html")


def test_models_that_cannot_be_explained_are_refused_before_the_work(
    done: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.pipeline.report.assess_study", None)
    for explain, error, words in (
        ([("tiny-lama", "tiny-gpt2")], UnknownNameError, "has the pair tiny-lama and tiny-gpt2"),
        ("some", ParameterError, "explain must be 'auto'"),
    ):
        with pytest.raises(error, match=words):
            write_report(done.results, tmp_path / "report.html", explain=explain, store=done.store)
    assert not (tmp_path / "report.html").exists()


def test_results_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="holds no results"):
        write_report(tmp_path, tmp_path / "report.html")


# two models


@pytest.fixture(scope="module")
def comparison(
    llama_folder: Path, gpt2_folder: Path, red: str, tmp_path_factory: pytest.TempPathFactory
) -> Comparison:
    base = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_CACHE", str(base / "cache"))
        return compare(str(llama_folder), str(gpt2_folder), load_texts(red), k=3, store=base / "store")


def test_a_comparison_is_a_report_of_one_pair(comparison: Comparison) -> None:
    payload = comparison.report_payload()
    assert payload["name"] == "tiny-llama and tiny-gpt2"
    (one,) = payload["sets"]
    assert (one["name"], one["left"], one["right"]) == ("red.txt", ["tiny-llama"], ["tiny-gpt2"])
    assert (one["symmetric"], one["blocks"], one["ks"][one["main"]]["k"]) == (False, [[0, 0]], 3)
    (pair,) = one["pairs"]
    assert comparison.assessment.familywise is not None
    assert comparison.assessment.familywise.n_permutations == AssessmentOptions().n_permutations
    assert comparison.decision is not None
    assert pair["sentence"] == comparison.decision.sentence
    assert comparison.test is not None
    assert pair["tests"]["student"][1] == pair["adjusted"]["student"]["bonferroni"]
    assert pair["tests"]["student"][1] == comparison.test.p_value
    values = unpacked(one["ks"][one["main"]]["values"]) / one["ks"][one["main"]]["scale"]
    assert values.reshape(5, 3) == pytest.approx(comparison.affinity.values)
    assert unpacked(one["explain"]["left"]["tiny-llama"]).tolist() == comparison.left.ids.tolist()
    assert unpacked(one["explain"]["right"]["tiny-gpt2"]).tolist() == comparison.right.ids.tolist()
    assert payload["texts"][0]["items"] == list(comparison.texts.left.texts)


def test_cautions_of_a_comparison_stand_in_its_report(
    llama_folder: Path, red: str, green: str, tmp_path: Path
) -> None:
    repeated = [*Path(red).read_text().splitlines()[:12], "the same", "the same"]
    (tmp_path / "repeated.txt").write_text("\n".join(repeated) + "\n")
    found = compare(str(llama_folder), str(llama_folder), str(tmp_path / "repeated.txt"), k=2)
    payload = found.report_payload()
    (one,) = payload["sets"]
    assert one["notes"] == found.cautions()
    assert "1 texts of repeated.txt are exact copies of others, hence near neighbors." in one["notes"]
    assert one["left"] == one["right"] == ["tiny-llama"]
    assert "(left)" in payload["sentences"][0]
