"""Matrices in and out: published counts, tables, NetCDF; what goes out comes back."""

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import xarray
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError
from isodepth.interchange import (
    FoundMatrices,
    imported_results,
    read_published_matrices,
    read_similarity_table,
    results_dataset,
    write_csv,
    write_netcdf,
    write_parquet,
)
from isodepth.interchange.matrices import file_source
from isodepth.results import MatrixKind, StudyResults, TextSetResults, load_results
from isodepth.statistics import diagonal_test

MODELS = {"google/gemma-2b": 3, "owner/one": 2, "owner/other": 5}
N_TEXTS, K = 41, 7


def counts(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return counts as published, by pair; the embedding is row and column 0."""
    found = {}
    names = list(MODELS)
    for place, left in enumerate(names):
        for right in names[: place + 1]:
            shape = (MODELS[left] + 1, MODELS[right] + 1)
            values = rng.integers(0, K * N_TEXTS, shape)
            if left == right:
                values = np.minimum(values, values.T)
                np.fill_diagonal(values, K * N_TEXTS)
            found[f"{left}|{right}"] = values.astype(np.uint16)
    return found


@pytest.fixture
def published(rng: np.random.Generator, tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    found = counts(rng)
    path = tmp_path / f"web_text_k{K}.npz"
    np.savez_compressed(path, **found)
    return path, found


def matrices(
    labels: tuple[str, ...] = ("one", "other"),
    layers: tuple[int, ...] = (2, 3),
    *,
    right: tuple[str, ...] | None = None,
    right_layers: tuple[int, ...] = (),
    k: int = K,
    seed: int = 3,
) -> AffinityMatrices:
    rng = np.random.default_rng(seed)
    is_symmetric = right is None
    columns = sum(layers) if is_symmetric else sum(right_layers)
    values = rng.random((sum(layers), columns))
    if is_symmetric:
        values = (values + values.T) / 2
    return AffinityMatrices(
        values=values,
        left=labels,
        right=labels if right is None else right,
        left_layers=layers,
        right_layers=layers if right is None else right_layers,
        is_symmetric=is_symmetric,
        measure="mutual_knn",
        k=k,
        n_texts=N_TEXTS,
        texts="set",
    )


def results(**sets: list[AffinityMatrices]) -> StudyResults:
    return StudyResults(
        name="small",
        sets={
            name: TextSetResults(
                name=name, matrices={MatrixKind(one.measure, one.k): one for one in found}
            )
            for name, found in sets.items()
        },
        manifest={"name": "small"},
    )


SMALL = results(
    news=[matrices(), matrices(k=3, seed=5)],
    pair=[matrices(("en", "both"), (2, 1), right=("both", "de"), right_layers=(1, 3), seed=7)],
)


# published counts


def test_counts_become_similarities_without_the_embedding(
    published: tuple[Path, dict[str, np.ndarray]],
) -> None:
    path, found = published
    read = read_published_matrices(path)
    assert (read.texts, read.kind) == ("web-text", MatrixKind("mutual_knn", K, "final_norm", "last"))
    assert read.matrices.left == ("gemma-2b", "owner/one", "owner/other")
    assert read.matrices.left_layers == (3, 2, 5)
    assert (read.matrices.n_texts, read.matrices.is_symmetric) == (N_TEXTS, True)
    for key, values in found.items():
        left, right = (name.replace("google/", "") for name in key.split("|"))
        expected = values[1:, 1:] / (K * N_TEXTS)
        np.testing.assert_allclose(read.matrices[left, right].values, expected, rtol=1e-15)
        np.testing.assert_array_equal(
            read.matrices[right, left].values, read.matrices[left, right].values.T
        )


def test_the_embedding_stays_where_it_is_wanted(
    published: tuple[Path, dict[str, np.ndarray]],
) -> None:
    path, found = published
    read = read_published_matrices(path, n_texts=N_TEXTS, k=K, texts="mine", with_embedding=True)
    assert (read.texts, read.matrices.left_layers) == ("mine", (4, 3, 6))
    expected = found["owner/other|owner/one"] / (K * N_TEXTS)
    np.testing.assert_array_equal(read.matrices["owner/other", "owner/one"].values, expected)
    assert read.source["embedding_layer"] == "kept as layer 1"


def test_the_published_matrices_give_the_published_difference(shared: Path, tmp_path: Path) -> None:
    path = shared / "reference" / "affinity" / "web_text_k10.npz"
    read = read_published_matrices(path, n_texts=2048, k=10)
    imported_results([read], name="published").write(tmp_path / "published")
    found = load_results(tmp_path / "published").matrices("web-text", k=10)
    tests = [
        diagonal_test(pair.values)
        for pair in found.pairs()
        if "openai-community/gpt2" not in (pair.left, pair.right)
    ]
    assert len(tests) == 276
    assert round(float(np.mean([test.difference for test in tests])), 4) == 0.1338
    worst = max(tests, key=lambda test: test.p_value)
    assert f"{276 * worst.p_value:.2e}" == "2.22e-04"
    assert all(test.difference > 0 for test in tests)


def changed(path: Path, found: dict[str, np.ndarray], **changes: Any) -> Path:
    kept = {key: value for key, value in {**found, **changes}.items() if value is not None}
    np.savez(path, **kept)
    return path


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "owner/other|owner/one",
            None,
            "1 pair of its 3 models missing: owner/one|owner/other",
        ),
        (
            "owner/one|owner/other",
            np.zeros((3, 6), np.uint16),
            "pairs that are there twice: owner/one|",
        ),
        ("alone", np.zeros((3, 6), np.uint16), "must have the key 'left model|right model'; got alone"),
        (
            "owner/other|owner/one",
            np.zeros((6, 4), np.uint16),
            "as many layers in all of its arrays; got owner/one: [3, 4]",
        ),
        (
            "owner/other|owner/one",
            np.full((6, 3), K * N_TEXTS + 1, np.uint16),
            "counts must lie in 0 to k * n_texts = 287; found 288 to 288",
        ),
        (
            "owner/other|owner/one",
            np.zeros((6, 3)),
            "expected whole numbers (layers + 1, layers + 1); got float64 of shape (6, 3) in 144 bytes",
        ),
        (
            "owner/one|owner/one",
            np.eye(3, dtype=np.uint16) * 287 + np.tri(3, k=-1, dtype=np.uint16),
            "a model with itself must be symmetric",
        ),
    ],
)
def test_counts_that_do_not_fit_are_named(
    published: tuple[Path, dict[str, np.ndarray]],
    tmp_path: Path,
    key: str,
    value: np.ndarray | None,
    message: str,
) -> None:
    path = changed(tmp_path / "a_k7.npz", published[1], **{key: value})
    with pytest.raises(ParameterError) as caught:
        read_published_matrices(path, n_texts=N_TEXTS)
    assert message in caught.value.message
    assert str(path) in caught.value.message


def test_another_k_or_number_of_texts_is_found_out(
    published: tuple[Path, dict[str, np.ndarray]],
) -> None:
    path, _ = published
    for said in ({"n_texts": 40}, {"n_texts": 41, "k": 3}):
        with pytest.raises(ParameterError) as caught:
            read_published_matrices(path, **said)
        assert "every layer shares all its neighbors with itself" in caught.value.message
        assert "the diagonal holds 287" in caught.value.message
        assert caught.value.hint == "say -k and --n-texts as they were."


def test_how_many_neighbors_must_be_known(
    published: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    path = changed(tmp_path / "counts.npz", published[1])
    with pytest.raises(ParameterError, match="how many neighbors"):
        read_published_matrices(path)
    assert read_published_matrices(path, k=K).texts == "counts"


def test_members_are_read_within_the_sizes_that_they_state(tmp_path: Path) -> None:
    path = tmp_path / "a_k7.npz"

    def member(shape: str, data: bytes, dtype: str = "<u2") -> None:
        header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
        header += b" " * (-(len(header) + 11) % 64) + b"\n"
        whole = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a|a.npy", whole)

    member("(100000, 100000)", b"12")
    with pytest.raises(ParameterError, match=r"got uint16 of shape \(100000, 100000\) in 2 bytes"):
        read_published_matrices(path)
    member("(1,)", b"x" * 8, "|O")
    with pytest.raises(ParameterError, match="expected whole numbers .* got object"):
        read_published_matrices(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a|a.npy", bytes(65 << 20))
    with pytest.raises(ParameterError, match="its arrays take 68,157,440 bytes, one of them"):
        read_published_matrices(path)
    for data in (b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00"):
        path.write_bytes(data)
        with pytest.raises(ParameterError, match="not readable as .npz"):
            read_published_matrices(path)
    with pytest.raises(UnknownNameError, match="there is no file"):
        read_published_matrices(tmp_path / "none.npz")


# results of several files


def test_kinds_of_one_text_set_come_together_and_others_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("x")

    def found(texts: str, one: AffinityMatrices) -> FoundMatrices:
        kind = MatrixKind("mutual_knn", one.k)
        return FoundMatrices(
            texts=texts, kind=kind, matrices=one, source=file_source(path, "table, csv")
        )

    both = [found("a", matrices(k=3)), found("b", matrices(k=3)), found("a", matrices(k=5))]
    made = imported_results(both, name="mine")
    assert made.set_names == ("a", "b")
    assert [kind.k for kind in made["a"].matrices] == [3, 5]
    made.write(tmp_path / "out")
    again = load_results(tmp_path / "out")
    assert again.name == "mine"
    np.testing.assert_array_equal(again.matrices("a", k=5).values, both[2].matrices.values)
    with pytest.raises(ParameterError) as caught:
        imported_results([*both, found("b", matrices(k=3))], name="mine")
    assert caught.value.message == (
        "b: matrices of mutual_knn, k = 3, capture block, pooling last are given more than once"
    )
    with pytest.raises(ParameterError, match="a: all kinds of matrices must have the same left; got"):
        imported_results([both[0], found("a", matrices(("x", "y"), k=7))], name="mine")


# tables

SAID = ("left", "right", "left_layers", "right_layers", "is_symmetric", "measure", "k", "n_texts")
SAID += ("metric", "preprocessing")


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_what_goes_out_as_a_table_comes_back_exactly(tmp_path: Path, ending: str) -> None:
    write = write_csv if ending == ".csv" else write_parquet
    path = write(SMALL, tmp_path / f"table{ending}")
    found = read_similarity_table(path)
    assert [(one.texts, one.kind) for one in found] == [
        ("news", MatrixKind("mutual_knn", 7)),
        ("news", MatrixKind("mutual_knn", 3)),
        ("pair", MatrixKind("mutual_knn", 7)),
    ]
    for one in found:
        expected = SMALL[one.texts].matrices[one.kind]
        np.testing.assert_array_equal(one.matrices.values, expected.values)
        for what in SAID:
            assert getattr(one.matrices, what) == getattr(expected, what), what


def by_ridge(one: AffinityMatrices) -> AffinityMatrices:
    """Return matrices of the same readers by a measure that tells left from right and takes no k."""
    values = np.random.default_rng(11).random(one.values.shape)
    facts = {"measure": "ridge_to_right", "k": 0, "metric": None, "preprocessing": "center"}
    return replace(one, values=values, **facts)


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_directed_measures_come_back_from_tables_in_both_directions(
    tmp_path: Path, ending: str
) -> None:
    parallel = matrices(("en", "both"), (2, 3), right=("en", "both"), right_layers=(2, 3))
    study = results(
        news=[by_ridge(matrices())],
        both=[by_ridge(matrices()), matrices()],
        parallel=[by_ridge(parallel), parallel],
    )
    write = write_csv if ending == ".csv" else write_parquet
    found = read_similarity_table(write(study, tmp_path / f"table{ending}"))
    assert [(one.texts, one.kind.measure) for one in found] == [
        (name, kind.measure) for name, one in study.sets.items() for kind in one.matrices
    ]
    for one in found:
        expected = study[one.texts].matrices[one.kind]
        np.testing.assert_array_equal(one.matrices.values, expected.values)
        for what in SAID:
            assert getattr(one.matrices, what) == getattr(expected, what), (one.texts, what)


def test_one_direction_of_a_directed_measure_is_not_enough(tmp_path: Path) -> None:
    path = tmp_path / "half.parquet"
    table = replace(matrices(), measure="svcca").to_table().to_pylist()
    for row in table:
        row |= {"measure": "ridge_to_right", "k": 0, "n_texts": N_TEXTS}
    pyarrow.parquet.write_table(pa.Table.from_pylist(table), path)
    with pytest.raises(ParameterError, match="are missing: other layer 1 x one layer 1"):
        read_similarity_table(path)


def test_tables_of_earlier_versions_say_no_metric_and_have_0_for_no_k(tmp_path: Path) -> None:
    one = replace(matrices(), measure="cka", k=0, metric=None)
    table = one.to_table().drop_columns(["metric", "preprocessing"])
    place = table.column_names.index("k")
    table = table.set_column(place, "k", table["k"].fill_null(0))
    for name, columns in (("earlier", table), ("without", table.drop_columns("k"))):
        path = tmp_path / f"{name}.parquet"
        pyarrow.parquet.write_table(columns, path)
        (found,) = read_similarity_table(path, n_texts=N_TEXTS)
        np.testing.assert_array_equal(found.matrices.values, one.values)
        assert (found.kind.k, found.matrices.metric, found.matrices.preprocessing) == (0, None, "none")


def test_a_measure_that_takes_k_needs_one(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda columns: columns.update(k=[None] * len(columns["k"])))
    with pytest.raises(ParameterError, match="expected 1 <= k < n_texts; got k = 0, n_texts = "):
        read_similarity_table(path)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1, allow_subnormal=True), min_size=6, max_size=6),
    st.sampled_from(["plain", "with, comma", 'with "quotes"', "two\nlines", "naïve 猫", "=1+1"]),
)
def test_every_float_and_label_survives_the_csv(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[float], label: str
) -> None:
    one = matrices((label,), (2,), right=("r",), right_layers=(3,))
    one.values[:] = np.reshape(numbers, (2, 3))
    path = write_csv(results(set=[one]), tmp_path_factory.mktemp("csv") / "a.csv")
    (found,) = read_similarity_table(path)
    assert found.matrices.left == (label,)
    np.testing.assert_array_equal(found.matrices.values, one.values)
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert [float(row["similarity"]) for row in rows] == numbers
    assert {row["left"] for row in rows} == {label}


def test_the_csv_has_one_row_a_layer_pair(tmp_path: Path) -> None:
    path = write_csv(SMALL, tmp_path / "a.csv", texts=["pair"])
    lines = path.read_text().splitlines()
    assert lines[0] == (
        "texts,left,right,left_layer,right_layer,k,measure,metric,preprocessing,capture,pooling,"
        "n_texts,similarity"
    )
    assert len(lines) == 1 + 3 * 4
    value = SMALL["pair"].matrices[MatrixKind("mutual_knn", 7)].values[1, 0]
    said = '"mutual_knn","cosine","none","block","last",41'
    assert f'"pair","en","both",2,1,7,{said},{float(value)!r}' in lines
    with pytest.raises(UnknownNameError, match="has no results on 'nws'"):
        write_csv(SMALL, tmp_path / "b.csv", texts=["nws"])
    assert not (tmp_path / "b.csv").exists()


def rows_of(one: AffinityMatrices) -> dict[str, list[Any]]:
    table = one.to_table()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def test_a_bare_table_of_all_ordered_pairs_needs_k_and_n_texts_said(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    one = matrices(("a", "b"), (2, 3))
    places = [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]
    rows = [
        (*left, *right, one.values[i, j])
        for i, left in enumerate(places)
        for j, right in enumerate(places)
    ]
    order = [0, *rng.permutation(np.arange(1, len(rows)))]  # the first reader stays the first
    columns = list(zip(*[rows[row] for row in order], strict=True))
    names = ["left", "left_layer", "right", "right_layer", "similarity"]
    path = tmp_path / "bare.parquet"
    pyarrow.parquet.write_table(pa.table(dict(zip(names, columns, strict=True))), path)
    with pytest.raises(ParameterError) as caught:
        read_similarity_table(path, k=7)
    assert caught.value.message == f"{path}: the table has no column n_texts"
    (found,) = read_similarity_table(path, k=7, n_texts=41, texts="mine", capture="mlp")
    assert (found.texts, found.kind) == ("mine", MatrixKind("mutual_knn", 7, "mlp", "last"))
    np.testing.assert_array_equal(found.matrices.values, one.values)
    assert found.matrices.is_symmetric


def edited(tmp_path: Path, change: Any) -> Path:
    columns = {
        **rows_of(matrices()),
        "n_texts": [N_TEXTS] * 3 + [N_TEXTS] * (len(matrices().to_table()) - 3),
    }
    change(columns)
    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def without_rows(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        del values[4:6]


def twice(columns: dict[str, list[Any]]) -> None:
    for values in columns.values():
        values.append(values[5])


def huge_layer(columns: dict[str, list[Any]]) -> None:
    columns["left_layer"][0] = 90_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_rows, "layer pairs of table (k = 7) are missing: one layer 1 x other layer 1; "),
        (twice, "layer pairs that are there more than once: one layer 1 x other layer 2"),
        (huge_layer, "layer pairs are missing"),
        (lambda columns: columns["left_layer"].__setitem__(2, 0), "'left_layer' must count layers from 1; got 0 in row 3"),
        (lambda columns: columns["similarity"].__setitem__(1, np.nan), "'similarity' must hold numbers; got nan in row 2"),
        (lambda columns: columns["similarity"].__setitem__(1, None), "empty cells in column similarity"),
        (lambda columns: columns.pop("right"), "column right is missing; it has left, "),
        (lambda columns: columns.update(n_texts=[5] * len(columns["left"])), "expected 1 <= k < n_texts; got k = 7, n_texts = 5"),
        (lambda columns: columns.update(left_layer=["x"] * len(columns["left"])), "not readable as a table"),
        (lambda columns: [values.clear() for values in columns.values()], "the table has no rows"),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = edited(tmp_path, change)
    with pytest.raises(ParameterError) as caught:
        read_similarity_table(path)
    assert message in caught.value.message
    assert caught.value.message.startswith(f"{path}: ")


def test_what_a_column_says_cannot_be_said_otherwise(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda columns: None)
    with pytest.raises(ParameterError, match="the table has a column 'k'; it cannot be 5 too"):
        read_similarity_table(path, k=5)
    with pytest.raises(UnknownNameError, match="there is no file"):
        read_similarity_table(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe,b\n1\n")
    with pytest.raises(ParameterError, match="bad.csv: "):
        read_similarity_table(tmp_path / "bad.csv")


# labelled arrays


def test_the_netcdf_file_opens_with_xarray_alone_and_is_selected_by_model(tmp_path: Path) -> None:
    path = write_netcdf(SMALL, tmp_path / "small.nc")
    with xarray.open_dataset(path) as opened:
        found = opened.load().set_index(
            left=["left_model", "left_layer"], right=["right_model", "right_layer"]
        )
    for kind, expected in SMALL["news"].matrices.items():
        values = found["news"].sel(k=kind.k, left="one", right="other").squeeze()
        assert values.dims == ("left_layer", "right_layer")
        np.testing.assert_array_equal(values.values, expected["one", "other"].values)
        assert values.left_layer.values.tolist() == [1, 2]
    pair = found["pair"].sel(k=7, measure="mutual_knn", capture="block", pooling="last")
    expected = SMALL["pair"].matrices[MatrixKind("mutual_knn", 7)]["en", "de"].values
    np.testing.assert_array_equal(pair.sel(left="en", right="de").values, expected)
    assert np.isnan(found["pair"].sel(k=3).values).all()
    assert np.isnan(pair.sel(left="one", right="de").values).all()
    assert found["news"].attrs["n_texts"] == N_TEXTS
    assert found["news"].attrs["texts"] == "news"
    assert found.attrs["title"] == "small"


def test_the_attributes_say_how_layers_were_read() -> None:
    ridge = by_ridge(matrices())
    plain = replace(ridge, preprocessing="none")
    found = results_dataset(results(one=[matrices(), plain], mixed=[matrices(), ridge], bare=[ridge]))
    said = {name: (one.attrs.get("metric"), one.attrs["preprocessing"]) for name, one in found.items()}
    mixed = (
        "mutual_knn, k = 7, capture block, pooling last: none; "
        "ridge_to_right, capture block, pooling last: center"
    )
    assert said == {"one": ("cosine", "none"), "mixed": ("cosine", mixed), "bare": (None, "center")}
    chosen = found["mixed"].sel(measure="ridge_to_right", k=0, capture="block", pooling="last")
    np.testing.assert_array_equal(chosen.values, ridge.values)


def test_depths_stand_beside_the_layers() -> None:
    found = results_dataset(SMALL, texts=["news"])
    assert list(found.data_vars) == ["news"]
    other = found.left_depth[found.left_model == "other"]
    np.testing.assert_allclose(other.values, [1 / 3, 2 / 3, 1])


def test_equal_results_are_equal_files(tmp_path: Path) -> None:
    for write, name in ((write_netcdf, "a.nc"), (write_csv, "a.csv"), (write_parquet, "a.parquet")):
        one, other = write(SMALL, tmp_path / name), write(SMALL, tmp_path / f"again-{name}")
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "name", ["hf:owner/name", "caesar(web-text)", "k", "left_model", "(odd)", "naïve"]
)
def test_every_name_of_a_text_set_can_be_a_variable(tmp_path: Path, name: str) -> None:
    path = write_netcdf(results(**{name: [matrices()]}), tmp_path / "a.nc")
    with xarray.open_dataset(path) as opened:
        (variable,) = opened.data_vars.values()
        assert variable.attrs["texts"] == name
        assert variable.shape == (1, 1, 1, 1, 5, 5)


def test_a_reader_with_other_numbers_of_layers_is_named(tmp_path: Path) -> None:
    two = results(a=[matrices(("one",), (2,))], b=[matrices(("one",), (3,))])
    with pytest.raises(ParameterError) as caught:
        write_netcdf(two, tmp_path / "a.nc")
    assert caught.value.message == "one has 2 layers in one text set and 3 in another"
    assert caught.value.hint == "export them one by one, with --texts."
    assert not (tmp_path / "a.nc").exists()
