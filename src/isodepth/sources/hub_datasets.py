"""Hub data sets, or folders laid out like one: one split as a table on disk, read by row.

The `datasets` library fetches, caches and memory-maps; nothing here holds a data set in memory. Data
sets that need code or pickles to be read are refused.
"""

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isodepth.atomic import storage_errors
from isodepth.errors import DownloadError, TextsError, first_line, listed, nearest_names
from isodepth.progress import Progress, no_progress
from isodepth.sources.downloads import POLL_SECONDS, bytes_below
from isodepth.sources.hub import hub_home

READABLE = ("parquet", "json", "csv", "text", "arrow", "cache")
"""The kinds of data files that are read; "cache" is what was read before. None runs foreign code."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HubDataset:
    """One split of a data set, its rows on disk.

    Parameters
    ----------
    repository : str
        The hub id, or the folder's path.
    config, split : str
        Which part of it.
    commit : str or None
        The commit that was read; None for a folder.
    table : datasets.Dataset
        The rows.
    """

    repository: str
    config: str
    split: str
    commit: str | None
    table: Any

    def __len__(self) -> int:
        return len(self.table)

    @property
    def columns(self) -> list[str]:
        """The columns that can be named: of nested ones "outer.inner" too."""
        names: list[str] = []
        for name, feature in self.table.features.items():
            names.append(name)
            languages = feature.languages if type(feature).__name__ == "Translation" else []
            inner = list(feature) if isinstance(feature, dict) else languages
            names.extend(f"{name}.{part}" for part in inner)
        return names

    def take(self, rows: Sequence[int], column: str) -> list[Any]:
        """Return the values of a column in some rows; "outer.inner" reaches into a nested one."""
        features = self.table.features
        inner = None
        outer = column
        if column not in features:
            outer = next(name for name in features if column.startswith(f"{name}."))
            inner = column.removeprefix(f"{outer}.")
        values: list[Any] = self.table.select_columns([outer])[list(rows)][outer]
        return values if inner is None else [value and value.get(inner) for value in values]


def hub_dataset(
    repository: str,
    *,
    config: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    progress: Progress = no_progress,
) -> HubDataset:
    """Return one split of a hub data set, fetching it if the hub's cache on this machine lacks it.

    Parameters
    ----------
    repository : str
        The hub id "owner/name", or the path of a folder, which begins with "." or "/" or "~".
    config : str, optional
        The configuration ("subset"); may be left out where there is one, or a default.
    split : str, optional
        The split, also a slice such as "test[:100]"; may be left out where there is one.
    revision : str, optional
        A branch, tag or commit; the default branch where it is left out.
    progress : Progress
        Told when fetching begins and ends.

    Raises
    ------
    DownloadError
        If it cannot be fetched and is not in the cache, or not in the wanted revision.
    TextsError
        If there is no such configuration or split, or its files are of a kind that is not read.
    """
    import datasets

    at = f"{repository}@{revision}" if revision else repository
    is_folder = repository.startswith((".", "/", "~"))
    path = str(Path(repository).expanduser().resolve()) if is_folder else repository
    if not is_folder and repository.count("/") != 1:
        raise TextsError(f"hf:{repository}: expected a hub id, owner/name, or a folder, ./name")
    if is_folder and not Path(path).is_dir():
        raise TextsError(f"hf:{repository}: there is no such folder")
    if is_folder and revision:
        raise TextsError(f"hf:{at}: a folder has no revisions")
    if not is_folder and Path(repository).exists():
        raise TextsError(
            f"hf:{repository} may mean the hub or the folder {repository} in the working folder",
            hint=f"write hf:./{repository} for the folder, or work from another folder.",
        )
    label = f"fetching hub data set {at}"
    progress(label, 0, 1, "steps")
    with _quiet_datasets(), _own_errors(at, is_folder):
        builder = datasets.load_dataset_builder(path, name=config, revision=revision)
        if type(builder).__module__.endswith(".cache"):
            builder = _cached_builder(builder, repository, revision)
        kind = type(builder).__module__.split(".")[-1]
        if kind not in READABLE:
            raise TextsError(
                f"hf:{at}: its files are read as {kind!r}; isodepth reads {listed(READABLE[:-1])}",
                hint="convert the texts to Parquet or JSON lines.",
            )
        with _growth_told(None if is_folder else repository, builder, label, progress):
            builder.download_and_prepare()
        splits = list(builder.info.splits or {})
        chosen = _split(at, splits, split)
        table = builder.as_dataset(split=chosen)
    progress(label, 1, 1, "steps")
    return HubDataset(
        repository=repository,
        config=str(builder.config.name),
        split=chosen,
        commit=None if is_folder else str(builder.hash),
        table=table,
    )


def _hub_folder(repository: str) -> Path:
    """Return where the hub's own cache keeps what was fetched of a data set."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"datasets--{repository.replace('/', '--')}"


