"""Which layer of one model corresponds to which of another?

The correspondence is the most similar monotone path through the affinity matrix
(`isodepth.statistics.alignment`): it never turns back, and it uses every layer of both models. With
matrices of resampled texts it has bands.

There always is such a path, through noise as well, and it always looks better than others, as it was
searched for. So its similarity alone proves nothing. What tells whether to trust it:

- `match_disagreement`: how far the path is from the most similar layer of each layer by itself, which
  nobody told to keep the order. On the 276 published pairs it is 0.03 of a model's depth at the median
  and at most 0.06 for web text, 0.05 and at most 0.28 for random strings. Two bright blocks without a
  ridge give 0.16, and noise about 0.33 (models of 11 to 80 layers: above 0.23 in 19 of 20). A map that
  disagrees by more than 0.1 is not to be trusted.
- `path_similarity` against `proportional_similarity` (the path that needs no search) and
  `mean_similarity` (no path at all). If the last is as high, there is no ridge to follow.
- The margin of each layer: near 0, its match is as good as any other. The width of the bands.
- `coupling_disagreement` with the optimal-transport coupling, which keeps no order either. Its even
  masses tie it to proportional depth, so it disagrees with a stretched map as well (web text: 0.07, of
  which the absolute departure is nearly all; depth squared 0.17; noise 0.31). Low, it confirms a
  proportional map. High, it says nothing where `match_disagreement` is low.

Compressed segments are found in noise, too, some 2 or 3 a pair. Their support under resampled texts
tells whether they would be found again.

>>> found = depth_map(np.eye(5))
>>> found.left_to_right.nearest
array([1, 2, 3, 4, 5])

Memory: some 200 bytes a cell; with resamples 100 bytes a layer and resample besides the matrices.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int64

from isodepth.axes import AffinityValues, relative_depths
from isodepth.errors import ParameterError
from isodepth.statistics.alignment import best_spans, proportional_spans
from isodepth.statistics.correspondence import Correspondence, correspondence
from isodepth.statistics.diagonal import generalized_diagonal
from isodepth.statistics.matching import layer_matches
from isodepth.statistics.stretch import (
    CompressedSegment,
    Departure,
    compressed_segments,
    departure,
    local_slopes,
)
from isodepth.statistics.transport import TransportCoupling, transport_coupling

if TYPE_CHECKING:
    import pyarrow

TRUSTED_DISAGREEMENT = 0.1
"""The most of `match_disagreement` with which a map is to be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DepthMap:
    """A monotone correspondence between the layers of two models. Make one with `depth_map`.

    Parameters
    ----------
    left, right : str
        The models' names.
    path : int64 array (steps, 2)
        The cells of the path as array indices (left, right), from 0. Everything else counts layers
        from 1.
    left_to_right, right_to_left : Correspondence
        What every left layer is matched with, and every right one.
    one_to_one : int64 array (pairs, 2)
        Layer numbers (left, right), from 1: as many cells of the path as leave no layer with two
        partners, of these the most similar ones. For merging, where a layer can be used once.
    departure : Departure
        How far from proportional depth.
    segments : tuple of CompressedSegment
        Runs of layers that correspond to less than half as many as proportional depth gives them:
        those of the left model, then those of the right one.
    path_similarity : float
        The mean similarity along the path, weighted as it was chosen.
    proportional_similarity : float
        The same along the path of proportional depth.
    diagonal_similarity : float
        The plain mean over the paper's generalized diagonal.
    mean_similarity : float
        The plain mean over all cells.
    coupling : TransportCoupling
        The most similar coupling without regard to order.
    match_disagreement : float
        The mean absolute difference, in depth and over the layers of both models, between the matched
        position and the most similar layer, in [0, 1). Above 0.1 the map is not to be trusted.
    coupling_disagreement : float
        The same between the matched position and the coupling's barycentric map. Above 0.2 the map is
        not to be trusted, unless `match_disagreement` is low: then the models are stretched.
    n_resamples : int
        How many resamples the bands and intervals are from; 0 where there are none.
    """

    left: str
    right: str
    path: Int64[np.ndarray, "steps 2"]
    left_to_right: Correspondence
    right_to_left: Correspondence
    one_to_one: Int64[np.ndarray, "pairs 2"]
    departure: Departure
    segments: tuple[CompressedSegment, ...]
    path_similarity: float
    proportional_similarity: float
    diagonal_similarity: float
    mean_similarity: float
    coupling: TransportCoupling
    match_disagreement: float
    coupling_disagreement: float
    n_resamples: int

    def __repr__(self) -> str:
        sizes = (len(self.left_to_right.layer), len(self.right_to_left.layer))
        return (
            f"DepthMap({self.left!r} x {self.right!r}, (layers, layers) = {sizes}, path similarity "
            f"{self.path_similarity:.3f}, departure {self.departure.signed})"
        )

    def _repr_html_(self) -> str:
        from isodepth.statistics.shown import depth_map_html

        return depth_map_html(self)

    def to_table(self) -> "pyarrow.Table":
        """Return one row per layer and direction: what it is matched with, how well and how surely.

        Columns: direction ("left_to_right", "right_to_left"), from and to (models), from_layer,
        from_depth, nearest_layer, to_layer (the matched position), to_depth, to_first, to_last; low,
        high, simultaneous_low, simultaneous_high (bands of to_layer); similarity, margin, slope. Layers
        count from 1. What there is none of, such as bands without resamples, is null.
        """
        import pyarrow

        text, whole, real = pyarrow.string(), pyarrow.int32(), pyarrow.float64()
        types = {"direction": text, "from": text, "to": text}
        types |= dict.fromkeys(("from_layer", "nearest_layer", "to_first", "to_last"), whole)
        rows = [
            {"direction": direction, "from": names[0], "to": names[1], **row}
            for direction, names, found in (
                ("left_to_right", (self.left, self.right), self.left_to_right),
                ("right_to_left", (self.right, self.left), self.right_to_left),
            )
            for row in _rows(found)
        ]
        schema = pyarrow.schema([(name, types.get(name, real)) for name in rows[0]])
        return pyarrow.Table.from_pylist(rows, schema=schema)

    def as_dict(self) -> Mapping[str, Any]:
        """Return everything that a script needs as JSON values. All layers count from 1.

        Keys: left and right (models), left_layers and right_layers (how many); left_to_right and
        right_to_left (a row per layer as in `to_table`, null where there is none); path and one_to_one
        (pairs of layers); departure (estimates); segments, each with its factor; path_similarity,
        proportional_similarity, diagonal_similarity, mean_similarity; coupling (similarity,
        crossing_share, barycentric maps); match_disagreement, coupling_disagreement; n_resamples.
        """
        return {
            "left": self.left,
            "right": self.right,
            "left_layers": len(self.left_to_right.layer),
            "right_layers": len(self.right_to_left.layer),
            "left_to_right": _rows(self.left_to_right),
            "right_to_left": _rows(self.right_to_left),
            "path": (self.path + 1).tolist(),
            "one_to_one": self.one_to_one.tolist(),
            "departure": asdict(self.departure),
            "segments": [{**asdict(segment), "factor": segment.factor} for segment in self.segments],
            "path_similarity": self.path_similarity,
            "proportional_similarity": self.proportional_similarity,
            "diagonal_similarity": self.diagonal_similarity,
            "mean_similarity": self.mean_similarity,
            "coupling": {
                "similarity": self.coupling.similarity,
                "crossing_share": self.coupling.crossing_share,
                "left_to_right": self.coupling.left_to_right.tolist(),
                "right_to_left": self.coupling.right_to_left.tolist(),
            },
            "match_disagreement": self.match_disagreement,
            "coupling_disagreement": self.coupling_disagreement,
            "n_resamples": self.n_resamples,
        }


