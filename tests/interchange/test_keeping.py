"""Imported readings in the store: what is there already, what grows, what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth import TextSet
from isodepth.activations import ExtractionOptions
from isodepth.errors import ParameterError, StoreError
from isodepth.interchange import (
    STANDINGS,
    ForeignReading,
    imported_readings,
    imported_texts,
    keep_reading,
)
from isodepth.neighbors import Neighbors
from isodepth.store import DamagedArtifactWarning, Store
from published_form import neighbor_lists

N_TEXTS, N_LAYERS, K = 13, 3, 7
TEXTS = TextSet.of([f"text {number}" for number in range(N_TEXTS)], name="mine")


def reading(
    *, k: int = K, seed: int = 5, model: str = "owner/model", texts: TextSet = TEXTS, **changes: Any
) -> ForeignReading:
    ids = neighbor_lists(len(texts), N_LAYERS, k=k, seed=seed).transpose(1, 0, 2).astype(np.int32)
    neighbors = Neighbors(
        ids=ids,
        similarities=np.full(ids.shape, np.nan, np.float32),
        model=model,
        texts_digest=texts.digest,
        provenance={"file": f"seed-{seed}.parquet", "n_truncated": 2},
    )
    given = {"texts": texts.name, "options": ExtractionOptions(), "contents": texts.texts}
    return ForeignReading(neighbors=neighbors, **{**given, **changes})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_what_is_kept_is_what_was_read(store: Store) -> None:
    new = reading(model_repository="owner/model", model_digest="hub:owner/model@1")
    arrival = keep_reading(new, store)
    assert arrival.standing == "new"
    (found,) = imported_readings(store)
    assert found == arrival.reading
    assert (found.model, found.model_repository, found.model_digest, found.texts) == (
        "owner/model",
        "owner/model",
        "hub:owner/model@1",
        "mine",
    )
    assert (found.n_layers, found.n_texts, found.k, found.metric) == (N_LAYERS, N_TEXTS, K, "cosine")
    assert found.options == ExtractionOptions()
    kept = found.neighbors(store)
    np.testing.assert_array_equal(kept.ids, new.neighbors.ids)
    assert kept.ids.dtype == np.int32
    assert np.isnan(kept.similarities).all()
    assert kept.similarities.shape == kept.ids.shape
    assert (kept.model, kept.texts_digest) == ("owner/model", TEXTS.digest)
    assert kept.provenance == {"file": "seed-5.parquet", "n_truncated": 2}
    assert found.label == "owner/model on mine"


def test_similarities_are_kept_where_they_are_known(store: Store) -> None:
    new = reading()
    known = np.linspace(1, 0, new.neighbors.ids.size, dtype=np.float32).reshape(new.neighbors.ids.shape)
    keep_reading(replace(new, neighbors=replace(new.neighbors, similarities=known)), store)
    np.testing.assert_array_equal(imported_readings(store)[0].neighbors(store).similarities, known)


def test_the_texts_come_back_by_their_digest(store: Store) -> None:
    odd = TextSet.of(["naïve\n", " 猫\t", '"quoted, twice"', "a" * 5_000], name="odd")
    keep_reading(reading(texts=odd, k=3), store)
    found = imported_texts(store, odd.digest)
    assert found is not None
    assert (found.texts, found.digest, found.name) == (odd.texts, odd.digest, "odd")
    assert imported_texts(store, TEXTS.digest) is None


def test_the_same_again_changes_nothing(store: Store) -> None:
    first = keep_reading(reading(), store).reading
    again = keep_reading(reading(), store)
    assert (again.standing, again.reading) == ("known", first)
    assert len(imported_readings(store)) == 1


def test_fewer_of_the_same_neighbors_are_known_and_more_take_their_place(store: Store) -> None:
    keep_reading(reading(k=5), store)
    assert keep_reading(reading(k=2), store).standing == "known"
    more = keep_reading(reading(k=11), store)
    assert more.standing == "extended"
    (found,) = imported_readings(store)
    assert (found.key, found.k) == (more.reading.key, 11)


def test_other_neighbors_are_refused_unless_they_are_to_replace(store: Store) -> None:
    keep_reading(reading(seed=5), store)
    with pytest.raises(ParameterError) as caught:
        keep_reading(reading(seed=7, k=4), store)
    assert caught.value.message == (
        "other neighbors of owner/model on mine (capture block, pooling last, cosine) are in the store "
        "already: (layers, texts, k) = (3, 13, 7) from seed-5.parquet, here (3, 13, 4) from "
        "seed-7.parquet"
    )
    assert caught.value.hint == ("--replace puts these in their place; --model NAME keeps both.")
    assert imported_readings(store)[0].provenance["file"] == "seed-5.parquet"
    assert keep_reading(reading(seed=7, k=4), store, replaces=True).standing == "replaced"
    (found,) = imported_readings(store)
    assert (found.provenance["file"], found.k) == ("seed-7.parquet", 4)


def test_a_replaced_content_has_another_key_so_that_no_result_stands_for_it(store: Store) -> None:
    first = keep_reading(reading(seed=5), store).reading
    other = keep_reading(reading(seed=7), store, replaces=True).reading
    assert first.key != other.key


@pytest.mark.parametrize(
    "change",
    [
        {"model": "owner/other"},
        {"options": ExtractionOptions(chat=True)},
        {"options": ExtractionOptions(capture="final_norm")},
        {"options": ExtractionOptions(pooling="mean")},
        {"texts": TextSet.of([f"other {row}" for row in range(N_TEXTS)], name="mine")},
    ],
    ids=str,
)
def test_another_model_text_set_or_option_is_another_reading(
    store: Store, change: dict[str, Any]
) -> None:
    keep_reading(reading(seed=5), store)
    changed = reading(seed=7, **change)
    assert keep_reading(replace(changed, contents=None), store).standing == "new"
    assert len(imported_readings(store)) == 2


def test_readings_are_found_by_name_hub_id_and_digest(store: Store) -> None:
    keep_reading(reading(model="gemma-2b", model_repository="google/gemma-2b"), store)
    keep_reading(reading(model="b", options=ExtractionOptions(chat=True)), store)
    assert [one.model for one in imported_readings(store)] == ["b", "gemma-2b"]
    for model in ("gemma-2b", "google/gemma-2b"):
        assert [one.model for one in imported_readings(store, model=model)] == ["gemma-2b"]
    for texts in ("mine", TEXTS.digest):
        assert len(imported_readings(store, texts=texts)) == 2
    assert imported_readings(store, model="b", texts="other") == ()
    assert imported_readings(store, model="b")[0].label == "b on mine as chat"


def test_a_damaged_reading_is_named_and_imported_again(store: Store) -> None:
    kept = keep_reading(reading(), store).reading
    path = store.folder("imported", kept.key) / "arrays.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.warns(DamagedArtifactWarning, match="arrays.safetensors has sha256"):
        assert keep_reading(reading(), store).standing == "new"
    np.testing.assert_array_equal(kept.neighbors(store).ids, reading().neighbors.ids)


def test_a_reading_with_a_damaged_manifest_is_named_set_aside_and_imported_again(store: Store) -> None:
    keep_reading(reading(model="owner/other"), store)
    kept = keep_reading(reading(), store).reading
    path = store.folder("imported", kept.key) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"owner/model", b"owner/mudel"))
    with pytest.warns(DamagedArtifactWarning, match=kept.key):
        assert [one.model for one in imported_readings(store)] == ["owner/other"]
    assert [one.model for one in imported_readings(store)] == ["owner/other"]  # told of once
    arrival = keep_reading(reading(), store)
    assert arrival.standing == "new"
    assert arrival.reading in imported_readings(store)
    np.testing.assert_array_equal(kept.neighbors(store).ids, reading().neighbors.ids)


def test_an_import_over_a_damaged_manifest_stores_it_anew(store: Store) -> None:
    kept = keep_reading(reading(), store).reading
    path = store.folder("imported", kept.key) / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"owner/model", b"owner/mudel"))
    with pytest.warns(DamagedArtifactWarning, match=kept.key):
        keep_reading(reading(), store)
    assert imported_readings(store) == (kept,)


def test_damaged_texts_are_named_and_written_again(store: Store) -> None:
    keep_reading(reading(), store)
    path = store.folder("imported-texts", TEXTS.digest) / "texts.json"
    path.write_bytes(path.read_bytes().replace(b"text 3", b"text 4"))
    with pytest.warns(DamagedArtifactWarning, match="texts.json has sha256"):
        assert keep_reading(reading(), store).standing == "known"
    found = imported_texts(store, TEXTS.digest)
    assert found is not None
    assert found.texts == TEXTS.texts


def test_a_reading_that_is_gone_says_where_it_came_from(store: Store) -> None:
    kept = keep_reading(reading(), store).reading
    store.remove("imported", kept.key)
    with pytest.raises(StoreError) as caught:
        kept.neighbors(store)
    assert caught.value.message == (
        f"the imported neighbors of owner/model on mine are not in {store.root}, or were damaged"
    )
    assert caught.value.hint == "import them again from the file that they came from, seed-5.parquet."


@pytest.mark.parametrize("name", ["", "  ", " a", "a\t", "a\nb", "x" * 301, "\x1b[2J"])
def test_a_name_that_cannot_be_shown_is_refused(store: Store, name: str) -> None:
    for change in ({"model": name}, {"texts_name": name}):
        new = reading(**({"model": name} if "model" in change else {}))
        new = new if "model" in change else replace(new, texts=name)
        with pytest.raises(ParameterError, match="must have a name of 1 to 300 printable characters"):
            keep_reading(new, store)
    assert imported_readings(store) == ()


def test_every_standing_is_said_in_words() -> None:
    assert set(STANDINGS) == {"new", "known", "extended", "replaced"}
