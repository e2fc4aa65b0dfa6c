"""Which texts are equal in length? Groups of texts within which neighbors are sought.

A text set tells its texts and where the set comes from, but of no single text its source or language:
such labels are the user's, one a text. Length is there for all.

>>> length_strata(["a", "bb", "ccc", "dddd"] * 15, k=3)[:4]
['1 to 2 characters', '1 to 2 characters', '3 to 3 characters', '4 to 4 characters']

Memory: none to speak of.
"""

from collections.abc import Sequence

import numpy as np

from isodepth.confounds.candidates import n_needed

MOST_STRATA = 10


def length_strata(texts: Sequence[str], *, k: int) -> list[str]:
    """Return which group of about equal length each text belongs to: "204 to 310 characters".

    Parameters
    ----------
    texts : sequence of str
        Length counts characters.
    k : int
        Neighbors that count. There are as many groups as leave each twice the texts that these and
        resampling need, at most ten, at least one: 6 of 256 texts at k = 10. Texts of one length are
        never parted, so groups may be unequal, and fewer.
    """
    n_texts = len(texts)
    n_strata = max(1, min(MOST_STRATA, n_texts // (2 * n_needed(k) + 1)))
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    n_shorter = np.searchsorted(np.sort(lengths), lengths)
    strata = n_shorter * n_strata // max(n_texts, 1)
    names = {
        stratum: f"{lengths[strata == stratum].min()} to {lengths[strata == stratum].max()} characters"
        for stratum in np.unique(strata)
    }
    return [names[stratum] for stratum in strata]
