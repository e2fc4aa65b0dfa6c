"""On a phone and on a wide screen, light and dark; and quick enough with as many models as the paper."""

from collections.abc import Iterator

import pytest

from report.browser.conftest import READY, WIDE, Opener, Shown
from report.browser.made_reports import BOLD, MARKUP, PAPER_LAYERS, PARALLEL, SHEET, K, Made

READY_SECONDS, PAIR_SECONDS = 3.0, 0.5
MAIN_PARTS = (
    "h1",
    "#summary",
    "#set",
    "#array-blocks",
    "#matrix",
    "#cell-numbers",
    "#texts",
    "#contrast",
    "#table",
)
MAIN_PARTS += ("#about",)


def brightness(color: str) -> float:
    """Return the relative luminance of a computed color, as WCAG defines it."""
    parts = [float(part) / 255 for part in color[color.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Return by how much two colors can be told apart, 1 to 21; text needs 4.5."""
    bright, dark = sorted((brightness(one), brightness(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("width", "scheme"), [(390, "dark"), (1600, "light")], ids=["phone, dark", "wide, light"]
)
def test_all_parts_are_readable_and_within_the_screen(small: Shown, width: int, scheme: str) -> None:
    shown, page = small, small.page
    shown.put_on_screen(width, 900, scheme)
    shown.pick(texts=MARKUP, left=BOLD, right=SHEET, k=K)
    for texts in (MARKUP, PARALLEL):
        shown.pick(texts=texts)
        shown.see_all_pairs()
        for part in MAIN_PARTS:
            box = page.locator(part).bounding_box()
            assert box is not None, part
            assert box["width"] > 100, part
            assert box["height"] > 20, part
        # plotly fits what it drew before to another screen after a moment
        page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        outside = page.evaluate(
            """(width) => [...document.querySelectorAll("main *")].filter((one) => {
                const box = one.getBoundingClientRect();
                return box.width && box.right > width + 1 && !one.closest(".scrolls, .js-plotly-plot, .text-list, fieldset");
            }).map((one) => one.id || one.className || one.tagName)""",
            width,
        )
        assert outside == []
    page.locator("#text-list button").first.click()
    shown.settle()
    colors = page.evaluate(
        """() => Object.fromEntries([["body", document.body], ...[".hint", "#cell-numbers dd", "#cell-numbers dt",
            "#table td", "#table td button", "#text-list .rank", "#neighbors .mark", "h2", "#choice select", "figcaption"]
            .map((name) => [name, document.querySelector(name)])].map(([name, one]) => {
                let ground = one;
                while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
                return [name, [getComputedStyle(one).color, getComputedStyle(ground).backgroundColor]];
            }))"""
    )
    for name, (ink, ground) in colors.items():
        assert contrast(ink, ground) >= 4.5, name
    assert (brightness(colors["body"][1]) < 0.1) == (scheme == "dark")
    drawn = page.evaluate("getComputedStyle(document.querySelector('#matrix .xtick text')).fill")
    assert contrast(drawn, colors["body"][1]) >= 4.5
    page.evaluate("scrollTo(0, 0)")
    shown.picture(f"small-{width}-{scheme}")
    assert shown.problems == []


def test_a_tree_that_was_hidden_while_the_screen_changed_fits_it(small: Shown) -> None:
    small.pick(texts=MARKUP)
    small.see_all_pairs()
    small.pick(texts=PARALLEL)
    small.see_all_pairs()
    assert small.page.locator("#tree").is_hidden()
    small.put_on_screen(390, 900, "light")
    small.pick(texts=MARKUP)
    small.see_all_pairs()
    box = small.page.locator("#tree svg.main-svg").first.bounding_box()
    assert box is not None
    assert 200 < box["width"] < 390


@pytest.fixture(scope="module")
def paper(opener: Opener, paper_made: Made) -> Iterator[Shown]:
    shown = opener(paper_made)
    yield shown
    shown.page.context.close()


@pytest.fixture(autouse=True)
def _as_it_was(small: Shown) -> Iterator[None]:
    yield
    small.put_on_screen(*WIDE.values(), scheme="light")


def test_a_report_of_the_paper_s_size_is_soon_ready(paper: Shown) -> None:
    since_navigation = "performance.getEntriesByName('ready')[0].startTime / 1000"
    took = [paper.page.evaluate(since_navigation)]
    paper.page.reload()
    paper.page.wait_for_selector(READY, state="attached")
    took.append(paper.page.evaluate(since_navigation))
    assert min(took) < READY_SECONDS, f"best of {took} s from the start of navigation"
    assert sum(len(one["left"]) for one in paper.made.payload["sets"]) == len(PAPER_LAYERS) == 24
    assert paper.problems == []


def test_another_pair_of_a_report_of_the_paper_s_size_is_drawn_at_once(paper: Shown) -> None:
    labels = paper.made["web-text"].matrices.left
    deepest = [label for label in labels if "-80-" in label]
    took = [
        paper.page.evaluate(
            """async (to) => {
                const select = document.getElementById("right");
                select.value = [...select.options].find((one) => one.label === to).value;
                const begin = performance.now();
                select.dispatchEvent(new Event("change"));
                const main = document.querySelector("main");
                while (main.hasAttribute("aria-busy")) await new Promise((done) => setTimeout(done));
                await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
                return (performance.now() - begin) / 1000;
            }""",
            label,
        )
        for label in (labels[3], *deepest)
    ]
    assert paper.page.locator("#pair-title").text_content().endswith(deepest[-1])
    assert min(took) < PAIR_SECONDS, f"best of {took} s until it was drawn"
    paper.see_all_pairs()
    paper.picture("paper-size")
    assert paper.problems == []
