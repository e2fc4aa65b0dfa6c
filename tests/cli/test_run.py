"""`isodepth run` and `isodepth status`: what they print, log and leave, on terminals and elsewhere."""

import contextlib
import errno
import io
import logging
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import isodepth
from isodepth.cli import main
from isodepth.cli.run import results_folder
from isodepth.cli.run_log import logging_to
from isodepth.cli.study_display import StudyDisplay
from isodepth.engines import Outcome, Task
from isodepth.errors import IsodepthWarning, ModelError, StoreError
from isodepth.interchange import keep_reading, published_files, read_published_neighbors
from isodepth.results import load_results
from isodepth.store import Store
from isodepth.study import Resources
from published_form import neighbor_lists, written_as_published
from tiny_studies import bytes_of, data_files, flipped, written_texts

Run = Callable[..., tuple[int, str, str]]
STUDY = """
models = ["./tiny-gpt2", "./tiny-two"]
texts = ["./red.txt", {left = "./red.txt", right = "./green.txt", name = "pair"}]
n = 31
ks = [3]
"""
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) \S")


@pytest.fixture(scope="module")
def prepared(gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study file, its two models and its texts."""
    import tiny_models

    folder = written_texts(tmp_path_factory.mktemp("prepared"))
    shutil.copytree(gpt2_folder, folder / "tiny-gpt2")
    tiny_models.saved(folder / "tiny-two", tiny_models.gpt2, seed=23, n_layer=2)
    (folder / "study.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def ran(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A folder in which the study was run: folder, output and errors."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("ran") / "here"))
    output, errors = io.StringIO(), io.StringIO()
    package = logging.getLogger("isodepth")
    before = (package.level, package.propagate)
    with (
        pytest.MonkeyPatch.context() as patch,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        patch.chdir(folder)
        patch.setenv("ISODEPTH_CACHE", str(folder / "cache"))
        patch.setattr(warnings, "showwarning", warnings.showwarning)
        main(["run", "study.toml", "--store", "kept"])
    package.level, package.propagate = before
    return folder, output.getvalue(), errors.getvalue()


@pytest.fixture
def here(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test with the study, not run yet; the current one."""
    folder = Path(shutil.copytree(prepared, tmp_path / "here"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def there(ran: tuple[Path, str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of this test in which the study was run; the current one."""
    folder = Path(shutil.copytree(ran[0], tmp_path / "there"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    package = logging.getLogger("isodepth")
    before = (package.level, package.propagate, list(package.handlers))
    yield
    package.level, package.propagate, package.handlers[:] = before


# ------------------------------------------------------------------------------ a run in a process


def test_a_run_shows_plan_progress_and_results(ran: tuple[Path, str, str]) -> None:
    _, output, errors = ran
    lines = output.splitlines()
    assert lines[0] == (
        "study: 2 models on 2 text sets: 5 pairs of models. Matrices of all layers: 2; 0 in the store"
    )
    assert lines[1] == "Readings (a model on a text set): 4; 0 in the store, 4 to do"
    assert re.fullmatch(
        r"To read: about [\d,]+ tokens\. Time to read: about .* \(one task at a time\)\.", lines[2]
    )
    assert lines[3].startswith("Disk: about ")
    assert re.split(r" {2,}", lines[5].strip()) == ["red.txt", "green.txt"]
    assert re.split(r" {2,}", lines[6]) == ["tiny-gpt2", "to do", "to do"]
    (red,) = (at for at, line in enumerate(lines) if line.startswith("red.txt (mutual_knn"))
    assert lines[red] == "red.txt (mutual_knn, k = 3, capture block, pooling last; chance 0.100)"
    assert lines[red + 1].split()[:2] == ["left", "right"]
    assert lines[red + 2].split()[:2] == ["tiny-gpt2", "tiny-two"]
    (pair,) = (at for at, line in enumerate(lines) if line.startswith("pair (mutual_knn"))
    assert len([line for line in lines[pair + 2 : pair + 6] if line.strip()]) == 4
    assert lines[-2] == "For a page that shows them: isodepth report results/study"
    assert lines[-1] == (
        "Results: results/study (isodepth.load_results reads them); log: results/study/run.log"
    )
    for number, said in enumerate(errors.splitlines(), 1):
        assert re.fullmatch(
            rf"\S+ on \S+: done in [\d.]+ (s|min) \({number} of 4 readings\)"
            if number <= 4
            else rf"comparing layers on \S+: done in [\d.]+ (s|min) \({number - 4} of 2 comparisons\)",
            said,
        ), said
    assert len(errors.splitlines()) == 6


def test_the_log_tells_the_plan_and_what_was_noticed_while_planning(
    there: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    log = there / "results" / "study" / "run.log"
    first = log.read_text()
    assert "INFO Readings (a model on a text set): 4; 0 in the store, 4 to do\n" in first
    record, *_ = sorted((there / "kept" / "speeds").glob("*/manifest.json"))
    record.write_bytes(record.read_bytes().replace(b"seconds", b"secondz"))
    status, _, errors = run("run", "study.toml", "--store", "kept")
    assert status == 0
    assert "damaged file in the store" in errors.replace("\n", " ")
    again = log.read_text().removeprefix(first)
    starts, damaged, *rest = [line.split(" ", 2)[2] for line in again.splitlines()]
    assert starts == f"INFO isodepth {isodepth.__version__} starts"
    assert damaged.startswith("WARNING damaged file in the store: ")
    assert "INFO Readings (a model on a text set): 4; 4 in the store, 0 to do" in rest


def test_no_terminal_gets_no_escape_codes(ran: tuple[Path, str, str]) -> None:
    _, output, errors = ran
    assert "\x1b" not in output + errors
    assert "\r" not in output + errors


def test_a_process_of_its_own_finds_all_done_without_torch_and_writes_plain_text(there: Path) -> None:
    before = bytes_of(there / "results" / "study")
    code = (
        "import sys; from isodepth.cli import main; main(['run', 'study.toml', '--store', 'kept']); "
        "print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("run.log\n[]\n")
    assert "4 in the store, 0 to do" in done.stdout
    assert "\x1b" not in done.stdout
    assert bytes_of(there / "results" / "study") == before


def test_output_has_no_two_empty_lines_together(ran: tuple[Path, str, str]) -> None:
    assert "\n\n\n" not in ran[1]


def test_results_and_log_are_where_the_output_says(ran: tuple[Path, str, str]) -> None:
    folder = ran[0] / "results" / "study"
    results = load_results(folder)
    assert results.set_names == ("red.txt", "pair")
    assert results.matrices("pair").left == ("tiny-gpt2", "tiny-two")
    log = (folder / "run.log").read_text().splitlines()
    assert all(LOG_LINE.match(line) for line in log)
    assert log[0].endswith(f" INFO isodepth {isodepth.__version__} starts")
    text = "\n".join(log)
    for what in (
        "INFO readings: 0 of 4 readings",
        "INFO readings: 4 of 4 readings",
        "INFO tiny-gpt2 on red.txt: loading tiny-gpt2: 1 of 1 steps",
        "INFO tiny-two on green.txt: done in ",
        "INFO comparing layers on pair: done in ",
        "INFO writing results: 2 of 2 steps",
    ):
        assert what in text
    assert re.search(r"INFO tiny-gpt2 on red.txt: reading with tiny-gpt2: 544 of 544 tokens", text)


# ------------------------------------------------------------------------------------ again, plan


def test_the_second_run_does_nothing_and_gives_the_same_bytes(run: Run, there: Path) -> None:
    before = bytes_of(there / "results" / "study")
    status, output, errors = run("run", "study.toml", "--store", "kept", "--out", "again")
    assert (status, errors) == (0, "")
    assert "Readings (a model on a text set): 4; 4 in the store, 0 to do" in output
    assert "to do    " not in output
    assert "To read:" not in output
    assert bytes_of(there / "again") == before


def test_a_log_is_added_to(run: Run, there: Path) -> None:
    log = there / "results" / "study" / "run.log"
    first = log.read_text()
    run("run", "study.toml", "--store", "kept")
    assert log.read_text().startswith(first)
    added = log.read_text()[len(first) :]
    assert added.splitlines()[0].endswith(f" INFO isodepth {isodepth.__version__} starts")
    assert "readings: 4 of 4 readings" in added


def test_a_plan_alone_computes_and_writes_nothing(run: Run, here: Path) -> None:
    before = sorted(here.rglob("*"))
    status, output, errors = run("run", "study.toml", "--plan")
    assert (status, errors) == (0, "")
    assert "0 in the store, 4 to do" in output
    assert "Results:" not in output
    assert sorted(here.rglob("*")) == before
    assert not Store().root.exists()


def test_a_plan_of_a_finished_study_says_that_nothing_is_to_do(run: Run, there: Path) -> None:
    status, output, _ = run("run", "study.toml", "--store", "kept", "--plan")
    assert status == 0
    assert "4 in the store, 0 to do" in output
    assert "Matrices of all layers: 2; 2 in the store" in output
    assert "Time to read" not in output
    assert "Disk" not in output


def test_one_is_said_of_one(run: Run, here: Path) -> None:
    (here / "one.toml").write_text('models = "./tiny-two"\ntexts = "./red.txt"\nn = 31\nks = [3]\n')
    _, output, _ = run("run", "one.toml", "--plan")
    assert "1 model on 1 text set" in output
    assert "1 models" not in output


# ---------------------------------------------------------------------------------------- status


def test_status_before_and_after_a_run(run: Run, here: Path, ran: tuple[Path, str, str]) -> None:
    status, output, errors = run("status", "study.toml")
    assert (status, errors) == (0, "")
    assert "0 in the store, 4 to do" in output
    assert not Store().root.exists()
    status, output, errors = run("status", "study.toml", "--store", ran[0] / "kept")
    assert (status, errors) == (0, "")
    assert "4 in the store, 0 to do" in output
    rows = [re.split(r" {2,}", line) for line in output.splitlines()]
    assert ["tiny-two", "done", "done"] in rows


def test_status_of_a_run_that_was_stopped_and_of_one_that_goes_on(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from isodepth.pipeline.plan import plan_study
    from isodepth.pipeline.run import run_study
    from isodepth.study import load_study

    monkeypatch.setattr("isodepth.activations.extraction.TOKEN_BUDGET", 97)
    during: list[str] = []

    def stop(label: str, done: int, total: int, unit: str) -> None:
        if unit == "texts" and done > 9:
            during.append(run("status", "study.toml")[1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study("study.toml", here / "out", progress=stop)
    (output,) = during
    assert "0 in the store, 4 to do, 1 of these at work in another run\n" in output
    assert re.search(r"^tiny-gpt2 +now \d\d %", output, re.MULTILINE)
    assert re.search(r"^tiny-gpt2 on red\.txt: [12]\d of 31 texts", output, re.MULTILINE)
    assert "no run is at it" not in output
    _, output, _ = run("status", "study.toml")
    assert "0 in the store, 4 to do, 1 of these begun\n" in output
    (planned, *_) = plan_study(load_study("study.toml"), Store()).readings
    assert re.search(rf"^tiny-gpt2 +{100 * planned.share_done:.0f} %  +to do$", output, re.MULTILINE)
    assert f"tiny-gpt2 on red.txt: {planned.so_far.n_done} of 31 texts, no run is at it" in output

    def stop_later(label: str, done: int, total: int, unit: str) -> None:
        if "finding neighbors" in label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study("study.toml", here / "out", progress=stop_later)
    _, output, _ = run("status", "study.toml")
    assert "tiny-gpt2 on red.txt: 31 of 31 texts, their neighbors are to be found\n" in output
    run("run", "study.toml")
    assert "4 in the store, 0 to do" in run("status", "study.toml")[1]


# ----------------------------------------------------------------------------------- what is missing


def test_what_fails_is_said_with_reason_and_hint_and_status_1(run: Run, here: Path) -> None:
    (here / "tiny-two" / "model.safetensors").write_bytes(b"no weights")
    texts = STUDY.replace(
        'texts = ["./red.txt",', 'texts = [{texts = "./blue.txt", n = 97}, "./red.txt",'
    )
    (here / "study.toml").write_text(texts)
    status, output, errors = run("run", "study.toml")
    assert status == 1
    lines = errors.splitlines()
    assert lines[0].startswith("cannot be had: blue.txt: blue.txt: n = 97 texts were asked for")
    assert any(line.startswith("tiny-two on red.txt: failed: tiny-two: ") for line in lines)
    assert any(line.startswith("cannot be had: tiny-two on green.txt: ") for line in lines)
    assert len([line for line in lines if line.startswith("cannot be had: blue.txt")]) == 1
    assert lines[-1] == (
        "3 things that the study wants could not be had; the results say so. Once the reasons are gone, "
        "the same command adds what is missing."
    )
    assert "pair (mutual_knn" in output
    results = load_results(here / "results" / "study")
    assert results.matrices("pair").left == ("tiny-gpt2",)
    log = (here / "results" / "study" / "run.log").read_text()
    assert re.search(r"ERROR tiny-two on red\.txt: ", log)
    # the next run tries it again
    shutil.copyfile(here / "tiny-gpt2" / "model.safetensors", here / "tiny-two" / "model.safetensors")
    shutil.copyfile(here / "tiny-gpt2" / "config.json", here / "tiny-two" / "config.json")
    (here / "study.toml").write_text(STUDY)
    status, _, errors = run("run", "study.toml")
    assert status == 0, errors


def test_in_a_process_of_its_own_a_plan_says_each_thing_once(here: Path) -> None:
    study = STUDY.replace(
        'texts = ["./red.txt",', 'texts = [{texts = "./blue.txt", n = 97}, "./red.txt",'
    )
    (here / "study.toml").write_text(study)
    command = [sys.executable, "-m", "isodepth", "run", "study.toml", "--plan"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    lines = done.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["cannot be had", "hint"]
    assert not (here / "results").exists()


def test_a_table_of_one_model_has_no_header_without_rows(run: Run, here: Path) -> None:
    (here / "one.toml").write_text('models = "./tiny-two"\ntexts = "./red.txt"\nn = 31\nks = [3]\n')
    status, output, _ = run("run", "one.toml")
    assert status == 0
    after = output.split("red.txt (mutual_knn", 1)[1].splitlines()
    assert after[1] == "  only tiny-two read it, so there is no pair of models"
    assert "verdict" not in output


def test_where_all_fails_there_is_one_error_and_no_results(run: Run, here: Path) -> None:
    for name in ("tiny-gpt2", "tiny-two"):
        (here / name / "model.safetensors").write_bytes(b"no weights")
    status, output, errors = run("run", "study.toml")
    assert status == 1
    assert errors.splitlines()[-2].startswith(
        "error: study: there is nothing to write, because all of it failed; first: tiny-gpt2 on red.txt"
    )
    assert errors.splitlines()[-1].startswith("hint: ")
    assert "Results:" not in output
    assert [path.name for path in (here / "results" / "study").iterdir()] == ["run.log"]
    assert "ERROR stopped: StoreError" in (here / "results" / "study" / "run.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "gone.toml"], "gone.toml"),
        (["run", "study.toml", "--ray-address", "auto"], "--ray-address belongs to --engine ray"),
        (["run", "study.toml", "--out", "study.toml"], "Directory 'study.toml' is a file"),
        (["run", "study.toml", "--out", "study.toml/x"], "a file stands where a folder is needed"),
        (["run", "study.toml", "--engine", "spark"], "'spark' is not one of"),
        (["run", "study.toml", "--imported"], "nothing was imported into"),
        (["status", "gone.toml"], "gone.toml"),
        (["status"], "Missing argument 'STUDY'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    run: Run, here: Path, arguments: list[str], said: str
) -> None:
    before = sorted(here.rglob("*"))
    status, _, errors = run(*arguments)
    assert status in (1, 2)
    assert said in errors
    assert "Traceback" not in errors
    assert sorted(here.rglob("*")) == before


def test_a_folder_with_imported_matrices_is_left_as_it_is(run: Run, here: Path) -> None:
    rows = ["left,right,left_layer,right_layer,similarity"]
    rows += [f"a,b,{i},{j},0.{i}{j}" for i in (1, 2) for j in (1, 2, 3)]
    (here / "news.csv").write_text("\n".join(rows) + "\n")
    imported = ["import", "matrices", "news.csv", "--n-texts", "31", "-k", "3", "--out", "study"]
    status, _, errors = run(*imported)
    assert status == 0, errors
    before = sorted(here.rglob("*"))
    for study in ("study.toml", "other.toml"):  # also where it has the same name
        (here / study).write_text(STUDY)
        status, output, errors = run("run", study, "--out", "study")
        (here / "other.toml").unlink(missing_ok=True)
        assert status == 1
        assert errors.splitlines() == [
            f"error: study holds the imported results 'study', which those of {study[:-5]!r} would "
            "replace",
            "hint: choose another folder with --out, or remove that one.",
        ]
        assert output == ""
        assert sorted(here.rglob("*")) == before


def test_a_log_that_cannot_be_opened_is_told_before_any_work(run: Run, here: Path) -> None:
    (here / "out" / "run.log").mkdir(parents=True)
    status, _, errors = run("run", "study.toml", "--out", "out", "--store", "kept")
    assert status == 1
    assert errors.splitlines()[0] == (
        "error: a file stands where a folder is needed, or the reverse: "
        f"{(here / 'out' / 'run.log').resolve()}"
    )
    assert errors.splitlines()[1].startswith("hint: choose another folder with --out")
    assert len(errors.splitlines()) == 2
    assert not (here / "kept").exists()


def test_a_log_that_is_no_file_at_all_is_told_with_the_systems_word(tmp_path: Path) -> None:
    (tmp_path / "run.log").symlink_to("run.log")  # to itself

    def begun() -> None:
        with logging_to(tmp_path / "run.log") as begin:
            begin()

    with pytest.raises(StoreError) as caught:
        begun()
    assert caught.value.message.startswith(f"the log {tmp_path / 'run.log'} cannot be written: ")
    assert "symbolic links" in caught.value.message
    assert caught.value.hint == "choose another folder with --out, or remove what stands there."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is full is Linux's")
def test_a_log_that_fails_is_told_once_and_the_run_goes_on(run: Run, there: Path) -> None:
    (there / "out").mkdir()
    (there / "out" / "run.log").symlink_to("/dev/full")
    status, output, errors = run("run", "study.toml", "--out", "out", "--store", "kept")
    assert status == 0
    assert errors.splitlines() == [
        "warning: the log out/run.log cannot be written: [Errno 28] No space left on device. The run "
        "goes on without it."
    ]
    assert "Results: out" in output
    assert load_results(there / "out").set_names == ("red.txt", "pair")


def test_a_log_that_fails_when_it_is_closed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(self: logging.FileHandler) -> None:
        logging.StreamHandler.close(self)
        self.stream.close()
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(logging.FileHandler, "close", fails)
    with logging_to(tmp_path / "run.log") as begin:
        begin()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: the log {tmp_path / 'run.log'} cannot be written: ")


def test_an_interrupt_is_told_and_logged(run: Run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isodepth.pipeline.run.run_study", interrupted)
    status, output, errors = run("run", "study.toml")
    assert status == 130
    assert "What was finished is kept; run the same command again to go on." in errors
    assert "Results:" not in output
    log = (here / "results" / "study" / "run.log").read_text()
    assert "ERROR stopped: KeyboardInterrupt" in log


def test_damage_is_named_on_the_terminal_and_in_the_log(run: Run, there: Path) -> None:
    chosen = next(path for path in data_files(there / "kept", "affinities"))
    flipped(chosen)
    status, _, errors = run("run", "study.toml", "--store", "kept")
    assert status == 0
    assert "warning: damaged file in the store: " in errors
    assert str(chosen.relative_to(there)) in errors
    log = (there / "results" / "study" / "run.log").read_text()
    assert re.search(r" WARNING damaged file in the store: ", log)


# ---------------------------------------------------------------------------------------- imported


def test_imported_readings_are_run_without_a_model(run: Run, here: Path) -> None:
    texts = [f"text {number}" for number in range(13)]
    for seed, model in enumerate(("google/gemma-2b", "google/gemma-2-9b-it")):
        lists = neighbor_lists(13, 3, seed=seed)
        written_as_published(here / "published", model, "web_text", texts, lists)
    for file in published_files([here / "published"]):
        keep_reading(read_published_neighbors(file), Store())
    (here / "mine.toml").write_text(
        'models = ["gemma-2b", "gemma-2-9b-it"]\ntexts = "web-text"\nn = 13\nks = [5]\n'
        'captures = "final_norm"\n'
    )
    status, output, errors = run("status", "mine.toml", "--imported")
    assert (status, errors) == (0, "")
    assert "Readings are those that were imported; no model is run." in output
    status, output, errors = run("run", "mine.toml", "--imported")
    assert status == 0, errors
    assert (
        errors == "comparing layers on web-text: done in 0.0 s (1 of 1 comparisons)\n"
        or re.fullmatch(
            r"comparing layers on web-text: done in [\d.]+ s \(1 of 1 comparisons\)\n", errors
        )
    )
    assert load_results(here / "results" / "mine").matrices("web-text").left == (
        "gemma-2b",
        "gemma-2-9b-it",
    )


# --------------------------------------------------------------------------------- on a terminal


def on_a_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """Run a command in a pseudo-terminal; return its status and all that it wrote."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "90", "LINES": "30"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=follower, cwd=folder, env=environment
    )
    os.close(follower)
    parts: list[bytes] = []
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.2)
        try:
            part = os.read(leader, 65536) if ready else b""
        except OSError:  # the other side is closed
            break
        parts.append(part)
        if not ready and process.poll() is not None:
            break
    os.close(leader)
    return process.wait(10), b"".join(parts).decode()


def test_on_a_terminal_bars_come_and_go(here: Path) -> None:
    study = STUDY.replace('name = "pair"', 'name = "[/odd] [bold]pair"')
    (here / "study.toml").write_text(study)
    command = [sys.executable, "-m", "isodepth", "run", "study.toml", "--store", "kept"]
    status, shown = on_a_terminal(command, here)
    assert status == 0, shown[-3000:]
    assert "Traceback" not in shown
    assert "━" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h")  # the cursor is hidden and shown again
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)
    assert "tiny-gpt2 on red.txt: done in " in plain
    assert "comparing layers on [/odd] [bold]pair: done in " in plain
    assert plain.rstrip().endswith("log: results/study/run.log")
    # what stays on the screen after the last bar was taken away has no bars
    assert "━" not in plain.split("Results:")[-1]


# ------------------------------------------------------------------------------------ the display


def outcome(label: str, error: Exception | None = None) -> Outcome:
    task = Task(label=label, work=lambda *_: True, resources=Resources())
    return Outcome(task=task, error=error, seconds=125.0)


def test_names_that_look_like_markup_do_not_break_the_bars(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with StudyDisplay() as display:
        for label in ("model on [/red]: reading", "model on [bold]texts[/bold]: reading"):
            display(label, 3, 7, "texts")
            display(label, 30, 70, "tokens")
        time.sleep(0.3)  # the bars are drawn ten times a second
    assert "[bold]texts[/bold]" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)


def test_the_display_says_how_tasks_end(capsys: pytest.CaptureFixture[str]) -> None:
    with StudyDisplay() as display:
        display("readings", 1, 3, "readings")
        display.ended(outcome("one"))
        display.ended(outcome("two", ModelError("broken\nin many lines", hint="mend it")))
        display.ended(outcome("three", ZeroDivisionError()))
    assert capsys.readouterr().err.splitlines() == [
        "one: done in 2 min (1 of 3 readings)",
        "two: failed: broken",
        "three: failed: ZeroDivisionError",
    ]


def test_the_log_has_start_and_end_of_each_piece_and_one_line_in_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("isodepth.cli.study_display.time.monotonic", lambda: now[0])
    with logging_to(tmp_path / "inner" / "run.log") as begin, StudyDisplay() as display:
        begin()
        for done in range(0, 101):
            now[0] += 1
            display("a on b: reading", done, 100, "tokens")
        display("a on b: reading", 100, 100, "tokens")
    first, *lines = (tmp_path / "inner" / "run.log").read_text().splitlines()
    assert first.endswith(f" INFO isodepth {isodepth.__version__} starts")
    assert [line.split("reading: ")[1] for line in lines] == [
        f"{done} of 100 tokens" for done in (0, 31, 62, 93, 100)
    ]


@pytest.mark.parametrize("begins", [True, False])
def test_the_log_leaves_logging_as_it_was_and_has_what_came_before_it_began(
    tmp_path: Path, begins: bool
) -> None:
    package = logging.getLogger("isodepth")
    before = (package.level, package.propagate, list(package.handlers))
    with logging_to(tmp_path / "run.log") as begin:
        assert len(package.handlers) == len(before[2]) + 1
        logging.getLogger("isodepth.run").info("planned")
        assert not (tmp_path / "run.log").exists()
        if begins:
            begin()
        logging.getLogger("isodepth.run").info("done")
        assert len(package.handlers) == len(before[2]) + 1
    assert (package.level, package.propagate, package.handlers) == before
    if begins:
        lines = (tmp_path / "run.log").read_text().splitlines()
        assert [line.rsplit(" ", 1)[1] for line in lines] == ["starts", "planned", "done"]
    assert (tmp_path / "run.log").exists() == begins


def test_warnings_are_logged_and_shown_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def show(message: Warning | str, *_: object, **__: object) -> None:
        shown.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", show)
        with logging_to(tmp_path / "run.log") as begin:
            begin()
            warnings.warn("that is odd, by 3 %", IsodepthWarning, stacklevel=1)
        assert warnings.showwarning is show
        warnings.warn("that is no longer logged", IsodepthWarning, stacklevel=1)
    assert shown == ["that is odd, by 3 %", "that is no longer logged"]
    _, *lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["WARNING that is odd, by 3 %"]


def test_an_error_within_is_logged_and_passes(tmp_path: Path) -> None:
    def fail() -> None:
        with logging_to(tmp_path / "run.log") as begin:
            begin()
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "ERROR stopped: ZeroDivisionError: division by zero" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("name", ["small", "Paper_2-b", "4", "_", "a-b_c"])
def test_the_results_folder_has_the_name_of_the_study(name: str) -> None:
    assert results_folder(name) == Path("results") / name


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("My study, second try", "My-study-second-try"),
        ("../../etc", "etc"),
        ("/absolute", "absolute"),
        ("-small-", "small"),
        ("...", "study"),
        ("研究", "study"),
    ],
)
def test_a_name_with_other_characters_gives_its_letters_and_a_digest(name: str, letters: str) -> None:
    folder = results_folder(name)
    assert folder.parent == Path("results")
    assert re.fullmatch(rf"{letters}-[0-9a-f]{{8}}", folder.name)
    assert results_folder(name) == folder


def test_studies_of_different_names_have_folders_of_their_own() -> None:
    names = ["研究", "исследование", "a b", "a, b", "a-b", "a-b-", "a/b", "../a b", "Größe", "Grüße"]
    names += ["study", "...", "....", "-"]
    assert len({results_folder(name) for name in names}) == len(names)
