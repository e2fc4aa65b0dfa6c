"""A page asks for nothing, runs nothing that is data, complains of nothing, and says so if it fails."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from isodepth.report.packing import json_text
from isodepth.statistics.decision import LEAST_P
from report.browser.conftest import Opener, Shown
from report.browser.made_reports import BOLD, FORMULA, MARKUP, PARALLEL, SHEET, Made

DATA = re.compile(r'(<script type="application/json" id="payload">)(.*?)(</script>)', re.DOTALL)


@pytest.fixture(scope="module")
def own(opener: Opener, small_made: Made) -> Iterator[Shown]:
    """The small report in a window of its own, with its own record of what was asked for."""
    shown = opener(small_made)
    yield shown
    shown.page.context.close()


def test_a_reader_who_tries_everything_meets_no_request_and_no_complaint(own: Shown) -> None:
    page = own.page
    names = page.locator("select, input, button").evaluate_all(
        "(all) => all.map((one) => one.id || one.name)"
    )
    assert {"set", "k", "left", "right", "search", "filter", "text-order", "same-scale"} <= set(names)
    for texts in (MARKUP, PARALLEL):
        own.pick(texts=texts)
        for scale in ("z", "calibrated", "raw"):
            own.pick(values=scale)
        page.locator("#same-scale").click()
        own.settle()
        own.click_cell(3, 2)
        page.locator("#cell-numbers button").click()
        for plot in ("contrast", "match-depth", "match-similarity", "square", "profile", "spread"):
            place = page.locator(f"#{plot}")
            place.scroll_into_view_if_needed()
            place.locator("g.xtick").first.wait_for()
            box = place.bounding_box()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.locator("#text-list button").nth(3).click()
        for button in page.locator("#downloads button").all():
            with page.expect_download() as caught:
                button.click()
            assert caught.value.failure() is None
        own.settle()
    assert page.locator("#failure").is_hidden()
    assert own.problems == []
    assert own.requests == [own.made.path.as_uri()]


def test_nothing_in_names_or_texts_becomes_an_element_or_runs(small: Shown) -> None:
    small.pick(texts=MARKUP, left=BOLD, right=SHEET, order="number", search="")
    small.page.locator("#text-list button").first.click()
    small.see_all_pairs()
    assert small.page.evaluate("typeof window.pwned") == "undefined"
    for tag in (
        "b",
        "i",
        "img",
        "base",
        "style:not(head style, [id^=plotly])",
        "a:not(.skip)",
        "iframe",
    ):
        assert small.page.locator(f"body {tag}").count() == 0, tag
    assert small.page.locator("body script").count() == 3
    handlers = """[...document.body.querySelectorAll("*")].flatMap((one) =>
        [...one.attributes].filter(({name}) => name.startsWith("on")).map(({name}) => name))"""
    assert small.page.evaluate(handlers) == []
    assert small.page.locator("#pair-title").text_content() == f"{BOLD} × {SHEET}"
    assert small.page.locator("#set option").first.text_content() == MARKUP
    assert small.page.locator(".sentences li").all_text_contents() == small.made.payload["sentences"]
    assert small.page.title() == small.made.payload["title"]
    assert "<i>x</i>" in small.text("#provenance")


def test_nothing_in_names_is_filled_in_or_marked_up_by_plots(small: Shown) -> None:
    small.pick(texts=MARKUP, left=BOLD, right=FORMULA)
    title = "#matrix .{}title"
    assert small.page.locator(title.format("y")).text_content() == f"layer of {BOLD}"
    shortened = FORMULA[:33] + "…"
    assert small.page.locator(title.format("x")).text_content() == f"layer of {shortened}"
    small.see_all_pairs()
    ticks = small.page.locator("#tree .ytick").all_text_contents()
    names = {BOLD, shortened, SHEET[:33] + "…"}
    assert {tick.strip() for tick in ticks} == names


def test_the_page_s_own_policy_refuses_what_would_be_fetched_or_run(own: Shown) -> None:
    assert own.page.evaluate(
        """() => new Promise((done) => {
            const refused = [];
            addEventListener("securitypolicyviolation", (event) => {
                refused.push(event.effectiveDirective);
                if (refused.length === 2) done(refused.sort());
            });
            document.body.append(Object.assign(new Image(), {src: "http://127.0.0.1:9/x.png"}));
            fetch("http://127.0.0.1:9/").catch(() => null);
        })"""
    ) == ["connect-src", "img-src"]
    own.page.locator("body > img").evaluate("(one) => one.remove()")
    assert len(own.problems) >= 2
    own.problems.clear()
    assert own.requests[0] == own.made.path.as_uri()


def changed_page(made: Made, folder: Path, change: str) -> Made:
    """Return a copy of a page whose data are other ones."""
    page = DATA.sub(lambda found: found[1] + change + found[3], made.path.read_text(encoding="utf-8"))
    path = folder / "changed.html"
    path.write_text(page, encoding="utf-8")
    return replace(made, path=path)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("cut off", "JSON"),
        ("fewer bytes", "an array is damaged"),
    ],
)
def test_a_damaged_page_says_that_it_failed(
    opener: Opener, bare_made: Made, tmp_path: Path, harm: str, reason: str
) -> None:
    data = DATA.search(bare_made.path.read_text(encoding="utf-8"))[2]
    change = data[: len(data) // 2]
    if harm == "fewer bytes":
        payload = json.loads(data)
        values = payload["sets"][0]["ks"][0]["values"]
        values["gzip"] = values["gzip"][: len(values["gzip"]) // 8 * 4]
        change = json_text(payload)
    shown = opener(changed_page(bare_made, tmp_path, change), awaited="#failure:not([hidden])")
    said = shown.text("#failure")
    assert said.startswith("This page failed: ")
    assert reason in said
    assert shown.page.locator("#failure").bounding_box()["y"] < 800  # in sight
    shown.page.wait_for_timeout(100)
    assert shown.page.get_attribute("html", "data-ready") is None
    assert shown.problems
    shown.page.context.close()


def test_a_verdict_is_told_of_the_sides_as_they_are_shown(
    opener: Opener, bare_made: Made, tmp_path: Path
) -> None:
    payload = copy.deepcopy(bare_made.payload)
    payload["sets"][0]["pairs"][0]["sentence"] = (
        "above the right model's first layers, above the left model's last layers"
    )
    shown = opener(
        changed_page(bare_made, tmp_path, json_text(payload)),
        address=f"#texts=0&left={quote(FORMULA)}&right={quote(BOLD)}",
    )
    assert (
        shown.text("#verdict")
        == "above the left model's first layers, above the right model's last layers"
    )
    shown.page.context.close()


def test_a_report_without_neighbors_says_so(opener: Opener, bare_made: Made) -> None:
    shown = opener(bare_made)
    assert shown.page.locator("#texts-body").is_hidden()
    assert "No neighbor lists are in this report." in shown.text("#texts-none")
    assert shown.page.locator("#k-control").is_hidden()
    assert "by the paper's null model" in shown.text("#cell-z")
    assert "[" not in shown.text("#cell-similarity")
    decision = bare_made["plain"].pairs[0].decision
    assert decision.p_shared == LEAST_P
    told = shown.page.locator("#table tbody td").all_inner_texts()
    assert told[7] == f"< {LEAST_P}"  # far out it is not known how small it is
    assert shown.problems == []
    assert shown.requests == [bare_made.path.as_uri()]
    shown.page.context.close()


def test_without_scripts_the_sentences_still_stand_there(opener: Opener, small_made: Made) -> None:
    shown = opener(small_made, awaited="noscript", java_script_enabled=False)
    assert shown.page.locator(".sentences li").count() == 3
    assert "need JavaScript" in shown.text("#summary")
    shown.page.context.close()
