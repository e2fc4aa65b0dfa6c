"""Running the command line inside the test process."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import tiny_models
from isodepth.cli import main
from isodepth.texts import TEXT_SETS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return a function that runs the command line here: exit status, standard output and error."""

    def ran(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status: object = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as request:
            status = request.code
        assert status is None or isinstance(status, int)
        return status or 0, *capsys.readouterr()

    show = warnings.showwarning
    with warnings.catch_warnings():
        yield ran
    warnings.showwarning = show


@pytest.fixture
def tiny_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tiny_models.TinySet]:
    """Return a function that puts a text set into the catalogue, which pip finds and nothing else."""
    index = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def add(
        name: str, texts: Sequence[str], *, standing: str = "the paper's own"
    ) -> tiny_models.TinySet:
        made = tiny_models.written_text_set(index, name, texts, standing=standing)
        monkeypatch.setitem(TEXT_SETS, name, {"offline": made.entry})
        return made

    return add
