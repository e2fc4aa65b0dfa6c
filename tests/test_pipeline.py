"""The whole job on two tiny models: outputs that agree, reruns from the store, resuming, damage."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from matplotlib.figure import Figure

import isodepth
import isodepth.activations.extraction
import tiny_models
from isodepth import Store, TextSet, affinity_matrix, compare, extract, load_model, nearest_neighbors
from isodepth import pipeline as pipeline_module
from isodepth.comparison import OUTPUTS, Comparison
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.models import resolve_model
from isodepth.store import DamagedArtifactWarning

N_TEXTS = 41
LENGTHS = [2 + (13 * number) % 31 for number in range(N_TEXTS)]
TEXTS = TextSet.of(tiny_models.texts_of(LENGTHS, seed=29), name="tiny-texts")
K = 7

Loads = list[str]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    """Return a list that grows by the name of every model that is loaded."""
    import isodepth.models.loading

    names: Loads = []
    load = isodepth.models.loading.load_model

    def counted(source: Any, **settings: Any) -> Any:
        names.append(source.name)
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", counted)
    return names


@pytest.fixture(scope="module")
def done(
    llama_folder: Path, gemma_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Comparison, Path]:
    """Compare once for the tests that only look; return the comparison and its folder of files."""
    base = tmp_path_factory.mktemp("done")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_CACHE", str(base / "cache"))
        result = compare(llama_folder, gemma_folder, TEXTS, k=K, store=base / "store")
    result.write(base / "out")
    return result, base / "out"


def assert_equal(one: Comparison, other: Comparison) -> None:
    """Compare everything that a comparison holds."""
    np.testing.assert_array_equal(one.affinity.values, other.affinity.values)
    assert json.dumps(one.summary()) == json.dumps(other.summary())
    for mine, theirs in ((one.left, other.left), (one.right, other.right)):
        np.testing.assert_array_equal(mine.ids, theirs.ids)
        np.testing.assert_array_equal(mine.similarities, theirs.similarities)


def slow_neighbors(folder: Path) -> list[list[list[int]]]:
    """Return [layer][text] lists of all other texts, nearest first, by plain cosines."""
    values = extract(load_model(folder), TEXTS).values.astype(np.float64)
    found = []
    for layer in values:
        unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
        cosines = unit @ unit.T
        found.append(
            [
                sorted((o for o in range(N_TEXTS) if o != t), key=lambda o, t=t: (-cosines[t, o], o))
                for t in range(N_TEXTS)
            ]
        )
    return found


def test_the_matrix_is_the_share_of_common_neighbors_counted_with_sets(
    done: tuple[Comparison, Path], llama_folder: Path, gemma_folder: Path
) -> None:
    result, _ = done
    left, right = slow_neighbors(llama_folder), slow_neighbors(gemma_folder)
    expected = np.array(
        [
            [
                sum(len(set(a[:K]) & set(b[:K])) for a, b in zip(one, other, strict=True))
                / (K * N_TEXTS)
                for other in right
            ]
            for one in left
        ]
    )
    assert result.affinity.values.shape == (5, 7)
    np.testing.assert_allclose(result.affinity.values, expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(result.left.ids, np.array(left))  # as many as there are are kept
    assert result.left.k == result.right.k == N_TEXTS - 1
    assert result.from_store == ()


def test_the_parquet_table_holds_the_matrix(done: tuple[Comparison, Path]) -> None:
    result, out = done
    rows = pyarrow.parquet.read_table(out / "affinity.parquet").to_pylist()
    assert len(rows) == 35
    for row in rows:
        left, right = row["left_layer"], row["right_layer"]
        assert row["similarity"] == result.affinity.values[left - 1, right - 1]
        assert row["left_depth"] == pytest.approx(left / 5)
        assert row["right_depth"] == pytest.approx(right / 7)
    assert len({(row["left_layer"], row["right_layer"]) for row in rows}) == 35


def test_the_matches_table_holds_each_layers_most_similar_one(done: tuple[Comparison, Path]) -> None:
    result, out = done
    with (out / "matches.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 + 7
    values = result.affinity.values
    for row in rows:
        from_layer, to_layer = int(row["from_layer"]) - 1, int(row["to_layer"]) - 1
        if row["from_model"] == "tiny-llama":
            assert row["to_model"] == "tiny-gemma"
            similarities, depths = values[from_layer], (5, 7)
        else:
            assert (row["from_model"], row["to_model"]) == ("tiny-gemma", "tiny-llama")
            similarities, depths = values[:, from_layer], (7, 5)
        assert to_layer == similarities.argmax()
        assert float(row["similarity"]) == pytest.approx(similarities.max(), abs=1e-6)
        assert float(row["from_depth"]) == pytest.approx((from_layer + 1) / depths[0], abs=1e-6)
        assert float(row["to_depth"]) == pytest.approx((to_layer + 1) / depths[1], abs=1e-6)


def test_the_summary_holds_what_was_found_and_where_it_comes_from(
    done: tuple[Comparison, Path], llama_folder: Path
) -> None:
    result, out = done
    summary = json.loads((out / "summary.json").read_text())
    values = result.affinity.values
    assert summary["n_texts"] == N_TEXTS
    assert summary["k"] == K
    assert summary["chance_level"] == pytest.approx(K / (N_TEXTS - 1))
    assert summary["similarity"]["mean"] == pytest.approx(values.mean())
    assert summary["similarity"]["highest"] == values.max()
    best = summary["best_cell"]
    assert values[best["left_layer"] - 1, best["right_layer"] - 1] == best["similarity"] == values.max()
    assert summary["texts"]["digest"] == TEXTS.digest
    assert summary["capture"] == {"capture": "block", "pooling": "last", "max_tokens": None}
    assert summary["finding"]["sentence"] == result.finding.sentence
    diagonal = isodepth.generalized_diagonal(5, 7)
    assert summary["generalized_diagonal"]["mean_on"] == pytest.approx(values[diagonal].mean())
    assert summary["generalized_diagonal"]["mean_off"] == pytest.approx(values[~diagonal].mean())
    assert summary["versions"]["torch"] == torch.__version__
    assert summary["versions"]["isodepth"] == isodepth.__version__
    for side, n_layers in (("left", 5), ("right", 7)):
        assert summary[side]["n_layers"] == n_layers
        assert summary[side]["stored_k"] == N_TEXTS - 1
        provenance = summary[side]["provenance"]
        assert provenance["torch"] == torch.__version__
        encoding, check = provenance["encoding"], provenance["self_check"]
        assert (encoding["n_truncated"], encoding["special_tokens_in_front"]) == (0, ["<s>"])
        assert 0 <= check["batched_against_single"] <= check["tolerance"]
        assert 0 <= check["later_token_effect"] <= check["tolerance"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISODEPTH_CACHE", str(out.parent / "cache"))
        assert summary["left"]["provenance"]["model_digest"] == resolve_model(llama_folder).digest


def test_pictures_are_a_png_and_a_pdf(done: tuple[Comparison, Path]) -> None:
    _, out = done
    assert (out / "affinity.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (out / "affinity.pdf").read_bytes().startswith(b"%PDF-")
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)


def test_writing_twice_gives_the_same_bytes(done: tuple[Comparison, Path], tmp_path: Path) -> None:
    result, out = done
    result.write(tmp_path / "again")
    for name in OUTPUTS:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


def test_the_second_run_loads_no_model_and_is_equal(
    llama_folder: Path, gemma_folder: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare(llama_folder, gemma_folder, TEXTS, k=K)
    assert loads == ["tiny-llama", "tiny-gemma"]
    monkeypatch.setattr("isodepth.models.loading.load_model", pytest.fail)
    second = compare(llama_folder, gemma_folder, TEXTS, k=K)
    assert_equal(first, second)
    assert second.from_store == (
        "neighbors of tiny-llama",
        "neighbors of tiny-gemma",
        "affinity matrix",
    )


def test_another_k_up_to_what_is_stored_needs_no_model(
    llama_folder: Path, gemma_folder: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "STORED_K", 11)
    compare(llama_folder, gemma_folder, TEXTS, k=K)
    loads.clear()
    for k in (1, 5, 11):
        again = compare(llama_folder, gemma_folder, TEXTS, k=k)
        assert again.affinity.k == k
        assert again.from_store == ("neighbors of tiny-llama", "neighbors of tiny-gemma")
        expected = affinity_matrix(again.left, again.right, k=k).values
        np.testing.assert_array_equal(again.affinity.values, expected)
    assert loads == []


@pytest.mark.parametrize("keep_activations", [False, True])
def test_a_larger_k_needs_the_models_again_unless_their_activations_are_kept(
    keep_activations: bool,
    llama_folder: Path,
    gemma_folder: Path,
    loads: Loads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline_module, "STORED_K", 11)
    store = Store()
    compare(llama_folder, gemma_folder, TEXTS, k=K, store=store, keep_activations=keep_activations)
    kept = store.keys("activations")
    assert len(kept) == (2 if keep_activations else 0)
    loads.clear()
    again = compare(llama_folder, gemma_folder, TEXTS, k=13, store=store)
    assert loads == ([] if keep_activations else ["tiny-llama", "tiny-gemma"])
    assert again.left.k == 13
    assert store.keys("activations") == kept
    fresh = compare(llama_folder, gemma_folder, TEXTS, k=13, store=store.root / "other")
    assert_equal(again, fresh)


def test_kept_activations_are_those_that_extract_gives(llama_folder: Path, gemma_folder: Path) -> None:
    store = Store()
    compare(llama_folder, gemma_folder, TEXTS, k=K, store=store, keep_activations=True)
    expected = {
        activations.model_digest: activations.values
        for activations in (extract(folder, TEXTS) for folder in (llama_folder, gemma_folder))
    }
    for key in store.keys("activations"):
        artifact = store.read("activations", key)
        assert artifact is not None
        np.testing.assert_array_equal(
            artifact.arrays["values"], expected[artifact.manifest["model_digest"]]
        )
        assert artifact.manifest["texts_digest"] == TEXTS.digest


def test_activations_are_removed_once_the_neighbors_are_stored(
    llama_folder: Path, gemma_folder: Path
) -> None:
    store = Store()
    compare(llama_folder, gemma_folder, TEXTS, k=K, store=store)
    assert len(store.keys("neighbors")) == 2
    assert not list(store.root.rglob("unfinished/*"))
    assert store.keys("activations") == []


def test_another_right_model_computes_only_its_own_rows(
    llama_folder: Path, gemma_folder: Path, gpt2_folder: Path, loads: Loads
) -> None:
    compare(llama_folder, gemma_folder, TEXTS, k=K)
    loads.clear()
    result = compare(llama_folder, gpt2_folder, TEXTS, k=K)
    assert loads == ["tiny-gpt2"]
    assert result.from_store == ("neighbors of tiny-llama",)


def test_other_texts_or_options_are_read_anew_with_the_same_model(
    llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    compare(llama_folder, gemma_folder, TEXTS, k=K)
    others = TextSet.of(TEXTS.texts[::-1], name=TEXTS.name)
    for texts, options in ((others, {}), (TEXTS, {"pooling": "mean"}), (TEXTS, {"max_tokens": 3})):
        loads.clear()
        result = compare(llama_folder, gemma_folder, texts, k=K, **options)
        assert loads == ["tiny-llama", "tiny-gemma"]
        assert result.from_store == ()


def test_a_model_against_itself_is_read_once_and_has_ones_on_the_diagonal(
    llama_folder: Path, loads: Loads
) -> None:
    result = compare(llama_folder, llama_folder, TEXTS, k=K)
    assert loads == ["tiny-llama"]
    values = result.affinity.values
    assert (np.diag(values) == 1.0).all()
    np.testing.assert_array_equal(values, values.T)
    again = compare(llama_folder, llama_folder, TEXTS, k=K)
    assert again.from_store == ("neighbors of tiny-llama", "affinity matrix")


def test_swapping_the_models_transposes_the_matrix(
    done: tuple[Comparison, Path], llama_folder: Path, gemma_folder: Path
) -> None:
    swapped = compare(gemma_folder, llama_folder, TEXTS, k=K)
    np.testing.assert_array_equal(swapped.affinity.values, done[0].affinity.values.T)


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut the texts into many batches, so that there is something to interrupt."""
    prepare = isodepth.activations.extraction.prepare_extraction

    def prepared(*arguments: Any, **settings: Any) -> Any:
        return prepare(*arguments, **{**settings, "token_budget": 67})

    monkeypatch.setattr(isodepth.activations.extraction, "prepare_extraction", prepared)


