"""The texts behind a cell: who agrees, on what, and whose neighbors stand where."""

import re
from collections.abc import Iterator

import numpy as np
import pytest

from report.browser.conftest import Shown
from report.browser.made_reports import (
    BOLD,
    FORMULA,
    HARMFUL,
    LEFT_TEXTS,
    MARKUP,
    N_TEXTS,
    PARALLEL,
    RIGHT_TEXTS,
    SHEET,
    K,
)

FIRST_SHOWN = 40
CUT = 1000
LONG = next(text for text in HARMFUL if len(text) > CUT)
Cell = tuple[str, str, str, int, int, int]
WHICH = {
    "stored": (MARKUP, BOLD, SHEET, 3, 5, K),
    "turned": (MARKUP, SHEET, FORMULA, 11, 1, 1),
    "parallel": (PARALLEL, BOLD, SHEET, 7, 9, K),
    "one model, parallel texts": (PARALLEL, FORMULA, FORMULA, 1, 2, 10),
}
CELLS = pytest.mark.parametrize("cell", WHICH.values(), ids=WHICH)
SOME = pytest.mark.parametrize("cell", [WHICH["turned"], WHICH["parallel"]], ids=["turned", "parallel"])


@pytest.fixture(autouse=True)
def _nothing_complains(small: Shown) -> Iterator[None]:
    small.pick(texts=MARKUP, left=BOLD, right=SHEET, k=K, layers=(3, 5), order="most", search="")
    yield
    assert small.problems == []


