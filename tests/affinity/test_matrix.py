from collections.abc import Iterator

import jaxtyping
import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import MEASURES, AffinityMatrix, affinity_matrix, mutual_knn
from isodepth.errors import DigestMismatchError, ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.texts import Pairing

LEFT_LAYERS, RIGHT_LAYERS, TEXTS, K = 5, 3, 47, 7


def neighbors(
    rng: np.random.Generator, layers: int, *, model: str, k: int = K, digest: str | None = None
) -> Neighbors:
    found = nearest_neighbors(rng.normal(size=(layers, TEXTS, 11)), k)
    return Neighbors(ids=found.ids, similarities=found.similarities, model=model, texts_digest=digest)


@pytest.fixture
def left(rng: np.random.Generator) -> Neighbors:
    return neighbors(rng, LEFT_LAYERS, model="left-model", digest="a" * 64)


@pytest.fixture
def right(rng: np.random.Generator) -> Neighbors:
    return neighbors(rng, RIGHT_LAYERS, model="right-model", digest="a" * 64)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Let wrong shapes through to the function's own checks, as they come without the type checker."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_a_model_is_wholly_similar_to_itself_on_the_diagonal(left: Neighbors):
    values = affinity_matrix(left, left).values
    np.testing.assert_array_equal(np.diag(values), np.ones(LEFT_LAYERS))
    np.testing.assert_array_equal(values, values.T)


def test_exchanging_the_models_transposes_the_matrix(left: Neighbors, right: Neighbors):
    forth, back = affinity_matrix(left, right), affinity_matrix(right, left)
    np.testing.assert_array_equal(forth.values, back.values.T)
    assert (forth.left, forth.right) == (back.right, back.left) == ("left-model", "right-model")


def test_every_cell_is_the_mutual_knn_of_its_layers(left: Neighbors, right: Neighbors):
    matrix = affinity_matrix(left, right)
    assert matrix.values.shape == (LEFT_LAYERS, RIGHT_LAYERS)
    assert matrix.values.dtype == np.float64
    for i in range(LEFT_LAYERS):
        for j in range(RIGHT_LAYERS):
            assert matrix.values[i, j] == mutual_knn(left.ids[i], right.ids[j])


def test_values_lie_in_the_unit_interval(left: Neighbors, right: Neighbors):
    values = affinity_matrix(left, right).values
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("k", [1, 3, 7])
def test_k_takes_the_nearest(left: Neighbors, right: Neighbors, k: int):
    matrix = affinity_matrix(left, right, k=k)
    sliced = affinity_matrix(left.ids[:, :, :k], right.ids[:, :, :k])
    np.testing.assert_array_equal(matrix.values, sliced.values)
    assert matrix.k == sliced.k == k


def test_k_makes_neighbors_of_different_number_comparable(rng: np.random.Generator, right: Neighbors):
    more = neighbors(rng, LEFT_LAYERS, model="more", k=13)
    matrix = affinity_matrix(more, right, k=5)
    np.testing.assert_array_equal(
        matrix.values, affinity_matrix(more.ids[:, :, :5], right.ids[:, :, :5]).values
    )


def test_labels_are_taken_from_the_neighbors(left: Neighbors, right: Neighbors):
    matrix = affinity_matrix(left, right, k=5)
    assert (matrix.left, matrix.right, matrix.measure) == ("left-model", "right-model", "mutual_knn")
    assert (matrix.k, matrix.n_texts, matrix.texts_digest) == (5, TEXTS, "a" * 64)
    assert matrix.chance == 5 / 46
    assert repr(matrix) == (
        "AffinityMatrix('left-model' x 'right-model', (layers, layers) = (5, 3), mutual_knn, k = 5, "
        "n_texts = 47)"
    )


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.uint8])
def test_arrays_of_any_integer_type_are_taken(left: Neighbors, right: Neighbors, dtype: type):
    matrix = affinity_matrix(left.ids.astype(dtype), right.ids.astype(dtype))
    np.testing.assert_array_equal(matrix.values, affinity_matrix(left, right).values)
    assert (matrix.left, matrix.right, matrix.texts_digest) == ("left", "right", None)


