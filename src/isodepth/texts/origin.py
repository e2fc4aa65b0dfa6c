"""From what a user wrote to where the texts are: a source, before sampling."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isodepth.errors import ParameterError, TextsError, UnknownNameError, listed, nearest_names
from isodepth.notation import refuse_imported
from isodepth.progress import Progress
from isodepth.sources import existing_path, hub_dataset
from isodepth.store.sums import sha256_of
from isodepth.texts.catalogue import NOTHING_CHANGED, PAPERS_OWN, TEXT_SETS, catalogue_entry
from isodepth.texts.controls import CONTROLS, DEFAULT_SEED, Change, random_strings
from isodepth.texts.files import READERS, column_of, read_folder, read_standard_input, read_texts_file
from isodepth.texts.names import (
    RANDOM_STRINGS,
    ControlName,
    HubName,
    RandomStringsName,
    taken_apart,
)
from isodepth.texts.rows import HubRows, ListRows, Rows
from isodepth.texts.sampling import ALL_ROWS, as_list
from isodepth.texts.text_set import TextSet

N_RANDOM_STRINGS = 2_048


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """Texts as they come, before sampling.

    Parameters
    ----------
    name : str
        What people call them.
    rows : Rows
        The texts, for a control those that it is made from: rows are drawn there, so that a control has
        the same rows as its set.
    changes : tuple of callable
        What each text goes through after it was drawn, first to last; one a control.
    provenance : dict
        Where they come from, as JSON values; "controls" has one entry a change.
    row_origin : str or None
        Rows of two origins belong together by position where this is the same. None where only the
        user can know.
    row_draw : str
        Which of these rows; see `TextSet`.
    in_order : bool
        Samples are taken from the front, because the texts are random already.
    max_chars : int or None
        The longest text unless the user says otherwise.
    """

    name: str
    rows: Rows
    changes: tuple[Change, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    row_origin: str | None = None
    row_draw: str = ALL_ROWS
    in_order: bool = False
    max_chars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a user says of a text set besides its name and its sampling."""

    column: str | None
    source: str | None
    n: int | None
    seed: int
    progress: Progress


def origin_of(written: str | Path | TextSet | Iterable[str], wanted: Wanted) -> Origin:
    """Return where the texts are that a user means.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name.
    ParameterError
        If a column or a source is named where there is no choice.
    TextsError, DownloadError
        If they cannot be read or fetched.
    """
    if isinstance(written, TextSet):
        _refuse_choice(wanted, "a TextSet", column=True)
        return Origin(
            name=written.name,
            rows=ListRows(written.texts),
            provenance=dict(written.provenance),
            row_origin=written.row_origin,
            row_draw=written.row_draw,
        )
    if not isinstance(written, (str, Path)):
        _refuse_choice(wanted, "a list", column=True)
        texts = as_list(written)
        return Origin(name="texts", rows=ListRows(texts), provenance={"source": "a list in memory"})
    if isinstance(written, str) and not written.strip():
        raise UnknownNameError("a text set was named by an empty string")
    refuse_imported(written, "text set")
    said = taken_apart(written) if isinstance(written, str) else None
    if isinstance(said, ControlName):
        return _control(said, str(written), wanted)
    if isinstance(said, RandomStringsName):
        _refuse_choice(wanted, RANDOM_STRINGS, column=True)
        return _random_strings(said, str(written), wanted)
    if isinstance(said, HubName):
        _refuse_choice(wanted, "hf:")
        return _hub(said, str(written), wanted)
    if written == "-":
        _refuse_choice(wanted, "standard input")
        texts = read_standard_input(sys.stdin.buffer, wanted.column)
        provenance = {"source": "standard input", "column": wanted.column}
        return Origin(name="standard input", rows=ListRows(texts), provenance=provenance)
    if isinstance(written, str) and written in TEXT_SETS:
        return _catalogue(written, wanted)
    path = existing_path(written)
    if path is not None and (path.is_file() or path.is_dir()):
        return _path(path, wanted)
    raise _unknown(str(written))


def _path(path: Path, wanted: Wanted) -> Origin:
    _refuse_choice(wanted, "a file")
    name = path.name or path.resolve().name
    if path.is_dir():
        if wanted.column is not None:
            raise ParameterError(f"{path}: a folder of .txt files has no columns to choose from")
        texts = read_folder(path)
        provenance: dict[str, Any] = {"source": "a folder of .txt files", "n_files": len(texts)}
    else:
        texts = read_texts_file(path, wanted.column)
        provenance = {"source": "a file", "file": name, "sha256": sha256_of(path)}
        provenance["column"] = wanted.column
    return Origin(name=name, rows=ListRows(texts), provenance=provenance)


