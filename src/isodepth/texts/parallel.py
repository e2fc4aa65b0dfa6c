"""Two text sets whose rows belong together: translations, or a set and its control.

Neighbors are compared row by row, so two models may read different texts only if row i of one and row i
of the other are versions of the same thing. That must be declared; a `Pairing` holds the two digests
that were.
"""

from dataclasses import dataclass, replace

from isodepth.errors import DigestMismatchError, ParameterError
from isodepth.texts.origin import Origin
from isodepth.texts.rows import ListRows
from isodepth.texts.sampling import ALL_ROWS, Sampling, draw
from isodepth.texts.text_set import TextSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """The declaration that the rows of two text sets belong together.

    Parameters
    ----------
    left, right : str
        The digests of the two text sets.
    """

    left: str
    right: str

    def refuse_others(self, left: str | None, right: str | None) -> None:
        """Raise `DigestMismatchError` unless these are the declared digests, in this order.

        A digest that is not known, as of neighbors from arrays, is the caller's word.
        """
        if left in (None, self.left) and right in (None, self.right):
            return
        turned = (right, left) == (self.left, self.right)
        raise DigestMismatchError(
            "the declared pairing is not of these texts: it pairs "
            f"{self.left} (left) with {self.right} (right); got {left} and {right}",
            hint="left and right are exchanged." if turned else "use the pairing of these text sets.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelTexts:
    """Two text sets of equal length, row i of one belonging to row i of the other.

    Make one with `load_parallel_texts` or `ParallelTexts.of`, which refuse what is known not to belong
    together.

    Parameters
    ----------
    left, right : TextSet
        The two versions.
    """

    left: TextSet
    right: TextSet

    def __post_init__(self) -> None:
        left, right = self.left, self.right
        origins = (left.row_origin, right.row_origin)
        refuse_unpaired(left.name, right.name, origins, lengths=(len(left), len(right)))
        if left.row_draw != right.row_draw and not (is_unknown(left) or is_unknown(right)):
            raise ParameterError(
                f"{left.name} and {right.name} are not parallel: other rows were drawn on the left "
                "than on the right",
                hint="draw both together, with load_parallel_texts or ParallelTexts.sample.",
            )

    @classmethod
    def of(cls, left: TextSet, right: TextSet) -> "ParallelTexts":
        """Return the pair, which the caller declares to belong together row by row.

        Different texts of one name are told apart as "name (left)" and "name (right)".

        Raises
        ------
        ParameterError
            If the two have not the same number of texts, come from sets whose rows are known not to
            belong together, or are other rows of such sets.
        """
        left, right = _declared(left, right), _declared(right, left)
        if left.name == right.name and left.digest != right.digest:
            left = replace(left, name=f"{left.name} (left)")
            right = replace(right, name=f"{right.name} (right)")
        return cls(left=left, right=right)

    @property
    def pairing(self) -> Pairing:
        """The declaration, for `affinity_matrix`."""
        return Pairing(left=self.left.digest, right=self.right.digest)

    def __len__(self) -> int:
        return len(self.left)

    def sample(
        self,
        n: int | None = None,
        seed: int = 1234,
        *,
        min_chars: int | None = None,
        max_chars: int | None = None,
        dedupe: bool = False,
    ) -> "ParallelTexts":
        """Return some of the pairs; the parameters are those of `TextSet.sample`.

        A pair is left out where either text is outside the limits or a copy of one taken before.
        """
        sampling = Sampling(n=n, seed=seed, min_chars=min_chars, max_chars=max_chars, dedupe=dedupe)
        columns = [ListRows(self.left.texts), ListRows(self.right.texts)]
        sample = draw(columns, sampling, name=f"{self.left.name} and {self.right.name}")
        return ParallelTexts(
            left=self.left.from_sample(sample, 0), right=self.right.from_sample(sample, 1)
        )


def is_unknown(rows: TextSet | Origin) -> bool:
    """Return whether nothing is known of rows: a list or file, of which nothing was drawn.

    What they belong to is then the caller's word.
    """
    return rows.row_origin is None and rows.row_draw == ALL_ROWS


def _declared(texts: TextSet, other: TextSet) -> TextSet:
    """Return texts as rows of what they were declared parallel to, where nothing else is known."""
    if not is_unknown(texts):
        return texts
    return replace(texts, row_origin=other.row_origin, row_draw=other.row_draw)


def refuse_unpaired(
    left: str, right: str, origins: tuple[str | None, str | None], *, lengths: tuple[int, int]
) -> None:
    """Raise `ParameterError` where the rows of two sets are known not to belong together."""
    if None not in origins and origins[0] != origins[1]:
        raise ParameterError(
            f"{left} and {right} are not parallel: their rows do not belong together",
            hint="parallel are handbook-en and handbook-de, books-en and books-de, and a set and its "
            "controls; of files, lists and hub data sets, naming two together declares it.",
        )
    if lengths[0] != lengths[1]:
        raise ParameterError(
            f"{left} and {right} cannot be parallel: {lengths[0]:,} texts against {lengths[1]:,}"
        )
