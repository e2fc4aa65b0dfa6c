"""What else does the file say of each text? Another column, matched by the text itself.

Rows are drawn, filtered and shuffled before models read them; so a label is looked up by its text, not
by its row. A text that stands in several rows with different labels has none.

>>> labels = text_labels(texts, "reviews.csv", "source", column="review")       # doctest: +SKIP

Memory: two columns of the file.
"""

from pathlib import Path

from isodepth.errors import ParameterError
from isodepth.progress import Progress, no_progress
from isodepth.texts.origin import Wanted, origin_of
from isodepth.texts.text_set import TextSet


def text_labels(
    texts: TextSet,
    source: str | Path,
    label: str,
    *,
    column: str | None = None,
    progress: Progress = no_progress,
) -> tuple[str | None, ...]:
    """Return what a column says of each text, or None where it says nothing, or different things.

    Parameters
    ----------
    texts : TextSet
        Texts that were drawn from the source.
    source : str or Path
        A .jsonl, .csv or .parquet file, or a hub data set, as `load_texts` takes it.
    label : str
        The column of the labels, which are strings.
    column : str, optional
        The column of the texts, as `load_texts` takes it.
    progress : Progress
        Told of downloads.

    Raises
    ------
    ParameterError
        If the source has no columns, or no text has a label.
    TextsError, UnknownNameError, DownloadError
        As `load_texts`.
    """
    columns = []
    for name in (label, column):  # what has no such column is told before texts are fetched
        wanted = Wanted(column=name, source=None, n=None, seed=0, progress=progress)
        rows = origin_of(source, wanted).rows
        columns.append(rows.take(range(len(rows))))
    known: dict[str, str | None] = {}
    for said, text in zip(*columns, strict=True):
        known[text] = said if known.get(text, said) == said else None
    found = tuple(known.get(text) or None for text in texts.texts)
    if all(one is None for one in found):
        raise ParameterError(
            f"{texts.name}: no text has a label in column {label!r} of {source}",
            hint="labels are looked up by the text itself; a control changes the texts.",
        )
    return found
