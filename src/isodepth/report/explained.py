"""Of which models does a page hold the neighbor lists, so that any cell can be looked into?

Neighbor lists are most of a page's size: 10 neighbors of 256 texts in 72 layers are 0.3 MB. So those
of all models go in where they fit, with as many neighbors as fit; else those of the pairs of models
that the reader asked for.

>>> chosen = explained_models(sets, evidence, explain=[("gemma-2b", "llama-3.2-1b")])  # doctest: +SKIP

Memory: the chosen lists, packed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import CHANCE_KNOWN
from isodepth.assessment import TextSetAssessment
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.report.packing import packed
from isodepth.results import Evidence, EvidenceKey, evidence_key
from isodepth.texts import TextSet

MOST_BYTES = 3_000_000
"""Of a page for neighbor lists, unless the reader asks for more."""
LADDER = (200, 100, 50, 20, 10, 5, 2, 1)
"""How many neighbors of each text go in: the first of these that fits."""
MOST_CHARACTERS = 1_000
"""Of a text; longer ones are cut, and how long they are is told."""
AUTOMATIC, EVERY, NONE = "auto", "all", "none"
"""Which models are explained: all if their lists fit, all in any case, or none."""

Explain = str | Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Explained:
    """Which neighbor lists go into a page.

    Parameters
    ----------
    left, right : mapping from EvidenceKey to tuple of str
        The labels, on either side.
    k : int
        Neighbors of each text, where there are as many.
    left_out_bytes : int
        About how much all lists would have taken that were left out because they are too many; else 0.
    """

    left: Mapping[EvidenceKey, tuple[str, ...]] = field(default_factory=dict)
    right: Mapping[EvidenceKey, tuple[str, ...]] = field(default_factory=dict)
    k: int = 0
    left_out_bytes: int = 0


def explained_models(
    sets: Sequence[TextSetAssessment],
    evidence: Mapping[EvidenceKey, Evidence],
    *,
    explain: Explain = AUTOMATIC,
) -> Explained:
    """Return which neighbor lists go into a page.

    Parameters
    ----------
    sets : sequence of TextSetAssessment
        What the page shows.
    evidence : mapping from EvidenceKey to Evidence
        What there is.
    explain : "auto", "all", "none", or sequence of (str, str)
        All models if their lists fit, all in any case, none, or those of pairs by left and right label.

    Raises
    ------
    ParameterError
        If `explain` is another word.
    UnknownNameError
        If no text set has a pair of models; all such are named.
    """
    refuse_unknown_pairs(explain, [one.matrices for one in sets])
    pairs = None if isinstance(explain, str) else list(explain)
    left: dict[EvidenceKey, tuple[str, ...]] = {}
    right: dict[EvidenceKey, tuple[str, ...]] = {}
    for one in sets:
        key = evidence_key(one.name, one.kind)
        # which texts agree is told by shared neighbors: of no other measure
        if key not in evidence or explain == NONE or one.kind.measure != CHANCE_KNOWN:
            continue
        rows, columns = one.matrices.left, one.matrices.right
        if pairs is not None:
            there = [pair for pair in pairs if pair in _pairs(one.matrices)]
            first, second = {pair[0] for pair in there}, {pair[1] for pair in there}
            if one.matrices.is_symmetric:
                first = second = first | second
            rows = tuple(label for label in rows if label in first)
            columns = tuple(label for label in columns if label in second)
        left[key] = rows
        right[key] = () if one.matrices.is_symmetric else columns
    least = max((one.kind.k for one in sets), default=1)
    steps = [k for k in LADDER if k > least] + [least]
    sizes = {k: _size(evidence, left, right, k) for k in steps}
    k = next((k for k in steps if sizes[k] <= MOST_BYTES), least)
    if explain == AUTOMATIC and sizes[k] > MOST_BYTES:
        return Explained(left_out_bytes=sizes[k])
    return Explained(left=left, right=right, k=k)


def described(
    key: EvidenceKey,
    evidence: Evidence | None,
    chosen: Explained,
    texts: "EmbeddedTexts",
) -> dict[str, Any] | None:
    """Return the neighbor lists of a text set as JSON values; None where none were chosen.

    Parameters
    ----------
    key : EvidenceKey
        Which.
    evidence : Evidence or None
        What there is of it.
    chosen : Explained
        Which models.
    texts : EmbeddedTexts
        Takes the texts.
    """
    if evidence is None or not chosen.left.get(key):
        return None
    columns = evidence.left if evidence.right is None else evidence.right
    rows = {label: evidence.left[label] for label in chosen.left[key]}
    others = {label: columns[label] for label in chosen.right.get(key, ())}
    k = min(chosen.k, *(one.k for one in (*rows.values(), *others.values())))
    return {
        "k": k,
        "left": {label: packed(one.ids[:, :, :k]) for label, one in rows.items()},
        "right": {label: packed(one.ids[:, :, :k]) for label, one in others.items()} or None,
        "texts": texts.place(evidence.texts),
        "right_texts": texts.place(evidence.right_texts),
    }


class EmbeddedTexts:
    """The texts that go into a page, each set once."""

    def __init__(self) -> None:
        self._sets: dict[str, TextSet] = {}

    def place(self, texts: TextSet | None) -> int | None:
        """Return the place of a text set among those of the page, which it joins."""
        if texts is None:
            return None
        self._sets.setdefault(texts.digest, texts)
        return list(self._sets).index(texts.digest)

    def described(self) -> list[dict[str, Any]]:
        """Return the text sets as JSON values, long texts cut."""
        return [
            {
                "name": one.name,
                "n_texts": len(one),
                "cut": MOST_CHARACTERS
                if any(len(text) > MOST_CHARACTERS for text in one.texts)
                else None,
                "items": [text[:MOST_CHARACTERS] for text in one.texts],
                "lengths": [len(text) for text in one.texts],
            }
            for one in self._sets.values()
        ]


def _pairs(one: AffinityMatrices) -> set[tuple[str, str]]:
    """Return the pairs that may be asked for: of symmetric matrices in either order."""
    return {(left, right) for left in one.left for right in one.right}


def refuse_unknown_pairs(explain: Explain, matrices: Sequence[AffinityMatrices]) -> None:
    """Raise an error if models are to be explained that there are no matrices of.

    Parameters
    ----------
    explain : "auto", "all", "none", or sequence of (str, str)
        As for `explained_models`.
    matrices : sequence of AffinityMatrices
        What a page shows, or more: a part of it need not have all pairs.

    Raises
    ------
    ParameterError
        If `explain` is another word.
    UnknownNameError
        If no matrices have a pair of models; all such are named.
    """
    if isinstance(explain, str):
        if explain not in (AUTOMATIC, EVERY, NONE):
            raise ParameterError(
                f"explain must be {AUTOMATIC!r}, {EVERY!r}, {NONE!r} or pairs of labels; got "
                f"{explain!r}"
            )
        return
    known = {pair for one in matrices for pair in _pairs(one)}
    unknown = [pair for pair in explain if pair not in known]
    if unknown:
        labels = sorted({label for pair in known for label in pair})
        near = [
            name
            for pair in unknown
            for one in pair
            if one not in labels
            for name in nearest_names(one, labels)
        ]
        raise UnknownNameError(
            f"no text set has the pair {listed([' and '.join(pair) for pair in unknown])}; models are "
            f"{listed(labels, most=30)}",
            hint=f"did you mean {' or '.join(dict.fromkeys(near))}?" if near else None,
        )


def _size(
    evidence: Mapping[EvidenceKey, Evidence],
    left: Mapping[EvidenceKey, tuple[str, ...]],
    right: Mapping[EvidenceKey, tuple[str, ...]],
    k: int,
) -> int:
    """Return about how many bytes the lists of some models take with k neighbors a text."""
    total = 0.0
    for key, rows in left.items():
        found = evidence[key]
        columns = found.left if found.right is None else found.right
        chosen = [found.left[label] for label in rows] + [columns[label] for label in right[key]]
        for one in chosen:
            # nearest neighbors are as good as random numbers below n_texts; base64 takes 4 for 3
            bits = 8 if one.n_texts <= 256 else 1.15 * math.log2(one.n_texts)
            total += one.n_layers * one.n_texts * min(k, one.k) * bits / 8 * 4 / 3
    return math.ceil(total)
