"""Who are the nearest neighbors among some of the texts? Read off the lists of all texts.

What is nearest among some texts is nearest in a text's full list too, once all others are struck out.
So the k nearest within a subset are exact wherever k of its members stand in the list that is stored;
nothing is searched for again. Of a random subset of m of n texts, a list of K holds K (m - 1) / (n - 1)
members on average.

>>> ids = np.array([[[1, 2, 3], [0, 3, 2], [3, 1, 0], [2, 0, 1]]], dtype=np.int32)
>>> lists, has_enough = subset_neighbors([ids], np.array([0, 2, 3]), 1)
>>> lists[0][0].T, has_enough
(array([[1, 2, 1]], dtype=int32), array([ True,  True,  True]))

Memory: the lists of the subset, and 10 bytes an entry of one layer's.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32, Integer

from isodepth.errors import ParameterError

RARELY = 1e-3
"""How often a list of a random subset may hold too few members."""


def subset_neighbors(
    ids: Sequence[Int32[np.ndarray, "_ texts _"]], members: Integer[np.ndarray, " members"], k: int
) -> tuple[list[Int32[np.ndarray, "_ members k"]], Bool[np.ndarray, " members"]]:
    """Return the `k` nearest neighbors of a subset's texts among the subset, and for which it has them.

    Parameters
    ----------
    ids : sequence of int32 arrays (layers, texts, K)
        Neighbors of the same texts, nearest first; the numbers of layers and of neighbors may differ.
    members : integer array (members,)
        The rows of the subset, ascending, none twice.
    k : int
        Neighbors per text, fewer than there are members.

    Returns
    -------
    lists : list of int32 arrays (layers, members, k)
        Neighbors as places in `members`, nearest first, ties as in `ids`.
    has_enough : bool array (members,)
        False where a list of any layer of any array holds fewer than `k` members. These texts have the
        list 0 to k - 1 in all layers, which stands for nothing.

    Raises
    ------
    ParameterError
        If `members` are not ascending rows, or not more than `k`.
    """
    n_texts = ids[0].shape[1]
    in_order = len(members) > 0 and members[0] >= 0 and members[-1] < n_texts
    if not in_order or (np.diff(members) <= 0).any():
        raise ParameterError(
            f"members of a subset must be ascending rows in 0 to {n_texts - 1}, none twice"
        )
    if not 1 <= k < len(members):
        raise ParameterError(
            f"k = {k} neighbors among {len(members):,} members: expected 1 <= k < {len(members):,}"
        )
    place_of = np.full(n_texts, -1, dtype=np.int32)
    place_of[members] = np.arange(len(members), dtype=np.int32)
    has_enough = np.ones(len(members), dtype=bool)
    lists = [np.empty((len(of_model), len(members), k), dtype=np.int32) for of_model in ids]
    for found, of_model in zip(lists, ids, strict=True):
        for layer, of_layer in zip(found, of_model, strict=True):
            places = place_of[of_layer[members]]
            is_member = places >= 0
            rank = is_member.cumsum(axis=1, dtype=np.int32)
            is_first = is_member & (rank <= k)
            enough = rank[:, -1] >= k
            layer[enough] = places[enough][is_first[enough]].reshape(-1, k)
            has_enough &= enough
    for found in lists:
        found[:, ~has_enough] = np.arange(k, dtype=np.int32)
    return lists, has_enough


def fewest_texts(n_texts: int, n_listed: int, k: int) -> int:
    """Return how small a random subset may be for nearly all lists to hold `k` of its members.

    Nearly all: at most one in a thousand lists holds fewer. That number is hypergeometric, and the same
    for every text of every layer, since the subset is drawn without a look at them.

    Parameters
    ----------
    n_texts, n_listed : int
        Texts, and neighbors that are stored of each.
    k : int
        Neighbors that are wanted of each.

    Returns
    -------
    int
        From `k` + 1 to `n_texts`.
    """
    from scipy.stats import hypergeom

    sizes = np.arange(k + 1, n_texts + 1)
    lacking = hypergeom.cdf(k - 1, n_texts - 1, n_listed, sizes - 1)
    return int(sizes[np.flatnonzero(lacking <= RARELY)[0]]) if (lacking <= RARELY).any() else n_texts
