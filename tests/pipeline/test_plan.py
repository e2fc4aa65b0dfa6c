"""What a study needs and how it stands, told before anything is computed."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import isodepth
from isodepth.models import ModelSource
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import Missing, StudyPlan
from isodepth.pipeline.run import run_study
from isodepth.results import MatrixKind
from isodepth.store import Store
from isodepth.study import Resources
from tiny_studies import Counts, data_files, tiny_study

Progress = Callable[[str, int, int, str], None]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


def files_of(store: Store) -> list[Path]:
    return sorted(store.root.rglob("*")) if store.root.exists() else []


def test_a_plan_computes_nothing_and_writes_nothing(
    llama_folder: Path, gpt2_folder: Path, red: str, store: Store, counts: Counts
) -> None:
    plan = plan_study(tiny_study(llama_folder, gpt2_folder, texts=[red]), store)
    assert isinstance(plan, StudyPlan)
    assert (counts.loads, counts.batches, counts.pairs) == ([], [], [])
    assert files_of(store) == []


def test_readings_stand_model_by_model_and_each_once(
    llama_folder: Path, gpt2_folder: Path, red: str, blue: str, green: str, store: Store
) -> None:
    texts = [red, {"left": red, "right": green, "name": "pair"}, {"left": green, "right": red}, blue]
    plan = plan_study(tiny_study(llama_folder, gpt2_folder, texts=texts), store)
    assert [one.label for one in plan.readings] == [
        f"{model} on {name}.txt"
        for model in ("tiny-llama", "tiny-gpt2")
        for name in ("red", "green", "blue")
    ]
    assert {one.state for one in plan.readings} == {"to do"}
    assert {one.share_done for one in plan.readings} == {0.0}
    assert [one.name for one in plan.sets][:2] == ["red.txt", "pair"]
    assert plan.sets[0].right_texts is None
    assert plan.sets[1].right_texts["name"] == "green.txt"
    assert plan.missing == ()
    assert plan.download_bytes == 0


def test_there_is_a_matrix_for_every_capture_pooling_measure_and_k(
    gpt2_folder: Path, red: str, store: Store
) -> None:
    study = tiny_study(
        gpt2_folder,
        texts=[red],
        captures=["block", "mlp"],
        poolings=["last", -2],
        measures=["overlap", "mutual_knn"],
        ks=[2, 5, 7],
    )
    plan = plan_study(study, store)
    kinds = {
        MatrixKind(measure, k, capture, pooling)
        for measure in ("overlap", "mutual_knn")
        for k in (2, 5, 7)
        for capture in ("block", "mlp")
        for pooling in ("last", "-2")
    }
    assert set(plan.sets[0].selections) == kinds
    assert len({one.key for one in plan.sets[0].selections.values()}) == len(kinds)
    (planned,) = plan.readings
    assert len(planned.reading.options) == 4
    assert planned.reading.least_k == 7


def test_no_more_neighbors_are_needed_than_are_compared_but_more_are_wanted(
    llama_folder: Path, red: str, store: Store
) -> None:
    for keep, wanted in ((11, 11), (1009, 30)):  # of 31 texts
        study = tiny_study(llama_folder, texts=[red], ks=[2, 5], keep={"neighbors": keep})
        (planned,) = plan_study(study, store).readings
        reading = planned.reading
        assert (reading.least_k, reading.wanted_k, reading.stored_k) == (5, wanted, wanted)


def test_chat_variants_are_readings_of_their_own(
    chat_folder: Path, gpt2_folder: Path, red: str, green: str, store: Store
) -> None:
    texts = [{"left": red, "right": green, "name": "pair"}]
    study = tiny_study(chat_folder, gpt2_folder, texts=texts, also_as_chat=[str(chat_folder)])
    plan = plan_study(study, store)
    assert [one.label for one in plan.readings] == [
        "tiny-chat on red.txt",
        "tiny-chat as chat on red.txt",
        "tiny-chat on green.txt",
        "tiny-chat as chat on green.txt",
        "tiny-gpt2 on red.txt",
        "tiny-gpt2 on green.txt",
    ]
    (selection,) = plan.sets[0].selections.values()
    assert [one.label for one in selection.left] == ["tiny-chat", "tiny-chat as chat", "tiny-gpt2"]
    assert [one.options.chat for one in selection.right] == [False, True, False]


def test_what_a_task_asks_of_a_cluster_is_that_of_its_model(
    llama_folder: Path, gpt2_folder: Path, red: str, store: Store
) -> None:
    resources = {"cpus": 3, "models": {str(gpt2_folder): {"gpus": 1, "memory_gb": 7}}}
    plan = plan_study(tiny_study(llama_folder, gpt2_folder, texts=[red], resources=resources), store)
    assert [one.resources for one in plan.readings] == [
        Resources(cpus=3),
        Resources(cpus=3, gpus=1, memory_gb=7),
    ]


def test_what_cannot_be_had_is_told_with_reason_and_hint_and_the_rest_is_planned(
    llama_folder: Path, gpt2_folder: Path, red: str, blue: str, store: Store, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    shutil.copytree(gpt2_folder, gone)
    study = tiny_study(llama_folder, gone, texts=[red, {"texts": blue, "n": 97, "name": "too many"}])
    shutil.rmtree(gone)
    plan = plan_study(study, store)
    assert [one.what for one in plan.missing] == [str(gone), "too many"]
    assert "97 texts were asked for" in plan.missing[1].reason
    assert [one.label for one in plan.readings] == ["tiny-llama on red.txt"]
    assert [one.name for one in plan.sets] == ["red.txt"]


def test_an_error_of_another_library_is_told_with_its_kind() -> None:
    missing = Missing.of("what", ZeroDivisionError("by nothing"))
    assert missing == Missing(what="what", reason="ZeroDivisionError: by nothing")
    assert missing.as_dict() == {"what": "what", "reason": "ZeroDivisionError: by nothing"}


def test_a_finished_reading_is_done_and_costs_nothing(finished) -> None:
    plan = plan_study(finished.study, Store(finished.store))
    assert {one.state for one in plan.readings} == {"done"}
    for one in plan.readings:
        assert (one.share_done, one.seconds, one.kept_bytes, one.passing_bytes) == (1, 0, 0, 0)
    assert plan.with_state("to do", "begun", "running") == ()
    assert len(plan.with_state("done")) == 9
    assert plan.n_matrices == plan.n_stored_matrices == 3 * 2
    assert plan.notes == ()


def test_the_matrices_in_the_store_are_counted_by_what_they_are_of(finished, tmp_path: Path) -> None:
    keys = finished.study.as_dict()
    new = plan_study(finished.study, Store(tmp_path / "new"))
    assert (new.n_matrices, new.n_stored_matrices) == (6, 0)
    another_k = plan_study(isodepth.Study.of(**{**keys, "ks": [2, 3]}), Store(finished.store))
    assert (another_k.n_matrices, another_k.n_stored_matrices) == (6, 3)
    fewer = isodepth.Study.of(**{**keys, "models": keys["models"][1:]})
    assert plan_study(fewer, Store(finished.store)).n_stored_matrices == 0


def test_tokens_are_exact_after_one_reading_and_time_and_disk_are_about_right_before(
    finished, tmp_path: Path, store: Store
) -> None:
    before = plan_study(finished.study, store)
    after = plan_study(finished.study, Store(finished.store))
    for first, then in zip(before.readings, after.readings, strict=True):
        texts = then.reading.texts.texts
        exact = sum(len(text.split()) + 1 for text in dict.fromkeys(texts))
        assert then.n_tokens == exact
        assert exact / 3 < first.n_tokens < 3 * exact
        assert 0 < first.seconds < 60
        n_layers = {"tiny-llama": 5, "tiny-gemma": 7, "tiny-gpt2": 3}[first.model]
        width = {"tiny-llama": 26, "tiny-gemma": 22, "tiny-gpt2": 34}[first.model]
        assert first.kept_bytes == 8 * n_layers * 31 * 7
        assert first.passing_bytes == 4 * n_layers * 31 * width
    kept = sum(
        path.stat().st_size
        for path in data_files(finished.store, "neighbors")
        if path.name != "manifest.json"
    )
    assert sum(one.kept_bytes for one in before.readings) == pytest.approx(kept, rel=0.1)


def test_another_model_on_texts_that_were_read_gets_their_number_of_tokens(
    finished, two_folder: Path
) -> None:
    keys = finished.study.as_dict()
    study = isodepth.Study.of(**{**keys, "models": [*keys["models"], str(two_folder)]})
    plan = plan_study(study, Store(finished.store))
    for one in plan.with_state("to do"):
        assert one.model == "tiny-two"
        assert one.n_tokens == sum(len(text.split()) + 1 for text in one.reading.texts.texts)


def test_tokens_that_were_cut_off_are_not_taken_for_all_of_them(
    finished, copied_store: Store, tmp_path: Path
) -> None:
    keys = finished.study.as_dict()
    keys |= {"models": keys["models"][2:], "texts": keys["texts"][:1]}
    whole = sum(len(text.split()) + 1 for text in plan_texts(keys, copied_store))
    cut = isodepth.Study.of(**keys, max_tokens=3)
    assert plan_study(cut, copied_store).readings[0].n_tokens <= 3 * 31
    run_study(cut, tmp_path / "out", store=copied_store)
    assert plan_study(cut, copied_store).readings[0].n_tokens <= 3 * 31
    assert plan_study(isodepth.Study.of(**keys), copied_store).readings[0].n_tokens == whole


def plan_texts(keys: dict[str, object], store: Store) -> tuple[str, ...]:
    return plan_study(isodepth.Study.of(**keys), store).readings[0].reading.texts.texts


def test_time_is_unknown_where_nothing_tells_and_no_rate_is_measured(
    gpt2_folder: Path, red: str, store: Store
) -> None:
    plan = plan_study(tiny_study(gpt2_folder, texts=[red]), store, measures_speed=False)
    assert [one.seconds for one in plan.readings] == [None]


def test_a_reading_that_another_run_is_at_is_running_and_one_that_was_left_has_begun(
    gpt2_folder: Path, red: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
    study = tiny_study(gpt2_folder, texts=[red])
    seen: list[StudyPlan] = []

    def watch(label: str, done: int, total: int, unit: str) -> None:
        if unit == "texts" and done > 9:
            seen.append(plan_study(study, store))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(study, store.root / "out", store=store, progress=watch)
    (during,) = seen[0].readings
    assert during.state == "running"
    (left,) = plan_study(study, store).readings
    assert left.state == "begun"
    for one in (during, left):
        assert one.so_far.n_texts == 31
        assert 9 < one.so_far.n_done < 31
        assert one.share_done == one.so_far.n_done / 31
    (fresh,) = plan_study(study, Store(store.root / "other")).readings
    assert left.seconds == pytest.approx(
        fresh.seconds * (1 - left.share_done) * left.n_tokens / fresh.n_tokens, rel=0.9
    )


def test_a_plan_can_be_made_without_the_model_being_loadable(
    broken_model: Path, red: str, store: Store
) -> None:
    plan = plan_study(tiny_study(broken_model, texts=[red]), store)
    assert [one.label for one in plan.readings] == ["broken on red.txt"]
    assert plan.missing == ()


def test_models_of_one_name_have_rows_of_their_own(
    llama_folder: Path, gpt2_folder: Path, red: str, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(gpt2_folder, tmp_path / "x" / "tiny-llama")
    plan = plan_study(tiny_study(llama_folder, tmp_path / "x" / "tiny-llama", texts=[red]), store)
    sources: list[ModelSource] = [one.reading.source for one in plan.readings]
    assert [one.name for one in sources] == [f"{llama_folder.parent.name}/tiny-llama", "x/tiny-llama"]
    assert [one.model for one in plan.readings] == [one.name for one in sources]
