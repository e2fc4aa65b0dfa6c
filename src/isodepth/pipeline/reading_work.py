"""How is a reading done? The model reads the texts, neighbors are found, both go to the store.

An interrupted reading goes on with the batch that it was at. Two runs never do the same one at once:
the second waits, or does something else meanwhile.

Memory: the model, its batches, and while neighbors are found, one layer of activations and the
neighbors of two captures.
"""

import contextlib
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.activations import Activations, ExtractionOptions
from isodepth.errors import DigestMismatchError, IsodepthError, StoreError
from isodepth.inspection import with_probe_neighbors
from isodepth.models import Model, ModelSource, resolve_model
from isodepth.neighbors import Neighbors, nearest_neighbors
from isodepth.pipeline.readings import Reading
from isodepth.progress import Progress
from isodepth.stages import versions_up_to
from isodepth.store import ResumableArray, Store, content_key
from isodepth.texts import TextSet

if TYPE_CHECKING:
    from isodepth.activations import Extraction
    from isodepth.activations.contract import Contract

SPEEDS = "speeds"
"""The stage of the store that holds how fast models were read."""
OF_BLOCKS = ("block", "final_norm")
"""Captures that differ in the last layer only, so that neighbors of the others are found once."""
STEPS = ("activations", "neighbors")
"""Of what a reading is made: the first needs the model, the second what the first left."""
LEAST_SHARE = 0.1
"""Less of the texts, as the rest of an interrupted reading, does not replace a record of its speed."""


class ActivationsGoneError(StoreError):
    """The activations are not there any more, or not here, whose neighbors are to be found."""


class ModelShelf:
    """Keeps the last model that was loaded, for the next text set that the same model reads."""

    def __init__(self) -> None:
        self._digest: str | None = None
        self._model: Model | None = None

    def model(self, source: ModelSource, *, progress: Progress) -> Model:
        """Return the model of a source, loaded if it is not the one that is kept."""
        if self._model is None or self._digest != source.digest:
            from isodepth.models import load_model

            self._model = None  # before the next one takes its place in memory
            self._model, self._digest = load_model(source, progress=progress), source.digest
        return replace(self._model, name=source.name)


def read(
    reading: Reading,
    store: Store,
    progress: Progress,
    wait: bool,
    *,
    shelf: ModelShelf | None = None,
    steps: Collection[str] = STEPS,
) -> bool:
    """Compute and store what a reading lacks; return whether that could be done now.

    It is False where another run is at the same work, or has ended it with what the step builds on.

    Parameters
    ----------
    reading : Reading
        What is wanted.
    store : Store
        Where it is kept.
    progress : Progress
        Told how far the work is.
    wait : bool
        Whether to wait where another run is at the same work, and to raise where the step has nothing
        to build on; else False is returned.
    shelf : ModelShelf, optional
        Where loaded models are kept from one reading to the next.
    steps : collection of str
        Which of `STEPS`: the first leaves its activations in the store, to which another process comes
        for the second. Where some captures cannot be read, the first does both.

    Raises
    ------
    ActivationsGoneError
        If only neighbors are to be found, and the store lacks the activations.
    IsodepthError
        Its subtypes are those of `load_model`, `extract` and `nearest_neighbors`.
    """

    def waiting() -> None:
        progress(f"waiting for another run to read with {reading.source.name}", 0, 1, "steps")

    with contextlib.ExitStack() as held:
        # always in one order, so that no two runs wait for each other
        for key in sorted(reading.activations_key(options) for options in reading.options):
            lock = store.lock("activations", key, waiting=waiting if wait else None)
            if not held.enter_context(lock):
                return False
        missing = reading.missing(store)
        if missing:
            wanted = replace(reading, options=missing)
            try:
                _complete(wanted, store, progress, shelf or ModelShelf(), steps)
            except ActivationsGoneError:
                if wait:
                    raise
                return False
    return True


def _complete(
    reading: Reading, store: Store, progress: Progress, shelf: ModelShelf, steps: Collection[str]
) -> None:
    """Compute and store everything that is missing of a reading, or one of its steps."""
    keys = {options: reading.activations_key(options) for options in reading.options}
    stored = {options: store.read("activations", key) for options, key in keys.items()}
    unread = [options for options, artifact in stored.items() if artifact is None]
    reader = shelf if "activations" in steps else None
    arrays, refusal = _read_activations(reading, unread, store, progress, reader)
    if "neighbors" not in steps and refusal is None:
        return
    alike: dict[str | int, tuple[np.ndarray, Neighbors]] = {}
    for options, artifact in stored.items():
        array = arrays.get(options)
        if artifact is not None:
            values, provenance = artifact.arrays[ResumableArray.NAME], artifact.manifest["provenance"]
        elif array is not None:
            values, provenance = array.values(), array.manifest["provenance"]
        else:
            continue  # it cannot be read
        if reading.stored_neighbors(store, options, least=reading.complete_k) is None:
            before = alike.get(options.pooling) if options.capture in OF_BLOCKS else None
            found = _store_neighbors(reading, options, values, provenance, before, store, progress)
            if options.capture in OF_BLOCKS:
                alike[options.pooling] = values, found  # a memory map, which outlives its file
        if array is not None and reading.keep_activations:
            store.adopt("activations", keys[options], array)
        elif array is not None:
            array.discard()
    if refusal is not None:
        raise refusal


