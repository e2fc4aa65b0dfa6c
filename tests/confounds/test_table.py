from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from isodepth.affinity import affinity_matrix
from isodepth.confounds import (
    CONTROLS,
    MOVES,
    ConfoundTable,
    ControlInputs,
    ControlledNeighbors,
    all_controlled,
    confound_table,
    controlled_neighbors,
    moves,
)
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.figures import confound_figure, controls_figure
from isodepth.statistics import PROFILE, Estimate, diagonality_profile, resampled_matrices

N_TEXTS, K = 101, 5
TEXTS = [f"{'x' * (7 * number % 53 + 2)}{'.!'[number % 2]}" for number in range(N_TEXTS)]
NAMES = ["center", "correlation", "same_ending(1)", "same_label(source)"]


def planted(rng: np.random.Generator, *n_layers: int, n_texts: int = N_TEXTS) -> dict[str, np.ndarray]:
    """Return models whose layers walk from one shared view of texts to another, off center."""
    views = rng.normal(size=(2, n_texts, 23))
    models = {}
    for number, layers in zip("abc", n_layers, strict=False):
        depth = np.linspace(0, 1, layers)[:, np.newaxis, np.newaxis]
        values = (1 - depth) * views[0] + depth * views[1]
        models[number] = values + 0.5 * rng.normal(size=values.shape) + rng.normal(size=23)
    return models


@pytest.fixture(scope="module")
def controlled() -> list[ControlledNeighbors]:
    models = planted(np.random.default_rng(5), 6, 7, 4)
    return list(all_controlled(models, ControlInputs(texts=TEXTS, k=K), NAMES))


@pytest.fixture(scope="module")
def table(controlled: list[ControlledNeighbors]) -> ConfoundTable:
    return confound_table(controlled, n_resamples=101)


def test_values_are_the_profiles_of_calibrated_matrices(
    controlled: list[ControlledNeighbors], table: ConfoundTable
):
    for one in controlled[:3]:
        ids = [one.ids[name] for name in "ab"]
        resampled = resampled_matrices(*ids, k=K, n_resamples=101)
        chance = one.chance
        calibrated = (affinity_matrix(*ids, k=K).values - chance) / (1 - chance)
        profile = diagonality_profile(
            calibrated,
            n_texts=N_TEXTS,
            resampled=replace(
                resampled,
                observed=calibrated,
                values=(resampled.values - np.float32(chance)) / np.float32(1 - chance),
            ),
        )
        rows = {row.part: row for row in table.of(one.control.name, left="a", right="b")}
        assert set(rows) == set(profile) == set(PROFILE)
        for part, row in rows.items():
            assert row.value.value == pytest.approx(profile[part].value, abs=1e-9)
            if part not in ("mean", "on_mean", "off_mean"):  # which may lie below chance here
                assert row.value.low == pytest.approx(profile[part].low, abs=1e-4)
                assert row.value.high == pytest.approx(profile[part].high, abs=1e-4)


def test_matrices_are_those_behind_the_values(
    controlled: list[ControlledNeighbors], table: ConfoundTable
):
    assert [one.name for one in table.matrices] == [*table.mean_profiles()]
    by_name = {one.name: one for one in table.matrices}
    expected = {one.control.name: one.ids for one in controlled[:3]}
    expected["baseline"] = controlled[0].plain_ids
    for name, ids in expected.items():
        one = by_name[name]
        assert list(one.pairs) == [("a", "b"), ("a", "c"), ("b", "c")]
        for (left, right), values in one.pairs.items():
            assert values.dtype == np.float32
            whole = affinity_matrix(ids[left], ids[right], k=K).values
            np.testing.assert_allclose(values, whole, rtol=1e-6)
            calibrated = one.calibrated(left, right)
            np.testing.assert_allclose(
                calibrated, (whole - one.chance) / (1 - one.chance), rtol=1e-5, atol=1e-6
            )
            if name != "baseline":
                mean = table.row(name, "mean", left=left, right=right).value
                assert calibrated.mean() == pytest.approx(mean.value, abs=1e-6)
    at_random = by_name["same_ending(1), at random"]
    shuffled = [affinity_matrix(ids["a"], ids["c"], k=K).values for ids in controlled[2].baselines]
    np.testing.assert_allclose(at_random.pairs["a", "c"], np.mean(shuffled, axis=0), rtol=1e-6)
    assert at_random.chance == by_name["same_ending(1)"].chance == controlled[2].chance
    assert {(one.k, one.n_texts) for one in table.matrices} == {(K, N_TEXTS)}


