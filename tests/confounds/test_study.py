from dataclasses import replace

import numpy as np
import pyarrow
import pytest

from isodepth.affinity import AffinityMatrix
from isodepth.axes import relative_depths
from isodepth.confounds import (
    ControlInputs,
    StudyConfounds,
    TextSetConfounds,
    all_controlled,
    confound_table,
)

N_TEXTS, K = 61, 3
LAYERS = {"a": 5, "b": 3}
PLACE = ["texts", "capture", "pooling"]


def of_texts(model: str, n_layers: int) -> AffinityMatrix:
    """Return layers against the texts alone: one column."""
    return AffinityMatrix(
        values=np.linspace(0.1, 0.7, n_layers)[:, np.newaxis],
        left=model,
        right="tf_idf",
        measure="mutual_knn",
        k=K,
        n_texts=N_TEXTS,
    )


@pytest.fixture(scope="module")
def one() -> TextSetConfounds:
    rng = np.random.default_rng(3)
    models = {name: rng.normal(size=(n, N_TEXTS, 7)) for name, n in LAYERS.items()}
    inputs = ControlInputs(texts=[f"text {i}" for i in range(N_TEXTS)], k=K)
    controlled = all_controlled(models, inputs, ["center", "untrained"])
    return TextSetConfounds(
        name="news",
        capture="block",
        pooling="last",
        table=confound_table(controlled, n_resamples=31),
        inputs={"tf_idf": tuple(of_texts(name, n) for name, n in LAYERS.items())},
        matrices=(),
    )


def test_a_set_is_called_by_what_was_read_where_that_is_not_the_usual(one: TextSetConfounds):
    assert one.title == "news"
    assert replace(one, pooling="mean").title == "news (mean)"
    assert replace(one, capture="mlp").title == "news (mlp)"


def test_tables_of_all_sets_stand_one_below_the_other(one: TextSetConfounds):
    study = StudyConfounds(name="study", sets=(one, replace(one, name="imdb", pooling="mean")))
    table, alone = study.controls_table(), one.table.to_table()
    assert table.column_names == [*PLACE, *alone.column_names]
    assert table["texts"].to_pylist() == ["news"] * len(alone) + ["imdb"] * len(alone)
    assert table["pooling"].to_pylist() == ["last"] * len(alone) + ["mean"] * len(alone)
    for half in (table.slice(0, len(alone)), table.slice(len(alone))):
        assert half.drop_columns(PLACE).combine_chunks() == alone.combine_chunks()
    # a control that was not possible has a row that says why
    notes = [row["note"] for row in table.to_pylist() if row["control"] == "untrained"]
    assert notes == ["there is no untrained copy of a, b"] * 2


def test_matrices_of_all_sets_come_a_control_at_a_time(one: TextSetConfounds):
    study = StudyConfounds(name="study", sets=(one, replace(one, name="imdb", pooling="mean")))
    tables = list(study.matrices_tables())
    assert len(tables) == 4
    whole = pyarrow.concat_tables(tables)
    assert whole.column_names == [*PLACE, *one.table.matrices[0].to_table().column_names]
    places = [(table["texts"][0].as_py(), table["control"][0].as_py()) for table in tables]
    names = ("news", "baseline"), ("news", "center"), ("imdb", "baseline"), ("imdb", "center")
    assert places == [*names]
    assert tables[1].drop_columns(PLACE).equals(one.table.matrices[1].to_table())


def test_layers_against_the_texts_alone_have_a_row_each(one: TextSetConfounds):
    table = StudyConfounds(name="study", sets=(one,)).inputs_table()
    assert table.column_names == [
        *PLACE,
        "baseline",
        "model",
        "layer",
        "depth",
        "similarity",
        "chance",
    ]
    rows = table.to_pylist()
    assert [(row["model"], row["layer"]) for row in rows] == [
        (name, layer) for name, n in LAYERS.items() for layer in range(1, n + 1)
    ]
    for name, n_layers in LAYERS.items():
        mine = [row for row in rows if row["model"] == name]
        assert [row["depth"] for row in mine] == relative_depths(n_layers).tolist()
        assert [row["similarity"] for row in mine] == np.linspace(0.1, 0.7, n_layers).tolist()
    assert {row["baseline"] for row in rows} == {"tf_idf"}
    assert {row["chance"] for row in rows} == {K / (N_TEXTS - 1)}
    assert isinstance(table, pyarrow.Table)
