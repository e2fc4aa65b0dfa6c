"""What does a study lose when its runs are killed again and again? Tried on real models.

    python -m studies.kill_test studies/small.toml -n 64 --kills 20 --out kill-test

One unbroken run in a store of its own; then runs in another store that are killed (SIGKILL) at random
moments, and one that finishes. Every file of results must be the same, byte for byte, every byte of the
store as it was written, and no text that was read may be lost. One line tells of each kill.

Half of the kills wait until some of the texts that are left were read, the others for a phase that is
drawn; the last two wait for the matrices and for the writing of results, which are short. Then each
comes at a random moment within that phase's length.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.cli.run_log import LOG
from isodepth.store import Store
from isodepth.store.housekeeping import unfinished_entries, verify
from isodepth.study import Study, load_study

POLL_SECONDS = 0.01
MOST_HOURS = 12.0
"""After which a run counts as stuck."""
SHOWN_LINES = 20
READING = "reading"
PHASES = {
    "loading": r": loading .*: 0 of",
    "checking": r": checking .*: 0 of",
    READING: r": reading with ",
    "neighbors": r": finding neighbors in ",
    "matrices": r" comparisons: \d",
    "writing": r" writing results: 0 of",
}
"""How a log says that a phase begins, in the order of phases; before all of them is planning."""
LAST_AIMS = ("matrices", "writing")
EARLY_AIMS = ("planning", "loading", "checking", "neighbors")
AIMS_WHEN_READ = ("planning", "writing")
MOST_SHARE = 50
"""A kill among the readings waits for this part of an unbroken run at most: little is done in it."""


class Runs:
    """The runs of one study in one store.

    Parameters
    ----------
    study : Path
        The study file.
    folder : Path
        Holds the store, the results, and what the runs said.
    """

    def __init__(self, study: Path, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.results = folder / "results"
        self._said = folder / "said.txt"
        self._study = study
        self._log_start = 0
        self._started = datetime.now()

    def started(self) -> subprocess.Popen[bytes]:
        """Return a run that was just started."""
        self._said.parent.mkdir(parents=True, exist_ok=True)
        log = self.results / LOG
        self._log_start = log.stat().st_size if log.exists() else 0
        self._started = datetime.now()
        arguments = [str(self._study), "--store", str(self.store.root), "--out", str(self.results)]
        with self._said.open("ab") as said:
            return subprocess.Popen(
                [sys.executable, "-m", "isodepth", "run", *arguments], stdout=said, stderr=said
            )

    def finished(self) -> float:
        """Return how many seconds a run took that nobody killed; exit where it failed."""
        start = time.monotonic()
        process = self.started()
        try:
            self.exit_if_failed(process.wait(MOST_HOURS * 3600))
        finally:
            process.kill()
        return time.monotonic() - start

    def exit_if_failed(self, status: int) -> None:
        """Exit where a run ended with an error of its own, showing the end of what it said."""
        if status > 0:
            said = self._said.read_text(encoding="utf-8").splitlines()
            sys.exit("\n".join(["a run failed; it said:", *said[-SHOWN_LINES:]]))

    def log_lines(self) -> list[str]:
        """Return what the last run has logged."""
        log = self.results / LOG
        if not log.exists():
            return []
        with log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace").split("\n")[:-1]

    def seconds_to(self, begins: str) -> float | None:
        """Return how long after its start the last run first logged such a line; None if it did not."""
        line = next((line for line in self.log_lines() if re.search(begins, line)), None)
        if line is None:
            return None
        return (datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f") - self._started).total_seconds()

    def texts_read(self) -> int:
        """Return how many texts are in the store, of all readings, finished or not.

        A reading of several captures counts once for each.
        """
        manifests = [self.store.manifest("neighbors", key) for key in self.store.keys("neighbors")]
        finished = {one["activations"]: int(one["n_texts"]) for one in manifests if one is not None}
        unfinished = {
            entry.key: entry.progress.n_done
            for entry in unfinished_entries(self.store)
            if entry.progress is not None
        }
        return sum((unfinished | finished).values())

    def files(self) -> dict[str, bytes]:
        """Return the files of results by name; those with a dot in front were being written."""
        paths = [path for path in self.results.iterdir() if not path.name.startswith(".")]
        return {path.name: path.read_bytes() for path in paths if path.name != LOG}


def with_n(study: Study, n: int) -> str:
    """Return a study file of the same study with other numbers of texts, and with absolute paths."""
    keys = study.as_dict()
    resolved = {study.shown(model): model for model in study.models}
    for key in ("models", "also_as_chat"):
        keys[key] = [resolved[model] for model in keys[key]]
    of_models = keys["resources"]["models"]
    keys["resources"]["models"] = {resolved[model]: wanted for model, wanted in of_models.items()}
    for entry, texts in zip(keys["texts"], study.texts, strict=True):
        sides = {"left": texts.left, "right": texts.right} if texts.is_pair else {"texts": texts.left}
        entry |= {"n": n, **sides}
    return "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())


def _toml(value: Any) -> str:
    """Return a JSON value as TOML has it."""
    if isinstance(value, Mapping):
        return (
            "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
        )
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def killed_at(runs: Runs, has_come: Callable[[], bool], *, after_seconds: float) -> tuple[float, bool]:
    """Return how long a run lived, and whether it was killed; else it came to its end before.

    Parameters
    ----------
    runs : Runs
        Where.
    has_come : callable
        Tells that what the kill waits for is there.
    after_seconds : float
        How long to wait from then on.
    """
    start = time.monotonic()
    process = runs.started()
    try:
        while process.poll() is None and not has_come():
            if time.monotonic() - start > MOST_HOURS * 3600:
                sys.exit(f"a run is stuck; its log ends with {runs.log_lines()[-1:]}")
            time.sleep(POLL_SECONDS)
        try:
            process.wait(after_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    finally:
        process.kill()
    runs.exit_if_failed(process.returncode)
    return time.monotonic() - start, process.returncode < 0


def main() -> None:
    """Run the study unbroken and killed, print a line for each kill and a verdict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("study", type=Path, help="study file")
    parser.add_argument("-n", type=int, help="texts of each set, instead of what the study says")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1234, help="of the moments")
    parser.add_argument("--out", type=Path, default=Path("kill-test"), help="a folder that is new")
    options = parser.parse_args()
    out: Path = options.out
    if out.exists():
        parser.error(f"{out} exists; both stores must be fresh")
    out.mkdir(parents=True)
    study: Path = options.study
    if options.n is not None:
        text = with_n(load_study(study), options.n)
        study = out / study.name
        study.write_text(text, encoding="utf-8")
    problems = tried(study, out, n_kills=options.kills, rng=np.random.default_rng(options.seed))
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print(
            "passed: all results are byte for byte those of the unbroken run, every byte of the store "
            "is as it was written, and nothing that was read was lost"
        )
    sys.exit(bool(problems))


