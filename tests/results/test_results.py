"""Results as files: what is written is read back, damage is named, no name becomes a path."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import safetensors

import isodepth
from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, StoreError, UnknownNameError
from isodepth.results import (
    MatrixKind,
    StudyResults,
    TextSetResults,
    load_results,
    refuse_other_results,
    write_manifest,
    write_text_set,
)
from isodepth.results.files import MANIFEST

KINDS = (
    MatrixKind("mutual_knn", 3),
    MatrixKind("mutual_knn", 10),
    MatrixKind("mutual_knn", 3, "mlp", "-2"),
)
LAYERS = (2, 3, 5)
ODD_NAMES = (
    "../../etc/passwd",
    "/absolute/name",
    "Größe – 研究 x caesar(研究)",
    "a" * 200,
    "UPPER and  spaces",
    "upper and spaces",
    "....",
    "con",
    'quotes "and" \\ backslash',
    "manifest.json",
    "[/red] markup",
    "🙂",
)


def matrices(kind: MatrixKind, *, parallel: bool = False, seed: int = 0) -> AffinityMatrices:
    rng = np.random.default_rng([seed, kind.k, parallel])
    right = (7, 3) if parallel else LAYERS
    values = rng.random((sum(LAYERS), sum(right)))
    return AffinityMatrices(
        values=values if parallel else (values + values.T) / 2,
        left=("a", "b", "c"),
        right=("a", "x") if parallel else ("a", "b", "c"),
        left_layers=LAYERS,
        right_layers=right,
        is_symmetric=not parallel,
        measure=kind.measure,
        k=kind.k,
        n_texts=31,
        texts="news",
        texts_digest="0123",
        right_texts_digest="4567" if parallel else None,
    )


def text_set(name: str, *, parallel: bool = False, kinds: tuple[MatrixKind, ...] = KINDS) -> Any:
    return TextSetResults(
        name=name,
        matrices={kind: matrices(kind, parallel=parallel, seed=len(name)) for kind in kinds},
        description={"readings": [{"label": "ä"}], "matrices": []},
    )


def study_results(*names: str, **manifest: Any) -> StudyResults:
    sets = {name: text_set(name, parallel=name == "pair") for name in names}
    return StudyResults(name="mine", sets=sets, manifest={"name": "mine", "missing": [], **manifest})


@pytest.fixture
def written(tmp_path: Path) -> Path:
    study_results("news", "pair").write(tmp_path / "out")
    return tmp_path / "out"


def assert_equal(one: TextSetResults, other: TextSetResults) -> None:
    assert one.name == other.name
    assert list(one.matrices) == list(other.matrices)
    assert one.description == other.description
    for kind in one.matrices:
        mine, theirs = one.matrices[kind], other.matrices[kind]
        np.testing.assert_array_equal(mine.values, theirs.values)
        for field in AffinityMatrices.__slots__:
            if field not in ("values", "provenance"):
                assert getattr(mine, field) == getattr(theirs, field), field


def rewritten(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a JSON file by a function of its content."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


# ------------------------------------------------------------------------------------- round trip


def test_what_each_side_read_is_told_as_far_as_it_is_known() -> None:
    bare, named = text_set("news"), {"name": "English", "digest": "0123"}
    assert (bare.sides, bare.texts_read) == (({}, {}), (None, None))
    one = replace(bare, description={"texts": named, "right_texts": None})
    assert (one.sides, one.texts_read) == ((named, {}), ("English", None))
    two = replace(bare, description={"texts": {"digest": "89"}, "right_texts": named})
    assert (two.sides, two.texts_read) == (({"digest": "89"}, named), (None, "English"))


def test_what_is_written_is_read_back(written: Path) -> None:
    results = study_results("news", "pair")
    read = load_results(written)
    assert (read.name, read.set_names, len(read)) == ("mine", ("news", "pair"), 2)
    assert list(read) == ["news", "pair"]
    for name in read:
        assert_equal(read[name], results[name])
        assert all(one.values.dtype == np.float64 for one in read[name].matrices.values())


def written_at(folder: Path) -> dict[str, tuple[int, int]]:
    """Return when each data file of a folder was written."""
    names = [path for path in folder.iterdir() if path.name != MANIFEST]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in names}


def test_files_that_are_there_already_are_not_written_again(written: Path) -> None:
    before = written_at(written)
    assert len(before) == 4
    study_results("news", "pair").write(written)
    assert written_at(written) == before


@pytest.mark.parametrize("suffix", ["safetensors", "parquet"])
@pytest.mark.parametrize("harm", ["flipped", "removed", "listed otherwise"])
def test_both_files_of_a_set_are_written_again_where_one_is_not_as_it_was(
    written: Path, suffix: str, harm: str
) -> None:
    before = written_at(written)
    data = {path.name: path.read_bytes() for path in written.iterdir()}
    (path,) = written.glob(f"news-*.{suffix}")
    if harm == "flipped":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "removed":
        path.unlink()
    else:
        rewritten(written / MANIFEST, lambda found: found["files"][path.name].update(sha256="0" * 64))
    study_results("news", "pair").write(written)
    changed = {name for name, at in written_at(written).items() if before[name] != at}
    assert changed == {name for name in before if name.startswith("news-")}
    assert {path.name: path.read_bytes() for path in written.iterdir()} == data


@pytest.mark.parametrize("what", ["values", "labels", "version"])
def test_files_of_other_content_are_replaced(
    written: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written_at(written)
    news = study_results("news").sets["news"]
    if what == "version":
        monkeypatch.setattr("isodepth.results.files.FORMAT_VERSION", 2)
        monkeypatch.setattr("isodepth.results.loading.FORMAT_VERSION", 2)
    elif what == "labels":
        news = replace(news, description={**news.description, "more": 1})
    else:
        kind, one = next(iter(news.matrices.items()))
        news = replace(news, matrices={**news.matrices, kind: replace(one, values=one.values / 2)})
    both = study_results("news", "pair")
    replace(both, sets={**both.sets, "news": news}).write(written)
    changed = {name for name, at in written_at(written).items() if before[name] != at}
    assert {name for name in before if name.startswith("news-")} <= changed
    assert_equal(load_results(written)["news"], news)


def test_one_file_alone_can_be_read_too(written: Path) -> None:
    expected = study_results("pair")
    (path,) = written.glob("pair-*.safetensors")
    read = load_results(path)
    assert read.set_names == ("pair",)
    assert_equal(read["pair"], expected["pair"])
    shutil.move(path, written.parent / "moved.safetensors")
    assert_equal(load_results(str(written.parent / "moved.safetensors"))["pair"], expected["pair"])


def test_kinds_may_have_different_readers_and_each_keeps_its_own(tmp_path: Path) -> None:
    one, other = MatrixKind("mutual_knn", 3), MatrixKind("mutual_knn", 3, "mlp")
    whole = matrices(one)
    a, b = whole["a", "a"].values, whole["b", "b"].values
    of_a = replace(whole, values=a, left=("a",), right=("a",), left_layers=(2,), right_layers=(2,))
    of_b = replace(whole, values=b, left=("b",), right=("b",), left_layers=(3,), right_layers=(3,))
    results = TextSetResults(name="news", matrices={one: of_a, other: of_b})
    StudyResults(name="mine", sets={"news": results}, manifest={"name": "mine"}).write(tmp_path)
    found = load_results(tmp_path)
    assert found.matrices("news", capture="block").left == ("a",)
    assert found.matrices("news", capture="mlp").left == ("b",)
    np.testing.assert_array_equal(found.matrices("news", capture="mlp").values, b)
    rows = pyarrow.parquet.read_table(next(tmp_path.glob("*.parquet"))).to_pylist()
    assert {(row["capture"], row["left"]) for row in rows} == {("block", "a"), ("mlp", "b")}


def test_files_of_sets_that_are_only_lacking_now_stay(tmp_path: Path) -> None:
    both = study_results("news", "pair")
    both.write(tmp_path)
    (lacking,) = {path.name for path in tmp_path.glob("pair-*.parquet")}
    less = {"news": both.sets["news"]}
    write_manifest(tmp_path, both.manifest, less, spared=["news", "pair"])
    assert (tmp_path / lacking).exists()
    assert load_results(tmp_path).set_names == ("news",)
    both.write(tmp_path)
    write_manifest(tmp_path, both.manifest, less)
    assert not (tmp_path / lacking).exists()


def test_files_that_were_spared_go_once_their_sets_are_gone_from_the_study(tmp_path: Path) -> None:
    both = study_results("news", "pair")
    both.write(tmp_path)
    first = json.loads((tmp_path / MANIFEST).read_text())["files"]
    lacking = {path.name for path in tmp_path.glob("pair-*")}
    assert len(lacking) == 2
    less = {"news": both.sets["news"]}
    for _ in range(2):  # also by a second run that lacks them
        write_manifest(tmp_path, both.manifest, less, spared=["news", "pair"])
        manifest = json.loads((tmp_path / MANIFEST).read_text())
        assert manifest["spared"] == {name: first[name] for name in first if name in lacking}
        assert manifest["files"].keys() == first.keys() - lacking
        assert load_results(tmp_path).set_names == ("news",)
    write_manifest(tmp_path, both.manifest, less, spared=["news"])
    assert not lacking & {path.name for path in tmp_path.iterdir()}
    assert "spared" not in json.loads((tmp_path / MANIFEST).read_text())


def test_what_was_spared_is_no_longer_said_to_be_once_it_is_there_or_elsewhere(tmp_path: Path) -> None:
    both = study_results("news", "pair")
    both.write(tmp_path / "one")
    less = {"news": both.sets["news"]}
    write_manifest(tmp_path / "one", both.manifest, less, spared=["news", "pair"])
    # written anew into another folder, which has no such files
    load_results(tmp_path / "one").write(tmp_path / "two")
    assert "spared" not in json.loads((tmp_path / "two" / MANIFEST).read_text())
    both.write(tmp_path / "one")
    assert "spared" not in json.loads((tmp_path / "one" / MANIFEST).read_text())
    assert load_results(tmp_path / "one").set_names == ("news", "pair")


def test_a_spared_name_that_is_a_path_removes_nothing(written: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.parquet").write_text("mine")
    entry = {"set": "gone", "sha256": "0"}
    rewritten(written / MANIFEST, lambda content: content.update(spared={"../mine.parquet": entry}))
    study_results("news").write(written)
    assert (tmp_path / "mine.parquet").read_text() == "mine"


# ------------------------------------------------------------------------------------ other results


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        ({"format": "isodepth results", "name": "yours"}, "the results of 'yours'"),
        ({"format": "isodepth results"}, "the results of None"),
        (
            {"format": "isodepth results", "name": "mine", "imported": True},
            "the imported results 'mine'",
        ),
        ({"format": "something else", "name": "mine"}, "a manifest.json that is none of results"),
        (["mine"], "a manifest.json that is none of results"),
    ],
)
def test_a_folder_with_other_results_is_refused(tmp_path: Path, content: object, holds: str) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(StoreError) as caught:
        refuse_other_results(tmp_path, "mine")
    assert caught.value.message == f"{tmp_path} holds {holds}, which those of 'mine' would replace"
    assert caught.value.hint == "choose another folder with --out, or remove that one."


def test_a_folder_with_results_of_the_same_name_damaged_ones_or_none_is_not_refused(
    written: Path, tmp_path: Path
) -> None:
    refuse_other_results(written, "mine")
    refuse_other_results(tmp_path / "gone", "mine")
    refuse_other_results(tmp_path, "mine")
    (written / MANIFEST).write_bytes(b'{"format": "isodepth res')
    refuse_other_results(written, "mine")


# -------------------------------------------------------------------------------------- other tools


def test_other_readers_of_safetensors_find_arrays_and_labels(written: Path) -> None:
    (path,) = written.glob("news-*.safetensors")
    with safetensors.safe_open(path, framework="numpy") as file:
        labels = json.loads(file.metadata()["isodepth"])
        assert set(file.keys()) == {
            "mutual_knn/k=3/block/last",
            "mutual_knn/k=10/block/last",
            "mutual_knn/k=3/mlp/-2",
        }
        for kind in KINDS:
            np.testing.assert_array_equal(
                file.get_tensor(kind.array), text_set("news").matrices[kind].values
            )
    for entry, kind in zip(labels["matrices"], KINDS, strict=True):
        assert (entry["kind"], entry["array"]) == (list(kind), kind.array)
        assert entry["left"] == entry["right"] == ["a", "b", "c"]
        assert entry["left_layers"] == list(LAYERS)
    assert labels["name"] == "news"


def test_the_table_holds_every_layer_pair_of_every_kind_once(written: Path) -> None:
    for name, n_rows in (("news", 4 + 6 + 10 + 9 + 15 + 25), ("pair", 10 * 10)):
        (path,) = written.glob(f"{name}-*.parquet")
        table = pyarrow.parquet.read_table(path)
        assert table.column_names == [
            "left",
            "right",
            "left_layer",
            "right_layer",
            "k",
            "measure",
            "metric",
            "preprocessing",
            "similarity",
            "capture",
            "pooling",
        ]
        rows = table.to_pylist()
        assert len(rows) == n_rows * len(KINDS)
        results = study_results("news", "pair")[name]
        seen = set()
        for row in rows:
            kind = MatrixKind(row["measure"], row["k"], row["capture"], row["pooling"])
            one = results.matrices[kind][row["left"], row["right"]]
            assert row["similarity"] == one.values[row["left_layer"] - 1, row["right_layer"] - 1]
            seen.add((*kind, row["left"], row["right"], row["left_layer"], row["right_layer"]))
        assert len(seen) == len(rows)


def test_a_measure_that_tells_left_from_right_keeps_both_directions(tmp_path: Path) -> None:
    kinds = (MatrixKind("ridge_to_right", 0), KINDS[0])
    found = {kind: matrices(kind) for kind in kinds}
    values = np.random.default_rng(5).random((sum(LAYERS), sum(LAYERS)))
    found[kinds[0]] = replace(found[kinds[0]], values=values, metric=None, preprocessing="center")
    results = TextSetResults(name="news", matrices=found)
    StudyResults(name="mine", sets={"news": results}, manifest={"name": "mine"}).write(tmp_path)
    assert_equal(load_results(tmp_path)["news"], results)
    (path,) = tmp_path.glob("*.parquet")
    rows = pyarrow.parquet.read_table(path).to_pylist()
    directed = [row for row in rows if row["measure"] == "ridge_to_right"]
    assert len(directed) == values.size
    for row in directed:
        one = found[kinds[0]][row["left"], row["right"]]
        assert row["similarity"] == one.values[row["left_layer"] - 1, row["right_layer"] - 1]
        assert (row["k"], row["metric"], row["preprocessing"]) == (None, None, "center")
    assert len(rows) - len(directed) == 4 + 6 + 10 + 9 + 15 + 25
    (others,) = {
        (row["k"], row["metric"], row["preprocessing"])
        for row in rows
        if row["measure"] == "mutual_knn"
    }
    assert others == (3, "cosine", "none")


def test_equal_results_are_equal_bytes_and_name_the_sums_of_their_files(
    written: Path, tmp_path: Path
) -> None:
    paths = study_results("news", "pair").write(tmp_path / "again")
    assert paths[-1] == tmp_path / "again" / MANIFEST
    assert sorted(paths) == sorted((tmp_path / "again").iterdir())
    files = json.loads(paths[-1].read_text())["files"]
    for path in paths:
        assert path.read_bytes() == (written / path.name).read_bytes()
        if path.name != MANIFEST:
            assert files[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert files[path.name]["set"] in ("news", "pair")
    assert len(files) == 4


def test_reading_results_needs_no_torch_and_no_store(written: Path) -> None:
    code = (
        "import sys, isodepth; results = isodepth.load_results(sys.argv[1]); "
        "print(results.matrices('news', k=10)['a', 'b'].values.shape); "
        "print(sorted({'torch', 'transformers', 'numba', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, written], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "(2, 3)\n[]\n"


# -------------------------------------------------------------------------------------- choosing


def test_a_matrix_is_chosen_by_what_tells_it_apart(written: Path) -> None:
    read = load_results(written)
    expected = study_results("news", "pair")["news"].matrices
    np.testing.assert_array_equal(read.matrices("news", k=10).values, expected[KINDS[1]].values)
    for choice in ({"capture": "mlp"}, {"pooling": "-2"}, {"pooling": -2}):
        np.testing.assert_array_equal(read.matrices("news", **choice).values, expected[KINDS[2]].values)
    chosen = read.matrices("news", k=3, capture="block", measure="mutual_knn")
    np.testing.assert_array_equal(chosen.values, expected[KINDS[0]].values)


@pytest.mark.parametrize(("pooling", "place"), [("last", -1), ("last", "-1"), ("first", 0)])
def test_a_pooling_may_be_said_by_its_place(pooling: str, place: int | str) -> None:
    kind = MatrixKind("mutual_knn", 3, "block", pooling)
    results = StudyResults(
        name="mine", sets={"news": text_set("news", kinds=(kind, KINDS[2]))}, manifest={}
    )
    assert results.matrices("news", pooling=place) is results["news"].matrices[kind]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({}, "3 matrices of news fit any choice"),
        ({"k": 3}, "2 matrices of news fit k = 3"),
        ({"k": 4, "capture": "mlp"}, "0 matrices of news fit k = 4, capture = mlp"),
    ],
)
def test_a_choice_that_fits_none_or_several_lists_what_there_is(
    choice: dict[str, Any], said: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        study_results("news").matrices("news", **choice)
    assert caught.value.message == (
        f"{said}; there are: mutual_knn, k = 3, capture block, pooling last; mutual_knn, k = 10, "
        "capture block, pooling last; mutual_knn, k = 3, capture mlp, pooling -2"
    )
    assert caught.value.hint == "choose with k=, measure=, capture= and pooling=."


def test_an_unknown_text_set_is_told_with_the_nearest_name() -> None:
    results = study_results("wikipedia", "pair")
    with pytest.raises(UnknownNameError) as caught:
        results.matrices("wikipeda")
    assert caught.value.message == "mine has no results on 'wikipeda'; it has wikipedia, pair"
    assert caught.value.hint == "did you mean wikipedia?"


def test_results_say_what_they_are() -> None:
    missing = [{"what": "x on news", "reason": "gone"}]
    results = study_results("news", "pair", missing=missing)
    assert repr(results) == "StudyResults('mine', sets = news, pair)"
    assert repr(results["news"]).startswith("TextSetResults('news': mutual_knn, k = 3, capture block")
    assert results.missing == tuple(missing)
    assert StudyResults(name="empty", sets={}).missing == ()


def test_models_can_be_left_out_of_every_matrix(written: Path) -> None:
    results = load_results(written)
    fewer = results.without(["b", "x"])
    assert fewer.manifest == {**results.manifest, "left_out": ["b", "x"]}
    for name, sides in {"news": (("a", "c"), ("a", "c")), "pair": (("a", "c"), ("a",))}.items():
        assert list(fewer[name].matrices) == list(KINDS)
        for kind, found in fewer[name].matrices.items():
            assert (found.left, found.right) == sides
            for left in found.left:
                for right in found.right:
                    before = results[name].matrices[kind][left, right]
                    np.testing.assert_array_equal(found[left, right].values, before.values)
    assert results["news"].matrices[KINDS[0]].left == ("a", "b", "c")


def test_leaving_out_twice_leaves_out_both_and_nobody_nothing() -> None:
    results = study_results("news")
    twice = results.without(["b"]).without(["c"])
    assert twice.manifest["left_out"] == ["b", "c"]
    assert twice.matrices("news", k=10).left == ("a",)
    assert results.without([]) is results
    assert results.without(["a", "b", "c"]).matrices("news", k=10).n_pairs == 0


def test_models_to_leave_out_that_are_not_there_are_all_named() -> None:
    results = study_results("news", "pair")
    with pytest.raises(UnknownNameError) as caught:
        results.without(["a", "lama", "y"])
    assert caught.value.message == "mine has no model 'lama' or 'y'"
    assert caught.value.hint is None
    sets = {"news": replace(results["news"], matrices={KINDS[0]: renamed("llama", "gemma", "phi")})}
    with pytest.raises(UnknownNameError) as caught:
        replace(results, sets=sets).without(["lama"])
    assert caught.value.hint == "did you mean llama?"


def renamed(*labels: str) -> AffinityMatrices:
    return replace(matrices(KINDS[0]), left=labels, right=labels)


# --------------------------------------------------------------------------------- damaged, missing


@pytest.mark.parametrize("suffix", [".safetensors", ".parquet"])
def test_a_damaged_or_missing_file_is_named_with_all_the_others(written: Path, suffix: str) -> None:
    (news,) = written.glob(f"news-*{suffix}")
    (pair,) = written.glob(f"pair-*{suffix}")
    data = bytearray(news.read_bytes())
    data[len(data) // 2] ^= 1
    news.write_bytes(data)
    pair.unlink()
    with pytest.raises(StoreError) as caught:
        load_results(written)
    assert caught.value.message.startswith("damaged results: ")
    assert f"{news} has sha256 " in caught.value.message
    assert f"{pair} is missing" in caught.value.message
    assert caught.value.hint == "run the study again: it writes them anew from the store."


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_results(tmp_path)
    assert caught.value.message == f"{tmp_path} holds no results: there is no manifest.json"
    assert "isodepth run" in caught.value.hint


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_results(tmp_path / "gone.safetensors")
    assert "there is no file" in caught.value.message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"format": "something else"}',
        b'{"format": "isodepth results", "version": 1}',
        b'{"format": "isodepth results", "version": 1, "name": "x", "files": ["a"]}',
        b'{"format": "isodepth results", "version": 1, "name": "x", "files": {"a": {}}}',
    ],
)
def test_a_manifest_that_is_none_is_refused(written: Path, content: bytes) -> None:
    (written / MANIFEST).write_bytes(content)
    with pytest.raises(StoreError, match=r"manifest\.json cannot be read as a results manifest"):
        load_results(written)


@pytest.mark.parametrize("version", [2, "2", None])
def test_results_of_a_newer_isodepth_are_refused_as_such(written: Path, version: object) -> None:
    rewritten(written / MANIFEST, lambda content: content.update(version=version))
    with pytest.raises(
        StoreError, match="of the results format; this isodepth reads up to 1"
    ) as caught:
        load_results(written)
    assert caught.value.hint == "update isodepth."


def test_a_newer_manifest_of_another_form_is_refused_as_newer(written: Path) -> None:
    newer = {"format": "isodepth results", "version": 2, "tables": []}
    (written / MANIFEST).write_text(json.dumps(newer))
    with pytest.raises(StoreError, match="reads up to 1"):
        load_results(written)


def test_a_newer_file_of_another_form_is_refused_as_newer(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    metadata = {"isodepth": json.dumps({"format": "isodepth results", "version": 2, "name": "x"})}
    save_file({"x": np.zeros(3)}, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(StoreError, match="reads up to 1"):
        load_results(tmp_path / "x.safetensors")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def with_flipped_header(data: bytes) -> bytes:
    return data[:9] + bytes([data[9] ^ 1]) + data[10:]


@pytest.mark.parametrize(
    "harm",
    [cut, with_flipped_header, lambda _: b"", lambda _: b"nonsense" * 50, lambda data: data[:60]],
    ids=["cut", "flipped header", "empty", "nonsense", "cut header"],
)
def test_one_file_that_is_damaged_is_refused_by_name(
    written: Path, harm: Callable[[bytes], bytes]
) -> None:
    (path,) = written.glob("news-*.safetensors")
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(StoreError) as caught:
        load_results(path)
    assert str(path) in caught.value.message


def test_one_file_of_another_tool_is_refused_by_name(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    for name, metadata in (("plain", None), ("other", {"isodepth": "[]"})):
        path = tmp_path / f"{name}.safetensors"
        save_file({"x": np.zeros(3)}, path, metadata=metadata)
        with pytest.raises(StoreError, match="cannot be read as results"):
            load_results(path)


# ----------------------------------------------------------------------------------------- names


def test_what_killed_runs_left_is_removed_once_it_is_old(written: Path) -> None:
    slug = load_results(written)["news"].slug
    old = [f".{slug}-abc_4x9z.parquet", f".{slug}-00000000.safetensors", ".manifest-8ga2e4wf.json"]
    fresh, foreign = f".{slug}-abc_4x9y.parquet", ".notes-about-it.txt"
    for name in (*old, fresh, foreign):
        (written / name).write_bytes(b"half")
    for name in (*old, foreign):
        os.utime(written / name, (0, 0))
    load_results(written).write(written)
    left = {path.name for path in written.iterdir() if path.name.startswith(".")}
    assert left == {fresh, foreign}


def test_odd_names_of_text_sets_never_become_paths(tmp_path: Path) -> None:
    results = study_results(*ODD_NAMES)
    folder = tmp_path / "inner" / "out"
    paths = results.write(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["out"]
    assert sorted(paths) == sorted(folder.iterdir())
    assert len(paths) == 2 * len(ODD_NAMES) + 1
    for path in paths:
        assert path.name.isascii()
        assert path.name == path.name.lower()  # also apart where case is none
        assert len(path.name) <= 70
    read = load_results(folder)
    assert read.set_names == ODD_NAMES
    for name in ODD_NAMES:
        assert_equal(read[name], results[name])


def test_names_that_look_alike_have_files_of_their_own() -> None:
    slugs = {text_set(name).slug for name in (*ODD_NAMES, "a" * 201, "a" * 199)}
    assert len(slugs) == len(ODD_NAMES) + 2


def test_a_manifest_that_points_out_of_its_folder_is_refused(written: Path, tmp_path: Path) -> None:
    (path,) = written.glob("news-*.safetensors")
    outside = tmp_path / "outside.safetensors"
    shutil.copyfile(path, outside)

    def point_outside(content: dict[str, Any]) -> None:
        content["files"] = {
            "../outside.safetensors": {
                "set": "news",
                "sha256": hashlib.sha256(outside.read_bytes()).hexdigest(),
            }
        }

    rewritten(written / MANIFEST, point_outside)
    with pytest.raises(StoreError):
        load_results(written)


# --------------------------------------------------------------------------------------- clearing


def test_files_of_sets_that_are_gone_are_removed_and_no_others(written: Path) -> None:
    others = ["notes.txt", "mine.parquet", "run.log"]
    for name in others:
        (written / name).write_text("mine")
    study_results("news").write(written)
    names = {path.name for path in written.iterdir()}
    assert names == {
        MANIFEST,
        *others,
        *(f"{text_set('news').slug}{suffix}" for suffix in (".safetensors", ".parquet")),
    }
    assert load_results(written).set_names == ("news",)


@pytest.mark.parametrize(
    "name", ["../precious.parquet", "/tmp/x.parquet", "sub/x.parquet", "notes.txt"]
)
def test_an_earlier_manifest_cannot_have_files_of_other_names_removed(
    written: Path, tmp_path: Path, name: str
) -> None:
    precious = [tmp_path / "precious.parquet", written / "notes.txt", written / "sub" / "x.parquet"]
    (written / "sub").mkdir()
    for path in precious:
        path.write_text("mine")
    rewritten(written / MANIFEST, lambda content: content["files"].update({name: {"sha256": ""}}))
    study_results("news").write(written)
    assert all(path.exists() for path in precious)


def test_files_that_another_tools_manifest_names_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    manifest = {"format": "another tool", "files": {"model.safetensors": {}}}
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    study_results("news").write(tmp_path)
    assert (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"files": 3}', b'{"files": [[]]}', b"\xff"])
def test_a_manifest_that_cannot_be_read_does_not_keep_results_from_being_written(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    study_results("news").write(tmp_path)
    assert load_results(tmp_path).set_names == ("news",)


def test_an_error_while_writing_leaves_the_old_files_whole(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in written.iterdir()}

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pyarrow.parquet.ParquetWriter, "write_table", fail)
    other = text_set("news", parallel=True)
    with pytest.raises(StoreError, match="no space left on the disk"):
        write_text_set(written, other)
    after = {path: path.read_bytes() for path in written.iterdir()}
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} <= {
        path for path in before if path.suffix == ".safetensors"
    }


def test_it_is_public() -> None:
    assert isodepth.load_results is load_results
    assert isodepth.StudyResults is StudyResults
