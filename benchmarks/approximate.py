"""What does approximate search gain, and what does it lose? Recall on real activations.

    python -m benchmarks.approximate [-n 20000] [-k 10]

The vectors are the hidden states of SmolLM2 and Gemma at all tokens of Wikipedia paragraphs, in three
layers each: real activations, of which a few hundred texts give as many as wanted. Searched: by
isodepth (exact, float64) and by faiss (flat, IVF, HNSW; float32). Told: seconds, the share of the
exact neighbors found (recall), and the mutual k-NN of like layers of the two models, whose tokens are
matched by the character that they end at, with the neighbors of each way.
"""

import argparse
import time
from collections.abc import Callable, Iterator

import faiss
import numpy as np
import torch

from benchmarks.neighbors import without_self
from isodepth import load_model, load_texts, mutual_knn, nearest_neighbors
from isodepth.models.model import Model

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
DEPTHS = (0.25, 0.5, 0.75)

Finds = Callable[[np.ndarray, int], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20_000)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    vectors = matched_vectors(arguments.n)
    n_vectors = len(vectors[MODELS[0], DEPTHS[0]])
    print(f"{n_vectors:,} vectors a layer, k = {arguments.k}\n")
    depths = " | ".join(f"mutual k-NN at {depth:.0%}" for depth in DEPTHS)
    print(f"| search | seconds a layer | recall, median (least) | {depths} |")
    print("|" + "---|" * (3 + len(DEPTHS)))
    exact: dict[tuple[str, float], np.ndarray] = {}
    for name, find in searches():
        found, seconds = {}, []
        for place, layer in vectors.items():
            start = time.perf_counter()
            found[place] = find(layer, arguments.k)
            seconds.append(time.perf_counter() - start)
        exact = exact or found
        recalls = [mutual_knn(found[place], exact[place]) for place in found]
        values = [mutual_knn(*(found[name, depth] for name in MODELS)) for depth in DEPTHS]
        cells = (
            name,
            f"{np.median(seconds):.2f}",
            f"{np.median(recalls):.4f} ({min(recalls):.4f})",
            *(f"{value:.4f}" for value in values),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


def searches() -> Iterator[tuple[str, Finds]]:
    """Yield ways to search by name; the first is exact."""
    yield "isodepth, exact (float64)", lambda vectors, k: nearest_neighbors(vectors, k).ids[0]
    yield "faiss flat, exact (float32)", found_by(flat)
    for probes in (8, 32):
        yield f"faiss IVF, 4 sqrt(n) cells, {probes} probed", found_by(ivf(probes))
    for width in (64, 256):
        yield f"faiss HNSW, 32 links, {width} looked at", found_by(hnsw(width))


def found_by(make: Callable[[int, int], faiss.Index]) -> Finds:
    def find(vectors: np.ndarray, k: int) -> np.ndarray:
        unit = np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
        index = make(unit.shape[1], len(unit))
        if not index.is_trained:
            index.train(unit)
        index.add(unit)
        return without_self(index.search(unit, k + 1)[1]).astype(np.int32)

    return find


def flat(units: int, _: int) -> faiss.Index:
    return faiss.IndexFlatIP(units)


def ivf(probes: int) -> Callable[[int, int], faiss.Index]:
    def make(units: int, number: int) -> faiss.Index:
        cells = int(4 * number**0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(units), units, cells, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = probes
        return index

    return make


def hnsw(width: int) -> Callable[[int, int], faiss.Index]:
    def make(units: int, _: int) -> faiss.Index:
        index = faiss.IndexHNSWFlat(units, 32, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = 100
        index.hnsw.efSearch = width
        return index

    return make


def matched_vectors(number: int) -> dict[tuple[str, float], np.ndarray]:
    """Return vectors (tokens, units) by model and depth; rows are tokens that end at one character."""
    texts = load_texts("wikipedia", max(8, number // 60)).texts
    models = [load_model(name) for name in MODELS]
    gathered: dict[tuple[str, float], list[np.ndarray]] = {
        (name, depth): [] for name in MODELS for depth in DEPTHS
    }
    held = 0
    for text in texts:
        ends = [token_ends(model, text) for model in models]
        common = sorted(set(ends[0]) & set(ends[1]))
        for name, model, places in zip(MODELS, models, ends, strict=True):
            rows = [places[end] for end in common]
            for depth, layer in states(model, text).items():
                gathered[name, depth].append(layer[rows])
        held += len(common)
        if held >= number:
            break
    return {place: np.concatenate(parts)[:number] for place, parts in gathered.items()}


def token_ends(model: Model, text: str) -> dict[int, int]:
    """Return the places of a text's tokens by the character they end at."""
    offsets = model.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    return {end: place for place, (start, end) in enumerate(offsets) if end > start}


@torch.inference_mode()
def states(model: Model, text: str) -> dict[float, np.ndarray]:
    """Return a text's hidden states at `DEPTHS`, (tokens, units) each."""
    ids = model.tokenizer(text, return_tensors="pt")["input_ids"]
    hidden = model.body(input_ids=ids, output_hidden_states=True, use_cache=False).hidden_states
    return {depth: hidden[round(depth * model.n_layers)][0].numpy() for depth in DEPTHS}


if __name__ == "__main__":
    main()
