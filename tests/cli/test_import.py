"""`isodepth import`: every way in, what it says, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import click.testing
import numpy as np
import pytest

from isodepth.cli.import_ import import_command
from isodepth.cli.store import store_command
from isodepth.errors import ParameterError
from isodepth.interchange import imported_readings, write_bundles
from isodepth.pipeline.run import run_study
from isodepth.results import load_results
from isodepth.store import Store
from published_form import neighbor_lists, written_as_published

N_TEXTS, N_LAYERS, N_UNITS = 13, 3, 5
TEXTS = [f"text {number}" for number in range(N_TEXTS)]

Import = Callable[..., tuple[int, str, str]]


@pytest.fixture
def imports() -> Import:
    """Return a function that runs `isodepth import`: status, output and errors, which it raises."""

    def run(*arguments: object) -> tuple[int, str, str]:
        done = click.testing.CliRunner().invoke(
            import_command, [str(one) for one in arguments], catch_exceptions=False
        )
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def published(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    for seed, (name, chat) in enumerate((("google/gemma-2b", False), ("owner/new", True))):
        lists = neighbor_lists(N_TEXTS, N_LAYERS, seed=seed)
        written_as_published(folder, name, "web_text", TEXTS, lists, chat=chat)
    return folder


def test_published_neighbors_are_imported_and_known_the_second_time(
    imports: Import, published: Path, tmp_path: Path
) -> None:
    store = tmp_path / "elsewhere"
    status, out, _ = imports("neighbors", published, "--keep", 7, "--store", store)
    assert status == 0
    assert out.splitlines() == [
        "gemma-2b on web-text: 2 layers, 13 texts, 7 neighbors, capture final_norm, pooling last; it was "
        "not there before.",
        "note: gemma-2b has 18 layers in the catalogue, and 2 here.",
        "owner/new on web-text as chat: 2 layers, 13 texts, 7 neighbors, capture final_norm, pooling "
        "last; it was not there before.",
        "note: 'isodepth run STUDY --imported' takes imported readings, and runs no model. In a study: "
        'models = ["imported(gemma-2b)"], texts = ["imported(web-text)"], captures = ["final_norm"] (the '
        "first of them).",
    ]
    assert [one.k for one in imported_readings(Store(store))] == [7, 7]
    _, out, _ = imports("neighbors", published, "--keep", 7, "--store", store)
    assert out.count("it was there already.") == 2


def test_the_default_store_is_used_without_store(imports: Import, published: Path) -> None:
    imports("neighbors", published)
    assert len(imported_readings(Store())) == 2


def test_one_bad_file_does_not_keep_the_others_out(
    imports: Import, published: Path, tmp_path: Path
) -> None:
    bad = published / "bad---web_text.parquet"
    bad.write_bytes(b"no parquet")
    with pytest.raises(ParameterError) as caught:
        imports("neighbors", published)
    assert caught.value.message == "1 of 3 files failed: bad---web_text"
    assert len(imported_readings(Store())) == 2


def test_other_neighbors_need_replace(imports: Import, published: Path) -> None:
    first, second = sorted(published.iterdir())
    same = ("--model", "mine", "--texts", "mine", "--no-chat")
    imports("neighbors", first, *same)
    with pytest.raises(ParameterError, match="other neighbors of mine on mine"):
        imports("neighbors", second, *same)
    _, out, _ = imports("neighbors", second, *same, "--replace")
    assert "it took the place of another one." in out


def test_activations_become_a_reading_of_sampled_texts(imports: Import, tmp_path: Path) -> None:
    texts = tmp_path / "mine.txt"
    texts.write_text("".join(f"{text}\n" for text in TEXTS))
    values = np.random.default_rng(3).normal(size=(N_LAYERS, 7, N_UNITS))
    np.save(tmp_path / "a.npy", values)
    status, out, _ = imports(
        *("activations", tmp_path / "a.npy", "--texts", texts, "-n", 7, "--seed", 5),
        *("--model", "google/gemma-2b", "--has-embedding", "--capture", "mlp", "--pooling=-2"),
    )
    assert status == 0
    assert out.startswith(
        "gemma-2b on mine.txt: 2 layers, 7 texts, 6 neighbors, capture mlp, pooling -2; it was not there "
        "before.\n"
    )
    assert out.endswith(
        'models = ["imported(gemma-2b)"], texts = ["imported(mine.txt)"], captures = ["mlp"], '
        "poolings = [-2].\n"
    )
    (reading,) = imported_readings(Store())
    assert (reading.options.pooling, reading.model_repository) == (-2, "google/gemma-2b")
    with pytest.raises(ParameterError, match="has activations of 7 texts; mine.txt has 13"):
        imports("activations", tmp_path / "a.npy", "--texts", texts, "--model", "x")


def test_bundles_go_from_one_store_to_another(imports: Import, published: Path, tmp_path: Path) -> None:
    from isodepth.cli.export import export_command

    imports("neighbors", published, "--store", tmp_path / "one")
    exported = click.testing.CliRunner().invoke(
        export_command,
        ["neighbors", "--store", str(tmp_path / "one"), "--out", str(tmp_path / "out"), "-k", "5"],
        catch_exceptions=False,
    )
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == 2
    assert all(f"{file} (" in exported.output for file in files)
    assert "Not in them, of what the store knows: file, files, k_in_file." in exported.output
    imports("bundle", *files, "--store", tmp_path / "other")
    before, after = (imported_readings(Store(tmp_path / name)) for name in ("one", "other"))
    for one, other in zip(before, after, strict=True):
        assert (one.model, one.texts_digest, one.options) == (
            other.model,
            other.texts_digest,
            other.options,
        )
        np.testing.assert_array_equal(
            one.neighbors(Store(tmp_path / "one")).ids[:, :, :5],
            other.neighbors(Store(tmp_path / "other")).ids,
        )


def test_a_study_takes_what_the_import_says(imports: Import, tmp_path: Path) -> None:
    texts = tmp_path / "mine.txt"
    texts.write_text("".join(f"{text}\n" for text in TEXTS))
    rng = np.random.default_rng(3)
    said = []
    for name, chat in (("one", ()), ("two", ()), ("two", ("--chat",))):
        np.save(tmp_path / "a.npy", rng.normal(size=(N_LAYERS, N_TEXTS, N_UNITS)))
        arguments = ("activations", tmp_path / "a.npy", "--texts", texts, "--model", name, *chat)
        _, out, _ = imports(*arguments, "--max-tokens", 5)
        said.append(out.split("In a study: ")[1].removesuffix(".\n"))
    keys = said[2].split(", ")
    assert keys == [
        'models = ["imported(two)"]',
        'texts = ["imported(mine.txt)"]',
        'also_as_chat = ["imported(two)"]',
        "max_tokens = 5",
    ]
    path = tmp_path / "study.toml"
    path.write_text("\n".join([*keys, "ks = [3]"]))
    results = run_study(path, tmp_path / "out", imported=True)
    assert results.missing == ()
    assert results.matrices("mine.txt", k=3).left == ("two", "two as chat")


def test_a_bundle_may_get_another_name(imports: Import, published: Path, tmp_path: Path) -> None:
    imports("neighbors", published, "--store", tmp_path / "one")
    paths = write_bundles(Store(tmp_path / "one"), tmp_path / "out", k=5).paths
    _, out, _ = imports("bundle", paths[0], "--model", "mine", "--texts", "ours")
    assert out.startswith("mine on ours: 2 layers")
    (reading,) = imported_readings(Store())
    assert (reading.model, reading.texts) == ("mine", "ours")
    with pytest.raises(ParameterError) as caught:
        imports("bundle", *paths, "--model", "mine")
    assert caught.value.message == "--model names the model of one file; got 2 files"


def test_matrices_take_no_ones_place_without_a_word(imports: Import, tmp_path: Path) -> None:
    tables = []
    for texts in ("news", "wiki"):
        table = tmp_path / f"{texts}.csv"
        header = "left,right,left_layer,right_layer,similarity"
        table.write_text(f"{header}\na,a,1,1,1\na,b,1,1,0.5\nb,b,1,1,1\n")
        tables.append(table)
    common = ("--n-texts", 13, "-k", 3, "--out", tmp_path / "out")
    imports("matrices", tables[0], *common)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    with pytest.raises(ParameterError) as caught:
        imports("matrices", tables[1], *common)
    assert caught.value.message == (
        f"{tmp_path / 'out'} holds results already, which these would replace"
    )
    assert caught.value.hint == "give all files in one command, or another folder, or --replace."
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    imports("matrices", tables[1], *common, "--replace")
    assert load_results(tmp_path / "out").set_names == ("wiki",)
    imports("matrices", *tables, *common, "--replace")
    assert load_results(tmp_path / "out").set_names == ("news", "wiki")


def test_matrices_become_results(imports: Import, shared: Path, tmp_path: Path) -> None:
    folder = shared / "reference" / "affinity"
    out = tmp_path / "published"
    status, told, _ = imports(
        "matrices", *sorted(folder.glob("*.npz")), "--n-texts", 2048, "--out", out
    )
    assert status == 0
    assert told.splitlines()[-2:] == [
        "web-text, mutual_knn, k = 10, capture final_norm, pooling last: 25 models, 2,048 texts, (layers, "
        "layers) = (1022, 1022)",
        f"Wrote {out}",
    ]
    results = load_results(out)
    assert results.set_names == ("random-strings", "web-text")
    assert [kind.k for kind in results["web-text"].matrices] == [1, 10]
    pair = results.matrices("web-text", k=10)["gemma-2-9b", "llama-3.1-8b"]
    assert pair.values.shape == (42, 32)


def test_what_a_study_of_imports_does_not_need_can_go(
    imports: Import, published: Path, tmp_path: Path
) -> None:
    imports("neighbors", published, "--keep", 7)
    path = tmp_path / "study.toml"
    text = (
        'models = ["gemma-2b"]\ntexts = ["web-text"]\ncaptures = ["final_norm"]\nn = 13\nks = [3, 5]\n'
    )
    path.write_text(text)
    run_study(path, tmp_path / "out", imported=True)
    path.write_text(text.replace("3, 5", "3"))
    arguments = ["gc", "--yes", "--keep-only-imported", str(path)]
    done = click.testing.CliRunner().invoke(store_command, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "Removed 1 of 1" in done.stdout
    assert len(Store().keys("affinities")) == 1
    assert len(imported_readings(Store())) == 2
