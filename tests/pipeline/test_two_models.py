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
from isodepth import (
    LoadingOptions,
    Model,
    Store,
    TextSet,
    affinity_matrix,
    as_model,
    compare,
    extract,
    load_model,
    nearest_neighbors,
)
from isodepth.activations.contract import BatchingWarning
from isodepth.cli.results import print_comparison
from isodepth.comparison import OUTPUTS, Comparison
from isodepth.errors import DigestMismatchError, ModelError, ParameterError, UnknownNameError
from isodepth.models import has_chat_template, resolve_model
from isodepth.neighbors import Neighbors
from isodepth.pipeline import two_models as two_models_module
from isodepth.store import DamagedArtifactWarning
from isodepth.texts import ParallelTexts, load_parallel_texts

N_TEXTS = 41
LENGTHS = [2 + (13 * number) % 31 for number in range(N_TEXTS)]
TEXTS = TextSet.of(tiny_models.texts_of(LENGTHS, seed=29), name="tiny-texts")
GERMAN = TextSet.of(tiny_models.texts_of(LENGTHS[::-1], seed=43), name="tiny-german")
PAIR = ParallelTexts.of(TEXTS, GERMAN)
K = 7

pytestmark = pytest.mark.usefixtures("few_relabellings")

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


def without_rounding(summary: dict[str, Any]) -> str:
    """Return a summary as text, without what the contract measured: that is rounding, and varies."""
    copy = json.loads(json.dumps(summary))
    for side in ("left", "right"):
        del copy[side]["provenance"]["contract"]
    return json.dumps(copy)


def assert_equal(one: Comparison, other: Comparison) -> None:
    """Compare everything that a comparison holds."""
    np.testing.assert_array_equal(one.affinity.values, other.affinity.values)
    assert without_rounding(one.summary()) == without_rounding(other.summary())
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
    assert summary["right_texts"] is None
    assert (summary["left"]["chat"], summary["right"]["chat"]) == (False, False)
    assert summary["capture"] == {"capture": "block", "pooling": "last", "max_tokens": None}
    assert result.decision is not None
    assert summary["decision"]["sentence"] == result.decision.sentence
    assert summary["decision"]["basis"] == "texts"
    assert summary["profile"]["mean"]["value"] == pytest.approx(values.mean())
    assert summary["profile"]["mean"]["resampled"] == "texts"
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
        encoding, contract = provenance["encoding"], provenance["contract"]
        assert (encoding["n_truncated"], encoding["special_tokens_in_front"]) == (0, ["<s>"])
        assert 0 <= contract["batched_against_single"] <= contract["tolerance"]
        assert 0 <= contract["later_token_effect"] <= contract["tolerance"]
        assert (contract["batching"], contract["skipped_blocks"]) == ("padded", [])
        near = contract["neighbors_batched_against_single"]
        assert (near["n_probes"], near["k"]) == (len(contract["probe_tokens"]), 2)
        assert near["lowest_overlap"] == 1
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
    assert first.affinity.texts == second.affinity.texts == "tiny-texts"
    assert second.from_store == (
        "neighbors of tiny-llama",
        "neighbors of tiny-gemma",
        "affinity matrix",
    )


def test_another_k_up_to_what_is_stored_needs_no_model(
    llama_folder: Path, gemma_folder: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_models_module, "KEPT_NEIGHBORS", 11)
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
    monkeypatch.setattr(two_models_module, "KEPT_NEIGHBORS", 11)
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
        if label == "reading with tiny-llama" and unit == "tokens":
            reports.append(done)
            if len(reports) > n_batches + 1:
                raise error

    return progress


def neighbors_files(store: Store) -> Iterator[tuple[str, object]]:
    """Give what is stored, without what the contract measured: that is rounding, and varies."""
    for key in store.keys("neighbors"):
        artifact = store.read("neighbors", key)
        assert artifact is not None
        manifest = json.loads(json.dumps(artifact.manifest))
        del manifest["provenance"]["contract"]
        arrays = {name: values.tobytes() for name, values in artifact.arrays.items()}
        yield key, (manifest, arrays)


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
        n_total += label == "reading with tiny-llama" and unit == "tokens"

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
        if label == "reading with tiny-llama" and unit == "tokens":
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
        if label == "reading with tiny-llama" and unit == "tokens":
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