def _store_neighbors(
    reading: Reading,
    options: ExtractionOptions,
    values: np.ndarray,
    provenance: dict[str, Any],
    before: tuple[np.ndarray, Neighbors] | None,
    store: Store,
    progress: Progress,
) -> Neighbors:
    """Find and store the neighbors of one of the options; return them as `nearest_neighbors` does."""
    activations = Activations(
        values=values,
        model=reading.source.name,
        texts=reading.texts.name,
        model_digest=reading.source.digest,
        texts_digest=reading.texts.digest,
        options=options,
        provenance={**provenance, "model_digest": reading.source.digest},
    )
    stored_k = reading.stored_k
    neighbors = nearest_neighbors(
        activations,
        stored_k,
        reading.metric,
        preprocessing=reading.preprocessing,
        before=before,
        progress=progress,
    )
    store.write(
        "neighbors",
        f"{reading.neighbors_key(options)}-k{stored_k}",
        arrays={"ids": neighbors.ids, "similarities": neighbors.similarities},
        manifest={
            "model": reading.source.name,
            "model_digest": reading.source.digest,
            "texts": reading.texts.name,
            "texts_digest": reading.texts.digest,
            "options": options.as_dict(),
            "activations": reading.activations_key(options),
            "metric": reading.metric,
            "preprocessing": reading.preprocessing,
            "k": stored_k,
            "n_layers": neighbors.n_layers,
            "n_texts": neighbors.n_texts,
            "width": int(values.shape[2]),
            "versions": versions_up_to("neighbors"),
            "provenance": dict(neighbors.provenance),
        },
    )
    return neighbors


def _read_activations(
    reading: Reading,
    unread: Sequence[ExtractionOptions],
    store: Store,
    progress: Progress,
    shelf: ModelShelf | None,
) -> tuple[dict[ExtractionOptions, ResumableArray], IsodepthError | None]:
    """Return the complete activations for each of the options, and why some cannot be read.

    Unfinished arrays go on. How fast they were read is kept, for plans of later runs. Without a shelf
    for the model they must all be complete.
    """
    found = {one: store.unfinished("activations", reading.activations_key(one)) for one in unread}
    complete = {
        one: array for one, array in found.items() if array is not None and not len(array.missing)
    }
    rest = [one for one in unread if one not in complete]
    if not rest:
        return complete, None
    if shelf is None:
        raise ActivationsGoneError(
            f"the activations of {reading.source.name} on {reading.texts.name}, which another process "
            "read, are not in the store",
            hint="all machines must see the same store, a shared folder; run again to go on.",
        )
    source = found_here(reading)
    model = shelf.model(source, progress=progress)
    progress(f"checking {source.name} on some of the texts", 0, 1, "steps")
    passes, refusal = _prepared(model, reading.texts, rest)
    progress(f"checking {source.name} on some of the texts", 1, 1, "steps")
    arrays: dict[ExtractionOptions, ResumableArray] = {}
    speeds: list[dict[str, Any]] = []
    for extraction in passes:
        begun = _begun(extraction, found, reading, store)
        speeds.append(_fill(list(begun.values()), extraction, progress))
        arrays |= begun
    speed = {name: sum(one[name] for one in speeds) for name in ("n_texts", "n_tokens", "seconds")}
    speed |= {"device": str(model.provenance.get("device", "cpu"))}
    speed |= {"model_digest": source.digest, "n_layers": model.n_layers, "width": model.width}
    read = [reading.activations_key(one) for one in arrays]
    key = content_key({"activations": read, "device": speed["device"]})
    tells_enough = speed["n_texts"] >= LEAST_SHARE * len(speeds) * len(reading.texts)
    if tells_enough or store.manifest(SPEEDS, key) is None:
        # one record a reading and device, of the last time; an earlier one would stay if it were not
        # removed, and a kill between the two loses a hint only
        store.remove(SPEEDS, key)
        store.write(SPEEDS, key, arrays={}, manifest=speed)
    return complete | arrays, refusal


