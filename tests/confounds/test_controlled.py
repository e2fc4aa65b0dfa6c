from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from isodepth.confounds import (
    CONTROLS,
    KINDS,
    ControlInputs,
    all_controlled,
    control_of,
    controlled_neighbors,
    layer_similarities,
    local_scaling,
    mutual_proximity,
    nearest,
    residual_similarities,
    same_endings,
    tf_idf,
)
from isodepth.errors import ActivationsError, ParameterError, UnknownNameError
from isodepth.neighbors import METRICS, layer_neighbors
from isodepth.preprocessing import Preprocessing

N_TEXTS, K = 71, 3
TEXTS = [f"{'word ' * (number % 11 + 1)}{number % 20}{'.!?'[number % 3]}" for number in range(N_TEXTS)]


@pytest.fixture
def models(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "one": rng.normal(size=(2, N_TEXTS, 13)).astype(np.float32) + 1,
        "other": rng.normal(size=(3, N_TEXTS, 7)) + 1,
    }


def inputs(**changes: object) -> ControlInputs:
    return replace(ControlInputs(texts=TEXTS, k=K), **changes)


# what each control does


STEPS = [name for name, one in CONTROLS.items() if one.kind == "preprocessing"]


@pytest.mark.parametrize("name", [*STEPS, *METRICS])
@pytest.mark.parametrize(
    ("own_metric", "own_steps"), [("cosine", "none"), ("euclidean", "unit_norm + drop_units(1)")]
)
def test_steps_come_after_the_studys_own_and_metrics_replace_its_own(
    models: dict[str, np.ndarray], name: str, own_metric: str, own_steps: str
):
    given = inputs(metric=own_metric, preprocessing=own_steps)
    found = controlled_neighbors(CONTROLS[name], models, given)
    if name == own_metric:
        assert found.problem == "it is the study's own metric"
        return
    if (name, own_metric) == ("center", "euclidean"):
        assert found.problem == "it changes nothing by euclidean"
        return
    metric = name if name in METRICS else own_metric
    steps = Preprocessing.of(own_steps)
    if name not in METRICS:
        steps = Preprocessing(steps=steps.steps + Preprocessing.of(name).steps)
        said = " That comes after the study's own unit_norm + drop_units(1)."
        assert found.sentence.endswith(said) == (own_steps != "none")
    assert (found.metric, found.preprocessing) == (metric, steps.name)
    assert (found.plain_metric, found.plain_preprocessing) == (own_metric, own_steps)
    for model, layers in models.items():
        assert found.ids[model].shape == (len(layers), N_TEXTS, K + 5)
        for layer, ids in zip(layers, found.ids[model], strict=True):
            np.testing.assert_array_equal(ids, layer_neighbors(steps(layer), K + 5, metric)[0])
    assert found.baselines == (found.plain_ids,)
    assert found.chance == found.plain_chance == K / (N_TEXTS - 1)


def test_hubs_and_baselines_change_similarities(models: dict[str, np.ndarray]):
    for name, metric, corrected in (
        ("local_scaling", "cosine", local_scaling),
        ("local_scaling", "euclidean", partial(local_scaling, metric="euclidean")),
        ("mutual_proximity", "inner_product", mutual_proximity),
        (
            "without_tf_idf",
            "correlation",
            lambda values: residual_similarities(values, [tf_idf(TEXTS)]),
        ),
    ):
        given = inputs(metric=metric, preprocessing="standardize")
        found = controlled_neighbors(CONTROLS[name], models, given)
        standardized = Preprocessing.of("standardize")(models["one"][1])
        expected, _ = nearest(corrected(layer_similarities(standardized, metric)), K + 5)
        np.testing.assert_array_equal(found.ids["one"][1], expected)
        plain, _ = layer_neighbors(standardized, K + 5, metric)
        np.testing.assert_array_equal(found.plain_ids["one"][1], plain)
        assert not np.array_equal(found.ids["one"], found.plain_ids["one"])


def test_local_scaling_is_not_possible_where_there_are_no_distances(models: dict[str, np.ndarray]):
    found = controlled_neighbors(CONTROLS["local_scaling"], models, inputs(metric="inner_product"))
    assert found.problem == (
        "local scaling divides distances, and inner products are none: expected "
        "similarities by cosine, correlation, euclidean"
    )


