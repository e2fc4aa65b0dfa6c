"""`isodepth compare`: what it reads, which of it it leaves out, how it wraps it, and what it tells."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

import tiny_architectures
import tiny_models
from isodepth import affinity_matrix, extract, load_model, nearest_neighbors
from isodepth.comparison import NO_DECISION
from isodepth.sources import import_file
from isodepth.texts import texts_digest
from tiny_models import TinySet

pytestmark = pytest.mark.usefixtures("few_relabellings")

Run = Callable[..., tuple[int, str, str]]
Compared = Callable[..., tuple[str, dict[str, Any], np.ndarray]]

N_TEXTS = 29
ENGLISH = tiny_models.texts_of([3 + number % 11 for number in range(N_TEXTS)], seed=41)
GERMAN = tiny_models.texts_of([3 + number % 7 for number in range(N_TEXTS)], seed=47)


@pytest.fixture
def english(tmp_path: Path) -> Path:
    path = tmp_path / "english.txt"
    path.write_text("\n".join(ENGLISH))
    return path


@pytest.fixture
def german(tmp_path: Path) -> Path:
    path = tmp_path / "german.txt"
    path.write_text("\n".join(GERMAN))
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.csv"
    rows = zip(ENGLISH, GERMAN, strict=True)
    path.write_text("en,de\n" + "".join(f"{one},{other}\n" for one, other in rows))
    return path


@pytest.fixture
def compared(run: Run, llama_folder: Path, chat_folder: Path, tmp_path: Path) -> Compared:
    """Return a function that compares a Llama with one that has a chat template.

    It gives what was printed, the summary and the similarities.
    """

    def run_comparison(
        *arguments: object, left: object = llama_folder, right: object = chat_folder
    ) -> tuple[str, dict[str, Any], np.ndarray]:
        out = tmp_path / "out"
        status, said, problems = run("compare", left, right, *arguments, "-k", 5, "--out", out)
        assert status == 0, problems
        summary = json.loads((out / "summary.json").read_text())
        similarity = pyarrow.parquet.read_table(out / "affinity.parquet")["similarity"].to_numpy()
        return said, summary, similarity

    return run_comparison


def test_right_texts_are_read_by_the_right_model(
    compared: Compared, english: Path, german: Path
) -> None:
    said, summary, _ = compared("--texts", english, "--right-texts", german)
    assert summary["texts"]["name"] == "english.txt"
    assert summary["right_texts"]["name"] == "german.txt"
    assert "layers of tiny-llama on english.txt (up) against layers of tiny-chat on german.txt" in said
    assert "29 parallel texts of english.txt and german.txt, k = 5" in said


def test_of_other_measures_it_says_that_there_is_no_decision_and_what_does_not_count(
    run: Run, llama_folder: Path, chat_folder: Path, english: Path, tmp_path: Path
) -> None:
    arguments = ("compare", llama_folder, chat_folder, "--texts", english, "--out", tmp_path / "out")
    arguments += ("--measure", "cka", "-k", 5)
    status, said, told = run(*arguments, "--metric", "euclidean")
    assert status == 0, told
    assert "note: -k and --metric do not count for linear CKA\n" in told
    assert NO_DECISION in said.splitlines()
    assert f"{N_TEXTS} texts of english.txt, linear CKA, capture block, pooling last." in said
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["decision"], summary["k"], summary["metric"]) == (None, None, None)
    assert "note: -k does not count for linear CKA\n" in run(*arguments)[2]
    assert "does not count" not in run(*arguments[:-2])[2]


def test_columns_of_a_table_give_what_two_files_give(
    compared: Compared, table: Path, english: Path, german: Path
) -> None:
    _, _, expected = compared("--texts", english, "--right-texts", german)
    columns = ("--column", "en", "--right-column", "de")
    _, summary, found = compared("--texts", table, *columns)
    np.testing.assert_array_equal(found, expected)
    assert summary["texts"]["provenance"]["column"] == "en"
    assert summary["right_texts"]["provenance"]["column"] == "de"
    _, _, twice = compared("--texts", table, "--right-texts", table, *columns)
    np.testing.assert_array_equal(twice, expected)
    _, _, mixed = compared("--texts", english, "--right-texts", table, "--right-column", "de")
    np.testing.assert_array_equal(mixed, expected)


def test_texts_of_unequal_number_are_an_error_that_names_both(
    run: Run, llama_folder: Path, english: Path, tmp_path: Path
) -> None:
    fewer = tmp_path / "fewer.txt"
    fewer.write_text("\n".join(GERMAN[:-3]))
    status, said, problems = run(
        "compare", llama_folder, llama_folder, "--texts", english, "--right-texts", fewer
    )
    assert (status, said) == (1, "")
    assert problems == ("error: english.txt and fewer.txt cannot be parallel: 29 texts against 26\n")


@pytest.mark.parametrize(
    ("flags", "turned"),
    [
        (["--chat"], (True, True)),
        (["--chat-left"], (True, False)),
        (["--chat-right"], (False, True)),
        (["--chat-left", "--chat-right"], (True, True)),
        (["--chat", "--chat-left"], (True, True)),
        ([], (False, False)),
    ],
)
def test_chat_flags_say_which_model_reads_turns(
    flags: list[str], turned: tuple[bool, bool], compared: Compared, english: Path, chat_folder: Path
) -> None:
    said, summary, _ = compared("--texts", english, *flags, left=chat_folder)
    assert (summary["left"]["chat"], summary["right"]["chat"]) == turned
    note = "read every text as a user's turn in its chat template, up to the generation prompt."
    readers = {
        summary[side]["name"]
        for side, wrapped in zip(("left", "right"), turned, strict=True)
        if wrapped
    }
    assert said.count(note) == len(readers)
    for side, wrapped in zip(("left", "right"), turned, strict=True):
        name = summary[side]["name"]
        assert name.endswith(" as chat") == (wrapped and not all(turned))
        assert (f"note: {name} {note}" in said) == wrapped


def test_chat_with_a_model_that_has_no_template_names_it(
    run: Run, llama_folder: Path, chat_folder: Path, english: Path
) -> None:
    arguments = ("compare", llama_folder, chat_folder, "--texts", english, "--chat")
    status, said, problems = run(*arguments)
    assert (status, said) == (1, "")
    assert problems.splitlines()[-2:] == [
        "error: tiny-llama has no chat template, so its texts cannot be wrapped as a user's turn",
        "hint: leave --chat out, or use --chat-left or --chat-right for the model that has one.",
    ]
    assert "reading with" not in problems


def test_what_limits_and_dedupe_leave_out_is_counted_and_told(
    compared: Compared, tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    long = " ".join(["w5"] * 40)  # 119 characters
    path.write_text("\n".join([*ENGLISH, ENGLISH[4], "w1", "w2", ENGLISH[7], long, ENGLISH[4], ""]))
    limits = ("--min-chars", 3, "--max-chars", 118, "--dedupe")
    said, summary, _ = compared("--texts", path, *limits)
    (sampling,) = summary["texts"]["provenance"]["sampling"]
    assert sampling["dropped"] == {"too_short": 2, "too_long": 1, "copies": 3}
    assert (
        "note: texts.txt: of 35 texts looked at, 2 shorter than 3 characters, 1 longer than 118 "
        "characters, 3 exact copies of others left out."
    ) in said
    assert "29 texts of texts.txt" in said
    assert "exact copies of others, hence" not in said


def test_where_all_texts_are_taken_the_first_of_copies_is_kept_whatever_the_seed(
    compared: Compared, english: Path, tmp_path: Path
) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*ENGLISH, *ENGLISH[:5]]))
    _, expected, _ = compared("--texts", english)
    for seed in (1234, 5, 7):
        _, summary, _ = compared("--texts", path, "--dedupe", "--seed", seed)
        assert summary["texts"]["digest"] == expected["texts"]["digest"]


def test_empty_lines_are_left_out_by_a_least_length_of_one(compared: Compared, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([ENGLISH[0], "", "   ", *ENGLISH[1:]]))
    said, summary, _ = compared("--texts", path, "--min-chars", 1)
    assert summary["n_texts"] == N_TEXTS
    assert "note: texts.txt: of 31 texts looked at, 2 shorter than 1 characters left out." in said


def test_a_pair_is_left_out_where_either_text_is_too_long(
    compared: Compared, english: Path, german: Path
) -> None:
    lines = german.read_text().split("\n")
    lines[3] = lines[3] + " w5" * 60
    german.write_text("\n".join(lines))
    said, summary, _ = compared("--texts", english, "--right-texts", german, "--max-chars", 150)
    assert summary["n_texts"] == N_TEXTS - 1
    assert "of 29 texts looked at, 1 longer than 150 characters left out." in said


@pytest.mark.parametrize("source", ["offline", "hub"])
def test_a_source_does_not_apply_to_a_file(
    source: str, run: Run, llama_folder: Path, english: Path
) -> None:
    status, said, problems = run(
        "compare", llama_folder, llama_folder, "--texts", english, "--source", source
    )
    assert (status, said) == (1, "")
    assert problems == (
        f"error: source {source!r} was named, but a file has no sources to choose from\n"
        "hint: only sets of the catalogue have; 'isodepth texts' lists them.\n"
    )


def test_a_folder_of_texts_is_read_file_by_file(
    compared: Compared, english: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    for number, text in enumerate(ENGLISH):
        (folder / f"{number:02}.txt").write_text(text + "\n")
    (folder / "notes.md").write_text("not a text")
    said, summary, found = compared("--texts", folder)
    assert "29 texts of letters, k = 5" in said
    _, expected, values = compared("--texts", english)
    assert summary["texts"]["digest"] == expected["texts"]["digest"]
    np.testing.assert_array_equal(found, values)


def test_a_control_of_a_file_is_compared_with_the_file_itself(
    compared: Compared, english: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(english.parent)
    control = "shuffled-words(english.txt, seed=3)"
    said, summary, _ = compared("--texts", "english.txt", "--right-texts", control)
    assert summary["right_texts"]["name"] == control
    (made,) = summary["right_texts"]["provenance"]["controls"]
    assert (made["control"], made["options"]) == ("shuffled-words", {"seed": 3})
    assert f"parallel texts of english.txt and {control}" in said


def test_texts_that_a_control_does_not_change_are_counted(compared: Compared, tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*ENGLISH, "w1", "w2"]))
    said, _, _ = compared("--texts", f"shuffled-words({path})")
    (note,) = (line for line in said.splitlines() if "came out of shuffled-words unchanged" in line)
    assert 2 <= int(note.removeprefix("note: ").split()[0]) < N_TEXTS


def test_a_caesar_cipher_of_a_file_is_read(compared: Compared, english: Path, tmp_path: Path) -> None:
    model = tiny_models.written_gguf(tmp_path / "tiny.gguf")  # whose tokens are bytes
    said, summary, _ = compared("--texts", f"caesar({english})", left=model, right=model)
    assert f"29 texts of caesar({english}), k = 5" in said
    assert summary["texts"]["provenance"]["controls"] == [
        {"control": "caesar", "options": {"seed": 1234, "characters": "all"}, "n_unchanged": 0}
    ]


@pytest.mark.parametrize(
    ("standing", "note"),
    [
        ("stand-in for the paper's words", "note: tiny-set: stand-in for the paper's words.\n"),
        ("the paper's own", None),
    ],
)
def test_a_stand_in_is_noted_as_one(
    standing: str,
    note: str | None,
    compared: Compared,
    tiny_set: Callable[..., TinySet],
) -> None:
    made = tiny_set("tiny-set", ENGLISH, standing=standing)
    import_file(made.pin, made.wheel)
    said, summary, _ = compared("--texts", "tiny-set")
    assert summary["texts"]["provenance"]["standing"] == standing
    if note is None:
        assert "tiny-set is" not in said
    else:
        assert note in said


def test_standard_input_is_read_by_a_real_process(
    llama_folder: Path, chat_folder: Path, compared: Compared, english: Path, tmp_path: Path
) -> None:
    _, expected, values = compared("--texts", english)
    out = tmp_path / "piped"
    command = [sys.executable, "-m", "isodepth", "compare", str(llama_folder), str(chat_folder)]
    command += ["--texts", "-", "-k", "5", "--out", str(out)]
    done = subprocess.run(command, input=english.read_bytes(), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode()
    assert "29 texts of standard input, k = 5" in said
    assert "Found in the store: neighbors of tiny-llama, neighbors of tiny-chat, affinity" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["texts"]["digest"] == expected["texts"]["digest"]
    found = pyarrow.parquet.read_table(out / "affinity.parquet")["similarity"].to_numpy()
    np.testing.assert_array_equal(found, values)


def test_standard_input_with_a_column_is_read_as_json_lines(
    compared: Compared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    path.write_text("".join(json.dumps({"en": text, "number": 7}) + "\n" for text in ENGLISH))
    with path.open() as piped:
        monkeypatch.setattr(sys, "stdin", piped)
        _, summary, _ = compared("--texts", "-", "--column", "en")
    assert summary["texts"]["digest"] == texts_digest(ENGLISH)


def test_standard_input_cannot_be_both_sides(run: Run, llama_folder: Path) -> None:
    status, said, problems = run(
        "compare", llama_folder, llama_folder, "--texts", "-", "--right-texts", "-"
    )
    assert (status, said) == (1, "")
    assert problems == (
        "error: standard input can be read once only\nhint: put one side into a file.\n"
    )


def test_a_limit_of_tokens_that_leaves_no_room_in_the_template_is_refused(
    run: Run, chat_folder: Path, english: Path
) -> None:
    status, _, problems = run(
        *("compare", chat_folder, chat_folder, "--texts", english, "--chat", "--max-tokens", 2)
    )
    assert status == 1
    assert "error: tiny-chat: 2 tokens leave no room for a text before the 2 tokens" in problems


def test_bytes_on_standard_input_that_are_not_utf_8_are_an_error_with_their_place(
    llama_folder: Path,
) -> None:
    command = [sys.executable, "-m", "isodepth", "compare", str(llama_folder), str(llama_folder)]
    done = subprocess.run(
        [*command, "--texts", "-"], input=b"w1\nw2 \xe9\nw3\n", capture_output=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(
        b"error: standard input: not UTF-8 at line 2, byte 6 of the file (0xe9): "
    )


def expected_similarities(left: object, right: object, texts: Path, **options: Any) -> np.ndarray:
    """Return what the library's stages give one by one, as the table has it."""
    sides = [
        nearest_neighbors(extract(model, texts, **options), 5)  # type: ignore[arg-type]
        for model in (left, right)
    ]
    return affinity_matrix(*sides, k=5).values.ravel()


