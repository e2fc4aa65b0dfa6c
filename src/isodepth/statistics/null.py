"""How similar would unrelated neighborhoods be? The paper's null model, in closed form.

If both layers drew k neighbors at random for every text, the shared ones would be hypergeometric per
text, and their mean over the texts nearly normal.

Real neighbor graphs have hubs, which make this null too narrow: its standard deviation is 1.1 to 2.3
times too small on synthetic graphs. It is good for orders of magnitude, not for a p-value near 0.05.

>>> round(null_model(2048, 10).log10_sf(0.4), 2)
-143449.86
"""

import math
from dataclasses import dataclass

from scipy import special

from isodepth.errors import ParameterError


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
        return float(special.log_ndtr(-z)) / math.log(10)


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
    if n_texts < 3 or not 1 <= k < n_texts:
        raise ParameterError(
            f"null model: expected n_texts >= 3 and 1 <= k < n_texts; got n_texts = {n_texts}, k = {k}"
        )
    others = n_texts - 1
    return NullModel(
        n_texts=n_texts,
        k=k,
        mean=k / others,
        sd=(others - k) / (others * math.sqrt(n_texts * (n_texts - 2))),
    )
