import itertools

import numpy as np
import pytest

from isodepth.affinity import counts
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.statistics.familywise import (
    FamilywiseTest,
    familywise_test,
    familywise_tests,
)
from isodepth.statistics.permutation import PermutationNull, permutation_null


def random_ids(rng: np.random.Generator, n_layers: int, n_texts: int, k: int) -> np.ndarray:
    keys = rng.uniform(size=(n_layers, n_texts, n_texts))
    keys[:, np.arange(n_texts), np.arange(n_texts)] = np.inf
    return keys.argsort(axis=2)[:, :, :k].astype(np.int32)


def model(name: str, ids: np.ndarray, texts_digest: str | None = None) -> Neighbors:
    similarities = np.zeros(ids.shape, dtype=np.float32)
    return Neighbors(ids=ids, similarities=similarities, model=name, texts_digest=texts_digest)


def renamed(layer: np.ndarray, new: np.ndarray) -> list[set[int]]:
    """A layer's neighbors after a relabelling, as sets, the slow obvious way."""
    sets: list[set[int]] = [set() for _ in layer]
    for text, neighbors in enumerate(layer):
        sets[new[text]] = {int(new[named]) for named in neighbors}
    return sets


def slow_z(
    left: np.ndarray, right: np.ndarray, left_new: np.ndarray, right_new: np.ndarray
) -> np.ndarray:
    """Every cell's z after relabelling, one pair of layers and one text at a time."""
    null = permutation_null(left, right)
    n_texts, k = left.shape[1:]
    z = np.zeros(null.sd.shape)
    for i, j in itertools.product(range(len(left)), range(len(right))):
        ours, theirs = renamed(left[i], left_new), renamed(right[j], right_new)
        shared = sum(len(one & other) for one, other in zip(ours, theirs, strict=True))
        z[i, j] = (shared / (n_texts * k) - null.mean) / null.sd[i, j]
    return z


def slow_p_values(observed: np.ndarray, maxima: np.ndarray) -> np.ndarray:
    as_high = [[sum(maxima >= z - 1e-9) for z in row] for row in observed]
    return (1 + np.array(as_high)) / (1 + len(maxima))


def test_a_pair_is_what_looping_over_relabellings_gives(rng: np.random.Generator):
    left, right = random_ids(rng, 3, 13, 2), random_ids(rng, 2, 13, 2)
    test = familywise_test(left, right, n_permutations=37, seed=5)
    drawing = np.random.default_rng(5)
    same = np.arange(13)
    maxima = [slow_z(left, right, same, drawing.permutation(13)).max() for _ in range(37)]
    np.testing.assert_allclose(test.maxima, maxima, rtol=1e-12)
    observed = slow_z(left, right, same, same)
    np.testing.assert_allclose(test.null.z(), observed, rtol=1e-9)
    np.testing.assert_allclose(test.p_values, slow_p_values(observed, test.maxima))
    assert test.p_value == test.p_values.min()
    assert test.n_permutations == 37


def test_a_study_relabels_every_model_by_itself(rng: np.random.Generator):
    layers = {"one": 2, "two": 3, "three": 1}
    ids = {name: random_ids(rng, n_layers, 11, 3) for name, n_layers in layers.items()}
    tests = familywise_tests(
        [model(name, some) for name, some in ids.items()], n_permutations=19, seed=7
    )
    drawing = np.random.default_rng(7)
    same = np.arange(11)
    news = [[same, drawing.permutation(11), drawing.permutation(11)] for _ in range(19)]
    assert [(test.left, test.right) for test in tests.pairs] == [
        ("one", "two"),
        ("one", "three"),
        ("two", "three"),
    ]
    for test, (i, j) in zip(tests.pairs, [(0, 1), (0, 2), (1, 2)], strict=True):
        left, right = ids[test.left], ids[test.right]
        maxima = [slow_z(left, right, new[i], new[j]).max() for new in news]
        np.testing.assert_allclose(test.maxima, maxima, rtol=1e-9)
        alone = permutation_null(left, right)
        np.testing.assert_array_equal(test.null.values, alone.values)
        np.testing.assert_allclose(test.null.sd, alone.sd, rtol=1e-12)


