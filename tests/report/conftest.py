"""A small study in memory, made once."""

import gc
from collections.abc import Iterator

import pytest

from report.made_studies import Made, made_study


@pytest.fixture(scope="module", autouse=True)
def _no_collections() -> Iterator[None]:
    """Holm's correction by statsmodels collects garbage at each call: 0.3 s in a process of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


@pytest.fixture(scope="session")
def made() -> Made:
    return made_study()
