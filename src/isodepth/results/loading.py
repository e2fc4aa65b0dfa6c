"""How are results read? Every file against its sum, and all that is wrong is told at once.

Memory: matrices are memory maps of their files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import measure_here
from isodepth.errors import StoreError, UnknownNameError, listed
from isodepth.results.files import (
    FACTS,
    FILE_NAME,
    FORMAT,
    FORMAT_VERSION,
    LATER_FACTS,
    MANIFEST,
    READERS,
)
from isodepth.results.study import MatrixKind, StudyResults, TextSetResults
from isodepth.store.safetensors_files import mapped_arrays
from isodepth.store.sums import sha256_of


def load_results(path: Path | str) -> StudyResults:
    """Return the results that a study wrote; neither store nor models are needed.

    Parameters
    ----------
    path : Path or str
        The results folder, or one of its .safetensors files.

    Raises
    ------
    UnknownNameError
        If there are no results.
    StoreError
        If a file is damaged or missing; all such files are named.
    """
    place = Path(path).expanduser()
    if place.suffix == ".safetensors" and not place.is_dir():
        if not place.is_file():
            raise UnknownNameError(f"there is no file {place}")
        results = _loaded_set(place)
        return StudyResults(name=results.name, sets={results.name: results})
    manifest_path = place / MANIFEST
    if not manifest_path.is_file():
        raise UnknownNameError(
            f"{place} holds no results: there is no {MANIFEST}",
            hint="pass the folder that 'isodepth run' wrote.",
        )
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}")
        _refuse_newer(manifest_path, manifest["version"])
        odd = [name for name in manifest["files"] if not FILE_NAME.fullmatch(name)]
        if odd:
            raise ValueError(f"{listed(odd)} cannot be names of its files")
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
        set_names = [str(entry["set"]) for entry in manifest["files"].values()]
        study_name = str(manifest["name"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{manifest_path} cannot be read as a results manifest: {error}") from error
    found = [_problem(place / name, sha256) for name, sha256 in files.items()]
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise StoreError(
            f"damaged results: {'; '.join(problems)}",
            hint="run the study again: it writes them anew from the store.",
        )
    loaded = [_loaded_set(place / name) for name in files if name.endswith(".safetensors")]
    by_name = {results.name: results for results in loaded}
    ordered = {name: by_name[name] for name in dict.fromkeys(set_names) if name in by_name}
    return StudyResults(name=study_name, sets=ordered, manifest=manifest)


def _refuse_newer(path: Path, version: object) -> None:
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has version {version!r} of the results format; this isodepth reads up to "
            f"{FORMAT_VERSION}",
            hint="update isodepth.",
        )


def _problem(path: Path, sha256: str) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    found = sha256_of(path)
    return None if found == sha256 else f"{path} has sha256 {found}, the manifest says {sha256}"


def _later_facts(entry: Mapping[str, Any], kind: MatrixKind) -> dict[str, Any]:
    """Return what older files lack: all is by cosine there, and as activations are."""
    said = {name: entry[name] for name in LATER_FACTS if name in entry}
    if "metric" not in said:
        measure = measure_here(kind.measure)
        reads_neighbors = measure is None or measure.reads == "neighbors"
        said["metric"] = "cosine" if reads_neighbors else None
    return said


def _loaded_set(path: Path) -> TextSetResults:
    try:
        arrays = mapped_arrays(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            labels = json.loads(file.metadata()["isodepth"])
        _refuse_newer(path, labels["version"])
        matrices = {}
        for entry in labels["matrices"]:
            kind = MatrixKind(*entry["kind"])
            said: dict[str, Any] = {name: tuple(entry[name]) for name in READERS}
            said |= {name: entry[name] for name in FACTS}
            said |= _later_facts(entry, kind)
            matrices[kind] = AffinityMatrices(
                values=arrays[kind.array], measure=kind.measure, k=kind.k, **said
            )
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise StoreError(f"{path} cannot be read as results: {error}") from error
    return TextSetResults(
        name=str(labels["name"]), matrices=matrices, description=labels["description"]
    )
