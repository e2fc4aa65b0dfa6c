"""What does a study support? Its assessments as tables and files.

A folder of assessments holds ``tests.json`` (all but layer pairs and rows of depth maps) and 4 tables:
``pairs.parquet`` (a row a pair of models: verdict, p-values, the paper's contrast),
``estimates.parquet`` (a row a number: estimate, interval, level, method, n, what was resampled),
``layer_pairs.parquet`` (a row a layer pair: similarity, chance, z, calibrated similarity, p-values) and
``depth_maps.parquet`` (a row a layer: what it corresponds to).

Memory: the largest table; 14 columns a layer pair.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.assessment.options import AssessmentOptions
from isodepth.assessment.pair import PairAssessment
from isodepth.assessment.text_set import TextSetAssessment
from isodepth.atomic import atomic_path, write_atomically
from isodepth.errors import UnknownNameError, listed
from isodepth.results.json_values import json_values
from isodepth.statistics import CORRECTIONS, TEST_METHODS, Estimate

if TYPE_CHECKING:
    import pyarrow

FORMAT = "isodepth assessment"
FORMAT_VERSION = 1
WORDS = {"texts", "measure", "capture", "pooling", "metric", "preprocessing", "left", "right"}
WORDS |= {"verdict", "basis", "statistic", "method", "resampled"}
COUNTS = {"k", "n", "n_texts", "n_permutations", "n_layer_pairs", "n_layer_pairs_beyond_chance"}
ROWS_OF_MAPS = ("left_to_right", "right_to_left", "path", "one_to_one", "coupling")
"""What of a depth map is a row or more a layer: it stands in a table."""
TABLES = ("pairs", "estimates", "layer_pairs", "depth_maps")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyAssessment:
    """All statistics of a study's results. Made by `assess_study`.

    Parameters
    ----------
    name : str
        The study's name.
    sets : tuple of TextSetAssessment
        One for each text set and kind of matrix.
    options : AssessmentOptions
        How much was permuted and resampled.
    """

    name: str
    sets: tuple[TextSetAssessment, ...]
    options: AssessmentOptions

    def __repr__(self) -> str:
        return f"StudyAssessment({self.name!r}: {len(self.sets)} text sets and kinds of matrix)"

    def _repr_html_(self) -> str:
        from isodepth.assessment.shown import study_html

        return study_html(self)

    def table(self, name: str) -> "pyarrow.Table":
        """Return one of `TABLES`; without columns where there is no pair of models."""
        import pyarrow

        if name in ("pairs", "estimates"):
            rows = list(self._pairs() if name == "pairs" else self._estimates())
            names = dict.fromkeys(column for row in rows for column in row)
            schema = pyarrow.schema([(column, _type_of(column)) for column in names])
            return pyarrow.Table.from_pylist(rows, schema=schema)
        if name not in TABLES:
            raise UnknownNameError(f"there is no table {name!r}; there are {listed(list(TABLES))}")
        parts = list(self._layer_pairs() if name == "layer_pairs" else self._depth_maps())
        return pyarrow.concat_tables(parts) if parts else pyarrow.table({})

    def summary(self) -> dict[str, Any]:
        """Return everything that ``tests.json`` holds, as JSON values."""
        described: dict[str, Any] = json_values(
            {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "name": self.name,
                "options": self.options.as_dict(),
                "sets": [_described_set(one) for one in self.sets],
                "notes": [
                    "texts are the sampling unit of intervals and p-values, models that of tests over "
                    "the zoo; student, welch and mann-whitney are the paper's tests, over cells of one "
                    "matrix, which are not independent samples",
                    "layers count from 1",
                ],
            }
        )
        return described

    def write(self, out: Path | str) -> list[Path]:
        """Write ``tests.json`` and the tables to a folder; return their paths.

        Each file is written whole or not at all; files of the same names are replaced.
        """
        import pyarrow.parquet

        folder = Path(out)
        text = json.dumps(self.summary(), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(folder / "tests.json", text.encode() + b"\n")
        paths = [folder / "tests.json"]
        for name in TABLES:
            paths.append(folder / f"{name}.parquet")
            with atomic_path(paths[-1]) as temporary:
                pyarrow.parquet.write_table(self.table(name), temporary)
        return paths

    def _each(self) -> Iterator[tuple[TextSetAssessment, int, PairAssessment, dict[str, Any]]]:
        """Yield every pair of models, with its place and the columns that say what it is of."""
        for one in self.sets:
            for place, pair in enumerate(one.pairs):
                yield one, place, pair, _names(one, pair.matrix.left, pair.matrix.right)

    def _pairs(self) -> Iterator[dict[str, Any]]:
        for one, place, pair, names in self._each():
            columns = names | _pair_numbers(pair)
            for method in TEST_METHODS:
                test = pair.tests.get(method)
                name = method.replace("-", "_")
                columns[f"{name}_statistic"] = None if test is None else float(test.statistic)
                columns[f"{name}_p"] = None if test is None else test.p_value
                for correction in CORRECTIONS:
                    adjusted = float(one.adjusted[method, correction][place])
                    columns[f"{name}_p_{correction.replace('-', '_')}"] = (
                        None if test is None else adjusted
                    )
            yield columns

    def _estimates(self) -> Iterator[dict[str, Any]]:
        for one in self.sets:
            for part, test in one.zoo.items():
                names = _names(one, None, None)
                row = {**names, "statistic": f"mean over pairs of {part}", **asdict(test.mean)}
                yield {**row, "p_value": test.p_value}
        for _, _, pair, names in self._each():
            found: dict[str, Estimate] = dict(pair.profile.estimates)
            departure = pair.depth_map.departure
            found["departure_signed"] = departure.signed
            found["departure_absolute"] = departure.absolute
            p_values = (
                {part.name: part.p_value for part in pair.decision.parts} if pair.decision else {}
            )
            for statistic, estimate in found.items():
                row = {**names, "statistic": statistic, **asdict(estimate)}
                yield {**row, "p_value": p_values.get(statistic)}

    def _layer_pairs(self) -> "Iterator[pyarrow.Table]":
        import pyarrow

        for _, _, pair, names in self._each():
            table = pair.matrix.to_table()
            table = table.drop_columns([name for name in table.column_names if name in names])
            chance = pair.matrix.chance
            cells: dict[str, np.ndarray | None] = {
                "chance": None if chance is None else np.full(len(table), chance)
            }
            test, over_all = pair.familywise, pair.over_all
            low, high = pair.cell_intervals(self.options.level)
            cells |= {
                "low": low,
                "high": high,
                "chance_sd": None if test is None else test.null.sd,
                "z": None if test is None else test.null.z(),
                "calibrated": None if test is None else test.null.calibrated(),
                "p_value": None if test is None else test.p_values,
                "p_value_over_all_pairs": None if over_all is None else over_all.p_values,
            }
            none = pyarrow.nulls(len(table), pyarrow.float64())
            for name, found in cells.items():
                table = table.append_column(name, none if found is None else [found.reshape(-1)])
            yield _with_names(table, names)

    def _depth_maps(self) -> "Iterator[pyarrow.Table]":
        for _, _, pair, names in self._each():
            kept = {name: value for name, value in names.items() if name not in ("left", "right")}
            yield _with_names(pair.depth_map.to_table(), kept)


def _names(one: TextSetAssessment, left: str | None, right: str | None) -> dict[str, Any]:
    """Return the columns that say what a row is of; k is null where the measure takes none."""
    read = {"metric": one.matrices.metric, "preprocessing": one.matrices.preprocessing}
    kind = one.kind._asdict() | {"k": one.kind.k or None}
    return {"texts": one.name, **kind, **read, "left": left, "right": right}


def _with_names(table: "pyarrow.Table", names: dict[str, Any]) -> "pyarrow.Table":
    """Return a table with columns before its own that have one value each."""
    import pyarrow

    for place, (name, value) in enumerate(names.items()):
        column = pyarrow.array([value], _type_of(name)).take(
            pyarrow.array(np.zeros(len(table), dtype=np.int32))
        )
        table = table.add_column(place, name, column)
    return table


def _type_of(column: str) -> "pyarrow.DataType":
    """Return the type of a column by its name: numbers, unless it is known to be something else."""
    import pyarrow

    if column in WORDS:
        return pyarrow.string()
    return pyarrow.int64() if column in COUNTS else pyarrow.float64()


def _pair_numbers(pair: PairAssessment) -> dict[str, Any]:
    """Return what is known of a pair of models, one number or word each."""
    decision, test, over_all = pair.decision, pair.familywise, pair.over_all
    student = pair.tests.get("student")
    return {
        "n_texts": pair.matrix.n_texts,
        "verdict": None if decision is None else decision.verdict,
        "basis": None if decision is None else decision.basis,
        "p_shared": None if decision is None else decision.p_shared,
        "p_shared_over_all_pairs": None if over_all is None else over_all.p_value,
        "p_depth": None if decision is None else decision.p_depth,
        "n_permutations": None if test is None else test.n_permutations,
        "n_layer_pairs": pair.matrix.values.size,
        "n_layer_pairs_beyond_chance": None
        if test is None or decision is None
        else int((test.p_values <= decision.alpha).sum()),
        "chance": pair.matrix.chance,
        "highest": float(pair.matrix.values.max()),
        "on_mean": None if student is None else student.on_mean,
        "off_mean": None if student is None else student.off_mean,
        "path_similarity": pair.depth_map.path_similarity,
        "map_disagreement": pair.depth_map.match_disagreement,
    }


def _described_set(one: TextSetAssessment) -> dict[str, Any]:
    return {
        "texts": one.name,
        "kind": one.kind._asdict(),
        "n_texts": one.matrices.n_texts,
        "from": "texts" if one.is_from_texts else "matrices alone",
        "notes": list(one.notes),
        "pairs": [_described_pair(one, place, pair) for place, pair in enumerate(one.pairs)],
        "zoo": {
            part: {
                "mean": test.mean.as_dict(),
                "p_value": test.p_value,
                "degrees_of_freedom": test.degrees_of_freedom,
                "p_value_as_if_pairs_were_independent": test.p_value_as_if_pairs_were_independent,
                "n_pairs": test.n_pairs,
                "model_means": dict(zip(test.labels, test.model_means.tolist(), strict=True)),
                "means_without": dict(zip(test.units, test.means_without.tolist(), strict=True)),
            }
            for part, test in one.zoo.items()
        },
        "distances": None
        if one.distances is None
        else {
            "models": list(one.distances.models),
            "by": one.distances.by,
            "values": one.distances.values.tolist(),
        },
        "tree": None
        if one.tree is None
        else {
            "order": list(one.tree.order),
            "method": one.tree.method,
            "newick": one.tree.newick(),
            "clades": [asdict(clade) for clade in one.tree.clades],
            "cophenetic_correlation": one.tree.cophenetic_correlation,
        },
    }


def _described_pair(one: TextSetAssessment, place: int, pair: PairAssessment) -> dict[str, Any]:
    decision = pair.decision
    return {
        "left": pair.matrix.left,
        "right": pair.matrix.right,
        **_pair_numbers(pair),
        "decision": None if decision is None else asdict(decision),
        "profile": {name: estimate.as_dict() for name, estimate in pair.profile.estimates.items()},
        "tests": {
            method: {
                **asdict(test),
                "adjusted": {
                    correction: float(one.adjusted[method, correction][place])
                    for correction in CORRECTIONS
                },
            }
            for method, test in pair.tests.items()
        },
        "depth_map": {
            name: value for name, value in pair.depth_map.as_dict().items() if name not in ROWS_OF_MAPS
        },
    }
