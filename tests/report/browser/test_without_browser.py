"""Where there is no browser, its tests say so; in CI they fail."""

import shutil

import pytest

from report.browser.conftest import found_browser


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)


def test_without_a_browser_tests_are_skipped_and_the_cure_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ISODEPTH_REQUIRE_BROWSER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="chromium is not installed; run 'make browser'"):
        found_browser()


def test_where_a_browser_is_required_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISODEPTH_REQUIRE_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="chromium is not installed"):
        found_browser()
