"""The whole job for two models on the same texts, or on parallel ones.

For each model: find it, look in the store for its neighbors; if they are not there, read the texts
(resuming an unfinished extraction), find the neighbors, store them. Then compare. Nothing heavy is
imported before it is needed: a rerun from the store loads neither torch nor a model.

>>> result = compare("smollm2-135m-instruct", "gemma-3-270m", "wikipedia", n=256)    # doctest: +SKIP
>>> result.decision.sentence                                                         # doctest: +SKIP
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.activations import ExtractionOptions
from isodepth.activations.chat import refuse_no_template
from isodepth.affinity.measures import check_measure, measure_named
from isodepth.assessment import assess_pair
from isodepth.comparison import Comparison
from isodepth.defaults import KEPT_NEIGHBORS
from isodepth.errors import ParameterError, listed, whole_number
from isodepth.models import LoadingOptions, Model, ModelSource, has_chat_template, resolve_model
from isodepth.neighbors import Neighbors
from isodepth.neighbors.exact import check_k, check_metric
from isodepth.pipeline.labels import told_apart
from isodepth.pipeline.matrices import Reader, Selection, relate, stored_matrices
from isodepth.pipeline.reading_work import ModelShelf, read
from isodepth.pipeline.readings import Reading
from isodepth.preprocessing import Preprocessing
from isodepth.progress import Progress, no_progress
from isodepth.store import Store, open_store
from isodepth.texts import ParallelTexts, TextSet, load_parallel_texts, load_texts


def compare(
    left: str | Path | Model,
    right: str | Path | Model,
    texts: TextSet | ParallelTexts | Sequence[str] | str | Path,
    *,
    right_texts: TextSet | Sequence[str] | str | Path | None = None,
    n: int | None = None,
    k: int = 10,
    seed: int = 1234,
    column: str | None = None,
    capture: str = "block",
    pooling: str | int = "last",
    max_tokens: int | None = None,
    chat: bool | str = False,
    loading: LoadingOptions | None = None,
    metric: str = "cosine",
    preprocessing: str | Preprocessing = "none",
    measure: str = "mutual_knn",
    keep_activations: bool = False,
    store: Store | Path | str | None = None,
    progress: Progress = no_progress,
) -> Comparison:
    """Return how similar every layer of one model is to every layer of another, on the same texts.

    Parameters
    ----------
    left, right : str, Path or Model
        Models, as `load_model` takes them, or model objects as `as_model` makes them.
    texts : TextSet, ParallelTexts, sequence of str, str or Path
        Texts, as `load_texts` takes them, for both models; or a pair, the left model reading the left
        texts and the right model the right ones.
    right_texts : TextSet, sequence of str, str or Path, optional
        What the right model reads instead, row by row parallel to `texts`; see `load_parallel_texts`.
    n, seed, column
        Sampling and column; see `load_texts`. Only for texts that are loaded here; for filters, other
        sources and two columns of one file pass what `load_texts` or `load_parallel_texts` gives.
    k : int
        Neighbors per text, 1 <= k < number of texts. Measures that take none ignore it; the neighbors
        are kept all the same.
    capture, pooling, max_tokens
        What to read; see `extract`.
    chat : bool, "left" or "right"
        Wrap the texts as a user's turn: for both models, or one; see `extract`.
    loading : LoadingOptions, optional
        How to load models whose names do not say otherwise; see `load_model`. Model objects are as they
        are.
    metric, preprocessing
        See `nearest_neighbors`. The preprocessing is also done for measures that read activations.
    measure : str
        See `affinity_matrix`.
    keep_activations : bool
        Keep the activations in the store (4 bytes x layers x texts x units); they are removed once
        the neighbors are stored where this is False. Measures that read them keep them in any case.
    store : Store, Path or str, optional
        Where results are kept: a store, a folder, or a URL that fsspec knows; `Store()` where it is
        left out.
    progress : Progress
        Told how far the work is.

    Raises
    ------
    IsodepthError
        Its subtypes say what cannot be used; see the functions above.
    """
    if chat not in (False, True, "left", "right"):
        raise ParameterError(f'chat must be False, True, "left" or "right"; got {chat!r}')
    plain = ExtractionOptions(capture=capture, pooling=pooling, max_tokens=max_tokens)
    if capture == "embedding":
        raise ParameterError(
            'capture "embedding" has one layer, which is no depth to compare',
            hint="extract() returns it.",
        )
    options = [replace(plain, chat=chat in (True, side)) for side in ("left", "right")]
    kept = open_store(store)
    check_metric(metric)
    check_measure(measure)
    used, prepared = measure_named(measure), Preprocessing.of(preprocessing)
    given = {"n": n, "column": column}
    pair = _pair_of_texts(
        texts,
        right_texts,
        seed=seed,
        progress=progress,
        given={name: value for name, value in given.items() if value is not None},
    )
    k = whole_number(k, "k")
    if not used.takes_k:  # neighbors are kept all the same
        k = max(1, min(k, len(pair) - 1))
    check_k(k, len(pair))
    sources = told_apart([_source(left, loading), _source(right, loading)], numbers=("left", "right"))
    for model, wanted in zip(sources, options, strict=True):
        if wanted.chat and has_chat_template(model) is False:
            refuse_no_template(False, model.name)
    is_parallel = pair.left.digest != pair.right.digest
    shelf = ModelShelf()
    readers: list[Reader] = []
    neighbors: list[Neighbors] = []
    from_store: list[str] = []
    with kept.running():
        for model, wanted, texts_read in zip(sources, options, (pair.left, pair.right), strict=True):
            label = model.name + (f" on {texts_read.name}" if is_parallel else "")
            label += " as chat" if wanted.chat and chat is not True else ""
            label += f" [{', '.join(wanted.unusual)}]" if wanted.unusual else ""
            reading = Reading(
                source=model,
                texts=texts_read,
                options=(wanted,),
                metric=metric,
                preprocessing=prepared.name,
                least_k=k,
                kept_k=KEPT_NEIGHBORS,
                keep_activations=keep_activations or used.reads == "activations",
            )
            reader = Reader(label=label, reading=reading, options=wanted)
            if reading.missing(kept):
                read(reading, kept, progress, True, shelf=shelf)
            elif reader.key not in [other.key for other in readers]:
                from_store.append(f"neighbors of {label}")
            readers.append(reader)
            found = reader.neighbors(kept)  # maps of files; a result has arrays of its own
            neighbors.append(
                replace(found, ids=np.array(found.ids), similarities=np.array(found.similarities))
            )
        selection = Selection(
            left=(readers[0],),
            right=(readers[1],),
            measure=measure,
            k=k if used.takes_k else 0,
            metric=metric,
            preprocessing=prepared.name,
            texts_digest=pair.left.digest,
            pairing=pair.pairing if is_parallel else None,
        )
        matrices = stored_matrices(selection, kept)
        if matrices is not None:
            from_store.append("affinity matrix")
        else:
            relate([selection], kept, progress, True)
            matrices = stored_matrices(selection, kept)
        assert matrices is not None  # it was written just now
    matrix = matrices[readers[0].label, readers[1].label]
    if not is_parallel:
        matrix = replace(matrix, texts=pair.left.name)
    progress("assessing", 0, 1, "steps")
    assessed = assess_pair(matrix, left=neighbors[0], right=neighbors[1])
    progress("assessing", 1, 1, "steps")
    return Comparison(
        affinity=matrix,
        assessment=assessed,
        texts=pair,
        left=neighbors[0],
        right=neighbors[1],
        left_options=options[0],
        right_options=options[1],
        from_store=tuple(from_store),
    )


def _source(model: str | Path | Model, loading: LoadingOptions | None) -> ModelSource:
    return resolve_model(model) if isinstance(model, Model) else resolve_model(model, options=loading)


def _pair_of_texts(
    texts: TextSet | ParallelTexts | Sequence[str] | str | Path,
    right_texts: TextSet | Sequence[str] | str | Path | None,
    *,
    seed: int,
    progress: Progress,
    given: dict[str, Any],
) -> ParallelTexts:
    """Return what the two models read: the same texts twice, where nothing else is said."""
    if isinstance(texts, (TextSet, ParallelTexts)):
        if given:
            raise ParameterError(
                f"{listed(list(given))}: only for texts that are loaded here, not a "
                f"{type(texts).__name__}",
                hint="pass them to load_texts, or sample with its .sample(...).",
            )
        if right_texts is None:
            return texts if isinstance(texts, ParallelTexts) else ParallelTexts.of(texts, texts)
        if isinstance(texts, TextSet) and isinstance(right_texts, TextSet):
            return ParallelTexts.of(texts, right_texts)
    if isinstance(texts, (TextSet, ParallelTexts)) or isinstance(right_texts, TextSet):
        raise ParameterError(
            "texts and right_texts must both be TextSets, or both be loaded here; got "
            f"{type(texts).__name__} and {type(right_texts).__name__}"
        )
    if right_texts is None:
        loaded = load_texts(texts, seed=seed, progress=progress, **given)
        return ParallelTexts.of(loaded, loaded)
    return load_parallel_texts(texts, right_texts, seed=seed, progress=progress, **given)