def depth_map(
    values: AffinityValues,
    *,
    left: str = "left",
    right: str = "right",
    resampled: Float[np.ndarray, "resamples layers_left layers_right"] | None = None,
    level: float = 0.95,
    n_texts: int | None = None,
) -> DepthMap:
    """Return which layers of two models correspond, in order of depth.

    Parameters
    ----------
    values : float64 array (layers_left, layers_right)
        An affinity matrix.
    left, right : str
        The models' names, for what is written.
    resampled : float array (resamples, layers_left, layers_right), optional
        The same matrix under resampled texts. Each has its path, and their spread gives the bands and
        intervals. At least 1 / (1 - level) of them.
    level : float
        Of the bands and intervals, in (0, 1).
    n_texts : int, optional
        How many texts there are. Must be given with `resampled`, as no interval goes without saying
        what it is from; without, the estimates show 0 where it is left out.

    Returns
    -------
    DepthMap
        Read its module's docstring for what tells whether to trust it.

    Raises
    ------
    ParameterError
        If values are not finite, a side has no layer, or resamples, level and texts do not fit.

    References
    ----------
    Wolfram & Schein 2025, section 4 ("stretched and squeezed", "layer compression") and figure 5a,
    which takes the most similar layer of each by itself. Order, bands, departure and segments are ours.

    Examples
    --------
    Six layers that hold what the other model does in three:

    >>> found = depth_map(np.repeat(np.eye(3), 2, axis=0))
    >>> found.left_to_right.nearest
    array([1, 1, 2, 2, 3, 3])
    >>> found.right_to_left.layer
    array([1.5, 3.5, 5.5])
    >>> round(found.departure.absolute.value, 6)
    0.0
    """
    _check_resamples(values, resampled, level, n_texts)
    single = values[np.newaxis]
    spans = best_spans(single)
    path, path_similarity = spans.path(), spans.means(single)
    if resampled is not None:
        spans = spans.followed_by(best_spans(resampled, "resampled"))
    coupling, matches = transport_coupling(values), layer_matches(values)
    n_left, n_right = values.shape
    found: list[Correspondence] = []
    segments: list[CompressedSegment] = []
    for side, matrix, positions, first, last in (
        ("left", values, spans.left_partners(), spans.left_first[0], spans.left_last[0]),
        ("right", values.T, spans.right_partners(), spans.right_first[0], spans.right_last[0]),
    ):
        slopes = local_slopes(positions, matrix.shape[1])
        found.append(
            correspondence(
                matrix,
                first,
                last,
                slope=None if slopes is None else slopes[0],
                resampled=None if resampled is None else positions[1:],
                level=level,
            )
        )
        if slopes is not None:
            segments += compressed_segments(side, slopes, first, last)
    left_to_right, right_to_left = found
    return DepthMap(
        left=left,
        right=right,
        path=path,
        left_to_right=left_to_right,
        right_to_left=right_to_left,
        one_to_one=_one_to_one(values, path),
        departure=departure(spans, level=level, n_texts=n_texts or 0),
        segments=tuple(segments),
        path_similarity=float(path_similarity[0]),
        proportional_similarity=float(proportional_spans(n_left, n_right).means(single)[0]),
        diagonal_similarity=float(values[generalized_diagonal(n_left, n_right)].mean()),
        mean_similarity=float(values.mean()),
        coupling=coupling,
        match_disagreement=_disagreement(found, (matches.left_to_right + 1, matches.right_to_left + 1)),
        coupling_disagreement=_disagreement(found, (coupling.left_to_right, coupling.right_to_left)),
        n_resamples=0 if resampled is None else len(resampled),
    )


