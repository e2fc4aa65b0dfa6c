"""How does a reading that was made elsewhere enter the store, and what if one like it is there?

The same content again changes nothing. The same with more neighbors takes the place of the one with
fewer. Other neighbors for the same model, texts, options and metric are refused, unless they are said
to replace them.

>>> keep_reading(read_published_neighbors(file), store).standing                  # doctest: +SKIP
'new'

Memory: the new neighbors.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.errors import ParameterError, StoreError
from isodepth.interchange.imported import (
    IMPORT_VERSION,
    STAGE,
    TEXTS_FILE,
    TEXTS_STAGE,
    ImportedReading,
    checked_name,
    imported_readings,
)
from isodepth.models import MODELS
from isodepth.neighbors import Neighbors
from isodepth.neighbors.exact import check_metric
from isodepth.store import Store, content_key
from isodepth.texts import texts_digest

STANDINGS = {
    "new": "it was not there before",
    "known": "it was there already",
    "extended": "it was there with fewer neighbors, which agree",
    "replaced": "it took the place of another one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What an import did.

    Parameters
    ----------
    reading : ImportedReading
        What is in the store now.
    standing : str
        A key of `STANDINGS`.
    notes : tuple of str
        What to mind, in sentences.
    """

    reading: ImportedReading
    standing: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForeignReading:
    """A reading that was read from a file and is not in the store yet.

    Parameters
    ----------
    neighbors : Neighbors
        With the model's name and the digest of the texts; similarities may be NaN.
    texts : str
        The text set's name.
    options : ExtractionOptions
        What was captured.
    model_repository, model_digest : str, optional
        As in `ImportedReading`.
    contents : sequence of str, optional
        The texts themselves, where the file had them.
    notes : tuple of str
        What to mind.
    """

    neighbors: Neighbors
    texts: str
    options: ExtractionOptions
    model_repository: str | None = None
    model_digest: str | None = None
    contents: Sequence[str] | None = None
    notes: tuple[str, ...] = ()


def keep_reading(new: ForeignReading, store: Store, *, replaces: bool = False) -> Arrival:
    """Store a reading; return what is there now.

    Parameters
    ----------
    new : ForeignReading
        The reading.
    store : Store
        Where it goes.
    replaces : bool
        Let it take the place of another content for the same model, texts, options and metric.

    Raises
    ------
    ParameterError
        If there is another content, and `replaces` is False.
    """
    check_metric(new.neighbors.metric)
    reading = _described(new)
    identity = _identity(reading)
    with store.lock(STAGE, content_key(identity), waiting=lambda: None):
        others = [one for one in imported_readings(store) if _identity(one) == identity]
        standing, kept, outdated = _standing(reading, new.neighbors, others, store)
        if standing == "replaced" and not replaces:
            (other, *_) = outdated
            raise ParameterError(
                f"other neighbors of {reading.label} (capture {reading.options.capture}, pooling "
                f"{reading.options.pooling}, {reading.metric}) are in the store already: "
                f"(layers, texts, k) = {(other.n_layers, other.n_texts, other.k)} from "
                f"{other.provenance.get('file', 'an import')}, here "
                f"{(reading.n_layers, reading.n_texts, reading.k)} from "
                f"{reading.provenance.get('file', 'an array')}",
                hint="--replace puts these in their place; --model NAME keeps both.",
            )
        if kept is reading:
            _write(reading, new, store)
        for other in outdated:
            store.remove(STAGE, other.key)
    if new.contents is not None:
        _keep_texts(new, store)
    return Arrival(reading=kept, standing=standing, notes=(*new.notes, *_notes(kept, store)))


def _identity(reading: ImportedReading) -> dict[str, Any]:
    return {
        "version": IMPORT_VERSION,
        "model": reading.model,
        "texts": reading.texts_digest,
        "options": reading.options.as_dict(),
        "metric": reading.metric,
    }


