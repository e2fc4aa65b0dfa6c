"""What do curves of similarity hold? Points, each measured or extrapolated, and what they are means of.

>>> [point.n_texts for point in curves.along("n") if point.extrapolated]         # doctest: +SKIP
[511, 1276, 2551]

Memory: 16 bytes a point, pair and part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from isodepth.notebook import card, table

if TYPE_CHECKING:
    import pyarrow

PARTS = {
    "mean": "all layer pairs",
    "on_mean": "on the generalized diagonal",
    "off_mean": "off it",
}
"""What the similarity is a mean over."""
RULES = {
    "k": "all texts, more or fewer neighbors",
    "n": "more or fewer texts, the same number of neighbors",
    "k / n": "fewer texts and as many neighbors fewer",
}
"""What changes along a curve."""

Values = Float64[np.ndarray, "pairs parts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurvePoint:
    """The similarities of all pairs of models at one number of texts and of neighbors.

    Parameters
    ----------
    rule : str
        A key of `RULES`.
    n_texts, k : int
        Texts, and neighbors per text.
    values : float64 array (pairs, parts)
        Mean similarities, over the subsets where there are several. NaN where a pair has no such part.
    spread : float64 array (pairs, parts)
        See the module; NaN where nothing was drawn.
    n_subsets : int
        How many subsets or halves were drawn; 0 where none were.
    left_out : float
        The share of the subsets' texts that were left out, their lists holding fewer than k members in
        some layer.
    extrapolated : bool
        Whether no texts of this number were read.
    """

    rule: str
    n_texts: int
    k: int
    values: Values
    spread: Values
    n_subsets: int = 0
    left_out: float = 0.0
    extrapolated: bool = False

    @property
    def chance(self) -> float:
        """The mean similarity of unrelated layers, k / (n_texts - 1)."""
        return self.k / (self.n_texts - 1)

    @property
    def calibrated(self) -> Values:
        """Similarity beyond chance: 0 at chance, 1 where all neighbors are shared."""
        return calibrated(self.values, self.chance)

    @property
    def calibrated_spread(self) -> Values:
        """The spread of `calibrated`."""
        scaled: Values = self.spread / (1 - self.chance)
        return scaled


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimilarityCurves:
    """Mutual k-NN against k and against the number of texts. Made by `similarity_curves`.

    Parameters
    ----------
    pairs : tuple of (str, str)
        The models, left and right.
    n_texts, k : int
        Texts that were read, and neighbors per text along the curves against n.
    points : tuple of CurvePoint
        By rule, then by number of texts and of neighbors.
    metric : str or None
        What near means, where known.
    preprocessing : str
        What activations went through.
    """

    pairs: tuple[tuple[str, str], ...]
    n_texts: int
    k: int
    points: tuple[CurvePoint, ...]
    metric: str | None = "cosine"
    preprocessing: str = "none"

    def along(self, rule: str) -> tuple[CurvePoint, ...]:
        """Return the points of one rule, a key of `RULES`."""
        return tuple(point for point in self.points if point.rule == rule)

    @property
    def law_errors(self) -> Mapping[int, Values]:
        """By how much the law of extrapolation misses where it can be checked, by its smaller k.

        Similarity beyond chance with the smaller k in a subset, minus that with k neighbors of all
        texts, float64 (pairs, parts): what the law would have said of all texts, minus what they say.
        """
        reduced = self.along("k / n")
        whole = [point for point in reduced if point.k == self.k]
        return {
            point.k: point.calibrated - whole[0].calibrated for point in reduced if point.k < self.k
        }

    def to_table(self) -> "pyarrow.Table":
        """Return one row a point, pair and part.

        Columns: left, right, part, rule, n_texts, k, is ("measured" or "extrapolated"), similarity,
        chance, calibrated, spread (of calibrated), law_error (of calibrated, of extrapolated rows: by
        how much the same step misses from fewer texts to those that were read), n_subsets, left_out.
        """
        import pyarrow

        errors = self.law_errors
        rows = []
        for point in self.points:
            smaller = round(point.k * (self.n_texts - 1) / (point.n_texts - 1))
            error = errors.get(smaller) if point.extrapolated else None
            for pair, part in product(range(len(self.pairs)), range(len(PARTS))):
                rows.append(
                    {
                        "left": self.pairs[pair][0],
                        "right": self.pairs[pair][1],
                        "part": list(PARTS)[part],
                        "rule": point.rule,
                        "n_texts": point.n_texts,
                        "k": point.k,
                        "is": "extrapolated" if point.extrapolated else "measured",
                        "similarity": _known(point.values[pair, part]),
                        "chance": point.chance,
                        "calibrated": _known(point.calibrated[pair, part]),
                        "spread": _known(point.calibrated_spread[pair, part]),
                        "law_error": None if error is None else _known(error[pair, part]),
                        "n_subsets": point.n_subsets,
                        "left_out": point.left_out,
                    }
                )
        types = [
            *((name, pyarrow.string()) for name in ("left", "right", "part", "rule")),
            *((name, pyarrow.int32()) for name in ("n_texts", "k")),
            ("is", pyarrow.string()),
            *(
                (name, pyarrow.float64())
                for name in ("similarity", "chance", "calibrated", "spread", "law_error")
            ),
            ("n_subsets", pyarrow.int32()),
            ("left_out", pyarrow.float64()),
        ]
        return pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(types))

    def __repr__(self) -> str:
        return (
            f"SimilarityCurves({len(self.pairs)} pairs, points = {len(self.points)}, n_texts = "
            f"{self.n_texts}, k = {self.k})"
        )

    def _repr_html_(self) -> str:
        rows = [
            (
                f"{'extrapolated' if point.extrapolated else 'measured'}: {RULES[point.rule]}",
                f"{point.n_texts:,}",
                str(point.k),
                *(f"{value:.3f}" for value in point.calibrated.mean(axis=0)),
            )
            for point in self.points
            if point.rule == "n"
        ]
        header = ("similarity beyond chance, mean over pairs", "texts", "k", *PARTS.values())
        return card(
            "SimilarityCurves", f"{len(self.pairs)} pairs", tables_html=[table(rows, header=header)]
        )


def calibrated(values: np.ndarray, chance: float) -> np.ndarray:
    """Return similarity beyond chance, (values - chance) / (1 - chance); NaN where chance is 1."""
    return (values - chance) / (1 - chance) if chance < 1 else np.full(np.shape(values), np.nan)


def _known(value: float) -> float | None:
    """Return a number, or None for NaN, which tables have no use for."""
    return None if np.isnan(value) else float(value)
