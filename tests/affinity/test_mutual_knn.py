import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.affinity import mutual_knn, mutual_knn_counts
from isodepth.affinity.mutual_knn import checked_ids
from isodepth.errors import ParameterError
from isodepth.statistics import null_model

TEXTS, K = 31, 7


def random_ids(
    rng: np.random.Generator, n_texts: int, k: int, *, layers: int = 1, dtype: type = np.int32
) -> np.ndarray:
    """Return k different random others for every text, (layers, texts, k)."""
    keys = rng.random((layers, n_texts, n_texts - 1))
    others = np.argsort(keys, axis=2)[:, :, :k]
    return (others + (others >= np.arange(n_texts)[:, np.newaxis])).astype(dtype)


def following(n_texts: int, *steps: int) -> np.ndarray:
    """Return the texts so many steps after each text, around a ring."""
    return (np.arange(n_texts)[:, np.newaxis] + np.array(steps)) % n_texts


def shared_by_sets(left: np.ndarray, right: np.ndarray) -> int:
    """Count shared neighbors with sets, one text at a time."""
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return sum(len(set(ours) & set(theirs)) for ours, theirs in pairs)


# properties


def test_a_layer_is_wholly_similar_to_itself(rng: np.random.Generator):
    ids = random_ids(rng, TEXTS, K)[0]
    assert mutual_knn(ids, ids) == 1.0


def test_layers_that_share_nothing_have_similarity_zero():
    assert mutual_knn(following(TEXTS, 1, 2, 3), following(TEXTS, 4, 5, 6)) == 0.0


def test_left_and_right_may_be_exchanged(rng: np.random.Generator):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    assert mutual_knn(left, right) == mutual_knn(right, left)


def test_the_order_of_neighbors_within_a_row_does_not_matter(rng: np.random.Generator):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    assert mutual_knn(rng.permuted(left, axis=1), rng.permuted(right, axis=1)) == mutual_knn(
        left, right
    )


def test_renaming_the_texts_of_both_layers_changes_nothing(rng: np.random.Generator):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    new_name = rng.permutation(TEXTS)
    old_row = np.argsort(new_name)
    assert mutual_knn(new_name[left][old_row], new_name[right][old_row]) == mutual_knn(left, right)


def test_renaming_the_texts_of_one_layer_only_leaves_chance(rng: np.random.Generator):
    left = random_ids(rng, 211, K)[0]
    new_name = rng.permutation(211)
    renamed = new_name[left][np.argsort(new_name)]
    null = null_model(211, K)
    assert abs(mutual_knn(left, renamed) - null.mean) < 5 * null.sd


def test_unrelated_layers_are_at_chance_within_its_standard_error(rng: np.random.Generator):
    n_texts, k, n_left, n_right = 211, 7, 19, 23
    counts = mutual_knn_counts(
        random_ids(rng, n_texts, k, layers=n_left), random_ids(rng, n_texts, k, layers=n_right)
    )
    values = counts / (n_texts * k)
    null = null_model(n_texts, k)
    standard_error = null.sd / np.sqrt(n_left * n_right)
    assert abs(values.mean() - k / (n_texts - 1)) < 4 * standard_error
    assert values.std() == pytest.approx(null.sd, rel=0.15)


# agreement with sets


@st.composite
def id_lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n_texts = draw(st.integers(2, 13))
    k = draw(st.integers(1, n_texts - 1))
    layers = draw(st.integers(1, 3)), draw(st.integers(1, 5))

    def row(text: int) -> st.SearchStrategy[list[int]]:
        others = [other for other in range(n_texts) if other != text]
        return st.permutations(others).map(lambda order: order[:k])

    layer = st.tuples(*map(row, range(n_texts)))
    left, right = (np.array([draw(layer) for _ in range(n)], dtype=np.int32) for n in layers)
    return left, right


@settings(deadline=None, max_examples=50)
@given(id_lists())
def test_counts_agree_with_intersecting_sets(ids: tuple[np.ndarray, np.ndarray]):
    left, right = ids
    counts = mutual_knn_counts(left, right)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[shared_by_sets(ours, theirs) for theirs in right] for ours in left]
    share = counts[0, 0] / left[0].size
    assert mutual_knn(left[0], right[0]) == share
    assert 0 <= share <= 1


