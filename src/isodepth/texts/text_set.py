"""A text set: texts in a fixed order, with a digest that names exactly these texts in this order.

Rows of activations, neighbors and matrices belong to texts by position. So two results may be
compared only if their text sets have equal digests.

>>> one, other = TextSet.of(["a b", "c d"]), TextSet.of(["c d", "a b"])
>>> one.digest == other.digest
False
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isodepth.errors import TextsError
from isodepth.notebook import card, shortened, table
from isodepth.texts.rows import ListRows
from isodepth.texts.sampling import (
    ALL_ROWS,
    Sample,
    Sampling,
    as_list,
    draw,
    draw_after,
    dropped_in_words,
    refuse_too_few,
    refuse_unusable,
)

SHOWN_TEXTS, SHOWN_CHARS = 5, 200
"""Of what a notebook shows."""


def texts_digest(texts: Sequence[str]) -> str:
    """Return the sha256 over the texts in order, in hexadecimal.

    Every text counts with its length in UTF-8 bytes, so that no two different lists share a digest
    by the way they are cut.
    """
    whole = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")  # of a list that is yet to be filtered
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
    row_origin : str or None
        What the rows are, where that is known: equal for sets whose rows belong together by position
        before any was drawn.
    row_draw : str
        Which of these rows, in which order: equal where the same were drawn.
    """

    name: str
    texts: tuple[str, ...]
    digest: str
    provenance: Mapping[str, Any] = field(default_factory=dict)
    row_origin: str | None = None
    row_draw: str = ALL_ROWS

    @classmethod
    def of(
        cls,
        texts: Iterable[str],
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
        listed_texts = as_list(texts)
        refuse_unusable(ListRows(listed_texts), name=name)
        return cls.of_checked(listed_texts, name=name, provenance=provenance)

    @classmethod
    def of_checked(
        cls,
        texts: Sequence[str],
        *,
        name: str,
        provenance: Mapping[str, Any] | None,
        row_origin: str | None = None,
        row_draw: str = ALL_ROWS,
    ) -> "TextSet":
        """Return the text set of texts that `isodepth.texts.sampling.draw` gave."""
        if len(texts) < 2:
            raise TextsError(f"{name}: expected at least 2 texts, got {len(texts)}")
        return cls(
            name=name,
            texts=tuple(texts),
            digest=texts_digest(texts),
            provenance=dict(provenance or {}),
            row_origin=row_origin,
            row_draw=row_draw,
        )

    def sample(
        self,
        n: int | None = None,
        seed: int = 1234,
        *,
        min_chars: int | None = None,
        max_chars: int | None = None,
        dedupe: bool = False,
    ) -> "TextSet":
        """Return some of the texts: shuffled with `seed`, filtered, the first `n` taken.

        Parameters
        ----------
        n : int, optional
            2 <= n <= number of texts that pass. All that pass, in their own order, where it is left
            out.
        seed : int
            Of NumPy's default generator. The permutation is the one that
            ``datasets.Dataset.shuffle(seed)`` makes, so that equal data gives equal samples.
        min_chars, max_chars : int, optional
            The shortest and longest text that is taken, in characters.
        dedupe : bool
            Leave out exact copies of texts taken before.

        Raises
        ------
        ParameterError
            If there are not as many texts, or a limit is out of range.

        References
        ----------
        Wolfram & Schein 2025, section 3.1, and their pipeline, which shuffles with seed 1234, then
        filters, then takes 2,048. Differs in nothing.
        """
        sampling = Sampling(n=n, seed=seed, min_chars=min_chars, max_chars=max_chars, dedupe=dedupe)
        sample = draw([ListRows(self.texts)], sampling, name=self.name)
        return self.from_sample(sample)

    def from_sample(self, sample: Sample, column: int = 0) -> "TextSet":
        """Return the text set of some of these texts; how they were drawn joins the provenance."""
        refuse_too_few(sample, name=self.name)
        record = {**sample.record, "from_digest": self.digest}
        provenance = {
            **self.provenance,
            "sampling": [*self.provenance.get("sampling", []), record],
        }
        if "controls" in provenance:  # how many are unchanged was counted before
            provenance["controls"] = [
                {key: value for key, value in made.items() if key != "n_unchanged"}
                for made in provenance["controls"]
            ]
        return TextSet.of_checked(
            sample.texts[column],
            name=self.name,
            provenance=provenance,
            row_origin=self.row_origin,
            row_draw=draw_after(self.row_draw, sample.rows, of=len(self)),
        )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"TextSet({self.name!r}, n_texts={len(self):,}, digest={self.digest[:12]!r})"

    def _repr_html_(self) -> str:
        first = enumerate(self.texts[:SHOWN_TEXTS], start=1)
        rows = [(f"{number}", shortened(" ".join(text.split()), SHOWN_CHARS)) for number, text in first]
        numbers = {
            "texts": f"{len(self):,}",
            "exact copies of earlier ones": f"{self.n_duplicates:,}",
            "digest": self.digest,
        }
        return card(
            "TextSet",
            self.name,
            rows=numbers,
            tables_html=[table(rows, header=("text", "begins with"))],
            notes=self.left_out,
        )

    @property
    def n_duplicates(self) -> int:
        """How many texts are exact copies of an earlier one."""
        return len(self.texts) - len(set(self.texts))

    def described(self) -> dict[str, Any]:
        """Return what identifies the set and where it comes from, as JSON values, without the texts."""
        return {
            "name": self.name,
            "n_texts": len(self),
            "n_duplicates": self.n_duplicates,
            "digest": self.digest,
            "provenance": dict(self.provenance),
        }

    @property
    def left_out(self) -> list[str]:
        """What the samplings left out, one sentence a sampling that left something out."""
        steps = self.provenance.get("sampling", [])
        words = [(dropped_in_words(step), step.get("n_looked_at", 0)) for step in steps]
        return [
            f"of {looked_at:,} texts looked at, {said} left out" for said, looked_at in words if said
        ]