@pytest.mark.parametrize(
    ("own", "name", "changes"),
    [
        ("center", "center", False),
        ("drop_units(1) + clip(0.99)", "clip(0.99)", False),
        ("clip(0.9)", "clip(0.99)", False),
        ("clip(0.99)", "clip(0.9)", True),
        ("standardize", "standardize", False),
        ("remove_components(1)", "center", False),
        ("center + unit_norm", "center", True),
        ("center", "standardize", True),
        ("remove_components(1)", "remove_components(1)", True),
        ("drop_largest(3)", "drop_largest(3)", True),
        ("whiten", "whiten", True),
    ],
)
def test_a_step_that_does_nothing_after_the_studys_own_is_not_possible(
    models: dict[str, np.ndarray], own: str, name: str, changes: bool
):
    found = controlled_neighbors(control_of(name), models, inputs(preprocessing=own))
    said = f"it changes nothing after the study's own {own}"
    assert found.problem == (None if changes else said)
    steps = (Preprocessing.of(own), Preprocessing.of(f"{own} + {name}"))
    layer = models["one"][0] * np.arange(1.0, 14)
    before, after = (step(layer) for step in steps)
    assert (before.shape == after.shape and np.allclose(before, after, atol=1e-9)) != changes


def test_candidates_are_sought_by_the_studys_own_metric(models: dict[str, np.ndarray]):
    given = inputs(metric="euclidean", preprocessing="center")
    found = controlled_neighbors(CONTROLS["same_ending(1)"], models, given)
    similarities = layer_similarities(Preprocessing.of("center")(models["other"][2]), "euclidean")
    expected, _ = nearest(similarities, K + 5, same_endings(TEXTS, 1).allowed)
    np.testing.assert_array_equal(found.ids["other"][2], expected)
    assert (found.metric, found.preprocessing) == ("euclidean", "center")


def test_copies_are_read_in_place_of_the_models(models: dict[str, np.ndarray]):
    copies = {"other": models["other"][::-1], "one": models["one"][::-1]}
    given = inputs(copies=copies, metric="euclidean", preprocessing="standardize")
    found = controlled_neighbors(CONTROLS["untrained"], models, given)
    for model in models:
        np.testing.assert_array_equal(found.ids[model], found.plain_ids[model][::-1])
    partial = controlled_neighbors(CONTROLS["untrained"], models, inputs(copies={"one": copies["one"]}))
    assert partial.problem == "there is no untrained copy of other"
    third = {"third": models["other"] + 1, **models}
    fewer = controlled_neighbors(CONTROLS["untrained"], third, given)
    assert fewer.problem is None
    assert [*fewer.ids] == [*fewer.baselines[0]] == ["one", "other"]
    assert [*fewer.plain_ids] == ["third", "one", "other"]
    assert fewer.sentence.endswith("There is none of third, so of the others only.")
    for model in models:
        np.testing.assert_array_equal(fewer.ids[model], found.ids[model])
        np.testing.assert_array_equal(fewer.baselines[0][model], found.plain_ids[model])
    copies["other"] = copies["other"][:2]
    with pytest.raises(ParameterError, match="as many layers .* got 2 of other, which has 3"):
        controlled_neighbors(CONTROLS["untrained"], models, inputs(copies=copies))


def test_excluded_texts_are_nobodys_neighbors(models: dict[str, np.ndarray]):
    found = controlled_neighbors(CONTROLS["different_ending(1)"], models, inputs())
    endings = np.array([text[-1] for text in TEXTS])
    ids = found.ids["other"]
    assert (endings[ids] != endings[np.newaxis, :, np.newaxis]).all()
    assert found.chance == pytest.approx(np.mean([K / np.sum(endings != one) for one in endings]))


def test_strata_by_token_length_and_label_hold_them_constant(models: dict[str, np.ndarray]):
    tokens = {"one": np.arange(N_TEXTS) % 2, "other": np.zeros(N_TEXTS, dtype=np.int32)}
    labels = {"source": ["a", "b"] * 35 + ["a"], "topic": [1, 1, 2, 2] * 17 + [2, 2, 1]}
    given = inputs(tokens=tokens, labels=labels)
    for name, kept in (
        ("same_token", tokens["one"]),
        ("same_label(source)", np.array(labels["source"])),
        ("same_label(topic)", np.array(labels["topic"])),
        ("same_length", np.digitize([len(text) for text in TEXTS], [19, 35])),
    ):
        found = controlled_neighbors(control_of(name), models, given)
        assert found.problem is None, name
        if name != "same_length":
            assert (kept[found.ids["one"]] == kept[np.newaxis, :, np.newaxis]).all()
        else:
            lengths = np.array([len(text) for text in TEXTS])
            plain = np.abs(lengths[found.plain_ids["one"]] - lengths[:, np.newaxis]).mean()
            assert np.abs(lengths[found.ids["one"]] - lengths[:, np.newaxis]).mean() < 0.5 * plain


