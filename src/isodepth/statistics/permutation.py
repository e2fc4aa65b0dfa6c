"""How similar would these two graphs be if their texts had nothing to do with each other?

If which text is which did not matter, the overlap of two neighbor graphs would be like that under a
random relabelling of one side's texts. That null keeps both graphs as they are, with hubs, clusters and
reciprocal neighbors, which the hypergeometric null (`isodepth.statistics.null`) leaves out. Its mean,
variance and skewness are known without permuting (`isodepth.statistics.permuted_overlap`).

>>> null = permutation_null(left_neighbors, right_neighbors, k=10)               # doctest: +SKIP
>>> null.z()[11, 7], null.calibrated()[11, 7]                                    # doctest: +SKIP

What it assumes: that texts are exchangeable, so that no text is more like the text of the same row than
others for a reason that is not the models' (both sides sorted by length, or equal texts in the same
rows, whose ties every model breaks alike).

Memory: 24 bytes a pair of layers, and what `affinity_matrix` takes.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Float64

from isodepth.affinity import affinity_matrix
from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError, listed
from isodepth.neighbors import Neighbors
from isodepth.statistics.permuted_overlap import NeighborTotals, neighbor_totals
from isodepth.texts import Pairing

TAILS = {
    "pearson": "Pearson's type III, which has the exact mean, variance and skewness",
    "normal": "the normal distribution, which has the exact mean and variance",
}
_LEAST_SKEWNESS = 1e-4
"""Below it, type III and normal agree to more digits than either is right to."""
_LEAST_PROBABILITY = 1e-280
"""Below it, probabilities are computed as logarithms."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PermutationNull:
    """Similarities of all layer pairs, and how they vary when one side's texts are relabelled.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        The similarities as they are.
    n_texts, k : int
        Texts, and neighbors per text.
    mean : float
        Of the similarity, the same for all layer pairs: k / (n_texts - 1).
    sd : float64 array (layers_left, layers_right)
        Of the similarity. 0 where every relabelling gives the same, as for k = n_texts - 1.
    skewness : float64 array (layers_left, layers_right), or None
        Of the similarity; 0 where sd is 0. None where it was not asked for.
    """

    values: AffinityValues
    n_texts: int
    k: int
    mean: float
    sd: AffinityValues
    skewness: AffinityValues | None

    def z(
        self, values: Float64[np.ndarray, "*some layers_left layers_right"] | None = None
    ) -> Float64[np.ndarray, "*some layers_left layers_right"]:
        """Return how many standard deviations similarities lie above chance; 0 where sd is 0.

        Parameters
        ----------
        values : float64 array (..., layers_left, layers_right), optional
            Other similarities of the same layers; the observed ones where left out.
        """
        above = (self.values if values is None else values) - self.mean
        z: np.ndarray = np.divide(above, self.sd, out=np.zeros_like(above), where=self.sd > 0)
        return z

    def calibrated(
        self, values: Float64[np.ndarray, "*some layers_left layers_right"] | None = None
    ) -> Float64[np.ndarray, "*some layers_left layers_right"]:
        """Return (similarity - chance) / (1 - chance): 0 at chance, 1 for identical neighbors.

        Below 0 where fewer neighbors are shared than by chance. NaN where k = n_texts - 1, as nothing
        can be told. It makes similarities at different k and numbers of texts comparable; it says
        nothing of how sure a difference from chance is, which is `z`.

        Parameters
        ----------
        values : float64 array (..., layers_left, layers_right), optional
            Other similarities of the same layers; the observed ones where left out.

        References
        ----------
        The form of Cohen's kappa and of the adjusted Rand index (Hubert & Arabie 1985). Of two graphs
        in which every text has k neighbors it is Cohen's kappa of their arcs, as both name the same
        number. Others subtract a quantile of permuted similarities in place of their mean, so that what
        is not significant becomes 0; here chance stays visible on both sides of 0.
        """
        above: np.ndarray = (self.values if values is None else values) - self.mean
        if self.mean == 1:
            return np.full_like(above, np.nan)
        return above / (1 - self.mean)

    def log10_sf(
        self,
        values: Float64[np.ndarray, "*some layers_left layers_right"] | None = None,
        *,
        tail: str | None = None,
    ) -> Float64[np.ndarray, "*some layers_left layers_right"]:
        """Return log10 of the probability of at least such a similarity by chance, without underflow.

        Both tails are smooth where the number of shared neighbors is whole, without a correction: half
        the probability of exactly the observed number is left out, as in a mid-p value. With few
        shared by chance, about k^2 in all, that is much: for k = 1 use `familywise_test`, which counts
        permutations. Hubs and clusters skew the null; there the normal tail is too light.
        Beyond some 10 standard deviations either gives an order of magnitude at best.

        Parameters
        ----------
        values : float64 array (..., layers_left, layers_right), optional
            Other similarities of the same layers; the observed ones where left out.
        tail : {"pearson", "normal"}, optional
            A key of `TAILS`. "pearson" where left out and there is a skewness. Where a layer pair's
            skewness is not positive, both are the normal one, which is then the heavier.

        Raises
        ------
        ParameterError
            If the tail is unknown, or "pearson" without a skewness.
        """
        if tail is None:
            tail = "normal" if self.skewness is None else "pearson"
        if tail not in TAILS:
            raise ParameterError(f"tail must be one of {listed(list(TAILS))}; got {tail!r}")
        z = self.z(values)
        log_sf = scipy.special.log_ndtr(-z)
        if tail == "pearson":
            if self.skewness is None:
                raise ParameterError(
                    "tail 'pearson' needs the skewness, which this null was made without",
                    hint="permutation_null(..., with_skewness=True) computes it.",
                )
            skewness = np.broadcast_to(self.skewness, z.shape)
            skewed = skewness > _LEAST_SKEWNESS
            log_sf[skewed] = _log_gamma_sf(z[skewed], skewness[skewed])
        certain = np.where((self.values if values is None else values) <= self.mean, 0.0, -np.inf)
        result: np.ndarray = np.where(self.sd > 0, log_sf / math.log(10), certain)
        return result


