"""What were the matrices of results made from? Neighbors from the store, texts from where they came.

Results say which texts were read by name and by digest. The texts are loaded again by name and taken
only if they have that digest, so they are never other ones. Nothing is downloaded for it: what is not
on this machine is not at hand, and a note says so.

>>> evidence = study_evidence("results/small")                                  # doctest: +SKIP
>>> evidence["wikipedia", "block", "last"].texts                                # doctest: +SKIP
TextSet('wikipedia', n_texts=256, digest='f597341441ae')

Memory: the texts; neighbors are memory maps.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isodepth.errors import IsodepthError, UnknownNameError
from isodepth.interchange import imported_texts
from isodepth.models import MODELS
from isodepth.notation import imported_name
from isodepth.pipeline.assess import matrix_neighbors
from isodepth.results import (
    Evidence,
    EvidenceKey,
    MatrixKind,
    StudyResults,
    TextSetResults,
    evidence_key,
    load_results,
)
from isodepth.sources import is_hub_dataset_here
from isodepth.store import Store, open_store
from isodepth.study.study import StudyTexts
from isodepth.study.texts import text_set_named
from isodepth.texts import TextSet
from isodepth.texts.catalogue import TEXT_SETS, HubTexts, catalogue_entry
from isodepth.texts.names import ControlName, HubName, taken_apart

OPTIONS = ("seed", "column", "right_column", "source", "min_chars", "max_chars", "dedupe")
"""What a study says of its texts besides their names and number."""

Texts = Mapping[str, TextSet | str]
"""By digest: texts, or why they are not at hand."""


def study_evidence(
    results: StudyResults | Path | str,
    *,
    texts: Sequence[str] = (),
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
) -> dict[EvidenceKey, Evidence]:
    """Return what a study's matrices were made from, by text set, capture and pooling.

    Sets whose neighbors are not all in the store are left out.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    texts : sequence of str
        Only these text sets.
    store : Store, Path or str, optional
        Where the neighbors are; `Store()` where it is left out.
    folder : Path or str
        Where paths of texts that begin with ./ are looked up: the study file's folder.

    Raises
    ------
    UnknownNameError
        If there are no results, or no such text set.
    StoreError
        If results are damaged.
    """
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    kept = open_store(store)
    found: dict[EvidenceKey, Evidence] = {}
    for one in [loaded[name] for name in dict.fromkeys(texts)] or loaded.sets.values():
        texts_of = functools.cache(functools.partial(_texts, loaded, one, kept, Path(folder)))
        for kind in one.matrices:
            key = evidence_key(one.name, kind)
            if key in found:
                continue
            with contextlib.suppress(UnknownNameError):  # an assessment's notes say whose are missing
                found[key] = _evidence(one, kind, kept, texts_of)
    return found


def set_evidence(
    results: StudyResults,
    name: str,
    kind: MatrixKind,
    *,
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
) -> Evidence:
    """Return what matrices of one text set and kind were made from.

    Parameters
    ----------
    results : StudyResults
        The results.
    name, kind
        Which of their matrices.
    store, folder
        As for `study_evidence`.

    Raises
    ------
    UnknownNameError
        If there is no such text set, or not all neighbors are in the store; these are named.
    """
    kept, found = open_store(store), results[name]
    texts_of = functools.partial(_texts, results, found, kept, Path(folder))
    return _evidence(found, kind, kept, texts_of)


def _evidence(
    found: TextSetResults, kind: MatrixKind, store: Store, texts_of: Callable[[], Texts]
) -> Evidence:
    """Return what matrices were made from; texts are asked for once all neighbors are there."""
    matrices = found.matrices[kind]
    left, right = matrix_neighbors(found, kind, store, all_stored=True)
    texts, notes = texts_of(), []
    sides: list[TextSet | None] = []
    read = (matrices.texts_digest, matrices.right_texts_digest)
    for said, digest in zip(found.sides, read, strict=True):
        one = None if digest is None else texts.get(digest)
        if isinstance(one, str):
            notes.append(f"the texts of {said.get('name', found.name)} are not at hand: {one}")
        sides.append(one if isinstance(one, TextSet) else None)
    if matrices.right_texts_digest is not None and None in sides:
        sides = [None, None]  # one side's texts beside the other side's numbers would mislead
    return Evidence(
        left={one.model: one for one in left},
        right=None if right is None else {one.model: one for one in right},
        texts=sides[0],
        right_texts=sides[1],
        notes=tuple(notes),
    )


def _texts(results: StudyResults, found: TextSetResults, store: Store, folder: Path) -> Texts:
    """Return by digest what a set's models read, or why it is not at hand."""
    digests = [str(said["digest"]) for said in found.sides if said.get("digest")]
    texts: dict[str, TextSet | str] = {}
    for digest in digests:
        imported = imported_texts(store, digest)
        if imported is not None:
            texts[digest] = imported
    if all(digest in texts for digest in digests):
        return texts
    read: list[TextSet] = []
    reason = "the results do not say where they come from"
    entry = _entry(results.manifest, found.name)
    if entry is not None:
        try:
            read, reason = _read(entry, folder), ""
        except IsodepthError as error:
            reason = error.message
    by_digest = {one.digest: one for one in read}
    for digest in digests:
        other = f"what its name stands for now are other texts than those that were read ({digest})"
        texts.setdefault(digest, by_digest.get(digest, reason or other))
    return texts


