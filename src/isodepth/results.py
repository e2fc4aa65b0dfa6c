"""What a study found, as files that need nothing else: all matrices of every text set, with labels.

A results folder holds, per text set, ``NAME.safetensors`` (every matrix, one array each, labels in the
file's metadata) and ``NAME.parquet`` (the same as a table, one row a layer pair), and one
``manifest.json`` with what was run, every key and version, and the sums of the files. Equal results are
equal bytes: nothing in them tells when, where or in how many attempts they came about.

>>> results = load_results("results/small")                                      # doctest: +SKIP
>>> matrices = results.matrices("wikipedia", k=10)                               # doctest: +SKIP
>>> matrices["gemma-3-270m", "smollm2-135m-instruct"].values                     # doctest: +SKIP

Memory: matrices are memory maps of their files.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors

from isodepth.activations.result import pooling_named
from isodepth.affinity import AffinityMatrices
from isodepth.atomic import atomic_path, write_atomically
from isodepth.errors import ParameterError, StoreError, UnknownNameError, listed, nearest_names
from isodepth.store.safetensors_files import mapped_arrays

FORMAT = "isodepth results"
FORMAT_VERSION = 1
MANIFEST = "manifest.json"
MOST_SLUG = 40
READERS = ("left", "left_layers", "right", "right_layers")
FACTS = ("is_symmetric", "n_texts", "texts", "texts_digest", "right_texts_digest")
"""What a results file says of each of its matrices, beside its kind."""
TEMPORARY_NAME = re.compile(r"\.[a-z0-9-]+-[a-z0-9_]{8}\.(safetensors|parquet|json)")
"""As `isodepth.atomic.atomic_path` names what it is writing."""
LEFTOVER_SECONDS = 3600
FILE_NAME = re.compile(r"[a-z0-9-]+\.(safetensors|parquet)")


class MatrixKind(NamedTuple):
    """Which of a text set's matrices: by what measure, of what, at which tokens."""

    measure: str
    k: int
    capture: str = "block"
    pooling: str = "last"

    def __str__(self) -> str:
        return f"{self.measure}, k = {self.k}, capture {self.capture}, pooling {self.pooling}"

    @property
    def array(self) -> str:
        """The name of its array in a results file."""
        return f"{self.measure}/k={self.k}/{self.capture}/{self.pooling}"


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

    def __repr__(self) -> str:
        return f"TextSetResults({self.name!r}: {listed([str(kind) for kind in self.matrices])})"


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

    def write(self, folder: Path | str) -> list[Path]:
        """Write all files to a folder; return their paths, the manifest's last.

        Each file is written whole or not at all. Files of an earlier run that these results no longer
        have are removed.

        Raises
        ------
        StoreError
            If the folder cannot be written.
        """
        place = Path(folder)
        written = [write_text_set(place, results) for results in self.sets.values()]
        return [
            *(path for paths in written for path in paths),
            write_manifest(place, self.manifest, self.sets),
        ]


