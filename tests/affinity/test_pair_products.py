import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from isodepth.affinity import pair_products
from isodepth.affinity.pair_products import (
    centered_gram,
    cosines,
    double_centered,
    kept_vectors,
    products,
    squared_distances,
    symmetric_matrix,
    u_centered,
    unit_vector,
    upper_triangle,
)
from isodepth.errors import ActivationsError, ParameterError

SIZES = st.integers(4, 23)


def gram_vector(layer: np.ndarray) -> np.ndarray:
    return unit_vector(upper_triangle(centered_gram(layer)))


def symmetric(rng: np.random.Generator, n_texts: int) -> np.ndarray:
    half = rng.normal(size=(n_texts, n_texts))
    return half + half.T


@pytest.fixture
def models(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(n_layers, 29, n_units)) for n_layers, n_units in ((5, 7), (3, 11))]


@pytest.fixture
def in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Keep no vectors in memory; return the folder where temporary files go."""
    monkeypatch.setattr(pair_products, "MEMORY_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@given(SIZES, st.integers(0, 100))
def test_inner_products_of_triangles_are_half_those_of_matrices(n_texts: int, seed: int):
    one, other = (symmetric(np.random.default_rng([seed, side]), n_texts) for side in (0, 1))
    product = upper_triangle(one) @ upper_triangle(other)
    np.testing.assert_allclose(2 * product, (one * other).sum(), atol=1e-10)
    hollow = (~np.eye(n_texts, dtype=bool) * one * other).sum()
    product = upper_triangle(one, with_diagonal=False) @ upper_triangle(other, with_diagonal=False)
    np.testing.assert_allclose(2 * product, hollow, atol=1e-10)


@given(SIZES)
def test_a_triangle_gives_its_matrix_back(n_texts: int):
    matrix = symmetric(np.random.default_rng(n_texts), n_texts)
    np.testing.assert_allclose(symmetric_matrix(upper_triangle(matrix)), matrix, rtol=1e-14)


@given(SIZES)
def test_centered_matrices_have_rows_that_sum_to_zero(n_texts: int):
    matrix = symmetric(np.random.default_rng(n_texts), n_texts)
    kept = matrix.copy()
    centering = np.eye(n_texts) - 1 / n_texts
    np.testing.assert_allclose(double_centered(matrix), centering @ matrix @ centering, atol=1e-13)
    unbiased = u_centered(matrix)
    np.testing.assert_allclose(unbiased.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(np.diag(unbiased), 0)
    np.testing.assert_array_equal(matrix, kept)


def test_products_of_u_centered_matrices_are_the_unbiased_hsic(rng: np.random.Generator):
    n = 13
    one, other = (symmetric(rng, n) * ~np.eye(n, dtype=bool) for _ in range(2))
    ones = np.ones(n)
    hsic_1 = (
        np.trace(one @ other)
        + (ones @ one @ ones) * (ones @ other @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ one @ other @ ones)
    )
    np.testing.assert_allclose((u_centered(one) * u_centered(other)).sum(), hsic_1)


def test_distances_of_texts_with_a_huge_common_offset_are_exact(rng: np.random.Generator):
    layer = rng.normal(size=(31, 7))
    offset = rng.integers(1, 9, size=7) * 2.0**20
    found = np.sqrt(squared_distances(layer + offset))
    expected = cdist(layer, layer)
    np.testing.assert_allclose(found / found.max(), expected / expected.max(), atol=1e-8)


@pytest.mark.parametrize("factor", [1e-200, 1e200])
def test_no_scale_overflows_or_vanishes(factor: float, rng: np.random.Generator):
    layer = rng.normal(size=(11, 5))
    np.testing.assert_allclose(centered_gram(layer * factor), centered_gram(layer), atol=1e-12)


def test_cosines_are_those_of_each_pair(models: list[np.ndarray]):
    left, right = ([gram_vector(layer) for layer in model] for model in models)
    expected = np.array(left) @ np.array(right).T
    values = cosines(models[:1], models[1:], gram_vector)
    np.testing.assert_allclose(values, expected, atol=1.2e-7)
    everything = cosines(models, None, gram_vector)
    np.testing.assert_allclose(everything[:5, 5:], expected, atol=1.2e-7)
    np.testing.assert_array_equal(everything, everything.T)
    np.testing.assert_array_equal(np.diag(everything), 1)


def test_layers_whose_texts_almost_agree_lose_no_digits(models: list[np.ndarray]):
    offsets = [np.full(model.shape[2], 2.0**20) for model in models]
    moved = [(model + offset) for model, offset in zip(models, offsets, strict=True)]
    unit = moved[0][0] / np.linalg.norm(moved[0][0], axis=1, keepdims=True)
    assert (unit @ unit.T).min() > 0.999999
    np.testing.assert_allclose(
        cosines(moved, None, gram_vector), cosines(models, None, gram_vector), atol=2e-7
    )


def test_blocks_change_only_rounding(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator):
    left, right = (rng.normal(size=(n, 1009)).astype(np.float32) for n in (7, 5))
    exact = left.astype(np.float64)
    monkeypatch.setattr(pair_products, "BLOCK_BYTES", 8 * 12 * 101)
    np.testing.assert_allclose(products(left, right), exact @ right.astype(np.float64).T, rtol=1e-12)
    itself = products(left, None)
    np.testing.assert_allclose(itself, exact @ exact.T, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(itself, itself.T)


def test_large_vectors_lie_in_a_file_without_a_name(
    in_files: Path, models: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    kept = kept_vectors(models, gram_vector)
    assert isinstance(kept, np.memmap)
    assert list(in_files.iterdir()) == []
    from_files = cosines(models, None, gram_vector)
    monkeypatch.setattr(pair_products, "MEMORY_BYTES", 1 << 30)
    in_memory = kept_vectors(models, gram_vector)
    assert not isinstance(in_memory, np.memmap)
    np.testing.assert_array_equal(kept, in_memory)
    np.testing.assert_array_equal(from_files, cosines(models, None, gram_vector))


def test_vectors_that_find_no_room_are_refused(
    in_files: Path, models: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ParameterError) as caught:
        cosines(models, None, gram_vector)
    assert caught.value.message == (
        f"the vectors of 8 layers take 13,920 bytes in a temporary file; 1,000 bytes are free in {in_files}"
    )
    assert caught.value.hint == (
        "set TMPDIR to a folder with more room, or compare fewer models or texts at a time."
    )


def test_room_that_is_refused_by_the_system_is_named(
    in_files: Path, models: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)  # macOS has none
    with pytest.raises(ParameterError, match=f"13,920 bytes in a temporary file; {in_files}: No space"):
        cosines(models, None, gram_vector)
    assert list(in_files.iterdir()) == []


def test_a_layer_without_variation_is_named(models: list[np.ndarray]):
    models[1][2] = 0.1
    with pytest.raises(ActivationsError) as caught:
        cosines(models, None, gram_vector)
    assert caught.value.message == (
        "model 2, layer 3: all texts of (texts, units) = (29, 11) have the same activations, so nothing "
        "varies that could be compared"
    )
    assert caught.value.hint.startswith("leave this layer out")


def test_a_layer_that_varies_by_rounding_alone_is_refused(rng: np.random.Generator):
    direction = rng.normal(size=11)
    layer = rng.uniform(1, 9, size=(29, 1)) * direction
    layer /= np.linalg.norm(layer, axis=1, keepdims=True)  # equal up to the last digit
    assert not (layer == layer[0]).all()
    with pytest.raises(ActivationsError, match="nothing varies that could be compared"):
        gram_vector(layer)


def test_three_texts_cannot_be_debiased():
    with pytest.raises(ParameterError) as caught:
        u_centered(np.zeros((3, 3)))
    assert caught.value.message == "a debiased measure needs at least 4 texts; got 3"
    assert caught.value.hint == "use more texts."


def test_what_only_rounding_leaves_is_no_vector():
    with pytest.raises(ActivationsError) as caught:
        unit_vector(np.full(5, 1e-16), before=1.0)
    assert caught.value.message == (
        "all pairs of texts are equally far apart, so nothing varies that could be compared"
    )
    assert caught.value.hint == "leave this layer out, or use more texts."
