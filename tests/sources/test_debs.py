"""A pinned Debian package is downloaded with the user's own apt, into the cache and nowhere else."""

import os
import shlex
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from isodepth.errors import DownloadError, StoreError
from isodepth.sources import DebPin, cache_directory, downloads, fetch_file, stored_file

DATA = b"!<arch>\n" + b"pages " * 1_009
NAME = "tiny-handbook_1.3_all.deb"
PIN = DebPin("tiny-handbook", "1.3", sha256(DATA).hexdigest(), size_bytes=len(DATA))

InstallApt = Callable[..., Path]


@pytest.fixture
def install_apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstallApt:
    """Puts a shell script called apt-get first on the path."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        apt = folder / "apt-get"
        apt.write_text(f"#!/bin/sh\n{script}\n")
        apt.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return apt

    monkeypatch.setattr(downloads, "POLL_SECONDS", 0.01)
    return install


@pytest.fixture
def copying(tmp_path: Path) -> str:
    """A script that brings the right package, as apt does, into the folder that it runs in."""
    source = tmp_path / "mirror"
    source.mkdir()
    (source / NAME).write_bytes(DATA)
    return f"cp {shlex.quote(str(source / NAME))} ."


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def refused(pin: DebPin = PIN) -> DownloadError:
    """Return the error that fetching ends with; nothing is kept."""
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    assert stored_file(pin) is None
    assert files_below(cache_directory()) == []
    return caught.value


def test_a_requirement_names_the_version() -> None:
    assert PIN.requirement == "tiny-handbook=1.3"


def test_a_package_is_fetched_once_with_progress_up_to_its_size(
    install_apt: InstallApt, copying: str
) -> None:
    apt = install_apt(copying)
    reports: list[tuple[str, int, int, str]] = []
    path = fetch_file(PIN, progress=lambda *report: reports.append(report))
    assert path.read_bytes() == DATA
    assert path.name == NAME
    assert path.is_relative_to(cache_directory())
    assert files_below(cache_directory()) == [NAME], "temporary files were left in the cache"
    assert {(label, total, unit) for label, _, total, unit in reports} == {
        ("downloading tiny-handbook", len(DATA), "bytes")
    }
    assert all(0 <= done <= total for _, done, total, _ in reports)
    assert reports[-1][1] == len(DATA)
    apt.write_text("#!/bin/sh\nexit 7\n")
    assert fetch_file(PIN) == path


def test_apt_gets_this_command_line_in_an_empty_folder_and_speaks_english(
    install_apt: InstallApt, copying: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    note = tmp_path / "note"
    install_apt(
        f'{{ for argument in "$0" "$@"; do echo "$argument"; done; pwd; echo "$LC_ALL"; ls; }} '
        f"> {shlex.quote(str(note))}\n{copying}"
    )
    fetch_file(PIN)
    apt, *arguments, folder, language = note.read_text().splitlines()
    assert Path(apt) == tmp_path / "bin" / "apt-get"
    assert arguments == ["download", "-q", "tiny-handbook=1.3"]
    assert Path(folder).is_relative_to(cache_directory().resolve())
    assert language == "C"
    assert NAME not in files_below(tmp_path / "bin")


def test_an_apt_on_a_relative_path_is_run_too(
    install_apt: InstallApt, copying: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_apt(copying)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"bin{os.pathsep}{os.environ['PATH'].split(os.pathsep, 1)[1]}")
    assert fetch_file(PIN).read_bytes() == DATA


def test_a_package_altered_at_the_mirror_is_refused_and_removed(
    install_apt: InstallApt, copying: str
) -> None:
    install_apt(copying)
    pin = DebPin("tiny-handbook", "1.3", "00" * 32, size_bytes=len(DATA))
    error = refused(pin)
    assert error.message == (
        f"tiny-handbook=1.3: {NAME} is not the pinned file: expected sha256 {'00' * 32}, "
        f"found {PIN.sha256}. The file was removed."
    )
    assert error.hint is not None
    assert "run the same command again" in error.hint


def test_without_apt_the_hint_says_how_to_bring_the_file_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert shutil.which("apt-get") is None
    error = refused()
    assert error.message == "tiny-handbook=1.3 is a Debian package, and there is no apt-get here"
    assert error.hint is not None
    assert error.hint.startswith(f"fetch {NAME} from Debian's archive or snapshot.debian.org by hand")
    assert "isodepth texts fetch NAME --from FILE" in error.hint
    assert "column and right_column" in error.hint


def test_apt_s_own_words_are_told_when_it_fails(install_apt: InstallApt) -> None:
    install_apt(
        "echo 'Reading package lists...'\n"
        "echo 'W: lists are old' >&2\n"
        "echo 'E: Unable to locate package tiny-handbook' >&2\n"
        "exit 100"
    )
    error = refused()
    assert error.message == (
        "could not download tiny-handbook=1.3 with apt-get (exit status 100): "
        "E: Unable to locate package tiny-handbook"
    )
    assert error.hint is not None
    assert error.hint.startswith("run 'apt-get update' first if its lists are old; or fetch ")
    assert "isodepth texts fetch NAME --from FILE" in error.hint


def test_an_apt_that_fails_is_not_believed_even_if_it_brings_a_file(
    install_apt: InstallApt, copying: str
) -> None:
    install_apt(f"{copying}\necho 'E: Hash Sum mismatch'\nexit 100")
    assert refused().message == (
        "could not download tiny-handbook=1.3 with apt-get (exit status 100): E: Hash Sum mismatch"
    )


@pytest.mark.parametrize("brought", ["", "touch a.deb b.deb", "touch tiny.deb.partial"])
def test_an_apt_that_brings_not_one_package_is_told_even_if_it_is_content(
    install_apt: InstallApt, brought: str
) -> None:
    install_apt(brought)
    assert refused().message == (
        "could not download tiny-handbook=1.3 with apt-get (exit status 0): apt-get said nothing"
    )


def test_a_disk_that_apt_found_full_is_told_as_one(install_apt: InstallApt) -> None:
    install_apt("echo 'E: Write error - write (28: No space left on device)' >&2; exit 100")
    with pytest.raises(StoreError, match="no space left on the disk"):
        fetch_file(PIN)
    assert files_below(cache_directory()) == []


def test_apt_is_killed_when_the_work_is_interrupted(install_apt: InstallApt, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    install_apt(f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 60")

    def interrupt(label: str, done: int, total: int, unit: str) -> None:
        if pid.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_file(PIN, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert files_below(cache_directory()) == []
