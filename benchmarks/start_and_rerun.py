"""How long do help, import, a rerun from the store and loading a converted model take?

    python -m benchmarks.start_and_rerun [--rounds 5]

Whole processes, medians and ranges over rounds. The first comparison and the first conversion are
timed too, in a cache and a store of their own that start empty (downloads are copied over, not timed).
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from isodepth.sources import cache_directory

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
LOAD = """
import sys, time
import torch, transformers
from isodepth import load_model
start = time.perf_counter()
load_model(sys.argv[1])
print(time.perf_counter() - start)
"""


def seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def loading_seconds(name: str, environment: dict[str, str]) -> float:
    """Return the seconds that `load_model` itself takes, imports of torch and transformers apart."""
    command = [sys.executable, "-c", LOAD, name]
    done = subprocess.run(command, check=True, capture_output=True, env=environment)
    return float(done.stdout)


def show(what: str, times: list[float]) -> None:
    print(
        f"{what}: median {statistics.median(times):.2f} s "
        f"({min(times):.2f} to {max(times):.2f} over {len(times)})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    isodepth = str(Path(sys.executable).with_name("isodepth"))
    with tempfile.TemporaryDirectory() as folder:
        downloads = cache_directory() / "downloads"
        if downloads.is_dir():
            shutil.copytree(downloads, Path(folder) / "cache" / "downloads")
        environment = {
            **os.environ,
            "ISODEPTH_CACHE": f"{folder}/cache",
            "ISODEPTH_STORE": f"{folder}/store",
        }
        show("isodepth --help", [seconds([isodepth, "--help"], environment) for _ in range(rounds)])
        command = [sys.executable, "-c", "import isodepth"]
        show("import isodepth", [seconds(command, environment) for _ in range(rounds)])
        for name in MODELS:
            first = loading_seconds(name, environment)
            again = [loading_seconds(name, environment) for _ in range(rounds)]
            show(f"loading {name} again", again)
            ratio = statistics.median(again) / first
            print(f"    {ratio:.2f} of the first time, {first:.1f} s with its conversion", flush=True)
        command = [isodepth, "demo", "-n", "64", "--out", f"{folder}/out"]
        print(f"first demo -n 64, models converted: {seconds(command, environment):.1f} s", flush=True)
        show("the same again", [seconds(command, environment) for _ in range(rounds)])


if __name__ == "__main__":
    main()