def write_text_set(folder: Path, results: TextSetResults) -> list[Path]:
    """Write the two files of a text set; return their paths."""
    import pyarrow.parquet
    from safetensors.numpy import save

    labels = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "name": results.name,
        # each with its own readers: not all of them may have all kinds
        "matrices": [
            {
                "kind": list(kind),
                "array": kind.array,
                **{name: list(getattr(one, name)) for name in READERS},
                **{name: getattr(one, name) for name in FACTS},
            }
            for kind, one in results.matrices.items()
        ],
        "description": dict(results.description),
    }
    arrays = {kind.array: np.ascontiguousarray(m.values) for kind, m in results.matrices.items()}
    metadata = {"isodepth": json.dumps(labels, ensure_ascii=False, sort_keys=True, allow_nan=False)}
    arrays_path = folder / f"{results.slug}.safetensors"
    write_atomically(arrays_path, save(arrays, metadata=metadata))
    table_path = folder / f"{results.slug}.parquet"
    with atomic_path(table_path) as temporary:
        writer = None
        try:
            for kind, matrices in results.matrices.items():
                table = _with_kind(matrices.to_table(), kind)
                writer = writer or pyarrow.parquet.ParquetWriter(temporary, table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()
    return [arrays_path, table_path]


def _with_kind(table: Any, kind: MatrixKind) -> Any:
    """Return a table with the columns that tell what was read."""
    import pyarrow

    for name, value in (("capture", kind.capture), ("pooling", kind.pooling)):
        column = pyarrow.DictionaryArray.from_arrays(
            pyarrow.array(np.zeros(len(table), dtype=np.int32)), pyarrow.array([value])
        )
        table = table.append_column(name, column)
    return table


def write_manifest(
    folder: Path,
    manifest: Mapping[str, Any],
    sets: Mapping[str, TextSetResults],
    *,
    spared: Collection[str] = (),
) -> Path:
    """Write what was run, with the sums of the text sets' files; remove files of sets that are gone.

    Parameters
    ----------
    folder : Path
        Where `write_text_set` wrote the sets.
    manifest : mapping
        JSON values.
    sets : mapping of str to TextSetResults
        The sets that belong to these results.
    spared : collection of str
        Names of sets whose earlier files stay, although these results lack them for now.
    """
    files = {
        f"{results.slug}{suffix}": results.name
        for results in sets.values()
        for suffix in (".safetensors", ".parquet")
    }
    sums = {}
    for name, set_name in files.items():
        with (folder / name).open("rb") as file:
            sums[name] = {"set": set_name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    path = folder / MANIFEST
    earlier = _listed_files(path)
    text = json.dumps(
        {"format": FORMAT, "version": FORMAT_VERSION, **manifest, "files": sums},
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    write_atomically(path, text.encode() + b"\n")
    for name, set_name in earlier.items():
        if name not in sums and set_name not in spared:
            (folder / name).unlink(missing_ok=True)
    _remove_leftovers(folder)
    return path


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed runs left half written, long enough ago that nobody is writing it now."""
    for path in folder.iterdir():
        if TEMPORARY_NAME.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError):  # another run was first
                if time.time() - path.stat().st_mtime > LEFTOVER_SECONDS:
                    path.unlink()


def _listed_files(manifest: Path) -> dict[str, str]:
    """Return the files of earlier results in a folder and their sets, by names that results have."""
    try:
        earlier = json.loads(manifest.read_text(encoding="utf-8"))
        if earlier["format"] != FORMAT:
            return {}
        files = {name: str(entry["set"]) for name, entry in earlier["files"].items()}
        return {name: of for name, of in files.items() if FILE_NAME.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # none, or none of ours


def load_results(path: Path | str) -> StudyResults:
    """Return the results that a study wrote; neither store nor models are needed.

    Parameters
    ----------
    path : Path or str
        The results folder, or one of its .safetensors files.

    Raises
    ------
    UnknownNameError
        If there are no results.
    StoreError
        If a file is damaged or missing; all such files are named.
    """
    place = Path(path).expanduser()
    if place.suffix == ".safetensors" and not place.is_dir():
        if not place.is_file():
            raise UnknownNameError(f"there is no file {place}")
        results = _loaded_set(place)
        return StudyResults(name=results.name, sets={results.name: results})
    manifest_path = place / MANIFEST
    if not manifest_path.is_file():
        raise UnknownNameError(
            f"{place} holds no results: there is no {MANIFEST}",
            hint="pass the folder that 'isodepth run' wrote.",
        )
    try:
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise ValueError(f"its format is {manifest['format']!r}")
        _refuse_newer(manifest_path, manifest["version"])
        odd = [name for name in manifest["files"] if not FILE_NAME.fullmatch(name)]
        if odd:
            raise ValueError(f"{listed(odd)} cannot be names of its files")
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
        set_names = [str(entry["set"]) for entry in manifest["files"].values()]
        study_name = str(manifest["name"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"{manifest_path} cannot be read as a results manifest: {error}") from error
    found = [_problem(place / name, sha256) for name, sha256 in files.items()]
    problems = [problem for problem in found if problem is not None]
    if problems:
        raise StoreError(
            f"damaged results: {'; '.join(problems)}",
            hint="run the study again: it writes them anew from the store.",
        )
    loaded = [_loaded_set(place / name) for name in files if name.endswith(".safetensors")]
    by_name = {results.name: results for results in loaded}
    ordered = {name: by_name[name] for name in dict.fromkeys(set_names) if name in by_name}
    return StudyResults(name=study_name, sets=ordered, manifest=manifest)


def _refuse_newer(path: Path, version: object) -> None:
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StoreError(
            f"{path} has version {version!r} of the results format; this isodepth reads up to "
            f"{FORMAT_VERSION}",
            hint="update isodepth.",
        )


def _problem(path: Path, sha256: str) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    return None if found == sha256 else f"{path} has sha256 {found}, the manifest says {sha256}"


def _loaded_set(path: Path) -> TextSetResults:
    try:
        arrays = mapped_arrays(path)
        with safetensors.safe_open(path, framework="numpy") as file:
            labels = json.loads(file.metadata()["isodepth"])
        _refuse_newer(path, labels["version"])
        matrices = {}
        for entry in labels["matrices"]:
            kind = MatrixKind(*entry["kind"])
            said: dict[str, Any] = {name: tuple(entry[name]) for name in READERS}
            said |= {name: entry[name] for name in FACTS}
            matrices[kind] = AffinityMatrices(
                values=arrays[kind.array], measure=kind.measure, k=kind.k, **said
            )
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise StoreError(f"{path} cannot be read as results: {error}") from error
    return TextSetResults(
        name=str(labels["name"]), matrices=matrices, description=labels["description"]
    )
