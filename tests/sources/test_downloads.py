"""A pinned file is fetched or brought once, is the pinned bytes or refused, and is found again."""

import errno
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

import pytest

from isodepth.errors import DownloadError, StoreError
from isodepth.progress import Progress, no_progress
from isodepth.sources import Pin, cache_directory, downloads, fetch_file, import_file, stored_file
from isodepth.sources.downloads import last_errors, run_download

DATA = b"layers lie at depths " * 1_009
NAME = "tiny_1.3_all.pack"
KILL_AFTER_SECONDS = 60


def bring(incoming: Path, progress: Progress) -> Path:
    (incoming / NAME).write_bytes(DATA)
    return incoming / NAME


@dataclass(frozen=True)
class TinyPin(Pin):
    """A pin whose download is a function of the test."""

    SUFFIX: ClassVar[str] = ".pack"

    package: str = "tiny"
    version: str = "1.3"
    sha256: str = sha256(DATA).hexdigest()
    size_bytes: int = len(DATA)
    bring: Callable[[Path, Progress], Path] = bring
    downloads: list[Path] = field(default_factory=list)

    @property
    def requirement(self) -> str:
        return f"{self.package}={self.version}"

    def download(self, incoming: Path, progress: Progress) -> Path:
        assert list(incoming.iterdir()) == []
        self.downloads.append(incoming)
        return self.bring(incoming, progress)


def unreachable(incoming: Path, progress: Progress) -> Path:
    (incoming / f"{NAME}.part").write_bytes(DATA[:100])
    raise DownloadError("the index cannot be reached")