def test_an_array_and_neighbors_mix_and_the_known_digest_is_kept(left: Neighbors, right: Neighbors):
    expected = affinity_matrix(left, right).values
    for matrix in (affinity_matrix(left, right.ids), affinity_matrix(left.ids, right)):
        np.testing.assert_array_equal(matrix.values, expected)
        assert matrix.texts_digest == "a" * 64


def test_neighbors_on_different_texts_are_never_compared(rng: np.random.Generator, left: Neighbors):
    other = neighbors(rng, RIGHT_LAYERS, model="other-model", digest="b" * 64)
    with pytest.raises(DigestMismatchError) as caught:
        affinity_matrix(left, other)
    assert caught.value.message == (
        "left-model and other-model were run on different texts, so their rows do not belong "
        f"together: digest {'a' * 64} (left) against {'b' * 64} (right)"
    )
    assert caught.value.hint == (
        "run both on the same text set, with the same -n and --seed; or declare that the two are "
        "parallel, with pairing=ParallelTexts.of(left, right).pairing."
    )


def test_a_declared_pairing_lets_different_texts_be_compared_and_is_recorded(
    rng: np.random.Generator, left: Neighbors
):
    other = neighbors(rng, RIGHT_LAYERS, model="other-model", digest="b" * 64)
    matrix = affinity_matrix(left, other, pairing=Pairing(left="a" * 64, right="b" * 64))
    np.testing.assert_array_equal(matrix.values, affinity_matrix(left.ids, other.ids).values)
    assert (matrix.texts_digest, matrix.right_texts_digest) == ("a" * 64, "b" * 64)


def test_without_a_pairing_there_is_no_second_digest(left: Neighbors, right: Neighbors):
    assert affinity_matrix(left, right).right_texts_digest is None


@pytest.mark.parametrize(
    ("paired", "got", "hint"),
    [
        ("ab", "ac", "use the pairing of these text sets."),
        ("ab", "cb", "use the pairing of these text sets."),
        ("ab", "cd", "use the pairing of these text sets."),
        ("ab", "aa", "use the pairing of these text sets."),
        ("ab", "ba", "left and right are exchanged."),
    ],
)
def test_a_pairing_of_other_texts_is_refused_with_all_four_digests(
    paired: str, got: str, hint: str, rng: np.random.Generator
):
    one, other = (neighbors(rng, RIGHT_LAYERS, model=digest, digest=digest * 64) for digest in got)
    with pytest.raises(DigestMismatchError) as caught:
        affinity_matrix(one, other, pairing=Pairing(left=paired[0] * 64, right=paired[1] * 64))
    assert caught.value.message == (
        f"the declared pairing is not of these texts: it pairs {paired[0] * 64} (left) with "
        f"{paired[1] * 64} (right); got {got[0] * 64} and {got[1] * 64}"
    )
    assert caught.value.hint == hint


def test_neighbors_of_unknown_texts_are_those_of_a_pairing_by_the_callers_word(
    left: Neighbors, right: Neighbors
):
    pairing = Pairing(left="a" * 64, right="b" * 64)
    matrix = affinity_matrix(left, right.ids, pairing=pairing)
    assert (matrix.texts_digest, matrix.right_texts_digest) == ("a" * 64, "b" * 64)
    with pytest.raises(DigestMismatchError):
        affinity_matrix(left, right.ids, pairing=Pairing(left="c" * 64, right="b" * 64))


def test_neighbors_of_unknown_texts_are_taken_at_their_word(rng: np.random.Generator, left: Neighbors):
    unknown = neighbors(rng, RIGHT_LAYERS, model="unknown", digest=None)
    assert affinity_matrix(left, unknown).texts_digest == "a" * 64
    assert affinity_matrix(unknown, unknown).texts_digest is None


def test_an_unknown_measure_is_an_error_with_the_known_ones(left: Neighbors, right: Neighbors):
    with pytest.raises(UnknownNameError) as caught:
        affinity_matrix(left, right, measure="kca")
    assert caught.value.message == f"measure must be one of {', '.join(MEASURES)}; got 'kca'"
    assert caught.value.hint.startswith("did you mean cka")


@pytest.mark.usefixtures("unchecked")
def test_a_differing_k_without_a_choice_is_an_error_with_both(
    rng: np.random.Generator, left: Neighbors
):
    other = neighbors(rng, RIGHT_LAYERS, model="other", k=11)
    with pytest.raises(ParameterError) as caught:
        affinity_matrix(left, other)
    assert "(texts, k) = (47, 7) (left)" in caught.value.message
    assert "(texts, k) = (47, 11)" in caught.value.message