def permutation_null(
    left: Neighbors | np.ndarray,
    right: Neighbors | np.ndarray,
    *,
    k: int | None = None,
    pairing: Pairing | None = None,
    with_skewness: bool = True,
) -> PermutationNull:
    """Return how similar all layer pairs are, and would be if texts were relabelled at random.

    Mean, standard deviation and skewness are exact: what all n! relabellings of one side would give.

    Parameters
    ----------
    left, right : Neighbors, or integer arrays (layers, texts, k) or (texts, k)
        Neighbors of the same texts in the same order, or of parallel ones. Arrays carry no digest, so
        for them that is the caller's word. One layer counts as a model of one layer.
    k : int, optional
        Use the `k` nearest. All, which must be equally many, where it is left out.
    pairing : Pairing, optional
        The declaration that the texts, which differ, belong together: `ParallelTexts.pairing`.
    with_skewness : bool
        Whether to compute the skewness as well, in time proportional to layers x texts x k^2; all else
        takes layers x texts x k, and what `affinity_matrix` takes.

    Raises
    ------
    DigestMismatchError
        If both were run on different texts without a declared pairing.
    ParameterError
        If shapes, `k` or ids do not fit.

    References
    ----------
    Mantel 1967 (mean and variance of such a sum under relabelling); the third moment in the manner of
    Siemiatycki 1978, Pearson's type III for its tail as in Mielke 1979. Wolfram & Schein 2025, appendix
    B, draw neighbors at random instead, which is too narrow for graphs with hubs.
    """
    matrix = affinity_matrix(_with_layers(left), _with_layers(right), k=k, pairing=pairing)
    return null_of_totals(
        neighbor_totals(_ids(left, matrix.k), with_third=with_skewness),
        neighbor_totals(_ids(right, matrix.k), with_third=with_skewness),
        matrix.values,
    )


def null_of_totals(
    left: NeighborTotals, right: NeighborTotals, values: AffinityValues
) -> PermutationNull:
    """Return the null of layers whose totals are known, as those of a model in many pairs.

    Parameters
    ----------
    left, right : NeighborTotals
        Of graphs with the same texts and k.
    values : float64 array (layers_left, layers_right)
        Their similarities.
    """
    n_texts, k = left.n_texts, left.k
    sd = np.sqrt(left.variance(right))
    skewness = left.third_moment(right)
    if skewness is not None:
        skewness = np.divide(skewness, sd**3, out=np.zeros_like(sd), where=sd > 0)
    return PermutationNull(
        values=values,
        n_texts=n_texts,
        k=k,
        mean=k / (n_texts - 1),
        sd=sd / (n_texts * k),
        skewness=skewness,
    )


def _with_layers(neighbors: Neighbors | np.ndarray) -> Neighbors | np.ndarray:
    if isinstance(neighbors, np.ndarray) and neighbors.ndim == 2:
        return neighbors[np.newaxis]
    return neighbors


def _ids(neighbors: Neighbors | np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the k nearest, int32 (layers, texts, k), that `affinity_matrix` has checked."""
    with_layers = _with_layers(neighbors)
    ids = with_layers.ids if isinstance(with_layers, Neighbors) else with_layers
    return ids[:, :, :k].astype(np.int32, copy=False)


def _log_gamma_sf(z: np.ndarray, skewness: np.ndarray) -> np.ndarray:
    """Return the log of the upper tail of a standardized gamma distribution of positive skewness."""
    shape = 4 / skewness**2
    x = np.maximum(shape + 2 * z / skewness, 0)
    sf = scipy.special.gammaincc(shape, x)
    log_sf: np.ndarray = np.log(np.maximum(sf, _LEAST_PROBABILITY))
    far = sf < _LEAST_PROBABILITY
    log_sf[far] = _log_far_gamma_sf(shape[far], x[far])
    return log_sf


def _log_far_gamma_sf(shape: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return the same of the gamma distribution far beyond its mean, by its continued fraction.

    References
    ----------
    NIST Digital Library of Mathematical Functions, 8.9.2; evaluated by Lentz's method.
    """
    denominator = x + 1 - shape
    c = np.full_like(x, np.inf)
    d = 1 / denominator
    fraction = d.copy()
    for step in range(1, 1000):
        numerator = -step * (step - shape)
        denominator = denominator + 2
        d = 1 / (denominator + numerator * d)
        c = denominator + numerator / c
        factor = c * d
        fraction *= factor
        if np.all(np.abs(factor - 1) < 1e-14):
            break
    result: np.ndarray = shape * np.log(x) - x - scipy.special.gammaln(shape) + np.log(fraction)
    return result
