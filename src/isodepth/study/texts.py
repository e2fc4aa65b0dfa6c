"""Which texts does a study read, and how many?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.models.options import LoadingOptions
from isodepth.notation import imported_name, refuse_imported, split_arguments
from isodepth.study.models import model_named
from isodepth.study.names import as_argument, no_such, path_named
from isodepth.study.problems import Place, Problems, shown
from isodepth.study.schema import StudyTable, TextsTable
from isodepth.study.study import StudyTexts
from isodepth.texts.catalogue import HUB, OFFLINE, TEXT_SETS, catalogue_entry
from isodepth.texts.controls import CONTROLS, random_strings
from isodepth.texts.files import READERS
from isodepth.texts.names import RANDOM_STRINGS, ControlName, HubName, RandomStringsName, taken_apart
from isodepth.texts.origin import N_RANDOM_STRINGS

N_TEXTS = 2_048
"""Texts of a set unless the study says otherwise: the paper's number."""
_COLUMNS = {"texts": "column", "left": "column", "right": "right_column"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTexts:
    """What a text set's name means.

    Parameters
    ----------
    resolved : str
        The name with absolute paths.
    name : str
        What the texts are called, wherever they lie.
    n_texts : int or None
        How many there are before any limit on them, where it is known.
    is_generated : bool
        There can be more of them.
    rows : str or None
        Rows of two sets belong together only where this is the same; None where only the user knows.
    """

    resolved: str
    name: str
    n_texts: int | None = None
    is_generated: bool = False
    rows: str | None = None


def study_texts(
    table: StudyTable, problems: Problems, *, folder: Path
) -> tuple[tuple[StudyTexts, ...], dict[str, int]]:
    """Return the text sets of a study, and by name how many texts those have of which it is known.

    What cannot be read, or stands there twice, is noted.
    """
    if not table.texts and not problems.among("texts"):
        problems.add_missing("texts", 'say which texts are read: texts = ["wikipedia"]')
    found: dict[str, tuple[int, StudyTexts]] = {}
    n_texts: dict[str, int] = {}
    for at, entry in table.texts.items():
        place: Place = ("texts", at)
        if problems.among(*place):
            continue
        for key, text in _misfits(entry):
            problems.add((*place, *key), text)
        sides = _sides(entry, place, problems, folder)
        if problems.among(*place):
            continue
        n = _wanted(entry, table, sides)
        for key, text in _impossible(entry, sides, n):
            problems.add((*place, *key), text)
        texts = _study_texts(entry, sides, n, seed=table.seed)
        first, same = found.setdefault(texts.name, (at, texts))
        if first != at:
            text = f"texts[{first}] is called {shown(texts.name)} too; give one of them another name: "
            text += '{ ..., name = "..." }'
            problems.add(place, f"it stands in texts[{first}] already" if same == texts else text)
        known = [n] if n is not None else [one.n_texts for one in sides.values()]
        counts = [count for count in known if count is not None]
        if counts and not problems.among(*place):
            n_texts[texts.name] = min(counts)
    return tuple(texts for _, texts in found.values()), n_texts


def _wanted(entry: TextsTable, table: StudyTable, sides: Mapping[str, NamedTexts]) -> int | None:
    """Return how many texts are asked for; None for all, which imported readings are always of."""
    is_imported = any(imported_name(side.resolved) is not None for side in sides.values())
    default = "all" if is_imported else N_TEXTS
    said = next((n for n in (entry.n, table.n) if n is not None), default)
    return None if said == "all" else int(said)


def _study_texts(
    entry: TextsTable, sides: Mapping[str, NamedTexts], n: int | None, *, seed: int
) -> StudyTexts:
    left, *right = sides.values()
    return StudyTexts(
        name=entry.name or " x ".join(side.name for side in sides.values()),
        left=left.resolved,
        right=right[0].resolved if right else None,
        n=n,
        seed=seed if entry.seed is None else entry.seed,
        column=entry.column,
        right_column=entry.right_column,
        source=entry.source,
        min_chars=entry.min_chars,
        max_chars=entry.max_chars,
        dedupe=entry.dedupe,
        written={
            named.resolved: getattr(entry, side)
            for side, named in sides.items()
            if named.resolved != getattr(entry, side)
        },
    )


def _sides(entry: TextsTable, place: Place, problems: Problems, folder: Path) -> dict[str, NamedTexts]:
    """Return what is read, by the key that says it, and note names that mean nothing."""
    found: dict[str, NamedTexts] = {}
    for side, column in _COLUMNS.items():
        written = getattr(entry, side)
        if written is None or problems.among(*place, "source"):
            continue
        wanted = {"source": entry.source, "column": getattr(entry, column)}
        check = partial(text_set_named, written, folder, **wanted)
        named = problems.noted((*place, side), written, check)
        if named is not None:
            found[side] = named
    return found


def _misfits(entry: TextsTable) -> Iterator[tuple[Place, str]]:
    """Yield the keys of an entry of ``texts`` that do not go together, and why."""
    one = entry.texts is not None
    sides = [side for side in ("left", "right") if getattr(entry, side) is not None]
    if one and sides:
        yield ("texts",), f"what all models read cannot have {' and '.join(sides)} beside it"
    elif not one and not sides:
        yield (), 'it does not say what is read: expected texts = "...", or left and right'
    elif not one and len(sides) == 1:
        other = "right" if sides == ["left"] else "left"
        yield (sides[0],), f"expected {other} beside it; what all models read is called texts"
    if one and entry.right_column is not None:
        yield ("right_column",), "only a pair, left and right, has a right_column"
    if len(sides) == 2 and (entry.left, entry.column) == (entry.right, entry.right_column):
        yield ("right",), "it is the same as left; what all models read is called texts"
    shortest, longest = entry.min_chars, entry.max_chars
    if shortest is not None and longest is not None and shortest > longest:
        yield ("min_chars",), f"it is above max_chars = {longest}: no text fits"
    if entry.source not in (None, OFFLINE, HUB):
        near = nearest_names(str(entry.source), (OFFLINE, HUB))
        yield (
            ("source",),
            f"expected {OFFLINE} or {HUB}{f'; did you mean {near[0]}?' if near else ''}",
        )


def _impossible(
    entry: TextsTable, sides: Mapping[str, NamedTexts], n: int | None
) -> Iterator[tuple[Place, str]]:
    """Yield what is known to be impossible of texts that exist: more than there are, or no pair."""
    most = [side.n_texts for side in sides.values() if not side.is_generated and side.n_texts]
    if n is not None and most and n > min(most):
        said = ", ".join(f"{side} = {shown(getattr(entry, side))}" for side in sides)
        text = (
            f'{n:,} texts are asked for, and there are {min(most):,}; {{ {said}, n = "all" }} takes all'
        )
        yield ("n",) if entry.n is not None else (), text
    rows = [side.rows for side in sides.values()]
    if None not in rows and len(set(rows)) > 1:
        parallel: dict[str, list[str]] = {}
        for name, sources in TEXT_SETS.items():
            for pairing in {one.pairing for one in sources.values() if one.pairing is not None}:
                parallel.setdefault(pairing, []).append(name)
        known = listed([" and ".join(names) for names in parallel.values()])
        yield (
            (),
            f"rows of {entry.left} and {entry.right} do not belong together; parallel are {known}, and "
            "a set and its controls",
        )


def text_set_named(
    written: str, folder: Path, *, source: str | None = None, column: str | None = None
) -> NamedTexts:
    """Return what a text set's name means.

    Parameters
    ----------
    written : str
        As `load_texts` takes it; or imported(NAME), which is looked up nowhere.
    folder : Path
        Where paths that begin with ./ are looked up.
    source, column : str, optional
        As `load_texts` takes them.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name.
    ParameterError
        If its options, the source or the column cannot be used.
    """
    imported = imported_name(written)
    if imported is not None:
        _refuse_choice("what was imported", source=source, column=column)
        return NamedTexts(resolved=written, name=imported)
    said = taken_apart(written)
    if isinstance(said, ControlName):
        return _control_named(said, written, folder, source=source, column=column)
    if isinstance(said, HubName):
        _refuse_choice("a hub data set", source=source)
        return _hub_named(said, written, folder, column)
    if isinstance(said, RandomStringsName):
        _refuse_choice(RANDOM_STRINGS, source=source, column=column)
        random_strings(2, **said.options)  # type: ignore[arg-type]
        return NamedTexts(
            resolved=written,
            name=written,
            n_texts=N_RANDOM_STRINGS,
            is_generated=True,
            rows=f"{RANDOM_STRINGS} {sorted(said.options.items())}",
        )
    if written == "-":
        raise ParameterError(
            "standard input can be read once only, and a study is read again when it goes on",
            hint="put the texts into a file",
        )
    if written in TEXT_SETS:
        _refuse_choice(f"text set {written}", column=column)
        kind, entry = catalogue_entry(written, source)
        rows = f"{entry.pairing or written} ({kind})"
        return NamedTexts(resolved=written, name=written, n_texts=entry.n_texts, rows=rows)
    return _path_named(written, folder, source=source, column=column)


def _path_named(written: str, folder: Path, *, source: str | None, column: str | None) -> NamedTexts:
    path = path_named(written, folder)
    if path is None:
        raise no_such(
            written,
            folder,
            "there is no such text set and no such file: expected one of "
            f"{listed([*TEXT_SETS, RANDOM_STRINGS], most=20)}, a control as in caesar(news), a file "
            f"({listed([*READERS])}), a folder of .txt files, or hf:owner/name",
            [*TEXT_SETS, RANDOM_STRINGS, *CONTROLS],
        )
    _refuse_choice("a file", source=source)
    if path.is_dir():
        _refuse_choice("a folder of .txt files", column=column)
    elif path.suffix.lower() not in READERS:
        raise UnknownNameError(
            f"there is no reader of {path.suffix!r} files: expected {listed([*READERS])}"
        )
    return NamedTexts(resolved=str(path), name=path.name.strip() or str(path))


def _control_named(
    said: ControlName, written: str, folder: Path, *, source: str | None, column: str | None
) -> NamedTexts:
    options = dict(said.options)
    tokenizer = options.pop("tokenizer", None)
    CONTROLS[said.control].make(**options)
    refuse_imported(said.whole, "text set")
    refuse_imported(tokenizer, "tokenizer")
    whole = text_set_named(said.whole, folder, source=source, column=column)
    call, inside = written.strip().removesuffix(")").split("(", 1)
    parts = split_arguments(inside)
    if whole.resolved != said.whole:
        is_path = taken_apart(said.whole) is None
        parts[0] = as_argument(whole.resolved) if is_path else whole.resolved
    if tokenizer is not None:
        model = model_named(str(tokenizer), folder, LoadingOptions()).resolved
        parts = [
            f" tokenizer={as_argument(model)}" if part.split("=")[0].strip() == "tokenizer" else part
            for part in parts
        ]
    is_same = whole.resolved == said.whole and (tokenizer is None or model == tokenizer)
    resolved = written if is_same else f"{call}({','.join(parts)})"
    return replace(whole, resolved=resolved, name=written)


def _hub_named(said: HubName, written: str, folder: Path, column: str | None) -> NamedTexts:
    if None not in (said.column, column) and said.column != column:
        raise ParameterError(f"it names the column {said.column!r}, and column is {column!r}")
    if not said.repository.startswith((".", "/", "~")):
        return NamedTexts(resolved=written, name=written)
    path = path_named(said.repository, folder)
    if path is None:
        raise no_such(said.repository, folder, f"there is no folder {said.repository}", [])
    if ":" in str(path):
        raise ParameterError(f'{path}: a folder behind hf: can have no ":" in its path')
    resolved = written.replace(said.repository, str(path), 1)
    return NamedTexts(resolved=resolved, name=written)


def _refuse_choice(what: str, *, source: str | None = None, column: str | None = None) -> None:
    if source is not None:
        raise ParameterError(
            f"source is {source!r}, and {what} has no sources to choose from",
            hint="only sets of the catalogue have",
        )
    if column is not None:
        raise ParameterError(f"column is {column!r}, and {what} has no columns to choose from")
