"""Which models does a study read, how, and what does each ask of a cluster?"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from isodepth.errors import ParameterError, listed, nearest_names
from isodepth.models.catalogue import MODEL_GROUPS, MODELS
from isodepth.models.entries import HubWeights
from isodepth.models.names import model_name
from isodepth.models.options import ATTENTIONS, DEVICE_MAPS, DTYPES, QUANTIZATIONS, LoadingOptions
from isodepth.notation import imported_name, refuse_imported
from isodepth.sources import is_hub_id
from isodepth.study.names import as_argument, is_relative, known_name, no_such, path_named
from isodepth.study.problems import Place, Problems
from isodepth.study.schema import NeighborsTaskTable, StudyTable, TaskTable
from isodepth.study.study import Resources

LOADING_CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": DTYPES,
    "quantization": QUANTIZATIONS,
    "attention": ATTENTIONS,
    "device_map": DEVICE_MAPS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedModel:
    """What a model's name means.

    Parameters
    ----------
    resolved : str
        The name with absolute paths.
    identity : tuple of str
        The same for two spellings of one model.
    """

    resolved: str
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyModels:
    """The models of a study.

    Parameters
    ----------
    entries : mapping
        What each entry of the list stands for: models of the study, by their resolved names.
    written : mapping
        From a resolved name to what was written, where these differ.
    """

    entries: Mapping[str, tuple[str, ...]]
    written: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        return tuple(dict.fromkeys(one for names in self.entries.values() for one in names))

    def meant(self, name: str) -> tuple[str, ...]:
        """Return the models of the study that a name or a group stands for."""
        if name in self.entries:
            return self.entries[name]
        return tuple(one for one in MODEL_GROUPS.get(name, (name,)) if one in self.names)


def study_models(
    table: StudyTable, problems: Problems, *, folder: Path, loading: LoadingOptions
) -> StudyModels:
    """Return the models of a study, and note those that cannot be read or stand there twice."""
    if not table.models and not problems.among("models"):
        problems.add_missing("models", 'say which models are read: models = ["offline"]')
    entries: dict[str, tuple[str, ...]] = {}
    written: dict[str, str] = {}
    places: dict[str, int] = {}
    seen: dict[tuple[str, ...], tuple[int, str]] = {}
    labels: dict[str, tuple[int, str]] = {}
    for at, name in table.models.items():
        place: Place = ("models", at)
        if places.setdefault(name, at) != at:
            problems.add(place, f"it stands in models[{places[name]}] already")
            continue
        found: list[str] = []
        for member in MODEL_GROUPS.get(name, (name,)):
            model = problems.noted(place, member, partial(model_named, member, folder, loading))
            if model is None:
                continue
            first, other = seen.setdefault(model.identity, (at, member))
            if other != member:
                what = "it" if member == name else f"its {member}"
                problems.add(place, f"{what} stands in models[{first}] already, as {other}")
            first, other = labels.setdefault(imported_name(member) or member, (at, member))
            if imported_name(other) != imported_name(member):
                problems.add(place, f"results would call it as they call models[{first}], {other}")
            found.append(model.resolved)
            if model.resolved != member:
                written[model.resolved] = member
        entries[name] = tuple(found)
    return StudyModels(entries=entries, written=written)


def chat_models(table: StudyTable, models: StudyModels, problems: Problems) -> tuple[str, ...]:
    """Return the models that also read texts as a user's turn, and note those not of the study."""
    places: dict[str, int] = {}
    found: dict[str, None] = {}
    for at, name in table.also_as_chat.items():
        if places.setdefault(name, at) != at:
            problems.add(("also_as_chat", at), f"it stands in also_as_chat[{places[name]}] already")
        meant = models.meant(name)
        if not meant:
            _note_stranger(("also_as_chat", at), name, models, problems)
        found |= dict.fromkeys(meant)
    return tuple(found)


