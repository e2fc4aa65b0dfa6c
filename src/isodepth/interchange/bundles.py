"""How can neighbors be shared without the texts? As small files of ids: neighbor bundles.

A bundle is a .safetensors file with one array ``ids`` (layers, texts, k), unsigned integers, and, as
JSON in the file's metadata under ``isodepth``, whose they are: model, digest of the texts, options,
metric. Texts, paths, names of machines and single tokens of texts are not in it. Who has the same texts
can compare models without running them.

>>> write_bundles(store, Path("bundles"), k=10)                                   # doctest: +SKIP
>>> keep_reading(read_bundle(path), store)                                        # doctest: +SKIP

Memory: one reading.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.affinity.mutual_knn import checked_ids
from isodepth.atomic import write_atomically
from isodepth.defaults import BUNDLED_NEIGHBORS
from isodepth.errors import IsodepthError, ParameterError, UnknownNameError, counted, first_line, listed
from isodepth.interchange.imported import STAGE, catalogue_model, imported_readings, whole_manifest
from isodepth.interchange.keeping import ForeignReading
from isodepth.interchange.sharing import (
    shared_model_name,
    shared_provenance,
    shared_texts_name,
)
from isodepth.neighbors import Neighbors
from isodepth.progress import Progress, no_progress
from isodepth.stages import STAGE_VERSIONS
from isodepth.store import Store, content_key
from isodepth.store.housekeeping import older_versions
from isodepth.store.sums import sha256_of

FORMAT = "isodepth neighbors"
FORMAT_VERSION = 1
ARRAY = "ids"
METADATA = "isodepth"
MOST_SLUG = 40
_ON_HUB = re.compile(r"hub:([^@]+)@")
NEIGHBORS = "neighbors"
UNNAMED = frozenset({"provenance", "versions", "format", "version"})
"""What of a description is not in the digest of a file's name: how it came about, not what it is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """One reading of a store as it is shared.

    Parameters
    ----------
    stage, key : str
        Where its neighbors are in the store.
    description : mapping
        What stands in the file's metadata, but for the numbers of layers, texts and neighbors.
    left_out : tuple of str
        What of its provenance is not shared.
    """

    stage: str
    key: str
    description: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenBundles:
    """What `write_bundles` wrote.

    Parameters
    ----------
    paths : tuple of Path
        The files.
    left_out : tuple of str
        What of the readings' provenance is not in them.
    notes : tuple of str
        What to mind.
    """

    paths: tuple[Path, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def write_bundles(
    store: Store,
    out: Path,
    *,
    model: str | None = None,
    texts: str | None = None,
    k: int = BUNDLED_NEIGHBORS,
    progress: Progress = no_progress,
) -> WrittenBundles:
    """Write a bundle of every reading in a store, computed here or imported; files are replaced.

    Parameters
    ----------
    store : Store
        Where the readings are.
    out : Path
        Folder for the files; their names are made of model, texts and a digest.
    model : str, optional
        Only readings of this model, by name or hub id.
    texts : str, optional
        Only readings of this text set, by name or digest.
    k : int
        So many of the nearest neighbors, where there are as many.
    progress : Progress
        Told of readings done.

    Raises
    ------
    ParameterError
        If `k` is below 1.
    UnknownNameError
        If there is no such reading.
    """
    if k < 1:
        raise ParameterError(f"k must be at least 1 neighbor; got {k}")
    every, n_older = _bundles(store, k)
    chosen = [one for one in every if _fits(one, model, texts)]
    older = f"{counted(n_older, 'reading')} by older versions of isodepth"
    if not chosen:
        wanted = [f"{what} {name}" for what, name in (("model", model), ("texts", texts)) if name]
        known = sorted({f"{one.description['model']} on {one.description['texts']}" for one in every})
        raise UnknownNameError(
            f"{store.place} holds no neighbors"
            + (f" of {' and '.join(wanted)}" if wanted else "")
            + (f"; left out: {older}" if n_older else ""),
            hint=f"it holds {listed(known)}."
            if known
            else "'isodepth compare' and 'run' compute them.",
        )
    paths: list[Path] = []
    left_out: dict[str, None] = {}
    notes = []
    if n_older:
        notes.append(f"left out: {older}.")
    progress("writing bundles", 0, len(chosen), "readings")
    for done, bundle in enumerate(chosen, 1):
        label = f"{bundle.description['model']} on {bundle.description['texts']}"
        artifact = store.read(bundle.stage, bundle.key)
        if artifact is None:
            notes.append(f"{label} is damaged and was left out.")
            continue
        ids = artifact.arrays["ids"][:, :, :k]
        if ids.shape[2] < k:
            notes.append(f"{label} has {ids.shape[2]} neighbors, fewer than {k}.")
        paths.append(_write(ids, bundle.description, out))
        left_out |= dict.fromkeys(bundle.left_out)
        progress("writing bundles", done, len(chosen), "readings")
    return WrittenBundles(paths=tuple(paths), left_out=tuple(left_out), notes=tuple(notes))


def read_bundle(path: Path, *, model: str | None = None, texts: str | None = None) -> ForeignReading:
    """Return the reading of a neighbor bundle, checked.

    Parameters
    ----------
    path : Path
        The bundle.
    model, texts : str, optional
        Names, where those that it says are not wanted: of two bundles of one name, say.

    Raises
    ------
    UnknownNameError
        If there is no such file.
    ParameterError
        If it is none, of a newer version, or its ids are not those of other texts, each once.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UnknownNameError(f"there is no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            names, metadata = list(file.keys()), file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in names if name == ARRAY}
    except (SafetensorError, OSError, TypeError) as error:
        raise ParameterError(f"{path}: not readable as safetensors: {first_line(error)}") from error
    said = _description(path, metadata)
    if names != [ARRAY] or arrays[ARRAY].dtype not in (np.uint16, np.uint32):
        raise ParameterError(
            f"{path}: expected one array {ARRAY!r} of uint16 or uint32; got "
            f"{listed([f'{name!r}' for name in names])}"
            + (f" of {arrays[ARRAY].dtype}" if ARRAY in arrays else "")
        )
    found = arrays[ARRAY]
    stated = tuple(said[name] for name in ("n_layers", "n_texts", "k"))
    if found.shape != stated:
        raise ParameterError(
            f"{path}: (layers, texts, k) = {stated} by its metadata; the ids have {found.shape}"
        )
    ids = checked_ids(found, str(path))
    name, repository = catalogue_model(said["model"])
    versions = {"versions": said["versions"]} if "versions" in said else {}
    return ForeignReading(
        neighbors=Neighbors(
            ids=ids,
            similarities=np.broadcast_to(np.float32(np.nan), ids.shape),
            metric=said["metric"],
            model=name if model is None else catalogue_model(model)[0],
            texts_digest=said["texts_digest"],
            provenance={
                "source": "neighbor bundle",
                "file": path.name,
                "files": [
                    {"name": path.name, "sha256": sha256_of(path), "size_bytes": path.stat().st_size}
                ],
                "bundle": said["provenance"],
                **versions,
            },
        ),
        texts=said["texts"] if texts is None else texts,
        options=said["options"],
        model_repository=said["model_repository"] or repository,
        model_digest=said["model_digest"],
    )


def _write(ids: np.ndarray, description: Mapping[str, Any], out: Path) -> Path:
    from safetensors.numpy import save

    n_layers, n_texts, k = ids.shape
    said = {**description, "n_layers": n_layers, "n_texts": n_texts, "k": k}
    stored = np.uint16 if n_texts <= 2**16 else np.uint32
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, allow_nan=False)
    data = save({ARRAY: np.ascontiguousarray(ids, dtype=stored)}, metadata={METADATA: text})
    slugs = [_slug(said["model"]), _slug(said["texts"]), *(["chat"] if said["options"]["chat"] else [])]
    fixed = {name: said[name] for name in said if name not in UNNAMED}
    # two readings may describe themselves alike, and never share a file
    content = content_key(fixed).encode() + np.ascontiguousarray(ids, dtype=stored).tobytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    path = out / f"{'-'.join(slugs)}-{digest}.safetensors"
    write_atomically(path, data)
    return path


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower())[:MOST_SLUG].strip("-") or "unnamed"


