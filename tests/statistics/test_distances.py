import itertools
from dataclasses import replace

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError
from isodepth.statistics.alignment import best_path
from isodepth.statistics.diagonal import generalized_diagonal
from isodepth.statistics.distances import PATHS, ModelDistances, model_distances, resampled_distances

LAYERS = (7, 5, 11, 3)
MODELS = ("one", "two", "three", "four")


def matrices_of(values: np.ndarray, layers: tuple[int, ...] = LAYERS, **changes) -> AffinityMatrices:
    models = changes.pop("models", MODELS[: len(layers)])
    values = (values + values.T) / 2
    np.fill_diagonal(values, 1.0)
    fields = {"is_symmetric": True, "measure": "mutual_knn", "k": 10, "n_texts": 101} | changes
    return AffinityMatrices(
        values=values, left=models, right=models, left_layers=layers, right_layers=layers, **fields
    )


@pytest.fixture
def matrices(rng: np.random.Generator) -> AffinityMatrices:
    return matrices_of(rng.uniform(0.1, 0.9, size=(sum(LAYERS), sum(LAYERS))))


@pytest.mark.parametrize("by", sorted(PATHS))
def test_distances_are_symmetric_and_zero_only_to_oneself(matrices: AffinityMatrices, by: str):
    found = model_distances(matrices, by=by)
    assert isinstance(found, ModelDistances)
    assert (found.models, found.by, found.chance) == (MODELS, by, 0.1)
    np.testing.assert_array_equal(found.values, found.values.T)
    np.testing.assert_array_equal(np.diagonal(found.values), 0)
    assert (found.values[~np.eye(4, dtype=bool)] > 0.1).all()


@pytest.mark.parametrize("by", ["path", "proportional"])
def test_a_duplicate_of_a_model_is_at_distance_zero(rng: np.random.Generator, by: str):
    single = rng.uniform(0.1, 0.9, size=(7 + 5, 7 + 5))
    single = (single + single.T) / 2
    np.fill_diagonal(single, 1.0)
    order = [*range(7), *range(7), *range(7, 12)]
    found = model_distances(matrices_of(single[np.ix_(order, order)], (7, 7, 5)), by=by).values
    assert found[0, 1] == 0.0
    assert found[0, 2] == found[1, 2] > 0


def test_a_distance_is_one_minus_the_calibrated_similarity_along_the_correspondence(
    matrices: AffinityMatrices,
):
    found = {by: model_distances(matrices, by=by, chance=0.25).values for by in PATHS}
    for i, j in itertools.combinations(range(4), 2):
        values = matrices[MODELS[i], MODELS[j]].values
        path = best_path(values)
        total = weights = 0.0
        for step, cell in enumerate(path):
            weight = 2 if step == 0 else int((cell - path[step - 1]).sum())
            total += weight * values[tuple(cell)]
            weights += weight
        assert found["path"][i, j] == pytest.approx(1 - (total / weights - 0.25) / 0.75)
        on = values[generalized_diagonal(*values.shape)].mean()
        assert found["diagonal"][i, j] == pytest.approx(1 - (on - 0.25) / 0.75)
        assert found["path"][i, j] <= found["proportional"][i, j]


@pytest.mark.parametrize("by", sorted(PATHS))
def test_of_a_directed_measure_the_distance_is_the_mean_of_both_orders(by: str):
    values = np.random.default_rng(3).uniform(size=(12, 12))
    directed = replace(matrices_of(values, (7, 5)), values=values, measure="ridge_to_right", k=0)
    found = model_distances(directed, by=by, chance=0.25).values
    upper = np.triu(np.ones((12, 12), dtype=bool))
    forth, back = (
        model_distances(matrices_of(np.where(upper, one, one.T), (7, 5)), by=by, chance=0.25).values
        for one in (values, values.T)
    )
    np.testing.assert_allclose(found, (forth + back) / 2, rtol=1e-12)
    assert forth[0, 1] != back[0, 1]


@pytest.mark.parametrize("by", sorted(PATHS))
def test_similarities_at_chance_are_at_distance_one(by: str):
    level = matrices_of(np.full((12, 12), 10 / 100), (7, 5))
    assert model_distances(level, by=by).values[0, 1] == pytest.approx(1.0)


def test_the_order_of_the_models_only_reorders_the_distances(matrices: AffinityMatrices):
    places = np.split(np.arange(sum(LAYERS)), np.cumsum(LAYERS)[:-1])
    order = [2, 0, 3, 1]
    rows = np.concatenate([places[model] for model in order])
    moved = matrices_of(
        matrices.values[np.ix_(rows, rows)],
        tuple(LAYERS[model] for model in order),
        models=tuple(MODELS[model] for model in order),
    )
    np.testing.assert_allclose(
        model_distances(moved).values, model_distances(matrices).values[np.ix_(order, order)]
    )


def test_a_similarity_that_rounding_took_above_one_is_no_negative_distance():
    values = np.full((12, 12), 1 + 1e-12)
    assert model_distances(matrices_of(values, (7, 5))).values[0, 1] == 0.0


def test_a_single_model_is_at_no_distance():
    assert model_distances(matrices_of(np.zeros((7, 7)), (7,))).values.tolist() == [[0.0]]