def test_copies_read_in_other_batches_or_never_trained_are_readings_of_their_own(
    compared: Compared, english: Path, llama_folder: Path
) -> None:
    in_batches = f"{llama_folder}(batch_tokens=43)"
    shown, summary, trained = compared("--texts", english, right=in_batches)
    assert "layers of tiny-llama (up) against layers of tiny-llama (batches of 43 tokens)" in shown
    assert "Found in the store" not in shown
    budgets = [summary[side]["provenance"]["token_budget"] for side in ("left", "right")]
    assert budgets == [1024, 43]
    assert trained.reshape(5, 5).diagonal().min() > 0.9

    shown, summary, drawn = compared("--texts", english, "--untrained", 3, right=in_batches)
    assert [summary[side]["name"] for side in ("left", "right")] == [
        "tiny-llama (untrained, seed 3)",
        "tiny-llama (untrained, seed 3, batches of 43 tokens)",
    ]
    assert "Found in the store" not in shown
    assert [summary[side]["provenance"]["untrained"] for side in ("left", "right")] == [3, 3]
    assert drawn.reshape(5, 5).diagonal().min() > 0.9
    assert np.abs(drawn - trained).max() > 0.01


def test_a_dtype_for_all_and_one_for_a_model_alone(
    compared: Compared, english: Path, llama_folder: Path, chat_folder: Path
) -> None:
    rounded = load_model(chat_folder, dtype="bfloat16")
    said, summary, found = compared("--texts", english, "--dtype", "bfloat16")
    assert "layers of tiny-llama (bfloat16) (up) against layers of tiny-chat (bfloat16)" in said
    assert [summary[side]["provenance"]["dtype"] for side in ("left", "right")] == ["bfloat16"] * 2
    both = expected_similarities(load_model(llama_folder, dtype="bfloat16"), rounded, english)
    np.testing.assert_allclose(found, both, atol=1e-6)

    right = f"{chat_folder}(dtype=bfloat16)"
    said, summary, found = compared("--texts", english, right=right)
    assert "layers of tiny-llama (up) against layers of tiny-chat (bfloat16)" in said
    dtypes = [summary[side]["provenance"]["dtype"] for side in ("left", "right")]
    assert dtypes == ["float32", "bfloat16"]
    np.testing.assert_allclose(found, expected_similarities(llama_folder, rounded, english), atol=1e-6)
    assert not np.allclose(found, both, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "capture", "pooling", "label"),
    [
        (["--pooling=-2"], "block", -2, " [token -2]"),
        (["--pooling", "-1"], "block", "last", ""),
        (["--pooling", "2"], "block", 2, " [token 2]"),
        (["--capture", "mlp"], "mlp", "last", " [MLP outputs]"),
        (["--capture", "attention", "--pooling", "mean"], "attention", "mean", None),
    ],
)
def test_captures_and_poolings_are_those_of_the_library_and_named(
    arguments: list[str],
    capture: str,
    pooling: str | int,
    label: str | None,
    compared: Compared,
    english: Path,
    llama_folder: Path,
    chat_folder: Path,
) -> None:
    said, summary, found = compared("--texts", english, *arguments)
    assert summary["capture"] == {"capture": capture, "pooling": pooling, "max_tokens": None}
    assert f"capture {capture}, pooling {pooling}." in said
    label = " [attention outputs, mean over tokens]" if label is None else label
    assert summary["left"]["name"] == f"tiny-llama{label}"
    assert f"layers of tiny-llama{label} (up) against layers of tiny-chat{label}" in said
    expected = expected_similarities(
        llama_folder, chat_folder, english, capture=capture, pooling=pooling
    )
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_adapter_is_compared_with_its_base(
    compared: Compared, english: Path, llama_folder: Path, lora_folder: Path
) -> None:
    said, summary, found = compared("--texts", english, right=lora_folder)
    assert "layers of tiny-llama (up) against layers of tiny-llama + tiny-lora (right)" in said
    assert summary["right"]["name"] == "tiny-llama + tiny-lora"
    digests = [summary[side]["provenance"]["model_digest"] for side in ("left", "right")]
    assert digests[1].startswith(f"{digests[0]} + adapter folder:")
    diagonal = np.diag(found.reshape(5, 5))
    assert 0 < diagonal.min() < 1
    assert diagonal.max() < 1
    named = f"{llama_folder}(adapter={lora_folder})"
    again, _, same = compared("--texts", english, right=named)
    np.testing.assert_array_equal(same, found)
    assert "Found in the store: neighbors of tiny-llama, neighbors of tiny-llama + tiny-lora" in again


