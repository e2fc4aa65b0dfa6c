"""GGUF files: converted exactly, once, and again when the conversion was damaged."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import safetensors
import torch
import transformers

import tiny_models
from isodepth import extract, load_model
from isodepth.errors import ModelError, StoreError
from isodepth.models import gguf as conversion
from isodepth.models import load_tokenizer, resolve_model
from isodepth.sources import cache_directory
from isodepth.store import DamagedArtifactWarning

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@pytest.fixture(scope="session")
def gguf_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.written_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by the name of each model that is converted."""
    names: list[str] = []
    convert: Callable[..., None] = conversion._convert

    def counted(gguf: Path, folder: Path, sha256: str, name: str, progress: object) -> None:
        names.append(name)
        convert(gguf, folder, sha256, name, progress)

    monkeypatch.setattr(conversion, "_convert", counted)
    return names


def kept_files() -> list[str]:
    """Return everything below the cache's models, hidden or not, by relative path."""
    folder = cache_directory() / "models"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_loaded_weights_are_those_that_were_written(gguf_file: Path) -> None:
    model = load_model(gguf_file)
    assert (model.name, model.n_layers, model.width) == ("tiny", 3, 26)
    assert model.context_length == tiny_models.GGUF_CONTEXT
    assert model.digest == f"gguf:{tiny_models.sha256(gguf_file)}"
    assert model.provenance["source"] == "gguf"
    written = tiny_models.gguf_tensors()
    loaded = {name: values.numpy() for name, values in model.body.state_dict().items()}
    assert loaded.keys() == {
        "embed_tokens.weight",
        "norm.weight",
        *(f"layers.{i}.{name}.weight" for i in range(3) for name in LAYER_NAMES.values()),
    }
    np.testing.assert_array_equal(loaded["embed_tokens.weight"], written["token_embd.weight"])
    np.testing.assert_array_equal(loaded["norm.weight"], written["output_norm.weight"])
    for block in range(3):
        for short, long in LAYER_NAMES.items():
            expected = written[f"blk.{block}.{short}.weight"]
            if short in ("attn_q", "attn_k"):
                n_heads = tiny_models.GGUF_HEADS if short == "attn_q" else 1
                expected = tiny_models.gguf_rows_restored(expected, n_heads)
            np.testing.assert_array_equal(loaded[f"layers.{block}.{long}.weight"], expected)
    assert {values.dtype for values in model.body.state_dict().values()} == {torch.float32}


def test_the_tokenizer_is_the_files_own(gguf_file: Path) -> None:
    tokenizer = load_model(gguf_file).tokenizer
    tokens = tokenizer.convert_ids_to_tokens(
        tokenizer("hello w", add_special_tokens=False)["input_ids"]
    )
    assert tokens == ["he", "l", "l", "o", "Ġw"]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<s>", "</s>")


def test_the_kept_tokenizer_is_parsed_once_and_is_what_transformers_saved(
    gguf_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = transformers.AutoTokenizer.from_pretrained(gguf_file.parent, gguf_file=gguf_file.name)
    plain.save_pretrained(tmp_path)
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path)
    load_tokenizer(gguf_file)
    (path,) = cache_directory().glob("models/*/tokenizer.json")
    assert "\n" not in path.read_text(encoding="utf-8")
    parsed: list[str] = []
    load = json.load

    def noted(file: IO[str]) -> object:
        parsed.append(Path(file.name).name)
        return load(file)

    monkeypatch.setattr(json, "load", noted)
    transformers.AutoTokenizer.from_pretrained(tmp_path)
    n_before = parsed.count("tokenizer.json")
    parsed.clear()
    kept = load_tokenizer(gguf_file)
    assert parsed.count("tokenizer.json") == n_before - 1
    assert type(kept) is type(saved)
    assert kept.backend_tokenizer.to_str() == saved.backend_tokenizer.to_str()
    assert kept.added_tokens_decoder == saved.added_tokens_decoder != {}
    assert kept.special_tokens_map == saved.special_tokens_map


def test_a_loaded_gguf_model_can_be_read(gguf_file: Path) -> None:
    activations = extract(load_model(gguf_file), ["hello", "other words", "a third"])
    assert activations.values.shape == (3, 3, 26)
    assert np.isfinite(activations.values).all()


def test_the_second_load_converts_nothing_and_gives_the_same(
    gguf_file: Path, conversions: list[str]
) -> None:
    first, second = load_model(gguf_file), load_model(gguf_file)
    assert conversions == ["tiny"]
    for name, values in first.body.state_dict().items():
        assert torch.equal(values, second.body.state_dict()[name])


