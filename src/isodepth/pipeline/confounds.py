"""What could explain a study's picture away? Its neighbors again, each explanation taken out in turn.

Activations are needed, which a study seldom keeps: models whose activations are not in the store read
their texts again, once, and so do their untrained copies. Everything then comes from the store.

>>> found = study_confounds("results/small", texts=["wikipedia"])                # doctest: +SKIP
>>> print(found.sets[0].table.row("center", "on_minus_off").difference)          # doctest: +SKIP

Memory: activations of one text set, as memory maps, and what `isodepth.confounds` takes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from isodepth.affinity import affinity_matrix
from isodepth.atomic import refuse_unwritable
from isodepth.confounds import (
    CONTROLS,
    ControlInputs,
    StudyConfounds,
    TextSetConfounds,
    all_controlled,
    confound_table,
    control_of,
)
from isodepth.confounds.candidates import n_needed
from isodepth.errors import IsodepthError, ParameterError, listed
from isodepth.pipeline.assess import shown_k
from isodepth.pipeline.control_inputs import against_texts, labels_of_sets, last_tokens, texts_of
from isodepth.pipeline.copies import copies_of_models
from isodepth.pipeline.matrices import Reader
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import PlannedSet, StudyPlan
from isodepth.pipeline.readings import Reading
from isodepth.pipeline.restudied import read_plan, study_of_results
from isodepth.pipeline.written_tables import write_parts, write_table
from isodepth.progress import Progress, no_progress
from isodepth.results import MatrixKind, StudyResults, load_results
from isodepth.statistics.profile import profile_values
from isodepth.store import Store, open_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OF_LABELS = "same_label("
"""How controls of labels begin."""
MOST_PAIRS = 3
"""Pairs of models of a text set whose matrices are drawn under every control."""
CONTRAST = "on_minus_off"
"""The part of the profile that they are chosen by."""
UNTRAINED = "untrained=0"
"""The copies that learned nothing: weights drawn by this seed."""


def study_confounds(
    results: StudyResults | Path | str,
    *,
    texts: Sequence[str] = (),
    k: int | None = None,
    controls: Sequence[str] = (),
    labels: Sequence[str] = (),
    n_resamples: int = 1000,
    seed: int = 0,
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
    progress: Progress = no_progress,
) -> StudyConfounds:
    """Return how far each thing that could explain a study's picture away moves it.

    Controls start from mutual k-NN by the study's own metric, after its own preprocessing.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results of a study that ran at least two models, or where they are; see `load_results`.
    texts : sequence of str
        Only these text sets. Parallel ones are left out.
    k : int, optional
        Neighbors per text; 10, or the fewest of the results' matrices, where it is left out.
    controls : sequence of str
        Names that `isodepth.confounds.control_of` takes; all of `CONTROLS` where it is left out.
    labels : sequence of str
        Columns of the texts' own file ("source", "language"): neighbors are also sought only among
        texts with the same label.
    n_resamples, seed
        Of the texts, for intervals.
    store : Store, Path or str, optional
        Where readings are and go; `Store()` where it is left out.
    folder : Path or str
        Where the study's paths that begin with ./ are looked up: the study file's folder.
    progress : Progress
        Told how far the work is.

    Raises
    ------
    UnknownNameError
        If there are no results, no such text set or no such control.
    ParameterError
        If results do not say which models were run how, there are fewer than two, only parallel texts,
        or too few texts for `k`.
    StudyError
        If the study cannot be read on this machine.
    """
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    kept = open_store(store)
    chosen = [*(controls or CONTROLS), *(f"{OF_LABELS}{label})" for label in labels)]
    wanted = [name for name in chosen if _is_wanted(name, controls, labels)]
    # by their canonical names; a wrong one is told before models read
    chosen = list(dict.fromkeys(control_of(name).name for name in wanted))
    names = [loaded[name].name for name in dict.fromkeys(texts)] or list(loaded.set_names)
    wanted_k = k or shown_k(kind for one in loaded.sets.values() for kind in one.matrices)
    study = study_of_results(loaded, Path(folder), texts=names, k=wanted_k, keep_activations=True)
    plan = _of_models(plan_study(study, kept, measures_speed=False, progress=progress), loaded)
    read = [entry.name for entry in study.texts]
    notes = [f"{name} is left out: its texts are parallel ones" for name in names if name not in read]
    notes += [f"{one.what}: {one.reason}" for one in plan.missing]
    if not plan.sets:
        raise _nothing_left(loaded, [*notes, f"there are fewer than two models on {listed(read)}"])
    for one in plan.sets:
        for selection in one.selections.values():  # told before models read
            ControlInputs(texts=texts_of(selection.left[0]).texts, k=wanted_k)
    labels_of = labels_of_sets(study, plan.sets, labels, notes, progress)
    notes += [f"{one.what}: {one.reason}" for one in read_plan(plan, kept, progress)]
    copies: dict[tuple[str, str, str, str], Reader] = {}
    if any(control_of(name).reads_copies for name in chosen):
        found, said = copies_of_models(
            loaded,
            Path(folder),
            [UNTRAINED],
            k=wanted_k,
            store=kept,
            texts=names,
            keep_activations=True,
            progress=progress,
        )
        copies = {(one.texts, one.capture, one.pooling, one.label): one.reader for one in found}
        notes += said
    sets = []
    for planned in plan.sets:
        for kind, selection in planned.selections.items():
            readers, lost = _readable(selection.left, kept)
            notes += lost
            if len(readers) < 2:
                notes.append(f"{planned.name} is left out: fewer than two models could read it")
                continue
            if copies:
                notes += _without_copies(readers)
            of_set = {
                label: reader.activations(kept).values
                for (*place, label), reader in copies.items()
                if tuple(place) == (planned.name, kind.capture, kind.pooling)
            }
            sets.append(
                _of_set(
                    planned,
                    kind,
                    readers,
                    of_set,
                    [name for name in chosen if _has_labels(name, labels_of[planned.name], controls)],
                    labels_of[planned.name],
                    kept,
                    n_resamples=n_resamples,
                    seed=seed,
                    progress=progress,
                )
            )
    if not sets:
        raise _nothing_left(loaded, notes)
    return StudyConfounds(name=loaded.name, sets=tuple(sets), notes=tuple(dict.fromkeys(notes)))


def write_confounds(
    found: StudyConfounds,
    out: Path | str,
    *,
    formats: Sequence[str] = ("png", "pdf"),
    progress: Progress = no_progress,
) -> list[Path]:
    """Write tables (Parquet and CSV) and figures to a folder; return their paths.

    Matrices of more than 100,000 cells are in Parquet alone.

    Parameters
    ----------
    found : StudyConfounds
        What was found.
    out : Path or str
        The folder. Files of the same names are replaced, each whole or not at all.
    formats : sequence of str
        Of "png", "pdf" and "svg": a file each for every figure.
    progress : Progress
        Told of figures.

    Raises
    ------
    ParameterError
        If a format is unknown.
    StoreError
        If the folder cannot be written.
    """
    from isodepth.figures.saving import refuse_unknown_formats, save_figure

    refuse_unknown_formats(formats)
    place = Path(out)
    refuse_unwritable(place)
    written = [
        *write_table(place, "controls", found.controls_table()),
        *write_table(place, "text-baselines", found.inputs_table()),
        *write_parts(place, "matrices", found.matrices_tables()),
    ]
    n_figures = sum(2 + len(_shown_pairs(one)) for one in found.sets)
    for number, (name, figure) in enumerate(_figures(found)):
        progress("drawing figures", number, n_figures, "figures")
        for ending in dict.fromkeys(formats):
            written.append(place / f"{name}.{ending}")
            save_figure(figure, written[-1])
    progress("drawing figures", n_figures, n_figures, "figures")
    return written


def _is_wanted(name: str, controls: Sequence[str], labels: Sequence[str]) -> bool:
    """Return whether a control is wanted: without a choice, one of labels only where there are such."""
    if name in controls or not name.startswith(OF_LABELS):
        return True
    return name.removeprefix(OF_LABELS).removesuffix(")") in labels


def _of_models(plan: StudyPlan, results: StudyResults) -> StudyPlan:
    """Return a plan without models that results leave out, and with sets of two models or more."""
    left_out = results.manifest.get("left_out", ())
    sets = []
    for planned in plan.sets:
        selections = {}
        for kind, selection in planned.selections.items():
            readers = tuple(reader for reader in selection.left if reader.label not in left_out)
            if len(readers) > 1:
                selections[kind] = replace(selection, left=readers)
        if selections:
            sets.append(replace(planned, selections=selections))
    readings = tuple(one for one in plan.readings if one.model not in left_out)
    return replace(plan, readings=readings, sets=tuple(sets))


def _nothing_left(results: StudyResults, notes: Sequence[str]) -> ParameterError:
    return ParameterError(
        f"{results.name}: nothing is left to control; {'; '.join(dict.fromkeys(notes))}"
    )


def _has_labels(name: str, labels: Mapping[str, object], controls: Sequence[str]) -> bool:
    """Return whether a control of labels has any on a text set, or was asked for by name."""
    return _is_wanted(name, controls, list(labels))


def _readable(readers: Iterable[Reader], store: Store) -> tuple[list[Reader], list[str]]:
    """Return the readers whose neighbors and activations are there, and what is said of the others."""
    there, lost = [], []
    for reader in readers:
        try:
            reader.neighbors(store)
            reader.activations(store)
        except IsodepthError as error:
            lost.append(f"{reader.label} is left out: {error.message}")
        else:
            there.append(reader)
    return there, lost


def _without_copies(readers: Iterable[Reader]) -> list[str]:
    """Return what is said of models of the study that learned nothing themselves."""
    return [
        f"{reader.label} is an untrained copy itself, so the control 'untrained' leaves it out"
        for reader in readers
        if isinstance(reader.reading, Reading) and reader.reading.source.options.untrained is not None
    ]


def _of_set(
    planned: PlannedSet,
    kind: MatrixKind,
    readers: Sequence[Reader],
    copies: Mapping[str, np.ndarray],
    controls: Sequence[str],
    labels: Mapping[str, Sequence[str | None]],
    store: Store,
    *,
    n_resamples: int,
    seed: int,
    progress: Progress,
) -> TextSetConfounds:
    """Return what could explain the picture of one text set away."""
    texts = texts_of(readers[0])
    models = {reader.label: reader.activations(store) for reader in readers}
    neighbors = {reader.label: reader.neighbors(store) for reader in readers}
    notes: list[str] = []
    tokens: dict[str, Int64[np.ndarray, " texts"]] = {}
    if kind.pooling == "last":
        tokens = {reader.label: last_tokens(reader, models[reader.label]) for reader in readers}
    elif any(control_of(name).name.endswith("_token") for name in controls):
        notes.append(f"pooling {kind.pooling} reads at no last token, so controls of it do not apply")
    selection = planned.selections[kind]
    inputs = ControlInputs(
        texts=texts.texts,
        k=kind.k,
        tokens=tokens,
        labels=labels,
        copies=copies,
        metric=selection.metric,
        preprocessing=selection.preprocessing,
    )
    # a study may keep too few neighbors for resampling; then they are found again
    has_enough = all(one.k >= n_needed(kind.k) for one in neighbors.values())
    controlled = all_controlled(
        {label: one.values for label, one in models.items()},
        inputs,
        controls,
        plain={label: one.ids for label, one in neighbors.items()} if has_enough else None,
        seed=seed,
        progress=progress,
    )
    pairs = [
        replace(affinity_matrix(one, other, k=kind.k), texts=planned.name)
        for place, one in enumerate(neighbors.values())
        for other in list(neighbors.values())[place + 1 :]
    ]
    return TextSetConfounds(
        name=planned.name,
        capture=kind.capture,
        pooling=kind.pooling,
        table=confound_table(controlled, n_resamples=n_resamples, seed=seed),
        inputs=dict(against_texts(texts, neighbors, kind.k, planned.name)),
        matrices=tuple(pairs),
        notes=tuple(notes),
    )


def _figures(found: StudyConfounds) -> "Iterator[tuple[str, Figure]]":
    """Yield the figures of all sets and their names, each drawn when it is asked for."""
    from isodepth.figures import (
        controlled_matrices_figure,
        controls_figure,
        text_baselines_figure,
    )
    from isodepth.figures.entries import file_stem, pair_stem

    for one in found.sets:
        folder = file_stem(one.title)
        yield f"{folder}/controls", controls_figure(one.table, matrices=one.matrices[0])
        yield f"{folder}/text-baselines", text_baselines_figure(one.inputs, others=one.matrices)
        for left, right in _shown_pairs(one):
            those = [two for two in one.table.matrices if (left, right) in two.pairs]
            figure = controlled_matrices_figure(those, left, right, texts=one.name)
            yield f"{folder}/matrices-{pair_stem(left, right)}", figure


def _shown_pairs(one: TextSetConfounds) -> tuple[tuple[str, str], ...]:
    """Return the pairs of models whose matrices are drawn, chosen by rule, without a control."""
    from isodepth.figures.featured import pairs_by_rule

    plain = one.table.matrices[0]
    contrasts = {}
    for pair in plain.pairs:
        parts = profile_values(plain.calibrated(*pair).astype(np.float64), chance=0.0)
        if CONTRAST in parts:
            contrasts[pair] = float(parts[CONTRAST])
    return pairs_by_rule(list(plain.pairs), sorted(contrasts, key=contrasts.__getitem__))[:MOST_PAIRS]
