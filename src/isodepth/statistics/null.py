"""How similar would unrelated neighborhoods be? The paper's null model, in closed form.

If both layers drew k neighbors at random for every text, the shared ones would be hypergeometric per
text, and their mean over the texts nearly normal.

Real neighbor graphs have hubs, which make this null too narrow: its standard deviation is 1.1 to 2.3
times too small on synthetic graphs. It is good for a first look, not for a p-value near 0.05, which
`isodepth.statistics.permutation` is for.

>>> round(null_model(2048, 10).log10_sf(0.4), 2)
-143449.86

Far out, the normal approximation is wrong by orders of magnitude of the exponent. `exact_null` has no
approximation in it, only the assumption that neighbors are drawn at random:

>>> round(exact_null(2048, 10).log10_sf(0.4), 2)                                 # doctest: +SKIP
-13716.11

Memory: 16 bytes a possible number of shared neighbors, n_texts x k + 1 of them.
"""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64

from isodepth.errors import ParameterError

MOST_WORD_OPERATIONS = 2_000_000_000
"""Multiplications of 64-bit words that an exact null may take: about 10 seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NullModel:
    """The normal approximation to mutual k-NN of unrelated layers. Make one with `null_model`.

    Parameters
    ----------
    n_texts, k : int
        Texts, and neighbors per text.
    mean, sd : float
        Of the similarity.
    """

    n_texts: int
    k: int
    mean: float
    sd: float

    def log_pdf(self, similarity: float) -> float:
        """Return the natural logarithm of the density at a similarity.

        Where sd is 0 (k = n_texts - 1) the density is a point: +inf at the mean, -inf elsewhere.
        """
        if self.sd == 0:
            return math.inf if similarity == self.mean else -math.inf
        z = (similarity - self.mean) / self.sd
        return -0.5 * z * z - math.log(self.sd) - 0.5 * math.log(2 * math.pi)

    def log10_sf(self, similarity: float) -> float:
        """Return log10 of the probability of at least this similarity, without underflow."""
        if self.sd == 0:
            return 0.0 if similarity <= self.mean else -math.inf
        z = (similarity - self.mean) / self.sd
        return float(scipy.special.log_ndtr(-z)) / math.log(10)


def null_model(n_texts: int, k: int) -> NullModel:
    """Return the distribution of mutual k-NN similarity between unrelated layers.

    Parameters
    ----------
    n_texts : int
        Texts, at least 3.
    k : int
        Neighbors per text, 1 <= k < n_texts.

    Raises
    ------
    ParameterError
        If the numbers cannot be used.

    References
    ----------
    Wolfram & Schein 2025, appendix B: mean k / (n - 1), standard deviation
    (n - 1 - k) / ((n - 1) sqrt(n (n - 2))). Differs in nothing.
    """
    _refuse_impossible(n_texts, k)
    others = n_texts - 1
    return NullModel(
        n_texts=n_texts,
        k=k,
        mean=k / others,
        sd=(others - k) / (others * math.sqrt(n_texts * (n_texts - 2))),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExactNull:
    """The exact distribution of mutual k-NN if neighbors were drawn at random. Made by `exact_null`.

    Parameters
    ----------
    n_texts, k : int
        Texts, and neighbors per text.
    log_pmf : float64 array (n_texts x k + 1,)
        Natural logarithms of the probabilities of 0, 1, ... shared neighbors, summed over the texts;
        -inf of those that cannot be.
    log_sf : float64 array (n_texts x k + 1,)
        The same of at least as many.
    """

    n_texts: int
    k: int
    log_pmf: Float64[np.ndarray, " counts"]
    log_sf: Float64[np.ndarray, " counts"]

    def log10_sf(self, similarity: float) -> float:
        """Return log10 of the probability of at least this similarity, without underflow."""
        # a similarity is a count over n k; its rounding must not make it the next count
        count = math.ceil(similarity * self.n_texts * self.k - 1e-6)
        if count >= len(self.log_sf):
            return -math.inf
        return float(self.log_sf[max(count, 0)]) / math.log(10)


def exact_null(n_texts: int, k: int) -> ExactNull:
    """Return the exact distribution of mutual k-NN if both layers drew neighbors at random.

    It is the sum of `n_texts` independent hypergeometric counts, computed in whole numbers as the
    coefficients of a power of a polynomial, so that every probability is right to some 11 digits,
    however small. For checks of the normal approximation: `null_model` costs nothing.

    Parameters
    ----------
    n_texts : int
        Texts, at least 3.
    k : int
        Neighbors per text, 1 <= k < n_texts.

    Raises
    ------
    ParameterError
        If the numbers cannot be used, or would take long.

    References
    ----------
    Wolfram & Schein 2025, appendix B, before its normal approximation. Differs in nothing. The powers
    follow the recurrence of Euler (Knuth, The Art of Computer Programming 2, section 4.7).
    """
    _refuse_impossible(n_texts, k)
    others = n_texts - 1
    fewest = max(0, 2 * k - others)  # two sets of k of so few others share some
    ways = [math.comb(k, j) * math.comb(others - k, k - j) for j in range(fewest, k + 1)]
    bits = n_texts * math.log2(math.comb(others, k))
    operations = n_texts * len(ways) ** 2 * bits / 64
    if operations > MOST_WORD_OPERATIONS:
        raise ParameterError(
            f"exact null: n_texts = {n_texts:,} and k = {k:,} would take about {operations:.0e} "
            f"multiplications of words in numbers of {bits:,.0f} bits; expected at most "
            f"{MOST_WORD_OPERATIONS:.0e}",
            hint="null_model gives the normal approximation at once; exact_null is for checks at a "
            "smaller n_texts or k.",
        )
    total = math.comb(others, k) ** n_texts
    log_total = math.log(total)
    log_pmf = np.full(n_texts * k + 1, -np.inf)
    log_sf = np.zeros(n_texts * k + 1)
    at_least = total
    for count, tuples in enumerate(_power_coefficients(ways, n_texts), start=n_texts * fewest):
        log_pmf[count] = math.log(tuples) - log_total
        log_sf[count] = math.log(at_least) - log_total
        at_least -= tuples
    return ExactNull(n_texts=n_texts, k=k, log_pmf=log_pmf, log_sf=log_sf)


def _power_coefficients(coefficients: list[int], exponent: int) -> Iterator[int]:
    """Yield the coefficients of a power of a polynomial whose first coefficient is not 0."""
    first, *others = coefficients
    latest = deque([first**exponent], maxlen=max(1, len(others)))
    yield latest[0]
    for degree in range(1, exponent * len(others) + 1):
        weighted = sum(
            (j * (exponent + 1) - degree) * coefficient * before
            for j, (coefficient, before) in enumerate(
                zip(others, reversed(latest), strict=False), start=1
            )
        )
        latest.append(weighted // (degree * first))
        yield latest[-1]


def _refuse_impossible(n_texts: int, k: int) -> None:
    if n_texts < 3 or not 1 <= k < n_texts:
        raise ParameterError(
            f"null model: expected n_texts >= 3 and 1 <= k < n_texts; got n_texts = {n_texts}, k = {k}"
        )
