"""Which texts of a source are read: shuffled, filtered, counted.

The rows are shuffled whole; then they are gone through in that order, those outside the limits are left
out, and the first n that remain are taken. So a smaller sample is the start of a larger one, a filter
changes the sample only where it drops something, and of a data set on disk only the rows that are
looked at are read. This is also the order of the paper's pipeline (shuffle, filter, take).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np

from isodepth.errors import ParameterError, TextsError, listed, whole_number
from isodepth.texts.rows import ListRows, Rows

MOST_TEXTS_WHOLE = 1_000_000
"""More than this are not read unless a number is asked for."""
CHUNK_ROWS = 2_048
ALL_ROWS = "all"
"""The `row_draw` of texts of which none was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How texts are drawn.

    Parameters
    ----------
    n : int, optional
        How many, at least 2. All, in their own order, where it is left out.
    seed : int
        Of the shuffling, at least 0.
    min_chars, max_chars : int, optional
        The shortest and longest text, in characters (code points); both count as inside. A text of
        white space only has 0 characters. For a control, the text that it is made from counts.
    dedupe : bool
        Leave out exact copies of texts taken before.
    allow_fewer : bool
        Where fewer than `n` remain, take all of them, in their own order, instead of raising.
    """

    n: int | None = None
    seed: int = 1234
    min_chars: int | None = None
    max_chars: int | None = None
    dedupe: bool = False
    allow_fewer: bool = False

    def __post_init__(self) -> None:
        for name, least in (("n", None), ("seed", 0), ("min_chars", 0), ("max_chars", 0)):
            value = getattr(self, name)
            if value is None and name != "seed":
                continue
            object.__setattr__(self, name, whole_number(value, name))  # NumPy's integers are no JSON
            if least is not None and value < least:
                raise ParameterError(f"{name} must be at least {least}; got {value}")
        object.__setattr__(self, "dedupe", bool(self.dedupe))
        if None not in (self.min_chars, self.max_chars) and self.min_chars > self.max_chars:  # type: ignore[operator]
            raise ParameterError(
                f"min_chars = {self.min_chars:,} is above max_chars = {self.max_chars:,}: no text fits"
            )

    @property
    def drops_empty(self) -> bool:
        """Whether texts of white space only are left out."""
        return bool(self.min_chars)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """What was drawn.

    Parameters
    ----------
    rows : list of int
        The rows of the source (from 0) that were taken, in the order taken.
    texts : tuple of list of str
        Their texts: one list a column.
    record : dict
        How they were drawn, as JSON values: what was asked for, of how many, and what was dropped.
    """

    rows: list[int]
    texts: tuple[list[str], ...]
    record: dict[str, Any]


def draw(columns: Sequence[Rows], sampling: Sampling, *, name: str, in_order: bool = False) -> Sample:
    """Return a sample of rows, the same rows of every column.

    Parameters
    ----------
    columns : sequence of Rows
        One, or several of equal length whose rows belong together. A row is left out where the text of
        any column is outside the limits or a copy.
    sampling : Sampling
        What to draw.
    name : str
        The texts' name, for errors.
    in_order : bool
        Take rows from the front instead of shuffling: for generated texts, which are random already.

    Raises
    ------
    ParameterError
        If there are not as many texts as asked for, or too many to be read whole.
    TextsError
        If a row that was looked at has no usable text.
    """
    total = len(columns[0])
    n = sampling.n
    in_memory = all(isinstance(column, ListRows) for column in columns)
    if n is None and total > MOST_TEXTS_WHOLE and not in_memory:
        raise ParameterError(
            f"{name} has {total:,} texts; say how many to sample",
            hint="the paper takes 2,048: n = 2048 (-n 2048 on the command line).",
        )
    if total < 2 and (n is None or n >= 2):
        raise TextsError(f"{name}: expected at least 2 texts, got {total}")
    if n is not None and (n < 2 or (n > total and not sampling.allow_fewer)):
        raise ParameterError(
            f"{name}: n = {n:,} texts were asked for; expected 2 <= n <= {total:,}, the number of its "
            "texts",
            hint=f"use n = {total}." if n > total >= 2 else None,
        )
    shuffled = n is not None and not in_order
    order = np.random.default_rng(sampling.seed).permutation(total) if shuffled else np.arange(total)
    walk = _walked(columns, order, sampling, name)
    too_few = n is not None and len(walk.rows) < n
    if too_few and sampling.allow_fewer and shuffled:
        # all that remain, as if no number had been asked for: of copies the first one is kept
        shuffled = False
        walk = _walked(columns, np.arange(total), sampling, name)
    record: dict[str, Any] = {
        "n": len(walk.rows),
        **({"seed": sampling.seed} if shuffled else {"order": "as they come"}),
        **_limits(sampling),
        "from_n_texts": total,
        "n_looked_at": walk.n_looked_at,
        "dropped": {reason: count for reason, count in walk.dropped.items() if count},
    }
    if too_few and not sampling.allow_fewer:
        n_left = len(walk.rows)
        raise ParameterError(
            f"{name}: n = {n:,} texts were asked for; {n_left:,} of {total:,} are left "
            f"({dropped_in_words(record) or 'none was dropped'})",
            hint=f"use n = {n_left}." if n_left >= 2 else None,
        )
    return Sample(rows=walk.rows, texts=walk.texts, record=record)


def _walked(columns: Sequence[Rows], order: np.ndarray, sampling: Sampling, name: str) -> "_Walk":
    """Return what was taken and dropped when rows are looked at in this order, until there are n."""
    n = sampling.n
    walk = _Walk(sampling, name, len(columns))
    start = 0
    while start < len(order) and (n is None or len(walk.rows) < n):
        # no row is read that is not looked at
        size = CHUNK_ROWS if n is None else min(CHUNK_ROWS, n - len(walk.rows))
        chunk = [int(row) for row in order[start : start + size]]
        values = [column.take(chunk) for column in columns]
        for row, texts in zip(chunk, zip(*values, strict=True), strict=True):
            walk.look_at(row, texts)
        start += size
    walk.refuse_wrong()
    return walk


def refuse_unusable(rows: Rows, *, name: str) -> None:
    """Raise `TextsError` if any row holds no text that a model could read; all are looked at."""
    _walked([rows], np.arange(len(rows)), Sampling(), name)


class _Walk:
    """Rows looked at one after the other: taken, dropped for a reason, or wrong."""

    def __init__(self, sampling: Sampling, name: str, n_columns: int) -> None:
        self.rows: list[int] = []
        self.texts: tuple[list[str], ...] = tuple([] for _ in range(n_columns))
        self.dropped = {"too_short": 0, "too_long": 0, "copies": 0}
        self.n_looked_at = 0
        self._sampling = sampling
        self._name = name
        self._seen: tuple[set[str], ...] = tuple(set() for _ in range(n_columns))
        self._wrong: dict[str, list[int]] = {"no_text": [], "empty": [], "surrogate": []}

    def look_at(self, row: int, texts: tuple[Any, ...]) -> None:
        self.n_looked_at += 1
        sampling = self._sampling
        lengths = [n_characters(text) for text in texts]
        if sampling.min_chars is not None and min(lengths) < sampling.min_chars:
            self.dropped["too_short"] += 1
        elif sampling.max_chars is not None and max(lengths) > sampling.max_chars:
            self.dropped["too_long"] += 1
        elif not all(isinstance(text, str) for text in texts):
            self._wrong["no_text"].append(row + 1)
        elif min(lengths) == 0:
            self._wrong["empty"].append(row + 1)
        elif not all(_is_unicode(text) for text in texts):
            self._wrong["surrogate"].append(row + 1)
        elif sampling.dedupe and any(t in seen for t, seen in zip(texts, self._seen, strict=True)):
            self.dropped["copies"] += 1
        else:
            self.rows.append(row)
            for text, column, seen in zip(texts, self.texts, self._seen, strict=True):
                column.append(text)
                if sampling.dedupe:
                    seen.add(text)

    def refuse_wrong(self) -> None:
        """Raise for rows that hold nothing a model could read, numbered as in the source."""
        for kind, rows in self._wrong.items():
            rows.sort()
            if not rows:
                continue
            if kind == "empty":
                raise TextsError(
                    f"{self._name}: {len(rows):,} of {self.n_looked_at:,} texts are empty or white "
                    f"space only: row {listed(rows)} (rows count from 1)",
                    hint="an empty text has no last token; min_chars = 1 leaves such rows out "
                    "(--min-chars 1 on the command line).",
                )
            if kind == "surrogate":
                raise TextsError(
                    f"{self._name}: row {listed(rows)}: a lone surrogate is not valid Unicode"
                )
            raise TextsError(f"{self._name}: not a string in row {listed(rows)} (rows count from 1)")


def refuse_too_few(sample: Sample, *, name: str) -> None:
    """Raise `TextsError` if fewer than two texts are left, saying what was left out."""
    if len(sample.rows) < 2:
        why = dropped_in_words(sample.record)
        raise TextsError(
            f"{name}: expected at least 2 texts, got {len(sample.rows)}"
            + (f"; {why} left out" if why else "")
        )


def as_list(texts: object) -> list[Any]:
    """Return texts in memory as a list, by position, whatever holds them.

    Raises
    ------
    TextsError
        If they are one string, or nothing that has an order.
    """
    if isinstance(texts, str):
        raise TextsError("texts: expected a list of texts, got one string")
    if hasattr(texts, "columns") or hasattr(texts, "column_names"):
        raise TextsError("texts: expected a list of texts, got a table; pass one of its columns")
    unordered = isinstance(texts, (bytes, bytearray, Mapping, Set))
    if unordered or not isinstance(texts, Iterable) or getattr(texts, "ndim", 1) != 1:
        raise TextsError(f"texts: expected a list of texts, got a {type(texts).__name__}")
    held = texts.to_pylist() if hasattr(texts, "to_pylist") else texts  # Arrow's own strings
    return [str.__str__(text) if isinstance(text, str) else text for text in held]


def draw_after(before: str, rows: Sequence[int], *, of: int) -> str:
    """Return what names the rows that are left after drawing `rows` of those that `before` names."""
    if list(rows) == list(range(of)):
        return before
    data = np.asarray(rows, dtype=np.int64).tobytes()
    return hashlib.sha256(f"{before} {of} ".encode() + data).hexdigest()[:32]


def n_characters(text: object) -> int:
    """Return the length of a text in code points; 0 where it is white space only, or no text."""
    return len(text) if isinstance(text, str) and text.strip() else 0


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _limits(sampling: Sampling) -> dict[str, Any]:
    limits = {
        "min_chars": sampling.min_chars,
        "max_chars": sampling.max_chars,
        "dedupe": sampling.dedupe or None,
    }
    return {name: value for name, value in limits.items() if value is not None}


def dropped_in_words(record: Mapping[str, Any]) -> str:
    """Return what a sampling left out and why, as people read it; empty where nothing was."""
    dropped = record.get("dropped", {})
    reasons = {
        "too_short": f"shorter than {record.get('min_chars', 0):,} characters",
        "too_long": f"longer than {record.get('max_chars', 0):,} characters",
        "copies": "exact copies of others",
    }
    return ", ".join(
        f"{dropped[reason]:,} {why}" for reason, why in reasons.items() if reason in dropped
    )
