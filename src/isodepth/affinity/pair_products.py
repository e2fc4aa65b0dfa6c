"""How similar are all layers, where a layer is a vector over pairs of texts? One matrix product.

A centered Gram matrix, a matrix of distances, the ranks of dissimilarities: each has one number for
each pair of texts, and many measures are cosines between two of them. So each layer becomes one unit
vector, once: the upper triangle of its symmetric matrix. All layers against all is then one product.

Everything before the vector is float64, because layers in which all texts point almost the same way
are common: what is left after centering is small. Vectors of unit length are kept in float32, which
moves a cosine by 1.2e-7 at worst, and are multiplied in float64.

>>> layers = np.random.default_rng(0).normal(size=(3, 50, 8))
>>> cosines([layers], None, lambda layer: unit_vector(upper_triangle(centered_gram(layer)))).shape
(3, 3)

Memory: 4 bytes a layer and pair of texts; above 1 GiB a side in a temporary file, which has no name
and is gone when the process is. Besides some six matrices (texts, texts) of float64. Linear CKA of 80
layers with 80 others, 2,048 texts and 1,024 units, takes 1.5 GB at the peak and 23 s of one core, where
pair after pair, each as inner products of units, would take 1,230 s.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Float64

from isodepth.affinity.centering import centered_layer
from isodepth.affinity.measure import Layers, Measure, layers_of
from isodepth.axes import AffinityValues, LayerActivations
from isodepth.errors import ActivationsError, ParameterError

Vectors = Float32[np.ndarray, "layers pairs"]
PairVector = Float64[np.ndarray, " pairs"]
PairMatrix = Float64[np.ndarray, "texts texts"]
VectorOf = Callable[[LayerActivations], PairVector]

MEMORY_BYTES = 1 << 30
BLOCK_BYTES = 64 << 20
COST_AT = "(n = 2,048 texts, 1,024 units, one core)"
PAIR_COST = f"a pair of layers: n^2 / 2, 1.3 ms {COST_AT}"
VANISHED = 1e-12
"""What centering leaves of a vector is rounding below this share of its length."""


def cosine_measure(vector_of: VectorOf, *, lowest: float = -1.0, **facts: Any) -> Measure:
    """Return the measure that the cosine of two layers' vectors is.

    Parameters
    ----------
    vector_of : callable
        Takes a layer, float (texts, units), and returns its unit vector.
    lowest : float
        The least cosine that there can be.
    **facts
        Other parameters of `Measure`.
    """

    def all_values(left: Sequence[Layers], right: Sequence[Layers] | None, k: int) -> AffinityValues:
        del k
        return cosines(left, right, vector_of, lowest=lowest)

    return Measure(all_values=all_values, lowest=lowest, **facts)


def cosines(
    left: Sequence[Layers],
    right: Sequence[Layers] | None,
    vector_of: VectorOf,
    *,
    lowest: float = -1.0,
) -> AffinityValues:
    """Return the cosines of all left layers' vectors with all right ones', float64 in [lowest, 1].

    Parameters
    ----------
    left, right : sequences of Layers
        The layers of some models. `right` is None where all are compared with each other, which takes
        half the time; the matrix is then exactly symmetric, and 1 on its diagonal.
    vector_of : callable
        Takes a layer, float (texts, units), and returns its unit vector.
    lowest : float
        The least cosine that there can be.

    Raises
    ------
    ActivationsError
        If `vector_of` refuses a layer; the layer is named.
    ParameterError
        If there is no room for the vectors.
    """
    rows = kept_vectors(left, vector_of)
    columns = None if right is None else kept_vectors(right, vector_of)
    values = products(rows, columns)
    if right is None:
        np.fill_diagonal(values, 1.0)
    return values.clip(lowest, 1.0, out=values)


def kept_vectors(models: Sequence[Layers], vector_of: VectorOf) -> Vectors:
    """Return the vectors of all layers, in memory or, where they are large, in a temporary file.

    Raises
    ------
    ActivationsError
        If `vector_of` refuses a layer; the layer is named.
    ParameterError
        If there is no room for the vectors.
    """
    n_layers = sum(len(model) for model in models)
    kept: Vectors | None = None
    for row, (name, layer) in enumerate(layers_of(models)):
        vector = named_vector(name, layer, vector_of)
        if kept is None:
            kept = _room(n_layers, len(vector))
        kept[row] = vector
    assert kept is not None  # there is at least one layer
    return kept


def named_vector(name: str, layer: LayerActivations, vector_of: VectorOf) -> PairVector:
    """Return a layer's vector; where `vector_of` refuses the layer, the error names it."""
    try:
        return vector_of(layer)
    except ActivationsError as error:
        raise ActivationsError(f"{name}: {error.message}", hint=error.hint) from error


