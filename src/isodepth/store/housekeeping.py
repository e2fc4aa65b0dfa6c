"""What is in a store, how large is it, and is every byte as it was written?

Listing reads manifests only; verifying reads everything. Only what has a name that a store gives is
looked at: the folder may be somebody's own, with other things in it.

>>> verify(open_store("s3://bucket/isodepth")).damages                               # doctest: +SKIP
()
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isodepth.atomic import storage_errors
from isodepth.progress import Progress, no_progress
from isodepth.store.artifacts import DAMAGED, KEY, UNFINISHED, Store
from isodepth.store.remote import RemoteStore
from isodepth.store.resumable import ArrayProgress, ResumableArray
from isodepth.store.sealing import damages

STAGE_AND_KEY = re.compile(rf"(?P<stage>[a-z-]+?)-(?P<key>{KEY.pattern})")
_RANDOM = "-[a-z0-9_]{8}"
SET_ASIDE = re.compile(STAGE_AND_KEY.pattern + _RANDOM)
BEING_WRITTEN = re.compile(
    rf"\.({KEY.pattern}|{STAGE_AND_KEY.pattern}|name){_RANDOM}|\.journal{_RANDOM}\.jsonl"
)
"""The hidden names under which `isodepth.atomic` writes what a store keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One artifact as its manifest describes it.

    Parameters
    ----------
    stage, key : str
        Its name.
    manifest : dict or None
        None where it cannot be read.
    size_bytes : int
        Of its data files.
    written_at : float or None
        In seconds since 1970; None where the file system does not say.
    """

    stage: str
    key: str
    manifest: dict[str, Any] | None
    size_bytes: int
    written_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedEntry:
    """One array under construction.

    Parameters
    ----------
    stage, key : str
        Of the artifact that it will be.
    manifest : dict or None
        What that one's will say; None where it is damaged.
    progress : ArrayProgress or None
        None where it is damaged.
    size_bytes : int
        On disk; what was not written yet takes nothing.
    touched_at : float
        When something in it was last written, in seconds since 1970.
    path : Path
        Its folder.
    """

    stage: str
    key: str
    manifest: dict[str, Any] | None
    progress: ArrayProgress | None
    size_bytes: int
    touched_at: float
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One damaged file.

    Parameters
    ----------
    stage, key : str
        What it belongs to.
    what : str
        What is wrong, with the file's path or address.
    aside : Path or None
        Where it is now, if it was set aside.
    """

    stage: str
    key: str
    what: str
    aside: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked, and what is damaged."""

    n_artifacts: int
    n_unfinished: int
    size_bytes: int
    damages: tuple[Damage, ...]


def entries(store: Store) -> list[Entry]:
    """Return the artifacts of a store, by stage and key; their data files are not read."""
    found = []
    for stage in store.stages():
        remote = store.remote_manifests(stage) if isinstance(store, RemoteStore) else {}
        for key in filter(KEY.fullmatch, store.keys(stage)):
            manifest = store.manifest(stage, key)
            folder = store.folder(stage, key)
            written_at = None
            if folder.is_dir():
                written_at = touched_at(folder)
            elif f"{key}.json" in remote:
                written_at = remote[f"{key}.json"].written_at
            found.append(
                Entry(
                    stage=stage,
                    key=key,
                    manifest=manifest,
                    size_bytes=_described_bytes(manifest) if manifest else bytes_on_disk(folder),
                    written_at=written_at,
                )
            )
    return found


def unfinished_entries(store: Store) -> list[UnfinishedEntry]:
    """Return the arrays under construction on this machine, by name."""
    folder = store.root / UNFINISHED
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = STAGE_AND_KEY.fullmatch(path.name)
        if name is None:
            continue
        found.append(
            UnfinishedEntry(
                stage=name["stage"],
                key=name["key"],
                manifest=ResumableArray.manifest_of(path),
                progress=ResumableArray.progress_of(path),
                size_bytes=bytes_on_disk(path),
                touched_at=touched_at(path),
                path=path,
            )
        )
    return found


def things_set_aside(store: Store) -> list[Path]:
    """Return the folders of damaged artifacts that were set aside."""
    folder = store.root / DAMAGED
    return sorted(path for path in folder.glob("*") if SET_ASIDE.fullmatch(path.name))


def leftovers(store: Store) -> list[Path]:
    """Return the hidden files and folders that are being written, or whose writer was killed."""
    root = store.root
    levels = [root.glob(".*"), root.glob("*/.*"), (root / UNFINISHED).glob("*/.*")]
    return sorted(path for level in levels for path in level if BEING_WRITTEN.fullmatch(path.name))


def verify(store: Store, *, set_aside: bool = False, progress: Progress = no_progress) -> Verification:
    """Return what is damaged in a store, after reading every byte of it.

    Parameters
    ----------
    store : Store
        Of a remote one, the objects and this machine's copies are read.
    set_aside : bool
        Move damaged artifacts out of the way, so that they are computed again. Arrays under
        construction stay: the next run reads their damaged texts again, and only those.
    progress : Progress
        Told how far it is.
    """
    artifacts, unfinished = entries(store), unfinished_entries(store)
    total = sum(entry.size_bytes for entry in artifacts)
    total += sum(array.size_bytes for array in unfinished)
    found: list[Damage] = []
    done = 0
    progress("checking the store", done, total, "bytes")
    for artifact in artifacts:
        found += _damages_of(store, artifact, set_aside=set_aside)
        done += artifact.size_bytes
        progress("checking the store", done, total, "bytes")
    for array in unfinished:
        problems = ResumableArray.damages(array.path)
        found += [Damage(stage=array.stage, key=array.key, what=what, aside=None) for what in problems]
        done += array.size_bytes
        progress("checking the store", done, total, "bytes")
    return Verification(
        n_artifacts=len(artifacts),
        n_unfinished=len(unfinished),
        size_bytes=total,
        damages=tuple(found),
    )


def _damages_of(store: Store, entry: Entry, *, set_aside: bool) -> Iterator[Damage]:
    folder = store.folder(entry.stage, entry.key)
    problems: list[str] = []
    with storage_errors(folder):
        if folder.is_dir():
            problems = damages(folder)
    if problems and folder.is_dir():  # not removed meanwhile
        aside = store.set_aside(entry.stage, entry.key) if set_aside else None
        for what in problems:
            yield Damage(stage=entry.stage, key=entry.key, what=what, aside=aside)
    if isinstance(store, RemoteStore):
        problems = store.remote_damages(entry.stage, entry.key)
        for what in problems:
            yield Damage(stage=entry.stage, key=entry.key, what=what, aside=None)
        if problems and set_aside:
            store.withdraw(entry.stage, entry.key)


def _described_bytes(manifest: dict[str, Any]) -> int:
    return sum(file["size_bytes"] for file in manifest["files"].values())


def older_versions(
    manifest: Mapping[str, Any], versions: Mapping[str, int], *, stage: str | None = None
) -> list[str]:
    """Return which stages of older code a result comes from, in words.

    Parameters
    ----------
    manifest : mapping
        The artifact's; under ``versions`` it names the stages that it went through.
    versions : mapping of str to int
        The present version of each stage.
    stage : str, optional
        The artifact's. If it has a version, and the manifest names none at all, the artifact is of
        older code, which did not write it down. Where it is left out, only what is written counts: the
        key may be the present one all the same, and then a run takes the artifact.
    """
    said = manifest.get("versions")
    if said is None:
        return [f"an unknown older version of {stage}"] if stage in versions else []
    return [
        f"version {version} of {stage}, now {versions[stage]}"
        for stage, version in said.items()
        if version < versions.get(stage, version)
    ]


def bytes_on_disk(path: Path) -> int:
    """Return what a file, or all files below a folder, take on disk; holes take nothing."""
    return sum(512 * status.st_blocks for status in _statuses(path))


def touched_at(path: Path) -> float:
    """Return when a folder or anything in it was last written, in seconds since 1970; 0 without it."""
    return max((status.st_mtime for status in _statuses(path)), default=0.0)


def _statuses(path: Path) -> Iterator[Any]:
    for member in (path, *path.rglob("*")):
        try:
            yield member.lstat()
        except FileNotFoundError:  # removed since it was listed
            continue
