"""What can be compared? Neighbors or activations of a model, whichever the measure reads, checked.

>>> operand = operand_of(neighbors, measure_named("mutual_knn"), k=10, name="left")  # doctest: +SKIP

Memory: arrays are taken as they lie; activations are preprocessed a layer at a time, when asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isodepth.activations.result import Activations
from isodepth.affinity.measure import READS, Layers, Measure
from isodepth.affinity.mutual_knn import checked_ids
from isodepth.axes import AffinityValues
from isodepth.errors import ActivationsError, IsodepthError, ParameterError, first_line, listed
from isodepth.neighbors import Neighbors
from isodepth.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operand:
    """One side of a comparison. Made by `operand_of`.

    Parameters
    ----------
    layers : Layers
        What a measure reads.
    model : str
        The model's name.
    n_layers, n_texts : int
        How many there are.
    k : int
        Neighbors per text; 0 where the measure takes none.
    metric : str or None
        What "near" means, where the measure reads neighbors.
    preprocessing : str
        The canonical name of what was done to activations before.
    texts_digest : str or None
        Identity of the texts, where known.
    """

    layers: Layers
    model: str
    n_layers: int
    n_texts: int
    k: int
    metric: str | None
    preprocessing: str
    texts_digest: str | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreparedLayers:
    """The activations of a model's layers, checked and preprocessed when they are asked for.

    Parameters
    ----------
    name : str
        What errors call the model.
    values : float array (layers, texts, units)
        Activations; may be a memory map.
    preprocessing : Preprocessing
        What is done to each layer.
    """

    name: str
    values: np.ndarray
    preprocessing: Preprocessing

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, layer: int, /) -> np.ndarray:
        """Return a layer, float (texts, units)."""
        vectors = np.asarray(self.values[layer])
        wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(wrong):
            raise ActivationsError(
                f"{self.name}, layer {layer + 1}: NaN or infinite activations in text "
                f"{listed([int(row) + 1 for row in wrong])} (rows count from 1)"
            )
        if not self.preprocessing.steps:
            return vectors
        try:
            prepared: np.ndarray = self.preprocessing(vectors)
        except (ActivationsError, ParameterError) as error:
            raise type(error)(
                f"{self.name}, layer {layer + 1}: {error.message}", hint=error.hint
            ) from error
        return prepared

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[layer] for layer in range(len(self)))


def operand_of(
    given: Neighbors | Activations | np.ndarray,
    measure: Measure,
    *,
    k: int | None,
    name: str,
    preprocessing: Preprocessing,
) -> Operand:
    """Return one side of a comparison as the measure reads it.

    Parameters
    ----------
    given : Neighbors, Activations, or array
        An integer array (layers, texts, k) holds neighbors, a float one (layers, texts, units)
        activations.
    measure : Measure
        What will be measured.
    k : int, optional
        Use the `k` nearest; all where it is left out.
    name : str
        What errors call it, and what an array is called.
    preprocessing : Preprocessing
        What is done to activations first. Of neighbors this was done before they were found.

    Raises
    ------
    ParameterError
        If it is not what the measure reads, or has no such shape or `k`.
    """
    if isinstance(given, (Neighbors, Activations)):
        reads = "neighbors" if isinstance(given, Neighbors) else "activations"
        values: Any = given.ids if isinstance(given, Neighbors) else given.values
        model = given.model
        digest: str | None = given.texts_digest
    else:
        reads = "neighbors" if np.issubdtype(given.dtype, np.integer) else "activations"
        values, model, digest = given, name, None
        if given.ndim != 3 or 0 in given.shape or given.dtype.kind not in "iuf":
            raise ParameterError(
                f"{name} must be Neighbors or an integer array (layers, texts, k), or Activations or a "
                f"float array (layers, texts, units); got {given.dtype} of shape {given.shape}"
            )
    if reads != measure.reads:
        hint = "nearest_neighbors(activations, k) gives them."
        if measure.reads == "activations":
            hint = (
                "pass the Activations that extract() gives; a study keeps them with keep.activations."
            )
        raise ParameterError(
            f"{measure.title} reads {measure.reads}: {READS[measure.reads]}; {name} holds {reads}",
            hint=hint,
        )
    n_layers, n_texts = values.shape[:2]
    if reads == "activations":
        if measure.takes_k and k is None:
            raise ParameterError(f"{measure.title} takes k, the number of neighbors; got none")
        if measure.takes_k and not 1 <= k < n_texts:  # type: ignore[operator]
            raise ParameterError(
                f"{measure.title}: k = {k} neighbors of {n_texts:,} texts; expected 1 <= k <= "
                f"{n_texts - 1:,}"
            )
        return Operand(
            layers=PreparedLayers(name=model, values=values, preprocessing=preprocessing),
            model=model,
            n_layers=n_layers,
            n_texts=n_texts,
            k=k if measure.takes_k and k is not None else 0,
            metric=None,
            preprocessing=preprocessing.name,
            texts_digest=digest,
        )
    neighbors = given if isinstance(given, Neighbors) else None
    done = "none" if neighbors is None else neighbors.preprocessing
    if preprocessing and preprocessing.name != done:
        raise ParameterError(
            f"{model}: preprocessing {preprocessing.name!r} was asked for; these neighbors were found "
            f"after {done!r}",
            hint="nearest_neighbors(activations, preprocessing=...) finds them after it.",
        )
    held = values.shape[2]
    if k is not None and not 1 <= k <= held:
        raise ParameterError(
            f"{model}: k = {k} nearest neighbors were asked for; expected 1 <= k <= {held}, the number "
            "that is held"
        )
    ids = values[:, :, : held if k is None else k]
    return Operand(
        layers=checked_ids(ids, name),
        model=model,
        n_layers=n_layers,
        n_texts=n_texts,
        k=held if k is None else k,
        metric=None if neighbors is None else neighbors.metric,
        preprocessing="none" if neighbors is None else neighbors.preprocessing,
        texts_digest=digest,
    )


def measured(
    measure: Measure, name: str, left: Sequence[Operand], right: Sequence[Operand] | None
) -> AffinityValues:
    """Return the similarities of all layers of some models, by a measure of this name.

    Raises
    ------
    ParameterError
        If the measure, which may be a package's, fails, or returns something else or values that are
        not finite.
    """
    sides = [left, left if right is None else right]
    expected = tuple(sum(one.n_layers for one in side) for side in sides)
    models = listed(list(dict.fromkeys(one.model for side in sides for one in side)))
    try:
        values = measure.all_values(
            [one.layers for one in left],
            None if right is None else [one.layers for one in right],
            left[0].k,
        )
    except IsodepthError:
        raise
    except Exception as error:  # whatever goes wrong in another's code
        raise ParameterError(
            f"the measure {name} failed on {models}: {type(error).__name__}: {first_line(error)}"
        ) from error
    if getattr(values, "shape", None) != expected or getattr(values, "dtype", None) != np.float64:
        raise ParameterError(
            f"the measure {name} must return float64 of (layers_left, layers_right) = {expected}; got "
            f"{getattr(values, 'dtype', type(values).__name__)} of shape "
            f"{getattr(values, 'shape', '()')} for {models}"
        )
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        rows, columns = ([*_layer_names(side)] for side in sides)
        cells = [f"{rows[i]} and {columns[j]}: {values[i, j]}" for i, j in wrong]
        raise ParameterError(
            f"the measure {name} must return finite similarities; got {listed(cells, most=3)}",
            hint="where a measure is not defined for a layer, it raises ActivationsError.",
        )
    return values


def _layer_names(models: Sequence[Operand]) -> Iterator[str]:
    for one in models:
        yield from (f"layer {layer} of {one.model}" for layer in range(1, one.n_layers + 1))
