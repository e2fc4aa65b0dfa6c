"""A study as tables: plans and results of every size, made up, no model read."""

import re
from typing import Any

import numpy as np
import pytest

from isodepth.activations import ExtractionOptions
from isodepth.affinity import AffinityMatrices
from isodepth.cli.study_tables import (
    MOST_PAIRS,
    duration,
    missing_lines,
    plan_lines,
    results_lines,
    shown_kinds,
    state_table,
)
from isodepth.models import ModelSource
from isodepth.pipeline.matrices import Reader, Selection
from isodepth.pipeline.planned import PlannedReading, PlannedSet, StudyPlan
from isodepth.pipeline.readings import Reading
from isodepth.results import MatrixKind, StudyResults, TextSetResults
from isodepth.store import ArrayProgress
from isodepth.study import Resources, Study, StudyTexts
from isodepth.texts import TextSet

TEXTS = TextSet.of([f"text {i}" for i in range(13)], name="some")
KIND = MatrixKind("mutual_knn", 3)


def planned(model: str, texts: str, state: str = "to do", **changes: Any) -> PlannedReading:
    source = ModelSource(kind="folder", name=model, weights_digest=model)
    reading = Reading(source=source, texts=TEXTS, options=(ExtractionOptions(),), kept_k=3)
    settings = {
        "label": f"{model} on {texts}",
        "model": model,
        "texts": texts,
        "reading": reading,
        "resources": Resources(),
        "state": state,
        "so_far": None,
        "n_tokens": 1000,
        "seconds": 60.0,
        "kept_bytes": 2_000_000,
        "passing_bytes": 5_000_000,
        **changes,
    }
    return PlannedReading(**settings)


def so_far(n_done: int) -> ArrayProgress:
    return ArrayProgress(n_done=n_done, n_texts=40, n_tokens=5, tokens_per_second=None, last_at=None)


def plan(
    *readings: PlannedReading,
    n_models: int = 3,
    right: int | None = None,
    n_chats: int = 0,
    **changes: Any,
) -> StudyPlan:
    plain = [(f"m{i}", ExtractionOptions()) for i in range(max(n_models, right or 0))]
    chats = [(f"m{i} as chat", ExtractionOptions(chat=True)) for i in range(n_chats)]
    readers = tuple(
        Reader(label=label, reading=planned(label, "x").reading, options=options)
        for label, options in [*chats, *plain]
    )
    selection = Selection(
        left=readers[: n_chats + n_models],
        right=None if right is None else readers[:right],
        measure="mutual_knn",
        k=3,
        texts_digest="0",
    )
    study = Study(
        name="mine",
        models=tuple(f"m{i}" for i in range(n_models)),
        texts=(StudyTexts(name="x", left="x"),),
    )
    sets = (PlannedSet(name="x", texts={}, right_texts=None, selections={KIND: selection}),)
    settings = {
        "study": study,
        "imported": False,
        "readings": readings,
        "sets": sets,
        "missing": (),
        "n_stored_matrices": 0,
        **changes,
    }
    return StudyPlan(**settings)


def study_results(n_models: int, *kinds: MatrixKind, n_layers: int = 5, seed: int = 3) -> StudyResults:
    rng = np.random.default_rng(seed)
    names = tuple(f"model-{i}" for i in range(n_models))
    found = {}
    for kind in kinds or (KIND,):
        values = rng.random((n_models * n_layers,) * 2)
        found[kind] = AffinityMatrices(
            values=(values + values.T) / 2,
            left=names,
            right=names,
            left_layers=(n_layers,) * n_models,
            right_layers=(n_layers,) * n_models,
            is_symmetric=True,
            measure=kind.measure,
            k=kind.k,
            n_texts=41,
        )
    return StudyResults(name="mine", sets={"news": TextSetResults(name="news", matrices=found)})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0 s"),
        (0.04, "0.0 s"),
        (9.44, "9.4 s"),
        (9.5, "10 s"),
        (99.4, "99 s"),
        (100.0, "2 min"),
        (5990.0, "100 min"),
        (6000.0, "1.7 h"),
        (360_000.0, "100.0 h"),
    ],
)
def test_times_are_said_as_people_read_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_state_table_has_models_in_rows_and_text_sets_in_columns() -> None:
    lines = state_table(
        plan(
            planned("a", "news", "done"),
            planned("a", "wikipedia", "begun", so_far=so_far(9)),
            planned("much-longer-name", "wikipedia", "running", so_far=so_far(30)),
            planned("much-longer-name", "a name of many letters", "running"),
        )
    )
    assert lines == [
        "                  news  wikipedia  a name of man…",
        "a                 done  22 %",
        "much-longer-name        now 75 %   now",
    ]


def test_an_empty_plan_has_an_empty_table() -> None:
    assert state_table(plan()) == [""]


def test_the_plan_says_what_is_there_and_what_is_to_do() -> None:
    lines = plan_lines(
        plan(
            planned("a", "x", "done", seconds=0.0, kept_bytes=0, passing_bytes=0),
            planned("b", "x", "begun", so_far=so_far(10)),
            planned("b", "y", "begun", so_far=so_far(20)),
            planned("c", "x", "running"),
            planned("d", "x", "running"),
            planned("e", "x", passing_bytes=7_000_000),
        )
    )
    assert lines[0] == (
        "mine: 3 models on 1 text set: 3 pairs of models. Matrices of all layers: 1; 0 in the store"
    )
    assert lines[1:] == [
        "Readings (a model on a text set): 6; 1 in the store, 5 to do, 2 of these begun, 2 of these at "
        "work in another run",
        "To read: about 4,250 tokens. Time to read: about 5 min (one task at a time).",
        "Disk: about 10 MB stay in the store, and up to 7 MB more while a model reads.",
    ]


