import os
import subprocess
import sys
from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.activations import Activations, ExtractionOptions
from isodepth.errors import ActivationsError, ParameterError
from isodepth.neighbors import Neighbors, exact, nearest_neighbors
from isodepth.neighbors.exact import layer_neighbors
from neighbors.tiles import cut_tiles

LAYERS, TEXTS, UNITS, K = 3, 43, 17, 5


@pytest.fixture
def activations(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(LAYERS, TEXTS, UNITS)).astype(np.float32)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Let wrong shapes through to the function's own checks, as they come without the type checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def sorted_neighbors(layer: np.ndarray, k: int) -> list[list[int]]:
    """Sort all other texts by (-cosine, index), one text at a time, in extended precision."""
    rows = np.asarray(layer, dtype=np.longdouble)
    unit = rows / np.sqrt((rows * rows).sum(axis=1, keepdims=True))
    found = []
    for text, vector in enumerate(unit):
        others = [other for other in range(len(unit)) if other != text]
        cosines = (unit * vector).sum(axis=1)
        found.append(sorted(others, key=lambda other: (-cosines[other], other))[:k])
    return found


# properties


def test_neighbors_have_the_shape_and_types_that_they_promise(activations: np.ndarray):
    neighbors = nearest_neighbors(activations, K)
    assert neighbors.ids.shape == neighbors.similarities.shape == (LAYERS, TEXTS, K)
    assert neighbors.ids.dtype == np.int32
    assert neighbors.similarities.dtype == np.float32
    assert (neighbors.n_layers, neighbors.n_texts, neighbors.k) == (LAYERS, TEXTS, K)
    assert repr(neighbors) == "Neighbors('array', (layers, texts, k) = (3, 43, 5))"


def test_no_text_is_its_own_neighbor_and_none_is_named_twice(activations: np.ndarray):
    ids = nearest_neighbors(activations, K).ids
    assert not (ids == np.arange(TEXTS)[:, np.newaxis]).any()
    assert all(len(set(row)) == K for layer in ids.tolist() for row in layer)
    assert ids.min() >= 0
    assert ids.max() < TEXTS


def test_similarities_fall_and_lie_between_minus_one_and_one(activations: np.ndarray):
    similarities = nearest_neighbors(activations, TEXTS - 1).similarities
    assert (np.diff(similarities, axis=2) <= 0).all()
    assert similarities.min() >= -1
    assert similarities.max() <= 1


def test_similarities_are_the_cosines_of_the_named_texts(activations: np.ndarray):
    neighbors = nearest_neighbors(activations, K)
    exactly = activations.astype(np.float64)
    unit = exactly / np.linalg.norm(exactly, axis=2, keepdims=True)
    cosines = unit @ unit.transpose(0, 2, 1)
    expected = np.take_along_axis(cosines, neighbors.ids.astype(np.int64), axis=2)
    np.testing.assert_allclose(neighbors.similarities, expected, rtol=0, atol=1e-7)


def test_rotating_the_units_changes_no_neighbor(activations: np.ndarray, rng: np.random.Generator):
    rotation, _ = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))
    rotated = activations.astype(np.float64) @ rotation
    np.testing.assert_array_equal(
        nearest_neighbors(rotated, K).ids, nearest_neighbors(activations, K).ids
    )


def test_scaling_any_text_by_a_positive_number_changes_no_neighbor(
    activations: np.ndarray, rng: np.random.Generator
):
    scales = 10.0 ** rng.uniform(-3, 3, size=(LAYERS, TEXTS, 1))
    np.testing.assert_array_equal(
        nearest_neighbors(activations * scales, K).ids, nearest_neighbors(activations, K).ids
    )


def test_the_origin_counts_so_shifting_all_texts_changes_neighbors(activations: np.ndarray):
    shifted = nearest_neighbors(activations + np.float32(3), K).ids
    assert (shifted != nearest_neighbors(activations, K).ids).any()


def test_permuting_the_texts_permutes_the_neighbors(activations: np.ndarray, rng: np.random.Generator):
    order = rng.permutation(TEXTS)
    place_of = np.argsort(order)
    straight, permuted = nearest_neighbors(activations, K), nearest_neighbors(activations[:, order], K)
    np.testing.assert_array_equal(permuted.ids, place_of[straight.ids[:, order]])


def test_permuting_the_layers_permutes_the_result(activations: np.ndarray):
    order = [2, 0, 1]
    np.testing.assert_array_equal(
        nearest_neighbors(activations[order], K).ids, nearest_neighbors(activations, K).ids[order]
    )


def test_a_smaller_k_gives_the_start_of_a_larger_one(activations: np.ndarray):
    larger, smaller = nearest_neighbors(activations, 13), nearest_neighbors(activations, K)
    np.testing.assert_array_equal(larger.first(K).ids, smaller.ids)
    np.testing.assert_array_equal(larger.first(K).similarities, smaller.similarities)