def _bundles(store: Store, k: int) -> tuple[list[Bundle], int]:
    """Return every reading of a store, and how many were left out, being of older code.

    Of several numbers of neighbors the fewest that are enough are taken.
    """
    found: list[Bundle] = []
    n_older = 0
    by_reading: dict[str, list[int]] = {}
    for key in store.keys(NEIGHBORS):
        reading, _, number = key.rpartition("-k")
        if reading and number.isdecimal():
            by_reading.setdefault(reading, []).append(int(number))
    for reading, numbers in by_reading.items():
        enough = [number for number in numbers if number >= k]
        key = f"{reading}-k{min(enough) if enough else max(numbers)}"
        manifest = whole_manifest(store, NEIGHBORS, key)
        if manifest is not None and older_versions(manifest, STAGE_VERSIONS, stage=NEIGHBORS):
            n_older += 1
        elif manifest is not None:
            on_hub = _ON_HUB.match(manifest["model_digest"])
            repository = on_hub.group(1) if on_hub else None
            found.append(_bundle(NEIGHBORS, key, {**manifest, "model_repository": repository}))
    for imported in imported_readings(store):
        manifest = store.manifest(STAGE, imported.key)
        if manifest is not None:
            found.append(_bundle(STAGE, imported.key, manifest))
    return found, n_older


