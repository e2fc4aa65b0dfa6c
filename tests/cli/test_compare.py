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

import tiny_models
from isodepth.sources import import_file
from isodepth.texts import texts_digest
from tiny_models import TinySet

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
        *arguments: object, left: Path = llama_folder, right: Path = chat_folder
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
    assert said.count(note) == sum(turned)
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
