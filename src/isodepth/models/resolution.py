"""Which model does a name mean? Answered without importing torch.

A name (without its options, see `isodepth.models.names`) is, in this order: a name of the catalogue;
the path of a GGUF file; the path of a local transformers folder or of a PEFT adapter; a hub id
"owner/name". The answer carries the model's identity (`digest`), which is all that a rerun from the
store needs.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isodepth.errors import (
    DownloadError,
    ModelError,
    ParameterError,
    UnknownNameError,
    listed,
    nearest_names,
)
from isodepth.models.catalogue import MODEL_GROUPS, MODELS
from isodepth.models.entries import CatalogueModel, GgufWeights
from isodepth.models.model import Model, refuse_changed
from isodepth.models.names import ModelName, model_name
from isodepth.models.options import LoadingOptions
from isodepth.notation import refuse_imported
from isodepth.sources import (
    existing_path,
    folder_digest,
    hub_revision,
    hub_snapshot,
    is_hub_id,
)
from isodepth.store.sums import file_digest

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """A model that has been found but not loaded.

    Parameters
    ----------
    kind : str
        "gguf" (of the catalogue or not), "folder", "hub", "memory" for a model object, or "unread".
    name : str
        What people call it, with adapter and number format; used as label.
    weights_digest : str
        The identity of the weights: "gguf:<sha256>", "folder:<sha256>", "hub:<id>@<commit>", or that of
        the model object.
    location : Path, optional
        Its file or folder on this machine; None for an offline model of the catalogue, and for a hub
        model that was found without fetching it.
    entry : CatalogueModel, optional
        Its entry, for a model of the catalogue.
    adapter : ModelSource, optional
        The PEFT adapter on it.
    options : LoadingOptions
        How it is to be loaded.
    model : Model, optional
        The model object, where it is in memory already.
    """

    kind: str
    name: str
    weights_digest: str
    location: Path | None = None
    entry: CatalogueModel | None = None
    adapter: "ModelSource | None" = None
    options: LoadingOptions = field(default_factory=LoadingOptions)
    model: Model | None = None

    @property
    def digest(self) -> str:
        """Its identity with all that changes its activations."""
        parts = [self.weights_digest]
        if self.adapter is not None:
            parts.append(f"adapter {self.adapter.weights_digest}")
        return " + ".join([*parts, *self.options.identity])


def resolve_model(
    name_or_path: str | Path | Model,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    options: LoadingOptions | None = None,
    fetch: bool = True,
) -> ModelSource:
    """Return where a model is and what identifies it.

    Parameters
    ----------
    name_or_path : str, Path or Model
        A catalogue name, a GGUF file, a transformers folder, a PEFT adapter, a hub id, with options as
        in "owner/name(dtype=bfloat16)"; or a model object.
    revision : str, optional
        Of a hub model: branch, tag or commit.
    adapter : str or Path, optional
        A PEFT adapter on it: a folder or a hub id.
    options : LoadingOptions, optional
        How to load it, where its name says nothing else.
    fetch : bool
        Fetch the files of a hub model; else only its commit is asked for, and its location is None.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name; the nearest names are given.
    ParameterError
        If its options cannot be used.
    ModelError
        If it is a folder or file that holds no model.
    DownloadError
        If it is a hub id and the hub cannot be reached.
    """
    loading = options or LoadingOptions()
    if isinstance(name_or_path, Model):
        refuse_changed(name_or_path)
        given = [what for what in (revision, adapter, options) if what is not None]
        if given:
            raise ParameterError(
                f"{name_or_path.name} is in memory already; revision, adapter and options belong to "
                "models that are loaded here"
            )
        digest = name_or_path.digest
        return ModelSource(
            kind="memory", name=name_or_path.name, weights_digest=digest, model=name_or_path
        )
    refuse_imported(name_or_path, "model")
    name = _taken_apart(name_or_path)
    said = name.options
    twice = [
        what
        for what, value in (("revision", revision), ("adapter", adapter))
        if value is not None and what in said
    ]
    if twice:
        raise ParameterError(f"{name_or_path}: {listed(twice)} given twice")
    revision = said.get("revision", revision)
    adapter = said.get("adapter", adapter)
    loading = replace(loading, **name.loading)  # type: ignore[arg-type]
    with_code = loading.trust_remote_code
    may_be_hub_id = isinstance(name_or_path, str)
    found = _found(
        name.name,
        revision=revision,
        with_code=with_code,
        may_be_hub_id=may_be_hub_id,
        fetch=fetch,
    )
    if _is_adapter(found.location):
        if adapter is not None:
            raise ModelError(f"{name.name} is an adapter itself, so it cannot carry {adapter}")
        found, on_it = _base_of(found, with_code=with_code, fetch=fetch), found
    elif adapter is not None:
        on_it = _found_adapter(adapter)
        if not _is_adapter(on_it.location):
            raise ModelError(
                f"{adapter} is not a PEFT adapter: it has no {ADAPTER_CONFIG}",
                hint="pass the folder that save_pretrained of a PEFT model wrote.",
            )
    else:
        on_it = None
    loading.refuse_adapter(on_it, name=name.name)
    label = model_label(found.name, None if on_it is None else on_it.name, loading)
    return replace(found, name=label, adapter=on_it, options=loading)


def unread_model(written: str, *, options: LoadingOptions | None = None) -> ModelSource:
    """Return a model with the name that `resolve_model` gives it, found or not; nothing is asked for.

    Its `weights_digest` is no identity of weights, but only of what is written. An adapter of the hub
    that stands alone is named as a model is: its base stands in its files.

    Parameters
    ----------
    written, options
        As in `resolve_model`.

    Raises
    ------
    ParameterError, ModelError
        If its options cannot be used, or it is the folder of an adapter that cannot be read.
    """
    name = _taken_apart(written)
    revision, adapter = name.options.get("revision"), name.options.get("adapter")
    loading = replace(options or LoadingOptions(), **name.loading)  # type: ignore[arg-type]
    base, on_it = name.name, adapter
    if _is_adapter(_place(base)):
        config = _read_json(Path(base).expanduser() / ADAPTER_CONFIG)
        base, on_it = str(config.get("base_model_name_or_path")), base
    loading.refuse_adapter(on_it, name=name.name)
    place = _place(base)
    carried = None if on_it is None else _unread_name(_taken_apart(on_it).name)
    return ModelSource(
        kind="unread",
        name=model_label(_unread_name(base), carried, loading),
        weights_digest=f"{name.name} at {revision} with {adapter}",
        location=None if place is None else place.resolve(),
        options=loading,
    )


def model_label(name: str, adapter: str | None, options: LoadingOptions) -> str:
    """Return what people call a model, with adapter and number format."""
    label = name if adapter is None else f"{name} + {adapter}"
    return f"{label} ({', '.join(options.differences)})" if options.differences else label


def _taken_apart(written: str | Path) -> ModelName:
    """Return a name with its options; files, folders and names of the catalogue have none."""
    if existing_path(written) is not None or str(written) in MODELS:
        return ModelName(name=str(written))
    return model_name(str(written))


def _unread_name(name: str) -> str:
    path = _place(name)
    if path is None:
        return name
    return _label(path.stem if path.is_file() else path.resolve().name)


def _place(name: str) -> Path | None:
    return None if name in MODELS else existing_path(name)


def _found_adapter(adapter: str | Path) -> ModelSource:
    """Return the adapter that a user named, on the hub perhaps at a revision."""
    if existing_path(adapter) is not None or isinstance(adapter, Path):
        return _found(str(adapter), revision=None, with_code=False, may_be_hub_id=False)
    written = model_name(adapter)
    if set(written.options) - {"revision"}:
        raise ParameterError(
            f"{adapter}: an adapter takes no options but its revision",
            hint="options belong to the model that carries it: MODEL(adapter=..., dtype=...).",
        )
    return _found(written.name, revision=written.options.get("revision"), with_code=False)


def _found(
    name: str,
    *,
    revision: str | None,
    with_code: bool,
    may_be_hub_id: bool = True,
    fetch: bool = True,
) -> ModelSource:
    """Return the model or adapter that a name without options means.

    An adapter is fetched in any case: what it belongs to stands in its files.
    """
    entry = MODELS.get(name)
    if entry is not None and isinstance(entry.weights, GgufWeights):
        _refuse_revision(revision, name)
        digest = f"gguf:{entry.weights.sha256}"
        return ModelSource(kind="gguf", name=name, weights_digest=digest, entry=entry)
    path = None if entry is not None else existing_path(name)
    if path is not None:
        _refuse_revision(revision, name)
        return _gguf_source(path) if path.is_file() else _folder_source(path, with_code=with_code)
    repository = name if entry is None else entry.weights.repository  # type: ignore[union-attr]
    if may_be_hub_id and is_hub_id(repository):
        folder: Path | None = None
        try:
            if not fetch:
                at = hub_revision(repository, revision=revision)
                commit, files = at.commit, at.files
            if fetch or ADAPTER_CONFIG in files:
                folder, commit = hub_snapshot(repository, revision=revision, with_code=with_code)
                files = tuple(path.name for path in folder.iterdir())
        except DownloadError as error:
            if entry is None or not entry.weights.is_gated:  # type: ignore[union-attr]
                raise
            raise DownloadError(
                error.message,
                hint=f"{name} is gated: ask for access on its page on the hub, then log in with 'hf "
                f"auth login'. {error.hint}",
            ) from error
        if folder is not None:
            _check_folder(folder, name)
        own_code = with_code and any(file.endswith(".py") and "/" not in file for file in files)
        digest = f"hub:{repository}@{commit}" + (" with its code" if own_code else "")
        return ModelSource(kind="hub", name=name, weights_digest=digest, location=folder, entry=entry)
    if name in MODEL_GROUPS:
        raise UnknownNameError(
            f"{name} is a group of {len(MODEL_GROUPS[name])} models; one model is wanted here",
            hint=f"'isodepth models show {name}' lists them.",
        )
    near = nearest_names(name, MODELS)
    shown = name if len(name) <= 80 else f"{name[:80]}..."
    raise UnknownNameError(
        f"no model is called {shown!r}: it is not in the catalogue, not a file or folder here, and not "
        'a hub id ("owner/name")',
        hint=f"did you mean {' or '.join(near)}?" if near else "'isodepth models' lists the models.",
    )


def _refuse_revision(revision: str | None, name: str) -> None:
    if revision is not None:
        raise ParameterError(f"{name} is no hub model, so it has no revision {revision!r}")


def _is_adapter(folder: Path | None) -> bool:
    return folder is not None and (folder / ADAPTER_CONFIG).is_file()


def _base_of(adapter: ModelSource, *, with_code: bool, fetch: bool) -> ModelSource:
    """Return the model that an adapter's configuration names as its base."""
    assert adapter.location is not None
    config = _read_json(adapter.location / ADAPTER_CONFIG)
    base, revision = config.get("base_model_name_or_path"), config.get("revision")
    hint = f"name the base yourself: BASE(adapter={adapter.location})."
    if not isinstance(base, str) or not base:
        raise ModelError(f"adapter {adapter.name} does not say which model it belongs to", hint=hint)
    is_on_hub = existing_path(base) is None and base not in MODELS
    try:
        revision = revision if is_on_hub else None
        found = _found(base, revision=revision, with_code=with_code, fetch=fetch)
    except UnknownNameError as error:
        raise ModelError(
            f"adapter {adapter.name} belongs to {base!r}, which is not a file or folder here and not a "
            "hub id",
            hint=hint,
        ) from error
    if _is_adapter(found.location):
        raise ModelError(f"adapter {adapter.name} belongs to {base!r}, an adapter itself", hint=hint)
    return found


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
        kind="gguf",
        name=_label(path.stem),
        weights_digest=f"gguf:{file_digest(path)}",
        location=path.resolve(),
    )


