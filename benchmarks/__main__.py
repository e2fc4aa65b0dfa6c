"""All benchmarks, one after the other, and one table of what they found.

    python -m benchmarks [GROUP ...] [--rounds 3] [--out benchmarks/results]

Writes `benchmarks.md` and `benchmarks.json`, anew after each group; what was measured is shown as it
comes. Each group can be run alone, by its name. Linux only, for peak memory.
"""

import argparse
import importlib
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Case, as_json, markdown_table, this_machine
from benchmarks.rates import matrix_rate, memory_bandwidth, onednn_rate

GROUPS = ("extraction", "neighbors", "all_pairs", "nulls", "start_and_rerun")
"""Modules of this folder with a function `cases(rounds)` that yields `Case`s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    machine = this_machine()
    machine["float32_products_per_second"] = {"torch": matrix_rate(), "oneDNN": onednn_rate()}
    machine["memory_bytes_per_second"] = memory_bandwidth()
    head = machine_line(machine)
    print(f"{head}\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    cases: list[Case] = []
    for group in arguments.groups or GROUPS:
        start = time.perf_counter()
        for case in importlib.import_module(f"benchmarks.{group}").cases(arguments.rounds):
            cases.append(case)
            row, *notes = (line for line in markdown_table([case]).splitlines()[2:] if line)
            print(row, *notes, sep="\n", flush=True)
        (arguments.out / "benchmarks.md").write_text(f"{head}\n\n{markdown_table(cases)}")
        (arguments.out / "benchmarks.json").write_text(as_json(cases, machine))
        print(f"{group}: {time.perf_counter() - start:,.0f} s\n", flush=True)
    print(markdown_table(cases))


def machine_line(machine: dict[str, Any]) -> str:
    """Return what the machine is, and what it can do at best, in one line."""
    products = machine["float32_products_per_second"].items()
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in products)
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_before']} before; "
        f"float32 products: {rates}; memory: {machine['memory_bytes_per_second'] / 1e9:,.0f} GB/s"
    )


if __name__ == "__main__":
    main()
