"""Reports in a real browser: Debian's Chromium without a window, driven by playwright.

Opening a page takes a second or two, so most tests share one, `small`, and choose what they need first.
"""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from report.browser.made_reports import Made, bare_report, paper_sized_report, small_report

BROWSER = "chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 20_000
"""On a busy machine; nothing takes as long."""
READY = "html[data-ready=true]"
WIDE = {"width": 1280, "height": 800}


@pytest.fixture(scope="package", autouse=True)
def _no_collections() -> Iterator[None]:
    """Holm's correction by statsmodels collects garbage at each call: 0.3 s in a process of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


def found_browser() -> str:
    """Return where the browser is. Where there is none tests are skipped; in CI they fail."""
    path = shutil.which(BROWSER)
    if path is not None:
        return path
    reason = f"{BROWSER} is not installed; run 'make browser', as root on Debian"
    if os.environ.get("ISODEPTH_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    """The browser. It goes with the package: while it runs, asyncio has a loop in this thread."""
    path = found_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@dataclass
class Shown:
    """A report that is open in a browser, and all that it said and asked for."""

    page: Any
    made: Made
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        return str(self.page.locator(selector).inner_text())

    def settle(self) -> None:
        """Wait until all choices are drawn."""
        self.page.wait_for_selector("main:not([aria-busy])", timeout=WAIT_MS)

    def see_all_pairs(self) -> None:
        """Scroll to the views over all pairs, which are drawn when they are seen, and wait until they are."""
        self.page.locator("#all").scroll_into_view_if_needed()
        self.page.wait_for_selector("#all:not([aria-busy])", timeout=WAIT_MS)

    def put_on_screen(self, width: int, height: int, scheme: str) -> None:
        """Show the page on another screen, and wait until it is drawn for that."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": height})
        # the page hears of both before it paints the next frame
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        self.settle()

    def go(self, address: str) -> None:
        """Change the address as a reader does who follows a link to this page."""
        self.page.evaluate(
            """(to) => new Promise((done) => {
                addEventListener("hashchange", () => setTimeout(done), {once: true});
                location.hash = to;
            })""",
            address,
        )
        self.settle()

    def plotted(self, plot: str = "matrix", trace: int = 0) -> dict[str, Any]:
        """Return what plotly was given to draw: the data of one trace."""
        kept = "({x, y, z, customdata, text}) => ({x, y, z, customdata, text})"
        found: dict[str, Any] = self.page.evaluate(
            f"([id, trace]) => ({kept})(document.getElementById(id).data[trace])", [plot, trace]
        )
        return found

    def pick(
        self,
        *,
        texts: str | None = None,
        left: str | None = None,
        right: str | None = None,
        layers: tuple[int, int] | None = None,
        k: int | None = None,
        values: str | None = None,
        order: str | None = None,
        search: str | None = None,
    ) -> None:
        """Choose by the page's controls what is not chosen yet, and wait until all is drawn."""
        page = self.page
        for selector, label in (("#set", texts), ("#left", left), ("#right", right)):
            if label is not None and label != self.chosen()[selector]:
                page.select_option(selector, label=label)
                self.settle()
        now = self.chosen()
        if k is not None and k != int(now["#k-value"]):
            self.slide(k)
        if values not in (None, now["#scale"]):
            page.locator(f"#scale label:has(input[value={values}])").click()
        if order not in (None, now["#text-order"]):
            page.select_option("#text-order", order)
        if search not in (None, now["#search"]):
            page.fill("#search", search)
        for selector, layer in zip(("#left-layer", "#right-layer"), layers or (), strict=False):
            if str(layer) != now[selector]:
                page.locator(selector).fill(str(layer))
                page.locator(selector).press("Tab")
                self.settle()
        self.settle()

    def chosen(self) -> dict[str, str]:
        """Return what the controls show."""
        found: dict[str, str] = self.page.evaluate(
            """() => {
                const of = (id) => document.getElementById(id);
                const label = (id) => of(id).selectedOptions[0].label;
                return {"#set": label("set"), "#left": label("left"), "#right": label("right"),
                    "#k-value": of("k-value").value, "#scale": document.querySelector("#scale :checked").value,
                    "#left-layer": of("left-layer").value, "#right-layer": of("right-layer").value,
                    "#search": of("search").value, "#text-order": of("text-order").value};
            }"""
        )
        return found

    def slide(self, k: int) -> None:
        """Move the slider of k by its keys."""
        ks = self.ks()
        way = ks.index(k) - ks.index(int(self.text("#k-value")))
        for _ in range(abs(way)):
            self.page.locator("#k").press("ArrowRight" if way > 0 else "ArrowLeft")
        self.settle()
        assert self.text("#k-value") == str(k)

    def ks(self) -> list[int]:
        """Return the numbers of neighbors that the chosen text set has matrices of."""
        place = int(self.page.locator("#set").input_value())
        return [one["k"] for one in self.made.payload["sets"][place]["ks"]]

    def cell_at(self, row: int, column: int) -> tuple[float, float]:
        """Return where on the screen a cell of the drawn matrix is; layers count from 0."""
        # not merely into view: the bar that stays may lie over it
        self.page.evaluate("document.getElementById('matrix').scrollIntoView({block: 'center'})")
        x, y = self.page.evaluate(
            """([row, column]) => {
                const plot = document.getElementById("matrix");
                const {xaxis, yaxis} = plot._fullLayout;
                const box = plot.getBoundingClientRect();
                return [box.left + xaxis._offset + xaxis.l2p(column + 1), box.top + yaxis._offset + yaxis.l2p(row + 1)];
            }""",
            [row, column],
        )
        return x, y

    def point_at(self, row: int, column: int) -> Any:
        """Move the pointer over a cell of the matrix; return the lines of its label, which is there."""
        from playwright.sync_api import expect

        self.page.mouse.move(*self.cell_at(row, column), steps=2)
        lines = self.page.locator("#matrix .hovertext tspan.line")
        for place, layer in enumerate((row + 1, column + 1)):
            expect(lines.nth(place)).to_contain_text(f"layer {layer} of ", timeout=WAIT_MS)
        return lines

    def click_cell(self, row: int, column: int) -> None:
        """Click a cell of the matrix, and wait until it is the chosen one."""
        from playwright.sync_api import expect

        self.point_at(row, column)
        self.page.mouse.down()
        self.page.mouse.up()
        for side, layer in (("left", row + 1), ("right", column + 1)):
            expect(self.page.locator(f"#{side}-layer")).to_have_value(str(layer), timeout=WAIT_MS)
        self.settle()

    def picture(self, name: str) -> None:
        """Write the page as a picture, for people to look at, if ISODEPTH_SCREENSHOTS names a folder."""
        if folder := os.environ.get("ISODEPTH_SCREENSHOTS"):
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


