"""Does fast extraction give what the plain way gives? Vectors and neighbors, every layer.

    python -m benchmarks.agreement [--texts FILE] [-n 512]

Prints, per model, the largest relative difference of any vector, and the smallest share over layers
of equal neighbor entries at k = 10, for capture="final_norm" (all layers) and capture="block" (all but
the last, where the captures differ by definition).
"""

import argparse

import numpy as np

from benchmarks.plain import plain_activations, plain_model
from isodepth import extract, load_model, load_texts, nearest_neighbors

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", default="wikipedia")
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("-k", type=int, default=10)
    arguments = parser.parse_args()
    texts = load_texts(arguments.texts, arguments.n)
    for name in MODELS:
        expected = plain_activations(*plain_model(name), texts.texts)
        model = load_model(name)
        for capture, layers in (("final_norm", slice(None)), ("block", slice(None, -1))):
            found = extract(model, texts, capture=capture).values[layers]
            reference = expected[layers]
            difference = np.linalg.norm(found - reference, axis=2)
            relative = difference / np.linalg.norm(reference, axis=2)
            ids = nearest_neighbors(found, arguments.k).ids
            reference_ids = nearest_neighbors(reference, arguments.k).ids
            same_place = (ids == reference_ids).mean(axis=(1, 2))
            shared = [
                np.mean([len(set(a) & set(b)) for a, b in zip(one, other, strict=True)]) / arguments.k
                for one, other in zip(ids.tolist(), reference_ids.tolist(), strict=True)
            ]
            print(
                f"{name} {capture}: {len(found)} layers, {len(texts)} texts: largest relative "
                f"difference {relative.max():.1e}; least share of equal entries over layers "
                f"{min(shared):.5f} as sets, {same_place.min():.5f} place by place",
                flush=True,
            )


if __name__ == "__main__":
    main()
