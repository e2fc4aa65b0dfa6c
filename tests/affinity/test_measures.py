from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import isodepth.affinity.measures as measures_module
from isodepth.affinity import MEASURES, Measure, affinity_matrix, all_affinities, measure_named
from isodepth.affinity.measures import (
    chance_level,
    check_measure,
    known_measures,
    measure_identity,
    measure_title,
)
from isodepth.errors import ActivationsError, ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors, nearest_neighbors
from model_measures import of_models


@pytest.fixture
def models(make_neighbors: Callable[..., Neighbors]) -> list[Neighbors]:
    return [make_neighbors(name, n) for name, n in (("first", 5), ("second", 3), ("third", 7))]


@pytest.fixture
def layers(rng: np.random.Generator) -> list[np.ndarray]:
    """Return the activations of three models, with other numbers of layers and units."""
    return [rng.normal(size=(n, 13, units)) for n, units in ((5, 7), (3, 11), (2, 5))]


def jaccard(left: np.ndarray, right: np.ndarray) -> float:
    """Return the mean share of common neighbors in all that either of two layers names."""
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return float(np.mean([len({*a} & {*b}) / len({*a} | {*b}) for a, b in pairs]))


def nearest_is_named(left: np.ndarray, right: np.ndarray) -> float:
    """Return how often the right layer names the left layer's nearest: not symmetric."""
    return float((left[:, :1] == right).any(axis=1).mean())


def mean_cosine(left: np.ndarray, right: np.ndarray) -> float:
    """Return how alike the mean lengths of all texts are, whatever the units."""
    ours, theirs = np.linalg.norm(left, axis=1), np.linalg.norm(right, axis=1)
    return float(ours @ theirs / np.sqrt((ours @ ours) * (theirs @ theirs)))


