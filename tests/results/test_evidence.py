"""Evidence gives neighbors in the order of the labels of matrices, or says whose there are none."""

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.errors import UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.results import Evidence, MatrixKind, evidence_key
from isodepth.texts import TextSet


def neighbors(name: str) -> Neighbors:
    ids = np.zeros((1, 3, 1), dtype=np.int32)
    return Neighbors(ids=ids, similarities=np.zeros(ids.shape, np.float32), model=name)


def matrices(left: tuple[str, ...], right: tuple[str, ...]) -> AffinityMatrices:
    return AffinityMatrices(
        values=np.ones((len(left), len(right))),
        left=left,
        right=right,
        left_layers=(1,) * len(left),
        right_layers=(1,) * len(right),
        is_symmetric=left == right,
        measure="mutual_knn",
        k=1,
        n_texts=3,
    )


ANN, BOB, CYD = (neighbors(name) for name in ("ann", "bob", "cyd"))


def test_neighbors_come_in_the_order_of_the_labels() -> None:
    evidence = Evidence(left={"bob": BOB, "cyd": CYD, "ann": ANN})
    left, right = evidence.sides(matrices(("ann", "bob"), ("ann", "bob")))
    assert [one.model for one in left] == ["ann", "bob"]
    assert right is None
    left, right = evidence.sides(matrices(("cyd",), ("bob", "ann")))
    assert [one.model for one in left] == ["cyd"]
    assert [one.model for one in right or ()] == ["bob", "ann"]


def test_right_models_that_read_other_texts_have_their_own() -> None:
    other = neighbors("ann")
    left, right = Evidence(left={"ann": ANN}, right={"ann": other}).sides(matrices(("ann",), ("ann",)))
    assert left == [ANN]
    assert right is None  # the matrices say that left is meant
    two = matrices(("ann", "bob"), ("ann",))
    _, right = Evidence(left={"ann": ANN, "bob": BOB}, right={"ann": other}).sides(two)
    assert right is not None
    assert right[0] is other


def test_models_without_neighbors_are_all_named() -> None:
    evidence = Evidence(left={"ann": ANN}, right={"bob": BOB})
    with pytest.raises(UnknownNameError, match="^there are no neighbors of bob, cyd, ann$"):
        evidence.sides(matrices(("ann", "bob", "cyd"), ("bob", "ann", "cyd")))


def test_it_is_keyed_by_what_was_read_and_shows_what_is_there() -> None:
    kind = MatrixKind("mutual_knn", 10, "mlp", "mean")
    assert evidence_key("news", kind) == ("news", "mlp", "mean")
    texts = TextSet.of(["a", "b"])
    assert repr(Evidence(left={"ann": ANN}, texts=texts)) == "Evidence(1 model, texts at hand)"
    parallel = Evidence(left={"ann": ANN}, right={"bob": BOB})
    assert repr(parallel) == "Evidence(1 model and 1 on the right, texts not at hand)"