def _entry(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    """Return what a manifest's study says of a text set."""
    for entry in (manifest.get("study") or {}).get("texts", ()):
        if entry.get("name") == name:
            found: Mapping[str, Any] = entry
            return found
    return None


def _read(entry: Mapping[str, Any], folder: Path) -> list[TextSet]:
    """Return what an entry of a study's texts stands for: one text set, or two.

    Raises
    ------
    IsodepthError
        If it is not on this machine, or cannot be read.
    """
    written = [str(entry[side]) for side in ("texts", "left", "right") if entry.get(side)]
    source = entry.get("source")
    columns = (entry.get("column"), entry.get("right_column"))
    asks_hub = [_asks_hub(name, source) for name in written]
    named = [
        text_set_named(name, folder, source=source, column=column).resolved
        for name, column in zip(written, columns, strict=False)
    ]
    texts = StudyTexts(
        name=str(entry["name"]),
        left=named[0],
        right=named[1] if len(named) > 1 else None,
        n=None if entry.get("n") in (None, "all") else int(entry["n"]),
        written=dict(zip(named, written, strict=True)),
        **{name: entry[name] for name in OPTIONS if name in entry},
    )
    with _no_hub() if any(asks_hub) else contextlib.nullcontext():
        pair = texts.load()
    return [pair.left, pair.right]


def _asks_hub(written: str, source: str | None) -> bool:
    """Return whether the hub's libraries read what is written, from their caches on this machine.

    Raises
    ------
    UnknownNameError
        If it is not on this machine.
    ParameterError
        If no text set can be called so.
    """
    if imported_name(written) is not None:
        raise UnknownNameError("it was imported without its texts")
    said = taken_apart(written)
    asks, is_here = False, True
    if isinstance(said, ControlName):
        asks = _asks_hub(said.whole, source)
        tokenizer = said.options.get("tokenizer")
        entry = MODELS.get(str(tokenizer))
        asks = asks or tokenizer is not None
        is_here = entry is None or entry.weights.is_here
    elif isinstance(said, HubName):
        asks = not said.repository.startswith((".", "/", "~"))
        is_here = not asks or is_hub_dataset_here(said.repository, said.config)
    elif said is None and written in TEXT_SETS:
        _, known = catalogue_entry(written, source)
        asks, is_here = isinstance(known.texts, HubTexts), known.texts.is_here
    if not is_here:
        raise UnknownNameError(f"{written} is not on this machine, and nothing is downloaded for this")
    return asks


@contextlib.contextmanager
def _no_hub() -> Iterator[None]:
    """Keep the hub's libraries from asking whether there is something newer than in their caches."""
    import datasets
    from huggingface_hub import constants

    # their own switch, an environment variable, is read when they are imported
    before = (datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE)
    datasets.config.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE = before
