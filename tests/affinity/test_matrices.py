from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.errors import ParameterError, UnknownNameError

LAYERS = (2, 5, 3)
NAMES = ("gemma-2b", "meta-llama-3", "mistral-7b")
SIDES = "left are gemma-2b, meta-llama-3; right are meta-llama-3, mistral-7b."


@pytest.fixture
def symmetric(rng: np.random.Generator) -> AffinityMatrices:
    half = rng.uniform(size=(10, 10))
    return AffinityMatrices(
        values=(half + half.T) / 2,
        left=NAMES,
        right=NAMES,
        left_layers=LAYERS,
        right_layers=LAYERS,
        is_symmetric=True,
        measure="mutual_knn",
        k=7,
        n_texts=1013,
        texts="wikipedia",
        texts_digest="a" * 64,
        provenance={"from": "here"},
    )


@pytest.fixture
def rectangular(rng: np.random.Generator) -> AffinityMatrices:
    return AffinityMatrices(
        values=rng.uniform(size=(7, 8)),
        left=NAMES[:2],
        right=NAMES[1:],
        left_layers=LAYERS[:2],
        right_layers=LAYERS[1:],
        is_symmetric=False,
        measure="mutual_knn",
        k=7,
        n_texts=1013,
        texts_digest="a" * 64,
        right_texts_digest="b" * 64,
    )


@pytest.fixture
def directed(rng: np.random.Generator) -> AffinityMatrices:
    return AffinityMatrices(
        values=rng.uniform(size=(10, 10)),
        left=NAMES,
        right=NAMES,
        left_layers=LAYERS,
        right_layers=LAYERS,
        is_symmetric=True,
        measure="ridge_to_right",
        k=0,
        n_texts=1013,
        metric=None,
    )


# pairs


def test_a_measure_that_tells_left_from_right_has_both_orders_of_two_models(
    directed: AffinityMatrices,
):
    assert not directed.is_mirrored
    names = [(matrix.left, matrix.right) for matrix in directed.pairs()]
    assert names == list(permutations(NAMES, 2))
    assert directed.n_pairs == 6
    for matrix in directed.pairs():
        np.testing.assert_array_equal(matrix.values, directed[matrix.left, matrix.right].values)
    assert [*directed.places(with_self=True)] == [*product(range(3), repeat=2)]
    rows = directed.to_table().to_pylist()
    assert len(rows) == directed.values.size
    for row in rows:
        values = directed[row["left"], row["right"]].values
        assert row["similarity"] == values[row["left_layer"] - 1, row["right_layer"] - 1]


def test_of_a_measure_that_is_not_here_the_values_tell_whether_order_matters(
    symmetric: AffinityMatrices, directed: AffinityMatrices
):
    for one, is_mirrored in ((symmetric, True), (directed, False)):
        foreign = replace(one, measure="of_another_package")
        assert foreign.is_mirrored == is_mirrored
        assert foreign.n_pairs == len([*foreign.pairs()]) == (3 if is_mirrored else 6)
    noise = np.linspace(0, 1e-8, 100).reshape(10, 10)
    values = symmetric.values + noise
    values[0, 1] = values[1, 0] = np.nan
    assert replace(symmetric, measure="of_another_package", values=values).is_mirrored


def test_two_sides_are_never_mirrored(symmetric: AffinityMatrices, rectangular: AffinityMatrices):
    assert symmetric.is_mirrored
    assert not rectangular.is_mirrored
    assert not replace(symmetric, is_symmetric=False).is_mirrored


def test_a_pair_is_a_view_with_its_labels_and_facts(symmetric: AffinityMatrices):
    matrix = symmetric["meta-llama-3", "mistral-7b"]
    assert isinstance(matrix, AffinityMatrix)
    assert np.shares_memory(matrix.values, symmetric.values)
    np.testing.assert_array_equal(matrix.values, symmetric.values[2:7, 7:10])
    assert (matrix.left, matrix.right, matrix.measure) == ("meta-llama-3", "mistral-7b", "mutual_knn")
    assert (matrix.k, matrix.n_texts, matrix.texts) == (7, 1013, "wikipedia")
    assert (matrix.texts_digest, matrix.right_texts_digest) == ("a" * 64, None)
    assert matrix.provenance == {"from": "here"}


