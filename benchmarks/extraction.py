"""How fast is extraction on the CPU, against the plain ways, a peer, and what the processor can do?

    python -m benchmarks extraction

Two models of the catalogue on Wikipedia paragraphs. isodepth is timed whole, with tokenizing, contract
and batching, and the reading of the batches alone. The limit is the arithmetic of the blocks (weights
and attention) at the rate of float32 matrix products, of whichever of torch's two libraries is faster
on this processor; both rates are measured before and after each reading.

Reading with torch's own products, as on a processor where these are the faster ones, shows what the
choice of the library does. That, the plain ways and nnterp read some of the texts: batches that all
texts make when they are sorted by length, a short and a long one a round; what they take for all is
computed from their tokens per second. nnterp stops before the head.
"""

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from unittest import mock

import numpy as np
from nnterp import StandardizedTransformer
from nnterp.nnsight_utils import collect_token_activations_batched

from benchmarks.harness import Case, in_own_process, quotients, spread, timed
from benchmarks.plain import (
    BATCH_SIZE,
    padded_activations,
    plain_activations,
    plain_folder,
    plain_model,
)
from benchmarks.rates import block_operations, matrix_rate, onednn_rate
from isodepth import load_model, load_texts
from isodepth.activations.extraction import Extraction, prepare_extraction
from isodepth.activations.result import ExtractionOptions
from isodepth.models import Model

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
N_TEXTS = 128
OWN_PRODUCTS = "the same with torch's own products"

CHILD = """
import json, sys
from benchmarks.harness import peak_and_held
from isodepth import extract, load_model, load_texts
model, texts = load_model(sys.argv[1]), load_texts("wikipedia", int(sys.argv[2]))
extract(model, texts)
weights = sum(p.numel() * p.element_size() for p in model.body.parameters())
print(json.dumps({"weights": weights, "peak": peak_and_held()[0]}))
"""

Reads = Callable[[Sequence[str]], object]


def cases(rounds: int) -> Iterator[Case]:
    texts = load_texts("wikipedia", N_TEXTS)
    for name in MODELS:
        model = load_model(name)
        ways = plain_ways(name)
        (extraction,) = prepare_extraction(model, texts, ExtractionOptions())
        lengths = extraction.encoded.lengths
        total = int(lengths.sum())
        arithmetic = block_operations(model, lengths)
        samples = sampled_batches(lengths, rounds)
        for read in ways.values():  # what is set up at the first call is not timed
            read([texts.texts[place] for place in samples[0][:2]])
        whole: list[float] = []
        reading: list[float] = []
        at_rate: dict[str, list[float]] = {"torch": [], "fastest": []}
        takes: dict[str, list[float]] = {way: [] for way in (*ways, OWN_PRODUCTS)}
        for number in range(rounds):
            before = rates()
            start = time.perf_counter()
            (extraction,) = prepare_extraction(model, texts, ExtractionOptions())
            prepared = time.perf_counter() - start
            reading.append(timed(partial(read_all, extraction)))
            whole.append(prepared + reading[-1])
            torch_rate, fastest = (statistics.mean(both) for both in zip(before, rates(), strict=True))
            at_rate["torch"].append(arithmetic / torch_rate)
            at_rate["fastest"].append(arithmetic / fastest)
            sample = [texts.texts[place] for place in samples[number]]
            to_all = total / int(lengths[samples[number]].sum())
            for way, read in ways.items():
                takes[way].append(to_all * timed(partial(read, sample)))
            takes[OWN_PRODUCTS].append(to_all * seconds_with_own_products(model, sample))
        of_torch = quotients(at_rate["torch"], reading)
        held = in_own_process(CHILD, name, str(N_TEXTS))
        what = f"{name}, {N_TEXTS} texts, {total:,} tokens"
        yield Case(
            group="extraction",
            what=f"{what}: reading the batches",
            seconds=reading,
            baseline=OWN_PRODUCTS,
            baseline_seconds=takes.pop(OWN_PRODUCTS),
            is_computed=True,
            limit="the blocks' arithmetic at the faster rate of float32 products",
            limit_seconds=at_rate["fastest"],
            target="at least 90 % of the products' rate",
            note=f"{spread(of_torch, '{:.0%}'.format)} of the rate of torch's own products.",
        )
        for way, seconds in takes.items():
            yield Case(
                group="extraction",
                what=f"{what}: whole",
                seconds=whole,
                baseline=way if way == "one text at a time" else f"{way} of {BATCH_SIZE}, sorted",
                baseline_seconds=seconds,
                is_computed=True,
                peak_bytes=held["peak"],
                note=f"The weights of {name} are {held['weights'] / 1e6:,.0f} MB of the peak.",
            )


def plain_ways(name: str) -> dict[str, Reads]:
    """Return what reads texts otherwise than isodepth, each with a model of its own."""
    body, tokenizer = plain_model(name)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it found in the model
        peer = StandardizedTransformer(str(plain_folder(name)), dtype="float32", device_map="cpu")
    peer.tokenizer.padding_side = "left"

    def read_by_nnterp(texts: Sequence[str]) -> object:
        return collect_token_activations_batched(peer, sorted(texts, key=len), BATCH_SIZE)

    return {
        "one text at a time": partial(plain_activations, body, tokenizer),
        "padded batches": partial(padded_activations, body, tokenizer),
        "nnterp": read_by_nnterp,
    }


def seconds_with_own_products(model: Model, texts: Sequence[str]) -> float:
    """Return how long reading texts takes with linear layers as torch has them, the checks apart."""
    (extraction,) = prepare_extraction(model, load_texts(texts), ExtractionOptions())
    with mock.patch("isodepth.activations.products.product_library", return_value="torch"):
        return timed(partial(read_all, extraction))


def read_all(extraction: Extraction) -> None:
    for _ in extraction.batches():
        pass


def rates() -> tuple[float, float]:
    """Return the rate of torch's matrix products, and that of the faster library."""
    own = matrix_rate()
    return own, max(own, onednn_rate())


def sampled_batches(lengths: np.ndarray, number: int) -> list[np.ndarray]:
    """Return, a round each, the texts of two batches of all texts sorted by length: short and long."""
    order = np.argsort(lengths, kind="stable")
    batches = [order[start : start + BATCH_SIZE] for start in range(0, len(order), BATCH_SIZE)]
    half = len(batches) // 2
    shifts = (shift % half for shift in range(number))
    return [np.concatenate([batches[shift], batches[-1 - shift]]) for shift in shifts]
