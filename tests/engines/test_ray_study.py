"""A study on a Ray cluster of two nodes, of which one is lost: the results are those of one machine."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiny_models
from engines.processes import is_alive, ray_processes, wait_until
from isodepth.engines import Outcome, ray_cluster
from isodepth.engines.ray import RayEngine
from isodepth.pipeline import plan_study, run_study
from isodepth.pipeline.plan import StudyPlan
from isodepth.store import Store
from isodepth.study import Study

# Ray leaves the pipes of the processes that it starts to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]
N_TEXTS = 331
SIZES = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "head_dim": 32}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Two models that take seconds to read either text set."""
    folder = tmp_path_factory.mktemp("study")
    for seed, (name, n_layers) in enumerate((("seven", 7), ("eleven", 11))):
        tiny_models.saved(folder / name, seed=seed, num_hidden_layers=n_layers, **SIZES)
    lengths = [23 + (17 * number) % 113 for number in range(N_TEXTS)]
    for seed, name in enumerate(("red", "blue")):
        texts = tiny_models.texts_of(lengths, seed=seed)
        (folder / f"{name}.txt").write_text("\n".join(texts), encoding="utf-8")
    return Study.of(
        name="ray",
        models=[str(folder / name) for name in ("seven", "eleven")],
        texts=[{"texts": str(folder / f"{name}.txt"), "name": name} for name in ("red", "blue")],
        n="all",
        ks=[1, 5],
        captures=["block", "final_norm"],
        resources={"cpus": 1, "neighbors": {"cpus": 0.5}},  # so that each reading has two steps
    )


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Two nodes of one CPU each; this process is on the first."""
    for name, value in ray_cluster.RAY_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
    pids: dict[int, bytes] = {}
    try:
        yield made
    finally:
        pids = ray_processes()
        made.shutdown()
    assert wait_until(lambda: not any(map(is_alive, pids)))


class Trouble(threading.Thread):
    """Kills a worker in the middle of its reading, then a node in the middle of another one."""

    def __init__(self, plan: StudyPlan, store: Store, kill_node: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.plan, self.store, self.kill_node = plan, store, kill_node
        self.rows_at_kills: list[int] = []
        self.labels: list[str] = []
        self.ends = threading.Event()

    def reading(self) -> tuple[str, int] | None:
        """Return a reading that has begun and is far from its end, other than those hit before."""
        for planned in self.plan.readings:
            for options in planned.reading.options:
                key = planned.reading.activations_key(options)
                so_far = self.store.unfinished_progress("activations", key)
                begun = so_far is not None and 0 < so_far.n_done < 0.7 * so_far.n_texts
                if begun and planned.label not in self.labels:
                    return planned.label, so_far.n_done
        return None

    def run(self) -> None:
        while len(self.labels) < 2 and not self.ends.is_set():
            time.sleep(0.02)
            found = self.reading()
            if found is None:
                continue
            label, n_done = found
            if not self.labels:
                pids = [pid for pid, command in ray_processes().items() if label.encode() in command]
                if not pids:
                    continue
                for pid in pids:
                    os.kill(pid, signal.SIGKILL)
            else:
                self.kill_node()
            self.labels.append(label)
            self.rows_at_kills.append(n_done)


def result_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "run.log"}


def test_a_study_survives_a_worker_and_a_node_and_gives_the_bytes_of_one_machine(
    study: Study, cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=10**8)
    here = run_study(study, tmp_path / "here", store=tmp_path / "here-store")
    assert not here.missing

    store = Store(tmp_path / "store")
    plan = plan_study(study, store)
    assert len(plan.with_state("to do")) == 4
    trouble = Trouble(plan, store, lambda: cluster.remove_node(node, allow_graceful=False))
    trouble.start()
    outcomes = []
    n_running = set()

    def ended(outcome: Outcome) -> None:
        outcomes.append(outcome)
        n_running.add(store.n_running())

    with caplog.at_level(logging.WARNING, logger="isodepth"):
        there = run_study(
            plan,
            tmp_path / "there",
            store=store,
            engine=RayEngine(cluster.address),
            report=ended,
        )
    trouble.ends.set()
    trouble.join(timeout=30)
    assert len(trouble.rows_at_kills) == 2
    assert all(0 < rows < N_TEXTS for rows in trouble.rows_at_kills)
    assert "worker lost" in caplog.text
    assert not there.missing
    assert all(outcome.error is None for outcome in outcomes)
    assert (n_running, store.n_running()) == ({1}, 0)  # the driver marks the store, no worker does
    assert len(outcomes) == 4 + 4  # readings; two captures on each text set
    files = result_files(tmp_path / "here")
    assert len(files) == 5
    assert result_files(tmp_path / "there") == files