def products(left: Vectors, right: Float32[np.ndarray, "others pairs"] | None) -> AffinityValues:
    """Return the inner products of all left vectors with all right ones, summed in float64.

    Parameters
    ----------
    left, right : float32 arrays (layers, pairs)
        The vectors. `right` is None where all are multiplied with each other, which takes half the time
        and is exactly symmetric.
    """
    n_pairs = left.shape[1]
    total = np.zeros((len(left), len(left if right is None else right)))
    n_rows = len(left) + (0 if right is None else len(right))
    n_at_once = max(1, BLOCK_BYTES // (8 * n_rows))
    for start in range(0, n_pairs, n_at_once):
        pairs = slice(start, start + n_at_once)
        ours = left[:, pairs].astype(np.float64)
        # NumPy knows an array times its own transpose, and computes one half
        theirs = ours if right is None else right[:, pairs].astype(np.float64)
        total += ours @ theirs.T
    return total


def centered_gram(layer: LayerActivations) -> PairMatrix:
    """Return the inner products of a layer's centered texts, up to a scale.

    The largest centered activation becomes 1, so that nothing overflows. Rows sum to zero.

    Raises
    ------
    ActivationsError
        If all texts have the same activations, up to rounding.
    """
    centered = centered_layer(layer)
    gram: PairMatrix = centered @ centered.T
    return gram


def squared_distances(layer: LayerActivations) -> PairMatrix:
    """Return the squared Euclidean distances of a layer's texts, up to a scale.

    From inner products of centered texts: a distance is off by up to some 1e-8 of the largest norm of a
    centered text.

    Raises
    ------
    ActivationsError
        If all texts have the same activations.
    """
    distances = centered_gram(layer)
    squares = np.diag(distances).copy()
    distances *= -2
    distances += squares
    distances += squares[:, np.newaxis]
    np.fill_diagonal(distances, 0.0)
    np.maximum(distances, 0.0, out=distances)
    return distances


def double_centered(matrix: PairMatrix) -> PairMatrix:
    """Return a symmetric matrix less its row and column means; all rows then sum to zero."""
    means = matrix.mean(axis=0)
    centered: PairMatrix = matrix - means
    centered -= means[:, np.newaxis]
    centered += means.mean()
    return centered


def u_centered(matrix: PairMatrix) -> PairMatrix:
    """Return a symmetric matrix U-centered: its diagonal left out, and all rows then sum to zero.

    Inner products of such matrices are unbiased (HSIC, squared distance covariance): their mean over
    all ways to relabel the texts of one is zero.

    Raises
    ------
    ParameterError
        If there are fewer than 4 texts.

    References
    ----------
    Szekely & Rizzo 2014, Section 2; of kernels, the inner product is HSIC_1 of Song et al. 2012.
    Differs in nothing.
    """
    n_texts = len(matrix)
    if n_texts < 4:
        raise ParameterError(
            f"a debiased measure needs at least 4 texts; got {n_texts}", hint="use more texts."
        )
    hollow = matrix.copy()
    np.fill_diagonal(hollow, 0.0)
    sums = hollow.sum(axis=0) / (n_texts - 2)
    hollow -= sums
    hollow -= sums[:, np.newaxis]
    hollow += sums.sum() / (n_texts - 1)
    np.fill_diagonal(hollow, 0.0)
    return hollow


def upper_triangle(matrix: PairMatrix, *, with_diagonal: bool = True) -> PairVector:
    """Return a symmetric matrix as a vector: inner products of such vectors are half the matrices'.

    Row by row, each from the diagonal on, which is divided by the square root of 2; or without it.
    """
    n_texts = len(matrix)
    skipped = 0 if with_diagonal else 1
    vector = np.empty(n_texts * (n_texts + 1) // 2 - skipped * n_texts)
    start = 0
    for row in range(n_texts):
        part = matrix[row, row + skipped :]
        vector[start : start + len(part)] = part
        if with_diagonal:
            vector[start] /= np.sqrt(2)
        start += len(part)
    return vector


def symmetric_matrix(vector: PairVector) -> PairMatrix:
    """Return the matrix of which `upper_triangle` gives this vector, with its diagonal."""
    n_texts = int(np.sqrt(2 * len(vector)))
    matrix = np.empty((n_texts, n_texts))
    start = 0
    for row in range(n_texts):
        part = vector[start : start + n_texts - row]
        matrix[row, row:] = matrix[row:, row] = part
        matrix[row, row] *= np.sqrt(2)
        start += len(part)
    return matrix


def no_chance(n_texts: int, k: int) -> float:
    """Return 0, the mean over all ways to relabel the texts of one layer, of what is so centered."""
    del n_texts, k
    return 0.0


def unit_vector(vector: Float[np.ndarray, " pairs"], *, before: float = 0.0) -> PairVector:
    """Return a vector at unit length.

    Parameters
    ----------
    vector : float array (pairs,)
        Centered.
    before : float
        Its length before it was centered.

    Raises
    ------
    ActivationsError
        If nothing but rounding is left of it.
    """
    length = float(np.linalg.norm(vector))
    if length <= VANISHED * before or length == 0:
        raise ActivationsError(
            "all pairs of texts are equally far apart, so nothing varies that could be compared",
            hint="leave this layer out, or use more texts.",
        )
    return np.asarray(vector / length, dtype=np.float64)


def _room(n_layers: int, n_pairs: int) -> Vectors:
    """Return an array for the vectors of all layers, in memory or in a file without a name."""
    size_bytes = 4 * n_layers * n_pairs
    if size_bytes <= MEMORY_BYTES:
        return np.empty((n_layers, n_pairs), dtype=np.float32)
    folder = tempfile.gettempdir()
    free_bytes = shutil.disk_usage(folder).free
    if size_bytes > free_bytes:
        raise _no_room(n_layers, size_bytes, f"{free_bytes:,} bytes are free in {folder}")
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            try:  # a mapped file that finds no room when it is written to ends the process
                os.posix_fallocate(file.fileno(), 0, size_bytes)
            except OSError as error:
                raise _no_room(n_layers, size_bytes, f"{folder}: {error.strerror}") from error
        return np.memmap(file, dtype=np.float32, mode="r+", shape=(n_layers, n_pairs))


def _no_room(n_layers: int, size_bytes: int, found: str) -> ParameterError:
    return ParameterError(
        f"the vectors of {n_layers:,} layers take {size_bytes:,} bytes in a temporary file; {found}",
        hint="set TMPDIR to a folder with more room, or compare fewer models or texts at a time.",
    )
