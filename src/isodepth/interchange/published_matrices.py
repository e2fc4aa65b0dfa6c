"""What do the authors' published affinity matrices say? Counts of shared neighbors, made similarities.

A .npz file holds, for every unordered pair of models and for each model with itself, an array of counts
(layers + 1, layers + 1) under the key "owner/left|owner/right"; row and column 0 are the embedding. A
count over k times the number of texts is the mutual k-NN similarity. A layer shares all its neighbors
with itself, so the self pairs prove k and the number of texts.

>>> read_published_matrices(Path("web_text_k10.npz"), n_texts=2048)               # doctest: +SKIP

Memory: 8 bytes a pair of layers of all models. Members are read within the sizes that they state.
"""

import io
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, counted, first_line, listed
from isodepth.interchange.imported import catalogue_model
from isodepth.interchange.matrices import FoundMatrices, file_source
from isodepth.interchange.published_files import set_named
from isodepth.models import MODELS
from isodepth.results import MatrixKind

MOST_MEMBER_BYTES = 64 << 20
MOST_BYTES = 2 << 30
_NAME = re.compile(r"(?P<texts>.+)_k(?P<k>[0-9]{1,6})")


def read_published_matrices(
    path: Path,
    *,
    n_texts: int | None = None,
    k: int | None = None,
    texts: str | None = None,
    with_embedding: bool = False,
) -> FoundMatrices:
    """Return the matrices of a .npz file of counts.

    Parameters
    ----------
    path : Path
        The file; its name may say text set and k, as in web_text_k10.npz.
    n_texts : int, optional
        The number of texts. Self pairs tell it, where it is left out.
    k : int, optional
        Neighbors per text, where the name does not say it.
    texts : str, optional
        The text set's name, where the file's name does not say it.
    with_embedding : bool
        Keep row and column 0, the embedding, as layer 1. The paper drops them.

    Raises
    ------
    UnknownNameError
        If there is no such file.
    ParameterError
        If it cannot be read, arrays are not counts of all pairs, or they are not of this k and number
        of texts.
    """
    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}")
    match = _NAME.fullmatch(path.stem)
    if k is None:
        if match is None:
            raise ParameterError(
                f"{path}: how many neighbors? The name does not end in _k and a number",
                hint="say it with -k.",
            )
        k = int(match["k"])
    if texts is None:
        texts = set_named(match["texts"] if match else path.stem)
    counts = _pairs(path, _members(path))
    first = 0 if with_embedding else 1
    hub_ids = sorted({name for pair in counts for name in pair}, key=_place_in_catalogue)
    n_layers = _layer_counts(path, counts)
    if n_texts is None:
        n_texts = int(counts[hub_ids[0], hub_ids[0]][0, 0]) // max(k, 1)
    _refuse_wrong_counts(path, counts, k=k, n_texts=n_texts)
    if not with_embedding and min(n_layers.values()) < 2:
        raise ParameterError(f"{path}: a model has the embedding and no other layer")
    sizes = [n_layers[name] - first for name in hub_ids]
    starts = dict(zip(hub_ids, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))
    values = np.empty((sum(sizes), sum(sizes)))
    for (left, right), found in counts.items():
        rows = slice(starts[left], starts[left] + n_layers[left] - first)
        columns = slice(starts[right], starts[right] + n_layers[right] - first)
        similarity = found[first:, first:] / float(k * n_texts)
        values[rows, columns] = similarity
        values[columns, rows] = similarity.T
    labels = tuple(catalogue_model(name)[0] for name in hub_ids)
    matrices = AffinityMatrices(
        values=values,
        left=labels,
        right=labels,
        left_layers=tuple(sizes),
        right_layers=tuple(sizes),
        is_symmetric=True,
        measure="mutual_knn",
        k=k,
        n_texts=n_texts,
        texts=texts,
    )
    return FoundMatrices(
        texts=texts,
        kind=MatrixKind("mutual_knn", k, "final_norm", "last"),
        matrices=matrices,
        source=file_source(
            path,
            "npz of counts of shared neighbors",
            embedding_layer="kept as layer 1" if with_embedding else "dropped",
        ),
    )


def _place_in_catalogue(hub_id: str) -> tuple[int, str]:
    """Return what models are ordered by: the catalogue, so that all files give the same order."""
    name = catalogue_model(hub_id)[0]
    known = list(MODELS)
    return (known.index(name) if name in known else len(known), name)


