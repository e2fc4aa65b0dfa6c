"""`isodepth inspect`: what is read of a model, line by line, and when it says no."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from isodepth.inspection import inspect_model
from isodepth.models import LoadingOptions
from isodepth.texts import load_texts

Run = Callable[..., tuple[int, str, str]]
Inspected = Callable[..., dict[str, str]]

N_TEXTS = 23
LENGTHS = [3 + number % 11 for number in range(N_TEXTS)]
TEXTS = tiny_models.texts_of(LENGTHS, seed=3)
LINES = (
    "blocks",
    "final norm",
    "states",
    "direction",
    "arithmetic",
    "front tokens",
    "end tokens",
    "last tokens",
    "truncation",
    "batching",
    "units",
    "tokens",
    "texts",
)


@pytest.fixture
def texts_file(tmp_path: Path) -> Path:
    path = tmp_path / "reviews.txt"
    path.write_text("\n".join(TEXTS))
    return path


@pytest.fixture
def inspected(run: Run, texts_file: Path) -> Inspected:
    """Return a function that inspects a model and gives the lines by label, the heading under ""."""

    def inspect(model: object, *arguments: object) -> dict[str, str]:
        status, said, problems = run("inspect", model, "--texts", texts_file, *arguments)
        assert status == 0, problems
        assert "warning" not in problems
        heading, *lines = said.splitlines()
        found = {line[:16].strip(): line[16:] for line in lines}
        assert len(found) == len(lines)
        return {"": heading, **found}

    return inspect


def test_every_line_of_a_decoder(inspected: Inspected, llama_folder: Path) -> None:
    found = inspected(llama_folder)
    assert tuple(found) == ("", *LINES)
    assert found[""] == "tiny-llama on 23 texts of reviews.txt"
    in_a_block = 2 * 26 + 3 * 26 * 31 + 26 * 6 * (2 + 1 + 1 + 2)  # norms, MLP, attention
    n_parameters = 97 * 26 + 5 * in_a_block + 26
    assert found["blocks"] == (
        f"5 x 26 units, LlamaModel (at layers), {n_parameters:,} parameters without head"
    )
    assert found["final norm"] == "norm (LlamaRMSNorm)"
    assert found["states"] == (
        "are the block outputs (0.0e+00); the last is the model's output, after norm (LlamaRMSNorm)"
    )
    effect = re.fullmatch(
        r"causal: a later token changes earlier activations by (\S+)", found["direction"]
    )
    assert effect is not None
    assert float(effect[1]) < 1e-5
    assert found["arithmetic"] == "float32 on cpu, sdpa attention"
    assert found["front tokens"] == "<s> (kept)"
    assert found["end tokens"] == "none"
    last = [text.split()[-1] for text in TEXTS]
    most = max(map(last.count, last))
    told = re.fullmatch(r"(\d+) different; '(w\d+)' ends (\d+)% of the texts", found["last tokens"])
    assert told is not None
    assert (int(told[1]), last.count(told[2])) == (len(set(last)), most)
    assert int(told[3]) == round(100 * most / N_TEXTS)
    assert found["truncation"] == (
        f"after 211 tokens: 0 of 23 texts are cut; the longest read has {1 + max(LENGTHS)}"
    )
    batching = re.fullmatch(
        r"padded; batched against one at a time (\S+) \(allowed 1e-04\), "
        r"100.0% of 7 neighbors the same",
        found["batching"],
    )
    assert batching is not None
    assert float(batching[1]) < 1e-4
    assert re.fullmatch(
        r"unit \d+ holds \d+% of the squared norm in layer [1-5] \(median text\)", found["units"]
    )
    place = re.fullmatch(
        r"'(\S+)' at place (\d+) has \d+ times the median norm of its text in layer [1-5]",
        found["tokens"],
    )
    assert place is not None
    # the token in front takes place 1
    assert any(
        ["<s>", *text.split()][int(place[2]) - 1] == place[1]
        for text in TEXTS
        if len(text.split()) >= int(place[2]) - 1
    )
    assert re.fullmatch(
        r"the largest vector has \d+\.\d times the median norm, in layer [1-5]", found["texts"]
    )


def test_a_model_without_attention_or_limit(inspected: Inspected, mamba_folder: Path) -> None:
    found = inspected(mamba_folder)
    assert found["blocks"].startswith("3 x 19 units, MambaModel (at layers), ")
    assert found["final norm"] == "norm_f (MambaRMSNorm)"
    assert found["states"].startswith("are the block outputs (0.0e+00)")
    assert found["truncation"] == f"no limit; the longest text has {1 + max(LENGTHS)} tokens"


def test_an_encoder_is_read_with_pooling_mean(inspected: Inspected, bert_folder: Path) -> None:
    found = inspected(bert_folder, "--pooling", "mean")
    assert tuple(found) == ("", *LINES)
    assert found["blocks"].startswith("3 x 26 units, BertModel (at encoder.layer), ")
    assert found["final norm"] == "none: the model returns the last block's output"
    assert found["states"].endswith("the last is the last block's output, which no norm follows")
    assert found["direction"] == "tokens see later ones: an encoder, to be read with pooling mean"


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_the_last_token_of_an_encoder_is_refused(
    flags: list[str], run: Run, bert_folder: Path, texts_file: Path
) -> None:
    status, said, problems = run("inspect", bert_folder, "--texts", texts_file, *flags)
    assert (status, said) == (1, "")
    error, hint = problems.splitlines()[-2:]
    assert error == (
        "error: tiny-bert (BertModel): its tokens see later ones (it is no causal decoder), so the "
        "last token does not stand for what has been read"
    )
    assert hint == "hint: use --pooling mean, as sentence models do."


def test_dtype_and_what_it_allows(inspected: Inspected, llama_folder: Path) -> None:
    by_flag = inspected(llama_folder, "--dtype", "bfloat16")
    assert by_flag[""] == "tiny-llama (bfloat16) on 23 texts of reviews.txt"
    assert by_flag["arithmetic"] == "bfloat16 on cpu, sdpa attention"
    assert "(allowed 5e-02)" in by_flag["batching"]
    assert inspected(f"{llama_folder}(dtype=bfloat16)") == by_flag
    # what stands behind the model counts, not what is said of all
    alone = inspected(f"{llama_folder}(dtype=float32)", "--dtype", "bfloat16")
    assert alone["arithmetic"] == "float32 on cpu, sdpa attention"


def test_attention_is_chosen(inspected: Inspected, llama_folder: Path) -> None:
    found = inspected(llama_folder, "--attention", "eager")
    assert found["arithmetic"] == "float32 on cpu, eager attention"
    assert found[""].startswith("tiny-llama (eager attention) on ")


def test_tokens_that_the_tokenizer_appends_are_told(inspected: Inspected, tmp_path: Path) -> None:
    ending = tiny_models.tiny_tokenizer(eos=True)
    decoder = tiny_models.saved(tmp_path / "ending", tokenizer=ending)
    assert inspected(decoder)["end tokens"] == "</s> (removed: they tell nothing)"
    encoder = tiny_models.saved(tmp_path / "encoder", tiny_models.bert, tokenizer=ending)
    found = inspected(encoder, "--pooling", "mean")
    assert found["end tokens"] == "</s> (kept, as the model was trained)"
    assert found["last tokens"] == "1 different; '</s>' ends 100% of the texts"


def test_truncation_is_counted(inspected: Inspected, llama_folder: Path) -> None:
    n_cut = sum(1 + length > 7 for length in LENGTHS)
    assert 0 < n_cut < N_TEXTS
    told = f"after 7 tokens: {n_cut} of 23 texts are cut; the longest read has 7"
    assert inspected(llama_folder, "--max-tokens", 7)["truncation"] == told


def test_a_chat_template_is_told(inspected: Inspected, chat_folder: Path) -> None:
    found = inspected(chat_folder, "--chat")
    n_front = len(tiny_models.CHAT_FRONT)
    assert found["front tokens"] == f"{n_front} of the chat template"
    assert found["end tokens"] == "'<end> assistant' of the chat template (kept)"
    assert found["last tokens"] == "1 different; 'assistant' ends 100% of the texts"


def test_chat_without_a_template_is_refused(run: Run, llama_folder: Path, texts_file: Path) -> None:
    status, said, problems = run("inspect", llama_folder, "--texts", texts_file, "--chat")
    assert (status, said) == (1, "")
    assert "error: tiny-llama has no chat template" in problems


def test_an_adapter_is_inspected_with_its_base(
    inspected: Inspected, lora_folder: Path, llama_folder: Path
) -> None:
    found = inspected(lora_folder)
    assert found[""] == "tiny-llama + tiny-lora on 23 texts of reviews.txt"
    assert inspected(f"{llama_folder}(adapter={lora_folder})") == found
    assert inspected(llama_folder)["tokens"] != found["tokens"]


def test_json_is_all_that_the_library_gives(run: Run, llama_folder: Path, texts_file: Path) -> None:
    status, said, problems = run(
        *("inspect", llama_folder, "--texts", texts_file, "--json"),
        *("--probes", 11, "--max-tokens", 13, "--dtype", "bfloat16", "--pooling", -2),
    )
    assert status == 0, problems
    found = json.loads(said)
    expected = inspect_model(
        llama_folder,
        load_texts(texts_file),
        pooling=-2,
        max_tokens=13,
        n_probes=11,
        loading=LoadingOptions(dtype="bfloat16"),
    ).as_dict()
    assert found == json.loads(json.dumps(expected))
    assert (found["n_layers"], found["width"], found["context_length"]) == (5, 26, 211)
    assert found["options"] == {"capture": "block", "pooling": -2, "max_tokens": 13, "chat": False}
    assert len(found["contract"]["probe_tokens"]) == 11
    assert found["contract"]["neighbors_batched_against_single"]["k"] == 3
    assert found["encoding"]["n_truncated"] == sum(1 + length > 13 for length in LENGTHS)


def test_texts_are_sampled(run: Run, llama_folder: Path, texts_file: Path) -> None:
    arguments = ("inspect", llama_folder, "--texts", texts_file, "--json", "-n", 7)
    one, again, other = (
        json.loads(run(*arguments, "--seed", seed)[1])["texts_digest"] for seed in (5, 5, 11)
    )
    assert one == again != other


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["--pooling", "middle"], "pooling must be one of last, mean, first", None),
        (["--pooling", "17"], "pooling 17 needs texts of 18 tokens", "use another pooling"),
        (["--pooling", "first"], "the model has read the same of all 23", "--pooling last or mean"),
        (["--device", "tpu"], "device must be cpu, cuda, cuda:NUMBER or mps; got 'tpu'", None),
        (["--device", "cuda:97"], "device cuda:97 is not there", "use --device cpu"),
        (["--device", "cpu", "--device-map", "auto"], "exclude each other", "a device map chooses"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_a_hint(
    arguments: list[str],
    error: str,
    hint: str | None,
    run: Run,
    llama_folder: Path,
    texts_file: Path,
) -> None:
    status, said, problems = run("inspect", llama_folder, "--texts", texts_file, *arguments)
    assert (status, said) == (1, "")
    assert "Traceback" not in problems
    assert error in problems
    assert ("hint: " in problems) == (hint is not None)
    assert hint is None or hint in problems


def test_the_help_names_all_that_can_be_said_of_loading(run: Run) -> None:
    told: list[Any] = []
    for command in ("inspect", "compare"):
        _, said, _ = run(command, "--help")
        words = " ".join(said.split())
        for option in (
            "--dtype [float32|bfloat16|float16]",
            "--quantization [8bit|4bit]",
            "--attention [eager|sdpa|flash_attention_2|flash_attention_3|flex_attention]",
            "--device TEXT",
            "--device-map [auto]",
            "--trust-remote-code",
        ):
            assert option in words, (command, option)
        assert "Only for makers that you trust." in words
        assert "from the end: --pooling=-2" in words
        told.append(words[words.index("--dtype") : words.index("--trust-remote-code")])
    assert told[0] == told[1]
