"""From a name, a file or a list to a `TextSet`, sampled or whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.progress import Progress, no_progress
from isodepth.sources import existing_path
from isodepth.texts.catalogue import TEXT_SETS
from isodepth.texts.files import READERS, read_texts_file
from isodepth.texts.text_set import TextSet


def load_texts(
    name_or_path: str | Path | Sequence[str],
    n: int | None = None,
    seed: int = 1234,
    *,
    column: str | None = None,
    progress: Progress = no_progress,
) -> TextSet:
    """Return a text set: of the catalogue, of a file, or of a list.

    Parameters
    ----------
    name_or_path : str, Path or sequence of str
        A catalogue name (``isodepth texts`` lists them); the path of a .txt (one text a line),
        .jsonl, .csv or .parquet file; or the texts themselves. A catalogue name wins over a file of
        that name; write ``./name`` for the file.
    n : int, optional
        How many texts to sample (`TextSet.sample`). All, in their own order, where it is left out.
    seed : int
        Of the sampling.
    column : str, optional
        Which column of a .jsonl, .csv or .parquet file holds the texts.
    progress : Progress
        Told of downloads.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name; the nearest names are given.
    TextsError
        If texts are empty or the file cannot be read.
    ParameterError
        If `n` is below 2 or above the number of texts.
    """
    texts, name, provenance = _read(name_or_path, column, progress)
    whole = TextSet.of(texts, name=name, provenance=provenance)
    return whole if n is None else whole.sample(n, seed)


def _read(
    name_or_path: str | Path | Sequence[str], column: str | None, progress: Progress
) -> tuple[list[str], str, dict[str, Any]]:
    if not isinstance(name_or_path, (str, Path)):
        return list(name_or_path), "texts", {"source": "a list in memory"}
    known = TEXT_SETS.get(str(name_or_path))
    if known is not None:
        if column is not None:
            raise ParameterError(f"text set {known.name!r} has no columns to choose from")
        provenance: dict[str, Any] = {
            "source": known.source,
            "licence": known.licence,
            "wheel": known.wheel.requirement,
            "wheel_sha256": known.wheel.sha256,
            "cleaning": known.cleaning,
        }
        return known.read(progress=progress), known.name, provenance
    path = existing_path(name_or_path)
    if path is not None and path.is_file():
        return read_texts_file(path, column), path.name, {"source": "a file", "column": column}
    near = nearest_names(str(name_or_path), TEXT_SETS)
    shown = str(name_or_path)
    raise UnknownNameError(
        f"no text set and no file is called {shown[:80]!r}{'...' * (len(shown) > 80)}; text sets: "
        f"{listed(list(TEXT_SETS))}; files end in {listed(list(READERS))}",
        hint=f"did you mean {' or '.join(near)}?" if near else "'isodepth texts' lists the sets.",
    )