def lists_of(small: Shown, cell: Cell) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the neighbors of every text at either layer, and how many are in both."""
    name, left, right, left_layer, right_layer, k = cell
    sides = small.made.neighbors(name, left, right)
    rows, columns = (
        one.ids[layer - 1, :, :k] for one, layer in zip(sides, (left_layer, right_layer), strict=True)
    )
    shared = [len(set(row) & set(column)) for row, column in zip(rows, columns, strict=True)]
    return rows, columns, np.array(shared)


def show(small: Shown, cell: Cell) -> None:
    name, left, right, left_layer, right_layer, k = cell
    small.pick(texts=name, left=left, right=right, k=k, layers=(left_layer, right_layer))


def texts_of(small: Shown, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    evidence = next(one for key, one in small.made.evidence.items() if key.texts == name)
    left = tuple(text[:CUT] for text in evidence.texts.texts)
    if evidence.right_texts is None:
        return left, left
    return left, tuple(text[:CUT] for text in evidence.right_texts.texts)


def listed(small: Shown) -> list[tuple[int, int, int]]:
    """Return what the list of texts says: which, how many of its neighbors are shared, of how many."""
    said = small.page.evaluate(
        """[...document.querySelectorAll("#text-list button")].map((one) =>
            [Number(one.dataset.text), ...one.querySelector(".agrees").textContent.split("/").map(Number)])"""
    )
    return [tuple(row) for row in said]


def neighbors(small: Shown, side: str) -> list[tuple[int, bool, str, str]]:
    """Return what a list of neighbors says: text, whether it is marked as shared, the mark, the quote."""
    said = small.page.evaluate(
        """(side) => [...document.querySelectorAll(`#neighbors ol[data-side=${side}] li`)].map((one) => [
            Number(one.dataset.text), one.classList.contains("shared"),
            (one.querySelector(".mark") || {textContent: ""}).textContent, one.querySelector(".quote").textContent])""",
        side,
    )
    return [tuple(row) for row in said]


@CELLS
def test_texts_stand_in_the_order_of_their_agreement(small: Shown, cell: Cell) -> None:
    show(small, cell)
    shared, k = lists_of(small, cell)[2], cell[-1]
    numbers = np.arange(N_TEXTS)
    for way, expected in (
        ("most", np.lexsort((numbers, -shared))),
        ("least", np.lexsort((numbers, shared))),
        ("number", numbers),
    ):
        small.pick(order=way)
        found = listed(small)
        assert found == [(i, shared[i], k) for i in expected[:FIRST_SHOWN]]
    small.page.click("#more-texts")
    assert listed(small) == [(i, shared[i], k) for i in numbers]
    assert small.page.locator("#more-texts").is_hidden()
    spread = small.plotted("spread")
    assert spread["y"] == np.bincount(shared, minlength=k + 1).tolist()
    mean = f"share {shared.mean():.2f} of a text's {k} nearest neighbors"
    assert mean in small.text("#cell-summary")


@SOME
def test_a_text_s_neighbors_under_either_model_are_those_of_the_python_interface(
    small: Shown, cell: Cell
) -> None:
    show(small, cell)
    rows, columns, shared = lists_of(small, cell)
    texts = texts_of(small, cell[0])
    most, least = (int(i) for i in (np.argmax(shared), np.argmin(shared)))
    small.pick(order="number")
    for text in sorted({0, 12, 29, min(most, FIRST_SHOWN - 1), min(least, FIRST_SHOWN - 1)}):
        small.page.locator(f"#text-list button[data-text='{text}']").click()
        small.settle()
        title = f"Text {text + 1}: {shared[text]} of {cell[-1]} neighbors shared"
        assert small.text("#neighbors h3") == title
        for side, own, other, items in (
            ("left", rows[text], columns[text], texts[0]),
            ("right", columns[text], rows[text], texts[1]),
        ):
            found = neighbors(small, side)
            assert [row[0] for row in found] == own.tolist()
            assert [row[1] for row in found] == np.isin(own, other).tolist()
            assert [row[3] for row in found] == [items[i] for i in own]
            ranks = {int(i): rank + 1 for rank, i in enumerate(other)}
            marks = [f" ● shared, there {ranks[i]}." if i in ranks else "" for i in own.tolist()]
            assert [row[2] for row in found] == marks
        quotes = small.page.locator("#neighbors .chosen-text .quote").all_text_contents()
        expected = [items[text] for items in texts]
        assert quotes == (expected if cell[0] == PARALLEL else expected[:1])
        assert small.page.locator("#text-list [aria-pressed=true]").count() == 1


def test_a_search_finds_texts_by_words_and_by_number(small: Shown) -> None:
    texts = texts_of(small, MARKUP)[0]
    for words in ("topic 3", "<SCRIPT>", "漢字", "%{x}", "мир"):
        small.pick(search=words)
        expected = {i for i, text in enumerate(texts) if words.lower() in text.lower()}
        found = {row[0] for row in listed(small)}
        assert found <= expected
        assert len(found) == min(len(expected), FIRST_SHOWN)
        assert small.text("#text-count").startswith(f"{len(expected)} of {N_TEXTS} texts")
    assert small.text("#neighbors") == "No text fits the search."
    small.pick(search="#29")
    assert [row[0] for row in listed(small)] == [28]
    assert small.text("#neighbors h3").startswith("Text 29:")


def test_of_parallel_texts_the_title_says_which_model_read_which(small: Shown) -> None:
    assert " reading " not in small.text("#pair-title")
    small.pick(texts=PARALLEL)
    left, right = small.text("#pair-title").split(" × ")
    assert left.endswith(f" reading {LEFT_TEXTS}")
    assert right.endswith(f" reading {RIGHT_TEXTS}")


def test_a_search_of_parallel_texts_finds_either_side(small: Shown) -> None:
    small.pick(texts=PARALLEL)
    small.pick(search="deutsch text 17")
    assert [row[0] for row in listed(small)] == [17]


def test_a_neighbor_leads_to_its_own_neighbors(small: Shown) -> None:
    small.pick(search="topic 4")
    third = neighbors(small, "right")[2][0]
    small.page.locator("#neighbors ol[data-side=right] li").nth(2).locator("button").click()
    small.settle()
    assert small.text("#neighbors h3").startswith(f"Text {third + 1}:")
    assert small.page.input_value("#search") == ""
    rows, _, _ = lists_of(small, (MARKUP, BOLD, SHEET, 3, 5, K))
    assert [row[0] for row in neighbors(small, "left")] == rows[third].tolist()


def test_arrow_keys_walk_through_the_texts(small: Shown) -> None:
    small.page.locator("#text-list button").first.focus()
    for key, place in (
        ("ArrowDown", 1),
        ("ArrowDown", 2),
        ("ArrowUp", 1),
        ("ArrowUp", 0),
        ("ArrowUp", 0),
    ):
        small.page.keyboard.press(key)
        small.settle()
        number = listed(small)[place][0] + 1
        assert re.match(rf"Text {number}:", small.text("#neighbors h3"))


def test_harmful_texts_stand_there_letter_by_letter(small: Shown) -> None:
    small.pick(order="number")
    quotes = small.page.locator("#text-list .quote").all_text_contents()
    assert quotes[: len(HARMFUL)] == [text[:CUT] for text in HARMFUL]


def test_where_a_text_is_cut_the_page_says_so(small: Shown) -> None:
    small.pick(order="number")
    told = f"The first 1,000 of {len(LONG):,} characters:"
    for text, is_cut in ((HARMFUL.index(LONG), True), (0, False)):
        small.page.locator(f"#text-list [data-text='{text}']").click()
        small.settle()
        assert small.text("#neighbors h3").startswith(f"Text {text + 1}:")
        assert small.text(".chosen-text").startswith(told) == is_cut
    assert "Search sees the first 1,000 characters of a text." in small.text("#text-count")