def test_the_same_file_under_another_name_is_not_converted_again(
    gguf_file: Path, tmp_path: Path, conversions: list[str]
) -> None:
    load_model(gguf_file)
    other = tmp_path / "renamed.gguf"
    other.write_bytes(gguf_file.read_bytes())
    model = load_model(other)
    assert model.name == "renamed"
    assert conversions == ["tiny"]


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-7] ^= 0xFF
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", flip_a_byte),
        ("model.safetensors", Path.unlink),
        ("tokenizer.json", flip_a_byte),
        ("config.json", lambda path: path.write_text("{")),
        (conversion.RECORD, lambda path: path.write_text('{"files": [1]}')),
        (conversion.RECORD, Path.unlink),
    ],
)
def test_a_damaged_conversion_is_noticed_and_made_again(
    name: str, damage: Callable[[Path], object], gguf_file: Path, conversions: list[str]
) -> None:
    # copies: loaded weights are memory maps of the file that is damaged next
    before = {key: values.clone() for key, values in load_model(gguf_file).body.state_dict().items()}
    sha256 = tiny_models.sha256(gguf_file)
    folder = conversion.converted_folder(sha256)
    assert conversion.is_converted(sha256)
    damage(folder / name)
    assert not conversion.is_converted(sha256)
    with pytest.warns(DamagedArtifactWarning, match=f"damaged conversion of tiny: .*{re.escape(name)}"):
        after = load_model(gguf_file)
    assert conversions == ["tiny", "tiny"]
    assert conversion.is_converted(sha256)
    for key, values in before.items():
        assert torch.equal(values, after.body.state_dict()[key])


def test_an_architecture_that_transformers_cannot_read_is_refused_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    path = tiny_models.written_gguf(tmp_path / "odd.gguf", architecture="homemade")
    with pytest.raises(ModelError, match="odd: transformers .* cannot read this GGUF file") as caught:
        load_model(path)
    assert "'GGUF' in its documentation" in str(caught.value.hint)
    assert kept_files() == []


def test_a_tensor_that_the_file_lacks_is_refused_not_made_up(tmp_path: Path) -> None:
    path = tiny_models.written_gguf(tmp_path / "partial.gguf", without="blk.1.ffn_up.weight")
    with pytest.raises(ModelError, match=r"partial: .*layers\.1\.mlp\.up_proj\.weight"):
        load_model(path)
    assert kept_files() == []


@pytest.mark.parametrize("kept_bytes", [4, 101, 2003, -997])
def test_a_truncated_gguf_file_is_refused_and_leaves_nothing(
    kept_bytes: int, gguf_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(gguf_file.read_bytes()[:kept_bytes])
    with pytest.raises(ModelError, match="short: transformers .* cannot read this GGUF file"):
        load_model(path)
    assert kept_files() == []


@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_an_interrupted_conversion_leaves_nothing_and_the_next_one_works(
    step: int, gguf_file: Path
) -> None:
    def stop(label: str, done: int, total: int, unit: str) -> None:
        assert unit == "steps"
        if label == "converting tiny" and done == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_model(gguf_file, progress=stop)
    assert kept_files() == []
    assert load_model(gguf_file).n_layers == 3


def test_converting_prints_nothing_and_restores_what_it_replaced(
    gguf_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    before = gguf.GGUFReader, reading.tqdm
    load_model(gguf_file)
    assert (gguf.GGUFReader, reading.tqdm) == before
    assert capfd.readouterr() == ("", "")


def test_conversion_is_kept_under_the_files_sum(gguf_file: Path) -> None:
    load_model(gguf_file)
    sha256 = resolve_model(gguf_file).digest.removeprefix("gguf:")
    folder = conversion.converted_folder(sha256)
    assert folder.parent == cache_directory() / "models"
    assert sha256[:32] in folder.name
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_tokenizer_that_lies_beside_the_file_is_not_taken(
    gguf_file: Path, llama_folder: Path, tmp_path: Path
) -> None:
    text = "hello world"
    expected = load_model(gguf_file).tokenizer(text)["input_ids"]
    stray = tmp_path / "stray"
    shutil.copytree(llama_folder, stray)
    copy = stray / "tiny.gguf"
    shutil.copy(gguf_file, copy)
    other = load_model(llama_folder).tokenizer(text)["input_ids"]
    assert other != expected  # else the stray tokenizer could not show
    shutil.rmtree(cache_directory() / "models")
    assert load_model(copy).tokenizer(text)["input_ids"] == expected


def test_a_memo_that_cannot_be_kept_costs_no_conversion(
    gguf_file: Path, conversions: list[str]
) -> None:
    load_model(gguf_file)
    memos = cache_directory() / "digests"
    shutil.rmtree(memos)
    memos.write_text("a file where the memos' folder would be")
    load_model(gguf_file)
    assert conversions == ["tiny"]


def test_no_space_while_saving_the_conversion_is_told_as_such(
    gguf_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(transformers.PreTrainedModel, "save_pretrained", full)
    with pytest.raises(StoreError, match="no space left"):
        load_model(gguf_file)
    assert kept_files() == []
