"""Which imported reading a study means by a name: the model itself, and never one of several."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.activations import ExtractionOptions
from isodepth.interchange import (
    ForeignReading,
    imported_readings,
    keep_reading,
    read_bundle,
    write_bundles,
)
from isodepth.models import LoadingOptions, resolve_model
from isodepth.models.resolution import unread_model
from isodepth.neighbors import Neighbors
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import StudyPlan
from isodepth.pipeline.run import run_study
from isodepth.store import Store
from isodepth.study import Study
from published_form import neighbor_lists
from tiny_studies import written_texts

N_TEXTS, N_LAYERS, K = 23, 3, 7
COMMIT = "c0ffee0" + "1" * 33


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def kept(
    store: Store,
    model: str,
    repository: str | None = None,
    *,
    seed: int = 5,
    texts: str = "news",
    texts_digest: str = "d" * 64,
    commit: str = COMMIT,
    **options: Any,
) -> None:
    ids = neighbor_lists(N_TEXTS, N_LAYERS, k=K, seed=seed).transpose(1, 0, 2).astype(np.int32)
    neighbors = Neighbors(
        ids=ids,
        similarities=np.broadcast_to(np.float32(np.nan), ids.shape),
        model=model,
        texts_digest=texts_digest,
        provenance={"file": f"seed-{seed}.safetensors"},
    )
    new = ForeignReading(
        neighbors=neighbors,
        texts=texts,
        options=ExtractionOptions(**options),
        model_repository=repository,
        model_digest=None if repository is None else f"hub:{repository}@{commit}",
    )
    keep_reading(new, store)


def planned(store: Store, models: list[str], **keys: Any) -> StudyPlan:
    study = Study.of(**{"models": models, "texts": ["imported(news)"], "ks": [3], **keys})
    return plan_study(study, store, imported=True)


def taken(plan: StudyPlan) -> dict[str, str]:
    """Return the readings that a plan takes, by the study's labels."""
    return {
        reader.label: reader.reading.model
        for one in plan.sets
        for selection in one.selections.values()
        for reader in (*selection.left, *selection.columns)
    }


def test_what_a_hub_model_became_never_stands_for_it(store: Store) -> None:
    for seed, name in enumerate(("owner/m", "owner/m (4bit)", "owner/m + lora", "owner/m at step 7")):
        kept(store, name, "owner/m", seed=seed)
    assert taken(planned(store, ["owner/m"])) == {"owner/m": "owner/m"}


def test_where_only_others_of_a_hub_model_are_there_all_are_named(store: Store) -> None:
    for seed, name in enumerate(("owner/m (4bit)", "owner/m + lora", "step 7")):
        kept(store, name, "owner/m", seed=seed)
    kept(store, "else", seed=11)
    plan = planned(store, ["owner/m", "imported(else)"])
    assert taken(plan) == {"else": "else"}
    (one,) = plan.missing
    assert (one.what, one.reason) == (
        "owner/m on news",
        "it was not imported (capture block, pooling last)",
    )
    assert one.hint == (
        "there is owner/m (4bit), owner/m + lora, step 7; a study takes one by its name: "
        '"imported(owner/m (4bit))".'
    )


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("google/gemma-2b", "gemma-2b"),
        ("gemma-2b", "google/gemma-2b"),
        ("gemma-2b(dtype=bfloat16)", "google/gemma-2b (bfloat16)"),
        ("google/gemma-2b(quantization=4bit)", "gemma-2b (4bit)"),
        ("owner/m(adapter=owner/lora, dtype=float16)", "owner/m + owner/lora (float16)"),
    ],
)
def test_a_hub_id_and_a_name_of_the_catalogue_are_one_model(
    store: Store, written: str, name: str
) -> None:
    repository = "owner/m" if "owner" in name else "google/gemma-2b"
    kept(store, name, repository)
    assert taken(planned(store, [written])) == {written: name}


@pytest.mark.parametrize(
    "written",
    ["gemma-2b(quantization=4bit)", "gemma-2b(adapter=owner/lora)", "gemma-2b(dtype=float16)"],
)
def test_the_plain_model_never_stands_for_what_became_of_it(store: Store, written: str) -> None:
    kept(store, "gemma-2b", "google/gemma-2b")
    plan = planned(store, [written])
    assert taken(plan) == {}
    assert [one.what for one in plan.missing] == [f"{written} on news"]


def test_a_name_of_the_catalogue_is_not_that_of_another_hub_model(store: Store) -> None:
    kept(store, "gemma-2b", "someone/else")
    assert taken(planned(store, ["google/gemma-2b"])) == {}


