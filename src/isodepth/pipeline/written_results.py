"""What does a study leave behind? Files of matrices, tables and a manifest, from what the store has.

Memory: the matrices of one text set.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from isodepth.affinity.measures import CHANCE_KNOWN, measure_title
from isodepth.comparison import versions
from isodepth.errors import StoreError
from isodepth.pipeline.matrices import Reader, Selection, stored_matrices
from isodepth.pipeline.planned import Missing, PlannedSet, StudyPlan
from isodepth.pipeline.readings import Reading, StoredNames
from isodepth.progress import Progress
from isodepth.results import MatrixKind, TextSetResults, write_manifest, write_text_set
from isodepth.stages import STAGE_VERSIONS
from isodepth.store import Store


def write_results(
    place: Path,
    plan: StudyPlan,
    sets: Sequence[PlannedSet],
    store: Store,
    missing: Sequence[Missing],
    progress: Progress,
) -> None:
    """Write the results of a study to a folder, one text set after the other, then the manifest.

    Parameters
    ----------
    place : Path
        The folder.
    plan : StudyPlan
        The study.
    sets : sequence of PlannedSet
        Its text sets, with those matrices that are in the store.
    store : Store
        The store.
    missing : sequence of Missing
        What the study wanted and these results lack.
    progress : Progress
        Told of text sets done.

    Raises
    ------
    StoreError
        If a matrix has been removed from the store meanwhile, or the folder cannot be written.
    """
    label = "writing results"
    names = StoredNames.of(store)
    progress(label, 0, len(sets), "steps")
    written: dict[str, TextSetResults] = {}
    for number, planned in enumerate(sets, 1):
        results = _results(planned, store, names)
        write_text_set(place, results)
        written[planned.name] = replace(results, matrices={})
        progress(label, number, len(sets), "steps")
    manifest = {
        "name": plan.study.name,
        "study": plan.study.as_dict(),
        "readings": "imported" if plan.imported else "by the models",
        "sets": {name: dict(results.description) for name, results in written.items()},
        "missing": [one.as_dict() for one in missing],
        "versions": versions(),
        "stage_versions": STAGE_VERSIONS,
        "notes": [
            "layers count from 1",
            *_what_similarity_is(plan.study.measures),
            "cells of one matrix are not independent samples: texts are",
            *plan.notes,
        ],
    }
    wanted = [texts.name for texts in plan.study.texts]
    write_manifest(place, manifest, written, spared=wanted)


def _what_similarity_is(measures: Sequence[str]) -> list[str]:
    """Return what similarities are, by each measure."""
    said = []
    if CHANCE_KNOWN in measures:
        said.append("mutual_knn: similarity is the mean share of neighbors in common, in [0, 1]")
    said += [
        f"{name}: similarity is {measure_title(name)}; see 'isodepth measures {name}'"
        for name in measures
        if name != CHANCE_KNOWN
    ]
    return said


def _results(planned: PlannedSet, store: Store, names: StoredNames) -> TextSetResults:
    """Return the matrices of a text set, and what is known of them."""
    matrices = {}
    for kind, selection in planned.selections.items():
        found = stored_matrices(selection, store)
        if found is None:
            raise StoreError(
                f"the matrices of {planned.name} ({kind}) are no longer in the store",
                hint="run the study again.",
            )
        matrices[kind] = replace(found, texts=planned.name)
    readers = {
        (reader.label, reader.key): reader
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
    }
    description = {
        "texts": dict(planned.texts),
        "right_texts": None if planned.right_texts is None else dict(planned.right_texts),
        "readings": [_described(reader, store, names) for reader in readers.values()],
        "matrices": [_described_matrix(kind, one) for kind, one in planned.selections.items()],
    }
    return TextSetResults(name=planned.name, matrices=matrices, description=description)


def _described_matrix(kind: MatrixKind, selection: Selection) -> dict[str, Any]:
    return {"kind": kind._asdict(), "key": selection.key, "array": kind.array}


def _described(reader: Reader, store: Store, names: StoredNames) -> dict[str, Any]:
    """Return who read what and how, without anything that differs from one run to the next."""
    reading = reader.reading
    if not isinstance(reading, Reading):
        return {
            "label": reader.label,
            "model": reading.model,
            "model_digest": reading.model_digest,
            "texts_digest": reading.texts_digest,
            "options": reader.options.as_dict(),
            "neighbors": reading.key,
            "provenance": dict(reading.provenance),
        }
    key = reading.neighbors_key(reader.options)
    enough = reading.named_neighbors(reader.options, names)
    manifest = (store.manifest("neighbors", enough[0]) if enough else None) or {}
    provenance = manifest.get("provenance", {})
    encoding, contract = provenance.get("encoding", {}), provenance.get("contract", {})
    return {
        "label": reader.label,
        "model": reading.source.name,
        "model_digest": reading.source.digest,
        "texts_digest": reading.texts.digest,
        "options": reader.options.as_dict(),
        "metric": reading.metric,
        "preprocessing": reading.preprocessing,
        "neighbors": key,
        "activations": reading.activations_key(reader.options),
        "n_layers": manifest.get("n_layers"),
        **{name: provenance.get(name) for name in ("architecture", "dtype", "quantization", "device")},
        "batching": contract.get("batching"),
        "skipped_blocks": contract.get("skipped_blocks"),
        **{
            name: encoding.get(name)
            for name in ("n_tokens", "n_distinct_inputs", "n_truncated", "max_tokens", "chat_template")
        },
    }
