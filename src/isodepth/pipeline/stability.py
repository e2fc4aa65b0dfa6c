"""How firm is what a study found? Neighbors from the store, copies of models where they are asked for.

>>> found = study_stability("results/small")                                     # doctest: +SKIP
>>> written = write_stability("results/small", "results/small/stability")        # doctest: +SKIP

Memory: the neighbors of one text set, as memory maps, and what `isodepth.stability` takes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.atomic import refuse_unwritable
from isodepth.errors import UnknownNameError
from isodepth.neighbors import Neighbors
from isodepth.pipeline.assess import matrix_neighbors, shown_k
from isodepth.pipeline.copies import Copy, copies_of_models
from isodepth.pipeline.written_tables import write_table
from isodepth.progress import Progress, no_progress
from isodepth.results import MatrixKind, StudyResults, TextSetResults, load_results
from isodepth.stability import (
    LayerStability,
    StudyStability,
    TextSetStability,
    layer_stability,
    similarity_curves,
)
from isodepth.store import ResumableArray, Store, open_store
from isodepth.texts import Pairing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrittenStability:
    """What was found, and where it was written.

    Parameters
    ----------
    found : StudyStability
        What was found.
    tables, figures : tuple of Path
        The files.
    """

    found: StudyStability
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]


def study_stability(
    results: StudyResults | Path | str,
    *,
    texts: Sequence[str] = (),
    k: int | None = None,
    copies: Sequence[str] = (),
    n_subsets: int = 20,
    seed: int = 0,
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
    progress: Progress = no_progress,
) -> StudyStability:
    """Return how firm a study's picture is: layers, curves, and noise ceilings of copies.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    texts : sequence of str
        Only these text sets.
    k : int, optional
        Neighbors per text, fewer than are stored; 10, or the fewest of the results' matrices, where it
        is left out.
    copies : sequence of str
        Loading options, "dtype=bfloat16": every model is read again so, on every text set that is no
        pair of parallel ones. Without any, no model is loaded.
    n_subsets, seed
        As for `similarity_curves`.
    store : Store, Path or str, optional
        Where the neighbors are; `Store()` where it is left out. Activations that are kept there give
        the geometry of the layers.
    folder : Path or str
        Where the study's paths that begin with ./ are looked up, for copies.
    progress : Progress
        Told how far the work is.

    Returns
    -------
    StudyStability
        Text sets whose neighbors are not all in the store have a note alone.

    Raises
    ------
    UnknownNameError
        If there are no results, no such text set, or no neighbors of any in the store.
    ParameterError
        If `k` neighbors and one more are not stored, or copies cannot be read of these results.
    StoreError
        If results are damaged.
    """
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    kept = open_store(store)
    wanted = [loaded[name] for name in dict.fromkeys(texts)] or list(loaded.sets.values())
    kinds = [(found, kind) for found in wanted for kind in _kinds(found)]
    chosen = k or shown_k(kind for found in wanted for kind in found.matrices)
    copied: list[Copy] = []
    notes: list[str] = []
    if copies:
        copied, notes = copies_of_models(
            loaded,
            Path(folder),
            copies,
            k=chosen,
            store=kept,
            texts=[found.name for found in wanted],
            progress=progress,
        )
    sets: list[TextSetStability] = []
    missing: list[UnknownNameError] = []
    for number, (found, kind) in enumerate(kinds):
        progress("telling how firm it is", number, len(kinds), "text sets")
        try:
            left, right = matrix_neighbors(found, kind, kept, all_stored=True)
        except UnknownNameError as error:
            missing.append(error)
            left, right = [], None
        mine = [
            one
            for one in copied
            if (one.texts, one.capture, one.pooling) == (found.name, kind.capture, kind.pooling)
        ]
        said = [*notes, *([missing[-1].message] if not left else [])]
        sets.append(
            _of_set(found, kind, left, right, chosen, mine, said, kept, n_subsets=n_subsets, seed=seed)
        )
    if missing and not any(one.layers for one in sets):
        raise missing[0]
    progress("telling how firm it is", len(kinds), len(kinds), "text sets")
    return StudyStability(name=loaded.name, sets=tuple(sets))


def write_stability(
    results: StudyResults | Path | str,
    out: Path | str,
    *,
    found: StudyStability | None = None,
    texts: Sequence[str] = (),
    k: int | None = None,
    copies: Sequence[str] = (),
    formats: Sequence[str] = ("png", "pdf"),
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
    progress: Progress = no_progress,
) -> WrittenStability:
    """Write how firm a study's picture is to a folder: tables as Parquet and CSV, and figures.

    Parameters
    ----------
    results, texts, k, copies, store, folder, progress
        As for `study_stability`.
    out : Path or str
        The folder. Files of the same names are replaced, each whole or not at all.
    found : StudyStability, optional
        Of the same results, where it was found before; then the options do not count.
    formats : sequence of str
        Of "png", "pdf" and "svg": a file each for every figure.

    Raises
    ------
    ParameterError
        If a format is unknown; and as `study_stability`.
    StoreError
        If results are damaged, or the folder cannot be written.
    """
    from isodepth.figures.saving import refuse_unknown_formats, save_figure

    refuse_unknown_formats(formats)
    place = Path(out)
    refuse_unwritable(place)
    known = found or study_stability(
        results,
        texts=texts,
        k=k,
        copies=copies,
        store=store,
        folder=folder,
        progress=progress,
    )
    tables = {
        "layers": known.layers_table(),
        "curves": known.curves_table(),
        "ceilings": known.ceilings_table(),
    }
    written = [
        path for name, rows in tables.items() if len(rows) for path in write_table(place, name, rows)
    ]
    figures: list[Path] = []
    for one in known.sets:
        for name, figure in _figures(one):
            progress("drawing figures", len(figures), len(figures) + 1, "figures")
            for ending in dict.fromkeys(formats):
                figures.append(place / f"{name}.{ending}")
                save_figure(figure, figures[-1])
    return WrittenStability(found=known, tables=tuple(written), figures=tuple(figures))


def _kinds(found: TextSetResults) -> list[MatrixKind]:
    """Return one kind of matrix for each capture and pooling, that of mutual k-NN if there is one."""
    kinds: dict[tuple[str, str], MatrixKind] = {}
    for kind in sorted(found.matrices, key=lambda one: one.measure != "mutual_knn"):
        kinds.setdefault((kind.capture, kind.pooling), kind)
    return list(kinds.values())


def _of_set(
    found: TextSetResults,
    kind: MatrixKind,
    left: Sequence[Neighbors],
    right: Sequence[Neighbors] | None,
    k: int,
    copies: Sequence[Copy],
    notes: Sequence[str],
    store: Store,
    *,
    n_subsets: int,
    seed: int,
) -> TextSetStability:
    """Return how firm what was found on one text set is."""
    matrices = found.matrices[kind]
    layers: list[LayerStability] = []
    sides = [left] if right is None else [left, right]
    for neighbors, texts in zip(sides, found.texts_read, strict=False):
        for one in neighbors:
            stable = layer_stability(one, k=k, activations=_activations(found, kind, one, store))
            reads = "" if right is None or texts is None else f" reading {texts}"
            layers.append(replace(stable, model=one.model + reads))
    curves = None
    pairing = None
    if matrices.right_texts_digest is not None and matrices.texts_digest is not None:
        pairing = Pairing(left=matrices.texts_digest, right=matrices.right_texts_digest)
    if len(left) > 1 or right is not None:
        curves = similarity_curves(
            left, right=right, k=k, n_subsets=n_subsets, seed=seed, pairing=pairing
        )
    by_label = {one.model: one for one in left} if right is None else {}
    ceilings = [
        _named(affinity_matrix(by_label[copy.label], copy.reader.neighbors(store), k=k), found.name)
        for copy in copies
        if copy.label in by_label
    ]
    pairs = [
        _named(affinity_matrix(one, other, k=k), found.name)
        for place, one in enumerate(left)
        for other in left[place + 1 :]
    ]
    return TextSetStability(
        name=found.name,
        capture=kind.capture,
        pooling=kind.pooling,
        k=k,
        layers=tuple(layers),
        curves=curves,
        ceilings=tuple(ceilings),
        matrices=tuple(pairs) if ceilings else (),
        notes=tuple(notes),
    )


def _named(matrix: AffinityMatrix, texts: str) -> AffinityMatrix:
    return replace(matrix, texts=texts)


def _activations(
    found: TextSetResults, kind: MatrixKind, neighbors: Neighbors, store: Store
) -> np.ndarray | None:
    """Return the activations behind neighbors from the store, verified, or None if not kept."""
    for said in found.description.get("readings", ()):
        options = said.get("options", {})
        read = (said.get("label"), str(options.get("capture")), str(options.get("pooling")))
        is_it = read == (neighbors.model, kind.capture, kind.pooling)
        if is_it and said.get("texts_digest") == neighbors.texts_digest and said.get("activations"):
            artifact = store.read("activations", str(said["activations"]))
            return None if artifact is None else artifact.arrays[ResumableArray.NAME]
    return None


def _figures(one: TextSetStability) -> Iterator[tuple[str, "Figure"]]:
    """Yield the figures of a text set and their names, each drawn when it is asked for."""
    from isodepth.figures import curves_figure, noise_ceiling_figure, stability_figure
    from isodepth.figures.ceiling import MOST_COPIES
    from isodepth.figures.entries import file_stem

    folder = file_stem(one.title)
    if one.layers:
        yield f"{folder}/layers", stability_figure(one.layers, texts=one.title)
    if one.curves is not None:
        yield f"{folder}/curves", curves_figure(one.curves, texts=one.title)
    for model in dict.fromkeys(copy.left for copy in one.ceilings):
        copies = [copy for copy in one.ceilings if copy.left == model][:MOST_COPIES]
        others = [matrix for matrix in one.matrices if model in (matrix.left, matrix.right)]
        yield f"{folder}/noise-ceiling-{file_stem(model)}", noise_ceiling_figure(copies, others)