def test_two_readings_of_one_name_and_kind_are_both_refused(store: Store) -> None:
    """As a process leaves them that ends while it puts one in the place of the other."""
    kept(store, "owner/m", "owner/m", seed=1)
    other = Store(store.root.parent / "other")
    kept(other, "owner/m", "owner/m", seed=2)
    (source,) = other.keys("imported")
    other.folder("imported", source).rename(store.folder("imported", source))
    plan = planned(store, ["owner/m"])
    assert taken(plan) == {}
    (one,) = plan.missing
    reason, names = one.reason.split(": ")
    assert reason == "2 imported readings may be meant (capture block, pooling last)"
    assert set(names.split(", ")) == {f"owner/m from seed-{seed}.safetensors" for seed in (1, 2)}
    assert "--replace" in (one.hint or "")


def test_a_revision_is_proven_by_the_weights_or_said_by_the_name(store: Store) -> None:
    kept(store, "owner/m", "owner/m")
    for revision in ("main", "step1000", "deadbeef", COMMIT[:6]):
        plan = planned(store, [f"owner/m@{revision}"])
        assert taken(plan) == {}
        assert "imported(owner/m)" in (plan.missing[0].hint or "")
    for revision in (COMMIT, COMMIT[:7]):
        assert taken(planned(store, [f"owner/m@{revision}"])) == {f"owner/m@{revision}": "owner/m"}
    other = "deadbeef" + "2" * 32
    kept(store, "owner/m (late)", "owner/m", seed=3, commit=other)
    plan = planned(store, [f"owner/m@{COMMIT}", f"owner/m@{other}"])
    assert taken(plan) == {f"owner/m@{COMMIT}": "owner/m"}
    assert [one.what for one in plan.missing] == [f"owner/m@{other} on news"]
    kept(store, "owner/m@step1000", "owner/m", seed=7)
    assert taken(planned(store, ["owner/m@step1000", "owner/m"])) == {
        "owner/m@step1000": "owner/m@step1000",
        "owner/m": "owner/m",
    }


def test_what_loading_says_comes_first_then_the_plain_name_with_a_note(store: Store) -> None:
    kept(store, "gemma-2b", "google/gemma-2b", seed=1)
    keys = {"loading": {"dtype": "bfloat16"}}
    plan = planned(store, ["gemma-2b"], **keys)
    assert taken(plan) == {"gemma-2b": "gemma-2b"}
    assert plan.notes == (
        "[loading] says bfloat16; the names of the imported readings do not: gemma-2b",
    )
    kept(store, "gemma-2b (bfloat16)", "google/gemma-2b", seed=2)
    plan = planned(store, ["gemma-2b"], **keys)
    assert (taken(plan), plan.notes) == ({"gemma-2b": "gemma-2b (bfloat16)"}, ())
    both = planned(store, ["gemma-2b", "gemma-2b(dtype=float32)"], **keys)
    assert set(taken(both).values()) == {"gemma-2b (bfloat16)", "gemma-2b"}


def test_one_reading_does_not_stand_for_two_models_of_a_study(store: Store) -> None:
    kept(store, "gemma-2b", "google/gemma-2b")
    plan = planned(store, ["gemma-2b", "gemma-2b(dtype=float32)"], loading={"dtype": "bfloat16"})
    assert taken(plan) == {"gemma-2b(dtype=float32)": "gemma-2b"}
    assert [one.what for one in plan.missing] == ["gemma-2b on news"]


def test_models_and_texts_are_named_as_they_were_imported(store: Store, tmp_path: Path) -> None:
    """Whatever these names are: none of them is looked up anywhere."""
    names = ["my-model", "gpt2", "m (4bit), =1", 'a "b" + c']
    for seed, name in enumerate(names):
        kept(store, name, seed=seed, texts="my (set), =1")
    study = Study.of(
        models=[f"imported({name})" for name in names],
        texts=["imported(my (set), =1)"],
        ks=[3],
    )
    again = Study.of(**study.as_dict())
    assert (again.models, again.texts) == (study.models, study.texts)
    results = run_study(study, tmp_path / "out", store=store, imported=True)
    assert results.missing == ()
    assert results.set_names == ("my (set), =1",)
    assert results.matrices("my (set), =1", k=3).left == tuple(names)


def test_imported_names_are_exact(store: Store) -> None:
    kept(store, "gemma-2b", "google/gemma-2b")
    plan = planned(store, ["imported(google/gemma-2b)"])
    assert taken(plan) == {}
    assert [one.what for one in plan.missing] == ["google/gemma-2b on news"]
    plan = planned(store, ["gemma-2b"], texts=["imported(new)"])
    (one,) = plan.missing
    assert (one.what, one.reason) == (
        "new",
        "no reading of new was imported; there are readings of news",
    )
    assert "imported(NAME)" in (one.hint or "")


