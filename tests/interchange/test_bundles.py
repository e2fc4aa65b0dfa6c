"""Neighbor bundles: ids that come back bit for bit, and nothing that was not to be shared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import tiny_models
from isodepth import TextSet, compare
from isodepth.activations import ExtractionOptions
from isodepth.errors import ParameterError, StoreError, UnknownNameError
from isodepth.interchange import (
    ForeignReading,
    imported_readings,
    imported_texts,
    keep_reading,
    read_bundle,
    write_bundles,
)
from isodepth.interchange.sharing import shared_model_name, shared_provenance, shared_texts_name
from isodepth.neighbors import Neighbors
from isodepth.stages import STAGE_VERSIONS
from isodepth.store import DamagedArtifactWarning, Store
from published_form import neighbor_lists

N_TEXTS, N_LAYERS, K = 17, 3, 7
PRIVATE = "/home/someone/secret place"
PROVENANCE = {
    "source": "folder",
    "architecture": "LlamaModel",
    "device": "cuda:1 of some-host",
    "folder": PRIVATE,
    "encoding": {"n_truncated": 2, "most_frequent_last_token": "secret"},
    "contract": {"batching": "padded", "outliers": {"token": "secret"}},
}


def lists(seed: int = 5, *, k: int = K, n_texts: int = N_TEXTS) -> np.ndarray:
    return np.ascontiguousarray(
        neighbor_lists(n_texts, N_LAYERS, k=k, seed=seed).transpose(1, 0, 2), dtype=np.int32
    )


def stored(store: Store, ids: np.ndarray, *, key: str = "a" * 32, **changes: Any) -> None:
    """Put neighbors into a store as the pipeline does."""
    manifest = {
        "model": "tiny",
        "model_digest": "folder:1234",
        "texts": "reviews.csv",
        "texts_digest": "d" * 64,
        "options": ExtractionOptions().as_dict(),
        "metric": "cosine",
        "k": ids.shape[2],
        "versions": dict(STAGE_VERSIONS),
        "provenance": PROVENANCE,
        **changes,
    }
    similarities = np.zeros(ids.shape, np.float32)
    arrays = {"ids": ids, "similarities": similarities}
    store.write("neighbors", f"{key}-k{ids.shape[2]}", arrays=arrays, manifest=manifest)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_ids_come_back_bit_for_bit(store: Store, tmp_path: Path) -> None:
    ids = lists()
    stored(store, ids, options=ExtractionOptions(pooling="mean", chat=True).as_dict())
    (path,) = write_bundles(store, tmp_path / "out", k=5).paths
    other = Store(tmp_path / "other")
    arrival = keep_reading(read_bundle(path), other)
    assert (arrival.standing, arrival.reading.k) == ("new", 5)
    (reading,) = imported_readings(other)
    found = reading.neighbors(other)
    assert found.ids.dtype == np.int32
    np.testing.assert_array_equal(found.ids, ids[:, :, :5])
    assert (reading.model, reading.model_digest, reading.texts) == (
        "tiny",
        "folder:1234",
        "reviews.csv",
    )
    assert reading.texts_digest == "d" * 64
    assert reading.options == ExtractionOptions(pooling="mean", chat=True)
    assert imported_texts(other, reading.texts_digest) is None


def test_readings_that_describe_themselves_alike_share_no_file(store: Store, tmp_path: Path) -> None:
    stored(store, lists(seed=5), key="a" * 32)
    stored(store, lists(seed=7), key="b" * 32)
    paths = write_bundles(store, tmp_path / "out", k=5).paths
    assert len(set(paths)) == 2
    first, second = (read_bundle(path).neighbors.ids for path in paths)
    assert (first != second).any()


def test_a_bundle_of_an_imported_bundle_is_the_same_bytes(store: Store, tmp_path: Path) -> None:
    stored(store, lists())
    (path,) = write_bundles(store, tmp_path / "one").paths
    other = Store(tmp_path / "other")
    keep_reading(read_bundle(path), other)
    (again,) = write_bundles(other, tmp_path / "two").paths
    assert again.name == path.name
    assert again.read_bytes() == path.read_bytes()


def test_what_a_real_comparison_stored_is_bundled(
    llama_folder: Path, gemma_folder: Path, store: Store, tmp_path: Path
) -> None:
    texts = TextSet.of(tiny_models.texts_of([3 + n % 5 for n in range(19)]), name="tiny")
    found = compare(llama_folder, gemma_folder, texts, k=7, store=store)
    written = write_bundles(store, tmp_path / "out", k=7)
    readings = {path.name.split("-tiny-")[0]: read_bundle(path) for path in written.paths}
    for side in (found.left, found.right):
        reading = readings[side.model]
        np.testing.assert_array_equal(reading.neighbors.ids, side.ids[:, :, :7])
        assert reading.neighbors.texts_digest == texts.digest
        assert reading.options == found.left_options
    everything = b"".join(path.read_bytes() for path in written.paths)
    for text in texts.texts:
        assert text.encode() not in everything
    assert str(llama_folder).encode() not in everything
    assert "encoding.most_frequent_last_token" in written.left_out
    assert "contract.outliers" in written.left_out


def test_only_what_is_safe_to_share_is_in_the_file(store: Store, tmp_path: Path) -> None:
    stored(store, lists(), texts=f"caesar({PRIVATE}/reviews.csv)", model=f"{PRIVATE}/tiny")
    written = write_bundles(store, tmp_path / "out")
    (path,) = written.paths
    data = path.read_bytes()
    for hidden in (b"secret", b"someone", b"some-host", b"cuda"):
        assert hidden not in data
    said = json.loads(safetensors.safe_open(path, "numpy").metadata()["isodepth"])
    assert said == {
        "format": "isodepth neighbors",
        "version": 1,
        "model": "tiny",
        "model_repository": None,
        "model_digest": "folder:1234",
        "texts": "caesar(reviews.csv)",
        "texts_digest": "d" * 64,
        "options": ExtractionOptions().as_dict(),
        "metric": "cosine",
        "k": K,
        "n_texts": N_TEXTS,
        "n_layers": N_LAYERS,
        "versions": dict(STAGE_VERSIONS),
        "provenance": {
            "source": "folder",
            "architecture": "LlamaModel",
            "encoding": {"n_truncated": 2},
            "contract": {"batching": "padded"},
        },
    }
    assert written.left_out == (
        "device",
        "folder",
        "encoding.most_frequent_last_token",
        "contract.outliers",
    )
    assert safetensors.numpy.load_file(path)["ids"].dtype == np.uint16
    assert path.name.startswith("tiny-caesar-reviews-csv-")


def test_ids_take_two_bytes_up_to_65536_texts_and_four_above(store: Store, tmp_path: Path) -> None:
    for n_texts, expected in ((2**16, np.uint16), (2**16 + 1, np.uint32)):
        rows = np.arange(n_texts, dtype=np.int32)
        ids = ((rows + n_texts - 1) % n_texts).reshape(1, n_texts, 1)
        stored(store, ids, key=f"{n_texts:032d}", texts=f"set {n_texts}")
        (path,) = write_bundles(store, tmp_path / "out", texts=f"set {n_texts}").paths
        assert safetensors.numpy.load_file(path)["ids"].dtype == expected
        np.testing.assert_array_equal(read_bundle(path).neighbors.ids, ids)


def test_of_several_numbers_of_neighbors_the_fewest_that_are_enough_are_taken(
    store: Store, tmp_path: Path
) -> None:
    ids = lists(k=11)
    for k in (3, 7, 11):
        stored(store, ids[:, :, :k])
    for k, held in ((2, 2), (3, 3), (5, 5), (11, 11)):
        written = write_bundles(store, tmp_path / str(k), k=k)
        (path,) = written.paths
        np.testing.assert_array_equal(read_bundle(path).neighbors.ids, ids[:, :, :held])
        assert written.notes == ()
    written = write_bundles(store, tmp_path / "20", k=20)
    assert written.notes == ("tiny on reviews.csv has 11 neighbors, fewer than 20.",)
    assert read_bundle(written.paths[0]).neighbors.k == 11


def test_what_older_code_computed_is_left_out(store: Store, tmp_path: Path) -> None:
    now = {stage: STAGE_VERSIONS[stage] for stage in ("activations", "neighbors")}
    stored(store, lists(1), key="a" * 32, versions=now)
    stored(store, lists(2), key="b" * 32, versions={**now, "activations": now["activations"] - 1})
    stored(store, lists(3), key="c" * 32, versions={**now, "neighbors": now["neighbors"] - 1})
    written = write_bundles(store, tmp_path / "out", k=K)
    (path,) = written.paths
    np.testing.assert_array_equal(read_bundle(path).neighbors.ids, lists(1))
    assert written.notes == ("left out: 2 readings by older versions of isodepth.",)
    store.remove("neighbors", f"{'a' * 32}-k{K}")
    with pytest.raises(UnknownNameError) as caught:
        write_bundles(store, tmp_path / "out", k=K)
    assert caught.value.message == (
        f"{store.root} holds no neighbors; left out: 2 readings by older versions of isodepth"
    )
    assert caught.value.hint == "'isodepth compare' and 'run' compute them."


def test_the_versions_of_the_code_travel_with_what_it_computed(store: Store, tmp_path: Path) -> None:
    versions = {**STAGE_VERSIONS, "neighbors": STAGE_VERSIONS["neighbors"] + 1}
    stored(store, lists(), versions=versions)
    (path,) = write_bundles(store, tmp_path / "out").paths
    assert (
        json.loads(safetensors.safe_open(path, "numpy").metadata()["isodepth"])["versions"] == versions
    )
    other = Store(tmp_path / "other")
    reading = keep_reading(read_bundle(path), other).reading
    assert reading.provenance["versions"] == versions
    (again,) = write_bundles(other, tmp_path / "again").paths
    assert again.read_bytes() == path.read_bytes()
    old = bundle(tmp_path / "old.safetensors", lists().astype(np.uint16))
    assert "versions" not in read_bundle(old).neighbors.provenance


def test_damaged_neighbors_are_named_and_left_out(store: Store, tmp_path: Path) -> None:
    stored(store, lists(1), key="1" * 32)
    stored(store, lists(2), key="2" * 32)
    path = store.folder("neighbors", f"{'2' * 32}-k{K}") / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"tiny", b"tony"))
    with pytest.warns(DamagedArtifactWarning, match="2" * 32):
        written = write_bundles(store, tmp_path / "out")
    assert len(written.paths) == 1


def test_bundles_of_one_name_stand_side_by_side_under_names_of_their_own(
    store: Store, tmp_path: Path
) -> None:
    """Two revisions of a hub model, say, which both go by its hub id."""
    paths = []
    for seed, commit in ((1, "aa"), (2, "bb")):
        one = Store(tmp_path / commit)
        stored(one, lists(seed), model="owner/m", model_digest=f"hub:owner/m@{commit}")
        paths += write_bundles(one, tmp_path / "out").paths
    keep_reading(read_bundle(paths[0]), store)
    with pytest.raises(ParameterError) as caught:
        keep_reading(read_bundle(paths[1]), store)
    assert "--model NAME keeps both" in (caught.value.hint or "")
    keep_reading(read_bundle(paths[1], model="owner/m at bb", texts="mine"), store)
    found = {one.model: one for one in imported_readings(store)}
    assert {name: one.model_digest for name, one in found.items()} == {
        "owner/m": "hub:owner/m@aa",
        "owner/m at bb": "hub:owner/m@bb",
    }
    assert {one.model_repository for one in found.values()} == {"owner/m"}
    assert found["owner/m at bb"].texts == "mine"
    assert read_bundle(paths[0], model="google/gemma-2b").neighbors.model == "gemma-2b"


def test_readings_are_chosen_by_model_and_texts(store: Store, tmp_path: Path) -> None:
    stored(store, lists(1), key="1" * 32, model="gemma-2b", model_digest="hub:google/gemma-2b@c0")
    stored(store, lists(2), key="2" * 32, texts="other")
    out = tmp_path / "out"
    assert len(write_bundles(store, out).paths) == 2
    assert len(list(out.iterdir())) == 2
    for model in ("gemma-2b", "google/gemma-2b"):
        (path,) = write_bundles(store, tmp_path / "one", model=model).paths
        assert read_bundle(path).neighbors.model == "gemma-2b"
        assert read_bundle(path).model_repository == "google/gemma-2b"
    with pytest.raises(UnknownNameError) as caught:
        write_bundles(store, out, model="gemma", texts="other")
    assert caught.value.message == f"{store.root} holds no neighbors of model gemma and texts other"
    assert caught.value.hint == "it holds gemma-2b on reviews.csv, tiny on other."
    with pytest.raises(UnknownNameError, match="holds no neighbors"):
        write_bundles(Store(tmp_path / "empty"), out)
    with pytest.raises(ParameterError, match="k must be at least 1 neighbor; got 0"):
        write_bundles(store, out, k=0)


def test_imported_readings_are_bundled_too(store: Store, tmp_path: Path) -> None:
    ids = lists()
    neighbors = Neighbors(
        ids=ids,
        similarities=np.full(ids.shape, np.nan, np.float32),
        model="owner/model",
        texts_digest="e" * 64,
        provenance={"source": "published neighbors", "file": "private.parquet", "n_truncated": 3},
    )
    new = ForeignReading(
        neighbors=neighbors, texts="web-text", options=ExtractionOptions(capture="final_norm")
    )
    keep_reading(new, store)
    written = write_bundles(store, tmp_path / "out")
    reading = read_bundle(written.paths[0])
    assert reading.neighbors.provenance["bundle"] == {"source": "published neighbors", "n_truncated": 3}
    assert reading.options.capture == "final_norm"
    assert written.left_out == ("file",)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("google/gemma-2b", "google/gemma-2b"),
        ("google/gemma-2b + owner/lora (bfloat16)", "google/gemma-2b + owner/lora (bfloat16)"),
        ("gemma-3-270m (4bit)", "gemma-3-270m (4bit)"),
        ("/data/my models/tiny + ~/lora", "tiny + lora"),
        ("../a/b/tiny", "tiny"),
    ],
)
def test_a_models_name_keeps_hub_ids_and_loses_paths(name: str, expected: str) -> None:
    assert shared_model_name(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("news", "news"),
        ("hf:owner/set@main/config:test:text", "hf:owner/set@main/config:test:text"),
        ("hf:./data/set:train", "hf:set:train"),
        ("caesar(hf:owner/set, seed=7)", "caesar(hf:owner/set, seed=7)"),
        ("caesar(data/reviews.csv)", "caesar(reviews.csv)"),
        ("caesar('/a b/c/reviews, new.csv')", "caesar('reviews, new.csv')"),
    ],
)
def test_a_text_sets_name_keeps_hub_sets_and_loses_paths(name: str, expected: str) -> None:
    assert shared_texts_name(name) == expected


def test_nothing_of_an_unknown_provenance_is_shared() -> None:
    assert shared_provenance({"host": "x", "user": {"name": "y"}}) == ({}, ("host", "user"))


# what is wrong


def bundle(path: Path, ids: np.ndarray, *, drop: str | None = None, **changes: Any) -> Path:
    said = {
        "format": "isodepth neighbors",
        "version": 1,
        "model": "tiny",
        "model_repository": None,
        "model_digest": None,
        "texts": "mine",
        "texts_digest": "d" * 64,
        "options": ExtractionOptions().as_dict(),
        "metric": "cosine",
        "k": ids.shape[2],
        "n_texts": ids.shape[1],
        "n_layers": ids.shape[0],
        "provenance": {},
        **changes,
    }
    said = {name: value for name, value in said.items() if name != drop}
    safetensors.numpy.save_file({"ids": ids}, path, metadata={"isodepth": json.dumps(said)})
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "is no neighbor bundle: its format is 'other'"),
        ({"drop": "model"}, "is no neighbor bundle: 'model' is missing"),
        (
            {"k": "7", "n_texts": None},
            "is no neighbor bundle: n_texts, k of another type than expected",
        ),
        ({"options": {"capture": "block", "other": 1}}, "is no neighbor bundle: "),
        ({"options": {"capture": "soul"}}, "capture must be one of "),
        ({"versions": {"neighbors": "1"}}, "versions of another type than expected"),
        ({"version": 2}, "has version 2 of the bundle format; this isodepth reads up to 1"),
        ({"n_layers": 5}, ": (layers, texts, k) = (5, 17, 7) by its metadata; the ids have (3, 17, 7)"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = bundle(tmp_path / "a.safetensors", lists().astype(np.uint16), **changes)
    with pytest.raises(ParameterError) as caught:
        read_bundle(path)
    assert message in caught.value.message


def test_ids_that_are_no_neighbors_are_refused(tmp_path: Path) -> None:
    for change, message in (
        ((0, 4, 0, 4), "a text may not be its own neighbor; row 4 holds itself"),
        ((2, 4, 1, 99), "ids must lie in 0 to 16 for 17 texts; found 0 to 99"),
    ):
        ids = lists().astype(np.uint16)
        layer, row, place, value = change
        ids[layer, row, place] = value
        path = bundle(tmp_path / "a.safetensors", ids)
        with pytest.raises(ParameterError, match=message):
            read_bundle(path)
    path = bundle(tmp_path / "a.safetensors", lists())
    with pytest.raises(
        ParameterError, match="expected one array 'ids' of uint16 or uint32; .* of int32"
    ):
        read_bundle(path)


def test_other_files_are_no_bundles(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file({"ids": np.zeros((2, 3, 1), np.uint16)}, path)
    with pytest.raises(ParameterError) as caught:
        read_bundle(path)
    assert caught.value.message == f"{path} is no neighbor bundle: 'isodepth' is missing"
    path.write_bytes(b"x" * 40)
    with pytest.raises(ParameterError, match="not readable as safetensors"):
        read_bundle(path)
    with pytest.raises(UnknownNameError, match="there is no file"):
        read_bundle(tmp_path / "none.safetensors")


class ElsewhereStore(Store):
    """A store that goes by an address, as remote ones do, whatever folder mirrors it."""

    @property
    def place(self) -> str:
        return "s3://bucket/prefix"


def test_a_store_is_called_by_its_address(tmp_path: Path) -> None:
    store = ElsewhereStore(tmp_path)
    with pytest.raises(UnknownNameError, match="^s3://bucket/prefix holds no neighbors"):
        write_bundles(store, tmp_path / "out")
    path = bundle(tmp_path / "a.safetensors", lists().astype(np.uint16))
    reading = keep_reading(read_bundle(path), store).reading
    store.remove("imported", reading.key)
    with pytest.raises(StoreError, match="tiny on mine are not in s3://bucket/prefix, or"):
        reading.neighbors(store)
