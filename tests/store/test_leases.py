"""One machine computes an artifact; when it was killed, another takes over, whatever the clocks say."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest

from isodepth.store import RemoteStore, leases, remote
from isodepth.store.leases import Lease, Leases, content
from tiny_stores import KEY, MANIFEST_OF_TEST, OTHER_KEY, SHAPE, STAGE, Start

pytestmark = pytest.mark.usefixtures("unsynced")

BEAT = 0.02
STALE = 0.4
NAME = f"leases/{STAGE}-{KEY}.json"
Machine = Callable[[str], RemoteStore]


@pytest.fixture(params=["memory", "file"])
def machine(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Machine]:
    """Return a function that gives a machine's view of the shared store; beats are fast."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", BEAT)
    monkeypatch.setattr(leases, "STALE_SECONDS", STALE)
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(remote, "POLL_SECONDS", BEAT)
    place = "memory://" + tmp_path.name if request.param == "memory" else tmp_path.as_uri() + "/bucket"
    yield lambda name: RemoteStore(place, mirror=tmp_path / name)
    fsspec.filesystem("memory").store.clear()


def never() -> None:
    raise AssertionError("waited for a lock that nobody holds")


def left_by_a_killed_process(store: RemoteStore, name: str = NAME) -> bytes:
    """Leave a lease as a process of this machine does that is killed; return what is in it."""
    lease = store._own_leases.take(name)
    assert lease is not None
    lease._released.set()
    lease._thread.join()
    found = store.files.read(name)
    assert found is not None
    return found