def test_a_run_by_the_models_says_that_imported_names_need_imported(store: Store) -> None:
    study = Study.of(models=["imported(my-model)"], texts=["imported(mine)"], ks=[3])
    plan = plan_study(study, store)
    said = {(one.what, one.reason, one.hint) for one in plan.missing}
    hint = "imported readings are taken by 'isodepth run STUDY --imported' alone."
    assert said == {
        (
            "imported(my-model)",
            "imported(my-model) stands for imported readings, and there is no model to read",
            hint,
        ),
        (
            "mine",
            "imported(mine) stands for imported readings, and there is no text set to read",
            hint,
        ),
    }


def test_chat_readings_of_an_imported_name_are_told_apart(store: Store) -> None:
    kept(store, "mine", seed=1)
    kept(store, "mine", seed=2, chat=True)
    plan = planned(store, ["imported(mine)"], also_as_chat=["imported(mine)"])
    assert plan.missing == ()
    assert taken(plan) == {"mine": "mine", "mine as chat": "mine"}


def test_pairs_take_imported_names_on_both_sides(store: Store) -> None:
    kept(store, "mine", seed=1, texts="english", texts_digest="e" * 64)
    kept(store, "mine", seed=2, texts="german", texts_digest="f" * 64)
    pair = {"left": "imported(english)", "right": "imported(german)"}
    plan = planned(store, ["imported(mine)"], texts=[pair])
    assert plan.missing == ()
    assert [one.name for one in plan.sets] == ["english x german"]


def test_a_text_set_given_another_name_is_found_by_either_and_never_mixed(store: Store) -> None:
    kept(store, "one", seed=1, texts="my-set")
    kept(store, "two", seed=2, texts="web-text")
    kept(store, "three", seed=3, texts="web-text", texts_digest="e" * 64)
    texts = [{"texts": "web-text", "name": "my-set", "n": N_TEXTS}]
    models = ["imported(one)", "imported(two)", "imported(three)"]
    plan = planned(store, models, texts=texts)
    assert taken(plan) == {"one": "one", "two": "two"}  # the same texts under two names
    assert [one.what for one in plan.missing] == ["three on my-set"]


def test_a_study_of_folders_runs_on_its_own_bundles(
    llama_folder: Path, gpt2_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for source in (llama_folder, gpt2_folder):
        Path(source.name).symlink_to(source)
    written_texts(tmp_path)
    study = Study.of(
        models=[f"./{llama_folder.name}", f"./{gpt2_folder.name}(dtype=bfloat16)"],
        texts=["./red.txt", {"left": "./red.txt", "right": "shuffled-words(./red.txt)"}],
        n=N_TEXTS,
        ks=[3],
    )
    own = run_study(study, "own", store="store")
    bundles = write_bundles(Store("store"), Path("bundles")).paths
    other = Store("other")
    for path in bundles:
        keep_reading(read_bundle(path), other)
    results = run_study(study, "imported", store=other, imported=True)
    assert results.missing == ()
    assert results.set_names == own.set_names
    for name in own.set_names:
        np.testing.assert_array_equal(
            results.matrices(name, k=3).values, own.matrices(name, k=3).values
        )
    assert {one.model for one in imported_readings(other)} == {
        llama_folder.name,
        f"{gpt2_folder.name} (bfloat16)",
    }


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, "{llama}"),
        ({"dtype": "bfloat16"}, "{llama}"),
        ({"dtype": "bfloat16"}, "{llama}(dtype=float32, attention=eager)"),
        ({"quantization": "4bit"}, "gemma-3-270m"),
        ({}, "smollm2-135m-instruct(dtype=float16)"),
        ({}, "{lora}"),
        ({"dtype": "float16"}, "{llama}(adapter={lora})"),
    ],
)
def test_a_model_is_named_unread_as_it_is_when_it_is_found(
    llama_folder: Path, tmp_path: Path, options: dict[str, Any], written: str
) -> None:
    lora = tmp_path / "lora"
    lora.mkdir()
    config = f'{{"base_model_name_or_path": "{llama_folder}"}}'
    (lora / "adapter_config.json").write_text(config)
    (lora / "adapter_model.safetensors").write_bytes(b"")
    name = written.format(llama=llama_folder, lora=lora)
    loading = LoadingOptions(**options)
    found = resolve_model(name, options=loading, fetch=False)
    unread = unread_model(name, options=loading)
    assert unread.name == found.name
    assert unread.location == found.location
    assert unread.digest != found.digest  # which would need the weights
