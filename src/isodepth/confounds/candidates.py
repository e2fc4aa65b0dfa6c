"""Who may be whose neighbor? Texts that could be neighbors for a reason that is not meant are left out.

Neighbors are the nearest of all other texts. If texts that end alike are near for that reason, take
those that end otherwise as candidates; or only those that end alike, among which the ending makes no
difference. Chance rises as candidates get fewer, so comparisons are of similarity beyond it.

Where some texts have too few candidates, texts are dropped. Dropping one takes a candidate from others,
so it goes in rounds: drop all that have too few, count again, until all have enough. What is left is
the largest set of texts in which all have enough, and does not depend on any order: a text that is
dropped in some round has too few in any smaller set, too. (It is the core of a graph: Seidman 1983.)

>>> texts = ["one.", "two.", "three!", "four.", "five!"]
>>> different_endings(texts, 1).n_candidates
array([2, 2, 3, 2, 3])

Memory: a byte a pair of texts, two while it is made; 2,048 texts take 4 MB and 8.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Integer

from isodepth.errors import ParameterError, counted, listed
from isodepth.statistics.resampling import FEWEST_NEXT

# (texts, texts): shapes that must agree are refused in words, not by their types
AllowedPairs = Bool[np.ndarray, "_ _"]
Rows = Int64[np.ndarray, " rows"]

FEWEST_TEXTS = 50
"""Texts that must remain, or five times k if that is more."""


def n_needed(k: int) -> int:
    """Return how many neighbors of each text a control needs: `k`, and those that resampling wants."""
    return k + max(k, FEWEST_NEXT)


def fewest_texts(k: int) -> int:
    """Return how many texts must remain for a control to be worth anything."""
    return max(FEWEST_TEXTS, 5 * k)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Which texts may be neighbors of which.

    Parameters
    ----------
    allowed : bool array (texts, texts)
        Symmetric; False on the diagonal.
    name : str
        What the rule is called.
    sentence : str
        What it does to these texts, for people.

    Raises
    ------
    ParameterError
        If the array is not square, not symmetric, or lets a text be its own neighbor.
    """

    allowed: AllowedPairs
    name: str
    sentence: str

    def __post_init__(self) -> None:
        if self.allowed.shape[0] != self.allowed.shape[1]:
            raise ParameterError(f"{self.name}: expected (texts, texts); got {self.allowed.shape}")
        if self.allowed.diagonal().any():
            raise ParameterError(f"{self.name}: a text may not be its own neighbor")
        if not np.array_equal(self.allowed, self.allowed.T):
            raise ParameterError(f"{self.name}: who may be whose neighbor must be symmetric")

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return len(self.allowed)

    @property
    def n_candidates(self) -> Int64[np.ndarray, " texts"]:
        """How many candidates each text has."""
        counts: np.ndarray = self.allowed.sum(axis=1, dtype=np.int64)
        return counts

    def chance(self, k: int) -> float:
        """Return the mean similarity of unrelated layers, in (0, 1]: the mean of k / candidates.

        Raises
        ------
        ParameterError
            If a text has fewer than `k` candidates; such texts are listed.
        """
        few = np.flatnonzero(self.n_candidates < k)
        if k < 1 or len(few):
            raise ParameterError(
                f"{self.name}: text {listed((few + 1).tolist())} (rows count from 1) has fewer than "
                f"k = {k} candidates"
                if len(few)
                else f"{self.name}: expected k >= 1 neighbors; got {k}",
                hint="take the texts of rows_with_enough(k) only." if len(few) else None,
            )
        return float((k / self.n_candidates).mean())

    def too_few(self, k: int) -> Rows:
        """Return the texts (rows from 0) that have fewer candidates than `n_needed`."""
        return np.flatnonzero(self.n_candidates < n_needed(k))

    def rows_with_enough(self, k: int) -> Rows:
        """Return the largest set of texts (rows from 0) in which all have `n_needed` candidates.

        References
        ----------
        Seidman 1983: the core of a graph, by dropping what has too few neighbors until nothing has.
        """
        kept = np.ones(self.n_texts, dtype=bool)
        counts = self.n_candidates
        while (few := kept & (counts < n_needed(k))).any():
            kept &= ~few
            counts = counts - self.allowed[:, few].sum(axis=1)
        return np.flatnonzero(kept)

    def of_rows(self, rows: Rows) -> "Candidates":
        """Return the same among some of the texts."""
        return Candidates(
            allowed=self.allowed[np.ix_(rows, rows)], name=self.name, sentence=self.sentence
        )

    def __and__(self, other: "Candidates") -> "Candidates":
        if self.n_texts != other.n_texts:
            raise ParameterError(
                f"{self.name} and {other.name} must be of as many texts; got {self.n_texts:,} (left) "
                f"and {other.n_texts:,} (right)"
            )
        return Candidates(
            allowed=self.allowed & other.allowed,
            name=f"{self.name} and {other.name}",
            sentence=f"{self.sentence} {other.sentence}",
        )

    def __repr__(self) -> str:
        counts = self.n_candidates
        return f"Candidates({self.name!r}, n_texts = {self.n_texts}, {counts.min()} to {counts.max()})"


