import numpy as np
import pytest
from studies.calibration.intervals import Setting, coverages

from isodepth.affinity import affinity_matrix
from isodepth.errors import ParameterError
from isodepth.statistics.resampling import (
    FEWEST_NEXT,
    RESAMPLING_METHODS,
    resampled_matrices,
    text_roles,
)


def orders(rng: np.random.Generator, *n_layers: int, n_texts: int = 23) -> list[np.ndarray]:
    """Return all other texts, nearest first, of the layers of models that share some of it."""
    shared = rng.uniform(size=(n_texts, n_texts))
    itself = np.arange(n_texts)
    models = []
    for number in n_layers:
        distances = shared + rng.uniform(size=(number, n_texts, n_texts))
        distances[:, itself, itself] = np.inf
        models.append(distances.argsort(axis=2)[..., :-1].astype(np.int32))
    return models


def shared_total(left: np.ndarray, right: np.ndarray, k: int, out: int | None = None) -> np.ndarray:
    """Return how many neighbors all texts together share, as a slow count; one text may be left out."""
    totals = np.zeros((len(left), len(right)))
    for i, left_lists in enumerate(left):
        for j, right_lists in enumerate(right):
            for text, lists in enumerate(zip(left_lists, right_lists, strict=True)):
                if text != out:
                    firsts = [[other for other in one if other != out][:k] for one in lists]
                    totals[i, j] += len(set(firsts[0]) & set(firsts[1]))
    return totals


# what a text adds, against slow ways


