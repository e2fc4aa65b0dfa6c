"""What goes wrong, as users see it: one message, a hint, a status; and Ctrl-C loses no work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import tiny_models
from isodepth import Store

pytestmark = pytest.mark.usefixtures("few_relabellings")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def texts_file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(tiny_models.texts_of([3 + number % 11 for number in range(23)])))
    return path


def assert_refused(result: tuple[int, str, str], error: str, hint: str | None) -> None:
    status, said, problems = result
    assert status == 1
    assert said == ""
    assert "Traceback" not in problems
    lines = problems.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("error: "))
    assert error in "\n".join(lines[at:])
    hints = [line for line in lines if line.startswith("hint: ")]
    if hint is None:
        assert hints == []
    else:
        assert len(hints) == 1
        assert hint in hints[0]


def test_an_unknown_model_gets_the_nearest_name(run: Run, texts_file: Path) -> None:
    result = run("compare", "gema-3-270m", "gemma-3-270m", "--texts", texts_file)
    assert_refused(result, "no model is called 'gema-3-270m'", "did you mean gemma-3-270m")


def test_an_unknown_text_set_gets_the_nearest_name(run: Run, llama_folder: Path) -> None:
    result = run("compare", llama_folder, llama_folder, "--texts", "wikipdia")
    assert_refused(result, "no text set and no file is called 'wikipdia'", "did you mean wikipedia")


def test_a_file_that_is_no_model_is_refused(run: Run, texts_file: Path) -> None:
    result = run("compare", texts_file, texts_file, "--texts", texts_file)
    assert_refused(result, "expected a GGUF file", "pass a .gguf file")


def test_more_texts_than_there_are_are_refused_with_the_number(
    run: Run, llama_folder: Path, texts_file: Path
) -> None:
    result = run("compare", llama_folder, llama_folder, "--texts", texts_file, "-n", 24)
    assert_refused(result, "expected 2 <= n <= 23", "use n = 23")


def test_a_k_as_large_as_the_texts_are_many_is_refused(
    run: Run, llama_folder: Path, texts_file: Path
) -> None:
    result = run("compare", llama_folder, llama_folder, "--texts", texts_file, "-k", 23)
    assert_refused(result, "k = 23 neighbors of 23 texts", "use a smaller k or more texts")


def test_an_empty_line_of_the_texts_is_named(run: Run, llama_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("one\n\nthree\n")
    result = run("compare", llama_folder, llama_folder, "--texts", path)
    assert_refused(result, "row 2 (rows count from 1)", "min_chars = 1 leaves such rows out")


def test_the_last_token_of_an_encoder_is_refused(run: Run, bert_folder: Path, texts_file: Path) -> None:
    result = run("compare", bert_folder, bert_folder, "--texts", texts_file)
    assert_refused(
        result,
        "tiny-bert (BertModel): its tokens see later ones (it is no causal decoder)",
        "use --pooling mean, as sentence models do",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "a"), "Missing argument 'RIGHT'"),
        (("compare", "a", "b"), "Missing option '--texts'"),
        (("compare", "a", "b", "--texts", "c", "-n", "many"), "'many' is not a valid"),
        (("compare", "a", "b", "--texts", "c", "--capture", "all"), "'all' is not one of"),
        (("compair",), "No such command 'compair'"),
        (("models", "--all"), "No such option"),
        (("models", "show"), "Missing argument 'NAME'"),
        (("compare", "a", "b", "--texts", "c", "--capture", "embedding"), "'embedding' is not one of"),
        (("compare", "a", "b", "--texts", "c", "--dtype", "int8"), "'int8' is not one of"),
        (("inspect", "a"), "Missing option '--texts'"),
        (("inspect", "a", "--texts", "c", "--probes", "1"), "1 is not in the range x>=2"),
    ],
)
def test_wrong_usage_has_status_2_and_no_traceback(
    arguments: tuple[str, ...], message: str, run: Run
) -> None:
    status, said, problems = run(*arguments)
    assert (status, said) == (2, "")
    assert message in problems
    assert "Traceback" not in problems


def test_warnings_of_ours_are_one_line_and_others_are_silent(
    run: Run, llama_folder: Path, texts_file: Path, tmp_path: Path
) -> None:
    arguments = (
        "compare",
        llama_folder,
        llama_folder,
        "--texts",
        texts_file,
        "--out",
        tmp_path / "out",
    )
    assert run(*arguments)[0] == 0
    (damaged,) = (tmp_path / "store" / "neighbors").glob("*/arrays.safetensors")
    damaged.write_bytes(b"damaged")
    status, _, problems = run(*arguments)
    assert status == 0
    (line,) = (line for line in problems.splitlines() if line.startswith("warning: "))
    assert "damaged file in the store" in line
    assert ".py" not in line


def test_a_real_process_ends_with_status_1_and_nothing_on_standard_output(texts_file: Path) -> None:
    command = [sys.executable, "-c", "from isodepth.cli import main; main()"]
    command += ["compare", "nonsense", "nonsense", "--texts", str(texts_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: no model is called 'nonsense'")
    assert "hint: " in done.stderr
    assert "\x1b" not in done.stderr


def test_interrupting_a_real_process_keeps_what_was_read_and_the_rerun_goes_on(
    run: Run, llama_folder: Path, tmp_path: Path
) -> None:
    slow = tiny_models.saved(
        tmp_path / "slow-llama",
        hidden_size=128,
        head_dim=32,
        intermediate_size=389,
        num_hidden_layers=11,
        max_position_embeddings=307,
    )
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(tiny_models.texts_of([197 + number % 53 for number in range(97)])))
    arguments = ["compare", str(slow), str(llama_folder), "--texts", str(texts)]
    arguments += ["-k", "7", "--out", str(tmp_path / "out")]
    # where the tests run in the background of a shell, interrupts are ignored, and programs inherit that
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from isodepth.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    store = Store(tmp_path / "store")
    deadline = time.monotonic() + 100
    while not any(path.stat().st_size for path in store.root.glob("unfinished/*/journal.jsonl")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    said, problems = process.communicate(timeout=60)
    assert process.returncode == 130, problems
    assert said == ""
    assert "interrupted. What was finished is kept; run the same command again to go on." in problems
    assert "Traceback" not in problems
    assert not (tmp_path / "out").exists()
    (folder,) = (store.root / "unfinished").iterdir()
    unfinished = store.unfinished("activations", folder.name.removeprefix("activations-"))
    assert unfinished is not None
    assert 0 < len(unfinished.missing) < 97
    before = np.setdiff1d(np.arange(97), unfinished.missing)

    status, said, _ = run(*arguments, "--keep-activations")
    assert status == 0
    assert "97 texts of texts.txt" in said
    kept = [store.read("activations", key) for key in store.keys("activations")]
    (artifact,) = (one for one in kept if one is not None and one.manifest["model"] == "slow-llama")
    assert np.isfinite(artifact.arrays["values"]).all()
    assert (np.linalg.norm(artifact.arrays["values"][:, before], axis=-1) > 0).all()
    assert not any((store.root / "unfinished").iterdir())
