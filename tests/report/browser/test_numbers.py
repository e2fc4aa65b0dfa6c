"""What the page draws and says are the numbers of the Python interface."""

import re
from collections.abc import Iterator

import numpy as np
import pytest

from isodepth.statistics import TEST_METHODS, permutation_null
from isodepth.statistics.permutation import PermutationNull
from isodepth.statistics.profile_names import PROFILE_NAMES
from report.browser.conftest import Shown
from report.browser.made_reports import BOLD, FORMULA, LAYERS, MARKUP, PARALLEL, SHEET, K, said

Chosen = tuple[str, str, str]
CHOSEN = pytest.mark.parametrize(
    "chosen",
    [(MARKUP, BOLD, SHEET), (MARKUP, FORMULA, BOLD), (PARALLEL, BOLD, FORMULA)],
    ids=["stored", "turned", "parallel"],
)


def null_of(shown: Shown, chosen: Chosen, k: int) -> PermutationNull:
    """Return similarities and chance of two models, from their neighbors."""
    left, right = shown.made.neighbors(*chosen)
    return permutation_null(left.ids[:, :, :k], right.ids[:, :, :k])


@pytest.fixture(autouse=True)
def _nothing_complains(small: Shown) -> Iterator[None]:
    small.pick(texts=MARKUP, k=K, values="raw")
    yield
    assert small.problems == []


@pytest.mark.parametrize(
    ("chosen", "k"),
    [
        ((MARKUP, BOLD, FORMULA), 5),
        ((MARKUP, SHEET, BOLD), 5),
        ((MARKUP, FORMULA, FORMULA), 1),
        ((MARKUP, BOLD, SHEET), 20),
        ((PARALLEL, FORMULA, SHEET), 1),
        ((PARALLEL, BOLD, FORMULA), 5),
    ],
    ids=["stored", "turned", "itself", "not among the results", "parallel", "parallel, other"],
)
def test_every_cell_of_the_matrix_is_that_of_the_python_interface(
    small: Shown, chosen: Chosen, k: int
) -> None:
    name, left, right = chosen
    small.pick(texts=name, left=left, right=right, k=k)
    null = null_of(small, chosen, k)
    for scale, values in (
        ("raw", small.made.matrices(name, k)[left, right].values),
        ("z", null.z()),
        ("calibrated", null.calibrated()),
    ):
        small.pick(values=scale)
        drawn = small.plotted()
        np.testing.assert_allclose(np.array(drawn["z"]), values, rtol=1e-6, atol=1e-6)
        assert drawn["x"] == list(range(1, LAYERS[right] + 1))
        assert drawn["y"] == list(range(1, LAYERS[left] + 1))


@CHOSEN
def test_a_cell_under_the_pointer_tells_its_numbers(small: Shown, chosen: Chosen) -> None:
    name, left, right = chosen
    small.pick(texts=name, left=left, right=right)
    null = null_of(small, chosen, K)
    place = np.unravel_index(int(null.z().argmin()), null.values.shape)
    low, high = small.made.intervals(*chosen)
    label = small.point_at(int(place[0]), int(place[1]))
    small.page.wait_for_timeout(200)  # curves beside the matrix are drawn anew; the label must stay
    assert label.all_text_contents() == [
        f"layer {place[0] + 1} of {left} (depth {said((place[0] + 1) / LAYERS[left], 2)})",
        f"layer {place[1] + 1} of {right} (depth {said((place[1] + 1) / LAYERS[right], 2)})",
        f"similarity {said(null.values[place])} [{said(low[place])}, {said(high[place])}]",
        f"chance {said(null.mean, 4)}, z {said(null.z()[place], 1)}",
        f"calibrated {said(null.calibrated()[place])}",
    ]
    np.testing.assert_allclose(small.plotted(trace=1)["y"], null.values[place[0]], rtol=1e-6)
    np.testing.assert_allclose(small.plotted(trace=2)["x"], null.values[:, place[1]], rtol=1e-6)
    small.page.mouse.move(5, 5)
    small.page.wait_for_timeout(100)
    np.testing.assert_allclose(small.plotted(trace=1)["y"], null.values.max(axis=0), rtol=1e-6)


@CHOSEN
def test_the_chosen_cell_and_pair_are_told_in_numbers(small: Shown, chosen: Chosen) -> None:
    name, left, right = chosen
    small.pick(texts=name, left=left, right=right, layers=(2, 4))
    null, (low, high) = null_of(small, chosen, K), small.made.intervals(*chosen)
    assert small.text("#cell-similarity") == (
        f"{said(null.values[1, 3])} [{said(low[1, 3])}, {said(high[1, 3])}]"
    )
    assert small.text("#cell-chance") == said(null.mean, 4)
    assert small.text("#cell-z") == said(null.z()[1, 3], 1)
    assert small.text("#cell-calibrated") == said(null.calibrated()[1, 3])
    pair, is_turned = small.made.pair(*chosen)
    profile, departure = pair.profile, pair.depth_map.departure.signed
    ends = (departure.value, departure.low, departure.high)
    if is_turned:
        ends = (-departure.value, -departure.high, -departure.low)
    told = dict(
        zip(
            small.page.locator("#pair-list dt").all_text_contents(),
            small.page.locator("#pair-list dd").all_text_contents(),
            strict=True,
        )
    )
    for words, part in (("on the generalized diagonal", "on_mean"), ("off it", "off_mean")):
        found = profile[part]
        assert told[words] == f"{said(found.value)} [{said(found.low)}, {said(found.high)}]"
    expected = f"{said(ends[0])} [{said(ends[1])}, {said(ends[2])}]"
    assert told["departure from proportional depth (+: right deeper)"] == expected
    over_all = said(pair.over_all.p_value)
    assert told["the same, over all pairs of models"] == over_all
    assert told["disagreement of map and best matches"] == said(pair.depth_map.match_disagreement)
    sentence = pair.decision.sentence
    if is_turned:  # what it says of the left model is true of the one that is now on the right
        turned = {"left model's": "right model's", "right model's": "left model's"}
        sentence = re.sub("(left|right) model's", lambda side: turned[side.group()], sentence)
    assert small.text("#verdict").startswith(sentence)
    mapped = (pair.depth_map.right_to_left if is_turned else pair.depth_map.left_to_right).layer
    line = small.plotted(trace=len(small.page.evaluate("document.getElementById('matrix').data")) - 1)
    np.testing.assert_allclose(line["x"], mapped, rtol=1e-6)


