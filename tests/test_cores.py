import pytest

from isodepth import cores


def test_cores_are_those_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {3, 5, 11}, raising=False)
    assert cores.usable_cores() == 3
    monkeypatch.delattr(cores.os, "sched_getaffinity")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 7)
    assert cores.usable_cores() == 7
    monkeypatch.setattr(cores.os, "cpu_count", lambda: None)
    assert cores.usable_cores() == 1


@pytest.mark.parametrize(
    ("limit", "expected"), [("2", 2), ("1", 1), ("0", 1), ("64", 3), ("", 3), ("-1", 3), ("all", 3)]
)
def test_no_more_than_the_environment_allows(
    limit: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: {3, 5, 11}, raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", limit)
    assert cores.usable_cores() == expected
