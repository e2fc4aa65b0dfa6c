"""The worker's side, in this process: no cluster."""

import importlib
import os
import pickle
import pkgutil
import subprocess
import sys
import warnings
from functools import partial

import pytest

import isodepth
from isodepth.engines.ray_worker import Board, ClusterError, Ended, Order, Reporter, ended
from isodepth.errors import (
    IsodepthError,
    IsodepthWarning,
    MissingPackageError,
    ParameterError,
    StoreError,
)
from isodepth.store import DamagedArtifactWarning

HINT = "install the same isodepth, with the same extras, on all nodes of the cluster."


class RemoteBoard:
    """A board in this process, called as Ray's actors are."""

    def __init__(self):
        self.board = Board()
        self.put = self

    def remote(self, *arguments):
        self.board.put(*arguments)


def end_of(work, *, wait=False, board=None, version=isodepth.__version__, passed_on=()) -> Ended:
    packed = work if isinstance(work, bytes) else pickle.dumps(work)
    order = Order(work=packed, wait=wait, passed_on=dict(passed_on), version=version, number=17)
    return ended(order, board or RemoteBoard())


class TwoArgumentsError(Exception):
    """Cannot be unpickled: its arguments are not those that it hands to `Exception`."""

    def __init__(self, what, where):
        super().__init__(f"{what} at {where}")


class ForgetfulError(Exception):
    """Can be unpickled, and has lost what it says."""

    def __init__(self, what="nothing"):
        super().__init__()
        self.args = ()
        self.what = what

    def __str__(self):
        return self.what

    def __reduce__(self):
        return ForgetfulError, ()


def does(progress, wait):
    progress("reading", 3, 7, "texts")
    return True


def returns_wait(progress, wait):
    return wait


def raises(error, progress, wait):
    raise error


def warns(progress, wait):
    for _ in range(2):
        warnings.warn("layer 5 is read again", DamagedArtifactWarning, stacklevel=1)
    warnings.warn("of no interest", UserWarning, stacklevel=1)
    return True


def test_work_that_is_done_says_so_and_its_reports_stand_on_the_board():
    board = RemoteBoard()
    end = end_of(does, board=board)
    assert (end.is_done, end.error, end.trace, end.warnings) == (True, None, "", ())
    assert end.reports == {"reading": (3, 7, "texts")}
    assert end.seconds >= 0
    assert board.board.take() == {(17, "reading"): (3, 7, "texts")}
    assert board.board.take() == {}


@pytest.mark.parametrize("wait", [False, True])
def test_work_is_told_whether_to_wait_and_what_it_returns_comes_back(wait):
    assert end_of(returns_wait, wait=wait).is_done is wait


def test_an_error_of_isodepth_keeps_its_hint_and_comes_with_its_trace():
    end = end_of(partial(raises, ParameterError("k = 11", hint="choose 5.")))
    assert type(end.error) is ParameterError
    assert end.error.hint == "choose 5."
    assert not end.is_done
    assert "in raises" in end.trace


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TwoArgumentsError, "TwoArgumentsError: a leak at layer 3"),
        (ForgetfulError, "ForgetfulError: a leak"),
    ],
)
def test_an_error_that_pickling_breaks_is_told_by_its_type_and_message(error, told):
    arguments = ("a leak", "layer 3")[: 1 + (error is TwoArgumentsError)]
    end = end_of(partial(raise_new, error, arguments))
    assert type(end.error) is RuntimeError
    assert str(end.error) == told


def raise_new(error, arguments, progress, wait):
    raise error(*arguments)


def test_another_error_is_itself():
    end = end_of(partial(raises, KeyError("layer 11")))
    assert type(end.error) is KeyError
    assert end.error.args == ("layer 11",)


def test_warnings_of_isodepth_are_caught_and_others_go_where_they_would():
    with pytest.warns(UserWarning, match="of no interest") as shown:
        end = end_of(warns)
    assert [type(warning) for warning in end.warnings] == [DamagedArtifactWarning] * 2
    assert str(end.warnings[0]) == "layer 5 is read again"
    assert len(shown) == 1


