"""How are results written? Each file whole or not at all, and the manifest last.

Memory: one text set's arrays.
"""

import contextlib
import hashlib
import json
import re
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.atomic import atomic_path, write_atomically
from isodepth.errors import StoreError
from isodepth.results.study import MatrixKind, TextSetResults
from isodepth.store.sums import sha256_of

FORMAT = "isodepth results"
FORMAT_VERSION = 1
"""Raise it when the same matrices would give other files; those of an earlier run are then replaced."""
MANIFEST = "manifest.json"
SPARED = "spared"
"""The manifest's key for files of sets that the study has and these results lack."""
READERS = ("left", "left_layers", "right", "right_layers")
FACTS = ("is_symmetric", "n_texts", "texts", "texts_digest", "right_texts_digest")
LATER_FACTS = ("metric", "preprocessing")
"""What a results file says of each of its matrices beside its kind; older files lack the later ones."""
TEMPORARY_NAME = re.compile(r"\.[a-z0-9-]+-[a-z0-9_]{8}\.(safetensors|parquet|json)")
"""As `isodepth.atomic.atomic_path` names what it is writing."""
LEFTOVER_SECONDS = 3600
FILE_NAME = re.compile(r"[a-z0-9-]+\.(safetensors|parquet)")


def write_text_set(folder: Path, results: TextSetResults) -> list[Path]:
    """Write the two files of a text set, unless they are there already; return their paths."""
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
                **{name: getattr(one, name) for name in (*FACTS, *LATER_FACTS)},
            }
            for kind, one in results.matrices.items()
        ],
        "description": dict(results.description),
    }
    arrays = {kind.array: np.ascontiguousarray(m.values) for kind, m in results.matrices.items()}
    metadata = {"isodepth": json.dumps(labels, ensure_ascii=False, sort_keys=True, allow_nan=False)}
    arrays_path = folder / f"{results.slug}.safetensors"
    table_path = folder / f"{results.slug}.parquet"
    content = save(arrays, metadata=metadata)
    if _are_written(arrays_path, table_path, hashlib.sha256(content).hexdigest()):
        return [arrays_path, table_path]
    # only now: its tables load pandas, which would be a quarter of a rerun
    import pyarrow.parquet

    write_atomically(arrays_path, content)
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


def _are_written(arrays_path: Path, table_path: Path, arrays_sum: str) -> bool:
    """Return whether both files are there, are whole, and are of these arrays with these labels.

    The manifest lists what was written together, so that the arrays tell what the table holds.
    """
    listed = _listed_files(arrays_path.with_name(MANIFEST))
    sums = [listed[path.name]["sha256"] for path in (arrays_path, table_path) if path.name in listed]
    if len(sums) < 2 or sums[0] != arrays_sum:
        return False
    return all(
        path.is_file() and sha256_of(path) == expected
        for path, expected in zip((arrays_path, table_path), sums, strict=True)
    )


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

    Files that are spared stand in the manifest under ``spared``, which is no part of the results, so
    that a later run finds them when their sets are gone.

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
        sums[name] = {"set": set_name, "sha256": sha256_of(folder / name)}
    path = folder / MANIFEST
    earlier = {name: entry for name, entry in _listed_files(path).items() if name not in sums}
    kept = {
        name: entry
        for name, entry in earlier.items()
        if entry["set"] in spared and (folder / name).is_file()
    }
    said = {name: value for name, value in manifest.items() if name != SPARED}
    text = json.dumps(
        {"format": FORMAT, "version": FORMAT_VERSION, **said, "files": sums}
        | ({SPARED: kept} if kept else {}),
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    write_atomically(path, text.encode() + b"\n")
    for name in earlier.keys() - kept.keys():
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


def refuse_other_results(folder: Path, name: str) -> None:
    """Raise `StoreError` if a folder holds other results than those of the study of this name.

    Files of a study's results take the place of those of its last run, and what it no longer has is
    removed: other results would be lost.

    Parameters
    ----------
    folder : Path
        Where results are to be written; it need not be there.
    name : str
        The study's name.
    """
    try:
        earlier = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # nothing that could be read as results
    if not isinstance(earlier, dict) or earlier.get("format") != FORMAT:
        holds = f"a {MANIFEST} that is none of results"
    elif earlier.get("imported"):
        holds = f"the imported results {earlier.get('name')!r}"
    elif earlier.get("name") != name:
        holds = f"the results of {earlier.get('name')!r}"
    else:
        return
    raise StoreError(
        f"{folder} holds {holds}, which those of {name!r} would replace",
        hint="choose another folder with --out, or remove that one.",
    )


def _listed_files(manifest: Path) -> dict[str, dict[str, str]]:
    """Return the files of earlier results in a folder by names that results have: sets and sums."""
    try:
        earlier = json.loads(manifest.read_text(encoding="utf-8"))
        if earlier["format"] != FORMAT:
            return {}
        files = {
            name: {"set": str(entry["set"]), "sha256": str(entry["sha256"])}
            for name, entry in [*earlier["files"].items(), *earlier.get(SPARED, {}).items()]
        }
        return {name: entry for name, entry in files.items() if FILE_NAME.fullmatch(name)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # none, or none of ours
