"""From results to what could explain them away: what is read for it, once, and what is written."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from transformers import AutoTokenizer

import isodepth.pipeline.confounds as confounds_module
from isodepth.affinity import affinity_matrix
from isodepth.confounds import (
    CONTROLS,
    TEXT_BASELINES,
    ControlInputs,
    StudyConfounds,
    all_controlled,
    confound_table,
)
from isodepth.errors import ParameterError, StoreError, StudyError, TextsError, UnknownNameError
from isodepth.neighbors import nearest_neighbors
from isodepth.pipeline import study_confounds, write_confounds
from isodepth.pipeline.confounds import _shown_pairs
from isodepth.pipeline.copies import copies_of_models
from isodepth.pipeline.written_tables import write_parts
from isodepth.results import load_results
from isodepth.store import Store
from tiny_studies import Counts, Ran, ran_study

N_TEXTS = 59
LABELED = "labeled"
POSSIBLE_WITHOUT_LABELS = [name for name in CONTROLS if not name.startswith("same_label")]
ASKED: dict[str, Any] = {"n_resamples": 100}


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a model is loaded, or texts are read, before what is wrong is told")


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with their sources and topics; the first text stands there twice, with two topics."""
    import tiny_models

    texts = tiny_models.texts_of([2 + 3 * i % 23 for i in range(N_TEXTS + 2)], seed=83)
    lines = [f"{text},{'web' if i % 2 else 'book'},{'ab'[i % 2]}" for i, text in enumerate(texts)]
    lines.append(f"{texts[0]},book,c")
    path = tmp_path_factory.mktemp("labeled") / "labeled.csv"
    path.write_text("\n".join(["text,source,topic", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def ran(
    gpt2_folder: Path,
    llama_folder: Path,
    labeled: Path,
    red: str,
    green: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ran:
    """Two models (3 and 5 layers) on texts with labels and on parallel ones, no activations kept."""
    entry = {"texts": str(labeled), "name": LABELED, "n": N_TEXTS, "column": "text"}
    return ran_study(
        tmp_path_factory.mktemp("ran"),
        gpt2_folder,
        llama_folder,
        texts=[entry, {"left": red, "right": green, "name": "pair"}],
    )


@pytest.fixture(scope="module")
def read_store(ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ran.store, tmp_path_factory.mktemp("read") / "store"))


@pytest.fixture(scope="module")
def found(ran: Ran, read_store: Path) -> tuple[StudyConfounds, list[str], list[str]]:
    """What all controls find, what was loaded for it, and what progress told."""
    from tiny_studies import counting

    told: list[str] = []
    with counting() as counts:
        one = study_confounds(
            ran.out, store=read_store, progress=lambda label, *_: told.append(label), **ASKED
        )
        return one, list(counts.loads), told


def test_models_and_untrained_copies_read_what_is_missing_once(
    ran: Ran, read_store: Path, found: tuple[StudyConfounds, list[str], list[str]], counts: Counts
) -> None:
    confounds, loads, told = found
    names = list(next(iter(ran.results[LABELED].matrices.values())).left)
    assert loads[:2] == names
    assert len(loads) == 4
    assert all(
        name in copy and "untrained" in copy for name, copy in zip(names, loads[2:], strict=True)
    )
    assert "finding neighbors under controls" in told
    assert any("reading with" in label for label in told)
    assert len(Store(read_store).keys("activations")) == 4
    again = study_confounds(ran.out, store=read_store, controls=["center", "untrained"], **ASKED)
    assert (counts.loads, counts.batches) == ([], [])
    before = {(row.control, row.left, row.right, row.part): row for row in confounds.sets[0].table.rows}
    rows = again.sets[0].table.rows
    assert {row.control for row in rows} == {"center", "untrained"}
    for row in rows:
        one = before[row.control, row.left, row.right, row.part]
        assert (row.value, row.difference) == (one.value, one.difference)


def test_every_control_is_there_or_says_why_not(
    found: tuple[StudyConfounds, list[str], list[str]],
) -> None:
    (one,) = found[0].sets
    assert (one.name, one.title, one.table.k, one.table.n_texts) == (LABELED, LABELED, 3, N_TEXTS)
    assert {*one.table.controls, *one.table.problems} == {*POSSIBLE_WITHOUT_LABELS}
    assert {"center", "untrained", "euclidean", "mutual_proximity", "without_text"} <= {
        *one.table.controls
    }
    assert set(one.inputs) == set(TEXT_BASELINES)
    assert [[matrix.left for matrix in side] for side in one.inputs.values()] == [
        [found[1][0], found[1][1]]
    ] * len(TEXT_BASELINES)
    (pair,) = one.matrices
    assert (pair.left, pair.right, pair.texts) == (found[1][0], found[1][1], LABELED)


def test_parallel_texts_are_left_out_with_a_note(
    found: tuple[StudyConfounds, list[str], list[str]],
) -> None:
    assert [one.name for one in found[0].sets] == [LABELED]
    assert "pair is left out: its texts are parallel ones" in found[0].notes


def test_it_is_what_the_library_finds_from_the_stored_activations(
    ran: Ran, read_store: Path, found: tuple[StudyConfounds, list[str], list[str]], counts: Counts
) -> None:
    from isodepth.pipeline.plan import plan_study

    results, store = load_results(ran.out), Store(read_store)
    study = replace(ran.study, keep_activations=True)
    (labeled, _) = plan_study(study, store, measures_speed=False).sets
    (selection,) = labeled.selections.values()
    values = {reader.label: reader.activations(store).values for reader in selection.left}
    copies, _ = copies_of_models(
        results, Path(), ["untrained=0"], k=3, store=store, texts=[LABELED], keep_activations=True
    )
    inputs = ControlInputs(
        texts=selection.left[0].reading.texts.texts,
        k=3,
        copies={copy.label: copy.reader.activations(store).values for copy in copies},
    )
    names = ["correlation", "untrained", "same_length"]
    expected = confound_table(all_controlled(values, inputs, names), n_resamples=100)
    table = found[0].sets[0].table
    for name in names:
        for row in expected.of(name):
            ours = table.row(name, row.part)
            assert ours.value.value == pytest.approx(row.value.value, abs=1e-6)
            assert ours.difference.low == pytest.approx(row.difference.low, abs=1e-6)
    plain = [nearest_neighbors(one, 3) for one in values.values()]
    (pair,) = found[0].sets[0].matrices
    np.testing.assert_array_equal(pair.values, affinity_matrix(*plain).values)
    assert counts.loads == []


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[ControlInputs]:
    """What controls were handed."""
    found: list[ControlInputs] = []

    def noted(models: Any, inputs: ControlInputs, *arguments: Any, **options: Any) -> Any:
        found.append(inputs)
        return all_controlled(models, inputs, *arguments, **options)

    monkeypatch.setattr(confounds_module, "all_controlled", noted)
    return found


def test_tokens_are_those_that_texts_are_read_at(
    ran: Ran, read_store: Path, gpt2_folder: Path, llama_folder: Path, handed: list[ControlInputs]
) -> None:
    study_confounds(ran.out, store=read_store, controls=["center"], **ASKED)
    (inputs,) = handed
    assert len(inputs.tokens) == 2
    for folder, tokens in zip((gpt2_folder, llama_folder), inputs.tokens.values(), strict=True):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        assert tokens.tolist() == [tokenizer(text)["input_ids"][-1] for text in inputs.texts]
    assert len({*tokens.tolist()}) > 1


def test_tokens_of_turns_and_of_cut_texts_are_those_that_are_read(
    chat_folder: Path, labeled: Path, tmp_path: Path, handed: list[ControlInputs]
) -> None:
    """A model and the same as chat are two readers; texts end after 13 tokens."""
    import tiny_models

    entry = {"texts": str(labeled), "n": N_TEXTS, "column": "text"}
    also = {"also_as_chat": [str(chat_folder)], "max_tokens": 13}
    study = ran_study(tmp_path, chat_folder, texts=[entry], **also)
    found = study_confounds(study.out, store=study.store, controls=["center"], **ASKED)
    (inputs,) = handed
    plain, chat = inputs.tokens.values()
    assert list(inputs.tokens) == ["tiny-chat", "tiny-chat as chat"]
    tokenizer = AutoTokenizer.from_pretrained(chat_folder)
    assert plain.tolist() == [tokenizer(text)["input_ids"][:13][-1] for text in inputs.texts]
    turns = [tiny_models.chat_ids(tokenizer, text) for text in inputs.texts]
    assert max(map(len, turns)) > 13  # what closes a turn is kept
    assert chat.tolist() == [turn[-1] for turn in turns]
    assert [(one.left, one.right) for one in found.sets[0].matrices] == [
        ("tiny-chat", "tiny-chat as chat")
    ]


def test_no_copies_are_read_for_controls_that_need_none(
    ran: Ran, tmp_path: Path, counts: Counts
) -> None:
    store = Path(shutil.copytree(ran.store, tmp_path / "store"))
    one = study_confounds(ran.out, store=store, controls=["center+unit_norm", "center"], **ASKED)
    assert len(counts.loads) == 2
    assert not any("untrained" in name for name in counts.loads)
    assert one.sets[0].table.controls == ("center + unit_norm", "center")
    # what was removed is read again, of the one model that lacks it
    activations = Store(store).keys("activations")
    assert len(activations) == 2
    Store(store).remove("activations", activations[0])
    counts.clear()
    study_confounds(ran.out, store=store, controls=["center"], **ASKED)
    assert len(counts.loads) == 1
    assert Store(store).keys("activations") == activations


def test_labels_are_a_column_of_the_texts_own_file(
    ran: Ran, read_store: Path, labeled: Path, counts: Counts
) -> None:
    one = study_confounds(
        ran.out, store=read_store, labels=["source", "topic"], controls=["center"], **ASKED
    )
    (table,) = [found.table for found in one.sets]
    assert table.controls == ("center", "same_label(source)", "same_label(topic)")
    assert counts.loads == []
    by_source, by_topic = (table.row(f"same_label({name})", "mean") for name in ("source", "topic"))
    assert by_source.n_texts == N_TEXTS
    # the text that has two topics has none, so that it is nobody's neighbor
    texts = labeled.read_text().splitlines()[1:]
    n_twice = sum(line.split(",")[0] == texts[0].split(",")[0] for line in texts)
    assert n_twice == 2
    assert 0 < N_TEXTS - by_topic.n_texts <= n_twice


def test_a_column_that_is_not_there_is_told_before_models_read(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.models.loading.load_model", refuse)
    store = Path(shutil.copytree(ran.store, tmp_path / "store"))
    with pytest.raises(TextsError, match=r"no column 'sourse'.*topic") as caught:
        study_confounds(ran.out, store=store, labels=["sourse"], **ASKED)
    assert "'source'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"controls": ["centre"]}, UnknownNameError, "no control is called 'centre'"),
        ({"controls": ["different_ending(0)"]}, ParameterError, "at least 1; got '0'"),
        ({"texts": ["labelled"]}, UnknownNameError, "has no results on 'labelled'"),
        ({"texts": ["pair"]}, ParameterError, "of parallel texts nothing is read again"),
    ],
)
def test_what_is_wrong_is_told_before_models_read(
    asked: dict[str, Any],
    error: type[Exception],
    said: str,
    ran: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isodepth.models.loading.load_model", refuse)
    with pytest.raises(error, match=said):
        study_confounds(ran.out, store=tmp_path / "empty", **asked)


def test_one_model_has_nothing_to_be_compared_with(
    gpt2_folder: Path, labeled: Path, tmp_path: Path, counts: Counts
) -> None:
    alone = ran_study(tmp_path, gpt2_folder, texts=[str(labeled)], n=N_TEXTS)
    counts.clear()
    with pytest.raises(ParameterError, match=r"there are fewer than two models on labeled.csv"):
        study_confounds(alone.out, store=alone.store, **ASKED)
    assert counts.loads == []


def test_results_without_their_study_are_refused_with_a_hint(ran: Ran) -> None:
    (file,) = ran.out.glob(f"{LABELED}*.safetensors")
    with pytest.raises(ParameterError, match="does not say which models were run how") as caught:
        study_confounds(file, store=ran.store)
    assert "the folder that 'isodepth run' wrote" in str(caught.value.hint)


def test_paths_that_are_gone_are_told(ran: Ran, tmp_path: Path) -> None:
    manifest = {**ran.results.manifest}
    manifest["study"] = {**manifest["study"], "models": ["./gone-a", "./gone-b"]}
    with pytest.raises(StudyError, match=r"\./gone-a"):
        study_confounds(replace(ran.results, manifest=manifest), store=ran.store, folder=tmp_path)


def test_a_model_that_cannot_be_read_is_left_out_with_a_note(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import isodepth.models.loading

    load = isodepth.models.loading.load_model

    def failing(source: Any, **settings: Any) -> Any:
        if "gpt2" in source.name:
            raise ParameterError("this one cannot be loaded")
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", failing)
    store = Path(shutil.copytree(ran.store, tmp_path / "store"))
    with pytest.raises(ParameterError) as caught:
        study_confounds(ran.out, store=store, controls=["center"], **ASKED)
    for said in (
        "nothing is left to control",
        "this one cannot be loaded",
        "labeled is left out: fewer than two models could read it",
    ):
        assert said in caught.value.message


def test_models_that_were_left_out_of_results_stay_out(ran: Ran, read_store: Path) -> None:
    label = next(iter(ran.results[LABELED].matrices.values())).left[0]
    with pytest.raises(ParameterError, match="fewer than two models"):
        study_confounds(ran.results.without([label]), store=read_store, controls=["center"], **ASKED)


def test_models_that_were_left_out_have_no_copies_read(
    finished: Ran, copied_store: Store, counts: Counts
) -> None:
    results = finished.results
    labels = next(iter(results["blue.txt"].matrices.values())).left
    asked = {"texts": ["blue.txt"], "k": 3, "store": copied_store}
    copies, _ = copies_of_models(results.without(labels[:1]), Path(), ["untrained=0"], **asked)
    assert [one.label for one in copies] == [*labels[1:]]
    assert [name.removesuffix(" (untrained, seed 0)") for name in counts.loads] == [*labels[1:]]


def test_a_model_of_the_study_that_learned_nothing_leaves_the_others_their_control(
    gpt2_folder: Path, llama_folder: Path, labeled: Path, tmp_path: Path
) -> None:
    models = (gpt2_folder, Path(f"{gpt2_folder}(untrained=0)"), llama_folder)
    entry = {"texts": str(labeled), "n": N_TEXTS, "column": "text"}
    study = ran_study(tmp_path, *models, texts=[entry])
    found = study_confounds(study.out, store=study.store, controls=["untrained"], **ASKED)
    (one,) = found.sets
    untrained = "tiny-gpt2 (untrained, seed 0)"
    assert f"{untrained} is an untrained copy itself, so the control 'untrained' leaves it out" in (
        found.notes
    )
    assert one.table.problems == {}
    assert {(row.left, row.right) for row in one.table.rows} == {
        (None, None),
        ("tiny-gpt2", "tiny-llama"),
    }
    written = write_confounds(found, tmp_path / "new", formats=["svg"])
    assert len([path for path in written if path.name.startswith("matrices-")]) == 3


def test_other_poolings_have_no_last_token(
    gpt2_folder: Path, two_folder: Path, labeled: Path, tmp_path: Path
) -> None:
    pooled = ran_study(
        tmp_path, gpt2_folder, two_folder, texts=[str(labeled)], n=N_TEXTS, poolings=["mean"]
    )
    controls = ["center", "different_token"]
    found = study_confounds(pooled.out, store=pooled.store, controls=controls, **ASKED)
    (one,) = found.sets
    assert one.title == "labeled.csv (mean)"
    assert one.notes == ("pooling mean reads at no last token, so controls of it do not apply",)
    assert one.table.problems == {"different_token": "the tokens that texts are read at are not known"}


def test_tables_and_figures_are_written(
    found: tuple[StudyConfounds, list[str], list[str]], tmp_path: Path
) -> None:
    (one,) = found[0].sets
    rows = tuple(row for row in one.table.rows if row.control in ("center", "untrained"))
    few = replace(found[0], sets=(replace(one, table=replace(one.table, rows=rows)),))
    told: list[str] = []
    out = tmp_path / "new"
    written = write_confounds(
        few, out, formats=["svg", "svg"], progress=lambda label, *_: told.append(label)
    )
    assert [str(path.relative_to(out)) for path in written] == [
        "controls.parquet",
        "controls.csv",
        "text-baselines.parquet",
        "text-baselines.csv",
        "matrices.parquet",
        "matrices.csv",
        f"{LABELED}/controls.svg",
        f"{LABELED}/text-baselines.svg",
        f"{LABELED}/matrices-tiny-gpt2-x-tiny-llama.svg",
    ]
    assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(written)
    assert set(told) == {"drawing figures"}
    table = pyarrow.parquet.read_table(out / "controls.parquet")
    assert table == few.controls_table()
    read = pyarrow.csv.read_csv(out / "controls.csv")
    assert read.column_names == table.column_names
    assert read["difference"].to_pylist() == table["difference"].to_pylist()
    assert pyarrow.parquet.read_table(out / "text-baselines.parquet") == few.inputs_table()
    matrices = pyarrow.parquet.read_table(out / "matrices.parquet")
    assert matrices == pyarrow.concat_tables(few.matrices_tables())
    assert len(matrices) == 3 * 5 * len(one.table.matrices)
    read = pyarrow.csv.read_csv(out / "matrices.csv")
    assert read["similarity"].to_pylist() == pytest.approx(matrices["similarity"].to_pylist())
    assert all("</svg>" in path.read_text() for path in written[-3:])


def test_matrices_of_many_cells_are_in_parquet_alone(tmp_path: Path) -> None:
    import pyarrow

    parts = [pyarrow.table({"name": [name] * 4, "value": [0.5, 2.5, 3.5, 4.5]}) for name in "ab"]
    names = [path.name for path in write_parts(tmp_path, "some", iter(parts), most_csv_rows=8)]
    assert names == ["some.parquet", "some.csv"]
    whole = pyarrow.concat_tables(parts).combine_chunks()
    assert pyarrow.csv.read_csv(tmp_path / "some.csv").combine_chunks() == whole
    names = [path.name for path in write_parts(tmp_path, "some", iter(parts), most_csv_rows=7)]
    assert names == ["some.parquet"]
    assert pyarrow.parquet.read_table(tmp_path / "some.parquet").combine_chunks() == whole
    assert not (tmp_path / "some.csv").exists()  # it would be another table's


def test_at_most_three_pairs_have_figures_of_their_matrices(
    found: tuple[StudyConfounds, list[str], list[str]],
) -> None:
    (one,) = found[0].sets
    plain = one.table.matrices[0]
    contrast = np.linspace(0.1, 0.5, 6)
    pairs = {("a", f"b{n}"): np.float32(height * np.eye(5)) for n, height in enumerate(contrast)}
    pairs = {pair: pairs[pair] for pair in sorted(pairs, key=lambda pair: pair[1][1] in "25")}
    table = replace(one.table, matrices=(replace(plain, pairs=pairs),))
    # by rule: the highest, the median, the lowest contrast
    assert _shown_pairs(replace(one, table=table)) == (("a", "b5"), ("a", "b3"), ("a", "b0"))
    assert _shown_pairs(one) == (tuple(found[1][:2]),)


def test_a_place_that_cannot_be_written_is_refused(
    found: tuple[StudyConfounds, list[str], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_confounds(found[0], tmp_path / "file" / "new")


def test_controls_start_from_the_studys_own_metric_and_preprocessing(
    gpt2_folder: Path,
    llama_folder: Path,
    labeled: Path,
    tmp_path: Path,
    counts: Counts,
    handed: list[ControlInputs],
) -> None:
    """Neighbors are those of the study's, of models, of copies, and against the texts alone."""
    own = {"metric": "euclidean", "preprocessing": "center"}
    entry = {"texts": str(labeled), "n": N_TEXTS, "column": "text"}
    study = ran_study(
        tmp_path,
        gpt2_folder,
        llama_folder,
        texts=[entry],
        **own,
        keep={"activations": True, "neighbors": 11},
    )
    counts.clear()
    names = ["euclidean", "center", "inner_product", "unit_norm", "untrained"]
    found = study_confounds(study.out, store=study.store, controls=names, **ASKED)
    assert len(counts.loads) == 2  # the copies
    (inputs,) = handed
    assert (inputs.metric, inputs.preprocessing) == ("euclidean", "center")
    (one,) = found.sets
    assert (one.table.metric, one.table.preprocessing) == ("euclidean", "center")
    assert one.table.problems == {
        "euclidean": "it is the study's own metric",
        "center": "it changes nothing by euclidean",
    }
    assert not [note for note in found.notes if "start from" in note]
    store = Store(study.store)
    values = [
        store.read("activations", said["activations"]).arrays["values"]
        for said in study.results["labeled.csv"].description["readings"]
    ]
    copies = [inputs.copies[matrix.left] for matrix in next(iter(one.inputs.values()))]
    for layers, control in ((values, "baseline"), (copies, "untrained")):
        near = [nearest_neighbors(one, 3, "euclidean", preprocessing="center") for one in layers]
        expected = affinity_matrix(*near).values
        (matrices,) = [one for one in one.table.matrices if one.name == control]
        (matrix,) = matrices.pairs.values()
        np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    (pair,) = one.matrices
    for matrix in (pair, *(matrix for several in one.inputs.values() for matrix in several)):
        assert (matrix.metric, matrix.preprocessing) == ("euclidean", "center")


def test_fewer_neighbors_than_resampling_wants_are_found_anew(ran: Ran, read_store: Path) -> None:
    """The study kept 7 neighbors; k = 5 wants 10."""
    found = study_confounds(ran.out, store=read_store, k=5, controls=["center"], **ASKED)
    assert found.sets[0].table.k == 5
    assert found.sets[0].table.row("center", "mean").difference.low is not None