def test_matrices_as_a_table_have_a_row_for_each_pair_of_layers(table: ConfoundTable):
    one = next(one for one in table.matrices if one.name == "correlation")
    found = one.to_table()
    assert found.column_names == [
        *("control", "left", "right", "left_layer", "right_layer", "similarity", "calibrated"),
        *("chance", "n_texts", "k", "metric", "preprocessing"),
    ]
    assert len(found) == 6 * 7 + 6 * 4 + 7 * 4
    rows = [row for row in found.to_pylist() if (row["left"], row["right"]) == ("b", "c")]
    values, calibrated = one.pairs["b", "c"], one.calibrated("b", "c")
    for row in rows:
        cell = row["left_layer"] - 1, row["right_layer"] - 1
        assert row["similarity"] == values[cell]
        assert row["calibrated"] == calibrated[cell]
    assert [(row["left_layer"], row["right_layer"]) for row in rows[:5]] == [
        *((1, column) for column in range(1, 5)),
        (2, 1),
    ]
    said = [{row[name] for row in rows} for name in ("control", "chance", "n_texts", "k")]
    assert said == [{"correlation"}, {one.chance}, {N_TEXTS}, {K}]
    assert {row["metric"] for row in rows} == {"correlation"}
    assert {row["preprocessing"] for row in rows} == {"none"}


def test_tables_say_how_neighbors_were_found():
    models = planted(np.random.default_rng(5), 3, 4)
    inputs = ControlInputs(texts=TEXTS, k=K, metric="euclidean", preprocessing="center")
    found = confound_table(
        all_controlled(models, inputs, ["unit_norm", "inner_product", "euclidean"]), n_resamples=11
    )
    assert (found.metric, found.preprocessing) == ("euclidean", "center")
    assert found.problems == {"euclidean": "it is the study's own metric"}
    readings = {one.name: (one.metric, one.preprocessing) for one in found.matrices}
    assert readings == {
        "baseline": ("euclidean", "center"),
        "unit_norm": ("euclidean", "center + unit_norm"),
        "inner_product": ("inner_product", "center"),
    }
    rows = {
        row["control"]: (row["metric"], row["preprocessing"]) for row in found.to_table().to_pylist()
    }
    assert rows == {
        "unit_norm": ("euclidean", "center + unit_norm"),
        "inner_product": ("inner_product", "center"),
        "euclidean": (None, None),
    }


def test_the_mean_is_over_pairs_and_what_some_pair_lacks_is_not_in_it(table: ConfoundTable):
    pairs = [table.row("center", "on_minus_off", left=a, right=b) for a, b in ("ab", "ac", "bc")]
    mean = table.row("center", "on_minus_off")
    assert mean.value.value == pytest.approx(np.mean([row.value.value for row in pairs]))
    assert mean.difference.value == pytest.approx(np.mean([row.difference.value for row in pairs]))
    assert "order_early" in {row.part for row in table.of("center", left="a", right="b")}
    assert "order_early" not in {row.part for row in table.of("center")}  # "c" has four layers


def test_differences_are_with_minus_without_and_their_intervals_are_paired(
    controlled: list[ControlledNeighbors], table: ConfoundTable
):
    for row in table.rows:
        assert row.difference.value == pytest.approx(row.value.value - row.baseline.value)
        assert row.verdict == moves(row.difference, baseline=row.baseline.value)
    # neighbors by correlation are nearly those by cosine: each level is uncertain, the difference is not
    row = table.row("correlation", "mean")
    assert row.value.high - row.value.low > 2 * (row.difference.high - row.difference.low) > 0
    # the same neighbors under both
    same = replace(controlled[0], ids=controlled[0].plain_ids)
    for row in confound_table([same], n_resamples=11).rows:
        assert (row.difference.value, row.difference.low, row.difference.high) == (0, 0, 0)


