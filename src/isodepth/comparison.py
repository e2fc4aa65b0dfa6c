"""Two models on the same texts, as a result: the matrix, what it shows, and its files."""

import csv
import importlib.metadata
import io
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.assessment import (
    AssessmentOptions,
    PairAssessment,
    StudyAssessment,
    TextSetAssessment,
)
from isodepth.atomic import atomic_path, write_atomically
from isodepth.axes import relative_depths
from isodepth.neighbors import Neighbors
from isodepth.report import cautions, report_payload, write_page
from isodepth.results import (
    Evidence,
    EvidenceKey,
    MatrixKind,
    StudyResults,
    TextSetResults,
    evidence_key,
)
from isodepth.results.json_values import json_values
from isodepth.statistics import CORRECTIONS, Decision, DiagonalTest, LayerMatches
from isodepth.texts import ParallelTexts

OUTPUTS = (
    "affinity.png",
    "affinity.pdf",
    "affinity.parquet",
    "matches.csv",
    "summary.json",
    "report.html",
)
NO_DECISION = (
    "There is no decision and no interval: how far similarity strays by chance is known for mutual "
    "k-NN alone."
)
"""What is said of measures that are not assessed from the texts."""
SHARED_WITH_MATRICES = (
    "measure",
    "k",
    "n_texts",
    "metric",
    "preprocessing",
    "texts",
    "texts_digest",
    "right_texts_digest",
)
"""What the matrix of two models says of itself and those of many models say too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """Two models on the same texts: the matrix and what it shows. Made by `compare`.

    Parameters
    ----------
    affinity : AffinityMatrix
        All layers against all layers.
    assessment : PairAssessment
        Everything that the statistics tell of it.
    texts : ParallelTexts
        What the models read: the same texts left and right, unless parallel ones were declared.
    left, right : Neighbors
        The neighbors that the matrix was made from; as many as are stored, at least k.
    left_options, right_options : ExtractionOptions
        What was captured; they differ in `chat` at most.
    from_store : tuple of str
        What did not have to be computed.
    """

    affinity: AffinityMatrix
    assessment: PairAssessment
    texts: ParallelTexts
    left: Neighbors
    right: Neighbors
    left_options: ExtractionOptions
    right_options: ExtractionOptions
    from_store: tuple[str, ...]

    @property
    def is_parallel(self) -> bool:
        """Whether the two models read different, parallel texts."""
        return self.texts.left.digest != self.texts.right.digest

    @property
    def test(self) -> DiagonalTest | None:
        """The paper's contrast, on the generalized diagonal and off it; None with one layer."""
        return self.assessment.tests.get("student")

    @property
    def matches(self) -> LayerMatches:
        """The most similar layers."""
        return self.assessment.matches

    @property
    def decision(self) -> Decision | None:
        """What was found; None for measures without a known chance level."""
        return self.assessment.decision

    def __repr__(self) -> str:
        verdict = "no decision" if self.decision is None else self.decision.verdict
        return f"Comparison({self.affinity!r}: {verdict})"

    def _repr_html_(self) -> str:
        from isodepth.assessment.shown import pair_html

        return pair_html(self.assessment, kind="Comparison")

    def summary(self) -> dict[str, Any]:
        """Return everything that ``summary.json`` holds, as JSON values."""
        values = self.affinity.values
        best = np.unravel_index(int(values.argmax()), values.shape)
        return {
            "left": _side(self.left, self.left_options),
            "right": _side(self.right, self.right_options),
            "texts": self.texts.left.described(),
            "right_texts": self.texts.right.described() if self.is_parallel else None,
            "n_texts": self.affinity.n_texts,
            "k": self.affinity.k or None,
            "measure": self.affinity.measure,
            "metric": self.affinity.metric,
            "preprocessing": self.affinity.preprocessing,
            "capture": {
                name: value for name, value in self.left_options.as_dict().items() if name != "chat"
            },
            "chance_level": self.affinity.chance,
            "similarity": {
                "mean": float(values.mean()),
                "lowest": float(values.min()),
                "highest": float(values.max()),
            },
            "generalized_diagonal": None if self.test is None else _test_dict(self.test),
            "best_cell": {
                "left_layer": int(best[0]) + 1,
                "right_layer": int(best[1]) + 1,
                "left_depth": float(relative_depths(values.shape[0])[best[0]]),
                "right_depth": float(relative_depths(values.shape[1])[best[1]]),
                "similarity": float(values[best]),
            },
            "rank_correlation_of_most_similar_layers_with_depth": {
                "left_to_right": self.matches.left_rank_correlation,
                "right_to_left": self.matches.right_rank_correlation,
            },
            "decision": None if self.decision is None else asdict(self.decision),
            "profile": {
                name: estimate.as_dict() for name, estimate in self.assessment.profile.estimates.items()
            },
            "notes": [
                "The test on the generalized diagonal is the paper's: it compares cells of this one "
                "matrix, which are not independent samples. "
                + (
                    "Intervals and the decision are from the texts."
                    if self.decision is not None
                    else NO_DECISION
                ),
                "Layers count from 1; relative depth is layer / number of layers.",
            ],
            "versions": versions(),
        }

    def cautions(self) -> list[str]:
        """Return what to know of the texts and how they were read: drops, copies, cuts, wrapping."""
        readings = [(self.left, self.left_options), (self.right, self.right_options)]
        return cautions(self.texts, readings)

    def report_payload(self) -> dict[str, Any]:
        """Return what the page of ``report.html`` shows, as JSON values; see `isodepth.report`."""
        results, assessed, evidence = self._as_study()
        return report_payload(
            assessed,
            results=results,
            evidence=evidence,
        )

    def write(self, out: Path | str) -> list[Path]:
        """Write picture, tables, summary and report to a folder; return their paths.

        Each file is written whole or not at all; files of the same names are replaced.
        """
        import pyarrow.parquet

        from isodepth.figures import affinity_figure, save_figure

        folder = Path(out)
        figure = affinity_figure(self.affinity)
        for name in OUTPUTS[:2]:
            save_figure(figure, folder / name)
        with atomic_path(folder / "affinity.parquet") as temporary:
            pyarrow.parquet.write_table(self.affinity.to_table(), temporary)
        write_atomically(folder / "matches.csv", self._matches_csv().encode())
        summary = json.dumps(json_values(self.summary()), indent=1, ensure_ascii=False)
        write_atomically(folder / "summary.json", summary.encode() + b"\n")
        write_page(folder / "report.html", self.report_payload())
        return [folder / name for name in OUTPUTS]

    def _as_study(self) -> tuple[StudyResults, StudyAssessment, dict[EvidenceKey, Evidence]]:
        """Return the same as the results of a study of one pair of models, with what they are from."""
        matrix, options, texts = self.affinity, self.left_options, self.texts
        name = texts.left.name + (f" x {texts.right.name}" if self.is_parallel else "")
        kind = MatrixKind(matrix.measure, matrix.k, options.capture, str(options.pooling))
        matrices = AffinityMatrices(
            values=matrix.values,
            left=(matrix.left,),
            right=(matrix.right,),
            left_layers=matrix.values.shape[:1],
            right_layers=matrix.values.shape[1:],
            is_symmetric=False,
            **{field: getattr(matrix, field) for field in SHARED_WITH_MATRICES},
        )
        summary = self.summary()
        readings = [_reading(self.left, options), _reading(self.right, self.right_options)]
        results = StudyResults(
            name=f"{matrix.left} and {matrix.right}",
            sets={
                name: TextSetResults(
                    name=name,
                    matrices={kind: matrices},
                    description={
                        "texts": summary["texts"],
                        "right_texts": summary["right_texts"],
                        "readings": readings,
                    },
                )
            },
            manifest={"versions": summary["versions"], "notes": summary["notes"]},
        )
        assessed = TextSetAssessment(
            name=name,
            kind=kind,
            matrices=matrices,
            pairs=(self.assessment,),
            adjusted={
                (method, correction): np.array([test.p_value])  # of one pair, nothing to correct for
                for method, test in self.assessment.tests.items()
                for correction in CORRECTIONS
            },
            zoo={},
            mean_square=None,
            distances=None,
            tree=None,
            notes=tuple(self.cautions()),
        )
        evidence = Evidence(
            left={matrix.left: self.left},
            right={matrix.right: self.right},
            texts=texts.left,
            right_texts=texts.right if self.is_parallel else None,
        )
        return (
            results,
            StudyAssessment(name=results.name, sets=(assessed,), options=AssessmentOptions()),
            {evidence_key(name, kind): evidence},
        )

    def _matches_csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(
            (
                "from_model",
                "from_layer",
                "from_depth",
                "to_model",
                "to_layer",
                "to_depth",
                "similarity",
            )
        )
        one, other, found = self.affinity.left, self.affinity.right, self.matches
        depths = [relative_depths(n_layers) for n_layers in self.affinity.values.shape]
        for names, (from_depths, to_depths), to, similarity in (
            ((one, other), depths, found.left_to_right, found.left_similarity),
            ((other, one), depths[::-1], found.right_to_left, found.right_similarity),
        ):
            for layer, match in enumerate(to):
                place = (names[0], layer + 1, f"{from_depths[layer]:.6f}")
                to_place = (names[1], match + 1, f"{to_depths[match]:.6f}")
                writer.writerow((*place, *to_place, f"{similarity[layer]:.6f}"))
        return text.getvalue()