@pytest.mark.parametrize(
    ("n_chats", "n_stored", "said"),
    [
        (0, 1, "mine: 4 models on 1 text set: 6 pairs of models. Matrices of all layers: 1; 1 in"),
        (1, 0, "mine: 4 models (1 also as chat) on 1 text set: 10 pairs of models. Matrices of all"),
        (3, 0, "mine: 4 models (3 also as chat) on 1 text set: 21 pairs of models. Matrices of all"),
    ],
)
def test_the_plan_counts_chats_beside_models_and_what_is_in_the_store(
    n_chats: int, n_stored: int, said: str
) -> None:
    lines = plan_lines(plan(n_models=4, n_chats=n_chats, n_stored_matrices=n_stored))
    assert lines[0].startswith(said)


def test_the_plan_of_readings_that_are_all_there_says_nothing_of_time() -> None:
    assert plan_lines(plan(planned("a", "x", "done")))[1:] == [
        "Readings (a model on a text set): 1; 1 in the store, 0 to do"
    ]


def test_the_notes_of_a_plan_come_first() -> None:
    lines = plan_lines(plan(imported=True, notes=("one is left out", "so is another")))
    assert lines[1:] == [
        "Note: one is left out.",
        "Note: so is another.",
        "Readings are those that were imported; no model is run.",
    ]


def unknown(model: str) -> PlannedReading:
    return planned(model, "x", seconds=None, kept_bytes=None, passing_bytes=None)


def test_the_plan_says_whose_time_is_unknown() -> None:
    both = plan_lines(plan(planned("a", "x"), unknown("b"), unknown("c")))
    assert "Time to read: about 60 s, and that of 2 readings unknown (one" in both[2]
    assert (
        "Time to read: unknown, because no such model was read before"
        in plan_lines(plan(unknown("b")))[2]
    )


def test_the_plan_does_not_say_that_an_unknown_size_is_none() -> None:
    said = plan_lines(plan(unknown("b")))[3]
    assert "about 0 kB" not in said
    assert "unknown" in said


def test_pairs_are_counted_once_where_all_are_compared_and_all_of_parallel_texts() -> None:
    assert ": 10 pairs of models" in plan_lines(plan(n_models=5))[0]
    assert ": 15 pairs of models" in plan_lines(plan(n_models=5, right=3))[0]


def test_what_cannot_be_had_is_said_with_each_hint_once() -> None:
    assert missing_lines([("a", "why", "do x"), ("b", "so", None), ("c", "why", "do x")]) == [
        "cannot be had: a: why",
        "cannot be had: b: so",
        "cannot be had: c: why",
        "hint: do x",
    ]
    assert missing_lines([]) == []


def test_few_pairs_are_shown_one_by_one_with_their_own_numbers() -> None:
    results = study_results(4)
    lines = results_lines(results)
    assert lines[:2] == ["", "news (mutual_knn, k = 3, capture block, pooling last; chance 0.075)"]
    header = "left right mean highest, at layers on off"
    assert lines[2].split() == header.split()
    assert len(lines) == 3 + 6
    for line, pair in zip(lines[3:], results.matrices("news").pairs(), strict=True):
        cells = re.split(r" {2,}", line.strip())
        assert cells[:3] == [pair.left, pair.right, f"{pair.values.mean():.3f}"]
        i, j = np.unravel_index(pair.values.argmax(), pair.values.shape)
        assert cells[3] == f"{pair.values.max():.3f}, {i + 1} × {j + 1}"


def test_many_pairs_are_shown_in_a_line_each_pair_counting_once() -> None:
    results = study_results(6)
    pairs = list(results.matrices("news").pairs())
    assert len(pairs) == 15 > MOST_PAIRS
    lines = results_lines(results)
    means = [pair.values.mean() for pair in pairs]
    assert len(lines) == 4
    assert lines[2] == (
        f"  15 pairs of models; mean similarity {np.mean(means):.3f} "
        f"({min(means):.3f} to {max(means):.3f})"
    )
    assert re.fullmatch(
        r"  on the generalized diagonal above off it in \d+ of 15; mean difference -?0\.\d{4}", lines[3]
    )


def test_models_of_one_layer_are_shown_without_a_test() -> None:
    lines = results_lines(study_results(3, n_layers=1))
    assert len(lines) == 3 + 3
    many = results_lines(study_results(6, n_layers=1))
    assert "nan" not in "\n".join(many)


def test_one_model_alone_has_no_table() -> None:
    lines = results_lines(study_results(1))
    assert lines[2:] == ["  only model-0 read it, so there is no pair of models"]


def test_the_shown_matrix_is_that_of_ten_neighbors_where_there_is_one() -> None:
    kinds = (MatrixKind("mutual_knn", 3), MatrixKind("mutual_knn", 10), MatrixKind("mutual_knn", 50))
    assert shown_kinds(study_results(2, *kinds)["news"]) == [kinds[1]]
    assert shown_kinds(study_results(2, kinds[2], kinds[0])["news"]) == [kinds[2]]


def test_every_measure_is_shown_and_says_whether_its_chance_is_known() -> None:
    kinds = (MatrixKind("mutual_knn", 10), MatrixKind("cka", 0), MatrixKind("jaccard_knn", 3))
    results = study_results(2, *kinds)
    assert shown_kinds(results["news"]) == [*kinds]
    lines = "\n".join(results_lines(results))
    assert "news (cka, capture block, pooling last; chance not known)" in lines
    assert "news (mutual_knn, k = 10, capture block, pooling last; chance 0." in lines