def model_resources(
    table: StudyTable, models: StudyModels, default: Resources, problems: Problems
) -> dict[str, Resources]:
    """Return what models with a table of their own ask for, and note those not of the study."""
    found: dict[str, Resources] = {}
    for name, wanted in table.resources.models.items():
        place: Place = ("resources", "models", name)
        meant = models.meant(name)
        if problems.among(*place):
            continue
        if name in MODEL_GROUPS:
            problems.add(place, "it is a group; write a table for each of its models")
        elif not meant:
            _note_stranger(place, name, models, problems)
        else:
            found[meant[0]] = task_resources(wanted, default)
    return found


def task_resources(table: TaskTable | NeighborsTaskTable, default: Resources) -> Resources:
    """Return what a table asks for, and the default where it says nothing."""
    said = table.model_dump(include={"cpus", "gpus", "memory_gb"}, exclude_none=True)
    return Resources(**(asdict(default) | said))


def _note_stranger(place: Place, name: str, models: StudyModels, problems: Problems) -> None:
    if problems.among("models"):  # it may be the entry that could not be read
        return
    known = [models.written.get(one, one) for one in models.names]
    near = nearest_names(name, known)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    problems.add(place, f"it is not among the models of the study: {listed(known)}{meant}")


def model_named(written: str, folder: Path, loading: LoadingOptions) -> NamedModel:
    """Return what a model's name means, options included.

    Parameters
    ----------
    written : str
        A name, and no group. That of imported readings, imported(NAME), is looked up nowhere.
    folder : Path
        Where paths that begin with ./ are looked up.
    loading : LoadingOptions
        How models are loaded whose names do not say otherwise.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name.
    ParameterError
        If its options cannot be used.
    """
    imported = imported_name(written)
    if imported is not None:
        return NamedModel(resolved=written, identity=("imported", imported))
    whole = None if written in MODELS else path_named(written, folder)
    if whole is not None:
        return NamedModel(resolved=str(whole), identity=(str(whole.resolve()),))
    said = model_name(written)
    options = dict(said.options)
    if said.name in MODEL_GROUPS:
        raise ParameterError(
            f"{said.name} is a group, which takes no options",
            hint="what holds for all models stands in [loading]",
        )
    base, identity, is_on_hub = _base(said.name, folder)
    if "revision" in options and not is_on_hub:
        raise ParameterError(f"{said.name} is no hub model, so it has no revision")
    for key in LOADING_CHOICES.keys() & options.keys():
        known_name(options[key], LOADING_CHOICES[key], what=key)
    effective = replace(loading, **said.loading)  # type: ignore[arg-type]
    if "adapter" in options:
        options["adapter"] = _adapter(options["adapter"], folder)
    carried = [f"{key}={options[key]}" for key in ("adapter", "revision") if key in options]
    is_changed = (base, options) != (said.name, said.options)
    inside = ", ".join(f"{key}={as_argument(value)}" for key, value in options.items())
    rebuilt = f"{base}({inside})" if inside else base
    again = model_name(rebuilt) if is_changed and inside else None
    if again is not None and (again.name, again.options) != (base, options):
        raise ParameterError(
            f"parentheses in the path {base} read as options", hint="rename the folder"
        )
    return NamedModel(
        resolved=rebuilt if is_changed else written,
        identity=(identity, *carried, *effective.differences),
    )


def _base(name: str, folder: Path) -> tuple[str, str, bool]:
    """Return a name with its path made absolute, what identifies it, and whether it is on the hub."""
    entry = MODELS.get(name)
    if entry is not None and isinstance(entry.weights, HubWeights):
        return name, entry.weights.repository, True
    if entry is not None:
        return name, name, False
    path = path_named(name, folder)
    if path is not None:
        return str(path), str(path.resolve()), False
    if not is_relative(name) and is_hub_id(name):
        return name, name, True
    raise no_such(
        name,
        folder,
        "there is no such model: expected a name of the catalogue, a group "
        f'({listed([*MODEL_GROUPS])}), a file or folder, or a hub id "owner/name"',
        [*MODELS, *MODEL_GROUPS],
    )


def _adapter(name: str, folder: Path) -> str:
    refuse_imported(name, "adapter")
    path = path_named(name, folder)
    if path is not None:
        return str(path)
    if is_relative(name) or not is_hub_id(model_name(name).name):
        raise no_such(
            name, folder, f'there is no adapter {name}: expected a folder or a hub id "owner/name"', []
        )
    return name
