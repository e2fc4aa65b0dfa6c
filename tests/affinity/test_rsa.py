import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, spearmanr

from affinity.measure_properties import check_properties, generic_models
from isodepth.affinity.rsa import RSA_MEASURES
from isodepth.errors import ActivationsError

CORRELATIONS = {"pearson": pearsonr, "spearman": spearmanr}


@pytest.mark.parametrize("name", RSA_MEASURES)
def test_it_has_the_properties_that_it_states(name: str, rng: np.random.Generator):
    check_properties(RSA_MEASURES[name], rng=rng)


@pytest.mark.parametrize("name", RSA_MEASURES)
def test_values_are_those_of_scipy(name: str, rng: np.random.Generator):
    _, correlation, dissimilarity = name.split("_")
    left, right = generic_models(rng)
    found = RSA_MEASURES[name](left, right)
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            expected = CORRELATIONS[correlation](pdist(one, dissimilarity), pdist(other, dissimilarity))
            assert found[row, column] == pytest.approx(expected.statistic, abs=2e-7)


def test_equal_dissimilarities_share_their_rank(rng: np.random.Generator):
    one, other = (rng.choice([-1.0, 1.0], size=(23, 4)) for _ in range(2))
    dissimilarities = [pdist(layer, "cosine").round(9) for layer in (one, other)]
    assert len(np.unique(dissimilarities[0])) == 5  # of 253
    expected = spearmanr(*dissimilarities).statistic
    found = RSA_MEASURES["rsa_spearman_cosine"]([one], [other]).item()
    assert found == pytest.approx(expected, abs=2e-7)


def test_rounding_does_not_rank_repeated_texts(rng: np.random.Generator):
    # 300 texts that are multiples of 3: all pairs of one direction have cosine 1, give or take rounding
    of_text = rng.integers(0, 3, size=300)
    layer = rng.normal(size=(3, 7))[of_text] * rng.uniform(0.5, 2, size=(300, 1))
    same = np.eye(3)[of_text]
    found = RSA_MEASURES["rsa_spearman_cosine"]([layer], [same]).item()
    exact = np.round(pdist(layer, "cosine"), 9)
    assert len(np.unique(exact)) == 4
    assert found == pytest.approx(spearmanr(exact, pdist(same) > 0).statistic, abs=2e-7)


def test_spearman_ignores_how_far_similarities_are_apart(rng: np.random.Generator):
    layer = rng.normal(size=(31, 7))
    unit = layer / np.linalg.norm(layer, axis=1, keepdims=True)
    # the elementwise exponential of a Gram matrix is one too, of other vectors with ordered cosines
    roots, vectors = np.linalg.eigh(np.exp(3 * (unit @ unit.T - 1)))
    bent = vectors * np.sqrt(roots.clip(0))
    assert RSA_MEASURES["rsa_spearman_cosine"]([layer], [bent]).item() == pytest.approx(1, abs=1e-6)
    assert RSA_MEASURES["rsa_pearson_cosine"]([layer], [bent]).item() < 0.95


def test_correlations_ignore_what_all_units_of_a_text_share(rng: np.random.Generator):
    left, right = generic_models(rng)
    moved = [layer + rng.normal(size=(len(layer), 1)) for layer in left]
    for correlation in CORRELATIONS:
        measure = RSA_MEASURES[f"rsa_{correlation}_correlation"]
        np.testing.assert_allclose(measure(moved, right), measure(left, right), atol=2e-7)


@pytest.mark.parametrize(
    ("dissimilarity", "value", "found"),
    [("cosine", 0.0, "all zero"), ("correlation", 0.1, "the same in all units")],
)
def test_texts_without_direction_are_named(
    dissimilarity: str, value: float, found: str, rng: np.random.Generator
):
    layers = rng.normal(size=(2, 13, 7))
    layers[1, [3, 10]] = value
    with pytest.raises(ActivationsError) as caught:
        RSA_MEASURES[f"rsa_pearson_{dissimilarity}"].all_values([layers], None, 0)
    assert caught.value.message == (
        f"model 1, layer 2: the activations of text 4, 11 (rows count from 1) are {found}, so they have "
        f"no {dissimilarity} with others"
    )


def test_texts_that_are_all_equally_dissimilar_are_refused():
    corners = np.eye(11)
    for measure in RSA_MEASURES.values():
        with pytest.raises(ActivationsError, match="layer 1: all pairs of texts are equally far apart"):
            measure([corners], [corners])


def test_texts_that_are_all_the_same_are_refused():
    same = np.ones((11, 7))
    with pytest.raises(ActivationsError) as caught:
        RSA_MEASURES["rsa_pearson_cosine"]([same], [same])
    assert caught.value.message == (
        "model 1, layer 1: all 11 texts have the same activations, so all are equally dissimilar"
    )
    assert caught.value.hint == "leave this layer out, or look at how its activations were made."