def test_over_all_pairs_the_highest_of_all_counts(rng: np.random.Generator):
    tests = familywise_tests(
        [model(name, random_ids(rng, 2, 11, 3)) for name in ("one", "two", "three")], n_permutations=23
    )
    highest = np.max([test.maxima for test in tests.pairs], axis=0)
    np.testing.assert_array_equal(tests.maxima, highest)
    for own, of_all in zip(tests.pairs, tests.over_all(), strict=True):
        np.testing.assert_array_equal(of_all.maxima, highest)
        assert (of_all.left, of_all.right) == (own.left, own.right)
        assert (of_all.p_values >= own.p_values).all()


def test_right_models_are_relabelled_together(rng: np.random.Generator):
    left = {name: random_ids(rng, n_layers, 11, 3) for name, n_layers in (("a", 2), ("b", 1))}
    right = {name: random_ids(rng, n_layers, 11, 3) for name, n_layers in (("a", 3), ("c", 2))}
    tests = familywise_tests(
        [model(name, some) for name, some in left.items()],
        right=[model(name, some) for name, some in right.items()],
        n_permutations=17,
        seed=3,
    )
    assert [(test.left, test.right) for test in tests.pairs] == [*itertools.product("ab", "ac")]
    for test in tests.pairs:
        alone = familywise_test(left[test.left], right[test.right], n_permutations=17, seed=3)
        np.testing.assert_allclose(test.maxima, alone.maxima, rtol=1e-9)
        np.testing.assert_allclose(test.p_values, alone.p_values)


def test_of_unrelated_pairs_as_many_as_a_p_value_says_have_it_or_a_lower_one(rng: np.random.Generator):
    # whatever the left model is, the p-value of an unrelated right one is uniform: pairs that share a
    # model do as well as others
    p_values = []
    for seed in range(13):
        left, right = (
            [model(str(name), random_ids(rng, n_layers, 23, 3)) for name in range(5)]
            for n_layers in (2, 3)
        )
        tests = familywise_tests(left, right=right, n_permutations=19, seed=seed)
        p_values += [test.p_value for test in tests.pairs]
    p_values = np.array(p_values)
    for level in (0.1, 0.25, 0.5, 0.75):
        share = (p_values <= level).mean()
        error = np.sqrt(level * (1 - level) / len(p_values))
        assert share < level + 3 * error
        assert share > level - 4 * error - 0.03  # ties make it a little lower


def test_a_planted_relation_is_found_where_it_is(rng: np.random.Generator):
    left, right = random_ids(rng, 5, 101, 7), random_ids(rng, 3, 101, 7)
    right[1, :40] = left[3, :40]
    test = familywise_test(left, right, n_permutations=99)
    assert test.p_values[3, 1] == test.p_value == 1 / 100
    others = np.delete(test.p_values.ravel(), 3 * 3 + 1)
    assert others.min() > 0.05


def test_the_first_k_neighbors_and_single_layers_will_do(rng: np.random.Generator):
    left, right = random_ids(rng, 1, 23, 5), random_ids(rng, 1, 23, 5)
    fewer = familywise_test(left[0], right[0].astype(np.int64), k=3, n_permutations=9)
    same = familywise_test(left[:, :, :3], model("right", right[:, :, :3]), n_permutations=9)
    assert fewer.null.k == 3
    assert (fewer.left, fewer.right) == ("left", "right")
    np.testing.assert_array_equal(fewer.maxima, same.maxima)