def test_the_largest_k_names_all_other_texts(activations: np.ndarray):
    ids = nearest_neighbors(activations, TEXTS - 1).ids
    for text in range(TEXTS):
        assert sorted(ids[1, text].tolist()) == [other for other in range(TEXTS) if other != text]


def test_a_repetition_gives_the_same_bytes(activations: np.ndarray):
    first, second = nearest_neighbors(activations, K), nearest_neighbors(activations.copy(), K)
    assert first.ids.tobytes() == second.ids.tobytes()
    assert first.similarities.tobytes() == second.similarities.tobytes()


def test_the_number_of_threads_changes_nothing():
    # the number of threads of BLAS is fixed when it is loaded, so this takes processes of their own
    script = (
        "import hashlib, numpy\n"
        "from isodepth.neighbors import METRICS, nearest_neighbors\n"
        "values = numpy.random.default_rng(7).normal(size=(2, 1301, 257)) + 3\n"
        "found = [nearest_neighbors(values, 11, metric) for metric in METRICS]\n"
        "held = b''.join(one.ids.tobytes() + one.similarities.tobytes() for one in found)\n"
        "print(hashlib.sha256(held).hexdigest())\n"
    )
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, **dict.fromkeys(names, threads)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in ("1", "2")
    ]
    one, two = (process.communicate(timeout=60)[0].strip() for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(one) == 64
    assert one == two


def test_the_input_is_not_changed(activations: np.ndarray):
    before = activations.copy()
    nearest_neighbors(activations, K)
    np.testing.assert_array_equal(activations, before)
    read_only = activations.copy()
    read_only.flags.writeable = False
    nearest_neighbors(read_only, K)


# ties


def test_copies_of_a_text_are_its_nearest_neighbors_and_stand_in_order(activations: np.ndarray):
    values = activations[:1].copy()
    values[0, [7, 19, 31]] = values[0, 2]
    neighbors = nearest_neighbors(values, K)
    for text, copies in ((2, [7, 19, 31]), (7, [2, 19, 31]), (19, [2, 7, 31]), (31, [2, 7, 19])):
        assert neighbors.ids[0, text, :3].tolist() == copies
        np.testing.assert_allclose(neighbors.similarities[0, text, :3], 1, rtol=0, atol=1e-7)
    copies_first = neighbors.ids[0, 2, 3:].tolist()
    assert neighbors.ids[0, 31, 3:].tolist() == copies_first


def test_texts_that_are_all_equal_name_the_lowest_others():
    ids = nearest_neighbors(np.full((1, 11, 7), 0.1, dtype=np.float32), 3).ids[0]
    expected = [[other for other in range(11) if other != text][:3] for text in range(11)]
    assert ids.tolist() == expected


@pytest.mark.parametrize("k", [3, 7, 17, 23])
def test_many_copies_across_the_boundary_at_k_go_to_the_lower_index(rng: np.random.Generator, k: int):
    distinct = rng.normal(size=(3, 19)).astype(np.float32)
    group = rng.permutation(np.repeat([0, 1, 2], [17, 13, 11]))
    values = distinct[group]
    ids = nearest_neighbors(values, k).ids[0]
    exactly = distinct.astype(np.longdouble)
    unit = exactly / np.sqrt((exactly**2).sum(axis=1, keepdims=True))
    cosines = unit @ unit.T
    for text in range(len(values)):
        others = [other for other in range(len(values)) if other != text]
        expected = sorted(others, key=lambda other: (-cosines[group[text], group[other]], other))
        assert ids[text].tolist() == expected[:k]


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3, 5, 11, 30]))
def test_ties_go_to_the_lower_index_where_arithmetic_is_exact(seed: int, k: int):
    # 16 units of plus or minus 1: norms are 4, so all cosines are exact multiples of 1/8
    values = np.random.default_rng(seed).choice([-1.0, 1.0], size=(31, 16))
    assert nearest_neighbors(values, k).ids[0].tolist() == sorted_neighbors(values, k)


def test_axes_tie_at_zero():
    ids = nearest_neighbors(np.eye(7), 2).ids[0]
    assert ids.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_opposite_texts_come_last():
    values = np.array([[1.0, 0, 0], [-2, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, 2]])
    neighbors = nearest_neighbors(values, 4)
    assert neighbors.ids[0, 0].tolist() == [2, 4, 3, 1]
    assert neighbors.similarities[0, 0, -1] == -1


def test_a_negative_zero_is_a_zero():
    values = np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 1.0], [1.0, -0.0, 2.0]])
    assert nearest_neighbors(values, 1).ids[0, :, 0].tolist() == [2, 0, 0]


