import importlib.util
import itertools
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from engines import ray_work
from engines.processes import is_alive, ray_processes, wait_until
from isodepth.engines import ray as ray_engine
from isodepth.engines import ray_cluster
from isodepth.engines.ray import ClusterError, RayEngine
from isodepth.engines.task import Outcome, Task
from isodepth.errors import MissingPackageError, ParameterError
from isodepth.progress import no_progress
from isodepth.store import DamagedArtifactWarning
from isodepth.study import Resources

# Ray leaves the pipes of the processes that it starts to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
]

TESTS = Path(__file__).parents[1]
NODES_STORE = "/scratch/of/the/node"
HALF = Resources(cpus=0.5)
ONE = Resources(cpus=1.0)


TWO = Resources(cpus=2.0)
MANY = Resources(cpus=17.0)


def task(label, work, *arguments, resources=HALF, then=None) -> Task:
    return Task(label=label, work=partial(work, *arguments), resources=resources, then=then)


@pytest.fixture(scope="module")
def cluster() -> Iterator[object]:
    """A head with one CPU, which is this process's node, and a node with two."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray_cluster.RAY_ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("PYTHONPATH", str(TESTS))
        patch.delenv("ISODEPTH_CACHE", raising=False)
        patch.setenv("ISODEPTH_STORE", NODES_STORE)
        from ray.cluster_utils import Cluster

        cluster = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "memory": 2 * 10**9, "object_store_memory": 10**8},
        )
        try:
            cluster.add_node(num_cpus=2, memory=3 * 10**9, object_store_memory=10**8)
            yield cluster
        finally:
            pids = ray_processes()
            cluster.shutdown()
        assert wait_until(lambda: not any(map(is_alive, pids)))


@pytest.fixture(scope="module")
def bag(cluster, tmp_path_factory) -> "Bag":
    return Bag(cluster.address, tmp_path_factory.mktemp("bag"))


class Bag:
    """One run of tasks of all kinds."""

    def __init__(self, address: str, folder: Path) -> None:
        self.folder = folder
        meeting = (folder / "left", folder / "right")

        again = folder / "again"
        again.mkdir()
        busy = ray_work.is_busy_unless_waiting, again

        def then(name: str):
            return ray_work.tells_its_environment, folder / name

        self.tasks = [
            # first, on nodes without work: Ray may keep one waiting behind small tasks until the other ends
            task("left", ray_work.meets, *meeting, resources=ONE),
            task("right", ray_work.meets, *reversed(meeting), resources=ONE),
            task("refuses", ray_work.warns_and_refuses),
            task("fails", ray_work.fails),
            task("first", ray_work.takes_a_while, folder / "first", resources=TWO),
            task("second", ray_work.tells_its_environment, folder / "second", resources=TWO),
            task("busy", ray_work.is_busy_unless_waiting, folder),
            task("busy then", ray_work.leaves_a_mark, again, then=task("busy then", *busy)),
            task("GPUs", ray_work.succeeds, resources=Resources(cpus=1.0, gpus=2.0)),
            task("CPUs", ray_work.succeeds, resources=Resources(cpus=3.0, memory_gb=0.5)),
            task("memory", ray_work.succeeds, resources=Resources(cpus=1.0, memory_gb=512.0)),
            task("reports", ray_work.reports_often, 701, 2.5),
            task("in two", ray_work.warns, then=task("in two", *then("in two"), resources=TWO)),
            task(
                "no room then", *then("early"), then=task("no room then", *then("late"), resources=MANY)
            ),
            task("fails first", ray_work.fails, then=task("fails first", *then("after a failure"))),
        ]
        self.reports: list[tuple[str, int, int, str]] = []
        self.logged: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_HUB_OFFLINE", "1")
            patch.setenv("ISODEPTH_CACHE", str(folder / "cache"))
            patch.setenv("ISODEPTH_STORE", str(folder / "store"))
            patch.setattr(ray_engine._log, "error", lambda text, *rest: self.logged.append(text % rest))
            run = RayEngine(address).run(self.tasks, progress=lambda *told: self.reports.append(told))
            self.outcomes = list(run)

    def __getitem__(self, label: str) -> Outcome:
        return next(outcome for outcome in self.outcomes if outcome.task.label == label)


def test_every_task_has_one_outcome_and_it_holds_the_task_itself(bag):
    ended = [outcome.task for outcome in bag.outcomes]
    assert len(ended) == len(bag.tasks)
    assert all(any(one is task for one in ended) for task in bag.tasks)
    assert 0.3 <= bag["first"].seconds < 20


def test_an_error_of_isodepth_comes_back_as_the_same_type_with_message_hint_and_warnings(bag):
    error = bag["refuses"].error
    assert type(error) is ParameterError
    assert str(error) == "k must be less than 7; got 11\nhint: choose k = 5."
    (warning,) = bag["refuses"].warnings
    assert type(warning) is DamagedArtifactWarning
    assert str(warning) == "layer 5 is read again"


def test_another_error_keeps_its_type_and_message_and_its_trace_is_logged(bag):
    error = bag["fails"].error
    assert type(error) is IndexError
    assert str(error) == "list index out of range"
    (logged,) = [text for text in bag.logged if text.startswith("fails failed on ")]
    assert "return [][13]" in logged


def test_tasks_run_at_the_same_time_on_two_nodes(bag):
    assert bag["left"].error is None  # each waited for the other to start
    assert bag["right"].error is None


def test_tasks_that_need_a_whole_node_run_one_after_the_other(bag):
    intervals = sorted(
        json.loads((bag.folder / name).read_text())["interval"] for name in ("first", "second")
    )
    (_, first_end), (second_start, _) = intervals
    assert first_end <= second_start


def test_a_busy_task_is_tried_twice_and_then_waited_for(bag):
    assert bag["busy"].error is None
    tried = sorted(path.name for path in bag.folder.glob("*.tried"))
    assert tried == ["0.False.tried", "1.False.tried", "2.True.tried"]
    assert {one.task.label for one in bag.outcomes[-2:]} == {"busy", "busy then"}  # after all others


def test_a_task_whose_second_step_is_busy_is_tried_again_from_its_first(bag):
    assert bag["busy then"].error is None
    tried = sorted(path.name for path in (bag.folder / "again").iterdir())
    assert tried == [
        "0.False.tried", "0.mark", "1.False.tried", "1.mark", "2.True.tried", "2.mark"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("label", "asked"),
    [
        ("GPUs", "1 CPU, 2 GPUs and 0 GB of memory"),
        ("CPUs", "3 CPUs, 0 GPUs and 0.5 GB of memory"),
        ("memory", "1 CPU, 0 GPUs and 512 GB of memory"),
    ],
)
def test_what_no_node_has_is_refused_at_once_with_what_there_is(bag, label, asked):
    error = bag[label].error
    assert type(error) is ClusterError
    assert error.message == (
        f"{label}: no node of the cluster can take it. It asks for {asked}; the largest of 2 nodes "
        "has 2 CPUs, 0 GPUs and 3 GB of memory"
    )
    assert "[resources]" in error.hint
    assert [outcome.task.label for outcome in bag.outcomes[:3]] == ["GPUs", "CPUs", "memory"]


def test_what_follows_a_task_runs_with_resources_of_its_own_and_is_part_of_it(bag):
    outcome = bag["in two"]
    assert outcome.error is None
    (warning,) = outcome.warnings
    assert str(warning) == "layer 3 is read again"
    told = json.loads((bag.folder / "in two").read_text())
    assert {told["environment"][name] for name in ray_engine.THREAD_VARIABLES} == {"2"}
    begin, end = told["interval"]
    assert outcome.seconds >= 0.3 + (end - begin)


def test_a_task_is_refused_before_it_begins_if_no_node_can_take_what_follows_it(bag):
    error = bag["no room then"].error
    assert type(error) is ClusterError
    assert "It asks for 17 CPUs" in error.message
    assert not (bag.folder / "early").exists()


def test_nothing_follows_a_task_that_failed(bag):
    assert type(bag["fails first"].error) is IndexError
    assert not (bag.folder / "after a failure").exists()


def test_no_more_tasks_of_two_steps_are_under_way_than_there_is_room_for(cluster, tmp_path):
    def in_two(name: str) -> Task:
        first, second = (
            task(name, ray_work.takes_a_while, tmp_path / f"{name}.{step}", resources=TWO)
            for step in (1, 2)
        )
        return replace(first, then=second)

    tasks = [in_two(name) for name in "abcdef"]
    outcomes = list(RayEngine(cluster.address).run(tasks, progress=no_progress))
    assert [outcome.error for outcome in outcomes] == [None] * 6
    times = {path.name: json.loads(path.read_text())["interval"] for path in tmp_path.iterdir()}
    lives = [(times[f"{name}.1"][0], times[f"{name}.2"][1]) for name in "abcdef"]
    assert all(times[f"{name}.1"][1] <= times[f"{name}.2"][0] for name in "abcdef")
    # one node has two CPUs: room for one of each step, and one more at the first
    assert max(sum(begin <= at <= end for begin, end in lives) for at, _ in lives) <= 3


def test_tasks_of_two_steps_begin_in_their_order_also_while_their_nodes_are_gone(monkeypatch):
    room = {1.0: 2.0, 8.0: 1.0}
    sent = []

    class Cluster:
        def room_for(self, one):
            return room.get(one.resources.cpus, 0.0)

    run = object.__new__(ray_engine._Run)
    run._cluster, run._calls, run._numbers = Cluster(), {}, itertools.count()
    monkeypatch.setattr(ray_engine._Run, "_send", lambda self, call: sent.append(call.task.label))

    def call(name, cpus=1.0, then=HALF):
        second = None if then is None else task(name, ray_work.succeeds, resources=then)
        first = task(name, ray_work.succeeds, resources=Resources(cpus=cpus), then=second)
        return run._call(first, wait=False)

    calls = [call("a"), call("b"), call("large", cpus=8.0), call("c"), call("one step", then=None)]
    assert [one.task.label for one in run._begin(calls)] == [
        "large",
        "c",
    ]  # room for 2 x 1 of the large
    assert sent == ["a", "b", "one step"]
    run._calls = {"a": calls[0]}
    assert [one.task.label for one in run._begin(calls[2:4])] == []
    room.clear()
    run._calls, sent[:] = {}, []
    assert [one.task.label for one in run._begin(calls[:2])] == ["b"]  # it waits for a node
    assert sent == ["a"]


def test_a_worker_has_as_many_threads_as_its_task_has_cpus_and_no_gpu(bag):
    told = json.loads((bag.folder / "second").read_text())
    assert {told["environment"][name] for name in ray_engine.THREAD_VARIABLES} == {"2"}
    assert told["environment"]["CUDA_VISIBLE_DEVICES"] == ""


def test_a_worker_gets_the_drivers_folders_before_a_library_can_read_them(bag):
    told = json.loads((bag.folder / "second").read_text())
    assert told["environment"]["ISODEPTH_CACHE"] == str(bag.folder / "cache")
    assert told["environment"]["HF_HUB_OFFLINE"] == "1"
    # these read the environment when they are imported
    assert not {"torch", "huggingface_hub"} & set(told["loaded"])


def test_a_folder_that_the_node_has_set_is_kept(bag):
    # the cluster was started in an environment with another store
    told = json.loads((bag.folder / "second").read_text())
    assert told["environment"]["ISODEPTH_STORE"] == NODES_STORE


def test_reports_reach_the_driver_about_once_a_second_and_end_at_the_end(bag):
    told = [done for label, done, *_ in bag.reports if label == "reports: counting"]
    assert told == sorted(told)
    assert told[-1] == 701
    assert 2 <= len(told) <= 7  # one before the end, at least, however slow the machine
    assert ("reports: counting", 701, 701, "steps") in bag.reports


def test_a_killed_worker_is_replaced_and_one_that_dies_each_time_is_given_up(
    cluster, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(ray_engine, "MOST_DEATHS", 2)
    tasks = [
        task("once", ray_work.dies_once, tmp_path, "once"),
        task("later", ray_work.succeeds, then=task("later", ray_work.dies_once, tmp_path, "later")),
        task("always", ray_work.dies_always, tmp_path),
    ]
    with caplog.at_level(logging.WARNING, logger="isodepth"):
        outcomes = RayEngine(cluster.address).run(tasks, progress=no_progress)
        errors = {outcome.task.label: outcome.error for outcome in outcomes}
    assert errors["once"] is errors["later"] is None
    assert type(errors["always"]) is ClusterError
    assert errors["always"].message.startswith("always: its worker died 2 times, the last time so: ")
    assert "memory_gb in [resources]" in errors["always"].hint
    assert len(list(tmp_path.glob("once.*.pid"))) == 2
    assert len(list(tmp_path.glob("later.*.pid"))) == 2
    assert len(list(tmp_path.glob("always.*.pid"))) == 2
    assert sum("worker lost, starting it again" in message for message in caplog.messages) == 3


def test_the_tasks_of_a_lost_node_end_on_others_unless_no_other_can_take_them(
    cluster, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(ray_engine, "LOOK_SECONDS", 0.5)
    monkeypatch.setattr(ray_engine, "MISSING_NODE_SECONDS", 1.0)
    # room for all: were it less, two small tasks here could keep the wide one out, and all would wait
    lost = cluster.add_node(num_cpus=7, object_store_memory=10**8)
    names = ["a", "b", "c", "d"]
    tasks = [
        task("wide", ray_work.waits_for_word, tmp_path, "wide", resources=Resources(cpus=3.0)),
        *(task(name, ray_work.waits_for_word, tmp_path, name, resources=ONE) for name in names),
    ]
    removed = []

    def remove_the_node_once_all_are_at_work(*told):
        if not removed and all(list(tmp_path.glob(f"{name}.0.pid")) for name in ["wide", *names]):
            removed.append(lost)
            cluster.remove_node(lost, allow_graceful=False)
            # a worker outlives its node for a moment, and must not hear the word in it
            wide = int((tmp_path / "wide.0.pid").read_text())
            assert wait_until(lambda: not is_alive(wide))
            (tmp_path / "go").touch()

    run = RayEngine(cluster.address).run(tasks, progress=remove_the_node_once_all_are_at_work)
    errors = {outcome.task.label: outcome.error for outcome in run}
    assert removed
    assert [errors[name] for name in names] == [None] * 4
    # the other nodes have room for three at once, so that one or more were here and ran twice
    assert 5 <= sum(len(list(tmp_path.glob(f"{name}.*.pid"))) for name in names) <= 8
    assert type(errors["wide"]) is ClusterError
    assert "asks for 3 CPUs, 0 GPUs and 0 GB of memory; the largest of 2 nodes" in str(errors["wide"])
    assert capfd.readouterr() == ("", "")


def test_an_interrupt_stops_what_runs_and_starts_nothing_more(cluster, tmp_path):
    tasks = [task(name, ray_work.waits_for_word, tmp_path, name, resources=ONE) for name in "abcde"]

    def interrupt_once_all_nodes_are_at_work(*told):
        if len(list(tmp_path.glob("*.pid"))) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(RayEngine(cluster.address).run(tasks, progress=interrupt_once_all_nodes_are_at_work))
    pids = {int(path.read_text()) for path in tmp_path.glob("*.pid")}
    assert len(pids) == 3
    assert wait_until(lambda: not any(map(is_alive, pids)))
    assert len(list(tmp_path.glob("*.pid"))) == 3


def test_a_connection_that_the_program_has_is_used_and_kept(cluster):
    import ray

    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        # the address is that of no cluster
        run = RayEngine("127.0.0.1:1").run([task("a", ray_work.succeeds)], progress=no_progress)
        assert [outcome.error for outcome in run] == [None]
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def test_without_an_address_a_cluster_is_started_and_the_loss_of_its_head_is_told(tmp_path):
    # in a process of its own, since Ray ends a process that stays without a head
    environment = os.environ | {"PYTHONPATH": str(TESTS), "RAY_AUTH_TOKEN": "0" * 32}
    environment.pop("RAY_ADDRESS", None)
    done = subprocess.run(
        [sys.executable, "-m", "engines.ray_without_head", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [
        "a None",
        "b failed: the Ray cluster is lost: its head, host:port, has not answered for n s",
        "what was finished is in the store: start the cluster and run again to go on.",
    ]
    (pid,) = (int(path.read_text()) for path in tmp_path.glob("b.*.pid"))
    assert wait_until(lambda: not is_alive(pid))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_does_not_answer_is_named_at_once(address):
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        list(RayEngine(address).run([], progress=no_progress))
    assert caught.value.message.startswith(f"no connection to the Ray cluster {address!r}: ")
    assert "--ray-address" in caught.value.hint
    assert time.monotonic() - start < 10


def test_without_ray_the_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else found(name, *rest)
    )
    with pytest.raises(MissingPackageError, match="ray is not installed") as caught:
        RayEngine()
    assert caught.value.hint == "pip install 'isodepth[ray]' brings it."
