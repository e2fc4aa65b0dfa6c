from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices, affinity_matrix, all_affinities, counts
from isodepth.errors import DigestMismatchError, ParameterError, UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.texts import Pairing

LAYERS = {"first": 5, "second": 3, "third": 11, "fourth": 1}
TEXTS, K = 47, 7

MakeNeighbors = Callable[..., Neighbors]


@pytest.fixture
def models(make_neighbors: MakeNeighbors) -> list[Neighbors]:
    return [make_neighbors(model, n, digest="a" * 64) for model, n in LAYERS.items()]


def similarity_by_sets(left: Neighbors, i: int, right: Neighbors, j: int, k: int) -> float:
    shared = sum(
        len(set(ours[:k]) & set(theirs[:k]))
        for ours, theirs in zip(left.ids[i].tolist(), right.ids[j].tolist(), strict=True)
    )
    return shared / (left.n_texts * k)


# values


def test_all_pairs_hold_bit_for_bit_what_the_pairwise_function_gives(models: list[Neighbors]):
    matrices = all_affinities(models)
    for left in models:
        for right in models:
            found, expected = matrices[left.model, right.model], affinity_matrix(left, right)
            assert found.values.tobytes() == expected.values.tobytes()
            assert repr(found) == repr(expected)
            assert found.texts_digest == expected.texts_digest == "a" * 64


def test_left_against_right_holds_what_the_pairwise_function_gives(models: list[Neighbors]):
    matrices = all_affinities(models[:3], right=models[2:])
    assert matrices.values.shape == (19, 12)
    for left in models[:3]:
        for right in models[2:]:
            found, expected = matrices[left.model, right.model], affinity_matrix(left, right)
            assert found.values.tobytes() == expected.values.tobytes()


@pytest.mark.parametrize("k", [1, 3, 7])
def test_every_cell_is_what_sets_share(models: list[Neighbors], k: int):
    matrices = all_affinities(models, k=k)
    for left in models:
        for right in models:
            values = matrices[left.model, right.model].values
            assert values.tolist() == [
                [similarity_by_sets(left, i, right, j, k) for j in range(right.n_layers)]
                for i in range(left.n_layers)
            ]


def test_values_are_symmetric_with_ones_on_the_diagonal(models: list[Neighbors]):
    values = all_affinities(models).values
    np.testing.assert_array_equal(values, values.T)
    np.testing.assert_array_equal(np.diag(values), np.ones(20))
    assert values.dtype == np.float64
    assert values.min() > 0  # these models agree above chance, so nothing hides in zeros


def test_the_order_of_the_models_is_that_of_the_labels_and_changes_no_value(models: list[Neighbors]):
    forth, back = all_affinities(models), all_affinities(models[::-1])
    assert forth.left == forth.right == tuple(LAYERS)
    assert forth.left_layers == forth.right_layers == (5, 3, 11, 1)
    assert back.left == tuple(LAYERS)[::-1]
    for left in LAYERS:
        for right in LAYERS:
            np.testing.assert_array_equal(forth[left, right].values, back[left, right].values)


def test_renaming_the_texts_of_all_models_changes_nothing(
    rng: np.random.Generator, models: list[Neighbors]
):
    new_name = rng.permutation(TEXTS).astype(np.int32)
    old_row = np.argsort(new_name)
    renamed = [replace(model, ids=new_name[model.ids][:, old_row]) for model in models]
    np.testing.assert_array_equal(all_affinities(renamed).values, all_affinities(models).values)


def test_a_right_side_of_the_same_models_gives_the_same_values_and_is_not_called_symmetric(
    models: list[Neighbors],
):
    one_side, two_sides = all_affinities(models), all_affinities(models, right=models)
    np.testing.assert_array_equal(one_side.values, two_sides.values)
    assert one_side.is_symmetric
    assert not two_sides.is_symmetric


def test_one_model_is_compared_with_itself(models: list[Neighbors]):
    matrices = all_affinities(models[2:3])
    np.testing.assert_array_equal(matrices.values, affinity_matrix(models[2], models[2]).values)
    assert matrices.n_pairs == 0


def test_one_layer_is_compared_with_itself(models: list[Neighbors]):
    np.testing.assert_array_equal(all_affinities(models[3:]).values, [[1.0]])


@pytest.mark.parametrize("k", [255, 257, 511])
def test_long_lists_give_what_the_pairwise_function_gives(make_neighbors: MakeNeighbors, k: int):
    models = [make_neighbors(name, n, n_texts=521, k=511) for name, n in (("one", 2), ("other", 3))]
    matrices = all_affinities(models, k=k)
    np.testing.assert_array_equal(matrices["one", "other"].values, affinity_matrix(*models, k=k).values)
    assert matrices["one", "other"].values[1, 2] == similarity_by_sets(models[0], 1, models[1], 2, k)


