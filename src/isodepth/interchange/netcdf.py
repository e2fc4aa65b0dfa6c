"""How do results leave as labelled arrays? One NetCDF file, one variable a text set.

Every variable has the dimensions measure, capture, pooling, k, left and right. Left and right run over
all layers of all readers, one after the other; the coordinates left_model, left_layer and left_depth
(and the same of right) say which is which:

>>> found = xarray.open_dataset("paper.nc").set_index(                            # doctest: +SKIP
...     left=["left_model", "left_layer"], right=["right_model", "right_layer"]
... )
>>> found["web-text"].sel(k=10, left="gemma-2-9b", right="llama-3.1-8b").squeeze()  # doctest: +SKIP

What was not computed for a text set is NaN; k is 0 of measures that take none. The attributes `metric`
and `preprocessing` say how layers were read, of every kind of matrix where that differs. Names of
variables cannot hold a slash: it becomes "_", and the attribute `texts` has the name.

Memory: everything at once, 8 bytes a layer pair, text set and kind.
"""

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.affinity import AffinityMatrices
from isodepth.atomic import atomic_path
from isodepth.axes import relative_depths
from isodepth.errors import ParameterError, require
from isodepth.interchange.tables import chosen_sets
from isodepth.results import StudyResults, TextSetResults

if TYPE_CHECKING:
    import xarray

KIND_DIMENSIONS = ("measure", "capture", "pooling", "k")
DIMENSIONS = (*KIND_DIMENSIONS, "left", "right")
COORDINATES = tuple(
    f"{side}_{what}" for side in DIMENSIONS[-2:] for what in ("model", "layer", "depth")
)
MOST_VARIABLE_BYTES = 2**32 - 4
"""Of a variable in the NetCDF 3 format with 64-bit offsets, which scipy writes."""


def results_dataset(results: StudyResults, *, texts: Sequence[str] = ()) -> "xarray.Dataset":
    """Return results as labelled arrays (pip install 'isodepth[xarray]').

    Parameters
    ----------
    results : StudyResults
        From `run_study` or `load_results`.
    texts : sequence of str
        Only these text sets.

    Raises
    ------
    MissingPackageError
        If xarray is not installed.
    UnknownNameError
        If there is no such text set.
    ParameterError
        If a reader has different numbers of layers in two text sets.
    """
    require("xarray", extra="xarray")
    import xarray

    sets = [results[name] for name in chosen_sets(results, texts)]
    every = [matrices for one in sets for matrices in one.matrices.values()]
    kinds = [kind for one in sets for kind in one.matrices]
    coordinates: dict[str, Any] = {
        name: np.array(list(dict.fromkeys(getattr(kind, name) for kind in kinds)))
        for name in KIND_DIMENSIONS
    }
    coordinates["k"] = coordinates["k"].astype(np.int32)
    starts = {}
    for side in ("left", "right"):
        n_layers = _readers(side, every)
        sizes = list(n_layers.values())
        starts[side] = dict(zip(n_layers, np.cumsum([0, *sizes]).tolist(), strict=False))
        numbers = [np.arange(1, size + 1, dtype=np.int32) for size in sizes]
        depths = [relative_depths(size) for size in sizes]
        coordinates[f"{side}_model"] = (side, np.repeat(np.array(list(n_layers)), sizes))
        coordinates[f"{side}_layer"] = (side, np.concatenate(numbers))
        coordinates[f"{side}_depth"] = (side, np.concatenate(depths))
    n_rows, n_columns = (len(coordinates[f"{side}_layer"][1]) for side in ("left", "right"))
    shape = (*(len(coordinates[name]) for name in KIND_DIMENSIONS), n_rows, n_columns)
    variables: dict[str, tuple[tuple[str, ...], np.ndarray, dict[str, Any]]] = {}
    for one in sets:
        values = np.full(shape, np.nan)
        for kind, matrices in one.matrices.items():
            place = tuple(
                coordinates[name].tolist().index(getattr(kind, name)) for name in KIND_DIMENSIONS
            )
            rows = _places(matrices.left, matrices.left_layers, starts["left"])
            columns = _places(matrices.right, matrices.right_layers, starts["right"])
            values[place][np.ix_(rows, columns)] = matrices.values
        name = _variable_name(one.name, [*variables, *DIMENSIONS, *COORDINATES])
        variables[name] = (DIMENSIONS, values, _attributes(one))
    return xarray.Dataset(
        variables, coords=coordinates, attrs={"title": results.name, "source": "isodepth results"}
    )