def test_exchanging_the_labels_transposes_a_pair(symmetric: AffinityMatrices):
    forth, back = symmetric["gemma-2b", "mistral-7b"], symmetric["mistral-7b", "gemma-2b"]
    np.testing.assert_array_equal(forth.values, back.values.T)


def test_left_and_right_models_are_found_on_their_side(rectangular: AffinityMatrices):
    matrix = rectangular["meta-llama-3", "meta-llama-3"]
    np.testing.assert_array_equal(matrix.values, rectangular.values[2:7, 0:5])
    assert (matrix.texts_digest, matrix.right_texts_digest) == ("a" * 64, "b" * 64)


@pytest.mark.parametrize(
    ("labels", "message", "hint"),
    [
        (("gema-2b", "meta-llama-3"), "'gema-2b' (left)", "did you mean gemma-2b?"),
        (("meta-llama-3", "gemma-2b"), "'gemma-2b' (right)", SIDES),
        (
            ("gema-2b", "mistral"),
            "'gema-2b' (left), 'mistral' (right)",
            "did you mean gemma-2b or mistral-7b?",
        ),
        (
            ("falcon", "meta-llama-3"),
            "'falcon' (left)",
            SIDES,
        ),
    ],
)
def test_unknown_labels_are_named_with_the_nearest_ones(
    rectangular: AffinityMatrices, labels: tuple[str, str], message: str, hint: str
):
    with pytest.raises(UnknownNameError) as caught:
        rectangular[labels]
    assert caught.value.message == f"no model of these matrices is called {message}"
    assert caught.value.hint == hint


def test_pairs_of_one_set_of_models_stand_once_in_the_order_of_the_labels(symmetric: AffinityMatrices):
    pairs = list(symmetric.pairs())
    assert [(pair.left, pair.right) for pair in pairs] == [
        ("gemma-2b", "meta-llama-3"),
        ("gemma-2b", "mistral-7b"),
        ("meta-llama-3", "mistral-7b"),
    ]
    assert symmetric.n_pairs == 3
    for pair in pairs:
        np.testing.assert_array_equal(pair.values, symmetric[pair.left, pair.right].values)


def test_pairs_with_self_hold_each_model_with_itself(symmetric: AffinityMatrices):
    labels = [(pair.left, pair.right) for pair in symmetric.pairs(with_self=True)]
    assert len(labels) == len(set(labels)) == 6
    assert {(name, name) for name in NAMES} < set(labels)


@pytest.mark.parametrize("with_self", [True, False])
def test_pairs_of_two_sides_are_all_left_with_all_right(rectangular: AffinityMatrices, with_self: bool):
    labels = [(pair.left, pair.right) for pair in rectangular.pairs(with_self=with_self)]
    assert labels == [(left, right) for left in NAMES[:2] for right in NAMES[1:]]
    assert rectangular.n_pairs == 4


def test_the_representation_tells_models_pairs_shape_and_facts(
    symmetric: AffinityMatrices, rectangular: AffinityMatrices
):
    assert repr(symmetric) == (
        "AffinityMatrices(3 models, 3 pairs, (layers, layers) = (10, 10), mutual_knn, k = 7, "
        "n_texts = 1013)"
    )
    assert repr(rectangular).startswith("AffinityMatrices(2 x 2 models, 4 pairs, ")
    assert symmetric.chance == 7 / 1012


# some models


