"""How long do help, import, a rerun from the store and loading a converted model take?

Whole processes, in turns. A finished study is run again, a small one and one of 24 models on 8 text
sets, whose neighbors are made up: all that matters is that they are there. Beside loading stand
the plain calls of transformers on the same folder; what importing torch and transformers takes, which
every program that loads a model waits for first, stands beside help and import.

The first conversion of a GGUF model takes a minute: ``python -m benchmarks.start_and_rerun``.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Case, in_own_process, in_turns, seconds_text, timed
from isodepth.sources import cache_directory

GROUP = "start and rerun"
LOADED = "smollm2-135m-instruct", "gemma-3-270m"
N_MODELS, N_SETS, N_TEXTS, N_LAYERS, KEPT = 24, 8, 256, 42, 20
IMPORTS = "import torch, transformers"
LOAD = """
import json, sys, time
import torch, transformers
import isodepth.models.loading
transformers.utils.logging.disable_progress_bar()
start = time.perf_counter()
if sys.argv[2] == "plain":
    model = transformers.AutoModel.from_pretrained(sys.argv[1], dtype=torch.float32)
    transformers.AutoTokenizer.from_pretrained(sys.argv[1])
    model(input_ids=torch.arange(1, 6)[None])
else:
    isodepth.load_model(sys.argv[1])
seconds = time.perf_counter() - start
from benchmarks.harness import peak_and_held
print(json.dumps([seconds, peak_and_held()[0]]))
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def isodepth(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("isodepth")), *arguments]


def run(command: list[str], **environment: str) -> None:
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})


def cases(rounds: int) -> Iterator[Case]:
    """Yield help, import, reruns and loading."""
    help_seconds, import_seconds, bare, heavy = in_turns(
        rounds,
        lambda: run(isodepth("--help")),
        lambda: run(python("import isodepth")),
        lambda: run(python("pass")),
        lambda: run(python(IMPORTS)),
    )
    for what, seconds, target in (
        ("isodepth --help", help_seconds, "0.2 s"),
        ("import isodepth", import_seconds, "0.15 s"),
    ):
        yield Case(
            group=GROUP,
            what=what,
            seconds=seconds,
            baseline=IMPORTS,
            baseline_seconds=heavy,
            limit="Python alone",
            limit_seconds=bare,
            target=target,
        )
    with tempfile.TemporaryDirectory() as folder:
        yield rerun(Path(folder), rounds, n_models=2, n_sets=1, target="1.5 s")
    with tempfile.TemporaryDirectory() as folder:
        yield rerun(Path(folder), rounds, n_models=N_MODELS, n_sets=N_SETS, target="")
    for name in LOADED:
        yield loading(name, rounds)


def rerun(folder: Path, rounds: int, *, n_models: int, n_sets: int, target: str) -> Case:
    """Return what running a finished study again takes, beside its comparisons alone."""
    environment = {"ISODEPTH_CACHE": f"{folder}/cache", "ISODEPTH_STORE": f"{folder}/store"}
    study = made_study(folder, n_models=n_models, n_sets=n_sets, **environment)
    command = isodepth("run", str(study), "--out", f"{folder}/out")
    run(command, **environment)  # what is kept is remembered from the first run on

    def compare() -> None:
        run(command, **environment)

    again, first = [], []
    for _ in range(rounds):
        shutil.rmtree(folder / "store" / "affinities")
        shutil.rmtree(folder / "out")
        first.append(timed(compare))
        again.append(timed(compare))
    return Case(
        group=GROUP,
        what=f"a finished study, {n_models} models on {n_sets} text sets of {N_TEXTS} texts, run again",
        seconds=again,
        baseline="the same with its matrices to compute and to write",
        baseline_seconds=first,
        target=target,
        note=f"{n_models * N_LAYERS} layers; neighbors, {KEPT} of each text, are made up.",
    )


def made_study(folder: Path, *, n_models: int, n_sets: int, **environment: str) -> Path:
    """Return a study file of models that were never run, whose neighbors are in the store."""
    rng = np.random.default_rng(0)
    words = [f"w{number}" for number in range(40)]
    for number in range(n_sets):
        lines = (f"{at} {' '.join(rng.choice(words, 30))}" for at in range(N_TEXTS))
        (folder / f"set-{number}.txt").write_text("\n".join(lines) + "\n")
    for number in range(n_models):
        model = folder / f"model-{number}"
        model.mkdir()
        (model / "config.json").write_text('{"model_type": "llama"}')
        (model / "model.safetensors").write_bytes(rng.bytes(64))
    study = folder / "study.toml"
    models = json.dumps([f"./model-{number}" for number in range(n_models)])
    texts = json.dumps([f"./set-{number}.txt" for number in range(n_sets)])
    study.write_text(
        f"models = {models}\ntexts = {texts}\nn = {N_TEXTS}\nks = [10]\n"
        f"keep = {{ neighbors = {KEPT} }}\n"
    )
    with set_environment(environment):
        store_neighbors(study, rng)
    return study


def store_neighbors(study: Path, rng: np.random.Generator) -> None:
    from isodepth import Store, load_study, plan_study

    store = Store()
    for planned in plan_study(load_study(study), store).readings:
        reading = planned.reading
        others = rng.permuted(np.arange(1, N_TEXTS), axis=0)[:KEPT]
        ids = (np.arange(N_TEXTS)[:, np.newaxis] + others) % N_TEXTS
        shape = (N_LAYERS, N_TEXTS, KEPT)
        for options in reading.options:
            store.write(
                "neighbors",
                f"{reading.neighbors_key(options)}-k{reading.stored_k}",
                arrays={
                    "ids": np.broadcast_to(ids, shape).astype(np.int32),
                    "similarities": np.sort(rng.random(shape, dtype=np.float32))[:, :, ::-1].copy(),
                },
                manifest={"n_layers": N_LAYERS, "provenance": {}},
            )


@contextlib.contextmanager
def set_environment(environment: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def loading(name: str, rounds: int) -> Case:
    """Return what loading a converted model takes, imports of torch and transformers apart."""
    folder = converted(name)
    ours, plain = [], []
    for _ in range(rounds):
        ours.append(in_own_process(LOAD, name, "isodepth"))
        plain.append(in_own_process(LOAD, str(folder), "plain"))
    return Case(
        group=GROUP,
        what=f"loading {name}, converted before",
        seconds=[seconds for seconds, _ in ours],
        baseline="AutoModel, AutoTokenizer and one pass",
        baseline_seconds=[seconds for seconds, _ in plain],
        peak_bytes=max(peak for _, peak in ours),
        target="3 s",
        note=f"After '{IMPORTS}'. isodepth makes three passes over a few tokens, to find blocks and "
        "whether tokens see later ones.",
    )


def converted(name: str) -> Path:
    """Return the folder of a GGUF model of the catalogue, converting it where that was not done."""
    from isodepth.models import resolve_model
    from isodepth.models.gguf import gguf_folder

    return gguf_folder(resolve_model(name))


def first_loading(name: str) -> dict[str, Any]:
    """Return the seconds of loading with conversion, in a cache that has only the downloads."""
    with tempfile.TemporaryDirectory() as folder:
        downloads = cache_directory() / "downloads"
        if downloads.is_dir():
            shutil.copytree(downloads, Path(folder) / "downloads")
        return in_own_process(LOAD, name, "isodepth", ISODEPTH_CACHE=folder)


if __name__ == "__main__":
    for model in LOADED:
        seconds, peak = first_loading(model)
        print(f"{model}, converted and loaded: {seconds_text(seconds)}, at most {peak / 1e6:,.0f} MB")