def test_blocks_that_text_passes_by_are_noted_on_a_rerun_too(
    compared: Compared, english: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny-vision"
    with tiny_models.quietly():
        tiny_architectures.made("mllama").save_pretrained(folder)
        tiny_models.tiny_tokenizer().save_pretrained(folder)
    note = (
        "note: text does not pass through block 2, 4 of tiny-vision; each has the activations of the "
        "block before.\n"
    )
    first, summary, similarity = compared("--texts", english, right=folder)
    assert first.count(note) == 1
    assert summary["right"]["provenance"]["contract"]["skipped_blocks"] == [2, 4]
    again, _, _ = compared("--texts", english, right=folder)
    assert again.count(note) == 1
    assert "neighbors of tiny-vision" in again.split("Found in the store: ")[1]
    layers = similarity.reshape(5, 5).T
    np.testing.assert_array_equal(layers[1], layers[0])
    np.testing.assert_array_equal(layers[3], layers[2])


def test_an_encoder_is_compared_by_its_mean_and_noted_as_one(
    compared: Compared, english: Path, bert_folder: Path
) -> None:
    said, summary, _ = compared("--texts", english, "--pooling", "mean", right=bert_folder)
    name = "tiny-bert [mean over tokens]"
    assert summary["right"]["name"] == name
    assert said.count(f"note: the tokens of {name} see later ones too: it is an encoder.\n") == 1
    assert f"the tokens of {summary['left']['name']}" not in said


@pytest.mark.parametrize(
    ("right", "error", "hint"),
    [
        ("{}(dtyp=bfloat16)", "'dtyp=bfloat16' is no option of it", "write dtype=..."),
        ("{}(dtype=float31)", "dtype must be one of float32, bfloat16, float16", None),
        ("{}(adapter={})", "is not a PEFT adapter", "save_pretrained of a PEFT model"),
        ("{}(revision=main)", "is no hub model, so it has no revision 'main'", None),
        ("paper", "paper is a group of 24 models", "'isodepth models show paper' lists them"),
    ],
)
def test_a_model_written_wrongly_is_refused_before_anything_is_read(
    right: str, error: str, hint: str | None, run: Run, english: Path, llama_folder: Path
) -> None:
    named = right.format(llama_folder, llama_folder)
    status, said, problems = run("compare", llama_folder, named, "--texts", english, "-k", 5)
    assert (status, said) == (1, "")
    assert "loading" not in problems
    assert error in problems
    assert ("hint: " in problems) == (hint is not None)
    assert hint is None or hint in problems