def test_some_models_keep_their_matrices_in_the_order_given(symmetric: AffinityMatrices):
    chosen = symmetric.of(["mistral-7b", "gemma-2b"])
    assert (chosen.left, chosen.left_layers) == (("mistral-7b", "gemma-2b"), (3, 2))
    assert (chosen.right, chosen.right_layers) == (chosen.left, chosen.left_layers)
    assert chosen.is_symmetric
    for left in chosen.left:
        for right in chosen.right:
            np.testing.assert_array_equal(chosen[left, right].values, symmetric[left, right].values)
    assert (chosen.texts, chosen.k, chosen.provenance) == ("wikipedia", 7, {"from": "here"})
    assert not np.shares_memory(chosen.values, symmetric.values)


def test_all_models_in_order_are_the_same_matrices(symmetric: AffinityMatrices):
    np.testing.assert_array_equal(symmetric.of(NAMES).values, symmetric.values)


def test_each_side_keeps_those_of_its_own(rectangular: AffinityMatrices):
    chosen = rectangular.of(["mistral-7b", "meta-llama-3"])
    assert (chosen.left, chosen.right) == (("meta-llama-3",), ("mistral-7b", "meta-llama-3"))
    for right in chosen.right:
        np.testing.assert_array_equal(
            chosen["meta-llama-3", right].values, rectangular["meta-llama-3", right].values
        )
    one_sided = rectangular.of(["gemma-2b"])
    assert (one_sided.right, one_sided.values.shape, one_sided.n_pairs) == ((), (2, 0), 0)


def test_no_models_are_no_pairs(symmetric: AffinityMatrices):
    nobody = symmetric.of([])
    assert (nobody.left, nobody.values.shape, list(nobody.pairs())) == ((), (0, 0), [])


def test_labels_of_no_model_are_all_named(symmetric: AffinityMatrices):
    with pytest.raises(UnknownNameError) as caught:
        symmetric.of(["gemma-2", "gemma-2b", "mistral-7"])
    assert caught.value.message == "no model of these matrices is called 'gemma-2', 'mistral-7'"
    assert caught.value.hint == "did you mean gemma-2b or mistral-7b?"
    with pytest.raises(UnknownNameError) as caught:
        symmetric.of(["zzz"])
    assert caught.value.hint == "there are gemma-2b, meta-llama-3, mistral-7b."


def test_a_label_that_stands_twice_is_refused(symmetric: AffinityMatrices):
    with pytest.raises(ParameterError, match="gemma-2b"):
        symmetric.of(["gemma-2b", "gemma-2b"])


# exports


def test_the_table_has_these_columns_of_these_types(symmetric: AffinityMatrices):
    assert [(field.name, str(field.type)) for field in symmetric.to_table().schema] == [
        ("left", "dictionary<values=string, indices=int32, ordered=0>"),
        ("right", "dictionary<values=string, indices=int32, ordered=0>"),
        ("left_layer", "int32"),
        ("right_layer", "int32"),
        ("k", "int32"),
        ("measure", "dictionary<values=string, indices=int32, ordered=0>"),
        ("metric", "dictionary<values=string, indices=int32, ordered=0>"),
        ("preprocessing", "dictionary<values=string, indices=int32, ordered=0>"),
        ("similarity", "double"),
    ]


def test_the_table_of_one_set_of_models_holds_each_pair_once_and_self_pairs(
    symmetric: AffinityMatrices,
):
    assert symmetric.to_table().to_pylist() == [
        {
            "left": left,
            "right": right,
            "left_layer": i + 1,
            "right_layer": j + 1,
            "k": 7,
            "measure": "mutual_knn",
            "metric": "cosine",
            "preprocessing": "none",
            "similarity": symmetric[left, right].values[i, j],
        }
        for a, left in enumerate(NAMES)
        for right in NAMES[a:]
        for i in range(LAYERS[a])
        for j in range(dict(zip(NAMES, LAYERS, strict=True))[right])
    ]


