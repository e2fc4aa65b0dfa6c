"""Which of many pairs' p-values still count, now that so many pairs were tested?

At a threshold of 0.05, every twentieth pair of unrelated models passes. Adjusted p-values are compared
with the same threshold, and a stated rate of errors over all pairs holds.

What each method keeps, and when:

- "bonferroni" and "holm": the chance of one false pair or more is at most the threshold (familywise
  error rate), under any dependence among the pairs. Holm's are never larger, so it finds at least as
  much at the same guarantee; Bonferroni is the paper's.
- "benjamini-hochberg": of the pairs that pass, at most this share is false on average (false discovery
  rate), if the pairs are independent or positively dependent. Pairs that share a model are dependent,
  and nobody has shown of which kind.
- "benjamini-yekutieli": the same rate under any dependence; larger by 1 + 1/2 + ... + 1/n.

None of them mends p-values that are wrong for a single pair, and none tells whether the zoo as a whole
shows an effect: `zoo_test` does.

>>> adjust_p_values([0.01, 0.04, 0.03], "holm")
array([0.03, 0.06, 0.06])

Memory: a few arrays as long as the p-values.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

from isodepth.errors import ParameterError, listed, nearest_names

CORRECTIONS = {
    "bonferroni": "familywise error rate, any dependence; the paper's",
    "holm": "familywise error rate, any dependence; never larger than Bonferroni's",
    "benjamini-hochberg": "false discovery rate, independent or positively dependent pairs",
    "benjamini-yekutieli": "false discovery rate, any dependence",
}

_STATSMODELS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "benjamini-hochberg": "fdr_bh",
    "benjamini-yekutieli": "fdr_by",
}


def adjust_p_values(
    p_values: Sequence[float] | Float[np.ndarray, "..."], method: str = "bonferroni"
) -> Float64[np.ndarray, "..."]:
    """Return p-values adjusted for how many there are, float64, in the shape and order of the input.

    Parameters
    ----------
    p_values : array or sequence of float
        One per test, in [0, 1]. Each unordered pair of models once: a symmetric matrix counts them
        twice.
    method : {"bonferroni", "holm", "benjamini-hochberg", "benjamini-yekutieli"}
        A key of `CORRECTIONS`.

    Returns
    -------
    float64 array
        Adjusted p-values in [0, 1], none smaller than its raw one.

    Raises
    ------
    ParameterError
        If the method is unknown, there are no p-values, or some are not in [0, 1]; all are listed.

    References
    ----------
    Wolfram & Schein 2025, section 4.1: "bonferroni" over the 276 pairs of 24 models; differs in
    nothing. Holm 1979; Benjamini & Hochberg 1995; Benjamini & Yekutieli 2001. Computed by
    statsmodels' `multipletests`.
    """
    if method not in CORRECTIONS:
        near = nearest_names(method, CORRECTIONS)
        raise ParameterError(
            f"method must be one of {listed(list(CORRECTIONS))}; got {method!r}",
            hint=f"Did you mean {near[0]!r}?" if near else None,
        )
    raw = np.asarray(p_values, dtype=np.float64)
    if raw.size == 0:
        raise ParameterError(f"expected at least one p-value; got none, in shape {raw.shape}")
    refused = ~((raw >= 0) & (raw <= 1))
    if refused.any():
        where = [f"{raw[tuple(at)]:g} at {_place(at)}" for at in np.argwhere(refused)]
        raise ParameterError(
            f"p-values must lie in 0 to 1; got {listed(where)} (counted from 0)",
            hint="A pair without a p-value (a model with one layer) is not a test: leave it out.",
        )
    # statsmodels imports pandas: a second that only those who adjust should wait
    from statsmodels.stats.multitest import multipletests

    adjusted = np.asarray(multipletests(raw.ravel(), method=_STATSMODELS[method])[1])
    return adjusted.reshape(raw.shape)


def _place(index: np.ndarray) -> str:
    return str(index[0]) if len(index) == 1 else str(tuple(index.tolist()))
