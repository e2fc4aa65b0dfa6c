"""The whole job for two models: the one file that knows the order of the stages.

For each model: find it, find its texts, look in the store for its neighbors; if they are not there,
read the texts (resuming an unfinished extraction), find the neighbors, store them. Then compare.
Nothing heavy is imported before it is needed: a rerun from the store loads neither torch nor a model.

>>> result = compare("smollm2-135m-instruct", "gemma-3-270m", "wikipedia", n=256)    # doctest: +SKIP
>>> result.finding.sentence                                                          # doctest: +SKIP
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.activations import Activations, ExtractionOptions
from isodepth.activations.chat import refuse_no_template
from isodepth.activations.result import EXTRACTION_VERSION
from isodepth.affinity import AFFINITY_VERSION, AffinityMatrix, affinity_matrix
from isodepth.affinity.matrix import check_measure
from isodepth.comparison import Comparison
from isodepth.errors import ParameterError, listed, whole_number
from isodepth.inspection import with_probe_neighbors
from isodepth.models import LoadingOptions, Model, ModelSource, has_chat_template, resolve_model
from isodepth.neighbors import NEIGHBORS_VERSION, Neighbors, nearest_neighbors
from isodepth.neighbors.exact import check_k, check_metric
from isodepth.progress import Progress, no_progress
from isodepth.statistics import (
    diagonal_test,
    finding,
    layer_matches,
)
from isodepth.store import ResumableArray, Store, content_key
from isodepth.texts import ParallelTexts, TextSet, load_parallel_texts, load_texts

if TYPE_CHECKING:
    from isodepth.activations import Extraction

STORED_K = 100
"""Neighbors kept per text, if there are as many: any k up to this needs no model."""


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
        Neighbors per text, 1 <= k < number of texts.
    capture, pooling, max_tokens
        What to read; see `extract`.
    chat : bool, "left" or "right"
        Wrap the texts as a user's turn: for both models, or one; see `extract`.
    loading : LoadingOptions, optional
        How to load models whose names do not say otherwise; see `load_model`. Model objects are as they
        are.
    metric : str
        See `nearest_neighbors`.
    measure : str
        See `affinity_matrix`.
    keep_activations : bool
        Keep the activations in the store (4 bytes x layers x texts x units); they are removed once
        the neighbors are stored where this is False.
    store : Store, Path or str, optional
        Where results are kept; `Store()` where it is left out.
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
    kept = store if isinstance(store, Store) else Store(store)
    check_metric(metric)
    check_measure(measure)
    given = {"n": n, "column": column}
    pair = _pair_of_texts(
        texts,
        right_texts,
        seed=seed,
        progress=progress,
        given={name: value for name, value in given.items() if value is not None},
    )
    k = whole_number(k, "k")
    check_k(k, len(pair))
    sources = _told_apart(_source(left, loading), _source(right, loading))
    for model, wanted in zip(sources, options, strict=True):
        if wanted.chat and has_chat_template(model) is False:
            refuse_no_template(False, model.name)
    is_parallel = pair.left.digest != pair.right.digest
    from_store: list[str] = []
    sides: list[tuple[str, Neighbors]] = []
    for model, wanted, read in zip(sources, options, (pair.left, pair.right), strict=True):
        job = _Job(
            texts=read,
            options=wanted,
            metric=metric,
            keep_activations=keep_activations,
            store=kept,
            progress=progress,
        )
        label = model.name + (f" on {read.name}" if is_parallel else "")
        label += " as chat" if wanted.chat and chat is not True else ""
        label += f" [{', '.join(wanted.unusual)}]" if wanted.unusual else ""
        key = job.neighbors_key(model)
        found = job.stored_neighbors(key, model, k)
        if found is not None and key not in dict(sides):
            from_store.append(f"neighbors of {label}")
        neighbors = found or job.computed_neighbors(key, model, k)
        sides.append((key, replace(neighbors, model=label)))
    matrix, was_stored = _matrix(sides, pair if is_parallel else None, measure, k, kept)
    if was_stored:
        from_store.append("affinity matrix")
    if not is_parallel:
        matrix = replace(matrix, texts=pair.left.name)
    test = diagonal_test(matrix.values) if min(matrix.values.shape) > 1 else None
    matches = layer_matches(matrix.values)
    return Comparison(
        affinity=matrix,
        test=test,
        matches=matches,
        finding=finding(matrix.values, n_texts=len(pair), k=k, test=test, matches=matches),
        texts=pair,
        left=sides[0][1],
        right=sides[1][1],
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


def _told_apart(left: ModelSource, right: ModelSource) -> tuple[ModelSource, ModelSource]:
    """Return two models under different names, unless they are the same model."""
    if left.name != right.name or left.digest == right.digest:
        return left, right
    longer = [
        replace(source, name=f"{source.location.parent.name}/{source.name}")
        if source.location is not None
        else source
        for source in (left, right)
    ]
    if longer[0].name != longer[1].name:
        return longer[0], longer[1]
    return replace(left, name=f"{left.name} (left)"), replace(right, name=f"{right.name} (right)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the per-model stages of one comparison share."""

    texts: TextSet
    options: ExtractionOptions
    metric: str
    keep_activations: bool
    store: Store
    progress: Progress

    def activations_key(self, source: ModelSource) -> str:
        return content_key(
            {
                "stage": "activations",
                "version": EXTRACTION_VERSION,
                "model": source.digest,
                "texts": self.texts.digest,
                **self.options.as_dict(),
            }
        )

    def neighbors_key(self, source: ModelSource) -> str:
        return content_key(
            {
                "stage": "neighbors",
                "version": NEIGHBORS_VERSION,
                "activations": self.activations_key(source),
                "metric": self.metric,
            }
        )

    def stored_neighbors(self, key: str, source: ModelSource, k: int) -> Neighbors | None:
        """Return neighbors with at least `k` per text from the store, or None.

        None, too, where activations are to be kept and are not: then the model is read again.
        """
        activations = self.store.folder("activations", self.activations_key(source))
        if self.keep_activations and not activations.is_dir():
            return None
        for name in self.store.keys("neighbors", prefix=f"{key}-k"):
            stored_k = name.removeprefix(f"{key}-k")
            if not stored_k.isdecimal() or int(stored_k) < k:
                continue
            artifact = self.store.read("neighbors", name)
            if artifact is not None:
                return Neighbors(
                    ids=np.array(artifact.arrays["ids"]),
                    similarities=np.array(artifact.arrays["similarities"]),
                    metric=self.metric,
                    model=source.name,
                    texts_digest=self.texts.digest,
                    provenance=artifact.manifest["provenance"],
                )
        return None

    def computed_neighbors(self, key: str, source: ModelSource, k: int) -> Neighbors:
        """Return neighbors after computing and storing them; another process may do it instead."""

        def waiting() -> None:
            self.progress(f"waiting for another run to read with {source.name}", 0, 1, "steps")

        with self.store.lock("neighbors", key, waiting=waiting):
            found = self.stored_neighbors(key, source, k)
            if found is not None:
                return found
            return self._compute(key, source, k)

    def _compute(self, key: str, source: ModelSource, k: int) -> Neighbors:
        activations_key = self.activations_key(source)
        artifact = self.store.read("activations", activations_key)
        array: ResumableArray | None = None
        if artifact is not None:
            values, manifest = artifact.arrays[ResumableArray.NAME], artifact.manifest
        else:
            array = self._extracted(activations_key, source)
            values, manifest = array.values(), array.manifest
        stored_k = min(max(k, STORED_K), len(self.texts) - 1)
        activations = Activations(
            values=values,
            model=source.name,
            texts=self.texts.name,
            model_digest=source.digest,
            texts_digest=self.texts.digest,
            options=self.options,
            provenance={**manifest["provenance"], "model_digest": source.digest},
        )
        neighbors = nearest_neighbors(activations, stored_k, self.metric, progress=self.progress)
        self.store.write(
            "neighbors",
            f"{key}-k{stored_k}",
            arrays={"ids": neighbors.ids, "similarities": neighbors.similarities},
            manifest={
                "model": source.name,
                "model_digest": source.digest,
                "texts": self.texts.name,
                "texts_digest": self.texts.digest,
                "activations": activations_key,
                "metric": self.metric,
                "k": stored_k,
                "version": NEIGHBORS_VERSION,
                "provenance": dict(neighbors.provenance),
            },
        )
        if array is not None:
            if self.keep_activations:
                self.store.adopt("activations", activations_key, array)
            else:
                array.discard()
        return neighbors

    def _extracted(self, key: str, source: ModelSource) -> ResumableArray:
        """Return the complete activations of a model, going on where an earlier run stopped."""
        array = self.store.unfinished("activations", key)
        if array is not None and len(array.missing) == 0:
            return array
        from isodepth.activations import prepare_extraction
        from isodepth.models import load_model

        model = load_model(source, progress=self.progress)
        self.progress(f"checking {source.name} on some of the texts", 0, 1, "steps")
        extraction = prepare_extraction(model, self.texts, self.options)
        self.progress(f"checking {source.name} on some of the texts", 1, 1, "steps")
        (shape,) = extraction.shapes
        if array is None or array.shape != shape or _read_otherwise(array, extraction):
            array = self.store.begin(
                "activations",
                key,
                shape=shape,
                manifest={
                    "model": source.name,
                    "model_digest": source.digest,
                    "texts": self.texts.name,
                    "texts_digest": self.texts.digest,
                    "options": self.options.as_dict(),
                    "version": EXTRACTION_VERSION,
                    "provenance": with_probe_neighbors(extraction),
                },
            )
        for rows, (values,) in extraction.batches(missing=array.missing, progress=self.progress):
            array.write(rows, values)
        return array