# what it is held against


def test_candidates_are_held_against_as_many_at_random(models: dict[str, np.ndarray]):
    found = controlled_neighbors(CONTROLS["same_ending(1)"], models, inputs())
    assert len(found.baselines) == 5
    allowed = same_endings(TEXTS, 1).allowed
    sizes = sorted(allowed.sum(axis=1).tolist())
    for ids in found.baselines:
        named = np.zeros((N_TEXTS, N_TEXTS), dtype=bool)
        for text, others in enumerate(ids["one"].transpose(1, 0, 2).reshape(N_TEXTS, -1)):
            named[text, others] = True
        # three groups still, no longer those of the endings
        groups = np.linalg.matrix_power((named | named.T).astype(float), 8) > 0
        assert sorted((groups.sum(axis=1) - 1).tolist()) == sizes
        assert not (groups == (allowed | np.eye(N_TEXTS, dtype=bool))).all()
    again = controlled_neighbors(CONTROLS["same_ending(1)"], models, inputs())
    np.testing.assert_array_equal(again.baselines[4]["one"], found.baselines[4]["one"])
    other = controlled_neighbors(CONTROLS["same_ending(1)"], models, inputs(), seed=1)
    assert not np.array_equal(other.baselines[4]["one"], found.baselines[4]["one"])


def test_texts_with_too_few_candidates_are_left_out_on_both_sides(models: dict[str, np.ndarray]):
    texts = [
        f"{text}{'abc'[number % 2] if number > 8 else 'rare'[number % 4]}"
        for number, text in enumerate(TEXTS)
    ]
    found = controlled_neighbors(CONTROLS["same_ending(1)"], models, inputs(texts=texts))
    kept = [row for row, text in enumerate(texts) if sum(one[-1] == text[-1] for one in texts) > 8]
    assert 50 <= len(kept) < N_TEXTS
    assert found.rows.tolist() == kept
    smaller = {name: layers[:, kept] for name, layers in models.items()}
    expected = controlled_neighbors(
        CONTROLS["same_ending(1)"], smaller, inputs(texts=[texts[row] for row in kept])
    )
    for one, other in zip(
        (found.ids, *found.baselines), (expected.ids, *expected.baselines), strict=True
    ):
        for name in models:
            np.testing.assert_array_equal(one[name], other[name])
    assert found.plain_ids["one"].shape[1] == N_TEXTS


def test_neighbors_that_are_there_are_not_sought_again(models: dict[str, np.ndarray]):
    longer = {
        name: np.stack([layer_neighbors(layer, 17)[0] for layer in layers])
        for name, layers in models.items()
    }
    found = controlled_neighbors(CONTROLS["center"], models, inputs(), plain=longer)
    np.testing.assert_array_equal(found.plain_ids["one"], longer["one"][:, :, : K + 5])
    with pytest.raises(
        ParameterError, match=r"8 of each; got other: \(layers, texts, k\) = \(3, 71, 7\)"
    ):
        controlled_neighbors(
            CONTROLS["center"], models, inputs(), plain={**longer, "other": longer["other"][:, :, :7]}
        )


def test_every_layer_is_taken_once_a_control_and_in_order(models: dict[str, np.ndarray]):
    taken: list[int] = []

    class Told:
        def __len__(self) -> int:
            return 3

        def __getitem__(self, layer: int) -> np.ndarray:
            taken.append(layer)
            return models["other"][layer]

    names = ["center", "same_ending(1)", "without_length"]
    for _ in all_controlled({"one": models["one"], "other": Told()}, inputs(), names):
        pass
    assert taken == [0, 1, 2] * 4


# what is not possible, and what is wrong


def problems(found: Iterator) -> dict[str, str]:
    return {one.control.name: one.problem for one in found if one.problem is not None}


@pytest.mark.parametrize(
    ("metric", "name", "said"),
    [
        ("euclidean", "center", "it changes nothing by euclidean"),
        ("cosine", "unit_norm", "it changes nothing by cosine"),
        ("correlation", "unit_norm", "it changes nothing by correlation"),
        ("euclidean", "unit_norm", None),
        ("inner_product", "center", None),
        ("cosine", "none", "it changes nothing"),
    ],
)
def test_a_step_that_no_neighbor_sees_by_a_metric_is_not_possible(
    models: dict[str, np.ndarray], metric: str, name: str, said: str | None
):
    found = controlled_neighbors(control_of(name), models, inputs(metric=metric))
    assert found.problem == said
    layer = models["one"][0] * np.arange(1.0, 14)
    plain, _ = layer_neighbors(layer, K, metric)
    after, _ = layer_neighbors(Preprocessing.of(name)(layer), K, metric)
    assert np.array_equal(plain, after) == (said is not None)


