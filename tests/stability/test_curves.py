from dataclasses import replace

import numpy as np
import pytest

from isodepth.affinity import all_affinities
from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.stability import SimilarityCurves, similarity_curves
from isodepth.stability.points import PARTS, RULES
from isodepth.statistics import generalized_diagonal
from isodepth.texts import Pairing

N_TEXTS, STORED, K = 127, 53, 6
LAYERS = {"one": 5, "two": 3, "three": 2}


def activations(rng: np.random.Generator, n_texts: int) -> dict[str, np.ndarray]:
    """Return layers of models that have half of what they hold in common."""
    shared = rng.normal(size=(n_texts, 7))
    return {
        name: shared + 0.8 * rng.normal(size=(n_layers, n_texts, 7))
        for name, n_layers in LAYERS.items()
    }


def neighbors_of(values: dict[str, np.ndarray], k: int = STORED) -> list[Neighbors]:
    return [
        Neighbors(ids=found.ids, similarities=found.similarities, model=name)
        for name, one in values.items()
        for found in [nearest_neighbors(one, k)]
    ]


def parts_of(matrix: np.ndarray) -> list[float]:
    on = generalized_diagonal(*matrix.shape)
    return [matrix.mean(), matrix[on].mean(), matrix[~on].mean()]


def overlap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the shares of neighbors in common of all layers, by sets."""
    return np.array(
        [
            [np.mean([len({*a} & {*b}) / len(a) for a, b in zip(x, y, strict=True)]) for y in right]
            for x in left
        ]
    )


@pytest.fixture(scope="module")
def values() -> dict[str, np.ndarray]:
    return activations(np.random.default_rng(11), N_TEXTS)


@pytest.fixture(scope="module")
def curves(values: dict[str, np.ndarray]) -> SimilarityCurves:
    return similarity_curves(neighbors_of(values), k=K, n_subsets=7, seed=3)


def test_every_pair_has_a_curve_by_every_rule(curves: SimilarityCurves):
    assert curves.pairs == (("one", "two"), ("one", "three"), ("two", "three"))
    assert {point.rule for point in curves.points} == set(RULES)
    assert all(point.values.shape == (3, len(PARTS)) for point in curves.points)
    places = [(list(RULES).index(one.rule), one.n_texts, one.k) for one in curves.points]
    assert places == sorted(places)


def test_against_k_it_is_the_mean_of_the_matrices(
    curves: SimilarityCurves, values: dict[str, np.ndarray]
):
    neighbors = neighbors_of(values)
    ks = [point.k for point in curves.along("k")]
    assert ks[:10] == list(range(1, 11))
    assert ks[-1] == STORED
    for point in curves.along("k"):
        expected = [parts_of(one.values) for one in all_affinities(neighbors, k=point.k).pairs()]
        assert point.values == pytest.approx(np.array(expected))
        assert np.isnan(point.spread).all()
        assert (point.n_texts, point.extrapolated) == (N_TEXTS, False)


def test_subsets_agree_with_neighbors_searched_for_again(values: dict[str, np.ndarray]):
    # few layers and many stored neighbors: no text is left out
    curves = similarity_curves(neighbors_of(values, k=N_TEXTS - 1), k=K, n_subsets=3, seed=5)
    rng = np.random.default_rng(5)
    whole = [parts_of(one.values) for one in all_affinities(neighbors_of(values, k=K)).pairs()]
    sizes = [point.n_texts for point in curves.along("n") if point.n_texts < N_TEXTS]
    assert sizes[0] == 8
    assert sizes[-1] == 90
    for size in sizes[::-1]:
        found = []
        for _ in range(3):
            members = np.sort(rng.choice(N_TEXTS, size, replace=False))
            again = neighbors_of({name: one[:, members] for name, one in values.items()}, k=K)
            found.append([parts_of(one.values) for one in all_affinities(again).pairs()])
        (point,) = [one for one in curves.along("n") if one.n_texts == size]
        assert point.values == pytest.approx(np.mean(found, axis=0))
        assert point.spread == pytest.approx(np.std(found, axis=0, ddof=1))
        assert (point.n_subsets, point.left_out) == (3, 0)
    (last,) = [one for one in curves.along("n") if one.n_texts == N_TEXTS]
    assert last.values == pytest.approx(np.array(whole))


def test_texts_with_short_lists_do_not_count(values: dict[str, np.ndarray]):
    """With few stored neighbors some texts are left out, and the others' similarity is exact."""
    neighbors = neighbors_of(values, k=23)
    curves = similarity_curves(neighbors, k=3, n_subsets=13, seed=18)
    rng = np.random.default_rng(18)
    lists = {name: nearest_neighbors(one, 23).ids for name, one in values.items()}
    *larger, point = [one for one in curves.along("n") if one.n_texts < N_TEXTS][::-1]
    for one in larger:
        for _ in range(13):
            rng.choice(N_TEXTS, one.n_texts, replace=False)
    found, n_left_out = [], 0
    for _ in range(13):
        members = np.sort(rng.choice(N_TEXTS, point.n_texts, replace=False))
        held = [np.isin(ids[:, members], members).sum(axis=2).min(axis=0) for ids in lists.values()]
        enough = np.min(held, axis=0) >= 3
        n_left_out += int((~enough).sum())
        again = {
            name: nearest_neighbors(one[:, members], 3).ids[:, enough] for name, one in values.items()
        }
        found.append([parts_of(overlap(again[one], again[other])) for one, other in curves.pairs])
    assert n_left_out > 0
    assert point.left_out == pytest.approx(n_left_out / (13 * point.n_texts))
    assert point.values == pytest.approx(np.mean(found, axis=0))


