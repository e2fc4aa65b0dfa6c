"""From results to margins, curves, noise ceilings, and their files; no model is loaded but for copies."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from matplotlib.figure import Figure

from isodepth.errors import ParameterError, StoreError, StudyError, UnknownNameError
from isodepth.neighbors import nearest_neighbors
from isodepth.pipeline import study_stability, write_stability
from isodepth.pipeline.assess import matrix_neighbors
from isodepth.pipeline.copies import copies_of_models
from isodepth.pipeline.readings import Reading
from isodepth.pipeline.run import run_study
from isodepth.results import load_results
from isodepth.stability import layer_stability, similarity_curves
from isodepth.store import Store
from tiny_studies import Counts, Ran, ran_study, tiny_study


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are empty files: what is written where does not depend on what is in them."""
    monkeypatch.setattr("isodepth.figures.saving.save_figure", _touch)


def _touch(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_everything_comes_from_the_store(finished: Ran, counts: Counts):
    found = study_stability(finished.out, store=finished.store, n_subsets=2)
    assert (counts.loads, counts.batches) == ([], [])
    assert [one.title for one in found.sets] == ["red.txt", "pair", "blue.txt"]
    red, pair, _ = found.sets
    results = load_results(finished.out)
    kind = next(iter(results["red.txt"].matrices))
    left, _ = matrix_neighbors(results["red.txt"], kind, Store(finished.store), all_stored=True)
    assert red.k == 3
    assert [one.model for one in red.layers] == [one.model for one in left]
    for one, neighbors in zip(red.layers, left, strict=True):
        alone = layer_stability(neighbors, k=3)
        assert (one.margin == alone.margin).all()
        assert one.noise == neighbors.provenance["contract"]["batched_against_single"] > 0
        assert one.dimension is None
    assert red.curves is not None
    assert red.curves.to_table() == similarity_curves(left, k=3, n_subsets=2).to_table()
    assert (red.ceilings, red.matrices, red.notes) == ((), (), ())
    assert pair.curves is not None
    assert len(pair.curves.pairs) == 9
    sides = [one.model for one in pair.layers]
    assert len(set(sides)) == 6
    assert [name.rsplit(" reading ", 1)[1] for name in sides] == ["red.txt"] * 3 + ["green.txt"] * 3


def test_activations_that_are_kept_give_the_geometry(kept: Ran, counts: Counts):
    found = study_stability(kept.out, store=kept.store, texts=["blue.txt"], n_subsets=2)
    (blue,) = found.sets
    assert counts.loads == []
    assert all(one.dimension is not None and (one.dimension >= 1).all() for one in blue.layers)


def test_k_is_chosen_and_needs_one_neighbor_more(finished: Ran):
    found = study_stability(finished.out, store=finished.store, texts=["red.txt"], k=6, n_subsets=2)
    assert found["red.txt"].k == 6
    with pytest.raises(ParameterError, match="needs neighbor 8; 7 are held"):
        study_stability(finished.out, store=finished.store, texts=["red.txt"], k=7)


def test_without_neighbors_there_is_nothing_to_tell(finished: Ran, tmp_path: Path):
    with pytest.raises(
        UnknownNameError, match="neighbors of any model on red.txt are not in the store"
    ):
        study_stability(finished.out, store=tmp_path / "empty")


def test_text_sets_without_neighbors_have_a_note(finished: Ran, copied_store: Store):
    results = load_results(finished.out)
    for said in results["blue.txt"].description["readings"]:
        for key in copied_store.keys("neighbors", prefix=said["neighbors"]):
            shutil.rmtree(next(copied_store.root.rglob(f"{key}*")))
    found = study_stability(results, store=copied_store, n_subsets=2)
    assert [bool(one.layers) for one in found.sets] == [True, True, False]
    assert "on blue.txt are not in the store" in found["blue.txt"].notes[0]
    assert found["blue.txt"].curves is None


@pytest.mark.usefixtures("_undrawn")
def test_one_model_alone_has_no_curves(finished: Ran, tmp_path: Path):
    results = load_results(finished.out)
    labels = list(next(iter(results["red.txt"].matrices.values())).left)
    alone = results.without(labels[1:])
    written = write_stability(alone, tmp_path, texts=["red.txt"], store=finished.store, formats=["svg"])
    assert written.found["red.txt"].curves is None
    assert files_in(tmp_path) == ["layers.csv", "layers.parquet", "red.txt/layers.svg"]


def test_tables_and_figures_are_written(finished: Ran, tmp_path: Path):
    known = study_stability(finished.out, store=finished.store, texts=["red.txt"], n_subsets=2)
    written = write_stability(finished.out, tmp_path / "new", found=known, formats=["svg", "svg"])
    assert written.found is known
    assert files_in(tmp_path / "new") == [
        "curves.csv",
        "curves.parquet",
        "layers.csv",
        "layers.parquet",
        "red.txt/curves.svg",
        "red.txt/layers.svg",
    ]
    assert [*written.tables, *written.figures] == [
        tmp_path / "new" / name
        for name in (
            "layers.parquet",
            "layers.csv",
            "curves.parquet",
            "curves.csv",
            "red.txt/layers.svg",
            "red.txt/curves.svg",
        )
    ]
    table = pyarrow.parquet.read_table(written.tables[2])
    assert table == known.curves_table()
    read = pyarrow.csv.read_csv(written.tables[3])
    assert read.column_names == table.column_names
    assert read["calibrated"].to_pylist() == table["calibrated"].to_pylist()


@pytest.mark.parametrize("formats", [[], ["png", "gif"]])
def test_unknown_formats_are_refused_before_the_work(
    finished: Ran, tmp_path: Path, formats: list[str], counts: Counts
):
    with pytest.raises(
        ParameterError, match=f"formats must be of .*; got {(formats and 'gif') or 'none'}"
    ):
        write_stability(finished.out, tmp_path / "new", formats=formats, copies=["dtype=bfloat16"])
    assert not (tmp_path / "new").exists()


def test_a_place_that_cannot_be_written_is_refused_before_the_work(finished: Ran, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="a file stands where a folder is needed"):
        write_stability(finished.out, tmp_path / "file" / "new", copies=["dtype=bfloat16"])


@pytest.mark.usefixtures("_undrawn")
def test_copies_are_held_against_their_originals(
    finished: Ran, copied_store: Store, tmp_path: Path, counts: Counts
):
    """Each model is read once more, on text sets that are no pair, and from the store the next time."""
    asked = {
        "texts": ["blue.txt"],
        "copies": ["dtype=bfloat16"],
        "store": copied_store,
        "formats": ["svg"],
    }
    written = write_stability(finished.out, tmp_path / "new", **asked)
    assert len(counts.loads) == 3
    assert all(name.endswith(" (bfloat16)") for name in counts.loads)
    (blue,) = written.found.sets
    assert [copy.right for copy in blue.ceilings] == counts.loads
    assert [f"{copy.left} (bfloat16)" for copy in blue.ceilings] == counts.loads
    assert len(blue.matrices) == 3
    for copy, layers in zip(blue.ceilings, blue.layers, strict=True):
        assert copy.values.shape == (layers.n_layers, layers.n_layers)
        itself = np.diag(copy.values)
        assert (itself > 0.5).all()
        assert (copy.k, copy.n_texts, copy.texts) == (3, 31, "blue.txt")
    assert any((np.diag(copy.values) < 1).any() for copy in blue.ceilings)
    rows = pyarrow.parquet.read_table(tmp_path / "new" / "ceilings.parquet").to_pylist()
    assert [row["similarity"] for row in rows] == [
        value for copy in blue.ceilings for value in np.diag(copy.values)
    ]
    assert len([path for path in written.figures if path.name.startswith("noise-ceiling-")]) == 3
    counts.clear()
    again = study_stability(
        finished.out, texts=["blue.txt"], copies=["dtype=bfloat16"], store=copied_store, n_subsets=2
    )
    assert counts.loads == []
    for one, other in zip(again["blue.txt"].ceilings, blue.ceilings, strict=True):
        assert (one.values == other.values).all()


def test_a_copy_read_in_other_batches_is_as_good_as_the_same_and_may_keep_activations(
    finished: Ran, copied_store: Store, counts: Counts
):
    asked = {"k": 3, "store": copied_store, "texts": ["blue.txt"], "keep_activations": True}
    copies, notes = copies_of_models(load_results(finished.out), Path(), ["batch_tokens=64"], **asked)
    assert (len(copies), len(counts.loads), notes) == (3, 3, [])
    for copy in copies:
        assert isinstance(copy.reader.reading, Reading)
        kept = copy.reader.reading.stored_activations(copied_store, copy.reader.options)
        assert kept is not None
        neighbors = copy.reader.neighbors(copied_store)
        assert (nearest_neighbors(kept, 3).ids == neighbors.ids[:, :, :3]).all()
    counts.clear()
    found = study_stability(
        finished.out, texts=["blue.txt"], copies=["batch_tokens=64"], store=copied_store, n_subsets=2
    )
    assert counts.loads == []
    assert len(found["blue.txt"].ceilings) == 3
    for ceiling in found["blue.txt"].ceilings:
        assert np.diag(ceiling.values).min() > 0.95


def test_all_is_by_the_studys_own_metric_and_preprocessing(
    gpt2_folder: Path, llama_folder: Path, blue: str, tmp_path: Path
):
    own = {"metric": "euclidean", "preprocessing": "center"}
    study = ran_study(tmp_path, gpt2_folder, llama_folder, texts=[blue], **own)
    copies = ["batch_tokens=64"]
    (found,) = study_stability(study.out, store=study.store, copies=copies, n_subsets=2).sets
    assert {(one.metric, one.preprocessing) for one in found.layers} == {("euclidean", "center")}
    assert (found.curves.metric, found.curves.preprocessing) == ("euclidean", "center")
    kept = copies_of_models(
        load_results(study.out), Path(), copies, k=3, store=Store(study.store), keep_activations=True
    )
    for ceiling, (copy, layers) in zip(
        found.ceilings, zip(kept[0], found.layers, strict=True), strict=True
    ):
        assert (ceiling.metric, ceiling.preprocessing) == ("euclidean", "center")
        values = copy.reader.activations(Store(study.store))
        near = nearest_neighbors(values, 7, "euclidean", preprocessing="center")
        assert (near.ids == copy.reader.neighbors(Store(study.store)).ids).all()
        # the copy is the same up to rounding
        assert layers.hub_skewness == pytest.approx(layer_stability(near, k=3).hub_skewness, abs=0.2)
        assert not np.allclose(
            layers.hub_skewness, layer_stability(nearest_neighbors(values, 7), k=3).hub_skewness
        )


def test_copies_that_are_none_are_noted(finished: Ran, copied_store: Store, counts: Counts):
    found = study_stability(
        finished.out, texts=["blue.txt"], copies=["dtype=float32"], store=copied_store, n_subsets=2
    )
    assert counts.loads == []
    assert found["blue.txt"].ceilings == ()
    assert len(found["blue.txt"].notes) == 3
    assert "was read with dtype=float32 already" in found["blue.txt"].notes[0]


def test_what_cannot_be_read_is_noted_and_the_rest_goes_on(
    finished: Ran, copied_store: Store, monkeypatch: pytest.MonkeyPatch
):
    import isodepth.models.loading

    load = isodepth.models.loading.load_model

    def failing(source, **settings):
        if "gpt2" in source.name:
            raise ParameterError("this one cannot be loaded")
        return load(source, **settings)

    monkeypatch.setattr(isodepth.models.loading, "load_model", failing)
    found = study_stability(
        finished.out, texts=["blue.txt"], copies=["attention=eager"], store=copied_store, n_subsets=2
    )
    assert len(found["blue.txt"].ceilings) == 2
    (note,) = found["blue.txt"].notes
    assert note.startswith("no copy: ")
    assert note.endswith("this one cannot be loaded")


def test_paths_of_the_study_are_looked_up_from_its_folder(
    gpt2_folder: Path, red: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = tmp_path / "home"
    shutil.copytree(gpt2_folder, home / "model")
    shutil.copy(red, home / "red.txt")
    monkeypatch.chdir(home)
    study = replace(tiny_study(Path("model"), texts=["./red.txt"]), name="study")
    study = type(study).of(**{**study.as_dict(), "models": ["./model"]})
    store = Store(tmp_path / "store")
    run_study(study, tmp_path / "out", store=store)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"\./model"):
        study_stability(tmp_path / "out", copies=["dtype=bfloat16"], store=store)
    found = study_stability(tmp_path / "out", copies=["dtype=bfloat16"], store=store, folder=home)
    (copy,) = found["red.txt"].ceilings
    assert (copy.left, copy.right) == ("model", "model (bfloat16)")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("dtyp=bfloat16", "'dtyp=bfloat16' is no option"),
        ("", "a copy needs a loading option; got none"),
    ],
)
def test_options_that_are_none_are_refused(finished: Ran, option: str, said: str):
    with pytest.raises(ParameterError, match=said):
        study_stability(finished.out, copies=[option], store=finished.store)


def test_copies_need_to_know_the_study(finished: Ran):
    (file,) = finished.out.glob("blue*.safetensors")
    with pytest.raises(ParameterError, match="does not say which models were run how") as caught:
        study_stability(file, copies=["dtype=bfloat16"], store=finished.store)
    assert "isodepth run" in str(caught.value.hint)


def test_parallel_texts_alone_have_no_ceiling(finished: Ran, counts: Counts):
    found, notes = copies_of_models(
        load_results(finished.out),
        Path(),
        ["dtype=bfloat16"],
        k=3,
        store=Store(finished.store),
        texts=["pair"],
    )
    assert (found, counts.loads) == ([], [])
    assert "parallel texts are left out" in notes[0]


@pytest.mark.usefixtures("_undrawn")
def test_progress_is_told(finished: Ran, tmp_path: Path):
    told: list[str] = []
    write_stability(
        finished.out,
        tmp_path / "new",
        texts=["blue.txt"],
        store=finished.store,
        formats=["svg"],
        progress=lambda label, *_: told.append(label),
    )
    assert {"telling how firm it is", "drawing figures"} <= set(told)
