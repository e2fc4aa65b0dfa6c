import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from affinity.measure_properties import check_properties, generic_models
from isodepth.affinity import ridge
from isodepth.affinity.ridge import PENALTIES, RIDGE_MEASURES
from isodepth.errors import ParameterError

TO_RIGHT, TO_LEFT = RIDGE_MEASURES["ridge_to_right"], RIDGE_MEASURES["ridge_to_left"]


def r2_of_fits(predictor: np.ndarray, predicted: np.ndarray) -> float:
    """Return R2 by fitting every regression."""
    mean_eigenvalue = ((predictor - predictor.mean(axis=0)) ** 2).sum() / (len(predictor) - 1)
    errors, totals = np.zeros((len(PENALTIES), 5)), np.zeros(5)
    for fold, (train, test) in enumerate(KFold(5).split(predictor)):
        totals[fold] = ((predicted[test] - predicted[train].mean(axis=0)) ** 2).sum()
        for place, penalty in enumerate(PENALTIES):
            model = Ridge(alpha=penalty * mean_eigenvalue).fit(predictor[train], predicted[train])
            errors[place, fold] = ((predicted[test] - model.predict(predictor[test])) ** 2).sum()
    least = 0.0
    for fold in range(5):
        others = np.delete(errors, fold, axis=1).sum(axis=1)
        least += errors[np.argmin(others), fold]
    return 1 - least / totals.sum()


@pytest.mark.parametrize("name", RIDGE_MEASURES)
def test_it_has_the_properties_that_it_states(name: str, rng: np.random.Generator):
    check_properties(RIDGE_MEASURES[name], rng=rng, identity=False, n_times=2)


@pytest.mark.parametrize(("n_texts", "n_units"), [(13, 37), (31, 5)])
def test_values_are_those_of_regressions_that_are_fitted(
    n_texts: int, n_units: int, rng: np.random.Generator
):
    common = rng.normal(size=(n_texts, 3))
    left, right = (
        common @ rng.normal(size=(n_layers, 3, units))
        + rng.normal(size=(n_layers, n_texts, units)) * np.geomspace(0.1, 2, n_layers)[:, None, None]
        + 3
        for n_layers, units in ((2, n_units), (3, 7))
    )
    expected = [[r2_of_fits(one, other) for other in right] for one in left]
    np.testing.assert_allclose(TO_RIGHT(left, right), expected, atol=1e-5)
    expected = [[r2_of_fits(other, one) for other in right] for one in left]
    np.testing.assert_allclose(TO_LEFT(left, right), expected, atol=1e-5)


def test_the_penalty_of_a_part_is_that_of_the_other_parts(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
):
    predictor, predicted = (side[0] for side in generic_models(rng))
    best_of_all = []
    for penalty in PENALTIES:
        monkeypatch.setattr(ridge, "PENALTIES", (penalty,))
        best_of_all.append(TO_RIGHT([predictor], [predicted]).item())
    monkeypatch.undo()
    chosen = TO_RIGHT([predictor], [predicted]).item()
    assert min(best_of_all) < chosen <= max(best_of_all)


def test_each_direction_is_the_other_turned(rng: np.random.Generator):
    left, right = generic_models(rng)
    np.testing.assert_array_equal(TO_LEFT(left, right), TO_RIGHT(right, left).T)
    to_right, to_left = (one.all_values([left, right], None, 0) for one in (TO_RIGHT, TO_LEFT))
    np.testing.assert_array_equal(to_left, to_right.T)
    np.testing.assert_allclose(to_right[:3, 3:], TO_RIGHT(left, right), atol=1e-6)


def test_a_linear_image_is_predicted_and_noise_is_not(rng: np.random.Generator):
    layer = rng.normal(size=(101, 7))
    image, noise = layer @ rng.normal(size=(7, 11)) + 5, rng.normal(size=(101, 11))
    found = TO_RIGHT([layer], [image, noise])[0]
    assert found[0] > 0.999
    assert -0.2 < found[1] < 0.05


def test_what_is_lost_is_predicted_in_one_direction_only(rng: np.random.Generator):
    layer = rng.normal(size=(101, 7))
    part = layer[:, :2]
    assert TO_RIGHT([layer], [part]).item() > 0.999
    assert TO_LEFT([layer], [part]).item() == pytest.approx(2 / 7, abs=0.1)


def test_units_count_by_their_variance(rng: np.random.Generator):
    layer = rng.normal(size=(101, 7))
    known, unknown = layer[:, :1], rng.normal(size=(101, 1))
    known_first = TO_RIGHT([layer], [np.hstack([known, 0.1 * unknown])]).item()
    unknown_first = TO_RIGHT([layer], [np.hstack([0.1 * known, unknown])]).item()
    assert known_first > 0.97
    assert unknown_first < 0.1


def test_too_few_texts_are_refused(rng: np.random.Generator):
    layer = rng.normal(size=(9, 7))
    with pytest.raises(ParameterError) as caught:
        TO_RIGHT([layer], [layer])
    assert caught.value.message == (
        "ridge regression is validated on 5 parts of at least 2 texts each, so it needs 10 texts; got 9"
    )
    assert caught.value.hint == "use more texts."