def test_a_node_that_cannot_import_the_work_is_named():
    packed = pickle.dumps(does).replace(__name__.encode(), b"absent".ljust(len(__name__), b"_"))
    end = end_of(packed)
    assert type(end.error) is ClusterError
    assert "cannot import what the task needs: No module named 'absent" in end.error.message
    assert end.error.hint == HINT


def test_a_node_with_another_isodepth_is_refused_and_named():
    end = end_of(does, version="0.0.11")
    assert type(end.error) is ClusterError
    assert f"has isodepth {isodepth.__version__}; the run was started by isodepth 0.0.11" in str(
        end.error
    )
    assert end.error.hint == HINT


def test_the_drivers_environment_is_taken_where_the_node_has_none(monkeypatch):
    monkeypatch.setenv("ISODEPTH_CACHE", "/of/the/node")
    monkeypatch.delenv("ISODEPTH_STORE")
    names = ("ISODEPTH_CACHE", "ISODEPTH_STORE")
    end_of(does, passed_on=dict.fromkeys(names, "/of/the/driver"))
    assert [os.environ[name] for name in names] == ["/of/the/node", "/of/the/driver"]


def test_a_reporter_sends_each_label_once_a_second_and_knows_the_newest(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("isodepth.engines.ray_worker.time.monotonic", lambda: clock[0])
    sent = []
    report = Reporter(lambda label, newest: sent.append((label, newest)))
    for step in range(23):
        report("left", step, 22, "steps")
        report("right", 2 * step, 44, "texts")
        clock[0] += 0.11
    assert [newest[0] for label, newest in sent if label == "left"] == [0, 10, 20]
    assert len(sent) == 6
    assert report.newest == {"left": (22, 22, "steps"), "right": (44, 44, "texts")}


def test_a_report_that_cannot_be_sent_does_not_disturb_the_work():
    def send(label, newest):
        raise ConnectionError("nobody there")

    report = Reporter(send)
    report("left", 3, 5, "steps")
    assert report.newest == {"left": (3, 5, "steps")}


def subclasses(kind: type) -> set[type]:
    below = {kind}.union(*(subclasses(one) for one in kind.__subclasses__()))
    return {one for one in below if one.__module__.startswith("isodepth")}


def test_every_error_and_warning_of_isodepth_travels_whole():
    for module in pkgutil.walk_packages(isodepth.__path__, "isodepth."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    errors = subclasses(IsodepthError)
    assert {ClusterError, ParameterError, MissingPackageError} < errors
    for kind in errors:
        copy = pickle.loads(pickle.dumps(kind("what", hint="then")))
        assert (type(copy), copy.message, copy.hint) == (kind, "what", "then")
        assert pickle.loads(pickle.dumps(kind("what"))).hint is None
    for kind in subclasses(IsodepthWarning) | {DamagedArtifactWarning}:
        copy = pickle.loads(pickle.dumps(kind("what")))
        assert (type(copy), str(copy)) == (kind, "what")


@pytest.mark.parametrize(
    ("cause", "expected"), [(OSError(28, "full"), True), (ValueError("odd"), False), (None, False)]
)
def test_that_the_system_refused_something_travels_although_its_cause_does_not(cause, expected):
    def raised():
        raise StoreError("no space left", hint="free some.") from cause

    with pytest.raises(StoreError) as caught:
        raised()
    assert caught.value.is_systemic is expected
    copy = pickle.loads(pickle.dumps(caught.value))
    for one in (copy, pickle.loads(pickle.dumps(copy))):
        assert one.__cause__ is None
        assert (one.is_systemic, one.message, one.hint) == (expected, "no space left", "free some.")


def test_importing_the_engine_loads_neither_ray_nor_torch():
    # nor the hub's package, which reads HF_HUB_OFFLINE when it is imported
    check = (
        "import sys, isodepth.engines.ray; "
        "sys.exit(','.join({'ray', 'torch', 'huggingface_hub'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