Opener = Callable[..., Shown]


@pytest.fixture(scope="package")
def opener(chromium: Any) -> Iterator[Opener]:
    """Return a function that opens a report in a window of its own."""
    contexts = []

    def open_report(made: Made, *, address: str = "", awaited: str = READY, **settings: Any) -> Shown:
        settings = {"viewport": WIDE, "reduced_motion": "reduce"} | settings
        context = chromium.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(WAIT_MS)
        shown = Shown(page=context.new_page(), made=made)
        shown.page.on("console", lambda said: _keep(shown, said))
        shown.page.on("pageerror", lambda error: shown.problems.append(f"error: {error}"))
        context.on("request", lambda request: shown.requests.append(request.url))
        shown.page.goto(made.path.as_uri() + address)
        shown.page.wait_for_selector(awaited, state="attached")
        return shown

    yield open_report
    for context in contexts:
        context.close()


def _keep(shown: Shown, said: Any) -> None:
    if said.type in ("error", "warning"):
        shown.problems.append(f"{said.type}: {said.text}")


@pytest.fixture(scope="package")
def small_made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return small_report(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="package")
def bare_made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return bare_report(tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="package")
def paper_made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return paper_sized_report(tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="package")
def small(opener: Opener, small_made: Made) -> Shown:
    """The small report, open; whatever was chosen in it before."""
    return opener(small_made)