def write_netcdf(results: StudyResults, path: Path, *, texts: Sequence[str] = ()) -> Path:
    """Write `results_dataset` as a NetCDF file; return its path.

    NetCDF 4 where h5netcdf is installed, else NetCDF 3. Both open with ``xarray.open_dataset``.

    Raises
    ------
    ParameterError
        If a text set is too large for NetCDF 3.
    MissingPackageError, UnknownNameError
        As in `results_dataset`.
    """
    dataset = results_dataset(results, texts=texts)
    has_h5netcdf = importlib.util.find_spec("h5netcdf") is not None
    largest = max(variable.nbytes for variable in dataset.data_vars.values())
    if not has_h5netcdf and largest > MOST_VARIABLE_BYTES:
        raise ParameterError(
            f"a text set takes {largest:,} bytes; NetCDF 3 holds at most {MOST_VARIABLE_BYTES:,} in "
            "one variable",
            hint="pip install h5netcdf writes NetCDF 4; or use 'isodepth export parquet'.",
        )
    with atomic_path(path) as temporary:
        if has_h5netcdf:
            dataset.to_netcdf(temporary, engine="h5netcdf", format="NETCDF4")
        else:
            dataset.to_netcdf(temporary, engine="scipy", format="NETCDF3_64BIT")
    return path


def _readers(side: str, every: Iterable[AffinityMatrices]) -> dict[str, int]:
    """Return the number of layers of all readers on one side, in the order of appearance."""
    n_layers: dict[str, int] = {}
    for matrices in every:
        labels, numbers = getattr(matrices, side), getattr(matrices, f"{side}_layers")
        for label, number in zip(labels, numbers, strict=True):
            if n_layers.setdefault(label, number) != number:
                raise ParameterError(
                    f"{label} has {n_layers[label]} layers in one text set and {number} in another",
                    hint="export them one by one, with --texts.",
                )
    return n_layers


def _places(labels: Sequence[str], n_layers: Sequence[int], starts: dict[str, int]) -> np.ndarray:
    parts = [starts[label] + np.arange(number) for label, number in zip(labels, n_layers, strict=True)]
    return np.concatenate(parts)


def _variable_name(name: str, taken: Sequence[str]) -> str:
    """Return a text set's name as a variable may be called, and as none is called yet."""
    plain = "".join(one if one.isprintable() and one != "/" else "_" for one in name).strip()
    if not plain[:1].isalnum():
        plain = f"texts {plain}".strip()
    while plain in taken:
        plain += "_"
    return plain


def _attributes(one: TextSetResults) -> dict[str, Any]:
    first = next(iter(one.matrices.values()))
    known = {
        "texts": one.name,
        "n_texts": first.n_texts,
        "texts_digest": first.texts_digest,
        "right_texts_digest": first.right_texts_digest,
        "is_symmetric": int(first.is_symmetric),
        "metric": _said(one, "metric"),
        "preprocessing": _said(one, "preprocessing"),
    }
    return {name: value for name, value in known.items() if value is not None}


def _said(one: TextSetResults, what: str) -> str | None:
    """Return what matrices say of a reading: one word, or that of every kind where they differ."""
    words = {kind: word for kind, matrices in one.matrices.items() if (word := getattr(matrices, what))}
    if len(set(words.values())) > 1:
        return "; ".join(f"{kind}: {word}" for kind, word in words.items())
    return next(iter(words.values()), None)
