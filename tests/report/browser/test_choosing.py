"""By mouse, by keys, by the address: what is chosen is shown, everywhere."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from isodepth.statistics import permutation_null
from report.browser.conftest import Opener, Shown
from report.browser.made_reports import (
    BOLD,
    FORMULA,
    LAYERS,
    MARKUP,
    PARALLEL,
    SHEET,
    K,
    Made,
    directed_report,
)

LABELS = list(LAYERS)


@pytest.fixture(autouse=True)
def _nothing_complains(small: Shown) -> Iterator[None]:
    small.pick(
        texts=MARKUP,
        left=BOLD,
        right=SHEET,
        k=K,
        values="raw",
        layers=(3, 5),
        order="most",
        search="",
    )
    yield
    small.page.mouse.move(2, 2)
    assert small.problems == []


def chosen_pair(small: Shown) -> tuple[str, str]:
    """Return the chosen models; that all parts of the page show the same ones is asserted."""
    controls = small.chosen()
    left, right = controls["#left"], controls["#right"]
    assert small.page.locator("#pair-title bdi:not(.read)").all_text_contents() == [left, right]
    assert [small.plotted()[axis][-1] for axis in "yx"] == [LAYERS[left], LAYERS[right]]
    rows = small.page.locator("#table tr.chosen")
    if left != right and controls["#set"] == MARKUP:
        assert set(rows.locator("td").all_inner_texts()[:2]) == {left, right}
    return left, right


def chosen_cell(small: Shown) -> tuple[int, int]:
    """Return the chosen layers, from 1; that all parts of the page show the same ones is asserted."""
    controls = small.chosen()
    left, right = int(controls["#left-layer"]), int(controls["#right-layer"])
    frame = small.page.evaluate("document.getElementById('matrix').layout.shapes[0]")
    assert [frame[side] for side in ("y0", "x0")] == [left - 0.5, right - 0.5]
    said = small.page.locator("#cell-numbers strong").all_text_contents()
    assert said == [f"layer {left}", f"layer {right}"]
    assert small.text("#cell-summary").startswith(f"Layer {left} of ")
    return left, right


def block(small: Shown, left: str, right: str) -> tuple[float, float]:
    """Return where on the screen the middle of a block of the array is: the first model at the bottom."""
    # not merely into view: the bar that stays may lie over it
    small.page.evaluate("document.getElementById('array-blocks').scrollIntoView({block: 'center'})")
    box = small.page.locator("#array-blocks").bounding_box()
    unit, bottom = 9, 3
    below = sum(LAYERS[label] for label in LABELS[: LABELS.index(left)]) + LAYERS[left] / 2
    beside = sum(LAYERS[label] for label in LABELS[: LABELS.index(right)]) + LAYERS[right] / 2
    total, margin = sum(LAYERS.values()), box["width"] - sum(LAYERS.values()) * unit - 10
    return box["x"] + margin + beside * unit, box["y"] + bottom + (total - below) * unit


def test_a_click_on_a_cell_of_the_matrix_chooses_it(small: Shown) -> None:
    for cell in ((0, 0), (6, 10), (1, 8)):
        small.click_cell(*cell)
        assert chosen_cell(small) == (cell[0] + 1, cell[1] + 1)
    assert chosen_pair(small) == (BOLD, SHEET)


def test_no_click_on_a_cell_is_lost_however_soon_it_comes_after_the_pointer(small: Shown) -> None:
    for row, column in 3 * [(0, 0), (3, 4), (1, 2), (2, 0)]:
        small.page.mouse.click(*small.cell_at(row, column))
        small.settle()
        assert chosen_cell(small) == (row + 1, column + 1)


def test_a_click_on_a_block_of_the_array_chooses_its_models(small: Shown) -> None:
    for left, right in ((FORMULA, SHEET), (SHEET, FORMULA), (BOLD, BOLD), (BOLD, FORMULA)):
        small.page.mouse.move(*block(small, left, right))
        told = small.text(".tip").split("\n")
        assert told[0] == f"{left} (up) × {right} (right)"
        assert told[1] == (
            "a model with itself"
            if left == right
            else small.made.pair(MARKUP, left, right)[0].decision.verdict
        )
        small.page.mouse.click(*block(small, left, right))
        small.settle()
        assert chosen_pair(small) == (left, right)
        bar = small.page.locator("#choice").bounding_box()
        title = small.page.locator("#pair-title").bounding_box()
        assert bar["y"] + bar["height"] <= title["y"] < 300  # in sight, not behind the bar that stays
    small.page.mouse.move(2, 2)


def test_a_block_s_numbers_say_of_which_k_they_are_where_its_colors_are_of_another(
    small: Shown,
) -> None:
    words = f"these numbers are of k = {K}, colors of k = "
    for k in (1, K):
        small.pick(k=k)
        small.page.mouse.move(*block(small, BOLD, SHEET))
        assert (f"{words}{k}" in small.text(".tip")) == (k != K)
        small.page.mouse.move(2, 2)


def test_arrow_keys_walk_through_the_array(small: Shown) -> None:
    small.pick(left=BOLD, right=BOLD)
    small.page.locator("#array-blocks").focus()
    for key, left, right in (
        ("ArrowDown", 0, 0),
        ("ArrowRight", 0, 1),
        ("ArrowUp", 1, 1),
        ("ArrowUp", 2, 1),
        ("ArrowUp", 2, 1),
        ("ArrowLeft", 2, 0),
    ):
        small.page.keyboard.press(key)
        small.settle()
        assert chosen_pair(small) == (LABELS[left], LABELS[right])
    small.page.keyboard.press("Enter")
    assert small.page.evaluate("document.activeElement.id") == "matrix"


def test_arrow_keys_walk_through_the_matrix(small: Shown) -> None:
    small.pick(layers=(7, 1))
    small.page.locator("#matrix").focus()
    for key, cell in (
        ("ArrowUp", (7, 1)),
        ("ArrowLeft", (7, 1)),
        ("ArrowRight", (7, 2)),
        ("ArrowDown", (6, 2)),
    ):
        small.page.keyboard.press(key)
        small.settle()
        assert chosen_cell(small) == cell
    assert small.page.evaluate("document.activeElement.id") == "matrix"


def test_keys_that_come_faster_than_drawing_all_count(small: Shown) -> None:
    small.pick(layers=(1, 1))
    small.page.evaluate(
        """() => {
            const press = (key) => document.getElementById("matrix").dispatchEvent(new KeyboardEvent("keydown", {key}));
            for (let time = 0; time < 4; time += 1) press("ArrowRight");
            press("ArrowUp");
        }"""
    )
    small.settle()
    assert chosen_cell(small) == (2, 5)


def test_layers_that_are_written_beyond_the_ends_are_the_ends(small: Shown) -> None:
    for written, expected in (("99", 7), ("-3", 1), ("", 1), ("2.6", 3)):
        small.page.fill("#left-layer", written)
        small.page.press("#left-layer", "Tab")
        small.settle()
        assert chosen_cell(small) == (expected, 5)


def test_a_row_of_the_table_chooses_its_models(small: Shown) -> None:
    row = small.page.locator("#table tbody tr", has_text=FORMULA).filter(has_text=SHEET)
    row.locator("button").click()
    small.settle()
    assert set(chosen_pair(small)) == {FORMULA, SHEET}


def test_another_text_set_is_shown_everywhere(small: Shown) -> None:
    small.pick(texts=PARALLEL)
    assert small.page.locator("#left option").all_text_contents() == [BOLD, FORMULA]
    assert small.page.locator("#right option").all_text_contents() == [FORMULA, SHEET]
    assert small.page.locator("#table tbody tr").count() == 4
    assert chosen_pair(small) in {(BOLD, FORMULA), (BOLD, SHEET)}
    assert small.page.locator("#order").is_hidden()  # there is no tree of models on different texts
    assert "<b>a note</b>" in small.text("#set-notes")
    assert small.page.locator("#text-list button").first.get_attribute("aria-pressed") == "true"
    small.pick(texts=MARKUP)
    assert small.page.locator("#right option").all_text_contents() == LABELS


def test_the_order_of_likeness_and_equal_squares_move_blocks_and_keep_the_choice(small: Shown) -> None:
    before = small.page.locator("#array-blocks").bounding_box()
    small.page.locator("#order label:has(input[value=tree])").click()
    small.settle()
    assert chosen_pair(small) == (BOLD, SHEET)
    small.page.locator("#sizes label:has(input[value=equal])").click()
    small.settle()
    after = small.page.locator("#array-blocks").bounding_box()
    assert after["width"] != before["width"]
    order = small.made[MARKUP].tree.order
    small.page.locator("#array-blocks").focus()
    for _ in order:
        small.page.keyboard.press("ArrowLeft")
        small.page.keyboard.press("ArrowDown")
        small.settle()
    assert chosen_pair(small) == (order[0], order[0])
    for name, value in (("order", "given"), ("sizes", "layers")):
        small.page.locator(f"#{name} label:has(input[value={value}])").click()
        small.settle()


def test_lines_over_the_matrix_come_and_go(small: Shown) -> None:
    traces = "document.getElementById('matrix').data.length"
    for box, drawn in (("#show-map", 4), ("#show-diagonal", 1), ("#show-matches", 2)):
        before = small.page.evaluate(traces)
        was_on = small.page.locator(box).is_checked()
        small.page.locator(box).click()
        small.settle()
        assert small.page.evaluate(traces) - before == (-drawn if was_on else drawn)
        small.page.locator(box).click()
        small.settle()
        assert small.page.evaluate(traces) == before


def test_the_key_has_the_colors_of_the_lines_on_every_scale(small: Shown) -> None:
    color = """(kind) => {
        const mark = document.querySelector(`#matrix-key .${kind}`);
        return getComputedStyle(mark, "::after").borderTopColor;
    }"""
    found = {}
    for scale in ("raw", "z"):
        small.pick(values=scale)
        kinds = ("above", "beside", "map", "diagonal")
        found[scale] = [small.page.evaluate(color, kind) for kind in kinds]
    assert len(set(found["raw"])) == 4
    assert found["z"][:3] == found["raw"][:3]
    assert found["z"][3] == "rgb(0, 0, 0)"  # z is white at chance, where a white line would not be seen


def test_on_paper_it_still_says_what_is_shown(small: Shown) -> None:
    small.page.emulate_media(media="print")
    try:
        for part in ("#choice", "#matrix-key", "#pair-numbers .hint", "#table caption"):
            assert small.page.locator(part).is_visible(), part
        assert small.page.locator("#downloads").is_hidden()
    finally:
        small.page.emulate_media(media="screen")


def test_on_paper_the_views_over_all_pairs_are_there_though_nobody_scrolled(
    opener: Opener, small_made: Made
) -> None:
    page = opener(small_made, viewport={"width": 1280, "height": 300})
    place = page.page.locator("#all")
    assert place.get_attribute("aria-busy") == "true"
    drawn = page.page.evaluate(
        """() => {
            dispatchEvent(new Event("beforeprint"));
            return ["match-depth", "contrast", "profile", "tree"].map((id) => Boolean(document.querySelector(`#${id} svg`)));
        }"""
    )
    assert drawn == [True] * 4
    page.page.wait_for_selector("#all:not([aria-busy])", state="attached")
    assert page.problems == []
    page.page.context.close()


def test_the_table_is_sorted_by_any_column_and_filtered(small: Shown) -> None:
    pairs = small.made[MARKUP].pairs
    for column, keys in (
        ("on", [pair.profile["on_mean"].value for pair in pairs]),
        ("departure, either way", [pair.depth_map.departure.absolute.value for pair in pairs]),
        ("p: no ridge through depth", [pair.decision.p_depth for pair in pairs]),
    ):
        known = [key for key in keys if key is not None]
        for descending in (True, False):
            head = small.page.locator("#table th", has=small.page.get_by_text(column, exact=True))
            head.locator("button").click()
            assert head.get_attribute("aria-sort") == ("descending" if descending else "ascending")
            lines = small.page.locator("#table tbody tr")
            found = []
            for place in range(lines.count()):
                left, right = lines.nth(place).locator("td").all_inner_texts()[:2]
                found.append(keys[pairs.index(small.made.pair(MARKUP, left, right)[0])])
            assert found[: len(known)] == sorted(known, reverse=descending)
            assert found[len(known) :] == [None] * (
                len(keys) - len(known)
            )  # what is missing stands last
    assert None in keys
    small.page.fill("#filter", "HYPERLINK")
    small.settle()
    lines = small.page.locator("#table tbody tr").all_inner_texts()
    assert len(lines) == 2
    assert all(SHEET in line for line in lines)
    assert small.text("#table caption").startswith("2 of 3 pairs")
    small.page.fill("#filter", "no model is called so")
    small.settle()
    assert small.page.locator("#table tbody tr").count() == 0
    small.page.fill("#filter", "")
    small.settle()


def downloaded(small: Shown, name: str) -> list[dict[str, str]]:
    with small.page.expect_download() as caught:
        small.page.locator(f"#downloads [data-download={name}]").click()
    path = caught.value.path()
    assert caught.value.suggested_filename.endswith(f"-{name}.csv")
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))


def test_downloads_hold_the_numbers(small: Shown) -> None:
    small.pick(left=SHEET, right=BOLD, k=1)
    sheet = f"'{SHEET}"  # what a spreadsheet would run is quoted
    matrix = small.made.matrices(MARKUP, 1)[SHEET, BOLD]
    left, right = small.made.neighbors(MARKUP, SHEET, BOLD)
    null = permutation_null(left.ids[:, :, :1], right.ids[:, :, :1])
    rows = downloaded(small, "matrix")
    assert [(row["left"], row["right"], row["k"]) for row in rows] == [(sheet, BOLD, "1")] * 77
    assert [(row["left_layer"], row["right_layer"]) for row in rows] == [
        (str(i + 1), str(j + 1)) for i in range(11) for j in range(7)
    ]
    for column, values in (
        ("similarity", matrix.values),
        ("z", null.z()),
        ("calibrated", null.calibrated()),
    ):
        found = [float(row[column]) for row in rows]
        assert found == pytest.approx(values.ravel().tolist(), rel=1e-6)
    assert float(rows[12]["left_depth"]) == pytest.approx(2 / 11)
    assert len(downloaded(small, "layers")) == 7 * 5 + 7 * 11 + 5 * 11

    pair, is_turned = small.made.pair(MARKUP, SHEET, BOLD)
    assert is_turned
    rows = downloaded(small, "map")
    assert [row["from"] for row in rows] == [sheet] * 11 + [BOLD] * 7
    assert [row["from_side"] for row in rows] == ["left"] * 11 + ["right"] * 7
    assert {row["k"] for row in rows} == {str(K)}  # of the map, not of the matrix that is shown
    sides = (pair.depth_map.right_to_left, pair.depth_map.left_to_right)
    for column, name in (("to_layer", "layer"), ("similarity", "similarity"), ("to_last", "last")):
        values = [value for side in sides for value in getattr(side, name)]
        assert [float(row[column]) for row in rows] == pytest.approx(values, rel=1e-6)

    pairs = small.made[MARKUP].pairs
    rows = downloaded(small, "pairs")
    assert [row["verdict"] for row in rows] == [one.decision.verdict for one in pairs]
    assert {row["basis"] for row in rows} == {"texts"}
    found = [float(row["departure_absolute"]) for row in rows]
    assert found == pytest.approx([one.depth_map.departure.absolute.value for one in pairs])
    assert [row["p_depth"] for row in rows].count("") == 2  # a model of 5 layers is too shallow
    found = [float(row["p_student"]) for row in rows]
    assert found == pytest.approx([one.tests["student"].p_value for one in pairs])
    rows = downloaded(small, "profile")
    estimates = [(name, one) for pair in pairs for name, one in pair.profile.estimates.items()]
    assert [row["part"] for row in rows] == [name for name, _ in estimates]
    for column, name in (("estimate", "value"), ("low", "low"), ("high", "high")):
        found = [float(row[column]) if row[column] else None for row in rows]
        assert found == pytest.approx([getattr(one, name) for _, one in estimates])


def test_of_a_directed_measure_either_order_of_two_models_has_its_own_numbers(
    opener: Opener, tmp_path: Path
) -> None:
    made = directed_report(tmp_path)
    page = opener(made)
    matrices = made["plain"].matrices
    for left, right in ((BOLD, FORMULA), (FORMULA, BOLD)):
        page.pick(left=left, right=right)
        values = matrices[left, right].values
        np.testing.assert_allclose(np.array(page.plotted()["z"]), values, rtol=1e-6)
        rows = page.page.locator("#table tr.chosen")
        assert [row.locator("td").all_inner_texts()[:2] for row in rows.all()] == [[left, right]]
        page.see_all_pairs()
        forth, back = (page.plotted("match-depth", trace) for trace in (1, 2))
        assert page.page.evaluate("document.getElementById('match-depth').data.length") == 3
        assert forth["y"] == pytest.approx((values.argmax(axis=1) + 1) / LAYERS[right])
        assert back["y"] == pytest.approx((values.argmax(axis=0) + 1) / LAYERS[left])
        told = downloaded(page, "matrix")
        assert {(row["left"], row["right"], row["k"]) for row in told} == {(left, right, "")}
        found = np.array([float(row["similarity"]) for row in told]).reshape(values.shape)
        np.testing.assert_allclose(found, values, rtol=1e-12)
    assert page.page.locator("#table tbody tr").count() == 6
    assert {row["k"] for row in downloaded(page, "pairs")} == {""}
    assert page.problems == []


def test_the_address_leads_back_to_the_choice(small: Shown, opener: Opener, small_made: Made) -> None:
    small.pick(texts=PARALLEL, left=FORMULA, right=SHEET, k=1, values="z", layers=(4, 9))
    small.page.wait_for_url("**/*layers=4%2C9*values=z*")
    address = "#" + small.page.url.split("#")[1]
    other = opener(small_made, address=address)
    assert other.chosen() == small.chosen()
    assert chosen_cell(other) == (4, 9)
    assert chosen_pair(other) == (FORMULA, SHEET)
    other.go(f"#texts=0&k=5&left={quote(BOLD)}&right={quote(BOLD)}&layers=2,3")
    assert chosen_pair(other) == (BOLD, BOLD)  # a model with itself is a choice, too
    assert chosen_cell(other) == (2, 3)
    before = other.chosen()
    other.go("#pair")
    assert other.chosen() == before
    other.go("#texts=7&k=99&left=nobody&right=&layers=1,x&values=none")
    assert other.chosen()["#set"] == MARKUP
    assert other.chosen()["#k-value"] == str(K)
    assert other.problems == []
    other.page.context.close()