def cellwise(function: Callable[..., float], left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.array([[function(one, other) for other in right] for one in left])


# a function of two layers


def test_a_function_of_two_layers_serves_one_pair_and_all(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    monkeypatch.setitem(MEASURES, "mine", Measure.of(jaccard, title="mine", reads="neighbors"))
    one_side = all_affinities(models, measure="mine", k=5)
    two_sides = all_affinities(models[:2], right=models[1:], measure="mine", k=5)
    assert (one_side.measure, one_side.is_symmetric, one_side.k) == ("mine", True, 5)
    for matrices in (one_side, two_sides):
        for matrix in matrices.pairs():
            left, right = (next(m for m in models if m.model == n) for n in (matrix.left, matrix.right))
            expected = cellwise(jaccard, left.ids[:, :, :5], right.ids[:, :, :5])
            np.testing.assert_array_equal(matrix.values, expected)
            pair = affinity_matrix(left, right, measure="mine", k=5)
            np.testing.assert_array_equal(pair.values, expected)
    np.testing.assert_array_equal(one_side.values, one_side.values.T)


def test_a_function_of_activations_needs_no_neighbors(
    monkeypatch: pytest.MonkeyPatch, layers: list[np.ndarray]
):
    monkeypatch.setitem(MEASURES, "lengths", Measure.of(mean_cosine, title="lengths"))
    matrix = affinity_matrix(layers[0], layers[1], measure="lengths")
    np.testing.assert_array_equal(matrix.values, cellwise(mean_cosine, layers[0], layers[1]))
    assert (matrix.k, matrix.metric, matrix.preprocessing) == (0, None, "none")
    assert matrix.measured_by == "lengths"
    prepared = affinity_matrix(layers[0], layers[1], measure="lengths", preprocessing="center")
    centered = [values - values.mean(axis=1, keepdims=True) for values in layers[:2]]
    np.testing.assert_allclose(prepared.values, cellwise(mean_cosine, *centered), rtol=1e-12)
    assert prepared.measured_by == "lengths, after center"


def test_states_are_made_once_a_layer_and_each_unordered_pair_is_measured_once(
    layers: list[np.ndarray],
):
    made, measured = [], []

    def lengths(layer: np.ndarray) -> np.ndarray:
        made.append(layer.shape)
        return np.linalg.norm(layer, axis=1)

    def product(one: np.ndarray, other: np.ndarray) -> float:
        measured.append(1)
        return float(one @ other)

    measure = Measure.of(product, state=lengths, title="products of lengths")
    values = measure.all_values(layers, None, 0)
    assert made == [values.shape[1:] for values in layers for _ in values]
    n_layers = len(made)
    assert values.shape == (n_layers, n_layers) == (10, 10)
    n_to_check_symmetry = 1
    assert len(measured) == n_layers * (n_layers + 1) // 2 + n_to_check_symmetry
    np.testing.assert_array_equal(values, values.T)
    made.clear()
    measured.clear()
    between = measure.all_values(layers[:1], layers[1:], 0)
    assert (between.shape, len(made), len(measured)) == ((5, 5), 10, 25)
    np.testing.assert_array_equal(between, values[:5, 5:])


def test_a_measure_that_tells_left_from_right_has_both_directions(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    directed = Measure.of(nearest_is_named, title="named", reads="neighbors", is_symmetric=False)
    monkeypatch.setitem(MEASURES, "named", directed)
    matrices = all_affinities(models, measure="named")
    for left in models:
        for right in models:
            expected = cellwise(nearest_is_named, left.ids, right.ids)
            np.testing.assert_array_equal(matrices[left.model, right.model].values, expected)
    assert not np.array_equal(matrices.values, matrices.values.T)


@pytest.mark.parametrize("n_models", [1, 3])
def test_a_function_that_tells_left_from_right_is_not_mirrored_if_it_does_not_say_so(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors], n_models: int
):
    hidden = Measure.of(nearest_is_named, title="named", reads="neighbors")
    monkeypatch.setitem(MEASURES, "named", hidden)
    with pytest.raises(ParameterError) as caught:
        all_affinities(models[:n_models], measure="named")
    assert caught.value.message == (
        "named is not symmetric: exchanging two layers changes its value "
        f"from {nearest_is_named(models[0].ids[0], models[n_models - 1].ids[-1]):.6g} "
        f"to {nearest_is_named(models[n_models - 1].ids[-1], models[0].ids[0]):.6g}"
    )
    assert caught.value.hint == "say so: Measure.of(..., is_symmetric=False)."


def test_rounding_is_no_direction_and_nan_no_difference(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    first, last = models[0].ids[0], models[-1].ids[-1]

    def rounded(left: np.ndarray, right: np.ndarray) -> float:
        if left is right:
            return np.nan
        return jaccard(left, right) + 1e-14 * left[0, 0]

    monkeypatch.setitem(MEASURES, "rounded", Measure.of(rounded, title="rounded", reads="neighbors"))
    values = MEASURES["rounded"].all_values([one.ids for one in models], None, 0)
    assert np.isnan(np.diag(values)).all()
    assert values[0, -1] == values[-1, 0] == pytest.approx(jaccard(first, last))


def test_a_measure_that_is_called_takes_k_from_the_lists_and_refuses_another(models: list[Neighbors]):
    mutual, cknna = MEASURES["mutual_knn"], MEASURES["cknna"]
    left, right = models[0].ids[:, :, :4], models[1].ids[:, :, :4]
    np.testing.assert_array_equal(mutual(left, right), affinity_matrix(*models[:2], k=4).values)
    with pytest.raises(ParameterError, match="expected lists of k = 3 neighbors on both sides; got 4"):
        mutual(left, right, 3)
    with pytest.raises(ParameterError, match="expected lists of k = 4 neighbors .*; got 4, 5"):
        mutual(left, models[1].ids[:, :, :5])
    with pytest.raises(ParameterError, match="CKNNA takes k, the number of neighbors; got k = 0"):
        cknna(np.ones((1, 5, 2)), np.ones((1, 5, 2)))


def test_neighbors_that_were_found_after_other_steps_are_not_taken_for_them(layers: list[np.ndarray]):
    found = nearest_neighbors(layers[0], 3, preprocessing="center")
    same = affinity_matrix(found, found, preprocessing="center")
    assert same.preprocessing == "center"
    with pytest.raises(ParameterError) as caught:
        affinity_matrix(found, found, preprocessing="unit_norm")
    assert (
        "'unit_norm' was asked for; these neighbors were found after 'center'" in caught.value.message
    )


def test_what_is_entered_from_python_has_a_key_that_changes_with_its_code(
    monkeypatch: pytest.MonkeyPatch,
):
    def one(left: np.ndarray, right: np.ndarray) -> float:
        return float(left.mean() - right.mean())

    def other(left: np.ndarray, right: np.ndarray) -> float:
        return float(left.mean() + right.mean())

    identities = []
    for function in (one, one, other):
        monkeypatch.setitem(MEASURES, "mine", Measure.of(function, title="mine"))
        identities.append(measure_identity("mine"))
    assert identities[0] == identities[1] != identities[2]
    monkeypatch.setitem(MEASURES, "cka", Measure.of(one, title="mine"))
    assert measure_identity("cka").startswith("cka entered from Python, code ")
    assert measure_identity("jaccard_knn") == "jaccard_knn"
    assert Measure.of(one, title="mine").lowest == -np.inf


# what a measure may be


def test_what_is_no_measure_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    with pytest.raises(UnknownNameError) as caught:
        affinity_matrix(models[0], models[1], measure="mutal_knn")
    assert caught.value.message.startswith("measure must be one of mutual_knn")
    assert "got 'mutal_knn'" in caught.value.message
    assert caught.value.hint.startswith("did you mean mutual_knn")
    for name in ("Mutual", "", "a/b", "x" * 61, "1st"):
        with pytest.raises(ParameterError, match="lowercase letters, digits and underscores"):
            check_measure(name)
    with pytest.raises(
        ParameterError, match="a measure reads one of neighbors, activations; got 'ids'"
    ):
        Measure.of(jaccard, title="x", reads="ids")
    with pytest.raises(ParameterError, match="invariances must be among rotation, .*; got color"):
        Measure.of(jaccard, title="x", invariances=frozenset({"color", "scale"}))


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (np.zeros((5, 4)), r"got float64 of shape \(5, 4\)"),
        (np.zeros((5, 3), np.float32), r"got float32 of shape \(5, 3\)"),
        (0.5, r"got float of shape \(\)"),
    ],
)
def test_a_measure_that_returns_something_else_is_named(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors], returned: object, said: str
):
    wrong = Measure(title="x", all_values=lambda *_: returned, reads="neighbors")
    monkeypatch.setitem(MEASURES, "wrong", wrong)
    with pytest.raises(ParameterError, match=said) as caught:
        affinity_matrix(models[0], models[1], measure="wrong")
    assert caught.value.message.startswith(
        "the measure wrong must return float64 of (layers_left, layers_right) = (5, 3)"
    )