def _folder_source(path: Path, *, with_code: bool) -> ModelSource:
    _check_folder(path, str(path))
    digest = f"folder:{folder_digest(path, with_code=with_code)}"
    name = _label(path.resolve().name)
    return ModelSource(kind="folder", name=name, weights_digest=digest, location=path.resolve())


def _check_folder(folder: Path, shown: str) -> None:
    """Refuse a folder that is neither a model nor an adapter with safetensors weights."""
    others = [file for file in folder.glob("*.safetensors") if file.name != ADAPTER_WEIGHTS]
    if _is_adapter(folder) and (folder / "config.json").is_file() and others:
        raise ModelError(
            f"{shown} holds both a model (config.json) and an adapter ({ADAPTER_CONFIG})",
            hint="put one of them into a folder of its own.",
        )
    if _is_adapter(folder):
        _read_json(folder / ADAPTER_CONFIG)
        weights, save = ADAPTER_WEIGHTS, "adapter.save_pretrained(folder, safe_serialization=True)"
    elif (folder / "config.json").is_file():
        _read_json(folder / "config.json")
        weights, save = "*.safetensors", "model.save_pretrained(folder)"
    else:
        raise ModelError(
            f"{shown} is not a model folder: it has no config.json",
            hint="pass the folder that save_pretrained wrote: config.json, *.safetensors and the "
            "tokenizer's files.",
        )
    if not any(folder.glob(weights)):
        raise ModelError(
            f"{shown} has no {weights} weights",
            hint=f"isodepth reads no pickled weights (.bin, .pt); save it again with {save}. A hub "
            "model may have them at another revision.",
        )


def _read_json(path: Path) -> dict[str, Any]:
    """Return a configuration file's entries; refuse what is not valid JSON."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(read, dict):
        raise ModelError(f"{path} does not hold a configuration: expected an object")
    return read