def test_extrapolated_points_are_those_of_fewer_neighbors(curves: SimilarityCurves):
    beyond = [point for point in curves.points if point.extrapolated]
    assert [(point.n_texts, point.k) for point in beyond] == [(253, K), (757, K)]
    by_k = {point.k: point for point in curves.along("k")}
    for point, smaller in zip(beyond, (3, 1), strict=True):
        assert point.rule == "n"
        assert point.calibrated == pytest.approx(by_k[smaller].calibrated)
        assert point.values == pytest.approx(
            point.chance + by_k[smaller].calibrated * (1 - point.chance)
        )
        assert (point.calibrated_spread > 0).all()


def test_the_law_is_held_against_subsets(curves: SimilarityCurves):
    reduced = curves.along("k / n")
    assert [(point.n_texts, point.k) for point in reduced] == [(22, 1), (64, 3), (N_TEXTS, K)]
    assert set(curves.law_errors) == {1, 3}
    assert curves.law_errors[3] == pytest.approx(reduced[1].calibrated - reduced[2].calibrated)


def test_the_law_predicts_what_more_texts_of_one_kind_give():
    """What is extrapolated from 127 texts is what is found on 253 of the same distribution."""
    everything = activations(np.random.default_rng(23), 253)
    some = {name: one[:, :N_TEXTS] for name, one in everything.items()}
    curves = similarity_curves(neighbors_of(some), k=K, n_subsets=7)
    (predicted,) = [one for one in curves.points if one.extrapolated and one.n_texts == 253]
    (before,) = [one for one in curves.along("n") if one.n_texts == N_TEXTS]
    measured = np.array(
        [parts_of(one.values) for one in all_affinities(neighbors_of(everything, k=K)).pairs()]
    )
    missed = np.abs(predicted.values - measured)
    assert (missed < 0.03).all()
    assert (missed < np.abs(before.values - measured) / 2).all()


def test_the_spread_of_all_texts_is_near_that_of_texts_drawn_anew():
    rng = np.random.default_rng(31)
    fresh = []
    for _ in range(30):
        neighbors = neighbors_of(activations(rng, 61), k=29)
        fresh.append([one.values.mean() for one in all_affinities(neighbors, k=4).pairs()])
    curves = similarity_curves(neighbors, k=4, n_subsets=30)
    (whole,) = [one for one in curves.along("n") if one.n_texts == 61]
    ratio = whole.spread[:, 0] / np.std(fresh, axis=0, ddof=1)
    assert (ratio > 0.6).all()
    assert (ratio < 1.7).all()


def test_models_without_relation_stay_at_chance(rng: np.random.Generator):
    values = {name: rng.normal(size=(n, N_TEXTS, 5)) for name, n in (("a", 3), ("b", 2))}
    curves = similarity_curves(neighbors_of(values), k=K, n_subsets=5)
    for point in curves.points:
        assert np.abs(point.calibrated[:, 0]).max() < 0.06


def test_a_model_and_its_rotated_copy_stay_at_one(values: dict[str, np.ndarray]):
    pair = {"a": values["two"][:1], "b": 2 * values["two"][:1, :, ::-1]}
    curves = similarity_curves(neighbors_of(pair), k=K, n_subsets=2)
    for point in curves.points:
        assert point.values[:, :2] == pytest.approx(1)
        assert np.isnan(point.values[:, 2]).all()  # one layer each: nothing is off the diagonal


def test_sides_with_parallel_texts_are_compared_with_each_other(values: dict[str, np.ndarray]):
    ours, theirs = neighbors_of(values)[:2], neighbors_of(values)[2:]
    curves = similarity_curves(ours, right=theirs, k=K, n_subsets=2)
    assert curves.pairs == (("one", "three"), ("two", "three"))
    together = similarity_curves(neighbors_of(values), k=K, n_subsets=2)
    for one, other in zip(curves.points, together.points, strict=True):
        assert one.values == pytest.approx(other.values[1:])


