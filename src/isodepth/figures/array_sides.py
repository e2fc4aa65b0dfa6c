"""Which models stand along a side of an array, and where are their names and layer numbers?

>>> columns = array_side(("gemma-2b", "gemma-7b"), (18, 28), {}, equal=False)
>>> columns.edges
array([ 0., 18., 46.])
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text

from isodepth.figures.theme import INK, MUTED, beside_axis, one_line, reach

LONGEST_NAME = 60
"""Characters of a name beside an array."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArraySide:
    """The models along one side of an array, in the order drawn.

    `edges` are where models begin and end on the axis, in layers, or in models where all are equal;
    `families` names with the first model and the one after the last, a group whose models do not stand
    together several times.
    """

    labels: tuple[str, ...]
    n_layers: tuple[int, ...]
    edges: Float64[np.ndarray, " _"]
    families: tuple[tuple[str, int, int], ...]

    @property
    def length(self) -> float:
        """How long the axis is, in layers or in models."""
        return float(self.edges[-1])


def array_side(
    labels: tuple[str, ...],
    n_layers: tuple[int, ...],
    groups: Mapping[str, Sequence[str]],
    *,
    equal: bool,
) -> ArraySide:
    """Return the models of a side, with the families that stand together."""
    family_of = {label: family for family, members in groups.items() for label in members}
    families, first = [], 0
    for family, members in groupby(map(family_of.get, labels)):
        after = first + len(list(members))
        if family is not None:
            families.append((family, first, after))
        first = after
    return ArraySide(
        labels=labels,
        n_layers=n_layers,
        edges=np.cumsum([0, *([1] * len(labels) if equal else n_layers)], dtype=np.float64),
        families=tuple(families),
    )


def name_side(
    axes: Axes, side: ArraySide, unit: float, across: float, *, along: str, equal: bool
) -> float:
    """Write layer numbers, names and families beside the array; return the inches that they take.

    `across` are the array's inches on the other side.
    """
    points = unit * 72
    write = partial(beside_axis, axes, along=along)
    numbers = _number_layers(axes, side, points, along=along, equal=equal)
    outward = 9.0 + reach(numbers, along=along)
    size = float(np.clip(0.75 * np.diff(side.edges).min() * points, 4.0, 8.0))
    names = [
        write(f"{_short(label)} ({n_layers})", center, outward, size=size)
        for label, n_layers, center in zip(
            side.labels, side.n_layers, (side.edges[:-1] + side.edges[1:]) / 2, strict=True
        )
    ]
    outward += reach(names, along=along) + 5
    place = -outward / 72 / across
    transform = axes.get_yaxis_transform() if along == "y" else axes.get_xaxis_transform()
    families = []
    for family, first, after in side.families:
        gap = 1.5 / points  # brackets of neighbors do not touch
        ends = (side.edges[first] + gap, side.edges[after] - gap)
        x, y = ((place, place), ends) if along == "y" else (ends, (place, place))
        bracket = Line2D(x, y, color=INK, linewidth=1.2, label="family", transform=transform)
        bracket.set_clip_on(False)
        axes.add_artist(bracket)
        families.append(write(_short(family), sum(ends) / 2, outward + 4, size=min(size + 1, 8.0)))
    outward += reach(families, along=along) + 8 * bool(families)
    return (outward + 4) / 72


def _short(name: str) -> str:
    """Return a name on one line, without the middle of a long one, which would dwarf the array."""
    line = one_line(name)
    if len(line) <= LONGEST_NAME:
        return line
    end = LONGEST_NAME // 3
    return f"{line[: LONGEST_NAME - end - 1]}…{line[-end:]}"


def _number_layers(
    axes: Axes, side: ArraySide, points: float, *, along: str, equal: bool
) -> list[Text]:
    """Write layer numbers where there is room: round ones in true proportions, else first and last."""
    axis = axes.yaxis if along == "y" else axes.xaxis
    axis.set_tick_params(length=2, width=0.5, color=MUTED)
    starts = list(zip(side.n_layers, side.edges[:-1].tolist(), strict=True))
    if equal:
        axis.set_ticks(side.edges.tolist(), labels=[])
        size, margin = float(np.clip(points / 8, 4, 7)), 1 / points
        ends = [(1, start + margin, "first") for _, start in starts]
        ends += [(last, start + 1 - margin, "last") for last, start in starts if last > 1]
    else:
        size = float(np.clip(points * 6, 4.5, 7))
        step = next((s for s in (1, 2, 5, 10, 20, 50, 100) if s * points >= 1.5 * size), 1000)
        ends = [
            (layer, start + layer - 0.5, "center")
            for n_layers, start in starts
            for layer in range(step, n_layers + 1, step)
        ]
        axis.set_ticks([place for _, place, _ in ends], labels=[])
    return [
        beside_axis(axes, str(layer), place, 4.0, along=along, size=size, end=end)
        for layer, place, end in ends
    ]