# agreement with slow versions


def test_neighbors_agree_with_sorting_all_others(activations: np.ndarray):
    ids = nearest_neighbors(activations, K).ids
    for layer in range(LAYERS):
        assert ids[layer].tolist() == sorted_neighbors(activations[layer], K)


@pytest.mark.parametrize("rows", [1, 2, 5, 41, 42, 43, 44])
def test_borders_of_tiles_change_nothing(
    activations: np.ndarray, monkeypatch: pytest.MonkeyPatch, rows: int
):
    activations[0, 29] = activations[0, 3]
    whole = nearest_neighbors(activations, K)
    cut_tiles(monkeypatch, rows)
    blocked = nearest_neighbors(activations, K)
    np.testing.assert_array_equal(blocked.ids, whole.ids)
    np.testing.assert_allclose(blocked.similarities, whole.similarities, rtol=0, atol=1e-7)


def test_tiles_of_one_text_change_nothing(activations: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    whole = nearest_neighbors(activations, K)
    cut_tiles(monkeypatch, 1)
    np.testing.assert_array_equal(nearest_neighbors(activations, K).ids, whole.ids)


def test_texts_that_point_almost_the_same_way_are_told_apart(rng: np.random.Generator):
    # as in the middle of a model: a common offset far larger than what differs
    offset = 1000 * rng.normal(size=37)
    layer = (offset + rng.normal(size=(101, 37))).astype(np.float32)
    neighbors = nearest_neighbors(layer, 7)
    assert neighbors.similarities.min() > 0.99999
    assert neighbors.ids[0].tolist() == sorted_neighbors(layer, 7)
    # single precision would not do
    unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
    single = unit @ unit.T
    np.fill_diagonal(single, -np.inf)
    in_single = np.argsort(-single, axis=1, kind="stable")[:, :7]
    assert (in_single != neighbors.ids[0]).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-38])