def test_baselines_at_random_are_averaged_and_widen_the_interval(
    controlled: list[ControlledNeighbors], table: ConfoundTable
):
    one = controlled[2]
    values = []
    for ids in one.baselines:
        matrix = affinity_matrix(ids["a"], ids["b"], k=K).values
        values.append((matrix.mean() - one.chance) / (1 - one.chance))
    row = table.row(one.control.name, "mean", left="a", right="b")
    assert row.baseline.value == pytest.approx(np.mean(values))
    alike = confound_table([replace(one, baselines=(one.baselines[0],) * 5)], n_resamples=101)
    alone = alike.row(one.control.name, "mean", left="a", right="b")
    single = resampled_matrices(*(one.baselines[0][name] for name in "ab"), k=K, n_resamples=101)
    expected = single.values.mean(axis=(1, 2)).std() / (1 - one.chance)
    assert (alone.baseline.high - alone.baseline.value) / 1.959964 == pytest.approx(expected, rel=1e-3)
    # the spread of several shuffles is part of the interval
    spread = np.std(values, ddof=1) / np.sqrt(5)
    assert spread > 0
    assert (row.baseline.high - row.baseline.value) / 1.959964 > 0.9 * spread


def test_models_that_agree_for_the_ending_alone_agree_no_more_within_it():
    rng = np.random.default_rng(3)
    codes = np.array([[6.0, 0], [0, 6.0]])[np.arange(N_TEXTS) % 2]
    models = {
        name: np.concatenate([np.tile(codes, (3, 1, 1)), rng.normal(size=(3, N_TEXTS, 17))], axis=2)
        for name in ("one", "other")
    }
    found = confound_table(
        all_controlled(models, ControlInputs(texts=TEXTS, k=K), ["same_ending(1)"]), n_resamples=101
    )
    row = found.row("same_ending(1)", "mean")
    assert found.plain["mean"].low > 0.02
    assert row.value.low < 0 < row.value.high
    assert row.baseline.low > 0.02
    assert row.verdict == "moves it"


def test_intervals_of_differences_hold_the_truth_as_often_as_stated():
    held, truth = [], []
    for seed in range(24):
        models = planted(np.random.default_rng(seed), 3, 4)
        found = controlled_neighbors(CONTROLS["center"], models, ControlInputs(texts=TEXTS, k=K))
        row = confound_table([found], n_resamples=101, seed=seed).row("center", "mean")
        truth.append(row.difference.value)
        held.append((row.difference.low, row.difference.high))
    inside = sum(low <= np.mean(truth) <= high for low, high in held)
    assert inside >= 21


def test_verdicts_are_by_the_interval_and_a_tenth_of_the_baseline():
    def said(low: float, high: float, baseline: float) -> str:
        return moves(Estimate(value=(low + high) / 2, low=low, high=high, n=9), baseline=baseline)

    assert said(0.05, 0.2, 0.5) == "moves it, perhaps little"
    assert said(0.06, 0.2, 0.5) == "moves it"
    assert said(-0.2, -0.06, 0.5) == "moves it"
    assert said(-0.2, -0.01, 0.5) == "moves it, perhaps little"
    assert said(-0.05, 0.05, 0.5) == "hardly moves it"
    assert said(0.01, 0.05, -0.5) == "hardly moves it"
    assert said(-0.06, 0.01, 0.5) == "cannot tell"
    assert said(-0.001, 0.001, 0.0) == "cannot tell"
    assert [*MOVES] == ["moves it", "moves it, perhaps little", "hardly moves it", "cannot tell"]
    with pytest.raises(ParameterError, match="without an interval"):
        moves(Estimate(value=0.1, n=9), baseline=1.0)


def test_copies_of_some_models_are_held_against_these_models_alone():
    models = planted(np.random.default_rng(5), 3, 4, 5)
    copies = planted(np.random.default_rng(6), 3, 4)
    inputs = ControlInputs(texts=TEXTS, k=K, copies=copies)
    both = confound_table(all_controlled(models, inputs, ["center", "untrained"]), n_resamples=31)
    two = {name: models[name] for name in "ab"}
    alone = confound_table(all_controlled(two, inputs, ["untrained"]), n_resamples=31)
    for part in ("mean", "on_minus_off"):
        row, expected = both.row("untrained", part), alone.row("untrained", part)
        assert (row.value, row.baseline) == (expected.value, expected.baseline)
        assert row.difference == expected.difference
    assert both.row("center", "mean").baseline == both.plain["mean"]
    assert both.row("untrained", "mean").baseline != both.plain["mean"]
    assert [(one.name, len(one.pairs)) for one in both.matrices] == [
        ("baseline", 3),
        ("center", 3),
        ("untrained", 1),
    ]
    assert "so of the others only" in both.sentences["untrained"]
    figure = controls_figure(both, parts=["mean"])
    said = "Of untrained value and baseline are of fewer pairs of models."
    assert said in str(figure.get_supxlabel()).replace("\n", " ")
    figure = controls_figure(alone, parts=["mean"])
    assert "fewer pairs" not in str(figure.get_supxlabel()).replace("\n", " ")


