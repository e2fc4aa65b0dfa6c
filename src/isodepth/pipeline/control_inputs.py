"""What do controls need besides activations? Last tokens, labels, and what the texts alone say.

Memory: the texts, and of a text-only baseline its similarities, 8 bytes a pair of texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int64

from isodepth.activations import Activations
from isodepth.affinity import AffinityMatrix, affinity_matrix
from isodepth.confounds import TEXT_BASELINES, nearest
from isodepth.errors import IsodepthError
from isodepth.neighbors import Neighbors
from isodepth.pipeline.matrices import Reader
from isodepth.pipeline.planned import PlannedSet
from isodepth.pipeline.readings import Reading
from isodepth.progress import Progress
from isodepth.study import Study
from isodepth.texts import TextSet, text_labels


def labels_of_sets(
    study: Study,
    sets: Sequence[PlannedSet],
    labels: Sequence[str],
    notes: list[str],
    progress: Progress,
) -> dict[str, dict[str, tuple[str | None, ...]]]:
    """Return the labels of all sets; sets that have none are noted, unless none has any."""
    found: dict[str, dict[str, tuple[str | None, ...]]] = {one.name: {} for one in sets}
    refusals: list[IsodepthError] = []
    for one in sets if labels else ():
        try:
            found[one.name] = _labels(study, one, labels, progress)
        except IsodepthError as error:
            refusals.append(error)
    if len(refusals) == len(sets):
        raise refusals[0]
    notes += [f"no labels: {error.message}" for error in refusals]
    return found


def texts_of(reader: Reader) -> TextSet:
    """Return what a reader of a plan reads."""
    assert isinstance(reader.reading, Reading)  # of a plan that is not of imports
    return reader.reading.texts


def last_tokens(reader: Reader, activations: Activations) -> Int64[np.ndarray, " texts"]:
    """Return the id of each text's last token, as the model read it."""
    from isodepth.activations.encoding import encode_texts
    from isodepth.models.loading import load_tokenizer

    assert isinstance(reader.reading, Reading)
    said = activations.provenance["encoding"]
    encoded = encode_texts(
        reader.reading.texts.texts,
        load_tokenizer(reader.reading.source),
        limit=said["max_tokens"],
        name=reader.label,
        chat=reader.options.chat,
        keeps_suffix=said["special_tokens_at_end_are"] == "kept",
    )
    tokens = np.empty(activations.n_texts, dtype=np.int64)
    for ids, rows in zip(encoded.ids, encoded.rows, strict=True):
        tokens[rows] = ids[-1]
    return tokens


def against_texts(
    texts: TextSet, neighbors: Mapping[str, Neighbors], k: int, name: str
) -> Iterator[tuple[str, tuple[AffinityMatrix, ...]]]:
    """Yield each text-only baseline with every model's layers against its neighbors.

    Matrices say of the models' neighbors by which metric they are; a baseline has its own similarities.
    """
    first = next(iter(neighbors.values()))
    for baseline, similarities_of in TEXT_BASELINES.items():
        ids, similarities = nearest(similarities_of(texts.texts), k)
        alone = Neighbors(
            ids=ids[np.newaxis],
            similarities=similarities[np.newaxis],
            metric=first.metric,
            preprocessing=first.preprocessing,
            model=baseline,
            texts_digest=texts.digest,
        )
        yield (
            baseline,
            tuple(replace(affinity_matrix(one, alone, k=k), texts=name) for one in neighbors.values()),
        )


def _labels(
    study: Study, planned: PlannedSet, labels: Sequence[str], progress: Progress
) -> dict[str, tuple[str | None, ...]]:
    """Return what columns of the texts' own file say of each text."""
    entry = next(one for one in study.texts if one.name == planned.name)
    texts = texts_of(next(iter(planned.selections.values())).left[0])
    return {
        label: text_labels(texts, entry.left, label, column=entry.column, progress=progress)
        for label in labels
    }