def test_huge_and_tiny_values_neither_overflow_nor_vanish(activations: np.ndarray, scale: float):
    scaled = (activations * np.float32(scale)).astype(np.float32)
    neighbors = nearest_neighbors(scaled, K)
    assert np.isfinite(neighbors.similarities).all()
    assert neighbors.ids[1].tolist() == sorted_neighbors(scaled[1], K)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_float64_may_be_as_large_and_small_as_it_can(activations: np.ndarray, scale: float):
    np.testing.assert_array_equal(
        nearest_neighbors(activations.astype(np.float64) * scale, K).ids,
        nearest_neighbors(activations, K).ids,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_floats_are_taken_at_their_own_precision(activations: np.ndarray, dtype: type):
    values = activations.astype(dtype)
    assert nearest_neighbors(values, K).ids[2].tolist() == sorted_neighbors(values[2], K)


def test_two_dimensions_are_one_layer(activations: np.ndarray):
    one = nearest_neighbors(activations[1], K)
    assert one.ids.shape == (1, TEXTS, K)
    np.testing.assert_array_equal(one.ids[0], nearest_neighbors(activations, K).ids[1])


def test_strided_arrays_are_taken(activations: np.ndarray):
    strided = np.asfortranarray(activations)[:, ::-1]
    np.testing.assert_array_equal(
        nearest_neighbors(strided, K).ids, nearest_neighbors(np.ascontiguousarray(strided), K).ids
    )


# labels and progress


def test_labels_of_activations_are_kept(activations: np.ndarray):
    labelled = Activations(
        values=activations,
        model="some-model",
        texts="some-texts",
        model_digest="m" * 64,
        texts_digest="t" * 64,
        options=ExtractionOptions(),
        provenance={"from": "this test"},
    )
    neighbors = nearest_neighbors(labelled, K)
    assert (neighbors.model, neighbors.texts_digest, neighbors.metric) == (
        "some-model",
        "t" * 64,
        "cosine",
    )
    assert neighbors.provenance == {
        "from": "this test",
        "metric": "cosine",
        "preprocessing": "none",
    }
    np.testing.assert_array_equal(neighbors.ids, nearest_neighbors(activations, K).ids)


def test_an_array_has_no_digest(activations: np.ndarray):
    neighbors = nearest_neighbors(activations, K)
    assert neighbors.model == "array"
    assert neighbors.texts_digest is None


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbors_found_before_are_taken_over_where_a_layer_is_the_same(
    activations: np.ndarray, metric: str, monkeypatch: pytest.MonkeyPatch
):
    other = activations.copy()
    other[-1] *= np.linspace(1, 2, other.shape[2])
    expected = nearest_neighbors(other, 5, metric, preprocessing="center")
    before = nearest_neighbors(activations, 7, metric, preprocessing="center")
    searched: list[int] = []

    def counted(vectors: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
        searched.append(k)
        return layer_neighbors(vectors, k, metric)

    monkeypatch.setattr(exact, "layer_neighbors", counted)
    given = {"preprocessing": "center", "before": (activations, before)}
    found = nearest_neighbors(other, 5, metric, **given)
    assert searched == [5]
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.similarities, expected.similarities)
    # in another number format, or where there was no such layer, all are searched
    nearest_neighbors(activations.astype(np.float16), 5, metric, **given)
    assert searched == [5] * (1 + len(activations))
    nearest_neighbors(other, 5, metric, preprocessing="center", before=(activations[:1], before))
    assert searched == [5] * (1 + len(activations) + len(activations) - 1)


def test_neighbors_found_otherwise_before_are_refused(activations: np.ndarray):
    before = nearest_neighbors(activations, 3)
    with pytest.raises(ParameterError, match=r"got 3 by cosine, none, and 4 by cosine, none are to be"):
        nearest_neighbors(activations, 4, before=(activations, before))
    with pytest.raises(ParameterError, match="by cosine, none, and 3 by euclidean, none"):
        nearest_neighbors(activations, 3, "euclidean", before=(activations, before))
    with pytest.raises(ParameterError, match="and 3 by cosine, center"):
        nearest_neighbors(activations, 3, preprocessing="center", before=(activations, before))


def test_progress_is_told_of_every_layer(activations: np.ndarray):
    told: list[tuple[str, int, int, str]] = []

    def progress(label: str, done: int, total: int, unit: str) -> None:
        told.append((label, done, total, unit))

    nearest_neighbors(activations, K, progress=progress)
    assert told == [("finding neighbors in array", done, LAYERS, "layers") for done in range(4)]


# errors


@pytest.mark.parametrize("k", [-1, 0, TEXTS, TEXTS + 1])
def test_k_that_cannot_be_is_an_error_with_both_numbers(activations: np.ndarray, k: int):
    with pytest.raises(ParameterError) as caught:
        nearest_neighbors(activations, k)
    assert caught.value.message == (
        f"k = {k} neighbors of 43 texts: expected 1 <= k <= n - 1 = 42, because a text is not its own "
        "neighbor"
    )
    assert caught.value.hint == "use a smaller k or more texts."


def test_first_asks_for_no_more_than_is_held(activations: np.ndarray):
    neighbors = nearest_neighbors(activations, K)
    for k in (0, K + 1):
        with pytest.raises(ParameterError) as caught:
            neighbors.first(k)
        assert caught.value.message == (
            f"array: k = {k} nearest neighbors were asked for; expected 1 <= k <= 5, the number that "
            "is held"
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named_by_layer_and_row(activations: np.ndarray, value: float):
    activations[1, [4, 30], 3] = value
    with pytest.raises(ActivationsError) as caught:
        nearest_neighbors(activations, K)
    assert caught.value.message == (
        "array, layer 2: NaN or infinite activations in text 5, 31 (rows count from 1) of "
        "(texts, units) = (43, 17)"
    )


def test_vectors_without_a_direction_are_named_by_layer_and_row(activations: np.ndarray):
    activations[2, [0, 42]] = 0
    with pytest.raises(ActivationsError) as caught:
        nearest_neighbors(activations, K)
    assert caught.value.message == (
        "array, layer 3: the activations of text 1, 43 (rows count from 1) are all zero, so they have "
        "no direction and no cosine distance"
    )


def test_an_unknown_metric_is_an_error_with_the_known_ones(activations: np.ndarray):
    with pytest.raises(ParameterError) as caught:
        nearest_neighbors(activations, K, "euclid")
    assert caught.value.message == (
        "metric must be one of cosine, euclidean, correlation, inner_product; got 'euclid'"
    )
    assert caught.value.hint == "did you mean euclidean?"


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 0, 3), (2, 5, 0), (0, 3)])
def test_empty_arrays_are_refused_with_their_shape(shape: tuple[int, ...]):
    with pytest.raises(ParameterError, match=r"activations must be a non-empty array \(layers, texts"):
        nearest_neighbors(np.zeros(shape), 1)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("shape", [(5,), (2, 3, 5, 7)])
def test_arrays_of_other_dimensions_are_refused_with_their_shape(shape: tuple[int, ...]):
    with pytest.raises(ParameterError) as caught:
        nearest_neighbors(np.ones(shape), 1)
    assert str(shape) in caught.value.message


def test_neighbors_of_two_texts_are_each_other():
    neighbors = nearest_neighbors(np.array([[1.0, 2.0], [-3.0, 1.0]]), 1)
    assert isinstance(neighbors, Neighbors)
    assert neighbors.ids.tolist() == [[[1], [0]]]
