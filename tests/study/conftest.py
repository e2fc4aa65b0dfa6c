"""Study files in a folder of their own, from which the tests also run."""

from collections.abc import Callable
from pathlib import Path

import pytest

from isodepth.errors import StudyError
from isodepth.study import Study, load_study

Written = Callable[[str], Path]
Refused = Callable[[str], StudyError]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Write a study file and return its path, relative to the current folder as a user would give it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        Path("study.toml").write_text(text, encoding="utf-8")
        return Path("study.toml")

    return write


@pytest.fixture
def loaded(written: Written) -> Callable[[str], Study]:
    return lambda text: load_study(written(text))


@pytest.fixture
def refused(written: Written) -> Refused:
    """Return the error that a study file gives."""

    def error_of(text: str) -> StudyError:
        with pytest.raises(StudyError) as caught:
            load_study(written(text))
        return caught.value

    return error_of
