"""What a name means: the order of kinds, identities that do not hang on names, and every bad input."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

import tiny_models
from isodepth.errors import DownloadError, ModelError, ParameterError, UnknownNameError
from isodepth.models import (
    MODELS,
    GgufWeights,
    LoadingOptions,
    Model,
    has_chat_template,
    load_model,
    resolve_model,
)
from isodepth.sources.hub import HubRevision

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
        assert (source.kind, source.name, source.location) == ("gguf", name, None)
        assert source.entry is MODELS[name]
        weights = MODELS[name].weights
        assert isinstance(weights, GgufWeights)
        assert source.digest == source.weights_digest == f"gguf:{weights.sha256}"
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
    with pytest.raises(UnknownNameError) as caught:
        resolve_model("llama-3.1-8")
    assert "did you mean llama-3.1-8b" in str(caught.value.hint)


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
    from isodepth.store import sums

    read: list[Path] = []
    whole = sums.sha256_of
    monkeypatch.setattr(sums, "SETTLED_NS", 0)
    monkeypatch.setattr(sums, "sha256_of", lambda path: (read.append(path), whole(path))[1])
    first = resolve_model(llama_folder)
    assert llama_folder / "model.safetensors" in read
    read.clear()
    assert resolve_model(llama_folder) == first
    assert read == []


def test_a_configuration_that_is_no_object_is_refused_when_loaded(
    llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    (folder / "config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(ModelError):
        load_model(folder)


# options


@pytest.mark.parametrize("odd", ["owner/name@main", "model(dtype=float16)", "gemma(4bit)"])
def test_what_exists_under_the_whole_name_is_that(odd: str, here: Path, llama_folder: Path) -> None:
    folder = Path(shutil.copytree(llama_folder, here / odd))
    source = resolve_model(odd)
    assert (source.kind, source.location) == ("folder", folder.resolve())
    assert source.options == LoadingOptions()
    assert source.digest == resolve_model(llama_folder).digest


def test_options_in_the_name_win_over_those_beside_it(llama_folder: Path) -> None:
    beside = LoadingOptions(dtype="bfloat16", attention="eager", device="cpu")
    source = resolve_model(f"{llama_folder}(dtype=float16)", options=beside)
    assert source.options == LoadingOptions(dtype="float16", attention="eager", device="cpu")


def test_labels_and_digests_say_what_changes_activations(llama_folder: Path) -> None:
    plain = resolve_model(llama_folder)
    assert plain.digest == plain.weights_digest
    found = {}
    for options, expected in {
        "dtype=bfloat16": ["bfloat16"],
        "dtype=float16": ["float16"],
        "quantization=4bit": ["4bit"],
        "quantization=8bit": ["8bit"],
        "attention=eager": ["eager attention"],
        "attention=eager, quantization=4bit, dtype=bfloat16": ["bfloat16", "4bit", "eager attention"],
        "batch_tokens=1": ["batches of 1 token"],
        "batch_tokens=512, dtype=bfloat16": ["bfloat16", "batches of 512 tokens"],
    }.items():
        source = resolve_model(f"{llama_folder}({options})")
        assert source.name == f"tiny-llama ({', '.join(expected)})"
        assert source.digest == " + ".join([plain.weights_digest, *expected])
        assert source.weights_digest == plain.weights_digest
        found[source.digest] = source
    assert len(found) == 8


def test_where_a_model_runs_changes_neither_label_nor_digest(llama_folder: Path) -> None:
    plain = resolve_model(llama_folder)
    for options in (
        LoadingOptions(device="cuda:1"),
        LoadingOptions(device_map="auto"),
        LoadingOptions(device="mps", dtype="float32"),
    ):
        source = resolve_model(llama_folder, options=options)
        assert (source.name, source.digest) == (plain.name, plain.digest)


def test_an_option_in_the_name_is_checked_as_one_beside_it(llama_folder: Path) -> None:
    with pytest.raises(
        ParameterError, match="dtype must be one of float32, bfloat16, float16"
    ) as caught:
        resolve_model(f"{llama_folder}(dtype=int8)")
    assert "got 'int8'" in caught.value.message
    with pytest.raises(ParameterError, match="got 'int8'"):
        LoadingOptions(dtype="int8")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quantization": "3bit"}, "quantization must be one of None, 8bit, 4bit; got '3bit'"),
        ({"attention": "flash"}, "attention must be one of None, eager, sdpa, "),
        ({"device_map": "balanced"}, "device_map must be one of None, auto; got 'balanced'"),
        ({"device": "gpu"}, "device must be cpu, cuda, cuda:NUMBER or mps; got 'gpu'"),
        ({"device": "cuda:x"}, "device must be cpu, cuda, cuda:NUMBER or mps; got 'cuda:x'"),
        ({"device": "cuda:-1"}, "device must be cpu, cuda, cuda:NUMBER or mps; got 'cuda:-1'"),
        ({"batch_tokens": 0}, "batch_tokens must be at least 1; got 0"),
        ({"batch_tokens": True}, "batch_tokens must be a whole number; got True"),
    ],
)
def test_options_that_are_none_are_told_what_there_is(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ParameterError) as caught:
        LoadingOptions(**wrong)  # type: ignore[arg-type]
    assert said in caught.value.message


def test_a_device_and_a_device_map_exclude_each_other() -> None:
    with pytest.raises(ParameterError, match="device and device_map exclude each other") as caught:
        LoadingOptions(device="cpu", device_map="auto")
    assert caught.value.hint == "a device map chooses the devices itself."


@pytest.mark.parametrize("what", ["folder", "gguf", "catalogue"])
def test_only_hub_models_have_revisions(what: str, here: Path, llama_folder: Path) -> None:
    (here / "model.gguf").write_bytes(b"GGUF and more")
    name = {"folder": str(llama_folder), "gguf": "model.gguf", "catalogue": "gemma-3-270m"}[what]
    for given in (
        lambda: resolve_model(name, revision="v1"),
        lambda: resolve_model(f"{name}(revision=v1)"),
    ):
        with pytest.raises(
            ParameterError, match="is no hub model, so it has no revision 'v1'"
        ) as caught:
            given()
        assert name in caught.value.message


def test_a_revision_behind_an_at_reaches_the_hub(here: Path) -> None:
    for written, shown in (
        ("isodepth-tests/absent-9437@v1.3", "isodepth-tests/absent-9437@v1.3"),
        ("isodepth-tests/absent-9437(revision=v1.3)", "isodepth-tests/absent-9437@v1.3"),
        ("gemma-2b(revision=abc)", "google/gemma-2b@abc"),
        ("gemma-2b", "google/gemma-2b"),
    ):
        with pytest.raises(DownloadError) as caught:
            resolve_model(written)
        assert f"hub model {shown} could not be fetched" in caught.value.message


@pytest.mark.parametrize("what", ["revision", "adapter"])
def test_a_thing_in_the_name_and_beside_it_is_refused(what: str, llama_folder: Path) -> None:
    with pytest.raises(ParameterError, match=f"{what} given twice") as caught:
        resolve_model(f"{llama_folder}({what}=x)", **{what: "x"})  # type: ignore[arg-type]
    assert str(llama_folder) in caught.value.message


# adapters


def test_an_adapter_alone_stands_on_the_base_that_it_names(
    lora_folder: Path, llama_folder: Path
) -> None:
    base, source = resolve_model(llama_folder), resolve_model(lora_folder)
    assert (source.kind, source.location) == ("folder", llama_folder)
    assert source.weights_digest == base.weights_digest
    assert source.adapter is not None
    assert source.adapter.location == lora_folder
    assert source.name == "tiny-llama + tiny-lora"
    assert source.digest == f"{base.digest} + adapter {source.adapter.weights_digest}"
    assert source.adapter.weights_digest != base.weights_digest


def test_an_adapter_is_the_same_however_it_is_named(lora_folder: Path, llama_folder: Path) -> None:
    sources = [
        resolve_model(lora_folder),
        resolve_model(llama_folder, adapter=lora_folder),
        resolve_model(str(llama_folder), adapter=str(lora_folder)),
        resolve_model(f"{llama_folder}(adapter={lora_folder})"),
        resolve_model(f"{llama_folder}(adapter='{lora_folder}')"),
    ]
    assert len({source.digest for source in sources}) == 1
    assert {source.name for source in sources} == {"tiny-llama + tiny-lora"}


def test_an_adapter_in_another_number_format_says_both(lora_folder: Path) -> None:
    plain = resolve_model(lora_folder)
    source = resolve_model(f"{lora_folder}(dtype=bfloat16)")
    assert source.name == "tiny-llama + tiny-lora (bfloat16)"
    assert source.digest == f"{plain.digest} + bfloat16"


def test_a_changed_weight_of_the_adapter_gives_another_digest(
    lora_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    assert resolve_model(folder).digest == resolve_model(lora_folder).digest
    weights = load_file(folder / "adapter_model.safetensors")
    next(iter(weights.values()))[0, 1] += 1.0
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    assert resolve_model(folder).digest != resolve_model(lora_folder).digest


def test_an_adapter_on_an_adapter_is_refused(
    lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    with pytest.raises(ModelError, match="is an adapter itself, so it cannot carry") as caught:
        resolve_model(lora_folder, adapter=lora_folder)
    assert str(lora_folder) in caught.value.message
    folder = copied(lora_folder)
    tiny_models.edited_json(folder / "adapter_config.json", base_model_name_or_path=str(lora_folder))
    with pytest.raises(ModelError, match="adapter tiny-lora belongs to .*, an adapter itself"):
        resolve_model(folder)


@pytest.mark.parametrize(
    ("base", "said"),
    [
        (None, "adapter tiny-lora does not say which model it belongs to"),
        ("", "adapter tiny-lora does not say which model it belongs to"),
        (7, "adapter tiny-lora does not say which model it belongs to"),
        (
            "/gone/since",
            "adapter tiny-lora belongs to '/gone/since', which is not a file or folder here",
        ),
        ("gone", "adapter tiny-lora belongs to 'gone', which is not a file or folder here"),
    ],
)
def test_an_adapter_whose_base_is_unknown_says_how_to_name_it(
    base: object, said: str, lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    tiny_models.edited_json(folder / "adapter_config.json", base_model_name_or_path=base)
    with pytest.raises(ModelError) as caught:
        resolve_model(folder)
    assert said in caught.value.message
    assert caught.value.hint == f"name the base yourself: BASE(adapter={folder})."
    assert resolve_model(f"{llama_folder}(adapter={folder})").name == "tiny-llama + tiny-lora"


def test_the_base_may_be_a_model_of_the_catalogue(lora_folder: Path, copied: Copied) -> None:
    folder = copied(lora_folder)
    tiny_models.edited_json(
        folder / "adapter_config.json", base_model_name_or_path="gemma-3-270m", revision="v1"
    )
    source = resolve_model(folder)
    assert source.entry is MODELS["gemma-3-270m"]
    assert source.name == "gemma-3-270m + tiny-lora"


def test_the_revision_of_a_base_on_the_hub_is_the_one_that_the_adapter_names(
    lora_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    tiny_models.edited_json(
        folder / "adapter_config.json",
        base_model_name_or_path="isodepth-tests/absent-9437",
        revision="v1.3",
    )
    with pytest.raises(DownloadError, match="hub model isodepth-tests/absent-9437@v1.3 could not"):
        resolve_model(folder)


def test_a_folder_that_is_no_adapter_is_refused_as_one(llama_folder: Path, gpt2_folder: Path) -> None:
    with pytest.raises(
        ModelError, match="is not a PEFT adapter: it has no adapter_config.json"
    ) as caught:
        resolve_model(llama_folder, adapter=gpt2_folder)
    assert str(gpt2_folder) in caught.value.message
    assert "save_pretrained of a PEFT model" in str(caught.value.hint)


def test_a_pickled_adapter_is_refused(lora_folder: Path, llama_folder: Path, copied: Copied) -> None:
    folder = copied(lora_folder)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    for resolve in (lambda: resolve_model(folder), lambda: resolve_model(llama_folder, adapter=folder)):
        with pytest.raises(ModelError, match="has no adapter_model.safetensors weights") as caught:
            resolve()
        assert "isodepth reads no pickled weights" in str(caught.value.hint)
        assert "safe_serialization=True" in str(caught.value.hint)


@pytest.mark.parametrize("content", [b"{", b"[1]"])
def test_an_adapters_invalid_configuration_is_refused_by_its_path(
    content: bytes, lora_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    (folder / "adapter_config.json").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        resolve_model(folder)
    assert str(folder / "adapter_config.json") in caught.value.message


def test_whether_an_adapted_model_has_a_chat_template_is_seen_where_its_tokenizer_is(
    lora_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    assert has_chat_template(resolve_model(folder)) is False
    tiny_models.chat_tokenizer().save_pretrained(folder)
    assert has_chat_template(resolve_model(folder)) is True


def recorded_hub(
    monkeypatch: pytest.MonkeyPatch, folder: Path, commit: str = "c0ffee"
) -> list[tuple[str, str | None]]:
    """Let every hub repository hold this folder; return the list of what is asked for."""
    asked: list[tuple[str, str | None]] = []

    def snapshot(repository: str, *, revision: str | None, with_code: bool) -> tuple[Path, str]:
        del with_code
        asked.append((repository, revision))
        return folder, commit

    monkeypatch.setattr("isodepth.models.resolution.hub_snapshot", snapshot)
    return asked


@pytest.mark.parametrize(
    ("written", "revision"),
    [
        ("isodepth-tests/lora-9437@v1", "v1"),
        ("isodepth-tests/lora-9437(revision=v1)", "v1"),
        ("isodepth-tests/lora-9437", None),
    ],
)
def test_an_adapter_on_the_hub_may_be_at_a_revision(
    written: str,
    revision: str | None,
    lora_folder: Path,
    llama_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = recorded_hub(monkeypatch, lora_folder)
    source = resolve_model(llama_folder, adapter=written)
    assert asked == [("isodepth-tests/lora-9437", revision)]
    assert source.adapter is not None
    assert source.adapter.location == lora_folder
    assert source.adapter.weights_digest == "hub:isodepth-tests/lora-9437@c0ffee"
    if "(" not in written:
        assert resolve_model(f"{llama_folder}(adapter={written})").digest == source.digest
    assert load_model(source).n_layers == 5


def test_a_hub_model_is_identified_without_fetching_it(
    llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recorded_hub(monkeypatch, llama_folder)
    files = tuple(path.name for path in llama_folder.iterdir())

    def revision_of(repository: str, *, revision: str | None) -> HubRevision:
        return HubRevision(commit="c0ffee", files=files)

    monkeypatch.setattr("isodepth.models.resolution.hub_revision", revision_of)
    found = resolve_model("isodepth-tests/llama-7177@v1(dtype=bfloat16)", fetch=False)
    assert asked == []
    assert found.location is None
    fetched = resolve_model("isodepth-tests/llama-7177@v1(dtype=bfloat16)")
    assert asked == [("isodepth-tests/llama-7177", "v1")]
    assert (found.digest, found.name) == (fetched.digest, fetched.name)


def test_an_adapter_on_the_hub_is_fetched_to_know_its_base(
    lora_folder: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recorded_hub(monkeypatch, lora_folder)
    files = tuple(path.name for path in lora_folder.iterdir())

    def revision_of(repository: str, *, revision: str | None) -> HubRevision:
        return HubRevision(commit="c0ffee", files=files)

    monkeypatch.setattr("isodepth.models.resolution.hub_revision", revision_of)
    found = resolve_model("isodepth-tests/lora-9437", fetch=False)
    assert asked == [("isodepth-tests/lora-9437", None)]
    assert found.adapter is not None
    assert found.location == llama_folder


@pytest.mark.parametrize("option", ["dtype=bfloat16", "quantization=4bit", "adapter=./x"])
def test_an_adapters_name_takes_no_options_but_its_revision(
    option: str, lora_folder: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded_hub(monkeypatch, lora_folder)
    with pytest.raises((ModelError, ParameterError)):
        resolve_model(llama_folder, adapter=f"isodepth-tests/lora-9437({option})")


def test_an_adapter_that_is_a_path_object_is_never_taken_for_a_hub_id(
    here: Path, lora_folder: Path, llama_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = recorded_hub(monkeypatch, lora_folder)
    with pytest.raises(UnknownNameError, match="no model is called 'owner/lora'"):
        resolve_model(llama_folder, adapter=Path("owner/lora"))
    assert asked == []


def test_where_a_gated_model_cannot_be_fetched_access_is_named(here: Path) -> None:
    gated = next(
        name
        for name, entry in MODELS.items()
        if not isinstance(entry.weights, GgufWeights) and getattr(entry.weights, "is_gated", False)
    )
    with pytest.raises(DownloadError) as caught:
        resolve_model(gated)
    assert str(caught.value.hint).startswith(
        f"{gated} is gated: ask for access on its page on the hub, then log in with 'hf auth login'. "
    )
    assert "local transformers folder" in str(caught.value.hint)
    with pytest.raises(DownloadError) as caught:
        resolve_model("isodepth-tests/absent-9437")
    assert "gated" not in str(caught.value.hint)


def test_an_adapters_folder_may_hold_the_configuration_of_its_base(
    lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    shutil.copy(llama_folder / "config.json", folder)
    source = resolve_model(folder)
    assert source.name == "tiny-llama + tiny-lora"
    assert source.location == llama_folder
    assert source.adapter is not None
    assert source.adapter.location == folder
    assert load_model(source).n_layers == 5
    assert resolve_model(llama_folder, adapter=folder).digest == source.digest


@pytest.mark.parametrize("weights", ["model.safetensors", "model-00001-of-00002.safetensors"])
def test_a_folder_of_both_a_model_and_an_adapter_is_refused(
    weights: str, lora_folder: Path, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(lora_folder)
    shutil.copy(llama_folder / "config.json", folder)
    shutil.copy(llama_folder / "model.safetensors", folder / weights)
    for resolve in (lambda: resolve_model(folder), lambda: resolve_model(llama_folder, adapter=folder)):
        with pytest.raises(
            ModelError, match=r"holds both a model \(config.json\) and an adapter"
        ) as caught:
            resolve()
        assert caught.value.hint == "put one of them into a folder of its own."


# models in memory


def a_model(**changes: object) -> Model:
    settings = {
        "name": "mine",
        "digest": "memory:abc",
        "body": None,
        "blocks": (),
        "tokenizer": tiny_models.chat_tokenizer(),
        "width": 26,
        "context_length": None,
    }
    return Model(**{**settings, **changes})  # type: ignore[arg-type]


def test_a_model_in_memory_is_itself() -> None:
    model = a_model()
    source = resolve_model(model)
    assert (source.kind, source.name, source.digest) == ("memory", "mine", "memory:abc")
    assert load_model(source) is model
    assert has_chat_template(source) is True
    plain = a_model(tokenizer=tiny_models.tiny_tokenizer())
    assert has_chat_template(resolve_model(plain)) is False


@pytest.mark.parametrize(
    "beside", [{"revision": "main"}, {"adapter": "./x"}, {"options": LoadingOptions(dtype="float16")}]
)
def test_a_model_in_memory_takes_no_options(beside: dict[str, object]) -> None:
    with pytest.raises(
        ParameterError, match="mine is in memory already; revision, adapter and options"
    ):
        resolve_model(a_model(), **beside)  # type: ignore[arg-type]
