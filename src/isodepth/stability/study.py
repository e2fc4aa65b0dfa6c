"""How firm is a study's picture? What was found of each text set, as tables.

>>> found["wikipedia"].layers[0].hub_skewness                                    # doctest: +SKIP
>>> found.curves_table().to_pandas()                                             # doctest: +SKIP

Memory: a few kilobytes a model and pair.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from isodepth.affinity import AffinityMatrix
from isodepth.axes import layer_numbers, relative_depths
from isodepth.errors import UnknownNameError, counted, listed, nearest_names
from isodepth.notebook import card, table
from isodepth.results.study import read_title
from isodepth.stability.layers import LayerStability
from isodepth.stability.points import SimilarityCurves, calibrated

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSetStability:
    """How firm what was found on one text set is, for one capture and pooling.

    Parameters
    ----------
    name : str
        What the study calls the text set.
    capture, pooling : str
        What was read.
    k : int
        Neighbors per text.
    layers : tuple of LayerStability
        One a model; of parallel texts, one a model and side.
    curves : SimilarityCurves or None
        None where one model alone was read.
    ceilings : tuple of AffinityMatrix
        Models, left, against themselves read another way.
    matrices : tuple of AffinityMatrix
        The pairs of models at `k`, where there are ceilings to hold them against.
    notes : tuple of str
        What to mind.
    """

    name: str
    capture: str
    pooling: str
    k: int
    layers: tuple[LayerStability, ...]
    curves: SimilarityCurves | None
    ceilings: tuple[AffinityMatrix, ...] = ()
    matrices: tuple[AffinityMatrix, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Its name, with what was read where that is not the block at the last token."""
        return read_title(self.name, self.capture, self.pooling)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyStability:
    """How firm a study's picture is. Made by `isodepth.pipeline.study_stability`.

    Parameters
    ----------
    name : str
        The study's name.
    sets : tuple of TextSetStability
        One for each text set, capture and pooling.
    """

    name: str
    sets: tuple[TextSetStability, ...]

    def __getitem__(self, set_name: str) -> TextSetStability:
        titles = {one.title: one for one in self.sets}
        if set_name not in titles:
            near = nearest_names(set_name, titles)
            raise UnknownNameError(
                f"{self.name} has nothing on {set_name!r}; it has {listed(list(titles), most=20)}",
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        return titles[set_name]

    def layers_table(self) -> "pyarrow.Table":
        """Return one row a layer: where it belongs, how neighbors were found, and `QUANTITIES`."""
        return _stacked(
            self.sets,
            lambda one: [
                _with_first(
                    layers.to_table(),
                    model=layers.model,
                    n_texts=layers.n_texts,
                    k=layers.k,
                    metric=layers.metric,
                    preprocessing=layers.preprocessing,
                )
                for layers in one.layers
            ],
        )

    def curves_table(self) -> "pyarrow.Table":
        """Return the rows of `SimilarityCurves.to_table` with texts, capture and pooling."""
        return _stacked(self.sets, lambda one: [] if one.curves is None else [one.curves.to_table()])

    def ceilings_table(self) -> "pyarrow.Table":
        """Return one row a copy and layer: its similarity with itself read another way."""
        return _stacked(self.sets, lambda one: [_ceiling_table(copy) for copy in one.ceilings])

    def __repr__(self) -> str:
        return f"StudyStability({self.name!r}, sets = {listed([one.title for one in self.sets])})"

    def _repr_html_(self) -> str:
        rows = [
            (
                one.title,
                layers.model,
                f"{np.max(layers.unresolved):.3f}",
                f"{np.min(layers.hub_skewness):.2f} to {np.max(layers.hub_skewness):.2f}",
            )
            for one in self.sets
            for layers in one.layers
        ]
        header = ("texts", "model", "unresolved, at most", "hub skewness")
        return card(
            "StudyStability",
            f"{self.name}, {counted(len(self.sets), 'text set')}",
            tables_html=[table(rows, header=header)],
            notes=dict.fromkeys(note for one in self.sets for note in one.notes),
        )


def _stacked(
    sets: Sequence[TextSetStability],
    tables: Callable[[TextSetStability], Sequence["pyarrow.Table"]],
) -> "pyarrow.Table":
    """Return the tables of all text sets, one below the other, with what they are of; or no rows."""
    import pyarrow

    found = [
        _with_first(part, texts=one.name, capture=one.capture, pooling=one.pooling)
        for one in sets
        for part in tables(one)
    ]
    return pyarrow.concat_tables(found) if found else pyarrow.table({})


def _with_first(found: "pyarrow.Table", **same: str | int) -> "pyarrow.Table":
    """Return a table with columns in front that say the same in all rows."""
    import pyarrow

    for place, (name, value) in enumerate(same.items()):
        kind = pyarrow.string() if isinstance(value, str) else pyarrow.int32()
        found = found.add_column(place, name, pyarrow.repeat(pyarrow.scalar(value, kind), len(found)))
    return found


def _ceiling_table(copy: AffinityMatrix) -> "pyarrow.Table":
    import pyarrow

    similarity = np.diag(copy.values)
    n_layers = len(similarity)
    chance = copy.k / (copy.n_texts - 1)
    columns = {
        "layer": pyarrow.array(layer_numbers(n_layers), "int32"),
        "depth": pyarrow.array(relative_depths(n_layers)),
        "similarity": pyarrow.array(similarity),
        "calibrated": pyarrow.array(calibrated(similarity, chance)),
    }
    return _with_first(
        pyarrow.table(columns), model=copy.left, copy=copy.right, n_texts=copy.n_texts, k=copy.k
    )