def test_the_same_seed_gives_the_same_and_another_another(rng: np.random.Generator):
    ids = random_ids(rng, 3, 23, 5), random_ids(rng, 2, 23, 5)
    first, again, other = (familywise_test(*ids, n_permutations=29, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.maxima, again.maxima)
    assert (first.maxima != other.maxima).any()
    longer = familywise_test(*ids, n_permutations=31, seed=1)
    np.testing.assert_array_equal(longer.maxima[:29], first.maxima)


def test_the_number_of_threads_does_not_matter(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    ids = random_ids(rng, 3, 211, 5), random_ids(rng, 2, 211, 5)
    monkeypatch.setattr(counts, "PART_BYTES", 1 << 10)
    found = []
    for n_cores in (1, 5):
        monkeypatch.setattr(counts, "usable_cores", lambda n=n_cores: n)
        found.append(familywise_test(*ids, n_permutations=7).maxima)
    np.testing.assert_array_equal(*found)


def test_progress_is_told_from_none_to_all(rng: np.random.Generator):
    told = []
    familywise_test(
        random_ids(rng, 1, 7, 2),
        random_ids(rng, 1, 7, 2),
        n_permutations=3,
        progress=lambda *report: told.append(report),
    )
    assert told == [("relabelling texts", done, 3, "steps") for done in range(4)]


def test_with_all_others_as_neighbors_nothing_is_found(rng: np.random.Generator):
    test = familywise_test(random_ids(rng, 2, 7, 6), random_ids(rng, 3, 7, 6), n_permutations=19)
    assert (test.p_values == 1).all()
    assert (test.least_similarity() == np.inf).all()


def outcome(maxima: np.ndarray) -> FamilywiseTest:
    null = PermutationNull(
        values=np.full((1, 1), 0.5),
        n_texts=101,
        k=7,
        mean=0.07,
        sd=np.full((1, 1), 0.01),
        skewness=None,
    )
    return FamilywiseTest(left="left", right="right", null=null, maxima=maxima)


@pytest.mark.parametrize(("level", "n_allowed"), [(0.05, 4), (0.01, 0), (0.1, 9), (0.5, 49)])
def test_the_critical_z_parts_p_values_at_the_level(
    level: float, n_allowed: int, rng: np.random.Generator
):
    maxima = rng.normal(size=99)
    test = outcome(maxima)
    critical_z = test.critical_z(level)
    assert (maxima > critical_z).sum() == n_allowed
    p_values = (1 + (maxima[:, np.newaxis] >= [critical_z, critical_z + 1e-9]).sum(axis=0)) / 100
    assert p_values[0] > level >= p_values[1]


def test_the_least_similarity_is_the_first_count_that_is_significant(rng: np.random.Generator):
    left, right = random_ids(rng, 3, 23, 5), random_ids(rng, 2, 23, 5)
    test = familywise_test(left, right, n_permutations=99)
    least = test.least_similarity(0.05)
    for similarity, is_enough in ((least, True), (least - 1 / (23 * 5), False)):
        z = test.null.z(similarity)
        p_values = (1 + (test.maxima >= z[..., np.newaxis] - 1e-9).sum(axis=2)) / 100
        assert ((p_values <= 0.05) == is_enough).all()
    np.testing.assert_allclose(least * 23 * 5, np.rint(least * 23 * 5))


def test_too_few_relabellings_find_nothing_at_a_low_level():
    test = outcome(np.zeros(18))
    assert test.critical_z(0.05) == np.inf
    assert (test.least_similarity(0.05) == np.inf).all()
    assert outcome(np.zeros(19)).critical_z(0.05) == 0


def test_no_similarity_above_one_is_enough():
    assert (outcome(np.full(19, 200.0)).least_similarity() == np.inf).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1])
def test_a_level_that_is_none_is_an_error(level: float):
    with pytest.raises(ParameterError) as caught:
        outcome(np.zeros(19)).critical_z(level)
    assert caught.value.message == f"level must lie between 0 and 1; got {level}"


def test_numbers_that_cannot_be_are_errors(rng: np.random.Generator):
    ids = random_ids(rng, 1, 7, 2)
    with pytest.raises(ParameterError) as caught:
        familywise_test(ids, ids, n_permutations=0)
    assert caught.value.message == "n_permutations must be at least 1; got 0"
    with pytest.raises(ParameterError) as caught:
        familywise_test(ids, ids, seed=-1)
    assert caught.value.message == "seed must be at least 0; got -1"


def test_arrays_that_are_no_neighbors_are_an_error():
    with pytest.raises(ParameterError) as caught:
        familywise_test(np.zeros((7, 2)), np.zeros((7, 2)))
    assert caught.value.message == (
        "left must be Neighbors or an integer array (layers, texts, k) or (texts, k); got float64 of "
        "shape (7, 2)"
    )


def test_one_model_is_no_pair(rng: np.random.Generator):
    with pytest.raises(ParameterError) as caught:
        familywise_tests([model("lonely", random_ids(rng, 2, 7, 2))])
    assert caught.value.message == "two models are needed for a pair; got one, lonely"
    assert caught.value.hint == "pass another one, or right=."


def test_other_texts_are_refused(rng: np.random.Generator):
    ids = random_ids(rng, 1, 7, 2)
    with pytest.raises(DigestMismatchError, match="run on other texts"):
        familywise_test(model("one", ids, "aaa"), model("two", ids, "bbb"))