def _check_resamples(
    values: AffinityValues,
    resampled: Float[np.ndarray, "resamples layers_left layers_right"] | None,
    level: float,
    n_texts: int | None,
) -> None:
    """Raise `ParameterError`, naming all reasons, unless resamples, level and texts fit each other."""
    problems = []
    if not 0 < level < 1:
        problems.append(f"level must lie between 0 and 1; got {level}")
    if n_texts is not None and n_texts < 1:
        problems.append(f"n_texts must be at least 1; got {n_texts}")
    if resampled is not None:
        if resampled.ndim != 3 or resampled.shape[1:] != values.shape:
            problems.append(
                "resampled must be (resamples, layers_left, layers_right) with the layers of values, "
                f"{values.shape}; got {resampled.shape}"
            )
        elif 0 < level < 1 and len(resampled) < (fewest := math.ceil(1 / (1 - level) - 1e-9)):
            problems.append(
                f"a band of level {level} needs at least {fewest} resamples; got {len(resampled)}"
            )
        if n_texts is None:
            problems.append("n_texts must be given with resampled")
    if problems:
        raise ParameterError(
            f"depth map: {'; '.join(problems)}",
            hint="n_texts is how many texts the matrix was computed on."
            if resampled is not None and n_texts is None
            else None,
        )


def _disagreement(found: Sequence[Correspondence], others: Sequence[np.ndarray]) -> float:
    """Return the mean absolute difference in depth between matched and other positions."""
    n_layers = (len(found[1].layer), len(found[0].layer))  # of the model that each one leads to
    gaps = [
        np.abs(side.layer - other) / n_other
        for side, other, n_other in zip(found, others, n_layers, strict=True)
    ]
    return float(np.concatenate(gaps).mean())


def _one_to_one(
    values: AffinityValues, path: Int64[np.ndarray, "steps 2"]
) -> Int64[np.ndarray, "pairs 2"]:
    """Return the most cells of a path, then the most similar ones, that share no layer; from 1."""
    best: list[tuple[int, float]] = []  # for each cell, as the last one: how many, and their similarity
    before: list[int] = []
    best_before: list[int] = []  # for each cell, the best last one up to it
    n_before = 0
    for place, (i, j) in enumerate(path):
        # the cells with both layers earlier are those up to some place, which only moves on
        while path[n_before][0] < i and path[n_before][1] < j:
            n_before += 1
        chosen = best_before[n_before - 1] if n_before else -1
        count, similarity = best[chosen] if n_before else (0, 0.0)
        best.append((count + 1, similarity + float(values[i, j])))
        before.append(chosen)
        leader = best_before[-1] if best_before else place
        best_before.append(place if best[place] > best[leader] else leader)
    places = []
    place = best_before[-1]
    while place >= 0:
        places.append(place)
        place = before[place]
    return path[places[::-1]] + 1


def _rows(found: Correspondence) -> list[dict[str, Any]]:
    """Return a correspondence layer by layer, as JSON values; None stands for what there is none of."""
    n_layers = len(found.layer)
    columns = {
        "from_layer": np.arange(1, n_layers + 1),
        "from_depth": relative_depths(n_layers),
        "nearest_layer": found.nearest,
        "to_layer": found.layer,
        "to_depth": found.depth,
        "to_first": found.first,
        "to_last": found.last,
        **{
            name: None if found.bands is None else getattr(found.bands, name)
            for name in ("low", "high", "simultaneous_low", "simultaneous_high")
        },
        "similarity": found.similarity,
        "margin": found.margin,
        "slope": found.slope,
    }
    cells = {name: _cells(column, n_layers) for name, column in columns.items()}
    return [{name: cells[name][layer] for name in cells} for layer in range(n_layers)]


def _cells(column: np.ndarray | None, n_layers: int) -> list[int | float | None]:
    if column is None:
        return [None] * n_layers
    return [None if math.isnan(number) else number for number in column.tolist()]
