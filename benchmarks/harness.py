"""What a case of the benchmarks is, and the table that all of them make.

A case is measured in rounds, in each of which isodepth, a baseline and a physical limit take their
turns: on a machine that others use too, what is compared was then measured under like conditions, and
the quotient of one round says more than that of two best times. Every case states whether its baseline
was run whole or computed from a part.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One line of the table: what isodepth takes for something, against one baseline.

    Parameters
    ----------
    group : str
        What it belongs to: "extraction", "neighbors", ...
    what : str
        What is done, with its sizes.
    seconds : sequence of float
        What isodepth took, one a round.
    baseline : str
        The plain way or the peer that it is set against; "" where there is none but a target.
    baseline_seconds : sequence of float
        What that took for the same, in the same rounds.
    is_computed : bool
        Whether the baseline's seconds were computed from a part of the work.
    peak_bytes : int, optional
        The most memory that a process of its own held, doing this.
    limit : str
        The physical limit: "float32 matrix products", "memory bandwidth", ...; "" where none is known.
    limit_seconds : sequence of float
        What the same would take at that limit, in the same rounds.
    target : str
        What was set as the aim, in words.
    note : str
        What else must be known to read the line.
    """

    group: str
    what: str
    seconds: Sequence[float]
    baseline: str = ""
    baseline_seconds: Sequence[float] = ()
    is_computed: bool = False
    peak_bytes: int | None = None
    limit: str = ""
    limit_seconds: Sequence[float] = ()
    target: str = ""
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """How many times as long the baseline takes, a round each."""
        return quotients(self.baseline_seconds, self.seconds)

    @property
    def shares(self) -> list[float]:
        """Which share of the limit's speed is reached, a round each."""
        return quotients(self.limit_seconds, self.seconds)


def quotients(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the quotients of a round each; none where there are no rounds to divide."""
    return [one / other for one, other in zip(above, below, strict=True)] if above else []


COLUMNS = (
    "what",
    "isodepth",
    "baseline",
    "takes",
    "times as long",
    "peak memory",
    "physical limit",
    "reached",
    "aim",
)


def markdown_table(cases: Iterable[Case]) -> str:
    """Return the cases as a Markdown table, with what they need to be read below it."""
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    notes: list[str] = []
    for case in cases:
        mark = ""
        if case.note:
            if case.note not in notes:
                notes.append(case.note)
            mark = f" [{notes.index(case.note) + 1}]"
        computed = " (computed)" if case.is_computed else ""
        rows.append(
            [
                f"{case.group}: {case.what}{mark}",
                spread(case.seconds, seconds_text),
                case.baseline,
                spread(case.baseline_seconds, seconds_text) + (computed if case.baseline else ""),
                spread(case.ratios, lambda ratio: f"{ratio:,.3g}"),
                "" if case.peak_bytes is None else f"{case.peak_bytes / 1e6:,.0f} MB",
                case.limit,
                spread(case.shares, lambda share: f"{share:.0%}"),
                case.target,
            ]
        )
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [f"\n[{number}] {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], text: Callable[[float], str]) -> str:
    """Return the median and, of several values, the range."""
    if not values:
        return ""
    middle = text(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({text(min(values))} to {text(max(values))})"


def seconds_text(seconds: float) -> str:
    """Return seconds in the unit that suits them."""
    units = ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs"))
    rounded = float(f"{seconds:.3g}")
    size, unit = next(((size, unit) for size, unit in units if rounded >= size), units[-1])
    return f"{seconds / size:,.3g} {unit}"


def as_json(cases: Iterable[Case], machine: dict[str, Any]) -> str:
    """Return the machine and all that was measured."""
    found = [{**asdict(case), "ratios": case.ratios, "shares": case.shares} for case in cases]
    return json.dumps({"machine": machine, "cases": found}, indent=1) + "\n"


def this_machine() -> dict[str, Any]:
    """Return what the numbers were measured on, as far as it can be told."""
    from isodepth.cores import usable_cores

    names = (
        "isodepth",
        "torch",
        "transformers",
        "numpy",
        "numba",
        "faiss-cpu",
        "scikit-learn",
        "nnterp",
    )
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }


def processor_name() -> str:
    """Return the processor's name as the system gives it."""
    listing = Path("/proc/cpuinfo")
    lines = listing.read_text().splitlines() if listing.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def timed(function: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def in_turns(rounds: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of each function, a round each, one after the other within a round."""
    times: list[list[float]] = [[] for _ in functions]
    for _ in range(rounds):
        for found, function in zip(times, functions, strict=True):
            found.append(timed(function))
    return times


def in_own_process(code: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """Return what a process of its own prints as JSON; it may call `peak_and_held`."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peak_and_held() -> tuple[int, int]:
    """Return the bytes that this process held at most, and holds now, as Linux tells."""
    found = {}
    # not ru_maxrss, which a child process takes over from its parent
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmHWM", "VmRSS"):
            found[name] = 1024 * int(rest.split()[0])
    return found["VmHWM"], found["VmRSS"]