def test_all_controls_are_tried_and_say_why_they_are_not_possible(models: dict[str, np.ndarray]):
    told = []
    found = problems(all_controlled(models, inputs(), progress=lambda *said: told.append(said[1:3])))
    assert found == {
        "cosine": "it is the study's own metric",
        "different_token": "the tokens that texts are read at are not known",
        "same_token": "the tokens that texts are read at are not known",
        "same_label(source)": "no labels 'source' were given",
        "same_label(language)": "no labels 'language' were given",
        "untrained": "there is no untrained copy of one, other",
    }
    assert told[-1] == (len(CONTROLS), len(CONTROLS))


def test_texts_that_end_alike_make_endings_impossible_either_way(models: dict[str, np.ndarray]):
    texts = [f"{text}." for text in TEXTS[:-2]] + TEXTS[-2:]
    found = problems(
        all_controlled(models, inputs(texts=texts), ["different_ending(1)", "same_ending(1)"])
    )
    assert found["different_ending(1)"].startswith(
        "no texts can be used; expected at least 50 of 71 in which each has 8 "
        "candidates, k = 3 and those that resampling wants."
    )
    assert "'.', is that of 70 of 71 texts" in found["different_ending(1)"]
    assert (
        "any of the 70 texts that can be used may be a neighbor of any other"
        in (found["same_ending(1)"])
    )


def test_a_step_that_the_activations_do_not_admit_is_no_error(models: dict[str, np.ndarray]):
    found = controlled_neighbors(control_of("drop_largest(7)"), models, inputs())
    assert found.problem == "other, layer 1: drop_largest(7) leaves none of 7 units; expected fewer"
    assert "drop_largest(7) leaves none" in repr(found)


def test_neighbors_that_cannot_be_found_at_all_are_an_error(models: dict[str, np.ndarray]):
    models["other"][1, 4] = 0
    with pytest.raises(
        ActivationsError, match=r"other, layer 2: the activations of text 5 .* all zero"
    ):
        controlled_neighbors(CONTROLS["center"], models, inputs())


def test_activations_of_other_texts_are_refused(models: dict[str, np.ndarray]):
    models["other"] = models["other"][:, 1:]
    with pytest.raises(ParameterError, match=r"other, layer 1: .* 71 texts; got .* = \(70, 7\)"):
        next(all_controlled(models, inputs()))


def test_inputs_that_do_not_fit_are_listed():
    with pytest.raises(ParameterError, match=r"got 2 tokens of one, 3 labels 'topic'"):
        inputs(tokens={"one": np.arange(2)}, labels={"topic": [1, 2, 3]})
    with pytest.raises(ParameterError, match="metric must be one of"):
        inputs(metric="cosin")
    with pytest.raises(UnknownNameError, match="no preprocessing step 'centre'"):
        inputs(preprocessing="centre")
    assert inputs(preprocessing="center+clip( 0.9 )").preprocessing == "center + clip(0.9)"
    with pytest.raises(ParameterError, match=r"k = 40 neighbors of 71 texts: .* more than 80"):
        inputs(k=40)


# names


def test_controls_are_called_by_their_names():
    for name, control in CONTROLS.items():
        assert control.name == name
        assert control_of(name) is control
        assert control.kind in KINDS
    assert {control.kind for control in CONTROLS.values()} == set(KINDS)


def test_other_options_of_controls_have_names_too():
    assert control_of("different_ending(12)").kind == "exclusion"
    assert control_of(" same_ending( 2 )").name == "same_ending(2)"
    assert control_of("same_label(topic)").name == "same_label(topic)"
    chain = control_of("center+unit_norm")
    assert (chain.name, chain.kind) == ("center + unit_norm", "preprocessing")


def test_unknown_controls_get_the_nearest_names():
    with pytest.raises(UnknownNameError, match="no control is called 'local_scalin'") as caught:
        control_of("local_scalin")
    assert caught.value.hint == "did you mean local_scaling?"
    with pytest.raises(UnknownNameError) as caught:
        control_of("xyzzy")
    assert "there are center, standardize" in str(caught.value.hint)
    for wrong in ("0", "-1", "x", ""):
        with pytest.raises(ParameterError, match="expected a number of characters, at least 1"):
            control_of(f"same_ending({wrong})")


def test_labels_need_the_name_of_a_column():
    with pytest.raises(ParameterError, match="same_label: expected the name of a column; got none"):
        control_of("same_label( )")
