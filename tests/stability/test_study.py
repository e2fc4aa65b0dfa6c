from dataclasses import replace

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrix
from isodepth.errors import UnknownNameError
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.stability import (
    StudyStability,
    TextSetStability,
    layer_stability,
    similarity_curves,
)


@pytest.fixture
def found(rng: np.random.Generator) -> StudyStability:
    neighbors: list[Neighbors] = [
        replace(nearest_neighbors(rng.normal(size=(n_layers, 31, 5)), 11), model=name)
        for name, n_layers in (("one", 3), ("two", 2))
    ]
    copy = AffinityMatrix(
        values=np.array([[0.9, 0.1], [0.2, 0.7]]),
        left="two",
        right="two (bfloat16)",
        measure="mutual_knn",
        k=3,
        n_texts=31,
    )
    news = TextSetStability(
        name="news",
        capture="block",
        pooling="last",
        k=3,
        layers=tuple(layer_stability(one, k=3) for one in neighbors),
        curves=similarity_curves(neighbors, k=3, n_subsets=2),
        ceilings=(copy,),
        notes=("a note",),
    )
    bare = TextSetStability(
        name="news", capture="mlp", pooling="mean", k=3, layers=news.layers[:1], curves=None
    )
    return StudyStability(name="study", sets=(news, bare))


def test_tables_have_all_text_sets_one_below_the_other(found: StudyStability):
    layers = found.layers_table()
    assert layers.column_names[:8] == [
        *("texts", "capture", "pooling", "model", "n_texts", "k", "metric", "preprocessing")
    ]
    assert {*layers["metric"].to_pylist(), *layers["preprocessing"].to_pylist()} == {"cosine", "none"}
    assert layers["model"].to_pylist() == ["one"] * 3 + ["two"] * 2 + ["one"] * 3
    assert layers["capture"].to_pylist() == ["block"] * 5 + ["mlp"] * 3
    curves = found.curves_table()
    assert set(curves["texts"].to_pylist()) == {"news"}
    assert set(curves["is"].to_pylist()) == {"measured", "extrapolated"}


def test_ceilings_are_of_layers_with_themselves(found: StudyStability):
    rows = found.ceilings_table().to_pylist()
    assert [row["similarity"] for row in rows] == [0.9, 0.7]
    assert [row["calibrated"] for row in rows] == pytest.approx([(0.9 - 0.1) / 0.9, (0.7 - 0.1) / 0.9])
    assert {(row["model"], row["copy"], row["k"]) for row in rows} == {("two", "two (bfloat16)", 3)}


def test_without_any_there_is_an_empty_table(found: StudyStability):
    assert len(StudyStability(name="study", sets=found.sets[1:]).ceilings_table()) == 0


def test_text_sets_are_found_by_what_they_are_called(found: StudyStability):
    assert found["news"] is found.sets[0]
    assert found["news (mlp, mean)"] is found.sets[1]
    with pytest.raises(UnknownNameError, match="nothing on 'nws'; it has news, news") as caught:
        found["nws"]
    assert "did you mean news" in str(caught.value.hint)


def test_a_notebook_shows_models_and_notes(found: StudyStability):
    shown = found._repr_html_()
    assert shown.count("<tr") == 4
    assert "a note" in shown
    assert repr(found) == "StudyStability('study', sets = news, news (mlp, mean))"