def _described(new: ForeignReading) -> ImportedReading:
    found = new.neighbors
    assert found.texts_digest is not None
    reading = ImportedReading(
        key="",
        model=checked_name(found.model, "the model"),
        model_repository=new.model_repository,
        model_digest=new.model_digest,
        texts=checked_name(new.texts, "the text set"),
        texts_digest=found.texts_digest,
        options=new.options,
        metric=found.metric,
        k=found.k,
        n_layers=found.n_layers,
        n_texts=found.n_texts,
        provenance=dict(found.provenance),
    )
    ids = np.ascontiguousarray(found.ids, dtype="<i4")
    content = hashlib.sha256(f"{ids.shape}".encode() + ids.tobytes()).hexdigest()
    return replace(reading, key=content_key({**_identity(reading), "ids": content}))


def _standing(
    reading: ImportedReading, new: Neighbors, others: Sequence[ImportedReading], store: Store
) -> tuple[str, ImportedReading, list[ImportedReading]]:
    """Return a key of `STANDINGS`, the reading that stays, and those that go."""
    outdated: list[ImportedReading] = []
    standing = "new"
    for other in others:
        if other.key == reading.key and store.read(STAGE, other.key) is not None:
            return "known", other, []
        try:
            ids = other.neighbors(store).ids
        except StoreError:
            continue  # a damaged one has been set aside, with a warning
        k = min(other.k, reading.k)
        if ids.shape[:2] != new.ids.shape[:2] or not np.array_equal(ids[..., :k], new.ids[..., :k]):
            standing = "replaced"
        elif other.k >= reading.k:
            return "known", other, []
        elif standing == "new":
            standing = "extended"
        outdated.append(other)
    return standing, reading, outdated


def _write(reading: ImportedReading, new: ForeignReading, store: Store) -> None:
    arrays = {"ids": np.ascontiguousarray(new.neighbors.ids, dtype=np.int32)}
    if not np.isnan(new.neighbors.similarities).any():
        arrays["similarities"] = np.ascontiguousarray(new.neighbors.similarities, dtype=np.float32)
    store.write(
        STAGE,
        reading.key,
        arrays=arrays,
        manifest={
            "model": reading.model,
            "model_repository": reading.model_repository,
            "model_digest": reading.model_digest,
            "texts": reading.texts,
            "texts_digest": reading.texts_digest,
            "options": reading.options.as_dict(),
            "metric": reading.metric,
            "k": reading.k,
            "n_layers": reading.n_layers,
            "n_texts": reading.n_texts,
            "version": IMPORT_VERSION,
            "provenance": dict(reading.provenance),
        },
    )


def _keep_texts(new: ForeignReading, store: Store) -> None:
    assert new.contents is not None
    digest = texts_digest(new.contents)
    assert digest == new.neighbors.texts_digest
    if store.read(TEXTS_STAGE, digest) is not None:
        return
    data = json.dumps(list(new.contents), ensure_ascii=False).encode()
    store.write(
        TEXTS_STAGE,
        digest,
        arrays={},
        files={TEXTS_FILE: data},
        manifest={
            "texts": new.texts,
            "texts_digest": digest,
            "n_texts": len(new.contents),
            "file": new.neighbors.provenance.get("file"),
        },
    )


def _notes(reading: ImportedReading, store: Store) -> list[str]:
    """Return what does not fit what else is known: other texts of the same name, other layers."""
    notes = []
    namesakes = imported_readings(store, texts=reading.texts)
    strangers = [one.model for one in namesakes if one.texts_digest != reading.texts_digest]
    if strangers:
        notes.append(
            f"these are other texts of the name {reading.texts} than {strangers[0]} has read in this "
            "store, so the two cannot be compared."
        )
    entry = MODELS.get(reading.model)
    if entry is not None and entry.n_layers != reading.n_layers:
        notes.append(
            f"{reading.model} has {entry.n_layers} layers in the catalogue, and "
            f"{reading.n_layers} here."
        )
    return notes
