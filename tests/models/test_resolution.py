"""What a name means: the order of kinds, identities that do not hang on names, and every bad input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import tiny_models
from isodepth.errors import DownloadError, ModelError, UnknownNameError
from isodepth.models import MODELS, resolve_model

Copied = Callable[[Path], Path]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a working folder of our own, so that relative names mean something known."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_catalogue_name_wins_over_a_file_and_a_folder_of_that_name(
    here: Path, llama_folder: Path
) -> None:
    (here / "gemma-3-270m").write_bytes(b"GGUF....")
    shutil.copytree(llama_folder, here / "smollm2-135m-instruct")
    for name in ("gemma-3-270m", "smollm2-135m-instruct"):
        source = resolve_model(name)
        assert (source.kind, source.name, source.location) == ("catalogue", name, None)
        assert source.digest == f"gguf:{MODELS[name].gguf_sha256}"
    assert resolve_model("./gemma-3-270m").kind == "gguf"
    assert resolve_model(here / "smollm2-135m-instruct").kind == "folder"


def test_a_folder_wins_over_a_hub_id_of_that_name(here: Path, llama_folder: Path) -> None:
    shutil.copytree(llama_folder, here / "owner" / "model")
    source = resolve_model("owner/model")
    assert (source.kind, source.name) == ("folder", "model")
    assert source.location == (here / "owner" / "model").resolve()


def test_a_gguf_file_wins_over_a_hub_id_of_that_name(here: Path) -> None:
    (here / "owner").mkdir()
    (here / "owner" / "model.gguf").write_bytes(b"GGUF and more")
    source = resolve_model("owner/model.gguf")
    assert (source.kind, source.name) == ("gguf", "model")
    assert source.digest == f"gguf:{tiny_models.sha256(here / 'owner' / 'model.gguf')}"


def test_the_same_weights_under_another_folder_name_have_the_same_digest(
    llama_folder: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(llama_folder, tmp_path / "another-name")
    (other / "notes.md").write_text("files that do not decide what the model computes do not count")
    one, two = resolve_model(llama_folder), resolve_model(other)
    assert one.digest == two.digest
    assert (one.name, two.name) == ("tiny-llama", "another-name")


def test_one_changed_weight_gives_another_digest_also_in_place(
    llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    before = resolve_model(folder).digest
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.3.mlp.up_proj.weight"][2, 3] += 1.0
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    after = resolve_model(folder).digest
    assert after != before
    assert resolve_model(llama_folder).digest == before


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_configuration_and_tokenizer_belong_to_the_identity(
    name: str, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    tiny_models.edited_json(folder / name, changed=True)
    assert resolve_model(folder).digest != resolve_model(llama_folder).digest


def test_an_unknown_name_gets_the_nearest_names(here: Path) -> None:
    with pytest.raises(UnknownNameError, match="no model is called 'gema-3-270m'") as caught:
        resolve_model("gema-3-270m")
    assert "did you mean gemma-3-270m" in str(caught.value)
    for name in MODELS:
        assert name in caught.value.message


def test_a_name_like_no_other_is_told_where_the_names_are_listed(here: Path) -> None:
    with pytest.raises(UnknownNameError) as caught:
        resolve_model("zzzzzzzz")
    assert caught.value.hint == "'isodepth models' lists the models."


def test_a_path_object_that_does_not_exist_is_never_taken_for_a_hub_id(here: Path) -> None:
    with pytest.raises(UnknownNameError, match="no model is called 'owner/model'"):
        resolve_model(Path("owner/model"))


@pytest.mark.parametrize("content", [b"", b"GG", b"not a model at all", b"ggufGGUF"])
def test_a_file_that_is_not_gguf_is_refused_with_what_it_begins_with(
    content: bytes, here: Path
) -> None:
    (here / "model.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="expected a GGUF file") as caught:
        resolve_model(here / "model.gguf")
    assert repr(content[:4]) in caught.value.message
    assert "model.gguf" in caught.value.message


def test_a_folder_without_configuration_is_refused(here: Path) -> None:
    (here / "empty").mkdir()
    with pytest.raises(
        ModelError, match=r"empty is not a model folder: it has no config\.json"
    ) as caught:
        resolve_model(here / "empty")
    assert "save_pretrained" in str(caught.value.hint)


def test_a_folder_with_pickled_weights_only_is_refused(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has no \*\.safetensors weights") as caught:
        resolve_model(folder)
    assert "isodepth reads no pickled weights" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe{}", b"{'model_type': 'llama'}"])
def test_an_invalid_configuration_is_refused_by_its_path(
    content: bytes, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    (folder / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"config\.json is not valid JSON") as caught:
        resolve_model(folder)
    assert str(folder) in caught.value.message


def test_a_hub_id_offline_names_the_switch_and_the_way_out(here: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        resolve_model("isodepth-tests/no-such-model-9437", revision="main")
    message = caught.value.message
    assert "hub model isodepth-tests/no-such-model-9437@main could not be fetched" in message
    assert "switched off by HF_HUB_OFFLINE" in message
    assert "local transformers folder" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["a b/c", "owner/", "a/b/c", "-a/b"])
def test_names_that_are_no_hub_ids_are_unknown_names(name: str, here: Path) -> None:
    with pytest.raises(UnknownNameError):
        resolve_model(name)


def test_resolving_reads_a_large_file_once(llama_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from isodepth.sources import digests

    read: list[Path] = []
    whole = digests.sha256_of
    monkeypatch.setattr(digests, "sha256_of", lambda path: (read.append(path), whole(path))[1])
    first = resolve_model(llama_folder)
    assert llama_folder / "model.safetensors" in read
    read.clear()
    assert resolve_model(llama_folder) == first
    assert read == []


def test_a_configuration_that_is_no_object_is_refused_when_loaded(
    llama_folder: Path, copied: Copied
) -> None:
    from isodepth import load_model

    folder = copied(llama_folder)
    (folder / "config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(ModelError):
        load_model(folder)
