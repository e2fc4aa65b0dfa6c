"""All benchmarks, one after the other, and one table of what they found.

    python -m benchmarks [GROUP ...] [--rounds 3] [--out benchmarks/results]

Writes `benchmarks.md` and `benchmarks.json`; what was measured is shown as it comes. Each group can be
run alone, by its name.
"""

import argparse
import importlib
import time
from pathlib import Path

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
    products = machine["float32_products_per_second"].items()
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in products)
    print(
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load_before']}; {rates}; "
        f"memory {machine['memory_bytes_per_second'] / 1e9:,.0f} GB/s\n",
        flush=True,
    )
    cases: list[Case] = []
    for group in arguments.groups or GROUPS:
        start = time.perf_counter()
        for case in importlib.import_module(f"benchmarks.{group}").cases(arguments.rounds):
            cases.append(case)
            print(markdown_table([case]).splitlines()[2], flush=True)
        print(f"{group}: {time.perf_counter() - start:,.0f} s\n", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "benchmarks.md").write_text(markdown_table(cases))
    (arguments.out / "benchmarks.json").write_text(as_json(cases, machine))
    print(markdown_table(cases))


if __name__ == "__main__":
    main()
