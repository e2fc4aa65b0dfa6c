"""Running the command line inside the test process."""

import warnings
from collections.abc import Callable, Iterator

import pytest

from isodepth.cli import main

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
