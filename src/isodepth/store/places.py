"""Where is a store, when it is named by a folder, an address, or not at all?"""

import hashlib
import os
from pathlib import Path

import platformdirs

from isodepth.cache import cache_directory
from isodepth.errors import ParameterError


def default_place() -> str | Path:
    """Return ``$ISODEPTH_STORE``, else a folder below the platform's data folder."""
    chosen = os.environ.get("ISODEPTH_STORE")
    if chosen:
        return chosen if is_address(chosen) else Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("isodepth")) / "store"


def default_store() -> Path:
    """Return ``$ISODEPTH_STORE`` where that is set, else the platform's data folder.

    Raises
    ------
    ParameterError
        If it is the address of a remote store.
    """
    return as_folder(default_place())


def is_address(place: str | Path) -> bool:
    """Return whether a place is named by an fsspec URL, as "s3://bucket/prefix", not by a path."""
    return isinstance(place, str) and "://" in place


def as_folder(place: str | Path) -> Path:
    """Return a place as the path of a folder.

    Raises
    ------
    ParameterError
        If it is the address of a remote store.
    """
    if is_address(place):
        raise ParameterError(
            f"{place} is no folder but the address of a remote store",
            hint="isodepth.store.open_store takes both.",
        )
    return Path(place).expanduser()


def mirror_folder(address: str) -> Path:
    """Return the folder in this machine's cache that holds copies of a remote store."""
    return cache_directory() / "stores" / hashlib.sha256(address.encode()).hexdigest()[:32]
