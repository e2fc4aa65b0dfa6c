"""`isodepth export`: results as files for other tools, neighbors to share."""

from pathlib import Path

import click.testing
import numpy as np
import pytest
import xarray

from isodepth.affinity import AffinityMatrices
from isodepth.cli.export import export_command
from isodepth.cli.import_ import import_command
from isodepth.errors import UnknownNameError
from isodepth.results import MatrixKind, StudyResults, TextSetResults, load_results


@pytest.fixture
def results(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Write a folder of results of two text sets."""
    sets = {}
    for name in ("news", "wiki"):
        values = rng.random((5, 5))
        matrices = AffinityMatrices(
            values=(values + values.T) / 2,
            left=("one", "other"),
            right=("one", "other"),
            left_layers=(2, 3),
            right_layers=(2, 3),
            is_symmetric=True,
            measure="mutual_knn",
            k=7,
            n_texts=41,
            texts=name,
        )
        sets[name] = TextSetResults(name=name, matrices={MatrixKind("mutual_knn", 7): matrices})
    study = StudyResults(name="small", sets=sets, manifest={"name": "small"})
    study.write(tmp_path / "results")
    return tmp_path / "results"


def exported(*arguments: object) -> str:
    done = click.testing.CliRunner().invoke(
        export_command, [str(one) for one in arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_go_out_and_come_back_as_results(results: Path, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"out.{form}"
    assert exported(form, results, "--out", path) == f"Wrote {path}\n"
    back = tmp_path / "back"
    done = click.testing.CliRunner().invoke(
        import_command, ["matrices", str(path), "--out", str(back)], catch_exceptions=False
    )
    assert done.exit_code == 0
    one, other = load_results(results), load_results(back)
    assert other.set_names == ("news", "wiki")
    for name in one.set_names:
        np.testing.assert_array_equal(one.matrices(name).values, other.matrices(name).values)


def test_labelled_arrays_of_one_text_set(results: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.nc"
    exported("netcdf", results, "--texts", "wiki", "--out", path)
    with xarray.open_dataset(path) as found:
        assert list(found.data_vars) == ["wiki"]
        values = found["wiki"].squeeze().values
    np.testing.assert_array_equal(values, load_results(results).matrices("wiki").values)


def test_one_file_of_the_results_is_enough(results: Path, tmp_path: Path) -> None:
    (file,) = results.glob("news-*.safetensors")
    exported("csv", file, "--out", tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().count("\n") == 1 + 4 + 6 + 9


def test_an_unknown_text_set_is_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="small has no results on 'news2'") as caught:
        exported("csv", results, "--texts", "news2", "--out", tmp_path / "a.csv")
    assert caught.value.hint == "did you mean news?"


def test_an_empty_store_has_nothing_to_share(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="holds no neighbors"):
        exported("neighbors", "--store", tmp_path / "empty", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
