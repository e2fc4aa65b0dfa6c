"""How far does each control move the profile? One table: every control, pair of models and part.

Each row holds a part of the diagonality profile under the control, the same without it, all else equal
(`isodepth.confounds.controlled`), and their difference, with intervals. Matrices are calibrated first,
(s - chance) / (1 - chance), so that 0 is chance and 1 the same neighbors.

The difference is better known than either: resampling weighs the same texts equally under both, so what
a sample of texts does to both cancels. In its interval stands what the control does.

A row's verdict is by that interval alone, against a tenth of what the part is without the control. It
holds for the row; of 20 controls that do nothing, one moves something at the level of 95 %.

>>> table = confound_table(all_controlled(activations, inputs))                 # doctest: +SKIP
>>> print(table.row("center", "on_minus_off").difference)                       # doctest: +SKIP
0.011 [0.006, 0.016]

Memory: some 500 bytes a row, and 4 bytes a cell of the matrices (`isodepth.confounds.matrices`);
`isodepth.confounds.differences` has what making it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isodepth.affinity.matrix import frame_of
from isodepth.confounds.matrices import AT_RANDOM, BASELINE, ControlledMatrices
from isodepth.confounds.verdicts import MOVES
from isodepth.errors import UnknownNameError, listed, nearest_names
from isodepth.notebook import MOST_ROWS, card, table
from isodepth.statistics.estimates import Estimate
from isodepth.statistics.profile import DiagonalityProfile

if TYPE_CHECKING:
    import pandas
    import pyarrow

RESTRICTED = ("exclusion", "stratum")
"""Kinds of controls that have baselines of their own."""
SHOWN_PARTS = ("mean", "on_minus_off", "association", "depth_deviation")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfoundRow:
    """What a control does to a part of the profile of a pair of models, or of all pairs on average.

    Parameters
    ----------
    control, kind : str
        The control's name, and its kind, a key of `isodepth.confounds.KINDS`.
    left, right : str or None
        The models; None for the mean over all pairs.
    part : str
        A key of `isodepth.statistics.PROFILE`.
    value, baseline : Estimate
        With the control and without it, all else equal, of calibrated matrices.
    difference : Estimate
        With minus without; its interval is paired.
    verdict : str
        A key of `isodepth.confounds.MOVES`.
    n_texts : int
        Texts that were used.
    chance : float
        The similarity that was calibrated to 0 under the control.
    metric, preprocessing : str
        How neighbors were found under the control.
    """

    control: str
    kind: str
    left: str | None
    right: str | None
    part: str
    value: Estimate
    baseline: Estimate
    difference: Estimate
    verdict: str
    n_texts: int
    chance: float
    metric: str
    preprocessing: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ConfoundTable:
    """How far controls move the profile. Made by `confound_table`.

    Parameters
    ----------
    rows : tuple of ConfoundRow
        By control, pair (the mean over pairs first) and part.
    plain : mapping of str to Estimate
        The parts without a control on all texts, mean over pairs.
    sentences : mapping of str to str
        By control, what it did to these texts.
    problems : mapping of str to str
        By control that was not possible, why.
    k, n_texts : int
        Neighbors that count; texts that there are.
    metric, preprocessing : str
        How neighbors are found without a control.
    matrices : tuple of ControlledMatrices
        The matrices behind it, in the order of `mean_profiles`.
    """

    rows: tuple[ConfoundRow, ...]
    plain: Mapping[str, Estimate]
    sentences: Mapping[str, str]
    problems: Mapping[str, str]
    k: int
    n_texts: int
    metric: str
    preprocessing: str
    matrices: tuple[ControlledMatrices, ...]

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls that were possible."""
        return tuple(dict.fromkeys(row.control for row in self.rows))

    def of(
        self, control: str, *, left: str | None = None, right: str | None = None
    ) -> tuple[ConfoundRow, ...]:
        """Return the rows of a control and a pair of models, part by part; the mean over pairs if none.

        Raises
        ------
        UnknownNameError
            If there are none.
        """
        rows = [
            row for row in self.rows if (row.control, row.left, row.right) == (control, left, right)
        ]
        if not rows:
            why = self.problems.get(control)
            near = [] if why else nearest_names(control, self.controls)
            pair = "" if left is None and right is None else f" for {left} and {right}"
            raise UnknownNameError(
                f"the table has nothing of control {control!r}{pair}" + (f": {why}" if why else ""),
                hint=f"did you mean {' or '.join(near)}?"
                if near and control not in near
                else f"it has {listed(list(self.controls), most=30)}.",
            )
        return tuple(rows)

    def row(
        self, control: str, part: str, *, left: str | None = None, right: str | None = None
    ) -> ConfoundRow:
        """Return what a control does to one part, for a pair of models or on average over pairs.

        Raises
        ------
        UnknownNameError
            If there is no such control, pair or part.
        """
        rows = {row.part: row for row in self.of(control, left=left, right=right)}
        if part not in rows:
            raise UnknownNameError(
                f"the table has no part {part!r} of {control}",
                hint=f"it has {listed(list(rows), most=30)}.",
            )
        return rows[part]

    def mean_profiles(self) -> dict[str, DiagonalityProfile]:
        """Return the profile under each control, mean over pairs, for `figures.confound_figure`.

        The first is called "baseline". Before a control of candidates stands what it is held against,
        "same_length, at random".
        """
        profiles = {BASELINE: _profile(self.plain)}
        for control in self.controls:
            rows = self.of(control)
            if rows[0].kind in RESTRICTED:
                profiles[AT_RANDOM.format(control)] = _profile({row.part: row.baseline for row in rows})
            profiles[control] = _profile({row.part: row.value for row in rows})
        return profiles

    def to_table(self) -> "pyarrow.Table":
        """Return one row per control, pair and part; a control that was not possible has one row.

        Columns: control, kind, left, right (null: the mean over pairs), part; value, value_low,
        value_high, baseline, baseline_low, baseline_high, difference, difference_low, difference_high;
        level, verdict, n_texts, k, chance, metric, preprocessing (under the control), note. The note
        says what the control did to these texts, or why it was not possible.
        """
        import pyarrow

        text, whole, real = pyarrow.string(), pyarrow.int32(), pyarrow.float64()
        types = dict.fromkeys(("control", "kind", "left", "right", "part", "verdict", "note"), text)
        types |= dict.fromkeys(("metric", "preprocessing"), text)
        types |= dict.fromkeys(("n_texts", "k"), whole)
        rows = [self._as_dict(row) for row in self.rows]
        rows += [
            {"control": control, "k": self.k, "note": why} for control, why in self.problems.items()
        ]
        schema = pyarrow.schema([(name, types.get(name, real)) for name in COLUMNS])
        return pyarrow.Table.from_pylist(rows, schema=schema)

    def to_frame(self) -> "pandas.DataFrame":
        """Return `to_table` as a pandas DataFrame (pip install 'isodepth[xarray]').

        Raises
        ------
        MissingPackageError
            If pandas is not installed.
        """
        return frame_of(self.to_table())

    def _as_dict(self, row: ConfoundRow) -> dict[str, object]:
        found: dict[str, object] = {
            "control": row.control,
            "kind": row.kind,
            "left": row.left,
            "right": row.right,
            "part": row.part,
        }
        for name in ("value", "baseline", "difference"):
            one: Estimate = getattr(row, name)
            found |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        return found | {
            "level": row.difference.level,
            "verdict": row.verdict,
            "n_texts": row.n_texts,
            "k": self.k,
            "chance": row.chance,
            "metric": row.metric,
            "preprocessing": row.preprocessing,
            "note": self.sentences[row.control],
        }

    def __repr__(self) -> str:
        return (
            f"ConfoundTable({len(self.controls)} controls, {len(self.problems)} not possible, k = "
            f"{self.k}, n_texts = {self.n_texts})"
        )

    def _repr_html_(self) -> str:
        shown = [row for row in self.rows if row.left is None and row.part in SHOWN_PARTS]
        cells = [
            (
                row.control,
                row.part,
                f"{row.n_texts:,}",
                f"{row.value}",
                f"{row.difference}",
                row.verdict,
            )
            for row in shown
        ]
        header = ("control", "part", "texts", "value", "minus baseline", "verdict")
        starts = range(0, len(cells), MOST_ROWS)  # a longer table would be cut
        return card(
            "ConfoundTable",
            rows={"controls": f"{len(self.controls)}", "k": f"{self.k}", "texts": f"{self.n_texts:,}"},
            tables_html=[table(cells[n : n + MOST_ROWS], header=header) for n in starts],
            notes=[
                *(f"{verdict}: {meaning}." for verdict, meaning in MOVES.items()),
                *(f"{control} is not possible: {why}" for control, why in self.problems.items()),
            ],
        )


COLUMNS = (
    "control",
    "kind",
    "left",
    "right",
    "part",
    *(f"{name}{end}" for name in ("value", "baseline", "difference") for end in ("", "_low", "_high")),
    "level",
    "verdict",
    "n_texts",
    "k",
    "chance",
    "metric",
    "preprocessing",
    "note",
)
"""Of `ConfoundTable.to_table`."""


def _profile(estimates: Mapping[str, Estimate]) -> DiagonalityProfile:
    return DiagonalityProfile(estimates=dict(estimates), ridge=())