def _catalogue(name: str, wanted: Wanted) -> Origin:
    if wanted.column is not None:
        raise ParameterError(f"text set {name!r} has no columns to choose from")
    kind, entry = catalogue_entry(name, wanted.source)
    rows, exact = entry.rows(progress=wanted.progress)
    provenance: dict[str, Any] = {
        "source": kind,
        **exact,
        "author": entry.author,
        "licence": entry.licence,
        "standing": entry.standing,
        "cleaning": entry.cleaning,
    }
    return Origin(
        name=name,
        rows=rows,
        provenance=provenance,
        row_origin=f"{entry.pairing or name} ({kind})",
        max_chars=entry.max_chars,
    )


def _hub(said: HubName, written: str, wanted: Wanted) -> Origin:
    if None not in (said.column, wanted.column) and said.column != wanted.column:
        raise ParameterError(
            f"{written} names the column {said.column!r}, and column is {wanted.column!r}"
        )
    dataset = hub_dataset(
        said.repository,
        config=said.config,
        split=said.split,
        revision=said.revision,
        progress=wanted.progress,
    )
    column = column_of(written, dataset.columns, said.column or wanted.column)
    exact = {"dataset": said.repository, "config": dataset.config, "split": dataset.split}
    return Origin(
        name=written,
        rows=HubRows(dataset, column),
        provenance={"source": "hub", **exact, "column": column, "commit": dataset.commit},
    )


def _random_strings(said: RandomStringsName, written: str, wanted: Wanted) -> Origin:
    options = {**_defaults(random_strings), "seed": wanted.seed, **said.options}
    n = N_RANDOM_STRINGS if wanted.n is None else wanted.n
    texts = random_strings(max(n, 0), **options)
    is_papers = options == {**_defaults(random_strings), "seed": DEFAULT_SEED}
    provenance = {
        "source": "generated",
        "options": options,
        "author": "drawn at random",
        "licence": "none needed",
        "standing": PAPERS_OWN if is_papers else "like the paper's, with another seed or other options",
        "cleaning": NOTHING_CHANGED,
    }
    return Origin(
        name=written,
        rows=ListRows(texts),
        provenance=provenance,
        row_origin=f"{RANDOM_STRINGS} {options}",
        in_order=True,
    )


def _control(said: ControlName, written: str, wanted: Wanted) -> Origin:
    return controlled(origin_of(said.whole, wanted), said.control, said.options, name=written)


def controlled(whole: Origin, name_of_control: str, options: Mapping[str, Any], *, name: str) -> Origin:
    """Return the origin of texts whose rows are drawn from `whole` and then changed."""
    control = CONTROLS[name_of_control]
    try:
        change = control.make(**options)
    except ParameterError as error:
        raise ParameterError(f"{name}: {error.message}", hint=error.hint) from error
    made = {"control": name_of_control, "options": {**_defaults(control.make), **options}}
    standing = whole.provenance.get("standing")
    is_first = standing is not None and "controls" not in whole.provenance
    told = {"standing": f"made from {whole.name} ({standing})"} if is_first else {}
    return replace(
        whole,
        name=name,
        changes=(*whole.changes, change),
        provenance={
            **whole.provenance,
            **told,
            "controls": [*whole.provenance.get("controls", []), made],
        },
    )


def named_set(written: str) -> str:
    """Return the innermost set that controls are made from; the name itself without controls."""
    said = taken_apart(written)
    return named_set(said.whole) if isinstance(said, ControlName) else written


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the options of a function that has values for them, so that a record names all of them."""
    parameters = inspect.signature(function).parameters.values()
    return {
        one.name: one.default
        for one in parameters
        if one.default not in (None, inspect.Parameter.empty)
    }


def _refuse_choice(wanted: Wanted, what: str, *, column: bool = False) -> None:
    if wanted.source is not None:
        raise ParameterError(
            f"source {wanted.source!r} was named, but {what} has no sources to choose from",
            hint="only sets of the catalogue have; 'isodepth texts' lists them.",
        )
    if column and wanted.column is not None:
        raise ParameterError(f"{what} has no columns to choose from; got column {wanted.column!r}")


def _unknown(written: str) -> UnknownNameError:
    names = [*TEXT_SETS, RANDOM_STRINGS]
    near = nearest_names(written, names)
    return UnknownNameError(
        f"no text set and no file is called {written[:80]!r}{'...' * (len(written) > 80)}; text sets: "
        f"{listed(names, most=20)}; files end in {listed(list(READERS))}; hub data sets begin with hf:",
        hint=f"did you mean {' or '.join(near)}?" if near else "'isodepth texts' lists the sets.",
    )


def refuse_two_readings(left: object, right: object) -> None:
    """Raise `TextsError` where both sides would read standard input, which can be read once."""
    if all(isinstance(side, str) and named_set(side) == "-" for side in (left, right)):
        raise TextsError("standard input can be read once only", hint="put one side into a file.")
