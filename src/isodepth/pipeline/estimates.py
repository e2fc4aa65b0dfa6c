"""How long and how large is what is to be done? Told from what was read before, else from sizes.

Tokens: as counted when these texts were read before, by this model or by another; else by characters.
Time: by the tokens per second of the same model on record; else of other models, in proportion to the
weights that a token passes; else from this machine's measured rate of matrix products. All of it is an
estimate, and said to be one.
"""

import functools
import statistics
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isodepth.models import LoadingOptions, ModelSource, describe_model
from isodepth.pipeline.reading_work import SPEEDS
from isodepth.pipeline.readings import Reading
from isodepth.store import Store

CHARACTERS_PER_TOKEN = 4.3
"""Of English text, over the tokenizers of the offline catalogue."""
WEIGHTS_PER_LAYER = 12
"""Weights of a decoder block, in units of its width squared: 4 in attention, 8 in the MLP."""
SHARE_OF_PRODUCTS = 0.7
"""How much of the matrix-product rate a reading reaches; see benchmarks/extraction.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSize:
    """Blocks and units of a model, as far as known before it is loaded."""

    n_layers: int
    width: int

    @property
    def weights(self) -> int:
        """About how many weights a token passes."""
        return WEIGHTS_PER_LAYER * self.n_layers * self.width**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What the store tells of earlier readings.

    Parameters
    ----------
    tokens : mapping
        From (model digest, texts digest, chat, max_tokens) to the number of tokens.
    speeds : mapping
        From (model digest, whether on the processor) to tokens per second, of each reading.
    sizes : mapping
        From a model's digest to its size.
    """

    tokens: Mapping[tuple[str, str, bool, int | None], int]
    speeds: Mapping[tuple[str, bool], tuple[float, ...]]
    sizes: Mapping[str, ModelSize]

    @classmethod
    def of(cls, store: Store) -> "Records":
        """Return what the manifests of a store tell; no array is read."""
        tokens: dict[tuple[str, str, bool, int | None], int] = {}
        speeds: dict[tuple[str, bool], list[float]] = {}
        sizes: dict[str, ModelSize] = {}
        for name in store.keys("neighbors"):
            manifest = store.manifest("neighbors", name) or {}
            model, texts = manifest.get("model_digest"), manifest.get("texts_digest")
            encoding = manifest.get("provenance", {}).get("encoding", {})
            options: Mapping[str, Any] = manifest.get("options", {})
            known = {"n_layers", "width"} <= set(manifest) and "n_tokens" in encoding
            if not model or not texts or not known:
                continue
            read_as = (bool(options.get("chat")), options.get("max_tokens"))
            tokens[model, texts, *read_as] = int(encoding["n_tokens"])
            sizes[model] = ModelSize(n_layers=manifest["n_layers"], width=manifest["width"])
        for name in store.keys(SPEEDS):
            artifact = store.read(SPEEDS, name)
            speed = {} if artifact is None else artifact.manifest
            if speed.get("n_tokens", 0) > 0 and speed.get("seconds", 0) > 0:
                model, on_cpu = speed["model_digest"], speed["device"] == "cpu"
                speeds.setdefault((model, on_cpu), []).append(speed["n_tokens"] / speed["seconds"])
                sizes[model] = ModelSize(n_layers=speed["n_layers"], width=speed["width"])
        return cls(
            tokens=tokens, speeds={model: tuple(all_) for model, all_ in speeds.items()}, sizes=sizes
        )


def model_size(source: ModelSource, records: Records) -> ModelSize | None:
    """Return a model's size from the catalogue, its files, or an earlier reading; None if unknown."""
    if source.entry is not None:
        return ModelSize(n_layers=source.entry.n_layers, width=source.entry.width)
    if source.digest in records.sizes:
        return records.sizes[source.digest]
    described = describe_model(source) if source.model is None else None
    if described is None or described.n_layers is None or described.width is None:
        return None
    return ModelSize(n_layers=described.n_layers, width=described.width)


def estimated_tokens(reading: Reading, records: Records) -> int:
    """Return about how many tokens a model will read of a text set."""
    chat = reading.options[0].chat
    texts = reading.texts
    most = reading.options[0].max_tokens
    read_as = (texts.digest, chat, most)
    exact = records.tokens.get((reading.source.digest, *read_as))
    if exact is not None:
        return exact
    others = [n for (_, *as_others), n in records.tokens.items() if tuple(as_others) == read_as]
    if others:
        return round(statistics.mean(others))
    lengths = np.array([len(text) for text in dict.fromkeys(texts.texts)]) / CHARACTERS_PER_TOKEN
    return int(np.minimum(lengths + 1, most or np.inf).sum())


def estimated_speed(
    source: ModelSource,
    size: ModelSize | None,
    records: Records,
    *,
    on_cpu: bool,
    measures: bool = True,
) -> float | None:
    """Return about how many tokens per second a model reads, or None where nothing tells.

    Parameters
    ----------
    source : ModelSource
        The model.
    size : ModelSize or None
        Its size.
    records : Records
        Of earlier readings.
    on_cpu : bool
        Whether a processor does the reading; what other kinds of device did does not count.
    measures : bool
        Whether it is this machine's, so that its rate may be measured.
    """
    if (source.digest, on_cpu) in records.speeds:
        return statistics.median(records.speeds[source.digest, on_cpu])
    if size is None:
        return None
    scaled = [
        speed * records.sizes[digest].weights / size.weights
        for (digest, was_on_cpu), speeds in records.speeds.items()
        if digest in records.sizes and was_on_cpu == on_cpu
        for speed in speeds
    ]
    if scaled:
        return statistics.median(scaled)
    return SHARE_OF_PRODUCTS * product_rate() / (2 * size.weights) if on_cpu and measures else None


def reads_on_cpu(loading: LoadingOptions) -> bool:
    """Return whether models are read by this machine's processor, asked without loading torch."""
    if loading.device is None and loading.device_map is None:
        return not Path("/dev/nvidia0").exists()
    return loading.device == "cpu"


@functools.cache
def product_rate() -> float:
    """Return this machine's float32 matrix-product rate, operations per second, measured in 0.1 s."""
    side = 1024
    matrix = np.ones((side, side), dtype=np.float32)
    seconds = []
    for _ in range(4):  # the first one starts the threads
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)


def kept_bytes(reading: Reading, size: ModelSize | None) -> int | None:
    """Return how much a reading will keep in the store, or None where the model's size is unknown."""
    if size is None:
        return None
    n_texts = len(reading.texts)
    neighbors = 8 * size.n_layers * n_texts * reading.stored_k
    activations = 4 * size.n_layers * n_texts * size.width if reading.keep_activations else 0
    return len(reading.options) * (neighbors + activations)


def passing_bytes(reading: Reading, size: ModelSize | None) -> int | None:
    """Return how much a reading takes while it runs and gives back, or None where that is unknown."""
    if size is None:
        return None
    if reading.keep_activations:
        return 0
    return 4 * size.n_layers * len(reading.texts) * size.width * len(reading.options)


def known_sum(numbers: Iterable[float | None]) -> tuple[float, int]:
    """Return the sum of the known numbers, and how many are unknown."""
    every = list(numbers)
    known = [number for number in every if number is not None]
    return sum(known, 0.0), len(every) - len(known)
