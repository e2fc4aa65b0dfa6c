"""Affinity matrices of many readers, in the store: what is there is kept, what is missing computed.

One artifact holds all layers of all readers of a text set against each other, for one measure and k.
When a model joins, its rows are computed and the others are taken from the artifact that holds most of
them. Which reader is meant is told by the key of its neighbors, never by its label.

Memory: the matrix, and what the measure takes; what readers read is mapped from the store.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isodepth.activations import Activations, ExtractionOptions
from isodepth.affinity import AFFINITY_VERSION, AffinityMatrices, all_affinities, measure_named
from isodepth.affinity.measures import measure_identity
from isodepth.errors import IsodepthError, StoreError
from isodepth.interchange import ImportedReading
from isodepth.neighbors import Neighbors
from isodepth.pipeline.readings import Reading
from isodepth.progress import Progress
from isodepth.stages import STAGE_VERSIONS, versions_up_to
from isodepth.store import Store, content_key
from isodepth.texts import Pairing

STAGE = "affinities"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A model that read a text set in one way: one group of rows of a matrix.

    Parameters
    ----------
    label : str
        What results call it.
    reading : Reading or ImportedReading
        Where its neighbors and activations come from.
    options : ExtractionOptions
        Which of the reading's captures and poolings.
    """

    label: str
    reading: Reading | ImportedReading
    options: ExtractionOptions

    @property
    def key(self) -> str:
        """The key of its neighbors, whatever their number."""
        if isinstance(self.reading, Reading):
            return self.reading.neighbors_key(self.options)
        return self.reading.key

    def neighbors(self, store: Store) -> Neighbors:
        """Return its neighbors from the store, verified.

        Raises
        ------
        StoreError
            If they are not there, or damaged.
        """
        if isinstance(self.reading, Reading):
            found = self.reading.stored_neighbors(store, self.options)
        else:
            found = self.reading.neighbors(store)
        if found is None:
            raise StoreError(
                f"the neighbors of {self.label} are not in the store",
                hint="run the same command again: it computes what is missing.",
            )
        return replace(found, model=self.label)

    def activations(self, store: Store) -> Activations:
        """Return its activations from the store, verified.

        Raises
        ------
        StoreError
            If they are not there, or damaged.
        """
        found = None
        if isinstance(self.reading, Reading):
            found = self.reading.stored_activations(store, self.options)
        if found is None:
            raise StoreError(
                f"the activations of {self.label} are not in the store",
                hint="run the same command again: it computes what is missing.",
            )
        return replace(found, model=self.label)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """One matrix that is wanted of a text set: who against whom, by which measure.

    Parameters
    ----------
    left : tuple of Reader
        The readers of the rows.
    right : tuple of Reader or None
        Those of the columns; None where all are compared with each other.
    measure : str
        A key of `MEASURES`, or the name of a package's measure.
    k : int
        Neighbors per text; 0 where the measure takes none.
    metric, preprocessing : str
        Of the readings.
    texts_digest : str
        Identity of what the left readers read.
    pairing : Pairing or None
        The declaration that the right readers' texts belong to the left ones', where they differ.
    """

    left: tuple[Reader, ...]
    right: tuple[Reader, ...] | None
    measure: str
    k: int
    texts_digest: str
    metric: str = "cosine"
    preprocessing: str = "none"
    pairing: Pairing | None = None

    @property
    def columns(self) -> tuple[Reader, ...]:
        """The readers of the columns."""
        return self.left if self.right is None else self.right

    @property
    def group(self) -> str:
        """What all artifacts share whose cells may stand in this matrix."""
        return content_key(
            {
                "stage": STAGE,
                "version": AFFINITY_VERSION,
                "texts": self.texts_digest,
                "right_texts": None if self.pairing is None else self.pairing.right,
                "measure": measure_identity(self.measure),
                "k": self.k,
            }
        )

    @property
    def key(self) -> str:
        """The name of its artifact."""
        right = None if self.right is None else [reader.key for reader in self.right]
        readers = content_key({"left": [reader.key for reader in self.left], "right": right})
        return f"{self.group}-{readers}"