def _side(neighbors: Neighbors, options: ExtractionOptions) -> dict[str, Any]:
    return {
        "name": neighbors.model,
        "n_layers": neighbors.n_layers,
        "stored_k": neighbors.k,
        "chat": options.chat,
        "provenance": dict(neighbors.provenance),
    }


def _reading(neighbors: Neighbors, options: ExtractionOptions) -> dict[str, Any]:
    """Return who read what and how, as the results of a study say it."""
    names = ("model_digest", "architecture", "dtype", "quantization", "device")
    return {
        "label": neighbors.model,
        "texts_digest": neighbors.texts_digest,
        "options": options.as_dict(),
        "n_layers": neighbors.n_layers,
        **{name: neighbors.provenance.get(name) for name in names},
    }


def _test_dict(test: DiagonalTest) -> dict[str, Any]:
    return {
        "mean_on": test.on_mean,
        "mean_off": test.off_mean,
        "difference": test.difference,
        "n_cells_on": test.n_on,
        "n_cells_off": test.n_off,
        "test": test.method,
        "alternative": "mean on is larger (one-sided)",
        "statistic": test.statistic,
        "p_value": test.p_value,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide on results."""
    packages = ("isodepth", "numpy", "scipy", "torch", "transformers")
    return {"python": platform.python_version()} | {
        package: importlib.metadata.version(package) for package in packages
    }