@pytest.mark.parametrize("options", [{"metric": "euclid"}, {"measure": "kca"}, {"capture": "blok"}])
def test_an_unknown_option_is_refused_before_a_model_is_loaded(
    options: dict[str, str], llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    ((name, value),) = options.items()
    expected = (ParameterError, UnknownNameError)
    with pytest.raises(expected, match=f"{name} must be one of .*; got '{value}'"):
        compare(llama_folder, gemma_folder, TEXTS, k=K, **options)
    with pytest.raises(UnknownNameError, match="there is no preprocessing step 'centre'; there are"):
        compare(llama_folder, gemma_folder, TEXTS, k=K, preprocessing="centre")
    assert loads == []


def test_an_unknown_right_model_is_refused_before_the_left_one_is_read(
    llama_folder: Path, loads: Loads
) -> None:
    with pytest.raises(isodepth.IsodepthError, match="no model is called 'gema-3'"):
        compare(llama_folder, "gema-3", TEXTS, k=K)
    assert loads == []


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"n": 5}, "n"),
        ({"column": "en"}, "column"),
        ({"n": 5, "column": "en"}, "n, column"),
    ],
)
@pytest.mark.parametrize("texts", [TEXTS, ParallelTexts.of(TEXTS, TEXTS)])
def test_options_of_loading_do_not_apply_to_texts_that_are_loaded(
    texts: TextSet | ParallelTexts, options: dict[str, Any], named: str, llama_folder: Path
) -> None:
    with pytest.raises(ParameterError) as caught:
        compare(llama_folder, llama_folder, texts, k=3, **options)
    kind = type(texts).__name__
    assert caught.value.message == f"{named}: only for texts that are loaded here, not a {kind}"
    assert caught.value.hint == "pass them to load_texts, or sample with its .sample(...)."


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


def refuse_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test fail where a model is loaded or read."""
    monkeypatch.setattr("isodepth.models.loading.load_model", pytest.fail)
    monkeypatch.setattr("isodepth.activations.extraction.prepare_extraction", pytest.fail)


def neighbors_of(folder: Path, texts: TextSet, *, chat: bool = False) -> Neighbors:
    """Return neighbors without store and pipeline."""
    return nearest_neighbors(extract(folder, texts, chat=chat), K)


def test_parallel_texts_give_the_matrix_of_separately_found_neighbors(
    llama_folder: Path, gemma_folder: Path, tmp_path: Path
) -> None:
    result = compare(llama_folder, gemma_folder, PAIR, k=K)
    left, right = neighbors_of(llama_folder, TEXTS), neighbors_of(gemma_folder, GERMAN)
    expected = affinity_matrix(left, right, pairing=PAIR.pairing)
    np.testing.assert_array_equal(result.affinity.values, expected.values)
    assert result.is_parallel
    assert result.affinity.texts is None  # the labels name both
    assert (result.affinity.texts_digest, result.affinity.right_texts_digest) == (
        TEXTS.digest,
        GERMAN.digest,
    )
    assert (result.affinity.left, result.affinity.right) == (
        "tiny-llama on tiny-texts",
        "tiny-gemma on tiny-german",
    )
    result.write(tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["texts"]["name"], summary["texts"]["digest"]) == ("tiny-texts", TEXTS.digest)
    assert summary["right_texts"]["name"] == "tiny-german"
    assert summary["right_texts"]["digest"] == GERMAN.digest
    assert summary["right"]["name"] == "tiny-gemma on tiny-german"


def test_two_text_sets_are_taken_as_parallel_texts(llama_folder: Path, gemma_folder: Path) -> None:
    one = compare(llama_folder, gemma_folder, PAIR, k=K)
    other = compare(llama_folder, gemma_folder, TEXTS, right_texts=GERMAN, k=K)
    assert_equal(one, other)
    assert other.from_store[-1] == "affinity matrix"


def test_a_pair_of_one_text_set_is_a_plain_comparison(
    done: tuple[Comparison, Path], llama_folder: Path, gemma_folder: Path
) -> None:
    result = compare(llama_folder, gemma_folder, ParallelTexts.of(TEXTS, TEXTS), k=K)
    assert not result.is_parallel
    assert_equal(result, done[0])


@pytest.fixture
def pair_files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a table of both columns, and a file of each."""
    table, english, german = tmp_path / "pairs.csv", tmp_path / "english.txt", tmp_path / "german.txt"
    rows = zip(TEXTS.texts, GERMAN.texts, strict=True)
    table.write_text("en,de\n" + "".join(f"{one},{other}\n" for one, other in rows))
    english.write_text("\n".join(TEXTS.texts))
    german.write_text("\n".join(GERMAN.texts))
    return table, english, german


