"""Which model does a name mean? Answered without importing torch.

A name is, in this order: a name of the catalogue; the path of a GGUF file; the path of a local
transformers folder; a hub id "owner/name". The answer carries the model's identity (`digest`), which
is all that a rerun from the store needs.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from isodepth.errors import ModelError, UnknownNameError, listed, nearest_names
from isodepth.models.catalogue import MODELS, CatalogueModel
from isodepth.sources import existing_path, file_digest, folder_digest, hub_snapshot, is_hub_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that has been found but not loaded.

    Parameters
    ----------
    kind : str
        "catalogue", "gguf", "folder" or "hub".
    name : str
        What people call it; used as label.
    digest : str
        Its identity: "gguf:<sha256>", "folder:<sha256>" or "hub:<id>@<commit>".
    location : Path, optional
        Its file or folder on this machine; None for a catalogue model.
    entry : CatalogueModel, optional
        Its entry, for a catalogue model.
    """

    kind: str
    name: str
    digest: str
    location: Path | None = None
    entry: CatalogueModel | None = None


def resolve_model(name_or_path: str | Path, *, revision: str | None = None) -> ModelSource:
    """Return where a model is and what identifies it.

    Parameters
    ----------
    name_or_path : str or Path
        A catalogue name, a GGUF file, a transformers folder, or a hub id.
    revision : str, optional
        Of a hub model: branch, tag or commit.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name; the nearest names are given.
    ModelError
        If it is a folder or file that holds no model.
    DownloadError
        If it is a hub id and the hub cannot be reached.
    """
    name = str(name_or_path)
    entry = MODELS.get(name)
    if entry is not None:
        digest = f"gguf:{entry.gguf_sha256}"
        return ModelSource(kind="catalogue", name=name, digest=digest, entry=entry)
    path = existing_path(name_or_path)
    if path is not None:
        return _gguf_source(path) if path.is_file() else _folder_source(path)
    if isinstance(name_or_path, str) and is_hub_id(name):
        folder, commit = hub_snapshot(name, revision=revision)
        _check_folder(folder, name)
        return ModelSource(kind="hub", name=name, digest=f"hub:{name}@{commit}", location=folder)
    near = nearest_names(name, MODELS)
    shown = name if len(name) <= 80 else f"{name[:80]}..."
    raise UnknownNameError(
        f"no model is called {shown!r}: it is not in the catalogue ({listed(list(MODELS))}), not a "
        'file or folder here, and not a hub id ("owner/name")',
        hint=f"did you mean {' or '.join(near)}?" if near else "'isodepth models' lists the models.",
    )


def _label(name: str) -> str:
    """Return a file's name as text that can be shown, whatever bytes it has."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _gguf_source(path: Path) -> ModelSource:
    with path.open("rb") as file:
        magic = file.read(4)
    if magic != b"GGUF":
        raise ModelError(
            f"{path} is not a model: expected a GGUF file (it begins with 'GGUF'), found {magic!r}",
            hint="pass a .gguf file, or the folder that holds config.json and the weights.",
        )
    return ModelSource(
        kind="gguf", name=_label(path.stem), digest=f"gguf:{file_digest(path)}", location=path.resolve()
    )


def _folder_source(path: Path) -> ModelSource:
    _check_folder(path, str(path))
    digest = f"folder:{folder_digest(path)}"
    name = _label(path.resolve().name)
    return ModelSource(kind="folder", name=name, digest=digest, location=path.resolve())


def _check_folder(folder: Path, shown: str) -> None:
    """Refuse a folder without a configuration or without safetensors weights."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            f"{shown} is not a model folder: it has no config.json",
            hint="pass the folder that save_pretrained wrote: config.json, *.safetensors and the "
            "tokenizer's files.",
        )
    try:
        json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{config} is not valid JSON: {error}") from error
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{shown} has no *.safetensors weights",
            hint="isodepth reads no pickled weights (.bin, .pt); save the model again with "
            "model.save_pretrained(folder).",
        )