# reading it


def test_the_table_has_a_row_for_everything_and_says_why_something_is_missing(table: ConfoundTable):
    frame = table.to_frame()
    assert len(frame) == len(table.rows) + 1
    missing = frame[frame["control"] == "same_label(source)"].iloc[0]
    assert missing["note"] == "no labels 'source' were given"
    assert pd.isna(missing["value"])
    assert missing["k"] == K
    row = table.row("center", "on_minus_off", left="a", right="c")
    found = frame.query(
        "control == 'center' and part == 'on_minus_off' and left == 'a' and right == 'c'"
    )
    assert found["difference_low"].item() == row.difference.low
    assert found["baseline"].item() == row.baseline.value
    assert found["level"].item() == 0.95
    assert found["verdict"].item() == row.verdict
    assert found["n_texts"].item() == N_TEXTS
    assert frame["left"].isna().sum() == len(table.of("center")) * 3 + 1
    assert table.controls == ("center", "correlation", "same_ending(1)")


def test_profiles_are_drawn_against_the_baseline(table: ConfoundTable):
    profiles = table.mean_profiles()
    assert list(profiles) == [
        "baseline",
        "center",
        "correlation",
        "same_ending(1), at random",
        "same_ending(1)",
    ]
    assert profiles["center"]["mean"] == table.row("center", "mean").value
    assert profiles["same_ending(1), at random"]["mean"] == table.row("same_ending(1)", "mean").baseline
    assert profiles["baseline"]["mean"] == table.row("center", "mean").baseline
    figure = confound_figure(profiles, baseline="baseline", parts=("mean", "association"))
    assert len(figure.axes) == 2


def test_it_is_shown_in_notebooks_with_what_was_not_possible(table: ConfoundTable):
    html = table._repr_html_()
    assert "same_label(source) is not possible" in html
    assert "correlation" in html
    assert repr(table) == "ConfoundTable(3 controls, 1 not possible, k = 5, n_texts = 101)"


def test_what_the_table_has_not_is_named(table: ConfoundTable):
    with pytest.raises(UnknownNameError, match=r"nothing of control 'centre'") as caught:
        table.of("centre")
    assert caught.value.hint == "did you mean center?"
    with pytest.raises(UnknownNameError, match=r"'same_label\(source\)': no labels 'source'"):
        table.of("same_label(source)")
    with pytest.raises(UnknownNameError, match="'center' for b and a"):
        table.of("center", left="b", right="a")
    with pytest.raises(UnknownNameError, match="no part 'sharp' of center"):
        table.row("center", "sharp")


def test_what_does_not_belong_together_is_refused(controlled: list[ControlledNeighbors]):
    with pytest.raises(ParameterError, match="at least one control; got none"):
        confound_table([])
    with pytest.raises(ParameterError, match="the control center is given twice"):
        confound_table([controlled[0]] * 2, n_resamples=2)
    one = controlled[0]
    with pytest.raises(ParameterError, match="at least 2 models; got 1"):
        confound_table([replace(one, plain_ids={"a": one.plain_ids["a"]})])
    turned = {name: ids[::-1] for name, ids in one.plain_ids.items()}
    with pytest.raises(ParameterError, match="correlation and center are of other models, texts"):
        confound_table([one, replace(controlled[1], plain_ids=turned)], n_resamples=2)
    with pytest.raises(ParameterError, match="correlation and center are of other models, texts"):
        confound_table([one, replace(controlled[1], plain_metric="euclidean")], n_resamples=2)
    with pytest.raises(ParameterError, match="level must lie between 0 and 1"):
        confound_table([one], level=1.0)
