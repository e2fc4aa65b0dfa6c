"""Of a measure with values below 0, and without a known spread, the page shows all and claims no more."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import StudyAssessment, assess_text_set
from isodepth.report import report_payload, write_page
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from report.browser.conftest import Opener, Shown
from report.browser.made_reports import OPTIONS, Made, said

LAYERS = {"one": 7, "two": 5, "three": 11}
KIND = MatrixKind("cka_debiased", 0)


def below_report(folder: Path) -> Made:
    """Write a report of 3 models by debiased CKA; all values of the first two models lie below 0."""
    values = np.random.default_rng(37).uniform(-0.4, 0.3, size=(sum(LAYERS.values()),) * 2)
    values[:7, 7:12] -= 0.5
    values = np.triu(values) + np.triu(values, 1).T
    matrices = AffinityMatrices(
        values=values,
        left=tuple(LAYERS),
        right=tuple(LAYERS),
        left_layers=tuple(LAYERS.values()),
        right_layers=tuple(LAYERS.values()),
        is_symmetric=True,
        measure=KIND.measure,
        k=KIND.k,
        n_texts=61,
        metric=None,
    )
    one = assess_text_set("plain", KIND, matrices, options=OPTIONS)
    assessed = StudyAssessment(name="tiny", sets=(one,), options=OPTIONS)
    results = StudyResults(
        name="tiny", sets={"plain": TextSetResults(name="plain", matrices={KIND: matrices})}
    )
    payload = report_payload(assessed, results=results)
    path = write_page(folder / "below.html", payload)
    return Made(path=path, payload=payload, assessed=assessed, evidence={})


@pytest.fixture(scope="module")
def below(opener: Opener, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return opener(below_report(tmp_path_factory.mktemp("below")))


def ends(shown: Shown, plot: str, names: str) -> Any:
    """Return what plotly was told of where colors or axes begin and end."""
    return shown.page.evaluate(
        f"(id) => (({{data, layout}}) => {names})(document.getElementById(id))", plot
    )


def test_colors_begin_at_the_lowest_similarity(below: Shown) -> None:
    pairs = [pair.matrix.values for pair in below.made["plain"].pairs]
    lowest, highest = min(one.min() for one in pairs), max(one.max() for one in pairs)
    scale = below.text("#array-scale")
    assert f"similarity {said(lowest)}" in scale
    assert f"{said(highest)}, the highest of two different models" in scale
    black = below.page.evaluate(
        "() => { const {data} = document.getElementById('array-blocks').getContext('2d')"
        ".getImageData(60, 0, 500, 100); let n = 0; for (let i = 0; i < data.length; i += 4)"
        " n += data[i + 3] > 0 && data[i] + data[i + 1] < 8 && data[i + 2] < 12; return n; }"
    )
    assert black < 50_000 / 10  # where negative ones are cut off, half of it
    for left, right in (("one", "two"), ("one", "three")):
        below.pick(left=left, right=right)
        values = below.made.pair("plain", left, right)[0].matrix.values
        found = ends(below, "matrix", "[data[0].zmin, data[0].zmax]")
        np.testing.assert_allclose(found, (values.min(), values.max()), atol=1e-6)
        assert ends(below, "matrix", "layout.yaxis2.range")[0] < values.min()
    below.page.locator("#same-scale").check()
    below.settle()
    np.testing.assert_allclose(
        ends(below, "matrix", "[data[0].zmin, data[0].zmax]"), (lowest, highest), atol=1e-6
    )


def test_axes_hold_what_lies_below_0(below: Shown) -> None:
    below.see_all_pairs()
    estimates = [pair.profile.estimates for pair in below.made["plain"].pairs]
    lowest = min(one[part].value for one in estimates for part in ("on_mean", "off_mean"))
    assert lowest < 0
    for axis in ("xaxis", "yaxis"):
        assert ends(below, "contrast", f"layout.{axis}.range")[0] < lowest
    matched = min(pair.matches.left_similarity.min() for pair in below.made["plain"].pairs)
    assert ends(below, "match-similarity", "layout.yaxis.range")[0] <= matched < 0
    square = np.array(below.plotted("square")["z"])
    assert ends(below, "square", "data[0].zmin") == square.min() < 0
    assert f"colors {said(square.min())} to {said(max(square.max(), 0))}" in below.text(
        "#square-caption"
    )


def test_it_does_not_offer_what_is_of_mutual_nearest_neighbors_alone(below: Shown) -> None:
    assert below.text("#texts-none") == "Which texts agree is told of mutual k-NN alone."
    assert not below.page.locator("#cell-numbers button, #cell-z").count()
    heads = below.page.locator("#table th").all_inner_texts()
    assert "on − off" in heads
    assert not {"verdict", "p: nothing shared", "p: no ridge through depth"} & set(heads)
    assert "no ridge ran through" not in below.text("#pair-numbers")
    assert "strays by chance is not known, so there is no verdict" in below.text("#verdict")
    assert below.problems == []