def _cached_builder(builder: Any, repository: str, revision: str | None) -> Any:
    """Return the builder of the wanted commit, where the library offers the latest one in its cache.

    It does so when the hub cannot be reached, whatever revision was asked for. Which commit a branch or
    tag was, when it was last fetched, stands in the hub's own cache.
    """
    wanted = revision
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        refs = _hub_folder(repository) / "refs"
        with contextlib.suppress(OSError):
            wanted = (refs / (revision or "main")).read_text(encoding="utf-8").strip()
    if wanted is None or wanted == builder.hash:
        return builder
    if (Path(builder.cache_dir).parent / wanted).is_dir():
        return type(builder)(
            dataset_name=builder.dataset_name,
            repo_id=repository,
            config_name=builder.config.name,
            version=str(builder.config.version),
            hash=wanted,
        )
    raise DownloadError(
        f"hub data set {repository}{'@' + revision if revision else ''} could not be fetched, and the "
        f"cache on this machine holds another commit, {builder.hash}",
        hint=f"connect to the network, or ask for what is here: hf:{repository}@{builder.hash}.",
    )


@contextlib.contextmanager
def _growth_told(
    repository: str | None, builder: Any, label: str, progress: Progress
) -> Iterator[None]:
    """Report how a hub data set's files grow in the hub's cache, where their size is known."""
    total = builder.info.download_size
    if repository is None or not total:
        yield
        return
    folder = _hub_folder(repository) / "blobs"
    before = bytes_below(folder)
    done = threading.Event()

    def tell() -> None:
        while not done.wait(POLL_SECONDS):
            progress(f"{label}: files", min(bytes_below(folder) - before, total), total, "bytes")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
    progress(f"{label}: files", total, total, "bytes")


def _split(at: str, splits: list[str], split: str | None) -> str:
    if split is None:
        if len(splits) == 1:
            return splits[0]
        raise TextsError(
            f"hf:{at}: which split? It has {listed(splits) or 'none'}",
            hint=f"name it: hf:{at}:{splits[0]}" if splits else None,
        )
    name = split.split("[", 1)[0]
    if name not in splits:
        near = nearest_names(name, splits) or splits
        raise TextsError(
            f"hf:{at}: no split {name!r}; it has {listed(splits) or 'none'}",
            hint=f"use {near[0]}" if near else None,
        )
    return split


@contextlib.contextmanager
def _own_errors(at: str, is_folder: bool) -> Iterator[None]:
    """Turn what `datasets`, the hub's client and its HTTP client raise into our own errors."""
    import datasets
    from datasets import exceptions
    from huggingface_hub import constants

    by_file = "or pass a .jsonl, .csv or .parquet file instead"
    try:
        with storage_errors(Path(datasets.config.HF_DATASETS_CACHE)):
            yield
    except (TextsError, DownloadError):
        raise
    except (ValueError, RuntimeError, exceptions.DatasetsError) as error:
        # RuntimeError is how a data set that needs a script is refused
        if isinstance(error, exceptions.DatasetNotFoundError):
            raise DownloadError(
                f"hub data set {at} was not found (or is private or gated): {first_line(error)}",
                hint="check the spelling and the revision; for a gated one ask for access on its page "
                f"and log in with 'hf auth login'; {by_file}.",
            ) from error
        cause = error.__cause__ if isinstance(error, exceptions.DatasetGenerationError) else None
        said = " ".join(line.strip() for line in str(cause or error).strip().split("\n")[:2])
        raise TextsError(f"hf:{at}: {said or type(error).__name__}", hint=f"{by_file[3:]}.") from error
    except Exception as error:
        # many types of several libraries; whatever it is, the data set is not there
        if is_folder:
            raise TextsError(f"hf:{at} cannot be read: {first_line(error)}") from error
        switched_off = " (switched off by HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else ""
        raise DownloadError(
            f"hub data set {at} could not be fetched: tried the cache on this machine and "
            f"{constants.ENDPOINT}{switched_off}: {first_line(error)}",
            hint=f"connect to the network (and unset HF_HUB_OFFLINE), {by_file}.",
        ) from error


@contextlib.contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Silence the libraries' own bars and messages; progress and errors are told by us."""
    import datasets
    import huggingface_hub

    had_bars = not datasets.are_progress_bars_disabled()
    loggers = (datasets.logging, huggingface_hub.logging)
    verbosity = [library.get_verbosity() for library in loggers]
    datasets.disable_progress_bars()
    for library in loggers:
        library.set_verbosity(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for library, level in zip(loggers, verbosity, strict=True):
            library.set_verbosity(level)
        if had_bars:
            datasets.enable_progress_bars()


def is_hub_dataset_here(repository: str, config: str | None = None) -> bool:
    """Return whether a prepared copy of a hub data set is in the cache on this machine.

    Looked up by the cache's folder names, without loading the library.
    """
    cache = Path(os.environ.get("HF_DATASETS_CACHE", hub_home() / "datasets")).expanduser()
    owner, _, name = repository.partition("/")
    # as the library names its folders: camel case becomes snake case
    snake = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name))
    prepared = (cache / f"{owner}___{snake.lower()}").glob(f"{config or '*'}/*/*/*.arrow")
    with contextlib.suppress(OSError):
        return any(not file.parent.name.endswith(".incomplete") for file in prepared)
    return False