def test_the_slider_of_k_goes_through_all_numbers_of_neighbors(small: Shown) -> None:
    small.pick(left=BOLD, right=SHEET, layers=(3, 5))
    assert small.ks() == [1, 2, 5, 10, 20]
    for k in reversed(small.ks()):
        small.pick(k=k)
        matrix = small.made.matrices(MARKUP, k)[BOLD, SHEET]
        assert small.text("#cell-similarity").split()[0] == said(matrix.values[2, 4])
        assert small.text("#cell-chance") == said(matrix.chance, 4)
        assert f"a text's {k} nearest neighbors" in small.text("#cell-summary")
        note = f"(Verdict, intervals and depth map are those of k = {K}.)"
        assert (note in small.text("#verdict")) == (k != K)


def test_views_over_all_pairs_draw_the_numbers_of_all_pairs(small: Shown) -> None:
    small.pick(texts=MARKUP, left=BOLD, right=SHEET, k=K)
    small.see_all_pairs()
    drawn = small.page.evaluate(
        "document.getElementById('contrast').data.flatMap(({x, y}) => x.map((one, i) => [one, y[i]]))"
    )
    expected = [
        [pair.profile["off_mean"].value, pair.profile["on_mean"].value]
        for pair in small.made[MARKUP].pairs
    ]
    # the chosen pair is marked once more over all others
    np.testing.assert_allclose(sorted(drawn[:-1]), sorted(expected), rtol=1e-6)
    profile = small.made.pair(MARKUP, BOLD, SHEET)[0].profile
    assert drawn[-1] == pytest.approx([profile["off_mean"].value, profile["on_mean"].value])
    for place in ("#tree-caption", "#zoo caption"):
        assert f"k = {K}" in small.text(place)
    square = small.made[MARKUP].mean_square
    assert np.array(small.plotted("square")["z"]).mean() == pytest.approx(
        square.values.mean(), rel=1e-3
    )
    tree = small.made[MARKUP].tree
    heights = small.plotted("tree")["x"]
    assert sorted(set(heights) - {None, 0}) == pytest.approx(sorted(tree.linkage[:, 2]))


@pytest.mark.parametrize("k", [1, K])
def test_lines_of_most_similar_layers_are_of_the_chosen_k(small: Shown, k: int) -> None:
    small.pick(texts=MARKUP, left=BOLD, right=SHEET, k=k)
    small.see_all_pairs()
    values = small.made.matrices(MARKUP, k)[BOLD, SHEET].values
    forth, back = (small.plotted("match-depth", trace) for trace in (1, 2))
    assert forth["x"] == pytest.approx((np.arange(LAYERS[BOLD]) + 1) / LAYERS[BOLD])
    assert forth["y"] == pytest.approx((values.argmax(axis=1) + 1) / LAYERS[SHEET])
    assert back["y"] == pytest.approx((values.argmax(axis=0) + 1) / LAYERS[BOLD])
    best = small.plotted("match-similarity", 2)["y"]
    assert best == pytest.approx(values.max(axis=0))


def test_the_table_holds_each_pair_s_tests(small: Shown) -> None:
    rows = small.page.locator("#table tbody tr")
    assert rows.count() == len(small.made[MARKUP].pairs) == 3
    for place in range(3):
        cells = rows.nth(place).locator("td").all_inner_texts()
        pair, _ = small.made.pair(MARKUP, cells[0], cells[1])
        for text, part in ((cells[3], "on_mean"), (cells[4], "off_mean"), (cells[5], "on_minus_off")):
            found = pair.profile[part]
            assert text == f"{said(found.value)} [{said(found.low)}, {said(found.high)}]"
        assert cells[2] == pair.decision.verdict
        assert float(cells[7]) == pytest.approx(pair.decision.p_shared, abs=5e-4)
        assert set(pair.tests) == set(TEST_METHODS)
    zoo = small.page.locator("#zoo tbody tr td:first-child").all_inner_texts()
    assert zoo == [PROFILE_NAMES[part] for part in small.made[MARKUP].zoo]
    for row, test in enumerate(small.made[MARKUP].zoo.values()):
        mean = small.page.locator("#zoo tbody tr").nth(row).locator("td").nth(1).inner_text()
        assert mean == f"{said(test.mean.value)} [{said(test.mean.low)}, {said(test.mean.high)}]"