def files_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def files_of(pin: TinyPin) -> Path:
    """Return the folder of the cache in which a pin's file lies, made if need be."""
    folder = cache_directory() / "downloads" / pin.sha256[:32]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def flip_byte(path: Path, position: int) -> str:
    """Alter a file of the cache and return its new sha256."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(data)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    return sha256(data).hexdigest()


# fetching


def test_a_file_is_downloaded_once_into_the_cache() -> None:
    pin = TinyPin()
    assert stored_file(pin) is None
    path = fetch_file(pin)
    assert path.read_bytes() == DATA
    assert path.name == NAME
    assert path.is_relative_to(cache_directory())
    assert stored_file(pin) == path
    assert fetch_file(pin) == path
    assert len(pin.downloads) == 1
    assert pin.downloads[0].is_relative_to(cache_directory()), "a rename must not cross disks"
    assert not pin.downloads[0].exists()


def test_progress_is_handed_on() -> None:
    reports: list[tuple[str, int, int, str]] = []

    def report(incoming: Path, progress: Progress) -> Path:
        progress("downloading tiny", 7, len(DATA), "bytes")
        return bring(incoming, progress)

    fetch_file(TinyPin(bring=report), progress=lambda *told: reports.append(told))
    assert reports == [("downloading tiny", 7, len(DATA), "bytes")]


def test_looking_for_a_file_makes_no_folder() -> None:
    assert stored_file(TinyPin()) is None
    assert not cache_directory().exists()


def test_files_of_two_pins_lie_apart() -> None:
    other = b"other"

    def bring_other(incoming: Path, progress: Progress) -> Path:
        (incoming / NAME).write_bytes(other)
        return incoming / NAME

    first = fetch_file(TinyPin())
    second = fetch_file(TinyPin(bring=bring_other, sha256=sha256(other).hexdigest()))
    assert first != second
    assert (first.read_bytes(), second.read_bytes()) == (DATA, other)


def test_files_of_another_kind_are_not_the_file() -> None:
    pin = TinyPin()
    (files_of(pin) / "notes.txt").write_text("not the file")
    assert stored_file(pin) is None
    assert fetch_file(pin).name == NAME


def test_an_altered_cached_file_is_refused_and_removed_and_then_fetched_anew() -> None:
    pin = TinyPin()
    path = fetch_file(pin)
    found = flip_byte(path, len(DATA) // 2)
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    assert caught.value.message == (
        f"tiny=1.3: {NAME} is not the pinned file: expected sha256 {pin.sha256}, found {found}. "
        "The file was removed."
    )
    assert caught.value.hint is not None
    assert "run the same command again" in caught.value.hint
    assert stored_file(pin) is None
    assert fetch_file(pin).read_bytes() == DATA
    assert len(pin.downloads) == 2


def test_a_file_altered_at_its_source_is_refused_and_not_kept() -> None:
    pin = TinyPin(sha256=sha256(b"what was pinned").hexdigest())
    with pytest.raises(DownloadError) as caught:
        fetch_file(pin)
    for part in ("tiny=1.3", NAME, f"expected sha256 {pin.sha256}", f"found {TinyPin().sha256}"):
        assert part in caught.value.message
    assert caught.value.hint is not None
    assert "the package index serves an altered file" in caught.value.hint
    assert stored_file(pin) is None
    assert files_below(cache_directory()) == []


def interrupted(incoming: Path, progress: Progress) -> Path:
    bring(incoming, progress)
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("bring", "error"), [(unreachable, DownloadError), (interrupted, KeyboardInterrupt)]
)
def test_a_download_that_fails_leaves_nothing(
    bring: Callable[[Path, Progress], Path], error: type[BaseException]
) -> None:
    with pytest.raises(error):
        fetch_file(TinyPin(bring=bring))
    assert stored_file(TinyPin()) is None
    assert files_below(cache_directory()) == []


def test_a_full_disk_is_told_as_one() -> None:
    def full(incoming: Path, progress: Progress) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StoreError, match="no space left on the disk") as caught:
        fetch_file(TinyPin(bring=full))
    assert caught.value.hint is not None
    assert "ISODEPTH_CACHE" in caught.value.hint


def test_a_cache_below_a_file_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ISODEPTH_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        fetch_file(TinyPin())


# bringing by hand


@pytest.fixture
def carried(tmp_path: Path) -> Path:
    """The right file, as a user carried it over."""
    path = tmp_path / "carried" / "some name.dat"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


def test_an_imported_file_is_found_without_a_download(carried: Path) -> None:
    pin = TinyPin(bring=unreachable)
    path = import_file(pin, carried)
    assert path.is_relative_to(cache_directory())
    assert path.read_bytes() == DATA
    assert stored_file(pin) == path
    assert fetch_file(pin) == path
    assert pin.downloads == []
    assert files_below(carried.parent) == [carried.name], "the user's own file stays"
    carried.unlink()
    assert fetch_file(pin).read_bytes() == DATA


def test_a_file_may_be_imported_twice_and_after_a_download(carried: Path) -> None:
    pin = TinyPin()
    fetch_file(pin)
    assert import_file(pin, carried) == import_file(pin, carried)
    assert fetch_file(pin).read_bytes() == DATA
    assert len(pin.downloads) == 1


def test_a_file_that_is_not_the_pinned_one_is_not_imported_and_left_alone(carried: Path) -> None:
    pin = TinyPin()
    found = flip_byte(carried, 7)
    altered = carried.read_bytes()
    with pytest.raises(DownloadError) as caught:
        import_file(pin, carried)
    assert caught.value.message == (
        f"{carried} is not tiny=1.3: expected sha256 {pin.sha256}, found {found}"
    )
    assert carried.read_bytes() == altered
    assert stored_file(pin) is None
    assert files_below(cache_directory()) == []


def test_a_file_that_cannot_be_read_is_not_imported(tmp_path: Path) -> None:
    for path, why in (
        (tmp_path / "none.pack", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(DownloadError) as caught:
            import_file(TinyPin(), path)
        assert caught.value.message == f"{path} cannot be read: {why}"
    assert not cache_directory().exists()


def test_an_imported_file_that_was_altered_since_is_refused(carried: Path) -> None:
    pin = TinyPin()
    flip_byte(import_file(pin, carried), 3)
    with pytest.raises(DownloadError, match="is not the pinned file"):
        fetch_file(pin)
    assert import_file(pin, carried).read_bytes() == DATA
    assert fetch_file(pin).read_bytes() == DATA
    assert pin.downloads == []


@pytest.mark.parametrize("name", ["0.pack", "z.pack"])
def test_an_imported_file_takes_the_place_of_a_damaged_one(carried: Path, name: str) -> None:
    pin = TinyPin(bring=unreachable)
    (files_of(pin) / name).write_bytes(DATA[:-1])
    import_file(pin, carried)
    assert fetch_file(pin).read_bytes() == DATA
    assert pin.downloads == []


def test_what_a_killed_import_left_is_not_taken_for_the_file(carried: Path) -> None:
    pin = TinyPin()
    path = import_file(pin, carried)
    left = path.with_name(f".{path.stem}-a1b2c3d4{path.suffix}")  # as `atomic_path` names it
    left.write_bytes(DATA[:100])
    assert stored_file(pin) == path
    assert fetch_file(pin) == path
    path.unlink()
    assert stored_file(pin) is None
    assert fetch_file(pin).read_bytes() == DATA


# running a package manager


def run_script(
    script: str,
    tmp_path: Path,
    *,
    progress: Progress = no_progress,
    size_bytes: int = 100,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """Run a Python script as the package manager; what it brings is watched in `incoming`."""
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    return run_download(
        [sys.executable, "-S", "-c", script, str(incoming)],
        folder=tmp_path,
        environment=environment or {},
        label="downloading tiny",
        size_bytes=size_bytes,
        watched=incoming,
        progress=progress,
    )


def test_the_exit_status_and_all_that_was_said_come_back(tmp_path: Path) -> None:
    script = (
        "import sys; print('to one', flush=True); print('to the other', file=sys.stderr); sys.exit(7)"
    )
    assert run_script(script, tmp_path) == (7, "to one\nto the other")


def test_words_that_are_no_text_come_back_all_the_same(tmp_path: Path) -> None:
    script = r"import sys; sys.stdout.buffer.write(b'gr\xff\xdfe')"
    assert run_script(script, tmp_path) == (0, "gr\ufffd\ufffde")


def test_it_runs_in_the_folder_with_the_environment_and_without_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_USER", "kept")
    monkeypatch.setenv("LC_ALL", "replaced")
    script = (
        "import os, sys; print(os.getcwd(), os.environ['OF_THE_USER'], os.environ['LC_ALL'],"
        " repr(sys.stdin.read()))"
    )
    status, said = run_script(script, tmp_path, environment={"LC_ALL": "C"})
    assert (status, said) == (0, f"{tmp_path.resolve()} kept C ''")


def test_progress_follows_the_bytes_and_never_exceeds_the_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = iter([0, 33, 207])
    monkeypatch.setattr(downloads, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(downloads, "bytes_below", lambda folder: next(sizes, 100))
    reports: list[tuple[str, int, int, str]] = []

    def progress(label: str, done: int, total: int, unit: str) -> None:
        reports.append((label, done, total, unit))
        if len(reports) == 3:
            (tmp_path / "go on").touch()

    script = "import os, time\nwhile not os.path.exists('go on'): time.sleep(0.001)"
    assert run_script(script, tmp_path, progress=progress) == (0, "")
    assert [done for _, done, _, _ in reports[:3]] == [0, 33, 100]
    assert {(label, total, unit) for label, _, total, unit in reports} == {
        ("downloading tiny", 100, "bytes")
    }


def test_the_bytes_are_those_of_all_files_below_the_watched_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "POLL_SECONDS", 0.001)
    done: list[int] = []

    def progress(label: str, bytes_done: int, total: int, unit: str) -> None:
        done.append(bytes_done)
        if bytes_done == 18:
            (tmp_path / "go on").touch()

    script = (
        "import os, pathlib, sys, time\n"
        "incoming = pathlib.Path(sys.argv[1])\n"
        "(incoming / 'deep' / 'er').mkdir(parents=True)\n"
        "(incoming / 'a').write_bytes(bytes(7)); (incoming / 'deep' / 'er' / 'b').write_bytes(bytes(11))\n"
        "end = time.monotonic() + 30\n"
        "while not os.path.exists('go on') and time.monotonic() < end: time.sleep(0.001)"
    )
    assert run_script(script, tmp_path, progress=progress) == (0, "")
    assert max(done) == 18


def test_it_is_killed_when_the_work_is_interrupted(tmp_path: Path) -> None:
    def interrupt(label: str, done: int, total: int, unit: str) -> None:
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    script = (
        "import os, time; open('new', 'w').write(str(os.getpid())); os.rename('new', 'pid');"
        f"time.sleep({KILL_AFTER_SECONDS})"
    )
    with pytest.raises(KeyboardInterrupt):
        run_script(script, tmp_path, progress=interrupt)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_disk_that_it_found_full_is_the_system_s_own_error(tmp_path: Path) -> None:
    script = "import os, sys; sys.exit('E: Write error - ' + os.strerror(28))"
    with pytest.raises(OSError, match="No space left on device") as caught:
        run_script(script, tmp_path)
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", "pip said nothing"),
        (" \n\n", "pip said nothing"),
        ("one\n two \n\nthree\nfour", "two | three | four"),
        ("ERROR: no match\nnotice: new pip", "ERROR: no match"),
        ("W: old lists\nE: Unable to locate package tiny\nmore", "E: Unable to locate package tiny"),
        ("E: 1\nE: 2\nE: 3\nE: 4", "E: 2 | E: 3 | E: 4"),
        ("an ERROR in the middle\nlast", "an ERROR in the middle | last"),
    ],
)
def test_the_last_errors_are_told_on_one_line(said: str, expected: str) -> None:
    assert last_errors(said, program="pip") == expected
