"""What did a study find? Matrices by text set and kind, and what is known of them.

Memory: matrices are memory maps of their files.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from isodepth.activations.result import pooling_named
from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, counted, listed, nearest_names
from isodepth.notebook import card, table

MOST_SLUG = 40
_COLUMNS = ("texts", "matrices", "n texts", "models", "pairs", "layers")
"""Of what a notebook shows."""


class MatrixKind(NamedTuple):
    """Which of a text set's matrices: by what measure, of what, at which tokens.

    `k` is 0 where the measure takes none.
    """

    measure: str
    k: int
    capture: str = "block"
    pooling: str = "last"

    def __str__(self) -> str:
        counted = f", k = {self.k}" if self.k else ""
        return f"{self.measure}{counted}, capture {self.capture}, pooling {self.pooling}"

    @property
    def array(self) -> str:
        """The name of its array in a results file."""
        return f"{self.measure}/k={self.k}/{self.capture}/{self.pooling}"


def read_title(name: str, capture: str, pooling: str) -> str:
    """Return a text set's name, with what was read where that is not the block at the last token."""
    unusual = [capture] * (capture != "block") + [pooling] * (pooling != "last")
    return f"{name} ({', '.join(unusual)})" if unusual else name


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TextSetResults:
    """All matrices of one text set, or of one pair of parallel ones.

    Parameters
    ----------
    name : str
        What the study calls the text set.
    matrices : mapping of MatrixKind to AffinityMatrices
        One for each measure, k, capture and pooling.
    description : mapping
        What was read by whom, with keys and digests, as JSON values.
    """

    name: str
    matrices: Mapping[MatrixKind, AffinityMatrices]
    description: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """What its files are called: the letters of its name, and a digest of it."""
        letters = re.sub(r"[^a-z0-9]+", "-", self.name.lower())[:MOST_SLUG].strip("-")
        return f"{letters or 'texts'}-{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"

    @property
    def sides(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """What is known of the texts that the left and the right models read; empty where nothing is.

        The right side's are there for parallel texts alone.
        """
        left, right = (self.description.get(side) or {} for side in ("texts", "right_texts"))
        return left, right

    @property
    def texts_read(self) -> tuple[str | None, str | None]:
        """The names of what the left and the right models read, where `sides` say them."""
        left, right = (side.get("name") for side in self.sides)
        return left, right

    def __repr__(self) -> str:
        return f"TextSetResults({self.name!r}: {listed([str(kind) for kind in self.matrices])})"

    def _repr_html_(self) -> str:
        return card("TextSetResults", tables_html=[table(_rows(self), header=_COLUMNS)])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyResults:
    """What a study found. Made by `run_study` and `load_results`.

    Parameters
    ----------
    name : str
        The study's name.
    sets : mapping of str to TextSetResults
        By the text sets' names.
    manifest : mapping
        What was run: the study, versions, keys, what is missing and why. JSON values.
    """

    name: str
    sets: Mapping[str, TextSetResults]
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @property
    def set_names(self) -> tuple[str, ...]:
        """The names of the text sets."""
        return tuple(self.sets)

    @property
    def missing(self) -> tuple[Mapping[str, Any], ...]:
        """What the study wanted and these results lack, each with the reason."""
        return tuple(self.manifest.get("missing", ()))

    def __getitem__(self, set_name: str) -> TextSetResults:
        if set_name not in self.sets:
            near = nearest_names(set_name, self.sets)
            raise UnknownNameError(
                f"{self.name} has no results on {set_name!r}; it has "
                f"{listed(list(self.sets), most=20)}",
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        return self.sets[set_name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sets)

    def __len__(self) -> int:
        return len(self.sets)

    def __repr__(self) -> str:
        return f"StudyResults({self.name!r}, sets = {listed(list(self.sets))})"

    def _repr_html_(self) -> str:
        rows = [row for results in self.sets.values() for row in _rows(results)]
        notes = [f"{counted(len(self.missing), 'thing')} missing: see .missing"] if self.missing else []
        tables = [table(rows, header=_COLUMNS)]
        return card("StudyResults", self.name, tables_html=tables, notes=notes)

    def matrices(
        self,
        set_name: str,
        *,
        k: int | None = None,
        measure: str | None = None,
        capture: str | None = None,
        pooling: str | int | None = None,
    ) -> AffinityMatrices:
        """Return the matrices of a text set; what is left out must be the same in all that there are.

        Parameters
        ----------
        set_name : str
            One of `set_names`.
        k, measure, capture, pooling
            Which matrix, where there are several.

        Raises
        ------
        UnknownNameError
            If there is no such text set.
        ParameterError
            If none fits, or more than one does.
        """
        found = self[set_name].matrices
        wanted = {
            "measure": measure,
            "k": k,
            "capture": capture,
            "pooling": None if pooling is None else str(pooling_named(pooling)),
        }
        fitting = [
            kind
            for kind in found
            if all(value in (None, getattr(kind, name)) for name, value in wanted.items())
        ]
        if len(fitting) != 1:
            said = [f"{name} = {value}" for name, value in wanted.items() if value is not None]
            raise ParameterError(
                f"{len(fitting)} matrices of {set_name} fit {listed(said) if said else 'any choice'}; "
                f"there are: {'; '.join(str(kind) for kind in found)}",
                hint="choose with k=, measure=, capture= and pooling=.",
            )
        return found[fitting[0]]

    def without(self, labels: Sequence[str]) -> "StudyResults":
        """Return these results without some models; the manifest says which were left out.

        Raises
        ------
        UnknownNameError
            If a label is that of no model; all such labels are named.
        """
        known = {
            label
            for found in self.sets.values()
            for matrices in found.matrices.values()
            for label in (*matrices.left, *matrices.right)
        }
        wrong = [label for label in labels if label not in known]
        if wrong:
            near = dict.fromkeys(name for label in wrong for name in nearest_names(label, known))
            raise UnknownNameError(
                f"{self.name} has no model {' or '.join(map(repr, wrong))}",
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        if not labels:
            return self
        sets = {}
        for name, found in self.sets.items():
            matrices = {
                kind: one.of(
                    [label for label in dict.fromkeys((*one.left, *one.right)) if label not in labels]
                )
                for kind, one in found.matrices.items()
            }
            sets[name] = replace(found, matrices=matrices)
        left_out = list(dict.fromkeys((*self.manifest.get("left_out", ()), *labels)))
        return replace(self, sets=sets, manifest={**self.manifest, "left_out": left_out})

    def write(self, folder: Path | str) -> list[Path]:
        """Write all files to a folder; return their paths, the manifest's last.

        Each file is written whole or not at all. Files of an earlier run that these results no longer
        have are removed.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        from isodepth.results.files import write_manifest, write_text_set

        place = Path(folder)
        written = [write_text_set(place, results) for results in self.sets.values()]
        return [
            *(path for paths in written for path in paths),
            write_manifest(place, self.manifest, self.sets),
        ]


def _rows(results: TextSetResults) -> list[tuple[str, ...]]:
    """Return what a notebook shows of every kind of matrix of a text set."""
    return [
        (
            results.name,
            str(kind),
            f"{found.n_texts:,}",
            str(len(found.left)) if found.is_symmetric else f"{len(found.left)} × {len(found.right)}",
            f"{found.n_pairs:,}",
            f"{found.values.shape[0]:,} × {found.values.shape[1]:,}",
        )
        for kind, found in results.matrices.items()
    ]
