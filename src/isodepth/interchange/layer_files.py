"""How are activations laid out in a file that another tool wrote? One layer at a time.

Read are NumPy's .npy and .safetensors, with one array (layers, texts, units), or, in safetensors, one
array (texts, units) a layer, under names that differ in one number. Nothing is unpickled.

>>> layers = layer_file(Path("states.safetensors"))                               # doctest: +SKIP
>>> layers.names, layers.layer(0).shape                                           # doctest: +SKIP
(('blocks.0', 'blocks.1'), (2048, 768))

Memory: one layer.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.axes import LayerActivations
from isodepth.errors import ParameterError, UnknownNameError, first_line, listed, nearest_names

BFLOAT16 = "BF16"
STORED_TYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    BFLOAT16: np.dtype("<u2"),  # numpy has no such type: the bits, which are widened when read
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
TYPE_NAMES = ("float16", "bfloat16", "float32", "float64")
_NUMBER = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerFile:
    """Activations in a file, layer by layer.

    Parameters
    ----------
    path : Path
        The file.
    arrays : tuple of arrays (texts, units)
        Memory maps, one a layer, in order.
    names : tuple of str
        The name of each, where each has one; else none.
    is_bfloat16 : bool
        Whether the arrays are the bits of bfloat16.
    tensor : str or None
        The name of the one array that they are in, where it has one.
    """

    path: Path
    arrays: tuple[np.ndarray, ...]
    names: tuple[str, ...] = ()
    is_bfloat16: bool = False
    tensor: str | None = None

    @property
    def n_layers(self) -> int:
        """The number of layers, the embedding included where the file has it."""
        return len(self.arrays)

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return int(self.arrays[0].shape[0])

    def layer(self, number: int) -> LayerActivations:
        """Return one layer, by its place from 0; bfloat16 as float32, which holds it exactly."""
        values = np.asarray(self.arrays[number])
        if not self.is_bfloat16:
            return values
        return (values.astype(np.uint32) << 16).view(np.float32)


def layer_file(path: Path, tensor: str | None = None) -> LayerFile:
    """Return the layers of a file.

    Parameters
    ----------
    path : Path
        A .npy or .safetensors file.
    tensor : str, optional
        The name of the array in a safetensors file, where it has several.

    Raises
    ------
    UnknownNameError
        If there is no such file or tensor.
    ParameterError
        If it is of another kind, cannot be read, or holds no such arrays.
    """
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}")
    if path.suffix == ".npy":
        if tensor is not None:
            raise ParameterError(f"{path}: a .npy file holds one array, without a name; got {tensor!r}")
        return _npy_layers(path)
    if path.suffix == ".safetensors":
        return _safetensors_layers(path, tensor)
    raise ParameterError(
        f"{path}: activations are read from .npy and .safetensors; got {path.suffix or 'no ending'!r}",
        hint="numpy.save(...) or safetensors.numpy.save_file(...) writes such files.",
    )


def _npy_layers(path: Path) -> LayerFile:
    try:
        values = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (ValueError, OSError, EOFError) as error:
        raise ParameterError(f"{path}: not readable as a NumPy array: {first_line(error)}") from error
    if values.dtype.kind != "f" or values.dtype.itemsize > 8:
        _refuse_type(path, None, str(values.dtype))
    return LayerFile(path=path, arrays=_layers_of(path, None, values))


def _safetensors_layers(path: Path, tensor: str | None) -> LayerFile:
    arrays, types = _mapped(path)
    if tensor is not None:
        if tensor not in arrays:
            near = nearest_names(tensor, arrays)
            raise UnknownNameError(
                f"{path}: there is no tensor {tensor!r}; it has {listed(sorted(arrays))}",
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        chosen = [tensor]
    else:
        chosen = list(arrays)
    for name in chosen:
        if types[name] not in STORED_TYPES:
            _refuse_type(path, name, types[name])
    if len(chosen) == 1:
        (name,) = chosen
        layers = _layers_of(path, name, arrays[name])
        return LayerFile(path=path, arrays=layers, is_bfloat16=types[name] == BFLOAT16, tensor=name)
    names = _in_natural_order(path, chosen, arrays)
    if len({types[name] for name in names}) > 1:
        found = [f"{name}: {types[name]}" for name in names]
        raise ParameterError(f"{path}: all layers must be of one type; got {listed(found)}")
    return LayerFile(
        path=path,
        arrays=tuple(arrays[name] for name in names),
        names=tuple(names),
        is_bfloat16=types[names[0]] == BFLOAT16,
    )


def _refuse_type(path: Path, name: str | None, found: str) -> None:
    where = str(path) if name is None else f"{path}, tensor {name!r}"
    raise ParameterError(f"{where}: activations must be {listed(TYPE_NAMES)}; got {found}")


def _layers_of(path: Path, name: str | None, values: np.ndarray) -> tuple[np.ndarray, ...]:
    if values.ndim != 3 or 0 in values.shape:
        where = str(path) if name is None else f"{path}, tensor {name!r}"
        raise ParameterError(
            f"{where}: expected a non-empty array (layers, texts, units); got shape {values.shape}",
            hint="one layer alone is an array of shape (1, texts, units).",
        )
    return tuple(values)


def _mapped(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the tensors of a safetensors file as memory maps, and the types that it gives them.

    What can hold no activations, by type or shape, comes as zeros.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass  # it refuses a header that lies about sizes, so the offsets below can be trusted
    except (SafetensorError, OSError) as error:
        raise ParameterError(f"{path}: not readable as safetensors: {first_line(error)}") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    if not header:
        raise ParameterError(f"{path}: the file holds no tensors")
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        dtype, shape = STORED_TYPES.get(entry["dtype"]), tuple(entry["shape"])
        if dtype is None or 0 in shape or not shape:  # refused by its type or shape
            arrays[name] = np.broadcast_to(np.float32(0), shape)
        else:
            start = 8 + length + entry["data_offsets"][0]
            arrays[name] = np.memmap(path, dtype, mode="r", offset=start, shape=shape)
    return arrays, {name: str(entry["dtype"]) for name, entry in header.items()}


def _in_natural_order(path: Path, names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return names that differ in one number, by that number; refuse others, and unequal shapes."""
    hint = (
        "name one array (layers, texts, units) with --tensor, or write one array a layer: layer.0, ..."
    )
    if len({_NUMBER.sub("0", name) for name in names}) > 1:
        raise ParameterError(
            f"{path}: which tensors are the layers? The names must differ in one number only; got "
            f"{listed(sorted(names))}",
            hint=hint,
        )
    numbers = {name: [int(number) for number in _NUMBER.findall(name)] for name in names}
    varying = [
        place for place, found in enumerate(zip(*numbers.values(), strict=True)) if len(set(found)) > 1
    ]
    if len(varying) != 1 or len({found[varying[0]] for found in numbers.values()}) < len(names):
        raise ParameterError(
            f"{path}: which number counts the layers? The names must differ in one number only; got "
            f"{listed(sorted(names))}",
            hint=hint,
        )
    ordered = sorted(names, key=lambda name: numbers[name][varying[0]])
    wrong = [f"{name}: {arrays[name].shape}" for name in ordered if arrays[name].ndim != 2]
    if wrong or any(0 in arrays[name].shape for name in ordered):
        raise ParameterError(
            f"{path}: with one tensor a layer each must be a non-empty array (texts, units); got "
            f"{listed(wrong or [f'{name}: {arrays[name].shape}' for name in ordered])}",
            hint=hint,
        )
    lengths = {name: arrays[name].shape[0] for name in ordered}
    if len(set(lengths.values())) > 1:
        raise ParameterError(
            f"{path}: all layers must have as many texts; got "
            f"{listed([f'{name}: {n_texts:,}' for name, n_texts in lengths.items()])}"
        )
    return ordered
