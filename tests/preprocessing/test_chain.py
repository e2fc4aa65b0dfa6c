import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.errors import ActivationsError, ParameterError, UnknownNameError
from isodepth.preprocessing import STEPS, Preprocessing

STEP = st.one_of(
    st.sampled_from([(name, ()) for name, step in STEPS.items() if step.argument is None]),
    st.tuples(
        st.sampled_from(["remove_components", "drop_largest"]),
        st.tuples(st.integers(1, 10**9)),
    ),
    st.tuples(
        st.just("clip"),
        st.tuples(st.floats(0, 1, exclude_min=True, exclude_max=True, allow_subnormal=False)),
    ),
    st.tuples(
        st.just("drop_units"),
        st.lists(st.integers(0, 10**9), min_size=1, max_size=5, unique=True).map(tuple),
    ),
)


@pytest.fixture
def layer(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(23, 11)) + 2


# names


@given(st.lists(STEP, max_size=4))
def test_a_name_reads_back_as_what_it_names(steps: list[tuple[str, tuple[int | float, ...]]]):
    preprocessing = Preprocessing(steps=tuple(steps))
    again = Preprocessing.of(preprocessing.name)
    assert again == preprocessing
    assert hash(again) == hash(preprocessing)
    assert again.name == str(again) == preprocessing.name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("center", "center"),
        (" center+unit_norm ", "center + unit_norm"),
        ("center ( ) + clip(.990)", "center + clip(0.99)"),
        ("clip(9.9e-1)", "clip(0.99)"),
        ("drop_units( 138, 17 )", "drop_units(17,138)"),
        ("drop_units(0)", "drop_units(0)"),
        ("remove_components(003)", "remove_components(3)"),
        ("none", "none"),
        (" none ", "none"),
        (None, "none"),
    ],
)
def test_each_chain_has_one_spelling(written: str | None, name: str):
    assert Preprocessing.of(written).name == name


def test_order_matters_and_is_kept(layer: np.ndarray):
    one, other = (Preprocessing.of(name) for name in ("center + unit_norm", "unit_norm + center"))
    assert one != other
    assert not np.allclose(one(layer), other(layer))


def test_a_preprocessing_is_taken_as_it_is_and_is_false_if_it_does_nothing():
    preprocessing = Preprocessing.of("center")
    assert Preprocessing.of(preprocessing) is preprocessing
    assert preprocessing
    assert not Preprocessing()
    assert pickle.loads(pickle.dumps(preprocessing)) == preprocessing


def test_numbers_of_numpy_are_taken_as_pythons_own():
    preprocessing = Preprocessing(
        steps=(("drop_largest", (np.int64(3),)), ("clip", (np.float32(0.5),)))
    )
    assert preprocessing.name == "drop_largest(3) + clip(0.5)"


# what is done


@pytest.mark.parametrize(
    "names",
    [
        ("center", "unit_norm"),
        ("drop_largest(2)", "standardize", "clip(0.9)"),
        ("drop_units(0)", "drop_units(0)"),
        ("whiten", "remove_components(2)", "unit_norm"),
    ],
)
def test_a_chain_is_its_steps_one_after_the_other(layer: np.ndarray, names: tuple[str, ...]):
    expected = layer
    for name in names:
        expected = Preprocessing.of(name)(expected)
    found = Preprocessing.of(" + ".join(names))(layer)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_without_steps_activations_are_as_they_were(layer: np.ndarray):
    given_values = layer.astype(np.float32)
    found = Preprocessing()(given_values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, given_values)


@pytest.mark.parametrize("written", ["whiten", "remove_components(3)", "center + whiten + unit_norm"])
@pytest.mark.parametrize("shape", [(211, 37), (37, 211)])
def test_texts_with_the_same_activations_keep_the_same(
    rng: np.random.Generator, written: str, shape: tuple[int, int]
):
    layer = rng.normal(size=shape)
    copies = [0, 5, 17, 36, shape[0] - 1]
    layer[copies] = layer[5]
    found = Preprocessing.of(written)(layer)
    assert len({found[copy].tobytes() for copy in copies}) == 1
    assert len({row.tobytes() for row in found}) == len({row.tobytes() for row in layer})


