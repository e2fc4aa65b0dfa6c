"""Models by hub id: the files of one revision, as a local folder.

Only safetensors, configuration and tokenizer files are fetched: no pickled weights, no code.
"""

import re
from pathlib import Path

from isodepth.errors import DownloadError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*")
WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model", "*.txt"]


def is_hub_id(name: str) -> bool:
    """Return whether `name` has the form of a hub id, "owner/name"."""
    return HUB_ID.fullmatch(name) is not None


def hub_snapshot(repository: str, *, revision: str | None = None) -> tuple[Path, str]:
    """Return the folder with a hub model's files, and the commit that they are of.

    Parameters
    ----------
    repository : str
        The hub id, "owner/name".
    revision : str, optional
        A branch, tag or commit; the default branch where it is left out.

    Raises
    ------
    DownloadError
        If the hub cannot be reached and the files are not in the hub's cache, if there is no such
        model or revision, or if it is gated and no token is set.
    """
    import huggingface_hub
    from huggingface_hub import errors as hub_errors

    at = f"{repository}@{revision}" if revision else repository
    local = "or pass the path of a local transformers folder or GGUF file instead of the hub id."
    try:
        folder = huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=WANTED)
    except hub_errors.GatedRepoError as error:
        raise DownloadError(
            f"hub model {at} is gated: {_first_line(error)}",
            hint=f"ask for access on the model's page, then log in with 'hf auth login'; {local}",
        ) from error
    except (hub_errors.RepositoryNotFoundError, hub_errors.RevisionNotFoundError) as error:
        raise DownloadError(
            f"hub model {at} was not found (or is private): {_first_line(error)}",
            hint=f"check the spelling and the revision; {local}",
        ) from error
    except (hub_errors.HfHubHTTPError, hub_errors.LocalEntryNotFoundError, OSError) as error:
        raise DownloadError(
            f"hub model {at} could not be fetched: tried the hub's cache on this machine and then "
            f"{huggingface_hub.constants.ENDPOINT}"
            f"{' (switched off by HF_HUB_OFFLINE)' if _offline() else ''}: {_first_line(error)}",
            hint=f"connect to the network (and unset HF_HUB_OFFLINE), {local}",
        ) from error
    path = Path(folder)
    return path, path.name


def _offline() -> bool:
    import huggingface_hub

    return bool(huggingface_hub.constants.HF_HUB_OFFLINE)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
