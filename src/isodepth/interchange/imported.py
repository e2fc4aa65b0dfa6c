"""Where are readings kept that were made elsewhere, and which are there?

An imported reading is what one model saw in one text set, as neighbors that another tool computed. It
has no key of a model run here, so it is identified by what it says of itself: model, digest of the
texts, options, metric. For one such identity there is one content in the store; the key hashes both, so
results that were computed from a reading never stand for another one.

>>> [reading.model for reading in imported_readings(store, texts="web-text")]     # doctest: +SKIP
['gemma-2b', 'llama-3.2-1b']

Memory: manifests only, until `ImportedReading.neighbors` maps the arrays.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.errors import ParameterError, StoreError
from isodepth.models import MODELS, HubWeights
from isodepth.neighbors import Neighbors
from isodepth.sources import is_hub_id
from isodepth.store import Store
from isodepth.texts import TextSet

STAGE = "imported"
TEXTS_STAGE = "imported-texts"
TEXTS_FILE = "texts.json"
IMPORT_VERSION = 1
"""Raise it when the same files would give other readings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedReading:
    """What one model saw in one text set, made elsewhere; its neighbors are in the store.

    Parameters
    ----------
    key : str
        Its key in the store; hashes identity and content.
    model : str
        The model's name, as imported: that of the catalogue where its hub id is known there.
    model_repository : str or None
        Its hub id, where known.
    model_digest : str or None
        The identity of the weights, where known (from a neighbor bundle).
    texts : str
        The text set's name, as imported.
    texts_digest : str
        Its identity.
    options : ExtractionOptions
        What was captured, as the import was told.
    metric : str
        What "near" means.
    k : int
        Neighbors per text.
    n_layers, n_texts : int
        Layers (the embedding is none) and texts.
    provenance : mapping
        File, sum, format, what was dropped.
    """

    key: str
    model: str
    model_repository: str | None
    model_digest: str | None
    texts: str
    texts_digest: str
    options: ExtractionOptions
    metric: str
    k: int
    n_layers: int
    n_texts: int
    provenance: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def label(self) -> str:
        """Model and texts as people read them: "gemma-2b on web-text as chat"."""
        return f"{self.model} on {self.texts}" + (" as chat" if self.options.chat else "")

    def neighbors(self, store: Store) -> Neighbors:
        """Return its neighbors, verified; similarities are NaN where the file had none.

        Raises
        ------
        StoreError
            If they are not in the store, or damaged.
        """
        artifact = store.read(STAGE, self.key)
        if artifact is None:
            raise self._not_there(store)
        ids = artifact.arrays["ids"]
        similarities = artifact.arrays.get("similarities")
        if similarities is None:
            # one NaN that stands everywhere costs no memory
            similarities = np.broadcast_to(np.float32(np.nan), ids.shape)
        return Neighbors(
            ids=ids,
            similarities=similarities,
            metric=self.metric,
            model=self.model,
            texts_digest=self.texts_digest,
            provenance=dict(self.provenance),
        )

    def refuse_damaged(self, store: Store) -> None:
        """Raise `StoreError` unless its neighbors are in the store, whole; see `Store.is_whole`."""
        if not store.is_whole(STAGE, self.key):
            raise self._not_there(store)

    def _not_there(self, store: Store) -> StoreError:
        return StoreError(
            f"the imported neighbors of {self.label} are not in {store.place}, or were damaged",
            hint="import them again from the file that they came from"
            + (f", {self.provenance['file']}." if "file" in self.provenance else "."),
        )


def imported_readings(
    store: Store, *, model: str | None = None, texts: str | None = None
) -> tuple[ImportedReading, ...]:
    """Return the imported readings of a store, by texts, then model.

    Only manifests are read. A reading whose manifest is damaged is named in a `DamagedArtifactWarning`
    and set aside, so that the next import of its file stores it anew.

    Parameters
    ----------
    store : Store
        The store.
    model : str, optional
        A model's name or hub id.
    texts : str, optional
        A text set's name or digest.
    """
    found = [
        _from_manifest(key, manifest)
        for key in store.keys(STAGE)
        if (manifest := whole_manifest(store, STAGE, key)) is not None
    ]
    chosen = [
        reading
        for reading in found
        if model in (None, reading.model, reading.model_repository)
        and texts in (None, reading.texts, reading.texts_digest)
    ]
    return tuple(sorted(chosen, key=lambda one: (one.texts, one.model, str(one.options), one.key)))


def imported_neighbors(store: Store, key: str) -> Neighbors | None:
    """Return the neighbors of an imported reading by its key, verified; None where there are none.

    Damaged ones are told of, set aside, and as if they were not there.
    """
    artifact = store.read(STAGE, key)
    return None if artifact is None else _from_manifest(key, artifact.manifest).neighbors(store)


def whole_manifest(store: Store, stage: str, key: str) -> dict[str, Any] | None:
    """Return an artifact's manifest, or None; a damaged one is told of and set aside."""
    manifest = store.manifest(stage, key)
    if manifest is not None:
        return manifest
    artifact = store.read(stage, key)
    return None if artifact is None else artifact.manifest


def imported_texts(store: Store, digest: str) -> TextSet | None:
    """Return the texts that an import brought, by their digest; None where it brought none.

    Raises
    ------
    StoreError
        If what is stored are other texts.
    """
    artifact = store.read(TEXTS_STAGE, digest)
    if artifact is None:
        return None
    contents = json.loads((artifact.path / TEXTS_FILE).read_text(encoding="utf-8"))
    texts = TextSet.of_checked(
        contents,
        name=artifact.manifest["texts"],
        provenance={"source": "imported", "file": artifact.manifest["file"]},
    )
    if texts.digest != digest:
        raise StoreError(f"{artifact.path} holds texts of digest {texts.digest}; expected {digest}")
    return texts


def catalogue_model(name: str) -> tuple[str, str | None]:
    """Return the catalogue's name and the hub id of a model, by either; unknown names stay."""
    for entry in MODELS.values():
        if isinstance(entry.weights, HubWeights) and name in (entry.name, entry.weights.repository):
            return entry.name, entry.weights.repository
    return name, name if is_hub_id(name) else None


def checked_name(name: str, what: str) -> str:
    """Return a name that people will read in results; raise `ParameterError` where it is no such."""
    if not name or name != name.strip() or not name.isprintable() or len(name) > 300:
        raise ParameterError(
            f"{what} must have a name of 1 to 300 printable characters, with no white space at its "
            f"ends; got {name[:80]!r}"
        )
    return name


def _from_manifest(key: str, manifest: Mapping[str, Any]) -> ImportedReading:
    names = (field for field in ImportedReading.__slots__ if field not in ("key", "options"))
    return ImportedReading(
        key=key,
        options=ExtractionOptions(**manifest["options"]),
        **{name: manifest[name] for name in names},
    )
