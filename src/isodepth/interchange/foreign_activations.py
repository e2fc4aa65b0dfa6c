"""Which texts are near which, by activations that another tool made? Neighbors, layer by layer.

The texts are needed for their identity: row i of every layer must belong to text i. That, the model's
name, and what was captured are the caller's word.

>>> reading = read_foreign_activations(layer_file(path), texts, model="my-model") # doctest: +SKIP

Memory: one layer in float64, and the neighbors.
"""

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.defaults import KEPT_NEIGHBORS
from isodepth.errors import ActivationsError, ParameterError, listed
from isodepth.interchange.imported import catalogue_model
from isodepth.interchange.keeping import ForeignReading
from isodepth.interchange.layer_files import LayerFile
from isodepth.neighbors import Neighbors, layer_neighbors
from isodepth.neighbors.exact import check_metric
from isodepth.progress import Progress, no_progress
from isodepth.store.sums import sha256_of
from isodepth.texts import TextSet

MOST_NAMES_TOLD = 200


def read_foreign_activations(
    layers: LayerFile,
    texts: TextSet,
    *,
    model: str,
    options: ExtractionOptions | None = None,
    has_embedding: bool = False,
    keep: int = KEPT_NEIGHBORS,
    metric: str = "cosine",
    progress: Progress = no_progress,
) -> ForeignReading:
    """Return the neighbors of texts by activations from a file, as a reading.

    Parameters
    ----------
    layers : LayerFile
        From `layer_file`.
    texts : TextSet
        The texts that the rows belong to, in order.
    model : str
        What the model is called: a name of the catalogue, a hub id, or any other.
    options : ExtractionOptions, optional
        What was captured and pooled: the output of every block at the last token, where it is left out.
    has_embedding : bool
        Whether the first layer in the file is the embedding, which is dropped.
    keep : int
        Keep so many of the nearest neighbors, if there are as many.
    metric : str
        See `nearest_neighbors`.
    progress : Progress
        Told of layers done.

    Raises
    ------
    ParameterError
        If there are other numbers of texts, or no layer besides the embedding.
    ActivationsError
        If activations are NaN or infinite, or zero; layer and texts are named.
    """
    check_metric(metric)
    if keep < 1:
        raise ParameterError(f"keep must be at least 1 neighbor; got {keep}")
    if layers.n_texts != len(texts):
        raise ParameterError(
            f"{layers.path} has activations of {layers.n_texts:,} texts; {texts.name} has "
            f"{len(texts):,}: expected equal numbers",
            hint="give the very texts, in their order: with the -n, --seed and filters that they were "
            "sampled with, or as a file.",
        )
    first = 1 if has_embedding else 0
    n_layers = layers.n_layers - first
    if n_layers < 1:
        raise ParameterError(f"{layers.path} holds the embedding and no other layer")
    name, repository = catalogue_model(model)
    k = min(keep, len(texts) - 1)
    ids = np.empty((n_layers, len(texts), k), dtype=np.int32)
    similarities = np.empty((n_layers, len(texts), k), dtype=np.float32)
    label = f"finding neighbors in {name}"
    progress(label, 0, n_layers, "layers")
    for layer in range(n_layers):
        try:
            ids[layer], similarities[layer] = layer_neighbors(layers.layer(first + layer), k)
        except ActivationsError as error:
            of = f" ({layers.names[first + layer]})" if layers.names else ""
            raise ActivationsError(
                f"{layers.path}, layer {layer + 1}{of}: {error.message}", hint=error.hint
            ) from error
        progress(label, layer + 1, n_layers, "layers")
    return ForeignReading(
        neighbors=Neighbors(
            ids=ids,
            similarities=similarities,
            metric=metric,
            model=name,
            texts_digest=texts.digest,
            provenance={
                "source": "activations from elsewhere",
                "file": layers.path.name,
                "files": [
                    {
                        "name": layers.path.name,
                        "sha256": sha256_of(layers.path),
                        "size_bytes": layers.path.stat().st_size,
                    }
                ],
                "tensors": list(layers.names) or layers.tensor,
                "embedding_layer": "dropped" if has_embedding else "not in the file, as was said",
                "texts": dict(texts.provenance),
            },
        ),
        texts=texts.name,
        options=options or ExtractionOptions(),
        model_repository=repository,
        contents=texts.texts,
        notes=_order_told(layers, first),
    )


def _order_told(layers: LayerFile, first: int) -> tuple[str, ...]:
    """Return in which order tensors were taken for layers, and whether numbers are missing."""
    if not layers.names:
        return ()
    order = listed(layers.names[first:], most=MOST_NAMES_TOLD)
    dropped = f"{layers.names[0]} is the embedding and was dropped; " if first else ""
    return (f"{dropped}layers 1 to {layers.n_layers - first} are {order}, in this order.",)
