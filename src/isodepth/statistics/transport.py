"""Which layers correspond if order is not prescribed? Optimal transport between two models' layers.

Each model has a mass of 1, spread evenly over its layers. The coupling moves the left mass onto the
right layers so that the expected similarity is the highest. Nothing makes it monotone. Where the same
content lies at proportional depth in both models, it comes out monotone by itself, and the share of
mass that crosses is near 0. Unrelated layers give 1/2.

What it cannot do: as every layer has to place its even share, the only monotone coupling is the
proportional one. Where one model is stretched against the other, mass is left over and crosses although
content rises with depth in both: a planted ridge at depth squared gives a crossing share of 0.3. So a
low share speaks for order at proportional depth; a high one does not tell disorder from stretch.

Masses are counted in units of 1 / (layers_left x layers_right), in which each left layer has
layers_right and each right layer layers_left. An optimal corner of the linear program is whole in these
units, so both margins are met exactly. Where several couplings are equally similar, the one nearest to
proportional depth is taken (least mean square of the difference in depth).

>>> transport_coupling(np.array([[0.5, 0.1], [0.2, 0.6]])).coupling.tolist()
[[0.5, 0.0], [0.0, 0.5]]

Memory: some 100 bytes a cell. Two models of 80 layers take some 30 ms.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from isodepth.axes import AffinityValues
from isodepth.errors import ParameterError

TIED = 1e-9
"""A cell whose use costs less than this share of the range of similarities is as good as those used."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransportCoupling:
    """The most similar coupling of two models' layers. Make one with `transport_coupling`.

    Parameters
    ----------
    coupling : float64 array (layers_left, layers_right)
        The mass that each pair of layers shares; sums to 1, each row to 1 / layers_left, each column to
        1 / layers_right.
    similarity : float
        The expected similarity. It is the highest that any coupling reaches, so it is no evidence that
        layers correspond.
    crossing_share : float
        Of all pairs of mass that differ in layer on both sides, the share in opposite order, in
        [0, 1]: 0 is monotone, 1 reversed, 1/2 without any order. 0 where no pair differs on both sides
        (a model of one layer).
    left_to_right : float64 array (layers_left,)
        The barycentric map: the mean number, from 1, of the right layers that a left one shares mass
        with.
    right_to_left : float64 array (layers_right,)
        The same the other way.
    """

    coupling: AffinityValues
    similarity: float
    crossing_share: float
    left_to_right: Float64[np.ndarray, " layers_left"]
    right_to_left: Float64[np.ndarray, " layers_right"]


def transport_coupling(values: AffinityValues) -> TransportCoupling:
    """Return the coupling of two models' layers that has the highest expected similarity.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix.

    Raises
    ------
    ParameterError
        If values are not finite, or a side has no layer.

    References
    ----------
    Kantorovich's problem with uniform margins, solved exactly (Peyré & Cuturi 2019, "Computational
    optimal transport", sections 2.3 and 3.1; remark 4.11 for barycentric projection). The crossing
    share is the discordant part of Kendall's tau, of masses. Not in the paper.
    """
    if values.size == 0:
        raise ParameterError(
            "values must hold at least one layer of either model; got (layers_left, layers_right) = "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise ParameterError("values must be finite; the matrix holds NaN or infinity")
    n_left, n_right = values.shape
    coupling = _units(values) / (n_left * n_right)
    return TransportCoupling(
        coupling=coupling,
        similarity=float((coupling * values).sum()),
        crossing_share=_crossing_share(coupling),
        left_to_right=coupling @ np.arange(1.0, n_right + 1) * n_left,
        right_to_left=np.arange(1.0, n_left + 1) @ coupling * n_right,
    )


def _units(values: AffinityValues) -> np.ndarray:
    """Return the best coupling in whole units, of equally good ones the nearest to proportional."""
    n_left, n_right = values.shape
    highest, span = values.max(), np.ptp(values)
    costs = (highest - values) / span if span > 0 else np.zeros(values.shape)
    units, prices = _cheapest(costs, np.ones(values.shape, dtype=bool))
    # what an optimal coupling may use: the cells that cost nothing beyond the prices of their layers
    equally_good = (prices < TIED) | (units > 0)
    left_depths = (np.arange(n_left) + 0.5) / n_left
    right_depths = (np.arange(n_right) + 0.5) / n_right
    detours = (left_depths[:, np.newaxis] - right_depths) ** 2
    return _cheapest(detours, equally_good)[0]


def _cheapest(costs: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the units of the cheapest coupling on the allowed cells, and what others would add."""
    from scipy import sparse
    from scipy.optimize import linprog

    n_left, n_right = costs.shape
    left, right = np.nonzero(allowed)
    cells = np.arange(len(left))
    margins = sparse.csc_array(
        (np.ones(2 * len(cells)), (np.concatenate([left, n_left + right]), np.tile(cells, 2))),
        shape=(n_left + n_right, len(cells)),
    )
    masses = np.repeat([float(n_right), float(n_left)], [n_left, n_right])
    # the dual simplex ends in a corner, which is whole
    solution = linprog(costs[allowed], A_eq=margins, b_eq=masses, method="highs-ds")
    units, prices = np.zeros(costs.shape), np.full(costs.shape, np.inf)
    units[allowed] = np.rint(solution.x)
    prices[allowed] = solution.lower.marginals
    assert (units.sum(axis=1) == n_right).all()
    assert (units.sum(axis=0) == n_left).all()
    return units, prices


def _crossing_share(coupling: AffinityValues) -> float:
    """Return the share of discordant pairs of mass among those that differ on both sides."""

    def pairs_with(mass: np.ndarray) -> float:
        earlier = np.zeros((mass.shape[0] + 1, mass.shape[1] + 1))
        earlier[1:, 1:] = mass.cumsum(axis=0).cumsum(axis=1)
        return float((mass * earlier[:-1, :-1]).sum())

    concordant, discordant = pairs_with(coupling), pairs_with(coupling[:, ::-1])
    total = concordant + discordant
    return discordant / total if total > 0 else 0.0