def relate(selections: Sequence[Selection], store: Store, progress: Progress, wait: bool) -> bool:
    """Compute and store the matrices that are missing; return whether all are there now.

    Parameters
    ----------
    selections : sequence of Selection
        Matrices of the same readers, by several measures and k.
    store, progress, wait
        As in `isodepth.pipeline.reading_work.read`.

    Raises
    ------
    IsodepthError
        If some cannot be computed, after all others have been; all are told.
    """
    held: dict[tuple[str, str], Neighbors | Activations] = {}
    are_there, refusals = True, []
    for selection in selections:
        try:
            are_there &= relate_one(selection, store, progress, wait, held=held)
        except IsodepthError as error:
            refusals.append(error)
    messages = list(dict.fromkeys(error.message for error in refusals))
    if len(messages) > 1:
        raise IsodepthError("; ".join(messages), hint=refusals[0].hint) from refusals[0]
    if refusals:
        raise refusals[0]
    return are_there


def relate_one(
    selection: Selection,
    store: Store,
    progress: Progress,
    wait: bool,
    *,
    held: dict[tuple[str, str], Neighbors | Activations] | None = None,
) -> bool:
    """Compute and store one matrix if it is missing; return whether it is there now.

    `held` is what has been read, by what measures read and the key of the reader; it is added to.
    """

    def waiting() -> None:
        progress("waiting for another run to compare layers", 0, 1, "steps")

    lock = store.lock(STAGE, selection.key, waiting=waiting if wait else None)
    with lock as mine:
        if not mine:
            return False
        if stored_matrices(selection, store) is None:
            _compute(selection, store, {} if held is None else held)
    return True


def stored_matrices(selection: Selection, store: Store) -> AffinityMatrices | None:
    """Return a matrix from its artifact, verified, or None where there is none."""
    artifact = store.read(STAGE, selection.key)
    if artifact is None:
        return None
    columns = selection.columns
    n_layers = {entry["key"]: int(entry["n_layers"]) for entry in artifact.manifest["readers"]}
    return AffinityMatrices(
        values=np.array(artifact.arrays["values"]),
        left=tuple(reader.label for reader in selection.left),
        right=tuple(reader.label for reader in columns),
        left_layers=tuple(n_layers[reader.key] for reader in selection.left),
        right_layers=tuple(n_layers[reader.key] for reader in columns),
        is_symmetric=selection.right is None,
        measure=selection.measure,
        k=selection.k,
        n_texts=int(artifact.manifest["n_texts"]),
        metric=selection.metric if measure_named(selection.measure).reads == "neighbors" else None,
        preprocessing=selection.preprocessing,
        texts_digest=selection.texts_digest,
        right_texts_digest=None if selection.pairing is None else selection.pairing.right,
    )