def test_a_worked_example():
    left = np.array([[1, 2], [0, 2], [3, 0], [2, 1]])
    right = np.array([[3, 2], [2, 0], [1, 0], [0, 1]])
    assert mutual_knn(left, right) == (1 + 2 + 1 + 1) / 8


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int16, np.uint16, np.uint8, np.uint64])
def test_any_integer_type_gives_the_same(rng: np.random.Generator, dtype: type):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    assert mutual_knn(left.astype(dtype), right.astype(dtype)) == mutual_knn(left, right)


def test_ids_in_views_are_read_in_place(rng: np.random.Generator):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    assert mutual_knn(np.asfortranarray(left)[:, ::-1], right[:, ::-1]) == mutual_knn(left, right)


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int64])
def test_ids_beyond_16_bits_are_right(dtype: type):
    # 40,000 texts do not fit int16; every text shares two of three neighbors
    n_texts = 40_000
    left = following(n_texts, 1, 2, 3).astype(dtype)
    right = following(n_texts, 2, 3, 4).astype(dtype)
    assert mutual_knn(left, right) == 2 / 3
    assert mutual_knn(left, left) == 1.0


def test_the_input_is_not_changed(rng: np.random.Generator):
    left, right = random_ids(rng, TEXTS, K, layers=2)
    before = left.copy(), right.copy()
    mutual_knn(left, right)
    np.testing.assert_array_equal(left, before[0])
    np.testing.assert_array_equal(right, before[1])


# errors


@pytest.mark.parametrize(
    ("wrong", "lowest", "highest"), [(-1, -1, 30), (31, 0, 31), (70_000, 0, 70_000)]
)
def test_ids_out_of_range_are_an_error_with_the_range(wrong: int, lowest: int, highest: int):
    ids, good = following(TEXTS, 1, 2), following(TEXTS, 1, 2)
    ids[13, 1] = wrong
    with pytest.raises(ParameterError) as caught:
        mutual_knn(good, ids)
    assert caught.value.message == (
        f"right_ids: ids must lie in 0 to 30 for 31 texts; found {lowest} to {highest}"
    )


def test_repeated_ids_are_an_error_with_their_rows(rng: np.random.Generator):
    ids = random_ids(rng, TEXTS, K)[0]
    ids[[3, 17], 6] = ids[[3, 17], 0]
    with pytest.raises(ParameterError) as caught:
        mutual_knn(ids, random_ids(rng, TEXTS, K)[0])
    assert caught.value.message == (
        "left_ids: an id may stand only once in a row; row 3, 17 repeats one (rows count from 0)"
    )


def test_a_text_among_its_own_neighbors_is_an_error_with_its_row(rng: np.random.Generator):
    ids = random_ids(rng, TEXTS, K)[0]
    ids[5, 2] = 5
    with pytest.raises(ParameterError) as caught:
        mutual_knn(ids, random_ids(rng, TEXTS, K)[0])
    assert caught.value.message == (
        "left_ids: a text may not be its own neighbor; row 5 holds itself (rows count from 0)"
    )


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 1, 1), (2, 5, 0)])
def test_empty_ids_are_an_error_with_their_shape(shape: tuple[int, ...]):
    with pytest.raises(ParameterError) as caught:
        checked_ids(np.zeros(shape, dtype=np.int32), "these")
    assert caught.value.message == (
        f"these must hold at least 1 layer, 2 texts and 1 neighbor; got (layers, texts, k) = {shape}"
    )


@pytest.mark.parametrize("other", [(29, 7), (31, 5)])
def test_shapes_that_differ_are_an_error_that_shows_both(
    rng: np.random.Generator, other: tuple[int, int]
):
    left, right = random_ids(rng, TEXTS, K)[0], random_ids(rng, *other)[0]
    # the type checker of the tests refuses this first; users meet the function's own check
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ParameterError) as caught:
            mutual_knn(left, right)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
    assert caught.value.message == (
        "left and right neighbors must agree in (texts, k) = (31, 7) (left); right has "
        f"(texts, k) = {other}"
    )
