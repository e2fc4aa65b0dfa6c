"""The engine of one machine: order, failures, work that another run is at."""

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from isodepth.engines import ENGINES, Engine, LocalEngine, Outcome, Task
from isodepth.errors import ModelError
from isodepth.progress import Progress, no_progress
from isodepth.study import Resources


def task(label: str, work: Callable[[Progress, bool], bool]) -> Task:
    return Task(label=label, work=work, resources=Resources())


def run(*tasks: Task, progress: Progress = no_progress) -> list[Outcome]:
    return list(LocalEngine().run(tasks, progress=progress))


def test_it_is_the_engine_called_local() -> None:
    engine = ENGINES["local"](None)
    assert isinstance(engine, LocalEngine)
    assert isinstance(engine, Engine)
    assert (engine.name, engine.shares_process) == ("local", True)


def test_tasks_run_in_the_order_given_one_at_a_time_as_outcomes_are_taken() -> None:
    done: list[str] = []

    def work(label: str) -> Callable[[Progress, bool], bool]:
        def ran(progress: Progress, wait: bool) -> bool:
            done.append(label)
            return True

        return ran

    outcomes = LocalEngine().run([task(name, work(name)) for name in "abc"], progress=no_progress)
    assert done == []
    for name in "abc":
        outcome = next(outcomes)
        assert (outcome.task.label, outcome.error, outcome.warnings) == (name, None, ())
        assert outcome.seconds >= 0
        assert done[-1] == name
    assert next(outcomes, None) is None


def test_no_tasks_give_no_outcomes() -> None:
    assert run() == []


@pytest.mark.parametrize(
    "error", [ModelError("broken", hint="mend it"), ZeroDivisionError(), MemoryError()]
)
def test_a_task_that_fails_is_told_with_its_error_and_the_others_go_on(error: Exception) -> None:
    def fail(progress: Progress, wait: bool) -> bool:
        raise error

    first, second = run(task("bad", fail), task("good", lambda *_: True))
    assert (first.task.label, first.error) == ("bad", error)
    assert (second.task.label, second.error) == ("good", None)


def test_what_follows_a_task_is_part_of_it() -> None:
    done: list[str] = []

    def work(name: str, *answers: bool | Exception) -> Callable[[Progress, bool], bool]:
        left = list(answers)

        def ran(progress: Progress, wait: bool) -> bool:
            done.append(f"{name}, {wait}")
            answer = left.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ran

    def in_two(label: str, first: tuple[bool | Exception, ...], second: tuple[bool, ...]) -> Task:
        then = task(label, work(f"{label}2", *second))
        return replace(task(label, work(f"{label}1", *first)), then=then)

    error = ModelError("broken")
    tasks = [
        in_two("a", (True,), (True,)),
        in_two("b", (error,), ()),
        in_two("c", (True, True), (False, True)),
    ]
    outcomes = run(*tasks)
    assert [(one.task, one.error) for one in outcomes] == list(
        zip(tasks, (None, error, None), strict=True)
    )
    assert done == [
        "a1, False",
        "a2, False",
        "b1, False",
        "c1, False",
        "c2, False",
        "c1, True",
        "c2, True",
    ]


class Held:
    """What a task holds while it works."""


def fails_directly() -> None:
    raise ModelError("broken")


def fails_because() -> None:
    try:
        fails_directly()
    except ModelError as error:
        raise ValueError("odd") from error


def fails_while_it_mends() -> None:
    try:
        fails_because()
    except ValueError:
        _ = {}["layer"]


def fails_in_many_ways() -> None:
    errors: list[Exception] = []
    for fail in (fails_directly, fails_while_it_mends):
        try:
            fail()
        except (ModelError, KeyError) as error:
            errors.append(error)
    raise ExceptionGroup("two threads", errors)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    "fail", [fails_directly, fails_because, fails_while_it_mends, fails_in_many_ways]
)
def test_nothing_that_a_task_held_when_it_failed_is_kept_while_the_next_one_runs(
    fail: Callable[[], None], wait: bool
) -> None:
    held: list[weakref.ref[Held]] = []
    left: list[bool] = []

    def work(progress: Progress, is_waiting: bool) -> bool:
        if is_waiting is not wait:
            return False
        left.extend(one() is not None for one in held)
        mine = Held()
        held.append(weakref.ref(mine))
        fail()
        return True

    gc.collect()
    gc.disable()
    try:
        outcomes = run(task("first", work), task("second", work))  # all of them are kept
    finally:
        gc.enable()
    assert left == [False]
    assert [one() for one in held] == [None, None]
    for outcome in outcomes:
        assert outcome.error.__traceback__ is None
        assert outcome.trace.rstrip().split("\n")[0].strip().endswith("(most recent call last):")
        assert f"in {fail.__name__}" in outcome.trace


def test_a_task_that_is_done_has_no_trace() -> None:
    (outcome,) = run(task("good", lambda *_: True))
    assert outcome.trace == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_passes_through(error: type[BaseException]) -> None:
    later: list[str] = []

    def stop(progress: Progress, wait: bool) -> bool:
        raise error

    with pytest.raises(error):
        run(task("stopped", stop), task("later", lambda *_: later.append("later") is None))
    assert later == []


def test_what_another_run_is_at_is_put_off_and_then_waited_for() -> None:
    calls: list[tuple[str, bool]] = []

    def held(label: str) -> Callable[[Progress, bool], bool]:
        def work(progress: Progress, wait: bool) -> bool:
            calls.append((label, wait))
            return wait

        return work

    def free(progress: Progress, wait: bool) -> bool:
        calls.append(("free", wait))
        return True

    outcomes = run(task("one", held("one")), task("two", held("two")), task("free", free))
    assert [outcome.task.label for outcome in outcomes] == ["free", "one", "two"]
    assert all(outcome.error is None for outcome in outcomes)
    assert calls == [("one", False), ("two", False), ("free", False), ("one", True), ("two", True)]


def test_a_task_that_fails_while_it_is_waited_for_is_told_too() -> None:
    def work(progress: Progress, wait: bool) -> bool:
        if wait:
            raise ModelError("broken")
        return False

    (outcome,) = run(task("held", work))
    assert isinstance(outcome.error, ModelError)


def test_progress_is_told_with_the_tasks_label() -> None:
    def work(progress: Progress, wait: bool) -> bool:
        progress("loading", 1, 2, "steps")
        return True

    told: list[tuple[str, int, int, str]] = []
    run(task("model on texts", work), progress=lambda *report: told.append(report))
    assert told == [("model on texts: loading", 1, 2, "steps")]