@pytest.mark.parametrize("n_texts", [32_771, 65_537])
def test_more_texts_than_16_bits_count_to(n_texts: int):
    def ring(model: str, *steps: int) -> Neighbors:
        ids = (np.arange(n_texts)[:, np.newaxis] + np.array(steps)) % n_texts
        return Neighbors(
            ids=ids[np.newaxis].astype(np.int32),
            similarities=np.zeros((1, n_texts, len(steps)), dtype=np.float32),
            model=model,
        )

    matrices = all_affinities([ring("a", 1, 2, 3), ring("b", 2, 3, 4), ring("c", 5, 6, 7)])
    assert matrices.values.tolist() == [[1, 2 / 3, 0], [2 / 3, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_change_nothing(
    models: list[Neighbors], monkeypatch: pytest.MonkeyPatch, n_threads: int
):
    expected = all_affinities(models).values
    monkeypatch.setattr(counts, "usable_cores", lambda: n_threads)
    monkeypatch.setattr(counts, "PART_BYTES", 1)
    np.testing.assert_array_equal(all_affinities(models).values, expected)


def test_memory_mapped_ids_with_more_neighbors_are_read_where_they_lie(
    tmp_path: Path, make_neighbors: MakeNeighbors
):
    models = [make_neighbors(name, n, k=41) for name, n in LAYERS.items()]
    mapped = []
    for model in models:
        np.save(tmp_path / f"{model.model}.npy", model.ids)
        ids = np.load(tmp_path / f"{model.model}.npy", mmap_mode="r")
        mapped.append(replace(model, ids=ids))
    np.testing.assert_array_equal(
        all_affinities(mapped, k=3).values, all_affinities(models, k=3).values
    )


def test_neighbors_are_not_changed(models: list[Neighbors]):
    before = [model.ids.copy() for model in models]
    all_affinities(models, right=models[:1], k=3)
    for model, ids in zip(models, before, strict=True):
        np.testing.assert_array_equal(model.ids, ids)


# k


def test_k_makes_models_with_different_numbers_of_neighbors_comparable(make_neighbors: MakeNeighbors):
    models = [make_neighbors("few", 2, k=7), make_neighbors("many", 3, k=13)]
    matrices = all_affinities(models, k=5)
    assert matrices.k == 5
    np.testing.assert_array_equal(matrices["few", "many"].values, affinity_matrix(*models, k=5).values)


def test_different_numbers_of_neighbors_without_a_choice_are_named(make_neighbors: MakeNeighbors):
    sizes = {"a": 7, "b": 11, "c": 7, "d": 13}
    with pytest.raises(ParameterError) as caught:
        all_affinities([make_neighbors(name, 2, k=k) for name, k in sizes.items()])
    assert caught.value.message == (
        "k must be the same for all models: it is 7 for 2; b has 11, d has 13"
    )
    assert caught.value.hint == "k= takes the nearest of each."


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (8, "1 <= k <= 5, the least number that is held: a has 7, c has 5"),
        (0, "1 <= k <= 5, the least number that is held: a has 7, b has 13, c has 5"),
    ],
)
def test_models_that_hold_fewer_neighbors_than_asked_for_are_named(
    make_neighbors: MakeNeighbors, k: int, expected: str
):
    sizes = {"a": 7, "b": 13, "c": 5}
    with pytest.raises(ParameterError) as caught:
        all_affinities([make_neighbors(name, 2, k=held) for name, held in sizes.items()], k=k)
    assert caught.value.message == f"k = {k} nearest neighbors were asked for; expected {expected}"


# which texts


def test_models_on_other_texts_are_named_all(make_neighbors: MakeNeighbors):
    digests = {"one": "a", "two": "b", "three": "a", "four": "c", "five": None}
    with pytest.raises(DigestMismatchError) as caught:
        all_affinities([make_neighbors(name, 2, digest=digest) for name, digest in digests.items()])
    assert caught.value.message == (
        "2 of 4 models were run on other texts than the rest, so their rows do not belong together: "
        "two has b, four has c; the rest has a"
    )
    assert caught.value.hint == (
        "run all on the same text set, with the same -n and --seed; or declare that two sets are "
        "parallel, with right= and pairing=ParallelTexts.of(left, right).pairing."
    )


def test_a_right_side_on_other_texts_needs_a_declared_pairing(make_neighbors: MakeNeighbors):
    left = [make_neighbors(name, 2, digest="a") for name in ("one", "two")]
    right = [make_neighbors("one", 3, digest="b")]
    with pytest.raises(DigestMismatchError, match=r"one \(right\) has b; the rest has a"):
        all_affinities(left, right=right)
    matrices = all_affinities(left, right=right, pairing=Pairing(left="a", right="b"))
    assert (matrices.texts_digest, matrices.right_texts_digest) == ("a", "b")
    pair = matrices["two", "one"]
    assert (pair.texts_digest, pair.right_texts_digest) == ("a", "b")
    np.testing.assert_array_equal(
        pair.values, affinity_matrix(left[1], right[0], pairing=Pairing(left="a", right="b")).values
    )