def _compute(
    selection: Selection, store: Store, held: dict[tuple[str, str], Neighbors | Activations]
) -> None:
    """Compute and store a matrix, from what other artifacts hold of it as far as they do."""
    known = dict(_known_cells(selection, store))
    left, columns = selection.left, selection.columns
    # one reader may stand under several labels, left and right
    by_key = {reader.key: reader for reader in (*left, *columns)}
    measure = measure_named(selection.measure)
    # a measure that tells left from right has two directions of each pair
    is_mirrored = selection.right is None and measure.is_symmetric

    def compared(key: str) -> Neighbors | Activations:
        if (measure.reads, key) not in held:
            reader = by_key[key]
            held[measure.reads, key] = (
                reader.neighbors(store) if measure.reads == "neighbors" else reader.activations(store)
            )
        return held[measure.reads, key]

    def add(rows: Sequence[str], others: Sequence[str] | None) -> None:
        """Add the cells of these readers, of each with each other where there are no others."""
        found = all_affinities(
            [compared(key) for key in rows],
            right=None if others is None else [compared(key) for key in others],
            k=selection.k or None,
            measure=selection.measure,
            preprocessing=selection.preprocessing if measure.reads == "activations" else "none",
            pairing=selection.pairing,
        )
        for row in rows:
            for other in rows if others is None else others:
                cells = found[by_key[row].label, by_key[other].label].values
                known[row, other] = cells
                if is_mirrored:
                    known[other, row] = cells.T

    row_keys = list(dict.fromkeys(reader.key for reader in left))
    column_keys = list(dict.fromkeys(reader.key for reader in columns))
    if selection.right is None:
        new = [key for key in row_keys if (key, key) not in known]
        if new:
            add(new, None)
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for place, key in enumerate(row_keys):
        others = column_keys[place + 1 :] if is_mirrored else column_keys
        lacking = tuple(other for other in others if (key, other) not in known)
        if lacking:
            groups[lacking].append(key)
    for lacking, rows in groups.items():
        add(rows, lacking)
    n_layers = {one: cells.shape[0] for (one, _), cells in known.items()}
    n_layers |= {other: cells.shape[1] for (_, other), cells in known.items()}
    values = np.block([[known[one.key, other.key] for other in columns] for one in left])
    store.write(
        STAGE,
        selection.key,
        arrays={"values": values},
        manifest={
            "left": [reader.key for reader in left],
            "right": None if selection.right is None else [reader.key for reader in selection.right],
            "readers": [
                {"key": key, "label": reader.label, "n_layers": n_layers[key]}
                for key, reader in by_key.items()
            ],
            "measure": selection.measure,
            "k": selection.k,
            "n_texts": compared(left[0].key).n_texts,
            "texts_digest": selection.texts_digest,
            "right_texts_digest": None if selection.pairing is None else selection.pairing.right,
            "versions": _versions(by_key.values()),
        },
    )


def _versions(readers: Iterable[Reader]) -> dict[str, int]:
    """Return the versions of all code that a matrix of these readers went through."""
    is_read_here = any(isinstance(reader.reading, Reading) for reader in readers)
    return versions_up_to(STAGE) if is_read_here else {STAGE: STAGE_VERSIONS[STAGE]}


def _known_cells(selection: Selection, store: Store) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield the cells of pairs of readers that other artifacts hold, by the readers' keys."""
    wanted = {(one.key, other.key) for one in selection.left for other in selection.columns}
    candidates: list[tuple[int, str, list[str], list[str]]] = []
    for name in store.keys(STAGE, prefix=f"{selection.group}-"):
        manifest = store.manifest(STAGE, name)
        if manifest is None or name == selection.key:
            continue
        if selection.right is None and manifest["right"] is not None:
            continue  # it has a pair in one direction only
        rows = list(manifest["left"])
        columns = rows if manifest["right"] is None else list(manifest["right"])
        n_shared = len(wanted & {(one, other) for one in rows for other in columns})
        if n_shared:
            candidates.append((n_shared, name, rows, columns))
    for _, name, rows, columns in sorted(candidates, reverse=True):
        if not wanted:
            return
        if not any((one, other) in wanted for one in rows for other in columns):
            continue
        artifact = store.read(STAGE, name)
        if artifact is None:
            continue
        n_layers = {entry["key"]: int(entry["n_layers"]) for entry in artifact.manifest["readers"]}
        row_starts = np.cumsum([0, *(n_layers[key] for key in rows)])
        column_starts = np.cumsum([0, *(n_layers[key] for key in columns)])
        for i, one in enumerate(rows):
            for j, other in enumerate(columns):
                if (one, other) in wanted:
                    wanted.remove((one, other))
                    part = artifact.arrays["values"][
                        row_starts[i] : row_starts[i + 1], column_starts[j] : column_starts[j + 1]
                    ]
                    yield (one, other), np.array(part)
