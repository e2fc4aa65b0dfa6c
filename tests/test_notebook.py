"""What notebooks show: read as a browser reads it, with html.parser, and decoded with another PNG reader."""

import base64
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

import isodepth
from isodepth.activations.result import Activations, ExtractionOptions
from isodepth.affinity import AffinityMatrices, AffinityMatrix, affinity_matrix, all_affinities
from isodepth.assessment import (
    AssessmentOptions,
    PairAssessment,
    StudyAssessment,
    TextSetAssessment,
    assess_pair,
    assess_text_set,
)
from isodepth.comparison import Comparison
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.notebook import MOST_ROWS, SIDE, array_picture, card, escaped, path_picture, table
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from isodepth.statistics import depth_map
from isodepth.texts import ParallelTexts, TextSet
from test_imports import modules_after

MARKUP = "<script>alert(1)</script>\"'&amp; <img src=x onerror=alert(2)> $x^2$ 模型 \N{SLIGHTLY SMILING FACE}"
VOID = {"img", "rect", "path", "polygon", "polyline"}
ALLOWED = {"div", "b", "span", "table", "tbody", "tr", "th", "td", "svg", *VOID}
KIND = MatrixKind("mutual_knn", 5)


class Reader(HTMLParser):
    """What a browser makes of the markup: elements with attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def image(markup: str) -> np.ndarray:
    (source,) = [found["src"] for tag, found in Reader(markup).elements if tag == "img"]
    assert source is not None
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    pixels = matplotlib.image.imread(io.BytesIO(data), format="png")[..., :3]
    return np.rint(pixels * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def neighbors() -> list[Neighbors]:
    """Three models, named after markup, that share a path; of 61 texts."""
    rng = np.random.default_rng(5)
    stations = rng.normal(size=(7, 61, 4))
    found = []
    for name, n_layers in ((MARKUP, 13), ("b" * 90, 7), ("third", 11)):
        near = np.exp(-((np.linspace(0, 6, n_layers)[:, None] - np.arange(7)) ** 2))
        values = np.einsum("ls,stf->ltf", near, stations) + 0.3 * rng.normal(size=(n_layers, 61, 4))
        found.append(replace(nearest_neighbors(values, k=10), model=name, texts_digest="digest"))
    return found


@pytest.fixture(scope="module")
def quick() -> AssessmentOptions:
    return AssessmentOptions(n_permutations=39, n_resamples=101, seed=7)


@pytest.fixture(scope="module")
def pair(neighbors: list[Neighbors], quick: AssessmentOptions) -> PairAssessment:
    left, right, _ = neighbors
    matrix = affinity_matrix(left, right, k=5)
    return assess_pair(replace(matrix, texts=MARKUP), left=left, right=right, options=quick)


@pytest.fixture(scope="module")
def matrices(neighbors: list[Neighbors]) -> AffinityMatrices:
    return replace(all_affinities(neighbors, k=5), texts=MARKUP)


@pytest.fixture(scope="module")
def text_set(matrices: AffinityMatrices) -> TextSetAssessment:
    return assess_text_set(MARKUP, KIND, matrices)


@pytest.fixture(scope="module")
def shown(
    neighbors: list[Neighbors],
    matrices: AffinityMatrices,
    pair: PairAssessment,
    text_set: TextSetAssessment,
    quick: AssessmentOptions,
) -> dict[str, str]:
    """The HTML of one of each kind of result, all with markup in their names."""
    texts = TextSet.of([MARKUP, "two", "three " * 100], name=MARKUP)
    results = TextSetResults(name=MARKUP, matrices={KIND: matrices})
    options = ExtractionOptions()
    activations = Activations(
        values=np.zeros((3, 5, 7), np.float32),
        model=MARKUP,
        texts=MARKUP,
        model_digest="",
        texts_digest="",
        options=options,
    )
    comparison = Comparison(
        affinity=pair.matrix,
        assessment=pair,
        texts=ParallelTexts.of(texts, texts),
        left=neighbors[0],
        right=neighbors[1],
        left_options=options,
        right_options=options,
        from_store=(),
    )
    found = [
        *(pair, pair.matrix, pair.decision, pair.depth_map, pair.profile, pair.profile["on_minus_off"]),
        *(comparison, matrices, text_set, neighbors[0], texts, activations, results),
        StudyAssessment(name=MARKUP, sets=(text_set,), options=quick),
        StudyResults(name=MARKUP, sets={MARKUP: results}, manifest={"missing": [{"reason": MARKUP}]}),
    ]
    return {type(one).__name__: one._repr_html_() for one in found}


def test_every_kind_of_result_shows_itself(shown: dict[str, str]):
    assert len(shown) == 15
    for name, markup in shown.items():
        assert Reader(markup).text.startswith(name)


def test_names_with_markup_are_text_wherever_they_stand(shown: dict[str, str]):
    nameless = {"Decision", "DiagonalityProfile", "Estimate"}
    for name, markup in shown.items():
        read = Reader(markup)
        assert {tag for tag, _ in read.elements} <= ALLOWED, name
        assert (MARKUP in read.text) == (name not in nameless), name
        attributes = {attribute for _, found in read.elements for attribute in found}
        assert not [attribute for attribute in attributes if attribute.startswith("on")], name


def test_nothing_is_fetched_and_nothing_runs(shown: dict[str, str]):
    for name, markup in shown.items():
        for tag, found in Reader(markup).elements:
            assert not {"href", "srcset", "data"} & set(found), name
            assert "url(" not in (found.get("style") or ""), name
            if tag == "img":
                assert (found["src"] or "").startswith("data:image/png;base64,")


def test_dollar_signs_in_names_are_kept_from_math(shown: dict[str, str]):
    for markup in shown.values():
        first, attributes = Reader(markup).elements[0]
        assert first == "div"
        assert attributes["class"] == "mathjax_ignore tex2jax_ignore"


def test_text_has_the_color_of_the_notebook(shown: dict[str, str]):
    for markup in shown.values():
        for _, found in Reader(markup).elements:
            style = found.get("style") or ""
            assert not re.search(r"(^|;)color:", style)
            assert set(re.findall(r"background:([a-z-]+)", style)) <= {"none", "linear-gradient"}
            assert {found.get("stroke"), found.get("fill")} <= {None, "none", "currentColor"}


def test_half_of_a_surrogate_pair_does_not_break_the_notebook():
    assert escaped("a\ud800<") == "a?&lt;"
    assert "a?" in card("Neighbors", "a\ud800").encode().decode()


def test_a_matrix_shows_chance_scale_and_key_numbers(pair: PairAssessment):
    matrix = pair.matrix
    read = Reader(matrix._repr_html_()).text
    row, column = np.argwhere(matrix.values == matrix.values.max())[0]
    assert f"{matrix.values.max():.3f}, of layer {row + 1} of {MARKUP} and layer {column + 1}" in read
    assert f"{matrix.values.mean():.3f}" in read
    assert "similarity 0\n" in read
    assert f"{matrix.values.max():.3g}; chance 0.083" in read
    assert "0.0833" in read
    assert "mutual_knn, k = 5" in read
    assert f"61 of {MARKUP}" in read
    assert "13 × 7" in read


def test_the_picture_of_a_matrix_is_the_matrix(pair: PairAssessment):
    picture = image(pair.matrix._repr_html_())
    cell = SIDE // 13
    assert picture.shape == (13 * cell, 7 * cell, 3)
    brightness = picture[::-1].astype(int).sum(axis=2)[cell // 2 :: cell, cell // 2 :: cell]
    order = np.argsort(brightness.reshape(-1), kind="stable")
    values = pair.matrix.values.reshape(-1)[order]
    # 64 levels: what is darker is at most one level more similar
    assert (np.maximum.accumulate(values) - values).max() <= values.max() / 63


def test_chance_is_not_stated_where_it_is_not_known(pair: PairAssessment):
    read = Reader(replace(pair.matrix, measure="cka")._repr_html_()).text
    assert "not known for this measure" in read
    assert "; chance" not in read


def test_a_large_matrix_stays_small(rng: np.random.Generator):
    for n_layers, most in ((80, 40_000), (500, 100_000)):
        matrix = AffinityMatrix(
            values=rng.uniform(size=(n_layers, n_layers)),
            left="l" * 300,
            right="r" * 300,
            measure="mutual_knn",
            k=7,
            n_texts=1013,
        )
        markup = matrix._repr_html_()
        assert len(markup.encode()) < most
        assert ("averaged to 240 × 240 cells" in markup) == (n_layers > SIDE)
        assert max(image(markup).shape) == SIDE


@pytest.mark.parametrize("shape", [(1, 1), (1, 53), (61, 2)])
@pytest.mark.parametrize("level", [0.0, 0.3, np.nan, -0.2])
def test_odd_matrices_show_themselves(shape: tuple[int, int], level: float):
    matrix = AffinityMatrix(
        values=np.full(shape, level), left="a", right="b", measure="mutual_knn", k=7, n_texts=1013
    )
    markup = matrix._repr_html_()
    assert f"{shape[0]} × {shape[1]}" in Reader(markup).text
    assert len(np.unique(image(markup).reshape(-1, 3), axis=0)) == 1
    assert ("highest similarity" in markup) == np.isfinite(level)


def test_a_pair_says_its_verdict_and_means_with_intervals(pair: PairAssessment):
    assert pair.decision is not None
    markup = pair._repr_html_()
    read = Reader(markup).text
    assert f"{pair.decision.verdict}: {pair.decision.sentence}" in read
    for part in ("on_mean", "off_mean", "on_minus_off", "weakest_part"):
        assert f"{pair.profile[part]}\n" in read
        assert "[" in str(pair.profile[part])
    assert str(pair.depth_map.departure.signed) in read
    assert "Intervals: 95 %, 61 texts resampled." in read
    assert "within the white line: the generalized diagonal" in read
    assert (image(markup) == 255).all(axis=2).any()


def test_an_outline_that_would_hide_its_cells_is_left_out():
    for n_layers in (48, 49):
        matrix = AffinityMatrix(
            values=np.eye(n_layers), left="a", right="b", measure="mutual_knn", k=7, n_texts=1013
        )
        markup = assess_pair(matrix)._repr_html_()
        assert ("within the white line" in markup) == (n_layers == 48)
        assert (image(markup) == 255).all(axis=2).any() == (n_layers == 48)


def test_a_pair_from_a_matrix_alone_says_that_there_are_no_intervals(pair: PairAssessment):
    read = Reader(assess_pair(pair.matrix)._repr_html_()).text
    assert "From the matrix alone: no intervals." in read
    unknown = Reader(assess_pair(replace(pair.matrix, measure="cka"))._repr_html_()).text
    assert "no decision: the chance level of this measure is not known" in unknown


def test_a_comparison_shows_what_its_pair_does(shown: dict[str, str]):
    assert shown["Comparison"].replace("Comparison", "PairAssessment", 1) == shown["PairAssessment"]


def test_all_pairs_show_models_and_the_scale_of_different_ones(matrices: AffinityMatrices):
    markup = matrices._repr_html_()
    read = Reader(markup).text
    assert "3 pairs of models" in read
    assert f"{'b' * 79}… (7), third (11)" in read
    highest = max(one.values.max() for one in matrices.pairs())
    assert highest < matrices.values.max() == 1
    assert f"{highest:.3g}; chance 0.083" in read
    cell = SIDE // 31
    assert image(markup).shape == (31 * cell + 2, 31 * cell + 2, 3)


def test_no_cell_of_an_array_is_of_two_models(rng: np.random.Generator):
    layers = (3, 401, 89, 7)
    models = np.repeat(np.arange(4), layers)
    values = np.where(models[:, None] == models, 0.0, 1.0)
    markup = array_picture(values, left_layers=layers, right_layers=layers, is_symmetric=False)
    colors = {tuple(color) for color in np.unique(image(markup).reshape(-1, 3), axis=0).tolist()}
    assert colors == {(0, 0, 4), (252, 255, 164), (128, 128, 128)}
    assert "averaged to" in markup


def test_matrices_without_models_show_no_picture():
    none = AffinityMatrices(
        values=np.zeros((0, 0)),
        left=(),
        right=(),
        left_layers=(),
        right_layers=(),
        is_symmetric=True,
        measure="mutual_knn",
        k=7,
        n_texts=1013,
    )
    assert "<img" not in none._repr_html_()


def rows_of(markup: str) -> Iterator[list[str]]:
    for row in re.findall(r"<tr.*?</tr>", markup):
        yield re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)


def test_a_text_set_shows_each_of_few_pairs(text_set: TextSetAssessment):
    found = list(rows_of(text_set._repr_html_()))
    header = found.index(["left", "right", "on minus off", "highest", "verdict"])
    lines = found[header + 1 :]
    assert [line[:2] for line in lines] == [
        [escaped(one.matrix.left), escaped(one.matrix.right)] for one in text_set.pairs
    ]
    for line, one in zip(lines, text_set.pairs, strict=True):
        assert one.decision is not None
        assert line[2] == str(one.profile["on_minus_off"])
        assert line[4] == one.decision.verdict


def test_of_many_pairs_the_extremes_are_shown(text_set: TextSetAssessment):
    many = replace(text_set, pairs=text_set.pairs * 5)
    found = [row for row in rows_of(many._repr_html_()) if row[0] in ("lowest", "highest")]
    values = [one.profile["on_minus_off"].value for one in text_set.pairs]
    assert [row[3] for row in found] == [f"{min(values):.3f}", f"{max(values):.3f}"]
    assert "15 pairs of models" in many._repr_html_()


def test_a_depth_map_draws_its_path_and_says_whether_to_trust_it(rng: np.random.Generator):
    markup = depth_map(np.eye(5))._repr_html_()
    (line,) = [found for tag, found in Reader(markup).elements if tag == "polyline"]
    points = np.array([point.split(",") for point in (line["points"] or "").split()], dtype=float)
    middles = (np.arange(5) + 0.5) * SIDE / 5
    np.testing.assert_allclose(points, np.stack([middles, SIDE - middles], axis=1))
    assert "Not to be trusted" not in markup
    assert "shaded" not in markup
    noise = depth_map(rng.uniform(size=(31, 29)))
    assert noise.match_disagreement > 0.1
    assert "Not to be trusted: most similar layers lie further than 0.1" in noise._repr_html_()


def test_a_band_is_drawn_from_end_to_end():
    low, high = np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0, 2.0])
    path = np.array([[1, 1], [2, 1], [3, 2]])
    markup = path_picture(path, (3, 2), left="a", right="b", band=(low, high), band_name="95 % band")
    (shape,) = [found for tag, found in Reader(markup).elements if tag == "polygon"]
    points = np.array([point.split(",") for point in (shape["points"] or "").split()], dtype=float)
    unit = SIDE / 3
    np.testing.assert_allclose(points[:, 0], (np.array([1, 1, 2, 2, 2, 1]) - 0.5) * unit)
    np.testing.assert_allclose(points[:, 1], SIDE - (np.array([1, 2, 3, 3, 2, 1]) - 0.5) * unit)
    assert "shaded: 95 % band" in Reader(markup).text


def test_a_decision_shows_the_parts_of_a_ridge(pair: PairAssessment):
    assert pair.decision is not None
    markup = pair.decision._repr_html_()
    assert len(list(rows_of(markup))) == 1 + len(pair.decision.parts) == 8
    assert "By texts; error rate 0.05." in markup
    alone = assess_pair(pair.matrix).decision
    assert alone is not None
    assert "By the matrix alone; error rate 0.05." in alone._repr_html_()


def test_an_estimate_says_how_its_interval_was_made(pair: PairAssessment):
    estimate = pair.profile["on_minus_off"]
    read = Reader(estimate._repr_html_()).text
    assert f"{estimate} of 61 texts" in read
    assert f"95 % {estimate.method}" in read


def test_texts_are_shortened_and_counted():
    texts = TextSet.of([f"text {number} " + "long\n" * 99 for number in range(7)], name="mine")
    found = list(rows_of(texts._repr_html_()))
    shown = found[found.index(["text", "begins with"]) + 1 :]
    assert [number for number, _ in shown] == ["1", "2", "3", "4", "5"]
    for place, (_, text) in enumerate(shown):
        assert text == (f"text {place} " + "long " * 99)[:199] + "…"
    assert ["texts", "7"] in found


def test_long_tables_say_how_much_they_leave_out():
    rows = [(str(number), "value") for number in range(MOST_ROWS + 1003)]
    found = list(rows_of(table(rows)))
    assert len(found) == MOST_ROWS + 1
    assert found[-1] == ["and 1,003 more"]


def test_results_say_what_is_missing(shown: dict[str, str]):
    assert "1 thing missing: see .missing" in shown["StudyResults"]
    row = [escaped(MARKUP), "mutual_knn, k = 5, capture block, pooling last", "61", "3", "3", "31 × 31"]
    assert list(rows_of(shown["TextSetResults"]))[1:] == [row]
    assert list(rows_of(shown["StudyResults"]))[1:] == [row]


def test_showing_a_matrix_imports_neither_matplotlib_nor_plotly_nor_torch():
    code = (
        "import numpy as np, isodepth\n"
        "matrix = isodepth.AffinityMatrix(values=np.eye(5), left='a', right='b', measure='mutual_knn', "
        "k=3, n_texts=7)\nassert '<img' in matrix._repr_html_()"
    )
    assert modules_after(code).isdisjoint({"matplotlib", "plotly", "torch", "jinja2", "transformers"})


def test_all_results_that_matrices_lead_to_can_be_shown():
    names = ("AffinityMatrix", "AffinityMatrices", "Comparison", "PairAssessment", "TextSetAssessment")
    names += ("StudyAssessment", "StudyResults", "DepthMap", "DiagonalityProfile", "Decision")
    names += ("Estimate", "Neighbors", "Activations", "TextSet")
    assert [name for name in names if not hasattr(getattr(isodepth, name), "_repr_html_")] == []