def test_a_pairing_of_other_texts_is_refused_with_all_that_are_not_of_it(make_neighbors: MakeNeighbors):
    left = [make_neighbors(f"left-{digest}", 2, digest=digest) for digest in ("a", "c", None)]
    right = [make_neighbors(f"right-{digest}", 2, digest=digest) for digest in ("b", "a", "d")]
    with pytest.raises(DigestMismatchError) as caught:
        all_affinities(left, right=right, pairing=Pairing(left="a", right="b"))
    assert caught.value.message == (
        "the declared pairing is not of these texts: it pairs a (left) with b (right); left-c (left) "
        "has c, right-a (right) has a, right-d (right) has d"
    )
    assert caught.value.hint == "use the pairing of these text sets, and mind which of them is left."


def test_a_pairing_without_a_right_side_is_refused(models: list[Neighbors]):
    with pytest.raises(ParameterError) as caught:
        all_affinities(models, pairing=Pairing(left="a", right="b"))
    assert caught.value.message == (
        "a pairing says which texts the right models read; got one without right"
    )
    assert caught.value.hint == (
        "pass the neighbors of the left texts first and those of the right ones as right=."
    )


def test_neighbors_of_unknown_texts_are_taken_at_their_word(make_neighbors: MakeNeighbors):
    known, unknown = make_neighbors("known", 2, digest="a"), make_neighbors("unknown", 3)
    assert all_affinities([unknown, known]).texts_digest == "a"
    assert all_affinities([unknown]).texts_digest is None
    assert all_affinities([known], right=[unknown]).right_texts_digest is None


def test_different_numbers_of_texts_are_named(make_neighbors: MakeNeighbors):
    sizes = {"a": 47, "b": 43, "c": 47, "d": 41}
    with pytest.raises(ParameterError) as caught:
        all_affinities([make_neighbors(name, 2, n_texts=n) for name, n in sizes.items()])
    assert caught.value.message == (
        "n_texts must be the same for all models: it is 47 for 2; b has 43, d has 41"
    )


# labels, ids, measure


def test_labels_that_repeat_are_named_with_their_numbers(make_neighbors: MakeNeighbors):
    models = [make_neighbors(name, 2) for name in ("a", "b", "a", "c", "b", "a")]
    with pytest.raises(ParameterError) as caught:
        all_affinities(models)
    assert caught.value.message == (
        "labels must be unique on a side; repeated on the left: a (3 times), b (2 times)"
    )
    assert caught.value.hint == (
        "dataclasses.replace(neighbors, model=...) gives neighbors another label."
    )
    with pytest.raises(ParameterError, match="repeated on the right: b"):
        all_affinities(models[:2], right=[models[1], models[4]])


def test_the_same_label_may_stand_on_both_sides(models: list[Neighbors]):
    matrices = all_affinities(models[:2], right=models[1:3])
    assert (matrices.left, matrices.right) == (("first", "second"), ("second", "third"))


@pytest.mark.parametrize(
    ("left", "right", "side"), [(0, None, "left"), (2, 0, "right"), (0, 2, "left")]
)
def test_no_neighbors_at_all_is_an_error(
    models: list[Neighbors], left: int, right: int | None, side: str
):
    with pytest.raises(ParameterError) as caught:
        all_affinities(models[:left], right=None if right is None else models[:right])
    assert caught.value.message == f"at least one model is needed on the {side}; got none"


def test_wrong_ids_are_told_for_each_model(models: list[Neighbors]):
    wrong = [model.ids.copy() for model in models]
    wrong[0][0, 3, 1] = TEXTS
    wrong[2][1, 5, 0] = wrong[2][1, 5, 6]
    broken = [replace(model, ids=ids) for model, ids in zip(models, wrong, strict=True)]
    with pytest.raises(ParameterError) as caught:
        all_affinities(broken)
    assert caught.value.message == (
        "first: ids must lie in 0 to 46 for 47 texts; found 0 to 47; third: an id may stand only once "
        "in a row; row 5 repeats one (rows count from 0)"
    )
    with pytest.raises(ParameterError, match=r"^third \(right\): an id may stand only once"):
        all_affinities(models[:2], right=[models[0], broken[2]])


def test_only_the_neighbors_that_are_used_are_checked(models: list[Neighbors]):
    ids = models[0].ids.copy()
    ids[0, 0, 6] = ids[0, 0, 0]
    broken = replace(models[0], ids=ids)
    np.testing.assert_array_equal(
        all_affinities([broken], k=6).values, all_affinities(models[:1], k=6).values
    )


def test_an_unknown_measure_is_an_error_with_the_known_ones(models: list[Neighbors]):
    with pytest.raises(UnknownNameError, match=r"^measure must be one of mutual_knn, .*; got 'kca'"):
        all_affinities(models, measure="kca")


def test_the_facts_are_kept(models: list[Neighbors]):
    matrices = all_affinities(models, k=5)
    assert isinstance(matrices, AffinityMatrices)
    assert (matrices.measure, matrices.k, matrices.n_texts) == ("mutual_knn", 5, TEXTS)
    assert matrices.texts_digest == "a" * 64
    assert matrices.right_texts_digest is None
    assert matrices.chance == 5 / 46
