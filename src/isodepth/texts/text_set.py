"""A text set: texts in a fixed order, with a digest that names exactly these texts in this order.

Rows of activations, neighbors and matrices belong to texts by position. So two results may be
compared only if their text sets have equal digests.

>>> one, other = TextSet.of(["a b", "c d"]), TextSet.of(["c d", "a b"])
>>> one.digest == other.digest
False
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from isodepth.errors import ParameterError, TextsError, listed


def texts_digest(texts: Sequence[str]) -> str:
    """Return the sha256 over the texts in order, in hexadecimal.

    Every text counts with its length in UTF-8 bytes, so that no two different lists share a digest
    by the way they are cut.
    """
    whole = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8")
        whole.update(len(data).to_bytes(8, "little"))
        whole.update(data)
    return whole.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSet:
    """Texts in order, ready to be read by models. Make one with `load_texts` or `TextSet.of`.

    Parameters
    ----------
    name : str
        What people call it.
    texts : tuple of str
        At least two, none of them empty.
    digest : str
        `texts_digest` of `texts`.
    provenance : mapping
        Where they come from: source, sums, sampling.
    """

    name: str
    texts: tuple[str, ...]
    digest: str
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        *,
        name: str = "texts",
        provenance: Mapping[str, Any] | None = None,
    ) -> "TextSet":
        """Return the text set of a list of texts, checked.

        Raises
        ------
        TextsError
            If there are fewer than two texts, or some are empty, not strings, or cannot be written
            as UTF-8; the rows (from 1) are listed.
        """
        if isinstance(texts, str):
            raise TextsError("texts: expected a list of texts, got one string")
        wrong = [row for row, text in enumerate(texts, 1) if not isinstance(text, str)]
        if wrong:
            raise TextsError(f"{name}: not a string in row {listed(wrong)} (rows count from 1)")
        empty = [row for row, text in enumerate(texts, 1) if not text.strip()]
        if empty:
            raise TextsError(
                f"{name}: {len(empty):,} of {len(texts):,} texts are empty or white space only: "
                f"row {listed(empty)} (rows count from 1)",
                hint="remove these rows: an empty text has no last token.",
            )
        lone = [row for row, text in enumerate(texts, 1) if not _is_unicode(text)]
        if lone:
            raise TextsError(f"{name}: row {listed(lone)}: a lone surrogate is not valid Unicode")
        if len(texts) < 2:
            raise TextsError(f"{name}: expected at least 2 texts, got {len(texts)}")
        return cls(
            name=name,
            texts=tuple(texts),
            digest=texts_digest(texts),
            provenance=dict(provenance or {}),
        )

    def sample(self, n: int, seed: int = 1234) -> "TextSet":
        """Return `n` of the texts: shuffled with `seed`, the first `n` taken.

        Parameters
        ----------
        n : int
            2 <= n <= number of texts.
        seed : int
            Of NumPy's default generator. The permutation is the one that
            ``datasets.Dataset.shuffle(seed)`` makes, so that equal data gives equal samples.

        Raises
        ------
        ParameterError
            If `n` is out of range.

        References
        ----------
        Wolfram & Schein 2025, section 3.1, and their pipeline, which shuffles with seed 1234. Differs
        in nothing.
        """
        if not 2 <= n <= len(self):
            raise ParameterError(
                f"{self.name}: n = {n:,} texts were asked for; expected 2 <= n <= {len(self):,}, the "
                "number of its texts",
                hint=f"use -n {len(self)}" if n > len(self) else None,
            )
        if seed < 0:
            raise ParameterError(f"seed must be at least 0; got {seed}")
        order = np.random.default_rng(seed).permutation(len(self))[:n]
        sampling = {"n": n, "seed": seed, "from_n_texts": len(self), "from_digest": self.digest}
        return TextSet.of(
            [self.texts[row] for row in order],
            name=self.name,
            provenance={**self.provenance, "sampling": sampling},
        )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"TextSet({self.name!r}, n_texts={len(self):,}, digest={self.digest[:12]!r})"

    @property
    def n_duplicates(self) -> int:
        """How many texts are exact copies of an earlier one."""
        return len(self.texts) - len(set(self.texts))


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