def test_one_machine_has_it_and_another_one_later(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    with here.lock(STAGE, KEY) as held:
        assert held
        assert here.is_locked(STAGE, KEY)
        assert there.is_locked(STAGE, KEY)
        assert not there.is_locked(STAGE, OTHER_KEY)
        with there.lock(STAGE, KEY) as held_there:
            assert not held_there
        with there.lock(STAGE, OTHER_KEY, waiting=never) as other_held:
            assert other_held
    assert not there.is_locked(STAGE, KEY)
    assert here.files.listing("leases") == {}
    with there.lock(STAGE, KEY, waiting=never) as held_there:
        assert held_there


def test_a_lease_is_given_back_after_an_error(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    with pytest.raises(KeyError), here.lock(STAGE, KEY):
        raise KeyError
    with there.lock(STAGE, KEY, waiting=never):
        pass


def test_a_machine_that_waits_is_told_once_and_goes_on(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    held_here, may_go = threading.Event(), threading.Event()
    order: list[str] = []

    def hold() -> None:
        with here.lock(STAGE, KEY):
            order.append("held here")
            held_here.set()
            may_go.wait(10)
            order.append("released here")

    holder = threading.Thread(target=hold)
    holder.start()
    assert held_here.wait(10)

    def waiting() -> None:
        order.append("waiting there")
        may_go.set()

    with there.lock(STAGE, KEY, waiting=waiting) as held:
        assert held
        order.append("held there")
    holder.join()
    assert order == ["held here", "waiting there", "released here", "held there"]


def test_a_lease_that_beats_is_never_stale(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    with here.lock(STAGE, KEY):
        until = time.monotonic() + 2 * STALE
        while time.monotonic() < until:
            with there.lock(STAGE, KEY) as held:
                assert not held
            time.sleep(BEAT)


@pytest.mark.parametrize("at", [0.0, 1e12], ids=["clock far behind", "clock far ahead"])
def test_a_lease_that_nobody_keeps_alive_is_taken_over_after_a_while_on_the_own_clock(
    machine: Machine, at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: at)
        left_by_a_killed_process(here)
    before = time.monotonic()
    with there.lock(STAGE, KEY, waiting=lambda: None) as held:
        assert held
        assert time.monotonic() - before >= STALE
        assert here.is_locked(STAGE, KEY)
    assert not here.is_locked(STAGE, KEY)


def test_a_run_that_does_not_wait_takes_over_when_it_comes_by_again(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    left_by_a_killed_process(here)
    with there.lock(STAGE, KEY) as held:
        assert not held
    time.sleep(STALE)
    assert not there.is_locked(STAGE, KEY)
    with there.lock(STAGE, KEY) as held:
        assert held


def test_the_next_run_on_the_same_machine_takes_over_at_once(machine: Machine) -> None:
    left_by_a_killed_process(machine("here"))
    again = machine("here")
    assert not again.is_locked(STAGE, KEY)
    with again.lock(STAGE, KEY, waiting=never) as held:
        assert held


def test_a_machine_that_was_silent_too_long_leaves_the_lease_to_its_new_holder(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    with here.lock(STAGE, KEY):
        with monkeypatch.context() as patch:
            patch.setattr(here.files, "write", lambda name, data: time.sleep(0))
            with there.lock(STAGE, KEY, waiting=lambda: None):
                pass
            lease = there._own_leases.take(NAME)
            assert lease is not None
        time.sleep(5 * BEAT)  # the first one's beats would come through now
        assert machine("third").is_locked(STAGE, KEY)
    assert there.files.read(NAME) is not None, "the first one removed what was no longer its own"
    lease.release()
    assert there.files.read(NAME) is None


@pytest.mark.parametrize("garbage", [b"", b"[]", b"{", b"\xff"])
def test_a_lease_that_cannot_be_read_counts_until_it_is_stale(machine: Machine, garbage: bytes) -> None:
    here = machine("here")
    here.files.write(NAME, garbage)
    with here.lock(STAGE, KEY) as held:
        assert not held
    with here.lock(STAGE, KEY, waiting=lambda: None) as held:
        assert held


def taken_at_once(stores: list[RemoteStore]) -> list[Lease]:
    """Return the leases that several machines get that ask at the same moment."""
    start = threading.Barrier(len(stores))
    taken: list[Lease] = []

    def take(store: RemoteStore) -> None:
        start.wait()
        lease = Leases(store.files, holder=str(store.root), on_beat=lambda: None).take(NAME)
        if lease is not None:
            taken.append(lease)

    threads = [threading.Thread(target=take, args=[store]) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for lease in taken:
        lease.release()
    return taken


def test_of_many_machines_at_once_one_gets_it(machine: Machine) -> None:
    assert len(taken_at_once([machine(f"machine {number}") for number in range(7)])) == 1


def test_of_many_machines_one_gets_it_also_where_creation_is_not_exclusive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 0.3)
    stores = [
        RemoteStore(f"memory://{tmp_path.name}", mirror=tmp_path / str(number)) for number in range(7)
    ]
    for store in stores:
        plain = store.files._system.pipe_file

        def without_mode(path: str, data: bytes, *, plain: Callable[..., None] = plain) -> None:
            plain(path, data)

        monkeypatch.setattr(store.files._system, "pipe_file", without_mode)
        # all see that nothing is there before the first one writes
        monkeypatch.setattr(store.files._system, "exists", lambda path: time.sleep(0.05))
    assert len(taken_at_once(stores)) == 1
    fsspec.filesystem("memory").store.clear()


def test_a_lease_whose_answer_was_lost_is_known_as_the_own_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = machine("here")
    create = here.files._create

    def answer_lost(path: str, data: bytes) -> None:
        create(path, data)
        raise TimeoutError("no answer")

    monkeypatch.setattr(here.files, "_create", answer_lost)
    monkeypatch.setattr("isodepth.store.remote_files.RETRY_SECONDS", (0.0, 0.0))
    mine = content(token="a", holder="b", n_beats=0)
    assert here.files.create(NAME, mine)
    assert not here.files.create(NAME, content(token="c", holder="b", n_beats=0))


# progress on other machines


def test_another_machine_sees_how_far_an_array_is_until_it_is_done(
    machine: Machine, values: np.ndarray
) -> None:
    here, there = machine("here"), machine("there")
    with here.lock(STAGE, KEY):
        assert there.unfinished_progress("activations", OTHER_KEY) is None
        array = here.begin("activations", OTHER_KEY, shape=SHAPE, manifest=MANIFEST_OF_TEST)
        array.write(np.array([4, 2]), values[:, [4, 2]], n_tokens=17)
        wanted = here.unfinished_progress("activations", OTHER_KEY)
        assert wanted is not None
        assert (wanted.n_done, wanted.n_tokens) == (2, 17)
        until = time.monotonic() + 10
        while there.unfinished_progress("activations", OTHER_KEY) != wanted:
            assert time.monotonic() < until
            time.sleep(BEAT)
        array.discard()
    assert there.unfinished_progress("activations", OTHER_KEY) is None


# real processes

HOLDS = """
import sys, time
from pathlib import Path
from isodepth.store import RemoteStore, leases

leases.BEAT_SECONDS = 0.02
with RemoteStore(sys.argv[1], mirror=Path(sys.argv[2])).lock("neighbors", sys.argv[3]) as held:
    print("held" if held else "not held", flush=True)
    time.sleep(30)
"""


def test_another_machine_goes_on_when_the_holder_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: Start
) -> None:
    monkeypatch.setattr(leases, "STALE_SECONDS", STALE)
    monkeypatch.setattr(leases, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(remote, "POLL_SECONDS", BEAT)
    address = tmp_path.as_uri() + "/bucket"
    holder = process(HOLDS, address, tmp_path / "there", KEY)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    here = RemoteStore(address, mirror=tmp_path / "here")
    with here.lock(STAGE, KEY) as held:
        assert not held
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with here.lock(STAGE, KEY, waiting=lambda: None) as held:
        assert held


# runs


def test_runs_are_counted_on_all_machines_and_leave_nothing(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    assert here.n_running() == 0
    with here.running():
        assert (here.n_running(), there.n_running()) == (1, 1)
        with there.running(), there.running():
            assert (here.n_running(), there.n_running(), machine("third").n_running()) == (3, 3, 3)
        with there.lock(STAGE, KEY):
            assert (here.n_running(), there.n_running()) == (1, 1)
    assert (here.n_running(), there.n_running()) == (0, 0)
    assert here.files.listing("leases") == {}
    assert list((here.root / "locks").iterdir()) == []


def test_a_killed_run_counts_nowhere(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    left_by_a_killed_process(here, f"leases/runs-{KEY}.json")
    assert here.n_running() == 0
    before = time.monotonic()
    with here.running():
        assert there.n_running() == 1
    assert time.monotonic() - before >= STALE, "silence was told from a beat at once"
    assert there.n_running() == 0


def test_a_run_that_ends_while_it_is_watched_is_not_counted(machine: Machine) -> None:
    here, there = machine("here"), machine("there")
    name = f"leases/runs-{KEY}.json"
    left_by_a_killed_process(here, name)
    threading.Timer(2 * BEAT, here.files.remove, [name]).start()
    assert there.n_running() == 0


def test_a_remote_store_without_the_right_to_write_is_used_without_a_mark(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("here"), machine("there")
    here.write(STAGE, KEY, arrays={"ids": np.arange(3)}, manifest=MANIFEST_OF_TEST)

    def refused(path: str, data: bytes) -> None:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(there.files, "_create", refused)
    with there.running():
        assert here.n_running() == 0
        assert there.read(STAGE, KEY) is not None