def _begun(
    extraction: "Extraction",
    found: Mapping[ExtractionOptions, ResumableArray | None],
    reading: Reading,
    store: Store,
) -> dict[ExtractionOptions, ResumableArray]:
    """Return the arrays of one pass by the options: those that were begun, where they still fit."""
    arrays: dict[ExtractionOptions, ResumableArray] = {}
    for one, shape, contract in zip(
        extraction.options, extraction.shapes, extraction.contracts, strict=True
    ):
        array = found[one]
        if array is None or array.shape != shape or _read_otherwise(array, extraction, contract):
            array = store.begin(
                "activations",
                reading.activations_key(one),
                shape=shape,
                manifest={
                    "model": reading.source.name,
                    "model_digest": reading.source.digest,
                    "texts": reading.texts.name,
                    "texts_digest": reading.texts.digest,
                    "options": one.as_dict(),
                    "versions": versions_up_to("activations"),
                    "provenance": with_probe_neighbors(extraction, contract),
                },
            )
        arrays[one] = array
    return arrays


def _prepared(
    model: Model, texts: TextSet, wanted: Sequence[ExtractionOptions]
) -> tuple[tuple["Extraction", ...], IsodepthError | None]:
    """Return the passes that read all of the options that can be read, and why the others cannot.

    Raises
    ------
    IsodepthError
        If none of them can be read.
    """
    from isodepth.activations import prepare_extraction

    try:
        return prepare_extraction(model, texts, wanted), None
    except IsodepthError as error:
        if len(wanted) == 1:
            raise
        refusal = error
    readable: list[ExtractionOptions] = []
    for one in wanted:
        try:
            prepare_extraction(model, texts, one)
        except IsodepthError as error:
            refusal = error
        else:
            readable.append(one)
    if not readable:
        raise refusal
    return prepare_extraction(model, texts, readable), refusal


def _fill(arrays: list[ResumableArray], extraction: "Extraction", progress: Progress) -> dict[str, Any]:
    """Read what any of the arrays lacks into all of them; return how fast that was."""
    lengths = np.empty(len(extraction.texts), dtype=np.int64)
    for rows, ids in zip(extraction.encoded.rows, extraction.encoded.ids, strict=True):
        lengths[rows] = 0
        lengths[rows[0]] = len(ids)  # copies are read once
    missing = np.unique(np.concatenate([array.missing for array in arrays]))
    n_texts = len(extraction.texts)
    n_done = n_texts - len(missing)
    n_tokens = 0
    label = f"reading with {extraction.model.name}"
    progress(label, n_done, n_texts, "texts")
    wanted = np.zeros(n_texts, dtype=bool)
    wanted[missing] = True
    started = time.monotonic()
    for rows, parts in extraction.batches(missing=missing, progress=progress):
        tokens = int(lengths[rows].sum())
        for array, values in zip(arrays, parts, strict=True):
            array.write(rows, values, n_tokens=tokens)
        n_done += int(wanted[rows].sum())
        n_tokens += tokens
        progress(label, n_done, n_texts, "texts")
    seconds = time.monotonic() - started
    return {"n_texts": len(missing), "n_tokens": n_tokens, "seconds": round(seconds, 3)}


def _read_otherwise(array: ResumableArray, extraction: "Extraction", contract: "Contract") -> bool:
    """Return whether an unfinished extraction was read on another device, or in other batches."""
    before, now = array.manifest["provenance"], extraction.provenance(contract)
    return any(before.get(key) != now[key] for key in ("device", "token_budget", "attention")) or (
        before.get("contract", {}).get("batching") != now["contract"]["batching"]
    )


def found_here(reading: Reading) -> ModelSource:
    """Return a reading's model with its files on this machine, which may be fetched for it.

    A study is planned without fetching models, and perhaps on another machine; so what is to be read is
    identified again.

    Raises
    ------
    DigestMismatchError
        If what answers to the model's name here and now is another model.
    IsodepthError
        As `resolve_model`.
    """
    source = reading.source
    in_catalogue = source.kind == "gguf" and source.location is None  # pinned by its sum
    if reading.written is None or (in_catalogue and source.adapter is None):
        return source
    here = resolve_model(reading.written, options=reading.loading)
    if here.digest != source.digest:
        raise DigestMismatchError(
            f"{reading.written} is another model than when the study was planned: {here.digest} here "
            f"and now, {source.digest} then",
            hint="run the study again; of a hub model name a revision (owner/name@revision); on "
            "several machines use one copy that all of them see.",
        )
    return replace(here, name=source.name)
