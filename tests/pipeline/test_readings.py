"""One model on one text set: keys, what is missing, and how an interrupted or damaged one goes on."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isodepth import extract, nearest_neighbors
from isodepth.activations import ExtractionOptions
from isodepth.errors import DigestMismatchError, IsodepthError
from isodepth.models import LoadingOptions, ModelSource, resolve_model
from isodepth.neighbors.exact import layer_neighbors
from isodepth.pipeline.reading_work import SPEEDS, ActivationsGoneError, ModelShelf, found_here, read
from isodepth.pipeline.readings import Reading, StoredNames
from isodepth.progress import no_progress
from isodepth.store import DamagedArtifactWarning, Store
from isodepth.texts import TextSet, load_texts
from tiny_studies import HARMS, Counts, counting, data_files

PLAIN = ExtractionOptions()
MEAN = ExtractionOptions(pooling="mean")


@pytest.fixture(scope="module")
def source(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        return resolve_model(gpt2_folder)


@pytest.fixture(scope="module")
def texts(red: str) -> TextSet:
    return load_texts(red, n=31)


@pytest.fixture(scope="module")
def shelf() -> ModelShelf:
    """One model for all tests of this file, so that it is loaded once."""
    return ModelShelf()


@pytest.fixture
def reading(source: ModelSource, texts: TextSet) -> Reading:
    return Reading(source=source, texts=texts, options=(PLAIN,), least_k=3, kept_k=7)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


def stops_after(n_batches: int) -> Callable[[str, int, int, str], None]:
    reports: list[int] = []

    def progress(label: str, done: int, total: int, unit: str) -> None:
        if unit == "tokens":
            reports.append(done)
            if len(reports) > n_batches + 1:
                raise KeyboardInterrupt

    return progress


@pytest.fixture(scope="module")
def interrupted(
    source: ModelSource, texts: TextSet, shelf: ModelShelf, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A store with a reading of two poolings that was stopped after five batches."""
    root = tmp_path_factory.mktemp("interrupted")
    reading = Reading(source=source, texts=texts, options=(PLAIN, MEAN), least_k=3, kept_k=7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
        with pytest.raises(KeyboardInterrupt):
            read(reading, Store(root), stops_after(5), True, shelf=shelf)
    return root


def ids_of(reading: Reading, store: Store, options: ExtractionOptions = PLAIN) -> np.ndarray:
    found = reading.stored_neighbors(store, options)
    assert found is not None
    return np.array(found.ids)


# ------------------------------------------------------------------------------------------- keys


def test_keys_tell_apart_all_that_changes_values_and_nothing_else(
    reading: Reading, source: ModelSource, texts: TextSet, llama_folder: Path
) -> None:
    others = [
        replace(reading, source=resolve_model(llama_folder)),
        replace(
            reading, source=resolve_model(source.location, options=LoadingOptions(dtype="float16"))
        ),
        replace(reading, texts=TextSet.of(texts.texts[::-1], name=texts.name)),
    ]
    options = [
        MEAN,
        ExtractionOptions(capture="mlp"),
        ExtractionOptions(max_tokens=3),
        ExtractionOptions(chat=True),
    ]
    keys = [reading.neighbors_key(PLAIN), *(one.neighbors_key(PLAIN) for one in others)]
    keys += [reading.neighbors_key(one) for one in options]
    assert len(set(keys)) == len(keys) == 8
    same = [
        replace(reading, source=replace(source, name="other", location=None)),
        replace(reading, texts=TextSet.of(texts.texts, name="other")),
        replace(reading, options=(MEAN, PLAIN), least_k=5, kept_k=30, keep_activations=True),
    ]
    assert {one.neighbors_key(PLAIN) for one in same} == {reading.neighbors_key(PLAIN)}
    assert {one.activations_key(PLAIN) for one in same} == {reading.activations_key(PLAIN)}


@pytest.mark.parametrize(
    ("least_k", "kept_k", "expected"),
    [(3, 7, 7), (7, 3, 7), (3, 100, 30), (30, 1, 30)],
)
def test_as_many_neighbors_are_kept_as_are_wanted_and_there(
    least_k: int, kept_k: int, expected: int, reading: Reading
) -> None:
    assert replace(reading, least_k=least_k, kept_k=kept_k).stored_k == expected


def test_the_fewest_neighbors_that_are_enough_are_taken(reading: Reading, store: Store) -> None:
    key = reading.neighbors_key(PLAIN)
    for k in ("2", "3", "10", "5x", "", "-4"):
        store.write("neighbors", f"{key}-k{k}", arrays={}, manifest={})
    stored = store.keys("neighbors")
    assert reading.enough_neighbors(PLAIN, stored) == [f"{key}-k3", f"{key}-k10"]
    assert replace(reading, least_k=4).enough_neighbors(PLAIN, stored) == [f"{key}-k10"]
    assert replace(reading, least_k=11).enough_neighbors(PLAIN, stored) == []
    assert reading.enough_neighbors(MEAN, stored) == []


def test_more_neighbors_than_are_needed_may_be_wanted_and_come_first(
    reading: Reading, store: Store
) -> None:
    key = reading.neighbors_key(PLAIN)
    for k in ("3", "7", "11", "20"):
        store.write("neighbors", f"{key}-k{k}", arrays={}, manifest={})
    stored = store.keys("neighbors")
    wants = replace(reading, wanted_k=10)
    assert wants.complete_k == 10
    assert wants.enough_neighbors(PLAIN, stored) == [f"{key}-k{k}" for k in (11, 20, 3, 7)]
    assert wants.enough_neighbors(PLAIN, stored, least=wants.complete_k) == [f"{key}-k11", f"{key}-k20"]
    assert replace(reading, least_k=5, wanted_k=2).complete_k == 5
    assert replace(reading, wanted_k=19).stored_k == 19


# ---------------------------------------------------------------------------------------- reading


def test_a_reading_with_fewer_neighbors_than_are_wanted_is_not_complete_but_of_use(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    read(reading, store, no_progress, True, shelf=shelf)
    more = replace(reading, wanted_k=11)
    assert not more.seems_done(StoredNames.of(store))
    assert more.missing(store) == (PLAIN,)
    np.testing.assert_array_equal(ids_of(more, store), ids_of(reading, store))
    read(more, store, no_progress, True, shelf=shelf)
    assert more.seems_done(StoredNames.of(store))
    assert more.missing(store) == ()
    assert ids_of(more, store).shape == (3, 31, 11)
    assert ids_of(reading, store).shape == (3, 31, 7)


def test_a_reading_stores_the_neighbors_that_the_plain_functions_give(
    reading: Reading, store: Store, shelf: ModelShelf, source: ModelSource, counts: Counts
) -> None:
    both = replace(reading, options=(PLAIN, MEAN))
    assert not both.seems_done(StoredNames.of(store))
    assert both.missing(store) == (PLAIN, MEAN)
    assert read(both, store, no_progress, False, shelf=shelf)
    assert both.seems_done(StoredNames.of(store))
    assert both.missing(store) == ()
    for options in (PLAIN, MEAN):
        expected = nearest_neighbors(
            extract(str(source.location), reading.texts, pooling=options.pooling), 7
        )
        found = both.stored_neighbors(store, options)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.similarities, expected.similarities)
        assert (found.model, found.texts_digest) == ("tiny-gpt2", reading.texts.digest)
    assert store.keys("activations") == []
    assert not list(store.root.glob("unfinished/*"))
    counts.clear()
    assert read(both, store, no_progress, True, shelf=shelf)
    assert (counts.loads, counts.batches) == ([], [])


def test_layers_that_two_captures_share_are_searched_once(
    reading: Reading,
    store: Store,
    shelf: ModelShelf,
    source: ModelSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched: list[tuple[int, ...]] = []

    def counted(vectors: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
        searched.append(vectors.shape)
        return layer_neighbors(vectors, k, metric)

    normed = ExtractionOptions(capture="final_norm")
    # others are read between and before them, of which nothing is shared
    mlp, mean = ExtractionOptions(capture="mlp"), ExtractionOptions(capture="block", pooling="mean")
    both = replace(reading, options=(mlp, PLAIN, mean, normed))
    with monkeypatch.context() as patch:
        patch.setattr("isodepth.neighbors.exact.layer_neighbors", counted)
        assert read(both, store, no_progress, False, shelf=shelf)
    assert len([shape for shape in searched if shape[0] == 31]) == 3 * 3 + 1  # else of probes
    for options in both.options:
        expected = nearest_neighbors(
            extract(
                str(source.location), reading.texts, capture=options.capture, pooling=options.pooling
            ),
            7,
        )
        np.testing.assert_array_equal(ids_of(both, store, options), expected.ids)
    assert (ids_of(both, store)[-1] != ids_of(both, store, normed)[-1]).any()


def test_a_pooling_that_is_added_is_read_alone(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    read(reading, store, no_progress, True, shelf=shelf)
    both = replace(reading, options=(PLAIN, MEAN))
    assert not both.seems_done(StoredNames.of(store))
    assert both.missing(store) == (MEAN,)
    before = {path: path.stat().st_mtime_ns for path in data_files(store.root, "neighbors")}
    read(both, store, no_progress, True, shelf=shelf)
    after = {path: path.stat().st_mtime_ns for path in data_files(store.root, "neighbors")}
    assert before.items() < after.items()


def test_how_fast_it_was_is_recorded_with_real_tokens(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    read(reading, store, no_progress, True, shelf=shelf)
    (key,) = store.keys(SPEEDS)
    speed = store.manifest(SPEEDS, key)
    n_tokens = sum(len(text.split()) + 1 for text in reading.texts.texts)  # and the BOS
    assert speed["n_tokens"] == n_tokens
    assert speed["seconds"] > 0
    assert (speed["n_layers"], speed["width"], speed["device"]) == (3, 34, "cpu")
    assert speed["model_digest"] == reading.source.digest


def test_records_of_speed_do_not_pile_up(reading: Reading, store: Store, shelf: ModelShelf) -> None:
    for _ in range(3):
        read(reading, store, no_progress, True, shelf=shelf)
        for name in store.keys("neighbors"):
            store.remove("neighbors", name)
    assert len(store.keys(SPEEDS)) == 1
    read(replace(reading, options=(MEAN,)), store, no_progress, True, shelf=shelf)
    assert len(store.keys(SPEEDS)) == 2


def test_a_record_of_speed_is_that_of_the_last_time(
    reading: Reading, store: Store, shelf: ModelShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(reading, store, no_progress, True, shelf=shelf)
    (key,) = store.keys(SPEEDS)
    first = store.manifest(SPEEDS, key)
    store.remove(SPEEDS, key)
    store.write(SPEEDS, key, arrays={}, manifest={**first, "seconds": 1009.0, "n_tokens": 13})
    (name,) = store.keys("neighbors")
    store.remove("neighbors", name)
    read(reading, store, no_progress, True, shelf=shelf)
    again = store.manifest(SPEEDS, key)
    assert again["seconds"] < 1009
    assert again["n_tokens"] == first["n_tokens"]
    assert again["n_texts"] == 31


@pytest.mark.parametrize(
    ("n_left", "has_record", "is_recorded"), [(3, True, False), (4, True, True), (3, False, True)]
)
def test_a_few_texts_that_were_left_do_not_replace_the_record_of_more(
    n_left: int,
    has_record: bool,
    is_recorded: bool,
    reading: Reading,
    store: Store,
    shelf: ModelShelf,
    tmp_path: Path,
) -> None:
    read(replace(reading, keep_activations=True), store, no_progress, True, shelf=shelf)
    (key,) = store.keys(SPEEDS)
    whole = store.read("activations", reading.activations_key(PLAIN))
    values = whole.arrays["values"]
    stopped = Store(tmp_path / "stopped")
    begun = stopped.begin(
        "activations",
        reading.activations_key(PLAIN),
        shape=values.shape,
        manifest={name: value for name, value in whole.manifest.items() if name != "files"},
    )
    n_before = 31 - n_left
    begun.write(np.arange(n_before), np.array(values[:, :n_before]), n_tokens=7)
    if has_record:
        earlier = {**store.manifest(SPEEDS, key), "n_tokens": 100003}
        stopped.write(SPEEDS, key, arrays={}, manifest=earlier)
    read(reading, stopped, no_progress, True, shelf=shelf)
    found = stopped.manifest(SPEEDS, key)
    assert (found["n_texts"], found["n_tokens"] < 1009) == (
        (n_left, True) if is_recorded else (31, False)
    )


def test_copies_of_a_text_count_their_tokens_once(
    source: ModelSource, store: Store, shelf: ModelShelf
) -> None:
    texts = TextSet.of(["w1 w2 w3", "w4", "w1 w2 w3", "w5 w6"], name="copies")
    reading = Reading(source=source, texts=texts, options=(PLAIN,), least_k=1, kept_k=7)
    told: list[tuple[int, int]] = []
    read(
        reading,
        store,
        lambda label, done, total, unit: told.append((done, total)) if unit == "texts" else None,
        True,
        shelf=shelf,
    )
    (key,) = store.keys(SPEEDS)
    assert store.manifest(SPEEDS, key)["n_tokens"] == 4 + 2 + 3
    assert (told[0], told[-1]) == ((0, 4), (4, 4))


def test_where_another_run_is_at_it_nothing_is_done_without_waiting(
    reading: Reading, store: Store, counts: Counts
) -> None:
    both = replace(reading, options=(PLAIN, MEAN))
    with store.lock("activations", reading.activations_key(MEAN)):
        assert not read(both, store, no_progress, False)
        # what was locked on the way is free again
        assert not store.is_locked("activations", reading.activations_key(PLAIN))
    assert counts.loads == []


def test_locks_are_taken_in_one_order_whatever_the_order_of_the_options(
    reading: Reading, store: Store, shelf: ModelShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (PLAIN, MEAN, ExtractionOptions(capture="mlp"))
    taken: list[str] = []
    lock = Store.lock

    def noted(self: Store, stage: str, key: str, **settings: object) -> object:
        taken.append(key)
        return lock(self, stage, key, **settings)

    read(replace(reading, options=options), store, no_progress, True, shelf=shelf)
    monkeypatch.setattr(Store, "lock", noted)
    orders = []
    for order in itertools.permutations(options):
        taken.clear()
        read(replace(reading, options=order), store, no_progress, True, shelf=shelf)
        orders.append(tuple(taken))
    assert len(orders[0]) == 3
    assert len(set(orders)) == 1


def test_the_shelf_keeps_one_model_and_gives_it_the_name_that_is_asked_for(
    source: ModelSource, llama_folder: Path, counts: Counts
) -> None:
    shelf = ModelShelf()
    other = resolve_model(llama_folder)
    names = [
        shelf.model(one, progress=no_progress).name
        for one in (source, replace(source, name="again"), other, source)
    ]
    assert names == ["tiny-gpt2", "again", "tiny-llama", "tiny-gpt2"]
    assert counts.loads == ["tiny-gpt2", "tiny-llama", "tiny-gpt2"]


def test_a_model_that_is_another_one_here_is_refused(reading: Reading, llama_folder: Path) -> None:
    gone = replace(reading.source, location=Path("/no/such/folder"))
    elsewhere = replace(reading, source=gone, written=str(llama_folder))
    with pytest.raises(DigestMismatchError, match="is another model than when the study") as caught:
        found_here(elsewhere)
    assert str(llama_folder) in caught.value.message
    assert f"{reading.source.digest} then" in caught.value.message
    assert "run the study again" in caught.value.hint
    assert "name a revision" in caught.value.hint
    same = replace(elsewhere, written=str(reading.source.location))
    named = replace(same, source=replace(gone, name="as in the study"))
    assert found_here(named) == replace(reading.source, name="as in the study")
    assert found_here(reading) is reading.source


def test_a_model_that_changed_in_its_place_after_the_plan_is_refused_and_nothing_is_stored(
    reading: Reading,
    llama_folder: Path,
    copied: Callable[[Path], Path],
    store: Store,
    counts: Counts,
) -> None:
    folder = copied(reading.source.location)
    planned = replace(reading, source=resolve_model(str(folder)), written=str(folder))
    assert found_here(planned).location == folder
    shutil.rmtree(folder)
    shutil.copytree(llama_folder, folder)
    with pytest.raises(DigestMismatchError, match="is another model than when the study was planned"):
        read(planned, store, no_progress, True)
    assert (counts.loads, counts.batches) == ([], [])
    assert store.keys("neighbors") == []


# ----------------------------------------------------------------------------------- interrupted


FILES = ("arrays.safetensors", "manifest.json", "journal.jsonl")


@pytest.mark.parametrize(("harm", "name"), [(None, FILES[0]), *itertools.product(HARMS, FILES)])
def test_an_interrupted_reading_goes_on_also_where_a_file_of_it_is_damaged(
    harm: str | None,
    name: str,
    interrupted: Path,
    reading: Reading,
    store: Store,
    shelf: ModelShelf,
    counts: Counts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
    shutil.copytree(interrupted, store.root)
    both = replace(reading, options=(PLAIN, MEAN))
    folder = store.root / "unfinished" / f"activations-{reading.activations_key(MEAN)}"
    n_before = store.unfinished_progress("activations", reading.activations_key(MEAN)).n_done
    assert 0 < n_before < 31
    told: list[int] = []

    def watch(label: str, done: int, total: int, unit: str) -> None:
        if unit == "texts":
            told.append(done)

    if harm is None:
        read(both, store, watch, True, shelf=shelf)
        assert told[0] == n_before
    else:
        if (harm, name) == ("flipped", "arrays.safetensors"):
            damage_first_row(folder / name)
        else:
            HARMS[harm](folder / name)
        with pytest.warns(DamagedArtifactWarning, match="again") as caught:
            read(both, store, watch, True, shelf=shelf)
        assert [str(folder / name) in str(one.message) for one in caught] == [True]
        assert told[0] < n_before
    assert told[-1] == 31
    fresh = Store(store.root / "fresh")
    read(both, fresh, no_progress, True, shelf=shelf)
    for options in (PLAIN, MEAN):
        np.testing.assert_array_equal(ids_of(both, store, options), ids_of(both, fresh, options))
    assert not list(store.root.glob("unfinished/*"))


def damage_first_row(path: Path) -> None:
    """Change a byte of a row that the journal names."""
    journal = json.loads((path.parent / "journal.jsonl").read_text().split("\n")[0])
    n_layers, n_texts, n_units = json.loads((path.parent / "manifest.json").read_text())["shape"]
    data = bytearray(path.read_bytes())
    start = len(data) - 4 * n_layers * n_texts * n_units
    data[start + 4 * n_units * journal["rows"][0]] ^= 0x01
    path.write_bytes(data)


def test_one_of_two_poolings_is_taken_up_where_the_study_wants_only_that(
    interrupted: Path,
    reading: Reading,
    store: Store,
    shelf: ModelShelf,
    counts: Counts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
    shutil.copytree(interrupted, store.root)
    read(reading, store, no_progress, True, shelf=shelf)
    assert reading.missing(store) == ()
    (left,) = store.root.glob("unfinished/*")
    assert left.name == f"activations-{reading.activations_key(MEAN)}"


def test_activations_that_were_read_whole_need_no_model_after_an_interruption(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    def stop(label: str, done: int, total: int, unit: str) -> None:
        if label.startswith("finding neighbors"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(reading, store, stop, True, shelf=shelf)
    assert store.keys("neighbors") == []
    with counting() as counted:
        read(reading, store, no_progress, True)  # with an empty shelf
        assert (counted.loads, counted.batches) == ([], [])
    assert reading.missing(store) == ()


# ------------------------------------------------------------------------------------- two steps


def test_one_process_reads_and_another_finds_the_neighbors_without_the_model(
    reading: Reading, store: Store, shelf: ModelShelf, tmp_path: Path
) -> None:
    both = replace(reading, options=(PLAIN, ExtractionOptions(capture="final_norm"), MEAN))
    assert read(both, store, no_progress, True, shelf=shelf, steps=("activations",))
    assert store.keys("neighbors") == store.keys("activations") == []
    assert len(both.missing(store)) == 3
    with counting() as counted:
        assert read(both, store, no_progress, True, shelf=shelf, steps=("activations",))
        assert read(both, Store(store.root), no_progress, True, steps=("neighbors",))
        assert (counted.loads, counted.batches) == ([], [])
    assert both.missing(store) == ()
    assert not list(store.root.glob("unfinished/*"))
    at_once = Store(tmp_path / "at once")
    read(both, at_once, no_progress, True, shelf=shelf)
    for options in both.options:
        np.testing.assert_array_equal(ids_of(both, store, options), ids_of(both, at_once, options))


def test_neighbors_of_what_is_not_in_the_store_are_refused_and_no_model_is_loaded(
    reading: Reading, store: Store, counts: Counts
) -> None:
    assert not read(
        reading, store, no_progress, False, steps=("neighbors",)
    )  # so that it is tried again
    told = "activations of tiny-gpt2 on red.txt, which another process read, are not in the store"
    with pytest.raises(ActivationsGoneError, match=told) as caught:
        read(reading, store, no_progress, True, steps=("neighbors",))
    assert "all machines must see the same store" in caught.value.hint
    assert not caught.value.is_systemic  # others may fare better
    assert counts.loads == []


@pytest.mark.parametrize("harm", ["another run", "a damaged byte"])
def test_what_went_between_the_steps_is_read_again(
    harm: str, reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    def step(name: str) -> bool:
        return read(reading, store, no_progress, False, shelf=shelf, steps=(name,))

    assert step("activations")
    (unfinished,) = store.root.glob("unfinished/activations-*")
    if harm == "another run":  # which wants other neighbors of the same activations
        read(replace(reading, preprocessing="center"), store, no_progress, True)
        assert not unfinished.exists()
        assert not step("neighbors")
    else:
        path = unfinished / "arrays.safetensors"
        data = bytearray(path.read_bytes())
        data[-5] ^= 8
        path.write_bytes(data)
        with pytest.warns(DamagedArtifactWarning, match="What is not whole is computed again"):
            assert not step("neighbors")
        with pytest.warns(DamagedArtifactWarning, match="What is not whole is computed again"):
            assert step("activations")
    assert step("activations")
    assert step("neighbors")
    assert reading.missing(store) == ()


def test_where_a_capture_cannot_be_read_the_first_step_does_what_can_be_done(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    odd = replace(reading, options=(PLAIN, ExtractionOptions(max_tokens=10**6, chat=True)))
    with pytest.raises(IsodepthError, match="chat"):
        read(odd, store, no_progress, True, shelf=shelf, steps=("activations",))
    assert reading.missing(store) == ()


# ------------------------------------------------------------------------------- kept activations


def test_kept_activations_give_more_neighbors_without_the_model(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    keeps = replace(reading, keep_activations=True)
    read(keeps, store, no_progress, True, shelf=shelf)
    more = replace(keeps, least_k=19)
    assert more.missing(store) == (PLAIN,)
    with counting() as counted:
        read(more, store, no_progress, True)
        assert counted.loads == []
    assert ids_of(more, store).shape == (3, 31, 19)
    np.testing.assert_array_equal(ids_of(more, store)[:, :, :7], ids_of(keeps, store))


def test_activations_that_are_gone_are_missing_only_where_they_are_to_be_kept(
    reading: Reading, store: Store, shelf: ModelShelf
) -> None:
    keeps = replace(reading, keep_activations=True)
    read(keeps, store, no_progress, True, shelf=shelf)
    store.remove("activations", reading.activations_key(PLAIN))
    assert reading.seems_done(StoredNames.of(store))
    assert reading.missing(store) == ()
    assert not keeps.seems_done(StoredNames.of(store))
    assert keeps.missing(store) == (PLAIN,)