def _read_otherwise(array: ResumableArray, extraction: "Extraction") -> bool:
    """Return whether an unfinished extraction was read on another device, or in other batches."""
    before, now = array.manifest["provenance"], extraction.provenance()
    return any(before.get(key) != now[key] for key in ("device", "token_budget", "attention")) or (
        before.get("contract", {}).get("batching") != now["contract"]["batching"]
    )


def _matrix(
    sides: list[tuple[str, Neighbors]],
    parallel: ParallelTexts | None,
    measure: str,
    k: int,
    store: Store,
) -> tuple[AffinityMatrix, bool]:
    """Return the affinity matrix and whether it was in the store."""
    (left_key, left), (right_key, right) = sides
    key = content_key(
        {
            "stage": "affinity",
            "version": AFFINITY_VERSION,
            "left": left_key,
            "right": right_key,
            "measure": measure,
            "k": k,
        }
    )
    right_digest = None if parallel is None else right.texts_digest
    artifact = store.read("affinity", key)
    if artifact is not None:
        stored = AffinityMatrix(
            values=np.array(artifact.arrays["values"]),
            left=left.model,
            right=right.model,
            measure=measure,
            k=k,
            n_texts=left.n_texts,
            texts_digest=left.texts_digest,
            right_texts_digest=right_digest,
        )
        return stored, True
    pairing = None if parallel is None else parallel.pairing
    matrix = affinity_matrix(left, right, measure=measure, k=k, pairing=pairing)
    store.write(
        "affinity",
        key,
        arrays={"values": matrix.values},
        manifest={
            "left": left.model,
            "right": right.model,
            "measure": measure,
            "k": k,
            "n_texts": left.n_texts,
            "texts_digest": left.texts_digest,
            "right_texts_digest": right_digest,
            "version": AFFINITY_VERSION,
        },
    )
    return matrix, False
