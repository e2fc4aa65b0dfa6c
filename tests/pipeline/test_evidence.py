"""Neighbors and texts behind results: as they were read, or not at hand with the reason; no downloads."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import isodepth.pipeline.evidence as module
from isodepth.errors import UnknownNameError
from isodepth.pipeline import set_evidence, study_evidence
from isodepth.pipeline.assess import matrix_neighbors
from isodepth.results import Evidence, EvidenceKey, MatrixKind, StudyResults
from isodepth.sources import downloads
from isodepth.store import Store
from isodepth.texts import load_texts
from isodepth.texts.text_set import texts_digest

NAMES = ("tiny-llama", "tiny-gemma", "tiny-gpt2")
KIND = MatrixKind("overlap", 3)


def key(name: str) -> EvidenceKey:
    return EvidenceKey(name, "block", "last")


def with_texts(
    results: StudyResults, name: str, digest: str | None = None, **entry: Any
) -> StudyResults:
    """Return results whose manifest says something else of where a text set comes from."""
    study = {**results.manifest["study"]}
    study["texts"] = [
        {"name": name, "seed": 1234, "dedupe": False, "n": "all", **entry}
        if one["name"] == name
        else one
        for one in study["texts"]
    ]
    changed = replace(results, manifest={**results.manifest, "study": study})
    if digest is None:
        return changed
    one = results[name]
    texts = {**one.description["texts"], "digest": digest}
    matrices = {kind: replace(found, texts_digest=digest) for kind, found in one.matrices.items()}
    readings = [{**reading, "texts_digest": digest} for reading in one.description["readings"]]
    description = {**one.description, "texts": texts, "readings": readings}
    other = replace(one, matrices=matrices, description=description)
    return replace(changed, sets={**results.sets, name: other})


def notes_on(results: StudyResults, name: str, store: Path, **where: Any) -> Sequence[str]:
    """Return why texts are not at hand, after a look that they are not."""
    found = study_evidence(results, texts=[name], store=store, **where)[key(name)]
    assert found.texts is None
    assert found.right_texts is None
    return found.notes


def test_texts_and_neighbors_are_those_that_were_read(finished: Any, red: str) -> None:
    found = study_evidence(finished.out, store=finished.store)
    assert set(found) == {key("red.txt"), key("pair"), key("blue.txt")}
    one = found[key("red.txt")]
    assert list(one.left) == list(NAMES)
    assert one.right is None
    assert [neighbors.ids.shape for neighbors in one.left.values()] == [
        (5, 31, 7),
        (7, 31, 7),
        (3, 31, 7),
    ]
    assert one.texts is not None
    assert one.texts.texts == load_texts(red, n=31).texts
    assert (one.texts.name, one.notes) == ("red.txt", ())


def test_both_sides_of_a_pair_are_there(finished: Any, red: str, green: str) -> None:
    one = study_evidence(finished.results, texts=["pair"], store=finished.store)[key("pair")]
    assert one.right is not None
    assert list(one.right) == list(one.left) == list(NAMES)
    assert one.texts is not None
    assert one.right_texts is not None
    rows = Path(red).read_text().splitlines()
    others = Path(green).read_text().splitlines()
    places = [rows.index(text) for text in one.texts.texts]
    assert list(one.right_texts.texts) == [others[place] for place in places]
    matrix = finished.results["pair"].matrices[KIND]["tiny-gpt2", "tiny-llama"]
    ours, theirs = one.left["tiny-gpt2"].ids[1, :, :3], one.right["tiny-llama"].ids[4, :, :3]
    shared = [len(set(a) & set(b)) / 3 for a, b in zip(ours.tolist(), theirs.tolist(), strict=True)]
    assert np.mean(shared) == pytest.approx(matrix.values[1, 4])


def test_one_set_can_be_had_alone(finished: Any) -> None:
    one = set_evidence(finished.results, "blue.txt", KIND, store=finished.store)
    assert isinstance(one, Evidence)
    assert one.texts is not None
    assert one.texts.digest == finished.results["blue.txt"].matrices[KIND].texts_digest


def test_texts_that_have_changed_are_not_taken(finished: Any, tmp_path: Path, red: str) -> None:
    changed = tmp_path / "red.txt"
    lines = Path(red).read_text().splitlines()
    changed.write_text("\n".join([*lines[:-1], "another"]) + "\n")
    results = with_texts(finished.results, "red.txt", texts=str(changed), n=31)
    digest = finished.results["red.txt"].matrices[KIND].texts_digest
    assert notes_on(results, "red.txt", finished.store) == (
        "the texts of red.txt are not at hand: what its name stands for now are other texts than those "
        f"that were read ({digest})",
    )


def test_paths_are_looked_up_from_the_folder_that_is_given(finished: Any, texts_folder: Path) -> None:
    results = with_texts(finished.results, "red.txt", texts="./red.txt", n=31)
    found = study_evidence(results, texts=["red.txt"], store=finished.store, folder=texts_folder)
    assert found[key("red.txt")].texts is not None
    (note,) = notes_on(results, "red.txt", finished.store, folder=texts_folder.parent)
    assert note.startswith(
        "the texts of red.txt are not at hand: there is no such text set and no such"
    )


def test_a_side_that_is_gone_takes_the_other_with_it(finished: Any, tmp_path: Path) -> None:
    study = {**finished.results.manifest["study"]}
    study["texts"] = [
        {**one, "right": str(tmp_path / "gone.txt")} if one["name"] == "pair" else one
        for one in study["texts"]
    ]
    results = replace(finished.results, manifest={**finished.results.manifest, "study": study})
    assert len(notes_on(results, "pair", finished.store)) == 2


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ("wikipedia", "wikipedia is not on this machine, and nothing is downloaded for this"),
        ("caesar(news)", "news is not on this machine, and nothing is downloaded for this"),
        ("hf:owner/name:test", "hf:owner/name:test is not on this machine, and nothing is downloaded"),
        ("books-en", "books-en is not on this machine, and nothing is downloaded for this"),
        ("imported(news)", "it was imported without its texts"),
        ("nobody(news)", "there is no control 'nobody'"),
    ],
)
def test_nothing_is_downloaded(
    finished: Any, texts: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a download was begun")

    monkeypatch.setattr(downloads, "run_download", refuse)
    (note,) = notes_on(with_texts(finished.results, "red.txt", texts=texts), "red.txt", finished.store)
    assert reason in note


def test_generated_texts_are_made_again(finished: Any) -> None:
    texts = load_texts("random-strings", n=31, seed=3)
    digest = texts.digest
    results = with_texts(finished.results, "red.txt", digest, texts="random-strings", n=31, seed=3)
    found = study_evidence(results, texts=["red.txt"], store=finished.store)[key("red.txt")]
    assert found.texts is not None
    assert found.texts.texts == texts.texts
    assert digest == texts_digest(texts.texts)


def test_what_is_in_the_hubs_cache_is_read_without_asking_the_hub(
    finished: Any, red: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets
    from huggingface_hub import constants

    asked = []

    def load(self: object, *_: object) -> Any:
        asked.append((datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE))
        texts = load_texts(red, n=31)
        from isodepth.texts import ParallelTexts

        return ParallelTexts.of(texts, texts)

    monkeypatch.setattr(module, "is_hub_dataset_here", lambda *_: True)
    monkeypatch.setattr(module.StudyTexts, "load", load)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    results = with_texts(finished.results, "red.txt", texts="hf:owner/name:test")
    found = study_evidence(results, texts=["red.txt"], store=finished.store)
    assert found[key("red.txt")].texts is not None
    assert asked == [(True, True)]
    assert (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == (False, False)


def test_results_that_do_not_say_where_texts_come_from_have_none(finished: Any) -> None:
    manifest: Mapping[str, Any] = {"name": "bare"}
    results = replace(finished.results, manifest=manifest)
    assert notes_on(results, "red.txt", finished.store) == (
        "the texts of red.txt are not at hand: the results do not say where they come from",
    )


def test_sets_whose_neighbors_are_not_all_there_are_left_out(finished: Any, tmp_path: Path) -> None:
    assert study_evidence(finished.out, store=tmp_path / "empty") == {}
    shutil.copytree(finished.store, tmp_path / "copied")
    (name,) = [
        reading["neighbors"]
        for reading in finished.results["blue.txt"].description["readings"]
        if reading["label"] == "tiny-gpt2"
    ]
    shutil.rmtree(tmp_path / "copied" / "neighbors" / f"{name}-k7")
    found = study_evidence(finished.out, store=tmp_path / "copied")
    assert set(found) == {key("red.txt"), key("pair")}
    with pytest.raises(UnknownNameError, match="neighbors of tiny-gpt2 on blue.txt are not in"):
        set_evidence(finished.results, "blue.txt", KIND, store=tmp_path / "copied")


def test_as_many_neighbors_as_are_stored_are_taken_where_all_are_asked_for(
    finished: Any, tmp_path: Path
) -> None:
    shutil.copytree(finished.store, tmp_path / "copied")
    store = Store(tmp_path / "copied")
    found = finished.results["blue.txt"]
    for reading in found.description["readings"]:
        artifact = store.read("neighbors", f"{reading['neighbors']}-k7")
        assert artifact is not None
        arrays = {name: np.array(values[:, :, :4]) for name, values in artifact.arrays.items()}
        store.write(
            "neighbors", f"{reading['neighbors']}-k4", arrays=arrays, manifest=artifact.manifest
        )
    for all_stored in (True, False):
        left, _ = matrix_neighbors(found, KIND, store, all_stored=all_stored)
        assert {one.k for one in left} == {7}
