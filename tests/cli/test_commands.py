"""The commands: files, data on standard output, progress on standard error, help with examples."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_models
from isodepth import __version__
from isodepth.cli import cli
from isodepth.comparison import OUTPUTS

pytestmark = pytest.mark.usefixtures("few_relabellings")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def texts_file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(tiny_models.texts_of([3 + number % 11 for number in range(43)])))
    return path


def test_compare_writes_its_files_and_prints_what_was_found(
    run: Run, llama_folder: Path, gemma_folder: Path, texts_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("compare", llama_folder, gemma_folder, "--texts", texts_file, "-n", 37, "--out", out)
    status, said, progress = run(*arguments)
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["n_texts"], summary["k"]) == (37, 10)
    assert summary["decision"]["sentence"] in said
    assert "layers of tiny-llama (up) against layers of tiny-gemma (right)" in said
    rows = re.findall(r"│(.*)│", said)
    assert len(rows) == 5
    assert {len(row) for row in rows} == {14}  # two characters for each of 7 layers
    for name in OUTPUTS:
        assert str(out / name) in said
    best = summary["best_cell"]
    assert f"Most similar: layer {best['left_layer']} of tiny-llama and layer " in said
    assert "37 texts of reviews.txt, k = 10" in said
    assert "reading with" not in said
    assert "reading with tiny-llama" in progress
    assert re.search(r"reading with tiny-gemma: done in \d+\.\d s", progress)
    assert "\x1b" not in said + progress
    assert "Found in the store" not in said

    status, again, progress = run(*arguments)
    assert status == 0
    assert "reading with" not in progress
    found = "Found in the store: neighbors of tiny-llama, neighbors of tiny-gemma, affinity matrix."
    assert again.replace(found + "\n", "") == said
    assert found in again


def test_duplicates_cuts_and_removed_tokens_are_noted(
    run: Run, llama_folder: Path, tmp_path: Path
) -> None:
    folder = tiny_models.saved(tmp_path / "ending", tokenizer=tiny_models.tiny_tokenizer(eos=True))
    texts = tiny_models.texts_of([3, 5, 7, 11, 13, 17])
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*texts, texts[1]]))
    status, said, _ = run(
        *("compare", llama_folder, folder, "--texts", path, "-k", 3),
        *("--max-tokens", 12, "--out", tmp_path / "out"),
    )
    assert status == 0
    assert "note: 1 texts of texts.txt are exact copies of others, hence near neighbors." in said
    assert "note: tiny-llama cut 2 texts after 12 tokens." in said
    assert "note: ending: </s>, which its tokenizer appends, was removed." in said


def test_options_reach_the_comparison_and_its_own_store(
    run: Run, llama_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "texts.csv"
    lines = tiny_models.texts_of([3 + number % 7 for number in range(23)])
    path.write_text("number,review\n" + "".join(f"{n},{line}\n" for n, line in enumerate(lines)))
    store, out = tmp_path / "own-store", tmp_path / "out"
    status, said, _ = run(
        *("compare", llama_folder, llama_folder, "--texts", path, "--column", "review"),
        *("-n", 19, "-k", 3, "--seed", 5, "--capture", "final_norm", "--pooling", "mean"),
        *("--max-tokens", 7, "--keep-activations", "--store", store, "--out", out),
    )
    assert status == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["capture"] == {"capture": "final_norm", "pooling": "mean", "max_tokens": 7}
    assert (summary["k"], summary["n_texts"]) == (3, 19)
    (sampling,) = summary["texts"]["provenance"]["sampling"]
    assert (sampling["seed"], sampling["n"], sampling["from_n_texts"]) == (5, 19, 23)
    assert summary["texts"]["provenance"]["column"] == "review"
    assert "capture final_norm, pooling mean" in said
    assert len(list((store / "activations").iterdir())) == 1
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("no_color", [None, "1", ""])
def test_colors_are_for_terminals_that_want_them(
    no_color: str | None,
    run: Run,
    llama_folder: Path,
    texts_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    status, said, _ = run(
        *("compare", llama_folder, llama_folder, "--texts", texts_file, "--out", tmp_path / "out")
    )
    assert status == 0
    # no-color.org: the variable counts when it is set and not empty
    assert ("\x1b[" in said) == (not no_color)


COMMANDS = [
    path
    for name, command in cli.commands.items()
    for path in ([name], *([name, inner] for inner in getattr(command, "commands", {})))
]


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_help_has_an_example_that_begins_with_the_command(
    command: list[str], flag: str, run: Run
) -> None:
    status, said, problems = run(*command, flag)
    assert (status, problems) == (0, "")
    heading, *examples = re.split(r"\n\s*(?=Examples?:)", said)[1].rstrip().splitlines()
    assert heading == ("Example:" if len(examples) == 1 else "Examples:")
    assert len(examples) >= 1
    for example in examples:
        assert example.split()[: len(command) + 1] == ["isodepth", *command]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_option_in_an_example_exists(command: list[str], run: Run) -> None:
    _, said, _ = run(*command, "--help")
    options, example = re.split(r"\n\s*Examples?:", said)
    for option in re.findall(r"(?<= )--?[a-z][a-z-]*", example):
        assert re.search(rf"{option}\b", options), option


def test_the_version_is_the_packages(run: Run) -> None:
    status, said, _ = run("--version")
    assert status == 0
    assert __version__ in said