def phase_lengths(runs: Runs, total: float) -> dict[str, float]:
    """Return how long each phase took when an unbroken run first came to it, in seconds."""
    begins = {"planning": 0.0}
    begins |= {phase: runs.seconds_to(line) or total for phase, line in PHASES.items()}
    ends = [*list(begins.values())[1:], total]
    return {phase: end - begin for (phase, begin), end in zip(begins.items(), ends, strict=True)}


def tried(study: Path, out: Path, *, n_kills: int, rng: np.random.Generator) -> list[str]:
    """Return what was wrong after an unbroken run and killed ones."""
    unbroken, killed = Runs(study, out / "unbroken"), Runs(study, out / "killed")
    total = unbroken.finished()
    n_texts = unbroken.texts_read()
    lengths = phase_lengths(unbroken, total)
    print(f"unbroken: {total:.1f} s; {n_texts:,} texts read, all models together", flush=True)
    problems = []
    lived = 0.0
    n_killed = before = 0
    for _ in range(2 * n_kills):
        if n_killed == n_kills:
            break
        n_more = n_kills - n_killed - len(LAST_AIMS)
        wanted = before + int(rng.integers(1, max(2, 2 * (n_texts - before) // (max(n_more, 0) + 1))))
        if n_more <= 0:
            aim = LAST_AIMS[n_more - 1]
        elif before >= n_texts:
            aim = str(rng.choice(AIMS_WHEN_READ))
        else:
            aim = READING if rng.random() < 0.5 else str(rng.choice(EARLY_AIMS))

        def has_come(aim: str = aim, wanted: int = wanted) -> bool:
            if aim == READING:
                return killed.texts_read() >= wanted
            return aim == "planning" or killed.seconds_to(PHASES[aim]) is not None

        most = lengths[aim] / 2  # the second half of an unbroken run's last phase is its end
        if aim not in (*LAST_AIMS, *AIMS_WHEN_READ):
            most = min(most, total / MOST_SHARE)
        seconds, was_killed = killed_at(killed, has_come, after_seconds=rng.uniform(0, most))
        lived += seconds
        now = killed.texts_read()
        last = killed.log_lines()[-1:] or ["nothing logged yet"]
        n_killed += was_killed
        print(
            f"{f'kill {n_killed}' if was_killed else 'ended by itself'} after {seconds:.1f} s; "
            f"texts read {before:,} -> {now:,}; at: {re.sub(r'^.* INFO ', '', last[0])}",
            flush=True,
        )
        if now < before:
            problems.append(f"kill {n_killed} lost {before - now:,} texts that had been read")
        before = now
    if n_killed < n_kills:
        problems.append(
            f"{n_killed} of {n_kills} kills hit a run; the others ended before: ask for fewer"
        )
    last_run = killed.finished()
    print(f"finished: {last_run:.1f} s, after {lived:.1f} s in killed runs; unbroken: {total:.1f} s")
    expected, found = unbroken.files(), killed.files()
    problems += [
        f"{name} is not as in the unbroken run"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]
    print(f"results: {len(expected)} files, {sum(map(len, expected.values())):,} bytes")
    verified = verify(killed.store)
    print(f"store: {verified.n_artifacts:,} artifacts, {verified.size_bytes:,} bytes")
    return [*problems, *(damage.what for damage in verified.damages)]


if __name__ == "__main__":
    main()