def test_values_that_are_not_finite_are_refused_with_measure_models_and_layers(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    given = np.zeros((5, 3))
    given[1, 2], given[4, 0] = np.nan, np.inf
    holes = Measure(title="x", all_values=lambda *_: given, reads="neighbors")
    monkeypatch.setitem(MEASURES, "holes", holes)
    with pytest.raises(ParameterError) as caught:
        affinity_matrix(models[0], models[1], measure="holes")
    left, right = models[0].model, models[1].model
    assert caught.value.message == (
        "the measure holes must return finite similarities; got "
        f"layer 2 of {left} and layer 3 of {right}: nan, layer 5 of {left} and layer 1 of {right}: inf"
    )


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ("similarity", "the measure my own failed on {0}, layer 1 and {1}, layer 2: KeyError: 'x'"),
        ("nothing", "the measure my own failed on {0}, layer 1 and {1}, layer 1: TypeError: "),
        ("state", "the measure my own failed on {0}, layer 2: ZeroDivisionError: "),
        ("whole", "the measure mine failed on {0}, {1}: AttributeError: "),
    ],
)
def test_a_measure_that_fails_is_named_with_its_layers(
    monkeypatch: pytest.MonkeyPatch, layers: list[np.ndarray], failing: str, said: str
):
    seen = []

    def similarity(left: np.ndarray, right: np.ndarray) -> float | None:
        seen.append(right)
        if failing == "similarity" and len(seen) == 2:
            raise KeyError("x")
        return None if failing == "nothing" else 0.5

    def state(layer: np.ndarray) -> np.ndarray:
        seen.append(layer)
        if failing == "state" and len(seen) == 2:
            return layer / (1 // 0)
        return layer

    used = Measure.of(
        similarity, title="my own", state=state if failing == "state" else None, is_symmetric=False
    )
    if failing == "whole":
        used = Measure(title="my own", all_values=lambda left, *_: left.nothing)
    monkeypatch.setitem(MEASURES, "mine", used)
    with pytest.raises(ParameterError) as caught:
        affinity_matrix(layers[0], layers[1], measure="mine")
    assert caught.value.message.startswith(said.format("left", "right"))
    assert isinstance(caught.value.__cause__, (KeyError, TypeError, ZeroDivisionError, AttributeError))


def test_a_chance_level_that_fails_is_said(monkeypatch: pytest.MonkeyPatch):
    broken = Measure.of(np.dot, title="x", chance=lambda n_texts, k: 1 / (n_texts - 7))
    monkeypatch.setitem(MEASURES, "broken", broken)
    assert chance_level("broken", 9, 0) == 0.5
    with pytest.raises(ParameterError, match="broken does not tell .* for 7 texts and k = 0: Zero"):
        chance_level("broken", 7, 0)


def test_a_measure_gets_what_it_reads(layers: list[np.ndarray], models: list[Neighbors]):
    with pytest.raises(ParameterError) as caught:
        all_affinities(models, measure="cka")
    assert caught.value.message.count("linear CKA reads activations") == len(models)
    assert "keep.activations" in caught.value.hint
    with pytest.raises(
        ParameterError, match="mutual k-NN reads neighbors.*left holds activations"
    ) as one:
        affinity_matrix(layers[0], layers[1])
    assert one.value.hint == "nearest_neighbors(activations, k) gives them."


def test_neighbors_by_another_distance_or_after_other_steps_are_not_compared(layers: list[np.ndarray]):
    cosine = nearest_neighbors(layers[0], 3)
    euclidean = nearest_neighbors(layers[1], 3, "euclidean")
    centered = nearest_neighbors(layers[1], 3, preprocessing="center")
    for other, what in ((euclidean, "metric"), (centered, "preprocessing")):
        with pytest.raises(ParameterError, match=f"must have the same {what}"):
            affinity_matrix(cosine, other)
    both = affinity_matrix(nearest_neighbors(layers[0], 3, "euclidean"), euclidean)
    assert both.measured_by == "mutual_knn, k = 3, euclidean"


def test_values_that_are_not_finite_are_named_with_model_layer_and_text(layers: list[np.ndarray]):
    layers[1][2, 4, 1] = np.nan
    with pytest.raises(ActivationsError, match="right, layer 3: NaN or infinite .* in text 5 "):
        affinity_matrix(layers[0], layers[1], measure="cka")


# packages' measures


PACKAGE = """
import numpy as np
from isodepth.affinity import Measure

def lengths(left, right):
    return float(np.linalg.norm(left) / (np.linalg.norm(left) + np.linalg.norm(right)))

ours = Measure.of(lengths, title="share of the length", is_symmetric=False, version=3)
nothing = 7
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Return a function that installs a package with these entry points."""
    (tmp_path / "measures_of_others.py").write_text(PACKAGE)
    info = tmp_path / "measures_of_others-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: measures-of-others\nVersion: 1.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(entries: dict[str, str]) -> None:
        lines = [f"{name} = {where}" for name, where in entries.items()]
        (info / "entry_points.txt").write_text("\n".join(["[isodepth.measures]", *lines, ""]))

    return install


def test_a_package_brings_measures_as_functions_or_whole(
    package: Callable[[dict[str, str]], None], layers: list[np.ndarray]
):
    package({"share": "measures_of_others:ours", "share_of_length": "measures_of_others:lengths"})
    assert isinstance(known_measures()["share"], EntryPoint)
    matrix = affinity_matrix(layers[0], layers[1], measure="share")
    expected = np.linalg.norm(layers[0][1]) / (
        np.linalg.norm(layers[0][1]) + np.linalg.norm(layers[1][2])
    )
    assert matrix.values[1, 2] == pytest.approx(expected, rel=1e-14)
    assert measure_title("share_of_length") == "share of length"
    assert measure_identity("share") == "share version 3 of measures-of-others 1.5"
    assert measure_identity("mutual_knn") == "mutual_knn"


def test_a_package_does_not_take_the_place_of_a_measure_that_is_there(
    package: Callable[[dict[str, str]], None],
):
    package({"mutual_knn": "measures_of_others:ours"})
    assert measure_named("mutual_knn") is MEASURES["mutual_knn"]


def test_what_a_package_brings_and_is_no_measure_is_said(
    package: Callable[[dict[str, str]], None],
):
    package({"nothing": "measures_of_others:nothing", "gone": "measures_of_nobody:lost"})
    with pytest.raises(ParameterError) as caught:
        measure_named("nothing")
    assert caught.value.message == (
        "the measure 'nothing' of measures-of-others 1.5 must be a Measure or a function of two layers' "
        "activations; got int"
    )
    with pytest.raises(ParameterError, match="cannot be loaded: No module named 'measures_of_nobody'"):
        measure_named("gone")
    assert chance_level("gone", 10, 2) is None
    assert measure_title("gone") == "gone"


def test_every_measure_says_where_it_comes_from_and_what_it_costs():
    for name, measure in MEASURES.items():
        assert measures_module.NAME.fullmatch(name)
        assert min(len(measure.source), len(measure.cost)) > 20, name
    titles = [measure.title for measure in MEASURES.values()]
    assert len(set(titles)) == len(titles)


def test_a_measure_of_pairs_of_models_gets_each_unordered_pair_once(
    monkeypatch: pytest.MonkeyPatch, models: list[Neighbors]
):
    sizes = []

    def counting(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        sizes.append((len(left), len(right)))
        return np.zeros((len(left), len(right)))

    monkeypatch.setitem(MEASURES, "counting", of_models(counting))
    all_affinities(models, measure="counting", k=2)
    assert sorted(sizes) == [(3, 3), (3, 7), (5, 3), (5, 5), (5, 7), (7, 7)]