@pytest.mark.parametrize("k", [1, 3, 7])
def test_with_one_more_neighbor_the_roles_are_the_effect_of_leaving_a_text_out(
    rng: np.random.Generator, k: int
):
    left, right = orders(rng, 3, 2)
    own, lent, method = text_roles(left[..., : k + 1], right[..., : k + 1], k=k)
    assert method == "two-way"
    everyone = shared_total(left, right, k)
    for text in range(23):
        # all lists anew, from all other texts
        effect = everyone - shared_total(left, right, k, out=text)
        np.testing.assert_allclose(own[text] + lent[text], effect, atol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_own_is_how_many_neighbors_two_layers_share(rng: np.random.Generator, k: int):
    left, right = orders(rng, 3, 2)
    own, _, _ = text_roles(left, right, k=k)
    for text in range(23):
        for i in range(3):
            for j in range(2):
                assert own[text, i, j] == len({*left[i, text, :k]} & {*right[j, text, :k]})


@pytest.mark.parametrize(("k", "n_next"), [(1, 5), (3, 5), (7, 7), (7, 2)])
def test_who_takes_a_neighbors_place_is_averaged_over_those_that_follow(
    rng: np.random.Generator, k: int, n_next: int
):
    left, right = orders(rng, 2, 3)
    length = k + n_next
    _, lent, _ = text_roles(left[..., :length], right[..., :length], k=k)
    assert lent is not None
    expected = np.zeros((23, 2, 3))
    for i in range(2):
        for j in range(3):
            for a, b in zip(left[i].tolist(), right[j].tolist(), strict=True):
                for text in {*a[:k], *b[:k]}:
                    in_both = text in a[:k] and text in b[:k]
                    gained = []
                    for place in range(k, length):
                        by_left = text in a[:k] and a[place] in b[:place]
                        by_right = text in b[:k] and b[place] in a[:place]
                        by_both = in_both and a[place] == b[place]
                        gained.append(by_left + by_right + by_both)
                    expected[text, i, j] += in_both - np.mean(gained)
    np.testing.assert_allclose(lent, expected, atol=1e-5)


def test_no_more_neighbors_are_used_than_k_again_or_five(rng: np.random.Generator):
    left, right = orders(rng, 2, 3)
    for k in (2, 7):
        used = k + max(k, FEWEST_NEXT)
        _, all_held, _ = text_roles(left, right, k=k)
        _, as_documented, _ = text_roles(left[..., :used], right[..., :used], k=k)
        np.testing.assert_array_equal(all_held, as_documented)
        _, fewer, _ = text_roles(left[..., : used - 1], right[..., : used - 1], k=k)
        assert not np.array_equal(all_held, fewer)


def test_sides_may_hold_different_numbers_of_neighbors(rng: np.random.Generator):
    left, right = orders(rng, 2, 3)
    for a, b in zip(
        text_roles(left[..., :11], right[..., :13], k=7)[:2],
        text_roles(left[..., :11], right[..., :11], k=7)[:2],
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


# properties


def test_a_layer_lends_nothing_to_itself(rng: np.random.Generator):
    (model,) = orders(rng, 3)
    own, lent, _ = text_roles(model, model, k=7)
    assert lent is not None
    for layer in range(3):
        np.testing.assert_array_equal(own[:, layer, layer], 7)
        np.testing.assert_allclose(lent[:, layer, layer], 0, atol=1e-5)
    others = ~np.eye(3, dtype=bool)
    assert np.abs(lent[:, others]).max() > 0.5
    resampled = resampled_matrices(model, model, k=7, n_resamples=31)
    diagonal = resampled.values[:, np.arange(3), np.arange(3)]
    np.testing.assert_allclose(diagonal, 1, atol=1e-5)


def test_the_order_of_the_neighbors_that_count_is_of_no_consequence(rng: np.random.Generator):
    (model,) = orders(rng, 2)
    shuffled = model.copy()
    shuffled[..., :7] = rng.permuted(model[..., :7], axis=2)
    assert not np.array_equal(model, shuffled)
    own, lent, _ = text_roles(model, shuffled, k=7)
    same = text_roles(model, model, k=7)
    np.testing.assert_array_equal(own, same[0])
    np.testing.assert_allclose(lent, same[1], atol=1e-5)


def test_nearly_equal_layers_lend_little(rng: np.random.Generator):
    (model,) = orders(rng, 1)
    nearly = model.copy()
    nearly[:, ::7, [6, 7]] = nearly[:, ::7, [7, 6]]  # every seventh text has another last neighbor
    own, lent, _ = text_roles(model, nearly, k=7)
    assert lent is not None
    assert own.mean() == pytest.approx(7 - 4 / 23)
    assert 0 < np.abs(lent).max() <= 2
    assert lent.std() < 0.4
    assert text_roles(model, orders(rng, 1)[0], k=7)[1].std() > 2 * lent.std()


def test_sides_can_be_exchanged(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    forth, back = text_roles(left, right, k=3), text_roles(right, left, k=3)
    for role, role_back in zip(forth[:2], back[:2], strict=True):
        np.testing.assert_allclose(role, role_back.transpose(0, 2, 1), atol=1e-5)
    there = resampled_matrices(left, right, k=3, n_resamples=11)
    back_again = resampled_matrices(right, left, k=3, n_resamples=11)
    np.testing.assert_allclose(there.values, back_again.values.transpose(0, 2, 1), atol=1e-6)


def test_texts_can_be_renamed(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    new = rng.permutation(23).astype(np.int32)
    renamed = []
    for ids in (left, right):
        of_new = np.empty_like(ids)
        of_new[:, new] = new[ids]
        renamed.append(of_new)
    for before, after in zip(
        text_roles(left, right, k=3)[:2], text_roles(*renamed, k=3)[:2], strict=True
    ):
        np.testing.assert_allclose(after[new], before, atol=1e-5)


def test_arguments_are_not_changed(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    copies = left.copy(), right.copy()
    resampled_matrices(left, right, k=3, n_resamples=11)
    np.testing.assert_array_equal(left, copies[0])
    np.testing.assert_array_equal(right, copies[1])


# resampled matrices


def test_the_observed_matrix_is_that_of_mutual_knn(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    resampled = resampled_matrices(left, right, k=3, n_resamples=11)
    matrix = affinity_matrix(
        np.ascontiguousarray(left[..., :3]), np.ascontiguousarray(right[..., :3])
    ).values
    np.testing.assert_allclose(resampled.observed, matrix, rtol=1e-12)
    assert resampled.values.shape == (11, 3, 2)
    assert resampled.n_resamples == 11
    assert (resampled.n_texts, resampled.k, resampled.seed) == (23, 3, 0)


@pytest.mark.parametrize("method", RESAMPLING_METHODS)
def test_resamples_scatter_as_the_variance_of_the_roles_says(rng: np.random.Generator, method: str):
    left, right = orders(rng, 3, 2, n_texts=47)
    resampled = resampled_matrices(left, right, k=3, n_resamples=2_000, method=method)
    own, lent, _ = text_roles(left, right, k=3, method=method)
    # of independent weights: the variances of both roles add up
    variance = own.var(axis=0) + (0 if lent is None else lent.var(axis=0))
    expected = np.sqrt(variance / 47) / 3
    sd = resampled.values.std(axis=0)
    # of 2,000 resamples, a standard deviation has an error of 1.6 %
    np.testing.assert_allclose(sd, expected, rtol=0.07)
    error = sd / np.sqrt(2_000)
    assert (np.abs(resampled.values.mean(axis=0) - resampled.observed) < 4.5 * error).all()


def test_the_same_seed_gives_the_same_resamples(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    first, again, other = (
        resampled_matrices(left, right, k=3, n_resamples=11, seed=seed).values for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_all_pairs_get_the_same_weights(rng: np.random.Generator):
    one, two, three = orders(rng, 3, 2, 4)
    pair = resampled_matrices(one, two, k=3, n_resamples=11).values
    beside_others = resampled_matrices(
        np.concatenate([three, one]), np.concatenate([two, three]), k=3, n_resamples=11
    )
    np.testing.assert_allclose(beside_others.values[:, 4:, :2], pair, atol=1e-6)


def test_where_no_more_than_k_are_held_lists_name_no_other_instead(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    held = [np.ascontiguousarray(ids[..., :7]) for ids in (left, right)]
    own, lent, method = text_roles(*held, k=7)
    assert method == "two-way, bare"
    np.testing.assert_array_equal(own, text_roles(left, right, k=7)[0])
    # so that a text lends as many as name it in both layers
    named = [(ids[:, :, :, np.newaxis] == np.arange(23)).any(axis=2) for ids in held]
    np.testing.assert_array_equal(lent, np.einsum("isn,jsn->nij", *named, dtype=np.float32))
    resampled = resampled_matrices(*held, k=7, n_resamples=11)
    assert resampled.method == "two-way, bare"
    asked_for = resampled_matrices(left, right, k=7, n_resamples=11, method="two-way, bare")
    np.testing.assert_array_equal(resampled.values, asked_for.values)


def test_by_overlaps_texts_lend_nothing(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    own, lent, method = text_roles(left, right, k=7, method="overlaps")
    assert (lent, method) == (None, "overlaps")
    np.testing.assert_array_equal(own, text_roles(left, right, k=7)[0])


def test_overlaps_are_resampled_with_the_weights_of_texts(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    resampled = resampled_matrices(left, right, k=7, n_resamples=11, seed=5, method="overlaps")
    own, _, _ = text_roles(left, right, k=7)
    counts = np.random.default_rng(5).multinomial(23, np.full(23, 1 / 23), size=11)
    for drawn, values in zip(counts, resampled.values, strict=True):
        texts = np.repeat(np.arange(23), drawn)
        np.testing.assert_allclose(values, own[texts].mean(axis=0) / 7, atol=1e-6)


def test_it_shows_what_it_holds(rng: np.random.Generator):
    left, right = orders(rng, 3, 2)
    assert repr(resampled_matrices(left, right, k=7, n_resamples=11)) == (
        "ResampledMatrices((resamples, layers, layers) = (11, 3, 2), two-way, n_texts = 23, k = 7)"
    )


# coverage, by simulation (studies/calibration/intervals.py has more of it)


LINEAR = ("mean", "on_minus_off", "on_minus_anti", "centered_ridge", "ridge_early", "ridge_late")


def covered(kind: str, *methods: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return how often intervals of `LINEAR` hold the truth, and how wide they are, by method."""
    found = coverages(
        kind,
        Setting(n_texts=113, n_clusters=0, noise=0.7),
        ks=(7,),
        methods=methods,
        n_layers=(7, 6),
        n_simulations=120,
        n_resamples=60,
    )
    return [tuple(np.array([found[7, method][name] for name in LINEAR]).T) for method in methods]


def test_intervals_hold_the_truth_if_texts_are_resampled_in_both_roles():
    (two_way, sd_two_way), (overlaps, sd_overlaps) = covered("ridge", "two-way", "overlaps")
    # at a coverage of 95 %, 120 simulations have a standard error of 2 %
    assert two_way.min() >= 0.91
    assert ((sd_two_way > 0.8) & (sd_two_way < 1.7)).all()
    # overlaps alone pretend that no text is another's neighbor
    assert overlaps.mean() < 0.9
    assert (sd_overlaps < sd_two_way).all()


def test_intervals_of_contrasts_need_no_more_than_k_neighbors():
    for holds, sd in covered("two blocks", "two-way", "two-way, bare"):
        assert holds.min() >= 0.91
        assert ((sd > 0.8) & (sd < 1.7)).all()


# errors


def test_different_numbers_of_texts_are_refused(rng: np.random.Generator):
    (left,), (right,) = orders(rng, 2), orders(rng, 3, n_texts=29)
    with pytest.raises(ParameterError) as raised:
        text_roles(left[..., :5], right[..., :5], k=3)
    assert raised.value.message == (
        "left and right neighbors must be of as many texts; got 23 (left) and 29 (right)"
    )


@pytest.mark.parametrize("k", [0, 6])
def test_more_neighbors_than_are_held_are_refused(rng: np.random.Generator, k: int):
    left, right = orders(rng, 2, 3)
    with pytest.raises(ParameterError) as raised:
        resampled_matrices(left[..., :5], right[..., :7], k=k)
    assert raised.value.message == (
        f"k = {k} neighbors were asked for; expected 1 <= k <= 5, the number that is held"
    )


def test_an_unknown_method_is_refused(rng: np.random.Generator):
    left, right = orders(rng, 2, 3)
    with pytest.raises(ParameterError) as raised:
        resampled_matrices(left, right, k=3, method="jackknife")
    known = ", ".join(RESAMPLING_METHODS)
    assert raised.value.message == f"method must be one of {known}; got 'jackknife'"


def test_two_way_resampling_of_no_more_than_k_neighbors_is_refused(rng: np.random.Generator):
    left, right = orders(rng, 2, 3)
    with pytest.raises(ParameterError) as raised:
        resampled_matrices(left[..., :5], right[..., :7], k=5, method="two-way")
    assert raised.value.message == (
        "two-way resampling needs more neighbors of each text than the k = 5 that count, to tell which "
        "would come next"
    )
    assert raised.value.hint == "pass all neighbors that are stored, or method='two-way, bare'."


@pytest.mark.parametrize("n_resamples", [1, 0, -3])
def test_fewer_than_two_resamples_are_refused(rng: np.random.Generator, n_resamples: int):
    left, right = orders(rng, 2, 3)
    with pytest.raises(ParameterError) as raised:
        resampled_matrices(left, right, k=3, n_resamples=n_resamples)
    assert raised.value.message == f"at least 2 resamples are needed; got n_resamples = {n_resamples}"


@pytest.mark.parametrize(
    ("place", "neighbor", "message"),
    [(0, 23, "ids must lie in 0 to 22"), (1, 5, "may not be its own neighbor; row 5")],
)
def test_impossible_neighbors_are_refused_by_side(
    rng: np.random.Generator, place: int, neighbor: int, message: str
):
    left, right = orders(rng, 2, 3)
    right[1, 5, place] = neighbor
    with pytest.raises(ParameterError, match=rf"right_ids: .*{message}"):
        text_roles(left, right, k=3)