def stop_after(n_batches: int, error: type[BaseException]) -> Callable[[str, int, int, str], None]:
    """Return a progress that raises once so many batches of the left model are written."""
    reports: list[int] = []

    def progress(label: str, done: int, total: int, unit: str) -> None:
        if label == "reading with tiny-llama":
            reports.append(done)
            if len(reports) > n_batches + 1:
                raise error

    return progress


def neighbors_files(store: Store) -> Iterator[tuple[str, bytes]]:
    for key in store.keys("neighbors"):
        for path in sorted(store.folder("neighbors", key).iterdir()):
            yield f"{key}/{path.name}", path.read_bytes()


@pytest.mark.parametrize(
    ("n_batches", "error"),
    [(0, KeyboardInterrupt), (5, MemoryError), (-2, KeyboardInterrupt), (-1, KeyboardInterrupt)],
)
def test_an_interrupted_extraction_goes_on_with_the_missing_batches_only(
    n_batches: int,
    error: type[BaseException],
    llama_folder: Path,
    gemma_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    small_batches(monkeypatch)
    n_total = 0

    def count(label: str, done: int, total: int, unit: str) -> None:
        nonlocal n_total
        n_total += label == "reading with tiny-llama"

    unbroken = Store(tmp_path / "unbroken")
    expected = compare(llama_folder, gemma_folder, TEXTS, k=K, store=unbroken, progress=count)
    n_total -= 1  # the report of the start
    assert n_total > 10
    n_batches %= n_total  # -2: all but one are written, -1: all are
    broken = Store(tmp_path / "broken")
    with pytest.raises(error):
        compare(
            llama_folder,
            gemma_folder,
            TEXTS,
            k=K,
            store=broken,
            progress=stop_after(n_batches, error),
        )
    assert broken.keys("neighbors") == []
    reports: list[tuple[int, int]] = []

    def watch(label: str, done: int, total: int, unit: str) -> None:
        if label == "reading with tiny-llama":
            reports.append((done, total))

    resumed = compare(llama_folder, gemma_folder, TEXTS, k=K, store=broken, progress=watch)
    n_missing = n_total - n_batches - 1  # a batch is written before its end is reported
    assert len(reports) == (n_missing + 1 if n_missing else 0)
    if n_missing:
        assert reports[0][0] > 0
        assert reports[-1][0] == reports[-1][1]
    assert_equal(resumed, expected)
    assert dict(neighbors_files(broken)) == dict(neighbors_files(unbroken))


KILLED = """
import os, signal, sys
import isodepth, isodepth.activations.extraction as extraction
prepare = extraction.prepare_extraction
extraction.prepare_extraction = lambda *a, **s: prepare(*a, **{**s, "token_budget": 67})
n_reports = 0
def progress(label, done, total, unit):
    global n_reports
    n_reports += label == "reading with tiny-llama"
    if n_reports == 5:
        os.kill(os.getpid(), signal.SIGKILL)
left, right, texts = sys.argv[1:]
isodepth.compare(left, right, texts, k=7, progress=progress)
"""


def test_a_killed_process_loses_nothing_that_was_written(
    llama_folder: Path, gemma_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(TEXTS.texts))
    command = [sys.executable, "-c", KILLED, str(llama_folder), str(gemma_folder), str(path)]
    killed = subprocess.run(command, capture_output=True, timeout=120, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    small_batches(monkeypatch)
    reports: list[int] = []

    def watch(label: str, done: int, total: int, unit: str) -> None:
        if label == "reading with tiny-llama":
            reports.append(done)

    resumed = compare(llama_folder, gemma_folder, path, k=K, progress=watch)
    assert reports[0] > 0  # four batches were there
    unbroken = Store(tmp_path / "unbroken")
    expected = compare(llama_folder, gemma_folder, path, k=K, store=unbroken)
    assert_equal(resumed, expected)
    assert dict(neighbors_files(Store())) == dict(neighbors_files(unbroken))


@pytest.mark.parametrize("name", ["arrays.safetensors", "manifest.json"])
def test_a_damaged_neighbors_file_is_warned_of_and_only_it_is_computed_again(
    name: str, llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    store = Store()
    first = compare(llama_folder, gemma_folder, TEXTS, k=K, store=store)
    before = dict(neighbors_files(store))
    for key in store.keys("neighbors"):
        artifact = store.read("neighbors", key)
        assert artifact is not None
        if artifact.manifest["model"] == "tiny-gemma":
            damaged = store.folder("neighbors", key) / name
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 0xFF
    damaged.write_bytes(data)
    loads.clear()
    with pytest.warns(DamagedArtifactWarning, match="damaged file in the store") as caught:
        again = compare(llama_folder, gemma_folder, TEXTS, k=K, store=store)
    assert len(caught) == 1
    assert str(damaged) in str(caught[0].message)
    assert loads == ["tiny-gemma"]
    assert again.from_store == ("neighbors of tiny-llama", "affinity matrix")
    assert_equal(again, first)
    assert dict(neighbors_files(store)) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compare(llama_folder, gemma_folder, TEXTS, k=K, store=store)


@pytest.mark.parametrize("k", [N_TEXTS, N_TEXTS + 1, 0, -1])
def test_a_k_that_the_texts_cannot_give_is_refused_before_a_model_is_loaded(
    k: int, llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    with pytest.raises(ParameterError, match=rf"k = {k} neighbors of 41 texts") as caught:
        compare(llama_folder, gemma_folder, TEXTS, k=k)
    assert "expected 1 <= k <= n - 1 = 40" in caught.value.message
    assert loads == []


@pytest.mark.parametrize("options", [{"metric": "euclid"}, {"measure": "cka"}, {"capture": "blok"}])
def test_an_unknown_option_is_refused_before_a_model_is_loaded(
    options: dict[str, str], llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    ((name, value),) = options.items()
    with pytest.raises(ParameterError, match=f"{name} must be one of .*; got '{value}'"):
        compare(llama_folder, gemma_folder, TEXTS, k=K, **options)
    assert loads == []


def test_an_unknown_right_model_is_refused_before_the_left_one_is_read(
    llama_folder: Path, loads: Loads
) -> None:
    with pytest.raises(isodepth.IsodepthError, match="no model is called 'gema-3'"):
        compare(llama_folder, "gema-3", TEXTS, k=K)
    assert loads == []


def test_sampling_options_do_not_apply_to_a_text_set(llama_folder: Path) -> None:
    with pytest.raises(ParameterError, match="n and column apply to texts that are loaded here"):
        compare(llama_folder, llama_folder, TEXTS, n=5, k=3)


def test_results_on_different_texts_are_not_compared(
    done: tuple[Comparison, Path], gemma_folder: Path
) -> None:
    others = TextSet.of(TEXTS.texts[::-1])
    right = nearest_neighbors(extract(gemma_folder, others), K)
    with pytest.raises(DigestMismatchError, match="were run on different texts") as caught:
        affinity_matrix(done[0].left, right, k=K)
    assert TEXTS.digest in caught.value.message
    assert others.digest in caught.value.message


@pytest.mark.parametrize("fails_at", OUTPUTS)
def test_an_error_while_writing_leaves_the_old_file_whole(
    fails_at: str, done: tuple[Comparison, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, _ = done
    out = tmp_path / "out"
    out.mkdir()
    for name in OUTPUTS:
        (out / name).write_text(f"old {name}")

    def half_written(path: Path) -> None:
        if Path(path).suffix == Path(fails_at).suffix:
            Path(path).write_bytes(b"half")
            raise RuntimeError("the disk is gone")

    save, table, data = Figure.savefig, pyarrow.parquet.write_table, Path.write_bytes
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path, **s: (half_written(path), save(self, path, **s))
    )
    monkeypatch.setattr(
        pyarrow.parquet, "write_table", lambda t, path: (half_written(path), table(t, path))
    )

    def write_bytes(self: Path, content: bytes) -> int:
        if self.suffix == Path(fails_at).suffix and content != b"half":
            half_written(self)
        return data(self, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(RuntimeError, match="the disk is gone"):
        result.write(out)
    assert (out / fails_at).read_text() == f"old {fails_at}"
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)  # no temporary files


def test_one_layer_on_a_side_is_compared_without_a_test(llama_folder: Path, tmp_path: Path) -> None:
    single = tiny_models.saved(tmp_path / "single", num_hidden_layers=1)
    result = compare(llama_folder, single, TEXTS, k=K)
    assert result.test is None
    assert result.summary()["generalized_diagonal"] is None
    paths = result.write(tmp_path / "out")
    assert [path.name for path in paths] == list(OUTPUTS)
    assert all(path.stat().st_size > 0 for path in paths)


def test_two_models_in_folders_of_one_name_are_told_apart(
    llama_folder: Path, gemma_folder: Path, tmp_path: Path
) -> None:
    for parent, folder in (("a", llama_folder), ("b", gemma_folder)):
        shutil.copytree(folder, tmp_path / parent / "checkpoint")
    named = tmp_path / "a" / "checkpoint", tmp_path / "b" / "checkpoint"
    result = compare(*named, TEXTS, k=K)
    assert (result.affinity.left, result.affinity.right) == ("a/checkpoint", "b/checkpoint")
    assert compare(named[0], named[0], TEXTS, k=K).affinity.left == "checkpoint"
