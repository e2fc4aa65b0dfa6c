"""What do the neighbor sets say that the paper's authors published? One Parquet file, one reading.

A row is a text. Its ``knn`` is a list of layers, each a list of neighbor rows, nearest first, the
text itself left out. Layer 0 is the embedding, which is no layer here and is dropped; the last layer
was read after the model's final norm (our capture "final_norm").

>>> (file,) = published_files([Path("google__gemma-2-9b---web_text.parquet")])    # doctest: +SKIP
>>> keep_reading(read_published_neighbors(file), store)                           # doctest: +SKIP

Memory: the neighbors that are kept, 4 bytes each, the texts, and some 16 MB of the file at a time.
"""

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.defaults import KEPT_NEIGHBORS
from isodepth.errors import ParameterError
from isodepth.interchange.imported import catalogue_model
from isodepth.interchange.keeping import ForeignReading
from isodepth.interchange.published_files import PublishedFile, published_name
from isodepth.interchange.published_table import PublishedTable
from isodepth.neighbors import Neighbors
from isodepth.progress import Progress, no_progress
from isodepth.store.sums import sha256_of
from isodepth.texts import texts_digest


def read_published_neighbors(
    file: PublishedFile,
    *,
    model: str | None = None,
    texts: str | None = None,
    chat: bool | None = None,
    keep: int = KEPT_NEIGHBORS,
    progress: Progress = no_progress,
) -> ForeignReading:
    """Return the reading that a published file holds, checked in full.

    Parameters
    ----------
    file : PublishedFile
        One of `published_files`.
    model, texts : str, optional
        Names, where those that the file's name says are not wanted.
    chat : bool, optional
        Whether texts stood in the chat template, where the name does not say it.
    keep : int
        Keep so many of the nearest neighbors, if there are as many.
    progress : Progress
        Told of texts read.

    Raises
    ------
    ParameterError
        If columns are missing or of another type, numbers of layers or neighbors differ, or ids are not
        those of other texts, each once; file, row and place (both from 1) and layer (0 is the
        embedding) are named.
    TextsError
        If texts are missing.

    References
    ----------
    Wolfram & Schein 2025, and their published neighbor sets.
    """
    if model is None or texts is None:
        named_model, named_texts, named_chat = published_name(file.name)
        model, texts = model or named_model, texts or named_texts
        chat = named_chat if chat is None else chat
    model, repository = catalogue_model(model)
    if keep < 1:
        raise ParameterError(f"keep must be at least 1 neighbor; got {keep}")
    table = PublishedTable(file.paths)
    ids: np.ndarray | None = None
    contents: list[str] = []
    truncated: list[bool] = []
    label = f"reading neighbors of {model} on {texts}"
    progress(label, 0, table.n_texts, "texts")
    for start, batch in table.batches():
        contents += batch.texts
        truncated += batch.at_max_length
        if ids is None:
            shape = (table.n_file_layers - 1, table.n_texts, min(keep, table.file_k))
            ids = np.empty(shape, dtype=np.int32)
        stop = start + len(batch.texts)
        ids[:, start:stop] = batch.knn[:, 1:, : ids.shape[2]].transpose(1, 0, 2)
        progress(label, stop, table.n_texts, "texts")
    assert ids is not None
    provenance = {
        "source": "published neighbors",
        "file": file.paths[0].name if len(file.paths) == 1 else file.name,
        "files": [
            {"name": path.name, "sha256": sha256_of(path), "size_bytes": path.stat().st_size}
            for path in file.paths
        ],
        "format": "Parquet of text, knn, at_max_length, as the paper's authors publish it",
        "n_truncated": sum(truncated) if truncated else None,
        "embedding_layer": "dropped",
        "k_in_file": table.file_k,
    }
    return ForeignReading(
        neighbors=Neighbors(
            ids=ids,
            similarities=np.broadcast_to(np.float32(np.nan), ids.shape),
            model=model,
            texts_digest=texts_digest(contents),
            provenance=provenance,
        ),
        texts=texts,
        options=ExtractionOptions(capture="final_norm", chat=bool(chat)),
        model_repository=repository,
        contents=contents,
        notes=() if truncated else (f"{file.name} does not say which texts were cut.",),
    )
