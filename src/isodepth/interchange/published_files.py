"""Which of the neighbor sets that the paper's authors published is in which file?

Model and text set stand in the name of a file, or, as the hub has them, of the folder of its shards:

    google__gemma-2-9b-it---web_text.parquet
    google__gemma-2-9b-it---chat---web_text.parquet                 in the chat template
    gemma-2-9b-it-with-chat-template---web_text/train-00000-of-00002.parquet       as the hub has them

Nothing in a name is used as a path.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from isodepth.errors import ParameterError, UnknownNameError, counted, listed
from isodepth.interchange.imported import catalogue_model
from isodepth.models import MODELS, HubWeights

PUBLISHED_SETS = {
    "book_translations_en": "books-en",
    "book_translations_de": "books-de",
}
"""Our names of the authors' text sets, where they differ by more than hyphens for underscores."""
CIPHERED = "_caesar"
CHAT_SUFFIX = "-with-chat-template"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>[0-9]{5})-of-(?P<total>[0-9]{5})\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """The file, or the shards of one file, that hold one reading.

    Parameters
    ----------
    name : str
        What says model and text set: the file's name without its ending, or the shards' folder's.
    paths : tuple of Path
        The shards, in order.
    """

    name: str
    paths: tuple[Path, ...]


def published_files(places: Sequence[Path]) -> tuple[PublishedFile, ...]:
    """Return the readings among files and folders, in order; folders are searched, also inner ones.

    Raises
    ------
    UnknownNameError
        If a place is not there, or a folder holds no Parquet file.
    ParameterError
        If shards of a file are missing.
    """
    found: dict[tuple[Path, str], list[Path]] = {}
    for place in places:
        if not place.exists():
            raise UnknownNameError(f"there is no file or folder {place}")
        inside = sorted(place.rglob("*.parquet")) if place.is_dir() else [place]
        if not inside:
            raise UnknownNameError(f"{place}: there is no .parquet file in this folder")
        for path in inside:
            shard = _SHARD.fullmatch(path.name)
            stem = path.stem if shard is None else shard["stem"]
            group = found.setdefault((path.parent, stem), [])
            if path not in group:
                group.append(path)
    files = []
    for (folder, stem), paths in found.items():
        shard = _SHARD.fullmatch(paths[0].name)
        if shard is not None:
            _refuse_missing_shards(folder, stem, paths, int(shard["total"]))
        in_folder = shard is not None and "---" not in stem
        name = folder.resolve().name if in_folder else stem
        files.append(PublishedFile(name=name, paths=tuple(paths)))
    return tuple(files)


def _refuse_missing_shards(folder: Path, stem: str, paths: Sequence[Path], total: int) -> None:
    expected = {f"{stem}-{number:05}-of-{total:05}.parquet" for number in range(total)}
    missing = sorted(expected - {path.name for path in paths})
    if missing:
        raise ParameterError(
            f"{folder}: expected {counted(total, 'shard')} of {stem}; missing {listed(missing)}",
            hint="name the folder, or all of its shards.",
        )


def published_name(name: str) -> tuple[str, str, bool]:
    """Return model, text set and whether in the chat template, as a published name says.

    Models go by the catalogue's name where their hub id is known there, text sets by ours.

    Raises
    ------
    ParameterError
        If the name is of another form.

    Examples
    --------
    >>> published_name("google__gemma-2-9b-it---chat---web_text_caesar")
    ('gemma-2-9b-it', 'caesar(web-text)', True)
    >>> published_name("owner__new---wikipedia")
    ('owner/new', 'wikipedia', False)
    """
    parts = name.split("---")
    is_chat = len(parts) == 3 and parts[1] == "chat"
    if not (len(parts) == 2 or is_chat) or not all(part.strip() for part in parts):
        raise ParameterError(
            f"the name {name[:120]!r} does not say model and text set: expected "
            "owner__model---set or owner__model---chat---set",
            hint="say it with --model, --texts and, where it was used, --chat.",
        )
    model = parts[0]
    if model.endswith(CHAT_SUFFIX):
        model, is_chat = model.removesuffix(CHAT_SUFFIX), True
    return _model_named(model), set_named(parts[-1]), is_chat


def _model_named(written: str) -> str:
    if "__" in written:
        return catalogue_model(written.replace("__", "/", 1))[0]
    without_owner = {
        entry.weights.repository.split("/")[1]: entry.name
        for entry in MODELS.values()
        if isinstance(entry.weights, HubWeights)
    }
    return without_owner.get(written, written)


def set_named(written: str) -> str:
    """Return our name of one of the authors' text sets."""
    if written.endswith(CIPHERED) and written != CIPHERED:
        return f"caesar({set_named(written.removesuffix(CIPHERED))})"
    return PUBLISHED_SETS.get(written, written.replace("_", "-"))