def _members(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a .npz file by key; each states its size before it is read."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            largest = max((member.file_size for member in members), default=0)
            if total > MOST_BYTES or largest > MOST_MEMBER_BYTES:
                raise ParameterError(
                    f"{path}: its arrays take {total:,} bytes, one of them {largest:,}; expected at "
                    f"most {MOST_BYTES:,}, and {MOST_MEMBER_BYTES:,} each"
                )
            arrays = {}
            for member in members:
                key = member.filename.removesuffix(".npy")
                arrays[key] = _counts(f"{path}, {member.filename!r}", archive.read(member))
            return arrays
    except (zipfile.BadZipFile, OSError, RuntimeError, ValueError, EOFError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(f"{path}: not readable as .npz: {first_line(error)}") from error


def _counts(where: str, data: bytes) -> np.ndarray:
    header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in header:
        raise ParameterError(f"{where}: expected version 1 or 2 of the .npy format; got {version}")
    shape, is_fortran, dtype = header[version](stream)
    n_bytes = len(data) - stream.tell()
    is_counts = dtype.kind in "ui" and len(shape) == 2 and 0 not in shape
    if not is_counts or math.prod(shape) * dtype.itemsize != n_bytes:
        raise ParameterError(
            f"{where}: expected whole numbers (layers + 1, layers + 1); got {dtype} of shape {shape} "
            f"in {n_bytes:,} bytes"
        )
    values = np.frombuffer(data, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _pairs(path: Path, arrays: Mapping[str, np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Return counts by pair of models, every unordered pair once."""
    wrong = [key for key in arrays if len(key.split("|")) != 2 or not all(key.split("|"))]
    if wrong or not arrays:
        raise ParameterError(
            f"{path}: every array must have the key 'left model|right model'; got "
            f"{listed(wrong) if wrong else 'no arrays'}"
        )
    counts: dict[tuple[str, str], np.ndarray] = {}
    twice = []
    for key, found in arrays.items():
        left, right = key.split("|")
        if (left, right) in counts or (right, left) in counts:
            twice.append(key)
        counts[left, right] = found
    if twice:
        raise ParameterError(f"{path}: pairs that are there twice: {listed(twice)}")
    names = list(dict.fromkeys(name for pair in counts for name in pair))
    missing = [
        f"{left}|{right}"
        for place, left in enumerate(names)
        for right in names[place:]
        if (left, right) not in counts and (right, left) not in counts
    ]
    if missing:
        raise ParameterError(
            f"{path}: {counted(len(missing), 'pair')} of its {len(names)} models missing: "
            f"{listed(missing)}",
            hint="each model must be there with every other one and with itself.",
        )
    return counts


def _layer_counts(path: Path, counts: Mapping[tuple[str, str], np.ndarray]) -> dict[str, int]:
    """Return the number of rows or columns of each model, the same in all of its arrays."""
    lengths: dict[str, set[int]] = {}
    for (left, right), found in counts.items():
        lengths.setdefault(left, set()).add(found.shape[0])
        lengths.setdefault(right, set()).add(found.shape[1])
    wrong = [f"{name}: {sorted(found)}" for name, found in lengths.items() if len(found) > 1]
    if wrong:
        raise ParameterError(
            f"{path}: a model must have as many layers in all of its arrays; got {listed(wrong)}"
        )
    return {name: found.pop() for name, found in lengths.items()}


def _refuse_wrong_counts(
    path: Path, counts: Mapping[tuple[str, str], np.ndarray], *, k: int, n_texts: int
) -> None:
    if n_texts < 2 or not 1 <= k < n_texts:
        raise ParameterError(f"{path}: expected 1 <= k < n_texts; got k = {k:,}, n_texts = {n_texts:,}")
    whole = k * n_texts
    for (left, right), found in counts.items():
        if left == right and not (np.diagonal(found) == whole).all():
            seen = sorted(set(np.diagonal(found).tolist()))
            raise ParameterError(
                f"{path}, '{left}|{right}': every layer shares all its neighbors with itself, k * "
                f"n_texts = {k:,} * {n_texts:,} = {whole:,}; the diagonal holds {listed(seen)}",
                hint="say -k and --n-texts as they were.",
            )
        if left == right and not np.array_equal(found, found.T):
            raise ParameterError(f"{path}, '{left}|{right}': a model with itself must be symmetric")
        if found.min() < 0 or found.max() > whole:
            raise ParameterError(
                f"{path}, '{left}|{right}': counts must lie in 0 to k * n_texts = {whole:,}; found "
                f"{found.min()} to {found.max()}"
            )
