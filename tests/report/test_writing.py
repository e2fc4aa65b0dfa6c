"""The page is one file that holds the payload as it is, and nothing that texts could run."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from isodepth.report import report_html, report_payload, write_page
from isodepth.report.writing import SCRIPTS, _as_element
from report.made_studies import HOSTILE, Made


class Scripts(HTMLParser):
    """The contents of script elements, and how many elements of each kind there are."""

    def __init__(self) -> None:
        super().__init__()
        self.contents: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []
        self.title = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.contents.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            attributes, before = self.contents[-1]
            self.contents[-1] = (attributes, before + data)
        elif self.lasttag == "title":
            self.title += data


def parsed(html: str) -> Scripts:
    found = Scripts()
    found.feed(html)
    found.close()
    return found


@pytest.fixture(scope="module")
def payload(made: Made) -> dict[str, Any]:
    return report_payload(made.assessed, results=made.results, evidence=made.evidence)


@pytest.fixture(scope="module")
def html(payload: dict[str, Any]) -> str:
    return report_html(payload)


def test_the_payload_stands_in_the_page_as_it_is(payload: dict[str, Any], html: str) -> None:
    (data,) = [text for attributes, text in parsed(html).contents if attributes.get("id") == "payload"]
    assert json.loads(data) == payload


def test_texts_and_names_add_no_element(payload: dict[str, Any], html: str) -> None:
    tame = {**payload, "title": "t", "sentences": ["a", "b", "c"], "texts": [], "sets": []}
    assert parsed(html).tags == parsed(report_html(tame)).tags
    for text in HOSTILE[:2]:
        assert text not in html


def test_the_title_is_that_of_the_results(html: str) -> None:
    assert parsed(html).title.startswith("made & shown: ")
    assert "<title>made &amp; shown: " in html


def test_sentences_stand_in_the_page_without_javascript(payload: dict[str, Any]) -> None:
    markup = {**payload, "sentences": ["<b>one</b>", "two & two", "three"]}
    html = report_html(markup)
    assert "&lt;b&gt;one&lt;/b&gt;" in html
    assert "<b>one</b>" not in html


def test_nothing_is_loaded_from_elsewhere(html: str) -> None:
    for attributes, _ in parsed(html).contents:
        assert "src" not in attributes
    assert re.search(r'<link[^>]+href="(?!data:)', html) is None
    assert "@import" not in html


def test_all_scripts_are_in_the_page_in_one_strict_function(html: str) -> None:
    folder = Path(__file__).parents[2] / "src" / "isodepth" / "report" / "page"
    assert sorted(path.name for path in folder.glob("*.js")) == sorted(SCRIPTS)
    (ours,) = [text for _, text in parsed(html).contents if text.startswith('(() => {\n"use strict";')]
    places = [ours.index((folder / name).read_text().splitlines()[0]) for name in SCRIPTS]
    assert places == sorted(places)


def test_what_would_end_a_script_is_broken_up_within_it() -> None:
    written = _as_element("a = '</script>' + '</SCRIPT ' + '<!-- ' + '</b>' + (1 < 2)")
    assert written == "a = '<\\/script>' + '<\\/SCRIPT ' + '<\\!-- ' + '</b>' + (1 < 2)"


def test_the_same_payload_gives_the_same_page(payload: dict[str, Any], html: str) -> None:
    assert report_html(payload) == html


def test_the_page_is_written_whole_in_utf_8(payload: dict[str, Any], html: str, tmp_path: Path) -> None:
    path = write_page(tmp_path / "new" / "report.html", payload)
    assert path.read_bytes() == html.encode()
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]


def test_halves_of_letters_in_a_title_hinder_nothing(payload: dict[str, Any], tmp_path: Path) -> None:
    path = write_page(tmp_path / "report.html", {**payload, "title": "caf\udce9"})
    assert "<title>caf?</title>" in path.read_text(encoding="utf-8")
