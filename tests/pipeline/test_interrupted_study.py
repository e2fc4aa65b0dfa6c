"""Real runs, killed at random moments twenty times and finished: what is lost, and what comes out?"""

import json
import os
import re
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import tiny_models
from isodepth.cli.run import LOG
from isodepth.pipeline.matrices import STAGE as MATRICES
from isodepth.stages import STAGE_VERSIONS
from isodepth.store import Store
from isodepth.store.garbage import collect, garbage
from isodepth.store.housekeeping import leftovers, unfinished_entries, verify
from pipeline.nursery import PATIENCE_SECONDS, POLL_SECONDS, Nursery, Run

N_TEXTS = 401
LENGTHS = [2 + (13 * number) % 61 for number in range(N_TEXTS)]
STUDY = """
models = ["./tiny-llama", "./tiny-gemma", "./tiny-gpt2"]
texts = ["./english.txt", "./noise.txt", { left = "./english.txt", right = "./german.txt" }]
n = "all"
captures = ["block", "final_norm"]
ks = [1, 5]
"""
N_READINGS = 9
SPEEDS = "speeds"
"""A stage that says how long things took: no two runs have the same."""
DAY = 24 * 3600.0

PHASES = {
    "loading": r": loading .*: 0 of 1 steps",
    "checking": r": checking .*: 0 of 1 steps",
    "reading": r": reading with .*: [\d,]+ of [\d,]+ texts",
    "neighbors": r": finding neighbors in .*: 0 of",
    "between readings": r" on .*: done in",
    "matrices": r" comparisons: [\d,]+ of",
    "writing": r" writing results: 0 of",
}
"""How a log says that a phase begins, in the order in which they come; before all of them is planning."""

# A kill among the readings is followed by one of any kind; no reading is left for a kill after those in
# the matrices, no matrix after those in the writing of results.
# "storing" is while something is written to the store under its hidden name.
FIRST = {"planning": 2, "loading": 2, "checking": 2, "reading": 6, "neighbors": 2, "storing": 2}
THEN = {"matrices": 2, "writing": 2}
N_KILLS = 20
MOST_ATTEMPTS = 2 * N_KILLS

