"""The examples and the README's commands do what they say."""

import re
import runpy
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import isodepth

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


Example = Callable[..., str]


@pytest.fixture
def example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Example:
    """Return a function that runs an example here, where torch is loaded already: what it prints."""
    import torch

    n_threads = torch.get_num_threads()

    def ran(name: str, *arguments: object) -> str:
        path = ROOT / "examples" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        try:
            runpy.run_path(str(path), run_name="__main__")
        finally:
            torch.set_num_threads(n_threads)  # examples that train take one
        return capsys.readouterr().out

    return ran


def written(said: str) -> Path:
    """Return the last picture that an example says it wrote."""
    return Path(re.findall(r"\S+\.png", said)[-1])


def test_every_example_is_tested_and_says_how_it_is_used() -> None:
    names = {"base_against_tuned", "compare_two_models", "own_activations", "published_matrices"}
    assert {path.stem for path in EXAMPLES} == names
    for path in EXAMPLES:
        assert f"    python examples/{path.name} " in path.read_text(encoding="utf-8")


def test_two_tiny_models_are_compared(example: Example) -> None:
    said = example("compare_two_models")
    assert "tiny-llama (12 layers) and tiny-gpt2 (8)" in said
    assert len(re.findall(r"^ +\d+ -> +\d+ ", said, re.MULTILINE)) == 12
    assert written(said).stat().st_size > 10_000


def test_own_activations_share_their_path(example: Example, tmp_path: Path) -> None:
    said = example("own_activations")
    assert "more at corresponding depths, along the whole of depth" in said
    assert "layer 13 of thirteen corresponds to layer 9 of nine (95 % band 9 to 9)" in said
    assert written(said).is_file()


def test_own_activations_are_read_from_files(example: Example, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for name, n_layers in (("one", 3), ("other", 2)):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(n_layers, 53, 7)))
    said = example("own_activations", tmp_path / "one.npy", tmp_path / "other.npy")
    assert "No layers share neighbors beyond chance" in said
    assert "layer 3 of one corresponds to layer" in said


def test_tuning_of_the_last_layers_shows_from_the_first_of_them_on(example: Example) -> None:
    said = example("base_against_tuned")
    assert said.count("The first layer in which some text has another neighbor: layer 7.") == 2
    assert written(said).is_file()


def test_matrices_of_the_published_form_are_told_apart(example: Example) -> None:
    said = example("published_matrices")
    whole, ends = said.split("ends_alone_k10.npz")
    assert "6 of 6 pairs: depth-matched" in whole
    assert "6 of 6 pairs: shared, not depth-matched" in ends
    assert said.count("6 of 6 pairs pass at 0.05") == 2  # the paper's test cannot tell
    assert written(ends).is_file()


def test_examples_that_are_given_too_much_say_what_they_take(example: Example) -> None:
    for name in ("compare_two_models", "base_against_tuned"):
        with pytest.raises(SystemExit, match="got 1 arguments"):
            example(name, "one")


def test_the_readme_uses_only_names_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"isodepth\.(\w+)\(", readme))
    assert {"compare", "nearest_neighbors", "affinity_matrix", "assess_pair", "depth_map"} <= names
    assert names <= set(isodepth.__all__)


def test_links_of_readme_and_docs_lead_to_files() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{page.name}: {target}"