@pytest.mark.parametrize("by", sorted(PATHS))
def test_resampled_distances_are_those_of_each_resample(
    rng: np.random.Generator, matrices: AffinityMatrices, by: str
):
    noise = [rng.uniform(-0.1, 0.1, size=(13, *pair.values.shape)) for pair in matrices.pairs()]
    pairs = list(matrices.pairs())
    found = resampled_distances(
        (pair.values + part for pair, part in zip(pairs, noise, strict=True)), matrices, by=by
    )
    assert found.shape == (13, 4, 4)
    for resample in (0, 7, 12):
        values = matrices.values.copy()
        edges = np.concatenate([[0], np.cumsum(LAYERS)])
        for (i, j), part in zip(itertools.combinations(range(4), 2), noise, strict=True):
            rows, columns = slice(*edges[i : i + 2]), slice(*edges[j : j + 2])
            values[rows, columns] += part[resample]
            values[columns, rows] += part[resample].T
        np.testing.assert_allclose(
            found[resample], model_distances(matrices_of(values), by=by).values, rtol=1e-9
        )


# errors


def test_parallel_texts_are_refused():
    matrices = AffinityMatrices(
        values=np.zeros((7, 5)),
        left=("english",),
        right=("german",),
        left_layers=(7,),
        right_layers=(5,),
        is_symmetric=False,
        measure="mutual_knn",
        k=10,
        n_texts=101,
    )
    with pytest.raises(ParameterError) as caught:
        model_distances(matrices)
    assert caught.value.message == (
        "distances between models need matrices of the same models left and right, on the same texts; "
        "got english (left) against german (right)"
    )
    assert "all_affinities of a single text set" in caught.value.hint


def test_an_unknown_path_is_an_error_with_the_known_ones(matrices: AffinityMatrices):
    with pytest.raises(ParameterError) as caught:
        model_distances(matrices, by="ridge")
    assert caught.value.message == "by must be one of path, proportional, diagonal; got 'ridge'"


def test_other_measures_need_their_chance_level():
    matrices = matrices_of(np.full((12, 12), 0.4), (7, 5), measure="cka")
    with pytest.raises(ParameterError) as caught:
        model_distances(matrices)
    assert caught.value.message == "the chance level of 'cka' is not known"
    assert caught.value.hint == "pass chance=, the mean similarity of unrelated layers."
    assert model_distances(matrices, chance=0.0).values[0, 1] == pytest.approx(0.6)


def test_with_all_texts_as_neighbors_nothing_can_be_told():
    with pytest.raises(ParameterError) as caught:
        model_distances(matrices_of(np.ones((12, 12)), (7, 5), k=100))
    assert caught.value.message == "chance must be below 1; got 1.0"
    assert "k = n_texts - 1" in caught.value.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5])
def test_similarities_that_are_none_are_refused_with_their_pair(value: float):
    values = np.full((12, 12), 0.4)
    values[3, 9] = values[9, 3] = value
    with pytest.raises(ParameterError) as caught:
        model_distances(matrices_of(values, (7, 5)))
    assert caught.value.message == f"similarities must be finite and at most 1; one x two has {value}"


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            [(13, 7, 5), (13, 7, 3), (13, 5, 11)],
            "resampled matrices of pair 2 do not fit: expected layers (7, 11) and as many resamples for "
            "each pair; got (resamples, layers_left, layers_right) = (13, 7, 3)",
        ),
        (
            [(13, 7, 5), (11, 7, 11), (13, 5, 11)],
            "resampled matrices of pair 2 do not fit: expected layers (7, 11) and as many resamples for "
            "each pair; got (resamples, layers_left, layers_right) = (11, 7, 11)",
        ),
        ([(13, 7, 5), (13, 7, 11)], "resampled matrices are of 2 pairs; the models have 3"),
        (
            [(13, 7, 5), (13, 7, 11), (13, 5, 11), (13, 5, 11)],
            "resampled matrices of pair 4 do not fit: expected no further pair and as many resamples for "
            "each pair; got (resamples, layers_left, layers_right) = (13, 5, 11)",
        ),
    ],
)
def test_resamples_of_other_pairs_are_an_error(shapes: list[tuple[int, int, int]], message: str):
    matrices = matrices_of(np.full((23, 23), 0.4), (7, 5, 11))
    with pytest.raises(ParameterError) as caught:
        resampled_distances([np.full(shape, 0.4) for shape in shapes], matrices)
    assert caught.value.message == message


def test_what_is_no_distance_is_refused_with_all_reasons():
    with pytest.raises(ParameterError) as caught:
        ModelDistances(
            values=np.array([[0.0, -0.5], [0.5, 0.1]]), models=("a", "b"), by="path", chance=0.0
        )
    assert caught.value.message == (
        "distances are negative, down to -0.5, are not symmetric, are not 0 between a model and itself"
    )
    with pytest.raises(ParameterError, match=r"^distances are not finite$"):
        ModelDistances(values=np.array([[np.nan]]), models=("a",), by="path", chance=0.0)
    with pytest.raises(ParameterError) as caught:
        ModelDistances(values=np.zeros((2, 2)), models=("a",), by="path", chance=0.0)
    assert caught.value.message == (
        "distances of 1 models must be (models, models) = (1, 1), at least one; got (2, 2)"
    )