def all_others(n_texts: int) -> Candidates:
    """Return that every text may be a neighbor of every other."""
    return Candidates(
        allowed=~np.eye(n_texts, dtype=bool), name="all texts", sentence="All other texts."
    )


def different_endings(texts: Sequence[str], m: int) -> Candidates:
    """Return that neighbors are texts whose last `m` characters are others.

    Parameters
    ----------
    texts : sequence of str
        Compared as they are, white space and case included. Of shorter texts all counts.
    m : int
        At least 1.

    Raises
    ------
    ParameterError
        If `m` is less than 1.
    """
    endings = _endings(texts, m)
    return Candidates(
        allowed=~_are_equal(endings),
        name=f"different_ending({m})",
        sentence=f"Neighbors differ in the last {counted(m, 'character')}. {_commonest(endings)}",
    )


def same_endings(texts: Sequence[str], m: int) -> Candidates:
    """Return that neighbors are texts with the same last `m` characters.

    Parameters
    ----------
    texts, m
        As for `different_endings`.

    Raises
    ------
    ParameterError
        If `m` is less than 1.
    """
    return same_stratum(_endings(texts, m), name=f"same_ending({m})", what="ending")


def different_tokens(tokens: Mapping[str, Integer[np.ndarray, " _"]]) -> Candidates:
    """Return that neighbors are texts that are read at another token, by every model.

    Parameters
    ----------
    tokens : mapping of str to integer array (texts,)
        By model, the id of the token that each text is read at. Two texts that share it in any model
        are no candidates in all models, so that all choose among the same.

    Raises
    ------
    ParameterError
        If there are no models, or the numbers of texts differ.
    """
    allowed = ~np.logical_or.reduce([_are_equal(ids.tolist()) for ids in _refuse_unequal(tokens)])
    shares = [_commonest(ids.tolist(), f"token of {model}") for model, ids in tokens.items()]
    return Candidates(
        allowed=allowed,
        name="different_token",
        sentence=f"Neighbors are read at another token, by every model. {' '.join(shares)}",
    )


def same_tokens(tokens: Mapping[str, Integer[np.ndarray, " _"]]) -> Candidates:
    """Return that neighbors are texts that are read at the same token, by every model.

    Parameters
    ----------
    tokens
        As for `different_tokens`.

    Raises
    ------
    ParameterError
        If there are no models, or the numbers of texts differ.
    """
    together = list(zip(*(ids.tolist() for ids in _refuse_unequal(tokens)), strict=True))
    return same_stratum(together, name="same_token", what="token")


def same_stratum(
    labels: Sequence[Hashable], *, name: str = "same_label", what: str = "label"
) -> Candidates:
    """Return that neighbors are texts with the same label.

    Parameters
    ----------
    labels : sequence of hashable
        One a text. None, or NaN, where it is not known: such a text is nobody's candidate and has none.
    name : str
        What the rule is called.
    what : str
        What a label is, for people: "language".
    """
    # NaN is what does not equal itself
    is_known = np.array([label is not None and label == label for label in labels], dtype=bool)
    known = [label for label, one in zip(labels, is_known, strict=True) if one]
    allowed = _are_equal(labels)
    allowed[~is_known] = allowed[:, ~is_known] = False
    np.fill_diagonal(allowed, False)
    n_different = len(set(known))
    there = "There is only one." if n_different == 1 else f"There are {n_different:,} different ones."
    return Candidates(
        allowed=allowed,
        name=name,
        sentence=f"Neighbors have the same {what}. {there} {_commonest(known, what)}",
    )


def _endings(texts: Sequence[str], m: int) -> list[str]:
    if m < 1:
        raise ParameterError(f"endings: expected m >= 1 characters; got {m}")
    return [text[-m:] for text in texts]


def _refuse_unequal(
    tokens: Mapping[str, Integer[np.ndarray, " _"]],
) -> list[Integer[np.ndarray, " _"]]:
    """Return the tokens of all models, or raise `ParameterError` where these are not of one length."""
    lengths = {model: len(ids) for model, ids in tokens.items()}
    if len(set(lengths.values())) != 1:
        found = listed([f"{length:,} of {model}" for model, length in lengths.items()]) or "none"
        raise ParameterError(f"tokens: expected one a text, of at least one model; got {found}")
    return list(tokens.values())


def _are_equal(labels: Sequence[Hashable]) -> AllowedPairs:
    """Return which two labels are equal, each with itself included."""
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int64)
    equal: np.ndarray = group[:, np.newaxis] == group
    return equal


def _commonest(labels: Sequence[Hashable], what: str = "ending") -> str:
    """Return how common the most common label is, as a sentence."""
    if not labels:
        return f"No text has a known {what}."
    label, count = Counter(labels).most_common(1)[0]
    return f"The most common {what}, {label!r}, is that of {count:,} of {len(labels):,} texts."