Journals = dict[str, list[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A run that was killed: at what it was aimed, what it hit, and the journals of rows around it."""

    aim: str
    hit: str
    before: Journals
    after: Journals
    n_texts_of: dict[str, int]
    finished: frozenset[str]

    @property
    def is_within_an_array(self) -> bool:
        """Whether an array had some of its rows, but not all."""
        return any(
            0 < len(rows_of(batches)) < self.n_texts_of[name] for name, batches in self.after.items()
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a study left behind: its store, its results, and who was killed on the way."""

    store: Store
    out: Path
    said: Path
    kills: tuple[Kill, ...] = ()


def journals(store: Store) -> Journals:
    """Return the rows of every array under construction, batch by batch, as its journal names them."""
    found: Journals = {}
    for path in sorted((store.root / "unfinished").glob("[!.]*/journal.jsonl")):
        try:
            *lines, _ = path.read_text(encoding="utf-8").split("\n")
        except FileNotFoundError:  # the array was finished meanwhile
            continue
        found[path.parent.name] = [json.loads(line)["rows"] for line in lines]
    return found


def rows_of(batches: list[list[int]]) -> set[int]:
    return {row for rows in batches for row in rows}


class Growth:
    """How many batches were added to the journals of a store since this was made.

    Arrays go when they are finished, so the journals alone do not tell.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._before = {name: len(batches) for name, batches in journals(store).items()}
        self._most: dict[str, int] = {}

    def n_batches(self) -> int:
        for name, batches in journals(self._store).items():
            more = len(batches) - self._before.get(name, 0)
            self._most[name] = max(more, self._most.get(name, 0))
        return sum(self._most.values())


def finished_arrays(store: Store) -> frozenset[str]:
    """Return the names of the arrays of which the neighbors are stored."""
    manifests = [store.manifest("neighbors", key) for key in store.keys("neighbors")]
    return frozenset(f"activations-{one['activations']}" for one in manifests if one is not None)


def lines_since(log: Path, start: int) -> list[str]:
    """Return the whole lines of a log from a position on."""
    if not log.exists():
        return []
    return log.read_bytes()[start:].decode(errors="replace").split("\n")[:-1]


def size_of(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0


def phase_of(lines: list[str]) -> str:
    """Return the phase that a run is in by what it has logged."""
    found = "planning"
    for line in lines:
        found = next((phase for phase, begins in PHASES.items() if re.search(begins, line)), found)
    return found


def phase_seconds(lines: list[str], *, started: datetime) -> dict[str, list[float]]:
    """Return how long each phase of a run took, each time, by what it has logged."""
    found: dict[str, list[float]] = {}
    phase, since, at = "planning", started, started
    for line in lines:
        at = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f")
        new = phase_of([line])
        if new not in (phase, "planning") or phase == "planning":
            found.setdefault(phase, []).append((at - since).total_seconds())
            phase, since = new, at
    found.setdefault(phase, []).append((at - since).total_seconds())
    return found


def moment(aim: str, store: Store, log: Path, rng: np.random.Generator) -> Callable[[], bool]:
    """Return what tells that the run that starts next has come to the work that it is to be killed at."""
    if aim == "reading":  # by batches, since how long they take depends on who else computes
        growth, n_more = Growth(store), int(rng.integers(1, 12))
        return lambda: growth.n_batches() >= n_more
    if aim == "storing":
        left = set(leftovers(store))
        return lambda: set(leftovers(store)) > left
    start = size_of(log)
    return lambda: aim == "planning" or phase_of(lines_since(log, start)) == aim


def undo_the_end(store: Store, out: Path) -> None:
    """Take away what a run makes after all readings, so that the next one makes it again."""
    for key in store.keys(MATRICES):
        store.remove(MATRICES, key)
    for name in contents(out):
        (out / name).unlink()


def wait_until(has_come: Callable[[], bool], run: Run) -> None:
    """Wait for something in a run, or for its end."""
    start = time.monotonic()
    while not has_come() and not run.has_ended():
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError("what a run was to be killed at did not come")
        time.sleep(POLL_SECONDS)


def readings_in(log: Path, start: int = 0) -> dict[str, int]:
    """Return what a run read, with how many texts were done when it began."""
    found: dict[str, int] = {}
    for line in lines_since(log, start):
        reading = re.search(r" INFO (.*): reading with .*: (\d+) of \d+ texts$", line)
        if reading is not None:
            found.setdefault(reading[1], int(reading[2]))
    return found


def contents(folder: Path, *, without: tuple[str, ...] = ()) -> dict[str, bytes]:
    """Return the files of a folder of results; a name with a dot in front is none of them."""
    names = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    return {name: (folder / name).read_bytes() for name in names if name not in (LOG, *without)}


def tree(store: Store) -> set[str]:
    """Return all files and folders of a store, but for the speeds."""
    paths = (path.relative_to(store.root) for path in store.root.rglob("*"))
    return {str(path) for path in paths if path.parts[0] != SPEEDS}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study, its models and its texts."""
    folder = tmp_path_factory.mktemp("interrupted")
    for number, make in enumerate(("llama", "gemma", "gpt2")):
        tiny_models.saved(folder / f"tiny-{make}", getattr(tiny_models, make), seed=7 + number)
    for number, (name, lengths) in enumerate(
        {"english": LENGTHS, "german": LENGTHS[::-1], "noise": LENGTHS}.items()
    ):
        texts = tiny_models.texts_of(lengths, seed=29 + number)
        (folder / f"{name}.txt").write_text("\n".join(texts), encoding="utf-8")
    (folder / "study.toml").write_text(STUDY, encoding="utf-8")
    keeping = f"{STUDY}\n[keep]\nactivations = true\n"
    (folder / "keeping.toml").write_text(f'name = "study"\n{keeping}', encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def nursery(folder: Path) -> Iterator[Nursery]:
    with Nursery({"ISODEPTH_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}) as nursery:
        yield nursery


@pytest.fixture(scope="module")
def run(nursery: Nursery, folder: Path) -> Callable[..., Run]:
    def start(store: Store, out: Path, *, study: str = "study.toml") -> Run:
        arguments = ["run", str(folder / study), "--store", str(store.root), "--out", str(out)]
        return nursery.run(*arguments, said=out.with_suffix(".said"))

    return start


@pytest.fixture(scope="module")
def unbroken(run: Callable[..., Run], folder: Path) -> tuple[Finished, dict[str, float]]:
    """A run that nobody disturbed, and how long its phases take."""
    store, out = Store(folder / "unbroken-store"), folder / "unbroken"
    seconds: dict[str, list[float]] = {}
    for _ in range(2):  # the second plans with digests known, as most of the killed runs do
        start, started = size_of(out / LOG), datetime.now()
        assert run(store, out).status() == 0, out.with_suffix(".said").read_text()
        found = phase_seconds(lines_since(out / LOG, start), started=started)
        seconds = {**found, **seconds, "planning": found["planning"]}
    done = Finished(store=store, out=out, said=out.with_suffix(".said"))
    return done, {phase: statistics.median(lengths) for phase, lengths in seconds.items()}


@pytest.fixture(scope="module")
def killed(
    run: Callable[..., Run], folder: Path, unbroken: tuple[Finished, dict[str, float]]
) -> Finished:
    """A study that was killed twenty times, then finished."""
    rng = np.random.default_rng(20250410)
    _, seconds = unbroken
    store, out = Store(folder / "killed-store"), folder / "killed"
    first = rng.permutation([phase for phase, number in FIRST.items() for _ in range(number)])
    aims = [*map(str, first), *(phase for phase, number in THEN.items() for _ in range(number))]
    kills: list[Kill] = []
    for _ in range(MOST_ATTEMPTS):
        if len(kills) == N_KILLS:
            break
        aim = aims[len(kills)]
        before, start = journals(store), size_of(out / LOG)
        has_come = moment(aim, store, out / LOG, rng)
        delay = rng.uniform(0, {**seconds, "reading": 0.03, "storing": 0.0}[aim])
        left = leftovers(store)
        started = run(store, out)
        wait_until(has_come, started)
        time.sleep(delay)
        status = started.kill()
        if status == 0:
            undo_the_end(store, out)  # else no later run would come to what is to be hit
            continue
        if aim == "storing" and leftovers(store) == left:
            continue  # what was to be hit was over
        assert status == -signal.SIGKILL, out.with_suffix(".said").read_text()
        sizes = {
            f"{entry.stage}-{entry.key}": entry.progress.n_texts
            for entry in unfinished_entries(store)
            if entry.progress is not None
        }
        kills.append(
            Kill(
                aim=aim,
                hit=phase_of(lines_since(out / LOG, start)),
                before=before,
                after={name: rows for name, rows in journals(store).items() if name in sizes},
                n_texts_of=sizes,
                finished=finished_arrays(store),
            )
        )
    assert run(store, out).status() == 0, out.with_suffix(".said").read_text()
    return Finished(store=store, out=out, said=out.with_suffix(".said"), kills=tuple(kills))


def test_twenty_kills_hit_every_kind_of_work(killed: Finished) -> None:
    assert len(killed.kills) == N_KILLS
    hits = [kill.hit for kill in killed.kills]
    assert len(set(hits)) >= 5, hits  # of eight; not all, because other work may delay a kill
    assert sum(kill.is_within_an_array for kill in killed.kills) >= 5, hits


def test_results_are_byte_for_byte_those_of_an_unbroken_run(
    killed: Finished, unbroken: tuple[Finished, dict[str, float]]
) -> None:
    expected = contents(unbroken[0].out)
    assert len(expected) == 7  # two for each text set, and the manifest
    found = contents(killed.out)
    assert found.keys() == expected.keys()
    assert [name for name, data in expected.items() if found[name] != data] == []


def test_a_kill_loses_no_more_than_the_batch_in_flight(killed: Finished) -> None:
    for kill in killed.kills:
        for name, batches in kill.before.items():
            if name not in kill.after:
                assert name in kill.finished  # it was read to its end
                continue
            assert kill.after[name][: len(batches)] == batches
            done = rows_of(batches)
            again = [rows for rows in kill.after[name][len(batches) :] if done & set(rows)]
            assert len(again) <= 1  # one of the captures had it when the other had not yet


def test_the_store_verifies_and_nothing_was_set_aside(killed: Finished) -> None:
    found = verify(killed.store)
    assert found.damages == ()
    assert not (killed.store.root / "damaged").exists()
    warnings = {line for line in killed.said.read_text().splitlines() if line.startswith("warning:")}
    assert warnings == {line for line in warnings if "ends within a line" in line}


@pytest.fixture
def aged_copy(tmp_path: Path) -> Callable[[Store], Store]:
    """Copy a store, as if nobody had touched it for two days."""

    def copy(store: Store) -> Store:
        root = Path(shutil.copytree(store.root, tmp_path / store.root.name))
        then = time.time() - 2 * DAY
        for path in (root, *root.rglob("*")):
            os.utime(path, (then, then))
        return Store(root)

    return copy


def test_what_killed_runs_leave_goes_with_gc_and_nothing_else(
    killed: Finished,
    unbroken: tuple[Finished, dict[str, float]],
    aged_copy: Callable[[Store], Store],
) -> None:
    expected, store = aged_copy(unbroken[0].store), aged_copy(killed.store)
    had = tree(store)
    assert leftovers(store) or unfinished_entries(store)  # else this test shows nothing
    for one in (expected, store):
        collect(garbage(one, versions=STAGE_VERSIONS))
    assert tree(store) == tree(expected)
    artifacts = [path for path in had if not re.match(r"(unfinished|locks)/|.*/\.", path)]
    assert set(artifacts) == tree(store)
    assert len(store.keys(SPEEDS)) <= N_READINGS + N_KILLS
    for path in tree(expected):
        if path.endswith(".safetensors"):
            assert (store.root / path).read_bytes() == (expected.root / path).read_bytes(), path


def test_of_two_runs_on_one_store_the_other_goes_on_with_what_the_killed_one_read(
    run: Callable[..., Run], folder: Path, unbroken: tuple[Finished, dict[str, float]]
) -> None:
    store = Store(folder / "shared-store")
    outs = folder / "killed-one", folder / "other"
    first = run(store, outs[0], study="keeping.toml")
    growth = Growth(store)
    wait_until(lambda: growth.n_batches() > 0, first)
    other = run(store, outs[1], study="keeping.toml")
    wait_until(lambda: phase_of(lines_since(outs[1] / LOG, 0)) == "reading", other)

    def rows_of_first() -> tuple[str, int]:
        """Return what the first run reads at this moment, and how many texts both captures have."""
        line = lines_since(outs[0] / LOG, 0)[-1]
        reading = re.search(r"INFO ((\S+) on (\S+)): reading with .* (texts|tokens)$", line)
        if reading is None:
            return "", 0
        label, model, texts = reading[1], reading[2], reading[3]
        done = []
        for path in (store.root / "unfinished").glob("[!.]*/manifest.json"):
            described = json.loads(path.read_text(encoding="utf-8"))["manifest"]
            if (described["model"], described["texts"]) == (model, texts):
                done.append(rows_of(journals(store).get(path.parent.name, [])))
        return label, len(set.intersection(*done)) if len(done) == 2 else 0

    wait_until(lambda: 0 < rows_of_first()[1] < N_TEXTS // 8, first)
    assert first.kill() == -signal.SIGKILL
    label, n_done = rows_of_first()
    assert 0 < n_done < N_TEXTS
    assert other.status() == 0, outs[1].with_suffix(".said").read_text()
    by_first, by_other = (readings_in(out / LOG) for out in outs)
    assert by_first.keys() & by_other.keys() == {label}  # nothing else was read twice
    assert len(by_first.keys() | by_other.keys()) == N_READINGS
    assert by_other[label] == n_done
    start = size_of(outs[0] / LOG)
    assert run(store, outs[0], study="keeping.toml").status() == 0
    assert readings_in(outs[0] / LOG, start) == {}
    assert contents(outs[0]) == contents(outs[1])
    expected = contents(unbroken[0].out, without=("manifest.json",))  # that tells what is kept
    assert contents(outs[1], without=("manifest.json",)) == expected
    assert verify(store).damages == ()
    assert len(store.keys("activations")) == 2 * N_READINGS