# errors


def test_unknown_steps_are_all_listed_with_the_nearest_names():
    with pytest.raises(UnknownNameError) as caught:
        Preprocessing.of("centre + unit_norm + witen(3)")
    assert caught.value.message == (
        "there is no preprocessing step 'centre', 'witen'; there are center, standardize, whiten, "
        "remove_components, clip, drop_units, drop_largest, unit_norm"
    )
    assert caught.value.hint == "did you mean center or whiten?"


def test_an_unknown_step_that_is_like_none_has_no_hint():
    with pytest.raises(UnknownNameError) as caught:
        Preprocessing.of("xyz")
    assert caught.value.hint is None


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        ("center(3)", "center takes no argument; got 3", None),
        (
            "remove_components",
            "remove_components(D) expects a whole number of at least 1; got nothing",
            "write remove_components(3), for example.",
        ),
        (
            "remove_components(0)",
            "remove_components(D) expects a whole number of at least 1; got 0",
            "write remove_components(3), for example.",
        ),
        (
            "drop_largest(2,3)",
            "drop_largest(N) expects a whole number of at least 1; got 2, 3",
            "write drop_largest(3), for example.",
        ),
        (
            "drop_largest(1.5)",
            "drop_largest(N) expects a whole number of at least 1; got 1.5",
            "write drop_largest(3), for example.",
        ),
        (
            "clip(1)",
            "clip(Q) expects a number above 0 and below 1; got 1.0",
            "write clip(0.99), for example.",
        ),
        (
            "clip(nan)",
            "clip(Q) expects a number above 0 and below 1; got nan",
            "write clip(0.99), for example.",
        ),
        (
            "drop_units(3,-1)",
            "drop_units(UNITS) expects different whole numbers of at least 0; got 3, -1",
            "write drop_units(17,138), for example.",
        ),
        (
            "drop_units(3,3)",
            "drop_units(UNITS) expects different whole numbers of at least 0; got 3, 3",
            "write drop_units(17,138), for example.",
        ),
        (
            "drop_units()",
            "drop_units(UNITS) expects different whole numbers of at least 0; got nothing",
            "write drop_units(17,138), for example.",
        ),
    ],
)
def test_wrong_arguments_are_told_with_what_is_expected(written: str, message: str, hint: str | None):
    with pytest.raises(ParameterError) as caught:
        Preprocessing.of(written)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize("value", [True, "3", None, np.nan])
def test_values_that_are_no_numbers_are_refused_from_python_too(value: object):
    with pytest.raises(ParameterError, match=r"^remove_components\(D\) expects a whole number of at"):
        Preprocessing(steps=(("remove_components", (value,)),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "part"),
    [("", ""), ("center +", ""), ("center + + whiten", ""), ("clip(0.5", "clip(0.5"), ("a b", "a b")],
)
def test_names_that_cannot_be_read_are_told_with_the_place(written: str, part: str):
    with pytest.raises(ParameterError) as caught:
        Preprocessing.of(written)
    assert caught.value.message == f"preprocessing {written!r} cannot be read at {part!r}"
    assert caught.value.hint == 'steps are joined by "+", as "center + remove_components(3)".'


def test_none_stands_alone():
    with pytest.raises(ParameterError) as caught:
        Preprocessing.of("center + none")
    assert caught.value.message == "preprocessing 'center + none': none stands alone"


@pytest.mark.parametrize("written", ["none", "center"])
def test_activations_that_are_not_finite_are_named(layer: np.ndarray, written: str):
    layer[[2, 9], 3] = np.nan
    with pytest.raises(ActivationsError) as caught:
        Preprocessing.of(written)(layer)
    assert caught.value.message == (
        "NaN or infinite activations in text 3, 10 (rows count from 1) of (texts, units) = (23, 11)"
    )


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_layers_are_refused(shape: tuple[int, int]):
    with pytest.raises(ParameterError) as caught:
        Preprocessing.of("center")(np.zeros(shape))
    assert caught.value.message == f"activations must not be empty; got (texts, units) = {shape}"
