"""The study behind results, again: what is asked anew, what stays as it was, and what it reads."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isodepth.errors import ParameterError, StudyError
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.restudied import loading_options_of, read_plan, study_of_results
from isodepth.progress import no_progress
from isodepth.results import StudyResults, load_results
from isodepth.store import Store
from tiny_studies import Counts, Ran, tiny_study


def asked(results: StudyResults, **changes: Any) -> Any:
    return study_of_results(results, Path(), **{"texts": ["red.txt"], "k": 3, **changes})


def test_it_is_the_study_for_mutual_knn_on_some_texts(finished: Ran):
    study = asked(finished.results, texts=["blue.txt", "red.txt", "pair"], k=5)
    assert [entry.name for entry in study.texts] == ["red.txt", "blue.txt"]  # the pair is left out
    assert study == replace(
        finished.study,
        name=study.name,
        texts=study.texts,
        measures=("mutual_knn",),
        ks=(5,),
        written=study.written,
    )
    assert study.texts == tuple(one for one in finished.study.texts if not one.is_pair)


def test_other_measures_are_not_asked_again_metric_and_preprocessing_are(gpt2_folder: Path, red: str):
    keys = {"measures": ["cka"], "metric": "euclidean", "preprocessing": "center"}
    study = tiny_study(gpt2_folder, texts=[red], **keys)
    results = StudyResults(name="some", sets={}, manifest={"study": study.as_dict()})
    again = asked(results)
    assert (again.measures, again.metric, again.preprocessing) == (
        ("mutual_knn",),
        "euclidean",
        "center",
    )
    assert again.keep_activations is False
    assert again.keep_neighbors == study.keep_neighbors
    assert asked(results, keep_activations=True).keep_activations is True


def test_more_neighbors_than_the_study_kept_are_kept_where_they_are_asked_for(finished: Ran):
    assert finished.study.keep_neighbors == 7
    assert [asked(finished.results, k=k).keep_neighbors for k in (5, 7, 11)] == [7, 7, 11]


def test_the_store_has_all_of_it_already(finished: Ran, counts: Counts):
    store = Store(finished.store)
    plan = plan_study(asked(finished.results), store, measures_speed=False)
    assert read_plan(plan, store, no_progress) == []
    assert counts.loads == []


def test_what_it_has_not_is_read_and_what_cannot_be_is_told(
    finished: Ran, copied_store: Store, counts: Counts, monkeypatch: pytest.MonkeyPatch
):
    import isodepth.models.loading

    load = isodepth.models.loading.load_model

    def failing(source: Any, **settings: Any) -> Any:
        if "gpt2" in source.name:
            raise ParameterError("this one cannot be loaded", hint="load another.")
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", failing)
    study = asked(finished.results, keep_activations=True)
    plan = plan_study(study, copied_store, measures_speed=False)
    (missing,) = read_plan(plan, copied_store, no_progress)
    assert (missing.what, missing.reason) == ("tiny-gpt2 on red.txt", "this one cannot be loaded")
    assert counts.loads == ["tiny-llama", "tiny-gemma"]
    assert len(copied_store.keys("activations")) == 2


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{}", "{}(dtype=bfloat16)"),
        ("{}(attention=eager)", "{}(attention=eager, dtype=bfloat16)"),
        ("{}(dtype=float16, attention=eager)", "{}(dtype=bfloat16, attention=eager)"),
    ],
)
def test_models_get_options_in_place_of_their_own(
    written: str, expected: str, gpt2_folder: Path, red: str
):
    study = tiny_study(written.format(gpt2_folder), texts=[red], also_as_chat=[])
    results = StudyResults(name="some", sets={}, manifest={"study": study.as_dict()})
    again = asked(results, otherwise={"dtype": "bfloat16"})
    assert again.models == (expected.format(gpt2_folder),)


def test_models_that_read_as_chat_do_so_again_under_other_options(chat_folder: Path, red: str):
    study = tiny_study(chat_folder, texts=[red], also_as_chat=[str(chat_folder)])
    results = StudyResults(name="some", sets={}, manifest={"study": study.as_dict()})
    again = asked(results, otherwise={"untrained": "0"})
    assert again.also_as_chat == again.models == (f"{chat_folder}(untrained=0)",)


@pytest.mark.parametrize("change", [{"study": None}, {"readings": "imported"}])
def test_results_that_do_not_say_how_models_were_run_are_refused(change: dict[str, Any], finished: Ran):
    manifest = {**finished.results.manifest, **change}
    with pytest.raises(ParameterError, match="does not say which models were run how") as caught:
        asked(replace(finished.results, manifest=manifest))
    assert caught.value.hint == (
        "this needs the folder that 'isodepth run' wrote, of a study that ran its models."
    )


def test_parallel_texts_alone_are_refused(finished: Ran):
    with pytest.raises(ParameterError, match="of parallel texts nothing is read again"):
        asked(finished.results, texts=["pair"])


def test_a_study_that_cannot_be_read_here_is_told_by_key(finished: Ran, tmp_path: Path):
    manifest = json.loads(json.dumps(load_results(finished.out).manifest))
    manifest["study"]["models"] = ["./gone"]
    with pytest.raises(StudyError, match=r"models.*\./gone"):
        study_of_results(replace(finished.results, manifest=manifest), tmp_path, texts=["red.txt"], k=3)


@pytest.mark.parametrize(
    ("key", "written", "is_relative"),
    [
        ("models", "./gone(dtype=bfloat16)", True),
        ("texts", "../gone.txt", True),
        ("texts", "caesar(./gone.txt)", True),
        ("models", "gone", False),
        ("texts", "gone.txt", False),
    ],
)
def test_paths_from_the_study_files_folder_have_a_hint_on_where_that_is(
    key: str, written: str, is_relative: bool, finished: Ran, tmp_path: Path
):
    manifest = json.loads(json.dumps(load_results(finished.out).manifest))
    if key == "texts":
        manifest["study"]["texts"][0]["texts"] = written
    else:
        manifest["study"]["models"][0] = written
    (tmp_path / "gone.txt").touch() if not is_relative else None  # beside, but named otherwise
    with pytest.raises(StudyError) as caught:
        study_of_results(replace(finished.results, manifest=manifest), tmp_path, texts=["red.txt"], k=3)
    said = (
        f"names that begin with ./ or ../ were looked up in {tmp_path}; name the folder of the study's "
        "file, --study-folder."
    )
    assert (caught.value.hint == said) == is_relative


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("dtype=bfloat16", {"dtype": "bfloat16"}),
        ("untrained=0", {"untrained": "0"}),
        ("dtype=bfloat16, batch_tokens=512", {"dtype": "bfloat16", "batch_tokens": "512"}),
    ],
)
def test_loading_options_are_written_as_behind_a_model(written: str, expected: dict[str, str]):
    assert loading_options_of(written) == expected