def test_parallel_texts_need_a_pairing(values: dict[str, np.ndarray]):
    ours, theirs = (
        [replace(one, texts_digest=digest) for one in neighbors_of(values)[:1]] for digest in ("a", "b")
    )
    with pytest.raises(DigestMismatchError):
        similarity_curves(ours, right=theirs, k=K)
    found = similarity_curves(
        ours, right=theirs, k=K, n_subsets=2, pairing=Pairing(left="a", right="b")
    )
    assert found.pairs == (("one", "one"),)


def test_with_no_more_than_k_stored_there_are_no_subsets(values: dict[str, np.ndarray]):
    curves = similarity_curves(neighbors_of(values, k=K), k=K, n_subsets=2)
    assert [(point.n_texts, point.extrapolated) for point in curves.along("n")] == [
        (N_TEXTS, False),
        (253, True),
        (757, True),
    ]
    assert np.isnan(curves.along("n")[0].spread).all()


def test_one_neighbor_leaves_nothing_to_extrapolate_from(values: dict[str, np.ndarray]):
    curves = similarity_curves(neighbors_of(values), k=1, n_subsets=2)
    assert not any(point.extrapolated for point in curves.points)
    assert curves.law_errors == {}


def test_lists_of_all_others_are_all_chance(rng: np.random.Generator):
    values = {name: rng.normal(size=(2, 13, 5)) for name in ("a", "b")}
    curves = similarity_curves(neighbors_of(values, k=12), k=3, n_subsets=2)
    everything = curves.along("k")[-1]
    assert everything.values == pytest.approx(1)
    assert np.isnan(everything.calibrated).all()


def test_the_same_seed_gives_the_same(values: dict[str, np.ndarray]):
    neighbors = neighbors_of(values, k=13)
    tables = [
        similarity_curves(neighbors, k=K, n_subsets=2, seed=seed).to_table() for seed in (3, 3, 4)
    ]
    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


def test_the_table_says_what_is_extrapolated(curves: SimilarityCurves):
    table = curves.to_table()
    assert len(table) == len(curves.points) * 3 * len(PARTS)
    rows = table.to_pylist()
    is_beyond = [row["n_texts"] > N_TEXTS for row in rows]
    assert [row["is"] == "extrapolated" for row in rows] == is_beyond
    assert [row["law_error"] is not None for row in rows] == is_beyond
    assert any(is_beyond)
    (row,) = [
        row
        for row in rows
        if (row["left"], row["right"], row["part"], row["n_texts"]) == ("one", "three", "on_mean", 253)
    ]
    assert row["law_error"] == pytest.approx(curves.law_errors[3][1, 1])
    assert row["chance"] == pytest.approx(K / 252)
    assert row["calibrated"] == pytest.approx((row["similarity"] - K / 252) / (1 - K / 252))
    assert "extrapolated" in curves._repr_html_()
    assert repr(curves).startswith("SimilarityCurves(3 pairs")


def test_progress_is_told_to_its_end(values: dict[str, np.ndarray]):
    told: list[tuple[int, int]] = []
    similarity_curves(
        neighbors_of(values),
        k=K,
        n_subsets=2,
        progress=lambda _, done, total, __: told.append((done, total)),
    )
    assert [done for done, _ in told] == list(range(told[-1][1] + 1))
    assert len({total for _, total in told}) == 1


def test_what_cannot_be_drawn_is_refused(values: dict[str, np.ndarray]):
    neighbors = neighbors_of(values)
    with pytest.raises(ParameterError, match="at least 2 subsets; got n_subsets = 1"):
        similarity_curves(neighbors, k=K, n_subsets=1)
    with pytest.raises(ParameterError, match=f"k = 54 .* expected 1 <= k <= {STORED}"):
        similarity_curves(neighbors, k=54)
    with pytest.raises(ParameterError, match="pairs of models; got one model alone"):
        similarity_curves(neighbors[:1], k=K)


def test_every_extrapolated_row_has_its_own_law_error(values: dict[str, np.ndarray]):
    """Also where the number of texts had to be rounded: 126 x 9 / 4 is no whole number."""
    curves = similarity_curves(neighbors_of(values), k=9, n_subsets=2)
    rows = [row for row in curves.to_table().to_pylist() if row["is"] == "extrapolated"]
    found = {(row["n_texts"], row["law_error"]) for row in rows if row["part"] == "mean"}
    by_texts = {285: 4, 568: 2, 1135: 1}
    assert {n_texts for n_texts, _ in found} == set(by_texts)
    assert all(error in curves.law_errors[by_texts[n_texts]][:, 0] for n_texts, error in found)