@pytest.mark.parametrize("k", [0, 8])
def test_more_neighbors_than_are_held_is_an_error_with_the_number(
    left: Neighbors, right: Neighbors, k: int
):
    with pytest.raises(ParameterError) as caught:
        affinity_matrix(left, right, k=k)
    assert caught.value.message == (
        f"left-model: k = {k} nearest neighbors were asked for; expected 1 <= k <= 7, the number that "
        "is held"
    )


def test_arrays_that_cannot_be_ids_are_refused_with_type_and_shape(left: Neighbors):
    with pytest.raises(
        ParameterError, match=r"mutual k-NN reads neighbors: .*; right holds activations"
    ):
        affinity_matrix(left, left.ids.astype(np.float64))
    with pytest.raises(ParameterError, match=r"left must be Neighbors .* of shape \(47, 7\)$"):
        affinity_matrix(left.ids[0], left)


def test_ids_out_of_range_are_named_by_side(left: Neighbors):
    wrong = left.ids.copy()
    wrong[0, 0, 0] = TEXTS
    with pytest.raises(ParameterError, match=r"^right: ids must lie in 0 to 46 for 47 texts; found 0"):
        affinity_matrix(left, wrong)


def test_the_table_has_one_row_per_pair_of_layers(left: Neighbors, right: Neighbors):
    matrix = affinity_matrix(left, right)
    table = matrix.to_table()
    assert table.column_names == [
        "left_layer",
        "right_layer",
        "left_depth",
        "right_depth",
        "k",
        "measure",
        "metric",
        "preprocessing",
        "similarity",
    ]
    rows = table.to_pylist()
    assert len(rows) == LEFT_LAYERS * RIGHT_LAYERS
    for row in rows:
        i, j = row["left_layer"], row["right_layer"]
        assert row["similarity"] == matrix.values[i - 1, j - 1]
        said = ("k", "measure", "metric", "preprocessing")
        assert [row[name] for name in said] == [K, "mutual_knn", "cosine", "none"]
        assert row["left_depth"] == i / LEFT_LAYERS
        assert row["right_depth"] == j / RIGHT_LAYERS
    assert {(row["left_layer"], row["right_layer"]) for row in rows} == {
        (i, j) for i in range(1, LEFT_LAYERS + 1) for j in range(1, RIGHT_LAYERS + 1)
    }


def test_the_frame_is_the_table(left: Neighbors, right: Neighbors):
    pandas = pytest.importorskip("pandas")
    matrix = affinity_matrix(left, right)
    frame = matrix.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.to_dict("list") == matrix.to_table().to_pydict()
    wide = frame.pivot(index="left_layer", columns="right_layer", values="similarity")
    np.testing.assert_array_equal(wide.to_numpy(), matrix.values)


def test_the_labelled_array_counts_layers_from_one(left: Neighbors, right: Neighbors):
    pytest.importorskip("xarray")
    matrix = affinity_matrix(left, right)
    array = matrix.to_xarray()
    assert array.dims == ("left_layer", "right_layer")
    assert array.name == "similarity"
    assert array.left_layer.to_numpy().tolist() == [1, 2, 3, 4, 5]
    assert array.right_layer.to_numpy().tolist() == [1, 2, 3]
    assert float(array.sel(left_layer=4, right_layer=2)) == matrix.values[3, 1]
    assert array.attrs == {
        "left": "left-model",
        "right": "right-model",
        "measure": "mutual_knn",
        "k": K,
        "metric": "cosine",
        "preprocessing": "none",
        "n_texts": TEXTS,
    }
    array[:] = 0
    assert matrix.values.max() > 0


def test_a_matrix_plots_itself(left: Neighbors, right: Neighbors):
    matrix = affinity_matrix(left, right)
    figure = matrix.plot()
    assert isinstance(figure, Figure)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), matrix.values)


def test_a_matrix_can_be_made_of_values_from_anywhere():
    matrix = AffinityMatrix(
        values=np.full((2, 3), 0.5), left="a", right="b", measure="mutual_knn", k=3, n_texts=7
    )
    assert matrix.chance == 0.5
    assert matrix.texts_digest is None
