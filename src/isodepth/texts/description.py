"""What a text set is like: how long its texts are, and how many say the same.

Copies are near neighbors of one another in every layer of every model, so they raise all similarities.
Exact copies are counted by equality. Near copies share most of their words in order: the Jaccard
similarity of their sets of three consecutive words is at least 0.8 (Broder 1997). Candidates come from
MinHash signatures in bands; each is then checked exactly, so that no other pair is counted. The bands
find a pair at the threshold with a probability above 0.9999.

Cost: about a millisecond a text; remembered by the texts' digest.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from isodepth.atomic import write_atomically
from isodepth.progress import Progress, no_progress
from isodepth.sources import cache_directory
from isodepth.texts.catalogue import OFFLINE, TEXT_SETS, OfflineTexts
from isodepth.texts.cleaning import CLEANING_VERSION
from isodepth.texts.loading import load_texts
from isodepth.texts.text_set import TextSet

DESCRIPTION_VERSION = 1
"""Raise it when the same texts would be described otherwise."""

NEAR_COPY_SIMILARITY = 0.8
SHINGLE_WORDS = 3
BANDS, ROWS = 32, 4
QUANTILES = {
    "shortest": 0.0,
    "q05": 0.05,
    "q25": 0.25,
    "median": 0.5,
    "q75": 0.75,
    "q95": 0.95,
    "longest": 1.0,
}
REPORT_EVERY = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDescription:
    """Length and repetition of a text set.

    Parameters
    ----------
    n_texts : int
        Texts.
    characters : dict
        Length in characters (code points): shortest, q05, q25, median, q75, q95, longest.
    words : dict
        The same in words.
    n_exact_copies : int
        Texts that are equal to an earlier one.
    n_near_copies : int
        Texts that are not, but share most of their word triples with an earlier one: Jaccard similarity
        of at least 0.8. Texts of fewer than three words count as one shingle.
    """

    n_texts: int
    characters: dict[str, float]
    words: dict[str, float]
    n_exact_copies: int
    n_near_copies: int


def describe_texts(texts: TextSet, *, progress: Progress = no_progress) -> TextDescription:
    """Return how long the texts are and how many are copies.

    Parameters
    ----------
    texts : TextSet
        The texts.
    progress : Progress
        Told of texts compared.

    Returns
    -------
    TextDescription
        Lengths in characters and words; exact and near copies.

    References
    ----------
    Broder 1997, "On the resemblance and containment of documents", for near copies.
    """
    memo = _memo(texts.digest)
    remembered = _remembered(memo)
    if remembered is not None:
        return remembered
    distinct = list(dict.fromkeys(texts.texts))
    description = TextDescription(
        n_texts=len(texts),
        characters=_quantiles([len(text) for text in texts.texts]),
        words=_quantiles([len(text.split()) for text in texts.texts]),
        n_exact_copies=len(texts) - len(distinct),
        n_near_copies=_n_near_copies(distinct, f"comparing texts of {texts.name}", progress),
    )
    _remember(memo, description)
    return description


def catalogue_description(
    name: str, *, n: int | None = None, seed: int = 1234, progress: Progress = no_progress
) -> TextDescription:
    """Return the description of an offline set of the catalogue, or of a sample of at most `n` texts.

    Remembered by what fixes the texts, so that a second look reads none of them.

    Parameters
    ----------
    name : str
        A key of `TEXT_SETS` with an offline source.
    n, seed
        See `load_texts`; all texts where there are fewer than `n`.
    progress : Progress
        Told of downloads and of texts compared.
    """
    entry = TEXT_SETS[name][OFFLINE].texts
    assert isinstance(entry, OfflineTexts)  # what an offline source is
    fixed = [entry.pin.sha256, name, CLEANING_VERSION, DESCRIPTION_VERSION, n, seed if n else None]
    memo = _memo(hashlib.sha256(json.dumps(fixed).encode()).hexdigest())
    remembered = _remembered(memo)
    if remembered is not None and entry.is_here:
        return remembered
    texts = load_texts(name, n, seed, source=OFFLINE, allow_fewer=True, progress=progress)
    description = describe_texts(texts, progress=progress)
    _remember(memo, description)
    return description


def _memo(key: str) -> Path:
    return cache_directory() / "descriptions" / f"{key[:32]}-v{DESCRIPTION_VERSION}.json"


def _remembered(memo: Path) -> TextDescription | None:
    try:
        return TextDescription(**json.loads(memo.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # no memo, or a damaged one: the texts themselves decide


def _remember(memo: Path, description: TextDescription) -> None:
    with contextlib.suppress(OSError):  # a memo that cannot be kept costs time, nothing else
        write_atomically(memo, json.dumps(asdict(description)).encode())


def _quantiles(lengths: Sequence[int]) -> dict[str, float]:
    values = np.quantile(np.asarray(lengths), list(QUANTILES.values()))
    return {name: float(value) for name, value in zip(QUANTILES, values, strict=True)}


def shingles(text: str) -> set[str]:
    """Return the triples of consecutive words of a text, case folded; all its words if fewer than 4."""
    words = re.findall(r"\w+", text.casefold()) or [text]
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return {" ".join(words[start : start + SHINGLE_WORDS]) for start in range(last)}


def _n_near_copies(distinct: list[str], label: str, progress: Progress) -> int:
    """Return how many of the distinct texts are nearly equal to an earlier one."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    blank = MinHash(num_perm=BANDS * ROWS, seed=1)
    earlier: list[set[str]] = []
    n_near = 0
    for row, text in enumerate(distinct):
        if row % REPORT_EVERY == 0:
            progress(label, row, len(distinct), "texts")
        mine = shingles(text)
        signature = blank.copy()
        signature.update_batch([shingle.encode("utf-8") for shingle in mine])
        n_near += any(
            _jaccard(mine, earlier[other]) >= NEAR_COPY_SIMILARITY for other in index.query(signature)
        )
        index.insert(row, signature)
        earlier.append(mine)
    progress(label, len(distinct), len(distinct), "texts")
    return n_near


def _jaccard(one: set[str], other: set[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
