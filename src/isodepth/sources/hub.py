"""Models by hub id: the files of one revision, as a local folder.

Only safetensors, configuration and tokenizer files are fetched: no pickled weights, and no code unless
it is asked for.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from isodepth.atomic import storage_errors
from isodepth.errors import DownloadError, StoreError, first_line

WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt"]
UNWANTED = ["*/*", "consolidated*"]
"""Sub-folders, and the same weights once more in a form that transformers does not read."""


def hub_home() -> Path:
    """Return the folder in which the hub's library keeps its caches, without loading the library."""
    caches = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME", f"{caches}/huggingface")).expanduser()


def is_hub_model_here(repository: str) -> bool:
    """Return whether the hub's cache has a model's files at the commit of its default branch."""
    cache = Path(os.environ.get("HF_HUB_CACHE", hub_home() / "hub")).expanduser()
    folder = cache / f"models--{repository.replace('/', '--')}"
    try:
        commit = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
        files = folder / "snapshots" / commit
        return (files / "config.json").exists() and any(files.glob("*.safetensors"))
    except (OSError, ValueError):
        return False


def is_hub_id(name: str) -> bool:
    """Return whether `name` can be a hub id, "owner/name", by the hub's own rules."""
    if name.count("/") != 1 or not name.isascii():
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def hub_snapshot(
    repository: str, *, revision: str | None = None, with_code: bool = False
) -> tuple[Path, str]:
    """Return the folder with a hub model's files, and the commit that they are of.

    Parameters
    ----------
    repository : str
        The hub id, "owner/name".
    revision : str, optional
        A branch, tag or commit; the default branch where it is left out.
    with_code : bool
        Fetch the repository's Python files too. Nothing here runs them.

    Raises
    ------
    DownloadError
        If the hub cannot be reached and the files are not in the hub's cache, if there is no such
        model or revision, or if it is gated and no token is set.
    """
    import huggingface_hub

    with _hub_errors(repository, revision):
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            allow_patterns=[*WANTED, *(["*.py"] if with_code else [])],
            ignore_patterns=UNWANTED,
        )
    path = Path(folder)
    return path, path.name


@dataclass(frozen=True, slots=True, kw_only=True)
class HubRevision:
    """One revision of a hub model, of which nothing need be on this machine.

    Parameters
    ----------
    commit : str
        Its commit.
    files : tuple of str
        The names of its files.
    """

    commit: str
    files: tuple[str, ...]


def hub_revision(repository: str, *, revision: str | None = None) -> HubRevision:
    """Return which commit a hub model is at and what files it has, without fetching any.

    Where the hub is switched off or out of reach, the hub's cache on this machine answers.

    Parameters
    ----------
    repository : str
        The hub id, "owner/name".
    revision : str, optional
        A branch, tag or commit; the default branch where it is left out.

    Raises
    ------
    DownloadError
        As `hub_snapshot`.
    """
    import huggingface_hub
    from huggingface_hub import errors as hub_errors

    refusals = (
        hub_errors.HFValidationError,
        hub_errors.GatedRepoError,
        hub_errors.RepositoryNotFoundError,
        hub_errors.RevisionNotFoundError,
    )
    with _hub_errors(repository, revision):
        try:
            at = revision or huggingface_hub.constants.DEFAULT_REVISION
            found = huggingface_hub.HfApi().model_info(repository, revision=at)
        except refusals:
            raise
        except Exception:  # out of reach, in as many ways as the HTTP client has
            folder = _cached_snapshot(repository, revision)
            if folder is None:
                raise
            names = tuple(sorted(path.name for path in folder.iterdir()))
            return HubRevision(commit=folder.name, files=names)
    names = tuple(sibling.rfilename for sibling in found.siblings or ())
    return HubRevision(commit=str(found.sha), files=names)


def _cached_snapshot(repository: str, revision: str | None) -> Path | None:
    """Return the folder of a model in the hub's cache on this machine, or None."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=WANTED,
                ignore_patterns=UNWANTED,
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None


@contextlib.contextmanager
def _hub_errors(repository: str, revision: str | None) -> Iterator[None]:
    """Turn what the hub's library raises into errors that say what to do."""
    from huggingface_hub import constants
    from huggingface_hub import errors as hub_errors

    at = f"{repository}@{revision}" if revision else repository
    local = "or pass the path of a local transformers folder or GGUF file instead of the hub id."
    try:
        with storage_errors(Path(constants.HF_HUB_CACHE)):
            yield
    except StoreError as error:
        raise StoreError(
            error.message, hint=f"the hub's cache is where HF_HOME says; {error.hint}"
        ) from error
    except hub_errors.HFValidationError as error:
        raise DownloadError(
            f"{at} is not a hub id: {first_line(error)}", hint=f"check the spelling, {local}"
        ) from error
    except hub_errors.GatedRepoError as error:
        raise DownloadError(
            f"hub model {at} is gated: {first_line(error)}",
            hint=f"ask for access on the model's page, then log in with 'hf auth login'; {local}",
        ) from error
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError) as error:
        raise DownloadError(
            f"hub model {at} was not found (or is private): {first_line(error)}",
            hint=f"check the spelling and the revision; {local}",
        ) from error
    except Exception as error:
        # the hub's own errors, the operating system's, and those of the HTTP client beneath it, whose
        # package changes with the hub client's version
        switched_off = " (switched off by HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else ""
        raise DownloadError(
            f"hub model {at} could not be fetched: tried the hub's cache on this machine and then "
            f"{constants.ENDPOINT}{switched_off}: {first_line(error)}",
            hint=f"connect to the network (and unset HF_HUB_OFFLINE), {local}",
        ) from error
