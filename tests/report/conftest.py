"""A small study in memory, made once."""

import pytest

from report.made_studies import Made, made_study


@pytest.fixture(autouse=True)
def _quick_corrections(no_collections: None) -> None:
    """Let no test here collect garbage."""


@pytest.fixture(scope="session")
def made() -> Made:
    return made_study()
