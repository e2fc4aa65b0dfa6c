"""What an import costs: nothing heavy before it is needed. Checked in fresh interpreters."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import isodepth
import tiny_models
from isodepth.interchange import keep_reading, published_files, read_published_neighbors
from isodepth.store import Store
from published_form import neighbor_lists, written_as_published

HEAVY = ("torch", "transformers", "matplotlib", "numba")
FOR_RESULTS = ("torch", "transformers", "matplotlib", "ray", "datasets", "scipy.stats", "scipy.special")
"""What a finished study needs none of to be shown again; the last two take longer than all else then."""
FOR_TABLES = ("pandas", "pyarrow")


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter holds after the code."""
    report = "import sys, json; print('\\n' + json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_after_command(arguments: list[str]) -> set[str]:
    """Return the modules that a command loads, which must end well."""
    return modules_after(
        f"from isodepth.cli import main\ntry:\n    main({arguments})\n"
        "except SystemExit as end:\n    assert not end.code"
    )


def test_importing_isodepth_loads_nothing_heavy() -> None:
    loaded = modules_after("import isodepth; dir(isodepth); isodepth.__version__")
    assert "isodepth" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "scipy", "rich", "click"})


def test_the_help_needs_neither_numpy_nor_torch_nor_rich() -> None:
    code = "from isodepth.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit: pass"
    loaded = modules_after(code)
    assert "click" in loaded
    assert loaded.isdisjoint({*HEAVY, "numpy", "scipy", "rich"})


@pytest.mark.parametrize(
    "command",
    [["compare"], ["run"], ["status"], ["inspect"], ["models"], ["models", "show"]],
    ids=" ".join,
)
def test_the_help_of_a_command_needs_them_neither(command: list[str]) -> None:
    arguments = [*command, "--help"]
    code = f"from isodepth.cli import main\ntry:\n    main({arguments})\nexcept SystemExit: pass"
    assert modules_after(code).isdisjoint({*HEAVY, "numpy", "scipy", "rich", "peft"})


@pytest.mark.parametrize("arguments", [["models"], ["models", "show", "gemma-2-9b"]], ids=" ".join)
def test_looking_at_models_needs_no_torch(arguments: list[str]) -> None:
    code = f"from isodepth.cli import main\ntry:\n    main({arguments})\nexcept SystemExit: pass"
    assert modules_after(code).isdisjoint({*HEAVY, "datasets", "peft"})


def test_importing_the_statistics_loads_no_distributions_and_compiles_nothing() -> None:
    loaded = modules_after("import isodepth.statistics, isodepth.assessment, isodepth.report")
    assert "numpy" in loaded
    assert loaded.isdisjoint({*HEAVY, *FOR_RESULTS, *FOR_TABLES, "statsmodels", "sklearn"})


def test_the_pipeline_and_the_results_need_no_torch() -> None:
    loaded = modules_after(
        "import isodepth; isodepth.compare, isodepth.nearest_neighbors, isodepth.Activations; "
        "isodepth.inspect_model, isodepth.Model, isodepth.LoadingOptions"
    )
    assert "numpy" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "matplotlib"})


def test_a_finished_study_is_planned_and_run_again_without_torch(tmp_path: Path) -> None:
    # without a model: readings that were imported
    lists = neighbor_lists(13, 3)
    texts = [f"text {number}" for number in range(13)]
    written_as_published(tmp_path / "published", "google/gemma-2b", "web_text", texts, lists)
    for file in published_files([tmp_path / "published"]):
        keep_reading(read_published_neighbors(file), Store(tmp_path / "store"))
    study = tmp_path / "mine.toml"
    study.write_text('models = "gemma-2b"\ntexts = "web-text"\nn = 13\nks = 5\ncaptures = "final_norm"')
    options = ["--store", str(tmp_path / "store"), "--imported"]
    run = ["run", str(study), "--out", str(tmp_path / "out"), *options]
    assert modules_after_command(run).isdisjoint(FOR_RESULTS)
    assert (tmp_path / "out" / "manifest.json").exists()
    for arguments in (run, ["status", str(study), *options]):
        loaded = modules_after_command(arguments)
        assert "numpy" in loaded
        assert loaded.isdisjoint({*FOR_RESULTS, *FOR_TABLES, "numba"})


def test_what_models_read_is_shown_again_without_torch(llama_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "red.txt").write_text("\n".join(tiny_models.texts_of([3 + n % 7 for n in range(13)])))
    study = tmp_path / "mine.toml"
    study.write_text(f'models = ["{llama_folder}"]\ntexts = ["./red.txt"]\nn = 13\nks = [3]')
    isodepth.run_study(study, tmp_path / "out", store=tmp_path / "store")
    loaded = modules_after_command(
        ["run", str(study), "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    )
    assert "numpy" in loaded
    assert loaded.isdisjoint({*FOR_RESULTS, *FOR_TABLES, "numba"})


def test_the_pipeline_of_studies_loads_no_torch_and_no_cluster() -> None:
    loaded = modules_after(
        "import isodepth; isodepth.run_study, isodepth.load_results, isodepth.Study, isodepth.load_study; "
        "import isodepth.engines, isodepth.interchange, isodepth.results, isodepth.pipeline.plan"
    )
    assert loaded.isdisjoint({"torch", "transformers", "matplotlib", "ray", "fsspec"})


def test_these_checks_can_fail() -> None:
    assert {"torch", "transformers"} <= modules_after("import isodepth; isodepth.load_model")


def test_every_public_name_resolves_and_has_a_docstring() -> None:
    for name in isodepth.__all__:
        value = getattr(isodepth, name)
        if name in ("__version__", "MEASURES"):
            continue  # a string and a dict: the docs of their types are not ours
        assert value.__doc__, name
        assert value.__doc__ != dict.__doc__
        assert value.__module__.startswith("isodepth."), name


def test_public_names_are_listed_once_and_live_where_the_table_says() -> None:
    assert sorted(isodepth.__all__) == sorted(set(isodepth.__all__))
    assert set(isodepth.__all__) == {*isodepth._HOMES, "__version__"}
    assert dir(isodepth) == sorted(isodepth.__all__)
    for name, home in isodepth._HOMES.items():
        module = importlib.import_module(f"isodepth.{home}")
        assert getattr(module, name) is getattr(isodepth, name)


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'isodepth' has no attribute 'no_such_name'"):
        _ = isodepth.no_such_name


def test_measures_are_named_functions() -> None:
    assert "mutual_knn" in isodepth.MEASURES
    assert all(callable(measure) for measure in isodepth.MEASURES.values())
