"""What could explain a study's picture away, on all of its text sets?

>>> found.controls_table().to_pandas()                                          # doctest: +SKIP

Memory: that of the tables, and of the matrices of all pairs of models under every control, in float32.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isodepth.affinity import AffinityMatrix
from isodepth.confounds.table import ConfoundTable
from isodepth.results.study import read_title

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSetConfounds:
    """What could explain the picture of one text set away.

    Parameters
    ----------
    name, capture, pooling : str
        The text set, and what was read.
    table : ConfoundTable
        How far each control moves the profile; its ``matrices`` are those of all pairs of models under
        every control.
    inputs : mapping of str to tuple of AffinityMatrix
        By text-only baseline: every model, left, against the neighbors by the texts alone, one layer.
    matrices : tuple of AffinityMatrix
        The models against each other, without a control.
    notes : tuple of str
        What to mind.
    """

    name: str
    capture: str
    pooling: str
    table: ConfoundTable
    inputs: Mapping[str, tuple[AffinityMatrix, ...]]
    matrices: tuple[AffinityMatrix, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The text set, with capture and pooling where they are not the usual ones."""
        return read_title(self.name, self.capture, self.pooling)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyConfounds:
    """What could explain a study's picture away. Made by `isodepth.pipeline.study_confounds`.

    Parameters
    ----------
    name : str
        The study's name.
    sets : tuple of TextSetConfounds
        By text set, capture and pooling.
    notes : tuple of str
        What could not be had.
    """

    name: str
    sets: tuple[TextSetConfounds, ...]
    notes: tuple[str, ...] = ()

    def controls_table(self) -> "pyarrow.Table":
        """Return `ConfoundTable.to_table` of all sets, with ``texts``, ``capture`` and ``pooling``."""
        return _joined((one, one.table.to_table()) for one in self.sets)

    def matrices_tables(self) -> "Iterator[pyarrow.Table]":
        """Yield `ControlledMatrices.to_table` of each set and control, with where it belongs in front.

        One at a time, because all of them may be large: some 140 bytes a cell.
        """
        for one in self.sets:
            for matrices in one.table.matrices:
                yield _joined([(one, matrices.to_table())])

    def inputs_table(self) -> "pyarrow.Table":
        """Return how alike layers are to the texts alone: baseline, model, layer, depth, similarity."""
        return _joined((one, _inputs_table(one)) for one in self.sets)


def _inputs_table(one: TextSetConfounds) -> "pyarrow.Table":
    import pyarrow

    parts = []
    for baseline, matrices in one.inputs.items():
        for matrix in matrices:
            table = matrix.to_table().select(["left_layer", "left_depth", "similarity"])
            table = table.rename_columns(["layer", "depth", "similarity"])
            for place, (column, value) in enumerate((("baseline", baseline), ("model", matrix.left))):
                table = table.add_column(place, column, pyarrow.array([value] * len(table)))
            parts.append(table.append_column("chance", pyarrow.array([matrix.chance] * len(table))))
    return pyarrow.concat_tables(parts)


def _joined(parts: Iterable[tuple[TextSetConfounds, "pyarrow.Table"]]) -> "pyarrow.Table":
    """Return tables one below the other, with columns in front that say of which set each is."""
    import pyarrow

    tables = []
    for one, table in parts:
        for place, (column, value) in enumerate(
            (("texts", one.name), ("capture", one.capture), ("pooling", one.pooling))
        ):
            table = table.add_column(place, column, pyarrow.repeat(value, len(table)))
        tables.append(table)
    return pyarrow.concat_tables(tables)