def test_two_columns_and_two_files_give_what_the_text_sets_give(
    pair_files: tuple[Path, Path, Path], llama_folder: Path, gemma_folder: Path
) -> None:
    table, english, german = pair_files
    expected = compare(llama_folder, gemma_folder, PAIR, k=K).affinity.values
    columns = {"column": "en", "right_column": "de"}
    by_column = compare(llama_folder, gemma_folder, load_parallel_texts(table, table, **columns), k=K)
    by_file = compare(llama_folder, gemma_folder, str(english), right_texts=german, k=K)
    of_lists = compare(llama_folder, gemma_folder, TEXTS.texts, right_texts=GERMAN.texts, k=K)
    for result in (by_column, by_file, of_lists):
        np.testing.assert_array_equal(result.affinity.values, expected)
        assert result.from_store[-1] == "affinity matrix"
    assert by_file.affinity.left == "tiny-llama on english.txt"
    assert by_file.affinity.right == "tiny-gemma on german.txt"


def test_both_sides_of_a_sample_are_the_same_rows(
    pair_files: tuple[Path, Path, Path], llama_folder: Path
) -> None:
    _, english, german = pair_files
    result = compare(llama_folder, llama_folder, english, right_texts=german, n=17, seed=3, k=3)
    assert len(result.texts) == 17
    rows = [TEXTS.texts.index(text) for text in result.texts.left.texts]
    assert result.texts.right.texts == tuple(GERMAN.texts[row] for row in rows)
    expected = load_parallel_texts(english, german, 17, 3)
    assert result.texts.pairing == expected.pairing


def test_a_model_on_two_columns_of_one_file_is_told_apart_by_its_labels(
    pair_files: tuple[Path, Path, Path], llama_folder: Path
) -> None:
    columns = {"column": "en", "right_column": "de"}
    pair = load_parallel_texts(pair_files[0], pair_files[0], **columns)
    result = compare(llama_folder, llama_folder, pair, k=K)
    assert result.affinity.left == f"tiny-llama on {pair_files[0].name}:en"
    assert result.affinity.right == f"tiny-llama on {pair_files[0].name}:de"


def test_a_model_on_two_files_of_one_name_is_told_apart_by_its_labels(
    llama_folder: Path, tmp_path: Path
) -> None:
    for language, texts in (("en", TEXTS), ("de", GERMAN)):
        (tmp_path / language).mkdir()
        (tmp_path / language / "all.txt").write_text("\n".join(texts.texts))
    named = tmp_path / "en" / "all.txt", tmp_path / "de" / "all.txt"
    result = compare(llama_folder, llama_folder, named[0], right_texts=named[1], k=K)
    assert result.affinity.left != result.affinity.right