def _bundle(stage: str, key: str, manifest: Mapping[str, Any]) -> Bundle:
    provenance = manifest["provenance"]
    versions = manifest.get("versions", provenance.get("versions"))
    provenance = provenance.get("bundle", provenance)
    shared, left_out = shared_provenance(provenance)
    return Bundle(
        stage=stage,
        key=key,
        description={
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "model": shared_model_name(manifest["model"]),
            "model_repository": manifest["model_repository"],
            "model_digest": manifest["model_digest"],
            "texts": shared_texts_name(manifest["texts"]),
            "texts_digest": manifest["texts_digest"],
            "options": manifest["options"],
            "metric": manifest["metric"],
            "provenance": shared,
            **({} if versions is None else {"versions": versions}),
        },
        left_out=left_out,
    )


def _fits(bundle: Bundle, model: str | None, texts: str | None) -> bool:
    said = bundle.description
    return model in (None, said["model"], said["model_repository"]) and texts in (
        *(None, said["texts"], said["texts_digest"]),
    )


def _description(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return what a bundle says of itself, of the types that it should have."""
    strings = {"model", "texts", "texts_digest", "metric"}
    types: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(strings, (str,)),
        **dict.fromkeys(("model_repository", "model_digest"), (str, type(None))),
        **dict.fromkeys(("n_layers", "n_texts", "k", "version"), (int,)),
        **dict.fromkeys(("options", "provenance"), (dict,)),
    }
    try:
        said = json.loads(metadata[METADATA])
        if said["format"] != FORMAT:
            raise ValueError(f"its format is {said['format']!r}")
        wrong = [name for name, kinds in types.items() if not isinstance(said[name], kinds)]
        if wrong:
            raise ValueError(f"{listed(wrong)} of another type than expected")
        versions = said.get("versions", {})
        if not isinstance(versions, dict) or not all(type(one) is int for one in versions.values()):
            raise ValueError("versions of another type than expected")
        if said["version"] > FORMAT_VERSION:
            raise ParameterError(
                f"{path} has version {said['version']} of the bundle format; this isodepth reads up to "
                f"{FORMAT_VERSION}",
                hint="update isodepth.",
            )
        return {**said, "options": ExtractionOptions(**said["options"])}
    except IsodepthError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else first_line(error)
        raise ParameterError(
            f"{path} is no neighbor bundle: {reason}",
            hint="'isodepth export neighbors' writes bundles; other activations and neighbors have "
            "their own 'isodepth import' command.",
        ) from error
