"""Activations from other tools: every layout gives the neighbors of the plain array."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from isodepth import TextSet, nearest_neighbors
from isodepth.activations import ExtractionOptions
from isodepth.errors import ActivationsError, ParameterError, UnknownNameError
from isodepth.interchange import keep_reading, layer_file, read_foreign_activations
from isodepth.store import Store

N_LAYERS, N_TEXTS, N_UNITS = 3, 13, 7
TEXTS = TextSet.of([f"text {number}" for number in range(N_TEXTS)], name="mine")


@pytest.fixture
def values(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N_LAYERS, N_TEXTS, N_UNITS)).astype(np.float32)


def ids_of(path: Path, **options: Any) -> np.ndarray:
    tensor = options.pop("tensor", None)
    read = read_foreign_activations(layer_file(path, tensor), TEXTS, model="mine", **options)
    return read.neighbors.ids


def written(path: Path, values: np.ndarray) -> Path:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        safetensors.numpy.save_file({"states": values}, path)
    return path


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64], ids=lambda one: one.__name__)
def test_the_neighbors_are_those_of_the_array(
    tmp_path: Path, values: np.ndarray, ending: str, dtype: type
) -> None:
    cast = values.astype(dtype)
    expected = nearest_neighbors(cast, N_TEXTS - 1)
    layers = layer_file(written(tmp_path / f"states{ending}", cast))
    assert (layers.n_layers, layers.n_texts) == (N_LAYERS, N_TEXTS)
    found = read_foreign_activations(layers, TEXTS, model="mine").neighbors
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.similarities, expected.similarities)
    assert found.texts_digest == TEXTS.digest


def test_bfloat16_is_widened_exactly(tmp_path: Path, values: np.ndarray) -> None:
    tensor = torch.from_numpy(values).to(torch.bfloat16)
    tensor[0, 0, :4] = torch.tensor([0.0, -0.0, 3.4e38, 1e-40])
    path = tmp_path / "states.safetensors"
    safetensors.torch.save_file({"states": tensor}, path)
    layers = layer_file(path)
    for layer in range(N_LAYERS):
        expected = tensor[layer].float().numpy()
        found = layers.layer(layer)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


def test_a_big_endian_and_a_column_first_npy_say_the_same(tmp_path: Path, values: np.ndarray) -> None:
    expected = nearest_neighbors(values, N_TEXTS - 1).ids
    np.save(tmp_path / "big.npy", values.astype(">f4"))
    np.save(tmp_path / "columns.npy", np.asfortranarray(values))
    for name in ("big", "columns"):
        np.testing.assert_array_equal(ids_of(tmp_path / f"{name}.npy"), expected)


def test_layers_under_names_of_their_own_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(12, N_TEXTS, N_UNITS)).astype(np.float32)
    path = tmp_path / "states.safetensors"
    named = {f"model2.block.{layer}.out": values[layer] for layer in range(12)}
    safetensors.numpy.save_file(named, path)
    reading = read_foreign_activations(layer_file(path), TEXTS, model="mine")
    np.testing.assert_array_equal(reading.neighbors.ids, nearest_neighbors(values, N_TEXTS - 1).ids)
    order = ", ".join(f"model2.block.{layer}.out" for layer in range(12))
    assert reading.notes == (f"layers 1 to 12 are {order}, in this order.",)
    dropped = read_foreign_activations(layer_file(path), TEXTS, model="mine", has_embedding=True)
    assert dropped.notes[0].startswith(
        "model2.block.0.out is the embedding and was dropped; layers 1 to 11 are model2.block.1.out, "
    )
    np.testing.assert_array_equal(dropped.neighbors.ids, reading.neighbors.ids[1:])


def test_one_of_several_tensors_is_read_by_its_name(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "states.safetensors"
    other = np.zeros((2, 2), dtype=np.int64)
    safetensors.numpy.save_file({"hidden": values, "mask": other}, path)
    expected = nearest_neighbors(values, N_TEXTS - 1).ids
    np.testing.assert_array_equal(ids_of(path, tensor="hidden"), expected)
    with pytest.raises(UnknownNameError) as caught:
        layer_file(path, "hiden")
    assert caught.value.message == f"{path}: there is no tensor 'hiden'; it has hidden, mask"
    assert caught.value.hint == "did you mean hidden?"


def test_what_was_captured_is_as_the_caller_says(tmp_path: Path, values: np.ndarray) -> None:
    path = written(tmp_path / "states.npy", values)
    options = ExtractionOptions(capture="mlp", pooling="mean", max_tokens=211, chat=True)
    reading = read_foreign_activations(
        layer_file(path), TEXTS, model="google/gemma-2b", options=options, keep=2
    )
    arrival = keep_reading(reading, Store(tmp_path / "store"))
    kept = arrival.reading
    assert (kept.model, kept.model_repository, kept.options) == (
        "gemma-2b",
        "google/gemma-2b",
        options,
    )
    assert kept.k == 2
    assert kept.provenance["embedding_layer"] == "not in the file, as was said"
    assert kept.provenance["file"] == "states.npy"


# what is wrong


def test_another_number_of_texts_is_told_with_both(tmp_path: Path, values: np.ndarray) -> None:
    path = written(tmp_path / "states.npy", values[:, :11])
    with pytest.raises(ParameterError) as caught:
        ids_of(path)
    assert caught.value.message == (
        f"{path} has activations of 11 texts; mine has 13: expected equal numbers"
    )
    assert "with the -n, --seed and filters" in (caught.value.hint or "")


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_layer_and_text_that_are_not_finite_are_named(
    tmp_path: Path, values: np.ndarray, wrong: float
) -> None:
    values[2, 4, 1] = wrong
    path = written(tmp_path / "states.npy", values)
    with pytest.raises(ActivationsError) as caught:
        ids_of(path, has_embedding=True)
    assert caught.value.message == (
        f"{path}, layer 2: NaN or infinite activations in text 5 (rows count from 1) of (texts, units) = "
        "(13, 7)"
    )
    named = tmp_path / "named.safetensors"
    safetensors.numpy.save_file({f"h{layer}": values[layer] for layer in range(N_LAYERS)}, named)
    with pytest.raises(ActivationsError, match=r"named.safetensors, layer 3 \(h2\): NaN or infinite"):
        ids_of(named)


def test_a_zero_vector_is_named(tmp_path: Path, values: np.ndarray) -> None:
    values[1, 6] = 0
    with pytest.raises(ActivationsError, match="layer 2: the activations of text 7 .* are all zero"):
        ids_of(written(tmp_path / "states.npy", values))


def test_an_embedding_alone_is_no_reading(tmp_path: Path, values: np.ndarray) -> None:
    path = written(tmp_path / "states.npy", values[:1])
    with pytest.raises(ParameterError, match="holds the embedding and no other layer"):
        ids_of(path, has_embedding=True)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((3, 5), np.float32),
            "expected a non-empty array (layers, texts, units); got shape (3, 5)",
        ),
        (
            np.zeros((0, 3, 5), np.float32),
            "expected a non-empty array (layers, texts, units); got shape (0, 3, 5)",
        ),
        (
            np.zeros((2, 3, 5), np.int64),
            "activations must be float16, bfloat16, float32, float64; got int64",
        ),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    path = written(tmp_path / "states.npy", array)
    with pytest.raises(ParameterError) as caught:
        layer_file(path)
    assert caught.value.message == f"{path}: {message}"
    named = written(tmp_path / "states.safetensors", array)
    with pytest.raises(ParameterError) as caught:
        layer_file(named)
    assert caught.value.message == f"{named}, tensor 'states': {message.replace('int64', 'I64')}"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a.0", "b.1"], "which tensors are the layers?"),
        (["a", "b"], "which tensors are the layers?"),
        (["a.0.0", "a.1.1"], "which number counts the layers?"),
        (["a.1", "a.01"], "which number counts the layers?"),
    ],
)
def test_names_that_do_not_count_layers_are_refused(
    tmp_path: Path, values: np.ndarray, names: list[str], said: str
) -> None:
    path = tmp_path / "states.safetensors"
    safetensors.numpy.save_file(dict.fromkeys(names, values[0]), path)
    with pytest.raises(ParameterError) as caught:
        layer_file(path)
    assert caught.value.message == (
        f"{path}: {said} The names must differ in one number only; got {', '.join(sorted(names))}"
    )
    assert "--tensor" in (caught.value.hint or "")


def test_layers_of_other_shapes_and_types_are_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = tmp_path / "states.safetensors"
    for second, message in (
        (values[1, :11], "all layers must have as many texts; got h.0: 13, h.1: 11"),
        (values[:2], r"with one tensor a layer each must be .* got h.1: \(2, 13, 7\)"),
        (values[1].astype(np.float16), "all layers must be of one type; got h.0: F32, h.1: F16"),
        (values[1].astype(np.int32), "tensor 'h.1': activations must be float16, .* got I32"),
    ):
        safetensors.numpy.save_file({"h.0": values[0], "h.1": second}, path)
        with pytest.raises(ParameterError, match=message):
            layer_file(path)


@pytest.mark.parametrize("ending", [".npy", ".safetensors"])
@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04" + bytes(50), b"\xff" * 60])
def test_what_is_no_such_file_is_refused(tmp_path: Path, ending: str, data: bytes) -> None:
    path = tmp_path / f"states{ending}"
    path.write_bytes(data)
    with pytest.raises(ParameterError, match="not readable as"):
        layer_file(path)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    path = tmp_path / "states.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ParameterError, match="not readable as a NumPy array"):
        layer_file(path)


def test_other_endings_and_absent_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "states.pt").write_bytes(b"x")
    with pytest.raises(ParameterError) as caught:
        layer_file(tmp_path / "states.pt")
    assert caught.value.message == (
        f"{tmp_path / 'states.pt'}: activations are read from .npy and .safetensors; got '.pt'"
    )
    with pytest.raises(UnknownNameError, match="there is no file"):
        layer_file(tmp_path / "none.npy")
    np.save(tmp_path / "a.npy", np.zeros((1, 2, 3), np.float32))
    with pytest.raises(ParameterError, match="a .npy file holds one array, without a name; got 'x'"):
        layer_file(tmp_path / "a.npy", "x")