def test_parallel_results_are_stored_and_found_again(
    llama_folder: Path, gemma_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compare(llama_folder, gemma_folder, PAIR, k=K)
    assert first.from_store == ()
    refuse_models(monkeypatch)
    second = compare(llama_folder, gemma_folder, PAIR, k=K)
    assert_equal(first, second)
    assert second.affinity.right_texts_digest == GERMAN.digest
    assert second.from_store == (
        "neighbors of tiny-llama on tiny-texts",
        "neighbors of tiny-gemma on tiny-german",
        "affinity matrix",
    )


def test_plain_and_parallel_results_share_neighbors_and_no_matrix(
    llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    store = Store()
    models = (llama_folder, gemma_folder)
    turned = ParallelTexts.of(GERMAN, TEXTS)
    first = [compare(*models, texts, k=K, store=store) for texts in (TEXTS, GERMAN)]
    loads.clear()
    first += [compare(*models, texts, k=K, store=store) for texts in (PAIR, turned)]
    assert loads == []  # every model has read both text sets
    assert len(store.keys("affinities")) == 4
    values = [result.affinity.values.tobytes() for result in first]
    assert len(set(values)) == 4
    again = [compare(*models, texts, k=K, store=store) for texts in (TEXTS, GERMAN, PAIR, turned)]
    assert [result.affinity.values.tobytes() for result in again] == values
    assert [result.from_store[-1] for result in again] == ["affinity matrix"] * 4
    assert [result.affinity.right_texts_digest for result in again] == [
        None,
        None,
        GERMAN.digest,
        TEXTS.digest,
    ]


def test_swapping_models_and_parallel_texts_transposes_the_matrix(
    llama_folder: Path, gemma_folder: Path
) -> None:
    forth = compare(llama_folder, gemma_folder, PAIR, k=K)
    back = compare(gemma_folder, llama_folder, ParallelTexts.of(GERMAN, TEXTS), k=K)
    np.testing.assert_array_equal(forth.affinity.values, back.affinity.values.T)
    assert (forth.affinity.left, forth.affinity.right) == (back.affinity.right, back.affinity.left)


def test_a_model_against_itself_on_parallel_texts_is_not_the_identity(llama_folder: Path) -> None:
    result = compare(llama_folder, llama_folder, PAIR, k=K)
    assert (np.diag(result.affinity.values) < 1).all()
    assert result.affinity.left == "tiny-llama on tiny-texts"
    assert result.affinity.right == "tiny-llama on tiny-german"


def test_texts_of_unequal_number_are_refused_with_both_numbers(
    llama_folder: Path, tmp_path: Path, loads: Loads
) -> None:
    fewer = TextSet.of(GERMAN.texts[:-2], name="fewer")
    with pytest.raises(
        ParameterError, match=r"^tiny-texts and fewer cannot be parallel: 41 texts against 39$"
    ):
        compare(llama_folder, llama_folder, TEXTS, right_texts=fewer, k=K)
    for name, texts in (("one.txt", TEXTS), ("two.txt", fewer)):
        (tmp_path / name).write_text("\n".join(texts.texts))
    for n in (None, 11):  # a sample that both could give is no excuse
        with pytest.raises(
            ParameterError, match=r"^one.txt and two.txt cannot be parallel: 41 texts against 39$"
        ):
            compare(
                llama_folder,
                llama_folder,
                tmp_path / "one.txt",
                right_texts=tmp_path / "two.txt",
                n=n,
                k=K,
            )
    assert loads == []


@pytest.mark.parametrize(
    ("texts", "right_texts", "got"),
    [
        (TEXTS, "german.txt", "TextSet and str"),
        ("english.txt", GERMAN, "str and TextSet"),
        (TEXTS, GERMAN.texts, "TextSet and tuple"),
        (TEXTS.texts, GERMAN, "tuple and TextSet"),
        (PAIR, GERMAN, "ParallelTexts and TextSet"),
        (PAIR, "german.txt", "ParallelTexts and str"),
    ],
)
def test_a_text_set_and_texts_to_be_loaded_do_not_mix(
    texts: Any, right_texts: Any, got: str, llama_folder: Path
) -> None:
    with pytest.raises(ParameterError) as caught:
        compare(llama_folder, llama_folder, texts, right_texts=right_texts, k=K)
    assert caught.value.message == (
        f"texts and right_texts must both be TextSets, or both be loaded here; got {got}"
    )


def test_k_is_checked_against_the_number_of_pairs(llama_folder: Path, loads: Loads) -> None:
    with pytest.raises(ParameterError, match="k = 41 neighbors of 41 texts"):
        compare(llama_folder, llama_folder, PAIR, k=N_TEXTS)
    assert loads == []


@pytest.mark.parametrize(
    ("chat", "turned"), [(True, (True, True)), ("left", (True, False)), ("right", (False, True))]
)
def test_chat_wraps_the_texts_of_the_models_that_it_names(
    chat: bool | str, turned: tuple[bool, bool], chat_folder: Path, tmp_path: Path
) -> None:
    other = tiny_models.saved(
        tmp_path / "other-chat", seed=3, num_hidden_layers=3, tokenizer=tiny_models.chat_tokenizer()
    )
    result = compare(chat_folder, other, TEXTS, k=K, chat=chat)
    left, right = (
        neighbors_of(folder, TEXTS, chat=wanted)
        for folder, wanted in zip((chat_folder, other), turned, strict=True)
    )
    np.testing.assert_array_equal(result.affinity.values, affinity_matrix(left, right).values)
    assert (result.left_options.chat, result.right_options.chat) == turned
    summary = result.summary()
    assert (summary["left"]["chat"], summary["right"]["chat"]) == turned
    assert "chat" not in summary["capture"]
    for side, wrapped in zip(("left", "right"), turned, strict=True):
        recorded = summary[side]["provenance"]["encoding"]["chat_template"]
        assert (recorded is not None) == wrapped
    marks = ["" if chat is True or not wrapped else " as chat" for wrapped in turned]
    assert result.affinity.left == f"tiny-chat{marks[0]}"
    assert result.affinity.right == f"other-chat{marks[1]}"


@pytest.mark.parametrize("order", [1, -1])
def test_a_model_without_a_template_is_named_before_any_model_is_read(
    order: int, chat_folder: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_models(monkeypatch)
    models = [chat_folder, llama_folder][::order]
    with pytest.raises(ModelError, match=r"^tiny-llama has no chat template, so its texts cannot"):
        compare(*models, TEXTS, k=K, chat=True)
    side = "right" if order == 1 else "left"
    with pytest.raises(ModelError, match=r"^tiny-llama has no chat template"):
        compare(*models, TEXTS, k=K, chat=side)


def test_a_model_without_a_template_is_compared_with_a_chat_on_the_other_side(
    chat_folder: Path, llama_folder: Path
) -> None:
    result = compare(chat_folder, llama_folder, TEXTS, k=K, chat="left")
    assert (result.affinity.left, result.affinity.right) == ("tiny-chat as chat", "tiny-llama")


def test_a_missing_template_that_shows_only_at_loading_is_refused_all_the_same(
    llama_folder: Path, copied: Callable[[Path], Path]
) -> None:
    folder = copied(llama_folder)
    (folder / "tokenizer_config.json").unlink()
    assert has_chat_template(resolve_model(folder)) is None
    with pytest.raises(ModelError, match=r"^tiny-llama has no chat template"):
        compare(folder, folder, TEXTS, k=K, chat=True)


@pytest.mark.parametrize("chat", ["both", "", "Left"])
def test_an_unknown_side_of_chat_is_refused_with_what_is_known(
    chat: str, chat_folder: Path, loads: Loads
) -> None:
    with pytest.raises(ParameterError) as caught:
        compare(chat_folder, chat_folder, TEXTS, k=K, chat=chat)
    assert caught.value.message == f'chat must be False, True, "left" or "right"; got {chat!r}'
    assert loads == []


def test_results_with_and_without_chat_are_kept_apart_in_the_store(
    chat_folder: Path, llama_folder: Path, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    first = [
        compare(chat_folder, llama_folder, TEXTS, k=K, chat=c, store=store) for c in (False, "left")
    ]
    assert loads == ["tiny-chat", "tiny-llama", "tiny-chat"]
    assert (len(store.keys("neighbors")), len(store.keys("affinities"))) == (3, 2)
    plain, chat = (result.affinity.values for result in first)
    assert (plain != chat).any()
    refuse_models(monkeypatch)
    for wanted, before in ((False, first[0]), ("left", first[1])):
        again = compare(chat_folder, llama_folder, TEXTS, k=K, chat=wanted, store=store)
        assert_equal(again, before)
        assert again.from_store[-1] == "affinity matrix"
        assert len(again.from_store) == 3


def test_a_model_with_and_without_chat_is_read_twice_and_told_apart(
    chat_folder: Path, loads: Loads
) -> None:
    result = compare(chat_folder, chat_folder, TEXTS, k=K, chat="right")
    assert loads == ["tiny-chat"]  # once for both
    assert (result.affinity.left, result.affinity.right) == ("tiny-chat", "tiny-chat as chat")
    assert (np.diag(result.affinity.values) < 1).any()


def test_chat_and_parallel_texts_go_together(chat_folder: Path) -> None:
    result = compare(chat_folder, chat_folder, PAIR, k=K, chat="right")
    left, right = neighbors_of(chat_folder, TEXTS), neighbors_of(chat_folder, GERMAN, chat=True)
    expected = affinity_matrix(left, right, pairing=PAIR.pairing)
    np.testing.assert_array_equal(result.affinity.values, expected.values)
    assert result.affinity.right == "tiny-chat on tiny-german as chat"


def test_models_in_memory_give_what_their_folders_give(
    done: tuple[Comparison, Path], llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    left, right = load_model(llama_folder), load_model(gemma_folder)
    loads.clear()
    result = compare(left, right, TEXTS, k=K)
    assert_equal(result, done[0])
    # they are the same models, by their digests, so the folders' results are there already
    assert compare(llama_folder, gemma_folder, TEXTS, k=K).from_store == (
        "neighbors of tiny-llama",
        "neighbors of tiny-gemma",
        "affinity matrix",
    )


def in_memory(*, changed: float = 0.0, digest: str | None = None) -> Model:
    """Return a model object, one of whose weights is changed by so much."""
    with tiny_models.quietly():
        torch.manual_seed(71)
        whole = tiny_models.llama().eval()
    with torch.no_grad():
        whole.model.layers[2].mlp.down_proj.weight[3, 5] += changed
    return as_model(whole, tiny_models.tiny_tokenizer(), name="trained", digest=digest)


def test_model_objects_are_told_apart_by_their_weights() -> None:
    store = Store()
    first = compare(in_memory(), in_memory(changed=0.5), TEXTS, k=K, store=store)
    assert len(store.keys("neighbors")) == 2
    names = first.affinity.left, first.affinity.right
    assert names == ("trained (left)", "trained (right)")
    diagonal = np.diag(first.affinity.values)
    assert list(diagonal[:2]) == [1, 1]  # the blocks before the changed one
    assert diagonal[2] < 1
    again = compare(in_memory(), in_memory(changed=0.5), TEXTS, k=K, store=store)
    assert_equal(again, first)
    assert len(again.from_store) == 3


def test_a_digest_that_is_given_identifies_a_model_object() -> None:
    compare(in_memory(digest="epoch-3"), in_memory(digest="epoch-3"), TEXTS, k=K)
    again = compare(in_memory(digest="epoch-3"), in_memory(digest="epoch-4"), TEXTS, k=K)
    assert again.from_store == ("neighbors of trained (left)",)
    assert (again.affinity.values == again.affinity.values.T).all()


def test_a_model_object_takes_no_options_of_loading(llama_folder: Path) -> None:
    """They are for models that are loaded here; the object is as it is."""
    model = load_model(llama_folder)
    result = compare(model, llama_folder, TEXTS, k=K, loading=LoadingOptions(dtype="bfloat16"))
    dtypes = [side.provenance["dtype"] for side in (result.left, result.right)]
    assert dtypes == ["float32", "bfloat16"]


def test_results_of_different_dtype_are_kept_apart_in_the_store(
    llama_folder: Path, gemma_folder: Path, loads: Loads
) -> None:
    compare(llama_folder, gemma_folder, TEXTS, k=K)
    loads.clear()
    rounded = LoadingOptions(dtype="bfloat16")
    result = compare(llama_folder, gemma_folder, TEXTS, k=K, loading=rounded)
    assert loads == ["tiny-llama (bfloat16)", "tiny-gemma (bfloat16)"]
    assert result.from_store == ()
    for side in (result.left, result.right):
        assert side.provenance["dtype"] == "bfloat16"
        assert side.provenance["model_digest"].endswith(" + bfloat16")
    loads.clear()
    mixed = compare(f"{llama_folder}(dtype=bfloat16)", gemma_folder, TEXTS, k=K)
    assert mixed.from_store == ("neighbors of tiny-llama (bfloat16)", "neighbors of tiny-gemma")
    assert loads == []
    expected = nearest_neighbors(extract(load_model(llama_folder, dtype="bfloat16"), TEXTS), K)
    np.testing.assert_array_equal(mixed.left.ids[:, :, :K], expected.ids)


def test_what_changes_no_activations_does_not_keep_results_apart(
    llama_folder: Path, loads: Loads
) -> None:
    compare(llama_folder, llama_folder, TEXTS, k=K)
    loads.clear()
    elsewhere = LoadingOptions(device="cpu", trust_remote_code=False)
    assert compare(llama_folder, llama_folder, TEXTS, k=K, loading=elsewhere).from_store
    assert loads == []


def test_the_contract_is_in_the_manifests(llama_folder: Path, gemma_folder: Path) -> None:
    store = Store()
    result = compare(llama_folder, gemma_folder, TEXTS, k=K, store=store, keep_activations=True)
    for kind in ("activations", "neighbors"):
        keys = store.keys(kind)
        assert len(keys) == 2
        manifests = [artifact.manifest for key in keys if (artifact := store.read(kind, key))]
        found = {one["model"]: one["provenance"]["contract"] for one in manifests}
        for side in (result.left, result.right):
            contract = found[side.model]
            assert contract == side.provenance["contract"]
            near = contract["neighbors_batched_against_single"]
            assert set(near) == {"k", "n_probes", "lowest_overlap", "layer"}
            assert 0 <= near["lowest_overlap"] <= 1
            assert contract["final_norm"].startswith("norm (")


def test_an_embedding_is_no_depth_to_compare(llama_folder: Path, loads: Loads) -> None:
    with pytest.raises(ParameterError) as refused:
        compare(llama_folder, llama_folder, TEXTS, k=K, capture="embedding")
    assert refused.value.message == ('capture "embedding" has one layer, which is no depth to compare')
    assert refused.value.hint == "extract() returns it."
    assert loads == []


@pytest.mark.parametrize(("leak", "batching"), [("padding", "equal-length"), ("rows", "single")])
def test_how_a_model_was_batched_is_told_on_a_rerun_too(
    leak: str, batching: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def leaky() -> Model:
        model = in_memory(digest=f"leaks by {leak}")
        amount = 0.0

        def note(body: torch.nn.Module, inputs: Any, named: dict[str, Any]) -> None:
            nonlocal amount
            mask = named.get("attention_mask")
            padding = 0 if mask is None else float((mask == 0).any())
            amount = 0.3 * (padding if leak == "padding" else len(named["input_ids"]) - 1)

        def add(block: torch.nn.Module, inputs: Any, output: Any) -> Any:
            return output + amount * torch.arange(output.shape[-1])

        model.body.register_forward_pre_hook(note, with_kwargs=True)
        model.blocks[1].register_forward_hook(add)
        return model

    note = {
        "equal-length": "trained was read in batches of equal length, because padding changes its "
        "activations.",
        "single": "trained was read one text at a time, because batching changes its activations.",
    }[batching]
    changes = {"equal-length": "padding", "single": "batching"}[batching]
    with pytest.warns(BatchingWarning, match=f"{changes} changes the activations"):
        first = compare(leaky(), leaky(), TEXTS, k=K)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = compare(leaky(), leaky(), TEXTS, k=K)
    assert len(again.from_store) > len(first.from_store)
    for result in (first, again):
        assert result.summary()["left"]["provenance"]["contract"]["batching"] == batching
        print_comparison(result, result.write(tmp_path / "out"))
        assert f"note: {note}" in capsys.readouterr().out


def test_an_interrupted_run_with_another_dtype_goes_on_too(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_batches(monkeypatch)
    name = "tiny-llama (bfloat16)"
    rounded = LoadingOptions(dtype="bfloat16")
    n_reports, starts = 0, []

    def stop(label: str, done: int, total: int, unit: str) -> None:
        nonlocal n_reports
        n_reports += label == f"reading with {name}"
        if n_reports == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(llama_folder, llama_folder, TEXTS, k=K, loading=rounded, progress=stop)

    def watch(label: str, done: int, total: int, unit: str) -> None:
        if label.startswith("reading with "):
            starts.append((label, done))

    # what was read in bfloat16 does not serve float32
    compare(llama_folder, llama_folder, TEXTS, k=K, progress=watch)
    assert starts[0] == ("reading with tiny-llama", 0)
    starts.clear()
    resumed = compare(llama_folder, llama_folder, TEXTS, k=K, loading=rounded, progress=watch)
    assert starts[0][0] == f"reading with {name}"
    assert starts[0][1] > 0
    unbroken = compare(
        llama_folder, llama_folder, TEXTS, k=K, loading=rounded, store=tmp_path / "unbroken"
    )
    assert_equal(resumed, unbroken)