def test_the_table_of_two_sides_holds_every_cell(rectangular: AffinityMatrices):
    rows = rectangular.to_table().to_pylist()
    assert len(rows) == 7 * 8
    for row in rows:
        matrix = rectangular[row["left"], row["right"]]
        assert row["similarity"] == matrix.values[row["left_layer"] - 1, row["right_layer"] - 1]
    keys = ("left", "left_layer", "right", "right_layer")
    assert len({tuple(row[key] for key in keys) for row in rows}) == 7 * 8


def test_what_there_is_not_is_null_in_tables_and_no_attribute(directed: AffinityMatrices):
    pytest.importorskip("xarray")
    changed = replace(directed, preprocessing="center + unit_norm")
    said = {"measure": "ridge_to_right", "preprocessing": "center + unit_norm"}
    for one in (changed, changed["gemma-2b", "mistral-7b"]):
        table = one.to_table()
        for name, value in {**said, "k": None, "metric": None}.items():
            assert set(table[name].to_pylist()) == {value}
        assert table.schema.field("k").type == "int32"
        assert str(table.schema.field("metric").type).startswith("dictionary<values=string")
        attributes = one.to_xarray().attrs
        assert attributes.items() >= {**said, "n_texts": 1013}.items()
        assert not {"k", "metric"} & attributes.keys()


def test_the_frame_is_the_table(symmetric: AffinityMatrices):
    pandas = pytest.importorskip("pandas")
    frame = symmetric.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.to_dict("list") == symmetric.to_table().to_pydict()
    assert frame["left"].dtype == "category"


def test_the_labelled_array_can_be_cut_by_model_and_layer(rectangular: AffinityMatrices):
    pytest.importorskip("xarray")
    array = rectangular.to_xarray()
    assert (array.name, array.dims, array.shape) == ("similarity", ("left", "right"), (7, 8))
    assert array.left_model.to_numpy().tolist() == ["gemma-2b"] * 2 + ["meta-llama-3"] * 5
    assert array.left_layer.to_numpy().tolist() == [1, 2, 1, 2, 3, 4, 5]
    assert array.right_layer.to_numpy().tolist() == [1, 2, 3, 4, 5, 1, 2, 3]
    part = array[array.left_model == "meta-llama-3", array.right_model == "mistral-7b"]
    np.testing.assert_array_equal(part, rectangular["meta-llama-3", "mistral-7b"].values)
    facts = {"measure": "mutual_knn", "metric": "cosine", "preprocessing": "none", "n_texts": 1013}
    assert array.attrs == {**facts, "k": 7}
    array[:] = 0
    assert rectangular.values.max() > 0


# construction


def made(**changes: object) -> AffinityMatrices:
    facts = {
        "values": np.zeros((5, 5)),
        "left": ("a", "b"),
        "right": ("a", "b"),
        "left_layers": (2, 3),
        "right_layers": (2, 3),
        "is_symmetric": True,
        "measure": "mutual_knn",
        "k": 3,
        "n_texts": 7,
    }
    return AffinityMatrices(**(facts | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"values": np.zeros((5, 7))},
        {"left_layers": (2, 2)},
        {"left_layers": (2, 3, 0)},
        {"right_layers": (5,)},
    ],
)
def test_labels_and_layers_that_do_not_fit_the_values_are_refused(changes: dict[str, object]):
    made()
    with pytest.raises(ParameterError, match=r"left labels with layers .* do not fit values of \(lay"):
        made(**changes)


def test_labels_that_repeat_are_refused():
    with pytest.raises(ParameterError, match=r"repeated on the right: a \(2 times\)\n"):
        made(right=("a", "a"), is_symmetric=False)


@pytest.mark.parametrize("changes", [{"right": ("a", "c")}, {"right_layers": (3, 2)}])
def test_symmetric_matrices_have_the_same_models_on_both_sides(changes: dict[str, object]):
    with pytest.raises(ParameterError) as caught:
        made(**changes)
    assert caught.value.message.startswith(
        "symmetric matrices must have the same models left and right"
    )
    made(**changes, is_symmetric=False)
